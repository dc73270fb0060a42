"""The effects of patients whose data were fitted, drawn given these data: what is known of them beside the population parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from trajectories.fitting.count_fit import CountFit
from trajectories.fitting.fit import Fit
from trajectories.fitting.integrated_effects import conditional_effects, few_accepted
from trajectories.fitting.marginal import Integrated, cutpoints_of
from trajectories.fitting.marginal_fit import MarginalFit
from trajectories.models.base import Population
from trajectories.models.blocks import averaging
from trajectories.models.blocks.patient_effects import (
    from_standard,
    lower_entries,
    lower_triangle,
    on_user_scale,
)
from trajectories.models.design import Design, Floats, Ints

if TYPE_CHECKING:
    from trajectories.fitting.point import PointFit

__all__ = ["Known", "gaussian_conditional", "known_effects"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """Draws of population parameters (chain × draw × …), of patient effects with each (samples × patient × effect), and what to say."""

    parameters: xr.Dataset
    effects: Floats
    notes: tuple[str, ...] = ()


def known_effects(fit: Fit | PointFit, patients: Ints, *, draws: int, seed: int) -> Known:
    """Draw population parameters, and given each the effects of some patients given their data.

    Of a posterior its own draws are taken. Of a classical fit θ is from the normal approximation and u_i from p(u_i | y_i, θ): the spread of
    the effects is that of the patient's conditional distribution and that of the estimates.

    Parameters
    ----------
    fit
        What was fitted.
    patients
        Places of the patients in the design.
    draws, seed
        Of a classical fit.

    Raises
    ------
    ValueError
        If the fit is a GEE, or draws from the prior, which know nothing of a patient.
    """
    if isinstance(fit, Fit):
        if fit.source == "prior":
            raise ValueError("draws of the prior know nothing of the patients: predict new ones, new=….")
        effects = _effects_of(fit.parameters, fit.design, patients)
        return Known(parameters=fit.parameters, effects=effects)
    if fit.method == "gee":
        raise ValueError(
            "a GEE has no patient effects, only averages over patients: predict new ones, new=…."
        )
    parameters = fit.draws(draws, seed)
    if isinstance(fit.solution, CountFit):
        return Known(parameters=parameters, effects=np.zeros((draws, len(patients), 0)))
    rng = np.random.default_rng([seed, 1])
    if isinstance(fit.solution, MarginalFit):
        return _integrated(fit.solution, parameters, patients, rng)
    mean, root = gaussian_conditional(parameters, fit.design, patients)
    effects = mean + np.einsum("spij,spj->spi", root, rng.normal(size=mean.shape))
    return Known(parameters=parameters, effects=effects)


def _effects_of(parameters: xr.Dataset, design: Design, patients: Ints) -> Floats:
    if "patient_effects" not in parameters:
        samples = parameters.sizes["chain"] * parameters.sizes["draw"]
        return np.zeros((samples, len(patients), len(design.effects)))
    return averaging.flat(parameters["patient_effects"].isel(patient=patients))


def _integrated(fit: MarginalFit, parameters: xr.Dataset, patients: Ints, rng: np.random.Generator) -> Known:
    adaptor, shape = fit.adaptor, fit.likelihood.shape
    theta = adaptor.theta_of(parameters)
    own, beta, _ = (part.T for part in shape.split(theta.T))
    density: tuple[Floats, Floats | None] = (own[:, 0], np.exp(own[:, 1:]) if shape.groups else None)
    if shape.family == "ordinal":
        density = (cutpoints_of(own, np), None)
    factor = adaptor.factor(theta)
    some = Integrated(shape=shape, rows=fit.likelihood.rows.part(patients), quadrature=1)
    standard, accepted = conditional_effects(some, Population(density, beta, factor), rng)
    effects = on_user_scale(from_standard(factor, standard), factor, adaptor.z)[0]
    notes = tuple(problem.what for problem in few_accepted(float(accepted.min())))
    return Known(parameters=parameters, effects=effects, notes=notes)


def gaussian_conditional(parameters: xr.Dataset, design: Design, patients: Ints) -> tuple[Floats, Floats]:
    """Mean of u_i | y_i, θ of a Gaussian model with independent residuals (samples × patient × effect), and a root of its covariance.

    With Σ = ΛΛ' and M = I + Λ'Z'ZΛ/σ²: mean ΛM⁻¹Λ'Z'(y − Xβ)/σ², the best linear unbiased prediction at these parameters, and
    covariance ΛM⁻¹Λ', which hold for a singular Σ too.

    Source: Laird and Ware (1982), Biometrics 38:963, doi:10.2307/2529876.
    """
    matrices, rows = design.formula.matrices, design.rows_by_patient()
    covariance, beta = (averaging.flat(parameters[name]) for name in ("patient_covariance", "coefficients"))
    intercept, sd = (averaging.flat(parameters[name]) for name in ("intercept", "residual_sd"))
    q = covariance.shape[-1]
    factor = lower_triangle(lower_entries(covariance), q)
    mean, root = np.empty((len(sd), len(patients), q)), np.empty((len(sd), len(patients), q, q))
    for place, patient in enumerate(patients):
        here = rows[patient]
        W = matrices.Z[here] @ factor / sd[:, None, None]
        residual = design.outcome[here] - intercept[:, None] - beta @ matrices.X[here].T
        M = np.eye(q) + np.swapaxes(W, -1, -2) @ W
        score = np.einsum("svj,sv->sj", W, residual / sd[:, None])
        mean[:, place] = np.einsum("sij,sj->si", factor, np.linalg.solve(M, score[..., None])[..., 0])
        root[:, place] = factor @ np.swapaxes(np.linalg.inv(np.linalg.cholesky(M)), -1, -2)
    return mean, root
