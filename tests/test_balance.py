"""Balance of arms: closed forms, numpy by hand, and the figures. R's MatchIt is the reference in test_matching."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from trajectories.example_cohorts import simulated_three_dmts_400
from trajectories.plots.balance import love, overlap
from trajectories.reading import read_cohort
from trajectories.weighting import (
    WeightingError,
    balance,
    entropy_balance,
    match,
    propensity,
    weights,
    weights_of,
)

FORMULA = "arm ~ age + sex + edss_baseline + relapses_year_before"


def small():
    """Twelve patients an arm, three centres, by hand."""
    table = pd.DataFrame(
        {
            "patient": [f"p{i:02d}" for i in range(24)],
            "arm": ["old"] * 12 + ["new"] * 12,
            "x": [*range(12), *range(2, 14)],
            "centre": ["n", "s", "w"] * 4 + ["n"] * 6 + ["s"] * 3 + ["w"] * 3,
        }
    )
    visits = pd.DataFrame({"patient": table["patient"], "day": 0, "edss": 2.0})
    return read_cohort(visits, patients=table)


@pytest.fixture(scope="module")
def scores():
    return propensity(simulated_three_dmts_400(), FORMULA)


@pytest.fixture(scope="module")
def overlapped(scores):
    return weights(scores, "ATO")


class TestNumbers:
    def test_by_hand(self):
        cohort = small()
        w = pd.Series([*[1.0, 2.0] * 6, *[1.0] * 12], index=cohort.patients["patient"])
        made = balance(weights_of(cohort, w, covariates=["x", "centre"]))
        row = made.pairs.loc[("x", "new − old")]
        old, new = np.arange(12.0), np.arange(2.0, 14.0)
        sd = np.sqrt((old.var(ddof=1) + new.var(ddof=1)) / 2)
        weighted = np.average(old, weights=w[:12])
        assert row["smd_before"] == pytest.approx(2 / sd)
        assert row["smd_after"] == pytest.approx((7.5 - weighted) / sd)
        # weights of 1 and 2 alternating: Σw = 18, Σw² = 30
        variance = (w[:12].to_numpy() * (old - weighted) ** 2).sum() * 18 / (18**2 - 30)
        assert row["variance_ratio_before"] == pytest.approx(1)
        assert row["variance_ratio_after"] == pytest.approx(new.var(ddof=1) / variance)
        centre = made.pairs.loc[("centre: n", "new − old")]
        p, q = 4 / 12, 6 / 12
        assert centre["smd_before"] == pytest.approx((q - p) / np.sqrt((p * (1 - p) + q * (1 - q)) / 2))
        assert np.isnan(centre["variance_ratio_before"])
        assert made.pairs.index.unique("covariate").tolist() == ["x", "centre: n", "centre: s", "centre: w"]

    def test_treated_arm_gives_the_denominator_of_att(self):
        cohort = small()
        made = balance(
            weights_of(
                cohort,
                pd.Series(1.0, index=cohort.patients["patient"]),
                "ATT",
                treated="new",
                covariates=["centre"],
            )
        )
        assert made.denominators["centre: n"] == pytest.approx(0.5)
        assert made.pairs.loc[("centre: n", "new − old"), "smd_after"] == pytest.approx((6 - 4) / 12 / 0.5)

    def test_every_pair_against_numpy(self, overlapped):
        made = balance(overlapped)
        w, arm = overlapped.values, overlapped.arm
        for name in ("age", "edss_baseline", "relapses_year_before"):
            x = overlapped.covariates[name]
            sd = np.sqrt(np.mean([x[arm == a].var() for a in overlapped.arms]))
            for a, b in combinations(overlapped.arms, 2):
                before = (x[arm == b].mean() - x[arm == a].mean()) / sd
                one, other = (np.average(x[arm == k], weights=w[arm == k]) for k in (a, b))
                row = made.pairs.loc[(name, f"{b} − {a}")]
                assert row["smd_before"] == pytest.approx(before, rel=1e-12)
                assert row["smd_after"] == pytest.approx((other - one) / sd, abs=1e-12)
            largest = made.pairs.xs(name, level="covariate")["smd_before"].abs().max()
            assert made.summary().loc[name, "smd_before"] == largest
            goal = np.average(x, weights=overlapped.standardisation)
            for a in overlapped.arms:
                row = made.means.loc[(name, a)]
                reached = np.average(x[arm == a], weights=w[arm == a])
                assert row["target"] == pytest.approx(goal)
                assert row["smd_target"] == pytest.approx((reached - goal) / sd, abs=1e-12)

    def test_squares_and_interactions_are_columns_like_others(self, overlapped):
        made = balance(overlapped, squares=True, interactions=True)
        x, sex = overlapped.covariates["age"], overlapped.covariates["sex"] == "M"
        for name, column in {"age²": x**2, "age × sex: M": x * sex}.items():
            groups = [column[overlapped.arm == a] for a in overlapped.arms]
            sd = np.sqrt(np.mean([g.var() for g in groups]))
            row = made.pairs.loc[(name, "ocrelizumab − fingolimod")]
            assert row["smd_before"] == pytest.approx((groups[1].mean() - groups[0].mean()) / sd)
        assert "sex: M²" not in made.summary().index
        assert len(made.summary()) == 4 + 3 + 6

    def test_swapping_arms_negates(self):
        cohort = small()
        patients = cohort.patients
        turned = patients.assign(arm=patients["arm"].cat.reorder_categories(["new", "old"]))
        visits = cohort.visits[["patient", "day", "edss"]]
        other = read_cohort(visits, patients=turned[["patient", "arm", "x", "centre"]])
        one, two = (balance(weights(propensity(c, "arm ~ x + centre"), "ATO")).pairs for c in (cohort, other))
        for when in ("before", "after"):
            np.testing.assert_allclose(one[f"smd_{when}"], -two[f"smd_{when}"], atol=1e-9)
            ratio = one[f"variance_ratio_{when}"].to_numpy() * two[f"variance_ratio_{when}"].to_numpy()
            np.testing.assert_allclose(ratio[~np.isnan(ratio)], 1, rtol=1e-9)


class TestVerdict:
    def test_exactly_balanced(self):
        made = balance(entropy_balance(simulated_three_dmts_400(), FORMULA))
        assert made.largest_after < 1e-8
        assert made.verdict.startswith("balanced: all 4 covariates and levels differ by less than 0.1 SD")
        assert np.isnan(made.overlap)
        assert "no propensity model" in str(made)

    def test_unbalanced_names_covariates_and_numbers(self):
        cohort = simulated_three_dmts_400()
        equal = pd.Series(1.0, index=cohort.patients["patient"])
        made = balance(weights_of(cohort, equal, covariates=["age", "sex", "edss_baseline"]))
        off = made.summary()["smd_after"]
        assert made.verdict.startswith(
            f"not balanced: 2 of 3 covariates and levels differ by 0.1 SD or more: age ({off['age']:.2f}), "
            f"edss_baseline ({off['edss_baseline']:.2f})"
        )
        assert "fingolimod 148 count as 148" in made.verdict
        assert made.largest_after == made.largest_before

    def test_print(self, overlapped):
        text = str(balance(overlapped))
        assert text.startswith("SIMULATED data")
        assert "largest of all pairs of arms" in text
        assert "goal below 0.1" in text

    def test_no_covariates(self):
        cohort = small()
        with pytest.raises(WeightingError, match="no covariates to judge: name them"):
            balance(weights_of(cohort, pd.Series(1.0, index=cohort.patients["patient"])))


class TestFigures:
    def test_love_draws_every_difference(self, overlapped):
        made = balance(overlapped)
        figure = love(made)
        assert len(figure.axes) == 3
        for ax in figure.axes:
            pair = ax.get_title(loc="left").strip().replace("\n", " ")
            found = made.pairs.xs(pair, level="pair")
            drawn = {line.get_label(): line.get_xdata() for line in ax.lines}
            np.testing.assert_allclose(drawn["before"], found["smd_before"])
            np.testing.assert_allclose(drawn["after"], found["smd_after"])
        labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
        assert labels == made.summary().index.tolist()
        text = " ".join(text.get_text() for text in figure.texts)
        assert "SIMULATED" in text
        assert "fingolimod 148 of 148" in text

    def test_love_of_matches_says_who_is_left(self, scores):
        made = balance(match(scores, treated="alemtuzumab", control="fingolimod").weights)
        figure = love(made)
        n = made.weights.arm.value_counts()
        text = " ".join(text.get_text() for text in figure.texts)
        assert len(figure.axes) == 1
        assert f"{n['alemtuzumab']} of 133" in text

    def test_overlap_counts_everybody(self, scores):
        figure = overlap(scores)
        assert [ax.get_title(loc="left").strip() for ax in figure.axes] == [
            f"of {arm}" for arm in scores.arms
        ]
        for ax in figure.axes:
            for line in (line for line in ax.lines if not line.get_label().startswith("_")):
                assert sum(line.get_ydata()) == pytest.approx(100)
                assert max(line.get_ydata()) <= ax.get_ylim()[1]
        legend = [text.get_text() for text in figure.axes[-1].get_legend().get_texts()]
        assert legend == ["given fingolimod (148)", "given ocrelizumab (119)", "given alemtuzumab (133)"]

    def test_overlap_of_two_arms_has_one_panel_and_no_false_mark(self):
        figure = overlap(propensity(small(), "arm ~ x"))
        assert len(figure.axes) == 1
        assert not any("SIMULATED" in text.get_text() for text in figure.texts)
