"""Augmented weighting: standardised predictions of an outcome model plus the weighted mean of what it missed in those who were observed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories import edss
from trajectories.cohort import DAYS_PER_YEAR
from trajectories.comparison.censoring import CensoringWeights
from trajectories.comparison.logistic import fitted_probabilities
from trajectories.estimands.cells import placed_at
from trajectories.estimands.lesions import lesion_count
from trajectories.estimands.over_time import (
    BASELINE,
    change,
    event_probability,
    expected_edss,
    from_observed_baseline,
    severity_probability,
    slope,
)
from trajectories.estimands.population import Fitted
from trajectories.estimands.rates import relapse_rate
from trajectories.estimate import Question
from trajectories.models.base import Design, EdssModel, Floats
from trajectories.models.binary import BinaryMixed
from trajectories.models.counts import CountModel

__all__ = ["AUGMENTABLE", "Corrections", "Unseen", "corrections"]

AUGMENTABLE = (
    expected_edss,
    change,
    slope,
    severity_probability,
    event_probability,
    relapse_rate,
    lesion_count,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Corrections:
    """What augmenting adds to standardised predictions: arm × cell; and the patients' influence on the sum of both.

    Parameters
    ----------
    arms
        Which, in order.
    values
        Weighted mean residual, arm × cell (years, periods or one).
    influence
        Patient × arm × cell: the variance of the estimates is the sum of its squares over n².
    seen
        Patients of each arm whose outcome was there, arm × cell.
    """

    arms: tuple[str, ...]
    values: Floats
    influence: Floats = field(repr=False)
    seen: Floats = field(repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Unseen:
    """Weighted patients without a row in the design: their `arm` and covariates, and what they count in the replicate."""

    people: pd.DataFrame
    counts: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class _Outcomes:
    """What was observed: totals and exposures (1 for a visit), patient × cell, 0 where not seen."""

    total: Floats
    exposure: Floats

    @property
    def there(self) -> NDArray[np.bool_]:
        return self.exposure > 0


def corrections(
    fit: Fitted,
    asked: Question,
    arms: list[str],
    weights: Floats,
    standardisation: Floats,
    covariates: pd.DataFrame,
    window: float,
    counts: Floats | None = None,
    censoring: CensoringWeights | None = None,
    unseen: Unseen | None = None,
) -> Corrections:
    """Compute the weighted mean residual of an outcome model by arm and cell, and the influence of each patient.

    With outcome Y_i (exposure e_i, 1 for a visit), prediction m_a(x_i), weights w_i, what patients count h_i in the target and in the
    replicate f_i, and 1/c_i the probability of having been seen, given arm and covariates:
    Σ_{A_i=a} f_i w_i c_i (Y_i − e_i m_a(x_i)) / Σ_{A_i=a} f_i w_i c_i e_i.

    Parameters
    ----------
    fit
        With one draw, the estimates.
    asked
        The estimand.
    arms
        In the estimate's order.
    weights, standardisation, counts
        w, h and f of the patients of the design.
    covariates
        Of the patients of the design, for the model of who was seen.
    window
        How far, in years, a visit may be from the time it stands for.
    censoring
        Weights of those still followed at a time; then 1/c_i is that times the probability of a visit among them.
    unseen
        Weighted patients who have no row in the design, never having been seen: they count in the model of who was. With `censoring` they
        do not, as when they were censored is part of it.

    Source: Robins, Rotnitzky and Zhao (1994), Journal of the American Statistical Association 89:846, doi:10.1080/01621459.1994.10476818;
    Bang and Robins (2005), Biometrics 61:962, doi:10.1111/j.1541-0420.2005.00377.x.
    """
    design = fit.design
    observed = _observed(fit, asked, window)
    followed = _followed(fit, asked, observed, censoring)
    observed = replace(
        observed,
        total=np.where(followed > 0, observed.total, 0.0),
        exposure=np.where(followed > 0, observed.exposure, 0.0),
    )
    arm_of = design.target["arm"].astype(str).to_numpy()
    f = np.ones(len(arm_of)) if counts is None else counts
    v = weights * f
    away = None if censoring is not None else unseen
    inverse = _inverse_of_seen(observed, v > 0, arm_of, covariates, f, followed, away)
    n, h = len(arm_of), standardisation * f
    values = np.zeros((len(arms), observed.total.shape[1]))
    seen = np.zeros_like(values)
    influence = np.zeros((n, *values.shape))
    for a, arm in enumerate(arms):
        m = _predicted(fit, asked, arm)
        inside = (arm_of == arm)[:, None] & observed.there
        use = np.where(inside, v[:, None] * inverse, 0.0)
        seen[a] = (inside & (v > 0)[:, None]).sum(axis=0)
        if (use.sum(axis=0) == 0).any():
            raise ValueError(
                f"nobody of {arm} with a weight was seen within {window:g} years of a time that is asked for: widen window=, or choose another "
                "time."
            )
        residual, total = observed.total - observed.exposure * m, (use * observed.exposure).sum(axis=0)
        values[a] = (use * residual).sum(axis=0) / total
        spread = m - (h[:, None] * m).sum(axis=0) / h.sum()
        influence[:, a] = n * h[:, None] * spread / h.sum()
        influence[:, a] += n * use * (residual - values[a] * observed.exposure) / total
    return Corrections(arms=tuple(arms), values=values, influence=influence, seen=seen)


def _followed(
    fit: Fitted, asked: Question, observed: _Outcomes, censoring: CensoringWeights | None
) -> Floats:
    """Censoring weights of the design's patients at each cell: patient × cell; 1 without."""
    if censoring is None:
        return np.ones_like(observed.exposure)
    if isinstance(fit.model, CountModel):
        raise TypeError(
            "censoring weights are of one time, and counts are of all the time observed: take an estimand of EDSS at a time."
        )
    design, options = fit.design, asked.options
    ids = list(design.patient_ids or ())
    times = [options["between"][1]] if asked.verb is slope else np.atleast_1d(options["at"]).tolist()
    weights = [censoring.at(float(t)).reindex(ids) for t in times]
    lacking = int(weights[0].isna().sum())
    if lacking:
        raise ValueError(
            f"{lacking} patients of the model have no censoring weight: make them of the same cohort, with covariates that are known in all."
        )
    end = censoring.ends.set_index("patient")["day"].reindex(ids).to_numpy(dtype=float)
    later = int((design.frame["years"].to_numpy() > (end[design.patient] + 0.5) / DAYS_PER_YEAR).sum())
    if later:
        raise ValueError(
            f"the fit uses {later} visits from after the last day under the strategy of the censoring weights: fit it to "
            "tj.follow(cohort, strategy)."
        )
    return np.column_stack([w.to_numpy(dtype=float) for w in weights])


