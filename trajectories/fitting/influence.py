"""How much single patients move the estimates of a maximum-likelihood fit."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.fitting.fit import row_name
from trajectories.fitting.groups import refuse_groups
from trajectories.fitting.left_out import estimates_without
from trajectories.fitting.marginal_fit import NO_VARIANCE, MarginalFit
from trajectories.fitting.mixedlm import MixedLMFit
from trajectories.fitting.point import PointFit
from trajectories.models.base import MixedModel
from trajectories.models.binary import BinaryMixed
from trajectories.models.counts import CountModel
from trajectories.models.design import Design, Floats
from trajectories.models.gaussian import GaussianMixed
from trajectories.models.ordinal import OrdinalMixed

__all__ = ["Influence", "influence"]

# Columns of a formula whose terms are the treatment's.
TREATMENT = ("arm", "period")
# A first-order step is rough for a patient who moves an estimate by more than this many standard errors.
FAR = 0.5


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Influence:
    """What each patient adds to each estimate: the estimate with all patients minus that without this one; made by `influence`.

    Parameters
    ----------
    model, design
        What was fitted to what.
    terms
        The terms, named as in the summary of the fit.
    estimates, standard_errors
        One a term, in the user's units.
    changes
        Patient × term, in the user's units.
    unit
        Of a coefficient, in words.
    refitted
        Patients, by their place in the design, whose changes are from fits without them; the others' are of first order.
    caveats
        Sentences that every output must carry.
    """

    model: MixedModel
    design: Design = field(repr=False)
    terms: tuple[str, ...]
    estimates: Floats = field(repr=False)
    standard_errors: Floats = field(repr=False)
    changes: Floats = field(repr=False)
    unit: str
    refitted: tuple[int, ...] = ()
    caveats: tuple[str, ...] = ()

    @property
    def in_standard_errors(self) -> Floats:
        """Changes divided by the standard error of the estimate: patient × term."""
        return self.changes / self.standard_errors

    def to_frame(self) -> pd.DataFrame:
        """Return a row a term and patient, by the patient's place in the design and without identifiers.

        Columns: term, arm, rows (how many the patient has), change (in the estimate's units), change_in_se.
        """
        n = self.design.n_patients
        rows = np.bincount(self.design.patient, minlength=n)
        parts = [
            pd.DataFrame(
                {
                    "term": term,
                    "arm": self.design.target["arm"].astype(str).to_numpy(),
                    "rows": rows,
                    "change": self.changes[:, k],
                    "change_in_se": self.in_standard_errors[:, k],
                },
                index=pd.RangeIndex(n, name="patient"),
            )
            for k, term in enumerate(self.terms)
        ]
        return pd.concat(parts)

    def summary(self, largest: int = 5) -> pd.DataFrame:
        """Return the rows of `to_frame` of the patients who move each term most; `attrs` say patients, rows, unit and caveats."""
        if largest < 1:
            raise ValueError(f"at least 1 patient a term must be shown, not {largest}.")
        frame = self.to_frame()
        parts = []
        for term in self.terms:
            part = frame[frame["term"] == term]
            order = np.argsort(-part["change_in_se"].abs().to_numpy(), kind="stable")
            parts.append(part.iloc[order[:largest]])
        made = pd.concat(parts)
        made.attrs.update(
            patients=self.design.n_patients,
            rows=len(self.design.frame),
            unit=self.unit,
            caveats=list(self.caveats),
        )
        return made

    @property
    def notes(self) -> tuple[str, ...]:
        """What limits these numbers, and the caveats."""
        said = ["first order: the information is taken as if the patient were still there"]
        if self.refitted:
            said = [
                f"{len(self.refitted)} patients, who by the first-order step moved an estimate by more than {FAR:g} standard errors, were left "
                f"out and the model fitted again; the others' changes are of {said[0]}"
            ]
        moved = (np.abs(self.in_standard_errors) > FAR).any(axis=1)
        moved[list(self.refitted)] = False
        far = int(moved.sum())
        if far:
            said.append(
                f"{far} patients move an estimate by more than {FAR:g} standard errors, where a first-order step is rough and most often too "
                "small: refit=True"
            )
        return (*said, *self.caveats)

    def __str__(self) -> str:
        notes = "".join(f"\n  - {note}" for note in self.notes)
        table = self.summary().round(4)
        return (
            f"Influence of single patients on {type(self.model).__name__}({self.model.formula!r}), maximum likelihood\n"
            f"{self.design.n_patients} patients, {len(self.design.frame)} rows of '{self.design.cohort_name}'; "
            f"change = estimate with all patients − without this one, in {self.unit}{notes}\n{table.to_string()}"
        )

    def __repr__(self) -> str:
        return str(self)


def influence(point_fit: PointFit, term: str | None = None, *, refit: bool = False) -> Influence:
    """Approximate how much each patient moves each estimate, without refitting, or with it where that is rough.

    θ̂ − θ̂₋ᵢ ≈ I⁻¹ s_i with s_i the gradient of the patient's log-likelihood at θ̂, the patient effects integrated out, and I the observed
    information of all patients: the first step of Newton towards the estimate without the patient. An exact step would take I − I_i, that
    of the others, and be longer. It is carried to the user's units by the delta method. For `GaussianMixed` only fixed terms,
    (X'V⁻¹X)⁻¹ X_i'V_i⁻¹r_i with the variances as estimated from all.

    Parameters
    ----------
    point_fit
        A maximum-likelihood fit with patient effects, by `maximise`.
    term
        A term as `fit.summary()` names it; None for the terms of the treatment (with `arm` or `period` in them), or all fixed terms if
        there are none.
    refit
        Whether to fit the model again without each patient who, by the first-order step, moves one of these estimates by more than half a
        standard error.

    Returns
    -------
    An `Influence`; `plots.influence` draws it.

    Raises
    ------
    TypeError
        If the fit is none by maximum likelihood with patient effects.
    ValueError
        If there is no such term, none at all, or it has no standard error, as on a boundary; or a term has one value without a patient.
    ConvergenceError
        If the likelihood has no maximum without a patient.

    Source: Pregibon (1981), Annals of Statistics 9:705, doi:10.1214/aos/1176345513.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> model = models.RelapseCounts("relapses ~ arm * period + (1 | patient)", family="poisson")
    >>> cohort = tj.simulate_cohort(patients={"old": 20, "new": 20}, seed=1)
    >>> found = influence(tj.maximise(model, cohort), "arm[new]:period[after]")
    >>> found.changes.shape
    (40, 1)
    >>> bool(abs(found.changes.sum()) < 1e-3)
    True
    """
    solution = point_fit.solution if isinstance(point_fit, PointFit) else None
    if isinstance(point_fit, PointFit):
        point_fit.require_likelihood("the influence of patients")
        refuse_groups(point_fit.design, "the influence of patients")
    if isinstance(solution, MarginalFit):
        names, estimates, errors, changes = _integrated(solution)
    elif isinstance(solution, MixedLMFit) and not solution.reml:
        names, estimates, errors, changes = _gaussian(solution)
    else:
        raise TypeError(
            "influence is that of patients on a maximum-likelihood fit with patient effects, by tj.maximise: of OrdinalMixed, GaussianMixed, or "
            "counts with '(1 | patient)'."
        )
    chosen = _chosen(point_fit.design, names, term)
    places = [names.index(name) for name in chosen]
    if not (errors[places] > 0).all():
        raise ValueError(
            f"{', '.join(name for name in chosen if not errors[names.index(name)] > 0)} has no standard error, being on a boundary: there is "
            "nothing to measure its changes by."
        )
    changes = changes[:, places]
    far = np.flatnonzero((np.abs(changes / errors[places]) > FAR).any(axis=1)) if refit else np.zeros(0, int)
    for patient in far:
        changes[patient] = estimates[places] - estimates_without(point_fit, int(patient))[chosen].to_numpy()
    return Influence(
        model=point_fit.model,
        design=point_fit.design,
        terms=tuple(chosen),
        estimates=estimates[places],
        standard_errors=errors[places],
        changes=changes,
        unit=_unit(point_fit.model),
        refitted=tuple(int(patient) for patient in far),
        caveats=point_fit.caveats,
    )


def _chosen(design: Design, names: list[str], term: str | None) -> list[str]:
    if term is not None:
        if term not in names:
            raise ValueError(f"there is no term {term!r}; there are: {', '.join(names)}.")
        return [term]
    if not design.terms:
        raise ValueError(f"{design.formula.text!r} has no fixed term: name one of {', '.join(names)}.")
    treatment = [
        name for name in design.terms if any(part.split("[")[0] in TREATMENT for part in name.split(":"))
    ]
    return treatment or list(design.terms)


def _unit(model: MixedModel) -> str:
    if isinstance(model, OrdinalMixed | BinaryMixed):
        return "log odds" if model.link == "logit" else "standard deviations of the latent scale"
    if isinstance(model, CountModel):
        return "log rates"
    assert isinstance(model, GaussianMixed)
    return "EDSS points"


def _integrated(fit: MarginalFit) -> tuple[list[str], Floats, Floats, Floats]:
    """Names, estimates, standard errors, and changes (patient × name), of everything in the summary."""
    inner = np.where(np.isnan(fit.covariance), 0.0, fit.covariance)  # what is held on a boundary stays there
    steps = fit.likelihood.scores(fit.theta) @ inner
    at, errors = fit.estimates(), fit.standard_errors()
    smallest = np.linalg.svd(fit.adaptor.factor(fit.theta[None])[0], compute_uv=False).min()
    names: list[str] = []
    values: list[Floats] = []
    for name, label, slope in _labelled(fit.slopes()):
        estimate, se = (
            float(part[name] if label is None else part[name].sel({part[name].dims[0]: label}))
            for part in (at, errors)
        )
        if not np.isfinite(estimate):
            continue  # a cutpoint beyond the levels that somebody has
        names.append(row_name(name, label or ""))
        if name.startswith("patient_") and smallest < NO_VARIANCE:
            se = np.nan  # the likelihood has no normal neighbourhood at a singular covariance
        values.append(np.concatenate([[estimate, se], steps @ slope]))
    table = np.stack(values, axis=1)
    return names, table[0], table[1], table[2:]


def _labelled(slopes: xr.Dataset) -> list[tuple[str, str | None, Floats]]:
    """Population parameters one by one: variable, label, slopes by parameter of the optimiser."""
    found: list[tuple[str, str | None, Floats]] = []
    for name, array in slopes.data_vars.items():
        if array.ndim == 1:
            found.append((str(name), None, array.to_numpy()))
        elif array.ndim == 2:
            dim = next(d for d in array.dims if d != "parameter")
            found += [
                (str(name), str(label), array.sel({dim: label}).to_numpy()) for label in array[dim].to_numpy()
            ]
    return found


def _gaussian(fit: MixedLMFit) -> tuple[list[str], Floats, Floats, Floats]:
    design, matrices = fit.design, fit.design.formula.matrices
    X = np.column_stack([np.ones(len(design.frame)), matrices.X])
    beta = np.concatenate([[float(fit.estimates["intercept"])], fit.estimates["coefficients"].to_numpy()])
    between = fit.estimates["patient_covariance"].to_numpy()
    within = float(fit.estimates["residual_sd"]) ** 2
    residual = design.outcome - X @ beta
    scores = np.empty((design.n_patients, len(beta)))
    for patient, rows in enumerate(design.rows_by_patient()):
        Z = matrices.Z[rows]
        V = Z @ between @ Z.T + within * np.eye(len(rows))
        scores[patient] = X[rows].T @ np.linalg.solve(V, residual[rows])
    covariance = fit.fixed_covariance.to_numpy()
    return (
        ["intercept", *design.terms],
        beta,
        np.sqrt(np.diag(covariance)),
        scores @ covariance,
    )
