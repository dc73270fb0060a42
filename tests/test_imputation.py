"""Multiple imputation and Rubin's rules: against R's mice, and against known truth where values are missing at random."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import trajectories as tj
from trajectories.caveats import Doubt, Mark, marks_of, not_converged
from trajectories.comparison.pooling import pooled, rubin
from trajectories.estimate import Estimate
from trajectories.weighting import SparseDonorsWarning, WeightingError
from trajectories.weighting.donors import Matched, donated, sparse
from trajectories.weighting.imputation import Imputed, impute

REFERENCE = Path(__file__).parent / "reference"


def cohort_of(n, seed, *, complete=False, lost=0.65):
    """Two arms that differ by 0.5 at the same x; x is missing more often where the outcome is high, which complete cases suffer from."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    treated = rng.random(n) < 1 / (1 + np.exp(-x))
    y = 5 + 0.5 * treated + x + 0.7 * rng.normal(size=n)
    kind = np.where(
        rng.random(n) < 1 / (1 + np.exp(-1.5 * (y - 5))), "b", np.where(rng.random(n) < 0.5, "a", "c")
    )
    names = [f"p{k}" for k in range(n)]
    patients = pd.DataFrame({"patient": names, "arm": np.where(treated, "new", "old"), "x": x, "kind": kind})
    visits = pd.DataFrame({"patient": names * 2, "day": [0] * n + [365] * n, "edss": [2.0] * (2 * n)})
    made = tj.read_cohort(visits, patients=patients)
    seen = made.visits
    seen.loc[seen["day"] == 365, "edss"] = y  # not on the scale: arithmetic is exact
    table = made.patients.set_index("patient").loc[names].reset_index()
    if not complete:
        gone = rng.random(n) < np.where(y > 5.3, lost, 0.05)
        table.loc[gone, "x"] = np.nan
    y_of = dict(zip(names, y, strict=True))
    seen.loc[seen["day"] == 365, "edss"] = seen.loc[seen["day"] == 365, "patient"].map(y_of)
    return replace(made, patients_table=table, visits_table=seen)


def adjusted(cohort):
    """The difference between the arms at the same x: ordinary least squares of those with x, drawn from exactly."""
    seen = cohort.visits.query("day == 365").set_index("patient")["edss"]
    table = cohort.patients.dropna(subset="x").set_index("patient")
    X = np.column_stack([np.ones(len(table)), table["arm"] == "new", table["x"]]).astype(float)
    y = seen.loc[table.index].to_numpy()
    b, rss = np.linalg.lstsq(X, y)[:2]
    se = np.sqrt(rss[0] / (len(y) - 3) * np.linalg.inv(X.T @ X)[1, 1])
    return normal(b[1], se)


def mean_of_x(cohort):
    x = cohort.patients["x"].dropna()
    return normal(x.mean(), x.std() / np.sqrt(len(x)))


def normal(mean, se, n=1000, **options):
    from scipy.special import ndtri

    values = mean + se * ndtri((np.arange(n) + 0.5) / n)
    draws = xr.DataArray(values[None], dims=("chain", "draw"))
    return Estimate(
        name="d", draws=draws, unit="points", definition="Made up.", source="made up", null=0.0, **options
    )


def imputed_of(cohorts):
    """An `Imputed` of given cohorts, for functions that look up their estimate."""
    missing = pd.DataFrame({"old": [1]}, index=pd.Index(["x"], name="column"))
    return Imputed(
        cohorts=tuple(cohorts),
        columns=("x",),
        missing=missing,
        sizes={"old": 34, "new": 0},
        predictors=(),
        outcomes=(),
        notes=(),
        seed=0,
        empty={},
    )


