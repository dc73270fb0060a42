"""Our events against pymsprog's on simulated patients under 300 sets of options; reference/PARITY_PYMSPROG.md says why they differ."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from functools import cache
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from trajectories.cohort import Cohort
from trajectories.endpoints.events import event_table
from trajectories.endpoints.flat import options_of, scan_visits, usable_visits
from trajectories.reading import read_cohort

sys.path.insert(0, str(Path(__file__).parent))
from endpoint_parity import DEFAULTS, as_msprog, msprog_rule

REFERENCE = Path(__file__).parent / "reference"

type Rows = dict[int, list[tuple[object, ...]]]

TRAPS = ("earlier relapses", "recounts", "late label", "lazy reference")
"""What pymsprog does and we do not: the parts of PARITY_PYMSPROG.md."""

EXPECTED = {
    "the same": 27066,
    "recounts": 2124,
    "recounts, late label": 416,
    "late label": 176,
    "earlier relapses": 113,
    "earlier relapses, recounts": 21,
    "lazy reference": 7,
    "recounts, lazy reference": 2,
    "recounts, late label, lazy reference": 1,
}
"""Patients under an option set by the smallest set of traps that makes our answer pymsprog's."""


@cache
def recorded() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    names = ("visits.csv.gz", "relapses.csv.gz", "options.csv", "events.csv.gz")
    visits, relapses, options, events = (pd.read_csv(REFERENCE / f"pymsprog_{name}") for name in names)
    return visits, relapses, options, events


@cache
def cohort(first: int, last: int, relapses_from: float | None = None) -> Cohort:
    visits, relapses, _, _ = recorded()
    onsets = relapses[relapses["patient"].between(first, last)]
    if relapses_from is not None:
        onsets = onsets[onsets["day"] >= relapses_from]
    return read_cohort(
        visits[visits["patient"].between(first, last)],
        relapses=onsets,
        patients=pd.DataFrame({"patient": range(first, last + 1)}),
    )


def labelled(options: dict[str, Any]) -> bool:
    event = options["event"]
    return event != "firstCDI" and (options["RAW_PIRA"] or event in ("firstPIRA", "firstRAW"))


def by_patient(frame: pd.DataFrame) -> Rows:
    rows: Rows = {}
    for patient, *event in frame.itertuples(index=False):
        rows.setdefault(int(patient), []).append(tuple(None if pd.isna(x) else x for x in event))
    return rows


def theirs(number: int, options: dict[str, Any]) -> Rows:
    events = recorded()[3]
    e = events[events["option"] == number]
    frame = pd.DataFrame(
        {"patient": e["patient"], "kind": e["event_type"].map({"CDW": "worsening", "CDI": "improvement"})}
    )
    frame[["from", "from_value", "day", "value"]] = e[["bl_day", "bl_value", "day", "value"]]
    frame[[f"confirmed_{d}" for d in options["conf_days"]]] = e[
        [f"conf{d}_day" for d in options["conf_days"]]
    ]
    frame[["sustained_days", "sustained"]] = e[["sust_days", "sust_last"]]
    if labelled(options):
        frame["label"], frame["pira"] = e["label"], e[["pira84_day", "pira168_day"]].min(axis=1)
    return by_patient(frame)


def ours(found: pd.DataFrame, options: dict[str, Any]) -> Rows:
    columns = ["patient", "kind", "reference_day", "reference_value", "day", "value"]
    days = options["conf_days"]
    columns += ["confirmed_day"] if len(days) == 1 else [f"confirmed_day_{d / 7:g}_weeks" for d in days]
    columns += ["sustained_days", "sustained"] + (
        ["label", "pira_confirmed_day"] if labelled(options) else []
    )
    return by_patient(found[columns])


def runs() -> list[tuple[int, dict[str, Any], tuple[int, int], list[int]]]:
    """Number, options, and block of patients of each run; the patients under it that did not crash pymsprog."""
    result = []
    for run in recorded()[2].fillna({"crashed": ""}).itertuples():
        crashed = set(map(int, run.crashed.split()))
        patients = [p for p in range(run.first_patient, run.last_patient + 1) if p not in crashed]
        result.append((run.option, json.loads(run.options), (run.first_patient, run.last_patient), patients))
    return result


def differing(one: Rows, other: Rows, patients: list[int]) -> set[int]:
    return {p for p in patients if one.get(p) != other.get(p)}


