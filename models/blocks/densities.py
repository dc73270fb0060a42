"""Log-densities, each written once over an array namespace: numpy for results, pytensor.tensor for sampling, jax.numpy for integrals.

Every function takes its namespace as `xp`; the namespaces share the names `exp`, `log`, `expm1`, `log1p`, `abs`, `minimum`,
`maximum`, `where`.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Literal

import numpy as np

__all__ = [
    "FAR",
    "Link",
    "autoregression",
    "autoregressive_logpdf",
    "log_normal_cdf",
    "negative_binomial_logpmf",
    "normal_logpdf",
    "ordinal_logpmf",
    "poisson_logpmf",
]

type Link = Literal["logit", "probit"]

# Where the outermost cutpoints stand: beyond any real one, and finite, so that no gradient becomes inf − inf.
FAR = 1e3

# Dispersions below this use a series (counts up to 1,000: error below 1e-6); those below the second are Poisson to every digit.
_SMALL = 1e-5
_POISSON = 1e-200


def ordinal_logpmf(upper: Any, lower: Any, link: Link, xp: ModuleType, within: Any = None) -> Any:
    """Log-probability of a level between two cutpoints, log[F(upper) − F(lower)], F the link's distribution.

    For the logit link, with e = exp(−|·|):
    log[σ(a) − σ(b)] = min(a, 0) − max(b, 0) + log[(1 − exp(b − a)) / ((1 + e_a)(1 + e_b))].
    This equals −softplus(−a) − softplus(b) + log1mexp(b − a) at half the cost or less.

    Parameters
    ----------
    upper, lower
        Cutpoints minus linear predictor, upper > lower, same shape; ±`FAR` beyond the outermost.
    link
        "logit" or "probit".
    xp
        The array namespace.
    within
        log(1 − exp(lower − upper)) if it is known better than from the difference; used with the logit link.

    Examples
    --------
    >>> import numpy as np
    >>> float(np.exp(ordinal_logpmf(np.array(0.0), np.array(-FAR), "logit", np)).round(6))
    0.5
    """
    if link == "probit":
        return _probit_logpmf(upper, lower, xp)
    tails = (1 + xp.exp(-xp.abs(upper))) * (1 + xp.exp(-xp.abs(lower)))
    if within is None:
        return xp.minimum(upper, 0.0) - xp.maximum(lower, 0.0) + xp.log(-xp.expm1(lower - upper) / tails)
    return xp.minimum(upper, 0.0) - xp.maximum(lower, 0.0) + within - xp.log(tails)


def _probit_logpmf(upper: Any, lower: Any, xp: ModuleType) -> Any:
    # Φ(a) − Φ(b) = Φ(−b) − Φ(−a): work on the side where both are in the lower tail, where logs keep their digits.
    flip = (upper + lower) > 0
    a = xp.where(flip, -lower, upper)
    b = xp.where(flip, -upper, lower)
    log_a, log_b = log_normal_cdf(a, xp), log_normal_cdf(b, xp)
    return log_a + xp.log(-xp.expm1(log_b - log_a))


def log_normal_cdf(x: Any, xp: ModuleType) -> Any:
    """Return log Φ(x), precise far into the lower tail."""
    if special := _special(xp):
        return special.log_ndtr(x)
    tail = xp.minimum(x, -1.0)
    body = xp.maximum(x, -1.0)
    return xp.where(
        x < -1.0,
        xp.log(xp.erfcx(-tail / np.sqrt(2.0)) / 2) - tail * tail / 2,
        xp.log(xp.erfc(-body / np.sqrt(2.0)) / 2),
    )


def normal_logpdf(value: Any, mean: Any, sd: Any, xp: ModuleType) -> Any:
    """Log-density of the normal distribution, −½((value − mean)/sd)² − log(sd √(2π)).

    Examples
    --------
    >>> import numpy as np
    >>> float(normal_logpdf(np.array(0.0), 0.0, 1.0, np).round(6))
    -0.918939
    """
    return -0.5 * ((value - mean) / sd) ** 2 - xp.log(sd) - 0.5 * np.log(2 * np.pi)


def autoregressive_logpdf(
    residual: Any, previous: Any, gap: Any, follows: Any, sd: Any, time_range: Any, xp: ModuleType
) -> Any:
    """Log-density of a residual given that of the patient's previous visit, in a continuous-time AR(1) process.

    e_j | e_{j−1} ~ N(ρ e_{j−1}, sd² (1 − ρ²)), ρ = exp(−gap / time_range); a first visit has e_1 ~ N(0, sd²). The sum over a
    patient's visits is the log-density of a multivariate normal with correlations exp(−|t_j − t_k| / time_range).

    Parameters
    ----------
    residual, previous
        Outcome minus its mean at this visit and at the previous one.
    gap
        Years since the previous visit, positive; any positive number for a first visit.
    follows
        1.0 where there is a previous visit, 0.0 at a first visit.
    sd, time_range
        Standard deviation of a residual, and years after which the correlation is exp(−1).
    xp
        The array namespace.

    Source: Jones and Boadi-Boateng (1991), Biometrics 47:161, doi:10.2307/2532504.

    Examples
    --------
    >>> import numpy as np
    >>> first = autoregressive_logpdf(np.array(0.0), 0.0, 1.0, 0.0, 1.0, 1.0, np)
    >>> float(first.round(6))
    -0.918939
    """
    correlation, share = autoregression(gap, follows, time_range, xp)
    return normal_logpdf(residual, correlation * previous, sd * share**0.5, xp)


def autoregression(gap: Any, follows: Any, time_range: Any, xp: ModuleType) -> tuple[Any, Any]:
    """Correlation ρ of a residual with the previous one, and the share 1 − ρ² of its variance that is new.

    ρ = exp(−gap / time_range) where there is a previous visit (`follows` 1.0), 0 at a first visit (`follows` 0.0).

    Examples
    --------
    >>> import numpy as np
    >>> correlation, share = autoregression(np.array([1.0, 1.0]), np.array([0.0, 1.0]), 1.0, np)
    >>> correlation.round(3).tolist(), share.round(3).tolist()
    ([0.0, 0.368], [1.0, 0.865])
    """
    # 1 − ρ² through expm1 keeps its digits when ρ is near 1.
    return follows * xp.exp(-gap / time_range), 1.0 - follows - follows * xp.expm1(-2.0 * gap / time_range)


def poisson_logpmf(count: Any, log_mean: Any, xp: ModuleType) -> Any:
    """Log-probability of a Poisson count: count·log μ − μ − log count!.

    Examples
    --------
    >>> import numpy as np
    >>> float(poisson_logpmf(np.array(0), np.array(0.0), np))
    -1.0
    """
    return count * log_mean - xp.exp(log_mean) - _gammaln(count + 1.0, xp)


def negative_binomial_logpmf(count: Any, log_mean: Any, dispersion: Any, xp: ModuleType) -> Any:
    """Log-probability of an NB2 count, Var = μ + αμ² with dispersion α.

    Σ_{j<count} log(1 + αj) + count·log μ − (count + 1/α)·log(1 + αμ) − log count!, which stays exact as α → 0, where it
    becomes Poisson's; the usual form with Γ(count + 1/α) / Γ(1/α) loses all digits there.

    Examples
    --------
    >>> import numpy as np
    >>> float(np.exp(negative_binomial_logpmf(np.array(0), np.array(0.0), np.array(1.0), np)).round(6))
    0.5
    >>> count, log_mean = np.array(3), np.array(0.5)
    >>> limit = negative_binomial_logpmf(count, log_mean, np.array(0.0), np)
    >>> bool(np.isclose(limit, poisson_logpmf(count, log_mean, np)))
    True
    """
    dispersion = xp.maximum(dispersion, _POISSON)
    excess = xp.log(dispersion) + log_mean
    log1p_excess = xp.log1p(xp.exp(-xp.abs(excess))) + xp.maximum(
        excess, 0.0
    )  # log(1 + αμ), without overflow
    return (
        _log_rising(count, dispersion, xp)
        + count * (log_mean - log1p_excess)
        - log1p_excess / dispersion
        - _gammaln(count + 1.0, xp)
    )


def _log_rising(count: Any, dispersion: Any, xp: ModuleType) -> Any:
    """Σ_{j<count} log(1 + αj) = log Γ(count + 1/α) − log Γ(1/α) + count·log α, by its Taylor series where α is small."""
    shape = 1.0 / xp.maximum(dispersion, _SMALL)
    by_gamma = _gammaln(count + shape, xp) - _gammaln(shape, xp) - count * xp.log(shape)
    first = count * (count - 1.0) / 2  # Σj, then Σj² and Σj³ = (Σj)²
    second = first * (2.0 * count - 1.0) / 3
    series = dispersion * (first - dispersion * (second / 2 - dispersion * first**2 / 3))
    return xp.where(dispersion < _SMALL, series, by_gamma)


def _gammaln(x: Any, xp: ModuleType) -> Any:
    return (_special(xp) or xp).gammaln(x)


def _special(xp: ModuleType) -> Any:
    """The namespace's special functions, in a module of their own except in PyTensor: None there."""
    if xp is np:
        from scipy import special

        return special
    if xp.__name__ == "jax.numpy":
        from jax.scipy import special

        return special
    return None
