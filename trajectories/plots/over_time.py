"""The figure of a fit: what patients went through, and what the model expects of their arm."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trajectories.estimands import ExtrapolationWarning, expected_edss
from trajectories.estimands.population import ALL, Fitted, arms_of, edss_model
from trajectories.models.design import Design
from trajectories.plots.dots import counts_below
from trajectories.plots.style import (
    BLACK,
    DOUBLE,
    GREY,
    SINGLE,
    arm_colours,
    edss_limits,
    percent,
    sheet,
    style,
    warnings_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["trajectories"]

_NEAR = 0.25  # years: who had the first or last visit this near to a time counts as under observation


def trajectories(
    fit: Fitted,
    arms: Sequence[str] | None = None,
    *,
    ci: float = 0.95,
    points: int = 25,
    lines: int = 200,
    seed: int = 0,
) -> Figure:
    """Draw patients' EDSS over time, a panel an arm, with the expected EDSS of the arm and its interval.

    The curve is `expected_edss`: averaged over patients, not the course of any one; it ends with the arm's last visit.

    Parameters
    ----------
    fit
        A `Fit` or `PointFit` of an EDSS model.
    arms
        Which arms; None for all.
    ci
        Probability of the equal-tailed interval.
    points
        At how many times the curve is evaluated.
    lines
        Draw the courses of at most this many patients an arm, evenly chosen; the caption says how many.
    seed
        Seed of the draws of a maximum-likelihood fit.

    Returns
    -------
    A matplotlib Figure, 3.5 inches wide for one arm, 7.2 for several.

    Raises
    ------
    TypeError
        If the fit is not of an EDSS model.
    ValueError
        If an arm does not exist, or counts are below 2 (`points`) or 0 (`lines`).
    """
    edss_model(fit)
    design, every = fit.design, arms_of(fit.design)
    chosen = _chosen(arms, every)
    if points < 2 or lines < 0:
        raise ValueError(f"points must be at least 2 and lines at least 0, not {points} and {lines}.")
    curves = _curves(fit, chosen, ci, points, seed)
    rows = -(-len(chosen) // 3)
    columns = -(-len(chosen) // rows)
    shown = {arm: _courses(design, arm, lines) for arm in chosen}
    with style():
        figure, axes = sheet(
            title=f"EDSS over time, {design.cohort_name}",
            warnings=warnings_of(caveats=fit.caveats),
            caption=_caption(fit, ci, shown),
            width=SINGLE if len(chosen) == 1 else DOUBLE,
            height=2.5 * rows,
            rows=rows,
            columns=columns,
            sharey=True,
        )
        for ax, arm in zip(axes.flat, chosen, strict=False):
            _panel(ax, design, arm, shown[arm], curves[arm], arm_colours(every)[arm])
        for ax in axes.flat[len(chosen) :]:
            ax.remove()
        top = max(
            max(curve["upper"].max(), _rows_of(design, arm)["edss"].max()) for arm, curve in curves.items()
        )
        for ax in axes[:, 0]:
            ax.set(ylabel="EDSS (points)", ylim=edss_limits(top))
    return figure


def _chosen(arms: Sequence[str] | None, every: list[str]) -> list[str]:
    unknown = [arm for arm in arms or () if arm not in every]
    if unknown or (arms is not None and not arms):
        raise ValueError(f"arms must be among {', '.join(every)}, not {', '.join(unknown) or 'none'}.")
    return every if arms is None else [arm for arm in every if arm in arms]


def _curves(fit: Fitted, arms: list[str], ci: float, points: int, seed: int) -> dict[str, pd.DataFrame]:
    """Expected EDSS by time, of each arm at its own observed times only."""
    reach = {arm: fit.design.followup(None if arm == ALL else arm) for arm in arms}
    grid = np.linspace(
        min(first for first, _ in reach.values()), max(last for _, last in reach.values()), points
    )
    times = sorted({*grid.tolist(), *(time for ends in reach.values() for time in ends)})
    with warnings.catch_warnings():
        # All arms are evaluated at all times; what lies outside an arm's follow-up is not drawn.
        warnings.simplefilter("ignore", ExtrapolationWarning)
        table = expected_edss(fit, times, seed=seed).summary(ci)
    curves = {}
    for arm, (first, last) in reach.items():
        of_arm = pd.DataFrame(table.xs(arm, level="arm"))
        curves[arm] = of_arm[(of_arm.index >= first) & (of_arm.index <= last)]
    return curves


def _courses(design: Design, arm: str, lines: int) -> list[pd.DataFrame]:
    """The visits of at most `lines` patients of an arm, a frame each."""
    rows = _rows_of(design, arm)
    patients = rows["patient"].unique()
    if len(patients) > lines:
        patients = patients[np.linspace(0, len(patients) - 1, lines).astype(int)] if lines else patients[:0]
    by_patient = rows.sort_values("years").groupby("patient")
    return [by_patient.get_group(patient) for patient in patients]


def _panel(
    ax: Axes, design: Design, arm: str, courses: list[pd.DataFrame], curve: pd.DataFrame, colour: str
) -> None:
    shifts = np.linspace(-0.12, 0.12, max(len(courses), 2))
    for k, course in enumerate(courses):
        ax.plot(
            course["years"], course["edss"] + shifts[k * 7919 % len(shifts)], color=GREY, linewidth=0.4,
            alpha=0.45 if len(courses) < 60 else 0.25, zorder=1,
        )  # fmt: skip
    time = curve.index.to_numpy(dtype=float)
    ax.fill_between(time, curve["lower"], curve["upper"], color=colour, alpha=0.35, linewidth=0, zorder=2)
    ax.plot(time, curve["mean"], color=colour, linewidth=2, zorder=3)
    ax.axvline(0, color=BLACK, linewidth=0.6, linestyle=":", zorder=0)
    first, last = design.followup()
    years = _round_times(first, last)
    ax.set(
        xlim=(min(first, years[0]) - 0.05, max(last, years[-1]) + 0.05), xlabel="years from the index date"
    )
    ax.set_xticks(years, [f"{t:g}".replace("-", "−") for t in years])
    n = design.patients_in(None if arm == ALL else arm)
    ax.set_title(f"{'all patients' if arm == ALL else arm} (n = {n})")
    seen = _rows_of(design, arm).groupby("patient")["years"].agg(["min", "max"])
    followed = [int(((seen["min"] <= t + _NEAR) & (seen["max"] >= t - _NEAR)).sum()) for t in years]
    counts_below(ax, years, {arm: followed}, head="n")


def _round_times(first: float, last: float) -> list[float]:
    """Times to label, at most eight: whole years, or parts or several of them.

    >>> _round_times(-1.05, 4.02), _round_times(0.13, 1.99)
    ([-1.0, 0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 0.5, 1.0, 1.5, 2.0])
    """
    step = next((step for step in (0.25, 0.5, 1, 2, 5, 10) if (last - first) / step <= 6.5), 20)
    low, high = np.ceil((first - _NEAR) / step), np.floor((last + _NEAR) / step)
    return [float(k * step) + 0.0 for k in np.arange(low, max(low, high) + 1)]


def _rows_of(design: Design, arm: str) -> pd.DataFrame:
    return design.frame if arm == ALL else design.frame[design.frame["arm"].astype(str) == arm]


def _caption(fit: Fitted, ci: float, shown: dict[str, list[pd.DataFrame]]) -> str:
    drawn = sum(len(courses) for courses in shown.values())
    n = sum(fit.design.patients_in(None if arm == ALL else arm) for arm in shown)
    thin = (
        f"Thin lines: {'all' if drawn == n else drawn} of {n} patients"
        if drawn < n
        else "Thin lines: patients"
    )
    return (
        f"{thin}, moved up or down by at most 0.12 points to be told apart. Curve and band: expected EDSS, averaged over patients "
        f"like the {fit.design.n_patients} in the model, mean and {percent(ci)} equal-tailed interval of {fit.description}, within the arm's "
        f"follow-up. n: patients under observation, within {_NEAR:g} years. {fit.design.index_date}"
    )
