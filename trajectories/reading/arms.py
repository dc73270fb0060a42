"""The arm of each patient: as given, otherwise the drug that was started at time 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.reading.columns import to_text
from trajectories.reading.timeline import Timeline
from trajectories.reading.treatments import Courses, different_drugs
from trajectories.reading.values import Parsed
from trajectories.reading.wording import counted
from trajectories.tables import raise_problems

__all__ = ["UNTREATED", "check_arms", "with_arms"]

type BoolArray = NDArray[np.bool_]
type IntArray = NDArray[np.int64]

UNTREATED = "untreated"
"""The arm of patients without a row in treatments."""


def with_arms(patients: Parsed, timeline: Timeline) -> Parsed:
    """Add the arms that treatments tell to a patients table that has none.

    The arm is the drug started at time 0; where none was, the first drug ever started, if that is clear.

    Raises
    ------
    CohortError
        If a patient started several drugs on that day, or one drug before time 0 and another drug later or
        earlier, so that the arm cannot be told.
    """
    courses = timeline.courses
    if "arm" in patients.frame or courses is None:
        return patients
    n = len(patients.frame)
    owner, day = courses.starts.owner, courses.starts.day
    first = np.full(n, np.iinfo(np.int64).max)
    np.minimum.at(first, owner, day)
    treated, at_zero = np.isin(np.arange(n), owner), np.isin(np.arange(n), owner[day == 0])
    decides = day == np.where(at_zero, 0, first)[owner]
    unclear = (first < 0) & ~at_zero & (different_drugs(courses, n) > 1)
    several = (different_drugs(courses, n, decides) > 1) & ~unclear
    raise_problems(_untold(patients, courses, unclear, several))
    arm = np.full(n, UNTREATED, dtype=object)
    arm[owner[decides]] = courses.drug.to_numpy(dtype=object)[decides]
    names = pd.Categorical(arm, categories=pd.Index(_order(courses, arm), dtype="str"), ordered=True)
    notes = _notes(timeline, treated, at_zero, first)
    return replace(patients, frame=patients.frame.assign(arm=names), notes=patients.notes + notes)


def _notes(timeline: Timeline, treated: BoolArray, at_zero: BoolArray, first: IntArray) -> list[str]:
    if not treated.any():
        return [f"There is no column 'arm' in patients and nobody has a treatment: arm '{UNTREATED}'."]
    when = "at time 0" if timeline.zero_from == "treatments" else "at or after time 0"
    earlier, before = (
        "before time 0, which do not count.",
        "the only drug before time 0, and none on its day.",
    )
    later = "the first drug after time 0: time until then, when the arm was not known, is immortal time."
    return [
        f"There is no column 'arm' in patients: the arm is the drug that was started first, {when}.",
        *counted(~treated, "patient", f"{{has}} no treatment: arm '{UNTREATED}'."),
        *counted(at_zero & (first < 0), "patient", f"{{has}} treatments {earlier}"),
        *counted(treated & ~at_zero & (first < 0), "patient", f"started {before}"),
        *counted(treated & (first > 0), "patient", f"started {later}"),
    ]


def _untold(patients: Parsed, courses: Courses, unclear: BoolArray, several: BoolArray) -> list[str]:
    remedy = "give the arm of every patient in the column 'arm' of patients"
    problems = []
    if unclear.any():
        what = (
            "patient{s} {has} different drugs, one of them started before time 0, and none that was started "
            "on the day of time 0: the arm cannot be told from treatments."
        )
        problems.append(
            patients.table.problem(
                None, what, remedy + ", or make time 0 the day on which a drug was started.", unclear
            )
        )
    if several.any():
        what = "patient{s} {has} several drugs started on one day: the arm cannot be told from treatments."
        problems.append(patients.table.problem(None, what, remedy + ".", several))
    return problems


def _order(courses: Courses, arm: NDArray[np.object_]) -> list[str]:
    """Order the arms: as an ordered Categorical of drugs has them, otherwise as patients have them."""
    drugs = courses.starts.parsed.table.frame["drug"].dtype
    appearing = list(dict.fromkeys(arm.tolist()))
    if not (isinstance(drugs, pd.CategoricalDtype) and drugs.ordered):
        return appearing
    declared = [name for name in to_text(pd.Series(drugs.categories)) if name in appearing]
    return list(dict.fromkeys(declared + appearing))


def check_arms(patients: Parsed, timeline: Timeline) -> None:
    """Check that every arm has a patient with a visit."""
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
            remedy = "add their visits, or leave the patients of this arm out of all tables."
            problems.append(patients.table.problem("arm", what, remedy))
    raise_problems(problems)
