"""The probability of no event, averaged over new patients whose log rates differ by a normal effect."""

from __future__ import annotations

import numpy as np

from trajectories.models.design import Floats

__all__ = ["no_event_probability"]


def no_event_probability(log_mean: Floats, sd: Floats, dispersion: Floats | None) -> Floats:
    """Average P(count = 0) over u ~ N(0, sd²): ∫ (1 + α exp(log μ + u))^(−1/α) N(u; 0, sd²) du.

    By the trapezoid rule over u/sd in ±8.5. The integrand is analytic and bounded for |Im u| < π/2, so the error falls like
    exp(−π²/(sd·step)); the step is chosen for an error below 1e-10.

    Parameters
    ----------
    log_mean
        Log of the expected count of a patient with u = 0.
    sd
        Standard deviation of u; same shape or broadcasting to it.
    dispersion
        α, same shape or broadcasting to it; None for Poisson counts, exp(−μ).

    >>> no_event_probability(np.array([0.0]), np.array([0.0]), np.array([1.0])).tolist()
    [0.5]
    """
    largest = float(np.max(sd, initial=0.0))
    if largest == 0.0:
        return _no_event(log_mean, dispersion)
    nodes = np.arange(0.0, 8.5, min(0.5, 0.35 / largest))
    weights = np.exp(-0.5 * nodes**2)
    weights /= weights[0] + 2 * weights[1:].sum()
    total = weights[0] * _no_event(log_mean, dispersion)
    for node, weight in zip(nodes[1:], weights[1:], strict=True):
        total += weight * (
            _no_event(log_mean - sd * node, dispersion) + _no_event(log_mean + sd * node, dispersion)
        )
    return np.asarray(total)


def _no_event(log_mean: Floats, dispersion: Floats | None) -> Floats:
    from trajectories.models.blocks.densities import negative_binomial_logpmf, poisson_logpmf

    zero = np.zeros(())
    if dispersion is None:
        return np.asarray(np.exp(poisson_logpmf(zero, log_mean, np)))
    return np.asarray(np.exp(negative_binomial_logpmf(zero, log_mean, dispersion, np)))
