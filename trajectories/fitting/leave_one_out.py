"""Leave-one-patient-out cross-validation of posterior draws, patient effects integrated out, and comparison of models by it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.caveats import converged, warning_lines
from trajectories.fitting.diagnostics import population
from trajectories.fitting.fit import Fit
from trajectories.fitting.patient_terms import terms_by_patient
from trajectories.models.base import MixedModel
from trajectories.models.design import Design, Floats
from trajectories.models.gaussian import GaussianMixed
from trajectories.models.ordinal import OrdinalMixed

__all__ = ["Fitted", "LeaveOneOut", "check_same", "compare", "leave_one_out"]

# Above this no number of draws makes importance sampling reliable; fewer draws need a smaller k.
HIGHEST_K = 0.7
# Fewer patients, or a smaller difference, than the normal approximation of a difference of elpd needs.
FEW_PATIENTS, CLOSE = 100, 4.0


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LeaveOneOut:
    """How well a model predicts the outcomes of patients that it has not seen; made by `leave_one_out`.

    Parameters
    ----------
    model, design
        What was fitted to what.
    elpd_by_patient
        log p(y_i | all other patients), one a patient of the design, in its order.
    p_loo_by_patient
        How much larger that is with the patient among the data: the patient's share of the effective number of parameters.
    pareto_k
        One a patient: how far removing the patient moves the posterior, as the tail of the importance weights shows.
    draws
        How many draws were used.
    quadrature
        Nodes a dimension of the integrals over patient effects; None where they have a closed form, or there are none.
    refitted
        Patients, by their place in the design, whose elpd is from the posterior sampled anew without them.
    caveats
        Sentences that every output must carry.
    """

    model: MixedModel
    design: Design = field(repr=False)
    elpd_by_patient: Floats = field(repr=False)
    p_loo_by_patient: Floats = field(repr=False)
    pareto_k: Floats = field(repr=False)
    draws: int
    quadrature: int | None
    refitted: tuple[int, ...] = ()
    caveats: tuple[str, ...] = ()

    @property
    def n_patients(self) -> int:
        """How many patients were left out, one at a time."""
        return self.design.n_patients

    @property
    def elpd(self) -> float:
        """Expected log predictive density of a patient's outcomes, summed over patients; higher is better."""
        return float(self.elpd_by_patient.sum())

    @property
    def se(self) -> float:
        """Standard error of `elpd` over patients, √(n Var(elpd_i)); NaN for one patient."""
        return _se_of_sum(self.elpd_by_patient)

    @property
    def p_loo(self) -> float:
        """Effective number of parameters."""
        return float(self.p_loo_by_patient.sum())

    @property
    def limit_of_k(self) -> float:
        """Pareto k above which a patient's elpd is unreliable: min(1 − 1/log₁₀(draws), 0.7)."""
        return float(min(1 - 1 / np.log10(self.draws), HIGHEST_K))

    @property
    def unreliable(self) -> int:
        """How many patients have a Pareto k above the limit, and were not refitted."""
        high = ~(self.pareto_k <= self.limit_of_k)
        high[list(self.refitted)] = False
        return int(high.sum())

    def to_frame(self) -> pd.DataFrame:
        """Return a row a patient of the design, in its order and without identifiers: elpd, p_loo, pareto_k, refitted, rows."""
        return pd.DataFrame(
            {
                "elpd": self.elpd_by_patient,
                "p_loo": self.p_loo_by_patient,
                "pareto_k": self.pareto_k,
                "refitted": np.isin(np.arange(self.n_patients), self.refitted),
                "rows": np.bincount(self.design.patient, minlength=self.n_patients),
            }
        ).rename_axis("patient")

    def summary(self) -> pd.DataFrame:
        """Summarise: rows elpd and p_loo, columns `estimate` and `se`; `attrs` say patients, rows, draws, Pareto k and caveats."""
        frame = pd.DataFrame(
            {"estimate": [self.elpd, self.p_loo], "se": [self.se, _se_of_sum(self.p_loo_by_patient)]},
            index=["elpd", "p_loo"],
        )
        frame.attrs.update(
            patients=self.n_patients,
            rows=len(self.design.frame),
            draws=self.draws,
            limit_of_k=self.limit_of_k,
            unreliable=self.unreliable,
            refitted=len(self.refitted),
            caveats=list(self.caveats),
        )
        return frame

    def __str__(self) -> str:
        nodes = "in closed form" if self.quadrature is None else f"by {self.quadrature} nodes a dimension"
        how = f"patient effects integrated out {nodes}" if self.design.effects else "no patient effects"
        worst = float(np.max(self.pareto_k))
        notes = "".join(f"\n  - {note}" for note in self.caveats)
        left = " and were not refitted" if self.refitted else ""
        said = f"{self.unreliable} of {self.n_patients} patients have a Pareto k above {self.limit_of_k:.2f}{left} (largest {worst:.2f})"
        if self.unreliable:
            said += ": what is said of them, and the sum, is unreliable, most often too good; draw more, or refit=True"
        if self.refitted:
            said += f"\n  the posterior was sampled anew without each of {len(self.refitted)} patients"
        return (
            f"{warning_lines(self.caveats)}Leave-one-patient-out of {type(self.model).__name__}({self.model.formula!r})\n"
            f"{self.n_patients} patients, {len(self.design.frame)} rows of '{self.design.cohort_name}', {self.draws} posterior draws; {how}\n"
            f"  elpd {self.elpd:.2f} (SE {self.se:.2f} over patients), p_loo {self.p_loo:.2f}\n  {said}{notes}"
        )

    def __repr__(self) -> str:
        return str(self)


