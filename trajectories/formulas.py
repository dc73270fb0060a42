"""Formulas in the notation of lme4 and brms: `edss ~ arm * years + (1 + years | patient)`.

The `formulae` library parses and evaluates them. This wrapper adds what a mixed model of patients needs: the patients' part as
a dense matrix of rows × effects (formulae alone would build rows × patients), a stable reference arm, our own transforms, and
errors that say what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

PATIENT = "patient"


class FormulaError(ValueError):
    """A formula that cannot be used: the message says which part and what to write instead."""


def on_treatment(years: ArrayLike, lag: float = 0.0) -> Floats:
    """Years on treatment: 0 before the start (and during the lag), then counting up.

    Formula: max(years − lag, 0). In a formula, `years + on_treatment(years, lag=0.5)` gives the slope before treatment and the
    change of the slope after it; a lag is wanted because the effect on disability takes 7–16 months to show.

    Args:
        years: Years since treatment start, negative before it.
        lag: Years from treatment start until the slope may change.

    Returns:
        Array of the same length, in years.

    Source: Roos et al. (2020), Delay from treatment start to full effect of immunotherapies for multiple sclerosis, Brain 143:2742, doi:10.1093/brain/awaa231.

    >>> on_treatment([-1.0, 0.25, 2.0], lag=0.5)
    array([0. , 0. , 1.5])
    """
    return np.maximum(np.asarray(years, dtype=float) - lag, 0.0)


TRANSFORMS: Mapping[str, Callable[..., Any]] = {"on_treatment": on_treatment, "log1p": np.log1p}


@dataclass(frozen=True, kw_only=True, eq=False)
class Matrices:
    """A formula's matrices on one table: fixed terms X (rows × terms, no intercept) and patient terms Z (rows × effects)."""

    X: Floats
    Z: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class ParsedFormula:
    """A formula evaluated on a table once, ready to be evaluated on others in the same way (same levels, same spline knots)."""

    text: str
    response: str
    terms: tuple[str, ...]
    effects: tuple[str, ...]
    columns: tuple[str, ...]
    frame: pd.DataFrame = field(repr=False)
    matrices: Matrices = field(repr=False)
    _parsed: Any = field(repr=False)

    def at(self, table: pd.DataFrame) -> Matrices:
        """Evaluate the right-hand side on another table, one that has every column of `columns`.

        Errors: FormulaError for a category that the fitted table did not have.
        """
        frame = _prepared(table, self.columns, like=self.frame)
        common = None if self._parsed.common is None else self._parsed.common.evaluate_new_data(frame)
        group = None if self._parsed.group is None else self._parsed.group.evaluate_new_data(frame)
        return _matrices(common, group, len(frame), self._parsed)


def parse(text: str, table: pd.DataFrame) -> ParsedFormula:
    """Parse a formula and evaluate it on a table.

    Args:
        text: `outcome ~ fixed terms + (effects | patient)`; the fixed intercept is always there and never written as a term.
        table: One row an observation, with every column that the formula names; no missing values in them.

    Errors: FormulaError names the part that cannot be used and what to write instead.

    >>> table = pd.DataFrame({"edss": [2.0, 3.0], "years": [0.0, 1.0]})
    >>> parse("edss ~ years + (1 | patient)", table).terms
    ('years',)
    """
    _refuse_syntax(text)
    columns = _columns(text, table)
    response = text.split("~")[0].strip()
    frame = _prepared(table, columns)
    parsed = _design_matrices(text, frame.assign(**{response: 0.0}))
    _refuse_groups(parsed, text)
    fixed = [] if parsed.common is None else _labels(parsed.common.terms)
    effects = [] if parsed.group is None else [_effect_label(t) for t in _group_labels(parsed.group)]
    return ParsedFormula(
        text=text,
        response=response,
        terms=tuple(fixed),
        effects=tuple(effects),
        columns=columns,
        frame=frame,
        matrices=_matrices(parsed.common, parsed.group, len(frame), parsed),
        _parsed=parsed,
    )


def variables(text: str) -> tuple[str, ...]:
    """The columns that the right-hand side of a formula names, the patient column left out.

    >>> variables("edss ~ arm * on_treatment(years, lag=0.5) + (1 | patient)")
    ('arm', 'years')
    """
    _refuse_syntax(text)
    from formulae import model_description

    try:
        description = model_description(text)
    except Exception as error:
        raise FormulaError(f"the formula {text!r} cannot be read: {error}") from error
    named = dict.fromkeys(_names(text))
    wanted = description.var_names - {description.response.var_names.copy().pop(), PATIENT, ""}
    return tuple(name for name in named if name in wanted)


