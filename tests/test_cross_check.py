"""The cross-check of methods: nothing flagged where they agree, what disagrees named."""

from __future__ import annotations

import pytest

import trajectories as tj
from trajectories import models
from trajectories.fitting import cross_check as module
from trajectories.fitting.cross_check import GEE, LAPLACE, ML, NUTS, CrossCheck


def test_nuts_and_the_integrated_likelihood_agree(sampled, sampled_cohort, monkeypatch):
    monkeypatch.setattr(module, "sample", lambda model, cohort, **options: sampled)
    check = tj.cross_check(sampled.model, sampled_cohort)
    assert list(check.fits) == [ML, LAPLACE, NUTS]
    frame = check.summary()
    assert frame.loc[("arm[new]:years", NUTS), "apart"] == pytest.approx(
        (
            sampled.summary().loc["arm[new]:years", "mean"]
            - check.fits[ML].summary().loc["arm[new]:years", "estimate"]
        )
        / check.fits[ML].summary().loc["arm[new]:years", "se"]
    )
    slopes = frame.loc[["years", "arm[new]:years"]]
    assert not slopes["disagrees"].any()
    assert "log-likelihood: maximum likelihood -" in str(check)


def test_gee_is_compared_by_its_ratios():
    cohort = tj.simulated_three_dmts_400()
    model = models.RelapseCounts("relapses ~ arm + period + (1 | patient)")
    fits = {ML: tj.maximise(model, cohort), GEE: tj.maximise(model, cohort, method="gee")}
    check = CrossCheck(model=model, fits=fits)
    frame = check.summary()
    assert (
        "intercept",
        GEE,
    ) not in frame.index  # of another meaning: it holds half the variance of the patients
    assert frame.loc[("period[after]", GEE), "apart"] == pytest.approx(0.47, abs=0.02)
    assert check.disagreements.empty
    assert "no estimate lies further apart" in str(check)


def test_fits_of_different_data_disagree():
    model = models.RelapseCounts("relapses ~ period + (1 | patient)")
    fits = {
        ML: tj.maximise(model, tj.simulated_three_dmts_400()),
        LAPLACE: tj.maximise(model, tj.simulated_alemtuzumab_35(), quadrature=1),
    }
    check = CrossCheck(model=model, fits=fits)
    assert ("intercept", LAPLACE) in check.disagreements.index
    assert "intercept by Laplace" in str(check)
