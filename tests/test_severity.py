"""MSSS and ARMSS against ranks counted patient by patient, and everything a table or input may have wrong."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajectories import edss as scale
from trajectories.endpoints.severity import SmallCellWarning, armss, msss
from trajectories.reading import read_cohort

LEVELS = [float(level) for level in scale.LEVELS]


# Years that went through day / 365.25 may miss a whole number by this much, and count as reaching it.
ROUNDING = 1e-9


def by_hand(edss: list[float], years: list[float], either_side: int) -> list[float]:
    """Compare each patient with every other one, in plain Python."""
    scores = []
    for mine, then in zip(edss, years, strict=True):
        others = [
            e
            for e, t in zip(edss, years, strict=True)
            if abs(math.floor(t + ROUNDING) - math.floor(then + ROUNDING)) <= either_side
        ]
        below, same = sum(e < mine for e in others), sum(e == mine for e in others)
        ranks = range(below + 1, below + same + 1)  # what tied patients would have one after the other
        scores.append(10 * (sum(ranks) / same) / (len(others) + 1))
    return scores


patients = st.lists(st.tuples(st.sampled_from(LEVELS), st.floats(0, 60)), min_size=1, max_size=60)


@settings(max_examples=200, deadline=None)
@given(patients, st.integers(0, 4))
def test_scores_are_ranks_among_patients_of_the_same_years(
    rows: list[tuple[float, float]], either_side: int
) -> None:
    edss, years = [r[0] for r in rows], [r[1] for r in rows]
    expected = by_hand(edss, years, either_side)
    assert msss(edss, years, years_either_side=either_side, small=1).tolist() == pytest.approx(
        expected, abs=1e-12
    )
    assert armss(edss, years, years_either_side=either_side, small=1).tolist() == pytest.approx(
        expected, abs=1e-12
    )


@settings(max_examples=50, deadline=None)
@given(patients, st.randoms(use_true_random=False))
def test_the_order_of_patients_does_not_matter(rows: list[tuple[float, float]], random: object) -> None:
    frame = pd.DataFrame(rows, columns=["edss", "age"], index=[f"p{k}" for k in range(len(rows))])
    shuffled = frame.sample(frac=1, random_state=len(rows))
    one, other = (armss(f["edss"], f["age"], small=1) for f in (frame, shuffled))
    pd.testing.assert_series_equal(one, other.reindex(one.index))


def test_all_20_levels_once_are_evenly_spread() -> None:
    assert msss(LEVELS, [5.0] * 20).tolist() == pytest.approx([10 * r / 21 for r in range(1, 21)])


def test_the_mean_score_of_every_year_is_five() -> None:
    rng = np.random.default_rng(1)
    years = rng.integers(0, 5, size=500).astype(float)
    scores = msss(rng.choice(scale.LEVELS, size=500), years)
    assert scores.groupby(years).mean().tolist() == pytest.approx([5.0] * 5)


def test_ties_share_the_average_of_their_ranks_and_one_patient_alone_is_in_the_middle() -> None:
    assert msss([3.0, 3.0, 3.0, 1.0], [2, 2.5, 2.9, 2], small=1).tolist() == pytest.approx(
        [6.0, 6.0, 6.0, 2.0]
    )
    assert msss([9.0], [2], small=1).tolist() == [5.0]


def test_a_year_reached_through_days_is_that_year() -> None:
    days = 3 * 365.25
    years = (days * 0.1 * 10) / 365.25  # 3, give or take rounding error
    assert msss([1.0, 2.0], [years - 1e-12, 3.5], small=1).tolist() == pytest.approx([10 / 3, 20 / 3])


def test_armss_takes_two_years_of_age_on_either_side_by_default() -> None:
    edss, age = [1.0, 2.0, 3.0, 9.0], [40.9, 42.0, 43.0, 45.1]
    assert armss(edss, age, small=1).tolist() == pytest.approx(by_hand(edss, age, 2))
    assert msss(edss, age, small=1).tolist() == [5.0] * 4


def test_missing_values_are_missing_and_counted_among_nobody() -> None:
    edss, years = pd.Series([2.0, None, 4.0, 6.0]), pd.Series([1.0, 1.0, 1.0, None])
    score = msss(edss, years, small=1)
    assert score[[0, 2]].tolist() == pytest.approx([10 / 3, 20 / 3])
    assert score[[1, 3]].isna().all()
    assert score.name == "msss"
    nullable = msss(edss.astype("Float64"), years.astype("Float64"), small=1)
    pd.testing.assert_series_equal(nullable, score)
    assert msss([], []).empty


def test_small_groups_are_said() -> None:
    edss, years = [2.0] * 12 + [3.0, 4.0], [1.0] * 12 + [7.0, 7.0]
    with pytest.warns(
        SmallCellWarning, match=r"2 of 14 patients were ranked among fewer than 10 .*smallest group is 2"
    ):
        msss(edss, years)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        msss(edss[:12], years[:12])


@pytest.mark.parametrize(
    ("edss", "years", "message"),
    [
        ([0.5], [1.0], "not levels"),
        ([2.0], [-0.1], "negative"),
        ([2.0, 3.0], [1.0], "2 EDSS values but 1"),
        ([2.0], [900.0], "not days or months"),
        ([2.0], [math.inf], "infinite"),
        ([3.7], [None], "not levels"),  # off the scale is refused also where it would not have counted
    ],
)
def test_impossible_input_is_refused(edss: list[float], years: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        msss(edss, years)


def test_two_series_must_share_their_index() -> None:
    with pytest.raises(ValueError, match="different indices"):
        msss(pd.Series([2.0], index=["a"]), pd.Series([1.0], index=["b"]))
    with pytest.raises(ValueError, match="years_either_side"):
        msss([2.0], [1.0], years_either_side=-1)
    with pytest.raises(TypeError, match="years since onset"):
        msss([2.0], "duration_years")


TABLE = pd.DataFrame(
    {"duration": [0, 0, 1, 1, 1], "edss": [0.0, 2.0, 0.0, 2.0, 2.5], "score": [2.0, 6.0, 1.5, 5.0, 7.5]}
)


def test_scores_come_from_a_table() -> None:
    assert msss([2.0, 2.5, 0.0], [0.9, 1.0, 1.99], table=TABLE).tolist() == [6.0, 7.5, 1.5]
    by_age = TABLE.rename(columns={"duration": "age"})
    assert armss([2.0], [1.2], table=by_age.sample(frac=1, random_state=1)).tolist() == [5.0]


def test_patients_outside_the_table_are_missing_and_said() -> None:
    with pytest.warns(SmallCellWarning, match=r"2 of 3 patients .* years go from 0 to 1"):
        scores = msss([2.0, 2.5, 9.0], [0.5, 0.5, 40.0], table=TABLE)
    assert scores.isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": [2.0, 6.0, 1.5, 5.0, 11.0]}, "score must be from 0 to 10.*1 rows.*index 4"),
        ({"score": [2.0, 6.0, 1.5, 5.0, None]}, "score must be"),
        ({"score": [2.0, 6.0, 5.5, 5.0, 7.0]}, "falls as EDSS rises at duration 1"),
        ({"edss": [0.0, 2.0, 0.0, 2.0, 2.0]}, "must occur once: 2 rows"),
        ({"edss": [0.0, 2.0, 0.5, 2.0, 2.5]}, "on the scale"),
        ({"duration": [0, 0, 1.5, 1, 1]}, "whole years"),
    ],
)
def test_a_wrong_table_is_refused(change: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        msss([2.0], [0.0], table=TABLE.assign(**change))


def test_a_table_without_its_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks score"):
        msss([2.0], [0.0], table=TABLE.drop(columns="score"))


def test_a_cohort_has_one_row_a_patient_and_ages_by_the_visit() -> None:
    visits = pd.DataFrame(
        {"patient": ["a", "a", "b", "b", "c"], "day": [0, 410, 0, 370, 0], "edss": [2.0, 3.0, 4.0, 3.5, 1.0]}
    )
    people = pd.DataFrame(
        {"patient": ["a", "b", "c"], "duration_years": [1.9, 2.0, 5.0], "age": [30, 31, 50]}
    )
    cohort = read_cohort(visits, patients=people)
    start = msss(cohort, small=1)
    assert start.columns.tolist() == ["patient", "arm", "day", "duration", "edss", "n", "msss"]
    assert start["msss"].tolist() == [5.0, 5.0, 5.0]  # a is in its second year, b in its third
    later = msss(cohort, at=1.0, small=1)
    assert later["n"].tolist() == [2, 2, pd.NA]
    assert later["duration"].tolist()[:2] == pytest.approx([1.9 + 410 / 365.25, 2.0 + 370 / 365.25])
    assert later["msss"].tolist()[:2] == pytest.approx([10 / 3, 20 / 3])
    assert math.isnan(later["msss"][2])
    assert armss(cohort, small=1)["armss"].tolist() == pytest.approx([10 / 3, 20 / 3, 5.0])
    with pytest.raises(ValueError, match="no column 'years_ill'"):
        msss(cohort, "years_ill")
    with pytest.raises(TypeError, match="name of a column"):
        msss(cohort, [1.0, 2.0, 3.0])  # type: ignore[call-overload]


def test_a_hundred_thousand_patients_are_ranked_at_once() -> None:
    rng = np.random.default_rng(2)
    edss, age = rng.choice(scale.LEVELS, size=100_000), rng.uniform(18, 80, size=100_000)
    scores = armss(edss, age)
    some = rng.choice(100_000, size=20, replace=False)
    for k in some:
        near = np.abs(np.floor(age) - np.floor(age[k])) <= 2
        rank = (edss[near] < edss[k]).sum() + ((edss[near] == edss[k]).sum() + 1) / 2
        assert scores[k] == pytest.approx(10 * rank / (near.sum() + 1))
