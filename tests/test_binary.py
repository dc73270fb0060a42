"""The binary mixed model: against R, its density in three places, its estimands in closed form, and what it refuses."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr
from scipy import stats

import trajectories as tj
from trajectories import models
from trajectories.fitting import integrated_nuts
from trajectories.fitting.marginal_models import adaptor_of

REFERENCE = Path(__file__).parent / "reference"
ONE, TWO = "edss ~ arm * years + (1 | patient)", "edss ~ arm * years + (1 + years | patient)"
ALONE = "edss ~ years + (1 | patient)"


def severe(formula: str, **options: object) -> models.BinaryMixed:
    return models.BinaryMixed(formula, threshold=4.0, **options)


# --- against R ------------------------------------------------------------------------------------------------------

FITS = {
    "glmer 400 Laplace": ("400", severe(ONE), 1),
    "glmer 400 nAGQ 7": ("400", severe(ONE), 7),
    "glmer 400 nAGQ 25": ("400", severe(ONE), 25),
    "glmer 400 probit nAGQ 25": ("400", severe(ONE, link="probit"), 25),
    "glmer 400 slope Laplace": ("400", severe(TWO), 1),
    "glmer 35 Laplace": ("35", severe(ALONE), 1),
    "clmm 400 nAGQ 7": ("400", severe(ONE), 7),
    "clmm 35 nAGQ 7": ("35", severe(ALONE), 7),
    "clmm 35 probit nAGQ 7": ("35", severe(ALONE, link="probit"), 7),
}


@cache
def fitted(name: str) -> tj.PointFit:
    patients, model, quadrature = FITS[name]
    cohort = tj.simulated_three_dmts_400() if patients == "400" else tj.simulated_alemtuzumab_35()
    return tj.maximise(model, cohort, quadrature=quadrature)


@pytest.mark.parametrize("name", FITS)
def test_estimates_errors_and_likelihood_are_those_of_r(name):
    table = pd.read_csv(REFERENCE / "binary_reference.csv")
    expected = table[table["fit"] == name].set_index("quantity")["value"]
    summary = fitted(name).summary().rename(index={"cor(intercept, years)": "correlation"})
    assert set(summary.index) == {q for q in expected.index if not q.startswith("se ")} - {"loglik"}
    if "loglik" in expected:
        assert fitted(name).loglik == pytest.approx(expected["loglik"], abs=1e-3)
    for term, row in summary.iterrows():
        size = max(abs(expected[term]), expected.get(f"se {term}", 0.0))
        assert row["estimate"] == pytest.approx(expected[term], abs=1e-3 * size), term
        if f"se {term}" in expected:  # of differences in R
            assert row["se"] == pytest.approx(expected[f"se {term}"], rel=3e-3), term


def test_too_few_nodes_are_said():
    few, enough = (fitted(name) for name in ("glmer 400 nAGQ 7", "glmer 400 nAGQ 25"))
    more = few.solution.adaptor.likelihood(15).value(few.solution.theta) - few.loglik
    assert f"differs by {more:+.2f}; take quadrature=15" in str(few)
    assert "quadrature nodes a dimension are few" not in str(enough)


# --- one density ----------------------------------------------------------------------------------------------------


@cache
def small_cohort() -> tj.Cohort:
    truth = tj.OrdinalTruth(slope=0.8, arm_slope={"new": -0.8}, slope_sd=1.5, patient_sd=4.0)
    return tj.simulate_cohort(
        patients={"old": 6, "new": 6}, seed=1, relapses=None, disability=truth,
        visits=tj.VisitSchedule(years=(0, 0.5, 1, 1.5, 2)),
    )  # fmt: skip


def random_parameters(design, seed: int, samples: int = 2) -> xr.Dataset:
    """Parameters in the user's units without patient effects."""
    rng = np.random.default_rng(seed)
    factor = np.tril(rng.normal(size=(1, samples, 2, 2)))
    q = len(design.effects)
    from trajectories.models.blocks import patient_effects

    covariance = (factor @ np.swapaxes(factor, -1, -2))[..., :q, :q]
    return patient_effects.labelled(
        design, rng.normal(size=(1, samples, len(design.terms))), None, covariance,
        intercept=(None, rng.normal(size=(1, samples))),
    )  # fmt: skip


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("formula", [ONE, TWO])
def test_the_integrated_likelihood_is_the_models_own_density_summed_over_a_grid(formula, link):
    model = severe(formula, link=link)
    design = model.design(small_cohort())
    parameters = random_parameters(design, 3, samples=1)
    adaptor = adaptor_of(model, design)
    found = adaptor.likelihood(41).by_patient(adaptor.theta_of(parameters)[0])
    q = len(design.effects)
    line = np.arange(-8, 8.01, 0.05 if q == 1 else 0.2)
    v = np.stack(np.meshgrid(*[line] * q, indexing="ij"), axis=-1).reshape(-1, q)
    root = np.linalg.cholesky(parameters["patient_covariance"].to_numpy()[0, 0])
    u = np.repeat((v @ root.T)[:, None, :], design.n_patients, axis=1)
    grid = xr.concat([parameters] * len(v), dim="draw").assign(
        patient_effects=(("chain", "draw", "patient", "effect"), u[None])
    )
    by_visit = model.log_likelihood(grid.transpose("chain", "draw", ...), design).to_numpy()[0]
    by_patient = np.zeros((len(v), design.n_patients))
    np.add.at(by_patient.T, design.patient, by_visit.T)
    weight = (stats.norm.pdf(v).prod(axis=1) * (line[1] - line[0]) ** q)[:, None]
    np.testing.assert_allclose(found, np.log((weight * np.exp(by_patient)).sum(axis=0)), atol=2e-5)


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_the_pymc_model_has_the_density_of_the_parameters_it_says(link):
    """The log-density of the outcomes in PyMC is `log_likelihood`, and that of the coordinates makes v ~ N(0, I)."""
    model = severe(TWO, link=link)
    design = model.design(small_cohort())
    graph = model.build(design)
    rng = np.random.default_rng(2)
    point = {
        name: value + 0.5 * rng.normal(size=value.shape) for name, value in graph.initial_point().items()
    }
    inputs = graph.value_vars
    values = graph.replace_rvs_by_values(graph.free_RVs)
    potential = graph.replace_rvs_by_values(graph.potentials)[0]
    function = pytensor.function(inputs, [*values, potential], mode="FAST_COMPILE", on_unused_input="ignore")
    *drawn, logp = function(*[point[value.name] for value in inputs])
    draws = {rv.name: np.asarray(a)[None, None] for rv, a in zip(graph.free_RVs, drawn, strict=True)}
    parameters = model.parameters(draws, design)
    assert float(model.log_likelihood(parameters, design).sum()) == pytest.approx(float(logp), rel=1e-10)
    adaptor = adaptor_of(model, design)
    again = adaptor.dataset(adaptor.theta_of(parameters))
    for name in ("intercept", "coefficients", "patient_covariance"):
        np.testing.assert_allclose(again[name], parameters[name], rtol=1e-8, atol=1e-8)
    population = model.population(draws, design)
    np.testing.assert_allclose(
        model.with_effects(population, np.zeros((1, 1, 12, 2)), design)["intercept"], parameters["intercept"]
    )


