"""The log-likelihood of each patient's outcomes at draws of the population parameters, the patient effects integrated out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from trajectories.fitting.marginal import Integrated
from trajectories.fitting.marginal_models import adaptor_of
from trajectories.models.base import MixedModel
from trajectories.models.blocks import averaging
from trajectories.models.counts import CountModel
from trajectories.models.design import Design, Floats, Ints
from trajectories.models.gaussian import GaussianMixed

__all__ = ["terms_by_patient"]

# Entries of the patients' covariance matrices that are in memory at once.
ENTRIES = 4_000_000


def terms_by_patient(
    model: MixedModel,
    design: Design,
    parameters: xr.Dataset,
    quadrature: int | None,
    patients: Sequence[int] | None = None,
) -> tuple[Floats, int | None]:
    """Integrated log-likelihood of all or some patients, samples × patients, and the nodes that were used."""
    chosen = np.arange(design.n_patients) if patients is None else np.asarray(patients)
    if isinstance(model, GaussianMixed):
        return _gaussian(model, design, parameters, chosen), None
    if isinstance(model, CountModel) and not design.effects:  # rows are independent: nothing to integrate
        nobody = np.zeros((parameters.sizes["chain"], parameters.sizes["draw"], design.n_patients, 0))
        own = parameters.drop_dims(["patient", "effect"], errors="ignore")
        own["patient_effects"] = (("chain", "draw", "patient", "effect"), nobody)
        by_row = averaging.flat(model.log_likelihood(own, design))
        total = np.zeros((design.n_patients, len(by_row)))
        np.add.at(total, design.patient, by_row.T)
        return total.T[:, chosen], None
    adaptor = adaptor_of(model, design, every_level=True)
    nodes = adaptor.nodes(7) if quadrature is None else quadrature
    some = Integrated(shape=adaptor.shape, rows=adaptor.rows().part(chosen), quadrature=nodes)
    return some.by_patient_at(adaptor.theta_of(parameters)), nodes


def _gaussian(model: GaussianMixed, design: Design, parameters: xr.Dataset, patients: Ints) -> Floats:
    """log N(y_i; 1·intercept + X_iβ, Z_iΣZ_i' + σ²R_i), samples × patients; R_i = I, or exp(−|t_j − t_k| / range)."""
    matrices, years = design.formula.matrices, design.frame["years"].to_numpy(dtype=float)
    beta, covariance = (averaging.flat(parameters[name]) for name in ("coefficients", "patient_covariance"))
    intercept, sd = (averaging.flat(parameters[name]) for name in ("intercept", "residual_sd"))
    reach = averaging.flat(parameters["residual_range"]) if model.residuals == "ar1" else None
    out, by_patient = np.empty((len(sd), len(patients))), design.rows_by_patient()
    for place, patient in enumerate(patients):
        rows = by_patient[patient]
        X, Z, gaps = matrices.X[rows], matrices.Z[rows], np.abs(years[rows, None] - years[rows])
        for part in np.array_split(np.arange(len(sd)), len(sd) * len(rows) ** 2 // ENTRIES + 1):
            apart = np.eye(len(rows)) if reach is None else np.exp(-gaps / reach[part, None, None])
            V = Z @ covariance[part] @ Z.T + sd[part, None, None] ** 2 * apart
            root = np.linalg.cholesky(V)
            residual = design.outcome[rows] - intercept[part, None] - beta[part] @ X.T
            scaled = np.linalg.solve(root, residual[..., None])[..., 0]
            log_det = np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
            out[part, place] = -0.5 * (scaled**2).sum(axis=-1) - log_det - 0.5 * len(rows) * np.log(2 * np.pi)
    return out
