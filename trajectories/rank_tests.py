"""Rank tests of a paired change, on plain arrays: Wilcoxon's signed ranks, the Hodges-Lehmann shift,
Friedman.

`scipy.stats.wilcoxon` is not used: its exact null distribution is wrong when differences are tied or zero,
and EDSS differences, in steps of half a point, nearly always are. The null here is the permutation null
itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.change_tests import ChangeTest, FloatArray, finite_differences

EXACT_UP_TO = 200
"""Pairs with a change up to which the null distribution is exact. 200 take a few milliseconds; beyond, the
normal approximation is good to three digits."""

IntArray = NDArray[np.int64]


def signed_rank(
    differences: ArrayLike, *, confidence: float = 0.95, exact_up_to: int = EXACT_UP_TO
) -> ChangeTest:
    """Test whether changes are symmetric about zero by Wilcoxon's signed ranks, zeros ranked as by Pratt.

    |d| is ranked with the zeros among them (midranks for ties), then the zeros' ranks are dropped;
    V = Σ ranks of positive d. Given |d|, every sign is a fair coin under the null. Up to `exact_up_to`
    non-zero differences the distribution of V over all sign flips is computed exactly (ties and zeros
    included); beyond it V is normal with mean Σr/2 and variance Σr²/4, which corrects for ties, without a
    continuity correction. p is two-sided. The estimate is the Hodges-Lehmann shift, see `hodges_lehmann`.

    Parameters: `differences`, shape (pairs,); `confidence`, level of the interval; `exact_up_to`, a number of
    non-zero differences.
    Returns a `ChangeTest`; `statistic` is V. NaN with a reason without pairs or when all differences are
    zero.
    Source: Wilcoxon 1945 (doi:10.2307/3001968); Pratt 1959 (doi:10.1080/01621459.1959.10501526).

    >>> signed_rank([0.5, 1.0, 1.5, 0.0, 0.5]).p_value   # 2 / 2**4: all four changes go one way
    0.125
    """
    values = finite_differences(differences)
    shift = hodges_lehmann(values, confidence=confidence, exact_up_to=exact_up_to)
    doubled = doubled_pratt_ranks(values)
    if doubled.size == 0:
        reason = (
            shift.reason
            if values.size == 0
            else f"all {values.size} differences are 0, so no rank has a sign"
        )
        return replace(shift, test="signed rank", reason=reason)
    positive = int(doubled[values[values != 0] > 0].sum())
    exact = doubled.size <= exact_up_to
    zeros = values.size - doubled.size
    null = "exact permutation null" if exact else "normal approximation, tie-corrected"
    return replace(
        shift,
        test="signed rank",
        statistic=positive / 2,
        p_value=_exact_p(positive, doubled) if exact else _normal_p(positive, doubled),
        method=f"{null}, zeros by Pratt ({zeros} of {values.size}); interval: {shift.method}",
    )


def doubled_pratt_ranks(differences: ArrayLike) -> IntArray:
    """Rank |d| with the zeros among them and return twice the midranks of the non-zero ones.

    Parameters: `differences`, shape (pairs,). Returns integers, shape (non-zero pairs,), in the given order;
    twice a midrank is a whole number, which makes the exact null a sum over integers.

    >>> doubled_pratt_ranks([0.0, -1.0, 1.0, 2.0]).tolist()
    [5, 5, 8]
    """
    sizes = np.abs(finite_differences(differences))
    _, group, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    doubled = (2 * last - counts + 1)[group]
    return np.asarray(doubled[sizes > 0], dtype=np.int64)


def sign_flip_distribution(ranks: ArrayLike) -> FloatArray:
    """Return the distribution of the sum of positively signed ranks when every sign is a fair coin.

    P_k(s) = ½ P_{k−1}(s) + ½ P_{k−1}(s − r_k), one rank after the other: all 2ⁿ sign flips in n steps, valid
    for tied ranks.

    Parameters: `ranks`, shape (n,), non-negative integers (double midranks first).
    Returns probabilities of the sums 0, 1, …, Σ ranks, shape (Σ ranks + 1,).

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

    Parameters: `differences`, shape (pairs,); `confidence`, wanted level.
    Returns a `ChangeTest` without a p-value; `confidence` is the attained level. With fewer than 6 pairs a
    95 % interval does not exist: NaN with that reason.
    Source: Hodges and Lehmann 1963 (doi:10.1214/aoms/1177704172).

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


def friedman(values: ArrayLike) -> ChangeTest:
    """Test whether any time point differs from the others within patients.

    Values are ranked within each patient (midranks); with rank sums R_j over n patients and k time points,
    χ² = (k − 1) Σ_j (R_j − n(k + 1)/2)² / Σ_ij (r_ij − (k + 1)/2)², the tie-corrected statistic, on k − 1
    degrees of freedom. The estimate is Kendall's W = χ² / (n(k − 1)), from 0 (no common order) to 1.

    Parameters: `values`, shape (patients, time points), complete.
    Returns a `ChangeTest` without an interval. NaN with a reason for fewer than two patients or time
    points, or when no patient's value ever changes.
    Source: Friedman 1937 (doi:10.1080/01621459.1937.10503522).

    >>> round(friedman([[1, 2, 3], [1, 2, 3], [1, 3, 2]]).statistic, 3)
    4.667
    """
    from scipy.special import chdtrc

    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise ValueError(
            "Friedman's test needs a complete table of patients by time points, without missing values."
        )
    patients, points = table.shape
    partial = ChangeTest(test="Friedman", n=patients, estimand="Kendall's W")
    if points < 2:
        return replace(partial, reason="there is only one time point")
    if patients < 2:
        return replace(partial, reason=f"{patients} patients have a value at every time point; 2 are needed")
    deviations = _midranks_by_row(table) - (points + 1) / 2
    spread = float(np.sum(deviations**2))
    if spread == 0:
        return replace(partial, reason=f"none of the {patients} complete patients ever changed")
    statistic = (points - 1) * float(np.sum(deviations.sum(axis=0) ** 2)) / spread
    return replace(
        partial,
        estimate=statistic / (patients * (points - 1)),
        statistic=statistic,
        p_value=float(chdtrc(points - 1, statistic)),
        method=f"chi-square approximation, {points - 1} degrees of freedom, tie-corrected; complete cases",
    )


def _midranks_by_row(table: FloatArray) -> FloatArray:
    below = (table[:, None, :] < table[:, :, None]).sum(axis=2)
    equal = (table[:, None, :] == table[:, :, None]).sum(axis=2)
    return np.asarray(below + (equal + 1) / 2, dtype=np.float64)


def _exact_p(positive: int, doubled: IntArray) -> float:
    probability = sign_flip_distribution(doubled)
    return min(1.0, 2 * min(float(probability[: positive + 1].sum()), float(probability[positive:].sum())))


def _normal_p(positive: int, doubled: IntArray) -> float:
    from scipy.special import ndtr

    z = (positive - doubled.sum() / 2) / sqrt(float(np.sum(doubled.astype(np.float64) ** 2)) / 4)
    return 2 * float(ndtr(-abs(z)))


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
