"""Visit density and inverse-intensity weights: counts by hand, R's coxph, and visits that are made because patients are worse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories.comparison.visit_intensity import _spans

REFERENCE = Path(__file__).parent / "reference"


def test_density_by_hand():
    # old: 2 visits in 1 year and 4 in 2 years; new: 6 in 1 year
    days = {"a": [0, 100, 364], "b": [-30, 0, 200, 400, 600, 730], "c": [0, 60, 120, 180, 240, 300, 364]}
    visits = pd.DataFrame(
        [(p, d, 2.0) for p, own in days.items() for d in own], columns=["patient", "day", "edss"]
    )
    visits["scheduled"] = ~visits["day"].isin([60, 120, 180])
    visits.loc[visits["day"] == 240, "edss"] = np.nan
    people = pd.DataFrame({"patient": list("abc"), "arm": ["old", "old", "new"], "followup_start": 0})
    cohort = tj.read_cohort(visits, patients=people, name="made up")
    made = tj.visit_density(cohort)
    rates = made.rates.set_index("arm")
    assert rates["visits"].to_dict() == {"old": 6, "new": 6}
    assert rates["person_years"].to_dict() == pytest.approx(
        {"old": (365 + 731) / 365.25, "new": 365 / 365.25}
    )
    assert rates["pooled"]["old"] == pytest.approx(6 * 365.25 / 1096)
    ratio = made.ratios.iloc[0]
    assert ratio["ratio"] == pytest.approx(1096 / 365)
    assert ratio["lower"] < ratio["ratio"] < ratio["upper"]
    assert rates["scheduled"].to_dict() == {"old": 1.0, "new": 0.5}
    assert rates["with_edss"].to_dict() == {"old": 1.0, "new": pytest.approx(5 / 6)}
    assert tj.visit_density(cohort, reference="new").ratios["ratio"][0] == pytest.approx(365 / 1096)
    yearly = tj.visit_density(cohort, (0, 1, 2)).rates
    assert yearly["visits"].tolist() == [3, 6, 2, 0]
    assert "worsening found sooner" in str(made)
    with pytest.raises(ValueError, match="time 0 or later"):
        tj.visit_density(cohort, (-1, 0))


def test_scheduled_visits_alone():
    visits = pd.DataFrame(
        {"patient": ["a"] * 4 + ["b"] * 2, "day": [-5, 40, 90, 180, 0, 50], "edss": [2.0, 5, 4, 2, 3, 4]}
    )
    visits["scheduled"] = [False, True, False, False, True, True]
    people = pd.DataFrame({"patient": ["a", "b"], "arm": ["old", "new"]})
    made = tj.scheduled_only(tj.read_cohort(visits, patients=people, name="made up"))
    assert made.visits["day"].tolist() == [-5, 40, 0, 50]
    assert made.patients["followup_end_day"].tolist() == [180, 50]
    assert "2 of 3 old, 0 of 1 new" in made.notes[-1]
    with pytest.raises(ValueError, match="no column 'scheduled'"):
        tj.scheduled_only(tj.read_cohort(visits.drop(columns="scheduled"), name="made up"))


def test_time_between_visits_is_split_where_what_is_known_changes():
    days, edss = np.array([-10.0, 100.0, 300.0]), np.array([2.0, np.nan, 3.0])
    spans = _spans(days, edss, np.array([50.0, 100.0]), 0, 350)
    assert spans == [
        (0.0, 49.5, False, 2.0, 0),
        (49.5, 99.5, False, 2.0, 1),
        (99.5, 100.0, True, 2.0, 2),
        (100.0, 140.5, False, 2.0, 2),
        (140.5, 190.5, False, 2.0, 1),
        (190.5, 300.0, True, 2.0, 0),
        (300.0, 350.0, False, 3.0, 0),
    ]
    assert _spans(days, edss, np.zeros(0), 0, 0) == []


def worse_seen_more(n, seed):
    """Monthly EDSS of which those last seen worse are seen more often; with the mean of everybody's EDSS month by month."""
    rng = np.random.default_rng(seed)
    edss = np.empty((n, 31))
    edss[:, 0] = rng.choice(np.arange(2.0, 6.5, 0.5), n)
    for month in range(30):
        u = rng.random(n)
        edss[:, month + 1] = np.clip(edss[:, month] + 0.5 * ((u < 0.09).astype(int) - (u > 0.95)), 1, 9)
    last, rows = edss[:, 0].copy(), [(i, 0, edss[i, 0]) for i in range(n)]
    for month in range(1, 31):
        seen = rng.random(n) < np.minimum(0.9, 0.03 * np.exp(0.5 * (last - 3)))
        rows += [(i, 30 * month + rng.integers(0, 5), edss[i, month]) for i in np.flatnonzero(seen)]
        last[seen] = edss[seen, month]
    visits = pd.DataFrame(rows, columns=["patient", "day", "edss"])
    people = pd.DataFrame({"patient": np.arange(n), "followup_start": 0, "followup_end": 910})
    return tj.read_cohort(visits, patients=people, name="made up"), edss.mean(axis=0)


