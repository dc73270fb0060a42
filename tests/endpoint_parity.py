"""What other programs' options are in ours: the rule and, where they fall into a trap, the numbers that reproduce it."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from trajectories import endpoints as e
from trajectories.cohort import Cohort
from trajectories.endpoints.events import event_table
from trajectories.endpoints.flat import options_of, scan_visits, usable_visits

_AFTER = {"roving": "both", "roving_impr": "improvement", "roving_wors": "worsening"}
_SMALL = {
    "none": "none",
    "change": "both",
    "event": "both",
    "improvement": "improvement",
    "worsening": "worsening",
}
_STOP = {"firstCDW": 1, "firstCDI": 2, "firstPIRA": 3, "firstRAW": 4, "first": 5, "multiple": 0}
DEFAULTS: dict[str, Any] = {
    "event": "firstCDW",
    "RAW_PIRA": False,
    "baseline": "fixed",
    "proceed_from": "firstconf",
    "sub_threshold_rebl": "none",
    "bl_geq": False,
    "relapse_rebl": False,
    "skip_local_extrema": "none",
    "conf_days": [84],
    "conf_tol_days": [7, 730.5],
    "require_sust_days": 0,
    "check_intermediate": True,
    "relapse_to_bl": 30,
    "relapse_to_event": 0,
    "relapse_to_conf": 30,
    "relapse_assoc": 90,
    "relapse_indep": None,
    "impute_last_visit": 0,
}


def msprog_rule(options: dict[str, Any], change: Any = None) -> e.DisabilityRule:
    """The rule with the parts that msprog's arguments name."""
    o = DEFAULTS | options
    pair = {k: _pair(o[k]) for k in ("relapse_to_bl", "relapse_to_event", "relapse_to_conf", "relapse_assoc")}
    first = o["event"] != "multiple"
    tolerance = o["conf_tol_days"] if isinstance(o["conf_tol_days"], list) else [o["conf_tol_days"]] * 2
    days = o["conf_days"] if isinstance(o["conf_days"], list) else [o["conf_days"]]
    confirmation = e.Confirmed(
        weeks=tuple(d / 7 for d in days) if len(days) > 1 else days[0] / 7,
        tolerance=(float(tolerance[0]), float(tolerance[1])),
        every_visit=o["check_intermediate"],
        clear_of_relapse=pair["relapse_to_conf"],
        sustained_days=float(o["require_sust_days"]),
        accept_last_visit_within=math.inf if o["impute_last_visit"] == 1 else o["impute_last_visit"],
    )
    baseline: Any = e.Fixed(clear_of_relapse=pair["relapse_to_bl"])
    if o["baseline"] != "fixed":
        after: Any = _AFTER[o["baseline"]]
        small = _SMALL[o["sub_threshold_rebl"]]
        if after != "both" and small == "both":
            small = after
        baseline = e.Roving(
            after=after,
            to="confirmation" if o["proceed_from"] == "firstconf" else "event",
            small_changes=small if after in ("both", small) else "none",  # type: ignore[arg-type]
            skip_extremes={"none": "never", "strict": "threshold", "all": "any"}[o["skip_local_extrema"]],  # type: ignore[arg-type]
            clear_of_relapse=pair["relapse_to_bl"],
        )
    if o["relapse_rebl"]:
        wait = 0 if o["event"] == "firstPIRA" else None
        baseline = e.AfterRelapse(otherwise=baseline, wait=wait, never_lower=o["bl_geq"])
    kinds: Any = {"firstCDI": ("improvement",)}.get(
        o["event"], ("worsening", "improvement") if o["event"] in ("multiple", "first") else ("worsening",)
    )
    again = (
        "event" if o["proceed_from"] == "event" or o["event"] in ("firstPIRA", "firstRAW") else "confirmation"
    )
    return e.DisabilityRule(
        **({} if change is None else {"worsening": change}),
        confirmation=confirmation,
        baseline=baseline,
        relapse_associated=e.RelapseAssociated(
            days_after=pair["relapse_assoc"][0],
            days_before=pair["relapse_assoc"][1],
            from_first_worse_visit=False,
        ),
        pira=pira(o["relapse_indep"]),
        events="first" if first else "all",
        kinds=kinds,
        event_clear_of_relapse=pair["relapse_to_event"],
        search_from="first visit",
        after_event=again,  # type: ignore[arg-type]
    )


def _pair(days: Any) -> tuple[float, float]:
    return (float(days[0]), float(days[1])) if isinstance(days, list | tuple) else (float(days), 0.0)


def pira(bounds: dict[str, Any] | None) -> e.PiraDefinition:
    """msprog's intervals around three visits: a missing end joins an interval to the next."""
    if bounds is None:
        return e.MULLER_2023
    first = {"baseline": "reference", "last": "previous visit", "last_delta": "last lower visit"}
    names: list[Any] = [first[bounds.get("prec_type", "baseline")], "event", "confirmation"]
    free, start = [], None
    for name, (before, after) in zip(names, (bounds["prec"], bounds["event"], bounds["conf"]), strict=True):
        if before is not None:
            start = (name, before)
        if after is not None:
            assert start is not None
            free.append(e.RelapseFree(start=start[0], days_before=start[1], end=name, days_after=after))
    return e.PiraDefinition(name="msprog", citation="", relapse_free=tuple(free))


def as_msprog(cohort: Cohort, options: dict[str, Any], change: Any = None) -> pd.DataFrame:
    """The events as msprog finds them, its traps included: a rule alone where it has none, and numbers for the rest."""
    o = DEFAULTS | options
    rule = msprog_rule(options, change)
    moves_on_better = o["baseline"] in ("roving", "roving_impr")
    worse_only = o["event"] in ("firstCDW", "firstPIRA", "firstRAW")
    numbers = options_of(rule, cohort.baseline_window)._replace(
        lazy=True,
        stop_at=_STOP[o["event"]],
        ignore_better=worse_only and not moves_on_better,
        small_worse=o["sub_threshold_rebl"] in ("change", "event", "worsening"),
        small_better=o["sub_threshold_rebl"] in ("change", "event", "improvement"),
    )
    visits = usable_visits(cohort, rule.worsening, rule.column, False)
    table = event_table(cohort, rule, visits, scan_visits(cohort, rule, visits, numbers))
    if o["event"] in ("firstPIRA", "firstRAW"):
        table = table[table["label"] == o["event"].removeprefix("first")]
    if o["event"] != "multiple":
        table = table.drop_duplicates("patient")
    return table.reset_index(drop=True)
