"""Annualised relapse rates: relapses over person-years by group and window, rate ratios, before against after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from trajectories.cohort import Cohort
from trajectories.endpoints.group_rates import (
    GroupRates,
    Interval,
    Kind,
    change_in_rate,
    check_interval,
    group_rates,
)
from trajectories.endpoints.groups import PatientGroups, patient_groups
from trajectories.endpoints.patient_weights import PatientWeights, WeightedPatients, weighted_cohort
from trajectories.endpoints.persons import episode_notes
from trajectories.endpoints.rate_rows import RATE_TYPES, hidden_notes, interval_notes, rate_rows, ratio_rows
from trajectories.endpoints.rates_text import relapse_rates_text
from trajectories.endpoints.weighted_rates import weighted_rates
from trajectories.suppression import check_limit, hidden_cells
from trajectories.windows import relapse_windows

__all__ = ["RelapseRates", "annualised_relapse_rate"]

_RATES = ["window", "start", "end", "group", "patients", "observed", "unobserved", "person_years", "relapses"]
_RATES += ["pooled", "rate", "lower", "upper", "interval", "dispersion", "suppressed"]
_RATIOS = ["window", "start", "end", "group", "reference", "ratio", "lower", "upper", "interval", "reason"]
_RATIOS += ["suppressed"]
_CHANGES = [
    "group",
    "before",
    "after",
    "both",
    "only_before",
    "only_after",
    "relapses_before",
    "years_before",
]
_CHANGES += ["relapses_after", "years_after", "ratio", "lower", "upper", "reason", "suppressed"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RelapseRates:
    """Relapse rates by group and window; printing it gives the tables.

    Parameters
    ----------
    rates
        One row a window and group: `window`, `start`, `end` (years), `group`, `patients` (in the group), `observed` and
        `unobserved` (with and without time in the window), `person_years`, `relapses`, `pooled` (relapses over
        person-years), `rate` with `lower` and `upper` (relapses per person-year), `interval` (the kind used),
        `dispersion` (α, one a window; 0 where Poisson's interval stands in; missing for exact Poisson on request and for weighted patients,
        of whom `rate` is weighted and the counts, `person_years` and `pooled` are not),
        `suppressed` (whether small cells are hidden).
    ratios
        One row a window and group other than the reference: `ratio` of the two `rate`s with `lower`, `upper`,
        `interval`, `reason` (why a number is missing).
    before_after
        One row a group and window after time 0 against the window that ends at 0: `before`, `after`, patients seen in
        `both`, `only_before` and `only_after`, `relapses_before`, `years_before`, `relapses_after`, `years_after`,
        `ratio` of the pooled rates with `lower`, `upper`, `reason`. Empty without a window that ends at 0.
    by
        What the groups are.
    interval, ci
        The kind of interval that was asked for, and its level.
    cohort_name, index_date, simulated
        As in the cohort.
    notes
        Sentences on how the numbers were formed and what was left out.
    """

    rates: pd.DataFrame = field(repr=False)
    ratios: pd.DataFrame = field(repr=False)
    before_after: pd.DataFrame = field(repr=False)
    by: str
    interval: Kind
    ci: float
    cohort_name: str
    index_date: str
    simulated: bool
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the rates, one row a window and group; a copy."""
        return self.rates.copy()

    def __str__(self) -> str:
        return relapse_rates_text(
            self.rates,
            self.ratios,
            self.before_after,
            title=f"Annualised relapse rate by {self.by}{', weighted' if self.interval == 'robust' else ''}, cohort '{self.cohort_name}'",
            index_date=self.index_date,
            simulated=self.simulated,
            ci=self.ci,
            notes=self.notes,
        )

    def __repr__(self) -> str:
        return str(self)