def leave_one_out(
    fit: Fit,
    *,
    quadrature: int | None = None,
    draws: int | None = 500,
    refit: bool = False,
    progress: bool = True,
) -> LeaveOneOut:
    """Predict each patient from all others, by Pareto-smoothed importance sampling, or where that fails by refitting.

    elpd = Σ_i log p(y_i | y_−i), p(y_i | θ) = ∫ ∏_j p(y_ij | θ, u) N(u; 0, Σ) du: all outcomes of a patient are predicted together, as of
    a new patient with these covariates and visits, whose effects nobody knows. Draws of the posterior are weighted by 1 / p(y_i | θ).
    Weights by single visits, with the patient effects given, fail in such models.

    Parameters
    ----------
    fit
        Posterior draws of `OrdinalMixed` without visit effects, `BinaryMixed`, `GaussianMixed` (closed form), `RelapseCounts` or `LesionCounts`.
    quadrature
        Nodes a dimension of the integrals over patient effects, as in `maximise`; None is 7, of `BinaryMixed` 21 with an intercept by
        patient, 15 with a slope too.
    draws
        How many draws a chain to use, spread evenly; None for all.
    refit
        Whether to sample the posterior anew by NUTS, as it was sampled, without each patient whose Pareto k is too high. Each takes as long
        as the fit took; `leave_one_out(fit).unreliable` says how many there are.
    progress
        Whether to show, in a terminal, how far the refits are.

    Returns
    -------
    A `LeaveOneOut`, which says how many were refitted. A refit that does not converge is not used, and counted in its caveats.

    Raises
    ------
    TypeError
        If `fit` holds no posterior draws.
    NotImplementedError
        For `OrdinalMixed` with visit effects.
    ValueError
        If there are fewer than 100 draws, or a term has one value without a patient who must be refitted.
    ConvergenceError
        If the effects of a patient have no mode at a draw.

    Source: Vehtari, Gelman and Gabry (2017), Statistics and Computing 27:1413, doi:10.1007/s11222-016-9696-4; leaving out groups with their
    effects integrated out: Merkle, Furr and Rabe-Hesketh (2019), Psychometrika 84:802, doi:10.1007/s11336-019-09679-0.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> fit = tj.sample(models.OrdinalMixed("edss ~ arm * years + (1 | patient)"), cohort, seed=1)  # doctest: +SKIP
    >>> leave_one_out(fit)  # doctest: +SKIP
    """
    if not isinstance(fit, Fit) or fit.source != "posterior":
        raise TypeError(
            "leave-one-out needs posterior draws, a fit by tj.sample: draws of the prior have seen no data to leave out, and a "
            "maximum-likelihood fit has no posterior to weight; models fitted by tj.maximise compare by AIC."
        )
    parameters = _thinned(fit.parameters, draws)
    samples = parameters.sizes["chain"] * parameters.sizes["draw"]
    if samples < 100:
        raise ValueError(f"leave-one-out needs at least 100 draws, not {samples}.")
    loglik, nodes = terms_by_patient(fit.model, fit.design, parameters, quadrature)
    shape = (parameters.sizes["chain"], parameters.sizes["draw"], fit.design.n_patients)
    elpd, k = _smoothed(loglik.reshape(shape), population(parameters))
    seen = np.logaddexp.reduce(loglik, axis=0) - np.log(samples)
    result = LeaveOneOut(
        model=fit.model,
        design=fit.design,
        elpd_by_patient=elpd,
        p_loo_by_patient=seen - elpd,
        pareto_k=k,
        draws=samples,
        quadrature=nodes,
        caveats=(*fit.caveats, *_alone(fit)),
    )
    return _refitted(result, fit, quadrature, progress) if refit else result


