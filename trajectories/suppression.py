"""Which cells of a table of counts to hide, so that no small group of patients can be read off it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["HIDDEN", "check_limit", "hidden_cells", "hidden_note"]

HIDDEN = "*"
"""How a hidden cell is printed."""

BoolArray = NDArray[np.bool_]


def check_limit(suppress_below: int | None) -> None:
    """Raise ValueError unless the limit is None or a whole number of at least 2.

    >>> check_limit(5)
    """
    if suppress_below is None:
        return
    if isinstance(suppress_below, bool) or int(suppress_below) != suppress_below or suppress_below < 2:
        raise ValueError(f"suppress_below must be a whole number from 2 up, or None, not {suppress_below!r}.")


def hidden_note(below: int, what: str) -> str:
    """Say what the mark of a hidden cell means; `what` is counted there, such as "relapses".

    >>> hidden_note(5, "relapses")
    '*: hidden, because fewer than 5 patients or relapses are behind it or would follow by subtraction.'
    """
    return f"{HIDDEN}: hidden, because fewer than {below} patients or {what} are behind it or would follow by subtraction."


def hidden_cells(counts: ArrayLike, below: int | None) -> BoolArray:
    """Mark the counts to hide: those from 1 to `below` − 1, and others that would give them away.

    The cells of each column add up to a total that the reader knows, and so do the columns of each row, the
    last of which is their sum. A lone hidden cell could be had by subtraction, so the smallest other cell of
    its row or column is hidden with it, until no row or column of more than one cell has exactly one hidden.
    Zeros are shown: they describe nobody.

    Parameters
    ----------
    counts
        Whole numbers, shape (cells, columns).
    below
        The smallest count to show; None hides nothing.

    Returns
    -------
    True where hidden, shape (cells, columns).

    Examples
    --------
    >>> hidden_cells([[20, 30, 50], [3, 17, 20]], below=5).tolist()
    [[True, True, False], [True, True, False]]
    """
    table = np.asarray(counts, dtype=np.int64)
    if below is None:
        return np.zeros(table.shape, dtype=np.bool_)
    hidden = np.asarray((table > 0) & (table < below))
    before = -1
    while before != hidden.sum():
        before = int(hidden.sum())
        for line, marks in [*zip(table, hidden, strict=True), *zip(table.T, hidden.T, strict=True)]:
            if line.size > 1 and marks.sum() == 1:
                marks[_next_smallest(line, marks)] = True
    return hidden


def _next_smallest(line: NDArray[np.int64], marks: BoolArray) -> int:
    """Find the smallest count not yet hidden, a zero only if there is nothing else."""
    size = np.where(line > 0, line, np.iinfo(np.int64).max - 1)
    return int(np.argmin(np.where(marks, np.iinfo(np.int64).max, size)))
