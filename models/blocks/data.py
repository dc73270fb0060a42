"""Data in a PyMC model, whose lengths are part of the compiled program wherever they may be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["VISIT", "data", "visit_coords"]

VISIT = "visit"


def visit_coords(rows: int, open_rows: bool) -> dict[str, Any]:
    """Coordinates of the rows for a PyMC model; none if their number may change after compiling."""
    return {} if open_rows else {VISIT: np.arange(rows)}


def data(name: str, values: ArrayLike, dims: str | None = None) -> Any:
    """Make a `pm.Data` in the open PyMC model.

    Its shape is fixed if the model has coordinates of visits. Open lengths have to be compared whenever the program runs, and
    the comparisons take a tenth of the compiler's time; only a program for several designs needs them.
    """
    import pymc as pm

    array = np.asarray(values)
    # Data along an open dim make it known to the model too, without coordinates.
    fixed = pm.modelcontext(None).coords.get(VISIT) is not None
    return pm.Data(name, array, dims=dims, **({"shape": array.shape} if fixed else {}))
