"""Observed outcomes of a cohort, weighted or not, with standard errors that are robust and count the estimation of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import Cohort
from trajectories.comparison.figures import PublishedFigureError, Scale, Spread
from trajectories.comparison.matching_adjusted import MaicWeights
from trajectories.comparison.moments import moments_of
from trajectories.comparison.sources import EDSS, RATE, SHARE, Published
from trajectories.weighting.tilting import kish
from trajectories.windows import edss_at, relapse_windows

__all__ = ["Observed", "observed", "own_values", "weighted_ratio"]

FEWEST = 5

type FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Observed:
    """An observed outcome: value and error, patients with it and without, what was taken, effective sample size."""

    spread: Spread
    patients: int
    left_out: int
    effective: float
    definition: str


def weighted_ratio(
    numerator: FloatArray,
    denominator: FloatArray,
    weights: FloatArray | None = None,
    deviations: FloatArray | None = None,
) -> tuple[float, float]:
    """Divide two weighted sums: θ = Σ wᵢaᵢ / Σ wᵢbᵢ, with a robust standard error that counts the estimation of the weights.

    φᵢ = wᵢ(aᵢ − θbᵢ − zᵢ'γ) / Σ wb, γ = (Σ w zz')⁻¹ Σ w z(a − θb): of the stacked estimating equations. The part of the residual that
    the matched covariates z explain drops out, as the weights were estimated to balance just that. SE² = Σ φᵢ²/(1 − hᵢ)², hᵢ the leverage
    in the weighted regression on (1, z) (HC3: near the jackknife); without it 95 % intervals of 35 patients with an effective sample size of
    20 covered 91 % in simulations, with it 95 %. Unweighted: SE² = n/(n − 1) Σ φᵢ². A rate has events over years, a mean its values over
    1; a patient without the outcome has 0 over 0.

    Parameters
    ----------
    numerator, denominator
        a and b, shape (patients,).
    weights
        Shape (patients,); None for all equal.
    deviations
        z, patients × moments: covariates less their targets, with Σ w z = 0; None for weights that were not estimated.

    Raises
    ------
    ValueError
        If patients are too few for a standard error, or one alone decides the result.

    References
    ----------
    Signorovitch et al. 2010 (doi:10.2165/11538370-000000000-00000); MacKinnon and White 1985 (doi:10.1016/0304-4076(85)90158-7).

    Examples
    --------
    >>> value, error = weighted_ratio(np.array([0.0, 1.0, 2.0, 1.0]), np.ones(4))
    >>> value, round(error, 4)  # the standard error of a mean, SD/√n
    (1.0, 0.4082)
    """
    w = np.ones(len(numerator)) if weights is None else weights
    total = float(w @ denominator)
    theta = float(w @ numerator) / total
    residual = numerator - theta * denominator
    n = int((denominator > 0).sum())
    k = 0 if deviations is None else deviations.shape[1]
    if n - k < 2:
        raise ValueError(
            f"{n} patients with the outcome are too few for a standard error beside {k} matched moments."
        )
    if deviations is None:
        return theta, math.sqrt(n / (n - 1) * float(np.sum((w * residual / total) ** 2)))
    x = np.column_stack([np.ones(len(w)), deviations])
    inverse = np.linalg.pinv((x * w[:, None]).T @ x)
    residual = residual - deviations @ (inverse[1:, 1:] @ (deviations * w[:, None]).T @ residual)
    free = 1 - w * np.einsum("ij,jk,ik->i", x, inverse, x)
    if free.min() < 1e-6:
        raise ValueError("one patient alone decides the weighted result: match fewer moments.")
    return theta, math.sqrt(float(np.sum((w * residual / total / free) ** 2)))


def observed(
    cohort: Cohort,
    published: Published,
    *,
    arm: str | None,
    weights: MaicWeights | None,
    outcome: pd.Series | None,
    window: tuple[float, float | None] | None,
    tolerance: float,
) -> Observed:
    """Take from a cohort the outcome that a published figure is of.

    Raises
    ------
    PublishedFigureError
        If the outcome of the figure must be given by the caller.
    ValueError
        If there are fewer than 5 patients with the outcome, or it does not vary.
    """
    patients = cohort.patients.set_index("patient")
    if arm is not None:
        if arm not in cohort.arms:
            raise ValueError(f"there is no arm {arm!r}; there are: {', '.join(cohort.arms)}.")
        patients = patients[patients["arm"] == arm]
    a, b, definition = own_values(
        cohort, published, outcome, published.window if window is None else window, tolerance
    )
    a, b = a.reindex(patients.index).fillna(0.0), b.reindex(patients.index).fillna(0.0)
    w, z = None, None
    if weights is not None:
        _check_same(patients, weights)
        a, b = a.loc[weights.values.index], b.loc[weights.values.index]
        w, z = weights.values.to_numpy(), weights.deviations.to_numpy()
    have = int((b > 0).sum())
    if have < FEWEST:
        raise ValueError(
            f"{have} patients have the outcome ({definition}), fewer than {FEWEST}: nothing can be compared."
        )
    value, error = weighted_ratio(a.to_numpy(), b.to_numpy(), w, z)
    if error == 0:
        raise ValueError(
            f"all {have} patients have the same outcome ({definition}), so it has no standard error."
        )
    counted = b.to_numpy() > 0 if w is None else w * (b.to_numpy() > 0)
    effective = kish(counted.astype(float))
    scale: Scale = {RATE: "log", SHARE: "logit"}.get(published.unit, "identity")  # type: ignore[assignment]
    spread = _on_scale(scale, value, error, effective - 1)
    return Observed(
        spread=spread,
        patients=have,
        left_out=len(patients) - have,
        effective=effective,
        definition=definition,
    )


def _check_same(patients: pd.DataFrame, weights: MaicWeights) -> None:
    """Weights of another cohort would be found by patients' names alone, and be wrong."""
    same = bool(weights.values.index.isin(patients.index).all())
    if same:
        found = moments_of(patients.loc[weights.values.index], weights.targets, ValueError)
        sd = weights.moments["sd"].to_numpy()
        same = np.allclose((found.values - found.targets) / sd, weights.deviations, atol=1e-9)
    if not same:
        raise ValueError(
            "the weights were made of other patients or other values: make them of this cohort by maic(…), and the same arm."
        )


