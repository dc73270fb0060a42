"""Who benefits: the effect against a covariate at baseline, and how many patients of each arm there are to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trajectories.caveats import Doubt
from trajectories.comparison.benefit import Benefit
from trajectories.estimate import check_ci
from trajectories.plots.contrasts import ratio_ticks
from trajectories.plots.style import (
    BLACK,
    GREY,
    LIGHT,
    SINGLE,
    SMALL,
    arm_colours,
    ink,
    percent,
    sheet,
    style,
    warnings_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["benefit"]

_BARS = 24  # bars at most
_TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_NAMES = {
    "edss_baseline": "EDSS at baseline",
    "age": "age (years)",
    "duration_years": "disease duration (years)",
    "relapses_year_before": "relapses in the year before",
}


def benefit(result: Benefit, *, ci: float = 0.95, title: str | None = None) -> Figure:
    """Draw the effect against the covariate: its mean and interval, the line of no effect, and below how many patients of each arm there are.

    Numbers get a line through the values asked for, categories a point each.

    Parameters
    ----------
    result
        From `tj.benefit`; of a number ask for values over the whole range, such as `by={"edss_baseline": [0, 1, 2, 3, 4, 5, 6]}`.
    ci
        Probability of the equal-tailed interval.
    title
        What to write above; None says the effect.

    Returns
    -------
    A matplotlib Figure, 3.5 inches wide.
    """
    check_ci(ci)
    summary = result.effects.summary(ci)
    name = result.effects.name
    with style():
        figure, axes = sheet(
            title=f"{name[:1].upper()}{name[1:]}" if title is None else title,
            warnings=warnings_of(caveats=result.caveats),
            caption=_caption(result, ci),
            width=SINGLE,
            height=3.3,
            rows=2,
            heights=(2.6, 0.9),
            sharex=True,
        )
        _effects(axes[0, 0], result, summary)
        _patients(axes[1, 0], result)
    return figure


def _effects(ax: Axes, result: Benefit, summary: pd.DataFrame) -> None:
    x = _places(result)
    ratio = result.effects.null == 1
    lower, upper = (summary[column].to_numpy(dtype=float) for column in ("lower", "upper"))
    mean = summary["mean"].to_numpy(dtype=float)
    if result.numeric:
        ax.fill_between(x, lower, upper, color=LIGHT, linewidth=0, gid="interval")
        ax.plot(x, mean, color=BLACK, marker="o", markersize=3, gid="effect")
    else:
        ax.vlines(x, lower, upper, color=BLACK, linewidth=1.4, gid="interval")
        ax.plot(x, mean, color=BLACK, marker="s", markersize=4.5, linestyle="none", gid="effect")
    null = 1.0 if ratio else 0.0
    ax.axhline(null, color=BLACK, linewidth=0.8, zorder=1)
    if ratio:
        ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.set_ylim(min(low, null), max(high, null))
    _room(ax, null, ratio=ratio)
    if ratio:
        ticks = ratio_ticks(*ax.get_ylim())
        ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        ax.minorticks_off()
    ax.set_ylabel(
        f"{result.level} {'over' if ratio else 'minus'} {result.reference}\n({result.effects.unit})"
    )
    _favours(ax, result, null)


def _room(ax: Axes, null: float, *, ratio: bool) -> None:
    """At least an eighth of the axis on either side of no effect, for the words there."""
    low, high = (np.log(v / null) if ratio else v - null for v in ax.get_ylim())
    least = 0.14 * max(high - low, 1e-9)
    low, high = min(low, -least), max(high, least)
    ax.set_ylim(*((null * np.exp(low), null * np.exp(high)) if ratio else (null + low, null + high)))


def _favours(ax: Axes, result: Benefit, null: float) -> None:
    """Say which side of no effect is whose, where it is known whether more is worse."""
    worse = result.effects.higher_is_worse
    if not worse:
        return
    for arm, va, shift in ((result.reference, "bottom", 2), (result.level, "top", -2)):
        ax.annotate(
            f"favours {arm}", (1, null), xycoords=("axes fraction", "data"), xytext=(0, shift), textcoords="offset points",
            ha="right", va=va, fontsize=SMALL, color=GREY, gid="favours",
        )  # fmt: skip


def _patients(ax: Axes, result: Benefit) -> None:
    """Patients of the two arms by value: those of the level up, those of the reference down."""
    column, arms = result.patients[result.over], result.patients["arm"].astype(str)
    if result.numeric:
        edges = _edges(column.to_numpy(dtype=float))
        width, middles = np.diff(edges), (edges[:-1] + edges[1:]) / 2
        counts = [
            np.histogram(column[arms == arm].to_numpy(dtype=float), edges)[0]
            for arm in (result.level, result.reference)
        ]
    else:
        middles, width = _places(result), np.full(len(result.values), 0.6)
        counts = [result.near[arm].to_numpy() for arm in (result.level, result.reference)]
    colours = arm_colours([str(arm) for arm in result.patients["arm"].cat.categories])
    for sign, arm, n in ((1, result.level, counts[0]), (-1, result.reference, counts[1])):
        colour = colours[arm]
        ax.bar(middles, sign * n, width=0.9 * width, color=colour, linewidth=0, gid=f"patients {arm}")
        total = int((arms == arm).sum())
        ax.annotate(
            f"{arm}, n = {total}", (1, 0.5 + sign * 0.5), xycoords="axes fraction", ha="right", va="top" if sign > 0 else "bottom",
            fontsize=SMALL, color=ink(colour), gid="n",
        )  # fmt: skip
    top = 1.5 * max(int(n.max()) for n in counts)
    ax.set_ylim(-top, top)
    ax.axhline(0, color=BLACK, linewidth=0.6)
    step = max(tick for tick in _TICKS if tick <= max(top / 1.5, 1))
    ax.set_yticks([-step, 0, step], [f"{step}", "0", f"{step}"])
    ax.set(ylabel="patients", xlabel=_NAMES.get(result.over, result.over.replace("_", " ")))
    if not result.numeric:
        ax.set_xticks(_places(result), [str(value) for value in result.values])
        ax.set_xlim(-0.6, len(result.values) - 0.4)


def _places(result: Benefit) -> NDArray[np.float64]:
    """Where the values stand on the axis."""
    return np.array(result.values if result.numeric else range(len(result.values)), dtype=float)


def _edges(
    values: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Edges of bars: one a value where there are few (EDSS, counts), else equal steps."""
    known = np.unique(values)
    step = float(np.diff(known).min()) if len(known) > 1 else 1.0
    n = round((known[-1] - known[0]) / step) + 1
    if n <= _BARS:
        return np.asarray(known[0] - step / 2 + step * np.arange(n + 1))
    return np.linspace(known[0], known[-1], _BARS + 1)


def _caption(result: Benefit, ci: float) -> str:
    doubts = [caveat for caveat in result.caveats if isinstance(caveat, Doubt)]
    how = "Line and band" if result.numeric else "Points and lines"
    return " ".join(
        [
            f"{how}: mean and {percent(ci)} equal-tailed interval of {result.effects.source}. {result.effects.definition}",
            "Bars: patients of the two arms in the model.",
            *(f"{caveat[:1].upper()}{caveat[1:]}." for caveat in doubts),
        ]
    )
