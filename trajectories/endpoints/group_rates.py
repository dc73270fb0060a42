"""Event rates of groups of patients with their intervals, on plain arrays: negative binomial and exact Poisson.

One row a patient. The negative binomial model has one rate a group and one dispersion, which leaves a likelihood
in the dispersion alone once each group's rate is maximised out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log, nan, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.endpoints.patient_weights import WeightedPatients
from trajectories.estimate import check_ci, normal_limit

__all__ = [
    "GroupRates",
    "Interval",
    "Kind",
    "change_in_rate",
    "check_interval",
    "group_rates",
    "poisson_limits",
    "rate_ratio",
]

type FloatArray = NDArray[np.float64]
type IntArray = NDArray[np.int64]
type Interval = Literal["negative binomial", "exact Poisson"]
type Kind = Interval | Literal["robust"]

INTERVALS: tuple[Interval, ...] = ("negative binomial", "exact Poisson")
# A dispersion below this is 0: the likelihood is then highest at the Poisson model, or as good as.
_AT_ZERO = 1e-6
# An upper limit above an event a day says nothing: it comes from a few patients beside a large dispersion.
_MOST = 365.25
_GRID = np.geomspace(1e-4, 1e4, 81)


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupRates:
    """Rates of groups and the model their intervals are from.

    Fields, arrays of shape (groups,): `patients` (with observed time), `events`, `person_years`, `pooled` (events
    over person-years), `rate`, `lower`, `upper`, `log_se` (standard error of the log rate; NaN where the interval
    is exact); of weighted patients `log_covariance` (groups × groups). `interval` is the kind used, `asked` the kind asked
    for; they differ when negative binomial counts cannot be told from Poisson counts. `dispersion` is the α of
    Var = μ + αμ² (0 for Poisson), `ci` the level, `loglik` the log-likelihood at the estimates; both NaN of weighted patients.
    """

    asked: Kind
    interval: Kind
    ci: float
    dispersion: float
    loglik: float
    patients: IntArray
    events: IntArray
    person_years: FloatArray
    pooled: FloatArray
    rate: FloatArray
    lower: FloatArray
    upper: FloatArray
    log_se: FloatArray
    log_covariance: FloatArray | None = None


def check_interval(interval: str, ci: float) -> None:
    """Raise ValueError unless the kind of interval is known and its level lies between 0 and 1.

    >>> check_interval("exact Poisson", 0.95)
    """
    if interval not in INTERVALS:
        raise ValueError(f"interval must be {' or '.join(map(repr, INTERVALS))}, not {interval!r}.")
    check_ci(ci)


def group_rates(
    events: ArrayLike,
    years: ArrayLike,
    group: ArrayLike,
    *,
    groups: int = 1,
    interval: Interval = "negative binomial",
    ci: float = 0.95,
) -> GroupRates:
    """Estimate the rate of events in each group.

    "negative binomial": maximum likelihood of yᵢ ~ NB2(μᵢ, α), log μᵢ = log tᵢ + log λ_group, Var = μ + αμ², one α
    for all groups; the interval is λ·exp(± z·SE), SE² = 1 / Σ μᵢ/(1 + αμᵢ) (expected information, as R's
    `glm.nb(y ~ 0 + group + offset(log(t)))`). A group without events has rate 0 and the upper limit at which the
    chance of that, Π (1 + αλtᵢ)^(−1/α), is (1 − ci)/2; infinite if that is more than an event a day. If the likelihood
    is highest at α = 0 the interval is the exact Poisson one, and `interval` of the result says so.

    "exact Poisson": events over person-years with Garwood's limits, the χ² quantiles
    [χ²(2y; (1 − ci)/2)/2, χ²(2y + 2; (1 + ci)/2)/2] / T. With rates that vary between patients it is too narrow.

    Parameters
    ----------
    events, years
        Count and observed years of each patient, shape (patients,); patients without time are left out.
    group
        Group of each patient, 0 … `groups` − 1, shape (patients,).
    groups
        How many groups there are; one without any observed time has NaN as rate.
    interval
        Kind of interval.
    ci
        Its level.

    Raises
    ------
    ValueError
        If counts are not whole numbers of at least 0, or years are negative or not finite.

    References
    ----------
    Lawless 1987 (doi:10.2307/3314912); Garwood 1936 (doi:10.1093/biomet/28.3-4.437).

    Examples
    --------
    >>> rates = group_rates([0, 4, 1, 0], [1.0, 1.0, 1.0, 0.5], [0, 0, 1, 1], groups=2)
    >>> rates.pooled.round(3).tolist(), rates.interval
    ([2.0, 0.667], 'negative binomial')
    """
    check_interval(interval, ci)
    counts = _Counts.of(events, years, group, groups)
    alpha, rate, loglik = _maximum(counts) if interval == "negative binomial" else (0.0, counts.pooled, nan)
    exact = alpha == 0
    if exact:
        lower, upper = poisson_limits(counts.total, counts.time, ci)
        log_se = np.full(groups, nan)
        loglik = counts.loglik(counts.pooled, 0.0)
    else:
        lower, upper, log_se = _negative_binomial_limits(counts, rate, alpha, ci)
    return GroupRates(
        asked=interval,
        interval="exact Poisson" if exact else interval,
        ci=ci,
        dispersion=alpha,
        loglik=loglik,
        patients=counts.patients,
        events=counts.total,
        person_years=counts.time,
        pooled=counts.pooled,
        rate=rate,
        lower=lower,
        upper=upper,
        log_se=log_se,
    )


def poisson_limits(events: ArrayLike, years: ArrayLike, ci: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Return Garwood's exact limits of Poisson rates, NaN without observed time.

    >>> lower, upper = poisson_limits([0], [10.0])
    >>> round(float(upper[0]), 4)
    0.3689
    """
    from scipy.special import gammaincinv

    y, t = np.asarray(events, dtype=np.float64), np.asarray(years, dtype=np.float64)
    tail = (1 - ci) / 2
    time = np.where(t > 0, t, nan)
    lower = np.where(y > 0, gammaincinv(np.maximum(y, 1), tail), 0.0) / time
    return np.asarray(lower), np.asarray(gammaincinv(y + 1, 1 - tail) / time)


