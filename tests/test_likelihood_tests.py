"""Profile-likelihood intervals of integrated likelihoods, and likelihood-ratio tests, against R's lme4 and ordinal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import trajectories as tj
from trajectories import models
from trajectories.fitting.diagnostics import ConvergenceError
from trajectories.fitting.likelihood_tests import likelihood_ratio
from trajectories.fitting.marginal_fit import MarginalFit
from trajectories.fitting.marginal_peak import maximum
from trajectories.fitting.point import PointFit

sys.path.insert(0, str(Path(__file__).parent))
import gaussian_cases
from fifty_patients import fifty_patients

COUNTS = "relapses ~ arm * period + (1 | patient)"
SLOPES = "relapses ~ arm + years + (1 + years | patient)"


@cache
def counts(formula: str = COUNTS, quadrature: int = 15) -> PointFit:
    return tj.maximise(
        models.RelapseCounts(formula, family="poisson"), fifty_patients(), quadrature=quadrature
    )


@cache
def ordinal(formula: str = "edss ~ arm * years + (1 | patient)") -> PointFit:
    return tj.maximise(models.OrdinalMixed(formula), fifty_patients())


# R 4.2.2, lme4 1.1-31: confint(glmer(relapses ~ arm * period + offset(log(exposure)) + (1 | patient), poisson, nAGQ = 15)) on the rows of
# this design; and of relapses ~ arm + years + (1 + years | patient) with devtol = 1e-6, Laplace, as lme4 has nothing else with a slope.
GLMER = {
    "arm[new]": (-1.02452772, 0.14041385),
    "period[after]": (-0.89515879, -0.21203450),
    "arm[new]:period[after]": (-0.88809643, 0.25280497),
    "sd(intercept)": (0.43486544, 0.91424070),
}
GLMER_SLOPES = {
    "arm[new]": (-1.092804157, -0.13005395),
    "years": (-0.539729732, -0.17279858),
    "sd(intercept)": (0.360508697, 0.91121851),
    "sd(years)": (0.0, 0.38167648),
}


@pytest.mark.parametrize("term", GLMER)
def test_profile_intervals_are_those_of_glmer(term: str) -> None:
    fit = counts()
    interval = fit.profile(term)
    assert (interval.lower, interval.upper) == pytest.approx(GLMER[term], abs=5e-4)
    assert interval.estimate == pytest.approx(fit.summary().loc[term, "estimate"])


@pytest.mark.parametrize("term", GLMER_SLOPES)
def test_profile_intervals_with_slopes_are_those_of_glmer(term: str) -> None:
    interval = counts(SLOPES, 1).profile(term)
    assert (interval.lower, interval.upper) == pytest.approx(GLMER_SLOPES[term], abs=1e-3)
    assert ("the lower limit is 0" in str(interval)) == (term == "sd(years)")


def test_the_log_likelihood_has_dropped_by_half_the_quantile_at_the_limits() -> None:
    # Refitted with all starts of the ladder, not from the neighbouring point of the profile.
    fit = ordinal()
    assert isinstance(fit.solution, MarginalFit)
    shape, scale = fit.solution.likelihood.shape, fit.solution.adaptor.x.sd[2]
    interval = fit.profile("arm[new]:years", 0.9)
    for value in (interval.lower, interval.upper):
        top = maximum(fit.solution.likelihood, held={shape.own + 2: value * scale})
        drop = 2 * (fit.loglik - top.loglik)
        assert drop == pytest.approx(stats.chi2.ppf(0.9, 1), abs=0.01)


def test_a_standard_deviation_does_not_depend_on_how_its_profile_is_written() -> None:
    # With correlated slopes the sd of the intercept is no coordinate of the fit; at its limits the covariance of the effects is refitted by
    # an independent search over (sd, the other sd, correlation), all other parameters free.
    from scipy.optimize import minimize

    fit = ordinal("edss ~ years + (1 + years | patient)")
    assert isinstance(fit.solution, MarginalFit)
    solution, interval = fit.solution, fit.profile("sd(intercept)")
    shape, adaptor = solution.likelihood.shape, solution.adaptor
    shift, spread = adaptor.z.mean[1], adaptor.z.sd[1]

    def fall(x: np.ndarray, sd: float) -> float:
        slope, correlation = np.exp(x[-2]), np.tanh(x[-1])
        covariance = np.array([[sd**2, sd * slope * correlation], [sd * slope * correlation, slope**2]])
        to = np.array([[1.0, shift], [0.0, spread]])
        root = np.linalg.cholesky(to @ covariance @ to.T)
        return -solution.likelihood.value(np.concatenate([x[:-2], root[np.tril_indices(2)]]))

    start = np.concatenate([solution.theta[: shape.own + shape.terms], [np.log(0.8), 0.1]])
    found = minimize(fall, start, args=(interval.upper,), method="BFGS", options={"gtol": 1e-3})
    assert 2 * (fit.loglik + found.fun) == pytest.approx(stats.chi2.ppf(0.95, 1), abs=0.01)


def test_without_any_variance_the_interval_begins_at_zero() -> None:
    names = np.repeat(fifty_patients().patients["patient"].to_numpy(), 3)
    days = np.tile([-200, -100, 100], fifty_patients().n_patients)
    relapses = pd.DataFrame({"patient": names, "day": days, "years": days / 365.25})
    fit = tj.maximise(
        models.RelapseCounts("relapses ~ arm + (1 | patient)", family="poisson"),
        replace(fifty_patients(), relapses_table=relapses),
    )
    interval = fit.profile("sd(intercept)")
    assert interval.lower == 0
    assert 0.02 < interval.upper < 1
    smaller = tj.maximise(
        models.RelapseCounts("relapses ~ arm", family="poisson"),
        replace(fifty_patients(), relapses_table=relapses),
    )
    test = likelihood_ratio(smaller, fit)
    assert test.statistic == pytest.approx(0, abs=1e-6)
    assert test.p_value > 0.49


def test_a_maximum_that_is_none_is_found_out() -> None:
    fit = counts()
    assert isinstance(fit.solution, MarginalFit)
    low = replace(fit, solution=replace(fit.solution, loglik=fit.loglik - 3.0))
    with pytest.raises(ConvergenceError, match="not at the maximum"):
        low.profile("arm[new]")


# Likelihood-ratio tests


def test_ratio_is_that_of_glmer() -> None:
    # anova(glmer …, glmer …), nAGQ = 15
    test = likelihood_ratio(counts("relapses ~ arm + period + (1 | patient)"), counts())
    assert (test.statistic, test.df) == (pytest.approx(1.19900829, abs=1e-4), 1)
    assert test.p_value == pytest.approx(0.27352, abs=1e-5)
    assert test.reference == "χ² with 1 df"
    assert "50 patients, 100 rows" in str(test)


def test_ratio_is_that_of_clmm() -> None:
    # R's ordinal 2022.11-16: anova(clmm …, clmm …), nAGQ = 7
    smaller = ordinal("edss ~ arm + years + (1 | patient)")
    assert smaller.loglik == pytest.approx(-214.629371, abs=1e-4)
    test = likelihood_ratio(smaller, ordinal())
    assert (test.statistic, test.df) == (pytest.approx(1.38414, abs=1e-4), 1)
    assert test.p_value == pytest.approx(0.2394, abs=5e-5)


def test_a_single_variance_has_half_the_p_value() -> None:
    # glm(relapses ~ arm * period + offset(log(exposure)), poisson): log-likelihood −201.7405549
    smaller = counts("relapses ~ arm * period")
    assert smaller.loglik == pytest.approx(-201.7405549, abs=1e-6)
    test = likelihood_ratio(smaller, counts())
    assert test.reference == "50:50 mixture of χ² with 0 and 1 df"
    assert test.p_value == pytest.approx(stats.chi2.sf(test.statistic, 1) / 2)
    assert "on the boundary" in str(test)


def test_a_slope_of_patients_is_tested_against_the_mixture_of_one_and_two() -> None:
    larger = ordinal("edss ~ arm * years + (1 + years | patient)")
    test = likelihood_ratio(ordinal(), larger)
    expected = (stats.chi2.sf(test.statistic, 1) + stats.chi2.sf(test.statistic, 2)) / 2
    assert (test.df, test.p_value) == (2, pytest.approx(expected))


def test_a_dispersion_is_a_variance_too() -> None:
    larger = tj.maximise(models.RelapseCounts(COUNTS), fifty_patients(), quadrature=15)
    test = likelihood_ratio(counts(), larger)
    assert test.reference == "50:50 mixture of χ² with 0 and 1 df"
    by_arm = tj.maximise(models.RelapseCounts(COUNTS, dispersion_by="arm"), fifty_patients(), quadrature=15)
    both = likelihood_ratio(counts(), by_arm)
    assert (both.df, both.reference) == (2, "χ² with 2 df")
    assert "p-value is too large" in str(both)
    with pytest.raises(ValueError, match="more dispersions"):
        likelihood_ratio(larger, counts())


def test_the_mixture_holds_its_level() -> None:
    # Under the smaller model the statistic is 0 about half of the time, a little more in small samples.
    model = (models.RelapseCounts("relapses ~ 1 + (1 | patient)", family="poisson"), "relapses ~ 1")
    truth = tj.RelapseTruth(before=1.0, after={"a": 1.0}, frailty=0.0, patient_sd=0.0, dispersion=0.0)
    p = []
    for seed in range(40):
        made = tj.simulate_cohort(patients={"a": 40}, seed=seed, relapses=truth)
        larger = tj.maximise(model[0], made)
        smaller = tj.maximise(models.RelapseCounts(model[1], family="poisson"), made)
        p.append(likelihood_ratio(smaller, larger).p_value)
    zero = float(np.mean(np.array(p) > 0.45))
    assert 0.35 < zero < 0.8  # 0.5 to 0.6, ± 2.5 standard errors of 40
    assert np.mean(np.array(p) < 0.1) < 0.25


def test_the_gaussian_fits_of_maximum_likelihood_are_compared_and_no_others() -> None:
    made = gaussian_cases.cohort("slopes")
    smaller, larger = (
        tj.maximise(models.GaussianMixed(formula), made)
        for formula in ("edss ~ arm + years + (1 | patient)", "edss ~ arm * years + (1 | patient)")
    )
    test = likelihood_ratio(smaller, larger)
    assert test.statistic == pytest.approx(2 * (larger.loglik - smaller.loglik))
    assert test.df == 1
    reml = tj.maximise(larger.model, made, method="reml")
    with pytest.raises(ValueError, match="restricted likelihoods"):
        likelihood_ratio(smaller, reml)


def not_nested() -> list[tuple[str, Callable[[], tuple[PointFit, PointFit]], str]]:
    gee = lambda: tj.maximise(models.RelapseCounts("relapses ~ arm"), fifty_patients(), method="gee")  # noqa: E731
    probit = lambda: tj.maximise(  # noqa: E731
        models.OrdinalMixed("edss ~ arm * years + (1 | patient)", link="probit"), fifty_patients()
    )
    return [
        ("gee", lambda: (gee(), counts()), "GEE has no likelihood"),
        ("outcome", lambda: (counts(), ordinal()), "one predicts 'relapses', the other 'edss'"),
        ("link", lambda: (ordinal("edss ~ arm + years + (1 | patient)"), probit()), "links differ"),
        ("nodes", lambda: (counts(SLOPES, 1), counts()), "different numbers of nodes"),
        ("terms", lambda: (counts(), counts("relapses ~ arm + (1 | patient)")), "lacks fixed terms"),
        ("same", lambda: (counts(), counts()), "no parameter more"),
        ("order", lambda: (counts(), counts("relapses ~ arm * period")), "lacks patient-varying terms"),
    ]


@pytest.mark.parametrize(
    ("make", "message"), [case[1:] for case in not_nested()], ids=[case[0] for case in not_nested()]
)
def test_fits_that_are_not_nested_are_refused(
    make: Callable[[], tuple[PointFit, PointFit]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        likelihood_ratio(*make())


def test_other_rows_are_refused() -> None:
    fewer = replace(fifty_patients(), visits_table=fifty_patients().visits.iloc[:-1])
    other = tj.maximise(models.OrdinalMixed("edss ~ arm + years + (1 | patient)"), fewer)
    with pytest.raises(ValueError, match="50 patients with 199 rows against 50 with 200"):
        likelihood_ratio(other, ordinal())


def test_a_larger_model_that_fits_worse_is_refused() -> None:
    larger = counts()
    assert isinstance(larger.solution, MarginalFit)
    worse = replace(larger, solution=replace(larger.solution, loglik=larger.loglik - 5))
    with pytest.raises(ConvergenceError, match="lower log-likelihood"):
        likelihood_ratio(counts("relapses ~ arm + period + (1 | patient)"), worse)
