"""The tipping-point curve: how strong an unmeasured confounder would have to be, beside measured ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from trajectories.comparison.tipping_points import TippingPoint
from trajectories.plots.style import (
    GREY,
    PALETTE,
    SINGLE,
    SMALL,
    interval,
    number,
    sheet,
    style,
    warnings_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["tipping_point"]


def tipping_point(result: TippingPoint, *, title: str | None = None) -> Figure:
    """Draw the pairs of strengths at which the interval, and the estimate, reach no effect; measured covariates as points.

    Above a curve a confounder is strong enough. Of mean differences a measured covariate is drawn by the size of its strengths if its bias
    would go towards no effect, hollow if it goes the other way.

    Parameters
    ----------
    result
        From `tj.tipping_point`.
    title
        What to write above; None says the estimate.

    Returns
    -------
    A matplotlib Figure, 3.5 inches wide.
    """
    value, lower, upper = result.given
    said = f"{result.measure.capitalize()} {number(value)} ({interval(lower, upper)})"
    with style():
        figure, axes = sheet(
            title=f"Tipping point: {said}" if title is None else title,
            warnings=warnings_of(caveats=result.caveats),
            caption=_caption(result),
            width=SINGLE,
            height=2.8,
        )
        _curves(axes[0, 0], result)
    return figure


def _curves(ax: Axes, result: TippingPoint) -> None:
    ratio = result.measure != "mean difference"
    curve = result.curve
    if not result.covers_null:
        ax.plot(
            curve["outcome"],
            curve["interval"],
            color=PALETTE[0],
            label="interval reaches no effect",
            gid="interval",
        )
    ax.plot(
        curve["outcome"], curve["estimate"], color=PALETTE[1], linestyle="--", label="estimate reaches no effect", gid="estimate"
    )  # fmt: skip
    strengths = result.benchmarks[["outcome", "imbalance"]].to_numpy(dtype=float)
    towards = np.sign(strengths.prod(axis=1)) == np.sign(result.given[0])
    sizes = np.maximum(strengths, 1 / strengths) if ratio else np.abs(strengths)
    for name, (x, y), same in zip(result.benchmarks["name"], sizes, towards | ratio, strict=True):
        face = GREY if same else "white"
        ax.plot(
            [x],
            [y],
            marker="o",
            markersize=4,
            color=GREY,
            markerfacecolor=face,
            linestyle="",
            gid="benchmark",
        )
        ax.annotate(str(name), (x, y), xytext=(3, 3), textcoords="offset points", fontsize=SMALL, color=GREY)
    if ratio:
        ax.set(xlabel="risk ratio of confounder and outcome", ylabel="risk ratio of treatment and confounder")
    else:
        kind = "difference in prevalence" if result.confounder == "binary" else "difference in means"
        ax.set(xlabel="effect of the confounder on the outcome", ylabel=kind)
    null = 1.0 if ratio else 0.0
    ax.set_xlim(null, float(curve["outcome"].max()))
    highest = 1.0 if result.confounder == "binary" and not ratio else _highest(result)
    ax.set_ylim(null, highest)
    ax.legend(loc="upper right")


def _highest(result: TippingPoint) -> float:
    """Far enough up to see the bend of the outer curve, not its pole."""
    needed = result.curve["estimate"].dropna()
    points = [
        max(v, 1 / v) if result.measure != "mean difference" else abs(v)
        for v in result.benchmarks["imbalance"]
    ]
    return float(max(3 * np.median(needed), *points, 0)) if points else float(3 * np.median(needed))


def _caption(result: TippingPoint) -> str:
    if result.covers_null:
        said = (
            "The interval covers no effect already. Confounders above the line would move the estimate there."
        )
    else:
        said = "Confounders above the solid line would move the interval, above the dashed one the estimate, to no effect."
    if len(result.benchmarks):
        said += " Points: measured covariates" + (
            ", hollow where their bias goes away from no effect."
            if result.measure == "mean difference"
            else "."
        )
    return said
