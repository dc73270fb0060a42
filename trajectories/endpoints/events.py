"""Find disability events by a rule, and say for everyone and everything that is no event why not."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import Cohort
from trajectories.endpoints.event_notes import notes_and_warnings
from trajectories.endpoints.event_text import report
from trajectories.endpoints.flat import Visits, options_of, scan_visits, usable_visits
from trajectories.endpoints.patient_table import patient_table
from trajectories.endpoints.rules import DisabilityRule
from trajectories.suppression import check_limit

if TYPE_CHECKING:
    from trajectories.endpoints.kernel import Scan

__all__ = ["DisabilityEvents", "disability_events"]

type IntArray = NDArray[np.int64]

_LABELS = np.array([None, "undefined", "RAW", "PIRA"], dtype=object)
_KINDS = np.array(["improvement", None, "worsening"], dtype=object)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DisabilityEvents:
    """The events that a rule finds in a cohort; made by `disability_events`.

    Parameters
    ----------
    events_table
        One row an event, sorted by patient and day: `patient`, `arm`, `kind` ("worsening" or "improvement"),
        `reference_day`, `reference_value` (what it is compared with), `day`, `value`, `confirmed_day`,
        `confirmed_value` (the first confirming visit; missing if accepted without), `onset_after`, `onset_by`
        (the change began after the last visit without it, by the first with it; the event is a later one where
        that visit could not be confirmed), `label` ("RAW", "PIRA" or
        "undefined"; missing for improvement, and without a relapse table), `sustained` (whether it held at all
        remaining visits), `sustained_days` (from the event to the last visit at which it held),
        `pira_confirmed_day` (the confirming visit that makes it PIRA). With several confirmation times a column
        for each, such as `confirmed_day_12_weeks`. Days from the index date, values in units of the scale.
    not_confirmed_table
        One row a candidate that is no event: `patient`, `arm`, `kind`, `reference_day`, `reference_value`,
        `day`, `value`, `reason`.
    patients_table
        One row a patient of the cohort: `patient`, `arm`, `n_visits` (with a value), `baseline_day`,
        `baseline_value`, `last_day`, `last_confirmable_day` (the last visit at which a change could still have
        been confirmed, where the time at risk ends; missing if there is none), `eligible_worsening`,
        `eligible_improvement`, `why_not` (text, empty if eligible for both).
    rule
        The rule.
    cohort_name, simulated
        Of the cohort.
    randomised
        What the caller said about the arms; None if nothing.
    notes
        Sentences with counts on what the reader must know.
    """

    events_table: pd.DataFrame = field(repr=False)
    not_confirmed_table: pd.DataFrame = field(repr=False)
    patients_table: pd.DataFrame = field(repr=False)
    rule: DisabilityRule
    cohort_name: str
    simulated: bool = False
    randomised: bool | None = None
    notes: tuple[str, ...] = ()
    suppress_below: int | None = None

    @property
    def events(self) -> pd.DataFrame:
        """One row an event; a copy."""
        return self.events_table.copy()

    @property
    def not_confirmed(self) -> pd.DataFrame:
        """One row a candidate that did not become an event, with the reason; a copy."""
        return self.not_confirmed_table.copy()

    @property
    def patients(self) -> pd.DataFrame:
        """One row a patient; a copy."""
        return self.patients_table.copy()

    def summary(self) -> pd.DataFrame:
        """Count by arm and kind.

        Returns
        -------
        A frame with one row an arm and kind: `arm`, `kind`, `patients` (in the cohort), `eligible` (who could
        have had a confirmed event), `with_event` (patients), `events`, `RAW`, `PIRA`, `undefined` (events;
        missing for improvement and without a relapse table), `not_confirmed` (candidates).
        """
        return _summary(self)

    def __str__(self) -> str:
        return report(self.summary(), self)

    def __repr__(self) -> str:
        return str(self)


def disability_events(
    cohort: Cohort,
    rule: DisabilityRule | None = None,
    *,
    randomised: bool | None = None,
    suppress_below: int | None = None,
) -> DisabilityEvents:
    """Find the disability events of every patient by a rule: confirmed worsening and improvement, RAW and PIRA.

    A visit later than the reference is a candidate if it differs from the reference's value by the threshold
    there; it becomes an event if the change is confirmed (`Confirmed`). Each worsening is RAW, PIRA or undefined
    by the relapses around it. Everyone's time at risk ends at the last visit that could still have been
    confirmed, not at the last visit: where follow-up differs between arms, the last months of which nothing can
    be confirmed would count as time without events.

    The first call after installation compiles the search, which takes about ten seconds; the result is kept.

    Parameters
    ----------
    cohort
        The patients; without a relapse table nothing is labelled.
    rule
        The rule; None: `DisabilityRule()`.
    randomised
        Whether the arms were randomised: then a reference that moves gets a warning.
    suppress_below
        Counts below this are not printed (the frames stay complete); None prints all.

    Returns
    -------
    A `DisabilityEvents` with the frames `events`, `not_confirmed` and `patients`.

    Raises
    ------
    ValueError
        If the visits lack a column that the rule reads.

    Warns
    -----
    RovingWarning
        If the reference moves although the arms were randomised.
    PresetWarning
        If patients have a reference of 5.5, where the presets disagree.
    SparseVisitsWarning
        If most patients have no visit that could be confirmed.

    References
    ----------
    Montobbio et al. 2024, doi 10.1177/13524585241243157; Müller et al. 2023, doi 10.1001/jamaneurol.2023.3331.

    Examples
    --------
    >>> import pandas as pd
    >>> from trajectories.reading import read_cohort
    >>> visits = pd.DataFrame({"patient": "a", "day": [0, 90, 180, 270], "edss": [2.0, 3.0, 3.5, 3.5]})
    >>> relapses = pd.DataFrame({"patient": ["a"], "day": [80]})
    >>> found = disability_events(read_cohort(visits, relapses=relapses))
    >>> found.events[["kind", "day", "value", "confirmed_day", "label"]].values.tolist()
    [['worsening', 90, 3.0, 270, 'RAW']]
    """
    rule = DisabilityRule() if rule is None else rule
    check_limit(suppress_below)
    visits = usable_visits(cohort, rule.worsening, rule.column, rule.confirmation.scheduled_only)
    found = scan_visits(cohort, rule, visits, options_of(rule, cohort.baseline_window))
    events = event_table(cohort, rule, visits, found)
    patients = patient_table(cohort, rule, visits, found)
    candidates = _candidate_table(cohort, rule, visits, found)
    if rule.events == "first":
        first = events.drop_duplicates(["patient", "kind"])
        candidates = _before(candidates, first)
        events = first.reset_index(drop=True)
    notes, problems = notes_and_warnings(cohort, rule, visits, events, candidates, patients, randomised)
    for problem in problems:
        # points at the script, not at this package
        warnings.warn(problem, skip_file_prefixes=(str(Path(__file__).parents[1]),))
    return DisabilityEvents(
        events_table=events,
        not_confirmed_table=candidates,
        patients_table=patients,
        rule=rule,
        cohort_name=cohort.name,
        simulated=cohort.simulated,
        randomised=randomised,
        notes=notes,
        suppress_below=suppress_below,
    )


def event_table(cohort: Cohort, rule: DisabilityRule, visits: Visits, found: Scan) -> pd.DataFrame:
    """Write the events of the kinds asked for as a frame."""
    wanted = [1 if kind == "worsening" else -1 for kind in rule.kinds]
    at = np.flatnonzero(np.isin(found.kind, wanted))
    confirmed = found.confirmed[at]
    frame = _who(cohort, visits, at, found.kind[at])
    frame["reference_day"] = _days(visits, found.reference[at])
    frame["reference_value"] = visits.value[found.reference_value[at]]
    frame["day"] = _days(visits, at)
    frame["value"] = visits.value[at]
    frame["confirmed_day"] = _days(visits, confirmed)
    frame["confirmed_value"] = _values(visits, confirmed)
    frame["onset_after"] = _days(visits, found.before[at])
    # The change was there from the visit after the last one without it; `day` is later where that visit could not be confirmed.
    frame["onset_by"] = _days(visits, found.before[at] + 1)
    label = _LABELS[found.label[at]] if cohort.relapses_table is not None else None
    frame["label"] = pd.Series(label, index=frame.index, dtype="str")
    last = visits.offsets[visits.patient[at] + 1] - 1
    frame["sustained"] = found.sustained[at] == last
    frame["sustained_days"] = (visits.day[found.sustained[at]] - visits.day[at]).astype(np.int64)
    frame["pira_confirmed_day"] = _days(visits, found.confirmed_pira[at])
    if cohort.relapses_table is None:
        frame["pira_confirmed_day"] = pd.array([pd.NA] * len(frame), dtype="Int64")
    if isinstance(rule.confirmation.weeks, tuple) and len(rule.confirmation.weeks) > 1:
        for w, weeks in enumerate(rule.confirmation.weeks):
            frame[f"confirmed_day_{weeks:g}_weeks"] = _days(visits, found.confirmed_in[at, w])
    return frame


def _candidate_table(cohort: Cohort, rule: DisabilityRule, visits: Visits, found: Scan) -> pd.DataFrame:
    from trajectories.endpoints.reasons import reasons

    wanted = [1 if kind == "worsening" else -1 for kind in rule.kinds]
    candidate = np.isin(found.reason_kind, wanted) & (found.reason > 0) & (found.kind != found.reason_kind)
    at = np.flatnonzero(candidate)
    frame = _who(cohort, visits, at, found.reason_kind[at])
    frame["reference_day"] = _days(visits, found.reason_reference[at])
    frame["reference_value"] = visits.value[found.reason_value[at]]
    frame["day"] = _days(visits, at)
    frame["value"] = visits.value[at]
    frame["reason"] = pd.Series(reasons(rule)[found.reason[at]], index=frame.index, dtype="str")
    return frame


def _who(cohort: Cohort, visits: Visits, at: IntArray, kind: NDArray[np.int8]) -> pd.DataFrame:
    who = cohort.patients_table[["patient", "arm"]].iloc[visits.patient[at]].reset_index(drop=True)
    who["kind"] = pd.Series(_KINDS[kind + 1], index=who.index, dtype="str")
    return who


def _days(visits: Visits, at: IntArray) -> pd.Series:
    day = np.where(at >= 0, visits.day[at], 0).astype(np.int64) if len(visits.day) else np.zeros(len(at))
    return pd.Series(pd.arrays.IntegerArray(day.astype(np.int64), at < 0))


def _values(visits: Visits, at: IntArray) -> NDArray[np.float64]:
    return np.where(at >= 0, visits.value[at], np.nan) if len(visits.value) else np.zeros(len(at))


def _before(candidates: pd.DataFrame, first: pd.DataFrame) -> pd.DataFrame:
    """Keep the candidates before the first event of their kind: with it the search ended."""
    limit = candidates.merge(
        first[["patient", "kind", "day"]].rename(columns={"day": "_event"}),
        on=["patient", "kind"],
        how="left",
    )["_event"]
    later = (candidates["day"].to_numpy() > limit.fillna(np.iinfo(np.int64).max).to_numpy()).astype(bool)
    return candidates[~later].reset_index(drop=True)


def _summary(found: DisabilityEvents) -> pd.DataFrame:
    rows = []
    for arm, patients in found.patients_table.groupby("arm", observed=False, sort=False):
        for kind in found.rule.kinds:
            events = found.events_table[
                (found.events_table["arm"] == arm) & (found.events_table["kind"] == kind)
            ]
            candidates = found.not_confirmed_table
            labels = events["label"].value_counts()
            labelled = kind == "worsening" and not events["label"].isna().any()
            rows.append(
                {
                    "arm": arm,
                    "kind": kind,
                    "patients": len(patients),
                    "eligible": int(patients[f"eligible_{kind}"].sum()),
                    "with_event": events["patient"].nunique(),
                    "events": len(events),
                    **{
                        label: int(labels.get(label, 0)) if labelled else None
                        for label in ("RAW", "PIRA", "undefined")
                    },
                    "not_confirmed": int(((candidates["arm"] == arm) & (candidates["kind"] == kind)).sum()),
                }
            )
    frame = pd.DataFrame(rows)
    arms = found.patients_table["arm"].cat
    frame["arm"] = pd.Categorical(frame["arm"], categories=arms.categories, ordered=arms.ordered)
    return frame.astype(dict.fromkeys(("RAW", "PIRA", "undefined"), "Int64"))
