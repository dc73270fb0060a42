"""What all figures share: colours, sizes, and a sheet with title, warnings and caption around its panels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from trajectories import printing
from trajectories.caveats import SIMULATED, marks_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = [
    "BLACK",
    "DOUBLE",
    "GREY",
    "LIGHT",
    "OUTCOME_COLOURS",
    "PALETTE",
    "SINGLE",
    "SMALL",
    "arm_colours",
    "arm_markers",
    "dress",
    "edss_limits",
    "fix_ticks",
    "ink",
    "interval",
    "number",
    "percent",
    "probability",
    "sheet",
    "style",
    "warnings_of",
    "window_label",
]

# Okabe and Ito (2008), "Color universal design", jfly.uni-koeln.de/color: told apart with any colour vision. Yellow is left
# out: thin yellow lines are not legible on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
BLACK, GREY, LIGHT = "#000000", "#595959", "#D9D9D9"
WARNING = "#B04A00"  # vermillion, darkened until small letters are legible
OUTCOME_COLOURS = {"worse": "#D55E00", "stable": "#D9D9D9", "improved": "#56B4E9"}

SINGLE, DOUBLE = 3.5, 7.2
"""Widths of one and of two columns of a journal, in inches."""

SMALL, NORMAL, LARGE = 7.0, 7.5, 8.5
"""Font sizes in points; nothing is smaller than 7."""

_LINE = 1.3  # height of a line of text, in font sizes
_PAD = 0.05  # inches around title and caption
_LETTER = 0.56  # mean width of a letter of DejaVu Sans, in font sizes
_LETTER_BOLD = 0.63


def style() -> AbstractContextManager[None]:
    """Set matplotlib's defaults and our sizes while a figure is made, so that it looks the same everywhere."""
    import matplotlib.style
    from cycler import cycler

    ours = {
        "font.size": NORMAL,
        "axes.titlesize": NORMAL,
        "axes.labelsize": NORMAL,
        "xtick.labelsize": SMALL,
        "ytick.labelsize": SMALL,
        "legend.fontsize": SMALL,
        "legend.frameon": False,
        "legend.handlelength": 1.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.linewidth": 0.6,
        "axes.prop_cycle": cycler(color=PALETTE),
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "lines.linewidth": 1.2,
        "hatch.linewidth": 0.4,
        "savefig.dpi": 300,
    }
    return matplotlib.style.context(["default", ours])


def sheet(
    *,
    title: str,
    warnings: Sequence[str] = (),
    caption: str = "",
    width: float = SINGLE,
    height: float = 2.4,
    rows: int = 1,
    columns: int = 1,
    sharex: bool = False,
    sharey: bool = False,
    ratios: Sequence[float] | None = None,
    heights: Sequence[float] | None = None,
) -> tuple[Figure, NDArray[np.object_]]:
    """Make a figure with panels (rows × columns), `height` inches of them, and room for what is written around them.

    The figure is none of pyplot's: nothing has to be closed, and it shows itself in a notebook.
    """
    from trajectories.plots.notebook import NotebookFigure

    figure = NotebookFigure()
    dress(figure, title=title, warnings=warnings, caption=caption, width=width, height=height)
    axes = figure.subplots(
        rows,
        columns,
        sharex=sharex,
        sharey=sharey,
        squeeze=False,
        width_ratios=ratios,
        height_ratios=heights,
    )
    for ax in axes.flat:
        fix_ticks(ax)
    return figure, axes


