"""Inverse-probability-of-censoring weights: patients still followed stand for those like them who stopped or switched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.caveats import SIMULATED, Doubt, Mark
from trajectories.cohort import DAYS_PER_YEAR, Cohort
from trajectories.comparison.following import cut_by
from trajectories.comparison.logistic import fitted_probabilities
from trajectories.comparison.strategies import NATURAL, Duration, Strategy, ends_of_followup
from trajectories.formulas import FormulaError, parse, variables
from trajectories.formulas.syntax import response_of
from trajectories.printing import sentence
from trajectories.weighting.tilting import kish

__all__ = ["CensoringWeights", "censoring_weights", "check_truncate"]

type Floats = NDArray[np.float64]
type Integers = NDArray[np.int64]

QUARTER = Duration(months=3)
_YEAR = round(DAYS_PER_YEAR)
# Of the rows at risk: no name that a formula, or a column of the patients that one needs, can have.
NUMBER, START, SHARE = "number of the interval", "start of the interval", "share of the interval"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Intervals:
    """Patients' intervals at risk of artificial censoring, one a row, by patient and time.

    `patient` and `number` (of the interval), `X` (of the formula), `censored` (0 or 1), `share` of the interval that was observed.
    """

    patient: Integers
    number: Integers
    X: Floats
    censored: Floats
    share: Floats


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CensoringWeights:
    """One over the probability of still being followed under a strategy, by patient and time; made by `censoring_weights`.

    Parameters
    ----------
    ends
        A row a patient: `patient`, `arm`, `day` (the last), `reason`.
    formula
        Of the model of censoring.
    strategy
        In words.
    every
        Length of the intervals, days.
    truncate
        Quantile at which weights are cut, within those followed at a time; None for no cut.
    notes
        What was left out and how.
    simulated
        Whether the cohort is simulated.
    """

    ends: pd.DataFrame = field(repr=False)
    formula: str
    strategy: str
    every: int
    truncate: float | None
    notes: tuple[str, ...]
    simulated: bool
    _rows: _Intervals = field(repr=False)
    _survival: Floats = field(
        repr=False
    )  # log of stabilised weights by the starts of intervals: patients × (intervals + 1)

    def at(self, years: float) -> pd.Series:
        """Weights at a time, index `patient`: 0 for those censored by the strategy before it.

        w_i(t) = Π_{k ≤ t} (1 − h_a(k)) / (1 − h(k | a, x_i, history_i)) over the intervals up to t (or to the end of observation, if that is
        earlier), with h the probability of being censored in an interval; the numerator, of the arm alone, stabilises and cancels from means
        within arms.

        Parameters
        ----------
        years
            Since time 0, not negative.

        Raises
        ------
        ValueError
            If the time is negative or not finite.
        """
        return self._cut(self._uncut(years))

    def _uncut(self, years: float) -> pd.Series:
        if not (np.isfinite(years) and years >= 0):
            raise ValueError(f"weights are of a time at or after 0, not {years}.")
        t = years * DAYS_PER_YEAR
        last = self.ends["day"].to_numpy(dtype=float)
        gone = (self.ends["reason"] != NATURAL).to_numpy() & (last < np.floor(t))
        reached = np.minimum(t, last + 1) / self.every
        whole = np.minimum(reached.astype(np.int64), self._survival.shape[1] - 2)
        i = np.arange(len(last))
        start, end = self._survival[i, whole], self._survival[i, whole + 1]
        log = start + np.clip(reached - whole, 0, 1) * (end - start)
        return pd.Series(np.where(gone, 0.0, np.exp(log)), index=self.ends["patient"], name="weight")

    def _cut(self, weights: pd.Series) -> pd.Series:
        if self.truncate is None:
            return weights
        return weights.clip(upper=float(np.quantile(weights[weights > 0], self.truncate)))

    def remade(self, counts: pd.Series) -> CensoringWeights:
        """Estimate again with patients who count as much as `counts` (index `patient`) says, as in a fractional bootstrap."""
        own = counts.loc[self.ends["patient"]].to_numpy(dtype=float)
        arm = pd.factorize(self.ends["arm"])[0]
        return replace(self, _survival=_survival(self._rows, arm, own))

    def said(self, *, bootstrapped: bool) -> tuple[str, ...]:
        """What a contrast with these weights must say."""
        known = () if bootstrapped else ("the censoring weights are taken as known",)
        model = f"hypothetical, had nobody been censored by the strategy ({self.strategy}): right only if {self.formula!r} is"
        return (Doubt(model), *known)

    def summary(self, at: Sequence[float] = (1.0, 2.0)) -> pd.DataFrame:
        """Return a row an arm and time.

        Columns: `patients`, `censored` (by the strategy, before the time), `followed` (still observed then), `mean` and `largest` of their
        weights, `truncated` (how many were cut), `effective` (Σw)²/Σw² of them.
        """
        rows, arm = [], self.ends["arm"].to_numpy()
        for t in at:
            uncut, there = self._uncut(t), (self.ends["day"] >= np.floor(t * DAYS_PER_YEAR)).to_numpy()
            weights = self._cut(uncut)
            for name in dict.fromkeys(arm):
                mine = arm == name
                w = weights.to_numpy()[mine & there]
                rows.append(
                    {
                        "arm": name,
                        "years": float(t),
                        "patients": int(mine.sum()),
                        "censored": int((uncut.to_numpy()[mine] == 0).sum()),
                        "followed": len(w),
                        "mean": w.mean() if len(w) else np.nan,
                        "largest": w.max() if len(w) else np.nan,
                        "truncated": int((weights < uncut).to_numpy()[mine & there].sum()),
                        "effective": kish(w) if len(w) else 0.0,
                    }
                )
        made = pd.DataFrame(rows).set_index(["arm", "years"])
        made.attrs.update(notes=list(self.notes), strategy=self.strategy, formula=self.formula)
        return made

    def __str__(self) -> str:
        lines = [Mark.SIMULATED.value] if self.simulated else []
        lines += sentence(f"Censoring weights: {self.strategy}")
        lines += [
            f"  {self.formula!r}, by intervals of {self.every} days",
            self.summary().round(2).to_string(),
        ]
        for note in self.notes:
            lines += sentence(note, bullet="  - ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def censoring_weights(
    cohort: Cohort,
    strategy: Strategy,
    formula: str,
    *,
    every: Duration = QUARTER,
    truncate: float | None = None,
) -> CensoringWeights:
    """Model who is censored by a strategy, and weigh those who are not by one over the probability of that.

    Pooled logistic regression: one row a patient and interval, logit P(censored in the interval | followed to its start) by the formula,
    with a weak prior (log odds ratios ~ N(0, 2.5²) per standard deviation). Right if everything that drives both stopping and outcome is in
    the formula, and was known at the start of the interval.

    Parameters
    ----------
    cohort
        As read, before `follow`: what came after censoring is not used.
    strategy
        Such as `OnTreatment(…)`.
    formula
        `censored ~ …` of `arm`, columns of the patients, and what is known at the start of each interval: `years`, `edss_now` (the last EDSS),
        `relapses_so_far` (since time 0), `relapses_last_year`.
    every
        Length of the intervals: short enough that little happens between the start of one and a decision within it.
    truncate
        A quantile, such as 0.99, above which weights are cut to it: less variance for some bias.

    Returns
    -------
    `CensoringWeights`: give them to `tj.contrast(…, augmented=True, seen=…)`, which needs outcomes at a time; or take `.at(years)`. They are
    weights of whole patients at a time, and never of rows in the likelihood of a mixed model (which needs none if censoring depends on
    the observed EDSS alone).

    Raises
    ------
    FormulaError
        If the formula does not begin with `censored ~` or names an unknown column.
    ValueError
        If the cohort was cut by a strategy already, or nobody is censored, or all are.

    Source: Robins and Finkelstein (2000), Biometrics 56:779, doi:10.1111/j.0006-341X.2000.00779.x; Cain and Cole (2009), Statistics in
    Medicine 28:1725, doi:10.1002/sim.3585.

    Examples
    --------
    >>> import trajectories as tj
    >>> visits = pd.DataFrame({"patient": list("aabbccdd"), "day": [0, 400] * 4, "edss": [2.0, 2.0, 2.0, 3.0, 4.0, 4.0, 4.0, 5.0]})
    >>> courses = pd.DataFrame({"patient": list("abcd"), "drug": "fingolimod", "start": 0, "stop": [None, None, 200, None]})
    >>> cohort = tj.read_cohort(visits, treatments=courses, name="made up")
    >>> made = tj.censoring_weights(cohort, tj.OnTreatment(), "censored ~ edss_now", every=tj.Duration(years=1))
    >>> made.at(1.0).round(2).tolist()
    [0.79, 0.79, 0.0, 1.31]
    """
    if response_of(formula) != "censored":
        raise FormulaError(
            f"{formula!r} must begin with 'censored ~', as in 'censored ~ arm + years + edss_now'."
        )
    check_truncate(truncate)
    if (cutting := cut_by(cohort)) is not None:
        raise ValueError(
            f"follow-up of this cohort was cut already, so that nobody is censored in it ({cutting}): give the cohort before tj.follow."
        )
    if every.in_days < 1:
        raise ValueError("intervals must be at least a day long.")
    ends = ends_of_followup(cohort, strategy)
    table, notes = _histories(cohort, ends, formula, every.in_days)
    ends = ends[ends["patient"].isin(table["patient"])].reset_index(drop=True)
    y = table["censored"].to_numpy()
    if y.min() == y.max():
        raise ValueError(
            f"{'nobody is' if not y.any() else 'everybody is'} censored by this strategy (in the patients with complete covariates): there is "
            "nothing to model."
        )
    parsed = parse(formula, table)
    if parsed.effects:
        raise FormulaError(f"{formula!r} has patient effects: leave '(… | patient)' out.")
    rows = _Intervals(
        patient=pd.Index(ends["patient"]).get_indexer(table["patient"]).astype(np.int64),
        number=table[NUMBER].to_numpy(dtype=np.int64), X=parsed.matrices.X, censored=y.astype(float),
        share=table[SHARE].to_numpy(dtype=float),
    )  # fmt: skip
    return CensoringWeights(
        ends=ends, formula=formula, strategy=str(strategy), every=every.in_days, truncate=truncate, simulated=cohort.simulated,
        notes=(*notes, *_said(truncate), *((SIMULATED,) if cohort.simulated else ())), _rows=rows,
        _survival=_survival(rows, pd.factorize(ends["arm"])[0], np.ones(len(ends))),
    )  # fmt: skip


def check_truncate(truncate: float | None) -> None:
    """Raise a ValueError unless weights can be cut at this quantile of theirs; None is no cut."""
    if truncate is not None and not 0.5 <= truncate < 1:
        raise ValueError(
            f"truncate is a quantile from 0.5 to below 1, such as 0.99, or None, not {truncate}."
        )


def _said(truncate: float | None) -> tuple[str, ...]:
    cut = (
        "not truncated"
        if truncate is None
        else f"truncated at the {truncate:g} quantile of those followed at each time"
    )
    return (
        f"stabilised by arm; {cut}",
        "right only if all that drives both the end of treatment and the outcome is in the formula, and known at the start of an interval",
    )


def _survival(rows: _Intervals, arm: Integers, counts: Floats) -> Floats:
    """Logs of the stabilised weights at the starts of intervals: patients × (intervals + 1)."""
    w = rows.share * counts[rows.patient]
    denominator = fitted_probabilities(rows.X, rows.censored, w)
    code = arm[rows.patient] * (rows.number.max() + 1) + rows.number
    at_risk = np.bincount(code, weights=w)
    ended = np.bincount(code, weights=w * rows.censored, minlength=len(at_risk))
    numerator = (ended / np.where(at_risk > 0, at_risk, 1.0))[code]
    # Where all of an arm end in an interval nobody is left to weigh; the number only has to be finite.
    steps = np.log1p(-np.minimum(numerator, 1 - 1e-12)) - np.log1p(-denominator)
    made = np.zeros((len(arm), int(rows.number.max()) + 2))
    made[rows.patient, rows.number + 1] = steps
    return np.asarray(np.cumsum(made, axis=1))


def _histories(
    cohort: Cohort, ends: pd.DataFrame, formula: str, every: int
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Lay out a row a patient and interval at risk, with what was known at its start; and who was left out."""
    days = ends["day"].to_numpy()
    n = np.where(days >= 0, days // every + 1, 0)
    i = np.repeat(np.arange(len(ends)), n)
    number = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    start, final = number * every, number == (n - 1)[i]
    ended = final & (ends["reason"] != NATURAL).to_numpy()[i]
    table = cohort.patients.iloc[i].reset_index(drop=True)
    table[NUMBER], table[START] = number, start
    table["years"], table["censored"] = start / DAYS_PER_YEAR, ended.astype(float)
    table[SHARE] = np.where(final & ~ended, (days[i] + 1 - start) / every, 1.0)
    table["edss_now"] = _last_edss(cohort, table)
    table["relapses_so_far"] = _relapses(cohort, table, np.zeros(len(table), dtype=np.int64))
    table["relapses_last_year"] = _relapses(cohort, table, start - _YEAR)
    needed = [name for name in variables(formula) if name in table]
    unknown = table[needed].isna().any(axis=1).groupby(table["patient"], sort=False).any()
    lost = unknown.index[unknown]
    notes = []
    if (n == 0).any():
        notes.append(f"{int((n == 0).sum())} patients are not followed after time 0, and have no weight")
    if len(lost):
        arms = ends.loc[ends["patient"].isin(lost), "arm"].value_counts(sort=False)
        counts = ", ".join(f"{k} {arm}" for arm, k in arms.items())
        notes.append(f"left out, as {', '.join(needed)} are not all known: {counts}; complete cases only")
    return table[~table["patient"].isin(lost)].reset_index(drop=True), tuple(notes)


def _last_edss(cohort: Cohort, table: pd.DataFrame) -> Floats:
    """The EDSS of the last visit at or before the start of each interval; NaN before the first."""
    seen = cohort.visits.dropna(subset="edss")[["patient", "day", "edss"]].sort_values("day", kind="stable")
    asked = table[["patient", START]].reset_index().sort_values(START, kind="stable")
    found = pd.merge_asof(asked, seen, left_on=START, right_on="day", by="patient")
    return found.set_index("index")["edss"].sort_index().to_numpy(dtype=float)


def _relapses(cohort: Cohort, table: pd.DataFrame, since: Integers) -> Floats:
    """How many relapses began from `since` to the start of each interval, not including it; NaN without a relapse table."""
    if cohort.relapses_table is None:
        return np.full(len(table), np.nan)
    days = {p: np.sort(own.to_numpy()) for p, own in cohort.relapses_table.groupby("patient")["day"]}
    none = np.zeros(0)
    made = [
        np.searchsorted(days.get(p, none), until) - np.searchsorted(days.get(p, none), first)
        for p, first, until in zip(table["patient"], since, table[START], strict=True)
    ]
    return np.maximum(np.asarray(made, dtype=float), 0.0)
