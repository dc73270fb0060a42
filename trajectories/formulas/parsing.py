"""Evaluating a formula on a table: named terms, named patient effects, and the same again on other tables."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.formulas.groups import Group, group_of, groups_of, level_order, without_groups
from trajectories.formulas.syntax import PATIENT, FormulaError, names, refuse_syntax, response_of
from trajectories.formulas.transforms import OFFERED, TRANSFORMS

__all__ = ["Matrices", "ParsedFormula", "level_order", "parse", "variables"]

type Floats = NDArray[np.float64]

_INTERCEPT = "Intercept"


@dataclass(frozen=True, kw_only=True, eq=False)
class Matrices:
    """A formula's matrices on one table: terms X (rows × terms, no intercept) and patient terms Z (rows × effects).

    Parameters
    ----------
    X
        Columns of the fixed terms, then the indicators of the groups' levels.
    Z
        Columns of the patient effects, the intercept's ones included.
    """

    X: Floats
    Z: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class ParsedFormula:
    """A formula evaluated on a table once, ready to be evaluated on others in the same way (same levels, same spline knots).

    Parameters
    ----------
    text
        The formula as it was written.
    response
        Name of the outcome.
    terms
        Names of the columns of X: the fixed terms, then the levels of the groups, such as `centre[A]`.
    effects
        Names of the patient effects, one a column of Z, "intercept" for the intercept; empty without patient effects.
    columns
        The columns of a table that the formula uses, the outcome and the patient left out.
    frame
        These columns of the table it was evaluated on: numbers, and ordered categories whose first level is the reference.
    matrices
        X and Z of that table.
    groups
        The groups of patients beside the patient, `(1 | centre)`.
    """

    text: str
    response: str
    terms: tuple[str, ...]
    effects: tuple[str, ...]
    columns: tuple[str, ...]
    frame: pd.DataFrame = field(repr=False)
    matrices: Matrices = field(repr=False)
    groups: tuple[Group, ...] = ()
    _parsed: Any = field(repr=False)
    _origin: pd.DataFrame = field(repr=False)

    @property
    def fixed_terms(self) -> tuple[str, ...]:
        """Names of the fixed terms: those of `terms` that are no level of a group."""
        return self.terms[: len(self.terms) - sum(len(group.levels) for group in self.groups)]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what formulae made, which holds the frames of its callers and cannot be sent to another process."""
        return {name: value for name, value in self.__dict__.items() if name != "_parsed"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Parse again, on the table it was parsed on, of which `frame` may by now be a part."""
        parsed = _design_matrices(state["text"], state["_origin"].assign(**{state["response"]: 0.0}))
        self.__dict__.update(state, _parsed=parsed)

    def at(self, table: pd.DataFrame) -> Matrices:
        """Evaluate the right-hand side on another table.

        Parameters
        ----------
        table
            With every column of `columns`.

        Returns
        -------
        Matrices
            With the same terms and effects, one row a row of the table.

        Raises
        ------
        FormulaError
            For a column that is not there, a missing value, or a category that the fitted table did not have.

        Examples
        --------
        >>> table = pd.DataFrame({"edss": [2.0, 3.0], "sex": ["M", "F"], "years": [0.0, 1.0]})
        >>> parse("edss ~ sex * years", table).at(pd.DataFrame({"sex": ["M"], "years": [2.0]})).X
        array([[1., 2., 2.]])
        """
        lacking = [name for name in self.columns if name not in table.columns]
        if lacking:
            raise FormulaError(
                f"{self.text!r} needs the column {lacking[0]!r}, which these rows do not have."
            )
        indicators = _indicators(self.groups, table)
        frame = _prepared(table, self.columns, like=self.frame)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            common = None if self._parsed.common is None else self._parsed.common.evaluate_new_data(frame)
            group = None if self._parsed.group is None else self._parsed.group.evaluate_new_data(frame)
        return _matrices(common, group, frame, (self.text, self.fixed_terms, self.effects), indicators)


def parse(text: str, table: pd.DataFrame, *, groups: bool = False) -> ParsedFormula:
    """Parse a formula and evaluate it on a table.

    Numbers stay numbers. Text becomes categories in alphabetical order (capitals before small letters), of which the first is the
    reference, whatever the order of the rows, as in R; categories keep their order (those that no row has are left out), so
    `pd.Categorical(sex, categories=["M", "F"])` sets another reference; True and False become the categories False, the reference, and
    True. The `arm` of a cohort is a category: its order is that of appearance in the patients table unless the column had one.

    Parameters
    ----------
    text
        `outcome ~ fixed terms + (effects | patient)`; the fixed intercept is always there and never written as a term.
    table
        One row an observation, with every column that the formula names; no missing values in them.
    groups
        Whether groups beside the patient, `(1 | centre)`, are allowed.

    Returns
    -------
    ParsedFormula
        Its terms, effects and matrices.

    Raises
    ------
    FormulaError
        It names the part that cannot be used and what to write instead.

    Examples
    --------
    >>> table = pd.DataFrame({"edss": [2.0, 3.0], "years": [0.0, 1.0]})
    >>> parse("edss ~ years + (1 | patient)", table).terms
    ('years',)
    """
    columns = _columns(text, table)
    response, named = response_of(text), groups_of(text)
    if named and not groups:
        raise FormulaError(
            f"effects vary by patient only here: write '(… | patient)', not '(… | {named[0]})', in {text!r}, or {named[0]} as a covariate."
        )
    frame = _prepared(table, columns)
    made = tuple(group_of(name, table[name]) for name in named)
    _refuse_single_levels(frame, text)
    parsed = _design_matrices(text, frame.assign(**{response: 0.0}))
    fixed = () if parsed.common is None else _labels(parsed.common.terms)
    effects = () if parsed.group is None else tuple(_effect_label(t) for t in _group_labels(parsed.group))
    return ParsedFormula(
        text=text,
        response=response,
        terms=(*fixed, *(term for group in made for term in group.terms)),
        effects=effects,
        columns=columns,
        frame=frame,
        matrices=_matrices(
            parsed.common, parsed.group, frame, (text, fixed, effects), _indicators(made, table)
        ),
        groups=made,
        _parsed=parsed,
        _origin=frame,
    )


def variables(text: str) -> tuple[str, ...]:
    """Name the columns on the right-hand side of a formula, the patient column left out.

    Parameters
    ----------
    text
        A formula.

    Returns
    -------
    tuple
        Names in the order of the formula.

    Raises
    ------
    FormulaError
        If the formula cannot be read.

    Examples
    --------
    >>> variables("edss ~ arm * on_treatment(years, lag=0.5) + (1 | patient)")
    ('arm', 'years')
    """
    refuse_syntax(text)
    groups = groups_of(text)
    from formulae import model_description

    try:
        description = model_description(without_groups(text))
    except Exception as error:
        raise FormulaError(f"the formula {text!r} cannot be read: {error}") from error
    wanted = (description.var_names | set(groups)) - {response_of(text), PATIENT, ""}
    return tuple(name for name in dict.fromkeys(names(text)) if name in wanted)


def _columns(text: str, table: pd.DataFrame) -> tuple[str, ...]:
    columns = variables(text)
    for name in columns:
        if name == _INTERCEPT:
            raise FormulaError(f"a column cannot be called {name!r} in {text!r}: give it another name.")
        if name not in table.columns:
            near = difflib.get_close_matches(name, [str(c) for c in table.columns], n=1, cutoff=0.5)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            have = ", ".join(str(column) for column in table.columns if column != PATIENT)
            raise FormulaError(
                f"the formula names {name!r}, which the cohort does not have.{hint} It has: {have}."
            )
    return columns


def _prepared(
    table: pd.DataFrame, columns: tuple[str, ...], like: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The used columns, text as ordered categories (formulae would re-sort unordered ones), with a constant patient column."""
    prepared: dict[str, Any] = {}
    for name in columns:
        column = table[name].reset_index(drop=True)
        if column.isna().any():
            raise FormulaError(
                f"column {name!r} has {int(column.isna().sum())} missing values: leave those rows out first."
            )
        if pd.api.types.is_datetime64_any_dtype(column):
            raise FormulaError(
                f"column {name!r} holds dates: turn them into a number first, such as years since a fixed day."
            )
        reference = None if like is None else like[name]
        prepared[name] = (
            _categories(column, reference) if _is_text(column, reference) else column.astype(float)
        )
    return pd.DataFrame({**prepared, PATIENT: pd.Series(["any"] * len(table), dtype="object")})


def _is_text(column: pd.Series, reference: pd.Series | None) -> bool:
    if reference is not None:
        return isinstance(reference.dtype, pd.CategoricalDtype)
    return not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)


