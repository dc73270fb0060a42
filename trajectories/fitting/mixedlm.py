"""Maximum likelihood and REML of the Gaussian mixed model through statsmodels' MixedLM, with its silences made audible.

MixedLM can stop early without a word and its standard errors fail at a singular covariance. Hence: its optimum is compared with
one of our own integrated likelihood, further optimisers are tried when the two disagree, the best is polished by Newton steps,
and a covariance on the boundary is reported in a sentence.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr

from trajectories.fitting.delta import slopes_of, variance_of
from trajectories.fitting.diagnostics import ConvergenceError, what_to_try
from trajectories.fitting.groups import refuse_groups
from trajectories.fitting.marginal_gaussian import (
    Moments,
    by_patient,
    informations,
    moments,
    pack,
    profile,
    unpack,
)
from trajectories.fitting.peak import Peak, by_differences, climb
from trajectories.fitting.robust import robust_covariance
from trajectories.formulas import FormulaError
from trajectories.models.blocks import patient_effects
from trajectories.models.design import Design, Floats, Scaling
from trajectories.models.gaussian import GaussianMixed

__all__ = ["Attempt", "MixedLMFit", "fit_mixedlm", "refit_mixedlm"]

OPTIMISERS = ("lbfgs", "bfgs", "cg", "powell")
OWN = "our integrated likelihood by bfgs"
# Designs with more rows are checked by a second start in place of MixedLM.
MANY_ROWS = 20_000

# A residual sd below this many EDSS points is none, and a patient sd below it 0.
SMALLEST = 1e-6
# Log-likelihoods this close are the same optimum.
SAME = 1e-3
# A covariance is called singular when a matrix of lower rank is as likely up to this.
AS_LIKELY = 1e-4

REMEDIES = (
    "simplify: fewer patient effects, such as (1 | patient) in place of (1 + years | patient), or a term less",
    "check the data: a patient or an outlying visit that dominates, visits with the same time throughout",
    "estimate it with priors, which need no optimum: tj.sample(model, cohort)",
)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One run of one optimiser: where it stopped, the log-likelihood there, and whether it says that it converged."""

    method: str
    loglik: float
    converged: bool
    said: str = ""
    covariance: Floats | None = field(default=None, repr=False)
    residual_sd: float = np.nan


