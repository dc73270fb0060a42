"""The simulated visits of tests/reference/gaussian_visits.csv, shared by the tests of the Gaussian model and of its classical fit."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.cohort import Cohort
from trajectories.models.base import MixedModel
from trajectories.models.design import Design
from trajectories.reading import read_cohort

REFERENCE = Path(__file__).parent / "reference"


@cache
def cohort(dataset: str) -> Cohort:
    rows = pd.read_csv(REFERENCE / "gaussian_visits.csv")
    rows = rows[rows["dataset"] == dataset]
    patients = rows.drop_duplicates("patient")[["patient", "arm", "age"]]
    return read_cohort(rows[["patient", "day", "edss"]], patients=patients)


@cache
def graph_of(model: MixedModel, dataset: str) -> Any:
    return model.build(model.design(cohort(dataset)))


def internal_draws(graph: Any, *, draws: int, seed: int) -> dict[str, np.ndarray]:
    """Random values of the sampler's variables, chain (1) × draw × …; made without PyMC's own random functions, which compile."""
    rng, values = np.random.default_rng(seed), {}
    for variable, start in zip(graph.free_RVs, graph.initial_point().values(), strict=True):
        shape = (1, draws, *np.shape(start))
        if "correlation" in variable.name:
            values[variable.name] = rng.uniform(0.2, 0.8, shape)
        elif "_sd_" in variable.name or "_range_" in variable.name:
            values[variable.name] = rng.uniform(0.3, 1.5, shape)
        else:
            values[variable.name] = rng.normal(size=shape)
    return values


def untransformed(point: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The sampler's variables from their unbounded values."""
    free = {}
    for name, value in point.items():
        if name.endswith("_log__"):
            free[name.removesuffix("_log__")] = np.exp(value)
        elif name.endswith("_logodds__"):
            free[name.removesuffix("_logodds__")] = 1 / (1 + np.exp(-value))
        else:
            free[name] = value
    return free


def hand_made(model: MixedModel, design: Design, *, draws: int = 3, seed: int = 1) -> xr.Dataset:
    """Random parameters in the user's units, sensible in size, made without PyMC."""
    rng = np.random.default_rng(seed)
    q, lead = len(design.effects), (1, draws)
    root = rng.normal(size=(*lead, q, q)) * np.array([1.0, 0.4, 0.3])[:q, None]
    covariance = root @ np.swapaxes(root, -1, -2)
    dims = ("chain", "draw")
    data = {
        "intercept": (dims, rng.normal(4, 1, lead)),
        "coefficients": ((*dims, "term"), rng.normal(0, 0.3, (*lead, len(design.terms)))),
        "patient_covariance": ((*dims, "effect", "other_effect"), covariance),
        "patient_effects": ((*dims, "patient", "effect"), rng.normal(0, 1, (*lead, design.n_patients, q))),
        "residual_sd": (dims, rng.uniform(0.4, 1.2, lead)),
    }
    if getattr(model, "residuals", "") == "ar1":
        data["residual_range"] = (dims, rng.uniform(0.2, 2.0, lead))
    coords = {
        "term": list(design.terms),
        "effect": list(design.effects),
        "other_effect": list(design.effects),
    }
    return xr.Dataset(data, coords=coords)
