"""The shipped cohorts are what their docstrings say, and say that they are simulated."""

from __future__ import annotations

import time

import numpy as np
import pytest

from trajectories.example_cohorts import FOLDER, simulated_alemtuzumab_35, simulated_three_dmts_400
from trajectories.windows import edss_at, relapse_windows

BOTH = [simulated_alemtuzumab_35, simulated_three_dmts_400]


@pytest.mark.parametrize("read", BOTH)
def test_they_load_quickly_and_say_simulated(read) -> None:
    read()  # whatever is imported on first use
    start = time.perf_counter()
    cohort = read()
    assert time.perf_counter() - start < 0.5
    assert cohort.simulated
    assert cohort.name == read.__name__
    assert cohort.name.startswith("simulated_")
    assert "SIMULATED" in str(cohort)
    assert "SIMULATED" in read.__doc__
    assert all(path.name.startswith("simulated_") for path in FOLDER.iterdir())


@pytest.mark.parametrize("read", BOTH)
def test_their_truth_is_that_of_their_patients(read) -> None:
    cohort = read()
    truth, patients = cohort.truth, cohort.patients
    assert truth.arms == cohort.arms
    assert truth.patients["patient"].tolist() == patients["patient"].tolist()
    assert truth.patients["arm"].tolist() == patients["arm"].tolist()
    # The effects belong to these very patients: who has a high intercept has a high EDSS.
    assert np.corrcoef(truth.patients["intercept"], patients["edss_baseline"].fillna(3.0))[0, 1] > 0.7
    assert truth.patients["intercept"].std() == pytest.approx(truth.disability.patient_sd, rel=0.3)


def quartiles(values) -> list[float]:
    return np.quantile(values, [0.25, 0.5, 0.75]).tolist()


# n, quartile, median, quartile as in the docstring; all but those at 1 year are the published ones.
EDSS_35 = {-1: (28, 1.5, 4.0, 5.125), 0: (35, 2.5, 4.0, 6.0), 1: (33, 3.0, 5.0, 6.0), 2: (29, 2.5, 3.0, 6.5)}
RELAPSES_35 = {-1: (35, 1.0, 2.0, 3.0), 0: (33, 0.0, 0.0, 1.0), 1: (30, 0.0, 0.0, 0.0)}


def test_the_35_have_the_stated_medians_and_quartiles() -> None:
    cohort = simulated_alemtuzumab_35()
    edss = edss_at(cohort, at=(-1, 0, 1, 2)).dropna(subset="edss")
    for at, (n, *expected) in EDSS_35.items():
        at_once = edss.loc[edss["at"] == at, "edss"]
        assert (len(at_once), quartiles(at_once)) == (n, expected)
    windows = relapse_windows(cohort, edges=(-1, 0, 1, 2)).query("complete")
    for start, (n, *expected) in RELAPSES_35.items():
        counts = windows.loc[windows["start"] == start, "relapses"]
        assert (len(counts), quartiles(counts)) == (n, expected)


def test_the_35_have_the_published_patients() -> None:
    cohort = simulated_alemtuzumab_35()
    patients = cohort.patients
    assert cohort.arms == ("alemtuzumab",)
    assert patients["sex"].value_counts().to_dict() == {"F": 19, "M": 16}
    assert patients["age"].mean() == pytest.approx(37.3, abs=0.05)
    assert patients["age"].std() == pytest.approx(10.5, abs=0.05)
    assert patients["duration_years"].mean() == pytest.approx(10.4, abs=0.05)
    assert patients["prior_dmts"].median() == 3
    assert (patients["age"] - patients["duration_years"]).min() > 10
    assert patients["start"].notna().all()  # dates, turned into days since treatment start
    assert cohort.visits["day"].between(-385, 750).all()


def test_the_400_were_treated_by_their_history() -> None:
    cohort = simulated_three_dmts_400()
    patients = cohort.patients
    assert patients["arm"].value_counts(sort=False).to_dict() == {
        "fingolimod": 148,
        "ocrelizumab": 119,
        "alemtuzumab": 133,
    }
    means = patients.groupby("arm", observed=True)[["age", "edss_baseline", "relapses_year_before"]].mean()
    alemtuzumab, fingolimod = means.loc["alemtuzumab"], means.loc["fingolimod"]
    assert alemtuzumab["age"] < fingolimod["age"] - 3
    assert alemtuzumab["edss_baseline"] > fingolimod["edss_baseline"] + 0.5
    assert alemtuzumab["relapses_year_before"] > fingolimod["relapses_year_before"] + 0.8
    left_early = patients["followup_end_day"] < 4 * 365
    assert 0.15 < left_early.mean() < 0.4
    missing = cohort.visits["edss"].isna().mean()
    assert 0.01 < missing < 0.03


def test_the_400_have_the_stated_truth() -> None:
    truth = simulated_three_dmts_400().truth
    stated = {
        "fingolimod": (0.41, 0.83, 0.36),
        "ocrelizumab": (0.15, 0.33, 0.18),
        "alemtuzumab": (-0.1, -0.15, 0.14),
    }
    for arm, (two, four, rate) in stated.items():
        assert [round(float(c), 2) for c in truth.change(arm, at=[2.0, 4.0])] == [two, four]
        assert round(truth.relapse_rate(arm, (0, 4)), 2) == rate
        assert round(truth.relapse_rate(arm, (-1, 0)), 2) == 1.03
        assert round(float(truth.expected_edss(arm, at=0.0)), 2) == 3.07
