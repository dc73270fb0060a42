"""Tables as they came in, the schemas they must fit, and errors that name the rows and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.edss import is_level

__all__ = ["STANDARD_COLUMNS", "CohortError", "Table", "nearest", "raise_problems", "schema_problems"]

STANDARD_COLUMNS: dict[str, tuple[str, ...]] = {
    "visits": ("patient", "edss", "date", "day", "years", "scheduled", "rater", "mode"),
    "relapses": ("patient", "date", "day", "years"),
    "patients": ("patient", "arm", "start", "followup_start", "followup_end", "birth", "age"),
}
"""The names that mean something to the package, by table; every other column is kept as it is."""

_SHOWN = 10


class CohortError(ValueError):
    """The tables do not make a cohort; says which table, column and rows are wrong, and what to do.

    Examples
    --------
    >>> import pandas as pd
    >>> from trajectories.reading import read_cohort
    >>> read_cohort(pd.DataFrame({"patient": [1, 1], "day": [0, 90], "edss": [2.0, 0.5]}))
    Traceback (most recent call last):
    trajectories.tables.CohortError: visits (DataFrame, rows by index label), column 'edss': 1 value is not on the EDSS scale.
      index 1: 0.5
      What to do: EDSS is 0, 1.0, 1.5, … 10.0 (there is no 0.5), written with a decimal point: correct the value, or leave it empty if missing.
    """


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table with what the user calls its rows: lines of a file, or index labels of a frame.

    Parameters
    ----------
    name
        `visits`, `relapses` or `patients`.
    source
        Where it came from, and how its rows are called, for messages.
    row_word
        "line", "row" or "index".
    rows
        What the user calls each row, one a row of `frame`.
    frame
        The data, with a RangeIndex.
    cells
        Whether the columns are cells of a file that have no type yet.
    """

    name: str
    source: str
    row_word: str
    rows: Sequence[Any]
    frame: pd.DataFrame
    cells: bool = False

    def row(self, position: int) -> str:
        """Name a row as the user knows it, such as "line 4"."""
        return f"{self.row_word} {self.rows[position]}"

    def problem(
        self,
        column: str | None,
        what: str,
        remedy: str,
        bad: NDArray[np.bool_] | None = None,
        values: pd.Series | None = None,
        beside: Sequence[str] | None = None,
    ) -> str:
        """Write what is wrong with a column: the rows where `bad`, at most ten, and the remedy.

        Parameters
        ----------
        column
            Name of the column, or None for the whole table.
        what
            Predicate with `{s}`, `{is}`, `{has}` for the plural, after "3 " if `bad` is given.
        remedy
            What to do.
        bad
            Which rows.
        values
            The values to show beside each row as they are in the table.
        beside
            What else to say beside each row, one a row of the table.

        Returns
        -------
        The message, several lines.
        """
        where = f"{self.name} ({self.source})" + (f", column '{column}'" if column else "")
        if bad is None:
            return f"{where}: {what}\n  What to do: {remedy}"
        positions = np.flatnonzero(bad)
        lines = [f"{where}: {len(positions)} {_plural(what, len(positions))}"]
        for i in positions[:_SHOWN]:
            shown = [] if values is None else [_shown(values.iloc[i])]
            lines.append(": ".join([f"  {self.row(i)}", *shown, *([] if beside is None else [beside[i]])]))
        if len(positions) > _SHOWN:
            lines.append(f"  … and {len(positions) - _SHOWN} more")
        return "\n".join([*lines, f"  What to do: {_plural(remedy, len(positions))}"])


def _plural(text: str, n: int) -> str:
    forms = (
        {"s": "", "is": "is", "has": "has", "it": "it"}
        if n == 1
        else {"s": "s", "is": "are", "has": "have", "it": "them"}
    )
    return text.format_map(forms)


def _shown(value: object) -> str:
    text = repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def raise_problems(problems: Sequence[str]) -> None:
    """Raise one CohortError with all problems, if there are any."""
    if problems:
        head = [] if len(problems) == 1 else [f"{len(problems)} problems with the tables."]
        raise CohortError("\n".join([*head, *problems]))


