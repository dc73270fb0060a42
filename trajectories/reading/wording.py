"""Sentences with counts, for the notes of a cohort."""

from __future__ import annotations

import numpy as np

__all__ = ["counted"]


def counted(which: object, noun: str, sentence: str) -> list[str]:
    """Write "2 of 30 visits have …", the verb after the count; nothing where none is concerned.

    >>> counted([True, False, True], "scan", "{has} no gd_count.")
    ['2 of 3 scans have no gd_count.']
    """
    flags = np.asarray(which, dtype=bool)
    count, total = int(flags.sum()), len(flags)
    if count == 0:
        return []
    forms = (
        {"has": "has", "was": "was", "is": "is"}
        if count == 1
        else {"has": "have", "was": "were", "is": "are"}
    )
    return [f"{count:,} of {total:,} {noun}{'' if total == 1 else 's'} {sentence.format_map(forms)}"]
