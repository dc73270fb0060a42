"""One model fitted by every method that can fit it, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from trajectories.cohort import Cohort
from trajectories.fitting.fit import Fit
from trajectories.fitting.nuts import sample
from trajectories.fitting.point import PointFit, maximise
from trajectories.models.base import MixedModel
from trajectories.models.counts import CountModel
from trajectories.models.gaussian import GaussianMixed

__all__ = ["CrossCheck", "cross_check"]

NUTS, ML, LAPLACE, REML, GEE = "NUTS", "maximum likelihood", "Laplace", "REML", "GEE"

# How far estimates may lie apart, in standard errors of maximum likelihood, before it is called a disagreement: what priors and skewness do
# to coefficients and to standard deviations; the approximation of the integral; another estimator's use of the same rows.
ALLOWED = {NUTS: (0.5, 1.0), LAPLACE: (0.5, 1.0), REML: (0.5, 1.0), GEE: (1.5, np.inf)}
# How much wider or narrower an interval may be.
WIDER = 1.5


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CrossCheck:
    """The estimates of several methods; made by `cross_check`.

    Parameters
    ----------
    model
        What was fitted.
    fits
        The fits by method.
    """

    model: MixedModel
    fits: Mapping[str, Fit | PointFit] = field(repr=False)

    def summary(self) -> pd.DataFrame:
        """Set the methods side by side.

        Returns
        -------
        One row a term and method: `estimate` (a posterior mean for NUTS), `se` (a posterior sd), `apart` (difference from maximum likelihood
        in its standard errors), `ratio` (of the standard errors), `disagrees`. The intercepts of GEE, which are population averages,
        are not compared.
        """
        frames = {method: self._frame(method) for method in self.fits}
        base, parts = frames[ML], []
        for method in self.fits:
            frame = frames[method].join(base.add_suffix("_ml"), how="inner")
            apart = (frame["estimate"] - frame["estimate_ml"]) / frame["se_ml"]
            ratio = frame["se"] / frame["se_ml"]
            part = frame[["estimate", "se"]].assign(apart=apart, ratio=ratio, method=method)
            part["disagrees"] = self._disagrees(method, part)
            parts.append(part)
        together = pd.concat(parts).set_index("method", append=True)
        order = [(term, method) for term in base.index for method in self.fits]
        return together.loc[[key for key in order if key in together.index]]

    def _frame(self, method: str) -> pd.DataFrame:
        found = self.fits[method].summary().rename(columns={"mean": "estimate", "sd": "se"})
        if method == GEE:
            found = found.drop(index="intercept")
        return found[["estimate", "se"]]

    def _disagrees(self, method: str, part: pd.DataFrame) -> pd.Series:
        if method == ML:
            return pd.Series(False, index=part.index)
        spread = part.index.str.match(r"sd\(|cor\(|dispersion|residual")
        allowed = np.where(spread, ALLOWED[method][1], ALLOWED[method][0])
        too_far = part["apart"].abs() > allowed
        if method == GEE:  # robust, and of a marginal model: only its place is compared
            return too_far
        too_wide = ~spread & ((part["ratio"] > WIDER) | (part["ratio"] < 1 / WIDER))
        return too_far | too_wide

    @property
    def disagreements(self) -> pd.DataFrame:
        """The rows of the summary that lie further apart than the methods explain."""
        frame = self.summary()
        return frame[frame["disagrees"]]

    def __str__(self) -> str:
        frame = self.summary()
        odd = frame[frame["disagrees"]]
        design = next(iter(self.fits.values())).design
        limits = "; ".join(
            f"{method}: {ALLOWED[method][0]:g}"
            + (
                f" (standard deviations and the like {ALLOWED[method][1]:g})"
                if np.isfinite(ALLOWED[method][1])
                else ""
            )
            for method in self.fits
            if method != ML
        )
        verdict = (
            "no estimate lies further apart than the methods explain"
            if odd.empty
            else f"{len(odd)} of {len(frame)} estimates lie further apart than the methods explain: "
            + ", ".join(f"{term} by {method}" for term, method in odd.index)
        )
        logliks = ", ".join(
            f"{method} {fit.loglik:.3f}"
            for method, fit in self.fits.items()
            if isinstance(fit, PointFit) and np.isfinite(fit.loglik)
        )
        notes = dict.fromkeys(note for fit in self.fits.values() for note in fit.caveats)
        return (
            f"{type(self.model).__name__}({self.model.formula!r}) by {', '.join(self.fits)}\n"
            f"{design.n_patients} patients, {len(design.frame)} rows of '{design.cohort_name}'; log-likelihood: {logliks}\n"
            f"{frame.round(3).to_string()}\n"
            f"  apart: difference from maximum likelihood in its standard errors; allowed: {limits}\n"
            f"  ratio: of the standard errors; allowed for coefficients by likelihood and NUTS: {1 / WIDER:.2f} to {WIDER:g}\n"
            f"  {verdict}" + "".join(f"\n  - {note}" for note in notes)
        )

    def __repr__(self) -> str:
        return str(self)


def cross_check(
    model: MixedModel,
    cohort: Cohort,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int | None = None,
    progress: bool = True,
) -> CrossCheck:
    """Fit a model by NUTS, by maximum likelihood and by its relatives, and compare the estimates.

    `OrdinalMixed`: NUTS, the integrated likelihood by quadrature and by Laplace. Counts: NUTS, maximum likelihood (Laplace too with patient
    effects), and GEE where patients have several rows and the formula at most a patient intercept, whose log rate ratios are then the
    same. `GaussianMixed`: NUTS, maximum likelihood and REML.

    Parameters
    ----------
    model, cohort
        What to fit to whom; a model with autocorrelation has no maximum likelihood here.
    draws, tune, chains, seed, progress
        Of `sample`.

    Returns
    -------
    A `CrossCheck`, whose print flags estimates that lie further apart than the methods explain.

    Raises
    ------
    ConvergenceError, FormulaError, ValueError, NotImplementedError
        As `sample` and `maximise`.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> model = models.RelapseCounts("relapses ~ period + (1 | patient)")
    >>> check = cross_check(model, tj.simulated_alemtuzumab_35(), seed=1, progress=False)  # doctest: +SKIP
    >>> check.disagreements.empty  # doctest: +SKIP
    True
    """
    fits: dict[str, Fit | PointFit] = {ML: maximise(model, cohort, progress=progress)}
    design = fits[ML].design
    if isinstance(model, GaussianMixed):
        fits[REML] = maximise(model, cohort, method="reml")
    elif design.effects:
        fits[LAPLACE] = maximise(model, cohort, quadrature=1, progress=progress)
    several = int(np.bincount(design.patient).max()) > 1
    if isinstance(model, CountModel) and several and len(design.effects) <= 1:
        fits[GEE] = maximise(model, cohort, method="gee")
    fits[NUTS] = sample(model, cohort, draws=draws, tune=tune, chains=chains, seed=seed, progress=progress)
    return CrossCheck(model=model, fits=fits)
