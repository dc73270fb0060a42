"""The print of no evidence of disease activity."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from pandas.api.typing import NAType

from trajectories.cohort import Cohort
from trajectories.printing import aligned, interval, number, sentence, years
from trajectories.suppression import HIDDEN

__all__ = ["neda_notes", "neda_text", "neda_title"]


_WORDS = {
    "relapse": "no relapse",
    "worsening": "no confirmed worsening",
    "mri": "no gadolinium-enhancing or new T2 lesion",
}
_NAMES = {("relapse", "worsening", "mri"): "NEDA-3", ("relapse", "worsening"): "NEDA-2"}


def neda_title(cohort: Cohort, components: tuple[str, ...], *, at: float, mri_from: float) -> str:
    """Say what was asked of whom."""
    words = dict(_WORDS)
    if "mri" in components and cohort.mri_table is not None:
        seen = [
            name
            for name, columns in (
                ("gadolinium-enhancing", ("gd_count", "gd_volume")),
                ("new T2", ("new_t2",)),
            )
            if any(column in cohort.mri_table for column in columns)
        ]
        words["mri"] = f"no {' or '.join(seen)} lesion" + (f" from {years(mri_from)} on" if mri_from else "")
    what = ", ".join(words[component] for component in components)
    name = _NAMES.get(components, "No evidence of activity")
    return f"{name} at {years(at)}, cohort '{cohort.name}': {what}"


def neda_text(
    groups: pd.DataFrame,
    activity: pd.DataFrame,
    reasons: pd.DataFrame,
    *,
    title: str,
    index_date: str,
    simulated: bool,
    at: float,
    ci: float,
    notes: Sequence[str],
    differences: pd.DataFrame | None = None,
) -> str:
    """Write the answers, the proportions, what was seen and what was missing, then the notes; of weighted patients with differences."""
    level = f"{100 * ci:g} %"
    lines = sentence(title)
    if simulated:
        lines.append("SIMULATED data: nobody was treated.")
    lines += [*sentence(index_date), ""]
    head = ["patients", "NEDA", "activity", "not evaluable"]
    columns = ["patients", "neda", "active", "not_evaluable"]
    lines += aligned(
        [["", *head], *([str(r["group"]), *(_count(r[c]) for c in columns)] for _, r in groups.iterrows())]
    )
    weighted = differences is not None
    lines += ["", f"Share with NEDA{', weighted' if weighted else ''}, in %"]
    head = [
        "among evaluable",
        f"{level} ({'robust' if weighted else 'Wilson'})",
        "bounds",
        f"Kaplan-Meier at {years(at)}",
        f"{level} (log-log)",
    ]
    lines += aligned([["", *head], *(_shares(row, weighted=weighted) for _, row in groups.iterrows())])
    if differences is not None and len(differences):
        lines += ["", f"Difference from {differences['reference'].iloc[0]}, in percentage points ({level})"]
        lines += _wide(differences, "group", _difference, "of")
    lines += [
        "",
        "Activity seen: patients (of these, seen first)",
        *_wide(activity, "activity", _activity_cell),
    ]
    if len(reasons):
        lines += ["", "Not evaluable, patients by what is missing (one may lack several)"]
        lines += _wide(reasons, "reason", lambda row: _count(row["patients"]))
    lines += ["", "Notes"]
    for note in notes:
        lines += sentence(note, bullet="- ")
    return "\n".join(lines)


def neda_notes(
    cohort: Cohort, components: tuple[str, ...], *, rule_name: str, tolerance: float, mri_from: float
) -> tuple[str, ...]:
    """Say what each number means and when it is biased, and how patients were judged."""
    notes = [
        "Among evaluable: too low if patients are not evaluable, even if those are like the others, since activity is "
        "enough to be evaluable but NEDA needs everything looked at to the end.",
        "Bounds: all not evaluable patients active, or all with NEDA. What these patients had lies in between for certain.",
        "Kaplan-Meier: patients are censored when they were last looked at for everything (or at worsening that nobody "
        "could confirm), and activity seen after that does not count here, or only those with activity would stay. "
        "Right if those who are lost are like those who stay; too high if patients are lost because they are about to "
        "do worse, too low if because they do well.",
        f"Follow-up might end, and the last visit and scan be, up to {years(tolerance)} from the time asked for.",
    ]
    if rule_name:
        notes.append(f"Worsening: {rule_name}; dated at its onset.")
    if "mri" in components:
        notes += _mri_notes(cohort, mri_from)
    return tuple(notes)


def _mri_notes(cohort: Cohort, mri_from: float) -> list[str]:
    notes = ["Lesions are dated at the scan that shows them, later than they arose."]
    if mri_from:
        notes.append(
            f"The scan nearest to {years(mri_from)} is the new baseline: lesions on it and before do not count."
        )
    mri = cohort.mri_table
    if mri is not None and "new_t2" not in mri:
        notes.append(
            "T2 lesions were not given: gadolinium shows only lesions of the weeks before a scan, so activity between "
            "scans is missed and NEDA is too frequent."
        )
    elif mri is not None and (unread := int(mri["new_t2"].isna().sum())):
        notes.append(f"{unread} of {len(mri)} scans were not read for new T2 lesions.")
    return notes


def _shares(row: pd.Series, *, weighted: bool) -> list[str]:
    if row["suppressed"]:
        return [str(row["group"]), *[HIDDEN] * 5]
    of = "" if weighted or pd.isna(row["evaluable"]) else f" ({row['neda']}/{row['evaluable']})"
    return [
        str(row["group"]),
        _percent(row["proportion"]) + of,
        interval(100 * row["lower"], 100 * row["upper"], 0),
        interval(100 * row["lowest"], 100 * row["highest"], 0),
        _percent(row["km"]),
        interval(100 * row["km_lower"], 100 * row["km_upper"], 0),
    ]


def _percent(share: float) -> str:
    return number(100 * share, 0)


def _count(value: float | NAType) -> str:
    return HIDDEN if pd.isna(value) else f"{value:.0f}"


def _activity_cell(row: pd.Series) -> str:
    return f"{_count(row['patients'])} ({_count(row['first'])})"


def _difference(row: pd.Series) -> str:
    if row["suppressed"]:
        return HIDDEN
    limits = interval(100 * row["lower"], 100 * row["upper"], 0)
    return f"{_percent(row['difference'])} ({limits})"


def _wide(
    table: pd.DataFrame, column: str, cell: Callable[[pd.Series], str], beside: str = "group"
) -> list[str]:
    """Set groups side by side, what was seen or missing one below the other."""
    names, groups = list(dict.fromkeys(table[column])), list(dict.fromkeys(table[beside]))
    cells = {(row[beside], row[column]): cell(row) for _, row in table.iterrows()}
    return aligned([["", *groups], *([name, *(cells.get((g, name), "0") for g in groups)] for name in names)])
