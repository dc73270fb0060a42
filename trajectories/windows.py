"""Values at time points and events in windows of time, counted in days from the index date."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import DAYS_PER_YEAR, Cohort

__all__ = ["edss_at", "event_windows", "nearest_at", "relapse_windows"]

type IntArray = NDArray[np.int64]


def edss_at(cohort: Cohort, at: Sequence[float] = (-1, 0, 1, 2), tolerance: float = 0.25) -> pd.DataFrame:
    """Find each patient's EDSS at time points: the visit nearest in time, within a tolerance.

    A visit with EDSS stands for the time point nearest to it (the earlier of two equally near), and only for
    that one, so that no visit is used twice. Visits at or before time 0 stand for time points at or before 0,
    later visits for later ones: a baseline is never taken after treatment began. Of several visits of a
    patient near one time point the nearest counts, of two equally near the earlier.

    Parameters
    ----------
    cohort
        The patients.
    at
        Time points in years from the index date, all different.
    tolerance
        How far from the time point a visit may be, in years (rounded down to whole days).

    Returns
    -------
    A frame with one row a patient and time point, in the order of the patients and of `at`: `patient`, `at`
    (years), `day` of the visit (integer, missing where there is none), `edss` (EDSS points or missing).

    Raises
    ------
    ValueError
        If a time point is not finite or given twice, or the tolerance is not positive.

    Examples
    --------
    >>> import pandas as pd
    >>> from trajectories.reading import read_cohort
    >>> visits = pd.DataFrame({"patient": "a", "day": [-20, 5, 350, 380], "edss": [2.0, 6.0, 2.5, 3.0]})
    >>> edss_at(read_cohort(visits), at=(0, 1))["edss"].tolist()
    [2.0, 2.5]
    """
    return nearest_at(cohort, cohort.visits, "edss", at, tolerance)


def nearest_at(
    cohort: Cohort, table: pd.DataFrame, column: str, at: Sequence[float], tolerance: float
) -> pd.DataFrame:
    """Find each patient's value of a column at time points, as `edss_at` does of EDSS.

    Parameters
    ----------
    cohort
        The patients.
    table
        One row an observation: `patient`, `day`, and the column.
    column
        What to take; rows in which it is missing are passed over.
    at, tolerance
        As in `edss_at`.

    Returns
    -------
    As of `edss_at`, with the values under the column's name.

    Examples
    --------
    >>> import pandas as pd
    >>> from trajectories.reading import read_cohort
    >>> cohort = read_cohort(pd.DataFrame({"patient": "a", "day": [0, 365], "edss": [2.0, 2.5]}))
    >>> walks = pd.DataFrame({"patient": "a", "day": [-3, 360], "t25fw": [5.1, 6.4]})
    >>> nearest_at(cohort, walks, "t25fw", at=(0, 1), tolerance=0.25)["t25fw"].tolist()
    [5.1, 6.4]
    """
    points = _time_points(at)
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise ValueError(f"tolerance must be a positive number of years, not {tolerance}.")
    rows = table[["patient", "day", column]].dropna(subset=column)
    day = rows["day"].to_numpy()
    point = _nearest_point(day, points)
    distance = np.abs(day - points[point])
    near = (point >= 0) & (distance <= math.floor(tolerance * DAYS_PER_YEAR))
    best = (
        rows.assign(_point=point, _distance=distance)[near]
        .sort_values(["_distance", "day"], kind="stable")
        .drop_duplicates(["patient", "_point"])
    )
    return _one_row_each(cohort, at, best)[["patient", "at", "day", column]]


def _time_points(at: Sequence[float]) -> IntArray:
    years = np.asarray(at, dtype=np.float64)
    if years.ndim != 1 or not len(years) or not np.isfinite(years).all():
        raise ValueError(f"at must be a list of time points in years, such as (-1, 0, 1, 2), not {at!r}.")
    days = _day_of(years)
    if len(np.unique(days)) < len(days):
        raise ValueError(f"at names one day twice: {at!r}. Give each time point once.")
    return days


def _day_of(years: NDArray[np.float64]) -> IntArray:
    return np.rint(years * DAYS_PER_YEAR).astype(np.int64)


def _nearest_point(day: IntArray, points: IntArray) -> IntArray:
    """Find the index in `points` each visit stands for, −1 where it stands for none."""
    earliest_first = np.argsort(points)
    distance = np.abs(day[:, None] - points[earliest_first]).astype(np.float64)
    before = points[earliest_first] <= 0
    distance[(day[:, None] <= 0) != before] = np.inf
    nearest = earliest_first[np.argmin(distance, axis=1)]  # the first minimum: the earlier point
    return np.where(np.isfinite(distance).any(axis=1), nearest, -1)


def _one_row_each(cohort: Cohort, at: Sequence[float], best: pd.DataFrame) -> pd.DataFrame:
    patients = cohort.patients["patient"]
    grid = pd.DataFrame(
        {
            "patient": patients.repeat(len(at)).reset_index(drop=True),
            "at": np.tile(np.asarray(at, dtype=np.float64), len(patients)),
            "_point": np.tile(np.arange(len(at)), len(patients)),
        }
    )
    found = grid.merge(best, on=["patient", "_point"], how="left")
    found["day"] = found["day"].astype("Int64")
    return found


def relapse_windows(cohort: Cohort, edges: Sequence[float | None] = (-1, 0, 1, 2)) -> pd.DataFrame:
    """Count each patient's relapses and observed time in consecutive windows [start, end).

    Day d is in [start, end) when round(365.25·start) ≤ d < round(365.25·end). The first and the last day of
    follow-up count as observed; relapses outside follow-up are not counted, as nobody watched for more.

    Parameters
    ----------
    cohort
        The patients; a relapse table must have been given.
    edges
        Ascending edges in years from the index date; the last may be None, the end of follow-up.

    Returns
    -------
    A frame with one row a patient and window, in the order of the patients: `patient`, `window` (ordered
    Categorical), `start` and `end` (years; `end` is infinite for the end of follow-up), `relapses` (count),
    `exposure` (person-years observed inside the window), `complete` (whether the window was fully observed;
    to the end of follow-up: whether any of it was).

    Raises
    ------
    ValueError
        If the cohort has no relapse table or the edges do not ascend.

    Examples
    --------
    >>> import pandas as pd
    >>> from trajectories.reading import read_cohort
    >>> visits = pd.DataFrame({"patient": "a", "day": [-400, 500], "edss": [2.0, 2.5]})
    >>> relapses = pd.DataFrame({"patient": "a", "day": [-100, -30, 200]})
    >>> windows = relapse_windows(read_cohort(visits, relapses=relapses), edges=(-1, 0, 1, 2))
    >>> windows[["window", "relapses", "complete"]].to_string(index=False).splitlines()[1:]
    ['[-1, 0)         2      True', ' [0, 1)         1      True', ' [1, 2)         0     False']
    """
    if cohort.relapses_table is None:
        raise ValueError(
            "This cohort has no relapse table, so relapses cannot be counted: give `relapses=` to "
            "read_cohort (an empty table if relapses were recorded and nobody had one)."
        )
    return event_windows(cohort, cohort.relapses_table, edges).rename(columns={"events": "relapses"})


def event_windows(cohort: Cohort, events: pd.DataFrame, edges: Sequence[float | None]) -> pd.DataFrame:
    """Count each patient's events and observed time in consecutive windows, as `relapse_windows` does relapses.

    Parameters
    ----------
    cohort
        The patients and their follow-up.
    events
        One row an event: `patient`, `day`.
    edges
        As in `relapse_windows`.

    Returns
    -------
    As of `relapse_windows`, with the counts in `events`.

    Examples
    --------
    >>> import pandas as pd
    >>> from trajectories.reading import read_cohort
    >>> cohort = read_cohort(pd.DataFrame({"patient": "a", "day": [0, 500], "edss": [2.0, 2.5]}))
    >>> event_windows(cohort, pd.DataFrame({"patient": "a", "day": [10, 400]}), (0, 1, 2))["events"].tolist()
    [1, 1]
    """
    starts, ends, years = _window_days(edges)
    patients = cohort.patients
    first = patients["followup_start_day"].to_numpy()[:, None]
    last = patients["followup_end_day"].to_numpy()[:, None]
    observed = np.maximum(np.minimum(last + 1, ends) - np.maximum(first, starts), 0)
    complete = (first <= starts) & (last >= ends - 1)
    if edges[-1] is None:
        complete[:, -1] = observed[:, -1] > 0
    labels = [f"[{a:g}, {'end of follow-up' if np.isinf(b) else f'{b:g}'})" for a, b in years]
    n = len(patients)
    return pd.DataFrame(
        {
            "patient": patients["patient"].repeat(len(labels)).reset_index(drop=True),
            "window": pd.Categorical(np.tile(labels, n), categories=labels, ordered=True),
            "start": np.tile([a for a, _ in years], n),
            "end": np.tile([b for _, b in years], n),
            "events": _events_in(events, patients, starts, ends).ravel(),
            "exposure": observed.ravel() / DAYS_PER_YEAR,
            "complete": complete.ravel(),
        }
    )


def _window_days(edges: Sequence[float | None]) -> tuple[IntArray, IntArray, list[tuple[float, float]]]:
    open_end = len(edges) > 0 and edges[-1] is None
    finite = [float(e) for e in (edges[:-1] if open_end else edges) if e is not None]
    numbers = len(finite) + open_end == len(edges) >= 2 and bool(np.isfinite(finite).all())
    days = _day_of(np.array(finite)) if numbers else np.zeros(2, dtype=np.int64)
    if (np.diff(days) <= 0).any():
        raise ValueError(
            f"edges must be at least two ascending times in years, such as (-1, 0, 1, 2), not {edges!r}; "
            "only the last may be None (the end of follow-up)."
        )
    never = np.iinfo(np.int64).max // 2
    uppers = [*finite[1:], math.inf] if open_end else finite[1:]
    ends = np.append(days[1:], never) if open_end else days[1:]
    return days[: len(ends)], ends, list(zip(finite[: len(ends)], uppers, strict=True))


def _events_in(events: pd.DataFrame, patients: pd.DataFrame, starts: IntArray, ends: IntArray) -> IntArray:
    row = pd.Index(patients["patient"]).get_indexer(pd.Index(events["patient"]))
    day = events["day"].to_numpy()
    watched = (day >= patients["followup_start_day"].to_numpy()[row]) & (
        day <= patients["followup_end_day"].to_numpy()[row]
    )
    window = np.searchsorted(starts, day, side="right") - 1
    inside = watched & (window >= 0) & (day < ends[window])
    counts = np.zeros((len(patients), len(starts)), dtype=np.int64)
    np.add.at(counts, (row[inside], window[inside]), 1)
    return counts
