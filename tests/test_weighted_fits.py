"""Weighted fits: a weight of 2 is a patient who is there twice, errors are sandwiches, and what needs a likelihood is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.stats import multivariate_normal

import trajectories as tj
from trajectories import models
from trajectories.fitting import robust
from trajectories.fitting.counts import CountData, count_likelihood
from trajectories.fitting.influence import influence
from trajectories.fitting.leave_one_out import leave_one_out
from trajectories.fitting.likelihood_tests import likelihood_ratio
from trajectories.fitting.reweighted import Refitter
from trajectories.models.design import PatientWeights

REFERENCE = Path(__file__).parent / "reference"
NUMBERS = pd.read_csv(REFERENCE / "contrast_reference.csv").set_index(["case", "quantity"])["value"]
GAUSSIAN = models.GaussianMixed("edss ~ arm * years + (1 + years | patient)")
MODELS = {
    "ordinal": (models.OrdinalMixed("edss ~ arm * years + (1 | patient)"), {"quadrature": 1}),
    "binary": (models.BinaryMixed("edss ~ arm * years + (1 | patient)", threshold=4.0), {}),
    "gaussian": (GAUSSIAN, {}),
    "counts": (models.RelapseCounts("relapses ~ arm", windows=(0.0, None)), {}),
    "poisson": (models.RelapseCounts("relapses ~ arm * period", family="poisson"), {}),
    "mixed counts": (models.RelapseCounts("relapses ~ arm * period + (1 | patient)", family="poisson"), {}),
    "gee": (models.RelapseCounts("relapses ~ arm * period"), {"method": "gee"}),
}


@pytest.fixture(scope="module")
def cohort() -> tj.Cohort:
    truth = tj.OrdinalTruth(slope=0.5, patient_sd=3.0)
    visits = tj.VisitSchedule(years=(-1, 0, 0.5, 1, 1.5, 2))
    return tj.simulate_cohort(patients={"old": 24, "new": 24}, seed=3, disability=truth, visits=visits)


def weighted(cohort, values):
    """Weights of the patients in the cohort's order."""
    return tj.weights_of(cohort, pd.Series(np.asarray(values, dtype=float), index=cohort.patients["patient"]))


def first_of_each_arm(cohort, n):
    """Whether a patient is one of the first n of the arm."""
    return (cohort.patients.groupby("arm", observed=True).cumcount() < n).to_numpy()


@pytest.mark.parametrize("name", MODELS)
def test_a_weight_of_two_is_a_patient_who_is_there_twice(cohort, name):
    model, options = MODELS[name]
    twice = first_of_each_arm(cohort, 8)
    ids = cohort.patients["patient"]
    weighted_fit = tj.maximise(
        model, cohort, weights=weighted(cohort, np.where(twice, 2, 1)), progress=False, **options
    )
    doubled = tj.maximise(model, cohort.only([*ids, *ids[twice]]), progress=False, **options)
    estimates = weighted_fit.summary()["estimate"]
    assert estimates.to_numpy() == pytest.approx(doubled.summary()["estimate"].to_numpy(), abs=2e-5)
    plain = tj.maximise(model, cohort, progress=False, **options).summary()["estimate"]
    assert np.abs(estimates - plain).max() > 0.02, "the weights should matter"


@pytest.mark.parametrize("name", MODELS)
def test_equal_weights_leave_the_estimates_and_give_the_sandwich(cohort, name):
    model, options = MODELS[name]
    plain = tj.maximise(model, cohort, progress=False, **options)
    equal = tj.maximise(model, cohort, weights=weighted(cohort, np.full(48, 3.0)), progress=False, **options)
    assert equal.summary()["estimate"].to_numpy() == pytest.approx(
        plain.summary()["estimate"].to_numpy(), abs=2e-5
    )
    assert "robust" in equal.summary().attrs["interval"]
    if name in ("ordinal", "binary", "mixed counts"):
        robust = plain.summary(robust=True)["se"].to_numpy()
        assert equal.summary()["se"].to_numpy() == pytest.approx(robust, rel=1e-3)
    elif (
        name == "gee"
    ):  # the errors are those of statsmodels' own form of Mancl and DeRouen's, which weights leave alone here
        assert equal.summary()["se"].to_numpy() == pytest.approx(bias_reduced(plain), rel=1e-5)
    else:
        assert (equal.summary()["se"] != plain.summary()["se"]).all()


