"""The rows of a mixed model by patient, as dense blocks for the integrated likelihood."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trajectories.models.blocks.densities import Link
from trajectories.models.design import Floats, Ints

__all__ = ["Block", "Family", "Rows", "Shape", "blocks", "in_batches"]

type Family = Literal["ordinal", "negative binomial", "poisson"]

# Rows of padding that are accepted, as a share of the rows there are, before patients are put into more blocks; and how many blocks.
PADDING, MOST_BLOCKS = 0.25, 4

# Up to this many patients a fit takes a fraction of the seconds that its program takes to compile.
FEW = 1024


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What decides which program is compiled: the density, and how many parameters of each kind there are.

    Parameters
    ----------
    family
        "ordinal" (with two levels: a binary outcome), "negative binomial" or "poisson".
    link
        Of the ordinal family.
    levels
        Occupied levels of the ordinal family, at least 2; 0 for counts.
    groups
        Dispersions of the negative binomial family.
    terms, effects
        Fixed terms (without an intercept) and effects a patient (1 to 3).
    """

    family: Family
    link: Link = "logit"
    levels: int = 0
    groups: int = 0
    terms: int
    effects: int

    @property
    def own(self) -> int:
        """How many parameters the density has of its own: cutpoints; or intercept and dispersions."""
        return self.levels - 1 if self.family == "ordinal" else 1 + self.groups

    @property
    def size(self) -> int:
        """How many parameters there are: those of the density, coefficients, entries of the factor Λ."""
        return self.own + self.terms + self.effects * (self.effects + 1) // 2

    def split(self, theta: Any) -> tuple[Any, Any, Any]:
        """Split parameters into those of the density, coefficients, and entries of Λ by rows."""
        return theta[: self.own], theta[self.own : self.own + self.terms], theta[self.own + self.terms :]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """Outcomes to fit, as arrays by row, in the units of the optimiser.

    Parameters
    ----------
    outcome
        The level, 0 to levels − 1, or the count.
    X, Z
        Rows × terms, rows × effects.
    patient
        Which patient each row is of: 0 to patients − 1, in any order.
    offset
        Added to the linear predictor.
    group
        Which dispersion each row has.
    weights
        Of the patients: each multiplies the logarithm of a patient's integral; None for 1 each.
    """

    outcome: Ints
    X: Floats
    Z: Floats
    patient: Ints
    offset: Floats
    group: Ints
    weights: Floats | None = None

    @property
    def n_patients(self) -> int:
        """How many patients there are."""
        return int(self.patient.max()) + 1

    @property
    def importance(self) -> Floats:
        """The weights of the patients."""
        return np.ones(self.n_patients) if self.weights is None else self.weights

    def part(self, patients: Ints) -> Rows:
        """The rows of some patients, numbered anew in their order."""
        number = np.full(self.n_patients, -1)
        number[patients] = np.arange(len(patients))
        inside = number[self.patient] >= 0
        return Rows(
            outcome=self.outcome[inside], X=self.X[inside], Z=self.Z[inside], patient=number[self.patient[inside]],
            offset=self.offset[inside], group=self.group[inside], weights=self.importance[patients],
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Patients with about as many rows: arrays visit × patient, padded by rows of weight 0 and by patients without rows.

    Parameters
    ----------
    arrays
        `outcome`, `weight`, `offset`, `group` (visit × patient), `X` (term × visit × patient), `Z` (effect × visit × patient),
        `importance` (patient).
    patients
        The patients of the columns; the columns after them are padding.
    """

    arrays: dict[str, Any]
    patients: Ints


def blocks(rows: Rows) -> list[Block]:
    """Put rows into blocks whose sizes are rounded up, so that cohorts of similar size share a compiled program.

    Every visit of every patient stands in one block; padding is at most about a quarter of the rows, and a quarter for the rounding.
    """
    counts = np.bincount(rows.patient, minlength=rows.n_patients)
    edges = _edges(counts)
    order = np.argsort(rows.patient, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    made, low = [], -1
    for high in edges:
        inside = np.flatnonzero((counts > low) & (counts <= high))
        low = high
        if len(inside):
            made.append(_block(rows, order, starts, counts, inside, _rounded(high)))
    return made


def _edges(counts: Ints) -> Sequence[int]:
    """Largest numbers of rows of the blocks: as few as keep the padding small."""
    sizes, patients = np.unique(counts, return_counts=True)
    edges = [int(sizes[-1])]
    while len(edges) < min(MOST_BLOCKS, len(sizes)):
        padded = _padded(sizes, patients, edges)
        if padded <= (1 + PADDING) * counts.sum():
            break
        candidates = [sorted([*edges, int(size)]) for size in sizes[:-1] if size not in edges]
        edges = min(candidates, key=lambda edges: _padded(sizes, patients, edges))
    return edges


def _padded(sizes: Ints, patients: Ints, edges: Sequence[int]) -> int:
    reach = np.asarray(edges)[np.searchsorted(edges, sizes)]
    return int((reach * patients).sum())


def _rounded(size: int) -> int:
    """Round up to 1, 2, 3, 4, then four steps an octave: 5, 6, 7, 8, 10, 12, 14, 16, 20, …"""
    if size <= 4:
        return max(size, 1)
    step = 2 ** max(int(np.ceil(np.log2(size))) - 3, 0)
    return int(-(-size // step) * step)


def _columns(patients: int) -> int:
    """Round a number of patients up: to a power of two where compiling takes longer than what padding costs, as `_rounded` beyond."""
    return 1 << (patients - 1).bit_length() if patients <= FEW else _rounded(patients)


def _block(rows: Rows, order: Ints, starts: Ints, counts: Ints, patients: Ints, visits: int) -> Block:
    columns = _columns(len(patients))
    place = np.arange(visits)[:, None]
    there = np.zeros((visits, columns), dtype=bool)
    there[:, : len(patients)] = place < counts[patients]
    source = np.zeros((visits, columns), dtype=np.int64)
    source[:, : len(patients)] = starts[patients] + np.minimum(place, np.maximum(counts[patients] - 1, 0))
    source = order[np.minimum(source, len(order) - 1)]

    def spread(values: Any) -> Any:
        return np.where(there, values[source], values.dtype.type(0))

    return Block(
        arrays={
            "outcome": spread(rows.outcome.astype(np.int32)),
            "weight": there.astype(float),
            "offset": spread(rows.offset.astype(float)),
            "group": spread(rows.group.astype(np.int32)),
            "X": np.stack([spread(x) for x in rows.X.T])
            if rows.X.shape[1]
            else np.zeros((0, visits, columns)),
            "Z": np.stack([spread(z) for z in rows.Z.T]),
            "importance": np.append(rows.importance[patients], np.ones(columns - len(patients))),
        },
        patients=patients,
    )


def in_batches(values: Floats, size: int) -> Iterator[tuple[slice, Floats]]:
    """Rows some at a time, the last of them repeated until there are `size`, so that one compiled program serves: where, and the rows.

    >>> [(here.stop, rows.tolist()) for here, rows in in_batches(np.array([1.0, 2.0, 3.0]), 2)]
    [(2, [1.0, 2.0]), (3, [3.0, 3.0])]
    """
    for begin in range(0, len(values), size):
        part = values[begin : begin + size]
        yield (
            slice(begin, begin + len(part)),
            np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)]),
        )
