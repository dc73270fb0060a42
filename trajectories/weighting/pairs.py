"""Matching: every patient of one arm with the nearest of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.caveats import SIMULATED
from trajectories.cohort import Cohort
from trajectories.weighting.cases import Cases
from trajectories.weighting.errors import WeightingError
from trajectories.weighting.scores import Propensity, fitted
from trajectories.weighting.values import Weights, normalised

__all__ = ["Matches", "match"]

type Floats = NDArray[np.float64]
type Integers = NDArray[np.int64]

_BOOTSTRAP = (
    "matched to the nearest with replacement: a bootstrap of the patients does not give valid intervals (Abadie, Imbens 2008, "
    "doi:10.3982/ECTA6474)"
)


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    cases: Cases = field(repr=False)
    treated: str
    control: str
    caliper: float | None
    ratio: int
    exact: tuple[str, ...]
    replace: bool
    seed: int | None

    fractional: ClassVar[bool] = False

    def remade(self, cohort: Cohort, counts: pd.Series | None = None) -> Weights:
        if counts is not None:
            raise WeightingError(
                "matched patients cannot count in fractions: hold the matched sets as they are (contrast does so by itself)."
            )
        return self.matched(cohort).weights

    def matched(self, cohort: Cohort) -> Matches:
        return _matched(fitted(self.cases.again(cohort)), self)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Matches:
    """Matched sets of two arms; made by `match`.

    Parameters
    ----------
    sets
        A row a patient of a set: `set` (counted from 1), `patient`, `arm`, `distance` from the treated patient of the set on the scale
        of the logit (0 for that patient). With replacement a control can be in several sets.
    weights
        1 for matched treated patients; controls share one treated patient's weight in each set.
    treated, control
        The arms.
    width
        The caliper on the scale of the logit; infinite without.
    unmatched
        Numbers of patients by arm (first level) and reason (second).
    recipe
        How to match again.

    Examples
    --------
    >>> from trajectories.example_cohorts import simulated_three_dmts_400
    >>> from trajectories.weighting import propensity
    >>> scores = propensity(simulated_three_dmts_400(), "arm ~ age + edss_baseline")
    >>> matches = match(scores, treated="alemtuzumab", control="ocrelizumab")
    >>> int(matches.sets["set"].max()) == len(matches.sets) // 2
    True
    """

    sets: pd.DataFrame = field(repr=False)
    weights: Weights = field(repr=False)
    treated: str
    control: str
    width: float
    unmatched: pd.Series = field(repr=False)
    recipe: _Recipe = field(repr=False)

    def remade(self, cohort: Cohort) -> Matches:
        """Estimate the propensities of another cohort and match it in the same way."""
        return self.recipe.matched(cohort)

    def summary(self) -> pd.DataFrame:
        """Return a row an arm: patients in the cohort, matched, effective sample size, and the unmatched by reason."""
        made = self.weights.summary()[["in_cohort", "weighted", "effective"]]
        made = made.rename(columns={"weighted": "matched"})
        reasons = self.unmatched.reset_index().pivot_table(
            index="arm", columns="reason", values="patients", aggfunc="sum"
        )
        joined = made.join(reasons.reindex(made.index).fillna(0).astype(int))
        joined.attrs = made.attrs | {"sets": int(self.sets["set"].nunique())}
        return joined

    def __str__(self) -> str:
        per_set = self.sets.groupby("set").size() - 1
        numbers = ", ".join(f"{n} sets with {k}" for k, n in per_set.value_counts().sort_index().items())
        lines = [f"Matches: {self.weights.description}", self.summary().round(1).to_string()]
        lines += [
            f"  controls a set: {numbers}",
            f"  largest distance: {self.sets['distance'].max():.3g} logits",
        ]
        lines += [f"  {said}" for said in (*self.weights.notes, *self.weights.caveats)]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def match(
    propensity: Propensity,
    *,
    treated: str,
    control: str,
    caliper: float | None = 0.2,
    ratio: int = 1,
    exact: Sequence[str] = (),
    replace: bool = False,
    seed: int | None = None,
) -> Matches:
    """Match every patient of one arm with the nearest of another on the logit of the propensity.

    Greedy: the treated are taken from the largest log(e_treated / e_control) down, each takes the nearest control still free within the
    caliper; with ratio k this is repeated k times, so that sets have 1 to k controls.

    Parameters
    ----------
    propensity
        Of all arms; log(e_treated / e_control) is the score.
    treated, control
        Arms; the target is the treated who are matched.
    caliper
        Largest distance in standard deviations of the score, over the patients of both arms; None for any distance.
    ratio
        Up to how many controls each treated patient takes.
    exact
        Columns of the patients table that must be equal within a set.
    replace
        Whether a control can be taken more than once.
    seed
        None takes patients whose scores are equal in the cohort's order; a number, in a random order.

    Returns
    -------
    Matches
        Its `sets`, `weights`, and the unmatched with the reason. Standard errors take the weights as known: a matched set does not change
        smoothly with the propensities, so neither slopes nor a bootstrap of the patients tell how they depend on them (Abadie and Imbens
        2008, Econometrica 76:1537, doi:10.3982/ECTA6474).

    Raises
    ------
    WeightingError
        For an unknown arm or column, a caliper that is not positive, or if nobody can be matched.

    Source: Austin (2011), Optimal caliper widths for propensity-score matching, Pharm Stat 10:150, doi:10.1002/pst.433; Stuart (2010),
    Matching methods for causal inference, Stat Sci 25:1, doi:10.1214/09-STS313.

    Examples
    --------
    >>> from trajectories.example_cohorts import simulated_three_dmts_400
    >>> from trajectories.weighting import propensity
    >>> scores = propensity(simulated_three_dmts_400(), "arm ~ age + sex + edss_baseline")
    >>> matches = match(scores, treated="alemtuzumab", control="fingolimod", exact=("sex",))
    >>> bool(matches.sets["distance"].max() <= matches.width)
    True
    """
    for name in (treated, control):
        if name not in propensity.arms:
            raise WeightingError(
                f"{name!r} is no arm of the propensity: it has {', '.join(propensity.arms)}."
            )
    if treated == control:
        raise WeightingError(f"treated and control are both {treated!r}: name two arms.")
    if isinstance(exact, str):
        raise WeightingError(f"exact takes several columns: write exact=({exact!r},).")
    for name in exact:
        if name not in propensity.cases.table:
            raise WeightingError(f"the patients table has no column {name!r} to match exactly on.")
    if caliper is not None and not 0 < caliper < np.inf:
        raise WeightingError(f"the caliper must be positive, or None for any distance, not {caliper}.")
    if ratio < 1 or ratio != int(ratio):
        raise WeightingError(f"ratio is a number of controls, 1 or more, not {ratio}.")
    recipe = _Recipe(
        cases=propensity.cases, treated=treated, control=control, caliper=caliper, ratio=int(ratio),
        exact=tuple(exact), replace=replace, seed=seed,
    )  # fmt: skip
    return _matched(propensity, recipe)


def _matched(scores: Propensity, recipe: _Recipe) -> Matches:
    cases, e = scores.cases, scores.probabilities.to_numpy()
    t, c = cases.arms.index(recipe.treated), cases.arms.index(recipe.control)
    score = np.log(e[:, t] / e[:, c])
    both = (cases.code == t) | (cases.code == c)
    width = np.inf if recipe.caliper is None else recipe.caliper * float(np.std(score[both], ddof=1))
    stratum = _strata(cases, recipe.exact)
    treated, control = _ordered(cases, stratum, (t, c), recipe.seed)
    treated = treated[np.argsort(-score[treated], kind="stable")]
    taken = _greedy(score, stratum, treated, control, width, recipe)
    if not taken:
        raise WeightingError(
            f"no patient of {recipe.treated} has one of {recipe.control} within {width:.3g} logits"
            + (f" and with equal {', '.join(recipe.exact)}" if recipe.exact else "")
            + ": widen the caliper, match exactly on less, or weight by overlap (target='ATO')."
        )
    found = {patient for patient, _ in taken}
    lost = [patient for patient in treated if patient not in found]
    reasons = _reasons(score, stratum, lost, control, width)
    free = len(control) - len({partner for _, partner in taken})
    unmatched = {(recipe.treated, why): n for why, n in reasons.items()} | {
        (recipe.control, "not needed or out of reach"): free
    }
    for arm, k in ((recipe.treated, t), (recipe.control, c)):
        if n := int(((cases.code == k) & (stratum < 0)).sum()):
            unmatched[arm, "exact column missing"] = n
    counts = pd.Series(
        list(unmatched.values()), index=pd.MultiIndex.from_tuples(list(unmatched), names=["arm", "reason"]), name="patients"
    )  # fmt: skip
    return Matches(
        sets=_sets(cases, score, taken), weights=_weights(scores, taken, counts, recipe), treated=recipe.treated,
        control=recipe.control, width=width, unmatched=counts, recipe=recipe,
    )  # fmt: skip


def _strata(cases: Cases, exact: Sequence[str]) -> Integers:
    """Number the combinations of the exact columns; −1 where one is missing."""
    if not exact:
        return np.zeros(len(cases.code), dtype=np.int64)
    columns = cases.table[list(exact)]
    number = columns.groupby(list(exact), observed=True, sort=False, dropna=False).ngroup().to_numpy()
    return np.where(columns.isna().any(axis=1).to_numpy(), -1, number)


def _ordered(
    cases: Cases, stratum: Integers, pair: tuple[int, int], seed: int | None
) -> tuple[Integers, Integers]:
    order = np.arange(len(cases.code))
    if seed is not None:
        order = np.random.default_rng(seed).permutation(order)
    known = order[stratum[order] >= 0]
    return known[cases.code[known] == pair[0]], known[cases.code[known] == pair[1]]


def _greedy(
    score: Floats, stratum: Integers, treated: Integers, control: Integers, width: float, recipe: _Recipe
) -> list[tuple[int, int]]:
    """Return (treated, control) in the order taken; nobody takes the same control twice."""
    taken: list[tuple[int, int]] = []
    own: dict[int, list[int]] = {int(i): [] for i in treated}
    places, strata = score[control], stratum[control]
    free = np.ones(len(control), dtype=bool)
    for _ in range(recipe.ratio):
        for i in treated.tolist():
            open_ = free & (strata == stratum[i])
            open_[own[i]] = False
            distance = np.where(open_, np.abs(places - score[i]), np.inf)
            if not len(distance) or not (nearest := distance.min()) <= width or nearest == np.inf:
                continue
            j = int(distance.argmin())
            own[i].append(j)
            free[j] = recipe.replace
            taken.append((i, int(control[j])))
    return taken


def _reasons(
    score: Floats, stratum: Integers, lost: Sequence[int], control: Integers, width: float
) -> dict[str, int]:
    counts = {
        "no control in the exact stratum": 0,
        "no control within the caliper": 0,
        "those within it taken": 0,
    }
    for i in lost:
        same = control[stratum[control] == stratum[i]]
        near = (np.abs(score[same] - score[i]) <= width).any()
        why = list(counts)[0 if not len(same) else 1 if not near else 2]
        counts[why] += 1
    return {why: n for why, n in counts.items() if n}


def _sets(cases: Cases, score: Floats, taken: Sequence[tuple[int, int]]) -> pd.DataFrame:
    partners: dict[int, list[int]] = {}
    for i, j in taken:
        partners.setdefault(i, []).append(j)
    number, member, distance = [], [], []
    for n, (i, own) in enumerate(sorted(partners.items()), start=1):
        number += [n] * (1 + len(own))
        member += [i, *own]
        distance += [0.0, *(abs(score[j] - score[i]) for j in own)]
    names = np.asarray(cases.arms, dtype=object)[cases.code[member]]
    return pd.DataFrame(
        {"set": number, "patient": cases.patients[member], "arm": names, "distance": distance}
    )


def _weights(
    scores: Propensity, taken: Sequence[tuple[int, int]], unmatched: pd.Series, recipe: _Recipe
) -> Weights:
    cases = scores.cases
    pairs = np.asarray(taken)
    raw = np.zeros(len(cases.code))
    sizes = np.bincount(pairs[:, 0], minlength=len(raw))
    np.add.at(raw, pairs[:, 1], 1 / sizes[pairs[:, 0]])
    raw[pairs[:, 0]] = 1.0
    inside = raw > 0
    arm, everybody = cases.named()[inside], cases.named()
    two = everybody.isin([recipe.treated, recipe.control]).to_numpy()
    arms = tuple(name for name in cases.arms if name in (recipe.treated, recipe.control))
    values, scales = normalised(pd.Series(raw[inside], index=cases.patients[inside]), arm, arms)
    counted = pd.Series(
        (arm == recipe.treated).to_numpy(dtype=float), index=arm.index, name="standardisation"
    )
    caveats = ((_BOOTSTRAP,) if recipe.replace else ()) + ((SIMULATED,) if cases.simulated else ())
    return Weights(
        values=values, standardisation=counted, arm=arm, arms=arms, target="ATT", treated=recipe.treated,
        description=_describe(recipe, cases), caveats=caveats, notes=(*cases.notes, *_lost(unmatched, recipe.treated)),
        candidates=cases.covariates[two].assign(arm=everybody[two]), scales=scales,
        cohort_sizes={name: cases.cohort_sizes[name] for name in arms}, probabilities=scores.probabilities[inside],
        simulated=cases.simulated, recipe=recipe,
    )  # fmt: skip


def _describe(recipe: _Recipe, cases: Cases) -> str:
    caliper = "no caliper" if recipe.caliper is None else f"caliper {recipe.caliper:g} SD of the logit"
    up_to = "1" if recipe.ratio == 1 else f"up to {recipe.ratio}"
    exactly = f", exactly on {', '.join(recipe.exact)}" if recipe.exact else ""
    again = "with" if recipe.replace else "without"
    others = [arm for arm in cases.arms if arm not in (recipe.treated, recipe.control)]
    aside = f"; {', '.join(others)} set aside" if others else ""
    return (
        f"target ATT: the patients given {recipe.treated} who could be matched; nearest {up_to} of {recipe.control} {again} replacement, "
        f"{caliper}{exactly}, on {cases.formula!r}{aside}."
    )


def _lost(unmatched: pd.Series, treated: str) -> tuple[str, ...]:
    counts = [(*key, int(n)) for key, n in zip(unmatched.index, unmatched, strict=True)]
    said = [f"{n} {arm} ({why})" for arm, why, n in counts if n]
    lost = sum(n for arm, _, n in counts if arm == treated)
    moved = (f"the target lacks {lost} of {treated}, so it is not all the treated",) if lost else ()
    return ((f"unmatched: {', '.join(said)}",) if said else ()) + moved
