"""Maximum likelihood and its relatives: `maximise`, and its result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.caveats import SIMULATED
from trajectories.cohort import Cohort
from trajectories.estimate import check_ci, normal_limit
from trajectories.fitting.counts import FEW_PATIENTS, CountFit, fit_counts
from trajectories.fitting.fit import row_name
from trajectories.fitting.groups import refuse_groups
from trajectories.fitting.marginal_fit import MarginalFit, fit_marginal
from trajectories.fitting.mixedlm import MixedLMFit, fit_mixedlm
from trajectories.fitting.status import status
from trajectories.models.base import MixedModel
from trajectories.models.blocks.group_effects import group_notes
from trajectories.models.counts import CountModel
from trajectories.models.design import Design, PatientWeights
from trajectories.models.gaussian import GaussianMixed
from trajectories.weighting.values import Weights, check_weights

if TYPE_CHECKING:
    from trajectories.fitting.profiles import ProfileInterval

__all__ = ["Method", "PointFit", "maximise"]

type Method = Literal["maximum likelihood", "reml", "gee"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PointFit:
    """Estimates with standard errors from a classical estimator; made by `maximise`.

    Every estimand takes it, through draws from the normal approximation of the estimates' distribution.

    Parameters
    ----------
    model, design
        What was fitted to what.
    method
        "maximum likelihood", "reml" or "gee".
    solution
        The estimator's own result.
    weights
        What each patient counted; None for 1 each.
    cohort
        The cohort it was fitted to.
    """

    model: MixedModel
    design: Design
    method: Method
    solution: MixedLMFit | CountFit | MarginalFit = field(repr=False)
    weights: Weights | None = field(default=None, repr=False)
    cohort: Cohort = field(repr=False)

    @property
    def loglik(self) -> float:
        """The log-likelihood at the estimates (restricted for REML); NaN for GEE, which has none."""
        return np.nan if self.solution.loglik is None else float(self.solution.loglik)

    @property
    def aic(self) -> float:
        """Akaike's criterion, −2 log-likelihood + 2 parameters; NaN for GEE, with weights, and for REML, where it compares nothing."""
        return (
            np.nan
            if self.method != "maximum likelihood" or self.weights is not None
            else -2 * self.loglik + 2 * self.solution.n_parameters
        )

    @property
    def bic(self) -> float:
        """Schwarz's criterion, −2 log-likelihood + log(rows) × parameters, with rows as in lme4; NaN where `aic` is."""
        return float(self.aic + (np.log(len(self.design.frame)) - 2) * self.solution.n_parameters)

    @property
    def description(self) -> str:
        """What its draws are, in words."""
        names = {
            "maximum likelihood": "the maximum-likelihood estimate",
            "reml": "the REML estimate",
            "gee": "the GEE estimate",
        }
        return f"the normal approximation around {names[self.method]}"

    @property
    def caveats(self) -> tuple[str, ...]:
        """Sentences that every output of this fit must carry."""
        simulated = (SIMULATED,) if self.design.simulated else ()
        # a classical fit of counts says in its own notes what it makes of several rows a patient
        limits = () if isinstance(self.solution, CountFit) else self.model.limitations(self.design)
        weighted = () if self.weights is None else (_weighted(self.weights), *self.weights.caveats)
        groups = group_notes(self.design)
        said = (*simulated, *self.design.excluded, *limits, *groups, *self.solution.notes, *weighted)
        return tuple(dict.fromkeys(said))

    def draws(self, n: int | None = None, seed: int | None = None) -> xr.Dataset:
        """Draw parameters from the normal approximation: one chain.

        Parameters
        ----------
        n
            How many draws; None for 4000.
        seed
            The same seed gives the same draws; None is 0.
        """
        return self.solution.draws(4000 if n is None else n, 0 if seed is None else seed)

    def patient_effects(self) -> pd.DataFrame:
        """Predict the effects of the patients: conditional modes given the estimates, and their standard errors.

        Returns
        -------
        A frame with a row a patient of the design, in its order and without identifiers, and columns effect and `se(effect)`, in the units of
        the linear predictor.

        Raises
        ------
        TypeError
            If the fit has no integrated likelihood.
        """
        if not isinstance(self.solution, MarginalFit):
            raise TypeError(
                "patient effects are predicted by fits with the effects integrated out: OrdinalMixed, and counts with '(1 | patient)'."
            )
        return self.solution.patient_effects()

    def profile(self, term: str, ci: float = 0.95) -> ProfileInterval:
        """Compute the profile-likelihood interval of anything that `summary` names.

        The values θ with 2 (ℓ̂ − max over the other parameters of ℓ(θ, ·)) at most the quantile of χ²₁: unlike the Wald interval it needs no
        normal estimate, and is the better one for standard deviations, correlations and dispersions, and where few patients carry an
        estimate.

        Parameters
        ----------
        term
            As `summary` names it: a fixed term, a cutpoint, `intercept`, `sd(…)`, `cor(…, …)`, `residual_sd`, `dispersion`.
        ci
            Probability of the interval.

        Returns
        -------
        A `ProfileInterval` in the user's units. Where the end of what is possible (a standard deviation or dispersion of 0, a correlation
        of ±1) is compatible with the data, that is the limit, and the notes say so.

        Raises
        ------
        ValueError
            If the summary has no such term, or the fit is by REML or GEE.
        ConvergenceError
            If the data set no limit on one side, or the fit is not at its maximum.

        Source: Venzon and Moolgavkar (1988), Applied Statistics 37:87, doi:10.2307/2347496.

        Examples
        --------
        >>> import trajectories as tj
        >>> from trajectories import models
        >>> cohort = tj.simulate_cohort(patients={"old": 20, "new": 20}, seed=1)
        >>> fit = tj.maximise(models.RelapseCounts("relapses ~ arm + (1 | patient)", family="poisson"), cohort)
        >>> interval = fit.profile("arm[new]")
        >>> interval.lower < interval.estimate < interval.upper
        True
        """
        from trajectories.fitting.profiles import profile_interval

        self.require_likelihood("a profile-likelihood interval")
        refuse_groups(self.design, "a profile-likelihood interval")
        return profile_interval(self, term, ci)

    def require_likelihood(self, what: str) -> None:
        """Raise a ValueError if patients have weights, with which the sum that was maximised is no log-likelihood."""
        if self.weights is not None:
            raise ValueError(
                f"{what} needs a likelihood, and a weighted sum of log-likelihoods is none: use the robust standard errors of summary(), or "
                "the bootstrap of tj.contrast."
            )

    def summary(self, ci: float = 0.95, *, robust: bool = False) -> pd.DataFrame:
        """Summarise the parameters: one row a term.

        Parameters
        ----------
        ci
            Probability of the Wald interval: of a standard deviation or dispersion on the log scale, of a correlation on Fisher's.
        robust
            Standard errors from the patients' scores (clustered by patient, as if each were left out in turn), for fits with the effects
            integrated out.

        Returns
        -------
        A frame with columns `estimate`, `se`, `lower`, `upper`; `attrs` say the kind of interval, patients, rows and caveats.
        """
        check_ci(ci)
        frame = self._frame(ci, robust)
        sandwich = robust or self.method == "gee" or self.weights is not None
        frame.attrs.update(
            interval=f"{ci:.0%} Wald interval ({'robust' if sandwich else 'model-based'} standard errors)",
            method=self.method,
            loglik=self.loglik,
            patients=self.design.n_patients,
            rows=len(self.design.frame),
            caveats=[*self._few(robust), *self.caveats],
        )
        return frame

    def _few(self, robust: bool) -> tuple[str, ...]:
        """Say that a sandwich is rough in a small cohort; a GEE says so in its own notes."""
        n = self.design.n_patients
        if not (robust or self.weights is not None) or self.method == "gee" or n >= FEW_PATIENTS:
            return ()
        return (f"robust standard errors are rough with few patients ({n})",)

    def _frame(self, ci: float, robust: bool) -> pd.DataFrame:
        if isinstance(self.solution, MarginalFit):
            return _wald_frame(self.solution.estimates(), self.solution.standard_errors(robust=robust), ci)
        if robust and self.weights is None:
            raise ValueError(
                "robust standard errors are those of fits with the patient effects integrated out, and of method='gee'."
            )
        if isinstance(self.solution, CountFit):
            return self.solution.to_frame(ci)
        return _wald_frame(self.solution.estimates, self.solution.standard_errors, ci)

    @property
    def _integral(self) -> str:
        if not isinstance(self.solution, MarginalFit):
            return ""
        nodes = self.solution.quadrature
        return " (Laplace)" if nodes == 1 else f" ({nodes} quadrature nodes a dimension)"

    def __str__(self) -> str:
        summary = self.summary()
        kind = "log-likelihood" if self.weights is None else "weighted log-likelihood"
        fit = "no likelihood (GEE)" if np.isnan(self.loglik) else f"{kind} {self.loglik:.3f}"
        notes = "".join(f"\n  - {note}" for note in self.caveats)
        return (
            f"{type(self.model).__name__}({self.model.formula!r}) by {self.method}{self._integral}: {fit}\n"
            f"{self.design.n_patients} patients, {len(self.design.frame)} rows of '{self.design.cohort_name}'{notes}\n"
            f"{summary.round(4).to_string()}\n  lower, upper: {summary.attrs['interval']}"
        )

    def __repr__(self) -> str:
        return str(self)


