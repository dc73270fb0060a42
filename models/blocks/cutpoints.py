"""Cutpoints of the 20 EDSS levels from level probabilities averaged over patients, and back."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajectories.models.blocks.densities import FAR, Link

__all__ = [
    "SHRINKAGE",
    "average_scale",
    "averaged_cumulative",
    "cutpoints_from_probabilities",
    "with_ends",
    "working_scores",
]

type Floats = NDArray[np.float64]

# A logistic variable plus a normal one of variance v is close to a logistic one stretched by √(1 + 0.346 v); for probit it is exact
# with 1 in its place (Zeger, Liang and Albert 1988, Biometrics 44:1049, doi:10.2307/2531734: (16√3 / 15π)² = 0.346).
SHRINKAGE = {"logit": (16 * np.sqrt(3) / (15 * np.pi)) ** 2, "probit": 1.0}

# Keeps the logarithm of an empty tail finite: a cutpoint never lies further out than logit⁻¹ of this.
_TINY = 1e-40

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
    below = xp.cumsum(probabilities, axis=-1)[..., :-1] + _TINY
    above = xp.cumsum(probabilities[..., ::-1], axis=-1)[..., ::-1][..., 1:] + _TINY
    stretch = scale[..., None] if getattr(scale, "ndim", 0) else scale
    if link == "logit":
        return stretch * (xp.log(below) - xp.log(above))
    return stretch * _normal_quantile(below, above, xp)


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


def with_ends(cutpoints: Any, xp: ModuleType) -> tuple[Any, Any]:
    """Return upper and lower bounds of the 20 levels, each … × 20."""
    if xp is np:
        end = np.full((*cutpoints.shape[:-1], 1), FAR)
        return np.concatenate([cutpoints, end], axis=-1), np.concatenate([-end, cutpoints], axis=-1)
    end = np.array([FAR])
    return xp.concatenate([cutpoints, end]), xp.concatenate([-end, cutpoints])


def working_scores(cutpoints: Any, below_middle: Any, xp: ModuleType) -> Any:
    """Latent scores that stand for the levels, … × 20: the middle of a level, no further in than 1.5 from the nearer end of a wide one.

    They place a patient's visits on the latent scale roughly; only coordinates of the sampler rest on them.

    Parameters
    ----------
    cutpoints
        … × 19.
    below_middle
        1 for levels below the median, whose nearer end is the upper one, 0 for the others: 20.
    """
    first, last = cutpoints[..., :1], cutpoints[..., -1:]
    ends = 0.0 * first + _REACH
    half = _REACH * xp.tanh((cutpoints[..., 1:] - cutpoints[..., :-1]) / (2 * _REACH))
    join = xp.concatenate
    half = join([ends, half, ends], axis=-1)
    upper, lower = join([cutpoints, last], axis=-1), join([first, cutpoints], axis=-1)
    return below_middle * (upper - half) + (1.0 - below_middle) * (lower + half)


def averaged_cumulative(distance: Floats, sd: Floats, link: Link) -> Floats:
    """Average F(distance − u) over patient effects u ~ N(0, sd²).

    Probit: Φ(distance / √(1 + sd²)), exact. Logit: the trapezoid rule over u/sd in ±8.5, whose error falls like
    exp(−2π·(π/sd)/step); the step is chosen for an error below 1e-11.

    Parameters
    ----------
    distance
        Cutpoint minus linear predictor, any shape.
    sd
        Standard deviation of the patients' part on the latent scale, same shape or broadcasting to it.

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
    nodes = np.arange(0.0, 8.5, min(0.5, 0.75 / largest))
    weights = np.exp(-0.5 * nodes**2)
    weights /= weights[0] + 2 * weights[1:].sum()
    total = weights[0] * expit(distance)
    for node, weight in zip(nodes[1:], weights[1:], strict=True):
        total += weight * (expit(distance - sd * node) + expit(distance + sd * node))
    return np.asarray(total)
