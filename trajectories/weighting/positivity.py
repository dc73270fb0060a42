"""Positivity: patients of the target who could hardly have been given one of the arms, and where among the covariates they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.weighting.errors import PositivityError
from trajectories.weighting.scores import Propensity

__all__ = ["NEAR_ZERO", "TOLERATED", "positivity"]

NEAR_ZERO = 0.025
"""A probability below this is next to none: one patient would stand for more than forty."""

TOLERATED = 0.02
"""Share of the target's patients that may have such a probability before an average over the target is refused."""

type Flags = NDArray[np.bool_]


def positivity(scores: Propensity, target: str, treated: str | None, *, accepted: bool) -> tuple[str, ...]:
    """Say who of the target has next to no chance of an arm; refuse the target if they are more than a few.

    Raises
    ------
    PositivityError
        If they are more than 2 % of the target's patients, unless `accepted`.
    """
    e, cases = scores.probabilities.to_numpy(), scores.cases
    inside = np.ones(len(e), dtype=bool) if treated is None else cases.code == cases.arms.index(treated)
    low = (e < NEAR_ZERO) & inside[:, None]
    who = low.any(axis=1)
    if not who.any():
        return ()
    share = who.sum() / inside.sum()
    found = [_region(scores, low[:, k], arm) for k, arm in enumerate(cases.arms) if low[:, k].any()]
    population = "all patients" if treated is None else f"those given {treated}"
    said = (
        f"{who.sum()} of {inside.sum()} patients of the target ({population}) have a probability below {NEAR_ZERO:g} of an arm: "
        + "; ".join(found)
    )
    if share > TOLERATED and not accepted:
        raise PositivityError(
            f"an {target} cannot be learned from these patients: {said}. What the arm would have done to them is extrapolation. Compare those "
            "who could have been given any arm: target='ATO' (or 'matching'), or leave the region out by trim=Trim(below=0.05). "
            "accept_positivity=True goes on and marks the result."
        )
    accepted_here = " (accepted by the user)" if share > TOLERATED else ""
    return (f"positivity{accepted_here}: {said}",)


def _region(scores: Propensity, low: Flags, arm: str) -> str:
    """Describe where the patients with next to no chance of an arm are: the two covariates that mark them off best."""
    cases, n = scores.cases, int(low.sum())
    described = []
    for name, column in cases.covariates.items():
        inside, text = _range(column, low)
        if inside.all():
            continue
        described.append((n / inside.sum(), f"{name} {text} ({_counts(inside, scores, arm, low)})"))
    described.sort(key=lambda found: -found[0])
    told = [text for share, text in described[:2] if share >= described[0][0] / 2]
    return f"{n} with hardly any chance of {arm} have {' and '.join(told) or 'nothing in common in any single covariate'}"


def _range(column: pd.Series, low: Flags) -> tuple[Flags, str]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        levels: Sequence[str] = [level for level in column.cat.categories if (column[low] == level).any()]
        return column.isin(levels).to_numpy(), " or ".join(levels)
    values = column.to_numpy(dtype=float)
    least, most = values[low].min(), values[low].max()
    text = f"{least:.4g}" if least == most else f"{least:.4g} to {most:.4g}"
    return (values >= least) & (values <= most), text


def _counts(inside: Flags, scores: Propensity, arm: str, low: Flags) -> str:
    """Count the patients of that region in the arm that is hardly given, and in the one that most of them were given."""
    cases = scores.cases
    sizes, here = cases.sizes, np.bincount(cases.code[inside], minlength=len(cases.arms))
    k = cases.arms.index(arm)
    others = [int(j) for j in np.argsort(-here, kind="stable") if j != k]
    return ", ".join(f"{here[j]} of {sizes[cases.arms[j]]} {cases.arms[j]}" for j in [others[0], k])
