"""Patient effects u ~ N(0, Σ): their priors, their variables in PyMC, and their covariance on the user's scale.

The sampler works with slopes of centred and scaled columns, z̃ = (z − z̄) / s, so that its intercept is a patient's level at the mean
time, nearly uncorrelated with the slope. On the user's scale the intercept is the level at z = 0 and slopes are per unit of z:
u_intercept = ũ_intercept − Σ_k ũ_k z̄_k / s_k and u_k = ũ_k / s_k.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import xarray as xr

from trajectories.models.design import Design, Floats, Scaling
from trajectories.priors import LKJ, Exponential, HalfNormal, check_scale, values, variable

__all__ = [
    "PatientPriors",
    "Standardised",
    "covariance_of",
    "effect_variables",
    "factor_values",
    "from_standard",
    "from_user",
    "lower_entries",
    "lower_triangle",
    "on_user_scale",
    "singular",
    "to_user",
    "user_covariance",
]


@dataclass(frozen=True, kw_only=True)
class PatientPriors:
    """Priors of the patient effects.

    `intercept_sd` is of a patient's level at the mean of the patient-varying columns (the mean time), on the scale of
    the linear predictor; `slope_sd` is per standard deviation of its column; `correlation` is of the effects in these units.
    """

    intercept_sd: HalfNormal | Exponential
    slope_sd: HalfNormal | Exponential
    correlation: LKJ = LKJ(2.0)

    def __post_init__(self) -> None:
        check_scale("intercept_sd", self.intercept_sd)
        check_scale("slope_sd", self.slope_sd)
        if not isinstance(self.correlation, LKJ):
            raise TypeError(f"the prior of correlation must be LKJ(...), not {self.correlation!r}.")


@dataclass(frozen=True, kw_only=True)
class Standardised:
    """The variables of the patient effects in PyMC: standard deviations and the Cholesky factor of their correlation."""

    sd: Any
    cholesky: Any


def effect_variables(priors: PatientPriors, effects: tuple[str, ...]) -> Standardised:
    """Make `patient_sd_internal` and, for two and more effects, their correlation, in the open PyMC model."""
    import pymc as pm
    import pytensor.tensor as pt

    sd = variable("patient_sd_internal", scale_priors(priors, effects), "effect")
    q = len(effects)
    if q == 1:
        return Standardised(sd=sd, cholesky=pt.ones((1, 1)))
    shapes = _partial_shapes(q, priors.correlation.shape)
    halves = pm.Beta("patient_correlation_internal", shapes, shapes, shape=len(shapes))
    return Standardised(sd=sd, cholesky=_factor(2 * halves - 1, q, pt))


def _partial_shapes(q: int, shape: float) -> Floats:
    """Shapes a of the partial correlations z, (z + 1)/2 ~ Beta(a, a), that make the correlation matrix LKJ(shape).

    In column j = 1, 2, … of the Cholesky factor a = shape + (q − 1 − j)/2; for two effects this is ρ itself with a = shape.

    Source: Lewandowski, Kurowicka and Joe (2009), section 2.4, Journal of Multivariate Analysis 100:1989,
    doi:10.1016/j.jmva.2009.04.008.
    """
    return np.array([shape + (q - 2 - j) / 2 for i in range(1, q) for j in range(i)])


def _factor(partial: Any, q: int, xp: ModuleType) -> Any:
    """Cholesky factor of a correlation matrix, … × q × q, from partial correlations (… × pairs, row by row below the diagonal)."""
    zero, place = 0.0 * partial[..., 0], 0
    rows = [[zero + 1.0, *[zero] * (q - 1)]]
    for i in range(1, q):
        row, left = [], zero + 1.0
        for _ in range(i):
            row.append(partial[..., place] * xp.sqrt(left))
            left = left * (1 - partial[..., place] ** 2)
            place += 1
        rows.append([*row, xp.sqrt(left), *[zero] * (q - 1 - i)])
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def scale_priors(priors: PatientPriors, effects: tuple[str, ...]) -> list[HalfNormal | Exponential]:
    """Return the prior of each effect's standard deviation, in order."""
    return [priors.intercept_sd, *[priors.slope_sd] * (len(effects) - 1)]