def annualised_relapse_rate(
    cohort: Cohort,
    by: str | None = "arm",
    window: Sequence[float | None] = (0, None),
    *,
    interval: Interval | None = None,
    ci: float = 0.95,
    reference: str | None = None,
    weights: PatientWeights | None = None,
    suppress_below: int | None = None,
) -> RelapseRates:
    """Estimate relapses per person-year by group, with intervals, rate ratios, and the change from before to after.

    Everybody with observed time in a window counts, with the time that was observed. Rates and ratios of a window:
    negative binomial regression yᵢ ~ NB2(μᵢ, α), log μᵢ = log(person-yearsᵢ) + log λ_group, one α a window, with Wald
    intervals of log λ and of log λ/λ_reference (expected information: `MASS::glm.nb` with `offset(log(years))`), or exact
    Poisson on request (too narrow when rates vary between patients). Where the estimate of α is 0, negative binomial
    counts cannot be told from Poisson's: then Poisson's exact intervals are given, and the result says so.

    With weights the rates are Σ w y / Σ w t, weighted relapses over weighted person-years, with intervals robust by patient, which allow for
    the estimation of the weights where it is known.

    With a window that ends at 0, each later window is set against it within groups: the ratio of the two pooled rates,
    its interval robust by patient (estimating equations with an independence working correlation, t quantile), which
    respects that the patients are the same. It is no effect of the drug: see the note on regression to the mean.

    Parameters
    ----------
    cohort
        The patients; a relapse table must have been given.
    by
        What groups the patients: "arm", another column of the patients, or None for everybody.
    window
        Start and end in years from the index date; None is the end of follow-up. More than two numbers make consecutive
        windows: (-1, 0, 1, 2) is the year before time 0 and the first and the second after.
    interval
        "negative binomial" or "exact Poisson"; None takes the first, with weights the robust one, which is the only one then.
    ci
        Level of the intervals.
    reference
        The group that ratios are against; None takes the first.
    weights
        From `tj.weights`, `tj.entropy_balance` or `tj.match`, of the same cohort; patients without a weight are left out and counted. For
        `by="arm"`.
    suppress_below
        Hide counts of patients or relapses from 1 to this number − 1, the rates made of them, and further cells from
        which they could be had by subtraction.

    Returns
    -------
    `RelapseRates`: `.to_frame()` (the same as `.rates`), `.ratios`, `.before_after`; print it to read it.

    Raises
    ------
    ValueError
        If there is no relapse table, the windows do not ascend, an option is not usable, or patients are in another arm by the weights.
    TypeError
        If the weights are none of patients, such as a series.

    References
    ----------
    Lawless 1987 (doi:10.2307/3314912); Liang and Zeger 1986 (doi:10.1093/biomet/73.1.13); Garwood 1936
    (doi:10.1093/biomet/28.3-4.437).

    Examples
    --------
    >>> import trajectories as tj
    >>> rates = annualised_relapse_rate(tj.simulated_alemtuzumab_35(), window=(-1, 0, 1))
    >>> rates.to_frame()[["window", "relapses", "pooled"]].round(2).to_string(index=False).splitlines()[1:]
    ['[-1, 0)        70    2.00', ' [0, 1)        21    0.63']
    """
    check_interval(interval or "negative binomial", ci)
    check_limit(suppress_below)
    weighted: WeightedPatients | None = None
    said: tuple[str, ...] = ()
    if weights is not None:
        if interval is not None:
            raise ValueError(f"with weights intervals are robust: leave interval={interval!r} out.")
        cohort, weighted, said = weighted_cohort(cohort, by, weights, suppress_below)
    kind: Kind = "robust" if weighted is not None else interval or "negative binomial"
    groups = patient_groups(cohort, by)
    place = groups.reference(reference)
    counted = relapse_windows(cohort, edges=window)
    tables = _windows(counted, groups)
    rates, ratios, poisson = [], [], []
    for label, one in tables.items():
        mine = _rates(one, len(groups.names), interval or "negative binomial", weighted, ci)
        about = {"window": label, "start": one["start"].iloc[0], "end": one["end"].iloc[0]}
        rates += [{**about, **row} for row in rate_rows(mine, groups, suppress_below)]
        ratios += [{**about, **row} for row in ratio_rows(mine, groups, place, suppress_below)]
        if mine.interval != kind:
            poisson.append(label)
    changes = _changes(tables, groups, weighted, ci, suppress_below)
    frame = pd.DataFrame(rates).astype(RATE_TYPES).rename(columns={"events": "relapses"})
    return RelapseRates(
        rates=frame[_RATES],
        ratios=pd.DataFrame(ratios, columns=_RATIOS),
        before_after=changes,
        by=groups.by,
        interval=kind,
        ci=ci,
        cohort_name=cohort.name,
        index_date=cohort.index_date,
        simulated=cohort.simulated,
        notes=(
            *interval_notes(kind, ci, what="relapses", where=poisson, ratios=len(groups.names) > 1),
            *_change_notes(changes, ci, weighted),
            *_group_notes(groups, weighted),
            *said,
            *episode_notes(cohort.patients, suppress_below),
            *_left_out(cohort, groups, counted, suppress_below),
        ),
    )


def _rates(
    one: pd.DataFrame, groups: int, interval: Interval, weighted: WeightedPatients | None, ci: float
) -> GroupRates:
    counts = one["relapses"], one["exposure"], one["code"]
    if weighted is not None:
        return weighted_rates(*counts, weighted, groups=groups, ci=ci)
    return group_rates(*counts, groups=groups, interval=interval, ci=ci)


def _windows(counted: pd.DataFrame, groups: PatientGroups) -> dict[str, pd.DataFrame]:
    """Split the counts by window, with the patient's group; patients in none are left out."""
    windows = counted["window"].cat.categories
    placed = counted.assign(code=np.repeat(groups.code, len(windows)))
    placed = placed[placed["code"] >= 0]
    return {str(label): placed[placed["window"] == label].reset_index(drop=True) for label in windows}


