"""Cohorts with a known truth: EDSS by the ordinal mixed model, relapses by gamma–Poisson, real visits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from trajectories.cohort import Cohort
from trajectories.reading import read_cohort
from trajectories.simulation.averaging import FloatArray
from trajectories.simulation.cohort_truth import CohortTruth
from trajectories.simulation.drawing import (
    TYPICAL_DISABILITY,
    TYPICAL_RELAPSES,
    TYPICAL_VISITS,
    SimulatedTables,
    simulate_tables,
)
from trajectories.simulation.schedule import DropOut, VisitSchedule
from trajectories.simulation.scores import draw_effects
from trajectories.simulation.truth import GaussianTruth, OrdinalTruth, RelapseTruth

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
