"""The simulator: draws follow the stated model, and the stated truth is what the model implies."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from trajectories import edss
from trajectories.reading import read_cohort
from trajectories.simulate import (
    DropOut,
    GaussianTruth,
    OrdinalTruth,
    RelapseTruth,
    VisitSchedule,
    simulate_cohort,
    simulate_scores,
    simulate_tables,
)
from trajectories.simulation.averaging import average_cumulative, cutpoints_from_probabilities, logistic
from trajectories.simulation.onsets import MINIMUM_GAP_DAYS
from trajectories.simulation.scores import draw_fluctuation
from trajectories.windows import relapse_windows

EXACT = VisitSchedule(years=(0.0, 1.0, 2.0), jitter_days=0)
MANY = 20_000


def chi_square(observed: np.ndarray, probabilities: np.ndarray) -> tuple[float, int]:
    """Pearson's statistic and its degrees of freedom, cells with an expectation below 5 pooled."""
    expected = probabilities * observed.sum()
    rare = expected < 5
    seen = np.append(observed[~rare], observed[rare].sum())
    meant = np.append(expected[~rare], expected[rare].sum())
    used = meant > 0
    assert not seen[~used].any()
    return float(((seen - meant)[used] ** 2 / meant[used]).sum()), int(used.sum()) - 1


def assert_drawn_from(observed: np.ndarray, probabilities: np.ndarray) -> None:
    # At a fixed seed this either holds or not; 1 − 1e-4 leaves room for about fifty such checks.
    from scipy.stats import chi2

    statistic, freedom = chi_square(observed, probabilities)
    assert statistic < chi2.ppf(1 - 1e-4, freedom)


# --- the averages


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("sd", [0.0, 0.5, 3.0, 12.0])
def test_averaging_equals_fine_quadrature(link: str, sd: float) -> None:
    from scipy.special import ndtr

    cutpoints, shift = np.array([-30.0, -2.0, 0.3, 5.0, 40.0]), 0.7
    z = np.linspace(-12, 12, 400_001)
    weights = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    link_function = logistic if link == "logit" else ndtr
    fine = np.array([(link_function(c - shift - sd * z) * weights).sum() for c in cutpoints])
    averaged = average_cumulative(cutpoints, np.array([shift]), np.array([sd]), link)[0]
    np.testing.assert_allclose(averaged, fine, atol=1e-12)


def test_average_equals_monte_carlo_over_both_patient_effects() -> None:
    truth = OrdinalTruth(slope=0.5, patient_sd=3.0, slope_sd=1.0, correlation=-0.4)
    rng, years, n = np.random.default_rng(1), 2.0, 400_000
    covariance = -0.4 * 3.0
    u = rng.multivariate_normal([0, 0], [[9.0, covariance], [covariance, 1.0]], size=n)
    latent = 0.5 * years + u[:, 0] + u[:, 1] * years
    given_patient = np.diff(
        logistic(np.asarray(truth.cutpoints) - latent[:, None]), axis=1, prepend=0.0, append=1.0
    )
    monte_carlo, error = given_patient.mean(axis=0), given_patient.std(axis=0) / np.sqrt(n)
    exact = truth.averaged(truth.fixed("all", np.array([years])), np.array([years]))[0]
    assert (np.abs(exact - monte_carlo) < 4.5 * error).all()  # 20 comparisons at 7e-6 each


def test_cutpoints_give_back_their_probabilities() -> None:
    wanted = np.array([0.0, 0.1, 0.3, 0.0, 0.4, 0.2, 0.0])
    cutpoints = cutpoints_from_probabilities(wanted, sd=4.0)
    got = np.diff(
        average_cumulative(cutpoints, np.zeros(1), np.full(1, 4.0), "logit")[0], prepend=0, append=1
    )
    np.testing.assert_allclose(got, wanted, atol=1e-12)
    assert cutpoints[0] == -np.inf
    assert cutpoints[-1] == np.inf
    with pytest.raises(ValueError, match=r"sum to 0\.9"):
        cutpoints_from_probabilities([0.5, 0.4], sd=1.0)


# --- the EDSS


