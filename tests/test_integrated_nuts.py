"""NUTS with the patients integrated out: the same posterior as with them, effects from the right conditional, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytensor
import pytest
import xarray as xr
from scipy import integrate, stats

import trajectories as tj
from trajectories import models
from trajectories.fitting import approximate as approximate_module
from trajectories.fitting import integrated_effects, integrated_nuts
from trajectories.fitting.approximate import approximate
from trajectories.fitting.diagnostics import ConvergenceError, population
from trajectories.fitting.marginal import Integrated, double_precision
from trajectories.fitting.marginal_rows import Rows, Shape
from trajectories.models.base import Population
from trajectories.models.blocks.densities import negative_binomial_logpmf, ordinal_logpmf

MODEL = models.OrdinalMixed("edss ~ arm * years + (1 + years | patient)")
COUNTS = models.RelapseCounts("relapses ~ arm * period + (1 | patient)", dispersion_by="arm")
HOW = {"draws": 500, "tune": 500, "chains": 4, "seed": 1, "progress": False}


@pytest.fixture(scope="module")
def integrated(sampled_cohort):
    before = jax.config.jax_enable_x64
    fit = tj.sample(MODEL, sampled_cohort, **HOW, integrate_patients=True, quadrature=5)
    assert jax.config.jax_enable_x64 == before
    return fit


def assert_same_posterior(first: xr.Dataset, second: xr.Dataset, worst: float) -> None:
    """Means and standard deviations differ by less than so many Monte Carlo errors, in every parameter."""
    import arviz as az

    for statistic, of in (
        ("mean", lambda d: d.mean(("chain", "draw"))),
        ("sd", lambda d: d.std(("chain", "draw"))),
    ):
        error = sum(az.mcse(d, method=statistic) ** 2 for d in (first, second)) ** 0.5
        apart = np.abs(of(first) - of(second)) / error
        for name, values in apart.data_vars.items():
            assert float(values.max()) < worst, f"{statistic} of {name}: {values.to_numpy()}"


# --- the posterior --------------------------------------------------------------------------------------------------


def test_posterior_is_that_of_plain_sampling(integrated, sampled):
    assert set(integrated.parameters) == set(sampled.parameters)
    xr.testing.assert_equal(integrated.parameters["term"], sampled.parameters["term"])
    # 26 parameters, twice: 4.5 Monte Carlo errors are passed by chance less than once in a thousand runs.
    assert_same_posterior(population(integrated.parameters), population(sampled.parameters), 4.5)


def test_patient_effects_are_those_of_plain_sampling(integrated, sampled):
    # 80 effects, twice.
    name = "patient_effects"
    assert_same_posterior(integrated.parameters[[name]], sampled.parameters[[name]], 5.0)
    # Also jointly with the population: the covariance of effects and coefficients over the draws.
    joint = [
        xr.cov(
            fit.parameters[name].sel(effect="years").mean("patient"),
            fit.parameters["coefficients"].sel(term="years"),
        )
        for fit in (integrated, sampled)
    ]
    assert float(joint[0]) == pytest.approx(float(joint[1]), rel=0.3)
    assert float(joint[1]) < 0


def test_groups_settings_and_estimands_are_there(integrated, sampled, tmp_path):
    assert set(integrated.data.children) == set(sampled.data.children)
    likelihood = integrated.data["log_likelihood"]["edss"]
    assert likelihood.shape == (4, 500, 200)
    assert float(likelihood.sum("visit").mean()) == pytest.approx(
        float(sampled.data["log_likelihood"]["edss"].sum("visit").mean()), abs=3.0
    )
    assert integrated.settings["quadrature"] == 5
    # of the worst patient; it moves by a few hundredths from one run of the sampler to another
    assert 0.6 < integrated.settings["patient_effects_accepted"] < 1
    assert {"pymc", "nutpie", "jax"} <= set(integrated.versions)
    assert "posterior draws (NUTS)" in str(integrated)
    loaded = tj.load_fit(integrated.save(tmp_path / "fit.nc"))
    xr.testing.assert_identical(loaded.parameters, integrated.parameters)
    changes = [tj.change(fit, 2.0).summary() for fit in (integrated, loaded, sampled)]
    np.testing.assert_array_equal(changes[0]["mean"], changes[1]["mean"])
    np.testing.assert_allclose(changes[0]["mean"], changes[2]["mean"], atol=0.1)


@pytest.mark.slow
def test_counts_have_the_posterior_of_plain_sampling():
    truth = tj.RelapseTruth(
        before=1.5, after={"a": 0.3, "b": 0.6}, frailty=0.0, patient_sd=0.8, dispersion=0.4
    )
    cohort = tj.simulate_cohort(patients={"a": 20, "b": 20}, seed=1, relapses=truth)
    how = HOW | {"draws": 1000}
    plain = tj.sample(COUNTS, cohort, **how)
    other = tj.sample(COUNTS, cohort, **how, integrate_patients=True)
    assert_same_posterior(population(other.parameters), population(plain.parameters), 4.5)
    assert_same_posterior(other.parameters[["patient_effects"]], plain.parameters[["patient_effects"]], 5.0)


# --- the density ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [MODEL, COUNTS, models.OrdinalMixed(MODEL.formula, link="probit")], ids=str)
def test_variables_are_the_population_variables_of_the_full_model(model, sampled_cohort):
    cohort = sampled_cohort if model is not COUNTS else counts_cohort()
    design = model.design(cohort)
    likelihood = integrated_nuts.integrated_likelihood(model, design, 3)
    with integrated_nuts.jax_doubles():
        few = integrated_nuts.population_model(model, design, likelihood)
    full = model.build(design)
    names = [v.name for v in full.free_RVs if "patient" not in full.named_vars_to_dims.get(v.name, ())]
    assert [v.name for v in few.free_RVs] == names
    point = few.initial_point()

    def prior(graph):
        variables = [graph[name] for name in names]
        inputs = [graph.rvs_to_values[variable] for variable in variables]
        density = pytensor.function(inputs, graph.logp(vars=variables, sum=False), mode="FAST_COMPILE")
        return [values.sum() for values in density(*[point[value.name] + 0.3 for value in inputs])]

    np.testing.assert_allclose(prior(few), prior(full), rtol=1e-12)


def counts_cohort() -> tj.Cohort:
    truth = tj.RelapseTruth(
        before=1.5, after={"a": 0.3, "b": 0.6}, frailty=0.0, patient_sd=0.8, dispersion=0.4
    )
    return tj.simulate_cohort(patients={"a": 10, "b": 10}, seed=1, relapses=truth)


def rows_of(outcome, Z, patient) -> Rows:
    n = len(outcome)
    zeros = np.zeros(n)
    return Rows(
        outcome=np.asarray(outcome), X=np.linspace(-1, 1, n)[:, None], Z=np.asarray(Z, float), patient=np.asarray(patient),
        offset=zeros, group=zeros.astype(np.int64),
    )  # fmt: skip


FACTOR = np.array([[2.0, 0.0], [0.5, 1.2]])
CUTPOINTS = np.array([-2.0, 0.0, 1.5])


def test_the_traced_function_is_the_integrated_likelihood():
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(4), [1, 1, 8, 8])
    n = len(patient)
    rows = rows_of(rng.integers(0, 4, n), np.column_stack([np.ones(n), rng.normal(size=n)]), patient)
    shape = Shape(family="ordinal", levels=4, terms=1, effects=2)
    likelihood = Integrated(shape=shape, rows=rows, quadrature=5)
    theta = np.concatenate([CUTPOINTS[:1], np.log(np.diff(CUTPOINTS)), [0.4], FACTOR[[0, 1, 1], [0, 0, 1]]])
    with double_precision():
        value, slope = jax.jit(jax.value_and_grad(likelihood.traced))(
            Population((CUTPOINTS, None), np.array([0.4]), FACTOR)
        )
    expected, gradient = likelihood.gradient(theta)
    assert float(value) == pytest.approx(expected, abs=1e-8)
    np.testing.assert_allclose(slope.beta, gradient[3:4], atol=1e-6)
    np.testing.assert_allclose(slope.factor[np.tril_indices(2)], gradient[4:], atol=1e-6)
    np.testing.assert_allclose(np.asarray(slope.own[0]).sum(), gradient[0], atol=1e-6)


# --- patient effects given the population ---------------------------------------------------------------------------


def repeated(values, n: int):
    return np.repeat(np.asarray(values, float)[None], n, axis=0)


def test_conditional_draws_are_those_of_brute_force():
    # Three visits, all at the top: a skewed conditional, beside a patient whose visits say something else.
    Z = np.column_stack([np.ones(5), [-1.0, 0.0, 1.0, 0.0, 1.0]])
    rows = rows_of([3, 3, 3, 0, 2], Z, [0, 0, 0, 1, 1])
    likelihood = Integrated(
        shape=Shape(family="ordinal", levels=4, terms=1, effects=2), rows=rows, quadrature=1
    )
    n, beta = 40_000, np.array([0.4])
    at = Population((repeated(CUTPOINTS, n), None), repeated(beta, n), repeated(FACTOR, n))
    drawn, accepted = integrated_effects.conditional_effects(likelihood, at, np.random.default_rng(1))
    assert (accepted > 0.6).all()

    grid = np.linspace(-7, 7, 561)
    v = np.stack(np.meshgrid(grid, grid, indexing="ij"))
    u = np.einsum("ij,jab->iab", FACTOR, v)
    ends = np.array([-1e3, *CUTPOINTS, 1e3])
    for who in (0, 1):
        h = -0.5 * (v**2).sum(axis=0)
        for j in np.flatnonzero(rows.patient == who):
            eta = rows.X[j, 0] * beta[0] + Z[j, 0] * u[0] + Z[j, 1] * u[1]
            y = rows.outcome[j]
            h = h + ordinal_logpmf(ends[y + 1] - eta, ends[y] - eta, "logit", np)
        mass = np.exp(h - h.max())
        mass /= mass.sum()
        for k in (0, 1):
            cdf = np.cumsum(mass.sum(axis=1 - k)) - 0.5 * mass.sum(axis=1 - k)  # at the middles of the cells
            test = stats.kstest(drawn[:, who, k], lambda x, cdf=cdf: np.interp(x, grid, cdf))
            assert test.pvalue > 1e-4
        mean = (v * mass).sum(axis=(1, 2))
        centred = v - mean[:, None, None]
        covariance = np.einsum("iab,jab,ab->ij", centred, centred, mass)
        np.testing.assert_allclose(np.cov(drawn[:, who].T), covariance, atol=0.03)
    # The proposals alone would not pass: the conditional is skewed.
    assert stats.skew(drawn[:, 0, 0]) > 0.1


def test_conditional_draws_of_a_count():
    rows = rows_of([0], [[1.0]], [0])
    shape = Shape(family="negative binomial", groups=1, terms=1, effects=1)
    likelihood = Integrated(shape=shape, rows=rows, quadrature=1)
    n = 40_000
    at = Population((np.full(n, 1.0), np.full((n, 1), 0.5)), np.zeros((n, 1)), np.full((n, 1, 1), -1.5))
    drawn, _ = integrated_effects.conditional_effects(likelihood, at, np.random.default_rng(2))

    def density(v):
        return np.exp(negative_binomial_logpmf(np.array(0), 1.0 - 1.5 * v, np.array(0.5), np) - v**2 / 2)

    total = integrate.quad(density, -10, 10)[0]
    mean = integrate.quad(lambda v: v * density(v), -10, 10)[0] / total
    square = integrate.quad(lambda v: v**2 * density(v), -10, 10)[0] / total
    se = np.sqrt((square - mean**2) / n)
    assert drawn.mean() == pytest.approx(mean, abs=4 * se)
    assert drawn.var() == pytest.approx(square - mean**2, rel=0.04)


def test_the_same_seed_draws_the_same_effects_whatever_comes_with_them():
    Z = np.column_stack([np.ones(3), [-1.0, 0.0, 1.0]])
    likelihood = Integrated(
        shape=Shape(family="ordinal", levels=4, terms=1, effects=2),
        rows=rows_of([0, 3, 2], Z, [0, 0, 1]),
        quadrature=1,
    )
    at = Population((repeated(CUTPOINTS, 30), None), repeated([0.4], 30), repeated(FACTOR, 30))
    first, again, other = (
        integrated_effects.conditional_effects(likelihood, at, np.random.default_rng(seed))[0]
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_draws_in_parts_fill_every_place(monkeypatch):
    monkeypatch.setattr(
        integrated_effects, "AT_ONCE", 16
    )  # two draws of eight places at a time, the last part overlaps
    rows = rows_of([0, 3, 2], np.ones((3, 1)), [0, 0, 1])
    likelihood = Integrated(
        shape=Shape(family="ordinal", levels=4, terms=1, effects=1), rows=rows, quadrature=1
    )
    factor = np.linspace(0.1, 9.0, 7)[:, None, None]
    at = Population((repeated(CUTPOINTS, 7), None), repeated([0.4], 7), factor)
    drawn, accepted = integrated_effects.conditional_effects(likelihood, at, np.random.default_rng(1))
    assert (drawn != 0).all()
    assert (accepted > 0).all()


# --- without a chain ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def resampled(sampled_cohort):
    before = jax.config.jax_enable_x64
    fit = approximate(MODEL, sampled_cohort, draws=2000, seed=1)
    assert jax.config.jax_enable_x64 == before
    return fit


def test_importance_resampling_has_the_posterior_of_plain_sampling(resampled, sampled, tmp_path):
    settings = resampled.settings
    assert settings["pareto_k"] <= 0.7
    assert 400 < settings["effective"] < 10_000
    for values in ("mean", "std"):
        ours, theirs = (
            getattr(population(fit.parameters), values)(("chain", "draw")) for fit in (resampled, sampled)
        )
        spread = population(sampled.parameters).std(("chain", "draw"))
        # 400 effective draws on either side have an error of 0.07 standard deviations.
        for name in ("coefficients", "patient_sd", "patient_correlation"):
            assert float((np.abs(ours - theirs) / spread)[name].max()) < 0.3, (values, name)
    assert f"Pareto k {settings['pareto_k']:.2f}" in resampled.description
    assert "NUTS" not in str(resampled)
    assert list(resampled.summary().columns) == ["mean", "sd", "lower", "upper"]
    loaded = tj.load_fit(resampled.save(tmp_path / "fit.nc"))
    assert loaded.description == resampled.description
    change = [tj.change(fit, 2.0).summary()["mean"] for fit in (loaded, sampled)]
    np.testing.assert_allclose(*change, atol=0.15)
    effects = [fit.parameters["patient_effects"].mean(("chain", "draw")) for fit in (resampled, sampled)]
    assert float(np.abs(effects[0] - effects[1]).max()) < 0.7


def test_weights_that_cannot_be_trusted_are_refused(sampled_cohort, monkeypatch):
    monkeypatch.setattr(
        approximate_module, "ROUNDS", 0
    )  # the mode and curvature alone are too far from this posterior
    with pytest.raises(ConvergenceError, match=r"Pareto k .*above 0\.7\. Use tj\.sample"):
        approximate(MODEL, sampled_cohort, draws=400, seed=1)
    with pytest.raises(ValueError, match="draws must be at least 100"):
        approximate(MODEL, sampled_cohort, draws=10)


# --- refusals -------------------------------------------------------------------------------------------------------


def test_what_cannot_be_integrated_is_a_named_error(sampled_cohort):
    def sample(model, **options):
        return tj.sample(model, sampled_cohort, progress=False, integrate_patients=True, **options)

    with pytest.raises(NotImplementedError, match="visit_effects='none'"):
        sample(models.OrdinalMixed("edss ~ years + (1 | patient)", visit_effects="ar1"))
    with pytest.raises(NotImplementedError, match="GaussianMixed"):
        sample(models.GaussianMixed("edss ~ years + (1 | patient)"))
    with pytest.raises(ValueError, match="no patient effects in 'relapses ~ arm'"):
        tj.sample(models.RelapseCounts("relapses ~ arm"), counts_cohort(), integrate_patients=True)
    with pytest.raises(ValueError, match="quadrature must be at least 1"):
        sample(MODEL, quadrature=0)
    design = models.GaussianMixed("edss ~ years + (1 | patient)").design(sampled_cohort)
    with pytest.raises(NotImplementedError, match="GaussianMixed cannot be integrated"):
        models.GaussianMixed("edss ~ years + (1 | patient)").build_population(design, lambda at: 0.0)


def test_effects_without_a_mode_are_an_error_and_rarely_accepted_ones_a_problem():
    rows = rows_of([0, 3], np.ones((2, 1)), [0, 0])
    likelihood = Integrated(
        shape=Shape(family="ordinal", levels=4, terms=1, effects=1), rows=rows, quadrature=1
    )
    at = Population((repeated(CUTPOINTS, 2), None), repeated([np.nan], 2), np.ones((2, 1, 1)))
    with pytest.raises(ConvergenceError, match="1 of 1 patients have no mode"):
        integrated_effects.conditional_effects(likelihood, at, np.random.default_rng(1))
    assert integrated_effects.few_accepted(0.8) == ()
    (problem,) = integrated_effects.few_accepted(0.3)
    assert problem.serious
    assert "30%" in str(problem)


def test_a_run_that_did_not_converge_is_refused(sampled_cohort):
    with pytest.raises(ConvergenceError, match="ESS below 400"):
        tj.sample(
            MODEL,
            sampled_cohort,
            draws=20,
            tune=20,
            chains=2,
            seed=1,
            progress=False,
            integrate_patients=True,
            quadrature=1,
        )


def test_an_approximation_has_no_chains_to_draw(sampled: Any) -> None:
    from trajectories import plots

    made = replace(sampled, settings={**sampled.settings, "pareto_k": 0.3})
    for plot in (plots.diagnostics, plots.pairs):
        with pytest.raises(ValueError, match="not from chains"):
            plot(made)
