"""Log-densities, each written once over an array namespace: numpy for results, pytensor.tensor for sampling.

Every function takes its namespace as `xp`; the namespaces share the names `exp`, `log`, `expm1`, `abs`, `minimum`, `maximum`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Literal

import numpy as np

__all__ = ["FAR", "Link", "ordinal_logpmf", "negative_binomial_logpmf", "normal_logpdf", "poisson_logpmf"]

type Link = Literal["logit", "probit"]

# Where the outermost cutpoints stand: beyond any real one, and finite, so that no gradient becomes inf − inf.
FAR = 1e3


def ordinal_logpmf(upper: Any, lower: Any, link: Link, xp: ModuleType) -> Any:
    """Log-probability of a level between two cutpoints, log[F(upper) − F(lower)], F the link's distribution.

    For the logit link, with e = exp(−|·|):
    log[σ(a) − σ(b)] = min(a, 0) − max(b, 0) + log[(1 − exp(b − a)) / ((1 + e_a)(1 + e_b))].
    This equals −softplus(−a) − softplus(b) + log1mexp(b − a) and costs four transcendental functions instead of
    ten with its gradient, half the time of a step of the sampler.

    Parameters
    ----------
    upper, lower
        Cutpoints minus linear predictor, upper > lower, same shape; ±`FAR` beyond the outermost.
    link
        "logit" or "probit".
    xp
        The array namespace.

    >>> import numpy as np
    >>> float(np.exp(ordinal_logpmf(np.array(0.0), np.array(-FAR), "logit", np)).round(6))
    0.5
    """
    if link == "probit":
        return _probit_logpmf(upper, lower, xp)
    tails = (1 + xp.exp(-xp.abs(upper))) * (1 + xp.exp(-xp.abs(lower)))
    return xp.minimum(upper, 0.0) - xp.maximum(lower, 0.0) + xp.log(-xp.expm1(lower - upper) / tails)


def _probit_logpmf(upper: Any, lower: Any, xp: ModuleType) -> Any:
    # Φ(a) − Φ(b) = Φ(−b) − Φ(−a): work on the side where both are in the lower tail, where logs keep their digits.
    flip = (upper + lower) > 0
    a = xp.where(flip, -lower, upper)
    b = xp.where(flip, -upper, lower)
    log_a, log_b = _log_ndtr(a, xp), _log_ndtr(b, xp)
    return log_a + xp.log(-xp.expm1(log_b - log_a))


def _log_ndtr(x: Any, xp: ModuleType) -> Any:
    if xp is np:
        from scipy.special import log_ndtr

        return log_ndtr(x)
    tail = xp.minimum(x, -1.0)
    body = xp.maximum(x, -1.0)
    return xp.where(
        x < -1.0,
        xp.log(xp.erfcx(-tail / np.sqrt(2.0)) / 2) - tail * tail / 2,
        xp.log(xp.erfc(-body / np.sqrt(2.0)) / 2),
    )


def normal_logpdf(value: Any, mean: Any, sd: Any, xp: ModuleType) -> Any:
    """Log-density of the normal distribution, −½((value − mean)/sd)² − log(sd √(2π)).

    >>> import numpy as np
    >>> float(normal_logpdf(np.array(0.0), 0.0, 1.0, np).round(6))
    -0.918939
    """
    return -0.5 * ((value - mean) / sd) ** 2 - xp.log(sd) - 0.5 * np.log(2 * np.pi)


def poisson_logpmf(count: Any, log_mean: Any, xp: ModuleType) -> Any:
    """Log-probability of a Poisson count: count·log μ − μ − log count!.

    >>> import numpy as np
    >>> float(poisson_logpmf(np.array(0), np.array(0.0), np))
    -1.0
    """
    return count * log_mean - xp.exp(log_mean) - _gammaln(count + 1.0, xp)


def negative_binomial_logpmf(count: Any, log_mean: Any, dispersion: Any, xp: ModuleType) -> Any:
    """Log-probability of an NB2 count, Var = μ + αμ² with dispersion α.

    With r = 1/α: log Γ(count + r) − log Γ(r) − log count! + r·log(r/(r + μ)) + count·log(μ/(r + μ)).

    >>> import numpy as np
    >>> float(np.exp(negative_binomial_logpmf(np.array(0), np.array(0.0), np.array(1.0), np)).round(6))
    0.5
    """
    shape = 1.0 / dispersion
    log_total = xp.log(shape + xp.exp(log_mean))
    return (
        _gammaln(count + shape, xp)
        - _gammaln(shape, xp)
        - _gammaln(count + 1.0, xp)
        + shape * (xp.log(shape) - log_total)
        + count * (log_mean - log_total)
    )


def _gammaln(x: Any, xp: ModuleType) -> Any:
    if xp is np:
        from scipy.special import gammaln

        return gammaln(x)
    return xp.gammaln(x)
