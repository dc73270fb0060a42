"""Coordinates of the patient effects of a binary outcome: those of `conditioned_effects`, for a Gaussian stand-in of each patient's visits.

A patient with events at a share p of the visits is taken to have the linear predictor F⁻¹(p) at all of them, each with the information of
one outcome at p, for the logit p(1 − p). So patients with 0 and 1 are nearly centred; those with the same outcome at all visits, who
say only on which side they are, are not. Only coordinates of the sampler rest on it.

Smallest bulk ESS of 4 × 500 draws, EDSS ≥ 4, intercepts with a standard deviation of 4: 400 patients with 9 visits 874, 40 with 5 visits 653;
with a little information of patients with the same outcome too, that at (events + ½) / (visits + 1), 522 and 173.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from trajectories.models.blocks import patient_effects
from trajectories.models.blocks.coefficients import product
from trajectories.models.blocks.conditioned_effects import Coordinates, coordinates_from_sums, sum_by_patient
from trajectories.models.blocks.densities import Link
from trajectories.models.design import Design, Floats

__all__ = ["event_coordinates", "event_sums"]


def event_sums(design: Design, link: Link) -> dict[str, Floats]:
    """Sums over the visits of each patient, weighted by information: `ZZ`, `Z1`, `Zr` (effect × …) and `ZX` (effect × patient × term)."""
    X = design.scaling.apply(design.formula.matrices.X)
    Z = patient_effects.patient_scaling(design.formula.matrices.Z).apply(design.formula.matrices.Z)
    total, q = sum_by_patient(design.patient), Z.shape[1]
    events, visits = total(design.outcome), total(np.ones(len(Z)))
    predictor, information = _working(events, visits, link)
    Z1 = np.array([information * total(Z[:, k]) for k in range(q)])
    return {
        "ZZ": np.array([[information * total(Z[:, j] * Z[:, k]) for k in range(q)] for j in range(q)]),
        "Z1": Z1,
        "Zr": predictor * Z1,
        "ZX": np.array([information[:, None] * total(Z[:, k] * X.T).T for k in range(q)]),
    }


def event_coordinates(
    sums: Mapping[str, Any], effects: int, intercept: Any, beta: Any, factor: Any, xp: ModuleType
) -> Coordinates:
    """Coordinates of the patient effects at these population parameters."""
    times = product if xp is not np else (lambda matrix, vector: vector @ matrix.T)
    ones = intercept if xp is not np else intercept[..., None]
    Zr = [sums["Zr"][k] - ones * sums["Z1"][k] for k in range(effects)]
    if beta is not None:
        Zr = [total - times(sums["ZX"][k], beta) for k, total in enumerate(Zr)]
    ZZ = [[sums["ZZ"][j, k] for k in range(effects)] for j in range(effects)]
    return coordinates_from_sums(ZZ, Zr, factor, 1.0 if xp is not np else np.ones(1), xp)


def _working(events: Floats, visits: Floats, link: Link) -> tuple[Floats, Floats]:
    """Linear predictor of each patient, and the information that one outcome has on it; 0 where all outcomes are the same."""
    from scipy.special import logit, ndtri

    mixed = (events > 0) & (events < visits)
    share = np.where(mixed, events / visits, 0.5)
    if link == "logit":
        return np.asarray(logit(share)), np.where(mixed, share * (1 - share), 0.0)
    predictor = np.asarray(ndtri(share))
    return predictor, np.where(mixed, np.exp(-(predictor**2)) / (2 * np.pi * share * (1 - share)), 0.0)