class TestRubin:
    @pytest.mark.parametrize("case", ["few", "many", "large", "close"])
    def test_like_mice(self, case):
        given = pd.read_csv(REFERENCE / "pooling_cases.csv").query("case == @case")
        expected = pd.read_csv(REFERENCE / "pooling_reference.csv").set_index("case").loc[case]
        made = rubin(given["estimate"].to_numpy(), given["variance"].to_numpy(), given["complete_df"].iloc[0])
        for name in expected.index:
            assert getattr(made, name) == pytest.approx(expected[name], rel=1e-8)

    def test_cells_by_themselves(self):
        Q, U = np.random.default_rng(1).normal(size=(4, 3, 2)), np.full((4, 3, 2), 0.3)
        assert rubin(Q, U, 20).df[2, 1] == pytest.approx(rubin(Q[:, 2, 1], U[:, 2, 1], 20).df)

    def test_nothing_missing_leaves_the_degrees_of_freedom(self):
        made = rubin(np.ones(5), np.ones(5), 40)
        assert made.df == pytest.approx(41 / 43 * 40)
        assert np.isinf(rubin(np.ones(5), np.ones(5)).df)

    @pytest.mark.parametrize(
        ("estimates", "variances", "said"),
        [
            ([1.0], [1.0], "two or more"),
            ([1.0, 2.0], [1.0, 0.0], "known exactly"),
            ([1.0, np.nan], [1.0, 1.0], "finite"),
        ],
    )
    def test_refuses(self, estimates, variances, said):
        with pytest.raises(ValueError, match=said):
            rubin(np.array(estimates), np.array(variances))


class TestPooled:
    def test_interval_is_that_of_t(self):
        from scipy.stats import t

        cohorts = [replace(cohort_of(60, 1, complete=True), name=str(k)) for k in range(5)]
        Q, U = np.array([0.2, 0.5, 0.3, 0.1, 0.6]), np.array([0.04, 0.05, 0.03, 0.04, 0.06])
        made = pooled(
            imputed_of(cohorts),
            lambda c: normal(Q[int(c.name)], np.sqrt(U[int(c.name)]), 200_000),
            complete_df=50,
        )
        expected = rubin(Q, U, 50)
        summary = made.summary().iloc[0]
        half = t.ppf(0.975, expected.df) * np.sqrt(expected.total)
        assert summary["mean"] == pytest.approx(0.34, abs=1e-10)
        assert summary[["lower", "upper"]].tolist() == pytest.approx([0.34 - half, 0.34 + half], abs=2e-3)
        assert made.draws.attrs["df"] == pytest.approx(expected.df, rel=1e-3)
        assert "5 imputed cohorts" in made.source
        assert f"{float(expected.missing_information):.2f}" in made.caveats[-2]

    def test_ratios_on_the_log_scale(self):
        cohorts = [replace(cohort_of(60, 1, complete=True), name=str(k)) for k in range(3)]

        def ratio(c):
            one = normal(np.log([0.5, 0.6, 0.8][int(c.name)]), 0.2)
            return replace(one, draws=np.exp(one.draws), null=1.0, unit="ratio")

        made = pooled(imputed_of(cohorts), ratio)
        assert float(made.draws.median()) == pytest.approx((0.5 * 0.6 * 0.8) ** (1 / 3), rel=1e-3)
        assert "log scale" in made.source

    def test_cells_keep_their_correlation(self):
        rng = np.random.default_rng(2)
        S = np.array([[1.0, 0.9], [0.9, 1.0]]) * 0.04
        cohorts = [replace(cohort_of(60, 1, complete=True), name=str(k)) for k in range(4)]

        def two(c):
            draws = rng.multivariate_normal([0.1 * int(c.name), 0.1 * int(c.name)], S, size=4000)
            array = xr.DataArray(draws[None], dims=("chain", "draw", "years"), coords={"years": [1.0, 2.0]})
            return Estimate(name="d", draws=array, unit="points", definition="Made up.", source="made up")

        drawn = pooled(imputed_of(cohorts), two).draws.isel(chain=0).to_numpy()
        assert drawn.shape == (4000, 2)
        between = np.var([0, 0.1, 0.2, 0.3], ddof=1) * 1.25
        assert np.corrcoef(drawn.T)[0, 1] == pytest.approx((0.036 + between) / (0.04 + between), abs=0.02)

    def test_caveats_of_all_sets(self):
        cohorts = [replace(cohort_of(60, 1, complete=True), name=str(k)) for k in range(2)]
        mark = not_converged(["R-hat"])
        said = [("both", Doubt("effective 3.1")), ("both", Doubt("effective 3.2"), mark)]
        made = pooled(imputed_of(cohorts), lambda c: normal(int(c.name), 1.0, caveats=said[int(c.name)]))
        assert made.caveats[:3] == ("both", "in the first imputed cohort: effective 3.1", mark)
        assert isinstance(made.caveats[1], Doubt)
        assert marks_of(made.caveats) == [Mark.NOT_CONVERGED]

    def test_refuses_what_is_no_estimate(self):
        with pytest.raises(TypeError, match=r"must return an Estimate, .* not float.*pool by tj\.rubin"):
            pooled(imputed_of([cohort_of(60, 1), cohort_of(60, 2)]), lambda c: 1.0)


