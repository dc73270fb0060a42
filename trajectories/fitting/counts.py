"""Counts by classical estimators: maximum likelihood of independent rows, and GEE for several rows a patient.

Functions of arrays (`CountData`), so that they also fit what is no cohort; `fit_counts` takes a model and its design.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from trajectories.fitting.count_fit import CountFit, CountMethod
from trajectories.fitting.count_likelihood import Weighting, maximum, separating_terms
from trajectories.fitting.diagnostics import ConvergenceError
from trajectories.fitting.groups import refuse_groups
from trajectories.fitting.robust import robust_covariance
from trajectories.models.counts import CountModel, Family
from trajectories.models.design import Design, Floats, Ints, PatientWeights

__all__ = [
    "CountData",
    "CountFit",
    "CountMethod",
    "check_maximum_exists",
    "count_gee",
    "count_likelihood",
    "fit_counts",
]

FEW_PATIENTS = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class CountData:
    """Counts to fit, as arrays.

    Parameters
    ----------
    counts
        Events a row, whole numbers.
    exposure
        Person-years a row, positive.
    X
        Rows × terms, without a column for the intercept.
    terms
        Names of the columns.
    patient
        Which patient each row is of, 0, 1, ….
    arm, arms
        Which arm each row is of, as a position in the names `arms`; only used for a dispersion by arm.
    effects
        Names of the patient effects of the formula, kept for the dims of the draws.
    weights
        Of the patients, each of whose rows has it; None for 1 each.
    """

    counts: Ints
    exposure: Floats
    X: Floats
    terms: tuple[str, ...]
    patient: Ints
    arm: Ints | None = None
    arms: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    weights: PatientWeights | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.exposure) & (np.asarray(self.exposure) > 0)).all():
            raise ValueError("every row needs a positive exposure.")
        counts = np.asarray(self.counts)
        if not (np.isfinite(counts) & (counts >= 0) & (counts == np.floor(counts))).all():
            raise ValueError("counts must be whole numbers of at least 0.")
        object.__setattr__(self, "counts", counts.astype(np.int64))

    @classmethod
    def of(cls, design: Design) -> CountData:
        """Take the arrays of a design."""
        if design.exposure is None:
            raise ValueError(
                "a design of counts needs the exposure of each row: make it by the model's design."
            )
        return cls(
            counts=design.outcome.astype(np.int64),
            exposure=design.exposure,
            X=design.formula.matrices.X,
            terms=design.terms,
            patient=design.patient,
            arm=np.asarray(design.frame["arm"].cat.codes, dtype=np.int64),
            arms=design.arms,
            effects=design.effects,
            weights=design.weights,
        )

    @property
    def weighting(self) -> Weighting | None:
        """The weights and the patient of each row."""
        if self.weights is None:
            return None
        return Weighting(patients=self.weights, patient=self.patient)


def fit_counts(
    model: CountModel,
    design: Design,
    method: CountMethod = "maximum likelihood",
    *,
    profiles: bool = True,
) -> CountFit:
    """Fit a count model to its design by a classical estimator.

    Parameters
    ----------
    model
        The specification.
    design
        From `model.design(cohort)`.
    method
        "maximum likelihood" of independent rows, for formulas without patient effects, or "gee", a marginal model, for several rows a patient.
    profiles
        Whether intervals and draws of dispersions are wanted, or the estimates alone.

    Raises
    ------
    ValueError
        If the method is neither, or a maximum does not exist.
    ConvergenceError
        If the estimates were not found.
    """
    refuse_groups(design, "a GEE" if method == "gee" else f"maximum likelihood of {type(model).__name__}")
    data = CountData.of(design)
    if method == "gee":
        return count_gee(data, family=model.family)
    if method != "maximum likelihood":
        raise ValueError(f"method must be 'maximum likelihood' or 'gee', not {method!r}.")
    if design.effects:
        raise ValueError(
            f"{model.formula!r} has patient effects, and these rows would be independent: its likelihood is that of `fit_marginal`."
        )
    return count_likelihood(data, family=model.family, dispersion_by=model.dispersion_by, profiles=profiles)


def count_likelihood(
    data: CountData,
    *,
    family: Family = "negative binomial",
    dispersion_by: Literal["arm"] | None = None,
    profiles: bool = True,
) -> CountFit:
    """Fit counts by maximum likelihood, rows independent: log μ = log(exposure) + intercept + x'β, Var = μ + αμ².

    Standard errors are from the observed information, which differs slightly from the expected one in R's `glm.nb`; the interval
    of a dispersion is its profile's.

    Parameters
    ----------
    data
        The counts.
    family
        "negative binomial", or "poisson" (α = 0).
    dispersion_by
        "arm" for one α an arm.
    profiles
        Whether intervals and draws of dispersions are wanted, or the estimates alone.

    Returns
    -------
    The estimates. If the likelihood is highest at α = 0 (the counts vary no more than Poisson counts) α is 0 and a note says so.

    Raises
    ------
    ValueError
        If the likelihood has no maximum, as with an arm in which nobody had an event.
    ConvergenceError
        If the maximum was not found.

    Source: Lawless (1987), Canadian Journal of Statistics 15:209, doi:10.2307/3314912.

    >>> data = CountData(counts=np.array([0, 1, 2, 0, 6, 3]), exposure=np.ones(6), X=np.zeros((6, 0)), terms=(), patient=np.arange(6))
    >>> count_likelihood(data).to_frame()["estimate"].round(3).to_dict()
    {'intercept': 0.693, 'dispersion': 0.798}
    """
    check_maximum_exists(data)
    arms: tuple[str, ...] = ()
    group: Ints | None = None
    if family == "negative binomial":
        group = np.zeros(len(data.counts), dtype=np.int64)
        if dispersion_by == "arm":
            if data.arm is None:
                raise ValueError("a dispersion by arm needs the arm of each row.")
            group, arms = data.arm, data.arms
    found = maximum(data.counts, data.X, data.exposure, group, data.weighting, profiles=profiles)
    return CountFit(
        method="maximum likelihood",
        terms=data.terms,
        coefficients=found.coefficients,
        dispersion=found.dispersion,
        dispersion_arms=arms,
        covariance=found.covariance,
        profiles=found.profiles,
        loglik=found.loglik,
        notes=(*_independence(data), *_at_zero(found.dispersion, arms)),
        effects=(),
    )


def count_gee(data: CountData, *, family: Family = "negative binomial") -> CountFit:
    """Fit a marginal model of counts by generalised estimating equations, an exchangeable correlation within patients.

    E y = exposure · exp(intercept + x'β): the coefficients are log ratios of population-average rates, as the mean over patients
    and not for a patient with effect 0. Var = μ + αμ² is the working variance, with α from maximum likelihood of independent
    rows; standard errors are robust (sandwich; of weighted patients as `without_each` says) and hold if it is wrong.

    Parameters
    ----------
    data
        The counts; some patients must have several rows.
    family
        The working variance: "negative binomial", or "poisson" (α = 0).

    Raises
    ------
    ValueError
        If every patient has one row, or no estimate exists, as with an arm in which nobody had an event.
    ConvergenceError
        If the estimating equations were not solved.

    Source: Liang and Zeger (1986), Biometrika 73:13, doi:10.1093/biomet/73.1.13.
    """
    rows = np.bincount(data.patient)
    if rows.max() == 1:
        raise ValueError(
            "every patient has one row, so there is nothing to correlate: use maximum likelihood."
        )
    check_maximum_exists(data)
    start = maximum(
        data.counts,
        data.X,
        data.exposure,
        np.zeros(len(data.counts), np.int64) if family != "poisson" else None,
        data.weighting,
        profiles=False,
    )
    alpha = float(start.dispersion[0]) if len(start.dispersion) else 0.0
    estimates, covariance, correlation = _solve_gee(data, alpha, start.coefficients)
    notes = [
        f"GEE, a marginal model: rate ratios of population averages; working variance {_variance(alpha)}, exchangeable correlation "
        f"{correlation:.2f}, robust standard errors; no likelihood, so no AIC and no probability of being relapse-free"
    ]
    patients = int((rows > 0).sum())
    if patients < FEW_PATIENTS:
        few = "too small" if data.weights is None else "rough"
        notes.append(f"robust standard errors are {few} with few patients ({patients})")
    return CountFit(
        method="gee",
        terms=data.terms,
        coefficients=estimates,
        dispersion=np.zeros(0),
        covariance=covariance,
        loglik=None,
        notes=tuple(notes),
        effects=data.effects,
    )


def _solve_gee(data: CountData, alpha: float, start: Floats) -> tuple[Floats, Floats, float]:
    import warnings

    from statsmodels.genmod import families
    from statsmodels.genmod.cov_struct import Exchangeable
    from statsmodels.genmod.generalized_estimating_equations import GEE

    family = families.NegativeBinomial(alpha=alpha) if alpha > 0 else families.Poisson()
    X = np.column_stack([np.ones(len(data.counts)), data.X])
    correlation = Exchangeable()
    model = GEE(
        data.counts, X, groups=data.patient, exposure=data.exposure, family=family, cov_struct=correlation,
        weights=None if data.weighting is None else data.weighting.rows,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is checked below
        result = model.fit(start_params=start, ctol=1e-10, maxiter=500)
    covariance = np.asarray(result.cov_params())
    if not (result.converged and np.isfinite(covariance).all()):
        raise ConvergenceError(
            "the estimating equations were not solved. What to try: leave out terms; family='poisson'; or tj.sample."
        )
    estimates, alike = np.asarray(result.params), float(correlation.dep_params)
    if data.weights is not None:
        scores, informations = _exchangeable(data, X, estimates, alpha, alike)
        bread = np.linalg.inv(informations.sum(axis=0))
        covariance = robust_covariance(bread, scores, informations, data.weights)
    return estimates, covariance, alike


def _exchangeable(
    data: CountData, X: Floats, estimates: Floats, alpha: float, alike: float
) -> tuple[Floats, Floats]:
    """Each patient's part of the estimating equations, D'V⁻¹(y − μ), and D'V⁻¹D, with weights.

    Of m rows with correlation ρ, R⁻¹ = (I − ρ J / (1 + (m − 1) ρ)) / (1 − ρ), so sums over the rows, divided by their SDs, are all it takes.
    """
    assert data.weights is not None
    w, patient = data.weights.values, data.patient
    mu = data.exposure * np.exp(X @ estimates)
    sd = np.sqrt(mu + alpha * mu**2)
    D, residual = X * (mu / sd)[:, None], (data.counts - mu) / sd
    both = np.column_stack([D, residual])
    products, sums = np.zeros((len(w), *[both.shape[1]] * 2)), np.zeros((len(w), both.shape[1]))
    np.add.at(products, patient, both[:, :, None] * both[:, None, :])
    np.add.at(sums, patient, both)
    shared = alike / (1 + (np.bincount(patient, minlength=len(w)) - 1) * alike)
    made = (products - shared[:, None, None] * sums[:, :, None] * sums[:, None, :]) / (1 - alike)
    made *= w[:, None, None]
    return made[:, :-1, -1], made[:, :-1, :-1]


def check_maximum_exists(data: CountData) -> None:
    """Raise a ValueError if the likelihood rises for ever along some terms, as with an arm in which nobody had an event."""
    without = separating_terms(data.counts, data.X, data.terms)
    if without:
        raise ValueError(
            f"no estimate exists: along {', '.join(without)} there are rows without any event, and their rate would be estimated as 0 "
            "(a log rate of minus infinity). Leave these terms out, or use tj.sample, whose priors keep the estimate finite."
        )


def _independence(data: CountData) -> tuple[str, ...]:
    several = int((np.bincount(data.patient) > 1).sum())
    if not several or data.weights is not None:  # with weights the sandwich is clustered by patient
        return ()
    return (
        f"{several} patients have several rows, treated as independent: intervals of differences between patients are too narrow, "
        "within patients too wide; method='gee' allows for it",
    )


def _at_zero(dispersion: Floats, arms: tuple[str, ...]) -> tuple[str, ...]:
    where = [f" in arm {arm}" for arm in arms] or [""]
    return tuple(
        f"the counts{where[g]} vary no more than Poisson counts: the dispersion is 0, and has no standard error"
        for g in np.flatnonzero(dispersion == 0)
    )


def _variance(alpha: float) -> str:
    return f"μ + {alpha:.2f}·μ²" if alpha > 0 else "μ"
