"""Cohorts, designs and fits made by hand, whose answers are known in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import trajectories as tj
from trajectories import models
from trajectories.cohort import Cohort
from trajectories.fitting.fit import Fit
from trajectories.models.blocks import patient_effects
from trajectories.models.design import Design

QUICK = "FAST_COMPILE"  # evaluates in Python: a test calls a function a few times
CUTPOINTS = np.array(
    [-7.5, -5.2, -3.3, -1.4, 0.0, 1.2, 2.4, 3.6, 4.4, 5.0, 5.6, 7.0, 8.5, 9.5, 10.5, 11.5, 12.5, 13.7, 15.1]
)


def tables(arms: Mapping[str, int], *, visits: int = 4, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Visits every half year from half a year before 0, with some covariates; and the patients."""
    rng = np.random.default_rng(seed)
    arm = np.repeat(list(arms), list(arms.values()))
    people = pd.DataFrame(
        {
            "patient": [f"P{i:03d}" for i in range(len(arm))],
            "arm": pd.Categorical(arm, categories=list(arms), ordered=True),
            "age": rng.normal(40, 10, len(arm)).round(1),
            "sex": rng.choice(["F", "M"], len(arm)),
            "smoker": rng.random(len(arm)) < 0.4,
        }
    )
    days = np.arange(visits) * 183 - 183
    seen = pd.DataFrame({"patient": np.repeat(people["patient"], visits), "day": np.tile(days, len(people))})
    level = np.repeat(rng.normal(6, 3, len(people)), visits) + rng.normal(0, 1, len(seen))
    seen["edss"] = tj.edss.LEVELS[np.clip(level.round().astype(int), 0, 19)]
    return seen.reset_index(drop=True), people


def cohort(arms: Mapping[str, int] | None = None, **options: Any) -> Cohort:
    seen, people = tables({"old": 6, "new": 5} if arms is None else arms, **options)
    return tj.read_cohort(seen, patients=people, name="made up")


def fit_of(
    model: models.OrdinalMixed,
    design: Design,
    *,
    coefficients: Any,
    covariance: Any,
    cutpoints: Any = CUTPOINTS,
    chains: int = 1,
    **options: Any,
) -> Fit:
    """Make a fit whose draws are given: one a row of `coefficients`, with covariance … × q × q and cutpoints … × 19."""
    beta = np.atleast_2d(np.asarray(coefficients, dtype=float))
    size, q = len(beta), len(design.effects)
    shape = (chains, size // chains)
    labels = [f"{a:g}|{b:g}" for a, b in zip(tj.edss.LEVELS[:-1], tj.edss.LEVELS[1:], strict=True)]
    parameters = patient_effects.labelled(
        design,
        beta.reshape(*shape, -1),
        np.zeros((*shape, design.n_patients, q)),
        np.broadcast_to(np.asarray(covariance, dtype=float), (size, q, q)).reshape(*shape, q, q),
        cutpoints=(("cutpoint", labels), np.broadcast_to(cutpoints, (size, 19)).reshape(*shape, 19)),
    )
    return Fit(model=model, design=design, data=xr.DataTree.from_dict({"posterior": parameters}), **options)


def internal_draws(graph: Any, *, draws: int, seed: int) -> dict[str, Any]:
    """Random values of the sampler's variables, chain (1) × draw × …, whatever they are."""
    rng, values = np.random.default_rng(seed), {}
    for variable, start in zip(graph.free_RVs, graph.initial_point().values(), strict=True):
        shape = (1, draws, *np.shape(start))
        if "correlation" in variable.name:
            values[variable.name] = rng.uniform(0.1, 0.9, shape)
        elif "_sd_" in variable.name:
            values[variable.name] = rng.uniform(0.3, 2.5, shape)
        elif "_range_" in variable.name:
            values[variable.name] = rng.uniform(0.2, 1.5, shape)
        elif "_scores_" in variable.name:
            values[variable.name] = rng.normal(
                1.5, 0.5, shape
            )  # no level so rare that its width is lost in rounding
        else:
            values[variable.name] = rng.normal(size=shape)
    return values
