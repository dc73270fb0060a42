"""Disability milestones: when a level such as EDSS 6 is reached for good, or confirmed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories import edss
from trajectories.caveats import SIMULATED
from trajectories.cohort import Cohort
from trajectories.endpoints.baselines import Fixed
from trajectories.endpoints.confirmation import Confirmed
from trajectories.endpoints.event_text import counts_table
from trajectories.endpoints.flat import Visits, options_of, relapse_days, usable_visits
from trajectories.endpoints.rules import DisabilityRule
from trajectories.endpoints.scales import ScaleChange, column_of, higher_is_worse
from trajectories.printing import sentence
from trajectories.suppression import check_limit

__all__ = ["DisabilityMilestone", "MilestoneRule", "milestone"]


@dataclass(frozen=True, kw_only=True)
class MilestoneRule:
    """What counted as the milestone.

    Parameters
    ----------
    name
        Short name for tables and plots.
    methods
        One sentence for a Methods section.
    kinds
        What the events are called.
    """

    name: str
    methods: str
    kinds: tuple[str, ...] = ("milestone",)


_STATUS = np.array(["not reached", "reached", "reached before", "not evaluable"], dtype=object)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class DisabilityMilestone:
    """When each patient reached a level; made by `milestone`.

    Parameters
    ----------
    patients_table
        One row a patient: `patient`, `arm`, `n_visits`, `baseline_day` (where the search starts),
        `baseline_value`, `last_day`, `last_confirmable_day`, `status` ("reached", "reached before", "not reached"
        or "not evaluable"), `day` and `value` where it was reached, `confirmed_day`, `onset_after` (last visit
        before that was below), `onset_by` (the visit after it: there the level was reached, though `day` is later where that visit could not be
        confirmed), `eligible_milestone` (evaluable and not there at the start).
    rule
        What counted: its name and a sentence.
    cohort_name, simulated
        Of the cohort.
    notes
        Sentences with counts.
    suppress_below
        Counts below this are not printed.
    """

    patients_table: pd.DataFrame = field(repr=False)
    rule: MilestoneRule
    cohort_name: str
    simulated: bool = False
    notes: tuple[str, ...] = ()
    suppress_below: int | None = None

    @property
    def patients(self) -> pd.DataFrame:
        """One row a patient; a copy."""
        return self.patients_table.copy()

    @property
    def events(self) -> pd.DataFrame:
        """One row a patient who reached it after the start, in the columns of other events, for `time_to`."""
        reached = self.patients_table[self.patients_table["status"] == "reached"]
        frame = reached[["patient", "arm"]].assign(kind="milestone")
        frame["reference_day"], frame["reference_value"] = reached["baseline_day"], reached["baseline_value"]
        columns = ["day", "value", "confirmed_day", "onset_after", "onset_by"]
        frame[columns] = reached[columns]
        frame["label"] = pd.Series(None, index=frame.index, dtype="str")
        return frame.reset_index(drop=True)

    def summary(self) -> pd.DataFrame:
        """Count patients by arm and status.

        Returns
        -------
        A frame with one row an arm: `arm`, `patients`, `at_risk` (evaluable and not there yet), `reached`,
        `reached_before`, `not_evaluable`.
        """
        table = self.patients_table
        counts = pd.crosstab(table["arm"], table["status"], dropna=False).reindex(
            columns=_STATUS, fill_value=0
        )
        counts = counts.reindex(table["arm"].cat.categories, fill_value=0)
        return pd.DataFrame(
            {
                "arm": counts.index,
                "patients": counts.sum(axis=1).to_numpy(),
                "at_risk": (counts["reached"] + counts["not reached"]).to_numpy(),
                "reached": counts["reached"].to_numpy(),
                "reached_before": counts["reached before"].to_numpy(),
                "not_evaluable": counts["not evaluable"].to_numpy(),
            }
        )

    def __str__(self) -> str:
        lines = [
            f"{self.rule.name} in '{self.cohort_name}' ({len(self.patients_table):,} patients)",
            "",
        ]
        lines += counts_table(self.summary(), self.suppress_below)
        notes = [self.rule.methods, *([str(SIMULATED)] if self.simulated else []), *self.notes]
        for note in notes:
            lines += sentence(note, bullet="  - ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def milestone(
    cohort: Cohort,
    at: float = 6.0,
    *,
    confirmation: Confirmed | None = None,
    irreversible: bool = False,
    scale: ScaleChange | None = None,
    search_from: str = "index date",
    suppress_below: int | None = None,
) -> DisabilityMilestone:
    """Find when each patient reached a disability milestone: EDSS 4 (limited walking), 6 (unilateral aid), 7 (wheelchair) or any.

    Reached at the first visit at the level or worse that is confirmed: so are all visits up to the first
    eligible confirming one. Irreversible: the minimum of that score and all later ones is at the level or worse,
    and there is at least one later score. Who is there at the start, and stays until it is confirmed, is not at risk
    ("reached before").

    Parameters
    ----------
    cohort
        The patients.
    at
        The level, on the scale.
    confirmation
        When it is confirmed; None: `Confirmed()`, 24 weeks. Without effect on an irreversible milestone, which all
        later visits confirm.
    irreversible
        Whether it must hold to the end of follow-up.
    scale
        Another scale than the EDSS.
    search_from
        "index date": from the last visit at or before time 0 on (within the baseline window); "first visit".
    suppress_below
        Counts below this are not printed.

    Returns
    -------
    A `DisabilityMilestone` with one row a patient.

    Raises
    ------
    ValueError
        If `at` is no level of the EDSS, 0, or not finite.

    Examples
    --------
    >>> import pandas as pd
    >>> from trajectories.reading import read_cohort
    >>> visits = pd.DataFrame({"patient": "a", "day": [0, 90, 180, 270, 360], "edss": [3.5, 4.0, 3.5, 4.0, 4.5]})
    >>> milestone(read_cohort(visits), at=4, irreversible=True).patients["day"].tolist()
    [270]
    """
    check_limit(suppress_below)
    confirmed = Confirmed() if confirmation is None else confirmation
    _check(at, scale, search_from)
    change = edss.TRIAL if scale is None else scale
    rule = DisabilityRule(
        worsening=change, confirmation=confirmed, baseline=Fixed(clear_of_relapse=0), search_from=search_from  # type: ignore[arg-type]
    )  # fmt: skip
    visits = usable_visits(cohort, change, column_of(change), confirmed.scheduled_only)
    found = _scan(cohort, rule, visits, at, higher_is_worse(change), irreversible)
    name = "EDSS" if scale is None else scale.name
    worse = "or more" if higher_is_worse(change) else "or less"
    how = (
        "at this and every later visit, of which there is at least one"
        if irreversible
        else confirmed.describe().replace(
            "the threshold over the reference had to be reached", "it had to hold"
        )
    )
    notes = (f"{visits.missing} visits without {column_of(change)} were left out.",) if visits.missing else ()
    return DisabilityMilestone(
        patients_table=_patients(cohort, visits, found),
        rule=MilestoneRule(
            name=f"{name} {at:g}{', irreversible' if irreversible else ''}",
            methods=f"Reached: {name} {at:g} {worse}, {how}.",
        ),
        cohort_name=cohort.name,
        simulated=cohort.simulated,
        notes=notes,
        suppress_below=suppress_below,
    )


def _check(at: float, scale: ScaleChange | None, search_from: str) -> None:
    if scale is None and (not edss.is_level(at) or at == 0):
        raise ValueError(f"at: {at!r} is no level of the EDSS above 0 (1.0, 1.5, … 10.0).")
    if not np.isfinite(at):
        raise ValueError(f"at: a level of the scale, not {at!r}.")
    if search_from not in ("index date", "first visit"):
        raise ValueError(f"search_from: one of 'index date', 'first visit', not {search_from!r}.")


def _scan(
    cohort: Cohort, rule: DisabilityRule, visits: Visits, at: float, upwards: bool, irreversible: bool
) -> dict[str, NDArray[np.int64]]:
    from trajectories.endpoints.kernel import first_at

    sign = 1.0 if upwards else -1.0
    offsets, onsets = relapse_days(cohort)
    options = options_of(rule, cohort.baseline_window)
    there = sign * visits.value >= sign * at - 1e-9
    start, reached, confirmed, last, before = first_at(
        visits.offsets, offsets, visits.day, there, visits.fit, onsets, options, irreversible
    )
    return {"start": start, "reached": reached, "confirmed": confirmed, "last": last, "before": before}


def _patients(cohort: Cohort, visits: Visits, found: dict[str, NDArray[np.int64]]) -> pd.DataFrame:
    start, reached, last = found["start"], found["reached"], found["last"]
    n_visits = np.diff(visits.offsets)
    status = np.where(reached >= 0, 1, np.where((start < 0) | (last < 0), 3, 0))
    status = np.where((reached >= 0) & (found["before"] < 0), 2, status)

    def days(at: NDArray[np.int64]) -> pd.Series:
        day = np.where(at >= 0, visits.day[at], 0) if len(visits.day) else np.zeros(len(at))
        return pd.Series(pd.arrays.IntegerArray(day.astype(np.int64), at < 0))

    def values(at: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where(at >= 0, visits.value[at], np.nan) if len(visits.value) else np.full(len(at), np.nan)

    frame = cohort.patients_table[["patient", "arm"]].reset_index(drop=True)
    frame["n_visits"] = n_visits
    frame["baseline_day"] = days(start)
    frame["baseline_value"] = values(start)
    frame["last_day"] = days(np.where(n_visits > 0, visits.offsets[1:] - 1, -1))
    frame["last_confirmable_day"] = days(last)
    frame["status"] = pd.Series(_STATUS[status], dtype="str")
    frame["day"] = days(reached)
    frame["value"] = values(reached)
    frame["confirmed_day"] = days(found["confirmed"])
    frame["onset_after"] = days(found["before"])
    frame["onset_by"] = days(np.where(found["before"] >= 0, found["before"] + 1, -1))
    frame["eligible_milestone"] = (last >= 0) & (status < 2)
    return frame
