"""The likelihood of a linear mixed model with the patient effects integrated out, from sums by patient.

Everything is in the sampler's units: columns centred and scaled, so that intercept and slope are nearly uncorrelated. With
V_i = Z_i ΛΛ' Z_i' + σ²I and M_i = σ²I + Λ'Z_i'Z_iΛ, of the size of the patient effects, log|V_i| = (n_i − q) log σ² + log|M_i| and
V_i⁻¹ = (I − Z_iΛ M_i⁻¹ Λ'Z_i') / σ²: an evaluation costs the same whatever the number of visits, and a singular Λ is no problem.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trajectories.models.blocks.patient_effects import lower_entries, lower_triangle
from trajectories.models.blocks.small_matrices import cholesky, from_left
from trajectories.models.design import Floats, Ints

__all__ = [
    "Moments",
    "Profile",
    "by_patient",
    "cross_products",
    "informations",
    "moments",
    "pack",
    "profile",
    "unpack",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Sums over visits: Z'Z (q × q × patient) and Z'[X y] (q × … × patient), [X y]'[X y] over all; and the logarithm of the units of X.

    `weights` are those of the patients; `rows`, the sum of the weights of the visits, and [X y]'[X y] are weighted. The restricted likelihood
    depends on the units of X: `log_units` is the sum of the logarithms of what its columns were divided by, so that the user's units count.
    """

    ZZ: Floats
    ZD: Floats
    DD: Floats
    rows: float
    log_units: float
    weights: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """The log-likelihood at variance parameters, maximal over the fixed effects; these, and their covariance matrix."""

    loglik: float
    fixed: Floats
    covariance: Floats


def moments(
    X: Floats, Z: Floats, y: Floats, patient: Ints, log_units: float = 0.0, weights: Floats | None = None
) -> Moments:
    """Sum up a design: X (rows × fixed effects with the intercept), Z (rows × patient effects), outcome, patient of each row.

    `weights` are those of the patients, by number; None for 1 each.
    """
    weights = np.ones(int(patient.max()) + 1) if weights is None else weights
    order = np.argsort(patient, kind="stable")
    starts = np.unique(patient[order], return_index=True)[1]
    D = np.column_stack([X, y])[order]
    z = Z[order]
    return Moments(
        ZZ=_by_patient_last(np.add.reduceat(z[:, :, None] * z[:, None, :], starts)),
        ZD=_by_patient_last(np.add.reduceat(z[:, :, None] * D[:, None, :], starts)),
        DD=(D * weights[patient[order], None]).T @ D,
        rows=float(weights[patient].sum()),
        log_units=log_units,
        weights=weights,
    )


def _by_patient_last(sums: Floats) -> Floats:
    return np.ascontiguousarray(np.moveaxis(sums, 0, -1))


def profile(sums: Moments, factor: Floats, residual_sd: float, *, reml: bool) -> Profile:
    """Evaluate the log-likelihood, or the restricted one, at a factor Λ of the patients' covariance and a residual sd.

    ML: −½ (N log 2π + Σ log|V_i| + r'V⁻¹r); REML: −½ ((N − p) log 2π + Σ log|V_i| + log|X'V⁻¹X| + r'V⁻¹r), with r the
    residuals of generalised least squares.

    Source: Lindstrom and Bates (1988), Journal of the American Statistical Association 83:1014, doi:10.2307/2290128.
    """
    A, log_det = cross_products(sums, factor, residual_sd)
    p = len(A) - 1
    information = A[:p, :p]
    fixed = np.linalg.solve(information, A[:p, p])
    deviance = log_det + A[p, p] - A[:p, p] @ fixed + sums.rows * np.log(2 * np.pi)
    if reml:
        deviance += np.linalg.slogdet(information)[1] + 2 * sums.log_units - p * np.log(2 * np.pi)
    return Profile(loglik=float(-deviance / 2), fixed=fixed, covariance=np.linalg.inv(information))


def cross_products(sums: Moments, factor: Floats, residual_sd: float) -> tuple[Floats, float]:
    """[X y]'V⁻¹[X y] and Σ log|V_i| at a factor Λ of the patients' covariance and a residual sd."""
    variance, q = residual_sd**2, len(factor)
    M = np.einsum("ij,ikn,kl->jln", factor, sums.ZZ, factor, optimize=True)
    B = np.einsum("ij,ian->jan", factor, sums.ZD)
    C = cholesky(M, np, variance)
    W = from_left(C, B)
    A = (sums.DD - sum((sums.weights * w) @ w.T for w in W)) / variance
    log_det = (sums.rows - q * sums.weights.sum()) * np.log(variance)
    return np.asarray(A), float(log_det + 2 * sum(sums.weights @ np.log(C[j][j]) for j in range(q)))


def by_patient(
    X: Floats, Z: Floats, residual: Floats, patient: Ints, factor: Floats, residual_sd: float
) -> Floats:
    """The log-likelihood of each patient at residuals y − Xβ, a factor Λ and a residual sd."""
    sums = moments(X[:, :0], Z, residual, patient)
    variance, q = residual_sd**2, len(factor)
    C = cholesky(np.einsum("ij,ikn,kl->jln", factor, sums.ZZ, factor, optimize=True), np, variance)
    W = from_left(C, np.einsum("ij,ian->jan", factor, sums.ZD))
    visits, squares = np.bincount(patient), np.bincount(patient, weights=residual**2)
    log_det = (visits - q) * np.log(variance) + 2 * sum(np.log(C[j][j]) for j in range(q))
    distance = (squares - sum(w[0] ** 2 for w in W)) / variance
    return np.asarray(-0.5 * (visits * np.log(2 * np.pi) + log_det + distance))


def informations(X: Floats, Z: Floats, patient: Ints, factor: Floats, residual_sd: float) -> Floats:
    """Each patient's information on the fixed effects, X'V⁻¹X: patients × fixed effects × fixed effects."""
    sums, variance = moments(X, Z, np.zeros(len(X)), patient), residual_sd**2
    C = cholesky(np.einsum("ij,ikn,kl->jln", factor, sums.ZZ, factor, optimize=True), np, variance)
    W = from_left(C, np.einsum("ij,ian->jan", factor, sums.ZD))
    made = np.zeros((sums.ZZ.shape[-1], X.shape[1], X.shape[1]))
    np.add.at(made, patient, X[:, :, None] * X[:, None, :])
    for w in W:
        made -= w[:-1].T[:, :, None] * w[:-1].T[:, None, :]
    return made / variance


def unpack(theta: Floats, q: int) -> tuple[Floats, Floats]:
    """Turn parameters (the entries of Λ by rows, log residual sd) into Λ (… × q × q) and residual sd (…).

    >>> factor, residual_sd = unpack(np.array([1.0, 0.5, 2.0, 0.0]), 2)
    >>> factor.tolist(), float(residual_sd)
    ([[1.0, 0.0], [0.5, 2.0]], 1.0)
    """
    return lower_triangle(theta[..., :-1], q), np.exp(theta[..., -1])


def pack(covariance: Floats, residual_sd: float) -> Floats:
    """Return the parameters of a covariance matrix, which may be singular, and a residual sd: the inverse of `unpack`.

    The diagonal of Λ is taken positive or 0.
    """
    return np.append(lower_entries(covariance), np.log(residual_sd))
