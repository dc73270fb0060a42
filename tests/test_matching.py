"""Matching: against R's MatchIt, hand-made cases, and what always holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trajectories.reading import read_cohort
from trajectories.weighting import WeightingError, balance, match, propensity

REFERENCE = Path(__file__).parent / "reference"
FORMULA = "arm ~ age + sex + edss_baseline + relapses"
ARMS = ["fingolimod", "ocrelizumab", "alemtuzumab"]
PAIR = {"treated": "alemtuzumab", "control": "fingolimod"}
RUNS = {
    "nearest": {"caliper": None},
    "caliper": {"caliper": 0.2},
    "exact": {"caliper": 0.2, "exact": ("sex", "centre")},
    "ratio": {"caliper": 0.25, "ratio": 3},
    "replace": {"caliper": 0.2, "ratio": 2, "replace": True},
}
PATIENTWISE = pd.read_csv(REFERENCE / "weighting_patientwise.csv")
NUMBERS = pd.read_csv(REFERENCE / "weighting_reference.csv").set_index(["case", "quantity"])["value"]


def cohort_of(patients, arms):
    patients = patients.assign(arm=pd.Categorical(patients["arm"], categories=arms, ordered=True))
    visits = pd.DataFrame({"patient": patients["patient"], "day": 0, "edss": patients["edss_baseline"]})
    return read_cohort(visits, patients=patients.drop(columns="edss_baseline"))


@pytest.fixture(scope="module")
def three():
    return cohort_of(pd.read_csv(REFERENCE / "weighting_patients.csv"), ARMS)


@pytest.fixture(scope="module")
def scores():
    table = pd.read_csv(REFERENCE / "weighting_patients.csv").query("arm != 'ocrelizumab'")
    return propensity(cohort_of(table, [ARMS[0], ARMS[2]]), FORMULA)


def by_score(treated, control, **options):
    """Matches of patients with given logits: one covariate whose slope is what it is, so distances keep their order."""
    names = [f"t{i}" for i in range(len(treated))] + [f"c{i}" for i in range(len(control))]
    table = pd.DataFrame({"patient": names, "x": [*treated, *control], "edss_baseline": 2.0})
    table["arm"] = ["new"] * len(treated) + ["old"] * len(control)
    made = match(
        propensity(cohort_of(table, ["old", "new"]), "arm ~ x"), treated="new", control="old", **options
    )
    sets = made.sets[made.sets["arm"] == "old"].groupby("set")["patient"].agg(list)
    heads = made.sets[made.sets["arm"] == "new"].set_index("set")["patient"]
    return made, {heads[number]: sets[number] for number in sets.index}


@pytest.mark.parametrize("case", RUNS)
class TestAgainstMatchIt:
    def test_weights(self, scores, case):
        made = match(scores, **PAIR, **RUNS[case]).weights
        theirs = PATIENTWISE.query("case == @case and quantity == 'w'").set_index("patient")["value"]
        theirs = theirs[theirs > 0]
        assert set(made.values.index) == set(theirs.index)
        np.testing.assert_allclose(made.values, theirs.loc[made.values.index], rtol=1e-10)
        assert made.effective_sample_size["fingolimod"] == pytest.approx(
            NUMBERS[case, "ess control"], rel=1e-10
        )

    def test_pairs(self, scores, case):
        sets = match(scores, **PAIR, **RUNS[case]).sets
        heads = sets[sets["arm"] == "alemtuzumab"].set_index("set")["patient"]
        ours = {(heads[row.set], row.patient) for row in sets[sets["arm"] == "fingolimod"].itertuples()}
        theirs = PATIENTWISE[(PATIENTWISE["case"] == case) & PATIENTWISE["quantity"].str.startswith("pair ")]
        assert ours == set(zip(theirs["quantity"].str.removeprefix("pair "), theirs["patient"], strict=True))

    def test_balance(self, scores, case):
        pairs = balance(match(scores, **PAIR, **RUNS[case]).weights).pairs.droplevel("pair")
        for ours, theirs in {
            "age": "age",
            "edss_baseline": "edss_baseline",
            "relapses": "relapses",
            "sex: M": "sexM",
        }.items():
            for when in ("before", "after"):
                found = pairs.loc[ours, f"smd_{when}"]
                assert found == pytest.approx(NUMBERS[case, f"smd {when} {theirs}"], rel=1e-9, abs=1e-12)
                if theirs != "sexM":
                    found = pairs.loc[ours, f"variance_ratio_{when}"]
                    assert found == pytest.approx(NUMBERS[case, f"vr {when} {theirs}"], rel=1e-9)


class TestByHand:
    def test_largest_first_takes_the_nearest_still_free(self):
        _, sets = by_score(
            (1.0, 1.4, -5, -6, -7, -8, -9, -10, -11, -12), (1.3, 0.2, 5, 6, 7, 8, 9, 10, 11, 12), caliper=0.1
        )
        # the chance of "new" falls with x: 1.0 comes before 1.4 and takes 1.3, although 1.4 is nearer to it
        assert sets == {"t0": ["c0"]}

    def test_every_match_lies_within_the_caliper(self, scores):
        for width in (0.02, 0.1, 0.5):
            made = match(scores, **PAIR, caliper=width)
            logit = np.log(scores.probabilities["alemtuzumab"] / scores.probabilities["fingolimod"])
            assert made.width == pytest.approx(width * logit.std())
            assert 0 < made.sets["distance"].max() <= made.width
            heads = made.sets.groupby("set")["patient"].transform("first")
            distance = logit.loc[made.sets["patient"]].to_numpy() - logit.loc[heads].to_numpy()
            np.testing.assert_allclose(made.sets["distance"], np.abs(distance), atol=1e-12)

    def test_counts_add_up(self, scores):
        made = match(scores, **PAIR, exact=("sex", "centre"))
        for arm, n in scores.arm.value_counts().items():
            matched = made.sets.loc[made.sets["arm"] == arm, "patient"].nunique()
            assert matched + made.unmatched[arm].sum() == n
            row = made.summary().loc[arm]
            assert row["matched"] == matched
        assert not made.sets.loc[made.sets["arm"] == "fingolimod", "patient"].duplicated().any()
        assert "unmatched: " in str(made)
        assert "not all the treated" in str(made)

    def test_exact_columns_agree_within_sets(self, three):
        made = match(propensity(three, FORMULA), **PAIR, exact=("sex", "centre"), ratio=2)
        values = three.patients.set_index("patient").loc[made.sets["patient"], ["sex", "centre"]]
        groups = values.groupby(made.sets["set"].to_numpy())
        assert (groups.agg(lambda x: len(set(x))) < 2).all(axis=None)

    def test_missing_exact_column_is_a_reason(self, three):
        patients = three.patients
        blank = patients.index[(patients["arm"] == "alemtuzumab").to_numpy()][:3]
        patients.loc[blank, "centre"] = None
        made = match(propensity(replace(three, patients_table=patients), FORMULA), **PAIR, exact=("centre",))
        assert made.unmatched["alemtuzumab", "exact column missing"] == 3

    def test_sets_share_the_weight_of_their_treated(self, scores):
        made = match(scores, **PAIR, ratio=3)
        sizes = made.sets.groupby("set")["patient"].transform("size") - 1
        controls = (made.sets["arm"] == "fingolimod").to_numpy()
        expected = pd.Series((1 / sizes[controls]).to_numpy(), index=made.sets.loc[controls, "patient"])
        raw = made.weights.raw
        np.testing.assert_allclose(raw.loc[expected.index], expected, rtol=1e-12)
        assert raw[made.weights.arm == "fingolimod"].sum() == pytest.approx(made.sets["set"].nunique())
        assert set(sizes) == {1, 2, 3}

    def test_target_is_the_matched_treated(self, three):
        made = match(propensity(three, FORMULA), **PAIR).weights
        assert (made.target, made.treated, made.arms) == ("ATT", "alemtuzumab", ("fingolimod", "alemtuzumab"))
        np.testing.assert_array_equal(made.standardisation, made.arm == "alemtuzumab")
        assert "who could be matched" in made.description
        assert "ocrelizumab set aside" in made.description

    def test_replacement_is_marked(self, scores):
        assert "Abadie, Imbens 2008" in match(scores, **PAIR, replace=True).weights.caveats[0]
        assert match(scores, **PAIR).weights.caveats == ()

    def test_seed_decides_ties_only(self, scores):
        plain, seeded = match(scores, **PAIR), match(scores, **PAIR, seed=7)
        assert set(plain.weights.values.index) == set(seeded.weights.values.index)
        equal = [0.0, 1.0] * 10
        taken = {tuple(by_score(equal, equal, seed=s)[1].get("t0", ())) for s in range(8)}
        assert len(taken) > 1
        assert by_score(equal, equal, seed=3)[1] == by_score(equal, equal, seed=3)[1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"treated": "placebo"}, "'placebo' is no arm"),
        ({"control": "alemtuzumab"}, "name two arms"),
        ({"caliper": 0.0}, "caliper must be positive"),
        ({"ratio": 0}, "1 or more"),
        ({"exact": "sex"}, r"exact=\('sex',\)"),
        ({"exact": ("hospital",)}, "no column 'hospital'"),
        ({"caliper": 1e-9}, "widen the caliper"),
    ],
)
def test_refused(scores, options, says):
    with pytest.raises(WeightingError, match=says):
        match(scores, **(PAIR | options))
