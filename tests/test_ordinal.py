"""The ordinal mixed model: its graph against NumPy, its units, and what must not matter."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytensor
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

import trajectories as tj
from trajectories import edss, models, priors
from trajectories.formulas import FormulaError
from trajectories.models.blocks import patient_effects
from trajectories.models.blocks.cutpoints import averaged_cumulative

sys.path.insert(0, str(Path(__file__).parent))
from hand_made import CUTPOINTS, QUICK, cohort, fit_of, internal_draws, tables

ONE = "edss ~ arm * years + age + (1 | patient)"
TWO = "edss ~ arm * years + age + (1 + years | patient)"
THREE = "edss ~ arm * years + sex + (1 + years + on_treatment(years, lag=0.2) | patient)"
NO_TERM = "edss ~ (1 | patient)"
SPLINE = "edss ~ bs(years, df=3) + smoker + (1 + years | patient)"
CDF = {"logit": special.expit, "probit": special.ndtr}


def drawn(text, *, link="logit", seed=1, draws=2, of=None):
    """A model, its design and graph, random values of the sampler's variables, and what they are in the user's units."""
    model = models.OrdinalMixed(text, link=link)
    design = model.design(cohort() if of is None else of)
    graph = model.build(design)
    raw = internal_draws(graph, draws=draws, seed=seed)
    return model, design, graph, raw, model.parameters(raw, design)


def likelihood_of(graph):
    """Return the likelihood alone, as a function of the sampler's variables: the log-density minus the priors."""
    names = [variable.name for variable in graph.free_RVs]
    compiled = pytensor.function(graph.free_RVs, graph.potentials[0], mode=QUICK)
    return lambda draws, i: float(compiled(*[draws[name][0, i] for name in names]))


def by_hand(model, design, parameters, draw):
    """Probability of every visit's level, from the definition of the model."""
    p = parameters.isel(chain=0, draw=draw)
    X, Z = design.formula.matrices.X, design.formula.matrices.Z
    u = p["patient_effects"].to_numpy()[design.patient]
    eta = X @ p["coefficients"].to_numpy() + (Z * u).sum(axis=1)
    cuts = np.concatenate([[-np.inf], p["cutpoints"].to_numpy(), [np.inf]])
    code = tj.edss.code(design.outcome)
    cdf = CDF[model.link]
    return cdf(cuts[code + 1] - eta) - cdf(cuts[code] - eta)


# --- the graph ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "link"), [(NO_TERM, "probit"), (TWO, "logit"), (THREE, "logit")])
def test_log_density_and_gradient_are_finite_at_the_start(text, link):
    model = models.OrdinalMixed(text, link=link)
    graph = model.build(model.design(cohort()))
    start = graph.initial_point()
    logp = graph.compile_logp(mode=QUICK)(start)
    gradient = graph.compile_dlogp(mode=QUICK)(start)
    assert np.isfinite(logp)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_dims_are_named():
    _, design, graph, _, parameters = drawn(TWO, draws=3)
    dims = dict(graph.named_vars_to_dims)
    assert dims["patient_sd_internal"] == ("effect",)
    assert dims["patient_of_visit"] == ("visit",)
    assert tuple(graph.coords["term"]) == design.terms
    assert tuple(graph.coords["effect"]) == design.effects
    assert tuple(graph.coords["level"]) == tuple(tj.edss.LEVELS)
    assert len(graph.coords["patient"]) == design.n_patients
    shapes = {name: array.dims[2:] for name, array in parameters.data_vars.items()}
    assert shapes == {
        "coefficients": ("term",),
        "cutpoints": ("cutpoint",),
        "patient_sd": ("effect",),
        "patient_covariance": ("effect", "other_effect"),
        "patient_correlation": ("effect_pair",),
        "patient_effects": ("patient", "effect"),
    }
    assert parameters["cutpoint"].to_numpy().tolist()[:2] == ["0|1", "1|1.5"]
    assert all(array.dims[:2] == ("chain", "draw") for array in parameters.data_vars.values())
    assert parameters.sizes["draw"] == 3


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("text", [NO_TERM, ONE, TWO, THREE, SPLINE])
def test_graph_equals_numpy_in_the_units_of_the_user(text, link):
    # The sampler works with centred, scaled and rotated columns, the summary with the user's: the likelihood must be the same.
    model, design, graph, raw, parameters = drawn(text, link=link, draws=4, seed=2)
    in_numpy = model.log_likelihood(parameters, design)
    assert in_numpy.dims == ("chain", "draw", "visit")
    in_pymc = likelihood_of(graph)
    codes = edss.code(design.outcome)
    for i in range(4):
        # A level narrower than its cutpoints' last digits has lost as many in numpy, which knows it from their difference only.
        cutpoints = parameters["cutpoints"].to_numpy()[0, i]
        lost = np.pad(np.spacing(np.abs(cutpoints).max()) / np.diff(cutpoints), 1)[codes].sum()
        assert in_pymc(raw, i) == pytest.approx(float(in_numpy[0, i].sum()), rel=1e-10, abs=1e-9 + 10 * lost)
        np.testing.assert_allclose(
            np.exp(in_numpy[0, i]), by_hand(model, design, parameters, i), rtol=1e-7, atol=1e-14
        )


