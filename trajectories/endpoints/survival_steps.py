"""Step functions of survival on plain arrays: Kaplan-Meier, Aalen-Johansen, quantiles, restricted mean, log-rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Floats",
    "Ints",
    "Steps",
    "WeightedSteps",
    "aalen_johansen",
    "area_under",
    "count_steps",
    "greenwood",
    "log_log_interval",
    "log_rank_sums",
    "quantile",
    "survival_of",
    "weighted_steps",
]

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Steps:
    """Counts at each distinct time: `time`, `at_risk` just before it, `events` (times × causes), `censored`."""

    time: Floats
    at_risk: Ints
    events: Ints
    censored: Ints

    @property
    def any_event(self) -> Ints:
        """Events of all causes together, at each time."""
        return np.asarray(self.events.sum(axis=1), dtype=np.int64)


def count_steps(time: Floats, cause: Ints, causes: int = 1) -> Steps:
    """Count patients at risk, events and censorings at each distinct time.

    Parameters
    ----------
    time
        Shape (patients,), positive.
    cause
        Shape (patients,): 0 for censored, 1 … `causes` for the event that ended the time at risk.
    causes
        Number of causes.

    Returns
    -------
    `Steps`, sorted by time. A censoring at the time of an event counts as at risk there.

    Examples
    --------
    >>> count_steps(np.array([1.0, 2.0, 2.0]), np.array([1, 0, 1])).at_risk.tolist()
    [3, 2]
    """
    times, place = np.unique(time, return_inverse=True)
    counts = np.zeros((len(times), causes + 1), dtype=np.int64)
    np.add.at(counts, (place, cause), 1)
    leaving = counts.sum(axis=1)
    at_risk = leaving[::-1].cumsum()[::-1]
    return Steps(time=times, at_risk=at_risk, events=counts[:, 1:], censored=counts[:, 0])


def survival_of(steps: Steps) -> Floats:
    """Kaplan-Meier's product-limit estimate after each time: S(t) = Π (1 − d/n)."""
    return np.asarray(np.cumprod(1 - steps.any_event / steps.at_risk), dtype=np.float64)


