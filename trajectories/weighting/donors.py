"""Donors of imputed values: who is nearest, and whether they are far away or few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Matched", "SparseDonorsWarning", "donated", "nearest_donors", "sparse"]

type Floats = NDArray[np.float64]

# Donors are sparse where they move the mean of a column by more than FAR of its SDs, or where more than MANY of all patients have the value
# of one who gave it more than OFTEN times in one cohort.
FAR, MANY, OFTEN = 0.02, 0.3, 5
DONORS = 5


class SparseDonorsWarning(UserWarning):
    """Imputed values come from few patients, or from patients who are not alike."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Matched:
    """How one column was matched: predictions of those with a value and without (patients × predictions), donors, SD of the known values."""

    seen: Floats
    expected: Floats
    donor: NDArray[np.int64]
    spread: float


def nearest_donors(seen: Floats, wanted: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """One of the nearest patients for each prediction, ties at random: places in `seen` (patients × predictions)."""
    made = np.empty(len(wanted), dtype=np.int64)
    for row, prediction in enumerate(wanted):
        distance = np.round(((seen - prediction) ** 2).sum(axis=1), 12)
        nearest = np.lexsort((rng.random(len(seen)), distance))[:DONORS]
        made[row] = rng.choice(nearest)
    return made


def donated(matched: Mapping[str, Matched]) -> pd.DataFrame:
    """How far donors move the mean of each column, and the share of patients with the value of one who is often used."""
    rows = {}
    for column, one in matched.items():
        gap = np.zeros(one.expected.shape[1])
        for prediction in one.expected:
            nearest = np.argsort(((one.seen - prediction) ** 2).sum(axis=1), kind="stable")[:DONORS]
            gap += prediction - one.seen[nearest].mean(axis=0)
        patients = len(one.seen) + len(one.expected)
        often = np.bincount(one.donor, minlength=len(one.seen))[one.donor] > OFTEN
        rows[column] = {
            "shift": float(np.linalg.norm(gap)) / patients / one.spread,
            "reused": float(often.sum()) / patients,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("column")


def sparse(donors: pd.DataFrame) -> list[str]:
    """Say of which columns donors are too far, or too few."""
    said = []
    for column, row in donors.iterrows():
        parts = []
        if row["shift"] > FAR:
            parts.append(f"being unlike those without a value they move its mean by {row['shift']:.2f} SD")
        if row["reused"] > MANY:
            parts.append(
                f"{row['reused']:.0%} of all patients have the value of one who gave it more than {OFTEN} times"
            )
        if parts:
            said.append(
                f"donors of {column} are sparse: {', and '.join(parts)}. What uses it may be off by a tenth and more: compare it with "
                "complete cases, which are off in their own way, or leave it out"
            )
    return said
