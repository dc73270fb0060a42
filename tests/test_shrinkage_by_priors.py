"""Two ways to shrink effects of subgroups, on one simulated cohort: a prior on the interaction in the model, and `tj.shrunken` after it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import trajectories as tj
from trajectories import models, priors

CENTRES = [f"c{k}" for k in range(6)]
SIZES = (30, 12, 9, 8, 9, 15)  # patients an arm
MODEL = models.GaussianMixed("edss ~ edss_baseline + arm * centre + (1 | patient)")
TIGHT = 0.2


@pytest.fixture(scope="module")
def cohort():
    """Two arms in six centres of unequal size; the effect is −0.5 in every one."""
    rng = np.random.default_rng(1)
    centre = np.repeat(CENTRES, 2 * np.array(SIZES))
    n = len(centre)
    ids, new = [f"p{i:03d}" for i in range(n)], np.arange(n) % 2 == 1
    baseline, own = rng.choice([2.0, 2.5, 3.0, 3.5, 4.0], n), rng.normal(0, 0.5, n)
    later = [np.round(2 * (baseline + own + 0.3 - 0.5 * new + rng.normal(0, 0.5, n))) / 2 for _ in range(2)]
    visits = pd.DataFrame(
        {"patient": ids * 3, "day": np.repeat([0, 365, 730], n), "edss": np.concatenate([baseline, *np.clip(later, 1, 9.5)])}
    )  # fmt: skip
    people = pd.DataFrame({"patient": ids, "arm": np.where(new, "new", "old"), "centre": centre})
    return tj.read_cohort(visits, patients=people, name="made up")


def with_interactions(cohort, sd):
    """The model with the same prior on every product of arm and centre: how a user writes it."""
    terms = [term for term in MODEL.design(cohort).terms if term.startswith("arm[new]:centre")]
    return MODEL.with_priors(terms={term: priors.Normal(0, sd) for term in terms})


def effects(fit):
    """Effect of `new` at one year by centre."""
    return tj.contrast(tj.expected_edss(fit, 1.0, by={"centre": CENTRES}), "new", "old")


def values(estimate):
    return estimate.draws.to_numpy().reshape(-1, len(CENTRES))


@pytest.fixture(scope="module")
def wide(cohort):
    return effects(tj.sample(with_interactions(cohort, 10.0), cohort, seed=1))


@pytest.fixture(scope="module")
def tight(cohort):
    return effects(tj.sample(with_interactions(cohort, TIGHT), cohort, seed=2))


def updated(draws, sd):
    """Mean and standard deviations of normal effects after a prior N(0, sd²) on each one's difference from the first."""
    difference = np.eye(len(CENTRES))[1:] - np.eye(len(CENTRES))[0]
    precision = np.linalg.inv(np.cov(draws.T))
    covariance = np.linalg.inv(precision + difference.T @ difference / sd**2)
    return covariance @ precision @ draws.mean(axis=0), np.sqrt(np.diag(covariance))


def test_a_wide_prior_in_the_model_shrinks_nothing(cohort, wide):
    unshrunken = effects(tj.maximise(MODEL, cohort)).summary()
    # Monte Carlo error of means is about 0.005; a posterior has a little more spread than a likelihood at known scales
    np.testing.assert_allclose(values(wide).mean(axis=0), unshrunken["mean"], atol=0.02)
    np.testing.assert_allclose(values(wide).std(axis=0), unshrunken["sd"], rtol=0.1)


def test_a_tight_prior_in_the_model_draws_towards_the_reference(wide, tight):
    """As the normal update of what the wide prior found says, with the reference centre as what the others are drawn to."""
    mean, sd = updated(values(wide), TIGHT)
    np.testing.assert_allclose(values(tight).mean(axis=0), mean, atol=0.02)
    np.testing.assert_allclose(values(tight).std(axis=0), sd, rtol=0.08)
    free, held = values(wide), values(tight)
    assert np.ptp(held.mean(axis=0)) < 0.6 * np.ptp(free.mean(axis=0))
    assert (held.std(axis=0) < 0.85 * free.std(axis=0)).all()


def test_shrunken_with_a_wide_prior_leaves_effects_that_lie_apart(wide):
    """τ is estimated, so that even under a wide prior of it effects as alike as these come together; those that lie apart stay."""
    shift = xr.DataArray([0.0, 10.0, -20.0, 30.0, 5.0, -8.0], dims="centre", coords={"centre": CENTRES})
    apart = replace(wide, draws=wide.draws + shift)
    made = tj.shrunken(apart, prior=priors.HalfNormal(100.0))
    np.testing.assert_allclose(values(made.effects).mean(axis=0), values(apart).mean(axis=0), atol=0.02)
    assert made.shrinkage.max() < 0.01
    assert tj.shrunken(wide, prior=priors.HalfNormal(100.0)).shrinkage.min() > 0.1


def test_both_bring_alike_effects_together(wide, tight):
    made = tj.shrunken(wide, prior=priors.HalfNormal(TIGHT / np.sqrt(2)))
    before, by_prior, after = (values(one).mean(axis=0) for one in (wide, tight, made.effects))
    assert by_prior.std() < 0.6 * before.std()  # the centres do not differ in truth
    assert after.std() < 0.6 * before.std()
    assert np.corrcoef(after, by_prior)[0, 1] > 0.9
    # a difference of two centres has the prior variance sd² in one and 2τ² in the other, where τ is smaller still, as it is estimated
    assert after.std() < by_prior.std()
    assert made.shrinkage.idxmin() == "c0"  # the largest centre moves least
