"""What can make arms incomparable, as errors with names."""

from __future__ import annotations

__all__ = ["InfeasibleError", "PositivityError", "SeparationError", "WeightingError"]


class WeightingError(ValueError):
    """Arms that cannot be weighted or matched as asked: the message says why, and what to do instead."""


class SeparationError(WeightingError):
    """Covariates that tell the arms apart without error: propensities of 0 and 1, and no estimate of them."""


class PositivityError(WeightingError):
    """Patients of the target population who have next to no chance of being given one of the arms."""


class InfeasibleError(WeightingError):
    """Means that no positive weights of an arm's patients can reach."""
