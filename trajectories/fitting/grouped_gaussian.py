"""Maximum likelihood and REML of the Gaussian mixed model with effects of groups of patients beside theirs, `(1 | centre) + (… | patient)`.

y = Xβ + Gb + Zu + e, b_l ~ N(0, s²): given b patients are independent, V₀ of their visits block-diagonal, and b of a few dozen levels is
integrated out of the sums over patients. With D = diag(s), b = Dv and H = I + D G'V₀⁻¹G D, log|V| = log|V₀| + log|H|; and Henderson's
equations [X'V₀⁻¹X, X'V₀⁻¹GD; D G'V₀⁻¹X, H] (β, v) = (X'V₀⁻¹y, D G'V₀⁻¹y) give the estimates, the predicted effects and, inverted, the
covariance matrix of both, for an s of 0 too.

Source: Henderson (1975), Biometrics 31:423.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from trajectories.fitting.delta import slopes_of, variance_of
from trajectories.fitting.diagnostics import ConvergenceError, what_to_try
from trajectories.fitting.marginal_gaussian import Moments, cross_products, moments, pack, unpack
from trajectories.fitting.mixedlm import (
    AS_LIKELY,
    REMEDIES,
    SAME,
    Attempt,
    MixedLMFit,
    dataset_of,
    highest,
    matrix_of,
    without_directions,
)
from trajectories.fitting.peak import Peak, climb
from trajectories.models.blocks import patient_effects
from trajectories.models.design import Design, Floats, Scaling
from trajectories.models.gaussian import GaussianMixed

__all__ = ["Grouped", "GroupedFit", "fit_grouped"]

# Shares of the outcome's sd that patients, and of those that groups, have at the starts of the search.
STARTS = ((0.7, 0.4), (0.3, 0.1))
# A standard deviation of groups below this many EDSS points is none.
SMALLEST = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Solution:
    """The log-likelihood at variance parameters; β and v there, and the inverse of the matrix of their equations."""

    loglik: float
    effects: Floats
    covariance: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Grouped:
    """The likelihood of a design with groups, as a function of θ: entries of Λ, log residual sd, and the groups' sds of either sign.

    Parameters
    ----------
    sums
        Of the intercept and the centred and scaled columns, then the indicators.
    fixed
        How many fixed effects there are, the intercept among them.
    sizes
        Levels of each group.
    effects
        Effects a patient.
    reml
        Whether it is the restricted likelihood.
    """

    sums: Moments
    fixed: int
    sizes: tuple[int, ...]
    effects: int
    reml: bool

    @classmethod
    def of(cls, design: Design, *, reml: bool) -> Grouped:
        """Sum up a design."""
        matrices, x = design.formula.matrices, Scaling.of(design.fixed_columns)
        fixed = np.column_stack([np.ones(len(design.frame)), x.apply(design.fixed_columns)])
        X = np.column_stack([fixed, matrices.X[:, len(design.fixed_terms) :]])
        Z = patient_effects.patient_scaling(matrices.Z).apply(matrices.Z)
        return cls(
            sums=moments(X, Z, design.outcome, design.patient, float(np.log(x.sd).sum())),
            fixed=fixed.shape[1],
            sizes=tuple(len(group.levels) for group in design.groups),
            effects=len(design.effects),
            reml=reml,
        )

    def parts(self, theta: Floats) -> tuple[Floats, Floats]:
        """Parameters (… × θ) in two: those of patients and residual, and the sds of the groups."""
        ends = theta.shape[-1] - len(self.sizes)
        return theta[..., :ends], theta[..., ends:]

    def scale(self, theta: Floats) -> Floats:
        """What β and v are multiplied with to give β and b: 1, and the sd of each level."""
        return np.concatenate([np.ones(self.fixed), np.repeat(self.parts(theta)[1], self.sizes)])

    def solve(self, theta: Floats) -> Solution:
        """Evaluate the log-likelihood, maximal over the fixed effects."""
        factor, residual_sd = unpack(self.parts(theta)[0], self.effects)
        A, log_det = cross_products(self.sums, factor, float(residual_sd))
        scale, p = np.append(self.scale(theta), 1.0), self.fixed
        A = A * scale * scale[:, None]
        M, right = A[:-1, :-1] + np.diag((np.arange(len(A) - 1) >= p).astype(float)), A[:-1, -1]
        effects = np.linalg.solve(M, right)
        within = np.linalg.slogdet(M[p:, p:])[1]
        deviance = log_det + within + A[-1, -1] - right @ effects + self.sums.rows * np.log(2 * np.pi)
        if self.reml:
            deviance += np.linalg.slogdet(M)[1] - within + 2 * self.sums.log_units - p * np.log(2 * np.pi)
        return Solution(loglik=float(-deviance / 2), effects=effects, covariance=np.linalg.inv(M))

    def value(self, theta: Floats) -> float:
        """The log-likelihood."""
        return self.solve(theta).loglik


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupedFit(MixedLMFit):
    """A Gaussian mixed model with groups at its maximum: the groups' effects are predicted, among the coefficients.

    `fixed_covariance` is of the fixed effects and of the errors b̂ − b of these predictions, at the estimated variances;
    `variance_parameters` end with the groups' standard deviations, of either sign.
    """

    def draws(self, n: int = 1000, seed: int | None = None) -> xr.Dataset:
        """Draw fixed effects and, given the data, groups' effects at the estimated variances; and variances as in `MixedLMFit`."""
        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}.")
        rng = np.random.default_rng(seed)
        mean = np.append(float(self.estimates["intercept"]), self.estimates["coefficients"].to_numpy())
        fixed = mean + rng.normal(size=(n, len(mean))) @ _root(self.fixed_covariance.to_numpy()).T
        theta = np.repeat(self.variance_parameters.to_numpy()[None], n, axis=0)
        theta += rng.normal(size=theta.shape) @ _root(self.variance_covariance.to_numpy()).T
        return _dataset(self.design, fixed, theta)


