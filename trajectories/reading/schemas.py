"""The schema of each table, and what to do about each of its rules that is broken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from trajectories.edss import is_level
from trajectories.tables import Table

__all__ = ["schema_problems"]

_TRUTH = "write true or false (or 1 or 0, yes or no) for every {row}, or leave the column out."
_NO_COUNT = (
    "value{s} {is} no count of lesions.",
    "give whole numbers, 0 or more, or leave {it} empty if the lesions were not counted.",
)

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
    ("scheduled", "yes or no"): ("value{s} {is} neither true nor false.", _TRUTH.replace("{row}", "visit")),
    ("time", "not_nullable"): (
        "row{s} {has} no time.",
        "fill in the time, or remove the row{s}: without it the row has no place on the time axis.",
    ),
    ("drug", "not_nullable"): (
        "row{s} {has} no drug.",
        "fill in the drug, or remove the row{s}. (NA and None count as missing; who was never treated needs "
        "no row.)",
    ),
    ("start", "not_nullable"): (
        "row{s} {has} no start.",
        "fill in when the drug or the course was started, or remove the row{s}: without it the row has no "
        "place on the time axis.",
    ),
    ("gd_count", "count"): _NO_COUNT,
    ("new_t2", "count"): _NO_COUNT,
    ("gd_volume", "volume"): (
        "value{s} {is} no volume of lesions.",
        "give numbers, 0 or more, with a decimal point and all in one unit, or leave {it} empty if the volume "
        "was not measured.",
    ),
    ("term", "not_nullable"): (
        "row{s} {has} no term.",
        "say what happened, or remove the row{s}. (NA and None count as missing; who had no adverse event "
        "needs no row.)",
    ),
    ("serious", "yes or no"): (
        "value{s} {is} neither true nor false.",
        _TRUTH.replace("{row}", "event") + " If empty cells mean 'not serious', write no in them; nothing "
        "was guessed.",
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

    def numbers(check: Any) -> Any:
        return pa.Column(float, check, nullable=True, required=False)

    needed, optional = pa.Column(nullable=False), pa.Column(nullable=False, required=False)
    truth = numbers(pa.Check.isin([0.0, 1.0], error="yes or no"))
    count = numbers(pa.Check(lambda n: _amount(n) & (n == np.rint(n)), error="count"))
    scale = pa.Check(lambda edss: pd.Series(is_level(edss), index=edss.index), error="on the scale")
    unique = pa.Column(nullable=False, unique=True, report_duplicates="exclude_first")
    columns = {
        "visits": {"edss": pa.Column(float, scale, nullable=True), "scheduled": truth},
        "relapses": {},
        "patients": {
            "patient": unique,
            "arm": optional,
            "age": numbers(pa.Check.in_range(0, 120, error="possible")),
        },
        "treatments": {"drug": needed, "start": optional},
        "mri": {"gd_count": count, "new_t2": count, "gd_volume": numbers(pa.Check(_amount, error="volume"))},
        "adverse_events": {"term": needed, "serious": truth},
    }[name]
    return pa.DataFrameSchema({"patient": needed, "time": optional} | columns)


def _amount(values: pd.Series) -> pd.Series:
    return values.ge(0) & values.lt(np.inf)
