"""Kaplan-Meier curves by arm, their medians and restricted means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.endpoints.patient_weights import Estimated, WeightedPatients
from trajectories.endpoints.persons import episode_notes
from trajectories.endpoints.survival_differences import (
    ArmSlopes,
    ArmValues,
    both_reasons,
    differences,
    no_event_notes,
)
from trajectories.endpoints.survival_setting import Setting, count_text
from trajectories.endpoints.survival_steps import (
    Floats,
    Steps,
    area_under,
    count_steps,
    greenwood,
    log_log_interval,
    quantile,
    survival_of,
    weighted_steps,
)
from trajectories.estimate import normal_limit
from trajectories.printing import aligned, interval, number

__all__ = ["KaplanMeier", "arms_of", "check_times", "kaplan_meier", "places", "printed_times"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class KaplanMeier:
    """The share of patients without the event over time, by arm; print it to read it.

    Parameters
    ----------
    curves
        One row an arm and distinct time (years), from 0: `arm`, `time`, `at_risk` (just before the time), `events`, `censored`,
        `survival`, `std_error` (Greenwood; 0 before the first event), `lower`, `upper` (missing where survival is 1 or 0).
    medians
        One row an arm: `arm`, `patients`, `events`, `median` (years; missing if not reached), `lower`, `upper`.
    ci
        Probability of the intervals.
    setting, notes
        The patients behind it; how it was computed.
    slopes
        Of the curves in the weights of patients, by arm; empty without weights. Counts are of patients all the same.
    """

    curves: pd.DataFrame = field(repr=False)
    medians: pd.DataFrame = field(repr=False)
    ci: float
    setting: Setting
    notes: tuple[str, ...]
    slopes: Mapping[str, ArmSlopes] = field(default_factory=dict, repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return the curves, one row an arm and time; a copy."""
        return self.curves.copy()

    def at(self, times: Sequence[float]) -> pd.DataFrame:
        """Read the curves at times.

        Parameters
        ----------
        times
            Years from the baseline visit.

        Returns
        -------
        One row an arm and time: `arm`, `time`, `at_risk` (at that time or later), `events` (up to it), `survival`, `std_error`, `lower`,
        `upper`; missing after the last time of the arm unless the curve is 0 by then.

        Raises
        ------
        ValueError
            If a time is negative or missing.
        """
        check_times(times)
        return pd.concat([_read(arm, curve, times) for arm, curve in arms_of(self.curves)], ignore_index=True)

    def restricted_mean(self, until: float) -> pd.DataFrame:
        """Mean time without the event up to a time, ∫₀^τ S(t) dt, by arm.

        Parameters
        ----------
        until
            The time τ, in years; no later than the last time of every arm.

        Returns
        -------
        One row an arm: `arm`, `until`, `restricted_mean` (years), `std_error`, `lower`, `upper` (Wald), and from the second arm on the
        difference from the first with its interval: `difference`, `difference_lower`, `difference_upper`, `p_value`; and `reason`, why errors
        and limits are missing: where an arm had no event nothing varied, in few patients as in many.

        Raises
        ------
        ValueError
            If an arm was not followed up that long, or the time is not positive.
        """
        from scipy.special import ndtr

        values = self._areas(until)
        mean, error = np.array([(value.estimate[0], value.error[0]) for value in values]).T
        apart, apart_error = np.array([value.less(values[0]) for value in values])[:, :, 0].T
        apart[0] = np.nan  # from itself
        z = normal_limit(self.ci)
        with np.errstate(divide="ignore", invalid="ignore"):
            p = 2 * ndtr(-np.abs(apart / apart_error))
        return pd.DataFrame(
            {
                "arm": [value.arm for value in values],
                "until": float(until),
                "restricted_mean": mean,
                "std_error": error,
                "lower": mean - z * error,
                "upper": mean + z * error,
                "difference": apart,
                "difference_lower": apart - z * apart_error,
                "difference_upper": apart + z * apart_error,
                "p_value": p,
                "reason": [
                    values[0].reasons[0],
                    *(both_reasons(value, values[0])[0] for value in values[1:]),
                ],
            }
        )

    def _areas(self, until: float) -> list[ArmValues]:
        ends = {arm: float(curve["time"].max()) for arm, curve in arms_of(self.curves)}
        if not 0 < until <= min(ends.values()):
            raise ValueError(
                f"until must be above 0 and at most {min(ends.values()):.3f} years, the last time of the arm "
                f"with the shortest follow-up, not {until!r}."
            )
        if not self.slopes:
            pieces = [(arm, *_area(curve, until)) for arm, curve in arms_of(self.curves)]
            return [
                ArmValues(arm=arm, estimate=np.array([mean]), std_error=np.array([error]), untouched=until)
                for arm, mean, error in pieces
            ]
        values = []
        for arm, curve in arms_of(self.curves):
            edges = np.append(curve["time"].to_numpy(), np.inf).clip(max=until)
            influence = self.slopes[arm].influences(np.diff(edges)[:, None])
            mean = curve["survival"].to_numpy() @ np.diff(edges)
            values.append(
                ArmValues(
                    arm=arm,
                    estimate=np.array([mean]),
                    std_error=np.sqrt((influence**2).sum(axis=0)),
                    influence=influence,
                    untouched=until,
                )
            )
        return values

    def difference(self, times: Sequence[float], *, reference: str | None = None) -> pd.DataFrame:
        """Compare the curves of arms at times, S_a(t) − S_reference(t).

        Parameters
        ----------
        times
            Years from the baseline visit.
        reference
            The arm others are compared with; None takes the first.

        Returns
        -------
        One row an arm other than the reference and time: `arm`, `reference`, `time`, `difference`, `std_error`, `lower`, `upper` (Wald),
        `p_value`, `reason`; missing after the last time of either arm, and error, limits and p where either had no event by then, or nobody
        left without one: nothing varied, and `reason` says in which. Weighted arms are not taken to be independent where their weights were
        estimated together.

        Raises
        ------
        ValueError
            If there is one arm only, the reference is not known, or a time is negative or missing.
        """
        read = self.at(times)
        values = []
        for arm, rows in arms_of(read):
            estimate, error = (rows[name].to_numpy(dtype=np.float64) for name in ("survival", "std_error"))
            influence = None
            if self.slopes:
                known = self.curves.loc[self.curves["arm"] == arm, "time"].to_numpy()
                influence = self.slopes[arm].at(places(known, times))
            values.append(ArmValues(arm=arm, estimate=estimate, std_error=error, influence=influence))
        return differences(values, times, reference, self.ci)

    def __str__(self) -> str:
        lines = [*self.setting.head("Kaplan-Meier estimate of the time to"), "", *self.setting.count_lines()]
        head = ["", "n", "events", "median, years", f"{self.ci:.0%} interval"]
        rows = [
            [
                str(row["arm"]),
                self.setting.shown(str(row["arm"]), row["patients"]),
                self.setting.shown(str(row["arm"]), row["events"], 0),
                number(row["median"]) if row["median"] == row["median"] else "not reached",
                _range(row["lower"], row["upper"]),
            ]
            for _, row in self.medians.iterrows()
        ]
        lines += ["", *aligned([head, *rows])]
        times = printed_times(float(self.curves["time"].max()))
        lines += ["", "share without it (numbers at risk)", *_shares(self.at(times), times, self.setting)]
        return "\n".join(lines + self.setting.foot(self.notes))

    def __repr__(self) -> str:
        return str(self)


