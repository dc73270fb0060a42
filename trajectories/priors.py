"""Priors as values: what is assumed before the data, in the units of the user, visible and replaceable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

__all__ = ["LKJ", "Exponential", "HalfNormal", "InducedDirichlet", "Normal", "Prior", "StudentT"]


def _finite(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, not {value}.")


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive number, not {value}.")


@dataclass(frozen=True)
class Normal:
    """A normal prior, for coefficients.

    Parameters
    ----------
    mean, sd
        In the units of what it is the prior of; sd > 0.

    Examples
    --------
    >>> Normal(0.0, 2.5).rescaled(2.0)
    Normal(mean=0.0, sd=5.0)
    """

    mean: float = 0.0
    sd: float = 1.0

    def __post_init__(self) -> None:
        _finite(mean=self.mean)
        _positive(sd=self.sd)

    def rescaled(self, factor: float) -> Normal:
        """Return the prior of `factor` times the variable (factor > 0)."""
        return Normal(self.mean * factor, self.sd * factor)


@dataclass(frozen=True)
class StudentT:
    """A Student t prior, for coefficients that may be large.

    Parameters
    ----------
    df, mean, scale
        Degrees of freedom, centre and scale; df and scale > 0.

    Examples
    --------
    >>> StudentT(3.0, 0.0, 2.5)
    StudentT(df=3.0, mean=0.0, scale=2.5)
    """

    df: float = 3.0
    mean: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        _finite(mean=self.mean)
        _positive(df=self.df, scale=self.scale)

    def rescaled(self, factor: float) -> StudentT:
        """Return the prior of `factor` times the variable (factor > 0)."""
        return StudentT(self.df, self.mean * factor, self.scale * factor)


@dataclass(frozen=True)
class HalfNormal:
    """A half-normal prior, for standard deviations.

    Parameters
    ----------
    sd
        Of the normal distribution before it is cut at 0.

    Examples
    --------
    >>> HalfNormal(2.0).rescaled(0.5)
    HalfNormal(sd=1.0)
    """

    sd: float = 1.0

    def __post_init__(self) -> None:
        _positive(sd=self.sd)

    def rescaled(self, factor: float) -> HalfNormal:
        """Return the prior of `factor` times the variable (factor > 0)."""
        return HalfNormal(self.sd * factor)


@dataclass(frozen=True)
class Exponential:
    """An exponential prior with a mean, for standard deviations and dispersions.

    Parameters
    ----------
    mean
        Its mean, which is also its standard deviation.

    Examples
    --------
    >>> Exponential(0.5)
    Exponential(mean=0.5)
    """

    mean: float = 1.0

    def __post_init__(self) -> None:
        _positive(mean=self.mean)

    def rescaled(self, factor: float) -> Exponential:
        """Return the prior of `factor` times the variable (factor > 0)."""
        return Exponential(self.mean * factor)


@dataclass(frozen=True)
class LKJ:
    """The prior of a correlation matrix: density proportional to det(R)^(shape − 1); 1 is uniform.

    Parameters
    ----------
    shape
        1 is uniform over correlation matrices, larger values pull towards no correlation.

    Source: Lewandowski, Kurowicka and Joe (2009), Journal of Multivariate Analysis 100:1989,
    doi:10.1016/j.jmva.2009.04.008.

    Examples
    --------
    >>> LKJ(2.0)
    LKJ(shape=2.0)
    """

    shape: float = 2.0

    def __post_init__(self) -> None:
        _positive(shape=self.shape)


@dataclass(frozen=True)
class InducedDirichlet:
    """The prior of cutpoints through the level probabilities that they imply, averaged over patients.

    p ~ Dirichlet(concentration / 20, …) over the 20 levels; cutpoints follow from the cumulative sums of p. The
    concentration counts as that many patients' worth of information, spread evenly over the levels.

    Parameters
    ----------
    concentration
        Sum of the Dirichlet's parameters.

    Source: the idea of inducing cutpoints from level probabilities is Betancourt's (2019), Ordinal regression.

    Examples
    --------
    >>> InducedDirichlet(2.0)
    InducedDirichlet(concentration=2.0)
    """

    concentration: float = 0.5

    def __post_init__(self) -> None:
        _positive(concentration=self.concentration)


Prior = Normal | StudentT | HalfNormal | Exponential
_POSITIVE = (HalfNormal, Exponential)


def check_location(name: str, prior: object) -> None:
    """Raise a TypeError unless the prior suits a coefficient."""
    if not isinstance(prior, Normal | StudentT):
        raise TypeError(f"the prior of {name} must be Normal(...) or StudentT(...), not {prior!r}.")


def check_scale(name: str, prior: object) -> None:
    """Raise a TypeError unless the prior suits a standard deviation or a dispersion."""
    if not isinstance(prior, _POSITIVE):
        raise TypeError(f"the prior of {name} must be HalfNormal(...) or Exponential(...), not {prior!r}.")


def variable(name: str, priors: Sequence[Prior], dim: str) -> Any:
    """Make one PyMC vector along `dim` with a prior an element; elements may have different kinds of prior."""
    import pytensor.tensor as pt

    kinds = list(dict.fromkeys(type(prior) for prior in priors))
    if len(kinds) == 1:
        return _vector(name, kinds[0], priors, dims=dim)
    places = {kind: [i for i, prior in enumerate(priors) if type(prior) is kind] for kind in kinds}
    parts = [
        _vector(f"{name}_{kind.__name__}", kind, [priors[i] for i in where]) for kind, where in places.items()
    ]
    order = np.argsort(np.concatenate([places[kind] for kind in kinds]))
    return pt.concatenate(parts)[order]


def values(name: str, draws: Mapping[str, Any], priors: Sequence[Prior]) -> Any:
    """Read back from draws what `variable` made: an array … × elements."""
    kinds = list(dict.fromkeys(type(prior) for prior in priors))
    if len(kinds) == 1:
        return np.asarray(draws[name])
    places = [[i for i, prior in enumerate(priors) if type(prior) is kind] for kind in kinds]
    parts = [np.asarray(draws[f"{name}_{kind.__name__}"]) for kind in kinds]
    return np.concatenate(parts, axis=-1)[..., np.argsort(np.concatenate(places))]


def _vector(name: str, kind: type[Prior], priors: Sequence[Prior], dims: str | None = None) -> Any:
    import pymc as pm

    column = {
        f.name: np.array([getattr(prior, f.name) for prior in priors], dtype=float) for f in fields(kind)
    }
    shape: dict[str, Any] = {"dims": dims} if dims else {"shape": (len(priors),)}
    if kind is Normal:
        return pm.Normal(name, column["mean"], column["sd"], **shape)
    if kind is StudentT:
        return pm.StudentT(name, nu=column["df"], mu=column["mean"], sigma=column["scale"], **shape)
    if kind is HalfNormal:
        return pm.HalfNormal(name, column["sd"], **shape)
    return pm.Exponential(name, scale=column["mean"], **shape)
