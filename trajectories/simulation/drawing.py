"""The tables of a simulated cohort, drawn part by part, each part from its own stream of random numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trajectories.cohort import DAYS_PER_YEAR
from trajectories.simulation.averaging import FloatArray
from trajectories.simulation.cohort_truth import CohortTruth
from trajectories.simulation.onsets import draw_onsets, gamma_multiplier
from trajectories.simulation.people import check_arms, people_of
from trajectories.simulation.schedule import BoolArray, DropOut, IntArray, VisitSchedule
from trajectories.simulation.scores import draw_edss, draw_effects
from trajectories.simulation.truth import OrdinalTruth, RelapseTruth, covariate_part

TYPICAL_DISABILITY = OrdinalTruth()
TYPICAL_RELAPSES = RelapseTruth()
TYPICAL_VISITS = VisitSchedule()


@dataclass(frozen=True, kw_only=True)
class SimulatedTables:
    """The tables of a simulated cohort, in days since treatment start as `read_cohort` takes them."""

    visits: pd.DataFrame
    relapses: pd.DataFrame | None
    patients: pd.DataFrame
    truth: CohortTruth


def simulate_tables(
    *,
    patients: int | Mapping[str, int] | pd.DataFrame = 200,
    seed: int,
    disability: OrdinalTruth = TYPICAL_DISABILITY,
    relapses: RelapseTruth | None = TYPICAL_RELAPSES,
    visits: VisitSchedule = TYPICAL_VISITS,
    dropout: DropOut | None = None,
) -> SimulatedTables:
    """Simulate the tables of a cohort; arguments and errors as `simulate_cohort`, which reads them in.

    For thousands of simulations, and to change the tables before they are read.

    Examples
    --------
    >>> tables = simulate_tables(patients=20, seed=1)
    >>> list(tables.visits), len(tables.patients)
    (['patient', 'day', 'edss'], 20)
    """
    people = people_of(patients)
    check_arms(people, disability, relapses, dropout)
    streams = _streams(seed)
    truth = _truth(people, disability, relapses, seed, streams)
    span = _span(visits, relapses)
    seen = _seen_visits(truth, visits, streams)
    last_days = np.full(len(people), span[1])
    if dropout is not None:
        arms = people["arm"].astype(str).tolist()
        last_days = dropout.draw(arms, seen.days, seen.edss, span[1], streams["dropout"])
    return SimulatedTables(
        visits=seen.table(people, last_days),
        relapses=_relapse_table(truth, span, last_days, streams),
        patients=people.assign(followup_start=span[0], followup_end=last_days),
        truth=truth,
    )


def _streams(seed: int) -> dict[str, np.random.Generator]:
    """One generator for each part of the simulation, so that a change to one part leaves the others alone."""
    parts = (
        *("effects", "visits", "score", "fluctuation", "rater", "dropout"),
        *("relapse effects", "relapses before", "relapses after"),
    )
    children = np.random.SeedSequence(seed).spawn(len(parts))
    return {part: np.random.default_rng(child) for part, child in zip(parts, children, strict=True)}


def _truth(
    people: pd.DataFrame,
    disability: OrdinalTruth,
    relapses: RelapseTruth | None,
    seed: int,
    streams: dict[str, np.random.Generator],
) -> CohortTruth:
    n = len(people)
    sds = (disability.patient_sd, disability.slope_sd)
    intercept, slope = draw_effects(n, sds, disability.correlation, streams["effects"])
    table = people.assign(intercept=intercept, slope=slope)
    if relapses is not None:
        rng = streams["relapse effects"]
        table["log_rate"] = relapses.patient_sd * rng.standard_normal(n)
        table["frailty"] = gamma_multiplier(np.full(n, relapses.frailty), rng)
    arms = tuple(str(arm) for arm in people["arm"].cat.categories)
    return CohortTruth(arms=arms, disability=disability, relapses=relapses, seed=seed, table=table)


def _span(visits: VisitSchedule, relapses: RelapseTruth | None) -> tuple[int, int]:
    """First and last day of complete follow-up."""
    first, last = visits.span
    history = 0.0 if relapses is None else relapses.history
    return min(first, -round(history * DAYS_PER_YEAR)), last


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """Visits as matrices (patients, planned visits); `edss` is NaN where none was recorded."""

    days: IntArray
    attended: BoolArray
    edss: FloatArray

    def table(self, people: pd.DataFrame, last_days: IntArray) -> pd.DataFrame:
        row, column = np.nonzero(self.attended & (self.days <= last_days[:, None]))
        return pd.DataFrame(
            {
                "patient": people["patient"].to_numpy()[row],
                "day": self.days[row, column],
                "edss": self.edss[row, column],
            }
        )


def _seen_visits(truth: CohortTruth, visits: VisitSchedule, streams: dict[str, np.random.Generator]) -> _Seen:
    days, attended, recorded = visits.draw(len(truth.table), streams["visits"])
    scores = draw_edss(
        truth,
        days,
        score=streams["score"],
        fluctuation=streams["fluctuation"],
        rater=streams["rater"],
    )
    return _Seen(days=days, attended=attended, edss=np.where(attended & recorded, scores, np.nan))


def _relapse_table(
    truth: CohortTruth,
    span: tuple[int, int],
    last_days: IntArray,
    streams: dict[str, np.random.Generator],
) -> pd.DataFrame | None:
    """Relapses within each patient's follow-up: `patient`, `day`."""
    if truth.relapses is None:
        return None
    table = truth.table
    log_multiplier = covariate_part(truth.relapses.effects, table) + table["log_rate"].to_numpy()
    onsets = draw_onsets(
        truth.relapses,
        arms=table["arm"].astype(str).tolist(),
        multiplier=np.exp(log_multiplier) * table["frailty"].to_numpy(),
        span=span,
        before=streams["relapses before"],
        after=streams["relapses after"],
    )
    within = onsets[onsets["day"].to_numpy() <= last_days[onsets["row"].to_numpy()]]
    return pd.DataFrame(
        {"patient": table["patient"].to_numpy()[within["row"].to_numpy()], "day": within["day"].to_numpy()}
    )
