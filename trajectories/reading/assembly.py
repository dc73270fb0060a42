"""From tables to a cohort: read, check, place in time, derive, note what was decided."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import DAYS_PER_YEAR, Cohort
from trajectories.reading.files import load
from trajectories.reading.names import rename, require, time_column
from trajectories.reading.timeline import Events, Timeline, place
from trajectories.reading.values import Parsed, parse
from trajectories.tables import STANDARD_COLUMNS, Table, raise_problems

__all__ = ["read_cohort"]

type Source = str | os.PathLike[str] | pd.DataFrame

RELAPSE_GAP = 30
"""Onsets fewer days apart than this are one relapse."""


def read_cohort(
    visits: Source,
    *,
    relapses: Source | None = None,
    patients: Source | None = None,
    columns: Mapping[str, str] | None = None,
    baseline_window: float = 1.0,
    name: str | None = None,
) -> Cohort:
    """Read the tables of a cohort, check them, and put them on one time axis.

    day = days since the index date (treatment start), years = day / 365.25.

    Parameters
    ----------
    visits
        One row a visit: `patient`, `edss` (EDSS points, may be missing), and the time as `date`, `day` or
        `years`; optional `scheduled` (true or false), `rater`, `mode`; other columns are kept. Like the other
        tables a DataFrame or the path of a CSV, Parquet or Excel (.xlsx) file.
    relapses
        One row a relapse onset: `patient` and the time, counted as in visits. None if relapses were not
        recorded; an empty table if nobody had one.
    patients
        One row a patient: `patient`; optional `arm`, `start` (start of treatment, time 0), `followup_start`,
        `followup_end`, `birth` (all counted as in visits), `age` (years at time 0); other columns are kept as
        covariates. Without it the patients are those with a visit, in one arm, "all".
    columns
        What the files call the standard columns, such as {"patient": "id", "edss": "EDSS"}; for one table
        only, {"relapses.date": "onset"}.
    baseline_window
        Years before time 0 in which the last EDSS counts as `edss_baseline`.
    name
        What to call the cohort; by default the file of visits.

    Returns
    -------
    The cohort. What was merged, left missing or derived is in its `notes`, with counts.

    Raises
    ------
    CohortError
        If the tables contradict themselves or each other; the message names table, column, rows and remedy.
        Rows are lines of a CSV file, rows of an Excel sheet (both count the header), or index labels of a
        DataFrame or Parquet file.

    Notes
    -----
    Dates are calendar dates: clock times and time zones are set aside. Without `start` time 0 is the patient's
    first visit (dates), or the zero of `day` or `years`. Without `followup_start` or `followup_end` a patient
    was followed from the first to the last visit. A relapse less than 30 days after the previous onset that
    was kept is part of it: onsets on days 0, 20, 40 are two relapses, on days 0 and 40.

    Examples
    --------
    >>> import pandas as pd
    >>> visits = pd.DataFrame({
    ...     "id": [7, 7, 8],
    ...     "date": ["2020-01-10", "2021-01-12", "2020-03-02"],
    ...     "EDSS": [3.0, None, 4.5],
    ... })
    >>> patients = pd.DataFrame({"id": ["7", "8"], "start": ["2020-01-15", "2020-03-02"]})
    >>> cohort = read_cohort(visits, patients=patients, columns={"patient": "id", "edss": "EDSS"})
    >>> cohort.visits[["patient", "day", "edss"]].to_numpy().tolist()
    [['7', -5, 3.0], ['7', 363, nan], ['8', 0, 4.5]]
    >>> cohort.notes[0]
    '1 of 3 visits has no EDSS.'
    """
    if not (math.isfinite(baseline_window) and baseline_window >= 0):
        raise ValueError(f"baseline_window must be a number of years, 0 or more, not {baseline_window}.")
    sources = {"visits": visits, "relapses": relapses, "patients": patients}
    tables = rename(
        {key: load(key, source) for key, source in sources.items() if source is not None}, columns
    )
    require(tables)
    time = time_column(tables)
    parsed = _parse_all(tables, time)
    timeline = place(parsed["visits"], parsed.get("relapses"), parsed["patients"], time)
    _check_arms(parsed["patients"], timeline)
    return _assemble(parsed, timeline, baseline_window, name or _file_name(visits))


def _file_name(visits: Source) -> str:
    return "cohort" if isinstance(visits, pd.DataFrame) else Path(visits).stem


def _parse_all(tables: Mapping[str, Table], time: str) -> dict[str, Parsed]:
    parsed = {key: parse(table, time) for key, table in tables.items()}
    problems = [problem for table in parsed.values() for problem in table.problems]
    for key, noun in (("visits", "visit"), ("patients", "patient")):
        if key in tables and tables[key].frame.empty:
            remedy = f"check that the right table was given; a cohort needs at least one {noun}."
            problems.append(tables[key].problem(None, f"there is no {noun} at all.", remedy))
    raise_problems(problems)
    if "patients" not in parsed:
        parsed["patients"] = parse(_patients_of(parsed["visits"]), time)
    return parsed


def _patients_of(visits: Parsed) -> Table:
    """Make the patients table of a cohort that has none, in an order that the rows of visits do not decide."""
    names = visits.frame["patient"].unique().tolist()
    in_order = sorted(names, key=lambda n: (0, int(n), n) if n.isdecimal() else (1, 0, n))
    frame = pd.DataFrame({"patient": in_order})
    return Table(
        name="patients",
        source="made from the patients of visits",
        row_word="row",
        rows=range(1, len(frame) + 1),
        frame=frame,
    )


def _check_arms(patients: Parsed, timeline: Timeline) -> None:
    if "arm" not in patients.frame:
        return
    arm = patients.frame["arm"]
    code = arm.cat.codes.to_numpy()
    visited = np.isin(np.arange(len(arm)), timeline.visits.owner)
    problems = []
    for k, name in enumerate(arm.cat.categories):
        if not (code == k).any():
            remedy = "drop the empty category by .cat.remove_unused_categories(), or add its patients."
            problems.append(patients.table.problem("arm", f"no patient is in arm '{name}'.", remedy))
        elif not visited[code == k].any():
            n = int((code == k).sum())
            what = f"no patient of arm '{name}' has a visit ({n} without)."
            remedy = "add their visits, or leave the arm out of patients."
            problems.append(patients.table.problem("arm", what, remedy))
    raise_problems(problems)


def _assemble(parsed: Mapping[str, Parsed], timeline: Timeline, baseline_window: float, name: str) -> Cohort:
    visits = _ordered(timeline.visits)
    relapses, merged = (
        (None, 0) if timeline.relapses is None else _merge_relapses(_ordered(timeline.relapses))
    )
    patients = _derive(parsed["patients"].frame, timeline, visits, relapses, baseline_window)
    notes = [note for table in parsed.values() for note in table.notes] + timeline.notes
    notes += _notes(timeline, visits, relapses, patients, merged, baseline_window)
    return Cohort(
        visits_table=visits.drop(columns="_owner"),
        relapses_table=None if relapses is None else relapses.drop(columns="_owner"),
        patients_table=patients,
        name=name,
        index_date=timeline.index_date,
        baseline_window=float(baseline_window),
        notes=tuple(notes),
    )


def _ordered(events: Events) -> pd.DataFrame:
    """Lay out the columns and sort by patient and time; ties by content, so that no row order matters."""
    frame = events.parsed.frame.assign(day=events.day, years=events.years, _owner=events.owner)
    standard = STANDARD_COLUMNS[events.parsed.table.name]
    first = [
        "patient",
        "day",
        "years",
        *(c for c in standard if c in frame and c not in ("patient", "day", "years")),
    ]
    frame = frame[first + [c for c in frame.columns if c not in first]]
    tied = frame.duplicated(["_owner", "day", "years"], keep=False)
    content = frame[tied].astype(str).agg("\x1f".join, axis=1) if tied.any() else ""
    sorted_frame = frame.assign(_content=content).fillna({"_content": ""})
    return sorted_frame.sort_values(["_owner", "day", "years", "_content"], ignore_index=True).drop(
        columns="_content"
    )


def _merge_relapses(relapses: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Keep onsets at least 30 days after the previous onset kept of the same patient."""
    kept = np.ones(len(relapses), dtype=bool)
    owner, day = relapses["_owner"].tolist(), relapses["day"].tolist()
    last = 0
    for i in range(1, len(kept)):
        if owner[i] == owner[last] and day[i] - day[last] < RELAPSE_GAP:
            kept[i] = False
        else:
            last = i
    return relapses[kept].reset_index(drop=True), int((~kept).sum())


