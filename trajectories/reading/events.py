"""Visits and all other events on one time axis: whose they are, and how many days from the index date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import DAYS_PER_YEAR
from trajectories.reading.values import Parsed, Times
from trajectories.tables import raise_problems

__all__ = ["LONGEST_YEARS", "Axis", "Events", "days_from", "place_events"]

type FloatArray = NDArray[np.float64]
type IntArray = NDArray[np.int64]

_NOUNS = {
    "visits": "visit",
    "relapses": "relapse",
    "treatments": "treatment",
    "mri": "scan",
    "adverse_events": "adverse event",
}

LONGEST_YEARS = 120
"""No event of a patient is further from the index date than this."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The time axis of a cohort.

    Parameters
    ----------
    time
        How the files count time: "date", "day" or "years".
    zero
        Time 0 of each patient, counted like that.
    index_date
        One sentence: what time 0 is.
    notes
        Decisions, one sentence each.
    zero_from
        The table that told time 0, "patients" or "treatments"; empty if none did.
    """

    time: str
    zero: Times
    index_date: str
    notes: list[str]
    zero_from: str = ""


@dataclass(frozen=True, kw_only=True)
class Events:
    """Visits, relapses, scans, adverse events or starts of treatment on the time axis, in the order of the file.

    Parameters
    ----------
    parsed
        The table.
    owner
        Position of the patient of each row in the patients table.
    day, years
        Time from the index date.
    time
        Name of the column that the time was read from.
    """

    parsed: Parsed
    owner: IntArray
    day: IntArray
    years: FloatArray
    time: str

    @property
    def noun(self) -> str:
        """What one row is."""
        return _NOUNS[self.parsed.table.name]

    def problem(
        self, what: str, remedy: str, bad: NDArray[np.bool_], beside: Sequence[str] | None = None
    ) -> str:
        """Write what is wrong with the times of some rows."""
        return self.parsed.table.problem(self.time, what, remedy, bad, beside=beside)

    def first_and_last(self, n_patients: int) -> tuple[FloatArray, FloatArray]:
        """Find the first and last day of each patient, NaN for those without a row."""
        first, last = np.full(n_patients, np.inf), np.full(n_patients, -np.inf)
        np.minimum.at(first, self.owner, self.day)
        np.maximum.at(last, self.owner, self.day)
        return np.where(np.isfinite(first), first, np.nan), np.where(np.isfinite(last), last, np.nan)


def place_events(tables: Mapping[str, Parsed], patients: Parsed, time: str) -> tuple[dict[str, Events], Axis]:
    """Put the rows of visits and of the other tables on the time axis; treatments by their start.

    Parameters
    ----------
    tables
        Visits, and what else there is apart from patients.
    patients
        The patients they belong to.
    time
        How time is counted: "date", "day" or "years".

    Raises
    ------
    CohortError
        If a row belongs to no patient, a patient has no time 0, or a time is absurd.
    """
    owners = {name: _owners(table, patients) for name, table in tables.items()}
    raise_problems([problem for name, table in tables.items() for problem in _unknown(table, owners[name])])
    axis = _axis(tables, owners, patients, time)
    events = {name: _events(table, owners[name], axis) for name, table in tables.items()}
    raise_problems([problem for event in events.values() for problem in _implausible(event, axis)])
    return events, axis


def _owners(events: Parsed, patients: Parsed) -> IntArray:
    position = pd.Index(patients.frame["patient"]).get_indexer(pd.Index(events.frame["patient"]))
    return np.asarray(position, dtype=np.int64)


def _unknown(events: Parsed, owner: IntArray) -> list[str]:
    bad = owner < 0
    if not bad.any():
        return []
    what = "row{s} {is} of a patient who is not in the patients table."
    remedy = (
        "add the patient to patients, or correct the identifier (capitals and leading zeros count). If there "
        "is no patients table, every patient needs a visit."
    )
    return [events.table.problem("patient", what, remedy, bad, events.frame["patient"])]


def _axis(tables: Mapping[str, Parsed], owners: Mapping[str, IntArray], patients: Parsed, time: str) -> Axis:
    """Find each patient's time 0, in the unit of the file."""
    start = patients.times.get("start")
    treatments = tables.get("treatments")
    notes: list[str] = []
    if start is not None and pd.isna(start).all():
        notes = ["The column 'start' of patients is empty and was not used."]
    elif start is not None:
        _check_start(start, patients, treatments is not None)
        sentence = "Time 0 is treatment start (column 'start' of patients)."
        return Axis(time=time, zero=start, index_date=sentence, notes=notes, zero_from="patients")
    n = len(patients.frame)
    if time != "date":
        sentence = f"Time 0 is the zero of '{time}': times were taken as counted from the index date already."
        return Axis(time=time, zero=np.zeros(n), index_date=sentence, notes=notes)
    zero = np.full(n, np.datetime64("NaT", "D"))
    if treatments is not None and len(treatments.frame):
        np.fmin.at(zero, owners["treatments"], treatments.times["start"])
        _check_first_treatment(zero, patients)
        sentence = "Time 0 is the start of each patient's first treatment (column 'start' of treatments)."
        return Axis(time=time, zero=zero, index_date=sentence, notes=notes, zero_from="treatments")
    np.fmin.at(zero, owners["visits"], tables["visits"].times["date"])
    _check_first_visit(zero, list(owners.values()), patients)
    sentence = "Time 0 is each patient's first visit, as no treatment start was given."
    return Axis(time=time, zero=zero, index_date=sentence, notes=notes)


