"""Times to an event of weighted patients."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pandas as pd

__all__ = ["PatientWeights", "with_weights"]


class PatientWeights(Protocol):
    """What each patient counts, as `trajectories.weighting` makes it."""

    @property
    def values(self) -> pd.Series:
        """Weights, index `patient`."""

    @property
    def description(self) -> str:
        """The target population and the method, in a sentence."""

    @property
    def caveats(self) -> tuple[str, ...]:
        """What every result that uses them must say."""


def with_weights(table: pd.DataFrame, weights: PatientWeights) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Add the column `weight`, leave out patients without one, and say so by arm.

    >>> from types import SimpleNamespace
    >>> known = SimpleNamespace(values=pd.Series({"a": 2.0}), description="By hand.", caveats=())
    >>> table, said = with_weights(pd.DataFrame({"patient": ["a", "b"], "arm": ["x", "x"]}), known)
    >>> table["weight"].tolist(), said[1]
    ([2.0], 'Without a weight and left out: 1 of 2 patients of x.')
    """
    own = table["patient"].map(weights.values).to_numpy(dtype=np.float64)
    inside = own > 0
    if not inside.any():
        raise ValueError("none of these patients has a weight: make the weights from the same cohort.")
    lost = [
        f"{int((~inside & mine).sum())} of {int(mine.sum())} patients of {arm}"
        for arm in pd.unique(table["arm"])
        if (~inside & (mine := (table["arm"] == arm).to_numpy())).any()
    ]
    said = [f"Weighted: {weights.description}", *map(str, weights.caveats)]
    if lost:
        said.insert(1, f"Without a weight and left out: {', '.join(lost)}.")
    return table[inside].assign(weight=own[inside]).reset_index(drop=True), tuple(said)
