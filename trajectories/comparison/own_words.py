"""What an own estimate or own rates stand for beside a published figure: whose patients, how many, and that nobody was matched to the paper."""

from __future__ import annotations

import pandas as pd

from trajectories.comparison.matching_adjusted import MaicWeights
from trajectories.comparison.sources import Published
from trajectories.endpoints.relapse_rates import RelapseRates
from trajectories.estimate import Estimate
from trajectories.fitting.point import PointFit
from trajectories.weighting.values import Weights

__all__ = ["MOVED", "UNADJUSTED", "adjusted_by", "estimate_size", "of_estimate", "of_rates"]

UNADJUSTED = "this comparison adjusts for nothing: the two populations differ in whatever they differ"
MOVED = 0.1
"""SDs of a matched covariate by which its weighted mean may miss the target before that is said."""


def adjusted_by(weights: MaicWeights | None, having: pd.Index) -> tuple[str, ...]:
    """Say what matching weights adjust for, and where that is lost among those who have the outcome."""
    if weights is None:
        return (UNADJUSTED,)
    said = f"the weights adjust for {', '.join(weights.covariates)} and for nothing else"
    among = weights.balance_among(having)
    far = among[among["apart"].abs() > MOVED]
    if far.empty:
        return (said,)
    means = "; ".join(
        f"{row.covariate} ({row.moment}) {row.among:.3g}, target {row.target:.3g}" for row in far.itertuples()
    )
    lost = (
        f"the patients with the outcome are no longer matched, as those without it were part of the weighting: weighted means more than "
        f"{MOVED:g} SD from their targets: {means}"
    )
    return (said, lost)


def of_estimate(own: Estimate, published: Published) -> tuple[str, ...]:
    """Say whom an estimate stands for: its definition, and the weights of its target."""
    said = f"nobody was matched to the patients of {published.name}: the own estimate stands for its own target. {own.definition}"
    target = None if own.asked is None else own.asked.options.get("target")
    if not isinstance(target, Weights) or any(target.description in caveat for caveat in own.caveats):
        return (said,)  # a weighted fit says so itself
    return (said, f"weights of the own target: {target.description}")


def estimate_size(own: Estimate, arm: str | None) -> tuple[int | None, float | None]:
    """Patients in the model of an arm, or of all where no arm is asked for, and their effective number in a weighted fit."""
    if own.asked is None:
        return None, None
    if arm is None and "arm" in own.draws.dims:
        arm = str(own.draws["arm"].to_numpy()[0])
    design = own.asked.fit.design
    known = arm if arm in design.arms else None
    fitted = _fit_weights(own)
    effective = (
        None if fitted is None or known not in fitted.arms else float(fitted.effective_sample_size[known])
    )
    return design.patients_in(known), effective


def of_rates(own: RelapseRates, published: Published) -> tuple[str, ...]:
    """Say whom own rates stand for: everybody of the group, or the target of their weights and the effective numbers."""
    if own.interval != "robust":
        return (UNADJUSTED,)
    told = ("Weighted:", "Without a weight", "Counts are of patients")
    return (
        f"nobody was matched to the patients of {published.name}: the own rate is weighted to a target of its own",
        *(note for note in own.notes if note.startswith(told)),
    )


def _fit_weights(own: Estimate) -> Weights | None:
    fit = None if own.asked is None else own.asked.fit
    return fit.weights if isinstance(fit, PointFit) else None
