"""Relapse onsets: counts by gamma–Poisson in stretches of follow-up, then days at least 30 days apart."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from trajectories.cohort import DAYS_PER_YEAR
from trajectories.simulation.averaging import FloatArray
from trajectories.simulation.schedule import IntArray
from trajectories.simulation.truth import RelapseTruth, by_arm

MINIMUM_GAP_DAYS = 30  # closer onsets are one relapse, in the field's definition


def draw_onsets(
    truth: RelapseTruth,
    *,
    arms: list[str],
    multiplier: FloatArray,
    span: tuple[int, int],
    before: np.random.Generator,
    after: np.random.Generator,
) -> pd.DataFrame:
    """Draw relapse onsets: one row a relapse, `row` (position of the patient) and `day` since the start.

    Counts are drawn for every stretch between whole years and between `truth.periods`, so that the counts of
    windows that begin and end there follow the model exactly. The onsets of a stretch then fall at least 30
    days apart and at least 30 days after the one before; only where there is no room for that (13 in a year,
    2 in the weeks between the first possible visit and a year before the start) they fall closer, and
    `read_cohort` merges and counts them.

    Two generators, so that what happens before the start does not depend on the rates after it.
    """
    edges = _edges(span, truth.periods)
    last = np.full(len(arms), np.iinfo(np.int32).min, dtype=np.int64)
    rows: list[tuple[int, int]] = []
    for treated, rng in ((False, before), (True, after)):
        stretches = [(a, b) for a, b in pairwise(edges) if (a >= 0) == treated]
        noise = _period_multipliers(truth, arms, stretches, rng)
        base = np.array([truth.rate(arm, after=treated) for arm in arms])
        for (start, end), by_period in zip(stretches, noise, strict=True):
            counts = rng.poisson(base * multiplier * by_period * (end - start) / DAYS_PER_YEAR)
            for i in np.flatnonzero(counts):
                days = _place(int(counts[i]), start, end, int(last[i]), rng)
                last[i] = days[-1]
                rows.extend((int(i), int(day)) for day in days)
    return pd.DataFrame(rows, columns=["row", "day"], dtype=np.int64).sort_values(
        ["row", "day"], kind="stable"
    )


def _edges(span: tuple[int, int], periods: tuple[float, ...]) -> list[int]:
    """Days that separate the stretches: whole years, the periods, the ends (the last day is observed)."""
    first, end = span[0], span[1] + 1
    whole = range(int(np.floor(first / DAYS_PER_YEAR)), int(np.ceil(end / DAYS_PER_YEAR)) + 1)
    inner = {round(year * DAYS_PER_YEAR) for year in (*whole, *periods)}
    return sorted({first, end, *(day for day in inner if first < day < end)})


def _period_multipliers(
    truth: RelapseTruth, arms: list[str], stretches: list[tuple[int, int]], rng: np.random.Generator
) -> list[FloatArray]:
    """Gamma multipliers by stretch, each an array over patients; stretches of one period share theirs."""
    variances = np.array([by_arm(truth.dispersion, arm) for arm in arms])
    cuts = np.rint(np.asarray(truth.periods) * DAYS_PER_YEAR)
    drawn: dict[int, FloatArray] = {}
    for start, _ in stretches:
        period = int((cuts <= start).sum())
        if period not in drawn:
            drawn[period] = gamma_multiplier(variances, rng)
    return [drawn[int((cuts <= start).sum())] for start, _ in stretches]


def gamma_multiplier(variances: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Gamma draws with mean 1 and the given variances; 1 where the variance is 0."""
    shape = 1.0 / np.where(variances > 0, variances, 1.0)
    return np.where(variances > 0, rng.gamma(shape) / shape, 1.0)


def _place(count: int, start: int, end: int, previous: int, rng: np.random.Generator) -> IntArray:
    """Days of `count` onsets in [start, end), 30 days apart and after `previous` where there is room."""
    earliest = max(start, previous + MINIMUM_GAP_DAYS)
    room = end - earliest - (count - 1) * MINIMUM_GAP_DAYS
    if room > 0:
        return np.sort(rng.integers(0, room, size=count)) + MINIMUM_GAP_DAYS * np.arange(count) + earliest
    return np.sort(rng.permutation(np.arange(start, end))[:count])