@pytest.mark.parametrize(
    "truth",
    [
        OrdinalTruth(),
        OrdinalTruth(link="probit", slope=-0.3, patient_sd=2.0, slope_sd=0.3, correlation=-0.5),
        OrdinalTruth(fluctuation_sd=2.0, misrating=0.3, patient_sd=1.0),
        OrdinalTruth(before=1.0, knot=0.5, slope=-2.0, slope_sd=0.0, correlation=1.0),
    ],
    ids=["logit", "probit", "noise", "knot"],
)
def test_levels_follow_the_truth(truth: OrdinalTruth) -> None:
    visits = VisitSchedule(years=(-1.0, 0.0, 2.0), jitter_days=0)
    cohort = simulate_cohort(patients=MANY, seed=11, disability=truth, relapses=None, visits=visits)
    for day, at_once in cohort.visits.groupby("day"):
        observed = np.bincount(edss.code(at_once["edss"]), minlength=20)
        expected = cohort.truth.level_probabilities("all", day / 365.25, rated=True).to_numpy()
        assert_drawn_from(observed, expected)
        mean = float(cohort.truth.expected_edss("all", day / 365.25, rated=True))
        assert abs(at_once["edss"].mean() - mean) < 4 * at_once["edss"].std() / np.sqrt(MANY)


def test_arms_and_covariates_shift_the_latent_scale() -> None:
    rng = np.random.default_rng(0)
    people = pd.DataFrame(
        {
            "arm": np.where(rng.random(MANY) < 0.3, "ocrelizumab", "fingolimod"),
            "age": rng.integers(20, 60, MANY),
            "sex": np.where(rng.random(MANY) < 0.3, "M", "F"),
        }
    )
    people["arm"] = pd.Categorical(people["arm"], categories=["fingolimod", "ocrelizumab"], ordered=True)
    truth = OrdinalTruth(
        arm_shift={"ocrelizumab": 1.5},
        arm_slope={"ocrelizumab": -1.0},
        effects={"age": 0.05, "sex[M]": 1.0},
        slope_effects={"age": 0.02},
    )
    cohort = simulate_cohort(patients=people, seed=5, disability=truth, relapses=None, visits=EXACT)
    visits = cohort.visits.merge(cohort.patients[["patient", "arm"]], on="patient")
    assert cohort.arms == ("fingolimod", "ocrelizumab")
    for (arm, day), group in visits.groupby(["arm", "day"], observed=True):
        # Covariates do not depend on the arm here, so each arm shows its standardised average.
        expected = float(cohort.truth.expected_edss(arm, day / 365.25))
        assert abs(group["edss"].mean() - expected) < 4 * group["edss"].std() / np.sqrt(len(group))
    shift = 0.05 * people["age"] + (people["sex"] == "M") + 0.4 * 2 + 2 * 0.02 * people["age"]
    by_hand = truth.averaged(shift.to_numpy(), np.full(MANY, 2.0)).mean(axis=0)
    np.testing.assert_allclose(cohort.truth.level_probabilities("fingolimod", 2.0), by_hand, atol=1e-12)


def test_intercept_and_slope_have_the_stated_covariance() -> None:
    truth = OrdinalTruth(patient_sd=3.0, slope_sd=0.7, correlation=0.6)
    effects = simulate_tables(patients=MANY, seed=2, disability=truth, relapses=None).truth.patients
    covariance = np.cov(effects["intercept"], effects["slope"])
    # Standard error of a variance is σ²√(2/n): 1 %; of a correlation (1 − ρ²)/√n: 0.0045.
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [3.0, 0.7], rtol=0.02)
    assert abs(np.corrcoef(effects["intercept"], effects["slope"])[0, 1] - 0.6) < 0.018


def test_fluctuation_is_an_ornstein_uhlenbeck_process() -> None:
    truth = OrdinalTruth(fluctuation_sd=1.5, fluctuation_days=90.0)
    days = np.tile([0, 30, 365], (MANY, 1))
    process = draw_fluctuation(truth, days, np.random.default_rng(4))
    np.testing.assert_allclose(process.std(axis=0), 1.5, rtol=0.02)
    correlation = np.corrcoef(process, rowvar=False)
    expected = np.exp(-np.abs(days[0][:, None] - days[0]) / 90.0)
    np.testing.assert_allclose(correlation, expected, atol=4 / np.sqrt(MANY))
    assert not draw_fluctuation(OrdinalTruth(), days, np.random.default_rng(4)).any()


