"""Several figures on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["page"]

GAP = 0.15
"""Inches between figures."""


def page(figures: Sequence[Figure], *, columns: int = 2, dpi: int = 200) -> Figure:
    """Put figures on one page, in the order they are given, each in its own size.

    Figures fill the columns one after the other, always the one that is shortest so far; a figure wider than a column is not scaled.

    Parameters
    ----------
    figures
        Made by the other functions of `plots`, or any of matplotlib's.
    columns
        How many stand side by side.
    dpi
        Resolution in which they are drawn: the page holds images. For vector graphics save the figures one by one.

    Returns
    -------
    A matplotlib Figure; save it with the same `dpi`.

    Raises
    ------
    ValueError
        Without figures, or with less than one column.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> page([Figure(figsize=(3.5, 2)), Figure(figsize=(3.5, 3))]).get_size_inches().round(2).tolist()
    [7.15, 3.0]
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not figures or columns < 1:
        raise ValueError("a page needs at least one figure and one column.")
    sizes = [figure.get_size_inches() for figure in figures]
    width = max(size[0] for size in sizes)
    heights = np.zeros(min(columns, len(figures)))
    places = []
    for size in sizes:
        column = int(heights.argmin())
        places.append((column * (width + GAP), heights[column]))
        heights[column] += size[1] + GAP
    whole = (len(heights) * (width + GAP) - GAP, heights.max() - GAP)
    made = Figure(figsize=whole, dpi=dpi, facecolor="white")
    for figure, size, (left, top) in zip(figures, sizes, places, strict=True):
        before, canvas = figure.dpi, FigureCanvasAgg(figure)
        figure.set_dpi(dpi)
        try:
            canvas.draw()  # type: ignore[no-untyped-call]
            image = np.asarray(canvas.buffer_rgba()).copy()  # type: ignore[no-untyped-call]
        finally:
            figure.set_dpi(before)
        bottom = whole[1] - top - size[1]
        ax = made.add_axes((left / whole[0], bottom / whole[1], size[0] / whole[0], size[1] / whole[1]))
        ax.imshow(image, interpolation="none", aspect="auto")
        ax.set_axis_off()
    return made
