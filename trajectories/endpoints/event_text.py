"""Events in print: the rule, counts by arm and kind, and the notes, without identifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from trajectories.caveats import SIMULATED
from trajectories.printing import aligned, sentence
from trajectories.suppression import hidden_cells

if TYPE_CHECKING:
    from trajectories.endpoints.events import DisabilityEvents

__all__ = ["counts_table", "report"]

HIDDEN = "hidden"


def report(summary: pd.DataFrame, found: DisabilityEvents) -> str:
    """Write the print of `DisabilityEvents`."""
    n = len(found.patients_table)
    lines = [f"Disability events in '{found.cohort_name}' ({n:,} patients), rule: {found.rule.name}", ""]
    lines += counts_table(summary, found.suppress_below)
    lines += [
        "",
        "  eligible: could have had an event confirmed. Time at risk ends at the last visit that could.",
    ]
    notes = [*([str(SIMULATED)] if found.simulated else []), *found.notes]
    for note in notes:
        lines += sentence(note, bullet="  - ")
    return "\n".join(lines)


def counts_table(summary: pd.DataFrame, below: int | None) -> list[str]:
    """Align the counts, those below the limit hidden."""

    def cell(value: object) -> str:
        if pd.isna(value):  # type: ignore[call-overload]
            return "-"
        if isinstance(value, str):
            return value
        count = int(value)  # type: ignore[call-overload]
        return f"<{below}" if below is not None and 0 < count < below else f"{count}"

    header = [str(name).replace("_", " ") if str(name).islower() else str(name) for name in summary.columns]
    rows = [[cell(value) for value in row] for row in summary.astype({"arm": "str"}).to_numpy(dtype=object)]
    for row, giving_away in zip(rows, _labels_to_hide(summary, below), strict=True):
        for column in giving_away:
            row[column] = HIDDEN
    return aligned([header, *rows])


def _labels_to_hide(summary: pd.DataFrame, below: int | None) -> list[list[int]]:
    """The columns of labels that would tell a hidden one, as they add up to the events."""
    labels = [label for label in ("RAW", "PIRA", "undefined") if label in summary]
    hide: list[list[int]] = []
    for _, row in summary.iterrows():
        counts = row[labels].to_numpy(dtype=object)
        if below is None or not labels or any(pd.isna(n) for n in counts):
            hide.append([])
            continue
        hidden = hidden_cells([[int(n)] for n in counts], below)[:, 0]
        small = [0 < int(n) < below for n in counts]
        places = [list(summary.columns).index(label) for label in labels]
        hide.append([at for at, h, s in zip(places, hidden, small, strict=True) if h and not s])
    return hide
