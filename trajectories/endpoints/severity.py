"""How severe the disease of a patient is beside others who had it as long (MSSS) or are as old (ARMSS)."""

from __future__ import annotations

from typing import overload

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trajectories.cohort import DAYS_PER_YEAR, Cohort
from trajectories.endpoints.severity_scores import MEANING, SmallCellWarning, severity_scores
from trajectories.windows import edss_at

__all__ = ["SmallCellWarning", "armss", "msss"]


@overload
def msss(
    edss: Cohort,
    duration: str = "duration_years",
    *,
    table: pd.DataFrame | None = None,
    years_either_side: int = 0,
    at: float = 0.0,
    tolerance: float = 0.25,
    small: int = 10,
) -> pd.DataFrame: ...
@overload
def msss(
    edss: ArrayLike | pd.Series,
    duration: ArrayLike | pd.Series,
    *,
    table: pd.DataFrame | None = None,
    years_either_side: int = 0,
    small: int = 10,
) -> pd.Series: ...
def msss(
    edss: Cohort | ArrayLike | pd.Series,
    duration: str | ArrayLike | pd.Series = "duration_years",
    *,
    table: pd.DataFrame | None = None,
    years_either_side: int = 0,
    at: float = 0.0,
    tolerance: float = 0.25,
    small: int = 10,
) -> pd.Series | pd.DataFrame:
    """Rank EDSS among patients of the same disease duration: the Multiple Sclerosis Severity Score, 0 to 10.

    score = 10 · rank / (n + 1): among the n patients in the same completed year of disease, ranks of EDSS
    from low to high, the average of tied ones. 5 is the middle; above is more severe. The score is local: its
    meaning depends on who else is in the data. Give one EDSS a patient, or those with many visits count more.

    Parameters
    ----------
    edss
        EDSS of each patient, or a cohort.
    duration
        Years since onset at that EDSS, in the same order (two Series must have the same index); with a cohort,
        the column of `patients` that has them at time 0.
    table
        A reference to look scores up in instead of ranking, one row a cell: `duration` (completed years: 3 is
        for 3.0 up to 4.0), `edss`, `score` (0 to 10, not falling with EDSS within a year). None is shipped:
        the published ones are under the GPL. Years counted otherwise must be shifted first.
    years_either_side
        Patients up to so many completed years away count too; 0 is only the same year. R's ms.sev takes 2.
    at, tolerance
        With a cohort, which EDSS: as in `edss_at`, in years.
    small
        Warn if patients were ranked among fewer than this many.

    Returns
    -------
    A Series `msss` with the index of `edss`; with a cohort, a frame with one row a patient: `patient`, `arm`,
    `day`, `duration` (at that visit), `edss`, `n` (ranked among; missing with a table), `msss`. Missing where
    EDSS or duration is, or where the table has no such cell.

    Raises
    ------
    TypeError
        If a column is named without a cohort, or numbers are given with one.
    ValueError
        If EDSS is off the scale, a duration is negative or looks like days, lengths or indices differ, or the
        table has missing, repeated or impossible cells.

    Warns
    -----
    SmallCellWarning
        If patients were ranked among fewer than `small`, or are in no cell of the table.

    References
    ----------
    Roxburgh et al. 2005 (doi:10.1212/01.WNL.0000156155.19270.F8).

    Examples
    --------
    >>> msss([2.0, 3.0, 3.0, 6.0], [4.1, 4.9, 4.0, 4.5], small=1).tolist()
    [2.0, 5.0, 5.0, 8.0]
    """
    return _score("msss", "duration", edss, duration, table, years_either_side, at, tolerance, small)


