"""The Gaussian mixed model of EDSS: EDSS as a number, with patient effects and optionally autocorrelated residuals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import xarray as xr

from trajectories import edss
from trajectories.cohort import Cohort
from trajectories.formulas import FormulaError, Matrices
from trajectories.models.assembly import edss_design
from trajectories.models.base import EdssModel
from trajectories.models.blocks import averaging, patient_effects
from trajectories.models.blocks.autoregression import correlated_noise, visit_order
from trajectories.models.blocks.coefficients import (
    CoefficientPriors,
    check_coefficients,
    column_values,
    column_variables,
    fixed_part,
)
from trajectories.models.blocks.conditioned_effects import coordinates, sum_by_patient
from trajectories.models.blocks.data import data, visit_coords
from trajectories.models.blocks.densities import autoregression, autoregressive_logpdf, normal_logpdf
from trajectories.models.blocks.group_effects import labelled_sd
from trajectories.models.blocks.patient_effects import PatientPriors
from trajectories.models.design import Design, Floats, Scaling
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

__all__ = ["GaussianMixed", "GaussianPriors", "recorded"]

type Residuals = Literal["independent", "ar1"]

MIDPOINTS: Floats = (edss.LEVELS[:-1] + edss.LEVELS[1:]) / 2


def recorded(numbers: Floats) -> Floats:
    """Round numbers to the nearest of the 20 levels of the EDSS, as a rater would record them; halfway goes up.

    >>> recorded(np.array([-0.3, 0.4, 0.6, 3.2, 11.0])).tolist()
    [0.0, 0.0, 1.0, 3.0, 10.0]
    """
    return np.asarray(edss.LEVELS[np.searchsorted(MIDPOINTS, numbers, side="right")])


@dataclass(frozen=True, kw_only=True)
class GaussianPriors(CoefficientPriors, PatientPriors):
    """Priors of the Gaussian mixed model, in EDSS points; wide against the 10 points of the scale.

    Parameters
    ----------
    coefficients
        Of a fixed term, per standard deviation of its column.
    terms
        Of single terms by name, per unit of the term as the summary reports it; these replace `coefficients`.
    intercept
        Of the mean EDSS at the mean of the fixed terms' columns.
    intercept_sd
        Of the patients' standard deviation at the mean time.
    slope_sd
        Of a patient slope's standard deviation, per standard deviation of its column.
    correlation
        Of the patient effects.
    group_sd
        Of the standard deviation between the levels of a group, `(1 | centre)`; not used without one.
    residual_sd
        Of the standard deviation of a visit about the patient's line.
    residual_range
        Of the years after which two residuals are correlated by exp(−1) = 0.37; not used with independent residuals.
    """

    coefficients: Prior = Normal(0.0, 2.0)
    terms: Mapping[str, Prior] = field(default_factory=lambda: MappingProxyType({}))
    intercept: Prior = Normal(4.0, 3.0)
    intercept_sd: HalfNormal | Exponential = HalfNormal(2.5)
    slope_sd: HalfNormal | Exponential = HalfNormal(1.0)
    correlation: LKJ = LKJ(2.0)
    group_sd: HalfNormal | Exponential = HalfNormal(1.0)
    residual_sd: HalfNormal | Exponential = HalfNormal(1.5)
    residual_range: HalfNormal | Exponential = Exponential(1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_location("intercept", self.intercept)
        check_scale("residual_sd", self.residual_sd)
        check_scale("residual_range", self.residual_range)


@dataclass(frozen=True)
class GaussianMixed(EdssModel):
    """The Gaussian mixed model: EDSS as a number, with effects that vary by patient.

    EDSS_ij = intercept + x_ij'β + z_ij'u_i + e_ij, u_i ~ N(0, Σ), e_ij ~ N(0, residual_sd²); with `residuals="ar1"`
    corr(e_ij, e_ik) = exp(−|t_ij − t_ik| / residual_range). A positive coefficient means more disability.

    It is the model that most papers use, kept for comparison with them and as a check of `OrdinalMixed`. It takes the scale for
    even and unlimited, which it is not, and the variance for constant, although it falls at the top of the scale;
    `limitations` says so in every summary. Mean EDSS (`averaged_edss`) is the mean of the number, which can leave 0 to 10;
    probabilities of levels are of the recorded EDSS, the number rounded to the nearest of the 20 levels: normal probabilities
    between the midpoints of neighbouring levels, everything below 0.5 being EDSS 0 and above 9.75 being EDSS 10.

    Parameters
    ----------
    formula
        `edss ~ fixed terms + (1 + years | patient)`; `+ (1 | centre)` adds effects of a column of the patients, one a level, from one
        normal distribution with mean 0, whose estimates are drawn towards each other.
    residuals
        "independent", or "ar1": correlated in continuous time within a patient.
    prior
        A `GaussianPriors`; None for the defaults, which `priors` shows.

    Raises
    ------
    ValueError
        If `residuals` is neither.
    FormulaError
        If the outcome is not `edss`, or (in `design`) if a term cannot be used, there is no patient effect, or no patient has
        the two visits that an autocorrelation needs.

    Source: Laird and Ware (1982), Biometrics 38:963, doi:10.2307/2529876; with autocorrelated residuals Jones and
    Boadi-Boateng (1991), Biometrics 47:161, doi:10.2307/2532504.

    >>> GaussianMixed("edss ~ arm * years + (1 + years | patient)").priors.intercept
    Normal(mean=4.0, sd=3.0)
    """

    formula: str
    residuals: Residuals = field(default="independent", kw_only=True)
    prior: GaussianPriors | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.residuals not in ("independent", "ar1"):
            raise ValueError(f"residuals must be 'independent' or 'ar1', not {self.residuals!r}.")

    @property
    def priors(self) -> GaussianPriors:
        """The priors; change some with `with_priors`."""
        return GaussianPriors() if self.prior is None else self.prior

    def limitations(self, design: Design) -> tuple[str, ...]:
        """Say what this model assumes of EDSS that the reader should know, with how much of the data lies where it matters."""
        y = design.outcome
        ends = int(((y <= 1.0) | (y >= 8.0)).sum())
        return (
            "EDSS is taken as a number on an even scale without ends: half a point counts the same everywhere, and expected values "
            f"may leave 0 to 10 ({ends} of {len(y)} visits are at 1 or below, or at 8 or above)",
            "one residual variance for the whole scale, although EDSS varies less from visit to visit near the top: intervals are "
            "too wide there and too narrow lower down; models.OrdinalMixed assumes neither",
        )

    def design(self, cohort: Cohort) -> Design:
        """Make the design: one row a visit with an EDSS."""
        design = edss_design(self.formula, cohort)
        if not design.effects:
            raise FormulaError(
                f"a mixed model needs patient effects: add '(1 | patient)' to {self.formula!r}."
            )
        if self.residuals == "ar1" and len(design.frame) == design.n_patients:
            raise FormulaError(
                "no patient has two visits, so residuals cannot be correlated: use residuals='independent'."
            )
        check_coefficients(self.priors, design)
        return design

    def build(self, design: Design, *, open_rows: bool = False) -> Any:
        """Make the PyMC model.

        Columns are centred and scaled; patient effects are in the coordinates of `conditioned_effects`, in which their posterior
        is standard normal whether the visits of a patient say much or little. All data are `pm.Data`: nutpie can refit the
        compiled model on other outcomes and visits.
        """
        import pymc as pm
        import pytensor.tensor as pt

        Z = _effect_scaling(design).apply(design.formula.matrices.Z)
        with pm.Model(coords=_coords(design) | visit_coords(len(design.frame), open_rows)) as model:
            visits = data("patient_of_visit", design.patient, dims="visit")
            columns = [data(f"Z_internal_{k}", column) for k, column in enumerate(Z.T)]
            residual = data("observed_edss", design.outcome, dims="visit")
            residual = residual - variable("intercept_internal", [self.priors.intercept], "one")[0]
            beta, _ = column_variables(self.priors, design)
            if beta is not None:
                residual = residual - fixed_part(beta, design)
            effects = patient_effects.effect_variables(self.priors, design.effects)
            sd = variable("residual_sd_internal", [self.priors.residual_sd], "one")[0]
            whiten, logp = self._residual_graph(design, sd)

            def total(by_row: Any) -> Any:
                return pt.zeros(design.n_patients)[visits].inc(by_row)

            factor = effects.sd[:, None] * effects.cholesky
            at = coordinates(whiten(residual), [whiten(z) for z in columns], total, factor, sd, pt)
            # 0 is the middle of the posterior, near enough, in these coordinates; the prior mean is not, and takes a program to compute.
            start = np.zeros(design.n_patients)
            v: list[Any] = [None] * len(columns)
            for k in reversed(range(len(v))):
                v[k] = at.effect(
                    k, pm.Normal(_coordinate(k), *at.prior(k, v), dims="patient", initval=start), v
                )
            for k, column in enumerate(columns):
                residual = residual - sum(factor[k, j] * v[j] for j in range(k + 1))[visits] * column
            pm.Potential("edss", logp(residual).sum())
        return model

    def _residual_graph(self, design: Design, sd: Any) -> tuple[Any, Any]:
        """Make functions of rows, in the open PyMC model: how to remove their autocorrelation, and their log-density."""
        import pytensor.tensor as pt

        if self.residuals == "independent":
            return lambda rows: rows, lambda residual: normal_logpdf(residual, 0.0, sd, pt)
        order = visit_order(design)
        previous = data("previous_visit", order.previous, dims="visit")
        gap = data("years_since_previous", order.gap, dims="visit")
        follows = data("has_previous", order.follows, dims="visit")
        time_range = variable("residual_range_internal", [self.priors.residual_range], "one")[0]
        correlation, share = autoregression(gap, follows, time_range, pt)
        return (
            lambda rows: (rows - correlation * rows[previous]) / share**0.5,
            lambda e: autoregressive_logpdf(e, e[previous], gap, follows, sd, time_range, pt),
        )

    def parameters(self, draws: Mapping[str, Any], design: Design) -> xr.Dataset:
        """Turn the sampler's variables into intercept, coefficients, residuals' and patients' parameters in the user's units.

        Besides what every mixed model has: `intercept`, `residual_sd` (EDSS points), `residual_range` (years) with "ar1".
        """
        d = {name: np.asarray(draws[name], dtype=float) for name in draws}
        x = design.scaling
        X = x.apply(design.formula.matrices.X)
        at_means = values("intercept_internal", d, [self.priors.intercept])
        made, group_sd = column_values(d, self.priors, design)
        beta = np.zeros((*at_means.shape[:-1], 0)) if made is None else made
        sd = values("patient_sd_internal", d, patient_effects.scale_priors(self.priors, design.effects))
        cholesky = patient_effects.covariance_of(d, sd, len(design.effects))[1]
        internal = np.empty((*beta.shape[:2], design.n_patients, len(design.effects)))
        for chain in range(len(beta)):
            for part in np.array_split(np.arange(beta.shape[1]), max(1, beta.shape[1] // 200)):
                here = {name: array[chain, part] for name, array in d.items()}
                residual = design.outcome - at_means[chain, part] - beta[chain, part] @ X.T
                internal[chain, part] = self._effects(here, residual, cholesky[chain, part], design)
        effects, covariance = patient_effects.on_user_scale(internal, cholesky, _effect_scaling(design))
        beta = beta / x.sd
        others = {"intercept": (None, at_means[..., 0] - beta @ x.mean)}
        others |= {name: (None, d[f"{name}_internal"][..., 0]) for name in self._residual_parameters}
        return patient_effects.labelled(
            design, beta, effects, covariance, **others, **labelled_sd(group_sd, design)
        )

    def _effects(self, d: dict[str, Floats], residual: Floats, factor: Floats, design: Design) -> Floats:
        """Patient effects (samples × patient × effect) from their coordinates, residuals being samples × rows."""
        columns = list(_effect_scaling(design).apply(design.formula.matrices.Z).T)
        if self.residuals == "ar1":
            order = visit_order(design)
            time_range = d["residual_range_internal"]
            correlation, share = autoregression(order.gap, order.follows, time_range, np)
            residual, *columns = (
                (rows - correlation * rows[..., order.previous]) / np.sqrt(share)
                for rows in (residual, *columns)
            )
        total = sum_by_patient(design.patient)
        at = coordinates(residual, columns, total, factor, d["residual_sd_internal"], np)
        v: list[Any] = [None] * len(columns)
        for k in reversed(range(len(v))):
            v[k] = at.effect(k, d[_coordinate(k)], v)
        return np.asarray(np.einsum("sij,jsp->spi", factor, np.stack(v)))

    @property
    def _residual_parameters(self) -> tuple[str, ...]:
        return ("residual_sd", "residual_range") if self.residuals == "ar1" else ("residual_sd",)

    def log_likelihood(self, parameters: xr.Dataset, design: Design) -> xr.DataArray:
        """Log-density of every visit's EDSS given the patient's effects: chain × draw × visit.

        With "ar1" it is also given the patient's earlier visits, so that the sum over visits is the joint log-density.
        """
        y, order = design.outcome, visit_order(design)

        def terms(intercept: Floats, sd: Floats, *rest: Floats) -> Floats:
            residual = y - intercept[:, None] - rest[-1]
            if self.residuals == "independent":
                return np.asarray(normal_logpdf(residual, 0.0, sd[:, None], np))
            previous, years = residual[:, order.previous], rest[0][:, None]
            density = autoregressive_logpdf(
                residual, previous, order.gap, order.follows, sd[:, None], years, np
            )
            return np.asarray(density)

        return patient_effects.over_visits(parameters, design, terms, "intercept", *self._residual_parameters)

    def replicate(self, parameters: xr.Dataset, design: Design, rng: np.random.Generator) -> xr.DataArray:
        """Draw a new EDSS for every visit as the number of the model, the patient's effects kept: chain × draw × visit.

        The numbers are not rounded; `recorded` rounds them to the 20 levels.
        """
        order = visit_order(design)

        def draw(intercept: Floats, sd: Floats, *rest: Floats) -> Floats:
            eta, noise = rest[-1], rng.normal(size=rest[-1].shape)
            ar1 = self.residuals == "ar1"
            residual = correlated_noise(order, sd, rest[0], noise) if ar1 else sd[:, None] * noise
            return np.asarray(intercept[:, None] + eta + residual)

        return patient_effects.over_visits(parameters, design, draw, "intercept", *self._residual_parameters)

    def residual_correlation(self, parameters: xr.Dataset, years: float) -> Floats:
        """Correlation of the residuals of two visits of a patient this many years apart: samples; 0 if independent."""
        sd = averaging.flat(parameters["residual_sd"])
        if self.residuals == "independent":
            return np.full(len(sd), float(years == 0))
        return np.asarray(np.exp(-abs(years) / averaging.flat(parameters["residual_range"])))

    def expectation(self, parameters: xr.Dataset, matrices: Matrices) -> xr.DataArray:
        """Expected EDSS of a new patient, intercept + x'β, one a row: chain × draw × row."""
        mean = _means(parameters, matrices)
        shape = (parameters.sizes["chain"], parameters.sizes["draw"], mean.shape[1])
        return xr.DataArray(mean.reshape(shape), dims=("chain", "draw", "row"), name="edss")

    def averaged_edss(self, parameters: xr.Dataset, matrices: Matrices, weights: Floats) -> Floats:
        """Mean EDSS over weighted rows and new patients, intercept + x̄'β: samples."""
        mean = weights @ matrices.X / weights.sum(axis=-1, keepdims=True)  # terms, or samples × terms
        beta = averaging.flat(parameters["coefficients"])
        return averaging.flat(parameters["intercept"]) + (beta * mean).sum(axis=-1)

    def averaged_levels(self, parameters: xr.Dataset, matrices: Matrices, weights: Floats) -> Floats:
        """Probabilities of the recorded EDSS averaged over weighted rows and new patients: samples × 20.

        P(level ≤ k) = Φ((midpoint_k − intercept − x'β) / √(z'Σz + residual_sd²)), the midpoint being between level k and the next.
        """
        return averaging.level_probabilities(*_as_probit(parameters), matrices, weights, "probit")

    def levels_by_row(self, parameters: xr.Dataset, matrices: Matrices) -> Floats:
        """Probabilities of the recorded EDSS of new patients, one a row, patient effects averaged over: samples × rows × 20."""
        return averaging.level_probabilities_by_row(*_as_probit(parameters), matrices, "probit")

    def conditional_levels(self, parameters: xr.Dataset, matrices: Matrices, effects: Floats) -> Floats:
        """Probabilities of the recorded EDSS of one visit given patient effects (samples × rows × effect): samples × rows × 20."""
        mean = self.conditional_edss(parameters, matrices, effects)
        sd = averaging.flat(parameters["residual_sd"])[:, None, None]
        return averaging.differences(averaging.distribution((MIDPOINTS - mean[..., None]) / sd, "probit"))

    def levels_at_two_visits(
        self,
        parameters: xr.Dataset,
        visits: tuple[Matrices, Matrices],
        effects: Floats,
        shared: Floats,
        years: float,
    ) -> tuple[Floats, Floats]:
        """Level probabilities of two visits, independent given the effects and what their residuals share.

        Residuals with correlation ρ are σ(√ρ s + √(1 − ρ) ε) with the same standard normal s at both visits.
        """
        sd = averaging.flat(parameters["residual_sd"])[:, None]
        rho = self.residual_correlation(parameters, years)[:, None]
        common, own = sd * np.sqrt(rho) * shared, sd * np.sqrt(1 - rho)
        first, second = (
            averaging.differences(
                averaging.distribution(
                    (MIDPOINTS - (self.conditional_edss(parameters, m, effects) + common)[..., None])
                    / own[..., None],
                    "probit",
                )
            )
            for m in visits
        )
        return first, second

    def conditional_edss(self, parameters: xr.Dataset, matrices: Matrices, effects: Floats) -> Floats:
        """Expected EDSS given patient effects, intercept + x'β + z'u: samples × rows."""
        return np.asarray(_means(parameters, matrices) + np.einsum("sjq,jq->sj", effects, matrices.Z))