def fit_grouped(model: GaussianMixed, design: Design, *, reml: bool) -> GroupedFit:
    """Fit a Gaussian mixed model with independent residuals and groups; patients and their visits have been checked.

    Raises
    ------
    ConvergenceError
        If no start led to a maximum.
    """
    likelihood = Grouped.of(design, reml=reml)
    attempts = [_attempt(likelihood, design, shares) for shares in STARTS]
    found = [(attempt, theta) for attempt, theta in attempts if np.isfinite(attempt.loglik)]
    said = "\n".join(f"  - {a.method}: {a.said}, log-likelihood {a.loglik:.4f}" for a, _ in attempts)
    if not found:
        raise ConvergenceError(f"the mixed model could not be fitted.\n{said}\n{what_to_try(REMEDIES)}")
    best, theta = max(found, key=lambda pair: pair[0].loglik)
    theta, notes = _boundaries(likelihood, theta, best.loglik, design)
    try:
        peak = climb(likelihood.value, theta)
    except np.linalg.LinAlgError as error:
        raise ConvergenceError(
            f"the mixed model could not be fitted: next to no residual variance is left.\n{said}\n{what_to_try(REMEDIES)}"
        ) from error
    if not peak.converged:
        raise ConvergenceError(
            f"the mixed model could not be fitted: the log-likelihood has no proper maximum.\n{said}\n{what_to_try(REMEDIES)}"
        )
    if max(a.loglik for a, _ in found) - min(a.loglik for a, _ in found) > SAME:
        notes.append("two starts of the search ended at different log-likelihoods; the higher was taken")
    return _result(design, likelihood, peak, tuple(a for a, _ in attempts), notes)


def _attempt(likelihood: Grouped, design: Design, shares: tuple[float, float]) -> tuple[Attempt, Floats]:
    """Maximise by BFGS from standard deviations that are shares of the outcome's."""
    spread, (patients, groups) = float(np.std(design.outcome)), shares
    start = pack(np.eye(likelihood.effects) * (patients * spread) ** 2, (1 - patients) * spread)
    start = np.append(start, np.full(len(likelihood.sizes), groups * spread))
    theta, converged = highest(likelihood.value, start, likelihood.effects, likelihood.sums.rows)
    factor, residual_sd = unpack(likelihood.parts(theta)[0], likelihood.effects)
    attempt = Attempt(
        method=f"from a patient sd of {patients * spread:.3g}",
        loglik=likelihood.value(theta) if converged else np.nan,
        converged=converged,
        said="converged" if converged else "did not converge",
        covariance=factor @ factor.T,
        residual_sd=float(residual_sd),
    )
    return attempt, theta


