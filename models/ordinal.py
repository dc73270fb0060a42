"""The ordinal mixed model of EDSS: a cumulative link on the 20 levels, with patient effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import xarray as xr

from trajectories import edss
from trajectories.cohort import Cohort
from trajectories.formulas import FormulaError, Matrices
from trajectories.models.assembly import edss_design
from trajectories.models.base import EdssModel, Population
from trajectories.models.blocks import averaging, levels, patient_effects, visit_effects
from trajectories.models.blocks.coefficients import (
    CoefficientPriors,
    check_coefficients,
    column_values,
    column_variables,
    fixed_part,
    product,
)
from trajectories.models.blocks.conditioned_effects import Coordinates, coordinates_from_sums, sum_by_patient
from trajectories.models.blocks.cutpoints import (
    average_scale,
    averaged_cumulative,
    bounds,
    cutpoints_from_probabilities,
    log_share_within,
    nearer_cutpoints,
    working_scores,
)
from trajectories.models.blocks.data import data, visit_coords
from trajectories.models.blocks.densities import Link, ordinal_logpmf
from trajectories.models.blocks.group_effects import labelled_sd
from trajectories.models.blocks.patient_effects import PatientPriors
from trajectories.models.blocks.visit_effects import Fluctuation, VisitEffects
from trajectories.models.design import Design, Floats, Scaling
from trajectories.priors import (
    LKJ,
    Exponential,
    HalfNormal,
    InducedDirichlet,
    Normal,
    Prior,
    check_scale,
    values,
)

__all__ = ["OrdinalMixed", "OrdinalPriors"]

# Spread of the latent score that a visit's level stands for: one over the root of the information in a finely graded level.
NOISE = {"logit": 3.0**0.5, "probit": 1.0}

# How much less a visit's level says than a finely graded one would. Measured on 100 patients with 8 visits; only coordinates rest on it.
COARSE = 1.1

CUTPOINTS = tuple(f"{low:g}|{high:g}" for low, high in zip(edss.LEVELS[:-1], edss.LEVELS[1:], strict=True))


@dataclass(frozen=True, kw_only=True)
class OrdinalPriors(CoefficientPriors, PatientPriors):
    """Priors of the ordinal mixed model, on the latent (logit or probit) scale.

    Parameters
    ----------
    coefficients
        Of a fixed term, per standard deviation of its column.
    terms
        Of single terms by name, per unit of the term as the summary reports it; these replace `coefficients`.
    cutpoints
        Of the level probabilities, averaged over patients, at the mean of the fixed terms: half a patient's worth spread over
        the 20 levels. It pulls mean EDSS towards the middle of the scale, 5.2, by about concentration / patients of the way:
        by 0.03 with 35 patients at 3.3 or at 1.5 (see tests/recovery/RESULTS.md).
    intercept_sd
        Of the patients' standard deviation at the mean time.
    slope_sd
        Of a patient slope's standard deviation, per standard deviation of its column.
    correlation
        Of the patient effects.
    group_sd
        Of the standard deviation between the levels of a group, `(1 | centre)`; not used without one.
    visit_sd
        Of the standard deviation of the visit effects; not used without them.
    visit_range
        Of the years after which two visit effects are correlated by exp(−1) = 0.37; not used without them. Fluctuation of
        disability is correlated by 0.5 to 0.8 over a quarter of a year, which is a range of 0.4 to 1.1 years.
    """

    coefficients: Prior = Normal(0.0, 2.5)
    terms: Mapping[str, Prior] = field(default_factory=lambda: MappingProxyType({}))
    cutpoints: InducedDirichlet = InducedDirichlet(0.5)
    intercept_sd: HalfNormal | Exponential = HalfNormal(5.0)
    slope_sd: HalfNormal | Exponential = HalfNormal(2.5)
    correlation: LKJ = LKJ(2.0)
    group_sd: HalfNormal | Exponential = HalfNormal(2.5)
    visit_sd: HalfNormal | Exponential = HalfNormal(1.0)
    visit_range: HalfNormal | Exponential = Exponential(1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scale("visit_sd", self.visit_sd)
        check_scale("visit_range", self.visit_range)
        if not isinstance(self.cutpoints, InducedDirichlet):
            raise TypeError(f"the prior of cutpoints must be InducedDirichlet(...), not {self.cutpoints!r}.")


@dataclass(frozen=True)
class OrdinalMixed(EdssModel):
    """The ordinal mixed model: EDSS as 20 ordered levels, with effects that vary by patient.

    P(EDSS_ij ≤ level k) = F(c_k − η_ij), η_ij = x_ij'β + z_ij'u_i, u_i ~ N(0, Σ), F logistic or normal. A positive
    coefficient means more disability. The 20 levels are fixed; a level that nobody has is no problem.

    With `visit_effects="ar1"` η_ij = x_ij'β + z_ij'u_i + w_ij, w_ij ~ N(0, visit_sd²), corr(w_ij, w_ik) =
    exp(−|t_ij − t_ik| / visit_range): disability fluctuates about the patient's line for weeks or months. Without it visits of a
    patient are independent about the line. Whatever is averaged over patients is averaged over the fluctuation too.

    Parameters
    ----------
    formula
        `edss ~ fixed terms + (1 + years | patient)`; `+ (1 | centre)` adds effects of a column of the patients, one a level, from one
        normal distribution with mean 0, whose estimates are drawn towards each other.
    link
        "logit" (coefficients are log odds ratios) or "probit".
    visit_effects
        "none", or "ar1": correlated in continuous time within a patient (an Ornstein–Uhlenbeck process).
    prior
        An `OrdinalPriors`; None for the defaults, which `priors` shows.

    Raises
    ------
    ValueError
        If `link` or `visit_effects` is neither.
    FormulaError
        If the outcome is not `edss`, or (in `design`) if a term cannot be used, or no patient has the two visits that an
        autocorrelation needs.

    Source: McCullagh (1980), Journal of the Royal Statistical Society B 42:109, doi:10.1111/j.2517-6161.1980.tb01109.x; with
    random effects Hedeker and Gibbons (1994), Biometrics 50:933, doi:10.2307/2533433; the autocorrelation is that of Jones and
    Boadi-Boateng (1991), Biometrics 47:161, doi:10.2307/2532504.

    Examples
    --------
    >>> OrdinalMixed("edss ~ arm * years + (1 + years | patient)").priors.coefficients
    Normal(mean=0.0, sd=2.5)
    """

    formula: str
    link: Link = field(default="logit", kw_only=True)
    visit_effects: VisitEffects = field(default="none", kw_only=True)
    prior: OrdinalPriors | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.link not in ("logit", "probit"):
            raise ValueError(f"link must be 'logit' or 'probit', not {self.link!r}.")
        if self.visit_effects not in ("none", "ar1"):
            raise ValueError(f"visit_effects must be 'none' or 'ar1', not {self.visit_effects!r}.")

    @property
    def priors(self) -> OrdinalPriors:
        """The priors; change some with `with_priors`."""
        return OrdinalPriors() if self.prior is None else self.prior

    def limitations(self, design: Design) -> tuple[str, ...]:
        """Say what visit effects, if the model has them, cannot tell apart in this design."""
        return visit_effects.limitations(design) if self.visit_effects == "ar1" else ()

    @property
    def _share(self) -> float:
        """The Dirichlet's concentration of one level."""
        return self.priors.cutpoints.concentration / len(edss.LEVELS)

    def design(self, cohort: Cohort) -> Design:
        """Make the design: one row a visit with an EDSS."""
        design = edss_design(self.formula, cohort)
        if not design.effects:
            raise FormulaError(
                f"a mixed model needs patient effects: add '(1 | patient)' to {self.formula!r}."
            )
        if self.visit_effects == "ar1" and len(design.frame) == design.n_patients:
            raise FormulaError(
                "no patient has two visits, so visits cannot be correlated: use visit_effects='none'."
            )
        check_coefficients(self.priors, design)
        return design

    def build(self, design: Design, *, open_rows: bool = False) -> Any:
        """Make the PyMC model.

        Patient effects are in the coordinates of `conditioned_effects`, for latent scores that stand for the levels: near enough to
        the posterior for the coordinates to be nearly standard normal, whether the visits of a patient say much or little. Visit
        effects, if any, are given those of the patients, in coordinates of the same kind. All data are `pm.Data`: nutpie can refit the
        compiled model on other outcomes and visits.
        """
        import pymc as pm
        import pytensor.tensor as pt

        Z = _effect_scaling(design).apply(design.formula.matrices.Z)
        with pm.Model(coords=_coords(design) | visit_coords(len(design.frame), open_rows)) as model:
            visits = data("patient_of_visit", design.patient, dims="visit")
            columns = [data(f"Z_internal_{k}", column) for k, column in enumerate(Z.T)]
            codes = data("codes", edss.code(design.outcome), dims="visit")
            population, fluctuation = self._population(design)
            (cutpoints, shares), beta, factor, _ = population
            eta = 0.0 if beta is None else fixed_part(beta, design)
            noise: Any = NOISE[self.link]
            if fluctuation is not None:
                noise = visit_effects.patient_noise(fluctuation, noise, visits, design.n_patients, pt)
            sums = {name: data(name, array) for name, array in _sums(design).items()}
            at = self._coordinates(sums, cutpoints, beta, factor, noise, pt)
            # 0 is the middle of the posterior, near enough, in these coordinates; the prior mean is not, and takes a program to compute.
            start = np.zeros(design.n_patients)
            v: list[Any] = [None] * len(design.effects)
            for k in reversed(range(len(v))):
                v[k] = at.effect(
                    k, pm.Normal(_coordinate(k), *at.prior(k, v), dims="patient", initval=start), v
                )
            for k in range(len(v)):
                eta = eta + sum(factor[k, j] * v[j] for j in range(k + 1))[visits] * columns[k]
            if fluctuation is not None:
                sites = self._sites(cutpoints, codes, eta, fluctuation.sd, sums["nearer_cutpoint"], pt)
                eta = eta + visit_effects.effects_variable(fluctuation, *sites)
            ends, within = bounds(cutpoints, pt), None if shares is None else shares[codes]
            logp = ordinal_logpmf(ends[codes + 1] - eta, ends[codes] - eta, self.link, pt, within)
            pm.Potential("edss", logp.sum())
        return model

    def build_population(self, design: Design, integral: Callable[[Population], Any]) -> Any:
        """Make the PyMC model of the population parameters alone, with the variables that `build` makes of them."""
        import pymc as pm

        if self.visit_effects != "none":
            raise self._not_integrated()
        with pm.Model(coords=_coords(design)) as model:
            pm.Potential("edss", integral(self._population(design)[0]))
        return model

    def _population(self, design: Design) -> tuple[Population, Fluctuation | None]:
        """Make the variables of the population parameters in the open PyMC model."""
        effects, fluctuation = patient_effects.effect_variables(self.priors, design.effects), None
        beta, between = column_variables(self.priors, design)
        variance = effects.sd[0] ** 2 + between  # of patients, whose centres differ too
        if self.visit_effects == "ar1":
            fluctuation = visit_effects.variables(self.priors, design)
            variance = variance + fluctuation.sd**2
        own = self._cutpoints(variance)
        return Population(own, beta, effects.sd[:, None] * effects.cholesky), fluctuation

    def _coordinates(
        self, sums: Mapping[str, Any], cutpoints: Any, beta: Any, factor: Any, noise: Any, xp: ModuleType
    ) -> Coordinates:
        """Coordinates of the patient effects, the level of a visit being taken for its latent score plus noise of this sd."""
        scores = working_scores(cutpoints, sums["nearer_cutpoint"], xp)
        q = sums["ZZ"].shape[0] if xp is np else sums["ZZ"].get_value().shape[0]
        times = product if xp is not np else (lambda matrix, vector: vector @ matrix.T)
        Zr = [times(sums["Z_by_level"][k], scores) for k in range(q)]
        if beta is not None:
            Zr = [total - times(sums["ZX"][k], beta) for k, total in enumerate(Zr)]
        ZZ = [[sums["ZZ"][j, k] for k in range(q)] for j in range(q)]
        return coordinates_from_sums(ZZ, Zr, factor, noise, xp)

    def _sites(
        self, cutpoints: Any, codes: Any, eta: Any, visit_sd: Any, nearer: Any, xp: ModuleType
    ) -> tuple[Any, Any]:
        """What each visit's level says of its visit effect: `pull` and `information` of `visit_effects.Fluctuation.coordinates`."""
        scale = average_scale(visit_sd**2, self.link, xp)
        information = 1 / (COARSE * (NOISE[self.link] * scale) ** 2)
        if self.link == "probit":  # of the level's latent score, which never divides by a small probability
            return (working_scores(cutpoints, nearer, xp)[..., codes] - eta) / scale**2, information
        ends = bounds(cutpoints, xp)
        upper, lower = ((ends[..., place] - eta) / (2 * scale) for place in (codes + 1, codes))
        return (xp.tanh(upper) + xp.tanh(lower)) / (2 * scale), information

    def _cutpoints(self, variance: Any) -> tuple[Any, Any]:
        """Make the variables of the cutpoints in the open PyMC model: the cutpoints, and what the widths contribute (logit only)."""
        import pytensor.tensor as pt

        scores = levels.level_scores("level_scores_internal", self._share, "level")
        logs = levels.log_probabilities(scores, self._share, pt)
        scale = average_scale(variance, self.link, pt)
        cutpoints = cutpoints_from_probabilities(pt.exp(logs), scale, self.link, pt)
        return cutpoints, log_share_within(logs, scale, pt) if self.link == "logit" else None

    def parameters(self, draws: Mapping[str, Any], design: Design) -> xr.Dataset:
        """Turn the sampler's variables into coefficients, cutpoints and patient effects in the user's units."""
        d = {name: np.asarray(draws[name], dtype=float) for name in draws}
        X, Z = design.formula.matrices.X, design.formula.matrices.Z
        population, fluctuation = self._drawn(d, design)
        (cutpoints, _), beta, factor, _ = population
        noise: Any = np.asarray(NOISE[self.link])
        if fluctuation is not None:
            noise = visit_effects.patient_noise(fluctuation, noise, design.patient, design.n_patients, np)
        at = self._coordinates(_sums(design), cutpoints, beta, factor, noise, np)
        standard: list[Any] = [None] * len(design.effects)
        for k in reversed(range(len(standard))):
            standard[k] = at.effect(k, d[_coordinate(k)], standard)
        v, others = np.stack(standard, axis=-1), {}
        if fluctuation is not None:
            eta = np.einsum(
                "...vq,vq->...v",
                patient_effects.from_standard(factor, v)[..., design.patient, :],
                _effect_scaling(design).apply(Z),
            )
            if beta is not None:
                eta = beta @ design.scaling.apply(X).T + eta
            nearer, codes = nearer_cutpoints(_middle(design)), edss.code(design.outcome)
            sites = self._sites(cutpoints, codes, eta, fluctuation.sd, nearer, np)
            w = visit_effects.effects_of(fluctuation, d[visit_effects.NAME], *sites)
            others = {
                "visit_sd": (None, np.abs(fluctuation.sd[..., 0])),
                "visit_range": (None, fluctuation.time_range[..., 0]),
                "visit_effects": (("visit", list(range(w.shape[-1]))), w),
            }
        return self._labelled(population, v, design, others)

    def population(self, draws: Mapping[str, Any], design: Design) -> Population:
        """Turn variables of `build_population` (chain × draw × …) into what the likelihood needs."""
        d = {name: np.asarray(draws[name], dtype=float) for name in draws}
        return self._drawn(d, design)[0]

    def _drawn(self, d: dict[str, Floats], design: Design) -> tuple[Population, Fluctuation | None]:
        """Read back from draws what `_population` made."""
        sd = values("patient_sd_internal", d, patient_effects.scale_priors(self.priors, design.effects))
        beta, group_sd = column_values(d, self.priors, design)
        variance, fluctuation = sd[..., 0] ** 2, None
        if group_sd is not None:
            variance = variance + (group_sd**2).sum(axis=-1)
        if self.visit_effects == "ar1":
            fluctuation = visit_effects.drawn(self.priors, d, design)
            variance = variance + fluctuation.sd[..., 0] ** 2
        scale = average_scale(variance, self.link, np)
        logs = levels.log_probabilities(d["level_scores_internal"], self._share, np)
        cutpoints = cutpoints_from_probabilities(np.exp(logs), scale, self.link, np)
        shares = log_share_within(logs, scale, np) if self.link == "logit" else None
        factor = patient_effects.covariance_of(d, sd, len(design.effects))[1]
        return Population((cutpoints, shares), beta, factor, group_sd), fluctuation

    def with_effects(self, population: Population, standard: Floats, design: Design) -> xr.Dataset:
        """Turn population parameters and the patients' v (chain × draw × patient × effect) into parameters on the user's scale."""
        return self._labelled(population, standard, design, {})

    def _labelled(
        self, population: Population, standard: Floats, design: Design, others: Mapping[str, Any]
    ) -> xr.Dataset:
        x, (cutpoints, _), beta = design.scaling, population.own, population.beta
        effects, covariance = patient_effects.on_user_scale(
            patient_effects.from_standard(population.factor, standard),
            population.factor,
            _effect_scaling(design),
        )
        beta = np.zeros((*cutpoints.shape[:-1], 0)) if beta is None else beta / x.sd
        return patient_effects.labelled(
            design,
            beta,
            effects,
            covariance,
            cutpoints=(("cutpoint", list(CUTPOINTS)), cutpoints + (beta @ x.mean)[..., None]),
            **labelled_sd(population.group_sd, design),
            **others,
        )

    def log_likelihood(self, parameters: xr.Dataset, design: Design) -> xr.DataArray:
        """Log-probability of every visit's level given the patient's effects: chain × draw × visit."""
        codes, middle = edss.code(design.outcome), _middle(design)

        def terms(cutpoints: Floats, eta: Floats) -> Floats:
            # Both relative to a middle cutpoint: with a term far from 0, such as a calendar year, both are far from 0.
            origin = cutpoints[..., [middle]]
            ends, eta = bounds(cutpoints - origin, np), eta - origin
            with np.errstate(divide="ignore"):  # an impossible level has log-probability −∞
                return np.asarray(
                    ordinal_logpmf(ends[..., codes + 1] - eta, ends[..., codes] - eta, self.link, np)
                )

        return patient_effects.over_visits(parameters, design, terms, "cutpoints")

    def replicate(self, parameters: xr.Dataset, design: Design, rng: np.random.Generator) -> xr.DataArray:
        """Draw a new EDSS for every visit, the patient's and the visit's effects kept: chain × draw × visit."""

        def draw(cutpoints: Floats, eta: Floats) -> Floats:
            noise = rng.logistic(size=eta.shape) if self.link == "logit" else rng.normal(size=eta.shape)
            latent = eta + noise
            codes = np.stack([np.searchsorted(c, row) for c, row in zip(cutpoints, latent, strict=True)])
            return np.asarray(edss.LEVELS[codes])

        return patient_effects.over_visits(parameters, design, draw, "cutpoints")

    def expectation(self, parameters: xr.Dataset, matrices: Matrices) -> xr.DataArray:
        """Expected EDSS of a new patient, one a row, patient effects integrated out: chain × draw × row."""
        mean = self.levels_by_row(parameters, matrices) @ edss.LEVELS
        shape = (parameters.sizes["chain"], parameters.sizes["draw"], mean.shape[1])
        return xr.DataArray(mean.reshape(shape), dims=("chain", "draw", "row"), name="edss")

    def averaged_edss(self, parameters: xr.Dataset, matrices: Matrices, weights: Floats) -> Floats:
        """Mean EDSS over weighted rows and new patients: samples."""
        return self.averaged_levels(parameters, matrices, weights) @ edss.LEVELS

    def averaged_levels(self, parameters: xr.Dataset, matrices: Matrices, weights: Floats) -> Floats:
        """Level probabilities averaged over weighted rows and new patients: samples × 20."""
        return averaging.level_probabilities(*self._at_one_visit(parameters), matrices, weights, self.link)

    def levels_by_row(self, parameters: xr.Dataset, matrices: Matrices) -> Floats:
        """Level probabilities of new patients, one a row, patient effects averaged over: samples × rows × 20."""
        return averaging.level_probabilities_by_row(*self._at_one_visit(parameters), matrices, self.link)

    def _at_one_visit(self, parameters: xr.Dataset) -> tuple[Floats, Floats, Floats]:
        """Coefficients, covariance of the patient effects, and cutpoints, by sample."""
        covariance = averaging.flat(parameters["patient_covariance"])
        if self.visit_effects == "ar1":  # at one visit fluctuation is one more normal part of the intercept
            covariance = covariance.copy()
            covariance[:, 0, 0] += averaging.flat(parameters["visit_sd"]) ** 2
        return averaging.flat(parameters["coefficients"]), covariance, averaging.flat(parameters["cutpoints"])

    def conditional_levels(self, parameters: xr.Dataset, matrices: Matrices, effects: Floats) -> Floats:
        """Level probabilities of one visit given patient effects, visit effects averaged over: samples × rows × 20."""
        sd = averaging.flat(parameters["visit_sd"]) if self.visit_effects == "ar1" else None
        return self._levels(parameters, _predictor(parameters, matrices, effects), sd)

    def _levels(self, parameters: xr.Dataset, eta: Floats, sd: Floats | None) -> Floats:
        """Level probabilities at linear predictors (samples × rows), averaged over a normal part with this sd: samples × rows × 20."""
        distance = averaging.flat(parameters["cutpoints"])[:, None, :] - eta[..., None]
        if sd is None:
            return averaging.differences(averaging.distribution(distance, self.link))
        return averaging.differences(averaged_cumulative(distance, sd[:, None, None], self.link, rough=True))

    def levels_at_two_visits(
        self,
        parameters: xr.Dataset,
        visits: tuple[Matrices, Matrices],
        effects: Floats,
        shared: Floats,
        years: float,
    ) -> tuple[Floats, Floats]:
        """Level probabilities of two visits, independent given the effects and what the two visit effects share.

        Visit effects with correlation ρ = exp(−years / visit_range) are τ(√ρ s + √(1 − ρ) ε) with the same standard normal s at
        both visits.
        """
        if self.visit_effects == "none":
            return super().levels_at_two_visits(parameters, visits, effects, shared, years)
        sd = averaging.flat(parameters["visit_sd"])
        rho = np.exp(-abs(years) / averaging.flat(parameters["visit_range"]))
        common, own = (sd * np.sqrt(rho))[:, None] * shared, sd * np.sqrt(1 - rho)
        first, second = (
            self._levels(parameters, _predictor(parameters, matrices, effects) + common, own)
            for matrices in visits
        )
        return first, second

    def conditional_edss(self, parameters: xr.Dataset, matrices: Matrices, effects: Floats) -> Floats:
        """Expected EDSS given patient effects: samples × rows."""
        return self.conditional_levels(parameters, matrices, effects) @ edss.LEVELS


