"""The protocol of a comparison: numbers of a hand-made cohort, and a warning for each thing that is wrong with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import trajectories as tj
from trajectories import models, plots
from trajectories.comparison.following import cut_caveat
from trajectories.weighting import match, propensity

# name, arm, start, age, person, centre, courses (drug, first and last day from time 0)
PEOPLE = [
    ("a1", "old", "2010-02-01", 30.0, "p1", "x", [("old", 0, None)]),
    ("a2", "old", "2011-02-01", 40.0, "p2", "x", [("natalizumab", -900, -60), ("old", 0, 200)]),
    ("a3", "old", "2012-02-01", 50.0, "p3", "x", [("old", 30, None)]),
    ("a4", "old", "2012-03-01", 17.0, "p4", "y", [("old", 0, None)]),
    ("b1", "new", "2012-05-01", 35.0, "p1", "y", [("fingolimod", -800, None), ("new", 0, None)]),
    (
        "b2",
        "new",
        "2019-02-01",
        45.0,
        "p5",
        "y",
        [("natalizumab", -900, -400), ("new", 0, 100), ("other", 101, None)],
    ),
    ("b3", "new", "2020-02-01", np.nan, "p6", "y", [("new", 0, None)]),
    ("b4", "new", "2020-03-01", 33.0, "p7", "y", [("glatiramer", -300, -200), ("new", 0, None)]),
]


@pytest.fixture(scope="module")
def cohort():
    people = pd.DataFrame(
        [row[:6] for row in PEOPLE], columns=["patient", "arm", "start", "age", "person", "centre"]
    )
    zero = pd.to_datetime(people["start"])
    people["arm"] = pd.Categorical(people["arm"], ["old", "new"], ordered=True)
    people["start"] = zero
    at = dict(zip(people["patient"], zero, strict=True))
    day = pd.Timedelta(days=1)
    visits = [
        (p, at[p] + d * day, 2.0) for p in at for d in ((0, 365) if p[0] == "a" else (0, 100, 200, 300, 365))
    ]
    courses = [
        (row[0], drug, at[row[0]] + a * day, pd.NaT if b is None else at[row[0]] + b * day)
        for row in PEOPLE
        for drug, a, b in row[6]
    ]
    return tj.read_cohort(
        pd.DataFrame(visits, columns=["patient", "date", "edss"]),
        patients=people,
        treatments=pd.DataFrame(courses, columns=["patient", "drug", "start", "stop"]),
        name="made up",
    )


ADULTS = tj.Eligible(name="adult", column="age", at_least=18)
ASKED = {"outcome": "EDSS at 1 year", "estimand": "difference of means"}


def test_history_by_hand(cohort):
    people = tj.with_history(cohort).patients.set_index("patient")
    assert people["previous_drug"].tolist() == [
        "none",
        "natalizumab",
        "none",
        "none",
        "fingolimod",
        "natalizumab",
        "none",
        "glatiramer",
    ]
    np.testing.assert_equal(
        people["washout_days"].to_numpy(), [np.nan, 60, np.nan, np.nan, 0, 400, np.nan, 200]
    )
    none = "no drug before"
    assert people["washout"].tolist() == [
        none,
        "up to 3 months",
        none,
        none,
        "up to 3 months",
        "over a year",
        none,
        "3 to 12 months",
    ]
    assert people["start_year"]["a1"] == pytest.approx(2010 + 31 / 365.25)
    assert "4 of 8 patients had another drug, 1 of them until time 0" in tj.with_history(cohort).notes[-1]
    # the last of several, and the reason that stands beside it
    visits = pd.DataFrame({"patient": ["a"], "day": [0], "edss": [2.0]})
    courses = pd.DataFrame(
        {
            "patient": "a",
            "drug": ["x", "y", "new"],
            "start": [-900, -500, 0],
            "stop": [-501, -10, None],
            "stop_reason": ["relapse", "JCV", None],
        }
    )
    one = tj.with_history(tj.read_cohort(visits, treatments=courses)).patients.iloc[0]
    assert (one["previous_drug"], one["washout_days"], one["stop_reason"]) == ("y", 10, "JCV")
    kept = tj.with_history(
        tj.read_cohort(visits, treatments=courses), drugs={"new": ("new", "y")}
    ).patients.iloc[0]
    assert kept["previous_drug"] == "x"
    with pytest.raises(ValueError, match="no table of treatments and no dates"):
        tj.with_history(tj.read_cohort(visits))


def test_washout_is_a_covariate_of_a_propensity():
    rng = np.random.default_rng(3)
    n = 80
    visits = pd.DataFrame({"patient": range(n), "day": 0, "edss": rng.choice([2.0, 3.0], n)})
    people = pd.DataFrame({"patient": range(n), "arm": np.repeat(["old", "new"], n // 2)})
    courses = pd.DataFrame(
        {"patient": range(n), "drug": "first", "start": -900, "stop": -rng.choice([20, 200, 500], n)}
    ).iloc[::2]
    made = tj.with_history(tj.read_cohort(visits, patients=people, treatments=courses))
    assert len(propensity(made, "arm ~ washout").cases.code) == n


def test_calendar_overlap_by_hand(cohort):
    made = tj.calendar_overlap(cohort)
    # old: 2010, 2011, 2012, 2012; new: 2012, 2019, 2020, 2020
    pair = made.pairs.iloc[0]
    assert pair[["overlap", "alone", "other_alone"]].tolist() == [0.25, 2, 3]
    assert made.arms.loc["old", "median"] == pytest.approx((2011 + 2012 + 62 / 365.25) / 2, abs=0.01)
    assert made.shares.loc[2012].tolist() == [0.5, 0.25]
    assert "new and old hardly overlap" in made.warnings[0]
    assert "by 25 %" in made.warnings[0]
    same = tj.calendar_overlap(cohort.only(["a4", "b1"])).pairs.iloc[0]
    assert same["overlap"] == 1
    assert not tj.calendar_overlap(cohort.only(["a4", "b1"])).warnings
    with pytest.raises(ValueError, match="no dates of treatment start"):
        tj.calendar_overlap(tj.simulated_three_dmts_400())


def test_calendar_overlap_of_years_without_dates(cohort):
    """Whole years in `start_year` are as good as the dates that they are of: old 2010, 2011, 2012, 2012; new 2012, 2019, 2020, 2020."""
    dates = cohort.patients_table
    table = dates.drop(columns="start").assign(start_year=dates["start"].dt.year)
    years = replace(cohort, patients_table=table)
    pd.testing.assert_frame_equal(tj.calendar_overlap(years).pairs, tj.calendar_overlap(cohort).pairs)
    assert tj.calendar_overlap(years).arms.loc["old", "median"] == 2011.5
    assert "by 25 %" in warning(tj.target_trial(years, **ASKED), "hardly overlap")
    unknown = replace(cohort, patients_table=table.assign(start_year="long ago"))
    assert warning(tj.target_trial(unknown, **ASKED), "cannot be told")


def test_criteria_and_who_they_leave_out(cohort):
    trial = tj.target_trial(
        cohort,
        **ASKED,
        eligibility=[ADULTS, tj.Eligible(name="centre x or y", column="centre", among=("x", "y"))],
    )
    assert trial.attrition.loc["adult"].loc[["old", "new"]].to_numpy().tolist() == [
        [4, 1, 0, 3],
        [4, 0, 1, 3],
    ]
    assert trial.attrition["left"].tolist() == [3, 3, 3, 3]
    assert trial.cohort.patients["patient"].tolist() == ["a1", "a2", "a3", "b1", "b2", "b4"]
    assert "adult (excluded: old 1, new 0 and 1 unknown)" in trial.protocol["Eligibility"]
    assert "Eligible: 6 of 8 (old 3, new 3)" in trial.protocol["Eligibility"]


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        ({"column": "x", "at_least": 1, "at_most": 2}, [False, True, True, None]),
        ({"column": "x", "known": True}, [True, True, True, False]),
        ({"column": "x", "among": (0.0,)}, [True, False, False, None]),
        ({"column": "yes"}, [True, False, True, True]),
        ({"met": lambda people: people["x"] > 1}, [False, False, True, False]),
    ],
)
def test_each_kind_of_criterion(criterion, expected):
    people = pd.DataFrame({"x": [0.0, 1.0, 2.0, np.nan], "yes": [True, False, True, True]})
    found = tj.Eligible(name="it", **criterion).of(people)
    assert [None if pd.isna(v) else bool(v) for v in found] == expected


def test_criteria_that_say_nothing():
    people = pd.DataFrame({"x": [0.0, 1.0], "text": ["a", "b"]})
    with pytest.raises(ValueError, match="either a column or a function"):
        tj.Eligible(name="it")
    with pytest.raises(ValueError, match="not true or false"):
        tj.Eligible(name="it", column="x").of(people)
    with pytest.raises(ValueError, match="no column of the patients"):
        tj.Eligible(name="it", column="z").of(people)
    with pytest.raises(ValueError, match="is no number"):
        tj.Eligible(name="it", column="text", at_least=1).of(people)
    with pytest.raises(ValueError, match="true or false for each patient"):
        tj.Eligible(name="it", met=lambda table: table["x"]).of(people)
    with pytest.raises(TypeError, match=r"write \('a',\)"):
        tj.Eligible(name="it", column="text", among="a")


def warning(trial, begins):
    found = [said for said in trial.warnings if begins in said]
    assert len(found) <= 1
    return found[0] if found else None


def test_each_warning_has_its_numbers(cohort):
    trial = tj.target_trial(cohort, **ASKED, covariates=["age"])
    assert warning(trial, "Not adjusted for previous DMT, washout, the reason for stopping")
    assert warning(trial, "Not adjusted for calendar time")
    assert "Bootstrap" not in warning(trial, "Not adjusted for centre")  # of two centres
    assert "1 of 4 old, 1 of 4 new stopped fingolimod or natalizumab within 6 months" in warning(
        trial, "Rebound"
    )
    assert "by 25 %" in warning(trial, "hardly overlap")
    assert "1 of 4 old started their arm's drug after time 0 (median 30 days)" in warning(trial, "Immortal")
    assert (
        "1 person has several index episodes (8 episodes of 7 persons in all), 1 of them in different arms"
        in warning(trial, "episodes")
    )
    # old: 1 visit in 366 days each; new: 4
    assert "new was seen 4.00" in warning(trial, "times as often")
    assert warning(trial, "ended by the strategy") is None


def made_up(**given):
    draws = xr.DataArray(np.linspace(-1, 1, 50)[None], dims=("chain", "draw"))
    return tj.Estimate(
        name="change", draws=draws, unit="points", definition="Made up.", source="made up", null=0.0, **given
    )


def test_the_protocol_names_the_strategy_that_was_used(cohort):
    on = tj.OnTreatment()
    cut = tj.follow(cohort, on)
    asked = {"outcome": "EDSS at 1 year"}
    # a contrast says how the cohort of its fit was followed, or the protocol that it does not
    said = made_up(caveats=("another", *cut_caveat(cut)))
    with pytest.raises(
        ValueError, match=r"of another strategy \(on-treatment.*protocol's \(intention-to-treat"
    ):
        tj.target_trial(cohort, **asked, estimand=said)
    trial = tj.target_trial(cohort, **asked, estimand=said, follow_up=on)
    assert trial.protocol["Causal estimand"].endswith("hypothetical (had nobody stopped or switched).")
    silent = tj.target_trial(cohort, **asked, estimand=made_up()).protocol["Causal estimand"]
    assert "treatment policy, as stated: the contrast does not say" in silent
    assert cut_caveat(tj.follow(cohort, tj.IntentionToTreat())) == ()


def test_an_estimand_of_a_fit_holds_its_cohort(cohort):
    on = tj.OnTreatment()
    rates = {
        name: tj.relapse_rate(tj.maximise(models.RelapseCounts("relapses ~ arm", family="poisson"), one))
        for name, one in {"whole": with_relapses(cohort), "cut": tj.follow(with_relapses(cohort), on)}.items()
    }
    asked = {"outcome": "relapses"}
    whole = tj.target_trial(cohort, **asked, estimand=rates["whole"])
    assert whole.protocol["Causal estimand"].endswith("treatment policy.")
    tj.target_trial(cohort, **asked, estimand=rates["cut"], follow_up=on)
    for name, strategy in (("cut", tj.IntentionToTreat()), ("whole", on)):
        with pytest.raises(ValueError, match="another strategy"):
            tj.target_trial(cohort, **asked, estimand=rates[name], follow_up=strategy)


def with_relapses(cohort):
    people = cohort.patients["patient"]
    relapses = pd.DataFrame({"patient": people, "day": 50})
    return replace(cohort, relapses_table=relapses.assign(years=50 / 365.25))


def test_contradictions_of_strategies_are_refused(cohort):
    on = tj.OnTreatment()
    with pytest.raises(ValueError, match="was cut already"):
        tj.target_trial(tj.follow(cohort, on), **ASKED)
    lagged = tj.follow(cohort, tj.IntentionToTreat(), lag=tj.Duration(days=50))
    assert tj.target_trial(lagged, **ASKED).cohort.n_patients == 8
    seen = tj.censoring_weights(cohort, on, "censored ~ edss_now")
    with pytest.raises(ValueError, match="seen= allows for the ends of follow-up by another strategy"):
        tj.target_trial(cohort, **ASKED, seen=seen)
    trial = tj.target_trial(cohort, **ASKED, seen=seen, follow_up=on)
    assert "censoring weights from 'censored ~ edss_now'" in trial.protocol["Analysis"]


def test_one_arm_is_no_trial():
    visits = pd.DataFrame({"patient": list("aab"), "day": [0, 90, 0], "edss": 2.0})
    people = pd.DataFrame({"patient": ["a", "b"], "arm": "old"})
    with pytest.raises(ValueError, match=r"everybody is of one arm \(old\): there is nothing to compare"):
        tj.target_trial(tj.read_cohort(visits, patients=people), **ASKED)


def test_persons_of_one_arm_are_drawn_together():
    cohort = tj.simulated_three_dmts_400()
    table = cohort.patients_table.sort_values("arm", kind="stable").reset_index(drop=True)
    persons = np.arange(len(table))
    persons[1] = 0
    trial = tj.target_trial(replace(cohort, patients_table=table.assign(person=persons)), **ASKED)
    said = warning(trial, "episodes")
    assert "(400 episodes of 399 persons in all), none of them in different arms" in said
    assert "tj.Bootstrap(cluster='person')" in said


def test_warnings_go_when_their_reason_does(cohort):
    whole = tj.with_history(cohort).only(["a1", "a4", "b1", "b4"])
    trial = tj.target_trial(
        whole,
        **ASKED,
        covariates=["previous_drug", "washout", "start_year", "centre"],
        rebound_within=tj.Duration(days=0),
        person="patient",
    )
    assert "the reason for stopping" in trial.warnings[0]
    assert "previous DMT" not in trial.warnings[0]
    for gone in ("calendar time (", "centre", "Immortal", "episodes"):
        assert warning(trial, gone) is None
    assert "1 of 2 new stopped fingolimod" in warning(trial, "Rebound")


def test_on_treatment_ends_and_their_warning(cohort):
    trial = tj.target_trial(cohort, **ASKED, follow_up=tj.OnTreatment())
    assert trial.ends.set_index("patient")["day"].to_dict() | {"a1": 365} == {
        "a1": 365, "a2": 200, "a3": 365, "a4": 365, "b1": 365, "b2": 100, "b3": 365, "b4": 365,
    }  # fmt: skip
    assert "1 of 4 old, 1 of 4 new: those who stop differ" in warning(trial, "ended by the strategy")
    assert "hypothetical (had nobody stopped or switched)" in trial.protocol["Causal estimand"]
    assert (
        "old 3 end of observation, 1 stopped; new 3 end of observation, 1 stopped"
        in trial.protocol["Follow-up"]
    )
    row = trial.summary().loc["old"]
    assert row[["eligible", "followed", "stopped"]].tolist() == [4, 4, 1]
    assert row["median_years"] == pytest.approx(365 / 365.25)
    lagged = tj.target_trial(cohort, **ASKED, follow_up=tj.OnTreatment(), lag=tj.Duration(days=150))
    assert lagged.summary()["followed"].tolist() == [4, 3]
    assert "Outcomes count from 150 days after it" in lagged.protocol["Time zero"]


def test_the_print_is_the_protocol(cohort):
    trial = tj.target_trial(cohort, **ASKED, strategies={"new": "start the new drug, any dose"})
    text = str(trial)
    for component in (
        "Eligibility",
        "Time zero",
        "Treatment strategies",
        "Assignment",
        "Follow-up",
        "Outcome",
        "Causal estimand",
        "Analysis",
    ):
        assert f"\n{component}" in text
    assert "new: start the new drug, any dose" in " ".join(text.split())
    assert "adjusted for nothing" in trial.protocol["Assignment"]
    assert all(len(line) <= 100 for line in text.splitlines())
    assert trial.to_frame()["component"].tolist() == list(trial.protocol)
    assert not any(name in text for name in ("a1", "p1"))
    simulated = tj.target_trial(tj.simulated_three_dmts_400(), **ASKED)
    assert "SIMULATED" in str(simulated)


def test_weights_and_matches_are_those_of_the_eligible():
    cohort = tj.simulated_three_dmts_400()
    adults = tj.Eligible(name="up to 45", column="age", at_most=45)
    first = tj.target_trial(cohort, **ASKED, eligibility=[adults])
    weights = tj.weights(propensity(first.cohort, "arm ~ age + edss_baseline"), "ATO")
    trial = tj.target_trial(cohort, **ASKED, eligibility=[adults], weights=weights)
    assert "random given age, edss_baseline" in trial.protocol["Assignment"]
    assert "ATO" in trial.protocol["Causal estimand"]
    whole = tj.weights(propensity(cohort, "arm ~ age + edss_baseline"), "ATO")
    with pytest.raises(ValueError, match="weighted patients are not eligible"):
        tj.target_trial(cohort, **ASKED, eligibility=[adults], weights=whole)
    matches = match(
        propensity(first.cohort, "arm ~ age + edss_baseline"), treated="alemtuzumab", control="ocrelizumab"
    )
    paired = tj.target_trial(cohort, **ASKED, eligibility=[adults], matches=matches)
    assert paired.cohort.n_patients == len(matches.sets)
    n = len(matches.sets) // 2
    assert paired.summary()["followed"].to_dict() == {"fingolimod": 0, "ocrelizumab": n, "alemtuzumab": n}
    assert paired.summary()["eligible"].to_dict() == first.summary()["followed"].to_dict()
    assert paired.cohort.arms == ("ocrelizumab", "alemtuzumab")
    assert "(pairwise censoring)" in paired.protocol["Follow-up"]  # nobody is stopped: no limit to name
    assert (paired.ends["reason"] == "first of the matched set ended").any()
    with pytest.raises(ValueError, match="matches bring their own weights"):
        tj.target_trial(cohort, **ASKED, matches=matches, weights=weights)


def test_bad_trials_are_named(cohort):
    with pytest.raises(ValueError, match="nobody of new is eligible"):
        tj.target_trial(
            cohort, **ASKED, eligibility=[tj.Eligible(name="old", met=lambda people: people["arm"] == "old")]
        )
    with pytest.raises(ValueError, match="'smoking' is no column"):
        tj.target_trial(cohort, **ASKED, covariates=["smoking"])
    with pytest.raises(ValueError, match="'none', which is no arm"):
        tj.target_trial(cohort, **ASKED, strategies={"none": "nothing"})


def test_the_figure_of_calendar_years_shows_the_shares(cohort):
    figure = plots.calendar_years(tj.calendar_overlap(cohort))
    drawn = {line.get_gid(): line.get_xydata().tolist() for line in figure.axes[0].lines if line.get_gid()}
    assert drawn == {
        "old": [[2010, 25.0], [2011, 25.0], [2012, 50.0]],
        "new": [[2012, 25.0], [2019, 25.0], [2020, 50.0]],
    }
    text = " ".join(part.get_text() for part in figure.texts)
    assert "old and new 25\N{NO-BREAK SPACE}%" in text
    assert "SIMULATED" not in text
