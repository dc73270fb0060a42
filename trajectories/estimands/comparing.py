"""Two arms (or periods) of an estimate compared draw by draw."""

from __future__ import annotations

from trajectories.caveats import Doubt
from trajectories.estimands.population import ALL
from trajectories.estimate import Estimate

__all__ = ["BEFORE_AFTER", "DESCRIPTIVE", "MODIFIED", "compared"]

DESCRIPTIVE = Doubt(
    "descriptive: patients were not assigned to arms by this analysis, and a difference between arms at time 0 is imbalance, not "
    "effect; an effect of the drug only if every cause of both treatment choice and outcome is in the formula"
)
BEFORE_AFTER = Doubt(
    "before against after in the same patients: treatment starts after bad years, so part of any fall is regression to the mean and "
    "would have come without the drug"
)
MODIFIED = Doubt(
    "patients who differ in this covariate differ in others too: the difference says in whom an effect was larger, not that the covariate "
    "made it so"
)


def compared(
    estimate: Estimate,
    level: str,
    reference: str,
    over: str,
    scale: str,
    caveats: tuple[str, ...] | None = None,
) -> Estimate:
    """Compare two levels of a dim draw by draw; `caveats` replace what a contrast says by default."""
    if over not in estimate.draws.dims:
        raise ValueError(f"{estimate.name} has no {over}s to compare: put {over!r} into the formula.")
    if scale not in ("difference", "ratio"):
        raise ValueError(f"scale must be 'difference' or 'ratio', not {scale!r}.")
    if level == reference:
        raise ValueError(f"{level!r} would be compared with itself: name two {over}s.")
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
        caveats=(
            *estimate.caveats,
            *((_assumed(over),) if caveats is None else caveats),
        ),
        null=0.0 if difference else 1.0,
        higher_is_worse=estimate.higher_is_worse,
    )


def _assumed(over: str) -> Doubt:
    """What a comparison over a dim assumes or cannot show; a dim that is neither arm nor time is a covariate."""
    if over == "arm":
        return DESCRIPTIVE
    return BEFORE_AFTER if over in ("period", "years") else MODIFIED


def _place(estimate: Estimate, over: str, level: str) -> int:
    have = [f"{name:g}" if isinstance(name, float) else str(name) for name in estimate.draws[over].to_numpy()]
    if level not in have:
        hint = f" Put {over!r} into the formula to compare {over}s." if have == [ALL] else ""
        arms: tuple[str, ...] = (
            estimate.asked.fit.design.arms if estimate.asked is not None and over == "arm" else ()
        )
        if len(arms) == 1:
            hint = f" All patients of the fit are of one arm ({arms[0]}): there is no other to compare with."
        raise ValueError(f"there is no {over} {level!r}; there are: {', '.join(have)}.{hint}")
    return have.index(level)
