"""Coordinates of the patient effects in which the posterior of a Gaussian model is standard normal.

Given the population parameters, the effects u_i = Λv_i, v_i ~ N(0, I), of a patient with residuals r_i = y_i − X_iβ have a normal
posterior: with M_i = σ²I + Λ'Z_i'Z_iΛ = C_iC_i' (Cholesky) and h_i = C_i⁻¹Λ'Z_i'r_i it is v_i = C_i'⁻¹ (h_i + σ z_i), z_i ~ N(0, I).
The sampler works with z_i. Each z_ij is a normal variable of the model, whose mean and standard deviation are those that make
v_i ~ N(0, I) a priori; so draws from the prior are draws from the prior, while in the posterior z is standard normal and
independent of everything else: centred where a patient's visits say much, non-centred where they say little.

Autocorrelated residuals are made independent first, r and Z alike: (a_j − ρ a_{j−1}) / √(1 − ρ²).

The functions take numpy arrays (… × rows) or PyTensor vectors (rows); a matrix of q × q is a list of lists of arrays by patient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from trajectories.models.blocks.small_matrices import cholesky, from_left
from trajectories.models.design import Floats, Ints

__all__ = ["Coordinates", "coordinates", "coordinates_from_sums", "sum_by_patient"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Coordinates:
    """The coordinates z of the patient effects at some population parameters; effects are taken from the last to the first.

    Parameters
    ----------
    C
        The lower Cholesky factors, C[j][k] by patient.
    h
        h[j] by patient.
    sd
        The residual standard deviation.
    """

    C: list[list[Any]]
    h: list[Any]
    sd: Any

    def prior(self, j: int, v: Sequence[Any]) -> tuple[Any, Any]:
        """Mean and standard deviation of z_j for v_j ~ N(0, 1), given the later v."""
        return (self._later(j, v) - self.h[j]) / self.sd, self.C[j][j] / self.sd

    def effect(self, j: int, z: Any, v: Sequence[Any]) -> Any:
        """v_j from z_j and the later v."""
        return (self.h[j] + self.sd * z - self._later(j, v)) / self.C[j][j]

    def _later(self, j: int, v: Sequence[Any]) -> Any:
        return sum((self.C[k][j] * v[k] for k in range(j + 1, len(self.h))), 0.0 * self.h[j])


def coordinates(
    residual: Any, columns: Sequence[Any], total: Callable[[Any], Any], factor: Any, sd: Any, xp: ModuleType
) -> Coordinates:
    """Make the coordinates.

    Parameters
    ----------
    residual
        Outcome minus fixed part, by row.
    columns
        The columns of Z, one a patient effect, by row.
    total
        Sums rows by patient.
    factor
        Λ, … × q × q, lower triangular.
    sd
        Residual standard deviation, … (for numpy … × 1).
    xp
        The array namespace.
    """
    q = len(columns)
    ZZ = [[total(columns[max(j, k)] * columns[min(j, k)]) for k in range(q)] for j in range(q)]
    Zr = [total(columns[j] * residual) for j in range(q)]
    return coordinates_from_sums(ZZ, Zr, factor, sd, xp)


def coordinates_from_sums(
    ZZ: Sequence[Sequence[Any]], Zr: Sequence[Any], factor: Any, sd: Any, xp: ModuleType
) -> Coordinates:
    """Make the coordinates from sums by patient: ZZ[j][k] of products of columns, Zr[j] of a column times the residual.

    The other parameters are those of `coordinates`.
    """
    q = len(Zr)
    # Λ_kj, with an axis for patients; 0 above the diagonal.
    f = [[factor[..., k, j][..., None] for j in range(k + 1)] for k in range(q)]
    ZF = [[sum(ZZ[i][k] * f[k][j] for k in range(j, q)) for j in range(q)] for i in range(q)]
    M = [[sum(f[i][j] * ZF[i][k] for i in range(j, q)) for k in range(j + 1)] for j in range(q)]
    C = cholesky(M, xp, sd**2)
    h = from_left(C, [sum(f[i][j] * Zr[i] for i in range(j, q)) for j in range(q)])
    return Coordinates(C=C, h=h, sd=sd)


def sum_by_patient(patient: Ints) -> Callable[[Floats], Floats]:
    """Return a function that sums numpy arrays (… × rows) by patient: … × patient.

    >>> sum_by_patient(np.array([1, 0, 1]))(np.array([1.0, 2.0, 4.0])).tolist()
    [2.0, 5.0]
    """
    order = np.argsort(patient, kind="stable")
    starts = np.unique(patient[order], return_index=True)[1]

    def total(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(values[..., order], starts, axis=-1))

    return total
