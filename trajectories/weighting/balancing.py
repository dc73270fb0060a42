"""Balance: how alike the arms are in their covariates, before and after weighting."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.caveats import marks_of
from trajectories.formulas import level_order
from trajectories.weighting.errors import WeightingError
from trajectories.weighting.scores import overlap_share
from trajectories.weighting.values import Weights, check_weights

__all__ = ["GOAL", "Balance", "balance"]

type Floats = NDArray[np.float64]

GOAL = 0.1
"""Standardised mean differences below this are called balanced (Austin 2009, Stat Med 28:3083, doi:10.1002/sim.3697)."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Balance:
    """Standardised mean differences and variance ratios before and after weighting; made by `balance`.

    SMD = (mean of an arm − mean of another) / SD, both before and after with the same SD, that before weighting: of the treated arm for
    ATT, else the root of the mean of the arms' variances. Shares of categories too are divided by their SD, √(p(1 − p)).

    Parameters
    ----------
    pairs
        Index `covariate` (with its level), `pair` ("a − b"); columns `smd_before`, `smd_after`, `variance_ratio_before`,
        `variance_ratio_after` (NaN for 0/1 columns).
    means
        Index `covariate`, `arm`; columns `before`, `after`, `target` (its mean in the target population), `smd_target` (after − target,
        over the same SD).
    denominators
        The SD of each covariate.
    weights
        What was judged.
    overlap
        Share of the weighted patients whose every propensity occurs in all arms; NaN without a propensity model.

    Examples
    --------
    >>> from trajectories.example_cohorts import simulated_three_dmts_400
    >>> from trajectories.weighting import propensity, weights
    >>> made = weights(propensity(simulated_three_dmts_400(), "arm ~ age + edss_baseline"), "ATO")
    >>> balance(made).largest_after < 0.1
    True
    """

    pairs: pd.DataFrame = field(repr=False)
    means: pd.DataFrame = field(repr=False)
    denominators: pd.Series = field(repr=False)
    weights: Weights = field(repr=False)
    overlap: float

    @property
    def largest_before(self) -> float:
        """Largest absolute standardised mean difference before weighting, over covariates and pairs."""
        return float(self.pairs["smd_before"].abs().max())

    @property
    def largest_after(self) -> float:
        """The same after weighting."""
        return float(self.pairs["smd_after"].abs().max())

    @property
    def verdict(self) -> str:
        """Whether the arms are alike enough, in words and numbers."""
        after = self.pairs["smd_after"].abs()
        covariate, pair = after.index[int(after.argmax())]
        off = after.groupby(level="covariate", sort=False).max()
        unbalanced = off[off >= GOAL]
        if len(unbalanced):
            named = ", ".join(f"{name} ({value:.2f})" for name, value in unbalanced.items())
            said = f"not balanced: {len(unbalanced)} of {len(off)} covariates and levels differ by {GOAL:g} SD or more: {named}"
        else:
            said = f"balanced: all {len(off)} covariates and levels differ by less than {GOAL:g} SD"
        effective, kept = self.weights.effective_sample_size, self.weights.arm.value_counts()
        sizes = ", ".join(f"{arm} {kept[arm]} count as {effective[arm]:.0f}" for arm in self.weights.arms)
        return f"{said}. Largest difference {after.max():.2f} SD ({covariate}, {pair}), before {self.largest_before:.2f}. Patients: {sizes}."

    def to_frame(self) -> pd.DataFrame:
        """Return `pairs`, a copy."""
        return self.pairs.copy()

    def summary(self) -> pd.DataFrame:
        """Return a row a covariate and level: the largest |SMD| over pairs and the most extreme variance ratio, before and after."""
        groups = self.pairs.groupby(level="covariate", sort=False)
        made = pd.DataFrame(
            {
                "smd_before": groups["smd_before"].agg(lambda x: x.abs().max()),
                "smd_after": groups["smd_after"].agg(lambda x: x.abs().max()),
                "variance_ratio_before": groups["variance_ratio_before"].agg(_most_extreme),
                "variance_ratio_after": groups["variance_ratio_after"].agg(_most_extreme),
                "from_target_after": self.means["smd_target"]
                .abs()
                .groupby(level="covariate", sort=False)
                .max(),
            }
        )
        made.attrs.update(verdict=self.verdict, overlap=self.overlap, notes=list(self.weights.notes))
        made.attrs.update(
            caveats=list(self.weights.caveats), patients=self.weights.arm.value_counts().to_dict()
        )
        return made

    def __str__(self) -> str:
        weights = self.weights
        marks = [mark.value for mark in marks_of(weights.caveats)]
        overlap = "no propensity model" if np.isnan(self.overlap) else f"{100 * self.overlap:.0f} %"
        sd = (
            f"the SD of {weights.treated}" if weights.treated else "the root of the mean variance of the arms"
        )
        pairs = (
            "largest of all pairs of arms, in absolute value"
            if len(weights.arms) > 2
            else "in absolute value"
        )
        return "\n".join(
            [
                *marks,
                f"Balance: {weights.description}",
                f"  {self.verdict}",
                self.summary().round(3).to_string(na_rep=""),
                f"  smd: {pairs}; over {sd} before weighting; goal below {GOAL:g}",
                f"  patients whose propensities occur in all arms: {overlap}",
                *(f"  {said}" for said in (*weights.notes, *weights.caveats) if not marks_of([said])),
            ]
        )

    def __repr__(self) -> str:
        return str(self)


