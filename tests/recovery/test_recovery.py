"""Parameter recovery and simulation-based calibration; the long studies are behind the `slow` marker.

The studies continue what the folder RECOVERY_FOLDER holds, if that is set, as `run_study.py` does; the last results are in RESULTS.md.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import calibration_study
import numpy as np
import pandas as pd
import pytest
import recovery_study
from recovery_study import Simulated, with_outcome
from scenarios import SCENARIOS
from set_ups import SET_UPS

import trajectories as tj
from trajectories import models
from trajectories.fitting.refit import Compiled, compile_once, refit
from trajectories.models.blocks import levels
from trajectories.models.design import Design
from trajectories.priors import Normal
from trajectories.simulate import OrdinalTruth, VisitSchedule, simulate_cohort

REPLICATIONS = 200
MODEL = models.OrdinalMixed("edss ~ years + (1 | patient)")
TRUTH = OrdinalTruth(slope=0.6, slope_sd=0.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(os.environ.get("RECOVERY_FOLDER", tmp_path))


def small_design(seed: int, patients: int = 30, model: models.OrdinalMixed = MODEL) -> Design:
    visits = VisitSchedule(years=(0.0, 1.0, 2.0), missed=0.1)
    return model.design(
        simulate_cohort(patients=patients, seed=seed, disability=TRUTH, relapses=None, visits=visits)
    )


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return compile_once(MODEL, small_design(1))


def test_refits_recover_the_slope(compiled: Compiled) -> None:
    distances, rows = [], []
    for seed in (2, 3, 4, 5):
        fit = refit(compiled, small_design(seed), draws=200, tune=200, chains=2, seed=seed)
        slope = fit.parameters["coefficients"].sel(term="years")
        assert float(slope.std()) < 0.4
        distances.append((float(slope.mean()) - TRUTH.slope) / float(slope.std()))
        rows.append(len(fit.design.frame))
    assert len(set(rows)) > 1, "the number of visits should differ between the cohorts"
    assert np.abs(distances).max() < 3.5
    assert abs(np.mean(distances)) < 1.5  # three standard errors of four


def test_a_refit_uses_the_new_outcomes_and_their_middle_cutpoint(compiled: Compiled) -> None:
    design = small_design(2)
    worse = with_outcome(design, np.clip(design.outcome + 3.0, 4.0, 10.0))
    assert compiled.design.outcome.mean() < 4.0
    fit = refit(compiled, worse, draws=200, tune=200, chains=2, seed=1)
    estimated = tj.expected_edss(fit, [0.0, 1.0, 2.0]).draws.mean()
    assert float(estimated) == pytest.approx(worse.outcome.mean(), abs=0.35)
    assert float(fit.data["posterior"]["cutpoints"].sel(cutpoint="3|3.5").max()) < 0.0  # nobody is below


def test_sampling_starts_where_every_level_is_possible() -> None:
    model = models.OrdinalMixed("edss ~ years + (1 | patient)")
    start = model.build(small_design(1)).initial_point()["level_scores_internal"]
    # nutpie moves every start by up to 1
    alpha = model.priors.cutpoints.concentration / 20
    spread = levels.log_mass(start + 1, alpha, np) - levels.log_mass(start - 1, alpha, np)
    assert spread.max() < 6.0


def test_refusing_what_would_crash_or_be_wrong(compiled: Compiled) -> None:
    settings = {"draws": 10, "tune": 10, "chains": 1, "seed": 1}
    with pytest.raises(ValueError, match="compiled for 30 patients and the design has 29"):
        refit(compiled, small_design(2, patients=29), **settings)
    other = models.OrdinalMixed("edss ~ years + (1 + years | patient)")
    with pytest.raises(
        ValueError, match="compiled with the effects intercept and the design has intercept, years"
    ):
        refit(compiled, small_design(2, model=other), **settings)
    # A prior per year becomes a prior per SD of years, with another mean in each design.
    per_year = MODEL.with_priors(terms={"years": Normal(1.0, 1.0)})
    with pytest.raises(ValueError, match="compiled into the model"):
        refit(
            dataclasses.replace(compiled, model=per_year, graph=per_year.build(compiled.design)),
            small_design(2),
            **settings,
        )


def test_uniform_ranks_pass_and_others_do_not() -> None:
    rng = np.random.default_rng(1)
    ranks = calibration_study.LEVELS + 1
    assert min(calibration_study.uniformity(rng.integers(0, ranks, 200))) > 0.05
    narrow = np.floor(ranks * rng.beta(0.5, 0.5, 200)).astype(int)
    assert max(calibration_study.uniformity(narrow)) < 0.01


def test_a_study_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = SCENARIOS["ordinal-35"]
    ran: list[int] = []

    def fake(_scenario: object, _compiled: object, number: int) -> pd.DataFrame:
        ran.append(number)
        return pd.DataFrame({"replication": [number], "quantity": ["x"], "mean": [0.0]})

    monkeypatch.setattr(recovery_study, "compile_once", lambda *_: None)
    monkeypatch.setattr(recovery_study, "replicate", fake)
    recovery_study.run(scenario, 2, tmp_path)
    assert len(recovery_study.run(scenario, 3, tmp_path)) == 3
    assert ran == [1, 2, 3]


def test_a_truth_is_given_for_everything_estimated(compiled: Compiled) -> None:
    scenario = dataclasses.replace(
        SCENARIOS["ordinal-35"],
        model=MODEL,
        simulate=lambda seed: Simulated(design=small_design(seed), truth={"x": 0.0}),
    )
    with pytest.raises(ValueError, match="there is a truth of"):
        recovery_study.replicate(scenario, compiled, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_recovery(name: str, folder: Path) -> None:
    scenario = SCENARIOS[name]
    table = recovery_study.summarise(recovery_study.run(scenario, REPLICATIONS, folder), scenario.nulls)
    assert (table["n"] == REPLICATIONS).all()
    assert (table["worst R-hat"] < 1.05).all()
    assert table["covered"].between(184, 197).all(), table.to_string()
    # Intervals that are too wide would cover, and find nothing: they must exclude "no effect" as often as these estimates can.
    power = table["power"].dropna()
    assert (
        table["excluded"][power.index] >= power - 3 * np.sqrt(power * (1 - power) / REPLICATIONS)
    ).all(), table.to_string()
    unbiased = table.drop(index=list(scenario.skewed))
    assert (unbiased["z"].abs() <= 3).all(), table.to_string()


@pytest.mark.slow
@pytest.mark.parametrize("name", SET_UPS)
def test_calibration(name: str, folder: Path) -> None:
    rows = calibration_study.run(SET_UPS[name], REPLICATIONS, folder)
    table = calibration_study.summarise(rows)
    assert (table["n"] == REPLICATIONS).all()
    assert (rows["r_hat"] > 1.05).mean() < 0.01, table.to_string()
    limit = 0.05 / len(table)  # all quantities of a set-up are one family of tests
    assert table["p envelope"].min() > limit, table.to_string()
    assert table["p chi-square"].min() > limit, table.to_string()
