"""Rank tests of a paired change, on plain arrays: Wilcoxon's signed ranks, the Hodges-Lehmann shift,
Friedman.

`scipy.stats.wilcoxon` is not used: its exact null distribution is wrong when differences are tied or zero,
and EDSS differences, in steps of half a point, nearly always are. The null here is the permutation null
itself.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.change_tests import ChangeTest, FloatArray, finite_differences
from trajectories.shift import EXACT_UP_TO, hodges_lehmann, sign_flip_distribution

__all__ = ["doubled_pratt_ranks", "friedman", "signed_rank"]

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

    Parameters
    ----------
    differences
        Shape (pairs,).
    confidence
        Level of the interval.
    exact_up_to
        A number of non-zero differences.

    Returns
    -------
    A `ChangeTest`; `statistic` is V. NaN with a reason without pairs or when all differences are zero.

    References
    ----------
    Wilcoxon 1945 (doi:10.2307/3001968); Pratt 1959 (doi:10.1080/01621459.1959.10501526).

    Examples
    --------
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

    Parameters
    ----------
    differences
        Shape (pairs,).

    Returns
    -------
    Integers, shape (non-zero pairs,), in the given order; twice a midrank is a whole number, which makes the
    exact null a sum over integers.

    Examples
    --------
    >>> doubled_pratt_ranks([0.0, -1.0, 1.0, 2.0]).tolist()
    [5, 5, 8]
    """
    sizes = np.abs(finite_differences(differences))
    _, group, counts = np.unique(sizes, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    doubled = (2 * last - counts + 1)[group]
    return np.asarray(doubled[sizes > 0], dtype=np.int64)


def friedman(values: ArrayLike) -> ChangeTest:
    """Test whether any time point differs from the others within patients.

    Values are ranked within each patient (midranks); with rank sums R_j over n patients and k time points,
    χ² = (k − 1) Σ_j (R_j − n(k + 1)/2)² / Σ_ij (r_ij − (k + 1)/2)², the tie-corrected statistic, on k − 1
    degrees of freedom. The estimate is Kendall's W = χ² / (n(k − 1)), from 0 (no common order) to 1.

    Parameters
    ----------
    values
        Shape (patients, time points), complete.

    Returns
    -------
    A `ChangeTest` without an interval. NaN with a reason for fewer than two patients or time points, or when
    no patient's value ever changes.

    References
    ----------
    Friedman 1937 (doi:10.1080/01621459.1937.10503522).

    Examples
    --------
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
