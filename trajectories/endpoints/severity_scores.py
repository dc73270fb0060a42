"""Severity scores as numbers: ranks of EDSS among patients of the same years, or cells of a table."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from trajectories.edss import LEVELS, code, is_level

__all__ = ["MEANING", "SmallCellWarning", "severity_scores"]

type FloatArray = NDArray[np.float64]
type IntArray = NDArray[np.int64]

MEANING = {"duration": "years since onset", "age": "age in years"}
"""What patients are ranked within, by the name of its column."""

_ROUNDING = 1e-9  # whole years that went through day / 365.25 may miss them by rounding error
_LONGEST = 120.0
_HERE = (str(Path(__file__).parents[1]),)  # warnings point at the script that called, not at this package


class SmallCellWarning(UserWarning):
    """Some patients were ranked among so few others that their score says little."""


def severity_scores(
    by: str,
    edss: ArrayLike | pd.Series,
    years: ArrayLike | pd.Series,
    table: pd.DataFrame | None,
    either_side: int,
    small: int,
) -> tuple[FloatArray, IntArray]:
    """Return the scores, and among how many each was ranked (0 where missing or from a table)."""
    values, times = _numbers("edss", edss), _numbers(by, years)
    if values.shape != times.shape:
        raise ValueError(f"There are {values.size} EDSS values but {times.size} of {by}.")
    known = ~np.isnan(values) & ~np.isnan(times)
    level = code(
        values[~np.isnan(values)]
    )  # refuses values off the scale, also where the duration is missing
    codes = np.zeros(values.shape, dtype=np.int64)
    codes[~np.isnan(values)] = level
    year = _completed_years(by, times)
    score, n = np.full(values.shape, np.nan), np.zeros(values.shape, dtype=np.int64)
    if table is not None:
        score[known] = _looked_up(by, codes[known], year[known], table)
    else:
        score[known], n[known] = _ranked(codes[known], year[known], either_side)
        _warn_small(by, n[known], either_side, small)
    return score, n


def _numbers(name: str, values: ArrayLike | pd.Series) -> FloatArray:
    numbers = pd.Series(values).to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(numbers).any():
        raise ValueError(f"{name} has infinite values.")
    return numbers


def _completed_years(by: str, times: FloatArray) -> IntArray:
    given = times[~np.isnan(times)]
    if (given < -_ROUNDING).any():
        raise ValueError(
            f"{np.sum(given < 0)} values of {by} are negative: {MEANING[by]} cannot be; leave unknown ones out."
        )
    if (given > _LONGEST).any():
        raise ValueError(
            f"{by} goes up to {given.max():g}, more than {_LONGEST:g} years: give years, not days or months."
        )
    return np.floor(np.nan_to_num(times) + _ROUNDING).astype(np.int64)


def _ranked(codes: IntArray, year: IntArray, either_side: int) -> tuple[FloatArray, IntArray]:
    """Score every patient from one count of patients by year and level."""
    counts = np.zeros((int(year.max(initial=0)) + 2 * either_side + 1, LEVELS.size), dtype=np.int64)
    np.add.at(counts, (year + either_side, codes), 1)
    near = np.lib.stride_tricks.sliding_window_view(counts, 2 * either_side + 1, axis=0).sum(axis=-1)
    upto = np.cumsum(near, axis=1)
    rank = upto - near + (near + 1) / 2
    n = upto[:, -1]
    return 10 * rank[year, codes] / (n[year] + 1), n[year]


def _looked_up(by: str, codes: IntArray, year: IntArray, table: pd.DataFrame) -> FloatArray:
    reference = _checked_table(by, table)
    cells = pd.MultiIndex.from_arrays([reference[by], reference["code"]])
    row = cells.get_indexer(pd.MultiIndex.from_arrays([year, codes]))
    if (row < 0).any():
        warnings.warn(
            f"{np.sum(row < 0)} of {row.size} patients have a {by} and EDSS that the table does not hold (its "
            f"years go from {reference[by].min()} to {reference[by].max()}): their scores are missing.",
            SmallCellWarning,
            skip_file_prefixes=_HERE,
        )
    scores = reference["score"].to_numpy(dtype=np.float64)
    return np.where(row < 0, np.nan, scores[row])


def _checked_table(by: str, table: pd.DataFrame) -> pd.DataFrame:
    lacking = [column for column in (by, "edss", "score") if column not in table]
    if lacking or table.empty:
        raise ValueError(
            f"The table must have rows with the columns {by}, edss and score; it lacks {', '.join(lacking) or 'rows'}."
        )
    numbers = {column: table[column].to_numpy(dtype=np.float64) for column in (by, "edss", "score")}
    problems = {
        f"{by} must be whole years from 0 up": (numbers[by] < 0) | (np.mod(numbers[by], 1) != 0),
        "edss must be on the scale 0, 1.0, 1.5, … 10.0": ~is_level(numbers["edss"]),
        "score must be from 0 to 10": ~((numbers["score"] >= 0) & (numbers["score"] <= 10)),
        f"each {by} and edss must occur once": table.duplicated([by, "edss"], keep=False).to_numpy(),
    }
    for what, bad in problems.items():
        if bad.any():
            rows = ", ".join(str(label) for label in table.index[bad][:10])
            raise ValueError(f"In the table {what}: {bad.sum()} rows are not so, index {rows}.")
    checked = pd.DataFrame(
        {by: numbers[by].astype(np.int64), "code": code(numbers["edss"]), "score": numbers["score"]}
    ).sort_values([by, "code"], ignore_index=True)
    fell = checked.groupby(by)["score"].diff().lt(0)
    if fell.any():
        at = ", ".join(str(year) for year in checked.loc[fell, by].unique()[:10])
        raise ValueError(f"In the table score falls as EDSS rises at {by} {at}: it must be a rank.")
    return checked


def _warn_small(by: str, n: IntArray, either_side: int, small: int) -> None:
    few = n < small
    if few.any():
        cell = f"the same completed year of {by}" + (f" ± {either_side}" if either_side else "")
        warnings.warn(
            f"{few.sum()} of {n.size} patients were ranked among fewer than {small} in {cell} (the smallest group "
            f"is {n.min()}): their scores say little. Take more years together (years_either_side) or a table.",
            SmallCellWarning,
            skip_file_prefixes=_HERE,
        )
