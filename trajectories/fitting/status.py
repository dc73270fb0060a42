"""What a long search says of itself in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Report", "silent", "status"]

type Report = Callable[[str], None]


def silent(text: str) -> None:
    """Say nothing."""


@contextmanager
def status(show: bool, title: str) -> Iterator[Report]:
    """A line of a terminal that says how far something is, and goes when it ends; nothing elsewhere."""
    if not show:
        yield silent
        return
    from rich.console import Console

    with Console(stderr=True).status(title) as line:
        yield line.update
