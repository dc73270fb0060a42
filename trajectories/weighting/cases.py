"""The patients of a formula `arm ~ covariates`: one row each, complete cases, and how many were left out of which arm for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import Cohort
from trajectories.formulas import FormulaError, parse, variables
from trajectories.formulas.syntax import response_of
from trajectories.weighting.errors import WeightingError

__all__ = ["FEWEST", "Cases", "by_arm", "complete_cases", "refuse_columns"]

type Floats = NDArray[np.float64]
type Integers = NDArray[np.int64]

FEWEST = 10
"""Patients an arm must have: below, a model of who was given what has next to nothing to learn from."""

_LATER = ("followup_end_day",)


@dataclass(frozen=True, kw_only=True, eq=False)
class Cases:
    """Patients with complete covariates, and their design matrix.

    Parameters
    ----------
    formula
        `arm ~ covariates`.
    arms
        Arms in the cohort's order; the first is the reference.
    code
        Place of each patient's arm in `arms`.
    table
        Rows of the patients table, index `patient`, in the cohort's order.
    covariates
        The columns that the formula names, same rows; text as ordered categories.
    X, terms
        Design matrix, patients × terms without intercept, and the names of its columns.
    cohort_sizes
        Patients of each arm in the cohort, the incomplete ones included.
    notes
        Who was left out, and why.
    simulated
        Whether the cohort is simulated.
    source
        The patients table they were taken from.
    counts
        What each patient counts in an estimation, as in a fractional bootstrap; None for 1 each.
    """

    formula: str
    arms: tuple[str, ...]
    code: Integers
    table: pd.DataFrame = field(repr=False)
    covariates: pd.DataFrame = field(repr=False)
    X: Floats = field(repr=False)
    terms: tuple[str, ...]
    cohort_sizes: Mapping[str, int]
    notes: tuple[str, ...]
    simulated: bool
    source: pd.DataFrame = field(repr=False)
    counts: Floats | None = field(default=None, repr=False)

    def again(self, cohort: Cohort, counts: pd.Series | None = None) -> Cases:
        """Return the cases of a cohort by the same formula and arms, each patient counting as much as `counts` (index `patient`) says.

        Of the cohort they are from they are not made again: a replicate of a fractional bootstrap differs by the counts alone.
        """
        same = cohort.patients_table is self.source and cohort.simulated == self.simulated
        cases = self if same else complete_cases(cohort, self.formula, arms=self.arms, fewest=1)
        known = None if counts is None else counts.loc[cases.patients].to_numpy(dtype=float)
        return replace(cases, counts=known)

    @property
    def patients(self) -> pd.Index:
        """Identifiers, in order."""
        return self.table.index

    @property
    def sizes(self) -> dict[str, int]:
        """Patients of each arm."""
        counts = np.bincount(self.code, minlength=len(self.arms))
        return dict(zip(self.arms, counts.tolist(), strict=True))

    def named(self, codes: Integers | None = None) -> pd.Series:
        """Return the arm of each patient by name, index `patient`."""
        names = np.asarray(self.arms, dtype=object)[self.code if codes is None else codes]
        return pd.Series(names, index=self.patients, name="arm")


def complete_cases(
    cohort: Cohort, formula: str, *, arms: Sequence[str] | None = None, fewest: int = FEWEST
) -> Cases:
    """Take the patients whose covariates are all known; `arms`, if given, must all be there."""
    names = variables(formula)
    _refuse_formula(formula, names)
    patients = cohort.patients
    missing = patients[[name for name in names if name in patients]].isna()
    whole = ~missing.to_numpy().any(axis=1)
    sizes = {str(arm): int(n) for arm, n in patients["arm"].value_counts(sort=False).items() if n}
    found = tuple(arms) if arms is not None else tuple(sizes)
    table = patients[whole]
    text = table["arm"].astype(str).to_numpy()
    code = np.full(len(table), -1, dtype=np.int64)
    for k, arm in enumerate(found):
        code[text == arm] = k
    _refuse_arms({arm: int((code == k).sum()) for k, arm in enumerate(found)}, sizes, names, fewest)
    parsed = parse(formula, table)
    if parsed.effects:
        raise FormulaError(
            f"{formula!r} has patient effects: there is one row a patient, leave '(… | patient)' out."
        )
    refuse_columns(parsed.matrices.X, parsed.terms, formula)
    return Cases(
        formula=formula, arms=found, code=code, table=table.set_index("patient"), terms=parsed.terms, X=parsed.matrices.X,
        covariates=parsed.frame[list(names)].set_index(pd.Index(table["patient"], name="patient")),
        cohort_sizes=sizes, notes=_left_out(patients["arm"].astype(str), missing, whole, found), simulated=cohort.simulated,
        source=cohort.patients_table,
    )  # fmt: skip


def _refuse_formula(formula: str, names: Sequence[str]) -> None:
    if response_of(formula) != "arm":
        raise FormulaError(
            f"{formula!r} must have the arm on its left, as in 'arm ~ age + sex + edss_baseline'."
        )
    if not names:
        raise FormulaError(
            f"{formula!r} names no covariate: write them on its right, as in 'arm ~ age + sex'."
        )
    for name in _LATER:
        if name in names:
            raise FormulaError(
                f"{name!r} is known only after time 0 and cannot explain who was given which arm: leave it out."
            )


def _refuse_arms(
    complete: Mapping[str, int], sizes: Mapping[str, int], names: Sequence[str], fewest: int
) -> None:
    if len(complete) < 2:
        raise WeightingError(
            f"there is one arm only ({', '.join(complete) or 'none'}): weights compare two or more. For one arm against published "
            "figures, or before against after, no propensity is needed."
        )
    for arm, n in complete.items():
        if n < fewest:
            lost = f" of its {sizes[arm]}" if sizes.get(arm, 0) > n else ""
            known = f" with known {', '.join(names)}" if lost else ""
            raise WeightingError(
                f"{arm} has {n}{lost} patients{known}, fewer than the {fewest} that a model of who was given which arm needs: leave the "
                "arm out of the cohort, join it with a similar one, name fewer covariates, or compare without weights and say so."
            )


def refuse_columns(X: Floats, terms: Sequence[str], formula: str) -> None:
    """Refuse terms that do not vary between these patients, or follow from others."""
    spread = X.std(axis=0)
    size = np.maximum(np.abs(X).max(axis=0), 1e-300)
    for term, flat, value in zip(terms, spread <= 1e-12 * size, X[0], strict=True):
        if flat:
            raise WeightingError(
                f"{term!r} is the same ({value:g}) in every patient: leave it out of {formula!r}."
            )
    Z = np.column_stack([np.ones(len(X)), (X - X.mean(axis=0)) / spread])
    for k in range(2, Z.shape[1] + 1):
        if np.linalg.matrix_rank(Z[:, :k], tol=1e-8 * len(Z)) < k:
            raise WeightingError(
                f"{terms[k - 2]!r} follows from the terms before it in {formula!r}: leave it out."
            )


def _left_out(
    arm: pd.Series, missing: pd.DataFrame, whole: NDArray[np.bool_], arms: Sequence[str]
) -> tuple[str, ...]:
    if whole.all():
        return ()
    why = ", ".join(f"{name} missing in {n}" for name, n in missing.sum().items() if n)
    return (
        f"left out, as a covariate is missing: {by_arm(arm[~whole], arm, arms)} ({why}); complete cases only",
    )


def by_arm(chosen: pd.Series, everybody: pd.Series, arms: Sequence[str]) -> str:
    """Count patients by arm, as "3 of 40 fingolimod, 0 of 30 ocrelizumab".

    >>> by_arm(pd.Series(["a"]), pd.Series(["a", "b", "a"]), ("a", "b"))
    '1 of 2 a, 0 of 1 b'
    """
    some, n = chosen.value_counts(), everybody.value_counts()
    return ", ".join(f"{some.get(arm, 0)} of {n.get(arm, 0)} {arm}" for arm in arms)
