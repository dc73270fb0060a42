"""Cohorts with a known truth: EDSS by the ordinal mixed model, relapses by gamma–Poisson, real visits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from trajectories.cohort import Cohort
from trajectories.reading import read_cohort
from trajectories.simulation.averaging import FloatArray
from trajectories.simulation.cohort_truth import CohortTruth
from trajectories.simulation.onsets import draw_onsets, gamma_multiplier
from trajectories.simulation.schedule import BoolArray, DropOut, IntArray, VisitSchedule
from trajectories.simulation.scores import draw_edss, draw_effects
from trajectories.simulation.truth import (
    DAYS_PER_YEAR,
    GaussianTruth,
    OrdinalTruth,
    RelapseTruth,
    covariate_part,
)

__all__ = [
    "CohortTruth",
    "DropOut",
    "GaussianTruth",
    "OrdinalTruth",
    "RelapseTruth",
    "SimulatedTables",
    "VisitSchedule",
    "simulate_cohort",
    "simulate_scores",
    "simulate_tables",
]

TYPICAL_DISABILITY = OrdinalTruth()
TYPICAL_RELAPSES = RelapseTruth()
TYPICAL_VISITS = VisitSchedule()
EFFECTS = ("intercept", "slope", "log_rate", "frailty")  # columns of the truth, so not for covariates
INDEX_DATE = "Time 0 is the simulated treatment start."


def simulate_cohort(
    *,
    patients: int | Mapping[str, int] | pd.DataFrame = 200,
    seed: int,
    disability: OrdinalTruth = TYPICAL_DISABILITY,
    relapses: RelapseTruth | None = TYPICAL_RELAPSES,
    visits: VisitSchedule = TYPICAL_VISITS,
    dropout: DropOut | None = None,
    name: str = "simulated cohort",
) -> Cohort:
    """Simulate a cohort whose true parameters and population averages are known.

    EDSS: P(EDSS_ij ≤ level k) = F(c_k − η_ij) with correlated patient intercepts and slopes, see
    `OrdinalTruth`. Relapses: Poisson at a rate that varies between patients, see `RelapseTruth`. Follow-up
    runs from the earlier of the first planned visit and the relapse history to the last planned visit or
    drop-out.

    Each part has its own stream of random numbers: as long as no parameter before treatment start differs by
    arm (`OrdinalTruth(before=…)`, one `RelapseTruth.before`), the same seed gives the same patients and the
    same history before treatment start whatever arm they get, which is how to let a treatment depend on the
    history.

    Parameters
    ----------
    patients
        How many (in one arm, "all"); or how many by arm, the reference arm first; or a table, one row a
        patient, with the column `arm` and covariates, which the effects of the truth may name.
    seed
        Any whole number of at least 0; the same seed gives the same cohort.
    disability
        True parameters of the EDSS.
    relapses
        True relapse rates; None simulates no relapse table.
    visits
        The schedule, its irregularity and what is missed.
    dropout
        How patients leave; None keeps everybody to the last planned visit.
    name
        Name of the cohort; it begins with "simulated".

    Returns
    -------
    Cohort
        With `simulated=True` and `truth`, a `CohortTruth`.

    Raises
    ------
    ValueError
        If an arm of the parameters is not among the arms or an arm of a per-arm mapping is missing, a
        covariate is not in the table, an arm has no patient, or the name does not begin with "simulated".

    Examples
    --------
    >>> cohort = simulate_cohort(patients={"alemtuzumab": 60, "ocrelizumab": 60}, seed=1)
    >>> print(str(cohort).splitlines()[0])
    SIMULATED cohort 'simulated cohort': 120 patients, 720 visits, ...
    >>> round(float(cohort.truth.expected_edss("alemtuzumab", at=2.0)), 2)
    3.44
    >>> cohort.truth.relapse_rate("alemtuzumab", period=(0, 2))
    0.3
    """
    if not name.startswith("simulated"):
        raise ValueError(f'the name of a simulated cohort begins with "simulated", got {name!r}')
    tables = simulate_tables(
        patients=patients,
        seed=seed,
        disability=disability,
        relapses=relapses,
        visits=visits,
        dropout=dropout,
    )
    cohort = read_cohort(tables.visits, relapses=tables.relapses, patients=tables.patients, name=name)
    return replace(cohort, simulated=True, truth=tables.truth, index_date=INDEX_DATE)


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
    people = _people(patients)
    _check_arms(people, disability, relapses, dropout)
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


def simulate_scores(cohort: Cohort, *, truth: GaussianTruth, seed: int) -> FloatArray:
    """Draw scores from the Gaussian mixed model at a cohort's visits, for a Gaussian model to recover.

    They are numbers off the levels of the EDSS, so they cannot be in a cohort; rounding them to levels is
    what a Gaussian model of EDSS gets wrong, and hides whether the estimation is right.

    Parameters
    ----------
    cohort
        Gives the patients, their arms and the times of their visits.
    truth
        True parameters.
    seed
        The same seed gives the same scores.

    Returns
    -------
    array, shape (visits,)
        In the order of `cohort.visits`, EDSS points.

    Examples
    --------
    >>> cohort = simulate_cohort(patients=50, seed=1)
    >>> scores = simulate_scores(cohort, truth=GaussianTruth(intercept=3.0), seed=2)
    >>> len(scores) == len(cohort.visits)
    True
    """
    rng = np.random.default_rng(seed)
    people, seen = cohort.patients, cohort.visits
    sds = (truth.patient_sd, truth.slope_sd)
    intercept, slope = draw_effects(len(people), sds, truth.correlation, rng)
    row = pd.Index(people["patient"]).get_indexer(pd.Index(seen["patient"]))
    years = seen["years"].to_numpy(dtype=np.float64)
    arms = people["arm"].astype(str).to_numpy()[row]
    mean = np.empty(len(seen))
    for arm in cohort.arms:
        mean[arms == arm] = truth.expected(arm, years[arms == arm])
    noise = truth.residual_sd * rng.standard_normal(len(seen))
    scores: FloatArray = mean + intercept[row] + slope[row] * years + noise
    return scores


def _streams(seed: int) -> dict[str, np.random.Generator]:
    """One generator for each part of the simulation, so that a change to one part leaves the others alone."""
    parts = (
        *("effects", "visits", "score", "fluctuation", "rater", "dropout"),
        *("relapse effects", "relapses before", "relapses after"),
    )
    children = np.random.SeedSequence(seed).spawn(len(parts))
    return {part: np.random.default_rng(child) for part, child in zip(parts, children, strict=True)}


def _people(patients: int | Mapping[str, int] | pd.DataFrame) -> pd.DataFrame:
    """One row a patient: `patient`, `arm` (ordered, the reference first), covariates."""
    if isinstance(patients, pd.DataFrame):
        people = patients.reset_index(drop=True)
        if "arm" not in people:
            raise ValueError(f"the table of patients needs a column 'arm'; it has {list(people.columns)}")
        taken = [column for column in people if column in EFFECTS]
        if taken:
            raise ValueError(f"the names {taken} are taken by the patient effects; rename these covariates")
    else:
        sizes = patients if isinstance(patients, Mapping) else {"all": patients}
        people = pd.DataFrame({"arm": [arm for arm, size in sizes.items() for _ in range(size)]})
        if len(people["arm"].unique()) < max(len(sizes), 1):
            raise ValueError(f"every arm needs at least one patient, got {dict(sizes)}")
    if people.empty or people["arm"].isna().any():
        raise ValueError("there must be at least one patient, and every patient needs an arm")
    if "patient" not in people:
        people.insert(0, "patient", [f"sim{i:04d}" for i in range(1, len(people) + 1)])
    if not isinstance(people["arm"].dtype, pd.CategoricalDtype):
        people["arm"] = pd.Categorical(people["arm"], categories=people["arm"].unique(), ordered=True)
    return people


def _check_arms(
    people: pd.DataFrame, disability: OrdinalTruth, relapses: RelapseTruth | None, dropout: DropOut | None
) -> None:
    arms = set(people["arm"].cat.categories)
    given: dict[str, float | Mapping[str, float]] = {
        "disability.arm_shift": disability.arm_shift,
        "disability.arm_slope": disability.arm_slope,
    }
    may_lack = set(given)
    if relapses is not None:
        given |= {f"relapses.{name}": getattr(relapses, name) for name in ("before", "after", "dispersion")}
    if dropout is not None:
        given["dropout.rate"] = dropout.rate
    for name, value in given.items():
        named = set(value) if isinstance(value, Mapping) else arms
        unknown, lacking = named - arms, set() if name in may_lack else arms - named
        if unknown or lacking:
            raise ValueError(
                f"{name} must name the arms {sorted(arms)}; "
                f"unknown: {sorted(unknown) or 'none'}, missing: {sorted(lacking) or 'none'}"
            )


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
