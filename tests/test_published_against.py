"""An own result against a published figure: numbers of both sides, kinds that do not go together, what is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import trajectories as tj
from trajectories.comparison import published
from trajectories.comparison.figures import MeanSD, PublishedFigureError, Share
from trajectories.comparison.quartiles import mean_from_quartiles
from trajectories.comparison.unanchored import against_published
from trajectories.summaries import pooled_rate

TRIAL = published.CARE_MS_2["alemtuzumab"]


@pytest.fixture(scope="module")
def cohort() -> tj.Cohort:
    return tj.simulated_alemtuzumab_35()


def change(mean: float, sd: float, **other: object) -> tj.Estimate:
    draws = np.random.default_rng(5).normal(mean, sd, (4, 5000))
    facts = {"name": "change in EDSS", "unit": "EDSS points", "null": 0.0} | other
    return tj.Estimate(
        draws=xr.DataArray(draws, dims=("chain", "draw")), definition="Made up.", source="draws", **facts
    )


@pytest.fixture(scope="module")
def several() -> tj.Cohort:
    return tj.simulated_three_dmts_400()


@pytest.fixture(scope="module")
def overlap(several: tj.Cohort) -> tj.Weights:
    return tj.weights(tj.propensity(several, "arm ~ age + edss_baseline"), "ATO")


class TestNumbers:
    def test_a_difference_has_both_uncertainties(self):
        made = against_published(change(0.10, 0.08), TRIAL.edss_change).difference.summary().loc[""]
        se = np.hypot(0.08, 0.24 / (2 * 1.959964))
        assert np.isclose(made["mean"], 0.27, atol=0.005)
        assert np.isclose(made["sd"], se, rtol=0.02)
        assert np.isclose(made["upper"], 0.27 + 1.96 * se, atol=0.008)

    def test_observed_rates_on_the_log_scale(self, cohort):
        made = against_published(cohort, TRIAL.arr, draws=40_000)
        counts = tj.relapse_windows(cohort, edges=(0, 2))
        rate, lower, upper = pooled_rate(counts["relapses"], counts["exposure"])
        own = made.summary().loc["own"]
        assert np.allclose([own["median"], own["lower"], own["upper"]], [rate, lower, upper], rtol=0.02)
        error = np.hypot(np.log(upper / lower) / (2 * 2.0322), np.log(0.33 / 0.21) / (2 * 1.96))
        ratio = np.log(made.ratio.draws.to_numpy().ravel())
        assert np.isclose(np.median(ratio), np.log(rate / 0.26), atol=0.01)
        assert np.isclose(np.diff(np.quantile(ratio, [0.16, 0.84]))[0] / 2, error, rtol=0.04)

    def test_relapse_rates_bring_their_own_interval(self, cohort):
        rates = tj.annualised_relapse_rate(cohort, window=(0, 1, 2))
        made = against_published(rates, TRIAL.arr, window=(0, 1), draws=40_000)
        row, own = rates.rates.iloc[0], made.summary().loc["own"]
        # an exact interval is not quite even on the log scale
        assert np.allclose([own["lower"], own["upper"]], [row["lower"], row["upper"]], rtol=0.07)
        assert (made.patients, made.left_out) == (row["observed"], row["unobserved"])

    def test_a_share_of_patients(self, cohort):
        patients = cohort.patients["patient"]
        outcome = pd.Series([1.0] * 9 + [0.0] * 25 + [np.nan], index=patients)
        made = against_published(cohort, TRIAL.worsening, outcome=outcome, draws=40_000)
        assert (made.patients, made.left_out) == (34, 1)
        assert np.isclose(made.summary().loc["own", "median"], 9 / 34, atol=0.01)
        odds = np.log(9 / 25)
        error = np.sqrt(1 / 9 + 1 / 25) * np.sqrt(34 / 33)
        lower = 1 / (1 + np.exp(-(odds - 2.0345 * error)))
        assert np.isclose(made.summary().loc["own", "lower"], lower, atol=0.01)

    def test_observed_changes(self, cohort):
        made = against_published(cohort, TRIAL.edss_change, draws=40_000)
        wide = (
            tj.edss_at(cohort, at=(0, 2)).pivot_table(index="patient", columns="at", values="edss").dropna()
        )
        d = wide[2] - wide[0]
        assert made.patients == len(d)
        assert np.isclose(made.own.summary()["mean"].item(), d.mean(), atol=0.01)
        assert np.isclose(made.own.summary()["sd"].item(), d.std() / np.sqrt(len(d)), rtol=0.08)

    def test_a_converted_median_is_compared_with_its_error(self):
        figure = published.ZMIRA_2020["alemtuzumab"].edss_baseline
        converted = mean_from_quartiles(figure.figure, figure.n)
        level = replace(figure, figure=converted)
        made = against_published(change(4.0, 0.3, name="expected EDSS", null=None), level)
        assert np.isclose(made.target.summary()["sd"].item(), converted.mean_error, rtol=0.02)
        assert any("converted from quartiles" in caveat for caveat in made.caveats)

    def test_mean_counts_of_a_year_are_rates(self, cohort):
        untreated = published.MARTINEZ_YELAMOS_2006["untreated"].arr
        made = against_published(cohort, untreated, draws=40_000)
        assert np.isclose(np.log(made.target.draws).std().item(), 1.3 / np.sqrt(44), rtol=0.02)
        assert made.ratio is not None


class TestWrongKind:
    def test_ratios_of_two_arms(self, cohort):
        with pytest.raises(PublishedFigureError, match="compares two arms"):
            against_published(cohort, published.CARE_MS_2.contrasts["arr"])

    def test_quartiles(self, cohort):
        arm = published.ZMIRA_2020["alemtuzumab"]
        with pytest.raises(PublishedFigureError, match="mean_from_quartiles"):
            against_published(change(4.0, 0.3, null=None), arm.edss_baseline)
        with pytest.raises(PublishedFigureError, match="no outcome but a covariate"):
            against_published(cohort, arm.relapses_year_1)

    def test_a_rate_without_uncertainty_unless_accepted_and_marked(self, cohort):
        london = published.MURARO_2025["alemtuzumab"].arr
        with pytest.raises(PublishedFigureError, match="accept_no_interval"):
            against_published(cohort, london)
        made = against_published(cohort, london, accept_no_interval=True)
        assert made.caveats[1].startswith("ACCEPTED without published uncertainty")
        assert "known exactly" in str(made)

    def test_another_unit_or_a_level_beside_a_change(self):
        with pytest.raises(PublishedFigureError, match="is in EDSS points"):
            against_published(change(0.1, 0.1), TRIAL.arr)
        with pytest.raises(PublishedFigureError, match="one is a level"):
            against_published(change(3.0, 0.1, null=None), TRIAL.edss_change)

    def test_an_outcome_that_must_be_given(self, cohort):
        with pytest.raises(PublishedFigureError, match="give outcome="):
            against_published(cohort, TRIAL.worsening)
        with pytest.raises(ValueError, match="must be 0 or 1"):
            against_published(
                cohort, TRIAL.worsening, outcome=pd.Series(2.0, index=cohort.patients["patient"])
            )
        with pytest.raises(PublishedFigureError, match="leave outcome out"):
            against_published(cohort, TRIAL.arr, outcome=pd.Series(1.0, index=cohort.patients["patient"]))

    def test_several_cells_or_arms(self, cohort):
        draws = xr.DataArray(np.ones((1, 9, 2)), dims=("chain", "draw", "arm"), coords={"arm": ["a", "b"]})
        two = replace(change(0.1, 0.1), draws=draws)
        with pytest.raises(ValueError, match=r"several cells: arm \(2\)"):
            against_published(two, TRIAL.edss_change)
        assert against_published(two, TRIAL.edss_change, arm="a").own.draws.shape == (1, 9)
        rates = tj.annualised_relapse_rate(cohort, window=(0, 1, 2))
        with pytest.raises(ValueError, match="choose one rate"):
            against_published(rates, TRIAL.arr)

    def test_several_arms_are_not_pooled(self, several):
        with pytest.raises(ValueError, match=r"fingolimod, ocrelizumab, alemtuzumab.*choose one by arm="):
            against_published(several, TRIAL.arr)
        one = against_published(several, TRIAL.arr, arm="alemtuzumab")
        assert one.patients == (several.patients["arm"] == "alemtuzumab").sum()

    @pytest.mark.parametrize(
        ("given", "remedy"),
        [
            (0.26, r"not float. Make one: Published\("),
            (TRIAL.arr.figure, r"not RateInterval. Make one: Published\("),
            (TRIAL, "Choose one figure of CARE-MS II, alemtuzumab: .*arr"),
            (published.CARE_MS_1, r"Choose an arm of CARE-MS I \(.*alemtuzumab"),
        ],
    )
    def test_what_is_no_published_figure(self, cohort, given, remedy):
        with pytest.raises(TypeError, match=remedy):
            against_published(cohort, given)
        with pytest.raises(TypeError, match=remedy):
            tj.rate_ratio_from_summary(published.CARE_MS_1["alemtuzumab"].relapses, given)

    def test_years_in_reverse(self, cohort):
        with pytest.raises(ValueError, match="here they are 2020 and 2010"):
            against_published(cohort, TRIAL.arr, own_years=(2020, 2010))

    def test_a_result_of_another_kind(self):
        with pytest.raises(TypeError, match="make an estimate of a fit first"):
            against_published(0.3, TRIAL.arr)

    def test_too_few_patients_and_no_spread(self, cohort):
        patients = cohort.patients["patient"]
        with pytest.raises(ValueError, match="fewer than 5"):
            against_published(cohort, TRIAL.edss_change, outcome=pd.Series([0.5, 1.0], index=patients[:2]))
        with pytest.raises(ValueError, match="same outcome"):
            against_published(cohort, TRIAL.edss_change, outcome=pd.Series(0.5, index=patients))


class TestOwnTarget:
    """Weights between own arms do not match the paper's patients, however the own result brings them."""

    def test_of_weighted_rates(self, several, overlap):
        rates = tj.annualised_relapse_rate(several, window=(0, 2), weights=overlap)
        said = " ".join(against_published(rates, TRIAL.arr, arm="alemtuzumab").caveats)
        assert "nobody was matched to the patients of CARE-MS II" in said
        assert "target ATO" in said
        assert f"{overlap.effective_sample_size['alemtuzumab']:.0f} of alemtuzumab" in said
        assert "adjusts for nothing" not in said
        plain = tj.annualised_relapse_rate(several, window=(0, 2))
        assert "adjusts for nothing" in " ".join(
            against_published(plain, TRIAL.arr, arm="alemtuzumab").caveats
        )

    @pytest.mark.parametrize("weighted", [False, True])
    def test_of_estimates(self, several, overlap, weighted):
        model = tj.models.RelapseCounts("relapses ~ arm + age", family="poisson", windows=(0.0, None))
        fit = tj.maximise(model, several, weights=overlap if weighted else None)
        made = against_published(tj.relapse_rate(fit, target=overlap), TRIAL.arr, arm="alemtuzumab")
        said = " ".join(made.caveats)
        assert "like the target population of the weights (ATO" in said
        assert said.count(overlap.description) == 1
        assert "adjusts for nothing" not in said
        assert made.patients == made.summary().loc["own", "n"] == 133
        assert f"own patients in the model: {133}" in str(made)
        size = overlap.effective_sample_size["alemtuzumab"]
        assert made.effective == (pytest.approx(size) if weighted else None)

    def test_of_rates_with_hidden_counts(self, several):
        rates = tj.annualised_relapse_rate(several, window=(0, 2), suppress_below=10)
        rates.rates.loc[:, "unobserved"] = pd.NA
        made = against_published(rates, TRIAL.arr, arm="alemtuzumab")
        assert (made.patients, made.left_out) == (133, None)


