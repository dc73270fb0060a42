"""Columns as they come in files, turned into identifiers, numbers, truth values and calendar dates."""

from __future__ import annotations

import datetime
import decimal
import math
import numbers as abstract
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Dates", "infer", "is_missing", "to_dates", "to_numbers", "to_text", "to_truth"]

type BoolArray = NDArray[np.bool_]
type FloatArray = NDArray[np.float64]

MISSING = frozenset(
    {"", "NA", "N/A", "n/a", "#N/A", "nan", "NaN", "NAN", "<NA>", "NaT", "None", "NULL", "null"}
)
"""What stands for a missing value in text."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?[iI]nf(inity)?")
_WHOLE = re.compile(r"[+-]?\d+\.0*")
_CLOCK = r"(?:[T ]\s*\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(?:Z|UTC|[+-]\d{2}:?\d{2})?)?"
_YEAR_FIRST = re.compile(r"(\d{4})([-/.])(\d{1,2})\2(\d{1,2})" + _CLOCK)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})" + _CLOCK)


def is_missing(value: object) -> bool:
    """Say whether a single value is missing: None, NaN, NaT, NA or a word for it."""
    if isinstance(value, str):
        return value.strip() in MISSING
    if isinstance(value, np.datetime64):
        return bool(np.isnat(value))
    not_a_number = isinstance(value, float | np.floating | decimal.Decimal) and math.isnan(value)
    return value is None or value is pd.NA or value is pd.NaT or not_a_number


def _each[T](column: pd.Series, convert: Callable[[object], T]) -> list[T]:
    """Convert every value; equal texts, or equal values of a typed column, only once."""
    if column.dtype != object:
        codes, values = pd.factorize(column, use_na_sentinel=False)
        distinct = [convert(value) for value in values.astype(object)]
        return [distinct[code] for code in codes]
    # Among objects 1 equals True, and one instant has different dates in two time zones: only text is safe.
    known: dict[str, T] = {}
    result = []
    for value in column:
        if not isinstance(value, str):
            result.append(convert(value))
            continue
        if value not in known:
            known[value] = convert(value)
        result.append(known[value])
    return result


def to_text(column: pd.Series) -> pd.Series:
    """Turn identifiers or arms into text so that "7", 7 and 7.0 are one; None where missing."""
    return pd.Series(_each(column, _spell), index=column.index, dtype=object)


def _spell(value: object) -> str | None:
    if is_missing(value):
        return None
    if isinstance(value, float | np.floating | decimal.Decimal):
        if math.isinf(value):
            return None
        value = int(value) if float(value).is_integer() else str(value)
    text = unicodedata.normalize("NFC", str(value)).strip()
    return text.split(".")[0] if _WHOLE.fullmatch(text) else text


def to_numbers(column: pd.Series) -> tuple[FloatArray, BoolArray]:
    """Turn a column into floats.

    Returns
    -------
    The numbers, NaN where missing or unreadable, and which rows are unreadable. Truth values and dates are
    unreadable: they are no numbers.
    """
    if pd.api.types.is_numeric_dtype(column.dtype) and not (
        pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_complex_dtype(column.dtype)
    ):
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return values, np.zeros(len(column), dtype=bool)
    read = _each(column, _number)
    return np.array([v for v, _ in read], dtype=np.float64), np.array([b for _, b in read], dtype=bool)


def _number(value: object) -> tuple[float, bool]:
    if is_missing(value):
        return np.nan, False
    if isinstance(value, str):
        text = value.strip()
        return (float(text), False) if _NUMBER.fullmatch(text) else (np.nan, True)
    if isinstance(value, abstract.Real | decimal.Decimal) and not isinstance(value, bool | np.bool_):
        return float(value), False
    return np.nan, True


def to_truth(column: pd.Series) -> FloatArray:
    """Turn yes/no, true/false, 1/0 into 1.0 and 0.0; NaN where missing and −1 where unreadable."""
    return np.array(_each(column, _truth), dtype=np.float64)


def _truth(value: object) -> float:
    if is_missing(value):
        return np.nan
    words = {"true": 1.0, "yes": 1.0, "1": 1.0, "1.0": 1.0, "false": 0.0, "no": 0.0, "0": 0.0, "0.0": 0.0}
    return words.get(str(value).strip().casefold(), -1.0)


def infer(column: pd.Series) -> pd.Series:
    """Give a column of cells from a file its type: numbers, truth values, dates, or text as it is."""
    values, unreadable = to_numbers(column)
    if not unreadable.any():
        whole = (
            np.isfinite(values).all() and (values == np.rint(values)).all() and (np.abs(values) < 2**53).all()
        )
        return pd.Series(values.astype(np.int64) if whole and len(values) else values, index=column.index)
    words = {str(v) for v in column.dropna().unique()}
    if words <= {"True", "False", "TRUE", "FALSE", "true", "false"} and not column.isna().any():
        return column.map(lambda v: str(v).casefold() == "true").astype(bool)
    missing = np.array(_each(column, is_missing), dtype=bool)
    return column.mask(missing).infer_objects()


@dataclass(frozen=True, kw_only=True)
class Dates:
    """Calendar dates read from a column, or why they could not be read.

    Parameters
    ----------
    days
        datetime64[D], NaT where missing or unreadable.
    unreadable
        Which rows are no dates.
    ambiguous
        Which rows could be day/month or month/day, when nothing in the column decides.
    mixed
        Which rows are written in another form than the rest of the column.
    order
        "day/month/year" or "month/day/year" where the column itself decided it, otherwise None.
    """

    days: NDArray[np.datetime64]
    unreadable: BoolArray
    ambiguous: BoolArray
    mixed: BoolArray
    order: str | None = None


def to_dates(column: pd.Series) -> Dates:
    """Read calendar dates; clock times and time zones are set aside, the date as written counts.

    Year-first text (2020-01-31, 2020/1/31, 20200131) and date values are read as they are. Day and month
    first (31/01/2020) are told apart by the column: all its values must be dates in one order and not all in
    the other, or the same in both.
    """
    if isinstance(column.dtype, np.dtype | pd.DatetimeTZDtype) and column.dtype.kind == "M":
        naive = column if column.dt.tz is None else column.dt.tz_localize(None)
        none = np.zeros(len(column), dtype=bool)
        return Dates(days=naive.to_numpy(dtype="datetime64[D]"), unreadable=none, ambiguous=none, mixed=none)
    read = _each(column, _date)
    form = np.array([f for f, _, _ in read], dtype=object)
    return _settle(form, *(np.array([r[k] for r in read], dtype="datetime64[D]") for k in (1, 2)))


_NAT = np.datetime64("NaT", "D")


def _date(value: object) -> tuple[str, np.datetime64, np.datetime64]:
    """Read one value: its form, and the date if the day comes first, and if the month comes first."""
    if is_missing(value):
        return "missing", _NAT, _NAT
    if isinstance(value, datetime.date):
        value = value.isoformat()[:10]
    elif isinstance(value, np.datetime64):
        value = str(value.astype("datetime64[D]"))
    text = value.strip() if isinstance(value, str) else ""
    if found := _YEAR_FIRST.fullmatch(text) or _COMPACT.fullmatch(text):
        parts = found.groups()
        date = _calendar(parts[0], parts[-2], parts[-1])
        return ("unreadable" if np.isnat(date) else "year first"), date, date
    if found := _YEAR_LAST.fullmatch(text):
        first, _, second, year = found.groups()
        day_first, month_first = _calendar(year, second, first), _calendar(year, first, second)
        readable = not (np.isnat(day_first) and np.isnat(month_first))
        return ("year last" if readable else "unreadable"), day_first, month_first
    return "unreadable", _NAT, _NAT


def _calendar(year: str, month: str, day: str) -> np.datetime64:
    try:
        return np.datetime64(datetime.date(int(year), int(month), int(day)), "D")
    except ValueError:
        return _NAT


def _settle(
    form: NDArray[np.object_], day_first: NDArray[np.datetime64], month_first: NDArray[np.datetime64]
) -> Dates:
    """Decide one order of day and month for the whole column."""
    none = np.zeros(len(form), dtype=bool)
    unreadable, last, first = form == "unreadable", form == "year last", form == "year first"
    if last.any() and first.any():
        minority = last if last.sum() <= first.sum() else first
        return Dates(days=day_first, unreadable=unreadable, ambiguous=none, mixed=minority)
    by_day, by_month = not np.isnat(day_first[last]).any(), not np.isnat(month_first[last]).any()
    if not last.any() or (by_day and by_month and (day_first[last] == month_first[last]).all()):
        return Dates(days=day_first, unreadable=unreadable, ambiguous=none, mixed=none)
    if by_day and by_month:
        return Dates(days=day_first, unreadable=unreadable, ambiguous=last, mixed=none)
    if not (by_day or by_month):
        odd = last & (
            np.isnat(day_first)
            if np.isnat(day_first[last]).sum() <= np.isnat(month_first[last]).sum()
            else np.isnat(month_first)
        )
        return Dates(days=day_first, unreadable=unreadable, ambiguous=none, mixed=odd)
    order = "day/month/year" if by_day else "month/day/year"
    days = day_first if by_day else month_first
    return Dates(days=days, unreadable=unreadable, ambiguous=none, mixed=none, order=order)
