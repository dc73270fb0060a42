"""What counts as change on other scales than the EDSS, with thresholds that depend on the value before."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trajectories.edss import ChangeRule

__all__ = ["NHPT", "SDMT", "T25FW", "ScaleChange", "Thresholds", "column_of", "higher_is_worse", "thresholds"]

type FloatArray = NDArray[np.float64]
type Threshold = float | Callable[[FloatArray], ArrayLike]

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class ScaleChange:
    """Who counts as worse or improved on a scale: the change from the value before reaches a threshold.

    worse: the value moves in the bad direction by at least worsening(before); improved: in the good one by at
    least improvement(before).

    Parameters
    ----------
    name
        Short name for tables and plots.
    column
        The column of the visits that holds the scale.
    worsening
        The change needed, in units of the scale, above 0: a number, or a function of an array of values before
        that returns an array. Infinite where nobody is eligible.
    improvement
        The same for improvement; None: as for worsening.
    higher_is_worse
        False for scales such as SDMT, where more is better.
    definition
        The thresholds in words, for the Methods paragraph.
    citation
        Author and year, and the DOI.
    lowest, highest
        The ends of the scale, if it has any: values outside are an error.

    Raises
    ------
    ValueError
        If a number is not positive; the message begins with the field.

    Examples
    --------
    >>> steps = ScaleChange(name="T25FW", column="t25fw", worsening=lambda seconds: 0.2 * seconds, definition="20 %")
    >>> steps.worse([5.0, 10.0], [6.0, 11.0]).tolist()
    [True, False]
    """

    name: str
    column: str
    worsening: Threshold
    improvement: Threshold | None = None
    higher_is_worse: bool = True
    definition: str = ""
    citation: str = ""
    lowest: float = -math.inf
    highest: float = math.inf

    def __post_init__(self) -> None:
        for field in ("worsening", "improvement"):
            threshold = getattr(self, field)
            if threshold is not None and not callable(threshold) and not threshold > 0:
                raise ValueError(f"{field}: a positive change in units of the scale, not {threshold!r}.")
        if not self.lowest < self.highest:
            raise ValueError(f"lowest: {self.lowest:g} is not below the highest value {self.highest:g}.")

    def worse(self, before: ArrayLike, after: ArrayLike) -> NDArray[np.bool_]:
        """Say who is worse, elementwise."""
        start, end = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
        change = end - start if self.higher_is_worse else start - end
        return np.asarray(change >= thresholds(self, start).worse - _ROUNDING)

    def improved(self, before: ArrayLike, after: ArrayLike) -> NDArray[np.bool_]:
        """Say who is improved, elementwise."""
        start, end = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
        change = start - end if self.higher_is_worse else end - start
        return np.asarray(change >= thresholds(self, start).better - _ROUNDING)

    def describe(self) -> str:
        """Say the thresholds in one sentence."""
        better = self.worsening if self.improvement is None else self.improvement
        if self.definition:
            words = self.definition
        elif callable(self.worsening) or callable(better):
            words = "by a function of the value before"
        else:
            words = f"by {self.worsening:g} for worsening, {better:g} for improvement"
        return f"{self.name}: {words} ({'higher' if self.higher_is_worse else 'lower'} is worse)."


@dataclass(frozen=True)
class Thresholds:
    """The changes needed from each value.

    Parameters
    ----------
    worse, better
        Units of the scale, positive, infinite where nobody is eligible.
    """

    worse: FloatArray
    better: FloatArray


def thresholds(change: ChangeRule | ScaleChange, before: FloatArray) -> Thresholds:
    """Look up or compute the changes needed from values before.

    Raises
    ------
    ValueError
        If a function of the user gives something else than a positive number a value.

    Examples
    --------
    >>> from trajectories import edss
    >>> thresholds(edss.CARE_MS, np.array([0.0, 1.5, 6.0])).better.tolist()
    [inf, inf, 1.0]
    """
    if isinstance(change, ChangeRule):
        return Thresholds(_by_steps(change.worsening, before), _by_steps(change.improvement, before))
    better = change.worsening if change.improvement is None else change.improvement
    return Thresholds(
        _by_function(change.worsening, before, "worsening"), _by_function(better, before, "improvement")
    )


def _by_steps(steps: tuple[tuple[float, float], ...], before: FloatArray) -> FloatArray:
    starts = np.array([start for start, _ in steps])
    changes = np.array([np.inf, *(change for _, change in steps)])
    return np.asarray(changes[np.searchsorted(starts, before + _ROUNDING, side="right")], dtype=np.float64)


def _by_function(threshold: Threshold, before: FloatArray, field: str) -> FloatArray:
    if not callable(threshold):
        return np.full(before.shape, float(threshold))
    values, where = np.unique(before, return_inverse=True)
    needed = np.asarray(threshold(values), dtype=np.float64)
    if needed.shape != values.shape or not (needed >= 0).all():
        raise ValueError(
            f"{field}: the function must return a number from 0 up for each value, an array as long as its "
            f"input; it returned {needed.shape} for {values.shape}, smallest {np.min(needed, initial=0):g}."
        )
    return needed[where].reshape(before.shape)


def column_of(change: ChangeRule | ScaleChange) -> str:
    """Name the column of the visits that holds the scale."""
    return "edss" if isinstance(change, ChangeRule) else change.column


def higher_is_worse(change: ChangeRule | ScaleChange) -> bool:
    """Say the direction of the scale."""
    return isinstance(change, ChangeRule) or change.higher_is_worse


def _fifth(values: FloatArray) -> FloatArray:
    return values / 5


def _four_points_or_a_fifth(values: FloatArray) -> FloatArray:
    return np.minimum(values / 5, 4)


T25FW = ScaleChange(
    name="T25FW", column="t25fw", worsening=_fifth, definition="by 20 % of the reference, in seconds",
    citation="Bosma et al. 2010, doi 10.1177/1352458510370464", lowest=0,
)  # fmt: skip
"""Timed 25-foot walk: 20 % of the reference."""

NHPT = ScaleChange(
    name="NHPT", column="nhpt", worsening=_fifth, definition="by 20 % of the reference, in seconds",
    citation="Bosma et al. 2010, doi 10.1177/1352458510370464", lowest=0,
)  # fmt: skip
"""Nine-hole peg test: 20 % of the reference."""

SDMT = ScaleChange(
    name="SDMT", column="sdmt", worsening=_four_points_or_a_fifth, higher_is_worse=False,
    definition="by 4 points, or 20 % of references below 20",
    citation="Strober et al. 2019, doi 10.1177/1352458518808204", lowest=0, highest=110,
)  # fmt: skip
"""Symbol digit modalities test: 4 points, or 20 % where that is less."""
