"""The cohort that is analysed under a strategy: what came after the last day of follow-up is removed, and counted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from trajectories.caveats import Doubt
from trajectories.cohort import DAYS_PER_YEAR, Cohort
from trajectories.comparison.strategies import WHILE_ON, Duration, Strategy, ends_of_followup
from trajectories.printing import years

if TYPE_CHECKING:
    from trajectories.weighting.pairs import Matches

__all__ = ["follow", "pairwise_censored"]

_OBSERVED = {
    "visits_table": "visits",
    "relapses_table": "relapses",
    "mri_table": "scans",
    "adverse_events_table": "adverse events",
}
# How the note of a followed cohort begins, and how it goes on after the strategy.
NOTE, ENDED = "Follow-up: ", ". It ended by arm: "
PAIRED = "; pairwise censored"
FIRST = "first of the matched set ended"


def follow(
    cohort: Cohort, strategy: Strategy, *, lag: Duration | None = None, baseline_window: float = 1.0
) -> Cohort:
    """Make the cohort that is analysed under a strategy: its visits, relapses, scans and adverse events up to each patient's last day.

    With a `lag` time 0 is moved: day' = day − lag. Then the baseline EDSS is that of the last visit after the treatment start and at or
    before the new time 0, relapses are counted from there, and what was observed between treatment start and the lag is no outcome.

    Parameters
    ----------
    cohort
        As read.
    strategy
        `IntentionToTreat()` or `OnTreatment(…)`.
    lag
        How long the drug takes to work, if effects before that are not to be counted.
    baseline_window
        Years before the new time 0 in which the last EDSS counts as `edss_baseline`.

    Returns
    -------
    A `Cohort` with `notes` that say how many ended by arm and reason, and what was removed. The table of treatments is kept whole.
    After a lag `edss_at_treatment` holds the old baseline, and `relapses_year_before` still counts the year before treatment.

    Raises
    ------
    ValueError
        As `OnTreatment` says, or if nobody is followed beyond the lag.

    Source: for lags, Roos et al. (2020), Brain 143:2742, doi:10.1093/brain/awaa231.

    Examples
    --------
    >>> import trajectories as tj
    >>> visits = pd.DataFrame({"patient": "a", "day": [0, 200, 400], "edss": [2.0, 2.5, 3.0]})
    >>> courses = pd.DataFrame({"patient": ["a"], "drug": ["fingolimod"], "start": [0], "stop": [300]})
    >>> cohort = tj.read_cohort(visits, treatments=courses, name="made up")
    >>> tj.follow(cohort, tj.OnTreatment()).visits["day"].tolist()
    [0, 200]
    >>> tj.follow(cohort, tj.IntentionToTreat(), lag=tj.Duration(days=200)).visits["day"].tolist()
    [0, 200]
    """
    return followed(cohort, strategy, lag, baseline_window)[0]


def followed(
    cohort: Cohort, strategy: Strategy, lag: Duration | None, baseline_window: float = 1.0
) -> tuple[Cohort, pd.DataFrame]:
    """What `follow` makes, and when and why follow-up of each patient ended: `patient`, `arm`, `day` (before a lag), `reason`."""
    ends = ends_of_followup(cohort, strategy)
    made = cut(cohort, ends, str(strategy))
    return (made if lag is None else _rebaselined(made, lag, baseline_window)), ends


def pairwise_censored(cohort: Cohort, matches: Matches, strategy: Strategy) -> Cohort:
    """Follow matched sets together: everybody in a set until the day on which follow-up of the first of them ends.

    Follow-up is then as long in both arms, and whoever stops takes along partners with the same baseline. Ends of every kind count: stop,
    switch and the end of observation. This removes the bias of stopping that goes with what was matched, and of comparing rates over early
    time in one arm with rates over all time in the other. It does not remove that of stopping that goes with the course since baseline:
    the stayers of one arm are then chosen by their course, and their partners are not. In simulations with a rate ratio of 0.70, of which
    the arm with the drug was stopped sooner, plain on-treatment follow-up and pairwise censoring gave 0.53 and 0.70 where those worse at
    baseline stopped, 0.87 and 0.70 where rates fell in time, 0.47 and 0.50 where relapses led to a stop. For the last use
    `tj.censoring_weights`, or a mixed model of all that stopping depends on.

    Parameters
    ----------
    cohort
        The cohort that was matched.
    matches
        From `tj.match`, without replacement.
    strategy
        `IntentionToTreat()` or `OnTreatment(…)`.

    Returns
    -------
    A `Cohort` of the matched patients, of their two arms, with the column `matched_set`, a cluster for `tj.Bootstrap`; analyse it with
    `matches.weights`.

    Raises
    ------
    ValueError
        If a patient is in several sets.

    Source: Kalincik et al. (2017), Lancet Neurology 16:271, doi:10.1016/S1474-4422(17)30007-8.

    Examples
    --------
    >>> import trajectories as tj
    >>> cohort = tj.simulated_three_dmts_400()
    >>> matches = tj.match(tj.propensity(cohort, "arm ~ age + edss_baseline"), treated="alemtuzumab", control="ocrelizumab")
    >>> together = tj.pairwise_censored(cohort, matches, tj.IntentionToTreat()).patients
    >>> bool((together.groupby("matched_set")["followup_end_day"].nunique() == 1).all())
    True
    """
    return followed_in_sets(cohort, matches, strategy)[0]


def followed_in_sets(cohort: Cohort, matches: Matches, strategy: Strategy) -> tuple[Cohort, pd.DataFrame]:
    """What `pairwise_censored` makes, and when and why follow-up of each patient ended, as in `followed`."""
    sets = matches.sets.set_index("patient")["set"]
    if sets.index.has_duplicates:
        raise ValueError(
            "a control is in several sets, and would be censored on different days: match with replace=False."
        )
    chosen = cohort.only([patient for patient in cohort.patients["patient"] if patient in sets.index])
    ends = ends_of_followup(chosen, strategy)
    own = ends["patient"].map(sets)
    first = ends["day"].groupby(own).transform("min")
    ends.loc[first < ends["day"], "reason"] = FIRST
    ends = ends.assign(day=first)
    made = cut(chosen, ends, f"{strategy}{PAIRED}")
    people = made.patients.assign(arm=made.patients["arm"].cat.remove_unused_categories())
    return replace(made, patients_table=people.assign(matched_set=own.to_numpy())), ends


def cut(cohort: Cohort, ends: pd.DataFrame, what: str) -> Cohort:
    """Remove what came after each patient's last day; `ends` has a row a patient: `patient`, `arm`, `day`, `reason`."""
    people = cohort.patients
    last = ends.set_index("patient")["day"]
    people["followup_end_day"] = np.maximum(
        ends["day"].to_numpy(), people["followup_start_day"].to_numpy() - 1
    )
    removed: list[str] = []
    tables: dict[str, Any] = {}
    for name, noun in _OBSERVED.items():
        table = getattr(cohort, name)
        if table is None:
            continue
        kept = (table["day"] <= table["patient"].map(last)).to_numpy()
        tables[name] = table[kept].reset_index(drop=True)
        removed += [f"{int((~kept).sum())} of {len(table)} {noun}"] if not kept.all() else []
    said = f"{NOTE}{what}{ENDED}{ends_by_arm(ends)}."
    gone = (f"Removed, as after it: {', '.join(removed)}.",) if removed else ()
    return replace(cohort, patients_table=people, notes=(*cohort.notes, said, *gone), **tables)


