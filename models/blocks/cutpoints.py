"""Cutpoints of the 20 EDSS levels from level probabilities averaged over patients, and back."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from trajectories import edss
from trajectories.models.blocks.densities import FAR, Link
from trajectories.models.design import Floats, Ints

__all__ = [
    "SHRINKAGE",
    "average_scale",
    "averaged_cumulative",
    "bounds",
    "cutpoints_from_probabilities",
    "log_share_within",
    "nearer_cutpoints",
    "working_scores",
]

LEVELS = len(edss.LEVELS)

# A logistic variable plus a normal one of variance v is close to a logistic one stretched by √(1 + 0.346 v); for probit it is exact
# with 1 in its place (Zeger, Liang and Albert 1988, Biometrics 44:1049, doi:10.2307/2531734: (16√3 / 15π)² = 0.346).
SHRINKAGE = {"logit": (16 * np.sqrt(3) / (15 * np.pi)) ** 2, "probit": 1.0}

# Keeps the logarithm of an empty tail finite: a cutpoint never lies further out than logit⁻¹ of this.
_TINY = 1e-40

# Where the digits of a probability end.
_SMALLEST = 1e-200

# How far into a wide level its score lies: about one standard deviation of the logistic distribution.
_REACH = 1.5


def average_scale(variance: Any, link: Link, xp: ModuleType) -> Any:
    """Stretch of the latent scale by patient effects of this variance, √(1 + 0.346 v) or √(1 + v)."""
    return xp.sqrt(1.0 + SHRINKAGE[link] * variance)


def cutpoints_from_probabilities(probabilities: Any, scale: Any, link: Link, xp: ModuleType) -> Any:
    """Cutpoints c_k = scale · F⁻¹(p_1 + … + p_k) from probabilities of the levels, averaged over patients.

    Parameters
    ----------
    probabilities
        … × 20, each row sums to one.
    scale
        …, from `average_scale`.

    Returns
    -------
    … × 19, ascending.
    """
    below, above = _tails(probabilities, xp)
    if link == "logit":
        return _trailing(scale) * (xp.log(below) - xp.log(above))
    return _trailing(scale) * _normal_quantile(below, above, xp)


def log_share_within(log_probabilities: Any, scale: Any, xp: ModuleType) -> Any:
    """Return log(1 − exp(c_{k−1} − c_k)) of every level for the logit link, … × 20; 0 for the outermost, which have one cutpoint.

    This is what a level's width contributes to its log-probability. Cutpoints that stand close together do not hold it: their
    difference is scale · [log1p(p_k / (p_1 + … + p_{k−1})) + log1p(p_k / (p_{k+1} + … + p_20))], which keeps its digits
    down to the smallest p_k.
    """
    below, above = _tails(xp.exp(log_probabilities), xp)
    logs = log_probabilities[..., 1:-1]
    p = xp.maximum(xp.exp(logs), _SMALLEST)
    width = _trailing(scale) * (xp.log1p(p / below[..., :-1]) + xp.log1p(p / above[..., 1:]))
    return _padded(logs + xp.log(-xp.expm1(-width) / p), LEVELS, 0.0, 0.0, xp)


def _tails(probabilities: Any, xp: ModuleType) -> tuple[Any, Any]:
    """Probability up to each cutpoint and beyond it, each … × 19, both with their leading digits."""
    below = xp.cumsum(probabilities, axis=-1)[..., :-1] + _TINY
    above = xp.cumsum(probabilities[..., ::-1], axis=-1)[..., ::-1][..., 1:] + _TINY
    return below, above


def _trailing(scale: Any) -> Any:
    return scale[..., None] if getattr(scale, "ndim", 0) else scale


def _padded(inner: Any, length: int, first: float, last: float, xp: ModuleType) -> Any:
    """Put a constant before and after an array along its last axis, which makes it `length` long.

    In PyTensor by filling in a constant: the gradient is a part of an array, while that of a concatenation takes Numba long to compile.
    """
    if xp is np:
        ends = [np.full((*inner.shape[:-1], 1), end) for end in (first, last)]
        return np.concatenate([ends[0], inner, ends[1]], axis=-1)
    frame = np.zeros(length)
    frame[0], frame[-1] = first, last
    return xp.as_tensor(frame)[1:-1].set(inner)


def _normal_quantile(below: Any, above: Any, xp: ModuleType) -> Any:
    # The smaller tail keeps its digits: Φ⁻¹(p) = −Φ⁻¹(1 − p).
    left = below < above
    tail = xp.where(left, below, above)
    if xp is np:
        from scipy.special import ndtri

        quantile = ndtri(tail)
    else:
        quantile = -np.sqrt(2.0) * xp.erfcinv(2.0 * tail)
    return xp.where(left, quantile, -quantile)


def bounds(cutpoints: Any, xp: ModuleType) -> Any:
    """Return the 21 bounds of the levels, … × 21: level k lies between bounds k and k + 1."""
    return _padded(cutpoints, LEVELS + 1, -FAR, FAR, xp)


def working_scores(cutpoints: Any, nearer: Any, xp: ModuleType) -> Any:
    """Latent scores that stand for the levels, … × 20: the middle of a level, no further in than 1.5 from the nearer end of a wide one.

    They place a patient's visits on the latent scale roughly; only coordinates of the sampler rest on them.

    Parameters
    ----------
    cutpoints
        … × 19.
    nearer
        From `nearer_cutpoints`: 20.
    """
    half = _REACH * xp.tanh((cutpoints[..., 1:] - cutpoints[..., :-1]) / (2 * _REACH))
    inwards = 2.0 * (np.arange(LEVELS) - nearer) - 1.0
    return cutpoints[..., nearer] + inwards * _padded(half, LEVELS, _REACH, _REACH, xp)


def nearer_cutpoints(median: int) -> Ints:
    """The cutpoint of each level that is nearer to the median level: its upper one below, its lower one from there on."""
    levels = np.arange(LEVELS)
    return np.where(levels < max(median, 1), levels, levels - 1)


def averaged_cumulative(distance: Floats, sd: Floats, link: Link, *, rough: bool = False) -> Floats:
    """Average F(distance − u) over patient effects u ~ N(0, sd²).

    Probit: Φ(distance / √(1 + sd²)), exact. Logit: the trapezoid rule over u/sd in ±8.5, whose error falls like
    exp(−2π·(π/sd)/step); the step is chosen for an error below 1e-11.

    Parameters
    ----------
    distance
        Cutpoint minus linear predictor, any shape.
    sd
        Standard deviation of the patients' part on the latent scale, same shape or broadcasting to it.
    rough
        Whether an error below 1e-5 will do, in a fraction of the time.

    Examples
    --------
    >>> averaged_cumulative(np.array([0.0, 1.0]), np.array(0.0), "logit").round(4).tolist()
    [0.5, 0.7311]
    """
    from scipy.special import expit, ndtr

    if link == "probit":
        return np.asarray(ndtr(distance / np.sqrt(1 + sd**2)))
    largest = float(np.max(sd, initial=0.0))
    if largest == 0.0:
        return np.asarray(expit(distance))
    step, end = 0.5, 8.5
    if rough:  # single precision holds seven digits
        step, end, distance, sd = 1.0, 5.5, distance.astype(np.float32), sd.astype(np.float32)
    nodes = np.arange(0.0, end, min(step, 1.5 * step / largest))
    weights = np.exp(-0.5 * nodes**2)
    weights /= weights[0] + 2 * weights[1:].sum()
    total = float(weights[0]) * expit(distance)
    for node, weight in zip(nodes[1:], weights[1:], strict=True):
        total += float(weight) * (expit(distance - sd * float(node)) + expit(distance + sd * float(node)))
    return np.asarray(total, dtype=float)
