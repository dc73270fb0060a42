"""How alike arms are: mean differences before and after weighting, and where the propensities of the arms overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trajectories.caveats import SIMULATED
from trajectories.plots.style import (
    BLACK,
    DOUBLE,
    GREY,
    PALETTE,
    SINGLE,
    SMALL,
    arm_colours,
    arm_markers,
    number,
    percent,
    sheet,
    style,
    warnings_of,
)
from trajectories.weighting.balancing import GOAL, Balance
from trajectories.weighting.positivity import NEAR_ZERO
from trajectories.weighting.scores import Propensity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["love", "overlap"]

BINS = 25


def love(balance: Balance) -> Figure:
    """Draw the standardised mean difference of every covariate and level, before and after weighting: a panel a pair of arms.

    Parameters
    ----------
    balance
        From `balance`.

    Returns
    -------
    A matplotlib Figure; the dotted lines stand at the goal, 0.1 standard deviations.

    Source: Love (2004), Graphical display of covariate balance; Austin (2009), Stat Med 28:3083, doi:10.1002/sim.3697.

    Examples
    --------
    >>> from trajectories.example_cohorts import simulated_three_dmts_400
    >>> from trajectories.weighting import balance, propensity, weights
    >>> made = weights(propensity(simulated_three_dmts_400(), "arm ~ age + edss_baseline"), "ATO")
    >>> len(love(balance(made)).axes)
    3
    """
    pairs = balance.pairs.index.unique("pair")
    names = balance.pairs.index.unique("covariate")
    with style():
        figure, axes = sheet(
            title="Balance of the arms",
            warnings=warnings_of(caveats=balance.weights.caveats),
            caption=_love_caption(balance),
            width=SINGLE if len(pairs) == 1 else DOUBLE,
            height=0.17 * len(names) + 1.05,
            columns=len(pairs),
            sharex=True,
            sharey=True,
        )
        reach = 1.12 * max(_finite_max(balance), 2 * GOAL)
        for ax, pair in zip(axes[0], pairs, strict=True):
            _differences(ax, balance, str(pair), reach)
        axes[0, 0].set_yticks(np.arange(len(names)), names)
        axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
        _legend_above(axes[0, -1], lines=2)
    return figure


def _legend_above(ax: Axes, lines: int) -> None:
    """Put the legend above the panel's title of so many lines; it may reach over other panels, which must not move for it."""
    from matplotlib.transforms import ScaledTranslation

    handles, labels = ax.get_legend_handles_labels()
    up = ScaledTranslation(0, (4 + 1.25 * SMALL * lines) / 72, ax.figure.dpi_scale_trans)
    legend = ax.legend(
        handles, labels, loc="lower right", bbox_to_anchor=(1.0, 1.0), bbox_transform=ax.transAxes + up, ncols=len(labels),
        borderaxespad=0.0, borderpad=0.0, handletextpad=0.1, columnspacing=1.0,
    )  # fmt: skip
    legend.set_in_layout(False)


def _finite_max(balance: Balance) -> float:
    shown = balance.pairs[["smd_before", "smd_after"]].to_numpy()
    return float(np.abs(shown[np.isfinite(shown)]).max(initial=0.0))


def _differences(ax: Axes, balance: Balance, pair: str, reach: float) -> None:
    found = balance.pairs.xs(pair, level="pair")
    places = np.arange(len(found))
    before, after = (np.clip(found[f"smd_{when}"].to_numpy(), -reach, reach) for when in ("before", "after"))
    ax.axvline(0, color=GREY, linewidth=0.6, zorder=1)
    for goal in (-GOAL, GOAL):
        ax.axvline(goal, color=GREY, linewidth=0.6, linestyle=":", zorder=1)
    ax.hlines(places, before, after, color="#BFBFBF", linewidth=0.8, zorder=2)
    ax.plot(
        before, places, "o", markersize=4, markerfacecolor="white", markeredgecolor=PALETTE[1], label="before", zorder=3
    )  # fmt: skip
    ax.plot(after, places, "s", markersize=3.6, color=PALETTE[0], label="after", zorder=4)
    ax.set_xlim(-reach, reach)
    ax.set_title("\n" + pair.replace(" − ", "\n− "), fontsize=SMALL)  # the empty line is for the legend
    ax.set_xlabel("difference (SD)")


