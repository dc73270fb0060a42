"""Standard errors that hold if patients differ otherwise than modelled, and do not promise too much where a few of them decide."""

from __future__ import annotations

import numpy as np

from trajectories.models.design import Floats, Ints, PatientWeights
from trajectories.weighting.estimation import MOST

__all__ = ["robust_covariance", "without_each"]


def without_each(bread: Floats, scores: Floats, informations: Floats, whose: Ints | None = None) -> Floats:
    """How far estimates would fall if each patient were left out, by one step of Newton: (A − A_i)⁻¹ s_i.

    The sum of their squares is the variance by Mancl and DeRouen, an approximate jackknife. A⁻¹ s_i in its place, the plain sandwich, takes
    the information as if the patient were still there, and is too small where some have much of it.

    Parameters
    ----------
    bread
        A⁻¹, the inverse of the information of all patients: parameters × parameters, 0 for what is held.
    scores
        s_i, with the patients' weights: patients × parameters.
    informations
        A_i, with the patients' weights: patients × parameters × parameters.
    whose
        The patients whose A_i these are; others are taken to hold next to nothing. None for all.

    Returns
    -------
    Patients × parameters.

    Source: Mancl and DeRouen (2001), Biometrics 57:126, doi:10.1111/j.0006-341X.2001.00126.x; of the
    bound on a patient's share of the information see `MOST`.

    Examples
    --------
    Of a mean of four numbers each holds a quarter of the information, and leaving 7 out lowers it from 3 to 5/3.

    >>> y = np.array([1.0, 2.0, 2.0, 7.0])
    >>> without_each(np.array([[0.25]]), (y - 3)[:, None], np.ones((4, 1, 1)))[-1].round(6).tolist()
    [1.333333]
    """
    chosen = slice(None) if whose is None else whose
    size, directions = np.linalg.eigh(bread)
    root = directions * np.sqrt(np.maximum(size, 0.0)) @ directions.T
    share, own = np.linalg.eigh(root @ informations @ root)
    turned = np.einsum("iak,ab,ib->ik", own, root, scores[chosen], optimize=True)
    left = turned / (1 - np.minimum(share, MOST))
    steps = np.asarray(scores @ bread)
    steps[chosen] = np.einsum("iak,ik->ia", own, left, optimize=True) @ root
    return steps


def robust_covariance(
    bread: Floats,
    scores: Floats,
    informations: Floats,
    weights: PatientWeights | None = None,
    whose: Ints | None = None,
) -> Floats:
    """Sum the squares of the patients' steps, Σ_i d_i d_i', where weights were estimated those of the weights too.

    Without patient i the parameters that the weights depend on fall by φ_i, so that the scores of the others, Σ_{j≠i} w_j s_j, rise by
    Ġ_i'φ_i with Ġ_i = Σ_{j≠i} ẇ_j s_j': d_i = (A − A_i)⁻¹ (w_i s_i + Ġ_i'φ_i). The two parts nearly cancel in what the weights balance, so
    both are of the patients without i.

    Source: without the leaving out Pierce (1982), Annals of Statistics 10:475, doi:10.1214/aos/1176345788.
    """
    if weights is None or weights.influence is None or weights.slopes is None:
        steps = without_each(bread, scores, informations, whose)
        return np.asarray(steps.T @ steps)
    n, rates = len(scores), scores / weights.values[:, None]
    moved = weights.influence @ (weights.slopes.T @ rates)
    moved[:n] += scores - (weights.influence[:n] * weights.slopes).sum(axis=1)[:, None] * rates
    steps = np.concatenate([without_each(bread, moved[:n], informations, whose), moved[n:] @ bread])
    return np.asarray(steps.T @ steps)