def test_prior_draws_follow_the_stated_priors():
    people = {"old": 30, "new": 30}
    model = models.OrdinalMixed(THREE)
    fit = tj.sample_prior(model, cohort(people), draws=1500, seed=1)
    X, Z = fit.design.formula.matrices.X, fit.design.formula.matrices.Z
    p = fit.parameters.isel(chain=0)

    def follows(values, distribution):
        return stats.kstest(np.asarray(values), distribution.cdf).pvalue > 1e-3

    per_sd = p["coefficients"].to_numpy() * X.std(axis=0)
    assert all(follows(column, stats.norm(0, 2.5)) for column in per_sd.T)
    np.testing.assert_allclose(np.corrcoef(per_sd.T), np.eye(X.shape[1]), atol=0.12)
    # Patients at the mean of the patient-varying columns, and slopes per standard deviation of theirs.
    A = np.vstack([Z.mean(axis=0), np.diag(Z.std(axis=0))[1:]])
    sigma = A @ p["patient_covariance"].to_numpy() @ A.T
    sd = np.sqrt(np.diagonal(sigma, axis1=1, axis2=2))
    assert follows(sd[:, 0], stats.halfnorm(scale=5.0))
    assert follows(sd[:, 1], stats.halfnorm(scale=2.5))
    assert follows(sd[:, 2], stats.halfnorm(scale=2.5))
    for i, j in ((0, 1), (0, 2), (1, 2)):  # LKJ(2) of three: every correlation is Beta(2.5, 2.5) on (−1, 1)
        assert follows((sigma[:, i, j] / sd[:, i] / sd[:, j] + 1) / 2, stats.beta(2.5, 2.5))
    # Effects given their covariance: standard normal, uncorrelated.
    root = np.linalg.inv(np.linalg.cholesky(sigma))
    standard = np.einsum("sij,jk,spk->spi", root, A, p["patient_effects"].to_numpy()).reshape(-1, 3)
    np.testing.assert_allclose(np.cov(standard.T), np.eye(3), atol=0.03)
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=0.02)
    # Levels averaged over patients at the mean of the terms: EDSS 0 … 4.0 are 8 of the 20 levels of the Dirichlet.
    at_mean = p["cutpoints"].to_numpy() - (p["coefficients"].to_numpy() @ X.mean(axis=0))[:, None]
    below = np.array([averaged_cumulative(c[7], s, "logit") for c, s in zip(at_mean, sd[:, 0], strict=True)])
    share = model.priors.cutpoints.concentration / 20
    expected = stats.beta(8 * share, 12 * share)
    assert below.mean() == pytest.approx(0.4, abs=4 * expected.std() / np.sqrt(1500))
    inside = expected.cdf(0.75) - expected.cdf(0.25)
    assert np.mean((below > 0.25) & (below < 0.75)) == pytest.approx(inside, abs=4 * np.sqrt(inside / 1500))


@pytest.mark.parametrize("text", [ONE, TWO])
def test_terms_far_from_zero_leave_the_likelihood_as_it_is(text):
    # A calendar year moves all cutpoints far away on the user's scale, beyond where the outer ones stand in the sampler.
    seen, people = tables({"old": 6, "new": 5})
    near, far = (
        tj.read_cohort(seen, patients=people.assign(born=people["age"] + move)) for move in (0.0, 1e5)
    )
    model, here, _, _, first = drawn(text.replace("age", "born"), seed=4, of=near)
    there = model.design(far)
    shift = first["coefficients"].sel(term="born") * 1e5
    assert np.abs(shift).min() > 1000
    first = first.assign(cutpoints=0.0 * first["cutpoints"] + CUTPOINTS)
    second = first.assign(cutpoints=first["cutpoints"] + shift)
    np.testing.assert_allclose(
        model.log_likelihood(second, there), model.log_likelihood(first, here), rtol=1e-7, atol=1e-7
    )
    graph = model.build(there)
    raw = internal_draws(graph, draws=1, seed=4)
    total = float(model.log_likelihood(model.parameters(raw, there), there).sum())
    assert likelihood_of(graph)(raw, 0) == pytest.approx(total, rel=1e-7)


