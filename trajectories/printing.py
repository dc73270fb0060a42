"""Numbers and tables as text, for prints that a reader takes in without opening the frame behind them.

Plain ASCII in numbers, so that a print survives any terminal, log file or code page.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from textwrap import wrap

__all__ = ["WIDTH", "aligned", "chance", "fitting", "interval", "number", "p_value", "sentence", "years"]

WIDTH = 100
"""Columns a print may take."""

MISSING = "-"


def number(value: float, digits: int = 2) -> str:
    """Write a number with fixed decimals, "-" for NaN and never "-0.00".

    >>> number(-0.001), number(2.5, 1), number(float("nan"))
    ('0.00', '2.5', '-')
    """
    if isnan(value):
        return MISSING
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def interval(lower: float, upper: float, digits: int = 2) -> str:
    """Write an interval, "-" where it does not exist.

    >>> interval(-0.25, 0.5)
    '-0.25 to 0.50'
    """
    if isnan(lower) or isnan(upper):
        return MISSING
    return f"{number(lower, digits)} to {number(upper, digits)}"


def p_value(p: float) -> str:
    """Write a p-value to three decimals, to four below 0.01, and never as zero.

    >>> p_value(0.632), p_value(0.0042), p_value(1e-9), p_value(float("nan"))
    ('0.632', '0.0042', '<0.0001', '-')
    """
    if isnan(p):
        return MISSING
    if p < 0.0001:
        return "<0.0001"
    return f"{p:.4f}" if p < 0.01 else f"{p:.3f}"


def chance(probability: float) -> str:
    """Write a probability from draws to three decimals, and never as certain.

    >>> chance(0.975), chance(0.0002), chance(1.0), chance(float("nan"))
    ('0.975', '<0.001', '>0.999', '-')
    """
    if isnan(probability):
        return MISSING
    return "<0.001" if probability < 0.001 else ">0.999" if probability > 0.999 else f"{probability:.3f}"


def sentence(text: str, *, bullet: str = "", width: int = WIDTH) -> list[str]:
    """Break a sentence into lines that hang under its bullet.

    >>> sentence("one two three", bullet="- ", width=9)
    ['- one two', '  three']
    """
    return wrap(text, width=width, initial_indent=bullet, subsequent_indent=" " * len(bullet)) or [bullet]


def years(length: float) -> str:
    """Write a length of time.

    >>> years(1.0), years(0.25)
    ('1 year', '0.25 years')
    """
    return f"{length:g} year{'' if length == 1 else 's'}"


def aligned(rows: Sequence[Sequence[str]], *, left: int = 1, indent: int = 0, gap: int = 2) -> list[str]:
    """Line up the cells of rows in columns: the first `left` columns to the left, the others to the right.

    >>> aligned([["arm", "n"], ["placebo", "7"]])
    ['arm      n', 'placebo  7']
    """
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        (
            " " * indent
            + (" " * gap).join(
                cell.ljust(width) if column < left else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        ).rstrip()
        for row in rows
    ]


def fitting(rows: Sequence[Sequence[str]], *, left: int = 1, width: int = WIDTH) -> list[list[str]]:
    """Line up rows; break a table that is too wide into several below each other, repeating the first column.

    Returns one list of lines a part. The first row is the head.

    >>> len(fitting([["a", "b" * 60, "c" * 60]]))
    2
    """
    parts: list[list[str]] = []
    columns = list(range(left, len(rows[0]))) if rows else []
    while columns:
        taken = len(columns)
        while True:
            chosen = [*range(left), *columns[:taken]]
            lines = aligned([[row[column] for column in chosen] for row in rows], left=left)
            if taken == 1 or max(map(len, lines)) <= width:
                break
            taken -= 1
        parts.append(lines)
        columns = columns[taken:]
    return parts
