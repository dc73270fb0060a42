"""Weighted shares with no evidence of disease activity and weighted relapse rates, against R's survey and survival, and by hand."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, logit

import trajectories as tj
from trajectories.endpoints.event_notes import PresetWarning
from trajectories.endpoints.group_rates import change_in_rate, rate_ratio
from trajectories.endpoints.groups import PatientGroups
from trajectories.endpoints.neda_weighted import share_differences, weighted_shares
from trajectories.endpoints.patient_weights import WeightedPatients
from trajectories.endpoints.shares import difference_limits, wilson_limits
from trajectories.endpoints.weighted_rates import weighted_rates
from trajectories.windows import relapse_windows

REFERENCE = Path(__file__).parent / "reference"
CASES = pd.read_csv(REFERENCE / "weighted_observed_cases.csv")
ANSWERS = pd.read_csv(REFERENCE / "weighted_observed_reference.csv").set_index(["analysis", "quantity"])[
    "value"
]
ARMS = ("a", "b", "c")
CODE = CASES["arm"].map({arm: k for k, arm in enumerate(ARMS)}).to_numpy()
WEIGHTED = WeightedPatients(values=CASES["weight"].to_numpy())
Z = NormalDist().inv_cdf(0.975)


def less_survey(error: float, n: int = len(CASES)) -> float:
    """A standard error of R's survey without its factor √(n/(n − 1))."""
    return error * np.sqrt((n - 1) / n)


def shares() -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    neda = CASES["neda"].map({1.0: "NEDA", 0.0: "activity"}).fillna("not evaluable")
    patients = pd.DataFrame(
        {"answer": neda, "years_observed": CASES["observed"], "ended_by_activity": CASES["active"] == 1}
    )
    table, influences = weighted_shares(
        patients, PatientGroups(by="arm", names=ARMS, code=CODE), WEIGHTED, ci=0.95
    )
    return table.assign(group=ARMS, suppressed=False), influences


def test_weighted_shares_are_those_of_r():
    table, _ = shares()
    r, curve = ANSWERS["svymean"], ANSWERS["survfit"]
    for arm, row in table.set_index("group").iterrows():
        assert row["proportion"] == pytest.approx(r[arm], rel=1e-12)
        p, error = r[arm], less_survey(r[f"se {arm}"])
        reach = Z * error / (p * (1 - p))
        assert row["lower"] == pytest.approx(expit(logit(p) - reach), rel=1e-10)
        assert row["upper"] == pytest.approx(expit(logit(p) + reach), rel=1e-10)
        assert row["lowest"] == pytest.approx(r[f"lowest {arm}"], rel=1e-12)
        assert row["highest"] == pytest.approx(r[f"highest {arm}"], rel=1e-12)
        s, error = curve[arm], curve[f"se {arm}"]
        assert row["km"] == pytest.approx(s, rel=1e-12)
        limits = np.exp(-np.exp(np.log(-np.log(s)) + np.array([-1, 1]) * Z * error / (s * np.log(s))))
        assert [row["km_lower"], row["km_upper"]] == pytest.approx(sorted(limits), rel=1e-9)


def test_differences_of_weighted_shares_have_the_errors_of_r():
    table, influences = shares()
    for arm in "bc":
        apart = influences[arm][:, 0] - influences["a"][:, 0]
        assert np.sqrt(apart @ apart) == pytest.approx(
            less_survey(ANSWERS["svymean", f"se difference {arm}"]), rel=1e-10
        )
    found = share_differences(table, influences, 0).set_index(["group", "of"])
    rows = table.set_index("group")
    for arm in "bc":
        row, one, other = found.loc[(arm, "among evaluable")], rows.loc[arm], rows.loc["a"]
        assert row["difference"] == pytest.approx(ANSWERS["svymean", f"difference {arm}"], rel=1e-10)
        # weights that are known leave arms independent
        below = np.hypot(one["proportion"] - one["lower"], other["upper"] - other["proportion"])
        above = np.hypot(one["upper"] - one["proportion"], other["proportion"] - other["lower"])
        assert row["lower"] == pytest.approx(row["difference"] - below)
        assert row["upper"] == pytest.approx(row["difference"] + above)
        # near the Wald interval of R
        wald = Z * ANSWERS["svymean", f"se difference {arm}"]
        assert row["upper"] - row["lower"] == pytest.approx(2 * wald, rel=0.06)


@pytest.mark.parametrize(("k", "n", "k0", "n0"), [(56, 70, 48, 80), (9, 10, 3, 10), (10, 10, 0, 20)])
def test_differences_of_shares_are_newcombes(k, n, k0, n0):
    from statsmodels.stats.proportion import confint_proportions_2indep

    parts = [
        [count / size, *(float(limit) for limit in wilson_limits(count, size))]
        for count, size in ((k, n), (k0, n0))
    ]
    assert difference_limits(*parts) == pytest.approx(
        confint_proportions_2indep(k, n, k0, n0, method="newcomb", compare="diff"), abs=1e-10
    )


