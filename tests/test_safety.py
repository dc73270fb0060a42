"""Adverse events: by hand, by brute force, and against closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from trajectories.endpoints.group_rates import group_rates
from trajectories.endpoints.safety import adverse_event_rates
from trajectories.reading import read_cohort

TERMS = ("rash", "infection", "thyroid")


def cohort_of(events, days, arms, **options):
    patients = pd.DataFrame({"patient": list(days), "arm": [arms[p] for p in days], "followup_start": -100})
    patients["followup_end"] = [days[p] - 1 for p in days]
    visits = pd.DataFrame({"patient": list(days), "day": 0, "edss": 2.0})
    return read_cohort(visits, patients=patients, adverse_events=events, **options)


@pytest.fixture(scope="module")
def made_up():
    """Sixty simulated patients in two arms, followed for half a year to four years, rates that differ between them."""
    rng = np.random.default_rng(9)
    days = {f"p{k}": int(rng.integers(180, 1460)) for k in range(60)}
    rows = []
    for k, (patient, last) in enumerate(days.items()):
        own = rng.gamma(0.7, 1 / 0.7) * (1.5 if k % 2 else 0.6)
        for day in rng.integers(-100, last, rng.poisson(own * (last + 100) / 365.25)):
            rows.append((patient, int(day), rng.choice(TERMS, p=[0.6, 0.3, 0.1]), bool(rng.random() < 0.2)))
    events = pd.DataFrame(rows, columns=["patient", "day", "term", "serious"])
    return cohort_of(events, days, {p: "new" if k % 2 else "old" for k, p in enumerate(days)}, name="made up")


class TestByHand:
    @pytest.fixture
    def result(self):
        events = pd.DataFrame(
            {
                "patient": ["a", "a", "a", "b", "c", "c"],
                "day": [-5, 0, 400, 10, 364, 365],
                "term": ["rash", "rash", "Graves", "rash", "rash", "ITP"],
                "serious": [False, False, True, False, False, True],
            }
        )
        cohort = cohort_of(events, {"a": 730, "b": 100, "c": 500}, {"a": "x", "b": "x", "c": "y"})
        return adverse_event_rates(cohort)

    def test_events_person_years_and_patients(self, result):
        frame = result.to_frame().set_index(["kind", "window", "group"])
        whole = "[0, end of follow-up)"
        assert frame.loc[("all", whole, "x"), ["events", "with_event", "observed"]].tolist() == [3, 2, 2]
        assert frame.loc[("all", whole, "x"), "person_years"] == pytest.approx(830 / 365.25)
        assert frame.loc[("all", whole, "x"), "pooled"] == pytest.approx(300 / (830 / 365.25))
        assert frame.loc[("all", "[0, 1)", "y"), ["events", "with_event"]].tolist() == [1, 1]
        assert frame.loc[("all", "[1, 2)", "x"), ["events", "observed", "unobserved"]].tolist() == [1, 1, 1]
        assert frame.loc[("all", "[1, 2)", "y"), "person_years"] == pytest.approx(135 / 365.25)
        assert frame.loc[("serious", whole, "y"), "events"] == 1
        assert frame.loc[("serious", "[0, 1)", "y"), ["events", "pooled"]].tolist() == [0, 0]

    def test_terms(self, result):
        terms = result.terms.set_index(["term", "group"])
        assert result.terms["term"].iloc[0] == "rash"
        assert terms.loc[("rash", "x"), ["events", "with_event", "serious_events"]].tolist() == [2, 2, 0]
        assert terms.loc[("Graves", "x"), ["events", "with_event", "serious_events"]].tolist() == [1, 1, 1]
        assert terms.loc[("Graves", "y"), "events"] == 0

    def test_events_before_time_0_are_said_to_be_left_out(self, result):
        assert "1 of 6 events were before time 0 and are not counted." in str(result)


class TestMadeUp:
    def test_brute_force(self, made_up):
        frame = adverse_event_rates(made_up).to_frame()
        assert set(frame["window"]) == {"[0, end of follow-up)", "[0, 1)", "[1, 2)", "[2, 3)", "[3, 4)"}
        events, patients = made_up.adverse_events, made_up.patients
        for row in frame.itertuples():
            first = round(row.start * 365.25)
            last = 10**6 if np.isinf(row.end) else round(row.end * 365.25)
            days = count = having = seen = 0
            for patient in patients[patients["arm"] == row.group].itertuples():
                watched = range(max(first, 0), min(last, patient.followup_end_day + 1))
                mine = events[
                    (events["patient"] == patient.patient) & (events["serious"] | (row.kind == "all"))
                ]
                inside = sum(day in watched for day in mine["day"])
                days, count = days + len(watched), count + inside
                having, seen = having + (inside > 0), seen + (len(watched) > 0)
            assert (row.events, row.with_event, row.observed) == (count, having, seen)
            assert row.person_years == pytest.approx(days / 365.25)
            assert row.pooled == pytest.approx(100 * count / (days / 365.25))
            assert (row.share_lower, row.share_upper) == pytest.approx(
                proportion_confint(having, seen, method="wilson")
            )

    def test_intervals_are_those_of_group_rates(self, made_up):
        frame = adverse_event_rates(made_up).to_frame()
        row = frame[(frame["kind"] == "all") & np.isinf(frame["end"])]
        events = made_up.adverse_events.query("day >= 0")
        patients = made_up.patients
        y = patients["patient"].map(events["patient"].value_counts()).fillna(0)
        years = (patients["followup_end_day"] + 1) / 365.25
        expected = group_rates(y, years, patients["arm"].cat.codes, groups=2)
        assert expected.interval == "negative binomial"
        np.testing.assert_allclose(row["rate"], 100 * expected.rate)
        np.testing.assert_allclose(row["upper"], 100 * expected.upper)

    def test_exact_poisson_on_request(self, made_up):
        result = adverse_event_rates(made_up, interval="exact Poisson")
        row = result.to_frame().iloc[0]
        upper = stats.chi2.ppf(0.975, 2 * (row["events"] + 1)) / 2 / row["person_years"] * 100
        assert row["upper"] == pytest.approx(upper)
        assert "too narrow" in str(result)

    def test_years_and_terms_add_up(self, made_up):
        result = adverse_event_rates(made_up)
        frame = result.to_frame()
        for (_, _), block in frame.groupby(["kind", "group"]):
            whole = np.isinf(block["end"])
            assert block.loc[~whole, "events"].sum() == block.loc[whole, "events"].item()
            assert block.loc[~whole, "person_years"].sum() == pytest.approx(
                block.loc[whole, "person_years"].item()
            )
        every = frame[np.isinf(frame["end"])].set_index(["kind", "group"])["events"]
        sums = result.terms.groupby("group")[["events", "serious_events"]].sum()
        for group in ("old", "new"):
            assert sums.loc[group].tolist() == [every["all", group], every["serious", group]]

    def test_fewer_years(self, made_up):
        frame = adverse_event_rates(made_up, years=2).to_frame()
        assert set(frame["window"]) == {"[0, end of follow-up)", "[0, 1)", "[1, 2)"}

    def test_print(self, made_up):
        text = str(adverse_event_rates(made_up))
        assert "Serious adverse events, rates per 100 patient-years" in text
        assert "By term: events, patients with one" in text
        assert not any(f"p{k} " in text for k in range(60))
        assert max(map(len, text.splitlines())) <= 112

    def test_groups_may_be_another_covariate_or_nobodys(self, made_up):
        everybody = adverse_event_rates(made_up, by=None).to_frame()
        by_arm = adverse_event_rates(made_up).to_frame()
        assert (
            everybody["events"].iloc[0]
            == by_arm[np.isinf(by_arm["end"]) & (by_arm["kind"] == "all")]["events"].sum()
        )


class TestSuppression:
    def test_nothing_small_is_shown_or_follows_by_subtraction(self, made_up):
        whole = adverse_event_rates(made_up)
        result = adverse_event_rates(made_up, suppress_below=8)
        frame, shown = whole.to_frame(), result.to_frame()
        small = frame["events"].between(1, 7)
        assert small.any()
        assert shown.loc[small, ["events", "pooled", "rate", "lower", "upper"]].isna().all(axis=None)
        assert shown.loc[frame["with_event"].between(1, 7), ["with_event", "share"]].isna().all(axis=None)
        for _, block in shown.groupby(["kind", "group"]):
            years = block[~np.isinf(block["end"])]
            assert years["events"].isna().sum() != 1  # the whole minus the others
        terms = result.terms
        assert not terms["events"].between(1, 7).any()
        assert not (terms["events"] - terms["serious_events"]).between(1, 7).any()
        assert "*" in str(result)

    def test_serious_events_must_not_give_away_a_few_others(self):
        days = {f"p{k}": 365 for k in range(12)}
        events = pd.DataFrame(
            {"patient": list(days), "day": 30, "term": "x", "serious": [True] * 10 + [False] * 2}
        )
        frame = adverse_event_rates(
            cohort_of(events, days, dict.fromkeys(days, "a")), suppress_below=5
        ).to_frame()
        assert frame.loc[frame["kind"] == "all", "events"].tolist() == [12, 12]
        assert frame.loc[frame["kind"] == "serious", "events"].isna().all()


class TestEdges:
    def test_an_empty_table_means_nobody_had_one(self):
        events = pd.DataFrame({"patient": [], "day": [], "term": [], "serious": []})
        result = adverse_event_rates(cohort_of(events, {"a": 365, "b": 365}, {"a": "x", "b": "x"}))
        row = result.to_frame().iloc[0]
        assert (row["events"], row["with_event"], row["interval"]) == (0, 0, "exact Poisson")
        assert row["upper"] == pytest.approx(-100 * np.log(0.025) / row["person_years"])
        assert result.terms.empty
        assert "By term" not in str(result)

    def test_without_a_column_serious_it_is_said(self):
        events = pd.DataFrame({"patient": ["a"], "day": [3], "term": ["rash"]})
        result = adverse_event_rates(cohort_of(events, {"a": 365}, {"a": "x"}))
        assert set(result.to_frame()["kind"]) == {"all"}
        assert result.terms["serious_events"].isna().all()
        assert "no column 'serious'" in str(result)

    def test_an_absurd_upper_limit_is_none(self):
        # nearly all events in one patient: the dispersion is large, and two patients without events tell nothing
        rates = group_rates([60, 0, 0, 0, 0, 0, 0], [1.0] * 5 + [0.05] * 2, [0] * 5 + [1] * 2, groups=2)
        assert rates.dispersion > 3
        assert rates.upper[1] == np.inf

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"years": 0}, "years must be a whole number"), ({"years": 1.5}, "years must be a whole number"),
         ({"ci": 0}, "ci must be"), ({"by": "x"}, "by must be"), ({"suppress_below": 1}, "whole number from 2")],
    )  # fmt: skip
    def test_bad_options_are_named(self, made_up, options, message):
        with pytest.raises(ValueError, match=message):
            adverse_event_rates(made_up, **options)

    def test_needs_the_table_and_time_after_the_start(self):
        visits = pd.DataFrame({"patient": [1, 1], "day": [-50, -1], "edss": 2.0})
        with pytest.raises(ValueError, match="no table of adverse events"):
            adverse_event_rates(read_cohort(visits))
        events = pd.DataFrame({"patient": [1], "day": [-10], "term": ["rash"], "serious": [False]})
        with pytest.raises(ValueError, match="nobody was observed at or after time 0"):
            adverse_event_rates(read_cohort(visits, adverse_events=events))