def maximise(
    model: MixedModel,
    cohort: Cohort,
    *,
    method: Method = "maximum likelihood",
    quadrature: int = 7,
    weights: Weights | None = None,
    progress: bool = True,
) -> PointFit:
    """Fit a model by maximum likelihood, or by a relative of it.

    `OrdinalMixed`, `BinaryMixed`, and `RelapseCounts` and `LesionCounts` with patient effects: the likelihood with the patient effects
    integrated out by adaptive Gauss–Hermite quadrature. `GaussianMixed`: maximum likelihood or REML (MixedLM), with the integral in closed
    form, and with groups of patients too, `(1 | centre)`, whose effects are predicted.
    `RelapseCounts` and `LesionCounts` without patient effects: negative binomial or Poisson regression with exposure; with several rows a
    patient also GEE, whose rate ratios are population averages.

    Parameters
    ----------
    model
        The specification; its priors are not used.
    cohort
        The patients.
    method
        "maximum likelihood", "reml" (GaussianMixed) or "gee" (RelapseCounts, LesionCounts).
    quadrature
        Nodes a dimension of the integrals over patient effects; 1 is Laplace's approximation, which R's clmm and glmmTMB use, and which is
        biased where patients have few rows.
    weights
        What each patient counts, from `tj.weights` and its relatives: Σ_i w_i log L_i is maximised, with L_i the patient's integral, as the
        rows inside it are one person's. Patients without a weight, or with 0, are left out and counted. Standard errors are then
        robust, clustered by patient and as if each were left out in turn (Mancl and DeRouen), as plain sandwiches are too small where a few
        patients have much of the weight. They allow for the estimation of propensities and of balancing, also of trimmed and capped weights;
        matched sets and weights by hand are taken as known.
    progress
        Whether to show, in a terminal, how far a search with integrals is.

    Returns
    -------
    A `PointFit`.

    Raises
    ------
    NotImplementedError
        For `OrdinalMixed` with visit effects; for groups, `(1 | centre)`, of other models than `GaussianMixed`, with weights or by GEE.
    FormulaError
        If there are more patient effects than rows of any patient.
    ValueError
        If the method is not one of the model's, the outcome is constant, nobody in an arm had a relapse, or the weights are of other
        patients.
    ConvergenceError
        If the likelihood has no maximum, as under separation, or none was found; the message names the terms.

    Source: Pinheiro and Bates (1995), Journal of Computational and Graphical Statistics 4:12, doi:10.1080/10618600.1995.10474663; for
    ordinal outcomes Hedeker and Gibbons (1994), Biometrics 50:933, doi:10.2307/2533433.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> cohort = tj.simulated_alemtuzumab_35()
    >>> fit = maximise(models.OrdinalMixed("edss ~ years + (1 | patient)"), cohort)
    >>> list(fit.summary().columns)
    ['estimate', 'se', 'lower', 'upper']
    >>> tj.change(fit, 2.0).unit
    'EDSS points'
    """
    allowed: tuple[str, ...] = ("maximum likelihood",)
    if isinstance(model, GaussianMixed):
        allowed = ("maximum likelihood", "reml")
    elif isinstance(model, CountModel):
        allowed = ("maximum likelihood", "gee")
    if method not in allowed:
        raise ValueError(
            f"{type(model).__name__} is fitted by {' or '.join(map(repr, allowed))}, not by {method!r}."
        )
    if weights is not None:
        check_weights(weights)
    design = model.design(cohort) if weights is None else _weighted_design(model, cohort, weights)
    solution: MixedLMFit | CountFit | MarginalFit
    if isinstance(model, GaussianMixed):
        solution = fit_mixedlm(model, design, reml=method == "reml")
    elif isinstance(model, CountModel) and (method == "gee" or not design.effects):
        solution = fit_counts(model, design, "gee" if method == "gee" else "maximum likelihood")
    else:
        with status(progress, "maximum likelihood") as report:
            solution = fit_marginal(
                model,
                design,
                quadrature=quadrature,
                report=lambda text: report(f"maximum likelihood: {text}"),
            )
    return PointFit(
        model=model, design=design, method=method, solution=solution, weights=weights, cohort=cohort
    )