@dataclass(frozen=True, kw_only=True, eq=False)
class MixedLMFit:
    """A Gaussian mixed model at its maximum of the likelihood (ML) or of the restricted likelihood (REML).

    Parameters
    ----------
    design
        What was fitted.
    reml
        Whether the restricted likelihood was maximised.
    loglik
        Its logarithm at the maximum, columns in the user's units; restricted ones compare only between fits with the same fixed terms.
    n_parameters
        Fixed effects with the intercept, covariances of the patient effects, residual variance.
    estimates, standard_errors
        `intercept`, `coefficients`, `residual_sd`, `patient_sd`, `patient_correlation`, `patient_covariance` in the user's units,
        the variables that `GaussianMixed.parameters` gives. Standard errors of the variance parameters by the delta method; NaN
        for what is on its boundary. A correlation with an effect of no variance is NaN.
    fixed_covariance
        Covariance matrix of intercept and coefficients, (X'V⁻¹X)⁻¹ as in lme4: term × other_term. (MixedLM itself inverts the whole
        observed information, which gave standard errors up to 4 % larger in our reference data.) With weights robust.
    variance_parameters, variance_covariance
        The scale on which draws are normal: the entries of the Cholesky factor Λ of the patients' covariance ΛΛ', which may have any
        sign and reach 0, unlike logarithms, and the logarithm of the residual sd. The patient effects are those at the mean of the
        patient-varying columns, slopes per standard deviation of their columns. Covariance: the inverse of the observed information.
    attempts
        What every optimiser found.
    notes
        Sentences that a summary must carry.
    """

    design: Design = field(repr=False)
    reml: bool
    loglik: float
    n_parameters: int
    estimates: xr.Dataset = field(repr=False)
    standard_errors: xr.Dataset = field(repr=False)
    fixed_covariance: xr.DataArray = field(repr=False)
    variance_parameters: xr.DataArray = field(repr=False)
    variance_covariance: xr.DataArray = field(repr=False)
    attempts: tuple[Attempt, ...]
    notes: tuple[str, ...]

    def draws(self, n: int = 1000, seed: int | None = None) -> xr.Dataset:
        """Draw parameters from the normal approximation of their sampling distribution: chain (1) × draw (n) × ….

        Fixed effects are normal and, as the expected information is block-diagonal, independent of the variance parameters,
        which are normal on the scale of `variance_parameters`.

        Parameters
        ----------
        n
            How many.
        seed
            The same seed gives the same draws.

        Returns
        -------
        A dataset with the variables of `GaussianMixed.parameters` in the user's units, without `patient_effects`.

        Raises
        ------
        ValueError
            If `n` is below 1.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}.")
        rng = np.random.default_rng(seed)
        mean = np.concatenate(
            [[float(self.estimates["intercept"])], self.estimates["coefficients"].to_numpy()]
        )
        fixed = (
            mean + rng.normal(size=(n, len(mean))) @ np.linalg.cholesky(self.fixed_covariance.to_numpy()).T
        )
        theta = np.repeat(self.variance_parameters.to_numpy()[None], n, axis=0)
        theta += rng.normal(size=theta.shape) @ np.linalg.cholesky(self.variance_covariance.to_numpy()).T
        return dataset_of(self.design, fixed, theta)


def fit_mixedlm(model: GaussianMixed, design: Design, *, reml: bool = False) -> MixedLMFit:
    """Fit a Gaussian mixed model with independent residuals by maximum likelihood or REML.

    Maximises log ∏_i ∫ N(y_i; X_iβ + Z_iu, σ²I) N(u; 0, Σ) du, or its restricted form, over β, Σ and σ.

    Parameters
    ----------
    model
        A `GaussianMixed` with independent residuals; its priors are not used.
    design
        From `model.design(cohort)`.
    reml
        Whether to maximise the restricted likelihood, which does not underestimate variances in small cohorts.

    Returns
    -------
    A `MixedLMFit`.

    Raises
    ------
    ValueError
        If the model has autocorrelated residuals, which MixedLM does not offer, or for REML of a weighted design.
    FormulaError
        If there are not more visits than patient effects.
    ConvergenceError
        If no optimiser converged, or the log-likelihood has no proper maximum.

    Source: Lindstrom and Bates (1988), Journal of the American Statistical Association 83:1014, doi:10.2307/2290128.
    """
    _check(model, design)
    if reml and design.weights is not None:
        raise ValueError("the restricted likelihood has no weights: use method='maximum likelihood'.")
    if design.groups:
        from trajectories.fitting.grouped_gaussian import fit_grouped  # which builds on this module

        if design.weights is not None:
            refuse_groups(
                design,
                "maximum likelihood with weights",
                "leave the fit without weights and give them to tj.contrast(…, augmented=True)",
            )
        return fit_grouped(model, design, reml=reml)
    _, X, Z, sums = _sums(design)
    attempts = _attempts(X, Z, design, sums, reml)
    best = _best(attempts)
    theta, notes = _start(best, sums, design, reml)
    try:
        peak = climb(_objective(sums, reml), theta)
    except np.linalg.LinAlgError as error:
        raise ConvergenceError(_refusal("next to no residual variance is left", attempts)) from error
    if not peak.converged:
        raise ConvergenceError(_refusal("the log-likelihood has no proper maximum", attempts))
    return _result(design, X, Z, sums, peak, attempts, [*_comparison(attempts), *notes], reml)


def refit_mixedlm(design: Design, theta: Floats) -> xr.Dataset:
    """Climb from variance parameters to the maximum of the likelihood of a design, with its weights: chain (1) × draw (1) × ….

    Raises
    ------
    ConvergenceError
        If there is none near.
    """
    x, _, _, sums = _sums(design)
    try:
        peak = climb(_objective(sums, reml=False), theta)
    except np.linalg.LinAlgError as error:
        raise ConvergenceError("next to no residual variance is left.") from error
    if not peak.converged:
        raise ConvergenceError("the log-likelihood has no proper maximum.")
    factor, residual_sd = unpack(peak.theta, len(design.effects))
    fixed = _to_user(x) @ profile(sums, factor, float(residual_sd), reml=False).fixed
    return dataset_of(design, fixed[None], peak.theta[None])


def _sums(design: Design) -> tuple[Scaling, Floats, Floats, Moments]:
    """The scaling of the fixed terms, the matrices in the sampler's units (X with the intercept), and their sums by patient."""
    matrices = design.formula.matrices
    x, z = Scaling.of(matrices.X), patient_effects.patient_scaling(matrices.Z)
    X, Z = np.column_stack([np.ones(len(design.frame)), x.apply(matrices.X)]), z.apply(matrices.Z)
    log_units = float(np.log(x.sd).sum())
    return x, X, Z, moments(X, Z, design.outcome, design.patient, log_units, design.weight_values)


