"""The count model of relapses: rows, densities, graph, averages over new patients."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import integrate, stats

import trajectories as tj
from trajectories.cohort import Cohort
from trajectories.formulas import FormulaError, Matrices
from trajectories.models.blocks.densities import negative_binomial_logpmf, poisson_logpmf
from trajectories.models.blocks.no_event import no_event_probability
from trajectories.models.design import Design
from trajectories.models.relapses import RelapseCounts, RelapsePriors
from trajectories.priors import Exponential, HalfNormal, Normal
from trajectories.reading import read_cohort
from trajectories.simulate import RelapseTruth, simulate_cohort


def cohort_by_hand() -> Cohort:
    # Ann: a year before, two after. Bob: from 100 days before to 365 after. Cy: only 30 days after. Dee: only before.
    visits = pd.DataFrame(
        {
            "patient": ["ann", "ann", "bob", "bob", "cy", "cy", "dee", "dee"],
            "day": [-400, 730, -100, 365, 0, 29, -300, -1],
            "edss": [2.0, 2.5, 3.0, 3.0, 4.0, 4.0, 1.0, 1.0],
        }
    )
    relapses = pd.DataFrame(
        {"patient": ["ann", "ann", "ann", "bob", "ann"], "day": [-380, -200, 100, 50, 700]}
    )
    patients = pd.DataFrame(
        {
            "patient": ["ann", "bob", "cy", "dee"],
            "arm": ["drug", "placebo", "drug", "placebo"],
            "age": [30, 40, 50, 60],
        }
    )
    return read_cohort(visits, relapses=relapses, patients=patients, name="by hand")


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    truth = RelapseTruth(before=1.5, after={"a": 0.3, "b": 0.6}, frailty=0.0, patient_sd=0.6, dispersion=0.4)
    return simulate_cohort(patients={"a": 20, "b": 20}, seed=1, relapses=truth)


MODELS = {
    "patient effects": RelapseCounts("relapses ~ arm * period + (1 | patient)"),
    "patient slopes": RelapseCounts(
        "relapses ~ arm + period + (1 + period | patient)", dispersion_by="arm", windows=(-1, 0, 1, None)
    ),
    "poisson": RelapseCounts("relapses ~ arm + (1 | patient)", family="poisson"),
    "poisson alone": RelapseCounts("relapses ~ arm", family="poisson"),
    "no patient effects": RelapseCounts("relapses ~ arm", windows=(0.0, None)),
    "intercept only": RelapseCounts("relapses ~ 1", windows=(0.0, None)),
    "by arm": RelapseCounts("relapses ~ arm + years", dispersion_by="arm"),
    "mixed priors": RelapseCounts(
        "relapses ~ arm * period + (1 | patient)",
        prior=RelapsePriors(
            intercept_sd=Exponential(0.5), dispersion=HalfNormal(2.0), terms={"arm[b]": Normal(0.0, 0.3)}
        ),
    ),
}
by_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())


# Rows


def test_one_row_a_patient_and_observed_window() -> None:
    design = RelapseCounts("relapses ~ arm * period + (1 | patient)").design(cohort_by_hand())
    frame = design.frame
    assert frame["period"].astype(str).tolist() == ["before", "after", "before", "after", "after", "before"]
    assert frame["relapses"].tolist() == [1, 2, 0, 1, 0, 0]
    assert design.exposure is not None
    assert np.allclose(design.exposure * 365.25, [365, 731, 100, 366, 30, 300])
    assert np.allclose(frame["years"] * 365.25, [-182.5, 365.5, -50, 183, 15, -150])
    assert design.patient.tolist() == [0, 0, 1, 1, 2, 3]
    assert design.arms == ("drug", "placebo")
    assert frame["window"].astype(str).unique().tolist() == ["[-1, 0)", "[0, end of follow-up)"]


def test_what_is_left_out_is_counted() -> None:
    said = " | ".join(RelapseCounts("relapses ~ arm").design(cohort_by_hand()).excluded)
    assert "2 of 8 windows of patients have no observed time" in said
    assert "1 of 5 relapses lie outside the windows" in said
    said = " | ".join(RelapseCounts("relapses ~ arm", windows=(0, None)).design(cohort_by_hand()).excluded)
    assert "1 of 4 patients have no row left" in said


def test_a_history_that_is_a_covariate_is_not_an_outcome(cohort: Cohort) -> None:
    design = RelapseCounts("relapses ~ arm + relapses_year_before").design(cohort)
    assert set(design.frame["period"].astype(str)) == {"after"}
    assert any("40 windows before time 0 were left out" in sentence for sentence in design.excluded)
    assert "relapses_year_before" in design.target


def test_exposure_in_windows_adds_up(cohort: Cohort) -> None:
    whole = RelapseCounts("relapses ~ 1", windows=(-1, 0, None)).design(cohort)
    parts = RelapseCounts("relapses ~ 1", windows=(-1, -0.5, 0, 0.5, 1, None)).design(cohort)
    assert whole.exposure is not None
    assert parts.exposure is not None
    assert np.isclose(whole.exposure.sum(), parts.exposure.sum())
    assert whole.outcome.sum() == parts.outcome.sum()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"windows": (-1, 1)}, "mixes time before and after"),
        ({"windows": (-1, None)}, "the window from -1 to the end of follow-up"),
        ({"family": "gamma"}, "family must be"),
        ({"dispersion_by": "sex"}, "dispersion_by must be"),
        ({"family": "poisson", "dispersion_by": "arm"}, "no dispersion to vary"),
    ],
)
def test_a_bad_option_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RelapseCounts("relapses ~ arm", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (RelapseCounts("edss ~ arm"), "must be 'relapses', not 'edss'"),
        (
            RelapseCounts("relapses ~ arm + (1 | patient)", windows=(0, None)),
            "every patient has one row.*divide follow-up into more windows",
        ),
        (
            RelapseCounts("relapses ~ arm + (1 + period | patient)"),
            r"no patient has more rows \(2\) than there are patient effects \(2\)",
        ),
        (
            RelapseCounts("relapses ~ period", windows=(0, None)),
            "'period' is the same \\(after\\) in every row",
        ),
        (RelapseCounts("relapses ~ relapses"), "is also on the right|needs another name"),
        (RelapseCounts("relapses ~ arms"), "[Dd]id you mean 'arm'"),
        (RelapseCounts("relapses ~ arm").with_priors(terms={"sex": Normal()}), "there is a prior for 'sex'"),
    ],
)
def test_a_formula_that_cannot_be_used_is_refused(cohort: Cohort, model: RelapseCounts, message: str) -> None:
    with pytest.raises(FormulaError, match=message):
        model.design(cohort)


def test_a_cohort_without_relapse_table_is_refused() -> None:
    visits = pd.DataFrame({"patient": ["a", "a"], "day": [0, 300], "edss": [2.0, 2.0]})
    with pytest.raises(ValueError, match="no relapse table"):
        RelapseCounts("relapses ~ 1").design(read_cohort(visits))


def test_poisson_counts_may_have_a_patient_effect_with_one_row_each(cohort: Cohort) -> None:
    design = RelapseCounts("relapses ~ arm + (1 | patient)", family="poisson", windows=(0, None)).design(
        cohort
    )
    assert design.n_patients == len(design.frame)


def test_rows_treated_as_independent_are_named(cohort: Cohort) -> None:
    model = RelapseCounts("relapses ~ arm")
    assert "40 of 40 patients have several rows" in model.limitations(model.design(cohort))[0]
    for quiet in (RelapseCounts("relapses ~ arm", windows=(0, None)), MODELS["patient effects"]):
        assert quiet.limitations(quiet.design(cohort)) == ()


# Priors


def test_every_prior_shows_and_can_be_changed() -> None:
    model = RelapseCounts("relapses ~ arm").with_priors(dispersion=HalfNormal(3.0))
    assert "dispersion=HalfNormal(sd=3.0)" in repr(model.priors)
    assert "intercept=Normal(mean=0.0, sd=1.5)" in repr(model.priors)
    with pytest.raises(TypeError, match="prior of dispersion"):
        RelapsePriors(dispersion=Normal())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="prior of intercept"):
        RelapsePriors(intercept=HalfNormal())


@pytest.mark.parametrize(
    ("prior", "expected"),
    [(HalfNormal(0.7), stats.halfnorm(scale=0.7)), (Exponential(0.4), stats.expon(scale=0.4))],
)
def test_the_patient_sd_has_its_prior(
    cohort: Cohort, prior: HalfNormal | Exponential, expected: object
) -> None:
    import pymc as pm

    model = MODELS["patient effects"].with_priors(intercept_sd=prior)
    design = model.design(cohort)
    graph = model.build(design)
    names = [variable.name for variable in graph.free_RVs]
    raw = pm.draw([graph[name] for name in names], draws=2000, random_seed=1)
    parameters = model.parameters({n: v[None] for n, v in zip(names, raw, strict=True)}, design)
    sd = parameters["patient_sd"].to_numpy().ravel()
    assert stats.kstest(sd, expected.cdf).pvalue > 0.001  # type: ignore[attr-defined]
    effects = parameters["patient_effects"].to_numpy()[0, :, :, 0]
    assert np.isclose((effects / sd[:, None]).std(), 1.0, atol=0.01)


# Densities


def test_densities_equal_scipy() -> None:
    rng = np.random.default_rng(1)
    count, log_mean, alpha = rng.integers(0, 40, 5000), rng.normal(0, 2, 5000), 10 ** rng.uniform(-2, 2, 5000)
    mean = np.exp(log_mean)
    ours = negative_binomial_logpmf(count, log_mean, alpha, np)
    assert np.allclose(
        ours, stats.nbinom.logpmf(count, 1 / alpha, 1 / (1 + alpha * mean)), rtol=1e-9, atol=1e-9
    )
    assert np.allclose(poisson_logpmf(count, log_mean, np), stats.poisson.logpmf(count, mean), rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 1e-300, 1e-12, 1e-8, 0.99e-5, 1.01e-5, 1e-3, 1.0, 50.0])
def test_negative_binomial_keeps_its_digits_for_any_dispersion(alpha: float) -> None:
    for count in (0, 1, 2, 7, 100):
        for log_mean in (-5.0, 0.0, 4.0):
            j, mean = np.arange(count), np.exp(log_mean)
            tail = np.log1p(alpha * mean) / alpha if alpha > 1e-200 else mean
            factorial = np.log(np.arange(1, count + 1)).sum()
            direct = (
                np.log1p(alpha * j).sum() + count * (log_mean - np.log1p(alpha * mean)) - tail - factorial
            )
            ours = float(negative_binomial_logpmf(np.array(count), np.array(log_mean), np.array(alpha), np))
            assert ours == pytest.approx(direct, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("alpha", [1e-9, 0.3, 3.0])
def test_probabilities_sum_to_one(alpha: float) -> None:
    pmf = np.exp(negative_binomial_logpmf(np.arange(2000), np.log(5.0), alpha, np))
    assert np.isclose(pmf.sum(), 1.0, atol=1e-9)
    assert np.isclose(pmf @ np.arange(2000), 5.0)
    assert np.isclose(pmf @ (np.arange(2000) - 5.0) ** 2, 5 + alpha * 25)


def test_densities_are_finite_at_extremes_in_both_namespaces() -> None:
    import pytensor
    import pytensor.tensor as pt

    count, log_mean, alpha = (
        a.ravel()
        for a in np.meshgrid([0, 1, 30, 1000], [-300.0, -20, 0, 20, 300], [0.0, 1e-15, 1e-5, 1, 1e6])
    )
    ours = negative_binomial_logpmf(count, log_mean, alpha, np)
    poisson_limit = (alpha <= 1e-15) & (log_mean == 300)
    assert np.isfinite(ours).all()
    assert (ours[poisson_limit] < -1e15).all()
    m, a = pt.dvector(), pt.dvector()
    logp = negative_binomial_logpmf(pt.as_tensor(count), m, a, pt)
    values, *gradients = pytensor.function([m, a], [logp, *pytensor.grad(logp.sum(), [m, a])])(
        log_mean, np.maximum(alpha, 1e-15)
    )
    assert np.allclose(
        values, negative_binomial_logpmf(count, log_mean, np.maximum(alpha, 1e-15), np), rtol=1e-12
    )
    tame = np.abs(log_mean) < 300
    assert all(np.isfinite(gradient[tame]).all() for gradient in gradients)


def random_parameters(
    model: RelapseCounts, cohort: Cohort, draws: int = 3
) -> tuple[xr.Dataset, dict[str, np.ndarray]]:
    design = model.design(cohort)
    graph, rng = model.build(design), np.random.default_rng(3)
    point = {
        v.name: rng.normal(0, 0.5, (2, draws, *graph.initial_point()[graph.rvs_to_values[v].name].shape))
        for v in graph.free_RVs
    }
    raw = {
        name: np.exp(v) if "dispersion" in name or name == "patient_sd_internal" else v
        for name, v in point.items()
    }
    if "patient_correlation_internal" in raw:
        raw["patient_correlation_internal"] = 1 / (1 + np.exp(-raw["patient_correlation_internal"]))
    return model.parameters(raw, design), raw


@by_model
def test_log_likelihood_equals_scipy(model: RelapseCounts, cohort: Cohort) -> None:
    design = model.design(cohort)
    parameters, _ = random_parameters(model, cohort)
    one = parameters.isel(chain=1, draw=2)
    X, Z = design.formula.matrices.X, design.formula.matrices.Z
    u = one["patient_effects"].to_numpy()[design.patient]
    assert design.exposure is not None
    mean = design.exposure * np.exp(
        float(one["intercept"]) + X @ one["coefficients"].to_numpy() + (Z * u).sum(axis=1)
    )
    if model.family == "poisson":
        expected = stats.poisson.logpmf(design.outcome, mean)
        assert "dispersion" not in parameters
    else:
        alpha = one["dispersion"].to_numpy()
        if model.dispersion_by == "arm":
            alpha = one["dispersion"].sel(arm=design.frame["arm"].astype(str).tolist()).to_numpy()
        expected = stats.nbinom.logpmf(design.outcome, 1 / alpha, 1 / (1 + alpha * mean))
    ours = model.log_likelihood(parameters, design)
    assert ours.dims == ("chain", "draw", "visit")
    assert np.allclose(ours[1, 2], expected, rtol=1e-9)


# Graph


@by_model
def test_graph_has_a_finite_start_and_the_likelihood_of_numpy(model: RelapseCounts, cohort: Cohort) -> None:
    import pytensor

    design = model.design(cohort)
    graph = model.build(design)
    with pytensor.config.change_flags(
        mode="FAST_COMPILE"
    ):  # three functions a model: compiling takes longer than the test
        _check_graph(model, design, graph, cohort)


def _check_graph(model: RelapseCounts, design: Design, graph: Any, cohort: Cohort) -> None:
    start = graph.initial_point()
    assert np.isfinite(graph.compile_logp()(start))
    assert np.isfinite(graph.compile_dlogp()(start)).all()
    parameters, raw = random_parameters(model, cohort)
    at = dict(start)
    for variable in graph.free_RVs:
        value = graph.rvs_to_values[variable]
        number = raw[variable.name][1, 2]
        transform = graph.rvs_to_transforms[variable]
        at[value.name] = np.asarray(
            number if transform is None else transform.forward(number, *variable.owner.inputs).eval()
        )
    likelihood = graph.compile_logp(vars=graph.potentials)(at)
    assert np.isclose(likelihood, float(model.log_likelihood(parameters, design)[1, 2].sum()), rtol=1e-10)
    priors = graph.compile_logp(vars=graph.free_RVs, jacobian=False)(at)
    assert np.isclose(graph.compile_logp(jacobian=False)(at) - priors, likelihood, rtol=1e-10)


def test_parameters_are_named_in_the_users_units(cohort: Cohort) -> None:
    parameters, _ = random_parameters(MODELS["patient slopes"], cohort)
    assert parameters["coefficients"].dims == ("chain", "draw", "term")
    assert parameters["coefficients"]["term"].to_numpy().tolist() == ["arm[b]", "period[after]"]
    assert parameters["dispersion"].dims == ("chain", "draw", "arm")
    assert parameters["arm"].to_numpy().tolist() == ["a", "b"]
    assert parameters["patient_correlation"].sizes["effect_pair"] == 1
    alone, _ = random_parameters(MODELS["intercept only"], cohort)
    assert alone["dispersion"].dims == alone["intercept"].dims == ("chain", "draw")
    assert alone["patient_sd"].size == alone["coefficients"].size == alone["patient_effects"].size == 0


def test_row_order_and_patient_names_change_nothing(cohort: Cohort) -> None:
    model = MODELS["patient effects"]
    names = {p: f"x{i}" for i, p in enumerate(reversed(cohort.patients["patient"].tolist()))}
    shuffled = read_cohort(
        cohort.visits.assign(patient=cohort.visits["patient"].map(names)).sample(frac=1, random_state=1),
        relapses=cohort.relapses.assign(patient=cohort.relapses["patient"].map(names)),  # type: ignore[union-attr]
        patients=cohort.patients.assign(patient=cohort.patients["patient"].map(names))
        .rename(columns={"followup_start_day": "followup_start", "followup_end_day": "followup_end"})
        .iloc[::-1][["patient", "arm", "followup_start", "followup_end"]],
    )
    before, after = model.design(cohort), model.design(shuffled)
    key = ["arm", "period", "relapses", "exposure"]
    same = [
        design.frame.assign(arm=design.frame["arm"].astype(str)).sort_values(key)[key].reset_index(drop=True)
        for design in (before, after)
    ]
    pd.testing.assert_frame_equal(*same, check_dtype=False, check_categorical=False)


# Averages over new patients


def by_hand(sd: float, alpha: float | None = 0.8, slope: float | None = None) -> xr.Dataset:
    covariance = np.array([[sd**2]]) if slope is None else np.array([[sd**2, 0.1], [0.1, slope**2]])
    effects = ["intercept", "slope"][: len(covariance)]
    data = {
        "intercept": (("chain", "draw"), np.array([[-0.3, 0.2]])),
        "coefficients": (("chain", "draw", "term"), np.array([[[0.5], [-0.4]]])),
        "patient_covariance": (
            ("chain", "draw", "effect", "other_effect"),
            np.tile(covariance, (1, 2, 1, 1)),
        ),
    }
    if alpha is not None:
        data["dispersion"] = (("chain", "draw"), np.full((1, 2), alpha))
    return xr.Dataset(data, coords={"term": ["x"], "effect": effects, "other_effect": effects})


ROWS = Matrices(X=np.array([[0.0], [1.0], [2.0]]), Z=np.ones((3, 1)))


def test_expected_rate_is_the_mean_of_lognormal_rates() -> None:
    rate = RelapseCounts("relapses ~ x + (1 | patient)").expectation(by_hand(0.7), ROWS)
    assert rate.dims == ("chain", "draw", "row")
    assert np.allclose(rate[0, 0], np.exp(-0.3 + 0.5 * np.arange(3) + 0.7**2 / 2))
    assert np.allclose(rate[0, 1], np.exp(0.2 - 0.4 * np.arange(3) + 0.7**2 / 2))


def test_expected_rate_and_relapse_free_equal_monte_carlo() -> None:
    parameters, rng = by_hand(0.6, slope=0.5), np.random.default_rng(5)
    rows = Matrices(X=np.array([[0.3], [1.0]]), Z=np.array([[1.0, 0.0], [1.0, 2.0]]))
    model = RelapseCounts("relapses ~ x + (1 + z | patient)")
    u = rng.multivariate_normal(np.zeros(2), parameters["patient_covariance"][0, 0].to_numpy(), size=400_000)
    for row in (0, 1):
        mean = np.exp(-0.3 + 0.5 * rows.X[row, 0] + u @ rows.Z[row])
        rate = float(model.expectation(parameters, rows)[0, 0, row])
        assert abs(rate - mean.mean()) < 4 * mean.std() / np.sqrt(len(mean))
        count = rng.negative_binomial(1 / 0.8, 1 / (1 + 0.8 * 2 * mean))
        free = float(model.relapse_free(parameters, rows, 2.0)[0, 0, row])
        assert abs(free - (count == 0).mean()) < 4 * np.sqrt(free * (1 - free) / len(mean))


def test_relapse_free_without_patient_effects_is_closed_form() -> None:
    rates = np.exp(-0.3 + 0.5 * np.arange(3))
    free = RelapseCounts("relapses ~ x").relapse_free(by_hand(0.0), ROWS, 1.5)
    assert np.allclose(free[0, 0], (1 + 0.8 * 1.5 * rates) ** (-1 / 0.8))
    poisson = RelapseCounts("relapses ~ x", family="poisson").relapse_free(by_hand(0.0, None), ROWS, 1.5)
    assert np.allclose(poisson[0, 0], np.exp(-1.5 * rates))
    limit = RelapseCounts("relapses ~ x").relapse_free(by_hand(0.0, 0.0), ROWS, 1.5)
    assert np.allclose(limit, poisson)


@pytest.mark.parametrize("alpha", [None, 1e-6, 0.05, 0.8, 5.0])
@pytest.mark.parametrize("sd", [0.01, 0.5, 1.5, 4.0])
def test_quadrature_equals_adaptive_integration(alpha: float | None, sd: float) -> None:
    def integrand(v: float, log_mean: float) -> float:
        mean = np.exp(log_mean + sd * v)
        free = np.exp(-mean) if alpha is None else np.exp(-np.log1p(alpha * mean) / alpha)
        return float(free * stats.norm.pdf(v))

    for log_mean in (-4.0, 0.0, 3.0):
        exact = integrate.quad(integrand, -9, 9, args=(log_mean,), epsabs=1e-12, epsrel=1e-12, limit=400)[0]
        alphas = None if alpha is None else np.array([alpha])
        assert no_event_probability(np.array([log_mean]), np.array([sd]), alphas)[0] == pytest.approx(
            exact, abs=1e-9
        )


def test_relapse_free_needs_the_arms_of_a_dispersion_by_arm() -> None:
    model = RelapseCounts("relapses ~ x", dispersion_by="arm")
    parameters = by_hand(0.0, None).assign(
        dispersion=(("chain", "draw", "arm"), np.array([[[0.5, 2.0], [0.5, 2.0]]])), arm=["a", "b"]
    )
    with pytest.raises(ValueError, match="give the arm of each row"):
        model.relapse_free(parameters, ROWS, 1.0)
    free = model.relapse_free(parameters, ROWS, 1.0, arms=["a", "b", "a"])
    alpha, rates = np.array([0.5, 2.0, 0.5]), np.exp(-0.3 + 0.5 * np.arange(3))
    assert np.allclose(free[0, 0], (1 + alpha * rates) ** (-1 / alpha))
    with pytest.raises(ValueError, match="years must be a positive"):
        model.relapse_free(parameters, ROWS, 0.0, arms=["a", "b", "a"])


def test_new_counts_have_the_models_mean_and_variance(cohort: Cohort) -> None:
    model = MODELS["no patient effects"]
    design = model.design(cohort)
    n = 4000
    parameters = xr.Dataset(
        {
            "intercept": (("chain", "draw"), np.full((1, n), np.log(1.5))),
            "coefficients": (("chain", "draw", "term"), np.full((1, n, 1), 0.3)),
            "dispersion": (("chain", "draw"), np.full((1, n), 0.7)),
            "patient_effects": (("chain", "draw", "patient", "effect"), np.zeros((1, n, 40, 0))),
        }
    )
    drawn = model.replicate(parameters, design, np.random.default_rng(2))[0].to_numpy()
    assert design.exposure is not None
    mean = design.exposure * 1.5 * np.exp(0.3 * design.formula.matrices.X[:, 0])
    variance = mean + 0.7 * mean**2
    assert np.abs((drawn.mean(axis=0) - mean) / np.sqrt(variance / n)).max() < 4.5
    assert np.allclose(drawn.var(axis=0).mean(), variance.mean(), rtol=0.05)


def test_rates_at_times_that_nobody_was_observed_warn():
    model = RelapseCounts("relapses ~ arm + years", windows=(0, 1, 2))
    fit = tj.maximise(model, tj.simulated_three_dmts_400())
    with warnings.catch_warnings():
        warnings.simplefilter("error", tj.ExtrapolationWarning)
        tj.relapse_rate(
            fit, at=[0.0, 2.0]
        )  # the middles of the windows are 0.5 and 1.5, and their ends observed
    with pytest.warns(tj.ExtrapolationWarning) as caught:
        tj.relapse_rate(fit, at=4.0)
    assert len(caught) == len(fit.design.arms)
    assert "4 years lie outside the observed follow-up of fingolimod" in str(caught[0].message)
