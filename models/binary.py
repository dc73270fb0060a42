"""The binary mixed model: whether something holds at a visit, such as a walking aid or EDSS at or above a threshold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import xarray as xr

from trajectories import edss
from trajectories.cohort import Cohort
from trajectories.formulas import FormulaError, Matrices, response_of
from trajectories.models.base import MixedModel, Population
from trajectories.models.blocks import averaging, patient_effects
from trajectories.models.blocks.coefficients import (
    CoefficientPriors,
    check_coefficients,
    fixed_part,
    fixed_values,
    fixed_variables,
)
from trajectories.models.blocks.data import data, visit_coords
from trajectories.models.blocks.densities import FAR, Link, ordinal_logpmf
from trajectories.models.blocks.event_coordinates import event_coordinates, event_sums
from trajectories.models.blocks.event_rows import event_design
from trajectories.models.blocks.group_effects import labelled_sd
from trajectories.models.blocks.patient_effects import PatientPriors
from trajectories.models.design import Design, Floats
from trajectories.priors import LKJ, Exponential, HalfNormal, Normal, Prior, check_location

__all__ = ["BinaryMixed", "BinaryPriors"]


@dataclass(frozen=True, kw_only=True)
class BinaryPriors(CoefficientPriors, PatientPriors):
    """Priors of the binary mixed model, on the logit or probit scale.

    Parameters
    ----------
    intercept
        Of the linear predictor of a patient with effect 0 at the means of the columns.
    coefficients
        Of a fixed term, per standard deviation of its column.
    terms
        Of single terms by name, per unit of the term as the summary reports it; these replace `coefficients`.
    intercept_sd
        Of the patients' standard deviation at the mean time.
    slope_sd
        Of a patient slope's standard deviation, per standard deviation of its column.
    correlation
        Of the patient effects.
    group_sd
        Of the standard deviation between the levels of a group, `(1 | centre)`; not used without one.
    """

    intercept: Prior = Normal(0.0, 5.0)
    coefficients: Prior = Normal(0.0, 2.5)
    terms: Mapping[str, Prior] = field(default_factory=lambda: MappingProxyType({}))
    intercept_sd: HalfNormal | Exponential = HalfNormal(5.0)
    slope_sd: HalfNormal | Exponential = HalfNormal(2.5)
    correlation: LKJ = LKJ(2.0)
    group_sd: HalfNormal | Exponential = HalfNormal(2.5)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_location("intercept", self.intercept)


@dataclass(frozen=True)
class BinaryMixed(MixedModel):
    """The binary mixed model: a logistic or probit regression of visits, with effects that vary by patient.

    P(y_ij = 1) = F(intercept + x_ij'β + z_ij'u_i), u_i ~ N(0, Σ), F logistic or normal. The outcome is a column of the visits with 0 and 1
    (or true and false), or with `threshold` whether EDSS is at or above it. Coefficients are log odds ratios (logit) of one patient, which
    are larger than those of population averages; `tj.event_probability` gives the probabilities of populations.

    Visits of a patient are independent given the effects. A state that nobody leaves, such as a confirmed EDSS of 6, is an event in time:
    `tj.time_to`.

    Parameters
    ----------
    formula
        `column ~ fixed terms + (1 + years | patient)`; `+ (1 | centre)` adds effects of a column of the patients, one a level, from one
        normal distribution with mean 0, whose estimates are drawn towards each other.
    link
        "logit" or "probit".
    threshold
        A level of the EDSS, for the outcome `edss`: y = 1 where EDSS ≥ threshold. None for a column of 0 and 1.
    prior
        A `BinaryPriors`; None for the defaults, which `priors` shows.

    Raises
    ------
    ValueError
        If the link is neither, or the threshold is no level of the EDSS above 0; in `design`: if the outcome is the same at all visits.
    FormulaError
        If a threshold is given without the outcome `edss`, or the other way round; in `design`: if a term cannot be used.
    CohortError
        In `design`: if a value of the column is neither 0 nor 1.

    Source: Stiratelli, Laird and Ware (1984), Biometrics 40:961, doi:10.2307/2531147.

    Examples
    --------
    >>> import trajectories as tj
    >>> model = BinaryMixed("edss ~ arm * years + (1 | patient)", threshold=4.0)
    >>> fit = tj.maximise(model, tj.simulated_three_dmts_400())
    >>> fit.summary().loc["arm[alemtuzumab]:years", ["lower", "upper"]].lt(0).tolist()
    [True, True]
    """

    formula: str
    link: Link = field(default="logit", kw_only=True)
    threshold: float | None = field(default=None, kw_only=True)
    prior: BinaryPriors | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.link not in ("logit", "probit"):
            raise ValueError(f"link must be 'logit' or 'probit', not {self.link!r}.")
        if self.threshold is not None and self.threshold not in edss.LEVELS[1:]:
            raise ValueError(
                f"threshold must be a level of the EDSS above 0 (1, 1.5, … 10), not {self.threshold!r}."
            )
        if self.threshold is not None and self.response != "edss":
            raise FormulaError(
                f"a threshold is one of EDSS: the outcome of {self.formula!r} must be 'edss', or leave out threshold for a column of 0 and 1."
            )
        if self.threshold is None and self.response == "edss":
            raise FormulaError(
                f"EDSS is not 0 or 1: say from which level on it counts, BinaryMixed({self.formula!r}, threshold=6.0); for all levels "
                "use OrdinalMixed."
            )

    @property
    def response(self) -> str:
        """The column of visits that the outcome is of."""
        return response_of(self.formula)

    @property
    def event(self) -> str:
        """What y = 1 is, in words."""
        return self.response if self.threshold is None else f"EDSS ≥ {self.threshold:g}"

    @property
    def priors(self) -> BinaryPriors:
        """The priors; change some with `with_priors`."""
        return BinaryPriors() if self.prior is None else self.prior

    def design(self, cohort: Cohort) -> Design:
        """Make the design: one row a visit with the outcome, 1.0 or 0.0 in the column of the outcome."""
        design = event_design(self.formula, cohort, self.response, self.threshold)
        if not design.effects:
            raise FormulaError(
                f"a mixed model needs patient effects: add '(1 | patient)' to {self.formula!r}."
            )
        check_coefficients(self.priors, design)
        return design

    def build(self, design: Design, *, open_rows: bool = False) -> Any:
        """Make the PyMC model; the patients' part is parametrised in `blocks.event_coordinates`."""
        import pymc as pm
        import pytensor.tensor as pt

        with pm.Model(coords=_coords(design) | visit_coords(len(design.frame), open_rows)) as model:
            events = data("events", design.outcome, dims="visit")
            intercept, beta = fixed_variables(self.priors.intercept, self.priors, design)
            eta = intercept if beta is None else intercept + fixed_part(beta, design)
            eta = eta + self._patients(design, intercept, beta)
            pm.Potential("event", _log_probability(events, eta, self.link, pt).sum())
        return model

    def _patients(self, design: Design, intercept: Any, beta: Any) -> Any:
        """Make the variables of the patient effects in the open PyMC model, and their part of each visit's linear predictor."""
        import pymc as pm
        import pytensor.tensor as pt

        visits = data("patient_of_visit", design.patient, dims="visit")
        Z = patient_effects.patient_scaling(design.formula.matrices.Z).apply(design.formula.matrices.Z)
        columns = [data(f"Z_internal_{k}", column) for k, column in enumerate(Z.T)]
        effects = patient_effects.effect_variables(self.priors, design.effects)
        factor = effects.sd[:, None] * effects.cholesky
        sums = {name: data(name, array) for name, array in event_sums(design, self.link).items()}
        at = event_coordinates(sums, len(columns), intercept, beta, factor, pt)
        start = np.zeros(design.n_patients)  # the middle of the posterior, near enough, in these coordinates
        v: list[Any] = [None] * len(columns)
        for k in reversed(range(len(v))):
            z = pm.Normal(_coordinate(k), *at.prior(k, v), dims="patient", initval=start)
            v[k] = at.effect(k, z, v)
        rows = [sum(factor[k, j] * v[j] for j in range(k + 1))[visits] for k in range(len(v))]
        return sum(row * column for row, column in zip(rows, columns, strict=True))

    def build_population(self, design: Design, integral: Callable[[Population], Any]) -> Any:
        """Make the PyMC model of the population parameters alone, with the variables that `build` makes of them."""
        import pymc as pm

        with pm.Model(coords=_coords(design)) as model:
            intercept, beta = fixed_variables(self.priors.intercept, self.priors, design)
            effects = patient_effects.effect_variables(self.priors, design.effects)
            factor = effects.sd[:, None] * effects.cholesky
            pm.Potential("event", integral(Population((-intercept.reshape((1,)), None), beta, factor)))
        return model

    def parameters(self, draws: Mapping[str, Any], design: Design) -> xr.Dataset:
        """Turn the sampler's variables into intercept, coefficients and patient effects in the user's units."""
        d = {name: np.asarray(draws[name], dtype=float) for name in draws}
        population, q = self._drawn(d, design), len(design.effects)
        intercept = -population.own[0][..., 0]
        sums = event_sums(design, self.link)
        at = event_coordinates(sums, q, intercept, population.beta, population.factor, np)
        v: list[Any] = [None] * q
        for k in reversed(range(q)):
            v[k] = at.effect(k, d[_coordinate(k)], v)
        return self.with_effects(population, np.stack(v, axis=-1), design)

    def population(self, draws: Mapping[str, Any], design: Design) -> Population:
        """Turn variables of `build_population` (chain × draw × …) into what the likelihood needs."""
        return self._drawn({name: np.asarray(draws[name], dtype=float) for name in draws}, design)

    def _drawn(self, d: dict[str, Floats], design: Design) -> Population:
        intercept, beta, group_sd = fixed_values(d, self.priors.intercept, self.priors, design)
        factor = patient_effects.factor_values(self.priors, d, design.effects)
        return Population((-intercept[..., None], None), beta, factor, group_sd)

    def with_effects(self, population: Population, standard: Floats, design: Design) -> xr.Dataset:
        """Turn population parameters and the patients' v (chain × draw × patient × effect) into parameters on the user's scale."""
        x, intercept, beta = design.scaling, -population.own[0][..., 0], population.beta
        effects, covariance = patient_effects.on_user_scale(
            patient_effects.from_standard(population.factor, standard),
            population.factor,
            patient_effects.patient_scaling(design.formula.matrices.Z),
        )
        beta = np.zeros((*intercept.shape, 0)) if beta is None else beta / x.sd
        return patient_effects.labelled(
            design,
            beta,
            effects,
            covariance,
            intercept=(None, intercept - beta @ x.mean),
            **labelled_sd(population.group_sd, design),
        )

    def log_likelihood(self, parameters: xr.Dataset, design: Design) -> xr.DataArray:
        """Log-probability of every visit's outcome given the patient's effects: chain × draw × visit."""

        def terms(intercept: Floats, eta: Floats) -> Floats:
            eta = intercept[:, None] + eta
            return np.asarray(_log_probability(design.outcome, eta, self.link, np))

        return patient_effects.over_visits(parameters, design, terms, "intercept")

    def replicate(self, parameters: xr.Dataset, design: Design, rng: np.random.Generator) -> xr.DataArray:
        """Draw a new outcome, 0 or 1, for every visit, the patient's effects kept: chain × draw × visit."""

        def draw(intercept: Floats, eta: Floats) -> Floats:
            probability = averaging.distribution(intercept[:, None] + eta, self.link)
            return (rng.random(eta.shape) < probability).astype(float)

        return patient_effects.over_visits(parameters, design, draw, "intercept")

    def expectation(self, parameters: xr.Dataset, matrices: Matrices) -> xr.DataArray:
        """Probability of the event of a new patient, one a row, patient effects integrated out: chain × draw × row."""
        both = averaging.level_probabilities_by_row(*self._as_levels(parameters), matrices, self.link)
        shape = (parameters.sizes["chain"], parameters.sizes["draw"], len(matrices.X))
        return xr.DataArray(both[..., 1].reshape(shape), dims=("chain", "draw", "row"), name="probability")

    def averaged_probability(self, parameters: xr.Dataset, matrices: Matrices, weights: Floats) -> Floats:
        """Probability of the event averaged over weighted rows and new patients: samples."""
        both = averaging.level_probabilities(*self._as_levels(parameters), matrices, weights, self.link)
        return both[:, 1]

    @staticmethod
    def _as_levels(parameters: xr.Dataset) -> tuple[Floats, Floats, Floats]:
        """Coefficients, covariance and the one cutpoint of two levels, by sample."""
        return (
            averaging.flat(parameters["coefficients"]),
            averaging.flat(parameters["patient_covariance"]),
            -averaging.flat(parameters["intercept"])[:, None],
        )


def _log_probability(events: Any, eta: Any, link: Link, xp: ModuleType) -> Any:
    """Log-probability of 0 and 1: of two levels with the cutpoint 0 between them."""
    return ordinal_logpmf(FAR * events - eta, FAR * (events - 1.0) - eta, link, xp)


def _coordinate(k: int) -> str:
    return f"patient_coordinate_{k}"


def _coords(design: Design) -> dict[str, Any]:
    return {
        "one": ["all"],
        "term": list(design.fixed_terms),
        "effect": list(design.effects),
        "patient": np.arange(design.n_patients),
    }
