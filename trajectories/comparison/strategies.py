"""What happens to a patient's follow-up when treatment stops or changes: named strategies for intercurrent events (ICH E9(R1))."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from trajectories.cohort import DAYS_PER_YEAR, Cohort
from trajectories.reading.arms import UNTREATED

__all__ = ["NATURAL", "Duration", "IntentionToTreat", "OnTreatment", "Strategy", "ends_of_followup"]

# Drugs whose effect outlasts their courses by years; matched in any capitals, within longer names too.
INDUCTION = ("alemtuzumab", "cladribine", "mitoxantrone", "hsct", "stem cell", "stem-cell")
# A drug most of whose courses are this short (days) is given in courses, whatever its name.
SHORT_COURSE = 7

NATURAL = "end of observation"
# How the words of an on-treatment strategy begin.
WHILE_ON = "on-treatment: "


@dataclass(frozen=True, kw_only=True)
class Duration:
    """A length of time, in one unit: days, weeks, months (of 365.25 / 12 days) or years (of 365.25 days).

    Raises
    ------
    ValueError
        Unless exactly one unit is given, finite and not negative.

    Examples
    --------
    >>> Duration(years=4).in_days, Duration(months=6).in_days
    (1461, 183)
    """

    days: float | None = None
    weeks: float | None = None
    months: float | None = None
    years: float | None = None

    def __post_init__(self) -> None:
        given = [n for n in (self.days, self.weeks, self.months, self.years) if n is not None]
        if len(given) != 1 or not (np.isfinite(given[0]) and given[0] >= 0):
            raise ValueError("a Duration is one number that is not negative, such as Duration(months=6).")

    @property
    def in_days(self) -> int:
        """Whole days."""
        units = ((self.days, 1.0), (self.weeks, 7.0), (self.months, DAYS_PER_YEAR / 12))
        length = next((n * unit for n, unit in units if n is not None), 0.0)
        return round(length if self.years is None else self.years * DAYS_PER_YEAR)

    def __str__(self) -> str:
        name, n = next((name, n) for name, n in vars(self).items() if n is not None)
        return f"{n:g} {name.removesuffix('s') if n == 1 else name}"

    def __repr__(self) -> str:
        name, n = next((name, n) for name, n in vars(self).items() if n is not None)
        return f"Duration({name}={n:g})"


@dataclass(frozen=True, kw_only=True)
class IntentionToTreat:
    """Follow everybody whatever happens to the treatment: the treatment-policy strategy of ICH E9(R1).

    Examples
    --------
    >>> print(IntentionToTreat())
    intention-to-treat: followed whatever happened to the treatment
    """

    label = "treatment policy"

    def __str__(self) -> str:
        return "intention-to-treat: followed whatever happened to the treatment"


@dataclass(frozen=True, kw_only=True)
class OnTreatment:
    """Follow patients while they are under the drug of their arm: the hypothetical strategy of ICH E9(R1), "had nobody stopped".

    Follow-up ends `washout` after the last day of the drug, or on the day another drug starts, whichever is first. Of a drug given in
    courses the last day is that of the last course plus its `duration` of effect; a course given before it runs out prolongs it.
    Censoring of this kind depends on how patients do: without pairwise censoring, censoring weights or a likelihood of everything that
    it depends on, what remains is a selection.

    Parameters
    ----------
    duration
        How long the effect of a drug is held to last after a course, by drug. There is none by default: alemtuzumab, cladribine,
        mitoxantrone, stem-cell transplantation and drugs whose recorded courses last no longer than a week need one.
    washout
        How long a drug that is taken continuously still counts after its last day; a restart within it is no stop.
    drugs
        Which drugs an arm stands for, where it does not have the name of its drug: {"anti-CD20": ("ocrelizumab", "rituximab")}.
    ignored
        Drugs whose start is no switch, such as methylprednisolone.

    Source: ICH E9(R1) (2019), Addendum on estimands and sensitivity analysis in clinical trials.

    Examples
    --------
    >>> print(OnTreatment(duration={"alemtuzumab": Duration(years=4)}, washout=Duration(days=60)))
    on-treatment: followed until 60 days after the last day of the arm's drug (4 years after the last course of alemtuzumab) or another
    drug's start
    """

    duration: Mapping[str, Duration] = field(default_factory=dict)
    washout: Duration = Duration(days=0)
    drugs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    label = "hypothetical (had nobody stopped or switched)"

    def __post_init__(self) -> None:
        for name, value in (
            ("ignored", self.ignored),
            *((f"drugs[{a!r}]", d) for a, d in self.drugs.items()),
        ):
            if isinstance(value, str):
                raise TypeError(f"{name} takes several drugs: write ({value!r},).")

    def __str__(self) -> str:
        after = f"{self.washout} after the last day" if self.washout.in_days else "the last day"
        lasting = ", ".join(
            f"{length} after the last course of {drug}" for drug, length in self.duration.items()
        )
        return f"{WHILE_ON}followed until {after} of the arm's drug{f' ({lasting})' if lasting else ''} or another drug's start"

    def drugs_of(self, arm: str) -> tuple[str, ...]:
        """The drugs an arm stands for; none for the untreated."""
        return self.drugs.get(arm, () if arm == UNTREATED else (arm,))


type Strategy = IntentionToTreat | OnTreatment
type Course = tuple[str, float, float]  # drug, first day, last day (NaN: it goes on)

_COURSE = ("patient", "drug", "start_day", "stop_day")


def ends_of_followup(cohort: Cohort, strategy: Strategy) -> pd.DataFrame:
    """Find the last day of each patient's follow-up under a strategy, and why it is the last.

    Parameters
    ----------
    cohort
        With a table of treatments, for `OnTreatment`.
    strategy
        `IntentionToTreat()` or `OnTreatment(…)`.

    Returns
    -------
    One row a patient, in the cohort's order: `patient`, `arm`, `day` (the last one), `reason`: "end of observation", "stopped", "effect
    over", "switched" or "started a drug" (the untreated).

    Raises
    ------
    ValueError
        If there is no treatments table, patients have no course of the drug of their arm, or a drug given in courses has no stated duration.

    Examples
    --------
    >>> from trajectories.example_cohorts import simulated_alemtuzumab_35
    >>> ends_of_followup(simulated_alemtuzumab_35(), IntentionToTreat())["reason"].unique().tolist()
    ['end of observation']
    """
    people = cohort.patients
    made = pd.DataFrame({"patient": people["patient"], "arm": people["arm"].astype(str)})
    made["day"], made["reason"] = people["followup_end_day"], NATURAL
    if isinstance(strategy, IntentionToTreat):
        return made
    courses = cohort.treatments
    if courses is None:
        raise ValueError(
            f"'{cohort.name}' has no table of treatments, so nobody knows who stopped or switched: give treatments= to tj.read_cohort, or "
            "follow by IntentionToTreat()."
        )
    _refuse_strategy(cohort, courses, strategy)
    found: dict[str, list[Course]] = {}
    for patient, *course in zip(*(courses[name].tolist() for name in _COURSE), strict=True):
        if course[0] not in strategy.ignored:
            found.setdefault(patient, []).append((course[0], float(course[1]), float(course[2])))
    ends = [
        _end(found.get(patient, []), strategy.drugs_of(arm), strategy)
        for patient, arm in zip(made["patient"], made["arm"], strict=True)
    ]
    _refuse_untreated(made["arm"], pd.Series([end is None for end in ends]))
    last = np.array([np.inf if end is None else end[0] for end in ends])
    earlier = last < made["day"].to_numpy()
    start = people["followup_start_day"].to_numpy()
    made.loc[earlier, "day"] = np.maximum(last[earlier], start[earlier] - 1).astype(np.int64)
    made.loc[earlier, "reason"] = [end[1] for end, cut in zip(ends, earlier, strict=True) if cut and end]
    return made


def _end(courses: list[Course], drugs: tuple[str, ...], strategy: OnTreatment) -> tuple[float, str] | None:
    """The last day under the arm's drugs and why; None if there never was a day of them at or after time 0."""
    switch = min((start for drug, start, _ in courses if drug not in drugs and start > 0), default=np.inf)
    if not drugs:
        return switch, "started a drug"
    spans = []
    for drug, start, stop in courses:
        if drug in drugs and drug in strategy.duration:
            last = start if np.isnan(stop) else stop  # a course without a stop is its first day
            spans.append((start, last + strategy.duration[drug].in_days, "effect over"))
        elif drug in drugs:
            spans.append((start, np.inf if np.isnan(stop) else stop + strategy.washout.in_days, "stopped"))
    reached, why = -np.inf, ""
    for start, end, reason in sorted(spans):
        if reached >= 0 and start > reached + 1:  # a gap after time 0: what comes later is a new beginning
            break
        if end > reached:
            reached, why = end, reason
    if reached < 0:
        return None
    return (switch, "switched") if switch <= reached else (reached, why)


