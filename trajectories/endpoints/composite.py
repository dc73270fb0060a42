"""The first of several events: disability on any of several scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trajectories.caveats import SIMULATED
from trajectories.endpoints.event_text import counts_table
from trajectories.printing import sentence

if TYPE_CHECKING:
    from trajectories.endpoints.events import DisabilityEvents

__all__ = ["CompositeEvents", "CompositeRule", "first_of"]


@dataclass(frozen=True, kw_only=True)
class CompositeRule:
    """The rules whose first event counts.

    Parameters
    ----------
    components
        The names of the rules.
    methods
        The paragraph for a Methods section.
    kinds
        The kinds of change that all of them look for.
    """

    components: tuple[str, ...]
    methods: str
    kinds: tuple[str, ...]

    @property
    def name(self) -> str:
        """The names, joined."""
        return "first of " + " or ".join(self.components)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CompositeEvents:
    """The first event of each patient on any component; made by `first_of`.

    Parameters
    ----------
    events_table
        One row a patient and kind, in the columns of `DisabilityEvents.events`, and `component`, the name of
        the rule that found it.
    patients_table
        One row a patient, in the columns of `DisabilityEvents.patients`; `last_confirmable_day` is the first of
        the components', `baseline_day` the last: before and after, not all of them are watched.
    rule
        The rules.
    cohort_name, simulated
        Of the cohort.
    notes
        Sentences with counts.
    """

    events_table: pd.DataFrame = field(repr=False)
    patients_table: pd.DataFrame = field(repr=False)
    rule: CompositeRule
    cohort_name: str
    simulated: bool = False
    notes: tuple[str, ...] = ()
    suppress_below: int | None = None

    @property
    def events(self) -> pd.DataFrame:
        """One row an event; a copy."""
        return self.events_table.copy()

    @property
    def patients(self) -> pd.DataFrame:
        """One row a patient; a copy."""
        return self.patients_table.copy()

    def summary(self) -> pd.DataFrame:
        """Count by arm and kind: `patients`, `eligible`, `with_event`, and events by component.

        Returns
        -------
        A frame with one row an arm and kind.
        """
        rows = []
        for arm, patients in self.patients_table.groupby("arm", observed=False, sort=False):
            for kind in self.rule.kinds:
                mine = self.events_table[
                    (self.events_table["arm"] == arm) & (self.events_table["kind"] == kind)
                ]
                by = mine["component"].value_counts()
                rows.append(
                    {
                        "arm": str(arm),
                        "kind": kind,
                        "patients": len(patients),
                        "eligible": int(patients[f"eligible_{kind}"].sum()),
                        "with_event": len(mine),
                        **{name: int(by.get(name, 0)) for name in self.rule.components},
                    }
                )
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        lines = [f"Disability events in '{self.cohort_name}' ({len(self.patients_table):,} patients)"]
        lines += [f"rule: {self.rule.name}", "", *counts_table(self.summary(), self.suppress_below)]
        for note in [*([str(SIMULATED)] if self.simulated else []), *self.notes]:
            lines += sentence(note, bullet="  - ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def first_of(results: Sequence[DisabilityEvents]) -> CompositeEvents:
    """Take the first event of each patient and kind on any of several scales or rules: a composite endpoint.

    A patient is at risk while every component is: from the last of the references to the first of the last
    confirmable visits. Events outside are left out and counted in the notes, for the other components could have
    come first unseen.

    Parameters
    ----------
    results
        Two or more results of `disability_events` for one cohort, with rules of different names.

    Returns
    -------
    A `CompositeEvents`, which `time_to` takes like any other events.

    Raises
    ------
    ValueError
        If there are fewer than two results, names repeat, cohorts differ, or kinds differ.

    References
    ----------
    Composite confirmed disability accumulation: Kappos et al. 2020, doi 10.1001/jamaneurol.2020.1568.

    Examples
    --------
    >>> import pandas as pd
    >>> from trajectories.endpoints import SDMT, DisabilityRule, disability_events
    >>> from trajectories.reading import read_cohort
    >>> visits = pd.DataFrame({"patient": "a", "day": [0, 90, 270, 450], "edss": [2.0, 2.0, 3.0, 3.0], "sdmt": [50, 45, 44, 44]})
    >>> cohort = read_cohort(visits, relapses=pd.DataFrame({"patient": [], "day": []}))
    >>> both = first_of([disability_events(cohort), disability_events(cohort, DisabilityRule(worsening=SDMT))])
    >>> both.events[["day", "component"]].values.tolist()
    [[90, 'SDMT, 24 weeks, fixed']]
    """
    _check(results)
    patients = _patients(results)
    kinds = results[0].rule.kinds
    every = pd.concat([r.events_table.assign(component=r.rule.name) for r in results], ignore_index=True)
    order = {name: row for row, name in enumerate(patients["patient"])}
    every["_row"] = every["patient"].map(order)
    every = every.sort_values(["_row", "kind", "day"], kind="stable")
    first = every.drop_duplicates(["patient", "kind"])
    rows = patients.iloc[first["_row"]]
    day = first["day"].to_numpy(dtype=np.float64)
    start, end = (
        rows[c].to_numpy(dtype=np.float64, na_value=np.nan) for c in ("baseline_day", "last_confirmable_day")
    )
    watched = (day > start) & (day <= end)
    late = int((~watched).sum())
    said: dict[str, list[str]] = {}
    for r in results:
        for note in r.notes:
            said.setdefault(note, []).append(r.rule.name)
    notes = [note if len(by) == len(results) else f"{', '.join(by)}: {note}" for note, by in said.items()]
    if late:
        notes.append(f"{late} first events came when not every component was at risk, and were left out.")
    kept = first[watched].sort_values(["_row", "day"], kind="stable").drop(columns="_row")
    return CompositeEvents(
        events_table=kept.reset_index(drop=True),
        patients_table=patients,
        rule=CompositeRule(
            components=tuple(r.rule.name for r in results),
            methods="The first of the following events was counted. "
            + " ".join(f"({i}) {r.rule.methods}" for i, r in enumerate(results, start=1)),
            kinds=kinds,
        ),
        cohort_name=results[0].cohort_name,
        simulated=results[0].simulated,
        notes=tuple(notes),
        suppress_below=results[0].suppress_below,
    )


def _check(results: Sequence[DisabilityEvents]) -> None:
    if len(results) < 2:
        raise ValueError("results: give two or more results of disability_events.")
    names = [r.rule.name for r in results]
    if len(set(names)) < len(names):
        raise ValueError(
            f"results: the rules need different names, not {', '.join(names)}; give each a label."
        )
    first = results[0]
    for other in results[1:]:
        if not first.patients_table["patient"].equals(other.patients_table["patient"]):
            raise ValueError("results: they come from different cohorts.")
        if set(other.rule.kinds) != set(first.rule.kinds):
            raise ValueError("results: the rules look for different kinds of change.")


def _patients(results: Sequence[DisabilityEvents]) -> pd.DataFrame:
    frames = [r.patients_table for r in results]
    together = frames[0][["patient", "arm"]].copy()
    together["n_visits"] = np.min([f["n_visits"] for f in frames], axis=0)
    for column, choose in {
        "baseline_day": np.max,
        "last_day": np.min,
        "last_confirmable_day": np.min,
    }.items():
        days = np.array([f[column].to_numpy(dtype=np.float64, na_value=np.nan) for f in frames])
        chosen = choose(days, axis=0)  # missing where any component has none
        together[column] = pd.array(chosen, dtype="Float64").astype("Int64")
    for kind in ("worsening", "improvement"):
        eligible = np.any([f[f"eligible_{kind}"] for f in frames], axis=0)
        together[f"eligible_{kind}"] = eligible & together["last_confirmable_day"].notna().to_numpy()
    why = [
        f["why_not"].where(f["why_not"] == "", f"{r.rule.name}: " + f["why_not"])
        for f, r in zip(frames, results, strict=True)
    ]
    together["why_not"] = ["; ".join(text for text in texts if text) for texts in zip(*why, strict=True)]
    return together
