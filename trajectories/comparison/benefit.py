"""Who benefits: the effect of one arm against another by a covariate at baseline, and how it differs between its values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from trajectories.caveats import Doubt, warning_lines
from trajectories.comparison.bootstrap import Bootstrap
from trajectories.comparison.contrasts import contrast
from trajectories.estimands.comparing import MODIFIED
from trajectories.estimate import Estimate
from trajectories.models.design import Design
from trajectories.printing import aligned, interval, number, sentence, years
from trajectories.weighting.values import Weights

__all__ = ["Benefit", "benefit"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Benefit:
    """Effects of one arm against another by the values of a covariate; made by `benefit`, drawn by `plots.benefit`.

    Parameters
    ----------
    effects
        The contrast at each value: chain × draw × value.
    interaction
        What each other value's effect is minus (of ratios: over) that of the first: chain × draw × value.
    over
        The covariate.
    level, reference
        The arms.
    patients
        Of the two arms in the model: `arm` and the covariate, a row a patient, without identifiers.
    """

    effects: Estimate
    interaction: Estimate
    over: str
    level: str
    reference: str
    patients: pd.DataFrame = field(repr=False)

    @property
    def values(self) -> list[Any]:
        """The values of the covariate at which the effect was asked for."""
        return list(self.effects.draws[self.over].to_numpy())

    @property
    def numeric(self) -> bool:
        """Whether the covariate is a number."""
        return pd.api.types.is_numeric_dtype(self.patients[self.over])

    @property
    def caveats(self) -> tuple[str, ...]:
        """What belongs to every report of it."""
        return self.interaction.caveats

    @property
    def reach(self) -> float:
        """How far from a value patients count as near it: half a standard deviation of the covariate, or half the way to the next value."""
        column, values = (
            self.patients[self.over].to_numpy(dtype=float),
            np.unique(np.array(self.values, float)),
        )
        return float(f"{min(column.std(ddof=1), *np.diff(values)) / 2:.2g}")

    @property
    def near(self) -> pd.DataFrame:
        """Patients of each arm by value: those who have it, or of a number those whose value is within `reach` of it."""
        column, arm = self.patients[self.over], self.patients["arm"].astype(str)
        if self.numeric:
            own = column.to_numpy(dtype=float)
            there = [np.abs(own - value) <= self.reach + 1e-9 for value in self.values]
        else:
            there = [(column.astype(str) == value).to_numpy() for value in self.values]
        pair = (self.level, self.reference)
        counts = {name: [int((at & (arm == name).to_numpy()).sum()) for at in there] for name in pair}
        return pd.DataFrame(counts, index=pd.Index(self.values, name=self.over))

    def summary(self, ci: float = 0.95) -> pd.DataFrame:
        """Return a row a value: the effect, patients near it in both arms, and the difference from the first value's effect.

        Parameters
        ----------
        ci
            Probability of the equal-tailed intervals.
        """
        effects, others = self.effects.summary(ci), self.interaction.summary(ci)
        frame = effects.join(self.near.add_prefix("n "))
        columns = ["mean", "lower", "upper"]
        frame = frame.join(others[columns].add_prefix("difference "))
        frame.attrs = {**effects.attrs, "caveats": list(self.caveats), "first": self.values[0]}
        return frame

    def __str__(self) -> str:
        frame = self.summary()
        odds = [str(column) for column in frame if str(column).startswith("Pr(")]
        ratio = self.effects.null == 1
        rows = [
            [self.over, "mean", "95 % interval", *odds, f"n {self.level}", f"n {self.reference}",
             f"{'over' if ratio else 'minus'} that at {_say(self.values[0])}"]
        ]  # fmt: skip
        for value, row in frame.iterrows():
            other = f"{number(row['difference mean'])} ({interval(row['difference lower'], row['difference upper'])})"
            rows.append([
                _say(value), number(row["mean"]), interval(row["lower"], row["upper"]), *(number(row[c], 3) for c in odds),
                f"{row[f'n {self.level}']:.0f}", f"{row[f'n {self.reference}']:.0f}",
                "-" if np.isnan(row["difference mean"]) else other,
            ])  # fmt: skip
        counted = f"within {self.reach:g} of the value" if self.numeric else "with the value"
        lines = [
            f"Effect by {self.over}: {self.effects.name} ({self.effects.unit})",
            *sentence(self.effects.definition, bullet="  "),
            *aligned(rows, indent=2),
            *sentence(f"n: patients in the model {counted}; {frame.attrs['interval']}", bullet="  "),
        ]
        for caveat in self.caveats:
            lines += sentence(str(caveat), bullet="  - ")
        return warning_lines(self.caveats) + "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def benefit(
    estimate: Estimate,
    level: str,
    reference: str,
    *,
    over: str | None = None,
    scale: Literal["difference", "ratio"] = "difference",
    weights: Weights | None = None,
    bootstrap: Bootstrap | None = None,
) -> Benefit:
    """Estimate the effect of one arm against another at several values of a covariate, and how these effects differ.

    θ_v = E[Y(level) | x = v] − E[Y(reference) | x = v] (or their ratio), other covariates standardised over the same target at every v;
    interaction: θ_v − θ_first (or θ_v / θ_first), draw by draw.

    Parameters
    ----------
    estimate
        An estimand of a fit by the covariate at one time, such as `tj.change(fit, 2.0, by={"edss_baseline": [1.5, 4.0, 6.0]})`. The effect can
        only depend on the covariate as far as the formula lets it: `edss ~ arm * edss_baseline + …`.
    level, reference
        Names of arms.
    over
        The covariate of `by`, where there are several; the others then must have one value.
    scale, weights, bootstrap
        As in `tj.contrast`.

    Returns
    -------
    `Benefit`, with `.effects` and `.interaction` (`Estimate`s); print it, or `plots.benefit(…)`. Effects of subgroups that are not on one line:
    `tj.shrunken(made.effects, …)`. Of a posterior, interactions are shrunk where they are: by a prior on their terms,
    `model.with_priors(terms={"arm[alemtuzumab]:edss_baseline": priors.Normal(0, 0.1)})`.

    Raises
    ------
    TypeError
        If the estimate is none of a fit.
    ValueError
        If it was not asked by a covariate, at several times, or at one value only.

    Source: Kent et al. (2020), The PATH statement, Annals of Internal Medicine 172:35, doi:10.7326/M18-3667.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> model = models.GaussianMixed("edss ~ arm * edss_baseline + arm * years + (1 | patient)")
    >>> fit = tj.maximise(model, tj.simulated_three_dmts_400())
    >>> made = benefit(tj.change(fit, 2.0, by={"edss_baseline": [1.5, 4.0, 6.0]}), "alemtuzumab", "fingolimod")
    >>> made.effects.summary()["mean"].round(1).tolist()
    [-0.3, -0.6, -0.8]
    """
    if estimate.asked is None or not hasattr(estimate.asked.fit, "design"):
        raise TypeError(
            f"{estimate.name} is no estimand of a fit: give one such as tj.change(fit, 2.0, by={{'edss_baseline': [1.5, 4.0, 6.0]}})."
        )
    over, design = _covariate(estimate, over), estimate.asked.fit.design
    effects = contrast(estimate, level, reference, scale=scale, weights=weights, bootstrap=bootstrap)
    single = [dim for dim in effects.draws.dims[2:] if dim != over]
    draws = effects.draws.isel(dict.fromkeys(single, 0), drop=True)
    target = design.target[design.target["arm"].astype(str).isin([level, reference])]
    patients = target[["arm", over]].reset_index(drop=True)
    patients["arm"] = pd.Categorical(patients["arm"].astype(str), categories=list(design.arms), ordered=True)
    said = (
        *_assumed(design, over),
        *_outside(patients, over, list(draws[over].to_numpy()), (level, reference)),
    )
    at = "".join(f", at {_only(effects, dim)}" for dim in single)
    effects = replace(effects, draws=draws, definition=f"{effects.definition}{f' By {over}{at}.' if at else ''}",
                      caveats=(*effects.caveats, *said))  # fmt: skip
    first, others = draws.isel({over: 0}, drop=True), draws.isel({over: slice(1, None)})
    ratio = scale == "ratio"
    start = _say(draws[over].to_numpy()[0])
    interaction = replace(
        effects,
        name=f"{effects.name}, {'over' if ratio else 'minus'} that at {over} {start}",
        draws=others / first if ratio else others - first,
        definition=f"Effect at each {over} {'over' if ratio else 'minus'} that at {start}. {effects.definition}",
        caveats=(*effects.caveats, MODIFIED),
    )
    return Benefit(
        effects=effects, interaction=interaction, over=over, level=level, reference=reference, patients=patients
    )  # fmt: skip


def _only(estimate: Estimate, dim: Any) -> str:
    """The only value of a dim, in words."""
    value = _say(estimate.draws[dim].to_numpy()[0])
    return years(float(estimate.draws[dim].to_numpy()[0])) if dim == "years" else f"{dim} {value}"


def _covariate(estimate: Estimate, over: str | None) -> str:
    """The covariate that effects are to be told apart by."""
    assert estimate.asked is not None
    by = list(estimate.asked.options.get("by") or {})
    sizes = {str(dim): estimate.draws.sizes[dim] for dim in estimate.draws.dims[2:] if dim != "arm"}
    chosen = by[0] if over is None and len(by) == 1 else over
    if chosen is None or chosen not in by:
        have = (
            f"asked by {', '.join(by)}: choose over=…" if by else "not asked by a covariate: give it by={…}"
        )
        raise ValueError(f"{estimate.name} is {have}.")
    if sizes[chosen] < 2:
        raise ValueError(
            f"one value of {chosen} shows no difference: ask by={{{chosen!r}: […]}} with two or more."
        )
    several = [f"{dim} ({n})" for dim, n in sizes.items() if dim != chosen and n > 1]
    if several:
        raise ValueError(f"{estimate.name} has several of {', '.join(several)}: ask for one at a time.")
    return chosen


def _assumed(design: Design, over: str) -> tuple[str, ...]:
    """Say that the formula lets the effect not depend on the covariate, if so."""
    word = re.compile(rf"\b{re.escape(over)}\b")
    for term in design.terms:
        parts = term.split(":")
        if any(part.startswith("arm") for part in parts) and any(word.search(part) for part in parts):
            return ()
    return (
        Doubt(
            f"the formula has no product of arm and {over}, so that the effect hardly depends on it is assumed, not found: write arm * {over}"
        ),
    )


def _outside(
    patients: pd.DataFrame, over: str, values: Sequence[Any], arms: tuple[str, str]
) -> tuple[str, ...]:
    """Name the values that an arm of the comparison does not reach."""
    said = []
    for arm in arms:
        column = patients.loc[patients["arm"].astype(str) == arm, over]
        if pd.api.types.is_numeric_dtype(column):
            low, high = column.min(), column.max()
            beyond = [_say(v) for v in values if not low <= v <= high]
            reach = f" ({low:g} to {high:g})"
        else:
            beyond, reach = [str(v) for v in values if v not in set(column.astype(str))], ""
        if beyond:
            said.append(
                Doubt(
                    f"nobody of {arm} reaches {over} {', '.join(beyond)}{reach}: the model extrapolates there"
                )
            )
    return tuple(said)


def _say(value: Any) -> str:
    return str(value) if isinstance(value, str) else f"{value:g}"
