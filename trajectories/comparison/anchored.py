"""Two treatments compared through a common comparator: the indirect comparison of Bucher."""

from __future__ import annotations

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


def anchored(own: Estimate, published: Contrast, *, common: str, seed: int = 0) -> Estimate:
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
        The comparator, in words: it must be the same treatment in both.
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
        If the own estimate is no contrast, has several cells, or has ratios that are not above 0.
    TypeError
        If published is none of these.

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
    mine = own.draws.to_numpy().ravel()
    theirs, said = _other(published, ratio, mine.size, np.random.default_rng(seed))
    values = mine / theirs if ratio else mine - theirs
    return replace(
        own,
        name=f"{own.name}, {'over' if ratio else 'minus'} {said}",
        draws=xr.DataArray(values.reshape(own.draws.shape[:2]), dims=("chain", "draw")),
        definition=f"Indirect comparison through {common}. Own: {own.definition} Other: {said}.",
        source=f"{own.source} and {said}, independent of each other",
        caveats=(*own.caveats, *_assumed(common)),
        asked=None,
    )


def _scale(own: Estimate) -> bool:
    """Whether the own contrast is a ratio."""
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
        said = f"{published.kind} of {published.quantity}, {published.name} ({published.source})"
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


def _assumed(common: str) -> tuple[str, ...]:
    return (
        Doubt(
            f"anchored on {common}: a difference of the treatments only if whatever changes their effects (age, disability, activity, "
            f"calendar time) is alike in both sources, and {common}, outcome and follow-up are the same in both; no data of these can show it"
        ),
        "each comparison stands on its own randomisation or adjustment; prognosis may differ between the sources",
    )
