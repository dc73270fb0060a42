"""The binary mixed model: against R, its density in three places, its estimands in closed form, and what it refuses."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr
from scipy import stats

import trajectories as tj
from trajectories import models
from trajectories.estimands import event_probability
from trajectories.fitting import integrated_nuts
from trajectories.fitting.events import separating_terms
from trajectories.fitting.marginal_models import adaptor_of

REFERENCE = Path(__file__).parent / "reference"
ONE, TWO = "edss ~ arm * years + (1 | patient)", "edss ~ arm * years + (1 + years | patient)"
ALONE = "edss ~ years + (1 | patient)"


def severe(formula: str, **options: object) -> models.BinaryMixed:
    return models.BinaryMixed(formula, threshold=4.0, **options)


# --- against R ------------------------------------------------------------------------------------------------------

FITS = {
    "glmer 400 Laplace": ("400", severe(ONE), 1),
    "glmer 400 nAGQ 7": ("400", severe(ONE), 7),
    "glmer 400 nAGQ 25": ("400", severe(ONE), 25),
    "glmer 400 probit nAGQ 25": ("400", severe(ONE, link="probit"), 25),
    "glmer 400 slope Laplace": ("400", severe(TWO), 1),
    "glmer 35 Laplace": ("35", severe(ALONE), 1),
    "clmm 400 nAGQ 7": ("400", severe(ONE), 7),
    "clmm 35 nAGQ 7": ("35", severe(ALONE), 7),
    "clmm 35 probit nAGQ 7": ("35", severe(ALONE, link="probit"), 7),
}


@cache
def fitted(name: str) -> tj.PointFit:
    patients, model, quadrature = FITS[name]
    cohort = tj.simulated_three_dmts_400() if patients == "400" else tj.simulated_alemtuzumab_35()
    return tj.maximise(model, cohort, quadrature=quadrature)


@pytest.mark.parametrize("name", FITS)
def test_estimates_errors_and_likelihood_are_those_of_r(name):
    table = pd.read_csv(REFERENCE / "binary_reference.csv")
    expected = table[table["fit"] == name].set_index("quantity")["value"]
    summary = fitted(name).summary().rename(index={"cor(intercept, years)": "correlation"})
    assert set(summary.index) == {q for q in expected.index if not q.startswith("se ")} - {"loglik"}
    if "loglik" in expected:
        assert fitted(name).loglik == pytest.approx(expected["loglik"], abs=1e-3)
    for term, row in summary.iterrows():
        size = max(abs(expected[term]), expected.get(f"se {term}", 0.0))
        assert row["estimate"] == pytest.approx(expected[term], abs=1e-3 * size), term
        if f"se {term}" in expected:  # of differences in R
            assert row["se"] == pytest.approx(expected[f"se {term}"], rel=3e-3), term


def test_too_few_nodes_are_said():
    few, enough = (fitted(name) for name in ("glmer 400 nAGQ 7", "glmer 400 nAGQ 25"))
    more = few.solution.adaptor.likelihood(15).value(few.solution.theta) - few.loglik
    assert f"differs by {more:+.2f}; take quadrature=15" in str(few)
    assert "quadrature nodes a dimension are few" not in str(enough)


# --- one density ----------------------------------------------------------------------------------------------------


@cache
def small_cohort() -> tj.Cohort:
    truth = tj.OrdinalTruth(slope=0.8, arm_slope={"new": -0.8}, slope_sd=1.5, patient_sd=4.0)
    return tj.simulate_cohort(
        patients={"old": 6, "new": 6}, seed=1, relapses=None, disability=truth,
        visits=tj.VisitSchedule(years=(0, 0.5, 1, 1.5, 2)),
    )  # fmt: skip


def random_parameters(design, seed: int, samples: int = 2) -> xr.Dataset:
    """Parameters in the user's units without patient effects."""
    rng = np.random.default_rng(seed)
    factor = np.tril(rng.normal(size=(1, samples, 2, 2)))
    q = len(design.effects)
    from trajectories.models.blocks import patient_effects

    covariance = (factor @ np.swapaxes(factor, -1, -2))[..., :q, :q]
    return patient_effects.labelled(
        design, rng.normal(size=(1, samples, len(design.terms))), None, covariance,
        intercept=(None, rng.normal(size=(1, samples))),
    )  # fmt: skip


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("formula", [ONE, TWO])
def test_the_integrated_likelihood_is_the_models_own_density_summed_over_a_grid(formula, link):
    model = severe(formula, link=link)
    design = model.design(small_cohort())
    parameters = random_parameters(design, 3, samples=1)
    adaptor = adaptor_of(model, design)
    found = adaptor.likelihood(41).by_patient(adaptor.theta_of(parameters)[0])
    q = len(design.effects)
    line = np.arange(-8, 8.01, 0.05 if q == 1 else 0.2)
    v = np.stack(np.meshgrid(*[line] * q, indexing="ij"), axis=-1).reshape(-1, q)
    root = np.linalg.cholesky(parameters["patient_covariance"].to_numpy()[0, 0])
    u = np.repeat((v @ root.T)[:, None, :], design.n_patients, axis=1)
    grid = xr.concat([parameters] * len(v), dim="draw").assign(
        patient_effects=(("chain", "draw", "patient", "effect"), u[None])
    )
    by_visit = model.log_likelihood(grid.transpose("chain", "draw", ...), design).to_numpy()[0]
    by_patient = np.zeros((len(v), design.n_patients))
    np.add.at(by_patient.T, design.patient, by_visit.T)
    weight = (stats.norm.pdf(v).prod(axis=1) * (line[1] - line[0]) ** q)[:, None]
    np.testing.assert_allclose(found, np.log((weight * np.exp(by_patient)).sum(axis=0)), atol=2e-5)


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_the_pymc_model_has_the_density_of_the_parameters_it_says(link):
    """The log-density of the outcomes in PyMC is `log_likelihood`, and that of the coordinates makes v ~ N(0, I)."""
    model = severe(TWO, link=link)
    design = model.design(small_cohort())
    graph = model.build(design)
    rng = np.random.default_rng(2)
    point = {
        name: value + 0.5 * rng.normal(size=value.shape) for name, value in graph.initial_point().items()
    }
    inputs = graph.value_vars
    values = graph.replace_rvs_by_values(graph.free_RVs)
    potential = graph.replace_rvs_by_values(graph.potentials)[0]
    function = pytensor.function(inputs, [*values, potential], mode="FAST_COMPILE", on_unused_input="ignore")
    *drawn, logp = function(*[point[value.name] for value in inputs])
    draws = {rv.name: np.asarray(a)[None, None] for rv, a in zip(graph.free_RVs, drawn, strict=True)}
    parameters = model.parameters(draws, design)
    assert float(model.log_likelihood(parameters, design).sum()) == pytest.approx(float(logp), rel=1e-10)
    adaptor = adaptor_of(model, design)
    again = adaptor.dataset(adaptor.theta_of(parameters))
    for name in ("intercept", "coefficients", "patient_covariance"):
        np.testing.assert_allclose(again[name], parameters[name], rtol=1e-8, atol=1e-8)
    population = model.population(draws, design)
    np.testing.assert_allclose(
        model.with_effects(population, np.zeros((1, 1, 12, 2)), design)["intercept"], parameters["intercept"]
    )


