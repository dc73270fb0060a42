"""Log-likelihoods around their maxima, and coordinates in which a parameter of a summary is one of them: what profiles are made of.

Parameters θ are, in the optimiser's units, those of the density, the coefficients, and the entries of Λ. A quantity of the summary is a
function of θ, often a curved one: a cutpoint of gaps and of the centring of the columns, a standard deviation or a correlation of entries of
Λ. Other coordinates φ, of which the quantity is one and from which θ follows, turn its profile into a maximisation over the rest of φ
without a constraint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from trajectories.fitting.count_fit import CountFit
from trajectories.fitting.count_likelihood import loglik
from trajectories.fitting.counts import CountData
from trajectories.fitting.marginal import Integrated
from trajectories.fitting.marginal_fit import MarginalFit
from trajectories.fitting.marginal_gaussian import moments, profile, unpack
from trajectories.fitting.marginal_models import LOG_POISSON, OrdinalAdaptor
from trajectories.fitting.mixedlm import MixedLMFit
from trajectories.models.binary import BinaryMixed
from trajectories.models.blocks.patient_effects import from_user, lower_entries, patient_scaling
from trajectories.models.counts import CountModel, dispersion_group
from trajectories.models.design import Design, Floats, Scaling
from trajectories.models.ordinal import CUTPOINTS

if TYPE_CHECKING:
    from trajectories.fitting.point import PointFit

__all__ = ["Coordinate", "Surface", "coordinate_of"]

# Steps of differences of a log-likelihood without derivatives of its own.
STEP = 1e-5

type Rise = Callable[[Floats], tuple[float, Floats]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Surface:
    """A log-likelihood, with its gradient, and its maximum.

    Parameters
    ----------
    rise
        Log-likelihood and gradient at θ.
    theta
        The maximum.
    own
        How many parameters of the density come before the coefficients.
    x, z
        How the columns of fixed terms and patient effects are centred and scaled.
    dispersions
        Places of the log α of counts, which may be at minus infinity.
    diagonal
        Places of the diagonal of Λ, whose entries may be 0, where the log-likelihood has no slope in them.
    """

    rise: Rise
    theta: Floats
    own: int
    x: Scaling
    z: Scaling
    dispersions: tuple[int, ...] = ()

    @property
    def first(self) -> int:
        """Place of the first entry of Λ."""
        return self.own + len(self.x.sd)

    @property
    def diagonal(self) -> tuple[int, ...]:
        """Places of the diagonal of Λ."""
        return tuple(self.first + i * (i + 3) // 2 for i in range(len(self.z.sd)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Coordinate:
    """Coordinates φ of a surface of which a quantity is one.

    Parameters
    ----------
    surface
        The log-likelihood.
    phi
        The maximum in these coordinates.
    position
        Which of φ is the quantity, in the user's units.
    fill
        θ from φ (samples × …).
    lower, upper
        Where the quantity ends, if the end itself is possible.
    above
        A value that it cannot reach; a standard deviation of residuals is above 0.
    alone
        Further coordinates that are 0 at the lower end, since they mean nothing there.
    positive
        Coordinates that must not change sign.
    """

    surface: Surface
    phi: Floats
    position: int
    fill: Callable[[Floats], Floats]
    lower: float = -np.inf
    upper: float = np.inf
    above: float = -np.inf
    alone: tuple[int, ...] = field(default=())
    positive: tuple[int, ...] = field(default=())


def coordinate_of(fit: PointFit, term: str) -> Coordinate:
    """Find coordinates in which a parameter, as the summary of a maximum-likelihood fit names it, is one."""
    design = fit.design
    value = float(fit.summary()["estimate"][term])
    if term in design.terms:
        k = design.terms.index(term)
        surface = _surface(fit)
        return _scaled(surface, surface.own + k, float(surface.x.sd[k]), value)
    if term == "intercept":
        return _intercept(_surface(fit), value, -1.0 if isinstance(fit.model, BinaryMixed) else 1.0)
    if term in CUTPOINTS:
        return _cutpoint(fit, CUTPOINTS.index(term), value)
    if term.startswith("dispersion"):
        arms = [f"dispersion({arm})" for arm in design.arms]
        return _logarithm(_surface(fit), 1 + (arms.index(term) if term in arms else 0), value, lower=0.0)
    if term == "residual_sd":
        return _logarithm(_surface(fit), 1, value, above=0.0)
    deviations = [f"sd({effect})" for effect in design.effects]
    if term in deviations:
        return _deviation(fit, deviations.index(term), value)
    pairs = [(i, j) for i in range(len(design.effects)) for j in range(i + 1, len(design.effects))]
    names = [f"cor({design.effects[i]}, {design.effects[j]})" for i, j in pairs]
    return _correlation(fit, *pairs[names.index(term)], value)


# Coordinates


def _scaled(surface: Surface, position: int, scale: float, value: float) -> Coordinate:
    def fill(phi: Floats) -> Floats:
        theta = phi.copy()
        theta[..., position] = phi[..., position] * scale
        return theta

    return Coordinate(
        surface=surface, phi=_with(surface.theta, position, value), position=position, fill=fill
    )


def _moved(surface: Surface, phi: Floats) -> Floats:
    """What centring the fixed terms took from the linear predictor."""
    return np.asarray(phi[..., surface.own : surface.first] @ (surface.x.mean / surface.x.sd))


def _intercept(surface: Surface, value: float, sign: float) -> Coordinate:
    """Of a binary outcome the parameter of the density is a cutpoint, minus the intercept."""

    def fill(phi: Floats) -> Floats:
        theta = phi.copy()
        theta[..., 0] = sign * (phi[..., 0] + _moved(surface, phi))
        return theta

    return Coordinate(surface=surface, phi=_with(surface.theta, 0, value), position=0, fill=fill)


def _cutpoint(fit: PointFit, cutpoint: int, value: float) -> Coordinate:
    surface = _surface(fit)
    assert isinstance(fit.solution, MarginalFit)
    assert isinstance(fit.solution.adaptor, OrdinalAdaptor)
    gaps = int(np.searchsorted(fit.solution.adaptor.occupied, cutpoint, side="right")) - 1

    def fill(phi: Floats) -> Floats:
        theta = phi.copy()
        below = np.exp(phi[..., 1 : 1 + gaps]).sum(axis=-1)
        theta[..., 0] = phi[..., 0] - _moved(surface, phi) - below
        return theta

    return Coordinate(surface=surface, phi=_with(surface.theta, 0, value), position=0, fill=fill)


def _logarithm(
    surface: Surface, position: int, value: float, *, lower: float = -np.inf, above: float = -np.inf
) -> Coordinate:
    def fill(phi: Floats) -> Floats:
        theta = phi.copy()
        theta[..., position] = np.log(np.maximum(phi[..., position], np.exp(LOG_POISSON)))
        return theta

    return Coordinate(
        surface=surface, phi=_with(surface.theta, position, value), position=position, fill=fill, lower=lower,
        above=above,
    )  # fmt: skip


def _deviation(fit: PointFit, k: int, value: float) -> Coordinate:
    """A standard deviation is the first entry of Λ, with its effect the first."""
    surface = _surface(fit, (k,))
    first, q = surface.first, len(surface.z.sd)
    made = _scaled(surface, first, float(surface.z.sd[0]), value)
    return replace(made, lower=0.0, alone=tuple(first + i * (i + 1) // 2 for i in range(1, q)))


def _correlation(fit: PointFit, i: int, j: int, value: float) -> Coordinate:
    """With its two effects the first, Λ₂₁ = ρs and Λ₂₂ = √(1 − ρ²) s, s being the second standard deviation."""
    if not np.isfinite(value):
        raise ValueError(
            "the correlation with an effect without variance has no estimate, and so no profile."
        )
    surface = _surface(fit, (i, j))
    first = surface.first

    def fill(phi: Floats) -> Floats:
        theta = phi.copy()
        rho, s = phi[..., first + 1], phi[..., first + 2]
        theta[..., first + 1], theta[..., first + 2] = rho * s, np.sqrt(np.maximum(1 - rho**2, 0.0)) * s
        return theta

    phi = _with(surface.theta, first + 1, value)
    phi[first + 2] = np.hypot(surface.theta[first + 1], surface.theta[first + 2])
    return Coordinate(
        surface=surface,
        phi=phi,
        position=first + 1,
        fill=fill,
        lower=-1.0,
        upper=1.0,
        positive=(first, first + 2),
    )


def _with(theta: Floats, position: int, value: float) -> Floats:
    phi = theta.copy()
    phi[position] = value
    return phi


# Surfaces


def _surface(fit: PointFit, leading: tuple[int, ...] = ()) -> Surface:
    """The log-likelihood of a fit; with some patient effects in front, those of the intercept at the user's time 0."""
    solution, design = fit.solution, fit.design
    if isinstance(solution, MarginalFit):
        return _integrated(solution, leading)
    if isinstance(solution, MixedLMFit):
        return _gaussian(solution, leading)
    assert isinstance(fit.model, CountModel)
    return _independent(solution, fit.model, design)


