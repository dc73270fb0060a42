"""Patient effects on a log rate, parametrised for counts, which say little about a patient.

A single effect is u = s·v/g, v ~ N(0, g²), of an s that may take either sign, with g = (s² + 0.3²)^(w/2) and |s| the standard deviation:
non-centred (w = 0) for a patient with few events, nearly centred (w near 1) for one with many. The logarithm of a standard deviation
would have a long flat tail where the data do not exclude 0; |s| has none. Several effects are non-centred.

Minimum bulk ESS of 4 × 1000 draws over four seeds, two windows a patient, about 3 relapses each (largest R-hat): 35 patients 961–1698
(1.006), non-centred with a log-scale SD 497–672 (1.012), centred 92–174; 200 patients 1015–1180 (1.005), 715–852 (1.011), 209–333.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trajectories.models.blocks import patient_effects
from trajectories.models.blocks.data import data
from trajectories.models.blocks.patient_effects import PatientPriors
from trajectories.models.design import Design, Floats, Scaling
from trajectories.priors import Exponential, HalfNormal

__all__ = ["factor_of", "factor_variable", "linear_part", "on_user_scale"]

# Where a patient's effect is half centred, in units of information on the own log rate (about the number of events).
_HALF_CENTRED = 3.0
# A standard deviation below this is as good as 0 beside a handful of events: no centring there, and a smooth passage through 0.
_SMALL_SD = 0.3


def linear_part(priors: PatientPriors, design: Design) -> Any:
    """Make the variables of the patient effects in the open PyMC model, and their part of the log rate of each row."""
    import pymc as pm

    patient = data("patient_of_visit", design.patient, dims="visit")
    if len(design.effects) == 1:
        signed = _signed_sd(priors.intercept_sd)
        stretch = _stretch(signed, data("centred_share", _centred_share(design), dims="patient"))
        return (signed / stretch * pm.Normal("patient_stretched", 0.0, stretch, dims="patient"))[patient]
    standard = pm.Normal("patient_standard", 0.0, 1.0, dims="patient")
    Z = _scaling(design).apply(design.formula.matrices.Z)
    effects = patient_effects.effect_variables(priors, design.effects)
    slopes = patient_effects.slopes(standard, effects, design.effects)
    return (effects.sd[0] * standard)[patient] + sum(
        slope[patient] * data(f"Z_internal_{k}", Z[:, k]) for k, slope in enumerate(slopes, start=1)
    )


def factor_variable(priors: PatientPriors, effects: tuple[str, ...]) -> Any:
    """Make the variables of the covariance as `linear_part` does, without the patients': Λ of u = Λv, v ~ N(0, I)."""
    if len(effects) == 1:
        return _signed_sd(priors.intercept_sd).reshape((1, 1))
    standardised = patient_effects.effect_variables(priors, effects)
    return standardised.sd[:, None] * standardised.cholesky


def factor_of(priors: PatientPriors, draws: dict[str, Floats], effects: tuple[str, ...]) -> Floats:
    """Read back from draws what `factor_variable` made: … × effect × effect."""
    if len(effects) == 1:
        return draws["patient_sd_signed"][..., None, None]
    return patient_effects.factor_values(priors, draws, effects)


def on_user_scale(
    priors: PatientPriors, draws: dict[str, Floats], design: Design, lead: tuple[int, ...]
) -> tuple[Floats, Floats]:
    """Turn the variables into effects (… × patient × q) and their covariance (… × q × q) in the user's units; `lead` is …."""
    q = len(design.effects)
    if not q:
        return np.zeros((*lead, design.n_patients, 0)), np.zeros((*lead, 0, 0))
    if q == 1:
        signed = draws["patient_sd_signed"][..., None]
        effects = signed / _stretch(signed, _centred_share(design)) * draws["patient_stretched"]
        return effects[..., None], signed[..., None] ** 2
    factor = factor_of(priors, draws, design.effects)
    internal = patient_effects.effects_of(draws["patient_standard"], draws, factor)
    return patient_effects.on_user_scale(internal, factor, _scaling(design))


def _signed_sd(prior: HalfNormal | Exponential) -> Any:
    """Make `patient_sd_signed`, whose absolute value has the prior."""
    import pymc as pm

    if isinstance(prior, HalfNormal):
        return pm.Normal("patient_sd_signed", 0.0, prior.sd)
    return pm.Laplace("patient_sd_signed", 0.0, prior.mean)


def _centred_share(design: Design) -> Floats:
    """How far each patient's effect is centred, from the information on the own log rate, y / (1 + αȳ) at α = ½."""
    rows = np.bincount(design.patient)
    events = np.bincount(design.patient, weights=design.outcome)
    information = events / (1 + 0.5 * events / rows)
    return np.asarray(information / (information + _HALF_CENTRED))


def _stretch(signed: Any, share: Any) -> Any:
    return (signed**2 + _SMALL_SD**2) ** (share / 2)


def _scaling(design: Design) -> Scaling:
    return patient_effects.patient_scaling(design.formula.matrices.Z)
