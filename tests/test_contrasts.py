"""Contrasts by weights: against closed forms, brute force and R; the other way round; the bootstrap; what they say and refuse."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories import models
from trajectories.comparison.bootstrap import Bootstrap, counts_of, replicates
from trajectories.fitting.diagnostics import ConvergenceError
from trajectories.fitting.reweighted import Point

sys.path.insert(0, str(Path(__file__).parent))
from hand_made import fit_of

REFERENCE = Path(__file__).parent / "reference"
NUMBERS = pd.read_csv(REFERENCE / "contrast_reference.csv").set_index(["case", "quantity"])["value"]
PAIR, SWAPPED = ("alemtuzumab", "fingolimod"), ("fingolimod", "alemtuzumab")
PROPENSITY = "arm ~ age + edss_baseline + relapses_year_before"
ADJUSTED = "edss ~ edss_baseline + age + arm * years + (1 | patient)"


@pytest.fixture(scope="module")
def cohort():
    return tj.simulated_three_dmts_400()


@pytest.fixture(scope="module")
def some(cohort):
    """Twenty-five patients of every arm, for what does not depend on how many there are."""
    return cohort.only(cohort.patients.groupby("arm", observed=True).head(25)["patient"].tolist())


@pytest.fixture(scope="module")
def scores(cohort):
    return tj.propensity(cohort, PROPENSITY)


@pytest.fixture(scope="module")
def overlap(scores):
    return tj.weights(scores, "ATO")


@pytest.fixture(scope="module")
def adjusted(cohort):
    return tj.maximise(models.GaussianMixed(ADJUSTED), cohort)


@pytest.fixture(scope="module")
def rates(cohort):
    model = models.RelapseCounts("relapses ~ arm + age + relapses_year_before", windows=(0.0, None))
    return tj.maximise(model, cohort)


@pytest.fixture(scope="module")
def estimates(adjusted, rates):
    return {"difference": tj.expected_edss(adjusted, 2.0), "ratio": tj.relapse_rate(rates)}


@pytest.fixture(scope="module")
def counted(trial):
    """Rates of the trial and its weights, quick to replicate; the effect depends on a covariate, so that the target matters."""
    cohort, _ = trial
    model = models.RelapseCounts("relapses ~ arm * sex", family="poisson", windows=(0.0, None))
    return tj.relapse_rate(tj.maximise(model, cohort)), tj.weights(tj.propensity(cohort, "arm ~ sex"), "ATO")


@pytest.fixture(scope="module")
def replicated(counted):
    """Fifty replicates of the contrast of the rates, without weights."""
    return tj.contrast(counted[0], "new", "old", scale="ratio", bootstrap=Bootstrap(n=50))


@pytest.fixture(scope="module")
def trial():
    """Two arms, a binary covariate that decides much, visits at 0, 1 and 2 years that nobody misses."""
    rng = np.random.default_rng(8)
    n, days = 120, np.array([0, 365, 731])
    sex = np.where(rng.random(n) < 0.4, "M", "F")
    arm = np.where(rng.random(n) < np.where(sex == "M", 0.7, 0.3), "new", "old")
    level = 2.5 + 1.5 * (sex == "M") + rng.normal(0, 1, n)
    edss = level[:, None] + np.array([0, 0.3, 0.6]) * (arm == "old")[:, None] + rng.normal(0, 0.5, (n, 3))
    edss = np.maximum(1.0, np.round(2 * edss.clip(1, 9)) / 2)
    ids = np.arange(n)
    visits = pd.DataFrame({"patient": ids.repeat(3), "day": np.tile(days, n), "edss": edss.ravel()})
    count = rng.poisson(np.where(sex == "M", 1.5, 0.5) * np.where(arm == "new", 0.5, 1.0))
    relapses = pd.DataFrame(
        {
            "patient": ids.repeat(count),
            "day": np.concatenate([60 + 90 * np.arange(k) for k in count]).astype(int),
        }
    )
    people = pd.DataFrame({"patient": ids, "sex": sex, "arm": pd.Categorical(arm, categories=["old", "new"])})
    people = people.assign(followup_start=0, followup_end=731)
    return tj.read_cohort(visits, relapses=relapses, patients=people, name="trial"), edss[:, 2]


@pytest.fixture
def once(monkeypatch):
    """A bootstrap in which every patient counts once: centred as it is, its contrast is the estimate itself, to the last digits."""

    def everybody(estimate, cohort, bootstrap):
        found = estimate(pd.Series(1.0, index=cohort.patients["patient"]))
        return np.stack([found, found]), 0

    monkeypatch.setattr("trajectories.comparison.contrasts.replicates", everybody)


def only(found):
    """The single number of an estimate with one draw, or the mean of the draws."""
    return float(found.draws.mean().item())


# --- against closed forms, brute force and R ------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["ATE", "ATO"])
def test_augmented_edss_against_r(adjusted, scores, target, once):
    # R's standard error takes the weights as known
    weights = replace(tj.weights(scores, target), estimation=None)
    found = tj.contrast(tj.expected_edss(adjusted, 2.0), *PAIR, weights=weights, augmented=True)
    se = NUMBERS[f"EDSS {target}", "se"]
    assert float(found.draws.std()) == pytest.approx(se, rel=0.03)
    assert only(found) == pytest.approx(NUMBERS[f"EDSS {target}", "difference"], abs=4 * se / np.sqrt(4000))
    replicated = tj.contrast(
        tj.expected_edss(adjusted, 2.0), *PAIR, weights=weights, augmented=True, bootstrap=Bootstrap(n=50)
    )
    assert only(replicated) == pytest.approx(NUMBERS[f"EDSS {target}", "difference"], abs=2e-4)


def test_augmented_rate_ratio_against_r(rates, overlap):
    found = tj.contrast(tj.relapse_rate(rates), *PAIR, scale="ratio", weights=overlap, augmented=True)
    logs, se = np.log(found.draws), NUMBERS["relapses ATO", "se"]
    assert float(logs.std()) == pytest.approx(se, rel=0.03)
    assert float(logs.mean()) == pytest.approx(
        NUMBERS["relapses ATO", "log ratio"], abs=4 * se / np.sqrt(4000)
    )


def stratified(values, arm, sex):
    """Means of the arms within the sexes, by the shares of the sexes."""
    shares = {s: (sex == s).mean() for s in ("F", "M")}
    return tuple(
        sum(q * values[(arm == a) & (sex == s)].mean() for s, q in shares.items()) for a in ("new", "old")
    )


def weighted_means(values, arm, weights):
    return tuple(np.average(values[arm == a], weights=weights[arm == a]) for a in ("new", "old"))


def jackknifed(means, *columns):
    """Root of the sum of squares of what the difference of two means falls by without each patient."""
    whole = np.subtract(*means(*columns))
    others = [~np.eye(1, len(columns[0]), i, dtype=bool)[0] for i in range(len(columns[0]))]
    return np.sqrt(sum((whole - np.subtract(*means(*(c[rest] for c in columns)))) ** 2 for rest in others))


def test_crude_outcome_with_right_weights_is_the_stratified_difference(trial, once):
    """m does not depend on x, so the augmented mean is Σ w Y / Σ w, that of the strata with a saturated propensity."""
    cohort, last = trial
    people = cohort.patients
    weights = tj.weights(tj.propensity(cohort, "arm ~ sex"), "ATE")
    fit = tj.maximise(models.GaussianMixed("edss ~ arm * years + (1 | patient)"), cohort)
    arm, sex = people["arm"].to_numpy(), people["sex"].to_numpy()
    new, old = stratified(last, arm, sex)
    se = jackknifed(weighted_means, last, arm, weights.values.to_numpy())
    known = replace(weights, estimation=None)
    found = tj.contrast(tj.expected_edss(fit, 2.0), "new", "old", weights=known, augmented=True)
    assert float(found.draws.std()) == pytest.approx(se, rel=0.03)
    # with the estimated propensities it is the difference of strata, whose shares are estimated too
    estimated = tj.contrast(tj.expected_edss(fit, 2.0), "new", "old", weights=weights, augmented=True)
    right = jackknifed(stratified, last, arm, sex)
    assert right < 0.95 * se
    assert float(estimated.draws.std()) == pytest.approx(right, rel=0.03)
    exact = tj.contrast(
        tj.expected_edss(fit, 2.0), "new", "old", weights=weights, augmented=True, bootstrap=Bootstrap(n=50)
    )
    assert only(exact) == pytest.approx(new - old, abs=1e-9)
    naive = (
        last[(people["arm"] == "new").to_numpy()].mean() - last[(people["arm"] == "old").to_numpy()].mean()
    )
    assert abs(naive - (new - old)) > 0.2, "the strata should matter"


def test_saturated_outcome_with_wrong_weights_is_the_stratified_ratio(trial, once):
    """Equal weights of the patients add the mean residual, which is 0 in every cell of a saturated model."""
    cohort, _ = trial
    people = cohort.patients
    fit = tj.maximise(
        models.RelapseCounts("relapses ~ arm * sex", family="poisson", windows=(0.0, None)), cohort
    )
    counts = fit.design.outcome / fit.design.exposure
    assert np.ptp(fit.design.exposure) == 0
    new, old = stratified(counts, people["arm"].to_numpy(), people["sex"].to_numpy())
    equal = tj.weights_of(cohort, pd.Series(1.0, index=people["patient"]))
    found = tj.contrast(
        tj.relapse_rate(fit), "new", "old", scale="ratio", weights=equal, augmented=True, bootstrap=Bootstrap(n=50)
    )  # fmt: skip
    assert np.exp(float(np.log(found.draws).mean())) == pytest.approx(new / old, rel=1e-7)


@pytest.mark.parametrize(("target", "treated"), [("ATO", None), ("ATT", "alemtuzumab"), ("matching", None)])
def test_standardisation_over_the_target_of_weights_by_brute_force(cohort, scores, target, treated):
    """Σ h m / Σ h, with h from the propensities by hand, or 1 for those given the arm."""
    fit = tj.maximise(
        models.GaussianMixed("edss ~ arm * (edss_baseline + age) + years + (1 | patient)"), cohort
    )
    weights = tj.weights(scores, target, treated=treated, accept_positivity=True)
    b = fit.summary()["estimate"]
    # everybody counts, those never seen after the start included
    people = cohort.patients.set_index("patient")
    assert len(people) > fit.design.n_patients
    e = scores.probabilities.loc[people.index].to_numpy()
    h = {
        "ATO": 1 / (1 / e).sum(axis=1),
        "matching": e.min(axis=1),
        "ATT": (people["arm"] == "alemtuzumab").to_numpy(dtype=float),
    }[target]
    effect = b["arm[alemtuzumab]"] + b["arm[alemtuzumab]:edss_baseline"] * people["edss_baseline"]
    effect = (effect + b["arm[alemtuzumab]:age"] * people["age"]).to_numpy()
    expected = (h * effect).sum() / h.sum()
    found = tj.contrast(tj.expected_edss(Point.of(fit), 2.0), *PAIR, weights=weights)
    assert only(found) == pytest.approx(expected, abs=1e-9)
    everyone = tj.contrast(tj.expected_edss(Point.of(fit), 2.0), *PAIR)
    assert abs(only(everyone) - expected) > 0.005, "the target should matter"
    if target == "ATT":
        named = tj.contrast(tj.expected_edss(Point.of(fit), 2.0), *PAIR, target="alemtuzumab")
        treated_in = people.index.isin(fit.design.patient_ids) & (
            h > 0
        )  # an arm that is named: those in the model
        assert only(named) == pytest.approx(effect[treated_in].mean(), abs=1e-9)


def test_the_effect_in_the_treated_is_their_observed_mean_less_what_others_would_have_shown(trial, once):
    cohort, last = trial
    weights = tj.weights(tj.propensity(cohort, "arm ~ sex"), "ATT", treated="new")
    fit = tj.maximise(models.GaussianMixed("edss ~ arm * years + (1 | patient)"), cohort)
    arm, sex = cohort.patients["arm"].to_numpy(), cohort.patients["sex"].to_numpy()
    others = sum(
        (sex[arm == "new"] == s).mean() * last[(arm == "old") & (sex == s)].mean() for s in ("F", "M")
    )
    found = tj.contrast(
        tj.expected_edss(fit, 2.0), "new", "old", weights=weights, augmented=True, bootstrap=Bootstrap(n=50)
    )
    assert only(found) == pytest.approx(last[arm == "new"].mean() - others, abs=1e-9)


def test_a_posterior_is_standardised_over_a_bootstrapped_population(cohort, overlap):
    """With one and the same parameters in every draw all variance is that of Dirichlet weights, which is known."""
    model = models.OrdinalMixed("edss ~ arm * edss_baseline + (1 | patient)", link="probit")
    design = model.design(cohort)
    levels = np.r_[np.full(3, -900.0), np.zeros(8), np.full(8, 900.0)]  # EDSS 2 and 6 alone
    coefficients = np.tile([0.1, 0.2, 0.15, 0.05, -0.2], (4000, 1))
    fit = fit_of(model, design, coefficients=coefficients, covariance=np.eye(1), cutpoints=levels)
    plain, drawn = (tj.expected_edss(fit, 2.0, target=t) for t in ("everyone", overlap))
    assert float(plain.draws.std("draw").max()) < 1e-12
    # everybody counts, those without a visit after the start included
    matrices, rows = design.at, cohort.patients
    assert len(rows) > design.n_patients
    h = overlap.standardisation.loc[rows["patient"]].to_numpy()
    for arm in ("fingolimod", "alemtuzumab"):
        given = pd.Categorical([arm] * len(rows), categories=list(design.arms), ordered=True)
        placed = rows.assign(years=2.0, day=730.5, arm=given)
        m = 2 + 4 * normal(matrices(placed).X @ coefficients[0] / np.sqrt(2))
        centre = (h * m).sum() / h.sum()
        found = drawn.draws.sel(arm=arm).to_numpy().ravel()
        sd = np.sqrt(((h * (m - centre)) ** 2).sum()) / h.sum()
        assert found.std() == pytest.approx(sd, rel=0.06)
        assert found.mean() == pytest.approx(centre, abs=4 * sd / np.sqrt(4000) + 0.002)
    contrast = tj.contrast(plain, *PAIR, weights=overlap)
    assert any("a weighted likelihood is no likelihood" in said for said in contrast.caveats)
    with pytest.raises(TypeError, match="of a posterior, standardise"):
        tj.contrast(plain, *PAIR, weights=overlap, augmented=True)


def normal(z):
    from scipy.special import ndtr

    return ndtr(z)


def test_a_stabilisation_is_compared_over_the_target_of_weights_part_by_part(adjusted, overlap):
    stable = tj.stabilisation(adjusted, at=2.0, margin=0.5)
    found = tj.contrast(stable, *PAIR, weights=overlap).estimates
    change = tj.contrast(tj.change(adjusted, 2.0), *PAIR, weights=overlap)
    np.testing.assert_array_equal(found["change"].draws, change.draws.isel(years=0))
    there = tj.stabilisation(adjusted, at=2.0, margin=0.5, target=overlap).estimates["worse (two visits)"]
    by_hand = there.draws.sel(arm="alemtuzumab") - there.draws.sel(arm="fingolimod")
    worse = found["worse (two visits)"]
    np.testing.assert_allclose(worse.draws, by_hand, atol=1e-12)
    assert "is worse from the observed baseline EDSS to 2 years by rule TRIAL, judged by two visits" in (
        worse.definition
    )
    assert any("alemtuzumab 126 patients in the model, 133 weighted" in said for said in worse.caveats)
    everyone = tj.contrast(stable, *PAIR).estimates["worse (two visits)"]
    assert abs(float((everyone.draws - worse.draws).mean())) > 1e-4, "the target should matter"


def test_a_bootstrap_of_a_stabilisation_is_centred_on_its_estimate(adjusted, overlap):
    stable = tj.stabilisation(adjusted, at=2.0, margin=0.5)
    how = {"weights": overlap, "bootstrap": Bootstrap(n=50, seed=1)}
    found = tj.contrast(stable, *PAIR, **how).estimates
    alone = tj.contrast(tj.change(adjusted, 2.0), *PAIR, **how)
    np.testing.assert_allclose(found["change"].draws, alone.draws.isel(years=0), atol=1e-12)
    normal = tj.contrast(stable, *PAIR, weights=overlap).estimates["worse (two visits)"].draws
    drawn = found["worse (two visits)"].draws
    assert float(drawn.mean()) == pytest.approx(float(normal.mean()), abs=0.01)
    assert float(drawn.std()) == pytest.approx(
        float(normal.std()), rel=0.4
    )  # 50 replicates: 10 %; a robust error


# --- the other way round --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["difference", "ratio"])
@pytest.mark.parametrize("how", [{}, {"weights": True}, {"weights": True, "augmented": True}])
def test_swapping_arms_negates_differences_and_inverts_ratios(estimates, overlap, scale, how):
    options = {**how, "scale": scale, "weights": overlap if "weights" in how else None}
    swapped_alike(scale, *(tj.contrast(estimates[scale], *pair, **options) for pair in (PAIR, SWAPPED)))


@pytest.mark.parametrize("scale", ["difference", "ratio"])
@pytest.mark.parametrize("how", [{}, {"weights": True, "augmented": True}])
def test_swapping_arms_swaps_every_replicate(counted, scale, how):
    rate, weights = counted
    options = {
        **how,
        "scale": scale,
        "weights": weights if how else None,
        "bootstrap": Bootstrap(n=50, seed=4),
    }
    swapped_alike(scale, *(tj.contrast(rate, *pair, **options) for pair in (("new", "old"), ("old", "new"))))


def swapped_alike(scale, *contrasts):
    one, other = (found.draws.to_numpy() for found in contrasts)
    assert one.std() > 0
    if scale == "difference":
        np.testing.assert_allclose(one, -other, atol=1e-12)
    else:
        np.testing.assert_allclose(one, 1 / other, rtol=1e-12)


# --- the bootstrap ----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_replicates_on_any_executor(counted):
    rate, weights = counted

    def drawn(seed=3, executor=None):
        bootstrap = Bootstrap(n=50, seed=seed, executor=executor)
        how = {"weights": weights, "augmented": True, "bootstrap": bootstrap, "scale": "ratio"}
        return tj.contrast(rate, "new", "old", **how).draws.to_numpy()

    serial = drawn()
    assert np.abs(serial - drawn(seed=5)).max() > 0.01
    with ThreadPoolExecutor(2) as threads:
        np.testing.assert_array_equal(serial, drawn(executor=threads))
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        np.testing.assert_allclose(serial, drawn(executor=processes), rtol=1e-9)


def test_every_kind_of_fit_can_be_sent_to_another_process(some):
    import pickle

    from trajectories.fitting.reweighted import Refitter

    fits = [
        tj.maximise(models.OrdinalMixed("edss ~ edss_baseline + arm * years + (1 | patient)"), some, quadrature=1, progress=False),
        tj.maximise(models.BinaryMixed("edss ~ edss_baseline + arm * years + (1 | patient)", threshold=4.0), some, quadrature=1, progress=False),
        tj.maximise(models.RelapseCounts("relapses ~ arm * period + (1 | patient)", family="poisson"), some, progress=False),
        tj.maximise(models.RelapseCounts("relapses ~ arm * period"), some, method="gee"),
    ]  # fmt: skip
    for fit in fits:
        refitter = pickle.loads(pickle.dumps(Refitter.of(fit)))
        weights = np.random.default_rng(1).exponential(size=75)[: refitter.design.n_patients]
        here = Refitter.of(fit).with_weights(weights).parameters["coefficients"].to_numpy()
        np.testing.assert_allclose(refitter.with_weights(weights).parameters["coefficients"], here, atol=1e-8)


def test_patients_of_a_cluster_are_drawn_together(trial):
    cohort, _ = trial
    table = cohort.patients_table
    paired = replace(cohort, patients_table=table.assign(centre=np.arange(len(table)) // 10, empty=np.nan))
    clusters = Bootstrap(cluster="centre").clusters(paired)
    assert clusters.nunique() == 12
    seen = []
    replicates(lambda counts: seen.append(counts) or np.zeros(1), paired, Bootstrap(n=50, cluster="centre"))
    assert len(seen) == 50
    for counts in seen:
        assert (counts.groupby(clusters).agg(np.ptp) == 0).all()
        assert counts.mean() == pytest.approx(1.0)
    assert np.unique([counts.iloc[0] for counts in seen]).size == 50
    with pytest.raises(ValueError, match="is no column of the patients table"):
        Bootstrap(cluster="clinic").clusters(paired)
    with pytest.raises(ValueError, match="120 patients have no empty"):
        Bootstrap(cluster="empty").clusters(paired)
    assert Bootstrap(cluster="centre").drawn(paired) == "centre (12 clusters)"
    assert Bootstrap().drawn(paired) == "patient"


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ("arm", "the arms are what is compared"),
        ("half", "'half' makes 2 clusters"),
        ("nine", "makes 9 clusters"),
    ],
)
def test_few_clusters_are_refused(trial, cluster, said):
    """Two clusters, drawn together, give a contrast the same weights in every replicate: an interval of nearly no width."""
    cohort, _ = trial
    table = cohort.patients_table
    n = np.arange(len(table))
    clustered = replace(cohort, patients_table=table.assign(half=n % 2, nine=n % 9, ten=n % 10))
    with pytest.raises(ValueError, match=said):
        replicates(lambda counts: np.zeros(1), clustered, Bootstrap(n=50, cluster=cluster))
    with pytest.raises(ValueError, match=said):
        tj.visit_density(clustered, cluster=cluster)
    assert Bootstrap(cluster="ten").clusters(clustered).nunique() == 10
    notes = " ".join(tj.visit_density(clustered, cluster="ten").notes)
    assert "spread between the 10 clusters of ten (robust)" in notes


def test_an_executor_must_map():
    with pytest.raises(TypeError, match="executor is what computes, with a map"):
        Bootstrap(executor=4)  # type: ignore[arg-type]


def test_replicates_without_an_estimate_are_counted_and_too_many_refused(cohort):
    calls = iter(range(10_000))

    def failing(every):
        def estimate(_):
            if next(calls) % every == 0:
                raise ConvergenceError("no maximum.")
            return np.ones(2)

        return estimate

    values, failed = replicates(failing(25), cohort, Bootstrap(n=100))
    assert (values.shape, failed) == ((96, 2), 4)
    with pytest.raises(
        ConvergenceError, match=r"of 100 replicates of the bootstrap have no estimate.*no maximum"
    ):
        replicates(failing(10), cohort, Bootstrap(n=100))
    with pytest.raises(ValueError, match="at least 50 replicates"):
        Bootstrap(n=49)


def test_the_bootstrap_of_a_mean_has_its_standard_error(trial):
    """Without weights or covariates the rate of an arm is events over years, in every replicate, with a known variance."""
    cohort, _ = trial
    fit = tj.maximise(models.RelapseCounts("relapses ~ arm", family="poisson", windows=(0.0, None)), cohort)
    how = Bootstrap(n=50, seed=2)
    found = tj.contrast(tj.relapse_rate(fit), "new", "old", scale="ratio", bootstrap=how)
    counts, arm = fit.design.outcome, fit.design.target["arm"].to_numpy()

    def log_ratio(f):
        new, old = (np.average(counts[arm == a], weights=f[arm == a]) for a in ("new", "old"))
        return np.log(new / old)

    clusters = how.clusters(cohort)
    drawn = np.array([log_ratio(counts_of(clusters, 2, k).to_numpy()) for k in range(3000)])
    centred = drawn[:50] - drawn[:50].mean() + log_ratio(np.ones(len(counts)))
    np.testing.assert_allclose(np.log(found.draws).to_numpy().ravel(), centred, atol=1e-7)
    variance = sum(
        ((counts[arm == a] - counts[arm == a].mean()) ** 2).sum() / counts[arm == a].sum() ** 2 for a in ("old", "new")
    )  # fmt: skip
    assert drawn.std() == pytest.approx(np.sqrt(variance), rel=0.05)
    assert "50 replicates of the fractional bootstrap by patient, centred on the estimate" in found.source


def test_a_weighted_fit_is_weighted_anew_in_every_replicate(trial):
    """Also without weights= in the contrast; with them they are the fit's own, and another target is refused."""
    cohort, _ = trial
    scores = tj.propensity(cohort, "arm ~ sex")
    overlap, pair = tj.weights(scores, "ATO"), ("new", "old")
    fit = tj.maximise(
        models.RelapseCounts("relapses ~ arm", family="poisson", windows=(0.0, None)), cohort, weights=overlap
    )
    drawn = [
        tj.contrast(tj.relapse_rate(fit), *pair, scale="ratio", bootstrap=Bootstrap(n=50), **how).draws
        for how in ({}, {"weights": overlap}, {"weights": tj.weights(scores, "ATO")})
    ]
    for other in drawn[1:]:  # the rates of this formula are the same in every population
        np.testing.assert_allclose(drawn[0], other, rtol=1e-9)
    known = tj.weights_of(cohort, overlap.values)
    held = tj.maximise(
        models.RelapseCounts("relapses ~ arm", family="poisson", windows=(0.0, None)), cohort, weights=known
    )
    contrast = tj.contrast(tj.relapse_rate(held), *pair, scale="ratio", bootstrap=Bootstrap(n=50))
    assert any("were held as they are in the bootstrap" in said for said in contrast.caveats)
    assert np.abs(contrast.draws - drawn[0]).max() > 0.005
    with pytest.raises(
        ValueError, match="the fit was weighted to the target ATO, and the contrast asks for ATE"
    ):
        tj.contrast(tj.relapse_rate(fit), *pair, weights=tj.weights(scores, "ATE"))


