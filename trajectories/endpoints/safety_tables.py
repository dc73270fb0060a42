"""The frames of adverse events."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import DAYS_PER_YEAR, Cohort
from trajectories.endpoints.group_rates import Interval, group_rates
from trajectories.endpoints.groups import PatientGroups
from trajectories.endpoints.rate_rows import RATE_TYPES, rate_rows
from trajectories.endpoints.shares import wilson_limits
from trajectories.suppression import hidden_cells
from trajectories.windows import event_windows

__all__ = ["event_table", "left_out", "term_table"]

type Counts = NDArray[np.float64]
type Marks = NDArray[np.bool_]

_SHARE = ["with_event", "share", "share_lower", "share_upper"]
_RATE = ["pooled", "rate", "lower", "upper"]
_EVENTS = [
    "kind",
    "window",
    "start",
    "end",
    "group",
    "patients",
    "observed",
    "unobserved",
    "person_years",
    "events",
]
_EVENTS += [*_RATE, "interval", "dispersion", *_SHARE, "suppressed"]
_TERMS = [
    "term",
    "group",
    "observed",
    "person_years",
    "events",
    "serious_events",
    *_RATE,
    "interval",
    *_SHARE,
]
_TERMS += ["suppressed"]


def event_table(
    cohort: Cohort, groups: PatientGroups, years: int | None, interval: Interval, ci: float, below: int | None
) -> tuple[pd.DataFrame, list[str]]:
    """Count all and serious events over the whole time and year by year; and where Poisson's interval was used."""
    every = cohort.adverse_events_table
    assert every is not None
    edges = tuple(range(_years(cohort, years) + 1))
    kinds = {"all": every}
    if "serious" in every:
        kinds["serious"] = every[every["serious"].astype(bool)]
    counted = {kind: _by_window(cohort, table, edges) for kind, table in kinds.items()}
    hidden = {kind: _hidden(counted, kind, groups, below) for kind in counted}
    rows: list[dict[str, object]] = []
    poisson: list[str] = []
    for kind, windows in counted.items():
        for w, (label, start, end, y, t) in enumerate(windows):
            found, used = _rows(y, t, groups, interval, ci, below, hidden[kind][w])
            about = {"kind": kind, "window": label, "start": start, "end": end}
            rows += [{**about, **row} for row in found]
            if used != interval:
                poisson.append(f"{label} ({kind})")
    return pd.DataFrame(rows).astype({**RATE_TYPES, "with_event": "Int64"})[_EVENTS], poisson


def term_table(
    cohort: Cohort, groups: PatientGroups, interval: Interval, ci: float, below: int | None
) -> pd.DataFrame:
    """Count the events of each term over the whole time, frequent terms first."""
    events = counted_events(cohort)
    events = events[groups.code[events["row"]] >= 0]
    years = _by_window(cohort, events, (0, 1))[0][4]
    terms = [
        str(term) for term in events.groupby("term").size().sort_values(ascending=False, kind="stable").index
    ]
    counts = {
        str(term): np.bincount(mine["row"], minlength=cohort.n_patients).astype(np.float64)
        for term, mine in events.groupby("term")
    }
    sums = np.array([_sums(counts[term], groups) for term in terms]).reshape(len(terms), len(groups.names))
    hidden = hidden_cells(sums, below) if terms else np.zeros(sums.shape, dtype=np.bool_)
    serious = _serious(events, terms, groups)
    rows: list[dict[str, object]] = []
    for k, term in enumerate(terms):
        found, _ = _rows(counts[term], years, groups, interval, ci, below, hidden[k])
        for g, row in enumerate(found):
            unsaid = serious is None or row["suppressed"] or _small(serious[k, g], sums[k, g], below)
            rows.append(
                {"term": term, **row, "serious_events": pd.NA if unsaid or serious is None else serious[k, g]}
            )
    types = {name: kind for name, kind in RATE_TYPES.items() if name in _TERMS}
    frame = pd.DataFrame(rows, columns=_TERMS)
    return frame.astype({**types, "with_event": "Int64", "serious_events": "Int64"})


def counted_events(cohort: Cohort) -> pd.DataFrame:
    """Return the events from time 0 to the end of follow-up, with `row`, the patient's place in the cohort."""
    every, patients = cohort.adverse_events_table, cohort.patients
    assert every is not None
    row = pd.Index(patients["patient"]).get_indexer(pd.Index(every["patient"]))
    first, last = (patients[f"followup_{end}_day"].to_numpy()[row] for end in ("start", "end"))
    day = every["day"].to_numpy()
    inside: Marks = (day >= 0) & (day >= first) & (day <= last)
    return every.assign(row=row).loc[inside]


