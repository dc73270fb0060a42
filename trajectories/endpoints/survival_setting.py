"""What every analysis of times to an event says about its patients: who, which event, which rule, what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.printing import aligned, sentence
from trajectories.suppression import HIDDEN, hidden_cells

__all__ = ["FEW", "Setting", "count_text", "few_events"]

_LEFT_OUT = "left out"

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
        """Return the table of patients by arm, in the analysis and left out, small cells hidden where asked for; nothing without counts."""
        if self.counts.empty:
            return []
        cells, hidden = self.counts.to_numpy(dtype=np.int64), self._hidden()
        inside = cells[~self.counts.index.str.startswith(_LEFT_OUT)].sum(axis=0)
        # the sum of an arm with a hidden cell would give that away
        lines = [
            ("in the analysis", inside, hidden.any(axis=0)),
            *zip(self.counts.index, cells, hidden, strict=True),
        ]
        rows = [["patients", *map(str, self.counts.columns)]]
        for name, numbers, marks in lines:
            row = [HIDDEN if mark else str(number) for number, mark in zip(numbers, marks, strict=True)]
            rows.append([str(name), *row])
        return aligned(rows)

    def size_text(self, n: int, events: int) -> str:
        """Write how many patients and events there are in all, or stars where cells of the sums are hidden."""
        shown = (self.shown("all", n), self.shown("all", events, 0))
        return f"n = {shown[0]} patients, {shown[1]} events"

    def shown(self, arm: str, count: float, row: int | None = None) -> str:
        """Write a count of an arm: its patients, or those of a row of `counts`; a star where the table of patients hides it."""
        hidden = self._hidden()
        if arm in self.counts:
            marks = hidden[:, self.counts.columns.get_loc(arm)]
            if marks.any() if row is None else marks[row]:
                return HIDDEN
        return count_text(count, self.suppress_below)

    def _hidden(self) -> NDArray[np.bool_]:
        return hidden_cells(self.counts.to_numpy(dtype=np.int64), self.suppress_below)

    def without(self, rows: pd.DataFrame, why: str) -> Setting:
        """Return the setting of fewer patients: those of the rows (of `TimeTo.table`) are left out, and counted under why.

        >>> counts = pd.DataFrame({"x": [2, 5], "all": [2, 5]}, index=["with death", "censored"])
        >>> setting = Setting(event="", rule="", cohort_name="", simulated=True, counts=counts, warnings=(), notes=())
        >>> setting.without(pd.DataFrame({"arm": ["x"], "cause": ["death"]}), "no weight").counts["x"].to_dict()
        {'with death': 1, 'censored': 5, 'left out: no weight': 1}
        """
        if self.counts.empty or rows.empty:
            return self
        fate = pd.Categorical(rows["cause"].astype(str).map(self._row_of()), categories=self.counts.index)
        less = pd.crosstab(fate, rows["arm"].astype(str).to_numpy(), dropna=False)
        less = less.reindex(index=self.counts.index, columns=self.counts.columns, fill_value=0)
        less["all"] = less.sum(axis=1)
        added = less.sum().to_frame(f"{_LEFT_OUT}: {why}").T
        counts = pd.concat([self.counts - less, added])
        counts.index.name = self.counts.index.name
        return replace(self, counts=counts)

    def _row_of(self) -> dict[str, str]:
        """The rows of `counts` by the cause of `TimeTo.table`."""
        rows = map(str, self.counts.index)
        return {row.removeprefix("with ").removesuffix(" first"): row for row in rows}

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
