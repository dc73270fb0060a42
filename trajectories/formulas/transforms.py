"""Functions that formulas may use on columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["OFFERED", "TRANSFORMS", "on_treatment"]


def on_treatment(years: ArrayLike, lag: float = 0.0) -> NDArray[np.float64]:
    """Years on treatment: 0 before the start (and during the lag), then counting up.

    Formula: max(years − lag, 0). In a formula, `years + on_treatment(years, lag=0.5)` gives the slope before treatment and the
    change of the slope after it; a lag is wanted because the effect on disability takes 7–16 months to show.

    Parameters
    ----------
    years
        Years since treatment start, negative before it.
    lag
        Years from treatment start until the slope may change.

    Returns
    -------
    array
        Of the same shape, in years.

    Source: Roos et al. (2020), Delay from treatment start to full effect of immunotherapies for multiple sclerosis, Brain 143:2742,
    doi:10.1093/brain/awaa231.

    Examples
    --------
    >>> on_treatment([-1.0, 0.25, 2.0], lag=0.5)
    array([0. , 0. , 1.5])
    """
    return np.maximum(np.asarray(years, dtype=float) - lag, 0.0)


TRANSFORMS: Mapping[str, Callable[..., Any]] = {
    "on_treatment": on_treatment,
    "log": np.log,
    "log1p": np.log1p,
    "exp": np.exp,
    "sqrt": np.sqrt,
}

# Those of ours, and the ones that formulae brings and that are evaluated the same way on new rows.
OFFERED = (*TRANSFORMS, "bs", "poly", "I", "scale", "center", "C")
