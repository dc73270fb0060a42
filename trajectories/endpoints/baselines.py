"""With what a visit is compared: a reference that stays, that follows confirmed changes, or that starts anew after relapses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trajectories.endpoints.confirmation import DaysClear, days_clear, days_text

__all__ = ["AfterRelapse", "Baseline", "Fixed", "Roving"]


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """One reference for the whole of follow-up, as trials have it.

    The reference is the last visit at or before time 0 (within the cohort's baseline window) that is clear of
    relapses; failing that, the first later one that is. One sustained change is one event: after an event the
    search goes on when the change is over.

    Parameters
    ----------
    clear_of_relapse
        A visit fewer than this many days after a relapse onset is no reference (30, 90 and 180 are in use); a
        pair adds the days before the next onset. 0 takes any visit.

    Examples
    --------
    >>> print(Fixed(clear_of_relapse=90).describe())
    a fixed reference, the last visit at or before time 0 that was not fewer than 90 days after a relapse onset, or else the first later one
    """

    clear_of_relapse: DaysClear = 30

    def __post_init__(self) -> None:
        days_clear(self.clear_of_relapse, "clear_of_relapse")

    def describe(self, search_from: str = "index date") -> str:
        """Say it in the words of a Methods section."""
        return f"a fixed reference, {_first(self.clear_of_relapse, search_from)}"


@dataclass(frozen=True, kw_only=True)
class Roving:
    """A reference that follows confirmed changes: each moves it to the visit that confirmed the change.

    In the Tysabri Observational Program a roving reference found worsening in 29.7 % of patients against 20.3 %
    with a fixed one (Kappos et al. 2018, doi:10.1177/1352458517709619). It depends on what happened after randomisation: comparisons of
    randomised arms are no longer protected by it.

    Parameters
    ----------
    after
        Which changes move the reference: "worsening", "improvement" or "both".
    to
        To which visit: the one of "confirmation", that of the "event", or the one with the "lowest" (best) value from
        the event to its confirmation. The search goes on with the visit after it.
    small_changes
        Whether confirmed changes below the threshold move it, too: "none", "worsening", "improvement" or "both";
        only those named in `after`.
    skip_extremes
        Whether visits that stick out from both neighbours may be references: "never skip" them, skip those
        that differ from both by the "threshold", or "any" that differ. One with the value of the last but one
        visit never counts as sticking out.
    clear_of_relapse
        As in `Fixed`.

    Examples
    --------
    >>> Roving(after="improvement").after
    'improvement'
    """

    after: Literal["both", "worsening", "improvement"] = "both"
    to: Literal["confirmation", "event", "lowest"] = "confirmation"
    small_changes: Literal["none", "both", "worsening", "improvement"] = "none"
    skip_extremes: Literal["never", "threshold", "any"] = "never"
    clear_of_relapse: DaysClear = 30

    def __post_init__(self) -> None:
        days_clear(self.clear_of_relapse, "clear_of_relapse")
        _one_of(self.after, ("both", "worsening", "improvement"), "after")
        _one_of(self.to, ("confirmation", "event", "lowest"), "to")
        _one_of(self.small_changes, ("none", "both", "worsening", "improvement"), "small_changes")
        _one_of(self.skip_extremes, ("never", "threshold", "any"), "skip_extremes")
        if self.small_changes != "none" and self.after not in ("both", self.small_changes):
            raise ValueError(
                f"small_changes: {self.small_changes!r} cannot move a reference that only {self.after} moves."
            )

    def describe(self, search_from: str = "index date") -> str:
        """Say it in the words of a Methods section."""
        kinds = "worsening or improvement" if self.after == "both" else self.after
        text = (
            f"a roving reference, first {_first(self.clear_of_relapse, search_from)}, moved to the "
            f"{_WHERE[self.to]} after each confirmed {kinds}"
        )
        if self.small_changes != "none":
            small = "changes" if self.small_changes == "both" else self.small_changes
            text += f" (confirmed {small} below the threshold moved it, too)"
        if self.skip_extremes != "never":
            size = " by the threshold" if self.skip_extremes == "threshold" else ""
            text += f"; visits that differed from both neighbours in one direction{size} were no reference"
        return text


@dataclass(frozen=True, kw_only=True)
class AfterRelapse:
    """A new reference after each relapse: the first visit from its onset on that is clear of relapses.

    Visits up to `wait` days after the onset are still compared with the old reference, so that worsening with the
    relapse is found (and labelled RAW) before the reference moves past it.

    Parameters
    ----------
    otherwise
        What the reference does apart from relapses: `Fixed` or `Roving`, which also hold the distance from
        relapses that a reference needs.
    wait
        Days after an onset until the reference moves; None: as long as worsening counts as relapse-associated.
    never_lower
        Whether a reference never falls below the one before it, as in Kappos et al. 2020.

    Examples
    --------
    >>> AfterRelapse(otherwise=Roving()).wait is None
    True
    """

    otherwise: Fixed | Roving = Fixed()
    wait: float | None = None
    never_lower: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.otherwise, Fixed | Roving):
            raise ValueError(f"otherwise: Fixed(...) or Roving(...), not {self.otherwise!r}.")  # noqa: TRY004
        if self.wait is not None and not self.wait >= 0:
            raise ValueError(f"wait: a number of days from 0 up, or None, not {self.wait!r}.")

    def describe(self, search_from: str = "index date") -> str:
        """Say it in the words of a Methods section."""
        lower = ", never lower than the one before" if self.never_lower else ""
        return f"{self.otherwise.describe(search_from)}, and a new reference after each relapse{lower}"


_WHERE = {
    "confirmation": "confirming visit",
    "event": "visit of the event",
    "lowest": "visit with the best value from the event to its confirmation",
}

type Baseline = Fixed | Roving | AfterRelapse


def _first(clear: DaysClear, search_from: str) -> str:
    distance = days_text(clear)
    which = f" that was not {distance} a relapse onset" if distance else ""
    if search_from == "first visit":
        return f"the first visit{which}"
    return f"the last visit at or before time 0{which}, or else the first later one"


def _one_of(value: str, allowed: tuple[str, ...], field: str) -> None:
    if value not in allowed:
        raise ValueError(f"{field}: one of {', '.join(repr(word) for word in allowed)}, not {value!r}.")
