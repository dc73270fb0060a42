"""Shares of patients with Wilson's interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.estimate import normal_limit

__all__ = ["wilson_limits"]


def wilson_limits(
    count: ArrayLike, n: ArrayLike, ci: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Wilson's limits of shares, (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n); NaN for n = 0.

    Parameters
    ----------
    count, n
        How many of how many, of one shape.
    ci
        Level of the interval.

    References
    ----------
    Wilson 1927 (doi:10.1080/01621459.1927.10502953).

    Examples
    --------
    >>> [round(float(limit), 3) for limit in wilson_limits(12, 35)]
    [0.208, 0.508]
    """
    k, size = np.asarray(count, dtype=np.float64), np.asarray(n, dtype=np.float64)
    size = np.where(size > 0, size, np.nan)
    z, p = normal_limit(ci), k / size
    middle, half = p + z**2 / (2 * size), z * np.sqrt(p * (1 - p) / size + z**2 / (4 * size**2))
    # at 0 and at n the limit is 0 and 1 but for rounding
    lower = np.where(k == 0, p, (middle - half) / (1 + z**2 / size))
    upper = np.where(k == size, p, (middle + half) / (1 + z**2 / size))
    return np.asarray(lower), np.asarray(upper)
