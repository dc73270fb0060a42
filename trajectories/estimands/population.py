"""What estimands share: the fitted result, the target population, the arms and times they are evaluated at."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.formulas import FormulaError, Matrices
from trajectories.models.base import VISIT_TIME, Design, EdssModel, Floats, MixedModel

__all__ = ["ALL", "ExtrapolationWarning", "Fitted"]

ALL = "all"


class ExtrapolationWarning(UserWarning):
    """A time was asked for at which nobody of an arm was observed."""


class Fitted(Protocol):
    """What estimands need of a result: a `Fit` or a `PointFit`."""

    @property
    def model(self) -> MixedModel:
        """The specification."""

    @property
    def design(self) -> Design:
        """The data as the model saw them."""

    @property
    def description(self) -> str:
        """What the draws are."""

    @property
    def caveats(self) -> tuple[str, ...]:
        """What every output must say."""

    def draws(self, n: int | None = None, seed: int | None = None) -> xr.Dataset:
        """Draws of the parameters."""


def edss_model(fit: Fitted) -> EdssModel:
    """Return the EDSS model of a fit, or say that it has none."""
    if not isinstance(fit.model, EdssModel):
        raise TypeError(
            f"this needs a fit of an EDSS model, such as models.OrdinalMixed, not {type(fit.model).__name__}."
        )
    return fit.model


def check_times(at: float | Sequence[float]) -> list[float]:
    """Return times as a list of different finite numbers."""
    times = [float(t) for t in np.atleast_1d(np.asarray(at, dtype=float))]
    if not times or not np.isfinite(times).all() or len(set(times)) < len(times):
        raise ValueError(f"times must be finite and different, not {at!r}.")
    return times


def arms_of(design: Design) -> list[str]:
    """Return the arms to evaluate; one called 'all' when the formula does not have the arm."""
    return list(design.arms) if design.compares_arms else [ALL]


def whom(design: Design, target: str) -> str:
    """Name the target population in words."""
    people = design.n_patients if target == "everyone" else design.patients_in(target)
    return f"the {people} {'patients in the model' if target == 'everyone' else f'of arm {target}'}"


def target_rows(design: Design, target: str) -> pd.DataFrame:
    """Return the covariates of the target population, one row a patient."""
    if target == "everyone":
        return design.target
    rows = design.target[design.target["arm"].astype(str) == target]
    if rows.empty:
        raise ValueError(f"target must be 'everyone' or one of {', '.join(design.arms)}, not {target!r}.")
    return rows


def hypothetical(design: Design, rows: pd.DataFrame, arm: str, years: float) -> pd.DataFrame:
    """Set everybody's arm and time."""
    placed = rows.assign(years=years, day=years * 365.25)
    if design.compares_arms:
        placed["arm"] = pd.Categorical([arm] * len(rows), categories=list(design.arms), ordered=True)
    missing = [name for name in design.formula.columns if name not in placed]
    if missing:
        raise FormulaError(
            f"the formula uses {', '.join(missing)}, which belongs to single visits: an estimand would need its value. "
            f"Estimands set the time ({', '.join(VISIT_TIME)}), the arm and patients' covariates only."
        )
    return placed


def cell(design: Design, rows: pd.DataFrame, arm: str, years: float) -> tuple[Matrices, Floats]:
    """Return the formula's matrices for an arm and time, and equal weights."""
    return design.at(hypothetical(design, rows, arm, years)), np.ones(len(rows))


def labelled_draws(
    samples: Floats, parameters: xr.Dataset, coords: Mapping[str, Sequence[Any]]
) -> xr.DataArray:
    """Give samples × … their chain and draw back, and names to the other dims."""
    shape = (parameters.sizes["chain"], parameters.sizes["draw"], *samples.shape[1:])
    dims = ("chain", "draw", *coords)
    return xr.DataArray(samples.reshape(shape), dims=dims, coords=dict(coords))


def warn_outside(design: Design, times: list[float]) -> None:
    """Warn where times lie outside the observed follow-up of an arm."""
    here = str(Path(__file__).parents[1])  # the warning points at the script, not at this package
    for arm in design.arms if design.compares_arms else (None,):
        first, last = design.followup(arm)
        outside = [t for t in times if t < first - 0.5 or t > last + 0.1]
        if outside:
            warnings.warn(
                f"{', '.join(f'{t:g}' for t in outside)} years lie outside the observed follow-up"
                f"{'' if arm is None else f' of {arm}'} ({first:.2f} to {last:.2f} years): the model extrapolates.",
                ExtrapolationWarning,
                skip_file_prefixes=(here,),
            )