def balance(weights: Weights, *, squares: bool = False, interactions: bool = False) -> Balance:
    """Judge how alike weights leave the arms in every covariate and every level of categories.

    SMD_ab = (x̄_a − x̄_b) / s, with the s before weighting in both columns; variance ratio s²_a / s²_b with weighted variances
    Σw(x − x̄)² Σw / ((Σw)² − Σw²). Of a category with two levels the second is shown, of one with more, every one.

    Parameters
    ----------
    weights
        From `weights`, `entropy_balance`, `match` or `weights_of`.
    squares
        Also the squares of covariates that are not 0/1: spread, as means.
    interactions
        Also the products of every two covariates.

    Returns
    -------
    Balance
        With `verdict`, `summary()`, `to_frame()`.

    Raises
    ------
    WeightingError
        If the weights have no covariates.

    Source: Austin, Stuart (2015), Moving towards best practice when using inverse probability of treatment weighting, Stat Med 34:3661,
    doi:10.1002/sim.6607.

    Examples
    --------
    >>> from trajectories.example_cohorts import simulated_three_dmts_400
    >>> from trajectories.weighting import propensity, weights
    >>> scores = propensity(simulated_three_dmts_400(), "arm ~ sex + edss_baseline")
    >>> balance(weights(scores, "ATO")).summary()["smd_after"].round(2).to_dict()
    {'sex: M': 0.02, 'edss_baseline': 0.03}
    """
    check_weights(weights)
    everybody = weights.candidates.drop(columns="arm")
    if everybody.empty:
        raise WeightingError(
            "these weights have no covariates to judge: name them, weights_of(…, covariates=['age', 'sex'])."
        )
    names, X, owner = _columns(everybody)
    names, X = _expanded(names, X, owner, squares=squares, interactions=interactions)
    arm = weights.candidates["arm"].to_numpy()
    inside = weights.candidates.index.isin(weights.values.index)
    w, h = np.zeros(len(X)), np.zeros(len(X))
    w[inside], h[inside] = weights.values.to_numpy(), weights.standardisation.to_numpy()
    binary = np.array([bool(np.isin(x, (0, 1)).all()) for x in X.T])
    groups = [arm == name for name in weights.arms]
    before = [_moments(X[g], np.ones(int(g.sum())), binary) for g in groups]
    after = [_moments(X[g], w[g], binary) for g in groups]
    variances = np.array([variance for _, variance in before])
    s = np.sqrt(
        variances.mean(axis=0) if weights.treated is None else variances[weights.arms.index(weights.treated)]
    )
    scores = weights.probabilities
    code = np.array([weights.arms.index(name) for name in weights.arm])
    return Balance(
        pairs=_pairs(names, weights.arms, (before, after), s, binary),
        means=_means(names, weights.arms, (before, after), h @ X / h.sum(), s),
        denominators=pd.Series(s, index=pd.Index(names, name="covariate"), name="sd"),
        weights=weights,
        overlap=np.nan if scores is None else overlap_share(scores[list(weights.arms)].to_numpy(), code),
    )


