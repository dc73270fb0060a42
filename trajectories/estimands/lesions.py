"""MRI lesions: the expected count by arm and time, and the chance of a scan without any."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from trajectories.estimands.cells import over_cells
from trajectories.estimands.population import By, Fitted, Target, population_of
from trajectories.estimate import Estimate, Question
from trajectories.formulas import Matrices
from trajectories.models.blocks.lesion_rows import LESIONS
from trajectories.models.lesions import LesionCounts

__all__ = ["lesion_count", "lesion_free"]


def lesion_count(
    fit: Fitted,
    *,
    at: Sequence[float] | float | None = None,
    target: Target = "everyone",
    by: By = None,
    seed: int = 0,
) -> Estimate:
    """Estimate the expected number of lesions by arm and, where the formula has them, time, period or window.

    E[count | arm, years] = mean over target patients of ∫ exp(intercept + x'β + z'u) N(u; 0, Σ) du: enhancing lesions a scan, or
    new T2 lesions a year.

    Parameters
    ----------
    fit
        A `Fit` or `PointFit` of `models.LesionCounts`.
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
        If the fit is not of lesion counts.
    ValueError
        If the formula has `years` and `at` is missing.

    Examples
    --------
    >>> import pandas as pd
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> visits = pd.DataFrame({"patient": range(6), "day": 0, "edss": 2.0})
    >>> mri = pd.DataFrame({"patient": range(6), "day": 300, "gd_count": [0, 0, 1, 5, 0, 0]})
    >>> fit = tj.maximise(models.LesionCounts("gd_count ~ 1"), tj.read_cohort(visits, mri=mri))
    >>> round(float(lesion_count(fit).draws.median()), 1)
    1.0
    """
    model, outcome = _lesions(fit)
    parameters, people = fit.draws(seed=seed), population_of(fit, target, seed)

    def count(matrices: Matrices) -> xr.DataArray:
        return model.expectation(parameters, matrices)

    return Estimate(
        name=LESIONS[outcome],
        draws=over_cells(fit, people, count, at, by),
        unit="lesions a scan" if outcome == "gd_count" else "lesions per year",
        definition=f"Mean {LESIONS[outcome]} of new patients like {people.words}, patient effects averaged over.",
        source=fit.description,
        caveats=fit.caveats,
        asked=Question(
            verb=lesion_count, fit=fit, options={"at": at, "target": target, "by": by, "seed": seed}
        ),
        higher_is_worse=True,
    )


def lesion_free(
    fit: Fitted,
    *,
    years: float = 1.0,
    at: Sequence[float] | float | None = None,
    target: Target = "everyone",
    by: By = None,
    seed: int = 0,
) -> Estimate:
    """Estimate the probability that a scan of a new patient shows no such lesion.

    Parameters
    ----------
    fit, at, target, by, seed
        As in `lesion_count`.
    years
        For new T2 lesions, the time since the scan before; enhancing lesions have no such time.

    Returns
    -------
    An `Estimate`, probabilities: chain × draw [× covariates of `by`] × arm [× period or window] [× years].

    Raises
    ------
    TypeError
        If the fit is not of lesion counts.
    ValueError
        If `years` is not positive, or not 1 for enhancing lesions; as in `lesion_count`; or for a GEE.
    """
    model, outcome = _lesions(fit)
    parameters, people = fit.draws(seed=seed), population_of(fit, target, seed)

    def free(matrices: Matrices) -> xr.DataArray:
        return model.lesion_free(parameters, matrices, years=years)

    span = "" if outcome == "gd_count" else f" {years:g} year{'' if years == 1 else 's'} after the one before"
    what = "gadolinium-enhancing" if outcome == "gd_count" else "new T2"
    return Estimate(
        name=f"free of {what} lesions",
        draws=over_cells(fit, people, free, at, by),
        unit="probability",
        definition=f"Probability that a scan{span} of a new patient like {people.words} shows no {what} lesion.",
        source=fit.description,
        caveats=fit.caveats,
        asked=Question(
            verb=lesion_free,
            fit=fit,
            options={"years": years, "at": at, "target": target, "by": by, "seed": seed},
        ),
    )


def _lesions(fit: Fitted) -> tuple[LesionCounts, str]:
    if not isinstance(fit.model, LesionCounts):
        raise TypeError(f"this needs a fit of models.LesionCounts, not of {type(fit.model).__name__}.")
    return fit.model, fit.design.formula.response
