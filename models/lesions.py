"""The count model of MRI lesions: negative binomial or Poisson counts a scan, with effects that vary by patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from trajectories.cohort import Cohort
from trajectories.formulas import Matrices
from trajectories.models.blocks.lesion_rows import lesion_design
from trajectories.models.counts import CountModel, CountPriors
from trajectories.models.design import Design
from trajectories.priors import Exponential, HalfNormal, Normal, Prior

__all__ = ["LesionCounts", "LesionPriors"]


@dataclass(frozen=True, kw_only=True)
class LesionPriors(CountPriors):
    """Priors of the lesion model, on the log scale of lesions a scan (enhancing) or a year (new T2).

    Lesions vary more between patients and from scan to scan than relapses do, so the scales are wider than in `RelapsePriors`.

    Parameters
    ----------
    intercept
        Of the log count of a patient with effect 0 at the means of the columns; the default says 0.02 to 50 lesions with
        probability 0.95.
    coefficients
        Of a log ratio of counts, per standard deviation of its column.
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
        Of α in Var = μ + αμ²; beside a patient effect it is what varies within a patient from scan to scan. Not used by the
        Poisson family.
    """

    intercept: Prior = Normal(0.0, 2.0)
    intercept_sd: HalfNormal | Exponential = HalfNormal(1.5)
    group_sd: HalfNormal | Exponential = HalfNormal(0.75)
    dispersion: HalfNormal | Exponential = Exponential(2.0)


@dataclass(frozen=True)
class LesionCounts(CountModel):
    """The count model of lesions: enhancing lesions a scan or new T2 lesions a year, with effects that may vary by patient.

    y_is ~ NB2(μ_is, α), Var = μ + αμ², log μ_is = log(exposure_is) + intercept + x_is'β + z_is'u_i, u_i ~ N(0, Σ), one row a
    patient i and scan s. Enhancing lesions (`gd_count`) are those seen at the scan: exposure 1. New T2 lesions (`new_t2`) came since
    the patient's scan before: the exposure is the time between the two in years, and `years` is the middle between them; a
    patient's first scan has none and is left out (and counted). Coefficients are log ratios of counts.

    Parameters
    ----------
    formula
        `gd_count ~ fixed terms + (1 | patient)` or `new_t2 ~ …`, and `+ (1 | centre)` for effects of a column of the patients, one a level,
        from one normal distribution. Besides the patients' covariates it may name `arm`, `years` (since the
        index date), `period` ("before", for scans at or before time 0, or "after"), `window` (the year since time 0) and columns of
        the scans.
    family
        "negative binomial", or "poisson" (α = 0).
    dispersion_by
        None for one α, "arm" for one an arm.
    prior
        A `LesionPriors`; None for the defaults, which `priors` shows.

    Raises
    ------
    ValueError
        If an option is none of those above; in `design`: if the cohort has no such MRI table.
    FormulaError
        In `design`: if the outcome is another, a term cannot be used, or the patient effects cannot be told apart from α because no
        patient has more scans than effects.

    Source: Sormani et al. (1999), Journal of the Neurological Sciences 163:74 (negative binomial counts of enhancing lesions).

    >>> LesionCounts("gd_count ~ years + arm + (1 | patient)").priors.dispersion
    Exponential(mean=2.0)
    """

    prior: LesionPriors | None = field(default=None, kw_only=True)

    @property
    def priors(self) -> LesionPriors:
        """The priors; change some with `with_priors`."""
        return LesionPriors() if self.prior is None else self.prior

    def design(self, cohort: Cohort) -> Design:
        """Make the design: one row a scan in which the lesions were counted."""
        return self._check(lesion_design(self.formula, cohort), "")

    def lesion_free(
        self,
        parameters: xr.Dataset,
        matrices: Matrices,
        years: float = 1.0,
        *,
        arms: Sequence[str] | None = None,
    ) -> xr.DataArray:
        """Probability that a scan of a new patient shows no such lesion, patient effects integrated out: chain × draw × row.

        Parameters
        ----------
        parameters, matrices, arms
            As in `CountModel.event_free`.
        years
            For new T2 lesions, the time since the scan before; enhancing lesions have no such time, and 1 is a scan.

        Raises
        ------
        ValueError
            If `years` is not positive, or not 1 for enhancing lesions.
        """
        if not (np.isfinite(years) and years > 0):
            raise ValueError(f"years must be a positive number, not {years}.")
        if self.formula.split("~")[0].strip() == "gd_count" and years != 1:
            raise ValueError("years= is only for new T2 lesions: enhancing lesions are those of one scan.")
        return self.event_free(parameters, matrices, years, arms=arms).rename("lesion_free")
