"""Cox's partial likelihood on plain arrays: estimates, score residuals by patient, sums at each event.

statsmodels' PHReg has the same estimates, but its cluster-robust standard errors take the score residuals of Breslow's
likelihood also when ties are Efron's (4 % off R's with tied visit days), and it has no test of proportional hazards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trajectories.endpoints.survival_steps import Floats, Ints

__all__ = ["EventSums", "PartialFit", "Ties", "event_sums", "fit_partial", "monotone", "score_residuals"]

type Ties = Literal["efron", "breslow"]

_ROUNDS = 50
_LONG = 0.3  # in standard deviations of a covariate
_SMALL = 1e-18  # Newton decrement, in units of the log-likelihood


@dataclass(frozen=True, kw_only=True, eq=False)
class EventSums:
    """What the likelihood needs at each event, one row an event.

    `row` (of the patient with the event), `tie` (number of the tied set it belongs to), `passed` (the share of the tied events taken
    out of the risk set: k/d for the k-th of d by Efron, 0 by Breslow), `s0` (sum of relative hazards at risk, times weights), `mean` (covariates
    averaged by them, events × terms), `spread` (their covariance, events × terms × terms), `weight` (mean weight of the tied patients).
    """

    row: Ints
    tie: Ints
    passed: Floats
    s0: Floats
    mean: Floats
    spread: Floats
    weight: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class PartialFit:
    """A maximum of the partial likelihood: `coefficients`, `information`, `log_likelihood`, `converged`, and `drift`, the last
    Newton step that was still long: where the likelihood rises without end, the direction in which it does.
    """

    coefficients: Floats
    information: Floats
    log_likelihood: float
    converged: bool
    drift: Floats


def event_sums(
    X: Floats,
    time: Floats,
    event: Ints,
    hazard: Floats,
    strata: Ints,
    ties: Ties,
    weights: Floats | None = None,
) -> EventSums:
    """Sum relative hazards and covariates over the patients at risk at each event.

    Parameters
    ----------
    X
        Covariates, patients × terms.
    time, event, strata
        Shape (patients,): time at risk, 0 or 1, number of the stratum; risk sets never cross strata.
    hazard
        exp(linear predictor), shape (patients,).
    ties
        How tied event times count.
    weights
        Of the patients; None for 1 each.

    Returns
    -------
    `EventSums`, events in the order of strata and, within, of falling time.

    Examples
    --------
    >>> x, time = np.array([[0.0], [1.0]]), np.array([1.0, 2.0])
    >>> sums = event_sums(x, time, np.array([1, 1]), np.ones(2), np.zeros(2, dtype=int), "efron")
    >>> sums.s0.tolist(), sums.mean[:, 0].tolist()
    ([1.0, 2.0], [1.0, 0.5])
    """
    w = np.ones(len(time)) if weights is None else weights
    parts = [
        _stratum_sums(rows, X[rows], time[rows], event[rows], hazard[rows], w[rows], ties)
        for rows in _groups(strata)
    ]
    ties_before = np.cumsum([0, *(int(part.tie.max(initial=-1)) + 1 for part in parts)])
    return EventSums(
        row=np.concatenate([part.row for part in parts]),
        tie=np.concatenate([part.tie + before for part, before in zip(parts, ties_before, strict=False)]),
        passed=np.concatenate([part.passed for part in parts]),
        s0=np.concatenate([part.s0 for part in parts]),
        mean=np.concatenate([part.mean for part in parts]),
        spread=np.concatenate([part.spread for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
    )


def _groups(labels: Ints) -> Iterator[Ints]:
    for label in np.unique(labels):
        yield np.flatnonzero(labels == label)


def _stratum_sums(
    rows: Ints, X: Floats, time: Floats, event: Ints, hazard: Floats, weights: Floats, ties: Ties
) -> EventSums:
    order = np.argsort(-time, kind="stable")
    rows, X, time, event = rows[order], X[order], time[order], event[order]
    hazard, weights = (hazard * weights)[order], weights[order]
    terms = X.shape[1]
    products = np.concatenate(
        [np.ones((len(X), 1)), X, (X[:, :, None] * X[:, None, :]).reshape(len(X), terms**2)], axis=1
    )
    products = products * hazard[:, None]
    died = np.flatnonzero(event)
    # everybody with a time at least as long is at risk: up to the last row with the same time
    last = np.searchsorted(-time, -time[died], side="right") - 1
    at_risk = np.cumsum(products, axis=0)[last]
    _, first, tie, size = np.unique(-time[died], return_index=True, return_inverse=True, return_counts=True)
    passed = (np.arange(len(died)) - first[tie]) / size[tie] if ties == "efron" else np.zeros(len(died))
    tied = np.zeros((len(size), products.shape[1]))
    np.add.at(tied, tie, products[died])
    sums = at_risk - passed[:, None] * tied[tie]
    s0, mean = sums[:, 0], sums[:, 1 : terms + 1] / sums[:, :1]
    squares = (sums[:, terms + 1 :] / sums[:, :1]).reshape(len(died), terms, terms)
    spread = squares - mean[:, :, None] * mean[:, None, :]
    shared = np.bincount(tie, weights=weights[died]) / size
    return EventSums(
        row=rows[died], tie=tie, passed=passed, s0=s0, mean=mean, spread=spread, weight=shared[tie]
    )


def fit_partial(
    X: Floats,
    time: Floats,
    event: Ints,
    strata: Ints,
    ties: Ties,
    offset: Floats | None = None,
    weights: Floats | None = None,
) -> PartialFit:
    """Maximise the partial likelihood by Newton's method with halved steps.

    Parameters
    ----------
    X
        Covariates, patients × terms (none is allowed).
    time, event, strata
        As for `event_sums`.
    ties
        How tied event times count.
    offset
        Added to the linear predictor, shape (patients,).
    weights
        Of the patients, shape (patients,); None for 1 each. Of tied events each takes their mean weight, as in R's survival.

    Returns
    -------
    `PartialFit`; `converged` is False if the likelihood has no maximum or the covariates are collinear.

    References
    ----------
    Cox 1972 (doi:10.1111/j.2517-6161.1972.tb00899.x); Breslow 1974 (doi:10.2307/2529620); Efron 1977
    (doi:10.1080/01621459.1977.10480613).

    Examples
    --------
    >>> x, time = np.array([[0.0], [1.0], [0.0], [1.0]]), np.array([1.0, 2.0, 3.0, 4.0])
    >>> fit = fit_partial(x, time, np.ones(4, dtype=int), np.zeros(4, dtype=int), "efron")
    >>> round(float(fit.coefficients[0]), 3)
    -0.941
    """
    if not event.any():
        nothing = np.zeros(X.shape[1])
        return PartialFit(
            coefficients=nothing,
            information=np.zeros((X.shape[1], X.shape[1])),
            log_likelihood=0.0,
            converged=True,
            drift=nothing,
        )
    fixed = np.zeros(len(time)) if offset is None else offset
    w = np.ones(len(time)) if weights is None else weights
    centre, scale = X.mean(axis=0), X.std(axis=0)
    Z = (X - centre) / scale

    def evaluate(beta: Floats) -> tuple[float, EventSums]:
        predictor = fixed + Z @ beta
        predictor = predictor - predictor.max(initial=-np.inf)
        sums = event_sums(Z, time, event, np.exp(predictor), strata, ties, w)
        return float(w[sums.row] @ predictor[sums.row] - sums.weight @ np.log(sums.s0)), sums

    beta = np.zeros(X.shape[1])
    value, sums = evaluate(beta)
    drift, converged = beta, X.shape[1] == 0
    for _ in range(_ROUNDS if X.shape[1] else 0):
        score = w[sums.row] @ Z[sums.row] - sums.weight @ sums.mean
        step = np.asarray(np.linalg.lstsq(_information(sums), score, rcond=1e-10)[0])
        drift = step if np.abs(step).max() > _LONG else drift
        converged = bool(score @ step < _SMALL * max(1.0, abs(value)))
        tried, found = evaluate(beta + step)
        while not tried >= value - 1e-9 * abs(value):
            step = step / 2
            tried, found = evaluate(beta + step)
        beta, value, sums = beta + step, tried, found
        if converged:  # and one step beyond, which doubles the digits
            break
    return PartialFit(
        coefficients=beta / scale,
        information=_information(sums) * np.outer(scale, scale),
        log_likelihood=value,
        converged=converged,
        drift=drift / scale,
    )


def _information(sums: EventSums) -> Floats:
    return np.asarray(np.einsum("e,ejk->jk", sums.weight, sums.spread))


def monotone(X: Floats, time: Floats, event: Ints, strata: Ints, direction: Floats) -> bool:
    """Whether the likelihood rises for ever in a direction: nobody at risk at an event had a higher X · direction than who had it.

    >>> x, time = np.array([[1.0], [0.0]]), np.array([1.0, 2.0])
    >>> monotone(x, time, np.array([1, 0]), np.zeros(2, dtype=int), np.array([1.0]))
    True
    """
    score = X @ direction
    tolerance = 1e-6 * max(float(np.ptp(score)), 1e-300)
    for rows in _groups(strata):
        order = rows[np.argsort(-time[rows], kind="stable")]
        highest = np.maximum.accumulate(score[order])
        died = np.flatnonzero(event[order])
        last = np.searchsorted(-time[order], -time[order][died], side="right") - 1
        if np.any(highest[last] > score[order][died] + tolerance):
            return False
    return bool(np.ptp(score) > 0)


def score_residuals(
    X: Floats,
    time: Floats,
    event: Ints,
    hazard: Floats,
    strata: Ints,
    ties: Ties,
    weights: Floats | None = None,
) -> Floats:
    """Each patient's part of the score at the estimate, patients × terms: what the robust variance sums by cluster.

    Lᵢ = δᵢ (xᵢ − x̄) − Σ over events while i is at risk of hᵢ (xᵢ − x̄) / s₀; with Efron's ties each tied event is averaged over the
    steps of its set, and counts there with the share of it that is still in the risk set. With weights it is times the patient's weight.

    References
    ----------
    Lin and Wei 1989 (doi:10.1080/01621459.1989.10478874).
    """
    sums = event_sums(X, time, event, hazard, strata, ties, weights)
    sets = int(sums.tie.max(initial=-1)) + 1
    terms = X.shape[1]

    def over_ties(values: Floats) -> Floats:
        total = np.zeros((sets, *values.shape[1:]))
        np.add.at(total, sums.tie, values)
        return total

    rate = sums.weight / sums.s0
    mean_rate = sums.mean * rate[:, None]
    jumps, mean_jumps = over_ties(rate), over_ties(mean_rate)
    residuals = np.zeros_like(X)
    when, group = np.zeros(sets), np.zeros(sets, dtype=np.int64)
    when[sums.tie], group[sums.tie] = time[sums.row], strata[sums.row]
    for rows in _groups(strata):
        mine = np.flatnonzero(group == strata[rows[0]])
        mine = mine[np.argsort(when[mine], kind="stable")]
        seen = np.searchsorted(when[mine], time[rows], side="right")
        so_far = np.concatenate([[0.0], np.cumsum(jumps[mine])])[seen]
        mean_so_far = np.concatenate([np.zeros((1, terms)), np.cumsum(mean_jumps[mine], axis=0)])[seen]
        residuals[rows] = -hazard[rows][:, None] * (X[rows] * so_far[:, None] - mean_so_far)
    sizes = over_ties(np.ones(len(sums.tie)))
    average = over_ties(sums.mean) / sizes[:, None]
    taken, mean_taken = over_ties(sums.passed * rate), over_ties(sums.passed[:, None] * mean_rate)
    rows, tie = sums.row, sums.tie
    residuals[rows] += X[rows] - average[tie]
    residuals[rows] += hazard[rows][:, None] * (X[rows] * taken[tie][:, None] - mean_taken[tie])
    return residuals if weights is None else residuals * weights[:, None]
