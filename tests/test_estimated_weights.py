"""Standard errors that allow for the estimation of weights, against leaving patients out, closed forms and the bootstrap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories import models
from trajectories.comparison import bootstrap
from trajectories.comparison.bootstrap import counts_of
from trajectories.weighting.multinomial import probabilities_of

PAIR = ("alemtuzumab", "fingolimod")
FORMULA = "arm ~ age + edss_baseline + relapses_year_before"
MILD = "arm ~ age + edss_baseline + sex"
ABSENT = 1e-10  # what a patient counts who is left out: 0 has no logarithm
ATT = {"target": "ATT", "treated": "ocrelizumab"}
KINDS = {
    "ATE": {"target": "ATE"},
    "ATT": ATT,
    "ATO": {"target": "ATO"},
    "stabilised": {"target": "ATO", "stabilised": True},
    "trimmed": {"target": "ATE", "trim": tj.Trim(below=0.1)},
    "trimmed, not again": {"target": "ATE", "trim": tj.Trim(below=0.1, refit=False)},
    "capped": {"target": "ATE", "trim": tj.Trim(quantile=0.95)},
    "balanced": {},
    "squares balanced": {"moments": 2},
    "balanced ATT": ATT,
}
SMOOTH = ["ATE", "ATT", "ATO", "stabilised", "balanced", "squares balanced", "balanced ATT"]


@pytest.fixture(scope="module")
def cohort():
    return tj.simulated_three_dmts_400()


@pytest.fixture(scope="module")
def few(cohort):
    """Ninety patients: few enough to leave each of them out."""
    return cohort.only(cohort.patients.groupby("arm", observed=True).head(30)["patient"].tolist())


@pytest.fixture(scope="module")
def scores(cohort):
    return tj.propensity(cohort, FORMULA)


@pytest.fixture(scope="module")
def overlap(few):
    return tj.weights(tj.propensity(few, FORMULA), "ATO")


def weights_of_kind(kind, cohort, formula):
    if "balanced" in kind:
        return tj.entropy_balance(cohort, formula, **KINDS[kind])
    return tj.weights(tj.propensity(cohort, formula), **KINDS[kind], accept_positivity=True)


def without(cohort, place):
    """What patients count when one of them is left out."""
    ids = cohort.patients["patient"]
    return pd.Series(np.where(np.arange(len(ids)) == place, ABSENT, 1.0), index=ids)


def outcome(cohort):
    """Something that depends on covariates, within and beyond what is balanced, and on chance."""
    people = cohort.patients.set_index("patient")
    noise = np.random.default_rng(6).normal(size=len(people))
    return people["edss_baseline"] ** 2 / 3 + people["age"] / 10 + (people["sex"] == "M") + noise


def means(weights, y, counts=1.0):
    """Weighted means of the arms, then the mean over the target."""
    y = y.loc[weights.values.index]
    f = counts.loc[y.index] if isinstance(counts, pd.Series) else counts
    w, h = weights.values * f, weights.standardisation * f
    inside = [(weights.arm == arm).to_numpy() for arm in weights.arms]
    return np.array([np.average(y[who], weights=w[who]) for who in inside] + [np.average(y, weights=h)])


def influence_on_means(weights, y):
    """What patients add to these means: w_i (y_i − mean) + Σ_{j≠i} ẇ_j (y_j − mean) φ_i, over the weights of the others."""
    made, y = weights.estimation, y.loc[weights.values.index].to_numpy()
    masks = [(weights.arm == arm).to_numpy() for arm in weights.arms] + [np.full(len(y), True)]
    parts = []
    for who, mean in zip(masks, means(weights, pd.Series(y, weights.values.index)), strict=True):
        of_target = who.all()
        w = np.where(who, weights.standardisation if of_target else weights.values, 0.0)
        slopes = (made.standardisation if of_target else made.values).to_numpy()
        mine = made.influence.loc[weights.values.index].to_numpy()
        own = pd.Series((w - who * (slopes * mine).sum(axis=1)) * (y - mean), index=weights.values.index)
        through = made.influence @ ((who * (y - mean)) @ slopes)
        left = w.sum() - pd.Series(w, index=own.index).reindex(through.index, fill_value=0.0)
        parts.append(through.add(own, fill_value=0.0) / left)
    return pd.concat(parts, axis=1)


# --- leaving patients out ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SMOOTH)
def test_weights_move_as_when_a_patient_is_left_out(few, kind):
    """To first order: of a step by one patient in thirty the rest, of second order, is well below a quarter."""
    made = weights_of_kind(kind, few, MILD)
    estimation = made.estimation
    for place in range(0, 90, 7):
        again = made.remade(few, without(few, place))
        patient = few.patients["patient"].iloc[place]
        others = made.values.index != patient
        for name in ("values", "standardisation"):
            moved = (getattr(made, name) - getattr(again, name)).to_numpy()[others]
            found = (getattr(estimation, name) @ estimation.influence.loc[patient]).to_numpy()[others]
            size = np.linalg.norm(moved)
            assert np.linalg.norm(moved - found) <= 0.25 * size + 1e-9, (place, name)


def test_coefficients_without_a_patient_are_met_better_than_by_the_plain_influence(few):
    """(A − A_i)⁻¹ s_i is the first step of Newton's method towards them, A⁻¹ s_i a shorter one."""
    scores = tj.propensity(few, FORMULA)
    cases, b = scores.cases, scores.coefficients.T.ravel()
    Z = np.column_stack([np.ones(90), cases.X])
    rest = (cases.code[:, None] == [1, 2]) - scores.probabilities.to_numpy()[:, 1:]
    plain = (rest[:, :, None] * Z[:, None]).reshape(90, -1) @ scores.covariance
    influence = tj.weights(scores, "ATO").estimation.influence.to_numpy()[:, : b.size]
    se = np.sqrt(np.diag(scores.covariance))
    far = np.argsort(-np.abs(plain / se).max(axis=1))[:12]
    misses = []
    ids = few.patients["patient"].tolist()
    for place in far:
        others = few.only(ids[:place] + ids[place + 1 :])
        moved = b - tj.propensity(others, FORMULA).coefficients.T.ravel()
        misses.append([np.linalg.norm((moved - of[place]) / se) for of in (influence, plain)])
    better, worse = np.sqrt(np.mean(np.square(misses), axis=0))
    assert better < 0.5 * worse
    assert better < 0.05