def test_alike_estimates_differ_for_more_certain():
    parts = [0.5, 0.4, 0.6], [0.3, 0.2, 0.4]
    assert difference_limits(*parts, 1.0) == pytest.approx((0.2, 0.2))
    assert difference_limits(*parts, 0.5) == pytest.approx((0.1, 0.3))
    assert difference_limits(*parts, -1.0) == pytest.approx((0.0, 0.4))


def test_weighted_rates_are_those_of_r():
    rates = weighted_rates(CASES["events"], CASES["years"], CODE, WEIGHTED, groups=3)
    ratio, model = ANSWERS["svyratio"], ANSWERS["svyglm"]
    for k, arm in enumerate(ARMS):
        assert rates.rate[k] == pytest.approx(ratio[arm], rel=1e-12)
        assert rates.log_se[k] * rates.rate[k] == pytest.approx(less_survey(ratio[f"se {arm}"]), rel=1e-10)
        assert rates.upper[k] == pytest.approx(rates.rate[k] * np.exp(Z * rates.log_se[k]))
        mine = CASES[CASES["arm"] == arm]
        assert rates.pooled[k] == pytest.approx(mine["events"].sum() / mine["years"].sum())
        assert rates.patients[k] == (mine["years"] > 0).sum()
        if k:
            log_ratio, error = model[f"arm{arm}"], less_survey(model[f"se arm{arm}"])
            expected = np.exp([log_ratio, log_ratio - Z * error, log_ratio + Z * error])
            assert rate_ratio(rates, k, 0)[:3] == pytest.approx(expected, rel=1e-7)


def test_weighted_changes_are_those_of_r():
    for k, arm in enumerate(ARMS):
        mine = k == CODE
        own = CASES[mine]
        found = change_in_rate(
            own["before"], own["years_before"], own["events"], own["years"], weighted=WEIGHTED, rows=mine
        )
        reach = stats.t.ppf(0.975, len(own) - 1) * ANSWERS["change", f"se {arm}"]
        expected = np.exp(ANSWERS["change", arm] + reach * np.array([0, -1, 1]))
        assert found[:3] == pytest.approx(expected, rel=1e-7)


def test_a_group_without_events_or_time_has_no_interval():
    rates = weighted_rates(
        [0, 0, 2], [1.0, 1.0, 1.0], [0, 0, 1], WeightedPatients(values=np.ones(3)), groups=3
    )
    assert rates.rate.tolist()[:2] == [0.0, 2.0]
    assert np.isnan([rates.lower[0], rates.upper[0], rates.rate[2], rates.pooled[2]]).all()
    assert rate_ratio(rates, 1, 0)[3] == "the reference has no event, so the log ratio has no standard error"
    assert rate_ratio(rates, 0, 1)[3] == "the group has no event, so the log ratio has no standard error"
    assert rate_ratio(rates, 2, 1)[3] == "a group has no observed time"


@pytest.fixture(scope="module")
def cohort() -> tj.Cohort:
    return tj.simulated_three_dmts_400()


@pytest.fixture(scope="module")
def overlap(cohort):
    return tj.weights(tj.propensity(cohort, "arm ~ age + edss_baseline + relapses_year_before"), "ATO")


def neda2(cohort, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PresetWarning)  # references of EDSS 5.5: not what is asked here
        return tj.neda3(cohort, components=("relapse", "worsening"), **options)


def test_weighted_neda_by_hand(cohort, overlap):
    found = neda2(cohort, weights=overlap)
    plain = neda2(cohort)
    pd.testing.assert_frame_equal(found.by_patient(), plain.by_patient())
    table = plain.by_patient().assign(w=lambda t: t["patient"].map(overlap.values))
    for name, row in found.to_frame().set_index("group").iterrows():
        mine = table[table["arm"] == name]
        neda, evaluable = mine["answer"] == "NEDA", mine["answer"] != "not evaluable"
        assert row["proportion"] == pytest.approx(mine.loc[neda, "w"].sum() / mine.loc[evaluable, "w"].sum())
        assert row["highest"] == pytest.approx(
            (mine.loc[neda, "w"].sum() + mine.loc[~evaluable, "w"].sum()) / mine["w"].sum()
        )
        survival = 1.0
        for at in sorted(mine.loc[mine["ended_by_activity"], "years_observed"].unique()):
            here = mine["years_observed"] == at
            survival *= (
                1
                - mine.loc[here & mine["ended_by_activity"], "w"].sum()
                / mine.loc[mine["years_observed"] >= at, "w"].sum()
            )
        assert row["km"] == pytest.approx(survival)
    counts = ["group", "patients", "neda", "active", "not_evaluable", "evaluable", "km_at_risk"]
    pd.testing.assert_frame_equal(found.to_frame()[counts], plain.to_frame()[counts])
    text = " ".join(str(found).split())
    assert "Share with NEDA, weighted" in text
    assert "Weighted: target ATO" in text
    assert "allow for the estimation of the weights" in text
    assert "Difference from fingolimod" in text
    assert text.count("nobody was treated") == 1


