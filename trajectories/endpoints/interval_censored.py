"""Weibull regression of times known only to lie in an interval, by maximum likelihood, on plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trajectories.endpoints.survival_steps import Floats

__all__ = ["WeibullMaximum", "fit_weibull", "weibull_log_likelihood"]

_ROUNDS = 100
_SMALL = 1e-16  # Newton decrement, in units of the log-likelihood


@dataclass(frozen=True, kw_only=True, eq=False)
class WeibullMaximum:
    """A maximum: `parameters` (coefficients, then log scale), their `covariance`, `log_likelihood`, `converged`.

    `slopes` are those of the parameters in the weights of patients (patients × parameters), weights of 1 included.
    """

    parameters: Floats
    covariance: Floats
    slopes: Floats
    log_likelihood: float
    converged: bool


def weibull_log_likelihood(
    parameters: Floats, X: Floats, lower: Floats, upper: Floats, weights: Floats | None = None
) -> tuple[float, Floats, Floats]:
    """Weighted log-likelihood of T in (lower, upper], log T = X β + σ W with W of the smallest extreme value, and its derivatives.

    With H(t) = exp((log t − xβ) / σ) a patient adds log(exp(−H(lower)) − exp(−H(upper))), times the patient's weight.

    Parameters
    ----------
    parameters
        β, then log σ, shape (terms + 1,).
    X
        Covariates with a column of ones, patients × terms.
    lower, upper
        Shape (patients,): lower may be 0, upper infinite (right-censored at lower); lower < upper.
    weights
        Shape (patients,); None for 1 each.

    Returns
    -------
    Value, scores of patients without their weights (patients × (terms + 1)), and matrix of second derivatives.

    Examples
    --------
    >>> round(weibull_log_likelihood(np.zeros(2), np.ones((1, 1)), np.array([0.0]), np.array([1.0]))[0], 4)
    -0.4587
    """
    w = np.ones(len(X)) if weights is None else weights
    eta, rate = X @ parameters[:-1], np.exp(-parameters[-1])
    (before, slope_before, bend_before), (after, slope_after, bend_after) = (
        _cumulative_hazard(times, eta, rate, X) for times in (lower, upper)
    )
    seen = np.isfinite(upper)
    width = np.where(seen, after - before, 1.0)
    with np.errstate(over="ignore", divide="ignore"):
        q = np.where(seen, 1 / np.expm1(width), 0.0)
        value = w @ (-before + np.where(seen, np.log(-np.expm1(-width)), 0.0))
    change = slope_after - slope_before  # 0 × anything for the censored, whose q is 0
    scores = -slope_before + q[:, None] * change
    second = np.einsum("i,ij,ik->jk", -w * q * (1 + q), change, change)
    second += np.einsum("i,ijk->jk", w, -bend_before + q[:, None, None] * (bend_after - bend_before))
    return float(value), scores, second


def _cumulative_hazard(times: Floats, eta: Floats, rate: float, X: Floats) -> tuple[Floats, Floats, Floats]:
    """H(t) = exp(u), u = (log t − η) / σ, with first and second derivatives by the parameters; 0 at t = 0 and where t is infinite."""
    some = (times > 0) & np.isfinite(times)
    u = np.where(some, (np.log(np.where(some, times, 1.0)) - eta) * rate, 0.0)
    with np.errstate(over="ignore"):
        hazard = np.where(some, np.exp(u), 0.0)
    terms = X.shape[1]
    by_parameters = np.concatenate([-X * rate, -u[:, None]], axis=1)
    bend = by_parameters[:, :, None] * by_parameters[:, None, :]
    bend[:, :terms, terms] += X * rate
    bend[:, terms, :terms] += X * rate
    bend[:, terms, terms] += u
    return hazard, hazard[:, None] * by_parameters, hazard[:, None, None] * bend


def fit_weibull(X: Floats, lower: Floats, upper: Floats, weights: Floats | None = None) -> WeibullMaximum:
    """Maximise the likelihood by Newton's method with halved steps; covariance from the observed information.

    Parameters
    ----------
    X, lower, upper, weights
        As for `weibull_log_likelihood`.

    Returns
    -------
    `WeibullMaximum`; `converged` is False if there is no maximum or the covariates are collinear.

    References
    ----------
    Odell, Anderson and D'Agostino 1992 (doi:10.2307/2532360); Kalbfleisch and Prentice 2002 (doi:10.1002/9781118032985).

    Examples
    --------
    >>> lower, upper = np.array([0.0, 1.0, 1.0, 2.0]), np.array([1.0, 2.0, 2.0, np.inf])
    >>> fit = fit_weibull(np.ones((4, 1)), lower, upper)
    >>> bool(fit.converged), round(float(np.exp(fit.parameters[0])), 3)
    (True, 1.732)
    """
    w = np.ones(len(X)) if weights is None else weights
    centre, scale = X.mean(axis=0), X.std(axis=0)
    constant = scale < 1e-12
    scale = np.where(constant, 1.0, scale)
    Z = (X - np.where(constant, 0.0, centre)) / scale
    parameters = np.zeros(X.shape[1] + 1)
    seen = np.isfinite(upper)
    years = float(w @ np.where(seen, (lower + np.where(seen, upper, 0.0)) / 2, lower))
    events = float(w @ seen) or 1.0
    parameters[:-1] = np.where(constant, np.log(years / events) / max(constant.sum(), 1), 0.0)
    value, scores, second = weibull_log_likelihood(parameters, Z, lower, upper, w)
    converged = False
    for _ in range(_ROUNDS):
        gradient = w @ scores
        step = _uphill(gradient, second)
        converged = bool(gradient @ step < _SMALL * max(1.0, abs(value)))
        tried = weibull_log_likelihood(parameters + step, Z, lower, upper, w)
        while not tried[0] >= value - 1e-9 * abs(value):
            step = step / 2
            tried = weibull_log_likelihood(parameters + step, Z, lower, upper, w)
        parameters, (value, scores, second) = parameters + step, tried
        if converged:  # and one step beyond, which doubles the digits
            break
    inverse, definite = _inverse(-second)
    back = _to_original(centre, scale, constant)
    return WeibullMaximum(
        parameters=back @ parameters,
        covariance=back @ inverse @ back.T,
        slopes=scores @ inverse @ back.T,
        log_likelihood=value,
        converged=converged and definite,
    )


def _uphill(gradient: Floats, second: Floats) -> Floats:
    """Newton's step; where the surface is not curved downwards, along each axis of curvature as far as its absolute value says."""
    values, axes = np.linalg.eigh(-second)
    curvature = np.maximum(np.abs(values), 1e-8 * max(float(np.abs(values).max()), 1e-300))
    return np.asarray(axes @ ((axes.T @ gradient) / curvature), dtype=np.float64)


def _inverse(information: Floats) -> tuple[Floats, bool]:
    values, axes = np.linalg.eigh(information)
    definite = bool(values.min() > 1e-10 * values.max())
    return np.asarray((axes / np.where(values > 0, values, np.nan)) @ axes.T), definite


def _to_original(centre: Floats, scale: Floats, constant: NDArray[np.bool_]) -> Floats:
    """Matrix that takes coefficients of centred and scaled covariates to those of the covariates as given."""
    terms = len(centre)
    back = np.eye(terms + 1)
    back[:terms, :terms] /= scale[:, None]
    intercept = np.flatnonzero(constant)
    if intercept.size:
        moved = ~constant
        back[intercept[0], :terms][moved] -= (centre / scale)[moved]
    return back