# --- what they stand on and refuse ----------------------------------------------------------------------------------


def test_contrasts_say_on_whom_they_stand(adjusted, overlap, cohort):
    found = tj.contrast(tj.expected_edss(adjusted, 2.0), *PAIR, weights=overlap, augmented=True)
    said = next(caveat for caveat in found.caveats if caveat.startswith("stands on"))
    arm = adjusted.design.target["arm"]
    for name in PAIR:
        size = overlap.effective_sample_size[name]
        total = (cohort.patients["arm"] == name).sum()
        assert (
            f"{name} {(arm == name).sum()} patients in the model, {total} weighted (effective {size:.1f})"
            in said
        )
    visits = adjusted.design.frame
    near = visits[(visits["years"] - 2).abs() <= 0.25]
    for name in PAIR:
        assert f"outcome seen in {near[near['arm'] == name]['patient'].nunique()}" in said
    assert not any("taken as known" in caveat for caveat in found.caveats)
    trimmed = replace(overlap, estimation=None)
    known = tj.contrast(tj.expected_edss(adjusted, 2.0), *PAIR, weights=trimmed, augmented=True)
    assert any("the weights are taken as known" in caveat for caveat in known.caveats)
    assert "simulated data: nobody was treated" in str(found)


def test_contrasts_say_whether_the_baseline_is_fixed(some):
    overlap = tj.weights(tj.propensity(some, PROPENSITY), "ATO")

    def said(model, estimand, **options):
        fit = tj.maximise(model, some)
        return " ".join(tj.contrast(estimand(fit), *PAIR, weights=overlap, **options).caveats)

    def edss(fit):
        return tj.expected_edss(fit, 2.0)

    free = said(models.GaussianMixed("edss ~ arm * years + (1 | patient)"), edss)
    assert "descriptive: the arms may differ at time 0" in free
    assert (
        "among the covariates of the weights: age, edss_baseline, relapses_year_before. The contrast is not"
        in free
    )
    for formula in (ADJUSTED, "edss ~ years + years:arm + age + (1 | patient)"):
        fixed = said(models.GaussianMixed(formula), edss)
        assert "the arms may differ at time 0" not in fixed
        assert "only if every common cause" in fixed
    pooled = said(models.RelapseCounts("relapses ~ arm + age"), tj.relapse_rate)
    assert "the rates are of the years before and after time 0 together" in pooled
    assert "only if every common cause" not in pooled
    after = said(models.RelapseCounts("relapses ~ arm + age", windows=(0.0, None)), tj.relapse_rate)
    assert "before" not in after.replace("relapses_year_before", "")
    both = said(models.RelapseCounts("relapses ~ arm * period"), tj.relapse_rate)
    assert "descriptive before time 0" in both