# --- units ----------------------------------------------------------------------------------------------------------


def test_intercept_of_the_user_is_the_level_at_time_zero():
    # With one patient effect more or less the sampler centres time; the user's variances are those at time 0 and per year.
    _, design, _, raw, p = drawn(TWO, seed=5)
    mean, spread = design.formula.matrices.Z[:, 1].mean(), design.formula.matrices.Z[:, 1].std()
    level, slope = raw["patient_sd_internal"][..., 0], raw["patient_sd_internal"][..., 1] / spread
    rho = 2 * raw["patient_correlation_internal"][..., 0] - 1
    variance = level**2 - 2 * rho * level * slope * mean + (slope * mean) ** 2
    np.testing.assert_allclose(p["patient_sd"].sel(effect="years"), slope)
    np.testing.assert_allclose(p["patient_sd"].sel(effect="intercept") ** 2, variance)
    correlation = (rho * level * slope - slope**2 * mean) / np.sqrt(variance) / slope
    np.testing.assert_allclose(p["patient_correlation"].isel(effect_pair=0), correlation)
    assert p["effect_pair"].to_numpy().tolist() == ["intercept, years"]


def test_years_and_days_are_the_same_model():
    yearly, daily = (f"edss ~ arm * {time} + (1 + {time} | patient)" for time in ("years", "day"))
    by_year, in_years, _, _, a = drawn(yearly, seed=7)
    by_day = models.OrdinalMixed(daily)
    in_days = by_day.design(cohort())
    coefficients = a["coefficients"].to_numpy() / [1.0, 365.25, 365.25]
    root = np.diag([1.0, 1 / 365.25])
    b = patient_effects.labelled(
        in_days,
        coefficients,
        a["patient_effects"].to_numpy() @ root,
        root @ a["patient_covariance"].to_numpy() @ root,
        cutpoints=(("cutpoint", list(a["cutpoint"].to_numpy())), a["cutpoints"].to_numpy()),
    )
    np.testing.assert_allclose(
        by_day.log_likelihood(b, in_days), by_year.log_likelihood(a, in_years), rtol=1e-8
    )
    changes = [
        tj.change(
            fit_of(m, d, coefficients=p["coefficients"][0], covariance=p["patient_covariance"][0]), [0.5, 1.0]
        ).draws
        for m, d, p in ((by_year, in_years, a), (by_day, in_days, b))
    ]
    np.testing.assert_allclose(changes[0], changes[1], atol=1e-9)


def test_the_prior_of_a_term_moves_with_its_unit():
    logps = []
    for time, unit in (("years", 1.0), ("day", 1 / 365.25)):
        model = models.OrdinalMixed(f"edss ~ {time} + (1 + {time} | patient)").with_priors(
            terms={time: priors.StudentT(3.0, 0.3 * unit, 2.0 * unit)}
        )
        graph = model.build(model.design(cohort()))
        logps.append(float(graph.compile_logp(mode=QUICK)(graph.initial_point())))
    assert logps[0] == pytest.approx(logps[1], rel=1e-9)


# --- what must not matter -------------------------------------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(11)), seed=st.integers(0, 100))
def test_order_and_names_of_patients_and_order_of_rows_do_not_matter(order, seed):
    seen, people = tables({"old": 6, "new": 5})
    rng, order = np.random.default_rng(seed), list(order)
    names = dict(zip(people["patient"], [f"id {i}" for i in rng.permutation(11)], strict=True))
    mixed = people.iloc[order].assign(patient=lambda t: t["patient"].map(names))
    rows = seen.assign(patient=seen["patient"].map(names)).sample(frac=1, random_state=seed)
    model = models.OrdinalMixed(TWO)
    before = model.design(tj.read_cohort(seen, patients=people))
    after = model.design(tj.read_cohort(rows, patients=mixed))
    root = rng.normal(size=(3, 2, 2))
    given_draws = {"coefficients": rng.normal(0, 0.5, (3, 4)), "covariance": root @ root.transpose(0, 2, 1)}
    fits = [fit_of(model, design, **given_draws) for design in (before, after)]
    effects = rng.normal(size=(1, 3, 11, 2))
    totals = []
    for fit, u in zip(fits, (effects, effects[:, :, order]), strict=True):
        parameters = fit.parameters.assign(patient_effects=(fit.parameters["patient_effects"].dims, u))
        patient = xr.DataArray(fit.design.patient, dims="visit", name="patient")
        totals.append(model.log_likelihood(parameters, fit.design).groupby(patient).sum().to_numpy())
    np.testing.assert_allclose(totals[0][..., order], totals[1], rtol=1e-10)
    answers = [tj.expected_edss(fit, [0.0, 1.0]).draws for fit in fits]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-10)
    assert answers[0]["arm"].to_numpy().tolist() == answers[1]["arm"].to_numpy().tolist() == ["old", "new"]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000))
