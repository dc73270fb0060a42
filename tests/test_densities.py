"""Log-densities against scipy at random points and at the extremes, and PyTensor's against NumPy's."""

from __future__ import annotations

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trajectories.models.blocks.cutpoints import bounds
from trajectories.models.blocks.densities import (
    FAR,
    negative_binomial_logpmf,
    normal_logpdf,
    ordinal_logpmf,
    poisson_logpmf,
)

LINKS = {"logit": stats.logistic, "probit": stats.norm}
distance = st.floats(-30, 30)
width = st.floats(1e-6, 30)


def in_pytensor(function, *arguments):
    """Evaluate a density and its gradients by the first argument in PyTensor, without compiling."""
    inputs = [pt.vector() for _ in arguments]
    density = function(*inputs, pt)
    gradients = pt.grad(density.sum(), inputs)
    compiled = pytensor.function(inputs, [density, *gradients], mode="FAST_COMPILE")
    value, *slopes = compiled(*[np.asarray(a, dtype=float) for a in arguments])
    return value, slopes


# --- ordinal --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", LINKS)
@given(lower=distance, width=width)
def test_ordinal_equals_the_difference_of_distribution_functions(link, lower, width):
    upper, scipy_link = lower + width, LINKS[link]
    # On the side where both are in the lower tail, where the difference keeps its digits.
    a, b = (upper, lower) if upper + lower < 0 else (-lower, -upper)
    probability = scipy_link.cdf(a) - scipy_link.cdf(b)
    logpmf = float(ordinal_logpmf(np.array(upper), np.array(lower), link, np))
    if probability > 0 and (a - b) > 1e-3:
        assert logpmf == pytest.approx(np.log(probability), abs=1e-9, rel=1e-9)
    elif probability > 0:  # narrow: density times width
        middle = (a + b) / 2
        assert logpmf == pytest.approx(scipy_link.logpdf(middle) + np.log(a - b), abs=1e-3)
    assert np.isfinite(logpmf)


@pytest.mark.parametrize("link", LINKS)
@given(eta=st.floats(-40, 40), seed=st.integers(0, 1000))
def test_probabilities_of_the_levels_sum_to_one(link, eta, seed):
    cutpoints = np.sort(np.random.default_rng(seed).normal(0, 5, 19))
    ends = bounds(cutpoints, np) - eta
    total = np.exp(ordinal_logpmf(ends[1:], ends[:-1], link, np)).sum()
    assert total == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("link", LINKS)
def test_ordinal_is_finite_and_right_far_out(link):
    eta = np.array([-300.0, -60.0, 0.0, 60.0, 300.0])
    for upper, lower in ((0.5, -0.5), (FAR, 2.0), (-2.0, -FAR)):
        value = ordinal_logpmf(upper - eta, lower - eta, link, np)
        assert np.isfinite(value).all()
        assert (value <= 0).all()
    lowest = ordinal_logpmf(-2.0 - eta, -FAR - eta, link, np)
    np.testing.assert_allclose(lowest, LINKS[link].logcdf(-2.0 - eta), rtol=1e-12, atol=1e-15)
    highest = ordinal_logpmf(FAR - eta, 2.0 - eta, link, np)
    np.testing.assert_allclose(highest, LINKS[link].logsf(2.0 - eta), rtol=1e-12, atol=1e-15)


def test_ordinal_takes_the_share_of_a_narrow_level_as_given():
    upper, lower = np.array([0.5, -3.0, 20.0]), np.array([-0.5, -3.5, 19.0])
    within = np.log(-np.expm1(lower - upper))
    np.testing.assert_allclose(
        ordinal_logpmf(upper, lower, "logit", np, within),
        ordinal_logpmf(upper, lower, "logit", np),
        rtol=1e-13,
    )
    # A level of width 1e-30 around 1.0 has the density there times the width; the difference of its cutpoints is 0.
    narrow = ordinal_logpmf(np.array(1.0), np.array(1.0), "logit", np, within=np.log(1e-30))
    assert narrow == pytest.approx(stats.logistic.logpdf(1.0) + np.log(1e-30), rel=1e-13)


@pytest.mark.parametrize("link", LINKS)
def test_ordinal_is_symmetric(link):
    upper, lower = np.array([-3.0, 0.5, 40.0]), np.array([-7.0, -0.1, 38.0])
    np.testing.assert_allclose(
        ordinal_logpmf(upper, lower, link, np), ordinal_logpmf(-lower, -upper, link, np), rtol=1e-13
    )


