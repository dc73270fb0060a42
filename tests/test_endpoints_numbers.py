"""Milestones, other scales, composites, rules side by side, and what readers of events must know about their numbers."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories import endpoints as e

sys.path.insert(0, str(Path(__file__).parent))
from endpoint_parity import as_msprog
from endpoint_registry import registry
from test_endpoints_oracle import cohort_of, random_patients

pytestmark = pytest.mark.filterwarnings("ignore::trajectories.endpoints.event_notes.EndpointWarning")
OPEN = e.Confirmed(weeks=24, tolerance=(0, math.inf))


# ---- what readers must know ----


def test_from_a_fixed_reference_others_count_steps_of_relapses_as_pira_and_one_worsening_often() -> None:
    cohort = registry(1500, seed=2)
    ours = e.disability_events(cohort, e.DisabilityRule(confirmation=OPEN)).events
    first = as_msprog(cohort, {"event": "firstPIRA", "conf_days": [168], "conf_tol_days": [0, "inf"]})
    with_pira = set(ours.loc[ours["label"] == "PIRA", "patient"])
    assert 0.15 < 1 - len(set(first["patient"]) & with_pira) / len(first) < 0.40
    assert with_pira <= set(first["patient"])
    every = as_msprog(cohort, {"event": "multiple", "conf_days": [168], "conf_tol_days": [0, "inf"]})
    assert len(every) > 1.7 * len(ours)


# ---- milestones ----


def brute_milestone(
    visits: list[tuple[int, float]], relapses: list[int], at: float, days: float, late: float
) -> Any:
    """The day it is reached and the day it is confirmed, from the definition."""
    start = [i for i, (day, _) in enumerate(visits) if -365 <= day <= 0][-1:]
    searched = start + [i for i, (day, _) in enumerate(visits) if day > 0]
    for i in searched:
        if visits[i][1] < at:
            continue
        confirming = [
            j
            for j in range(i + 1, len(visits))
            if days <= visits[j][0] - visits[i][0] <= days + late
            and not any(0 <= visits[j][0] - r < 30 for r in relapses)
        ]
        if confirming and all(visits[j][1] >= at for j in range(i, confirming[0] + 1)):
            always = all(visits[j][1] >= at for j in searched if j <= i)
            return visits[i][0], visits[confirming[0]][0], always
    return None


@pytest.mark.parametrize("seed", range(10))
def test_milestones_are_what_the_definition_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    visits, relapses = random_patients(rng, 80)
    cohort, at = cohort_of(visits, relapses), float(rng.choice([1, 4, 6, 7]))
    found = e.milestone(cohort, at).patients
    for_good = e.milestone(cohort, at, irreversible=True).patients
    for i, (seen, onsets) in enumerate(zip(visits, relapses, strict=True)):
        want = brute_milestone(seen, onsets, at, 168, 84)
        row = found.iloc[i]
        if want is None:
            assert pd.isna(row["day"])
        else:
            assert (row["day"], row["confirmed_day"]) == want[:2]
            assert row["status"] == ("reached before" if want[2] else "reached")
        recent = [k for k, (day, _) in enumerate(seen) if -365 <= day <= 0][-1:]
        begin = [*recent, *[k for k, (day, _) in enumerate(seen) if day > 0]]
        minima = [k for k in begin if k < len(seen) - 1 and min(v for _, v in seen[k:]) >= at]
        assert (None if pd.isna(for_good["day"].iloc[i]) else for_good["day"].iloc[i]) == (
            seen[minima[0]][0] if minima else None
        )


@pytest.mark.parametrize(
    ("setting", "options"),
    [
        ("s46", {"at": 6}),
        ("s47", {"at": 4.5, "weeks": 24}),
        ("s48", {"at": 6, "accept_last_visit_within": math.inf}),
        ("s49", {"at": 45, "scale": e.SDMT}),
    ],
)
def test_milestones_are_msprogs(shared_data: Path, setting: str, options: dict[str, Any]) -> None:
    folder = shared_data / "msprog_toy"
    names = {"id": "patient", "visit_day": "day", "EDSS": "edss", "SDMT": "sdmt"}
    visits, relapses = (
        pd.read_csv(folder / f"{name}.csv", dtype={"id": "str"}).rename(columns=names).drop(columns="date")
        for name in ("visits", "relapses")
    )
    confirmed = e.Confirmed(
        weeks=options.pop("weeks", 12),
        tolerance=(7, 730.5),
        accept_last_visit_within=options.pop("accept_last_visit_within", 0),
    )
    found = e.milestone(tj.read_cohort(visits, relapses=relapses), confirmation=confirmed, **options)
    [path] = (folder / "expected").glob(f"{setting}_*.csv")
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["observed"] == "TRUE"]
    want = [
        (row["id"], int(row["time2event"]), float(row["SDMT" if "SDMT" in row else "EDSS"])) for row in rows
    ]
    reached = found.patients.dropna(subset="day")
    assert list(zip(reached["patient"], reached["day"], reached["value"], strict=True)) == want


def test_the_onset_of_a_milestone_is_the_first_visit_there_though_it_could_not_be_confirmed() -> None:
    days, levels = [0, 90, 180, 400, 600], [3.0, 3.0, 4.0, 4.5, 4.5]
    visits = pd.DataFrame({"patient": "a", "day": days, "edss": levels})
    confirmed = e.Confirmed(
        weeks=24, tolerance=(0, 40)
    )  # no visit 24 to 29.7 weeks after day 180; day 600 is after day 400
    found = e.milestone(tj.read_cohort(visits), 4, confirmation=confirmed).events
    assert found[["onset_after", "onset_by", "day"]].to_numpy().tolist() == [[90, 180, 400]]


def test_times_to_milestones_and_composites_can_be_had() -> None:
    cohort = tj.simulated_three_dmts_400()
    reached = e.milestone(cohort, 4)
    assert "milestone" in str(tj.time_to(reached, kind="milestone"))  # type: ignore[arg-type]
    parts = [e.disability_events(cohort, rule) for rule in (e.TRIAL, e.CARE_MS)]
    assert "first of TRIAL or CARE_MS" in str(tj.time_to(e.first_of(parts)))  # type: ignore[arg-type]


def test_milestones_say_what_they_mean_and_refuse_what_is_none() -> None:
    cohort = cohort_of(*random_patients(np.random.default_rng(1), 30))
    text = str(e.milestone(cohort, 6, irreversible=True))
    assert "EDSS 6, irreversible" in text
    assert "every later visit" in text
    counts = e.milestone(cohort, 4).summary()
    assert (
        counts["at_risk"] + counts["reached_before"] + counts["not_evaluable"] == counts["patients"]
    ).all()
    with pytest.raises(ValueError, match=r"^at:"):
        e.milestone(cohort, 3.7)
    with pytest.raises(ValueError, match=r"^search_from:"):
        e.milestone(cohort, 6, search_from="birth")


# ---- other scales, composites ----


def scales_cohort() -> tj.Cohort:
    rows = {
        "patient": ["a"] * 4 + ["b"] * 4,
        "day": [0, 90, 270, 450] * 2,
        "edss": [2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 4.0, 4.0],
        "sdmt": [50.0, 46.0, 45.0, 45.0, 15.0, 12.0, 12.0, math.nan],
        "t25fw": [5.0, 5.9, 6.0, 6.0, 10.0, 8.0, 8.0, 8.0],
    }
    return tj.read_cohort(pd.DataFrame(rows), relapses=pd.DataFrame({"patient": [], "day": []}))


def test_other_scales_go_through_the_same_search() -> None:
    cohort = scales_cohort()
    sdmt = e.disability_events(cohort, e.DisabilityRule(worsening=e.SDMT))
    assert sdmt.events[["patient", "kind", "day"]].to_numpy().tolist() == [
        ["a", "worsening", 90],
        ["b", "worsening", 90],
    ]
    assert any("1 visits without sdmt" in note for note in sdmt.notes)
    walk = e.disability_events(cohort, e.DisabilityRule(worsening=e.T25FW)).events
    assert walk[["patient", "kind", "day"]].to_numpy().tolist() == [
        ["a", "worsening", 270],
        ["b", "improvement", 90],
    ]
    tenth = e.ScaleChange(name="walk", column="t25fw", worsening=lambda x: x / 10, improvement=100.0)
    events = e.disability_events(cohort, e.DisabilityRule(worsening=tenth)).events
    assert events[["patient", "kind", "day"]].to_numpy().tolist() == [["a", "worsening", 90]]


def test_scales_refuse_what_they_cannot_use() -> None:
    cohort = scales_cohort()
    with pytest.raises(ValueError, match=r"^column: .*no column 'pasat'"):
        e.disability_events(cohort, e.DisabilityRule(worsening=replace(e.SDMT, column="pasat")))
    with pytest.raises(ValueError, match="outside the scale"):
        e.disability_events(cohort, e.DisabilityRule(worsening=replace(e.SDMT, highest=40)))
    with pytest.raises(ValueError, match=r"^worsening: the function must return"):
        e.disability_events(cohort, e.DisabilityRule(worsening=replace(e.SDMT, worsening=lambda x: -x)))
    frame = pd.DataFrame({"patient": "a", "day": [0, 90], "edss": [2.0, 2.0], "sdmt": ["50", "many"]})
    text = tj.read_cohort(frame)
    with pytest.raises(ValueError, match="text"):
        e.disability_events(text, e.DisabilityRule(worsening=e.SDMT))


def test_a_reference_of_0_is_no_worsening_for_ever_by_a_threshold_in_percent() -> None:
    frame = pd.DataFrame({"patient": "a", "day": [0, 90, 270], "edss": 2.0, "sdmt": [0.0, 0.0, 0.0]})
    found = e.disability_events(tj.read_cohort(frame), e.DisabilityRule(worsening=e.SDMT))
    assert found.events.empty


def test_the_composite_is_the_first_of_its_components_while_all_are_watched() -> None:
    cohort = scales_cohort()
    parts = [
        e.disability_events(cohort, e.DisabilityRule(worsening=scale))
        for scale in (tj.edss.TRIAL, e.SDMT, e.T25FW)
    ]
    both = e.first_of(parts)
    assert both.events[["patient", "kind", "day", "component"]].to_numpy().tolist() == [
        ["a", "worsening", 90, "SDMT, 24 weeks, fixed"],
        ["b", "improvement", 90, "T25FW, 24 weeks, fixed"],
        ["b", "worsening", 90, "SDMT, 24 weeks, fixed"],
    ]
    last = [p.patients["last_confirmable_day"] for p in parts]
    assert both.patients["last_confirmable_day"].tolist() == [min(days) for days in zip(*last, strict=True)]
    assert "first of" in str(both)
    with pytest.raises(ValueError, match="different names"):
        e.first_of([parts[0], parts[0]])
    with pytest.raises(ValueError, match="two or more"):
        e.first_of(parts[:1])


# ---- side by side ----


def test_the_multiverse_counts_what_each_rule_finds() -> None:
    cohort = tj.simulated_three_dmts_400()
    found = e.multiverse(cohort)
    frame = found.to_frame()
    assert frame["rule"].unique().tolist() == [rule.name for rule in e.PRESETS]
    alone = e.disability_events(cohort, e.CARE_MS).summary().set_index(["arm", "kind"])
    mine = frame[(frame["rule"] == "CARE_MS") & (frame["outcome"] == "improvement")].set_index("arm")
    for arm in cohort.arms:
        assert mine.loc[arm, "eligible"] == alone.loc[(arm, "improvement"), "eligible"]
        assert mine.loc[arm, "with_event"] == alone.loc[(arm, "improvement"), "with_event"]
    text = str(found)
    assert "simulated data" in text
    assert "PORTACCIO_2025" in text
    assert "<5/" in str(e.multiverse(cohort, [e.CARE_MS], suppress_below=5))
    with pytest.raises(ValueError, match=r"^rules:"):
        e.multiverse(cohort, [e.TRIAL, e.TRIAL])


def test_the_intervals_are_wilsons() -> None:
    from scipy.stats import binomtest

    frame = e.multiverse(tj.simulated_alemtuzumab_35(), [e.TRIAL]).to_frame()
    for row in frame.itertuples():
        exact = binomtest(int(row.with_event), int(row.eligible)).proportion_ci(method="wilson")
        assert (row.lower, row.upper) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_the_figure_holds_every_rule_and_every_count() -> None:
    from trajectories.plots.multiverses import multiverse

    found = e.multiverse(tj.simulated_three_dmts_400(), [e.TRIAL, e.CARE_MS], suppress_below=2)
    figure = multiverse(found)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["TRIAL", "CARE_MS"]
    written = {text.get_text() for ax in figure.axes for text in ax.texts}
    shown = found.to_frame().query("outcome != 'RAW'")
    assert {f"{n}/{of}" for n, of in zip(shown["with_event"], shown["eligible"], strict=True)} <= written
    assert any("SIMULATED" in text.get_text() for text in figure.texts)


# ---- rules ----


def test_every_preset_prints_its_methods_with_a_source() -> None:
    for rule in e.PRESETS:
        assert rule.methods.startswith("Disability worsening and improvement")
        assert "20" in rule.methods.split("Sources:")[1]
        assert str(rule).startswith(rule.name)
    assert "52 weeks" in e.pira_rule(e.MULLER_2025).methods


def test_importing_endpoints_stays_light() -> None:
    code = (
        "import sys; from trajectories import endpoints as e; e.DisabilityRule(); e.disability_events; e.multiverse\n"
        "print([m for m in ('numba', 'scipy.stats', 'statsmodels', 'matplotlib') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_lists_of_public_names_hold_together() -> None:
    from trajectories.endpoints import _PUBLIC

    assert sorted(_PUBLIC) == sorted(e.__all__)
    assert all(getattr(e, name) is not None for name in e.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Rule'"):
        _ = e.Rule


def test_the_onset_is_before_the_first_visit_with_the_change_even_if_that_could_not_be_confirmed() -> None:
    # At day 100 EDSS is worse, but no visit lies 168 to 200 days later; that of day 310 is confirmed at 500.
    visits = pd.DataFrame({"patient": 1, "day": [0, 60, 100, 310, 500], "edss": [3.0, 3.0, 4.5, 4.5, 4.5]})
    rule = e.DisabilityRule(confirmation=e.Confirmed(weeks=24, tolerance=(0, 32)))
    event = e.disability_events(tj.read_cohort(visits), rule).events.iloc[0]
    assert (event["day"], event["confirmed_day"]) == (310, 500)
    assert (event["onset_after"], event["onset_by"]) == (60, 100)