def _as_probit(parameters: xr.Dataset) -> tuple[Floats, Floats, Floats]:
    """Coefficients, covariance and cutpoints by sample in units of the residual sd: a probit model whose cutpoints are the midpoints."""
    sd = averaging.flat(parameters["residual_sd"])
    return (
        averaging.flat(parameters["coefficients"]) / sd[:, None],
        averaging.flat(parameters["patient_covariance"]) / sd[:, None, None] ** 2,
        (MIDPOINTS - averaging.flat(parameters["intercept"])[:, None]) / sd[:, None],
    )


def _means(parameters: xr.Dataset, matrices: Matrices) -> Floats:
    """Return intercept + x'β: samples × rows."""
    intercept = averaging.flat(parameters["intercept"])[:, None]
    return np.asarray(intercept + averaging.flat(parameters["coefficients"]) @ matrices.X.T)


def _effect_scaling(design: Design) -> Scaling:
    return patient_effects.patient_scaling(design.formula.matrices.Z)


def _coordinate(effect: int) -> str:
    return f"patient_coordinate_{effect}"


def _coords(design: Design) -> dict[str, Any]:
    return {
        "one": [0],
        "term": list(design.fixed_terms),
        "effect": list(design.effects),
        "patient": np.arange(design.n_patients),
    }