def _refuse_strategy(cohort: Cohort, courses: pd.DataFrame, strategy: OnTreatment) -> None:
    unknown = [arm for arm in strategy.drugs if arm not in cohort.arms]
    if unknown:
        raise ValueError(
            f"drugs names {unknown[0]!r}, which is no arm: the arms are {', '.join(cohort.arms)}."
        )
    index = [drug for arm in cohort.arms for drug in strategy.drugs_of(arm)]
    for drug in strategy.duration:
        if drug not in index:
            raise ValueError(
                f"duration names {drug!r}, which is the drug of no arm: those are {', '.join(index)}."
            )
    for drug in index:
        mine = courses[courses["drug"] == drug]
        # most of all courses, those that go on included: a few early stops make no drug one of courses
        short = bool((mine["stop_day"] - mine["start_day"] <= SHORT_COURSE).mean() > 0.5)
        if drug not in strategy.duration and (short or any(name in drug.casefold() for name in INDUCTION)):
            raise ValueError(
                f"{drug} is given in courses, and how long its effect lasts after one is yours to state: OnTreatment(duration={{{drug!r}: "
                "Duration(years=…)}). There is no agreed value, so try several."
            )


def _refuse_untreated(arm: pd.Series, lacking: pd.Series) -> None:
    if not lacking.any():
        return
    counts = ", ".join(f"{n} of {arm}" for arm, n in arm[lacking.to_numpy()].value_counts().items())
    raise ValueError(
        f"patients without a course of the drug of their arm at or after time 0: {counts}. If the arm does not have the name of its drug, say "
        "drugs={arm: (drug, …)}; otherwise correct the treatments, or leave these patients out (cohort.only)."
    )
