"""Figures of stabilisation: the change of the group beside a margin, and what another margin would say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trajectories.estimands import Stabilisation
from trajectories.estimate import Estimate, check_ci
from trajectories.plots.cells import Cell, cells_of
from trajectories.plots.style import (
    BLACK,
    GREY,
    PALETTE,
    SMALL,
    arm_colours,
    arm_markers,
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

__all__ = ["change", "margin_curve"]


def change(estimate: Stabilisation | Estimate, margin: float | None = None, *, ci: float = 0.95) -> Figure:
    """Draw the distribution of a change, a row an arm, with the margin shaded and the probability of lying in it written in.

    Parameters
    ----------
    estimate
        A `Stabilisation`, or an `Estimate` of a change or of a difference of changes.
    margin
        In the estimate's unit: |change| below it is shaded. None takes that of the `Stabilisation`; an `Estimate` without a margin
        has nothing shaded, and the probability of a change below 0 written in.
    ci
        Probability of the equal-tailed interval.

    Returns
    -------
    A matplotlib Figure, 3.5 inches wide.

    Raises
    ------
    ValueError
        If the margin is not positive.
    """
    check_ci(ci)
    stated = estimate if isinstance(estimate, Stabilisation) else None
    whole = estimate.change if isinstance(estimate, Stabilisation) else estimate
    margin = stated.margin if stated is not None and margin is None else margin
    written = whole.probability(below=0) if margin is None else whole.probability(within=margin)
    cells = cells_of(whole, ci)
    arms = list(dict.fromkeys(cell.arm for cell in cells if cell.arm is not None))
    colours = arm_colours(arms)
    with style():
        figure, axes = sheet(
            title=_change_title(whole, stated),
            warnings=warnings_of(caveats=whole.caveats),
            caption=_change_caption(whole, stated, margin, ci),
            height=0.55 + 0.6 * len(cells),
        )
        ax: Axes = axes[0, 0]
        if margin is not None:
            ax.axvspan(-margin, margin, color="#EEEEEE", linewidth=0, zorder=0)
        for k, cell in enumerate(cells):
            colour = colours[cell.arm] if cell.arm is not None else PALETTE[0]
            _density(ax, cell, len(cells) - 1 - k, colour, margin)
            ax.text(
                1.02, len(cells) - 1 - k + 0.12, probability(float(written.iloc[k])), transform=ax.get_yaxis_transform(),
                fontsize=SMALL + 1, fontweight="bold", gid="probability",
            )  # fmt: skip
        head = "Pr(change < 0)" if margin is None else f"Pr(|change| < {margin:g})"
        ax.text(1.02, len(cells) + 0.02, head, transform=ax.get_yaxis_transform(), fontsize=SMALL, va="top")
        ax.axvline(0, color=BLACK, linewidth=0.6, zorder=1)
        if stated is not None and stated.untreated_drift is not None:
            ax.axvline(stated.untreated_drift, color=GREY, linewidth=1, linestyle="--", zorder=1)
        ax.set_yticks(range(len(cells)), [cell.label for cell in reversed(cells)])
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.set(ylim=(-0.25, len(cells) + 0.05), xlabel=_axis_label(whole))
    return figure


def _density(ax: Axes, cell: Cell, base: float, colour: str, margin: float | None) -> None:
    """A density above its base line, filled where within the margin; below it mean and interval."""
    import arviz as az

    low, high = cell.row["lower"], cell.row["upper"]
    if np.isfinite(cell.draws).all() and np.ptp(cell.draws) > 0:
        x, y, _ = az.kde(cell.draws)
        height = 0.8 * y / y.max()
        ax.plot(x, base + height, color=colour, linewidth=1, zorder=3)
        inside = np.ones(len(x), dtype=bool) if margin is None else np.abs(x) <= margin
        ax.fill_between(
            x, base, base + height, where=inside.tolist(), color=colour, alpha=0.45, linewidth=0, zorder=2
        )
    ax.plot([low, high], [base - 0.1] * 2, color=colour, linewidth=1.6, solid_capstyle="butt", zorder=3)
    ax.plot([cell.row["mean"]], [base - 0.1], color=colour, marker="o", markersize=3.5, zorder=4)


def _axis_label(estimate: Estimate) -> str:
    worse = "; right: worse" if estimate.higher_is_worse else ""
    return f"{estimate.name.split(',')[0]} ({estimate.unit}{worse})"


def _change_title(estimate: Estimate, stated: Stabilisation | None) -> str:
    if stated is None:
        return estimate.name[:1].upper() + estimate.name[1:]
    return f"Change in EDSS from {stated.since:g} to {stated.at:g} years"


def _change_caption(estimate: Estimate, stated: Stabilisation | None, margin: float | None, ci: float) -> str:
    parts = [estimate.definition]
    if margin is not None:
        parts.append(f"Shaded: within the stated margin of {margin:g} {estimate.unit}.")
    if stated is not None and stated.untreated_drift is not None:
        parts.append(f"Dashed: untreated drift, as stated, {number(stated.untreated_drift)}.")
    parts.append(
        f"Curves are scaled to one height; point and line: mean and {percent(ci)} equal-tailed interval of {estimate.source}."
    )
    return " ".join(parts)


def margin_curve(stabilisation: Stabilisation) -> Figure:
    """Draw how the probability of stability depends on the margin, by arm.

    Solid: Pr(|change| < margin); dashed: Pr(change < margin), no worsening beyond it. A vertical line marks the stated margin.

    Parameters
    ----------
    stabilisation
        From `tj.stabilisation`.

    Returns
    -------
    A matplotlib Figure, 3.5 inches wide.
    """
    change = stabilisation.change
    curve = stabilisation.curve()
    arms = [str(arm) for arm in change.draws["arm"].to_numpy()]
    colours, markers = arm_colours(arms), arm_markers(arms)
    written = change.probability(within=stabilisation.margin)
    with style():
        figure, axes = sheet(
            title=f"Stability from {stabilisation.since:g} to {stabilisation.at:g} years, by margin",
            warnings=warnings_of(caveats=change.caveats),
            caption=f"{change.definition} Solid: change within ± margin; dashed: no worsening beyond the margin. Dotted: the stated "
            f"margin, {stabilisation.margin:g}, whose probability stands above. From {change.source}.",
            height=2.5 + 0.13 * len(arms),
        )  # fmt: skip
        ax: Axes = axes[0, 0]
        for arm in arms:
            rows = curve[curve["arm"] == arm]
            name = "all patients" if arm == "all" else arm
            label = f"{name}: {probability(float(written[arm]))}"
            ax.plot(
                rows["margin"], rows["within"], color=colours[arm], linewidth=1.6, marker=markers[arm], markevery=5,
                markersize=3.5, label=label,
            )  # fmt: skip
            ax.plot(rows["margin"], rows["no_worsening"], color=colours[arm], linewidth=1, linestyle="--")
        ax.axvline(stabilisation.margin, color=BLACK, linewidth=0.8, linestyle=":")
        ax.set(
            xlim=(0, max(1.5, stabilisation.margin * 1.1)),
            ylim=(0, 1.02),
            xlabel="margin (EDSS points)",
            ylabel="probability",
        )
        ax.legend(
            loc="lower left", bbox_to_anchor=(0, 1), borderpad=0, alignment="left",
            title=f"Pr(|change| < {stabilisation.margin:g})", title_fontsize=SMALL,
        )  # fmt: skip
    return figure