def _refitted(result: LeaveOneOut, fit: Fit, quadrature: int | None, progress: bool) -> LeaveOneOut:
    """Replace what importance sampling says of patients with a high Pareto k by p(y_i | θ) averaged over p(θ | y_−i) itself."""
    from trajectories.fitting.left_out import posteriors_without

    high = [int(patient) for patient in np.flatnonzero(~(result.pareto_k <= result.limit_of_k))]
    elpd, used = result.elpd_by_patient.copy(), []
    for patient, other in posteriors_without(fit, high, progress=progress):
        if any(problem.serious for problem in other.found):
            continue
        loglik, _ = terms_by_patient(fit.model, fit.design, other.parameters, quadrature, [patient])
        elpd[patient] = np.logaddexp.reduce(loglik[:, 0]) - np.log(len(loglik))
        used.append(patient)
    failed = len(high) - len(used)
    said = (f"{failed} of {len(high)} refits did not converge and were not used",) if failed else ()
    return replace(
        result,
        elpd_by_patient=elpd,
        p_loo_by_patient=result.p_loo_by_patient + result.elpd_by_patient - elpd,
        refitted=tuple(used),
        caveats=(*said, *result.caveats),
    )


def _alone(fit: Fit) -> tuple[str, ...]:
    """Say how many patients have an EDSS level that nobody else has: without them only the prior gives it a probability."""
    if not isinstance(fit.model, OrdinalMixed):
        return ()
    pairs = pd.DataFrame({"level": fit.design.outcome, "patient": fit.design.patient}).drop_duplicates()
    only = pairs.groupby("level")["patient"].transform("size") == 1
    count = pairs.loc[only, "patient"].nunique()
    if not count:
        return ()
    return (
        f"{count} of {fit.design.n_patients} patients have an EDSS level that nobody else has: without them only the prior gives the level "
        "a probability, and their elpd says little of the model",
    )


def _thinned(parameters: xr.Dataset, draws: int | None) -> xr.Dataset:
    there = parameters.sizes["draw"]
    if draws is None or draws >= there:
        return parameters
    return parameters.isel(draw=np.linspace(0, there - 1, max(draws, 1)).astype(int))


def _smoothed(loglik: Floats, parameters: xr.Dataset) -> tuple[Floats, Floats]:
    """log p(y_i | y_−i) and Pareto k of each patient by ArviZ, from chain × draw × patient."""
    import arviz as az

    terms = xr.DataArray(loglik, dims=("chain", "draw", "patient"), name="patient")
    data = xr.DataTree.from_dict(
        {"posterior": parameters, "log_likelihood": terms.to_dataset(name="outcomes")}
    )
    with warnings.catch_warnings():
        # Pareto k is reported by patient, and counted in the print.
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto distribution")
        found = az.loo(data, pointwise=True)
    return np.asarray(found.elpd_i, dtype=float), np.asarray(found.pareto_k, dtype=float)


