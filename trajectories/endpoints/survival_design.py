"""From covariates to a matrix: reference levels, patients with missing values, levels without any event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.endpoints.survival_steps import Floats, Ints
from trajectories.estimate import normal_limit

__all__ = ["Design", "build_design", "column_of", "wald"]

type Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """Covariates as numbers.

    Fields: `X` (patients × terms, all complete patients), `terms` (names), `covariates` (which covariate each term is of), `complete`
    (mask over the patients given), `fitted` (mask over the complete: patients of levels without an event are left out, which is what
    an estimate at infinity makes of them), `entering` (columns of X in the likelihood), `reasons` (terms that have no finite
    estimate, and why), `empty` (terms whose level has no event while the reference has), `notes`.
    """

    X: Floats
    terms: tuple[str, ...]
    covariates: tuple[str, ...]
    complete: Bools
    fitted: Bools
    entering: Ints
    reasons: dict[str, str]
    empty: tuple[str, ...]
    notes: tuple[str, ...]

    def matrix(self) -> Floats:
        """Return the covariates that enter the likelihood, of the patients that do."""
        return self.X[self.fitted][:, self.entering]

    def reported(self) -> list[int]:
        """Return the places in `entering` of the terms that have an estimate: others only adjust."""
        return [k for k, column in enumerate(self.entering) if self.terms[column] not in self.reasons]


def column_of(table: pd.DataFrame, name: str, use: str) -> pd.Series:
    """Return a column or say which there are."""
    if name not in table:
        known = ", ".join(
            str(c) for c in table if c not in ("patient", "time", "event", "cause", "onset_after", "onset_by")
        )
        raise ValueError(
            f"{use} {name!r} is not known: there is {known}. Columns of the patients table are there with time_to(…, cohort=cohort)."
        )
    return table[name]


def build_design(table: pd.DataFrame, covariates: Sequence[str]) -> Design:
    """Make the matrix of covariates of the patients whose covariates are complete.

    Parameters
    ----------
    table
        One row a patient, with `event` and the covariates.
    covariates
        Names of columns: numbers as they are, booleans as 0/1, text and categories against their first level (text: the first in the
        alphabet; the arm: the first of the cohort).

    Returns
    -------
    `Design`.

    Raises
    ------
    ValueError
        If a covariate is not there, not given twice, or has one value only.

    Examples
    --------
    >>> table = pd.DataFrame({"event": [1, 1, 0], "arm": ["a", "b", "b"]})
    >>> build_design(table, ["arm"]).terms, build_design(table, ["arm"]).X.tolist()
    (('arm[b]',), [[0.0], [1.0], [1.0]])
    """
    if isinstance(covariates, str) or len(set(covariates)) != len(covariates):
        raise ValueError(f"covariates must be a list of different columns, not {covariates!r}.")
    columns = {name: column_of(table, name, "covariate") for name in covariates}
    complete = np.all(
        [np.ones(len(table), dtype=bool), *(c.notna().to_numpy() for c in columns.values())], axis=0
    )
    event = table["event"].to_numpy()[complete] == 1
    parts = [_part(name, column[complete], event) for name, column in columns.items()]
    fitted = np.all([np.ones(len(event), dtype=bool), *(part.fitted for part in parts)], axis=0)
    terms = [term for part in parts for term in part.terms]
    X = np.column_stack([part.X for part in parts]) if parts else np.zeros((len(event), 0))
    reasons = {term: why for part in parts for term, why in part.reasons.items()}
    entering = [terms.index(term) for part in parts for term in part.entering]
    flat = [k for k in entering if fitted.any() and np.ptp(X[fitted][:, k]) == 0]
    reasons |= {terms[k]: "the same in all patients of the levels that have events" for k in flat}
    missing = int((~complete).sum())
    return Design(
        X=X,
        terms=tuple(terms),
        covariates=tuple(name for name, part in zip(columns, parts, strict=True) for _ in part.terms),
        complete=np.asarray(complete, dtype=np.bool_),
        fitted=np.asarray(fitted, dtype=np.bool_),
        entering=np.array([k for k in entering if k not in flat], dtype=np.int64),
        reasons=reasons,
        empty=tuple(term for part in parts for term in part.empty),
        notes=(f"{missing} patients with a missing covariate are left out.",) if missing else (),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """The columns of one covariate."""

    X: Floats
    terms: list[str]
    entering: list[str]
    fitted: Bools
    reasons: dict[str, str]
    empty: list[str]


def _part(name: str, values: pd.Series, event: Bools) -> _Part:
    everybody = np.ones(len(values), dtype=np.bool_)
    if pd.api.types.is_numeric_dtype(values.dtype):  # booleans too
        numbers = _numbers(values, name)[:, None]
        return _Part(X=numbers, terms=[name], entering=[name], fitted=everybody, reasons={}, empty=[])
    levels, text = _levels(values, name), values.astype(str).to_numpy()
    none = [level for level in levels if not event[text == level].any()]
    lost = levels[0] in none
    some = [level for level in levels if level not in none]
    reasons = _without_events(name, levels, none, text)
    return _Part(
        X=np.column_stack([(text == level).astype(np.float64) for level in levels[1:]]),
        terms=[f"{name}[{level}]" for level in levels[1:]],
        entering=[f"{name}[{level}]" for level in some[1:]],
        fitted=np.asarray(~np.isin(text, none)),
        reasons=reasons,
        empty=[] if lost else [f"{name}[{level}]" for level in none],
    )


def _numbers(values: pd.Series, name: str) -> Floats:
    numbers = np.asarray(values.to_numpy(dtype=np.float64))
    if not np.isfinite(numbers).all():
        raise ValueError(f"covariate {name!r} has infinite values.")
    if np.ptp(numbers) == 0:
        raise ValueError(f"covariate {name!r} has the same value in all patients: nothing to compare.")
    return numbers


def _levels(values: pd.Series, name: str) -> list[str]:
    categories = (
        values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else sorted(values.unique())
    )
    present = set(values.astype(str))
    levels = [str(level) for level in categories if str(level) in present]
    if len(levels) < 2:
        raise ValueError(f"covariate {name!r} has the same value in all patients: nothing to compare.")
    return levels


def _without_events(
    name: str, levels: list[str], none: list[str], text: NDArray[np.object_]
) -> dict[str, str]:
    """Say for each term why it is infinite."""
    if not none:
        return {}
    if levels[0] in none:
        n = int((text == levels[0]).sum())
        why = f"no event among the {n} patients of the reference {name} '{levels[0]}': every ratio against it is infinite"
        return {f"{name}[{level}]": why for level in levels[1:]}
    return {
        f"{name}[{level}]": f"no event among the {int((text == level).sum())} patients: the estimate is 0, with an upper limit only"
        for level in none
    }


def wald(estimate: Floats, error: Floats, ci: float) -> dict[str, Floats]:
    """Columns of a table of estimates: standard errors, Wald limits, and the test of 0."""
    from scipy.special import ndtr

    reach, z = normal_limit(ci) * error, estimate / error
    return {
        "estimate": estimate,
        "std_error": error,
        "lower": estimate - reach,
        "upper": estimate + reach,
        "z": z,
        "p_value": 2 * ndtr(-np.abs(z)),
    }
