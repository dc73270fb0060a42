"""One time axis for all tables: days and years from the index date, and each patient's follow-up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import DAYS_PER_YEAR
from trajectories.reading.values import Parsed, Times
from trajectories.tables import raise_problems

__all__ = ["Timeline", "place"]

type FloatArray = NDArray[np.float64]
type IntArray = NDArray[np.int64]

_LONGEST_YEARS = 120


@dataclass(frozen=True, kw_only=True)
class Events:
    """Visits or relapses on the time axis, in the order of the file.

    Parameters
    ----------
    parsed
        The table.
    owner
        Position of the patient of each row in the patients table.
    day, years
        Time from the index date.
    """

    parsed: Parsed
    owner: IntArray
    day: IntArray
    years: FloatArray

    def first_and_last(self, n_patients: int) -> tuple[FloatArray, FloatArray]:
        """Find the first and last day of each patient, NaN for those without a row."""
        first, last = np.full(n_patients, np.inf), np.full(n_patients, -np.inf)
        np.minimum.at(first, self.owner, self.day)
        np.maximum.at(last, self.owner, self.day)
        return np.where(np.isfinite(first), first, np.nan), np.where(np.isfinite(last), last, np.nan)


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """All tables on the time axis.

    Parameters
    ----------
    visits, relapses
        The events; relapses None without a relapse table.
    followup_start, followup_end
        First and last day observed, one a patient; the end is the day before the start for a patient who was
        never observed.
    start_derived, end_derived
        Which of them were taken from the first and last visit.
    index_date
        One sentence: what time 0 is.
    notes
        Decisions, with counts.
    """

    visits: Events
    relapses: Events | None
    followup_start: IntArray
    followup_end: IntArray
    start_derived: NDArray[np.bool_]
    end_derived: NDArray[np.bool_]
    index_date: str
    notes: list[str]


def place(visits: Parsed, relapses: Parsed | None, patients: Parsed, time: str) -> Timeline:
    """Put visits, relapses and follow-up on the time axis, and check that they fit together.

    Parameters
    ----------
    visits, relapses, patients
        The parsed tables without problems of their own.
    time
        How time is counted: "date", "day" or "years".

    Raises
    ------
    CohortError
        If a row belongs to no patient, a patient has no time 0, or times contradict each other.
    """
    tables = [visits] if relapses is None else [visits, relapses]
    owners = [_owners(table, patients) for table in tables]
    raise_problems([p for table, owner in zip(tables, owners, strict=True) for p in _unknown(table, owner)])
    zero, index_date, notes = _index(tables, owners, patients, time)
    events = [_events(table, owner, zero, time) for table, owner in zip(tables, owners, strict=True)]
    raise_problems([problem for event in events for problem in _implausible(event)])
    timeline, problems = _follow(events, patients, zero, time, index_date, notes)
    problems += _repeated_visits(events[0])
    for event in events:
        problems += _before_birth(event, _birth_day(patients, zero, time))
    raise_problems(problems)
    return timeline


def _owners(events: Parsed, patients: Parsed) -> IntArray:
    position = pd.Index(patients.frame["patient"]).get_indexer(pd.Index(events.frame["patient"]))
    return np.asarray(position, dtype=np.int64)


def _unknown(events: Parsed, owner: IntArray) -> list[str]:
    bad = owner < 0
    if not bad.any():
        return []
    what = "row{s} {is} of a patient who is not in the patients table."
    remedy = (
        "add the patient to patients, or correct the identifier (capitals and leading zeros count). If there is "
        "no patients table, every patient needs a visit."
    )
    return [events.table.problem("patient", what, remedy, bad, events.frame["patient"].tolist())]


def _index(
    tables: list[Parsed], owners: list[IntArray], patients: Parsed, time: str
) -> tuple[Times, str, list[str]]:
    """Find each patient's time 0, in the unit of the file."""
    start = patients.times.get("start")
    notes: list[str] = []
    if start is not None:
        missing = pd.isna(start)
        if not missing.any():
            return start, "Time 0 is treatment start (column 'start' of patients).", notes
        if not missing.all():
            what = "patient{s} {has} no start, though others have one."
            remedy = "fill in the start of treatment, or leave the patient{s} out of all tables."
            raise_problems([patients.table.problem("start", what, remedy, missing)])
        notes = ["The column 'start' of patients is empty and was not used."]
    n = len(patients.frame)
    if time != "date":
        sentence = f"Time 0 is the zero of '{time}': times were taken as counted from the index date already."
        return np.zeros(n), sentence, notes
    first = np.full(n, np.datetime64("NaT", "D"))
    np.fmin.at(first, owners[0], tables[0].times["date"])
    _check_time_zero(first, owners, patients)
    return first, "Time 0 is each patient's first visit, as no treatment start was given.", notes


