"""The frames of MRI activity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.change_tests import holm
from trajectories.cohort import DAYS_PER_YEAR, Cohort
from trajectories.endpoints.group_rates import Interval, group_rates
from trajectories.endpoints.groups import PatientGroups
from trajectories.endpoints.rate_rows import RATE_TYPES, rate_rows
from trajectories.endpoints.shares import wilson_limits
from trajectories.rank_tests import signed_rank
from trajectories.summaries import STATISTICS, summary
from trajectories.suppression import hidden_cells
from trajectories.windows import nearest_at

__all__ = [
    "GADOLINIUM",
    "NewLesions",
    "lesion_tests",
    "new_lesion_table",
    "scan_intervals",
    "scan_table",
    "values_at",
]

GADOLINIUM = ("gd_count", "gd_volume")
type FloatArray = NDArray[np.float64]

_SCANS = ["measure", "group", "at", "patients", "scanned", "not_scanned", "free", "share", "lower", "upper"]
_SCANS += [*STATISTICS, "suppressed"]
_PAIRS = ["pairs", "no_baseline", "no_later", "neither", "higher", "same", "lower"]
_MEANS = ["baseline_mean", "later_mean", "baseline_median", "later_median"]
_TEST = [
    "estimate",
    "interval_lower",
    "interval_upper",
    "confidence",
    "statistic",
    "p_value",
    "p_holm",
    "family",
]
_TESTS = ["measure", "group", "later", "patients", *_PAIRS, *_MEANS, *_TEST, "method", "reason", "suppressed"]
_NEW = ["window", "start", "end", "group", "patients", "observed", "unobserved", "scans", "years", "lesions"]
_NEW += ["pooled", "rate", "lower", "upper", "interval", "dispersion", "suppressed"]


def values_at(cohort: Cohort, measure: str, points: Sequence[float], tolerance: float) -> FloatArray:
    """Take each patient's value at the time points: shape (patients, points), NaN where there is no scan."""
    assert cohort.mri_table is not None
    found = nearest_at(cohort, cohort.mri_table, measure, points, tolerance)[measure]
    return found.to_numpy(dtype=np.float64).reshape(cohort.n_patients, len(points))


def scan_table(
    measures: Mapping[str, FloatArray],
    points: Sequence[float],
    groups: PatientGroups,
    ci: float,
    below: int | None,
) -> pd.DataFrame:
    """Summarise the values by measure, group and time point."""
    rows: list[dict[str, object]] = []
    for measure, table in measures.items():
        for point, values in zip(points, table.T, strict=True):
            rows += [
                {"measure": measure, "at": point, **row} for row in _scan_rows(values, groups, ci, below)
            ]
    counts = ("patients", "scanned", "not_scanned", "free")
    frame = pd.DataFrame(rows, columns=_SCANS).astype(
        {**dict.fromkeys(counts, "Int64"), "suppressed": "bool"}
    )
    order = {name: k for k, name in enumerate([*measures, *groups.names])}
    return frame.sort_values(
        ["measure", "group"], key=lambda name: name.map(order), kind="stable", ignore_index=True
    )


def _scan_rows(
    values: FloatArray, groups: PatientGroups, ci: float, below: int | None
) -> list[dict[str, object]]:
    parts = [values[groups.members(k)] for k in range(len(groups.names))]
    scanned = np.array([np.sum(~np.isnan(part)) for part in parts])
    free = np.array([np.sum(part == 0) for part in parts])
    sizes = groups.sizes
    hidden_size = hidden_cells([sizes], below)[0]
    hidden_state = hidden_cells(np.array([scanned, sizes - scanned]), below)
    hidden_free = hidden_cells(np.array([free, scanned - free]), below).any(axis=0)
    few = hidden_cells([scanned], below)[0]
    lower, upper = wilson_limits(free, scanned, ci)
    rows: list[dict[str, object]] = []
    for k, part in enumerate(parts):
        row: dict[str, object] = {
            "group": groups.names[k],
            "patients": pd.NA if hidden_size[k] else int(sizes[k]),
            "scanned": pd.NA if hidden_state[0, k] else int(scanned[k]),
            "not_scanned": pd.NA if hidden_state[1, k] else int(sizes[k] - scanned[k]),
        }
        if not hidden_free[k]:
            row |= {
                "free": int(free[k]),
                "share": free[k] / scanned[k] if scanned[k] else np.nan,
                "lower": lower[k],
                "upper": upper[k],
            }
        if not few[k]:
            row |= summary(part)
        row["suppressed"] = bool(hidden_size[k] or hidden_state[:, k].any() or hidden_free[k] or few[k])
        rows.append(row)
    return rows


