"""The cohort: visits, relapses, patients, treatments, MRI and adverse events on one time axis, frozen after reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
_TREATMENTS = ("patient", "drug", "start_day", "stop_day", "start_years", "stop_years")
_MRI = ("patient", "day", "years")
_ADVERSE_EVENTS = ("patient", "day", "years", "term")


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
    treatments_table
        One row a course of a drug: `patient`, `drug` (text), `start_day` (integer) and `stop_day` (the last day
        of the course; NaN while it goes on), `start_years`, `stop_years`, other columns; None if no table was
        given.
    mri_table
        One row a scan: `patient`, `day`, `years` and those that were given of `gd_count` (gadolinium-enhancing
        lesions), `gd_volume` (their volume, in the unit of the file) and `new_t2` (new or enlarging T2
        lesions), NaN where not read; other columns; None if no table was given.
    adverse_events_table
        One row an adverse event: `patient`, `day`, `years`, `term` (text), `serious` (true or false; absent if
        the file does not say), other columns; None if no table was given, which is not the same as an empty
        table (recorded, and nobody had one).

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
    treatments_table: pd.DataFrame | None = field(default=None, repr=False)
    mri_table: pd.DataFrame | None = field(default=None, repr=False)
    adverse_events_table: pd.DataFrame | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        tables = {
            "visits_table": (self.visits_table, _VISITS),
            "relapses_table": (self.relapses_table, _RELAPSES),
            "patients_table": (self.patients_table, _PATIENTS),
            "treatments_table": (self.treatments_table, _TREATMENTS),
            "mri_table": (self.mri_table, _MRI),
            "adverse_events_table": (self.adverse_events_table, _ADVERSE_EVENTS),
        }
        for name, (table, needed) in tables.items():
            if table is None:
                continue
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
    def treatments(self) -> pd.DataFrame | None:
        """One row a course of a drug, sorted by patient and start; a copy, or None without a treatment table."""
        return None if self.treatments_table is None else self.treatments_table.copy()

    @property
    def mri(self) -> pd.DataFrame | None:
        """One row a scan, sorted by patient and time; a copy, or None without an MRI table."""
        return None if self.mri_table is None else self.mri_table.copy()

    @property
    def adverse_events(self) -> pd.DataFrame | None:
        """One row an adverse event, sorted by patient and time; a copy, or None without such a table."""
        return None if self.adverse_events_table is None else self.adverse_events_table.copy()

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms in order; the first is the reference."""
        return tuple(str(arm) for arm in self.patients_table["arm"].cat.categories)

    @property
    def n_patients(self) -> int:
        """How many patients there are."""
        return len(self.patients_table)

    def only(self, patients: Sequence[Any]) -> Cohort:
        """Return the cohort of some of its patients, in their given order; one named several times is several patients.

        Parameters
        ----------
        patients
            Identifiers. A patient named again (as in a bootstrap sample) gets a new identifier, "<identifier> copy 2", ….

        Returns
        -------
        A `Cohort` with the rows of these patients in every table, and a note that says how many there were.

        Raises
        ------
        KeyError
            If there is no such patient.

        Examples
        --------
        >>> import trajectories as tj
        >>> cohort = tj.simulated_three_dmts_400()
        >>> cohort.only(["sim0002", "sim0001", "sim0002"]).patients["patient"].tolist()
        ['sim0002', 'sim0001', 'sim0002 copy 2']
        """
        chosen = pd.Series(list(patients), dtype=object)
        unknown = ~chosen.isin(self.patients_table["patient"])
        if unknown.any():
            raise KeyError(f"there is no patient {chosen[unknown].iloc[0]!r} in '{self.name}'.")
        again = chosen.groupby(chosen).cumcount().to_numpy()
        names = np.array(
            [p if k == 0 else f"{p} copy {k + 1}" for p, k in zip(chosen, again, strict=True)], dtype=object
        )
        taken = {
            name: None if table is None else _taken(table, chosen, names)
            for name, table in self._tables().items()
        }
        note = f"{len(chosen):,} of the {self.n_patients:,} patients of '{self.name}' were chosen."
        return replace(self, **taken, notes=(*self.notes, note))  # type: ignore[arg-type]

    def _tables(self) -> dict[str, pd.DataFrame | None]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name.endswith("_table")}

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
        return facts + self._further_tables()

    def _further_tables(self) -> list[str]:
        """Count the rows and patients of the tables that not every cohort has."""
        lines = []
        if (courses := self.treatments_table) is not None:
            of_drugs = f" of {_plural(courses['drug'].nunique(), 'drug')}"
            lines.append(f"  Treatments: {_count(courses, 'course')}{of_drugs}{_in_patients(courses)}")
        if (scans := self.mri_table) is not None:
            values = [column for column in ("gd_count", "gd_volume", "new_t2") if column in scans]
            read = [f"{column} in {scans[column].notna().sum():,}" for column in values]
            lines.append("; ".join([f"  MRI: {_count(scans, 'scan')}{_in_patients(scans)}", *read]))
        if (events := self.adverse_events_table) is not None:
            serious = f"; serious: {events['serious'].sum():,}" if "serious" in events else ""
            lines.append(f"  Adverse events: {_count(events, 'event')}{_in_patients(events)}{serious}")
        tables = (self.treatments_table, self.mri_table, self.adverse_events_table)
        sizes = [len(table) for table in tables if table is not None]
        return [
            line if size else line.partition(":")[0] + ": none"
            for line, size in zip(lines, sizes, strict=True)
        ]

    def _remarks(self) -> list[str]:
        warning = ["  These patients are simulated: nobody was treated."] if self.simulated else []
        return warning + (["  Notes:"] + [f"  - {note}" for note in self.notes] if self.notes else [])


def _taken(table: pd.DataFrame, patients: pd.Series, names: NDArray[np.object_]) -> pd.DataFrame:
    """Rows of the patients, in their order, with their new names."""
    codes, known = pd.factorize(table["patient"])
    order = np.argsort(codes, kind="stable")
    sizes = np.append(
        np.bincount(codes, minlength=len(known)), 0
    )  # the last is that of patients without a row
    starts = np.cumsum(sizes) - sizes
    places = pd.Index(known).get_indexer(patients)
    length, first = sizes[places], starts[places]
    within = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    rows: pd.DataFrame = table.iloc[order[np.repeat(first, length) + within]].reset_index(drop=True)
    rows["patient"] = np.repeat(names, length)
    return rows


def _count(table: pd.DataFrame, noun: str) -> str:
    return _plural(len(table), noun)


def _plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _in_patients(table: pd.DataFrame) -> str:
    return f" in {_plural(table['patient'].nunique(), 'patient')}"
