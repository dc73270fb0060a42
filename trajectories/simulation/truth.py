"""The parameters of a simulation: disability and relapses, as the models of this package define them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from trajectories.simulation.averaging import FloatArray, Link, average_cumulative, logistic, probabilities_of

# Invented, with the spread of a relapsing clinic population: EDSS mean 3.1, SD 1.9, with the patient SD
# below.
TYPICAL_CUTPOINTS = (
    *(-7.5, -5.2, -3.3, -1.4, 0.0, 1.2, 2.4, 3.6, 4.4, 5.0),
    *(5.6, 7.0, 8.5, 9.5, 10.5, 11.5, 12.5, 13.7, 15.1),
)


@dataclass(frozen=True, kw_only=True)
class OrdinalTruth:
    """True parameters of the ordinal mixed model that draws the EDSS.

    P(EDSS_ij ≤ level k) = F(c_k − η_ij), F the logistic or normal distribution function,
    η_ij = slope·t + arm_shift_i + arm_slope_i·t + x_i'effects + t·x_i'slope_effects + u0_i + u1_i·t + f_ij,
    (u0, u1) ~ N(0, Σ), t in years since treatment start. With `before` the line has a knot:
    before·t up to `knot`, and only from there slope and arm_slope.

    Parameters
    ----------
    cutpoints
        19 numbers in order, latent scale; coinciding ones give a level probability 0.
    slope
        Latent units a year, in the reference arm.
    arm_shift
        Latent shift by arm at every time; arms that are not named have 0.
    arm_slope
        Difference in slope by arm, latent units a year; arms that are not named have 0.
    patient_sd, slope_sd, correlation
        SD of u0, SD of u1 (a year) and their correlation.
    link
        "logit" or "probit".
    before
        Slope before the knot, the same in all arms; None draws one straight line through time 0.
    knot
        Years after treatment start at which the slope changes, when `before` is given.
    effects
        Latent shift per unit of a covariate, by its name; "sex[M]" is the indicator of a category.
    slope_effects
        The same for the slope, latent units a year per unit of the covariate.
    fluctuation_sd, fluctuation_days
        F, an Ornstein–Uhlenbeck process: SD and correlation time (correlation exp(−days apart /
        fluctuation_days)); SD 0 is off.
    misrating
        Probability that the rater writes a neighbouring level (either side alike, inwards at the ends).

    Raises
    ------
    ValueError
        If a number is out of its range; the message says which.

    Examples
    --------
    >>> OrdinalTruth(slope=0.4, arm_slope={"ocrelizumab": -0.3}).slope_of("ocrelizumab").round(6)
    np.float64(0.1)
    """

    cutpoints: tuple[float, ...] = TYPICAL_CUTPOINTS
    slope: float = 0.4
    arm_shift: Mapping[str, float] = field(default_factory=dict)
    arm_slope: Mapping[str, float] = field(default_factory=dict)
    patient_sd: float = 4.5
    slope_sd: float = 0.8
    correlation: float = 0.2
    link: Link = "logit"
    before: float | None = None
    knot: float = 0.0
    effects: Mapping[str, float] = field(default_factory=dict)
    slope_effects: Mapping[str, float] = field(default_factory=dict)
    fluctuation_sd: float = 0.0
    fluctuation_days: float = 90.0
    misrating: float = 0.0

    def __post_init__(self) -> None:
        cutpoints = np.asarray(self.cutpoints, dtype=np.float64)
        if cutpoints.shape != (19,) or np.isnan(cutpoints).any() or (cutpoints[1:] < cutpoints[:-1]).any():
            raise ValueError(f"cutpoints must be 19 numbers in order, got {self.cutpoints}")
        if self.link not in ("logit", "probit"):
            raise ValueError(f'link must be "logit" or "probit", got {self.link!r}')
        for name in ("patient_sd", "slope_sd", "fluctuation_sd"):
            not_negative(name, getattr(self, name))
        if not -1 <= self.correlation <= 1:
            raise ValueError(f"correlation must lie within -1 and 1, got {self.correlation}")
        if not self.fluctuation_days > 0:
            raise ValueError(f"fluctuation_days must be above 0, got {self.fluctuation_days}")
        if not 0 <= self.misrating <= 1:
            raise ValueError(f"misrating is a probability, got {self.misrating}")
        object.__setattr__(self, "cutpoints", tuple(float(c) for c in cutpoints))

    def slope_of(self, arm: str) -> np.float64:
        """Slope of an arm after the knot, latent units a year."""
        return np.float64(self.slope + self.arm_slope.get(arm, 0.0))

    def fixed(self, arm: str, years: FloatArray) -> FloatArray:
        """Fixed part of the latent predictor of an arm, without covariates, at each time (years)."""
        slope, shift = self.slope_of(arm), self.arm_shift.get(arm, 0.0)
        if self.before is None:
            return shift + slope * years
        return shift + self.before * np.minimum(years, self.knot) + slope * np.maximum(years - self.knot, 0.0)

    def latent_sd(self, years: FloatArray) -> FloatArray:
        """SD of u0 + u1·t + f between patients at each time: √(σ0² + 2ρσ0σ1·t + σ1²·t² + σf²)."""
        covariance = self.correlation * self.patient_sd * self.slope_sd
        variance = self.patient_sd**2 + 2 * covariance * years + (self.slope_sd * years) ** 2
        total: FloatArray = np.sqrt(np.maximum(variance, 0.0) + self.fluctuation_sd**2)
        return total

    def distribution(self, latent: FloatArray) -> FloatArray:
        """F, the distribution function of the link."""
        if self.link == "logit":
            return logistic(latent)
        from scipy.special import ndtr

        normal: FloatArray = ndtr(latent)
        return normal

    def rated(self, probabilities: FloatArray) -> FloatArray:
        """Level probabilities after misrating: a share goes to either neighbour, inwards at the ends."""
        half = self.misrating / 2
        moved = (1 - self.misrating) * probabilities
        moved[..., 1:] += half * probabilities[..., :-1]
        moved[..., :-1] += half * probabilities[..., 1:]
        moved[..., 1] += half * probabilities[..., 0]
        moved[..., -2] += half * probabilities[..., -1]
        return moved

    def averaged(self, shift: FloatArray, years: FloatArray) -> FloatArray:
        """Level probabilities (n, 20) averaged over new patients, at latent shift and time (n,)."""
        cutpoints = np.asarray(self.cutpoints)
        return probabilities_of(average_cumulative(cutpoints, shift, self.latent_sd(years), self.link))


@dataclass(frozen=True, kw_only=True)
class RelapseTruth:
    """True relapse rates and how they vary between patients.

    Relapses of patient i come at the rate r_arm(t)·exp(x_i'effects + b_i)·g_i·h_iw, b_i ~ N(0, patient_sd²),
    g_i gamma with mean 1 and variance `frailty`, h_iw gamma with mean 1 and variance `dispersion`, drawn
    anew in each period w. So with `frailty` alone any window's count is NB2 with α = frailty, correlated
    between windows; with `dispersion` alone the counts of the periods are independent NB2 with α =
    dispersion; `patient_sd` with `dispersion` is the negative binomial model with normal patient effects.

    Parameters
    ----------
    before, after
        Relapses a year before and from treatment start, for all arms or by arm, where b = 0.
    frailty
        Variance of the patient's gamma multiplier, the same before and after.
    patient_sd
        SD of the normal patient effect on the log rate.
    dispersion
        Variance of the period's gamma multiplier, for all arms or by arm.
    periods
        Years at which the period's multiplier is drawn anew; (0.0,) means before and after treatment start,
        (0.0, 1.0) one more for the years from 1.
    effects
        Shift of the log rate per unit of a covariate; "sex[M]" is the indicator of a category.
    history
        Years before treatment start from which relapses are recorded.

    Examples
    --------
    >>> relapses = RelapseTruth(before=2.0, after={"ocrelizumab": 0.1, "interferon": 0.4})
    >>> relapses.rate("ocrelizumab", after=True)
    0.1
    """

    before: float | Mapping[str, float] = 1.5
    after: float | Mapping[str, float] = 0.3
    frailty: float = 0.5
    patient_sd: float = 0.0
    dispersion: float | Mapping[str, float] = 0.0
    periods: tuple[float, ...] = (0.0,)
    effects: Mapping[str, float] = field(default_factory=dict)
    history: float = 1.0

    def __post_init__(self) -> None:
        for name in ("before", "after", "dispersion"):
            given = getattr(self, name)
            for number in given.values() if isinstance(given, Mapping) else [given]:
                not_negative(name, number)
        for name in ("frailty", "patient_sd", "history"):
            not_negative(name, getattr(self, name))

    def rate(self, arm: str, *, after: bool) -> float:
        """Relapses a year in an arm for a patient whose effects and covariates are zero."""
        return by_arm(self.after if after else self.before, arm)

    def average_rate(self, arm: str, period: tuple[float, float]) -> float:
        """Relapses a year in a period (years), averaged over new patients with covariates zero."""
        start, end = period
        share_after = (max(end, 0.0) - max(start, 0.0)) / (end - start)
        mixed = (1 - share_after) * self.rate(arm, after=False) + share_after * self.rate(arm, after=True)
        return float(mixed * np.exp(self.patient_sd**2 / 2))


@dataclass(frozen=True, kw_only=True)
class GaussianTruth:
    """True parameters of the Gaussian mixed model, whose score is not rounded to the levels of the EDSS.

    score_ij = intercept + slope·t + arm_shift_i + arm_slope_i·t + u0_i + u1_i·t + ε_ij, ε ~ N(0,
    residual_sd²), all in EDSS points; the arguments are named as in `OrdinalTruth`.

    Examples
    --------
    >>> float(GaussianTruth(intercept=3.0, slope=0.2).expected("all", np.array([2.0]))[0])
    3.4
    """

    intercept: float = 3.5
    slope: float = 0.15
    arm_shift: Mapping[str, float] = field(default_factory=dict)
    arm_slope: Mapping[str, float] = field(default_factory=dict)
    patient_sd: float = 1.6
    slope_sd: float = 0.3
    correlation: float = 0.2
    residual_sd: float = 0.6

    def __post_init__(self) -> None:
        for name in ("patient_sd", "slope_sd", "residual_sd"):
            not_negative(name, getattr(self, name))
        if not -1 <= self.correlation <= 1:
            raise ValueError(f"correlation must lie within -1 and 1, got {self.correlation}")

    def expected(self, arm: str, years: FloatArray) -> FloatArray:
        """Population mean of an arm at each time (years), in EDSS points."""
        slope = self.slope + self.arm_slope.get(arm, 0.0)
        return self.intercept + self.arm_shift.get(arm, 0.0) + slope * years


def not_negative(name: str, number: float) -> None:
    """Raise ValueError unless the number is finite and at least 0."""
    if not (np.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be a number of at least 0, got {number}")


def by_arm(given: float | Mapping[str, float], arm: str) -> float:
    """Look up a number that is given once for all arms or by arm."""
    return float(given[arm]) if isinstance(given, Mapping) else float(given)


def covariate_part(effects: Mapping[str, float], patients: pd.DataFrame) -> FloatArray:
    """Sum effect × covariate over the named covariates, by patient; "sex[M]" is 1 where sex is M."""
    total = np.zeros(len(patients))
    for term, effect in effects.items():
        column, _, category = term.removesuffix("]").partition("[")
        if column not in patients:
            raise ValueError(f"there is no covariate {column!r}; the patients have {list(patients.columns)}")
        values = patients[column]
        numbers = values.astype(str) == category if category else pd.to_numeric(values)
        if numbers.isna().any() or (category and not numbers.any()):
            raise ValueError(f"covariate {term!r} is missing for a patient, or nobody has that category")
        total += effect * numbers.to_numpy(dtype=np.float64)
    return total
