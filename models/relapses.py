"""The count model of relapses: negative binomial or Poisson, with the observed person-years as exposure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import xarray as xr

from trajectories.cohort import Cohort
from trajectories.formulas import Matrices
from trajectories.models.blocks.relapse_rows import Windows, check_windows, relapse_design
from trajectories.models.counts import CountModel, CountPriors, Family
from trajectories.models.design import Design

__all__ = ["Family", "RelapseCounts", "RelapsePriors"]


@dataclass(frozen=True, kw_only=True)
class RelapsePriors(CountPriors):
    """Priors of the count model, on the log scale of a rate per person-year.

    Parameters
    ----------
    intercept
        Of the log rate per person-year of a patient with effect 0 at the means of the columns; the default says 0.05 to 19
        relapses a year with probability 0.95.
    coefficients
        Of a log rate ratio, per standard deviation of its column.
    terms
        Of single terms by name, per unit of the term as the summary reports it; these replace `coefficients`.
    intercept_sd
        Of the patients' standard deviation on the log scale.
    slope_sd
        Of a further patient effect's standard deviation, per standard deviation of its column.
    correlation
        Of the patient effects.
    group_sd
        Of the standard deviation between the levels of a group, `(1 | centre)`, on the log scale; not used without one.
    dispersion
        Of α in Var = μ + αμ²; beside a patient effect it is what varies within a patient from window to window. Not used by
        the Poisson family.
    """


@dataclass(frozen=True)
class RelapseCounts(CountModel):
    """The count model of relapses: rates per person-year, with effects that may vary by patient.

    y_iw ~ NB2(μ_iw, α), Var = μ + αμ², log μ_iw = log(person-years_iw) + intercept + x_iw'β + z_iw'u_i, u_i ~ N(0, Σ), one row
    a patient i and window w of follow-up. Coefficients are log rate ratios. With normal patient effects the mean rate of a
    population is not exp(intercept + x'β), the rate of a patient with effect 0, but exp(intercept + x'β + z'Σz/2).

    Parameters
    ----------
    formula
        `relapses ~ fixed terms`, with `+ (1 | patient)` where patients have several windows, and `+ (1 | centre)` for effects of a
        column of the patients, one a level, from one normal distribution. Besides the patients' covariates it
        may name `arm`, `period` ("before" or "after" the index date), `window` and `years` (middle of the window's observed time).
    family
        "negative binomial", or "poisson" (α = 0).
    windows
        Edges of the windows in years from the index date, as in `relapse_windows`; the last may be None, the end of follow-up.
        No window may straddle 0.
    dispersion_by
        None for one α, "arm" for one an arm.
    prior
        A `RelapsePriors`; None for the defaults, which `priors` shows.

    Raises
    ------
    ValueError
        If an option is none of those above, or a window straddles 0.
    FormulaError
        In `design`: if the outcome is not `relapses`, a term cannot be used, or the patient effects cannot be told apart from α
        because no patient has more rows than effects.

    Source: Lawless (1987), Canadian Journal of Statistics 15:209, doi:10.2307/3314912.

    >>> RelapseCounts("relapses ~ arm * period + (1 | patient)").priors.dispersion
    Exponential(mean=1.0)
    """

    windows: Windows = field(default=(-1.0, 0.0, None), kw_only=True)
    prior: RelapsePriors | None = field(default=None, kw_only=True)

    outcome: ClassVar[str] = "relapses"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "windows", check_windows(self.windows))

    @property
    def priors(self) -> RelapsePriors:
        """The priors; change some with `with_priors`."""
        return RelapsePriors() if self.prior is None else self.prior

    def design(self, cohort: Cohort) -> Design:
        """Make the design: one row a patient and window of follow-up with observed time."""
        design = relapse_design(self.formula, cohort, self.windows)
        return self._check(
            design, ", or divide follow-up into more windows, such as windows=(-1, 0, 1, None)"
        )

    def relapse_free(
        self,
        parameters: xr.Dataset,
        matrices: Matrices,
        years: float,
        *,
        arms: Sequence[str] | None = None,
    ) -> xr.DataArray:
        """Probability that a new patient has no relapse in a time, patient effects integrated out.

        P = ∫ (1 + αμ)^(−1/α) N(u; 0, Σ) du with μ = years · exp(intercept + x'β + z'u), the time taken as one window, as negative
        binomial counts of two half windows are not those of the whole. Poisson: exp(−μ) in the integral.

        Parameters
        ----------
        parameters
            Draws, from `parameters` or a maximum-likelihood fit.
        matrices
            The formula's matrices, one row a kind of patient.
        years
            How long, in years, above 0.
        arms
            The arm of each row; needed with `dispersion_by="arm"`.

        Returns
        -------
        Probabilities, chain × draw × row.

        Raises
        ------
        ValueError
            If `years` is not positive, `arms` is needed and not given, or the parameters have no dispersion (a GEE).
        """
        if not (np.isfinite(years) and years > 0):
            raise ValueError(f"years must be a positive number, not {years}.")
        return self.event_free(parameters, matrices, years, arms=arms).rename("relapse_free")
