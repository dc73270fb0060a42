"""From events and patients to one time a patient: who is at risk from when to when, and what ended it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from trajectories.endpoints.survival_steps import Floats

__all__ = ["CENSORED", "Events", "Times", "times_to"]

DAYS_A_YEAR = 365.25
CENSORED = "censored"
_LABELS = ("RAW", "PIRA", "undefined")
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
    events: Events, kind: str, label: str | None, competing: str | Sequence[str] | pd.DataFrame | None
) -> Times:
    """Form the times: from the baseline visit to the first event or the last visit that could still have been confirmed."""
    found, patients = _checked(events)
    eligible = _eligible(patients, kind)
    _check_label(kind, label)
    first = _first(_chosen(found, kind, label), patients)
    others = _others(found, patients, kind, label, competing)
    start, last, end = (
        _days(patients, column) for column in ("baseline_day", "last_day", "last_confirmable_day")
    )
    day = first["day"].to_numpy(dtype=np.float64)
    _check_events(day, start, end, eligible)

    other_day, other = _earliest(others, len(patients))
    closing = (other_day > end) & (other_day >= last)  # nobody was seen again: it ends the follow-up itself
    counted = (other_day > start) & ((other_day <= end) | closing) & ~(day <= other_day)
    seen = ~np.isnan(day) & ~counted
    until = np.where(counted, other_day, np.where(seen, day, end))
    at_risk = eligible & (end > start)

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
    _check_onset(table[at_risk])
    fate = np.where(~eligible, -1, np.where(~at_risk, -2, cause))
    return Times(
        table=table[at_risk].reset_index(drop=True),
        counts=_counts(fate, patients["arm"], causes),
        causes=causes,
        notes=_notes(patients, start[at_risk], int((closing & counted & at_risk).sum()), others),
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


def _check_label(kind: str, label: str | None) -> None:
    if label is None:
        return
    if kind != "worsening":
        raise ValueError(f"label={label!r} is for worsening; {kind} has no label.")
    if label not in _LABELS:
        raise ValueError(f"label must be None or one of {', '.join(_LABELS)}, not {label!r}.")


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
        if name in _LABELS and label is not None:
            rows = _chosen(found, "worsening", name)
        elif f"eligible_{name}" in patients and name != kind:
            rows = _chosen(found, name, None)
        else:
            raise ValueError(
                f"competing={name!r} is not known: name the other kind of event, with label= another label of "
                "worsening, or give a table with the columns patient, day and event (death, switch, …)."
            )
        days[name] = _first(rows, patients)["day"].to_numpy(dtype=np.float64)
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
        str(name): _first(table[kinds == name], patients)["day"].to_numpy(dtype=np.float64)
        for name in dict.fromkeys(kinds)
    }


def _earliest(others: Mapping[str, Floats], n: int) -> tuple[Floats, np.ndarray[Any, np.dtype[np.int64]]]:
    if not others:
        return np.full(n, np.nan), np.zeros(n, dtype=np.int64)
    days = np.column_stack([np.where(np.isnan(day), np.inf, day) for day in others.values()])
    earliest = days.min(axis=1)
    return np.where(np.isfinite(earliest), earliest, np.nan), days.argmin(axis=1).astype(np.int64)


def _check_events(
    day: Floats, start: Floats, end: Floats, eligible: np.ndarray[Any, np.dtype[np.bool_]]
) -> None:
    """The frames must not contradict each other: nothing is clipped to make them agree."""
    some = ~np.isnan(day)
    for wrong, why in (
        (some & ~eligible, "of patients who are not eligible for them"),
        (some & ~(day > start), "at or before the patient's baseline visit"),
        (some & ~(day <= end), "after the last visit that could have been confirmed"),
    ):
        if wrong.any():
            raise ValueError(f"{int(wrong.sum())} first events are {why}: events and patients disagree.")


def _check_onset(table: pd.DataFrame) -> None:
    had = table["event"] == 1
    wrong = had & ~((table["onset_after"] >= 0) & (table["onset_after"] < table["onset_by"]))
    if wrong.any():
        raise ValueError(
            f"{int(wrong.sum())} events have no onset interval after the baseline visit: "
            "onset_after must be before onset_by, and neither before the baseline visit."
        )


def _counts(fate: np.ndarray[Any, np.dtype[Any]], arm: pd.Series, causes: tuple[str, ...]) -> pd.DataFrame:
    rows = {1: f"with {causes[0]}"}
    rows |= {k + 1: f"with {cause} first" for k, cause in enumerate(causes) if k}
    rows |= {0: "censored", -1: "left out: not eligible", -2: "left out: no visit that could be confirmed"}
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
    return table.astype(np.int64)


def _notes(
    patients: pd.DataFrame, start: Floats, closing: int, others: Mapping[str, Floats]
) -> tuple[str, ...]:
    notes = [
        "Time runs from the baseline visit" + _before_index(start) + ". Time at risk ends at the event or at "
        "the last visit that could still have been confirmed: a later one could not have counted, so later "
        "visits are no time without it. Patients without such a visit are left out, as are those not eligible.",
        "An event counts at the visit at which it was first seen. Its onset lies between the visit before and "
        "that one (interval-censored): weibull() uses the interval, the other methods the visit.",
    ]
    if others:
        notes.append(
            f"Competing: {', '.join(others)}, whichever was first. On the same day the event itself counts."
        )
    if closing:
        notes.append(
            f"{closing} competing events came after the last visit that could be confirmed, with no visit "
            "later: they end the follow-up themselves and count on their day."
        )
    return tuple(notes)


def _before_index(start: Floats) -> str:
    if not start.size or not np.any(start != 0):
        return ", which is day 0 of everybody"
    return f" (day {np.median(start):.0f} in the median, {start.min():.0f} to {start.max():.0f})"
