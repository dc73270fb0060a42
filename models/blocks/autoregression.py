"""Visits in the order of time: which visit of the same patient came before, and correlated noise along them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from trajectories.models.blocks.densities import autoregression
from trajectories.models.design import Design, Floats, Ints

__all__ = ["VisitOrder", "along_visits", "correlated_noise", "visit_order", "with_earlier"]


@dataclass(frozen=True, kw_only=True, eq=False)
class VisitOrder:
    """For every row the previous visit of the same patient.

    Parameters
    ----------
    previous
        Its row; the row itself for a first visit.
    gap
        Years since it; 1 for a first visit, which `follows` takes out again.
    follows
        1.0 where there is one, 0.0 at a first visit.
    position
        How many visits the patient had before.
    """

    previous: Ints
    gap: Floats
    follows: Floats
    position: Ints


def visit_order(design: Design) -> VisitOrder:
    """Find each visit's predecessor, whatever the order of the rows."""
    return _visit_order(design.patient, design.frame["years"].to_numpy(dtype=float))


def _visit_order(patient: Ints, years: Floats) -> VisitOrder:
    """Order visits by patient and time.

    >>> order = _visit_order(np.array([0, 1, 0]), np.array([2.0, 0.0, 0.5]))
    >>> order.previous.tolist(), order.gap.tolist(), order.follows.tolist()
    ([2, 1, 2], [1.5, 1.0, 1.0], [1.0, 0.0, 0.0])
    """
    order = np.lexsort((years, patient))
    follows = np.zeros(len(order))
    previous = np.arange(len(order))
    later = np.flatnonzero(patient[order][1:] == patient[order][:-1]) + 1
    previous[order[later]] = order[later - 1]
    follows[order[later]] = 1.0
    gap = np.where(follows > 0, years - years[previous], 1.0)
    starts = np.maximum.accumulate(np.where(follows[order] > 0, 0, np.arange(len(order))))
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order)) - starts
    return VisitOrder(previous=previous, gap=gap, follows=follows, position=position)


def with_earlier(order: VisitOrder) -> tuple[Ints, Ints, Floats]:
    """Pair every visit with itself and each earlier visit of the patient: its row, the earlier one's, and the years between.

    >>> order = _visit_order(np.array([0, 1, 0]), np.array([2.0, 0.0, 0.5]))
    >>> [part.tolist() for part in with_earlier(order)]
    [[0, 1, 2, 0], [0, 1, 2, 2], [0.0, 0.0, 0.0, 1.5]]
    """
    rows = np.arange(len(order.position))
    earlier, years = rows, np.zeros(len(rows))
    parts = [(rows, earlier, years)]
    while (order.follows[earlier] > 0).any():
        further = order.follows[earlier] > 0
        rows, earlier, years = rows[further], earlier[further], years[further]
        years, earlier = years + order.gap[earlier], order.previous[earlier]
        parts.append((rows, earlier, years))
    row, source, between = (np.concatenate(part) for part in zip(*parts, strict=True))
    return row, source, between


def correlated_noise(order: VisitOrder, sd: ArrayLike, time_range: ArrayLike, independent: Floats) -> Floats:
    """Turn independent standard normal noise (samples × rows) into continuous-time AR(1) noise along each patient's visits.

    e_j = ρ e_{j−1} + sd √(1 − ρ²) ε_j with ρ = exp(−gap / time_range); the first visit has e_1 = sd ε_1.
    """
    spread, years = np.asarray(sd, dtype=float)[:, None], np.asarray(time_range, dtype=float)[:, None]
    correlation, share = autoregression(order.gap, order.follows, years, np)
    return along_visits(order, correlation, spread * np.sqrt(share) * independent)


def along_visits(order: VisitOrder, passed: Floats, new: Floats) -> Floats:
    """Sum up a recursion along each patient's visits: e_j = passed_j e_{j−1} + new_j (samples × rows), e_1 = new_1."""
    total = np.array(new)
    for position in range(1, int(order.position.max(initial=0)) + 1):
        rows = np.flatnonzero(order.position == position)
        total[:, rows] += passed[:, rows] * total[:, order.previous[rows]]
    return total
