"""ML and REML of the Gaussian mixed model against lme4, nlme, statsmodels and multivariate normal densities.

Tolerances: log-likelihoods agree with lme4 to 1e-9 (both are exact; lme4's optimiser stops at 1e-10 in its parameters);
estimates and standard errors to 1e-6 relative, covariances to 1e-5, as an error d in a parameter at the optimum moves the
log-likelihood by d² only. nlme's standard errors of variance parameters come from coarser finite differences: 1 %.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from trajectories.fitting import mixedlm
from trajectories.fitting.diagnostics import ConvergenceError
from trajectories.fitting.marginal_gaussian import moments, pack, profile, unpack
from trajectories.fitting.mixedlm import Attempt, fit_mixedlm
from trajectories.fitting.peak import climb
from trajectories.formulas import FormulaError
from trajectories.models.gaussian import GaussianMixed
from trajectories.reading import read_cohort

sys.path.insert(0, str(Path(__file__).parent))
from gaussian_cases import REFERENCE, cohort, graph_of, hand_made, internal_draws

SLOPES = "edss ~ arm * years + age + (1 + years | patient)"
FORMULAS = {
    "slopes": ("slopes", SLOPES),
    "intercepts": ("slopes", "edss ~ arm * years + (1 | patient)"),
    "singular": ("singular", "edss ~ years + (1 + years | patient)"),
}


@pytest.fixture(scope="module")
def reference():
    table = pd.read_csv(REFERENCE / "gaussian_reference.csv")
    return table.set_index(["case", "quantity"])["value"]


@pytest.fixture(scope="module")
def fits():
    made = {}
    for name, (dataset, formula) in FORMULAS.items():
        model = GaussianMixed(formula)
        for reml in (False, True):
            fit = fit_mixedlm(model, model.design(cohort(dataset)), reml=reml)
            made[f"{name}_{'reml' if reml else 'ml'}"] = fit
    return made


CASES = [f"{name}_{kind}" for name in FORMULAS for kind in ("ml", "reml")]


# lme4 and nlme


@pytest.mark.parametrize("case", CASES)
def test_log_likelihood_and_estimates_are_those_of_lme4(case, fits, reference):
    fit, expected = fits[case], reference[case]
    assert fit.loglik == pytest.approx(expected["loglik"], abs=1e-8)
    values, errors = fit.estimates, fit.standard_errors
    assert float(values["intercept"]) == pytest.approx(expected["estimate intercept"], rel=1e-6)
    assert float(errors["intercept"]) == pytest.approx(expected["se intercept"], rel=1e-6)
    for term in fit.design.terms:
        assert float(values["coefficients"].sel(term=term)) == pytest.approx(
            expected[f"estimate {term}"], rel=1e-6
        )
        assert float(errors["coefficients"].sel(term=term)) == pytest.approx(expected[f"se {term}"], rel=1e-6)
    covariance = values["patient_covariance"]
    for i, effect in enumerate(fit.design.effects):
        for other in fit.design.effects[: i + 1]:
            found = float(covariance.sel(effect=effect, other_effect=other))
            assert found == pytest.approx(expected[f"covariance {effect} {other}"], rel=1e-5)
    assert float(values["residual_sd"]) == pytest.approx(expected["residual_sd"], rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_singularity_is_said_where_lme4_says_it(case, fits, reference):
    said = [note for note in fits[case].notes if "singular" in note]
    assert len(said) == int(reference[case, "singular"])
    if said:
        assert "rank 1 in place of 2" in said[0]
        correlation = fits[case].estimates["patient_correlation"]
        assert float(correlation.item()) == pytest.approx(-1.0, abs=1e-9)


@pytest.mark.parametrize("kind", ["ml", "reml"])
def test_standard_errors_of_variances_are_those_of_nlme(kind, fits, reference):
    fit, expected = fits[f"slopes_{kind}"], reference[f"slopes_nlme_{kind}"]
    assert fit.loglik == pytest.approx(expected["loglik"], abs=1e-8)
    log_sd = fit.standard_errors["patient_sd"] / fit.estimates["patient_sd"]
    assert float(log_sd.sel(effect="intercept")) == pytest.approx(expected["se log sd(intercept)"], rel=0.01)
    assert float(log_sd.sel(effect="years")) == pytest.approx(expected["se log sd(years)"], rel=0.01)
    rho, se = fit.estimates["patient_correlation"].item(), fit.standard_errors["patient_correlation"].item()
    assert se / (1 - rho**2) == pytest.approx(expected["se atanh cor"], rel=0.01)
    residual = float(fit.standard_errors["residual_sd"] / fit.estimates["residual_sd"])
    assert residual == pytest.approx(expected["se log residual_sd"], rel=0.001)


def test_ar1_density_integrates_to_the_log_likelihood_of_nlme(reference):
    """p(y) = p(y | u) p(u) / p(u | y) at any u: our conditional density with corCAR1's estimates gives nlme's log-likelihood."""
    model = GaussianMixed("edss ~ arm * years + (1 + years | patient)", residuals="ar1")
    design, at = model.design(cohort("ar1")), reference["ar1"]
    one = hand_made(model, design, draws=1)
    G = np.array(
        [
            [at["covariance intercept intercept"], at["covariance years intercept"]],
            [at["covariance years intercept"], at["covariance years years"]],
        ]
    )
    beta = np.array([at[f"estimate {term}"] for term in design.terms])
    one["intercept"][:], one["coefficients"][:] = at["estimate intercept"], beta
    one["residual_sd"][:], one["residual_range"][:] = at["residual_sd"], at["residual_range"]
    u = one["patient_effects"].to_numpy()[0, 0]
    total = float(model.log_likelihood(one, design).sum())
    residual = design.outcome - at["estimate intercept"] - design.formula.matrices.X @ beta
    years = design.frame["years"].to_numpy()
    for patient in range(design.n_patients):
        rows = np.flatnonzero(design.patient == patient)
        Z = design.formula.matrices.Z[rows]
        apart = np.abs(np.subtract.outer(years[rows], years[rows]))
        R = at["residual_sd"] ** 2 * np.exp(-apart / at["residual_range"])
        precision = np.linalg.inv(G) + Z.T @ np.linalg.solve(R, Z)
        centre = np.linalg.solve(precision, Z.T @ np.linalg.solve(R, residual[rows]))
        total += stats.multivariate_normal(np.zeros(2), G).logpdf(u[patient])
        total -= stats.multivariate_normal(centre, np.linalg.inv(precision)).logpdf(u[patient])
    assert total == pytest.approx(reference["ar1", "loglik"], abs=1e-6)


# The integrated likelihood


@pytest.mark.parametrize("effects", ["1", "1 + years", "1 + years + on_treatment(years)"])
def test_integrated_likelihood_is_the_multivariate_normal_density(effects):
    design = GaussianMixed(f"edss ~ arm * years + ({effects} | patient)").design(cohort("slopes"))
    X = np.column_stack([np.ones(len(design.frame)), design.formula.matrices.X])
    Z, y, q = design.formula.matrices.Z, design.outcome, len(design.effects)
    rng = np.random.default_rng(1)
    factor = np.tril(rng.normal(size=(q, q)))
    V = np.zeros((len(y), len(y)))
    for patient in range(design.n_patients):
        rows = np.flatnonzero(design.patient == patient)
        V[np.ix_(rows, rows)] = Z[rows] @ factor @ factor.T @ Z[rows].T + 0.49 * np.eye(len(rows))
    information = X.T @ np.linalg.solve(V, X)
    beta = np.linalg.solve(information, X.T @ np.linalg.solve(V, y))
    expected = stats.multivariate_normal(X @ beta, V).logpdf(y)
    found = profile(moments(X, Z, y, design.patient), factor, 0.7, reml=False)
    assert found.loglik == pytest.approx(expected, rel=1e-11)
    np.testing.assert_allclose(found.fixed, beta, rtol=1e-9)
    np.testing.assert_allclose(found.covariance, np.linalg.inv(information), rtol=1e-8)
    restricted = profile(moments(X, Z, y, design.patient), factor, 0.7, reml=True)
    adjusted = expected - np.linalg.slogdet(information)[1] / 2 + X.shape[1] * np.log(2 * np.pi) / 2
    assert restricted.loglik == pytest.approx(adjusted, rel=1e-11)


def test_integrated_likelihood_does_not_depend_on_the_order_of_rows():
    design = GaussianMixed(SLOPES).design(cohort("slopes"))
    X, Z, y = design.formula.matrices.X, design.formula.matrices.Z, design.outcome
    shuffle = np.random.default_rng(2).permutation(len(y))
    factor = np.array([[1.0, 0.0], [0.2, 0.4]])
    first = profile(moments(X, Z, y, design.patient), factor, 0.6, reml=True)
    again = profile(
        moments(X[shuffle], Z[shuffle], y[shuffle], design.patient[shuffle]), factor, 0.6, reml=True
    )
    assert again.loglik == pytest.approx(first.loglik, rel=1e-12)


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_pack_and_unpack_are_inverse_also_for_singular_covariances(rank):
    root = np.random.default_rng(3).normal(size=(3, max(rank, 1))) * (rank > 0)
    factor, residual_sd = unpack(pack(root @ root.T, 0.8), 3)
    np.testing.assert_allclose(factor @ factor.T, root @ root.T, atol=1e-12)
    assert float(residual_sd) == pytest.approx(0.8)


def test_peak_of_a_parabola_and_of_a_flat_top():
    information = np.array([[4.0, 1.0], [1.0, 2.0]])
    top = climb(lambda t: -float((t - [1, 2]) @ information @ (t - [1, 2])) / 2, np.zeros(2))
    assert top.converged
    np.testing.assert_allclose(top.theta, [1, 2], atol=1e-6)
    np.testing.assert_allclose(top.covariance, np.linalg.inv(information), rtol=1e-4)
    flat = climb(lambda t: -float(t[0] ** 4), np.zeros(1))
    assert np.sqrt(flat.covariance[0, 0]) == pytest.approx(0.5**0.25, rel=1e-3)
    assert not climb(lambda t: -float(t[0] ** 2), np.zeros(2)).converged


# statsmodels, and what it may hide


@pytest.mark.parametrize("reml", [False, True])
def test_result_is_that_of_mixedlm_itself(reml, fits):
    from statsmodels.regression.mixed_linear_model import MixedLM

    fit = fits["slopes_reml" if reml else "slopes_ml"]
    design = fit.design
    X = np.column_stack([np.ones(len(design.frame)), design.formula.matrices.X])
    other = MixedLM(design.outcome, X, groups=design.patient, exog_re=design.formula.matrices.Z).fit(
        reml=reml
    )
    assert other.converged
    assert fit.loglik == pytest.approx(other.llf, abs=1e-6)
    np.testing.assert_allclose(fit.estimates["coefficients"], other.fe_params[1:], rtol=1e-4)
    # MixedLM inverts the whole observed information; ours are lme4's, see `fixed_covariance`.
    np.testing.assert_allclose(fit.standard_errors["coefficients"], other.bse_fe[1:], rtol=0.05)
    np.testing.assert_allclose(fit.estimates["patient_covariance"], other.cov_re, rtol=1e-3)
    assert {attempt.converged for attempt in fit.attempts} == {True}
    logliks = [attempt.loglik for attempt in fit.attempts]
    assert len(logliks) >= 2
    np.testing.assert_allclose(logliks, fit.loglik, atol=1e-5)


def test_failed_optimisers_are_said(fits):
    fit = fits["singular_ml"]
    failed = [attempt for attempt in fit.attempts if not attempt.converged]
    assert failed, "statsmodels no longer fails here: find another example"
    said = next(note for note in fit.notes if "optimisers disagreed" in note)
    for attempt in failed:
        assert attempt.method in said


def test_no_convergence_is_an_error_that_lists_what_was_tried(monkeypatch):
    model = GaussianMixed(SLOPES)
    design = model.design(cohort("slopes"))

    def stuck(*arguments):
        name = arguments[-1] if isinstance(arguments[-1], str) else mixedlm.OWN
        return Attempt(method=name, loglik=-400.0, converged=False, said="did not converge")

    monkeypatch.setattr(mixedlm, "_by_statsmodels", stuck)
    monkeypatch.setattr(mixedlm, "_by_own_likelihood", stuck)
    with pytest.raises(ConvergenceError, match="no optimiser converged") as caught:
        fit_mixedlm(model, design)
    for text in (*mixedlm.OPTIMISERS, "-400.0000", "1. simplify", "3. estimate it with priors"):
        assert text in str(caught.value)


def test_no_residual_variance_is_an_error():
    days = [0, 100, 200, 300]
    visits = pd.DataFrame(
        [(i, d, 2.0 + (i % 5)) for i in range(20) for d in days], columns=["patient", "day", "edss"]
    )
    model = GaussianMixed("edss ~ 1 + (1 | patient)")
    with pytest.raises(ConvergenceError, match="the mixed model could not be fitted"):
        fit_mixedlm(model, model.design(read_cohort(visits)))
    same = visits.assign(edss=2.0)
    with pytest.raises(ValueError, match="every EDSS is 2: there is no variance"):
        fit_mixedlm(model, model.design(read_cohort(same)))


def test_what_mixedlm_cannot_fit_is_refused():
    model = GaussianMixed("edss ~ years + (1 | patient)", residuals="ar1")
    with pytest.raises(ValueError, match=r"independent residuals only.*tj\.sample"):
        fit_mixedlm(model, model.design(cohort("ar1")))
    two = pd.DataFrame(
        [(i, d, 2.0 + d / 100) for i in range(6) for d in (0, 100)], columns=["patient", "day", "edss"]
    )
    two["edss"] += two["patient"] % 2
    model = GaussianMixed("edss ~ 1 + (1 + years | patient)")
    with pytest.raises(FormulaError, match="12 visits of 6 patients cannot tell 2 effects a patient"):
        fit_mixedlm(model, model.design(read_cohort(two)))


# Draws


@pytest.mark.parametrize("case", ["slopes_ml", "intercepts_reml", "singular_ml"])
def test_draws_have_the_shape_of_the_models_parameters(case, fits):
    fit = fits[case]
    dataset, formula = FORMULAS[case.split("_")[0]]
    model = GaussianMixed(formula)
    internal = internal_draws(graph_of(model, dataset), draws=5, seed=1)
    like = model.parameters(internal, fit.design).drop_vars(["patient_effects", "patient"])
    draws = fit.draws(5, seed=1)
    assert set(draws) == set(like)
    for name in like:
        assert draws[name].dims == like[name].dims
        assert draws[name].shape == like[name].shape
    for coordinate in ("term", "effect"):
        assert draws[coordinate].to_numpy().tolist() == like[coordinate].to_numpy().tolist()
    levels = model.averaged_levels(draws, fit.design.formula.matrices, np.ones(len(fit.design.frame)))
    np.testing.assert_allclose(levels.sum(axis=1), 1.0)


def test_draws_have_the_mean_and_spread_of_the_estimates(fits):
    fit, n = fits["slopes_ml"], 40_000
    draws = fit.draws(n, seed=2).isel(chain=0)
    error = 5 / np.sqrt(n)
    z = (draws["coefficients"] - fit.estimates["coefficients"]) / fit.standard_errors["coefficients"]
    assert (abs(z.mean("draw")) < error).all()
    np.testing.assert_allclose(z.std("draw"), 1.0, atol=error)
    stacked = np.column_stack([draws["intercept"], draws["coefficients"]])
    correlation = np.corrcoef(stacked.T)
    expected = fit.fixed_covariance / np.sqrt(
        np.outer(np.diag(fit.fixed_covariance), np.diag(fit.fixed_covariance))
    )
    np.testing.assert_allclose(correlation, expected, atol=error)
    log_residual = np.log(draws["residual_sd"])
    relative = float(fit.standard_errors["residual_sd"] / fit.estimates["residual_sd"])
    assert float(log_residual.std()) == pytest.approx(relative, rel=0.02)
    # A standard deviation is not normal: its spread is the delta method's up to its own skewness.
    spread = draws["patient_sd"].std("draw") / fit.standard_errors["patient_sd"]
    np.testing.assert_allclose(spread, 1.0, atol=0.1)


def test_draws_are_valid_and_repeatable_at_a_singular_covariance(fits):
    fit = fits["singular_ml"]
    draws = fit.draws(4000, seed=3)
    smallest = np.linalg.eigvalsh(draws["patient_covariance"].to_numpy()).min()
    assert smallest > -1e-12
    assert (abs(draws["patient_correlation"]) <= 1 + 1e-12).all()
    # The slopes' sd is estimated as 0.01 with little information: draws reach zero and stay on the scale of the data.
    slope = draws["patient_sd"].sel(effect="years")
    assert float(slope.min()) < 0.03
    assert 0.2 < float(slope.quantile(0.99)) < 1.0
    assert draws.identical(fit.draws(4000, seed=3))
    assert not draws.identical(fit.draws(4000, seed=4))
    with pytest.raises(ValueError, match="n must be at least 1"):
        fit.draws(0)


# Invariance


@pytest.mark.parametrize("reml", [False, True])
def test_days_in_place_of_years_change_the_units_only(reml, fits):
    by_years = fits["slopes_reml" if reml else "slopes_ml"]
    model = GaussianMixed("edss ~ arm * day + age + (1 + day | patient)")
    by_days = fit_mixedlm(model, model.design(cohort("slopes")), reml=reml)
    # |X'V⁻¹X| carries the units of two columns with time in them.
    jacobian = 2 * np.log(365.25) if reml else 0.0
    assert by_days.loglik == pytest.approx(by_years.loglik - jacobian, abs=1e-6)
    ratio = by_years.estimates["coefficients"].sel(term="years") / by_days.estimates["coefficients"].sel(
        term="day"
    )
    assert float(ratio) == pytest.approx(365.25, rel=1e-4)
    sd = by_years.estimates["patient_sd"].to_numpy() / by_days.estimates["patient_sd"].to_numpy()
    np.testing.assert_allclose(sd, [1.0, 365.25], rtol=1e-4)
    assert any("REML" in note for note in by_days.notes) is reml


def test_number_of_parameters_counts_covariances(fits):
    assert fits["slopes_ml"].n_parameters == 5 + 3 + 1
    assert fits["intercepts_ml"].n_parameters == 4 + 1 + 1
