"""The Hodges-Lehmann shift of paired differences, and the null distribution that its interval rests on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.change_tests import ChangeTest, FloatArray, finite_differences

__all__ = ["EXACT_UP_TO", "WalshAverages", "hodges_lehmann", "sign_flip_distribution"]

EXACT_UP_TO = 200
"""Pairs with a change up to which the null distribution is exact. 200 take a few milliseconds; beyond, the
normal approximation is good to three digits."""

IntArray = NDArray[np.int64]


def hodges_lehmann(
    differences: ArrayLike, *, confidence: float = 0.95, exact_up_to: int = EXACT_UP_TO
) -> ChangeTest:
    """Estimate the shift as the median of all Walsh averages, with an interval of their order statistics.

    The Walsh averages are (dᵢ + dⱼ)/2 over all i ≤ j, zeros included: M = n(n + 1)/2 of them. The interval is
    [W₍k₎, W₍M+1−k₎], where k is the lower (1 − confidence)/2 quantile of the signed-rank distribution without
    ties (exact up to `exact_up_to` pairs, normal beyond). For symmetric differences it covers the centre
    with at least the attained level that is reported; ties make it cover more, never less. It need not
    agree with the Pratt p-value at the border, because the p-value is conditional on the ties and zeros
    that were observed.

    Parameters
    ----------
    differences
        Shape (pairs,).
    confidence
        Wanted level.

    Returns
    -------
    A `ChangeTest` without a p-value; `confidence` is the attained level. With fewer than 6 pairs a 95 %
    interval does not exist: NaN with that reason.

    References
    ----------
    Hodges and Lehmann 1963 (doi:10.1214/aoms/1177704172).

    Examples
    --------
    >>> shift = hodges_lehmann([0.5, 1.0, 0.0, 0.0, 1.5, -0.5, 0.5])
    >>> shift.estimate, shift.lower, shift.upper, round(shift.confidence, 3)
    (0.5, -0.25, 1.0, 0.953)
    """
    values = finite_differences(differences)
    partial = ChangeTest(test="shift", n=values.size, estimand="Hodges-Lehmann shift")
    if values.size == 0:
        return replace(partial, reason="there are no pairs")
    walsh = WalshAverages.of(values)
    partial = replace(partial, estimate=walsh.median())
    k, attained = _order_of_lower_limit(values.size, confidence, exact_up_to)
    if k == 0:
        reason = f"{values.size} pairs are too few for a {100 * confidence:g} % interval of the shift"
        return replace(partial, reason=reason)
    kind = "exact" if values.size <= exact_up_to else "normal"
    return replace(
        partial,
        lower=walsh.ordered(k),
        upper=walsh.ordered(walsh.size + 1 - k),
        confidence=attained,
        method=f"order statistics {k} and {walsh.size + 1 - k} of {walsh.size} Walsh averages ({kind}; "
        f"at least {100 * attained:.1f} %)",
    )


@dataclass(frozen=True, kw_only=True)
class WalshAverages:
    """The averages of all pairs of differences in increasing order, equal ones held once with their number.

    EDSS changes take few values, so thousands of patients need no more memory than tens.

    >>> WalshAverages.of(np.array([0.0, 1.0])).ordered(2)
    0.5
    """

    averages: FloatArray
    up_to: IntArray

    @classmethod
    def of(cls, values: FloatArray) -> WalshAverages:
        """Form them from differences, shape (pairs,), at least one."""
        levels, counts = np.unique(values, return_counts=True)
        i, j = np.triu_indices(levels.size)
        number = np.where(i == j, counts[i] * (counts[i] + 1) // 2, counts[i] * counts[j])
        averages = (levels[i] + levels[j]) / 2
        order = np.argsort(averages, kind="stable")
        return cls(averages=averages[order], up_to=np.cumsum(number[order], dtype=np.int64))

    @property
    def size(self) -> int:
        """How many there are, n(n + 1)/2."""
        return int(self.up_to[-1])

    def ordered(self, k: int) -> float:
        """Return the k-th smallest, k = 1 … size."""
        return float(self.averages[np.searchsorted(self.up_to, k)])

    def median(self) -> float:
        """Return the middle one, or the mean of the two in the middle."""
        return (self.ordered((self.size + 1) // 2) + self.ordered(self.size // 2 + 1)) / 2


def sign_flip_distribution(ranks: ArrayLike) -> FloatArray:
    """Return the distribution of the sum of positively signed ranks when every sign is a fair coin.

    P_k(s) = ½ P_{k−1}(s) + ½ P_{k−1}(s − r_k), one rank after the other: all 2ⁿ sign flips in n steps, valid
    for tied ranks.

    Parameters
    ----------
    ranks
        Shape (n,), non-negative integers (double midranks first).

    Returns
    -------
    Probabilities of the sums 0, 1, …, Σ ranks, shape (Σ ranks + 1,).

    Examples
    --------
    >>> sign_flip_distribution([1, 2]).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    whole = np.asarray(ranks, dtype=np.int64)
    probability = np.zeros(int(whole.sum()) + 1)
    probability[0] = 1.0
    for rank in whole:
        half = 0.5 * probability
        probability = half.copy()
        probability[rank:] += half[: half.size - rank]
    return probability


def _order_of_lower_limit(n: int, confidence: float, exact_up_to: int) -> tuple[int, float]:
    """Return k of the lower limit W₍k₎ (0: no interval exists) and the level that the interval attains."""
    from scipy.special import ndtr, ndtri

    tail = (1 - confidence) / 2
    if n <= exact_up_to:
        below = np.cumsum(sign_flip_distribution(np.arange(1, n + 1)))
        k = int(np.searchsorted(below, tail))
        return k, (1 - 2 * float(below[k - 1]) if k else nan)
    mean, spread = n * (n + 1) / 4, sqrt(n * (n + 1) * (2 * n + 1) / 24)
    k = max(0, floor(mean + spread * float(ndtri(tail))))
    return k, 1 - 2 * float(ndtr((k - 0.5 - mean) / spread))
