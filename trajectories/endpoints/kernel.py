"""The compiled scan for events: one pass over flat arrays sorted by patient and day; no patient is a Python object.

Values are on a scale where higher is worse. A visit serves as reference by its index, so that its thresholds,
which depend on the reference's value, are looked up and not computed. `tests/endpoint_oracle.py` says the same in
plain Python. All of it is in one file because numba keeps compiled code until the file of the outermost function
changes, whatever happens to the files of the functions it calls.
"""

# ruff: noqa: SIM102, SIM110  (numba compiles no generator expressions; short conditions read better)

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CONFIRMATION",
    "EVENT",
    "LAST_LOWER",
    "PREVIOUS",
    "REFERENCE",
    "Options",
    "Scan",
    "first_at",
    "scan",
]

REFERENCE, PREVIOUS, LAST_LOWER, EVENT, CONFIRMATION = range(5)  # the visits relapse-free intervals hang on
UNDEFINED, RAW, PIRA = 1, 2, 3
LAST_VISIT, ENDED, GAP, UNFIT, NOT_HELD, NOT_SUSTAINED, NEAR_RELAPSE, CONFIRMER_NOT_WORSE = range(1, 9)

_ROUNDING = 1e-9
_NEVER = np.inf


class Options(NamedTuple):
    """A rule as numbers. Days unless said otherwise; the arrays are float64 or int64."""

    from_first_visit: bool
    baseline_days: float
    earliest: NDArray[np.float64]  # confirmation windows, days after the event, one a duration
    latest: NDArray[np.float64]
    every_visit: bool
    confirm_after: float  # a confirming visit is not nearer than this to the onset of the relapse before …
    confirm_before: float  # … and of the one after
    sustained_days: float
    accept_last_days: float
    baseline_after: float
    baseline_before: float
    event_after: float
    event_before: float
    move_on_worse: bool
    move_on_better: bool
    move_to: int  # 0 confirming visit, 1 event, 2 the lowest value from event to confirmation
    small_worse: bool  # confirmed changes below the threshold move the reference, too
    small_better: bool
    extremes: int  # 0: may be references; 1: not if both neighbours differ by the threshold; 2: not if at all
    after_relapse: bool
    wait: float
    never_lower: bool
    raw_after: float
    raw_before: float
    raw_from_onset: bool
    free_start: NDArray[np.int64]  # relapse-free intervals: visit and days before it …
    free_before: NDArray[np.float64]
    free_end: NDArray[np.int64]  # … to visit and days after it
    free_after: NDArray[np.float64]
    ignore_better: bool
    search_again: (
        int  # from a reference that stays: 0 when the change is over, 1 after confirmation, 2 after event
    )
    lazy: bool  # re-baseline after a relapse only when a change is met, as msprog does
    stop_at: int  # 0 never, 1 worsening, 2 improvement, 3 PIRA, 4 RAW, 5 two events, as msprog does


class Scan(NamedTuple):
    """What was found: by visit the index of visits, −1 for none; by patient the first reference, the last visit that could be confirmed."""

    kind: NDArray[np.int8]  # 1 worsening, −1 improvement, 0 none
    reference: NDArray[np.int64]
    reference_value: NDArray[np.int64]
    confirmed: NDArray[np.int64]
    confirmed_in: NDArray[np.int64]  # by window
    confirmed_pira: NDArray[np.int64]
    before: NDArray[np.int64]  # last visit without the change
    sustained: NDArray[np.int64]  # last visit at which the change held
    label: NDArray[np.int8]
    reason: NDArray[np.int8]  # why a candidate is no event
    reason_kind: NDArray[np.int8]
    reason_reference: NDArray[np.int64]
    reason_value: NDArray[np.int64]
    first_reference: NDArray[np.int64]
    last_confirmable: NDArray[np.int64]


def _jit(function: Any) -> Any:
    """Compile a part of the scan; without wrappers to be called from Python, which take most of the time to compile."""
    return numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


@_jit
def _change(value: Any, worse: Any, better: Any, reference: int, visit: int) -> int:
    """1 if `visit` is worse than the value of `reference` by its threshold, −1 if it is improved, 0 if neither."""
    difference = value[visit] - value[reference]
    if difference > _ROUNDING and difference >= worse[reference] - _ROUNDING:
        return 1
    if difference < -_ROUNDING and -difference >= better[reference] - _ROUNDING:
        return -1
    return 0


@_jit
def _any_change(value: Any, reference: int, visit: int) -> int:
    if value[visit] > value[reference] + _ROUNDING:
        return 1
    return -1 if value[visit] < value[reference] - _ROUNDING else 0