def test_augmented_rates_say_what_uneven_follow_up_asks_for(rates, overlap, trial):
    found = tj.contrast(tj.relapse_rate(rates), *PAIR, scale="ratio", weights=overlap, augmented=True)
    assert "patients were followed for different times" in str(found)
    cohort, _ = trial
    fit = tj.maximise(models.RelapseCounts("relapses ~ arm", family="poisson", windows=(0.0, None)), cohort)
    even = tj.weights(tj.propensity(cohort, "arm ~ sex"), "ATE")
    found = tj.contrast(tj.relapse_rate(fit), "new", "old", scale="ratio", weights=even, augmented=True)
    assert "followed for different times" not in str(found)


def test_two_arms_that_were_matched_compare_without_the_third(cohort):
    two = cohort.only(cohort.patients.loc[cohort.patients["arm"] != "ocrelizumab", "patient"].tolist())
    matched = tj.match(
        tj.propensity(two, "arm ~ age + edss_baseline"), treated="alemtuzumab", control="fingolimod"
    ).weights
    fit = tj.maximise(models.RelapseCounts("relapses ~ arm + age", windows=(0.0, None)), cohort)
    found = tj.contrast(tj.relapse_rate(fit), *PAIR, scale="ratio", weights=matched, augmented=True)
    pairs = matched.values[matched.values > 0]
    assert 0.2 < only(found) < 0.9
    assert (
        f"alemtuzumab 133 patients in the model, {(matched.arm[pairs.index] == 'alemtuzumab').sum()} of 133 weighted"
        in str(found)
    )
    with pytest.raises(ValueError, match="nobody of ocrelizumab with a weight"):
        tj.contrast(tj.relapse_rate(fit), "ocrelizumab", "fingolimod", weights=matched, augmented=True)


