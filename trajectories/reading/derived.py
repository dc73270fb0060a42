"""What follows from the tables: their order, merged relapses, baseline EDSS, relapses in the year before."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import DAYS_PER_YEAR
from trajectories.reading.events import Events
from trajectories.reading.timeline import Timeline
from trajectories.reading.treatments import lay_out
from trajectories.reading.values import Parsed
from trajectories.tables import STANDARD_COLUMNS

__all__ = ["RELAPSE_GAP", "Derived", "derive"]

type FloatArray = NDArray[np.float64]
type IntArray = NDArray[np.int64]

RELAPSE_GAP = 30
"""Onsets fewer days apart than this are one relapse."""


@dataclass(frozen=True, kw_only=True)
class Derived:
    """The tables of a cohort.

    Parameters
    ----------
    visits, relapses, patients, treatments, mri, adverse_events
        As in `Cohort`.
    visit_owner, relapse_owner
        Position of the patient of each row in patients.
    merged
        How many relapse onsets were merged into an earlier one.
    """

    visits: pd.DataFrame
    relapses: pd.DataFrame | None
    patients: pd.DataFrame
    visit_owner: IntArray
    relapse_owner: IntArray
    merged: int
    treatments: pd.DataFrame | None
    mri: pd.DataFrame | None
    adverse_events: pd.DataFrame | None


def derive(patients: Parsed, timeline: Timeline, baseline_window: float) -> Derived:
    """Lay out the tables of the cohort and compute what follows from them."""
    visits, visit_owner = _ordered(timeline.visits)
    relapses, relapse_owner, merged = None, np.zeros(0, dtype=np.int64), 0
    if timeline.relapses is not None:
        relapses, relapse_owner = _ordered(timeline.relapses)
        kept = _first_of_each_relapse(relapse_owner, relapses["day"].to_numpy())
        relapses, relapse_owner = relapses[kept].reset_index(drop=True), relapse_owner[kept]
        merged = int((~kept).sum())
    n = len(patients.frame)
    baseline = _baseline(visits, visit_owner, n, baseline_window)
    before = np.full(n, np.nan) if relapses is None else _year_before(timeline, relapses, relapse_owner)
    return Derived(
        visits=visits,
        relapses=relapses,
        patients=_patients(patients.frame, timeline, baseline, before),
        visit_owner=visit_owner,
        relapse_owner=relapse_owner,
        merged=merged,
        treatments=None if timeline.courses is None else lay_out(timeline.courses),
        mri=None if timeline.mri is None else _ordered(timeline.mri)[0],
        adverse_events=None if timeline.adverse_events is None else _ordered(timeline.adverse_events)[0],
    )


def _ordered(events: Events) -> tuple[pd.DataFrame, IntArray]:
    """Lay out the columns and sort by patient and time; ties by content, so that no row order matters."""
    frame = events.parsed.frame.assign(day=events.day, years=events.years)
    standard = [c for c in STANDARD_COLUMNS[events.parsed.table.name] if c in frame]
    first = list(dict.fromkeys(["patient", "day", "years", *standard]))
    frame = frame[first + [c for c in frame.columns if c not in first]]
    keys = pd.DataFrame({"owner": events.owner, "day": events.day, "years": events.years})
    tied = keys.duplicated(keep=False).to_numpy()
    keys["content"] = ""
    keys.loc[tied, "content"] = ["\x1f".join(map(str, row)) for row in frame[tied].to_numpy(dtype=object)]
    order = keys.sort_values(list(keys.columns)).index.to_numpy()
    return frame.iloc[order].reset_index(drop=True), events.owner[order]


def _first_of_each_relapse(owner: IntArray, day: IntArray) -> NDArray[np.bool_]:
    """Keep onsets at least 30 days after the previous onset kept of the same patient; rows are sorted."""
    kept = np.ones(len(day), dtype=bool)
    close = (owner[1:] == owner[:-1]) & (day[1:] - day[:-1] < RELAPSE_GAP)
    last = 0
    for i in (
        np.flatnonzero(close) + 1
    ).tolist():  # an onset far from its predecessor is far from all earlier ones
        last = i - 1 if kept[i - 1] else last
        kept[i] = day[i] - day[last] >= RELAPSE_GAP
    return kept


def _baseline(visits: pd.DataFrame, owner: IntArray, n_patients: int, window: float) -> FloatArray:
    day, edss = visits["day"].to_numpy(), visits["edss"].to_numpy()
    usable = (day <= 0) & (day >= -math.floor(window * DAYS_PER_YEAR)) & ~np.isnan(edss)
    baseline = np.full(n_patients, np.nan)
    baseline[owner[usable]] = edss[usable]  # in order of time: the last one stays
    return baseline


def _year_before(timeline: Timeline, relapses: pd.DataFrame, owner: IntArray) -> FloatArray:
    year = round(DAYS_PER_YEAR)
    inside = relapses["day"].between(-year, -1).to_numpy()
    counts = np.bincount(owner[inside], minlength=len(timeline.followup_start)).astype(np.float64)
    covered = (timeline.followup_start <= -year) & (timeline.followup_end >= -1)
    return np.where(covered, counts, np.nan)


def _patients(
    frame: pd.DataFrame, timeline: Timeline, baseline: FloatArray, before: FloatArray
) -> pd.DataFrame:
    arm = frame["arm"] if "arm" in frame else pd.Series(pd.Categorical(["all"] * len(frame), ordered=True))
    key = pd.DataFrame(
        {
            "patient": frame["patient"],
            "arm": arm,
            "followup_start_day": timeline.followup_start,
            "followup_end_day": timeline.followup_end,
        }
    )
    covariates = frame.drop(columns=["patient", "arm", "followup_start", "followup_end"], errors="ignore")
    return pd.concat([key, covariates], axis="columns").assign(
        edss_baseline=baseline, relapses_year_before=before
    )