def kaplan_meier(
    table: pd.DataFrame, setting: Setting, *, ci: float, estimation: Estimated | None = None
) -> KaplanMeier:
    """Estimate a curve for each arm, with weights if the table has a column `weight`; `TimeTo.kaplan_meier` says how."""
    z, patients = normal_limit(ci), WeightedPatients.of(table, estimation)
    curves, medians, slopes = [], [], {}
    for arm, rows in arms_of(table):
        time, event = rows["time"].to_numpy(dtype=np.float64), rows["event"].to_numpy(dtype=np.int64)
        steps = count_steps(time, event)
        if patients is None:
            survival = survival_of(steps)
            with np.errstate(invalid="ignore"):
                error = survival * greenwood(steps)
        else:
            found = weighted_steps(time, event, rows["weight"].to_numpy(dtype=np.float64))
            mine = (table["arm"].astype(str) == arm).to_numpy()
            slopes[arm] = ArmSlopes(
                patients=patients, rows=mine, slopes=np.pad(-found.slopes[:, :, 0], ((0, 0), (1, 0)))
            )
            survival, error = found.survival, patients.errors(-found.slopes[:, :, 0], mine)
        error = np.where(survival > 0, error, np.nan)
        lower, upper = log_log_interval(survival, error, z)
        curve = pd.DataFrame(
            {
                "time": steps.time,
                "at_risk": steps.at_risk,
                "events": steps.any_event,
                "censored": steps.censored,
                "survival": survival,
                "std_error": error,
                "lower": lower,
                "upper": upper,
            }
        )
        start = {
            "time": 0.0,
            "at_risk": len(rows),
            "events": 0,
            "censored": 0,
            "survival": 1.0,
            "std_error": 0.0,
        }
        curve = pd.concat([pd.DataFrame([start]), curve], ignore_index=True)
        curve.insert(0, "arm", arm)
        curves.append(curve)
        medians.append(
            {
                "arm": arm,
                "patients": len(rows),
                "events": int(steps.any_event.sum()),
                "median": quantile(steps.time, survival, 0.5),
                "lower": quantile(steps.time, lower, 0.5),
                "upper": quantile(steps.time, upper, 0.5),
            }
        )
    return KaplanMeier(
        curves=pd.concat(curves, ignore_index=True),
        medians=pd.DataFrame(medians),
        ci=ci,
        setting=setting,
        notes=(
            f"{ci:.0%} log-log intervals (on the scale log(−log S), from "
            f"{"Greenwood's" if patients is None else 'the robust'} standard error; none before "
            "the first event). Interval of the median: where the limits of the curve reach a half "
            "(Brookmeyer and Crowley 1982).",
            *no_event_notes(
                pd.Series({row["arm"]: row["events"] for row in medians}), weighted=patients is not None
            ),
            *episode_notes(table, setting.suppress_below),
        ),
        slopes=slopes,
    )


