"""The ratio of two published rates from what papers print: events, person-years, patients with an event."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trajectories.comparison.figures import EventCount, PublishedFigureError
from trajectories.comparison.sources import Published, check_published
from trajectories.estimate import check_ci, normal_limit

__all__ = ["SummaryRateRatio", "rate_ratio_from_summary"]


@dataclass(frozen=True, kw_only=True, repr=False)
class SummaryRateRatio:
    """A ratio of two arms' rates, made of published counts.

    Fields: `ratio` with `lower` and `upper` (an interval of probability `ci`), `log_se` (standard error of its log), `dispersion` of the
    two arms (α of Var = μ + αμ²; 0 where counts are Poisson's), `arms` (level, reference).
    """

    ratio: float
    lower: float
    upper: float
    ci: float
    log_se: float
    dispersion: tuple[float, float]
    arms: tuple[str, str]

    def __str__(self) -> str:
        level, reference = self.arms
        return (
            f"Relapse rate of {level} over that of {reference}, from published counts: {self.ratio:.2f} "
            f"({self.ci:.0%} interval {self.lower:.2f} to {self.upper:.2f})\n"
            f"  negative binomial with a dispersion an arm ({self.dispersion[0]:.2f} and {self.dispersion[1]:.2f}), from the share of "
            "patients with an event;\n  everybody of an arm as if followed equally long, the dispersions as if known"
        )

    def __repr__(self) -> str:
        return str(self)


def rate_ratio_from_summary(level: Published, reference: Published, ci: float = 0.95) -> SummaryRateRatio:
    """Divide one published rate by another, with an interval that lets rates vary between patients.

    log ratio ± z √(1/y₁ + α₁/n₁ + 1/y₀ + α₀/n₀) with y events in n patients; α of each arm solves
    (1 + αμ)^(−1/α) = 1 − (patients with an event)/n at μ = y/n, the NB2 chance of no event. SE² is the inverse expected information
    of log λ when all are followed equally long; the estimates of α and of λ are orthogonal, so α's own error is left out.

    Parameters
    ----------
    level, reference
        Figures of the kind `EventCount`, with `patients_with`: such as `published.CARE_MS_1["alemtuzumab"].relapses`.
    ci
        Probability of the interval.

    Returns
    -------
    `SummaryRateRatio`; print it to read it.

    Raises
    ------
    PublishedFigureError
        If a figure is of another kind or lacks the patients with an event.
    TypeError
        If one is no `Published`, such as a number.

    References
    ----------
    Lawless 1987 (doi:10.2307/3314912).

    Examples
    --------
    The trial itself printed 0.45 (0.32 to 0.63), from patients' data:

    >>> from trajectories.comparison import published
    >>> trial = published.CARE_MS_1
    >>> print(rate_ratio_from_summary(trial["alemtuzumab"].relapses, trial["interferon"].relapses))
    Relapse rate of CARE-MS I, alemtuzumab over that of CARE-MS I, interferon beta-1a, from published counts: 0.46 (95% interval 0.34 to 0.64)
      negative binomial with a dispersion an arm (1.97 and 0.91), from the share of patients with an event;
      everybody of an arm as if followed equally long, the dispersions as if known
    """
    check_ci(ci)
    for one in (level, reference):
        check_published(one)
    counts = [_counts(level), _counts(reference)]
    spreads = [count.spread(one.n) for count, one in zip(counts, (level, reference), strict=True)]
    log_ratio = spreads[0].value - spreads[1].value
    log_se = float(np.hypot(spreads[0].error, spreads[1].error))
    lower, upper = np.exp(log_ratio + normal_limit(ci) * log_se * np.array([-1.0, 1.0]))
    alphas = [count.dispersion(one.n) for count, one in zip(counts, (level, reference), strict=True)]
    return SummaryRateRatio(
        ratio=float(np.exp(log_ratio)),
        lower=float(lower),
        upper=float(upper),
        ci=ci,
        log_se=log_se,
        dispersion=(alphas[0] or 0.0, alphas[1] or 0.0),
        arms=(level.name, reference.name),
    )


def _counts(one: Published) -> EventCount:
    figure = one.figure
    if not isinstance(figure, EventCount):
        raise PublishedFigureError(
            f"{one.name}: this needs events and person-years, not {figure.kind}. Where arms have rates with intervals, compare those."
        )
    if figure.patients_with is None:
        raise PublishedFigureError(
            f"{one.name}: without the number of patients with an event the dispersion cannot be had; give patients_with."
        )
    return figure
