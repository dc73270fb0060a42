"""The real trial: our posterior beside the estimates of R's ordinal::clmm on the same data."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories import models

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

# ordinal::clmm(EDSS ~ factor(treatment) * t + (1 | id), nAGQ = 7) on betaseron_visits.csv, t = weeks / 52.18: estimate, SE.
CLMM = {
    "arm[low dose]": (-0.1503, 0.816),
    "arm[high dose]": (0.7584, 0.834),
    "years": (0.6036, 0.197),
    "arm[low dose]:years": (0.7216, 0.282),
    "arm[high dose]:years": (0.1627, 0.291),
}
CLMM_SD = 4.297**0.5


@pytest.fixture(scope="module")
def fit(shared_data):
    from betaseron_trial import read

    cohort = read(shared_data / "betaseron_visits.csv")
    return tj.sample(
        models.OrdinalMixed("edss ~ arm * years + (1 | patient)"), cohort, seed=1, progress=False
    )


def test_posterior_means_are_within_a_quarter_of_a_standard_error_of_clmm(fit):
    summary = fit.summary()
    for term, (estimate, se) in CLMM.items():
        assert abs(summary.loc[term, "mean"] - estimate) < 0.25 * se, term


def test_standard_deviations_are_those_of_clmm(fit):
    # With 45 patients a posterior is a little wider than the curvature at the maximum says; 12 % covers that and Monte Carlo error.
    summary = fit.summary()
    for term, (_, se) in CLMM.items():
        assert summary.loc[term, "sd"] == pytest.approx(se, rel=0.12), term


def test_spread_of_patients_is_that_of_brute_force(fit):
    # reference/betaseron_patient_sd.py integrates everything else by Laplace's approximation, with these priors; 0.05 is a sixth of the
    # posterior SD. The maximum of the likelihood lies lower, since the posterior is skewed.
    curve = pd.read_csv(Path(__file__).parent / "reference" / "betaseron_patient_sd.csv")
    weight = np.exp(curve["priors"] - curve["priors"].max())
    expected = float((weight * curve["sd"]).sum() / weight.sum())
    row = fit.summary().loc["sd(intercept)"]
    assert row["mean"] == pytest.approx(expected, abs=0.05)
    assert row["lower"] < CLMM_SD < expected
