"""Cumulative incidence of an event where others may come first, by arm (Aalen-Johansen)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from trajectories.endpoints.survival_curves import arms_of, check_times, printed_times
from trajectories.endpoints.survival_setting import Setting, count_text
from trajectories.endpoints.survival_steps import aalen_johansen, count_steps, log_log_interval
from trajectories.estimate import normal_limit
from trajectories.printing import aligned, interval, number

__all__ = ["CumulativeIncidence", "cumulative_incidence"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CumulativeIncidence:
    """The share of patients who have had each event as their first, over time, by arm; print it to read it.

    Parameters
    ----------
    curves
        One row an arm, event and distinct time (years), from 0: `arm`, `cause`, `time`, `at_risk` (just before the time), `events` (of
        that cause), `censored`, `incidence`, `std_error`, `lower`, `upper` (missing where the incidence is 0 or 1).
    causes
        The events, the one of interest first.
    ci
        Probability of the intervals.
    setting, notes
        The patients behind it; how it was computed.
    """

    curves: pd.DataFrame = field(repr=False)
    causes: tuple[str, ...]
    ci: float
    setting: Setting
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the curves, one row an arm, event and time; a copy."""
        return self.curves.copy()

    def at(self, times: Sequence[float]) -> pd.DataFrame:
        """Read the curves at times (years): one row an arm, event and time, missing after the last time of the arm.

        Parameters
        ----------
        times
            Years from the baseline visit.

        Returns
        -------
        Columns `arm`, `cause`, `time`, `at_risk` (at that time or later), `events` (up to it), `incidence`, `std_error`, `lower`, `upper`.

        Raises
        ------
        ValueError
            If a time is negative or missing.
        """
        check_times(times)
        parts = [
            _read(arm, cause, curve[curve["cause"] == cause], times)
            for arm, curve in arms_of(self.curves)
            for cause in self.causes
        ]
        return pd.concat(parts, ignore_index=True)

    def __str__(self) -> str:
        below = self.setting.suppress_below
        lines = self.setting.head("Cumulative incidence of")
        times = printed_times(float(self.curves["time"].max()))[1:]
        for cause in self.causes:
            rows = [["years", "events", *(f"{time:g}" for time in times)]]
            for arm, curve in arms_of(self.curves[self.curves["cause"] == cause]):
                read = _read(arm, cause, curve, times)
                cells = [
                    f"{number(share)} ({interval(lower, upper)})" if lower == lower else number(share)
                    for share, lower, upper in zip(
                        read["incidence"], read["lower"], read["upper"], strict=True
                    )
                ]
                rows.append([arm, count_text(curve["events"].sum(), below), *cells])
            lines += ["", f"{cause} ({self.ci:.0%} interval)", *aligned(rows)]
        return "\n".join(lines + self.setting.foot(self.notes))

    def __repr__(self) -> str:
        return str(self)


def cumulative_incidence(
    table: pd.DataFrame, setting: Setting, causes: tuple[str, ...], *, ci: float
) -> CumulativeIncidence:
    """Estimate the curves; `TimeTo.cumulative_incidence` says how."""
    z = normal_limit(ci)
    parts = []
    for arm, rows in arms_of(table):
        code = np.asarray(rows["cause"].cat.codes, dtype=np.int64)
        steps = count_steps(rows["time"].to_numpy(dtype=np.float64), code, len(causes))
        incidence, error = aalen_johansen(steps)
        for k, cause in enumerate(causes):
            lower, upper = log_log_interval(incidence[:, k], error[:, k], z)
            curve = pd.DataFrame(
                {
                    "time": np.concatenate([[0.0], steps.time]),
                    "at_risk": np.concatenate([[len(rows)], steps.at_risk]),
                    "events": np.concatenate([[0], steps.events[:, k]]),
                    "censored": np.concatenate([[0], steps.censored]),
                    "incidence": np.concatenate([[0.0], incidence[:, k]]),
                    "std_error": np.concatenate([[0.0], error[:, k]]),
                    "lower": np.concatenate([[np.nan], lower]),
                    "upper": np.concatenate([[np.nan], upper]),
                }
            )
            curve.insert(0, "arm", arm)
            curve.insert(1, "cause", cause)
            parts.append(curve)
    notes = [
        f"Aalen-Johansen estimate; {ci:.0%} log-log intervals (on the scale log(−log F), standard error by the "
        "delta method; none while the incidence is 0)."
    ]
    if len(causes) > 1:
        notes.append(
            "A patient counts under the event that came first. One minus Kaplan-Meier with the others censored "
            "would be too high: it asks what would be if nobody had them."
        )
    return CumulativeIncidence(
        curves=pd.concat(parts, ignore_index=True), causes=causes, ci=ci, setting=setting, notes=tuple(notes)
    )


def _read(arm: str, cause: str, curve: pd.DataFrame, times: Sequence[float]) -> pd.DataFrame:
    asked = np.asarray(times, dtype=np.float64)
    known = curve["time"].to_numpy()
    place = np.searchsorted(known, asked + 1e-9, side="right") - 1
    values = curve.iloc[place][["incidence", "std_error", "lower", "upper"]].reset_index(drop=True)
    last = curve.iloc[-1]
    still = bool(last["censored"] > 0)  # somebody was still without any event at the last time
    if still:
        values[asked > known[-1] + 1e-9] = np.nan
    first = np.searchsorted(known[1:], asked - 1e-9, side="left")
    values.insert(0, "arm", arm)
    values.insert(1, "cause", cause)
    values.insert(2, "time", asked)
    values.insert(3, "at_risk", np.append(curve["at_risk"].to_numpy()[1:], 0)[first])
    values.insert(4, "events", curve["events"].cumsum().to_numpy()[place])
    return values
