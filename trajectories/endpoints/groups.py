"""Groups of patients: the arms, or the levels of a covariate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import Cohort

__all__ = ["EVERYBODY", "PatientGroups", "patient_groups"]

EVERYBODY = "everybody"
MOST_GROUPS = 12
"""Levels up to which a covariate makes groups: more are a measurement rather than groups."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PatientGroups:
    """Which group each patient of a cohort is in.

    Fields: `by` (what groups them: a column of the patients, or "everybody"), `names` (of the groups, in order), `code`
    (position in `names`, shape (patients,), −1 for a patient without a value).
    """

    by: str
    names: tuple[str, ...]
    code: NDArray[np.int64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Patients in each group."""
        return np.bincount(self.code[self.code >= 0], minlength=len(self.names)).astype(np.int64)

    @property
    def without(self) -> int:
        """Patients in no group, as they have no value."""
        return int((self.code < 0).sum())

    def members(self, group: int) -> NDArray[np.bool_]:
        """Which patients are in a group."""
        return np.asarray(self.code == group)

    def reference(self, name: str | None) -> int:
        """Return the position of the reference group: the first if no name is given."""
        if name is None:
            return 0
        if str(name) not in self.names:
            raise ValueError(f"reference must be one of {', '.join(self.names)}, not {name!r}.")
        return self.names.index(str(name))

    def note(self) -> tuple[str, ...]:
        """Say how many patients are in no group."""
        if not self.without:
            return ()
        return (f"{self.without} of {len(self.code)} patients have no {self.by} and are in no group.",)


def patient_groups(cohort: Cohort, by: str | None) -> PatientGroups:
    """Group the patients by arm or by a covariate.

    Parameters
    ----------
    cohort
        The patients.
    by
        A column of the patients: categories keep their order, text is sorted, yes/no is "no", "yes", numbers ascend;
        None puts everybody in one group.

    Raises
    ------
    ValueError
        If there is no such column, nobody has a value, or it has more than 12 levels.

    Examples
    --------
    >>> from trajectories.example_cohorts import simulated_three_dmts_400
    >>> patient_groups(simulated_three_dmts_400(), "sex").sizes.tolist()
    [264, 136]
    """
    if by is None:
        return PatientGroups(
            by=EVERYBODY, names=(EVERYBODY,), code=np.zeros(cohort.n_patients, dtype=np.int64)
        )
    patients = cohort.patients
    if by not in patients.columns or by == "patient":
        known = ", ".join(str(column) for column in patients.columns if column != "patient")
        raise ValueError(f"by must be a column of the patients ({known}) or None, not {by!r}.")
    levels = _levels(patients[by])
    names = tuple(str(level) for level in levels.cat.categories)
    if not names:
        raise ValueError(f"no patient has a value of {by!r}, so there are no groups.")
    if len(names) > MOST_GROUPS:
        raise ValueError(
            f"{by!r} has {len(names)} different values: make groups of it first, such as by pd.cut, "
            f"in the table of patients (at most {MOST_GROUPS})."
        )
    return PatientGroups(by=by, names=names, code=levels.cat.codes.to_numpy().astype(np.int64))


def _levels(values: pd.Series) -> pd.Series:
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.remove_unused_categories()
    if pd.api.types.is_bool_dtype(values):
        words = values.astype("boolean").map({True: "yes", False: "no"})
        return pd.Series(pd.Categorical(words, categories=["no", "yes"])).cat.remove_unused_categories()
    if pd.api.types.is_numeric_dtype(values):
        numbers = values.astype("Float64").astype("float64")
        ordered = np.unique(numbers.dropna())
        words = numbers.map(lambda number: f"{number:.12g}", na_action="ignore")
        return pd.Series(pd.Categorical(words, categories=[f"{number:.12g}" for number in ordered]))
    text = values.map(str, na_action="ignore")
    return pd.Series(pd.Categorical(text, categories=sorted(text.dropna().unique())))
