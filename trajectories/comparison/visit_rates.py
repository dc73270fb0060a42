"""Rates of visits with errors that stand on the spread between patients, on plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, nan, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["VisitRates", "visit_rates"]

type Floats = NDArray[np.float64]

# Below this the error of a log rate is rounding: visits are then proportional to time in every patient.
_NONE = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class VisitRates:
    """Visits over person-years of groups of patients; made by `visit_rates`.

    Arrays of shape (groups,): `patients` (with observed time), `clusters` (of them), `visits`, `person_years`, `rate`, `variance` (of the
    log rate; NaN where there is none, and `reason` says why); `influence`, clusters × groups: what each adds to the error of a log rate.
    """

    patients: NDArray[np.int64]
    clusters: NDArray[np.int64]
    visits: NDArray[np.int64]
    person_years: Floats
    rate: Floats
    variance: Floats
    reason: tuple[str, ...]
    influence: Floats

    def limits(self, group: int, ci: float) -> tuple[float, float]:
        """Limits of a rate: rate·exp(± t-quantile(clusters − 1)·SE); NaN where it has no error."""
        return _around(self.rate[group], self.variance[group], self.clusters[group] - 1, ci)

    def ratio(self, group: int, reference: int, ci: float) -> tuple[float, float, float, str]:
        """Divide a rate by another's: ratio, limits, and why a number is missing.

        The log ratio has the error of the difference of the two influences, so that a cluster in both groups counts once; degrees of
        freedom by Welch and Satterthwaite.

        Examples
        --------
        >>> rates = visit_rates([4, 6, 2, 3], [2.0, 2.0, 2.0, 2.0], [0, 0, 1, 1], groups=2)
        >>> rates.ratio(1, 0, 0.95)[0]
        0.5
        """
        for k in (reference, group):
            if np.isnan(self.rate[k]) or (k == reference and self.rate[k] == 0):
                return nan, nan, nan, self.reason[k]
        ratio = float(self.rate[group] / self.rate[reference])
        missing = self.reason[group] or self.reason[reference]
        if missing:
            return ratio, nan, nan, missing
        parts, df = self.variance[[group, reference]], self.clusters[[group, reference]] - 1
        variance = float(np.sum((self.influence[:, group] - self.influence[:, reference]) ** 2))
        if sqrt(variance) < _NONE:
            return ratio, nan, nan, "both rates vary together, so their ratio has no standard error"
        freedom = float(parts.sum() ** 2 / np.sum(parts**2 / df))
        lower, upper = _around(ratio, variance, freedom, ci)
        return ratio, lower, upper, ""


def visit_rates(
    visits: ArrayLike,
    years: ArrayLike,
    group: ArrayLike,
    *,
    groups: int,
    cluster: ArrayLike | None = None,
) -> VisitRates:
    """Estimate visits per person-year of each group with errors from the spread between patients.

    Ratio estimator R = Σ yᵢ / Σ tᵢ. Its log has the linearised variance n/(n − 1) Σ dᵢ², dᵢ = (yᵢ − R tᵢ) / Σ y, over the n patients (or
    clusters, d summed within) with time: that of R's `survey::svyratio`, and of quasi-Poisson equations robust by patient. It takes no
    variance from a model of the counts, so that visits on a schedule, which vary less than Poisson counts, get the narrow intervals they
    have, and visits made on demand the wide ones.

    Parameters
    ----------
    visits, years
        Count and observed years of each patient, shape (patients,); patients without time are left out.
    group
        Group of each patient, 0 … `groups` − 1.
    groups
        How many groups there are.
    cluster
        0, 1, …: patients that belong together; None for patients one by one.

    Source: Cochran (1977), Sampling Techniques, 3rd edition, chapter 6; Liang and Zeger (1986), Biometrika 73:13, doi:10.1093/biomet/73.1.13.

    Examples
    --------
    >>> rates = visit_rates([4, 6, 5], [2.0, 2.0, 2.0], [0, 0, 0], groups=1)
    >>> rates.rate.tolist(), round(float(rates.variance[0]), 4)
    ([2.5], 0.0133)
    """
    y, t = np.asarray(visits, dtype=np.float64), np.asarray(years, dtype=np.float64)
    codes, own = np.asarray(group), np.arange(len(y)) if cluster is None else np.asarray(cluster)
    count = int(own.max(initial=-1)) + 1
    influence = np.zeros((count, groups))
    patients, clusters = np.zeros(groups, dtype=np.int64), np.zeros(groups, dtype=np.int64)
    rate, variance, reasons = np.full(groups, nan), np.full(groups, nan), []
    for k in range(groups):
        mine = (codes == k) & (t > 0)
        n = len(np.unique(own[mine]))
        patients[k], clusters[k] = mine.sum(), n
        total = y[mine].sum()
        rate[k] = total / t[mine].sum() if n else nan
        if n > 1 and total > 0:
            d = np.bincount(own[mine], (y[mine] - rate[k] * t[mine]) / total, count)
            influence[:, k] = d * sqrt(n / (n - 1))
            variance[k] = np.sum(influence[:, k] ** 2)
        reasons.append(_reason(n, total, variance[k]))
        variance[k] = nan if reasons[-1] else variance[k]
    return VisitRates(
        patients=patients, clusters=clusters, visits=_sums(y, codes, t > 0, groups).astype(np.int64),
        person_years=_sums(t, codes, t > 0, groups), rate=rate, variance=variance, reason=tuple(reasons), influence=influence,
    )  # fmt: skip


def _sums(values: Floats, codes: NDArray[np.int64], seen: NDArray[np.bool_], groups: int) -> Floats:
    return np.bincount(codes[seen], values[seen], groups)


def _reason(n: int, total: float, variance: float) -> str:
    """Why a log rate has no standard error, or nothing."""
    if n == 0:
        return "an arm has no observed time"
    if total == 0:
        return "an arm has no visit, so the log rate has no standard error"
    if n == 1:
        return "an arm of one has no spread between patients"
    return "all of an arm were seen equally often" if sqrt(variance) < _NONE else ""


def _around(value: float, variance: float, df: float, ci: float) -> tuple[float, float]:
    from scipy.special import stdtrit

    if np.isnan(variance):
        return nan, nan
    factor = exp(float(stdtrit(df, (1 + ci) / 2)) * sqrt(variance))
    return float(value) / factor, float(value) * factor
