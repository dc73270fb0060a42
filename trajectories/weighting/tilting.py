"""Exponential tilting: the least uneven weights with which columns have a mean of 0; and how many patients weights are worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["kish", "tilted"]

type Floats = NDArray[np.float64]

STEPS = 100


def kish(w: Floats) -> float:
    """(Σw)² / Σw²: how many unweighted patients would be as informative.

    >>> kish(np.array([1.0, 1.0, 2.0]))
    2.6666666666666665
    """
    return float(w.sum() ** 2 / (w**2).sum())


def tilted(D: Floats, share: Floats, exact: float) -> tuple[Floats, float]:
    """Minimise log Σ share exp(D λ), by Newton's method: at the minimum the weighted mean of D is 0.

    Redundant columns take the shortest step.

    Parameters
    ----------
    D
        Rows × columns, less what their means shall be, in standard deviations.
    share
        Weights before tilting; they sum to 1.
    exact
        How near 0 the means must be.

    Returns
    -------
    Weights that sum to 1, and the largest mean: above `exact` where none are that near.

    >>> w, off = tilted(np.array([[-1.0], [0.0], [3.0]]), np.full(3, 1 / 3), 1e-9)
    >>> float(w @ [-1.0, 0.0, 3.0]) < 1e-9, off < 1e-9
    (True, True)
    """
    from scipy.special import logsumexp, softmax

    multipliers, base = np.zeros(D.shape[1]), np.log(share)
    level, reached = float(logsumexp(base)), np.inf
    for _ in range(STEPS):
        w = softmax(base + D @ multipliers)
        mean = w @ D
        before, reached = reached, float(np.abs(mean).max())
        if before < exact:  # one step beyond, which doubles the digits
            break
        curvature = (D * w[:, None]).T @ D - np.outer(mean, mean)
        step = -np.linalg.lstsq(curvature, mean, rcond=1e-12)[0]
        for halvings in range(40):
            tried = multipliers + step / 2**halvings
            there = float(logsumexp(base + D @ tried))
            if there <= level + 1e-4 * (mean @ step) / 2**halvings + 1e-15:
                break
        else:
            break
        multipliers, level = tried, there
    return np.asarray(w), reached