def test_equal_weights_leave_shares_and_rates_as_they_are(cohort):
    equal = tj.weights_of(cohort, pd.Series(1.0, index=cohort.patients["patient"]))
    columns = ["proportion", "lowest", "highest", "km", "km_lower", "km_upper"]
    plain, same = (neda2(cohort, weights=w).to_frame()[columns] for w in (None, equal))
    pd.testing.assert_frame_equal(plain, same)
    found = tj.annualised_relapse_rate(cohort, window=(-1, 0, 1), weights=equal)
    np.testing.assert_allclose(found.rates["rate"], found.rates["pooled"])
    pd.testing.assert_frame_equal(
        found.before_after, tj.annualised_relapse_rate(cohort, window=(-1, 0, 1)).before_after
    )
    assert "take the weights as known" in str(found)


def test_weighted_rates_of_a_cohort(cohort, overlap):
    found = tj.annualised_relapse_rate(cohort, window=(-1, 0, 1), weights=overlap)
    counted = tj.annualised_relapse_rate(cohort, window=(-1, 0, 1)).rates
    assert found.interval == "robust"
    same = ["window", "group", "patients", "observed", "person_years", "relapses", "pooled"]
    pd.testing.assert_frame_equal(found.rates[same], counted[same])
    rows = relapse_windows(cohort, edges=(-1, 0)).merge(
        overlap.values.rename("w"), left_on="patient", right_index=True
    )
    rows["arm"] = rows["patient"].map(overlap.arm)
    before = found.rates[found.rates["end"] == 0].set_index("group")["rate"]
    for arm, mine in rows.groupby("arm"):
        assert before[arm] == pytest.approx(
            (mine["w"] * mine["relapses"]).sum() / (mine["w"] * mine["exposure"]).sum()
        )
    # the weights balance relapses before the start, and this is known for more certain than relapses themselves
    ratios = found.ratios[found.ratios["end"] == 0]
    assert ratios["ratio"].between(0.9, 1.1).all()
    known = tj.annualised_relapse_rate(
        cohort, window=(-1, 0), weights=replace(overlap, estimation=None)
    ).ratios
    assert (
        np.log(known["upper"] / known["ratio"]).to_numpy()
        > 1.5 * np.log(ratios["upper"] / ratios["ratio"]).to_numpy()
    ).all()
    assert "weighted" in str(found)
    assert found.rates["dispersion"].isna().all()


def test_who_has_no_weight_is_left_out_and_counted(cohort):
    some = pd.Series(1.0, index=cohort.patients["patient"][::2])
    weights = tj.weights_of(cohort, some)
    found = neda2(cohort, weights=weights)
    assert found.to_frame()["patients"].sum() == 200
    assert "Without a weight and left out: " in str(found)
    rates = tj.annualised_relapse_rate(cohort, weights=weights)
    assert rates.rates["patients"].sum() == 200
    hidden = tj.annualised_relapse_rate(cohort, weights=weights, suppress_below=5)
    assert "left out: some patients" in " ".join(str(hidden).split())


def test_small_counts_hide_weighted_shares_and_their_differences(cohort, overlap):
    found = neda2(cohort, weights=overlap, suppress_below=23)
    hidden = found.to_frame().set_index("group")["suppressed"]
    assert hidden["ocrelizumab"]
    assert (
        found.to_frame().set_index("group").loc[hidden, ["proportion", "km", "highest"]].isna().all(axis=None)
    )
    apart = found.difference(reference="ocrelizumab")
    assert apart["suppressed"].all()
    assert apart[["difference", "lower", "upper"]].isna().all(axis=None)
    assert "nan" not in str(found)


def test_what_cannot_be_weighted_says_so(cohort, overlap):
    with pytest.raises(ValueError, match="by='arm', not 'sex'"):
        neda2(cohort, by="sex", weights=overlap)
    with pytest.raises(ValueError, match="by='arm', not None"):
        tj.annualised_relapse_rate(cohort, by=None, weights=overlap)
    with pytest.raises(ValueError, match="leave interval='exact Poisson' out"):
        tj.annualised_relapse_rate(cohort, interval="exact Poisson", weights=overlap)
    plain = neda2(cohort, by=None)
    with pytest.raises(ValueError, match="there is only everybody"):
        plain.difference()
    with pytest.raises(ValueError, match="reference must be one of"):
        neda2(cohort).difference(reference="x")


def test_differences_of_groups_swap_their_sign(cohort, overlap):
    found = neda2(cohort, weights=overlap)
    forth = found.difference(reference="ocrelizumab").set_index(["group", "of"]).loc["fingolimod"]
    back = found.difference().set_index(["group", "of"]).loc["ocrelizumab"]
    np.testing.assert_allclose(forth["difference"], -back["difference"])
    np.testing.assert_allclose(forth["lower"], -back["upper"])
