"""Who is in the trial: criteria as values, and how many of each arm they leave out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Eligible", "attrition"]


@dataclass(frozen=True, kw_only=True)
class Eligible:
    """An eligibility criterion on what is known at time 0; who lacks the value does not meet it, and is counted apart.

    Parameters
    ----------
    name
        In words, for the protocol.
    column
        A column of the patients. Alone, it must be true or false.
    at_least, at_most
        Bounds of a number, themselves included.
    among
        Allowed values.
    known
        Whether it is enough that the value is known.
    met
        In place of a column, a function from the table of patients to true or false for each.

    Raises
    ------
    ValueError
        Unless there is either a column or a function.

    Examples
    --------
    >>> Eligible(name="aged 18 to 55", column="age", at_least=18, at_most=55).of(pd.DataFrame({"age": [17.0, 30.0, None]})).tolist()
    [False, True, <NA>]
    """

    name: str
    column: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    among: tuple[Any, ...] = ()
    known: bool = False
    met: Callable[[pd.DataFrame], Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.column is None) == (self.met is None):
            raise ValueError(f"criterion {self.name!r} needs either a column or a function met=.")
        if isinstance(self.among, str):
            raise TypeError(f"among takes several values: write ({self.among!r},).")

    def of(self, patients: pd.DataFrame) -> pd.Series:
        """Whether each patient meets it: true, false, or missing where the value is.

        Raises
        ------
        ValueError
            If there is no such column, or it alone is not true or false, or the function gives something else.
        """
        if self.met is not None:
            found = pd.Series(self.met(patients), index=patients.index)
            if not _is_truth(found) or len(found) != len(patients):
                raise ValueError(
                    f"criterion {self.name!r} must give true or false for each patient, not {found.dtype}."
                )
            return found.astype("boolean")
        if self.column not in patients:
            raise ValueError(
                f"criterion {self.name!r} names {self.column!r}, which is no column of the patients."
            )
        values = patients[self.column]
        bounds = self.at_least is not None or self.at_most is not None
        if self.known:
            return values.notna().astype("boolean")
        if not bounds and not self.among:
            if not _is_truth(values):
                raise ValueError(
                    f"column {self.column!r} of criterion {self.name!r} is not true or false: give bounds, among= or known=True."
                )
            return values.astype("boolean")
        inside = pd.Series(True, index=patients.index)
        if bounds and not pd.api.types.is_numeric_dtype(values):
            raise ValueError(f"criterion {self.name!r} has bounds, and {self.column!r} is no number.")
        if self.at_least is not None:
            inside &= values >= self.at_least
        if self.at_most is not None:
            inside &= values <= self.at_most
        if self.among:
            inside &= values.isin(self.among)
        return inside.astype("boolean").mask(values.isna())


def _is_truth(values: pd.Series) -> bool:
    return pd.api.types.is_bool_dtype(values) or bool(
        values.dropna().isin([True, False]).all() and values.dtype == object
    )


def attrition(patients: pd.DataFrame, criteria: Sequence[Eligible]) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Apply criteria one after the other: numbers by criterion and arm, and who remains.

    Returns
    -------
    A frame, index `criterion`, `arm`: `before`, `not_met`, `unknown` (the value is missing), `left`; and a mask of the patients.

    Examples
    --------
    >>> people = pd.DataFrame({"arm": ["a", "a", "b"], "age": [17.0, 30.0, None]})
    >>> attrition(people, [Eligible(name="adult", column="age", at_least=18)])[0]["left"].tolist()
    [1, 0]
    """
    inside, arm, rows = np.ones(len(patients), dtype=bool), patients["arm"].astype(str).to_numpy(), []
    for criterion in criteria:
        met = criterion.of(patients)
        unknown, yes = met.isna().to_numpy(), met.fillna(False).to_numpy(dtype=bool)
        for name in dict.fromkeys(arm):
            mine = inside & (arm == name)
            rows.append(
                {
                    "criterion": criterion.name, "arm": name, "before": int(mine.sum()), "not_met": int((mine & ~yes & ~unknown).sum()),
                    "unknown": int((mine & unknown).sum()), "left": int((mine & yes).sum()),
                }
            )  # fmt: skip
        inside &= yes
    columns = ["criterion", "arm", "before", "not_met", "unknown", "left"]
    return pd.DataFrame(rows, columns=columns).set_index(["criterion", "arm"]), inside
