"""The frames of a description by time: EDSS at time points, relapses in windows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import Cohort
from trajectories.description_tables import Groups, count_frame, groups_of, hidden_sizes, number_rows, shown
from trajectories.summaries import STATISTICS, pooled_rate, summary
from trajectories.suppression import hidden_cells
from trajectories.windows import edss_at, relapse_windows

__all__ = ["edss_table", "relapse_table"]

_EDSS = ["arm", "at", "patients", "n", "missing", *STATISTICS, "suppressed"]
_RELAPSES = ["arm", "window", "start", "end", "patients", "observed", "person_years", "relapses"]
_RELAPSES += ["rate", "rate_lower", "rate_upper", "complete", "incomplete", "unobserved", "relapse_free"]
_RELAPSES += [*STATISTICS, "suppressed"]


def edss_table(cohort: Cohort, at: Sequence[float], tolerance: float, below: int | None) -> pd.DataFrame:
    """Summarise EDSS by arm at time points (years)."""
    found = edss_at(cohort, at=at, tolerance=tolerance)["edss"].to_numpy(dtype=np.float64)
    scores = found.reshape(cohort.n_patients, len(at))
    groups = groups_of(cohort)
    rows: list[dict[str, object]] = []
    for point, values in zip(at, scores.T, strict=True):
        for row in number_rows("edss", pd.Series(values), groups, below):
            rows.append({**row, "at": float(point)})
    table = count_frame(rows, _EDSS)
    return _by_arm(table, groups)


def relapse_table(cohort: Cohort, edges: Sequence[float | None], below: int | None) -> pd.DataFrame:
    """Count relapses by arm in windows: pooled over person-years, and per patient in complete windows."""
    groups = groups_of(cohort)
    if cohort.relapses_table is None or len(edges) < 2:
        return count_frame([], _RELAPSES)
    rows: list[dict[str, object]] = []
    for _, window in relapse_windows(cohort, edges=edges).groupby("window", sort=True, observed=True):
        rows += _window_rows(window.reset_index(drop=True), groups, below)
    return _by_arm(count_frame(rows, _RELAPSES), groups)


def _window_rows(window: pd.DataFrame, groups: Groups, below: int | None) -> list[dict[str, object]]:
    about = {column: window.loc[0, column] for column in ("window", "start", "end")}
    sizes = hidden_sizes(groups, below)
    states, rates = _state_cells(window, groups, below), _rate_cells(window, groups, below)
    rows: list[dict[str, object]] = []
    for k, (arm, group) in enumerate(groups.items()):
        row = {
            "arm": arm,
            **about,
            "patients": shown(int(group.sum()), bool(sizes[k])),
            **states[k],
            **rates[k],
        }
        if row["relapses"] is pd.NA:  # the mean times the patients would give the hidden count back
            row |= {"mean": np.nan, "sd": np.nan}
        counts = ("patients", "observed", "relapses", "complete", "incomplete", "unobserved", "relapse_free")
        rows.append({**row, "suppressed": any(row[column] is pd.NA for column in counts)})
    return rows


def _state_cells(window: pd.DataFrame, groups: Groups, below: int | None) -> list[dict[str, object]]:
    """Count patients by how much of the window was seen, and summarise the completely observed ones."""
    relapses = window["relapses"].to_numpy(dtype=np.float64)
    complete, seen = window["complete"].to_numpy(dtype=np.bool_), window["exposure"].to_numpy() > 0
    states = _counts([complete, seen & ~complete, ~seen], groups)
    free = _counts([complete & (relapses == 0), complete & (relapses > 0)], groups)
    hidden, hidden_free = hidden_cells(states, below), hidden_cells(free, below)[0]
    few = hidden_cells(states[:1], below)[0]
    return [
        {
            "complete": shown(int(states[0, k]), bool(hidden[0, k])),
            "incomplete": shown(int(states[1, k]), bool(hidden[1, k])),
            "unobserved": shown(int(states[2, k]), bool(hidden[2, k])),
            "observed": shown(int(states[0, k] + states[1, k]), bool(hidden[2, k])),
            "relapse_free": shown(int(free[0, k]), bool(hidden_free[k])),
            **({} if few[k] else summary(relapses[group & complete])),
        }
        for k, group in enumerate(groups.values())
    ]


def _rate_cells(window: pd.DataFrame, groups: Groups, below: int | None) -> list[dict[str, object]]:
    """Pool relapses over person-years; hidden where few relapses or few patients are behind them."""
    relapses, exposure = window["relapses"].to_numpy(dtype=np.float64), window["exposure"].to_numpy()
    events = [int(relapses[group].sum()) for group in groups.values()]
    few = hidden_cells(_counts([exposure > 0], groups), below)[0]
    hidden = few | hidden_cells([events], below)[0]
    cells: list[dict[str, object]] = []
    for k, group in enumerate(groups.values()):
        rate = (np.nan,) * 3 if hidden[k] else pooled_rate(relapses[group], exposure[group])
        cells.append(
            {
                "person_years": np.nan if few[k] else float(exposure[group].sum()),
                "relapses": shown(events[k], bool(hidden[k])),
                **dict(zip(("rate", "rate_lower", "rate_upper"), rate, strict=True)),
            }
        )
    return cells


def _counts(states: Sequence[NDArray[np.bool_]], groups: Groups) -> NDArray[np.int64]:
    """Count the patients in each state (row) and group (column)."""
    return np.array(
        [[np.sum(state & group) for group in groups.values()] for state in states], dtype=np.int64
    )


def _by_arm(table: pd.DataFrame, groups: Groups) -> pd.DataFrame:
    order = {arm: k for k, arm in enumerate(groups)}
    return table.sort_values("arm", key=lambda arm: arm.map(order), kind="stable").reset_index(drop=True)
