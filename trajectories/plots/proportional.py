"""A check of proportional odds: does one shift of the whole scale describe how arms differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trajectories import edss
from trajectories.estimate import check_ci
from trajectories.fitting.fit import Fit
from trajectories.plots.predictive import codes_of, replicates
from trajectories.plots.style import BLACK, DOUBLE, SINGLE, arm_colours, percent, sheet, style, warnings_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["proportional_odds"]

type Floats = NDArray[np.float64]


def proportional_odds(
    fit: Fit, *, after: float = 0.0, draws: int = 100, ci: float = 0.95, seed: int = 0
) -> Figure:
    """Draw, by arm, the share of visits at or below each EDSS level beside what the ordinal model predicts.

    Proportional odds says that an arm moves all 19 cutpoints alike. Where it fails, the observed shares of an arm leave the interval
    on one side at low levels and on the other side at high ones.

    Parameters
    ----------
    fit
        A `Fit` of `models.OrdinalMixed`.
    after
        Only visits after this time, in years; −inf for all.
    draws
        How many draws a chain are replicated.
    ci
        Probability of the equal-tailed interval.
    seed
        Seed of the replicated visits.

    Returns
    -------
    A matplotlib Figure, a column an arm: above the cumulative shares, below observed minus predicted.

    Raises
    ------
    TypeError
        If the model has no cutpoints.
    ValueError
        If no visit is after the time.
    """
    check_ci(ci)
    if "cutpoints" not in fit.parameters:
        raise TypeError(
            f"proportional odds belongs to ordinal models; {type(fit.model).__name__} has no cutpoints."
        )
    design = fit.design
    late = design.frame["years"].to_numpy() > after
    if not late.any():
        raise ValueError(f"no visit is after {after:g} years.")
    new = codes_of(replicates(fit, draws, seed))
    seen = codes_of(design.outcome)
    colours = arm_colours(design.arms)
    with style():
        figure, axes = sheet(
            title="Cumulative EDSS: observed and predicted",
            warnings=warnings_of(caveats=fit.caveats),
            caption=_caption(fit, after, len(new), ci),
            width=SINGLE if len(design.arms) == 1 else DOUBLE,
            height=3.6,
            rows=2,
            columns=len(design.arms),
            sharex=True,
            heights=(1.5, 1),
        )
        for (upper, lower), arm in zip(axes.T, design.arms, strict=True):
            rows = late & (design.frame["arm"].astype(str) == arm).to_numpy()
            if rows.any():
                _column(
                    upper,
                    lower,
                    _cumulative(seen[None, rows])[0],
                    _cumulative(new[:, rows]),
                    colours[arm],
                    ci,
                )
            upper.set_title(f"{'all patients' if arm == 'all' else arm}\nn = {int(rows.sum())} visits")
            lower.set_xlabel("EDSS level")
        _share_scales(axes)
        axes[0, 0].set_ylabel("at or below (%)")
        axes[1, 0].set_ylabel("observed −\npredicted (%)")
    return figure


def _cumulative(codes: NDArray[np.int64]) -> Floats:
    """Percent of the visits at or below each level but the last: sample × 19."""
    return np.stack([(codes <= level).mean(axis=1) * 100 for level in range(len(edss.LEVELS) - 1)], axis=-1)


def _column(upper: Axes, lower: Axes, seen: Floats, new: Floats, colour: str, ci: float) -> None:
    levels, mean = edss.LEVELS[:-1], new.mean(axis=0)
    low, high = np.quantile(new, [(1 - ci) / 2, (1 + ci) / 2], axis=0)
    for ax, base in ((upper, 0.0), (lower, mean)):
        ax.fill_between(levels, low - base, high - base, color=colour, alpha=0.35, linewidth=0)
        ax.plot(levels, mean - base, color=colour, linewidth=1.2)
        ax.plot(levels, seen - base, linestyle="none", marker="o", markersize=2.5, color=BLACK)


def _share_scales(axes: NDArray[np.object_]) -> None:
    """Give all arms one scale, the differences one that is symmetric about 0."""
    reach = max(abs(limit) for ax in axes[1] for limit in ax.get_ylim())
    for upper, lower in axes.T:
        upper.set_ylim(0, 102)
        lower.set_ylim(-reach, reach)
        lower.set_xticks(range(0, 11, 2))
        if upper is not axes[0, 0]:
            upper.tick_params(labelleft=False)
            lower.tick_params(labelleft=False)


def _caption(fit: Fit, after: float, size: int, ci: float) -> str:
    time = f"Visits after {after:g} years" if np.isfinite(after) else "All visits"
    kind = "posterior" if fit.source == "posterior" else "prior"
    return (
        f"{time}. Points: observed share of visits at or below each level. Lines and bands: mean and {percent(ci)} equal-tailed "
        f"interval of {size} {kind} predictive data sets of the same {fit.design.n_patients} patients, whose effects are kept: what "
        "belongs to patients rather than arms is fitted."
    )
