"""How a design is made: the rows of a cohort that a formula can use, what is left out and why, and what cannot be told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from trajectories.cohort import Cohort
from trajectories.formulas import FormulaError, ParsedFormula, groups_of, parse, response_of, variables
from trajectories.models.design import INTERCEPT, VISIT_TIME, Design, Scaling
from trajectories.tables import nearest

__all__ = ["assemble", "edss_design", "visit_rows"]


def edss_design(formula: str, cohort: Cohort) -> Design:
    """Make the design of an EDSS model: one row a visit with an EDSS."""
    variables(formula)  # a formula that cannot be read is refused first
    response = response_of(formula)
    if response != "edss":
        raise FormulaError(
            f"this model is for EDSS: the outcome of {formula!r} must be 'edss', not {response!r}."
        )
    rows, named, excluded = visit_rows(formula, cohort, "edss")
    return assemble(formula, rows, named, excluded, cohort)


def assemble(
    formula: str,
    rows: pd.DataFrame,
    named: tuple[str, ...],
    excluded: list[str],
    cohort: Cohort,
    exposure: str | None = None,
) -> Design:
    """Leave out rows with a missing covariate (counted), evaluate the formula, and set the target population."""
    rows, more = _complete(rows, named)
    if rows.empty:
        raise FormulaError(f"no row is left for {formula!r}: {'; '.join([*excluded, *more])}")
    codes, patients = pd.factorize(rows["patient"])
    kept = [name for name in named if name not in ("arm", *VISIT_TIME)]
    wanted = [response_of(formula), "years", "arm", *named, *([exposure] if exposure else [])]
    columns = [
        name for name in dict.fromkeys(wanted) if name in rows.columns
    ]  # parse names a column that is not there
    frame = rows[columns].assign(patient=codes).reset_index(drop=True)
    frame["arm"] = frame["arm"].cat.remove_unused_categories()
    _check_patient_level(formula, cohort)
    parsed = parse(formula, frame, groups=True)
    _check_effects(parsed, formula)
    _check_columns(parsed)
    _check_groups(parsed, len(patients))
    first = rows.drop_duplicates("patient").reset_index(drop=True)
    patient_level = [name for name in kept if name in cohort.patients.columns]
    lost = cohort.n_patients - len(patients)
    if lost:
        more.append(f"{lost} of {cohort.n_patients} patients have no row left and are not in the model")
    arms = tuple(str(arm) for arm in frame["arm"].cat.categories)
    gone = [arm for arm in cohort.arms if arm not in arms]
    if gone:
        more.append(f"no patient of {', '.join(gone)} has a row left: these arms are not in the model")
    target = first[["arm", *patient_level]].assign(arm=first["arm"].cat.remove_unused_categories())
    return Design(
        formula=parsed,
        frame=frame,
        target=target,
        exposure=None if exposure is None else frame[exposure].to_numpy(dtype=float),
        excluded=(*excluded, *more),
        arms=arms,
        cohort_name=cohort.name,
        simulated=cohort.simulated,
        index_date=cohort.index_date,
        patient_ids=tuple(patients),
        unseen=_without_row(cohort, patients, target, groups_of(formula)),
    )


def _without_row(cohort: Cohort, seen: Any, target: pd.DataFrame, groups: tuple[str, ...]) -> pd.DataFrame:
    """Patients of a cohort who are not among those seen, with the columns of a target, all known and of the same levels."""
    table = cohort.patients.set_index("patient")
    away = table.loc[~table.index.isin(seen), list(target.columns)]
    known = away.notna().all(axis=1)
    for name, column in target.items():
        if name in groups or not pd.api.types.is_numeric_dtype(column):
            known &= away[str(name)].isin(column.unique())
    return away[known].astype(target.dtypes.to_dict())


def visit_rows(formula: str, cohort: Cohort, outcome: str) -> tuple[pd.DataFrame, tuple[str, ...], list[str]]:
    """Take the visits that have the outcome, with the patients' covariates; the columns that the formula names; what was left out."""
    visits, patients, named = cohort.visits, cohort.patients, variables(formula)
    twice = [name for name in named if name in visits.columns and name in patients.columns]
    if twice:
        raise FormulaError(
            f"{twice[0]!r} is a column of the visits and of the patients: give one of them another name, so that the formula says "
            "which is meant."
        )
    excluded = []
    missing = int(visits[outcome].isna().sum())
    if missing:
        excluded.append(
            f"{missing} of {len(visits)} visits have no {'EDSS' if outcome == 'edss' else outcome} and were left out (valid if missing at "
            "random)"
        )
    visits = visits[visits[outcome].notna()]
    if "edss_baseline" in named:
        before = int((visits["day"] <= 0).sum())
        excluded.append(
            f"{before} visits at or before time 0 were left out of the outcome, as edss_baseline is a covariate"
        )
        visits = visits[visits["day"] > 0]
    covariates = [c for c in patients.columns if c not in visits.columns or c == "patient"]
    return visits.merge(patients[covariates], on="patient", how="left"), named, excluded


