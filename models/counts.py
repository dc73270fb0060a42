"""What the count models share: negative binomial or Poisson rows with an exposure, and effects that may vary by patient."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any, Literal

import numpy as np
import xarray as xr

from trajectories.formulas import FormulaError, Matrices
from trajectories.models.base import MixedModel, Population
from trajectories.models.blocks import averaging, patient_effects, rate_effects
from trajectories.models.blocks.coefficients import (
    CoefficientPriors,
    check_coefficients,
    fixed_part,
    fixed_values,
    fixed_variables,
)
from trajectories.models.blocks.data import data, visit_coords
from trajectories.models.blocks.densities import negative_binomial_logpmf, poisson_logpmf
from trajectories.models.blocks.group_effects import labelled_sd
from trajectories.models.blocks.no_event import no_event_probability
from trajectories.models.blocks.patient_effects import PatientPriors
from trajectories.models.design import Design, Floats, Ints
from trajectories.priors import (
    LKJ,
    Exponential,
    HalfNormal,
    Normal,
    Prior,
    check_location,
    check_scale,
    variable,
)

__all__ = ["CountModel", "CountPriors", "Family", "dispersion_group", "exposure_of"]

type Family = Literal["negative binomial", "poisson"]


@dataclass(frozen=True, kw_only=True)
class CountPriors(CoefficientPriors, PatientPriors):
    """Priors of a count model, on the log scale of the expected count per unit of exposure.

    Parameters
    ----------
    intercept
        Of the log rate of a patient with effect 0 at the means of the columns.
    coefficients
        Of a log rate ratio, per standard deviation of its column.
    terms
        Of single terms by name, per unit of the term as the summary reports it; these replace `coefficients`.
    intercept_sd
        Of the patients' standard deviation on the log scale.
    slope_sd
        Of a further patient effect's standard deviation, per standard deviation of its column.
    correlation
        Of the patient effects.
    group_sd
        Of the standard deviation between the levels of a group, `(1 | centre)`, on the log scale; not used without one.
    dispersion
        Of α in Var = μ + αμ²; beside a patient effect it is what varies within a patient from row to row. Not used by the
        Poisson family.
    """

    intercept: Prior = Normal(0.0, 1.5)
    coefficients: Prior = Normal(0.0, 1.0)
    terms: Mapping[str, Prior] = field(default_factory=lambda: MappingProxyType({}))
    intercept_sd: HalfNormal | Exponential = HalfNormal(1.0)
    slope_sd: HalfNormal | Exponential = HalfNormal(1.0)
    correlation: LKJ = LKJ(2.0)
    group_sd: HalfNormal | Exponential = HalfNormal(0.5)
    dispersion: HalfNormal | Exponential = Exponential(1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_location("intercept", self.intercept)
        check_scale("dispersion", self.dispersion)


@dataclass(frozen=True)
class CountModel(MixedModel):
    """A model of counts y ~ NB2(μ, α), log μ = log(exposure) + intercept + x'β + z'u, u ~ N(0, Σ) by patient.

    A model of this kind says which rows there are (`design`) and what an event and a row are called.
    """

    formula: str
    family: Family = field(default="negative binomial", kw_only=True)
    dispersion_by: Literal["arm"] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.family not in ("negative binomial", "poisson"):
            raise ValueError(f"family must be 'negative binomial' or 'poisson', not {self.family!r}.")
        if self.dispersion_by not in (None, "arm"):
            raise ValueError(f"dispersion_by must be None or 'arm', not {self.dispersion_by!r}.")
        if self.dispersion_by and self.family == "poisson":
            raise ValueError(
                "Poisson counts have no dispersion to vary by arm: leave out dispersion_by, or family='poisson'."
            )

    @property
    @abstractmethod
    def priors(self) -> CountPriors:
        """The priors; change some with `with_priors`."""

    def _check(self, design: Design, more_rows: str) -> Design:
        """Refuse patient effects that cannot be told apart from α, and priors of terms that are not there.

        `more_rows` says how patients could have more rows.
        """
        self._check_effects(design, more_rows)
        check_coefficients(self.priors, design)
        return design

    def _check_effects(self, design: Design, more_rows: str) -> None:
        effects, most = len(design.effects), int(np.bincount(design.patient).max())
        if not effects or most > effects or self.family == "poisson":
            return
        what = "every patient has one row, so the patient effect"
        if most > 1:
            what = f"no patient has more rows ({most}) than there are patient effects ({effects}), so those"
        raise FormulaError(
            f"{what} of {self.formula!r} cannot be told apart from the dispersion: leave out '(1 | patient)' or an effect in it (the "
            f"dispersion then holds what varies){more_rows}."
        )

    def limitations(self, design: Design) -> tuple[str, ...]:
        """Say what this model assumes of this design that the reader should know."""
        several = int((np.bincount(design.patient) > 1).sum())
        if design.effects or not several:
            return ()
        return (
            f"{several} of {design.n_patients} patients have several rows, which {self.formula!r} treats as independent: the "
            "intervals of differences between patients are too narrow, within patients too wide; add '(1 | patient)'",
        )

    def build(self, design: Design, *, open_rows: bool = False) -> Any:
        """Make the PyMC model.

        The patients' part is parametrised in `blocks.rate_effects`.
        """
        import pymc as pm
        import pytensor.tensor as pt

        with pm.Model(coords=_coords(self, design) | visit_coords(len(design.frame), open_rows)) as model:
            counts = data("counts", design.outcome.astype(np.int64), dims="visit")
            intercept, beta = fixed_variables(self.priors.intercept, self.priors, design)
            eta = data("log_exposure", np.log(exposure_of(design)), dims="visit") + intercept
            if beta is not None:
                eta = eta + fixed_part(beta, design)
            if design.effects:
                eta = eta + rate_effects.linear_part(self.priors, design)
            dispersion = self._dispersions(len(model.coords["dispersed"]))
            if dispersion is not None:
                dispersion = dispersion[
                    data("dispersion_of_visit", dispersion_group(self, design), dims="visit")
                ]
            pm.Potential(design.formula.response, _logpmf(counts, eta, dispersion, pt).sum())
        return model

    def build_population(self, design: Design, integral: Callable[[Population], Any]) -> Any:
        """Make the PyMC model of the population parameters alone, with the variables that `build` makes of them."""
        import pymc as pm

        with pm.Model(coords=_coords(self, design)) as model:
            intercept, beta = fixed_variables(self.priors.intercept, self.priors, design)
            factor = rate_effects.factor_variable(self.priors, design.effects)
            dispersion = self._dispersions(len(model.coords["dispersed"]))
            pm.Potential(design.formula.response, integral(Population((intercept, dispersion), beta, factor)))
        return model

    def _dispersions(self, groups: int) -> Any:
        """Make the variable of the dispersions, if the family has them."""
        if self.family == "poisson":
            return None
        return variable("dispersion_internal", [self.priors.dispersion] * groups, "dispersed")

    def parameters(self, draws: Mapping[str, Any], design: Design) -> xr.Dataset:
        """Turn the sampler's variables into intercept, coefficients, dispersion and patient effects in the user's units."""
        d = {name: np.asarray(draws[name], dtype=float) for name in draws}
        own, beta, group_sd = self._drawn(d, design)
        effects, covariance = rate_effects.on_user_scale(self.priors, d, design, own[0].shape)
        return self._labelled(own, beta, effects, covariance, group_sd, design)

    def population(self, draws: Mapping[str, Any], design: Design) -> Population:
        """Turn variables of `build_population` (chain × draw × …) into what the likelihood needs."""
        d = {name: np.asarray(draws[name], dtype=float) for name in draws}
        own, beta, group_sd = self._drawn(d, design)
        return Population(own, beta, rate_effects.factor_of(self.priors, d, design.effects), group_sd)

    def with_effects(self, population: Population, standard: Floats, design: Design) -> xr.Dataset:
        """Turn population parameters and the patients' v (chain × draw × patient × effect) into parameters on the user's scale."""
        own, beta, factor, group_sd = population
        internal = patient_effects.from_standard(factor, standard)
        z = patient_effects.patient_scaling(design.formula.matrices.Z)
        effects, covariance = patient_effects.on_user_scale(internal, factor, z)
        return self._labelled(own, beta, effects, covariance, group_sd, design)

    def _drawn(
        self, d: dict[str, Floats], design: Design
    ) -> tuple[tuple[Floats, Floats | None], Floats | None, Floats | None]:
        """Read back from draws the intercept and the dispersions, the coefficients, and the standard deviations of the groups."""
        intercept, beta, group_sd = fixed_values(d, self.priors.intercept, self.priors, design)
        return (intercept, d.get("dispersion_internal")), beta, group_sd

    def _labelled(
        self,
        own: tuple[Floats, Floats | None],
        beta: Floats | None,
        effects: Floats,
        covariance: Floats,
        group_sd: Floats | None,
        design: Design,
    ) -> xr.Dataset:
        x, (intercept, dispersion) = design.scaling, own
        beta = np.zeros((*intercept.shape, 0)) if beta is None else beta / x.sd
        return patient_effects.labelled(
            design,
            beta,
            effects,
            covariance,
            intercept=(None, intercept - beta @ x.mean),
            **({} if dispersion is None else self.labelled_dispersion(dispersion, design)),
            **labelled_sd(group_sd, design),
        )

    def labelled_dispersion(
        self, dispersion: Floats, design: Design
    ) -> dict[str, tuple[tuple[str, list[Any]] | None, Floats]]:
        """Name the dispersion's dim: chain × draw × 1 becomes a scalar, chain × draw × arm has the arms."""
        if self.dispersion_by == "arm":
            return {"dispersion": (("arm", list(design.arms)), dispersion)}
        return {"dispersion": (None, dispersion[..., 0])}

    def log_likelihood(self, parameters: xr.Dataset, design: Design) -> xr.DataArray:
        """Log-probability of every row's count given the patient's effects: chain × draw × visit."""
        counts = design.outcome

        def terms(log_mean: Floats, dispersion: Floats | None) -> Floats:
            return np.asarray(_logpmf(counts, log_mean, dispersion, np))

        return self._over_rows(parameters, design, terms)

    def replicate(self, parameters: xr.Dataset, design: Design, rng: np.random.Generator) -> xr.DataArray:
        """Draw a new count for every row, the patient's effects and the person-years kept: chain × draw × visit."""

        def draw(log_mean: Floats, dispersion: Floats | None) -> Floats:
            mean = np.exp(log_mean)
            if dispersion is not None:  # NB2 is Poisson with a gamma mean; α = 0 has no gamma
                spread = np.maximum(dispersion, 1e-12)
                mean = mean * rng.gamma(np.broadcast_to(1 / spread, mean.shape)) * spread
            return rng.poisson(mean).astype(float)

        return self._over_rows(parameters, design, draw)

    def _over_rows(self, parameters: xr.Dataset, design: Design, function: Any) -> xr.DataArray:
        offset, groups = np.log(exposure_of(design)), dispersion_group(self, design)

        def of_rows(intercept: Floats, *rest: Floats) -> Floats:
            log_mean = offset + intercept[:, None] + rest[-1]
            dispersion = None
            if self.family == "negative binomial":
                dispersion = rest[0].reshape(len(intercept), -1)[:, groups]
            return np.asarray(function(log_mean, dispersion))

        extra = ("intercept",) if self.family == "poisson" else ("intercept", "dispersion")
        return patient_effects.over_visits(parameters, design, of_rows, *extra)

    def expectation(self, parameters: xr.Dataset, matrices: Matrices) -> xr.DataArray:
        """Mean rate per unit of exposure of new patients, one a row, exp(intercept + x'β + z'Σz/2): chain × draw × row.

        exp(intercept + x'β) would be the rate of a patient with effect 0, the median; the mean of log-normal rates is exp(σ²/2)
        times as high.
        """
        log_rate, sd = _new_patients(parameters, matrices)
        return _by_row(np.exp(log_rate + sd**2 / 2), parameters, "rate")

    def event_free(
        self,
        parameters: xr.Dataset,
        matrices: Matrices,
        exposure: float,
        *,
        arms: Sequence[str] | None = None,
    ) -> xr.DataArray:
        """Probability that a new patient has a count of 0 over an exposure, patient effects integrated out.

        P = ∫ (1 + αμ)^(−1/α) N(u; 0, Σ) du with μ = exposure · exp(intercept + x'β + z'u), the exposure taken as one row.

        Parameters
        ----------
        parameters
            Draws, from `parameters` or a maximum-likelihood fit.
        matrices
            The formula's matrices, one row a kind of patient.
        exposure
            In the unit of the rows, above 0.
        arms
            The arm of each row; needed with `dispersion_by="arm"`.

        Returns
        -------
        Probabilities, chain × draw × row.

        Raises
        ------
        ValueError
            If `arms` is needed and not given, or the parameters have no dispersion (a GEE).
        """
        log_rate, sd = _new_patients(parameters, matrices)
        dispersion = self._dispersion_of_rows(parameters, arms, len(matrices.X))
        return _by_row(
            no_event_probability(log_rate + np.log(exposure), sd, dispersion), parameters, "no_event"
        )

    def _dispersion_of_rows(
        self, parameters: xr.Dataset, arms: Sequence[str] | None, rows: int
    ) -> Floats | None:
        if self.family == "poisson":
            return None
        if "dispersion" not in parameters:
            raise ValueError(
                "these draws have no dispersion, and a probability of no event needs a distribution: fit by NUTS or by "
                "maximum likelihood, not by GEE."
            )
        if self.dispersion_by is None:
            return averaging.flat(parameters["dispersion"])[:, None]
        if arms is None or len(arms) != rows:
            raise ValueError("the dispersion differs by arm: give the arm of each row in `arms`.")
        return averaging.flat(parameters["dispersion"].sel(arm=list(arms)))


