"""The figure of patients worse, stable or improved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trajectories.estimands import Stabilisation
from trajectories.estimands.outcomes import BASES, NO_PATIENT_SLOPE, OUTCOMES
from trajectories.estimate import Estimate
from trajectories.plots.style import (
    DOUBLE,
    OUTCOME_COLOURS,
    SMALL,
    interval,
    number,
    percent,
    sheet,
    style,
    warnings_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["outcomes"]


def outcomes(stabilisation: Stabilisation, *, ci: float = 0.95) -> Figure:
    """Draw the shares of patients worse, stable and improved, stacked, by arm and by both bases of judgement.

    Parameters
    ----------
    stabilisation
        From `tj.stabilisation`.
    ci
        Probability of the equal-tailed interval written beside the bars.

    Returns
    -------
    A matplotlib Figure, 7.2 inches wide.
    """
    patients = stabilisation.patients
    shares = patients.summary(ci).mul(100).to_dict("index")
    arms = [str(arm) for arm in patients.draws["arm"].to_numpy()]
    bars = [(arm, basis) for basis in BASES for arm in arms]
    places = _bar_places(len(arms))
    with style():
        figure, axes = sheet(
            title=f"Patients worse, stable, improved from {stabilisation.since:g} to {stabilisation.at:g} years",
            warnings=warnings_of(caveats=patients.caveats),
            caption=_caption(patients, ci),
            width=DOUBLE,
            height=0.75 + 0.3 * len(bars),
            columns=2,
            ratios=(1.0, 0.85),
        )  # fmt: skip
        ax, beside = axes[0]
        for place, bar in zip(places, bars, strict=True):
            left = 0.0
            for outcome in OUTCOMES:
                share = shares[(*bar, outcome)]["mean"]
                ax.barh(
                    place, share, left=left, height=0.8, color=OUTCOME_COLOURS[outcome], edgecolor="white", linewidth=0.8,
                    hatch="////" if outcome == "worse" else None, label=outcome,
                )  # fmt: skip
                left += share
        ax.set(xlim=(0, 100), xlabel="patients (%)")
        ax.set_yticks(places, ["all patients" if arm == "all" else arm for arm, _ in bars])
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        for k, basis in enumerate(BASES):
            ax.text(0, places[k * len(arms)] + 0.55, f"judged by {basis}", fontsize=SMALL, fontweight="bold")
        ax.set_ylim(places[-1] - 0.6, places[0] + 1.4)
        _numbers(beside, shares, bars, places)
        beside.set_ylim(ax.get_ylim())
    return figure


def _caption(patients: Estimate, ci: float) -> str:
    flat = NO_PATIENT_SLOPE in patients.caveats
    return (
        f"{patients.definition} One visit fluctuates, so fewer look stable at two visits; no change is confirmed at a later visit. "
        f"Numbers: mean and {percent(ci)} equal-tailed interval, in %, of {patients.source}."
        + (f" {NO_PATIENT_SLOPE[:1].upper()}{NO_PATIENT_SLOPE[1:]}." if flat else "")
    )


def _bar_places(arms: int) -> list[float]:
    """From the top: the bars of the first basis, room for a heading, those of the second."""
    first = [float(2 * arms - k) for k in range(arms)]
    return first + [place - arms - 0.9 for place in first]


def _numbers(ax: Axes, shares: Mapping[Any, Any], bars: list[tuple[str, str]], places: list[float]) -> None:
    from matplotlib.patches import Rectangle

    ax.set_axis_off()
    ax.set_xlim(0, 1)
    for k, outcome in enumerate(OUTCOMES):
        x = 0.02 + k / 3
        swatch = Rectangle(
            (x, places[0] + 0.65), 0.04, 0.5, facecolor=OUTCOME_COLOURS[outcome], edgecolor="white", linewidth=0,
            hatch="////" if outcome == "worse" else None,
        )  # fmt: skip
        ax.add_patch(swatch)
        ax.text(x + 0.055, places[0] + 0.9, outcome, fontsize=SMALL, va="center", fontweight="bold")
        for place, bar in zip(places, bars, strict=True):
            row = shares[(*bar, outcome)]
            text = f"{number(row['mean'], 0)} ({interval(row['lower'], row['upper'], 0)})"
            ax.text(x, place, text, fontsize=SMALL, va="center", gid="share")
