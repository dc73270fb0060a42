"""Likelihood-ratio tests between nested maximum-likelihood fits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trajectories.fitting.diagnostics import ConvergenceError
from trajectories.fitting.leave_one_out import check_same
from trajectories.fitting.marginal_fit import NO_VARIANCE, MarginalFit
from trajectories.fitting.mixedlm import MixedLMFit
from trajectories.models.binary import BinaryMixed
from trajectories.models.counts import CountModel
from trajectories.models.design import Floats
from trajectories.models.ordinal import OrdinalMixed

if TYPE_CHECKING:
    from trajectories.fitting.point import PointFit

__all__ = ["LikelihoodRatio", "likelihood_ratio"]

# A log-likelihood of the larger model that is lower by more than this shows that it is no maximum.
HIGHER = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LikelihoodRatio:
    """A likelihood-ratio test of a model within a larger one; made by `likelihood_ratio`.

    Parameters
    ----------
    smaller, larger
        The fits.
    statistic
        2 (log-likelihood of the larger − that of the smaller), at least 0.
    df
        How many parameters more the larger has.
    p_value
        Probability of at least this statistic if the smaller model is true.
    reference
        The distribution that it was taken from, in words.
    notes
        What the reader must know.
    """

    smaller: PointFit = field(repr=False)
    larger: PointFit = field(repr=False)
    statistic: float
    df: int
    p_value: float
    reference: str
    notes: tuple[str, ...] = ()

    def summary(self) -> pd.DataFrame:
        """Return a row a model: `parameters`, `loglik`, `aic`, `statistic`, `df`, `p_value`; `attrs` say patients, rows and notes."""
        rows = {
            fit.model.formula
            if self.smaller.model.formula != self.larger.model.formula
            else str(fit.model): {
                "parameters": fit.solution.n_parameters,
                "loglik": fit.loglik,
                "aic": fit.aic,
                "statistic": statistic,
                "df": df,
                "p_value": p,
            }
            for fit, statistic, df, p in (
                (self.smaller, np.nan, np.nan, np.nan),
                (self.larger, self.statistic, self.df, self.p_value),
            )
        }
        frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
        frame.attrs.update(
            reference=self.reference,
            patients=self.larger.design.n_patients,
            rows=len(self.larger.design.frame),
            notes=list(self.notes),
        )
        return frame

    def __str__(self) -> str:
        notes = "".join(f"\n  - {note}" for note in self.notes)
        p = f"p = {self.p_value:.4f}" if self.p_value >= 0.0001 else "p < 0.0001"
        return (
            f"Likelihood-ratio test: {self.statistic:.3f} on {self.df} df, {p} ({self.reference})\n"
            f"{self.larger.design.n_patients} patients, {len(self.larger.design.frame)} rows of '{self.larger.design.cohort_name}'\n"
            f"{self.summary().round(4).to_string()}{notes}"
        )

    def __repr__(self) -> str:
        return str(self)


def likelihood_ratio(smaller: PointFit, larger: PointFit) -> LikelihoodRatio:
    """Test a model within a larger one that contains it, both fitted by maximum likelihood to the same rows.

    2 (ℓ_larger − ℓ_smaller) is about χ² with as many degrees of freedom as there are parameters more. If one variance is among these (a
    patient effect, or the dispersion of counts) the smaller model lies on the boundary of the larger, and the statistic is a 50:50
    mixture of χ² with one degree of freedom less and with all of them; plain χ² would give up to twice the p-value. For several
    variances no such mixture is used: the p-value is that of plain χ², at most too large.

    Parameters
    ----------
    smaller, larger
        From `maximise`.

    Returns
    -------
    A `LikelihoodRatio`.

    Raises
    ------
    ValueError
        If a fit is by REML or GEE, the rows, outcomes, kinds of model or numbers of nodes differ, or the models are not nested.
    ConvergenceError
        If the larger model has the lower log-likelihood.

    Source: Wilks (1938), Annals of Mathematical Statistics 9:60, doi:10.1214/aoms/1177732360; at boundaries Self and Liang (1987), Journal of
    the American Statistical Association 82:605, doi:10.1080/01621459.1987.10478472, and Stram and Lee (1994), Biometrics 50:1171,
    doi:10.2307/2533455.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> cohort = tj.simulate_cohort(patients={"old": 20, "new": 20}, seed=1)
    >>> smaller, larger = (
    ...     tj.maximise(models.RelapseCounts(formula, family="poisson"), cohort)
    ...     for formula in ("relapses ~ arm + period", "relapses ~ arm * period")
    ... )
    >>> likelihood_ratio(smaller, larger).df
    1
    """
    _check_comparable(smaller, larger)
    df, variances = _added(smaller, larger)
    statistic = 2 * (larger.loglik - smaller.loglik)
    if statistic < -2 * HIGHER:
        raise ConvergenceError(
            f"the larger model has the lower log-likelihood ({larger.loglik:.4f} against {smaller.loglik:.4f}), which cannot be its maximum: "
            "simplify it, or raise quadrature in both fits."
        )
    statistic = max(statistic, 0.0)
    notes = list(dict.fromkeys([*smaller.caveats, *larger.caveats]))
    p, reference = _p_value(statistic, df, variances)
    if variances == 1:
        notes.insert(
            0,
            "the smaller model sets a variance to 0, on the boundary of what is possible: under it the estimate is 0 half of the time",
        )
    elif variances > 1:
        notes.insert(
            0,
            f"the smaller model sets {variances} variances to 0, on the boundary: the p-value is too large; add them one at a time for mixtures "
            "that are known",
        )
    if _singular(smaller):
        notes.insert(
            0,
            "the covariance of the patient effects is singular in the smaller model already: the reference is rough",
        )
    return LikelihoodRatio(
        smaller=smaller,
        larger=larger,
        statistic=statistic,
        df=df,
        p_value=p,
        reference=reference,
        notes=tuple(notes),
    )


def _p_value(statistic: float, df: int, variances: int) -> tuple[float, str]:
    from scipy.stats import chi2

    if variances != 1:
        return float(chi2.sf(statistic, df)), f"χ² with {df} df"
    below = float(chi2.sf(statistic, df - 1)) if df > 1 else float(statistic == 0)
    return 0.5 * below + 0.5 * float(chi2.sf(statistic, df)), f"50:50 mixture of χ² with {df - 1} and {df} df"


def _check_comparable(smaller: PointFit, larger: PointFit) -> None:
    for fit in (smaller, larger):
        fit.require_likelihood("a likelihood-ratio test")
        if fit.method == "reml":
            raise ValueError(
                "restricted likelihoods compare only models with the same fixed terms: fit both by method='maximum likelihood'."
            )
        if fit.method == "gee":
            raise ValueError("GEE has no likelihood: fit both by method='maximum likelihood'.")
    check_same("the smaller", smaller, "the larger", larger)
    one, other = smaller.model, larger.model
    if type(one) is not type(other):
        raise ValueError(f"{type(one).__name__} is not nested in {type(other).__name__}.")
    links = [model.link for model in (one, other) if isinstance(model, OrdinalMixed | BinaryMixed)]
    if len(set(links)) > 1:
        raise ValueError(f"the links differ ({' and '.join(links)}): these models are not nested.")
    nodes = {fit.solution.quadrature for fit in (smaller, larger) if isinstance(fit.solution, MarginalFit)}
    if len(nodes) > 1:
        raise ValueError(
            f"the likelihoods are computed with different numbers of nodes ({', '.join(map(str, sorted(nodes)))}): use the same quadrature."
        )


def _added(smaller: PointFit, larger: PointFit) -> tuple[int, int]:
    """How many parameters the larger model has more, and how many of them are variances that are 0 in the smaller."""
    small, large = (fit.design.formula.matrices for fit in (smaller, larger))
    fixed = larger.design.fixed_columns
    _check_within("fixed", smaller.design.fixed_columns, np.column_stack([np.ones(len(fixed)), fixed]))
    _check_within("patient-varying", small.Z, large.Z)
    names = [{group.name for group in fit.design.groups} for fit in (smaller, larger)]
    if lost := names[0] - names[1]:
        raise ValueError(f"these models are not nested: the larger lacks '(1 | {min(lost)})' of the smaller.")
    variances = large.Z.shape[1] - small.Z.shape[1] + len(names[1] - names[0])
    one, other = smaller.model, larger.model
    if isinstance(one, CountModel) and isinstance(other, CountModel):
        groups = [
            0 if model.family == "poisson" else len(larger.design.arms) if model.dispersion_by else 1
            for model in (one, other)
        ]
        if groups[0] > groups[1]:
            raise ValueError("these models are not nested: the smaller has more dispersions than the larger.")
        variances += groups[1] if groups[0] == 0 else 0
    df = larger.solution.n_parameters - smaller.solution.n_parameters
    if df < 1:
        raise ValueError("these models are not nested: the larger has no parameter more than the smaller.")
    return df, variances


def _check_within(what: str, small: Floats, large: Floats) -> None:
    if not small.shape[1]:
        return
    if large.shape[1]:
        remainder = small - large @ np.linalg.lstsq(large, small, rcond=None)[0]
        if (np.linalg.norm(remainder, axis=0) <= 1e-8 * np.linalg.norm(small, axis=0)).all():
            return
    raise ValueError(f"these models are not nested: the larger lacks {what} terms of the smaller.")


def _singular(fit: PointFit) -> bool:
    if isinstance(fit.solution, MarginalFit):
        factor = fit.solution.adaptor.factor(fit.solution.theta[None])[0]
        return bool(np.linalg.svd(factor, compute_uv=False).min() < NO_VARIANCE)
    if isinstance(fit.solution, MixedLMFit):
        covariance = fit.solution.estimates["patient_covariance"].to_numpy()
        return bool(np.linalg.eigvalsh(covariance).min() < NO_VARIANCE**2)
    return False