def test_coordinates_have_a_standard_normal_prior_for_the_effects():
    """Draws from the prior have patient effects with the covariance that was drawn with them."""
    model = severe(TWO)
    prior = tj.sample_prior(model, small_cohort(), draws=2000, seed=1).parameters
    effects, covariance = prior["patient_effects"].to_numpy()[0], prior["patient_covariance"].to_numpy()[0]
    standard = np.linalg.solve(np.linalg.cholesky(covariance), np.swapaxes(effects, -1, -2))
    assert np.abs(standard.mean(axis=(0, 2))).max() < 0.03
    np.testing.assert_allclose(np.cov(standard.transpose(1, 0, 2).reshape(2, -1)), np.eye(2), atol=0.05)


def test_integrated_sampling_has_the_population_variables_of_the_full_model():
    model = severe(TWO)
    design = model.design(small_cohort())
    likelihood = integrated_nuts.integrated_likelihood(model, design, None)
    assert likelihood.quadrature == 15
    with integrated_nuts.jax_doubles():
        few = integrated_nuts.population_model(model, design, likelihood)
        point = few.initial_point()
        density = few.compile_logp(vars=few.free_RVs, jacobian=False, sum=False, mode="FAST_COMPILE")(point)
        whole = float(few.compile_logp(jacobian=False, mode="JAX")(point))
        given = few.replace_rvs_by_values(few.free_RVs)
        drawn = pytensor.function(few.value_vars, given, on_unused_input="ignore", mode="FAST_COMPILE")
        values = drawn(*[point[value.name] for value in few.value_vars])
    full = model.build(design)
    names = [v.name for v in full.free_RVs if not v.name.startswith("patient_coordinate")]
    assert [v.name for v in few.free_RVs] == names
    # What stands beside the priors is the integrated likelihood at these parameters.
    draws = {rv.name: np.asarray(a)[None, None] for rv, a in zip(few.free_RVs, values, strict=True)}
    population = model.population(draws, design)
    parameters = model.with_effects(population, np.zeros((1, 1, design.n_patients, 2)), design)
    adaptor = adaptor_of(model, design)
    expected = likelihood.value(adaptor.theta_of(parameters)[0])
    assert whole - sum(float(part.sum()) for part in density) == pytest.approx(expected, abs=1e-6)
