"""What a target trial emulated in a cohort may have got wrong: sentences with numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from trajectories.cohort import Cohort
from trajectories.comparison.bootstrap import FEWEST
from trajectories.comparison.calendar_time import calendar_overlap
from trajectories.comparison.histories import start_years, with_history
from trajectories.comparison.strategies import NATURAL, Duration
from trajectories.comparison.visiting import visit_density
from trajectories.reading.arms import UNTREATED

__all__ = ["on_design", "on_followup"]

# Drugs after which disease activity comes back, or comes back worse.
REBOUND = ("natalizumab", "fingolimod", "siponimod", "ozanimod", "ponesimod")
# What columns of each kind are called: those of `with_history`, and those of the package's examples.
HISTORY = {
    "previous DMT": ("previous_drug", "prior_dmts"),
    "washout": ("washout", "washout_days"),
    "the reason for stopping": ("stop_reason",),
}
# A ratio of visit rates beyond this, either way, is said.
UNEQUAL = 1.25


def on_design(
    cohort: Cohort,
    adjusted: Collection[str],
    drugs: Mapping[str, tuple[str, ...]],
    person: str,
    centre: str,
    rebound: Duration,
) -> list[str]:
    """Judge covariates, history, calendar time, time zero and persons of the eligible cohort."""
    return [
        *_covariates(cohort, adjusted, centre),
        *_rebound(cohort, drugs, rebound),
        *_calendar(cohort, adjusted),
        *_immortal(cohort, drugs),
        *_persons(cohort, person),
    ]


def on_followup(cohort: Cohort, ends: pd.DataFrame, *, handled: bool) -> list[str]:
    """Judge how follow-up ended, unless that is handled by weights or by matched sets, and how often patients were seen in it."""
    said = []
    early = ends["reason"] != NATURAL
    if early.any() and not handled:
        shares = early.groupby(ends["arm"], sort=False).agg(["sum", "size"])
        counts = ", ".join(f"{row['sum']} of {row['size']} {arm}" for arm, row in shares.iterrows())
        said.append(
            f"Follow-up was ended by the strategy in {counts}: those who stop differ from those who stay, so use pairwise censoring "
            "(tj.pairwise_censored), censoring weights (tj.censoring_weights), or a mixed model that has all that stopping depends on."
        )
    for _, row in visit_density(cohort).ratios.iterrows():
        ratio = float(row["ratio"])
        if np.isfinite(ratio) and ratio > 0 and max(ratio, 1 / ratio) > UNEQUAL:
            limits = "" if np.isnan(row["lower"]) else f" ({row['lower']:.2f} to {row['upper']:.2f})"
            said.append(
                f"{row['arm']} was seen {ratio:.2f}{limits} times as often as {row['reference']}: events are found sooner where visits are more "
                "(tj.visit_density)."
            )
    return said


def _covariates(cohort: Cohort, adjusted: Collection[str], centre: str) -> list[str]:
    lacking = [what for what, names in HISTORY.items() if not set(names) & set(adjusted)]
    said = []
    if lacking:
        said.append(
            f"Not adjusted for {', '.join(lacking)}: whoever switches drugs has reasons that go with the outcome. tj.with_history makes "
            "covariates of them from the treatments."
        )
    if "start_year" not in adjusted:
        said.append("Not adjusted for calendar time (start_year, from tj.with_history).")
    if centre in cohort.patients and centre not in adjusted:
        several = cohort.patients[centre].nunique() >= FEWEST
        drawn = f", or draw centres together, tj.Bootstrap(cluster={centre!r})" if several else ""
        said.append(
            f"Not adjusted for {centre}: name it in the formulas, as a covariate or with effects of its levels, '(1 | {centre})'{drawn}."
        )
    return said


def _rebound(cohort: Cohort, drugs: Mapping[str, tuple[str, ...]], within: Duration) -> list[str]:
    if cohort.treatments_table is None:
        return [
            "There is no table of treatments: previous drugs, washout and rebound after them cannot be told."
        ]
    people = with_history(cohort, drugs=drugs).patients
    named = people["previous_drug"].str.casefold().str.contains("|".join(REBOUND), regex=True)
    flagged = named & (people["washout_days"] <= within.in_days)
    if not flagged.any():
        return []
    last = _listed(people.loc[flagged, "previous_drug"])
    return [
        f"Rebound is possible: {_by_arm(flagged, people)} stopped {last} within {within} before time 0, and relapses before or soon after it "
        "may come from that and not from the disease or the new drug."
    ]


def _calendar(cohort: Cohort, adjusted: Collection[str]) -> list[str]:
    if start_years(cohort.patients) is None:
        if "start_year" in adjusted:
            return []
        return [
            "There are no dates of treatment start: whether the arms overlap in calendar time cannot be told."
        ]
    return list(calendar_overlap(cohort).warnings)


def _immortal(cohort: Cohort, drugs: Mapping[str, tuple[str, ...]]) -> list[str]:
    courses, people = cohort.treatments, cohort.patients
    if courses is None:
        return []
    arm = people["arm"].astype(str)
    own = courses["patient"].map(dict(zip(people["patient"], arm, strict=True)))
    mine = np.array([d in drugs.get(a, (a,)) for d, a in zip(courses["drug"], own, strict=True)], dtype=bool)
    first = people["patient"].map(courses[mine].groupby("patient")["start_day"].min())
    treated = arm != UNTREATED
    late, never = first > 0, first.isna() & treated
    said = []
    if late.any():
        said.append(
            f"Immortal time: {_by_arm(late, people)} started their arm's drug after time 0 (median {first[late].median():.0f} days): the arm "
            "was known only then, and whoever was in it had to be there until then. Set time 0 to the start of treatment."
        )
    if never.any():
        said.append(
            f"{_by_arm(never, people)} have no course of a drug with the name of their arm: time zero was not checked for them."
        )
    return said


def _persons(cohort: Cohort, person: str) -> list[str]:
    people = cohort.patients
    if person not in people:
        return []
    episodes = people.groupby(person).agg(n=("patient", "size"), arms=("arm", "nunique"))
    several, crossed = int((episodes["n"] > 1).sum()), int((episodes["arms"] > 1).sum())
    if not several:
        return []
    remedy = (
        f"draw their episodes together, tj.Bootstrap(cluster={person!r})"
        if len(episodes) >= FEWEST
        else "keep one episode of each, as there are too few persons to draw their episodes together"
    )
    return [
        f"{several} {'person has' if several == 1 else 'persons have'} several index episodes ({len(people)} episodes of {len(episodes)} "
        f"persons in all), {crossed or 'none'} of them in different arms: {remedy}; other intervals are too narrow or too wide."
    ]


def _by_arm(chosen: pd.Series, people: pd.DataFrame) -> str:
    arm = people["arm"].astype(str)
    some, n = arm[chosen.to_numpy(dtype=bool)].value_counts(), arm.value_counts(sort=False)
    return ", ".join(f"{some[name]} of {n[name]} {name}" for name in n.index if name in some)


def _listed(drugs: pd.Series) -> str:
    return " or ".join(sorted(set(drugs)))
