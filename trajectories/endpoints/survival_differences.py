"""Differences between arms of what their curves say: at times, or areas under them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.endpoints.patient_weights import WeightedPatients
from trajectories.endpoints.survival_design import wald
from trajectories.endpoints.survival_steps import Floats

__all__ = ["ArmSlopes", "ArmValues", "both_reasons", "differences", "no_event_notes", "reference_place"]


_ROUNDING = 1e-9  # of shares and years; a standard error as small as this would need 10¹⁷ patients


@dataclass(frozen=True, kw_only=True, eq=False)
class ArmSlopes:
    """How the curve of an arm changes with the weights of its patients.

    Fields: `patients` (of all arms), `rows` (which are of this arm), `slopes` (by their weights, patients of the arm × times, from time 0).
    """

    patients: WeightedPatients
    rows: NDArray[np.bool_]
    slopes: Floats

    def influences(self, mixture: Floats) -> Floats:
        """Influence of each patient on sums over times of the curve × mixture (times × sums)."""
        return self.patients.influences(self.slopes @ mixture, self.rows)

    def at(self, places: NDArray[np.int64]) -> Floats:
        """Influence of each patient on the curve at some of its times, by their places."""
        return self.patients.influences(self.slopes[:, places], self.rows)


@dataclass(frozen=True, kw_only=True, eq=False)
class ArmValues:
    """What was estimated in an arm, and how sure it is.

    Fields: `arm`, `estimate` and `std_error` (shape (times,)), and of weighted patients `influence` (patients × times), as the arms are
    not independent where weights were estimated together; None where arms are independent. `untouched` is the estimate of an arm without
    an event: a share of 1, an incidence of 0, or all of the time of a restricted mean.
    """

    arm: str
    estimate: Floats
    std_error: Floats
    influence: Floats | None = None
    untouched: float = 1.0

    @property
    def error(self) -> Floats:
        """Standard errors, missing where nothing varied: they are 0 in few patients without an event as in many, and say nothing."""
        return np.where(self.std_error > _ROUNDING, self.std_error, np.nan)

    @property
    def reasons(self) -> list[str]:
        """Why a standard error is missing, in words; empty where it is not."""
        return [
            "" if error > 0 else self._reason(float(estimate))
            for estimate, error in zip(self.estimate, self.error, strict=True)
        ]

    def _reason(self, estimate: float) -> str:
        if np.isnan(estimate):
            return f"{self.arm} was not followed up that long"
        what = "no event" if abs(estimate - self.untouched) < _ROUNDING else "nobody left without an event"
        return (
            f"{what} in {self.arm} by then: nothing varied, so it has no standard error and no Wald interval"
        )

    def less(self, other: ArmValues) -> tuple[Floats, Floats]:
        """Difference from another arm, and its standard error, missing where that of either is."""
        if self.influence is None or other.influence is None:
            return self.estimate - other.estimate, np.hypot(self.error, other.error)
        error = np.sqrt(((self.influence - other.influence) ** 2).sum(axis=0))
        return self.estimate - other.estimate, np.where(np.isnan(self.error + other.error), np.nan, error)


def reference_place(arms: Sequence[str], reference: str | None) -> int:
    """Find the arm that others are compared with, the first if None; there must be two.

    >>> reference_place(["a", "b"], "b")
    1
    """
    if len(arms) < 2:
        raise ValueError(f"there is only {', '.join(arms)}: nothing to compare it with.")
    if reference is None:
        return 0
    if reference not in arms:
        raise ValueError(f"reference must be one of {', '.join(arms)}, not {reference!r}.")
    return list(arms).index(reference)


def differences(
    values: Sequence[ArmValues], times: Sequence[float], reference: str | None, ci: float
) -> pd.DataFrame:
    """Compare every arm with the reference: one row an arm and time, Wald limits and p-value; missing where nothing varies in either arm.

    >>> one, two = (ArmValues(arm=a, estimate=np.array([s]), std_error=np.array([e])) for a, s, e in (("x", 0.9, 0.03), ("y", 0.8, 0.04)))
    >>> differences([one, two], [2.0], None, 0.95)[["arm", "difference", "lower", "upper"]].round(3).to_numpy().tolist()
    [['y', -0.1, -0.198, -0.002]]
    """
    place = reference_place([value.arm for value in values], reference)
    parts = []
    for value in (value for k, value in enumerate(values) if k != place):
        apart, error = value.less(values[place])
        table = wald(apart, error, ci)
        parts.append(
            pd.DataFrame(
                {
                    "arm": value.arm,
                    "reference": values[place].arm,
                    "time": np.asarray(times, dtype=np.float64),
                    "difference": apart,
                    **{name: table[name] for name in ("std_error", "lower", "upper", "p_value")},
                    "reason": both_reasons(value, values[place]),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def both_reasons(one: ArmValues, other: ArmValues) -> list[str]:
    """Why a difference of two arms has no standard error, time by time.

    >>> none = ArmValues(arm="x", estimate=np.ones(1), std_error=np.zeros(1))
    >>> some = ArmValues(arm="y", estimate=np.array([0.9]), std_error=np.array([0.1]))
    >>> both_reasons(none, some)
    ['no event in x by then: nothing varied, so it has no standard error and no Wald interval']
    """
    pairs = zip(one.reasons, other.reasons, strict=True)
    return ["; ".join(dict.fromkeys(filter(None, pair))) for pair in pairs]


def no_event_notes(events: pd.Series, *, weighted: bool) -> tuple[str, ...]:
    """Say which arms had no event and so have no interval; `events` by arm.

    >>> no_event_notes(pd.Series({"x": 0, "y": 3}), weighted=True)[0].split(":")[0]
    'No event in x'
    """
    none = ", ".join(str(arm) for arm, count in events.items() if count == 0)
    if not none:
        return ()
    limit = "" if weighted else ", and cox() gives its hazard ratio an upper limit"
    remedy = f" log_rank() compares such an arm with one that had events{limit}." if events.any() else ""
    return (
        f"No event in {none}: nothing varied, in few patients as in many, so there is no standard error and no interval of the curve, of a "
        f"restricted mean, or of a difference.{remedy}",
    )