def test_the_recorded_runs_are_hundreds_of_option_sets_on_thousands_of_patients() -> None:
    visits, relapses, options, events = recorded()
    assert visits["patient"].nunique() == 3000
    assert len(options) == 300
    assert len(set(options["options"])) > 290
    assert len(events) > 20_000
    assert 0.08 < relapses.groupby("patient")["day"].min().lt(0).sum() / 3000 < 0.15
    assert {json.loads(o)["event"] for o in options["options"]} == {
        "multiple", "first", "firstCDW", "firstCDI", "firstPIRA", "firstRAW",
    }  # fmt: skip
    assert (
        len(runs()) * 100 - sum(len(patients) for *_, patients in runs()) == 74
    )  # crashes, explained in the page


def test_with_its_traps_switched_on_our_search_finds_exactly_what_pymsprog_finds() -> None:
    wrong = []
    for number, options, (first, last), patients in runs():
        before = options["relapse_to_bl"][
            0
        ]  # it forgets relapses longer before the first visit, which is on day 0
        found = as_msprog(cohort(first, last, -before), options)
        wrong += [(number, p) for p in differing(ours(found, options), theirs(number, options), patients)]
    assert wrong == []


def own_search(block: tuple[int, int], options: dict[str, Any], traps: tuple[str, ...]) -> pd.DataFrame:
    """What our search finds for the question that the options ask, with some of pymsprog's traps switched on."""
    asked = msprog_rule(options)
    rule = replace(
        asked,
        after_event="over",
        search_from="index date",
        relapse_associated=replace(asked.relapse_associated, from_first_worse_visit=True),
        events="all",
        kinds=("worsening", "improvement"),
    )
    here = cohort(*block, -options["relapse_to_bl"][0] if "earlier relapses" in traps else None)
    numbers, trapped = (options_of(r, here.baseline_window) for r in (rule, asked))
    switches = {
        "recounts": {"search_again": trapped.search_again},
        "late label": {"raw_from_onset": False},
        "lazy reference": {"lazy": True},
    }
    for trap in traps:
        numbers = numbers._replace(**switches.get(trap, {}))
    visits = usable_visits(here, rule.worsening, rule.column, False)
    found = event_table(here, rule, visits, scan_visits(here, rule, visits, numbers))
    event = (DEFAULTS | options)["event"]
    if event in ("firstCDW", "firstCDI"):
        found = found[found["kind"] == {"firstCDW": "worsening", "firstCDI": "improvement"}[event]]
    elif event in ("firstPIRA", "firstRAW"):
        found = found[found["label"] == event.removeprefix("first")]
    return found if event == "multiple" else found.drop_duplicates("patient")


@pytest.fixture(scope="module")
def causes() -> dict[str, list[tuple[int, int]]]:
    """Patients under an option set by the smallest set of traps that makes our answer pymsprog's."""
    found: dict[str, list[tuple[int, int]]] = {}
    for number, options, block, patients in runs():
        left, want = set(patients), theirs(number, options)
        for traps in chain.from_iterable(combinations(TRAPS, size) for size in range(len(TRAPS) + 1)):
            if not left:
                break
            rest = differing(ours(own_search(block, options, traps), options), want, sorted(left))
            found.setdefault(", ".join(traps) or "the same", []).extend((number, p) for p in left - rest)
            left = rest
        found.setdefault("unexplained", []).extend((number, p) for p in left)
    return found


def test_every_difference_of_our_own_search_has_a_named_cause(
    causes: dict[str, list[tuple[int, int]]],
) -> None:
    assert causes["unexplained"] == []
    assert {cause: len(cases) for cause, cases in causes.items() if cases} == EXPECTED


def test_each_cause_appears_only_where_its_trap_can(causes: dict[str, list[tuple[int, int]]]) -> None:
    relapses = recorded()[1]
    early = set(relapses.loc[relapses["day"] < 0, "patient"])
    options = {number: o for number, o, *_ in runs()}
    for cause, cases in causes.items():
        for number, patient in cases:
            asked = options[number]
            if "recounts" in cause:  # only where some kind of event leaves the reference where it was
                assert asked["baseline"] != "roving" or asked["relapse_rebl"]
            if "label" in cause:
                assert labelled(asked)
            if "earlier" in cause:
                assert patient in early
            if "lazy" in cause:
                assert asked["relapse_rebl"]