@_jit
def _distances(day: Any, relapse: Any, a: int, z: int, r0: int, r1: int, since: Any, until: Any) -> None:
    """Days since the last relapse onset and to the next one at each visit; a relapse on the day is both."""
    r = r0
    for i in range(a, z):
        while r < r1 and relapse[r] <= day[i]:
            r += 1
        since[i] = day[i] - relapse[r - 1] if r > r0 else _NEVER
        until[i] = relapse[r] - day[i] if r < r1 else _NEVER
        if r > r0 and relapse[r - 1] == day[i]:
            until[i] = 0.0


@_jit
def _extreme(value: Any, worse: Any, better: Any, a: int, z: int, i: int, how: int) -> bool:
    if how == 0 or i <= a or i >= z - 1:
        return False
    if i - 2 >= a and value[i] == value[i - 2]:
        return False
    if how == 2:
        left, right = _any_change(value, i, i - 1), _any_change(value, i, i + 1)
    else:
        left, right = _change(value, worse, better, i, i - 1), _change(value, worse, better, i, i + 1)
    return bool(left != 0 and left == right)


@_jit
def _first_reference(day: Any, since: Any, until: Any, a: int, z: int, o: Any) -> int:
    """The last visit up to day 0 that is clear of relapses and not too old; failing that, the first later one."""
    if not o.from_first_visit:
        for i in range(z - 1, a - 1, -1):
            if day[i] <= 0 and day[i] >= -o.baseline_days:
                if since[i] >= o.baseline_after and until[i] >= o.baseline_before:
                    return i
    for i in range(a, z):
        if (o.from_first_visit or day[i] > 0) and since[i] >= o.baseline_after:
            if until[i] >= o.baseline_before:
                return i
    return -1


@_jit
def _confirms(fit: Any, since: Any, until: Any, i: int, o: Any) -> bool:
    return bool(fit[i] and since[i] >= o.confirm_after and until[i] >= o.confirm_before)


@_jit
def _in_window(gap: float, o: Any) -> bool:
    for w in range(len(o.earliest)):
        if o.earliest[w] <= gap <= o.latest[w]:
            return True
    return False


@_jit
def _confirming(day: Any, fit: Any, since: Any, until: Any, x: int, z: int, o: Any) -> tuple[int, int]:
    """The first visit that can confirm an event at x, or −1 and the reason why there is none."""
    if x == z - 1:
        return -1, LAST_VISIT
    reason = ENDED
    latest = o.latest[len(o.latest) - 1]
    for y in range(x + 1, z):
        gap = day[y] - day[x]
        if gap > latest:
            return -1, UNFIT if reason == UNFIT else GAP
        if _in_window(gap, o):
            if _confirms(fit, since, until, y, o):
                return y, 0
            reason = UNFIT
        elif gap >= o.earliest[0] and reason != UNFIT:
            reason = GAP
    return -1, reason


@_jit
def _last_confirmable(day: Any, fit: Any, since: Any, until: Any, first: int, z: int, o: Any) -> int:
    if first < z and o.accept_last_days > 0:
        return z - 1
    last = z - 1
    while last > first and not _confirms(fit, since, until, last, o):
        last -= 1
    for x in range(last - 1, first - 1, -1):
        if since[x] < o.event_after or until[x] < o.event_before:
            continue
        if day[last] - day[x] >= o.earliest[0]:
            c, _ = _confirming(day, fit, since, until, x, z, o)
            if c >= 0:
                return x
    return -1


@_jit
def _last_lower(
    value: Any, worse: Any, better: Any, a: int, z: int, x: int, c: int, kind: int, o: Any
) -> int:
    """The last visit before the event from which event and confirmation differ by the threshold there."""
    for i in range(x - 1, a - 1, -1):
        holds = _change(value, worse, better, i, x) == kind
        y = x + 1 if o.every_visit else c
        while holds and y <= c:
            holds = _change(value, worse, better, i, y) == kind
            y += 1
        if holds and not _extreme(value, worse, better, a, z, i, o.extremes):
            return i
    return a


@_jit
def _relapse_between(relapse: Any, r0: int, r1: int, start: float, end: float) -> bool:
    for r in range(r0, r1):
        if start <= relapse[r] <= end:
            return True
    return False


@_jit
def _independent(day: Any, relapse: Any, r0: int, r1: int, visits: Any, o: Any) -> bool:
    """Whether none of the relapse-free intervals holds a relapse; one of no length asks for nothing."""
    for j in range(len(o.free_start)):
        start = day[visits[o.free_start[j]]] - o.free_before[j]
        end = day[visits[o.free_end[j]]] + o.free_after[j]
        if end > start and _relapse_between(relapse, r0, r1, start, end):
            return False
    return True


