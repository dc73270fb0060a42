"""The paired tests on plain arrays: against R, against enumeration of all sign flips, and at their edges."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajectories import change_tests, rank_tests, shift

REFERENCE = Path(__file__).parent / "reference"
CASES = {
    name: group["difference"].to_numpy()
    for name, group in pd.read_csv(REFERENCE / "paired_cases.csv").groupby("case", sort=False)
}
ANSWERS = pd.read_csv(REFERENCE / "paired_reference.csv").set_index(["case", "quantity"])["value"]
half_points = st.lists(st.integers(-6, 6).map(lambda k: k / 2), min_size=1, max_size=10)


def expected(case: str, quantity: str) -> float:
    return float(ANSWERS.get((case, quantity), np.nan))


# --- against R


@pytest.mark.parametrize("case", CASES)
def test_signed_rank_agrees_with_coin(case: str) -> None:
    differences = CASES[case]
    # Both sides add the same exact terms; 1e-10 relative leaves room for the order of summation only.
    normal = rank_tests.signed_rank(differences, exact_up_to=0)
    assert normal.p_value == pytest.approx(expected(case, "pratt_asymptotic_p"), rel=1e-10)
    assert normal.statistic == pytest.approx(expected(case, "pratt_v"), rel=1e-12)
    exact = rank_tests.signed_rank(differences)
    assert exact.p_value == pytest.approx(expected(case, "pratt_exact_p"), rel=1e-10)
    assert "exact" in exact.method


@pytest.mark.parametrize("case", CASES)
def test_shift_agrees_with_the_median_of_all_walsh_averages(case: str) -> None:
    result = shift.hodges_lehmann(CASES[case])
    assert result.estimate == pytest.approx(expected(case, "walsh_median"), abs=1e-14)


@pytest.mark.parametrize("case", ["continuous_7", "continuous_35", "continuous_120"])
def test_without_ties_everything_agrees_with_wilcox_test(case: str) -> None:
    result = rank_tests.signed_rank(CASES[case])
    assert result.p_value == pytest.approx(expected(case, "wilcox_p"), rel=1e-10)
    assert result.statistic == expected(case, "wilcox_v")
    # The differences carry six decimals; wilcox.test also takes exact order statistics of the same averages.
    assert result.estimate == pytest.approx(expected(case, "wilcox_hl"), abs=1e-12)
    assert result.lower == pytest.approx(expected(case, "wilcox_lower"), abs=1e-12)
    assert result.upper == pytest.approx(expected(case, "wilcox_upper"), abs=1e-12)
    assert result.confidence == pytest.approx(expected(case, "attained"), abs=1e-12)
    assert result.confidence >= 0.95


@pytest.mark.parametrize("case", CASES)
def test_sign_and_t_tests_agree_with_r(case: str) -> None:
    sign = change_tests.sign_test(CASES[case])
    for value, quantity in [
        (sign.p_value, "sign_p"),
        (sign.estimate, "sign_share"),
        (sign.lower, "sign_lower"),
        (sign.upper, "sign_upper"),
    ]:
        assert value == pytest.approx(expected(case, quantity), rel=1e-10, abs=1e-14)
    mean = change_tests.paired_t(CASES[case])
    for value, quantity in [
        (mean.statistic, "t"),
        (mean.p_value, "t_p"),
        (mean.estimate, "t_mean"),
        (mean.lower, "t_lower"),
        (mean.upper, "t_upper"),
    ]:
        assert value == pytest.approx(expected(case, quantity), rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("margin", [0.25, 0.5, 1])
def test_equivalence_agrees_with_two_one_sided_t_tests_in_r(case: str, margin: float) -> None:
    result = change_tests.equivalence(CASES[case], margin=margin)
    assert result.p_value == pytest.approx(expected(case, f"tost_p_{margin:g}"), rel=1e-9, abs=1e-14)
    assert result.lower == pytest.approx(expected(case, "tost_lower"), rel=1e-10)
    assert result.upper == pytest.approx(expected(case, "tost_upper"), rel=1e-10)
    assert (result.p_value < 0.05) == (-margin < result.lower and result.upper < margin)


def test_friedman_agrees_with_r() -> None:
    cases = pd.read_csv(REFERENCE / "paired_friedman_cases.csv")
    for row in pd.read_csv(REFERENCE / "paired_friedman_reference.csv").itertuples():
        table = cases[cases["case"] == row.case].pivot_table(index="patient", columns="point", values="value")
        result = rank_tests.friedman(table.to_numpy())
        assert result.statistic == pytest.approx(row.statistic, rel=1e-12)
        assert result.p_value == pytest.approx(row.p, rel=1e-10)


def test_holm_agrees_with_r() -> None:
    table = pd.read_csv(REFERENCE / "paired_holm.csv")
    np.testing.assert_allclose(change_tests.holm(table["p"].to_numpy()), table["holm"], rtol=1e-14)


# --- against enumeration and definitions


def p_by_enumeration(differences: list[float]) -> float:
    """Flip every sign of the non-zero differences and count sums at least as far from the middle."""
    sizes = np.abs(differences)
    ranks = np.array([(sizes < s).sum() + ((sizes == s).sum() + 1) / 2 for s in sizes])
    kept = ranks[sizes > 0]
    observed = ranks[np.array(differences) > 0].sum() - kept.sum() / 2
    sums = np.array([np.dot(signs, kept) for signs in product([0, 1], repeat=len(kept))]) - kept.sum() / 2
    return float(np.mean(np.abs(sums) >= abs(observed) - 1e-9))


@given(half_points)
@settings(deadline=None, max_examples=60)
def test_exact_p_is_the_share_of_all_sign_flips(differences: list[float]) -> None:
    result = rank_tests.signed_rank(differences)
    if any(differences):
        assert result.p_value == pytest.approx(p_by_enumeration(differences), rel=1e-12)
    else:
        assert np.isnan(result.p_value)
        assert "are 0" in result.reason


@given(half_points)
@settings(deadline=None, max_examples=100)
def test_walsh_averages_equal_the_full_list(differences: list[float]) -> None:
    i, j = np.triu_indices(len(differences))
    d = np.array(differences)
    every = np.sort((d[i] + d[j]) / 2)
    walsh = shift.WalshAverages.of(d)
    assert [walsh.ordered(k) for k in range(1, walsh.size + 1)] == every.tolist()
    assert walsh.median() == np.median(every)


@given(half_points)
@settings(deadline=None, max_examples=60)
def test_swapping_before_and_after_negates_every_estimate(differences: list[float]) -> None:
    swapped = [-d for d in differences]
    for test in (rank_tests.signed_rank, change_tests.sign_test, change_tests.paired_t):
        one, other = test(differences), test(swapped)
        np.testing.assert_allclose(one.p_value, other.p_value, rtol=1e-12)
        whole = (
            1.0 if test is change_tests.sign_test else 0.0
        )  # shares mirror about a half, shifts about zero
        np.testing.assert_allclose(one.estimate, whole - other.estimate, atol=1e-12)
        np.testing.assert_allclose(one.lower, whole - other.upper, atol=1e-12)


@given(half_points, st.randoms())
@settings(deadline=None, max_examples=40)
def test_the_order_of_patients_does_not_matter(differences: list[float], random: object) -> None:
    shuffled = list(differences)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = rank_tests.signed_rank(differences), rank_tests.signed_rank(shuffled)
    np.testing.assert_allclose(one.p_value, other.p_value, rtol=1e-12)
    assert (one.statistic, one.estimate) == (other.statistic, other.estimate) or any(differences) is False


@pytest.mark.parametrize("weights", [(0.2, 0.6, 0.2), (0.45, 0.1, 0.45), (0.05, 0.9, 0.05)])
def test_the_interval_of_the_shift_covers_at_least_as_often_as_it_says_despite_ties(
    weights: tuple[float, ...],
) -> None:
    # Exact coverage of the true centre 0: every sample of 7 steps of half a point.
    coverage, attained = 0.0, np.nan
    for sample in product(range(3), repeat=7):
        interval = shift.hodges_lehmann([(k - 1) / 2 for k in sample])
        attained = interval.confidence
        if interval.lower <= 0 <= interval.upper:
            coverage += float(np.prod([weights[k] for k in sample]))
    assert 0.95 <= attained <= coverage


def test_normal_and_exact_null_meet_at_the_limit() -> None:
    differences = CASES["edss_300"]
    exact = rank_tests.signed_rank(differences, exact_up_to=300)
    normal = rank_tests.signed_rank(differences, exact_up_to=100)
    assert "exact" in exact.method
    assert "normal" in normal.method
    assert normal.p_value == pytest.approx(exact.p_value, abs=1e-3)
    assert (normal.lower, normal.upper) == (exact.lower, exact.upper)


def test_zeros_are_ranked_before_they_are_dropped() -> None:
    # Pratt against Wilcoxon's own way: the two zeros push the ranks of 1 and 2 up, which changes p.
    assert rank_tests.doubled_pratt_ranks([0, 0, -0.5, 1, 1]).tolist() == [6, 9, 9]


def test_thousands_of_patients_are_no_problem() -> None:
    differences = np.round(np.random.default_rng(1).normal(0.1, 1, 20_000) * 2) / 2
    result = rank_tests.signed_rank(differences)
    assert result.lower <= result.estimate <= result.upper
    assert result.p_value < 1e-10


# --- edges


@pytest.mark.parametrize(
    "differences", [[], [0.0], [0.5], [0, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5], [1e-9, 5.0]]
)
def test_every_missing_number_has_a_reason(differences: list[float]) -> None:
    for result in (
        rank_tests.signed_rank(differences),
        shift.hodges_lehmann(differences),
        change_tests.sign_test(differences),
        change_tests.paired_t(differences),
        change_tests.equivalence(differences, margin=0.5),
        change_tests.equivalence(differences, margin=None),
    ):
        assert result.n == len(differences)
        numbers = [result.estimate, result.lower, result.upper]
        if result.test != "shift":
            numbers.append(result.p_value)
        assert bool(np.isnan(numbers).any()) == bool(result.reason), result


def test_reasons_say_what_is_missing() -> None:
    assert rank_tests.signed_rank([]).reason == "there are no pairs"
    assert "5 pairs are too few for a 95 % interval" in rank_tests.signed_rank([1, 2, 3, 4, 5]).reason
    assert rank_tests.signed_rank([1, 2, 3, 4, 5]).p_value == pytest.approx(2 / 2**5)
    assert "standard deviation is 0" in change_tests.paired_t([0.5, 0.5]).reason
    assert "one pair" in change_tests.paired_t([0.5]).reason
    assert change_tests.paired_t([0.5]).estimate == 0.5
    assert "none of the 2 pairs changed" in change_tests.sign_test([0, 0]).reason
    assert "yours to state" in change_tests.equivalence([0, 1, 2], margin=None).reason
    assert np.isfinite(change_tests.equivalence([0, 1, 2], margin=None).lower)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (np.ones((5, 1)), "only one time point"),
        (np.ones((1, 3)), "2 are needed"),
        (np.empty((0, 3)), "2 are needed"),
        (np.ones((4, 3)), "ever changed"),
    ],
)
def test_friedman_without_an_answer(table: np.ndarray, reason: str) -> None:
    result = rank_tests.friedman(table)
    assert np.isnan(result.p_value)
    assert reason in result.reason


def test_input_that_is_not_usable_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 differences are missing"):
        rank_tests.signed_rank([0.5, np.nan])
    with pytest.raises(ValueError, match="one-dimensional"):
        change_tests.paired_t([[0.5, 1.0]])
    with pytest.raises(ValueError, match="complete table"):
        rank_tests.friedman([[1, np.nan]])
    for margin in (0, -0.5, np.nan, np.inf):
        with pytest.raises(ValueError, match="margin must be a positive number"):
            change_tests.equivalence([0.5, 1], margin=margin)


def test_holm_counts_only_tests_with_an_answer() -> None:
    assert change_tests.holm([0.02, np.nan, 0.03])[[0, 2]].tolist() == [0.04, 0.04]
    assert np.isnan(change_tests.holm([0.02, np.nan])[1])
    assert change_tests.holm([]).size == 0
