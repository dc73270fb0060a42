"""Propensities, weights and entropy balancing: against R, closed forms, relations that always hold; and what is refused."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trajectories.example_cohorts import simulated_three_dmts_400
from trajectories.formulas import FormulaError
from trajectories.reading import read_cohort
from trajectories.weighting import (
    InfeasibleError,
    PositivityError,
    SeparationError,
    Trim,
    WeightingError,
    entropy_balance,
    match,
    propensity,
    weights,
    weights_of,
)
from trajectories.weighting.targets import counted_quantile

REFERENCE = Path(__file__).parent / "reference"
ARMS = ["fingolimod", "ocrelizumab", "alemtuzumab"]
FORMULA = "arm ~ age + sex + edss_baseline + relapses"


def cohort_of(patients, arms=ARMS):
    """A cohort with one visit a patient, at the start."""
    patients = patients.assign(arm=pd.Categorical(patients["arm"], categories=arms, ordered=True))
    edss = patients.get("edss_baseline", 2.0)
    visits = pd.DataFrame({"patient": patients["patient"], "day": 0, "edss": edss})
    return read_cohort(visits, patients=patients.drop(columns="edss_baseline", errors="ignore"))


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(REFERENCE / "weighting_patients.csv")


@pytest.fixture(scope="module")
def three(table):
    return cohort_of(table)


@pytest.fixture(scope="module")
def two(table):
    return cohort_of(table[table["arm"] != "ocrelizumab"], ["fingolimod", "alemtuzumab"])


@pytest.fixture(scope="module")
def scores(three):
    return propensity(three, FORMULA)


@pytest.fixture(scope="module")
def scores_two(two):
    return propensity(two, FORMULA)


PATIENTWISE = pd.read_csv(REFERENCE / "weighting_patientwise.csv")
NUMBERS = pd.read_csv(REFERENCE / "weighting_reference.csv").set_index(["case", "quantity"])["value"]


def r_patients(case, quantity):
    return (
        PATIENTWISE.query("case == @case and quantity == @quantity").set_index("patient")["value"].rename("")
    )


def binary(sizes):
    """Patients with one 0/1 covariate: {(arm, x): how many}."""
    rows = [(arm, x) for (arm, x), n in sizes.items() for _ in range(n)]
    made = pd.DataFrame(rows, columns=["arm", "x"])
    return cohort_of(
        made.assign(patient=[f"p{i:03d}" for i in range(len(made))]), sorted({a for a, _ in rows})
    )


def means(made, column):
    return (made.covariates[column] * made.values).groupby(made.arm).sum() / made.values.groupby(
        made.arm
    ).sum()


class TestPropensity:
    def test_two_arms_equal_glm(self, scores_two):
        found = scores_two.summary()
        for ours, theirs in zip(
            ["intercept", "age", "sex[M]", "edss_baseline", "relapses"],
            ["(Intercept)", "age", "sexM", "edss_baseline", "relapses"], strict=True,
        ):  # fmt: skip
            row = found.loc[("alemtuzumab", ours)]
            assert row["log_odds_ratio"] == pytest.approx(NUMBERS["two", f"b {theirs}"], abs=1e-9)
            assert row["se"] == pytest.approx(NUMBERS["two", f"se {theirs}"], rel=1e-7)
        assert scores_two.loglik == pytest.approx(NUMBERS["two", "loglik"], abs=1e-10)
        e = scores_two.probabilities["alemtuzumab"]
        np.testing.assert_allclose(e, r_patients("two", "e").loc[e.index], atol=1e-10)

    def test_three_arms_equal_multinom(self, scores):
        for arm in ARMS:
            e = scores.probabilities[arm]
            # multinom is a quasi-Newton search and agrees to 1e-8
            np.testing.assert_allclose(e, r_patients("three", f"e {arm}").loc[e.index], atol=1e-7)
        assert scores.loglik == pytest.approx(NUMBERS["three", "loglik"], abs=1e-7)

    def test_three_arms_equal_statsmodels(self, scores):
        from statsmodels.api import MNLogit, add_constant

        fit = MNLogit(scores.cases.code, add_constant(scores.cases.X)).fit(disp=0, tol=1e-14, maxiter=100)
        np.testing.assert_allclose(scores.coefficients, fit.params, atol=1e-8)
        np.testing.assert_allclose(
            np.sqrt(np.diag(scores.covariance)), np.asarray(fit.bse).T.ravel(), rtol=1e-7
        )

    def test_saturated_model_gives_the_shares(self):
        scores = propensity(binary({("a", 0): 12, ("a", 1): 4, ("b", 0): 6, ("b", 1): 20}), "arm ~ x")
        of_x = scores.probabilities.groupby(scores.covariates["x"])["b"].first()
        np.testing.assert_allclose(of_x, [6 / 18, 20 / 24], atol=1e-12)

    def test_units_do_not_matter(self, two, scores_two):
        patients = two.patients.assign(age=lambda t: 1e6 + 365.25 * t["age"])
        again = propensity(replace(two, patients_table=patients), FORMULA)
        np.testing.assert_allclose(again.probabilities, scores_two.probabilities, atol=1e-8)

    def test_incomplete_patients_are_counted_by_arm_and_covariate(self, two):
        patients = two.patients
        patients.loc[[0, 1, 2], "age"] = np.nan
        patients.loc[[2, 3], "sex"] = None
        made = propensity(replace(two, patients_table=patients), FORMULA)
        lost = patients.loc[[0, 1, 2, 3], "arm"].astype(str).value_counts()
        assert len(made.arm) == two.n_patients - 4
        for arm in two.arms:
            assert f"{lost.get(arm, 0)} of {(patients['arm'] == arm).sum()} {arm}" in made.notes[0]
        assert "age missing in 3" in made.notes[0]
        assert "sex missing in 2" in made.notes[0]
        assert made.notes[0] in str(made)
        assert made.notes[0] in weights(made, "ATO").notes
        assert weights(made, "ATO").summary()["in_cohort"].sum() == two.n_patients


class TestRefusals:
    @pytest.mark.parametrize(
        ("formula", "error", "says"),
        [
            ("edss ~ age", FormulaError, "arm on its left"),
            ("arm ~ 1", FormulaError, "names no covariate"),
            ("arm ~ age + followup_end_day", FormulaError, "only after time 0"),
            ("arm ~ age + (1 | patient)", FormulaError, "one row a patient"),
            ("arm ~ age + I(age * 2)", WeightingError, "follows from the terms before"),
            ("arm ~ agee", FormulaError, "Did you mean 'age'"),
        ],
    )
    def test_formulas(self, two, formula, error, says):
        with pytest.raises(error, match=says):
            propensity(two, formula)

    def test_constant_covariate(self, two):
        flat = replace(two, patients_table=two.patients.assign(age=40.0))
        with pytest.raises(WeightingError, match="'age' is the same \\(40\\) in every patient"):
            propensity(flat, FORMULA)
        with pytest.raises(WeightingError, match="'age' is the same"):
            entropy_balance(flat, FORMULA)

    def test_one_arm(self, table):
        with pytest.raises(WeightingError, match="one arm only \\(fingolimod\\)"):
            propensity(cohort_of(table[table["arm"] == "fingolimod"], ["fingolimod"]), FORMULA)

    def test_five_patients(self):
        few = binary({("a", 0): 12, ("a", 1): 4, ("b", 0): 3, ("b", 1): 2})
        for verb in (propensity, entropy_balance):
            with pytest.raises(
                WeightingError, match=r"b has 5 patients, fewer than the 10.*leave the arm out"
            ):
                verb(few, "arm ~ x")

    def test_perfect_separation_by_a_range(self):
        rng = np.random.default_rng(1)
        patients = pd.DataFrame(
            {"patient": [f"p{i}" for i in range(40)], "arm": ["a", "b"] * 20, "z": rng.normal(size=40)}
        )
        patients["age"] = np.where(patients["arm"] == "a", rng.uniform(20, 40, 40), rng.uniform(41, 60, 40))
        with pytest.raises(SeparationError, match=r"'age' \(a 2.*, b 4.*counterpart"):
            propensity(cohort_of(patients, ["a", "b"]), "arm ~ age + z")

    def test_quasi_separation_by_a_level(self):
        with pytest.raises(SeparationError, match="'x'"):
            propensity(binary({("a", 0): 12, ("a", 1): 12, ("b", 0): 0, ("b", 1): 20}), "arm ~ x")

    def test_separation_by_two_together(self):
        rng = np.random.default_rng(2)
        u, v = rng.normal(size=(2, 60))
        arm = np.where(u + v > 0, "b", "a")
        patients = pd.DataFrame({"patient": [f"p{i}" for i in range(60)], "arm": arm, "u": u, "v": v})
        with pytest.raises(SeparationError, match=r"together.*'[uv]', '[uv]'"):
            propensity(cohort_of(patients, ["a", "b"]), "arm ~ u + v")

    def test_strong_but_finite_association_is_estimated(self):
        # odds ratio 99 * 99 with x overlapping by one patient on each side
        made = propensity(binary({("a", 0): 99, ("a", 1): 1, ("b", 0): 1, ("b", 1): 99}), "arm ~ x")
        assert made.coefficients[1, 0] == pytest.approx(2 * np.log(99), abs=1e-9)

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"target": "everybody"}, "no target here: choose one of ATE, ATT, ATO, matching"),
            ({"target": "ATT"}, "treated= one of"),
            ({"target": "ATO", "treated": "ocrelizumab"}, "belongs to target='ATT'"),
            ({"target": "ATO", "trim": Trim(below=0.34)}, "all 3 arms: trim less"),
            ({"target": "ATO", "trim": Trim(below=0.33)}, "leaves . patients"),
        ],
    )
    def test_targets(self, scores, options, says):
        with pytest.raises(WeightingError, match=says):
            weights(scores, **options)

    @pytest.mark.parametrize(
        "options", [{}, {"below": 0.1, "quantile": 0.9}, {"below": 0.6}, {"quantile": 0.3}]
    )
    def test_trims(self, options):
        with pytest.raises(ValueError, match=r"below|quantile"):
            Trim(**options)


class TestWeights:
    @pytest.mark.parametrize("target", ["ATE", "ATT", "ATO", "matching"])
    def test_two_arms_equal_survey(self, table, scores_two, target):
        treated = "alemtuzumab" if target == "ATT" else None
        made = weights(scores_two, target, treated=treated, accept_positivity=True)
        np.testing.assert_allclose(made.raw, r_patients("two", target).loc[made.raw.index], rtol=1e-8)
        y = table.set_index("patient").loc[made.values.index]
        for arm in made.arms:
            mine = made.arm == arm
            for name in ("y", "age", "edss_baseline"):
                mean = np.average(y.loc[mine, name], weights=made.values[mine])
                assert mean == pytest.approx(NUMBERS["two", f"mean {target} {arm} {name}"], rel=1e-8)
            assert made.effective_sample_size[arm] == pytest.approx(
                NUMBERS["two", f"ess {target} {arm}"], rel=1e-8
            )
        difference = [
            np.average(y["y"][made.arm == a], weights=made.values[made.arm == a]) for a in made.arms
        ]
        assert np.diff(difference)[0] == pytest.approx(NUMBERS["two", f"effect {target}"], rel=1e-7)

    @pytest.mark.parametrize("target", ["ATE", "ATT", "ATO", "matching"])
    def test_three_arms_equal_r(self, scores, target):
        treated = "ocrelizumab" if target == "ATT" else None
        made = weights(scores, target, treated=treated, accept_positivity=True)
        # to the precision of multinom's probabilities
        np.testing.assert_allclose(made.raw, r_patients("three", target).loc[made.raw.index], rtol=1e-6)

    def test_saturated_weights_standardise_exactly(self):
        cohort = binary({("a", 0): 12, ("a", 1): 4, ("b", 0): 6, ("b", 1): 20})
        scores = propensity(cohort, "arm ~ x")
        share = {"ATE": 24 / 42, "ATT": 20 / 26}
        h = {"ATO": [18 * (12 / 18) * (6 / 18), 24 * (4 / 24) * (20 / 24)], "matching": [6, 4]}
        for target, (none, some) in h.items():
            share[target] = some / (none + some)
        for target, expected in share.items():
            made = weights(scores, target, treated="b" if target == "ATT" else None)
            np.testing.assert_allclose(means(made, "x"), expected, atol=1e-11)
            over_target = np.average(made.covariates["x"], weights=made.standardisation)
            assert over_target == pytest.approx(expected, abs=1e-11)

    def test_overlap_weights_of_two_arms_balance_exactly(self, scores_two):
        made = weights(scores_two, "ATO")
        for column in ("age", "edss_baseline", "relapses"):
            a, b = means(made, column)
            assert a == pytest.approx(b, abs=1e-9)

    def test_weights_average_one_and_stabilising_changes_only_raw(self, scores):
        plain, stable = weights(scores, "ATO"), weights(scores, "ATO", stabilised=True)
        np.testing.assert_allclose(plain.values.groupby(plain.arm).mean(), 1, atol=1e-14)
        np.testing.assert_allclose(plain.values, stable.values, atol=1e-14)
        share = stable.arm.map(stable.arm.value_counts(normalize=True)).astype(float)
        np.testing.assert_allclose(stable.raw, plain.raw * share, rtol=1e-12)

    @pytest.mark.parametrize("target", ["ATE", "ATO", "matching"])
    def test_order_of_arms_does_not_matter(self, table, scores, target):
        turned = propensity(cohort_of(table, ARMS[::-1]), FORMULA)
        one, other = (weights(s, target, accept_positivity=True).values for s in (scores, turned))
        np.testing.assert_allclose(one, other.loc[one.index], rtol=1e-8)

    def test_order_of_patients_does_not_matter(self, table, scores):
        shuffled = cohort_of(table.sample(frac=1, random_state=8))
        again = weights(propensity(shuffled, FORMULA), "ATO").values
        np.testing.assert_allclose(weights(scores, "ATO").values, again.loc[scores.arm.index], rtol=1e-9)
        balanced = entropy_balance(shuffled, FORMULA).values
        assert balanced.index.tolist() == shuffled.patients["patient"].tolist()

    def test_capped(self, scores):
        plain, capped = (
            weights(scores, "ATE", accept_positivity=True),
            weights(scores, "ATE", trim=Trim(quantile=0.9), accept_positivity=True),
        )
        for arm in ARMS:
            mine = plain.arm == arm
            limit = np.quantile(plain.raw[mine], 0.9)
            np.testing.assert_allclose(capped.raw[mine], np.minimum(plain.raw[mine], limit), rtol=1e-12)
            assert f"{(plain.raw[mine] > limit).sum()} of {mine.sum()} {arm}" in capped.notes[-1]

    def test_trimmed(self, three, scores):
        out = scores.probabilities.min(axis="columns") < 0.12
        assert 0 < out.sum() < 80
        made = weights(scores, "ATE", trim=Trim(below=0.12), accept_positivity=True)
        assert made.values.index.tolist() == out.index[~out].tolist()
        for arm in ARMS:
            assert (
                f"{(out & (scores.arm == arm)).sum()} of {(scores.arm == arm).sum()} {arm}" in made.notes[-1]
            )
        kept = replace(three, patients_table=three.patients[~out.to_numpy()])
        np.testing.assert_allclose(made.probabilities, propensity(kept, FORMULA).probabilities, atol=1e-9)
        same = weights(scores, "ATE", trim=Trim(below=0.12, refit=False), accept_positivity=True)
        np.testing.assert_allclose(same.probabilities, scores.probabilities[~out])
        assert "at least 0.12 of every arm" in same.description

    def test_trimming_away_a_level_is_an_error(self):
        sizes = {("a", 0): 40, ("a", 1): 1, ("b", 0): 40, ("b", 1): 19}
        with pytest.raises(WeightingError, match=r"'x' is the same \(0\).*among the 80 patients that remain"):
            weights(propensity(binary(sizes), "arm ~ x"), "ATO", trim=Trim(below=0.1))

    def test_frozen(self, scores):
        with pytest.raises(AttributeError):
            weights(scores, "ATO").target = "ATE"

    def test_print_says_target_numbers_and_simulated(self):
        cohort = simulated_three_dmts_400()
        made = weights(propensity(cohort, "arm ~ age + edss_baseline"))
        text = str(made)
        assert text.startswith("SIMULATED data")
        assert "target ATE: all patients" in text
        assert not cohort.patients["patient"].isin(text.split()).any()
        assert made.summary()["weighted"].tolist() == [148, 119, 133]
        w = made.values[made.arm == "alemtuzumab"]
        row = made.summary().loc["alemtuzumab"]
        assert (row["largest"], row["largest_share"]) == (w.max(), w.max() / w.sum())


@pytest.fixture(scope="module")
def never():
    """Nobody above EDSS 5 was given fingolimod, but for one at 5.5."""
    rng = np.random.default_rng(5)
    edss = rng.choice(np.arange(2, 15) / 2, 300)
    arm = np.where((edss < 5) & (rng.uniform(size=300) < 0.7), "fingolimod", "alemtuzumab")
    arm[np.flatnonzero(edss == 5.5)[0]] = "fingolimod"
    return cohort_of(
        pd.DataFrame({"patient": [f"p{i:03d}" for i in range(300)], "arm": arm, "edss_baseline": edss, "age": rng.normal(40, 9, 300)}),
        ["fingolimod", "alemtuzumab"],
    )  # fmt: skip


class TestKnownTruth:
    """20,000 patients whose effect grows with the covariate that decides the arm: each target has its own true answer."""

    @pytest.fixture(scope="class")
    @staticmethod
    def confounded():
        rng = np.random.default_rng(11)
        x = rng.normal(size=20_000)
        e = 1 / (1 + np.exp(-0.3 - 0.8 * x))
        new = rng.uniform(size=len(x)) < e
        patients = pd.DataFrame(
            {"patient": [f"p{i:05d}" for i in range(len(x))], "arm": np.where(new, "new", "old"), "x": x}
        )
        y = x + (1 + x) * new + rng.normal(size=len(x))
        scores = propensity(cohort_of(patients, ["old", "new"]), "arm ~ x")
        return scores, pd.Series(y, index=scores.arm.index), x, e

    @pytest.mark.parametrize("target", ["ATE", "ATT", "ATO", "matching", "naive"])
    def test_each_target(self, confounded, target):
        scores, y, x, e = confounded
        if target == "naive":
            new = scores.arm == "new"
            assert y[new].mean() - y[~new].mean() > 1 + 0.8
            return
        made = weights(scores, target, treated="new" if target == "ATT" else None)
        h = {"ATE": np.ones(len(x)), "ATT": e, "ATO": e * (1 - e), "matching": np.minimum(e, 1 - e)}[target]
        truth = np.average(1 + x, weights=h)
        sums = (made.values * y).groupby(made.arm).sum() / made.values.groupby(made.arm).sum()
        # four standard errors of a weighted difference: outcomes have an SD of about 2
        error = 4 * 2 * np.sqrt((1 / made.effective_sample_size).sum())
        assert sums["new"] - sums["old"] == pytest.approx(truth, abs=error)
        assert error < 0.2
        standardised = np.average(1 + x, weights=made.standardisation)
        assert standardised == pytest.approx(truth, abs=0.03)


class TestPositivity:
    def test_refused_with_the_region_and_the_remedy(self, never):
        scores = propensity(never, "arm ~ age + I(edss_baseline > 5) + edss_baseline")
        low = (scores.probabilities["fingolimod"] < 0.025).to_numpy()
        edss = scores.covariates["edss_baseline"]
        inside = edss.between(edss[low].min(), edss[low].max())
        with pytest.raises(PositivityError) as caught:
            weights(scores, "ATE")
        text = str(caught.value)
        assert f"{low.sum()} of 300 patients" in text
        n = {arm: int((scores.arm == arm).sum()) for arm in scores.arms}
        seen = {arm: int((inside & (scores.arm == arm)).sum()) for arm in scores.arms}
        assert (
            f"edss_baseline {edss[low].min():g} to {edss[low].max():g} ({seen['alemtuzumab']} of {n['alemtuzumab']} alemtuzumab, "
            f"{seen['fingolimod']} of {n['fingolimod']} fingolimod)"
        ) in text
        assert "age" not in text
        assert "target='ATO'" in text

    def test_accepted_is_marked_and_overlap_is_not_judged(self, never):
        scores = propensity(never, "arm ~ age + I(edss_baseline > 5) + edss_baseline")
        made = weights(scores, "ATE", accept_positivity=True)
        assert made.caveats[0].startswith("positivity (accepted by the user)")
        assert weights(scores, "ATO").caveats == ()
        assert len(made.remade(never).values) == 300

    def test_of_the_treated_only_those_who_are_the_target_count(self, never):
        scores = propensity(never, "arm ~ age + I(edss_baseline > 5) + edss_baseline")
        with pytest.raises(PositivityError, match="those given alemtuzumab"):
            weights(scores, "ATT", treated="alemtuzumab")
        low = (scores.probabilities.min(axis="columns") < 0.025) & (scores.arm == "fingolimod")
        assert low.mean() < 0.02
        assert weights(scores, "ATT", treated="fingolimod").target == "ATT"


class TestRemade:
    def test_same_cohort_gives_the_same(self, three, scores):
        made = [
            weights(scores, "ATE", trim=Trim(below=0.08), accept_positivity=True),
            weights(scores, "ATT", treated="ocrelizumab", accept_positivity=True),
            weights(scores, "matching", trim=Trim(quantile=0.95), stabilised=True),
            entropy_balance(three, FORMULA, moments=2),
            match(scores, treated="alemtuzumab", control="fingolimod", ratio=2, exact=("sex",)).weights,
        ]
        for one in made:
            again = pickle.loads(pickle.dumps(one)).remade(three)
            pd.testing.assert_series_equal(one.values, again.values)
            pd.testing.assert_series_equal(one.standardisation, again.standardisation)
            assert (one.description, one.notes) == (again.description, again.notes)

    def test_resample_repeats_the_estimation(self, three, scores):
        drawn = three.patients.sample(frac=1, replace=True, random_state=3).reset_index(drop=True)
        drawn["patient"] = [f"new{i:03d}" for i in range(len(drawn))]
        again = replace(three, patients_table=drawn)
        made = weights(scores, "ATO").remade(again)
        pd.testing.assert_series_equal(made.values, weights(propensity(again, FORMULA), "ATO").values)
        assert made.values.index.tolist() == drawn["patient"].tolist()

    def test_counting_twice_is_being_there_twice(self, three, scores):
        patients = three.patients
        times = np.random.default_rng(9).integers(1, 4, len(patients))
        drawn = patients.loc[patients.index.repeat(times)].reset_index(drop=True)
        drawn["patient"] = [f"new{i:03d}" for i in range(len(drawn))]
        again = replace(three, patients_table=drawn)
        counts = pd.Series(times.astype(float), index=patients["patient"])
        made = [
            weights(scores, "ATO"),
            weights(scores, "ATT", treated="ocrelizumab", accept_positivity=True),
            entropy_balance(three, FORMULA),
            entropy_balance(three, FORMULA, "ATT", treated="ocrelizumab"),
            weights(scores, "ATE", trim=Trim(quantile=0.9), stabilised=True, accept_positivity=True),
            weights(scores, "ATO", trim=Trim(below=0.1)),
        ]
        for one in made:
            counted, repeated = one.remade(three, counts), one.remade(again)
            there = patients["patient"].isin(counted.values.index).to_numpy()
            names = patients["patient"][there]
            for values in ("values", "raw"):
                once, twice = getattr(counted, values), getattr(repeated, values)
                np.testing.assert_allclose(once.loc[names].to_numpy().repeat(times[there]), twice, rtol=1e-7)

    def test_a_replicate_of_the_same_cohort_reads_no_formula(self, three, scores, monkeypatch):
        """Only what patients count differs: to the last digit the weights are those with everything read again."""
        counts = pd.Series(np.random.default_rng(7).exponential(size=len(scores.arm)), index=scores.arm.index)
        made = [
            weights(scores, "ATO"),
            weights(scores, "ATE", trim=Trim(below=0.08), accept_positivity=True),
            entropy_balance(three, FORMULA, moments=2),
        ]
        elsewhere = replace(three, patients_table=three.patients)
        read_again = [one.remade(elsewhere, counts) for one in made]

        def reads(*_):
            raise AssertionError("read")

        monkeypatch.setattr("trajectories.weighting.cases.parse", reads)
        for one, other in zip(made, read_again, strict=True):
            again = one.remade(three, counts)
            pd.testing.assert_series_equal(again.values, other.values, check_exact=True)
            pd.testing.assert_series_equal(again.standardisation, other.standardisation, check_exact=True)
            assert (again.notes, again.scales, again.estimation) == (other.notes, other.scales, None)
            cohort, there = pickle.loads(pickle.dumps((three, one)))  # as an executor of processes does
            pd.testing.assert_series_equal(
                there.remade(cohort, counts).values, other.values, check_exact=True
            )
            with pytest.raises(AssertionError, match="read"):
                one.remade(elsewhere, counts)

    def test_counted_quantile_of_whole_numbers_is_that_of_the_repeated(self):
        rng = np.random.default_rng(2)
        for _ in range(20):
            values, times, q = rng.normal(size=9), rng.integers(1, 5, 9), rng.uniform(0.5, 1)
            made = counted_quantile(values, times.astype(float), q)
            assert made == pytest.approx(np.quantile(values.repeat(times), q), rel=1e-12)

    def test_resample_without_an_arm_is_an_error(self, three, scores):
        lacking = replace(three, patients_table=three.patients.query("arm != 'ocrelizumab'"))
        with pytest.raises(WeightingError, match="ocrelizumab has 0 patients"):
            weights(scores, "ATO").remade(lacking)


class TestEntropyBalancing:
    @pytest.mark.parametrize("moments", [1, 2])
    def test_equals_raking_in_survey(self, three, moments):
        made = entropy_balance(three, "arm ~ age + sex + edss_baseline", moments=moments)
        np.testing.assert_allclose(
            made.values, r_patients(f"raking {moments}", "w").loc[made.values.index], rtol=1e-7
        )

    @pytest.mark.parametrize("options", [{}, {"target": "ATT", "treated": "ocrelizumab"}])
    def test_moments_are_exact(self, three, options):
        made = entropy_balance(three, FORMULA, moments=2, **options)
        X = pd.get_dummies(made.covariates, dtype=float)
        X["edss²"], X["age²"] = X["edss_baseline"] ** 2, X["age"] ** 2
        goal = np.average(X, axis=0, weights=made.standardisation)
        for arm in made.arms:
            mine = made.arm == arm
            reached = np.average(X[mine], axis=0, weights=made.values[mine])
            np.testing.assert_allclose((reached - goal) / X.std(), 0, atol=1e-8)
        if options:
            assert (made.values[made.arm == "ocrelizumab"] == 1).all()

    def test_one_binary_covariate_has_a_closed_form(self):
        made = entropy_balance(binary({("a", 0): 12, ("a", 1): 4, ("b", 0): 6, ("b", 1): 20}), "arm ~ x")
        of_x = made.values[made.arm == "a"].groupby(made.covariates["x"]).first()
        np.testing.assert_allclose(of_x, [18 / 42 * 16 / 12, 24 / 42 * 16 / 4], rtol=1e-8)

    def test_infeasible_names_the_covariate(self):
        rng = np.random.default_rng(4)
        patients = pd.DataFrame(
            {"patient": [f"p{i}" for i in range(60)], "arm": ["a", "b"] * 30, "z": rng.normal(size=60)}
        )
        patients["age"] = np.where(patients["arm"] == "a", rng.uniform(20, 30, 60), rng.uniform(50, 60, 60))
        cohort = cohort_of(patients, ["a", "b"])
        with pytest.raises(
            InfeasibleError, match=r"30 patients of a reach .*: age \(off by [0-9.]+ SD at best\)\. Leave"
        ):
            entropy_balance(cohort, "arm ~ age + z")
        gap = patients["age"].mean() - patients.loc[patients["arm"] == "a", "age"].max()
        with pytest.raises(
            InfeasibleError, match=f"off by {gap / patients['age'].std(ddof=0):.2g} SD at best"
        ):
            entropy_balance(cohort, "arm ~ age")

    def test_refused_options(self, three):
        with pytest.raises(WeightingError, match="choose one of ATE, ATT"):
            entropy_balance(three, FORMULA, "ATO")
        with pytest.raises(WeightingError, match="moments is 1"):
            entropy_balance(three, FORMULA, moments=3)


class TestByHand:
    def test_scaled_and_left_out_counted(self, two):
        ids = two.patients["patient"]
        given = pd.Series(np.linspace(1, 3, len(ids) - 2), index=ids[2:])
        made = weights_of(two, given, covariates=["age", "sex"])
        np.testing.assert_allclose(made.raw, given, rtol=1e-12)
        np.testing.assert_allclose(made.values.groupby(made.arm).mean(), 1, atol=1e-14)
        assert "left out, as no weight was given" in made.notes[0]
        assert made.summary()["in_cohort"].sum() - made.summary()["weighted"].sum() == 2
        assert list(made.covariates) == ["age", "sex"]
        with pytest.raises(WeightingError, match="cannot be made again"):
            made.remade(two)

    @pytest.mark.parametrize(
        ("value", "says"),
        [(-1.0, "are negative"), (np.inf, "are infinite"), (np.nan, "are missing")],
    )
    def test_impossible_weights(self, two, value, says):
        given = pd.Series(1.0, index=two.patients["patient"])
        given.iloc[[3, 5]] = value
        with pytest.raises(WeightingError, match=f"2 of {len(given)} weights \\(places 3, 5\\) {says}"):
            weights_of(two, given)

    def test_unknown_doubled_and_empty(self, two):
        given = pd.Series(1.0, index=two.patients["patient"])
        with pytest.raises(WeightingError, match="belong to no patient"):
            weights_of(two, given.rename({given.index[0]: "nobody"}))
        with pytest.raises(WeightingError, match="has one already"):
            weights_of(two, pd.concat([given, given[:1]]))
        in_arm = (two.patients["arm"] == "alemtuzumab").to_numpy()
        with pytest.raises(WeightingError, match="all weights of alemtuzumab are 0"):
            weights_of(two, given.where(~in_arm, 0.0))
        with pytest.raises(WeightingError, match="one arm only"):
            weights_of(two, given[in_arm])
        with pytest.raises(WeightingError, match="choose one of ATE, ATT"):
            weights_of(two, given, "ATO")