def nearest(name: str, existing: Sequence[str]) -> str | None:
    """Find the existing column name that is most like `name`, ignoring case; None if none is like it."""
    folded = {other.casefold(): other for other in existing}
    within = [other for other in folded if name.casefold() in other]
    close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6) or within
    return folded[close[0]] if close else None


_RULES: dict[tuple[str, str], tuple[str, str]] = {
    ("patient", "not_nullable"): (
        "row{s} {has} no patient.",
        "fill in the identifier, or remove the row{s}. (NA, nan and None count as missing; a patient whose "
        "identifier is one of these words needs another.)",
    ),
    ("patient", "field_uniqueness"): (
        "row{s} {is} for a patient who is already in the table.",
        "keep one row a patient; what changes over time belongs to visits.",
    ),
    ("arm", "not_nullable"): (
        "patient{s} {has} no arm.",
        "fill in the arm, or leave the patient{s} out. (NA and None count as missing; call an arm without "
        "treatment 'untreated'.)",
    ),
    ("edss", "on the scale"): (
        "value{s} {is} not on the EDSS scale.",
        "EDSS is 0, 1.0, 1.5, … 10.0 (there is no 0.5), written with a decimal point: correct the value{s}, "
        "or leave {it} empty if missing.",
    ),
    ("age", "possible"): (
        "value{s} {is} no age in years.",
        "give the age at the index date in years, from 0 to 120, or leave {it} empty.",
    ),
    ("scheduled", "yes or no"): (
        "value{s} {is} neither true nor false.",
        "write true or false (or 1 or 0, yes or no) for every visit, or leave the column out.",
    ),
    ("time", "not_nullable"): (
        "row{s} {has} no time.",
        "fill in the time, or remove the row{s}: without it the row has no place on the time axis.",
    ),
}


def schema_problems(table: Table, parsed: pd.DataFrame, time: str | None = None) -> list[str]:
    """Check the parsed columns of a table against its schema.

    Parameters
    ----------
    table
        The table as it came, for row names and the values to show.
    parsed
        The columns that could be parsed, under their standard names, and `time`.
    time
        Name of the column that `time` was parsed from.

    Returns
    -------
    One message for each rule that is broken.
    """
    from pandera.errors import SchemaErrors

    try:
        _schema(table.name).validate(parsed, lazy=True)
    except SchemaErrors as failed:
        cases = failed.failure_cases
    else:
        return []
    problems = []
    for (column, check), rows in cases.groupby(["column", "check"], sort=False):
        what, remedy = _RULES[column, check]
        name = (time or "time") if column == "time" else column
        bad = np.zeros(len(parsed), dtype=bool)
        bad[rows["index"].to_numpy(dtype=np.int64)] = True
        values = None if check == "not_nullable" else table.frame[name]
        problems.append(table.problem(name, what, remedy, bad, values))
    return problems


def _schema(name: str) -> Any:
    import pandera.pandas as pa

    patient = pa.Column(nullable=False)
    time = pa.Column(nullable=False, required=False)
    if name == "relapses":
        return pa.DataFrameSchema({"patient": patient, "time": time})
    if name == "patients":
        return pa.DataFrameSchema(
            {
                "patient": pa.Column(nullable=False, unique=True, report_duplicates="exclude_first"),
                "arm": pa.Column(nullable=False, required=False),
                "age": pa.Column(
                    float, pa.Check.in_range(0, 120, error="possible"), nullable=True, required=False
                ),
            }
        )
    return pa.DataFrameSchema(
        {
            "patient": patient,
            "time": time,
            "edss": pa.Column(
                float,
                pa.Check(lambda edss: pd.Series(is_level(edss), index=edss.index), error="on the scale"),
                nullable=True,
            ),
            "scheduled": pa.Column(
                float, pa.Check.isin([0.0, 1.0], error="yes or no"), nullable=True, required=False
            ),
        }
    )
