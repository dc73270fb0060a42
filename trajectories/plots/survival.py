"""Figures of times to an event: Kaplan-Meier curves and cumulative incidence, numbers at risk under the axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from trajectories.endpoints.survival_curves import KaplanMeier, arms_of, printed_times
from trajectories.endpoints.survival_incidence import CumulativeIncidence
from trajectories.endpoints.survival_setting import Setting, count_text
from trajectories.plots.dots import counts_below
from trajectories.plots.style import (
    DOUBLE,
    GREY,
    SINGLE,
    arm_colours,
    arm_markers,
    percent,
    sheet,
    style,
    warnings_of,
)
from trajectories.suppression import HIDDEN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["cumulative_incidence", "kaplan_meier"]

_LINES = ("-", (0, (5, 1.2)), (0, (1.5, 1)), (0, (5, 1, 1.5, 1)))
_UNTIL = "Time at risk ends at the event or at the last visit that could still have been confirmed"


def kaplan_meier(curves: KaplanMeier, *, interval: bool = True) -> Figure:
    """Draw Kaplan-Meier curves by arm, with intervals, ticks where patients are censored, and numbers at risk.

    Parameters
    ----------
    curves
        From `time_to(…).kaplan_meier()`.
    interval
        Whether to shade the intervals.

    Returns
    -------
    A matplotlib Figure, 3.5 inches wide for one arm, 7.2 for several.

    Examples
    --------
    >>> from trajectories import read_cohort
    >>> from trajectories.endpoints import disability_events
    >>> from trajectories.endpoints.survival import time_to
    >>> visits = pd.DataFrame({"patient": list("aaabbb"), "day": [0, 180, 360] * 2, "edss": [2, 3, 3, 2, 2, 2]})
    >>> figure = kaplan_meier(time_to(disability_events(read_cohort(visits))).kaplan_meier())
    >>> figure.axes[0].get_ylabel()
    'without confirmed worsening'
    """
    setting = curves.setting
    arms = [arm for arm, _ in arms_of(curves.curves)]
    with style():
        figure, axes = sheet(
            title=f"Time to {setting.event}\n{_size(curves.medians['patients'], curves.medians['events'], setting)}",
            warnings=warnings_of(simulated=setting.simulated),
            caption=f"{_kind('Kaplan-Meier', curves)} with {percent(curves.ci)} log-log intervals{_drawn(interval)}; ticks: "
            f"censored patients. {_UNTIL}; events count {setting.timing}. {_below(setting)} Rule: {setting.rule}.",
            width=_width(arms),
            height=2.5 + 0.12 * len(arms),
        )
        ax: Axes = axes[0, 0]
        for k, (arm, curve) in enumerate(arms_of(curves.curves)):
            _steps(ax, curve, "survival", arm, arms, k, shaded=interval, start=1.0)
        _finish(ax, curves.curves, arms, setting, names=True)
        ax.set_ylabel(f"without {setting.event}")
    return figure


def cumulative_incidence(
    curves: CumulativeIncidence, causes: Sequence[str] | None = None, *, interval: bool = True
) -> Figure:
    """Draw the share of patients who had each event first, a panel an event, by arm, with numbers at risk.

    Parameters
    ----------
    curves
        From `time_to(…, competing=…).cumulative_incidence()`.
    causes
        Which events; None draws all.
    interval
        Whether to shade the intervals.

    Returns
    -------
    A matplotlib Figure: 7.2 inches wide for several arms or events, 3.5 for one of each.

    Raises
    ------
    ValueError
        If an event is not known.

    Examples
    --------
    >>> from trajectories import read_cohort
    >>> from trajectories.endpoints import disability_events
    >>> from trajectories.endpoints.survival import time_to
    >>> visits = pd.DataFrame({"patient": list("aaabbb"), "day": [0, 180, 360] * 2, "edss": [2, 3, 3, 4, 3, 3]})
    >>> both = time_to(disability_events(read_cohort(visits)), competing="improvement")
    >>> [ax.get_title(loc="left") for ax in cumulative_incidence(both.cumulative_incidence()).axes]
    ['worsening', 'improvement']
    """
    chosen = list(curves.causes if causes is None else causes)
    unknown = [cause for cause in chosen if cause not in curves.causes]
    if unknown or not chosen:
        raise ValueError(f"causes must be of {', '.join(curves.causes)}, not {causes!r}.")
    setting, frame = curves.setting, curves.curves
    arms = [arm for arm, _ in arms_of(frame)]
    start = frame[(frame["time"] == 0) & (frame["cause"] == curves.causes[0])]
    had = frame[frame["cause"] == curves.causes[0]].groupby("arm", sort=False)["events"].sum()
    with style():
        figure, axes = sheet(
            title=f"Cumulative incidence of {setting.event}\n{_size(start['at_risk'], had, setting)}",
            warnings=warnings_of(simulated=setting.simulated),
            caption=f"{_kind('Aalen-Johansen', curves)} with {percent(curves.ci)} log-log intervals{_drawn(interval)}; a patient counts "
            f"under the event that came first. {_UNTIL}; events count {setting.timing}. {_below(setting)} Rule: {setting.rule}.",
            width=DOUBLE if len(chosen) > 1 else _width(arms),
            height=2.5 + 0.12 * len(arms),
            columns=len(chosen),
            sharey=True,
        )
        for place, (ax, cause) in enumerate(zip(axes[0], chosen, strict=True)):
            mine = frame[frame["cause"] == cause]
            for k, (arm, curve) in enumerate(arms_of(mine)):
                _steps(ax, curve, "incidence", arm, arms, k, shaded=interval, start=0.0)
            _finish(ax, mine, arms, setting, names=place == 0)
            ax.set_title(cause)
        axes[0, 0].set_ylabel("patients with the event")
    return figure


def _steps(
    ax: Axes, curve: pd.DataFrame, column: str, arm: str, arms: Sequence[str], place: int, *, shaded: bool, start: float
) -> None:  # fmt: skip
    """Draw one curve: steps, its interval, a tick at each censoring, the arm's marker at a few places."""
    colour, marker = arm_colours(arms)[arm], arm_markers(arms)[arm]
    time, share = curve["time"].to_numpy(), curve[column].to_numpy()
    ax.plot(
        time, share, drawstyle="steps-post", color=colour, linestyle=_LINES[place % len(_LINES)], gid="curve"
    )
    if shaded:
        # before the first event there is no interval: the band opens there
        lower, upper = (curve[name].fillna(curve[column]).to_numpy() for name in ("lower", "upper"))
        ax.fill_between(time, lower, upper, step="post", color=colour, alpha=0.13, linewidth=0, gid="band")
    if column == "survival":
        gone = curve["censored"].to_numpy() > 0
        ax.plot(time[gone], share[gone], "|", color=colour, markersize=4, markeredgewidth=0.7, gid="censored")
    last = float(time[-1])
    at = last * (np.arange(4) + 0.35 + 0.5 * place / max(len(arms), 1)) / 4
    on = share[np.searchsorted(time, at, side="right") - 1]
    if len(arms) > 1:
        ax.plot(at, on, marker, color=colour, markersize=4, markeredgecolor="white", markeredgewidth=0.4, gid="marker")  # fmt: skip