def _arranged(
    design: Design, scaling: Scaling, leading: tuple[int, ...], covariance: Floats
) -> tuple[Floats, Scaling, Floats]:
    """Columns of the patient effects in an order, their scaling, and the entries of Λ for a covariance in the user's units."""
    order = [*leading, *(k for k in range(len(design.effects)) if k not in leading)]
    # The intercept of the user's summary is that at time 0, so that for it times must not be centred.
    scaling = Scaling(mean=scaling.mean * (0 not in leading), sd=scaling.sd)
    to_new = from_user(scaling)
    inner = (to_new @ covariance @ to_new.T)[np.ix_(order, order)]
    Z = scaling.apply(design.formula.matrices.Z)[:, order]
    return Z, Scaling(mean=scaling.mean[order], sd=scaling.sd[order]), lower_entries(inner)


def _integrated(fit: MarginalFit, leading: tuple[int, ...]) -> Surface:
    adaptor, shape, likelihood = fit.adaptor, fit.likelihood.shape, fit.likelihood
    z, theta = adaptor.z, fit.theta.copy()
    if leading:
        covariance = fit.estimates()["patient_covariance"].to_numpy()
        Z, z, entries = _arranged(adaptor.design, adaptor.z, leading, covariance)
        theta = np.concatenate([theta[: shape.own + shape.terms], entries])
        if shape.effects > 1:
            rows = replace(likelihood.rows, Z=Z)
            likelihood = Integrated(shape=shape, rows=rows, quadrature=likelihood.quadrature)
    return Surface(
        rise=likelihood.gradient,
        theta=theta,
        own=shape.own,
        x=adaptor.x,
        z=z,
        dispersions=tuple(adaptor.floors),
    )


