"""The Gaussian mixed model: its density, its graph, its level probabilities, against independent computations."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from trajectories import edss
from trajectories.formulas import FormulaError, Matrices
from trajectories.models.blocks.autoregression import correlated_noise, visit_order
from trajectories.models.blocks.coefficients import coefficient_values
from trajectories.models.gaussian import GaussianMixed, GaussianPriors, recorded
from trajectories.priors import Exponential, HalfNormal, Normal, StudentT
from trajectories.reading import read_cohort

sys.path.insert(0, str(Path(__file__).parent))
from gaussian_cases import cohort, graph_of, hand_made, internal_draws, untransformed

SLOPES = "edss ~ arm * years + age + (1 + years | patient)"
QUICK = "FAST_COMPILE"  # evaluates in Python: a test calls a function once or twice
CASES = [
    pytest.param(GaussianMixed(SLOPES), "slopes", id="two effects"),
    pytest.param(GaussianMixed("edss ~ arm + (1 | patient)"), "slopes", id="one effect"),
    pytest.param(
        GaussianMixed("edss ~ years + (1 + years + on_treatment(years) | patient)"),
        "slopes",
        id="three effects",
    ),
    pytest.param(GaussianMixed("edss ~ 1 + (1 | patient)", residuals="ar1"), "ar1", id="ar1, no term"),
    pytest.param(
        GaussianMixed("edss ~ arm * years + (1 + years | patient)", residuals="ar1"),
        "ar1",
        id="ar1, two effects",
    ),
]


def fitted_means(parameters, design, draw):
    """Intercept + x'β + z'u of every visit, row by row."""
    p = parameters.isel(chain=0, draw=draw)
    beta, u = p["coefficients"].to_numpy(), p["patient_effects"].to_numpy()
    X, Z = design.formula.matrices.X, design.formula.matrices.Z
    rows = range(len(design.frame))
    return np.array([float(p["intercept"]) + X[r] @ beta + Z[r] @ u[design.patient[r]] for r in rows])


# Relations


@pytest.mark.parametrize(("model", "dataset"), CASES)
def test_log_likelihood_is_the_joint_normal_density(model, dataset):
    design = model.design(cohort(dataset))
    parameters = hand_made(model, design)
    found = model.log_likelihood(parameters, design)
    assert found.dims == ("chain", "draw", "visit")
    years = design.frame["years"].to_numpy()
    for draw in range(parameters.sizes["draw"]):
        mean = fitted_means(parameters, design, draw)
        sd = float(parameters["residual_sd"][0, draw])
        expected = 0.0
        for patient in range(design.n_patients):
            rows = np.flatnonzero(design.patient == patient)
            correlation = np.eye(len(rows))
            if model.residuals == "ar1":
                apart = np.abs(np.subtract.outer(years[rows], years[rows]))
                correlation = np.exp(-apart / float(parameters["residual_range"][0, draw]))
            expected += stats.multivariate_normal(mean[rows], sd**2 * correlation).logpdf(
                design.outcome[rows]
            )
        assert float(found[0, draw].sum()) == pytest.approx(expected, rel=1e-11)


def test_independent_log_likelihood_is_normal_visit_by_visit():
    model = GaussianMixed(SLOPES)
    design = model.design(cohort("slopes"))
    parameters = hand_made(model, design)
    expected = stats.norm(fitted_means(parameters, design, 1), float(parameters["residual_sd"][0, 1]))
    np.testing.assert_allclose(
        model.log_likelihood(parameters, design)[0, 1], expected.logpdf(design.outcome), rtol=1e-11
    )


def test_ar1_density_keeps_its_digits_at_the_ends():
    model = GaussianMixed("edss ~ years + (1 | patient)", residuals="ar1")
    design = model.design(cohort("ar1"))
    parameters = hand_made(model, design, draws=2)
    short = parameters.assign(residual_range=parameters["residual_range"] * 0 + 1e-3)
    independent = GaussianMixed("edss ~ years + (1 | patient)").log_likelihood(parameters, design)
    np.testing.assert_allclose(model.log_likelihood(short, design), independent, rtol=1e-6)
    long = parameters.assign(residual_range=parameters["residual_range"] * 0 + 1e9)
    assert np.isfinite(model.log_likelihood(long, design)).all()


@pytest.mark.parametrize(("model", "dataset"), CASES)
def test_level_probabilities_sum_to_one_and_are_normal_between_midpoints(model, dataset):
    design = model.design(cohort(dataset))
    parameters = hand_made(model, design)
    matrices = Matrices(X=design.formula.matrices.X[:7], Z=design.formula.matrices.Z[:7])
    averaged = model.averaged_levels(parameters, matrices, np.ones(7))
    np.testing.assert_allclose(averaged.sum(axis=1), 1.0, rtol=1e-12)
    p = parameters.isel(chain=0, draw=1)
    edges = np.concatenate([[-np.inf], (edss.LEVELS[:-1] + edss.LEVELS[1:]) / 2, [np.inf]])
    expected = np.zeros(20)
    for x, z in zip(matrices.X, matrices.Z, strict=True):
        variance = z @ p["patient_covariance"].to_numpy() @ z + float(p["residual_sd"]) ** 2
        mean = float(p["intercept"]) + x @ p["coefficients"].to_numpy()
        expected += np.diff(stats.norm(mean, np.sqrt(variance)).cdf(edges)) / 7
    np.testing.assert_allclose(averaged[1], expected, atol=1e-12)


def test_conditional_levels_and_mean_given_effects():
    model = GaussianMixed(SLOPES)
    design = model.design(cohort("slopes"))
    parameters = hand_made(model, design)
    matrices = Matrices(X=design.formula.matrices.X[:4], Z=design.formula.matrices.Z[:4])
    effects = np.random.default_rng(2).normal(size=(3, 4, 2)) * [1.0, 0.3]
    levels = model.conditional_levels(parameters, matrices, effects)
    mean = model.conditional_edss(parameters, matrices, effects)
    assert levels.shape == (3, 4, 20)
    np.testing.assert_allclose(levels.sum(axis=-1), 1.0, rtol=1e-12)
    p = parameters.isel(chain=0, draw=2)
    by_hand = (
        float(p["intercept"]) + matrices.X[3] @ p["coefficients"].to_numpy() + matrices.Z[3] @ effects[2, 3]
    )
    assert mean[2, 3] == pytest.approx(by_hand, rel=1e-12)
    normal = stats.norm(by_hand, float(p["residual_sd"]))
    assert levels[2, 3, 5] == pytest.approx(normal.cdf(3.25) - normal.cdf(2.75), abs=1e-13)
    assert levels[2, 3, 0] == pytest.approx(normal.cdf(0.5), rel=1e-10)
    assert levels[2, 3, 19] == pytest.approx(normal.sf(9.75), rel=1e-8, abs=1e-15)


def test_averages_equal_brute_force_over_new_patients():
    model = GaussianMixed(SLOPES)
    design = model.design(cohort("slopes"))
    parameters = hand_made(model, design, draws=1)
    matrices, weights = (
        Matrices(X=design.formula.matrices.X[:3], Z=design.formula.matrices.Z[:3]),
        np.array([1.0, 2, 5]),
    )
    p, n = parameters.isel(chain=0, draw=0), 400_000
    rng = np.random.default_rng(3)
    row = rng.choice(3, size=n, p=weights / weights.sum())
    u = rng.multivariate_normal(np.zeros(2), p["patient_covariance"].to_numpy(), size=n)
    number = (
        float(p["intercept"])
        + matrices.X[row] @ p["coefficients"].to_numpy()
        + (matrices.Z[row] * u).sum(axis=1)
    )
    number = number + rng.normal(0, float(p["residual_sd"]), n)
    mean = model.averaged_edss(parameters, matrices, weights)
    assert abs(mean[0] - number.mean()) < 4 * number.std() / np.sqrt(n)
    share = np.bincount(edss.code(recorded(number)), minlength=20) / n
    levels = model.averaged_levels(parameters, matrices, weights)[0]
    assert (np.abs(levels - share) < 4 * np.sqrt(levels * (1 - levels) / n) + 1e-6).all()


def test_expectation_is_the_average_of_one_row():
    model = GaussianMixed(SLOPES)
    design = model.design(cohort("slopes"))
    parameters = hand_made(model, design)
    rows = Matrices(X=design.formula.matrices.X[:5], Z=design.formula.matrices.Z[:5])
    one = Matrices(X=rows.X[[3]], Z=rows.Z[[3]])
    expectation = model.expectation(parameters, rows)
    assert expectation.dims == ("chain", "draw", "row")
    np.testing.assert_allclose(
        expectation[0, :, 3], model.averaged_edss(parameters, one, np.ones(1)), rtol=1e-12
    )


def test_probabilities_stay_finite_far_off_the_scale():
    model = GaussianMixed("edss ~ 1 + (1 | patient)")
    design = model.design(cohort("slopes"))
    parameters = hand_made(model, design, draws=2)
    parameters["intercept"][:] = [[-500.0, 500.0]]
    rows = Matrices(X=np.zeros((1, 0)), Z=np.ones((1, 1)))
    levels = model.averaged_levels(parameters, rows, np.ones(1))
    assert levels[0, 0] == pytest.approx(1.0)
    assert levels[1, 19] == pytest.approx(1.0)
    assert np.isfinite(model.log_likelihood(parameters, design)).all()


def test_recorded_rounds_to_the_twenty_levels_and_knows_no_half():
    assert recorded(np.array([0.49, 0.51, 1.24, 1.26, 9.74, 9.76, -3, 40])).tolist() == [
        0,
        1,
        1,
        1.5,
        9.5,
        10,
        0,
        10,
    ]
    np.testing.assert_array_equal(recorded(edss.LEVELS), edss.LEVELS)


def test_replicates_have_the_mean_spread_and_correlation_of_the_model():
    model = GaussianMixed("edss ~ years + (1 + years | patient)", residuals="ar1")
    design = model.design(cohort("ar1"))
    one = hand_made(model, design, draws=1)
    many = one.isel(draw=[0] * 4000)
    new = model.replicate(many, design, np.random.default_rng(4))
    assert new.dims == ("chain", "draw", "visit")
    residual = new[0].to_numpy() - fitted_means(one, design, 0)
    sd, time_range = float(one["residual_sd"][0, 0]), float(one["residual_range"][0, 0])
    np.testing.assert_allclose(residual.mean(axis=0), 0.0, atol=5 * sd / np.sqrt(4000))
    np.testing.assert_allclose(residual.std(axis=0), sd, rtol=5 / np.sqrt(8000))
    rows = np.flatnonzero(design.patient == 0)
    years = design.frame["years"].to_numpy()[rows]
    expected = np.exp(-np.abs(np.subtract.outer(years, years)) / time_range)
    np.testing.assert_allclose(np.corrcoef(residual[:, rows].T), expected, atol=5 / np.sqrt(4000))
    other = np.flatnonzero(design.patient == 1)[0]
    assert abs(np.corrcoef(residual[:, rows[0]], residual[:, other])[0, 1]) < 5 / np.sqrt(4000)
    apart = years[1] - years[0]
    assert model.residual_correlation(one, apart)[0] == pytest.approx(np.exp(-apart / time_range))


def test_independent_residuals_are_uncorrelated_and_replicate_so():
    model = GaussianMixed("edss ~ years + (1 | patient)")
    design = model.design(cohort("slopes"))
    one = hand_made(model, design, draws=1)
    new = model.replicate(one.isel(draw=[0] * 3000), design, np.random.default_rng(5))[0].to_numpy()
    residual = new - fitted_means(one, design, 0)
    assert residual.std() == pytest.approx(float(one["residual_sd"][0, 0]), rel=0.01)
    assert abs(np.corrcoef(residual[:, 0], residual[:, 1])[0, 1]) < 5 / np.sqrt(3000)
    assert model.residual_correlation(one, 0.5).tolist() == [0.0]


def test_order_of_visits_does_not_depend_on_the_order_of_rows():
    model = GaussianMixed("edss ~ years + (1 | patient)", residuals="ar1")
    design = model.design(cohort("ar1"))
    order = visit_order(design)
    frame = design.frame
    assert (order.follows == 0).sum() == design.n_patients
    later = order.follows > 0
    assert (frame["patient"].to_numpy()[order.previous] == frame["patient"].to_numpy()).all()
    np.testing.assert_allclose(
        order.gap[later], (frame["years"] - frame["years"].to_numpy()[order.previous])[later]
    )
    assert (order.gap > 0).all()
    shuffle = np.random.default_rng(6).permutation(len(frame))
    from trajectories.models.blocks.autoregression import _visit_order

    again = _visit_order(design.patient[shuffle], frame["years"].to_numpy()[shuffle])
    np.testing.assert_array_equal(shuffle[again.previous], order.previous[shuffle])
    np.testing.assert_array_equal(again.position, order.position[shuffle])


def test_correlated_noise_of_one_visit_is_scaled_noise():
    from trajectories.models.blocks.autoregression import _visit_order

    order = _visit_order(np.array([0, 1, 2]), np.zeros(3))
    noise = np.random.default_rng(7).normal(size=(2, 3))
    np.testing.assert_allclose(correlated_noise(order, [2.0, 3.0], [1.0, 1.0], noise), noise * [[2.0], [3.0]])


# The graph


@pytest.mark.parametrize(("model", "dataset"), CASES)
def test_graph_is_the_numpy_likelihood_plus_the_priors(model, dataset):
    design, graph = model.design(cohort(dataset)), graph_of(model, dataset)
    assert set(graph.coords) >= {"patient", "term", "effect"}
    start = graph.initial_point()
    assert np.isfinite(graph.compile_logp(mode=QUICK)(start))
    assert np.isfinite(graph.compile_dlogp(mode=QUICK)(start)).all()
    free = internal_draws(graph, draws=3, seed=8)
    likelihood = model.log_likelihood(model.parameters(free, design), design).sum("visit").to_numpy()[0]
    # The potential alone, as a function of the untransformed variables.
    potential = graph.compile_fn(
        graph.potentials[0], inputs=graph.free_RVs, on_unused_input="ignore", mode=QUICK
    )
    for draw in range(3):
        values = {name: array[0, draw] for name, array in free.items()}
        assert float(potential(values)) == pytest.approx(likelihood[draw], rel=1e-10)


@pytest.mark.parametrize(("model", "dataset"), CASES)
def test_graph_is_the_integrated_likelihood_the_priors_and_standard_normal_coordinates(model, dataset):
    """The density of the graph, split in another way: p(y | population parameters), their priors, and z ~ N(0, I)."""
    design, graph = model.design(cohort(dataset)), graph_of(model, dataset)
    logp = graph.compile_logp(jacobian=False, mode=QUICK)
    rng = np.random.default_rng(9)
    point = {k: value + 0.3 * rng.normal(size=np.shape(value)) for k, value in graph.initial_point().items()}
    free = untransformed(point)
    p = model.parameters({k: value[None, None] for k, value in free.items()}, design).isel(chain=0, draw=0)
    X, Z, years = design.formula.matrices.X, design.formula.matrices.Z, design.frame["years"].to_numpy()
    residual = design.outcome - float(p["intercept"]) - X @ p["coefficients"].to_numpy()
    expected = 0.0
    for patient in range(design.n_patients):
        rows = np.flatnonzero(design.patient == patient)
        R = np.eye(len(rows))
        if model.residuals == "ar1":
            R = np.exp(-np.abs(np.subtract.outer(years[rows], years[rows])) / float(p["residual_range"]))
        V = Z[rows] @ p["patient_covariance"].to_numpy() @ Z[rows].T + float(p["residual_sd"]) ** 2 * R
        expected += stats.multivariate_normal(np.zeros(len(rows)), V).logpdf(residual[rows])
    for name, value in free.items():
        if name.startswith("patient_coordinate"):
            expected += stats.norm.logpdf(value).sum()
    internal = free.get("coefficients_internal", np.zeros(0))
    expected += (
        stats.norm(4, 3).logpdf(free["intercept_internal"]).sum()
        + stats.norm.logpdf(internal).sum()  # rotated: see the next test
        + stats.halfnorm(scale=[2.5, *[1.0] * (len(design.effects) - 1)])
        .logpdf(free["patient_sd_internal"])
        .sum()
        + stats.halfnorm(scale=1.5).logpdf(free["residual_sd_internal"]).sum()
    )
    if model.residuals == "ar1":
        expected += stats.expon(scale=1.0).logpdf(free["residual_range_internal"]).sum()
    if len(design.effects) > 1:
        shape = {2: [2.0], 3: [2.5, 2.5, 2.0]}[len(design.effects)]
        expected += stats.beta(shape, shape).logpdf(free["patient_correlation_internal"]).sum()
    assert float(logp(point)) == pytest.approx(expected, rel=1e-9)


def test_coefficients_have_the_prior_shown_per_sd_of_their_column():
    model = GaussianMixed(SLOPES)
    design = model.design(cohort("slopes"))
    free = internal_draws(graph_of(model, "slopes"), draws=20_000, seed=13)
    X = design.formula.matrices.X
    scaled = coefficient_values(free, [Normal(0, 2)] * X.shape[1], (X - X.mean(axis=0)) / X.std(axis=0))[0]
    np.testing.assert_allclose(np.cov(scaled.T), 4 * np.eye(X.shape[1]), atol=0.2)


def test_prior_draws_of_patient_effects_do_not_see_the_outcome():
    """The coordinates are made from the outcome; drawn from the prior the effects are N(0, Σ) all the same."""
    import pymc as pm

    model = GaussianMixed("edss ~ years + (1 + years | patient)", residuals="ar1")
    design, graph, n = model.design(cohort("ar1")), graph_of(model, "ar1"), 2000
    names = [variable.name for variable in graph.free_RVs]
    drawn = pm.draw(
        [graph[name] for name in names], draws=n, random_seed=np.random.default_rng(14), mode=QUICK
    )
    raw = {name: np.asarray(values)[None] for name, values in zip(names, drawn, strict=True)}
    parameters = model.parameters(raw, design).isel(chain=0)
    root = np.linalg.cholesky(parameters["patient_covariance"].to_numpy())
    standard = np.linalg.solve(root, np.swapaxes(parameters["patient_effects"].to_numpy(), -1, -2))
    np.testing.assert_allclose(standard.mean(axis=0), 0.0, atol=5 / np.sqrt(n))
    np.testing.assert_allclose(standard.std(axis=0), 1.0, atol=5 / np.sqrt(2 * n))
    between = (standard[:, 0] * standard[:, 1]).mean(axis=0)
    np.testing.assert_allclose(between, 0.0, atol=5 / np.sqrt(n))


@pytest.mark.parametrize(("model", "dataset"), CASES)
def test_parameters_are_labelled_in_the_users_units(model, dataset):
    design = model.design(cohort(dataset))
    free = internal_draws(graph_of(model, dataset), draws=2, seed=10)
    parameters = model.parameters(free, design)
    wanted = {
        "intercept",
        "coefficients",
        "residual_sd",
        "patient_sd",
        "patient_covariance",
        "patient_effects",
    }
    wanted |= {"residual_range"} if model.residuals == "ar1" else set()
    wanted |= {"patient_correlation"} if len(design.effects) > 1 else set()
    assert set(parameters) == wanted
    assert parameters["coefficients"].dims == ("chain", "draw", "term")
    assert parameters["intercept"].dims == ("chain", "draw")
    assert parameters["term"].to_numpy().tolist() == list(design.terms)
    np.testing.assert_allclose(
        parameters["patient_sd"] ** 2,
        np.diagonal(parameters["patient_covariance"].to_numpy(), axis1=-2, axis2=-1),
    )


def test_intercept_is_the_mean_where_every_column_is_zero():
    model = GaussianMixed("edss ~ years + (1 | patient)")
    design = model.design(cohort("slopes"))
    free = internal_draws(graph_of(model, "slopes"), draws=2, seed=11)
    parameters = model.parameters(free, design)
    years = design.frame["years"]
    X = (design.formula.matrices.X - years.mean()) / years.std(ddof=0)
    beta = coefficient_values(free, [model.priors.coefficients], X)[0, :, 0] / years.std(ddof=0)
    np.testing.assert_allclose(parameters["coefficients"][0, :, 0], beta)
    np.testing.assert_allclose(
        parameters["intercept"][0], free["intercept_internal"][0, :, 0] - beta * years.mean(), rtol=1e-10
    )


# Specification and errors


def test_priors_are_visible_and_can_be_changed():
    model = GaussianMixed(SLOPES)
    assert model.priors == GaussianPriors()
    for name in (
        "intercept",
        "coefficients",
        "intercept_sd",
        "slope_sd",
        "correlation",
        "residual_sd",
        "residual_range",
    ):
        assert f"{name}=" in repr(model.priors)
    changed = model.with_priors(
        intercept=StudentT(3, 4, 2), residual_sd=Exponential(0.5), terms={"age": Normal(0, 0.1)}
    )
    design = changed.design(cohort("slopes"))
    free = internal_draws(changed.build(design), draws=2, seed=12)
    assert changed.parameters(free, design)["coefficients"].sizes["term"] == 4
    assert model.priors.residual_sd == HalfNormal(1.5)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="residuals must be 'independent' or 'ar1', not 'car'"):
        GaussianMixed(SLOPES, residuals="car")
    with pytest.raises(TypeError, match="prior of residual_sd must be HalfNormal"):
        GaussianPriors(residual_sd=Normal(0, 1))
    with pytest.raises(TypeError, match="prior of intercept must be Normal"):
        GaussianPriors(intercept=HalfNormal(1))
    with pytest.raises(FormulaError, match=r"add '\(1 \| patient\)'"):
        GaussianMixed("edss ~ years").design(cohort("slopes"))
    with pytest.raises(FormulaError, match="there is a prior for 'sex'"):
        GaussianMixed(SLOPES).with_priors(terms={"sex": Normal()}).design(cohort("slopes"))


def test_autocorrelation_needs_two_visits_of_somebody():
    visits = pd.DataFrame({"patient": ["a", "b", "c"], "day": [0, 0, 0], "edss": [2.0, 3.0, 4.0]})
    with pytest.raises(FormulaError, match="no patient has two visits"):
        GaussianMixed("edss ~ 1 + (1 | patient)", residuals="ar1").design(read_cohort(visits))


def test_limitations_say_what_the_scale_is_not_and_count():
    design = GaussianMixed(SLOPES).design(cohort("slopes"))
    said = GaussianMixed(SLOPES).limitations(design)
    ends = int(((design.outcome <= 1) | (design.outcome >= 8)).sum())
    assert len(said) == 2
    assert f"{ends} of {len(design.frame)} visits" in said[0]
    assert "may leave 0 to 10" in said[0]
    assert "near the top" in said[1]


def test_two_visits_share_their_residual_as_far_as_it_is_correlated():
    model = GaussianMixed("edss ~ years + (1 | patient)", residuals="ar1")
    lead = ("chain", "draw")
    parameters = xr.Dataset(
        {
            "intercept": (lead, [[4.0]]),
            "coefficients": ((*lead, "term"), [[[0.2]]]),
            "residual_sd": (lead, [[0.8]]),
            "residual_range": (lead, [[2.0]]),
        }
    )
    visits = tuple(Matrices(X=np.full((20_000, 1), t), Z=np.ones((20_000, 1))) for t in (0.0, 1.0))
    rng = np.random.default_rng(3)
    before, after = model.levels_at_two_visits(
        parameters, visits, np.zeros((1, 20_000, 1)), rng.normal(size=20_000), 1.0
    )
    joint = np.einsum("pk,pl->kl", before[0], after[0]) / 20_000
    rho = np.exp(-1 / 2.0)
    drawn = rng.multivariate_normal([4.0, 4.2], 0.64 * np.array([[1, rho], [rho, 1]]), size=200_000)
    seen = edss.code(recorded(drawn))
    counted = np.bincount(seen[:, 0] * 20 + seen[:, 1], minlength=400).reshape(20, 20) / 200_000
    # Monte Carlo error of a share is at most 0.0035 from 20,000 and 0.0011 from 200,000 draws
    np.testing.assert_allclose(joint, counted, atol=0.008)
    assert np.trace(joint) > 1.2 * np.trace(np.outer(joint.sum(1), joint.sum(0)))
