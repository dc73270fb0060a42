"""The cells in which an estimand of counts is evaluated: every arm, period or window, and time of the formula."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.estimands.population import (
    By,
    Fitted,
    Population,
    arms_of,
    check_times,
    levels_of,
    warn_outside,
    weighted_mean,
)
from trajectories.formulas import Matrices
from trajectories.models.design import Design

__all__ = ["over_cells", "placed_at"]


def over_cells(
    fit: Fitted,
    people: Population,
    quantity: Callable[[Matrices], xr.DataArray],
    at: Sequence[float] | float | None,
    by: By = None,
) -> xr.DataArray:
    """Average a quantity (chain × draw × row) over a population by covariates, arm, period or window, and time; warns where not observed."""
    set_by = levels_of(fit.design, by)
    dims = {**set_by, **_dims(fit.design, at)}
    if "years" in dims:
        warn_outside(fit.design, dims["years"])
    cells, lead = [], (1, 1)
    for combination in itertools.product(*dims.values()):
        levels = dict(zip(dims, combination, strict=True))
        like = people.setting({name: levels[name] for name in set_by})
        placed = fit.design.placed(
            placed_at(fit.design, like.rows, levels), levels["arm"], levels.get("years", 0.0)
        )
        values = quantity(fit.design.at(placed)).transpose("chain", "draw", "row").to_numpy()
        lead = values.shape[:2]
        cells.append(weighted_mean(values.reshape(-1, values.shape[-1]), people.weights))
    stacked = np.stack(cells, axis=-1)
    shape = (*lead, *(len(levels) for levels in dims.values()))
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


def placed_at(design: Design, rows: pd.DataFrame, levels: Mapping[str, Any]) -> pd.DataFrame:
    """Put everybody into a period or window."""
    placed = rows.copy()
    for name in ("period", "window"):
        if name in levels:
            categories = design.frame[name].cat.categories
            placed[name] = pd.Categorical([levels[name]] * len(rows), categories=categories, ordered=True)
    return placed