def _logpmf(counts: Any, log_mean: Any, dispersion: Any, xp: ModuleType) -> Any:
    if dispersion is None:
        return poisson_logpmf(counts, log_mean, xp)
    return negative_binomial_logpmf(counts, log_mean, dispersion, xp)


def _new_patients(parameters: xr.Dataset, matrices: Matrices) -> tuple[Floats, Floats]:
    """Log rate of a patient with effect 0 and standard deviation of the patients' part: samples × rows each."""
    beta = averaging.flat(parameters["coefficients"])
    log_rate = averaging.flat(parameters["intercept"])[:, None] + beta @ matrices.X.T
    variance = averaging.patient_variance(averaging.flat(parameters["patient_covariance"]), matrices.Z)
    return log_rate, np.sqrt(np.maximum(variance, 0.0))


def _by_row(samples: Floats, parameters: xr.Dataset, name: str) -> xr.DataArray:
    shape = (parameters.sizes["chain"], parameters.sizes["draw"], -1)
    return xr.DataArray(samples.reshape(shape), dims=("chain", "draw", "row"), name=name)


def exposure_of(design: Design) -> Floats:
    """Exposure of each row, which a design of counts must have."""
    if design.exposure is None:
        raise ValueError("a design of counts needs the exposure of each row: make it by the model's design.")
    return design.exposure


def dispersion_group(model: CountModel, design: Design) -> Ints:
    """Which dispersion each row has: the arm's place, or 0 for all."""
    if model.dispersion_by is None:
        return np.zeros(len(design.frame), dtype=np.int64)
    return np.asarray(design.frame["arm"].cat.codes, dtype=np.int64)


def _coords(model: CountModel, design: Design) -> dict[str, Any]:
    return {
        "one": ["all"],
        "dispersed": list(design.arms) if model.dispersion_by else ["all"],
        "term": list(design.fixed_terms),
        "effect": list(design.effects),
        "slope": list(design.effects[1:]),
        "patient": np.arange(design.n_patients),
    }