def bias_reduced(fit):
    """Standard errors of a GEE by statsmodels, corrected after Mancl and DeRouen."""
    design = fit.design
    X = np.column_stack([np.ones(len(design.frame)), design.formula.matrices.X])
    alpha = float(re.search(r"([0-9.]+)·μ²", fit.caveats[0]).group(1)) if "·μ²" in fit.caveats[0] else 0.0
    family = sm.families.NegativeBinomial(alpha=alpha) if alpha else sm.families.Poisson()
    gee = sm.GEE(
        design.outcome, X, groups=design.patient, exposure=design.exposure, family=family,
        cov_struct=sm.cov_struct.Exchangeable(),
    )  # fmt: skip
    return np.sqrt(np.diag(gee.fit(cov_type="bias_reduced", ctol=1e-10, maxiter=500).cov_params()))


@pytest.mark.parametrize("name", MODELS)
def test_refits_with_weights_are_the_fit_with_weights(cohort, name):
    model, options = MODELS[name]
    values = 1.0 + 0.5 * np.tile([1.0, -1.0, 0.0], 16)
    weights = weighted(cohort, values)
    refitted = Refitter.of(tj.maximise(model, cohort, progress=False, **options)).with_weights(
        7.0 * weights.values.to_numpy()
    )
    fit = tj.maximise(model, cohort, weights=weights, progress=False, **options)
    found = fit.summary()["estimate"]
    assert float(refitted.parameters["intercept"].item() if "intercept" in refitted.parameters else 0.0) == (
        pytest.approx(found.get("intercept", 0.0), abs=2e-5)
    )
    terms = [str(term) for term in refitted.parameters["term"].to_numpy()]
    assert refitted.parameters["coefficients"].to_numpy().ravel() == pytest.approx(
        found[terms].to_numpy(), abs=2e-5
    )


def test_weighted_counts_against_svyglm_and_a_sandwich_by_hand(monkeypatch):
    """With the information taken as if every patient were still there, errors are those of the survey package."""
    monkeypatch.setattr(robust, "without_each", lambda bread, scores, *_: scores @ bread)
    table = pd.read_csv(REFERENCE / "contrast_patients.csv")
    cohort = tj.simulated_three_dmts_400()
    overlap = tj.weights(tj.propensity(cohort, "arm ~ age + edss_baseline + relapses_year_before"), "ATO")
    X = np.column_stack([table["arm"] == "ocrelizumab", table["arm"] == "alemtuzumab", table["age"]]).astype(
        float
    )
    w = overlap.values.reindex(table["patient"]).to_numpy()
    data = CountData(
        counts=table["after"].to_numpy(), exposure=table["exposure"].to_numpy(), X=X, terms=("arm[o]", "arm[a]", "age"),
        patient=np.arange(len(table)), weights=PatientWeights(values=w / w.mean()),
    )  # fmt: skip
    for family in ("poisson", "negative binomial"):
        frame = count_likelihood(data, family=family).to_frame()
        for term, name in zip(
            frame.index[:4], ("(Intercept)", "armocrelizumab", "armalemtuzumab", "age"), strict=True
        ):
            assert frame.loc[term, "estimate"] == pytest.approx(NUMBERS[family, f"estimate {name}"], abs=1e-4)
            assert frame.loc[term, "se"] == pytest.approx(NUMBERS[family, f"se {name}"], rel=2e-4)
    assert frame.loc["dispersion", "estimate"] == pytest.approx(
        NUMBERS["negative binomial", "dispersion"], rel=1e-4
    )
    assert frame.loc["dispersion", "se"] == pytest.approx(
        NUMBERS["negative binomial", "se dispersion"], rel=1e-3
    )


