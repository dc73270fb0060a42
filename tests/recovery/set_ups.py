"""The small set-ups of simulation-based calibration, one a model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from calibration_study import Calibration

from trajectories import models
from trajectories.cohort import Cohort
from trajectories.models.base import EdssModel
from trajectories.models.design import Design
from trajectories.models.gaussian import Residuals
from trajectories.priors import Exponential, HalfNormal, InducedDirichlet, Normal
from trajectories.simulate import VisitSchedule, simulate_cohort


def two_arms() -> Cohort:
    """Make 24 patients in two arms, up to 5 visits each."""
    visits = VisitSchedule(years=(-1.0, 0.0, 0.5, 1.0, 2.0), missed=0.1)
    return simulate_cohort(patients={"first": 12, "second": 12}, seed=1, visits=visits)


def population_quantities(parameters: xr.Dataset, design: Design) -> Mapping[str, xr.DataArray]:
    """Every coefficient, standard deviation, correlation and scalar parameter."""
    found = {f"coefficient {name}": parameters["coefficients"].sel(term=name) for name in design.terms}
    found |= {f"sd {name}": parameters["patient_sd"].sel(effect=name) for name in design.effects}
    if "patient_correlation" in parameters:
        found["correlation"] = parameters["patient_correlation"].isel(effect_pair=0)
    for name, array in parameters.data_vars.items():
        if set(array.dims) == {"chain", "draw"}:
            found[str(name)] = array
    return {name: array.reset_coords(drop=True) for name, array in found.items()}


def edss_quantities(model: EdssModel, parameters: xr.Dataset, design: Design) -> Mapping[str, xr.DataArray]:
    """`population_quantities`, the cutpoints around the middle if there are any, and the expected EDSS at start."""
    found = dict(population_quantities(parameters, design))
    if "cutpoints" in parameters:
        for name in ("1|1.5", "3.5|4", "6|6.5"):
            found[f"cutpoint {name}"] = parameters["cutpoints"].sel(cutpoint=name).reset_coords(drop=True)
    rows = design.target.assign(years=0.0, day=0.0)
    averaged = model.averaged_edss(parameters, design.at(rows), np.ones(len(rows)))
    shape = (parameters.sizes["chain"], parameters.sizes["draw"])
    found["expected EDSS at 0"] = xr.DataArray(averaged.reshape(shape), dims=("chain", "draw"))
    return found


def ordinal(name: str, concentration: float) -> Calibration:
    """Make the set-up of the ordinal model with a concentration of the prior on the level probabilities."""
    model = models.OrdinalMixed("edss ~ arm * years + (1 + years | patient)").with_priors(
        coefficients=Normal(0.0, 1.0), intercept_sd=HalfNormal(2.0), slope_sd=HalfNormal(1.0),
        cutpoints=InducedDirichlet(concentration),
    )  # fmt: skip
    return Calibration(
        name=name,
        description=(
            "24 patients in 2 arms, up to 5 visits; priors Normal(0, 1), patient SDs HalfNormal(2) and HalfNormal(1), "
            f"LKJ(2), InducedDirichlet({concentration:g})"
        ),
        model=model,
        cohort=two_arms,
        quantities=lambda parameters, design: edss_quantities(model, parameters, design),
    )


def gaussian(residuals: Residuals) -> Calibration:
    """Make the set-up of the Gaussian model."""
    model = models.GaussianMixed("edss ~ arm * years + (1 + years | patient)", residuals=residuals).with_priors(
        coefficients=Normal(0.0, 1.0), intercept=Normal(3.0, 1.0), intercept_sd=HalfNormal(1.5), slope_sd=HalfNormal(0.5),
        residual_sd=HalfNormal(1.0),
    )  # fmt: skip
    return Calibration(
        name="gaussian-calibration" if residuals == "independent" else "gaussian-ar1-calibration",
        description=(
            f"24 patients in 2 arms, up to 5 visits, {residuals} residuals; priors Normal(0, 1), intercept Normal(3, 1), patient SDs "
            "HalfNormal(1.5) and HalfNormal(0.5), LKJ(2), residual SD HalfNormal(1)"
        ),
        model=model,
        cohort=two_arms,
        quantities=lambda parameters, design: edss_quantities(model, parameters, design),
    )


def relapses() -> Calibration:
    """Make the set-up of the count model."""
    model = models.RelapseCounts("relapses ~ arm * period + (1 | patient)").with_priors(
        coefficients=Normal(0.0, 0.5), intercept=Normal(0.0, 0.7), intercept_sd=HalfNormal(0.7), dispersion=Exponential(0.5)
    )  # fmt: skip
    return Calibration(
        name="relapses-calibration",
        description=(
            "24 patients in 2 arms, the year before and two years after; priors Normal(0, 0.5), intercept Normal(0, 0.7), patient SD "
            "HalfNormal(0.7), dispersion Exponential(0.5)"
        ),
        model=model,
        cohort=two_arms,
        quantities=population_quantities,
    )


SET_UPS = {
    set_up.name: set_up for set_up in (
        ordinal("ordinal-calibration", 1.0), gaussian("independent"), gaussian("ar1"), relapses()
    )
}  # fmt: skip
