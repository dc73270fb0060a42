"""paired_tests on cohorts made by hand: who is in the pairs, which numbers, what the print says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trajectories.change_tests import holm
from trajectories.cohort import Cohort
from trajectories.paired import PairedTests, paired_tests
from trajectories.reading import read_cohort

REFERENCE = Path(__file__).parent / "reference"
KINDS = ["signed rank", "sign", "paired t", "equivalence"]


def cohort_of(
    edss: dict[str, dict[float, float]],
    relapses: dict[str, list[float]] | None = None,
    *,
    follow: tuple[float, float] | dict[str, tuple[float, float]] = (-1.5, 2.5),
    arm: dict[str, str] | None = None,
) -> Cohort:
    """EDSS by patient and year, relapse onsets by patient in years, follow-up in years."""
    visits = [
        {"patient": patient, "years": year, "edss": value}
        for patient, values in edss.items()
        for year, value in values.items()
    ]
    followup = follow if isinstance(follow, dict) else dict.fromkeys(edss, follow)
    patients = pd.DataFrame(
        {
            "patient": list(edss),
            "followup_start": [followup[p][0] for p in edss],
            "followup_end": [followup[p][1] for p in edss],
        }
    )
    if arm is not None:
        patients["arm"] = [arm[p] for p in edss]
    onsets = None
    if relapses is not None:
        rows = [(patient, year) for patient, years in relapses.items() for year in years]
        onsets = pd.DataFrame(rows, columns=["patient", "years"]).astype({"patient": "str", "years": "float"})
    return read_cohort(pd.DataFrame(visits), relapses=onsets, patients=patients, name="by hand")


def row_of(result: PairedTests, test: str, outcome: str = "EDSS", later: float | None = 1.0) -> pd.Series:
    frame = result.to_frame()
    rows = frame[(frame["test"] == test) & (frame["outcome"] == outcome)]
    rows = rows[rows["later"].isna()] if later is None else rows[rows["later"] == later]
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.fixture
def from_r() -> tuple[Cohort, pd.Series]:
    """The 35 differences that R answered, as a cohort that starts at EDSS 5."""
    table = pd.read_csv(REFERENCE / "paired_cases.csv")
    differences = table.loc[table["case"] == "edss_35", "difference"]
    assert differences.between(-4, 5).all()
    edss = {f"p{k}": {-0.1: 5.0, 1.0: 5.0 + d} for k, d in enumerate(differences)}
    answers = pd.read_csv(REFERENCE / "paired_reference.csv").set_index(["case", "quantity"])["value"]
    return cohort_of(edss), answers["edss_35"]


def test_the_numbers_of_r_come_out_of_a_cohort(from_r: tuple[Cohort, pd.Series]) -> None:
    cohort, r = from_r
    result = paired_tests(cohort, at=(0, 1), margin=0.5)
    assert row_of(result, "signed rank")["p_value"] == pytest.approx(r["pratt_exact_p"], rel=1e-10)
    assert row_of(result, "signed rank")["estimate"] == pytest.approx(r["walsh_median"], abs=1e-12)
    assert row_of(result, "sign")["p_value"] == pytest.approx(r["sign_p"], rel=1e-10)
    assert row_of(result, "paired t")["p_value"] == pytest.approx(r["t_p"], rel=1e-10)
    assert row_of(result, "equivalence")["p_value"] == pytest.approx(r["tost_p_0.5"], rel=1e-10)
    assert result.pairs.loc[0, "pairs"] == 35
    normal = paired_tests(cohort, at=(0, 1), exact_up_to=0)
    assert row_of(normal, "signed rank")["p_value"] == pytest.approx(r["pratt_asymptotic_p"], rel=1e-10)


def test_pairs_say_who_is_missing_and_why() -> None:
    cohort = cohort_of(
        {
            "complete": {-0.1: 2.0, 1.0: 2.5},
            "same": {0.0: 3.0, 1.1: 3.0},
            "late start": {0.1: 2.0, 1.0: 2.0},
            "left": {0.0: 4.0, 0.5: 4.0},
            "neither": {-0.7: 4.0, 0.6: 4.0},
            "missing value": {0.0: 2.0, 1.0: np.nan},
        }
    )
    pairs = paired_tests(cohort, at=(0, 1)).pairs.iloc[0]
    assert pairs[["patients", "pairs", "no_baseline", "no_later", "neither"]].tolist() == [6, 2, 1, 2, 1]
    assert pairs[["higher", "same", "lower"]].tolist() == [1, 1, 0]
    assert pairs[["baseline_median", "later_median"]].tolist() == [2.5, 2.75]
    text = str(paired_tests(cohort, at=(0, 1)))
    assert "2 pairs of 6 patients (1 without a baseline, 2 without a later value, 1 without either)" in text


def test_relapse_pairs_need_complete_windows_of_equal_length() -> None:
    edss = {p: {0.0: 2.0} for p in ("full", "short before", "short after")}
    follow = {"full": (-1.5, 2.5), "short before": (-0.5, 2.5), "short after": (-1.5, 1.2)}
    cohort = cohort_of(
        edss, {"full": [-0.5, -0.2, 0.3], "short before": [-0.1], "short after": [-0.3]}, follow=follow
    )
    pairs = paired_tests(cohort).pairs
    relapses = pairs[pairs["outcome"] == "relapses"].set_index("later")
    assert relapses.loc[1.0, ["pairs", "no_baseline", "no_later", "neither"]].tolist() == [2, 1, 0, 0]
    assert relapses.loc[2.0, ["pairs", "no_baseline", "no_later", "neither"]].tolist() == [1, 1, 1, 0]
    assert row_of(paired_tests(cohort), "paired t", "relapses")["estimate"] == -1.0

    unequal = paired_tests(cohort, edges=(-1, 0, 0.5, 1.5))
    row = row_of(unequal, "signed rank", "relapses", 0.5)
    assert np.isnan(row["p_value"])
    assert row["reason"] == "the window is 0.5 y and the one before the start 1 y: counts are no pair"
    assert row_of(unequal, "signed rank", "relapses", 1.5)["n"] == 1
    assert "0.5 y" in row_of(unequal, "Friedman", "relapses", None)["reason"]
    open_end = paired_tests(cohort, edges=(-1, 0, None))
    assert "of no fixed length" in row_of(open_end, "sign", "relapses", np.inf)["reason"]


def test_without_a_relapse_table_relapses_are_not_tested_and_it_says_so() -> None:
    result = paired_tests(cohort_of({"a": {0.0: 2.0, 1.0: 2.5}}))
    rows = result.to_frame().query("outcome == 'relapses'")
    assert rows["p_value"].isna().all()
    assert set(rows["reason"]) == {"the cohort has no relapse table"}
    assert "not tested: the cohort has no relapse table" in str(result)


def test_an_empty_relapse_table_means_nobody_had_one() -> None:
    result = paired_tests(cohort_of({"a": {0.0: 2.0}, "b": {0.0: 3.0}}, {}))
    row = row_of(result, "signed rank", "relapses")
    assert row["n"] == 2
    assert row["reason"] == "all 2 differences are 0, so no rank has a sign"
    assert row["estimate"] == 0


def test_the_margin_is_the_users_to_state(from_r: tuple[Cohort, pd.Series]) -> None:
    cohort, r = from_r
    silent = row_of(paired_tests(cohort), "equivalence")
    assert np.isnan(silent["p_value"])
    assert "the margin is yours to state" in silent["reason"]
    assert silent["lower"] == pytest.approx(r["tost_lower"], rel=1e-10)
    assert "the margin is yours to state" in str(paired_tests(cohort))
    stated = paired_tests(cohort, margin=0.5)
    assert stated.margin == 0.5
    assert "± 0.5 points" in str(stated)
    assert "yours to state" not in str(stated)
    with pytest.raises(ValueError, match="margin must be a positive number"):
        paired_tests(cohort, margin=-1)


def three_arms() -> Cohort:
    rng = np.random.default_rng(5)
    edss, relapses, arm = {}, {}, {}
    for k in range(60):
        name = f"p{k}"
        start = rng.integers(4, 10) / 2
        edss[name] = {t: float(start + rng.integers(-1, 3) / 2) for t in (-1.0, 0.0, 1.0, 2.0)}
        relapses[name] = [float(t) for t in (-0.5, 0.5, 1.5) if rng.random() < 0.5]
        arm[name] = ("natalizumab", "ocrelizumab", "alemtuzumab")[k % 3]
    return cohort_of(edss, relapses, arm=arm)


def test_arms_are_tested_one_by_one_and_holm_covers_the_table() -> None:
    cohort = three_arms()
    result = paired_tests(cohort, margin=0.5)
    frame = result.to_frame()
    assert list(frame["arm"].unique()) == list(cohort.arms)
    for test, rows in frame.groupby("test"):
        np.testing.assert_allclose(rows["p_holm"], holm(rows["p_value"].to_numpy()))
        assert (rows["family"] == rows["p_value"].notna().sum()).all(), test
    assert row_of(paired_tests(cohort, pooled=True), "sign")["family"] == 4
    assert (frame.loc[frame["test"] == "signed rank", "family"] == 12).all()
    assert "not a difference between the arms" in str(result)
    alone = paired_tests(cohort, pooled=True)
    assert alone.pairs["patients"].unique().tolist() == [60]
    assert "All arms are taken together" in str(alone)


def test_friedman_takes_the_complete_patients() -> None:
    cohort = three_arms()
    frame = paired_tests(cohort, pooled=True).to_frame()
    friedman = frame[frame["test"] == "Friedman"].set_index("outcome")
    assert friedman["n"].to_dict() == {"EDSS": 60, "relapses": 60}
    values = cohort.visits.pivot_table(index="patient", columns="years", values="edss")
    from scipy.stats import friedmanchisquare

    theirs = friedmanchisquare(*[values[t] for t in values])
    assert friedman.loc["EDSS", "statistic"] == pytest.approx(theirs.statistic, rel=1e-12)


@pytest.mark.parametrize(
    "edss",
    [
        {"a": {0.5: 2.0}},
        {"a": {0.0: 2.0}},
        {"a": {0.0: 2.0, 1.0: 2.5}},
        {"a": {0.0: 2.0, 1.0: 2.0}, "b": {0.0: 3.0, 1.0: 3.0}},
        {"a": {0.0: 2.0, 1.0: 2.5}, "b": {0.0: 3.0, 1.0: 3.5}},
        {"a": {0.0: np.nan}},
    ],
    ids=["no baseline", "no later", "one pair", "no change", "all tied", "no EDSS"],
)
@pytest.mark.parametrize("at", [(0,), (0, 1), (-1, 0, 1, 2)])
@pytest.mark.parametrize("relapses", [None, {}, {"a": [-0.5]}], ids=["no table", "empty", "one relapse"])
def test_no_cohort_is_too_small(
    edss: dict[str, dict[float, float]], at: tuple[float, ...], relapses: dict[str, list[float]] | None
) -> None:
    result = paired_tests(cohort_of(edss, relapses), at=at, margin=0.5)
    frame = result.to_frame()
    missing = frame[["estimate", "p_value"]].isna().any(axis=1)
    assert (frame.loc[missing, "reason"] != "").all()
    assert (frame["p_value"].dropna() <= 1).all()
    assert max(map(len, str(result).splitlines())) <= 100
    assert "nan" not in str(result).split("How to read")[0]


def test_baseline_must_be_among_the_time_points() -> None:
    with pytest.raises(ValueError, match="at must contain 0"):
        paired_tests(cohort_of({"a": {0.0: 2.0}}), at=(-1, 1))


def test_the_order_of_time_points_does_not_matter() -> None:
    cohort = three_arms()
    one, other = paired_tests(cohort, at=(2, 0, -1, 1)), paired_tests(cohort)
    pd.testing.assert_frame_equal(one.to_frame(), other.to_frame())


def test_the_print_warns_of_what_the_design_cannot_show() -> None:
    cohort = three_arms()
    text = str(paired_tests(cohort, margin=0.5))
    flat = " ".join(text.split())
    assert "A p-value above 0.05 is not evidence of stability" in flat
    assert "cannot separate the drug from regression to the mean" in flat
    assert max(map(len, text.splitlines())) <= 100
    assert "SIMULATED" not in text
    assert "SIMULATED" in str(paired_tests(replace(cohort, simulated=True)))
    assert repr(paired_tests(cohort)) == str(paired_tests(cohort))
    assert not any(f"p{k} " in text for k in range(60))


def test_frames_can_be_changed_without_harm() -> None:
    result = paired_tests(three_arms())
    before = str(result)
    frame = result.to_frame()
    frame["p_value"] = 0.0
    assert str(result) == before
