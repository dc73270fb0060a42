"""Contrasts between arms (or periods), draw by draw."""

from __future__ import annotations

from typing import Literal

from trajectories.estimands.outcomes import Stabilisation
from trajectories.estimands.population import ALL
from trajectories.estimate import Estimate, EstimateSet

__all__ = ["contrast"]

DESCRIPTIVE = (
    "descriptive: patients were not assigned to arms by this analysis, and a difference between arms at time 0 is imbalance, not "
    "effect; an effect of the drug only if every cause of both treatment choice and outcome is in the formula"
)
BEFORE_AFTER = (
    "before against after in the same patients: treatment starts after bad years, so part of any fall is regression to the mean and "
    "would have come without the drug"
)


def contrast(
    estimate: Estimate | Stabilisation,
    level: str,
    reference: str,
    *,
    over: str = "arm",
    scale: Literal["difference", "ratio"] = "difference",
) -> Estimate | EstimateSet:
    """Compare two arms (or two levels of another dim) draw by draw: level minus, or over, reference.

    θ(level) − θ(reference), or θ(level) / θ(reference), each draw a value; their distribution says how probable a difference is.

    Parameters
    ----------
    estimate
        An `Estimate` with the dim `over`, or a `Stabilisation` (then every part of it is compared).
    level, reference
        Names of arms, or of levels of `over`.
    over
        The dim that is compared: "arm", or "period" for relapse rates.
    scale
        "difference", or "ratio" of rates or probabilities.

    Returns
    -------
    An `Estimate` without the dim; of a `Stabilisation`, an `EstimateSet`.

    Raises
    ------
    ValueError
        If a level does not exist, the scale is unknown, or a ratio is asked for of what can be 0 or negative.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> cohort = tj.simulated_three_dmts_400()
    >>> fit = tj.maximise(models.GaussianMixed("edss ~ arm * years + (1 | patient)"), cohort)
    >>> tj.contrast(tj.change(fit, 2.0), "alemtuzumab", "fingolimod").summary()["mean"].round(1).item()
    -0.5
    """
    if isinstance(estimate, Stabilisation):
        parts = {
            name: _compared(part, level, reference, over, scale) for name, part in estimate.estimates.items()
        }
        return EstimateSet(title=f"{level} compared with {reference}: {estimate.title}", estimates=parts)
    return _compared(estimate, level, reference, over, scale)


def _compared(estimate: Estimate, level: str, reference: str, over: str, scale: str) -> Estimate:
    if over not in estimate.draws.dims:
        raise ValueError(f"{estimate.name} has no {over}s to compare: put {over!r} into the formula.")
    if scale not in ("difference", "ratio"):
        raise ValueError(f"scale must be 'difference' or 'ratio', not {scale!r}.")
    a, b = (
        estimate.draws.isel({over: _place(estimate, over, name)}, drop=True) for name in (level, reference)
    )
    difference = scale == "difference"
    if not difference and (bool((b <= 0).any()) or estimate.null == 0):
        raise ValueError(
            f"a ratio needs rates or probabilities above 0 in every draw, which {estimate.name} of {reference} is not: compare by "
            "scale='difference'."
        )
    return Estimate(
        name=f"{estimate.name}, {level} {'minus' if difference else 'over'} {reference}",
        draws=a - b if difference else a / b,
        unit=estimate.unit if difference else "ratio",
        definition=f"{scale.capitalize()} between {level} and {reference}. {estimate.definition}",
        source=estimate.source,
        caveats=(*estimate.caveats, DESCRIPTIVE if over == "arm" else BEFORE_AFTER),
        null=0.0 if difference else 1.0,
        higher_is_worse=estimate.higher_is_worse,
    )


def _place(estimate: Estimate, over: str, level: str) -> int:
    have = [f"{name:g}" if isinstance(name, float) else str(name) for name in estimate.draws[over].to_numpy()]
    if level not in have:
        hint = f" Put {over!r} into the formula to compare {over}s." if have == [ALL] else ""
        raise ValueError(f"there is no {over} {level!r}; there are: {', '.join(have)}.{hint}")
    return have.index(level)
