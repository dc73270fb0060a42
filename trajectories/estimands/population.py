"""What estimands share: the fitted result, the target population, the arms and times they are evaluated at."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.fitting.fit import Fit
from trajectories.formulas import FormulaError, Matrices
from trajectories.models.base import EdssModel, MixedModel
from trajectories.models.design import Design, Floats, Ints
from trajectories.weighting.values import Weights, check_weights

__all__ = [
    "ALL",
    "By",
    "Counted",
    "ExtrapolationWarning",
    "Fitted",
    "Population",
    "Target",
    "counted",
    "population_of",
]

ALL = "all"
_HERE = str(Path(__file__).parents[1])  # warnings point at the script, not at this package

type Target = str | Weights | Counted
type By = Mapping[str, Sequence[Any]] | None


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


@dataclass(frozen=True, kw_only=True, eq=False)
class Population:
    """The patients whose covariates an estimand is standardised over.

    Parameters
    ----------
    design
        Of the fit.
    rows
        Covariates, a row a patient.
    weights
        What each counts: patients, or samples × patients.
    words
        Who they are: "the 400 patients in the model".
    """

    design: Design
    rows: pd.DataFrame = field(repr=False)
    weights: Floats = field(repr=False)
    words: str

    def at(self, arm: str, years: float) -> tuple[Matrices, Floats]:
        """Return the formula's matrices with everybody in an arm at a time, and the weights."""
        return self.design.at(self.design.placed(self.rows, arm, years)), self.weights

    def mean(self, column: str) -> Floats:
        """Return the mean of a covariate: one number, or one a sample."""
        return np.asarray(weighted_mean(self.rows[column].to_numpy(dtype=float), self.weights))

    def place(self, shares: Floats) -> Ints:
        """Return the row at each share (0 to 1) of the population, rows in order."""
        total = np.cumsum(self.weights if self.weights.ndim == 1 else self.weights.mean(axis=0))
        place = np.searchsorted(total / total[-1], shares, side="right")
        return np.minimum(place, len(total) - 1)

    def setting(self, values: Mapping[str, Any]) -> Population:
        """Return the same patients with covariates set to values."""
        if not values:
            return self
        rows = self.rows.copy()
        for name, value in values.items():
            column = rows[name]
            if isinstance(column.dtype, pd.CategoricalDtype):
                rows[name] = pd.Categorical(
                    [value] * len(rows), categories=column.cat.categories, ordered=column.cat.ordered
                )
            else:
                rows[name] = [value] * len(rows)
        said = ", ".join(f"{name} {_said(value)}" for name, value in values.items())
        return replace(self, rows=rows, words=f"{self.words}, with {said}")


def weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Average values (… × row) with weights (row, or sample × row): …, or sample."""
    return np.asarray((values * weights).sum(axis=-1) / weights.sum(axis=-1))


@dataclass(frozen=True, kw_only=True, eq=False)
class Counted:
    """A target population as what each patient counts in it, index `patient`, and its name."""

    standardisation: pd.Series
    name: str


def counted(weights: Weights) -> Counted:
    """The target population of weights."""
    return Counted(
        standardisation=weights.standardisation,
        name=f"the target population of the weights ({weights.target}",
    )


def population_of(fit: Fitted, target: Target, seed: int = 0) -> Population:
    """Find the population that `target` names.

    Of weights it is their target population, patients who have no row in the model included: patients count by h(x). With a posterior the
    patients are a sample of that population and get weights of the Bayesian bootstrap (Dirichlet(1, …, 1) times h) draw by draw, so that the
    estimate is one of the population.

    Source: Rubin (1981), Annals of Statistics 9:130, doi:10.1214/aos/1176345338.
    """
    design = fit.design
    if isinstance(target, Weights):
        target = counted(target)
    if isinstance(target, Counted):
        rows, counts = counted_rows(design, target.standardisation)
        weights = counts
        if isinstance(fit, Fit):
            size = fit.parameters.sizes["chain"] * fit.parameters.sizes["draw"]
            drawn = np.random.default_rng([seed, 1981]).standard_exponential((size, len(counts)))
            weights = drawn * counts
        away = int((counts[design.n_patients :] > 0).sum())
        words = f"{target.name}; {int((counts > 0).sum())} patients count in it"
        words += f", {away} of them without a row in the model)" if away else ")"
        return Population(design=design, rows=rows, weights=weights, words=words)
    if not isinstance(target, str):
        check_weights(target)
    if target == "everyone":
        words = f"the {design.n_patients} patients in the model"
        return Population(design=design, rows=design.target, weights=np.ones(design.n_patients), words=words)
    rows = design.target[design.target["arm"].astype(str) == target]
    if rows.empty:
        raise ValueError(
            f"target must be 'everyone', weights, or one of {', '.join(design.arms)}, not {target!r}."
        )
    return Population(
        design=design, rows=rows, weights=np.ones(len(rows)), words=f"the {len(rows)} of arm {target}"
    )


def counted_rows(design: Design, standardisation: pd.Series) -> tuple[pd.DataFrame, Floats]:
    """The patients of a design, then those without a row who count, and what each counts in a target population (index `patient`)."""
    if design.patient_ids is None:
        raise ValueError(
            "this fit was loaded from a file, which holds no identifiers: weights cannot be matched to its patients. Fit anew, or name an arm."
        )
    away = unseen_of(design, standardisation)
    counts = np.append(
        by_design(standardisation, design), standardisation.loc[away.index].to_numpy(dtype=float)
    )
    if not (counts[: design.n_patients] > 0).any():
        raise ValueError(
            "nobody of this fit is in the target population of the weights: make them from the same cohort."
        )
    return pd.concat([design.target, away], ignore_index=True), counts


def unseen_of(design: Design, standardisation: pd.Series) -> pd.DataFrame:
    """Patients without a row in a design who are among those of a target population."""
    if design.unseen is None:
        return design.target.iloc[:0]
    return design.unseen[design.unseen.index.isin(standardisation.index)]


def by_design(values: pd.Series, design: Design) -> Floats:
    """Values of patients (index `patient`) in the order of a design; 0 for those without."""
    return values.reindex(list(design.patient_ids or ())).fillna(0.0).to_numpy(dtype=float)


def levels_of(design: Design, by: By) -> dict[str, list[Any]]:
    """Check the covariates and values that an estimand is asked for by, and warn where values were not observed."""
    made: dict[str, list[Any]] = {}
    for name, values in (by or {}).items():
        if name not in design.target.columns or name == "arm":
            have = [column for column in design.target.columns if column != "arm"]
            raise FormulaError(
                f"by={name!r} is no patients' covariate of the formula, so the effect cannot depend on it; there are: "
                f"{', '.join(have) or 'none'}."
            )
        made[name] = [
            value if isinstance(value, str) else float(value)
            for value in np.atleast_1d(np.asarray(values, dtype=object))
        ]
        _check_values(design.target[name], name, made[name])
    return made


def _check_values(column: pd.Series, name: str, values: list[Any]) -> None:
    if not values or len(set(values)) < len(values):
        raise ValueError(f"by={name!r} needs different values, not {values}.")
    if not pd.api.types.is_numeric_dtype(column):
        unknown = [value for value in values if value not in set(column.astype(str))]
        if unknown:
            raise ValueError(
                f"nobody has {name} {unknown[0]!r}; there are: {', '.join(sorted(set(column.astype(str))))}."
            )
        return
    if any(isinstance(value, str) for value in values):
        raise ValueError(f"{name} is a number, and by= has {values}.")
    low, high = float(column.min()), float(column.max())
    if outside := [value for value in values if not low <= value <= high]:
        warnings.warn(
            f"{name} {', '.join(f'{v:g}' for v in outside)} lies outside what was observed ({low:g} to {high:g}): the model extrapolates.",
            ExtrapolationWarning,
            skip_file_prefixes=(_HERE,),
        )


def _said(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def labelled_draws(
    samples: Floats, drawn: xr.Dataset | xr.DataArray, coords: Mapping[str, Sequence[Any]]
) -> xr.DataArray:
    """Give samples × … the chains and draws of `drawn` back, and names to the other dims."""
    shape = (drawn.sizes["chain"], drawn.sizes["draw"], *samples.shape[1:])
    dims = ("chain", "draw", *coords)
    return xr.DataArray(samples.reshape(shape), dims=dims, coords=dict(coords))


def warn_outside(design: Design, times: list[float]) -> None:
    """Warn where times lie outside the observed follow-up of an arm."""
    for arm in design.arms if design.compares_arms else (None,):
        first, last = design.followup(arm)
        outside = [t for t in times if t < first - 0.5 or t > last + 0.1]
        if outside:
            warnings.warn(
                f"{', '.join(f'{t:g}' for t in outside)} years lie outside the observed follow-up"
                f"{'' if arm is None else f' of {arm}'} ({first:.2f} to {last:.2f} years): the model extrapolates.",
                ExtrapolationWarning,
                skip_file_prefixes=(_HERE,),
            )
