"""What the paired tests compare: a value of each patient at each point, and which points make pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import Cohort
from trajectories.windows import edss_at, relapse_windows

__all__ = ["Outcome", "edss_outcome", "relapse_outcome"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """One outcome of every patient at every point: a time point of EDSS, a window of relapses.

    Fields: `name` ("EDSS" or "relapses"), `table` of shape (patients, points) with NaN where a patient has
    none, `labels` and `later` (end of each point, years), `baseline` (its index, or None), `incomparable`
    (per point: why it cannot be set against baseline, empty if it can), `reason` (why there is nothing to
    compare at all).

    >>> Outcome(name="EDSS", table=np.ones((2, 1)), labels=("0 y",), later=(0.0,), baseline=0).compared
    ()
    """

    name: str
    table: NDArray[np.float64]
    labels: tuple[str, ...]
    later: tuple[float, ...]
    baseline: int | None
    incomparable: tuple[str, ...] = ()
    reason: str = ""

    @property
    def compared(self) -> tuple[int, ...]:
        """The points after time 0, which are set against baseline."""
        return tuple(point for point, end in enumerate(self.later) if end > 0)

    def of(self, patients: NDArray[np.bool_]) -> Outcome:
        """Return the outcome of some patients, shape (all patients,) True where taken."""
        return replace(self, table=self.table[patients])

    def pair(self, point: int) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
        """Return the values at baseline and at a point, NaN where missing, and why they are no pair if so."""
        later, reason = self.table[:, point], self.reason
        if self.incomparable and not reason:
            reason = self.incomparable[point]
        if self.baseline is None or reason:
            return np.full_like(later, np.nan), later, reason
        return self.table[:, self.baseline], later, reason

    def why_not_all(self) -> str:
        """Say why the points cannot be ranked against each other, empty if they can."""
        return self.reason or next((reason for reason in self.incomparable if reason), "")


def edss_outcome(cohort: Cohort, at: Sequence[float], tolerance: float) -> Outcome:
    """Take each patient's EDSS at the time points (years, ascending, with 0 among them)."""
    values = edss_at(cohort, at=at, tolerance=tolerance)["edss"].to_numpy(dtype=np.float64)
    return Outcome(
        name="EDSS",
        table=values.reshape(cohort.n_patients, len(at)),
        labels=tuple(f"{point:g} y" for point in at),
        later=tuple(float(point) for point in at),
        baseline=list(at).index(0),
    )


def relapse_outcome(cohort: Cohort, edges: Sequence[float | None]) -> Outcome:
    """Count each patient's relapses in the windows between edges that were completely observed.

    The baseline is the window that ends at 0. Other windows are set against it only if they are as long:
    counts of unequal windows are no pair.
    """
    labels, ends = _names(edges)
    nothing = Outcome(
        name="relapses",
        table=np.full((cohort.n_patients, len(labels)), np.nan),
        labels=labels,
        later=ends,
        baseline=None,
    )
    if cohort.relapses_table is None:
        return replace(nothing, reason="the cohort has no relapse table")
    if not labels:
        return replace(nothing, reason="two edges are needed to make a window of relapses")
    windows = relapse_windows(cohort, edges=edges)
    counts = windows["relapses"].where(windows["complete"]).to_numpy(dtype=np.float64)
    values = counts.reshape(cohort.n_patients, len(labels))
    if 0.0 not in ends:
        return replace(
            nothing, table=values, reason="no window ends at 0, so there is no count before the start"
        )
    baseline = ends.index(0.0)
    return replace(
        nothing,
        table=values,
        baseline=baseline,
        incomparable=tuple(_unequal(windows.iloc[: len(labels)], baseline)),
    )


def _names(edges: Sequence[float | None]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    pairs = list(pairwise(edges))
    labels = tuple(f"{a:g} to {'end' if b is None else f'{b:g}'} y" for a, b in pairs)
    return labels, tuple(np.inf if b is None else float(b) for _, b in pairs)


def _unequal(windows: pd.DataFrame, baseline: int) -> list[str]:
    """Say for each window why its length forbids a pair with the baseline window, empty if it is as long."""
    lengths = (windows["end"] - windows["start"]).tolist()
    before = lengths[baseline]
    return [
        ""
        if abs(length - before) < 1 / 365.25
        else f"the window is {_years(length)} and the one before the start {before:g} y: counts are no pair"
        for length in lengths
    ]


def _years(length: float) -> str:
    return f"{length:g} y" if np.isfinite(length) else "of no fixed length"
