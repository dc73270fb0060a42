"""Weights from propensities: for everybody, the treated, or those who could have been given any arm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.caveats import SIMULATED
from trajectories.cohort import Cohort
from trajectories.weighting.cases import Cases, by_arm
from trajectories.weighting.errors import WeightingError
from trajectories.weighting.estimation import of_propensities, of_scales, together
from trajectories.weighting.positivity import positivity
from trajectories.weighting.scores import Propensity, fitted, kept
from trajectories.weighting.values import Target, Weights, normalised

__all__ = ["Trim", "check_target", "counted_quantile", "weights"]

type Floats = NDArray[np.float64]

_POPULATIONS = {
    "ATE": "all patients with complete covariates",
    "ATT": "patients like those given {treated}",
    "ATO": "the overlap: patients who could have been given any of the arms count most",
    "matching": "patients whom matching would pair, one of every arm",
}
_METHODS = {
    "ATE": "inverse probability weights 1/e",
    "ATT": "odds weights e of {treated} / e of the own arm",
    "ATO": "overlap weights (1/e) / Σ 1/e",
    "matching": "matching weights min(e) / e",
}


@dataclass(frozen=True, kw_only=True)
class Trim:
    """How extreme weights are trimmed: patients left out, or weights capped; one of the two.

    Parameters
    ----------
    below
        Leave out patients who have a probability below this of any arm: the target becomes those who remain.
    refit
        Whether the propensities are estimated again among those who remain (once).
    quantile
        Cap the weights of each arm at this quantile of them.

    Standard errors allow for the estimation of the propensities, but take as fixed who was trimmed, and the caps as the numbers they are; a
    bootstrap trims and caps anew.

    Source: Crump et al. (2009), Dealing with limited overlap in estimation of average treatment effects, Biometrika 96:187,
    doi:10.1093/biomet/asn055.

    Examples
    --------
    >>> Trim(below=0.05)
    Trim(below=0.05, refit=True, quantile=None)
    """

    below: float | None = None
    refit: bool = True
    quantile: float | None = None

    def __post_init__(self) -> None:
        if (self.below is None) == (self.quantile is None):
            raise ValueError(
                "say either below, to leave patients out, or quantile, to cap weights: Trim(below=0.05)."
            )
        if self.below is not None and not 0 < self.below < 0.5:
            raise ValueError(f"below is a probability between 0 and 0.5, not {self.below}.")
        if self.quantile is not None and not 0.5 < self.quantile < 1:
            raise ValueError(f"quantile lies between 0.5 and 1, not {self.quantile}.")


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    cases: Cases = field(repr=False)
    target: Target
    treated: str | None
    stabilised: bool
    trim: Trim | None

    fractional: ClassVar[bool] = True

    def remade(self, cohort: Cohort, counts: pd.Series | None = None) -> Weights:
        return _weighted(fitted(self.cases.again(cohort, counts)), self, accepted=True)


def weights(
    propensity: Propensity,
    target: Target = "ATE",
    *,
    treated: str | None = None,
    stabilised: bool = False,
    trim: Trim | None = None,
    accept_positivity: bool = False,
) -> Weights:
    """Weight the patients of every arm so that they resemble one target population.

    w_i = h(x_i) / e_a(x_i) for a patient given arm a, with h = 1 (`ATE`: everybody), e_treated (`ATT`: those given `treated`),
    (Σ_k 1/e_k)⁻¹ (`ATO`: the overlap) or min_k e_k (`matching`); then scaled to average 1 within each arm.

    Parameters
    ----------
    propensity
        From `propensity`.
    target
        `"ATE"`, `"ATT"`, `"ATO"` or `"matching"`.
    treated
        For ATT, the arm whose patients are the target.
    stabilised
        Multiply by the share of the arm. This changes `raw` only: `values` average 1 within each arm either way, which stabilises them
        already.
    trim
        `Trim(below=…)` or `Trim(quantile=…)`; what was trimmed is said by arm.
    accept_positivity
        Go on although more than 2 % of the target's patients have a probability below 0.025 of an arm, and mark the result.

    Returns
    -------
    Weights
        With `remade(cohort)`, which repeats the estimation on a resample. Standard errors allow for the estimation of the propensities.

    Raises
    ------
    PositivityError
        For ATE and ATT, if too many patients of the target could hardly have been given an arm; names where they are.
    WeightingError
        For an unknown target or arm, or a trimming that leaves too few.

    Source: Li, Greene (2013), A weighting analogue to pair matching, Int J Biostat 9:215, doi:10.1515/ijb-2012-0030; Li, Li (2019),
    Propensity score weighting for causal inference with multiple treatments, Ann Appl Stat 13:2389, doi:10.1214/19-AOAS1282.

    Examples
    --------
    >>> from trajectories.example_cohorts import simulated_three_dmts_400
    >>> from trajectories.weighting import propensity
    >>> scores = propensity(simulated_three_dmts_400(), "arm ~ age + sex + edss_baseline + relapses_year_before")
    >>> weights(scores, "ATO").effective_sample_size.round(0).to_dict()
    {'fingolimod': 118.0, 'ocrelizumab': 100.0, 'alemtuzumab': 91.0}
    """
    check_target(target, treated, propensity.arms, tuple(_POPULATIONS))
    recipe = _Recipe(
        cases=propensity.cases,
        target=target,
        treated=treated,
        stabilised=stabilised,
        trim=trim,
    )
    return _weighted(propensity, recipe, accepted=accept_positivity, judged=target in ("ATE", "ATT"))


def check_target(target: str, treated: str | None, arms: tuple[str, ...], offered: tuple[str, ...]) -> None:
    """Refuse targets that are not offered, and an arm that is lacking, unknown or not asked for."""
    if target not in offered:
        raise WeightingError(f"{target!r} is no target here: choose one of {', '.join(offered)}.")
    if target == "ATT" and treated not in arms:
        raise WeightingError(
            f"ATT needs the arm whose patients are the target: treated= one of {', '.join(arms)}, not {treated!r}."
        )
    if target != "ATT" and treated is not None:
        raise WeightingError(f"treated={treated!r} belongs to target='ATT', not to {target!r}: leave it out.")


def _weighted(scores: Propensity, recipe: _Recipe, *, accepted: bool, judged: bool = False) -> Weights:
    everybody, trim, notes = scores.cases, recipe.trim, list(scores.notes)
    estimated = scores
    if trim is not None and trim.below is not None:
        scores, note = _without_extremes(scores, trim)
        estimated = scores if trim.refit else estimated
        notes.append(note)
    caveats = list(positivity(scores, recipe.target, recipe.treated, accepted=accepted)) if judged else []
    if scores.simulated:
        caveats.append(SIMULATED)
    cases = scores.cases
    raw, counted = _of_probabilities(scores.probabilities.to_numpy(), recipe, cases)
    caps = np.full(len(raw), np.inf)
    if trim is not None and trim.quantile is not None:
        caps, note = _caps(raw, cases, trim.quantile)
        notes.append(note)
    arm = cases.named()

    def scaled(raw: Floats) -> tuple[pd.Series, dict[str, float]]:
        capped = pd.Series(np.minimum(raw, caps), index=cases.patients)
        return normalised(capped, arm, cases.arms, cases.counts)

    def made(e: Floats) -> tuple[Floats, Floats]:
        raw, counted = _of_probabilities(e, recipe, cases)
        return scaled(raw)[0].to_numpy(), counted

    values, scales = scaled(raw)
    estimation = None
    if cases.counts is None:  # a replicate of a bootstrap needs no standard errors
        through = of_propensities(estimated, cases.X, cases.patients, made)
        estimation = together(through, of_scales(values, arm, cases.arms))
    return Weights(
        values=values, standardisation=pd.Series(counted, index=cases.patients, name="standardisation"), arm=arm, arms=cases.arms,
        target=recipe.target, treated=recipe.treated, description=_describe(recipe), caveats=tuple(caveats), notes=tuple(notes),
        candidates=everybody.covariates.assign(arm=everybody.named()), cohort_sizes=everybody.cohort_sizes, scales=scales,
        probabilities=scores.probabilities, simulated=scores.simulated, recipe=recipe, estimation=estimation,
    )  # fmt: skip


def _of_probabilities(e: Floats, recipe: _Recipe, cases: Cases) -> tuple[Floats, Floats]:
    """Unscaled weights h/e, and what patients count in the target: h, for ATT the indicator of the treated arm."""
    h = _tilt(e, recipe, cases)
    raw = h / e[np.arange(len(e)), cases.code]
    if recipe.stabilised:
        counts = np.bincount(cases.code, weights=cases.counts)
        raw = raw * (counts / counts.sum())[cases.code]
    if recipe.treated is None:
        return raw, h
    return raw, (cases.code == cases.arms.index(recipe.treated)).astype(float)


def _tilt(e: Floats, recipe: _Recipe, cases: Cases) -> Floats:
    """Return h(x), what a patient counts in the target population; ATT's is the propensity of the treated arm."""
    if recipe.treated is not None:
        return np.asarray(e[:, cases.arms.index(recipe.treated)])
    if recipe.target == "ATE":
        return np.ones(len(e))
    return np.asarray(1 / (1 / e).sum(axis=1) if recipe.target == "ATO" else e.min(axis=1))