def _observed(fit: Fitted, asked: Question, window: float) -> _Outcomes:
    design, options = fit.design, asked.options
    if isinstance(fit.model, CountModel):
        return _counted(design, options)
    if asked.verb is slope:
        times, since = [float(options["between"][1])], float(options["between"][0])
    else:
        times, since = [float(t) for t in np.atleast_1d(options["at"])], float(options.get("since", 0.0))
    value = _nearest(design, times, window)
    if asked.verb is severity_probability and not isinstance(fit.model, BinaryMixed):
        value = np.where(np.isnan(value), np.nan, value >= options["threshold"])
    if asked.verb in (change, slope):
        if from_observed_baseline(design, since):
            before = design.target[BASELINE].to_numpy(dtype=float)[:, None]
        else:
            before = _nearest(design, [since], window)
        value = value - before
        if asked.verb is slope:
            value = value / (times[0] - since)
    there = ~np.isnan(value)
    return _Outcomes(total=np.where(there, value, 0.0), exposure=there.astype(float))


def _nearest(design: Design, times: list[float], window: float) -> Floats:
    """The outcome of the visit nearest to each time, on the same side of treatment start: patient × time; NaN where none is near."""
    years, patient, outcome = design.frame["years"].to_numpy(), design.patient, design.outcome
    made = np.full((design.n_patients, len(times)), np.nan)
    for k, t in enumerate(times):
        near = (np.abs(years - t) <= window) & ((years > 0) if t > 0 else (years <= 0))
        order = np.flatnonzero(near)[np.argsort(-np.abs(years[near] - t), kind="stable")]
        made[patient[order], k] = outcome[order]  # the nearest is written last
    return made