class TestImpute:
    def test_fills_only_what_was_missing(self):
        cohort = cohort_of(120, 3, lost=0.4)
        made = impute(cohort, m=3, seed=4)
        empty = cohort.patients["x"].isna().to_numpy()
        assert made.missing.loc["x"].sum() == empty.sum() > 20
        for one in made.cohorts:
            kept = one.patients.assign(x=one.patients["x"].where(~empty))
            pd.testing.assert_frame_equal(kept, cohort.patients)
            assert (
                one.patients["x"].isin(cohort.patients["x"].dropna()).all()
            )  # matching takes values of patients
        drawn = np.stack([one.patients["x"][empty] for one in made.cohorts])
        assert (np.ptp(drawn, axis=0) > 0).mean() > 0.5
        again = impute(cohort, m=3, seed=4).cohorts[2].patients
        pd.testing.assert_frame_equal(again, made.cohorts[2].patients)

    def test_categories_follow_their_predictors(self):
        """ "b" goes with a high outcome, and is missing there: complete cases see 25 % fewer of it."""
        cohort = cohort_of(1500, 5, complete=True)
        table = cohort.patients
        truth = table["kind"].value_counts(normalize=True)
        y = cohort.visits.query("day == 365").set_index("patient")["edss"].loc[table["patient"]].to_numpy()
        gone = np.random.default_rng(6).random(1500) < 1 / (1 + np.exp(-2 * (y - 5)))
        table.loc[gone, "kind"] = None
        with pytest.warns(SparseDonorsWarning, match="donors of kind are sparse"):
            made = impute(replace(cohort, patients_table=table), m=4, seed=1)
        shares = pd.concat(
            [one.patients["kind"].value_counts(normalize=True) for one in made.cohorts], axis=1
        ).mean(axis=1)
        seen = table["kind"].value_counts(normalize=True)
        assert abs(seen["b"] - truth["b"]) > 0.12
        assert (shares - truth).abs().max() < 0.04
        assert made.cohorts[0].patients["kind"].dtype == table["kind"].dtype

    def test_covers_where_complete_cases_do_not(self):
        cohort = cohort_of(1000, 7)
        filled = impute(cohort, m=20, seed=1)
        made = pooled(filled, adjusted).summary().iloc[0]
        assert made["lower"] < 0.5 < made["upper"]
        full, complete = (
            mean_of_x(c).draws.mean().item() for c in (cohort_of(1000, 7, complete=True), cohort)
        )
        assert complete < full - 0.2  # the outcome decided who has x
        assert pooled(filled, mean_of_x).draws.mean().item() == pytest.approx(full, abs=0.04)

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore:donors of x are sparse")
    def test_coverage(self):
        """200 replications of 300 patients, a nominal 95 %."""
        covered = [
            pooled(impute(cohort_of(300, 1000 + k), m=10, seed=k), adjusted).summary().iloc[0]
            for k in range(200)
        ]
        inside = sum(row["lower"] < 0.5 < row["upper"] for row in covered)
        assert 184 <= inside <= 197

    def test_print(self):
        cohort = tj.simulated_three_dmts_400()
        table = cohort.patients.assign(centre=[f"centre {k % 30}" for k in range(400)])
        table.loc[:9, "age"] = np.nan
        table.loc[table["arm"] == "ocrelizumab", "duration_years"] = np.nan
        made = impute(replace(cohort, patients_table=table), m=2)
        said = " ".join(str(made).split())
        assert said.startswith("simulated data: nobody was treated 2 imputed cohorts of")
        assert "age 10 0 0" in said
        assert "left out of the imputation model: centre has 30 levels" in said
        assert "duration_years is missing in all 119 patients of ocrelizumab" in said
        assert (
            "from the outcome: first EDSS after time 0, its time, last EDSS, its time, years of follow-up, relapses after time 0"
            in said
        )
        assert "sim0001" not in said
        summary = made.summary()
        assert summary.loc[("age", "fingolimod"), "missing"] == 10
        assert np.isnan(summary.loc[("duration_years", "ocrelizumab"), "observed"])

    def test_one_arm(self):
        cohort = tj.simulated_alemtuzumab_35()
        table = cohort.patients
        table.loc[:4, ["age", "sex"]] = None
        made = impute(replace(cohort, patients_table=table), m=2, predictors=["edss_baseline"])
        assert not made.cohorts[1].patients[["age", "sex"]].isna().any().any()
        assert any("as asked: " in note and "duration_years" in note for note in made.notes)

    @pytest.mark.parametrize(
        ("change", "options", "said"),
        [
            ({}, {}, "not needed"),
            ({}, {"columns": ["age"]}, "'age' misses no value"),
            ({"age": np.nan}, {}, "missing in every patient"),
            ({}, {"columns": ["edss"]}, "an outcome of visits"),
            ({}, {"columns": ["arm"]}, "no covariate"),
            ({}, {"columns": ["weight"]}, "no column of the patients table; there are: patient"),
            ({"age": [np.nan] + [f"town {k}" for k in range(399)]}, {"columns": ["age"]}, "has 399 levels"),
            ({"age": [np.nan] + [1.0] * 399}, {"predictors": ["weight"]}, "does not vary"),
            ({"age": [np.nan, *range(399)]}, {"predictors": ["weight"]}, "no further column"),
            ({"age": [np.nan, *range(399)]}, {"m": 1}, "take 20 or more"),
            ({"age": [1.0, 2.0, 3.0, 4.0] + [np.nan] * 396}, {}, "4 patients with a value are too few"),
        ],
    )  # fmt: skip
    def test_refuses(self, change, options, said):
        cohort = tj.simulated_three_dmts_400()
        with pytest.raises(WeightingError, match=said):
            impute(replace(cohort, patients_table=cohort.patients.assign(**change)), **options)


