"""The cells of an estimate, one an arm, a time, …, as a figure needs them: a label, draws, a row of the summary."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.estimate import Estimate

__all__ = ["Cell", "cells_of"]

SAMPLE = 2  # chain, draw


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """One number of an estimate, with its label ("alemtuzumab, 2 years"), its arm if any, draws, and row of the summary."""

    label: str
    arm: str | None
    draws: NDArray[np.float64]
    row: pd.Series


def cells_of(estimate: Estimate, ci: float = 0.95) -> list[Cell]:
    """Take an estimate apart, in the order of its summary."""
    dims = [str(dim) for dim in estimate.draws.dims[SAMPLE:]]
    levels = itertools.product(*(estimate.draws[dim].to_numpy() for dim in dims))
    flat = estimate.draws.to_numpy().reshape(estimate.draws.sizes["chain"] * estimate.draws.sizes["draw"], -1)
    rows = estimate.summary(ci)
    made = []
    for k, level in enumerate(levels):
        named = dict(zip(dims, level, strict=True))
        made.append(
            Cell(
                label=", ".join(_say(dim, value) for dim, value in named.items()),
                arm=str(named["arm"]) if "arm" in named else None,
                draws=flat[:, k],
                row=rows.iloc[k],
            )
        )
    return made


def _say(dim: str, value: object) -> str:
    if dim == "years":
        return f"{value:g} year{'' if value == 1 else 's'}"
    return "all patients" if dim == "arm" and value == "all" else str(value)
