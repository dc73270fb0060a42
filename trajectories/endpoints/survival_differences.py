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

__all__ = ["ArmSlopes", "ArmValues", "differences", "reference_place"]


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


@dataclass(frozen=True, kw_only=True, eq=False)
class ArmValues:
    """What was estimated in an arm, and how sure it is.

    Fields: `arm`, `estimate` and `std_error` (shape (times,)), and of weighted patients `influence` (patients × times), as the arms are
    not independent where weights were estimated together; None where arms are independent.
    """

    arm: str
    estimate: Floats
    std_error: Floats
    influence: Floats | None = None

    def less(self, other: ArmValues) -> tuple[Floats, Floats]:
        """Difference from another arm, and its standard error."""
        if self.influence is None or other.influence is None:
            error = np.hypot(self.std_error, other.std_error)
        else:
            error = np.sqrt(((self.influence - other.influence) ** 2).sum(axis=0))
            error = np.where(np.isnan(self.std_error + other.std_error), np.nan, error)
        return self.estimate - other.estimate, error


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
    """Compare every arm with the reference: one row an arm and time, Wald limits and p-value; missing where nothing varies.

    >>> one, two = (ArmValues(arm=a, estimate=np.array([s]), std_error=np.array([e])) for a, s, e in (("x", 0.9, 0.03), ("y", 0.8, 0.04)))
    >>> differences([one, two], [2.0], None, 0.95)[["arm", "difference", "lower", "upper"]].round(3).to_numpy().tolist()
    [['y', -0.1, -0.198, -0.002]]
    """
    place = reference_place([value.arm for value in values], reference)
    parts = []
    for value in (value for k, value in enumerate(values) if k != place):
        apart, error = value.less(values[place])
        table = wald(apart, np.where(error > 0, error, np.nan), ci)
        parts.append(
            pd.DataFrame(
                {
                    "arm": value.arm,
                    "reference": values[place].arm,
                    "time": np.asarray(times, dtype=np.float64),
                    "difference": apart,
                    **{name: table[name] for name in ("std_error", "lower", "upper", "p_value")},
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