def _love_caption(balance: Balance) -> str:
    weights = balance.weights
    n, effective = weights.arm.value_counts(), weights.effective_sample_size
    counts = "; ".join(
        f"{arm} {n[arm]} of {weights.cohort_sizes[arm]}, counting as {effective[arm]:.0f}"
        for arm in weights.arms
    )
    sd = f"SD of {weights.treated}" if weights.treated else "root of the mean variance of the arms"
    said = [str(caveat) for caveat in weights.caveats if caveat != SIMULATED]
    return (
        f"{weights.description[0].upper()}{weights.description[1:]} Patients: {counts}. Differences of means over the {sd} before weighting, in "
        f"both; shares of categories likewise. Dotted: {number(GOAL, 1)} SD. Largest after weighting: {number(balance.largest_after)}. "
        f"{' '.join(text[0].upper() + text[1:] + '.' for text in said)}"
    ).strip()


def overlap(propensity: Propensity) -> Figure:
    """Draw where the propensities of the arms overlap: a panel an arm, with the distribution of its probability in each arm.

    Parameters
    ----------
    propensity
        From `propensity`.

    Returns
    -------
    A matplotlib Figure: shares of each arm's patients by their probability of being given the arm of the panel; with two arms one panel, that of
    the second.

    Examples
    --------
    >>> from trajectories.example_cohorts import simulated_three_dmts_400
    >>> from trajectories.weighting import propensity
    >>> len(overlap(propensity(simulated_three_dmts_400(), "arm ~ age + edss_baseline")).axes)
    3
    """
    shown = propensity.arms[1:] if len(propensity.arms) == 2 else propensity.arms
    with style():
        figure, axes = sheet(
            title="Overlap of the propensities",
            warnings=warnings_of(simulated=propensity.simulated),
            caption=_overlap_caption(propensity),
            width=SINGLE if len(shown) == 1 else DOUBLE,
            height=2.3,
            columns=len(shown),
            sharey=True,
        )
        tallest = [_distributions(ax, propensity, arm) for ax, arm in zip(axes[0], shown, strict=True)]
        axes[0, 0].set_ylabel("patients of the arm (%)")
        axes[0, 0].set_ylim(0, 1.06 * max(tallest))
        _legend_above(axes[0, -1], lines=1 if len(shown) > 1 else 0)
    return figure


def _distributions(ax: Axes, propensity: Propensity, panel: str) -> float:
    """Draw one panel; return its greatest height."""
    e, given = propensity.probabilities[panel].to_numpy(), propensity.arm.to_numpy()
    edges = np.linspace(0, 1, BINS + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    colours, markers = arm_colours(propensity.arms), arm_markers(propensity.arms)
    tallest = 0.0
    for arm in propensity.arms:
        mine = e[given == arm]
        height = 100 * np.histogram(mine, edges)[0] / len(mine)
        ax.stairs(height, edges, color=colours[arm], linewidth=1.1, zorder=3)
        ax.stairs(height, edges, color=colours[arm], fill=True, alpha=0.13, zorder=2)
        some, tallest = height > 0, max(tallest, float(height.max()))
        ax.plot(
            centres[some], height[some], linestyle="none", marker=markers[arm], markersize=2.6, color=colours[arm],
            label=f"given {arm} ({len(mine)})", zorder=4,
        )  # fmt: skip
    ax.axvline(NEAR_ZERO, color=BLACK, linewidth=0.6, linestyle=":")
    ax.set_xlim(0, 1)
    ax.set_xlabel("probability" if len(propensity.arms) > 2 else f"probability of {panel}")
    ax.set_title("\n" + f"of {panel}" * (len(propensity.arms) > 2), fontsize=SMALL)
    return tallest


def _overlap_caption(propensity: Propensity) -> str:
    e = propensity.probabilities.to_numpy()
    low = int((e < NEAR_ZERO).any(axis=1).sum())
    notes = "".join(f" {note[0].upper()}{note[1:]}." for note in propensity.notes)
    return (
        f"{len(e)} patients. Probabilities from {propensity.formula}. Each arm's histogram adds up to {percent(1)}. "
        f"{percent(round(propensity.overlap, 3))} of the patients have probabilities that occur in all arms; {low} have one below {NEAR_ZERO:g} "
        f"(dotted) of some arm.{notes}"
    )
