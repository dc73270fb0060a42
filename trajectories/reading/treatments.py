"""Courses of drugs: when each began and ended, and the contradictions between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import DAYS_PER_YEAR
from trajectories.reading.events import LONGEST_YEARS, Axis, Events, days_from
from trajectories.reading.values import Parsed
from trajectories.tables import STANDARD_COLUMNS

__all__ = [
    "Courses",
    "at_the_same_time",
    "course_problems",
    "different_drugs",
    "ends_too_early",
    "lay_out",
    "place_courses",
]

type BoolArray = NDArray[np.bool_]
type FloatArray = NDArray[np.float64]
type IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Courses:
    """Courses of drugs on the time axis, in the order of the file.

    Parameters
    ----------
    starts
        Whose each course is, and when it began.
    stop_day, stop_years
        Its last day; NaN while it goes on.
    """

    starts: Events
    stop_day: FloatArray
    stop_years: FloatArray

    @property
    def drug(self) -> pd.Series:
        """The drug of each course."""
        return self.starts.parsed.frame["drug"]


def ends_too_early(treatments: Parsed) -> list[str]:
    """Report courses that stop before they start."""
    if not {"start", "stop"} <= set(treatments.times):
        return []
    start, stop = treatments.times["start"], treatments.times["stop"]
    bad = pd.Series(stop).lt(pd.Series(start)).to_numpy()
    if not bad.any():
        return []
    show = str if start.dtype.kind == "M" else "{:g}".format
    beside = [f"from {show(a)} to {show(b)}" for a, b in zip(start, stop, strict=True)]
    remedy = "correct start or stop (the last day of the course), or leave stop empty if it goes on."
    return [
        treatments.table.problem(
            "stop", "course{s} {is} stopped before the start.", remedy, bad, None, beside
        )
    ]


def place_courses(starts: Events, axis: Axis) -> Courses:
    """Put the ends of courses on the time axis; without a column `stop` all go on."""
    stop = starts.parsed.times.get("stop")
    if stop is None:
        never = np.full(len(starts.owner), np.nan)
        return Courses(starts=starts, stop_day=never, stop_years=never)
    zero = axis.zero[starts.owner]
    day = days_from(stop, zero, axis.time)
    years = stop.astype(np.float64) - zero.astype(np.float64) if axis.time == "years" else day / DAYS_PER_YEAR
    return Courses(starts=starts, stop_day=day, stop_years=years)


def course_problems(courses: Courses) -> list[str]:
    """Report courses that are there twice, and ends that no patient has lived to see."""
    table, problems = courses.starts.parsed.table, []
    far = np.abs(courses.stop_years) > LONGEST_YEARS
    if far.any():
        what = f"value{{s}} {{is}} more than {LONGEST_YEARS} years from the index date."
        remedy = "correct the value{s}, or leave {it} empty if the drug goes on."
        problems.append(table.problem("stop", what, remedy, far, table.frame["stop"]))
    keys = pd.DataFrame({"owner": courses.starts.owner, "drug": courses.drug, "day": courses.starts.day})
    twice = keys.duplicated().to_numpy()
    if twice.any():
        rows = keys.assign(row=np.arange(len(keys))).groupby(["owner", "drug", "day"])["row"]
        first = rows.transform("first")
        beside = [f"same patient, drug and start as {table.row(int(i))}" for i in first]
        remedy = "keep one row for each course; nothing was merged or chosen for you."
        problems.append(table.problem(None, "course{s} {is} there twice.", remedy, twice, None, beside))
    return problems


def lay_out(courses: Courses) -> pd.DataFrame:
    """Lay out the columns of treatments and sort by patient, start and drug."""
    frame = courses.starts.parsed.frame.assign(
        start_day=courses.starts.day,
        stop_day=courses.stop_day,
        start_years=courses.starts.years,
        stop_years=courses.stop_years,
    )
    if courses.starts.parsed.times["start"].dtype.kind != "M":
        frame = frame.drop(columns=["start", "stop"], errors="ignore")  # start_day and stop_day say it
    first = ["patient", "drug", "start_day", "stop_day", "start_years", "stop_years"]
    first += [column for column in STANDARD_COLUMNS["treatments"] if column in frame and column not in first]
    keys = pd.DataFrame({"owner": courses.starts.owner, "day": courses.starts.day, "drug": courses.drug})
    order = keys.sort_values(["owner", "day", "drug"]).index.to_numpy()
    ordered = frame[first + [column for column in frame.columns if column not in first]].iloc[order]
    return ordered.reset_index(drop=True)


def different_drugs(courses: Courses, n: int, among: BoolArray | None = None) -> IntArray:
    """Count the drugs of each patient, among some of the courses or all."""
    pairs = pd.DataFrame({"owner": courses.starts.owner, "drug": courses.drug})
    pairs = pairs if among is None else pairs[among]
    return np.bincount(pairs.drop_duplicates()["owner"].to_numpy(), minlength=n)


def at_the_same_time(courses: Courses, n_patients: int, *, open_ended: bool = True) -> BoolArray:
    """Find the patients who have different drugs at the same time.

    A course runs to its last day, and a drug that starts on the last day of another follows it. Parameter
    `open_ended` says whether a course without a stop goes on; otherwise it is taken as one day long.
    """
    start = courses.starts.day.astype(np.float64)
    stop = np.where(np.isnan(courses.stop_day), np.inf if open_ended else start, courses.stop_day)
    spans = pd.DataFrame(
        {
            "owner": courses.starts.owner,
            "drug": pd.factorize(courses.drug)[0],
            "start": start,
            "stop": np.maximum(stop, start + 0.5),  # what lasts one day is not nothing
        }
    ).sort_values(["owner", "drug", "start"])
    # Unite the courses of one drug, so that what overlaps afterwards are different drugs.
    reached = spans.groupby(["owner", "drug"])["stop"].cummax()
    before = reached.groupby([spans["owner"], spans["drug"]]).shift(fill_value=-np.inf)
    spans["united"] = (spans["start"] > before).cumsum()
    united = spans.groupby(["owner", "drug", "united"]).agg(start=("start", "min"), stop=("stop", "max"))
    united = united.reset_index().sort_values(["owner", "start"])
    furthest = united.groupby("owner")["stop"].cummax().groupby(united["owner"]).shift(fill_value=-np.inf)
    found = np.zeros(n_patients, dtype=bool)
    found[united.loc[united["start"] < furthest, "owner"].to_numpy()] = True
    return found