def lesion_tests(
    measures: Mapping[str, FloatArray],
    points: Sequence[float],
    groups: PatientGroups,
    exact_up_to: int,
    below: int | None,
) -> pd.DataFrame:
    """Test each later time point against baseline within patients; p-values adjusted over the whole table."""
    rows: list[dict[str, object]] = []
    hidden_size = hidden_cells([groups.sizes], below)[0]
    later = [k for k, point in enumerate(points) if point > 0] if 0.0 in points else []
    for measure, table in measures.items():
        for g, name in enumerate(groups.names):
            mine = table[groups.members(g)]
            for k in later:
                row = _test_row(mine[:, points.index(0.0)], mine[:, k], exact_up_to, below)
                if hidden_size[g]:
                    row |= {"patients": pd.NA, "suppressed": True}
                rows.append({"measure": measure, "group": name, "later": points[k], **row})
    frame = pd.DataFrame(rows, columns=_TESTS)
    frame["p_holm"] = holm(frame["p_value"].to_numpy(dtype=np.float64))
    frame["family"] = int(frame["p_value"].notna().sum())
    return frame.astype({**dict.fromkeys(["patients", *_PAIRS], "Int64"), "suppressed": "bool"})


def _test_row(
    before: FloatArray, after: FloatArray, exact_up_to: int, below: int | None
) -> dict[str, object]:
    has_before, has_after = ~np.isnan(before), ~np.isnan(after)
    both = has_before & has_after
    change = after[both] - before[both]
    states = [both, ~has_before & has_after, has_before & ~has_after, ~has_before & ~has_after]
    left = [int(state.sum()) for state in states]
    directions = [int((change > 0).sum()), int((change == 0).sum()), int((change < 0).sum())]
    hidden_left = hidden_cells([[count] for count in left], below)[:, 0]
    hidden = bool(hidden_cells([[both.sum()]], below).any())
    # the directions hide each other as cells of a column; with none of them left a mean could give one back
    hidden_directions = hidden_cells([[count] for count in directions], below)[:, 0]
    counts = [
        pd.NA if hide else count
        for count, hide in zip([*left, *directions], [*hidden_left, *hidden_directions], strict=True)
    ]
    row: dict[str, object] = {"patients": before.size, **dict(zip(_PAIRS, counts, strict=True))}
    suppressed = bool(hidden or hidden_left.any() or hidden_directions.any())
    if hidden:
        return {**row, "p_value": np.nan, "reason": "", "suppressed": True}
    result = asdict(signed_rank(change, exact_up_to=exact_up_to))
    result["interval_lower"], result["interval_upper"] = result["lower"], result["upper"]
    summaries = (
        [np.mean(before[both]), np.mean(after[both]), np.median(before[both]), np.median(after[both])]
        if (both.any())
        else [np.nan] * 4
    )
    return {
        **row,
        **dict(zip(_MEANS, map(float, summaries), strict=True)),
        **{key: result[key] for key in (*_TEST, "method", "reason") if key in result},
        "suppressed": suppressed,
    }


@dataclass(frozen=True, kw_only=True)
class NewLesions:
    """What the notes say of new T2 lesions: counts of scans, and where Poisson's interval had to be used."""

    given: bool
    scans: int = 0
    first: int = 0
    across: int = 0
    outside: int = 0
    poisson: tuple[str, ...] = ()


