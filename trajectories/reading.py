"""Tables in, cohort out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from trajectories.cohort import DAYS_PER_YEAR, Cohort

__all__ = ["read_cohort"]


def read_cohort(
    visits: str | Path | pd.DataFrame,
    *,
    relapses: str | Path | pd.DataFrame | None = None,
    patients: str | Path | pd.DataFrame | None = None,
    columns: Mapping[str, str] | None = None,
    baseline_window: float = 1.0,
    name: str | None = None,
) -> Cohort:
    """Read the tables of a cohort (first version: times in `day` or `years`, or dates with `start`)."""
    names = {theirs: ours for ours, theirs in (columns or {}).items()}
    v, r, p = (_load(t, names) for t in (visits, relapses, patients))
    if p is None:
        p = pd.DataFrame({"patient": sorted(v["patient"].unique())})
    if "arm" not in p:
        p["arm"] = "all"
    if not isinstance(p["arm"].dtype, pd.CategoricalDtype) or not p["arm"].cat.ordered:
        p["arm"] = p["arm"].astype(str)
        p["arm"] = pd.Categorical(p["arm"], categories=p["arm"].unique(), ordered=True)
    if "date" in v:
        start = (
            pd.to_datetime(p.set_index("patient")["start"])
            if "start" in p
            else pd.to_datetime(v.set_index("patient")["date"]).groupby(level=0).min()
        )
    tables = []
    for t in (v, r):
        if t is None:
            tables.append(None)
            continue
        if "date" in t:
            t["day"] = (pd.to_datetime(t["date"]) - t["patient"].map(start)).dt.days
        elif "day" not in t:
            t["day"] = np.rint(t["years"] * DAYS_PER_YEAR)
        t["day"] = t["day"].astype("int64")
        if "years" not in t:
            t["years"] = t["day"] / DAYS_PER_YEAR
        t["_o"] = pd.Index(p["patient"]).get_indexer(t["patient"])
        tables.append(t.sort_values(["_o", "day"], ignore_index=True).drop(columns="_o"))
    v, r = tables
    v["edss"] = v["edss"].astype(float)
    by = v.groupby("patient")["day"]
    for key, day in (("start", by.min()), ("end", by.max())):
        explicit = p.get(f"followup_{key}")
        p[f"followup_{key}_day"] = p["patient"].map(day) if explicit is None else explicit
        p[f"followup_{key}_day"] = p[f"followup_{key}_day"].astype("int64")
    base = v[(v["day"] <= 0) & (v["day"] >= -baseline_window * DAYS_PER_YEAR)].dropna(subset="edss")
    p["edss_baseline"] = p["patient"].map(base.groupby("patient")["edss"].last())
    p["relapses_year_before"] = np.nan
    if r is not None:
        n = r[(r["day"] >= -365) & (r["day"] < 0)].groupby("patient").size()
        n = p["patient"].map(n).fillna(0).astype(float)
        p["relapses_year_before"] = n.where(p["followup_start_day"] <= -365)
    return Cohort(
        visits_table=v,
        relapses_table=r,
        patients_table=p,
        name=name or "cohort",
        index_date="Time 0 is treatment start.",
        baseline_window=baseline_window,
    )


def _load(table, names):
    if table is None:
        return None
    frame = table.copy() if isinstance(table, pd.DataFrame) else pd.read_csv(table)
    frame = frame.rename(columns=names)
    frame["patient"] = frame["patient"].astype(str)
    return frame