def _to_user(x: Scaling) -> Floats:
    """The matrix that turns fixed effects of scaled columns into the user's."""
    made = np.diag(np.concatenate([[1.0], 1 / x.sd]))
    made[0, 1:] = -x.mean / x.sd
    return made


def _check(model: GaussianMixed, design: Design) -> None:
    if np.ptp(design.outcome) == 0:
        raise ValueError(f"every EDSS is {design.outcome[0]:g}: there is no variance to explain.")
    if model.residuals != "independent":
        raise ValueError(
            f"MixedLM has independent residuals only, not residuals={model.residuals!r}: use tj.sample for this model."
        )
    rows, effects = len(design.frame), design.n_patients * len(design.effects)
    if rows <= effects:
        raise FormulaError(
            f"{rows} visits of {design.n_patients} patients cannot tell {len(design.effects)} effects a patient from the residual: "
            f"there must be more than {effects} visits. Use fewer patient effects, or tj.sample, whose priors can."
        )


def _objective(sums: Moments, reml: bool) -> Callable[[Floats], float]:
    def loglik(theta: Floats) -> float:
        factor, residual_sd = unpack(theta, sums.ZZ.shape[1])
        return profile(sums, factor, float(residual_sd), reml=reml).loglik

    return loglik


def _attempts(X: Floats, Z: Floats, design: Design, sums: Moments, reml: bool) -> tuple[Attempt, ...]:
    """Run MixedLM and our own likelihood; further optimisers only until two that converged agree.

    In a large cohort our own likelihood from another start comes first, as MixedLM takes a minute there, and with weights it is all
    there is, as MixedLM has none.
    """
    spread = float(np.std(design.outcome))
    made = [_by_own_likelihood(sums, spread, reml)]
    if len(X) > MANY_ROWS or design.weights is not None:
        made.append(_by_own_likelihood(sums, spread, reml, share=0.05))
        if all(attempt.converged for attempt in made) and abs(made[0].loglik - made[1].loglik) < SAME:
            return tuple(made)
    for method in OPTIMISERS if design.weights is None else ():
        made.append(_by_statsmodels(X, Z, design, sums, reml, method))
        top = max((attempt.loglik for attempt in made if np.isfinite(attempt.loglik)), default=np.nan)
        if sum(attempt.converged and attempt.loglik > top - SAME for attempt in made) >= 2:
            break
    return tuple(made)


def _by_statsmodels(X: Floats, Z: Floats, design: Design, sums: Moments, reml: bool, method: str) -> Attempt:
    from statsmodels.regression.mixed_linear_model import MixedLM

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is judged from the result, and said in our notes
        try:
            fit = MixedLM(design.outcome, X, groups=design.patient, exog_re=Z).fit(
                reml=reml, method=method, maxiter=1000
            )
        except (np.linalg.LinAlgError, ValueError, FloatingPointError) as error:
            return Attempt(
                method=f"MixedLM by {method}", loglik=np.nan, converged=False, said=f"failed ({error})"
            )
        covariance, residual_sd = np.asarray(fit.cov_re, dtype=float), float(np.sqrt(fit.scale))
    return _attempt(f"MixedLM by {method}", covariance, residual_sd, bool(fit.converged), sums, reml)


def _by_own_likelihood(sums: Moments, spread: float, reml: bool, share: float = 0.5) -> Attempt:
    """Maximise over the entries of Λ, unbounded, which can reach a singular covariance without harm.

    The search starts at patient and residual sds of this share of the outcome's and of the rest.
    """
    q = sums.ZZ.shape[1]
    start = pack(np.eye(q) * (share * spread) ** 2, (1 - share) * spread)
    theta, converged = highest(_objective(sums, reml), start, q, sums.rows)
    factor, residual_sd = unpack(theta, q)
    return _attempt(OWN, factor @ factor.T, float(residual_sd), converged, sums, reml)


