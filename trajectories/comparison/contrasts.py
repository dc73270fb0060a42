"""Contrasts between arms: draw by draw, standardised over a target population, weighted, augmented, and with a bootstrap of all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, overload

import numpy as np
import xarray as xr

from trajectories.comparison.arm_values import Job
from trajectories.comparison.augmented import AUGMENTABLE
from trajectories.comparison.bootstrap import Bootstrap, replicates
from trajectories.comparison.censoring import CensoringWeights
from trajectories.comparison.standing import constant, ground, standing
from trajectories.estimands.comparing import DESCRIPTIVE, compared
from trajectories.estimands.outcomes import Stabilisation
from trajectories.estimate import Estimate, EstimateSet, Question
from trajectories.fitting.point import PointFit
from trajectories.fitting.reweighted import Point, Refitter
from trajectories.models.design import Floats
from trajectories.weighting.values import Weights, check_weights

__all__ = ["contrast"]

# Draws of the normal approximation of augmented estimates.
DRAWS = 4000
# Replicates of a bootstrap below which the ends of its intervals are said to be rough.
FEW = 400


@overload
def contrast(
    estimate: Estimate,
    level: str | float,
    reference: str | float,
    *,
    over: str = ...,
    scale: Literal["difference", "ratio"] = ...,
    target: str | None = ...,
    weights: Weights | None = ...,
    augmented: bool = ...,
    window: float = ...,
    seen: CensoringWeights | None = ...,
    bootstrap: Bootstrap | None = ...,
) -> Estimate: ...
@overload
def contrast(
    estimate: Stabilisation,
    level: str | float,
    reference: str | float,
    *,
    over: str = ...,
    scale: Literal["difference", "ratio"] = ...,
    target: str | None = ...,
    weights: Weights | None = ...,
    bootstrap: Bootstrap | None = ...,
) -> EstimateSet: ...
def contrast(
    estimate: Estimate | Stabilisation,
    level: str | float,
    reference: str | float,
    *,
    over: str = "arm",
    scale: Literal["difference", "ratio"] = "difference",
    target: str | None = None,
    weights: Weights | None = None,
    augmented: bool = False,
    window: float = 0.25,
    seen: CensoringWeights | None = None,
    bootstrap: Bootstrap | None = None,
) -> Estimate | EstimateSet:
    """Compare two arms (or two levels of another dim): level minus, or over, reference.

    θ(level) − θ(reference), or θ(level) / θ(reference), each draw a value; their distribution says how probable a difference is.
    With `weights` θ(a) is standardised over their target population, Σ h(x_i) m_a(x_i) / Σ h(x_i), with m_a the outcome model's mean in arm a.
    `augmented` adds the weighted mean residual of those given a, Σ_{A_i=a} w_i c_i (Y_i − m_a(x_i)) / Σ_{A_i=a} w_i c_i, with 1/c_i the
    probability of having been seen given arm and covariates: right if either the model of the outcome or that of the weights is (doubly robust).
    A weighted fit alone (`tj.maximise(…, weights=…)`) is not doubly robust.

    Parameters
    ----------
    estimate
        An `Estimate` with the dim `over`, or a `Stabilisation` (then every part of it is compared).
    level, reference
        Names of arms, or levels of `over`.
    over
        The dim that is compared: "arm", or "period" for relapse rates.
    scale
        "difference", or "ratio" of rates or probabilities.
    target
        Whom to standardise over in place of the estimate's target: "everyone", an arm; or with weights their target ("ATE", "ATT", "ATO",
        "matching"), as a check.
    weights
        From `tj.weights`, `tj.entropy_balance` or `tj.match`. With a posterior (`tj.sample`) they name the target population only, whose
        patients are then a sample of it (Bayesian bootstrap): a weighted likelihood is none, and its posterior would not be one.
    augmented
        Whether to augment, for maximum likelihood and `tj.expected_edss`, `tj.change`, `tj.slope`, `tj.severity_probability`,
        `tj.event_probability`, `tj.relapse_rate` and `tj.lesion_count`.
    window
        How far, in years, a visit may be from the time it stands for, when augmented.
    seen
        From `tj.censoring_weights`, when augmented and the fit is of a cohort made by `tj.follow` under the same strategy: 1/c_i is then the
        probability of still being followed at the time, given the history up to it, times that of a visit among those who are.
    bootstrap
        For maximum likelihood: weights, outcome model and standardisation estimated again in every replicate, clustered by patient. Without
        it draws are from the normal approximation of the fit, or when augmented of what leaving each patient out does to the arms' values,
        through the weights that were estimated too (an approximate jackknife); matched sets are taken as known, and so is the target of a
        contrast that is not augmented.

    Returns
    -------
    An `Estimate` without the dim; of a `Stabilisation`, an `EstimateSet`. Its caveats say how many patients of each arm it stands on and
    what it assumes.

    Raises
    ------
    ValueError
        If a level does not exist, the scale is unknown, a ratio is asked for of what can be 0 or negative, or the target is not that of the
        weights.
    TypeError
        If this estimate or fit cannot be weighted, augmented or bootstrapped.
    ConvergenceError
        If more than 5 % of the bootstrap's replicates have no estimate.

    Source: Bang and Robins (2005), Biometrics 61:962, doi:10.1111/j.1541-0420.2005.00377.x; Li, Morgan and Zaslavsky (2018), Journal of
    the American Statistical Association 113:390, doi:10.1080/01621459.2016.1260466.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> cohort = tj.simulated_three_dmts_400()
    >>> fit = tj.maximise(models.GaussianMixed("edss ~ edss_baseline + age + arm * years + (1 | patient)"), cohort)
    >>> tj.contrast(tj.change(fit, 2.0), "alemtuzumab", "fingolimod").summary()["mean"].round(1).item()
    -0.4
    >>> overlap = tj.weights(tj.propensity(cohort, "arm ~ edss_baseline + age + relapses_year_before"), "ATO")
    >>> effect = tj.contrast(tj.expected_edss(fit, 2.0), "alemtuzumab", "fingolimod", weights=overlap, augmented=True)
    >>> effect.summary()["mean"].round(1).item()
    -0.4
    """
    level, reference = (name if isinstance(name, str) else f"{name:g}" for name in (level, reference))
    if weights is not None:
        check_weights(weights)
    if bootstrap is not None and not isinstance(bootstrap, Bootstrap):
        raise TypeError(f"bootstrap takes tj.Bootstrap(n=…), not a {type(bootstrap).__name__}.")
    if seen is not None and not augmented:
        raise ValueError(
            "censoring weights are of patients at a time, and go into augmented=True; a likelihood needs none of them."
        )
    if target is None and weights is None and not augmented and bootstrap is None:
        return _by_draw(estimate, level, reference, over, scale)
    if isinstance(estimate, Stabilisation):
        if augmented:
            raise TypeError(
                "a Stabilisation has several parts, of which only the change has an observed counterpart to augment with: contrast "
                "tj.change(fit, at)."
            )
        change, patients = (
            contrast(
                part, level, reference, over=over, scale=scale, target=target, weights=weights, bootstrap=bootstrap
            )
            for part in (estimate.change, estimate.patients)
        )  # fmt: skip
        definition = change.definition.replace("at the time", f"at {estimate.at:g} years")
        change = replace(change, draws=change.draws.isel(years=0, drop=True), definition=definition)
        return _set(estimate, level, reference, estimate.parts(change, patients))
    if estimate.asked is None or over != "arm":
        raise TypeError(
            f"{estimate.name} cannot be standardised anew: take an estimand of a fit, such as tj.change(fit, 2.0), and compare arms."
        )
    compared(estimate, level, reference, over, scale)  # refuses levels and scales before anything is computed
    asked, weights = _asked(estimate.asked, target, weights)
    _check_weights(asked, weights)
    if not augmented and bootstrap is None:
        said = standing(asked, level, reference, weights, augmented=False)
        return _with_constancy(compared(asked.again(), level, reference, over, scale, said), asked)
    _check_possible(estimate, asked, weights, augmented, bootstrap)
    job = Job(
        pair=(level, reference), refitter=Refitter.of(asked.fit), point=Point.of(asked.fit), cohort=asked.fit.cohort,
        question=replace(asked, fit=None), weights=weights, fit_weights=asked.fit.weights, augmented=augmented, window=window,
        seen=seen,
    )  # fmt: skip
    return _computed(replace(estimate, asked=asked), job, scale, bootstrap)


def _check_possible(
    estimate: Estimate, asked: Question, weights: Weights | None, augmented: bool, bootstrap: Bootstrap | None
) -> None:
    """Refuse to augment or bootstrap what cannot be."""
    if not isinstance(asked.fit, PointFit):
        raise TypeError(
            "augmenting and the bootstrap are for maximum likelihood (tj.maximise); of a posterior, standardise: weights= alone, or target=."
        )
    if augmented and asked.verb not in AUGMENTABLE:
        names = ", ".join(verb.__name__ for verb in AUGMENTABLE)
        raise TypeError(
            f"{estimate.name} has no observed counterpart by patient to augment with; those that have: {names}."
        )
    if augmented and asked.options.get("by"):
        raise ValueError("an estimate by covariates cannot be augmented: ask for it without by=.")
    if augmented and weights is None:
        raise ValueError("augmenting needs weights=: tj.weights(tj.propensity(cohort, 'arm ~ …'), 'ATE').")
    if bootstrap is not None and asked.fit.method == "reml":
        raise ValueError(
            "the bootstrap refits by maximum likelihood, and this fit is by REML: fit by method='maximum likelihood'."
        )


def _computed(estimate: Estimate, job: Job, scale: str, bootstrap: Bootstrap | None) -> Estimate:
    """The contrast of a job's arms, from the patients' influence or a bootstrap; `estimate.asked` is what is compared."""
    assert estimate.asked is not None
    (level, reference), weights = job.pair, job.weights
    stated, found = job.at(job.point, weights)
    point = stated.draws
    if job.augmented and scale == "ratio" and bool((point <= 0).any()):
        raise ValueError(
            f"augmented, {estimate.name} is {float(point.min()):.3g} in an arm, as a few patients with large weights decide it: print the "
            "weights, and trim them or compare the overlap (target='ATO'), or take scale='difference'."
        )
    said = standing(
        estimate.asked, level, reference, weights, augmented=job.augmented, bootstrap=bootstrap,
        found=found, seen=job.seen is not None,
    )  # fmt: skip
    if bootstrap is not None and bootstrap.n < FEW:
        said = (*said, _few(bootstrap.n))
    if job.seen is not None:
        said = (*said, *job.seen.said(bootstrapped=bootstrap is not None))
    whole = replace(estimate, asked=None, definition=stated.definition)
    if bootstrap is None:
        assert found is not None
        arms = _normal(point, found.influence.reshape(len(found.influence), -1), scale)
        source = "the normal approximation of the patients' influence"
        return compared(replace(whole, draws=arms, source=source), level, reference, "arm", scale, said)
    values, failed = replicates(job.replicate, job.cohort, bootstrap)
    source = f"{len(values)} replicates of the fractional bootstrap by {bootstrap.drawn(job.cohort)}"
    source += f" ({failed} more had no estimate)" if failed else ""
    made, centre = (
        compared(replace(whole, draws=draws, source=source), level, reference, "arm", scale, said)
        for draws in (_like(point, values), point)
    )
    return replace(
        made,
        draws=_centred(made.draws, centre.draws, scale),
        source=f"{source}, centred on the estimate",
    )


def _by_draw(
    estimate: Estimate | Stabilisation, level: str, reference: str, over: str, scale: str
) -> Estimate | EstimateSet:
    if isinstance(estimate, Stabilisation):
        said = _descriptive(estimate.change, level, reference, over)
        parts = {
            name: compared(part, level, reference, over, scale, said)
            for name, part in estimate.estimates.items()
        }
        return _set(estimate, level, reference, parts)
    made = compared(estimate, level, reference, over, scale, _descriptive(estimate, level, reference, over))
    return made if estimate.asked is None or over != "arm" else _with_constancy(made, estimate.asked)


def _with_constancy(made: Estimate, asked: Question) -> Estimate:
    return replace(made, caveats=(*made.caveats, *constant(made, asked.options.get("by") or {})))


def _set(estimate: Stabilisation, level: str, reference: str, parts: Mapping[str, Estimate]) -> EstimateSet:
    return EstimateSet(title=f"{level} compared with {reference}: {estimate.title}", estimates=parts)


def _descriptive(estimate: Estimate, level: str, reference: str, over: str) -> tuple[str, ...] | None:
    """How many patients of each arm a contrast stands on, and that it is descriptive; None where it is not of arms."""
    if estimate.asked is None or over != "arm":
        return None
    return (*ground(estimate.asked.fit, level, reference), DESCRIPTIVE)


def _asked(
    question: Question, target: str | None, weights: Weights | None
) -> tuple[Question, Weights | None]:
    """The question, of the target that was named, and the weights whose target it is; they may be those it was asked with."""
    if weights is None:
        if target is not None:
            return replace(question, options={**question.options, "target": target}), None
        before = question.options.get("target")
        return question, before if isinstance(before, Weights) else None
    if target is not None and target != weights.target:
        raise ValueError(
            f"these weights have the target {weights.target}, not {target!r}: make weights with that target."
        )
    return replace(question, options={**question.options, "target": weights}), weights


def _check_weights(asked: Question, weights: Weights | None) -> None:
    """Refuse weights of patients in other arms, and of another target than those of the fit."""
    if weights is None:
        return
    design = asked.fit.design
    own = weights.arm.reindex(list(design.patient_ids or ()))
    known = own.notna().to_numpy()
    other = (
        int((own.to_numpy()[known] != design.target["arm"].astype(str).to_numpy()[known]).sum())
        if len(own)
        else 0
    )
    if other:
        raise ValueError(
            f"{other} patients of this fit are in another arm by the weights: make both from the same cohort."
        )
    fitted = asked.fit.weights if isinstance(asked.fit, PointFit) else None
    if fitted is not None and (fitted.target, fitted.treated) != (weights.target, weights.treated):
        raise ValueError(
            f"the fit was weighted to the target {fitted.target}, and the contrast asks for {weights.target}: use the same weights in both, or "
            "an unweighted fit."
        )


def _few(n: int) -> str:
    """Say what 95 % equal-tailed intervals of few replicates hold: between order statistics (n − 1) q + 1, of n + 1 gaps."""
    share = 1 - 2 * ((n - 1) * 0.025 + 1) / (n + 1)
    return f"{n} replicates are few: even of a right bootstrap, 95 % intervals hold about {share:.1%}; take 500 or more"


def _normal(point: xr.DataArray, influence: Floats, scale: str) -> xr.DataArray:
    """Draws of the arms' values from the normal approximation, on the log scale for ratios: chain (1) × draw × …."""
    centre = point.isel(chain=0, draw=0).to_numpy()
    flat, covariance = centre.ravel(), influence.T @ influence
    ratio = scale == "ratio" and bool((flat > 0).all())
    if ratio:
        covariance, flat = covariance / np.outer(flat, flat), np.log(flat)
    drawn = np.random.default_rng(0).multivariate_normal(flat, covariance, size=DRAWS, method="eigh")
    return _like(point, (np.exp(drawn) if ratio else drawn).reshape(DRAWS, *centre.shape))


def _like(point: xr.DataArray, values: Floats) -> xr.DataArray:
    """Values (draws × …) as one chain of draws of what `point` is."""
    coords = {dim: point[dim].to_numpy() for dim in point.dims if dim not in ("chain", "draw")}
    return xr.DataArray(values[None], dims=point.dims, coords=coords)


def _centred(draws: xr.DataArray, centre: xr.DataArray, scale: str) -> xr.DataArray:
    """Move replicates so that their mean, of ratios the geometric one, is the estimate: the bootstrap's own bias is not part of it."""
    at = centre.isel(chain=0, draw=0, drop=True)
    if scale == "ratio":
        logs: xr.DataArray = xr.ufuncs.log(draws)
        moved: xr.DataArray = xr.ufuncs.exp(logs - logs.mean(("chain", "draw"))) * at
        return moved
    return draws + at - draws.mean(("chain", "draw"))