def left_out(cohort: Cohort) -> tuple[int, int, int]:
    """Return how many events there are, how many before time 0, and how many after it but outside follow-up."""
    every = cohort.adverse_events_table
    assert every is not None
    before = int((every["day"] < 0).sum())
    return len(every), before, len(every) - before - len(counted_events(cohort))


type Window = tuple[str, float, float, Counts, Counts]


def _by_window(cohort: Cohort, events: pd.DataFrame, edges: tuple[int, ...]) -> list[Window]:
    """Return label, start, end, and each patient's events and years: first of the whole time, then year by year."""
    found: list[Window] = []
    for wanted in ((0, None), edges):
        windows = event_windows(cohort, events, wanted)
        for label, one in windows.groupby("window", sort=True, observed=True):
            y, t = one["events"].to_numpy(dtype=np.float64), one["exposure"].to_numpy(dtype=np.float64)
            found.append((str(label), float(one["start"].iloc[0]), float(one["end"].iloc[0]), y, t))
    return found


def _years(cohort: Cohort, years: int | None) -> int:
    last = int(cohort.patients["followup_end_day"].max()) + 1
    if last <= 0:
        raise ValueError(
            "nobody was observed at or after time 0, so no adverse event could be counted there."
        )
    observed = max(1, math.ceil(round(last / DAYS_PER_YEAR, 6)))
    return observed if years is None else min(int(years), observed)


def _rows(
    y: Counts,
    t: Counts,
    groups: PatientGroups,
    interval: Interval,
    ci: float,
    below: int | None,
    hidden: Marks,
) -> tuple[list[dict[str, object]], str]:
    kept = groups.code >= 0
    rates = group_rates(
        y[kept], t[kept], groups.code[kept], groups=len(groups.names), interval=interval, ci=ci
    )
    having, seen = _sums(((y > 0) & (t > 0)).astype(float), groups), rates.patients
    lower, upper = wilson_limits(having, seen, ci)
    few = hidden_cells(np.array([having, seen - having]), below).any(axis=0) | hidden
    rows = rate_rows(rates, groups, below, hidden)
    for g, row in enumerate(rows):
        for column in _RATE:
            value = row[column]
            assert isinstance(value, float)
            row[column] = 100 * value
        row["with_event"] = pd.NA if few[g] else int(having[g])
        limits = (having[g] / seen[g] if seen[g] else np.nan, lower[g], upper[g])
        row |= dict(zip(_SHARE[1:], (np.nan,) * 3 if few[g] else map(float, limits), strict=True))
        row["suppressed"] = bool(row["suppressed"] or few[g])
    return rows, rates.interval


def _sums(values: Counts, groups: PatientGroups) -> NDArray[np.int64]:
    kept = groups.code >= 0
    summed = np.bincount(groups.code[kept], weights=values[kept], minlength=len(groups.names))
    return summed.astype(np.int64)


def _serious(events: pd.DataFrame, terms: list[str], groups: PatientGroups) -> NDArray[np.int64] | None:
    """Count serious events, terms × groups; None if the cohort does not say."""
    if "serious" not in events:
        return None
    table = np.zeros((len(terms), len(groups.names)), dtype=np.int64)
    mine = events[events["serious"].astype(bool)]
    np.add.at(table, (pd.Index(terms).get_indexer(pd.Index(mine["term"])), groups.code[mine["row"]]), 1)
    return table


def _hidden(
    counted: dict[str, list[Window]], kind: str, groups: PatientGroups, below: int | None
) -> list[Marks]:
    """Mark events to hide: small ones, and those that follow from a total, the other years, or the other kind."""
    own = np.array([_sums(y, groups) for *_, y, _ in counted[kind]])
    if below is None:
        return [np.zeros(len(groups.names), dtype=np.bool_) for _ in own]
    if kind == "serious":
        others = np.array([_sums(y, groups) for *_, y, _ in counted["all"]]) - own
        own = np.where((others > 0) & (others < below), 1, own)
    return [hidden_cells(own[:1], below)[0], *hidden_cells(own[1:], below)]


def _small(serious: int, events: int, below: int | None) -> bool:
    return below is not None and (0 < serious < below or 0 < events - serious < below)