def test_by_covariates_with_weights(cohort, overlap, counted):
    fit = tj.maximise(models.GaussianMixed("edss ~ arm * edss_baseline + years + (1 | patient)"), cohort)
    by = {"edss_baseline": [2.0, 4.0]}
    found = tj.contrast(tj.expected_edss(Point.of(fit), 2.0, by=by), *PAIR, weights=overlap)
    b = fit.summary()["estimate"]
    expected = b["arm[alemtuzumab]"] + np.array([2.0, 4.0]) * b["arm[alemtuzumab]:edss_baseline"]
    assert found.draws.to_numpy().ravel() == pytest.approx(expected, abs=1e-9)
    rate, weights = counted
    b = rate.asked.fit.summary()["estimate"]
    drawn = tj.contrast(
        tj.relapse_rate(rate.asked.fit, by={"sex": ["F", "M"]}), "new", "old", scale="ratio", weights=weights, bootstrap=Bootstrap(n=50)
    )  # fmt: skip
    expected = -b["arm[old]"] - np.array([0.0, b["arm[old]:sex[M]"]])
    assert np.log(drawn.draws).mean("draw").to_numpy().ravel() == pytest.approx(expected, abs=1e-9)
    with pytest.raises(ValueError, match="by covariates cannot be augmented"):
        tj.contrast(tj.expected_edss(fit, 2.0, by=by), *PAIR, weights=overlap, augmented=True)