def highest(
    loglik: Callable[[Floats], float], start: Floats, effects: int, rows: float
) -> tuple[Floats, bool]:
    """Climb by BFGS from a start (the entries of Λ, the log residual sd, and what else there is): where it ended, and whether at a top."""
    from scipy.optimize import minimize

    residual = effects * (effects + 1) // 2

    def deviance(theta: Floats) -> float:
        if abs(theta[residual]) > 20:  # a residual sd beyond any EDSS: a line search that went astray
            return 1e9
        try:
            return -loglik(theta) / rows
        except np.linalg.LinAlgError:  # next to no residual variance: the digits of X'V⁻¹X have cancelled
            return 1e9

    found = minimize(deviance, start, method="BFGS", options={"gtol": 1e-6, "maxiter": 1000})
    # BFGS ends with "precision loss" where finite differences end; the gradient tells whether that was the top.
    return found.x, bool(found.success or np.abs(found.jac).max() < 1e-4)


def _attempt(
    method: str, covariance: Floats, residual_sd: float, converged: bool, sums: Moments, reml: bool
) -> Attempt:
    if not (np.isfinite(covariance).all() and residual_sd > SMALLEST):
        return Attempt(method=method, loglik=np.nan, converged=False, said="failed (no residual variance)")
    return Attempt(
        method=method,
        loglik=_objective(sums, reml)(pack(covariance, residual_sd)),
        converged=converged,
        said="converged" if converged else "did not converge",
        covariance=covariance,
        residual_sd=residual_sd,
    )


def _best(attempts: Sequence[Attempt]) -> Attempt:
    done = [attempt for attempt in attempts if attempt.converged and np.isfinite(attempt.loglik)]
    if not done:
        raise ConvergenceError(_refusal("no optimiser converged", attempts))
    return max(done, key=lambda attempt: attempt.loglik)


def _refusal(what: str, attempts: Sequence[Attempt]) -> str:
    found = "\n".join(
        f"  - {attempt.method}: {attempt.said}, log-likelihood {attempt.loglik:.4f}" for attempt in attempts
    )
    return f"the mixed model could not be fitted: {what}.\n{found}\n{what_to_try(REMEDIES)}"


def _comparison(attempts: Sequence[Attempt]) -> list[str]:
    """Say where optimisers failed or disagreed."""
    top = max(attempt.loglik for attempt in attempts if attempt.converged)
    worse = [attempt for attempt in attempts if not attempt.loglik > top - SAME]
    if not worse:
        return []
    said = "; ".join(
        attempt.method
        + f" {attempt.said}"
        + (f" at {attempt.loglik:.3f}" if np.isfinite(attempt.loglik) else "")
        for attempt in worse
    )
    return [f"optimisers disagreed, the best log-likelihood of a converged one ({top:.3f}) was taken: {said}"]


def _start(best: Attempt, sums: Moments, design: Design, reml: bool) -> tuple[Floats, list[str]]:
    """Where to climb from: the best attempt, without directions of the patients' covariance that it does not need."""
    assert best.covariance is not None
    theta = pack(best.covariance, best.residual_sd)
    return without_directions(
        _objective(sums, reml), theta, best.covariance, best.residual_sd, best.loglik, design
    )


def without_directions(
    loglik: Callable[[Floats], float],
    theta: Floats,
    covariance: Floats,
    residual_sd: float,
    top: float,
    design: Design,
) -> tuple[Floats, list[str]]:
    """Give up directions of the patients' covariance without which the data are as likely as at θ, and say so."""
    size, directions = np.linalg.eigh(covariance)
    rank = len(size)
    for drop in range(1, len(size) + 1):
        kept = np.where(np.arange(len(size)) < drop, 0.0, size)
        reduced = pack(directions * kept @ directions.T, residual_sd)
        if loglik(reduced) < top - AS_LIKELY:
            break
        theta, rank = reduced, len(size) - drop
    if rank == len(size):
        return theta, []
    rough = "the data do not tell these effects apart, and their draws are rough"
    return theta, [patient_effects.singular(design.effects, rank, rough)]


def _labels(effects: tuple[str, ...]) -> list[str]:
    pairs = [f"factor({effects[i]}, {effects[j]})" for i in range(len(effects)) for j in range(i + 1)]
    return [*pairs, "log residual_sd"]


