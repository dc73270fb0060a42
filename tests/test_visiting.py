"""Visit density and inverse-intensity weights: counts by hand, R's survey and coxph, and visits that are made because patients are worse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import trajectories as tj
from trajectories.comparison.visit_intensity import _spans
from trajectories.comparison.visit_rates import visit_rates
from trajectories.endpoints.group_rates import poisson_limits

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
    assert rates["rate"]["old"] == pytest.approx(6 * 365.25 / 1096)
    # two patients, 2 visits in 365 days and 4 in 731: d = ±(2 - 6·365/1096)/6, SE² = 2/1·2d², t with 1 degree of freedom
    error = 2 * abs(2 - 6 * 365 / 1096) / 6
    assert np.log(rates["upper"]["old"] / rates["rate"]["old"]) == pytest.approx(12.706205 * error)
    assert rates.loc["new", ["lower", "upper"]].isna().all()
    assert rates["reason"].to_dict() == {"old": "", "new": "an arm of one has no spread between patients"}
    ratio = made.ratios.iloc[0]
    assert ratio["ratio"] == pytest.approx(1096 / 365)
    assert np.isnan(ratio["lower"])
    assert ratio["reason"] == "an arm of one has no spread between patients"
    assert "No interval in [0, end of follow-up): an arm of one" in str(made)
    assert rates["scheduled"].to_dict() == {"old": 1.0, "new": 0.5}
    assert rates["with_edss"].to_dict() == {"old": 1.0, "new": pytest.approx(5 / 6)}
    assert tj.visit_density(cohort, reference="new").ratios["ratio"][0] == pytest.approx(365 / 1096)
    yearly = tj.visit_density(cohort, (0, 1, 2)).rates
    assert yearly["visits"].tolist() == [3, 6, 2, 0]
    assert "worsening found sooner" in str(made)
    with pytest.raises(ValueError, match="time 0 or later"):
        tj.visit_density(cohort, (-1, 0))
    with pytest.raises(ValueError, match="no column of the patients"):
        tj.visit_density(cohort, cluster="person")


@pytest.mark.parametrize("case", ["patients", "households", "crossed"])
def test_density_against_survey(case):
    """R's svyratio and svyglm: patients, clusters within arms, and persons with an episode in both arms."""
    rows = pd.read_csv(REFERENCE / "visit_rates_cases.csv")
    cluster = {"patients": None, "households": "household", "crossed": "person"}[case]
    own = None if cluster is None else pd.factorize(rows[cluster])[0]
    found = visit_rates(
        rows["visits"], rows["years"], (rows["arm"] == "new").astype(int), groups=2, cluster=own
    )
    reference = pd.read_csv(REFERENCE / "visit_rates_reference.csv").query("case == @case")
    rates = reference.query("quantity == 'rate'")
    np.testing.assert_allclose(found.rate, rates["estimate"], rtol=1e-10)
    np.testing.assert_allclose(np.sqrt(found.variance), rates["se"], rtol=1e-10)
    ratio = reference.query("quantity == 'ratio'").iloc[0]
    value, lower, upper, reason = found.ratio(1, 0, 0.95)
    assert (value, reason) == (pytest.approx(ratio["estimate"]), "")
    parts, df = rates["se"].to_numpy() ** 2, found.clusters - 1
    wide = stats.t.ppf(0.975, parts.sum() ** 2 / (parts**2 / df).sum()) * ratio["se"]
    assert (np.log(upper / value), np.log(value / lower)) == pytest.approx((wide, wide), rel=1e-6)