def test_weights_that_the_estimate_was_asked_with_count_in_the_bootstrap(counted, replicated):
    rate, weights = counted
    how = {"scale": "ratio", "bootstrap": Bootstrap(n=50)}
    asked = tj.contrast(tj.relapse_rate(rate.asked.fit, target=weights), "new", "old", **how)
    given = tj.contrast(rate, "new", "old", weights=weights, **how)
    np.testing.assert_array_equal(asked.draws, given.draws)
    assert np.abs(replicated.draws - given.draws).max() > 1e-3, "the target should matter"


def test_impossible_contrasts_are_refused_in_words(cohort, some, adjusted, rates, overlap, estimates):
    edss, ratio = estimates["difference"], estimates["ratio"]
    reml = tj.maximise(models.GaussianMixed("edss ~ arm * years + (1 | patient)"), some, method="reml")
    without = tj.maximise(models.RelapseCounts("relapses ~ age", windows=(0.0, None)), cohort)
    free = tj.relapse_free(rates)
    moved = cohort.patients.set_index("patient")["arm"].map({PAIR[0]: PAIR[1], PAIR[1]: PAIR[0], "ocrelizumab": "ocrelizumab"})  # fmt: skip
    elsewhere = replace(overlap, arm=moved.astype(str).loc[overlap.arm.index])
    bad = [
        (edss, {"weights": overlap, "target": "ATE"}, ValueError, "these weights have the target ATO, not 'ATE'"),
        (edss, {"target": "ATO"}, ValueError, "target must be 'everyone', weights, or one of"),
        (edss, {"augmented": True}, ValueError, "augmenting needs weights="),
        (free, {"weights": overlap, "augmented": True}, TypeError, "no observed counterpart"),
        (edss, {"weights": overlap, "scale": "share"}, ValueError, "scale must be"),
        (tj.change(adjusted, 2.0), {"weights": overlap, "scale": "ratio"}, ValueError, "a ratio needs rates"),
        (tj.expected_edss(reml, 2.0), {"bootstrap": Bootstrap(n=50)}, ValueError, "fit by method='maximum likelihood'"),
        (tj.relapse_rate(without), {"weights": overlap, "augmented": True}, ValueError, "there is no arm 'alemtuzumab'"),
        (edss, {"weights": elsewhere}, ValueError, "patients of this fit are in another arm by the weights"),
        (tj.expected_edss(adjusted, 0.0), {"weights": overlap, "augmented": True}, ValueError, "was seen within 0.25 years"),
        (replace(edss, asked=None), {"weights": overlap}, TypeError, "cannot be standardised anew"),
        (ratio, {"weights": overlap, "over": "period"}, TypeError, "cannot be standardised anew"),
        (tj.stabilisation(adjusted, at=2.0, margin=0.5), {"weights": overlap, "augmented": True}, TypeError, "a Stabilisation has"),
    ]  # fmt: skip
    for estimate, options, error, message in bad:
        with pytest.raises(error, match=message):
            tj.contrast(estimate, *PAIR, **options)
    with pytest.raises(ValueError, match="there is no arm 'placebo'"):
        tj.contrast(edss, "placebo", "fingolimod", weights=overlap, bootstrap=Bootstrap(n=50))


