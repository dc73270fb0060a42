"""From tables to a cohort: read, check, place in time, derive, note what was decided."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from trajectories.cohort import Cohort
from trajectories.reading.arms import check_arms, with_arms
from trajectories.reading.derived import derive
from trajectories.reading.files import load
from trajectories.reading.names import rename, require, time_column
from trajectories.reading.notes import notes_on
from trajectories.reading.scans import volumes_without_lesions
from trajectories.reading.timeline import place
from trajectories.reading.treatments import ends_too_early
from trajectories.reading.values import Parsed, parse
from trajectories.tables import Table, raise_problems

__all__ = ["read_cohort"]

type Source = str | os.PathLike[str] | pd.DataFrame


def read_cohort(
    visits: Source,
    *,
    relapses: Source | None = None,
    patients: Source | None = None,
    treatments: Source | None = None,
    mri: Source | None = None,
    adverse_events: Source | None = None,
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
        covariates. Without it the patients are those with a visit. Without `arm` the arms come from
        treatments (see Notes), and without treatments all are in one arm, "all".
    treatments
        One row a drug of a patient, or a course of it: `patient`, `drug`, `start`, optional `stop` (the last
        day; empty while it goes on), counted as in visits (dates, days if visits has `day`, otherwise years);
        other columns are kept. An empty table if nobody was treated.
    mri
        One row a scan: `patient`, the time, and at least one of `gd_count` (gadolinium-enhancing lesions),
        `gd_volume` (their volume, in mm³ or mL or whatever unit all rows have: it is not converted) and
        `new_t2` (new or enlarging T2 lesions since the scan before). All three may be missing; other columns
        are kept.
    adverse_events
        One row an adverse event: `patient`, the time, `term` (what happened), optional `serious` (true or
        false, for every event); other columns are kept. An empty table if nobody had one.
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

    *Time 0 with treatments.* A column `start` of patients always counts. Without one (or if it is empty),
    dates are counted from each patient's first start in treatments, earlier drugs included; then every patient
    needs a treatment, unless nobody has one. `day` and `years` keep their zero, which treatments share.

    *Arms from treatments.* A column `arm` of patients always counts. Without one the arm is the drug that was
    started on the day of time 0, whatever was taken before. Without such a drug it is the first drug that was
    started after time 0, or the only drug if that was started before it; both are counted in the notes. It is
    an error if this leaves a choice: several drugs started on that day, or several drugs, one of them before
    time 0 and none on its day. Patients without a treatment are in the arm "untreated". Arms come in the order
    of the patients, or in that of `drug` if it is an ordered Categorical.

    *Treatments.* One drug cannot be started twice on one day. Courses that overlap are kept, and patients with
    different drugs at the same time are counted: a drug that was replaced needs its `stop`. A drug that starts
    on the last day of another follows it. Nothing ends a treatment but its `stop`, follow-up neither.

    *Scans.* One a day for each patient. A volume above 0 without an enhancing lesion (`gd_count` 0) is an
    error; lesions of volume 0, too small for the unit, are kept and counted. Empty values were not read; a scan
    without any value is kept, too.

    *After and before follow-up.* Relapses, scans and adverse events after `followup_end` are errors, as visits
    are; those before follow-up, or outside one that was taken from the visits, are kept and counted.

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

    The other tables; without `start` and `arm` in patients both come from treatments:

    >>> cohort = read_cohort(
    ...     visits.rename(columns={"id": "patient", "EDSS": "edss"}),
    ...     treatments=pd.DataFrame({
    ...         "patient": [7, 7, 8],
    ...         "drug": ["alemtuzumab", "alemtuzumab", "ocrelizumab"],
    ...         "start": ["2020-01-15", "2021-01-15", "2020-03-02"],
    ...         "stop": ["2020-01-19", "2021-01-17", None],
    ...     }),
    ...     mri=pd.DataFrame({"patient": [8], "date": ["2020-02-20"], "gd_count": [2]}),
    ...     adverse_events=pd.DataFrame(
    ...         {"patient": [7], "date": ["2021-01-12"], "term": ["thyroiditis"], "serious": ["no"]}
    ...     ),
    ... )
    >>> cohort.index_date
    "Time 0 is the start of each patient's first treatment (column 'start' of treatments)."
    >>> cohort.arms
    ('alemtuzumab', 'ocrelizumab')
    >>> cohort.treatments[["patient", "drug", "start_day", "stop_day"]]
      patient         drug  start_day  stop_day
    0       7  alemtuzumab          0       4.0
    1       7  alemtuzumab        366     368.0
    2       8  ocrelizumab          0       NaN
    >>> cohort.mri["day"].tolist(), cohort.adverse_events["day"].tolist()
    ([-11], [363])
    """
    if not (math.isfinite(baseline_window) and baseline_window >= 0):
        raise ValueError(f"baseline_window must be a number of years, 0 or more, not {baseline_window}.")
    sources = {
        "visits": visits,
        "relapses": relapses,
        "patients": patients,
        "treatments": treatments,
        "mri": mri,
        "adverse_events": adverse_events,
    }
    tables = rename(
        {key: load(key, source) for key, source in sources.items() if source is not None}, columns
    )
    require(tables)
    time = time_column(tables)
    parsed = _parse_all(tables, time)
    people = parsed.pop("patients")
    timeline = place(parsed, people, time)
    armed = with_arms(people, timeline)
    check_arms(armed, timeline)
    derived = derive(armed, timeline, baseline_window)
    decisions = [note for table in [*parsed.values(), armed] for note in table.notes] + timeline.notes
    remarks = notes_on(derived, timeline, baseline_window, arms_given=armed is people)
    return Cohort(
        visits_table=derived.visits,
        relapses_table=derived.relapses,
        patients_table=derived.patients,
        treatments_table=derived.treatments,
        mri_table=derived.mri,
        adverse_events_table=derived.adverse_events,
        name=name or _file_name(visits),
        index_date=timeline.index_date,
        baseline_window=float(baseline_window),
        notes=tuple(decisions + remarks),
    )


def _file_name(visits: Source) -> str:
    return "cohort" if isinstance(visits, pd.DataFrame) else Path(visits).stem


def _parse_all(tables: Mapping[str, Table], time: str) -> dict[str, Parsed]:
    parsed = {key: parse(table, time) for key, table in tables.items()}
    problems = [problem for table in parsed.values() for problem in table.problems]
    if "treatments" in parsed:
        problems += ends_too_early(parsed["treatments"])
    if "mri" in parsed:
        problems += volumes_without_lesions(parsed["mri"])
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
        row_word="patient",
        rows=in_order,
        frame=frame,
    )