def rate_ratio(rates: GroupRates, group: int, reference: int) -> tuple[float, float, float, str]:
    """Divide the rate of one group by another's: ratio, limits, and why a number is missing.

    Negative binomial: the log ratio ± z·√(SE² + SE²), as the two log rates are independent given α. Robust: with their covariance, as
    weights of both may have been estimated together. Exact Poisson:
    given their sum the events of the group are binomial with odds ratio · t/t_reference; the Clopper-Pearson limits
    of that share are turned into limits of the ratio.

    Examples
    --------
    >>> rates = group_rates([5, 10], [10.0, 10.0], [0, 1], groups=2, interval="exact Poisson")
    >>> round(rate_ratio(rates, 1, 0)[0], 3)
    2.0
    """
    if rates.person_years[group] == 0 or rates.person_years[reference] == 0:
        return nan, nan, nan, "a group has no observed time"
    if rates.events[group] + rates.events[reference] == 0:
        return nan, nan, nan, "neither group has an event"
    if rates.interval == "exact Poisson":
        return (*_exact_ratio(rates, group, reference), "")
    if rates.events[reference] == 0:
        return inf, nan, nan, "the reference has no event, so the log ratio has no standard error"
    ratio = float(rates.rate[group] / rates.rate[reference])
    if rates.events[group] == 0:
        return ratio, nan, nan, "the group has no event, so the log ratio has no standard error"
    variance = rates.log_se[group] ** 2 + rates.log_se[reference] ** 2
    if rates.log_covariance is not None:
        variance -= 2 * rates.log_covariance[group, reference]
    factor = float(np.exp(normal_limit(rates.ci) * np.sqrt(variance)))
    return ratio, ratio / factor, ratio * factor, ""