def test_swapping_the_arms_negates_the_contrast(seed):
    rng = np.random.default_rng(seed)
    seen, people = tables({"old": 6, "new": 5})
    swapped = people.assign(arm=people["arm"].cat.rename_categories({"old": "new", "new": "old"}))
    swapped["arm"] = swapped["arm"].cat.reorder_categories(["old", "new"])
    model = models.OrdinalMixed("edss ~ arm * years + (1 + years | patient)")
    designs = [model.design(tj.read_cohort(seen, patients=t)) for t in (people, swapped)]
    arm, years, both = rng.normal(0, 1, (3, 5))
    root = rng.normal(size=(5, 2, 2))
    covariance = root @ root.transpose(0, 2, 1)
    # The same curves, written from the other arm's point of view: its shift moves into the cutpoints.
    written = [
        (np.column_stack([arm, years, both]), np.broadcast_to(CUTPOINTS, (5, 19))),
        (np.column_stack([-arm, years + both, -both]), CUTPOINTS - arm[:, None]),
    ]
    fits = [
        fit_of(model, d, coefficients=beta, covariance=covariance, cutpoints=cuts)
        for d, (beta, cuts) in zip(designs, written, strict=True)
    ]
    np.testing.assert_allclose(
        *[model.log_likelihood(f.parameters, f.design) for f in fits], rtol=1e-9, atol=1e-12
    )
    for estimand in (tj.expected_edss, tj.change):
        first, second = (tj.contrast(estimand(fit, 1.0), "new", "old").draws for fit in fits)
        np.testing.assert_allclose(first, -second, atol=1e-10)


# --- levels, links, replicates --------------------------------------------------------------------------------------


def test_levels_that_nobody_has_are_no_problem():
    seen, people = tables({"old": 6, "new": 5})
    model = models.OrdinalMixed(TWO)
    for scores in (np.resize([2.0, 6.0], len(seen)), np.full(len(seen), 0.0), np.full(len(seen), 10.0)):
        design = model.design(tj.read_cohort(seen.assign(edss=scores), patients=people))
        graph = model.build(design)
        draws = internal_draws(graph, draws=1, seed=1)
        logp = model.log_likelihood(model.parameters(draws, design), design)
        assert likelihood_of(graph)(draws, 0) == pytest.approx(float(logp.sum()), rel=1e-10)


def test_expectation_is_the_average_of_the_levels():
    model, design, _, _, p = drawn(TWO, link="probit", draws=3, seed=8)
    rows = design.at(design.frame.iloc[:4])
    found = model.expectation(p, rows)
    assert found.dims == ("chain", "draw", "row")
    for i in range(3):
        q = p.isel(chain=0, draw=i)
        eta = rows.X @ q["coefficients"].to_numpy()
        sd = np.sqrt(np.einsum("rq,qp,rp->r", rows.Z, q["patient_covariance"].to_numpy(), rows.Z))
        below = special.ndtr((q["cutpoints"].to_numpy() - eta[:, None]) / np.sqrt(1 + sd[:, None] ** 2))
        np.testing.assert_allclose(
            found[0, i], np.diff(below, prepend=0, append=1) @ tj.edss.LEVELS, atol=1e-10
        )


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_replicates_follow_the_level_probabilities(link):
    model, design, _, _, one = drawn(TWO, link=link, draws=1, seed=9)
    many = one.isel(draw=np.zeros(4000, dtype=int)).assign_coords(draw=np.arange(4000))
    again = model.replicate(many, design, np.random.default_rng(1))
    assert again.dims == ("chain", "draw", "visit")
    assert tj.edss.is_level(again.to_numpy()).all()
    effects = one["patient_effects"].to_numpy()[0][:, design.patient]
    p = model.conditional_levels(one, design.formula.matrices, effects)[0]
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-12)
    for k in range(20):
        share = (again[0] == tj.edss.LEVELS[k]).mean("draw").to_numpy()
        np.testing.assert_allclose(share, p[:, k], atol=5 * np.sqrt(0.25 / 4000))
    np.testing.assert_allclose(
        model.conditional_edss(one, design.formula.matrices, effects)[0], p @ tj.edss.LEVELS
    )
    observed = p[np.arange(len(p)), tj.edss.code(design.outcome)]
    np.testing.assert_allclose(
        np.exp(model.log_likelihood(one, design)[0, 0]), observed, rtol=1e-7, atol=1e-14
    )