def cut_by(cohort: Cohort) -> str | None:
    """The strategy, in words, by which follow-up of a cohort was cut; None for a cohort as read, or followed by intention to treat.

    >>> import trajectories as tj
    >>> cohort = tj.simulated_three_dmts_400()
    >>> cut_by(tj.follow(cohort, tj.IntentionToTreat())) is None
    True
    """
    notes = [said for said in map(said_of, cohort.notes) if said is not None]
    cutting = [said for said in notes if said.startswith(WHILE_ON) or said.endswith(PAIRED)]
    return cutting[-1] if cutting else None


def cut_caveat(cohort: Cohort) -> tuple[str, ...]:
    """What a contrast of a cohort that was cut must say, in words that `said_of` reads; nothing of another cohort."""
    cutting = cut_by(cohort)
    return () if cutting is None else (Doubt(f"{NOTE}{cutting}."),)


def said_of(note: str) -> str | None:
    """The strategy in a sentence that says how a cohort was followed; None in another sentence.

    >>> said_of("Follow-up: intention-to-treat. It ended by arm: a 1 end of observation."), said_of("There is no relapse table.")
    ('intention-to-treat', None)
    """
    return note.removeprefix(NOTE).split(ENDED)[0].rstrip(".") if note.startswith(NOTE) else None