def change_in_rate(
    before: ArrayLike,
    years_before: ArrayLike,
    after: ArrayLike,
    years_after: ArrayLike,
    *,
    ci: float = 0.95,
    weighted: WeightedPatients | None = None,
    rows: NDArray[np.bool_] | None = None,
) -> tuple[float, float, float, str]:
    """Divide the pooled rate after by that before in the same patients: ratio, limits, and why one is missing.

    ratio = (Σ y_after / Σ t_after) / (Σ y_before / Σ t_before). Its log has the standard error of estimating
    equations with an independence working correlation, robust by patient:
    SE² = n/(n − 1) Σᵢ dᵢ², dᵢ = (y_after,i − r_after t_after,i)/Y_after − (y_before,i − r_before t_before,i)/Y_before,
    over the n patients with time in either; the limits are ratio·exp(± t-quantile(n − 1)·SE). A patient whose
    relapses are many in both windows has both terms, so the pairing is respected without a model of it.

    Parameters
    ----------
    before, after
        Count of each patient, shape (patients,).
    years_before, years_after
        Observed years of each patient; 0 where the patient was not seen.
    ci
        Level of the interval.
    weighted, rows
        What patients count: sums are weighted, and dᵢ becomes the patient's influence, through the estimation of the weights too; which of
        the weighted these are (None for all).

    References
    ----------
    Liang and Zeger 1986 (doi:10.1093/biomet/73.1.13).

    Examples
    --------
    >>> ratio, lower, upper, _ = change_in_rate([2, 1, 3, 1], [1.0] * 4, [1, 0, 1, 0], [1.0] * 4)
    >>> round(ratio, 3), round(lower, 3), round(upper, 3)
    (0.286, 0.094, 0.87)
    """
    from scipy.special import stdtrit

    y0, t0, y1, t1 = (np.asarray(a, dtype=np.float64) for a in (before, years_before, after, years_after))
    n = int(np.sum((t0 > 0) | (t1 > 0)))
    w = np.ones(len(y0)) if weighted is None else weighted.values if rows is None else weighted.values[rows]
    if t0.sum() == 0 or t1.sum() == 0:
        return nan, nan, nan, f"nobody was seen {'before' if t0.sum() == 0 else 'after'}"
    if y0.sum() == 0:
        return nan, nan, nan, "there was no event before"
    rate0, rate1 = w @ y0 / (w @ t0), w @ y1 / (w @ t1)
    ratio = float(rate1 / rate0)
    if y1.sum() == 0:
        return ratio, nan, nan, "there was no event after, so the log ratio has no standard error"
    if n < 2:
        return ratio, nan, nan, "one patient has no standard error"
    d = (y1 - rate1 * t1) / (w @ y1) - (y0 - rate0 * t0) / (w @ y0)
    known = WeightedPatients(values=w) if weighted is None else weighted
    error = sqrt(n / (n - 1)) * float(known.errors(d[:, None], rows)[0])
    if error == 0:
        return ratio, nan, nan, "all patients changed alike, so the standard error is 0"
    factor = float(np.exp(stdtrit(n - 1, (1 + ci) / 2) * error))
    return ratio, ratio / factor, ratio * factor, ""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Counts:
    """The counts of patients with observed time, and their sums by group."""

    y: FloatArray
    t: FloatArray
    g: IntArray
    groups: int

    @classmethod
    def of(cls, events: ArrayLike, years: ArrayLike, group: ArrayLike, groups: int) -> _Counts:
        y, t = np.asarray(events, dtype=np.float64), np.asarray(years, dtype=np.float64)
        g = np.asarray(group, dtype=np.int64)
        if not (np.isfinite(t) & (t >= 0)).all():
            raise ValueError("observed years must be finite and at least 0.")
        if not (np.isfinite(y) & (y >= 0) & (y == np.floor(y))).all():
            raise ValueError("counts of events must be whole numbers of at least 0.")
        if (y[t == 0] > 0).any():
            raise ValueError("a patient has events and no observed time: count both over the same time.")
        seen = t > 0
        return cls(y=y[seen], t=t[seen], g=g[seen], groups=groups)

    def sum(self, values: FloatArray) -> FloatArray:
        return np.bincount(self.g, weights=values, minlength=self.groups)

    @property
    def total(self) -> IntArray:
        return self.sum(self.y).astype(np.int64)

    @property
    def time(self) -> FloatArray:
        return self.sum(self.t)

    @property
    def patients(self) -> IntArray:
        return np.bincount(self.g, minlength=self.groups).astype(np.int64)

    @property
    def pooled(self) -> FloatArray:
        time = self.time
        return np.asarray(np.divide(self.total, time, out=np.full(self.groups, nan), where=time > 0))

    def loglik(self, rate: FloatArray, alpha: float) -> float:
        """Log-likelihood of the groups with events; groups without have probability 1 at rate 0."""
        from scipy.special import gammaln

        mine = (self.total > 0)[self.g]
        y, mu = self.y[mine], self.t[mine] * rate[self.g[mine]]
        own = y * np.log(mu) - gammaln(y + 1)
        if alpha == 0:
            return float(np.sum(own - mu))
        rising = np.append(0.0, np.cumsum(np.log1p(alpha * np.arange(y.max()))))[y.astype(np.int64)]
        return float(np.sum(own + rising - (y + 1 / alpha) * np.log1p(alpha * mu)))