@pytest.mark.parametrize("kind", SMOOTH)
def test_standard_errors_of_means_are_those_of_the_jackknife(few, kind):
    # six moments of thirty patients would leave some with more than half of the information, where steps are bounded
    made, y = weights_of_kind(kind, few, "arm ~ age" if kind == "squares balanced" else MILD), outcome(few)
    left = np.array([means(made.remade(few, f), y, f) for f in (without(few, i) for i in range(90))])
    jackknife = np.sqrt(89 / 90 * ((left - left.mean(axis=0)) ** 2).sum(axis=0))
    found = np.sqrt((influence_on_means(made, y) ** 2).sum())
    np.testing.assert_allclose(found, jackknife, rtol=0.08)


def test_matching_weights_have_slopes_though_their_least_probability_has_a_kink(scores):
    made = tj.weights(scores, "matching")
    step = 1e-5 * np.sqrt(np.diag(scores.covariance))
    moved = scores.coefficients + step.reshape(scores.coefficients.T.shape).T
    e = probabilities_of(scores.cases.X, moved)
    columns = dict(zip(scores.arms, e.T, strict=True))
    there = tj.weights(
        replace(scores, coefficients=moved, probabilities=scores.probabilities.copy().assign(**columns)),
        "matching",
    )
    for name in ("values", "standardisation"):
        found = getattr(made.estimation, name).to_numpy()[:, : step.size] @ step
        np.testing.assert_allclose(
            getattr(there, name) - getattr(made, name), found, atol=2e-3 * np.abs(found).max()
        )


# --- trimmed ----------------------------------------------------------------------------------------------------------


def test_trimmed_and_estimated_again_is_untrimmed_among_those_who_remain(cohort, scores):
    trim = tj.Trim(below=0.1)
    made = tj.weights(scores, "ATO", trim=trim)
    kept = cohort.only(made.values.index.tolist())
    assert 250 < kept.n_patients < 400
    same = tj.weights(tj.propensity(kept, FORMULA), "ATO")
    for name in ("influence", "values", "standardisation"):
        np.testing.assert_allclose(
            getattr(made.estimation, name), getattr(same.estimation, name), rtol=1e-6, atol=1e-9
        )
    assert "standard errors take as fixed who was trimmed" in str(made)


