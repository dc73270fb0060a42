"""Three tables in, one cohort out: files, names of columns, their values, one time axis."""

from __future__ import annotations

from trajectories.reading.assembly import read_cohort

__all__ = ["read_cohort"]