def test_coordinates_have_a_standard_normal_prior_for_the_effects():
    """Draws from the prior have patient effects with the covariance that was drawn with them."""
    model = severe(TWO)
    prior = tj.sample_prior(model, small_cohort(), draws=2000, seed=1).parameters
    effects, covariance = prior["patient_effects"].to_numpy()[0], prior["patient_covariance"].to_numpy()[0]
    standard = np.linalg.solve(np.linalg.cholesky(covariance), np.swapaxes(effects, -1, -2))
    assert np.abs(standard.mean(axis=(0, 2))).max() < 0.03
    np.testing.assert_allclose(np.cov(standard.transpose(1, 0, 2).reshape(2, -1)), np.eye(2), atol=0.05)


def test_integrated_sampling_has_the_population_variables_of_the_full_model():
    model = severe(TWO)
    design = model.design(small_cohort())
    likelihood = integrated_nuts.integrated_likelihood(model, design, None)
    assert likelihood.quadrature == 15
    with integrated_nuts.jax_doubles():
        few = integrated_nuts.population_model(model, design, likelihood)
        point = few.initial_point()
        density = few.compile_logp(vars=few.free_RVs, jacobian=False, sum=False, mode="FAST_COMPILE")(point)
        whole = float(few.compile_logp(jacobian=False, mode="JAX")(point))
        given = few.replace_rvs_by_values(few.free_RVs)
        drawn = pytensor.function(few.value_vars, given, on_unused_input="ignore", mode="FAST_COMPILE")
        values = drawn(*[point[value.name] for value in few.value_vars])
    full = model.build(design)
    names = [v.name for v in full.free_RVs if not v.name.startswith("patient_coordinate")]
    assert [v.name for v in few.free_RVs] == names
    # What stands beside the priors is the integrated likelihood at these parameters.
    draws = {rv.name: np.asarray(a)[None, None] for rv, a in zip(few.free_RVs, values, strict=True)}
    population = model.population(draws, design)
    parameters = model.with_effects(population, np.zeros((1, 1, design.n_patients, 2)), design)
    adaptor = adaptor_of(model, design)
    expected = likelihood.value(adaptor.theta_of(parameters)[0])
    assert whole - sum(float(part.sum()) for part in density) == pytest.approx(expected, abs=1e-6)