def _check_start(start: Times, patients: Parsed, treatments: bool) -> None:
    missing = pd.isna(start)
    if missing.any():
        what = "patient{s} {has} no start, though others have one."
        remedy = "fill in the start of treatment, or leave the patient{s} out of all tables."
        if treatments:
            remedy += " Without the column, time 0 is the first start in treatments."
        raise_problems([patients.table.problem("start", what, remedy, missing)])


def _check_first_treatment(zero: Times, patients: Parsed) -> None:
    missing = pd.isna(zero)
    if missing.any():
        what = "patient{s} {has} no treatment, though others have one, so there is no time 0."
        remedy = (
            "give time 0 of every patient in the column 'start' of patients (for the untreated a date of your "
            "choice, such as the first visit), or leave the patient{s} out of all tables."
        )
        raise_problems([patients.table.problem("start", what, remedy, missing)])


def _check_first_visit(first: Times, owners: list[IntArray], patients: Parsed) -> None:
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


def days_from(times: Times, zero: Times, time: str) -> FloatArray:
    """Count days from time 0, NaN where missing."""
    if time == "date":
        elapsed = (times.astype("datetime64[D]") - zero.astype("datetime64[D]")) / np.timedelta64(1, "D")
        return np.asarray(elapsed, dtype=np.float64)
    passed = times.astype(np.float64) - zero.astype(np.float64)
    with np.errstate(over="ignore"):  # an absurd number becomes infinite, and is refused as too far away
        return np.rint(passed * DAYS_PER_YEAR) if time == "years" else passed


def _events(parsed: Parsed, owner: IntArray, axis: Axis) -> Events:
    time, zero = axis.time, axis.zero[owner]
    column = "start" if parsed.table.name == "treatments" else time
    day = days_from(parsed.times[column], zero, time)
    if "day" in parsed.times and "years" in parsed.times:
        _check_both(parsed)
    in_years = "years" if "years" in parsed.times else column
    if in_years == "years" or time == "years":
        unit = 1.0 if time == "years" else DAYS_PER_YEAR
        years = parsed.times[in_years].astype(np.float64) - zero.astype(np.float64) / unit
    else:
        years = day / DAYS_PER_YEAR
    # 120 years is refused later on; until then an absurd time only has to fit into an integer.
    whole = np.clip(day, -1e15, 1e15).astype(np.int64)
    return Events(parsed=parsed, owner=owner, day=whole, years=years, time=column)


def _check_both(parsed: Parsed) -> None:
    days, years = parsed.times["day"].astype(np.float64), parsed.times["years"].astype(np.float64)
    with np.errstate(over="ignore"):
        bad = np.abs(days - years * DAYS_PER_YEAR) > 0.5 + 1e-6
    if bad.any():
        what = "row{s} {has} a 'day' that differs from 365.25 × 'years'."
        raise_problems([parsed.table.problem("day", what, "keep one of the two columns.", bad)])


def _implausible(events: Events, axis: Axis) -> list[str]:
    bad = np.abs(events.years) > LONGEST_YEARS
    if not bad.any():
        return []
    what = f"row{{s}} {{is}} more than {LONGEST_YEARS} years from the index date."
    remedy = (
        f"correct the date, or the start in {axis.zero_from or 'patients'}; a column 'years' that counts days "
        "should be called 'day', and calendar years need a 'start' in patients."
    )
    beside = [f"{y:.0f} years" if abs(y) < 1e6 else f"{y:g} years" for y in events.years]
    return [events.problem(what, remedy, bad, beside)]