@overload
def armss(
    edss: Cohort,
    age: str = "age",
    *,
    table: pd.DataFrame | None = None,
    years_either_side: int = 2,
    at: float = 0.0,
    tolerance: float = 0.25,
    small: int = 10,
) -> pd.DataFrame: ...
@overload
def armss(
    edss: ArrayLike | pd.Series,
    age: ArrayLike | pd.Series,
    *,
    table: pd.DataFrame | None = None,
    years_either_side: int = 2,
    small: int = 10,
) -> pd.Series: ...
def armss(
    edss: Cohort | ArrayLike | pd.Series,
    age: str | ArrayLike | pd.Series = "age",
    *,
    table: pd.DataFrame | None = None,
    years_either_side: int = 2,
    at: float = 0.0,
    tolerance: float = 0.25,
    small: int = 10,
) -> pd.Series | pd.DataFrame:
    """Rank EDSS among patients of about the same age: the Age Related Multiple Sclerosis Severity score, 0 to 10.

    score = 10 · rank / (n + 1): among the n patients whose age in completed years is at most
    `years_either_side` away, ranks of EDSS from low to high, the average of tied ones. Age is better known than
    the onset of the disease, so fewer patients are lost than from the MSSS.

    Parameters
    ----------
    edss
        EDSS of each patient, or a cohort.
    age
        Age in years at that EDSS, in the same order (two Series must have the same index); with a cohort, the
        column of `patients` that has it at time 0.
    table
        A reference to look scores up in instead of ranking, one row a cell: `age` (completed years), `edss`,
        `score` (0 to 10, not falling with EDSS within a year). None is shipped.
    years_either_side
        Patients up to so many completed years of age away count too.
    at, tolerance
        With a cohort, which EDSS: as in `edss_at`, in years.
    small
        Warn if patients were ranked among fewer than this many.

    Returns
    -------
    A Series `armss` with the index of `edss`; with a cohort, a frame with one row a patient: `patient`,
    `arm`, `day`, `age` (at that visit), `edss`, `n` (ranked among; missing with a table), `armss`. Missing where
    EDSS or age is, or where the table has no such cell.

    Raises
    ------
    TypeError, ValueError
        As `msss`.

    Warns
    -----
    SmallCellWarning
        If patients were ranked among fewer than `small`, or are in no cell of the table.

    References
    ----------
    Manouchehrinia et al. 2017, Age Related Multiple Sclerosis Severity Score: disability ranked by age (Mult Scler 23).

    Examples
    --------
    >>> armss([2.0, 3.0, 6.0], [40, 42, 43], small=1).tolist()
    [3.33..., 5.0, 6.66...]
    """
    return _score("armss", "age", edss, age, table, years_either_side, at, tolerance, small)


def _score(
    name: str,
    by: str,
    edss: Cohort | ArrayLike | pd.Series,
    years: str | ArrayLike | pd.Series,
    table: pd.DataFrame | None,
    either_side: int,
    at: float,
    tolerance: float,
    small: int,
) -> pd.Series | pd.DataFrame:
    if isinstance(either_side, bool) or int(either_side) != either_side or either_side < 0:
        raise ValueError(f"years_either_side must be a whole number from 0 up, not {either_side!r}.")
    if isinstance(edss, Cohort):
        frame = _of_cohort(edss, by, years, at, tolerance)
        score, n = severity_scores(by, frame["edss"], frame[by], table, int(either_side), small)
        ranked = pd.Series(n, index=frame.index, dtype="Int64").where(n > 0)
        return frame.assign(n=ranked, **{name: score})
    if isinstance(years, str):
        raise TypeError(f"{by} must be the {MEANING[by]} of each patient; a column's name is for cohorts.")
    if isinstance(edss, pd.Series) and isinstance(years, pd.Series) and not edss.index.equals(years.index):
        raise ValueError(f"edss and {by} have different indices: align them first, as in one frame.")
    index = edss.index if isinstance(edss, pd.Series) else None
    score, _ = severity_scores(by, edss, years, table, int(either_side), small)
    return pd.Series(score, index=index, name=name)


def _of_cohort(cohort: Cohort, by: str, column: object, at: float, tolerance: float) -> pd.DataFrame:
    if not isinstance(column, str):
        raise TypeError(f"With a cohort, {by} is the name of a column of its patients, not {column!r}.")
    patients = cohort.patients
    if column not in patients:
        raise ValueError(
            f"The patients of cohort '{cohort.name}' have no column '{column}': name the one with the "
            f"{MEANING[by]} at time 0, as in {by}='...'."
        )
    if not pd.api.types.is_numeric_dtype(patients[column]):
        raise ValueError(f"Column '{column}' of patients is not numeric: it must be {MEANING[by]} at time 0.")
    seen = edss_at(cohort, (at,), tolerance)
    then = patients[column].to_numpy(dtype=np.float64, na_value=np.nan)
    since = seen["day"].to_numpy(dtype=np.float64, na_value=np.nan) / DAYS_PER_YEAR
    return pd.DataFrame(
        {
            "patient": patients["patient"],
            "arm": patients["arm"],
            "day": seen["day"],
            by: then + since,
            "edss": seen["edss"],
        }
    )
