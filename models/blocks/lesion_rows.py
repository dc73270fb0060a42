"""The rows of a lesion model: one a scan, with nothing or the time since the scan before as exposure."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trajectories.cohort import DAYS_PER_YEAR, Cohort
from trajectories.endpoints.mri_tables import scan_intervals
from trajectories.formulas import FormulaError, variables
from trajectories.models.assembly import assemble
from trajectories.models.blocks.relapse_rows import PERIODS
from trajectories.models.design import Design

__all__ = ["LESIONS", "lesion_design"]

# What is counted, and what the count of a row is called.
LESIONS = {"gd_count": "gadolinium-enhancing lesions a scan", "new_t2": "new T2 lesions a year"}
# What the rows bring themselves; a column of the patients with one of these names cannot be told apart from it.
OF_THE_ROWS = (*LESIONS, "exposure", "window", "period", "years", "day")


def lesion_design(formula: str, cohort: Cohort) -> Design:
    """Make the design of a model of lesions: one row a scan in which they were counted.

    Raises
    ------
    FormulaError
        If the outcome is neither `gd_count` nor `new_t2`, or the formula cannot be used.
    ValueError
        If the cohort has no MRI table, or none with the outcome.
    """
    named = variables(formula)
    response = formula.split("~")[0].strip()
    if response not in LESIONS:
        raise FormulaError(
            f"this model is for lesions: the outcome of {formula!r} must be {' or '.join(map(repr, LESIONS))}, not {response!r}."
        )
    scans = cohort.mri
    if scans is None or response not in scans:
        what = "no MRI table" if scans is None else f"an MRI table without {response!r}"
        raise ValueError(
            f"This cohort has {what}, so lesions cannot be modelled: give `mri=` to read_cohort."
        )
    brought = [name for name in scans.columns if name not in ("patient", *LESIONS)]
    twice = [name for name in named if name in (*OF_THE_ROWS, *brought) and name in cohort.patients.columns]
    if twice or response in named:
        raise FormulaError(
            f"{(twice or [response])[0]!r} in {formula!r} is what the rows of this model are made of ({', '.join(OF_THE_ROWS)} and the "
            "columns of the scans): a column of the patients needs another name."
        )
    rows, excluded = _rows(scans, response)
    patients = cohort.patients
    patients = patients[["patient", *(name for name in patients.columns if name not in rows.columns)]]
    rows = rows.merge(patients, on="patient", how="left")
    design = assemble(formula, rows, (*named, "window", "period"), excluded, cohort, exposure="exposure")
    for name in ("period", "window"):
        column = design.frame[name]
        if name in named and column.cat.codes.eq(column.cat.codes.iloc[0]).all():
            raise FormulaError(
                f"{name!r} is the same ({column.iloc[0]}) in every row: leave it out of {formula!r}."
            )
    return design


def _rows(scans: pd.DataFrame, response: str) -> tuple[pd.DataFrame, list[str]]:
    excluded = []
    unread = int(scans[response].isna().sum())
    if unread:
        excluded.append(
            f"{unread} of {len(scans)} scans have no {response} and were left out (valid if missing at random)"
        )
    if response == "gd_count":
        rows = scans[scans[response].notna()].assign(exposure=1.0)
        before = (rows["day"] <= 0).to_numpy()
    else:
        rows = scan_intervals(scans)
        first = int(rows["since"].isna().sum())
        if first:
            excluded.append(
                f"{first} scans with new_t2 have no scan before, so no time to count over, and were left out"
            )
        rows = rows[rows["since"].notna()]
        mixed = int(((rows["since"] < 0) & (rows["day"] > 0)).sum())
        if mixed:
            excluded.append(
                f"{mixed} scans are compared with one before time 0: they count at the middle between the two, and part of their "
                "lesions may be older than the treatment"
            )
        rows = rows.assign(years=rows["middle"], day=rows["middle"] * DAYS_PER_YEAR)
        before = (rows["years"] < 0).to_numpy()
    period = pd.Categorical(np.where(before, *PERIODS), categories=PERIODS, ordered=True)
    rows = rows.assign(period=period, window=_years_since(rows["years"]))
    rows["period"] = rows["period"].cat.remove_unused_categories()
    return rows.drop(columns=[name for name in ("since", "middle") if name in rows]), excluded


def _years_since(years: pd.Series) -> pd.Series:
    """Name the year since time 0 that each row lies in."""
    start = np.floor(years.to_numpy()).astype(np.int64)
    order = [f"[{k}, {k + 1})" for k in np.unique(start)]
    names = pd.Categorical([f"[{k}, {k + 1})" for k in start], categories=order, ordered=True)
    return pd.Series(names, index=years.index)