def _predictor(parameters: xr.Dataset, matrices: Matrices, effects: Floats) -> Floats:
    """x'β + z'u: samples × rows."""
    beta = averaging.flat(parameters["coefficients"])
    return np.asarray(beta @ matrices.X.T + np.einsum("sjq,jq->sj", effects, matrices.Z))


def _effect_scaling(design: Design) -> Scaling:
    return patient_effects.patient_scaling(design.formula.matrices.Z)


def _coordinate(k: int) -> str:
    return f"patient_coordinate_{k}"


def _sums(design: Design) -> dict[str, Floats]:
    """Sums over the visits of each patient that the coordinates need.

    `ZZ` (effect × effect × patient), `ZX` (effect × patient × term), `Z_by_level` (effect × patient × level), and the cutpoint
    of each level that is nearer to the median.
    """
    X = design.scaling.apply(design.formula.matrices.X)
    Z = _effect_scaling(design).apply(design.formula.matrices.Z)
    codes, q = edss.code(design.outcome), len(design.effects)
    total = sum_by_patient(design.patient)
    by_level = np.zeros((q, design.n_patients, len(edss.LEVELS)))
    for k in range(q):
        np.add.at(by_level[k], (design.patient, codes), Z[:, k])
    return {
        "ZZ": np.array([[total(Z[:, j] * Z[:, k]) for k in range(q)] for j in range(q)]),
        "ZX": np.array([total(Z[:, k] * X.T).T for k in range(q)]),
        "Z_by_level": by_level,
        "nearer_cutpoint": nearer_cutpoints(_middle(design)),
    }


def _middle(design: Design) -> int:
    """The cutpoint next to the median EDSS: the best determined one."""
    median = int(np.median(edss.code(design.outcome)))
    return min(max(median, 0), len(CUTPOINTS) - 1)


def _coords(design: Design) -> dict[str, Any]:
    return {
        "one": [0],
        "level": list(edss.LEVELS),
        "term": list(design.fixed_terms),
        "effect": list(design.effects),
        "patient": np.arange(design.n_patients),
    }