def test_weighted_gaussian_against_normal_densities_by_brute_force(cohort):
    """The estimates are a stationary point of Σ w log N(y; Xβ, ZΣZ' + σ²I), and the errors its sandwich by finite differences."""
    values = 1.0 + 0.6 * np.tile([1.0, -1.0, 0.5, -0.5], 12)
    fit = tj.maximise(GAUSSIAN, cohort, weights=weighted(cohort, values))
    design = fit.design
    X = np.column_stack([np.ones(len(design.frame)), design.formula.matrices.X])
    Z, y, w = design.formula.matrices.Z, design.outcome, design.weight_values
    rows = design.rows_by_patient()

    def terms(theta):
        beta, (s0, s1, rho, s) = theta[: X.shape[1]], theta[X.shape[1] :]
        sigma = np.array([[s0**2, rho * s0 * s1], [rho * s0 * s1, s1**2]])
        return np.array(
            [
                multivariate_normal.logpdf(y[r], X[r] @ beta, Z[r] @ sigma @ Z[r].T + s**2 * np.eye(len(r)))
                for r in rows
            ]
        )

    summary = fit.summary()
    theta = summary["estimate"].to_numpy()
    step = 1e-4 * np.eye(len(theta))
    scores = np.stack([(terms(theta + h) - terms(theta - h)) / 2e-4 for h in step], axis=1)
    gradient = w @ scores
    hessians = np.array(
        [
            [
                (terms(theta + a + b) - terms(theta + a - b) - terms(theta - a + b) + terms(theta - a - b)) / 4e-8
                for b in step
            ]
            for a in step
        ]
    )  # fmt: skip
    hessian = hessians @ w
    assert np.abs(np.linalg.solve(hessian, gradient)).max() < 1e-4
    # fixed effects and variances are taken as independent, which they are in expectation
    k, own = X.shape[1], w[:, None, None] * np.moveaxis(hessians, -1, 0)
    weighted_scores = scores * w[:, None]
    steps = [np.linalg.solve((h - hessian)[:k, :k], s[:k]) for h, s in zip(own, weighted_scores, strict=True)]
    errors = np.sqrt((np.array(steps) ** 2).sum(axis=0))
    assert summary["se"].to_numpy()[:k] == pytest.approx(errors, rel=0.005)
    bread = np.linalg.inv(-hessian)
    plain = np.sqrt(np.diag(bread @ weighted_scores.T @ weighted_scores @ bread))[k:]
    # of refits without each patient the errors are 1.13, 1.09, 1.16 and 1.03 times the plain ones, by one step 1.37, 1.11, 1.14 and 1.05
    ratio = summary["se"].to_numpy()[k:] / plain
    assert ((ratio > 1.02) & (ratio < 1.4)).all()
    assert fit.loglik == pytest.approx(float(w @ terms(theta)), abs=1e-6)


# Of the ordinal model two patients alone hold a level, and it cannot be fitted without them: theirs is the step to a weight of 0.01.
@pytest.mark.parametrize(
    ("name", "apart"),
    [("ordinal", 0.15), ("binary", 0.04), ("mixed counts", 0.03), ("gaussian", 0.002), ("counts", 0.04), ("gee", 0.04)],
)  # fmt: skip
def test_errors_are_those_of_the_jackknife(cohort, name, apart):
    """Σ (θ − θ without i)², by refits. One step of Newton is exact for means of Gaussian models alone; the plain sandwich is 4 to 17 % less."""
    model, options = MODELS[name]
    values = 1.0 + 0.5 * np.tile([1.0, -1.0, 0.0], 16)
    fit = tj.maximise(model, cohort, weights=weighted(cohort, values), progress=False, **options)
    refitter, own = Refitter.of(fit), fit.design.weight_values
    alone = np.isin(np.arange(48), (14, 23)) & (name == "ordinal")

    def at(weights):
        return refitter.with_weights(weights).parameters["coefficients"].to_numpy().ravel()

    steps = [
        at(own) - at(np.where(np.arange(48) == i, 0.01 if alone[i] else 1e-6, 1) * own) for i in range(48)
    ]
    errors = fit.summary().loc[list(fit.design.terms), "se"].to_numpy()
    assert np.sqrt((np.array(steps) ** 2).sum(axis=0)) == pytest.approx(errors, rel=apart)


