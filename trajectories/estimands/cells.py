"""The cells in which an estimand of counts is evaluated: every arm, period or window, and time of the formula."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.estimands.population import (
    Fitted,
    arms_of,
    check_times,
    hypothetical,
    target_rows,
    warn_outside,
)
from trajectories.formulas import Matrices
from trajectories.models.base import Design, Floats

__all__ = ["over_cells"]


def over_cells(
    fit: Fitted, quantity: Callable[[Matrices], Floats], at: Sequence[float] | float | None, target: str
) -> xr.DataArray:
    """Evaluate a quantity (chain × draw) in every arm, period or window, and time; warns where a time was not observed."""
    dims = _dims(fit.design, at)
    if "years" in dims:
        warn_outside(fit.design, dims["years"])
    rows = target_rows(fit.design, target)
    cells = []
    for combination in itertools.product(*dims.values()):
        levels = dict(zip(dims, combination, strict=True))
        placed = hypothetical(
            fit.design, _placed(fit.design, rows, levels), levels["arm"], levels.get("years", 0.0)
        )
        cells.append(quantity(fit.design.at(placed)))
    stacked = np.stack(cells, axis=-1)
    shape = (*stacked.shape[:2], *(len(levels) for levels in dims.values()))
    return xr.DataArray(stacked.reshape(shape), dims=("chain", "draw", *dims), coords=dict(dims))


def _dims(design: Design, at: Sequence[float] | float | None) -> dict[str, list[Any]]:
    dims: dict[str, list[Any]] = {"arm": arms_of(design)}
    for name in ("period", "window"):
        if name in design.formula.columns:
            dims[name] = [str(level) for level in design.frame[name].cat.categories]
    if "years" in design.formula.columns:
        if at is None:
            raise ValueError("the formula has 'years' in it: say at which times, such as at=[1, 2].")
        dims["years"] = check_times(at)
    elif at is not None:
        raise ValueError("at= is only for a formula with 'years' in it.")
    return dims


def _placed(design: Design, rows: pd.DataFrame, levels: Mapping[str, Any]) -> pd.DataFrame:
    placed = rows.copy()
    for name in ("period", "window"):
        if name in levels:
            categories = design.frame[name].cat.categories
            placed[name] = pd.Categorical([levels[name]] * len(rows), categories=categories, ordered=True)
    return placed
