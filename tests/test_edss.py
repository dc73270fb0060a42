import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajectories import edss
from trajectories.edss import CARE_MS, LEVELS, MSBASE, TRIAL, ChangeRule

PRESETS = [TRIAL, MSBASE, CARE_MS]

# Change needed to be worse at each of the 20 levels, written out from the published rules.
WORSE = {
    "TRIAL": [1.5] + [1.0] * 9 + [0.5] * 10,  # 0 | 1.0 … 5.0 | 5.5 … 10
    "MSBASE": [1.5] + [1.0] * 10 + [0.5] * 9,  # 0 | 1.0 … 5.5 | 6.0 … 10
    "CARE_MS": [1.5] + [1.0] * 19,
}
IMPROVED = {
    "TRIAL": [1.5] + [1.0] * 9 + [0.5] * 10,
    "MSBASE": [1.5] * 3 + [1.0] * 9 + [0.5] * 8,  # 0, 1.0, 1.5 | 2.0 … 6.0 | 6.5 … 10
    "CARE_MS": [np.inf] * 3 + [1.0] * 17,  # not eligible below 2.0
}


def test_there_are_twenty_levels_without_one_half():
    assert LEVELS.tolist() == [0, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 8, 8.5, 9, 9.5, 10]


def test_levels_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        LEVELS[0] = 0.5


def test_codes_and_levels_are_inverse():
    assert edss.code(LEVELS).tolist() == list(range(20))
    assert edss.level(edss.code(LEVELS)).tolist() == LEVELS.tolist()
    assert edss.code([[0, 1.0], [5.5, 10]]).tolist() == [[0, 1], [10, 19]]
    assert edss.code(4.5) == 8


@pytest.mark.parametrize("value", [0.5, 10.5, -1, 2.25, -0.5, np.nan, np.inf, 1e300, 1e308])
def test_values_off_the_scale_are_no_levels_and_have_no_code(value):
    assert not edss.is_level(value)
    with pytest.raises(ValueError, match="1 values are not levels of the EDSS"):
        edss.code([2.0, value])


def test_levels_may_carry_rounding_error():
    noisy = [0.1 * 45, 3 * 1.1 - 0.3, 1e-12]
    assert edss.is_level(noisy).all()
    assert edss.code(noisy).tolist() == [8, 5, 0]


@pytest.mark.parametrize("codes", [[-1], [20], [1.5], [np.nan]])
def test_impossible_codes_are_refused(codes):
    with pytest.raises(ValueError, match="whole numbers from 0"):
        edss.level(codes)


@pytest.mark.parametrize("rule", PRESETS, ids=lambda rule: rule.name)
def test_presets_agree_with_the_published_thresholds_for_every_pair_of_levels(rule):
    for (i, before), after in itertools.product(enumerate(LEVELS), LEVELS):
        assert rule.worse(before, after) == (after - before >= WORSE[rule.name][i])
        assert rule.improved(before, after) == (before - after >= IMPROVED[rule.name][i])


def test_presets_disagree_at_five_and_a_half():
    assert [bool(rule.worse(5.5, 6.0)) for rule in PRESETS] == [True, False, False]
    assert [bool(rule.worse(6.0, 6.5)) for rule in PRESETS] == [True, True, False]


def test_who_can_improve():
    low = [0, 1.0, 1.5, 2.0, 10.0]
    assert TRIAL.can_improve(low).tolist() == [False, True, True, True, True]
    assert MSBASE.can_improve(low).tolist() == [False, False, True, True, True]  # 1.5 → 0 is −1.5
    assert CARE_MS.can_improve(low).tolist() == [False, False, False, True, True]


@pytest.mark.parametrize("rule", PRESETS, ids=lambda rule: rule.name)
def test_only_those_who_can_improve_do(rule):
    before, after = np.meshgrid(LEVELS, LEVELS)
    assert not (rule.improved(before, after) & ~rule.can_improve(before)).any()
    assert rule.improved(LEVELS, 0)[rule.can_improve(LEVELS)].all()


def test_change_is_safe_against_rounding():
    assert TRIAL.worse(0.1 + 0.2 + 2.7, 4.0)  # 3.0000000000000004
    assert TRIAL.worse(3.0, 3.9 + 0.1 - 1e-15)


def test_between_levels_the_threshold_of_the_nearest_counts_and_the_lower_on_a_tie():
    assert TRIAL.worse(5.2, 6.2)
    assert not TRIAL.worse(5.2, 6.1)  # nearest 5.0: one point
    assert TRIAL.worse(5.3, 5.8)  # nearest 5.5: half a point
    assert not TRIAL.worse(5.25, 5.9)  # a tie: 5.0
    assert not TRIAL.worse(0.5, 1.9)  # a tie: 0, one and a half
    assert TRIAL.worse(0.6, 1.6)  # nearest 1.0
    assert TRIAL.worse([-0.2, 10.4], [1.4, 11.0]).all()  # beyond the ends: 0 and 10


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(LEVELS.tolist()), min_size=1, max_size=8),
    st.floats(0, 10),
    st.sampled_from(PRESETS),
)
def test_nobody_is_worse_and_improved_and_worse_is_monotone(before, after, rule):
    worse, improved = rule.worse(before, after), rule.improved(before, after)
    assert not (worse & improved).any()
    assert (rule.worse(before, after + 0.5) >= worse).all()


def test_broadcasting():
    assert MSBASE.worse(LEVELS[:, None], LEVELS[None, :]).shape == (20, 20)


@pytest.mark.parametrize("method", ["worse", "improved"])
@pytest.mark.parametrize("pair", [(np.nan, 2.0), (2.0, np.nan), (np.inf, 2.0)])
def test_missing_values_are_neither(method, pair):
    with pytest.raises(ValueError, match="1 EDSS values are missing or infinite: leave those patients out"):
        getattr(TRIAL, method)(*pair)


def test_a_rule_says_itself_in_a_sentence():
    assert MSBASE.describe() == (
        "MSBASE: worse is +1.5 from EDSS 0, +1 from EDSS 1, +0.5 from EDSS 6; "
        "improved is -1.5 from EDSS 0, -1 from EDSS 2, -0.5 from EDSS 6.5."
    )


@pytest.mark.parametrize(
    ("worsening", "message"),
    [
        (((1, 1.0),), "must begin at EDSS 0"),
        (((0, 1.0), (0.5, 1.0)), "levels of the EDSS in ascending order"),
        (((0, 1.0), (3, 1.0), (2, 0.5)), "levels of the EDSS in ascending order"),
        (((0, -1.0),), "positive changes"),
        ((), "pairs"),
    ],
)
def test_impossible_rules_are_refused(worsening, message):
    with pytest.raises(ValueError, match=message):
        ChangeRule(name="own", citation="", worsening=worsening, improvement=((0, 1.0),))


def test_rules_are_values():
    with pytest.raises(AttributeError):
        TRIAL.name = "other"
    assert ChangeRule(name="a", citation="", worsening=((0, 1.0),), improvement=((0, 1.0),)) == ChangeRule(
        name="a", citation="", worsening=((0, 1.0),), improvement=((0, 1.0),)
    )