def _on_scale(scale: Scale, value: float, error: float, df: float) -> Spread:
    """The delta method."""
    if scale == "log":
        if value <= 0:
            raise ValueError(
                "there was no event in the cohort, so its log rate has no standard error: use a model's estimate."
            )
        return Spread(scale=scale, value=math.log(value), error=error / value, df=df)
    if scale == "logit":
        if not 0 < value < 1:
            raise ValueError(
                "nobody or everybody of the cohort has the outcome: a share of 0 or 1 has no standard error."
            )
        return Spread(
            scale=scale, value=math.log(value / (1 - value)), error=error / (value * (1 - value)), df=df
        )
    return Spread(scale=scale, value=value, error=error, df=df)


def own_values(
    cohort: Cohort,
    published: Published,
    outcome: pd.Series | None,
    window: tuple[float, float | None] | None,
    tolerance: float,
) -> tuple[pd.Series, pd.Series, str]:
    """Numerator and denominator of each patient, index `patient`; missing where there is no outcome."""
    if outcome is not None:
        return _given(outcome, published)
    if window is None:
        raise PublishedFigureError(
            f"{published.quantity} of {published.name} has no window of time: give outcome=…, a value a patient."
        )
    makers: dict[str, Callable[[], tuple[pd.Series, pd.Series, str]]] = {
        RATE: lambda: _relapses(cohort, window),
        EDSS: lambda: _edss(cohort, window, tolerance, change=published.null == 0),
    }
    if published.unit not in makers:
        raise PublishedFigureError(
            f"{published.quantity} ({published.kind}) cannot be taken from a cohort without its definition: give outcome=…, a series of "
            "values (0 and 1 for a share) by patient, made by the published definition."
        )
    return makers[published.unit]()


def _given(outcome: pd.Series, published: Published) -> tuple[pd.Series, pd.Series, str]:
    if published.unit == RATE:
        raise PublishedFigureError(
            "a rate is taken from the cohort's relapses and its follow-up; leave outcome out."
        )
    if not outcome.index.is_unique:
        raise ValueError("outcome has several values of one patient: give one a patient, indexed by patient.")
    values = outcome.dropna().astype("float64")
    if published.unit == SHARE and not values.isin([0.0, 1.0]).all():
        raise ValueError("outcome must be 0 or 1 (or missing) to compare shares of patients.")
    return values, pd.Series(1.0, index=values.index), "outcome as given"


def _relapses(cohort: Cohort, window: tuple[float, float | None]) -> tuple[pd.Series, pd.Series, str]:
    counted = relapse_windows(cohort, edges=window).set_index("patient")
    return (
        counted["relapses"].astype("float64"),
        counted["exposure"],
        f"relapses over person-years, window {counted['window'].iloc[0]} years",
    )


def _edss(
    cohort: Cohort, window: tuple[float, float | None], tolerance: float, *, change: bool
) -> tuple[pd.Series, pd.Series, str]:
    start, end = window
    if end is None:
        raise PublishedFigureError("EDSS needs a time, not the end of follow-up: give window=(0, 2), say.")
    seen = edss_at(cohort, at=(start, end), tolerance=tolerance).set_index("patient")
    wide = {at: seen.loc[seen["at"] == at, "edss"] for at in (start, end)}
    values = (wide[end] - wide[start] if change else wide[end]).dropna()
    near = f"visits within {tolerance:g} years"
    definition = (
        f"EDSS at {end:g} years less that at {start:g}, {near}"
        if change
        else f"EDSS at {end:g} years, {near}"
    )
    return values, pd.Series(1.0, index=values.index), definition
