"""Profile-likelihood intervals, and likelihood-ratio tests between nested maximum-likelihood fits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trajectories.estimate import check_ci, normal_limit
from trajectories.fitting.diagnostics import ConvergenceError
from trajectories.fitting.leave_one_out import check_same
from trajectories.fitting.marginal import Integrated
from trajectories.fitting.marginal_fit import NO_VARIANCE, MarginalFit
from trajectories.fitting.marginal_peak import maximum
from trajectories.fitting.mixedlm import MixedLMFit
from trajectories.fitting.peak import ascend
from trajectories.models.base import Floats, Scaling
from trajectories.models.blocks.patient_effects import from_user, lower_entries
from trajectories.models.counts import CountModel
from trajectories.models.ordinal import OrdinalMixed

if TYPE_CHECKING:
    from trajectories.fitting.point import PointFit

__all__ = ["LikelihoodRatio", "ProfileInterval", "likelihood_ratio", "profile_interval"]

# A profile that is higher than the maximum by more than this shows that the fit is none.
HIGHER = 1e-3
# Steps away from the estimate, each half as long again as the one before, in which a limit must be found; and how well, in standard errors.
MOST_STEPS, PRECISE = 10, 1e-3
# The slope of the log-likelihood at the top of a profile, where there may be no curvature to judge it by.
SLOPE = 1e-4


@dataclass(frozen=True, kw_only=True)
class ProfileInterval:
    """A profile-likelihood interval; made by `PointFit.profile`.

    Parameters
    ----------
    term
        As the summary of the fit names it.
    estimate, lower, upper
        In the user's units.
    ci
        Probability of the interval.
    patients, rows
        How many.
    notes
        What the reader must know, and the caveats of the fit.
    """

    term: str
    estimate: float
    lower: float
    upper: float
    ci: float
    patients: int
    rows: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        notes = "".join(f"\n  - {note}" for note in self.notes)
        return (
            f"{self.term}: {self.estimate:.4f}, {self.ci:.0%} profile-likelihood interval {self.lower:.4f} to {self.upper:.4f}\n"
            f"{self.patients} patients, {self.rows} rows{notes}"
        )


def profile_interval(fit: PointFit, term: str, ci: float = 0.95) -> ProfileInterval:
    """Find where twice the drop of the profile log-likelihood is the quantile of χ²₁; see `PointFit.profile`."""
    check_ci(ci)
    if not isinstance(fit.solution, MarginalFit):
        raise TypeError(
            "profile intervals are those of fits with the patient effects integrated out, by tj.maximise: of OrdinalMixed, or counts with "
            "'(1 | patient)'."
        )
    profile = _profile_of(fit.solution, term)
    z = normal_limit(ci)
    upper = profile.limit(z, 1.0)
    notes = list(fit.caveats)
    if profile.positive and (profile.estimate < NO_VARIANCE or profile.root_at_zero() > -z):
        lower = 0.0
        notes.insert(
            0, f"no {term} at all, 0 on the boundary, is compatible with the data: the lower limit is 0"
        )
    else:
        lower = profile.limit(z, -1.0)
    return ProfileInterval(
        term=term,
        estimate=profile.estimate,
        lower=lower,
        upper=upper,
        ci=ci,
        patients=fit.design.n_patients,
        rows=len(fit.design.frame),
        notes=tuple(notes),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Profile:
    """The profile of one parameter.

    Parameters
    ----------
    name
        For messages.
    likelihood, theta, loglik
        The likelihood, in coordinates of which the parameter is one, and its maximum.
    position, scale
        Which one, and by how much larger it is than in the user's units.
    estimate, se
        In the user's units.
    positive
        Whether it is a standard deviation.
    alone
        Further coordinates that are 0 where a standard deviation is 0, since they mean nothing there.
    floors
        As `maximum` takes them.
    """

    name: str
    likelihood: Integrated
    theta: Floats
    loglik: float
    position: int
    scale: float
    estimate: float
    se: float
    positive: bool = False
    alone: tuple[int, ...] = ()
    floors: dict[int, float]

    def root(self, value: float, start: Floats, others: tuple[int, ...] = ()) -> tuple[float, Floats]:
        """Signed root of twice the drop of the log-likelihood at a value, and the other parameters there."""
        held = {self.position: value * self.scale} | dict.fromkeys(others, 0.0)
        try:
            top = maximum(self.likelihood, held=held, floors=self.floors, start=start, errors=False)
            loglik, theta = top.loglik, top.theta
        except ConvergenceError as error:
            # Away from the estimate correlations may reach ±1, where the log-likelihood is flat in an entry of Λ: its value is the same.
            found = _top_without_curvature(self.likelihood, held, start)
            if found is None:
                raise ConvergenceError(f"the profile of {self.name} at {value:.4g}: {error}") from error
            loglik, theta = found
        drop = self.loglik - loglik
        if drop < -HIGHER:
            raise ConvergenceError(
                f"the profile of {self.name} is higher at {value:.4g} than at the estimate {self.estimate:.4g}, by {-drop:.4f}: the fit is not "
                "at the maximum of the likelihood. Fit again with more nodes (quadrature=11), or a simpler model."
            )
        return float(np.sign(value - self.estimate) * np.sqrt(2 * max(drop, 0.0))), theta

    def root_at_zero(self) -> float:
        """The signed root where a standard deviation is 0."""
        return self.root(0.0, self.theta, self.alone)[0]

    def limit(self, z: float, side: float) -> float:
        """Where the signed root is z times side, in steps away from the estimate, then by bisection and interpolation (Brent)."""
        from scipy.optimize import brentq

        start = self.theta
        near, step = self.estimate, z * self._step()
        for _ in range(MOST_STEPS):
            far = near + side * step
            if self.positive and side < 0:
                far = near / (1 + step / max(near, 1e-12))
            reached, start = self.root(far, start)
            if side * reached >= z:
                break
            near, step = far, 1.5 * step
        else:
            raise ConvergenceError(
                f"the profile of {self.name} does not fall far enough up to {far:.4g}: the data set no limit on this side. Estimate it with "
                "priors: tj.sample(model, cohort)."
            )

        def excess(value: float) -> float:
            nonlocal start
            if value == self.estimate:
                return -z
            reached, start = self.root(value, start)
            return side * reached - z

        return float(brentq(excess, near, far, xtol=PRECISE * self._step(), rtol=1e-10))

    def _step(self) -> float:
        """The standard error; without one, as on a boundary, a quarter of a standard deviation of the optimiser's column."""
        return self.se if np.isfinite(self.se) and self.se > NO_VARIANCE / self.scale else 0.25 / self.scale