def _derive(
    frame: pd.DataFrame,
    timeline: Timeline,
    visits: pd.DataFrame,
    relapses: pd.DataFrame | None,
    baseline_window: float,
) -> pd.DataFrame:
    """Add follow-up, baseline EDSS and earlier relapses to the patients."""
    arm = frame["arm"] if "arm" in frame else pd.Series(pd.Categorical(["all"] * len(frame), ordered=True))
    covariates = frame.drop(columns=["arm", "followup_start", "followup_end"], errors="ignore")
    patients = covariates.drop(columns="patient")
    patients.insert(0, "patient", frame["patient"])
    patients.insert(1, "arm", arm)
    patients.insert(2, "followup_start_day", timeline.followup_start)
    patients.insert(3, "followup_end_day", timeline.followup_end)
    patients["edss_baseline"] = _baseline(visits, len(frame), baseline_window)
    patients["relapses_year_before"] = _year_before(timeline, relapses)
    return patients


def _baseline(visits: pd.DataFrame, n_patients: int, window: float) -> NDArray[np.float64]:
    within = (visits["day"] <= 0) & (visits["day"] >= -math.floor(window * DAYS_PER_YEAR))
    usable = visits[within & visits["edss"].notna()]
    baseline = np.full(n_patients, np.nan)
    baseline[usable["_owner"].to_numpy()] = usable["edss"].to_numpy()  # in order of time: the last one stays
    return baseline


