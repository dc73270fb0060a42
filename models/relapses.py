"""The count model of relapses: negative binomial or Poisson, with the observed person-years as exposure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any, ClassVar, Literal

import numpy as np
import xarray as xr

from trajectories.cohort import Cohort
from trajectories.formulas import FormulaError, Matrices
from trajectories.models.base import Design, Floats, Ints, MixedModel, Scaling
from trajectories.models.blocks import averaging, patient_effects, rate_effects
from trajectories.models.blocks.coefficients import (
    CoefficientPriors,
    coefficient_priors,
    coefficient_values,
    coefficient_variable,
    product,
)
from trajectories.models.blocks.densities import negative_binomial_logpmf, poisson_logpmf
from trajectories.models.blocks.no_event import no_event_probability
from trajectories.models.blocks.patient_effects import PatientPriors
from trajectories.models.blocks.relapse_rows import Windows, check_windows, relapse_design
from trajectories.priors import (
    LKJ,
    Exponential,
    HalfNormal,
    Normal,
    Prior,
    check_location,
    check_scale,
    values,
    variable,
)

__all__ = ["Family", "RelapseCounts", "RelapsePriors"]

type Family = Literal["negative binomial", "poisson"]


@dataclass(frozen=True, kw_only=True)
class RelapsePriors(CoefficientPriors, PatientPriors):
    """Priors of the count model, on the log scale of a rate per person-year.

    Parameters
    ----------
    intercept
        Of the log rate per person-year of a patient with effect 0 at the means of the columns; the default says 0.05 to 19
        relapses a year with probability 0.95.
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
    dispersion
        Of α in Var = μ + αμ²; beside a patient effect it is what varies within a patient from window to window. Not used by
        the Poisson family.
    """

    intercept: Prior = Normal(0.0, 1.5)
    coefficients: Prior = Normal(0.0, 1.0)
    terms: Mapping[str, Prior] = field(default_factory=lambda: MappingProxyType({}))
    intercept_sd: HalfNormal | Exponential = HalfNormal(1.0)
    slope_sd: HalfNormal | Exponential = HalfNormal(1.0)
    correlation: LKJ = LKJ(2.0)
    dispersion: HalfNormal | Exponential = Exponential(1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_location("intercept", self.intercept)
        check_scale("dispersion", self.dispersion)


@dataclass(frozen=True)
class RelapseCounts(MixedModel):
    """The count model of relapses: rates per person-year, with effects that may vary by patient.

    y_iw ~ NB2(μ_iw, α), Var = μ + αμ², log μ_iw = log(person-years_iw) + intercept + x_iw'β + z_iw'u_i, u_i ~ N(0, Σ), one row
    a patient i and window w of follow-up. Coefficients are log rate ratios. With normal patient effects the mean rate of a
    population is not exp(intercept + x'β), the rate of a patient with effect 0, but exp(intercept + x'β + z'Σz/2).

    Parameters
    ----------
    formula
        `relapses ~ fixed terms`, with `+ (1 | patient)` where patients have several windows. Besides the patients' covariates it
        may name `arm`, `period` ("before" or "after" the index date), `window` and `years` (middle of the window's observed time).
    family
        "negative binomial", or "poisson" (α = 0).
    windows
        Edges of the windows in years from the index date, as in `relapse_windows`; the last may be None, the end of follow-up.
        No window may straddle 0.
    dispersion_by
        None for one α, "arm" for one an arm.
    prior
        A `RelapsePriors`; None for the defaults, which `priors` shows.

    Raises
    ------
    ValueError
        If an option is none of those above, or a window straddles 0.
    FormulaError
        In `design`: if the outcome is not `relapses`, a term cannot be used, or the patient effects cannot be told apart from α
        because no patient has more rows than effects.

    Source: Lawless (1987), Canadian Journal of Statistics 15:209, doi:10.2307/3314912.

    >>> RelapseCounts("relapses ~ arm * period + (1 | patient)").priors.dispersion
    Exponential(mean=1.0)
    """

    formula: str
    family: Family = field(default="negative binomial", kw_only=True)
    windows: Windows = field(default=(-1.0, 0.0, None), kw_only=True)
    dispersion_by: Literal["arm"] | None = field(default=None, kw_only=True)
    prior: RelapsePriors | None = field(default=None, kw_only=True)

    outcome: ClassVar[str] = "relapses"

    def __post_init__(self) -> None:
        if self.family not in ("negative binomial", "poisson"):
            raise ValueError(f"family must be 'negative binomial' or 'poisson', not {self.family!r}.")
        if self.dispersion_by not in (None, "arm"):
            raise ValueError(f"dispersion_by must be None or 'arm', not {self.dispersion_by!r}.")
        if self.dispersion_by and self.family == "poisson":
            raise ValueError(
                "Poisson counts have no dispersion to vary by arm: leave out dispersion_by, or family='poisson'."
            )
        object.__setattr__(self, "windows", check_windows(self.windows))

    @property
    def priors(self) -> RelapsePriors:
        """The priors; change some with `with_priors`."""
        return RelapsePriors() if self.prior is None else self.prior

    def design(self, cohort: Cohort) -> Design:
        """Make the design: one row a patient and window of follow-up with observed time."""
        design = relapse_design(self.formula, cohort, self.windows)
        self._check_effects(design)
        coefficient_priors(self.priors, design.terms, _scaling(design))  # names of terms are checked here
        return design

    def _check_effects(self, design: Design) -> None:
        effects, most = len(design.effects), int(np.bincount(design.patient).max())
        if not effects or most > effects or self.family == "poisson":
            return
        what = "every patient has one row, so the patient effect"
        if most > 1:
            what = f"no patient has more rows ({most}) than there are patient effects ({effects}), so those"
        raise FormulaError(
            f"{what} of {self.formula!r} cannot be told apart from the dispersion: leave out '(1 | patient)' or an effect in it (the "
            "dispersion then holds what varies), or divide follow-up into more windows, such as windows=(-1, 0, 1, None)."
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

    def build(self, design: Design) -> Any:
        """Make the PyMC model.

        The patients' part is parametrised in `blocks.rate_effects`.
        """
        import pymc as pm
        import pytensor.tensor as pt

        with pm.Model(coords=_coords(self, design)) as model:
            counts = pm.Data("counts", design.outcome.astype(np.int64), dims="visit")
            eta = pm.Data("log_exposure", np.log(_exposure(design)), dims="visit")
            eta = eta + variable("intercept_internal", [self.priors.intercept], "one")[0]
            if design.terms:
                X = _scaling(design).apply(design.formula.matrices.X)
                priors = coefficient_priors(self.priors, design.terms, _scaling(design))
                eta = eta + product(pm.Data("X_internal", X), coefficient_variable(priors, X))
            if design.effects:
                eta = eta + rate_effects.linear_part(self.priors, design)
            dispersion = None
            if self.family == "negative binomial":
                groups = pm.Data("dispersion_of_visit", _dispersion_group(self, design), dims="visit")
                prior = [self.priors.dispersion] * len(model.coords["dispersed"])
                dispersion = variable("dispersion_internal", prior, "dispersed")[groups]
            pm.Potential("relapses", _logpmf(counts, eta, dispersion, pt).sum())
        return model

    def parameters(self, draws: Mapping[str, Any], design: Design) -> xr.Dataset:
        """Turn the sampler's variables into intercept, coefficients, dispersion and patient effects in the user's units."""
        d = {name: np.asarray(draws[name], dtype=float) for name in draws}
        x = _scaling(design)
        at_means = values("intercept_internal", d, [self.priors.intercept])[..., 0]
        beta = np.zeros((*at_means.shape, 0))
        if design.terms:
            beta = (
                coefficient_values(
                    d, coefficient_priors(self.priors, design.terms, x), x.apply(design.formula.matrices.X)
                )
                / x.sd
            )
        effects, covariance = rate_effects.on_user_scale(self.priors, d, design, at_means.shape)
        return patient_effects.labelled(
            design,
            beta,
            effects,
            covariance,
            intercept=(None, at_means - beta @ x.mean),
            **self.labelled_dispersion(d["dispersion_internal"], design)
            if "dispersion_internal" in d
            else {},
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
        offset, groups = np.log(_exposure(design)), _dispersion_group(self, design)

        def of_rows(intercept: Floats, *rest: Floats) -> Floats:
            log_mean = offset + intercept[:, None] + rest[-1]
            dispersion = None
            if self.family == "negative binomial":
                dispersion = rest[0].reshape(len(intercept), -1)[:, groups]
            return np.asarray(function(log_mean, dispersion))

        extra = ("intercept",) if self.family == "poisson" else ("intercept", "dispersion")
        return patient_effects.over_visits(parameters, design, of_rows, *extra)

    def expectation(self, parameters: xr.Dataset, matrices: Matrices) -> xr.DataArray:
        """Mean rate per person-year of new patients, one a row, exp(intercept + x'β + z'Σz/2): chain × draw × row.

        exp(intercept + x'β) would be the rate of a patient with effect 0, the median; the mean of log-normal rates is exp(σ²/2)
        times as high.
        """
        log_rate, sd = _new_patients(parameters, matrices)
        return _by_row(np.exp(log_rate + sd**2 / 2), parameters, "rate")

    def relapse_free(
        self,
        parameters: xr.Dataset,
        matrices: Matrices,
        years: float,
        *,
        arms: Sequence[str] | None = None,
    ) -> xr.DataArray:
        """Probability that a new patient has no relapse in a time, patient effects integrated out.

        P = ∫ (1 + αμ)^(−1/α) N(u; 0, Σ) du with μ = years · exp(intercept + x'β + z'u), the time taken as one window, as negative
        binomial counts of two half windows are not those of the whole. Poisson: exp(−μ) in the integral.

        Parameters
        ----------
        parameters
            Draws, from `parameters` or a maximum-likelihood fit.
        matrices
            The formula's matrices, one row a kind of patient.
        years
            How long, in years, above 0.
        arms
            The arm of each row; needed with `dispersion_by="arm"`.

        Returns
        -------
        Probabilities, chain × draw × row.

        Raises
        ------
        ValueError
            If `years` is not positive, `arms` is needed and not given, or the parameters have no dispersion (a GEE).
        """
        if not (np.isfinite(years) and years > 0):
            raise ValueError(f"years must be a positive number, not {years}.")
        log_rate, sd = _new_patients(parameters, matrices)
        dispersion = self._dispersion_of_rows(parameters, arms, len(matrices.X))
        free = no_event_probability(log_rate + np.log(years), sd, dispersion)
        return _by_row(free, parameters, "relapse_free")

    def _dispersion_of_rows(
        self, parameters: xr.Dataset, arms: Sequence[str] | None, rows: int
    ) -> Floats | None:
        if self.family == "poisson":
            return None
        if "dispersion" not in parameters:
            raise ValueError(
                "these draws have no dispersion, and a probability of no relapse needs a distribution: fit by NUTS or by "
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


def _scaling(design: Design) -> Scaling:
    return Scaling.of(design.formula.matrices.X)


def _exposure(design: Design) -> Floats:
    if design.exposure is None:
        raise ValueError(
            "a design of counts needs the person-years of each row: make it by RelapseCounts.design."
        )
    return design.exposure


def _dispersion_group(model: RelapseCounts, design: Design) -> Ints:
    """Which dispersion each row has: the arm's place, or 0 for all."""
    if model.dispersion_by is None:
        return np.zeros(len(design.frame), dtype=np.int64)
    return np.asarray(design.frame["arm"].cat.codes, dtype=np.int64)


def _coords(model: RelapseCounts, design: Design) -> dict[str, Any]:
    return {
        "one": ["all"],
        "dispersed": list(design.arms) if model.dispersion_by else ["all"],
        "term": list(design.terms),
        "effect": list(design.effects),
        "slope": list(design.effects[1:]),
        "patient": np.arange(design.n_patients),
    }
