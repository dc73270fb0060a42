"""The delta method: standard errors of what is computed from estimates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from trajectories.models.design import Floats

__all__ = ["slopes_of", "variance_of"]

STEP = 1e-5


def slopes_of(dataset: Callable[[Floats], xr.Dataset], theta: Floats) -> xr.Dataset:
    """Differentiate every variable of a dataset by the parameters, by central differences.

    Parameters
    ----------
    dataset
        Returns variables chain (1) × draw (samples) × … at parameters samples × ….
    theta
        Where.

    Returns
    -------
    The variables with a dim `parameter` in place of chain and draw, the first; NaN where a variable is infinite.
    """
    shifts = STEP * np.eye(len(theta))
    around = dataset(np.concatenate([theta + shifts, theta - shifts])).isel(chain=0, drop=True)
    slopes = {}
    for name, values in around.data_vars.items():
        values = values.transpose("draw", ...)
        value = values.to_numpy()
        with np.errstate(invalid="ignore"):
            slope = (value[: len(theta)] - value[len(theta) :]) / (2 * STEP)
        slopes[name] = values.isel(draw=slice(len(theta))).drop_vars("draw").copy(data=slope)
    return xr.Dataset(slopes).rename(draw="parameter")


def variance_of(slope: xr.DataArray, covariance: Floats) -> Floats:
    """g'Vg of every element, from slopes g (parameter × …) and the covariance matrix V of the parameters."""
    g = slope.to_numpy()
    return np.asarray(np.einsum("k...,kl,l...->...", g, covariance, g))
