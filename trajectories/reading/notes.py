"""What a cohort has to say about itself: what was merged, missing, left out or derived, with counts."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.reading.derived import RELAPSE_GAP, Derived
from trajectories.reading.events import Events
from trajectories.reading.scans import notes_on_scans
from trajectories.reading.timeline import Timeline
from trajectories.reading.treatments import Courses, at_the_same_time, different_drugs
from trajectories.reading.wording import counted

__all__ = ["notes_on"]


def notes_on(
    derived: Derived, timeline: Timeline, baseline_window: float, *, arms_given: bool = True
) -> list[str]:
    """Write one sentence for each thing that a reader of the results should know.

    Parameter `arms_given` says whether the arms were not taken from treatments, which has notes of its own.
    """
    visits, patients = derived.visits, derived.patients
    window = "1 year" if baseline_window == 1 else f"{baseline_window:g} years"
    return [
        *counted(visits["edss"].isna(), "visit", "{has} no EDSS."),
        *counted(
            ~np.isin(np.arange(len(patients)), derived.visit_owner),
            "patient",
            "{has} no visit; they stay in the cohort.",
        ),
        *counted(
            patients["edss_baseline"].isna(),
            "patient",
            f"{{has}} no EDSS at or before time 0 within {window}: no baseline.",
        ),
        *_on_followup(derived, timeline),
        *_on_relapses(derived, timeline),
        *([] if timeline.courses is None else _on_treatments(timeline.courses, timeline, arms_given)),
        *([] if timeline.mri is None else _on_scans(timeline.mri, timeline)),
        *([] if timeline.adverse_events is None else _on_adverse_events(timeline.adverse_events, timeline)),
    ]


def _on_followup(derived: Derived, timeline: Timeline) -> list[str]:
    start, end = timeline.start_derived, timeline.end_derived
    early = derived.visits["day"].to_numpy() < timeline.followup_start[derived.visit_owner]
    return [
        *counted(
            start & end,
            "patient",
            "{has} no dates of follow-up: it was taken from the first to the last visit.",
        ),
        *counted(start & ~end, "patient", "{has} no start of follow-up: the first visit was used."),
        *counted(end & ~start, "patient", "{has} no end of follow-up: the last visit was used."),
        *counted(early, "visit", "{is} before the start of follow-up; they are kept."),
    ]


def _on_relapses(derived: Derived, timeline: Timeline) -> list[str]:
    if derived.relapses is None:
        return ["There is no relapse table: relapses and their rates cannot be computed."]
    owner, day = derived.relapse_owner, derived.relapses["day"].to_numpy()
    outside = (day < timeline.followup_start[owner]) | (day > timeline.followup_end[owner])
    onsets = len(day) + derived.merged
    return [
        *counted(
            np.arange(onsets) < derived.merged,
            "relapse onset",
            f"{{was}} less than {RELAPSE_GAP} days after another of the same patient and merged into it.",
        ),
        *counted(
            outside,
            "relapse",
            "{is} outside follow-up: kept, but not counted in rates. (If relapses were recorded before the "
            "first visit, give followup_start in patients.)",
        ),
        *counted(
            derived.patients["relapses_year_before"].isna(),
            "patient",
            "{was} not followed for the whole year before time 0: no relapses_year_before.",
        ),
    ]


def _on_treatments(courses: Courses, timeline: Timeline, arms_given: bool) -> list[str]:
    owner, n = courses.starts.owner, len(timeline.followup_start)
    treated, at_zero = np.isin(np.arange(n), owner), np.isin(np.arange(n), owner[courses.starts.day == 0])
    together = at_the_same_time(courses, n)
    only_open = together & ~at_the_same_time(courses, n, open_ended=False)
    beyond = courses.starts.day > timeline.followup_end[owner]
    notes = []
    if timeline.zero_from == "treatments":
        notes += counted(
            different_drugs(courses, n) > 1,
            "patient",
            "{has} several drugs: time 0 is the start of the first. (If a later one is under study, give its "
            "start in the column 'start' of patients.)",
        )
    if arms_given:
        notes += counted(~treated, "patient", "{has} no treatment.")
        notes += counted(
            treated & ~at_zero, "patient", "{has} treatments, but none that was started on the day of time 0."
        )
    if "stop" in courses.starts.parsed.frame:
        notes += counted(np.isnan(courses.stop_day), "course", "of a drug {has} no stop: taken as going on.")
    elif len(owner):
        notes.append("There is no column 'stop' in treatments: all courses are taken as going on.")
    if alike := _spelt_alike(courses.drug):
        notes.append(f"Drugs that differ only in capitals or spaces are taken as different: {alike}.")
    openly = f" ({int(only_open.sum()):,} of them only because a course without a stop is taken as going on)"
    return [
        *notes,
        *counted(
            together,
            "patient",
            f"{{has}} different drugs at the same time{openly if only_open.any() else ''}.",
        ),
        *counted(beyond, "course", "of a drug {is} started after the end of follow-up; they are kept."),
    ]


def _spelt_alike(drug: pd.Series) -> str:
    names = pd.Series(sorted(drug.unique()), dtype="str")
    folded = names.str.casefold().str.replace(r"\s", "", regex=True)
    return ", ".join(f"'{name}'" for name in names[folded.duplicated(keep=False)])


def _on_scans(scans: Events, timeline: Timeline) -> list[str]:
    outside = counted(_outside(scans, timeline), "scan", "{is} outside follow-up; they are kept.")
    return notes_on_scans(scans.parsed) + outside


def _on_adverse_events(events: Events, timeline: Timeline) -> list[str]:
    frame = events.parsed.frame
    keys = pd.DataFrame({"owner": events.owner, "day": events.day, "term": frame["term"]})
    unsaid = "There is no column 'serious' in adverse_events: serious ones cannot be told from others."
    return [
        *([] if "serious" in frame else [unsaid]),
        *counted(
            keys.duplicated(),
            "adverse event",
            "{has} the patient, day and term of another; all are kept.",
        ),
        *counted(
            _outside(events, timeline),
            "adverse event",
            "{is} outside follow-up: kept, but no person-time was observed there. (If adverse events were "
            "recorded before the first or after the last visit, give followup_start and followup_end in "
            "patients.)",
        ),
    ]


def _outside(events: Events, timeline: Timeline) -> NDArray[np.bool_]:
    start, end = timeline.followup_start[events.owner], timeline.followup_end[events.owner]
    return (events.day < start) | (events.day > end)