def _gaussian(fit: MixedLMFit, leading: tuple[int, ...]) -> Surface:
    """Parameters: intercept and log residual sd, coefficients, entries of Λ."""
    design = fit.design
    x, q = Scaling.of(design.formula.matrices.X), len(design.effects)
    covariance = fit.estimates["patient_covariance"].to_numpy()
    Z, z, entries = _arranged(design, patient_scaling(design.formula.matrices.Z), leading, covariance)
    X = np.column_stack([np.ones(len(Z)), x.apply(design.formula.matrices.X)])
    sums, p = moments(X, Z, design.outcome, design.patient), X.shape[1]

    def value(theta: Floats) -> float:
        factor, residual_sd = unpack(np.append(theta[1 + p :], theta[1]), q)
        at = profile(sums, factor, float(residual_sd), reml=False)
        away = np.delete(theta[: 1 + p], 1) - at.fixed
        return at.loglik - 0.5 * float(away @ np.linalg.solve(at.covariance, away))

    beta = fit.estimates["coefficients"].to_numpy()
    own = [float(fit.estimates["intercept"]) + beta @ x.mean, np.log(float(fit.estimates["residual_sd"]))]
    return Surface(
        rise=_by_differences(value), theta=np.concatenate([own, beta * x.sd, entries]), own=2, x=x, z=z
    )


def _independent(fit: CountFit, model: CountModel, design: Design) -> Surface:
    """Counts without patient effects: intercept and log α of each group, coefficients."""
    data, x, group = (
        CountData.of(design),
        Scaling.of(design.formula.matrices.X),
        dispersion_group(model, design),
    )
    X, groups = x.apply(data.X), len(fit.dispersion)

    def value(theta: Floats) -> float:
        dispersion = np.exp(theta[1 : 1 + groups]) if groups else np.zeros(1)
        coefficients = np.append(theta[0], theta[1 + groups :])
        return loglik(data.counts, X, data.exposure, coefficients, dispersion, group)

    beta = fit.coefficients[1:]
    own = np.append(
        fit.coefficients[0] + beta @ x.mean, np.log(np.maximum(fit.dispersion, np.exp(LOG_POISSON)))
    )
    none = Scaling(mean=np.zeros(0), sd=np.zeros(0))
    return Surface(
        rise=_by_differences(value), theta=np.concatenate([own, beta * x.sd]), own=1 + groups, x=x, z=none,
        dispersions=tuple(range(1, 1 + groups)),
    )  # fmt: skip


def _by_differences(function: Callable[[Floats], float]) -> Rise:
    """A function and its gradient by central differences; NaN where it cannot be computed, as with next to no residual variance."""

    def value(theta: Floats) -> float:
        try:
            return function(theta)
        except np.linalg.LinAlgError:
            return np.nan

    def rise(theta: Floats) -> tuple[float, Floats]:
        shifts = STEP * np.eye(len(theta))
        slope = [(value(theta + shift) - value(theta - shift)) / (2 * STEP) for shift in shifts]
        return value(theta), np.array(slope)

    return rise
