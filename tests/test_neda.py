"""NEDA-3 by hand: who is active, who has NEDA, who cannot be judged and why; proportions and what biases them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajectories.cohort import Cohort
from trajectories.endpoints.neda import Neda3, neda3
from trajectories.endpoints.rules import TRIAL, DisabilityRule
from trajectories.endpoints.shares import wilson_limits
from trajectories.reading import read_cohort

VISITS = [0, 90, 180, 270, 360, 450, 540, 630, 720]
SCANS = [0, 360, 720]


def cohort_of(
    edss: dict[str, dict[int, float]],
    relapses: dict[str, list[int]] | None,
    scans: dict[str, dict[int, dict[str, float]]] | None,
    arm: dict[str, str] | None = None,
    follow: dict[str, tuple[int, int]] | None = None,
) -> Cohort:
    visits = [(p, d, v) for p, values in edss.items() for d, v in values.items()]
    onsets = None
    if relapses is not None:
        rows = [(p, d) for p, days in relapses.items() for d in days]
        onsets = pd.DataFrame(rows, columns=["patient", "day"]).astype({"patient": "str", "day": "int64"})
    mri = None
    if scans is not None:
        mri = pd.DataFrame(
            [{"patient": p, "day": d, **read} for p, s in scans.items() for d, read in s.items()]
        )
    patients = pd.DataFrame({"patient": list(edss)})
    if arm is not None:
        patients["arm"] = [arm[p] for p in edss]
    if follow is not None:
        patients["followup_start"] = [follow[p][0] for p in edss]
        patients["followup_end"] = [follow[p][1] for p in edss]
    return read_cohort(
        pd.DataFrame(visits, columns=["patient", "day", "edss"]),
        relapses=onsets, mri=mri, patients=patients, name="by hand",
    )  # fmt: skip


def quiet(until: int = 720) -> dict[int, float]:
    return {day: 2.0 for day in VISITS if day <= until}


def clear(*days: int) -> dict[int, dict[str, float]]:
    return {day: {"new_t2": 0, "gd_count": 0} for day in days or SCANS}


def one(
    edss: dict[int, float] | None = None,
    relapses: list[int] | None = None,
    scans: dict[int, dict[str, float]] | None = None,
    follow: tuple[int, int] | None = None,
    **options: Any,
) -> pd.Series:
    """Answer for one patient of interest beside quiet ones (one alone would be called too sparse)."""
    others = ["x", "y", "z"]
    cohort = cohort_of(
        {"a": quiet() if edss is None else edss, **{p: quiet() for p in others}},
        {"a": relapses or []},
        {"a": clear() if scans is None else scans, **{p: clear() for p in others}},
        follow=None if follow is None else {"a": follow, **dict.fromkeys(others, (0, 720))},
    )
    answers = neda3(cohort, **options).by_patient()
    if "mri_from" not in options:
        assert (answers["answer"][1:] == "NEDA").all()
    return answers.iloc[0]


def test_nothing_seen_and_everything_looked_at_is_neda() -> None:
    answer = one()
    assert answer["answer"] == "NEDA"
    assert (answer["first"], answer["why_not"]) == ("", "")
    assert answer[["first_day", "relapse_day", "worsening_day", "gadolinium_day", "new_t2_day"]].isna().all()
    assert answer["years_observed"] == pytest.approx(730 / 365.25)  # to the end, by the tolerance
    assert not answer["ended_by_activity"]


@pytest.mark.parametrize(("day", "answer"), [(0, "activity"), (729, "activity"), (730, "NEDA"), (-1, "NEDA")])
def test_relapses_count_from_day_0_to_the_day_before_the_end(day: int, answer: str) -> None:
    found = one(relapses=[day], edss={**quiet(), -100: 2.0}, follow=(-100, 800))
    assert found["answer"] == answer
    if answer == "activity":
        assert (found["first"], found["first_day"]) == ("relapse", day)


def test_confirmed_worsening_counts_at_its_onset_and_unconfirmed_worsening_that_went_away_does_not() -> None:
    worse = quiet() | dict.fromkeys([360, 450, 540, 630, 720], 3.0)
    found = one(edss=worse)
    assert (found["answer"], found["first"], found["first_day"]) == ("activity", "worsening", 360)
    assert one(edss=quiet() | {360: 4.0})["answer"] == "NEDA"


def test_worsening_that_nobody_could_confirm_is_not_evaluable_and_refuted_one_is() -> None:
    found = one(edss=quiet() | {630: 3.0, 720: 3.0})
    assert (found["answer"], found["why_not"]) == ("not evaluable", "worsening that could not be confirmed")
    assert found["years_observed"] == pytest.approx(630 / 365.25)
    assert one(edss=quiet() | {630: 3.0})["answer"] == "NEDA"  # back at 720, before it could be confirmed
    assert one(edss=quiet() | {630: 3.0, 720: 3.0}, relapses=[20])["answer"] == "activity"


def test_worsening_that_was_seen_again_too_late_is_not_evaluable() -> None:
    edss = {0: 2.0, 100: 3.0, 500: 3.0, 720: 2.0}
    found = one(edss=edss)  # 400 days later is beyond 168 + 84
    assert (found["answer"], found["why_not"]) == ("not evaluable", "worsening that could not be confirmed")
    assert one(edss=edss, rule=TRIAL)["answer"] == "activity"  # trials take any later visit


@pytest.mark.parametrize(
    ("reading", "kind"),
    [
        ({"new_t2": 1}, "new T2"),
        ({"gd_count": 2}, "gadolinium"),
        ({"gd_count": 1, "new_t2": 3}, "gadolinium, new T2"),
    ],
)
def test_lesions_count_at_the_scan_that_shows_them(reading: dict[str, float], kind: str) -> None:
    found = one(scans=clear() | {360: {"new_t2": 0, "gd_count": 0} | reading})
    assert (found["answer"], found["first"], found["first_day"]) == ("activity", kind, 360)


def test_lesions_at_time_0_and_after_the_scan_that_ends_the_window_do_not_count() -> None:
    positive = {"new_t2": 4.0, "gd_count": 1.0}
    assert one(scans=clear() | {0: positive})["answer"] == "NEDA"
    assert one(scans=clear() | {740: positive})["answer"] == "NEDA"  # the scan on day 720 ends it
    assert one(scans=clear(0, 360) | {740: positive})["answer"] == "activity"  # here the one on day 740 does
    late = one(scans=clear(0, 360) | {740: positive})
    assert late["first_day"] == 740
    assert late["years_observed"] == pytest.approx(730 / 365.25)


def test_any_activity_decides_however_much_is_missing() -> None:
    short = {0: 2.0, 90: 2.0}
    assert one(edss=short, scans={}, relapses=[50])["answer"] == "activity"
    assert one(edss=short, scans={60: {"gd_count": 1, "new_t2": math.nan}})["answer"] == "activity"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"edss": quiet(450)}, "follow-up ends before 2 years; no EDSS near 2 years"),
        ({"edss": quiet(450), "follow": (0, 800)}, "no EDSS near 2 years"),
        ({"follow": (30, 800), "edss": {30: 2.0} | quiet()}, "follow-up begins after time 0"),
        ({"scans": {}}, "no MRI after the start"),
        ({"scans": clear(0)}, "no MRI after the start"),
        ({"scans": clear(0, 360)}, "no MRI near 2 years"),
        ({"scans": clear(0, 360) | {720: {"gd_count": 0, "new_t2": math.nan}}},
         "MRI near 2 years not read for new T2 lesions"),
        ({"edss": dict.fromkeys(quiet(), math.nan)}, "no EDSS to start from"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(given: dict[str, Any], why: str) -> None:
    if given.get("follow") == (30, 800):
        given["edss"] = {day: value for day, value in quiet().items() if day >= 30}
    found = one(**given)
    assert (found["answer"], found["why_not"]) == ("not evaluable", why)


def test_several_kinds_on_one_day_are_all_first() -> None:
    worse = quiet() | dict.fromkeys([360, 450, 540, 630, 720], 3.0)
    found = one(edss=worse, relapses=[360], scans=clear() | {360: {"new_t2": 1, "gd_count": 0}})
    assert found["first"] == "relapse, worsening, new T2"


def test_a_new_mri_baseline_forgets_the_lesions_before_it() -> None:
    at_6_months = {"new_t2": 2.0, "gd_count": 1.0}
    scans = clear() | {180: at_6_months}
    assert one(scans=scans)["answer"] == "activity"
    again = one(scans=scans, mri_from=0.5)
    assert again["answer"] == "NEDA"
    assert one(scans=scans | {540: at_6_months}, mri_from=0.5)["first_day"] == 540
    without = one(mri_from=0.5)  # scans at 0 and 1 year only
    assert (without["answer"], without["why_not"]) == ("not evaluable", "no MRI near 0.5 years to start from")
    new = one(scans=clear(0, 720) | {360: {"new_t2": 3, "gd_count": 0}}, mri_from=0.5)
    assert new["answer"] == "not evaluable"  # new since time 0, perhaps before 6 months
    assert (
        one(scans=clear(0, 720) | {360: {"new_t2": 0, "gd_count": 1}}, mri_from=0.5)["answer"] == "activity"
    )


def test_gadolinium_has_to_do_where_t2_was_never_read() -> None:
    base = {f"p{k}": quiet() for k in range(3)}
    scans = {p: {day: {"gd_volume": 0.0} for day in SCANS} for p in base}
    scans["p1"][360] = {"gd_volume": 0.4}
    scans["p2"][720] = {"gd_volume": math.nan}
    answers = neda3(cohort_of(base, {}, scans))
    assert answers.by_patient()["answer"].tolist() == ["NEDA", "activity", "not evaluable"]
    assert answers.by_patient()["why_not"][2] == "MRI near 2 years not read for gadolinium"
    assert "new T2" not in answers.title
    assert "gadolinium shows only lesions of the weeks before a scan" in " ".join(str(answers).split())


def test_a_cohort_without_mri_offers_neda_2_and_nothing_silently() -> None:
    cohort = cohort_of({"a": quiet(), "b": quiet()}, {"a": [40]}, None)
    with pytest.raises(
        ValueError, match=r"no table of mri.*components=\('relapse', 'worsening'\) \(NEDA-2\)"
    ):
        neda3(cohort)
    two = neda3(cohort, components=("relapse", "worsening"))
    assert two.title.startswith("NEDA-2 at 2 years")
    assert two.by_patient()["answer"].tolist() == ["activity", "NEDA"]
    with pytest.raises(ValueError, match=r"no table of relapses and mri.*components=.'worsening',"):
        neda3(cohort_of({"a": quiet()}, None, None))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": 0}, "at must"),
        ({"at": math.inf}, "at must"),
        ({"tolerance": 3}, "tolerance must"),
        ({"mri_from": 2.0}, "mri_from must"),
        ({"mri_from": 1.6}, "one scan could stand for both"),
        ({"components": ("relapse", "lesions")}, "components must"),
        ({"components": ()}, "components must"),
        ({"ci": 1}, "ci"),
        ({"rule": DisabilityRule(kinds=("improvement",))}, "finds no worsening"),
        ({"suppress_below": 1}, "suppress_below"),
    ],
)
def test_unusable_questions_are_refused(options: dict[str, Any], message: str) -> None:
    cohort = cohort_of({"a": quiet(), "b": quiet()}, {}, {"a": clear(), "b": clear()})
    with pytest.raises(ValueError, match=message):
        neda3(cohort, **options)


def some_cohort(seed: int = 1, n: int = 200) -> Cohort:
    """Patients in two arms, of whom some leave, miss scans or visits, relapse, worsen or have lesions."""
    rng = np.random.default_rng(seed)
    edss, relapses, scans, arm, follow = {}, {}, {}, {}, {}
    for k in range(n):
        p = f"p{k}"
        end = int(rng.choice([200, 500, 720, 760, 900], p=[0.1, 0.1, 0.4, 0.2, 0.2]))
        days = [d for d in [*VISITS, 740, 810, 900] if d <= end and (d == 0 or rng.random() < 0.9)]
        step = int(rng.choice([0, 200, 400, 600, 9999], p=[0.05, 0.05, 0.1, 0.1, 0.7]))
        edss[p] = {d: (3.0 if d >= step else 2.0) if rng.random() < 0.95 else math.nan for d in days}
        relapses[p] = [int(d) for d in rng.integers(0, end + 50, size=rng.poisson(0.3))][:1]
        scans[p] = {
            d: {"new_t2": math.nan if rng.random() < 0.05 else float(rng.poisson(0.15)), "gd_count": float(rng.random() < 0.05)}
            for d in [0, 180, 360, 715, 740]
            if d <= end and rng.random() < 0.85
        }  # fmt: skip
        arm[p] = "new" if k % 3 else "old"
        follow[p] = (0 if rng.random() < 0.97 else 20, end + 50)
        edss[p] = {d: v for d, v in edss[p].items() if d >= follow[p][0]} or {follow[p][0]: 2.0}
    return cohort_of(edss, relapses, scans, arm=arm, follow=follow)


@pytest.fixture(scope="module")
def mixed() -> tuple[Cohort, Neda3]:
    cohort = some_cohort()
    return cohort, neda3(cohort)


def by_brute_force(cohort: Cohort) -> list[tuple[str, int | None]]:
    """Answer patient by patient in plain Python; confirmed worsening is taken from the engine."""
    from trajectories.endpoints.events import disability_events

    events = disability_events(cohort).events
    end, slack = 730, 91
    assert cohort.relapses is not None
    assert cohort.mri is not None
    result: list[tuple[str, int | None]] = []
    for person in cohort.patients.itertuples():
        mine = {
            name: table[table["patient"] == person.patient]
            for name, table in (
                ("v", cohort.visits.dropna(subset="edss")),
                ("r", cohort.relapses),
                ("m", cohort.mri),
                ("e", events),
            )
        }

        def closing(days: list[int]) -> int | None:
            before = [d for d in days if end - slack <= d <= end]
            after = [d for d in days if end < d <= end + slack]
            return max(before) if before else (min(after) if after else None)

        seen = [d for d in mine["r"]["day"] if 0 <= d < end]
        visit_end = closing(mine["v"]["day"].tolist())
        scan_end = closing(mine["m"]["day"].tolist())
        worse = mine["e"][mine["e"]["kind"] == "worsening"]["day"]
        seen += [d for d in worse if 0 < d <= max(visit_end or 0, end)]
        counted = mine["m"][(mine["m"]["day"] > 0) & (mine["m"]["day"] <= max(scan_end or 0, end))]
        seen += counted.loc[(counted["gd_count"] > 0) | (counted["new_t2"] > 0), "day"].tolist()
        if seen:
            result.append(("activity", min(seen)))
            continue
        complete = person.followup_start_day <= 0 and person.followup_end_day >= end - 1 - slack
        complete &= (
            visit_end is not None and closing(counted.dropna(subset="new_t2")["day"].tolist()) is not None
        )
        start = mine["v"][(mine["v"]["day"] >= 0)]
        complete &= len(start) > 0
        if complete:  # no worse visit that was left open: followed by worse ones only, and nothing confirmed
            level = mine["v"].sort_values("day")["edss"].tolist()
            days = mine["v"].sort_values("day")["day"].tolist()
            for i in range(1, len(level)):
                if level[i] - level[0] >= 1 and days[i] <= max(visit_end or 0, end):
                    later = [v for v, d in zip(level, days, strict=True) if days[i] < d <= days[i] + 252]
                    complete &= any(v - level[0] < 1 for v in later)
        result.append(("NEDA" if complete else "not evaluable", None))
    return result


def test_answers_agree_with_patients_judged_one_by_one(mixed: tuple[Cohort, Neda3]) -> None:
    cohort, answers = mixed
    table = answers.by_patient()
    mine = [
        (a, None if pd.isna(d) else int(d)) for a, d in zip(table["answer"], table["first_day"], strict=True)
    ]
    assert mine == by_brute_force(cohort)
    assert table["answer"].value_counts().min() > 15


def test_every_patient_is_counted_once_and_no_answer_comes_without_its_reason(
    mixed: tuple[Cohort, Neda3],
) -> None:
    cohort, answers = mixed
    table, groups = answers.by_patient(), answers.to_frame()
    assert table["patient"].tolist() == cohort.patients["patient"].tolist()
    assert (groups[["neda", "active", "not_evaluable"]].sum(axis=1) == groups["patients"]).all()
    assert groups["patients"].sum() == cohort.n_patients
    assert ((table["why_not"] != "") == (table["answer"] == "not evaluable")).all()
    assert ((table["first"] != "") == (table["answer"] == "activity")).all()
    assert (groups["evaluable"] == groups["neda"] + groups["active"]).all()
    activity = answers.activity()
    assert (
        activity.loc[activity["activity"] == "relapse", "patients"].sum()
        == table["relapse_day"].notna().sum()
    )
    assert (activity["first"] <= activity["patients"]).all()
    reasons = answers.why_not_evaluable()
    assert (
        reasons["patients"].sum()
        == table["why_not"].str.split("; ").loc[table["why_not"] != ""].str.len().sum()
    )


def test_kaplan_meier_is_the_product_over_the_days_with_activity(mixed: tuple[Cohort, Neda3]) -> None:
    _, answers = mixed
    table = answers.by_patient()
    for _, group in answers.to_frame().iterrows():
        mine = table[table["arm"] == group["group"]]
        times = list(zip(mine["years_observed"], mine["ended_by_activity"], strict=True))
        survival = 1.0
        for t in sorted({t for t, ended in times if ended}):
            at_risk = sum(u >= t for u, _ in times)
            survival *= 1 - sum(u == t and ended for u, ended in times) / at_risk
        assert group["km"] == pytest.approx(survival)
        assert group["km_lower"] < survival < group["km_upper"]
        assert group["lowest"] <= group["proportion"] <= group["highest"]


def test_without_anyone_missing_all_estimates_are_the_same_proportion() -> None:
    base = {f"p{k}": quiet() for k in range(9)}
    relapses = {"p0": [10], "p1": [700]}
    scans = {p: clear() for p in base}
    scans["p2"] = clear() | {360: {"new_t2": 1, "gd_count": 0}}
    row = neda3(cohort_of(base, relapses, scans)).to_frame().iloc[0]
    assert row[["proportion", "lowest", "highest", "km"]].tolist() == pytest.approx([6 / 9] * 4)


def test_activity_after_a_patient_was_last_looked_at_is_activity_but_not_in_kaplan_meier() -> None:
    base = {f"p{k}": quiet() for k in range(4)}
    scans = {p: clear() for p in base}
    scans["p0"] = clear(0, 360)  # relapses in the second year, when p0 was no longer scanned
    answers = neda3(cohort_of(base, {"p0": [500]}, scans))
    row = answers.by_patient().iloc[0]
    assert (row["answer"], row["ended_by_activity"]) == ("activity", False)
    assert row["years_observed"] == pytest.approx(360 / 365.25)
    assert answers.to_frame().loc[0, "km"] == 1.0


def test_patients_who_are_lost_at_random_bias_the_evaluable_but_not_kaplan_meier() -> None:
    rng = np.random.default_rng(7)
    edss, relapses, scans = {}, {}, {}
    for k in range(3000):
        p = f"p{k}"
        end = 720 if rng.random() < 0.5 else int(rng.choice(VISITS[1:]))
        onset = int(rng.exponential(900))
        edss[p] = quiet(end)
        relapses[p] = [onset] if onset <= end else []
        scans[p] = clear(*[d for d in VISITS if d <= end])
    truth = math.exp(-730 / 900)
    row = neda3(cohort_of(edss, relapses, scans)).to_frame().iloc[0]
    assert row["proportion"] < truth - 0.05  # 0.36 against 0.44
    assert row["km_lower"] < truth < row["km_upper"]
    assert row["km"] == pytest.approx(truth, abs=0.03)
    assert row["lowest"] < truth < row["highest"]


def test_wilson_inverts_the_score_test() -> None:
    z = 1.959963984540054
    for count, n in [(12, 35), (1, 10), (34, 35), (200, 1000)]:
        for limit in wilson_limits(count, n):
            assert abs(count / n - limit) / math.sqrt(limit * (1 - limit) / n) == pytest.approx(z)
    assert wilson_limits(0, 35)[0] == 0.0
    assert wilson_limits(35, 35)[1] == 1.0
    assert all(math.isnan(limit) for limit in wilson_limits(0, 0))


def test_a_third_of_35_is_twenty_to_fifty_percent() -> None:
    lower, upper = (
        float(limit) for limit in wilson_limits(round(0.33 * 35), 35)
    )  # 12 of 35, printed as 33 % or 34 %
    assert (round(lower, 2), round(upper, 2)) == (0.21, 0.51)
    p, n, z2 = 0.33, 35, 1.959963984540054**2  # what a reader gets from the printed 33 % of 35
    centre, half = p + z2 / 2 / n, math.sqrt(z2 * (p * (1 - p) / n + z2 / 4 / n**2))
    assert round((centre - half) / (1 + z2 / n), 2) == 0.20
    assert round((centre + half) / (1 + z2 / n), 2) == 0.50


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(-400, 400))
def test_row_order_and_labels_of_patients_do_not_matter(seed: int, shift: int) -> None:
    cohort = some_cohort(seed % 7, 25)
    rng = np.random.default_rng(seed)
    assert cohort.relapses is not None
    assert cohort.mri is not None
    names = {p: f"q{k}" for k, p in enumerate(rng.permutation(cohort.patients["patient"]))}

    def shuffled(table: pd.DataFrame) -> pd.DataFrame:
        again = table.drop(columns=["years"], errors="ignore").sample(frac=1, random_state=seed % 1000)
        return again.assign(patient=again["patient"].map(names).astype("str"))

    people = cohort.patients.rename(
        columns={"followup_start_day": "followup_start", "followup_end_day": "followup_end"}
    )
    other = read_cohort(
        shuffled(cohort.visits), relapses=shuffled(cohort.relapses), mri=shuffled(cohort.mri),
        patients=shuffled(people[["patient", "arm", "followup_start", "followup_end"]]),
    )  # fmt: skip
    one, two = neda3(cohort).by_patient(), neda3(other).by_patient()
    one["patient"] = one["patient"].map(names)
    columns = ["answer", "first", "first_day", "why_not", "years_observed"]
    pd.testing.assert_frame_equal(
        one.set_index("patient")[columns].sort_index(),
        two.set_index("patient")[columns].sort_index(),
        check_names=False,
    )


def test_the_print_names_each_number_and_hides_small_counts_on_request(mixed: tuple[Cohort, Neda3]) -> None:
    cohort, answers = mixed
    text = str(answers)
    words = " ".join(text.split())
    for part in (
        "NEDA-3 at 2 years",
        "not evaluable",
        "Wilson",
        "bounds",
        "Kaplan-Meier at 2 years",
        "Time 0",
        "TRIAL, 24 weeks, fixed",
    ):
        assert part in words
    assert "p17" not in text
    assert max(map(len, text.splitlines())) <= 100
    groups = answers.to_frame()
    hidden = neda3(cohort, suppress_below=int(groups["neda"].min()) + 1)
    shown = hidden.to_frame()
    assert shown["suppressed"].any()
    assert shown.loc[shown["suppressed"], ["proportion", "km", "lowest", "highest"]].isna().all().all()
    assert shown[["neda"]].isna().sum().item() >= 1
    assert "*" in str(hidden)
    assert "nan" not in str(hidden)


def test_results_are_copies_and_groups_can_be_anything() -> None:
    cohort = some_cohort(3, 60)
    answers = neda3(cohort, by=None)
    groups, people = answers.to_frame(), answers.by_patient()
    groups["neda"], people["answer"] = 0, "NEDA"
    assert answers.to_frame().loc[0, "neda"] == (answers.by_patient()["answer"] == "NEDA").sum() > 0
    assert answers.to_frame()["group"].tolist() == ["everybody"]


def test_nobody_seen_to_the_end_means_no_kaplan_meier_estimate() -> None:
    base = {f"p{k}": quiet(450) for k in range(5)}
    scans = {p: clear(0, 360) for p in base}
    row = neda3(cohort_of(base, {"p0": [30]}, scans)).to_frame().iloc[0]
    assert math.isnan(row["km"])
    assert row["proportion"] == 0.0
    assert (row["lowest"], row["highest"]) == (0.0, 0.8)