def _without_extremes(scores: Propensity, trim: Trim) -> tuple[Propensity, str]:
    arms, cases = scores.arms, scores.cases
    assert trim.below is not None
    if trim.below >= 1 / len(arms):
        raise WeightingError(
            f"nobody has a probability of {trim.below:g} or more of all {len(arms)} arms: trim less."
        )
    inside = scores.probabilities.to_numpy().min(axis=1) >= trim.below
    remaining = np.bincount(cases.code[inside], minlength=len(arms))
    if remaining.min() < 2:
        raise WeightingError(
            f"trimming at {trim.below:g} leaves {remaining.min()} patients of {arms[int(remaining.argmin())]}: trim less, or use target='ATO', "
            "which needs no trimming."
        )
    named = cases.named()
    again = ", propensities estimated again" if trim.refit else ""
    note = (
        f"trimmed, as a probability is below {trim.below:g}: {by_arm(named[~inside], named, arms)}{again}; standard errors take as fixed who "
        "was trimmed"
    )
    return kept(scores, inside, refit=trim.refit), note


def _caps(raw: Floats, cases: Cases, quantile: float) -> tuple[Floats, str]:
    """The cap of each patient's weight, and how many it caps."""
    f = np.ones(len(raw)) if cases.counts is None else cases.counts
    mine = [cases.code == k for k in range(len(cases.arms))]
    caps = np.array([counted_quantile(raw[who], f[who], quantile) for who in mine])[cases.code]
    over, named = raw > caps, cases.named()
    note = (
        f"weights capped at their {quantile:g} quantile in the arm: {by_arm(named[over], named, cases.arms)}; standard errors take the caps as "
        "fixed"
    )
    return caps, note


def counted_quantile(values: Floats, counts: Floats, quantile: float) -> float:
    """Quantile, interpolated between neighbours, of values of which each is there as often as counts say; not only whole numbers.

    >>> counted_quantile(np.array([1.0, 5.0, 2.0]), np.array([1.0, 2.0, 1.0]), 0.5)  # of 1, 2, 5, 5
    3.5
    """
    order = np.argsort(values)
    reached = np.cumsum(counts[order])
    place = 1 + max(reached[-1] - 1, 0.0) * quantile
    below = np.floor(place + 1e-9)
    at = np.searchsorted(reached, np.array([below, below + 1]) - 1e-9)
    low, high = values[order][np.minimum(at, len(values) - 1)]
    return float(low + max(place - below, 0.0) * (high - low))


def _describe(recipe: _Recipe) -> str:
    population = _POPULATIONS[recipe.target].format(treated=recipe.treated)
    if recipe.trim is not None and recipe.trim.below is not None:
        population += f", of those with a probability of at least {recipe.trim.below:g} of every arm"
    method = _METHODS[recipe.target].format(treated=recipe.treated)
    return f"target {recipe.target}: {population}; {method} from {recipe.cases.formula!r}."
