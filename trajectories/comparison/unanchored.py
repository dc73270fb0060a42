"""An own cohort against a published figure, both with their uncertainty: an unanchored comparison, and said to be one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from trajectories.caveats import SIMULATED, warning_lines
from trajectories.cohort import Cohort
from trajectories.comparison.figures import (
    HazardRatio,
    MeanInterval,
    PublishedFigureError,
    Rate,
    RateInterval,
    RateRatio,
    Spread,
)
from trajectories.comparison.matching_adjusted import MaicWeights
from trajectories.comparison.observed import observed, own_values
from trajectories.comparison.own_words import UNADJUSTED, adjusted_by, estimate_size, of_estimate, of_rates
from trajectories.comparison.sources import EDSS, RATE, SHARE, Published, check_published
from trajectories.endpoints.relapse_rates import RelapseRates
from trajectories.estimate import Estimate, check_ci, normal_limit
from trajectories.printing import aligned, number, sentence
from trajectories.weighting.values import Weights

__all__ = ["AgainstPublished", "against_published"]

FALL = 0.062
UNANCHORED = (
    "unanchored: no common comparator links the two, so the difference is one of the treatments only if every prognostic factor and every "
    "effect modifier is known, measured and adjusted for"
)
DEFINITIONS = (
    "definitions, windows, visit schedules and raters may differ between the two, which no weighting repairs"
)

type FloatArray = NDArray[np.float64]
type Window = tuple[float, float | None] | None


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class AgainstPublished:
    """An own result and a published figure, and what lies between them; printing it says what it stands on.

    Parameters
    ----------
    own, target
        The own result and the published figure as draws: chain × draw, in the same unit.
    difference, ratio
        Own minus, and over, published, draw by draw; `ratio` only of rates and shares.
    published
        The published figure; its population is the target.
    patients, left_out, effective
        Own patients of the arm with the outcome, without it (or without a weight), and the effective number of the first if they are
        weighted; of an `Estimate` those in its model, and no others. None where the own result does not say.
    weighted
        Whose means the own patients were weighted to; None if they were not.
    simulated
        Whether the own cohort is simulated.
    """

    own: Estimate
    target: Estimate
    difference: Estimate
    ratio: Estimate | None
    published: Published
    patients: int | None
    left_out: int | None
    effective: float | None
    weighted: str | None
    simulated: bool = field(default=False)

    @property
    def caveats(self) -> tuple[str, ...]:
        """What belongs to every report of it."""
        return self.difference.caveats

    def summary(self, ci: float = 0.95) -> pd.DataFrame:
        """Return a row each of own, published, difference and ratio: `median`, `lower`, `upper`, `n`, `kind`; the published one as printed.

        Parameters
        ----------
        ci
            Probability of the equal-tailed intervals.
        """
        check_ci(ci)
        parts = {
            "own": self.own,
            "difference": self.difference,
            **({} if self.ratio is None else {"ratio": self.ratio}),
        }
        frame = pd.concat([part.summary(ci).set_axis([name]) for name, part in parts.items()])
        frame = frame[["median", "lower", "upper"]]
        frame.loc["published"] = self._as_printed(ci)
        frame = frame.loc[["own", "published", *list(parts)[1:]]]
        others = len(frame) - 2
        frame.insert(0, "unit", [self.own.unit] * 3 + ["ratio"] * (len(frame) - 3))
        frame["n"] = pd.array([self.patients, self.published.n] + [None] * others, dtype="Int64")
        frame["kind"] = [self.own.source, self.published.kind] + [""] * others
        frame.attrs.update(
            target=self.published.name,
            interval=f"{ci:.0%} equal-tailed",
            caveats=list(self.caveats),
            definition=self.difference.definition,
        )
        return frame.rename_axis("quantity")

    def _as_printed(self, ci: float) -> list[float]:
        """The figure with its printed limits where they are of this probability; draws are only close to them."""
        figure = self.published.figure
        if isinstance(figure, RateInterval | MeanInterval) and figure.ci == ci:
            return [figure.value, figure.lower, figure.upper]
        return [figure.value, *_target_spread(self.published, accept_no_interval=True).limits(ci)]

    def to_frame(self) -> pd.DataFrame:
        """Return the draws, one row each: `own`, `published`, `difference` and, of rates and shares, `ratio`."""
        parts = {"own": self.own, "published": self.target, "difference": self.difference}
        parts |= {} if self.ratio is None else {"ratio": self.ratio}
        return pd.DataFrame({name: part.draws.to_numpy().ravel() for name, part in parts.items()})

    def __str__(self) -> str:
        summary = self.summary()
        rows = [["", "median", "95 % interval", "n", "kind"]]
        for name, row in summary.iterrows():
            low, high = number(row["lower"], 3), number(row["upper"], 3)
            limits = "known exactly" if low == high and name == "published" else f"{low} to {high}"
            size = "" if pd.isna(row["n"]) else f"{row['n']:,}"
            rows.append([str(name), number(row["median"], 3), limits, size, row["kind"]])
        lines = [
            f"{self.own.name} ({self.own.unit}) against {self.published.name}",
            f"  target population: {self.published.population} ({self.published.source})",
            *aligned(rows, indent=2, left=1),
        ]
        weighted = "" if self.effective is None else f"; effective sample size {self.effective:.1f}"
        if self.left_out is not None:
            lines.append(
                f"  own patients with the outcome: {self.patients}, without: {self.left_out}{weighted}"
            )
        elif self.patients is not None:
            lines.append(f"  own patients in the model: {self.patients}{weighted}")
        for caveat in self.caveats:
            lines += sentence(str(caveat), bullet="  - ")
        return warning_lines(self.caveats) + "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def against_published(
    own: Estimate | RelapseRates | Cohort,
    published: Published,
    *,
    arm: str | None = None,
    weights: MaicWeights | None = None,
    outcome: pd.Series | None = None,
    window: Window = None,
    tolerance: float = 0.25,
    own_years: tuple[int, int] | None = None,
    accept_no_interval: bool = False,
    draws: int = 4000,
    seed: int = 0,
) -> AgainstPublished:
    """Set an own result beside a published figure: difference, and ratio of rates and shares, with both uncertainties.

    θ_own − θ_published and θ_own / θ_published, draw by draw. The published side is normal on its scale: rates on the log, shares on the
    logit, means as they are, with the standard error that interval, SD or counts imply. The own side is the draws of an `Estimate`, the
    interval of a `RelapseRates` on the log scale, or, of a `Cohort`, the observed outcome with a robust standard error (Student's t with
    effective sample size − 1 degrees of freedom), weighted by `weights` if given; it then counts that the weights were estimated.

    Parameters
    ----------
    own
        `Estimate` (of one cell, or choose by `arm`), `RelapseRates` or `Cohort`, in the unit of the figure.
    published
        The figure, such as `published.CARE_MS_2["alemtuzumab"].arr`.
    arm
        The own arm, where there are several; None takes that of `weights`.
    weights
        From `maic`, for a `Cohort`.
    outcome
        For a `Cohort`: a value a patient (0 or 1 for a share), indexed by patient, made by the published definition.
    window
        Years to take the own outcome over; None takes the published window.
    tolerance
        How far from a time point an EDSS visit may be, in years.
    own_years
        First and last calendar year in which the own patients started; None takes them from the dates in the column `start` of a cohort's
        patients, and says so where there are none.
    accept_no_interval
        Whether to take a figure printed without any uncertainty for exactly known; the result is then marked.
    draws, seed
        How many draws, where own is no `Estimate`; seed of all draws.

    Returns
    -------
    `AgainstPublished`: `.summary()`, `.difference` and `.ratio` (`Estimate`s), `.to_frame()`; print it to read it.

    Raises
    ------
    PublishedFigureError
        If the figure is of the wrong kind: quartiles, a ratio of two arms, another unit, a level beside a change, no uncertainty.
    ValueError
        If the own result has several cells or arms, weights or outcome do not go with it, or `own_years` do not ascend.
    TypeError
        If own is none of the three, or published is no `Published`; if weights are not from `maic`: those of `tj.weights` make own arms
        alike, and their target is the own cohort.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories.comparison import published
    >>> made = against_published(tj.simulated_alemtuzumab_35(), published.CARE_MS_2["alemtuzumab"].arr)
    >>> made.summary()[["median", "lower", "upper"]].round(2).loc["published"].tolist()
    [0.26, 0.21, 0.33]
    """
    check_published(published)
    _check_figure(published)
    target = _target_spread(published, accept_no_interval)
    if not isinstance(own, Cohort) and (weights is not None or outcome is not None):
        raise ValueError("weights and outcome go with a cohort; an estimate is weighted when it is made.")
    if weights is not None and not isinstance(weights, MaicWeights):
        raise TypeError(_no_maic(weights, published))
    if isinstance(own, Cohort):
        arm = _one_arm(own, arm, weights)
    own_years = _started(own, arm) if own_years is None else _ascending(own_years)
    rng = np.random.default_rng(seed)
    mine, side = _own(own, published, arm, weights, outcome, window, tolerance, draws, rng)
    theirs = target.draws(rng, mine.size)
    caveats = (
        *side.caveats, *_said(published, target, weights, side.adjusted, own_years, window),
    )  # fmt: skip
    named = {"definition": f"{side.definition}. Published: {published}", "caveats": caveats}

    def estimate(name: str, values: FloatArray, unit: str, source: str, null: float | None) -> Estimate:
        array = xr.DataArray(values[None, :], dims=("chain", "draw"))
        return Estimate(name=name, draws=array, unit=unit, source=source, null=null, **named)  # type: ignore[arg-type]

    both = f"{side.source} and the published {published.kind}"
    positive = published.unit in (RATE, SHARE) and bool((mine > 0).all())
    against = f"{published.quantity}, own {{}} {published.name}"
    return AgainstPublished(
        own=estimate(published.quantity, mine, published.unit, side.source, published.null),
        target=estimate(published.quantity, theirs, published.unit, published.kind, published.null),
        difference=estimate(against.format("minus"), mine - theirs, published.unit, both, 0.0),
        ratio=estimate(against.format("over"), mine / theirs, "ratio", both, 1.0) if positive else None,
        published=published,
        patients=side.patients,
        left_out=side.left_out,
        effective=side.effective,
        weighted=None if weights is None else weights.target,
        simulated=SIMULATED in side.caveats,
    )


@dataclass(frozen=True, kw_only=True)
class _Side:
    """What is to be said of the own side."""

    definition: str
    source: str
    caveats: tuple[str, ...]
    patients: int | None = None
    left_out: int | None = None
    effective: float | None = None
    adjusted: tuple[str, ...] = (UNADJUSTED,)


def _one_arm(own: Cohort, arm: str | None, weights: MaicWeights | None) -> str | None:
    """The arm to compare; several at once are not pooled without a word."""
    arm = weights.arm if arm is None and weights is not None else arm
    if arm is None and len(own.arms) > 1:
        made = "" if weights is None else ", and make the weights of that arm, tj.maic(…, arm=…)"
        raise ValueError(
            f"the cohort has several arms ({', '.join(own.arms)}), which are not pooled: choose one by arm=…{made}."
        )
    return arm


def _ascending(years: tuple[int, int]) -> tuple[int, int]:
    if not years[0] <= years[1]:
        raise ValueError(
            f"own_years are the first and the last year in which own patients started; here they are {years[0]} and {years[1]}."
        )
    return years


def _no_maic(weights: object, published: Published) -> str:
    """Why other weights do not go here."""
    if not isinstance(weights, Weights):
        return f"weights must be made by tj.maic, not be {type(weights).__name__}."
    return (
        f"these weights make the own arms alike (target {weights.target}, patients of the own cohort) and bring nobody nearer to the "
        f"patients of {published.name}: match the published means, weights=tj.maic(cohort, …). Own arms against each other: "
        "tj.contrast(…, weights=…)."
    )


def _check_figure(published: Published) -> None:
    if isinstance(published.figure, HazardRatio | RateRatio):
        raise PublishedFigureError(
            f"a {published.kind} compares two arms of {published.study}, and an own cohort has no such second arm: compare the figure of one "
            f"arm, or, with the same comparator in the own data, own and published ratio by hand."
        )
    if published.unit not in (EDSS, RATE, SHARE):
        raise PublishedFigureError(
            f"{published.quantity} of {published.name} is no outcome but a covariate: match it by maic(…)."
        )


def _target_spread(published: Published, accept_no_interval: bool) -> Spread:
    figure = published.figure
    if isinstance(figure, Rate):
        if not accept_no_interval:
            raise PublishedFigureError(
                f"{published.name} printed its rate without interval or counts, so the uncertainty of the comparison is unknown: find events "
                "and person-years, or take the rate for exactly known by accept_no_interval=True, which marks the result."
            )
        return Spread(scale="log", value=math.log(figure.rate), error=0.0)
    made = figure.spread(published.n)
    if (
        published.unit == RATE and made.scale == "identity"
    ):  # a mean number of events in a year: its log is nearer to normal
        made = replace(made, scale="log", value=math.log(made.value), error=made.error / made.value)
    return made


def _own(
    own: Estimate | RelapseRates | Cohort,
    published: Published,
    arm: str | None,
    weights: MaicWeights | None,
    outcome: pd.Series | None,
    window: Window,
    tolerance: float,
    draws: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, _Side]:
    if isinstance(own, Estimate):
        return _of_estimate(own, published, arm)
    if isinstance(own, RelapseRates):
        return _of_rates(own, published, arm, window, draws, rng)
    if not isinstance(own, Cohort):
        raise TypeError(
            f"own must be an Estimate, RelapseRates or a Cohort, not {type(own).__name__}: make an estimate of a fit first."
        )
    made = observed(
        own, published, arm=arm, weights=weights, outcome=outcome, window=window, tolerance=tolerance
    )
    weighted = "" if weights is None else f", weighted to the means of {weights.target}"
    side = _Side(
        definition=f"Own: {made.definition}{weighted}",
        source=f"observed{', weighted' if weights is not None else ''}",
        caveats=(SIMULATED,) if own.simulated else (),
        patients=made.patients,
        left_out=made.left_out,
        effective=None if weights is None else made.effective,
        adjusted=adjusted_by(weights, _having(own, published, outcome, window, tolerance)),
    )
    return made.spread.draws(rng, draws), side


def _having(
    own: Cohort, published: Published, outcome: pd.Series | None, window: Window, tolerance: float
) -> pd.Index:
    """The patients who have the outcome."""
    over = published.window if window is None else window
    counted = own_values(own, published, outcome, over, tolerance)[1]
    return counted.index[counted > 0]


def _of_estimate(own: Estimate, published: Published, arm: str | None) -> tuple[FloatArray, _Side]:
    if own.unit != published.unit:
        raise PublishedFigureError(
            f"{own.name} is in {own.unit}, {published.quantity} of {published.name} in {published.unit}."
        )
    if own.null != published.null:
        level, change = (own.name, published.name) if own.null is None else (published.name, own.name)
        raise PublishedFigureError(
            f"one is a level ({level}) and the other a change ({change}): compare like with like."
        )
    cells = own.draws if arm is None else own.draws.sel(arm=arm)
    if int(np.prod(cells.shape[2:])) != 1:
        sizes = ", ".join(f"{dim} ({cells.sizes[dim]})" for dim in cells.dims[2:])
        raise ValueError(
            f"{own.name} has several cells: {sizes}. Choose an arm by arm=…, and one time when it is estimated."
        )
    if own.unit == RATE and not bool((cells > 0).all()):
        raise ValueError(f"{own.name} has draws that are not above 0.")
    patients, effective = estimate_size(own, arm)
    return cells.to_numpy().ravel(), _Side(
        definition=f"Own: {own.definition}", source=own.source, caveats=own.caveats, patients=patients, effective=effective,
        adjusted=of_estimate(own, published),
    )  # fmt: skip


def _of_rates(
    own: RelapseRates, published: Published, arm: str | None, window: Window,
    draws: int, rng: np.random.Generator,
) -> tuple[FloatArray, _Side]:  # fmt: skip
    if published.unit != RATE:
        raise PublishedFigureError(
            f"own relapse rates cannot be compared with {published.quantity} ({published.unit})."
        )
    rows = own.rates if arm is None else own.rates[own.rates["group"] == arm]
    if window is not None:
        end = math.inf if window[1] is None else window[1]
        rows = rows[(rows["start"] == window[0]) & (rows["end"] == end)]
    if len(rows) != 1:
        have = ", ".join(f"{row['group']} {row['window']}" for _, row in own.rates.iterrows())
        raise ValueError(f"choose one rate by arm=… and window=…; there are: {have}.")
    row = rows.iloc[0]
    if not (row["rate"] > 0 and row["lower"] > 0 and math.isfinite(row["upper"])):
        raise ValueError("the own rate has no event or no finite interval, so its log has no standard error.")
    error = math.log(row["upper"] / row["lower"]) / (2 * normal_limit(own.ci))
    side = _Side(
        definition=f"Own: relapses over person-years, window {row['window']} years",
        source=f"{row['interval']} interval, normal on the log scale",
        caveats=(SIMULATED,) if own.simulated else (),
        patients=None if pd.isna(row["observed"]) else int(row["observed"]),  # small counts may be hidden
        left_out=None if pd.isna(row["unobserved"]) else int(row["unobserved"]),
        adjusted=of_rates(own, published),
    )
    return Spread(scale="log", value=math.log(row["rate"]), error=error).draws(rng, draws), side


def _said(
    published: Published, target: Spread, weights: MaicWeights | None, adjusted: tuple[str, ...],
    own_years: tuple[int, int] | None, window: Window,
) -> tuple[str, ...]:  # fmt: skip
    """What belongs to every report."""
    said = [UNANCHORED, *adjusted, DEFINITIONS, _calendar(published, own_years)]
    if weights is not None and weights.accepted:
        said.insert(0, "ACCEPTED although the effective sample size of the weights collapsed")
    if weights is not None and weights.target not in (published.name, published.study):
        said.insert(0, f"the weights stand for {weights.target}, not for {published.name}")
    if isinstance(published.figure, Rate):
        said.insert(
            0,
            "ACCEPTED without published uncertainty: the figure is taken for exactly known, so every interval is too narrow",
        )
    if window is not None and published.window is not None and tuple(window) != tuple(published.window):
        end = "end of follow-up" if window[1] is None else f"{window[1]:g} years"
        said.insert(0, f"windows differ: own {window[0]:g} to {end}, published {published.over()}")
    return (*said, *([target.note] if target.note else []))


def _started(own: Estimate | RelapseRates | Cohort, arm: str | None) -> tuple[int, int] | None:
    """First and last calendar year of treatment start of a cohort's arm, where there are dates."""
    if not isinstance(own, Cohort):
        return None
    people = own.patients if arm is None else own.patients[own.patients["arm"].astype(str) == arm]
    if "start" not in people or not pd.api.types.is_datetime64_any_dtype(people["start"]):
        return None
    years = people["start"].dropna().dt.year
    return None if years.empty else (int(years.min()), int(years.max()))


