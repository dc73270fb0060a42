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
from trajectories.models.base import EdssModel
from trajectories.models.binary import BinaryMixed
from trajectories.models.counts import CountModel
from trajectories.models.design import Design, Floats
from trajectories.printing import years
from trajectories.weighting.estimation import MOST

__all__ = ["AUGMENTABLE", "Corrections", "Slopes", "Weighted", "corrections"]

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
        By how much the arms' values fall if a patient is left out, patient × arm × cell: the sum of the squares is their variance.
    seen
        Patients of each arm whose outcome was there, arm × cell.
    """

    arms: tuple[str, ...]
    values: Floats
    influence: Floats = field(repr=False)
    seen: Floats = field(repr=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Weighted:
    """What patients count, by the rows of a target: those of the design, then those without a row in it.

    Parameters
    ----------
    rows
        Their arm and covariates of the outcome's model.
    weights, standardisation, counts
        What each counts in the arm, in the target and in the replicate (1 outside of one).
    covariates
        Of the patients of the design, for the model of who was seen.
    unseen
        Weighted patients without a row in the design: their `arm` and these covariates; those whose covariates of the outcome's model are not
        known included.
    unseen_counts
        What these count in the replicate.
    estimation
        How weights and standardisation depend on estimated parameters; None where they are taken as known.
    """

    rows: pd.DataFrame
    weights: Floats
    standardisation: Floats
    counts: Floats
    covariates: pd.DataFrame
    unseen: pd.DataFrame
    unseen_counts: Floats
    estimation: Slopes | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Slopes:
    """`Estimation` by the rows of a target: patients × parameters, `influence` with those who are in no row after the others."""

    influence: Floats
    values: Floats
    standardisation: Floats


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
    people: Weighted,
    window: float,
    censoring: CensoringWeights | None = None,
) -> Corrections:
    """Compute the weighted mean residual of an outcome model by arm and cell, and the influence of each patient.

    With outcome Y_i (exposure e_i, 1 for a visit), prediction m_a(x_i), weights w_i, what patients count h_i in the target and in the
    replicate f_i, and 1/c_i the probability of having been seen, given arm and covariates:
    Σ_{A_i=a} f_i w_i c_i (Y_i − e_i m_a(x_i)) / Σ_{A_i=a} f_i w_i c_i e_i.

    The influence is that of leaving a patient out of both means and of the parameters that the weights depend on; the coefficients of the
    outcome's model and c are taken as known. Of these the first matter only where the model of the weights is wrong, and to take c as known
    is on the safe side.

    Parameters
    ----------
    fit
        With one draw, the estimates.
    asked
        The estimand.
    arms
        In the estimate's order.
    people
        What patients count.
    window
        How far, in years, a visit may be from the time it stands for.
    censoring
        Weights of those still followed at a time; then 1/c_i is that times the probability of a visit among them. Patients without a row
        are then not in the model of who was seen, as when they were censored is part of it.

    Source: Robins, Rotnitzky and Zhao (1994), Journal of the American Statistical Association 89:846, doi:10.1080/01621459.1994.10476818;
    Bang and Robins (2005), Biometrics 61:962, doi:10.1111/j.1541-0420.2005.00377.x.
    """
    design = fit.design
    n = design.n_patients
    observed = _observed(fit, asked, window)
    followed = _followed(fit, asked, observed, censoring)
    observed = replace(
        observed,
        total=np.where(followed > 0, observed.total, 0.0),
        exposure=np.where(followed > 0, observed.exposure, 0.0),
    )
    arm_of = design.target["arm"].astype(str).to_numpy()
    f = people.counts[:n]
    v = people.weights[:n] * f
    inverse = _inverse_of_seen(observed, v > 0, arm_of, people, followed, away=censoring is None)
    h = people.standardisation * people.counts
    values = np.zeros((len(arms), observed.total.shape[1]))
    seen, influence = np.zeros_like(values), []
    for a, arm in enumerate(arms):
        m = _predicted(fit, asked, arm, people.rows)
        inside = (arm_of == arm)[:, None] & observed.there
        use = np.where(inside, v[:, None] * inverse, 0.0)
        seen[a] = (inside & (v > 0)[:, None]).sum(axis=0)
        if (use.sum(axis=0) == 0).any():
            raise ValueError(
                f"nobody of {arm} with a weight was seen within {years(window)} of a time that is asked for: widen window=, or choose another "
                "time."
            )
        residual = observed.total - observed.exposure * m[:n]
        missed = _Mean(weights=use, total=residual, exposure=observed.exposure)
        predicted = _Mean(weights=np.broadcast_to(h[:, None], m.shape), total=m, exposure=np.ones_like(m))
        values[a] = missed.value
        influence.append(_influence(predicted, missed, np.where(inside, inverse, 0.0), people.estimation))
    return Corrections(arms=tuple(arms), values=values, influence=np.stack(influence, axis=1), seen=seen)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Mean:
    """Σ w y / Σ w e by cell, and what leaving each patient out does to it; all are patient × cell."""

    weights: Floats
    total: Floats
    exposure: Floats

    @property
    def value(self) -> Floats:
        return np.asarray((self.weights * self.total).sum(axis=0) / self._size)

    @property
    def _size(self) -> Floats:
        return np.asarray((self.weights * self.exposure).sum(axis=0))

    @property
    def _left(self) -> Floats:
        """Σ w e without each patient, of whom nobody is taken to hold more than `MOST`."""
        return np.asarray(self._size * (1 - np.minimum(self.weights * self.exposure / self._size, MOST)))

    def without_each(self) -> Floats:
        """By how much the mean falls without each patient."""
        return self.weights * (self.total - self.value * self.exposure) / self._left

    def slopes_without_each(self, slopes: Floats) -> tuple[Floats, Floats]:
        """Slopes of the mean in parameters, where the weights have these slopes (patient × cell × parameter).

        Returns
        -------
        Those of the mean without each patient (patient × cell × parameter), and of the mean of all (cell × parameter).
        """
        parts = slopes * (self.total - self.value * self.exposure)[:, :, None]
        sizes = slopes * self.exposure[:, :, None]
        others = parts.sum(axis=0) - parts + self.without_each()[:, :, None] * (sizes.sum(axis=0) - sizes)
        return others / self._left[:, :, None], parts.sum(axis=0) / self._size[:, None]


def _influence(predicted: _Mean, missed: _Mean, inverse: Floats, estimation: Slopes | None) -> Floats:
    """By how much an arm's value falls without each patient, patient × cell: through both means, and through what the weights depend on."""
    n = len(missed.weights)
    made = predicted.without_each()
    made[:n] += missed.without_each()
    if estimation is None:
        return made
    in_target = np.repeat(estimation.standardisation[:, None, :], made.shape[1], axis=1)
    own, every = predicted.slopes_without_each(in_target)
    of_missed, every_missed = missed.slopes_without_each(estimation.values[:n, None, :] * inverse[:, :, None])
    own[:n] += of_missed
    own[n:] += every_missed
    phi = estimation.influence
    made += np.einsum("ik,ick->ic", phi[: len(made)], own)
    return np.concatenate([made, phi[len(made) :] @ (every + every_missed).T])


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


