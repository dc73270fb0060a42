"""From events and patients to one time a patient: who is at risk from when to when, and what ended it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from trajectories.endpoints.survival_steps import Floats

__all__ = ["CENSORED", "LABELS", "EventTime", "Events", "Times", "times_to"]

type EventTime = Literal["midpoint", "visit"]

DAYS_A_YEAR = 365.25
CENSORED = "censored"
LABELS = ("RAW", "PIRA", "undefined")
_KINDS = ("worsening", "improvement")
_EVENT_COLUMNS = ("patient", "kind", "day", "onset_after", "onset_by", "label")
_PATIENT_COLUMNS = ("patient", "arm", "baseline_day", "last_day", "last_confirmable_day")


class Events(Protocol):
    """What is needed of `DisabilityEvents`: its frames `events` and `patients`, its rule, and the name of its cohort."""

    @property
    def events(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def patients(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def rule(self) -> Any: ...  # noqa: D102
    @property
    def cohort_name(self) -> str: ...  # noqa: D102
    @property
    def simulated(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True, eq=False)
class Times:
    """One row a patient at risk, the patients by what became of them, the causes in order, and notes."""

    table: pd.DataFrame
    counts: pd.DataFrame
    causes: tuple[str, ...]
    notes: tuple[str, ...]


def times_to(
    events: Events,
    kind: str,
    label: str | None,
    competing: str | Sequence[str] | pd.DataFrame | None,
    event_time: EventTime,
) -> Times:
    """Form the times: from the baseline visit to the first event or the last visit that could still have been confirmed."""
    if event_time not in ("midpoint", "visit"):
        raise ValueError(f"event_time must be 'midpoint' or 'visit', not {event_time!r}.")
    found, patients = _checked(events)
    found = found.assign(
        at=found["day"] if event_time == "visit" else (found["onset_after"] + found["onset_by"]) / 2
    )
    eligible = _eligible(patients, kind)
    others = _others(found, patients, kind, label, competing)
    _check_kind(events.rule, (kind, *others))
    _check_label(events.rule, found, kind, label, others)
    first = _first(_chosen(found, kind, label), patients)
    start, last, end = (
        _days(patients, column) for column in ("baseline_day", "last_day", "last_confirmable_day")
    )
    ready = ~np.isnan(start) & (end > start)
    at_risk = eligible & ready
    had = at_risk & first["day"].notna().to_numpy()
    _check_events(first[had], start[had], end[had])
    day = np.where(had, _column(first, "at"), np.nan)

    other_day, other = _earliest(others, len(patients))
    closing = (other_day > end) & (other_day >= last)  # nobody was seen again: it ends the follow-up itself
    counted = (other_day > start) & ((other_day <= end) | closing) & ~(day <= other_day)
    seen = ~np.isnan(day) & ~counted
    until = np.where(counted, other_day, np.where(seen, day, end))

    causes = (label or kind, *others)
    cause = np.where(seen, 1, np.where(counted, other + 2, 0)).astype(np.int64)
    table = pd.DataFrame(
        {
            "patient": patients["patient"],
            "arm": patients["arm"],
            "time": (until - start) / DAYS_A_YEAR,
            "event": (cause == 1).astype(np.int64),
            "cause": pd.Categorical.from_codes(cause, categories=pd.Index([CENSORED, *causes])),
            "onset_after": (np.where(seen, _column(first, "onset_after"), until) - start) / DAYS_A_YEAR,
            "onset_by": np.where(seen, (_column(first, "onset_by") - start) / DAYS_A_YEAR, np.inf),
        }
    )
    fate = np.where(np.isnan(start), -3, np.where(~ready, -2, np.where(~eligible, -1, cause)))
    late = int((~eligible & ready & first["day"].notna().to_numpy()).sum())
    return Times(
        table=table[at_risk].reset_index(drop=True),
        counts=_counts(fate, patients["arm"], causes, kind),
        causes=causes,
        notes=(
            *_time_notes(start[at_risk], event_time),
            *_notes(late, int((closing & counted & at_risk).sum()), others),
        ),
    )


def _checked(events: Events) -> tuple[pd.DataFrame, pd.DataFrame]:
    found, patients = events.events, events.patients.reset_index(drop=True)
    for frame, name, columns in ((found, "events", _EVENT_COLUMNS), (patients, "patients", _PATIENT_COLUMNS)):
        lacking = [column for column in columns if column not in frame]
        if lacking:
            raise ValueError(f"the frame '{name}' of the events lacks the columns {', '.join(lacking)}.")
    if patients["patient"].duplicated().any():
        raise ValueError("the frame 'patients' of the events must have one row a patient.")
    strangers = int((~found["patient"].isin(patients["patient"])).sum())
    if strangers:
        raise ValueError(
            f"{strangers} events belong to patients who are not in the frame 'patients' of the events."
        )
    return found, patients


def _eligible(patients: pd.DataFrame, kind: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    column = f"eligible_{kind}"
    if column not in patients:
        known = [
            str(name).removeprefix("eligible_") for name in patients if str(name).startswith("eligible_")
        ]
        raise ValueError(f"kind must be one of {', '.join(map(repr, known))}, not {kind!r}.")
    return patients[column].fillna(False).to_numpy(dtype=np.bool_)


def _check_kind(rule: Any, wanted: Sequence[str]) -> None:
    looked_for: tuple[str, ...] = getattr(rule, "kinds", _KINDS)
    lacking = [name for name in wanted if name in _KINDS and name not in looked_for]
    if lacking:
        raise ValueError(
            f"the rule '{rule.name}' does not look for {lacking[0]}: its kinds are {', '.join(looked_for)}."
        )


def _check_label(
    rule: Any, found: pd.DataFrame, kind: str, label: str | None, others: Mapping[str, Floats]
) -> None:
    if label is None:
        return
    if kind != "worsening":
        raise ValueError(f"label={label!r} is for worsening; {kind} has no label.")
    if label not in LABELS:
        raise ValueError(f"label must be None or one of {', '.join(LABELS)}, not {label!r}.")
    worse = found[found["kind"].astype(str) == kind]
    if len(worse) and worse["label"].isna().all():
        raise ValueError(
            f"label={label!r}: no worsening has a label, because the cohort has no relapse table."
        )
    if getattr(rule, "events", "all") == "first" and not set(LABELS) <= {label, *others}:
        raise ValueError(
            f"label={label!r}: the rule keeps only the first worsening, so what follows one with another label is "
            f"not known. Use a rule with events='all', or competing={[x for x in LABELS if x != label]}."
        )


def _chosen(found: pd.DataFrame, kind: str, label: str | None) -> pd.DataFrame:
    chosen = found["kind"].astype(str) == kind
    if label is not None:
        chosen &= (found["label"].astype(object) == label).fillna(False).astype(bool)
    return found[chosen]


def _first(rows: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    """Each patient's first event, missing where there is none; in the order of patients."""
    earliest = rows.sort_values("day", kind="stable").drop_duplicates("patient").set_index("patient")
    return earliest.reindex(pd.Index(patients["patient"]))


