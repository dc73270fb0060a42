"""Weighted hazards and curves against R's survival, and what weights of patients mean for the people at risk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import trajectories as tj
from trajectories import endpoints
from trajectories.comparison.figures import Mean
from trajectories.endpoints.survival import TimeTo
from trajectories.endpoints.survival_hazards import cox
from trajectories.endpoints.survival_setting import Setting

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


def weighted_study(name: str) -> TimeTo:
    table = case(name)
    cause = pd.Categorical.from_codes(table["cause"].to_numpy(), categories=["censored", "event", "rival"])
    return TimeTo(table=table.assign(cause=cause), causes=("event", "rival"), setting=SETTING)


@pytest.mark.parametrize("name", CASES)
def test_weighted_curves_and_their_errors_are_those_of_r(name):
    for arm, rows in weighted_study(name).kaplan_meier().curves.groupby("arm"):
        answers, curve = ANSWERS[name, "survfit"], rows.iloc[1:].to_dict("records")
        for k, row in enumerate(curve, start=1):
            assert row["time"] == pytest.approx(answers[f"time {arm} {k}"], rel=1e-12)
            assert row["survival"] == pytest.approx(answers[f"surv {arm} {k}"], abs=1e-12)
            if row["survival"] > 1e-12:  # R's std.err of a robust curve is that of S itself
                assert row["std_error"] == pytest.approx(answers[f"std.err {arm} {k}"], rel=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_weighted_incidences_and_their_errors_are_those_of_r(name):
    found = weighted_study(name).cumulative_incidence().curves
    answers = ANSWERS[name, "survfit multi-state"]
    for (arm, cause), rows in found.groupby(["arm", "cause"]):
        for k, row in enumerate(rows.iloc[1:].to_dict("records"), start=1):
            assert row["incidence"] == pytest.approx(answers[f"{cause} {arm} {k}"], abs=1e-12)
            assert row["std_error"] == pytest.approx(answers[f"se {cause} {arm} {k}"], rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_weighted_restricted_means_are_those_of_r(name):
    answers = ANSWERS[name, "rmean"]
    means = weighted_study(name).kaplan_meier().restricted_mean(answers["until"]).set_index("arm")
    for arm, row in means.iterrows():
        assert row["restricted_mean"] == pytest.approx(answers[f"rmean {arm}"], rel=1e-12)
        assert row["std_error"] == pytest.approx(answers[f"se {arm}"], rel=1e-10)
    # with known weights arms are independent
    apart = (means["difference_upper"] - means["difference"]) / NormalDist().inv_cdf(0.975)
    np.testing.assert_allclose(
        apart.iloc[1:], np.hypot(means["std_error"], means["std_error"].iloc[0]).iloc[1:], rtol=1e-12
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("strata", "analysis"), [(None, "rscore"), ("centre", "rscore by centre")])
def test_weighted_log_rank_is_the_robust_score_test_of_r(name, strata, analysis):
    found = weighted_study(name).log_rank(strata=strata)
    assert found.chi2 == pytest.approx(ANSWERS[name, analysis, "chi2"], rel=1e-9)
    assert found.p_value == pytest.approx(chi2.sf(found.chi2, case(name)["arm"].nunique() - 1), rel=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_weighted_weibull_is_that_of_r(name):
    found = weighted_study(name).weibull(["arm", "age"])
    answers = ANSWERS[name, "survreg"]
    for row in found.parameters.to_dict("records"):
        assert row["estimate"] == pytest.approx(answers[row["parameter"]], rel=1e-7)
        # R refitted with other weights: central differences of 1e-3
        assert row["std_error"] == pytest.approx(answers[f"se {row['parameter']}"], rel=1e-5)
    assert found.log_likelihood == pytest.approx(answers["loglik"], rel=1e-10)


def test_weights_of_one_change_nothing():
    study = weighted_study("three_arms")
    plain, same = (
        replace(study, table=table)
        for table in (study.table.drop(columns="weight"), study.table.assign(weight=1.0))
    )
    pd.testing.assert_frame_equal(plain.cox().coefficients, same.cox().coefficients)
    # for weights of 1 the infinitesimal jackknife of a product-limit estimate is Greenwood's formula
    pd.testing.assert_frame_equal(plain.kaplan_meier().curves, same.kaplan_meier().curves, rtol=1e-9)
    pd.testing.assert_frame_equal(
        plain.kaplan_meier().difference([1.0, 2.0]), same.kaplan_meier().difference([1.0, 2.0]), rtol=1e-9
    )
    np.testing.assert_allclose(
        plain.cumulative_incidence().curves["incidence"],
        same.cumulative_incidence().curves["incidence"],
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        plain.weibull().parameters["estimate"], same.weibull().parameters["estimate"], rtol=1e-9
    )
    np.testing.assert_allclose(plain.log_rank().arms["expected"], same.log_rank().arms["expected"], rtol=1e-9)
    np.testing.assert_allclose(
        plain.kaplan_meier().restricted_mean(2.0)["restricted_mean"],
        same.kaplan_meier().restricted_mean(2.0)["restricted_mean"],
        rtol=1e-12,
    )


def test_patients_who_count_twice_are_two_patients():
    """Estimates of weights 1 and 2 are those of a table in which the latter stand twice."""
    table = weighted_study("two_arms").table
    twice = np.where(np.arange(len(table)) % 3 == 0, 2, 1)
    doubled = table.loc[np.repeat(table.index, twice)].drop(columns="weight").reset_index(drop=True)
    weighted, plain = (
        replace(weighted_study("two_arms"), table=one)
        for one in (table.assign(weight=twice.astype(float)), doubled)
    )
    for ask in (
        lambda t: t.kaplan_meier().at([0.5, 1.0, 2.0])["survival"],
        lambda t: t.kaplan_meier().medians["median"],
        lambda t: t.cumulative_incidence().at([1.0, 2.0])["incidence"],
        lambda t: t.weibull().parameters["estimate"],
        lambda t: t.log_rank(strata="centre").arms["expected"],
        lambda t: t.cox(ties="breslow").coefficients["log_hazard_ratio"],
    ):
        np.testing.assert_allclose(ask(weighted), ask(plain), rtol=1e-8)


def test_differences_are_those_of_the_curves():
    study = weighted_study("three_arms")
    curves = study.kaplan_meier()
    at = curves.at([1.0, 2.0]).set_index(["arm", "time"])
    apart = curves.difference([1.0, 2.0], reference="b")
    assert apart["arm"].tolist() == ["a", "a", "c", "c"]
    for row in apart.to_dict("records"):
        one, other = at.loc[row["arm"], row["time"]], at.loc["b", row["time"]]
        assert row["difference"] == pytest.approx(one["survival"] - other["survival"])
        error = np.hypot(one["std_error"], other["std_error"])
        assert row["std_error"] == pytest.approx(error)
        assert row["upper"] == pytest.approx(row["difference"] + NormalDist().inv_cdf(0.975) * error)
        assert row["p_value"] == pytest.approx(2 * NormalDist().cdf(-abs(row["difference"]) / error))
    back = curves.difference([1.0], reference="a").set_index("arm").loc["b"]
    forth = apart.set_index(["arm", "time"]).loc["a", 1.0]
    assert back["difference"] == pytest.approx(-forth["difference"])
    assert back["lower"] == pytest.approx(-forth["upper"])
    rival = study.cumulative_incidence()
    apart = rival.difference([2.0], cause="rival").set_index("arm")["difference"]
    at = rival.at([2.0]).set_index(["cause", "arm"]).loc["rival", "incidence"]
    np.testing.assert_allclose(apart, at[["b", "c"]] - at["a"])


def test_no_difference_beyond_follow_up_and_none_where_nothing_varies():
    curves = weighted_study("two_arms").kaplan_meier()
    apart = curves.difference([0.0, 40.0])
    assert apart["difference"].tolist()[0] == 0
    assert apart.loc[0, ["std_error", "lower", "upper", "p_value"]].isna().all()
    assert np.isnan(apart["difference"].iloc[1])
    with pytest.raises(ValueError, match="reference must be one of a, b"):
        curves.difference([1.0], reference="x")
    with pytest.raises(ValueError, match="from 0 up"):
        curves.difference([-1.0])
    with pytest.raises(ValueError, match="cause must be one of event, rival"):
        weighted_study("two_arms").cumulative_incidence().difference([1.0], cause="x")
    alone = replace(weighted_study("two_arms"), table=case("two_arms").query("arm == 'a'"))
    with pytest.raises(ValueError, match="there is only a: nothing"):
        alone.kaplan_meier().difference([1.0])


def without_events(size: int, *, weighted: bool) -> TimeTo:
    """Three arms, of which 'c' has so many patients and no event."""
    study = weighted_study("three_arms")
    others = study.table[study.table["arm"] != "c"]
    last = float(study.table["time"].max())
    quiet = others.iloc[[0] * size].assign(
        arm="c", time=last, event=0, cause="censored", patient=[f"quiet {k}" for k in range(size)]
    )
    table = pd.concat([others, quiet], ignore_index=True)
    table["cause"] = pd.Categorical(table["cause"], categories=study.table["cause"].cat.categories)
    return replace(study, table=table if weighted else table.drop(columns="weight"))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [8, 98])
def test_an_arm_without_events_has_no_error_and_says_so(size, weighted):
    study = without_events(size, weighted=weighted)
    curves, incidence = study.kaplan_meier(), study.cumulative_incidence()
    limits = ["std_error", "lower", "upper", "p_value"]
    for apart in (
        curves.difference([1.0]),
        curves.difference([1.0], reference="b"),
        incidence.difference([1.0]),
        incidence.difference([1.0], cause="rival", reference="b"),
    ):
        row = apart.set_index("arm")
        assert row.loc["c", limits].isna().all()
        assert np.isfinite(row.loc["c", "difference"])
        assert "no event in c by then: nothing varied" in row.loc["c", "reason"]
        with_events = row.drop(index="c").iloc[0]
        assert with_events["std_error"] > 0
        assert with_events["reason"] == ""
    backwards = curves.difference([1.0], reference="c")
    assert backwards[limits].isna().to_numpy().all()
    assert backwards["reason"].str.contains("no event in c").all()
    means = curves.restricted_mean(1.0).set_index("arm")
    assert means.loc["c", "restricted_mean"] == pytest.approx(1.0)
    missing = ["std_error", "lower", "upper", "difference_lower", "difference_upper", "p_value"]
    assert means.loc["c", missing].isna().all()
    assert "no event in c by then" in means.loc["c", "reason"]
    assert means.loc["b", missing].notna().all()
    assert means.loc["b", "reason"] == ""
    for said in (" ".join(str(curves).split()), " ".join(str(incidence).split())):
        assert "No event in c: nothing varied" in said
        assert ("upper limit" in said) is not weighted


def test_an_arm_where_everybody_had_the_event_has_no_error_either():
    study = weighted_study("two_arms")
    ended = study.table["arm"] == "a"
    table = study.table.assign(time=study.table["time"].where(~ended, 0.5))
    table["event"] = table["event"].where(~ended, 1)
    table["cause"] = table["cause"].where(~ended, "event")
    for columns in ([], ["weight"]):
        study = replace(study, table=table.drop(columns=columns))
        for answers in (study.kaplan_meier(), study.cumulative_incidence()):
            apart = answers.difference([1.0]).iloc[0]
            assert apart[["std_error", "lower", "upper", "p_value"]].isna().all()
            assert "nobody left without an event in a by then" in apart["reason"]
    late = study.kaplan_meier().difference([40.0]).iloc[0]["reason"]
    assert "b was not followed up that long" in late


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
    assert "allow for the estimation of the weights" in str(weighted.kaplan_meier()).replace("\n  ", " ")
    known = times.weighted(replace(made, estimation=None))
    assert "take the weights as known" in str(known.kaplan_meier()).replace("\n  ", " ")
    ratio = weighted.cox().coefficients.set_index("term")["hazard_ratio"]
    assert not np.allclose(ratio, times.cox().coefficients.set_index("term")["hazard_ratio"])


def test_patients_without_a_weight_are_counted_and_left_out(cohort, times):
    half = pd.Series(1.0, index=cohort.patients["patient"][::2])
    weighted = times.weighted(tj.weights_of(cohort, half))
    assert len(weighted.table) < len(times.table)
    assert any("Without a weight and left out" in note for note in weighted.setting.notes)
    assert weighted.cox().n == len(weighted.table)


def sizes(found: object) -> dict[str, list[str]]:
    """The table of patients by arm in a print: name of the row, and its cells."""
    lines = str(found).splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("patients "))
    block = lines[first : first + lines[first:].index("")]
    return {" ".join(line.split()[:-4]): line.split()[-4:] for line in block}


ANSWERS_OF_TIMES = [
    lambda study: study, lambda study: study.kaplan_meier(), lambda study: study.log_rank(), lambda study: study.cox(),
    lambda study: study.weibull(), lambda study: study.cumulative_incidence(),
]  # fmt: skip


@pytest.mark.parametrize("ask", ANSWERS_OF_TIMES)
def test_every_answer_says_of_how_many_of_each_arm_it_is_and_who_was_left_out(cohort, times, ask):
    weights = tj.weights_of(cohort, pd.Series(1.0, index=cohort.patients["patient"][::2]))
    everybody = cohort.patients["arm"].astype(str).value_counts()[list(cohort.arms)]
    seen = times.table
    half = seen[seen["patient"].isin(weights.values.index)]
    for study, inside in ((times, seen), (times.weighted(weights), half)):
        said = sizes(ask(study))
        assert said["patients"] == [*cohort.arms, "all"]
        for row, table in (("in the analysis", inside), ("with worsening", inside[inside["event"] == 1])):
            of = table["arm"].astype(str).value_counts()
            assert said[row] == [*(str(of[arm]) for arm in cohort.arms), str(len(table))]
        unseen = [int(n) for n in said["left out: no later visit that could be confirmed"]]
        n = [int(cell) for cell in said["in the analysis"]]
        left_out = (everybody - seen["arm"].astype(str).value_counts()).loc[list(cohort.arms)]
        assert unseen == [*left_out, left_out.sum()]
        if study is not times:
            lost = [int(cell) for cell in said["left out: no weight"]]
            np.testing.assert_array_equal(np.add(np.add(n, unseen), lost), [*everybody, everybody.sum()])


def test_patients_without_a_covariate_are_left_out_by_arm(times):
    table = times.table.assign(score=np.arange(len(times.table), dtype=float))
    table.loc[table.index[:30], "score"] = np.nan
    lost = (
        table.iloc[:30]["arm"]
        .astype(str)
        .value_counts()
        .reindex(times.setting.counts.columns[:-1], fill_value=0)
    )
    for fit in (
        replace(times, table=table).cox(["arm", "score"]),
        replace(times, table=table).weibull(["arm", "score"]),
    ):
        said = sizes(fit)
        assert said["left out: a covariate is missing"] == [*map(str, lost), "30"]
        assert said["in the analysis"][-1] == str(len(table) - 30) == str(fit.n)


@pytest.mark.parametrize("ask", ANSWERS_OF_TIMES)
def test_small_counts_are_hidden_in_every_answer(times, ask):
    hidden = replace(times, setting=replace(times.setting, suppress_below=25))
    counts = times.setting.counts
    small = counts.index[(counts.to_numpy() < 25).any(axis=1) & (counts["all"] > 0)]
    assert len(small)
    said = sizes(ask(hidden))
    for row in small:
        cells = said[str(row)]
        assert cells.count("*") >= 2
        assert not any(cell != "*" and 0 < int(cell) < 25 for cell in cells)
    columns = np.array([said[str(row)] for row in counts.index]) == "*"
    np.testing.assert_array_equal(np.array(said["in the analysis"]) == "*", columns.any(axis=0))
    text = str(ask(hidden)).split("How to read this")[0]
    inside = counts[~counts.index.str.startswith("left out")].sum()
    for arm, mark in zip(counts.columns[:-1], columns.any(axis=0)[:-1], strict=True):
        if mark:  # nor where it stands beside the arm or at time 0
            assert not any(
                line.startswith(arm) and f" {inside[arm]} " in f"{line} " for line in text.splitlines()
            )
            assert f"({inside[arm]})" not in text


def test_episodes_of_one_person_are_taken_as_independent_and_it_is_said(cohort, times):
    names = cohort.patients["patient"].tolist()
    person = cohort.patients.assign(person=[names[0], *names[:-1]])  # the first two are one person's
    twice = replace(cohort, patients_table=person)
    both = times.table.iloc[[0, 1]]["patient"].tolist()
    study = replace(times, table=times.table.assign(person=times.table["patient"].replace(both[1], both[0])))
    n = len(study.table) - 1
    for ask in ANSWERS_OF_TIMES[1:]:
        said = " ".join(str(ask(study)).split())
        assert f"1 of {n} persons with several index episodes: these are taken as independent" in said
        assert "index episodes" not in str(ask(times))
        hidden = replace(study, setting=replace(study.setting, suppress_below=5))
        assert "Some persons with several index episodes" in " ".join(str(ask(hidden)).split())
    assert "index episodes" not in str(study.cox(cluster="person"))
    weights = tj.weights_of(cohort, pd.Series(1.0, index=cohort.patients["patient"]))
    for given in (None, weights):
        rates = tj.annualised_relapse_rate(twice, weights=given)
        neda = tj.neda3(twice, components=("relapse",), weights=given)
        for said in (" ".join(str(rates).split()), " ".join(str(neda).split())):
            assert "1 of 399 persons with several index episodes" in said
    assert "index episodes" not in str(tj.annualised_relapse_rate(cohort))


def test_what_cannot_be_weighted_says_so(cohort, times):
    weighted = times.weighted(tj.weights_of(cohort, pd.Series(1.0, index=cohort.patients["patient"])))
    with pytest.raises(ValueError, match="keep cluster='patient'"):
        weighted.cox(cluster=None)
    strangers = replace(times, table=times.table.assign(patient="nobody"))
    with pytest.raises(ValueError, match="none of these patients has a weight"):
        strangers.weighted(tj.weights_of(cohort, pd.Series(1.0, index=cohort.patients["patient"])))


def test_weights_of_another_cohort_are_refused_where_identifiers_coincide(cohort):
    weights = tj.weights_of(cohort, pd.Series(1.0, index=cohort.patients["patient"]))
    other = tj.simulated_alemtuzumab_35()
    with pytest.warns(endpoints.PresetWarning):
        found = tj.time_to(tj.disability_events(other))
    arm = cohort.patients.set_index("patient")["arm"].astype(str)
    for table, ask in (
        (found.table, lambda: found.weighted(weights)),
        (other.patients, lambda: tj.annualised_relapse_rate(other, weights=weights)),
        (other.patients, lambda: tj.neda3(other, components=("relapse", "worsening"), weights=weights)),
    ):
        wrong = int((table["patient"].map(arm) != table["arm"].astype(str)).sum())
        assert wrong
        with pytest.raises(ValueError, match=f"{wrong} of these {len(table)} patients are in another arm"):
            ask()


def test_what_is_no_weights_is_refused_with_the_remedy(cohort, times):
    ones = pd.Series(1.0, index=cohort.patients["patient"])
    matches = tj.match(tj.propensity(cohort, "arm ~ age"), treated="alemtuzumab", control="fingolimod")
    maic = tj.maic(cohort, {"age": Mean(mean=38.0)}, target="published")
    for wrong, name in (
        (ones, "Series"), (ones.to_numpy(), "ndarray"), (matches, "Matches"), (maic, "MaicWeights"), (ones.to_frame(), "DataFrame"),
    ):  # fmt: skip
        for ask in (
            lambda given: times.weighted(given),
            lambda given: tj.neda3(cohort, components=("relapse",), weights=given),
            lambda given: tj.annualised_relapse_rate(cohort, weights=given),
        ):
            with pytest.raises(TypeError, match=rf"not {name}: make them by tj.weights_of\(cohort, series\)"):
                ask(wrong)
    assert len(times.weighted(matches.weights).table) < len(times.table)  # the remedy works


def test_few_patients_worth_are_a_warning(cohort, times):
    uneven = pd.Series(0.01, index=cohort.patients["patient"])
    uneven.iloc[:12] = 10.0
    said = " ".join(times.weighted(tj.weights_of(cohort, uneven)).setting.notes)
    assert "fewer than 20 patients' worth" in said
    even = pd.Series(1.0, index=cohort.patients["patient"])
    assert "patients' worth" not in " ".join(times.weighted(tj.weights_of(cohort, even)).setting.notes)