def _year_before(timeline: Timeline, relapses: pd.DataFrame | None) -> NDArray[np.float64]:
    n = len(timeline.followup_start)
    if relapses is None:
        return np.full(n, np.nan)
    year = round(DAYS_PER_YEAR)
    inside = relapses["day"].between(-year, -1).to_numpy()
    counts = np.bincount(relapses["_owner"].to_numpy()[inside], minlength=n).astype(np.float64)
    covered = (timeline.followup_start <= -year) & (timeline.followup_end >= -1)
    return np.where(covered, counts, np.nan)


def _notes(
    timeline: Timeline,
    visits: pd.DataFrame,
    relapses: pd.DataFrame | None,
    patients: pd.DataFrame,
    merged: int,
    window: float,
) -> list[str]:
    n = len(patients)
    notes = []
    for count, total, sentence in (
        (visits["edss"].isna().sum(), len(visits), "visit{s} {has} no EDSS."),
        (n - visits["_owner"].nunique(), n, "patient{s} {has} no visit; they stay in the cohort."),
        (
            patients["edss_baseline"].isna().sum(),
            n,
            f"patient{{s}} {{has}} no EDSS at or before time 0 within {window:g} years: no baseline.",
        ),
    ):
        notes += _counted(int(count), total, sentence)
    notes += _followup_notes(timeline, visits)
    if relapses is not None:
        notes += _relapse_notes(timeline, relapses, patients, merged)
    return notes


def _counted(count: int, total: int, sentence: str) -> list[str]:
    """Write "2 of 30 visits have …", with the verb after the count; nothing for none."""
    verb = {
        "s": "" if total == 1 else "s",
        "has": "has" if count == 1 else "have",
        "was": "was" if count == 1 else "were",
    }
    verb["is"] = "is" if count == 1 else "are"
    return [f"{count} of {total} {sentence.format_map(verb)}"] if count else []


def _followup_notes(timeline: Timeline, visits: pd.DataFrame) -> list[str]:
    n = len(timeline.start_derived)
    both = timeline.start_derived & timeline.end_derived
    notes = _counted(
        int(both.sum()),
        n,
        "patient{s} {was} followed, as no dates are given, from the first to the last visit.",
    )
    for derived, end in ((timeline.start_derived, "start"), (timeline.end_derived, "end")):
        sentence = f"patient{{s}} {{has}} no {end} of follow-up: the {'first' if end == 'start' else 'last'} visit was used."
        notes += _counted(int((derived & ~both).sum()), n, sentence)
    early = visits["day"].to_numpy() < timeline.followup_start[visits["_owner"].to_numpy()]
    return notes + _counted(
        int(early.sum()), len(visits), "visit{s} {is} before the start of follow-up; they are kept."
    )


def _relapse_notes(
    timeline: Timeline, relapses: pd.DataFrame, patients: pd.DataFrame, merged: int
) -> list[str]:
    owner, day = relapses["_owner"].to_numpy(), relapses["day"].to_numpy()
    outside = (day < timeline.followup_start[owner]) | (day > timeline.followup_end[owner])
    return [
        *_counted(
            merged,
            len(relapses) + merged,
            f"relapse onset{{s}} {{was}} less than {RELAPSE_GAP} days after another of the same patient and merged into it.",
        ),
        *_counted(
            int(outside.sum()),
            len(relapses),
            "relapse{s} {is} outside follow-up: kept, but not counted in rates.",
        ),
        *_counted(
            int(patients["relapses_year_before"].isna().sum()),
            len(patients),
            "patient{s} {was} not followed for the whole year before time 0: no relapses_year_before.",
        ),
    ]
