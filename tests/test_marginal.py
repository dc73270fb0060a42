"""The integrated likelihood: against brute force, its derivatives, and what `tj.maximise` makes of good, odd and bad cohorts."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest

import trajectories as tj
from trajectories import models
from trajectories.fitting import marginal_rows
from trajectories.fitting.diagnostics import ConvergenceError
from trajectories.fitting.marginal import Integrated, double_precision
from trajectories.fitting.marginal_fit import fit_marginal
from trajectories.fitting.marginal_rows import Rows, Shape, blocks
from trajectories.formulas import FormulaError
from trajectories.models.blocks.densities import (
    FAR,
    negative_binomial_logpmf,
    ordinal_logpmf,
    poisson_logpmf,
)

VISITS = (4, 4, 1, 4, 4)  # by patient

SHAPES = {
    "ordinal logit, 1 effect": Shape(family="ordinal", levels=4, terms=2, effects=1),
    "ordinal logit, 2 effects": Shape(family="ordinal", levels=4, terms=2, effects=2),
    "ordinal logit, 3 effects": Shape(family="ordinal", levels=4, terms=2, effects=3),
    "ordinal probit, 1 effect": Shape(family="ordinal", link="probit", levels=4, terms=2, effects=1),
    "ordinal probit, 2 effects": Shape(family="ordinal", link="probit", levels=4, terms=2, effects=2),
    "binary, 1 effect": Shape(family="ordinal", levels=2, terms=2, effects=1),
    "poisson, 1 effect": Shape(family="poisson", terms=2, effects=1),
    "poisson, 2 effects": Shape(family="poisson", terms=2, effects=2),
    "negative binomial, 1 effect": Shape(family="negative binomial", groups=1, terms=2, effects=1),
    "negative binomial by group, 2 effects": Shape(family="negative binomial", groups=2, terms=2, effects=2),
}
DIFFERENTIATED = (
    "ordinal logit, 2 effects",
    "ordinal probit, 1 effect",
    "poisson, 1 effect",
    "negative binomial by group, 2 effects",
)
NODES = {1: 31, 2: 21, 3: 13}


def rows_of(shape: Shape, visits: tuple[int, ...] = VISITS) -> Rows:
    rng = np.random.default_rng(5)
    n = sum(visits)
    patient = rng.permutation(np.repeat(np.arange(len(visits)), visits))
    top = shape.levels or 5
    return Rows(
        outcome=np.concatenate([np.arange(top), rng.integers(0, top, n - top)]),
        X=rng.normal(size=(n, shape.terms)),
        Z=np.column_stack([np.ones(n), rng.normal(size=(n, 2))])[:, : shape.effects],
        patient=patient,
        offset=np.zeros(n) if shape.levels else rng.normal(0, 0.5, n),
        group=rng.integers(0, max(shape.groups, 1), n),
    )


def theta_of(shape: Shape) -> np.ndarray:
    own = np.concatenate([[-1.2], np.log([1.1, 0.7])])[: shape.levels - 1]
    if not shape.levels:
        own = np.concatenate([[0.3], np.log([0.6, 1.7])])[: 1 + shape.groups]
    entries = [1.3, -0.4, 0.8, 0.3, 0.2, 0.5][: shape.effects * (shape.effects + 1) // 2]
    return np.concatenate([own, [0.7, -0.5], entries])


def log_density(shape: Shape, rows: Rows, theta: np.ndarray, eta: np.ndarray) -> np.ndarray:
    """Of each row (first axis) by NumPy, at linear predictors without the intercept or cutpoints."""
    own = theta[: shape.own]
    y = rows.outcome[(...,) + (None,) * (eta.ndim - 1)]
    if shape.levels:
        ends = np.concatenate([[-FAR], own[:1], own[:1] + np.cumsum(np.exp(own[1:])), [FAR]])
        return ordinal_logpmf(ends[y + 1] - eta, ends[y] - eta, shape.link, np)
    if shape.family == "poisson":
        return poisson_logpmf(y, own[0] + eta, np)
    dispersion = np.exp(own[1:])[rows.group][(...,) + (None,) * (eta.ndim - 1)]
    return negative_binomial_logpmf(y, own[0] + eta, dispersion, np)


def parts(shape: Shape, rows: Rows, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fixed part of the linear predictor, and the columns that multiply standard normal effects."""
    q = shape.effects
    factor = np.zeros((q, q))
    factor[np.tril_indices(q)] = theta[shape.own + shape.terms :]
    return rows.offset + rows.X @ theta[shape.own : shape.own + shape.terms], rows.Z @ factor


