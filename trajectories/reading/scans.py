"""Scans: values that contradict each other, and what a reader should know about them."""

from __future__ import annotations

import numpy as np

from trajectories.reading.names import MRI_VALUES
from trajectories.reading.values import Parsed
from trajectories.reading.wording import counted

__all__ = ["notes_on_scans", "volumes_without_lesions"]


def volumes_without_lesions(mri: Parsed) -> list[str]:
    """Report scans with a volume of enhancing lesions, but none counted."""
    if not {"gd_count", "gd_volume"} <= set(mri.frame):
        return []
    count, volume = mri.frame["gd_count"].to_numpy(), mri.frame["gd_volume"].to_numpy()
    bad = (count == 0) & (volume > 0) & np.isfinite(volume)
    if not bad.any():
        return []
    beside = [f"gd_count 0, gd_volume {v:g}" for v in volume]
    remedy = "correct one of the two, or leave empty what was not read."
    what = "scan{s} {has} a volume of lesions, but no lesion."
    return [mri.table.problem("gd_volume", what, remedy, bad, None, beside)]


def notes_on_scans(mri: Parsed) -> list[str]:
    """Count what was not read, and lesions without a volume, which may be too small to be measured."""
    frame = mri.frame
    given = [column for column in MRI_VALUES if column in frame]
    lacking = [f"'{column}'" for column in MRI_VALUES if column not in frame]
    notes = [f"There is no column {' or '.join(lacking)} in mri."] if lacking else []
    for column in given:
        notes += counted(frame[column].isna(), "scan", f"{{has}} no {column}.")
    if len(given) > 1:
        notes += counted(frame[given].isna().all(axis="columns"), "scan", "{has} no value at all.")
    if {"gd_count", "gd_volume"} <= set(given):
        odd = (frame["gd_count"] > 0) & (frame["gd_volume"] == 0)
        notes += counted(odd, "scan", "{has} enhancing lesions of volume 0; they are kept as they are.")
    return notes
