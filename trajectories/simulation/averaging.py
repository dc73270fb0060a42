"""Level probabilities of an ordinal model averaged over normal patient effects."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

type FloatArray = npt.NDArray[np.float64]
type Link = Literal["logit", "probit"]

# The trapezoid rule on a normal density converges exponentially: the error falls as exp(−2π d / STEP), d = π
# / SD being the distance of the logit's nearest pole from the real line: below 1e-15 up to SD 10, 1e-9 at
# 20.
STEP = 0.05
NODES: FloatArray = np.arange(-8.5, 8.5 + STEP / 2, STEP)
WEIGHTS: FloatArray = np.exp(-0.5 * NODES**2) / np.exp(-0.5 * NODES**2).sum()
ROWS_AT_ONCE = 500


def average_cumulative(cutpoints: FloatArray, shift: FloatArray, sd: FloatArray, link: Link) -> FloatArray:
    """Average P(level ≤ k) over a normal effect: E F(c_k − shift − sd·Z), Z ~ N(0, 1).

    Parameters
    ----------
    cutpoints : array, shape (K,)
        On the latent scale, in order; ±∞ allowed.
    shift, sd : array, shape (n,)
        Fixed part of the linear predictor, and the SD of the patient effect that is added to it.
    link : {"logit", "probit"}

    Returns
    -------
    array, shape (n, K)
        By the trapezoid rule on 341 points for the logit, as Φ((c − shift) / √(1 + sd²)) for the probit.

    Examples
    --------
    >>> average_cumulative(np.array([0.0]), np.array([0.0]), np.array([3.0]), "logit")
    array([[0.5]])
    """
    if link == "probit":
        from scipy.special import ndtr

        closed: FloatArray = ndtr((cutpoints - shift[:, None]) / np.sqrt(1 + sd[:, None] ** 2))
        return closed
    parts = [
        _logit_rows(cutpoints, shift[i : i + ROWS_AT_ONCE], sd[i : i + ROWS_AT_ONCE])
        for i in range(0, len(shift), ROWS_AT_ONCE)
    ]
    return np.concatenate(parts)


def _logit_rows(cutpoints: FloatArray, shift: FloatArray, sd: FloatArray) -> FloatArray:
    latent = shift[:, None, None] + sd[:, None, None] * NODES
    averaged: FloatArray = logistic(cutpoints[:, None] - latent) @ WEIGHTS
    return averaged


def logistic(x: FloatArray) -> FloatArray:
    """Return 1 / (1 + exp(−x)) without overflow, for infinite x too."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def probabilities_of(cumulative: FloatArray) -> FloatArray:
    """Turn P(level ≤ k), k = 1 … K along the last axis, into the K + 1 level probabilities."""
    ends = cumulative[..., :1]
    padded = np.concatenate([np.zeros_like(ends), cumulative, np.ones_like(ends)], axis=-1)
    return np.diff(padded, axis=-1)


def cutpoints_from_probabilities(
    probabilities: npt.ArrayLike, *, sd: float, link: Link = "logit"
) -> FloatArray:
    """Cutpoints at which the patient-averaged level probabilities are the given ones.

    Solves E F(c_k − sd·Z) = p_1 + … + p_k for every k by bisection.

    Parameters
    ----------
    probabilities : array, shape (K,)
        Population-averaged probabilities of the K levels at linear predictor 0; they sum to one.
    sd : float
        SD of the patient effect at that point.
    link : {"logit", "probit"}

    Returns
    -------
    array, shape (K − 1,)
        Coinciding cutpoints where a level has probability 0, ±∞ at empty ends of the scale.

    Raises
    ------
    ValueError
        If the probabilities are negative or do not sum to one.

    Examples
    --------
    >>> cutpoints_from_probabilities([0.25, 0.5, 0.25], sd=0.0).round(4)
    array([-1.0986,  1.0986])
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 1 or (p < 0).any() or not np.isclose(p.sum(), 1.0, atol=1e-9):
        raise ValueError(
            f"level probabilities must not be negative and sum to one; they sum to {p.sum():.6g}"
        )
    target = np.cumsum(p)[:-1]
    low, high = np.full(len(target), -50.0 - 20 * sd), np.full(len(target), 50.0 + 20 * sd)
    for _ in range(80):
        middle = (low + high) / 2
        below = average_cumulative(middle, np.zeros(1), np.full(1, sd), link)[0] < target
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    cutpoints = np.maximum.accumulate((low + high) / 2)
    cutpoints[target <= 0] = -np.inf
    cutpoints[target >= 1 - 1e-12] = np.inf
    return cutpoints
