"""Groups of patients with no evidence of disease activity: proportions, bounds and Kaplan-Meier estimates."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.endpoints.groups import PatientGroups
from trajectories.endpoints.neda_patients import ANSWERS, seen_days
from trajectories.endpoints.shares import wilson_limits
from trajectories.endpoints.survival_steps import count_steps, greenwood, log_log_interval, survival_of
from trajectories.estimate import normal_limit
from trajectories.suppression import hidden_cells

__all__ = ["activity_table", "group_table", "reason_table"]

_NUMBERS = ["proportion", "lower", "upper", "lowest", "highest", "km", "km_lower", "km_upper"]
_COUNTS = ["neda", "active", "not_evaluable"]

type Bools = NDArray[np.bool_]


def group_table(
    patients: pd.DataFrame,
    groups: PatientGroups,
    *,
    ci: float,
    suppress_below: int | None,
    weighted: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return the frame of `Neda3.to_frame()`; with `weighted` shares instead of those of patients who count alike."""
    rows = [{"group": name, **_group(patients[groups.members(g)], ci)} for g, name in enumerate(groups.names)]
    table = pd.DataFrame(rows)
    if weighted is not None:
        # where nobody says how the curve ends, weights do not either
        unknown = table["km"].isna()
        table[_NUMBERS] = weighted[_NUMBERS]
        table.loc[unknown, ["km", "km_lower", "km_upper"]] = np.nan
    hidden = _hidden(table, suppress_below)
    whole = ["patients", *_COUNTS, "evaluable", "km_at_risk"]
    table = table.astype(dict.fromkeys(whole, "Int64"))
    for column, mask in zip(_COUNTS, hidden.T, strict=True):
        table.loc[mask, column] = pd.NA
    suppressed = hidden.any(axis=1)
    table.loc[suppressed, ["evaluable", "km_at_risk"]] = pd.NA
    table.loc[suppressed, _NUMBERS] = np.nan
    return table.assign(suppressed=suppressed)


def _group(patients: pd.DataFrame, ci: float) -> dict[str, float]:
    neda, active, unknown = (int((patients["answer"] == answer).sum()) for answer in ANSWERS)
    n, evaluable = len(patients), neda + active
    lower, upper = (float(limit) for limit in wilson_limits(neda, evaluable, ci))
    km, km_lower, km_upper, at_risk = _kaplan_meier(patients, ci)
    return {
        "patients": n,
        "neda": neda,
        "active": active,
        "not_evaluable": unknown,
        "evaluable": evaluable,
        "proportion": neda / evaluable if evaluable else math.nan,
        "lower": lower,
        "upper": upper,
        "lowest": neda / n if n else math.nan,
        "highest": (neda + unknown) / n if n else math.nan,
        "km": km,
        "km_lower": km_lower,
        "km_upper": km_upper,
        "km_at_risk": at_risk,
    }


def _kaplan_meier(patients: pd.DataFrame, ci: float) -> tuple[float, float, float, int]:
    """Estimate the share free of activity at the end of the window, and count who was still at risk then.

    Missing if nobody was observed to the end without activity and the estimate is not yet 0: it is not known there.
    """
    time, active = (
        patients["years_observed"].to_numpy(),
        patients["ended_by_activity"].to_numpy(dtype=np.int64),
    )
    if not len(time):
        return math.nan, math.nan, math.nan, 0
    reached = int((patients["answer"] == ANSWERS[0]).sum())
    steps = count_steps(time, active)
    survival = survival_of(steps)[-1:]
    if reached == 0 and survival[0] > 0:
        return math.nan, math.nan, math.nan, 0
    error = survival * greenwood(steps)[-1:] if survival[0] > 0 else np.array([np.nan])
    lower, upper = log_log_interval(survival, error, normal_limit(ci))
    return float(survival[0]), float(lower[0]), float(upper[0]), reached


def _hidden(table: pd.DataFrame, below: int | None) -> Bools:
    """Mark the counts to hide, shape (groups, answers): the sizes of the groups and the sums over groups are known."""
    counts = table[_COUNTS].to_numpy(dtype=np.int64).T
    if len(table) == 1:
        return hidden_cells(counts, below).T
    with_sum = np.column_stack([counts, counts.sum(axis=1)])
    return hidden_cells(with_sum, below)[:, :-1].T


def activity_table(
    patients: pd.DataFrame, groups: PatientGroups, components: tuple[str, ...], *, suppress_below: int | None
) -> pd.DataFrame:
    """Return the frame of `Neda3.activity()`."""
    rows = []
    for g, name in enumerate(groups.names):
        mine = patients[groups.members(g)]
        for column, kind in seen_days(components).items():
            seen = mine[column].notna()
            first = seen & (mine[column] == mine["first_day"]).fillna(False)
            rows.append(
                {"group": name, "activity": kind, "patients": int(seen.sum()), "first": int(first.sum())}
            )
    return _small_hidden(pd.DataFrame(rows), ["patients", "first"], suppress_below)


def reason_table(
    patients: pd.DataFrame, groups: PatientGroups, *, suppress_below: int | None
) -> pd.DataFrame:
    """Return the frame of `Neda3.why_not_evaluable()`."""
    rows = []
    reasons = patients["why_not"].str.split("; ")
    for g, name in enumerate(groups.names):
        counts = reasons[groups.members(g)].explode().loc[lambda reason: reason != ""].value_counts()
        rows += [{"group": name, "reason": reason, "patients": int(n)} for reason, n in counts.items()]
    table = pd.DataFrame(rows, columns=["group", "reason", "patients"])
    return _small_hidden(table, ["patients"], suppress_below)


def _small_hidden(table: pd.DataFrame, columns: list[str], below: int | None) -> pd.DataFrame:
    """Hide small counts that overlap, so that no sum gives them away."""
    table = table.astype(dict.fromkeys(columns, "Int64"))
    if below is not None:
        for column in columns:
            table[column] = table[column].mask((table[column] > 0) & (table[column] < below))
    return table
