"""Level probabilities averaged over new patients' effects and over the rows of a target population."""

from __future__ import annotations

import numpy as np
import xarray as xr

from trajectories.formulas import Matrices
from trajectories.models.blocks.cutpoints import SHRINKAGE, averaged_cumulative
from trajectories.models.blocks.densities import Link
from trajectories.models.design import Floats, Ints

__all__ = [
    "differences",
    "distribution",
    "flat",
    "level_probabilities",
    "level_probabilities_by_row",
    "patient_variance",
    "some_samples",
]

# Up to this many different rows are averaged one by one; more are gathered on a grid of the linear predictor, if that has fewer points.
_FEW = 24


def flat(array: xr.DataArray) -> Floats:
    """Return chain × draw × … as samples × …."""
    values = array.transpose("chain", "draw", ...).to_numpy()
    return np.asarray(values.reshape(values.shape[0] * values.shape[1], *values.shape[2:]), dtype=float)


def some_samples(parameters: xr.Dataset, part: slice | Ints) -> xr.Dataset:
    """Take some samples of all chains, as one chain, without what belongs to single patients and visits."""
    dropped = [name for name in parameters if {"patient", "visit"} & set(parameters[name].dims)]
    kept = parameters.drop_vars(dropped).stack(sample=("chain", "draw"), create_index=False).isel(sample=part)
    return kept.drop_vars(["chain", "draw"], errors="ignore").rename(sample="draw").expand_dims("chain")


def distribution(distance: Floats, link: Link) -> Floats:
    """The link's distribution function, without averaging."""
    from scipy.special import expit, ndtr

    return np.asarray(expit(distance) if link == "logit" else ndtr(distance))


def differences(cumulative: Floats) -> Floats:
    """Return probabilities of the levels (… × 20) from cumulative ones (… × 19)."""
    ends = np.zeros((*cumulative.shape[:-1], 1))
    return np.asarray(np.diff(cumulative, axis=-1, prepend=ends, append=ends + 1.0))


def patient_variance(covariance: Floats, Z: Floats) -> Floats:
    """Variance of z'u: samples × rows."""
    return np.asarray(np.einsum("rq,sqp,rp->sr", Z, covariance, Z))


def level_probabilities(
    beta: Floats, covariance: Floats, cutpoints: Floats, matrices: Matrices, weights: Floats, link: Link
) -> Floats:
    """Average the 20 level probabilities over rows (with weights: rows, or samples × rows) and over u ~ N(0, Σ): samples × 20.

    z'u is a normal scalar, so the average over patients is a one-dimensional integral for any number of patient effects.
    """
    rows, place = np.unique(np.hstack([matrices.X, matrices.Z]), axis=0, return_inverse=True)
    total = np.zeros((len(rows), *weights.shape[:-1]))
    np.add.at(total, place.ravel(), weights.T)
    total = (total / weights.sum(axis=-1)).T
    X, Z = rows[:, : matrices.X.shape[1]], rows[:, matrices.X.shape[1] :]
    cumulative = np.zeros_like(cutpoints)
    for z in np.unique(Z, axis=0):
        here = (z == Z).all(axis=1)
        sd = np.sqrt(np.maximum(patient_variance(covariance, z[None, :])[:, 0], 0.0))
        for chunk in np.array_split(
            np.arange(len(beta)), max(1, len(beta) // 500, len(beta) * len(X) // 100_000)
        ):
            eta = beta[chunk] @ X[here].T
            share = total[..., here] if total.ndim == 1 else total[np.ix_(chunk, here)]
            cumulative[chunk] += _over_rows(cutpoints[chunk], eta, sd[chunk], share, link)
    return differences(cumulative)


def level_probabilities_by_row(
    beta: Floats, covariance: Floats, cutpoints: Floats, matrices: Matrices, link: Link
) -> Floats:
    """Level probabilities of new patients, one a row, averaged over u ~ N(0, Σ): samples × rows × levels."""
    sd = np.sqrt(np.maximum(patient_variance(covariance, matrices.Z), 0.0))
    eta = beta @ matrices.X.T
    size = max(1, len(beta) * eta.shape[1] // 50_000)
    parts = [
        averaged_cumulative(cutpoints[s][:, None, :] - eta[s][..., None], sd[s][..., None], link)
        for s in np.array_split(np.arange(len(beta)), min(size, len(beta)))
    ]
    return differences(np.concatenate(parts))


def _over_rows(cutpoints: Floats, eta: Floats, sd: Floats, weights: Floats, link: Link) -> Floats:
    """Weighted sum over rows of the averaged distribution function: samples × 19."""
    step = 0.25 * np.sqrt(1 + SHRINKAGE[link] * sd**2)
    if eta.shape[1] > _FEW and (np.ptp(eta, axis=1) / step).max() + 4 < eta.shape[1]:
        eta, mass = _gathered(eta, weights, step)
    else:
        mass = np.broadcast_to(weights, eta.shape)
    below = averaged_cumulative(cutpoints[:, :, None] - eta[:, None, :], sd[:, None, None], link)
    return np.asarray(np.einsum("skm,sm->sk", below, mass))


def _gathered(eta: Floats, weights: Floats, step: Floats) -> tuple[Floats, Floats]:
    """Move rows to grid points by cubic Lagrange weights, exact for cubics in η.

    The averaged distribution function varies over √(1 + 0.346 sd²); with a quarter of that as the step the error of
    an averaged probability is below 2e-5.
    """
    lowest = eta.min(axis=1)
    position = (eta - lowest[:, None]) / step[:, None] + 1.0
    left = np.floor(position).astype(np.int64)
    t = position - left
    size = int(left.max()) + 3
    lagrange = (
        -t * (t - 1) * (t - 2) / 6,
        (t**2 - 1) * (t - 2) / 2,
        -t * (t + 1) * (t - 2) / 2,
        t * (t**2 - 1) / 6,
    )
    sample = np.arange(len(eta))[:, None] * size
    mass = np.zeros(len(eta) * size)
    for offset, part in enumerate(lagrange):
        mass += np.bincount(
            (sample + left - 1 + offset).ravel(), (part * weights).ravel(), minlength=len(mass)
        )
    grid = lowest[:, None] + (np.arange(size) - 1.0) * step[:, None]
    return grid, mass.reshape(len(eta), size)