@_jit
def _boundary(day: Any, relapse: Any, r0: int, r1: int, b: int, o: Any) -> float:
    """The day after which the reference b no longer counts, because of the next relapse; infinite if it stays."""
    if o.after_relapse:
        for r in range(r0, r1):
            if relapse[r] > day[b]:
                return float(relapse[r] + o.wait)
    return _NEVER


@_jit
def _after_relapse(day: Any, b: int, z: int, onset: float) -> int:
    while b < z and day[b] < onset:
        b += 1
    return b


@_jit
def _scan_patient(
    a: int, z: int, r0: int, r1: int, day: Any, value: Any, worse: Any, better: Any, fit: Any,
    relapse: Any, since: Any, until: Any, visits: Any, o: Any, out: Any, p: int,
) -> None:  # fmt: skip
    b = _first_reference(day, since, until, a, z, o)
    out.first_reference[p] = b
    if b < 0:
        return
    s = b + 1
    while not o.from_first_visit and s < z and day[s] <= 0:
        s += 1
    floor = s
    out.last_confirmable[p] = _last_confirmable(day, fit, since, until, floor, z, o)
    small = o.small_worse or o.small_better
    bv, last_bv = b, -1
    held = 0  # the kind of a change that was counted and goes on
    last_x = -1  # the last event
    n_events = 0
    boundary = _NEVER  # later visits are compared with a reference after the relapse
    crossed = False  # the search went on from a candidate: lazy re-baselining looks at where it is
    while s < z:
        if crossed and day[s] > boundary and _boundary(day, relapse, r0, r1, b, o) == boundary:
            b = _after_relapse(day, b, z, boundary - o.wait)
            bv, s = b, b + 1
        crossed = False
        while b < z and (
            since[b] < o.baseline_after
            or until[b] < o.baseline_before
            or _extreme(value, worse, better, a, z, b, o.extremes)
        ):
            b += 1
            bv = b
        if b >= z - 1:
            break
        if o.never_lower and last_bv >= 0 and value[last_bv] > value[bv]:
            bv = last_bv
        last_bv = bv
        s = max(s, b + 1)
        boundary = _boundary(day, relapse, r0, r1, b, o)
        x, kind, rebase = -1, 0, False
        y = s
        while y < z:
            rebase = day[y] > boundary and not o.lazy
            if rebase:
                break
            k = _any_change(value, bv, y) if small else _change(value, worse, better, bv, y)
            if k != held:
                held = 0
            if k != 0 and (since[y] < o.event_after or until[y] < o.event_before):
                if held == 0 and (k == 1 or not o.ignore_better):
                    _candidate(out, y, NEAR_RELAPSE, k, b, bv)
            elif k != 0 and held == 0:
                rebase = day[y] > boundary
                if rebase:
                    break
                if out.kind[y] == k and not o.lazy:
                    held = k
                elif k == 1 or o.lazy or not o.ignore_better:
                    x, kind = y, k
                    break
            y += 1
        if rebase:
            b = _after_relapse(day, b, z, boundary - o.wait)
            bv, s, held = b, max(b + 1, floor), 0
            if not o.lazy:  # what came before the last event was searched already
                s = max(s, last_x)
            continue
        if x < 0:
            break
        if kind == -1 and o.ignore_better:
            s, crossed = x + 1, True
            continue
        full = _change(value, worse, better, bv, x)
        c, reason = _confirming(day, fit, since, until, x, z, o)
        fails = -1
        if c >= 0 and full != 0:
            for i in range(x + 1 if o.every_visit else c, c + 1):
                if _change(value, worse, better, bv, i) != full:
                    fails = i
                    break
        imputed = full == 1 and x == z - 1 and day[x] - day[a] <= o.accept_last_days
        if full != 0 and ((c >= 0 and fails < 0) or imputed):
            if imputed:
                c = x
            off = c + 1
            while off < z and _change(value, worse, better, bv, off) == full:
                off += 1
            valid = True
            if o.sustained_days > 0:
                if o.every_visit:
                    valid = off == z or day[off] - day[x] >= o.sustained_days
                else:
                    i = z - 1
                    if day[z - 1] - day[x] >= o.sustained_days:
                        i = x + 1
                        while day[i] - day[x] < o.sustained_days:
                            i += 1
                    valid = _change(value, worse, better, bv, i) == full
            label = 0
            if valid:
                label = _record(
                    a, z, r0, r1, day, value, worse, better, fit, relapse, since, until, visits, o, out,
                    x, c, off, full, b, bv, imputed,
                )  # fmt: skip
                n_events += 1
                last_x = x
            else:
                _candidate(out, x, NOT_SUSTAINED, full, b, bv)
            skipped = (o.stop_at == 3 and label == RAW) or (o.stop_at == 4 and label != RAW)
            crossed = o.lazy and not (skipped and valid and not o.move_on_worse)
            if imputed:
                s = x + 1
            elif (full == 1 and o.move_on_worse) or (full == -1 and o.move_on_better):
                b = _new_reference(value, x, c, o.move_to)
                bv, s, held = b, b + 1, 0
            elif o.search_again == 0:
                s, held = c + 1, full
            else:
                s = c + 1 if o.search_again == 1 and valid else x + 1
            if o.stop_at == 5 and n_events > 1:
                break
            if valid and (
                (o.stop_at == 1 and full == 1)
                or (o.stop_at == 2 and full == -1)
                or (o.stop_at == 3 and label == PIRA)
                or (o.stop_at == 4 and label == RAW)
            ):
                break
            continue
        if c >= 0 and (
            (kind == 1 and o.small_worse and o.move_on_worse)
            or (kind == -1 and o.small_better and o.move_on_better)
        ):
            holds = True
            for i in range(x + 1 if o.every_visit else c, c + 1):
                if _any_change(value, bv, i) != kind:
                    holds = False
                    break
            if holds:
                b = _new_reference(value, x, c, o.move_to)
                bv, s, held = b, b + 1, 0
                crossed = o.lazy
                continue
        if full != 0:
            if c >= 0:
                reason = NOT_HELD if o.every_visit else CONFIRMER_NOT_WORSE
            _candidate(out, x, reason, full, b, bv)
        crossed = o.lazy
        s = fails if fails >= 0 and o.every_visit and not small and not o.lazy else x + 1


