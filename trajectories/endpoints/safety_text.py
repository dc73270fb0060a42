"""The print of adverse events, and its notes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from trajectories.cohort import Cohort
from trajectories.endpoints.groups import PatientGroups
from trajectories.endpoints.rate_rows import cell, hidden_notes, interval_notes, shown_interval
from trajectories.endpoints.rates_text import heading, notes_lines, under
from trajectories.printing import fitting
from trajectories.suppression import HIDDEN

__all__ = ["safety_notes", "safety_text"]

MOST_TERMS = 15
_HEAD = ["", "seen", "person-years", "events", "pooled", "rate"]
_KINDS = {"all": "All adverse events", "serious": "Serious adverse events"}


def safety_text(
    events: pd.DataFrame,
    terms: pd.DataFrame,
    *,
    title: str,
    index_date: str,
    simulated: bool,
    ci: float,
    notes: Sequence[str],
) -> str:
    """Write all events, serious ones, and the most frequent terms, then the notes."""
    level = f"{100 * ci:g} %"
    lines = heading(title, index_date, simulated)
    head = [*_HEAD, level, "patients with one", level]
    for kind, block in events.groupby("kind", sort=False):
        lines += [
            f"{_KINDS[str(kind)]}, rates per 100 patient-years",
            *under(head, block, "window", _cells),
            "",
        ]
    if len(terms):
        lines += _terms(terms)
    return "\n".join([*lines[:-1], *notes_lines(notes)])


def _cells(row: pd.Series) -> list[str]:
    share = "" if pd.isna(row["share"]) else f" ({100 * row['share']:.0f} %)"
    limits = f"{100 * row['share_lower']:.0f} to {100 * row['share_upper']:.0f} %"
    return [
        str(row["group"]),
        cell(row, "observed"),
        cell(row, "person_years", 1),
        cell(row, "events"),
        cell(row, "pooled", 1),
        cell(row, "rate", 1),
        shown_interval(row, 1),
        f"{cell(row, 'with_event')}{share}",
        (HIDDEN if row["suppressed"] else "-") if pd.isna(row["share"]) else limits,
    ]


def _terms(terms: pd.DataFrame) -> list[str]:
    """Line up the most frequent terms, a column a group: events, patients with one."""
    names = list(dict.fromkeys(terms["term"]))
    groups = list(dict.fromkeys(terms["group"]))
    cells = {(row["term"], row["group"]): _term_cell(row) for _, row in terms.iterrows()}
    rows = [
        ["", *groups],
        *([str(name), *(cells[name, group] for group in groups)] for name in names[:MOST_TERMS]),
    ]
    more = (
        f" (the {MOST_TERMS} most frequent of {len(names)}; all in .terms)" if len(names) > MOST_TERMS else ""
    )
    lines = [f"By term: events, patients with one{more}"]
    for part in fitting(rows):
        lines += [*(f"  {line}" for line in part), ""]
    return lines


def _term_cell(row: pd.Series) -> str:
    share = "" if pd.isna(row["share"]) else f" ({100 * row['share']:.0f} %)"
    return f"{cell(row, 'events')}, {cell(row, 'with_event')}{share}"


def safety_notes(
    cohort: Cohort,
    groups: PatientGroups,
    *,
    interval: str,
    ci: float,
    poisson: list[str],
    left_out: tuple[int, int, int],
    below: int | None,
) -> tuple[str, ...]:
    """Say how the numbers were formed, what they cannot show, and what was left out."""
    every = cohort.adverse_events_table
    assert every is not None
    notes = [
        *interval_notes(interval, ci, what="events", where=poisson),
        f"Patients with one: of those seen in the window, at least one event, with Wilson's interval ({100 * ci:g} %). Those "
        "who were seen for a short time had less time to have one: compare rates where follow-up differs.",
        "Events count from time 0 to the end of follow-up, also after a drug was stopped or changed. One overall rate hides "
        "what changes with time since the start (autoimmunity after alemtuzumab peaks in the third year).",
    ]
    if len(groups.names) > 1:
        notes.append(
            "Groups to which patients were not assigned at random may differ for other reasons than the drug."
        )
    if "serious" not in every:
        notes.append(
            "The table of adverse events has no column 'serious': serious ones are not counted apart."
        )
    if below is not None:
        return (*notes, *hidden_notes(below, "events"))
    n, before, outside = left_out
    if before:
        notes.append(f"{before} of {n} events were before time 0 and are not counted.")
    if outside:
        notes.append(f"{outside} of {n} events were outside follow-up and are not counted.")
    return (*notes, *groups.note(), *cohort.notes)
