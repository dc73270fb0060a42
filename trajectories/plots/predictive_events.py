"""The predictive check of a binary outcome: the share of visits with the event, by arm and window of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.fitting.fit import Fit
from trajectories.models.binary import BinaryMixed
from trajectories.plots.style import BLACK, DOUBLE, SMALL, arm_colours, sheet, style, warnings_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["event_shares"]

type Floats = NDArray[np.float64]


def event_shares(
    fit: Fit, new: Floats, windows: pd.Series, columns: Sequence[str], *, title: str, caption: str, ci: float, observed: bool
) -> Figure:  # fmt: skip
    """Draw the observed share of visits with the event and those of the replicates (sample × visit): a panel an arm.

    Parameters
    ----------
    fit
        Of `BinaryMixed`.
    new
        Replicated outcomes: sample × visit.
    windows, columns
        The window of each visit, and all of them in order.
    title, caption, ci, observed
        What to write above and below, the probability of the interval, and whether to draw the observed.
    """
    design, model = fit.design, fit.model
    assert isinstance(model, BinaryMixed)
    arm = design.frame["arm"].astype(str)
    with style():
        figure, axes = sheet(
            title=title,
            warnings=warnings_of(caveats=fit.caveats),
            caption=caption,
            width=DOUBLE,
            height=2.4,
            columns=len(design.arms),
            sharey=True,
        )
        for ax, name in zip(axes[0], design.arms, strict=True):
            inside = [((arm == name) & (windows == window)).to_numpy() for window in columns]
            _panel(ax, design.outcome, new, inside, arm_colours(design.arms)[name], ci, observed=observed)
            labels = [f"{window}\nn = {rows.sum()}" for window, rows in zip(columns, inside, strict=True)]
            ax.set_xticks(range(len(columns)), labels, fontsize=SMALL)
            ax.set(title=name, xlabel="years (n visits)", xlim=(-0.6, len(columns) - 0.4))
        axes[0, 0].set_ylabel(f"visits with {model.event} (%)")
        axes[0, 0].set_ylim(bottom=0)
    return figure


def _panel(
    ax: Axes, outcome: Floats, new: Floats, inside: Sequence[NDArray[np.bool_]], colour: str, ci: float, *, observed: bool
) -> None:  # fmt: skip
    for place, rows in enumerate(inside):
        if not rows.any():
            continue
        shares = 100 * new[:, rows].mean(axis=1)
        lower, upper = np.quantile(shares, [(1 - ci) / 2, (1 + ci) / 2])
        if observed:
            ax.bar([place], [100 * outcome[rows].mean()], width=0.7, color="#C8C8C8", linewidth=0, zorder=1)
        ax.vlines([place], lower, upper, color=colour, linewidth=1.6, zorder=2)
        ax.plot([place], [shares.mean()], marker="o", markersize=3, color=BLACK, linestyle="none", zorder=3)