def test_a_higher_coefficient_means_more_disability():
    model = models.OrdinalMixed("edss ~ arm + (1 | patient)")
    fit = fit_of(model, model.design(cohort()), coefficients=[[-1.0], [0.0], [2.0]], covariance=[[4.0]])
    difference = tj.contrast(tj.expected_edss(fit, 0.5), "new", "old").draws.to_numpy().ravel()
    assert difference[0] < 0 < difference[2]
    assert difference[1] == pytest.approx(0, abs=1e-12)


# --- designs and their errors ---------------------------------------------------------------------------------------


def test_design_says_what_was_left_out():
    seen, people = tables({"old": 6, "new": 5, "rare": 2})
    seen.loc[seen["patient"].isin(["P011", "P012"]), "edss"] = np.nan
    seen.loc[0, "edss"] = np.nan
    people.loc[3, "age"] = np.nan
    design = models.OrdinalMixed(TWO).design(tj.read_cohort(seen, patients=people))
    assert design.excluded == (
        "9 of 52 visits have no EDSS and were left out (valid if missing at random)",
        "4 rows of 1 patients have no age and were left out",
        "3 of 13 patients have no row left and are not in the model",
        "no patient of rare has a row left: these arms are not in the model",
    )
    assert design.arms == ("old", "new")
    assert design.terms == ("arm[new]", "years", "arm[new]:years", "age")
    assert (design.n_patients, len(design.frame), design.patients_in("old")) == (10, 39, 5)
    assert sorted(set(design.patient)) == list(range(10))


def test_baseline_as_a_covariate_leaves_the_outcome():
    design = models.OrdinalMixed("edss ~ edss_baseline + arm * years + (1 | patient)").design(cohort())
    assert (design.frame["years"] > 0).all()
    assert design.excluded[0].startswith("22 visits at or before time 0 were left out of the outcome")
    assert "edss_baseline" in design.target


def test_columns_of_visits_and_patients_must_differ():
    seen, people = tables({"old": 6, "new": 5})
    both = tj.read_cohort(seen.assign(age=30.0), patients=people)
    with pytest.raises(
        FormulaError, match="'age' is a column of the visits and of the patients: give one of them"
    ):
        models.OrdinalMixed(TWO).design(both)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("score ~ years + (1 | patient)", "the outcome of .* must be 'edss', not 'score'"),
        ("edss ~ arm * years", r"a mixed model needs patient effects: add '\(1 \| patient\)'"),
        ("edss ~ years + I(2 * years) + (1 | patient)", "'I.*' follows exactly from the terms before it"),
        ("edss ~ I(years * 0 + 2) + (1 | patient)", "the term .* is the same .2. in every row"),
        ("edss ~ years + (1 + I(years * 0) | patient)", "the patient effect .* is the same .0. in every row"),
        ("edss ~ weight + (1 | patient)", "names 'weight', which the cohort does not have"),
        ("edss ~ relapses_year_before + (1 | patient)", "no row is left .* have no relapses_year_before"),
    ],
)
def test_formulas_that_do_not_suit_the_cohort(text, message):
    with pytest.raises(FormulaError, match=message):
        models.OrdinalMixed(text).design(cohort())


def test_one_arm_and_one_visit_each():
    seen, people = tables({"only": 8}, visits=1)
    once = tj.read_cohort(seen, patients=people)
    with pytest.raises(FormulaError, match=r"'arm' is the same \(only\) in every row"):
        models.OrdinalMixed("edss ~ arm + age + (1 | patient)").design(once)
    model = models.OrdinalMixed("edss ~ age + (1 | patient)")
    design = model.design(once)
    graph = model.build(design)
    assert np.isfinite(graph.compile_logp(mode=QUICK)(graph.initial_point()))
    assert design.patient_level().tolist() == [True]


