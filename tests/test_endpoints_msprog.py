"""The events that R's msprog 1.0.0 finds in its example patients, setting by setting (PARITY.md lists them)."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories import endpoints as e
from trajectories.cohort import Cohort

sys.path.insert(0, str(Path(__file__).parent))
from endpoint_parity import as_msprog, msprog_rule

MS = {"event": "multiple"}
R = {**MS, "baseline": "roving"}
P = {**R, "RAW_PIRA": True}


def bounds(
    p0: Any, p1: Any, e0: Any, e1: Any, c0: Any, c1: Any, prec_type: str = "baseline"
) -> dict[str, Any]:
    return {"prec": [p0, p1], "event": [e0, e1], "conf": [c0, c1], "prec_type": prec_type}


KAPPOS = bounds(0, None, None, 30, 30, 30)
SETTINGS: dict[str, dict[str, Any]] = {
    "s01": {},
    "s02": {"conf_tol_days": [30, 30]},
    "s03": {"conf_days": [168], "conf_tol_days": [30, 30]},
    "s04": {"conf_days": [84, 168], "conf_tol_days": [0, "inf"]},
    "s05": MS,
    "s06": R,
    "s07": P,
    "s08": {"event": "firstPIRA"},
    "s09": {"event": "firstPIRA", "baseline": "roving"},
    "s10": {"event": "firstPIRA", "baseline": "roving_wors"},
    "s11": {"event": "firstRAW", "baseline": "roving"},
    "s12": {"event": "firstCDI"},
    "s13": {"event": "first", "baseline": "roving"},
    "s14": {"baseline": "roving_impr"},
    "s15": {**R, "proceed_from": "event"},
    "s16": {**R, "sub_threshold_rebl": "change"},
    "s17": {"baseline": "roving_impr", "sub_threshold_rebl": "improvement"},
    "s18": {**R, "sub_threshold_rebl": "worsening"},
    "s19": {"event": "firstPIRA", "relapse_rebl": True, "bl_geq": True, "relapse_indep": KAPPOS},
    "s20": {"event": "firstPIRA", "relapse_rebl": True, "relapse_indep": KAPPOS},
    "s21": {**P, "relapse_rebl": True},
    "s22": {**P, "relapse_indep": bounds(0, None, None, None, None, 0)},
    "s23": {**P, "relapse_indep": bounds(0, 0, 90, None, None, 0)},
    "s24": {**P, "relapse_indep": bounds(0, None, None, 0, 30, 0, "last")},
    "s25": {**P, "relapse_indep": bounds(0, None, None, 0, 30, 0, "last_delta")},
    "s26": {**P, "relapse_to_event": 30},
    "s27": {**P, "relapse_to_bl": [30, 30], "relapse_to_conf": [30, 30]},
    "s28": {**P, "relapse_to_bl": 0, "relapse_to_conf": 0, "relapse_to_event": 0},
    "s29": {**P, "relapse_assoc": [90, 30]},
    "s30": {**R, "require_sust_days": 180},
    "s31": {**R, "require_sust_days": "inf"},
    "s32": {**R, "check_intermediate": False},
    "s33": {"impute_last_visit": 1},
    "s34": {"impute_last_visit": 600},
    "s35": {**R, "skip_local_extrema": "strict"},
    "s36": {**R, "skip_local_extrema": "all"},
    "s37": R,
    "s38": {**R, "conf_days": [56], "conf_tol_days": [14, 14]},
    "s39": {**R, "conf_days": [336], "conf_tol_days": [60, 60]},
    "s40": {},
    "s41": P,
    "s42": R,
    "s43": {**R, "sub_threshold_rebl": "improvement"},
    "s44": P,
    "s45": P,
    "s51": {
        **P,
        "conf_days": [168],
        "conf_tol_days": [30, 90],
        "sub_threshold_rebl": "change",
        "require_sust_days": 168,
    },
}
OPERA = tj.edss.ChangeRule(
    name="OPERA",
    citation="",
    worsening=((0, 1.5), (1, 1.0), (6, 0.5)),
    improvement=((0, 1.5), (1, 1.0), (6, 0.5)),
)
SMALL_SDMT = e.ScaleChange(
    name="SDMT", column="sdmt", worsening=lambda x: np.minimum(x / 10, 3), higher_is_worse=False
)
CHANGES = {"s40": e.SDMT, "s41": e.SDMT, "s42": SMALL_SDMT, "s43": e.SDMT, "s44": OPERA}
RECOUNTS = {"s05"}  # settings whose recorded events count one sustained worsening repeatedly


@pytest.fixture(scope="module")
def toy(shared_data: Path) -> tuple[Path, pd.DataFrame, pd.DataFrame]:
    folder = shared_data / "msprog_toy"
    names = {"id": "patient", "visit_day": "day", "EDSS": "edss", "SDMT": "sdmt"}
    visits = pd.read_csv(folder / "visits.csv", dtype={"id": str}).rename(columns=names)
    relapses = pd.read_csv(folder / "relapses.csv", dtype={"id": str}).rename(columns=names)
    return folder, visits, relapses


def toy_cohort(toy: tuple[Path, pd.DataFrame, pd.DataFrame], relapses: bool = True) -> Cohort:
    _, visits, onsets = toy
    return tj.read_cohort(
        visits.drop(columns="date"), relapses=onsets.drop(columns="date") if relapses else None
    )


def recorded(toy: tuple[Path, pd.DataFrame, pd.DataFrame], setting: str) -> pd.DataFrame:
    """What msprog returned, on our time axis and in our columns."""
    folder, visits, _ = toy
    [path] = (folder / "expected").glob(f"{setting}_*.results.csv")
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["event_type"]]
    starts = visits.groupby("patient")["date"].min().map(pd.Timestamp)

    def day(row: dict[str, str], column: str) -> int | None:
        if row.get(column, "NA") == "NA":
            return None
        if "-" not in row[column]:
            return int(row[column])
        return int((pd.Timestamp(row[column]) - starts[row["id"]]).days)

    def value(row: dict[str, str], column: str) -> float | None:
        return None if row.get(column, "NA") == "NA" else float(row[column])

    conf = [c for c in rows[0] if c.startswith("conf")]
    days = sorted({int(c[4:].split("_")[0]) for c in conf})
    out = []
    for row in rows:
        confirmed = [(day(row, f"conf{d}_date"), value(row, f"conf{d}_value")) for d in days]
        first = min((c for c in confirmed if c[0] is not None), default=(None, None))
        out.append(
            {
                "patient": row["id"],
                "kind": {"CDW": "worsening", "CDI": "improvement"}[row["event_type"]],
                "reference_day": day(row, "bl_date"),
                "reference_value": value(row, "bl_value"),
                "day": day(row, "date"),
                "value": value(row, "value"),
                "confirmed_day": first[0],
                "confirmed_value": first[1],
                "sustained_days": int(row["sust_days"]),
                "sustained": row["sust_last"] == "TRUE",
                "label": row.get("CDW_type", "") or None,
                "pira_confirmed_day": day(row, f"PIRA_conf{days[0]}_date"),
                **(
                    {f"confirmed_day_{d / 7:g}_weeks": c[0] for d, c in zip(days, confirmed, strict=True)}
                    if len(days) > 1
                    else {}
                ),
            }
        )
    return pd.DataFrame(out)


def comparable(frame: pd.DataFrame, columns: pd.Index, labelled: bool) -> str:
    """Rows as text, so that missing values of all kinds are equal."""
    shown = frame[list(columns)].astype(object)
    shown = shown.where(shown.notna(), None)
    if not labelled:
        shown = shown.drop(columns=["label", "pira_confirmed_day"])
    return json.dumps(
        [
            [
                None
                if v is None
                else str(float(v))
                if isinstance(v, int | float) and not isinstance(v, bool)
                else str(v)
                for v in row
            ]
            for row in shown.to_numpy(dtype=object).tolist()
        ],
        indent=0,
    )


@pytest.mark.parametrize("setting", sorted(SETTINGS))
def test_the_events_are_msprogs(toy: tuple[Path, pd.DataFrame, pd.DataFrame], setting: str) -> None:
    options = SETTINGS[setting]
    labelled = options.get("RAW_PIRA", False) or options.get("event") in ("firstPIRA", "firstRAW")
    found = as_msprog(toy_cohort(toy, relapses=setting != "s37"), options, CHANGES.get(setting))
    want = recorded(toy, setting)
    assert comparable(found, want.columns, labelled) == comparable(want, want.columns, labelled)


@pytest.mark.filterwarnings("ignore::trajectories.endpoints.event_notes.EndpointWarning")
@pytest.mark.parametrize("setting", sorted(set(SETTINGS) - RECOUNTS))
def test_our_own_search_finds_the_same_where_there_is_no_trap(
    toy: tuple[Path, pd.DataFrame, pd.DataFrame], setting: str
) -> None:
    options = SETTINGS[setting]
    event = options.get("event", "firstCDW")
    rule = replace(
        msprog_rule(options, CHANGES.get(setting)),
        after_event="over",
        relapse_associated=replace(msprog_rule(options).relapse_associated, from_first_worse_visit=True),
        search_from="index date",
        events="all" if event in ("multiple", "firstPIRA", "firstRAW", "first") else "first",
    )
    found = e.disability_events(toy_cohort(toy, relapses=setting != "s37"), rule).events
    if event in ("firstPIRA", "firstRAW"):
        found = found[found["label"] == event.removeprefix("first")]
    if event != "multiple":
        found = found.drop_duplicates("patient")
    labelled = options.get("RAW_PIRA", False) or event in ("firstPIRA", "firstRAW")
    want = recorded(toy, setting)
    assert comparable(found, want.columns, labelled) == comparable(want, want.columns, labelled)