def _columns(covariates: pd.DataFrame) -> tuple[list[str], Floats, list[str]]:
    names, columns, owner = [], [], []
    for name, column in covariates.items():
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            names.append(str(name))
            columns.append(column.to_numpy(dtype=float))
            owner.append(str(name))
            continue
        text = column.astype(str)
        levels = [level for level in level_order(column) if (text == level).any()]
        for level in levels if len(levels) > 2 else levels[1:]:
            names.append(f"{name}: {level}")
            columns.append((text == level).to_numpy(dtype=float))
            owner.append(str(name))
    return names, np.column_stack(columns), owner


def _expanded(
    names: list[str], X: Floats, owner: list[str], *, squares: bool, interactions: bool
) -> tuple[list[str], Floats]:
    labels, columns = list(names), list(X.T)
    for j, name in enumerate(names):
        if squares and len(np.unique(X[:, j])) > 2:
            labels.append(f"{name}²")
            columns.append(X[:, j] ** 2)
    for j, k in combinations(range(len(names)), 2):
        if interactions and owner[j] != owner[k]:
            labels.append(f"{names[j]} × {names[k]}")
            columns.append(X[:, j] * X[:, k])
    return labels, np.column_stack(columns)


def _moments(X: Floats, w: Floats, binary: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Weighted means and variances: p(1 − p) of shares, unbiased for others."""
    total = w.sum()
    mean = w @ X / total
    with np.errstate(divide="ignore", invalid="ignore"):  # one patient has no variance: NaN
        variance = w @ (X - mean) ** 2 * total / (total**2 - (w**2).sum())
    return mean, np.where(binary, mean * (1 - mean), variance)


type _Moments = list[tuple[Floats, Floats]]


def _pairs(
    names: list[str],
    arms: tuple[str, ...],
    moments: tuple[_Moments, _Moments],
    s: Floats,
    binary: NDArray[np.bool_],
) -> pd.DataFrame:
    parts = []
    for a, b in combinations(range(len(arms)), 2):
        columns = {}
        with np.errstate(divide="ignore", invalid="ignore"):  # constant in an arm: infinite, or NaN for 0/0
            for when, found in zip(("before", "after"), moments, strict=True):
                columns[f"smd_{when}"] = _ratio(found[b][0] - found[a][0], s)
                columns[f"variance_ratio_{when}"] = np.where(binary, np.nan, found[b][1] / found[a][1])
        part = pd.DataFrame(columns).assign(covariate=names, pair=f"{arms[b]} − {arms[a]}")
        parts.append(part)
    made = pd.concat(parts).set_index(["covariate", "pair"])
    order = ["smd_before", "smd_after", "variance_ratio_before", "variance_ratio_after"]
    return made.loc[
        pd.MultiIndex.from_product([names, made.index.unique("pair")], names=made.index.names), order
    ]


def _means(
    names: list[str], arms: tuple[str, ...], moments: tuple[_Moments, _Moments], target: Floats, s: Floats
) -> pd.DataFrame:
    before, after = (np.array([mean for mean, _ in found]).T.ravel() for found in moments)
    goal, sd = np.repeat(target, len(arms)), np.repeat(s, len(arms))
    index = pd.MultiIndex.from_product([names, arms], names=["covariate", "arm"])
    return pd.DataFrame(
        {"before": before, "after": after, "target": goal, "smd_target": _ratio(after - goal, sd)},
        index=index,
    )


def _ratio(difference: Floats, s: Floats) -> Floats:
    """A difference over an SD; 0 where both are 0, infinite where arms that do not vary differ."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(np.abs(difference) < 1e-14, 0.0, difference / s))


def _most_extreme(ratios: pd.Series) -> float:
    known = ratios.dropna()
    return float("nan") if known.empty else float(known.iloc[int(np.abs(np.log(known)).to_numpy().argmax())])