def brute_force(shape: Shape, rows: Rows, theta: np.ndarray) -> np.ndarray:
    """Sum over a dense grid of effects, which for integrands that fade like a normal density is exact to many digits."""
    q = shape.effects
    line = np.arange(-9, 9.01, {1: 0.05, 2: 0.15, 3: 0.3}[q])
    v = np.stack(np.meshgrid(*[line] * q, indexing="ij"), axis=-1).reshape(-1, q)
    fixed, columns = parts(shape, rows, theta)
    logs = log_density(shape, rows, theta, fixed[:, None] + columns @ v.T)
    volume = q * np.log((line[1] - line[0]) / np.sqrt(2 * np.pi))
    total = []
    for i in range(rows.n_patients):
        integrand = logs[rows.patient == i].sum(axis=0) - (v**2).sum(axis=1) / 2
        total.append(np.log(np.exp(integrand - integrand.max()).sum()) + integrand.max() + volume)
    return np.array(total)


# The integral


@pytest.mark.parametrize("name", SHAPES)
def test_integrals_equal_brute_force(name: str) -> None:
    shape = SHAPES[name]
    rows, theta = rows_of(shape), theta_of(shape)
    likelihood = Integrated(shape=shape, rows=rows, quadrature=NODES[shape.effects])
    expected = brute_force(shape, rows, theta)
    np.testing.assert_allclose(likelihood.by_patient(theta), expected, rtol=0, atol=1e-6)
    assert likelihood.value(theta) == pytest.approx(expected.sum(), abs=1e-5)