def _check_time_zero(first: Times, owners: list[IntArray], patients: Parsed) -> None:
    """Refuse patients without a visit or a start who have something to be placed in time."""
    dated = np.zeros(len(first), dtype=bool)
    for owner in owners:
        dated[owner] = True
    for column in ("followup_start", "followup_end"):
        if column in patients.times:
            dated |= ~pd.isna(patients.times[column])
    bad = pd.isna(first) & dated
    if bad.any():
        what = "patient{s} {has} neither a start nor a visit, so there is no time 0 for the other dates."
        remedy = "give the start of treatment of every patient in the column 'start' of patients."
        raise_problems([patients.table.problem("start", what, remedy, bad)])


def _days_from(times: Times, zero: Times, time: str) -> FloatArray:
    """Count days from time 0, NaN where missing."""
    if time == "date":
        elapsed = (times.astype("datetime64[D]") - zero.astype("datetime64[D]")) / np.timedelta64(1, "D")
        return np.asarray(elapsed, dtype=np.float64)
    passed = times.astype(np.float64) - zero.astype(np.float64)
    return np.rint(passed * DAYS_PER_YEAR) if time == "years" else passed


def _events(parsed: Parsed, owner: IntArray, zero: Times, time: str) -> Events:
    day = _days_from(parsed.times[time], zero[owner], time)
    if "day" in parsed.times and "years" in parsed.times:
        _check_both(parsed)
    if "years" in parsed.times:
        unit = 1.0 if time == "years" else DAYS_PER_YEAR
        years = parsed.times["years"].astype(np.float64) - zero[owner].astype(np.float64) / unit
    else:
        years = day / DAYS_PER_YEAR
    # 120 years is refused later on; until then an absurd time only has to fit into an integer.
    return Events(parsed=parsed, owner=owner, day=np.clip(day, -1e15, 1e15).astype(np.int64), years=years)


def _check_both(parsed: Parsed) -> None:
    days, years = parsed.times["day"].astype(np.float64), parsed.times["years"].astype(np.float64)
    bad = np.abs(days - years * DAYS_PER_YEAR) > 0.5 + 1e-6
    if bad.any():
        what = "row{s} {has} a 'day' that differs from 365.25 × 'years'."
        raise_problems([parsed.table.problem("day", what, "keep one of the two columns.", bad)])


def _implausible(events: Events) -> list[str]:
    bad = np.abs(events.years) > _LONGEST_YEARS
    if not bad.any():
        return []
    what = f"row{{s}} {{is}} more than {_LONGEST_YEARS} years from the index date."
    remedy = (
        "correct the date, or the start in patients; a column 'years' that counts days should be called 'day', "
        "and calendar years need a 'start' in patients."
    )
    return [events.parsed.table.problem(None, what, remedy, bad, [f"{y:.0f} years" for y in events.years])]


def _repeated_visits(visits: Events) -> list[str]:
    keys = pd.DataFrame({"owner": visits.owner, "day": visits.day})
    bad = keys.duplicated().to_numpy()
    if not bad.any():
        return []
    first = (
        keys.groupby(["owner", "day"], sort=False)["day"].transform(lambda group: group.index[0]).to_numpy()
    )
    beside = [f"same patient and day as {visits.parsed.table.row(int(i))}" for i in first]
    remedy = "keep one visit a day for each patient; nothing was averaged or chosen for you."
    return [visits.parsed.table.problem(None, "visit{s} {is} there twice.", remedy, bad, beside)]


