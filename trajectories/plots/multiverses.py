"""Figure of many rules on one cohort: what share of patients has an event by each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trajectories.endpoints.multiverses import Multiverse
from trajectories.plots.dots import offsets_of_arms
from trajectories.plots.style import (
    DOUBLE,
    LIGHT,
    SMALL,
    arm_colours,
    arm_markers,
    ink,
    sheet,
    style,
    warnings_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["multiverse"]


def multiverse(found: Multiverse) -> Figure:
    """Draw the share of patients with an event by each rule: one panel an outcome, points by arm, patients beside them.

    Bars are 95 % Wilson intervals; the numbers are patients with the event / eligible patients.

    Parameters
    ----------
    found
        What `multiverse` found.

    Returns
    -------
    A matplotlib Figure, 7.2 inches wide.

    Examples
    --------
    >>> from trajectories import simulated_alemtuzumab_35
    >>> from trajectories.endpoints import CARE_MS, TRIAL
    >>> from trajectories.endpoints.multiverses import multiverse as find
    >>> figure = multiverse(find(simulated_alemtuzumab_35(), [TRIAL, CARE_MS]))
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['Worsening', 'PIRA', 'Improvement']
    """
    table = found.to_frame()
    outcomes = [o for o in ("worsening", "PIRA", "improvement") if o in set(table["outcome"])]
    arms = [str(arm) for arm in table["arm"].cat.categories]
    rules = list(dict.fromkeys(table["rule"]))
    hidden = (
        "" if found.suppress_below is None else f" Fewer than {found.suppress_below} patients are not drawn."
    )
    widest = min(102.0, 105 * float(np.nanmax(table["upper"].to_numpy(), initial=0.1)))
    with style():
        figure, axes = sheet(
            title=f"Patients with an event by {len(rules)} rules, {found.cohort_name}",
            warnings=warnings_of(simulated=found.simulated),
            caption="Points: patients with at least one event / eligible patients, the numbers beside them. Bars: 95 % Wilson "
            "intervals. Shares are crude: they do not allow for differences in follow-up." + hidden,
            width=DOUBLE,
            height=0.6 + len(rules) * max(0.16 * len(arms) + 0.1, 0.24),
            columns=len(outcomes),
            sharey=True,
        )
        for ax, outcome in zip(axes[0], outcomes, strict=True):
            _panel(ax, table[table["outcome"] == outcome], rules, arms, found.suppress_below)
            ax.set_title(
                "PIRA" if outcome == "PIRA" else outcome.capitalize(), pad=16 if len(arms) > 1 else None
            )
            ax.set_xlim(0, widest)
        axes[0][0].set_yticks(np.arange(len(rules)), rules)
        axes[0][0].set_ylim(len(rules) - 0.5, -0.5)
        if len(arms) > 1:
            legend = axes[0][0].legend(
                loc="lower left", bbox_to_anchor=(0, 1), borderpad=0, ncols=len(arms), columnspacing=1.2
            )
            legend.set_in_layout(False)  # it may reach over the next panel, which must not move for it
    return figure


def _panel(ax: Axes, table: pd.DataFrame, rules: list[str], arms: list[str], below: int | None) -> None:
    colours, markers = arm_colours(arms), arm_markers(arms)
    offsets = offsets_of_arms(arms)
    for row in range(1, len(rules), 2):
        ax.axhspan(row - 0.5, row + 0.5, color=LIGHT, alpha=0.4, linewidth=0)
    for arm in arms:
        mine = table[table["arm"] == arm].set_index("rule").reindex(rules)
        counts = mine["with_event"].to_numpy(dtype=np.float64, na_value=np.nan)
        share = 100 * mine["share"].to_numpy()
        if below is not None:
            share = np.where((counts > 0) & (counts < below), np.nan, share)
        y = np.arange(len(rules)) + offsets[arm]
        low, high = 100 * mine["lower"].to_numpy(), 100 * mine["upper"].to_numpy()
        shown = ~np.isnan(share)
        ax.hlines(y[shown], low[shown], high[shown], color=colours[arm], linewidth=1.0)
        ax.plot(share, y, markers[arm], color=colours[arm], markersize=3.5, label=arm)
        for at, n, of, seen in zip(y, counts, mine["eligible"], shown, strict=True):
            text = f"{n:.0f}/{of:.0f}" if seen else ("-" if np.isnan(n) else f"<{below}/{of:.0f}")
            ax.text(
                1.01, at, text, transform=ax.get_yaxis_transform(), va="center", fontsize=SMALL, color=ink(colours[arm])
            )  # fmt: skip
    ax.set_xlabel("patients with an event (%)")
    ax.tick_params(axis="y", length=0)
