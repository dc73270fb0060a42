"""Events in print: the rule, counts by arm and kind, and the notes, without identifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from trajectories.caveats import SIMULATED
from trajectories.printing import aligned, sentence

if TYPE_CHECKING:
    from trajectories.endpoints.events import DisabilityEvents

__all__ = ["counts_table", "report"]


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

    header = [str(name).replace("_", " ") for name in summary.columns]
    rows = [[cell(value) for value in row] for row in summary.astype({"arm": "str"}).to_numpy(dtype=object)]
    return aligned([header, *rows])