@_jit
def _new_reference(value: Any, x: int, c: int, move_to: int) -> int:
    if move_to == 0:
        return c
    lowest = x
    if move_to == 2:
        for i in range(x + 1, c + 1):
            if value[i] < value[lowest]:
                lowest = i
    return lowest


@_jit
def _candidate(out: Any, x: int, reason: int, kind: int, b: int, bv: int) -> None:
    out.reason[x] = reason
    out.reason_kind[x] = kind
    out.reason_reference[x] = b
    out.reason_value[x] = bv


@_jit
def _record(
    a: int, z: int, r0: int, r1: int, day: Any, value: Any, worse: Any, better: Any, fit: Any, relapse: Any,
    since: Any, until: Any, visits: Any, o: Any, out: Any,
    x: int, c: int, off: int, kind: int, b: int, bv: int, imputed: bool,
) -> int:  # fmt: skip
    out.kind[x] = kind
    out.reference[x], out.reference_value[x] = b, bv
    out.confirmed[x] = -1 if imputed else c
    out.sustained[x] = off - 1
    start = x
    while start - 1 > b and _change(value, worse, better, bv, start - 1) == kind:
        start -= 1
    out.before[x] = start - 1
    visits[REFERENCE], visits[PREVIOUS], visits[EVENT] = b, x - 1, x
    visits[LAST_LOWER] = _last_lower(value, worse, better, a, z, x, c, kind, o)
    associated = since[x] <= o.raw_after or until[x] <= o.raw_before
    if o.raw_from_onset:
        associated = associated or since[start] <= o.raw_after or until[start] <= o.raw_before
    label = RAW if associated else UNDEFINED
    out.confirmed_pira[x] = -1
    for w in range(out.confirmed_in.shape[1]):
        out.confirmed_in[x, w] = -1
    latest = o.latest[len(o.latest) - 1]
    for y in range(x if imputed else x + 1, z):
        gap = day[y] - day[x]
        if gap > latest or y >= off:
            break
        if not imputed and not (_in_window(gap, o) and _confirms(fit, since, until, y, o)):
            continue
        for w in range(out.confirmed_in.shape[1]):
            if not imputed and out.confirmed_in[x, w] < 0 and o.earliest[w] <= gap <= o.latest[w]:
                out.confirmed_in[x, w] = y
        if label == UNDEFINED:
            visits[CONFIRMATION] = y
            if _independent(day, relapse, r0, r1, visits, o):
                label = PIRA
                out.confirmed_pira[x] = y
    if kind == -1:
        label = 0
        out.confirmed_pira[x] = -1
    out.label[x] = label
    return label


