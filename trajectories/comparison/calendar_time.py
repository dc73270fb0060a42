"""Whether arms were treated in the same years: placebo and real-world outcomes of MS improved for decades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd

from trajectories.cohort import Cohort
from trajectories.comparison.histories import start_years
from trajectories.printing import sentence

__all__ = ["CalendarOverlap", "calendar_overlap"]

HARDLY = 0.3
"""Overlap of two arms' years below which they are called hardly comparable in time."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CalendarOverlap:
    """When the arms were treated; made by `calendar_overlap`.

    Parameters
    ----------
    arms
        Index `arm`: `patients`, `dated`, `first`, `lower` (quartile), `median`, `upper`, `last`, in calendar years with their fraction.
    pairs
        A row a pair of arms: `arm`, `other`, `overlap` (Σ over years of the smaller share of patients; 1 alike, 0 apart), `alone` and
        `other_alone` (patients who started in a year in which the other arm had nobody).
    shares
        Share of each arm's patients by year of start: years × arms.
    """

    arms: pd.DataFrame = field(repr=False)
    pairs: pd.DataFrame = field(repr=False)
    shares: pd.DataFrame = field(repr=False)
    cohort_name: str
    simulated: bool

    @property
    def warnings(self) -> tuple[str, ...]:
        """One sentence for each pair of arms that hardly overlap."""
        median = self.arms["median"].round(1)
        said = []
        for _, row in self.pairs[self.pairs["overlap"] < HARDLY].iterrows():
            a, b = row["arm"], row["other"]
            said.append(
                f"{b} and {a} hardly overlap in calendar time: their years of start overlap by {100 * row['overlap']:.0f} % (medians "
                f"{median[b]} and {median[a]}); {row['other_alone']} patients of {b} and {row['alone']} of {a} started in a year in which "
                "nobody was given the other. A start_year in the formula then extrapolates."
            )
        return tuple(said)

    def summary(self) -> pd.DataFrame:
        """Return `pairs`, a copy."""
        return self.pairs.copy()

    def __str__(self) -> str:
        lines = [f"Calendar years of treatment start, cohort '{self.cohort_name}'"]
        lines += ["SIMULATED data: nobody was treated."] if self.simulated else []
        lines += [self.arms.round(1).to_string(), self.pairs.round(2).to_string(index=False)]
        for said in (
            *self.warnings,
            "overlap: sum over calendar years of the smaller of the two shares; 1 is alike, 0 is apart",
        ):
            lines += sentence(said, bullet="- ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def calendar_overlap(cohort: Cohort, arms: Sequence[str] | None = None) -> CalendarOverlap:
    """Compare the calendar years in which the arms started treatment.

    overlap_ab = Σ_year min(share_a(year), share_b(year)). Calendar time is a common cause of treatment choice (drugs are licensed and go out
    of use) and outcome: adjust by `start_year` (`tj.with_history`), as a trend, or year by year: a column of whole years, `(1 | year)`. A centre
    is a covariate, has effects drawn from one distribution, `(1 | centre)`, or is a cluster: `tj.Bootstrap(cluster="centre")`.

    Parameters
    ----------
    cohort
        With dates in the column `start` of its patients, or years as numbers in `start_year`.
    arms
        Which to compare; None for all.

    Returns
    -------
    `CalendarOverlap`; its `warnings` name pairs that overlap by less than 30 %.

    Raises
    ------
    ValueError
        If patients have no dates or years of start, or an arm has none that is known.

    Source: Inman and Bradley (1989), Communications in Statistics 18:3851, doi:10.1080/03610928908830127, for the coefficient.

    Examples
    --------
    >>> import trajectories as tj
    >>> dates = pd.to_datetime(["2010-03-01", "2012-03-01", "2012-04-01", "2020-05-01"])
    >>> visits = pd.DataFrame({"patient": list("abcd"), "date": dates, "edss": 2.0})
    >>> people = pd.DataFrame({"patient": list("abcd"), "arm": ["old", "old", "new", "new"], "start": dates})
    >>> tj.calendar_overlap(tj.read_cohort(visits, patients=people)).pairs["overlap"].tolist()
    [0.5]
    """
    people = cohort.patients
    arm, year = people["arm"].astype(str), start_years(people)
    if year is None:
        raise ValueError(
            f"the patients of '{cohort.name}' have no dates of treatment start: give the column 'start' of patients as dates, or 'start_year' "
            "as numbers."
        )
    arms = cohort.arms if arms is None else arms
    rows = []
    for name in arms:
        mine = year[arm == name].dropna()
        if mine.empty:
            raise ValueError(f"no patient of {name} has a date or year of treatment start.")
        first, lower, median, upper, last = np.quantile(mine, [0, 0.25, 0.5, 0.75, 1])
        rows.append(
            {
                "arm": name, "patients": int((arm == name).sum()), "dated": len(mine), "first": first, "lower": lower,
                "median": median, "upper": upper, "last": last,
            }
        )  # fmt: skip
    known = year.notna() & arm.isin(arms)
    counts = pd.crosstab(np.floor(year[known]).astype(int), arm[known])[list(arms)]
    counts.index.name, counts.columns.name = "year", "arm"
    shares = counts / counts.sum()
    pairs = [
        {
            "arm": a, "other": b, "overlap": float(np.minimum(shares[a], shares[b]).sum()),
            "alone": int(counts.loc[counts[b] == 0, a].sum()), "other_alone": int(counts.loc[counts[a] == 0, b].sum()),
        }
        for a, b in combinations(arms, 2)
    ]  # fmt: skip
    return CalendarOverlap(
        arms=pd.DataFrame(rows).set_index("arm"), pairs=pd.DataFrame(pairs, columns=["arm", "other", "overlap", "alone", "other_alone"]),
        shares=shares, cohort_name=cohort.name, simulated=cohort.simulated,
    )  # fmt: skip
