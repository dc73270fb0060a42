"""Two treatments compared through a common comparator: the indirect comparison of Bucher."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from trajectories.caveats import Doubt
from trajectories.comparison.figures import (
    Figure,
    HazardRatio,
    MeanInterval,
    PublishedFigureError,
    RateRatio,
    Spread,
)
from trajectories.comparison.sources import Published
from trajectories.comparison.summary_rates import SummaryRateRatio
from trajectories.estimate import Estimate
from trajectories.models.design import Floats

__all__ = ["anchored"]

type Contrast = Published | SummaryRateRatio | Figure | Estimate


def anchored(
    own: Estimate, published: Contrast, *, common: str, also_called: Sequence[str] = (), seed: int = 0
) -> Estimate:
    """Compare two treatments indirectly: the own contrast A against C, the published one B against C, the common comparator C.

    θ_AB = θ_AC − θ_BC, of ratios log θ_AB = log θ_AC − log θ_BC; the two are independent, so variances add. Randomisation, or the adjustment,
    within each is kept: patients of the two sources may differ in prognosis, but not in what changes the effects.

    Parameters
    ----------
    own
        A contrast with one cell, such as `tj.contrast(tj.relapse_rate(fit), "alemtuzumab", "interferon", scale="ratio")`.
    published
        The other contrast against the same comparator: a `Published` ratio (`published.CARE_MS_2.contrasts["arr"]`), a printed `RateRatio`,
        `HazardRatio` or, of differences, `MeanInterval`, the ratio of two published rates from `tj.rate_ratio_from_summary`, or an `Estimate`.
    common
        The comparator: the reference of both contrasts, by name.
    also_called
        Other names of it in either source, such as ("interferon",): you state that they are the same treatment.
    seed
        Of the draws.

    Returns
    -------
    An `Estimate` of A against B with the assumption among its caveats.

    Raises
    ------
    PublishedFigureError
        If the published figure is of one arm, or of another scale than the own contrast.
    ValueError
        If `common` is empty or not what a contrast is against, as far as the contrast tells; if the own estimate is no contrast, has
        several cells, or has ratios that are not above 0.
    TypeError
        If own is no `Estimate`, or published none of these.

    Source: Bucher et al. (1997), The results of direct and indirect treatment comparisons in meta-analysis of randomized controlled trials,
    Journal of Clinical Epidemiology 50:683, doi:10.1016/S0895-4356(97)00049-8.

    Examples
    --------
    >>> draws = xr.DataArray(np.exp(np.random.default_rng(1).normal(np.log(0.4), 0.2, (1, 4000))), dims=("chain", "draw"))
    >>> own = Estimate(name="relapse rate, a over c", draws=draws, unit="ratio", definition="Made up.", source="made up", null=1.0)
    >>> made = anchored(own, RateRatio(ratio=0.8, lower=0.6, upper=1.07), common="c")
    >>> made.summary()["median"].round(1).item()
    0.5
    """
    ratio = _scale(own)
    names = [common, *([also_called] if isinstance(also_called, str) else also_called)]
    _check_anchor("own", _reference(own), names)
    _check_anchor("published", _reference(published), names)
    mine = own.draws.to_numpy().ravel()
    theirs, said = _other(published, ratio, mine.size, np.random.default_rng(seed))
    values = mine / theirs if ratio else mine - theirs
    return replace(
        own,
        name=f"{own.name}, {'over' if ratio else 'minus'} {said}",
        draws=xr.DataArray(values.reshape(own.draws.shape[:2]), dims=("chain", "draw")),
        definition=f"Indirect comparison through {common}. Own: {own.definition} Other: {said}.",
        source=f"{own.source} and {said}, independent of each other",
        caveats=(*own.caveats, *_assumed(names, _reference(own) is None)),
        asked=None,
    )


def _reference(contrast: Contrast) -> str | None:
    """What a contrast is against, where it tells: those of `tj.contrast`, of published counts, and published ratios."""
    if isinstance(contrast, SummaryRateRatio):
        return contrast.arms[1]
    if isinstance(contrast, Published):
        found = re.fullmatch(r".+ over (?P<reference>.+)", contrast.arm)
    elif isinstance(contrast, Estimate):  # the name and the definition of a contrast hold both arms
        pattern = r".*, (?P<level>.+) (?:over|minus) (?P<reference>.+)\n(?:Ratio|Difference) between (?P=level) and (?P=reference)\. .*"
        found = re.fullmatch(pattern, f"{contrast.name}\n{contrast.definition}", re.DOTALL)
    else:
        found = None
    return None if found is None else found["reference"]


def _check_anchor(whose: str, reference: str | None, names: Sequence[str]) -> None:
    """Refuse a contrast that is against something else than the common comparator."""
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(
            "name the common comparator, such as common='interferon beta-1a'; here a name is empty."
        )
    if reference is None:
        return
    known = [name.strip().casefold() for name in names]
    full = reference.casefold()
    if full not in known and not any(full.endswith(f", {name}") for name in known):  # "CARE-MS I, interferon"
        raise ValueError(
            f"the {whose} contrast is against {reference}, not {names[0]}, so nothing links the two: contrast with the common comparator; if "
            f"{reference} is that under another name, say so by also_called=({reference!r},)."
        )


def _scale(own: Estimate) -> bool:
    """Whether the own contrast is a ratio."""
    if not isinstance(own, Estimate):
        raise TypeError(
            f"own must be a contrast of own arms, tj.contrast(estimate, level, reference), not {type(own).__name__}."
        )
    if own.null is None:
        raise ValueError(
            f"{own.name} is no contrast of two treatments: compare own arms first, tj.contrast(estimate, level, reference)."
        )
    if own.draws[0, 0].size != 1:
        raise ValueError(
            f"{own.name} has several cells ({', '.join(str(d) for d in own.draws.dims[2:])}): ask for one time and one covariate value."
        )
    if own.null == 1 and not bool((own.draws > 0).all()):
        raise ValueError(f"{own.name} has draws that are not above 0, so it has no log ratio.")
    return own.null == 1


def _other(published: Contrast, ratio: bool, size: int, rng: np.random.Generator) -> tuple[Floats, str]:
    """Draws of the other contrast, and what it is."""
    if isinstance(published, Estimate):
        if _scale(published) != ratio:
            raise PublishedFigureError(
                f"{published.name} is on another scale than the own contrast: ratio with ratio."
            )
        return rng.choice(published.draws.to_numpy().ravel(), size), published.name
    if isinstance(published, SummaryRateRatio):
        figure: Figure | None = None
        spread = Spread(scale="log", value=float(np.log(published.ratio)), error=published.log_se)
        said = f"relapse rate of {published.arms[0]} over that of {published.arms[1]}, from published counts"
    elif isinstance(published, Published):
        figure, spread = published.figure, None
        what = (
            published.kind
            if published.kind == published.quantity
            else f"{published.kind} of {published.quantity}"
        )
        said = f"{what}, {published.name} ({published.source})"
    elif isinstance(published, Figure):
        figure, spread, said = published, None, f"a printed {published.kind}"
    else:
        raise TypeError(
            f"published must be a contrast (Published, RateRatio, HazardRatio, MeanInterval, Estimate, …), not {type(published).__name__}."
        )
    if spread is None:
        assert figure is not None
        if isinstance(published, Published) and not isinstance(figure, RateRatio | HazardRatio):
            raise PublishedFigureError(
                f"{published.name} is one arm, no contrast: give its ratio to the common comparator, or a difference as MeanInterval(…)."
            )
        if not isinstance(figure, RateRatio | HazardRatio | MeanInterval):
            raise PublishedFigureError(
                f"a {figure.kind} is no contrast of two arms: give a ratio, or a difference as MeanInterval(…)."
            )
        spread = figure.spread(1)
    if (spread.scale == "log") != ratio:
        raise PublishedFigureError(
            f"{said} is a {'ratio' if spread.scale == 'log' else 'difference'}, the own contrast is not: contrast with scale="
            f"{'ratio' if spread.scale == 'log' else 'difference'!r}."
        )
    return spread.draws(rng, size), said


def _assumed(names: Sequence[str], unknown: bool) -> tuple[str, ...]:
    common = names[0]
    stated = [f"taken for the same treatment, as stated: {', '.join(names)}"] if len(names) > 1 else []
    if unknown:
        stated.append(f"the own contrast does not tell what it is against: that it is {common} was stated")
    return (
        Doubt(
            f"anchored on {common}: a difference of the treatments only if whatever changes their effects (age, disability, activity, "
            f"calendar time) is alike in both sources, and {common}, outcome and follow-up are the same in both; no data of these can show it"
        ),
        *stated,
        "each comparison stands on its own randomisation or adjustment; prognosis may differ between the sources",
    )