def test_what_needs_a_likelihood_is_refused(cohort):
    weights = weighted(cohort, np.tile([1.0, 2.0], 24))
    model = models.RelapseCounts("relapses ~ arm * period + (1 | patient)", family="poisson")
    fit = tj.maximise(model, cohort, weights=weights, progress=False)
    additive = replace(model, formula="relapses ~ arm + period + (1 | patient)")
    smaller = tj.maximise(additive, cohort, weights=weights, progress=False)
    assert np.isnan(fit.aic)
    assert np.isnan(fit.bic)
    assert np.isfinite(fit.loglik)
    for refused in (
        lambda: fit.profile("arm[new]"), lambda: likelihood_ratio(smaller, fit), lambda: influence(fit),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="a weighted sum of log-likelihoods is none: use the robust"):
            refused()
    with pytest.raises(TypeError, match="no posterior"):
        leave_one_out(fit)
    with pytest.raises(ValueError, match="restricted likelihood has no weights"):
        tj.maximise(GAUSSIAN, cohort, method="reml", weights=weights)
    assert "weighted log-likelihood" in str(fit)
    assert "take the weights as known" in str(fit)


def test_patients_without_weight_are_left_out_and_counted(cohort):
    ids = cohort.patients["patient"]
    some = first_of_each_arm(cohort, 20)
    series = pd.Series(1.0, index=ids[some])
    nobody = series.index[[3, 23]]  # one of each arm, so that the arms weigh alike
    series[nobody] = 0.0
    fit = tj.maximise(GAUSSIAN, cohort, weights=tj.weights_of(cohort, series))
    kept = [patient for patient, inside in zip(ids, some, strict=True) if inside and patient not in nobody]
    assert fit.design.n_patients == 38
    assert list(fit.design.patient_ids) == kept
    assert "10 of 48 patients have no weight and were left out" in fit.caveats
    assert fit.design.weight_values.mean() == pytest.approx(1.0)
    alone = cohort.only(kept)
    again = tj.maximise(GAUSSIAN, alone, weights=tj.weights_of(alone, series[series > 0]))
    assert fit.summary()["estimate"].to_numpy() == pytest.approx(
        again.summary()["estimate"].to_numpy(), abs=1e-6
    )


def test_weights_of_other_patients_are_refused(cohort):
    other = cohort.only(cohort.patients["patient"][:30].tolist())
    with pytest.raises(ValueError, match="the weights are of other patients than those of 'simulated cohort"):
        tj.maximise(GAUSSIAN, other, weights=weighted(cohort, np.ones(48)))


def test_only_takes_patients_in_their_order_with_all_their_rows(cohort):
    ids = cohort.patients["patient"].tolist()
    some = cohort.only([ids[30], ids[2], ids[30]])
    assert some.patients["patient"].tolist() == [ids[30], ids[2], f"{ids[30]} copy 2"]
    for table in ("visits", "relapses"):
        whole, part = getattr(cohort, table), getattr(some, table)
        of_30 = (whole["patient"] == ids[30]).sum()
        assert len(part) == 2 * of_30 + (whole["patient"] == ids[2]).sum()
        assert (part["patient"] == f"{ids[30]} copy 2").sum() == of_30
    with pytest.raises(KeyError):
        cohort.only(["nobody"])
