"""Safety: adverse events per 100 patient-years and patients with an event, by group and year since the start."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from trajectories.cohort import Cohort
from trajectories.endpoints.group_rates import Interval, check_interval
from trajectories.endpoints.groups import patient_groups
from trajectories.endpoints.safety_tables import event_table, left_out, term_table
from trajectories.endpoints.safety_text import safety_notes, safety_text
from trajectories.suppression import check_limit

__all__ = ["AdverseEventRates", "adverse_event_rates"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AdverseEventRates:
    """Adverse events by group; printing it gives the tables.

    Parameters
    ----------
    events
        One row a kind ("all", "serious"), window (from time 0 to the end of follow-up, then year by year) and group:
        `kind`, `window`, `start`, `end` (years), `group`, `patients` (in the group), `observed`, `unobserved` (with and
        without time in the window), `person_years`, `events`, `pooled` (events per 100 patient-years), `rate` with
        `lower` and `upper` (per 100 patient-years), `interval` (the kind used), `dispersion`, `with_event` (patients
        with at least one), `share` (of those observed) with `share_lower` and `share_upper` (Wilson).
    terms
        One row a term and group, from time 0 to the end of follow-up, frequent terms first: `term`, `group`,
        `observed`, `person_years`, `events`, `serious_events` (missing if the cohort does not say), `pooled`, `rate`,
        `lower`, `upper`, `interval`, `with_event`, `share`, `share_lower`, `share_upper`.
    by
        What the groups are.
    interval, ci
        The kind of interval that was asked for, and its level.
    cohort_name, index_date, simulated
        As in the cohort.
    notes
        Sentences on how the numbers were formed and what was left out.
    """

    events: pd.DataFrame = field(repr=False)
    terms: pd.DataFrame = field(repr=False)
    by: str
    interval: Interval
    ci: float
    cohort_name: str
    index_date: str
    simulated: bool
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the rates, one row a kind, window and group; a copy."""
        return self.events.copy()

    def __str__(self) -> str:
        return safety_text(
            self.events,
            self.terms,
            title=f"Adverse events by {self.by}, cohort '{self.cohort_name}'",
            index_date=self.index_date,
            simulated=self.simulated,
            ci=self.ci,
            notes=self.notes,
        )

    def __repr__(self) -> str:
        return str(self)


def adverse_event_rates(
    cohort: Cohort,
    by: str | None = "arm",
    *,
    years: int | None = None,
    interval: Interval = "negative binomial",
    ci: float = 0.95,
    suppress_below: int | None = None,
) -> AdverseEventRates:
    """Count adverse events from time 0 on: per 100 patient-years, patients with one, by year since the start, by term.

    Rate = 100 · events / person-years, over the observed time of everybody in the group, with an interval as in
    `annualised_relapse_rate` (negative binomial, or exact Poisson where the counts cannot be told from Poisson's or on
    request). Patients with at least one event are a share of those observed, with Wilson's interval. Serious events
    are counted apart. All recorded events of a patient count, also repeated ones of one term.

    Parameters
    ----------
    cohort
        The patients; a table of adverse events must have been given.
    by
        What groups the patients: "arm", another column of the patients, or None for everybody.
    years
        How many years since time 0 to show one by one; None for all in which somebody was observed.
    interval
        "negative binomial" or "exact Poisson".
    ci
        Level of the intervals.
    suppress_below
        Hide counts of patients or events from 1 to this number − 1, the rates made of them, and further cells from
        which they could be had by subtraction.

    Returns
    -------
    `AdverseEventRates`: `.to_frame()` (the same as `.events`), `.terms`; print it to read it.

    Raises
    ------
    ValueError
        If there is no table of adverse events, nobody was observed after time 0, or an option is not usable.

    References
    ----------
    Wilson 1927 (doi:10.1080/01621459.1927.10502953); Lawless 1987 (doi:10.2307/3314912); Garwood 1936
    (doi:10.1093/biomet/28.3-4.437).

    Examples
    --------
    >>> import pandas as pd
    >>> from trajectories.reading import read_cohort
    >>> visits = pd.DataFrame({"patient": [1, 1, 2, 2], "day": [0, 729, 0, 364], "edss": 2.0})
    >>> events = pd.DataFrame({"patient": [1, 1], "day": [10, 400], "term": ["rash", "Graves"], "serious": [0, 1]})
    >>> safety = adverse_event_rates(read_cohort(visits, adverse_events=events))
    >>> safety.to_frame()[["kind", "window", "events", "pooled"]].round(1).to_string(index=False).splitlines()[1:3]
    ['    all [0, end of follow-up)       2    66.7', '    all                [0, 1)       1    50.0']
    """
    check_interval(interval, ci)
    check_limit(suppress_below)
    if cohort.adverse_events_table is None:
        raise ValueError(
            "This cohort has no table of adverse events: give `adverse_events=` to read_cohort (an empty table if they "
            "were recorded and nobody had one)."
        )
    if years is not None and (isinstance(years, bool) or int(years) != years or years < 1):
        raise ValueError(f"years must be a whole number from 1 up, or None, not {years!r}.")
    groups = patient_groups(cohort, by)
    events, poisson = event_table(cohort, groups, years, interval, ci, suppress_below)
    return AdverseEventRates(
        events=events,
        terms=term_table(cohort, groups, interval, ci, suppress_below),
        by=groups.by,
        interval=interval,
        ci=ci,
        cohort_name=cohort.name,
        index_date=cohort.index_date,
        simulated=cohort.simulated,
        notes=safety_notes(
            cohort,
            groups,
            interval=interval,
            ci=ci,
            poisson=poisson,
            left_out=left_out(cohort),
            below=suppress_below,
        ),
    )