def _column(frame: pd.DataFrame, name: str) -> Floats:
    return np.asarray(pd.to_numeric(frame[name]).to_numpy(dtype=np.float64, na_value=np.nan))


def _days(patients: pd.DataFrame, column: str) -> Floats:
    return _column(patients, column)


def _others(
    found: pd.DataFrame,
    patients: pd.DataFrame,
    kind: str,
    label: str | None,
    competing: str | Sequence[str] | pd.DataFrame | None,
) -> dict[str, Floats]:
    """First day of each competing event, NaN where there is none."""
    if competing is None:
        return {}
    if isinstance(competing, pd.DataFrame):
        return _from_table(competing, patients)
    names = [competing] if isinstance(competing, str) else list(competing)
    days = {}
    for name in names:
        if name == (label or kind):
            raise ValueError(f"{name!r} is the event itself and cannot compete with it.")
        if name in LABELS and label is not None:
            rows = _chosen(found, "worsening", name)
        elif f"eligible_{name}" in patients and name != kind:
            rows = _chosen(found, name, None)
        else:
            raise ValueError(
                f"competing={name!r} is not known: name the other kind of event, with label= another label of "
                "worsening, or give a table with the columns patient, day and event (death, switch, …)."
            )
        days[name] = _column(_first(rows, patients), "at")
    return days