@pytest.mark.parametrize("kind", ["trimmed, not again", "capped"])
def test_held_to_those_trimmed_and_to_the_caps_weights_move_as_without_a_patient(cohort, scores, kind):
    """The propensities of everybody but one, by hand: 1/e of those who were kept, capped where it was."""
    made = tj.weights(scores, **KINDS[kind], accept_positivity=True)
    X = scores.cases.X[scores.probabilities.index.isin(made.values.index)]
    code = np.array([scores.arms.index(arm) for arm in made.arm])
    caps = np.full(len(code), np.inf)
    if kind == "capped":
        caps = made.raw.groupby(made.arm).transform("max").to_numpy()

    def by_hand(coefficients, counts):
        raw = np.minimum(1 / probabilities_of(X, coefficients)[np.arange(len(X)), code], caps)
        mean = [np.average(raw[code == k], weights=counts[code == k]) for k in range(3)]
        return raw / np.array(mean)[code]

    np.testing.assert_allclose(by_hand(scores.coefficients, np.ones(len(X))), made.values, rtol=1e-9)
    ids = cohort.patients["patient"].tolist()
    assert made.estimation.influence.index.tolist() == ids
    for place in range(0, 400, 50):
        others = tj.propensity(cohort.only(ids[:place] + ids[place + 1 :]), FORMULA).coefficients
        there = (made.values.index != ids[place]).astype(float)
        moved = made.values.to_numpy() - by_hand(others, there)
        found = made.estimation.values @ made.estimation.influence.loc[ids[place]]
        rest = (moved - found)[there > 0]
        assert np.linalg.norm(rest) < 0.25 * np.linalg.norm(moved[there > 0])


@pytest.mark.parametrize("kind", ["ATO", "trimmed", "trimmed, not again", "capped", "balanced"])
def test_standard_errors_of_means_are_those_of_the_bootstrap_that_makes_the_weights_anew(cohort, kind):
    """It also trims and caps anew, which the standard errors do not count. An SD of 400 replicates has an error of 3.5 %."""
    made, y = weights_of_kind(kind, cohort, FORMULA), outcome(cohort)
    ids = pd.Series(np.arange(400), index=cohort.patients["patient"])
    drawn = [counts_of(ids, 5, k) for k in range(400)]
    again = np.array([means(made.remade(cohort, f), y, f) for f in drawn])[:, :3]
    influence = influence_on_means(made, y).to_numpy()[:, :3]
    both = [np.diff(part, axis=1) for part in (again, influence)]
    found, right = np.sqrt((both[1] ** 2).sum(axis=0)), both[0].std(axis=0)
    np.testing.assert_allclose(found, right, rtol=0.15)
    known = replace(made, estimation=replace(made.estimation, influence=0 * made.estimation.influence))
    plain = np.sqrt((np.diff(influence_on_means(known, y).to_numpy()[:, :3], axis=1) ** 2).sum(axis=0))
    assert (plain > 1.25 * right).all(), "the estimation should matter"


# --- closed forms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["propensity", "balancing"])
def test_of_one_binary_covariate_the_errors_are_those_of_strata(how):
    """Either weights the strata by their shares; the variance is within cells, each mean without a patient, and of the shares."""
    rng = np.random.default_rng(4)
    n = 300
    sex = np.where(rng.random(n) < 0.4, "M", "F")
    arm = np.where(rng.random(n) < np.where(sex == "M", 0.7, 0.3), "new", "old")
    y = 3 * (sex == "M") * (1 + (arm == "new")) + rng.normal(size=n)
    people = pd.DataFrame({"patient": np.arange(n), "sex": sex, "arm": pd.Categorical(arm, ["old", "new"])})
    visits = pd.DataFrame({"patient": np.arange(n), "day": 0, "edss": 2.0})
    cohort = tj.read_cohort(visits, patients=people, name="strata")
    balancing = how == "balancing"
    formula = "arm ~ sex"
    made = (
        tj.entropy_balance(cohort, formula)
        if balancing
        else tj.weights(tj.propensity(cohort, formula), "ATE")
    )
    influence = influence_on_means(made, pd.Series(y, index=cohort.patients["patient"]))
    found = np.sqrt(((influence[1] - influence[0]) ** 2).sum())
    variance, effects, shares = 0.0, [], []
    for s in ("F", "M"):
        cells = [y[(arm == a) & (sex == s)] for a in ("new", "old")]
        shares.append((sex == s).mean())
        effects.append(cells[0].mean() - cells[1].mean())
        variance += shares[-1] ** 2 * sum(((x - x.mean()) ** 2).sum() / (len(x) - 1) ** 2 for x in cells)
    whole = np.dot(shares, effects)
    variance += np.dot(shares, (effects - whole) ** 2) / (n - 1)
    assert found == pytest.approx(np.sqrt(variance), rel=0.005)


