"""What a reader of events must know about them: notes with counts, and the warnings."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from trajectories.cohort import Cohort
from trajectories.edss import ChangeRule
from trajectories.endpoints.baselines import AfterRelapse, Fixed, Roving
from trajectories.endpoints.flat import Visits
from trajectories.endpoints.rules import DisabilityRule, short_name

__all__ = [
    "EndpointWarning",
    "PresetWarning",
    "RovingWarning",
    "SparseVisitsWarning",
    "notes_and_warnings",
]


class EndpointWarning(UserWarning):
    """The events of a rule need a second look; the subclasses say why."""


class RovingWarning(EndpointWarning):
    """The reference moves although the arms were randomised."""


class PresetWarning(EndpointWarning):
    """Patients sit at EDSS 5.5, where the presets disagree."""


class SparseVisitsWarning(EndpointWarning):
    """Visits are too sparse for most patients' changes to be confirmed."""


def notes_and_warnings(
    cohort: Cohort,
    rule: DisabilityRule,
    visits: Visits,
    events: pd.DataFrame,
    candidates: pd.DataFrame,
    patients: pd.DataFrame,
    randomised: bool | None,
) -> tuple[tuple[str, ...], list[EndpointWarning]]:
    """Write the notes, all of them with counts, and the warnings that repeat the most important."""
    problems = [
        problem
        for problem in (_roving(rule, randomised), _presets(rule, patients), _sparse(rule, patients))
        if problem is not None
    ]
    notes = [str(problem) for problem in problems]
    notes += _left_out(rule, visits, patients)
    notes += _arms(cohort, rule, randomised)
    notes += _relapses(cohort, rule, events)
    if "improvement" not in rule.kinds:
        notes.append("Improvement was not looked for: report it beside worsening.")
    unconfirmed = int((events["confirmed_day"].isna()).sum())
    if unconfirmed:
        notes.append(f"{unconfirmed} events at the last visit were accepted without confirmation.")
    return tuple(notes), problems


def _roving(rule: DisabilityRule, randomised: bool | None) -> EndpointWarning | None:
    if not (randomised and rule.moves):
        return None
    return RovingWarning(
        "The arms were randomised, but the reference moves with what happened afterwards: differences between "
        "the arms are no longer protected by randomisation. Use Fixed() for the comparison."
    )


def _presets(rule: DisabilityRule, patients: pd.DataFrame) -> EndpointWarning | None:
    if not isinstance(rule.worsening, ChangeRule):
        return None
    n = int((patients["baseline_value"] == 5.5).sum())
    if not n:
        return None
    return PresetWarning(
        f"{n} of {len(patients)} patients have a reference of EDSS 5.5, where presets disagree: TRIAL asks for "
        "+0.5, MSBASE and CARE_MS for +1.0. Report the preset; multiverse() shows what it changes."
    )


def _sparse(rule: DisabilityRule, patients: pd.DataFrame) -> EndpointWarning | None:
    followed = patients["baseline_day"].notna() & (patients["last_day"] > patients["baseline_day"])
    without = int((followed & patients["last_confirmable_day"].isna()).sum())
    if without <= followed.sum() / 2:
        return None
    before, after = rule.confirmation.tolerance
    late = "" if math.isinf(after) else f" to {max(rule.confirmation.days) + after:g}"
    return SparseVisitsWarning(
        f"Visits are too sparse or follow-up too short to confirm: {without} of {followed.sum()} patients with "
        f"visits after the reference have none that a visit {min(rule.confirmation.days) - before:g}{late} days later "
        "could confirm."
    )


def _left_out(rule: DisabilityRule, visits: Visits, patients: pd.DataFrame) -> list[str]:
    notes = []
    if visits.missing:
        notes.append(f"{visits.missing} visits without {rule.column} were left out.")
    for why, n in patients.loc[patients["last_confirmable_day"].isna(), "why_not"].value_counts().items():
        notes.append(f"{n} patients could have no event: {why}.")
    return notes


def _arms(cohort: Cohort, rule: DisabilityRule, randomised: bool | None) -> list[str]:
    if not rule.moves or randomised is not None or len(cohort.arms) < 2:
        return []
    return ["The reference moves: if the arms were randomised, say so (randomised=True), and use Fixed()."]


def _relapses(cohort: Cohort, rule: DisabilityRule, events: pd.DataFrame) -> list[str]:
    if cohort.relapses_table is None:
        return [
            "No relapse table was given: nothing could be labelled RAW or PIRA, no visit is near a relapse."
        ]
    notes = []
    if len(cohort.arms) > 1 and rule.pira.relapse_free and "worsening" in rule.kinds:
        notes.append(
            "The definition of PIRA asks for times without relapses: where a drug prevents relapses, more of its patients can "
            "have PIRA, which biases its effect on PIRA towards none; COMPLEMENTARY does so less."
        )
    published = rule.pira.baseline
    if published is not None and not _same_kind(published, rule.baseline):
        notes.append(
            f"{rule.pira.name} was published with another reference ({short_name(published)}) than this rule's "
            f"({short_name(rule.baseline)})."
        )
    between = _relapse_since_last_visit(cohort, events)
    if between:
        notes.append(
            f"{between} events labelled PIRA have a relapse onset between the last visit without the worsening "
            "and the event: visits are too far apart to say which came first."
        )
    return notes


def _same_kind(published: object, chosen: object) -> bool:
    if isinstance(published, AfterRelapse) and isinstance(chosen, AfterRelapse):
        return _same_kind(published.otherwise, chosen.otherwise)
    if isinstance(published, Roving) and isinstance(chosen, Roving):
        return published.after == chosen.after
    return isinstance(published, Fixed) and isinstance(chosen, Fixed)


def _relapse_since_last_visit(cohort: Cohort, events: pd.DataFrame) -> int:
    pira = events[events["label"] == "PIRA"]
    if cohort.relapses_table is None or not len(pira):
        return 0
    pairs = pira[["patient", "onset_after", "day"]].reset_index(names="_event").merge(
        cohort.relapses_table[["patient", "day"]].rename(columns={"day": "_onset"}), on="patient"
    )  # fmt: skip
    inside = (pairs["_onset"] > pairs["onset_after"]) & (pairs["_onset"] <= pairs["day"])
    return int(pairs.loc[np.asarray(inside, dtype=bool), "_event"].nunique())
