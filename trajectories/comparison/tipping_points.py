"""Tipping points: pairs of strengths of an unmeasured confounder at which an interval reaches no effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.caveats import warning_lines
from trajectories.cohort import Cohort
from trajectories.comparison.e_values import Measure, numbers, risk_ratios
from trajectories.estimate import Estimate
from trajectories.printing import sentence

__all__ = ["Confounder", "TippingPoint", "measured_confounders", "tipping_point"]

type Confounder = Literal["binary", "continuous"]
type FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TippingPoint:
    """The curve of confounders that would do; printing it says it in words.

    Parameters
    ----------
    curve
        One row a strength: `outcome` (effect of the confounder on the outcome), `interval` and `estimate` (its imbalance between the arms
        needed to move the interval, and the estimate, to no effect; missing where none can).
    benchmarks
        One row a measured covariate: `name`, `outcome`, `imbalance`, `moves_interval`, `moves_estimate`: would an unmeasured one as strong do?
    measure
        What the estimate is.
    given
        Estimate, lower and upper limit.
    confounder
        "binary": imbalance is a difference in prevalence, for mean differences; "continuous": a difference in means.
    covers_null
        Whether the interval covers no effect without any confounder.
    notes, caveats
        What was assumed; what belongs to the estimate.
    """

    curve: pd.DataFrame = field(repr=False)
    benchmarks: pd.DataFrame = field(repr=False)
    measure: Measure
    given: tuple[float, float, float]
    confounder: Confounder
    covers_null: bool
    notes: tuple[str, ...]
    caveats: tuple[str, ...]

    def summary(self) -> pd.DataFrame:
        """Return the benchmarks; `attrs` hold what the curve is of."""
        frame = self.benchmarks.copy()
        frame.attrs.update(
            measure=self.measure, given=self.given, covers_null=self.covers_null, notes=list(self.notes)
        )
        return frame

    def to_frame(self) -> pd.DataFrame:
        """Return the curve; a copy."""
        return self.curve.copy()

    def __str__(self) -> str:
        value, lower, upper = self.given
        lines = [f"Tipping point of the {self.measure} {value:.3g} ({lower:.3g} to {upper:.3g})"]
        if self.covers_null:
            lines.append("  the interval covers no effect already: no confounder is needed")
        else:
            for row in self.curve.dropna().iloc[:: max(1, len(self.curve.dropna()) // 5)].itertuples():
                lines.append(
                    f"  effect on the outcome {row.outcome:.3g}: imbalance {row.interval:.3g} moves the interval to no effect, "
                    f"{row.estimate:.3g} the estimate"
                )
        for row in self.benchmarks.itertuples():
            does = (
                "the estimate"
                if row.moves_estimate
                else "the interval"
                if row.moves_interval
                else "neither interval nor estimate"
            )
            lines.append(
                f"  one as strong as {row.name} ({row.outcome:.2g}, {row.imbalance:.2g}) would move {does} to no effect"
            )
        for note in (*map(str, self.caveats), *self.notes):
            lines += sentence(note, bullet="  - ")
        return warning_lines(self.caveats) + "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def tipping_point(
    estimate: Estimate | float,
    lower: float | None = None,
    upper: float | None = None,
    *,
    measure: Measure,
    strengths: Sequence[float] | None = None,
    confounder: Confounder = "binary",
    rare: bool | None = None,
    benchmarks: Mapping[str, tuple[float, float]] | None = None,
    ci: float = 0.95,
) -> TippingPoint:
    """Return which unmeasured confounders would move an interval, or the estimate, to no effect.

    Mean differences: bias = δγ, γ the effect of the confounder on the outcome (in its unit: present against absent, or per unit), δ its
    imbalance between the arms (difference in prevalence, or in means); so δ = limit/γ. Ratios (as risk ratios, see `e_value`): the bias is
    at most RR_EU·RR_UD/(RR_EU + RR_UD − 1), so RR_EU = L(RR_UD − 1)/(RR_UD − L), none where RR_UD ≤ L.

    Parameters
    ----------
    estimate, lower, upper, measure, rare, ci
        As in `e_value`.
    strengths
        Effects on the outcome to look at: γ > 0 in the outcome's unit, or risk ratios above 1; None takes a grid.
    confounder
        "binary" or "continuous", for mean differences: a prevalence cannot differ by more than 1.
    benchmarks
        Name to (effect on the outcome, imbalance), both signed for mean differences, both risk ratios else; `measured_confounders` makes
        those of mean differences.

    Returns
    -------
    `TippingPoint`: `.to_frame()` is the curve; `plots.tipping_point` draws it.

    Raises
    ------
    ValueError
        As `e_value`; if strengths are not usable, or the estimate is exactly no effect.
    TypeError
        As `e_value`.

    References
    ----------
    Ding and VanderWeele 2016 (doi:10.1097/EDE.0000000000000457).

    Examples
    --------
    >>> made = tipping_point(-0.4, -0.6, -0.2, measure="mean difference", strengths=[0.25, 0.5, 1.0])
    >>> made.to_frame()["interval"].tolist()
    [0.8, 0.4, 0.2]
    """
    if measure == "mean difference":
        given = numbers(estimate, lower, upper, measure=measure, ci=ci)
        null, sides = 0.0, given
    else:
        found = risk_ratios(estimate, lower, upper, measure=measure, rare=rare, sd=None, ci=ci)
        given, null, sides = found.given, 1.0, found.ratios
    if sides[0] == null:
        raise ValueError("the estimate is exactly no effect: there is nothing to explain away.")
    covers = sides[1] <= null <= sides[2]
    nearest = null if covers else sides[1] if sides[0] > null else sides[2]
    ends = (
        np.abs([nearest, sides[0]]) if null == 0 else np.array([max(v, 1 / v) for v in (nearest, sides[0])])
    )
    grid = _grid(strengths, float(ends[1]), null)
    needed = [_needed(grid, float(end), null, confounder) for end in ends]
    curve = pd.DataFrame({"outcome": grid, "interval": needed[0], "estimate": needed[1]})
    return TippingPoint(
        curve=curve,
        benchmarks=_benchmarks(benchmarks or {}, ends, null, float(np.sign(sides[0]))),
        measure=measure,
        given=given,
        confounder=confounder,
        covers_null=covers,
        notes=_notes(null, confounder, "" if null == 0 else found.approximation),
        caveats=estimate.caveats if isinstance(estimate, Estimate) else (),
    )


def measured_confounders(
    cohort: Cohort, outcome: pd.Series, covariates: Sequence[str], *, level: str, reference: str
) -> dict[str, tuple[float, float]]:
    """Return how strong measured covariates are, for the benchmarks of a mean difference.

    Each covariate in SDs: its effect on the outcome from least squares on the arm and all of the covariates, and its difference in means
    between the arms, level minus reference. Compare with a continuous confounder in SDs.

    Parameters
    ----------
    cohort
        The patients.
    outcome
        A value a patient, indexed by patient.
    covariates
        Numeric columns of the patients.
    level, reference
        The arms.

    Returns
    -------
    Name to (effect on the outcome per SD, imbalance in SDs).

    Raises
    ------
    ValueError
        If a covariate is unknown, not numeric or constant, or fewer patients are complete than the regression needs.

    Examples
    --------
    >>> import trajectories as tj
    >>> cohort = tj.simulated_three_dmts_400()
    >>> last = tj.edss_at(cohort, at=(2,)).set_index("patient")["edss"]
    >>> made = measured_confounders(cohort, last, ["age", "edss_baseline"], level="alemtuzumab", reference="fingolimod")
    >>> [round(number, 2) for number in made["edss_baseline"]]
    [1.7, 0.5]
    """
    patients = cohort.patients.set_index("patient")
    unknown = [
        name
        for name in covariates
        if name not in patients or not pd.api.types.is_numeric_dtype(patients[name])
    ]
    if unknown or not len(covariates):
        raise ValueError(
            f"covariates must be numeric columns of the patients; {', '.join(unknown) or 'there are none'}."
        )
    missing_arm = [name for name in (level, reference) if name not in cohort.arms]
    if missing_arm:
        raise ValueError(f"there is no arm {missing_arm[0]!r}; there are: {', '.join(cohort.arms)}.")
    rows = patients.loc[patients["arm"].isin([level, reference]), ["arm", *covariates]]
    rows = rows.assign(outcome=outcome.reindex(rows.index)).dropna()
    if len(rows) < len(covariates) + 3:
        raise ValueError(
            f"{len(rows)} patients have outcome and covariates, too few for {len(covariates)} covariates."
        )
    x = rows[list(covariates)].astype("float64")
    sd = x.std()
    if (sd == 0).any():
        raise ValueError(f"all patients have the same {', '.join(sd.index[sd == 0])}.")
    x = (x - x.mean()) / sd
    treated = (rows["arm"] == level).to_numpy()
    design = np.column_stack([np.ones(len(x)), treated, x])
    slopes = np.linalg.lstsq(design, rows["outcome"].to_numpy(dtype=float), rcond=None)[0][2:]
    apart = x[treated].mean() - x[~treated].mean()
    return {name: (float(slope), float(apart[name])) for name, slope in zip(covariates, slopes, strict=True)}


def _grid(strengths: Sequence[float] | None, end: float, null: float) -> FloatArray:
    if strengths is None:
        return (
            np.geomspace(end / 2, 8 * end, 60)
            if null == 0
            else 1 + np.geomspace((end - 1) / 4, 10 * (end - 1), 60)
        )
    grid = np.asarray(strengths, dtype=np.float64)
    if not (grid.ndim == 1 and grid.size and np.isfinite(grid).all() and (grid > null).all()):
        raise ValueError(f"strengths must be numbers above {null:g}, not {strengths!r}.")
    return grid


def _needed(grid: FloatArray, end: float, null: float, confounder: Confounder) -> FloatArray:
    if null == 0:
        needed = end / grid
        return np.where((needed > 1) & (confounder == "binary"), np.nan, needed)
    with np.errstate(divide="ignore"):
        return (
            np.where(grid > end, end * (grid - 1) / (grid - end), np.nan) if end > 1 else np.ones_like(grid)
        )


def _benchmarks(
    given: Mapping[str, tuple[float, float]], ends: FloatArray, null: float, direction: float
) -> pd.DataFrame:
    rows = []
    for name, (outcome, imbalance) in given.items():
        if null == 0:
            bias = direction * outcome * imbalance
        else:
            if min(outcome, imbalance) <= 0:
                raise ValueError(
                    f"benchmark {name!r}: risk ratios are above 0, not {outcome} and {imbalance}."
                )
            a, b = max(outcome, 1 / outcome), max(imbalance, 1 / imbalance)
            bias = a * b / (a + b - 1)
        rows.append((name, outcome, imbalance, bool(bias >= ends[0]), bool(bias >= ends[1])))
    return pd.DataFrame(rows, columns=["name", "outcome", "imbalance", "moves_interval", "moves_estimate"])


def _notes(null: float, confounder: Confounder, approximation: str) -> tuple[str, ...]:
    if null == 0:
        unit = "a difference in prevalence" if confounder == "binary" else "a difference in means"
        return (
            f"bias = effect on the outcome × imbalance ({unit}), beyond all that was adjusted for and the same in both arms; it must have the "
            "sign of the estimate to explain it.",
            "the width of the interval is kept: adjusting for the confounder would change it.",
        )
    said = "the largest bias that a confounder of this strength can make, beyond all that was adjusted for; most of them make less."
    return (said, *([approximation] if approximation else []))
