"""From tables to a cohort: read, check, place in time, derive, note what was decided."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from trajectories.cohort import Cohort
from trajectories.reading.derived import derive
from trajectories.reading.files import load
from trajectories.reading.names import rename, require, time_column
from trajectories.reading.notes import notes_on
from trajectories.reading.timeline import Timeline, place
from trajectories.reading.values import Parsed, parse
from trajectories.tables import Table, raise_problems

__all__ = ["read_cohort"]

type Source = str | os.PathLike[str] | pd.DataFrame


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
    Dates are calendar dates: clock times and time zones are set aside. Without `start` time 0 is the
    patient's first visit (dates), or the zero of `day` or `years`. Without `followup_start` or
    `followup_end` a patient was followed from the first to the last visit. An onset less than 30 days after
    the previous onset that was kept belongs to that relapse: onsets on days 0, 20 and 40 are two relapses, on
    days 0 and 40.

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
    derived = derive(parsed["patients"], timeline, baseline_window)
    decisions = [note for table in parsed.values() for note in table.notes] + timeline.notes
    return Cohort(
        visits_table=derived.visits,
        relapses_table=derived.relapses,
        patients_table=derived.patients,
        name=name or _file_name(visits),
        index_date=timeline.index_date,
        baseline_window=float(baseline_window),
        notes=tuple(decisions + notes_on(derived, timeline, baseline_window)),
    )


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
    """Make the patients table of a cohort that has none; the order of the rows of visits does not matter."""
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