def _boundaries(
    likelihood: Grouped, theta: Floats, loglik: float, design: Design
) -> tuple[Floats, list[str]]:
    """Set to 0 the standard deviations of groups, and directions of the patients' covariance, without which the data are as likely."""
    notes = []
    for k, group in enumerate(design.groups):
        reduced = theta.copy()
        reduced[len(theta) - len(design.groups) + k] = 0.0
        if likelihood.value(reduced) >= loglik - AS_LIKELY:
            theta = reduced
            notes.append(
                f"no variance between levels of {group.name} is estimated, on the boundary of what is possible: their effects are 0"
            )
    own, groups = likelihood.parts(theta)
    factor, residual_sd = unpack(own, likelihood.effects)
    own, said = without_directions(
        lambda reduced: likelihood.value(np.append(reduced, groups)), own, factor @ factor.T, float(residual_sd), loglik, design
    )  # fmt: skip
    return np.append(own, groups), [*notes, *said]


def _result(
    design: Design, likelihood: Grouped, peak: Peak, attempts: tuple[Attempt, ...], notes: list[str]
) -> GroupedFit:
    at, to_user = likelihood.solve(peak.theta), _to_user(design)
    to_user = to_user * likelihood.scale(peak.theta)
    fixed, covariance = to_user @ at.effects, to_user @ at.covariance @ to_user.T
    q, names = len(design.effects), [group.name for group in design.groups]
    pairs = [f"factor({design.effects[i]}, {design.effects[j]})" for i in range(q) for j in range(i + 1)]
    labels = [*pairs, "log residual_sd", *(f"sd({name})" for name in names)]
    if likelihood.reml:
        notes.append("REML: log-likelihoods compare only between fits with the same fixed terms")
    notes.append(
        f"effects of levels of {' and '.join(names)} are predicted (best linear unbiased prediction); their errors hold at the estimated "
        "standard deviations, whose own uncertainty is not in them"
    )
    return GroupedFit(
        design=design,
        reml=likelihood.reml,
        loglik=at.loglik,
        n_parameters=likelihood.fixed + len(peak.theta),
        estimates=_dataset(design, fixed[None], peak.theta[None]).isel(chain=0, draw=0, drop=True),
        standard_errors=_standard_errors(design, fixed, covariance, peak),
        fixed_covariance=matrix_of(covariance, ["intercept", *design.terms], "term"),
        variance_parameters=xr.DataArray(peak.theta, coords={"parameter": labels}, dims="parameter"),
        variance_covariance=matrix_of(peak.covariance, labels, "parameter"),
        attempts=attempts,
        notes=tuple(notes),
    )


def _to_user(design: Design) -> Floats:
    """The matrix that turns effects of centred and scaled columns into the user's, and leaves those of indicators."""
    x, p = Scaling.of(design.fixed_columns), len(design.fixed_terms)
    made = np.diag(np.concatenate([[1.0], 1 / x.sd, np.ones(len(design.terms) - p)]))
    made[0, 1 : 1 + p] = -x.mean / x.sd
    return made


def _dataset(design: Design, fixed: Floats, theta: Floats) -> xr.Dataset:
    """Label effects (samples × term, user's units) and variance parameters (samples × …) as the model does."""
    names = [group.name for group in design.groups]
    ends = theta.shape[-1] - len(names)
    made = dataset_of(design, fixed, theta[..., :ends])
    made["group_sd"] = (("chain", "draw", "group"), np.abs(theta[None, ..., ends:]))
    return made.assign_coords(group=names)


def _standard_errors(design: Design, fixed: Floats, covariance: Floats, peak: Peak) -> xr.Dataset:
    """Standard errors in the user's units: exact given the variances for effects, by the delta method for the variance parameters."""

    def at(theta: Floats) -> xr.Dataset:
        return _dataset(design, np.repeat(fixed[None], len(theta), axis=0), theta)

    se, here = {}, at(peak.theta[None]).isel(chain=0, draw=0, drop=True)
    for name, slope in slopes_of(at, peak.theta).data_vars.items():
        variance = variance_of(slope, peak.covariance)
        se[name] = slope.isel(parameter=0, drop=True).copy(
            data=np.where(variance > 0, np.sqrt(variance), np.nan)
        )
    exact = np.sqrt(np.diag(covariance))
    exact[exact == 0] = np.nan  # effects without variance are 0 by estimate, not for certain
    se["intercept"] = se["intercept"].copy(data=np.asarray(exact[0]))
    se["coefficients"] = se["coefficients"].copy(data=exact[1:])
    se["group_sd"] = se["group_sd"].where(here["group_sd"] > SMALLEST)
    return xr.Dataset(se)


def _root(covariance: Floats) -> Floats:
    """R with RR' = Σ, for a Σ that may be singular."""
    sizes, directions = np.linalg.eigh(covariance)
    return np.asarray(directions * np.sqrt(np.maximum(sizes, 0.0)))
