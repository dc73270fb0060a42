"""One row for every patient: from which reference, until when at risk, eligible for what, and if not, why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import Cohort
from trajectories.edss import ChangeRule
from trajectories.endpoints.flat import Visits
from trajectories.endpoints.rules import DisabilityRule
from trajectories.endpoints.scales import thresholds

if TYPE_CHECKING:
    from trajectories.endpoints.kernel import Scan

__all__ = ["patient_table"]


def patient_table(cohort: Cohort, rule: DisabilityRule, visits: Visits, found: Scan) -> pd.DataFrame:
    """Make the frame of patients, in the order of the cohort."""
    n_visits = np.diff(visits.offsets)
    first, last = found.first_reference, found.last_confirmable
    frame = cohort.patients_table[["patient", "arm"]].reset_index(drop=True)
    frame["n_visits"] = n_visits
    frame["baseline_day"] = _optional_days(visits, first)
    baseline = np.where(first >= 0, visits.value[first], np.nan) if len(visits.value) else np.nan
    frame["baseline_value"] = pd.Series(baseline, index=frame.index, dtype=np.float64)
    frame["last_day"] = _optional_days(visits, np.where(n_visits > 0, visits.offsets[1:] - 1, -1))
    frame["last_confirmable_day"] = _optional_days(visits, last)
    value = frame["baseline_value"].to_numpy()
    can = {
        "worsening": _reachable(rule, value, worse=True),
        "improvement": _reachable(rule, value, worse=False),
    }
    for kind, reachable in can.items():
        frame[f"eligible_{kind}"] = (first >= 0) & (last >= 0) & reachable
    later = visits.offsets[1:] - 1 > first
    frame["why_not"] = _why_not(rule, n_visits, first, later, last, can, value)
    return frame


def _optional_days(visits: Visits, at: NDArray[np.int64]) -> pd.Series:
    day = np.where(at >= 0, visits.day[at], 0) if len(visits.day) else np.zeros(len(at))
    return pd.Series(pd.arrays.IntegerArray(day.astype(np.int64), at < 0))


def _reachable(rule: DisabilityRule, value: NDArray[np.float64], worse: bool) -> NDArray[np.bool_]:
    """Whether the scale has room for the change from the first reference."""
    known = ~np.isnan(value)
    change = rule.worsening if worse else rule.better
    needed = np.full(value.shape, np.inf)
    limits = thresholds(change, value[known])
    needed[known] = limits.worse if worse else limits.better
    low, high = (0.0, 10.0) if isinstance(change, ChangeRule) else (change.lowest, change.highest)
    upwards = worse == (isinstance(change, ChangeRule) or change.higher_is_worse)
    with np.errstate(invalid="ignore"):
        room = high - value if upwards else value - low
    return np.asarray(known & np.isfinite(needed) & (needed <= room + 1e-9))


def _why_not(
    rule: DisabilityRule,
    n_visits: NDArray[np.int64],
    first: NDArray[np.int64],
    later: NDArray[np.bool_],
    last: NDArray[np.int64],
    can: dict[str, NDArray[np.bool_]],
    value: NDArray[np.float64],
) -> pd.Series:
    scale = "EDSS" if isinstance(rule.worsening, ChangeRule) else rule.worsening.name
    lacking = [kind for kind in ("worsening", "improvement") if kind in rule.kinds]
    texts = [f"no visit with {scale}", "no visit clear of relapses to compare with", "no visit after the reference",
             "no visit after the reference could have been confirmed"]  # fmt: skip
    which = [n_visits == 0, first < 0, ~later, last < 0]
    for kind in lacking:
        which.append(~can[kind])
        change = rule.worsening if kind == "worsening" else rule.better
        texts.append(f"{kind} by {change.name} is not possible from the reference value")
    text = np.select(which, texts, default="")
    if len(lacking) == 2:
        text = np.where(
            (last >= 0) & (first >= 0) & ~can["worsening"] & ~can["improvement"],
            "neither worsening nor improvement is possible from the reference value", text,
        )  # fmt: skip
    return pd.Series(text, dtype="str")
