"""What confirms a change: when, by which visits, and how long it must last."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Confirmed", "days_clear", "days_text"]

type DaysClear = float | tuple[float, float]
"""Days after a relapse onset, or (days after, days before the next onset)."""


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """When a change counts as confirmed: it still holds at a visit some weeks later, and at every visit until then.

    The confirming visit is the first with weeks·7 − before ≤ days since the event ≤ weeks·7 + after that is not
    too near a relapse; the change from the reference (not from the event's own value) must reach the threshold
    at it and at every visit on the way.

    Parameters
    ----------
    weeks
        Weeks from the event to its confirmation: 12 (84 days) or 24 (168 days) as a rule. Several, such as
        (12, 24), confirm at either.
    tolerance
        (days before, days after): how much earlier and later than `weeks` the confirming visit may be. Trials
        take any later visit, `(0, inf)`; registries limit it, lest "12 weeks" become years.
    every_visit
        Whether the change must hold at every visit up to the confirming one, or only at that one.
    clear_of_relapse
        A visit fewer than this many days after a relapse onset does not confirm. A pair adds the days before the
        next onset.
    scheduled_only
        Whether only visits marked in the column `scheduled` confirm.
    sustained_days
        Days for which a confirmed change must last, or else to the end of follow-up, to count; infinite: always
        to the end of follow-up.
    accept_last_visit_within
        A worsening at the last visit cannot be confirmed and is not counted. It is, unconfirmed, if that visit is
        at most this many days after the first (infinite: always); 0 never accepts it.

    Raises
    ------
    ValueError
        If a field contradicts itself or another; the message begins with the field.

    Examples
    --------
    >>> Confirmed(weeks=12, tolerance=(0, 84)).days
    (84.0,)
    >>> Confirmed(weeks=12, tolerance=(90, 90))
    Traceback (most recent call last):
    ValueError: tolerance: 90 days before a confirmation after 84 days would confirm at or before the event itself.
    """

    weeks: float | tuple[float, ...] = 24
    tolerance: tuple[float, float] = (0, 84)
    every_visit: bool = True
    clear_of_relapse: DaysClear = 30
    scheduled_only: bool = False
    sustained_days: float = 0
    accept_last_visit_within: float = 0

    def __post_init__(self) -> None:
        weeks = self.weeks if isinstance(self.weeks, tuple) else (self.weeks,)
        if not weeks or list(weeks) != sorted(set(weeks)) or not all(0 < week < math.inf for week in weeks):
            raise ValueError(
                f"weeks: give a positive number, or several in ascending order, not {self.weeks!r}."
            )
        if not (isinstance(self.tolerance, tuple) and len(self.tolerance) == 2):
            raise ValueError(
                f"tolerance: give (days before, days after), such as (0, 84), not {self.tolerance!r}."
            )
        before, after = self.tolerance
        if not (before >= 0 and after >= 0):
            raise ValueError(
                f"tolerance: days before and after are 0 or more, not {before:g} and {after:g}; "
                "a visit that may be late is (0, days)."
            )
        if before >= min(self.days):
            raise ValueError(
                f"tolerance: {before:g} days before a confirmation after {min(self.days):g} days would confirm "
                "at or before the event itself."
            )
        days_clear(self.clear_of_relapse, "clear_of_relapse")
        for field in ("sustained_days", "accept_last_visit_within"):
            if not getattr(self, field) >= 0:
                raise ValueError(f"{field}: a number of days from 0 up, not {getattr(self, field)!r}.")

    @property
    def days(self) -> tuple[float, ...]:
        """`weeks` in days."""
        weeks = self.weeks if isinstance(self.weeks, tuple) else (self.weeks,)
        return tuple(float(round(7 * week, 6)) for week in weeks)

    def describe(self) -> str:
        """Say it in the words of a Methods section."""
        weeks = self.weeks if isinstance(self.weeks, tuple) else (self.weeks,)
        before, after = self.tolerance
        late = "any later visit" if math.isinf(after) else f"at most {after:g} days later"
        early = f", or up to {before:g} days earlier" if before else ""
        held = "at every visit up to" if self.every_visit else "at"
        text = (
            f"confirmed after {' or '.join(f'{week:g}' for week in weeks)} weeks: the threshold over the reference "
            f"had to be reached {held} the first visit {' or '.join(f'{d:g}' for d in self.days)} days or more "
            f"after the event ({late}{early})"
        )
        clear = days_text(self.clear_of_relapse)
        if clear:
            text += f"; visits {clear} a relapse onset did not confirm"
        if self.scheduled_only:
            text += "; only scheduled visits confirmed"
        if self.sustained_days:
            lasting = (
                "to the end of follow-up"
                if math.isinf(self.sustained_days)
                else f"for {self.sustained_days:g} days or to the end of follow-up"
            )
            text += f"; changes had to last {lasting}"
        if self.accept_last_visit_within:
            limit = self.accept_last_visit_within
            within = "" if math.isinf(limit) else f" within {limit:g} days of the first visit"
            text += f"; worsening at the last visit{within} was counted without confirmation"
        return text


def days_clear(days: DaysClear, field: str) -> tuple[float, float]:
    """Read a distance from relapses as (days after an onset, days before one).

    >>> days_clear(30, "clear_of_relapse")
    (30.0, 0.0)
    """
    after, before = days if isinstance(days, tuple) else (days, 0)
    if not (after >= 0 and before >= 0):
        raise ValueError(f"{field}: days from a relapse are 0 or more, not {days!r}.")
    return float(after), float(before)


def days_text(days: DaysClear) -> str:
    """Say a distance from relapses, empty if there is none.

    >>> days_text((30, 10))
    'fewer than 30 days after or 10 days before'
    """
    after, before = days_clear(days, "days")
    parts = ([f"{after:g} days after"] if after else []) + ([f"{before:g} days before"] if before else [])
    return f"fewer than {' or '.join(parts)}" if parts else ""
