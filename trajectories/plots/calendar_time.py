"""In which calendar years the arms were treated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trajectories.comparison.calendar_time import CalendarOverlap
from trajectories.plots.style import SINGLE, arm_colours, arm_markers, percent, sheet, style, warnings_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["calendar_years"]


def calendar_years(overlap: CalendarOverlap) -> Figure:
    """Draw the share of each arm's patients who started treatment in each calendar year.

    Parameters
    ----------
    overlap
        From `tj.calendar_overlap`.

    Returns
    -------
    A matplotlib Figure, 3.5 inches wide; its caption has the overlap of each pair of arms.

    Examples
    --------
    >>> import trajectories as tj
    >>> len(calendar_years(tj.calendar_overlap(tj.simulated_alemtuzumab_35())).axes)
    1
    """
    with style():
        figure, axes = sheet(
            title="Calendar year of treatment start",
            warnings=warnings_of(simulated=overlap.simulated),
            caption=_caption(overlap),
            width=SINGLE,
            height=2.2,
        )
        _years(axes[0, 0], overlap)
    return figure


def _years(ax: Axes, overlap: CalendarOverlap) -> None:
    from matplotlib.ticker import MaxNLocator

    found = overlap.shares.index.to_numpy()
    years = np.arange(found.min(), found.max() + 1)
    arms = [str(arm) for arm in overlap.shares.columns]
    dated = overlap.arms["dated"]
    colours, markers = arm_colours(arms), arm_markers(arms)
    for arm in arms:
        height = 100 * overlap.shares[arm].reindex(years, fill_value=0.0).to_numpy()
        ax.stairs(height, np.append(years, years[-1] + 1) - 0.5, color=colours[arm], linewidth=1.1, zorder=3)
        some = height > 0
        ax.plot(
            years[some], height[some], linestyle="none", marker=markers[arm], markersize=3, color=colours[arm],
            label=f"{arm} ({int(dated[arm])})", zorder=4, gid=arm,
        )  # fmt: skip
    ax.set(xlabel="year of treatment start", ylabel="patients of the arm (%)")
    room = 1.05 + 0.13 * len(arms)  # for the legend, above all arms
    ax.set_ylim(0, room * 100 * float(overlap.shares.to_numpy().max()))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()


def _caption(overlap: CalendarOverlap) -> str:
    pairs = [
        f"{row['arm']} and {row['other']} {percent(round(float(row['overlap']), 2))}"
        for _, row in overlap.pairs.iterrows()
    ]
    unknown = int((overlap.arms["patients"] - overlap.arms["dated"]).sum())
    said = [
        "Each arm adds up to 100\N{NO-BREAK SPACE}%.",
        *([f"Overlap: {'; '.join(pairs)} (sum over years of the smaller share)."] if pairs else []),
        *([f"{unknown} patients without a date."] if unknown else []),
    ]
    return " ".join(said)
