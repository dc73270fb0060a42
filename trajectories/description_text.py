"""The print of a description."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from trajectories.cohort import Cohort
from trajectories.printing import MISSING, aligned, fitting, interval, number, sentence, years
from trajectories.suppression import HIDDEN, hidden_note

__all__ = ["description_notes", "description_text"]


def description_text(
    baseline: pd.DataFrame,
    edss: pd.DataFrame,
    relapses: pd.DataFrame,
    *,
    title: str,
    index_date: str,
    simulated: bool,
    notes: Sequence[str],
) -> str:
    """Write the three tables one below the other, then the notes."""
    lines = sentence(title)
    if simulated:
        lines.append("SIMULATED data: nobody was treated.")
    lines += sentence(index_date)
    lines += ["", "Patients at baseline"]
    for part in fitting(_baseline_rows(baseline)):
        lines += [*part, ""]
    lines += ["EDSS (points, 0 to 10)", *_by_arm(edss, _EDSS_HEAD, _edss_row), ""]
    if relapses.empty:
        lines += ["Relapses: not described, see the notes", ""]
    else:
        lines += ["Relapses, pooled over person-years", *_by_arm(relapses, _RATE_HEAD, _rate_row), ""]
        head = "Relapses a patient, over patients whose window was completely observed"
        lines += [head, *_by_arm(relapses, _COUNT_HEAD, _count_row), ""]
    lines.append("Notes")
    for note in notes:
        lines += sentence(note, bullet="- ")
    return "\n".join(lines)


_EDSS_HEAD = ["at", "n", "missing", "mean (SD)", "median (quartiles)", "observed median (quartiles)"]
_RATE_HEAD = ["years", "patients seen", "person-years", "relapses", "rate a year", "95 % interval"]
_COUNT_HEAD = ["years", "complete", "partly", "not seen", "relapse-free", "median (quartiles)", "observed"]


def _edss_row(row: pd.Series) -> list[str]:
    return [
        f"{row['at']:g} y",
        _count(row, "n"),
        _count(row, "missing"),
        _mean(row),
        _quartiles(row),
        _observed(row),
    ]


def _rate_row(row: pd.Series) -> list[str]:
    limits = interval(row["rate_lower"], row["rate_upper"])
    return [
        _window(row),
        _count(row, "observed"),
        _number(row, "person_years", 1),
        _count(row, "relapses"),
        _number(row, "rate", 2),
        HIDDEN if pd.isna(row["rate"]) and row["suppressed"] else limits,
    ]


def _count_row(row: pd.Series) -> list[str]:
    counts = [_count(row, column) for column in ("complete", "incomplete", "unobserved", "relapse_free")]
    return [_window(row), *counts, _quartiles(row), _observed(row)]


def _window(row: pd.Series) -> str:
    return f"{row['start']:g} to {'end' if row['end'] == float('inf') else format(row['end'], 'g')}"


def _by_arm(table: pd.DataFrame, head: list[str], cells: Callable[[pd.Series], list[str]]) -> list[str]:
    """Line up the rows of all arms and set the name of each arm above its rows."""
    lines = aligned([head, *(cells(row) for _, row in table.iterrows())], indent=2)
    arms = table["arm"].tolist()
    result = [lines[0]]
    for k, line in enumerate(lines[1:]):
        if k == 0 or arms[k] != arms[k - 1]:
            result.append(str(arms[k]) + _size(table.iloc[k]))
        result.append(line)
    return result


def _baseline_rows(baseline: pd.DataFrame) -> list[list[str]]:
    arms = list(dict.fromkeys(baseline["arm"]))
    rows = [["", *arms], ["patients", *(_count(row, "patients") for row in _one_by_arm(baseline, arms))]]
    for variable, block in baseline.groupby("variable", sort=False):
        levels = list(dict.fromkeys(block["level"]))
        if levels == [""]:
            rows += _number_lines(str(variable), _one_by_arm(block, arms))
            continue
        rows.append([f"{variable}, n (%)", *("" for _ in arms)])
        for level in levels:
            cells = _one_by_arm(block[block["level"] == level], arms)
            rows.append([f"  {level}", *(_share(cell) for cell in cells)])
        rows += _missing_line(_one_by_arm(block[block["level"] == levels[0]], arms))
    return rows


def _one_by_arm(block: pd.DataFrame, arms: list[str]) -> list[pd.Series]:
    rows = {row["arm"]: row for _, row in block.drop_duplicates("arm").iterrows()}
    return [rows[arm] for arm in arms]


def _number_lines(variable: str, cells: list[pd.Series]) -> list[list[str]]:
    digits = 1 if any(abs(cell["median"]) >= 10 for cell in cells) else 2
    return [
        [variable, *("" for _ in cells)],
        ["  mean (SD)", *(_mean(cell, digits) for cell in cells)],
        ["  median (quartiles)", *(_quartiles(cell, digits) for cell in cells)],
        *_missing_line(cells),
    ]


def _missing_line(cells: list[pd.Series]) -> list[list[str]]:
    if all(not pd.isna(cell["missing"]) and cell["missing"] == 0 for cell in cells):
        return []
    return [["  missing", *(_count(cell, "missing") for cell in cells)]]


def _count(row: pd.Series, column: str) -> str:
    return HIDDEN if pd.isna(row[column]) else str(int(row[column]))


def _number(row: pd.Series, column: str, digits: int) -> str:
    return HIDDEN if pd.isna(row[column]) and row["suppressed"] else number(row[column], digits)


def _share(row: pd.Series) -> str:
    if pd.isna(row["count"]):
        return HIDDEN
    percent = "" if pd.isna(row["percent"]) else f" ({row['percent']:.0f} %)"
    return f"{int(row['count'])}{percent}"


def _mean(row: pd.Series, digits: int = 2) -> str:
    if pd.isna(row["mean"]):
        return HIDDEN if _has_values(row) else MISSING
    return f"{number(row['mean'], digits)} ({number(row['sd'], digits)})"


def _quartiles(row: pd.Series, digits: int = 2) -> str:
    if pd.isna(row["median"]):
        return HIDDEN if _has_values(row) else MISSING
    return f"{number(row['median'], digits)} ({interval(row['q1'], row['q3'], digits)})"


def _observed(row: pd.Series) -> str:
    if pd.isna(row["median"]):
        return HIDDEN if _has_values(row) else MISSING
    return f"{row['median_observed']:g} ({row['q1_observed']:g} to {row['q3_observed']:g})"


def _has_values(row: pd.Series) -> bool:
    """Whether a summary is missing because it was hidden, not because there was nothing to summarise."""
    n = row["complete"] if "complete" in row.index else row["n"]
    return bool(pd.isna(n) or n > 0)


def _size(row: pd.Series) -> str:
    return f" ({_count(row, 'patients')} patients)"


def description_notes(
    cohort: Cohort,
    *,
    tolerance: float,
    left_out: Sequence[str],
    no_window: bool,
    suppress_below: int | None,
) -> tuple[str, ...]:
    """Say how the numbers were formed and what was left out."""
    notes = [
        "Median (quartiles): interpolated between neighbouring values (R type 7), so an EDSS median may be "
        "4.75; observed: the smallest value with at least half (a quarter, three quarters) at or below it.",
        f"EDSS: the visit nearest to the time point, within {years(tolerance)}; at 0 only visits at or "
        "before time 0. missing: patients without such a visit. edss_baseline: the last EDSS at or before "
        f"time 0 within {years(cohort.baseline_window)}.",
        "Percent: of the patients with a value.",
    ]
    if cohort.relapses_table is None:
        notes.append("Relapses are not described: the cohort has no relapse table.")
    elif no_window:
        notes.append("Relapses are not described: a window needs two edges.")
    else:
        notes.append(
            "Relapse rate: all relapses over all person-years observed in the window, with a 95 % interval "
            "(log scale, robust to rates that vary between patients; none without a relapse). partly: the "
            "window was observed in part, which counts in the rate and not in the median."
        )
    if left_out:
        notes.append(f"Columns not summarised: {', '.join(left_out)}.")
    if suppress_below is None:
        return (*notes, *cohort.notes)
    notes.append(hidden_note(suppress_below, "relapses"))
    if cohort.notes:
        notes.append("The notes of the cohort hold counts and are left out here.")
    return tuple(notes)
