"""Errors of the tables."""

from __future__ import annotations

__all__ = ["CohortError"]


class CohortError(ValueError):
    """The tables cannot be a cohort: what is wrong, where, and what to do."""
