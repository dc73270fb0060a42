"""Visit effects of the ordinal mixed model: density, prior, averages over the fluctuation, limits, saving and recovery."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytensor
import pytest
import xarray as xr
from scipy import special, stats

import trajectories as tj
from trajectories import models, priors
from trajectories.fitting.diagnostics import convergence_table
from trajectories.fitting.refit import Compiled, refit
from trajectories.formulas import FormulaError, Matrices
from trajectories.models.blocks import visit_effects
from trajectories.models.blocks.autoregression import visit_order, with_earlier
from trajectories.models.blocks.cutpoints import averaged_cumulative

sys.path.insert(0, str(Path(__file__).parent))
from hand_made import CUTPOINTS, QUICK, cohort, fit_of, internal_draws, tables

ONE = "edss ~ years + (1 | patient)"
TWO = "edss ~ arm * years + age + (1 + years | patient)"
CDF = {"logit": special.expit, "probit": special.ndtr}


def uneven():
    """Visits at uneven times, rows not in their order, one patient with a single visit."""
    seen, people = tables({"old": 6, "new": 5}, visits=5)
    rng = np.random.default_rng(3)
    seen["day"] = seen["day"] + rng.integers(-60, 60, len(seen))
    seen = seen.drop(index=[1, 2, 3, 4, 12, 23]).sample(frac=1, random_state=2)
    return tj.read_cohort(seen, patients=people, name="made up")


def drawn(text=TWO, *, link="logit", seed=1, draws=3):
    """A model, its design and graph, random values of the sampler's variables, and what they are in the user's units."""
    model = models.OrdinalMixed(text, link=link, visit_effects="ar1")
    design = model.design(uneven())
    graph = model.build(design)
    raw = internal_draws(graph, draws=draws, seed=seed)
    return model, design, graph, raw, model.parameters(raw, design)


def with_fluctuation(fit, sd, time_range):
    """Give a hand-made fit visit effects with these parameters."""
    lead = ("chain", "draw")
    shape = (fit.parameters.sizes["chain"], fit.parameters.sizes["draw"])
    more = fit.parameters.assign(
        visit_sd=(lead, np.broadcast_to(sd, shape)),
        visit_range=(lead, np.broadcast_to(time_range, shape)),
        visit_effects=((*lead, "visit"), np.zeros((*shape, len(fit.design.frame)))),
    )
    return tj.fitting.fit.Fit(
        model=fit.model, design=fit.design, data=xr.DataTree.from_dict({"posterior": more})
    )


# --- the density ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("text", [ONE, TWO])
def test_likelihood_is_that_of_the_definition(text, link):
    model, design, graph, raw, parameters = drawn(text, link=link)
    names = [variable.name for variable in graph.free_RVs]
    in_pymc = pytensor.function(graph.free_RVs, graph.potentials[0], mode=QUICK)
    code, (X, Z) = tj.edss.code(design.outcome), (design.formula.matrices.X, design.formula.matrices.Z)
    for i in range(3):
        p = parameters.isel(chain=0, draw=i)
        u = p["patient_effects"].to_numpy()[design.patient]
        eta = X @ p["coefficients"].to_numpy() + (Z * u).sum(axis=1) + p["visit_effects"].to_numpy()
        ends = np.concatenate([[-np.inf], p["cutpoints"].to_numpy(), [np.inf]])
        by_hand = CDF[link](ends[code + 1] - eta) - CDF[link](ends[code] - eta)
        np.testing.assert_allclose(
            np.exp(model.log_likelihood(parameters, design)[0, i]), by_hand, rtol=1e-6, atol=1e-13
        )
        total = float(in_pymc(*[raw[name][0, i] for name in names]))
        assert total == pytest.approx(float(model.log_likelihood(parameters, design)[0, i].sum()), rel=1e-6)


@pytest.mark.parametrize(("text", "link"), [(ONE, "logit"), (TWO, "probit")])
def test_prior_density_is_the_multivariate_normal_one(text, link):
    # z is a change of variable of s: log p(z) = log N(s; 0, R) + log |ds / dz|, and ds / dz is triangular along the visits.
    model, design, graph, raw, parameters = drawn(text, link=link, seed=4)
    variable = graph[visit_effects.NAME]
    names = [v.name for v in graph.free_RVs]
    values = [graph.rvs_to_values[v] for v in graph.free_RVs]
    logp = graph.compile_fn(
        graph.logp(vars=[variable], sum=True), inputs=values, mode=QUICK, on_unused_input="ignore"
    )
    years = design.frame["years"].to_numpy()
    same = design.patient[:, None] == design.patient[None, :]
    for i in range(3):
        point = {name: raw[name][0, i] for name in names}
        free = {v.name: _unconstrained(graph, v, point[v.name]) for v in graph.free_RVs}
        found = float(logp({graph.rvs_to_values[v].name: free[v.name] for v in graph.free_RVs}))
        sd, time_range = float(raw["visit_scale_internal"][0, i]), float(parameters["visit_range"][0, i])
        assert float(parameters["visit_sd"][0, i]) == abs(sd)
        R = same * np.exp(-np.abs(years[:, None] - years[None, :]) / time_range)
        s = parameters["visit_effects"][0, i].to_numpy() / sd
        spread = _derivatives(model, design, raw, i) / sd
        assert found == pytest.approx(
            stats.multivariate_normal(np.zeros(len(s)), R).logpdf(s) + np.log(np.abs(spread)).sum(), rel=1e-6
        )


def _unconstrained(graph, variable, value):
    transform = graph.rvs_to_transforms[variable]
    if transform is None:
        return value
    return np.asarray(transform.forward(np.asarray(value, dtype=float), *variable.owner.inputs).eval())


def _derivatives(model, design, raw, i):
    """The derivative of each visit effect by its own coordinate."""
    one = {name: values[:, [i]] for name, values in raw.items()}
    base = model.parameters(one, design)["visit_effects"].to_numpy()[0, 0]
    moved = []
    for k in range(len(base)):
        coordinate = one[visit_effects.NAME].copy()
        coordinate[0, 0, k] += 1.0  # linear: any step will do
        moved.append(
            model.parameters(one | {visit_effects.NAME: coordinate}, design)["visit_effects"].to_numpy()[
                0, 0, k
            ]
        )
    return np.array(moved) - base


def test_log_density_and_gradient_are_finite_at_the_start():
    _, _, graph, _, _ = drawn()
    start = graph.initial_point()
    assert np.isfinite(graph.compile_logp(mode=QUICK)(start))
    gradient = graph.compile_dlogp(mode=QUICK)(start)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_pairs_hold_every_earlier_visit_of_the_patient():
    _, design, *_ = drawn(ONE)
    visit, earlier, years = with_earlier(visit_order(design))
    time, patient = design.frame["years"].to_numpy(), design.patient
    expected = {
        (j, k)
        for j in range(len(time))
        for k in range(len(time))
        if patient[j] == patient[k] and time[k] <= time[j]
    }
    assert set(zip(visit.tolist(), earlier.tolist(), strict=True)) == expected
    assert len(visit) == len(expected)
    np.testing.assert_allclose(years, time[visit] - time[earlier], atol=1e-12)


# --- the prior ------------------------------------------------------------------------------------------------------


def test_prior_draws_follow_the_stated_priors():
    model = models.OrdinalMixed(ONE, visit_effects="ar1").with_priors(visit_sd=priors.Exponential(0.8))
    fit = tj.sample_prior(model, cohort({"old": 30, "new": 30}), draws=1000, seed=1)
    p, design = fit.parameters.isel(chain=0), fit.design

    def follows(values, distribution):
        return stats.kstest(np.asarray(values), distribution.cdf).pvalue > 1e-3

    assert follows(p["visit_sd"], stats.expon(scale=0.8))
    assert follows(p["visit_range"], stats.expon(scale=1.0))
    assert follows(p["patient_sd"].isel(effect=0), stats.halfnorm(scale=5.0))
    per_sd = p["coefficients"].to_numpy()[:, 0] * design.formula.matrices.X[:, 0].std()
    assert follows(per_sd, stats.norm(0, 2.5))
    s = (p["visit_effects"] / p["visit_sd"]).transpose("draw", "visit").to_numpy()
    order = visit_order(design)
    later = np.flatnonzero(order.follows > 0)
    kept = np.exp(-order.gap[later] / p["visit_range"].to_numpy()[:, None])
    new = (s[:, later] - kept * s[:, order.previous[later]]) / np.sqrt(1 - kept**2)
    assert follows(s[:, order.follows == 0].ravel()[::7], stats.norm())
    assert s.std() == pytest.approx(1, abs=0.03)
    assert new.std() == pytest.approx(1, abs=0.02)
    assert follows(new.ravel()[::13], stats.norm())
    assert abs(np.corrcoef(new.ravel(), s[:, order.previous[later]].ravel())[0, 1]) < 0.02
    assert {"visit_sd", "visit_range"} <= set(fit.summary().index)
    assert not any("visit_effects" in row for row in fit.summary().index)


def test_priors_and_choices_are_checked():
    with pytest.raises(ValueError, match="visit_effects must be 'none' or 'ar1', not 'ou'"):
        models.OrdinalMixed(ONE, visit_effects="ou")
    model = models.OrdinalMixed(ONE, visit_effects="ar1")
    with pytest.raises(TypeError, match="the prior of visit_sd must be HalfNormal"):
        model.with_priors(visit_sd=priors.Normal())
    with pytest.raises(TypeError, match="the prior of visit_range must be HalfNormal"):
        model.with_priors(visit_range=priors.Normal())
    assert model.priors.visit_sd == priors.HalfNormal(1.0)
    assert model.priors.visit_range == priors.Exponential(1.0)


def test_designs_without_two_visits_of_a_patient_are_refused():
    seen, people = tables({"only": 8}, visits=1)
    model = models.OrdinalMixed("edss ~ age + (1 | patient)", visit_effects="ar1")
    with pytest.raises(FormulaError, match="no patient has two visits, so visits cannot be correlated"):
        model.design(tj.read_cohort(seen, patients=people))


def test_limitations_count_the_long_gaps():
    seen, people = tables({"old": 6, "new": 5})
    last = seen.groupby("patient").tail(1).index
    seen.loc[last[:4], "day"] += 400
    later = tj.read_cohort(seen, patients=people)
    model = models.OrdinalMixed(ONE, visit_effects="ar1")
    said = model.limitations(model.design(later))
    assert "cannot be told apart without replicate ratings" in said[0]
    assert said[1].startswith("4 of 33 gaps between visits of a patient are longer than 1 year")
    assert models.OrdinalMixed(ONE).limitations(model.design(later)) == ()


# --- averages over the fluctuation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_levels_of_new_patients_average_over_the_fluctuation(link):
    model = models.OrdinalMixed("edss ~ years + (1 + years | patient)", link=link, visit_effects="ar1")
    design, rng, n = model.design(cohort()), np.random.default_rng(1), 400_000
    covariance = np.array([[4.0, 0.3], [0.3, 0.5]])
    fit = with_fluctuation(
        fit_of(model, design, coefficients=[[0.8]], covariance=covariance), sd=1.7, time_range=0.5
    )
    u = rng.multivariate_normal([0, 0], covariance, n)
    noise = rng.logistic(size=n) if link == "logit" else rng.normal(size=n)
    latent = 0.8 * 1.0 + u @ [1.0, 1.0] + 1.7 * rng.normal(size=n) + noise
    shares = np.bincount(np.searchsorted(CUTPOINTS, latent), minlength=20) / n
    levels = model.averaged_levels(
        fit.parameters, Matrices(X=np.array([[1.0]]), Z=np.array([[1.0, 1.0]])), np.ones(1)
    )
    np.testing.assert_allclose(levels[0], shares, atol=5 * np.sqrt(0.2 / n))
    expected = float(tj.expected_edss(fit, 1.0).draws.squeeze())
    assert expected == pytest.approx(float(shares @ tj.edss.LEVELS), abs=0.02)


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_shares_of_patients_at_two_visits_hold_their_correlation(link):
    model = models.OrdinalMixed("edss ~ years + (1 + years | patient)", link=link, visit_effects="ar1")
    design, rng, n = model.design(cohort()), np.random.default_rng(2), 300_000
    covariance, sd, time_range, rule = np.array([[4.0, 0.3], [0.3, 0.5]]), 2.5, 1.0, tj.edss.TRIAL
    fit = with_fluctuation(
        fit_of(model, design, coefficients=[[0.8]], covariance=covariance), sd=sd, time_range=time_range
    )
    stable = tj.stabilisation(fit, at=0.5, margin=0.5, rule=rule, seed=1)
    u = rng.multivariate_normal([0, 0], covariance, n)
    means = [u[:, 0], 0.8 * 0.5 + u @ [1.0, 0.5]]

    def shares(kept):
        first = rng.normal(size=n)
        w = sd * np.array([first, kept * first + np.sqrt(1 - kept**2) * rng.normal(size=n)])
        draw = rng.logistic if link == "logit" else rng.normal
        seen = [
            tj.edss.LEVELS[np.searchsorted(CUTPOINTS, m + x + draw(size=n))]
            for m, x in zip(means, w, strict=True)
        ]
        return rule.worse(*seen).mean(), rule.improved(*seen).mean()

    found = stable.patients.draws.sel(basis="two visits").squeeze()
    worse, improved = shares(np.exp(-0.5 / time_range))
    assert float(found.sel(outcome="worse")) == pytest.approx(worse, abs=0.012)
    assert float(found.sel(outcome="improved")) == pytest.approx(improved, abs=0.012)
    assert shares(0.0)[0] > worse + 0.03  # independent fluctuation would show more change
    # A patient's expected change holds no fluctuation: it is averaged over at both times.
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    few = slice(20_000)
    expected = []
    for mean in means:
        below = sum(
            weight * CDF[link](CUTPOINTS - mean[few, None] - sd * node)
            for node, weight in zip(nodes, weights / weights.sum(), strict=True)
        )
        expected.append(np.diff(below, axis=1, prepend=0, append=1) @ tj.edss.LEVELS)
    found = stable.patients.draws.sel(basis="expected change").squeeze()
    assert float(found.sel(outcome="worse")) == pytest.approx(rule.worse(*expected).mean(), abs=0.02)
    assert float(found.sel(outcome="improved")) == pytest.approx(rule.improved(*expected).mean(), abs=0.02)


@pytest.mark.parametrize("sd", [0.01, 0.5, 1.0, 2.5, 6.0])
def test_rough_averages_are_good_to_five_digits(sd):
    distance = np.linspace(-12, 12, 97)
    exact, rough = (averaged_cumulative(distance, np.array(sd), "logit", rough=r) for r in (False, True))
    np.testing.assert_allclose(rough, exact, atol=1e-5)


def test_without_fluctuation_it_is_the_plain_model():
    plain = models.OrdinalMixed(TWO)
    model = models.OrdinalMixed(TWO, visit_effects="ar1")
    design, rng = model.design(cohort()), np.random.default_rng(1)
    root = rng.normal(size=(3, 2, 2))
    given = {"coefficients": rng.normal(0, 0.3, (3, 4)), "covariance": root @ root.transpose(0, 2, 1)}
    alone = fit_of(plain, design, **given)
    still = with_fluctuation(fit_of(model, design, **given), sd=1e-7, time_range=0.5)
    np.testing.assert_allclose(
        model.log_likelihood(still.parameters, design),
        plain.log_likelihood(alone.parameters, design),
        rtol=1e-10,
    )
    for estimand in (tj.expected_edss, tj.change):
        np.testing.assert_allclose(estimand(still, 1.0).draws, estimand(alone, 1.0).draws, atol=1e-8)
    before, after = (tj.stabilisation(f, at=1.0, margin=0.5).patients.draws for f in (alone, still))
    np.testing.assert_allclose(before, after, atol=1e-5)
    # And so in the sampler: the same variables give the same likelihood.
    graph, bare = model.build(design), plain.build(design)
    raw = internal_draws(graph, draws=1, seed=2)
    raw["visit_scale_internal"][:] = 1e-9
    likelihoods = [
        pytensor.function(g.free_RVs, g.potentials[0], mode=QUICK)(*[raw[v.name][0, 0] for v in g.free_RVs])
        for g in (graph, bare)
    ]
    assert likelihoods[0] == pytest.approx(likelihoods[1], rel=1e-7)


def test_replicates_keep_the_visit_effects():
    model, design, _, _, one = drawn(draws=1, seed=9)
    many = one.isel(draw=np.zeros(3000, dtype=int)).assign_coords(draw=np.arange(3000))
    again = model.replicate(many, design, np.random.default_rng(1))
    eta = (
        design.formula.matrices.X @ one["coefficients"].to_numpy()[0, 0]
        + (design.formula.matrices.Z * one["patient_effects"].to_numpy()[0, 0][design.patient]).sum(axis=1)
        + one["visit_effects"].to_numpy()[0, 0]
    )
    p = np.diff(special.expit(one["cutpoints"].to_numpy()[0, 0] - eta[:, None]), axis=1, prepend=0, append=1)
    for k in (0, 3, 7, 12, 19):
        share = (again[0] == tj.edss.LEVELS[k]).mean("draw").to_numpy()
        np.testing.assert_allclose(share, p[:, k], atol=5 * np.sqrt(0.25 / 3000))


# --- fits -----------------------------------------------------------------------------------------------------------


def test_saved_fits_come_back(tmp_path):
    model = models.OrdinalMixed(ONE, visit_effects="ar1").with_priors(visit_range=priors.HalfNormal(0.7))
    fit = tj.sample_prior(model, cohort(), draws=20, seed=1)
    loaded = tj.load_fit(fit.save(tmp_path / "fit.nc"))
    assert loaded.model == fit.model
    assert loaded.model.visit_effects == "ar1"
    xr.testing.assert_identical(loaded.parameters, fit.parameters)
    assert loaded.caveats == fit.caveats


def test_refitting_to_another_number_of_visits_is_refused():
    model = models.OrdinalMixed(ONE, visit_effects="ar1")
    design, longer = model.design(cohort(visits=4)), model.design(cohort(visits=5))
    compiled = Compiled(model=model, design=design, program=None, graph=model.build(design))
    with pytest.raises(ValueError, match=r"compiled for 44 visits, .* and the design has 55"):
        refit(compiled, longer, seed=1)


@pytest.mark.slow
def test_recovers_the_fluctuation():
    truth = tj.OrdinalTruth(
        slope=0.8, slope_sd=0.8, patient_sd=4.0, fluctuation_sd=1.0, fluctuation_days=0.5 * 365.25
    )
    visits = tj.VisitSchedule(years=tuple(0.25 * np.arange(8)))
    seen = tj.simulate_cohort(patients=150, seed=1, relapses=None, disability=truth, visits=visits)
    model = models.OrdinalMixed("edss ~ years + (1 + years | patient)", visit_effects="ar1")
    fit = tj.sample(model, seen, seed=1, progress=False)  # raises if it did not converge
    frame = fit.summary(ci=0.99)
    for term, value in {
        "years": 0.8, "sd(intercept)": 4.0, "sd(years)": 0.8, "visit_sd": 1.0, "visit_range": 0.5
    }.items():  # fmt: skip
        assert frame.loc[term, "lower"] < value < frame.loc[term, "upper"]
    names = {name for name, _ in convergence_table(fit.parameters).index}
    assert {"visit_sd", "visit_range"} <= names
    assert "visit_effects" not in names