def test_misrating_moves_one_level_to_either_side_and_inwards_at_the_ends() -> None:
    def all_at(level: int) -> tuple[float, ...]:
        return (*[-np.inf] * level, *[np.inf] * (19 - level))

    for level, neighbours in ((4, {3, 5}), (0, {1}), (19, {18})):
        truth = OrdinalTruth(cutpoints=all_at(level), misrating=0.4)
        tables = simulate_tables(patients=5000, seed=3, disability=truth, relapses=None, visits=EXACT)
        codes = edss.code(tables.visits["edss"])
        moved = codes != level
        assert abs(moved.mean() - 0.4) < 4 * np.sqrt(0.24 / len(codes))
        assert set(codes[moved]) == neighbours
        rated = tables.truth.level_probabilities("all", 1.0, rated=True).to_numpy()
        assert rated[level] == pytest.approx(0.6)
        assert rated.sum() == pytest.approx(1.0)


# --- relapses

YEARS = VisitSchedule(years=(-1.0, 0.0, 1.0, 2.0), jitter_days=0)


def relapse_counts(truth: RelapseTruth, seed: int = 7) -> np.ndarray:
    """Relapses of (patients, 3 windows of a year)."""
    cohort = simulate_cohort(patients=MANY, seed=seed, relapses=truth, visits=YEARS)
    windows = relapse_windows(cohort, edges=(-1, 0, 1, 2))
    assert windows["complete"].all()
    return windows["relapses"].to_numpy().reshape(MANY, 3)


def assert_moments(counts: np.ndarray, mean: float, variance: float) -> None:
    centred = counts - counts.mean()
    error_of_mean = counts.std() / np.sqrt(len(counts))
    error_of_variance = np.std(centred**2) / np.sqrt(len(counts))
    assert abs(counts.mean() - mean) < 4 * error_of_mean
    assert abs(counts.var() - variance) < 4 * error_of_variance


def test_frailty_gives_nb2_counts_that_are_correlated_between_windows() -> None:
    from scipy.stats import nbinom

    counts = relapse_counts(RelapseTruth(before=1.2, after=0.5, frailty=0.8))
    days = np.array([365, 365, 366 - 1])
    means = np.array([1.2, 0.5, 0.5]) * days / 365.25
    for k, mean in enumerate(means):
        assert_moments(counts[:, k], mean, mean + 0.8 * mean**2)
        pmf = nbinom.pmf(np.arange(30), 1 / 0.8, 1 / (1 + 0.8 * mean))
        assert_drawn_from(np.bincount(counts[:, k], minlength=30), pmf)
    product = (counts[:, 0] - means[0]) * (counts[:, 1] - means[1])
    assert abs(product.mean() - 0.8 * means[0] * means[1]) < 4 * product.std() / np.sqrt(MANY)


def test_dispersion_gives_independent_nb2_rows_and_patient_sd_a_lognormal_effect() -> None:
    counts = relapse_counts(RelapseTruth(before=1.2, after=0.5, frailty=0, dispersion=1.5, periods=(0, 1)))
    for k, rate in enumerate((1.2, 0.5, 0.5)):
        mean = rate * 365 / 365.25
        assert_moments(counts[:, k], mean, mean + 1.5 * mean**2)
    for a, b in ((0, 1), (1, 2)):
        product = (counts[:, a] - counts[:, a].mean()) * (counts[:, b] - counts[:, b].mean())
        assert abs(product.mean()) < 4 * product.std() / np.sqrt(MANY)

    truth = RelapseTruth(before=1.0, after=0.4, frailty=0, patient_sd=0.7)
    counts = relapse_counts(truth)
    mean = 0.4 * np.exp(0.7**2 / 2) * 365 / 365.25
    assert_moments(counts[:, 1], mean, mean + mean**2 * (np.exp(0.7**2) - 1))


def test_one_period_shares_its_multiplier_between_years() -> None:
    counts = relapse_counts(RelapseTruth(before=1.0, after=1.0, frailty=0, dispersion=1.0, periods=(0,)))
    covariance = np.cov(counts, rowvar=False)
    assert covariance[1, 2] == pytest.approx(1.0, abs=0.1)  # α·μ², its standard error is 0.02
    assert abs(covariance[0, 1]) < 0.1