def slopes(first: Any, variables: Standardised, effects: tuple[str, ...]) -> list[Any]:
    """Make the slopes of the patients, non-centred given the standardised first effect (a vector by patient)."""
    import pymc as pm

    if len(effects) == 1:
        return []
    rest = pm.Normal("patient_slopes_standard", 0.0, 1.0, dims=("slope", "patient"))
    L = variables.cholesky
    made = []
    for k in range(1, len(effects)):
        standard = L[k, 0] * first + sum(L[k, j] * rest[j - 1] for j in range(1, k + 1))
        made.append(variables.sd[k] * standard)
    return made


def factor_values(priors: PatientPriors, draws: dict[str, Floats], effects: tuple[str, ...]) -> Floats:
    """Read back from draws Λ of `effect_variables`: … × effect × effect."""
    sd = values("patient_sd_internal", draws, scale_priors(priors, effects))
    return covariance_of(draws, sd, len(effects))[1]


def covariance_of(draws: dict[str, Floats], sd: Floats, q: int) -> tuple[Floats, Floats]:
    """Return the Cholesky factor of the correlation and of the covariance, … × q × q, from draws of the variables."""
    L = np.ones((*sd.shape[:-1], 1, 1))
    if q > 1:
        L = np.asarray(_factor(2 * np.asarray(draws["patient_correlation_internal"]) - 1, q, np))
    return L, sd[..., :, None] * L


def effects_of(first: Floats, draws: dict[str, Floats], factor: Floats) -> Floats:
    """Return the patient effects in the sampler's units, … × patient × q, from the standardised first effect and Λ."""
    q = factor.shape[-1]
    standard = [first]
    if q > 1:
        rest = np.asarray(draws["patient_slopes_standard"])
        standard += [rest[..., j, :] for j in range(q - 1)]
    return from_standard(factor, np.stack(standard, axis=-1))


def from_standard(factor: Floats, standard: Floats) -> Floats:
    """u = Λv by patient: … × patient × q, from Λ (… × q × q) and v (… × patient × q)."""
    return np.asarray(np.einsum("...ij,...pj->...pi", factor, standard))


def on_user_scale(effects: Floats, cholesky: Floats, scaling: Scaling) -> tuple[Floats, Floats]:
    """Return patient effects (… × patient × q) and their covariance (… × q × q) in the user's units, intercept at z = 0."""
    return effects @ to_user(scaling).T, user_covariance(cholesky, scaling)


def user_covariance(cholesky: Floats, scaling: Scaling) -> Floats:
    """Return the covariance (… × q × q) of the patient effects in the user's units, intercept at z = 0."""
    factor = to_user(scaling) @ cholesky
    return np.asarray(factor @ np.swapaxes(factor, -1, -2))


def to_user(scaling: Scaling) -> Floats:
    """A with u = A ũ, from effects of centred and scaled columns to effects of the user's."""
    A = np.diag(1 / scaling.sd)
    A[0, 1:] = -scaling.mean[1:] / scaling.sd[1:]
    return A


def from_user(scaling: Scaling) -> Floats:
    """The inverse of `to_user`."""
    A = np.diag(scaling.sd)
    A[0, 1:] = scaling.mean[1:]
    return A


def lower_triangle(entries: Floats, q: int) -> Floats:
    """Λ, … × q × q, from its entries by rows (… × q(q + 1)/2).

    >>> lower_triangle(np.array([1.0, 0.5, 2.0]), 2).tolist()
    [[1.0, 0.0], [0.5, 2.0]]
    """
    factor = np.zeros((*entries.shape[:-1], q, q))
    rows, columns = np.tril_indices(q)
    factor[..., rows, columns] = entries
    return factor