def _scan_all(
    offsets: Any,
    roffsets: Any,
    day: Any,
    value: Any,
    worse: Any,
    better: Any,
    fit: Any,
    relapse: Any,
    o: Any,
    out: Any,
) -> None:
    since, until = np.empty(len(day)), np.empty(len(day))
    visits = np.zeros(5, dtype=np.int64)
    for p in range(len(offsets) - 1):
        a, z, r0, r1 = offsets[p], offsets[p + 1], roffsets[p], roffsets[p + 1]
        _distances(day, relapse, a, z, r0, r1, since, until)
        _scan_patient(a, z, r0, r1, day, value, worse, better, fit, relapse, since, until, visits, o, out, p)


_compiled = numba.njit(cache=True)(_scan_all)


def scan(
    offsets: NDArray[np.int64],
    relapse_offsets: NDArray[np.int64],
    day: NDArray[np.float64],
    value: NDArray[np.float64],
    worse: NDArray[np.float64],
    better: NDArray[np.float64],
    fit: NDArray[np.bool_],
    relapse: NDArray[np.float64],
    options: Options,
) -> Scan:
    """Find the events of all patients: the visits of patient p are offsets[p] to offsets[p + 1] − 1, by day."""
    n, patients = len(day), len(offsets) - 1

    def none(shape: int | tuple[int, int]) -> NDArray[np.int64]:
        return np.full(shape, -1, dtype=np.int64)

    def zeros() -> NDArray[np.int8]:
        return np.zeros(n, dtype=np.int8)

    out = Scan(
        zeros(), none(n), none(n), none(n), none((n, len(options.earliest))), none(n), none(n), none(n), zeros(),
        zeros(), zeros(), none(n), none(n), none(patients), none(patients),
    )  # fmt: skip
    _compiled(offsets, relapse_offsets, day, value, worse, better, fit, relapse, options, out)
    return out


def _search(
    offsets: Any, roffsets: Any, day: Any, there: Any, fit: Any, relapse: Any, o: Any, for_good: bool,
    start: Any, reached: Any, confirmed: Any, last: Any, before: Any,
) -> None:  # fmt: skip
    since, until = np.empty(len(day)), np.empty(len(day))
    for p in range(len(offsets) - 1):
        a, z = offsets[p], offsets[p + 1]
        _distances(day, relapse, a, z, roffsets[p], roffsets[p + 1], since, until)
        if a == z:
            continue
        s = a
        if not o.from_first_visit:
            while s < z and day[s] <= 0:
                s += 1
            if s > a and day[s - 1] >= -o.baseline_days:
                s -= 1
        if s == z:
            continue
        start[p] = s
        if for_good:
            x = z
            while x > s and there[x - 1]:
                x -= 1
            if x < z - 1:
                reached[p] = x
            last[p] = z - 2 if z - 2 >= s else -1
        else:
            x = s
            while x < z:
                if there[x]:
                    c, _ = _confirming(day, fit, since, until, x, z, o)
                    holds = c >= 0
                    i = x + 1 if o.every_visit else c
                    while holds and i <= c:
                        holds = there[i]
                        i += 1
                    off = c + 1
                    while holds and off < z and there[off]:
                        off += 1
                    if holds and o.sustained_days > 0:
                        holds = off == z or day[off] - day[x] >= o.sustained_days
                    if not holds and x == z - 1 and 0 < o.accept_last_days >= day[x] - day[a]:
                        holds, c = True, -1
                    if holds:
                        reached[p], confirmed[p] = x, c
                        break
                x += 1
            for x in range(z - 1, s - 1, -1):
                c, _ = _confirming(day, fit, since, until, x, z, o)
                if c >= 0 or (x == z - 1 and o.accept_last_days > 0):
                    last[p] = x
                    break
        if reached[p] >= 0:
            x = reached[p] - 1
            while x >= s and there[x]:
                x -= 1
            before[p] = x if x >= s else -1


_compiled_search = numba.njit(cache=True)(_search)


def first_at(
    offsets: NDArray[np.int64],
    relapse_offsets: NDArray[np.int64],
    day: NDArray[np.float64],
    there: NDArray[np.bool_],
    fit: NDArray[np.bool_],
    relapse: NDArray[np.float64],
    options: Options,
    for_good: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find by patient the index of: the first visit searched, where it was reached, confirmed, the last that could be, the last below."""
    out = tuple(np.full(len(offsets) - 1, -1, dtype=np.int64) for _ in range(5))
    _compiled_search(offsets, relapse_offsets, day, there, fit, relapse, options, for_good, *out)
    return out  # type: ignore[return-value]
