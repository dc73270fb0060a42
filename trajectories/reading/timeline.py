"""Follow-up of each patient, and the contradictions between it, the visits, the other events and birth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import DAYS_PER_YEAR
from trajectories.reading.columns import to_numbers
from trajectories.reading.events import LONGEST_YEARS, Axis, Events, days_from, place_events
from trajectories.reading.treatments import Courses, course_problems, place_courses
from trajectories.reading.values import Parsed
from trajectories.tables import raise_problems

__all__ = ["Timeline", "place"]

type BoolArray = NDArray[np.bool_]
type FloatArray = NDArray[np.float64]
type IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """All tables on the time axis.

    Parameters
    ----------
    visits, relapses, mri, adverse_events
        The events; None without a table.
    courses
        The courses of drugs; None without a table of treatments.
    followup_start, followup_end
        First and last day observed, one a patient; the end is the day before the start for a patient who was
        never observed.
    start_derived, end_derived
        Which of them were taken from the first and last visit.
    index_date
        One sentence: what time 0 is.
    zero_from
        The table that told time 0, "patients" or "treatments"; empty if none did.
    notes
        Decisions, with counts.
    """

    visits: Events
    relapses: Events | None
    mri: Events | None
    adverse_events: Events | None
    courses: Courses | None
    followup_start: IntArray
    followup_end: IntArray
    start_derived: NDArray[np.bool_]
    end_derived: NDArray[np.bool_]
    index_date: str
    zero_from: str
    notes: list[str]


def place(tables: Mapping[str, Parsed], patients: Parsed, time: str) -> Timeline:
    """Put all events and follow-up on the time axis, and check that they fit together.

    Parameters
    ----------
    tables
        The parsed tables without problems of their own, patients not among them.
    patients
        The patients.
    time
        How time is counted: "date", "day" or "years".

    Raises
    ------
    CohortError
        If a row belongs to no patient, a patient has no time 0, or times contradict each other.
    """
    events, axis = place_events(tables, patients, time)
    courses = place_courses(events["treatments"], axis) if "treatments" in events else None
    given = [_given(patients, column, axis) for column in ("followup_start", "followup_end")]
    birth = _birth_day(patients, axis)
    first, last = events["visits"].first_and_last(len(birth))
    start, end = _follow(given, first, last)
    # A first visit after the end is a visit too many, and nobody's follow-up can end that never began.
    own_start = ~np.isnan(given[0]) & ~(np.isnan(first) & np.isnan(given[1]))
    problems = [
        *(problem for name in ("visits", "mri") if name in events for problem in _repeated(events[name])),
        *([] if courses is None else course_problems(courses)),
        *_absurd(patients, given),
        *_ends_too_early(patients, start, end, own_start),
        *_treated_before_birth(patients, birth),
    ]
    for name, event in events.items():
        # Treatment goes on after the last day observed, and is no outcome that was observed too late.
        problems += [] if name == "treatments" else _after_followup(event, given[1])
        problems += _before_birth(event, birth)
    raise_problems(problems)
    return Timeline(
        visits=events["visits"],
        relapses=events.get("relapses"),
        mri=events.get("mri"),
        adverse_events=events.get("adverse_events"),
        courses=courses,
        followup_start=start.astype(np.int64),
        followup_end=end.astype(np.int64),
        start_derived=np.isnan(given[0]),
        end_derived=np.isnan(given[1]),
        index_date=axis.index_date,
        zero_from=axis.zero_from,
        notes=axis.notes,
    )


def _given(patients: Parsed, column: str, axis: Axis) -> FloatArray:
    if column not in patients.times:
        return np.full(len(patients.frame), np.nan)
    return days_from(patients.times[column], axis.zero, axis.time)


def _follow(given: list[FloatArray], first: FloatArray, last: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Settle follow-up: as given, otherwise from the first to the last visit; empty if there is neither."""
    start = np.where(np.isnan(given[0]), first, given[0])
    end = np.where(np.isnan(given[1]), last, given[1])
    start = np.where(np.isnan(start), np.where(np.isnan(end), 0, end + 1), start)
    return start, np.where(np.isnan(end), start - 1, end)


def _repeated(events: Events) -> list[str]:
    keys = pd.DataFrame({"owner": events.owner, "day": events.day})
    bad = keys.duplicated().to_numpy()
    if not bad.any():
        return []
    first = (
        keys.groupby(["owner", "day"], sort=False)["day"].transform(lambda group: group.index[0]).to_numpy()
    )
    beside = [f"same patient and day as {events.parsed.table.row(int(i))}" for i in first]
    remedy = f"keep one {events.noun} a day for each patient; nothing was averaged or chosen for you."
    return [events.problem(events.noun + "{s} {is} there twice.", remedy, bad, beside)]


def _birth_day(patients: Parsed, axis: Axis) -> FloatArray:
    """Find the earliest day each patient may have been born; NaN if nothing is known."""
    if "birth" in patients.times or "age" not in patients.frame:
        return _given(patients, "birth", axis)
    age, _ = to_numbers(patients.frame["age"])
    return -(np.floor(age) + 1) * DAYS_PER_YEAR  # an age of 30 may be completed years: up to 31


def _treated_before_birth(patients: Parsed, birth: FloatArray) -> list[str]:
    bad = birth > 0
    if not bad.any():
        return []
    what = "patient{s} {is} born after the index date."
    return [patients.table.problem("birth", what, "correct birth, or start, in patients.", bad)]


def _before_birth(events: Events, birth: FloatArray) -> list[str]:
    bad = events.day < birth[events.owner]
    if not bad.any():
        return []
    remedy = "correct the date, or birth (or age at the index date) in patients."
    return [events.problem(events.noun + "{s} {is} before the birth of the patient.", remedy, bad)]


def _ends_too_early(patients: Parsed, start: FloatArray, end: FloatArray, checked: BoolArray) -> list[str]:
    bad = (end < start) & checked
    if not bad.any():
        return []
    beside = [f"from day {s:.0f} to day {e:.0f}" for s, e in zip(start, end, strict=True)]
    what = "patient{s} {has} a follow-up that ends before it starts."
    remedy = (
        "correct followup_start and followup_end in patients; where one of them is empty the first or last "
        "visit was used."
    )
    return [patients.table.problem("followup_end", what, remedy, bad, beside=beside)]


def _absurd(patients: Parsed, given: list[FloatArray]) -> list[str]:
    problems = []
    for days, column in zip(given, ("followup_start", "followup_end"), strict=True):
        bad = np.abs(days) > LONGEST_YEARS * DAYS_PER_YEAR
        if bad.any():
            what = f"value{{s}} {{is}} more than {LONGEST_YEARS} years from the index date."
            remedy = "correct the value{s}, or leave {it} empty to use the first or last visit."
            problems.append(patients.table.problem(column, what, remedy, bad))
    return problems


def _after_followup(events: Events, end: FloatArray) -> list[str]:
    last = end[events.owner]
    bad = events.day > last
    if not bad.any():
        return []
    beside = [f"day {d}, follow-up ends on day {e:.0f}" for d, e in zip(events.day, last, strict=True)]
    what = events.noun + "{s} {is} after the end of the patient's follow-up."
    remedy = f"correct followup_end in patients or the time of the {events.noun}, or remove the row{{s}}."
    return [events.problem(what, remedy, bad, beside)]
