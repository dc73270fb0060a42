"""E-values: how strong an unmeasured confounder would have to be to explain an estimate, or its interval, away."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Literal

import numpy as np
import pandas as pd

from trajectories.estimate import Estimate, EstimateSet
from trajectories.printing import sentence

__all__ = ["EValue", "Measure", "RiskRatios", "e_value", "risk_ratios"]

type Measure = Literal["risk ratio", "rate ratio", "odds ratio", "hazard ratio", "mean difference"]

MEASURES = ("risk ratio", "rate ratio", "odds ratio", "hazard ratio", "mean difference")
PER_SD = 0.91


@dataclass(frozen=True, kw_only=True)
class RiskRatios:
    """An estimate and its limits, as they are and as risk ratios, and how the one became the other.

    Fields: `measure`, `given` and `ratios` (estimate, lower, upper), `approximation` (a sentence; empty where none was needed).
    """

    measure: Measure
    given: tuple[float, float, float]
    ratios: tuple[float, float, float]
    approximation: str

    @property
    def nearest(self) -> float:
        """The limit nearest to no effect, 1 if the interval covers it."""
        estimate, lower, upper = self.ratios
        if lower <= 1 <= upper:
            return 1.0
        return lower if estimate > 1 else upper


@dataclass(frozen=True, kw_only=True, repr=False)
class EValue:
    """The E-values of an estimate and of the limit of its interval nearest to no effect.

    Fields: `estimate` and `limit`, the E-values; `of`, what they were made of.
    """

    estimate: float
    limit: float
    of: RiskRatios

    def __str__(self) -> str:
        value, lower, upper = self.of.given
        lines = [
            f"E-value of the {self.of.measure} {value:.3g} ({lower:.3g} to {upper:.3g}): {self.estimate:.2f}; of the limit nearest to no "
            f"effect: {self.limit:.2f}"
        ]
        if self.limit == 1:
            said = "the interval covers no effect already: no confounder is needed for that."
        else:
            said = (
                f"an unmeasured confounder that goes with both treatment and outcome by a risk ratio of {self.limit:.2f} each, beyond all "
                f"that was adjusted for, could move the interval to no effect, of {self.estimate:.2f} each the estimate; weaker ones could not."
            )
        for note in (said, *([self.of.approximation] if self.of.approximation else []), _NO_PROOF):
            lines += sentence(note, bullet="  - ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


_NO_PROOF = "a large E-value is no proof: it says how strong a confounder must be, not whether there is one, and nothing of other biases"


def e_value(
    estimate: Estimate | float,
    lower: float | None = None,
    upper: float | None = None,
    *,
    measure: Measure,
    rare: bool | None = None,
    sd: float | None = None,
    ci: float = 0.95,
) -> EValue:
    """Return how strongly a confounder must go with treatment and outcome to explain an estimate, and its interval, away.

    E = RR + √(RR(RR − 1)) for RR ≥ 1, of 1/RR below it; the same of the limit nearest to 1, or 1 if the interval covers 1. At this E
    the bounding factor RR_EU·RR_UD/(RR_EU + RR_UD − 1) of a confounder with RR_EU = RR_UD = E is the RR. Others become risk ratios first:
    odds ratios √OR and hazard ratios (1 − 0.5^√HR)/(1 − 0.5^√(1/HR)) where the outcome is common (over 15 % at the end of follow-up; rare
    ones are taken as they are), mean differences exp(0.91 d), d = difference/SD. Rate ratios are taken as they are.

    Parameters
    ----------
    estimate
        A ratio or difference: an `Estimate` of one cell (median of a ratio, mean of a difference), or a number with `lower` and `upper`.
    lower, upper
        Limits of the interval, beside a number.
    measure
        What it is: "risk ratio", "rate ratio", "odds ratio", "hazard ratio", "mean difference".
    rare
        Whether the outcome is rare (15 % or less); needed for odds and hazard ratios.
    sd
        SD of the outcome between patients, in its unit; needed for mean differences.
    ci
        Probability of the interval of an `Estimate`.

    Returns
    -------
    `EValue`; print it to read it.

    Raises
    ------
    ValueError
        If limits, `rare` or `sd` are lacking, the numbers do not ascend, or the estimate's null value is not that of the measure.
    TypeError
        If it is a result that holds several quantities: the message names where its ratio is.

    References
    ----------
    VanderWeele and Ding 2017 (doi:10.7326/M16-2607); Ding and VanderWeele 2016 (doi:10.1097/EDE.0000000000000457).

    Examples
    --------
    >>> made = e_value(3.9, 1.8, 8.7, measure="risk ratio")
    >>> round(made.estimate, 2), round(made.limit, 2)
    (7.26, 3.0)
    """
    of = risk_ratios(estimate, lower, upper, measure=measure, rare=rare, sd=sd, ci=ci)
    return EValue(estimate=_e(of.ratios[0]), limit=_e(of.nearest), of=of)


def risk_ratios(
    estimate: Estimate | float,
    lower: float | None,
    upper: float | None,
    *,
    measure: Measure,
    rare: bool | None,
    sd: float | None,
    ci: float,
) -> RiskRatios:
    """Turn an estimate and its interval into risk ratios, as `e_value` says."""
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, not {measure!r}.")
    given = numbers(estimate, lower, upper, measure=measure, ci=ci)
    if measure == "mean difference":
        if sd is None or not (math.isfinite(sd) and sd > 0):
            raise ValueError(
                f"a mean difference needs sd=…, the SD of the outcome between patients, above 0; it is {sd}."
            )
        ratios = [math.exp(PER_SD * value / sd) for value in given]
        said = f"the difference became a risk ratio by exp({PER_SD} d), d = difference/SD (SD {sd:g}): an approximation for normal outcomes."
        return RiskRatios(
            measure=measure, given=given, ratios=(ratios[0], ratios[1], ratios[2]), approximation=said
        )
    if measure in ("odds ratio", "hazard ratio") and rare is None:
        raise ValueError(
            f"say by rare=… whether the outcome of the {measure} is rare (15 % or less at the end of follow-up)."
        )
    if measure == "odds ratio" and not rare:
        ratios, said = (
            [math.sqrt(value) for value in given],
            "common outcome: the risk ratio is taken as √(odds ratio), an approximation.",
        )
    elif measure == "hazard ratio" and not rare:
        ratios = [(1 - 0.5 ** math.sqrt(value)) / (1 - 0.5 ** math.sqrt(1 / value)) for value in given]
        said = "common outcome: the risk ratio is taken as (1 − 0.5^√HR)/(1 − 0.5^√(1/HR)), an approximation."
    else:
        ratios = list(given)
        said = (
            f"rare outcome: the {measure} is taken for a risk ratio."
            if measure in ("odds ratio", "hazard ratio")
            else ""
        )
    return RiskRatios(
        measure=measure, given=given, ratios=(ratios[0], ratios[1], ratios[2]), approximation=said
    )


def numbers(
    estimate: Estimate | float, lower: float | None, upper: float | None, *, measure: Measure, ci: float
) -> tuple[float, float, float]:
    """Take estimate, lower and upper limit from an `Estimate` or from numbers, and check them."""
    ratio = measure != "mean difference"
    if isinstance(estimate, Estimate):
        found = _of_estimate(estimate, ratio, ci)
    elif not isinstance(estimate, Real):
        raise TypeError(_instead(estimate))
    elif lower is None or upper is None:
        raise ValueError(
            "give lower= and upper= beside a number: the interval is what must not be explained away."
        )
    else:
        found = (float(estimate), float(lower), float(upper))
    value, low, high = found
    if not (np.isfinite(found).all() and low <= value <= high):
        raise ValueError(f"lower ≤ estimate ≤ upper must ascend; they are {low}, {value}, {high}.")
    if ratio and low <= 0:
        raise ValueError(f"a {measure} and its limits are above 0; the lower limit is {low}.")
    return found


def _instead(given: object) -> str:
    """How to take one quantity out of a result that holds several, or that is a printed figure."""
    said = f"this takes an Estimate, or a number with lower= and upper=, not {type(given).__name__}"
    names = [name for name in ("ratio", "difference") if isinstance(getattr(given, name, None), Estimate)]
    if names:
        return f"{said}: give {' or '.join(f'its .{name}' for name in names)}."
    if isinstance(given, Mapping | EstimateSet):
        return f"{said}: give one of its estimates by name."
    for table, column in (("ratios", "ratio"), ("coefficients", "hazard_ratio")):
        frame = getattr(given, table, None)
        if isinstance(frame, pd.DataFrame) and column in frame:
            return (
                f"{said}: choose a row of its .{table}, row = result.{table}.iloc[0], say, and give "
                f"row['{column}'], row['lower'], row['upper']."
            )
    figure = getattr(given, "figure", given)
    if all(isinstance(getattr(figure, name, None), Real) for name in ("ratio", "lower", "upper")):
        path = "x" if figure is given else "x.figure"
        return f"{said}: give {path}.ratio, {path}.lower, {path}.upper."
    return f"{said}."


def _of_estimate(estimate: Estimate, ratio: bool, ci: float) -> tuple[float, float, float]:
    wanted = 1.0 if ratio else 0.0
    if estimate.null != wanted:
        raise ValueError(
            f"{estimate.name} has {estimate.null if estimate.null is not None else 'no value'} for no effect, and this measure {wanted:g}: "
            "give a contrast of that kind."
        )
    summary = estimate.summary(ci)
    if len(summary) != 1:
        raise ValueError(f"{estimate.name} has {len(summary)} cells: choose one contrast.")
    row = summary.iloc[0]
    return float(row["median" if ratio else "mean"]), float(row["lower"]), float(row["upper"])


def _e(ratio: float) -> float:
    above = max(ratio, 1 / ratio)
    return above + math.sqrt(above * (above - 1))
