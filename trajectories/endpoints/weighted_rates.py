"""Event rates of groups of weighted patients, with robust intervals."""

from __future__ import annotations

from math import nan

import numpy as np
from numpy.typing import ArrayLike

from trajectories.endpoints.group_rates import GroupRates
from trajectories.endpoints.patient_weights import WeightedPatients
from trajectories.estimate import normal_limit

__all__ = ["weighted_rates"]


def weighted_rates(
    events: ArrayLike,
    years: ArrayLike,
    group: ArrayLike,
    weighted: WeightedPatients,
    *,
    groups: int = 1,
    ci: float = 0.95,
) -> GroupRates:
    """Estimate the rate of events in each group, λ = Σ w y / Σ w t, with a Wald interval of log λ from a robust standard error.

    ∂ log λ/∂wᵢ = (yᵢ − λ tᵢ) / Σ w y; the standard error follows from the patients' influences, through the estimation of the weights too.

    Parameters
    ----------
    events, years, group
        As for `group_rates`, of the weighted patients in their order; patients without time have 0 of both.
    weighted
        What they count.
    groups
        How many groups there are.
    ci
        Level of the intervals.

    Returns
    -------
    `GroupRates` with `log_covariance`; counts, person-years and `pooled` are those of patients without weights. A group without events has
    no interval.

    References
    ----------
    Pierce 1982 (doi:10.1214/aos/1176345788).

    Examples
    --------
    >>> patients = WeightedPatients(values=np.array([1.0, 3.0, 1.0, 1.0]))
    >>> rates = weighted_rates([0, 1, 1, 2], [1.0] * 4, [0, 0, 1, 1], patients, groups=2)
    >>> rates.rate.tolist(), rates.pooled.tolist()
    ([0.75, 1.5], [0.5, 1.5])
    """
    y, t = np.asarray(events, dtype=np.float64), np.asarray(years, dtype=np.float64)
    inside = np.asarray(group, dtype=np.int64)[:, None] == np.arange(groups)
    w = weighted.values

    def over(
        a: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.asarray((a[:, None] * inside).sum(axis=0))

    had, time, counted = over(w * y), over(w * t), over(t)
    seen = time > 0
    rate = np.divide(had, time, out=np.full(groups, nan), where=seen)
    slopes = np.where(inside, y[:, None] - np.where(seen, rate, 0.0) * t[:, None], 0.0)
    slopes = slopes / np.where(had > 0, had, nan)
    influence = weighted.influences(slopes)
    covariance = influence.T @ influence
    log_se = np.sqrt(np.diag(covariance))
    factor = np.exp(normal_limit(ci) * log_se)
    return GroupRates(
        asked="robust", interval="robust", ci=ci, dispersion=nan, loglik=nan,
        patients=((t > 0)[:, None] & inside).sum(axis=0), events=over(y).astype(np.int64), person_years=counted,
        pooled=np.divide(over(y), counted, out=np.full(groups, nan), where=counted > 0),
        rate=rate, lower=rate / factor, upper=rate * factor, log_se=log_se, log_covariance=covariance,
    )  # fmt: skip
