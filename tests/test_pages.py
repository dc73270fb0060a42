"""Several figures on one page: nothing is scaled, cut or hidden."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trajectories import plots


def painted(width: float, height: float, colour: str) -> Figure:
    return Figure(figsize=(width, height), facecolor=colour)


def test_every_figure_keeps_its_size_and_its_pixels():
    red, green, blue = (painted(2, h, c) for h, c in ((1, "#ff0000"), (2, "#00ff00"), (1.5, "#0000ff")))
    page = plots.page([red, green, blue], columns=2, dpi=50)
    canvas = FigureCanvasAgg(page)
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())[..., :3]
    for colour, height in (((255, 0, 0), 1), ((0, 255, 0), 2), ((0, 0, 255), 1.5)):
        pixels = (image == colour).all(axis=-1).sum()
        assert abs(pixels / (2 * height * 50**2) - 1) < 0.03
    # blue went under red, into the column that was the shortest
    assert np.argwhere((image == (0, 0, 255)).all(axis=-1))[:, 1].max() < 2 * 50 + 1


def test_the_figures_are_left_as_they_were():
    figure = painted(2, 1, "#ff0000")
    before = figure.dpi
    plots.page([figure], dpi=33)
    assert figure.dpi == before


def test_a_page_without_figures_is_an_error():
    with pytest.raises(ValueError, match="at least one figure"):
        plots.page([])
