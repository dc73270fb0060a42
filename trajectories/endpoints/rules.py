"""A rule for disability events, put together from frozen values, and the ready ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from textwrap import fill
from typing import Literal

from trajectories import edss
from trajectories.edss import ChangeRule
from trajectories.endpoints.baselines import AfterRelapse, Baseline, Fixed, Roving
from trajectories.endpoints.confirmation import Confirmed, DaysClear, days_clear, days_text
from trajectories.endpoints.relapse_labels import MULLER_2023, PiraDefinition, RelapseAssociated
from trajectories.endpoints.scales import ScaleChange, column_of, higher_is_worse

__all__ = ["CARE_MS", "MSBASE", "TRIAL", "DisabilityRule", "pira_rule", "short_name"]

type Kind = Literal["worsening", "improvement"]


@dataclass(frozen=True, kw_only=True)
class DisabilityRule:
    """What counts as a disability event: which change, from which reference, confirmed how, and labelled how.

    Parameters
    ----------
    worsening
        The thresholds of worsening: `edss.TRIAL`, `edss.MSBASE`, `edss.CARE_MS`, one of your own, or a
        `ScaleChange` for another scale.
    improvement
        The thresholds of improvement; None: those of the value of `worsening`.
    confirmation
        When a change is confirmed.
    baseline
        With what it is compared.
    relapse_associated
        When a worsening is RAW.
    pira
        When a worsening is PIRA.
    events
        "all", or the "first" of each kind.
    kinds
        The kinds of change to find.
    event_clear_of_relapse
        A change fewer than this many days after a relapse onset is no event; a pair adds days before the next
        onset. 0, the default, takes all, and leaves the distinction to the labels.
    search_from
        "index date": the reference comes from time 0 and events are later than that. "first visit": from the
        first visit, whenever it was.
    after_event
        Where the search goes on when the reference stays: when the change is "over" (one sustained change is one
        event), or, to reproduce other programs, with the visit after "confirmation" or after the "event", from
        where a sustained change is found again.
    label
        Name for tables and plots; None: made from the parts.

    Raises
    ------
    ValueError
        If fields contradict each other; the message begins with the field.

    Examples
    --------
    >>> rule = DisabilityRule(worsening=edss.MSBASE, confirmation=Confirmed(weeks=12))
    >>> rule.name
    'MSBASE, 12 weeks, fixed'
    >>> DisabilityRule(event_clear_of_relapse=-1)
    Traceback (most recent call last):
    ValueError: event_clear_of_relapse: days from a relapse are 0 or more, not -1.
    """

    worsening: ChangeRule | ScaleChange = edss.TRIAL
    improvement: ChangeRule | ScaleChange | None = None
    confirmation: Confirmed = Confirmed()
    baseline: Baseline = Fixed()
    relapse_associated: RelapseAssociated = RelapseAssociated()
    pira: PiraDefinition = MULLER_2023
    events: Literal["all", "first"] = "all"
    kinds: tuple[Kind, ...] = ("worsening", "improvement")
    event_clear_of_relapse: DaysClear = 0
    search_from: Literal["index date", "first visit"] = "index date"
    after_event: Literal["over", "confirmation", "event"] = "over"
    label: str | None = None

    def __post_init__(self) -> None:
        days_clear(self.event_clear_of_relapse, "event_clear_of_relapse")
        for field, allowed in {
            "events": ("all", "first"),
            "search_from": ("index date", "first visit"),
            "after_event": ("over", "confirmation", "event"),
        }.items():
            if getattr(self, field) not in allowed:
                words = ", ".join(repr(word) for word in allowed)
                raise ValueError(f"{field}: one of {words}, not {getattr(self, field)!r}.")
        if not self.kinds or not set(self.kinds) <= {"worsening", "improvement"}:
            raise ValueError(f'kinds: "worsening", "improvement" or both in a tuple, not {self.kinds!r}.')
        other = self.better
        if column_of(other) != column_of(self.worsening) or higher_is_worse(other) != higher_is_worse(
            self.worsening
        ):
            raise ValueError(
                f"improvement: {other.name} is another scale or direction than {self.worsening.name}; a rule "
                "follows one scale."
            )
        wait = self.baseline.wait if isinstance(self.baseline, AfterRelapse) else None
        if wait is not None and wait > self.relapse_associated.days_after:
            raise ValueError(
                f"baseline: a reference that moves {wait:g} days after a relapse leaves worsening between day "
                f"{self.relapse_associated.days_after:g} and {wait:g}, when it is RAW no longer, to the old one."
            )

    @property
    def better(self) -> ChangeRule | ScaleChange:
        """The thresholds of improvement."""
        return self.worsening if self.improvement is None else self.improvement

    @property
    def column(self) -> str:
        """The column of the visits that the rule reads."""
        return column_of(self.worsening)

    @property
    def moves(self) -> bool:
        """Whether the reference moves after it was first set."""
        return not isinstance(self.baseline, Fixed)

    @property
    def name(self) -> str:
        """`label`, or a short name made from the parts."""
        if self.label is not None:
            return self.label
        change = self.worsening.name
        if self.improvement is not None and self.improvement.name != change:
            change += f"/{self.improvement.name}"
        weeks = (
            self.confirmation.weeks
            if isinstance(self.confirmation.weeks, tuple)
            else (self.confirmation.weeks,)
        )
        return f"{change}, {' or '.join(f'{week:g}' for week in weeks)} weeks, {short_name(self.baseline)}"

    @property
    def methods(self) -> str:
        """The paragraph for a Methods section, with its sources."""
        kinds = " and ".join(self.kinds)
        were = "were" if len(self.kinds) > 1 else "was"
        sentences = [
            f"Disability {kinds} {were} defined by thresholds that depend on the reference value.",
            _change(self),
        ]
        sentences.append(f"The reference was {self.baseline.describe(self.search_from)}.")
        sentences.append(f"Events were {self.confirmation.describe()}.")
        clear = days_text(self.event_clear_of_relapse)
        if clear:
            sentences.append(f"Changes {clear} a relapse onset were no events.")
        if self.events == "first":
            sentences.append("Only the first event of each kind was counted.")
        elif self.after_event == "over":
            sentences.append(
                "Further events were counted; a sustained change from a reference that did not move was one event."
            )
        else:
            sentences.append(
                f"Further events were searched from the visit after the {self.after_event} on, so that a "
                "sustained change from a reference that did not move was counted repeatedly."
            )
        if "worsening" in self.kinds:
            sentences.append(
                f"Worsening was {self.relapse_associated.describe()}, {self.pira.describe()}, and otherwise "
                "undefined."
            )
        sentences.append(f"Sources: {'; '.join(self._sources())}.")
        return " ".join(sentences)

    def __str__(self) -> str:
        return f"{self.name}\n{fill(self.methods, 100)}"

    def _sources(self) -> list[str]:
        cited = [self.worsening.citation, self.better.citation, self.pira.citation]
        return list(dict.fromkeys(source for source in cited if source))


def pira_rule(definition: PiraDefinition, rule: DisabilityRule | None = None) -> DisabilityRule:
    """Make the rule that a definition of PIRA was published as: with its reference and its confirmation time.

    Parameters
    ----------
    definition
        Such as `KAPPOS_2020`.
    rule
        What the definition leaves open is taken from here; None: from `DisabilityRule()`.

    Returns
    -------
    The rule.

    Examples
    --------
    >>> from trajectories.endpoints import PORTACCIO_2025
    >>> pira_rule(PORTACCIO_2025).name
    'PORTACCIO_2025'
    """
    base = DisabilityRule() if rule is None else rule
    weeks = base.confirmation.weeks if definition.weeks is None else definition.weeks
    return replace(
        base,
        pira=definition,
        baseline=base.baseline if definition.baseline is None else definition.baseline,
        confirmation=replace(base.confirmation, weeks=weeks),
        label=definition.name,
    )


def short_name(baseline: Baseline) -> str:
    """Name a reference in a few words.

    >>> short_name(Roving(after="worsening"))
    'roving after worsening'
    """
    if isinstance(baseline, AfterRelapse):
        return f"{short_name(baseline.otherwise)}, new after relapses"
    if isinstance(baseline, Roving):
        return "roving" if baseline.after == "both" else f"roving after {baseline.after}"
    return "fixed"


def _change(rule: DisabilityRule) -> str:
    if rule.improvement is None or rule.improvement == rule.worsening:
        return rule.worsening.describe()
    return f"For worsening {rule.worsening.describe()} For improvement {rule.improvement.describe()}"


_TO_THE_END = Confirmed(weeks=24, tolerance=(0, math.inf))

TRIAL = DisabilityRule(worsening=edss.TRIAL, confirmation=_TO_THE_END, label="TRIAL")
"""`edss.TRIAL` from a fixed reference, confirmed at the first visit after 24 weeks or more."""

MSBASE = DisabilityRule(worsening=edss.MSBASE, confirmation=Confirmed(weeks=24), label="MSBASE")
"""`edss.MSBASE` from a fixed reference, confirmed after 24 weeks, at most 84 days later."""

CARE_MS = DisabilityRule(worsening=edss.CARE_MS, confirmation=_TO_THE_END, label="CARE_MS")
"""`edss.CARE_MS` (sustained accumulation of disability) from a fixed reference, confirmed after 24 weeks or more."""
