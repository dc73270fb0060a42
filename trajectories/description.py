"""What a cohort looks like before any model: who is in it, EDSS and relapses over time, n at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from trajectories.cohort import Cohort
from trajectories.description_tables import baseline_table
from trajectories.description_text import description_notes, description_text
from trajectories.description_windows import edss_table, relapse_table
from trajectories.suppression import check_limit

__all__ = ["Description", "describe"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Description:
    """A cohort described by arm and overall; printing it gives the tables.

    In all frames `patients` is the size of the arm, quartiles come interpolated (`median`, `q1`, `q3`) and as
    observed values (`median_observed`, …), and `suppressed` marks rows in which small cells were hidden.

    Parameters
    ----------
    baseline
        One row a covariate, level and arm: `variable`, `level` (empty for numbers), `arm`, `patients`, `n`
        (with a value), `missing`, `count` and `percent` of the level (of those with a value), `mean`, `sd`,
        quartiles.
    edss
        One row an arm and time point: `arm`, `at` (years), `patients`, `n`, `missing`, `mean`, `sd`,
        quartiles.
    relapses
        One row an arm and window: `arm`, `window`, `start`, `end` (years), `patients`, `observed` (patients
        seen in the window), `person_years`, `relapses`, `rate` (a year) with `rate_lower` and `rate_upper`
        (95 %), `complete`, `incomplete`, `unobserved` (patients by how much of the window was seen), and over
        the complete ones `relapse_free` (patients), `mean`, `sd`, quartiles of their count. Empty without a
        relapse table.
    cohort_name, index_date, simulated
        As in the cohort.
    notes
        Sentences on how the numbers were formed and what was left out.
    """

    baseline: pd.DataFrame = field(repr=False)
    edss: pd.DataFrame = field(repr=False)
    relapses: pd.DataFrame = field(repr=False)
    cohort_name: str
    index_date: str
    simulated: bool
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return description_text(
            self.baseline,
            self.edss,
            self.relapses,
            title=f"Cohort '{self.cohort_name}'",
            index_date=self.index_date,
            simulated=self.simulated,
            notes=self.notes,
        )

    def __repr__(self) -> str:
        return str(self)


def describe(
    cohort: Cohort,
    *,
    at: Sequence[float] = (-1, 0, 1, 2),
    tolerance: float = 0.25,
    edges: Sequence[float | None] | None = None,
    suppress_below: int | None = None,
) -> Description:
    """Describe a cohort by arm: covariates at baseline, EDSS at time points, relapses in windows.

    Numbers are summarised by mean, SD, median and quartiles (interpolated and observed), categories by count
    and percent, each with how many are missing. Relapse rates are all relapses over all person-years observed
    in the window; counts a patient are summarised over patients whose window was completely observed. Text
    with more than 12 different values and dates are not summarised but named in the notes.

    Parameters
    ----------
    cohort
        The patients.
    at
        Time points of EDSS in years from the index date.
    tolerance
        How far from a time point a visit may be, in years.
    edges
        Edges of the relapse windows in years; None takes `at`.
    suppress_below
        Hide counts from 1 to this number − 1, summaries of as few patients, and further cells from which they
        could be had by subtraction; the notes of the cohort, which hold counts, are left out too. None hides
        nothing.

    Returns
    -------
    `Description` with the frames `.baseline`, `.edss` and `.relapses`; print it to read it.

    Raises
    ------
    ValueError
        If times, tolerance, edges or `suppress_below` are not usable.

    Examples
    --------
    >>> import pandas as pd
    >>> from trajectories.reading import read_cohort
    >>> visits = pd.DataFrame({"patient": list("aabb"), "years": [0, 1, 0, 1], "edss": [2, 2.5, 3, 4]})
    >>> describe(read_cohort(visits), at=(0, 1)).edss[["at", "n", "median", "median_observed"]]
        at  n  median  median_observed
    0  0.0  2    2.50              2.0
    1  1.0  2    3.25              2.5
    """
    check_limit(suppress_below)
    points = sorted(float(point) for point in at)
    baseline, left_out = baseline_table(cohort, suppress_below)
    relapses = relapse_table(cohort, points if edges is None else edges, suppress_below)
    return Description(
        baseline=baseline,
        edss=edss_table(cohort, points, tolerance, suppress_below),
        relapses=relapses,
        cohort_name=cohort.name,
        index_date=cohort.index_date,
        simulated=cohort.simulated,
        notes=description_notes(
            cohort,
            tolerance=tolerance,
            left_out=left_out,
            no_window=relapses.empty,
            suppress_below=suppress_below,
        ),
    )