def _result(
    design: Design,
    X: Floats,
    Z: Floats,
    sums: Moments,
    peak: Peak,
    attempts: tuple[Attempt, ...],
    notes: list[str],
    reml: bool,
) -> MixedLMFit:
    x, q = Scaling.of(design.formula.matrices.X), len(design.effects)
    factor, residual_sd = unpack(peak.theta, q)
    at = profile(sums, factor, float(residual_sd), reml=reml)
    inner = at.covariance
    if design.weights is not None:
        inner, variances = _robust(design, X, Z, at.fixed, inner, peak)
        peak = replace(peak, covariance=variances)
    to_user = _to_user(x)
    covariance = to_user @ inner @ to_user.T
    labels, terms = _labels(design.effects), ["intercept", *design.terms]
    if reml:
        notes.append("REML: log-likelihoods compare only between fits with the same fixed terms")
    fixed = to_user @ at.fixed
    return MixedLMFit(
        design=design,
        reml=reml,
        loglik=at.loglik,
        n_parameters=len(fixed) + len(peak.theta),
        estimates=dataset_of(design, fixed[None], peak.theta[None]).isel(chain=0, draw=0, drop=True),
        standard_errors=_standard_errors(design, fixed, covariance, peak),
        fixed_covariance=matrix_of(covariance, terms, "term"),
        variance_parameters=xr.DataArray(peak.theta, coords={"parameter": labels}, dims="parameter"),
        variance_covariance=matrix_of(peak.covariance, labels, "parameter"),
        attempts=attempts,
        notes=tuple(notes),
    )


def _robust(
    design: Design, X: Floats, Z: Floats, fixed: Floats, covariance: Floats, peak: Peak
) -> tuple[Floats, Floats]:
    """Robust covariances of the fixed effects and of the variance parameters, from the weighted scores of the patients."""
    q, p, weights = len(design.effects), len(fixed), design.weights
    assert weights is not None
    w = weights.values

    def terms(at: Floats) -> Floats:
        factor, residual_sd = unpack(at[p:], q)
        residual = design.outcome - X @ at[:p]
        return by_patient(X, Z, residual, design.patient, factor, float(residual_sd))

    def scores(at: Floats) -> Floats:
        shifts = 1e-5 * np.eye(len(at))
        return w[:, None] * np.stack([(terms(at + s) - terms(at - s)) / 2e-5 for s in shifts], axis=1)

    at = np.concatenate([fixed, peak.theta])
    own, (factor, residual_sd) = scores(at), unpack(peak.theta, q)
    of_fixed = w[:, None, None] * informations(X, Z, design.patient, factor, float(residual_sd))
    of_variances = by_differences(lambda theta: scores(np.append(fixed, theta))[:, p:], peak.theta)
    return (
        robust_covariance(covariance, own[:, :p], of_fixed, weights),
        robust_covariance(peak.covariance, own[:, p:], of_variances, weights),
    )


def matrix_of(values: Floats, labels: list[str], dim: str) -> xr.DataArray:
    dims = (dim, f"other_{dim}")
    return xr.DataArray(values, dims=dims, coords=dict.fromkeys(dims, labels))


def dataset_of(design: Design, fixed: Floats, theta: Floats) -> xr.Dataset:
    """Label fixed effects (samples × term, user's units) and variance parameters (samples × …, ours) as the model does."""
    q = len(design.effects)
    factor, residual_sd = unpack(theta, q)
    scaling = patient_effects.patient_scaling(design.formula.matrices.Z)
    labelled = patient_effects.labelled(
        design,
        fixed[None, :, 1:],
        None,
        patient_effects.user_covariance(factor, scaling)[None],
        intercept=(None, fixed[None, :, 0]),
        residual_sd=(None, residual_sd[None]),
    )
    if q == 1:
        return labelled
    varies = (labelled["patient_sd"] > SMALLEST).to_numpy()
    pairs = [varies[..., i] & varies[..., j] for i in range(q) for j in range(i + 1, q)]
    known = xr.DataArray(np.stack(pairs, axis=-1), dims=("chain", "draw", "effect_pair"))
    labelled["patient_correlation"] = labelled["patient_correlation"].where(known)
    return labelled


def _standard_errors(design: Design, fixed: Floats, covariance: Floats, peak: Peak) -> xr.Dataset:
    """Standard errors in the user's units: exact for fixed effects, by the delta method for the variance parameters."""
    slopes = slopes_of(
        lambda theta: dataset_of(design, np.repeat(fixed[None], len(theta), axis=0), theta), peak.theta
    )
    se = {}
    for name, slope in slopes.data_vars.items():
        variance = variance_of(slope, peak.covariance)
        se[name] = slope.isel(parameter=0, drop=True).copy(
            data=np.where(variance > 0, np.sqrt(variance), np.nan)
        )
    exact = np.sqrt(np.diag(covariance))
    se["intercept"] = se["intercept"].copy(data=np.asarray(exact[0]))
    se["coefficients"] = se["coefficients"].copy(data=exact[1:])
    return xr.Dataset(se)
