"""How weights depend on what was estimated for them: patients' influence on the parameters, and the weights' slopes in these."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.weighting.multinomial import probabilities_of
from trajectories.weighting.scores import Propensity
from trajectories.weighting.values import Estimation

__all__ = ["MOST", "of_propensities", "of_scales", "of_tilts", "together"]

type Floats = NDArray[np.float64]
type Made = Callable[[Floats], tuple[Floats, Floats]]

MOST = 0.5
"""The largest share of the information in any direction that a patient is taken to hold, so that no step is more than doubled: what hangs on
one patient alone, such as a cutpoint to a level that he alone had, has no finite error without him.

Source: a bound, by which they too let no step be more than doubled, is in Fay and Graubard (2001), Biometrics 57:1198,
doi:10.1111/j.0006-341X.2001.01198.x."""


def of_propensities(scores: Propensity, X: Floats, patients: pd.Index, made: Made) -> Estimation:
    """Through the coefficients of the propensities, estimated by `scores`; weights of patients with a design matrix X.

    Parameters
    ----------
    scores
        Of all patients who took part in the estimation, those without a weight included.
    X, patients
        Of the weighted patients.
    made
        From their probabilities (patients × arms) to weights and to what patients count in the target: slopes are central differences.
    """
    b = scores.coefficients
    slopes = []
    for k, se in enumerate(np.sqrt(np.diag(scores.covariance))):
        step = np.zeros(b.size)
        step[k] = 1e-4 * se
        moved = step.reshape(b.shape[1], b.shape[0]).T  # the covariance's order: arm, then term
        up, down = (made(probabilities_of(X, at)) for at in (b + moved, b - moved))
        slopes.append([(one - other) / (2 * step[k]) for one, other in zip(up, down, strict=True)])
    values, standardisation = (np.stack(part, axis=1) for part in zip(*slopes, strict=True))
    return Estimation(
        influence=pd.DataFrame(_coefficients(scores), index=scores.cases.patients),
        values=pd.DataFrame(values, index=patients),
        standardisation=pd.DataFrame(standardisation, index=patients),
    )


def _coefficients(scores: Propensity) -> Floats:
    """(A − A_i)⁻¹ s_i: A_i = Σ_k p_k u_k u_k' ⊗ z z' and s_i = u_a ⊗ z, of the arms k and own arm a, u_k the residual if it were k."""
    cases, p = scores.cases, scores.probabilities.to_numpy()
    Z = np.column_stack([np.ones(len(cases.X)), cases.X])
    n, arms, others = len(Z), p.shape[1], p.shape[1] - 1
    bread = scores.covariance.reshape(others, Z.shape[1], others, Z.shape[1])
    u = np.eye(arms)[1:] - p[:, 1:, None]  # patients × others × arms
    roots = np.sqrt(p)[:, None, :] * u
    own = np.zeros((n, arms))
    own[np.arange(n), cases.code] = 1 / np.sqrt(p[np.arange(n), cases.code])
    spread = np.einsum("ip,apbq,iq->iab", Z, bread, Z, optimize=True)
    share, axes = np.linalg.eigh(np.swapaxes(roots, 1, 2) @ spread @ roots)
    left = np.einsum("ijk,ij->ik", axes, own) / (1 - np.minimum(share, MOST))
    residual = np.einsum("iaj,ijk,ik->ia", roots, axes, left, optimize=True)
    return np.asarray((residual[:, :, None] * Z[:, None, :]).reshape(n, -1) @ scores.covariance)


def of_tilts(
    D: Floats, values: pd.Series, counted: Floats, code: NDArray[np.int64], balanced: Sequence[int]
) -> Estimation:
    """Through the multipliers λ of every balanced arm, w ∝ exp(x'λ), and through the target means these depend on.

    Σ_{i in arm} w_i d_i = 0 with d_i = x_i − mean of the target, itself from Σ h_i d_i = 0; so patients outside the arm move λ too.
    Leaving patient i out, C = Σ w d d' of the arm loses w_i d_i d_i', the target's mean moves by h_i d_i / (Σ h − h_i), and λ falls by
    (C − w_i d_i d_i')⁻¹ d_i ((n − w_i) h_i / (Σ h − h_i) − w_i), where w_i is 0 outside the arm and n the sum of its weights.

    Parameters
    ----------
    D, counted, code
        d, h and the arm of all patients.
    values
        Weights that average 1 within each arm, index `patient`.
    balanced
        The arms whose weights were tilted.
    """
    influence, slopes = [], []
    for k in balanced:
        w = np.where(code == k, values.to_numpy(), 0.0)
        toward = D @ np.linalg.pinv((D * w[:, None]).T @ D, hermitian=True)
        share = np.minimum(w * np.einsum("ij,ij->i", toward, D), MOST)
        pull = (w.sum() - w) * counted / (counted.sum() - counted) - w
        influence.append(toward * (pull / (1 - share))[:, None])
        slopes.append(D * w[:, None])
    made = pd.DataFrame(np.hstack(slopes), index=values.index)
    return Estimation(
        influence=pd.DataFrame(np.hstack(influence), index=values.index),
        values=made,
        standardisation=0 * made,
    )


def of_scales(values: pd.Series, arm: pd.Series, arms: Sequence[str]) -> Estimation:
    """Through the mean of the weights in each arm, which they are divided by; an arm of equal weights has none to estimate."""
    w = values.to_numpy()
    mine = [(arm == name).to_numpy() for name in arms]
    uneven = [who for who in mine if np.ptp(w[who]) > 0]
    columns = np.reshape(uneven, (-1, len(w))).T.astype(float)
    influence = columns * (w - 1)[:, None] / np.maximum(columns.sum(axis=0) - 1, 1)
    slopes = pd.DataFrame(-columns * w[:, None], index=values.index)
    return Estimation(
        influence=pd.DataFrame(influence, index=values.index), values=slopes, standardisation=0 * slopes
    )


def together(*parts: Estimation) -> Estimation:
    """Several, the parameters of one beside those of the next; the first has all patients, and who is not in another moves it by 0."""

    def beside(tables: list[pd.DataFrame]) -> pd.DataFrame:
        everybody = tables[0].index
        return pd.concat([t.reindex(everybody, fill_value=0.0) for t in tables], axis=1, ignore_index=True)

    return Estimation(
        influence=beside([part.influence for part in parts]),
        values=beside([part.values for part in parts]),
        standardisation=beside([part.standardisation for part in parts]),
    )
