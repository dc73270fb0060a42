"""Which patients move an estimate."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from trajectories.fitting.influence import Influence
from trajectories.plots.style import (
    BLACK,
    DOUBLE,
    GREY,
    SMALL,
    arm_colours,
    arm_markers,
    number,
    sheet,
    style,
    warnings_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["influence"]

MOST_TERMS = 6


def influence(result: Influence, *, label: int = 3) -> Figure:
    """Draw how much each patient moves each estimate: a panel a term, a stem a patient.

    Parameters
    ----------
    result
        From `influence`.
    label
        How many patients a panel have their place in the design written beside them, those who move the estimate most.

    Returns
    -------
    A matplotlib Figure, 7.2 inches wide; the left axis in standard errors, the right one in the units of the estimate.

    Raises
    ------
    ValueError
        If there are more than 6 terms: name one in `influence`.
    """
    terms = len(result.terms)
    if terms > MOST_TERMS:
        raise ValueError(
            f"{terms} terms are more than one figure holds ({MOST_TERMS}): name one in tj.influence(fit, term)."
        )
    with style():
        figure, axes = sheet(
            title="Influence of single patients",
            warnings=warnings_of(caveats=result.caveats),
            caption=_caption(result),
            width=DOUBLE,
            height=1.75 * terms + 0.35,
            rows=terms,
            sharex=True,
        )
        reach = 1.25 * float(np.abs(result.in_standard_errors).max())
        for k, ax in enumerate(axes[:, 0]):
            _panel(ax, result, k, label)
            ax.set_ylim(-reach, reach)
            _units(ax, result, k)
        axes[-1, 0].set_xlabel("patient (place in the design)")
        if len(result.design.arms) > 1:
            axes[0, 0].legend(
                loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(result.design.arms), borderaxespad=0.2
            )
    return figure


def _panel(ax: Axes, result: Influence, k: int, label: int) -> None:
    changes = result.in_standard_errors[:, k]
    places = np.arange(len(changes))
    arm = result.design.target["arm"].astype(str).to_numpy()
    colours, markers = arm_colours(result.design.arms), arm_markers(result.design.arms)
    ax.axhline(0, color=GREY, linewidth=0.6, zorder=1)
    for name in result.design.arms:
        mine = arm == name
        ax.vlines(places[mine], 0, changes[mine], color=colours[name], linewidth=0.6, alpha=0.6, zorder=2)
        ax.plot(
            places[mine], changes[mine], linestyle="none", marker=markers[name], markersize=3, markeredgewidth=0,
            color=colours[name], label=name, zorder=3,
        )  # fmt: skip
    for place in np.argsort(-np.abs(changes), kind="stable")[:label]:
        up = changes[place] >= 0
        ax.annotate(
            f"{place}", (place, changes[place]), xytext=(0, 3 if up else -3), textcoords="offset points", ha="center",
            va="bottom" if up else "top", fontsize=SMALL, color=BLACK, gid="patient",
        )  # fmt: skip
    estimate, se = number(result.estimates[k]), number(result.standard_errors[k])
    ax.set_title(f"{result.terms[k]}: {estimate} (SE {se})", fontsize=SMALL)
    ax.set_ylabel("change (SE)")
    ax.margins(x=0.02)


def _units(ax: Axes, result: Influence, k: int) -> None:
    se = float(result.standard_errors[k])
    right = ax.secondary_yaxis(
        "right", functions=(lambda y: np.asarray(y) * se, lambda y: np.asarray(y) / se)
    )
    right.tick_params(labelsize=SMALL, width=0.6, length=2.5)
    right.set_ylabel("\n".join(wrap(f"change ({result.unit})", 20)))


def _caption(result: Influence) -> str:
    return (
        f"{result.design.n_patients} patients, {len(result.design.frame)} rows. Change: the estimate with all patients minus that without this "
        f"one, to first order (inverse information × the patient's score). Left axis: in standard errors of the estimate (SE); right axis: in "
        f"{result.unit} (per unit of the term). Numbers: places of the patients who move the estimate most."
    )
