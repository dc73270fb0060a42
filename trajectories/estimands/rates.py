"""Relapse rates: per arm and period, and the chance of staying free of relapses."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.estimands.population import Fitted, arms_of, check_times, hypothetical, target_rows, whom
from trajectories.estimate import Estimate
from trajectories.formulas import Matrices
from trajectories.models.base import Design, Floats
from trajectories.models.relapses import RelapseCounts

__all__ = ["relapse_free", "relapse_rate"]


def relapse_rate(
    fit: Fitted, *, at: Sequence[float] | float | None = None, target: str = "everyone", seed: int = 0
) -> Estimate:
    """Estimate the relapse rate by arm and, where the formula has it, by period or window.

    E[rate | arm, period] = mean over target patients of ∫ exp(intercept + x'β + z'u) N(u; 0, Σ) du, relapses per person-year.

    Parameters
    ----------
    fit
        A `Fit` or `PointFit` of `models.RelapseCounts`.
    at
        Years since the index date, only for a formula with `years`.
    target
        Whose covariates to standardise over: "everyone" in the model, or the name of an arm.
    seed
        Seed of the draws of a maximum-likelihood fit.

    Returns
    -------
    An `Estimate`: chain × draw × arm [× period or window] [× years].

    Raises
    ------
    TypeError
        If the fit is not of relapse counts.
    ValueError
        If the formula has `years` and `at` is missing.
    """
    model = _counts(fit)
    parameters = fit.draws(seed=seed)

    def rate(matrices: Matrices) -> Floats:
        return model.expectation(parameters, matrices).mean("row").to_numpy()

    return Estimate(
        name="relapse rate",
        draws=_over_cells(fit, rate, at, target),
        unit="relapses per person-year",
        definition=f"Mean yearly relapse rate of new patients like {whom(fit.design, target)}, patient effects averaged over.",
        source=fit.description,
        caveats=fit.caveats,
        higher_is_worse=True,
    )


def relapse_free(
    fit: Fitted,
    *,
    years: float = 1.0,
    at: Sequence[float] | float | None = None,
    target: str = "everyone",
    seed: int = 0,
) -> Estimate:
    """Estimate the probability that a new patient has no relapse in a span of time.

    Parameters
    ----------
    fit, at, target, seed
        As in `relapse_rate`.
    years
        Length of the span, in years.

    Returns
    -------
    An `Estimate`, probabilities: chain × draw × arm [× period or window] [× years].
    """
    model = _counts(fit)
    parameters = fit.draws(seed=seed)

    def free(matrices: Matrices) -> Floats:
        return model.relapse_free(parameters, matrices, years=years).mean("row").to_numpy()

    return Estimate(
        name=f"free of relapses for {years:g} year{'' if years == 1 else 's'}",
        draws=_over_cells(fit, free, at, target),
        unit="probability",
        definition=f"Probability that a new patient like {whom(fit.design, target)} has no relapse in {years:g} year(s).",
        source=fit.description,
        caveats=fit.caveats,
    )


def _counts(fit: Fitted) -> RelapseCounts:
    if not isinstance(fit.model, RelapseCounts):
        raise TypeError(f"this needs a fit of models.RelapseCounts, not of {type(fit.model).__name__}.")
    return fit.model


def _over_cells(
    fit: Fitted, quantity: Callable[[Matrices], Floats], at: Sequence[float] | float | None, target: str
) -> xr.DataArray:
    """Evaluate a quantity (chain × draw) in every arm, period or window, and time."""
    dims = _dims(fit.design, at)
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