def dress(
    figure: Figure, *, title: str, warnings: Sequence[str], caption: str, width: float, height: float
) -> None:
    """Set a figure's size for panels of `height` inches, and write title and warnings above them, the caption below."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    top, bottom = _heading(title, warnings, width), _lines(caption, SMALL, width)
    above, below = _inches([size for _, size in top]), _inches([SMALL for _ in bottom])
    total = height + above + below
    figure.set_size_inches(width, total)
    room = (0.0, below / total, 1.0, height / total)
    figure.set_layout_engine(ConstrainedLayoutEngine(rect=room, w_pad=0.04, h_pad=0.04))
    left, y = 0.06 / width, total - _PAD
    for line, size in top:
        colour = BLACK if size == LARGE else WARNING
        figure.text(
            left, y / total, line, fontsize=size, va="top", fontweight="bold", color=colour, gid="heading"
        )
        y -= size * _LINE / 72
    y = _PAD
    for line in reversed(bottom):
        figure.text(left, y / total, line, fontsize=SMALL, va="bottom", color=GREY, gid="caption")
        y += SMALL * _LINE / 72


def fix_ticks(ax: Axes) -> None:
    """Set the sizes of ticks for good: ticks made when the figure is drawn would take those of that moment."""
    ax.tick_params(labelsize=SMALL, width=0.6, length=2.5)


def _heading(title: str, warnings: Sequence[str], width: float) -> list[tuple[str, float]]:
    lines = [(line, LARGE) for line in _lines(title, LARGE, width, _LETTER_BOLD)]
    for warning in warnings:
        lines += [(line, SMALL) for line in _lines(warning, SMALL, width, _LETTER_BOLD)]
    return lines


def _lines(text: str, size: float, width: float, letter: float = _LETTER) -> list[str]:
    letters = int((width - 0.12) * 72 / (size * letter))
    return [line for part in text.split("\n") for line in wrap(part, letters, break_on_hyphens=False)]


def _inches(sizes: Sequence[float]) -> float:
    return sum(sizes) * _LINE / 72 + 2 * _PAD if sizes else _PAD


def warnings_of(*, simulated: bool = False, caveats: Iterable[str] = ()) -> list[str]:
    """Return what must be written on the figure itself: simulated data, draws from the prior, no convergence."""
    return [mark.value for mark in marks_of([*caveats, *([SIMULATED] if simulated else [])])]


def edss_limits(highest: float) -> tuple[float, float]:
    """Limits of an EDSS axis: from 0, to 6 or what is needed, never beyond 10, with room for points at the ends.

    >>> edss_limits(3.5), edss_limits(8.5)
    ((-0.3, 6.3), (-0.3, 9.3))
    """
    return -0.3, min(max(6.0, float(np.ceil(highest))), 10.0) + 0.3


def window_label(window: str) -> str:
    """Write a window of time as people read it; its end is not part of it.

    >>> window_label("[-1, 0)"), window_label("[0, end of follow-up)")
    ('−1 to 0', '0 to end')
    """
    start, end = window.strip("[)").split(", ")
    said = [time.replace("-", "−") for time in (start, "end" if end.startswith("end") else end)]
    return " to ".join(said)


def arm_colours(arms: Sequence[str]) -> dict[str, str]:
    """Give each arm its colour, by its place among all arms; the same in every figure."""
    return {arm: PALETTE[k % len(PALETTE)] for k, arm in enumerate(arms)}


def ink(colour: str) -> str:
    """Darken a colour until small letters in it are legible on white."""
    channels = [round(int(colour[k : k + 2], 16) * 0.72) for k in (1, 3, 5)]
    return "#" + "".join(f"{channel:02X}" for channel in channels)


def arm_markers(arms: Sequence[str]) -> dict[str, str]:
    """Give each arm its marker: colour never carries a meaning alone."""
    return {arm: MARKERS[k % len(MARKERS)] for k, arm in enumerate(arms)}


def number(value: float, digits: int = 2) -> str:
    """Write a number with a true minus sign.

    >>> number(-0.5), number(float("nan"))
    ('−0.50', '–')
    """
    text = printing.number(value, digits)
    return "–" if text == printing.MISSING else text.replace("-", "−")


def percent(share: float) -> str:
    """Write a share in percent, number and sign never apart.

    >>> percent(0.95), percent(0.999)
    ('95\\xa0%', '99.9\\xa0%')
    """
    return f"{100 * share:.6g}\N{NO-BREAK SPACE}%"


def interval(lower: float, upper: float, digits: int = 2) -> str:
    """Write an interval.

    >>> interval(-0.25, 0.5)
    '−0.25 to 0.50'
    """
    return f"{number(lower, digits)} to {number(upper, digits)}"


def probability(p: float) -> str:
    """Write a probability, never rounded to 0 or 1.

    >>> probability(0.934), probability(0.9997), probability(0.0002), probability(0.996)
    ('0.93', '> 0.999', '< 0.001', '0.996')
    """
    if np.isnan(p):
        return "–"
    if p < 0.001:
        return "< 0.001"
    if p > 0.999:
        return "> 0.999"
    return f"{p:.3f}" if p < 0.01 or p > 0.99 else f"{p:.2f}"
