"""Profile-likelihood intervals of everything in a summary, against R's lme4, glm and glmmTMB, and against searches under a constraint."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import trajectories as tj
from trajectories import models
from trajectories.fitting.marginal_fit import MarginalFit
from trajectories.fitting.point import PointFit
from trajectories.reading import read_cohort

sys.path.insert(0, str(Path(__file__).parent))
import gaussian_cases
from fifty_patients import fifty_patients

REFERENCE = Path(__file__).parent / "reference"
ANSWERS = pd.read_csv(REFERENCE / "profile_reference.csv")


@cache
def gaussian() -> PointFit:
    return tj.maximise(
        models.GaussianMixed("edss ~ years + (1 + years | patient)"), gaussian_cases.cohort("slopes")
    )


@cache
def counts(family: str) -> PointFit:
    return tj.maximise(models.RelapseCounts("relapses ~ arm * period", family=family), fifty_patients())  # type: ignore[arg-type]


@cache
def binary() -> PointFit:
    cohort = read_cohort(pd.read_csv(REFERENCE / "profile_binary.csv"))
    return tj.maximise(models.OrdinalMixed("edss ~ years + (1 | patient)"), cohort, quadrature=15)


@cache
def ordinal() -> PointFit:
    return tj.maximise(models.OrdinalMixed("edss ~ years + (1 + years | patient)"), fifty_patients())


FITS: dict[str, Callable[[], PointFit]] = {
    "lmer": gaussian,
    "glm": lambda: counts("poisson"),
    "glmmTMB": lambda: counts("negative binomial"),
    "glmer": binary,
}


def test_r_had_the_rows_of_the_counts() -> None:
    design, rows = counts("poisson").design, pd.read_csv(REFERENCE / "profile_counts.csv")
    assert rows["relapses"].tolist() == design.outcome.tolist()
    assert rows["exposure"].to_numpy() == pytest.approx(design.exposure)
    assert rows[["arm", "period"]].to_numpy().tolist() == design.frame[["arm", "period"]].to_numpy().tolist()


@pytest.mark.parametrize(("case", "term"), ANSWERS[["case", "term"]].to_numpy().tolist())
def test_intervals_are_those_of_r(case: str, term: str) -> None:
    fit = FITS[case]()
    interval = fit.profile(term)
    expected = ANSWERS.set_index(["case", "term"]).loc[(case, term)]
    # R interpolates its profiles by splines
    near = 0.01 * float(fit.summary().loc[term, "se"])
    assert (interval.lower, interval.upper) == pytest.approx((expected["lower"], expected["upper"]), abs=near)
    assert interval.estimate == pytest.approx(fit.summary().loc[term, "estimate"])
    assert interval.to_frame().loc[term, "upper"] == interval.upper


def test_everything_in_the_summaries_is_compared() -> None:
    for case, fit in FITS.items():
        assert set(ANSWERS.loc[ANSWERS["case"] == case, "term"]) == set(fit().summary().index)


def test_the_intercept_of_a_binary_model_is_minus_a_cutpoint() -> None:
    cohort = read_cohort(pd.read_csv(REFERENCE / "profile_binary.csv"))
    model = models.BinaryMixed("edss ~ years + (1 | patient)", threshold=2.5)
    found = tj.maximise(model, cohort, quadrature=15).profile("intercept")
    cutpoint = binary().profile("2|2.5")
    assert (-found.upper, -found.lower) == pytest.approx((cutpoint.lower, cutpoint.upper), abs=2e-3)


def drop_under_constraint(fit: PointFit, term: str, value: float, start: np.ndarray) -> float:
    """Twice the drop of the integrated log-likelihood where the term has a value, by sequential quadratic programming under a constraint."""
    assert isinstance(fit.solution, MarginalFit)
    likelihood, adaptor = fit.solution.likelihood, fit.solution.adaptor

    def quantity(theta: np.ndarray) -> float:
        at = adaptor.dataset(theta[None]).isel(chain=0, draw=0)
        if "cor(" in term:
            return float(at["patient_correlation"][0])
        return float(at["cutpoints"].sel(cutpoint=term))

    def fall(theta: np.ndarray) -> tuple[float, np.ndarray]:
        loglik, slope = likelihood.gradient(theta)
        return -loglik, -slope

    found = optimize.minimize(
        fall, start, jac=True, method="SLSQP", options={"maxiter": 400, "ftol": 1e-10},
        constraints={"type": "eq", "fun": lambda theta: quantity(theta) - value},
    )  # fmt: skip
    assert abs(quantity(found.x) - value) < 1e-5
    return float(2 * (fit.loglik + found.fun))


@pytest.mark.parametrize("term", ["cor(intercept, years)", "3|3.5"])
def test_the_drop_at_a_limit_is_that_of_a_search_under_a_constraint(term: str) -> None:
    fit = ordinal()
    assert isinstance(fit.solution, MarginalFit)
    interval = fit.profile(term, 0.8)
    for value in (interval.lower, interval.upper):
        if abs(value) == 1:
            continue
        found = drop_under_constraint(fit, term, value, fit.solution.theta)
        assert found == pytest.approx(stats.chi2.ppf(0.8, 1), abs=0.01)


def test_a_gaussian_limit_where_the_correlation_is_at_its_end_is_that_of_a_search_by_brute_force() -> None:
    # lme4's own profile stops early here, at 0.199, where the log-likelihood has fallen by a third of what it should.
    fit = tj.maximise(
        models.GaussianMixed("edss ~ years + (1 + years | patient)"), gaussian_cases.cohort("singular")
    )
    upper = fit.profile("sd(years)").upper
    design, y = fit.design, fit.design.outcome
    X, Z = np.column_stack([np.ones(len(y)), design.formula.matrices.X]), design.formula.matrices.Z

    def fall(x: np.ndarray) -> float:
        sd, rho, residual = np.exp(x[2]), np.tanh(x[3]), np.exp(x[4])
        covariance = np.array([[sd**2, rho * sd * upper], [rho * sd * upper, upper**2]])
        return -sum(
            stats.multivariate_normal.logpdf(
                y[rows], X[rows] @ x[:2], Z[rows] @ covariance @ Z[rows].T + residual**2 * np.eye(len(rows))
            )
            for rows in design.rows_by_patient()
        )

    found = optimize.minimize(fall, [2.86, 0.35, 0.27, -0.5, -0.05], method="BFGS", options={"gtol": 1e-3})
    assert 2 * (fit.loglik + found.fun) == pytest.approx(stats.chi2.ppf(0.95, 1), abs=0.005)


def test_ends_of_what_is_possible_are_said() -> None:
    interval = ordinal().profile("cor(intercept, years)", 0.99)
    ends = [value for value in (interval.lower, interval.upper) if abs(value) == 1]
    assert ends
    assert "is compatible with the data" in str(interval)


def test_a_dispersion_of_zero_begins_its_interval() -> None:
    # the variance of these counts is below their mean
    names = np.repeat(fifty_patients().patients["patient"].to_numpy(), 3)
    days = np.tile([-200, -100, 100], fifty_patients().n_patients)
    relapses = pd.DataFrame({"patient": names, "day": days, "years": days / 365.25})
    cohort = replace(fifty_patients(), relapses_table=relapses)
    fit = tj.maximise(models.RelapseCounts("relapses ~ period"), cohort)
    interval = fit.profile("dispersion")
    assert (interval.estimate, interval.lower) == (0, 0)
    assert interval.upper == pytest.approx(fit.summary().loc["dispersion", "upper"], rel=1e-3)
    assert "dispersion = 0, the end of what is possible" in interval.notes[0]


def test_cutpoints_beside_an_empty_level_have_the_same_interval() -> None:
    fit = ordinal()  # nobody has 1.5
    one, other = fit.profile("1|1.5"), fit.profile("1.5|2")
    assert (one.lower, one.upper) == pytest.approx((other.lower, other.upper))


def test_restricted_likelihood_and_estimating_equations_are_refused() -> None:
    reml = tj.maximise(gaussian().model, gaussian_cases.cohort("slopes"), method="reml")
    with pytest.raises(ValueError, match="restricted likelihood"):
        reml.profile("years")
    gee = tj.maximise(models.RelapseCounts("relapses ~ arm"), fifty_patients(), method="gee")
    with pytest.raises(ValueError, match="GEE has no likelihood"):
        gee.profile("arm[new]")
    with pytest.raises(ValueError, match=r"no 'age' to profile, but: .*residual_sd"):
        gaussian().profile("age")


def test_robust_errors_of_few_patients_are_said_to_be_rough() -> None:
    made = tj.simulate_cohort(patients={"old": 20, "new": 20}, seed=1)
    fit = tj.maximise(models.RelapseCounts("relapses ~ arm + (1 | patient)", family="poisson"), made)
    said = "robust standard errors are rough with few patients (40)"
    assert said in fit.summary(robust=True).attrs["caveats"]
    assert said not in fit.summary().attrs["caveats"]
