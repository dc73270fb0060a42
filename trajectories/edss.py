"""The Expanded Disability Status Scale: its 20 levels, their codes, and who counts as worse or better."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CARE_MS", "LEVELS", "MSBASE", "TRIAL", "ChangeRule", "code", "is_level", "level"]

type FloatArray = NDArray[np.float64]
type IntArray = NDArray[np.int64]
type BoolArray = NDArray[np.bool_]

LEVELS: FloatArray = np.concatenate([[0.0], np.arange(2, 21) / 2])
"""The 20 levels 0, 1.0, 1.5, … 10.0 in order; there is no 0.5."""
LEVELS.setflags(write=False)

# Differences of half points that went through floating-point arithmetic may miss them by rounding error.
_ROUNDING = 1e-9


def is_level(values: ArrayLike) -> BoolArray:
    """Say which values are levels of the EDSS.

    Parameters
    ----------
    values
        Numbers of any shape; missing and infinite ones are no levels.

    Returns
    -------
    Boolean array of the same shape.

    Examples
    --------
    >>> is_level([0, 0.5, 1.0, 4.5, 10.5, float("nan")]).tolist()
    [True, False, True, True, False, False]
    """
    edss = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        on_half = np.abs(2 * edss - np.rint(2 * edss)) <= _ROUNDING
        in_range = (edss >= -_ROUNDING) & (edss <= 10 + _ROUNDING)
        return on_half & in_range & (np.abs(edss - 0.5) > 0.25)


def code(values: ArrayLike) -> IntArray:
    """Turn EDSS values into their position on the scale, 0 (EDSS 0) to 19 (EDSS 10).

    code = 0 for EDSS 0, otherwise 2·EDSS − 1.

    Parameters
    ----------
    values
        EDSS levels, any shape.

    Returns
    -------
    Integer array of the same shape.

    Raises
    ------
    ValueError
        If a value is missing or not on the scale.

    Examples
    --------
    >>> code([0, 1.0, 1.5, 10]).tolist()
    [0, 1, 2, 19]
    """
    edss = np.asarray(values, dtype=np.float64)
    legal = is_level(edss)
    if not legal.all():
        shown = ", ".join(f"{v:g}" for v in np.unique(edss[~legal])[:10])
        raise ValueError(
            f"{np.sum(~legal)} values are not levels of the EDSS (0, 1.0, 1.5, … 10.0): {shown}. "
            "Correct them, and leave missing ones out."
        )
    return np.maximum(np.rint(2 * edss).astype(np.int64) - 1, 0)


def level(codes: ArrayLike) -> FloatArray:
    """Turn positions on the scale, 0 to 19, into EDSS values: the inverse of `code`.

    Parameters
    ----------
    codes
        Integers 0 … 19, any shape.

    Returns
    -------
    Float array of the same shape, EDSS points.

    Raises
    ------
    ValueError
        If a code is not a whole number from 0 to 19.

    Examples
    --------
    >>> level([0, 1, 19]).tolist()
    [0.0, 1.0, 10.0]
    """
    raw = np.asarray(codes)
    position = raw.astype(np.int64) if np.isfinite(np.asarray(raw, dtype=np.float64)).all() else None
    if position is None or (position != raw).any() or (position < 0).any() or (position > 19).any():
        raise ValueError("EDSS codes are whole numbers from 0 (EDSS 0) to 19 (EDSS 10).")
    return LEVELS[position]


type Steps = tuple[tuple[float, float], ...]
"""Pairs (from this EDSS before on, change needed), in ascending order."""


@dataclass(frozen=True, kw_only=True)
class ChangeRule:
    """Who counts as worse or improved between two EDSS values; the threshold depends on the value before.

    worse: after − before ≥ threshold of worsening at `before`; improved: before − after ≥ threshold of
    improvement at `before`, for patients who can improve.

    Parameters
    ----------
    name
        Short name for tables and plots.
    citation
        Who uses the rule.
    worsening, improvement
        Pairs (EDSS before, from which on the change is needed; change in EDSS points), ascending. Below the
        first EDSS of `improvement` nobody is eligible to improve.

    Notes
    -----
    `before` need not be a level: for a model's expected EDSS the threshold of the nearest level counts, the
    lower one when two are equally near. Missing values raise a ValueError, since neither True nor False would
    be right for them.

    Examples
    --------
    >>> MSBASE.worse([0, 3.0, 5.5, 6.0], [1.0, 4.0, 6.0, 6.5]).tolist()
    [False, True, False, True]
    >>> print(CARE_MS.describe())
    CARE_MS: worse is +1.5 from EDSS 0, +1 from EDSS 1; improved is -1 from EDSS 2 (below 2 not eligible).
    """

    name: str
    citation: str
    worsening: Steps
    improvement: Steps

    def __post_init__(self) -> None:
        for steps in (self.worsening, self.improvement):
            starts = [start for start, _ in steps]
            changes = [change for _, change in steps]
            if not steps or starts != sorted(set(starts)) or not is_level(starts).all() or min(changes) <= 0:
                raise ValueError(
                    "A rule needs pairs (EDSS before, change) with levels of the EDSS in ascending order "
                    f"and positive changes, not {steps}."
                )
        if self.worsening[0][0] != 0:
            raise ValueError("The worsening thresholds must begin at EDSS 0: every patient can worsen.")

    def worse(self, before: ArrayLike, after: ArrayLike) -> BoolArray:
        """Say who is worse: after − before reaches the threshold at `before`.

        Parameters
        ----------
        before, after
            EDSS points, shapes that broadcast.

        Returns
        -------
        Boolean array of the broadcast shape.

        Raises
        ------
        ValueError
            If a value is missing or infinite.
        """
        start, end = _complete(before), _complete(after)
        return end - start >= _threshold(self.worsening, start) - _ROUNDING

    def improved(self, before: ArrayLike, after: ArrayLike) -> BoolArray:
        """Say who is improved: eligible, and before − after reaches the threshold at `before`.

        Parameters
        ----------
        before, after
            EDSS points, shapes that broadcast.

        Returns
        -------
        Boolean array of the broadcast shape.

        Raises
        ------
        ValueError
            If a value is missing or infinite.
        """
        start, end = _complete(before), _complete(after)
        return start - end >= _threshold(self.improvement, start) - _ROUNDING

    def can_improve(self, before: ArrayLike) -> BoolArray:
        """Say who could be improved at all: eligible, and the change needed does not lead below EDSS 0.

        Parameters
        ----------
        before
            EDSS points, any shape.

        Returns
        -------
        Boolean array of the same shape: the denominator for improvement.

        Raises
        ------
        ValueError
            If a value is missing or infinite.

        Examples
        --------
        >>> MSBASE.can_improve([0, 1.0, 1.5, 2.0]).tolist()
        [False, False, True, True]
        """
        start = _complete(before)
        return start - _threshold(self.improvement, start) >= -_ROUNDING

    def describe(self) -> str:
        """Say the rule in one sentence."""
        first = self.improvement[0][0]
        eligible = f" (below {first:g} not eligible)" if first > 0 else ""
        return (
            f"{self.name}: worse is {_spell(self.worsening, '+')}; "
            f"improved is {_spell(self.improvement, '-')}{eligible}."
        )


def _complete(values: ArrayLike) -> FloatArray:
    edss = np.asarray(values, dtype=np.float64)
    if not np.isfinite(edss).all():
        raise ValueError(
            f"{np.sum(~np.isfinite(edss))} EDSS values are missing or infinite: leave those patients out "
            "(and count them), since they are neither worse nor not worse."
        )
    return edss


def _threshold(steps: Steps, before: FloatArray) -> FloatArray:
    """Find the change needed at the level nearest to `before`; infinite where nobody is eligible."""
    between = (LEVELS[:-1] + LEVELS[1:]) / 2
    nearest = LEVELS[np.searchsorted(between, before - _ROUNDING, side="left")]
    starts = np.array([start for start, _ in steps])
    changes = np.array([np.inf, *(change for _, change in steps)])
    return np.asarray(changes[np.searchsorted(starts, nearest, side="right")], dtype=np.float64)


def _spell(steps: Steps, sign: str) -> str:
    return ", ".join(f"{sign}{change:g} from EDSS {start:g}" for start, change in steps)


TRIAL = ChangeRule(
    name="TRIAL",
    citation="Default of msprog and pymsprog: Montobbio et al. 2024, doi 10.1177/13524585241243157",
    worsening=((0, 1.5), (1, 1.0), (5.5, 0.5)),
    improvement=((0, 1.5), (1, 1.0), (5.5, 0.5)),
)
"""+1.5 from 0, +1.0 from 1.0 to 5.0, +0.5 from 5.5; improvement by the same thresholds."""

MSBASE = ChangeRule(
    name="MSBASE",
    citation="MSBase and the Tysabri Observational Program; Kragt et al. 2006",
    worsening=((0, 1.5), (1, 1.0), (6, 0.5)),
    improvement=((0, 1.5), (2, 1.0), (6.5, 0.5)),
)
"""+1.5 from 0, +1.0 from 1.0 to 5.5, +0.5 from 6.0; −1.5 up to 1.5, −1.0 from 2.0 to 6.0, −0.5 from 6.5."""

CARE_MS = ChangeRule(
    name="CARE_MS",
    citation="Sustained accumulation of disability in CARE-MS I and II: Cohen et al. 2012, doi "
    "10.1016/S0140-6736(12)61769-3; Coles et al. 2012, doi 10.1016/S0140-6736(12)61768-1",
    worsening=((0, 1.5), (1, 1.0)),
    improvement=((2, 1.0),),
)
"""+1.5 from 0, +1.0 from 1.0; −1.0 from 2.0, patients below 2.0 are not eligible to improve."""