def _complete(rows: pd.DataFrame, named: tuple[str, ...]) -> tuple[pd.DataFrame, list[str]]:
    said = []
    for name in named:
        if name not in rows.columns:
            continue  # the formula wrapper names it, with the nearest column
        bad = rows[name].isna()
        if bad.any():
            who = rows.loc[bad, "patient"].nunique()
            said.append(f"{int(bad.sum())} rows of {who} patients have no {name} and were left out")
            rows = rows[~bad]
    return rows, said


def _check_effects(parsed: ParsedFormula, formula: str) -> None:
    if parsed.effects and parsed.effects[0] != INTERCEPT:
        raise FormulaError(f"patient effects need an intercept: write '(1 + … | patient)' in {formula!r}.")
    if len(set(parsed.effects)) < len(parsed.effects):
        raise FormulaError(f"a patient effect is named twice in {formula!r}: write one '(1 + … | patient)'.")


def _check_patient_level(formula: str, cohort: Cohort) -> None:
    for name in groups_of(formula):
        if name in cohort.patients.columns:
            continue
        near = nearest(name, [str(column) for column in cohort.patients.columns])
        raise FormulaError(
            f"'(1 | {name})' in {formula!r} needs a column of the patients, and they have no {name!r}."
            + (
                f" Did you mean {near!r}?"
                if near
                else " Its effects are those of groups of patients, not of visits."
            )
        )


def _check_groups(parsed: ParsedFormula, patients: int) -> None:
    """Refuse groups whose effects cannot be told apart from those of patients or of fixed terms."""
    fixed = np.column_stack([np.ones(len(parsed.frame)), parsed.matrices.X[:, : len(parsed.fixed_terms)]])
    for group in parsed.groups:
        if len(group.levels) >= patients:
            raise FormulaError(
                f"every patient has another {group.name}: effects of '(1 | {group.name})' cannot be told apart from those of patients. Leave it "
                "out."
            )
        places = [parsed.terms.index(term) for term in group.terms]
        indicators = parsed.matrices.X[:, places]
        rest = indicators - fixed @ np.linalg.lstsq(fixed, indicators, rcond=None)[0]
        if np.abs(rest).max() < 1e-8:
            raise FormulaError(
                f"{group.name} is a covariate of {parsed.text!r} already, each level with an effect of its own, so nothing is left for "
                f"'(1 | {group.name})': leave one of the two out."
            )
    codes = [group.codes(parsed.frame[group.name]) for group in parsed.groups]
    if len(codes) == 2 and {len(set(zip(*codes, strict=True)))} == {
        len(group.levels) for group in parsed.groups
    }:
        raise FormulaError(
            f"{' and '.join(group.name for group in parsed.groups)} divide the patients alike, so their effects cannot be told apart: leave one "
            f"of them out of {parsed.text!r}."
        )


def _check_columns(parsed: ParsedFormula) -> None:
    for name in parsed.columns:  # formulae leaves a category with one level out without a word
        column = parsed.frame[name]
        if isinstance(column.dtype, pd.CategoricalDtype) and column.nunique() < 2:
            raise FormulaError(
                f"{name!r} is the same ({column.iloc[0]}) in every row: leave it out of the formula."
            )
    X = parsed.matrices.X[:, : len(parsed.fixed_terms)]
    for name, column in zip(parsed.fixed_terms, X.T, strict=True):
        if np.ptp(column) == 0:
            raise FormulaError(
                f"the term {name!r} is the same ({column[0]:g}) in every row: leave it out of the formula."
            )
    for name, column in zip(parsed.effects[1:], parsed.matrices.Z.T[1:], strict=True):
        if np.ptp(column) == 0:
            raise FormulaError(
                f"the patient effect {name!r} is the same ({column[0]:g}) in every row: leave it out."
            )
    known = np.ones((len(X), 1))
    for name, column in zip(parsed.fixed_terms, Scaling.of(X).apply(X).T, strict=True):
        remainder = column - known @ np.linalg.lstsq(known, column, rcond=None)[0]
        if np.linalg.norm(remainder) < 1e-8 * np.linalg.norm(column):
            raise FormulaError(
                f"the term {name!r} follows exactly from the terms before it: leave one of them out."
            )
        known = np.column_stack([known, column])
