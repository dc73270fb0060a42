"""Exact maximum likelihood of a multinomial logistic model, by Newton's method; with two arms it is logistic regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trajectories.weighting.errors import SeparationError

__all__ = ["maximum_likelihood", "probabilities_of"]

type Floats = NDArray[np.float64]
type Integers = NDArray[np.int64]

_STEPS = 30  # far from where probabilities round to 1 and the score to 0
_SETTLED = 1e-9  # largest change of a log odds in the last step


def maximum_likelihood(
    X: Floats, code: Integers, terms: Sequence[str], arms: Sequence[str], counts: Floats | None = None
) -> tuple[Floats, Floats, float]:
    """Fit log(e_a / e_0) = b_a0 + x'b_a.

    `counts` is what each patient counts, as in a fractional bootstrap; None for 1 each. Columns are standardised inside: Newton's steps do
    not depend on it, their rounding does. Where covariates separate the arms,
    the likelihood has no maximum: every step moves some patients' log odds by about 1 however flat it has become, so the steps
    never settle.

    Returns
    -------
    Coefficients ((1 + terms) × (arms − 1), intercept first), their covariance (in the order arm, then term), log-likelihood.

    Raises
    ------
    SeparationError
        It names the terms along which the arms are separated.
    """
    centre, spread = X.mean(axis=0), X.std(axis=0)
    Z = np.column_stack([np.ones(len(X)), (X - centre) / spread])
    others, f = len(arms) - 1, np.ones(len(X)) if counts is None else counts
    shares = np.bincount(code, weights=f, minlength=len(arms)) / f.sum()
    if (shares == 0).any():
        raise SeparationError(f"{arms[int(np.argmin(shares))]} has no patient.")
    Y = (code[:, None] == np.arange(1, len(arms))).astype(float)
    B = np.zeros((Z.shape[1], others))
    B[0] = np.log(shares[1:] / shares[0])
    step = np.zeros_like(B)
    loglik = _loglik(Z, B, code, f)
    for _ in range(_STEPS):
        score, information = _derivatives(Z, Y, B, f)
        try:
            step = np.linalg.solve(information, score).reshape(others, -1).T
        except np.linalg.LinAlgError:
            break
        moved = float(np.abs(Z @ step).max())
        B, loglik, uphill = _ascend(Z, B, step, code, loglik, f)
        if moved < _SETTLED:
            return _on_scale(B, np.linalg.inv(_derivatives(Z, Y, B, f)[1]), centre, spread, loglik)
        if not uphill:
            break
    raise SeparationError(_separated(np.abs(B[1:]), X, code, terms, arms))


def probabilities_of(X: Floats, coefficients: Floats) -> Floats:
    """Return probabilities, patients × arms.

    >>> probabilities_of(np.zeros((1, 1)), np.array([[np.log(3)], [5.0]])).round(2)
    array([[0.25, 0.75]])
    """
    return _softmax(coefficients[0] + X @ coefficients[1:])


def _softmax(eta: Floats) -> Floats:
    eta = np.column_stack([np.zeros(len(eta)), eta])
    odds = np.exp(eta - eta.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def _loglik(Z: Floats, B: Floats, code: Integers, f: Floats) -> float:
    eta = np.column_stack([np.zeros(len(Z)), Z @ B])
    top = eta.max(axis=1)
    return float(f @ (eta[np.arange(len(Z)), code] - top - np.log(np.exp(eta - top[:, None]).sum(axis=1))))


def _derivatives(Z: Floats, Y: Floats, B: Floats, f: Floats) -> tuple[Floats, Floats]:
    P = _softmax(Z @ B)[:, 1:]
    score = ((f[:, None] * (Y - P)).T @ Z).ravel()
    others, p = P.shape[1], Z.shape[1]
    information = np.empty((others, p, others, p))
    for a in range(others):
        for b in range(others):
            information[a, :, b] = (Z * (f * P[:, a] * ((a == b) - P[:, b]))[:, None]).T @ Z
    return score, information.reshape(others * p, others * p)


def _ascend(
    Z: Floats, B: Floats, step: Floats, code: Integers, before: float, f: Floats
) -> tuple[Floats, float, bool]:
    """Halve the step until it does not go down by more than rounding."""
    for halvings in range(30):
        tried = B + step / 2**halvings
        loglik = _loglik(Z, tried, code, f)
        if loglik >= before - 1e-10 * (1 + abs(before)):
            return tried, loglik, True
    return B, before, False


def _on_scale(
    B: Floats, covariance: Floats, centre: Floats, spread: Floats, loglik: float
) -> tuple[Floats, Floats, float]:
    back = np.diag(np.concatenate([[1.0], 1 / spread]))
    back[0, 1:] = -centre / spread
    whole = np.kron(np.eye(B.shape[1]), back)
    return back @ B, whole @ covariance @ whole.T, loglik


def _separated(sizes: Floats, X: Floats, code: Integers, terms: Sequence[str], arms: Sequence[str]) -> str:
    weight = sizes.max(axis=1)
    blamed = [terms[k] for k in np.argsort(-weight) if weight[k] > 0.2 * weight.max()]
    said = [f"{terms[k]!r} ({region})" for k in range(len(terms)) if (region := _apart(X[:, k], code, arms))]
    where = "; ".join(said) if said else "together " + ", ".join(repr(term) for term in blamed)
    return (
        f"the covariates separate the arms: {where}. Some patients could not have been given the other arm, so no propensity exists. Leave "
        "the patients without counterpart out of the cohort, join rare levels, or leave the term out if it does not affect the outcome."
    )


def _apart(x: Floats, code: Integers, arms: Sequence[str]) -> str:
    """Say where one term alone tells two arms apart: ranges that do not overlap, or a level that an arm does not have."""
    lows = [x[code == k].min() for k in range(len(arms))]
    highs = [x[code == k].max() for k in range(len(arms))]
    for a in range(len(arms)):
        for b in range(len(arms)):
            flat = lows[a] == highs[a] and lows[b] != highs[b] and highs[a] in (lows[b], highs[b])
            if a != b and (highs[a] <= lows[b] or flat):
                return f"{arms[a]} {lows[a]:g} to {highs[a]:g}, {arms[b]} {lows[b]:g} to {highs[b]:g}"
    return ""