def test_density_by_cluster_reaches_the_cohort():
    """A cohort whose patients come twice: with the person as cluster an interval is as wide as that of the persons."""
    persons = list("abcdefghij")
    visits = pd.DataFrame([(p, d, 2.0) for k, p in enumerate(persons) for d in range(0, 400 + 30 * k, 90 + 7 * (k % 4))],
                          columns=["patient", "day", "edss"])  # fmt: skip
    twice = pd.concat([visits, visits.assign(patient=visits["patient"] + "2")])
    people = pd.DataFrame(
        {"patient": [*persons, *(p + "2" for p in persons)], "person": persons * 2, "arm": "old"}
    )
    once = tj.visit_density(tj.read_cohort(visits, name="made up")).rates.iloc[0]
    cohort = tj.read_cohort(twice, patients=people, name="made up")
    made = tj.visit_density(cohort, cluster="person").rates.iloc[0]
    assert (made["lower"], made["upper"]) == pytest.approx((once["lower"], once["upper"]))
    assert tj.visit_density(cohort).rates["upper"][0] < made["upper"]


@pytest.mark.parametrize(
    ("visits", "years", "reason"),
    [
        ([0, 0, 3, 4], [1.0, 1, 1, 1], "an arm has no visit, so the log rate has no standard error"),
        ([2, 2, 3, 4], [1.0, 1, 1, 1], "all of an arm were seen equally often"),
        ([0, 0, 3, 4], [0.0, 0, 1, 1], "an arm has no observed time"),
    ],
)
def test_density_without_an_error_says_why(visits, years, reason):
    found = visit_rates(visits, years, [0, 0, 1, 1], groups=2)
    assert found.reason == (reason, "")
    assert np.isnan(found.limits(0, 0.95)).all()
    assert np.isnan(found.ratio(1, 0, 0.95)[1])
    assert found.ratio(0, 1, 0.95)[3] == reason


def on_schedule(rng, n, every, attended):
    """Visits due every so many years, give or take 5 days, some missed; follow-up of 1 to 4 years."""
    end = rng.uniform(1, 4, n)
    steps = np.arange(1, int(4 / every) + 2)
    due = every * steps + rng.normal(0, 5 / 365.25, (n, len(steps)))
    return ((due <= end[:, None]) & (rng.random(due.shape) < attended)).sum(axis=1), end


def test_intervals_of_scheduled_visits_cover():
    big = np.random.default_rng(0)
    truth = np.array([y.sum() / t.sum() for y, t in (on_schedule(big, 500_000, 0.5, 0.95), on_schedule(big, 500_000, 0.25, 0.8))])  # fmt: skip
    rng, hits, poisson, runs = np.random.default_rng(1), np.zeros(3), np.zeros(2), 1000
    for _ in range(runs):
        (y0, t0), (y1, t1) = on_schedule(rng, 40, 0.5, 0.95), on_schedule(rng, 40, 0.25, 0.8)
        found = visit_rates(np.r_[y0, y1], np.r_[t0, t1], np.repeat([0, 1], 40), groups=2)
        limits = np.array([*(found.limits(k, 0.95) for k in (0, 1)), found.ratio(1, 0, 0.95)[1:3]]).astype(float)  # fmt: skip
        aims = np.append(truth, truth[1] / truth[0])
        hits += (limits[:, 0] <= aims) & (aims <= limits[:, 1])
        lower, upper = poisson_limits(found.visits, found.person_years)
        poisson += (lower <= truth) & (truth <= upper)
    # 1000 runs at 95 %: 99.9 % of such counts lie from 927 to 972; few patients and a skewed sum may cost a point
    assert (hits >= 917).all()
    assert (hits <= 972).all()
    assert (poisson == runs).all()  # why exact Poisson intervals are not used


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


def test_columns_of_patients_do_not_clash_with_those_of_visits():
    """A cohort read with dates has `start`; what is known before a visit has its name even beside a column of patients."""
    cohort = tj.simulated_three_dmts_400()
    formula = "visit ~ edss_now + relapses_recent"
    table = cohort.patients_table
    start = pd.Timestamp("2015-01-01") + pd.to_timedelta(np.arange(len(table)), unit="D")
    clashing = replace(cohort, patients_table=table.assign(start=start, stop=1.0, visit="no", edss_now=9.0))
    made, plain = tj.visit_weights(clashing, formula), tj.visit_weights(cohort, formula)
    pd.testing.assert_frame_equal(made.visits, plain.visits)
    pd.testing.assert_frame_equal(made.coefficients, plain.coefficients)


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
