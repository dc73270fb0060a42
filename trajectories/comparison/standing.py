"""What a contrast between arms stands on: how many patients, and what must hold for it to be an effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trajectories.caveats import Doubt
from trajectories.comparison.augmented import Corrections
from trajectories.comparison.bootstrap import Bootstrap
from trajectories.comparison.calendar_time import calendar_overlap
from trajectories.comparison.following import cut_caveat
from trajectories.comparison.histories import start_years
from trajectories.endpoints.persons import with_several_episodes
from trajectories.estimands.comparing import DESCRIPTIVE
from trajectories.estimands.over_time import BASELINE
from trajectories.estimands.population import Fitted
from trajectories.estimate import Estimate, Question
from trajectories.fitting.fit import Fit
from trajectories.fitting.point import PointFit
from trajectories.models.base import EdssModel
from trajectories.models.binary import BinaryMixed
from trajectories.models.counts import CountModel
from trajectories.models.design import Design
from trajectories.weighting.values import Weights

__all__ = ["baseline_fixed", "constant", "ground", "numbers", "standing"]

ASSUMED = Doubt(
    "an effect of the drug only if every common cause of treatment choice and outcome is among the covariates, and every patient could "
    "have been given either arm"
)
NOT_FIXED = Doubt(
    "descriptive: the arms may differ at time 0 in this model, and that difference is imbalance, not effect; put edss_baseline into the "
    "formula, or leave the arm's own term out so that arms start alike (edss ~ years + years:arm + …)"
)
POOLED = Doubt(
    "descriptive: the rates are of the years before and after time 0 together, and a difference before is imbalance, not effect; count from "
    "the start by windows=(0, None), or put period into the formula"
)
BEFORE = Doubt("descriptive before time 0, where a difference between arms is imbalance, not effect")
STOPPED = Doubt(
    "an effect of treatment as followed only if the end of follow-up does not go with the course since baseline, or with what is not in the "
    "formula: take tj.censoring_weights"
)
# Fewer patients in an arm than this, or as few by weight, make intervals rough.
FEW = 20
FOLLOWED = Doubt(
    "patients were followed for different times: weights make up for a wrong model of the rates only if how long does not depend on the "
    "covariates"
)
POSTERIOR = Doubt(
    "the weights name the target population only: a weighted likelihood is no likelihood, and its posterior would be none; the outcome "
    "model alone adjusts, and the target's patients are a sample (Bayesian bootstrap)"
)


def standing(
    asked: Question,
    level: str,
    reference: str,
    weights: Weights | None,
    *,
    augmented: bool,
    bootstrap: Bootstrap | None = None,
    found: Corrections | None = None,
    seen: bool = False,
) -> tuple[str, ...]:
    """Say on how many patients a contrast stands, and what it assumes."""
    fit, design, bootstrapped = asked.fit, asked.fit.design, bootstrap is not None
    cluster = None if bootstrap is None else bootstrap.cluster
    said = ground(fit, level, reference, weights, found, seen=seen, cluster=cluster)
    counts = isinstance(fit.model, CountModel)
    if (
        counts
        and _has_before(design)
        and ({"period", "window"} & set(design.formula.columns) or not _has_after(design))
    ):
        said.append(BEFORE)
    if counts and not _has_after(design):
        return (*said, *_of_weights(asked, weights, augmented=augmented, bootstrapped=bootstrapped))
    if not baseline_fixed(fit.model, design, level, reference):
        said.append(POOLED if counts else NOT_FIXED)
    elif weights is None:
        said.append(DESCRIPTIVE)
    else:
        said += [ASSUMED, Doubt(f"and only if {_model(fit, augmented)}")]
    if augmented and counts and _followed_unevenly(design):
        said.append(FOLLOWED)
    return (*said, *_of_weights(asked, weights, augmented=augmented, bootstrapped=bootstrapped))


def _of_weights(
    asked: Question, weights: Weights | None, *, augmented: bool, bootstrapped: bool
) -> list[str]:
    """What weights leave open: of a posterior, of covariates that are not adjusted for, and of their own estimation."""
    fit, said = asked.fit, list[str]()
    if weights is not None:
        if isinstance(fit, Fit):
            said.append(POSTERIOR)
        if not augmented and not _weighted(fit):
            said += _not_adjusted(fit.design, weights)
        if augmented or bootstrapped:
            said += [caveat for caveat in weights.caveats if caveat not in fit.caveats]
    used = [weights, fit.weights if isinstance(fit, PointFit) else None]
    held = any(made is not None and not made.recipe.fractional for made in used)
    if bootstrapped and held:
        said.append("the weights (matched sets, or given by hand) were held as they are in the bootstrap")
    if isinstance(fit, PointFit) and not bootstrapped and weights is not None:
        if held:
            said.append(
                "the weights are taken as known, as matched sets and weights given by hand are in a bootstrap too"
            )
        elif weights.estimation is None:
            said.append(
                "the weights are taken as known: bootstrap=tj.Bootstrap() allows for their estimation"
            )
        elif not augmented:
            said.append(
                "the target population of the weights is taken as known: bootstrap=tj.Bootstrap() allows for its estimation"
            )
    return said


def ground(
    fit: Fitted,
    level: str,
    reference: str,
    weights: Weights | None = None,
    found: Corrections | None = None,
    *,
    seen: bool = False,
    cluster: str | None = None,
) -> list[str]:
    """Say on how many patients of each arm a contrast stands, if they are few or the arms of other times, and how they were followed.

    `seen` says that censoring weights make up for the end of follow-up, `cluster` whose column a bootstrap draws together.
    """
    design = fit.design
    cut = cut_caveat(fit.cohort) if isinstance(fit, PointFit) else ()
    return [
        numbers(design, level, reference, weights, found),
        *_few(design, level, reference, weights),
        *_apart(fit, level, reference),
        *cut,
        *([STOPPED] if cut and not seen else []),
        *_episodes(fit, cluster),
    ]


def constant(made: Estimate, by: Mapping[str, Any]) -> tuple[str, ...]:
    """Say that an effect is the same at all values of a covariate, as the formula has no product that would let it differ."""
    alike = [name for name in by if name in made.draws.dims and made.draws.sizes[name] > 1]
    alike = [name for name in alike if float((made.draws.max(name) - made.draws.min(name)).max()) < 1e-10]
    return tuple(
        Doubt(
            f"the same at every {name} by assumption: the formula has no product of arm and {name}, such as arm * {name}"
        )
        for name in alike
    )


def _few(design: Design, level: str, reference: str, weights: Weights | None) -> list[str]:
    """Say which arms have few patients, or hardly more by weight than a few."""
    arms = [str(arm) for arm in design.target["arm"]]
    small = []
    for arm in (level, reference):
        n = float(arms.count(arm))
        if weights is not None and arm in weights.arms:
            n = min(n, float(weights.effective_sample_size[arm]))
        if n < FEW:
            small.append(f"{arm} as few as {n:.1f}".removesuffix(".0"))
    if not small:
        return []
    return [Doubt(f"few patients ({', '.join(small)}): read the interval as rough, and look at who they are")]


def _episodes(fit: object, cluster: str | None) -> list[str]:
    """Say that index episodes of one person are taken as independent, unless persons are drawn together."""
    if not isinstance(fit, PointFit) or cluster == "person":
        return []
    several, persons = with_several_episodes(fit.cohort.patients)
    if not several:
        return []
    return [
        Doubt(
            f"{several} of {persons} persons have several index episodes, which are taken as independent: "
            "bootstrap=tj.Bootstrap(cluster='person') draws them together"
        )
    ]


def _apart(fit: object, level: str, reference: str) -> list[str]:
    """Say that two arms hardly overlap in calendar time, where the years of start of both are known."""
    if not isinstance(fit, PointFit):
        return []
    people, arms = fit.cohort.patients, [arm for arm in fit.cohort.arms if arm in (level, reference)]
    year = start_years(people)
    if year is None or not set(arms) <= set(people.loc[year.notna(), "arm"].astype(str)):
        return []
    return [Doubt(said) for said in calendar_overlap(fit.cohort, arms).warnings]


def baseline_fixed(model: object, design: Design, level: str, reference: str) -> bool:
    """Whether arms start alike at time 0: conditioned on `edss_baseline`, or without a term for the arm there.

    Counts have no such time: there rates before it may not be pooled with those after.
    """
    if isinstance(model, CountModel):
        return not _has_before(design) or bool({"period", "window", "years"} & set(design.formula.columns))
    if not isinstance(model, EdssModel | BinaryMixed) or BASELINE in design.formula.columns:
        return True
    rows = design.target
    first, second = (design.at(design.placed(rows, arm, 0.0)) for arm in (level, reference))
    return bool(np.allclose(first.X, second.X) and np.allclose(first.Z, second.Z))


def _has_after(design: Design) -> bool:
    return bool((design.frame["years"] > 0).any())


def _has_before(design: Design) -> bool:
    return bool((design.frame["years"] < 0).any())


def _followed_unevenly(design: Design) -> bool:
    """Whether patients differ in their person-years after time 0."""
    assert design.exposure is not None
    after = (design.frame["years"] > 0).to_numpy()
    total = np.bincount(design.patient[after], weights=design.exposure[after], minlength=design.n_patients)
    return bool(np.ptp(total) > 0.01 * total.max())


def _weighted(fit: object) -> bool:
    return isinstance(fit, PointFit) and fit.weights is not None


def _model(fit: object, augmented: bool) -> str:
    if augmented:
        return "the model of the weights or that of the outcome is right"
    return "the model of the weights is right" if _weighted(fit) else "the model of the outcome is right"


def _not_adjusted(design: Design, weights: Weights) -> list[str]:
    lacking = [name for name in weights.covariates.columns if name not in design.formula.columns]
    if not lacking:
        return []
    return [
        f"not in the outcome's formula, although among the covariates of the weights: {', '.join(lacking)}. The contrast is not adjusted "
        "for what is missing there: put it into the formula, fit with tj.maximise(…, weights=…), or take augmented=True"
    ]


def numbers(
    design: Design,
    level: str,
    reference: str,
    weights: Weights | None = None,
    found: Corrections | None = None,
) -> str:
    """Say on how many patients of each arm a contrast stands."""
    parts = []
    arms = [str(arm) for arm in design.target["arm"]]
    for arm in (level, reference):
        said = f"{arm} {arms.count(arm)} patients in the model"
        if weights is not None and arm in weights.arms:
            size = weights.effective_sample_size[arm]
            inside, there = int((weights.arm == arm).sum()), weights.cohort_sizes[arm]
            said += f", {inside} {'' if inside == there else f'of {there} '}weighted (effective {size:.1f})"
        if found is not None:
            seen = found.seen[found.arms.index(arm)]
            said += f", outcome seen in {', '.join(f'{n:.0f}' for n in seen)}"
        parts.append(said)
    return Doubt("stands on " + "; ".join(parts))
