"""Groups of patients in a formula, `(1 | centre)`: an effect a level, drawn from one normal distribution.

formulae never sees them: their indicator columns, one a level and without a reference, are made here and stand after its fixed terms in X.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.formulas.syntax import PATIENT, FormulaError, outline_of

__all__ = ["Group", "group_of", "groups_of", "level_order", "without_groups"]

MOST = 2
_BRACKET = r"\(([^()|]*)\|([^()|]*)\)"


@dataclass(frozen=True, kw_only=True)
class Group:
    """A column of the patients whose levels have an effect each, `(1 | name)`.

    Parameters
    ----------
    name
        Of the column.
    levels
        Its values in the rows that were fitted, as text, in order.
    """

    name: str
    levels: tuple[str, ...]

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of the effects.

        >>> Group(name="centre", levels=("A", "B")).terms
        ('centre[A]', 'centre[B]')
        """
        return tuple(f"{self.name}[{level}]" for level in self.levels)

    def codes(self, column: pd.Series) -> NDArray[np.int64]:
        """The level of each row, by position.

        Raises
        ------
        FormulaError
            For a level that was not fitted.

        >>> Group(name="centre", levels=("1", "2")).codes(pd.Series([2.0, 1.0])).tolist()
        [1, 0]
        """
        codes = pd.Index(self.levels).get_indexer(pd.Index(_as_text(column)))
        unknown = sorted(set(_as_text(column)[codes < 0]))
        if unknown:
            raise FormulaError(
                f"{self.name} {', '.join(unknown)} was not among the fitted patients, so the effect is not known: give one of "
                f"{', '.join(self.levels)}; what holds in any {self.name} is not offered."
            )
        return codes.astype(np.int64)


def group_of(name: str, column: pd.Series) -> Group:
    """Take the levels of a column.

    >>> group_of("centre", pd.Series([10.0, 9.0, 10.0])).levels
    ('9', '10')
    """
    present = set(_as_text(column))
    if len(present) < 2:
        raise FormulaError(
            f"{name!r} is the same ({', '.join(present)}) in every row, so effects of '(1 | {name})' have no standard deviation: leave "
            "it out of the formula."
        )
    if _is_number(column):
        fractions = column[column.to_numpy(dtype=float) % 1 != 0]
        if len(fractions):
            raise FormulaError(
                f"{name!r} has fractions, such as {fractions.iloc[0]:g}, and levels of '(1 | {name})' are whole numbers or words: round it into "
                "a column of its own first, as dates of start to calendar years."
            )
    return Group(name=name, levels=tuple(level for level in level_order(column) if level in present))


def level_order(column: pd.Series) -> list[str]:
    """Return the levels of a column in order, the reference first: as its categories are, by size, or alphabetical.

    Examples
    --------
    >>> level_order(pd.Series(["M", "F"])), level_order(pd.Series([True, False])), level_order(pd.Series([10, 9]))
    (['F', 'M'], ['False', 'True'], ['9', '10'])
    """
    if isinstance(column.dtype, pd.CategoricalDtype):
        return [str(level) for level in column.cat.categories]
    if _is_number(column):
        return [str(level) for level in _as_text(pd.Series(np.unique(column.to_numpy(dtype=float))))]
    return sorted(set(column.astype(str)))


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _as_text(column: pd.Series) -> NDArray[np.object_]:
    """Values as text, whole numbers without a decimal point, whatever they were read as."""
    if not _is_number(column):
        return column.astype(str).to_numpy(dtype=object)
    values = column.to_numpy(dtype=float).tolist()
    return np.array([str(int(v)) if v.is_integer() else str(v) for v in values], dtype=object)


def groups_of(text: str) -> tuple[str, ...]:
    """Name the columns of a formula's groups, other than the patient.

    `text` is a formula that `variables` can read.

    Raises
    ------
    FormulaError
        For what cannot vary by a group, and for more than two groups.

    >>> groups_of("edss ~ arm + (1 + years | patient) + (1 | centre)")
    ('centre',)
    """
    found: list[str] = []
    outline = outline_of(text)
    for match in re.finditer(_BRACKET, outline):
        left, name = match.group(1).strip(), match.group(2).strip()
        if name == PATIENT:
            continue
        _check(left, name, text)
        before, after = outline[: match.start()].strip(), outline[match.end() :].strip()
        if before[-1:] not in ("", "+") or after[:1] not in ("", "+"):
            raise FormulaError(f"'(1 | {name})' can only be added, by '+', in {text!r}.")
        if name in found:
            raise FormulaError(f"'(1 | {name})' stands twice in {text!r}: leave one out.")
        found.append(name)
    if len(found) > MOST:
        raise FormulaError(
            f"at most {MOST} groups beside the patient are offered, and {text!r} has {', '.join(found)}: make covariates of the others."
        )
    return tuple(found)


def _check(left: str, name: str, text: str) -> None:
    if not re.fullmatch(r"[^\W\d][\w.]*", name):
        raise FormulaError(
            f"effects vary by one column of the patients: write '(… | {PATIENT})', not '(… | {name})', in {text!r}, or '(1 | centre)' of a "
            "column centre that says it all."
        )
    if name == "arm":
        raise FormulaError(
            f"arms are compared, not drawn from a distribution: write 'arm', not '({left} | arm)', in {text!r}."
        )
    if left != "1":
        raise FormulaError(
            f"only the level can vary by {name}: write '(1 | {name})', not '({left} | {name})', in {text!r}. Slopes vary by patient; an effect "
            f"of the arm that differs by {name} is 'arm * {name}', which tj.shrunken pools."
        )


def without_groups(text: str) -> str:
    """Put an intercept, which is there anyway, in the place of the groups other than the patient.

    >>> without_groups("edss ~ (1 | centre) + arm + (1 | patient)")
    'edss ~ 1 + arm + (1 | patient)'
    """

    def kept(match: re.Match[str]) -> str:
        return match.group() if match.group(2).strip() == PATIENT else "1"

    left, right = text.split("~", 1)
    return f"{left}~{re.sub(_BRACKET, kept, right)}"
