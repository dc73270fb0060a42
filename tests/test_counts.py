"""Classical fits of counts: against R, statsmodels, the estimating equations, and at the edges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from trajectories.fitting.count_likelihood import _Likelihood, loglik, maximum, separating_terms
from trajectories.fitting.counts import CountData, count_gee, count_likelihood, fit_counts
from trajectories.models.relapses import RelapseCounts
from trajectories.simulate import RelapseTruth, simulate_cohort

REFERENCE = Path(__file__).parent / "reference"
CASES = ("two_arms_200", "small_35", "three_arms_300", "many_600")


def case(name: str) -> CountData:
    table = pd.read_csv(REFERENCE / "counts_cases.csv").query("case == @name")
    arms = sorted(table["arm"].unique())
    indicators = [(table["arm"] == arm).to_numpy(float) for arm in arms[1:]]
    return CountData(
        counts=table["y"].to_numpy(),
        exposure=table["years"].to_numpy(),
        X=np.column_stack([*indicators, table["x"].to_numpy(float)]),
        terms=(*[f"arm[{arm}]" for arm in arms[1:]], "x"),
        patient=np.arange(len(table)),
        arm=np.array([arms.index(arm) for arm in table["arm"]]),
        arms=tuple(arms),
    )


def reference(name: str, fit: str) -> pd.Series:
    table = pd.read_csv(REFERENCE / "counts_reference.csv").query("case == @name and fit == @fit")
    return table.set_index("quantity")["value"]


def expected_information_se(data: CountData, coefficients: np.ndarray, alpha: float) -> np.ndarray:
    X = np.column_stack([np.ones(len(data.counts)), data.X])
    mean = data.exposure * np.exp(X @ coefficients)
    return np.sqrt(np.diag(np.linalg.inv((X * (mean / (1 + alpha * mean))[:, None]).T @ X)))


# Against R


@pytest.mark.parametrize("name", CASES)
def test_poisson_equals_glm(name: str) -> None:
    fit, expected = count_likelihood(case(name), family="poisson"), reference(name, "poisson")
    frame = fit.to_frame()
    assert fit.loglik == pytest.approx(expected["loglik"], abs=1e-8)
    for term, row in frame.iterrows():
        assert row["estimate"] == pytest.approx(expected[term], abs=1e-8)  # both to the end of convergence
        assert row["se"] == pytest.approx(
            expected[f"se {term}"], rel=1e-6
        )  # glm's are of the last but one round


@pytest.mark.parametrize("name", CASES)
def test_negative_binomial_equals_glm_nb(name: str) -> None:
    data, expected = case(name), reference(name, "glm.nb")
    fit = count_likelihood(data)
    frame = fit.to_frame()
    assert fit.loglik == pytest.approx(expected["loglik"], abs=1e-8)
    # glm.nb alternates between θ and the coefficients and stops with 4 to 6 digits of θ
    assert frame.loc["dispersion", "estimate"] == pytest.approx(expected["dispersion"], rel=1e-5)
    for term in ("intercept", *data.terms):
        assert frame.loc[term, "estimate"] == pytest.approx(expected[term], abs=1e-6)
    # glm.nb's standard errors are those of the expected information, given θ
    se = expected_information_se(data, fit.coefficients, float(fit.dispersion[0]))
    assert np.allclose(se, [expected[f"se {term}"] for term in ("intercept", *data.terms)], rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "by"), [(name, None) for name in CASES] + [(name, "arm") for name in CASES if name != "small_35"]
)
def test_observed_information_equals_glmmtmb(name: str, by: str | None) -> None:
    fit = count_likelihood(case(name), dispersion_by=by)  # type: ignore[arg-type]
    expected = reference(name, "glmmTMB by arm" if by else "glmmTMB")
    assert fit.loglik == pytest.approx(expected["loglik"], abs=1e-7)
    for term, row in fit.to_frame().iterrows():
        # glmmTMB stops within 1e-5 standard errors of the maximum
        assert abs(row["estimate"] - expected[term]) < 1e-4 * expected[f"se {term}"]
        assert row["se"] == pytest.approx(expected[f"se {term}"], rel=2e-4)


def test_betaseron_relapses(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "betaseron_counts.csv")
    dose = [(table["treatment"] == level).to_numpy(float) for level in (1, 2)]
    fit = count_likelihood(
        CountData(counts=table["n_exac"].to_numpy(), exposure=table["years"].to_numpy(), X=np.column_stack(dose),
                  terms=("low", "high"), patient=np.arange(len(table)))
    )  # fmt: skip
    assert fit.loglik == pytest.approx(-90.6385, abs=5e-5)
    assert np.allclose(fit.coefficients, [0.344355, 0.129077, -0.146771], atol=2e-6)
    assert 1 / fit.dispersion[0] == pytest.approx(9.93, abs=0.005)
    assert np.allclose(fit.to_frame()["se"].iloc[:3], [0.168869, 0.236778, 0.255190], rtol=2e-3)


def test_cgd_infections_and_rhdnase_exacerbations(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "cgd_counts.csv")
    treated = (table["treat"] != "placebo").to_numpy(float)[:, None]
    years = table["days"].to_numpy() / 365.25
    data = CountData(
        counts=table["n"].to_numpy(),
        exposure=years,
        X=treated,
        terms=("treat",),
        patient=np.arange(len(table)),
    )
    fit = count_likelihood(data)
    assert fit.loglik == pytest.approx(-125.4975, abs=5e-5)
    assert np.allclose(fit.coefficients, [0.067915, -1.031103], atol=2e-6)
    assert 1 / fit.dispersion[0] == pytest.approx(1.0950, abs=5e-5)
    se = expected_information_se(data, fit.coefficients, float(fit.dispersion[0]))
    assert np.allclose(se, [0.181645, 0.313682], atol=2e-6)

    table = pd.read_csv(shared_data / "rhdnase_counts.csv")
    X = np.column_stack([table["trt"], table["fev"] - table["fev"].mean()]).astype(float)
    years = table["days"].to_numpy() / 365.25
    data = CountData(
        counts=table["n"].to_numpy(), exposure=years, X=X, terms=("trt", "fev"), patient=np.arange(len(table))
    )
    fit = count_likelihood(data)
    assert fit.loglik == pytest.approx(-636.8509, abs=5e-5)
    assert np.allclose(fit.coefficients, [0.254688, -0.281068, -0.016685], atol=2e-6)
    assert 1 / fit.dispersion[0] == pytest.approx(2.0785, abs=5e-5)
    se = expected_information_se(data, fit.coefficients, float(fit.dispersion[0]))
    assert np.allclose(se, [0.083105, 0.121011, 0.002538], atol=2e-6)


# Against statsmodels, numerical derivatives and a general optimiser


@pytest.mark.parametrize("name", CASES)
def test_maximum_equals_statsmodels(name: str) -> None:
    from statsmodels.discrete.discrete_model import NegativeBinomial

    data = case(name)
    ours = count_likelihood(data)
    model = NegativeBinomial(
        data.counts, np.column_stack([np.ones(len(data.counts)), data.X]), exposure=data.exposure
    )
    theirs = model.fit(start_params=[*ours.coefficients, *ours.dispersion], method="newton", disp=0)
    assert ours.loglik == pytest.approx(theirs.llf, abs=1e-8)
    assert np.allclose(theirs.params, [*ours.coefficients, *ours.dispersion], rtol=1e-6)
    assert np.allclose(ours.to_frame()["se"], theirs.bse, rtol=1e-4)  # a numerical Hessian in α there


@pytest.mark.parametrize("alpha", [[1e-4, 0.3, 2.0], [0.0, 0.3, 2.0]])
def test_score_and_information_are_the_derivatives(alpha: list[float]) -> None:
    data, start = case("three_arms_300"), np.array([-0.7, -0.4, -1.0, 0.015])
    inner = _Likelihood(
        counts=data.counts, X=np.column_stack([np.ones(300), data.X]), log_exposure=np.log(data.exposure), group=data.arm,  # type: ignore[arg-type]
        weights=np.random.default_rng(1).uniform(0.5, 1.5, size=300),
    )  # fmt: skip
    free = np.flatnonzero(alpha)

    def split(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        dispersion = np.array(alpha)
        dispersion[free] = np.exp(theta[4:])
        return theta[:4], dispersion

    theta = np.append(start, np.log(np.array(alpha)[free]))
    score, hessian = inner.derivatives(*split(theta))
    steps = 1e-5 * np.eye(len(theta))
    first = [(inner.value(*split(theta + h)) - inner.value(*split(theta - h))) / 2e-5 for h in steps]
    assert np.allclose(score, first, rtol=1e-5, atol=1e-4)
    second = [
        (inner.derivatives(*split(theta + h))[0] - inner.derivatives(*split(theta - h))[0]) / 2e-5
        for h in steps
    ]
    assert np.allclose(hessian, second, rtol=1e-5, atol=1e-4)
    assert np.allclose(hessian, hessian.T)


def test_no_general_optimiser_finds_a_higher_likelihood() -> None:
    data = case("three_arms_300")
    fit = count_likelihood(data, dispersion_by="arm")
    assert data.arm is not None

    def falling(theta: np.ndarray) -> float:
        return -loglik(data.counts, data.X, data.exposure, theta[:4], np.exp(theta[4:]), data.arm)  # type: ignore[arg-type]

    rng = np.random.default_rng(1)
    start = np.append(fit.coefficients, np.log(fit.dispersion))
    for _ in range(3):
        found = optimize.minimize(
            falling,
            start + rng.normal(0, 0.3, 7) * [1, 1, 1, 0.02, 1, 1, 1],
            method="Nelder-Mead",
            options={"maxiter": 4000},
        )
        assert -found.fun <= fit.loglik + 1e-9  # type: ignore[operator]


# Dispersion


def test_counts_that_vary_less_than_poisson_counts_have_dispersion_zero() -> None:
    counts = np.tile([1, 1, 1, 2, 1, 0], 10)
    data = CountData(
        counts=counts, exposure=np.ones(60), X=np.zeros((60, 0)), terms=(), patient=np.arange(60)
    )
    fit, poisson = count_likelihood(data), count_likelihood(data, family="poisson")
    assert fit.dispersion.tolist() == [0.0]
    assert fit.loglik == pytest.approx(poisson.loglik, abs=1e-9)
    assert np.allclose(fit.coefficients, poisson.coefficients)
    assert fit.notes == (
        "the counts vary no more than Poisson counts: the dispersion is 0, and has no standard error",
    )
    row = fit.to_frame().loc["dispersion"]
    assert np.isnan(row["se"])
    assert row["lower"] == 0
    assert 0.01 < row["upper"] < 0.5
    draws = fit.draws(4000, seed=1)["dispersion"].to_numpy()
    assert np.isfinite(draws).all()
    assert 0.45 < (draws == 0).mean() < 0.55


@pytest.mark.parametrize("name", CASES)
def test_the_interval_of_the_dispersion_is_the_profiles(name: str) -> None:
    data = case(name)
    fit = count_likelihood(data)
    group = np.zeros(len(data.counts), dtype=np.int64)
    for bound in fit.to_frame().loc["dispersion", ["lower", "upper"]]:
        given = optimize.minimize(
            lambda b, bound=bound, group=group: (
                -loglik(data.counts, data.X, data.exposure, b, np.array([bound]), group)
            ),
            fit.coefficients,
            method="Nelder-Mead",
            options={"xatol": 1e-8, "fatol": 1e-8, "maxiter": 5000},
        )
        assert fit.loglik is not None
        fallen = 2 * (fit.loglik + given.fun)
        assert fallen == pytest.approx(stats.chi2.ppf(0.95, 1), abs=0.02) or (bound == 0 and fallen < 3.85)


def test_the_dispersion_covers_its_truth() -> None:
    rng, inside, n, alpha = np.random.default_rng(7), 0, 120, 0.6
    for _ in range(100):
        counts = rng.poisson(2.0 * rng.gamma(1 / alpha, alpha, n))
        data = CountData(
            counts=counts, exposure=np.ones(n), X=np.zeros((n, 0)), terms=(), patient=np.arange(n)
        )
        row = count_likelihood(data).to_frame().loc["dispersion"]
        inside += row["lower"] < alpha < row["upper"]
    assert 89 <= inside <= 100  # 95 expected; Pr(below 89) = 0.4 %


# What has no estimate


def test_an_arm_without_events_has_no_estimate() -> None:
    data = CountData(
        counts=np.array([1, 0, 2, 0, 0, 0]), exposure=np.ones(6), X=np.repeat([[0.0, 0], [1, 0]], 3, axis=0) + [[0, 1], [0, 2], [0, 3]] * 2,
        terms=("arm[b]", "x"), patient=np.array([0, 0, 1, 1, 2, 2]),
    )  # fmt: skip
    for fit in (count_likelihood, count_gee):
        with pytest.raises(ValueError, match=r"no estimate exists: along .*arm\[b\].*use tj.sample"):
            fit(data)


def test_separation_is_found_in_any_direction() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 2))
    one_way = np.maximum(
        x[:, 0] + 0.3 * x[:, 1], 0
    )  # events only where this is 0: its coefficient goes to minus infinity
    counts = np.where(one_way == 0, 1 + rng.poisson(1.0, 50), 0)
    assert separating_terms(counts, np.column_stack([one_way, x[:, 1]]), ("u", "v")) == ("u",)
    hidden = np.column_stack([one_way + x[:, 1], x[:, 1]])
    assert separating_terms(counts, hidden, ("u", "v")) == ("u", "v")
    # unlike a logistic model, counts of 1 and 0 on two sides of a line have an estimate
    assert separating_terms((x[:, 0] > 0).astype(int), x, ("u", "v")) == ()
    assert separating_terms(rng.poisson(1.0, 50), x, ("u", "v")) == ()
    assert separating_terms(np.zeros(50, dtype=np.int64), x, ("u", "v")) == ("intercept",)
    assert separating_terms(np.ones(50, dtype=np.int64), x, ("u", "v")) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exposure": np.array([1.0, 0.0])}, "positive exposure"),
        ({"counts": np.array([1, -1])}, "whole numbers"),
        ({"counts": np.array([1, 0.5])}, "whole numbers"),
    ],
)
def test_bad_arrays_are_refused(change: dict[str, np.ndarray], message: str) -> None:
    good = {
        "counts": np.array([1, 2]),
        "exposure": np.ones(2),
        "X": np.zeros((2, 0)),
        "patient": np.arange(2),
    }
    with pytest.raises(ValueError, match=message):
        CountData(**{**good, **change}, terms=())  # type: ignore[arg-type]


# GEE


@pytest.fixture(scope="module")
def repeated() -> CountData:
    rng, n, windows = np.random.default_rng(4), 80, 4
    patient = np.repeat(np.arange(n), windows)[: n * windows - 3]  # one patient with a single row
    arm, x = (np.arange(n) % 2)[patient], rng.normal(size=len(patient))
    years = rng.uniform(0.3, 1.5, len(patient))
    mean = years * np.exp(0.3 - 0.5 * arm + 0.2 * x + rng.normal(0, 0.7, n)[patient])
    return CountData(
        counts=rng.poisson(mean),
        exposure=years,
        X=np.column_stack([arm, x]).astype(float),
        terms=("arm[b]", "x"),
        patient=patient,
    )


@pytest.mark.parametrize("family", ["poisson", "negative binomial"])
def test_gee_solves_its_equations_with_the_sandwich(repeated: CountData, family: str) -> None:
    fit = count_gee(repeated, family=family)  # type: ignore[arg-type]
    rho = float(fit.notes[0].split("correlation ")[1].split(",")[0])
    X = np.column_stack([np.ones(len(repeated.counts)), repeated.X])
    mean = repeated.exposure * np.exp(X @ fit.coefficients)
    alpha = 0.0
    if family != "poisson":
        alpha = float(
            maximum(repeated.counts, repeated.X, repeated.exposure, np.zeros(len(mean), np.int64)).dispersion[
                0
            ]
        )
    # The exchangeable correlation by moments, as statsmodels estimates it, then the equations and the sandwich by hand.
    pearson = (repeated.counts - mean) / np.sqrt(mean + alpha * mean**2)
    p, rows = X.shape[1], np.bincount(repeated.patient)
    sums, squares = np.bincount(repeated.patient, pearson), np.bincount(repeated.patient, pearson**2)
    pairs = (rows * (rows - 1) / 2).sum()
    correlation = ((sums**2 - squares).sum() / 2 / (pairs - p)) / (squares.sum() / (len(mean) - p))
    assert correlation == pytest.approx(rho, abs=0.006)
    bread, meat, score = np.zeros((p, p)), np.zeros((p, p)), np.zeros(p)
    for i in np.unique(repeated.patient):
        here = repeated.patient == i
        m, D = mean[here], X[here] * mean[here][:, None]
        sd = np.sqrt(m + alpha * m**2)
        R = np.full((len(m), len(m)), correlation) + (1 - correlation) * np.eye(len(m))
        W = D.T @ np.linalg.inv(R * np.outer(sd, sd))
        bread += W @ D
        u = W @ (repeated.counts[here] - m)
        score, meat = score + u, meat + np.outer(u, u)
    assert np.abs(np.linalg.solve(bread, score)).max() < 1e-7
    assert np.allclose(fit.covariance, np.linalg.solve(bread, np.linalg.solve(bread, meat).T), rtol=1e-6)


def test_gee_estimates_the_population_average(repeated: CountData) -> None:
    fit = count_gee(repeated)
    marginal = np.array(
        [0.3 + 0.7**2 / 2, -0.5, 0.2]
    )  # the mean of log-normal rates is exp(σ²/2) times the median
    assert (np.abs(fit.coefficients - marginal) < 3 * np.sqrt(np.diag(fit.covariance))).all()
    assert fit.loglik is None
    assert "marginal model" in fit.notes[0]


def test_gee_allows_for_the_clusters_of_seizures(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "epil.csv")
    data = CountData(counts=table["y"].to_numpy(), exposure=np.ones(len(table)), X=table[["lbase", "lage", "V4"]].to_numpy(float),
                     terms=("lbase", "lage", "V4"), patient=table["subject"].to_numpy() - 1)  # fmt: skip
    robust, naive = count_gee(data).to_frame(), count_likelihood(data).to_frame()
    # seizures of a patient cluster: what varies between patients is less sure than independent rows say, what varies within is surer
    assert robust.loc["lage", "se"] > naive.loc["lage", "se"]
    assert robust.loc["V4", "se"] < naive.loc["V4", "se"]
    assert any("several rows, treated as independent" in note for note in count_likelihood(data).notes)


def test_gee_of_one_row_a_patient_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to correlate: use maximum likelihood"):
        count_gee(case("small_35"))


# Draws


def test_draws_have_the_estimates_distribution() -> None:
    fit = count_likelihood(case("three_arms_300"), dispersion_by="arm")
    draws = fit.draws(40_000, seed=2)
    assert draws["coefficients"].dims == ("chain", "draw", "term")
    assert draws["arm"].to_numpy().tolist() == ["a", "b", "c"]
    joined = np.column_stack([draws["intercept"][0], draws["coefficients"][0]])
    assert np.allclose(
        joined.mean(axis=0), fit.coefficients, atol=5 * np.sqrt(np.diag(fit.covariance)[:4]).max() / 200
    )
    assert np.allclose(np.cov(joined.T), fit.covariance[:4, :4], rtol=0.05, atol=1e-4)
    bounds = fit.to_frame().iloc[-3:][["lower", "upper"]].to_numpy()
    for g in range(3):
        alpha = draws["dispersion"][0, :, g].to_numpy()
        assert np.allclose(np.quantile(alpha, [0.025, 0.975]), bounds[g], rtol=0.05, atol=0.01)
    assert draws.equals(fit.draws(40_000, seed=2))
    assert not draws.equals(fit.draws(40_000, seed=3))


# Models


def test_a_model_is_fitted_by_its_design() -> None:
    truth = RelapseTruth(before=1.0, after={"a": 1.2, "b": 0.6}, frailty=0.5)
    cohort = simulate_cohort(patients={"a": 150, "b": 150}, seed=3, relapses=truth)
    model = RelapseCounts("relapses ~ arm", windows=(0, None))
    design = model.design(cohort)
    fit = fit_counts(model, design)
    frame = fit.to_frame()
    for term, value in {"intercept": np.log(1.2), "arm[b]": np.log(0.5), "dispersion": 0.5}.items():
        assert frame.loc[term, "lower"] < value < frame.loc[term, "upper"]
    # draws serve the model's estimands
    draws = fit.draws(2000, seed=1)
    rates = model.expectation(draws, design.at(pd.DataFrame({"arm": ["a", "b"]})))
    assert np.allclose(rates.mean(("chain", "draw")), [1.2, 0.6], atol=0.15)
    free = model.relapse_free(draws, design.at(pd.DataFrame({"arm": ["a", "b"]})), 1.0)
    assert np.allclose(free.mean(("chain", "draw")), (1 + 0.5 * np.array([1.2, 0.6])) ** -2, atol=0.06)


def test_gee_averages_over_patient_effects() -> None:
    cohort = simulate_cohort(
        patients={"a": 100, "b": 100}, seed=3, relapses=RelapseTruth(before=1.5, after={"a": 0.8, "b": 0.4})
    )
    model = RelapseCounts("relapses ~ arm * period + (1 | patient)")
    design = model.design(cohort)
    with pytest.raises(ValueError, match="has patient effects"):
        fit_counts(model, design)
    fit = fit_counts(model, design, method="gee")
    rows = design.at(pd.DataFrame({"arm": ["a", "b", "b"], "period": ["after", "after", "before"]}))
    rates = model.expectation(fit.draws(1000, seed=1), rows).mean(("chain", "draw"))
    assert np.allclose(rates, [0.8, 0.4, 1.5], atol=0.25)
    with pytest.raises(ValueError, match="not by GEE"):
        model.relapse_free(fit.draws(10, seed=1), rows, 1.0)
    with pytest.raises(ValueError, match="method must be"):
        fit_counts(model, design, method="reml")  # type: ignore[arg-type]