def test_few_replicates_are_said_to_be_few(replicated):
    rng = np.random.default_rng(0)
    ends = np.quantile(rng.normal(size=(20_000, 50)), [0.025, 0.975], axis=1)
    from scipy.special import ndtr

    held = float(np.diff(ndtr(ends), axis=0).mean())
    said = next(caveat for caveat in replicated.caveats if "replicates are few" in caveat)
    assert float(said.split("hold about ")[1].split("%")[0]) / 100 == pytest.approx(held, abs=0.01)
    assert held < 0.93


# --- what a contrast stands on --------------------------------------------------------------------------------------


def caveats_of(estimate):
    return " ".join(str(said) for said in estimate.caveats)


def test_few_patients_of_an_arm_are_said(cohort, scores):
    people = cohort.patients
    kept = (people["arm"] != "alemtuzumab") | (people.groupby("arm", observed=True).cumcount() < 5)
    five = cohort.only(people.loc[kept, "patient"].tolist())
    rates = tj.relapse_rate(tj.maximise(models.RelapseCounts("relapses ~ arm", windows=(0.0, None)), five))
    assert "few patients (alemtuzumab as few as 5)" in caveats_of(tj.contrast(rates, *PAIR))
    assert "few patients" not in caveats_of(tj.contrast(rates, "fingolimod", "ocrelizumab"))
    heavy = pd.Series(np.where(np.arange(400) % 40 == 0, 30.0, 0.05), index=people["patient"])
    whole = tj.relapse_rate(tj.maximise(models.RelapseCounts("relapses ~ arm", windows=(0.0, None)), cohort))
    found = tj.contrast(whole, *PAIR, weights=tj.weights_of(cohort, heavy))
    assert "few patients (alemtuzumab as few as" in caveats_of(found)
    assert "as matched sets and weights given by hand are in a bootstrap too" in caveats_of(found)


