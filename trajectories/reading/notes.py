"""What a cohort has to say about itself: what was merged, missing, left out or derived, with counts."""

from __future__ import annotations

import numpy as np

from trajectories.reading.derived import RELAPSE_GAP, Derived
from trajectories.reading.timeline import Timeline

__all__ = ["notes_on"]


def notes_on(derived: Derived, timeline: Timeline, baseline_window: float) -> list[str]:
    """Write one sentence for each thing that a reader of the results should know."""
    visits, patients = derived.visits, derived.patients
    window = "1 year" if baseline_window == 1 else f"{baseline_window:g} years"
    return [
        *_counted(visits["edss"].isna(), "visit", "{has} no EDSS."),
        *_counted(
            ~np.isin(np.arange(len(patients)), derived.visit_owner),
            "patient",
            "{has} no visit; they stay in the cohort.",
        ),
        *_counted(
            patients["edss_baseline"].isna(),
            "patient",
            f"{{has}} no EDSS at or before time 0 within {window}: no baseline.",
        ),
        *_on_followup(derived, timeline),
        *_on_relapses(derived, timeline),
    ]


def _counted(which: object, noun: str, sentence: str) -> list[str]:
    """Write "2 of 30 visits have …", the verb after the count; nothing where none is concerned."""
    flags = np.asarray(which, dtype=bool)
    count, total = int(flags.sum()), len(flags)
    if count == 0:
        return []
    verbs = (
        {"has": "has", "was": "was", "is": "is"}
        if count == 1
        else {"has": "have", "was": "were", "is": "are"}
    )
    return [f"{count:,} of {total:,} {noun}{'' if total == 1 else 's'} {sentence.format_map(verbs)}"]


def _on_followup(derived: Derived, timeline: Timeline) -> list[str]:
    start, end = timeline.start_derived, timeline.end_derived
    early = derived.visits["day"].to_numpy() < timeline.followup_start[derived.visit_owner]
    return [
        *_counted(
            start & end,
            "patient",
            "{has} no dates of follow-up: it was taken from the first to the last visit.",
        ),
        *_counted(start & ~end, "patient", "{has} no start of follow-up: the first visit was used."),
        *_counted(end & ~start, "patient", "{has} no end of follow-up: the last visit was used."),
        *_counted(early, "visit", "{is} before the start of follow-up; they are kept."),
    ]


def _on_relapses(derived: Derived, timeline: Timeline) -> list[str]:
    if derived.relapses is None:
        return ["There is no relapse table: relapses and their rates cannot be computed."]
    owner, day = derived.relapse_owner, derived.relapses["day"].to_numpy()
    outside = (day < timeline.followup_start[owner]) | (day > timeline.followup_end[owner])
    onsets = len(day) + derived.merged
    return [
        *_counted(
            np.arange(onsets) < derived.merged,
            "relapse onset",
            f"{{was}} less than {RELAPSE_GAP} days after another of the same patient and merged into it.",
        ),
        *_counted(
            outside,
            "relapse",
            "{is} outside follow-up: kept, but not counted in rates. (If relapses were recorded before the "
            "first visit, give followup_start in patients.)",
        ),
        *_counted(
            derived.patients["relapses_year_before"].isna(),
            "patient",
            "{was} not followed for the whole year before time 0: no relapses_year_before.",
        ),
    ]
