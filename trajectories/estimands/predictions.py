"""What single patients are expected to have: those whose data were fitted, given these data, and new ones like some covariates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from trajectories import edss
from trajectories.estimands.population import check_times, labelled_draws, warn_outside
from trajectories.estimate import Estimate
from trajectories.fitting.fit import Fit
from trajectories.fitting.known_patients import known_effects
from trajectories.fitting.point import PointFit
from trajectories.formulas import FormulaError, Matrices
from trajectories.models.base import EdssModel, MixedModel
from trajectories.models.binary import BinaryMixed
from trajectories.models.blocks.averaging import distribution, flat, some_samples
from trajectories.models.counts import CountModel
from trajectories.models.design import VISIT_TIME, Design, Floats, Ints

__all__ = ["predict"]

# Draws of a classical fit, and numbers in memory at once.
DRAWS, AT_ONCE = 1000, 4_000_000

FLUCTUATION = "visits of a known patient that fluctuate are predicted by the patient's line: what the last visit says of the next is not used"


def predict(
    fit: Fit | PointFit,
    at: float | Sequence[float] | None = None,
    *,
    patients: Sequence[int] | None = None,
    new: pd.DataFrame | None = None,
    what: Literal["expected", "levels"] = "expected",
    seed: int = 0,
    identifiers: bool = False,
) -> Estimate:
    """Predict single patients: those of the cohort given their own data, or new ones.

    Known: E[y_i(t) | u_i, θ] with u_i drawn from p(u_i | y_i, θ) and θ from the posterior, or from the normal approximation of a classical
    fit: intervals hold what is not known of the patient's effects and of the estimates. New: ∫ E[y(t) | x, u, θ] N(u; 0, Σ) du, the mean of
    patients with these covariates: intervals hold what is not known of the estimates alone. Neither is the interval of a single visit;
    `what="levels"` gives the probabilities of what a visit shows.

    Parameters
    ----------
    fit
        From `sample`, `approximate` or `maximise`.
    at
        Years since the index date, one or several; None for a formula without time.
    patients
        Which of the cohort's patients, by their number in the design, from 0, as in `PointFit.patient_effects`; None for all.
    new
        New patients in place of known ones: a row each, with `arm` and the covariates of the formula.
    what
        "expected": EDSS, probability of the event, or count (a year, or a scan of enhancing lesions). "levels": probability of each level of
        the EDSS.
    seed
        Seed of the draws of a classical fit.
    identifiers
        Label known patients by their identifiers in place of their numbers; keep such tables to yourself.

    Returns
    -------
    An `Estimate`: chain × draw × patient [× years] [× level].

    Raises
    ------
    ValueError
        If there is no such patient or time, a new patient lacks a covariate or is in an arm that was not fitted, or the fit (a GEE, draws of
        the prior) knows nothing of single patients.
    TypeError
        If levels are asked of a model that is none of EDSS.
    FormulaError
        If the formula has a covariate of single visits, other than the time and the period.

    Warns
    -----
    ExtrapolationWarning
        Where a time lies outside the observed follow-up of an arm.

    Source: Skrondal and Rabe-Hesketh (2009), Journal of the Royal Statistical Society A 172:659, doi:10.1111/j.1467-985X.2009.00587.x.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> fit = tj.maximise(models.GaussianMixed("edss ~ years + (1 + years | patient)"), tj.simulated_alemtuzumab_35())
    >>> predict(fit, [1, 2], patients=[0, 1]).summary().shape
    (4, 5)
    """
    if new is not None and patients is not None:
        raise ValueError("patients are of the cohort and new ones are not: give one of patients and new.")
    if what == "levels" and not isinstance(fit.model, EdssModel):
        raise TypeError(f"levels are those of the EDSS, of which {type(fit.model).__name__} is no model.")
    if what not in ("expected", "levels"):
        raise ValueError(f"what must be 'expected' or 'levels', not {what!r}.")
    times = _times(fit.design, at)
    if new is None:
        cells, parameters, labels, notes = _known(fit, patients, times, what, seed, identifiers)
        who = "this patient of the cohort, given the patient's own data"
    else:
        cells, parameters = _new(fit, new, times, what, seed)
        labels, notes, who = (
            list(range(len(new))),
            (),
            "new patients with these covariates, their effects averaged over",
        )
    coords: dict[str, Sequence[Any]] = {"patient": labels, "years": [0.0] if times is None else times}
    if what == "levels":
        coords["level"] = list(edss.LEVELS)
    made = labelled_draws(cells, parameters, coords)
    if times is None:
        made = made.isel(years=0, drop=True)
    else:
        warn_outside(fit.design, times)
    name, unit = _quantity(fit.model, fit.design, what)
    return Estimate(
        name=name, draws=made, unit=unit, definition=f"{name[0].upper()}{name[1:]} of {who}.", source=fit.description,
        caveats=(*notes, *fit.caveats), higher_is_worse=what == "expected",
    )  # fmt: skip


def _known(
    fit: Fit | PointFit,
    patients: Sequence[int] | None,
    times: list[float] | None,
    what: str,
    seed: int,
    identifiers: bool,
) -> tuple[Floats, xr.Dataset, list[Any], tuple[str, ...]]:
    """Predictions (samples × patient × time …), draws of the parameters, labels of the patients, and notes."""
    design = fit.design
    chosen = _places(design, patients)
    labels: list[Any] = [int(place) for place in chosen]
    if identifiers:
        if design.patient_ids is None:
            raise ValueError(
                "this fit was loaded, and files hold no identifiers of patients: they are numbered."
            )
        labels = [design.patient_ids[place] for place in chosen]
    known = known_effects(fit, chosen, draws=DRAWS, seed=seed)
    rows = design.target.iloc[chosen].reset_index(drop=True)
    cells = [
        _given_effects(fit.model, known.parameters, design.at(_placed(design, rows, t)), known.effects, what)
        for t in times or [0.0]
    ]
    fluctuates = "visit_range" in known.parameters or "residual_range" in known.parameters
    return np.stack(cells, axis=2), known.parameters, labels, (*known.notes, *(FLUCTUATION,) * fluctuates)


def _places(design: Design, patients: Sequence[int] | None) -> Ints:
    if patients is None:
        return np.arange(design.n_patients)
    places = np.asarray(patients)
    whole = places.ndim == 1 and len(places) > 0 and np.issubdtype(places.dtype, np.integer)
    if (
        not whole
        or ((places < 0) | (places >= design.n_patients)).any()
        or len(np.unique(places)) < len(places)
    ):
        raise ValueError(
            f"patients must be different numbers from 0 to {design.n_patients - 1}, the places of patients in the design."
        )
    return places.astype(np.int64)


def _new(
    fit: Fit | PointFit, new: pd.DataFrame, times: list[float] | None, what: str, seed: int
) -> tuple[Floats, xr.Dataset]:
    """Predictions of new patients (samples × patient × time …) and the draws of the parameters."""
    design, model = fit.design, fit.model
    rows = _covariates(design, new)
    parameters = fit.draws(DRAWS, seed) if isinstance(fit, PointFit) else fit.parameters
    cells = []
    for t in times or [0.0]:
        matrices = design.at(_placed(design, rows, t))
        if what == "levels":
            assert isinstance(model, EdssModel)
            cells.append(model.levels_by_row(parameters, matrices))
        else:
            cells.append(flat(model.expectation(parameters, matrices)))
    return np.stack(cells, axis=2), parameters


def _covariates(design: Design, new: pd.DataFrame) -> pd.DataFrame:
    """The covariates of new patients as the formula takes them, checked."""
    if not len(new):
        raise ValueError("new has no row: give a row a patient.")
    rows = pd.DataFrame(index=pd.RangeIndex(len(new)))
    needed = [name for name in design.formula.columns if name not in (*VISIT_TIME, "period")]
    for name in needed:
        if name not in new.columns:
            raise ValueError(f"new patients lack {name!r}, which the formula uses: {', '.join(needed)}.")
        column, fitted = new[name].reset_index(drop=True), design.frame[name]
        if column.isna().any():
            raise ValueError(
                f"{int(column.isna().sum())} new patients have no {name}: a prediction needs it."
            )
        if isinstance(fitted.dtype, pd.CategoricalDtype):
            levels = [str(level) for level in fitted.cat.categories]
            strange = sorted(set(column.astype(str)) - set(levels))
            if strange:
                raise ValueError(
                    f"{name} {', '.join(strange)} was not fitted; there are: {', '.join(levels)}."
                )
            column = pd.Series(
                pd.Categorical(column.astype(str), categories=levels, ordered=fitted.cat.ordered)
            )
            column = column.cat.rename_categories(dict(zip(levels, fitted.cat.categories, strict=True)))
        rows[name] = column
    return rows


def _times(design: Design, at: float | Sequence[float] | None) -> list[float] | None:
    if at is not None:
        return check_times(at)
    timed = [name for name in (*VISIT_TIME, "period") if name in design.formula.columns]
    if timed:
        raise ValueError(f"the formula has {timed[0]!r} in it: say at which times, such as at=[1, 2].")
    return None


def _placed(design: Design, rows: pd.DataFrame, years: float) -> pd.DataFrame:
    """Set the time, and the period that it lies in."""
    placed = rows.assign(years=years, day=years * 365.25)
    if "period" in design.formula.columns:
        periods = design.frame["period"].cat.categories
        placed["period"] = pd.Categorical(
            ["before" if years < 0 else "after"] * len(rows), categories=periods, ordered=True
        )
    missing = [name for name in design.formula.columns if name not in placed]
    if missing:
        raise FormulaError(
            f"the formula uses {', '.join(missing)}, which belongs to single visits or windows: a prediction sets the time "
            f"({', '.join(VISIT_TIME)}), the period, the arm and patients' covariates only."
        )
    return placed


def _given_effects(
    model: MixedModel, parameters: xr.Dataset, matrices: Matrices, effects: Floats, what: str
) -> Floats:
    """Predictions given the patients' effects: samples × patient (× level)."""
    ask = _conditional(model, what)
    parts = (
        len(effects) * effects.shape[1] * (len(edss.LEVELS) if isinstance(model, EdssModel) else 1) // AT_ONCE
        + 1
    )
    answers = [
        ask(some_samples(parameters, part), matrices, effects[part])
        for part in np.array_split(np.arange(len(effects)), parts)
    ]
    return np.concatenate(answers)