def _weighted_design(model: MixedModel, cohort: Cohort, weights: Weights) -> Design:
    """Make the design of the patients with a weight above 0; their weights average 1 over it, which does not move the estimates."""
    values = weights.values[weights.values > 0]
    ids = cohort.patients["patient"]
    if not values.index.isin(ids).all():
        raise ValueError(
            f"the weights are of other patients than those of '{cohort.name}': make them from this cohort."
        )
    kept = ids[ids.isin(values.index)]
    design = model.design(cohort if len(kept) == len(ids) else cohort.only(kept.tolist()))
    left_out = [f"{len(ids) - len(kept)} of {len(ids)} patients have no weight and were left out"] * (
        len(kept) < len(ids)
    )
    return replace(design, weights=_of_patients(weights, design), excluded=(*left_out, *design.excluded))


def _of_patients(weights: Weights, design: Design) -> PatientWeights:
    """The weights in the order of a design, and how they depend on what was estimated for them."""
    ids = pd.Index(list(design.patient_ids or ()))
    own = weights.values.loc[ids].to_numpy(dtype=float)
    mean, made = own.mean(), weights.estimation
    if made is None:
        return PatientWeights(values=own / mean)
    order = ids.append(made.influence.index.difference(ids, sort=False))
    return PatientWeights(
        values=own / mean,
        influence=made.influence.loc[order].to_numpy(),
        slopes=made.values.loc[ids].to_numpy() / mean,
    )


