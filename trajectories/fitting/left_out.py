"""Designs without a patient, and models fitted anew to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from trajectories.fitting.fit import Fit
from trajectories.fitting.marginal_fit import MarginalFit, fit_marginal
from trajectories.fitting.mixedlm import MixedLMFit, fit_mixedlm
from trajectories.fitting.nuts import compile_model, run
from trajectories.fitting.point import PointFit
from trajectories.fitting.status import status
from trajectories.formulas import Matrices
from trajectories.models.design import Design, PatientWeights
from trajectories.models.gaussian import GaussianMixed

__all__ = ["estimates_without", "posteriors_without", "without"]

# What `sample` does, for posteriors that were not found by chains.
USUAL = {"draws": 1000, "tune": 1000, "chains": 4, "target_accept": 0.9, "seed": 0}


def without(design: Design, patient: int) -> Design:
    """Leave a patient out of a design; the columns of the formula stay as they were made of all.

    Raises
    ------
    ValueError
        If a term has the same value in all other rows, as in an arm of one patient.
    """
    kept = design.patient != patient
    matrices = design.formula.matrices
    left = Matrices(X=matrices.X[kept], Z=matrices.Z[kept])
    for name, column in [
        *zip(design.fixed_terms, left.X.T[: len(design.fixed_terms)], strict=True),
        *zip(design.effects[1:], left.Z.T[1:], strict=True),
    ]:
        if np.ptp(column) == 0:
            raise ValueError(
                f"without patient {patient} the term {name!r} is the same in every row: the model cannot be refitted without this patient."
            )
    frame = design.frame[kept].reset_index(drop=True)
    number = frame["patient"].to_numpy()
    others = np.arange(design.n_patients) != patient
    return replace(
        design,
        formula=replace(design.formula, frame=design.formula.frame[kept].reset_index(drop=True), matrices=left),
        frame=frame.assign(patient=number - (number > patient)),
        target=design.target[others].reset_index(drop=True),
        exposure=None if design.exposure is None else design.exposure[kept],
        weights=None if design.weights is None else PatientWeights(values=design.weights.values[others]),
        patient_ids=None if design.patient_ids is None else tuple(np.array(design.patient_ids, dtype=object)[others]),
    )  # fmt: skip


def posteriors_without(
    fit: Fit, patients: Sequence[int], *, progress: bool = True
) -> Iterator[tuple[int, Fit]]:
    """Sample the posterior by NUTS without each of some patients, as the fit was sampled; whatever its convergence."""
    how = {name: fit.settings.get(name, usual) for name, usual in USUAL.items()}
    with status(progress, "refitting") as report:
        for done, patient in enumerate(patients):
            report(f"refitting without a patient, {done + 1} of {len(patients)}")
            design = without(fit.design, patient)
            yield patient, run(
                fit.model, design, compile_model(fit.model, design), draws=int(how["draws"]), tune=int(how["tune"]),
                chains=int(how["chains"]), target_accept=float(how["target_accept"]), seed=int(how["seed"]), progress=False,
            )  # fmt: skip


def estimates_without(fit: PointFit, patient: int) -> pd.Series:
    """The estimates of a maximum-likelihood fit with patient effects without one of the patients, by the names of its summary."""
    design = without(fit.design, patient)
    solution: MarginalFit | MixedLMFit
    if isinstance(fit.solution, MarginalFit):
        solution = fit_marginal(fit.model, design, quadrature=fit.solution.quadrature)
    else:
        assert isinstance(fit.model, GaussianMixed)
        solution = fit_mixedlm(fit.model, design)
    return replace(fit, design=design, solution=solution).summary()["estimate"]