def test_an_arm_that_hangs_on_one_patient_has_a_finite_error(cohort):
    """Without the only one with the rare level its share cannot be balanced: no step of Newton's reaches beyond four times the plain one."""
    people = cohort.patients
    rare = np.zeros(400)
    rare[np.flatnonzero((people["arm"] == "fingolimod").to_numpy())[0]] = 1
    rare[np.flatnonzero((people["arm"] != "fingolimod").to_numpy())[::9]] = 1
    some = replace(cohort, patients_table=people.assign(rare=rare))
    influence = tj.entropy_balance(some, "arm ~ rare + age").estimation.influence
    assert np.isfinite(influence.to_numpy()).all()


# --- fits -------------------------------------------------------------------------------------------------------------


def errors_of_the_jackknife(monkeypatch, estimate, **how):
    """Standard errors of a contrast from leaving each patient out, by the same way as a bootstrap; of ratios, of their logarithm."""
    monkeypatch.setattr(
        bootstrap,
        "counts_of",
        lambda clusters, _, k: pd.Series(np.where(clusters == k, ABSENT, 1.0), clusters.index),
    )
    draws = tj.contrast(estimate, *PAIR, bootstrap=tj.Bootstrap(n=90), **how).draws
    return np.sqrt(89) * on_scale(draws, how).std(("chain", "draw")).to_numpy()


def errors(estimate, **how):
    return on_scale(tj.contrast(estimate, *PAIR, **how).draws, how).std(("chain", "draw")).to_numpy()


def on_scale(draws, how):
    return np.log(draws) if how.get("scale") == "ratio" else draws


def test_a_weighted_fit_is_as_sure_as_its_jackknife(few, overlap, monkeypatch):
    """Relapses before the start are balanced by weights that were estimated from them: known, they seem to leave much more error."""
    model = models.RelapseCounts("relapses ~ arm * period")
    fits = [tj.maximise(model, few, weights=w) for w in (overlap, replace(overlap, estimation=None))]
    estimated, known = (errors(tj.relapse_rate(f), scale="ratio", weights=f.weights) for f in fits)
    jackknife = errors_of_the_jackknife(monkeypatch, tj.relapse_rate(fits[0]), scale="ratio", weights=overlap)
    np.testing.assert_allclose(estimated, jackknife, rtol=0.08)
    assert known[0] > 1.5 * jackknife[0]
    assert any("allow for the estimation" in caveat for caveat in fits[0].caveats)
    assert any("take the weights as known" in caveat for caveat in fits[1].caveats)


@pytest.mark.parametrize("how", ["propensity", "balancing"])
def test_a_weighted_gaussian_fit_is_as_sure_as_its_jackknife(few, overlap, how, monkeypatch):
    weights = overlap if how == "propensity" else tj.entropy_balance(few, MILD)
    fit = tj.maximise(models.GaussianMixed("edss ~ arm * years + (1 | patient)"), few, weights=weights)
    edss = tj.expected_edss(fit, 2.0)
    jackknife = errors_of_the_jackknife(monkeypatch, edss, weights=weights)
    np.testing.assert_allclose(errors(edss, weights=weights), jackknife, rtol=0.08)
    known = tj.maximise(fit.model, few, weights=replace(weights, estimation=None)).summary()["se"]
    assert (fit.summary()["se"]["arm[alemtuzumab]"]) < 0.8 * known["arm[alemtuzumab]"]


def test_augmented_rates_are_as_sure_as_their_jackknife(few, monkeypatch):
    overlap = tj.weights(tj.propensity(few, MILD), "ATO")
    estimate = tj.relapse_rate(tj.maximise(models.RelapseCounts("relapses ~ arm * period"), few))
    how = {"scale": "ratio", "weights": overlap, "augmented": True}
    jackknife = errors_of_the_jackknife(monkeypatch, estimate, **how)
    np.testing.assert_allclose(errors(estimate, **how), jackknife, rtol=0.08)


def test_a_dispersion_of_0_leaves_the_other_errors_known(cohort, scores):
    weights = tj.weights(scores, "ATE")
    fit = tj.maximise(
        models.RelapseCounts("relapses ~ arm * period + (1 | patient)"), cohort, weights=weights
    )
    assert any("went to 0" in note for note in fit.solution.notes)
    assert fit.summary()["se"].drop("dispersion").gt(0).all()
    assert float(tj.relapse_rate(fit).draws.std(("chain", "draw")).min()) > 0.01