def test_weights_remove_the_bias_of_visits_made_because_patients_are_worse():
    cohort, truth = worse_seen_more(2500, 1)
    made = tj.visit_weights(cohort, "visit ~ edss_now")
    row = made.mean_edss(at=[720 / 365.25], window=46 / 365.25).iloc[0]  # months 23 to 25
    expected, se = truth[23:26].mean(), (row["upper"] - row["lower"]) / 3.92
    assert row["unweighted"] > expected + 5 * se
    assert row["weighted"] == pytest.approx(expected, abs=2 * se)
    found = made.coefficients.iloc[0]
    # monthly probabilities p give the log odds ratio of -log(1 - p), near 0.5 while p is small
    assert found["log_ratio"] == pytest.approx(0.5, abs=0.06)


def test_mean_and_interval_by_hand():
    visits = pd.DataFrame(
        {"patient": list("aabb"), "arm": "old", "day": [360, 370, 365, 900], "edss": [2.0, 3, 5, 9], "weight": [1.0, 2, 3, 9]}
    )  # fmt: skip
    visits["years"] = visits["day"] / 365.25
    made = tj.VisitWeights(
        visits=visits, coefficients=pd.DataFrame(), formula="visit ~ x", notes=(), simulated=False
    )
    row = made.mean_edss(at=[1.0]).iloc[0]
    mean = (2 + 6 + 15) / 6
    se = np.sqrt(2 * ((2 - mean + 2 * (3 - mean)) ** 2 + 9 * (5 - mean) ** 2)) / 6
    assert row["weighted"] == pytest.approx(mean)
    assert row["unweighted"] == pytest.approx(10 / 3)
    assert row["upper"] - mean == pytest.approx(1.959964 * se)
    assert row["effective"] == pytest.approx(36 / 14)
    with pytest.raises(ValueError, match="no visit with EDSS"):
        made.mean_edss(at=[5.0])


def test_intensity_against_coxph():
    reference = pd.read_csv(REFERENCE / "visits_reference.csv").set_index("term")
    visits = pd.read_csv(REFERENCE / "visits_cases.csv")
    relapses = pd.read_csv(REFERENCE / "visits_relapses.csv")
    people = pd.read_csv(REFERENCE / "visits_patients.csv")
    cohort = tj.read_cohort(visits, relapses=relapses, patients=people, name="made up")
    made = tj.visit_weights(cohort, "visit ~ edss_now + relapses_recent + age")
    found = made.coefficients.droplevel("arm")
    np.testing.assert_allclose(found["log_ratio"], reference.loc[found.index, "coef"], rtol=1e-5)


def test_what_visit_weights_refuse():
    cohort, _ = worse_seen_more(20, 2)
    with pytest.raises(tj.FormulaError, match="must begin with 'visit ~'"):
        tj.visit_weights(cohort, "edss ~ edss_now")
    with pytest.raises(tj.FormulaError, match="leave 'arm' out"):
        tj.visit_weights(cohort, "visit ~ arm + edss_now")
    with pytest.raises(ValueError, match="quantile"):
        tj.visit_weights(cohort, "visit ~ edss_now", truncate=2)
    cut = tj.visit_weights(cohort, "visit ~ edss_now", truncate=0.5)
    assert cut.visits["weight"].mean() == pytest.approx(1)
    assert (cut.visits["weight"] == cut.visits["weight"].max()).mean() >= 0.5
