"""The top of a log-density: quasi-Newton steps by its gradient, or Newton steps by finite differences, and the curvature there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trajectories.fitting.diagnostics import ConvergenceError
from trajectories.models.design import Floats, Ints

__all__ = ["Peak", "ascend", "by_differences", "climb", "curvature", "derivatives"]

type Function = Callable[[Floats], float]

# The smallest curvature that a Newton step believes in.
FLAT = 1e-4

# Step of the differences of gradients.
STEP = 1e-4


@dataclass(frozen=True, kw_only=True, eq=False)
class Peak:
    """A maximum: where, the covariance matrix of the normal approximation there, and whether it is one."""

    theta: Floats
    covariance: Floats
    converged: bool


def climb(function: Function, theta: Floats) -> Peak:
    """Climb to the maximum of a log-likelihood from near it, and approximate it there by a normal density.

    The covariance is the inverse of the observed information. In a direction where the log-likelihood is far from a parabola, so
    that one standard error away it has fallen by less than 0.2 or more than 1.25 in place of 0.5, the standard error is taken where it
    has fallen by 0.5.

    Parameters
    ----------
    function
        The log-likelihood.
    theta
        Where to begin.

    >>> top = climb(lambda t: -float((t[0] - 1) ** 2 + t[1] ** 4), np.array([0.5, 0.0]))
    >>> top.theta.round(6).tolist(), np.sqrt(np.diag(top.covariance)).round(3).tolist()
    ([1.0, 0.0], [0.707, 0.841])
    """
    theta = _newton(function, theta)
    gradient, information = derivatives(function, theta)
    sizes, directions = np.linalg.eigh(information)
    widths = np.array([_width(function, theta, d, k) for d, k in zip(directions.T, sizes, strict=True)])
    if not np.isfinite(widths).all():  # a direction without a fall
        return Peak(theta=theta, covariance=np.zeros_like(information), converged=False)
    covariance = (directions * widths**2) @ directions.T
    # Half of this is what another step would still gain.
    return Peak(theta=theta, covariance=covariance, converged=bool(gradient @ covariance @ gradient < 1e-5))


def _width(function: Function, theta: Floats, direction: Floats, curvature: float) -> float:
    """Return the standard error along a direction."""
    top = function(theta)

    def fall(step: float) -> float:
        return top - (function(theta + step * direction) + function(theta - step * direction)) / 2

    width = 1 / np.sqrt(max(curvature, FLAT))
    if 0.2 < fall(width) < 1.25:  # a parabola falls by 0.5
        return float(width)
    low, high = 0.0, 1e-3
    while fall(high) < 0.5:
        low, high = high, 2 * high
        if high > 1e3:
            return np.inf
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if fall(middle) < 0.5 else (low, middle)
    return high


def derivatives(function: Function, theta: Floats) -> tuple[Floats, Floats]:
    """Return gradient and minus the second derivatives, by central differences.

    >>> gradient, information = derivatives(lambda t: -float(t @ t), np.array([1.0, 0.0]))
    >>> gradient.round(6).tolist(), abs(information).round(4).tolist()
    ([-2.0, 0.0], [[2.0, 0.0], [0.0, 2.0]])
    """
    step = 1e-3
    shifts = step * np.eye(len(theta))
    middle = function(theta)
    up = np.array([function(theta + s) for s in shifts])
    down = np.array([function(theta - s) for s in shifts])
    information = np.diag(-(up - 2 * middle + down) / step**2)
    for i in range(len(shifts)):
        for j in range(i):
            corners = [function(theta + a * shifts[i] + b * shifts[j]) for a in (1, -1) for b in (1, -1)]
            mixed = (corners[0] - corners[1] - corners[2] + corners[3]) / (4 * step**2)
            information[i, j] = information[j, i] = -mixed
    # Half the step again takes the cubic term out of the gradient (Richardson).
    near = np.array([function(theta + s / 2) - function(theta - s / 2) for s in shifts]) / step
    return (4 * near - (up - down) / (2 * step)) / 3, information


def _newton(function: Function, theta: Floats) -> Floats:
    """Take damped Newton steps until they gain nothing."""
    value = function(theta)
    for _ in range(50):
        gradient, information = derivatives(function, theta)
        sizes, directions = np.linalg.eigh(information)
        step = directions @ ((directions.T @ gradient) / np.maximum(np.abs(sizes), FLAT))
        step *= min(1.0, 1.0 / max(float(np.linalg.norm(step)), 1e-300))
        size = next((0.5**k for k in range(12) if function(theta + 0.5**k * step) > value), None)
        if size is None:
            return theta
        theta = theta + size * step
        gained, value = function(theta) - value, function(theta)
        if gained < 1e-12 * max(1.0, abs(value)):
            return theta
    return theta


def ascend(
    rise: Callable[[Floats], tuple[float, Floats]], theta: Floats, free: Ints, *, slope: float, most: int
) -> Floats:
    """Go up by quasi-Newton steps (BFGS) in the free parameters until the gradient is below `slope`, `most` steps at most.

    Parameters
    ----------
    rise
        The function and its gradient. Where it is no number, or a ConvergenceError, no step goes.
    theta
        Where to begin.

    >>> ascend(lambda x: (-float(x @ x), -2 * x), np.array([1.0, 2.0]), np.array([0]), slope=1e-6, most=50).round(6).tolist()
    [0.0, 2.0]
    """
    from scipy.optimize import minimize

    at = theta.copy()

    def fall(x: Floats) -> tuple[float, Floats]:
        at[free] = x
        try:
            value, gradient = rise(at)
        except ConvergenceError:
            return np.inf, np.zeros(len(x))
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return np.inf, np.zeros(len(x))
        return -value, -gradient[free]

    at[free] = minimize(fall, at[free], jac=True, method="BFGS", options={"gtol": slope, "maxiter": most}).x
    return at


def curvature(gradient: Callable[[Floats], Floats], theta: Floats, free: Ints) -> Floats:
    """Minus the second derivatives in the free parameters, by central differences of an exact gradient (error about 1e-8).

    >>> curvature(lambda x: -2 * x, np.array([1.0, 2.0]), np.array([0, 1])).round(6).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    steps = STEP * np.eye(len(theta))[free]
    columns = np.stack([(gradient(theta - e) - gradient(theta + e))[free] / (2 * STEP) for e in steps])
    return np.asarray((columns + columns.T) / 2)


def by_differences(scores: Callable[[Floats], Floats], theta: Floats) -> Floats:
    """Minus the derivatives of the scores of patients (… × parameters), by central differences: … × parameters × parameters.

    >>> by_differences(lambda x: -np.outer([1.0, 3.0], x**2) / 2, np.array([1.0, 2.0])).round(6).diagonal(axis1=1, axis2=2).tolist()
    [[1.0, 2.0], [3.0, 6.0]]
    """
    steps = STEP * np.eye(len(theta))
    made = np.stack([(scores(theta - e) - scores(theta + e)) / (2 * STEP) for e in steps], axis=-1)
    return np.asarray((made + np.swapaxes(made, -1, -2)) / 2)
