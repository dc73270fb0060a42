"""Names of columns: from the file's to the standard ones, and which of them a table must have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trajectories.tables import STANDARD_COLUMNS, CohortError, Table, nearest, raise_problems

__all__ = ["MRI_VALUES", "TIMES", "rename", "require", "time_column"]

TIMES = ("date", "day", "years")
"""The columns that can say when something happened; a table has one of them."""

MRI_VALUES = ("gd_count", "gd_volume", "new_t2")
"""What can be read from a scan; a table of scans has at least one of them."""

_UNTIMED = ("patients", "treatments")
_NEEDED = {
    "visits": ("patient", "edss"),
    "treatments": ("patient", "drug", "start"),
    "adverse_events": ("patient", "term"),
}
_COMPUTED = {
    "patients": ("followup_start_day", "followup_end_day", "edss_baseline", "relapses_year_before"),
    "treatments": ("start_day", "stop_day", "start_years", "stop_years"),
}


def rename(tables: Mapping[str, Table], columns: Mapping[str, str] | None) -> dict[str, Table]:
    """Give columns their standard names.

    Parameters
    ----------
    tables
        The tables by name.
    columns
        Standard name to the file's name, for every table that has that column, such as {"patient": "id"}; or,
        for one table only, {"relapses.date": "onset"}.

    Returns
    -------
    The tables with the columns renamed.

    Raises
    ------
    CohortError
        If a standard name is unknown or no table has the file's name.
    """
    renamed = dict(tables)
    for key, theirs in (columns or {}).items():
        concerned = _concerned(key, tables)
        ours = key.split(".")[-1]
        having = [name for name in concerned if theirs in tables[name].frame]
        if not having:
            raise CohortError(_not_there(key, theirs, [tables[name] for name in concerned]))
        for name in having:
            renamed[name] = _renamed(renamed[name], ours, theirs)
    return renamed


def _concerned(key: str, tables: Mapping[str, Table]) -> list[str]:
    """Find the tables that a key of `columns` speaks of."""
    table, _, ours = key.rpartition(".")
    known = sorted({column for names in STANDARD_COLUMNS.values() for column in names})
    wanted = [table] if table else list(STANDARD_COLUMNS)
    concerned = [name for name in wanted if ours in STANDARD_COLUMNS.get(name, ())]
    if not concerned:
        like = nearest(ours, known)
        raise CohortError(
            f"columns: '{key}' is not a standard name{f'; the nearest is {like!r}' if like else ''}.\n"
            f"  What to do: use one of {', '.join(known)} (or table and name, such as 'relapses.date'), and "
            "the file's name as its value. Covariates keep their names."
        )
    return [name for name in concerned if name in tables]


def _not_there(key: str, theirs: str, tables: list[Table]) -> str:
    lines = [f"columns: '{key}' is said to be called '{theirs}', but no table has such a column."]
    for table in tables:
        existing = list(table.frame.columns)
        like = nearest(theirs, existing)
        hint = f" (nearest: '{like}')" if like else ""
        lines.append(f"  {table.name} ({table.source}) has {_listed(existing)}{hint}")
    return "\n".join([*lines, "  What to do: write the name as it is in the file, capitals included."])


def _renamed(table: Table, ours: str, theirs: str) -> Table:
    if ours != theirs and ours in table.frame:
        raise CohortError(
            f"{table.name} ({table.source}): it has both '{theirs}', which `columns` calls '{ours}', and a "
            f"column that is called '{ours}' already.\n  What to do: rename or drop one of them."
        )
    return replace(table, frame=table.frame.rename(columns={theirs: ours}))


def require(tables: Mapping[str, Table]) -> None:
    """Check that the tables have the columns they must have, and none that the package computes.

    Raises
    ------
    CohortError
        If a column is missing, naming the nearest existing one, or has a reserved name.
    """
    problems = []
    for table in tables.values():
        needed = _NEEDED.get(table.name, ("patient",))
        problems += [_missing(table, column) for column in needed if column not in table.frame]
        if table.name == "mri" and not any(column in table.frame for column in MRI_VALUES):
            problems.append(_none_of(table, MRI_VALUES, "what was read from the scans"))
        for column in _COMPUTED.get(table.name, ()):
            if column in table.frame:
                remedy = "rename the column, or drop it."
                problems.append(table.problem(column, "the package computes a column of this name.", remedy))
        if table.name != "patients" and "arm" in table.frame:
            what = "the arm belongs to a patient, not to a row of this table."
            remedy = (
                f"move it to patients (patients={table.name}[['patient', 'arm']].drop_duplicates()); if it "
                "changes over time, call it something else."
            )
            problems.append(table.problem("arm", what, remedy))
    raise_problems(problems)


def _missing(table: Table, column: str) -> str:
    existing = list(table.frame.columns)
    like = nearest(column, existing)
    hint = f"; the nearest is '{like}'" if like else ""
    what = f"there is no such column{hint}. The columns are {_listed(existing)}."
    example = like or "the name in the file"
    remedy = f"say what it is called: columns={{'{column}': '{example}'}}."
    return table.problem(column, what, remedy)


def _none_of(table: Table, columns: tuple[str, ...], meaning: str) -> str:
    existing = list(table.frame.columns)
    ours, like = next(((c, n) for c in columns if (n := nearest(c, existing))), (columns[0], None))
    hint = f"; the nearest is '{like}'" if like else ""
    wanted = " or ".join([", ".join(f"'{c}'" for c in columns[:-1]), f"'{columns[-1]}'"])
    what = f"there is no column {wanted}{hint}. The columns are {_listed(existing)}."
    remedy = f"say which column holds {meaning}: columns={{'{ours}': '{like or 'the name in the file'}'}}."
    return table.problem(None, what, remedy)


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:20])
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return (shown + more) or "none"


def time_column(tables: Mapping[str, Table]) -> str:
    """Find the column that counts time in visits and all other events: `date`, `day` or `years`.

    Raises
    ------
    CohortError
        If a table has none, has dates beside counted times, or the tables differ.
    """
    timed = [table for table in tables.values() if table.name not in _UNTIMED]
    found = {table.name: [time for time in TIMES if time in table.frame] for table in timed}
    problems = []
    for table in timed:
        if not found[table.name]:
            problems.append(_no_time(table))
        elif len(found[table.name]) > 1 and "date" in found[table.name]:
            both = " and ".join(f"'{time}'" for time in found[table.name])
            what = f"it has {both}: the time is given more than once."
            remedy = (
                "keep the dates (with `start` in patients), or the time since the index date; drop the other."
            )
            problems.append(table.problem(None, what, remedy))
    raise_problems(problems)
    common = [time for time in TIMES if all(time in times for times in found.values())]
    if not common:
        each = [f"{name} has '{times[0]}'" for name, times in found.items()]
        raise CohortError(
            f"{', '.join(each[:-1])} and {each[-1]}: two kinds of time.\n  What to do: give dates in every table "
            "(with `start` in patients), or `day` in every table, or `years`, counted from the index date."
        )
    return common[0]


def _no_time(table: Table) -> str:
    existing = list(table.frame.columns)
    like = next((n for time in ("date", "day", "years", "time") if (n := nearest(time, existing))), None)
    hint = f"; the nearest is '{like}'" if like else ""
    what = f"there is no column 'date', 'day' or 'years'{hint}. The columns are {_listed(existing)}."
    example = like or "the name in the file"
    remedy = (
        f"say which column holds the time: columns={{'{table.name}.date': '{example}'}}, or `.day` or "
        "`.years` since the index date."
    )
    return table.problem(None, what, remedy)
