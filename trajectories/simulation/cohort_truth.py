"""What is true of a simulated cohort: parameters, patient effects and the averages they imply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from trajectories import edss
from trajectories.simulation.averaging import FloatArray
from trajectories.simulation.truth import OrdinalTruth, RelapseTruth, covariate_part

type Times = float | Sequence[float] | FloatArray


@dataclass(frozen=True, kw_only=True)
class CohortTruth:
    """Parameters behind a simulated cohort, with the exact population averages that a fit should recover.

    Averages are over new patients: the patient effects are integrated over N(0, Σ) (a one-dimensional
    integral, since u0 + u1·t + f is normal), and the covariates are those of all patients of the cohort, set
    to the arm asked for.

    Parameters
    ----------
    arms
        Names of the arms, the reference arm first.
    disability, relapses
        The true parameters; `relapses` is None for a cohort without a relapse table.
    seed
        The seed of the simulation.
    table
        One row a patient: `patient`, `arm`, `intercept` and `slope` (u0, u1), `log_rate` (b), `frailty` (g),
        and the covariates that have an effect.

    Examples
    --------
    >>> from trajectories.simulate import simulate_cohort
    >>> truth = simulate_cohort(patients={"ocrelizumab": 40, "fingolimod": 40}, seed=1).truth
    >>> round(float(truth.change("ocrelizumab", at=2.0)), 3)
    0.359
    """

    arms: tuple[str, ...]
    disability: OrdinalTruth
    relapses: RelapseTruth | None
    seed: int
    table: pd.DataFrame = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", self.table.copy())

    @property
    def patients(self) -> pd.DataFrame:
        """Patient effects and covariates, one row a patient, safe to change."""
        return self.table.copy()

    def level_probabilities(self, arm: str, at: Times, *, rated: bool = False) -> xr.DataArray:
        """P(EDSS = level) in an arm at each time, averaged over patients.

        Parameters
        ----------
        arm
            One of `arms`.
        at
            Years since treatment start, one number or several.
        rated
            With the rater's error (`misrating`); otherwise the EDSS that an exact rater would write.

        Returns
        -------
        DataArray
            Dims `years` (absent for a single number) and `level` (20 levels).

        Raises
        ------
        ValueError
            If there is no such arm.
        """
        self._check(arm)
        years = np.asarray(at, dtype=np.float64)
        by_time = np.stack([self._probabilities(arm, t) for t in np.atleast_1d(years)])
        if rated:
            by_time = self.disability.rated(by_time)
        by_level = xr.DataArray(
            by_time, dims=("years", "level"), coords={"years": np.atleast_1d(years), "level": edss.LEVELS}
        )
        return by_level if years.ndim else by_level.isel(years=0)

    def expected_edss(self, arm: str, at: Times, *, rated: bool = False) -> xr.DataArray:
        """Mean EDSS of an arm at each time: Σ level · P(EDSS = level); arguments as `level_probabilities`."""
        probabilities = self.level_probabilities(arm, at, rated=rated)
        return (probabilities * probabilities["level"]).sum("level")

    def change(self, arm: str, at: Times, *, since: float = 0.0, rated: bool = False) -> xr.DataArray:
        """Mean EDSS of an arm at each time minus at `since` (years); negative is improvement."""
        change: xr.DataArray = self.expected_edss(arm, at, rated=rated) - self.expected_edss(
            arm, since, rated=rated
        ).drop_vars("years")
        return change

    def relapse_rate(self, arm: str, period: tuple[float, float] = (0.0, 1.0)) -> float:
        """Relapses a person-year of an arm in a period (start, end in years), all relapses over all years.

        Averaged over patients that are all observed throughout: the mean of exp(x'effects) over the cohort's
        patients, times exp(patient_sd² / 2), times the rates before and after the start, weighted by their
        share. It counts every onset drawn, also the few that have no room 30 days after the one before and that
        `read_cohort` therefore merges, so the rate in the cohort's table is lower: in 20,000 patients with the
        default visits by 0.4 % before and 0.1 % after the start at the default rates (1.5 and 0.3 a year, frailty
        0.5), by 2 % before it at 3 a year, but by 15 % before it where patients differ much more (`patient_sd=1`
        beside that frailty), as some then have a relapse nearly every month. The cohort's notes count them.

        Raises
        ------
        ValueError
            If there is no such arm, the cohort has no relapses, or the period does not end after its start.
        """
        self._check(arm)
        if self.relapses is None:
            raise ValueError("this cohort was simulated without relapses")
        if not period[1] > period[0]:
            raise ValueError(f"the period must end after its start, got {period}")
        covariates = np.exp(covariate_part(self.relapses.effects, self.table)).mean()
        return float(self.relapses.average_rate(arm, period) * covariates)

    def _check(self, arm: str) -> None:
        if arm not in self.arms:
            raise ValueError(f"there is no arm {arm!r}; the arms are {', '.join(self.arms)}")

    def _probabilities(self, arm: str, years: float) -> FloatArray:
        shift = covariate_part(self.disability.effects, self.table)
        shift = shift + years * covariate_part(self.disability.slope_effects, self.table)
        # Patients with the same covariates share one integral.
        values, counts = np.unique(shift, return_counts=True)
        times = np.full(len(values), years)
        by_value = self.disability.averaged(self.disability.fixed(arm, times) + values, times)
        averaged: FloatArray = counts @ by_value / counts.sum()
        return averaged
