"""Tables as they came in, the names of their columns, and errors that name the rows and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["STANDARD_COLUMNS", "CohortError", "Table", "nearest", "raise_problems"]

STANDARD_COLUMNS: dict[str, tuple[str, ...]] = {
    "visits": ("patient", "edss", "date", "day", "years", "scheduled", "rater", "mode"),
    "relapses": ("patient", "date", "day", "years"),
    "patients": ("patient", "arm", "start", "followup_start", "followup_end", "birth", "age"),
    "treatments": ("patient", "drug", "start", "stop"),
    "mri": ("patient", "gd_count", "gd_volume", "new_t2", "date", "day", "years"),
    "adverse_events": ("patient", "term", "serious", "date", "day", "years"),
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
        `visits`, `relapses`, `patients`, `treatments`, `mri` or `adverse_events`.
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
