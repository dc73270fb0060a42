"""What a target trial refuses: names of what is not there, one arm, and strategies that contradict each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trajectories.cohort import Cohort
from trajectories.comparison.censoring import CensoringWeights
from trajectories.comparison.following import cut_by, said_of
from trajectories.comparison.strategies import IntentionToTreat, Strategy
from trajectories.estimate import Estimate
from trajectories.fitting.point import PointFit
from trajectories.weighting.values import Weights

__all__ = ["carried", "refuse", "refuse_strategy"]


def refuse(
    cohort: Cohort,
    eligible: Cohort,
    adjusted: Sequence[str],
    strategies: Mapping[str, str] | None,
    weights: Weights | None,
) -> None:
    """Refuse what names nothing that is there, and a comparison without two arms of eligible patients."""
    for name in adjusted:
        if name not in cohort.patients:
            raise ValueError(f"the covariate {name!r} is no column of the patients.")
    for arm in strategies or {}:
        if arm not in cohort.arms:
            raise ValueError(
                f"strategies names {arm!r}, which is no arm: the arms are {', '.join(cohort.arms)}."
            )
    if len(cohort.arms) < 2:
        raise ValueError(
            f"everybody is of one arm ({', '.join(cohort.arms)}): there is nothing to compare, and no trial to emulate; tj.describe(cohort) "
            "describes it."
        )
    left = eligible.patients["arm"].astype(str).value_counts()
    for arm in cohort.arms:
        if left.get(arm, 0) == 0:
            raise ValueError(
                f"nobody of {arm} is eligible: widen the criteria, or leave the arm out of the cohort."
            )
    if weights is not None:
        others = int((~weights.values.index.isin(eligible.patients["patient"])).sum())
        if others:
            raise ValueError(
                f"{others} of the weighted patients are not eligible: make the weights of target_trial(…).cohort."
            )


def refuse_strategy(
    cohort: Cohort,
    estimand: str | Estimate,
    expected: str,
    follow_up: Strategy,
    seen: CensoringWeights | None,
) -> None:
    """Refuse a cohort, a contrast or censoring weights of another strategy than the protocol's."""
    if (cutting := cut_by(cohort)) is not None:
        raise ValueError(
            f"follow-up of this cohort was cut already ({cutting}): give the cohort before tj.follow, and follow_up= the strategy (matches= for "
            "pairwise censoring)."
        )
    found = None if isinstance(estimand, str) else carried(estimand)
    if found is not None and found != expected:
        raise ValueError(
            f"the contrast is of a cohort of another strategy ({found}) than the protocol's ({expected}): give follow_up= the strategy that "
            "was used, or fit to the cohort followed under this one."
        )
    if seen is not None and seen.strategy != str(follow_up):
        raise ValueError(
            f"seen= allows for the ends of follow-up by another strategy ({seen.strategy}) than the protocol's ({follow_up}): give follow_up= "
            "the strategy that the weights were made for, or leave seen= out."
        )


def carried(estimate: Estimate) -> str | None:
    """The strategy, in words, of the cohort of an estimate's fit; None if the estimate does not say."""
    fit = None if estimate.asked is None else estimate.asked.fit
    if isinstance(fit, PointFit):  # a posterior keeps no cohort
        return cut_by(fit.cohort) or str(IntentionToTreat())
    return next((said for said in map(said_of, estimate.caveats) if said is not None), None)