def _birth_day(patients: Parsed, zero: Times, time: str) -> FloatArray:
    """Find the earliest day each patient may have been born; NaN if nothing is known."""
    if "birth" in patients.times:
        return _days_from(patients.times["birth"], zero, time)
    if "age" not in patients.frame:
        return np.full(len(patients.frame), np.nan)
    age = patients.frame["age"].to_numpy(dtype=np.float64)
    return -(np.floor(age) + 1) * DAYS_PER_YEAR  # an age of 30 may be completed years: up to 31


def _before_birth(events: Events, birth: FloatArray) -> list[str]:
    bad = events.day < birth[events.owner]
    if not bad.any():
        return []
    what = events.parsed.table.name.removesuffix("s") + "{s} {is} before the birth of the patient."
    remedy = "correct the date, or birth (or age at the index date) in patients."
    return [events.parsed.table.problem(None, what, remedy, bad)]


def _follow(
    events: list[Events], patients: Parsed, zero: Times, time: str, index_date: str, notes: list[str]
) -> tuple[Timeline, list[str]]:
    """Settle follow-up: as given, otherwise from the first to the last visit."""
    n = len(patients.frame)
    given = [
        _days_from(patients.times[c], zero, time) if c in patients.times else np.full(n, np.nan)
        for c in ("followup_start", "followup_end")
    ]
    first, last = events[0].first_and_last(n)
    derived = [np.isnan(days) for days in given]
    start, end = np.where(derived[0], first, given[0]), np.where(derived[1], last, given[1])
    start = np.where(np.isnan(start), np.where(np.isnan(end), 0, end + 1), start)
    end = np.where(np.isnan(end), start - 1, end)  # never observed
    problems = _ends_too_early(patients, start, end, given)
    for event in events:
        problems += _after_followup(event, given[1])
    timeline = Timeline(
        visits=events[0],
        relapses=events[1] if len(events) > 1 else None,
        followup_start=start.astype(np.int64),
        followup_end=end.astype(np.int64),
        start_derived=derived[0],
        end_derived=derived[1],
        index_date=index_date,
        notes=notes,
    )
    return timeline, problems


def _ends_too_early(
    patients: Parsed, start: FloatArray, end: FloatArray, given: list[FloatArray]
) -> list[str]:
    never = np.isnan(given[0]) | np.isnan(given[1])
    bad = (end < start) & ~(never & (end == start - 1))
    beside = [f"from day {s:.0f} to day {e:.0f}" for s, e in zip(start, end, strict=True)]
    what = "patient{s} {has} a follow-up that ends before it starts."
    remedy = (
        "correct followup_start and followup_end in patients; where one of them is empty the first or last visit "
        "was used."
    )
    problems = [patients.table.problem("followup_end", what, remedy, bad, beside)] if bad.any() else []
    for days, column in zip(given, ("followup_start", "followup_end"), strict=True):
        absurd = np.abs(days) > _LONGEST_YEARS * DAYS_PER_YEAR
        if absurd.any():
            what = f"value{{s}} {{is}} more than {_LONGEST_YEARS} years from the index date."
            remedy = "correct the value{s}, or leave {it} empty to use the first or last visit."
            problems.append(patients.table.problem(column, what, remedy, absurd))
    return problems


def _after_followup(events: Events, end: FloatArray) -> list[str]:
    bad = events.day > end[events.owner]
    if not bad.any():
        return []
    noun = events.parsed.table.name.removesuffix("s")
    beside = [
        f"day {day}, follow-up ends on day {last:.0f}" if late else ""
        for day, last, late in zip(events.day, end[events.owner], bad, strict=True)
    ]
    what = noun + "{s} {is} after the end of the patient's follow-up."
    remedy = f"correct followup_end in patients or the time of the {noun}, or remove the row{{s}}."
    return [events.parsed.table.problem(None, what, remedy, bad, beside)]
