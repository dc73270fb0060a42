"""The cohort: the tables of visits, relapses and patients on one time axis, frozen after reading."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

__all__ = ["DAYS_PER_YEAR", "Cohort"]

DAYS_PER_YEAR = 365.25

_VISITS = ("patient", "day", "years", "edss")
_RELAPSES = ("patient", "day", "years")
_PATIENTS = (
    "patient",
    "arm",
    "followup_start_day",
    "followup_end_day",
    "edss_baseline",
    "relapses_year_before",
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Cohort:
    """A cohort of patients: what was observed, when, in whom; made by `read_cohort`.

    years = day / 365.25, counted from the index date (time 0), negative before it. The tables are copies: to
    change them does not change the cohort.

    Parameters
    ----------
    visits_table
        One row a visit: `patient` (text), `day` (integer), `years`, `edss` (EDSS points, may be missing), and
        the other columns of the file; sorted by patient, then time.
    relapses_table
        One row a relapse onset: `patient`, `day`, `years`, other columns; None if no relapses were recorded
        at all, which is not the same as an empty table (recorded, and nobody had one).
    patients_table
        One row a patient: `patient`, `arm` (ordered Categorical), `followup_start_day` and
        `followup_end_day` (integers, both days observed; the end is the day before the start for a patient
        who was never observed), the covariates of the file, `edss_baseline` (last EDSS at or before time 0
        within `baseline_window`), `relapses_year_before` (count in the year before time 0, missing if
        follow-up does not cover it).
    name
        What to call the cohort in prints and plots.
    index_date
        One sentence: what time 0 is.
    baseline_window
        Years before time 0 in which a visit counts as baseline.
    notes
        Sentences with counts: what was merged, missing, derived.
    simulated
        Whether the data were simulated.
    truth
        For simulated cohorts, what they were simulated from.

    Examples
    --------
    >>> import pandas as pd
    >>> from trajectories.reading import read_cohort
    >>> cohort = read_cohort(pd.DataFrame({"patient": [1, 1], "day": [0, 365], "edss": [2.0, 2.5]}))
    >>> cohort.n_patients, cohort.arms
    (1, ('all',))
    """

    visits_table: pd.DataFrame = field(repr=False)
    relapses_table: pd.DataFrame | None = field(repr=False)
    patients_table: pd.DataFrame = field(repr=False)
    name: str
    index_date: str
    baseline_window: float = 1.0
    notes: tuple[str, ...] = ()
    simulated: bool = False
    truth: object | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        tables = {
            "visits_table": (self.visits_table, _VISITS),
            "patients_table": (self.patients_table, _PATIENTS),
        }
        if self.relapses_table is not None:
            tables["relapses_table"] = (self.relapses_table, _RELAPSES)
        for name, (table, needed) in tables.items():
            lacking = [column for column in needed if column not in table]
            if lacking:
                raise ValueError(
                    f"{name} lacks {', '.join(lacking)}: make cohorts by read_cohort, which adds them."
                )
            object.__setattr__(self, name, table.copy())

    @property
    def visits(self) -> pd.DataFrame:
        """One row a visit, sorted by patient and time; a copy."""
        return self.visits_table.copy()

    @property
    def relapses(self) -> pd.DataFrame | None:
        """One row a relapse, sorted by patient and time; a copy, or None without a relapse table."""
        return None if self.relapses_table is None else self.relapses_table.copy()

    @property
    def patients(self) -> pd.DataFrame:
        """One row a patient; a copy."""
        return self.patients_table.copy()

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms in order; the first is the reference."""
        return tuple(str(arm) for arm in self.patients_table["arm"].cat.categories)

    @property
    def n_patients(self) -> int:
        """How many patients there are."""
        return len(self.patients_table)

    def __str__(self) -> str:
        return "\n".join([self._headline(), *self._facts(), *self._remarks()])

    def __repr__(self) -> str:
        return str(self)

    def _headline(self) -> str:
        kind = "SIMULATED cohort" if self.simulated else "Cohort"
        relapses = (
            "no relapse table" if self.relapses_table is None else _count(self.relapses_table, "relapse")
        )
        patients = _count(self.patients_table, "patient")
        return f"{kind} '{self.name}': {patients}, {_count(self.visits_table, 'visit')}, {relapses}"

    def _facts(self) -> list[str]:
        sizes = self.patients_table["arm"].value_counts(sort=False)
        edss = self.visits_table["edss"].dropna()
        followup = self.patients_table["followup_end_day"] - self.patients_table["followup_start_day"] + 1
        years = np.quantile(followup / DAYS_PER_YEAR, [0.5, 0, 1])
        facts = [
            "  Arms: " + ", ".join(f"{arm} ({n})" for arm, n in sizes.items()),
            f"  {self.index_date}",
            f"  Follow-up: median {years[0]:.1f} years (range {years[1]:.1f} to {years[2]:.1f})",
        ]
        if len(edss):
            facts.append(
                f"  EDSS: median {edss.median():g} (range {edss.min():g} to {edss.max():g}), all visits"
            )
        return facts

    def _remarks(self) -> list[str]:
        warning = ["  These patients are simulated: nobody was treated."] if self.simulated else []
        return warning + (["  Notes:"] + [f"  - {note}" for note in self.notes] if self.notes else [])


def _count(table: pd.DataFrame, noun: str) -> str:
    return f"{len(table):,} {noun}{'' if len(table) == 1 else 's'}"
