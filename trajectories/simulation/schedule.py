"""When simulated patients are seen: planned and missed visits, irregularity, missing scores, drop-out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trajectories.cohort import DAYS_PER_YEAR
from trajectories.simulation.averaging import FloatArray
from trajectories.simulation.truth import by_arm, not_negative

type IntArray = npt.NDArray[np.int64]
type BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class VisitSchedule:
    """When patients are planned to be seen, and how far practice departs from the plan.

    Parameters
    ----------
    years
        Planned visits, in order, years since treatment start.
    jitter_days
        Each visit falls on a day drawn uniformly within ± this many days of its plan; the visit at year 0 is
        the day of treatment start and does not move.
    missed
        Probability that a visit does not take place; the one at year 0 (or, without it, the first) always
        does.
    missing_edss
        Probability that a visit takes place and has no EDSS.

    Raises
    ------
    ValueError
        If the visits are not in order, the jitter could swap two of them, or a probability is out of range.

    Examples
    --------
    >>> VisitSchedule(years=(0, 0.5, 1), jitter_days=30).planned_days
    array([  0, 183, 365])
    """

    years: tuple[float, ...] = (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0)
    jitter_days: int = 20
    missed: float = 0.0
    missing_edss: float = 0.0

    def __post_init__(self) -> None:
        if not self.years or not np.isfinite(self.years).all():
            raise ValueError(f"the schedule needs at least one visit, at finite times, got {self.years}")
        not_negative("jitter_days", self.jitter_days)
        gap = int(np.diff(self.planned_days).min()) if len(self.years) > 1 else 2 * self.jitter_days + 1
        if gap <= 2 * self.jitter_days:
            raise ValueError(
                f"visits planned {gap} days apart could swap with a jitter of ± {self.jitter_days} days; "
                f"give the visits in order and a jitter below {gap / 2:g} days"
            )
        for name in ("missed", "missing_edss"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is a probability below 1, got {getattr(self, name)}")

    @property
    def planned_days(self) -> IntArray:
        """Planned days since treatment start."""
        return np.rint(np.asarray(self.years) * DAYS_PER_YEAR).astype(np.int64)

    @property
    def kept(self) -> int:
        """Position of the visit that always takes place."""
        at_start = np.flatnonzero(self.planned_days == 0)
        return int(at_start[0]) if len(at_start) else 0

    @property
    def span(self) -> tuple[int, int]:
        """First and last day on which a visit of this schedule can fall, treatment start included."""
        days = self.planned_days
        first, last = (int(day) for day in (days[0], days[-1]))
        return min(first - self.jitter_days * (first != 0), 0), max(last + self.jitter_days * (last != 0), 0)

    def draw(self, patients: int, rng: np.random.Generator) -> tuple[IntArray, BoolArray, BoolArray]:
        """Draw for (patients, visits) the day, whether the visit takes place, and whether it has an EDSS."""
        planned = self.planned_days
        shape = (patients, len(planned))
        jitter = rng.integers(-self.jitter_days, self.jitter_days, size=shape, endpoint=True)
        days = planned + np.where(planned == 0, 0, jitter)
        attended = rng.random(shape) >= self.missed
        attended[:, self.kept] = True
        return days, attended, rng.random(shape) >= self.missing_edss


@dataclass(frozen=True, kw_only=True)
class DropOut:
    """How patients leave: hazard rate_arm·exp(edss_effect·(current EDSS − reference)) a year from the start.

    The current EDSS is the last one on record, so that what is missing depends only on what was seen
    (missing at random) and a likelihood on the recorded visits stays valid. Before a first EDSS the
    reference counts.

    Parameters
    ----------
    rate
        Drop-outs a person-year at the reference EDSS, for all arms or by arm.
    edss_effect
        Log hazard ratio per EDSS point.
    reference
        EDSS.

    Examples
    --------
    >>> DropOut(rate=0.1, edss_effect=0.2, reference=4.0).hazard("all", np.array([4.0, 6.0])).round(4)
    array([0.1   , 0.1492])
    """

    rate: float | Mapping[str, float] = 0.05
    edss_effect: float = 0.0
    reference: float = 4.0

    def __post_init__(self) -> None:
        for number in self.rate.values() if isinstance(self.rate, Mapping) else [self.rate]:
            not_negative("rate", number)

    def hazard(self, arm: str, current: FloatArray) -> FloatArray:
        """Drop-outs a person-year at a current EDSS."""
        return by_arm(self.rate, arm) * self._relative(current)

    def draw(
        self, arms: list[str], days: IntArray, scores: FloatArray, last_day: int, rng: np.random.Generator
    ) -> IntArray:
        """Draw each patient's last day of follow-up.

        `scores` holds the EDSS on record at each visit (patients, visits), NaN where there is none. A patient
        leaves when the hazard summed since the start reaches a unit-exponential threshold, or on `last_day`.
        """
        n, visits = days.shape
        left: IntArray = np.full(n, last_day, dtype=np.int64)
        rates: FloatArray = np.array([by_arm(self.rate, arm) for arm in arms]) / DAYS_PER_YEAR
        remaining = np.asarray(rng.exponential(size=n), dtype=np.float64)
        current, since = np.full(n, self.reference), np.zeros(n, dtype=np.int64)
        still_in = np.ones(n, dtype=np.bool_)
        for j in range(visits + 1):
            until = np.maximum(days[:, j], 0) if j < visits else left
            hazard = np.asarray(rates * self._relative(current), dtype=np.float64)
            summed = hazard * (until - since)
            leaves = still_in & (summed > remaining)
            left[leaves] = since[leaves] + np.ceil(remaining[leaves] / hazard[leaves]).astype(np.int64)
            still_in &= ~leaves
            remaining, since = remaining - summed, until
            if j < visits:
                current = np.where(np.isnan(scores[:, j]), current, scores[:, j])
        return left

    def _relative(self, current: FloatArray) -> FloatArray:
        relative: FloatArray = np.exp(self.edss_effect * (current - self.reference))
        return relative
