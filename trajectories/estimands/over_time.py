"""EDSS over time: its expectation, its change, its slope, and the share of patients at a level or above."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from trajectories import edss
from trajectories.estimands.population import (
    By,
    Fitted,
    Population,
    Target,
    arms_of,
    check_times,
    edss_model,
    labelled_draws,
    levels_of,
    population_of,
    warn_outside,
)
from trajectories.estimate import Estimate, Question
from trajectories.formulas import Matrices
from trajectories.models.binary import BinaryMixed
from trajectories.models.design import Design, Floats

__all__ = ["change", "event_probability", "expected_edss", "severity_probability", "slope"]

BASELINE = "edss_baseline"


def expected_edss(
    fit: Fitted, at: float | Sequence[float], *, target: Target = "everyone", by: By = None, seed: int = 0
) -> Estimate:
    """Estimate the expected EDSS of each arm at given times.

    E[EDSS | arm a, t] = mean over target patients of ∫ Σ_k level_k P(EDSS = k | a, t, x, u) N(u; 0, Σ) du.

    Parameters
    ----------
    fit
        A `Fit` or `PointFit` of an EDSS model.
    at
        Years since the index date, one or several.
    target
        Whose covariates to standardise over: "everyone" in the model, the name of an arm, or `Weights` for their target population; with a
        posterior its patients are then a sample of that population (Bayesian bootstrap).
    by
        Patients' covariates of the formula and their values, such as {"edss_baseline": [1.5, 4.0, 6.0]}: everybody is given each.
    seed
        Seed of the draws of a maximum-likelihood fit.

    Returns
    -------
    An `Estimate` in EDSS points: chain × draw [× covariates of `by`] × arm × years.

    Raises
    ------
    TypeError
        If the fit is not of an EDSS model.
    FormulaError
        If the formula uses a column of visits other than the time, or lacks a covariate of `by`.

    Warns
    -----
    ExtrapolationWarning
        Where a time lies outside the observed follow-up of an arm.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> cohort = tj.simulated_three_dmts_400()
    >>> fit = tj.maximise(models.GaussianMixed("edss ~ arm * years + (1 | patient)"), cohort)
    >>> tj.expected_edss(fit, [0, 2]).summary()["mean"].round(1)
    arm          years
    fingolimod   0.0      2.5
                 2.0      2.9
    ocrelizumab  0.0      3.3
                 2.0      3.6
    alemtuzumab  0.0      3.4
                 2.0      3.2
    Name: mean, dtype: float64
    """
    model, times = edss_model(fit), check_times(at)
    people, parameters = population_of(fit, target, seed), fit.draws(seed=seed)

    def mean(placed: Population, arm: str, years: float) -> Floats:
        return model.averaged_edss(parameters, *placed.at(arm, years))

    draws = _over_cells(people, parameters, mean, times, by)
    warn_outside(fit.design, times)
    return Estimate(
        name="expected EDSS",
        draws=draws,
        unit="EDSS points",
        definition=f"Mean EDSS at the time, of new patients like {people.words}, patient effects averaged over.",
        source=fit.description,
        caveats=fit.caveats,
        higher_is_worse=True,
        asked=Question(
            verb=expected_edss, fit=fit, options={"at": times, "target": target, "by": by, "seed": seed}
        ),
    )


def _over_cells(
    people: Population,
    drawn: xr.Dataset | xr.DataArray,
    quantity: Callable[[Population, str, float], Floats],
    times: list[float],
    by: By,
) -> xr.DataArray:
    """Evaluate a quantity (samples) of a population by the values of covariates, arm and time: chain × draw × … × arm × years."""
    levels, arms = levels_of(people.design, by), arms_of(people.design)
    cells = []
    for combination in itertools.product(*levels.values()):
        placed = people.setting(dict(zip(levels, combination, strict=True)))
        cells += [quantity(placed, arm, t) for arm in arms for t in times]
    coords = {**levels, "arm": arms, "years": times}
    samples = np.stack(cells, axis=-1)
    return labelled_draws(
        samples.reshape(len(samples), *(len(values) for values in coords.values())), drawn, coords
    )


def severity_probability(
    fit: Fitted,
    at: float | Sequence[float],
    *,
    threshold: float = 6.0,
    target: Target = "everyone",
    by: By = None,
    seed: int = 0,
) -> Estimate:
    """Estimate the probability that EDSS is at or above a threshold, such as 4 or 6, by arm and time.

    P(EDSS ≥ threshold | arm a, t), averaged over patients as in `expected_edss`.

    Parameters
    ----------
    fit, at, target, by, seed
        As in `expected_edss`; the fit may also be of `models.BinaryMixed` of EDSS at this threshold.
    threshold
        A level of the EDSS.

    Returns
    -------
    An `Estimate`, probabilities: chain × draw × arm × years.

    Raises
    ------
    ValueError
        If the threshold is not a level of the EDSS, or not that of the `BinaryMixed`; for the rest see `expected_edss`.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> cohort = tj.simulated_three_dmts_400()
    >>> fit = tj.maximise(models.GaussianMixed("edss ~ arm * years + (1 | patient)"), cohort)
    >>> tj.severity_probability(fit, 2.0, threshold=6.0).summary()["mean"].round(2).tolist()
    [0.07, 0.14, 0.1]
    """
    if isinstance(fit.model, BinaryMixed):
        if fit.model.threshold != threshold:
            raise ValueError(
                f"this fit says whether {fit.model.event}, and nothing of EDSS ≥ {threshold:g}: take event_probability, or fit "
                f"BinaryMixed with threshold={threshold:g}, or OrdinalMixed, which has all levels."
            )
        return event_probability(fit, at, target=target, by=by, seed=seed)
    model, first = edss_model(fit), int(edss.code(threshold))
    return _probability(
        fit,
        check_times(at),
        lambda parameters, *where: model.averaged_levels(parameters, *where)[:, first:].sum(axis=1),
        f"EDSS ≥ {threshold:g}",
        Question(
            verb=severity_probability,
            fit=fit,
            options={"at": at, "threshold": threshold, "target": target, "by": by, "seed": seed},
        ),
    )


def event_probability(
    fit: Fitted, at: float | Sequence[float], *, target: Target = "everyone", by: By = None, seed: int = 0
) -> Estimate:
    """Estimate the probability of the event of a binary outcome by arm and time, of a population.

    P(y = 1 | arm a, t) = mean over target patients of ∫ F(intercept + x'β + z'u) N(u; 0, Σ) du. Its contrasts are risk differences and
    ratios of populations; the coefficients of the model are log odds ratios of one patient.

    Parameters
    ----------
    fit
        A `Fit` or `PointFit` of `models.BinaryMixed`.
    at, target, by, seed
        As in `expected_edss`.

    Returns
    -------
    An `Estimate`, probabilities: chain × draw [× covariates of `by`] × arm × years.

    Raises
    ------
    TypeError
        If the fit is not of `BinaryMixed`.
    FormulaError
        If the formula uses a column of visits other than the time.

    Warns
    -----
    ExtrapolationWarning
        Where a time lies outside the observed follow-up of an arm.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> model = models.BinaryMixed("edss ~ arm * years + (1 | patient)", threshold=4.0)
    >>> fit = tj.maximise(model, tj.simulated_three_dmts_400(), quadrature=21)
    >>> event_probability(fit, 2.0).summary()["mean"].round(2).tolist()
    [0.28, 0.43, 0.37]
    """
    model = fit.model
    if not isinstance(model, BinaryMixed):
        raise TypeError(
            f"this needs a fit of models.BinaryMixed, not {type(model).__name__}; for a level of EDSS take severity_probability."
        )
    asked = Question(
        verb=event_probability, fit=fit, options={"at": at, "target": target, "by": by, "seed": seed}
    )
    return _probability(fit, check_times(at), model.averaged_probability, model.event, asked)


def _probability(
    fit: Fitted,
    times: list[float],
    averaged: Callable[[xr.Dataset, Matrices, Floats], Floats],
    event: str,
    asked: Question,
) -> Estimate:
    """Average a probability over the target at each arm and time."""
    seed = asked.options["seed"]
    people = population_of(fit, asked.options["target"], seed)
    parameters = fit.draws(seed=seed)

    def share(placed: Population, arm: str, years: float) -> Floats:
        return averaged(parameters, *placed.at(arm, years))

    draws = _over_cells(people, parameters, share, times, asked.options["by"])
    warn_outside(fit.design, times)
    return Estimate(
        name=f"probability of {event}",
        draws=draws,
        unit="probability",
        definition=f"Share of new patients like {people.words} with {event} at the time, patient effects averaged over.",
        source=fit.description,
        caveats=fit.caveats,
        higher_is_worse=event.startswith("EDSS "),
        asked=asked,
    )


def change(
    fit: Fitted,
    at: float | Sequence[float],
    *,
    since: float = 0.0,
    target: Target = "everyone",
    by: By = None,
    seed: int = 0,
) -> Estimate:
    """Estimate the change in expected EDSS of each arm since a time, treatment start by default.

    Δ_a(t) = E[EDSS | a, t] − E[EDSS | a, since]; positive is worse. With `edss_baseline` in the formula visits up to 0 are no outcomes, so
    the change since 0 is from what was observed: E[EDSS | a, t] minus the mean baseline EDSS of the target.

    Parameters
    ----------
    fit, at, target, by, seed
        As in `expected_edss`. With by={"edss_baseline": …} the change since 0 is from that value.
    since
        Years since the index date to compare with.

    Returns
    -------
    An `Estimate` in EDSS points: chain × draw [× covariates of `by`] × arm × years.

    Raises
    ------
    TypeError, FormulaError
        As in `expected_edss`.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> model = models.GaussianMixed("edss ~ years + (1 | patient)")
    >>> fit = tj.maximise(model, tj.simulated_alemtuzumab_35())
    >>> tj.change(fit, 2.0).summary()["mean"].round(1).item()
    0.5
    """
    times, people = check_times(at), population_of(fit, target, seed)
    if from_observed_baseline(fit.design, since):
        levels = expected_edss(fit, times, target=target, by=by, seed=seed).draws
        samples = np.ones(levels.sizes["chain"] * levels.sizes["draw"])

        def observed(placed: Population, arm: str, years: float) -> Floats:
            return placed.mean(BASELINE) * samples

        before = _over_cells(people, levels, observed, times, by)
    else:
        every = sorted({*times, float(since)})
        levels = expected_edss(fit, every, target=target, by=by, seed=seed).draws
        before = levels.sel(years=float(since), drop=True)
    return Estimate(
        name="change in EDSS",
        draws=levels.sel(years=times) - before,
        unit="EDSS points",
        definition=change_definition(people, "the time", since, given=BASELINE in (by or {})),
        source=fit.description,
        caveats=(*fit.caveats, *baseline_caveats(fit.design, since)),
        null=0.0,
        higher_is_worse=True,
        asked=Question(
            verb=change,
            fit=fit,
            options={"at": times, "since": since, "target": target, "by": by, "seed": seed},
        ),
    )


def change_definition(people: Population, at: str, since: float, *, given: bool = False) -> str:
    """Say which change in mean EDSS is meant; `given` where the baseline is one of the values it is asked for."""
    start = f"at {since:g} years"
    if from_observed_baseline(people.design, since):
        observed = f"the observed baseline EDSS, {people.mean(BASELINE).mean():.2f} on average"
        start = "the baseline EDSS that is given" if given else observed
    return f"Mean EDSS at {at} minus {start}, of new patients like {people.words}; positive is worse."


def from_observed_baseline(design: Design, since: float) -> bool:
    """Whether a change since a time is from the observed baseline: the model conditions on it, and has no outcome before it."""
    return since == 0 and BASELINE in design.formula.columns


def baseline_caveats(design: Design, since: float) -> tuple[str, ...]:
    if BASELINE not in design.formula.columns or since > 0:
        return ()
    if since == 0:
        return (
            "the change is from the observed baseline EDSS, which holds chance fluctuation: patients who start treatment on a bad day improve "
            "without it (regression to the mean), in all arms alike if their baselines are",
        )
    return (
        f"with {BASELINE} in the formula no visit at or before 0 is an outcome, so EDSS at {since:g} years is extrapolated back by arm: "
        "take the change since 0, or compare arms by expected EDSS at a later time",
    )


def slope(
    fit: Fitted,
    between: tuple[float, float] = (0.0, 2.0),
    *,
    target: Target = "everyone",
    by: By = None,
    seed: int = 0,
) -> Estimate:
    """Estimate the mean slope of expected EDSS between two times, by arm.

    (E[EDSS | a, t₂] − E[EDSS | a, t₁]) / (t₂ − t₁); positive is worse.

    Parameters
    ----------
    fit, target, by, seed
        As in `expected_edss`.
    between
        The two times, years since the index date.

    Returns
    -------
    An `Estimate` in EDSS points per year: chain × draw [× covariates of `by`] × arm.

    Raises
    ------
    ValueError
        If the times do not ascend.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> model = models.GaussianMixed("edss ~ years + (1 | patient)")
    >>> fit = tj.maximise(model, tj.simulated_alemtuzumab_35())
    >>> tj.slope(fit, (0.0, 2.0)).summary()["mean"].round(2).item()
    0.26
    """
    start, end = between
    if not end > start:
        raise ValueError(f"between must be two ascending times, not {between}.")
    total = change(fit, end, since=start, target=target, by=by, seed=seed)
    return Estimate(
        name="slope of EDSS",
        draws=total.draws.isel(years=0, drop=True) / (end - start),
        unit="EDSS points per year",
        definition=f"Per year from {start:g} to {end:g} years: {total.definition}",
        source=fit.description,
        caveats=total.caveats,
        null=0.0,
        higher_is_worse=True,
        asked=Question(
            verb=slope, fit=fit, options={"between": between, "target": target, "by": by, "seed": seed}
        ),
    )
