"""The print of MRI activity, and its notes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from trajectories.cohort import Cohort
from trajectories.endpoints.groups import PatientGroups
from trajectories.endpoints.mri_tables import NewLesions
from trajectories.endpoints.rate_rows import cell, hidden_notes, interval_notes, shown_interval
from trajectories.endpoints.rates_text import heading, notes_lines, under
from trajectories.printing import interval, number, p_value, sentence, years
from trajectories.suppression import HIDDEN

__all__ = ["mri_notes", "mri_text"]

_NAMES = {
    "gd_count": "Gadolinium-enhancing lesions, number a scan",
    "gd_volume": "Gadolinium-enhancing lesions, volume a scan (in the unit of the file)",
}
_SCANS = ["", "scanned", "not scanned", "lesion-free", "mean (SD)", "median (quartiles)"]
_TESTS = ["", "pairs", "fewer", "same", "more", "mean before -> later", "shift", "interval", "p", "p (Holm)"]
_NEW = ["", "patients", "scans", "years", "lesions", "pooled", "rate a year"]


def mri_text(
    scans: pd.DataFrame,
    tests: pd.DataFrame,
    new: pd.DataFrame,
    *,
    title: str,
    index_date: str,
    simulated: bool,
    ci: float,
    notes: Sequence[str],
) -> str:
    """Write each measure with its tests below it, then new T2 lesions, then the notes."""
    level = f"{100 * ci:g} % interval"
    lines = heading(title, index_date, simulated)
    head = [*_SCANS[:4], level, *_SCANS[4:]]
    for measure, block in scans.groupby("measure", sort=False):
        lines += [_NAMES[str(measure)], *under(head, block, "group", _scan_cells)]
        mine = tests[tests["measure"] == measure]
        if len(mine):
            lines += ["Against baseline, within patients", *under(_TESTS, mine, "group", _test_cells)]
            for _, row in mine[mine["reason"] != ""].iterrows():
                lines += sentence(f"{row['group']}, {row['later']:g} y: {row['reason']}", bullet="  ")
        lines.append("")
    if len(new):
        lines += [
            "New T2 lesions, per year between scans",
            *under([*_NEW, level], new, "window", _new_cells),
            "",
        ]
    return "\n".join([*lines[:-1], *notes_lines(notes)])


def _scan_cells(row: pd.Series) -> list[str]:
    share = "" if pd.isna(row["share"]) else f" ({100 * row['share']:.0f} %)"
    nothing = HIDDEN if row["suppressed"] else number(float("nan"))
    summarised = not pd.isna(row["mean"])
    return [
        f"{row['at']:g} y",
        cell(row, "scanned"),
        cell(row, "not_scanned"),
        f"{cell(row, 'free')}{share}",
        nothing if pd.isna(row["lower"]) else f"{100 * row['lower']:.0f} to {100 * row['upper']:.0f} %",
        f"{number(row['mean'])} ({number(row['sd'])})" if summarised else nothing,
        f"{number(row['median'])} ({interval(row['q1'], row['q3'])})" if summarised else nothing,
    ]


def _test_cells(row: pd.Series) -> list[str]:
    hidden = row["suppressed"] and pd.isna(row["pairs"])
    limits = interval(row["interval_lower"], row["interval_upper"])
    return [
        f"{row['later']:g} y",
        *(cell(row, column) for column in ("pairs", "lower", "same", "higher")),
        f"{cell(row, 'baseline_mean', 2)} -> {cell(row, 'later_mean', 2)}",
        cell(row, "estimate", 2),
        HIDDEN if hidden else limits,
        HIDDEN if hidden else p_value(row["p_value"]),
        HIDDEN if hidden else p_value(row["p_holm"]),
    ]


def _new_cells(row: pd.Series) -> list[str]:
    return [
        str(row["group"]),
        cell(row, "observed"),
        cell(row, "scans"),
        cell(row, "years", 1),
        cell(row, "lesions"),
        cell(row, "pooled", 3),
        cell(row, "rate", 3),
        shown_interval(row, 3),
    ]


def mri_notes(
    cohort: Cohort,
    groups: PatientGroups,
    new: NewLesions,
    *,
    tolerance: float,
    tested: bool,
    exact_up_to: int,
    interval: str,
    ci: float,
    below: int | None,
) -> tuple[str, ...]:
    """Say how values, tests and rates were formed, what they cannot show, and what was left out."""
    notes = [
        f"Scan: the nearest to the time point, within {years(tolerance)}; at 0 only scans at or before time 0. not scanned: "
        f"patients without such a scan, or without this value in it. Lesion-free: of those scanned, with Wilson's interval "
        f"({100 * ci:g} %); if those who were not scanned differ, the share is biased.",
    ]
    if tested:
        notes += [
            "Shift: Hodges-Lehmann, later minus baseline, with order statistics of the Walsh averages as interval (at least "
            f"95 %). p: Wilcoxon's signed ranks, zeros by Pratt, exact up to {exact_up_to} pairs that changed; p (Holm): over "
            "all measures, groups and times of this table.",
            "A fall of lesions from before to after is not the effect of the drug: treatment is started when the disease is "
            "active, so activity falls in untreated patients chosen that way too (regression to the mean).",
        ]
    if new.given:
        notes += _new_notes(new, interval, ci, below)
    notes += groups.note() if below is None else ()
    if below is not None:
        return (*notes, *hidden_notes(below, "lesions"))
    return (*notes, *cohort.notes)


def _new_notes(new: NewLesions, interval: str, ci: float, below: int | None) -> list[str]:
    notes = [
        "New T2: lesions since the patient's scan before, over the time between the two scans; the two belong to the window "
        "that holds the middle between them.",
        *interval_notes(interval, ci, what="new T2 lesions", where=list(new.poisson)),
    ]
    if below is not None:
        return notes
    said = (
        (new.first, "have no scan before, so no time to count over, and are left out"),
        (new.outside, "lie outside the windows and are left out"),
    )
    notes += [f"{count} of {new.scans} scans with new T2 lesions {what}." for count, what in said if count]
    if new.across:
        notes.append(
            f"{new.across} of {new.scans} are compared with a scan before time 0: part of their lesions may be older than the "
            "treatment."
        )
    return notes
