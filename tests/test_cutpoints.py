"""Cutpoints, level probabilities and their averages over patients, against brute force."""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, special, stats

from trajectories.models.blocks import levels
from trajectories.models.blocks.cutpoints import (
    SHRINKAGE,
    average_scale,
    averaged_cumulative,
    bounds,
    cutpoints_from_probabilities,
    log_share_within,
    nearer_cutpoints,
)
from trajectories.models.blocks.densities import FAR

LINKS = {"logit": special.expit, "probit": special.ndtr}


def brute_force(distance: float, sd: float, link: str) -> float:
    """∫ F(d − sd·z) φ(z) dz by adaptive quadrature, split where F jumps."""
    jump = np.clip(distance / sd, -8.9, 8.9)
    value, _ = integrate.quad(
        lambda z: LINKS[link](distance - sd * z) * stats.norm.pdf(z),
        -9,
        9,
        points=[jump],
        limit=400,
        epsabs=1e-13,
    )
    return value


# --- averages over patients -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("sd", [1e-3, 0.3, 1.0, 1.5, 3.0, 8.0, 25.0])
def test_average_over_patients_equals_quadrature(link, sd):
    distance = np.array([-40.0, -12.0, -3.0, -0.5, 0.0, 1.0, 4.0, 20.0])
    expected = [brute_force(d, sd, link) for d in distance]
    np.testing.assert_allclose(averaged_cumulative(distance, np.array(sd), link), expected, atol=2e-11)


def test_average_with_different_standard_deviations_at_once():
    distance, sd = np.array([[-1.0, 2.0], [0.5, 7.0]]), np.array([[0.0], [6.0]])
    together = averaged_cumulative(distance, sd, "logit")
    np.testing.assert_allclose(together[0], special.expit(distance[0]), atol=1e-12)
    np.testing.assert_allclose(together[1], [brute_force(d, 6.0, "logit") for d in distance[1]], atol=2e-11)


def test_average_equals_monte_carlo():
    u = np.random.default_rng(1).normal(0, 2.5, 400_000)
    drawn = special.expit(1.3 - u)
    expected = averaged_cumulative(np.array(1.3), np.array(2.5), "logit")
    assert expected == pytest.approx(drawn.mean(), abs=4 * drawn.std() / np.sqrt(drawn.size))


@given(distance=st.floats(-50, 50), sd=st.floats(0, 20))
def test_average_is_symmetric_and_between_the_unaveraged_and_a_half(distance, sd):
    both = averaged_cumulative(np.array([distance, -distance]), np.array(sd), "logit")
    assert both.sum() == pytest.approx(1.0, abs=1e-12)
    plain = special.expit(distance)
    low, high = sorted([plain, 0.5])
    assert low - 1e-12 <= both[0] <= high + 1e-12


# --- cutpoints from probabilities -----------------------------------------------------------------------------------


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("sd", [0.0, 0.7, 2.0, 5.0])
def test_levels_have_the_stated_probabilities_after_averaging(link, sd):
    rng = np.random.default_rng(2)
    p = rng.dirichlet(np.full(20, 1.0), size=50)
    scale = average_scale(np.full(50, sd**2), link, np)
    cutpoints = cutpoints_from_probabilities(p, scale, link, np)
    averaged = averaged_cumulative(cutpoints, np.array(sd), link)
    error = np.abs(averaged - np.cumsum(p, axis=1)[:, :-1]).max()
    # Exact for probit; for logit the error of the 0.346 approximation (Zeger, Liang and Albert 1988) in a cumulative probability.
    assert error < (1e-12 if link == "probit" or sd == 0 else 0.011)


@pytest.mark.parametrize("link", LINKS)
def test_cutpoints_ascend_and_stay_finite_with_empty_levels(link):
    p = np.zeros((3, 20))
    p[0, [4, 9]], p[1, 0], p[2, 19] = 0.5, 1.0, 1.0
    cutpoints = cutpoints_from_probabilities(p, np.ones(3), link, np)
    assert np.isfinite(cutpoints).all()
    assert (np.diff(cutpoints, axis=1) >= 0).all()
    assert np.abs(cutpoints).max() < 100
    np.testing.assert_allclose(cutpoints[0, 4:9], 0.0, atol=1e-12)