# --- estimands ------------------------------------------------------------------------------------------------------


class Drawn:
    """A hand-made result: draws of parameters of a model and a design."""

    description, caveats = "made by hand", ()

    def __init__(self, model, design, parameters):
        self.model, self.design, self.parameters = model, design, parameters

    def draws(self, n=None, seed=None):
        return self.parameters


def test_probabilities_of_a_probit_population_have_a_closed_form():
    model = severe(TWO, link="probit")
    design = model.design(small_cohort())
    parameters = random_parameters(design, 4, samples=3)
    found = event_probability(Drawn(model, design, parameters), [0.0, 1.5])
    b = {t: parameters["coefficients"].sel(term=t).to_numpy() for t in design.terms}
    S = parameters["patient_covariance"].to_numpy()
    for arm in ("old", "new"):
        for t in (0.0, 1.5):
            new = float(arm == "new")
            eta = (
                parameters["intercept"].to_numpy()
                + b["years"] * t
                + new * (b["arm[new]"] + t * b["arm[new]:years"])
            )
            variance = S[..., 0, 0] + 2 * t * S[..., 0, 1] + t**2 * S[..., 1, 1]
            expected = stats.norm.cdf(eta / np.sqrt(1 + variance))
            np.testing.assert_allclose(found.draws.sel(arm=arm, years=t), expected, atol=1e-9)
    same = tj.severity_probability(Drawn(model, design, parameters), [0.0, 1.5], threshold=4.0)
    np.testing.assert_array_equal(same.draws, found.draws)
    difference = tj.contrast(found, "new", "old")
    np.testing.assert_allclose(
        difference.draws, found.draws.sel(arm="new", drop=True) - found.draws.sel(arm="old", drop=True)
    )
    assert difference.unit == "probability"
    assert "EDSS ≥ 4" in found.definition


