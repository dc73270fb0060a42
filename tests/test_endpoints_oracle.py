"""The compiled scan against the definitions in plain Python, on random patients and rules."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories import edss
from trajectories import endpoints as e

sys.path.insert(0, str(Path(__file__).parent))
from endpoint_oracle import Patient

COLUMNS = [
    "kind", "reference_day", "reference_value", "day", "value", "confirmed_day", "onset_after", "label",
    "sustained_days",
]  # fmt: skip


def random_rule(rng: np.random.Generator) -> e.DisabilityRule:
    def one(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    fixed = e.Fixed(clear_of_relapse=one(0, 30, 90, (30, 30)))
    roving = e.Roving(
        after=one("both", "worsening", "improvement"),
        to=one("confirmation", "event", "lowest"),
        clear_of_relapse=one(0, 30, 90),
    )
    inner = one(fixed, roving)
    return e.DisabilityRule(
        worsening=one(edss.TRIAL, edss.MSBASE, edss.CARE_MS),
        improvement=one(None, edss.CARE_MS, edss.MSBASE),
        confirmation=e.Confirmed(
            weeks=one(12, 24, (12, 24)),
            tolerance=one((0, math.inf), (0, 84), (30, 30), (7, 730)),
            every_visit=bool(rng.random() < 0.85),
            clear_of_relapse=one(0, 30, (30, 30)),
            sustained_days=one(0, 0, 0, 180, math.inf),
        ),
        baseline=one(inner, inner, e.AfterRelapse(otherwise=inner, wait=one(None, 0, 30))),
        relapse_associated=e.RelapseAssociated(
            days_after=one(30, 90), days_before=one(0, 30), from_first_worse_visit=bool(rng.random() < 0.8)
        ),
        pira=one(*e.PIRA_PRESETS),
        event_clear_of_relapse=one(0, 0, 30),
    )


def random_patients(rng: np.random.Generator, n: int) -> tuple[list[Any], list[Any]]:
    visits, relapses = [], []
    for _ in range(n):
        k = int(rng.integers(1, 16))
        gaps = rng.choice([7, 28, 30, 42, 84, 85, 91, 120, 168, 180, 400], size=k)
        day = np.cumsum(gaps) - gaps[0] - rng.choice([0, 0, 0, 30, 300, 500])
        walk = np.cumsum(rng.integers(-2, 3, size=k)) + rng.integers(0, 14)
        visits.append(
            [(int(d), float(v)) for d, v in zip(day, edss.level(np.clip(walk, 0, 19)), strict=True)]
        )
        onsets: list[int] = []
        for onset in sorted(rng.integers(day[0] - 100, day[-1] + 50, size=rng.poisson(1.5))):
            if not onsets or onset - onsets[-1] >= 30:
                onsets.append(int(onset))
        relapses.append(onsets)
    return visits, relapses


def cohort_of(visits: list[Any], relapses: list[Any]) -> tj.Cohort:
    rows = [(f"p{i:04d}", day, value) for i, mine in enumerate(visits) for day, value in mine]
    onsets = [(f"p{i:04d}", day) for i, mine in enumerate(relapses) for day in mine]
    return tj.read_cohort(
        pd.DataFrame(rows, columns=["patient", "day", "edss"]),
        relapses=pd.DataFrame(onsets, columns=["patient", "day"]).astype({"day": "int64"}),
    )


@pytest.mark.filterwarnings("ignore::trajectories.endpoints.event_notes.EndpointWarning")
@pytest.mark.parametrize("seed", range(60))
def test_the_scan_finds_what_the_definitions_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rule = random_rule(rng)
    visits, relapses = random_patients(rng, 60)
    found = e.disability_events(cohort_of(visits, relapses), rule)
    mine = {patient: rows for patient, rows in found.events.groupby("patient")}  # noqa: C416 (dict() asks a groupby for keys)
    for i, (seen, onsets) in enumerate(zip(visits, relapses, strict=True)):
        patient = Patient(seen, onsets, rule)
        want = [[getattr(event, c) for c in COLUMNS] for event in patient.events()]
        got = mine.get(f"p{i:04d}")
        rows = (
            []
            if got is None
            else got[COLUMNS].astype(object).where(got[COLUMNS].notna(), None).to_numpy().tolist()
        )
        assert rows == want, (seen, onsets, rule)
        last = found.patients["last_confirmable_day"].iloc[i]
        assert (None if pd.isna(last) else last) == patient.last_confirmable(), (seen, onsets, rule)
