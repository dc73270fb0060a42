"""The compiled search for a milestone: the first visit at a level that is confirmed, or never left again."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from trajectories.endpoints.kernel import Options, _confirming, _distances

__all__ = ["first_at"]

type IntArray = NDArray[np.int64]


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


_compiled = numba.njit(cache=True)(_search)


def first_at(
    offsets: IntArray,
    relapse_offsets: IntArray,
    day: NDArray[np.float64],
    there: NDArray[np.bool_],
    fit: NDArray[np.bool_],
    relapse: NDArray[np.float64],
    options: Options,
    for_good: bool,
) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray]:
    """Find by patient the index of: the first visit searched, where it was reached, confirmed, the last that could be, the last below."""
    out = tuple(np.full(len(offsets) - 1, -1, dtype=np.int64) for _ in range(5))
    _compiled(offsets, relapse_offsets, day, there, fit, relapse, options, for_good, *out)
    return out  # type: ignore[return-value]
