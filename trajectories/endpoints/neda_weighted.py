"""Shares with no evidence of disease activity in weighted patients, and differences of shares between groups."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from trajectories.endpoints.groups import PatientGroups
from trajectories.endpoints.neda_patients import ANSWERS
from trajectories.endpoints.patient_weights import WeightedPatients
from trajectories.endpoints.shares import difference_limits, logit_limits
from trajectories.endpoints.survival_steps import Floats, log_log_interval, weighted_steps
from trajectories.estimate import normal_limit

__all__ = ["share_differences", "weighted_shares"]

_ESTIMATES = {
    "among evaluable": ("proportion", "lower", "upper"),
    "Kaplan-Meier": ("km", "km_lower", "km_upper"),
}


def weighted_shares(
    patients: pd.DataFrame, groups: PatientGroups, weighted: WeightedPatients, *, ci: float
) -> tuple[pd.DataFrame, dict[str, Floats]]:
    """Estimate the shares of `Neda3.to_frame()` in weighted patients.

    Parameters
    ----------
    patients
        The frame of `Neda3.by_patient()`.
    groups, weighted
        Of the same patients, in the same order.
    ci
        Level of the intervals: of the share among evaluable on the logit scale, of Kaplan-Meier's log-log.

    Returns
    -------
    One row a group: `proportion` = Σ w NEDA / Σ w evaluable, … `km_upper`; and by group each patient's influence on the share among
    evaluable and on Kaplan-Meier's (patients × 2).
    """
    rows, influences = [], {}
    for g, name in enumerate(groups.names):
        row, influences[name] = _group(patients, groups.members(g), weighted, normal_limit(ci))
        rows.append(row)
    return pd.DataFrame(rows), influences


def _group(
    patients: pd.DataFrame,
    mine: np.ndarray[tuple[int, ...], np.dtype[np.bool_]],
    weighted: WeightedPatients,
    z: float,
) -> tuple[dict[str, float], Floats]:
    w, answer = weighted.values[mine], patients["answer"][mine].to_numpy()
    neda, unknown = (np.asarray(answer == ANSWERS[k], dtype=np.float64) for k in (0, 2))
    evaluable = 1 - unknown
    at = float(w @ evaluable)
    share = float(w @ neda) / at if at else math.nan
    active = patients["ended_by_activity"][mine].to_numpy(dtype=np.int64)
    steps = weighted_steps(patients["years_observed"][mine].to_numpy(dtype=np.float64), active, w)
    slopes = np.column_stack([evaluable * (neda - share) / (at or math.nan), -steps.slopes[:, -1, 0]])
    influence = weighted.influences(slopes, mine)
    error, km_error = np.sqrt((influence**2).sum(axis=0))
    lower, upper = logit_limits(share, error, z)
    km = steps.survival[-1]
    km_lower, km_upper = (
        float(limit[0]) for limit in log_log_interval(np.array([km]), np.array([km_error]), z)
    )
    row = {
        "proportion": share,
        "lower": lower,
        "upper": upper,
        "lowest": float(w @ neda / w.sum()),
        "highest": float(w @ (neda + unknown) / w.sum()),
        "km": float(km),
        "km_lower": km_lower,
        "km_upper": km_upper,
    }
    return row, influence


def share_differences(table: pd.DataFrame, influences: Mapping[str, Floats], reference: int) -> pd.DataFrame:
    """Return the frame of `Neda3.difference()`, from that of `Neda3.to_frame()`."""
    rows = []
    base = table.iloc[reference]
    for place, (_, row) in enumerate(table.iterrows()):
        if place == reference:
            continue
        for k, (of, columns) in enumerate(_ESTIMATES.items()):
            one, other = ([float(line[column]) for column in columns] for line in (row, base))
            alike = _correlation(influences, str(row["group"]), str(base["group"]), k)
            lower, upper = difference_limits(one, other, alike)
            rows.append(
                {
                    "group": row["group"],
                    "reference": base["group"],
                    "of": of,
                    "difference": one[0] - other[0],
                    "lower": lower,
                    "upper": upper,
                    "suppressed": bool(row["suppressed"] or base["suppressed"]),
                }
            )
    return pd.DataFrame(rows)


def _correlation(influences: Mapping[str, Floats], group: str, reference: str, k: int) -> float:
    """Correlation of two groups' estimates: 0 without weights, and with weights that are taken as known."""
    if not influences:
        return 0.0
    one, other = influences[group][:, k], influences[reference][:, k]
    size = math.sqrt(float(one @ one) * float(other @ other))
    return float(one @ other) / size if size else 0.0
