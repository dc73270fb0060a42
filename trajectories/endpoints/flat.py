"""A cohort and a rule as the flat arrays and numbers that the scan takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import DAYS_PER_YEAR, Cohort
from trajectories.endpoints.baselines import AfterRelapse, Fixed, Roving
from trajectories.endpoints.confirmation import Confirmed, days_clear
from trajectories.endpoints.relapse_labels import ANCHORS
from trajectories.endpoints.rules import DisabilityRule
from trajectories.endpoints.scales import ScaleChange, higher_is_worse, thresholds

if TYPE_CHECKING:
    from trajectories.endpoints.kernel import Options, Scan

__all__ = ["Visits", "options_of", "relapse_days", "scan_visits", "usable_visits"]

type FloatArray = NDArray[np.float64]
type IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Visits:
    """The visits with a value, sorted by patient and day.

    Parameters
    ----------
    patient
        Row of the patient in `cohort.patients`, one a visit.
    offsets
        Where the visits of each patient begin, and the end: shape (patients + 1).
    day
        Days from the index date.
    value
        On the scale.
    fit
        Whether the visit may confirm, apart from relapses.
    missing
        How many visits had no value.
    """

    patient: IntArray
    offsets: IntArray
    day: FloatArray
    value: FloatArray
    fit: NDArray[np.bool_]
    missing: int


def usable_visits(cohort: Cohort, change: object, column: str, scheduled_only: bool) -> Visits:
    """Take the visits with a value of the scale.

    Raises
    ------
    ValueError
        If the visits lack the column, hold text or values off the scale, or no column `scheduled` is there
        when only scheduled visits confirm.
    """
    table = cohort.visits_table
    if column not in table:
        raise ValueError(
            f"column: the visits of cohort '{cohort.name}' have no column {column!r}; they have "
            f"{', '.join(map(str, table.columns))}."
        )
    values = _numbers(table[column], column)
    if isinstance(change, ScaleChange):
        off = (values < change.lowest) | (values > change.highest)
        if off.any():
            raise ValueError(
                f"{column}: {off.sum()} values lie outside the scale {change.name} "
                f"({change.lowest:g} to {change.highest:g}), such as {values[off][0]:g}. Correct them."
            )
    there = ~np.isnan(values)
    if scheduled_only and "scheduled" not in table:
        raise ValueError(
            "scheduled_only: the visits have no column 'scheduled' that says which may confirm; give it to "
            "read_cohort, or let every visit confirm."
        )
    fit = (
        table["scheduled"].eq(True).to_numpy(dtype=bool)
        if scheduled_only
        else np.ones(len(table), dtype=bool)
    )
    rows = _patient_rows(cohort, table)[there]
    return Visits(
        patient=rows,
        offsets=_offsets(rows, cohort.n_patients),
        day=table["day"].to_numpy(dtype=np.float64)[there],
        value=values[there],
        fit=fit[there],
        missing=int((~there).sum()),
    )


def _numbers(series: pd.Series, column: str) -> FloatArray:
    try:
        numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise ValueError(
            f"{column}: the column holds text that is no number; write numbers with a decimal point, and leave "
            "missing values empty."
        ) from None
    if np.isinf(numbers).any():
        raise ValueError(f"{column}: {np.isinf(numbers).sum()} values are infinite. Correct them.")
    return np.asarray(numbers)


def _patient_rows(cohort: Cohort, table: pd.DataFrame) -> IntArray:
    rows = pd.Index(cohort.patients_table["patient"]).get_indexer(pd.Index(table["patient"]))
    return np.asarray(rows, dtype=np.int64)


def _offsets(rows: IntArray, patients: int) -> IntArray:
    counts = np.bincount(rows, minlength=patients)
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def relapse_days(cohort: Cohort) -> tuple[IntArray, FloatArray]:
    """Take the onsets of all relapses, also those before the first visit: offsets by patient, and days."""
    table = cohort.relapses_table
    if table is None:
        return np.zeros(cohort.n_patients + 1, dtype=np.int64), np.zeros(0)
    rows = _patient_rows(cohort, table)
    day = table["day"].to_numpy(dtype=np.float64)
    order = np.lexsort((day, rows))
    return _offsets(rows, cohort.n_patients), day[order]


def options_of(rule: DisabilityRule, baseline_window: float) -> Options:
    """Write a rule as numbers."""
    from trajectories.endpoints.kernel import Options

    confirmed, baseline, associated = rule.confirmation, rule.baseline, rule.relapse_associated
    relapse_reset = baseline if isinstance(baseline, AfterRelapse) else None
    inner: Fixed | Roving = baseline.otherwise if isinstance(baseline, AfterRelapse) else baseline
    roving = inner if isinstance(inner, Roving) else None
    after = roving.after if roving else "none"
    small = roving.small_changes if roving else "none"
    free = rule.pira.relapse_free
    earliest, latest = _windows(confirmed)
    confirm, base, event = (
        days_clear(days, "")
        for days in (confirmed.clear_of_relapse, inner.clear_of_relapse, rule.event_clear_of_relapse)
    )
    wait = associated.days_after
    if relapse_reset is not None and relapse_reset.wait is not None:
        wait = relapse_reset.wait
    better_moves = after in ("both", "improvement")
    return Options(
        from_first_visit=rule.search_from == "first visit",
        baseline_days=float(np.floor(baseline_window * DAYS_PER_YEAR)),
        earliest=earliest,
        latest=latest,
        every_visit=bool(confirmed.every_visit),
        confirm_after=confirm[0],
        confirm_before=confirm[1],
        sustained_days=float(confirmed.sustained_days),
        accept_last_days=float(confirmed.accept_last_visit_within),
        baseline_after=base[0],
        baseline_before=base[1],
        event_after=event[0],
        event_before=event[1],
        move_on_worse=after in ("both", "worsening"),
        move_on_better=better_moves,
        move_to={"confirmation": 0, "event": 1, "lowest": 2}[roving.to if roving else "confirmation"],
        small_worse=small in ("both", "worsening"),
        small_better=small in ("both", "improvement"),
        extremes={"never": 0, "threshold": 1, "any": 2}[roving.skip_extremes if roving else "never"],
        after_relapse=relapse_reset is not None,
        wait=float(wait),
        never_lower=bool(relapse_reset and relapse_reset.never_lower),
        raw_after=float(associated.days_after),
        raw_before=float(associated.days_before),
        raw_from_onset=bool(associated.from_first_worse_visit),
        free_start=np.array([ANCHORS.index(f.start) for f in free], dtype=np.int64),
        free_before=np.array([f.days_before for f in free], dtype=np.float64),
        free_end=np.array([ANCHORS.index(f.end) for f in free], dtype=np.int64),
        free_after=np.array([f.days_after for f in free], dtype=np.float64),
        ignore_better="improvement" not in rule.kinds and not better_moves,
        search_again={"over": 0, "confirmation": 1, "event": 2}[rule.after_event],
        lazy=False,
        stop_at=0,
    )


def _windows(confirmed: Confirmed) -> tuple[FloatArray, FloatArray]:
    days = np.array(confirmed.days)
    before, after = confirmed.tolerance
    return days - before, days + after


def scan_visits(cohort: Cohort, rule: DisabilityRule, visits: Visits, options: Options) -> Scan:
    """Run the scan."""
    from trajectories.endpoints.kernel import scan

    sign = 1.0 if higher_is_worse(rule.worsening) else -1.0
    offsets, onsets = relapse_days(cohort)
    return scan(
        visits.offsets,
        offsets,
        visits.day,
        sign * visits.value,
        thresholds(rule.worsening, visits.value).worse,
        thresholds(rule.better, visits.value).better,
        visits.fit,
        onsets,
        options,
    )
