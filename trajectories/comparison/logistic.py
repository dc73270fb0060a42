"""Logistic regression that stays finite: a weak prior on standardised log odds ratios."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fitted_probabilities"]

type Floats = NDArray[np.float64]

# Prior sd of a log odds ratio per standard deviation of its column: keeps it finite where columns separate the rows.
_SPREAD = 2.5


def fitted_probabilities(X: Floats, y: Floats, counts: Floats) -> Floats:
    """Fitted probabilities of a logistic regression with log odds ratios ~ N(0, 2.5²) per standard deviation of their columns.

    Parameters
    ----------
    X
        Rows × columns, without one for the intercept.
    y
        0 or 1 a row, not all alike.
    counts
        What each row counts.

    Source: Gelman et al. (2008), Annals of Applied Statistics 2:1360, doi:10.1214/08-AOAS191.

    Examples
    --------
    >>> fitted_probabilities(np.zeros((4, 1)), np.array([0.0, 0.0, 0.0, 1.0]), np.ones(4)).round(6).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    spread = X.std(axis=0)
    Z = np.column_stack([np.ones(len(X)), (X - X.mean(axis=0))[:, spread > 0] / spread[spread > 0]])
    penalty = np.append(0.0, np.full(Z.shape[1] - 1, _SPREAD**-2))
    b = np.zeros(Z.shape[1])
    share = (counts @ y) / counts.sum()
    b[0] = np.log(share / (1 - share))
    for _ in range(50):
        p = 1 / (1 + np.exp(-Z @ b))
        score = Z.T @ (counts * (y - p)) - penalty * b
        information = (Z * (counts * p * (1 - p))[:, None]).T @ Z + np.diag(penalty)
        step = np.linalg.solve(information, score)
        b += step * min(1.0, 2.0 / max(float(np.linalg.norm(step)), 1e-12))
        if score @ step < 1e-12:
            break
    return np.asarray(1 / (1 + np.exp(-Z @ b)))
