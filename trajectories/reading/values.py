"""The values of each table: parsed, checked against its schema, with one message for each thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.reading.columns import infer, to_dates, to_numbers, to_text, to_truth
from trajectories.reading.schemas import schema_problems
from trajectories.tables import STANDARD_COLUMNS, Table

__all__ = ["Parsed", "Times", "parse"]

type Times = NDArray[np.float64] | NDArray[np.datetime64]
"""One column of times: datetime64[D], or days or years as floats; missing are NaT or NaN."""


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """A table whose columns have been read.

    Parameters
    ----------
    table
        The table as it came.
    frame
        The typed columns under their standard names, and the other columns of the file.
    times
        The time columns by standard name.
    problems
        What is wrong with the values.
    notes
        Decisions that reading took, one sentence each.
    """

    table: Table
    frame: pd.DataFrame
    times: dict[str, Times] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def parse(table: Table, time: str) -> Parsed:
    """Parse a table: identifiers, names, scores, truth values, times, and types of the other columns.

    Parameters
    ----------
    table
        The table under standard names.
    time
        How time is counted in this cohort: "date", "day" or "years".

    Returns
    -------
    The parsed table with its problems, none raised yet, so that all tables can be reported together.
    """
    frame = table.frame.copy()
    parsed = Parsed(table=table, frame=frame)
    if table.cells:
        for column in _other_columns(table):
            frame[column] = infer(frame[column])
    checked = {}
    for column, read in _READERS.items():
        if column in STANDARD_COLUMNS[table.name] and column in frame:
            checked[column] = read(frame[column])
    for column in _time_columns(table, time):
        _read_times(parsed, column, time)
    placed = {"patients": "", "treatments": "start"}.get(table.name, time)  # what every row must have
    if placed in parsed.times:
        checked["start" if placed == "start" else "time"] = pd.Series(parsed.times[placed])
    parsed.problems.extend(schema_problems(table, pd.DataFrame(checked), time))
    parsed.problems.extend(_infinite(table, frame))
    _set_types(frame, checked)
    return parsed


def _numbers(column: pd.Series) -> pd.Series:
    """Read numbers; what is unreadable becomes infinite, which no schema lets through."""
    values, unreadable = to_numbers(column)
    return pd.Series(np.where(unreadable, np.inf, values))


def _truth(column: pd.Series) -> pd.Series:
    return pd.Series(np.nan_to_num(to_truth(column), nan=-1.0))


_READERS: dict[str, Callable[[pd.Series], pd.Series]] = {
    "patient": to_text,
    "arm": to_text,
    "drug": to_text,
    "term": to_text,
    "scheduled": _truth,
    "serious": _truth,
    "edss": _numbers,
    "age": _numbers,
    "gd_count": _numbers,
    "gd_volume": _numbers,
    "new_t2": _numbers,
}
"""How the standard columns are read, apart from times."""


def _set_types(frame: pd.DataFrame, checked: dict[str, pd.Series]) -> None:
    for column, values in checked.items():
        if column in ("time", "start"):
            continue
        if column == "arm":
            frame["arm"] = _arms(frame["arm"], values)
        elif column in ("scheduled", "serious"):
            frame[column] = values == 1
        elif column in ("patient", "drug", "term"):
            frame[column] = values.astype("str")
        elif column != "age" or not pd.api.types.is_numeric_dtype(frame[column].dtype):
            frame[column] = values


def _arms(column: pd.Series, names: pd.Series) -> pd.Categorical:
    """Order the arms: as an ordered Categorical has them, otherwise as they appear; unused ones stay."""
    appearing = names.dropna().unique().tolist()
    if isinstance(column.dtype, pd.CategoricalDtype):
        declared = [name for name in to_text(pd.Series(column.cat.categories)) if name is not None]
        unused = [name for name in declared if name not in appearing]
        appearing = list(dict.fromkeys(declared)) if column.cat.ordered else appearing + unused
    return pd.Categorical(names, categories=pd.Index(appearing, dtype="str"), ordered=True)


def _time_columns(table: Table, time: str) -> list[str]:
    events = ("date",) if time == "date" else ("day", "years")
    own = {
        "patients": ("start", "followup_start", "followup_end", "birth"),
        "treatments": ("start", "stop"),
    }
    wanted: tuple[str, ...] = own.get(table.name, events)
    return [column for column in wanted if column in table.frame]


def _read_times(parsed: Parsed, column: str, time: str) -> None:
    if time == "date":
        _read_dates(parsed, column)
    else:
        _read_counts(parsed, column, time)


def _read_dates(parsed: Parsed, column: str) -> None:
    table = parsed.table
    dates = to_dates(table.frame[column])
    numbers = ~to_numbers(table.frame[column])[1] & dates.unreadable
    reports = [
        (
            numbers,
            "value{s} {is} written as a number, not as a date.",
            "write dates as YYYY-MM-DD. In Excel, format the cells as dates; if the numbers count days or "
            "years from treatment start, do so in every table, and call the column of visits and the other "
            "events 'day' or 'years'.",
        ),
        (
            dates.unreadable & ~numbers,
            "value{s} {is} not readable as a date.",
            "write dates as YYYY-MM-DD, complete and with four digits for the year; nothing was guessed.",
        ),
        (
            dates.ambiguous,
            "date{s} could be day/month/year as well as month/day/year, and nothing in the column decides.",
            "write dates as YYYY-MM-DD, or read them yourself by pd.to_datetime(…, format='%d/%m/%Y').",
        ),
        (
            dates.mixed,
            "date{s} {is} written in another form than the rest of the column.",
            "write all dates as YYYY-MM-DD. (Spreadsheets turn some dates of a column into others when day "
            "and month are in the wrong order: compare with the source.)",
        ),
    ]
    found = [
        table.problem(column, what, remedy, bad, table.frame[column])
        for bad, what, remedy in reports
        if bad.any()
    ]
    parsed.problems.extend(found)
    if found:
        return
    parsed.times[column] = dates.days
    parsed.frame[column] = dates.days.astype("datetime64[s]")
    if dates.order:
        parsed.notes.append(f"Dates in '{column}' of {table.name} were read as {dates.order}.")


def _read_counts(parsed: Parsed, column: str, time: str) -> None:
    table = parsed.table
    values, unreadable = to_numbers(table.frame[column])
    unit = "years" if column == "years" or (time == "years" and column != "day") else "days"
    fractions = (
        np.isfinite(values) & (values != np.rint(values)) if unit == "days" else np.zeros(len(values), bool)
    )
    reports = [
        (
            unreadable,
            f"value{{s}} {{is}} not readable as a number of {unit}.",
            f"write numbers with a decimal point. As visits counts time in '{time}', this column must do so, "
            "too; or give dates in every table; or call the column something else.",
        ),
        (np.isinf(values), "value{s} {is} infinite.", "correct the value{s}."),
        (
            fractions,
            "value{s} {is} not a whole number of days.",
            "round to whole days, or give the time as 'years' if it is in years.",
        ),
    ]
    found = [
        table.problem(column, what, remedy, bad, table.frame[column])
        for bad, what, remedy in reports
        if bad.any()
    ]
    parsed.problems.extend(found)
    if not found:
        parsed.times[column] = values
        parsed.frame[column] = values


def _other_columns(table: Table) -> list[str]:
    return [column for column in table.frame.columns if column not in STANDARD_COLUMNS[table.name]]


def _infinite(table: Table, frame: pd.DataFrame) -> list[str]:
    """Report infinite numbers in columns that are not checked otherwise."""
    problems = []
    for column in _other_columns(table):
        if not pd.api.types.is_float_dtype(frame[column].dtype):
            continue
        bad = np.isinf(to_numbers(frame[column])[0])
        if bad.any():
            remedy = "correct the value{s}, or leave {it} empty."
            problems.append(table.problem(column, "value{s} {is} infinite.", remedy, bad))
    return problems
