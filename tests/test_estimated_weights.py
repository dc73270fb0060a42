"""Standard errors that allow for the estimation of propensities, against the bootstrap that estimates everything anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import trajectories as tj
from trajectories import models
from trajectories.weighting.targets import probabilities_of

PAIR = ("alemtuzumab", "fingolimod")


@pytest.fixture(scope="module")
def cohort() -> tj.Cohort:
    return tj.simulated_three_dmts_400()


@pytest.fixture(scope="module")
def scores(cohort):
    return tj.propensity(cohort, "arm ~ age + edss_baseline + relapses_year_before")


@pytest.fixture(scope="module")
def overlap(scores):
    return tj.weights(scores, "ATO")


def sd_of_log(estimate):
    return np.log(estimate.draws).std(("chain", "draw")).to_numpy()


def test_influences_are_those_of_leaving_a_patient_out(cohort, scores):
    """γ̂ without a patient is γ̂ less the patient's influence, to first order."""
    influence = tj.weights(scores, "ATE").estimation.influence
    for place in (0, 150, 399):
        others = cohort.only(cohort.patients["patient"].drop(place).tolist())
        without = tj.propensity(others, scores.formula).coefficients.T.ravel()
        moved = scores.coefficients.T.ravel() - without
        se = np.sqrt(np.diag(scores.covariance))
        np.testing.assert_allclose(influence.iloc[place] / se, moved / se, atol=0.02)


@pytest.mark.parametrize("target", ["ATE", "ATO", "matching"])
def test_slopes_move_the_weights_as_other_coefficients_do(scores, target):
    made = tj.weights(scores, target)
    step = 1e-5 * np.sqrt(np.diag(scores.covariance))
    moved = scores.coefficients + step.reshape(scores.coefficients.T.shape).T
    e = probabilities_of(scores.cases.X, moved)
    others = replace(
        scores,
        coefficients=moved,
        probabilities=scores.probabilities.copy().assign(**dict(zip(scores.arms, e.T, strict=True))),
    )
    there = tj.weights(others, target)
    for name in ("values", "standardisation"):
        slopes = getattr(made.estimation, name).to_numpy()
        np.testing.assert_allclose(
            getattr(there, name) - getattr(made, name), slopes @ step, atol=2e-3 * np.abs(slopes @ step).max()
        )


def test_a_weighted_fit_is_as_sure_as_its_bootstrap(cohort, overlap):
    """Relapses before the start are balanced by weights that were estimated from them: known, they seem to leave thrice the error."""
    model = models.RelapseCounts("relapses ~ arm * period")
    fits = [tj.maximise(model, cohort, weights=w) for w in (overlap, replace(overlap, estimation=None))]
    estimated, known = (
        sd_of_log(tj.contrast(tj.relapse_rate(fit), *PAIR, scale="ratio", weights=fit.weights))
        for fit in fits
    )
    bootstrap = sd_of_log(
        tj.contrast(
            tj.relapse_rate(fits[0]),
            *PAIR,
            scale="ratio",
            weights=overlap,
            bootstrap=tj.Bootstrap(n=400, seed=1),
        )
    )
    np.testing.assert_allclose(estimated, bootstrap, rtol=0.12)  # an SD of 400 has an error of 4 %
    assert known[0] > 2.5 * bootstrap[0]
    assert any("allow for the estimation" in caveat for caveat in fits[0].caveats)
    assert any("take the weights as known" in caveat for caveat in fits[1].caveats)


def test_a_weighted_gaussian_fit_is_as_sure_as_its_bootstrap(cohort, overlap):
    fit = tj.maximise(models.GaussianMixed("edss ~ arm * years + (1 | patient)"), cohort, weights=overlap)
    ask = {"weights": overlap}
    estimated = float(tj.contrast(tj.expected_edss(fit, 2.0), *PAIR, **ask).draws.std())
    bootstrap = tj.contrast(tj.expected_edss(fit, 2.0), *PAIR, **ask, bootstrap=tj.Bootstrap(n=200, seed=2))
    assert estimated == pytest.approx(float(bootstrap.draws.std()), rel=0.15)
    known = tj.maximise(fit.model, cohort, weights=replace(overlap, estimation=None)).summary()["se"]
    assert (fit.summary()["se"]["arm[alemtuzumab]"]) < 0.7 * known["arm[alemtuzumab]"]


def test_augmented_rates_are_as_sure_as_their_bootstrap(cohort, overlap):
    fit = tj.maximise(models.RelapseCounts("relapses ~ arm * period"), cohort)
    ask = {"scale": "ratio", "weights": overlap, "augmented": True}
    estimated = sd_of_log(tj.contrast(tj.relapse_rate(fit), *PAIR, **ask))
    bootstrap = sd_of_log(
        tj.contrast(tj.relapse_rate(fit), *PAIR, **ask, bootstrap=tj.Bootstrap(n=400, seed=3))
    )
    np.testing.assert_allclose(estimated, bootstrap, rtol=0.12)


def test_a_dispersion_of_0_leaves_the_other_errors_known(cohort, scores):
    weights = tj.weights(scores, "ATE")
    fit = tj.maximise(
        models.RelapseCounts("relapses ~ arm * period + (1 | patient)"), cohort, weights=weights
    )
    assert any("went to 0" in note for note in fit.solution.notes)
    assert fit.summary()["se"].drop("dispersion").gt(0).all()
    assert float(tj.relapse_rate(fit).draws.std(("chain", "draw")).min()) > 0.01
