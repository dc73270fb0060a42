"""Simulated courses as in a registry, where relapses leave steps and EDSS fluctuates."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

import trajectories as tj

LEVELS = np.array([1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0])
SHARES = np.array([14, 18, 15, 14, 12, 10, 6, 4, 3, 4]) / 100


def on_scale(values: np.ndarray) -> np.ndarray:
    """The nearest level of the EDSS."""
    rounded = np.clip(np.rint(2 * values) / 2, 0, 10)
    return np.where(rounded == 0.5, 1.0, rounded)


def cohort_of(day: np.ndarray, edss: np.ndarray, relapses: pd.DataFrame) -> tj.Cohort:
    patient = np.repeat(np.arange(len(edss)), edss.shape[1])
    visits = pd.DataFrame({"patient": patient, "day": day.ravel(), "edss": on_scale(edss).ravel()})
    return tj.read_cohort(visits, relapses=relapses)


def registry(n: int, *, years: int = 4, seed: int = 1) -> tj.Cohort:
    """A registry of a drug begun after relapses, as the Tysabri Observational Program: half-yearly visits for years.

    Many begin above their usual EDSS and come down in the first year; one in five drifts upwards; a relapse every four
    years, of which one in four leaves a step; fluctuation.
    """
    rng = np.random.default_rng(seed)
    k = 2 * years + 1
    gaps = np.maximum(rng.normal(182, 20, (n, k - 1)), 60)
    day = np.cumsum(np.column_stack([np.zeros(n), gaps]), axis=1).astype(int)
    t = day / 365.25
    wave = rng.normal(size=(n, k))
    for visit in range(1, k):
        wave[:, visit] = 0.5 * wave[:, visit - 1] + math.sqrt(0.75) * wave[:, visit]
    begin = np.where(rng.random((n, 1)) < 0.6, rng.uniform(0.5, 2.0, (n, 1)), 0.0) * np.exp(-t / 0.4)
    drift = np.where(rng.random((n, 1)) < 0.2, rng.uniform(0.1, 0.45, (n, 1)), 0.0) * t
    edss = rng.choice(LEVELS, p=SHARES, size=(n, 1)) + begin + drift + 0.3 * wave
    rows = []
    for patient in range(n):
        for onset in np.sort(rng.integers(1, day[patient, -1], rng.poisson(0.25 * years))):
            rows.append((patient, int(onset)))
            since = day[patient] - onset
            edss[patient] += np.where((since >= 0) & (since < 90), 1.5, 0.0)
            edss[patient] += np.where(since >= 0, rng.choice([0.0, 0.0, 0.0, 1.0]), 0.0)
    return cohort_of(day, edss, pd.DataFrame(rows, columns=["patient", "day"]))