def test_probabilities_are_shares_of_replicated_new_patients():
    """Of the logit link, whose average has no closed form: by drawing patients."""
    model = severe(ONE)
    design = model.design(small_cohort())
    parameters = random_parameters(design, 6, samples=1)
    found = float(
        event_probability(Drawn(model, design, parameters), 1.0).draws.sel(arm="new", years=1.0).squeeze()
    )
    rng = np.random.default_rng(1)
    b = dict(zip(design.terms, parameters["coefficients"].to_numpy()[0, 0], strict=True))
    eta = float(parameters["intercept"].squeeze()) + b["arm[new]"] + b["years"] + b["arm[new]:years"]
    u = float(parameters["patient_sd"].squeeze()) * rng.normal(size=400_000)
    assert found == pytest.approx((1 / (1 + np.exp(-eta - u))).mean(), abs=4e-3)
    rows = model.design(small_cohort()).at(
        pd.DataFrame({"arm": pd.Categorical(["new"], ["old", "new"]), "years": [1.0]})
    )
    assert float(model.expectation(parameters, rows).squeeze()) == pytest.approx(found, abs=1e-9)


def test_estimands_name_the_fit_that_they_need():
    model = severe(ONE)
    design = model.design(small_cohort())
    drawn = Drawn(model, design, random_parameters(design, 1))
    with pytest.raises(ValueError, match="EDSS ≥ 4, and nothing of EDSS ≥ 6"):
        tj.severity_probability(drawn, 1.0)
    with pytest.raises(TypeError, match="EDSS model"):
        tj.expected_edss(drawn, 1.0)
    other = models.GaussianMixed(ONE)
    with pytest.raises(TypeError, match=r"BinaryMixed, not GaussianMixed; .* severity_probability"):
        event_probability(Drawn(other, design, drawn.parameters), 1.0)


# --- columns and bad input ------------------------------------------------------------------------------------------

AID = "aid ~ years + (1 | patient)"