def ends_by_arm(ends: pd.DataFrame) -> str:
    """Write how many patients ended why, by arm.

    >>> ends_by_arm(pd.DataFrame({"arm": ["a", "a", "b"], "reason": ["stopped", "switched", "stopped"]}))
    'a 1 stopped, 1 switched; b 1 stopped'
    """
    parts = []
    for arm, mine in ends.groupby("arm", sort=False)["reason"]:
        counts = mine.value_counts().sort_index()
        parts.append(f"{arm} " + ", ".join(f"{n} {why}" for why, n in counts.items()))
    return "; ".join(parts)


def _rebaselined(cohort: Cohort, lag: Duration, window: float) -> Cohort:
    days, people = lag.in_days, cohort.patients
    inside = (people["followup_end_day"] >= days).to_numpy()
    if not inside.any():
        raise ValueError(f"nobody is followed for {lag} after the treatment start: shorten the lag.")
    kept = people[inside].reset_index(drop=True)
    visits = cohort.visits
    visits = visits[visits["patient"].isin(kept["patient"])]
    earliest = max(1, days - int(np.floor(window * DAYS_PER_YEAR)))
    before = visits[visits["day"].between(earliest, days) & visits["edss"].notna()]
    baseline = before.groupby("patient", sort=False).tail(1)  # rows are in order of time
    kept["edss_at_treatment"] = kept["edss_baseline"]
    kept["edss_baseline"] = kept["patient"].map(baseline.set_index("patient")["edss"]).astype(float)
    kept["followup_start_day"] = np.maximum(kept["followup_start_day"] - days, 0)
    kept["followup_end_day"] = np.maximum(kept["followup_end_day"] - days, kept["followup_start_day"] - 1)
    tables: dict[str, Any] = {
        "visits_table": _moved(visits[(visits["day"] > days) | visits.index.isin(baseline.index)], days)
    }
    for name in tuple(_OBSERVED)[1:]:
        table = getattr(cohort, name)
        if table is not None:
            mine = table[table["patient"].isin(kept["patient"]) & (table["day"] >= days)]
            tables[name] = _moved(mine, days)
    if (courses := cohort.treatments) is not None:
        courses = courses[courses["patient"].isin(kept["patient"])].reset_index(drop=True)
        for column in ("start", "stop"):
            courses[f"{column}_day"] -= days
            courses[f"{column}_years"] -= days / DAYS_PER_YEAR
        tables["treatments_table"] = courses
    lost = people.loc[~inside, "arm"].astype(str).value_counts(sort=False)
    unknown = int(kept["edss_baseline"].isna().sum())
    notes = (
        f"Re-baselined by a lag of {lag} ({days} days): outcomes before it are excluded, so nothing here is the effect until then; patients "
        f"whose follow-up ended before it are left out ({', '.join(f'{n} {arm}' for arm, n in lost.items()) or 'none'}), which selects those "
        "who stayed.",
        f"{len(kept) - unknown} of {len(kept)} patients have an EDSS after treatment start and within {years(window)} before the new time 0, "
        "their new edss_baseline; it may already hold effects of the drug.",
    )
    index_date = f"Time 0 is {lag} after the treatment start (re-baselined). Before: {cohort.index_date}"
    return replace(
        cohort, patients_table=kept, index_date=index_date, notes=(*cohort.notes, *notes), **tables
    )


def _moved(table: pd.DataFrame, days: int) -> pd.DataFrame:
    """Count days and years from the new time 0."""
    moved = table.assign(day=table["day"] - days, years=table["years"] - days / DAYS_PER_YEAR)
    return moved.reset_index(drop=True)