def scan_intervals(mri: pd.DataFrame) -> pd.DataFrame:
    """Pair each scan that has new T2 lesions counted with the patient's scan before.

    Parameters
    ----------
    mri
        The cohort's scans, sorted by patient and time.

    Returns
    -------
    The scans with `new_t2`, with `since` (day of the scan before, NaN for the first), `exposure` (years between the two)
    and `middle` (years from time 0 to the middle between the two).

    Examples
    --------
    >>> scans = pd.DataFrame({"patient": ["a"] * 3, "day": [0, 100, 465], "new_t2": [1, None, 2]})
    >>> scan_intervals(scans)[["since", "exposure"]].round(2).to_numpy().tolist()
    [[nan, nan], [100.0, 1.0]]
    """
    since = mri.groupby("patient", sort=False)["day"].shift().astype("float64")
    exposure = (mri["day"] - since) / DAYS_PER_YEAR
    paired = mri.assign(since=since, exposure=exposure, middle=(mri["day"] + since) / 2 / DAYS_PER_YEAR)
    return paired[paired["new_t2"].notna()].reset_index(drop=True)


def new_lesion_table(
    cohort: Cohort,
    groups: PatientGroups,
    edges: Sequence[float | None] | None,
    interval: Interval,
    ci: float,
    below: int | None,
) -> tuple[pd.DataFrame, NewLesions]:
    """Pool new T2 lesions over the years between scans, by window and group."""
    assert cohort.mri_table is not None
    windows = [] if edges is None else _windows(edges)
    if "new_t2" not in cohort.mri_table or not windows:
        return pd.DataFrame(columns=_NEW), NewLesions(given=False)
    every = scan_intervals(cohort.mri_table)
    usable = every[every["exposure"] > 0]
    patient = pd.Index(cohort.patients["patient"]).get_indexer(pd.Index(usable["patient"]))
    rows, counted, poisson = [], 0, []
    for start, end in windows:
        label = f"[{start:g}, {'end of follow-up' if math.isinf(end) else f'{end:g}'})"
        inside = ((usable["middle"] >= start) & (usable["middle"] < end)).to_numpy()
        counted += int(inside.sum())
        sums = _sums(usable[inside], patient[inside], cohort.n_patients)
        kept = groups.code >= 0
        rates = group_rates(
            sums["lesions"][kept],
            sums["years"][kept],
            groups.code[kept],
            groups=len(groups.names),
            interval=interval,
            ci=ci,
        )
        if rates.interval != interval:
            poisson.append(label)
        for k, row in enumerate(rate_rows(rates, groups, below)):
            scans = int(sums["scans"][groups.members(k)].sum())
            row["scans"] = pd.NA if row["suppressed"] else scans
            rows.append({"window": label, "start": start, "end": end, **row})
    names = {"events": "lesions", "person_years": "years"}
    frame = pd.DataFrame(rows).astype({**RATE_TYPES, "scans": "Int64"}).rename(columns=names)[_NEW]
    return frame, NewLesions(
        given=True,
        scans=len(every),
        first=len(every) - len(usable),
        across=int(((usable["since"] < 0) & (usable["day"] > 0)).sum()),
        outside=len(usable) - counted,
        poisson=tuple(poisson),
    )


def _sums(scans: pd.DataFrame, patient: NDArray[np.int64], n: int) -> dict[str, FloatArray]:
    def added(weights: pd.Series | None) -> FloatArray:
        return np.bincount(patient, weights=weights, minlength=n).astype(np.float64)

    return {"lesions": added(scans["new_t2"]), "years": added(scans["exposure"]), "scans": added(None)}


def _windows(edges: Sequence[float | None]) -> list[tuple[float, float]]:
    numbers = [math.inf if edge is None else float(edge) for edge in edges]
    ends_well = all(math.isfinite(edge) for edge in numbers[:-1]) and None not in list(edges)[:-1]
    if len(numbers) < 2 or not ends_well or any(a >= b for a, b in pairwise(numbers)):
        raise ValueError(
            f"windows must be at least two ascending times in years, such as (-1, 0, 1, 2), not {tuple(edges)!r}; "
            "only the last may be None (without end)."
        )
    return list(pairwise(numbers))