def _names(text: str) -> list[str]:
    return re.findall(r"[A-Za-z_][A-Za-z_0-9.]*", text.split("~", 1)[1])


def _refuse_syntax(text: str) -> None:
    if text.count("~") != 1 or not text.split("~")[0].strip().isidentifier():
        raise FormulaError(
            f"the formula {text!r} needs one outcome on its left, as in 'edss ~ arm * years + (1 + years | patient)'"
        )
    if "||" in text:
        raise FormulaError(
            f"'||' (uncorrelated patient effects) is not offered in {text!r}: write '|'; the correlation is estimated"
        )
    outside = re.sub(r"\([^()]*\|[^()]*\)", "", text.split("~")[1])
    if re.search(r"(^|[~+\s(])0\s*\+|-\s*1\b|\+\s*0\b", outside) or re.search(r"\(\s*0\s*\+", text):
        raise FormulaError(
            f"an intercept cannot be removed ('0 +' or '- 1' in {text!r}): with cutpoints it is part of the scale, and without it "
            "the arm would be coded twice. Leave it out of the formula; contrasts between arms come from tj.contrast"
        )


def _columns(text: str, table: pd.DataFrame) -> tuple[str, ...]:
    import difflib

    columns = variables(text)
    for name in columns:
        if name not in table.columns:
            near = difflib.get_close_matches(name, list(table.columns), n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            have = ", ".join(str(column) for column in table.columns if column != PATIENT)
            raise FormulaError(
                f"the formula names {name!r}, which the cohort does not have{hint} It has: {have}"
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
                f"column {name!r} has {int(column.isna().sum())} missing values: leave those rows out first"
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
    if reference is not None:
        levels = list(reference.cat.categories)
        unknown = sorted(set(column.astype(str)) - set(levels))
        if unknown:
            raise FormulaError(
                f"column {column.name!r} has {unknown}, which the fitted cohort did not have: {levels}"
            )
    elif isinstance(column.dtype, pd.CategoricalDtype):
        present = set(column.astype(str))
        levels = [str(level) for level in column.cat.categories if str(level) in present]
    else:
        levels = list(dict.fromkeys(column.astype(str)))
    return pd.Series(pd.Categorical(column.astype(str), categories=levels, ordered=True), name=column.name)


def _design_matrices(text: str, frame: pd.DataFrame) -> Any:
    from formulae import design_matrices

    try:
        return design_matrices(text, frame, na_action="error", extra_namespace=dict(TRANSFORMS))
    except KeyError as error:
        offered = ", ".join([*TRANSFORMS, "bs", "poly", "I", "scale", "center"])
        raise FormulaError(
            f"the formula {text!r} uses {error}, which is neither a column nor one of {offered}"
        ) from error
    except Exception as error:
        raise FormulaError(f"the formula {text!r} cannot be evaluated: {error}") from error


def _refuse_groups(parsed: Any, text: str) -> None:
    if parsed.group is None:
        return
    factors = {term.factor.name for term in parsed.group.terms.values()}
    if factors != {PATIENT}:
        other = ", ".join(sorted(factors - {PATIENT}))
        raise FormulaError(
            f"effects can vary by patient only: write '(… | patient)', not '(… | {other})', in {text!r}"
        )


def _labels(terms: Mapping[str, Any]) -> list[str]:
    return [label for name, term in terms.items() if name != "Intercept" for label in term.labels]


def _group_labels(group: Any) -> list[str]:
    return [label for term in group.terms.values() for label in term.labels]


def _effect_label(label: str) -> str:
    effect = label.split("|")[0]
    return "intercept" if effect == "1" else effect


def _matrices(common: Any, group: Any, rows: int, parsed: Any) -> Matrices:
    X = np.zeros((rows, 0)) if common is None else np.asarray(common.design_matrix, dtype=float)
    if common is not None and "Intercept" in parsed.common.slices:
        X = np.delete(X, parsed.common.slices["Intercept"].start, axis=1)
    Z = np.zeros((rows, 0))
    if group is not None:
        matrix = group.design_matrix
        Z = np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=float)
    return Matrices(X=X, Z=Z)
