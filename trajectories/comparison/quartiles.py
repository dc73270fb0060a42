"""Median, quartiles and range turned into mean and SD, with what the conversion costs; refused where it would mislead."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from trajectories.comparison.figures import Figure, PublishedFigureError, Quartiles, Spread
from trajectories.comparison.sources import Published

__all__ = ["ConvertedMean", "mean_from_quartiles"]

FEWEST = 5
SKEWNESS = 2.66
"""√n |q1 + q3 − 2 median| / (q3 − q1) stays below this in 95 % of normal samples."""


@dataclass(frozen=True, kw_only=True)
class ConvertedMean(Figure):
    """A mean and an SD that were not printed but made of quartiles, and their errors.

    Parameters
    ----------
    mean, sd
        Estimates of the mean and the SD between patients.
    n
        Patients.
    mean_error, sd_error
        Standard errors as estimates of the population's mean and SD: sampling and conversion together.
    conversion_error
        How far the converted mean lies from the mean that the paper did not print: root mean square.
    range_used
        Whether the range went into it.

    Examples
    --------
    >>> made = mean_from_quartiles(Quartiles(median=4.0, q1=2.5, q3=6.0), n=35)
    >>> print(made)
    mean 4.18 (standard error 0.49, of which 0.17 from the conversion), SD 2.71 (standard error 0.52), n = 35
      from median and quartiles (Luo 2018, Wan 2014), as if patients were a sample of a normal distribution
    """

    mean: float
    sd: float
    n: int
    mean_error: float
    sd_error: float
    conversion_error: float
    range_used: bool
    kind: ClassVar[str] = "mean converted from quartiles"

    @property
    def value(self) -> float:
        """The mean."""
        return self.mean

    def spread(self, n: int) -> Spread:
        """Normal, with the error of sampling and conversion together."""
        if n != self.n:
            raise PublishedFigureError(
                f"the quartiles were converted for {self.n} patients, not for {n}: convert them again."
            )
        note = (
            f"the published mean was converted from quartiles (Luo 2018), which adds {self.conversion_error:.2f} to its error and takes "
            "patients for a normal sample"
        )
        return Spread(scale="identity", value=self.mean, error=self.mean_error, note=note)

    def __str__(self) -> str:
        used = "median, quartiles and range" if self.range_used else "median and quartiles"
        return (
            f"mean {self.mean:.2f} (standard error {self.mean_error:.2f}, of which {self.conversion_error:.2f} from the conversion), "
            f"SD {self.sd:.2f} (standard error {self.sd_error:.2f}), n = {self.n}\n"
            f"  from {used} (Luo 2018, Wan 2014), as if patients were a sample of a normal distribution"
        )


def mean_from_quartiles(quartiles: Figure | Published, n: int | None = None) -> ConvertedMean:
    """Estimate mean and SD from median and quartiles, and from the range if it is there.

    Quartiles alone: mean = w (q1 + q3)/2 + (1 − w) median, w = 0.7 + 0.39/n; SD = (q3 − q1) / 2z((0.75n − 0.125)/(n + 0.25)), z the
    normal quantile. With the range: mean = w₁ (min + max)/2 + w₂ (q1 + q3)/2 + (1 − w₁ − w₂) median, w₁ = 2.2/(2.2 + n^0.75),
    w₂ = 0.7 − 0.72/n^0.55; SD = the mean of the above and of (max − min) / 2z((n − 0.375)/(n + 0.25)). Their errors are those of the same
    estimators in simulated normal samples of size n (a fixed seed), scaled by the SD.

    Parameters
    ----------
    quartiles
        The figure: `Quartiles`, or a `Published` of that kind.
    n
        Patients it stands on; None takes those of the `Published`.

    Returns
    -------
    `ConvertedMean`, itself a figure: it can be matched on, and compared with after `dataclasses.replace(published, figure=…)`.

    Raises
    ------
    PublishedFigureError
        If the figure is of another kind, summarises counts, has quartiles that coincide (0, 0–0), there are fewer than 5 patients, or
        √n |q1 + q3 − 2 median| / (q3 − q1) exceeds 2.66, as it does in 5 % of normal samples: then the distribution is clearly skew; if n
        is not that of the `Published`.
    TypeError
        If it is no figure, such as a tuple of numbers, or n is lacking.

    References
    ----------
    Luo et al. 2018 (doi:10.1177/0962280216669183); Wan et al. 2014 (doi:10.1186/1471-2288-14-135).

    Examples
    --------
    >>> made = mean_from_quartiles(Quartiles(median=35.0, q1=29.0, q3=42.0), n=100)
    >>> round(made.mean, 2), round(made.sd, 2)
    (35.35, 9.78)
    """
    quartiles, n = _figure_of(quartiles, n)
    if not isinstance(quartiles, Quartiles):
        raise PublishedFigureError(f"this converts a median with its quartiles, not {quartiles.kind}.")
    _check(quartiles, n)
    ends = quartiles.minimum, quartiles.maximum
    used = ends[0] is not None
    row = np.array([[ends[0] or 0.0, quartiles.q1, quartiles.median, quartiles.q3, ends[1] or 0.0]])
    mean, sd = _estimates(row, n, used)
    mean_error, sd_error, conversion_error = _errors(n, used)
    return ConvertedMean(
        mean=float(mean[0]),
        sd=float(sd[0]),
        n=n,
        mean_error=float(sd[0]) * mean_error,
        sd_error=float(sd[0]) * sd_error,
        conversion_error=float(sd[0]) * conversion_error,
        range_used=used,
    )


def _figure_of(given: Figure | Published, n: int | None) -> tuple[Figure, int]:
    """The figure, and the patients it stands on."""
    if isinstance(given, Published):
        if n is not None and n != given.n:
            raise PublishedFigureError(
                f"{given.name} stands on {given.n} patients, not {n}: leave n out, or give its .figure with the n that is right."
            )
        return given.figure, given.n
    if not isinstance(given, Figure):
        raise TypeError(
            f"quartiles must say what they are, Quartiles(median=…, q1=…, q3=…), not {type(given).__name__}."
        )
    if n is None:
        raise TypeError("a figure alone does not say how many patients it stands on: give n=….")
    return given, n


def _check(quartiles: Quartiles, n: int) -> None:
    low, median, high = quartiles.q1, quartiles.median, quartiles.q3
    printed = f"{median:g} ({low:g}–{high:g})"
    if quartiles.count:
        raise PublishedFigureError(
            f"{printed} summarises counts, which are far from normal: {quartiles.remedy}"
        )
    if n < FEWEST:
        raise PublishedFigureError(
            f"{n} patients are too few to make a mean of quartiles; {FEWEST} are the least."
        )
    if median in (low, high):
        raise PublishedFigureError(
            f"{printed}: quartiles coincide, so many patients share one value and no spread can be had; take the distribution from the paper."
        )
    skewness = (low + high - 2 * median) / (high - low)
    if math.sqrt(n) * abs(skewness) > SKEWNESS:
        raise PublishedFigureError(
            f"{printed} in {n} patients is clearly skew (quartile skewness {skewness:.2f}, beyond ±{SKEWNESS / math.sqrt(n):.2f}, which "
            "95 % of normal samples keep to): a mean made of it would be biased. Compare medians, or ask the authors for the mean."
        )


def _estimates(
    five: NDArray[np.float64], n: int, use_range: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and SD of rows of minimum, q1, median, q3, maximum; shapes (rows, 5) to (rows,)."""
    from scipy.special import ndtri

    low, q1, median, q3, high = five.T
    sd = (q3 - q1) / (2 * ndtri((0.75 * n - 0.125) / (n + 0.25)))
    if not use_range:
        weight = 0.7 + 0.39 / n
        return weight * (q1 + q3) / 2 + (1 - weight) * median, sd
    outer, inner = 2.2 / (2.2 + n**0.75), 0.7 - 0.72 / n**0.55
    mean = outer * (low + high) / 2 + inner * (q1 + q3) / 2 + (1 - outer - inner) * median
    return mean, (sd + (high - low) / (2 * ndtri((n - 0.375) / (n + 0.25)))) / 2


@lru_cache(maxsize=64)
def _errors(n: int, use_range: bool) -> tuple[float, float, float]:
    """Root mean squares, in SDs: mean and SD against the population's, the mean against the sample's."""
    rng = np.random.default_rng(20260302)
    repeats = min(4000, max(400, 4_000_000 // n))
    parts = [
        rng.standard_normal((min(100, repeats - start), n)) for start in range(0, repeats, 100)
    ]  # in parts, as large cohorts would fill the memory
    means = np.concatenate([part.mean(axis=1) for part in parts])
    five = np.concatenate([np.quantile(part, [0, 0.25, 0.5, 0.75, 1], axis=1).T for part in parts])
    mean, sd = _estimates(five, n, use_range)
    roots = [np.sqrt(np.mean(error**2)) for error in (mean, sd - 1, mean - means)]
    return float(roots[0]), float(roots[1]), float(roots[2])
