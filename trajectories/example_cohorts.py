"""The two cohorts that ship with the package. Both are simulated: no patient is in them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd

from trajectories.cohort import Cohort
from trajectories.reading import read_cohort
from trajectories.simulate import INDEX_DATE
from trajectories.simulation.cohort_truth import CohortTruth
from trajectories.simulation.truth import OrdinalTruth, RelapseTruth

__all__ = ["simulated_alemtuzumab_35", "simulated_three_dmts_400"]

FOLDER = Path(__file__).parent / "example_data"


def simulated_alemtuzumab_35() -> Cohort:
    """Read a SIMULATED cohort of 35 patients, shaped like the published summaries of Zmira et al. 2020.

    No patient of that study is in it: it is one draw of `OrdinalTruth` and `RelapseTruth`, its seed and
    cutpoints chosen so that medians and quartiles come close to the published ones. Median (quartiles), n in
    front; linear interpolation, EDSS within 0.25 years of the time, relapses in completely observed years:

    ==================  ===================  =======================
    EDSS at             published            simulated
    ==================  ===================  =======================
    −1 year             4.0 (1.5–5.1)        28: 4.0 (1.5–5.125)
    start               4.0 (2.5–6.0)        35: 4.0 (2.5–6.0)
    1 year              4.8 (2.9–6.0)        33: 5.0 (3.0–6.0)
    2 years             3.0 (2.5–6.5)        29: 3.0 (2.5–6.5)
    relapses, year −1   2.0 (1.0–3.0)        35: 2.0 (1.0–3.0)
    relapses, year 1    0.0 (0.0–1.0)        33: 0.0 (0.0–1.0)
    relapses, year 2    0.0 (0.0–0.0)        30: 0.0 (0.0–0.0)
    ==================  ===================  =======================

    Also as published: 19 women and 16 men, mean age 37.3 (SD 10.5), mean disease duration 10.4 years, 3
    earlier DMTs (here the median). What does not match: EDSS at 1 year (the published median of 4.75 needs
    an even number of patients). What was not published and is invented: the numbers seen, drop-out (6 % a
    year), visits each half year within ± 20 days with 8 % missed, calendar dates, everything within a
    patient. Covariates are unrelated to outcomes. Being chosen to match, this one draw is no test of any
    method; simulate for that.

    The truth: EDSS rises before the start and then, on average, does not change at all; relapses fall from
    2.1 to 0.32 a year. Single patients do change (SD of the slope about 0.35 EDSS a year), without any
    trend.

    Returns
    -------
    Cohort
        With `simulated=True`, `truth`, a `CohortTruth`, and simulated dates of treatment start (`start`).

    References
    ----------
    Zmira et al. 2020, Acta Neurologica Belgica, doi 10.1007/s13760-020-01375-6.

    Examples
    --------
    >>> cohort = simulated_alemtuzumab_35()
    >>> cohort.n_patients, cohort.arms, cohort.simulated
    (35, ('alemtuzumab',), True)
    >>> round(float(cohort.truth.change("alemtuzumab", at=2.0)), 2)
    0.01
    """
    return _read("simulated_alemtuzumab_35")


def simulated_three_dmts_400() -> Cohort:
    """Read a SIMULATED observational cohort: 400 patients on three DMTs, treated by their history.

    Fingolimod (148 patients, the reference arm), ocrelizumab (119) and alemtuzumab (133), seen about every
    half year from one year before treatment start to four years after it; patients drop out (7 % a year at
    EDSS 3, more above it), 7 % of visits are missed, 2 % have no EDSS. The patients table has `sex`, `age`,
    `duration_years` and `prior_dmts`.

    All effects are invented and say nothing about these drugs. They are those of the model in `OrdinalTruth`
    and `RelapseTruth`, so `cohort.truth` gives the answers a causal analysis should find in this population:

    ================================  ==========  ===========  ===========
    if everybody were given           fingolimod  ocrelizumab  alemtuzumab
    ================================  ==========  ===========  ===========
    change in EDSS after 2 years           +0.41        +0.15        −0.10
    change in EDSS after 4 years           +0.83        +0.33        −0.15
    relapses a year after the start         0.36         0.18         0.14
    ================================  ==========  ===========  ===========

    The arm was drawn for each patient from age, the last EDSS and the relapses of the year before:
    alemtuzumab went to the younger, more active and more disabled patients. Before treatment start the arms
    are one population (expected EDSS 3.07, 1.03 relapses a year), so what differs between them at baseline
    is selection, part of it chance that fades afterwards; all that decided the treatment is recorded.

    Returns
    -------
    Cohort
        With `simulated=True` and `truth`, a `CohortTruth`.

    Examples
    --------
    >>> cohort = simulated_three_dmts_400()
    >>> cohort.arms
    ('fingolimod', 'ocrelizumab', 'alemtuzumab')
    >>> round(float(cohort.truth.change("fingolimod", at=2.0)), 2)
    0.41
    >>> selected = cohort.patients.groupby("arm", observed=True)[["edss_baseline", "relapses_year_before"]]
    >>> selected.mean().round(1)
                 edss_baseline  relapses_year_before
    arm
    fingolimod             2.5                   0.7
    ocrelizumab            3.4                   0.9
    alemtuzumab            3.5                   1.8
    """
    return _read("simulated_three_dmts_400")


def _read(name: str) -> Cohort:
    cohort = read_cohort(
        FOLDER / f"{name}_visits.csv",
        relapses=FOLDER / f"{name}_relapses.csv",
        patients=FOLDER / f"{name}_patients.csv",
        name=name,
    )
    return replace(cohort, simulated=True, truth=_truth(name), index_date=INDEX_DATE)


def _truth(name: str) -> CohortTruth:
    parameters = json.loads((FOLDER / f"{name}_truth.json").read_text(encoding="utf-8"))
    relapses = parameters["relapses"]
    return CohortTruth(
        arms=tuple(parameters["arms"]),
        disability=OrdinalTruth(**parameters["disability"]),
        relapses=RelapseTruth(**(relapses | {"periods": tuple(relapses["periods"])})),
        seed=parameters["seed"],
        table=pd.read_csv(FOLDER / f"{name}_effects.csv"),
    )
