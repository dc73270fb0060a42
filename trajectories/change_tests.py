"""Tests of a paired change by signs and by means, on plain arrays: sign test, paired t, equivalence, Holm.

Every function takes the differences (later minus baseline) of the patients who have both values. Where a
test has no answer its numbers are NaN and `reason` says why; nothing is raised or warned about for small or
degenerate data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ChangeTest",
    "FloatArray",
    "check_margin",
    "equivalence",
    "finite_differences",
    "holm",
    "paired_t",
    "sign_test",
]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ChangeTest:
    """One test of a paired change: its p-value beside the estimate and interval that belong to it.

    Fields: `test` (name), `n` (pairs), `estimand` (what `estimate` is), `estimate`, `lower` and `upper` (in
    the unit of the differences unless `estimand` says otherwise), `confidence` (level the interval attains),
    `statistic`, `p_value` (two-sided; of equivalence: the larger of the two one-sided), `method` (how the
    p-value and the interval were obtained) and `reason` (why a number is NaN; empty otherwise).

    >>> ChangeTest(test="paired t", n=0, estimand="mean change", reason="there are no pairs").p_value
    nan
    """

    test: str
    n: int
    estimand: str
    estimate: float = nan
    lower: float = nan
    upper: float = nan
    confidence: float = nan
    statistic: float = nan
    p_value: float = nan
    method: str = ""
    reason: str = ""


def finite_differences(differences: ArrayLike) -> FloatArray:
    """Return the differences as a flat float array and refuse NaN, infinity and other shapes.

    Parameters
    ----------
    differences
        Shape (pairs,), later minus baseline.

    Returns
    -------
    The same numbers as float64.

    Raises
    ------
    ValueError
        With the number of values that are not finite.

    Examples
    --------
    >>> finite_differences([1, 0, -0.5])
    array([ 1. ,  0. , -0.5])
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(
            f"differences must be one-dimensional (one number a pair), not of shape {values.shape}."
        )
    unusable = int(np.count_nonzero(~np.isfinite(values)))
    if unusable:
        raise ValueError(
            f"{unusable} of {values.size} differences are missing or infinite. "
            "Pass complete pairs only, and report how many were left out."
        )
    return values


def sign_test(differences: ArrayLike, *, confidence: float = 0.95) -> ChangeTest:
    """Test whether worsening is as frequent as improvement among the patients who changed.

    With w positive and b negative differences, W ~ Binomial(w + b, 1/2) if both directions are equally
    likely: p = min(1, 2 P(W ≤ min(w, b))). The estimate is w / (w + b) with the Clopper-Pearson interval.
    Patients without a change carry no sign and are counted in `method`.

    Parameters
    ----------
    differences
        Shape (pairs,).
    confidence
        Level of the interval.

    Returns
    -------
    A `ChangeTest`; `statistic` is w. NaN with a reason when nobody changed.

    References
    ----------
    Dixon and Mood 1946 (doi:10.1080/01621459.1946.10501898); Clopper and Pearson 1934
    (doi:10.1093/biomet/26.4.404).

    Examples
    --------
    >>> sign_test([0.5, 1.0, 0.0, -0.5]).p_value
    1.0
    """
    from scipy.special import bdtr, betaincinv

    values = finite_differences(differences)
    worse, better = int(np.sum(values > 0)), int(np.sum(values < 0))
    changed, unchanged = worse + better, values.size - worse - better
    estimand = "share of positive changes among those that changed"
    if changed == 0:
        reason = "there are no pairs" if values.size == 0 else f"none of the {values.size} pairs changed"
        return ChangeTest(test="sign", n=values.size, estimand=estimand, reason=reason)
    tail = (1 - confidence) / 2
    return ChangeTest(
        test="sign",
        n=values.size,
        estimand=estimand,
        estimate=worse / changed,
        lower=float(betaincinv(worse, better + 1, tail)) if worse else 0.0,
        upper=float(betaincinv(worse + 1, better, 1 - tail)) if better else 1.0,
        confidence=confidence,
        statistic=float(worse),
        p_value=min(1.0, 2 * float(bdtr(min(worse, better), changed, 0.5))),
        method=f"exact binomial over {changed} pairs that changed, {unchanged} unchanged left out; "
        "Clopper-Pearson",
    )