def _changes(
    tables: dict[str, pd.DataFrame],
    groups: PatientGroups,
    weighted: WeightedPatients | None,
    ci: float,
    below: int | None,
) -> pd.DataFrame:
    """Set each window after time 0 against the one that ends at 0, group by group."""
    ending = [label for label, one in tables.items() if one["end"].iloc[0] == 0]
    rows: list[dict[str, object]] = []
    for label, after in tables.items():
        if ending and after["start"].iloc[0] >= 0:
            before = tables[ending[0]]
            rows += [
                {"before": ending[0], "after": label, **row}
                for row in _change_rows(before, after, groups, weighted, ci, below)
            ]
    order = {name: k for k, name in enumerate(groups.names)}
    frame = pd.DataFrame(rows, columns=_CHANGES)
    counts = ("both", "only_before", "only_after", "relapses_before", "relapses_after")
    frame = frame.astype({**dict.fromkeys(counts, "Int64"), "suppressed": "bool"})
    return frame.sort_values("group", key=lambda name: name.map(order), kind="stable", ignore_index=True)


def _change_rows(
    before: pd.DataFrame,
    after: pd.DataFrame,
    groups: PatientGroups,
    weighted: WeightedPatients | None,
    ci: float,
    below: int | None,
) -> list[dict[str, object]]:
    parts = [(before[before["code"] == k], after[after["code"] == k]) for k in range(len(groups.names))]
    seen = [((b["exposure"] > 0).to_numpy(), (a["exposure"] > 0).to_numpy()) for b, a in parts]
    who = np.array([[np.sum(b & a), np.sum(b & ~a), np.sum(~b & a)] for b, a in seen]).T
    relapses = np.array([[b["relapses"].sum(), a["relapses"].sum()] for b, a in parts]).T
    hidden_who = hidden_cells(who, below).any(axis=0)
    # as in the table of rates, in which the same counts stand
    lines = (who[0] + who[1], who[0] + who[2], *relapses)
    hidden = hidden_who | np.any([hidden_cells([line], below)[0] for line in lines], axis=0)
    rows: list[dict[str, object]] = []
    for k, (b, a) in enumerate(parts):
        values = change_in_rate(
            b["relapses"], b["exposure"], a["relapses"], a["exposure"], ci=ci, weighted=weighted,
            rows=(before["code"] == k).to_numpy() if weighted is not None else None,
        )  # fmt: skip
        counts = dict(zip(("both", "only_before", "only_after"), who[:, k].tolist(), strict=True))
        numbers = {
            "relapses_before": int(relapses[0, k]),
            "years_before": float(b["exposure"].sum()),
            "relapses_after": int(relapses[1, k]),
            "years_after": float(a["exposure"].sum()),
        }
        rows.append(
            {
                "group": groups.names[k],
                **(dict.fromkeys(counts, pd.NA) if hidden_who[k] else counts),
                **({} if hidden[k] else numbers),
                **({} if hidden[k] else dict(zip(("ratio", "lower", "upper"), values[:3], strict=True))),
                "reason": "" if hidden[k] else values[3],
                "suppressed": bool(hidden[k]),
            }
        )
    return rows


def _change_notes(changes: pd.DataFrame, ci: float, weighted: WeightedPatients | None) -> tuple[str, ...]:
    if changes.empty:
        return ()
    return (
        f"Before and after: the ratio of the two {'pooled' if weighted is None else 'weighted'} rates of the same patients, everybody with "
        f"time in either; interval ({100 * ci:g} %) of its log from standard errors robust by patient (estimating equations, independence "
        "working correlation, t quantile), which allows for rates that vary between patients and for the pairing.",
        "A fall from before to after is not the effect of the drug: treatment is started after a bad year, so relapses "
        "fall even in untreated patients chosen that way (regression to the mean: 1.72 in the year before and 1.0 in the "
        "next in 44 untreated patients, Martínez-Yélamos 2006). A longer window before lowers the rate before.",
    )


def _group_notes(groups: PatientGroups, weighted: WeightedPatients | None) -> tuple[str, ...]:
    if len(groups.names) < 2:
        return groups.note()
    if weighted is not None:
        return (
            "A ratio of weighted groups is an effect only if the covariates of the weights hold every reason for the choice of drug that "
            "goes with relapses.",
        )
    return (
        "A ratio between groups to which patients were not assigned at random is a description, not an effect.",
        *groups.note(),
    )


def _left_out(
    cohort: Cohort, groups: PatientGroups, counted: pd.DataFrame, below: int | None
) -> tuple[str, ...]:
    """Say what is not in the rates; counts only where small cells need not be hidden."""
    said = ["Patients not seen in a window have no time in it and are counted as such."]
    mixed = counted[(counted["start"] < 0) & (counted["end"] > 0)]
    if len(mixed):
        said.append("A window that holds time before and after the index date mixes two conditions.")
    if below is not None:
        return (*said, *hidden_notes(below, "relapses"))
    every = 0 if cohort.relapses_table is None else len(cohort.relapses_table)
    outside = every - int(counted["relapses"].sum())
    if outside:
        said.append(
            f"{outside} of {every} relapses lie outside the windows or outside follow-up and are not counted."
        )
    return (*said, *cohort.notes)