class TestSparseDonors:
    def test_by_hand(self):
        """Six have a value, predicted 0 to 5; four lack it, one of them predicted 12: far from the nearest five."""
        matched = Matched(
            seen=np.arange(6.0)[:, None], expected=np.array([[2.0], [2.0], [3.0], [12.0]]), donor=np.array([2, 2, 3, 5]), spread=2.0
        )  # fmt: skip
        # nearest five of 2: 0 to 4, mean 2; of 3: 1 to 5, mean 3; of 12: 1 to 5, mean 3
        row = donated({"x": matched}).loc["x"]
        assert row["shift"] == pytest.approx(9 / 10 / 2)
        assert row["reused"] == 0
        often = replace(matched, donor=np.full(7, 4), expected=np.full((7, 1), 4.0))
        assert donated({"x": often}).loc["x", "reused"] == pytest.approx(7 / 13)
        two = replace(matched, seen=np.zeros((6, 2)), expected=np.tile([3.0, 4.0], (4, 1)))
        assert donated({"x": two}).loc["x", "shift"] == pytest.approx(5 * 0.4 / 2)

    def test_each_reason_is_said_and_neither_alone_is_silent(self):
        table = pd.DataFrame({"shift": [0.019, 0.05, 0.0], "reused": [0.29, 0.0, 0.35]}, index=list("abc"))
        far, few = sparse(table)
        assert far.startswith("donors of b are sparse")
        assert "move its mean by 0.05 SD" in far
        assert "35% of all patients" not in far
        assert "35% of all patients have the value of one who gave it more than 5 times" in few

    def test_warned_where_the_effect_is_off_and_not_where_it_is_right(self):
        """The effect at the same x is 0.5; 90 % of those with a high outcome miss x, or 30 %."""
        found = {}
        for lost in (0.9, 0.3):
            cohorts = [cohort_of(300, 50 + k, lost=lost) for k in range(20)]
            means, warned = [], 0
            for k, cohort in enumerate(cohorts):
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    filled = impute(cohort, m=5, seed=k)
                warned += any(issubclass(one.category, SparseDonorsWarning) for one in caught)
                assert bool(filled.caveats) == bool(caught)
                means.append(pooled(filled, adjusted).draws.mean().item())
            found[lost] = np.mean(means), np.std(means) / np.sqrt(20), warned
        assert found[0.9][0] > 0.5 + 2 * found[0.9][1]
        assert found[0.9][2] >= 18
        assert abs(found[0.3][0] - 0.5) < 2 * found[0.3][1]
        assert found[0.3][2] == 0

    def test_it_is_in_print_and_caveats(self):
        with pytest.warns(SparseDonorsWarning, match="donors of x are sparse"):
            made = impute(cohort_of(120, 3, lost=0.95), m=2, seed=1)
        assert isinstance(made.caveats[0], Doubt)
        assert str(made.caveats[0]) in " ".join(str(made).split()).replace("- donors", "donors")
        assert made.donors.index.tolist() == ["x"]
