"""Predictions of single patients against R's lme4, integrals by brute force, and NUTS against maximum likelihood."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special, stats

import trajectories as tj
from trajectories import edss, models
from trajectories.cohort import Cohort
from trajectories.estimands.predictions import predict
from trajectories.fitting.fit import Fit
from trajectories.fitting.known_patients import gaussian_conditional, known_effects
from trajectories.fitting.marginal_fit import MarginalFit
from trajectories.fitting.point import PointFit

sys.path.insert(0, str(Path(__file__).parent))
import gaussian_cases
from fifty_patients import fifty_patients

REFERENCE = Path(__file__).parent / "reference"
SAMPLE = ("chain", "draw")


@cache
def gaussian() -> PointFit:
    model = models.GaussianMixed("edss ~ years + (1 + years | patient)")
    return tj.maximise(model, gaussian_cases.cohort("slopes"))


@cache
def ordinal() -> PointFit:
    return tj.maximise(models.OrdinalMixed("edss ~ arm * years + (1 + years | patient)"), fifty_patients())


@cache
def counts() -> PointFit:
    return tj.maximise(models.RelapseCounts("relapses ~ arm * period + (1 | patient)"), fifty_patients())


def certain(fit: PointFit) -> PointFit:
    """The same fit, its estimates without any uncertainty: what is left is that of the patients."""
    assert isinstance(fit.solution, MarginalFit)
    none = np.eye(len(fit.solution.theta)) * 1e-20
    return replace(fit, solution=replace(fit.solution, covariance=none))


def estimates(fit: PointFit) -> xr.Dataset:
    assert not isinstance(fit.solution, MarginalFit)
    return fit.solution.estimates.expand_dims(["chain", "draw"])  # type: ignore[union-attr]


def test_gaussian_effects_given_the_data_are_those_of_lme4() -> None:
    fit = gaussian()
    answers = pd.read_csv(REFERENCE / "predict_reference.csv")
    mean, root = gaussian_conditional(estimates(fit), fit.design, np.arange(fit.design.n_patients))
    covariance = root[0] @ np.swapaxes(root[0], -1, -2)
    ids = [str(name) for name in fit.design.patient_ids or ()]
    effects = list(fit.design.effects)
    for row in answers.itertuples():
        place, i, j = ids.index(str(row.patient)), effects.index(row.effect), effects.index(row.other_effect)
        assert mean[0, place, i] == pytest.approx(row.mode, abs=1e-4)
        assert covariance[place, i, j] == pytest.approx(row.covariance, abs=1e-4)


def test_gaussian_predictions_are_the_best_linear_unbiased_ones_with_their_variance() -> None:
    # Henderson's mixed-model equations: their inverse is the covariance of (β̂, û − u) at the variance components; those of the draws vary
    # too, so that intervals are a little wider.
    fit = gaussian()
    design, at = fit.design, fit.solution.estimates  # type: ignore[union-attr]
    n, q = design.n_patients, 2
    X = np.column_stack([np.ones(len(design.frame)), design.formula.matrices.X])
    Z = np.zeros((len(X), n * q))
    for row, patient in enumerate(design.patient):
        Z[row, patient * q : patient * q + q] = design.formula.matrices.Z[row]
    both = np.hstack([X, Z])
    sigma2 = float(at["residual_sd"]) ** 2
    left = both.T @ both / sigma2
    left[2:, 2:] += np.kron(np.eye(n), np.linalg.inv(at["patient_covariance"].to_numpy()))
    inverse = np.linalg.inv(left)
    solution = inverse @ (both.T @ design.outcome) / sigma2
    found = predict(fit, [0.0, 2.5], seed=3).summary()
    wider = []
    for patient in range(n):
        for t in (0.0, 2.5):
            row = np.zeros(len(solution))
            row[[0, 1, 2 + patient * q, 3 + patient * q]] = 1, t, 1, t
            mean, sd = float(row @ solution), float(np.sqrt(row @ inverse @ row))
            assert found["mean"][patient, t] == pytest.approx(mean, abs=4.5 * sd / np.sqrt(1000) + 0.02)
            wider.append(found["sd"][patient, t] / sd)
    assert 0.99 < np.mean(wider) < 1.08


def test_estimates_that_are_uncertain_widen_what_is_said_of_a_patient() -> None:
    # in twelve patients they are; with the same seed the patients' own part is drawn from the same random numbers
    made = tj.simulate_cohort(patients={"old": 6, "new": 6}, seed=3)
    fit = tj.maximise(models.RelapseCounts("relapses ~ arm * period + (1 | patient)", family="poisson"), made)
    loose, sure = (predict(one, 1.0, seed=1).draws.std(SAMPLE) for one in (fit, certain(fit)))
    assert float((loose / sure).mean()) > 1.1


def by_brute_force(fit: PointFit, patient: int, at: np.ndarray) -> tuple[np.ndarray, float]:
    """Level probabilities and the sd of expected EDSS of a known patient of the ordinal model at the estimates, over a grid of both effects."""
    parameters = fit.solution.estimates()  # type: ignore[operator,union-attr]
    root = np.linalg.cholesky(parameters["patient_covariance"].to_numpy())
    v = np.stack(np.meshgrid(*[np.linspace(-6, 6, 241)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    u = v @ root.T
    cut = np.concatenate([[-np.inf], parameters["cutpoints"].to_numpy(), [np.inf]])
    beta, rows = parameters["coefficients"].to_numpy(), fit.design.rows_by_patient()[patient]
    logs = -0.5 * (v**2).sum(axis=1)
    matrices = fit.design.formula.matrices
    for row in rows:
        eta = matrices.X[row] @ beta + u @ matrices.Z[row]
        code = int(edss.code(fit.design.outcome[row]))
        logs += np.log(special.expit(cut[code + 1] - eta) - special.expit(cut[code] - eta))
    weight = special.softmax(logs)
    arm = float(fit.design.target["arm"].iloc[patient] == "new")
    t = float(at)
    eta = np.array([arm, t, arm * t]) @ beta + u @ np.array([1.0, t])
    levels = np.diff(special.expit(cut[None] - eta[:, None]), axis=1)
    expected = levels @ edss.LEVELS
    mean = float(weight @ expected)
    return weight @ levels, float(np.sqrt(weight @ (expected - mean) ** 2))


@pytest.mark.parametrize("patient", [0, 30, 41])
def test_ordinal_predictions_are_the_integral_over_the_effects_given_the_data(patient: int) -> None:
    fit = certain(ordinal())
    assert fit.design.terms == ("arm[new]", "years", "arm[new]:years")
    levels, sd = by_brute_force(fit, patient, np.array(2.0))
    found = predict(fit, 2.0, patients=[patient], what="levels", seed=1).draws
    assert found.sum("level").to_numpy() == pytest.approx(1)
    assert found.mean(SAMPLE).to_numpy().ravel() == pytest.approx(levels, abs=0.02)
    expected = predict(fit, 2.0, patients=[patient], seed=1).draws
    assert float(expected.mean()) == pytest.approx(
        float(levels @ edss.LEVELS), abs=4 * sd / np.sqrt(1000) + 1e-9
    )
    assert float(expected.std(ddof=1)) == pytest.approx(sd, rel=0.12)


def test_predicted_counts_are_the_integral_over_the_effect_given_the_data() -> None:
    fit = certain(counts())
    at = fit.solution.estimates()  # type: ignore[operator,union-attr]
    u = np.linspace(-8, 8, 4001) * float(at["patient_sd"][0])
    size = 1 / float(at["dispersion"])
    beta, exposure = at["coefficients"].to_numpy(), fit.design.exposure
    assert exposure is not None
    found = predict(fit, [-0.5, 1.0], seed=2).draws
    for patient in (0, 12, 44):
        logs = stats.norm.logpdf(u, 0, float(at["patient_sd"][0]))
        for row in fit.design.rows_by_patient()[patient]:
            mean = exposure[row] * np.exp(
                float(at["intercept"]) + fit.design.formula.matrices.X[row] @ beta + u
            )
            logs = logs + stats.nbinom.logpmf(fit.design.outcome[row], size, size / (size + mean))
        weight = special.softmax(logs)
        arm = float(fit.design.target["arm"].iloc[patient] == "new")
        for t, after in ((-0.5, 0.0), (1.0, 1.0)):
            rate = np.exp(float(at["intercept"]) + np.array([arm, after, arm * after]) @ beta + u)
            mean = float(weight @ rate)
            sd = float(np.sqrt(weight @ (rate - mean) ** 2))
            draws = found.sel(patient=patient, years=t)
            assert float(draws.mean()) == pytest.approx(mean, abs=4 * sd / np.sqrt(1000))
            assert float(draws.std(ddof=1)) == pytest.approx(sd, rel=0.15)


def test_new_patients_are_averaged_over_the_effects() -> None:
    new = pd.DataFrame({"arm": ["old", "new"]})
    found = predict(ordinal(), [0.0, 2.0], new=new).draws
    # nothing but the arm and the time is in the formula: the same as the estimand of the arms
    group = tj.expected_edss(ordinal(), [0.0, 2.0]).draws
    assert found.mean(SAMPLE).to_numpy() == pytest.approx(group.mean(SAMPLE).to_numpy(), abs=0.04)
    levels = predict(ordinal(), 2.0, new=new, what="levels").draws
    assert (levels @ xr.DataArray(edss.LEVELS, dims="level")).to_numpy().ravel() == pytest.approx(
        found.sel(years=2.0).to_numpy().ravel()
    )
    # not the patient with effect 0
    fit = certain(counts())
    at = fit.solution.estimates()  # type: ignore[operator,union-attr]
    before = float(predict(fit, -0.5, new=new).draws.sel(patient=0).mean())
    assert before == pytest.approx(
        np.exp(float(at["intercept"]) + float(at["patient_sd"][0]) ** 2 / 2), rel=1e-6
    )


def test_patients_are_numbered_and_named_only_if_asked() -> None:
    fit = gaussian()
    some = predict(fit, [1.0], patients=[3, 1])
    assert some.draws["patient"].to_numpy().tolist() == [3, 1]
    every = (
        known_effects(fit, np.arange(fit.design.n_patients), draws=1000, seed=0)
        .effects[:, [3, 1]]
        .mean(axis=0)
    )
    two = known_effects(fit, np.array([3, 1]), draws=1000, seed=0).effects.mean(axis=0)
    assert two == pytest.approx(every, abs=0.15)
    named = predict(fit, [1.0], patients=[3, 1], identifiers=True)
    ids = fit.design.patient_ids
    assert ids is not None
    assert named.draws["patient"].to_numpy().tolist() == [ids[3], ids[1]]
    assert "EDSS points" in str(some)


def test_binary_outcomes_are_probabilities() -> None:
    model = models.BinaryMixed("edss ~ years + (1 | patient)", threshold=2.0)
    fit = tj.maximise(model, fifty_patients())
    found = predict(fit, 1.0).draws.mean(SAMPLE).isel(years=0).to_numpy()
    seen = np.bincount(fit.design.patient, weights=fit.design.outcome) / np.bincount(fit.design.patient)
    assert ((found > 0) & (found < 1)).all()
    assert np.corrcoef(found, seen)[0, 1] > 0.9


def test_posteriors_and_maximum_likelihood_predict_alike(sampled: Fit, sampled_cohort: Cohort) -> None:
    likely = predict(tj.maximise(sampled.model, sampled_cohort), 1.0).summary()
    drawn = predict(sampled, 1.0).summary()
    apart = (drawn["mean"] - likely["mean"]) / drawn["sd"]
    assert apart.abs().mean() < 0.3
    assert 0.8 < (drawn["sd"] / likely["sd"]).median() < 1.25
    levels = predict(sampled, 1.0, patients=[0, 5], what="levels").draws
    assert levels.sum("level").to_numpy() == pytest.approx(1)
    assert float((levels @ xr.DataArray(edss.LEVELS, dims="level")).sel(patient=5).mean()) == pytest.approx(
        drawn["mean"][5, 1.0]
    )


def test_bad_requests_are_refused() -> None:
    fit = ordinal()
    with pytest.raises(ValueError, match="0 to 49"):
        predict(fit, 1.0, patients=[50])
    with pytest.raises(ValueError, match="0 to 49"):
        predict(fit, 1.0, patients=["p1"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="one of patients and new"):
        predict(fit, 1.0, patients=[0], new=pd.DataFrame({"arm": ["old"]}))
    with pytest.raises(ValueError, match="'years' in it"):
        predict(fit)
    with pytest.raises(ValueError, match="arm other was not fitted; there are: old, new"):
        predict(fit, 1.0, new=pd.DataFrame({"arm": ["other"]}))
    with pytest.raises(ValueError, match="lack 'arm'"):
        predict(fit, 1.0, new=pd.DataFrame({"age": [3]}))
    with pytest.raises(ValueError, match="1 new patients have no arm"):
        predict(fit, 1.0, new=pd.DataFrame({"arm": ["old", None]}))
    with pytest.raises(TypeError, match="levels are those of the EDSS"):
        predict(counts(), 1.0, what="levels")
    gee = tj.maximise(models.RelapseCounts("relapses ~ arm"), fifty_patients(), method="gee")
    with pytest.raises(ValueError, match="GEE has no patient effects"):
        predict(gee)
    assert predict(gee, new=pd.DataFrame({"arm": ["new"]})).draws.dims == ("chain", "draw", "patient")
    with pytest.warns(tj.ExtrapolationWarning):
        predict(fit, 9.0, patients=[0])
