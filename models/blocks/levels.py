"""Probabilities of the 20 levels, Dirichlet a priori, in coordinates that NUTS moves well in.

Masses g with p = g / T, T = Σg, and p ~ Dirichlet(α, …, α). With a small α a level that nobody has may have a mass anywhere from 1e-3
to 1e-60: on the log scale an exponential tail many units wide. The coordinates x straighten this out: log g = x + (1/α − 1) log Φ(x),
so that g^α is nearly Φ(x) for small x, and a level that the data do not mention has x nearly ~ N(0, 1), while g = exp(x) for larger x.
The total T means nothing, so it gets the distribution that keeps the other levels in the second part: log T ~ N(7, ½²), where a
share of 1 % has x = 2.5. (Independent Gamma(α) masses, the usual way to a Dirichlet, put all levels in the bend between the parts: with
200 patients 6 % of the fits had more than 1 % divergent draws.)
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from trajectories.models.blocks.densities import log_normal_cdf
from trajectories.models.design import Floats

__all__ = [
    "START",
    "draw_scores",
    "level_scores",
    "log_mass",
    "log_probabilities",
    "probabilities",
    "scores_of",
]

# Of the logarithm of the total: mean and standard deviation.
LOG_TOTAL = (7.0, 0.5)

# Where sampling starts, give or take 1: at 20 equal levels. There log g is x, so that they stay within e^2 of each other; around 0
# it falls so steeply that a chain in a few hundred never left a start at an impossible cohort.
START = 4.0


def log_mass(scores: Any, alpha: float, xp: ModuleType) -> Any:
    """Return log g of scores x: x + (1/α − 1)⁺ log Φ(x)."""
    return scores + max(1 / alpha - 1, 0.0) * log_normal_cdf(scores, xp)


def log_density(scores: Any, alpha: float, xp: ModuleType) -> Any:
    """Log-density of scores, … × 20, when p ~ Dirichlet(α, …, α) and log T is normal: …, up to a constant.

    Σ_k [α log g_k + log(d log g_k / dx_k)] − 20 α log T − (log T − 7)² / (2 · ½²).
    """
    log_cdf = log_normal_cdf(scores, xp)
    power = max(1 / alpha - 1, 0.0)
    logs = scores + power * log_cdf
    slope = 1 + power * xp.exp(-0.5 * scores**2 - 0.5 * np.log(2 * np.pi) - log_cdf)
    log_total = xp.log(xp.sum(xp.exp(logs), axis=-1))
    mean, sd = LOG_TOTAL
    masses = xp.sum(alpha * logs + xp.log(slope), axis=-1)
    return masses - scores.shape[-1] * alpha * log_total - 0.5 * ((log_total - mean) / sd) ** 2


def probabilities(scores: Any, alpha: float, xp: ModuleType) -> Any:
    """Return level probabilities, … × 20, from scores of the same shape.

    Examples
    --------
    >>> import numpy as np
    >>> probabilities(np.zeros(4), 0.1, np).round(6).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    return xp.exp(log_probabilities(scores, alpha, xp))


def log_probabilities(scores: Any, alpha: float, xp: ModuleType) -> Any:
    """Return logarithms of the level probabilities, which keep their digits where a probability is too small for a number."""
    logs = log_mass(scores, alpha, xp)
    # No overflow to guard against: the total is about e^7.
    return logs - xp.log(xp.sum(xp.exp(logs), axis=-1, keepdims=True))


def level_scores(name: str, alpha: float, dim: str) -> Any:
    """Make the scores as a variable of the open PyMC model."""
    import pymc as pm
    import pytensor.tensor as pt

    from trajectories.edss import LEVELS

    def logp(value: Any, shape: Any) -> Any:
        return log_density(value, alpha, pt) / len(LEVELS) * pt.ones_like(value)

    def random(shape: Any, rng: np.random.Generator | None = None, size: Any = None) -> Floats:
        return draw_scores(alpha, np.shape(shape) if size is None else size, rng)

    def start(rv: Any, size: Any, shape: Any) -> Any:
        return pt.full((len(LEVELS),), START)

    return pm.CustomDist(
        name,
        np.full(len(LEVELS), alpha),
        logp=logp,
        random=random,
        support_point=start,
        dims=dim,
        dtype="float64",
    )


def draw_scores(alpha: float, size: Any, rng: np.random.Generator | None) -> Floats:
    """Draw scores from the prior (… × 20), in logarithms: a Gamma(0.1) variable is often smaller than any floating-point number."""
    from scipy.special import logsumexp

    rng = np.random.default_rng() if rng is None else rng
    # Gamma(α) = Gamma(α + 1) · U^(1/α) (Marsaglia and Tsang 2000, doi:10.1145/358407.358414).
    logs = np.log(rng.gamma(alpha + 1.0, size=size)) + np.log(rng.uniform(size=size)) / alpha
    total = rng.normal(*LOG_TOTAL, size=(*logs.shape[:-1], 1))
    return scores_of(logs - logsumexp(logs, axis=-1, keepdims=True) + total, alpha)


def scores_of(logs: Floats, alpha: float) -> Floats:
    """Invert `log_mass` by bisection to full precision."""
    low = np.full(np.shape(logs), -60.0)
    high = np.full(np.shape(logs), 60.0)
    for _ in range(70):
        middle = (low + high) / 2
        below = log_mass(middle, alpha, np) < logs
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.asarray((low + high) / 2)
