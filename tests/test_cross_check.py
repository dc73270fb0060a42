"""The cross-check of methods: nothing flagged where they agree, what disagrees named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories import models
from trajectories.fitting import cross_check as module
from trajectories.fitting.cross_check import GEE, LAPLACE, MIXEDLM, ML, NUTS, CrossCheck
from trajectories.fitting.witnesses import by_mixedlm, population_averages


def test_nuts_and_the_integrated_likelihood_agree(sampled, sampled_cohort, monkeypatch):
    monkeypatch.setattr(module, "sample", lambda model, cohort, **options: sampled)
    check = tj.cross_check(sampled.model, sampled_cohort)
    assert list(check.fits) == [ML, LAPLACE, NUTS]
    assert len(check.averages) == 4
    assert "mean EDSS of populations" in " ".join(str(check).split())
    sizes = sampled.design.target["arm"].value_counts()
    assert f"new {sizes['new']}" in str(check)
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


def balanced(patients: int = 60, visits: int = 4) -> tj.Cohort:
    """The same number of visits of every patient, whose outcome depends on the arm alone."""
    rng = np.random.default_rng(2)
    patient = np.repeat(np.arange(patients), visits)
    own = rng.normal(0, 1.5, patients) + np.where(np.arange(patients) % 2, 1.0, -0.5)
    aid = (own[patient] + rng.logistic(size=len(patient)) > 0).astype(float)
    table = pd.DataFrame(
        {"patient": patient, "day": np.tile(np.arange(visits) * 180, patients), "edss": 2.0, "aid": aid}
    )
    people = pd.DataFrame(
        {"patient": np.arange(patients), "arm": np.where(np.arange(patients) % 2, "new", "old")}
    )
    return tj.read_cohort(table, patients=people)


def test_gee_of_a_balanced_binary_outcome_is_the_share_and_its_error_that_of_patients_shares():
    cohort = balanced()
    fit = tj.maximise(models.BinaryMixed("aid ~ arm + (1 | patient)"), cohort, quadrature=21)
    frame, notes = population_averages(fit)
    rows = fit.design.frame
    for arm in ("old", "new"):
        shares = rows[rows["arm"] == arm].groupby("patient")["aid"].mean()
        found = frame.loc[arm].iloc[0]
        assert found["gee"] == pytest.approx(shares.mean(), abs=1e-6)
        assert found["se"] == pytest.approx(
            np.sqrt(((shares - shares.mean()) ** 2).sum()) / len(shares), rel=1e-4
        )
        assert found["estimate"] == pytest.approx(shares.mean(), abs=0.02)
    assert not frame["disagrees"].any()
    assert notes[0].startswith("GEE (statsmodels, exchangeable")


def test_averages_of_another_outcome_disagree():
    cohort = tj.simulated_three_dmts_400()
    low, high = (
        models.BinaryMixed("edss ~ arm * years + (1 | patient)", threshold=threshold)
        for threshold in (2.0, 6.0)
    )
    fit = tj.maximise(high, cohort)
    frame, _ = population_averages(replace(fit, design=low.design(cohort)))
    assert frame["disagrees"].all()
    check = CrossCheck(model=high, fits={ML: fit}, averages=frame)
    assert "6 of 6 lie further apart" in str(check)


def test_what_does_not_apply_is_said():
    cohort = tj.simulated_alemtuzumab_35()
    fit = tj.maximise(models.OrdinalMixed("edss ~ years + (1 | patient)", link="probit"), cohort)
    frame, notes = population_averages(fit)
    assert frame is None
    assert notes == ("GEE is left out: statsmodels' OrdinalGEE is of the logit link",)


def test_mixedlm_is_beside_ours():
    cohort = tj.simulated_three_dmts_400()
    model = models.GaussianMixed("edss ~ arm * years + (1 + years | patient)")
    fit = tj.maximise(model, cohort)
    frame, said = by_mixedlm(fit.design)
    assert f"log-likelihood {fit.loglik:.3f}" in said
    check = CrossCheck(model=model, fits={ML: fit}, witnesses={MIXEDLM: frame})
    summary = check.summary()
    assert ("arm[alemtuzumab]:years", MIXEDLM) in summary.index
    assert summary.xs(MIXEDLM, level="method")["apart"].abs().max() < 0.01
    assert check.disagreements.empty
    off = frame.assign(estimate=frame["estimate"] + 0.1 * frame["se"].fillna(0.0))
    assert ("years", MIXEDLM) in CrossCheck(
        model=model, fits={ML: fit}, witnesses={MIXEDLM: off}
    ).disagreements.index
