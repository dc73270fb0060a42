"""Sampling for real, once: the result against the known truth, its summary, its groups, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

import trajectories as tj
from trajectories import edss, models
from trajectories.fitting import nuts

MODEL = models.OrdinalMixed("edss ~ arm * years + (1 + years | patient)")


# --- the fit --------------------------------------------------------------------------------------------------------


def test_truth_lies_within_the_intervals(sampled, sampled_cohort):
    frame = sampled.summary(ci=0.998)
    truth = sampled_cohort.truth.disability
    for term, value in {
        "years": truth.slope,
        "arm[new]:years": truth.arm_slope["new"],
        "sd(intercept)": truth.patient_sd,
        "sd(years)": truth.slope_sd,
        "cor(intercept, years)": truth.correlation,
    }.items():
        assert frame.loc[term, "lower"] < value < frame.loc[term, "upper"]
    change = tj.change(sampled, 2.0).summary(ci=0.998)
    level = tj.expected_edss(sampled, [0.0, 2.0]).summary(ci=0.998)
    for arm in ("old", "new"):
        true = float(sampled_cohort.truth.change(arm, 2.0))
        assert change.loc[(arm, 2.0), "lower"] < true < change.loc[(arm, 2.0), "upper"]
        true = float(sampled_cohort.truth.expected_edss(arm, 0.0))
        assert level.loc[(arm, 0.0), "lower"] < true < level.loc[(arm, 0.0), "upper"]
    # Not because the intervals are wide: 40 patients say more than the prior does.
    assert change["sd"].max() < 0.6


def test_summary_has_a_row_a_term_and_says_how_sure_the_draws_are(sampled):
    frame = sampled.summary()
    assert list(frame.columns) == ["mean", "sd", "lower", "upper", "r_hat", "ess_bulk", "ess_tail"]
    assert frame.index.name == "term"
    assert frame.index.tolist()[:3] == ["arm[new]", "years", "arm[new]:years"]
    assert {"sd(intercept)", "sd(years)", "cor(intercept, years)", "0|1", "9.5|10"} <= set(frame.index)
    assert len(frame) == 3 + 3 + 19
    assert frame.notna().all(axis=None)
    assert (frame["lower"] < frame["mean"]).all()
    assert (frame["mean"] < frame["upper"]).all()
    assert frame["r_hat"].max() <= 1.01
    assert frame[["ess_bulk", "ess_tail"]].min(axis=None) >= 400
    assert (frame["mean"].loc["0|1":"9.5|10"].diff().dropna() >= 0).all()
    assert frame.attrs["interval"] == "95% equal-tailed interval of posterior draws (NUTS)"
    assert (frame.attrs["patients"], frame.attrs["rows"]) == (40, 200)
    draws = sampled.parameters["coefficients"].sel(term="years").to_numpy().ravel()
    row = frame.loc["years"]
    assert (row["mean"], row["sd"]) == pytest.approx((draws.mean(), draws.std(ddof=1)))
    assert (row["lower"], row["upper"]) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
    with pytest.raises(ValueError, match="ci must be between 0 and 1"):
        sampled.summary(ci=95)


def test_settings_versions_and_print(sampled):
    assert {k: sampled.settings[k] for k in ("draws", "tune", "chains", "seed", "target_accept")} == {
        "draws": 500, "tune": 600, "chains": 4, "seed": 1, "target_accept": 0.9,
    }  # fmt: skip
    assert sampled.settings["seconds"] > 0
    assert {"pymc", "nutpie", "numpy", "trajectories"} <= set(sampled.versions)
    text = str(sampled)
    assert text.startswith("OrdinalMixed('edss ~ arm * years")
    for part in (
        "posterior draws (NUTS)",
        "40 patients, 200 rows",
        "simulated data: nobody was treated",
        "sd(years)",
    ):
        assert part in text
    assert "NOT CONVERGED" not in text
    assert not any(problem.serious for problem in sampled.problems())


def test_data_has_the_groups_and_names_that_arviz_knows(sampled):
    assert set(sampled.data.children) == {
        "posterior",
        "sample_stats",
        "log_likelihood",
        "observed_data",
        "constant_data",
    }
    assert {"diverging", "energy", "tree_depth", "lp", "reached_max_treedepth"} <= set(
        sampled.data["sample_stats"].data_vars
    )
    likelihood = sampled.data["log_likelihood"]["edss"]
    assert likelihood.dims == ("chain", "draw", "visit")
    assert likelihood.shape == (4, 500, 200)
    assert np.isfinite(likelihood).all()
    again = sampled.model.log_likelihood(sampled.parameters.isel(draw=[7]), sampled.design)
    np.testing.assert_allclose(again[:, 0], likelihood[:, 7])
    np.testing.assert_array_equal(sampled.data["observed_data"]["edss"], sampled.design.outcome)


def test_loo_works_on_the_data(sampled):
    import arviz as az

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some visits decide their patient's effects: large Pareto k
        loo = az.loo(sampled.data)
    assert np.isfinite(loo.elpd)
    assert loo.elpd < sampled.data["log_likelihood"]["edss"].mean(("chain", "draw")).sum()


def test_posterior_predictive_looks_like_the_data(sampled):
    again = sampled.posterior_predictive(draws=100, seed=3)
    assert again.dims == ("chain", "draw", "visit")
    assert again.shape == (4, 100, 200)
    assert edss.is_level(again.to_numpy()).all()
    observed = sampled.design.outcome
    assert float(again.mean()) == pytest.approx(observed.mean(), abs=0.15)
    assert float((again == observed).mean()) > 0.25  # the same patients, not new ones
    for k in (2.0, 4.0, 6.0):
        assert float((again >= k).mean()) == pytest.approx((observed >= k).mean(), abs=0.06)
    np.testing.assert_array_equal(
        sampled.posterior_predictive(draws=5, seed=3), sampled.posterior_predictive(draws=5, seed=3)
    )
    assert (
        sampled.posterior_predictive(draws=5, seed=3) != sampled.posterior_predictive(draws=5, seed=4)
    ).any()
    assert sampled.posterior_predictive(draws=10_000).sizes["draw"] == 500


def test_stabilisation_of_a_real_fit(sampled):
    stable = tj.stabilisation(sampled, at=2.0, margin=0.5)
    frame = stable.summary()
    assert frame.loc["old", "change"] > frame.loc["new", "change"]
    assert ((frame.iloc[:, 3:] >= 0) & (frame.iloc[:, 3:] <= 1)).all(axis=None)


# --- seeds, interruptions, refusals ---------------------------------------------------------------------------------


QUICK = {"draws": 20, "tune": 30, "chains": 2, "accept_problems": True}


def test_same_seed_same_draws(resample):
    first, second, other = (resample(**QUICK, seed=seed) for seed in (5, 5, np.int64(6)))
    xr.testing.assert_identical(first.parameters, second.parameters)
    assert not np.allclose(first.parameters["cutpoints"], other.parameters["cutpoints"])
    assert other.settings["seed"] == 6
    assert type(other.settings["seed"]) is int


def test_without_a_seed_it_is_random_and_kept(resample):
    seeds = {resample(**QUICK).settings["seed"] for _ in range(2)}
    assert len(seeds) == 2


def test_bad_convergence_is_refused_and_accepted_only_on_request(resample):
    with pytest.raises(tj.ConvergenceError, match=r"(?s)the sampler did not converge:\n  - .*ESS below 400"):
        resample(draws=20, tune=30, chains=2, seed=1)
    fit = resample(**QUICK, seed=1)
    assert any(problem.serious for problem in fit.problems())
    assert "NOT CONVERGED (accepted by the user)" in str(fit)
    assert any("NOT CONVERGED" in caveat for caveat in fit.summary().attrs["caveats"])
    one = resample(**{**QUICK, "chains": 1}, seed=1)
    assert "R-hat compares chains, and there is 1: take chains=4" in str(one)


@pytest.mark.parametrize("cut", ["short", "unequal", "fewer chains", "nothing"])
def test_interruption_is_passed_on_and_never_a_fit(resample, monkeypatch, cut):
    import nutpie

    real = nutpie.sample

    def interrupted(*arguments, **options):
        trace = real(*arguments, **options)
        raw, stats = trace["posterior"].to_dataset(), trace["sample_stats"].to_dataset()
        if cut == "short":
            raw, stats = raw.isel(draw=slice(7)), stats.isel(draw=slice(7))
        elif cut == "nothing":
            raw, stats = raw.isel(draw=slice(0)), stats.isel(draw=slice(0))
        elif cut == "fewer chains":
            raw, stats = raw.isel(chain=[0]), stats.isel(chain=[0])
        else:  # as nutpie fills up the chains that were not finished
            unfinished = (raw["chain"] == 1) & (raw["draw"] > 7)
            raw, stats = raw.where(~unfinished), stats.where(~unfinished)
        return xr.DataTree.from_dict({"posterior": raw, "sample_stats": stats})

    monkeypatch.setattr(nutpie, "sample", interrupted)
    with pytest.raises(KeyboardInterrupt, match="sampling was stopped; draws by chain"):
        resample(**QUICK, seed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 3}, "draws must be at least 4, not 3"),
        ({"tune": 0}, "tune must be at least 1, not 0"),
        ({"chains": 0}, "chains must be at least 1, not 0"),
    ],
)
def test_impossible_settings(sampled_cohort, monkeypatch, options, message):
    def forbidden(*arguments):
        raise AssertionError("compiled before the settings were checked")

    monkeypatch.setattr(nuts, "compile_model", forbidden)
    with pytest.raises(ValueError, match=message):
        tj.sample(MODEL, sampled_cohort, **options)


def test_a_formula_that_does_not_fit_is_refused_before_compiling(sampled_cohort, monkeypatch):
    monkeypatch.setattr(nuts, "compile_model", lambda *arguments: pytest.fail("compiled"))
    with pytest.raises(tj.FormulaError, match="names 'age', which the cohort does not have"):
        tj.sample(models.OrdinalMixed("edss ~ age + (1 | patient)"), sampled_cohort)


# --- the prior ------------------------------------------------------------------------------------------------------


def test_prior_draws_answer_the_same_questions(sampled_cohort):
    prior, again = (tj.sample_prior(MODEL, sampled_cohort, draws=150, seed=2) for _ in range(2))
    assert prior.source == "prior"
    assert set(prior.data.children) == {"prior"}
    assert prior.problems() == ()
    xr.testing.assert_identical(prior.parameters, again.parameters)
    assert "draws from the PRIOR, no data used" in str(prior)
    assert list(prior.summary().columns) == ["mean", "sd", "lower", "upper"]
    level = tj.expected_edss(prior, [0.0, 2.0])
    assert ((level.draws >= 0) & (level.draws <= 10)).all()
    assert level.summary()["sd"].min() > 1.0  # the prior says little
    assert "PRIOR" in level.summary().attrs["interval"]
    replicated = prior.posterior_predictive(seed=1)
    assert replicated.shape == (1, 150, 200)
    assert edss.is_level(replicated.to_numpy()).all()


def test_prior_draws_do_not_look_at_the_outcome(sampled_cohort):
    import dataclasses

    other = sampled_cohort.visits.assign(
        edss=10 - np.where(sampled_cohort.visits["edss"] == 9.5, 9, sampled_cohort.visits["edss"])
    )
    turned = dataclasses.replace(sampled_cohort, visits_table=other)
    first, second = (tj.sample_prior(MODEL, c, draws=50, seed=3).parameters for c in (sampled_cohort, turned))
    for name in ("coefficients", "cutpoints", "patient_covariance"):
        np.testing.assert_allclose(first[name], second[name], rtol=1e-10)
