"""Figures of the data themselves: EDSS and relapses by window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trajectories.cohort import Cohort
from trajectories.description import describe
from trajectories.plots.dots import Floats, boxes_by_arm, counts_below, offsets_of_arms
from trajectories.plots.style import (
    DOUBLE,
    SINGLE,
    arm_colours,
    arm_markers,
    edss_limits,
    sheet,
    style,
    warnings_of,
    window_label,
)
from trajectories.windows import edss_at, relapse_windows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["edss_by_window", "relapses"]


def edss_by_window(cohort: Cohort, at: Sequence[float] = (-1, 0, 1, 2), tolerance: float = 0.25) -> Figure:
    """Draw EDSS at time points: a box and every patient's point, by arm, the number of patients below.

    Boxes show median and quartiles (interpolated, as `describe` gives them), whiskers the range.

    Parameters
    ----------
    cohort
        The patients.
    at
        Time points in years from the index date.
    tolerance
        How far from a time point a visit may be, in years.

    Returns
    -------
    A matplotlib Figure, 3.5 inches wide for one arm, 7.2 for several.

    Raises
    ------
    ValueError
        If times or tolerance are not usable.

    Examples
    --------
    >>> from trajectories import simulated_alemtuzumab_35
    >>> figure = edss_by_window(simulated_alemtuzumab_35())
    >>> figure.axes[0].get_ylabel()
    'EDSS (points)'
    """
    points = sorted(float(point) for point in at)
    found = edss_at(cohort, at=points, tolerance=tolerance).merge(
        cohort.patients[["patient", "arm"]], on="patient"
    )
    table = describe(cohort, at=points, tolerance=tolerance, edges=(-1, 0)).edss
    samples = {
        (arm, k): _values(found, arm, found["at"] == point, "edss")
        for arm in cohort.arms
        for k, point in enumerate(points)
    }
    quartiles = _quartiles(table, "at", points)
    with style():
        figure, axes = sheet(
            title=f"EDSS by window, {_patients(cohort)}",
            warnings=warnings_of(simulated=cohort.simulated),
            caption="Points: patients, side by side where equal. Box: median and quartiles; whiskers: range. n: patients with an EDSS "
            f"within {tolerance:g} years "
            f"of the time. {cohort.index_date}",
            width=_width(cohort),
            height=2.5 + 0.12 * len(cohort.arms),
        )  # fmt: skip
        ax: Axes = axes[0, 0]
        boxes_by_arm(ax, samples, quartiles, cohort.arms)
        top = max((values.max() for values in samples.values() if len(values)), default=10.0)
        ax.set(ylim=edss_limits(top), ylabel="EDSS (points)")
        ax.set_xlabel("years from the index date")
        _positions(ax, [f"{point:g}".replace("-", "−") for point in points], samples, cohort.arms)
    return figure


def relapses(cohort: Cohort, edges: Sequence[float | None] = (-1, 0, 1, 2)) -> Figure:
    """Draw relapses before and after the index date: each patient's count by window, and the rate of all.

    Counts are those of patients whose window was completely observed; the rate is all relapses over all person-years, with the 95 %
    confidence interval that `describe` gives.

    Parameters
    ----------
    cohort
        The patients, with a relapse table.
    edges
        Edges of the windows in years from the index date; the last may be None, the end of follow-up.

    Returns
    -------
    A matplotlib Figure, 7.2 inches wide: counts at the left, rates at the right.

    Raises
    ------
    ValueError
        If the cohort has no relapse table or the edges do not ascend.

    Examples
    --------
    >>> from trajectories import simulated_alemtuzumab_35
    >>> figure = relapses(simulated_alemtuzumab_35())
    >>> [ax.get_ylabel() for ax in figure.axes]
    ['relapses of a patient in the window', 'relapses per person-year']
    """
    found = relapse_windows(cohort, edges=edges).merge(cohort.patients[["patient", "arm"]], on="patient")
    table = describe(cohort, at=(0,), edges=edges).relapses
    windows = [str(window) for window in found["window"].cat.categories]
    samples = {
        (arm, k): _values(found, arm, (found["window"] == window) & found["complete"], "relapses")
        for arm in cohort.arms
        for k, window in enumerate(windows)
    }
    labels = [window_label(window) for window in windows]
    with style():
        figure, axes = sheet(
            title=f"Relapses by window, {_patients(cohort)}",
            warnings=warnings_of(simulated=cohort.simulated),
            caption="Left: points are patients whose window was completely observed (n); box: median and quartiles, whiskers: range. "
            "Right: all relapses over all person-years (below), with 95 % confidence interval, robust by patient; no interval without a "
            f"relapse. Part of any fall after a start in a bad year is regression to the mean. {cohort.index_date}",
            width=DOUBLE,
            height=2.4 + 0.12 * len(cohort.arms),
            columns=2,
            ratios=(1.25, 1),
        )  # fmt: skip
        left, right = axes[0]
        boxes_by_arm(left, samples, _quartiles(table, "window", windows), cohort.arms)
        top = max((values.max() for values in samples.values() if len(values)), default=1.0)
        left.set(ylabel="relapses of a patient in the window", ylim=(-0.3, max(top, 2) + 0.4))
        left.yaxis.get_major_locator().set_params(integer=True)
        _positions(left, labels, samples, cohort.arms)
        _rates(right, table, windows, cohort.arms)
        right.set_xticks(range(len(windows)), labels)
        for ax in (left, right):
            ax.set_xlabel("years from the index date")
    return figure


def _rates(ax: Axes, table: pd.DataFrame, windows: list[str], arms: Sequence[str]) -> None:
    colours, markers, places = arm_colours(arms), arm_markers(arms), offsets_of_arms(arms, 0.5)
    years = {}
    for arm in arms:
        rows = table[table["arm"] == arm].set_index("window").loc[windows]
        rate = rows["rate"].to_numpy(dtype=float)
        reach = np.abs(rows[["rate_lower", "rate_upper"]].to_numpy(dtype=float).T - rate)
        ax.errorbar(
            np.arange(len(windows)) + places[arm], rate, yerr=reach, color=colours[arm], marker=markers[arm], markersize=4,
            linestyle="none", elinewidth=1.2, capsize=2, label=arm,
        )  # fmt: skip
        years[arm] = [round(float(value)) for value in rows["person_years"]]
    ax.set(ylabel="relapses per person-year", xlim=(-0.6, len(windows) - 0.4))
    ax.set_ylim(bottom=0)
    counts_below(ax, range(len(windows)), years, head="years", names=False)


def _positions(
    ax: Axes, labels: Sequence[str], samples: dict[tuple[str, int], Floats], arms: Sequence[str]
) -> None:
    """Label the positions, and write n of each arm below."""
    ax.set_xticks(range(len(labels)), labels)
    ax.set_xlim(-0.6, len(labels) - 0.4)
    counts = {arm: [len(samples[arm, k]) for k in range(len(labels))] for arm in arms}
    counts_below(ax, range(len(labels)), counts)


def _values(found: pd.DataFrame, arm: str, chosen: pd.Series, column: str) -> Floats:
    return found.loc[chosen & (found["arm"].astype(str) == arm), column].dropna().to_numpy(dtype=np.float64)


def _quartiles(
    table: pd.DataFrame, column: str, positions: Sequence[object]
) -> dict[tuple[str, int], list[float]]:
    place = {position: k for k, position in enumerate(positions)}
    key = table[column].astype(str) if column == "window" else table[column]
    return {
        (str(arm), place[where]): [float(q1), float(median), float(q3)]
        for arm, where, q1, median, q3 in zip(
            table["arm"], key, table["q1"], table["median"], table["q3"], strict=True
        )
        if where in place
    }


def _patients(cohort: Cohort) -> str:
    return f"{cohort.n_patients} patients" + (
        f" on {cohort.arms[0]}" if cohort.arms != ("all",) and len(cohort.arms) == 1 else ""
    )


def _width(cohort: Cohort) -> float:
    return SINGLE if len(cohort.arms) == 1 else DOUBLE