def arms_of(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Split a frame by arm, in the order of the cohort; arms without a row are left out.

    >>> [arm for arm, _ in arms_of(pd.DataFrame({"arm": ["b", "a", "b"]}))]
    ['b', 'a']
    """
    arm = frame["arm"]
    names = arm.cat.categories if isinstance(arm.dtype, pd.CategoricalDtype) else pd.unique(arm)
    split = [(str(name), frame[(arm == name).to_numpy()]) for name in names]
    return [(name, rows) for name, rows in split if len(rows)]


def check_times(times: Sequence[float]) -> None:
    """Raise a ValueError unless all times are numbers from 0 up."""
    if not len(times) or not np.all(np.asarray(times, dtype=np.float64) >= 0):
        raise ValueError(f"times must be numbers of years from 0 up, not {times!r}.")


def printed_times(last: float) -> list[float]:
    """Choose up to seven round times to print.

    >>> printed_times(2.3)
    [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    step = next((s for s in (0.25, 0.5, 1.0, 2.0, 5.0) if last / s < 7), 10.0)
    return [float(k * step) for k in range(int(last / step + 1e-9) + 1)]


def places(known: Floats, times: Sequence[float]) -> NDArray[np.int64]:
    """Find the last of a curve's times up to each time asked for."""
    asked = np.asarray(times, dtype=np.float64)
    return np.asarray(np.searchsorted(known, asked + 1e-9, side="right") - 1, dtype=np.int64)


def _read(arm: str, curve: pd.DataFrame, times: Sequence[float]) -> pd.DataFrame:
    asked = np.asarray(times, dtype=np.float64)
    known = curve["time"].to_numpy()
    place = places(known, times)
    values = curve.iloc[place][["survival", "std_error", "lower", "upper"]].reset_index(drop=True)
    beyond = (asked > known[-1] + 1e-9) & (values["survival"].to_numpy() > 0)
    values[beyond] = np.nan
    first = np.searchsorted(known[1:], asked - 1e-9, side="left")
    at_risk = np.append(curve["at_risk"].to_numpy()[1:], 0)[first]
    values.insert(0, "arm", arm)
    values.insert(1, "time", asked)
    values.insert(2, "at_risk", at_risk)
    values.insert(3, "events", curve["events"].cumsum().to_numpy()[place])
    return values


def _area(curve: pd.DataFrame, until: float) -> tuple[float, float]:
    rows = curve.iloc[1:]
    steps = Steps(
        time=rows["time"].to_numpy(dtype=np.float64),
        at_risk=rows["at_risk"].to_numpy(dtype=np.int64),
        events=rows[["events"]].to_numpy(dtype=np.int64),
        censored=rows["censored"].to_numpy(dtype=np.int64),
    )
    return area_under(steps, until)


def _range(lower: float, upper: float) -> str:
    if np.isnan(lower):
        return "-"
    return f"{number(lower)} upwards" if np.isnan(upper) else interval(lower, upper)


def _shares(read: pd.DataFrame, times: Sequence[float], setting: Setting) -> list[str]:
    rows = [["years", *(f"{time:g}" for time in times)]]
    for arm, block in arms_of(read):
        everybody = block["at_risk"].iloc[0]
        cells = [
            f"{number(share)} ({setting.shown(arm, n) if n == everybody else count_text(n, setting.suppress_below)})"
            for share, n in zip(block["survival"], block["at_risk"], strict=True)
        ]
        rows.append([arm, *cells])
    return aligned(rows)