@pytest.mark.parametrize("link", LINKS)
def test_ordinal_in_pytensor_equals_numpy_with_the_right_gradient(link):
    rng = np.random.default_rng(3)
    lower = np.concatenate([rng.normal(0, 6, 200), [-FAR, -FAR, 5.0, -30.0, 30.0]])
    upper = np.concatenate([lower[:200] + rng.gamma(1.0, 1.0, 200), [-5.0, 25.0, FAR, -29.0, 30.5]])
    value, (by_upper, by_lower) = in_pytensor(lambda a, b, xp: ordinal_logpmf(a, b, link, xp), upper, lower)
    np.testing.assert_allclose(value, ordinal_logpmf(upper, lower, link, np), rtol=1e-12, atol=1e-12)
    # d log[F(u) − F(l)] = [f(u) du − f(l) dl] / [F(u) − F(l)]
    pdf = LINKS[link].logpdf
    np.testing.assert_allclose(by_upper, np.exp(pdf(upper) - value), rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(by_lower, -np.exp(pdf(lower) - value), rtol=1e-7, atol=1e-12)


# --- normal and counts ----------------------------------------------------------------------------------------------


@given(x=st.floats(-1e3, 1e3), mean=st.floats(-1e3, 1e3), sd=st.floats(1e-3, 1e3))
def test_normal_equals_scipy(x, mean, sd):
    value = normal_logpdf(np.array(x), mean, np.array(sd), np)
    assert value == pytest.approx(stats.norm(mean, sd).logpdf(x), rel=1e-10, abs=1e-10)


@given(count=st.integers(0, 500), log_mean=st.floats(-20, 6))
def test_poisson_equals_scipy(count, log_mean):
    value = poisson_logpmf(np.array(count), np.array(log_mean), np)
    assert value == pytest.approx(stats.poisson(np.exp(log_mean)).logpmf(count), rel=1e-9, abs=1e-9)


@given(count=st.integers(0, 500), log_mean=st.floats(-10, 6), dispersion=st.floats(1e-3, 50))
def test_negative_binomial_equals_scipy(count, log_mean, dispersion):
    size = 1 / dispersion
    expected = stats.nbinom(size, size / (size + np.exp(log_mean))).logpmf(count)
    value = negative_binomial_logpmf(np.array(count), np.array(log_mean), np.array(dispersion), np)
    assert value == pytest.approx(expected, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize(("log_mean", "dispersion"), [(0.5, 0.9), (-2.0, 2.0), (1.5, 1e-7), (0.0, 0.0)])
def test_counts_sum_to_one_with_the_right_moments(log_mean, dispersion):
    counts, mean = np.arange(3000), np.exp(log_mean)
    p = np.exp(negative_binomial_logpmf(counts, log_mean, np.array(dispersion), np))
    assert p.sum() == pytest.approx(1.0, abs=1e-9)
    assert (counts * p).sum() == pytest.approx(mean, rel=1e-8)
    assert ((counts - mean) ** 2 * p).sum() == pytest.approx(mean + dispersion * mean**2, rel=1e-6)


def test_negative_binomial_becomes_poisson_without_a_jump():
    counts, log_mean = np.arange(60), np.full(60, 1.2)
    poisson = poisson_logpmf(counts, log_mean, np)
    for dispersion, tolerance in ((0.0, 1e-12), (1e-12, 1e-8), (1e-8, 1e-4)):
        value = negative_binomial_logpmf(counts, log_mean, np.array(dispersion), np)
        np.testing.assert_allclose(value, poisson, atol=tolerance)
    below, above = (
        negative_binomial_logpmf(counts, log_mean, np.array(1e-5 * f), np) for f in (0.9999, 1.0001)
    )
    np.testing.assert_allclose(below, above, atol=1e-4)


def test_counts_are_finite_at_the_extremes():
    for log_mean in (-300.0, -30.0, 0.0, 15.0):
        for dispersion in (0.0, 1e-12, 1e-5, 1.0, 1e3):
            for count in (0, 1, 30, 1000):
                value = negative_binomial_logpmf(count, np.array(log_mean), np.array(dispersion), np)
                assert np.isfinite(value)
                assert value <= 0


def test_normal_and_counts_in_pytensor_equal_numpy():
    rng = np.random.default_rng(4)
    count, log_mean = rng.poisson(3, 50).astype(float), rng.normal(0, 2, 50)
    dispersion = np.concatenate([rng.gamma(1, 1, 46), [1e-12, 1e-7, 0.9e-5, 1.1e-5]])
    value, slopes = in_pytensor(negative_binomial_logpmf, count, log_mean, dispersion)
    np.testing.assert_allclose(
        value, negative_binomial_logpmf(count, log_mean, dispersion, np), rtol=1e-12, atol=1e-10
    )
    mean = np.exp(log_mean)
    np.testing.assert_allclose(slopes[1], (count - mean) / (1 + dispersion * mean), rtol=1e-7, atol=1e-9)
    assert np.isfinite(slopes[2]).all()

    value, slopes = in_pytensor(poisson_logpmf, count, log_mean)
    np.testing.assert_allclose(value, poisson_logpmf(count, log_mean, np), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(slopes[1], count - mean, rtol=1e-10, atol=1e-12)

    value, _ = in_pytensor(normal_logpdf, log_mean, count, dispersion[:46].repeat(2)[:50] + 0.1)
    np.testing.assert_allclose(
        value, normal_logpdf(log_mean, count, dispersion[:46].repeat(2)[:50] + 0.1, np), rtol=1e-12
    )
