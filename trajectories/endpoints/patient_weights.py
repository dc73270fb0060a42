"""Weighted patients in an estimate of observed outcomes: their influence on it, through the estimation of the weights too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.caveats import SIMULATED
from trajectories.cohort import Cohort

__all__ = ["Estimated", "PatientWeights", "WeightedPatients", "weighted_cohort", "with_weights"]

type Floats = NDArray[np.float64]

_FEW = 20  # as of clusters: robust standard errors are too small with fewer


class Estimated(Protocol):
    """How weights depend on parameters that were estimated, and these on patients."""

    @property
    def influence(self) -> pd.DataFrame:
        """Of patients on the parameters, index `patient`; all who took part in their estimation."""

    @property
    def values(self) -> pd.DataFrame:
        """Slopes of the weights in the parameters, index `patient`."""


class PatientWeights(Protocol):
    """What each patient counts, as `trajectories.weighting` makes it."""

    @property
    def values(self) -> pd.Series:
        """Weights, index `patient`."""

    @property
    def arm(self) -> pd.Series:
        """The arm of each patient; same index."""

    @property
    def description(self) -> str:
        """The target population and the method, in a sentence."""

    @property
    def caveats(self) -> tuple[str, ...]:
        """What every result that uses them must say."""

    @property
    def estimation(self) -> Estimated | None:
        """How they were estimated; None where they are taken as known."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightedPatients:
    """The patients of an analysis, what each counts, and how that was estimated.

    With θ(w) an estimate, a patient has the influence ψᵢ = wᵢ ∂θ/∂wᵢ + φᵢ' Σⱼ ẇⱼ ∂θ/∂wⱼ, where φᵢ is the patient's influence on the
    estimated parameters of the weights and ẇⱼ are the slopes of a weight in them. The variance of the estimate is Σ ψᵢ² (the
    infinitesimal jackknife). Weights taken as known have the first term only.

    Parameters
    ----------
    values
        Weights, shape (patients,).
    influence
        φ of everybody who took part in the estimation: the patients of the analysis first and in its order, then the others; None for
        weights taken as known.
    slopes
        ẇ, patients of the analysis × parameters.

    References
    ----------
    Pierce 1982 (doi:10.1214/aos/1176345788).

    Examples
    --------
    >>> known = WeightedPatients(values=np.array([1.0, 2.0]))
    >>> known.influences(np.array([[0.5], [-0.25]]))[:, 0].tolist()
    [0.5, -0.5]
    >>> made = WeightedPatients(values=np.ones(2), influence=np.array([[0.2], [0.0], [-0.2]]), slopes=np.array([[1.0], [0.0]]))
    >>> made.influences(np.array([[0.5], [-0.5]]))[:, 0].tolist()  # of three who took part, two are in the analysis
    [0.6, -0.5, -0.1]
    """

    values: Floats
    influence: Floats | None = field(default=None, repr=False)
    slopes: Floats | None = field(default=None, repr=False)

    @classmethod
    def of(cls, table: pd.DataFrame, estimation: Estimated | None) -> WeightedPatients | None:
        """Take the patients of a table, one a row, with a column `weight`; None without one."""
        if "weight" not in table:
            return None
        values = table["weight"].to_numpy(dtype=np.float64)
        if estimation is None:
            return cls(values=values)
        own = pd.Index(table["patient"])
        everybody = own.append(estimation.influence.index.difference(own, sort=False))
        return cls(
            values=values,
            influence=estimation.influence.reindex(everybody, fill_value=0.0).to_numpy(dtype=np.float64),
            slopes=estimation.values.loc[own].to_numpy(dtype=np.float64),
        )

    @property
    def size(self) -> int:
        """How many patients have an influence: those of the analysis, and others who took part in the estimation."""
        return len(self.values) if self.influence is None else len(self.influence)

    def influences(self, slopes: Floats, rows: NDArray[np.bool_] | None = None) -> Floats:
        """Each patient's influence on estimates, patients of `size` × estimates.

        Parameters
        ----------
        slopes
            ∂θ/∂w, patients × estimates.
        rows
            Which patients of the analysis these are, such as those of an arm; the others have none. None for all.
        """
        mine = np.arange(len(self.values)) if rows is None else np.flatnonzero(rows)
        total = np.zeros((self.size, slopes.shape[1]))
        if self.influence is not None and self.slopes is not None:
            total += self.influence @ (self.slopes[mine].T @ slopes)
        total[mine] += self.values[mine, None] * slopes
        return total

    def errors(self, slopes: Floats, rows: NDArray[np.bool_] | None = None) -> Floats:
        """Standard errors of estimates, √Σ ψᵢ², multiplied out so that many estimates take little memory; parameters as for `influences`."""
        mine = slice(None) if rows is None else rows
        own = self.values[mine, None] * slopes
        variance = (own**2).sum(axis=0)
        if self.influence is not None and self.slopes is not None:
            moved = self.slopes[mine].T @ slopes
            known = self.influence[: len(self.values)][mine]
            variance += (moved * (2 * known.T @ own + self.influence.T @ self.influence @ moved)).sum(axis=0)
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def with_weights(
    table: pd.DataFrame, weights: PatientWeights, suppress_below: int | None = None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Add the column `weight`, leave out patients without one, and say so by arm; without counts where small ones are to be hidden.

    >>> from types import SimpleNamespace
    >>> one, arm = pd.Series({"a": 2.0}), pd.Series({"a": "x"})
    >>> known = SimpleNamespace(values=one, arm=arm, description="By hand.", caveats=(), estimation=None)
    >>> table, said = with_weights(pd.DataFrame({"patient": ["a", "b"], "arm": ["x", "x"]}), known)
    >>> table["weight"].tolist(), said[1]
    ([2.0], 'Without a weight and left out: 1 of 2 patients of x.')
    """
    _check_kind(weights)
    _check_arms(table, weights.arm)
    own = table["patient"].map(weights.values).to_numpy(dtype=np.float64)
    inside = own > 0
    if not inside.any():
        raise ValueError("none of these patients has a weight: make the weights from the same cohort.")
    arms = list(pd.unique(table["arm"]))
    masks = [(table["arm"] == arm).to_numpy() for arm in arms]
    lost = [
        f"{int((~inside & mine).sum())} of {int(mine.sum())} patients of {arm}"
        for arm, mine in zip(arms, masks, strict=True)
        if (~inside & mine).any()
    ]
    # that they are simulated is said at the head
    said = [f"Weighted: {weights.description}", *(str(c) for c in weights.caveats if c != SIMULATED)]
    if lost:
        who = "some patients" if suppress_below is not None else ", ".join(lost)
        said.insert(1, f"Without a weight and left out: {who}.")
    effective = {
        str(arm): float(w.sum() ** 2 / (w @ w))
        for arm, mine in zip(arms, masks, strict=True)
        if len(w := own[inside & mine])
    }
    said += _uncertainty(weights, effective, hidden=suppress_below is not None)
    return table[inside].assign(weight=own[inside]).reset_index(drop=True), tuple(said)


def _check_kind(weights: object) -> None:
    """Refuse what is not weights of the patients of arms: plain numbers, matched sets, weights that match published means."""
    frames = (getattr(weights, name, None) for name in ("values", "arm"))
    if all(isinstance(frame, pd.Series) for frame in frames) and hasattr(weights, "description"):
        return
    raise TypeError(
        f"weights must be those of tj.weights, tj.entropy_balance or tj.weights_of, not {type(weights).__name__}: make them by "
        "tj.weights_of(cohort, series), with a series of numbers indexed by patient, or take .weights of a match."
    )


def _check_arms(table: pd.DataFrame, arm: pd.Series) -> None:
    """Refuse weights of another cohort, which shows where its identifiers are the same and its arms are not."""
    own, known = table["arm"].astype(str).to_numpy(), table["patient"].map(arm.astype(str))
    other = int((known.notna().to_numpy() & (known.to_numpy() != own)).sum())
    if other:
        raise ValueError(
            f"{other} of these {len(table)} patients are in another arm by the weights: make the weights from the same cohort."
        )


def _uncertainty(weights: PatientWeights, effective: Mapping[str, float], *, hidden: bool) -> list[str]:
    """Say what standard errors allow for, and how many patients the weighted ones of each arm are worth."""
    worth = ", ".join(f"{n:.0f} of {arm}" for arm, n in effective.items())
    said = [
        "Counts are of patients, not of weights."
        if hidden
        else "Counts are of patients. Weighted they are as informative as this many unweighted ones ((Σw)²/Σw²): "
        f"{worth}.",
        "Standard errors are robust (the infinitesimal jackknife) and allow for the estimation of the weights."
        if weights.estimation is not None
        else "Standard errors are robust (the infinitesimal jackknife) and take the weights as known: where they were estimated, that is "
        "on the safe side for weights that make everybody the target (ATE), and may not be for others.",
    ]
    if min(effective.values()) < _FEW:
        said.append(
            f"With fewer than {_FEW} patients' worth in an arm robust standard errors are too small: read them as rough."
        )
    return said


def weighted_cohort(
    cohort: Cohort, by: str | None, weights: PatientWeights, suppress_below: int | None
) -> tuple[Cohort, WeightedPatients, tuple[str, ...]]:
    """Leave out of a cohort who has no weight; with what the others count, in the cohort's order, and what is to be said.

    Raises
    ------
    ValueError
        If patients are not grouped by arm, nobody has a weight, or patients are in another arm by the weights.
    TypeError
        If these are no weights of patients.
    """
    if by != "arm":
        raise ValueError(f"weights make arms comparable, not other groups: by='arm', not {by!r}.")
    table, said = with_weights(cohort.patients[["patient", "arm"]], weights, suppress_below)
    if len(table) < cohort.n_patients:
        cohort = cohort.only(table["patient"].tolist())
    found = WeightedPatients.of(table, weights.estimation)
    assert found is not None
    return cohort, found, said