@pytest.mark.parametrize("link", LINKS)
def test_both_tails_keep_their_digits(link):
    tail = 1e-25
    p = np.full(20, (1 - 2 * tail) / 18)
    p[[0, -1]] = tail
    cutpoints = cutpoints_from_probabilities(p, 1.0, link, np)
    expected = np.log(tail) if link == "logit" else special.ndtri(tail)
    assert cutpoints[0] == pytest.approx(expected, rel=1e-12)
    assert cutpoints[-1] == pytest.approx(-expected, rel=1e-12)


@pytest.mark.parametrize("link", LINKS)
def test_cutpoints_in_pytensor_equal_numpy(link):
    p = np.random.default_rng(3).dirichlet(np.full(20, 0.1))
    x, v = pt.vector(), pt.scalar()
    out = cutpoints_from_probabilities(x, average_scale(v, link, pt), link, pt)
    compiled = pytensor.function([x, v], [out, pt.grad(out.sum(), x)], mode="FAST_COMPILE")
    value, gradient = compiled(p, 4.0)
    expected = cutpoints_from_probabilities(p, average_scale(4.0, link, np), link, np)
    np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-11)
    assert np.isfinite(gradient).all()


def test_scale_of_probit_is_exact_and_of_logit_the_published_constant():
    assert SHRINKAGE["probit"] == 1.0
    assert SHRINKAGE["logit"] == pytest.approx(0.346, abs=5e-4)
    assert average_scale(3.0, "probit", np) == 2.0


def test_bounds_hold_the_cutpoints_between_ends_beyond_them_all():
    cutpoints = np.arange(38.0).reshape(2, 19)
    ends = bounds(cutpoints, np)
    assert ends.shape == (2, 21)
    np.testing.assert_array_equal(ends[:, 1:-1], cutpoints)
    assert (ends[:, 0] == -FAR).all()
    assert (ends[:, -1] == FAR).all()
    np.testing.assert_array_equal(bounds(pt.as_tensor(cutpoints[0]), pt).eval(), ends[0])


def test_shares_within_levels_equal_those_of_the_cutpoints_differences():
    rng = np.random.default_rng(4)
    logs, scale = (
        np.log(rng.dirichlet(np.full(20, 2.0), size=30)),
        average_scale(np.full(30, 4.0), "logit", np),
    )
    shares = log_share_within(logs, scale, np)
    cutpoints = cutpoints_from_probabilities(np.exp(logs), scale, "logit", np)
    np.testing.assert_allclose(shares[:, 1:-1], np.log(-np.expm1(-np.diff(cutpoints))), rtol=1e-9)
    assert (shares[:, [0, -1]] == 0).all()


@pytest.mark.parametrize("tiny", [-30.0, -200.0, -2000.0])
def test_a_level_far_rarer_than_any_number_keeps_its_share_and_its_gradient(tiny):
    logs = np.full(20, np.log(1 / 19))
    logs[9] = tiny
    x, scale = pt.vector(), 1.7
    share = log_share_within(x, scale, pt)
    value, gradient = pytensor.function([x], [share, pt.grad(share[9], x)], mode="FAST_COMPILE")(logs)
    np.testing.assert_allclose(value, log_share_within(logs, scale, np), rtol=1e-12)
    # width = scale · p (1 / below + 1 / above) to first order, so the share is its logarithm
    assert value[9] == pytest.approx(tiny + np.log(scale * (19 / 9 + 19 / 10)), rel=1e-9)
    assert gradient[9] == pytest.approx(1.0, rel=1e-9)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("median", range(20))
def test_levels_lean_on_the_cutpoint_towards_the_median(median):
    nearer = nearer_cutpoints(median)
    k = np.arange(20)
    assert ((nearer == k) | (nearer == k - 1)).all()
    assert nearer.min() >= 0
    assert nearer.max() <= 18
    assert (nearer[k < median] == k[k < median]).all()
    assert (nearer[k > max(median, 1)] == k[k > max(median, 1)] - 1).all()


