"""Patient effects and EDSS scores drawn from the ordinal mixed model."""

from __future__ import annotations

import numpy as np

from trajectories.cohort import DAYS_PER_YEAR
from trajectories.edss import LEVELS
from trajectories.simulation.averaging import FloatArray
from trajectories.simulation.cohort_truth import CohortTruth
from trajectories.simulation.schedule import IntArray
from trajectories.simulation.truth import OrdinalTruth, covariate_part


def draw_effects(
    patients: int, sds: tuple[float, float], correlation: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw correlated normal intercepts and slopes, one pair a patient."""
    z = rng.standard_normal((patients, 2))
    slope = correlation * z[:, 0] + np.sqrt(1 - correlation**2) * z[:, 1]
    return sds[0] * z[:, 0], sds[1] * slope


def draw_edss(
    truth: CohortTruth,
    days: IntArray,
    *,
    score: np.random.Generator,
    fluctuation: np.random.Generator,
    rater: np.random.Generator,
) -> FloatArray:
    """Draw the EDSS that the rater writes at each visit: (patients, visits), for visits on `days` in order.

    One uniform number a visit is compared with P(EDSS ≤ level k): at the same seed a patient whose linear
    predictor does not change keeps the score.
    """
    latent = linear_predictor(truth, days / DAYS_PER_YEAR)
    latent = latent + draw_fluctuation(truth.disability, days, fluctuation)
    below = _below(truth.disability, latent)
    codes = (score.random(days.shape)[..., None] > below).sum(axis=-1)
    return LEVELS[_misrated(codes, truth.disability.misrating, rater)]


def linear_predictor(truth: CohortTruth, years: FloatArray) -> FloatArray:
    """η without fluctuation, (patients, visits): the arm's line, covariates and patient effects."""
    disability, table = truth.disability, truth.table
    arms = table["arm"].astype(str).to_numpy()
    fixed = np.empty_like(years)
    for arm in truth.arms:
        fixed[arms == arm] = disability.fixed(arm, years[arms == arm])
    intercept = covariate_part(disability.effects, table) + table["intercept"].to_numpy()
    slope = covariate_part(disability.slope_effects, table) + table["slope"].to_numpy()
    total: FloatArray = fixed + intercept[:, None] + slope[:, None] * years
    return total


def _below(disability: OrdinalTruth, latent: FloatArray) -> FloatArray:
    """P(EDSS ≤ level k) given the linear predictor, cutpoints along the last axis."""
    return disability.distribution(np.asarray(disability.cutpoints) - latent[..., None])


def draw_fluctuation(disability: OrdinalTruth, days: IntArray, rng: np.random.Generator) -> FloatArray:
    """Draw a stationary Ornstein–Uhlenbeck process at the visits: (patients, visits)."""
    z = rng.standard_normal(days.shape)
    process = z.copy()
    kept = np.exp(-np.diff(days, axis=1) / disability.fluctuation_days)
    for j in range(1, days.shape[1]):
        rho = kept[:, j - 1]
        process[:, j] = rho * process[:, j - 1] + np.sqrt(1 - rho**2) * z[:, j]
    return disability.fluctuation_sd * process


def _misrated(codes: IntArray, probability: float, rng: np.random.Generator) -> IntArray:
    """Move a share of the codes by one level, to either side alike, inwards at the ends of the scale."""
    drawn = rng.random(codes.shape)
    step = np.where(drawn < probability / 2, -1, np.where(drawn < probability, 1, 0))
    step = np.where((codes == 0) | (codes == len(LEVELS) - 1), np.sign(9 - codes) * np.abs(step), step)
    moved: IntArray = codes + step
    return moved
