"""Sentences that every report of a result must carry, and the marks that some of them put on figures and tables."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

__all__ = [
    "PRIOR",
    "SIMULATED",
    "Caveat",
    "Doubt",
    "Mark",
    "converged",
    "marks_of",
    "not_converged",
    "warning_lines",
]


class Mark(Enum):
    """What must be seen at once on a figure; the value is what is written there, in this order."""

    SIMULATED = "SIMULATED data: nobody was treated"
    PRIOR = "draws from the PRIOR, no data used"
    NOT_CONVERGED = "NOT CONVERGED (accepted by the user)"


class Caveat(str):
    """A sentence that belongs to a result, with its mark, so that no one has to recognise it by its wording.

    Parameters
    ----------
    text
        The sentence.
    mark
        What it puts on figures.

    Examples
    --------
    >>> caveat = Caveat("simulated data", Mark.SIMULATED)
    >>> caveat, caveat.mark.name
    ('simulated data', 'SIMULATED')
    """

    __slots__ = ("mark",)

    mark: Mark | None

    def __new__(cls, text: str, mark: Mark | None = None) -> Caveat:
        """Make the sentence, and keep its mark beside it."""
        made = super().__new__(cls, text)
        made.mark = mark
        return made


class Doubt(Caveat):
    """A sentence that says what a comparison assumes or cannot show, which its figures say too.

    Examples
    --------
    >>> isinstance(Doubt("descriptive"), Caveat)
    True
    """

    __slots__ = ()


SIMULATED = Caveat("simulated data: nobody was treated", Mark.SIMULATED)
PRIOR = Caveat("drawn from the prior: what the model assumes, nothing that these patients show", Mark.PRIOR)


def not_converged(problems: Iterable[object]) -> Caveat:
    """Say that a fit was accepted although it has serious problems, and which."""
    return Caveat(f"{Mark.NOT_CONVERGED.value}: {'; '.join(map(str, problems))}", Mark.NOT_CONVERGED)


def marks_of(caveats: Iterable[str]) -> list[Mark]:
    """Collect the marks of sentences, each once, in the order of `Mark`.

    >>> [mark.name for mark in marks_of([PRIOR, "one patient was left out", SIMULATED])]
    ['SIMULATED', 'PRIOR']
    """
    found = {caveat.mark for caveat in caveats if isinstance(caveat, Caveat)}
    return [mark for mark in Mark if mark in found]


def converged(caveats: Iterable[str]) -> bool:
    """Whether no sentence says that the sampler did not converge."""
    return Mark.NOT_CONVERGED not in marks_of(caveats)


def warning_lines(caveats: Iterable[str]) -> str:
    """Return what a print must begin with: a line if the sampler did not converge, else nothing."""
    return "" if converged(caveats) else f"{Mark.NOT_CONVERGED.value}: do not report these numbers\n"