def _categories(column: pd.Series, reference: pd.Series | None) -> pd.Series:
    text = column.astype(str)
    present = set(text)
    if reference is not None:
        levels = list(reference.cat.categories)
        unknown = sorted(present - set(levels))
        if unknown:
            raise FormulaError(
                f"column {column.name!r} has {', '.join(unknown)}, which the fitted cohort did not have: "
                f"it had {', '.join(levels)}."
            )
    else:
        levels = [level for level in level_order(column) if level in present]
    return pd.Series(pd.Categorical(text, categories=levels, ordered=True), name=column.name)


def _refuse_single_levels(frame: pd.DataFrame, text: str) -> None:
    for name, column in frame.drop(columns=PATIENT).items():
        if isinstance(column.dtype, pd.CategoricalDtype) and len(column.cat.categories) == 1:
            raise FormulaError(
                f"{name!r} is the same ({column.cat.categories[0]}) in every row: leave it out of {text!r}."
            )


def _design_matrices(text: str, frame: pd.DataFrame) -> Any:
    from formulae import design_matrices

    try:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # found and named afterwards
            return design_matrices(
                without_groups(text), frame, na_action="error", extra_namespace=dict(TRANSFORMS)
            )
    except KeyError as error:
        raise FormulaError(
            f"the formula {text!r} uses {error}, which is neither a column nor one of {', '.join(OFFERED)}."
        ) from error
    except Exception as error:
        raise FormulaError(f"the formula {text!r} cannot be evaluated: {error}") from error