def _predicted(fit: Fitted, asked: Question, arm: str, rows: pd.DataFrame) -> Floats:
    """The outcome model's mean for each patient of a target, had the arm been given: patient × cell."""
    design, options, parameters = fit.design, asked.options, fit.draws()
    if isinstance(fit.model, CountModel):
        names: list[str] = [name for name in ("period", "window") if name in design.formula.columns]
        levels: list[dict[str, Any]] = (
            [{names[0]: str(level)} for level in design.frame[names[0]].cat.categories] if names else [{}]
        )
        columns = [
            fit.model.expectation(
                parameters, design.at(design.placed(placed_at(design, rows, cell), arm, 0.0))
            )
            for cell in levels
        ]
        return np.stack([column.to_numpy()[0, 0] for column in columns], axis=-1)

    def mean(t: float) -> Floats:
        matrices = design.at(design.placed(rows, arm, t))
        if asked.verb is severity_probability and isinstance(fit.model, EdssModel):
            first = int(edss.code(options["threshold"]))
            return np.asarray(fit.model.levels_by_row(parameters, matrices)[0][:, first:].sum(axis=1))
        return np.asarray(fit.model.expectation(parameters, matrices).to_numpy()[0, 0])

    return _of_times(mean, rows, design, asked)


def _of_times(mean: Callable[[float], Floats], rows: pd.DataFrame, design: Design, asked: Question) -> Floats:
    options = asked.options
    if asked.verb is slope:
        start, end = (float(t) for t in options["between"])
        return ((mean(end) - _before(mean, rows, design, start)) / (end - start))[:, None]
    times = [float(t) for t in np.atleast_1d(options["at"])]
    levels = np.stack([mean(t) for t in times], axis=-1)
    if asked.verb is change:
        levels = levels - _before(mean, rows, design, float(options["since"]))[:, None]
    return levels


def _before(mean: Callable[[float], Floats], rows: pd.DataFrame, design: Design, since: float) -> Floats:
    if from_observed_baseline(design, since):
        return rows[BASELINE].to_numpy(dtype=float)
    return mean(since)


def _inverse_of_seen(
    observed: _Outcomes,
    counted: NDArray[np.bool_],
    arm_of: NDArray[Any],
    people: Weighted,
    followed: Floats,
    *,
    away: bool,
) -> Floats:
    """1 / the probability of having been seen at each cell, given arm and covariates: patient × cell; 1 where everybody was.

    `followed` has the censoring weights, 0 for the censored: among the others, so weighted, visits are modelled. `away` says whether patients
    without a row are among those not seen.
    """
    made = followed.copy()
    table = people.covariates.assign(arm=arm_of)
    others = people.unseen if away else people.unseen.iloc[:0]
    columns = pd.get_dummies(pd.concat([table, others[table.columns]]), drop_first=True).to_numpy(dtype=float)
    own, absent = columns[: len(table)], columns[len(table) :]
    counts, absent_counts = people.counts[: len(table)], people.unseen_counts[: len(others)]
    for k in range(made.shape[1]):
        among = counted & (followed[:, k] > 0)
        there = np.concatenate([observed.there[among, k], np.zeros(len(absent))])
        if there.all() or not there.any():  # the latter is refused by arm
            continue
        weighted = np.concatenate([counts[among] * followed[among, k], absent_counts])
        fitted = fitted_probabilities(np.concatenate([own[among], absent]), there.astype(float), weighted)
        made[among, k] /= fitted[: int(among.sum())]
    return made
