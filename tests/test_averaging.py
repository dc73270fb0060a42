"""Averages over patients and rows: the grid that replaces many rows, and the weights, against direct sums."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from trajectories.formulas import Matrices
from trajectories.models.blocks import averaging
from trajectories.models.blocks.cutpoints import averaged_cumulative

CUTPOINTS = np.linspace(-8, 14, 19)


def directly(beta, covariance, cutpoints, matrices, weights, link):
    """Every row on its own, one draw at a time."""
    result = []
    for b, sigma, c in zip(beta, covariance, cutpoints, strict=True):
        below = np.zeros(19)
        for x, z, w in zip(matrices.X, matrices.Z, weights / weights.sum(), strict=True):
            below += w * averaged_cumulative(c - x @ b, np.sqrt(z @ sigma @ z), link)
        result.append(np.diff(below, prepend=0.0, append=1.0))
    return np.array(result)


def draws(rng, size, terms, effects):
    root = rng.normal(size=(size, effects, effects))
    cutpoints = np.sort(rng.normal(0, 6, (size, 19)), axis=1)
    return rng.normal(0, 1, (size, terms)), root @ root.transpose(0, 2, 1), cutpoints


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("rows", [1, 5, 24, 200])
def test_rows_are_averaged_with_their_weights(link, rows):
    rng = np.random.default_rng(rows)
    parameters = draws(rng, 6, 3, 2)
    years = rng.choice([0.0, 2.0], rows)
    matrices = Matrices(X=rng.normal(0, 1.5, (rows, 3)), Z=np.column_stack([np.ones(rows), years]))
    weights = rng.gamma(1.0, 1.0, rows)
    found = averaging.level_probabilities(*parameters, matrices, weights, link)
    expected = directly(*parameters, matrices, weights, link)
    np.testing.assert_allclose(found, expected, atol=1e-12 if rows <= 24 else 2e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("sd", [0.0, 1.0, 5.0])
def test_grid_is_within_its_stated_error(link, sd):
    rng = np.random.default_rng(8)
    eta = rng.normal(0, 3, (20, 800))
    step = 0.25 * np.sqrt(1 + averaging.SHRINKAGE[link] * np.full(20, sd**2))
    weights = rng.dirichlet(np.ones(800))
    grid, mass = averaging._gathered(eta, weights, step)
    assert grid.shape[1] < 800
    np.testing.assert_allclose(mass.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose((grid * mass).sum(axis=1), eta @ weights, atol=1e-11)  # cubics are exact
    np.testing.assert_allclose((grid**3 * mass).sum(axis=1), eta**3 @ weights, rtol=1e-9, atol=1e-9)
    spike = np.zeros(800)
    spike[17] = 1.0  # a single row: nothing can cancel
    for w in (weights, spike):
        grid, mass = averaging._gathered(eta, w, step)
        on_grid = np.einsum(
            "skm,sm->sk",
            averaged_cumulative(CUTPOINTS[None, :, None] - grid[:, None], np.array(sd), link),
            mass,
        )
        exact = averaged_cumulative(CUTPOINTS[None, :, None] - eta[:, None], np.array(sd), link) @ w
        np.testing.assert_allclose(on_grid, exact, atol=2e-4 if w is spike else 2e-5)


def test_a_grid_wider_than_the_rows_is_not_made(monkeypatch):
    def forbidden(*arguments):
        raise AssertionError("gathered on a grid larger than the rows")

    monkeypatch.setattr(averaging, "_gathered", forbidden)
    rng = np.random.default_rng(9)
    parameters = draws(rng, 2, 1, 1)
    matrices = Matrices(X=rng.normal(0, 1e6, (30, 1)), Z=np.ones((30, 1)))
    found = averaging.level_probabilities(*parameters, matrices, np.ones(30), "logit")
    np.testing.assert_allclose(found, directly(*parameters, matrices, np.ones(30), "logit"), atol=1e-12)


def test_equal_rows_and_split_weights_change_nothing():
    rng = np.random.default_rng(10)
    parameters = draws(rng, 4, 2, 1)
    X = rng.normal(size=(3, 2))
    once = Matrices(X=X, Z=np.ones((3, 1)))
    twice = Matrices(X=np.repeat(X, 2, axis=0), Z=np.ones((6, 1)))
    np.testing.assert_allclose(
        averaging.level_probabilities(*parameters, once, np.array([1.0, 2.0, 3.0]), "logit"),
        averaging.level_probabilities(*parameters, twice, np.array([0.5, 0.5, 1.5, 0.5, 3.0, 0.0]), "logit"),
        atol=1e-13,
    )


def test_many_draws_are_the_same_as_few_at_a_time():
    rng = np.random.default_rng(11)
    beta, covariance, cutpoints = draws(rng, 1201, 2, 2)
    matrices = Matrices(X=rng.normal(size=(60, 2)), Z=np.column_stack([np.ones(60), np.full(60, 1.5)]))
    whole = averaging.level_probabilities(beta, covariance, cutpoints, matrices, np.ones(60), "logit")
    some = [0, 600, 1200]
    few = averaging.level_probabilities(
        beta[some], covariance[some], cutpoints[some], matrices, np.ones(60), "logit"
    )
    np.testing.assert_allclose(whole[some], few, atol=2e-5)


def test_variance_of_the_patients_part():
    rng = np.random.default_rng(12)
    root = rng.normal(size=(5, 3, 3))
    sigma, Z = root @ root.transpose(0, 2, 1), rng.normal(size=(4, 3))
    expected = [[z @ s @ z for z in Z] for s in sigma]
    np.testing.assert_allclose(averaging.patient_variance(sigma, Z), expected)


def test_without_terms_or_spread_the_levels_are_those_of_the_link():
    matrices = Matrices(X=np.zeros((7, 0)), Z=np.ones((7, 1)))
    found = averaging.level_probabilities(
        np.zeros((1, 0)), np.zeros((1, 1, 1)), CUTPOINTS[None], matrices, np.ones(7), "logit"
    )
    expected = np.diff(special.expit(CUTPOINTS), prepend=0.0, append=1.0)
    np.testing.assert_allclose(found[0], expected, atol=1e-13)


def test_levels_are_the_differences_of_cumulative_probabilities():
    below = np.array([[0.1, 0.4, 0.4, 0.9]])
    np.testing.assert_allclose(averaging.differences(below), [[0.1, 0.3, 0.0, 0.5, 0.1]])
