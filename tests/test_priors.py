"""Priors as values: checked when made, shown in full, rescaled with the units, and turned into variables element by element."""

from __future__ import annotations

import dataclasses

import numpy as np
import pymc as pm
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trajectories.formulas import FormulaError
from trajectories.models.blocks.coefficients import CoefficientPriors, coefficient_priors
from trajectories.models.design import Scaling
from trajectories.priors import (
    LKJ,
    Exponential,
    HalfNormal,
    InducedDirichlet,
    Normal,
    StudentT,
    check_location,
    check_scale,
    values,
    variable,
)

SCIPY = {
    Normal: lambda p: stats.norm(p.mean, p.sd),
    StudentT: lambda p: stats.t(p.df, p.mean, p.scale),
    HalfNormal: lambda p: stats.halfnorm(scale=p.sd),
    Exponential: lambda p: stats.expon(scale=p.mean),
}
PRIORS = [Normal(0.5, 2.0), StudentT(4.0, -1.0, 0.5), HalfNormal(3.0), Exponential(0.7)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal(sd=0), "sd must be a positive number, not 0"),
        (lambda: Normal(sd=float("inf")), "sd must be a positive number, not inf"),
        (lambda: Normal(mean=float("nan")), "mean must be a finite number, not nan"),
        (lambda: StudentT(df=-1), "df must be a positive number, not -1"),
        (lambda: StudentT(scale=float("nan")), "scale must be a positive number, not nan"),
        (lambda: StudentT(mean=float("inf")), "mean must be a finite number, not inf"),
        (lambda: HalfNormal(-2), "sd must be a positive number, not -2"),
        (lambda: Exponential(0), "mean must be a positive number, not 0"),
        (lambda: LKJ(0), "shape must be a positive number, not 0"),
        (lambda: InducedDirichlet(-1), "concentration must be a positive number, not -1"),
    ],
)
def test_impossible_priors_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_priors_are_values():
    assert Normal(0, 1) == Normal(0, 1) != Normal(0, 2)
    assert len({Normal(0, 1), Normal(0, 1), HalfNormal(1)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Normal().sd = 3.0
    assert repr(StudentT(3, 0, 2.5)) == "StudentT(df=3, mean=0, scale=2.5)"


@pytest.mark.parametrize("prior", PRIORS, ids=repr)
@given(factor=st.floats(0.01, 100), x=st.floats(0.01, 5))
def test_rescaled_is_the_prior_of_the_multiple(prior, factor, x):
    before, after = SCIPY[type(prior)](prior), SCIPY[type(prior)](prior.rescaled(factor))
    assert after.cdf(factor * x) == pytest.approx(before.cdf(x), abs=1e-12)


def test_a_coefficient_takes_a_location_prior_and_a_standard_deviation_a_positive_one():
    check_location("x", Normal())
    check_location("x", StudentT())
    check_scale("x", HalfNormal())
    check_scale("x", Exponential())
    for bad in (HalfNormal(), LKJ(), 2.5):
        with pytest.raises(
            TypeError, match=r"the prior of slope must be Normal\(...\) or StudentT\(...\), not"
        ):
            check_location("slope", bad)
    for bad in (Normal(), None):
        with pytest.raises(
            TypeError, match=r"the prior of sd must be HalfNormal\(...\) or Exponential\(...\), not"
        ):
            check_scale("sd", bad)


MIXED = [Normal(0, 1), StudentT(3, 1, 2), Normal(5, 0.1), StudentT(4, 0, 1), Normal(-1, 2)]


@pytest.mark.parametrize("priors", [MIXED, [Normal(i, 1 + i) for i in range(5)]], ids=["mixed", "one kind"])
def test_each_element_has_its_own_prior_in_its_place(priors):
    with pm.Model(coords={"term": list("abcde")}) as model:
        combined = variable("beta", priors, "term")
        pm.Deterministic("combined", combined)
    rng = np.random.default_rng(1)
    point = {rv.name: rng.normal(size=rv.shape.eval()) for rv in model.free_RVs}
    read_back = values("beta", point, priors)
    shown = combined.eval({rv: point[rv.name] for rv in model.free_RVs})
    np.testing.assert_array_equal(read_back, shown)
    logp = sum(np.sum(pm.logp(rv, point[rv.name]).eval(mode="FAST_COMPILE")) for rv in model.free_RVs)
    expected = sum(SCIPY[type(p)](p).logpdf(x) for p, x in zip(priors, read_back, strict=True))
    assert logp == pytest.approx(expected, rel=1e-12)


def test_reading_back_keeps_leading_dims():
    draws = {
        "beta_Normal": np.arange(12.0).reshape(2, 2, 3),
        "beta_StudentT": np.arange(8.0).reshape(2, 2, 2),
    }
    together = values("beta", draws, MIXED)
    assert together.shape == (2, 2, 5)
    np.testing.assert_array_equal(together[0, 0], [0, 0, 1, 1, 2])


def test_priors_by_name_are_in_the_units_of_the_user():
    scaling = Scaling(mean=np.zeros(2), sd=np.array([2.0, 0.5]))
    priors = CoefficientPriors(coefficients=Normal(0, 2.5), terms={"years": Normal(1, 3)})
    assert coefficient_priors(priors, ("age", "years"), scaling) == [Normal(0, 2.5), Normal(0.5, 1.5)]


def test_a_prior_for_a_term_that_is_not_there():
    priors = CoefficientPriors(coefficients=Normal(), terms={"year": Normal()})
    with pytest.raises(FormulaError, match="a prior for 'year', but the formula's terms are: age, years"):
        coefficient_priors(priors, ("age", "years"), Scaling(mean=np.zeros(2), sd=np.ones(2)))
    wrong = CoefficientPriors(coefficients=Normal(), terms={"age": HalfNormal()})
    with pytest.raises(TypeError, match=r"the prior of terms\['age'\] must be Normal"):
        coefficient_priors(wrong, ("age",), Scaling(mean=np.zeros(1), sd=np.ones(1)))
