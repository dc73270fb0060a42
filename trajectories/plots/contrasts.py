"""The forest plot: estimates or contrasts below each other, with their numbers at the right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from trajectories.caveats import Doubt
from trajectories.estimate import Estimate, EstimateSet, check_ci
from trajectories.plots.cells import Cell, cells_of
from trajectories.plots.style import (
    BLACK,
    DOUBLE,
    GREY,
    PALETTE,
    SMALL,
    interval,
    number,
    percent,
    probability,
    sheet,
    style,
    warnings_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["forest", "ratio_ticks"]

_LABEL = 34  # letters in a line of a row's label

type Estimates = Estimate | EstimateSet | Mapping[str, Estimate]


def forest(estimates: Estimates, *, ci: float = 0.95, title: str | None = None) -> Figure:
    """Draw estimates below each other: mean, interval, the line of no effect, and the numbers written at the right.

    Estimates of different units get panels of their own, as EDSS points and probabilities share no axis; ratios a logarithmic axis.

    Parameters
    ----------
    estimates
        An `Estimate` (a row an arm, a time, …), an `EstimateSet` such as `contrast` of a `Stabilisation` gives, or a mapping from
        the names of rows to estimates.
    ci
        Probability of the equal-tailed interval.
    title
        What to write above; None takes the estimate's name.

    Returns
    -------
    A matplotlib Figure, 7.2 inches wide.

    Raises
    ------
    ValueError
        If there is no estimate, or a ratio has draws that are not positive.
    """
    check_ci(ci)
    named = _named(estimates)
    panels: dict[tuple[str, float | None], list[Cell]] = {}
    for name, estimate in named.items():
        panels.setdefault((estimate.unit, estimate.null), []).extend(
            _labelled(name, estimate, ci, len(named) == 1)
        )
    sources = list(dict.fromkeys(estimate.source for estimate in named.values()))
    caveats = list(dict.fromkeys(caveat for estimate in named.values() for caveat in estimate.caveats))
    heights = [0.75 + 0.22 * sum(_height(cell) for cell in cells) for cells in panels.values()]
    with style():
        figure, axes = sheet(
            title=_title(estimates, named) if title is None else title,
            warnings=warnings_of(caveats=caveats),
            caption=_caption(named, sources, caveats, ci),
            width=DOUBLE,
            height=sum(heights),
            rows=len(panels),
            columns=2,
            ratios=(1, 0.62),
            heights=heights,
        )  # fmt: skip
        for (left, right), ((unit, null), cells) in zip(axes, panels.items(), strict=True):
            _panel(left, unit, null, cells)
            _numbers(right, null, cells, ci)
            right.set_ylim(left.get_ylim())
    return figure


def _named(estimates: Estimates) -> dict[str, Estimate]:
    if isinstance(estimates, Estimate):
        return {estimates.name: estimates}
    named = dict(estimates.estimates if isinstance(estimates, EstimateSet) else estimates)
    if not named:
        raise ValueError("there is no estimate to draw: give at least one.")
    return named


def _labelled(name: str, estimate: Estimate, ci: float, alone: bool) -> list[Cell]:
    """Name the rows; of one estimate alone the name stands in the title."""
    made = []
    for cell in cells_of(estimate, ci):
        whole = f"{name}, {cell.label}" if cell.label else name
        label = (cell.label or name.split(", ")[-1]) if alone else whole
        made.append(replace(cell, label="\n".join(wrap(label, _LABEL))))
    return made


def _height(cell: Cell) -> int:
    return cell.label.count("\n") + 1


def _places(cells: list[Cell]) -> list[float]:
    """Where the rows stand, from the top down to 0; a label of two lines takes two."""
    heights = np.array([_height(cell) for cell in cells], dtype=float)
    ends = np.cumsum(heights)
    return [float(place) for place in ends[-1] - ends + (heights - 1) / 2]


def _panel(ax: Axes, unit: str, null: float | None, cells: list[Cell]) -> None:
    places = _places(cells)
    if unit == "ratio":
        _logarithmic(ax, cells)
    if null is not None:
        ax.axvline(null, color=BLACK, linewidth=0.8, zorder=1)
    for place, cell in zip(places, cells, strict=True):
        ax.plot(
            [cell.row["lower"], cell.row["upper"]], [place] * 2, color=PALETTE[0], linewidth=1.4, zorder=2
        )
        ax.plot([cell.row["mean"]], [place], color=PALETTE[0], marker="s", markersize=4.5, zorder=3)
    ax.set_yticks(places, [cell.label for cell in cells])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    label = {
        "ratio": "ratio (logarithmic axis)",
        "probability": "difference in probability" if null == 0 else unit,
    }
    ax.set(ylim=(-0.6, sum(_height(cell) for cell in cells) + 0.3), xlabel=label.get(unit, unit))


def _logarithmic(ax: Axes, cells: list[Cell]) -> None:
    low, high = min(cell.row["lower"] for cell in cells), max(cell.row["upper"] for cell in cells)
    if low <= 0:
        raise ValueError("a ratio with draws at or below 0 has no place on a logarithmic axis.")
    ax.set_xscale("log")
    ticks = ratio_ticks(min(low, 1.0), max(high, 1.0))
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()


def ratio_ticks(low: float, high: float) -> list[float]:
    """Round ratios between two limits, 1 among them: as many as can be read.

    >>> ratio_ticks(0.12, 1.0), ratio_ticks(0.9, 1.1)
    ([0.2, 0.5, 1.0], [0.9, 1.0, 1.1])
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), range(1, 10)):
        ticks = [float(f"{step * 10.0**decade:.6g}") for decade in decades for step in steps]
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 3:
            return inside
    spacings = [spacing for spacing in (0.2, 0.1, 0.05, 0.02, 0.01) if high - low >= 2 * spacing] or [0.005]
    down, up = int((1 - low) / spacings[0] + 1e-9), int((high - 1) / spacings[0] + 1e-9)
    return [round(1 + k * spacings[0], 6) for k in range(-down, up + 1)]