# --- the prior of the level probabilities ---------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.1, 0.02, 1.0, 3.0])
def test_scores_drawn_from_the_prior_make_dirichlet_probabilities(alpha):
    scores = levels.draw_scores(alpha, (4000, 20), np.random.default_rng(5))
    p = levels.probabilities(scores, alpha, np)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    for k in (0, 7, 19):
        assert stats.kstest(p[:, k], stats.beta(alpha, 19 * alpha).cdf).pvalue > 1e-3
    assert stats.kstest(p[:, :6].sum(axis=1), stats.beta(6 * alpha, 14 * alpha).cdf).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [0.1, 0.025, 1.0, 3.0])
def test_density_of_scores_is_that_of_a_dirichlet_vector_and_a_total(alpha):
    # The density of (p_1 … p_4, log T) times the Jacobian of the scores, by differences.
    rng, size = np.random.default_rng(8), 5
    parts = levels.draw_scores(alpha, (40, size), rng) + rng.normal(0, 0.2, (40, size))

    def transformed(scores, left_out):
        logs = levels.log_mass(scores, alpha, np)
        total = special.logsumexp(logs)
        return np.append(
            np.delete(logs - total, left_out), total
        )  # log p is as good as p, with its own Jacobian

    by_hand = []
    for scores in parts:
        log_p = levels.log_probabilities(scores, alpha, np)
        rest = int(np.argmax(log_p))  # any can be left out, but others may be 0 to machine precision
        moves = 1e-5 * np.eye(size)
        jacobian = (
            np.array([transformed(scores + m, rest) - transformed(scores - m, rest) for m in moves]) / 2e-5
        )
        dirichlet = (alpha - 1) * log_p.sum() + np.delete(log_p, rest).sum()
        total = transformed(scores, rest)[-1]
        by_hand.append(dirichlet - 0.5 * ((total - 7.0) / 0.5) ** 2 + np.linalg.slogdet(jacobian)[1])
    difference = levels.log_density(parts, alpha, np) - np.array(by_hand)
    np.testing.assert_allclose(difference, difference[0], atol=1e-5)


@given(x=st.floats(-25, 20), alpha=st.sampled_from([0.05, 0.1, 0.5, 1.0, 2.0]))
def test_scores_invert_the_mass(x, alpha):
    logs = levels.log_mass(np.array([x]), alpha, np)
    assert levels.scores_of(logs, alpha)[0] == pytest.approx(x, abs=1e-9)


def test_scores_in_pytensor_equal_numpy_with_finite_gradients():
    scores = np.array([-30.0, -8.0, -1.0, 0.0, 2.0, 6.0])
    x = pt.vector()
    p, density = levels.probabilities(x, 0.1, pt), levels.log_density(x, 0.1, pt)
    compiled = pytensor.function([x], [p, density, pt.grad(density, x)], mode="FAST_COMPILE")
    value, logs, gradient = compiled(scores)
    np.testing.assert_allclose(value, levels.probabilities(scores, 0.1, np), rtol=1e-12)
    np.testing.assert_allclose(logs, levels.log_density(scores, 0.1, np), rtol=1e-12)
    assert np.isfinite(gradient).all()


def test_averaged_level_probabilities_of_prior_draws_are_dirichlet():
    # The whole induced prior: scores → probabilities → cutpoints with the patient SD → averaged over patients again.
    rng, alpha = np.random.default_rng(6), 0.1
    p = levels.probabilities(levels.draw_scores(alpha, (1500, 20), rng), alpha, np)
    sd = np.abs(rng.normal(0, 5, 1500))
    cutpoints = cutpoints_from_probabilities(p, average_scale(sd**2, "logit", np), "logit", np)
    averaged = np.concatenate(
        [averaged_cumulative(c[None], s, "logit") for c, s in zip(cutpoints, sd, strict=True)]
    )
    error = np.abs(averaged - np.cumsum(p, axis=1)[:, :-1])
    assert error.max() < 0.011
    below_4 = averaged[:, 7]  # EDSS 0 … 4.0 are 8 of 20 levels
    assert stats.kstest(below_4, stats.beta(8 * alpha, 12 * alpha).cdf).statistic < 0.05