def lower_entries(covariance: Floats) -> Floats:
    """Entries by rows (… × q(q + 1)/2) of the Λ with ΛΛ' = Σ and a diagonal that is not negative, for a Σ that may be singular.

    >>> lower_entries(np.array([[4.0, 2.0], [2.0, 1.0]])).round(6).tolist()
    [2.0, 1.0, 0.0]
    """
    sizes, directions = np.linalg.eigh(covariance)
    root = directions * np.sqrt(np.maximum(sizes, 0.0))[..., None, :]
    upper = np.linalg.qr(np.swapaxes(root, -1, -2))[1]
    sign = np.where(np.diagonal(upper, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    rows, columns = np.tril_indices(covariance.shape[-1])
    return np.asarray(np.swapaxes(upper * sign[..., None], -1, -2)[..., rows, columns])


def singular(effects: tuple[str, ...], rank: int, rough: str) -> str:
    """Say that the covariance of the patient effects is estimated to be singular; `rough` says what that makes rough."""
    what = "no variance between patients" if rank == 0 else f"rank {rank} in place of {len(effects)}"
    return (
        f"the covariance of the patient effects ({', '.join(effects)}) is singular: {what} is estimated, on the boundary of what is possible; "
        f"{rough}. Fewer patient effects would fit as well"
    )


def patient_scaling(Z: Floats) -> Scaling:
    """Centre and scale the patient-varying columns, the intercept left alone."""
    scaling = Scaling.of(Z)
    scaling.mean[0], scaling.sd[0] = 0.0, 1.0
    return scaling


def labelled(
    design: Design,
    coefficients: Floats,
    effects: Floats | None,
    covariance: Floats,
    **others: tuple[tuple[str, list[Any]] | None, Floats],
) -> xr.Dataset:
    """Gather parameters on the user's scale in a dataset: chain × draw × named dims.

    Besides the coefficients it holds `patient_sd`, `patient_correlation`, `patient_covariance` and, unless they are None,
    `patient_effects`. `others` gives further parameters as ((dim, labels) or None for a scalar, array).
    """
    lead = ("chain", "draw")
    sd = np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))
    data: dict[str, Any] = {
        "coefficients": ((*lead, "term"), coefficients),
        "patient_sd": ((*lead, "effect"), sd),
        "patient_covariance": ((*lead, "effect", "other_effect"), covariance),
    }
    q = len(design.effects)
    coords: dict[str, Any] = {
        "chain": np.arange(coefficients.shape[0]),
        "draw": np.arange(coefficients.shape[1]),
        "term": list(design.terms),
        "effect": list(design.effects),
        "other_effect": list(design.effects),
    }
    if effects is not None:
        data["patient_effects"] = ((*lead, "patient", "effect"), effects)
        coords["patient"] = np.arange(design.n_patients)
    if q > 1:
        pairs = [(i, j) for i in range(q) for j in range(i + 1, q)]
        with np.errstate(invalid="ignore"):  # without variance there is no correlation: missing
            correlation = np.stack(
                [covariance[..., i, j] / (sd[..., i] * sd[..., j]) for i, j in pairs], axis=-1
            )
        data["patient_correlation"] = ((*lead, "effect_pair"), correlation)
        coords["effect_pair"] = [f"{design.effects[i]}, {design.effects[j]}" for i, j in pairs]
    for name, (dim, array) in others.items():
        data[name] = (lead if dim is None else (*lead, dim[0]), array)
        if dim is not None:
            coords[dim[0]] = dim[1]
    return xr.Dataset(data, coords=coords)


def over_visits(
    parameters: xr.Dataset, design: Design, function: Callable[..., Floats], *extra: str
) -> xr.DataArray:
    """Apply a function of (extra parameters …, linear predictor) to all visits, 50 draws at a time: chain × draw × visit."""
    X, Z = design.formula.matrices.X, design.formula.matrices.Z
    result = np.empty((parameters.sizes["chain"], parameters.sizes["draw"], len(X)))
    for chain in range(result.shape[0]):
        for start in range(0, result.shape[1], 50):
            part = parameters.isel(chain=chain, draw=slice(start, start + 50))
            effects = part["patient_effects"].to_numpy()[:, design.patient, :]
            eta = part["coefficients"].to_numpy() @ X.T + np.einsum("svq,vq->sv", effects, Z)
            if "visit_effects" in part:
                eta += part["visit_effects"].to_numpy()
            result[chain, start : start + 50] = function(*[part[name].to_numpy() for name in extra], eta)
    coords = {"chain": parameters["chain"], "draw": parameters["draw"]}
    return xr.DataArray(result, dims=("chain", "draw", "visit"), coords=coords, name=design.formula.response)
