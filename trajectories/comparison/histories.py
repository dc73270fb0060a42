"""What came before time 0, as covariates: previous drug, washout, reason for stopping, calendar time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from trajectories.cohort import DAYS_PER_YEAR, Cohort

__all__ = ["NO_DRUG", "WASHOUTS", "start_years", "with_history"]

NO_DRUG = "none"
WASHOUTS = ("no drug before", "up to 3 months", "3 to 12 months", "over a year")
_EDGES = (-1, 91, 365, np.inf)


def with_history(cohort: Cohort, *, drugs: Mapping[str, tuple[str, ...]] | None = None) -> Cohort:
    """Add what came before time 0 to the patients, as columns that a propensity or outcome formula can name.

    Parameters
    ----------
    cohort
        With a table of treatments, or dates of treatment start, or both.
    drugs
        Which drugs an arm stands for, where it does not have the name of its drug; these are not previous drugs.

    Returns
    -------
    A `Cohort` whose patients have, from treatments: `previous_drug` (the other drug last taken before time 0, "none" without), `washout_days`
    (from its last day to time 0, 0 if it was still going on; missing without a drug), `washout` (in classes, never missing), `stop_reason` (of
    that course, if treatments have this column; "unknown" where empty); from dates: `start_year` (calendar time, 2015.5 for mid-2015).

    Raises
    ------
    ValueError
        If there is neither a table of treatments nor a date of start.

    Examples
    --------
    >>> import trajectories as tj
    >>> visits = pd.DataFrame({"patient": ["a"], "day": [0], "edss": [2.0]})
    >>> courses = pd.DataFrame({"patient": "a", "drug": ["natalizumab", "alemtuzumab"], "start": [-900, 0], "stop": [-80, 4]})
    >>> patients = tj.with_history(tj.read_cohort(visits, treatments=courses)).patients
    >>> patients[["previous_drug", "washout_days", "washout"]].to_numpy().tolist()
    [['natalizumab', 80.0, 'up to 3 months']]
    """
    people, courses = cohort.patients, cohort.treatments
    dated = "start" in people and pd.api.types.is_datetime64_any_dtype(people["start"])
    if courses is None and not dated:
        raise ValueError(
            f"'{cohort.name}' has no table of treatments and no dates of treatment start: give treatments= to tj.read_cohort, or the column "
            "'start' of patients as dates."
        )
    notes = []
    if courses is not None:
        people = people.assign(**_before(people, courses, drugs or {}))
        drug, going_on = (
            int((people["previous_drug"] != NO_DRUG).sum()),
            int((people["washout_days"] == 0).sum()),
        )
        notes.append(
            f"Before time 0: {drug} of {len(people)} patients had another drug, {going_on} of them until time 0 or without a recorded stop "
            "(washout 0)."
        )
    if dated:
        people["start_year"] = decimal_year(people["start"])
        unknown = int(people["start_year"].isna().sum())
        notes += [f"{unknown} patients have no date of treatment start: no start_year."] if unknown else []
    return replace(cohort, patients_table=people, notes=(*cohort.notes, *notes))


def start_years(people: pd.DataFrame) -> pd.Series | None:
    """Calendar year of each patient's treatment start: of the dates in `start`, or the numbers in `start_year`; None without either.

    >>> start_years(pd.DataFrame({"start_year": [2014, 2015]})).tolist()
    [2014.0, 2015.0]
    """
    if "start" in people and pd.api.types.is_datetime64_any_dtype(people["start"]):
        return decimal_year(people["start"])
    if "start_year" in people and pd.api.types.is_numeric_dtype(people["start_year"]):
        return people["start_year"].astype(float)
    return None


def decimal_year(dates: pd.Series) -> pd.Series:
    """Turn dates into calendar years with their fraction.

    >>> decimal_year(pd.Series(pd.to_datetime(["2015-01-01", "2015-07-02"]))).round(2).tolist()
    [2015.0, 2015.5]
    """
    year: pd.Series = dates.dt.year + (dates.dt.day_of_year - 1) / DAYS_PER_YEAR
    return year


def _before(
    people: pd.DataFrame, courses: pd.DataFrame, drugs: Mapping[str, tuple[str, ...]]
) -> dict[str, Any]:
    arm = people.set_index("patient")["arm"].astype(str)
    own = courses["patient"].map(arm)
    mine = [drug in drugs.get(name, (name,)) for drug, name in zip(courses["drug"], own, strict=True)]
    earlier = courses[(courses["start_day"] < 0) & ~np.array(mine, dtype=bool)]
    earlier = earlier.assign(until=earlier["stop_day"].fillna(0).clip(upper=0))
    last = (
        earlier.sort_values(["until", "start_day"], kind="stable")
        .groupby("patient")
        .tail(1)
        .set_index("patient")
    )
    names = people["patient"]
    days = -names.map(last["until"]).astype(float) + 0.0  # no minus zero
    classes = pd.cut(days, list(_EDGES), labels=list(WASHOUTS[1:])).astype(object)
    made: dict[str, Any] = {
        "previous_drug": names.map(last["drug"]).astype(object).fillna(NO_DRUG).astype(str),
        "washout_days": days,
        "washout": pd.Series(
            pd.Categorical(classes.where(days.notna(), WASHOUTS[0]), list(WASHOUTS), ordered=True),
            index=people.index,
        ),
    }
    if "stop_reason" in courses:
        reason = last["stop_reason"].astype(object).fillna("unknown").astype(str)
        made["stop_reason"] = names.map(reason).astype(object).fillna(WASHOUTS[0]).astype(str)
    return made
