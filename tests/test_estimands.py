"""Estimands on hand-made posteriors with a closed-form answer, and on brute-force Monte Carlo where there is none."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special

import trajectories as tj
from trajectories import edss, models
from trajectories.formulas import FormulaError

sys.path.insert(0, str(Path(__file__).parent))
from hand_made import CUTPOINTS, cohort, fit_of, tables

PLAIN = "edss ~ arm * years + (1 + years | patient)"
# Only EDSS 2 and 6 can occur: expected EDSS is 2 + 4·P(η + u > 0).
TWO_LEVELS = np.r_[np.full(3, -900.0), np.zeros(8), np.full(8, 900.0)]
SIGMA = np.array([[1.5, 0.3], [0.3, 0.4]])


def two_levels(
    text=PLAIN, *, link="probit", coefficients=(0.4, 0.3, -0.5), covariance=SIGMA, of=None, **options
):
    model = models.OrdinalMixed(text, link=link)
    design = model.design(cohort() if of is None else of)
    return fit_of(
        model, design, coefficients=coefficients, covariance=covariance, cutpoints=TWO_LEVELS, **options
    )


def in_closed_form(fit, arm, t):
    """2 + 4·Φ(η / √(1 + Var(u0 + u1·t))) for the formula `arm * years`, one a draw."""
    shift, slope, difference = fit.parameters["coefficients"].to_numpy()[0].T
    z = np.array([1.0, t])
    eta = slope * t + (shift + difference * t if arm == "new" else 0.0)
    spread = np.sqrt(1 + z @ fit.parameters["patient_covariance"].to_numpy()[0] @ z)
    return 2 + 4 * special.ndtr(eta / spread)


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(30, 2, 2)) * [1.0, 0.4]
    return two_levels(coefficients=rng.normal(0, 0.5, (30, 3)), covariance=root @ root.transpose(0, 2, 1))


# --- over time ------------------------------------------------------------------------------------------------------


def test_expected_edss_in_closed_form(drawn):
    found = tj.expected_edss(drawn, [0.0, 0.5, 1.0])
    assert found.draws.dims == ("chain", "draw", "arm", "years")
    assert found.draws["arm"].to_numpy().tolist() == ["old", "new"]
    assert found.draws["years"].to_numpy().tolist() == [0.0, 0.5, 1.0]
    for arm in ("old", "new"):
        for t in (0.0, 0.5, 1.0):
            np.testing.assert_allclose(
                found.draws.sel(arm=arm, years=t)[0], in_closed_form(drawn, arm, t), atol=1e-10
            )
    assert found.unit == "EDSS points"
    assert found.definition.startswith(
        "Mean EDSS at the time, of new patients like the 11 patients in the model"
    )


def test_change_and_slope_in_closed_form(drawn):
    change = tj.change(drawn, [1.0, 0.5], since=0.25)
    slope = tj.slope(drawn, (0.25, 1.0))
    assert change.draws["years"].to_numpy().tolist() == [1.0, 0.5]
    assert (change.null, slope.null) == (0.0, 0.0)
    for arm in ("old", "new"):
        expected = in_closed_form(drawn, arm, 1.0) - in_closed_form(drawn, arm, 0.25)
        np.testing.assert_allclose(change.draws.sel(arm=arm, years=1.0)[0], expected, atol=1e-10)
        np.testing.assert_allclose(slope.draws.sel(arm=arm)[0], expected / 0.75, atol=1e-10)
    assert (slope.unit, slope.draws.dims) == ("EDSS points per year", ("chain", "draw", "arm"))


def test_no_change_since_the_same_time(drawn):
    assert (tj.change(drawn, [0.5, 1.0], since=0.5).draws.sel(years=0.5) == 0).all()


def test_severity_in_closed_form(drawn):
    for threshold, share in ((4.0, 1.0), (6.0, 1.0), (2.5, 1.0)):
        found = tj.severity_probability(drawn, 1.0, threshold=threshold)
        expected = share * (in_closed_form(drawn, "new", 1.0) - 2) / 4
        np.testing.assert_allclose(found.draws.sel(arm="new", years=1.0)[0], expected, atol=1e-10)
    np.testing.assert_allclose(tj.severity_probability(drawn, 1.0, threshold=2.0).draws, 1.0, atol=1e-12)
    np.testing.assert_allclose(tj.severity_probability(drawn, 1.0, threshold=6.5).draws, 0.0, atol=1e-12)
    assert found.unit == "probability"


def test_severity_needs_a_level_of_the_scale(drawn):
    with pytest.raises(ValueError, match="not levels of the EDSS"):
        tj.severity_probability(drawn, 1.0, threshold=0.5)


def test_logit_equals_brute_force():
    model = models.OrdinalMixed(PLAIN)
    fit = fit_of(model, model.design(cohort()), coefficients=[[0.8, 0.5, -0.7]], covariance=SIGMA * 4)
    u = np.random.default_rng(2).multivariate_normal([0, 0], SIGMA * 4, size=200_000)
    for arm, eta in (("old", 0.5), ("new", 0.8 + 0.5 - 0.7)):
        latent = eta + u @ [1.0, 1.0]
        below = special.expit(CUTPOINTS[:, None] - latent)
        scores = edss.LEVELS[-1] - np.diff(edss.LEVELS) @ below  # E[EDSS | u] by summation by parts
        expected = tj.expected_edss(fit, 1.0).draws.sel(arm=arm).item()
        assert expected == pytest.approx(scores.mean(), abs=4 * scores.std() / np.sqrt(len(u)))


def test_samples_of_several_chains_keep_their_place(drawn):
    by_chain = two_levels(
        coefficients=drawn.parameters["coefficients"].to_numpy()[0],
        covariance=drawn.parameters["patient_covariance"].to_numpy()[0],
        chains=3,
    )
    one, three = (tj.change(fit, 1.0).draws for fit in (drawn, by_chain))
    assert three.shape == (3, 10, 2, 1)
    np.testing.assert_allclose(three.to_numpy().reshape(one.shape), one)
    stable = [
        tj.stabilisation(fit, at=1.0, margin=0.5).patients.draws.to_numpy() for fit in (drawn, by_chain)
    ]
    np.testing.assert_allclose(stable[1].reshape(stable[0].shape), stable[0])


def test_one_arm_without_it_in_the_formula():
    fit = two_levels("edss ~ years + (1 + years | patient)", coefficients=(0.3,))
    found = tj.expected_edss(fit, 1.0)
    assert found.draws["arm"].to_numpy().tolist() == ["all"]
    assert found.draws.item() == pytest.approx(2 + 4 * special.ndtr(0.3 / np.sqrt(1 + SIGMA.sum())))
    with pytest.raises(
        ValueError,
        match=r"there is no arm 'new'; there are: all\. Put 'arm' into the formula to compare arms",
    ):
        tj.contrast(found, "new", "old")


def test_an_arm_may_be_called_all():
    fit = two_levels(of=cohort({"all": 6, "new": 5}))
    found = tj.expected_edss(fit, 1.0).draws
    np.testing.assert_allclose(found.sel(arm="all").item(), in_closed_form(fit, "old", 1.0)[0], atol=1e-10)
    np.testing.assert_allclose(found.sel(arm="new").item(), in_closed_form(fit, "new", 1.0)[0], atol=1e-10)


# --- standardisation ------------------------------------------------------------------------------------------------


def test_patients_count_alike_however_many_visits_they_have():
    seen, people = tables({"old": 6, "new": 5})
    people["sex"] = ["F"] * 3 + ["M"] * 8
    many = seen[
        (seen["day"] < 0) | seen["patient"].isin(people["patient"][:3])
    ]  # the women have four visits, the men one
    fit = two_levels("edss ~ arm + sex + (1 | patient)", coefficients=(0.0, 1.5), covariance=[[0.5]],
                     of=tj.read_cohort(many, patients=people))  # fmt: skip
    by_sex = 2 + 4 * special.ndtr(np.array([0.0, 1.5]) / np.sqrt(1.5))
    found = tj.expected_edss(fit, -0.5).draws
    np.testing.assert_allclose(found, (3 * by_sex[0] + 8 * by_sex[1]) / 11, atol=1e-10)


def test_target_is_the_population_that_was_named():
    seen, people = tables({"old": 6, "new": 5})
    people["sex"] = ["F", "F", "M", "M", "M", "M", "F", "F", "F", "F", "M"]
    fit = two_levels("edss ~ arm + sex + (1 | patient)", coefficients=(0.7, 1.5), covariance=[[0.5]],
                     of=tj.read_cohort(seen, patients=people))  # fmt: skip

    def mean(women, men, arm):
        level = 2 + 4 * special.ndtr((0.7 * (arm == "new") + np.array([0.0, 1.5])) / np.sqrt(1.5))
        return (women * level[0] + men * level[1]) / (women + men)

    for target, (women, men) in {"everyone": (6, 5), "old": (2, 4), "new": (4, 1)}.items():
        found = tj.expected_edss(fit, 0.5, target=target)
        for arm in ("old", "new"):  # both arms in the same people
            assert found.draws.sel(arm=arm).item() == pytest.approx(mean(women, men, arm), abs=1e-10)
        assert ("of arm" in found.definition) is (target != "everyone")
    with pytest.raises(
        ValueError, match="target must be 'everyone', weights, or one of old, new, not 'treated'"
    ):
        tj.expected_edss(fit, 0.5, target="treated")


def test_many_patients_are_averaged_like_few():
    seen, people = tables({"old": 150, "new": 150})
    fit = two_levels("edss ~ arm + age + (1 | patient)", coefficients=(0.5, 0.03), covariance=[[0.8]],
                     of=tj.read_cohort(seen, patients=people))  # fmt: skip
    eta = 0.5 + 0.03 * people["age"].to_numpy() + np.zeros(300)
    expected = 2 + 4 * special.ndtr((eta - 0.0) / np.sqrt(1.8)).mean()
    assert tj.expected_edss(fit, 0.5).draws.sel(arm="new").item() == pytest.approx(expected, abs=1e-4)


def test_baseline_as_covariate():
    fit = two_levels(
        "edss ~ edss_baseline + arm * years + (1 + years | patient)", coefficients=(0.1, 0.4, 0.3, -0.5)
    )
    baseline = fit.design.target["edss_baseline"].to_numpy()
    eta = 0.1 * baseline + 0.4 + 0.3 - 0.5
    expected = 2 + 4 * special.ndtr(eta / np.sqrt(1 + SIGMA.sum())).mean()
    assert tj.expected_edss(fit, 1.0).draws.sel(arm="new").item() == pytest.approx(expected, abs=1e-10)
    # No visit at or before 0 is an outcome: the change since 0 is from the baselines that were observed.
    since_start = tj.change(fit, 1.0)
    assert since_start.draws.sel(arm="new").item() == pytest.approx(expected - baseline.mean(), abs=1e-10)
    assert f"minus the observed baseline EDSS, {baseline.mean():.2f} on average," in since_start.definition
    assert any("regression to the mean" in caveat for caveat in since_start.caveats)
    assert (
        "Per year from 0 to 1 years: Mean EDSS at the time minus the observed baseline"
        in tj.slope(fit, (0, 1)).definition
    )
    with pytest.warns(tj.ExtrapolationWarning, match="-0.5 years lie outside the observed follow-up"):
        earlier = tj.change(fit, 1.0, since=-0.5)
    assert any("EDSS at -0.5 years is extrapolated back" in caveat for caveat in earlier.caveats)
    later = tj.change(fit, 1.0, since=0.5)
    assert not any("extrapolated back" in caveat or "to the mean" in caveat for caveat in later.caveats)


def test_stabilisation_is_judged_from_the_observed_baseline():
    formula, values = "edss ~ edss_baseline + arm * years + (1 + years | patient)", (0.1, 0.4, 0.3, -0.5)
    fit = two_levels(formula, coefficients=[values] * 2)
    stable = tj.stabilisation(fit, at=1.0, margin=0.5)
    assert stable.change.definition.startswith("Mean EDSS at 1 years minus the observed baseline EDSS")
    assert "from the observed baseline EDSS to 1 years" in stable.patients.definition
    assert "extrapolated back" not in str(stable)
    # By brute force: EDSS is 2 or 6 at 1 year, and the baseline what it was.
    rng = np.random.default_rng(4)
    before = np.repeat(fit.design.target["edss_baseline"].to_numpy(), 40_000)
    u = rng.multivariate_normal([0, 0], SIGMA, size=len(before)).sum(axis=1)
    p = special.ndtr(0.1 * before + 0.4 + 0.3 - 0.5 + u)
    after = np.where(rng.uniform(size=len(p)) < p, 6.0, 2.0)
    seen = stable.patients.draws.sel(arm="new", basis="two visits").isel(chain=0, draw=0)
    assert seen.sel(outcome="worse").item() == pytest.approx(
        edss.TRIAL.worse(before, after).mean(), abs=0.006
    )
    assert seen.sel(outcome="improved").item() == pytest.approx(
        edss.TRIAL.improved(before, after).mean(), abs=0.006
    )
    expected = stable.patients.draws.sel(arm="new", basis="expected change").isel(chain=0, draw=0)
    assert expected.sel(outcome="worse").item() == pytest.approx(
        edss.TRIAL.worse(before, 2 + 4 * p).mean(), abs=0.006
    )
    later = tj.stabilisation(fit, at=1.0, since=0.5, margin=0.5)
    assert later.change.definition.startswith("Mean EDSS at 1 years minus at 0.5 years")


def test_the_observed_baseline_is_that_of_the_target():
    fit = two_levels(
        "edss ~ edss_baseline + arm + (1 | patient)", coefficients=(0.1, 0.4), covariance=[[1.0]]
    )
    target = fit.design.target
    before = target.loc[target["arm"] == "old", "edss_baseline"].mean()
    level = tj.expected_edss(fit, 1.0, target="old").draws
    np.testing.assert_allclose(tj.change(fit, 1.0, target="old").draws, level - before, atol=1e-12)


def test_splines_and_knots_are_evaluated_at_the_time():
    fit = two_levels(
        "edss ~ years + on_treatment(years, lag=0.5) + (1 | patient)",
        coefficients=(-0.4, 1.0),
        covariance=[[1.0]],
    )
    found = tj.expected_edss(fit, [0.25, 1.0]).draws[0, 0, 0]
    expected = 2 + 4 * special.ndtr(np.array([-0.1, -0.4 + 0.5]) / np.sqrt(2))
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_columns_of_single_visits_have_no_value_elsewhere():
    seen, people = tables({"old": 6, "new": 5})
    seen["fever"] = np.resize([0.0, 1.0, 0.0], len(seen))
    fit = two_levels("edss ~ arm + fever + (1 | patient)", coefficients=(0.1, 0.2), covariance=[[1.0]],
                     of=tj.read_cohort(seen, patients=people))  # fmt: skip
    with pytest.raises(FormulaError, match="the formula uses fever, which belongs to single visits"):
        tj.expected_edss(fit, 0.5)


# --- stabilisation --------------------------------------------------------------------------------------------------


def monte_carlo(fit, arm, rule, times=(0.0, 1.0), size=400_000):
    """Draw new patients and what two visits show, and count: (expected change, two visits) × (worse, stable, improved)."""
    rng = np.random.default_rng(3)
    p = fit.parameters.isel(chain=0, draw=0)
    shift, slope, difference = p["coefficients"].to_numpy()
    u = rng.multivariate_normal([0, 0], p["patient_covariance"].to_numpy(), size=size)
    noise = rng.normal if fit.model.link == "probit" else rng.logistic
    cdf = special.ndtr if fit.model.link == "probit" else special.expit
    cuts, expected, seen = p["cutpoints"].to_numpy(), [], []
    for t in times:
        latent = slope * t + (shift + difference * t if arm == "new" else 0.0) + u @ [1.0, t]
        seen.append(edss.LEVELS[np.searchsorted(cuts, latent + noise(size=size))])
        expected.append(edss.LEVELS[-1] - np.diff(edss.LEVELS) @ cdf(cuts[:, None] - latent))
    rows = []
    for before, after in (expected, seen):
        worse, improved = rule.worse(before, after).mean(), rule.improved(before, after).mean()
        rows.append([worse, 1 - worse - improved, improved])
    return np.array(rows)


@pytest.mark.parametrize("rule", [edss.TRIAL, edss.MSBASE, edss.CARE_MS], ids=lambda rule: rule.name)
@pytest.mark.parametrize("link", ["logit", "probit"])
def test_patients_worse_stable_improved_equal_monte_carlo(rule, link):
    model = models.OrdinalMixed(PLAIN, link=link)
    fit = fit_of(model, model.design(cohort()), coefficients=[[0.8, 0.9, -1.6]], covariance=SIGMA * 4)
    found = tj.stabilisation(fit, at=1.0, margin=0.5, rule=rule).patients.draws
    assert found.dims == ("chain", "draw", "arm", "basis", "outcome")
    np.testing.assert_allclose(found.sum("outcome"), 1.0, atol=1e-12)
    for arm in ("old", "new"):
        exact = monte_carlo(fit, arm, rule)
        np.testing.assert_allclose(found.sel(arm=arm)[0, 0], exact, atol=0.01)
        # The two-visit basis is smooth in the patient: quasi-random points do much better there.
        np.testing.assert_allclose(found.sel(arm=arm, basis="two visits")[0, 0], exact[1], atol=0.004)


def test_two_visits_fluctuate_more_than_the_expected_change():
    fit = two_levels(coefficients=(0.0, 0.0, 0.0), covariance=SIGMA * 0.0)
    patients = tj.stabilisation(fit, at=1.0, margin=0.5).patients.draws.sel(arm="old")[0, 0]
    # Nobody changes; two visits differ by chance, a half of the time (2 → 6 and 6 → 2, each a quarter).
    np.testing.assert_allclose(patients.sel(basis="expected change"), [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(patients.sel(basis="two visits"), [0.25, 0.5, 0.25], atol=1e-12)


def test_patients_take_the_covariates_of_the_target():
    seen, people = tables({"old": 6, "new": 5})
    people["sex"] = ["F"] * 6 + ["M"] * 5
    fit = two_levels("edss ~ arm + sex:years + (1 | patient)", coefficients=(0.0, 0.0, 20.0), covariance=[[1e-6]],
                     of=tj.read_cohort(seen, patients=people))  # fmt: skip
    assert fit.design.terms == ("arm[new]", "sex[F]:years", "sex[M]:years")
    for target, worse in (("old", 0.0), ("new", 1.0), ("everyone", 5 / 11)):
        found = tj.stabilisation(fit, at=1.0, since=-0.4, margin=0.5, target=target).patients.draws
        share = found.sel(basis="expected change", outcome="worse")
        np.testing.assert_allclose(share, worse, atol=1 / 512 if target == "everyone" else 1e-12)


@pytest.mark.parametrize(
    ("effects", "said"),
    [("1", True), ("1 + age", True), ("1 + years", False), ("1 + on_treatment(years)", False)],
)
def test_a_formula_without_a_patient_slope_is_said_to_expect_one_change_of_all(effects, said):
    model = models.OrdinalMixed(f"edss ~ arm * years + ({effects} | patient)")
    design = model.design(cohort())
    covariance = np.eye(len(design.effects))
    fit = fit_of(model, design, coefficients=[[0.8, 0.9, -1.6]] * 2, covariance=covariance)
    stable = tj.stabilisation(fit, at=1.0, margin=0.5)
    sentence = "no patient effect of the formula changes with time"
    for text in (str(stable), " ".join(stable.summary().attrs["caveats"]), str(stable.patients)):
        assert (sentence in text) is said
    assert sentence not in str(stable.change)  # the group's change does not need one


def test_summary_of_stabilisation_by_hand(drawn):
    stable = tj.stabilisation(drawn, at=1.0, margin=0.3, untreated_drift=0.42)
    change = tj.change(drawn, 1.0).draws.sel(years=1.0)
    frame = stable.summary()
    assert frame.index.tolist() == ["old", "new"]
    for arm in ("old", "new"):
        values = change.sel(arm=arm).to_numpy().ravel()
        assert frame.loc[arm, "change"] == pytest.approx(values.mean())
        assert frame.loc[arm, "lower"] == pytest.approx(np.quantile(values, 0.025))
        assert frame.loc[arm, "Pr(|change| < 0.3)"] == pytest.approx(np.mean(np.abs(values) < 0.3))
        assert frame.loc[arm, "Pr(change < 0.3)"] == pytest.approx(np.mean(values < 0.3))
        assert frame.loc[arm, "Pr(change < 0)"] == pytest.approx(np.mean(values < 0))
        assert frame.loc[arm, "Pr(change < drift 0.42)"] == pytest.approx(np.mean(values < 0.42))
        seen = stable.patients.draws.sel(arm=arm, basis="two visits").mean(("chain", "draw"))
        assert frame.loc[
            arm, ["patients worse", "patients stable", "patients improved"]
        ].tolist() == pytest.approx(seen.to_numpy().tolist())
    assert (frame.attrs["margin"], frame.attrs["rule"], frame.attrs["untreated_drift"]) == (
        0.3,
        "TRIAL",
        0.42,
    )


def test_curve_over_margins(drawn):
    stable = tj.stabilisation(drawn, at=1.0, margin=0.3)
    curve = stable.curve()
    assert list(curve.columns) == ["arm", "margin", "within", "no_worsening"]
    assert curve.groupby("arm", sort=False)["within"].apply(lambda s: s.is_monotonic_increasing).all()
    at_margin = stable.curve([0.3]).set_index("arm")
    summary = stable.summary()
    assert at_margin.loc["new", "within"] == summary.loc["new", "Pr(|change| < 0.3)"]
    assert at_margin.loc["new", "no_worsening"] == summary.loc["new", "Pr(change < 0.3)"]


def test_print_says_margin_drift_and_rule(drawn):
    text = str(tj.stabilisation(drawn, at=1.0, margin=0.3))
    for part in (
        "margin, as stated: 0.3 EDSS points",
        "no untreated drift was stated",
        "rule TRIAL",
        "two visits",
        "95% equal-tailed",
    ):
        assert part in text
    assert "untreated drift, as stated: +0.42" in str(
        tj.stabilisation(drawn, at=1.0, margin=0.3, untreated_drift=0.42)
    )


@pytest.mark.parametrize("margin", [0, -0.5, float("nan"), float("inf")])
def test_margin_must_be_stated(drawn, margin):
    with pytest.raises(ValueError, match="margin must be a positive number of EDSS points"):
        tj.stabilisation(drawn, at=1.0, margin=margin)


def test_margin_has_no_default(drawn):
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'margin'"):
        tj.stabilisation(drawn, at=1.0)


def test_same_seed_same_patients(drawn):
    first, second = (tj.stabilisation(drawn, at=1.0, margin=0.5, seed=4).patients.draws for _ in range(2))
    other = tj.stabilisation(drawn, at=1.0, margin=0.5, seed=5).patients.draws
    np.testing.assert_array_equal(first, second)
    assert np.abs(other - first).max() > 0
    np.testing.assert_allclose(other.sel(basis="two visits"), first.sel(basis="two visits"), atol=0.01)


# --- contrasts ------------------------------------------------------------------------------------------------------


def test_contrasts_are_draw_by_draw(drawn):
    level = tj.expected_edss(drawn, [0.0, 1.0])
    difference, ratio = (tj.contrast(level, "new", "old", scale=scale) for scale in ("difference", "ratio"))
    new, old = level.draws.sel(arm="new"), level.draws.sel(arm="old")
    np.testing.assert_allclose(difference.draws, new - old)
    np.testing.assert_allclose(ratio.draws, new / old)
    assert (difference.null, ratio.null) == (0.0, 1.0)
    assert (difference.unit, ratio.unit) == ("EDSS points", "ratio")
    assert difference.draws.dims == ("chain", "draw", "years")
    assert difference.name == "expected EDSS, new minus old"
    superior = difference.probability(below=0)
    assert superior.loc[1.0] == pytest.approx(float((new < old).sel(years=1.0).mean()))
    np.testing.assert_allclose(tj.contrast(level, "old", "new").draws, -difference.draws)
    assert any(caveat.startswith("descriptive:") for caveat in difference.caveats)


def test_contrast_over_times(drawn):
    change = tj.contrast(tj.expected_edss(drawn, [0.0, 0.5]), "0.5", "0", over="years")
    np.testing.assert_allclose(change.draws, tj.change(drawn, 0.5).draws.sel(years=0.5))


def test_contrast_of_stabilisation_compares_every_part(drawn):
    stable = tj.stabilisation(drawn, at=1.0, margin=0.5)
    together = tj.contrast(stable, "new", "old")
    assert set(together.estimates) == {
        "change", *(f"{o} ({b})" for b in ("expected change", "two visits") for o in ("worse", "stable", "improved"))
    }  # fmt: skip
    worse = stable.patients.draws.sel(basis="two visits", outcome="worse")
    np.testing.assert_allclose(
        together["worse (two visits)"].draws, worse.sel(arm="new") - worse.sel(arm="old")
    )
    assert together["change"].unit == "EDSS points"
    assert together["worse (two visits)"].unit == "probability"
    assert "new compared with old" in str(together)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("new", "placebo"), "there is no arm 'placebo'; there are: old, new."),
        (("new", "old", "sex"), "expected EDSS has no sexs to compare"),
    ],
)
def test_impossible_contrasts(drawn, arguments, message):
    level, reference, *over = arguments
    options = {"over": over[0]} if over else {}
    with pytest.raises(ValueError, match=re.escape(message)):
        tj.contrast(tj.expected_edss(drawn, 1.0), level, reference, **options)
    with pytest.raises(ValueError, match="scale must be 'difference' or 'ratio', not 'odds'"):
        tj.contrast(tj.expected_edss(drawn, 1.0), "new", "old", scale="odds")


def test_ratios_of_changes_or_of_zero_mean_nothing(drawn):
    for estimate in (
        tj.change(drawn, 1.0),
        tj.severity_probability(two_levels(covariance=SIGMA * 0), 1.0, threshold=7.0),
        tj.stabilisation(drawn, at=1.0, margin=0.5),
    ):
        with pytest.raises(ValueError, match="a ratio needs rates or probabilities above 0 in every draw"):
            tj.contrast(estimate, "new", "old", scale="ratio")


# --- times, models, warnings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [[], [1.0, 1.0], float("nan"), [0.5, float("inf")]])
def test_impossible_times(drawn, at):
    for estimand in (tj.expected_edss, tj.change, tj.severity_probability):
        with pytest.raises(ValueError, match="times must be finite and different"):
            estimand(drawn, at)


def test_times_of_change_must_differ(drawn):
    with pytest.raises(ValueError, match="between must be two ascending times"):
        tj.slope(drawn, (1.0, 1.0))
    with pytest.raises(ValueError, match="at and since must differ; both are 1 years"):
        tj.stabilisation(drawn, at=1.0, since=1.0, margin=0.5)


def test_only_models_of_edss(drawn):
    import dataclasses

    counts = dataclasses.replace(drawn, model=models.RelapseCounts("relapses ~ arm"))
    for estimand in (tj.expected_edss, tj.change, tj.severity_probability):
        with pytest.raises(
            TypeError,
            match=r"this needs a fit of an EDSS model, such as models\.OrdinalMixed, not RelapseCounts",
        ):
            estimand(counts, 1.0)


def test_extrapolation_warns_where_it_was_asked_for(drawn):
    calls = {
        "expected": lambda: tj.expected_edss(drawn, [0.0, 3.0]),
        "severity": lambda: tj.severity_probability(drawn, 3.0),
        "change": lambda: tj.change(drawn, 3.0),
        "slope": lambda: tj.slope(drawn, (0.0, 3.0)),
        "stabilisation": lambda: tj.stabilisation(drawn, at=3.0, margin=0.5),
    }
    for call in calls.values():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        assert [w.category for w in caught] == [tj.ExtrapolationWarning] * 2  # one an arm
        assert str(caught[0].message).startswith(
            "3 years lie outside the observed follow-up of old (-0.50 to 1.00 years): the model extrapolates"
        )
        assert all(Path(w.filename).name == Path(__file__).name for w in caught)


def test_follow_up_is_that_of_the_arm():
    seen, people = tables({"old": 6, "new": 5})
    short = seen[(seen["day"] < 300) | seen["patient"].isin(people["patient"][:6])]
    fit = two_levels(of=tj.read_cohort(short, patients=people))
    with pytest.warns(
        tj.ExtrapolationWarning, match=r"1 years lie outside the observed follow-up of new"
    ) as caught:
        tj.expected_edss(fit, [0.5, 1.0])
    assert len(caught) == 1
    with pytest.warns(tj.ExtrapolationWarning, match="-2 years lie outside"):
        tj.expected_edss(fit, [-2.0, 0.0])


def test_simulated_cohorts_and_what_was_left_out_are_said():
    seen, people = tables({"old": 6, "new": 5})
    seen.loc[0, "edss"] = np.nan
    twice = np.tile((0.4, 0.3, -0.5), (2, 1))
    fit = two_levels(of=tj.read_cohort(seen, patients=people), coefficients=twice)
    assert "1 of 44 visits have no EDSS" in str(tj.change(fit, 1.0))
    made = tj.simulate_cohort(patients={"old": 8, "new": 8}, seed=1)
    assert "simulated data: nobody was treated" in str(
        tj.change(two_levels(of=made, coefficients=twice), 1.0)
    )


def test_frames_are_labelled(drawn):
    frame = tj.change(drawn, [0.5, 1.0]).summary()
    assert isinstance(frame, pd.DataFrame)
    assert frame.index.tolist() == [("old", 0.5), ("old", 1.0), ("new", 0.5), ("new", 1.0)]
    assert list(frame.columns) == ["mean", "sd", "median", "lower", "upper", "Pr(> 0)"]
