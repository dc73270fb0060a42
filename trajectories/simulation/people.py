"""Who is in a simulated cohort, and whether the parameters speak of the same arms."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from trajectories.simulation.schedule import DropOut
from trajectories.simulation.truth import OrdinalTruth, RelapseTruth

EFFECTS = ("intercept", "slope", "log_rate", "frailty")  # columns of the truth, so not for covariates


def people_of(patients: int | Mapping[str, int] | pd.DataFrame) -> pd.DataFrame:
    """One row a patient: `patient`, `arm` (ordered, the reference first), covariates."""
    if isinstance(patients, pd.DataFrame):
        people = patients.reset_index(drop=True)
        if "arm" not in people:
            raise ValueError(f"the table of patients needs a column 'arm'; it has {list(people.columns)}")
        taken = [column for column in people if column in EFFECTS]
        if taken:
            raise ValueError(f"the names {taken} are taken by the patient effects; rename these covariates")
    else:
        sizes = patients if isinstance(patients, Mapping) else {"all": patients}
        people = pd.DataFrame({"arm": [arm for arm, size in sizes.items() for _ in range(size)]})
        if len(people["arm"].unique()) < max(len(sizes), 1):
            raise ValueError(f"every arm needs at least one patient, got {dict(sizes)}")
    if people.empty or people["arm"].isna().any():
        raise ValueError("there must be at least one patient, and every patient needs an arm")
    if "patient" not in people:
        people.insert(0, "patient", [f"sim{i:04d}" for i in range(1, len(people) + 1)])
    if not isinstance(people["arm"].dtype, pd.CategoricalDtype):
        people["arm"] = pd.Categorical(people["arm"], categories=people["arm"].unique(), ordered=True)
    return people


def check_arms(
    people: pd.DataFrame, disability: OrdinalTruth, relapses: RelapseTruth | None, dropout: DropOut | None
) -> None:
    """Raise ValueError unless the parameters name arms of the patients, and rates by arm all of them."""
    arms = set(people["arm"].cat.categories)
    given: dict[str, float | Mapping[str, float]] = {
        "disability.arm_shift": disability.arm_shift,
        "disability.arm_slope": disability.arm_slope,
    }
    may_lack = set(given)
    if relapses is not None:
        given |= {f"relapses.{name}": getattr(relapses, name) for name in ("before", "after", "dispersion")}
    if dropout is not None:
        given["dropout.rate"] = dropout.rate
    for name, value in given.items():
        named = set(value) if isinstance(value, Mapping) else arms
        unknown, lacking = named - arms, set() if name in may_lack else arms - named
        if unknown or lacking:
            raise ValueError(
                f"{name} must name the arms {sorted(arms)}; "
                f"unknown: {sorted(unknown) or 'none'}, missing: {sorted(lacking) or 'none'}"
            )
