"""Published figures by kind: what a number in a paper is, and how uncertain it is on the scale where it is nearly normal."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from trajectories.estimate import check_ci, normal_limit

__all__ = [
    "EventCount",
    "Figure",
    "HazardRatio",
    "Mean",
    "MeanInterval",
    "MeanSD",
    "PublishedFigureError",
    "Quartiles",
    "Rate",
    "RateInterval",
    "RateRatio",
    "Scale",
    "Share",
    "Spread",
]

type Scale = Literal["identity", "log", "logit"]


class PublishedFigureError(ValueError):
    """A published figure that is not what it claims to be, or of the wrong kind for what is asked."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A normal distribution on a scale, or Student's t: the value there, its standard error, and what must be said of it.

    Examples
    --------
    >>> round(Spread(scale="log", value=0.0, error=0.5).limits(0.95)[1], 2)
    2.66
    """

    scale: Scale
    value: float
    error: float
    df: float | None = None
    note: str = ""

    def draws(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Draw on the scale of the figure, not the one on which it is normal; shape (size,)."""
        unit = rng.standard_normal(size) if self.df is None else rng.standard_t(self.df, size)
        return self._back(self.value + self.error * unit)

    def limits(self, ci: float) -> tuple[float, float]:
        """Return the limits of an interval of this probability, on the scale of the figure."""
        from scipy.special import stdtrit

        reach = normal_limit(ci) if self.df is None else float(stdtrit(self.df, (1 + ci) / 2))
        lower, upper = self._back(self.value + self.error * reach * np.array([-1.0, 1.0]))
        return float(lower), float(upper)

    def _back(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.special import expit

        if self.scale == "log":
            return np.exp(values)
        return np.asarray(expit(values)) if self.scale == "logit" else values


@dataclass(frozen=True, kw_only=True)
class Figure(ABC):
    """A number of a paper with what was printed beside it; its class is its kind."""

    kind: ClassVar[str]

    @property
    @abstractmethod
    def value(self) -> float:
        """The number itself."""

    def spread(self, n: int) -> Spread:
        """Return value and standard error where they are nearly normal; n is the number of patients.

        Raises
        ------
        PublishedFigureError
            If the kind has none.
        """
        raise PublishedFigureError(f"{self.kind} has no standard error: {self.remedy}")

    @property
    def remedy(self) -> str:
        """What to do where the kind is of no use."""
        return "take the figure from the paper with its SD or interval."


@dataclass(frozen=True, kw_only=True)
class Mean(Figure):
    """A mean without SD or interval: enough to match on, not to compare with.

    >>> Mean(mean=2.7).value
    2.7
    """

    mean: float
    kind: ClassVar[str] = "a mean without SD"

    def __post_init__(self) -> None:
        _finite(mean=self.mean)

    @property
    def value(self) -> float:
        """The mean."""
        return self.mean


@dataclass(frozen=True, kw_only=True)
class MeanSD(Figure):
    """A mean and the SD between patients; the mean's standard error is SD/√n.

    >>> MeanSD(mean=1.0, sd=1.3).spread(n=44).error.__round__(3)
    0.196
    """

    mean: float
    sd: float
    kind: ClassVar[str] = "mean and SD"

    def __post_init__(self) -> None:
        _finite(mean=self.mean)
        _above_zero(sd=self.sd)

    @property
    def value(self) -> float:
        """The mean."""
        return self.mean

    def spread(self, n: int) -> Spread:
        """Normal with standard error SD/√n."""
        return Spread(scale="identity", value=self.mean, error=self.sd / math.sqrt(n))


@dataclass(frozen=True, kw_only=True)
class MeanInterval(Figure):
    """A mean with its interval; the standard error is the interval's width over 2z.

    >>> MeanInterval(mean=-0.17, lower=-0.29, upper=-0.05).spread(n=426).error.__round__(3)
    0.061
    """

    mean: float
    lower: float
    upper: float
    ci: float = 0.95
    kind: ClassVar[str] = "mean with interval"

    def __post_init__(self) -> None:
        _ordered(self.lower, self.mean, self.upper, self.ci)

    @property
    def value(self) -> float:
        """The mean."""
        return self.mean

    def spread(self, n: int) -> Spread:
        """Normal with the standard error of the interval."""
        error = (self.upper - self.lower) / (2 * normal_limit(self.ci))
        return Spread(scale="identity", value=self.mean, error=error)


@dataclass(frozen=True, kw_only=True)
class Quartiles(Figure):
    """A median with its quartiles, and with the range where it was given; `count` says that counts are summarised.

    >>> Quartiles(median=4.0, q1=2.5, q3=6.0).value
    4.0
    """

    median: float
    q1: float
    q3: float
    minimum: float | None = None
    maximum: float | None = None
    count: bool = False
    kind: ClassVar[str] = "median and quartiles"

    def __post_init__(self) -> None:
        if (self.minimum is None) != (self.maximum is None):
            raise PublishedFigureError("a range has two ends: give minimum and maximum, or neither.")
        ends = [] if self.minimum is None or self.maximum is None else [self.minimum, self.maximum]
        row = [*ends[:1], self.q1, self.median, self.q3, *ends[1:]]
        if not np.isfinite(row).all() or sorted(row) != row:
            raise PublishedFigureError(
                f"minimum ≤ q1 ≤ median ≤ q3 ≤ maximum must ascend; here they are {row}."
            )

    @property
    def value(self) -> float:
        """The median."""
        return self.median

    @property
    def remedy(self) -> str:
        """Convert, where that is possible."""
        if self.count:
            return "quartiles of counts hold neither a mean nor a rate; take events and person-years, or the rate, from the paper."
        return (
            "make a mean and an SD of it by mean_from_quartiles(…), which says how far that can be trusted."
        )


@dataclass(frozen=True, kw_only=True)
class Rate(Figure):
    """Events per person-year, printed without interval or counts.

    >>> Rate(rate=0.087).value
    0.087
    """

    rate: float
    kind: ClassVar[str] = "rate without interval"

    def __post_init__(self) -> None:
        _above_zero(rate=self.rate)

    @property
    def value(self) -> float:
        """The rate."""
        return self.rate


@dataclass(frozen=True, kw_only=True)
class RateInterval(Figure):
    """Events per person-year with interval; normal on the log scale, where the width over 2z is the standard error.

    >>> RateInterval(rate=0.18, lower=0.13, upper=0.23).spread(n=376).error.__round__(3)
    0.146
    """

    rate: float
    lower: float
    upper: float
    ci: float = 0.95
    kind: ClassVar[str] = "rate with interval"

    def __post_init__(self) -> None:
        _ordered(self.lower, self.rate, self.upper, self.ci)
        _above_zero(lower=self.lower)

    @property
    def value(self) -> float:
        """The rate."""
        return self.rate

    def spread(self, n: int) -> Spread:
        """Normal on the log scale."""
        return _log_spread(self.rate, self.lower, self.upper, self.ci)


@dataclass(frozen=True, kw_only=True)
class EventCount(Figure):
    """Events over person-years and, where it was printed, how many patients had one (which tells the dispersion).

    >>> round(EventCount(events=119, person_years=661.0, patients_with=82).value, 3)
    0.18
    """

    events: int
    person_years: float
    patients_with: int | None = None
    kind: ClassVar[str] = "events and person-years"

    def __post_init__(self) -> None:
        _above_zero(person_years=self.person_years)
        if self.events < 0 or int(self.events) != self.events:
            raise PublishedFigureError(f"events must be a whole number of at least 0, not {self.events}.")
        if self.patients_with is not None and not min(1, self.events) <= self.patients_with <= self.events:
            raise PublishedFigureError(
                f"{self.patients_with} patients cannot have had {self.events} events: check the two numbers."
            )

    @property
    def value(self) -> float:
        """The rate: events over person-years."""
        return self.events / self.person_years

    def dispersion(self, n: int) -> float | None:
        """Solve (1 + αμ)^(−1/α) = 1 − patients_with/n for α, μ = events/n; None without `patients_with`.

        NB2's chance of no event, all n patients followed equally long. 0 where the share is what Poisson counts or fewer
        zeros would give. As every patient's count has this mean, no person-years are needed.

        Raises
        ------
        PublishedFigureError
            If no more than `patients_with` patients were there.

        Examples
        --------
        >>> round(EventCount(events=122, person_years=313.0, patients_with=75).dispersion(187), 2)
        0.91
        """
        if self.patients_with is None:
            return None
        if not 0 < self.patients_with < n:
            raise PublishedFigureError(
                f"{self.patients_with} of {n} patients with an event say nothing about the dispersion: leave patients_with out."
            )
        mu, log_free = self.events / n, math.log1p(-self.patients_with / n)
        if log_free <= -mu:  # as few zeros as Poisson counts have, or fewer
            return 0.0
        from scipy.optimize import brentq

        upper = 1.0
        while math.log1p(upper * mu) / upper > -log_free:
            upper *= 2
        return float(brentq(lambda a: math.log1p(a * mu) / a + log_free, 1e-9, upper, xtol=1e-12))

    def spread(self, n: int) -> Spread:
        """Normal on the log scale with SE² = 1/events + α/n, the information of NB2 at equal follow-up."""
        if self.events == 0:
            raise PublishedFigureError(
                "no event was counted, so the log rate has no standard error: compare another figure of the arm."
            )
        alpha = self.dispersion(n)
        note = (
            "the published interval is Poisson's, too narrow where rates vary between patients: give patients_with if the paper has it"
            if alpha is None
            else f"dispersion {alpha:.2f} of the published counts from the share of patients with an event, as if followed equally long"
        )
        error = math.sqrt(1 / self.events + (alpha or 0.0) / n)
        return Spread(scale="log", value=math.log(self.value), error=error, note=note)


@dataclass(frozen=True, kw_only=True)
class Share(Figure):
    """A share of patients, 0 to 1; normal on the logit scale with SE² = 1/(np) + 1/(n(1 − p)).

    `level` names whom it counts where a covariate has levels, such as "F" of sex.

    >>> Share(share=0.127).value
    0.127
    """

    share: float
    level: str | None = None
    kind: ClassVar[str] = "share of patients"

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise PublishedFigureError(
                f"a share lies between 0 and 1, not {self.share}: divide percent by 100."
            )

    @property
    def value(self) -> float:
        """The share."""
        return self.share

    def spread(self, n: int) -> Spread:
        """Normal on the logit scale."""
        p = self.share
        if p in (0, 1):
            raise PublishedFigureError(
                "nobody or everybody has no standard error on the logit scale: compare another figure."
            )
        return Spread(
            scale="logit", value=math.log(p / (1 - p)), error=math.sqrt(1 / (n * p) + 1 / (n * (1 - p)))
        )


@dataclass(frozen=True, kw_only=True)
class _Ratio(Figure):
    ratio: float
    lower: float
    upper: float
    ci: float = 0.95

    def __post_init__(self) -> None:
        _ordered(self.lower, self.ratio, self.upper, self.ci)
        _above_zero(lower=self.lower)

    @property
    def value(self) -> float:
        """The ratio."""
        return self.ratio

    def spread(self, n: int) -> Spread:
        """Normal on the log scale."""
        return _log_spread(self.ratio, self.lower, self.upper, self.ci)


@dataclass(frozen=True, kw_only=True)
class RateRatio(_Ratio):
    """A ratio of two arms' rates with its interval.

    >>> RateRatio(ratio=0.45, lower=0.32, upper=0.63).value
    0.45
    """

    kind: ClassVar[str] = "rate ratio"


@dataclass(frozen=True, kw_only=True)
class HazardRatio(_Ratio):
    """A ratio of two arms' hazards with its interval.

    >>> HazardRatio(ratio=0.58, lower=0.38, upper=0.87).value
    0.58
    """

    kind: ClassVar[str] = "hazard ratio"


def _log_spread(value: float, lower: float, upper: float, ci: float) -> Spread:
    return Spread(scale="log", value=math.log(value), error=math.log(upper / lower) / (2 * normal_limit(ci)))


def _finite(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise PublishedFigureError(f"{name} must be a finite number, not {value}.")


def _above_zero(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise PublishedFigureError(f"{name} must be above 0, not {value}.")


def _ordered(lower: float, value: float, upper: float, ci: float) -> None:
    check_ci(ci)
    if not (math.isfinite(lower) and math.isfinite(upper) and lower <= value <= upper and lower < upper):
        raise PublishedFigureError(f"{value} must lie inside its interval, which is {lower} to {upper}.")
