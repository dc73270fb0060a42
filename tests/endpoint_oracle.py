"""The definitions of disability events in plain Python, for one patient: slow, short, and written from the words.

Nothing here is shared with the package but the values of a rule. A visit is (day, value); a reference is a pair of
positions: the visit from whose day it counts and the one whose value it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trajectories import edss
from trajectories import endpoints as e


@dataclass
class Found:
    kind: str
    reference_day: int
    reference_value: float
    day: int
    value: float
    confirmed_day: int
    onset_after: int
    label: str | None
    sustained_days: int


def pair(days: Any) -> tuple[float, float]:
    return days if isinstance(days, tuple) else (days, 0)


class Patient:
    """One patient under one rule on the EDSS."""

    def __init__(self, visits: list[tuple[int, float]], relapses: list[int], rule: e.DisabilityRule) -> None:
        self.visits, self.relapses, self.rule = visits, relapses, rule
        base = rule.baseline
        self.again = isinstance(base, e.AfterRelapse)
        self.inner: Any = base.otherwise if isinstance(base, e.AfterRelapse) else base

    def day(self, i: int) -> int:
        return self.visits[i][0]

    def clear(self, i: int, days: Any) -> bool:
        after, before = pair(days)
        near = [r for r in self.relapses if 0 <= self.day(i) - r < after or 0 <= r - self.day(i) < before]
        return not near

    def kind(self, value_of: int, i: int) -> str | None:
        """worsening or improvement of visit i from the value of visit value_of, by the thresholds."""
        start, end = self.visits[value_of][1], self.visits[i][1]
        worse, better = self.rule.worsening, self.rule.better
        assert isinstance(worse, edss.ChangeRule)
        assert isinstance(better, edss.ChangeRule)
        if worse.worse(start, end):
            return "worsening"
        return "improvement" if better.improved(start, end) else None

    def first_reference(self) -> int | None:
        ok = [i for i in range(len(self.visits)) if self.clear(i, self.inner.clear_of_relapse)]
        before = [i for i in ok if -365 <= self.day(i) <= 0]
        later = [i for i in ok if self.day(i) > 0]
        return before[-1] if before else (later[0] if later else None)

    def usable_from(self, i: int) -> int | None:
        ok = [j for j in range(i, len(self.visits)) if self.clear(j, self.inner.clear_of_relapse)]
        return ok[0] if ok else None

    def confirmers(self, x: int) -> list[int]:
        c = self.rule.confirmation
        before, after = c.tolerance
        return [
            y
            for y in range(x + 1, len(self.visits))
            if any(d - before <= self.day(y) - self.day(x) <= d + after for d in c.days)
            and self.clear(y, c.clear_of_relapse)
        ]

    def confirmed_at(self, x: int, kind: str, value_of: int) -> int | None:
        can = self.confirmers(x)
        if not can:
            return None
        must = range(x + 1, can[0] + 1) if self.rule.confirmation.every_visit else [can[0]]
        return can[0] if all(self.kind(value_of, y) == kind for y in must) else None

    def end_of_change(self, c: int, kind: str, value_of: int) -> int:
        over = [y for y in range(c + 1, len(self.visits)) if self.kind(value_of, y) != kind]
        return over[0] if over else len(self.visits)

    def lasts(self, x: int, over: int, kind: str, value_of: int) -> bool:
        asked = self.rule.confirmation.sustained_days
        if not asked:
            return True
        if self.rule.confirmation.every_visit:
            return over == len(self.visits) or self.day(over) - self.day(x) >= asked
        late = [y for y in range(x + 1, len(self.visits)) if self.day(y) - self.day(x) >= asked]
        return self.kind(value_of, late[0] if late else len(self.visits) - 1) == kind

    def label(self, x: int, onset: int, over: int, ref: int, value_of: int, kind: str, c: int) -> str:
        raw = self.rule.relapse_associated
        seen = [x, onset] if raw.from_first_worse_visit else [x]
        for r in self.relapses:
            for i in seen:
                if 0 <= self.day(i) - r <= raw.days_after or 0 <= r - self.day(i) <= raw.days_before:
                    return "RAW"
        for y in [c for c in self.confirmers(x) if c < over]:
            if self.independent(x, y, ref, kind, c):
                return "PIRA"
        return "undefined"

    def independent(self, x: int, y: int, ref: int, kind: str, c: int) -> bool:
        lower = [
            i
            for i in range(x)
            if all(
                self.kind(i, j) == kind
                for j in (range(x, c + 1) if self.rule.confirmation.every_visit else (x, c))
            )
        ]
        at = {
            "reference": self.day(ref),
            "previous visit": self.day(x - 1),
            "last lower visit": self.day(lower[-1] if lower else 0),
            "event": self.day(x),
            "confirmation": self.day(y),
        }
        for free in self.rule.pira.relapse_free:
            start, end = at[free.start] - free.days_before, at[free.end] + free.days_after
            if start < end and any(start <= r <= end for r in self.relapses):
                return False
        return True

    def next_relapse_over(self, ref: int) -> tuple[float, int] | None:
        """The day after which the reference no longer counts, and the first visit from that relapse on."""
        later = [r for r in self.relapses if r > self.day(ref)]
        if not (self.again and later):
            return None
        wait = self.rule.baseline.wait  # type: ignore[union-attr]
        wait = self.rule.relapse_associated.days_after if wait is None else wait
        since = [i for i in range(len(self.visits)) if self.day(i) >= later[0]]
        return later[0] + wait, since[0] if since else len(self.visits)

    def events(self) -> list[Found]:
        found: list[Found] = []
        start = self.first_reference()
        if start is None:
            return found
        n = len(self.visits)
        ref = value_of = start
        at = max([i + 1 for i in range(n) if self.day(i) <= 0] + [start + 1])
        going_on: str | None = None  # a change that was counted and is not over
        recorded: dict[int, str] = {}
        while at < n:
            if not self.clear(ref, self.inner.clear_of_relapse):
                moved = self.usable_from(ref)
                if moved is None:
                    break
                ref = value_of = moved
                at = max(at, ref + 1)
                continue
            reset = self.next_relapse_over(ref)
            if reset is not None and self.day(at) > reset[0]:
                ref = value_of = reset[1]
                going_on = None
                at = max([ref + 1, *recorded, *[i + 1 for i in range(n) if self.day(i) <= 0]])
                if ref >= n:
                    break
                continue
            kind = self.kind(value_of, at)
            if going_on is not None and kind == going_on:
                at += 1
                continue
            going_on = None
            if kind is None or not self.clear(at, self.rule.event_clear_of_relapse):
                at += 1
                continue
            if recorded.get(at) == kind:
                going_on = kind
                at += 1
                continue
            c = self.confirmed_at(at, kind, value_of)
            if c is None:
                at += 1
                continue
            over = self.end_of_change(c, kind, value_of)
            if self.lasts(at, over, kind, value_of):
                onset = at
                while onset - 1 > ref and self.kind(value_of, onset - 1) == kind:
                    onset -= 1
                label = self.label(at, onset, over, ref, value_of, kind, c) if kind == "worsening" else None
                found.append(
                    Found(
                        kind,
                        self.day(ref),
                        self.visits[value_of][1],
                        *self.visits[at],
                        self.day(c),
                        self.day(onset - 1),
                        label,
                        self.day(over - 1) - self.day(at),
                    )
                )
                recorded[at] = kind
            if isinstance(self.inner, e.Roving) and self.inner.after in ("both", kind):
                best = min(range(at, c + 1), key=lambda i: (self.visits[i][1], i))
                ref = value_of = {"confirmation": c, "event": at, "lowest": best}[self.inner.to]
                going_on, at = None, ref + 1
            else:
                going_on, at = kind, c + 1
        return found

    def last_confirmable(self) -> int | None:
        start = self.first_reference()
        if start is None:
            return None
        can = [
            self.day(i)
            for i in range(start + 1, len(self.visits))
            if self.day(i) > 0 and self.clear(i, self.rule.event_clear_of_relapse) and self.confirmers(i)
        ]
        return can[-1] if can else None