def _weighted(weights: Weights) -> str:
    return f"weighted: {weights.description} Standard errors are robust and " + (
        "take the weights as known; a bootstrap that makes them anew (tj.contrast) allows for their estimation"
        if weights.estimation is None
        else "allow for the estimation of the weights"
    )


def _wald_frame(estimates: xr.Dataset, standard_errors: xr.Dataset, ci: float) -> pd.DataFrame:
    z = normal_limit(ci)
    rows = {}
    order = (
        "intercept",
        "coefficients",
        "patient_sd",
        "patient_correlation",
        "group_sd",
        "residual_sd",
        "dispersion",
        "cutpoints",
    )
    for name in order:
        if name not in estimates:
            continue
        array, errors = estimates[name], standard_errors[name]
        labels = [""] if array.ndim == 0 else [str(label) for label in array[array.dims[0]].to_numpy()]
        for label, estimate, se in zip(labels, np.atleast_1d(array), np.atleast_1d(errors), strict=True):
            if not np.isfinite(estimate):
                continue  # a cutpoint beyond the levels that somebody has
            lower, upper = _wald(name, float(estimate), float(se), z)
            rows[row_name(name, label)] = {
                "estimate": float(estimate),
                "se": float(se),
                "lower": lower,
                "upper": upper,
            }
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index.name = "term"
    return frame


def _wald(name: str, estimate: float, se: float, z: float) -> tuple[float, float]:
    """Interval on the scale where the estimate is nearly normal: log for standard deviations, Fisher's z for correlations.

    A standard deviation that is not clearly above 0 has no normal logarithm: then the interval is on its own scale, cut at 0.
    """
    if name in ("patient_sd", "group_sd", "residual_sd", "dispersion"):
        if not se < 0.5 * estimate:
            return max(0.0, estimate - z * se), estimate + z * se
        width = np.exp(z * se / estimate)
        return estimate / width, estimate * width
    if name == "patient_correlation" and abs(estimate) < 1:
        half = z * se / (1 - estimate**2)
        return float(np.tanh(np.arctanh(estimate) - half)), float(np.tanh(np.arctanh(estimate) + half))
    return estimate - z * se, estimate + z * se