def _counted(design: Design, options: Mapping[str, Any]) -> _Outcomes:
    """Counts and exposures by period or window of the formula, or over all rows."""
    if options["at"] is not None:
        raise ValueError(
            "a formula of counts with 'years' in it cannot be augmented: use periods or windows."
        )
    assert design.exposure is not None
    names = [name for name in ("period", "window") if name in design.formula.columns]
    cell = (
        design.frame[names[0]].cat.codes.to_numpy() if names else np.zeros(len(design.frame), dtype=np.int64)
    )
    total, exposure = np.zeros((2, design.n_patients, int(cell.max()) + 1))
    np.add.at(total, (design.patient, cell), design.outcome)
    np.add.at(exposure, (design.patient, cell), design.exposure)
    return _Outcomes(total=total, exposure=exposure)


def _predicted(fit: Fitted, asked: Question, arm: str) -> Floats:
    """The outcome model's mean for each patient of the design, had the arm been given: patient × cell."""
    design, options, parameters = fit.design, asked.options, fit.draws()
    if isinstance(fit.model, CountModel):
        names: list[str] = [name for name in ("period", "window") if name in design.formula.columns]
        levels: list[dict[str, Any]] = (
            [{names[0]: str(level)} for level in design.frame[names[0]].cat.categories] if names else [{}]
        )
        columns = [
            fit.model.expectation(
                parameters, design.at(design.placed(placed_at(design, design.target, cell), arm, 0.0))
            )
            for cell in levels
        ]
        return np.stack([column.to_numpy()[0, 0] for column in columns], axis=-1)

    def mean(t: float) -> Floats:
        matrices = design.at(design.placed(design.target, arm, t))
        if asked.verb is severity_probability and isinstance(fit.model, EdssModel):
            first = int(edss.code(options["threshold"]))
            return np.asarray(fit.model.levels_by_row(parameters, matrices)[0][:, first:].sum(axis=1))
        return np.asarray(fit.model.expectation(parameters, matrices).to_numpy()[0, 0])

    return _of_times(mean, design, asked)


def _of_times(mean: Callable[[float], Floats], design: Design, asked: Question) -> Floats:
    options = asked.options
    if asked.verb is slope:
        start, end = (float(t) for t in options["between"])
        return ((mean(end) - _before(mean, design, start)) / (end - start))[:, None]
    times = [float(t) for t in np.atleast_1d(options["at"])]
    levels = np.stack([mean(t) for t in times], axis=-1)
    if asked.verb is change:
        levels = levels - _before(mean, design, float(options["since"]))[:, None]
    return levels


def _before(mean: Callable[[float], Floats], design: Design, since: float) -> Floats:
    if from_observed_baseline(design, since):
        return design.target[BASELINE].to_numpy(dtype=float)
    return mean(since)


def _inverse_of_seen(
    observed: _Outcomes,
    counted: NDArray[np.bool_],
    arm_of: NDArray[Any],
    covariates: pd.DataFrame,
    counts: Floats,
    followed: Floats,
    unseen: Unseen | None,
) -> Floats:
    """1 / the probability of having been seen at each cell, given arm and covariates: patient × cell; 1 where everybody was.

    `followed` has the censoring weights, 0 for the censored: among the others, so weighted, visits are modelled.
    """
    made = followed.copy()
    people = covariates.assign(arm=arm_of)
    away = people.iloc[:0] if unseen is None else unseen.people[people.columns]
    columns = pd.get_dummies(pd.concat([people, away]), drop_first=True).to_numpy(dtype=float)
    own, others = columns[: len(people)], columns[len(people) :]
    for k in range(made.shape[1]):
        among = counted & (followed[:, k] > 0)
        there = np.concatenate([observed.there[among, k], np.zeros(len(others))])
        if there.all() or not there.any():  # the latter is refused by arm
            continue
        weighted = np.concatenate(
            [counts[among] * followed[among, k], [] if unseen is None else unseen.counts]
        )
        fitted = fitted_probabilities(np.concatenate([own[among], others]), there.astype(float), weighted)
        made[among, k] /= fitted[: int(among.sum())]
    return made