def _top_without_curvature(
    likelihood: Integrated, held: dict[int, float], start: Floats
) -> tuple[float, Floats] | None:
    """The highest log-likelihood with some parameters held, and where, by quasi-Newton steps; None where a slope is left."""
    at = start.copy()
    at[list(held)] = list(held.values())
    free = np.setdiff1d(np.arange(len(at)), list(held))
    at[free] += 1e-3
    scale = likelihood.rows.n_patients

    def rise(theta: Floats) -> tuple[float, Floats]:
        value, slope = likelihood.gradient(theta)
        return value / scale, slope / scale

    at = ascend(rise, at, free, slope=SLOPE / scale, most=500)
    value, slope = likelihood.gradient(at)
    # the drop that such a slope can hide is far below what a limit needs
    return (value, at) if np.abs(slope[free]).max() < 20 * SLOPE else None


def _profile_of(fit: MarginalFit, term: str) -> _Profile:
    design, shape = fit.adaptor.design, fit.likelihood.shape
    estimates, errors = fit.estimates(), fit.standard_errors()
    if term in design.terms:
        k = design.terms.index(term)
        return _Profile(
            name=term,
            likelihood=fit.likelihood,
            theta=fit.theta,
            loglik=fit.loglik,
            position=shape.own + k,
            scale=float(fit.adaptor.x.sd[k]),
            estimate=float(estimates["coefficients"][k]),
            se=float(errors["coefficients"][k]),
            floors=fit.adaptor.floors,
        )
    effects = [f"sd({effect})" for effect in design.effects]
    if term not in effects:
        raise ValueError(
            f"there is no profile of {term!r}, but of the fixed terms and the patients' standard deviations: "
            f"{', '.join([*design.terms, *effects])}."
        )
    k = effects.index(term)
    likelihood, theta = _with_first(fit, k)
    first = shape.own + shape.terms
    return _Profile(
        name=term,
        likelihood=likelihood,
        theta=theta,
        loglik=fit.loglik,
        position=first,
        scale=float(fit.adaptor.z.sd[k]),
        estimate=float(estimates["patient_sd"][k]),
        se=float(errors["patient_sd"][k]),
        positive=True,
        alone=tuple(first + i * (i + 1) // 2 for i in range(1, shape.effects)),
        floors=fit.adaptor.floors,
    )


def _with_first(fit: MarginalFit, k: int) -> tuple[Integrated, Floats]:
    """The same likelihood with the patient effects in an order, and about an origin, that make the first entry of Λ the k-th sd.

    The sd of the intercept is that at the user's time 0, so that times must not be centred for it.
    """
    adaptor, shape = fit.adaptor, fit.likelihood.shape
    if shape.effects == 1:
        theta = fit.theta.copy()
        theta[-1] = abs(theta[-1])  # Λ and −Λ are the same
        return fit.likelihood, theta
    scaling = Scaling(mean=adaptor.z.mean * (k > 0), sd=adaptor.z.sd)
    order = [k, *(j for j in range(shape.effects) if j != k)]
    Z = scaling.apply(adaptor.design.formula.matrices.Z)[:, order]
    to_new = from_user(scaling)
    covariance = to_new @ fit.estimates()["patient_covariance"].to_numpy() @ to_new.T
    likelihood = Integrated(
        shape=shape, rows=replace(fit.likelihood.rows, Z=Z), quadrature=fit.likelihood.quadrature
    )
    entries = lower_entries(covariance[np.ix_(order, order)])
    return likelihood, np.concatenate([fit.theta[: shape.own + shape.terms], entries])


# Likelihood-ratio tests


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
    if isinstance(one, OrdinalMixed) and isinstance(other, OrdinalMixed) and one.link != other.link:
        raise ValueError(f"the links differ ({one.link} and {other.link}): these models are not nested.")
    nodes = {fit.solution.quadrature for fit in (smaller, larger) if isinstance(fit.solution, MarginalFit)}
    if len(nodes) > 1:
        raise ValueError(
            f"the likelihoods are computed with different numbers of nodes ({', '.join(map(str, sorted(nodes)))}): use the same quadrature."
        )


def _added(smaller: PointFit, larger: PointFit) -> tuple[int, int]:
    """How many parameters the larger model has more, and how many of them are variances that are 0 in the smaller."""
    small, large = (fit.design.formula.matrices for fit in (smaller, larger))
    rows = len(small.X)
    _check_within("fixed", small.X, np.column_stack([np.ones(rows), large.X]))
    _check_within("patient-varying", small.Z, large.Z)
    variances = large.Z.shape[1] - small.Z.shape[1]
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
