"""Boxes with every patient's point, and the numbers of patients under an axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trajectories.plots.style import BLACK, SMALL, arm_colours, arm_markers, ink

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["boxes_by_arm", "counts_below", "offsets_of_arms", "spread"]

GLYPHS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚", "X": "✖"}

type Floats = NDArray[np.float64]


def spread(values: Floats, step: float) -> Floats:
    """Set equal values side by side, `step` apart, so that the width of a row says how many there are; nothing is random.

    >>> spread(np.array([2.0, 2.0, 3.0]), step=0.1).tolist()
    [-0.05, 0.05, 0.0]
    """
    shifts = np.zeros(len(values))
    for value in np.unique(values):
        same = np.flatnonzero(values == value)
        shifts[same] = (np.arange(len(same)) - (len(same) - 1) / 2) * step
    return shifts


def _step(samples: Iterable[Floats], slot: float) -> float:
    """One distance for all rows of points, as large as the longest row allows."""
    longest = max(
        (int(np.unique(values, return_counts=True)[1].max()) for values in samples if len(values)), default=1
    )
    return min(0.085, 0.85 / max(longest - 1, 1)) * slot


def offsets_of_arms(arms: Sequence[str], room: float = 0.84) -> dict[str, float]:
    """Where the arms stand around a position, side by side in `room`."""
    slot = room / len(arms)
    return {arm: (k - (len(arms) - 1) / 2) * slot for k, arm in enumerate(arms)}


def boxes_by_arm(
    ax: Axes, samples: Mapping[tuple[str, int], Floats], quartiles: Mapping[tuple[str, int], Sequence[float]], arms: Sequence[str]
) -> None:  # fmt: skip
    """Draw a box and all points for each arm and position 0, 1, …: quartiles as given (q1, median, q3), whiskers to the range."""
    colours, markers, places = arm_colours(arms), arm_markers(arms), offsets_of_arms(arms)
    slot = 0.84 / len(arms)
    step = _step(samples.values(), slot)
    for (arm, position), values in samples.items():
        if not len(values):
            continue
        centre, (q1, median, q3) = position + places[arm], quartiles[arm, position]
        box = {"q1": q1, "med": median, "q3": q3, "whislo": values.min(), "whishi": values.max()}
        ax.bxp(
            [box], positions=[centre], widths=slot * 0.86, showfliers=False, manage_ticks=False, zorder=2,
            boxprops={"linewidth": 0.8, "color": BLACK}, medianprops={"linewidth": 2.2, "color": BLACK},
            whiskerprops={"linewidth": 0.6}, capprops={"linewidth": 0.6},
        )  # fmt: skip
        ax.scatter(
            centre + spread(values, step), values, s=5 if len(values) < 60 else 3, marker=markers[arm],
            color=colours[arm], alpha=0.85, linewidths=0, zorder=3,
        )  # fmt: skip


def counts_below(
    ax: Axes,
    positions: Sequence[float],
    counts: Mapping[str, Sequence[int]],
    *,
    head: str = "n",
    lines_down: float = 4.1,
    names: bool = True,
) -> None:
    """Write a row of numbers for each arm under the axis, as below a Kaplan–Meier curve, `lines_down` lines of text below it."""
    from matplotlib.transforms import ScaledTranslation

    figure = ax.figure
    several = len(counts) > 1
    colours = {arm: ink(colour) if several else BLACK for arm, colour in arm_colours(list(counts)).items()}
    for row, (arm, numbers) in enumerate(counts.items()):
        down = ScaledTranslation(0, -(lines_down + row) * SMALL * 1.25 / 72, figure.dpi_scale_trans)
        for position, n in zip(positions, numbers, strict=True):
            ax.text(
                position, 0, f"{n}", transform=ax.get_xaxis_transform() + down, ha="center", va="center", fontsize=SMALL,
                color=colours[arm], gid="count",
            )  # fmt: skip
        if row and not names:
            continue
        label = _row_label(arm, list(counts), head if row == 0 else "") if names else head
        left = ScaledTranslation(-12 / 72, 0, figure.dpi_scale_trans)
        ax.text(
            0, 0, label, transform=ax.transAxes + down + left, ha="right", va="center", fontsize=SMALL,
            color=colours[arm] if names else BLACK,
        )  # fmt: skip


def _row_label(arm: str, arms: Sequence[str], head: str) -> str:
    """Name a row of numbers; among several arms by the arm and its marker, so that the rows are the legend too."""
    if len(arms) == 1:
        return head
    return "  ".join(part for part in (head, f"{GLYPHS[arm_markers(arms)[arm]]} {arm}") if part)
