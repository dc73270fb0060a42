"""No evidence of disease activity, patient by patient: what was seen first, and what was not seen at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import DAYS_PER_YEAR, Cohort
from trajectories.printing import years

if TYPE_CHECKING:
    from trajectories.endpoints.events import DisabilityEvents

__all__ = ["ANSWERS", "COMPONENTS", "patient_answers", "seen_days"]

ANSWERS = ("NEDA", "activity", "not evaluable")
COMPONENTS = ("relapse", "worsening", "mri")
_SEEN = {
    "relapse_day": "relapse",
    "worsening_day": "worsening",
    "gadolinium_day": "gadolinium",
    "new_t2_day": "new T2",
}
_NEVER = np.inf

type Floats = NDArray[np.float64]
type Bools = NDArray[np.bool_]


class _Window:
    """Days of the question: from time 0 to `end`, answered by observations not more than `slack` days away."""

    def __init__(self, at: float, tolerance: float, mri_from: float) -> None:
        self.end = round(at * DAYS_PER_YEAR)
        self.slack = int(tolerance * DAYS_PER_YEAR)
        self.mri_start = round(mri_from * DAYS_PER_YEAR)


def patient_answers(
    cohort: Cohort,
    events: DisabilityEvents | None,
    *,
    at: float,
    mri_from: float,
    tolerance: float,
    components: tuple[str, ...],
) -> pd.DataFrame:
    """Answer for each patient of the cohort: NEDA, activity (which, when), or not evaluable (why).

    Parameters are those of `neda3`; `events` is needed for worsening. Returns the frame of `Neda3.patients`.
    """
    window = _Window(at, tolerance, mri_from)
    patients = cohort.patients
    n = len(patients)
    first = pd.DataFrame({column: np.full(n, _NEVER) for column in _SEEN})
    # The last day to which a patient was looked at for everything, whatever was found: it must not depend on activity,
    # or those with activity would stay under observation and the others leave.
    seen_until = np.full(n, float(window.end))
    why: list[tuple[str, Bools]] = []
    if "relapse" in components:
        first["relapse_day"], reasons, until = _relapses(cohort, window, at)
        why += reasons
        seen_until = np.minimum(seen_until, until)
    if events is not None:
        first["worsening_day"], reasons, until = _worsening(cohort, events, window, at)
        why += reasons
        seen_until = np.minimum(seen_until, until)
    if "mri" in components:
        found, reasons, until = _mri(cohort, window, at, mri_from)
        for column, day in found.items():
            first[column] = day
        why += reasons
        seen_until = np.minimum(seen_until, until)
    return _table(patients, first, why, np.maximum(seen_until, 0.0), window)


def seen_days(components: tuple[str, ...]) -> dict[str, str]:
    """Return the columns with the first day of each kind of activity, and what to call the kind."""
    asked = {
        "relapse": ("relapse_day",),
        "worsening": ("worsening_day",),
        "mri": ("gadolinium_day", "new_t2_day"),
    }
    return {column: _SEEN[column] for component in components for column in asked[component]}


def _table(
    patients: pd.DataFrame,
    first: pd.DataFrame,
    why: list[tuple[str, Bools]],
    seen_until: Floats,
    window: _Window,
) -> pd.DataFrame:
    earliest = first.min(axis=1).to_numpy()
    active = np.isfinite(earliest)
    missing = np.logical_or.reduce([bad for _, bad in why])
    answer = np.where(active, ANSWERS[1], np.where(missing, ANSWERS[2], ANSWERS[0]))
    within = np.minimum(earliest, window.end)
    kinds = [(_SEEN[column], active & (first[column].to_numpy() == earliest)) for column in _SEEN]
    result = pd.DataFrame(
        {
            "patient": patients["patient"],
            "arm": patients["arm"],
            "answer": pd.Categorical(answer, categories=list(ANSWERS)),
            "first": _joined(kinds, len(patients), ", "),
            "first_day": _days(earliest),
        }
    )
    for column in first:
        result[column] = _days(first[column].to_numpy())
    return result.assign(
        why_not=_joined([(reason, bad & ~active) for reason, bad in why], len(patients), "; "),
        years_observed=np.minimum(within, seen_until) / DAYS_PER_YEAR,
        ended_by_activity=active & (within <= seen_until),
    )


def _days(values: Floats) -> pd.Series:
    return pd.Series(values).where(np.isfinite(values)).astype("Int64")


def _joined(words: list[tuple[str, Bools]], n: int, between: str) -> list[str]:
    """Join, for each patient, the words that hold for them."""
    text = np.full(n, "", dtype=object)
    for word, holds in words:
        text[holds] = [f"{before}{between}{word}" if before else word for before in text[holds]]
    return [str(t) for t in text]


def _row(cohort: Cohort, table: pd.DataFrame) -> NDArray[np.int64]:
    place = pd.Index(cohort.patients_table["patient"]).get_indexer(pd.Index(table["patient"]))
    return np.asarray(place, dtype=np.int64)


def _first(row: NDArray[np.int64], day: Floats, n: int) -> Floats:
    earliest = np.full(n, _NEVER)
    np.minimum.at(earliest, row, day)
    return earliest


def _last(row: NDArray[np.int64], day: Floats, n: int) -> Floats:
    return -_first(row, -day, n)


def _closing(row: NDArray[np.int64], day: Floats, n: int, window: _Window) -> Floats:
    """Find the day of the observation that stands for the end: the last one in the slack before it, else the first after.

    Missing (NaN) where there is none.
    """
    before = (day <= window.end) & (day >= window.end - window.slack)
    after = (day > window.end) & (day <= window.end + window.slack)
    last, next_one = _last(row[before], day[before], n), _first(row[after], day[after], n)
    chosen = np.where(np.isfinite(last), last, next_one)
    return np.where(np.isfinite(chosen), chosen, np.nan)


def _upto(closing: Floats, window: _Window) -> Floats:
    """Last day that counts for each patient: the end, or the observation after it that stands for it."""
    return np.fmax(closing, window.end)


def _relapses(cohort: Cohort, window: _Window, at: float) -> tuple[Floats, list[tuple[str, Bools]], Floats]:
    """Find the first relapse in [0, end), as `relapse_windows` counts days; outside follow-up, too: it is evidence."""
    relapses, patients = cohort.relapses_table, cohort.patients_table
    assert relapses is not None
    day = relapses["day"].to_numpy(dtype=np.float64)
    inside = (day >= 0) & (day < window.end)
    last = patients["followup_end_day"].to_numpy(dtype=np.float64)
    late = patients["followup_start_day"].to_numpy() > 0
    short = last < window.end - 1 - window.slack
    reasons = [(f"follow-up ends before {years(at)}", short), ("follow-up begins after time 0", late)]
    until = np.where(late, 0.0, np.where(short, last, window.end))
    return _first(_row(cohort, relapses)[inside], day[inside], cohort.n_patients), reasons, until


def _worsening(
    cohort: Cohort, events: DisabilityEvents, window: _Window, at: float
) -> tuple[Floats, list[tuple[str, Bools]], Floats]:
    n = cohort.n_patients
    visits = cohort.visits_table.dropna(subset=events.rule.column)
    row, day = _row(cohort, visits), visits["day"].to_numpy(dtype=np.float64)
    closing = _closing(row, day, n, window)
    upto = _upto(closing, window)
    last = _last(row[day <= upto[row]], day[day <= upto[row]], n)

    first = _first_counted(cohort, events.events_table, upto)
    undecided = _first_counted(cohort, _undecided(cohort, events), upto)
    undecided = np.where(np.isfinite(first), _NEVER, undecided)
    has_start = events.patients_table["baseline_day"].notna().to_numpy()
    scale = "EDSS" if events.rule.column == "edss" else events.rule.column
    missing = [
        (f"no {scale} to start from", ~has_start),
        (f"no {scale} near {years(at)}", has_start & np.isnan(closing)),
        ("worsening that could not be confirmed", np.isfinite(undecided)),
    ]
    until = np.minimum(np.where(np.isnan(closing), last, window.end), undecided)
    return first, missing, np.where(has_start, until, 0.0)


def _first_counted(cohort: Cohort, table: pd.DataFrame, upto: Floats) -> Floats:
    """Find the first day of a worsening after time 0 and within the window."""
    worse = table[table["kind"] == "worsening"]
    row, day = _row(cohort, worse), worse["day"].to_numpy(dtype=np.float64)
    inside = (day > 0) & (day <= upto[row])
    return _first(row[inside], day[inside], cohort.n_patients)


def _undecided(cohort: Cohort, events: DisabilityEvents) -> pd.DataFrame:
    """Choose the worsening that is not confirmed, and that no visit in time to confirm it refuted either."""
    from trajectories.endpoints.kernel import NEAR_RELAPSE
    from trajectories.endpoints.reasons import reasons

    rule = events.rule
    missed = events.not_confirmed_table
    by_rule = reasons(rule)[NEAR_RELAPSE]  # such worsening is no event by definition, which is an answer
    missed = missed[(missed["kind"] == "worsening") & (missed["reason"] != by_rule)].reset_index(drop=True)
    visits = cohort.visits_table[["patient", "day", rule.column]].dropna().rename(columns={"day": "later"})
    days, (before, after) = rule.confirmation.days, rule.confirmation.tolerance
    pairs = missed.rename_axis("candidate").reset_index().merge(visits, on="patient")
    gap = pairs["later"] - pairs["day"]
    start = 0.0 if rule.confirmation.every_visit else min(days) - before
    in_time = (gap > 0) & (gap >= start) & (gap <= max(max(days) + after, rule.confirmation.sustained_days))
    pairs = pairs[in_time]
    held = rule.worsening.worse(pairs["reference_value"].to_numpy(), pairs[rule.column].to_numpy())
    refuted = np.isin(missed.index, pairs["candidate"].to_numpy()[~held])
    kept: pd.DataFrame = missed[~refuted]
    return kept


def _mri(
    cohort: Cohort, window: _Window, at: float, mri_from: float
) -> tuple[dict[str, Floats], list[tuple[str, Bools]], Floats]:
    mri = cohort.mri_table
    assert mri is not None
    n = cohort.n_patients
    row, day = _row(cohort, mri), mri["day"].to_numpy(dtype=np.float64)
    start, has_start = _mri_start(row, day, n, window)
    upto = _upto(_closing(row, day, n, window), window)
    counted = (day > start[row]) & (day <= upto[row])

    enhancing = _positive(mri, "gd_count") | _positive(mri, "gd_volume")
    new = _positive(mri, "new_t2") & has_start[row]  # new since when would not be known
    found = {
        "gadolinium_day": _first(row[counted & enhancing], day[counted & enhancing], n),
        "new_t2_day": _first(row[counted & new], day[counted & new], n),
    }
    # New T2 lesions add up between scans, so the scan that ends the window answers for the time before; where T2 was
    # not read at all, gadolinium has to do.
    what, read = _read(mri)
    closing = _closing(row[counted & read], day[counted & read], n, window)
    scanned, near = (
        np.isfinite(_first(row[chosen], day[chosen], n)) for chosen in (counted, counted & _near(day, window))
    )
    reasons = [
        ("no MRI after the start", ~scanned),
        (f"no MRI near {years(at)}", scanned & ~near),
        (f"MRI near {years(at)} not read for {what}", near & np.isnan(closing)),
        (f"no MRI near {years(mri_from)} to start from", ~has_start),
    ]
    either = np.minimum(found["gadolinium_day"], found["new_t2_day"])
    last_read = _last(row[counted & read], day[counted & read], n)
    until = np.where(
        np.isnan(closing), np.maximum(last_read, np.where(np.isfinite(either), either, 0.0)), window.end
    )
    return found, reasons, np.where(has_start, until, 0.0)


def _near(day: Floats, window: _Window) -> Bools:
    return np.asarray(np.abs(day - window.end) <= window.slack)


def _mri_start(row: NDArray[np.int64], day: Floats, n: int, window: _Window) -> tuple[Floats, Bools]:
    """Find the day after which lesions count, and who has a scan to start from.

    At time 0 lesions count from the day after it: what a scan calls new is new since one before. A re-baseline is the
    scan nearest to its time within the slack, the earlier of two as near.
    """
    if window.mri_start == 0:
        return np.zeros(n), np.ones(n, dtype=np.bool_)
    distance = np.abs(day - window.mri_start)
    near = distance <= window.slack
    best = _first(row[near], distance[near], n)
    chosen = near & (distance == best[row])
    start = _first(row[chosen], day[chosen], n)
    has = np.isfinite(start)
    return np.where(has, start, float(window.mri_start)), np.asarray(has)


def _positive(mri: pd.DataFrame, column: str) -> Bools:
    if column not in mri:
        return np.zeros(len(mri), dtype=np.bool_)
    return np.asarray(mri[column].to_numpy(dtype=np.float64, na_value=np.nan) > 0)


def _read(mri: pd.DataFrame) -> tuple[str, Bools]:
    columns = [column for column in ("gd_count", "gd_volume") if column in mri]
    if "new_t2" in mri:
        return "new T2 lesions", mri["new_t2"].notna().to_numpy()
    return "gadolinium", mri[columns].notna().any(axis=1).to_numpy()
