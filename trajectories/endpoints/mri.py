"""MRI activity: gadolinium-enhancing lesions at time points, tests against baseline, new T2 lesions a year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from trajectories.cohort import Cohort
from trajectories.endpoints.group_rates import Interval, check_interval
from trajectories.endpoints.groups import patient_groups
from trajectories.endpoints.mri_tables import (
    GADOLINIUM,
    lesion_tests,
    new_lesion_table,
    scan_table,
    values_at,
)
from trajectories.endpoints.mri_text import mri_notes, mri_text
from trajectories.shift import EXACT_UP_TO
from trajectories.suppression import check_limit

__all__ = ["MriActivity", "mri_activity"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class MriActivity:
    """MRI activity by group; printing it gives the tables.

    Parameters
    ----------
    scans
        One row a measure ("gd_count", "gd_volume"), group and time point: `measure`, `group`, `at` (years), `patients`
        (in the group), `scanned` and `not_scanned` (with and without a value near the time point), `free` (patients
        without an enhancing lesion), `share` of the scanned with `lower` and `upper` (Wilson), `mean`, `sd`, and
        quartiles of the value, interpolated (`median`, `q1`, `q3`) and as observed (`median_observed`, …).
    tests
        One row a measure, group and later time point against baseline: `pairs`, patients with `no_baseline`,
        `no_later`, `neither`, the patients `higher`, `same`, `lower`, means and medians of the pairs, and of the signed
        rank test `estimate` (Hodges-Lehmann shift), `interval_lower`, `interval_upper`, `confidence`, `statistic`,
        `p_value`, `p_holm`, `family`, `method`, `reason` (why a number is missing).
    new_t2
        One row a window and group: `scans` (with new T2 lesions counted and a scan before), `patients`, `observed`,
        `unobserved`, `years` between scans, `lesions`, `pooled` (lesions over years), `rate` with `lower` and `upper`,
        `interval`, `dispersion`. Empty without new T2 lesions.
    by
        What the groups are.
    ci
        Level of the intervals.
    cohort_name, index_date, simulated
        As in the cohort.
    notes
        Sentences on how the numbers were formed and what was left out.
    """

    scans: pd.DataFrame = field(repr=False)
    tests: pd.DataFrame = field(repr=False)
    new_t2: pd.DataFrame = field(repr=False)
    by: str
    ci: float
    cohort_name: str
    index_date: str
    simulated: bool
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the summary of the scans, one row a measure, group and time point; a copy."""
        return self.scans.copy()

    def __str__(self) -> str:
        return mri_text(
            self.scans,
            self.tests,
            self.new_t2,
            title=f"MRI activity by {self.by}, cohort '{self.cohort_name}'",
            index_date=self.index_date,
            simulated=self.simulated,
            ci=self.ci,
            notes=self.notes,
        )

    def __repr__(self) -> str:
        return str(self)


def mri_activity(
    cohort: Cohort,
    by: str | None = "arm",
    *,
    at: Sequence[float] = (-1, 0, 1, 2),
    tolerance: float = 0.25,
    windows: Sequence[float | None] | None = None,
    interval: Interval = "negative binomial",
    ci: float = 0.95,
    exact_up_to: int = EXACT_UP_TO,
    suppress_below: int | None = None,
) -> MriActivity:
    """Describe enhancing lesions at time points, test them against baseline, and count new T2 lesions a year.

    Gadolinium-enhancing lesions, number and volume: the scan nearest to each time point (at 0 only scans at or before
    time 0), its lesion-free share with Wilson's interval, mean and quartiles. Each later time point against baseline,
    within patients: Wilcoxon's signed ranks with zeros by Pratt, exact, with the Hodges-Lehmann shift
    (`rank_tests.signed_rank`); p-values adjusted by Holm over all measures, groups and times of the table.

    New T2 lesions count since the patient's scan before, so their exposure is the time between the two scans; rate and
    interval as in `annualised_relapse_rate`. A pair of scans belongs to the window that holds its middle.

    Parameters
    ----------
    cohort
        The patients; an MRI table must have been given.
    by
        What groups the patients: "arm", another column of the patients, or None for everybody.
    at
        Time points in years from the index date; without 0 there is no baseline and no test.
    tolerance
        How far from a time point a scan may be, in years.
    windows
        Edges of the windows for new T2 lesions, in years; the last may be None, without end. None takes `at` if these are two or more.
    interval
        Of the new T2 rates: "negative binomial" or "exact Poisson".
    ci
        Level of the intervals of shares and rates; the tests have theirs in the frame (at least 95 %).
    exact_up_to
        Number of patients who changed up to which the null distribution of the test is exact.
    suppress_below
        Hide counts from 1 to this number − 1, what is made of them, and further cells from which they could be had.

    Returns
    -------
    `MriActivity`: `.to_frame()` (the same as `.scans`), `.tests`, `.new_t2`; print it to read it.

    Raises
    ------
    ValueError
        If there is no MRI table, or times, windows or options are not usable.

    References
    ----------
    Wilson 1927 (doi:10.1080/01621459.1927.10502953); Pratt 1959 (doi:10.1080/01621459.1959.10501526); Hodges and Lehmann
    1963 (doi:10.1214/aoms/1177704172); Lawless 1987 (doi:10.2307/3314912).

    Examples
    --------
    >>> import pandas as pd
    >>> from trajectories.reading import read_cohort
    >>> visits = pd.DataFrame({"patient": [1, 2, 3], "years": 0, "edss": 2.0})
    >>> mri = pd.DataFrame({"patient": [1, 1, 2, 2, 3], "years": [0, 1, 0, 1, 0], "gd_count": [3, 0, 1, 0, 0]})
    >>> activity = mri_activity(read_cohort(visits, mri=mri), at=(0, 1))
    >>> activity.to_frame()[["at", "scanned", "free", "mean"]].round(2).to_string(index=False).splitlines()[1:]
    ['0.0        3     1  1.33', '1.0        2     2  0.00']
    """
    check_interval(interval, ci)
    check_limit(suppress_below)
    if cohort.mri_table is None:
        raise ValueError("This cohort has no MRI table: give `mri=` to read_cohort.")
    points = sorted(float(point) for point in at)
    groups = patient_groups(cohort, by)
    measures = {
        name: values_at(cohort, name, points, tolerance) for name in GADOLINIUM if name in cohort.mri_table
    }
    edges = (points if len(points) > 1 else None) if windows is None else windows
    new, facts = new_lesion_table(cohort, groups, edges, interval, ci, suppress_below)
    return MriActivity(
        scans=scan_table(measures, points, groups, ci, suppress_below),
        tests=lesion_tests(measures, points, groups, exact_up_to, suppress_below),
        new_t2=new,
        by=groups.by,
        ci=ci,
        cohort_name=cohort.name,
        index_date=cohort.index_date,
        simulated=cohort.simulated,
        notes=mri_notes(
            cohort,
            groups,
            facts,
            tolerance=tolerance,
            tested=0.0 in points and bool(measures),
            exact_up_to=exact_up_to,
            interval=interval,
            ci=ci,
            below=suppress_below,
        ),
    )
