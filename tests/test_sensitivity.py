"""Hidden bias: E-values against published ones, tipping points against their definition, negative controls on a known bias."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import trajectories as tj
from trajectories.comparison import published
from trajectories.comparison.e_values import e_value
from trajectories.comparison.negative_controls import negative_control
from trajectories.comparison.tipping_points import measured_confounders, tipping_point
from trajectories.endpoints import CARE_MS


def contrast(
    values: np.ndarray, *, null: float, unit: str = "ratio", caveats: tuple[str, ...] = ()
) -> tj.Estimate:
    return tj.Estimate(
        name="contrast", draws=xr.DataArray(values.reshape(1, -1), dims=("chain", "draw")), unit=unit, definition="Made up.",
        source="draws", null=null, caveats=caveats,
    )  # fmt: skip


class TestEValue:
    @pytest.mark.parametrize(
        ("ratio", "lower", "upper", "point", "limit"),
        [
            (3.9, 1.8, 8.7, 7.26, 3.0),  # VanderWeele and Ding 2017: respiratory deaths and bottle feeding
            (
                10.73,
                8.02,
                14.36,
                20.95,
                15.52,
            ),  # the vignette of the R package EValue: smoking and lung cancer
        ],
    )
    def test_equals_the_published_examples(self, ratio, lower, upper, point, limit):
        made = e_value(ratio, lower, upper, measure="risk ratio")
        assert (round(made.estimate, 2), round(made.limit, 2)) == (point, limit)

    def test_is_where_the_bounding_factor_equals_the_ratio(self):
        for ratio in (1.2, 2.5, 7.0):
            e = e_value(ratio, 1.1, 9.0, measure="rate ratio").estimate
            assert np.isclose(e * e / (2 * e - 1), ratio)

    def test_a_protective_ratio_is_that_of_its_inverse(self):
        one = e_value(0.45, 0.32, 0.63, measure="rate ratio")
        other = e_value(1 / 0.45, 1 / 0.63, 1 / 0.32, measure="rate ratio")
        assert np.allclose([one.estimate, one.limit], [other.estimate, other.limit])

    def test_an_interval_over_no_effect_needs_nothing(self):
        made = e_value(0.7, 0.4, 1.23, measure="hazard ratio", rare=True)
        assert made.limit == 1
        assert "covers no effect already" in str(made)

    def test_common_outcomes_are_turned_into_risk_ratios(self):
        odds = e_value(4.0, 2.25, 9.0, measure="odds ratio", rare=False)
        assert np.allclose(odds.of.ratios, (2.0, 1.5, 3.0))
        assert np.isclose(odds.estimate, 2 + math.sqrt(2))
        hazard = e_value(2.0, 1.5, 3.0, measure="hazard ratio", rare=False)
        assert np.isclose(hazard.of.ratios[0], (1 - 0.5**1.41421356) / (1 - 0.5**0.70710678))
        assert "approximation" in str(hazard)
        assert e_value(2.0, 1.5, 3.0, measure="hazard ratio", rare=True).of.ratios == (2.0, 1.5, 3.0)

    def test_differences_by_their_standardised_size(self):
        made = e_value(-0.5, -0.8, -0.2, measure="mean difference", sd=1.25)
        ratio = math.exp(0.91 * 0.4)
        assert np.isclose(made.estimate, ratio + math.sqrt(ratio * (ratio - 1)))
        assert np.isclose(made.of.nearest, math.exp(-0.91 * 0.16))

    def test_estimates_bring_their_own_numbers(self):
        draws = np.exp(np.random.default_rng(1).normal(math.log(0.5), 0.1, 4000))
        made = e_value(contrast(draws, null=1.0), measure="rate ratio")
        assert np.isclose(made.of.given[0], np.median(draws))
        assert np.allclose(made.of.given[1:], np.quantile(draws, [0.025, 0.975]))

    def test_the_print_says_what_it_is_not(self):
        text = " ".join(str(e_value(3.9, 1.8, 8.7, measure="risk ratio")).split())
        assert "risk ratio of 3.00 each" in text
        assert "is no proof" in text

    @pytest.mark.parametrize(
        ("arguments", "options", "message"),
        [
            ((2.0,), {"measure": "risk ratio"}, "give lower="),
            ((2.0, 2.5, 3.0), {"measure": "risk ratio"}, "must ascend"),
            ((0.5, -0.1, 0.9), {"measure": "risk ratio"}, "above 0"),
            ((0.5, 0.1, math.inf), {"measure": "risk ratio"}, "must ascend"),
            ((0.5, 0.1, 0.9), {"measure": "odds ratio"}, "rare="),
            ((0.5, 0.1, 0.9), {"measure": "hazard ratio"}, "rare="),
            ((0.5, 0.1, 0.9), {"measure": "mean difference"}, "needs sd="),
            ((0.5, 0.1, 0.9), {"measure": "mean difference", "sd": 0.0}, "needs sd="),
            ((0.5, 0.1, 0.9), {"measure": "share"}, "must be one of"),
        ],
    )
    def test_what_cannot_be_used_is_said(self, arguments, options, message):
        with pytest.raises(ValueError, match=message):
            e_value(*arguments, **options)

    def test_an_estimate_of_the_wrong_kind(self):
        with pytest.raises(ValueError, match="this measure 1"):
            e_value(contrast(np.arange(5.0), null=0.0), measure="rate ratio")


class TestResultsOfSeveralQuantities:
    """The message says where the ratio is, and what it says works."""

    @staticmethod
    def refused(given):
        said = []
        for verb in (e_value, tipping_point):
            with pytest.raises(TypeError) as caught:
                verb(given, measure="rate ratio")
            said.append(str(caught.value))
        assert said[0] == said[1]
        return said[0]

    def test_against_published(self):
        trial = published.CARE_MS_2["alemtuzumab"]
        made = tj.against_published(tj.simulated_alemtuzumab_35(), trial.arr, draws=500)
        assert "not AgainstPublished: give its .ratio or its .difference." in self.refused(made)
        assert e_value(made.ratio, measure="rate ratio").of.given[0] == made.summary().loc["ratio", "median"]
        change = tj.against_published(tj.simulated_alemtuzumab_35(), trial.edss_change, draws=500)
        assert self.refused(change).endswith("give its .difference.")

    @pytest.mark.filterwarnings("ignore:.*reference of EDSS 5.5")
    def test_rates_and_hazards(self):
        cohort = tj.simulated_three_dmts_400()
        rates = tj.annualised_relapse_rate(cohort, window=(0, 2))
        assert "row = result.ratios.iloc[0], say, and give row['ratio'], row['lower']" in self.refused(rates)
        row = rates.ratios.iloc[0]
        assert e_value(row["ratio"], row["lower"], row["upper"], measure="rate ratio").estimate > 1
        hazards = tj.time_to(tj.disability_events(cohort, CARE_MS)).cox()
        assert "result.coefficients.iloc[0], say, and give row['hazard_ratio']" in self.refused(hazards)
        row = hazards.coefficients.iloc[0]
        given = row["hazard_ratio"], row["lower"], row["upper"]
        assert e_value(*given, measure="hazard ratio", rare=False).of.given == given

    def test_printed_ratios(self):
        trial = published.CARE_MS_1
        assert "give x.figure.ratio, x.figure.lower, x.figure.upper" in self.refused(trial.contrasts["arr"])
        counts = tj.rate_ratio_from_summary(trial["alemtuzumab"].relapses, trial["interferon"].relapses)
        assert "give x.ratio, x.lower, x.upper" in self.refused(counts)
        assert self.refused("0.4").endswith("not str.")


class TestTippingPoint:
    def test_of_a_difference_is_bias_over_effect(self):
        made = tipping_point(-0.4, -0.6, -0.2, measure="mean difference", strengths=[0.25, 0.5, 1.0])
        assert np.allclose(made.curve["interval"], [0.8, 0.4, 0.2])
        assert np.allclose(
            made.curve["estimate"], [np.nan, 0.8, 0.4], equal_nan=True
        )  # no prevalence differs by 1.6
        free = tipping_point(
            -0.4, -0.6, -0.2, measure="mean difference", strengths=[0.25], confounder="continuous"
        )
        assert free.curve["estimate"].tolist() == [1.6]

    def test_a_simulated_confounder_at_the_tipping_point_makes_all_of_the_difference(self):
        made = tipping_point(0.5, 0.3, 0.7, measure="mean difference", strengths=[1.5])
        apart = made.curve["estimate"].item()
        rng, n = np.random.default_rng(3), 400_000
        u = [rng.random(n) < 0.2 + apart, rng.random(n) < 0.2]
        outcomes = [1.5 * group + rng.normal(0, 1, n) for group in u]
        assert np.isclose(outcomes[0].mean() - outcomes[1].mean(), 0.5, atol=0.01)

    def test_of_a_ratio_solves_the_bounding_factor(self):
        made = tipping_point(0.45, 0.32, 0.63, measure="rate ratio")
        curve = made.curve.dropna()
        assert len(curve) > 30
        for column, ratio in (("interval", 1 / 0.63), ("estimate", 1 / 0.45)):
            a, b = curve["outcome"], curve[column]
            assert np.allclose(a * b / (a + b - 1), ratio)

    def test_goes_through_the_e_value(self):
        e = e_value(3.9, 1.8, 8.7, measure="risk ratio")
        made = tipping_point(3.9, 1.8, 8.7, measure="risk ratio", strengths=[e.limit, e.estimate])
        assert np.isclose(made.curve["interval"].iloc[0], e.limit)
        assert np.isclose(made.curve["estimate"].iloc[1], e.estimate)

    def test_an_interval_over_no_effect_needs_nothing(self):
        made = tipping_point(-0.1, -0.4, 0.2, measure="mean difference")
        assert made.covers_null
        assert (made.curve["interval"] == 0).all()
        assert "no confounder is needed" in str(made)
        assert (tipping_point(1.1, 0.9, 1.4, measure="risk ratio").curve["interval"] == 1).all()

    def test_benchmarks_have_a_direction(self):
        given = {"age": (0.5, -0.9), "sex": (0.5, 0.9), "weak": (0.1, -0.1), "middling": (0.5, -0.5)}
        made = tipping_point(
            -0.4, -0.6, -0.2, measure="mean difference", confounder="continuous", benchmarks=given
        )
        assert made.benchmarks["moves_interval"].tolist() == [True, False, False, True]
        assert made.benchmarks["moves_estimate"].tolist() == [True, False, False, False]
        assert "one as strong as age (0.5, -0.9) would move the estimate to no effect" in str(made)
        ratio = tipping_point(
            0.45, 0.32, 0.63, measure="rate ratio", benchmarks={"a": (4.0, 0.2), "b": (1.2, 1.3)}
        )
        assert ratio.benchmarks["moves_interval"].tolist() == [True, False]

    def test_bad_strengths(self):
        with pytest.raises(ValueError, match="numbers above 1"):
            tipping_point(3.9, 1.8, 8.7, measure="risk ratio", strengths=[0.5])
        with pytest.raises(ValueError, match="exactly no effect"):
            tipping_point(0.0, -1.0, 1.0, measure="mean difference")
        with pytest.raises(ValueError, match="above 0"):
            tipping_point(3.9, 1.8, 8.7, measure="risk ratio", benchmarks={"a": (-1.0, 2.0)})

    def test_caveats_of_the_estimate_stay(self):
        draws = np.random.default_rng(1).normal(-0.4, 0.1, 999)
        made = tipping_point(
            contrast(draws, null=0.0, unit="EDSS points", caveats=("simulated",)), measure="mean difference"
        )
        assert made.caveats == ("simulated",)
        assert "simulated" in str(made)


class TestMeasuredConfounders:
    def test_equal_a_regression_by_statsmodels(self):
        import statsmodels.api as sm

        cohort = tj.simulated_three_dmts_400()
        last = tj.edss_at(cohort, at=(2,)).set_index("patient")["edss"]
        names = ["age", "edss_baseline"]
        made = measured_confounders(cohort, last, names, level="alemtuzumab", reference="fingolimod")
        rows = cohort.patients.set_index("patient").assign(last=last)
        rows = rows[rows["arm"].isin(["alemtuzumab", "fingolimod"])].dropna(subset=["last", *names])
        x = (rows[names] - rows[names].mean()) / rows[names].std()
        x["treated"] = (rows["arm"] == "alemtuzumab").astype(float)
        fitted = sm.OLS(rows["last"].astype(float), sm.add_constant(x)).fit()
        for name in names:
            apart = x.loc[x["treated"] == 1, name].mean() - x.loc[x["treated"] == 0, name].mean()
            assert np.allclose(made[name], (fitted.params[name], apart))

    def test_bad_input(self):
        cohort = tj.simulated_three_dmts_400()
        outcome = pd.Series(1.0, index=cohort.patients["patient"])
        arms = {"level": "alemtuzumab", "reference": "fingolimod"}
        with pytest.raises(ValueError, match="numeric columns"):
            measured_confounders(cohort, outcome, ["sex"], **arms)
        with pytest.raises(ValueError, match="no arm"):
            measured_confounders(cohort, outcome, ["age"], level="placebo", reference="fingolimod")
        with pytest.raises(ValueError, match="too few"):
            measured_confounders(cohort, outcome[:3], ["age"], **arms)


class TestNegativeControl:
    rng = np.random.default_rng(7)
    control = contrast(rng.normal(0.3, 0.1, 4000), null=0.0, unit="EDSS points")
    main = contrast(rng.normal(-0.2, 0.1, 4000), null=0.0, unit="EDSS points")

    def test_names_bias_that_it_sees(self):
        made = negative_control(self.control, self.main)
        assert not made.covers_null
        assert "BIAS" in str(made)
        assert made.calibrated is None

    def test_does_not_claim_that_there_is_none(self):
        made = negative_control(contrast(self.rng.normal(0.0, 0.5, 4000), null=0.0, unit="EDSS points"))
        assert made.covers_null
        assert "does not show that there is no bias" in " ".join(str(made).split())

    def test_calibrates_under_a_stated_assumption(self):
        made = negative_control(self.control, self.main, equal_bias=True)
        row = made.calibrated.summary().loc[""]
        assert np.isclose(row["mean"], -0.5, atol=0.01)
        assert np.isclose(row["sd"], 0.1 * math.sqrt(2), rtol=0.05)
        assert "exactly the bias of the control" in " ".join(str(made).split())

    def test_ratios_are_divided(self):
        control = contrast(np.full(100, 1.25), null=1.0)
        main = contrast(np.full(100, 0.5), null=1.0)
        assert np.allclose(negative_control(control, main, equal_bias=True).calibrated.draws, 0.4)

    def test_bad_input(self):
        with pytest.raises(ValueError, match="no contrast of one cell"):
            negative_control(contrast(np.ones(9), null=None))
        with pytest.raises(ValueError, match="not on one scale"):
            negative_control(contrast(np.full(9, 1.2), null=1.0), self.main, equal_bias=True)
        with pytest.raises(ValueError, match="give main="):
            negative_control(self.control, equal_bias=True)
