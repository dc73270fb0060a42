"""The rows of a binary outcome: visits with an event or without, from a column of 0 and 1 or from EDSS at or above a threshold."""

from __future__ import annotations

import numpy as np
import pandas as pd

from trajectories.cohort import Cohort
from trajectories.formulas import FormulaError
from trajectories.models.assembly import assemble, visit_rows
from trajectories.models.design import Design, Floats
from trajectories.tables import CohortError, nearest

__all__ = ["event_design"]

_SHOWN = 10


def event_design(formula: str, cohort: Cohort, response: str, threshold: float | None) -> Design:
    """Make the design: one row a visit with the outcome, which is 1.0 where there was an event and 0.0 where not.

    Raises
    ------
    FormulaError
        If the visits have no such column.
    CohortError
        If a value is neither 0 nor 1, true nor false.
    ValueError
        If the outcome is the same at every visit.
    """
    if response not in cohort.visits.columns:
        near = nearest(response, list(cohort.visits.columns))
        raise FormulaError(
            f"the visits have no column {response!r} for the outcome of {formula!r}."
            + (f" Did you mean {near!r}?" if near else " The outcome of this model is a column of visits.")
        )
    rows, named, excluded = visit_rows(formula, cohort, response)
    events = rows[response] >= threshold if threshold is not None else _zeros_and_ones(rows, response)
    design = assemble(formula, rows.assign(**{response: events.astype(float)}), named, excluded, cohort)
    _check_varies(design, response, threshold)
    return design


def _zeros_and_ones(rows: pd.DataFrame, column: str) -> Floats:
    """Read 0 and 1, False and True, and these as text, as a file of True and False has them."""
    text = rows[column].astype(str).str.strip().str.casefold()
    events = text.map({"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0})
    bad = events.isna().to_numpy()
    if bad.any():
        wrong = rows[bad]
        shown = [
            f"  {value!r} (patient {patient}, day {day})"
            for value, patient, day in zip(wrong[column], wrong["patient"], wrong["day"], strict=True)
        ][:_SHOWN]
        more = [f"  … and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        raise CohortError(
            "\n".join(
                [
                    f"visits, column {column!r}: {len(wrong)} of {len(rows)} values are neither 0 or 1 nor true or false.",
                    *shown,
                    *more,
                    "  What to do: write 1 where there was the event, 0 where not, and leave it empty where it is not known"
                    + (
                        f"; for EDSS at or above a level: models.BinaryMixed('edss ~ …', threshold={6.0:g})."
                        if column == "edss"
                        else "."
                    ),
                ]
            )
        )
    return np.asarray(events, dtype=float)


def _check_varies(design: Design, response: str, threshold: float | None) -> None:
    if np.ptp(design.outcome) > 0:
        return
    what = f"{response} is {design.outcome[0]:g}"
    if threshold is not None:
        what = f"EDSS is {'at or above' if design.outcome[0] else 'below'} {threshold:g}"
    raise ValueError(
        f"{what} at every one of {len(design.frame)} visits of {design.n_patients} patients: there is nothing to explain. "
        + ("Choose another threshold." if threshold is not None else "Choose another outcome.")
    )