def test_rates_before_treatment_alone_are_not_called_pooled(cohort, overlap):
    before = tj.relapse_rate(tj.maximise(models.RelapseCounts("relapses ~ arm", windows=(-1.0, 0.0)), cohort))
    said = caveats_of(tj.contrast(before, *PAIR, weights=overlap, augmented=True))
    assert "descriptive before time 0" in said
    assert "windows=(0, None)" not in said


def test_an_effect_without_a_product_is_the_same_at_every_value_by_assumption(adjusted, cohort):
    at = {"edss_baseline": [1.5, 4.0]}
    said = "the same at every edss_baseline by assumption"
    assert said in caveats_of(tj.contrast(tj.change(adjusted, 2.0, by=at), *PAIR))
    product = tj.maximise(models.GaussianMixed("edss ~ edss_baseline * arm + years + (1 | patient)"), cohort)
    assert said not in caveats_of(tj.contrast(tj.change(product, 2.0, by=at), *PAIR))
    made = tj.contrast(tj.change(product, 2.0, by=at), 4.0, 1.5, over="edss_baseline")
    assert made.name.endswith("4 minus 1.5")


@pytest.mark.parametrize("column", ["start", "start_year"])
def test_arms_of_other_years_are_said(column):
    n = 30
    dates = pd.to_datetime(["2008-03-01", "2018-03-01"])[np.arange(2 * n) % 2]
    visits = pd.DataFrame(
        {
            "patient": np.repeat(np.arange(2 * n), 2),
            "date": np.repeat(dates, 2) + np.tile(pd.to_timedelta([0, 400], "D"), 2 * n),
            "edss": np.random.default_rng(1).choice([2.0, 2.5, 3.0], 4 * n),
        }
    )
    people = pd.DataFrame(
        {
            "patient": np.arange(2 * n),
            "arm": np.array(["old", "new"])[np.arange(2 * n) % 2],
            column: dates if column == "start" else dates.year,
        }
    )
    fit = tj.maximise(
        models.GaussianMixed("edss ~ arm * years + (1 | patient)"), tj.read_cohort(visits, patients=people)
    )
    assert "hardly overlap in calendar time" in caveats_of(
        tj.contrast(tj.expected_edss(fit, 1.0), "new", "old")
    )


