"""Weighted hazards and curves against R's survival, and what weights of patients mean for the people at risk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories import endpoints
from trajectories.endpoints.survival_hazards import cox
from trajectories.endpoints.survival_setting import Setting
from trajectories.endpoints.survival_steps import count_steps, greenwood, survival_of, weighted_survival

REFERENCE = Path(__file__).parent / "reference"
ANSWERS = (
    pd.read_csv(REFERENCE / "weighted_survival_reference.csv")
    .set_index(["case", "analysis", "quantity"])["value"]
    .sort_index()
)
CASES = ("two_arms", "three_arms", "untied", "small")
SETTING = Setting(
    event="made up", rule="none", cohort_name="R's cases", simulated=True, counts=pd.DataFrame(), warnings=(), notes=()
)  # fmt: skip


def case(name: str) -> pd.DataFrame:
    table = pd.read_csv(REFERENCE / "survival_cases.csv").query("case == @name")
    weights = pd.read_csv(REFERENCE / "weighted_survival_weights.csv").query("case == @name")
    joined = table.merge(weights[["patient", "weight"]], on="patient")
    return joined.assign(event=(joined["cause"] == 1).astype(int))


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("cluster", ["patient", "centre"])
@pytest.mark.parametrize("name", CASES)
def test_weighted_cox_is_that_of_r(name, cluster, ties):
    found = cox(
        case(name), SETTING, covariates=["arm", "age"], ties=ties, cluster=cluster, strata=None, ci=0.95
    )
    answers = ANSWERS[name, f"coxph {ties} {cluster}"]
    for row in found.coefficients.to_dict("records"):
        term = row["term"].replace("[", "").replace("]", "")
        assert row["log_hazard_ratio"] == pytest.approx(answers[term], rel=1e-7)
        assert row["std_error"] == pytest.approx(answers[f"se {term}"], rel=1e-6)
    assert found.log_likelihood == pytest.approx(answers["loglik"], rel=1e-9)
    assert not len(found.proportionality)


@pytest.mark.parametrize("name", CASES)
def test_weighted_curves_and_their_errors_are_those_of_r(name):
    for arm, rows in case(name).groupby("arm"):
        time, survival, error = weighted_survival(
            rows["time"].to_numpy(), rows["event"].to_numpy(), rows["weight"].to_numpy()
        )
        answers = ANSWERS[name, "survfit"]
        for k in range(len(time)):
            assert time[k] == pytest.approx(answers[f"time {arm} {k + 1}"], rel=1e-12)
            assert survival[k] == pytest.approx(answers[f"surv {arm} {k + 1}"], abs=1e-12)
            if survival[k] > 1e-12:  # R's std.err of a robust curve is that of S itself
                assert survival[k] * error[k] == pytest.approx(answers[f"std.err {arm} {k + 1}"], rel=1e-8)


def test_weights_of_one_change_nothing():
    rows = case("three_arms")
    plain = cox(
        rows.drop(columns="weight"), SETTING, covariates=["arm"], ties="efron", cluster="patient", strata=None, ci=0.95
    )  # fmt: skip
    same = cox(
        rows.assign(weight=1.0), SETTING, covariates=["arm"], ties="efron", cluster="patient", strata=None, ci=0.95
    )  # fmt: skip
    pd.testing.assert_frame_equal(plain.coefficients, same.coefficients)
    one = rows[rows["arm"] == "a"]
    time, event = one["time"].to_numpy(), one["event"].to_numpy()
    steps = count_steps(time, event)
    _, survival, error = weighted_survival(time, event, np.ones(len(time)))
    np.testing.assert_allclose(survival, survival_of(steps), rtol=1e-12)
    # for weights of 1 the infinitesimal jackknife of a product-limit estimate is Greenwood's formula
    np.testing.assert_allclose(error[survival > 0], greenwood(steps)[survival > 0], rtol=1e-10)


@pytest.fixture(scope="module")
def cohort() -> tj.Cohort:
    return tj.simulated_three_dmts_400()


@pytest.fixture(scope="module")
def times(cohort):
    with pytest.warns(endpoints.PresetWarning):
        events = tj.disability_events(cohort, endpoints.MSBASE)
    return tj.time_to(events, cohort=cohort)


def test_times_take_the_weights_of_a_cohort_and_say_whose(cohort, times):
    made = tj.weights(tj.propensity(cohort, "arm ~ age + edss_baseline + relapses_year_before"), "ATO")
    weighted = times.weighted(made)
    assert "Weighted: target ATO" in str(weighted.cox())
    assert "infinitesimal jackknife" in str(weighted.kaplan_meier())
    ratio = weighted.cox().coefficients.set_index("term")["hazard_ratio"]
    assert not np.allclose(ratio, times.cox().coefficients.set_index("term")["hazard_ratio"])


def test_patients_without_a_weight_are_counted_and_left_out(cohort, times):
    half = pd.Series(1.0, index=cohort.patients["patient"][::2])
    weighted = times.weighted(tj.weights_of(cohort, half))
    assert len(weighted.table) < len(times.table)
    assert any("Without a weight and left out" in note for note in weighted.setting.notes)
    assert weighted.cox().n == len(weighted.table)


def test_what_has_no_weights_says_so(cohort, times):
    weighted = times.weighted(tj.weights_of(cohort, pd.Series(1.0, index=cohort.patients["patient"])))
    for ask in (weighted.log_rank, weighted.weibull, weighted.cumulative_incidence):
        with pytest.raises(ValueError, match="use kaplan_meier or cox"):
            ask()
    with pytest.raises(ValueError, match="restricted mean is of unweighted curves"):
        weighted.kaplan_meier().restricted_mean(1.0)
    with pytest.raises(ValueError, match="keep cluster='patient'"):
        weighted.cox(cluster=None)
    strangers = replace(times, table=times.table.assign(patient="nobody"))
    with pytest.raises(ValueError, match="none of these patients has a weight"):
        strangers.weighted(tj.weights_of(cohort, pd.Series(1.0, index=cohort.patients["patient"])))