def _labels(terms: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(label for name, term in terms.items() if name != _INTERCEPT for label in term.labels)


def _group_labels(group: Any) -> list[str]:
    return [label for term in group.terms.values() for label in term.labels]


def _effect_label(label: str) -> str:
    effect = label.rsplit("|", 1)[0]
    return "intercept" if effect == "1" else effect


def _indicators(groups: tuple[Group, ...], table: pd.DataFrame) -> Floats:
    """The levels of the groups: rows × levels of all."""
    made = [np.eye(len(group.levels))[group.codes(table[group.name])] for group in groups]
    return np.concatenate([np.zeros((len(table), 0)), *made], axis=1)


def _matrices(
    common: Any,
    group: Any,
    frame: pd.DataFrame,
    named: tuple[str, tuple[str, ...], tuple[str, ...]],
    indicators: Floats,
) -> Matrices:
    text, terms, effects = named
    X = np.zeros((len(frame), 0)) if common is None else np.asarray(common.design_matrix, dtype=float)
    if common is not None and _INTERCEPT in common.slices:
        X = np.delete(X, common.slices[_INTERCEPT].start, axis=1)
    Z = np.zeros((len(frame), 0))
    if group is not None:
        matrix = group.design_matrix
        Z = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=float)
    for labels, columns in ((terms, X), (effects, Z)):
        _check(labels, columns, text)
    return Matrices(X=np.concatenate([X, indicators], axis=1), Z=Z)


def _check(labels: tuple[str, ...], columns: Floats, text: str) -> None:
    if columns.shape[1] != len(labels):
        raise FormulaError(
            f"the columns of {text!r} do not match its terms ({', '.join(labels)}): write its products out, as in 'arm + arm:years'."
        )
    bad = ~np.isfinite(columns)
    for label, wrong in zip(labels, bad.T, strict=True):
        if wrong.any():
            raise FormulaError(
                f"the term {label!r} of {text!r} is not a number in {int(wrong.sum())} of {len(wrong)} rows: it is not defined, or "
                "infinite, for the values there."
            )
