"""The values of two arms: at the estimates, and when patients count differently."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from trajectories.cohort import Cohort
from trajectories.comparison.augmented import Corrections, Slopes, Weighted, corrections
from trajectories.comparison.censoring import CensoringWeights
from trajectories.estimands.population import (
    Counted,
    ExtrapolationWarning,
    by_design,
    counted,
    counted_rows,
    unseen_of,
)
from trajectories.estimate import Estimate, Question
from trajectories.fitting.reweighted import Point, Refitter
from trajectories.models.design import Design, Floats
from trajectories.weighting.values import Weights

__all__ = ["Job"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """All that the arms' values follow from, at the estimates and in a replicate; it can be sent to another process.

    Parameters
    ----------
    pair
        The two arms.
    refitter, point
        The fit, to be repeated, and its estimates.
    cohort
        Whose patients count.
    question
        The estimand, of no fit.
    weights, fit_weights
        Of the contrast, and of the fit.
    augmented, window, seen
        As in `contrast`.
    """

    pair: tuple[str, str]
    refitter: Refitter
    point: Point = field(repr=False)
    cohort: Cohort = field(repr=False)
    question: Question
    weights: Weights | None
    fit_weights: Weights | None
    augmented: bool
    window: float
    seen: CensoringWeights | None = field(default=None, repr=False)

    def replicate(self, counts: pd.Series) -> Floats:
        """The arms' values when patients count so much."""
        weights = self._remade(self.weights, counts)
        ids = list(self.refitter.design.patient_ids or ())
        own = counts.loc[ids].to_numpy(dtype=float)
        if self.fit_weights is not None:
            same = self.fit_weights is self.weights
            used = weights if same else self._remade(self.fit_weights, counts)
            assert used is not None
            own = own * by_design(used.values, self.refitter.design)
        values, _ = self.at(self.refitter.with_weights(own), weights, counts)
        return values.draws.isel(chain=0, draw=0).to_numpy()

    def _remade(self, weights: Weights | None, counts: pd.Series) -> Weights | None:
        fractional = weights is not None and weights.recipe.fractional
        return weights.remade(self.cohort, counts) if weights is not None and fractional else weights

    def at(
        self, point: Point, weights: Weights | None, counts: pd.Series | None = None
    ) -> tuple[Estimate, Corrections | None]:
        """The arms' values at estimates, augmented if they are to be, as the only draw of an estimate."""
        design = point.design
        question = replace(self.question, fit=point)
        population = _population(design, self.question, weights, counts)
        if population is not None:
            question = replace(question, options={**question.options, "target": population})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExtrapolationWarning)  # the estimate itself has warned
            stated = question.again()
        # in the estimate's order, so that a contrast the other way round has the same draws
        arms = [str(arm) for arm in stated.draws["arm"].to_numpy() if str(arm) in self.pair]
        stated = replace(stated, draws=stated.draws.sel(arm=arms))
        if not self.augmented:
            return stated, None
        assert weights is not None
        found = corrections(
            point,
            question,
            arms,
            _weighted(weights, design, counts),
            self.window,
            self.seen if counts is None or self.seen is None else self.seen.remade(counts),
        )
        standardised = stated.draws
        rest = [dim for dim in standardised.dims if dim not in ("chain", "draw", "arm")]
        ordered = standardised.transpose("chain", "draw", "arm", *rest)
        return replace(stated, draws=ordered + found.values.reshape(ordered.shape[2:])), found


def _weighted(weights: Weights, design: Design, counts: pd.Series | None) -> Weighted:
    """What patients count, by the rows of the target population of weights."""
    ids = pd.Index(list(design.patient_ids or ()))
    rows, standardisation = counted_rows(design, weights.standardisation)
    order = ids.append(unseen_of(design, weights.standardisation).index)
    values = weights.values[weights.values > 0]
    away = values.index[~values.index.isin(ids)]
    people = weights.candidates.loc[away]
    return Weighted(
        rows=rows,
        weights=_in_order(weights.values, order),
        standardisation=standardisation,
        counts=np.ones(len(order)) if counts is None else counts.loc[order].to_numpy(dtype=float),
        covariates=weights.candidates.drop(columns="arm").reindex(ids),
        unseen=people.assign(arm=people["arm"].astype(str)),
        unseen_counts=np.ones(len(away)) if counts is None else counts.loc[away].to_numpy(dtype=float),
        estimation=None if counts is not None else _slopes(weights, order),
    )


def _slopes(weights: Weights, order: pd.Index) -> Slopes | None:
    made = weights.estimation
    if made is None:
        return None
    everybody = order.append(made.influence.index.difference(order, sort=False))
    return Slopes(
        influence=_in_order(made.influence, everybody),
        values=_in_order(made.values, order),
        standardisation=_in_order(made.standardisation, order),
    )


def _in_order(values: pd.Series | pd.DataFrame, patients: pd.Index) -> Floats:
    """Values of patients, 0 for those without."""
    return values.reindex(patients).fillna(0.0).to_numpy(dtype=float)


def _population(
    design: Design, question: Question, weights: Weights | None, counts: pd.Series | None
) -> Counted | None:
    """The target population of a replicate: what patients count in it times what they count in the replicate; None to leave it."""
    if weights is None:
        if counts is None:
            return None
        target = question.options["target"]
        inside = pd.Series(1.0, index=pd.Index(list(design.patient_ids or ())))
        if target != "everyone":
            inside *= (design.target["arm"].astype(str) == target).to_numpy()
        return Counted(standardisation=inside * counts.loc[inside.index], name="the replicate (")
    people = counted(weights)
    if counts is None:
        return people
    return replace(people, standardisation=people.standardisation * counts.loc[people.standardisation.index])
