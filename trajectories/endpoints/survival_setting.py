"""What every analysis of times to an event says about its patients: who, which event, which rule, what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trajectories.printing import aligned, sentence
from trajectories.suppression import HIDDEN, hidden_cells

__all__ = ["FEW", "Setting", "count_text", "few_events"]

FEW = 5
"""Fewer events than this in an arm are warned about."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """The patients behind a result.

    Parameters
    ----------
    event
        The event in words: "confirmed worsening (PIRA)".
    competing
        Names of the events that compete with it.
    timing
        Where between two visits events count.
    rule
        Name of the rule that found it.
    cohort_name, simulated
        As in the cohort.
    counts
        Patients by what became of them (rows) and arm (columns, the last "all").
    warnings
        What must be read before any number.
    notes
        How times were formed and what was left out.
    suppress_below
        The smallest count to print; None prints all.
    """

    event: str
    competing: tuple[str, ...] = ()
    timing: str = ""
    rule: str
    cohort_name: str
    simulated: bool
    counts: pd.DataFrame
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    suppress_below: int | None = None

    def head(self, title: str) -> list[str]:
        """Return the first lines of a print: what it is, of whom, and what must be known before reading on."""
        lines = sentence(f"{title} {self.event}, rule '{self.rule}', cohort '{self.cohort_name}'")
        if self.simulated:
            lines.append("SIMULATED data: nobody was treated.")
        for warning in self.warnings:
            lines += sentence(f"WARNING: {warning}")
        return lines

    def count_lines(self) -> list[str]:
        """Return the table of patients by arm, small cells hidden where asked for."""
        cells = self.counts.to_numpy(dtype=np.int64)
        hidden = hidden_cells(cells, self.suppress_below)
        rows = [["patients", *map(str, self.counts.columns)]]
        for name, numbers, marks in zip(self.counts.index, cells, hidden, strict=True):
            row = [HIDDEN if mark else str(number) for number, mark in zip(numbers, marks, strict=True)]
            rows.append([str(name), *row])
        return aligned(rows)

    def foot(self, notes: Sequence[str]) -> list[str]:
        """Return the last lines of a print: the notes of the result, then those of the times."""
        lines = ["", "How to read this"]
        for note in [*notes, *self.notes]:
            lines += sentence(note, bullet="- ")
        return lines


def count_text(count: float, below: int | None) -> str:
    """Write a count, a star where it is small and small ones are to be hidden.

    >>> count_text(3, None), count_text(3, 5), count_text(0, 5)
    ('3', '*', '0')
    """
    return HIDDEN if below is not None and 0 < count < below else f"{count:.0f}"


def few_events(events: pd.Series) -> list[str]:
    """Warn of arms with few events or none; `events` by arm.

    >>> few_events(pd.Series({"a": 0, "b": 3, "c": 20}))[0]
    "no event in arm 'a': a hazard ratio against it is 0 or infinite, whatever the truth."
    """
    none = [str(arm) for arm, count in events.items() if count == 0]
    few = [str(arm) for arm, count in events.items() if 0 < count < FEW]
    warnings = []
    if none:
        warnings.append(
            f"no event in {_arms(none)}: a hazard ratio against {_them(none)} is 0 or infinite, whatever the truth."
        )
    if few:
        warnings.append(
            f"fewer than {FEW} events in {_arms(few)}: intervals and p-values rely on more, read them as rough."
        )
    return warnings


def _them(names: list[str]) -> str:
    return "them" if len(names) > 1 else "it"


def _arms(names: list[str]) -> str:
    return f"arm{'s' if len(names) > 1 else ''} " + ", ".join(f"'{name}'" for name in names)