def _finish(ax: Axes, frame: pd.DataFrame, arms: Sequence[str], setting: Setting, *, names: bool) -> None:
    from matplotlib.ticker import PercentFormatter

    last = float(frame["time"].max())
    times = printed_times(last)
    ax.set(xlim=(0, last * 1.02), ylim=(0, 1.02))
    ax.set_xticks(times, [f"{time:g}" for time in times])
    ax.set_yticks(np.arange(0, 1.01, 0.2))
    ax.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol="\N{NO-BREAK SPACE}%"))
    ax.grid(axis="y", color=GREY, alpha=0.15, linewidth=0.5)
    ax.set_xlabel("years from the baseline visit")
    counts: dict[str, list[Any]] = {arm: _at_risk(curve, times, setting) for arm, curve in arms_of(frame)}
    counts_below(ax, times, counts, head="at risk", names=names)


def _at_risk(curve: pd.DataFrame, times: Sequence[float], setting: Setting) -> list[str]:
    known = curve["time"].to_numpy()[1:]
    numbers = np.append(curve["at_risk"].to_numpy()[1:], 0)[np.searchsorted(known, np.asarray(times) - 1e-9)]
    return [count_text(number, setting.suppress_below) for number in numbers]


def _size(patients: pd.Series, events: pd.Series, setting: Setting) -> str:
    below = setting.suppress_below
    return f"n = {count_text(patients.sum(), below)}, {count_text(events.sum(), below)} events"


def _drawn(interval: bool) -> str:
    return " (shaded; none before the first event)" if interval else " (not drawn)"


def _kind(name: str, curves: KaplanMeier | CumulativeIncidence) -> str:
    """What is drawn: with weights, what the numbers still count."""
    return (
        f"{name} estimates of weighted patients (numbers are of patients)"
        if curves.slopes
        else f"{name} estimates"
    )


def _below(setting: Setting) -> str:
    hidden = "" if setting.suppress_below is None else f" ({HIDDEN}: fewer than {setting.suppress_below})"
    return f"Below: patients at risk{hidden}."


def _width(arms: Sequence[str]) -> float:
    return SINGLE if len(arms) == 1 else DOUBLE
