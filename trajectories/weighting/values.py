"""Weights: what each patient counts, in which target population, and the recipe that made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.caveats import marks_of
from trajectories.cohort import Cohort
from trajectories.weighting.tilting import kish

__all__ = ["Estimation", "Recipe", "Target", "Weights", "check_weights", "normalised"]

type Target = Literal["ATE", "ATT", "ATO", "matching"]


class Recipe(Protocol):
    """The whole procedure that made weights, as a value that can be applied to another cohort."""

    @property
    def fractional(self) -> bool:
        """Whether it can be repeated with patients who count in fractions."""

    def remade(self, cohort: Cohort, counts: pd.Series | None = None) -> Weights:
        """Make the weights of another cohort, or of patients who count differently, in the same way."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimation:
    """How weights depend on estimated parameters γ, and these on the patients: what standard errors need.

    γ are the coefficients of the propensities, or the multipliers of entropy balancing, whose target means are estimated too; and the means
    of the arms' weights, which these are divided by. Without patient i they would be γ̂ − φ_i, by one step of Newton's method
    φ_i = (A − A_i)⁻¹ s_i with the scores s and the information A = Σ A_i; a weight moves by its slope times a change of γ.

    Parameters
    ----------
    influence
        φ: patients who took part in the estimation × parameters, index `patient`.
    values, standardisation
        Slopes of what the weights have under these names: weighted patients × parameters, index `patient`.

    Source: Mancl and DeRouen (2001), A covariance estimator for GEE with improved small-sample properties, Biometrics 57:126,
    doi:10.1111/j.0006-341X.2001.00126.x.
    """

    influence: pd.DataFrame = field(repr=False)
    values: pd.DataFrame = field(repr=False)
    standardisation: pd.DataFrame = field(repr=False)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Weights:
    """What each patient counts; made by `weights`, `entropy_balance`, `match` or `weights_of`.

    Weighted outcomes of an arm estimate what the target population would show if all of it were given that arm.

    Parameters
    ----------
    values
        Weights, index `patient`, in the cohort's order, scaled to average 1 within each arm; patients left out are absent.
    standardisation
        What each patient counts in the target population, h(x): over it, predictions of an outcome model are averaged. ATE: 1. ATT: 1 for
        the treated arm, 0 for others. ATO and matching: the function of the propensities that defines them. Same index.
    arm
        The arm of each patient. Same index.
    arms
        In the cohort's order.
    target
        `ATE`, `ATT`, `ATO` or `matching`.
    treated
        For ATT, the arm whose patients are the target.
    description
        One sentence: the target population and the method.
    candidates
        Everybody with complete covariates, those left out afterwards included: column `arm`, then the covariates; index `patient`.
    cohort_sizes
        Patients of each arm in the cohort.
    scales
        Mean of the unscaled weights in each arm.
    probabilities
        Patients × arms; None without a propensity model.
    caveats
        What every result that uses these weights must say.
    notes
        Who was left out or trimmed.
    simulated
        Whether the cohort is simulated.
    recipe
        How to make them again.
    estimation
        How they depend on what was estimated. None for matched sets, which do not change smoothly with the propensities, and for weights
        given by hand: standard errors take both as known.

    Examples
    --------
    >>> from trajectories.example_cohorts import simulated_three_dmts_400
    >>> from trajectories.weighting import propensity, weights
    >>> cohort = simulated_three_dmts_400()
    >>> made = weights(propensity(cohort, "arm ~ age + edss_baseline"), target="ATO")
    >>> made.values.groupby(made.arm).mean().round(12).to_dict()
    {'alemtuzumab': 1.0, 'fingolimod': 1.0, 'ocrelizumab': 1.0}
    """

    values: pd.Series = field(repr=False)
    standardisation: pd.Series = field(repr=False)
    arm: pd.Series = field(repr=False)
    arms: tuple[str, ...]
    target: Target
    treated: str | None
    description: str
    candidates: pd.DataFrame = field(repr=False)
    cohort_sizes: Mapping[str, int]
    scales: Mapping[str, float]
    probabilities: pd.DataFrame | None = field(default=None, repr=False)
    caveats: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    simulated: bool = False
    recipe: Recipe = field(repr=False)
    estimation: Estimation | None = field(default=None, repr=False)

    @property
    def covariates(self) -> pd.DataFrame:
        """The covariates of the weighted patients, same index as `values`."""
        return self.candidates.loc[self.values.index].drop(columns="arm")

    @property
    def raw(self) -> pd.Series:
        """The weights before they were scaled to average 1 within each arm."""
        return self.values * self.arm.map(dict(self.scales)).astype(float)

    @property
    def effective_sample_size(self) -> pd.Series:
        """(Σw)² / Σw² by arm: how many unweighted patients would be as informative (Kish)."""
        w = self.values.to_numpy()
        groups = [w[(self.arm == arm).to_numpy()] for arm in self.arms]
        return pd.Series(
            [kish(g) for g in groups],
            index=pd.Index(self.arms, name="arm"),
            name="effective_sample_size",
        )

    def remade(self, cohort: Cohort, counts: pd.Series | None = None) -> Weights:
        """Repeat the whole procedure on another cohort, such as a bootstrap resample.

        With `counts` (index `patient`) every patient counts that much in the estimation, as in a fractional bootstrap; the weights are then
        to be multiplied by them.

        Formula, estimation of the propensities, target, trimming and matching are those of these weights. Small arms and positivity
        are not judged again: they were, on the cohort itself.

        Raises
        ------
        WeightingError
            If this cohort lacks an arm or lets nothing be estimated; if the weights were given by hand.
        """
        return self.recipe.remade(cohort, counts)

    def summary(self) -> pd.DataFrame:
        """Return a row an arm: patients in the cohort and weighted, effective sample size, range of the weights, share of the largest."""
        groups = [self.values[(self.arm == arm).to_numpy()] for arm in self.arms]
        made = pd.DataFrame(
            {
                "in_cohort": [self.cohort_sizes[arm] for arm in self.arms],
                "weighted": [len(g) for g in groups],
                "effective": self.effective_sample_size.to_numpy(),
                "smallest": [g.min() for g in groups],
                "largest": [g.max() for g in groups],
                "largest_share": [g.max() / g.sum() for g in groups],
            },
            index=pd.Index(self.arms, name="arm"),
        )
        made.attrs.update(description=self.description, notes=list(self.notes), caveats=list(self.caveats))
        return made

    def __str__(self) -> str:
        marks = [mark.value for mark in marks_of(self.caveats)]
        said = [str(caveat) for caveat in self.caveats if not marks_of([caveat])]
        return "\n".join(
            [
                *marks,
                f"Weights: {self.description}",
                self.summary().round(3).to_string(),
                "  weights average 1 within each arm; effective: (Σw)²/Σw² patients",
                *(f"  {note}" for note in (*self.notes, *said)),
            ]
        )

    def __repr__(self) -> str:
        return str(self)


def check_weights(given: object) -> None:
    """Refuse what is not weights, with the way to make them.

    Raises
    ------
    TypeError
        For a Series, an array, matched sets or a cohort.
    """
    if not isinstance(given, Weights):
        raise TypeError(
            f"weights are those of tj.weights, tj.entropy_balance, tj.match(…).weights or, of your own numbers, tj.weights_of(cohort, series), "
            f"not a {type(given).__name__}."
        )


def normalised(
    raw: pd.Series, arm: pd.Series, arms: tuple[str, ...], counts: NDArray[np.float64] | None = None
) -> tuple[pd.Series, dict[str, float]]:
    """Scale weights to average 1 within each arm, over patients who count so much; return them and the means they had."""
    w, names = raw.to_numpy(dtype=float), arm.to_numpy()
    scaled, scales = np.empty(len(w)), {}
    for name in arms:
        mine = names == name
        scales[name] = float(np.average(w[mine], weights=None if counts is None else counts[mine]))
        scaled[mine] = w[mine] / scales[name]
    return pd.Series(scaled, index=raw.index, name="weight"), scales