def _conditional(model: MixedModel, what: str) -> Callable[[xr.Dataset, Matrices, Floats], Floats]:
    if isinstance(model, EdssModel):
        return model.conditional_levels if what == "levels" else model.conditional_edss

    def predictor(parameters: xr.Dataset, matrices: Matrices, effects: Floats) -> Floats:
        eta = flat(parameters["intercept"])[:, None] + flat(parameters["coefficients"]) @ matrices.X.T
        return np.asarray(eta + np.einsum("spq,pq->sp", effects, matrices.Z))

    if isinstance(model, CountModel):
        return lambda *at: np.exp(predictor(*at))
    assert isinstance(model, BinaryMixed)
    link = model.link
    return lambda *at: distribution(predictor(*at), link)


def _quantity(model: MixedModel, design: Design, what: str) -> tuple[str, str]:
    """Name and unit of what is predicted."""
    if what == "levels":
        return "probability of each EDSS level at a visit", "probability"
    if isinstance(model, EdssModel):
        return "expected EDSS", "EDSS points"
    if isinstance(model, BinaryMixed):
        return f"probability of {model.event}", "probability"
    units = {"relapses": "relapses per person-year", "gd_count": "lesions a scan"}
    return f"expected {design.formula.response}", units.get(design.formula.response, "lesions per year")
