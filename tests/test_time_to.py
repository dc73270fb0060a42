"""time_to: who is at risk for how long, what is left out, what is said; and analyses that have an answer in closed form."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories import endpoints
from trajectories.endpoints import survival
from trajectories.endpoints.survival import TimeTo
from trajectories.endpoints.survival_curves import printed_times
from trajectories.endpoints.survival_steps import quantile

YEAR = 365.25
time_to = partial(survival.time_to, event_time="visit")  # times by hand are days of visits


@dataclass(frozen=True, kw_only=True)
class Found:
    """What time_to needs of the events that a rule found."""

    events: pd.DataFrame
    patients: pd.DataFrame
    rule: Any
    cohort_name: str = "by hand"
    simulated: bool = False
    randomised: bool | None = None


def found(rows: dict[str, dict[str, Any]], had: list[dict[str, Any]], **rule: Any) -> Found:
    """Patients by name with what differs from the usual; events with what differs from the usual."""
    usual = {
        "arm": "x", "baseline_day": 0, "last_day": 900, "last_confirmable_day": 720, "eligible_worsening": True,
        "eligible_improvement": True,
    }  # fmt: skip
    patients = pd.DataFrame([{"patient": name, **usual, **row} for name, row in rows.items()])
    patients["arm"] = pd.Categorical(
        patients["arm"], categories=list(dict.fromkeys(patients["arm"])), ordered=True
    )
    whole = ["baseline_day", "last_day", "last_confirmable_day"]
    patients[whole] = patients[whole].astype("Int64")
    columns = ["patient", "kind", "day", "onset_after", "onset_by", "label"]
    filled = [
        {
            "kind": "worsening",
            "onset_after": event["day"] - 90,
            "onset_by": event["day"],
            "label": "PIRA",
            **event,
        }
        for event in had
    ]
    return Found(
        events=pd.DataFrame(filled, columns=columns),
        patients=patients,
        rule=SimpleNamespace(name="a rule", **rule),
    )


def times(study: TimeTo) -> dict[str, tuple[float, int]]:
    frame = study.to_frame()
    return {
        p: (round(t * YEAR, 6), e)
        for p, t, e in zip(frame["patient"], frame["time"], frame["event"], strict=True)
    }


def test_time_runs_from_the_baseline_visit_to_the_first_event_or_the_last_confirmable_visit():
    study = time_to(
        found(
            {"a": {}, "b": {"baseline_day": -30}, "c": {}},
            [{"patient": "b", "day": 500}, {"patient": "b", "day": 330}],
        )
    )
    assert times(study) == {"a": (720, 0), "b": (360, 1), "c": (720, 0)}
    frame = study.to_frame().set_index("patient")
    assert frame.loc["b", ["onset_after", "onset_by"]].tolist() == pytest.approx([270 / YEAR, 360 / YEAR])
    assert frame.loc["a", ["onset_after", "onset_by"]].tolist() == [720 / YEAR, np.inf]
    assert frame["cause"].tolist() == ["censored", "worsening", "censored"]


def test_nobody_is_lost():
    rows = {
        "event": {"arm": "x"},
        "censored": {"arm": "y"},
        "cannot": {"arm": "x", "eligible_worsening": False},
        "short": {"arm": "y", "eligible_worsening": False, "last_confirmable_day": None},
        "at once": {"arm": "y", "last_confirmable_day": 0},
        "none": {
            "arm": "x",
            "eligible_worsening": False,
            "baseline_day": None,
            "last_day": None,
            "last_confirmable_day": None,
        },
    }
    study = time_to(found(rows, [{"patient": "event", "day": 300}]))
    counts = study.setting.counts
    assert counts["all"].to_dict() == {
        "with worsening": 1,
        "censored": 1,
        "left out: worsening not possible from the baseline value": 1,
        "left out: no later visit that could be confirmed": 2,
        "left out: no baseline visit": 1,
    }
    assert counts["x"].tolist() == [1, 0, 1, 0, 1]
    assert counts["y"].tolist() == [0, 1, 0, 2, 0]
    assert len(study.to_frame()) == 2
    assert (study.to_frame()["time"] > 0).all()
    assert "left out: no later visit that could be confirmed" in str(study)


def test_an_event_of_someone_not_eligible_at_the_start_is_left_out_and_said():
    rows = {"a": {}, "b": {"eligible_improvement": False}}
    study = time_to(
        found(rows, [{"patient": "b", "kind": "improvement", "day": 400, "label": None}]), kind="improvement"
    )
    assert times(study) == {"a": (720, 0)}
    assert "1 patients to whom the event was not possible from the baseline value" in " ".join(
        str(study).split()
    )


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({"day": 0}, "at or before the patient's baseline visit"),
        ({"day": 721}, "after the last visit that could have been confirmed"),
        ({"day": 300, "onset_after": 300}, "without an onset interval"),
        ({"day": 300, "onset_after": -1}, "without an onset interval"),
    ],
)
def test_frames_that_contradict_each_other_are_refused(event, says):
    with pytest.raises(ValueError, match=says):
        time_to(found({"a": {}}, [{"patient": "a", **event}]))


def test_unknown_patients_kinds_labels_and_columns_are_refused():
    good = found({"a": {}}, [{"patient": "a", "day": 300}])
    with pytest.raises(ValueError, match="1 events belong to patients who are not"):
        time_to(found({"a": {}}, [{"patient": "b", "day": 300}]))
    with pytest.raises(ValueError, match="kind must be one of 'worsening', 'improvement', not 'worse'"):
        time_to(good, kind="worse")
    with pytest.raises(ValueError, match="label must be None or one of RAW, PIRA, undefined, not 'pira'"):
        time_to(good, label="pira")
    with pytest.raises(ValueError, match="improvement has no label"):
        time_to(good, kind="improvement", label="PIRA")
    with pytest.raises(ValueError, match="lacks the columns onset_by"):
        time_to(replace(good, events=good.events.drop(columns="onset_by")))
    with pytest.raises(ValueError, match="does not look for improvement"):
        time_to(found({"a": {}}, [], kinds=("worsening",)), kind="improvement")
    with pytest.raises(ValueError, match="nobody is at risk"):
        time_to(found({"a": {"eligible_worsening": False}}, []))
    with pytest.raises(ValueError, match="no relapse table"):
        time_to(found({"a": {}}, [{"patient": "a", "day": 300, "label": None}]), label="PIRA")


def test_a_label_takes_its_first_worsening_and_others_do_not_end_the_time():
    events = [{"patient": "a", "day": 200, "label": "RAW"}, {"patient": "a", "day": 400, "label": "PIRA"}]
    both = found({"a": {}, "b": {}}, events)
    assert times(time_to(both)) == {"a": (200, 1), "b": (720, 0)}
    pira = time_to(both, label="PIRA")
    assert times(pira) == {"a": (400, 1), "b": (720, 0)}
    text = " ".join(str(pira).split())
    assert "Montobbio 2025: hazard ratios from 0.83 to 0.73" in text
    assert "Worsening labelled RAW or undefined does not end the time at risk" in text
    assert times(time_to(both, label="PIRA", competing="RAW")) == {"a": (200, 0), "b": (720, 0)}


def test_a_rule_that_keeps_the_first_worsening_cannot_tell_the_first_pira():
    first = found({"a": {}}, [{"patient": "a", "day": 200, "label": "RAW"}], events="first")
    with pytest.raises(ValueError, match="keeps only the first worsening"):
        time_to(first, label="PIRA")
    assert times(time_to(first, label="PIRA", competing=["RAW", "undefined"])) == {"a": (200, 0)}


def test_competing_events_end_the_time_when_they_come_first():
    rows = {name: {} for name in "abcdefg"} | {"g": {"last_day": 900}}
    events = [
        {"patient": "a", "day": 300},
        {"patient": "b", "day": 300},
        {"patient": "c", "day": 300},
    ]
    table = pd.DataFrame(
        [("b", 200, "death"), ("c", 300, "death"), ("d", 400, "switch"), ("d", 500, "death"), ("e", 800, "switch"),
         ("f", 950, "death"), ("g", -10, "switch")],
        columns=["patient", "day", "event"],
    )  # fmt: skip
    study = time_to(found(rows, events), competing=table)
    assert study.causes == ("worsening", "death", "switch")
    frame = study.to_frame().set_index("patient")
    assert frame["cause"].to_dict() == {
        "a": "worsening", "b": "death", "c": "worsening", "d": "switch",
        "e": "censored",  # after the last visit that could be confirmed, and seen later
        "f": "death",  # nobody was seen later: it ends the follow-up itself
        "g": "censored",  # before the baseline visit
    }  # fmt: skip
    assert (frame["time"] * YEAR).round(6).tolist() == [300, 200, 300, 400, 720, 950, 720]
    assert frame["event"].tolist() == [1, 0, 1, 0, 0, 0, 0]
    assert "1 competing events came after the last visit" in " ".join(str(study).split())
    assert study.setting.counts["all"].iloc[:4].to_dict() == {
        "with worsening": 2, "with death first": 2, "with switch first": 1, "censored": 2,
    }  # fmt: skip


def test_competing_events_that_cannot_be_are_refused():
    good = found({"a": {}}, [])
    with pytest.raises(ValueError, match="is the event itself"):
        time_to(good, competing="worsening")
    with pytest.raises(ValueError, match="competing='RAW' is not known"):
        time_to(good, competing="RAW")
    with pytest.raises(ValueError, match="lacks the columns event"):
        time_to(good, competing=pd.DataFrame({"patient": ["a"], "day": [3]}))
    with pytest.raises(ValueError, match="not in the cohort"):
        time_to(good, competing=pd.DataFrame({"patient": ["z"], "day": [3], "event": ["death"]}))
    with pytest.raises(ValueError, match="missing cells"):
        time_to(good, competing=pd.DataFrame({"patient": ["a"], "day": [np.nan], "event": ["death"]}))


def random_study(n: int = 200, seed: int = 1, arms: tuple[str, ...] = ("x", "y")) -> TimeTo:
    rng = np.random.default_rng(seed)
    rows, events = {}, []
    for k in range(n):
        name = f"p{k:03d}"
        day, end = int(84 * np.ceil(rng.exponential(12))), int(84 * rng.integers(2, 16))
        rows[name] = {"arm": arms[k % len(arms)], "last_day": end + 168, "last_confirmable_day": end}
        if day <= end:
            kind = "worsening" if rng.random() < 0.7 else "improvement"
            events.append({"patient": name, "day": day, "onset_after": day - 84, "kind": kind})
    return time_to(found(rows, events), competing="improvement")


def test_kaplan_meier_by_a_loop():
    study = random_study()
    frame = study.to_frame()
    curve = study.kaplan_meier().to_frame()
    for arm in ("x", "y"):
        mine = frame[frame["arm"] == arm]
        survival = 1.0
        for time in sorted(set(mine["time"])):
            at_risk = sum(t >= time for t in mine["time"])
            died = sum(t == time and e == 1 for t, e in zip(mine["time"], mine["event"], strict=True))
            survival *= 1 - died / at_risk
            row = curve[(curve["arm"] == arm) & (curve["time"] == time)].iloc[0]
            assert (row["at_risk"], row["events"]) == (at_risk, died)
            assert row["survival"] == pytest.approx(survival, rel=1e-12)


def test_shares_of_all_events_and_of_none_are_one():
    study = random_study()
    incidence = study.cumulative_incidence().to_frame()
    assert set(incidence["cause"]) == {"worsening", "improvement"}
    total = incidence.groupby(["arm", "time"], observed=True)["incidence"].sum()
    table = study.to_frame()
    table["event"] = (table["cause"] != "censored").astype(int)
    free = replace(study, table=table).kaplan_meier().to_frame().set_index(["arm", "time"])["survival"]
    assert (total + free).to_numpy() == pytest.approx(np.ones(len(total)), rel=1e-12)


def test_cumulative_incidence_of_one_cause_is_one_minus_kaplan_meier_with_the_same_intervals():
    study = random_study()
    table = study.to_frame().drop(columns="cause")
    table["cause"] = pd.Categorical.from_codes(table["event"], categories=["censored", "worsening"])
    alone = replace(study, table=table, causes=("worsening",))
    one, other = alone.cumulative_incidence().to_frame(), alone.kaplan_meier().to_frame()
    assert one["incidence"].to_numpy() == pytest.approx(1 - other["survival"].to_numpy(), abs=1e-12)
    assert one["std_error"].to_numpy() == pytest.approx(other["std_error"].to_numpy(), abs=1e-9)


def test_reading_curves_at_times():
    rows = {"a": {}, "b": {}, "c": {"last_confirmable_day": 365}, "d": {}}
    study = time_to(found(rows, [{"patient": "a", "day": 200}, {"patient": "b", "day": 400}]))
    read = study.kaplan_meier().at([0, 1, 1.5, 3])
    assert read["survival"].tolist() == pytest.approx([1, 0.75, 0.375, np.nan], nan_ok=True)
    assert read["at_risk"].tolist() == [4, 2, 1, 0]
    assert read["events"].tolist() == [0, 1, 2, 2]
    with pytest.raises(ValueError, match="times must be"):
        study.kaplan_meier().at([-1])
    incidence = study.cumulative_incidence().at([1, 1.5, 3])
    assert incidence["incidence"].tolist() == pytest.approx([0.25, 0.625, np.nan], nan_ok=True)


def test_restricted_mean_by_hand():
    rows = {"a": {}, "b": {}, "c": {"arm": "y"}, "d": {"arm": "y"}}
    study = time_to(found(rows, [{"patient": "a", "day": 200}]))
    means = study.kaplan_meier().restricted_mean(1.5)
    first = 200 / YEAR + 0.5 * (1.5 - 200 / YEAR)
    assert means["restricted_mean"].tolist() == pytest.approx([first, 1.5])
    assert means["difference"].tolist() == pytest.approx([np.nan, 1.5 - first], nan_ok=True)
    with pytest.raises(ValueError, match="at most"):
        study.kaplan_meier().restricted_mean(5)


def test_median_in_the_middle_of_the_flat_part():
    assert quantile(np.array([1.0, 2.0, 4.0]), np.array([0.8, 0.5, 0.2]), 0.5) == 3.0
    assert np.isnan(quantile(np.array([1.0]), np.array([0.8]), 0.5))
    assert quantile(np.array([1.0, 2.0]), np.array([np.nan, 0.5]), 0.5) == 2.0


def test_exponential_hazard_ratio_in_closed_form():
    # one event a time and a balanced risk set: the log-rank statistic of two patients
    rows = {"a": {}, "b": {"arm": "y"}}
    test = time_to(found(rows, [{"patient": "a", "day": 200}])).log_rank()
    assert test.chi2 == pytest.approx((1 - 0.5) ** 2 / 0.25)
    assert test.arms["expected"].tolist() == [0.5, 0.5]


def test_swapping_arms_inverts_the_hazard_ratio_and_order_does_not_matter():
    study = random_study()
    table = study.to_frame()
    table["arm"] = table["arm"].cat.reorder_categories(["y", "x"])
    shuffled = replace(study, table=table.sample(frac=1, random_state=3))
    one, other = study.cox().to_frame().iloc[0], shuffled.cox().to_frame().iloc[0]
    assert (one["term"], other["term"]) == ("arm[y]", "arm[x]")
    assert one["log_hazard_ratio"] == pytest.approx(-other["log_hazard_ratio"], rel=1e-10)
    assert one["std_error"] == pytest.approx(other["std_error"], rel=1e-10)
    assert one["lower"] == pytest.approx(1 / other["upper"], rel=1e-10)
    assert study.log_rank().chi2 == pytest.approx(shuffled.log_rank().chi2, rel=1e-10)
    mine, theirs = study.weibull().ratios.iloc[0], shuffled.weibull().ratios.iloc[0]
    assert mine["hazard_ratio"] == pytest.approx(1 / theirs["hazard_ratio"], rel=1e-9)
    assert study.weibull().log_likelihood == pytest.approx(shuffled.weibull().log_likelihood, rel=1e-12)


def test_weibull_ratios_follow_from_its_parameters():
    fit = random_study().weibull(ci=0.9)
    beta, scale = fit.parameters.set_index("parameter")["estimate"][["arm[y]", "log(scale)"]]
    row = fit.ratios.iloc[0]
    assert row["hazard_ratio"] == pytest.approx(np.exp(-beta / np.exp(scale)))
    assert row["time_ratio"] == pytest.approx(np.exp(beta))
    V = fit.covariance.to_numpy()[1:, 1:]
    slope = np.array([-1, beta]) / np.exp(scale)
    assert np.log(row["upper"] / row["lower"]) == pytest.approx(
        2 * 1.6448536 * np.sqrt(slope @ V @ slope), rel=1e-6
    )
    assert fit.shape[0] == pytest.approx(np.exp(-scale))
    assert fit.shape[1] < fit.shape[0] < fit.shape[2]


def test_weibull_of_two_intervals_in_closed_form():
    # 6 onsets in the first year, 5 in the second, 9 later: two shares determine two parameters
    days = [(0, 365)] * 6 + [(365, 730)] * 5
    rows = {f"p{k}": {"last_confirmable_day": 730} for k in range(20)}
    events = [
        {"patient": f"p{k}", "day": by, "onset_after": after, "onset_by": by}
        for k, (after, by) in enumerate(days)
    ]
    fit = time_to(found(rows, events)).weibull()
    first, second = -np.log(14 / 20), -np.log(9 / 20)
    shape = np.log(second / first) / np.log(2)
    assert fit.shape[0] == pytest.approx(shape, rel=1e-8)
    intercept = fit.parameters["estimate"].iloc[0]
    assert intercept == pytest.approx(np.log(365 / YEAR) - np.log(first) / shape, rel=1e-8)
    shares = np.array([6, 5, 9])
    assert fit.log_likelihood == pytest.approx(np.sum(shares * np.log(shares / 20)), rel=1e-12)
    assert fit.ratios.empty


def test_few_events_are_warned_about():
    rows = {f"x{k}": {} for k in range(8)} | {f"y{k}": {"arm": "y"} for k in range(8)}
    events = [{"patient": f"x{k}", "day": 200 + k} for k in range(6)] + [{"patient": "y0", "day": 300}]
    text = " ".join(str(time_to(found(rows, events)).cox()).split())
    assert "WARNING: fewer than 5 events in arm 'y'" in text
    assert "n = 16 patients, 7 events" in text


def test_an_arm_without_events_gets_an_upper_limit_and_no_nonsense():
    rows = {f"{arm}{k}": {"arm": arm} for arm in "xyz" for k in range(8)}
    events = [{"patient": f"{arm}{k}", "day": 200 + 30 * k} for arm in "xz" for k in range(6)]
    study = time_to(found(rows, events))
    fit = study.cox()
    frame = fit.to_frame().set_index("term")
    assert frame.loc["arm[y]", ["hazard_ratio", "lower"]].tolist() == [0, 0]
    assert 0 < frame.loc["arm[y]", "upper"] < 1
    assert np.isnan(frame.loc["arm[y]", "log_hazard_ratio"])
    assert frame.loc["arm[z]", "hazard_ratio"] == pytest.approx(1, abs=1e-6)
    text = " ".join(str(fit).split())
    assert "WARNING: no event in arm 'y'" in text
    assert "no event among the 8 patients" in text
    ratios = study.weibull().ratios.set_index("term")
    assert np.isnan(ratios.loc["arm[y]", "hazard_ratio"])
    assert ratios.loc["arm[z]", "hazard_ratio"] == pytest.approx(1, abs=1e-6)
    assert "no event among the 8 patients" in " ".join(str(study.weibull()).split())
    assert study.log_rank().df == 2


def test_a_reference_arm_without_events_has_no_ratio_against_it():
    rows = {f"{arm}{k}": {"arm": arm} for arm in "xyz" for k in range(8)}
    events = [{"patient": f"{arm}{k}", "day": 200 + 30 * k} for arm in "yz" for k in range(6)]
    study = time_to(found(rows, events))
    frame = study.cox().to_frame()
    assert frame["hazard_ratio"].isna().all()
    assert frame["reason"].str.contains("reference arm 'x'").all()
    assert "every ratio against it is infinite" in " ".join(str(study.cox()).split())
    assert study.weibull().ratios["hazard_ratio"].isna().all()


def test_no_event_at_all():
    study = time_to(found({"a": {}, "b": {"arm": "y"}}, []))
    assert study.cox().to_frame()["hazard_ratio"].isna().all()
    assert np.isnan(study.log_rank().p_value)
    assert study.kaplan_meier().medians["median"].isna().all()
    assert "not reached" in str(study.kaplan_meier())
    assert "Not tested" in str(study.log_rank())
    assert study.cumulative_incidence().to_frame()["incidence"].eq(0).all()
    with pytest.raises(ValueError, match="there is no event"):
        study.weibull()


def with_column(study: TimeTo, **columns: Any) -> TimeTo:
    return replace(study, table=study.to_frame().assign(**columns))


def test_a_covariate_that_separates_events_has_no_finite_estimate():
    study = random_study(30)
    event = study.to_frame()["event"]
    fit = with_column(study, marker=event * 1.0).cox(["arm", "marker"])
    assert fit.to_frame()["hazard_ratio"].isna().all()
    assert "rises without end in marker" in " ".join(str(fit).split())
    with pytest.raises(ValueError, match="no maximum"):
        with_column(study, marker=event * 1.0).weibull(["marker"])


def test_columns_that_cannot_be_covariates_are_refused():
    study = with_column(random_study(40), age=np.arange(40.0), twice=2 * np.arange(40.0), same=1.0)
    with pytest.raises(ValueError, match="say the same in part"):
        study.cox(["age", "twice"])
    with pytest.raises(ValueError, match="same value in all patients"):
        study.cox(["same"])
    with pytest.raises(ValueError, match="covariate 'sex' is not known: there is arm, age, twice, same"):
        study.cox(["sex"])
    with pytest.raises(ValueError, match="must be a list"):
        study.cox("age")
    with pytest.raises(ValueError, match="ties must be"):
        study.cox(ties="exact")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="both a covariate and the strata"):
        study.cox(["arm"], strata="arm")
    with pytest.raises(ValueError, match="cluster 'centre' is not known"):
        study.cox(cluster="centre")
    with pytest.raises(ValueError, match="ci must be between 0 and 1"):
        study.kaplan_meier(ci=95)


def test_missing_covariates_are_counted():
    age = np.where(np.arange(40) < 3, np.nan, np.arange(40.0) % 7)
    fit = with_column(random_study(40), age=age).cox(["age"])
    assert fit.n == 37
    assert "3 patients with a missing covariate are left out" in str(fit)


def test_few_clusters_are_said():
    fit = with_column(random_study(60), centre=np.arange(60) % 4).cox(cluster="centre")
    assert fit.clusters == 4
    assert "fewer than 20 clusters" in str(fit)


def test_small_counts_are_hidden_in_print():
    rows = {f"x{k}": {} for k in range(10)} | {f"y{k}": {"arm": "y"} for k in range(10)}
    study = time_to(found(rows, [{"patient": f"x{k}", "day": 200} for k in range(3)]), suppress_below=5)
    line = next(line for line in str(study).splitlines() if line.startswith("with worsening"))
    assert line.split() == ["with", "worsening", "*", "0", "*"]
    assert "3" not in str(study.kaplan_meier()).split("share without it")[0].split("median, years")[1]
    assert study.setting.counts["all"].iloc[0] == 3


def test_a_moving_reference_in_a_randomised_cohort_is_warned_about():
    moving = replace(found({"a": {}, "b": {"arm": "y"}}, [], moves=True), randomised=True)
    assert "WARNING: the reference moves" in str(time_to(moving))
    assert "reference moves" not in str(time_to(replace(moving, randomised=None)))


@pytest.fixture(scope="module")
def three_dmts() -> tuple[tj.Cohort, Any]:
    cohort = tj.simulated_three_dmts_400()
    rule = endpoints.DisabilityRule(worsening=tj.edss.MSBASE)
    return cohort, endpoints.disability_events(cohort, rule)


@pytest.mark.filterwarnings("ignore::trajectories.endpoints.event_notes.EndpointWarning")
def test_from_a_cohort_to_hazard_ratios(three_dmts):
    cohort, events = three_dmts
    study = time_to(events, cohort=cohort)
    assert study.setting.counts["all"].sum() == cohort.n_patients == 400
    first = events.events.query("kind == 'worsening'").drop_duplicates("patient")
    assert set(study.to_frame().query("event == 1")["patient"]) == set(first["patient"])
    fit = study.cox(["arm", "age"])
    assert [str(term) for term in fit.to_frame()["term"]] == ["arm[ocrelizumab]", "arm[alemtuzumab]", "age"]
    for text in (
        str(study),
        str(fit),
        str(study.kaplan_meier()),
        str(study.weibull()),
        str(study.log_rank()),
    ):
        assert "SIMULATED data" in text
        assert "last visit that could still have been confirmed" in " ".join(text.split())
        assert all(len(line) <= 100 for line in text.splitlines())
        assert not any(patient in text for patient in cohort.patients["patient"].head(20))


@pytest.mark.filterwarnings("ignore::trajectories.endpoints.event_notes.EndpointWarning")
@pytest.mark.parametrize(
    "baseline", [endpoints.Fixed(), endpoints.Roving(), endpoints.AfterRelapse()], ids=["fixed", "roving", "relapse"]
)  # fmt: skip
@pytest.mark.parametrize("label", [None, "PIRA", "RAW"])
def test_no_rule_gives_events_outside_the_time_at_risk(baseline, label):
    cohort = tj.simulated_three_dmts_400()
    events = endpoints.disability_events(cohort, endpoints.DisabilityRule(baseline=baseline))
    study = time_to(events, label=label)
    assert study.setting.counts["all"].sum() == 400
    assert study.to_frame()["event"].sum() > 0


def stepwise_cohort(
    seed: int, years: dict[str, float], n: int, *, hazard: float = 0.3, gap: int = 84, jitter: int = 0
) -> tj.Cohort:
    """Equal hazards of one lasting step of two points in each arm; visits every `gap` days, give or take some, for so many years."""
    rng = np.random.default_rng(seed)
    visits, patients = [], []
    for arm, length in years.items():
        onset = rng.exponential(1 / hazard, n) * YEAR
        for k in range(n):
            days = np.arange(0, length * YEAR, gap, dtype=int)
            days[1:] += rng.integers(-jitter, jitter + 1, len(days) - 1)
            edss = np.where(days >= onset[k], 4.0, 2.0)
            visits.append(pd.DataFrame({"patient": f"{arm}{k}", "day": days, "edss": edss}))
            patients.append({"patient": f"{arm}{k}", "arm": arm})
    return tj.read_cohort(pd.concat(visits), patients=pd.DataFrame(patients), name="steps")


def naive(study: TimeTo, events: Any) -> TimeTo:
    """Censored at the last visit instead."""
    table = study.to_frame()
    last = table["patient"].map(events.patients.set_index("patient")["last_day"]).astype(float) / YEAR
    return replace(study, table=table.assign(time=table["time"].where(table["event"] == 1, last)))


@pytest.mark.parametrize("event_time", ["midpoint", "visit"])
def test_censoring_at_the_last_visit_makes_equal_hazards_unequal(event_time):
    # CLINICAL.md: hazard ratio 0.52 for equal hazards when follow-up differs, 1.02 with this time at risk
    cohort = stepwise_cohort(7, {"long": 4.0, "short": 1.0}, n=1000)
    events = endpoints.disability_events(cohort)
    study = survival.time_to(events, event_time=event_time)
    ours = study.cox().to_frame().iloc[0]
    assert ours["lower"] < 1 < ours["upper"]
    assert 0.75 < ours["hazard_ratio"] < 1.33
    ratio = study.weibull().ratios.iloc[0]
    assert ratio["lower"] < 1 < ratio["upper"]
    wrong = naive(study, events).cox().to_frame().iloc[0]
    assert wrong["hazard_ratio"] < 0.65
    assert wrong["upper"] < 0.8


def test_events_at_visits_make_equal_hazards_unequal_and_events_at_midpoints_do_not():
    # Half-yearly visits ± 10 days: at the last visits of an arm those without an event leave day by day
    cohort = stepwise_cohort(11, {"long": 4.0, "short": 1.5}, n=1500, gap=182, jitter=10)
    events = endpoints.disability_events(cohort)
    by_visit, by_middle = (survival.time_to(events, event_time=way) for way in ("visit", "midpoint"))
    wrong, right = (study.cox().to_frame().iloc[0] for study in (by_visit, by_middle))
    assert wrong["lower"] > 1.15
    assert right["lower"] < 1 < right["upper"]
    ratio = by_middle.weibull().ratios.iloc[0]
    assert ratio["lower"] < 1 < ratio["upper"]
    end = float(by_middle.to_frame()["time"].max())
    long = by_middle.kaplan_meier().at([end - 0.01]).iloc[0]
    assert long["lower"] < np.exp(-0.3 * end) < long["upper"]
    late = by_visit.kaplan_meier().at([end]).iloc[0]
    assert late["survival"] < np.exp(-0.3 * end) - 0.05


def test_weibull_finds_the_hazard_that_made_the_onsets():
    cohort = stepwise_cohort(8, {"all": 3.0}, n=1500, hazard=0.4, jitter=20)
    fit = survival.time_to(endpoints.disability_events(cohort)).weibull()
    intercept, log_scale = fit.parameters.set_index("parameter").loc[["intercept", "log(scale)"]].itertuples()
    assert abs(intercept.estimate - np.log(1 / 0.4)) < 3 * intercept.std_error
    assert abs(log_scale.estimate) < 3 * log_scale.std_error
    assert intercept.std_error < 0.1


def test_the_middle_of_the_interval_is_the_default():
    events = found({"a": {}, "b": {}}, [{"patient": "a", "day": 400, "onset_after": 200, "onset_by": 300}])
    study = survival.time_to(events)
    assert times(study) == {"a": (250, 1), "b": (720, 0)}
    assert "counts in the middle between the last visit without it and the first with it" in " ".join(
        str(study).split()
    )
    assert times(survival.time_to(events, event_time="visit"))["a"] == (400, 1)
    assert "curves drop at their end" in " ".join(str(time_to(events)).split())
    with pytest.raises(ValueError, match="event_time must be"):
        survival.time_to(events, event_time="first")  # type: ignore[arg-type]


def test_times_to_print_are_round_and_few():
    for last in (0.3, 1.0, 2.9, 7.0, 30.0):
        times = printed_times(last)
        assert times[0] == 0
        assert times[-1] <= last + 1e-9
        assert len(times) <= 7


def test_importing_it_is_light():
    heavy = ("scipy.stats", "scipy.optimize", "statsmodels", "matplotlib", "numba", "pymc")
    code = (
        "import sys, trajectories.endpoints.survival;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
