"""The rows of a count model: one a patient and window of follow-up, with the observed person-years."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trajectories.cohort import DAYS_PER_YEAR, Cohort
from trajectories.formulas import FormulaError, variables
from trajectories.models.assembly import assemble
from trajectories.models.design import Design
from trajectories.windows import relapse_windows

__all__ = ["PERIODS", "Windows", "check_windows", "relapse_design"]

type Windows = tuple[float | None, ...]

OUTCOME = "relapses"
PERIODS = ("before", "after")
# What the rows bring themselves; a column of the patients with one of these names cannot be told apart from it.
OF_THE_ROWS = (OUTCOME, "exposure", "window", "period", "years")


def check_windows(windows: Sequence[float | None]) -> Windows:
    """Return the edges as a tuple, if no window mixes time before and after the index date.

    >>> check_windows([-1, 0, None])
    (-1.0, 0.0, None)
    """
    edges: Windows = tuple(None if edge is None else float(edge) for edge in windows)
    for start, end in pairwise(edges):
        if start is not None and _day(start) < 0 and (end is None or _day(end) > 0):
            raise ValueError(
                f"the window from {start:g} to {'the end of follow-up' if end is None else f'{end:g}'} years mixes time before "
                f"and after the index date: put an edge at 0, as in windows=(-1, 0, None), not {edges}."
            )
    return edges


def relapse_design(formula: str, cohort: Cohort, windows: Windows) -> Design:
    """Make the design of a model of relapses: one row a patient and window with observed time.

    Raises
    ------
    FormulaError
        If the outcome is not `relapses` or the formula cannot be used.
    ValueError
        If the cohort has no relapse table or the edges do not ascend.
    """
    named = variables(formula)
    response = formula.split("~")[0].strip()
    if response != OUTCOME:
        raise FormulaError(
            f"this model is for relapses: the outcome of {formula!r} must be {OUTCOME!r}, not {response!r}."
        )
    twice = [name for name in named if name in OF_THE_ROWS and name in cohort.patients.columns]
    if twice or OUTCOME in named:
        raise FormulaError(
            f"{(twice or [OUTCOME])[0]!r} in {formula!r} is what the rows of this model are made of ({', '.join(OF_THE_ROWS)}): "
            "a column of the patients needs another name."
        )
    rows, excluded = _rows(cohort, named, windows)
    design = assemble(formula, rows, (*named, "window", "period"), excluded, cohort, exposure="exposure")
    for name, column in design.formula.frame.items():
        if (
            name in named
            and isinstance(column.dtype, pd.CategoricalDtype)
            and len(column.cat.categories) == 1
        ):
            raise FormulaError(
                f"{name!r} is the same ({column.cat.categories[0]}) in every row: leave it out of {formula!r}."
            )
    return design


def _rows(cohort: Cohort, named: tuple[str, ...], windows: Windows) -> tuple[pd.DataFrame, list[str]]:
    counted = relapse_windows(cohort, edges=windows)
    excluded = _outside(cohort, int(counted["relapses"].sum()))
    observed = counted["exposure"] > 0
    if not observed.all():
        excluded.append(
            f"{int((~observed).sum())} of {len(counted)} windows of patients have no observed time and were left out"
        )
    rows = counted[observed]
    before = pd.Series(_day(rows["start"].to_numpy()) < 0, index=rows.index)
    if "relapses_year_before" in named and before.any():
        excluded.append(
            f"{int(before.sum())} windows before time 0 were left out of the outcome, as relapses_year_before is a covariate"
        )
        rows, before = rows[~before], before[~before]
    period = pd.Categorical(np.where(before, *PERIODS), categories=PERIODS, ordered=True)
    rows = rows[["patient", "window", OUTCOME, "exposure", "start"]].assign(period=period)
    patients = cohort.patients
    patients = patients[["patient", *(name for name in patients.columns if name not in rows.columns)]]
    rows = rows.merge(patients, on="patient", how="left")
    # Follow-up has no gaps, so a window is observed from its start, or the patient's, for as long as the exposure says.
    first = np.maximum(_day(rows["start"].to_numpy()), rows["followup_start_day"].to_numpy()) / DAYS_PER_YEAR
    rows = rows.assign(years=first + rows["exposure"].to_numpy() / 2).drop(columns="start")
    for name in ("window", "period"):
        rows[name] = rows[name].cat.remove_unused_categories()
    return rows, excluded


def _outside(cohort: Cohort, counted: int) -> list[str]:
    every = 0 if cohort.relapses is None else len(cohort.relapses)
    if counted == every:
        return []
    return [
        f"{every - counted} of {every} relapses lie outside the windows or outside follow-up and are not counted"
    ]


def _day(years: ArrayLike) -> Any:
    return np.rint(np.asarray(years, dtype=float) * DAYS_PER_YEAR)