def test_link_and_priors_are_checked():
    with pytest.raises(ValueError, match="link must be 'logit' or 'probit', not 'cloglog'"):
        models.OrdinalMixed(TWO, link="cloglog")
    model = models.OrdinalMixed(TWO)
    with pytest.raises(TypeError, match="the prior of slope_sd must be HalfNormal"):
        model.with_priors(slope_sd=priors.Normal())
    with pytest.raises(TypeError, match=r"the prior of correlation must be LKJ\(...\)"):
        model.with_priors(correlation=priors.Normal())
    with pytest.raises(TypeError, match=r"the prior of cutpoints must be InducedDirichlet\(...\)"):
        model.with_priors(cutpoints=priors.Normal())
    with pytest.raises(TypeError, match="the prior of coefficients must be Normal"):
        model.with_priors(coefficients=priors.HalfNormal()).design(cohort())
    with pytest.raises(FormulaError, match="there is a prior for 'weeks', but the formula's terms are: arm"):
        model.with_priors(terms={"weeks": priors.Normal()}).design(cohort())
    with pytest.raises(TypeError, match="unexpected keyword argument 'slopes'"):
        model.with_priors(slopes=priors.Normal())


def test_specifications_are_values():
    model = models.OrdinalMixed(TWO)
    changed = model.with_priors(intercept_sd=priors.HalfNormal(2.0))
    assert model.priors.intercept_sd == priors.HalfNormal(5.0)
    assert changed.priors.intercept_sd == priors.HalfNormal(2.0)
    assert models.OrdinalMixed(TWO) == model != changed
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.link = "probit"
    for name in ("coefficients", "cutpoints", "intercept_sd", "slope_sd", "correlation"):
        assert name in repr(model.priors)


def test_priors_of_different_kinds_side_by_side():
    model = models.OrdinalMixed(TWO).with_priors(
        slope_sd=priors.Exponential(1.0), terms={"years": priors.StudentT(3.0, 0.0, 1.0)}
    )
    design = model.design(cohort())
    graph = model.build(design)
    raw = internal_draws(graph, draws=2, seed=1)
    assert {"patient_sd_internal_HalfNormal", "patient_sd_internal_Exponential"} <= set(raw)
    parameters = model.parameters(raw, design)
    slope = parameters["patient_sd"].sel(effect="years") * design.formula.matrices.Z[:, 1].std()
    np.testing.assert_allclose(slope, raw["patient_sd_internal_Exponential"][..., 0])
    total = float(model.log_likelihood(parameters, design)[0, 0].sum())
    assert likelihood_of(graph)(raw, 0) == pytest.approx(total, rel=1e-10)


# --- correlations of the patient effects ----------------------------------------------------------------------------


@pytest.mark.parametrize("q", [2, 3, 4])
def test_correlations_are_lkj(q):
    shape, rng = 2.0, np.random.default_rng(q)
    shapes = patient_effects._partial_shapes(q, shape)
    halves = rng.beta(shapes, shapes, size=(6000, len(shapes)))
    L, _ = patient_effects.covariance_of({"patient_correlation_internal": halves}, np.ones((6000, q)), q)
    R = L @ L.transpose(0, 2, 1)
    np.testing.assert_allclose(np.diagonal(R, axis1=1, axis2=2), 1.0, atol=1e-12)
    assert (np.linalg.eigvalsh(R) > 0).all()
    # Every correlation of an LKJ(η) matrix is Beta(η + (q − 2)/2) on (−1, 1), and E det R follows from the partial ones.
    marginal = stats.beta(shape + (q - 2) / 2, shape + (q - 2) / 2)
    for i in range(q):
        for j in range(i):
            assert stats.kstest((R[:, i, j] + 1) / 2, marginal.cdf).pvalue > 1e-3
    determinant = np.prod([1 - 1 / (2 * a + 1) for a in shapes])
    found = np.linalg.det(R)
    assert found.mean() == pytest.approx(determinant, abs=4 * found.std() / np.sqrt(6000))


def test_correlations_in_pytensor_equal_numpy():
    import pytensor.tensor as pt

    partial = np.array([0.3, -0.5, 0.8])
    x = pt.vector()
    compiled = pytensor.function([x], patient_effects._factor(x, 3, pt), mode=QUICK)
    expected = patient_effects._factor(partial, 3, np)
    np.testing.assert_allclose(compiled(partial), expected, rtol=1e-14)
    np.testing.assert_allclose(np.linalg.cholesky(expected @ expected.T), expected, atol=1e-14)