class TestSaid:
    def test_what_no_published_comparison_may_leave_out(self, cohort):
        text = " ".join(str(against_published(cohort, TRIAL.arr)).split())
        for said in (
            "simulated data: nobody was treated",
            "every prognostic factor and every effect modifier is known, measured and adjusted for",
            "adjusts for nothing",
            "definitions, windows, visit schedules and raters may differ",
            "own patients started 2014–2017, on average 7.5 years after those of CARE-MS II (2007–2009)",
            "CARE-MS II, alemtuzumab",
            "own patients with the outcome: 35, without: 0",
        ):
            assert said in text

    def test_the_published_row_is_as_printed(self, cohort):
        first = published.CARE_MS_1["alemtuzumab"]
        made = against_published(cohort, first.arr)
        assert made.summary().loc["published", ["median", "lower", "upper"]].tolist() == [0.18, 0.13, 0.23]
        other = made.summary(0.9).loc["published"]  # another level must be computed
        assert 0.13 < other["lower"] < 0.18 < other["upper"] < 0.24

    def test_windows_that_differ_are_said(self, cohort):
        made = against_published(
            cohort, published.MURARO_2025["alemtuzumab"].arr, window=(0, 2), accept_no_interval=True
        )
        assert "windows differ: own 0 to 2 years, published 0 to 5 years" in made.caveats

    def test_calendar_time_where_both_are_known(self, cohort):
        made = against_published(cohort, TRIAL.arr, own_years=(2013, 2015))
        assert any(
            "6 years after those of CARE-MS II (2007–2009)" in said and "32%" in said for said in made.caveats
        )

    def test_years_that_are_not_known_are_said_with_the_reason(self, cohort):
        london = published.MURARO_2025["alemtuzumab"].arr
        made = against_published(cohort, london, own_years=(2013, 2015), accept_no_interval=True)
        assert (
            "published 2025 (years of enrolment: the years were not in what could be read of it)"
            in " ".join(made.caveats)
        )

    def test_own_years_are_those_of_the_dates_of_start(self, cohort):
        def said(people, **options):
            dated = replace(cohort, patients_table=people)
            return " ".join(against_published(dated, TRIAL.arr, **options).caveats)

        people = cohort.patients
        people["start"] = pd.to_datetime("2013-05-01") + pd.to_timedelta(np.arange(35) * 30, unit="D")
        assert "own patients started 2013–2016, on average 6.5 years after those of CARE-MS II" in said(
            people
        )
        assert "own patients started 2014–2014" in said(people, own_years=(2014, 2014))
        undated = people.drop(columns="start")
        assert "enrolled 2007–2009, when the own patients started was not given" in said(undated)

    def test_the_frame_holds_the_draws(self, cohort):
        made = against_published(cohort, TRIAL.arr, draws=500)
        frame = made.to_frame()
        assert frame.shape == (500, 4)
        assert np.allclose(frame["own"] / frame["published"], frame["ratio"])
        assert np.allclose(frame["own"] - frame["published"], frame["difference"])

    def test_the_same_seed_gives_the_same_numbers(self, cohort):
        one, two = (against_published(cohort, TRIAL.arr, seed=3).summary() for _ in range(2))
        assert one.equals(two)

    def test_own_figures_can_be_made(self, cohort):
        mine = replace(TRIAL.edss_change, figure=MeanSD(mean=0.1, sd=1.1), study="Clinic B", n=50)
        assert "Clinic B" in against_published(cohort, mine).difference.name
        shared = replace(TRIAL.worsening, figure=Share(share=0.0))
        with pytest.raises(PublishedFigureError, match="nobody or everybody"):
            against_published(cohort, shared, outcome=pd.Series(1.0, index=cohort.patients["patient"]))
