"""Rubin's rules: estimates of several imputed cohorts pooled into one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from trajectories.caveats import Caveat, Doubt
from trajectories.cohort import Cohort
from trajectories.estimate import Estimate
from trajectories.models.design import Floats
from trajectories.weighting.imputation import Imputed

__all__ = ["Rubin", "pooled", "rubin"]

DRAWS = 4000


@dataclass(frozen=True, kw_only=True, eq=False)
class Rubin:
    """A pooled estimate, or several (arrays of one shape).

    Parameters
    ----------
    estimate
        Mean of the estimates.
    within, between, total
        Mean of the variances W, variance of the estimates B, and T = W + (1 + 1/m) B.
    df
        Degrees of freedom of Barnard and Rubin.
    missing_information
        Fraction of missing information, (r + 2/(df + 3)) / (r + 1) with r = (1 + 1/m) B / W.
    """

    estimate: Floats
    within: Floats
    between: Floats
    total: Floats
    df: Floats
    missing_information: Floats


def rubin(estimates: Floats, variances: Floats, complete_df: float = np.inf) -> Rubin:
    """Pool the estimates of m imputed data sets.

    Q̄ = mean Q, T = W + (1 + 1/m) B; λ = (1 + 1/m) B / T, ν_old = (m − 1)/λ², ν_obs = (ν + 1)/(ν + 3) ν (1 − λ) with ν the degrees of freedom of
    complete data; df = 1/(1/ν_old + 1/ν_obs).

    Parameters
    ----------
    estimates, variances
        m × …: estimates and their squared standard errors.
    complete_df
        Degrees of freedom that the estimate would have if nothing were missing.

    Raises
    ------
    ValueError
        If there are fewer than two, or a variance is not above 0.

    Source: Rubin (1987), Multiple Imputation for Nonresponse in Surveys, doi:10.1002/9780470316696; Barnard and Rubin (1999), Biometrika
    86:948, doi:10.1093/biomet/86.4.948.

    Examples
    --------
    >>> made = rubin(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 1.0]))
    >>> made.estimate.item(), round(made.total.item(), 4), round(made.df.item(), 4)  # T = 1 + 4/3
    (2.0, 2.3333, 6.125)
    """
    Q, U = np.asarray(estimates, dtype=float), np.asarray(variances, dtype=float)
    m = len(Q)
    if m < 2 or Q.shape != U.shape:
        raise ValueError(f"give two or more estimates and as many variances, not {Q.shape} and {U.shape}.")
    if not (np.isfinite(Q).all() and np.isfinite(U).all() and (U > 0).all() and complete_df > 0):
        raise ValueError(
            "estimates and variances must be finite, variances and complete_df above 0: an estimate that is known exactly, or has missing "
            "draws, cannot be pooled."
        )
    within, between = U.mean(axis=0), Q.var(axis=0, ddof=1)
    extra = (1 + 1 / m) * between
    total = within + extra
    share, r = extra / total, extra / within
    with np.errstate(divide="ignore"):  # no variation between sets: infinitely many degrees of freedom
        old = (m - 1) / share**2
    observed = (
        np.full_like(total, np.inf)
        if np.isinf(complete_df)
        else (complete_df + 1) / (complete_df + 3) * complete_df * (1 - share)
    )
    df = 1 / (1 / old + 1 / observed) if np.isfinite(complete_df) else old
    return Rubin(
        estimate=Q.mean(axis=0), within=within, between=between, total=total, df=df,
        missing_information=(r + 2 / (df + 3)) / (r + 1),
    )  # fmt: skip


def pooled(
    imputed: Imputed,
    function: Callable[[Cohort], Estimate],
    *,
    complete_df: float | None = None,
    executor: Executor | None = None,
    seed: int = 0,
) -> Estimate:
    """Estimate the same in every imputed cohort and pool by Rubin's rules.

    Each cohort gives a mean and a variance of its draws (of ratios those of the logs); the pooled estimate is t-distributed around their mean,
    Q̄ + √T t_df, with T = W + (1 + 1/m) B: the uncertainty of what was filled in is part of it. Several cells keep their correlation.

    Parameters
    ----------
    imputed
        From `tj.impute`.
    function
        From a cohort to an estimate: weights, model, contrast, all of it, such as
        `lambda c: tj.contrast(tj.change(tj.maximise(model, c), 2.0), "alemtuzumab", "ocrelizumab")`.
    complete_df
        Degrees of freedom if nothing were missing; None for patients less arms.
    executor
        Where to compute, any `concurrent.futures.Executor`; None for here, one after the other. One of processes needs a function of a module.
    seed
        Of the draws.

    Returns
    -------
    An `Estimate`; its definition and source say m, the degrees of freedom and the fraction of missing information, which `draws.attrs` hold
    too by cell.

    Raises
    ------
    TypeError
        If the function returns no `Estimate`; numbers with standard errors, such as log hazard ratios, are pooled by `tj.rubin`.
    ValueError
        If the estimates differ in their cells, or one has no variance or missing draws.

    Source: as `rubin`.

    Examples
    --------
    >>> import trajectories as tj
    >>> from dataclasses import replace
    >>> from trajectories import models
    >>> cohort = tj.simulated_three_dmts_400()
    >>> table = cohort.patients
    >>> table.loc[::4, "age"] = np.nan
    >>> filled = tj.impute(replace(cohort, patients_table=table), m=3, seed=1)
    >>> model = models.GaussianMixed("edss ~ edss_baseline + age + arm * years + (1 | patient)")
    >>> made = pooled(filled, lambda c: tj.contrast(tj.change(tj.maximise(model, c), 2.0), "alemtuzumab", "fingolimod"))
    >>> made.summary()["mean"].round(1).item()
    -0.4
    """
    made = list((map if executor is None else executor.map)(function, imputed.cohorts))
    for one in made:
        if not isinstance(one, Estimate):
            raise TypeError(
                f"the function must return an Estimate, such as a contrast, not {type(one).__name__}; of several, pool one after the other. Of "
                "another result, such as hazards or observed rates, take the estimate and its standard error from each of .cohorts, of ratios "
                "on the log scale, and pool by tj.rubin(estimates, squared standard errors)."
            )
    first = made[0]
    if any(
        one.draws.dims != first.draws.dims or one.draws.shape[2:] != first.draws.shape[2:] for one in made
    ):
        raise ValueError(
            "the estimates of the imputed cohorts differ in their cells: ask for the same everywhere."
        )
    ratio = first.null == 1
    samples = [_samples(one, ratio) for one in made]
    means, covariances = (
        np.stack([s.mean(axis=0) for s in samples]),
        [np.atleast_2d(np.cov(s.T)) for s in samples],
    )
    patients = imputed.cohorts[0].n_patients
    df = patients - len(imputed.sizes) if complete_df is None else complete_df
    found = rubin(means, np.stack([np.diagonal(c) for c in covariances]), df)
    between = np.atleast_2d(np.cov(means.T))
    total = np.mean(covariances, axis=0) + (1 + 1 / imputed.m) * between
    values = _drawn(found, total, seed)
    shape = first.draws.shape[2:]
    draws = xr.DataArray(
        (np.exp(values) if ratio else values).reshape(1, DRAWS, *shape),
        dims=first.draws.dims,
        coords={dim: first.draws[dim] for dim in first.draws.dims[2:]},
        attrs={
            "df": found.df.reshape(shape),
            "missing_information": found.missing_information.reshape(shape),
        },
    )
    said = (
        f"{imputed.m} imputed cohorts, t distribution with {_range(found.df, '.1f')} degrees of freedom"
        f"{' on the log scale' if ratio else ''}"
    )
    return replace(
        first,
        draws=draws,
        source=f"Rubin's rules over {said}; in each {first.source}",
        definition=_definition(made, imputed),
        caveats=(*_common(made), *_imputation(imputed, found)),
        asked=None,
    )


def _samples(one: Estimate, ratio: bool) -> Floats:
    """Draws × cells, of ratios their logs."""
    sizes = one.draws.shape
    values = one.draws.to_numpy().reshape(sizes[0] * sizes[1], -1)
    if ratio and not (values > 0).all():
        raise ValueError(
            f"{one.name} has draws that are not above 0, so ratios cannot be pooled on the log scale."
        )
    return np.asarray(np.log(values) if ratio else values)


def _drawn(found: Rubin, total: Floats, seed: int) -> Floats:
    """Draws × cells: each cell has the quantiles of its t distribution, exactly; together the correlation of the total covariance."""
    from scipy.special import stdtrit

    sd = np.sqrt(np.diagonal(total))
    normal = np.random.default_rng(seed).multivariate_normal(
        np.zeros(len(sd)), total / np.outer(sd, sd), size=DRAWS, method="eigh", check_valid="ignore"
    )
    ranks = normal.argsort(axis=0).argsort(axis=0)
    return np.asarray(found.estimate + np.sqrt(found.total) * stdtrit(found.df, (ranks + 0.5) / DRAWS))


def _range(values: Floats, form: str) -> str:
    low, high = format(values.min(), form), format(values.max(), form)
    return low if low == high else f"{low} to {high}"


def _definition(made: Sequence[Estimate], imputed: Imputed) -> str:
    same = all(one.definition == made[0].definition for one in made)
    return (
        f"{made[0].definition} Pooled over {imputed.m} cohorts with {', '.join(imputed.columns)} imputed"
        f"{'' if same else '; figures in this sentence are those of the first'}."
    )


def _imputation(imputed: Imputed, found: Rubin) -> tuple[str, ...]:
    filled = ", ".join(f"{column} {imputed.missing.loc[column].sum()}" for column in imputed.columns)
    return (
        f"covariates filled in by multiple imputation (patients: {filled} of {imputed.cohorts[0].n_patients}), fraction of missing information "
        f"{_range(found.missing_information, '.2f')}",
        Doubt("covariates are assumed missing at random given arm, covariates and follow-up"),
        *imputed.caveats,
    )


def _common(made: Sequence[Estimate]) -> tuple[str, ...]:
    """Caveats of all; those that differ between the cohorts, as effective sample sizes do, in the words of the first, and every mark."""
    kept: list[str] = []
    for caveat in made[0].caveats:
        if all(caveat in one.caveats for one in made):
            kept.append(caveat)
        else:
            kind = type(caveat) if isinstance(caveat, Caveat) else str
            kept.append(kind(f"in the first imputed cohort: {caveat}"))
    marks = [c for one in made[1:] for c in one.caveats if isinstance(c, Caveat) and c.mark is not None]
    return tuple(dict.fromkeys([*kept, *marks]))
