"""Intervals of shares of patients, and of their differences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.estimate import normal_limit

__all__ = ["difference_limits", "logit_limits", "wilson_limits"]


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


def logit_limits(share: float, std_error: float, z: float) -> tuple[float, float]:
    """Return limits of a share p with a standard error, expit(logit p ± z SE / (p(1 − p))); NaN where p is 0 or 1.

    >>> [round(limit, 3) for limit in logit_limits(0.2, 0.05, 1.96)]
    [0.119, 0.316]
    """
    if not 0 < share < 1:
        return math.nan, math.nan
    middle, reach = math.log(share / (1 - share)), z * std_error / (share * (1 - share))
    return 1 / (1 + math.exp(reach - middle)), 1 / (1 + math.exp(-reach - middle))


def difference_limits(
    one: Sequence[float], other: Sequence[float], correlation: float = 0.0
) -> tuple[float, float]:
    """Return limits of a difference from those of its parts, d − √(a² + b² − 2rab), a = p₁ − l₁, b = u₀ − p₀, and the like upwards.

    With Wilson's limits and r = 0 it is Newcombe's hybrid score interval.

    Parameters
    ----------
    one, other
        Estimate, lower and upper limit of each; missing limits make the difference's missing.
    correlation
        r of the two estimates, 0 for independent ones.

    References
    ----------
    Newcombe 1998 (doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I); Zou 2007
    (doi:10.1037/1082-989X.12.4.399).

    Examples
    --------
    >>> limits = [[float(x[0]) for x in (np.array([k / n]), *wilson_limits([k], [n]))] for k, n in ((56, 70), (48, 80))]
    >>> [round(limit, 4) for limit in difference_limits(*limits)]
    [0.0524, 0.3339]
    """
    (p1, l1, u1), (p0, l0, u0) = one, other

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(a * a + b * b - 2 * correlation * a * b, 0.0))

    if any(map(math.isnan, (*one, *other))):
        return math.nan, math.nan
    return p1 - p0 - reach(p1 - l1, u0 - p0), p1 - p0 + reach(u1 - p1, p0 - l0)
