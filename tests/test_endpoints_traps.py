"""The traps that other programs fall into, one test each, and what must not change what is found."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trajectories as tj
from trajectories import edss
from trajectories import endpoints as e

sys.path.insert(0, str(Path(__file__).parent))
from test_endpoints_oracle import cohort_of, random_patients, random_rule

pytestmark = pytest.mark.filterwarnings("ignore::trajectories.endpoints.event_notes.EndpointWarning")

OPEN = e.Confirmed(weeks=24, tolerance=(0, math.inf))
TRIAL = e.DisabilityRule(confirmation=OPEN)


def one(visits: list[tuple[int, float]], relapses: list[int] | None = None, **columns: Any) -> tj.Cohort:
    frame = pd.DataFrame(visits, columns=["day", "edss"]).assign(patient="a", **columns)
    onsets = (
        None
        if relapses is None
        else pd.DataFrame({"patient": "a", "day": relapses}, columns=["patient", "day"])
    )
    return tj.read_cohort(frame, relapses=onsets)


def found(cohort: tj.Cohort, rule: e.DisabilityRule = TRIAL, *columns: str) -> list[Any]:
    events = e.disability_events(cohort, rule).events
    chosen = events[list(columns or ("kind", "day", "label"))].astype(object)
    return chosen.where(chosen.notna(), None).to_numpy().tolist()


QUARTERS = [91 * quarter for quarter in range(12)]


def test_a_permanent_step_of_a_relapse_is_no_pira_when_the_window_is_over() -> None:
    course = [(day, 2.0 if day < 182 else 3.5) for day in QUARTERS]
    assert found(one(course, [150])) == [["worsening", 182, "RAW"]]


def test_a_step_of_a_relapse_that_only_a_later_visit_can_have_confirmed_stays_raw() -> None:
    # The step is seen 40 days after the relapse; nothing 168 to 252 days later confirms it, but a visit confirms day 300.
    cohort = one([(0, 2.0), (100, 3.5), (300, 3.5), (480, 3.5)], [60])
    rule = e.DisabilityRule(confirmation=e.Confirmed(weeks=24, tolerance=(0, 20)))
    assert found(cohort, rule) == [["worsening", 300, "RAW"]]
    by_the_event = replace(rule, relapse_associated=e.RelapseAssociated(from_first_worse_visit=False))
    assert found(cohort, by_the_event) == [["worsening", 300, "PIRA"]]


def test_one_sustained_worsening_from_a_fixed_reference_is_one_event() -> None:
    cohort = one([(day, 2.0 if day < 182 else 3.5) for day in QUARTERS], [])
    assert found(cohort) == [["worsening", 182, "PIRA"]]
    again = found(cohort, replace(TRIAL, after_event="confirmation"))
    assert len(again) == 3  # what other programs count


def test_worsening_after_the_first_is_over_is_a_second_event() -> None:
    values = [2.0, 2.0, 3.0, 3.0, 3.0, 2.0, 2.0, 3.5, 3.5, 3.5, 3.5, 3.5]
    assert found(one(list(zip(QUARTERS, values, strict=True)), [])) == [
        ["worsening", 182, "PIRA"],
        ["worsening", 637, "PIRA"],
    ]


def test_a_relapse_before_the_first_visit_counts() -> None:
    course = [(0, 2.0), (30, 3.0), (120, 3.0), (240, 3.0)]
    assert found(one(course, [-45])) == [["worsening", 30, "RAW"]]
    assert found(one(course, [-60])) == [["worsening", 30, "RAW"]]  # 90 days
    assert found(one(course, [-61])) == [["worsening", 30, "PIRA"]]


def test_the_order_of_relapses_does_not_matter() -> None:
    course = [(day, 2.0 if day < 182 else 3.5) for day in QUARTERS]
    orders = [[150, 400, 700], [700, 400, 150], [400, 700, 150]]
    assert len({str(found(one(course, order))) for order in orders}) == 1


def test_ids_that_are_numbers_in_one_table_and_text_in_the_other_are_the_same_patients() -> None:
    visits = pd.DataFrame({"patient": 7, "day": [0, 91, 182, 273], "edss": [2.0, 3.0, 3.0, 3.0]})
    relapses = pd.DataFrame({"patient": ["7"], "day": [80]})
    assert found(tj.read_cohort(visits, relapses=relapses)) == [["worsening", 91, "RAW"]]


@pytest.mark.parametrize("value", [0.5, 3.7, 99])
def test_values_off_the_scale_are_refused(value: float) -> None:
    with pytest.raises(tj.CohortError, match="not on the EDSS scale"):
        one([(0, 2.0), (91, value)])


def test_two_visits_on_a_day_are_refused_not_chosen_from() -> None:
    with pytest.raises(tj.CohortError, match="there twice"):
        one([(0, 2.0), (91, 3.0), (91, 4.0)])


def test_dates_are_not_read_in_the_wrong_order() -> None:
    visits = pd.DataFrame(
        {"patient": "a", "date": ["01/02/2020", "03/04/2020", "05/06/2020"], "edss": [2.0, 3.0, 3.0]}
    )
    with pytest.raises(tj.CohortError, match="date"):
        tj.read_cohort(visits)


def test_confirmation_does_not_come_years_later_unless_asked_for() -> None:
    cohort = one([(0, 2.0), (91, 3.0), (1000, 3.0)], [])
    default = e.disability_events(cohort, e.DisabilityRule(confirmation=e.Confirmed(weeks=12)))
    assert default.events.empty
    assert default.not_confirmed["reason"].tolist() == [
        "no visit 84 to 168 days later",
        "at the last visit: no later visit to confirm it",
    ]
    assert "at most 84 days later" in default.rule.methods
    assert found(cohort) == [["worsening", 91, "PIRA"]]
    assert "any later visit" in TRIAL.methods


def test_nothing_happens_before_time_0() -> None:
    # Before the index date the patient got worse for good: that is the reference, and no event.
    cohort = one([(-365, 2.0), (-180, 4.0), (-10, 4.0), (180, 4.0), (360, 4.0)], [])
    assert found(cohort) == []
    assert found(cohort, replace(TRIAL, search_from="first visit"), "day") == [[-180]]


def test_the_reference_is_the_last_visit_before_time_0_clear_of_relapses() -> None:
    course = [(-100, 2.0), (-5, 4.0), (90, 3.0), (180, 3.0), (270, 3.0)]
    assert found(one(course, [-20]), TRIAL, "reference_day", "day") == [[-100, 90]]
    ninety = replace(TRIAL, baseline=e.Fixed(clear_of_relapse=90))
    assert found(one(course, [-150]), ninety, "reference_day", "day") == [[-5, 90]]
    assert found(
        one(course, [-20]), replace(TRIAL, baseline=e.Fixed(clear_of_relapse=0)), "reference_day", "kind"
    ) == [[-5, "improvement"]]


def test_a_reference_older_than_the_baseline_window_is_not_taken() -> None:
    frame = pd.DataFrame({"patient": "a", "day": [-500, 10, 100, 300], "edss": [1.0, 3.0, 3.0, 3.0]})
    events = e.disability_events(tj.read_cohort(frame, baseline_window=1.0))
    assert events.patients["baseline_day"].tolist() == [10]


def test_a_confirming_visit_within_30_days_after_a_relapse_does_not_count() -> None:
    course = [(0, 2.0), (91, 3.0), (270, 3.0), (300, 3.0)]
    assert found(one(course, [250]), TRIAL, "confirmed_day") == [[300]]
    assert found(one(course, [240]), TRIAL, "confirmed_day") == [[270]]  # 30 days are enough


def test_it_must_hold_at_every_visit_on_the_way() -> None:
    course = [(0, 2.0), (91, 3.0), (150, 2.5), (270, 3.0)]
    assert found(one(course, [])) == []
    reasons = e.disability_events(one(course, []), TRIAL).not_confirmed["reason"]
    assert reasons.tolist() == [
        "not confirmed: did not hold at every visit up to confirmation",
        "at the last visit: no later visit to confirm it",
    ]
    assert found(one(course, []), replace(TRIAL, confirmation=replace(OPEN, every_visit=False)), "day") == [
        [91]
    ]


def test_the_threshold_over_the_reference_counts_and_not_the_value_of_the_event() -> None:
    assert found(one([(0, 2.0), (91, 5.0), (270, 3.0)], []), TRIAL, "day", "confirmed_value") == [[91, 3.0]]


def test_only_scheduled_visits_confirm_if_asked_for() -> None:
    course = [(0, 2.0), (91, 3.0), (270, 3.0), (300, 3.0)]
    cohort = one(course, [], scheduled=[True, False, False, True])
    rule = replace(TRIAL, confirmation=replace(OPEN, scheduled_only=True))
    assert found(cohort, rule, "day", "confirmed_day") == [[91, 300]]
    with pytest.raises(ValueError, match="scheduled_only"):
        e.disability_events(one(course, []), rule)


def test_a_longer_confirmation_within_a_bounded_window_can_find_more() -> None:
    cohort = one([(0, 2.0), (30, 3.0), (240, 3.0)], [])
    assert found(cohort, e.DisabilityRule(confirmation=e.Confirmed(weeks=12))) == []
    assert len(found(cohort, e.DisabilityRule(confirmation=e.Confirmed(weeks=24)))) == 1


def test_nobody_is_lost_and_the_denominator_of_improvement_is_who_can_improve() -> None:
    rows = [("seen once", 0, 3.0), *[("no room", d, 1.5) for d in (0, 91, 270)], *[("in", d, 4.0) for d in (0, 91, 270)],
            *[("last", d, v) for d, v in ((0, 9.5), (91, 9.5), (270, 9.5))], ("gone", 0, math.nan)]  # fmt: skip
    cohort = tj.read_cohort(pd.DataFrame(rows, columns=["patient", "day", "edss"]))
    patients = e.disability_events(cohort, replace(TRIAL, worsening=edss.CARE_MS)).patients.set_index(
        "patient"
    )
    assert len(patients) == 5
    patients = patients.loc[["seen once", "no room", "in", "last", "gone"]]
    assert patients["eligible_improvement"].tolist() == [False, False, True, True, False]
    assert patients["eligible_worsening"].tolist() == [False, True, True, False, False]
    assert patients["last_confirmable_day"].tolist() == [pd.NA, 91, 91, 91, pd.NA]
    assert patients["why_not"].tolist() == [
        "no visit after the reference",
        "improvement by CARE_MS is not possible from the reference value",
        "",
        "worsening by CARE_MS is not possible from the reference value",
        "no visit with EDSS",
    ]


def test_without_a_relapse_table_nothing_is_labelled() -> None:
    result = e.disability_events(one([(0, 2.0), (91, 3.0), (270, 3.0)]), TRIAL)
    assert result.events["label"].isna().all()
    assert any("No relapse table" in note for note in result.notes)
    assert result.summary()["PIRA"].isna().all()


def test_a_reference_after_each_relapse_does_not_count_the_relapses_step_again() -> None:
    values = [2.0, 2.0, 3.5, 3.5, 3.5, 3.5, 3.5, 5.0, 5.0, 5.0, 5.0, 5.0]
    cohort = one(list(zip(QUARTERS, values, strict=True)), [150])
    rule = replace(TRIAL, baseline=e.AfterRelapse(), pira=e.KAPPOS_2020)
    assert found(cohort, rule, "day", "label", "reference_day", "reference_value") == [
        [182, "RAW", 0, 2.0],
        [637, "PIRA", 182, 3.5],
    ]


def test_a_change_from_the_reference_after_a_relapse_is_found_though_there_is_none_from_the_old_one() -> None:
    # 4, then after a relapse 3.5 and 4.5: +1.0 from the new reference, +0.5 from the old one.
    cohort = one([(0, 4.0), (91, 4.0), (182, 3.5), (273, 4.5), (441, 4.5)], [120])
    rule = replace(TRIAL, baseline=e.AfterRelapse(), pira=e.COMPLEMENTARY)
    assert found(cohort, rule, "day", "reference_day", "label") == [[273, 182, "PIRA"]]


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("tolerance", lambda: e.Confirmed(weeks=12, tolerance=(84, 0))),
        ("tolerance", lambda: e.Confirmed(tolerance=(0, -1))),
        ("tolerance", lambda: e.Confirmed(tolerance=30)),  # type: ignore[arg-type]
        ("tolerance", lambda: e.Confirmed(tolerance=(math.nan, 0))),
        ("weeks", lambda: e.Confirmed(weeks=0)),
        ("weeks", lambda: e.Confirmed(weeks=(24, 12))),
        ("weeks", lambda: e.Confirmed(weeks=math.inf)),
        ("sustained_days", lambda: e.Confirmed(sustained_days=-1)),
        ("clear_of_relapse", lambda: e.Confirmed(clear_of_relapse=-30)),
        ("clear_of_relapse", lambda: e.Fixed(clear_of_relapse=(30, -1))),
        ("after", lambda: e.Roving(after="relapse")),  # type: ignore[arg-type]
        ("small_changes", lambda: e.Roving(after="worsening", small_changes="improvement")),
        ("wait", lambda: e.AfterRelapse(wait=-1)),
        ("otherwise", lambda: e.AfterRelapse(otherwise=e.AfterRelapse())),  # type: ignore[arg-type]
        ("baseline", lambda: e.DisabilityRule(baseline=e.AfterRelapse(wait=120))),
        ("days_after", lambda: e.RelapseAssociated(days_after=-90)),
        ("end", lambda: e.RelapseFree(start="confirmation", end="event")),
        ("start", lambda: e.RelapseFree(start="visit")),  # type: ignore[arg-type]
        ("days_before", lambda: e.RelapseFree(days_before=-1)),
        ("worsening", lambda: e.ScaleChange(name="x", column="x", worsening=-1)),
        ("improvement", lambda: e.DisabilityRule(improvement=e.SDMT)),
        ("kinds", lambda: e.DisabilityRule(kinds=())),
        ("events", lambda: e.DisabilityRule(events="second")),  # type: ignore[arg-type]
        ("event_clear_of_relapse", lambda: e.DisabilityRule(event_clear_of_relapse=-1)),
    ],
)
def test_a_rule_that_contradicts_itself_names_the_field(field: str, make: Any) -> None:
    with pytest.raises(ValueError, match=f"^{field}:"):
        make()


def sorted_rows(result: e.DisabilityEvents) -> str:
    return str(result.events.to_csv(index=False)) + str(result.not_confirmed.to_csv(index=False))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.integers(1, 500))
def test_row_order_names_dates_and_company_do_not_matter(seed: int, shift: int) -> None:
    rng = np.random.default_rng(seed)
    visits, relapses = random_patients(rng, 6)
    rule = replace(random_rule(rng), search_from="first visit")
    first = e.disability_events(cohort_of(visits, relapses), rule)

    shuffled = cohort_of(
        [[v[i] for i in rng.permutation(len(v))] for v in visits], [list(reversed(r)) for r in relapses]
    )
    assert sorted_rows(e.disability_events(shuffled, rule)) == sorted_rows(first)

    moved = e.disability_events(
        cohort_of(
            [[(day + shift, value) for day, value in v] for v in visits],
            [[d + shift for d in r] for r in relapses],
        ),
        rule,
    )
    days = [c for c in first.events if ("day" in c and c != "sustained_days") or c.startswith("onset")]
    back = moved.events
    back[days] = back[days] - shift
    pd.testing.assert_frame_equal(back, first.events)

    halves = [
        e.disability_events(cohort_of(visits[s], relapses[s]), rule).events
        for s in (slice(0, 3), slice(3, 6))
    ]
    together = pd.concat(halves, ignore_index=True).drop(columns=["patient", "arm"])
    alone = first.events.drop(columns=["patient", "arm"])
    assert together.to_csv(index=False) == alone.to_csv(index=False)

    backwards = e.disability_events(cohort_of(visits[::-1], relapses[::-1]), rule)
    renamed = backwards.events.assign(patient=[f"p{5 - int(p[1:]):04d}" for p in backwards.events["patient"]])
    assert sorted(renamed.to_csv(index=False).split()) == sorted(first.events.to_csv(index=False).split())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_from_a_fixed_reference_a_longer_open_confirmation_never_adds_events(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cohort = cohort_of(*random_patients(rng, 8))
    shorter, longer = (
        e.disability_events(cohort, replace(TRIAL, confirmation=replace(OPEN, weeks=weeks))).events
        for weeks in (12, 24)
    )
    counts = shorter.groupby(["patient", "kind"]).size()
    more = longer.groupby(["patient", "kind"]).size()
    assert (counts.reindex(more.index, fill_value=0) >= more).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_with_no_relapses_pira_is_all_worsening(seed: int) -> None:
    rng = np.random.default_rng(seed)
    visits, _ = random_patients(rng, 8)
    events = e.disability_events(cohort_of(visits, [[] for _ in visits]), random_rule(rng)).events
    assert (events.loc[events["kind"] == "worsening", "label"] == "PIRA").all()


def test_roving_on_randomised_arms_warns() -> None:
    cohort = one([(0, 2.0), (91, 3.0), (270, 3.0)], [])
    with pytest.warns(e.RovingWarning, match="randomisation"):
        result = e.disability_events(cohort, replace(TRIAL, baseline=e.Roving()), randomised=True)
    assert any("randomisation" in note for note in result.notes)


@pytest.mark.filterwarnings("error")
def test_a_reference_of_5_5_warns_and_so_do_sparse_visits() -> None:
    with pytest.warns(e.PresetWarning, match="1 of 1 patients"):
        e.disability_events(one([(0, 5.5), (91, 6.0), (270, 6.0)], []), TRIAL)
    with pytest.warns(e.SparseVisitsWarning, match="1 of 1 patients"):
        e.disability_events(one([(0, 2.0), (365, 3.0), (730, 3.0)], []), e.DisabilityRule())
    e.disability_events(one([(0, 2.0), (91, 3.0), (270, 3.0)], []), TRIAL)  # and otherwise nothing does


def test_the_print_names_no_patient_and_says_simulated() -> None:
    cohort = tj.simulate_cohort(patients=30, seed=1)
    text = str(e.disability_events(cohort, e.MSBASE, suppress_below=5))
    assert "simulated data" in text
    assert "MSBASE" in text
    assert "<5" in text
    assert not any(patient in text.split() for patient in cohort.patients["patient"])


def test_every_reason_is_given_where_it_applies() -> None:
    def reasons(visits: list[tuple[int, float]], relapses: list[int], rule: e.DisabilityRule) -> list[str]:
        return e.disability_events(one(visits, relapses), rule).not_confirmed["reason"].tolist()

    last = "at the last visit: no later visit to confirm it"
    bounded = e.DisabilityRule(confirmation=e.Confirmed(weeks=12, tolerance=(0, 30)))
    assert reasons([(0, 2.0), (90, 3.0), (150, 3.0)], [], bounded) == [
        "follow-up ended too early to confirm it (84 to 114 days later)",
        last,
    ]
    assert reasons([(0, 2.0), (90, 3.0), (290, 3.0)], [], bounded) == ["no visit 84 to 114 days later", last]
    assert reasons([(0, 2.0), (90, 3.0), (180, 3.0)], [170], bounded)[0] == (
        "no visit 84 to 114 days later could confirm it: fewer than 30 days after a relapse onset"
    )
    lasting = replace(bounded, confirmation=replace(bounded.confirmation, sustained_days=180))
    assert reasons([(0, 2.0), (90, 3.0), (180, 3.0), (200, 2.0)], [], lasting) == [
        "confirmed, but not sustained (180 days asked for)"
    ]
    far = replace(bounded, event_clear_of_relapse=30)
    assert reasons([(0, 2.0), (90, 3.0), (180, 2.0)], [80], far) == [
        "fewer than 30 days after a relapse onset"
    ]


def test_cohorts_without_anything_to_find_are_no_error() -> None:
    frame = pd.DataFrame({"patient": ["a", "b"], "day": [0, 0], "edss": [math.nan, math.nan]})
    nothing = e.disability_events(tj.read_cohort(frame))
    assert nothing.events.empty
    assert nothing.patients["why_not"].tolist() == ["no visit with EDSS"] * 2
    assert "no visit with EDSS" in str(nothing)
    assert e.milestone(tj.read_cohort(frame)).summary()["not_evaluable"].tolist() == [2]
    assert e.multiverse(tj.read_cohort(frame), [e.TRIAL]).to_frame()["eligible"].tolist() == [0] * 4


def test_labels_do_not_give_a_hidden_count_away() -> None:
    rows = []
    for patient in range(12):  # 10 PIRA, 2 RAW
        rows += [(f"p{patient}", day, value) for day, value in ((0, 2.0), (91, 3.0), (270, 3.0))]
    relapses = pd.DataFrame({"patient": ["p0", "p1"], "day": [80, 80]})
    cohort = tj.read_cohort(pd.DataFrame(rows, columns=["patient", "day", "edss"]), relapses=relapses)
    [row] = [
        line
        for line in str(e.disability_events(cohort, TRIAL, suppress_below=5)).splitlines()
        if "worsening  " in line
    ]
    assert "<5" in row
    assert "10" not in row.split()
    assert "hidden" in row


def test_the_frames_are_copies() -> None:
    result = e.disability_events(one([(0, 2.0), (91, 3.0), (270, 3.0)], []), TRIAL)
    events = result.events
    events["day"] = -1
    assert result.events["day"].tolist() == [91]