def _from_table(table: pd.DataFrame, patients: pd.DataFrame) -> dict[str, Floats]:
    lacking = [column for column in ("patient", "day", "event") if column not in table]
    if lacking:
        raise ValueError(f"the table of competing events lacks the columns {', '.join(lacking)}.")
    if table[["patient", "day", "event"]].isna().to_numpy().any():
        raise ValueError("the table of competing events has missing cells; leave out who had none.")
    strangers = int((~table["patient"].isin(patients["patient"])).sum())
    if strangers:
        raise ValueError(
            f"{strangers} of {len(table)} competing events belong to patients who are not in the cohort "
            "(are the identifiers written alike, text as text?)."
        )
    kinds = table["event"].astype(str)
    return {
        str(name): _column(_first(table[kinds == name], patients), "day") for name in dict.fromkeys(kinds)
    }


def _earliest(others: Mapping[str, Floats], n: int) -> tuple[Floats, np.ndarray[Any, np.dtype[np.int64]]]:
    if not others:
        return np.full(n, np.nan), np.zeros(n, dtype=np.int64)
    days = np.column_stack([np.where(np.isnan(day), np.inf, day) for day in others.values()])
    earliest = days.min(axis=1)
    return np.where(np.isfinite(earliest), earliest, np.nan), days.argmin(axis=1).astype(np.int64)


def _check_events(first: pd.DataFrame, start: Floats, end: Floats) -> None:
    """The frames must not contradict each other: nothing is clipped to make them agree."""
    day, after, by = (_column(first, name) for name in ("day", "onset_after", "onset_by"))
    for wrong, why in (
        (~(day > start), "at or before the patient's baseline visit"),
        (~(day <= end), "after the last visit that could have been confirmed"),
        (
            ~((start <= after) & (after < by) & (by <= day)),
            "without an onset interval from the baseline visit on",
        ),
    ):
        if wrong.any():
            raise ValueError(f"{int(wrong.sum())} first events are {why}: events and patients disagree.")


def _counts(
    fate: np.ndarray[Any, np.dtype[Any]], arm: pd.Series, causes: tuple[str, ...], kind: str
) -> pd.DataFrame:
    rows = {1: f"with {causes[0]}"}
    rows |= {k + 1: f"with {cause} first" for k, cause in enumerate(causes) if k}
    rows |= {
        0: "censored",
        -1: f"left out: {kind} not possible from the baseline value",
        -2: "left out: no later visit that could be confirmed",
        -3: "left out: no baseline visit",
    }
    categories = [
        str(name)
        for name in (arm.cat.categories if isinstance(arm.dtype, pd.CategoricalDtype) else pd.unique(arm))
    ]
    table = pd.crosstab(pd.Series(fate), arm.astype(str)).reindex(
        index=list(rows), columns=categories, fill_value=0
    )
    table["all"] = table.sum(axis=1)
    table.index = pd.Index(list(rows.values()), name="patients")
    table.columns.name = None
    empty = table.index.str.startswith("left out") & (table["all"] == 0)
    empty &= table.index != rows[-2]  # that nobody was lost so is worth a line
    return table[~empty].astype(np.int64)


def _time_notes(start: Floats, event_time: EventTime) -> list[str]:
    counted = (
        "An event counts in the middle between the last visit without it and the first with it (its onset is "
        "interval-censored; weibull() uses the whole interval)."
        if event_time == "midpoint"
        else "An event counts at its visit, though its onset came before (it is interval-censored; weibull() uses "
        "the interval). As patients are censored at visits too, events then fall where few are left: curves drop "
        "at their end, and hazard ratios are wrong where follow-up differs. event_time='midpoint' avoids it."
    )
    return [
        "Time runs from the baseline visit" + _before_index(start) + ". Time at risk ends at the event or at "
        "the last visit that could still have been confirmed: a later one could not have counted, so later "
        "visits are no time without it. Patients without such a visit are left out, as are those not eligible.",
        counted,
    ]


def _notes(late: int, closing: int, others: Mapping[str, Floats]) -> list[str]:
    notes = []
    if late:
        notes.append(
            f"{late} patients to whom the event was not possible from the baseline value had it later, from a "
            "reference that had moved: they are left out with the others who were not eligible at the start."
        )
    if others:
        notes.append(
            f"Competing: {', '.join(others)}, whichever was first. On the same day the event itself counts."
        )
    if closing:
        notes.append(
            f"{closing} competing events came after the last visit that could be confirmed, with no visit "
            "later: they end the follow-up themselves and count on their day."
        )
    return notes


def _before_index(start: Floats) -> str:
    if not start.size or not np.any(start != 0):
        return ", which is day 0 of everybody"
    return f" (day {np.median(start):.0f} in the median, {start.min():.0f} to {start.max():.0f})"