def compare(fits: Mapping[str, Fit | LeaveOneOut]) -> pd.DataFrame:
    """Compare models of the same outcomes of the same patients by leave-one-patient-out cross-validation.

    difference = Σ_i (elpd_i − elpd_i of the best model), with SE √(n Var) over the n patients: models are compared patient by patient, so
    that what is hard to predict for all of them does not count.

    Parameters
    ----------
    fits
        Names and fits, or their `leave_one_out`; at least two. A `Fit` gets the defaults of `leave_one_out`.

    Returns
    -------
    A frame with a row a model, the best first, and columns `elpd`, `se`, `p_loo`, `difference` (0 or below), `se_difference` and
    `unreliable` (patients whose Pareto k is too high). `attrs["notes"]` say what limits the comparison.

    Raises
    ------
    ValueError
        If there are fewer than two models, if their patients, rows or outcomes differ, or if densities (of `GaussianMixed`) would be
        compared with probabilities (of `OrdinalMixed`).

    Source: Vehtari, Gelman and Gabry (2017), Statistics and Computing 27:1413, doi:10.1007/s11222-016-9696-4.

    Examples
    --------
    >>> tj.compare({"slopes differ": fit, "slopes are equal": simpler})  # doctest: +SKIP
    """
    if len(fits) < 2:
        raise ValueError(f"at least two models are needed for a comparison, not {len(fits)}.")
    first, *others = fits
    for other in others:
        check_same(first, fits[first], other, fits[other])
    results = {
        name: fit if isinstance(fit, LeaveOneOut) else leave_one_out(fit) for name, fit in fits.items()
    }
    names = sorted(results, key=lambda name: -results[name].elpd)
    best = results[names[0]]
    rows = {}
    for name in names:
        result = results[name]
        apart = result.elpd_by_patient - best.elpd_by_patient
        rows[name] = {
            "elpd": result.elpd,
            "se": result.se,
            "p_loo": result.p_loo,
            "difference": float(apart.sum()),
            "se_difference": _se_of_sum(apart),
            "unreliable": result.unreliable,
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    if not all(converged(result.caveats) for result in results.values()):
        frame["converged"] = [converged(results[name].caveats) for name in names]
    frame.attrs.update(
        patients=best.n_patients,
        rows=len(best.design.frame),
        notes=_notes(frame, best.n_patients),
        caveats=list(dict.fromkeys(caveat for name in names for caveat in results[name].caveats)),
    )
    return frame


def _notes(frame: pd.DataFrame, patients: int) -> list[str]:
    notes = []
    if patients < FEW_PATIENTS:
        notes.append(
            f"{patients} patients: the normal approximation of a difference needs about {FEW_PATIENTS}, and its SE is too small with fewer"
        )
    near = [str(name) for name in frame.index[1:] if frame.loc[name, "difference"] > -CLOSE]
    if near:
        notes.append(
            f"less than {CLOSE:g} below the best, too near for the SE to say how sure the order is: {', '.join(near)}"
        )
    bad = [str(name) for name in frame.index if frame.loc[name, "unreliable"]]
    if bad:
        notes.append(f"patients with too high a Pareto k make unreliable: {', '.join(bad)}")
    return notes


class Fitted(Protocol):
    """What was fitted to what."""

    @property
    def model(self) -> MixedModel:
        """The specification."""
        ...

    @property
    def design(self) -> Design:
        """The data as the model saw them."""
        ...


def check_same(first: str, one: Fitted, second: str, other: Fitted) -> None:
    """Refuse to compare fits of different patients, rows or outcomes; `first` and `second` name them in the message."""
    a, b = one.design, other.design
    what = f"{first!r} and {second!r} cannot be compared: "
    if a.formula.response != b.formula.response:
        raise ValueError(f"{what}one predicts {a.formula.response!r}, the other {b.formula.response!r}.")
    if isinstance(one.model, GaussianMixed) != isinstance(other.model, GaussianMixed):
        raise ValueError(
            f"{what}one predicts densities of a number, the other probabilities of what was recorded, on different scales."
        )
    if (a.n_patients, len(a.frame)) != (b.n_patients, len(b.frame)):
        raise ValueError(
            f"{what}{a.n_patients} patients with {len(a.frame)} rows against {b.n_patients} with {len(b.frame)}. Rows are left out where a "
            "covariate is missing, and at or before time 0 with edss_baseline: fit all models to the same rows."
        )
    pairs: list[tuple[str, Any, Any]] = [
        ("the patients of the rows differ", a.patient, b.patient),
        ("the times of the rows differ", a.frame["years"], b.frame["years"]),
        ("the outcomes differ", a.outcome, b.outcome),
        ("the person-years of the rows differ", _exposure(a), _exposure(b)),
    ]
    for said, x, y in pairs:
        if not np.array_equal(x, y):
            raise ValueError(f"{what}{said}.")


def _exposure(design: Design) -> Floats:
    return np.zeros(0) if design.exposure is None else design.exposure


def _se_of_sum(by_patient: Floats) -> float:
    return float(np.sqrt(len(by_patient) * np.var(by_patient, ddof=1))) if len(by_patient) > 1 else np.nan
