"""How often patients are seen: visits per person-year by arm, and the cohort of scheduled visits alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from trajectories.cohort import Cohort
from trajectories.endpoints.group_rates import group_rates
from trajectories.endpoints.groups import patient_groups
from trajectories.endpoints.rate_rows import rate_rows, ratio_rows
from trajectories.estimate import check_ci
from trajectories.printing import aligned, interval, number, sentence
from trajectories.windows import event_windows

__all__ = ["VisitDensity", "scheduled_only", "visit_density"]

_RATES = [
    "window",
    "start",
    "end",
    "arm",
    "patients",
    "observed",
    "person_years",
    "visits",
    "pooled",
    "rate",
    "lower",
    "upper",
]
_RATIOS = ["window", "start", "end", "arm", "reference", "ratio", "lower", "upper", "reason"]

WHY = (
    "An arm that is seen more often has its relapses and its worsening found sooner and more of both: confirmed events need visits, and the "
    "day of an event is that of a visit. If visits are made because patients are worse, means of the visits are too high.",
    "A mixed model of EDSS is valid if visits depend on the EDSS that was recorded; rates and times to events are not protected. "
    "Sensitivity: tj.scheduled_only(cohort), tj.visit_weights(cohort, …).",
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class VisitDensity:
    """Visits per person-year by arm and window; made by `visit_density`.

    Parameters
    ----------
    rates
        A row a window and arm: `patients`, `observed` (with time in the window), `person_years`, `visits`, `pooled` (visits over
        person-years), `rate` with `lower`, `upper`; `scheduled` and `with_edss`, shares of the visits (NaN if it is not recorded).
    ratios
        A row a window and arm other than the reference: `ratio` of the rates, `lower`, `upper`, `reason` (why a number is missing).
    ci
        Level of the intervals.
    cohort_name, simulated
        As in the cohort.
    """

    rates: pd.DataFrame = field(repr=False)
    ratios: pd.DataFrame = field(repr=False)
    ci: float
    cohort_name: str
    simulated: bool
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the rates, a copy."""
        return self.rates.copy()

    def summary(self) -> pd.DataFrame:
        """Return the rates with the ratio to the reference arm beside them."""
        beside = self.ratios.rename(columns={"lower": "ratio_lower", "upper": "ratio_upper"})
        columns = ["window", "arm", "ratio", "ratio_lower", "ratio_upper"]
        return self.rates.merge(beside[columns], on=["window", "arm"], how="left")

    def __str__(self) -> str:
        said = ["SIMULATED data: nobody was treated."] if self.simulated else []
        head = [
            "window",
            "arm",
            "patients",
            "person-years",
            "visits",
            "a year",
            f"{100 * self.ci:g} %",
            "ratio",
            f"{100 * self.ci:g} %",
        ]
        rows = [
            [
                str(row["window"]), str(row["arm"]), str(row["observed"]), number(row["person_years"], 1), str(row["visits"]),
                number(row["rate"]), interval(row["lower"], row["upper"]), number(row["ratio"]),
                interval(row["ratio_lower"], row["ratio_upper"]),
            ]
            for _, row in self.summary().iterrows()
        ]  # fmt: skip
        notes = [line for note in self.notes for line in sentence(note, bullet="- ")]
        return "\n".join(
            [
                f"Visit density by arm, cohort '{self.cohort_name}'",
                *said,
                *aligned([head, *rows], left=2),
                *notes,
            ]
        )

    def __repr__(self) -> str:
        return str(self)


