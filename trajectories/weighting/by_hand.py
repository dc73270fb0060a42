"""Weights that were made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pandas as pd

from trajectories.caveats import SIMULATED
from trajectories.cohort import Cohort
from trajectories.weighting.cases import by_arm
from trajectories.weighting.errors import WeightingError
from trajectories.weighting.targets import check_target
from trajectories.weighting.values import Weights, normalised

__all__ = ["weights_of"]


@dataclass(frozen=True, kw_only=True)
class _Known:
    fractional: ClassVar[bool] = False

    def remade(self, cohort: Cohort, counts: pd.Series | None = None) -> Weights:
        raise WeightingError(
            "weights given by hand cannot be made again on a resample, as nobody said how they were made: make them by weights, "
            "entropy_balance or match, or use a sandwich variance, which takes them as known."
        )


def weights_of(
    cohort: Cohort,
    values: pd.Series,
    target: Literal["ATE", "ATT"] = "ATE",
    *,
    treated: str | None = None,
    covariates: Sequence[str] = (),
) -> Weights:
    """Take weights that were made elsewhere; they are scaled to average 1 within each arm.

    Parameters
    ----------
    cohort
        The patients.
    values
        One weight a patient, indexed by the patient's identifier; patients that are not in it are left out and counted.
    target, treated
        The population they are meant for: everybody (`"ATE"`) or those given `treated` (`"ATT"`).
    covariates
        Columns of the patients table to judge the balance of.

    Returns
    -------
    Weights
        Without `remade`, as the procedure is not known.

    Raises
    ------
    WeightingError
        For negative, infinite, missing or doubled weights, unknown patients, an arm without weight.

    Examples
    --------
    >>> from trajectories.example_cohorts import simulated_three_dmts_400
    >>> cohort = simulated_three_dmts_400()
    >>> equal = weights_of(cohort, pd.Series(2.0, index=cohort.patients["patient"]))
    >>> float(equal.values.max())
    1.0
    """
    if not isinstance(values, pd.Series):
        raise WeightingError(
            f"a {type(values).__name__} does not say whose weights these are: give a Series, "
            "pd.Series(numbers, index=cohort.patients['patient'])."
        )
    table = cohort.patients.set_index("patient")
    _refuse_values(values, table.index)
    table = table[table.index.isin(values.index)]
    arm = table["arm"].astype(str)
    arms = tuple(name for name in cohort.arms if (arm == name).any())
    if len(arms) < 2:
        raise WeightingError(f"there is one arm only ({', '.join(arms)}): weights compare two or more.")
    check_target(target, treated, arms, ("ATE", "ATT"))
    raw = pd.Series(values.astype(float).reindex(table.index), index=table.index)
    for name in arms:
        if not raw[arm == name].sum() > 0:
            raise WeightingError(f"all weights of {name} are 0: somebody of every arm must count.")
    scaled, scales = normalised(raw, arm, arms)
    counted = np.ones(len(arm)) if treated is None else (arm == treated).to_numpy(dtype=float)
    everybody = cohort.patients["arm"].astype(str)
    lacking = everybody[~cohort.patients["patient"].isin(values.index)]
    lost = f"left out, as no weight was given: {by_arm(lacking, everybody, cohort.arms)}"
    population = "all patients" if treated is None else f"patients like those given {treated}"
    return Weights(
        values=scaled, standardisation=pd.Series(counted, index=table.index, name="standardisation"), arm=arm, arms=arms,
        target=target, treated=treated, description=f"target {target}: {population}; weights given by hand.",
        candidates=_columns(table, covariates), cohort_sizes={name: int((everybody == name).sum()) for name in arms}, scales=scales,
        caveats=(SIMULATED,) if cohort.simulated else (), notes=(lost,) if len(lacking) else (), simulated=cohort.simulated,
        recipe=_Known(),
    )  # fmt: skip


def _refuse_values(values: pd.Series, patients: pd.Index) -> None:
    if not pd.api.types.is_numeric_dtype(values):
        raise WeightingError(f"weights must be numbers, not {values.dtype}.")
    unknown, doubled = ~values.index.isin(patients), values.index.duplicated()
    w = values.to_numpy(dtype=float)
    for wrong, what in (
        (unknown, "belong to no patient of the cohort: index them by the identifiers of the patients table"),
        (doubled, "belong to a patient who has one already: give one weight a patient"),
        (np.isnan(w), "are missing: leave those patients out of the weights"),
        (np.isinf(w), "are infinite: the propensity behind them is 0; use an overlap target or trim"),
        (w < 0, "are negative: a patient cannot count less than not at all"),
    ):
        if wrong.any():
            places = ", ".join(str(place) for place in np.flatnonzero(wrong)[:10])
            more = f" and {wrong.sum() - 10} more" if wrong.sum() > 10 else ""
            raise WeightingError(f"{wrong.sum()} of {len(values)} weights (places {places}{more}) {what}.")


def _columns(table: pd.DataFrame, covariates: Sequence[str]) -> pd.DataFrame:
    for name in covariates:
        if name not in table:
            raise WeightingError(f"the cohort has no column {name!r}: it has {', '.join(map(str, table))}.")
        if table[name].isna().any():
            raise WeightingError(
                f"{name!r} is missing in {int(table[name].isna().sum())} weighted patients: balance is judged on complete columns."
            )
    return table[list(covariates)].assign(arm=table["arm"].astype(str))
