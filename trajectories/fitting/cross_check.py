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
from trajectories.fitting.witnesses import FAR_APART, by_mixedlm, population_averages
from trajectories.models.base import MixedModel
from trajectories.models.binary import BinaryMixed
from trajectories.models.counts import CountModel
from trajectories.models.gaussian import GaussianMixed
from trajectories.models.ordinal import OrdinalMixed
from trajectories.printing import sentence

__all__ = ["CrossCheck", "cross_check"]

NUTS, ML, LAPLACE, REML, GEE = "NUTS", "maximum likelihood", "Laplace", "REML", "GEE"
MIXEDLM = "MixedLM (statsmodels)"

# How far estimates may lie apart, in standard errors of maximum likelihood, before it is called a disagreement: what priors and skewness do
# to coefficients and to standard deviations; the approximation of the integral; another estimator's use of the same rows.
ALLOWED = {NUTS: (0.5, 1.0), LAPLACE: (0.5, 1.0), REML: (0.5, 1.0), GEE: (1.5, np.inf), MIXEDLM: (0.05, 0.05)}
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
    witnesses
        Frames with `estimate` and `se` by term of fits by other libraries.
    averages
        Of populations, by the mixed model and by a GEE; see `population_averages`. None where there is none.
    notes
        What was compared besides, and what does not apply and why.
    """

    model: MixedModel
    fits: Mapping[str, Fit | PointFit] = field(repr=False)
    witnesses: Mapping[str, pd.DataFrame] = field(default_factory=dict, repr=False)
    averages: pd.DataFrame | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def summary(self) -> pd.DataFrame:
        """Set the methods side by side.

        Returns
        -------
        One row a term and method: `estimate` (a posterior mean for NUTS), `se` (a posterior sd), `apart` (difference from maximum likelihood
        in its standard errors), `ratio` (of the standard errors), `disagrees`. The intercepts of GEE, which are population averages,
        are not compared.
        """
        frames = {method: self._frame(method) for method in self.fits} | dict(self.witnesses)
        base, parts = frames[ML], []
        for method in frames:
            frame = frames[method].join(base.add_suffix("_ml"), how="inner")
            apart = (frame["estimate"] - frame["estimate_ml"]) / frame["se_ml"]
            ratio = frame["se"] / frame["se_ml"]
            part = frame[["estimate", "se"]].assign(apart=apart, ratio=ratio, method=method)
            part["disagrees"] = self._disagrees(method, part)
            parts.append(part)
        together = pd.concat(parts).set_index("method", append=True)
        order = [(term, method) for term in base.index for method in frames]
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
        """The rows of the summary that lie further apart than the methods explain; those of `averages` say so themselves."""
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
            for method in (*self.fits, *self.witnesses)
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
        notes = dict.fromkeys([*self.notes, *(note for fit in self.fits.values() for note in fit.caveats)])
        methods = [
            *self.fits,
            *self.witnesses,
            *([f"{GEE} (of populations)"] if self.averages is not None else []),
        ]
        arms = design.target["arm"].astype(str).value_counts().reindex(list(design.arms))
        sizes = ", ".join(f"{arm} {n}" for arm, n in arms.items())
        below = [
            f"estimate, se: of NUTS the mean and sd of the posterior. {self._scale()}",
            f"apart: difference from maximum likelihood in its standard errors; allowed: {limits}",
            f"ratio: of the standard errors; allowed for coefficients by likelihood and NUTS: {1 / WIDER:.2f} to {WIDER:g}",
            verdict,
        ]
        said = "\n".join(line for text in below for line in sentence(text, bullet="  "))
        return (
            f"{type(self.model).__name__}({self.model.formula!r}){self._event()} by {', '.join(methods)}\n"
            f"{design.n_patients} patients ({sizes}), {len(design.frame)} rows of '{design.cohort_name}'; log-likelihood: {logliks}\n"
            f"{frame.round(3).to_string()}\n{said}{self._averages_said()}"
            + "".join("\n" + line for note in notes for line in sentence(str(note), bullet="  - "))
        )

    def _event(self) -> str:
        """What a binary outcome is."""
        model = self.model
        return f" of {model.event}, {model.link} link," if isinstance(model, BinaryMixed) else ""

    def _scale(self) -> str:
        """What the coefficients mean."""
        if isinstance(self.model, BinaryMixed) and self.model.link == "logit":
            return "Coefficients are log odds ratios of one patient; those of populations are nearer to 0."
        return ""

    def _averages_said(self) -> str:
        if self.averages is None:
            return ""
        odd = int(self.averages["disagrees"].sum())
        return (
            f"\n  population averages by the mixed model (estimate) and by GEE:\n{self.averages.round(3).to_string()}\n"
            f"  apart: difference in standard errors of the GEE; allowed: {FAR_APART:g}; "
            + (f"{odd} of {len(self.averages)} lie further apart" if odd else "none lies further apart")
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

    `OrdinalMixed` and `BinaryMixed`: NUTS, the integrated likelihood by quadrature and by Laplace, and statsmodels' GEE (OrdinalGEE) by
    what both say of populations, mean EDSS or the probability of the event, as the coefficients of a GEE are of another meaning. Counts:
    NUTS, maximum likelihood (Laplace too with patient effects), and GEE where patients have several rows and the formula at most a patient
    intercept, whose log rate ratios are then the same. `GaussianMixed`: NUTS, maximum likelihood, REML, and statsmodels' MixedLM.

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
    nodes = 15 if isinstance(model, BinaryMixed) else 7  # fewer are not enough for 0 and 1
    ml = maximise(model, cohort, quadrature=nodes, progress=progress)
    fits: dict[str, Fit | PointFit] = {ML: ml}
    design = ml.design
    witnesses: dict[str, pd.DataFrame] = {}
    averages: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()
    several = int(np.bincount(design.patient).max()) > 1
    if isinstance(model, GaussianMixed):
        fits[REML] = maximise(model, cohort, method="reml")
        frame, said = by_mixedlm(design)
        notes = (said,)
        if frame is not None:
            witnesses[MIXEDLM] = frame
    elif design.effects:
        fits[LAPLACE] = maximise(model, cohort, quadrature=1, progress=progress)
    if isinstance(model, OrdinalMixed | BinaryMixed):
        averages, notes = population_averages(ml)
    if isinstance(model, CountModel) and several and len(design.effects) <= 1:
        fits[GEE] = maximise(model, cohort, method="gee")
    fits[NUTS] = sample(model, cohort, draws=draws, tune=tune, chains=chains, seed=seed, progress=progress)
    return CrossCheck(model=model, fits=fits, witnesses=witnesses, averages=averages, notes=notes)
