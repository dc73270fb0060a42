"""The target trial that a comparison emulates: its protocol, the cohort that is analysed under it, and what may be wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from trajectories.cohort import DAYS_PER_YEAR, Cohort
from trajectories.comparison.censoring import CensoringWeights
from trajectories.comparison.eligibility import Eligible, attrition
from trajectories.comparison.following import PAIRED, ends_by_arm, followed, followed_in_sets
from trajectories.comparison.strategies import (
    Duration,
    IntentionToTreat,
    OnTreatment,
    Strategy,
)
from trajectories.comparison.trial_checks import carried, refuse, refuse_strategy
from trajectories.comparison.trial_warnings import on_design, on_followup
from trajectories.estimate import Estimate
from trajectories.printing import WIDTH, sentence
from trajectories.weighting.pairs import Matches
from trajectories.weighting.values import Weights

__all__ = ["TargetTrial", "target_trial"]

HALF_A_YEAR = Duration(months=6)
ITT = IntentionToTreat()
_HEAD = 22


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TargetTrial:
    """The protocol of a comparison as it was run; made by `target_trial`; printing it gives the table.

    Parameters
    ----------
    protocol
        Component and what was done, in order.
    attrition
        Index `criterion`, `arm`: `before`, `not_met`, `unknown`, `left`.
    eligible
        Patients of each arm.
    ends
        A row a patient that is analysed: `patient`, `arm`, `day` (the last of follow-up), `reason`.
    warnings
        Sentences with numbers.
    cohort
        The eligible patients, followed under the strategy: what is to be analysed.
    """

    protocol: Mapping[str, str]
    attrition: pd.DataFrame = field(repr=False)
    eligible: Mapping[str, int]
    ends: pd.DataFrame = field(repr=False)
    warnings: tuple[str, ...]
    cohort: Cohort = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """Return the protocol: `component`, `emulation`."""
        return pd.DataFrame({"component": list(self.protocol), "emulation": list(self.protocol.values())})

    def summary(self) -> pd.DataFrame:
        """Return a row an arm: `eligible`, `followed` (in the analysed cohort), `median_years` of follow-up after time 0, patients by reason."""
        people = self.cohort.patients
        own, years = people["arm"].astype(str), _years(people)
        made = pd.DataFrame({"eligible": pd.Series(self.eligible)}).rename_axis("arm")
        arm = made.index
        made["followed"] = own.value_counts().reindex(arm, fill_value=0)
        made["median_years"] = years.groupby(own).median()
        reasons = pd.crosstab(self.ends["arm"], self.ends["reason"]).reindex(arm, fill_value=0)
        made = made.join(reasons)
        made.attrs.update(warnings=list(self.warnings))
        return made

    def __str__(self) -> str:
        lines = [f"Target trial emulated in cohort '{self.cohort.name}'"]
        lines += ["SIMULATED data: nobody was treated."] if self.cohort.simulated else []
        for component, said in self.protocol.items():
            first, *rest = sentence(said, width=WIDTH - _HEAD) or [""]
            lines += [f"{component:<{_HEAD}}{first}", *(" " * _HEAD + line for line in rest)]
        lines += ["Warnings"] if self.warnings else ["Warnings: none of those that can be checked"]
        for warning in self.warnings:
            lines += sentence(warning, bullet="- ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def target_trial(
    cohort: Cohort,
    *,
    outcome: str,
    estimand: str | Estimate,
    eligibility: Sequence[Eligible] = (),
    strategies: Mapping[str, str] | None = None,
    time_zero: str | None = None,
    follow_up: Strategy = ITT,
    lag: Duration | None = None,
    weights: Weights | None = None,
    matches: Matches | None = None,
    seen: CensoringWeights | None = None,
    covariates: Sequence[str] = (),
    person: str = "person",
    centre: str = "centre",
    rebound_within: Duration = HALF_A_YEAR,
) -> TargetTrial:
    """Write down the trial that a comparison of arms emulates, make the cohort that it analyses, and check what can be checked.

    It fits nothing. Take `.cohort` for weights and models, then call it again with those weights and the contrast to print what was run.

    Parameters
    ----------
    cohort
        As read, a row of patients an index episode.
    outcome
        What is compared and when, such as "EDSS at 2 years".
    estimand
        In words, or the contrast itself. One that says how the cohort of its fit was followed is checked against `follow_up`; of one that does
        not the protocol says that this was not checked.
    eligibility
        Criteria, applied in order.
    strategies
        What each arm stands for, in words; by default, to start it at time 0.
    time_zero
        In words; by default the cohort's.
    follow_up, lag
        As in `follow`.
    weights
        That adjust the comparison, of patients of the eligible cohort; their covariates count as adjusted for.
    matches
        Matched sets of eligible patients: their weights, and pairwise censoring (`pairwise_censored`).
    seen
        Censoring weights that the contrast was given; of the strategy of `follow_up`.
    covariates
        Further columns that the models adjust for.
    person, centre
        Columns of the patients that say whose episode it is and where it was seen; either may be absent.
    rebound_within
        How long before time 0 natalizumab or an S1P modulator was stopped for rebound to be flagged.

    Returns
    -------
    `TargetTrial`: print it; `.cohort`, `.attrition`, `.warnings`, `.to_frame()`, `.summary()`.

    Raises
    ------
    ValueError
        If a criterion, covariate or strategy names what is not there, nobody of an arm is eligible, weights are of patients who are not,
        matches come with weights or a lag, there is one arm only, the cohort was cut by a strategy already, or the contrast or the censoring
        weights are of another strategy than `follow_up`.

    Source: Hernán and Robins (2016), American Journal of Epidemiology 183:758, doi:10.1093/aje/kwv254. Rebound: Hatcher et al. (2016), JAMA
    Neurology 73:790, doi:10.1001/jamaneurol.2016.0826.

    Examples
    --------
    >>> import trajectories as tj
    >>> adults = tj.Eligible(name="aged 18 to 50", column="age", at_least=18, at_most=50)
    >>> trial = tj.target_trial(
    ...     tj.simulated_three_dmts_400(), outcome="EDSS at 2 years", estimand="difference of means", eligibility=[adults],
    ...     covariates=["age", "edss_baseline", "relapses_year_before", "prior_dmts"],
    ... )
    >>> trial.attrition["left"].tolist(), trial.cohort.n_patients
    ([132, 92, 123], 347)
    """
    if matches is not None:
        if weights is not None or lag is not None:
            raise ValueError(
                "matches bring their own weights, and are made after a lag (follow the cohort first): leave out weights= and lag=."
            )
        weights = matches.weights
    patients = cohort.patients
    table, inside = attrition(patients, eligibility)
    eligible = _eligible(cohort, inside)
    adjusted = [*covariates, *(() if weights is None else weights.covariates.columns)]
    refuse(cohort, eligible, adjusted, strategies, weights)
    refuse_strategy(cohort, estimand, f"{follow_up}{'' if matches is None else PAIRED}", follow_up, seen)
    if matches is None:
        analysed, ends = followed(eligible, follow_up, lag)
    else:
        analysed, ends = followed_in_sets(eligible, matches, follow_up)
    drugs = follow_up.drugs if isinstance(follow_up, OnTreatment) else {}
    said = on_design(eligible, adjusted, drugs, person, centre, rebound_within)
    protocol = {
        "Eligibility": _criteria(table, eligible, cohort),
        "Time zero": (time_zero or cohort.index_date)
        + ("" if lag is None else f" Outcomes count from {lag} after it (treatment lag)."),
        "Treatment strategies": _strategies(eligible, strategies),
        "Assignment": _assignment(weights, covariates),
        "Follow-up": _followup(analysed, ends, follow_up, paired=matches is not None),
        "Outcome": outcome,
        "Causal estimand": _estimand(estimand, follow_up, weights, eligible),
        "Analysis": _analysis(estimand, weights, covariates, seen),
    }
    sizes = eligible.patients["arm"].astype(str).value_counts()
    handled = matches is not None or seen is not None
    return TargetTrial(
        protocol=protocol, attrition=table, eligible={arm: int(sizes[arm]) for arm in eligible.arms}, ends=ends, cohort=analysed,
        warnings=(*said, *on_followup(analysed, ends, handled=handled)),
    )  # fmt: skip


def _eligible(cohort: Cohort, inside: np.ndarray) -> Cohort:
    if inside.all():
        return cohort
    return cohort.only(cohort.patients.loc[inside, "patient"].tolist())


def _years(people: pd.DataFrame) -> pd.Series:
    return (people["followup_end_day"].clip(lower=0)) / DAYS_PER_YEAR


def _criteria(table: pd.DataFrame, eligible: Cohort, cohort: Cohort) -> str:
    parts = []
    for name, rows in table.groupby(level="criterion", sort=False):
        out = ", ".join(
            f"{arm} {row['not_met']}" + (f" and {row['unknown']} unknown" if row["unknown"] else "")
            for arm, row in rows.droplevel("criterion").iterrows()
        )
        parts.append(f"{name} (excluded: {out})")
    sizes = eligible.patients["arm"].astype(str).value_counts(sort=False)
    n = ", ".join(f"{arm} {sizes[arm]}" for arm in eligible.arms)
    return f"{'; '.join(parts) or 'everybody in the cohort'}. Eligible: {eligible.n_patients} of {cohort.n_patients} ({n})."


def _strategies(cohort: Cohort, strategies: Mapping[str, str] | None) -> str:
    words = strategies or {}
    return "; ".join(f"{arm}: {words.get(arm, f'start {arm} at time zero')}" for arm in cohort.arms) + "."


def _assignment(weights: Weights | None, covariates: Sequence[str]) -> str:
    named = list(dict.fromkeys([*covariates, *(() if weights is None else weights.covariates.columns)]))
    if not named:
        return "not randomised, and adjusted for nothing: a description, no emulation of a trial."
    return f"not randomised; taken as random given {', '.join(named)}, of which nobody can be sure."


def _followup(cohort: Cohort, ends: pd.DataFrame, strategy: Strategy, *, paired: bool) -> str:
    years = _years(cohort.patients).groupby(cohort.patients["arm"].astype(str)).median()
    medians = ", ".join(f"{arm} {years[arm]:.1f}" for arm in cohort.arms if arm in years.index)
    limit = ", which does not allow for stopping that goes with the course since baseline"
    together = f"; matched sets end together (pairwise censoring{limit if isinstance(strategy, OnTreatment) else ''})"
    return f"{strategy}{together if paired else ''}. Median years after time zero: {medians}. Ended: {ends_by_arm(ends)}."


def _estimand(estimand: str | Estimate, strategy: Strategy, weights: Weights | None, cohort: Cohort) -> str:
    summary = estimand if isinstance(estimand, str) else f"{estimand.name}: {estimand.definition}"
    population = "all eligible patients" if weights is None else weights.description.rstrip(".")
    unchecked = (
        "" if isinstance(estimand, str) or carried(estimand) is not None
        else ", as stated: the contrast does not say how the cohort of its fit was followed, and this was not checked"
    )  # fmt: skip
    return f"{summary.rstrip('.')}. Population: {population}. Intercurrent events (ICH E9(R1)): {strategy.label}{unchecked}."


def _analysis(
    estimand: str | Estimate,
    weights: Weights | None,
    covariates: Sequence[str],
    seen: CensoringWeights | None,
) -> str:
    parts = [] if weights is None else [f"weighted, effective sample size {_sizes(weights)}"]
    parts += [f"outcome model with {', '.join(covariates)}"] if covariates else []
    parts += [f"censoring weights from {seen.formula!r}"] if seen is not None else []
    parts += [estimand.source] if isinstance(estimand, Estimate) else []
    return "; ".join(parts or ["not stated: no weights and no covariates"]) + "."


def _sizes(weights: Weights) -> str:
    return ", ".join(f"{arm} {n:.0f}" for arm, n in weights.effective_sample_size.items())