def cohort_with(values: list, patients: int = 3, visits: int = 4, arms: list[str] | None = None) -> tj.Cohort:
    place = np.arange(patients * visits)
    table = pd.DataFrame(
        {"patient": place // visits, "day": place % visits * 180, "edss": 2.0 + 0.5 * (place % 3)}
    ).assign(aid=pd.Series(values))
    people = None if arms is None else pd.DataFrame({"patient": range(patients), "arm": arms})
    return tj.read_cohort(table, patients=people)


MIXED = [0, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1, 0]


@pytest.mark.parametrize(
    "values", [[bool(v) for v in MIXED], [str(bool(v)) for v in MIXED], [float(v) for v in MIXED]], ids=str
)
def test_true_and_false_are_one_and_zero(values):
    design = models.BinaryMixed(AID).design(cohort_with(values))
    np.testing.assert_array_equal(design.outcome, MIXED)


def test_visits_without_the_outcome_are_left_out_and_counted():
    values = [None if k == 5 else v for k, v in enumerate(MIXED)]
    design = models.BinaryMixed(AID).design(cohort_with(values))
    assert len(design.frame) == 11
    assert any("1 of 12 visits have no aid and were left out" in said for said in design.excluded)


def test_threshold_counts_the_level_itself():
    cohort = cohort_with(MIXED)
    design = models.BinaryMixed("edss ~ years + (1 | patient)", threshold=2.5).design(cohort)
    np.testing.assert_array_equal(design.outcome, cohort.visits["edss"] >= 2.5)
    assert 0 < design.outcome.mean() < 1


def test_wrong_values_are_shown_with_their_place():
    with pytest.raises(tj.CohortError, match=r"column 'aid': 2 of 12 values are neither") as caught:
        models.BinaryMixed(AID).design(
            cohort_with(["yes" if k in (1, 6) else str(v) for k, v in enumerate(MIXED)])
        )
    assert "'yes' (patient 0, day 180)" in str(caught.value)
    assert "'yes' (patient 1, day 360)" in str(caught.value)
    assert "write 1 where there was the event" in str(caught.value)
    with pytest.raises(tj.CohortError, match="12 of 12 values"):
        models.BinaryMixed(AID).design(cohort_with([v + 0.5 for v in MIXED]))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: models.BinaryMixed(ALONE), tj.FormulaError, r"EDSS is not 0 or 1: .*threshold=6"),
        (lambda: models.BinaryMixed(ALONE, threshold=0.5), ValueError, "level of the EDSS above 0"),
        (lambda: models.BinaryMixed(ALONE, threshold=0.0), ValueError, "level of the EDSS above 0"),
        (lambda: models.BinaryMixed(AID, threshold=4.0), tj.FormulaError, "a threshold is one of EDSS"),
        (lambda: models.BinaryMixed(AID, link="cloglog"), ValueError, "'logit' or 'probit'"),
        (
            lambda: models.BinaryMixed("adi ~ years + (1 | patient)").design(cohort_with(MIXED)),
            tj.FormulaError,
            "no column 'adi' .* Did you mean 'aid'",
        ),
        (lambda: models.BinaryMixed("aid ~ years").design(cohort_with(MIXED)), tj.FormulaError, r"add '\(1 \| patient\)'"),
        (
            lambda: models.BinaryMixed(AID).design(cohort_with([1] * 12)),
            ValueError,
            "aid is 1 at every one of 12 visits of 3 patients",
        ),
        (
            lambda: models.BinaryMixed(ALONE, threshold=9.0).design(cohort_with(MIXED)),
            ValueError,
            "EDSS is below 9 at every one of 12 visits.*another threshold",
        ),
        (
            lambda: models.BinaryMixed(AID, prior=models.BinaryPriors(terms={"age": tj.priors.Normal(0, 1)})).design(
                cohort_with(MIXED)
            ),
            tj.FormulaError,
            "prior for 'age'",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_named(make, error, match):
    with pytest.raises(error, match=match):
        make()


def test_an_arm_without_events_is_named():
    values = [0] * 8 + MIXED[:8]
    cohort = cohort_with(values, patients=4, arms=["old", "old", "new", "new"])
    with pytest.raises(ValueError, match=r"no visit of arm old has aid; along arm\[new\] .* use tj.sample"):
        tj.maximise(models.BinaryMixed("aid ~ arm + years + (1 | patient)"), cohort)


def test_patients_who_never_change_are_said():
    values = [k // 4 % 2 for k in range(24)]
    with pytest.raises(ValueError, match=r"no patient has aid at one visit and not at another.*tj.time_to"):
        tj.maximise(models.BinaryMixed(AID), cohort_with(values, patients=6))


def test_more_effects_than_visits_are_refused():
    values = [0, 1, 1, 0, 0, 1, 1, 0]
    cohort = cohort_with(values, patients=4, visits=2)
    with pytest.raises(tj.FormulaError, match="cannot tell 3 patient effects"):
        tj.maximise(models.BinaryMixed("aid ~ years + (1 + years + edss | patient)"), cohort)


def test_separation_is_that_of_a_fit_that_runs_away():
    """Against steps of Newton from 0, which end where there is a maximum and run away where there is none."""
    rng = np.random.default_rng(3)
    verdicts = []
    for _ in range(60):
        X = rng.integers(-1, 2, size=(9, 2)).astype(float)
        y = rng.integers(0, 2, 9)
        if (X.std(axis=0) == 0).any() or np.linalg.matrix_rank(np.column_stack([np.ones(9), X])) < 3:
            continue
        full, beta = np.column_stack([np.ones(9), X]), np.zeros(3)
        for _ in range(300):
            p = 1 / (1 + np.exp(-full @ beta))
            H = full.T @ (full * (p * (1 - p))[:, None]) + 1e-10 * np.eye(3)
            step = np.linalg.solve(H, full.T @ (y - p))
            beta = beta + step / max(1.0, np.abs(step).max())
            if np.abs(beta).max() > 12:
                break
        runs_away = bool(np.abs(beta).max() > 12)
        assert bool(separating_terms(y, X, ("a", "b"))) == runs_away
        verdicts.append(runs_away)
    assert 5 < sum(verdicts) < len(verdicts) - 5


# --- sampling -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_nuts(sampled_cohort):
    return tj.sample(severe(ONE), sampled_cohort, draws=1000, tune=500, chains=4, seed=1, progress=False)


def test_nuts_agrees_with_maximum_likelihood_and_its_nodes(by_nuts, sampled_cohort):
    ml = tj.maximise(severe(ONE), sampled_cohort, quadrature=21).summary()
    posterior = by_nuts.summary()
    assert not by_nuts.problems()
    for term in ("arm[new]", "years", "arm[new]:years", "intercept"):
        assert abs(posterior.loc[term, "mean"] - ml.loc[term, "estimate"]) < 0.5 * ml.loc[term, "se"], term
    for at in (0.0, 2.0):
        found = event_probability(by_nuts, at).summary()["mean"]
        rows = by_nuts.design.frame
        seen = rows[rows["years"].round(1) == at].groupby("arm", observed=True)["edss"].mean()
        np.testing.assert_allclose(found.to_numpy(), seen.to_numpy(), atol=0.12)


def test_replicates_follow_the_probabilities(by_nuts):
    new = by_nuts.posterior_predictive(seed=1)
    assert set(np.unique(new)) == {0.0, 1.0}
    probability = np.exp(by_nuts.model.log_likelihood(by_nuts.parameters, by_nuts.design))
    y = by_nuts.design.outcome
    event = np.where(y > 0, probability, 1 - probability).mean(axis=(0, 1))
    np.testing.assert_allclose(new.mean(("chain", "draw")), event, atol=0.05)


def test_the_predictive_check_shows_the_share_with_the_event_by_arm_and_time(by_nuts):
    from trajectories import plots

    figure = plots.posterior_predictive(by_nuts, splits=(0, 1), draws=50, seed=2)
    frame = by_nuts.design.frame
    window = np.digitize(frame["years"], [0, 1], right=True)
    new = np.asarray(by_nuts.posterior_predictive(draws=50, seed=2)).reshape(-1, len(frame))
    for ax, arm in zip(figure.axes, by_nuts.design.arms, strict=True):
        assert ax.get_title(loc="left") == arm
        heights = [bar.get_height() for bar in ax.patches]
        means = [line.get_ydata()[0] for line in ax.lines]
        for k in range(3):
            rows = ((frame["arm"] == arm) & (window == k)).to_numpy()
            assert heights[k] == pytest.approx(100 * by_nuts.design.outcome[rows].mean())
            assert means[k] == pytest.approx(100 * new[:, rows].mean())
            assert f"n = {rows.sum()}" in ax.get_xticklabels()[k].get_text()
    assert by_nuts.model.event in figure.axes[0].get_ylabel()
    prior = tj.sample_prior(by_nuts.model, small_cohort(), draws=50, seed=1)
    drawn = plots.prior_predictive(prior, draws=50)
    assert not drawn.axes[0].patches
    assert all(0 <= line.get_ydata()[0] <= 100 for line in drawn.axes[0].lines)


def test_leaving_a_patient_out_and_saving(by_nuts, tmp_path):
    found = tj.leave_one_out(by_nuts)
    assert found.quadrature == 21
    refit = found.elpd_by_patient
    assert refit.shape == (40,)
    assert (refit < 0).all()
    loaded = tj.load_fit(by_nuts.save(tmp_path / "fit.nc"))
    assert loaded.model == by_nuts.model
    np.testing.assert_array_equal(loaded.design.outcome, by_nuts.design.outcome)
    np.testing.assert_array_equal(event_probability(loaded, 1.0).draws, event_probability(by_nuts, 1.0).draws)


def test_influence_and_likelihood_ratios_take_it(sampled_cohort):
    larger = tj.maximise(severe(ONE), sampled_cohort, quadrature=15)
    smaller = tj.maximise(severe("edss ~ arm + years + (1 | patient)"), sampled_cohort, quadrature=15)
    ratio = tj.likelihood_ratio(smaller, larger)
    assert ratio.statistic == pytest.approx(2 * (larger.loglik - smaller.loglik))
    assert tj.influence(larger, "arm[new]:years").unit == "log odds"
    probit = tj.maximise(severe(ONE, link="probit"), sampled_cohort, quadrature=15)
    with pytest.raises(ValueError, match="links differ"):
        tj.likelihood_ratio(tj.maximise(severe(ALONE), sampled_cohort, quadrature=15), probit)
