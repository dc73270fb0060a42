"""The print of relapse rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from trajectories.endpoints.rate_rows import cell, shown_interval
from trajectories.printing import aligned, sentence

__all__ = ["heading", "notes_lines", "relapse_rates_text", "under", "window_name"]

_RATES = ["", "patients", "not seen", "person-years", "relapses", "pooled", "rate a year"]
_CHANGE = ["", "in both", "only before", "only after", "relapses", "person-years", "ratio"]


def relapse_rates_text(
    rates: pd.DataFrame,
    ratios: pd.DataFrame,
    changes: pd.DataFrame,
    *,
    title: str,
    index_date: str,
    simulated: bool,
    ci: float,
    notes: Sequence[str],
) -> str:
    """Write rates, ratios and changes one below the other, then the notes."""
    level = f"{100 * ci:g} % interval"
    lines = heading(title, index_date, simulated)
    lines += under([*_RATES, level], rates, "window", _rate_cells)
    if len(ratios):
        lines += ["", f"Rate ratio, against {ratios['reference'].iloc[0]}"]
        lines += under(["", "ratio", level], ratios, "window", _ratio_cells)
    if len(changes):
        lines += ["", "Before and after, same patients"]
        lines += under([*_CHANGE, level], changes, "group", _change_cells)
    for table, name in ((ratios, "window"), (changes, "after")):
        for _, row in table[table["reason"] != ""].iterrows():
            lines += sentence(f"{row['group']}, {window_name(row[name])}: {row['reason']}.", bullet="  ")
    return "\n".join([*lines, *notes_lines(notes)])


def heading(title: str, index_date: str, simulated: bool) -> list[str]:
    """Begin a print: what it is, whether it is simulated, what time 0 is."""
    said = ["SIMULATED data: nobody was treated."] if simulated else []
    return [*sentence(title), *said, *sentence(index_date), ""]


def notes_lines(notes: Sequence[str]) -> list[str]:
    """End a print with its notes."""
    return ["", "Notes", *(line for note in notes for line in sentence(note, bullet="- "))]


def under(
    head: list[str], table: pd.DataFrame, column: str, cells: Callable[[pd.Series], list[str]]
) -> list[str]:
    """Line up the rows of a table and set the value of a column above the rows that share it."""
    lines = aligned([head, *(cells(row) for _, row in table.iterrows())], indent=2)
    values = table[column].tolist()
    result = [lines[0]]
    for k, line in enumerate(lines[1:]):
        if k == 0 or values[k] != values[k - 1]:
            result.append(window_name(str(values[k])))
        result.append(line)
    return result


def window_name(label: str) -> str:
    """Write the label of a window in words, and other text as it is.

    >>> window_name("[0, 1)"), window_name("[1, end of follow-up)"), window_name("placebo")
    ('0 to 1 y', '1 y to end', 'placebo')
    """
    if not (label.startswith("[") and label.endswith(")")):
        return label
    start, end = label[1:-1].split(", ")
    return f"{start} y to end" if end == "end of follow-up" else f"{start} to {end} y"


def _rate_cells(row: pd.Series) -> list[str]:
    return [
        str(row["group"]),
        cell(row, "patients"),
        cell(row, "unobserved"),
        cell(row, "person_years", 1),
        cell(row, "relapses"),
        cell(row, "pooled", 3),
        cell(row, "rate", 3),
        shown_interval(row, 3),
    ]


def _ratio_cells(row: pd.Series) -> list[str]:
    return [str(row["group"]), cell(row, "ratio", 2), shown_interval(row)]


def _change_cells(row: pd.Series) -> list[str]:
    def arrow(what: str, digits: int | None) -> str:
        return f"{cell(row, f'{what}_before', digits)} -> {cell(row, f'{what}_after', digits)}"

    return [
        f"{window_name(row['after'])} / {window_name(row['before'])}",
        *(cell(row, column) for column in ("both", "only_before", "only_after")),
        arrow("relapses", None),
        arrow("years", 1),
        cell(row, "ratio", 2),
        shown_interval(row),
    ]