def _maximum(counts: _Counts) -> tuple[float, FloatArray, float]:
    """Maximise the likelihood: α, the rates, the log-likelihood; α is exactly 0 at the Poisson model."""
    poisson = counts.pooled
    if not counts.total.any():
        return 0.0, poisson, 0.0
    at_zero = counts.loglik(poisson, 0.0)
    profile = np.array([counts.loglik(_rates_given(counts, a), a) for a in _GRID])
    best = int(np.argmax(profile))
    if profile[best] <= at_zero and _slope_at_zero(counts, poisson) <= 0:
        return 0.0, poisson, at_zero
    lower, upper = (_GRID[best - 1] if best else _AT_ZERO), _GRID[min(best + 1, len(_GRID) - 1)]
    alpha = _root(lambda a: _slope(counts, _rates_given(counts, a), a), lower, upper)
    rate = _rates_given(counts, alpha)
    if alpha <= _AT_ZERO or (value := counts.loglik(rate, alpha)) < at_zero:
        return 0.0, poisson, at_zero
    return alpha, rate, value


def _root(slope: Callable[[float], float], lower: float, upper: float) -> float:
    """Find where a slope turns from positive to negative; the end it points to if it does not."""
    from scipy.optimize import brentq

    if slope(lower) <= 0:
        return lower
    if slope(upper) >= 0:
        return upper
    return float(brentq(slope, lower, upper, xtol=1e-14, rtol=1e-14))


def _rates_given(counts: _Counts, alpha: float) -> FloatArray:
    """Maximise each group's rate at a fixed α by Newton steps in its log, in which the likelihood is concave."""
    some = counts.total > 0
    rate = counts.pooled
    for _ in range(100):
        mu = counts.t * rate[counts.g]
        spread = 1 + alpha * mu
        score = counts.sum((counts.y - mu) / spread)[some]
        information = counts.sum(mu * (1 + alpha * counts.y) / spread**2)[some]
        step = score / information
        rate[some] *= np.exp(np.clip(step, -2, 2))
        if np.max(np.abs(step), initial=0) < 1e-13 or np.max(score**2 / information, initial=0) < 1e-28:
            break
    return rate


def _slope(counts: _Counts, rate: FloatArray, alpha: float) -> float:
    """Derivative of the log-likelihood in α, the rates at their maximum for it."""
    mine = (counts.total > 0)[counts.g]
    y, mu = counts.y[mine], counts.t[mine] * rate[counts.g[mine]]
    j = np.arange(y.max())
    rising = np.append(0.0, np.cumsum(j / (1 + alpha * j)))[y.astype(np.int64)]
    return float(np.sum(rising + np.log1p(alpha * mu) / alpha**2 - (y + 1 / alpha) * mu / (1 + alpha * mu)))


def _slope_at_zero(counts: _Counts, rate: FloatArray) -> float:
    mine = (counts.total > 0)[counts.g]
    y, mu = counts.y[mine], counts.t[mine] * rate[counts.g[mine]]
    return float(np.sum((y - mu) ** 2 - y)) / 2


def _negative_binomial_limits(
    counts: _Counts, rate: FloatArray, alpha: float, ci: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    mu = counts.t * rate[counts.g]
    information = counts.sum(mu / (1 + alpha * mu))
    log_se = np.full(counts.groups, nan)
    some = counts.total > 0
    log_se[some] = 1 / np.sqrt(information[some])
    factor = np.exp(normal_limit(ci) * log_se)
    lower, upper = rate / factor, rate * factor
    for g in np.flatnonzero((counts.total == 0) & (counts.time > 0)):
        lower[g], upper[g] = 0.0, _highest_without_events(counts.t[counts.g == g], alpha, ci)
    return lower, upper, log_se


def _highest_without_events(years: FloatArray, alpha: float, ci: float) -> float:
    """Find the rate at which the chance of no event at all is (1 − ci)/2."""
    from scipy.optimize import brentq

    wanted = -log((1 - ci) / 2)

    def surplus(log_rate: float) -> float:
        return float(np.sum(np.log1p(alpha * years * np.exp(log_rate)))) / alpha - wanted

    if surplus(log(_MOST)) < 0:
        return inf
    start = log(wanted / years.sum())  # what Poisson counts would need; dispersed ones need more
    return float(np.exp(brentq(surplus, start, log(_MOST), xtol=1e-13)))


def _exact_ratio(rates: GroupRates, group: int, reference: int) -> tuple[float, float, float]:
    from scipy.special import betaincinv

    y1, y0 = int(rates.events[group]), int(rates.events[reference])
    scale = float(rates.person_years[reference] / rates.person_years[group])
    tail = (1 - rates.ci) / 2
    low = float(betaincinv(y1, y0 + 1, tail)) if y1 else 0.0
    high = float(betaincinv(y1 + 1, y0, 1 - tail)) if y0 else 1.0
    return (
        y1 / y0 * scale if y0 else inf,
        low / (1 - low) * scale,
        high / (1 - high) * scale if high < 1 else inf,
    )