def test_relapse_rate_is_pooled_events_over_pooled_years() -> None:
    rng = np.random.default_rng(3)
    people = pd.DataFrame({"arm": np.repeat(["a", "b"], MANY // 2), "age": rng.normal(40, 10, MANY)})
    relapses = RelapseTruth(
        before=1.2, after={"a": 0.5, "b": 0.2}, patient_sd=0.5, effects={"age": -0.02}, frailty=0.5
    )
    cohort = simulate_cohort(patients=people, seed=4, relapses=relapses, visits=YEARS)
    windows = relapse_windows(cohort, edges=(-1, 2))
    windows = windows.merge(cohort.patients[["patient", "arm"]], on="patient")
    for arm, group in windows.groupby("arm", observed=True):
        truth = cohort.truth.relapse_rate(arm, (-1, 2))
        after = cohort.truth.relapse_rate(arm, (0, 1))
        before = cohort.truth.relapse_rate(arm, (-1, 0))
        assert truth == pytest.approx((before + 2 * after) / 3)
        rate = group["relapses"].sum() / group["exposure"].sum()
        error = group["relapses"].std() / group["exposure"].mean() / np.sqrt(len(group))
        assert abs(rate - truth) < 4 * error
    with pytest.raises(ValueError, match="no arm 'c'; the arms are a, b"):
        cohort.truth.relapse_rate("c")
    with pytest.raises(ValueError, match="end after its start"):
        cohort.truth.relapse_rate("a", (1, 1))


def test_onsets_are_relapses_of_their_own() -> None:
    relapses = RelapseTruth(before=3.0, after=2.0, frailty=1.0)
    tables = simulate_tables(patients=2000, seed=1, relapses=relapses)
    gaps = tables.relapses.groupby("patient")["day"].diff().dropna()
    crowded = (tables.relapses.groupby("patient").size() > 12).sum()
    assert (gaps < MINIMUM_GAP_DAYS).sum() <= 12 * crowded
    assert gaps.min() > 0
    cohort = simulate_cohort(patients=300, seed=1, relapses=RelapseTruth(before=1.0, after=0.5))
    assert not any("merged" in note for note in cohort.notes)


# --- visits and drop-out


@pytest.mark.parametrize(
    ("truth", "low", "high"),
    [
        (RelapseTruth(), 0.001, 0.006),
        (RelapseTruth(before=3.0, after=0.0), 0.012, 0.03),
        (RelapseTruth(patient_sd=1.0, after=0.0), 0.10, 0.20),
    ],
    ids=["default", "3 a year", "very unequal patients"],
)
def test_merged_onsets_are_as_few_as_the_true_rate_says(truth: RelapseTruth, low: float, high: float) -> None:
    drawn = simulate_tables(patients=5000, seed=2, relapses=truth)
    cohort = read_cohort(drawn.visits, relapses=drawn.relapses, patients=drawn.patients)
    assert low <= 1 - len(cohort.relapses) / len(drawn.relapses) <= high


def test_visits_are_irregular_within_the_stated_days_and_some_are_missed() -> None:
    schedule = VisitSchedule(years=(-1, 0, 0.5, 1), jitter_days=20, missed=0.2, missing_edss=0.1)
    tables = simulate_tables(patients=5000, seed=6, visits=schedule)
    planned = np.array([-365, 0, 183, 365])
    day = tables.visits["day"].to_numpy()
    which = np.abs(day[:, None] - planned).argmin(axis=1)
    apart = day - planned[which]
    assert (apart[which == 1] == 0).all()
    moved = apart[which != 1]
    assert (moved.min(), moved.max()) == (-20, 20)
    assert moved.std() == pytest.approx(np.sqrt((41**2 - 1) / 12), rel=0.03)  # uniform on 41 days
    seen = np.bincount(which) / 5000
    assert seen[1] == 1.0
    assert np.abs(seen[[0, 2, 3]] - 0.8).max() < 4 * np.sqrt(0.16 / 5000)
    missing = tables.visits["edss"].isna().mean()
    assert abs(missing - 0.1) < 4 * np.sqrt(0.09 / len(day))


def test_dropout_is_exponential_and_ends_everything() -> None:
    visits = VisitSchedule(years=(0, 1, 2, 3), jitter_days=0)
    cohort = simulate_cohort(patients=5000, seed=8, visits=visits, dropout=DropOut(rate=0.2))
    patients = cohort.patients.set_index("patient")
    last = patients["followup_end_day"]
    for years in (0.5, 1, 2, 2.9):
        staying = np.exp(-0.2 * years)
        error = np.sqrt(staying * (1 - staying) / 5000)
        assert abs((last > years * 365.25).mean() - staying) < 4 * error
    assert last.min() >= 1
    assert (cohort.visits["day"] <= cohort.visits["patient"].map(last)).all()
    assert (cohort.relapses["day"] <= cohort.relapses["patient"].map(last)).all()
    everybody = simulate_cohort(patients=50, seed=8, visits=visits).patients["followup_end_day"]
    assert (everybody == round(3 * 365.25)).all()


def test_dropout_depends_on_the_edss_on_record() -> None:
    visits = VisitSchedule(years=(0, 1), jitter_days=0)
    leaving = DropOut(rate=0.1, edss_effect=0.5, reference=3.0)
    cohort = simulate_cohort(patients=MANY, seed=9, visits=visits, dropout=leaving)
    patients = cohort.patients
    for level in (1.0, 3.0, 6.0):
        group = patients[patients["edss_baseline"] == level]
        left = 1 - np.exp(-leaving.hazard("all", np.array([level]))[0])
        error = np.sqrt(left * (1 - left) / len(group))
        assert abs((group["followup_end_day"] < 365).mean() - left) < 4 * error


# --- seeds, the truth, the cohort


def same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    return a.reset_index(drop=True).equals(b.reset_index(drop=True))


def test_a_seed_gives_the_same_cohort_and_another_seed_another() -> None:
    arguments = {"patients": {"a": 20, "b": 20}, "dropout": DropOut(rate=0.3)}
    first, again, other = (simulate_cohort(seed=seed, **arguments) for seed in (1, 1, 2))
    assert same(first.visits, again.visits)
    assert same(first.relapses, again.relapses)
    assert same(first.patients, again.patients)
    assert same(first.truth.patients, again.truth.patients)
    assert not same(first.visits, other.visits)


def test_the_history_before_the_start_does_not_depend_on_the_treatment() -> None:
    disability = OrdinalTruth(before=0.5, arm_slope={"b": -3.0})
    relapses = RelapseTruth(before=1.5, after={"a": 1.0, "b": 0.1})
    cohorts = [
        simulate_cohort(
            patients=pd.DataFrame({"arm": pd.Categorical(arms, categories=["a", "b"])}),
            seed=3,
            disability=disability,
            relapses=relapses,
            dropout=DropOut(rate=0.1),
        )
        for arms in (["a"] * 50 + ["b"] * 50, ["b"] * 50 + ["a"] * 50)
    ]
    before = [cohort.visits.query("day <= 0") for cohort in cohorts]
    relapses_before = [cohort.relapses.query("day < 0") for cohort in cohorts]
    assert same(*before)
    assert same(*relapses_before)
    assert same(*(cohort.patients[["edss_baseline", "relapses_year_before"]] for cohort in cohorts))
    assert not same(*(cohort.visits for cohort in cohorts))


def test_truth_is_consistent_and_safe() -> None:
    cohort = simulate_cohort(
        patients={"a": 30, "b": 30}, seed=1, disability=OrdinalTruth(arm_slope={"b": -1.0})
    )
    truth = cohort.truth
    both = truth.expected_edss("b", at=[0.5, 2.0])
    assert both.dims == ("years",)
    assert both.sel(years=2.0).item() == pytest.approx(truth.expected_edss("b", at=2.0).item())
    assert truth.change("b", at=0.0).item() == 0.0
    change = truth.change("b", at=[0.5, 2.0], since=0.5)
    np.testing.assert_allclose(change, [0.0, (both[1] - both[0]).item()], atol=1e-14)
    assert truth.change("b", at=2.0).item() < 0 < truth.change("a", at=2.0).item()
    probabilities = truth.level_probabilities("a", at=[0.0, 5.0])
    assert probabilities.dims == ("years", "level")
    np.testing.assert_allclose(probabilities.sum("level"), 1.0, atol=1e-12)
    effects = truth.patients
    effects["slope"] = 99.0
    assert truth.patients["slope"].abs().max() < 10
    with pytest.raises(dataclasses.FrozenInstanceError):
        truth.seed = 2
    with pytest.raises(ValueError, match="no arm 'c'"):
        truth.expected_edss("c", at=1.0)
    assert "sim0001" not in repr(truth)


def test_a_simulated_cohort_says_so() -> None:
    cohort = simulate_cohort(patients=10, seed=1, relapses=None)
    assert cohort.simulated
    assert "SIMULATED" in str(cohort)
    assert cohort.arms == ("all",)
    assert cohort.relapses is None
    with pytest.raises(ValueError, match='begins with "simulated"'):
        simulate_cohort(patients=10, seed=1, name="Tel Aviv")
    with pytest.raises(ValueError, match="without relapses"):
        cohort.truth.relapse_rate("all")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"disability": OrdinalTruth(arm_slope={"c": 1.0})}, r"disability.arm_slope .* unknown: \['c'\]"),
        ({"relapses": RelapseTruth(after={"a": 1.0})}, r"relapses.after .* missing: \['b'\]"),
        ({"dropout": DropOut(rate={"a": 0.1})}, r"dropout.rate .* missing: \['b'\]"),
        ({"disability": OrdinalTruth(effects={"age": 1.0})}, "no covariate 'age'"),
        ({"patients": {"a": 3, "b": 0}}, "every arm needs at least one patient"),
        ({"patients": 0}, "every arm needs at least one patient"),
        ({"patients": pd.DataFrame({"age": [1]})}, "needs a column 'arm'"),
        ({"patients": pd.DataFrame({"arm": ["a"], "slope": [1]})}, "taken by the patient effects"),
        ({"patients": pd.DataFrame({"arm": ["a", None]})}, "every patient needs an arm"),
    ],
)
def test_errors_name_what_is_wrong(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        simulate_cohort(**{"patients": {"a": 3, "b": 3}, "seed": 1, **arguments})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OrdinalTruth(cutpoints=(0.0, 1.0)), "19 numbers"),
        (lambda: OrdinalTruth(cutpoints=tuple(range(18, -1, -1))), "in order"),
        (lambda: OrdinalTruth(correlation=1.1), "within -1 and 1"),
        (lambda: OrdinalTruth(patient_sd=-1.0), "patient_sd must be"),
        (lambda: OrdinalTruth(misrating=1.5), "misrating is a probability"),
        (lambda: OrdinalTruth(link="cloglog"), '"logit" or "probit"'),
        (lambda: OrdinalTruth(fluctuation_days=0.0), "fluctuation_days"),
        (lambda: RelapseTruth(after={"a": -0.1}), "after must be"),
        (lambda: RelapseTruth(frailty=float("nan")), "frailty must be"),
        (lambda: VisitSchedule(years=(0, 0.1), jitter_days=20), "could swap .* below 18.5 days"),
        (lambda: VisitSchedule(years=(1, 0)), "could swap"),
        (lambda: VisitSchedule(years=()), "at least one visit"),
        (lambda: VisitSchedule(missed=1.0), "missed is a probability"),
        (lambda: DropOut(rate=-1.0), "rate must be"),
        (lambda: GaussianTruth(residual_sd=-1.0), "residual_sd must be"),
    ],
)
def test_impossible_parameters_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_scores_follow_the_gaussian_mixed_model() -> None:
    truth = GaussianTruth(
        intercept=3.0, slope=0.2, arm_slope={"b": -0.3}, patient_sd=1.5, slope_sd=0.4, correlation=-0.3
    )
    cohort = simulate_cohort(patients={"a": 4000, "b": 4000}, seed=1, visits=EXACT, relapses=None)
    scores = simulate_scores(cohort, truth=truth, seed=2)
    assert np.array_equal(scores, simulate_scores(cohort, truth=truth, seed=2))
    wide = scores.reshape(-1, 3)  # EXACT has three visits of everybody
    years = cohort.visits["years"].to_numpy()[:3]
    for arm, rows in (("a", slice(0, 4000)), ("b", slice(4000, None))):
        error = wide[rows].std(axis=0) / np.sqrt(4000)
        assert (np.abs(wide[rows].mean(axis=0) - truth.expected(arm, years)) < 4 * error).all()
    z = np.column_stack([np.ones(3), years])
    sigma = np.array([[1.5**2, -0.3 * 1.5 * 0.4], [-0.3 * 1.5 * 0.4, 0.4**2]])
    expected = z @ sigma @ z.T + truth.residual_sd**2 * np.eye(3)
    # Standard error of a covariance is at most σ²√(2/n) = 0.05 here.
    np.testing.assert_allclose(np.cov(wide[:4000], rowvar=False), expected, atol=0.25)
