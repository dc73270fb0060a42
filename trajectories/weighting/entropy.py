"""Entropy balancing: the least uneven weights under which covariate means agree exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.caveats import SIMULATED
from trajectories.cohort import Cohort
from trajectories.weighting.cases import FEWEST, Cases, complete_cases
from trajectories.weighting.errors import InfeasibleError, WeightingError
from trajectories.weighting.estimation import of_scales, of_tilts, together
from trajectories.weighting.targets import check_target
from trajectories.weighting.tilting import tilted
from trajectories.weighting.values import Weights, normalised

__all__ = ["entropy_balance"]

type Floats = NDArray[np.float64]

_EXACT = 1e-9  # of a standard deviation


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    cases: Cases = field(repr=False)
    target: Literal["ATE", "ATT"]
    treated: str | None
    moments: int

    fractional: ClassVar[bool] = True

    def remade(self, cohort: Cohort, counts: pd.Series | None = None) -> Weights:
        return _balanced(self.cases.again(cohort, counts), self)


def entropy_balance(
    cohort: Cohort,
    formula: str,
    target: Literal["ATE", "ATT"] = "ATE",
    *,
    treated: str | None = None,
    moments: Literal[1, 2] = 1,
) -> Weights:
    """Weight each arm so that the means of its covariates are those of the target, without a model of the propensity.

    w = argmin Σ w log w subject to Σ w x = mean of the target (to 1e-8) and Σ w = 1, in each arm by itself; solved in its dual,
    w ∝ exp(x'λ), by Newton's method.

    Parameters
    ----------
    cohort
        Patients with a missing covariate are left out and counted.
    formula
        `arm ~ covariates`; its terms are what is balanced.
    target
        `"ATE"`: the means of all patients; `"ATT"`: those of the arm `treated`, whose patients keep the weight 1.
    treated
        For ATT.
    moments
        2 balances the squares too, and so the variances, of terms that are not just 0 and 1.

    Returns
    -------
    Weights
        Averaging 1 within each arm. Standard errors allow for their estimation, that of the target's means included.

    Raises
    ------
    InfeasibleError
        If no positive weights reach the means; names the covariates.
    WeightingError
        For one arm only, an arm with fewer than 10 patients, a constant or redundant term.

    Source: Hainmueller (2012), Entropy balancing for causal effects, Political Analysis 20:25, doi:10.1093/pan/mpr025.

    Examples
    --------
    >>> from trajectories.example_cohorts import simulated_three_dmts_400
    >>> made = entropy_balance(simulated_three_dmts_400(), "arm ~ age + edss_baseline")
    >>> (made.covariates["age"] * made.values).groupby(made.arm).mean().round(6).nunique()
    1
    """
    cases = complete_cases(cohort, formula, fewest=FEWEST)
    check_target(target, treated, cases.arms, ("ATE", "ATT"))
    if moments not in (1, 2):
        raise WeightingError(f"moments is 1 (means) or 2 (means and squares), not {moments}.")
    return _balanced(cases, _Recipe(cases=cases, target=target, treated=treated, moments=moments))


def _balanced(cases: Cases, recipe: _Recipe) -> Weights:
    Z, terms = _moments(cases.X, cases.terms, recipe.moments)
    treated = None if recipe.treated is None else cases.arms.index(recipe.treated)
    counted = np.ones(len(Z)) if treated is None else (cases.code == treated).astype(float)
    f = np.ones(len(Z)) if cases.counts is None else cases.counts
    goal = (f * counted) @ Z / (f @ counted)
    raw, tilted_arms = np.ones(len(Z)), [k for k in range(len(cases.arms)) if k != treated]
    for k in tilted_arms:
        mine = cases.code == k
        raw[mine] = _reached(Z[mine] - goal, terms, cases.arms[k], f[mine] / f[mine].sum())
    arm_of = cases.named()
    values, scales = normalised(pd.Series(raw, index=cases.patients), arm_of, cases.arms, cases.counts)
    estimation = None
    if cases.counts is None:  # a replicate of a bootstrap needs no standard errors
        through = of_tilts(Z - goal, values, counted, cases.code, tilted_arms)
        estimation = together(through, of_scales(values, arm_of, cases.arms))
    population = (
        "all patients with complete covariates" if treated is None else f"those given {recipe.treated}"
    )
    balanced = "means" if recipe.moments == 1 else "means and squares"
    return Weights(
        values=values, standardisation=pd.Series(counted, index=cases.patients, name="standardisation"), arm=arm_of, arms=cases.arms,
        target=recipe.target, treated=recipe.treated,
        description=f"target {recipe.target}: {population}; entropy balancing of the {balanced} of {cases.formula!r}.",
        candidates=cases.covariates.assign(arm=arm_of), cohort_sizes=cases.cohort_sizes, scales=scales, notes=cases.notes,
        caveats=(SIMULATED,) if cases.simulated else (), simulated=cases.simulated, recipe=recipe,
        estimation=estimation,
    )  # fmt: skip


def _moments(X: Floats, terms: Sequence[str], moments: int) -> tuple[Floats, list[str]]:
    """Standardised terms, so that steps and tolerances do not depend on units, and their squares."""
    Z, names = (X - X.mean(axis=0)) / X.std(axis=0), list(terms)
    if moments == 1:
        return Z, names
    several = [k for k in range(Z.shape[1]) if len(np.unique(Z[:, k])) > 2]
    squares = Z[:, several] ** 2
    return np.column_stack([Z, squares / squares.std(axis=0)]), names + [
        f"square of {terms[k]}" for k in several
    ]


def _reached(D: Floats, terms: Sequence[str], arm: str, share: Floats) -> Floats:
    """Weights with which the mean of D is 0, relative to `share`."""
    w, off = tilted(D, share, _EXACT)
    if not off < _EXACT:
        raise InfeasibleError(_unreachable(D, terms, arm))
    return w / share


def _unreachable(D: Floats, terms: Sequence[str], arm: str) -> str:
    """Name the terms that remain off however the arm's patients are weighted: the least sum of distances, a linear programme."""
    from scipy.optimize import linprog

    n, p = D.shape
    equal = np.block([[D.T, np.eye(p), -np.eye(p)], [np.ones((1, n)), np.zeros((1, 2 * p))]])
    best = linprog(
        np.concatenate([np.zeros(n), np.ones(2 * p)]), A_eq=equal, b_eq=np.concatenate([np.zeros(p), [1.0]])
    )
    off = np.abs(best.x[n : n + p] - best.x[n + p :])
    named = ", ".join(
        f"{terms[k]} (off by {off[k]:.2g} SD at best)" for k in np.argsort(-off) if off[k] > 1e-8
    )
    where = named or f"{', '.join(terms)} together, only at the edge of what is possible"
    return (
        f"no positive weights of the {n} patients of {arm} reach the means of the target: {where}. Leave the patients without counterpart out "
        "of the cohort, name fewer covariates or moments, choose the arm with the narrower range as ATT, or compare the overlap: "
        "weights(…, target='ATO')."
    )
