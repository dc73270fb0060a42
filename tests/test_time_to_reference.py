"""Survival analyses against R's survival and cmprsk (tests/reference/survival_reference.R), to 10 digits."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest

from trajectories.endpoints.survival import TimeTo
from trajectories.endpoints.survival_setting import Setting

REFERENCE = Path(__file__).parent / "reference"
CASES = ["two_arms", "three_arms", "untied", "small", "all_events"]
DIGITS = 1e-10


@cache
def r_says(case: str, analysis: str) -> dict[str, float]:
    table = pd.read_csv(REFERENCE / "survival_reference.csv", keep_default_na=False, na_values=["NA", "NaN"])
    rows = table[(table["case"] == case) & (table["analysis"] == analysis)]
    assert rows["quantity"].is_unique
    return dict(zip(rows["quantity"], rows["value"], strict=True))


def study(case: str) -> TimeTo:
    table = pd.read_csv(REFERENCE / "survival_cases.csv")
    table = table[table["case"] == case].reset_index(drop=True)
    cause = table["cause"].to_numpy()
    table["arm"] = pd.Categorical(table["arm"])
    table["event"] = (cause == 1).astype("int64")
    table["cause"] = pd.Categorical.from_codes(cause, categories=["censored", "event", "rival"])
    return TimeTo(table=table, causes=("event", "rival"), setting=setting())


def setting() -> Setting:
    return Setting(
        event="event",
        rule="none",
        cohort_name="from R",
        simulated=True,
        counts=pd.DataFrame(),
        warnings=(),
        notes=(),
    )


def agree(ours: dict[str, float], theirs: dict[str, float], digits: float = DIGITS) -> None:
    assert ours
    assert set(ours) <= set(theirs)
    for name, value in ours.items():
        assert value == pytest.approx(theirs[name], rel=digits, abs=1e-13, nan_ok=True), name


def numbered(frame: pd.DataFrame, columns: dict[str, str], by: list[str]) -> dict[str, float]:
    """R's names of the rows of a curve: "surv a 3" is the third time of arm a."""
    rows = frame[frame["time"] > 0]
    place = (rows.groupby(by, observed=True).cumcount() + 1).astype(str)
    keys = rows[by].astype(str).agg(" ".join, axis=1) + " " + place
    return {
        f"{name} {key}".strip(): value
        for column, name in columns.items()
        for key, value in zip(keys, rows[column].astype(float), strict=True)
    }


@pytest.mark.parametrize("case", CASES)
def test_kaplan_meier_is_survfit(case):
    curves = study(case).kaplan_meier().to_frame()
    columns = {
        "time": "time", "at_risk": "n.risk", "events": "n.event", "censored": "n.censor",
        "survival": "surv", "lower": "lower", "upper": "upper",
    }  # fmt: skip
    ours, theirs = numbered(curves, columns, ["arm"]), r_says(case, "survfit")
    assert set(ours) == set(theirs)
    agree(ours, theirs)


@pytest.mark.parametrize("case", CASES)
def test_medians_and_their_intervals_are_those_of_survfit(case):
    medians = study(case).kaplan_meier().medians
    names = {
        "patients": "records",
        "events": "events",
        "median": "median",
        "lower": "0.95LCL",
        "upper": "0.95UCL",
    }
    ours = {
        f"{theirs} {row['arm']}": row[ours] for _, row in medians.iterrows() for ours, theirs in names.items()
    }
    agree(ours, r_says(case, "survfit table"))


@pytest.mark.parametrize("case", CASES)
def test_restricted_means_are_those_of_survfit(case):
    theirs = r_says(case, "rmean")
    means = study(case).kaplan_meier().restricted_mean(theirs["until"])
    ours = {f"rmean {row['arm']}": row["restricted_mean"] for _, row in means.iterrows()}
    agree(ours | {f"se(rmean) {row['arm']}": row["std_error"] for _, row in means.iterrows()}, theirs)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("strata", "analysis"), [(None, "survdiff"), ("centre", "survdiff by centre")])
def test_log_rank_is_survdiff(case, strata, analysis):
    test = study(case).log_rank(strata=strata)
    expected = {f"expected {row['arm']}": row["expected"] for _, row in test.arms.iterrows()}
    agree({"chi2": test.chi2, "p": test.p_value, **expected}, r_says(case, analysis))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize(
    ("name", "cluster", "strata"),
    [
        ("patient", "patient", None),
        ("centre", "centre", None),
        ("none", None, None),
        ("strata", "patient", "centre"),
    ],
)
def test_cox_is_coxph_and_cox_zph(
    case: str, ties: Literal["efron", "breslow"], name: str, cluster: str | None, strata: str | None
) -> None:
    theirs = r_says(case, f"coxph {ties} {name}")
    fit = study(case).cox(["arm", "age"], ties=ties, cluster=cluster, strata=strata)
    ours = {"null": fit.log_likelihood_null, "loglik": fit.log_likelihood}
    for _, row in fit.coefficients.iterrows():
        ours |= {row["term"]: row["log_hazard_ratio"], f"se {row['term']}": row["std_error"]}
    for _, row in fit.proportionality.iterrows():
        ours |= {f"zph {row['covariate']}": row["chi2"], f"zph p {row['covariate']}": row["p_value"]}
    assert set(ours) == set(theirs)
    agree(ours, theirs)


@pytest.mark.parametrize("case", CASES)
def test_weibull_is_survreg_on_intervals(case):
    theirs = r_says(case, "survreg")
    fit = study(case).weibull(["arm", "age"])
    ours = {"loglik": fit.log_likelihood}
    for _, row in fit.parameters.iterrows():
        ours |= {row["parameter"]: row["estimate"], f"se {row['parameter']}": row["std_error"]}
    assert set(ours) == set(theirs)
    agree(ours, theirs)


@pytest.mark.parametrize("case", CASES)
def test_cumulative_incidence_is_survfit_of_several_states(case):
    curves = study(case).cumulative_incidence().to_frame()
    estimate = numbered(curves, {"incidence": ""}, ["cause", "arm"])
    agree(estimate, r_says(case, "survfit multi-state"))
    others = {"std_error": "se", "lower": "lower", "upper": "upper"}
    # R's infinitesimal jackknife is the same number as the delta method; where it is 0, ours is 0 and not a rounding error
    agree(numbered(curves, others, ["cause", "arm"]), r_says(case, "survfit multi-state"))


@pytest.mark.parametrize("case", CASES)
def test_cumulative_incidence_is_that_of_cmprsk(case):
    curves = study(case).cumulative_incidence().to_frame()
    theirs = r_says(case, "cuminc")
    ours = numbered(curves, {"incidence": ""}, ["cause", "arm"])
    agree({name: value for name, value in ours.items() if name in theirs}, theirs)


def test_an_arm_without_an_event_has_the_upper_limit_of_its_profile_likelihood():
    whole = study("two_arms")
    table = whole.to_frame()
    table["event"] = table["event"].where(table["arm"] == "a", 0)
    fit = TimeTo(table=table, causes=("event",), setting=setting()).cox(["arm", "age"])
    row = fit.coefficients.iloc[0]
    theirs = r_says("no_event", "profile")
    assert (row["term"], row["hazard_ratio"], row["lower"]) == ("arm[b]", 0.0, 0.0)
    assert row["upper"] == pytest.approx(theirs["upper"], rel=1e-8)
    assert row["p_value"] == pytest.approx(theirs["p"], rel=1e-8)
    assert np.isnan(row["std_error"])