def _numbers(ax: Axes, null: float | None, cells: list[Cell], ci: float) -> None:
    ax.set_axis_off()
    ax.set_xlim(0, 1)
    top = sum(_height(cell) for cell in cells) - 0.1
    ax.text(0, top, f"mean ({percent(ci)} interval)", fontsize=SMALL, va="center", color=GREY)
    if null is not None:
        ax.text(0.72, top, f"Pr(> {null:g})", fontsize=SMALL, va="center", color=GREY)
    for place, cell in zip(_places(cells), cells, strict=True):
        text = f"{number(cell.row['mean'])} ({interval(cell.row['lower'], cell.row['upper'])})"
        ax.text(0, place, text, fontsize=SMALL, va="center", gid="numbers")
        if null is not None:
            chance = probability(float(cell.row[f"Pr(> {null:g})"]))
            ax.text(0.72, place, chance, fontsize=SMALL, va="center", gid="probability")


def _title(estimates: Estimates, named: dict[str, Estimate]) -> str:
    names = {estimate.name for estimate in named.values()}
    common = {name.split(", ")[0] for name in names}  # "change in EDSS, a minus b": what is compared
    if isinstance(estimates, EstimateSet):
        title = estimates.title
    elif len(names) == 1:
        (title,) = names
    else:
        title = common.pop() if len(common) == 1 else "Estimates"
    return title[:1].upper() + title[1:]


def _caption(named: dict[str, Estimate], sources: list[str], caveats: list[str], ci: float) -> str:
    definitions = list(dict.fromkeys(_common(estimate.definition) for estimate in named.values()))
    others = [caveat for caveat in caveats if isinstance(caveat, Doubt)]
    return " ".join(
        [
            *(definitions if len(definitions) <= 3 else definitions[:1]),
            f"Squares and lines: mean and {percent(ci)} equal-tailed interval of {', '.join(sources)}.",
            *(f"{caveat[:1].upper()}{caveat[1:]}." for caveat in others),
        ]
    )


def _common(definition: str) -> str:
    """Leave out which levels are compared: the labels say it."""
    return (
        definition.partition(". ")[2]
        if definition.startswith(("Difference between", "Ratio between"))
        else definition
    )