def _calendar(published: Published, own_years: tuple[int, int] | None) -> str:
    theirs = published.enrolled
    fell = f"relapse rates on placebo fell {FALL:.1%} a year in trials (Nicholas 2011)"
    if own_years is None:
        when = (
            f"published {published.source.year}{_unknown(published)}"
            if theirs is None
            else f"enrolled {theirs[0]}–{theirs[1]}"
        )
        return f"calendar time: {published.study} was {when}, when the own patients started was not given (own_years); {fell}"
    mine = sum(own_years) / 2
    if theirs is None:
        return (
            f"calendar time: own patients started {own_years[0]}–{own_years[1]}; {published.study} was published {published.source.year}"
            f"{_unknown(published)}, its patients started earlier; {fell}"
        )
    apart = mine - sum(theirs) / 2
    order = "after" if apart >= 0 else "before"
    return (
        f"calendar time: own patients started {own_years[0]}–{own_years[1]}, on average {abs(apart):g} years {order} those of "
        f"{published.study} ({theirs[0]}–{theirs[1]}); {fell}: {1 - (1 - FALL) ** abs(apart):.0%} over that time"
    )


def _unknown(published: Published) -> str:
    """Why the years of enrolment are not known."""
    return f" (years of enrolment: {published.enrolment})" if published.enrolment else ""