def greenwood(steps: Steps) -> Floats:
    """Standard error of log S(t) by Greenwood: √Σ d / (n (n − d)); infinite once nobody is left."""
    n, d = steps.at_risk, steps.any_event
    with np.errstate(divide="ignore"):
        return np.asarray(np.sqrt(np.cumsum(d / (n * (n - d)))), dtype=np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightedSteps:
    """Curves of weighted patients at each distinct time.

    `time`, `survival` (share without any event after it), `incidence` (times × causes), `slopes` (∂F/∂w, patients × times × causes).
    """

    time: Floats
    survival: Floats
    incidence: Floats
    slopes: Floats


def weighted_steps(time: Floats, cause: Ints, weights: Floats, causes: int = 1) -> WeightedSteps:
    """Aalen-Johansen's estimate with weighted patients, and how it changes with each weight.

    Fⱼ(t) = Σ S(s−) λⱼ(s), λⱼ = Dⱼ/N, D and N the weights of those with an event and at risk, S = Π (1 − Σ λⱼ); with one cause 1 − F is the
    product-limit estimate. ∂λⱼ/∂wᵢ = (dNᵢⱼ − Yᵢ λⱼ)/N, from which the rest follows by the chain rule.

    Parameters
    ----------
    time, cause, causes
        As for `count_steps`.
    weights
        Positive, shape (patients,).

    Returns
    -------
    `WeightedSteps`. Influences wᵢ ∂F/∂wᵢ are those of R's survfit(…, weights, id).

    References
    ----------
    Xie and Liu 2005 (doi:10.1002/sim.2174).

    Examples
    --------
    >>> found = weighted_steps(np.array([1.0, 2.0, 2.0]), np.array([1, 0, 1]), np.array([1.0, 1.0, 2.0]))
    >>> found.survival.round(3).tolist(), found.slopes[:, 0, 0].tolist()
    ([0.75, 0.25], [0.1875, -0.0625, -0.0625])
    """
    times, place = np.unique(time, return_inverse=True)
    weight = np.zeros((len(times), causes + 1))
    np.add.at(weight, (place, cause), weights)
    at_risk = weight.sum(axis=1)[::-1].cumsum()[::-1]
    hazard = weight[:, 1:] / at_risk[:, None]
    remaining = 1 - hazard.sum(axis=1)
    left = remaining > 1e-12  # else everybody at risk had an event, and nothing follows
    before = np.concatenate([[1.0], np.cumprod(np.where(left, remaining, 0.0))])
    own = np.zeros((len(time), len(times), causes))
    had = np.flatnonzero(cause)
    own[had, place[had], cause[had] - 1] = 1.0
    here = place[:, None] >= np.arange(len(times))
    moved = (own - here[:, :, None] * hazard) / at_risk[:, None]  # ∂λ/∂w
    log_survival = np.cumsum(-moved.sum(axis=2) / np.where(left, remaining, 1.0), axis=1)
    log_before = np.concatenate([np.zeros((len(time), 1)), log_survival[:, :-1]], axis=1)
    slopes = np.cumsum(before[:-1, None] * (log_before[:, :, None] * hazard + moved), axis=1)
    incidence = np.cumsum(before[:-1, None] * hazard, axis=0)
    return WeightedSteps(time=times, survival=before[1:], incidence=incidence, slopes=slopes)


def log_log_interval(share: Floats, std_error: Floats, z: float) -> tuple[Floats, Floats]:
    """Interval of a probability p on the scale log(−log p), which never leaves 0 to 1; missing where p is 0 or 1.

    Limits exp(−exp(log(−log p) ± z SE / (p log p))), SE the standard error of p. Source: Kalbfleisch and Prentice 2002
    (doi:10.1002/9781118032985).

    >>> lower, upper = log_log_interval(np.array([0.5]), np.array([0.1]), 1.96)
    >>> round(float(lower[0]), 3), round(float(upper[0]), 3)
    (0.295, 0.675)
    """
    inside = (share > 0) & (share < 1) & np.isfinite(std_error)
    p = np.where(inside, share, 0.5)
    centre, reach = np.log(-np.log(p)), z * std_error / (p * np.log(p))
    limits = [np.where(inside, np.exp(-np.exp(centre + sign * reach)), np.nan) for sign in (-1, 1)]
    return np.minimum(*limits), np.maximum(*limits)


def quantile(time: Floats, survival: Floats, at: float) -> float:
    """First time at which a falling curve is at or below `at`; the middle of the flat part where it equals `at`.

    NaN if the curve never gets there. Missing values of the curve (limits before the first event) are passed over. As
    `quantile.survfit` of R.

    >>> quantile(np.array([1.0, 2.0, 3.0]), np.array([0.75, 0.5, 0.25]), at=0.5)
    2.5
    """
    known = ~np.isnan(survival)
    time, survival = time[known], survival[known]
    below = np.flatnonzero(survival <= at + 1e-9)
    if not below.size:
        return float("nan")
    first = int(below[0])
    if survival[first] > at - 1e-9:
        later = np.flatnonzero(survival < at - 1e-9)
        if later.size:
            return float((time[first] + time[later[0]]) / 2)
    return float(time[first])


def area_under(steps: Steps, until: float) -> tuple[float, float]:
    """Restricted mean ∫₀^τ S(t) dt and its standard error √Σ A(t)² d / (n (n − d)), A(t) the area from t to τ.

    Parameters
    ----------
    steps
        Counts of one group.
    until
        The time τ, in the unit of `steps.time`.

    Returns
    -------
    Area and standard error, as R's `print(survfit, rmean=)`.

    Examples
    --------
    >>> area_under(count_steps(np.array([1.0, 3.0]), np.array([1, 0])), until=2.0)[0]
    1.5
    """
    inside = (steps.time < until) & (steps.any_event > 0)
    edges = np.concatenate([[0.0], steps.time[inside], [until]])
    heights = np.concatenate([[1.0], survival_of(steps)[inside]])
    pieces = heights * np.diff(edges)
    remaining = pieces[::-1].cumsum()[::-1][1:]
    n, d = steps.at_risk[inside], steps.any_event[inside]
    left = n > d  # after the last patient's event the area to come is 0, and so is its part
    variance = np.sum(remaining[left] ** 2 * d[left] / (n[left] * (n[left] - d[left])))
    return float(pieces.sum()), float(np.sqrt(variance))


def aalen_johansen(steps: Steps) -> tuple[Floats, Floats]:
    """Cumulative incidence of each cause, Fⱼ(t) = Σ S(s−) dⱼ(s) / n(s), and its standard error.

    Parameters
    ----------
    steps
        Counts of one group.

    Returns
    -------
    Incidence and standard error after each time, shape (times, causes). Standard errors by the delta method, which for one cause
    gives Greenwood's.

    References
    ----------
    Aalen and Johansen 1978 (Scand J Stat 5:141-150); Dinse and Larson 1986 (doi:10.1093/biomet/73.2.379).

    Examples
    --------
    >>> aalen_johansen(count_steps(np.array([1.0, 2.0]), np.array([1, 2]), causes=2))[0].tolist()
    [[0.5, 0.0], [0.5, 0.5]]
    """
    n, d = steps.at_risk[:, None].astype(np.float64), steps.any_event[:, None]
    own = steps.events
    before = np.concatenate([[1.0], survival_of(steps)[:-1]])[:, None]
    incidence = np.cumsum(before * own / n, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Nobody is left after n = d: nothing is added later, and the term has the limit 0 there.
        a = np.where(n > d, d / (n * (n - d)), 0.0)
    b = before * own / n**2
    c = before**2 * own * (n - own) / n**3

    # Σₛ (F(t) − F(s))² a − 2 (F(t) − F(s)) b + c, by cumulative sums
    def total(values: Floats) -> Floats:
        return np.asarray(np.cumsum(values, axis=0), dtype=np.float64)

    f = incidence
    squares = f**2 * total(a) - 2 * f * total(a * f) + total(a * f**2)
    variance = squares - 2 * (f * total(b) - total(b * f)) + total(c)
    variance = np.where(variance > 1e-14, variance, 0.0)  # what cancels leaves rounding errors
    return incidence, np.asarray(np.sqrt(variance), dtype=np.float64)


def log_rank_sums(time: Floats, event: Ints, group: Ints, groups: int) -> tuple[Floats, Floats]:
    """Observed minus expected events by group, and their hypergeometric covariance.

    Parameters
    ----------
    time, event, group
        Shape (patients,): time at risk, 0 or 1, number of the group.
    groups
        Number of groups.

    Returns
    -------
    O − E, shape (groups,), and its covariance, shape (groups, groups).

    Examples
    --------
    >>> log_rank_sums(np.array([1.0, 2.0]), np.array([1, 1]), np.array([0, 1]), 2)[0].tolist()
    [0.5, -0.5]
    """
    times, place = np.unique(time, return_inverse=True)
    leaving = np.zeros((len(times), groups))
    np.add.at(leaving, (place, group), 1.0)
    at_risk = leaving[::-1].cumsum(axis=0)[::-1]
    died = np.zeros((len(times), groups))
    np.add.at(died, (place, group), event.astype(np.float64))
    d, n = died.sum(axis=1), at_risk.sum(axis=1)
    at_risk, died, d, n = (part[d > 0] for part in (at_risk, died, d, n))
    share = at_risk / n[:, None]
    surplus = (died - share * d[:, None]).sum(axis=0)
    weight = np.where(n > 1, d * (n - d) / np.maximum(n - 1, 1), 0.0)
    covariance = np.diag((weight[:, None] * share).sum(axis=0)) - share.T @ (weight[:, None] * share)
    return surplus, covariance