def paired_t(differences: ArrayLike, *, confidence: float = 0.95) -> ChangeTest:
    """Test whether the mean change is zero.

    t = mean / (SD / √n) on n − 1 degrees of freedom; the interval is mean ± t-quantile × SD / √n.

    Parameters
    ----------
    differences
        Shape (pairs,).
    confidence
        Level of the interval.

    Returns
    -------
    A `ChangeTest`. With fewer than two pairs, or differences that are all equal, NaN with a reason.

    References
    ----------
    Student 1908 (doi:10.1093/biomet/6.1.1).

    Examples
    --------
    >>> round(paired_t([0.5, 1.0, 0.0, -0.5]).estimate, 2)
    0.25
    """
    from scipy.special import stdtr, stdtrit

    values = finite_differences(differences)
    partial = _mean_change("paired t", values)
    if partial.reason:
        return partial
    error, freedom = _standard_error(values), values.size - 1
    half_width = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    statistic = partial.estimate / error
    return ChangeTest(
        test=partial.test,
        n=partial.n,
        estimand=partial.estimand,
        estimate=partial.estimate,
        lower=partial.estimate - half_width,
        upper=partial.estimate + half_width,
        confidence=confidence,
        statistic=statistic,
        p_value=2 * float(stdtr(freedom, -abs(statistic))),
        method=f"Student t, {freedom} degrees of freedom",
    )


def equivalence(differences: ArrayLike, *, margin: float | None, level: float = 0.05) -> ChangeTest:
    """Test whether the mean change lies within ± `margin` by two one-sided t tests.

    p = max{P(T > (mean + m) / SE), P(T < (mean − m) / SE)} on n − 1 degrees of freedom. It is below `level`
    exactly when the 1 − 2 `level` interval of the mean change lies inside (−m, m).

    Parameters
    ----------
    differences
        Shape (pairs,).
    margin
        In the unit of the differences, or None when the user stated none (the interval is then still given,
        the p-value is NaN with that reason).
    level
        One-sided.

    Returns
    -------
    A `ChangeTest`; `statistic` is the t of the weaker side.

    Raises
    ------
    ValueError
        For a margin that is not a positive number.

    References
    ----------
    Schuirmann 1987 (doi:10.1007/BF01068419).

    Examples
    --------
    >>> equivalence([0.5, 0.0, 0.0, -0.5, 0.0, 0.0], margin=0.5).p_value < 0.05
    True
    """
    from dataclasses import replace

    from scipy.special import stdtr

    check_margin(margin)
    interval = paired_t(differences, confidence=1 - 2 * level)
    if interval.reason:
        return replace(interval, test="equivalence")
    if margin is None:
        reason = "no equivalence was tested: the margin is yours to state, as margin="
        return replace(interval, test="equivalence", statistic=nan, p_value=nan, method="", reason=reason)
    error, freedom = _standard_error(finite_differences(differences)), interval.n - 1
    above, below = (interval.estimate + margin) / error, (interval.estimate - margin) / error
    return replace(
        interval,
        test="equivalence",
        statistic=above if above < -below else below,
        p_value=float(stdtr(freedom, max(-above, below))),
        method=f"two one-sided t tests against ± {margin:g}, {freedom} degrees of freedom",
    )


def check_margin(margin: float | None) -> None:
    """Raise ValueError unless the margin is None or a positive finite number.

    >>> check_margin(0.5)
    """
    if margin is not None and not (np.isfinite(margin) and margin > 0):
        raise ValueError(f"margin must be a positive number in the unit of the change, not {margin!r}.")


def holm(p_values: Sequence[float] | FloatArray) -> FloatArray:
    """Adjust a family of p-values by Holm's step-down method.

    In increasing order, p̃_(i) = max_{j ≤ i} min(1, (m − j + 1) p_(j)), where m counts the p-values that
    exist.

    Parameters
    ----------
    p_values
        Shape (tests,); NaN (a test without an answer) stays NaN and does not count in m.

    Returns
    -------
    Adjusted p-values, shape (tests,): a test is significant over the whole family at level α when its
    adjusted p-value is at most α.

    References
    ----------
    Holm 1979, Scandinavian Journal of Statistics 6:65-70 (https://www.jstor.org/stable/4615733).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(6).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(values.shape, nan)
    order = np.argsort(values, kind="stable")[: int(np.sum(~np.isnan(values)))]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * values[order]))
    return adjusted


def _mean_change(test: str, values: FloatArray) -> ChangeTest:
    """Hold the mean and, where no t statistic exists, the reason."""
    estimate, reason = (float(np.mean(values)) if values.size else nan), ""
    if values.size == 0:
        reason = "there are no pairs"
    elif values.size == 1:
        reason = "one pair has no standard deviation"
    elif np.ptp(values) == 0:
        reason = f"all {values.size} differences are {values[0]:g}, so the standard deviation is 0"
    return ChangeTest(test=test, n=values.size, estimand="mean change", estimate=estimate, reason=reason)


def _standard_error(values: FloatArray) -> float:
    return float(np.std(values, ddof=1)) / sqrt(values.size)
