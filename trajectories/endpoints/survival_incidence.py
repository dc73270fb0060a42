"""Cumulative incidence of an event where others may come first, by arm (Aalen-Johansen)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from trajectories.endpoints.patient_weights import Estimated, WeightedPatients
from trajectories.endpoints.persons import episode_notes
from trajectories.endpoints.survival_curves import arms_of, check_times, places, printed_times
from trajectories.endpoints.survival_differences import ArmSlopes, ArmValues, differences, no_event_notes
from trajectories.endpoints.survival_setting import Setting
from trajectories.endpoints.survival_steps import (
    aalen_johansen,
    count_steps,
    log_log_interval,
    weighted_steps,
)
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
    slopes
        Of the curves in the weights of patients, by arm and event; empty without weights. Counts are of patients all the same.
    """

    curves: pd.DataFrame = field(repr=False)
    causes: tuple[str, ...]
    ci: float
    setting: Setting
    notes: tuple[str, ...]
    slopes: Mapping[tuple[str, str], ArmSlopes] = field(default_factory=dict, repr=False)

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

    def difference(
        self, times: Sequence[float], *, cause: str | None = None, reference: str | None = None
    ) -> pd.DataFrame:
        """Compare the curves of arms at times, F_a(t) − F_reference(t).

        Parameters
        ----------
        times
            Years from the baseline visit.
        cause
            The event; None takes the one of interest.
        reference
            The arm others are compared with; None takes the first.

        Returns
        -------
        One row an arm other than the reference and time: `arm`, `reference`, `time`, `difference`, `std_error`, `lower`, `upper` (Wald),
        `p_value`, `reason`; missing after the last time of either arm, and error, limits and p where in either nobody or everybody had the
        event: nothing varied, and `reason` says in which. Weighted arms are not taken to be independent where their weights were
        estimated together.

        Raises
        ------
        ValueError
            If there is one arm only, the event or the reference is not known, or a time is negative or missing.
        """
        chosen = self.causes[0] if cause is None else cause
        if chosen not in self.causes:
            raise ValueError(f"cause must be one of {', '.join(self.causes)}, not {cause!r}.")
        check_times(times)
        values = []
        for arm, curve in arms_of(self.curves[self.curves["cause"] == chosen]):
            read = _read(arm, chosen, curve, times)
            estimate, error = (read[name].to_numpy(dtype=np.float64) for name in ("incidence", "std_error"))
            influence = None
            if self.slopes:
                influence = self.slopes[arm, chosen].at(places(curve["time"].to_numpy(), times))
            values.append(
                ArmValues(arm=arm, estimate=estimate, std_error=error, influence=influence, untouched=0.0)
            )
        return differences(values, times, reference, self.ci)

    def __str__(self) -> str:
        lines = [*self.setting.head("Cumulative incidence of"), "", *self.setting.count_lines()]
        times = printed_times(float(self.curves["time"].max()))[1:]
        for place, cause in enumerate(self.causes):
            rows = [["years", "events", *(f"{time:g}" for time in times)]]
            for arm, curve in arms_of(self.curves[self.curves["cause"] == cause]):
                read = _read(arm, cause, curve, times)
                cells = [
                    f"{number(share)} ({interval(lower, upper)})" if lower == lower else number(share)
                    for share, lower, upper in zip(
                        read["incidence"], read["lower"], read["upper"], strict=True
                    )
                ]
                rows.append([arm, self.setting.shown(arm, curve["events"].sum(), place), *cells])
            lines += ["", f"{cause} ({self.ci:.0%} interval)", *aligned(rows)]
        return "\n".join(lines + self.setting.foot(self.notes))

    def __repr__(self) -> str:
        return str(self)


def cumulative_incidence(
    table: pd.DataFrame,
    setting: Setting,
    causes: tuple[str, ...],
    *,
    ci: float,
    estimation: Estimated | None = None,
) -> CumulativeIncidence:
    """Estimate the curves, with weights if the table has a column `weight`; `TimeTo.cumulative_incidence` says how."""
    z, patients = normal_limit(ci), WeightedPatients.of(table, estimation)
    parts, slopes = [], {}
    for arm, rows in arms_of(table):
        code = np.asarray(rows["cause"].cat.codes, dtype=np.int64)
        time = rows["time"].to_numpy(dtype=np.float64)
        steps = count_steps(time, code, len(causes))
        incidence, error = aalen_johansen(steps)
        if patients is not None:
            mine = (table["arm"].astype(str) == arm).to_numpy()
            found = weighted_steps(time, code, rows["weight"].to_numpy(dtype=np.float64), len(causes))
            incidence = found.incidence
            each = [found.slopes[:, :, k] for k in range(len(causes))]
            error = np.column_stack([patients.errors(one, mine) for one in each])
            for cause, one in zip(causes, each, strict=True):
                slopes[arm, cause] = ArmSlopes(
                    patients=patients, rows=mine, slopes=np.pad(one, ((0, 0), (1, 0)))
                )
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
        f"Aalen-Johansen estimate; {ci:.0%} log-log intervals (on the scale log(−log F), "
        f"{'standard error by the delta method' if patients is None else 'robust standard error'}; none while the incidence is 0)."
    ]
    if len(causes) > 1:
        notes.append(
            "A patient counts under the event that came first. One minus Kaplan-Meier with the others censored "
            "would be too high: it asks what would be if nobody had them."
        )
    arms = table["arm"].astype(str)
    had = (table["cause"] == causes[0]).groupby(arms, sort=False).sum()
    notes += [
        *no_event_notes(had, weighted=patients is not None),
        *episode_notes(table, setting.suppress_below),
    ]
    return CumulativeIncidence(
        curves=pd.concat(parts, ignore_index=True),
        causes=causes,
        ci=ci,
        setting=setting,
        notes=tuple(notes),
        slopes=slopes,
    )


def _read(arm: str, cause: str, curve: pd.DataFrame, times: Sequence[float]) -> pd.DataFrame:
    asked = np.asarray(times, dtype=np.float64)
    known = curve["time"].to_numpy()
    place = places(known, times)
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