def test_complete_cases_are_counted_of_all(cohort):
    people = cohort.patients
    assert people["edss_baseline"].notna().all()
    values = pd.Series(1.0, index=people.loc[people.index % 3 > 0, "patient"])
    rates = tj.relapse_rate(tj.maximise(models.RelapseCounts("relapses ~ arm", windows=(0.0, None)), cohort))
    said = caveats_of(tj.contrast(rates, *PAIR, weights=tj.weights_of(cohort, values)))
    mine = people["arm"] == "alemtuzumab"
    assert f"{int((mine & (people.index % 3 > 0)).sum())} of {int(mine.sum())} weighted" in said


def test_what_is_no_weights_is_refused_with_the_way_to_make_them(adjusted, cohort, overlap):
    estimate = tj.expected_edss(adjusted, 2.0)
    for wrong in (
        lambda: tj.contrast(estimate, *PAIR, weights=overlap.values),
        lambda: tj.maximise(adjusted.model, cohort, weights=overlap.values),
        lambda: tj.balance(cohort),
        lambda: tj.expected_edss(adjusted, 2.0, target=overlap.values),
    ):
        with pytest.raises(TypeError, match=r"tj\.weights_of\(cohort, series\), not a (Series|Cohort)"):
            wrong()
    with pytest.raises(ValueError, match="does not say whose weights"):
        tj.weights_of(cohort, overlap.values.to_numpy())
    with pytest.raises(TypeError, match=r"bootstrap takes tj\.Bootstrap"):
        tj.contrast(estimate, *PAIR, weights=overlap, bootstrap=500)
    with pytest.raises(ValueError, match="compared with itself"):
        tj.contrast(estimate, "fingolimod", "fingolimod")
    alone = cohort.only(cohort.patients.loc[cohort.patients["arm"] == "alemtuzumab", "patient"].tolist())
    one = tj.maximise(models.GaussianMixed("edss ~ years + (1 | patient)"), alone)
    with pytest.raises(ValueError, match="there is no other to compare with"):
        tj.contrast(tj.expected_edss(one, 2.0), *PAIR)


def test_episodes_of_one_person_are_said_unless_they_are_drawn_together(cohort):
    visits, people = cohort.visits[["patient", "day", "edss"]], cohort.patients[["patient", "arm"]]
    persons = people.assign(person=[f"person {k // 2}" for k in range(len(people))])
    twice = tj.read_cohort(visits, relapses=cohort.relapses[["patient", "day"]], patients=persons)
    rates = tj.relapse_rate(tj.maximise(models.RelapseCounts("relapses ~ arm", windows=(0.0, None)), twice))
    said = "200 of 200 persons have several index episodes, which are taken as independent"
    assert said in caveats_of(tj.contrast(rates, *PAIR))
    drawn = tj.contrast(rates, *PAIR, bootstrap=Bootstrap(n=50, cluster="person"))
    assert "taken as independent" not in caveats_of(drawn)
    assert "by person (200 clusters)" in drawn.source
