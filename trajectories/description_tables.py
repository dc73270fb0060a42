"""The baseline frame of a description: every covariate by arm and overall."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import DAYS_PER_YEAR, Cohort
from trajectories.summaries import STATISTICS, summary
from trajectories.suppression import hidden_cells

__all__ = [
    "OVERALL",
    "Groups",
    "baseline_table",
    "count_frame",
    "groups_of",
    "hidden_sizes",
    "number_rows",
    "shown",
]

OVERALL = "overall"
MOST_LEVELS = 12
"""Levels up to which text is tabulated: more are names or comments rather than categories."""

type Groups = Mapping[str, NDArray[np.bool_]]

_NOT_COVARIATES = {"patient", "arm", "start", "followup_start", "followup_end"}
_NOT_COVARIATES |= {"followup_start_day", "followup_end_day"}
_DERIVED = ("edss_baseline", "relapses_year_before")
_FOLLOWED = ("years followed before time 0", "years followed after time 0")
_BASELINE = [
    "variable",
    "level",
    "arm",
    "patients",
    "n",
    "missing",
    "count",
    "percent",
    *STATISTICS,
    "suppressed",
]


def groups_of(cohort: Cohort) -> Groups:
    """Return the patients of each arm, and of all arms together where there are several."""
    arm = cohort.patients["arm"]
    groups = {name: (arm == name).to_numpy(dtype=np.bool_) for name in cohort.arms}
    if len(groups) == 1:
        return groups
    total = f"{OVERALL} (all arms)" if OVERALL in groups else OVERALL
    return {**groups, total: np.ones(cohort.n_patients, dtype=np.bool_)}


def baseline_table(cohort: Cohort, below: int | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Summarise every covariate by arm, and name the columns that were left out and why."""
    patients, groups = _covariates(cohort), groups_of(cohort)
    rows: list[dict[str, object]] = []
    left_out: list[str] = []
    for variable in patients.columns:
        values = patients[variable] if variable in _DERIVED + _FOLLOWED else _levels(patients[variable])
        if isinstance(values, str):
            left_out.append(f"'{variable}' ({values})")
        elif isinstance(values.dtype, pd.CategoricalDtype):
            rows += _category_rows(str(variable), values, groups, below)
        else:
            rows += number_rows(
                str(variable), values, groups, below, events=variable == "relapses_year_before"
            )
    return count_frame(rows, _BASELINE), tuple(left_out)


def _covariates(cohort: Cohort) -> pd.DataFrame:
    patients = cohort.patients
    added = {
        _FOLLOWED[0]: -patients["followup_start_day"].clip(upper=0) / DAYS_PER_YEAR,
        _FOLLOWED[1]: (patients["followup_end_day"] + 1).clip(lower=0) / DAYS_PER_YEAR,
    }
    own = [column for column in patients if column not in _NOT_COVARIATES and column not in _DERIVED]
    return patients[[*own, *_DERIVED]].assign(**added)


def _levels(values: pd.Series) -> pd.Series | str:
    """Return a covariate as numbers or as a Categorical, or why it is not summarised."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.rename_categories([str(level) for level in values.cat.categories])
    if pd.api.types.is_bool_dtype(values):
        words = values.astype("boolean").map({True: "yes", False: "no"})
        return pd.Series(pd.Categorical(words, categories=["no", "yes"]))
    if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        return "a date"
    if pd.api.types.is_numeric_dtype(values):
        numbers = values.astype("Float64").astype("float64")
        if not set(numbers.dropna()) or set(numbers.dropna()) - {0.0, 1.0}:
            return numbers
        return pd.Series(pd.Categorical(numbers.map({0.0: "0", 1.0: "1"}), categories=["0", "1"]))
    text = values.map(str, na_action="ignore")
    levels = sorted(text.dropna().unique())
    if len(levels) > MOST_LEVELS:
        return f"text with {len(levels)} different values"
    return pd.Series(pd.Categorical(text, categories=levels))


def number_rows(
    variable: str, values: pd.Series, groups: Groups, below: int | None, *, events: bool = False
) -> list[dict[str, object]]:
    """Summarise numbers, one row a group; of `events` a small sum is hidden as a small group is."""
    numbers = values.to_numpy(dtype=np.float64)
    counts = np.array(
        [[np.sum(~np.isnan(numbers[g])), np.sum(np.isnan(numbers[g]))] for g in groups.values()]
    ).T
    sizes, hidden = hidden_sizes(groups, below), hidden_cells(counts, below)
    few = hidden_cells(counts[:1], below)[0]
    if events:
        few = few | hidden_cells([[int(np.nansum(numbers[g])) for g in groups.values()]], below)[0]
    return [
        {
            "variable": variable,
            "level": "",
            "arm": arm,
            "patients": shown(int(members.sum()), bool(sizes[k])),
            "n": shown(int(counts[0, k]), bool(hidden[0, k])),
            "missing": shown(int(counts[1, k]), bool(hidden[1, k])),
            **({} if few[k] else summary(numbers[members])),
            "suppressed": bool(sizes[k] or hidden[:, k].any() or few[k]),
        }
        for k, (arm, members) in enumerate(groups.items())
    ]


def _category_rows(
    variable: str, values: pd.Series, groups: Groups, below: int | None
) -> list[dict[str, object]]:
    levels = [str(level) for level in values.cat.categories]
    codes = values.cat.codes.to_numpy()
    wanted = [*range(len(levels)), -1]
    counts = np.array([[np.sum(codes[g] == code) for g in groups.values()] for code in wanted])
    sizes, hidden = hidden_sizes(groups, below), hidden_cells(counts, below)
    known = counts[:-1].sum(axis=0)
    rows: list[dict[str, object]] = []
    for j, level in enumerate(levels):
        for k, (arm, members) in enumerate(groups.items()):
            no_share = hidden[j, k] or hidden[-1, k] or known[k] == 0
            rows.append(
                {
                    "variable": variable,
                    "level": level,
                    "arm": arm,
                    "patients": shown(int(members.sum()), bool(sizes[k])),
                    "n": shown(int(known[k]), bool(hidden[-1, k])),
                    "missing": shown(int(counts[-1, k]), bool(hidden[-1, k])),
                    "count": shown(int(counts[j, k]), bool(hidden[j, k])),
                    "percent": np.nan if no_share else 100 * counts[j, k] / known[k],
                    "suppressed": bool(sizes[k] or hidden[j, k] or hidden[-1, k]),
                }
            )
    return rows


def hidden_sizes(groups: Groups, below: int | None) -> NDArray[np.bool_]:
    """Mark the groups whose number of patients is to be hidden."""
    return np.asarray(hidden_cells([[int(members.sum()) for members in groups.values()]], below)[0])


def shown(count: int, hidden: bool) -> object:
    """Return the count, or a missing value in place of a hidden one."""
    return pd.NA if hidden else count


def count_frame(rows: list[dict[str, object]], columns: list[str]) -> pd.DataFrame:
    """Make a frame of rows in which counts are integers that may be missing."""
    table = pd.DataFrame(rows, columns=columns)
    counts = {
        "patients",
        "n",
        "missing",
        "count",
        "observed",
        "relapses",
        "complete",
        "incomplete",
        "unobserved",
    }
    types = {column: "Int64" for column in columns if column in counts | {"relapse_free"}}
    numbers = ["percent", "person_years", "rate", "rate_lower", "rate_upper", *STATISTICS]
    types |= {column: "float64" for column in numbers if column in columns}
    return table.astype(types).astype({"suppressed": "bool"})
