"""Relapse rates: per arm and period, and the chance of staying free of relapses."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from trajectories.estimands.cells import over_cells
from trajectories.estimands.population import By, Fitted, Target, population_of
from trajectories.estimate import Estimate, Question
from trajectories.formulas import Matrices
from trajectories.models.relapses import RelapseCounts

__all__ = ["relapse_free", "relapse_rate"]


def relapse_rate(
    fit: Fitted,
    *,
    at: Sequence[float] | float | None = None,
    target: Target = "everyone",
    by: By = None,
    seed: int = 0,
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
        Whose covariates to standardise over: "everyone" in the model, the name of an arm, or `Weights` for their target population.
    by
        Patients' covariates of the formula and their values, such as {"edss_baseline": [1.5, 4.0, 6.0]}: everybody is given each.
    seed
        Seed of the draws of a maximum-likelihood fit.

    Returns
    -------
    An `Estimate`: chain × draw [× covariates of `by`] × arm [× period or window] [× years].

    Raises
    ------
    TypeError
        If the fit is not of relapse counts.
    ValueError
        If the formula has `years` and `at` is missing.

    Warns
    -----
    ExtrapolationWarning
        Where a time lies outside the observed follow-up of an arm.
    """
    model = _counts(fit)
    parameters, people = fit.draws(seed=seed), population_of(fit, target, seed)

    def rate(matrices: Matrices) -> xr.DataArray:
        return model.expectation(parameters, matrices)

    return Estimate(
        name="relapse rate",
        draws=over_cells(fit, people, rate, at, by),
        unit="relapses per person-year",
        definition=f"Mean yearly relapse rate of new patients like {people.words}, patient effects averaged over.",
        source=fit.description,
        caveats=fit.caveats,
        asked=Question(
            verb=relapse_rate, fit=fit, options={"at": at, "target": target, "by": by, "seed": seed}
        ),
        higher_is_worse=True,
    )


def relapse_free(
    fit: Fitted,
    *,
    years: float = 1.0,
    at: Sequence[float] | float | None = None,
    target: Target = "everyone",
    by: By = None,
    seed: int = 0,
) -> Estimate:
    """Estimate the probability that a new patient has no relapse in a span of time.

    Parameters
    ----------
    fit, at, target, by, seed
        As in `relapse_rate`.
    years
        Length of the span, in years.

    Returns
    -------
    An `Estimate`, probabilities: chain × draw [× covariates of `by`] × arm [× period or window] [× years].
    """
    model = _counts(fit)
    parameters, people = fit.draws(seed=seed), population_of(fit, target, seed)

    def free(matrices: Matrices) -> xr.DataArray:
        return model.relapse_free(parameters, matrices, years=years)

    return Estimate(
        name=f"free of relapses for {years:g} year{'' if years == 1 else 's'}",
        draws=over_cells(fit, people, free, at, by),
        unit="probability",
        definition=f"Probability that a new patient like {people.words} has no relapse in {years:g} year{'' if years == 1 else 's'}.",
        source=fit.description,
        caveats=fit.caveats,
        asked=Question(
            verb=relapse_free,
            fit=fit,
            options={"years": years, "at": at, "target": target, "by": by, "seed": seed},
        ),
    )


def _counts(fit: Fitted) -> RelapseCounts:
    if not isinstance(fit.model, RelapseCounts):
        raise TypeError(f"this needs a fit of models.RelapseCounts, not of {type(fit.model).__name__}.")
    return fit.model