def laplace_by_hand(shape: Shape, rows: Rows, theta: np.ndarray) -> np.ndarray:
    """h(v̂) − ½ log det M for the logit and Poisson densities, whose derivatives are short."""
    fixed, columns = parts(shape, rows, theta)
    own, y, q = theta[: shape.own], rows.outcome, shape.effects

    def derivatives(eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if shape.family == "poisson":
            mean = np.exp(own[0] + eta)
            return y - mean, -mean
        ends = np.concatenate([[-np.inf], own[:1], own[:1] + np.cumsum(np.exp(own[1:])), [np.inf]])
        upper, lower = (1 / (1 + np.exp(eta - ends[k])) for k in (y + 1, y))
        return upper + lower - 1, -(upper * (1 - upper) + lower * (1 - lower))

    total = []
    for i in range(rows.n_patients):
        mine, v = rows.patient == i, np.zeros(q)
        for _ in range(60):
            first, second = (d[mine] for d in derivatives(fixed + columns @ v))
            M = np.eye(q) - (columns[mine].T * second) @ columns[mine]
            step = np.linalg.solve(M, columns[mine].T @ first - v)
            v = v + step / max(1.0, np.linalg.norm(step))
        assert np.linalg.norm(step) < 1e-12
        h = log_density(shape, rows, theta, fixed + columns @ v)[mine].sum() - v @ v / 2
        total.append(h - np.linalg.slogdet(M)[1] / 2)
    return np.array(total)


@pytest.mark.parametrize("name", ["ordinal logit, 2 effects", "poisson, 1 effect"])
def test_one_node_is_laplace(name: str) -> None:
    shape = SHAPES[name]
    rows, theta = rows_of(shape), theta_of(shape)
    found = Integrated(shape=shape, rows=rows, quadrature=1).by_patient(theta)
    np.testing.assert_allclose(found, laplace_by_hand(shape, rows, theta), rtol=0, atol=1e-10)
    assert np.abs(found - brute_force(shape, rows, theta)).max() > 1e-3  # it is an approximation


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_derivatives_are_those_of_the_value(name: str) -> None:
    shape = SHAPES[name]
    theta = theta_of(shape)
    likelihood = Integrated(shape=shape, rows=rows_of(shape), quadrature=NODES[shape.effects])
    value, gradient = likelihood.gradient(theta)
    assert value == pytest.approx(likelihood.value(theta), rel=1e-13)
    steps = 1e-5 * np.eye(shape.size)
    slopes = [(likelihood.value(theta + e) - likelihood.value(theta - e)) / 2e-5 for e in steps]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(likelihood.scores(theta).sum(axis=0), gradient, rtol=1e-9, atol=1e-10)

    wide, free = 2e-3 * np.eye(shape.size), np.arange(shape.size)

    def corner(a: np.ndarray, b: np.ndarray) -> float:
        return likelihood.value(theta + a + b)

    second = np.array(
        [
            [corner(a, b) - corner(a, -b) - corner(-a, b) + corner(-a, -b) for b in wide] for a in wide
        ]
    ) / (4 * 2e-3**2)  # fmt: skip
    information = likelihood.information(theta, free)
    np.testing.assert_allclose(information, -second, atol=3e-5 * np.abs(information).max())
    some = np.array([0, shape.size - 1])
    np.testing.assert_allclose(
        likelihood.information(theta, some), information[np.ix_(some, some)], atol=1e-10
    )


def test_a_node_less_changes_the_derivatives_as_it_changes_the_value() -> None:
    # Nodes move with the parameters: derivatives with them held would be off where there are few nodes.
    shape = SHAPES["ordinal logit, 2 effects"]
    theta = theta_of(shape)
    likelihood = Integrated(shape=shape, rows=rows_of(shape), quadrature=3)
    steps = 1e-5 * np.eye(shape.size)
    slopes = [(likelihood.value(theta + e) - likelihood.value(theta - e)) / 2e-5 for e in steps]
    np.testing.assert_allclose(likelihood.gradient(theta)[1], slopes, rtol=1e-6, atol=1e-7)


def test_modes_are_where_the_integrand_is_highest() -> None:
    shape = SHAPES["ordinal logit, 2 effects"]
    rows, theta = rows_of(shape), theta_of(shape)
    modes, covariances = Integrated(shape=shape, rows=rows, quadrature=21).modes(theta)
    fixed, columns = parts(shape, rows, theta)
    for i in range(rows.n_patients):
        mine = rows.patient == i

        def h(v: np.ndarray, mine: np.ndarray = mine) -> float:
            return float(log_density(shape, rows, theta, fixed + columns @ v)[mine].sum() - v @ v / 2)

        e = 1e-3 * np.eye(2)
        slope = [(h(modes[i] + d) - h(modes[i] - d)) / 2e-3 for d in e]
        np.testing.assert_allclose(slope, 0, atol=1e-6)
        M = [
            [
                (h(modes[i] + a - b) + h(modes[i] - a + b) - h(modes[i] + a + b) - h(modes[i] - a - b)) / 4e-6
                for b in e
            ]
            for a in e
        ]
        np.testing.assert_allclose(covariances[i], np.linalg.inv(M), rtol=1e-4, atol=1e-6)


def test_order_of_rows_and_patients_does_not_matter() -> None:
    shape = SHAPES["ordinal logit, 2 effects"]
    rows, theta, rng = rows_of(shape), theta_of(shape), np.random.default_rng(2)
    order, number = rng.permutation(len(rows.outcome)), rng.permutation(rows.n_patients)
    moved = Rows(
        outcome=rows.outcome[order], X=rows.X[order], Z=rows.Z[order], patient=number[rows.patient[order]],
        offset=rows.offset[order], group=rows.group[order],
    )  # fmt: skip
    here, there = (Integrated(shape=shape, rows=r, quadrature=21) for r in (rows, moved))
    np.testing.assert_allclose(there.by_patient(theta)[number], here.by_patient(theta), rtol=1e-12)
    np.testing.assert_allclose(there.scores(theta)[number], here.scores(theta), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(there.gradient(theta)[1], here.gradient(theta)[1], rtol=1e-10)


def test_blocks_hold_every_row_once_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = SHAPES["poisson, 1 effect"]
    visits = (1, 1, 1, 2, 2, 9, 3, 1, 1, 17)
    rows, theta = rows_of(shape, visits), theta_of(shape)
    several = blocks(rows)
    assert len(several) > 1
    assert sum(block.arrays["weight"].sum() for block in several) == sum(visits)
    padding = sum(block.arrays["weight"].size for block in several)
    found = Integrated(shape=shape, rows=rows, quadrature=31).by_patient(theta)
    np.testing.assert_allclose(found, brute_force(shape, rows, theta), atol=1e-6)
    monkeypatch.setattr(marginal_rows, "MOST_BLOCKS", 1)
    assert len(blocks(rows)) == 1
    assert padding < blocks(rows)[0].arrays["weight"].size
    one = Integrated(shape=shape, rows=rows, quadrature=31).by_patient(theta)
    np.testing.assert_allclose(one, found, rtol=1e-12)


def test_patients_without_a_mode_are_an_error() -> None:
    shape = SHAPES["ordinal logit, 2 effects"]
    likelihood = Integrated(shape=shape, rows=rows_of(shape), quadrature=21)
    theta = theta_of(shape)
    before = likelihood.value(theta)
    lost = theta.copy()
    lost[shape.own] = np.nan
    for ask in (likelihood.value, likelihood.gradient, likelihood.scores, likelihood.modes):
        with pytest.raises(ConvergenceError, match="5 of 5 patients have no mode"):
            ask(lost)
    assert likelihood.value(theta) == pytest.approx(before, rel=1e-13)  # and the next is not spoilt


@pytest.mark.parametrize("name", ["ordinal logit, 2 effects", "ordinal probit, 1 effect"])
def test_a_level_without_any_probability_is_told_from_a_mode_that_was_not_found(name: str) -> None:
    shape = SHAPES[name]
    rows, theta = rows_of(shape), theta_of(shape)
    theta[1] = -np.inf  # the first two cutpoints coincide, and level 1 has probability 0
    had = len(np.unique(rows.patient[rows.outcome == 1]))
    likelihood = Integrated(shape=shape, rows=rows, quadrature=5)
    for ask in (likelihood.value, lambda at: likelihood.by_patient_at(np.stack([theta_of(shape), at]))):
        with pytest.raises(
            ConvergenceError, match=rf"a level that {had} of 5 patients had has probability 0"
        ):
            ask(theta)


@pytest.mark.parametrize(("effects", "quadrature"), [(0, 7), (4, 7), (1, 0)])
def test_sizes_that_cannot_be_integrated_are_refused(effects: int, quadrature: int) -> None:
    shape = SHAPES["poisson, 1 effect"]
    with pytest.raises(ValueError, match=r"1 to 3 terms|at least 1 node"):
        Integrated(shape=replace(shape, effects=effects), rows=rows_of(shape), quadrature=quadrature)


# The densities


RNG = np.random.default_rng(8)
LOWER = RNG.normal(0, 5, 200)
UPPER = LOWER + RNG.gamma(1.0, 1.0, 200)
COUNTS, LOG_MEAN = RNG.poisson(3, 200).astype(float), RNG.normal(0, 2, 200)
DISPERSION = np.concatenate([RNG.gamma(1, 1, 190), np.logspace(-12, -4, 10)])
DENSITIES = {
    "logit": (lambda a, b, xp: ordinal_logpmf(a, b, "logit", xp), (UPPER, LOWER)),
    "probit": (lambda a, b, xp: ordinal_logpmf(a, b, "probit", xp), (UPPER, LOWER)),
    "poisson": (lambda m, xp: poisson_logpmf(COUNTS, m, xp), (LOG_MEAN,)),
    "negative binomial": (
        lambda m, a, xp: negative_binomial_logpmf(COUNTS, m, a, xp),
        (LOG_MEAN, DISPERSION),
    ),
}


@pytest.mark.parametrize("name", DENSITIES)
def test_densities_are_the_same_in_jax_numpy_and_pytensor(name: str) -> None:
    density, at = DENSITIES[name]
    inputs = [pt.vector() for _ in at]
    graph = density(*inputs, pt)
    slopes_there = pt.grad(graph.sum(), inputs)
    value, *slopes = pytensor.function(inputs, [graph, *slopes_there], mode="FAST_COMPILE")(*at)
    np.testing.assert_allclose(value, density(*at, np), rtol=1e-10, atol=1e-10)
    with double_precision():
        ours, ours_slopes = jax.value_and_grad(
            lambda arguments: density(*arguments, jnp).sum(), argnums=0
        )(tuple(jnp.asarray(a) for a in at))  # fmt: skip
        in_jax = np.asarray(density(*[jnp.asarray(a) for a in at], jnp))
    assert in_jax.dtype == np.float64
    np.testing.assert_allclose(in_jax, value, rtol=1e-10, atol=1e-9)
    assert float(ours) == pytest.approx(value.sum(), rel=1e-10)
    for one, other in zip(ours_slopes, slopes, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


# Through maximise


LEVELS = np.array([1.0, 2.0, 3.5, 6.0])  # levels without anybody below, between and above
N = 24


def visits_of(seed: int = 3, *, patient_sd: float = 2.0, slope_sd: float = 0.0) -> pd.DataFrame:
    """24 patients × 5 visits on four levels, worse with time in the arm 'new'; the last patient has one visit."""
    rng = np.random.default_rng(seed)
    patient, years = np.repeat(np.arange(N), 5), np.tile(np.arange(5) / 2, N)
    new = patient % 2
    u, slope = rng.normal(0, patient_sd, N), rng.normal(0, slope_sd, N) if slope_sd else np.zeros(N)
    eta = u[patient] + (0.2 + 0.6 * new + slope[patient]) * years + rng.logistic(size=len(patient))
    table = pd.DataFrame(
        {"patient": patient, "years": years, "edss": LEVELS[np.searchsorted([-1.5, 0.3, 2.0], eta)]}
    )
    return table[(table["patient"] < N - 1) | (table["years"] == 0)].reset_index(drop=True)


def cohort_of(visits: pd.DataFrame) -> tj.Cohort:
    people = pd.DataFrame({"patient": np.arange(N)})
    people["arm"] = pd.Categorical(
        np.where(people["patient"] % 2, "new", "old"), categories=["old", "new"], ordered=True
    )
    people["age"] = 30.0 + people["patient"] % 7
    people["born"] = 1990.0 - people["age"]
    return tj.read_cohort(visits, patients=people)


MODEL = models.OrdinalMixed("edss ~ arm * years + (1 | patient)")


@pytest.fixture(scope="module")
def fit() -> tj.PointFit:
    return tj.maximise(MODEL, cohort_of(visits_of()))


def said(fit: tj.PointFit) -> str:
    return " ".join(fit.summary().attrs["caveats"])


def test_order_of_visits_and_names_do_not_matter(fit: tj.PointFit) -> None:
    shuffled = visits_of().sample(frac=1, random_state=1)
    other = tj.maximise(MODEL, cohort_of(shuffled))
    assert other.loglik == pytest.approx(fit.loglik, abs=1e-8)
    pd.testing.assert_frame_equal(other.summary(), fit.summary(), rtol=1e-5)


def test_the_unit_of_time_does_not_matter(fit: tj.PointFit) -> None:
    visits = visits_of()
    visits["days"] = 365.25 * visits["years"]
    days = tj.maximise(models.OrdinalMixed("edss ~ arm * days + (1 | patient)"), cohort_of(visits))
    assert days.loglik == pytest.approx(fit.loglik, abs=1e-8)
    a, b = fit.summary(), days.summary().rename(lambda term: term.replace("days", "years"))
    for term in a.index:
        unit = 365.25 if "years" in term else 1.0
        np.testing.assert_allclose(unit * b.loc[term], a.loc[term], rtol=1e-3, atol=1e-4, err_msg=term)


def test_the_unit_of_patient_slopes_does_not_matter() -> None:
    visits = visits_of()
    visits["days"] = 365.25 * visits["years"]
    years, days = (
        tj.maximise(models.OrdinalMixed(f"edss ~ arm * {t} + (1 + {t} | patient)"), cohort_of(visits))
        for t in ("years", "days")
    )
    assert days.loglik == pytest.approx(years.loglik, abs=1e-8)
    a, b = years.summary(), days.summary().rename(lambda term: term.replace("days", "years"))
    for term in a.index:
        unit = 365.25 if "years" in term and "cor" not in term else 1.0
        columns = ["estimate", "se"]  # the se of a slope a day is small, and is there
        np.testing.assert_allclose(unit * b.loc[term, columns], a.loc[term, columns], rtol=1e-3, atol=1e-4)


def test_fits_say_what_they_are(fit: tj.PointFit) -> None:
    summary = fit.summary()
    assert list(summary.columns) == ["estimate", "se", "lower", "upper"]
    assert np.isfinite(summary.to_numpy()).all()
    assert summary.attrs["patients"] == N
    assert "95% Wald" in summary.attrs["interval"]
    robust = fit.summary(robust=True)
    assert "robust" in robust.attrs["interval"]
    np.testing.assert_allclose(robust["estimate"], summary["estimate"])
    assert (np.abs(np.log(robust["se"] / summary["se"])) < np.log(2)).all()
    assert fit.aic == pytest.approx(-2 * fit.loglik + 2 * 7)  # 3 cutpoints, 3 terms, 1 sd


def test_empty_levels_have_no_probability(fit: tj.PointFit) -> None:
    assert "nobody has EDSS 0, 1.5, 2.5, 3, 4" in said(fit)
    parameters = fit.draws(50)
    cut = parameters["cutpoints"].isel(chain=0)
    names = list(cut["cutpoint"].to_numpy())
    below = [name for name in names if float(name.split("|")[1]) <= 1.0]
    above = [name for name in names if float(name.split("|")[0]) >= 6.0]
    assert (cut.sel(cutpoint=below) == -np.inf).all()
    assert (cut.sel(cutpoint=above) == np.inf).all()
    for first, second in (("1|1.5", "1.5|2"), ("2|2.5", "3|3.5"), ("3.5|4", "5.5|6")):
        np.testing.assert_allclose(cut.sel(cutpoint=first), cut.sel(cutpoint=second))
    assert (cut.sel(cutpoint="3.5|4").to_numpy() > cut.sel(cutpoint="2|2.5").to_numpy()).all()


def test_estimands_of_fits_with_empty_levels_are_numbers(fit: tj.PointFit) -> None:
    change = tj.change(fit, [1.0, 2.0])
    assert np.isfinite(tj.expected_edss(fit, [0.0, 2.0]).summary().select_dtypes("number").to_numpy()).all()
    assert np.isfinite(change.summary().select_dtypes("number").to_numpy()).all()
    contrast = tj.contrast(tj.change(fit, 2.0), "new", "old").summary()
    assert np.isfinite(contrast.select_dtypes("number").to_numpy()).all()
    stable = tj.stabilisation(fit, at=2.0, margin=0.5).summary()
    assert np.isfinite(stable.select_dtypes("number").to_numpy()).all()
    expected = tj.expected_edss(fit, 0.0).summary()["mean"]
    observed = visits_of().query("years == 0")["edss"].mean()
    assert expected.to_numpy() == pytest.approx(observed, abs=1.0)


# Bad input


def test_more_patient_effects_than_visits_are_refused() -> None:
    few = visits_of()
    few = few[few["years"] == 0]
    with pytest.raises(FormulaError, match=r"no patient has more than 1 rows.*intercept, years.*use fewer"):
        tj.maximise(
            models.OrdinalMixed("edss ~ arm + (1 + years | patient)"),
            cohort_of(few.assign(years=few["patient"] / N)),
        )


def test_a_constant_outcome_is_refused() -> None:
    with pytest.raises(ValueError, match="every edss is 2: there is nothing to explain"):
        tj.maximise(MODEL, cohort_of(visits_of().assign(edss=2.0)))


def test_separation_is_named() -> None:
    visits = visits_of()
    lowest = visits["patient"] % 2 == 1
    with pytest.raises(ConvergenceError, match=r"rises for ever, along .*arm\[new\]") as error:
        tj.maximise(MODEL, cohort_of(visits.assign(edss=visits["edss"].where(~lowest, 1.0))))
    assert "tj.sample(model, cohort)" in str(error.value)
    assert "LinAlgError" not in str(error.value)


def test_collinear_terms_are_named() -> None:
    with pytest.raises(FormulaError, match="the term 'born' follows exactly"):
        tj.maximise(models.OrdinalMixed("edss ~ age + born + years + (1 | patient)"), cohort_of(visits_of()))


@pytest.fixture(scope="module")
def relapsing() -> tj.Cohort:
    """300 patients in two arms whose counts have a normal patient effect, and a dispersion."""
    return tj.simulate_cohort(
        patients={"old": 150, "new": 150},
        seed=4,
        relapses=tj.RelapseTruth(
            before=1.5, after={"old": 1.0, "new": 0.5}, frailty=0.0, patient_sd=0.7, dispersion=0.4
        ),
        visits=tj.VisitSchedule(years=(-1, 0, 1, 2, 3)),
    )


def test_an_arm_without_events_is_named(relapsing: tj.Cohort) -> None:
    events = relapsing.relapses
    assert events is not None
    new = relapsing.patients.loc[relapsing.patients["arm"] == "new", "patient"]
    kept = events[~events["patient"].isin(new)]
    few = tj.read_cohort(
        relapsing.visits[["patient", "day", "edss"]],
        relapses=kept[["patient", "day"]],
        patients=relapsing.patients[["patient", "arm"]],
    )
    with pytest.raises(ValueError, match=r"along arm\[new\] there are rows without any event.*use tj.sample"):
        tj.maximise(models.RelapseCounts("relapses ~ arm + period + (1 | patient)"), few)


# The boundary of the parameters


def test_no_variance_between_patients_is_said_in_words() -> None:
    # Every patient goes once around the same five levels: patients differ less than chance would let them.
    visits, ring = visits_of(), np.array([1.0, 2.0, 3.5, 6.0, 2.0])
    turn = (visits["patient"] + 2 * visits["years"]).astype(int) % 5
    fit = tj.maximise(MODEL, cohort_of(visits.assign(edss=ring[turn])))
    assert "singular: no variance between patients is estimated" in said(fit)
    summary = fit.summary()
    assert summary.loc["sd(intercept)", "estimate"] == pytest.approx(0.0, abs=1e-3)
    assert summary.loc["sd(intercept)", "lower"] == 0.0
    assert np.isnan(
        summary.loc["sd(intercept)", ["se", "upper"]]
    ).all()  # its error is not 0 there, but unknown
    assert np.isfinite(summary.drop("sd(intercept)").to_numpy()).all()
    assert np.isfinite(fit.patient_effects().to_numpy()).all()
    assert np.isfinite(tj.change(fit, 2.0).summary().select_dtypes("number").to_numpy()).all()


def test_a_correlation_of_one_is_said_in_words() -> None:
    # The truth has no patient slopes, and this cohort has less of them than chance would bring.
    fit = tj.maximise(
        models.OrdinalMixed("edss ~ arm * years + (1 + years | patient)"), cohort_of(visits_of(4))
    )
    assert "(intercept, years) is singular: rank 1 in place of 2" in said(fit)
    summary = fit.summary()
    assert abs(summary.loc["cor(intercept, years)", "estimate"]) == pytest.approx(1.0, abs=1e-6)
    assert np.isnan(summary.loc["cor(intercept, years)", ["se", "lower", "upper"]]).all()
    assert np.isfinite(summary["estimate"]).all()
    assert summary.loc["arm[new]:years", "se"] > 0
    assert np.isfinite(fit.patient_effects().to_numpy()).all()


def test_counts_without_dispersion_are_said_in_words() -> None:
    cohort = tj.simulated_alemtuzumab_35()
    fit = tj.maximise(models.RelapseCounts("relapses ~ period + (1 | patient)"), cohort)
    poisson = tj.maximise(models.RelapseCounts("relapses ~ period + (1 | patient)", family="poisson"), cohort)
    assert "the counts vary no more than Poisson counts" in said(fit)
    assert fit.loglik == pytest.approx(poisson.loglik, abs=1e-3)
    ours, theirs = fit.summary(), poisson.summary()
    assert ours.loc["dispersion", "estimate"] == pytest.approx(0.0, abs=1e-4)
    np.testing.assert_allclose(ours.drop("dispersion"), theirs, rtol=1e-3, atol=1e-4)
    rates = tj.relapse_rate(fit).summary().select_dtypes("number")
    assert np.isfinite(rates.to_numpy()).all()


# The truth


def test_counts_recover_their_truth(relapsing: tj.Cohort) -> None:
    model = models.RelapseCounts("relapses ~ arm * period + (1 | patient)", dispersion_by="arm")
    fit = tj.maximise(model, relapsing)
    summary = fit.summary()
    truth = {
        "intercept": np.log(1.5),
        "arm[new]": 0.0,
        "period[after]": np.log(1.0 / 1.5),
        "arm[new]:period[after]": np.log(0.5 / 1.0),
        "sd(intercept)": 0.7,
        "dispersion(old)": 0.4,
        "dispersion(new)": 0.4,
    }
    assert set(summary.index) == set(truth)
    for term, value in truth.items():
        assert abs(summary.loc[term, "estimate"] - value) < 3 * summary.loc[term, "se"], term
        assert summary.loc[term, "se"] < 0.5, term  # and says something
    ratio = tj.contrast(tj.relapse_rate(fit), "new", "old", scale="ratio").summary()
    assert np.isfinite(ratio.select_dtypes("number").to_numpy()).all()


def test_levels_recover_their_truth() -> None:
    truth = tj.OrdinalTruth(slope=0.5, arm_slope={"new": -0.6}, patient_sd=3.0, slope_sd=0.8, correlation=0.4)
    cohort = tj.simulate_cohort(
        patients={"old": 120, "new": 120}, seed=6, relapses=None, disability=truth,
        visits=tj.VisitSchedule(years=(0, 1, 2, 3, 4)),
    )  # fmt: skip
    summary = tj.maximise(models.OrdinalMixed("edss ~ arm * years + (1 + years | patient)"), cohort).summary()
    expected = {
        "arm[new]": 0.0,
        "years": 0.5,
        "arm[new]:years": -0.6,
        "sd(intercept)": 3.0,
        "sd(years)": 0.8,
        "cor(intercept, years)": 0.4,
        "1.5|2": -3.3,
        "3.5|4": 2.4,
    }
    for term, value in expected.items():
        assert abs(summary.loc[term, "estimate"] - value) < 3 * summary.loc[term, "se"], term
        assert summary.loc[term, "se"] < 0.6, term


def test_a_search_says_how_far_it_is() -> None:
    cohort = tj.simulated_alemtuzumab_35()
    model = models.RelapseCounts("relapses ~ period + (1 | patient)")
    said: list[str] = []
    fit = fit_marginal(model, model.design(cohort), report=said.append)
    assert said[0].startswith("35 patients, evaluation 1, log-likelihood -")
    assert any(f"log-likelihood {fit.loglik:,.3f}, still to gain about" in text for text in said)