def visit_density(
    cohort: Cohort,
    window: Sequence[float | None] = (0, None),
    *,
    reference: str | None = None,
    ci: float = 0.95,
) -> VisitDensity:
    """Estimate visits per person-year by arm and window, with their ratio to those of a reference arm.

    Visits after time 0 over the time observed; rates and ratios as of `annualised_relapse_rate`: negative binomial regression with one
    dispersion a window, exact Poisson where visits vary no more than Poisson counts (wide, for visits on a schedule).

    Parameters
    ----------
    cohort
        Any cohort; of one made by `follow`, visits under the strategy.
    window
        Start and end in years from time 0, None for the end of follow-up; more numbers make consecutive windows.
    reference
        The arm that ratios are against; None takes the first.
    ci
        Level of the intervals.

    Returns
    -------
    `VisitDensity`.

    Raises
    ------
    ValueError
        If the windows do not ascend from 0 or later, or the reference is no arm.

    Examples
    --------
    >>> import trajectories as tj
    >>> tj.visit_density(tj.simulated_three_dmts_400()).rates["rate"].round(2).tolist()
    [1.79, 1.82, 1.81]
    """
    check_ci(ci)
    if not len(window) or window[0] is None or window[0] < 0:
        raise ValueError(
            "windows of visit density begin at time 0 or later: what came before was before treatment."
        )
    groups, visits = patient_groups(cohort, "arm"), cohort.visits
    place = groups.reference(reference)
    after = visits[visits["day"] > 0]
    counted = event_windows(cohort, after, window)
    arm = dict(zip(cohort.patients["patient"], groups.code, strict=True))
    rates, ratios, exact = [], [], []
    for label, one in counted.groupby("window", observed=True, sort=False):
        found = group_rates(
            one["events"], one["exposure"], one["patient"].map(arm), groups=len(groups.names), ci=ci
        )
        about = {"window": str(label), "start": one["start"].iloc[0], "end": one["end"].iloc[0]}
        rates += [{**about, **row} for row in rate_rows(found, groups, None)]
        ratios += [{**about, **row} for row in ratio_rows(found, groups, place, None)]
        exact += [str(label)] if found.interval == "exact Poisson" else []
    frame = pd.DataFrame(rates).rename(columns={"events": "visits", "group": "arm"})[_RATES]
    return VisitDensity(
        rates=frame.join(_shares(after, frame, groups.names, arm)),
        ratios=pd.DataFrame(ratios).rename(columns={"group": "arm"}).reindex(columns=_RATIOS), ci=ci,
        cohort_name=cohort.name, simulated=cohort.simulated, notes=_notes(exact, "scheduled" in visits),
    )  # fmt: skip


def _shares(
    after: pd.DataFrame, frame: pd.DataFrame, arms: tuple[str, ...], arm: dict[str, int]
) -> pd.DataFrame:
    """Shares of the visits of each row that were scheduled and that have an EDSS."""
    made, code = [], after["patient"].map(arm)
    for _, row in frame.iterrows():
        inside = (
            (after["years"] >= row["start"])
            & (after["years"] < row["end"])
            & (code == arms.index(row["arm"]))
        )
        mine = after[inside]
        scheduled = mine["scheduled"].astype(float).mean() if "scheduled" in mine else float("nan")
        made.append({"scheduled": scheduled, "with_edss": mine["edss"].notna().mean()})
    return pd.DataFrame(made, index=frame.index)


def _notes(exact: list[str], scheduled: bool) -> tuple[str, ...]:
    how = "Visits after time 0, with and without an EDSS, over the time observed; negative binomial rates and ratios."
    if exact:
        how += f" In {', '.join(exact)} visits vary no more than Poisson counts: exact Poisson intervals, too wide if they follow a schedule."
    unknown = (
        ()
        if scheduled
        else ("There is no column 'scheduled' in the visits: who was seen out of turn is not known.",)
    )
    return (
        how,
        "Where follow-up was taken from the last visit it ends with one, which adds to every rate.",
        *unknown,
        *WHY,
    )


def scheduled_only(cohort: Cohort) -> Cohort:
    """Leave out the visits after time 0 that were not scheduled: a sensitivity analysis for visits made because patients were worse.

    Visits at or before time 0, and with them the baseline, stay; so does follow-up, as patients were under observation.

    Parameters
    ----------
    cohort
        With the column `scheduled` in its visits.

    Returns
    -------
    A `Cohort` with a note that counts the visits left out by arm.

    Raises
    ------
    ValueError
        If the visits have no column `scheduled`.

    Examples
    --------
    >>> import trajectories as tj
    >>> visits = pd.DataFrame({"patient": "a", "day": [0, 90, 180], "edss": [2.0, 4.0, 2.5], "scheduled": [True, False, True]})
    >>> tj.scheduled_only(tj.read_cohort(visits)).visits["edss"].tolist()
    [2.0, 2.5]
    """
    visits = cohort.visits
    if "scheduled" not in visits:
        raise ValueError("the visits have no column 'scheduled' (true or false): give it to tj.read_cohort.")
    out = (visits["day"] > 0) & ~visits["scheduled"].astype(bool)
    arm = visits["patient"].map(cohort.patients.set_index("patient")["arm"].astype(str))
    counts = ", ".join(
        f"{int(out[arm == name].sum())} of {int(((arm == name) & (visits['day'] > 0)).sum())} {name}"
        for name in cohort.arms
    )
    note = f"Scheduled visits only: left out, of the visits after time 0, {counts}."
    return replace(cohort, visits_table=visits[~out].reset_index(drop=True), notes=(*cohort.notes, note))
