"""The design of a model: the labelled arrays made from a cohort, what patients count, and how columns are scaled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from trajectories.formulas import FormulaError, Group, Matrices, ParsedFormula

__all__ = ["INTERCEPT", "VISIT_TIME", "Design", "Floats", "Ints", "PatientWeights", "Scaling"]

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]

INTERCEPT = "intercept"
VISIT_TIME = ("years", "day")


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaling:
    """How columns are centred and scaled for the sampler: internal = (column − mean) / sd."""

    mean: Floats
    sd: Floats

    @classmethod
    def of(cls, columns: Floats) -> Scaling:
        """Take the mean and the standard deviation of each column."""
        return cls(mean=columns.mean(axis=0), sd=columns.std(axis=0))

    def apply(self, columns: Floats) -> Floats:
        """Centre and scale columns."""
        return (columns - self.mean) / self.sd


@dataclass(frozen=True, kw_only=True, eq=False)
class PatientWeights:
    """Weights of a design's patients, and where these were estimated, how they depend on parameters and these on patients.

    Parameters
    ----------
    values
        One a patient; each multiplies the patient's integrated log-likelihood.
    influence
        Of every patient on the estimated parameters: those of the design in its order, then others who took part in the estimation; None for
        weights that are taken as known.
    slopes
        Of the weights in these parameters: patients × parameters.
    """

    values: Floats
    influence: Floats | None = None
    slopes: Floats | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """The labelled arrays that a model is fitted to, and what is needed to evaluate its formula elsewhere.

    Parameters
    ----------
    formula
        The parsed formula, evaluated on `frame`.
    frame
        One row a visit (or a window of follow-up): `patient` (position in `target`), `years`, `arm`, the outcome
        and the columns that the formula uses.
    target
        One row a patient of the design: `arm` and the patient's covariates that the formula uses; estimands are
        standardised over it.
    exposure
        Person-years a row, for counts; None otherwise.
    excluded
        Sentences with counts: what was left out, and why.
    arms
        The arms that have rows, in order.
    cohort_name, simulated, index_date
        From the cohort, for prints and plots.
    patient_ids
        The identifiers of the patients of `target`, in its order, which link a design to weights; never printed or saved, and None in what
        was loaded.
    weights
        Of the patients; None for 1 each.
    unseen
        Patients of the cohort without a row, whose covariates are known, as `target` but with identifiers as index: they belong to a target
        population as much as the others. None in what was loaded.
    """

    formula: ParsedFormula
    frame: pd.DataFrame = field(repr=False)
    target: pd.DataFrame = field(repr=False)
    exposure: Floats | None = field(default=None, repr=False)
    excluded: tuple[str, ...] = ()
    arms: tuple[str, ...]
    cohort_name: str
    simulated: bool
    index_date: str
    patient_ids: tuple[Any, ...] | None = field(default=None, repr=False)
    weights: PatientWeights | None = field(default=None, repr=False)
    unseen: pd.DataFrame | None = field(default=None, repr=False)

    @property
    def outcome(self) -> Floats:
        """The outcome, one a row."""
        return self.frame[self.formula.response].to_numpy(dtype=float)

    @property
    def patient(self) -> Ints:
        """The patient of each row, as a position in `target`."""
        return self.frame["patient"].to_numpy(dtype=np.int64)

    def rows_by_patient(self) -> list[Ints]:
        """The places of the rows of each patient."""
        order = np.argsort(self.patient, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.patient, minlength=self.n_patients))[:-1])

    @property
    def weight_values(self) -> Floats | None:
        """The weights of the patients as numbers; None for 1 each."""
        return None if self.weights is None else self.weights.values

    @property
    def n_patients(self) -> int:
        """How many patients have at least one row."""
        return len(self.target)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the columns of X: the fixed terms, then the levels of the groups."""
        return self.formula.terms

    @property
    def fixed_terms(self) -> tuple[str, ...]:
        """Names of the fixed terms."""
        return self.formula.fixed_terms

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of patients whose levels have an effect each, `(1 | centre)`."""
        return self.formula.groups

    @property
    def fixed_columns(self) -> Floats:
        """The columns of X of the fixed terms."""
        return self.formula.matrices.X[:, : len(self.fixed_terms)]

    @property
    def scaling(self) -> Scaling:
        """How columns of X are centred and scaled; the indicators of groups are centred only."""
        X, sd = self.formula.matrices.X, self.fixed_columns.std(axis=0)
        return Scaling(mean=X.mean(axis=0), sd=np.append(sd, np.ones(X.shape[1] - len(sd))))

    @property
    def effects(self) -> tuple[str, ...]:
        """Names of the patient effects, the intercept first; empty without patient effects."""
        return self.formula.effects

    @property
    def compares_arms(self) -> bool:
        """Whether the formula has the arm in it."""
        return "arm" in self.formula.columns

    def followup(self, arm: str | None = None) -> tuple[float, float]:
        """First and last observed time, in years, of one arm or of all; a row of relapses has its exposure around its time."""
        rows = self.frame if arm is None else self.frame[self.frame["arm"].astype(str) == arm]
        half = rows["exposure"] / 2 if self.formula.response == "relapses" else 0.0
        return float((rows["years"] - half).min()), float((rows["years"] + half).max())

    def patients_in(self, arm: str | None) -> int:
        """How many patients of the design are in an arm, or in all."""
        return self.n_patients if arm is None else int((self.target["arm"].astype(str) == arm).sum())

    def placed(self, rows: pd.DataFrame, arm: str, years: float) -> pd.DataFrame:
        """Set everybody's arm, if the formula has it, and time."""
        placed = rows.assign(years=years, day=years * 365.25)
        if self.compares_arms:
            placed["arm"] = pd.Categorical([arm] * len(rows), categories=list(self.arms), ordered=True)
        missing = [name for name in self.formula.columns if name not in placed]
        if missing:
            raise FormulaError(
                f"the formula uses {', '.join(missing)}, which belongs to single visits: an estimand would need its value. "
                f"Estimands set the time ({', '.join(VISIT_TIME)}), the arm and patients' covariates only."
            )
        return placed

    def at(self, rows: pd.DataFrame) -> Matrices:
        """Evaluate the formula on hypothetical rows."""
        return self.formula.at(rows)

    def patient_level(self) -> NDArray[np.bool_]:
        """Which fixed terms are constant within every patient."""
        X = pd.DataFrame(self.formula.matrices.X)
        spread = X.groupby(self.patient).agg(np.ptp).to_numpy()
        return np.asarray((spread < 1e-12).all(axis=0))

    def to_xarray(self) -> xr.Dataset:
        """Return the arrays with named dims: `visit`, `term`, `effect`, `patient`."""
        matrices = self.formula.matrices
        data: dict[str, Any] = {
            "X": (("visit", "term"), matrices.X),
            "Z": (("visit", "effect"), matrices.Z),
            self.formula.response: ("visit", self.outcome),
            "patient_of_visit": ("visit", self.patient),
        }
        if self.exposure is not None:
            data["exposure"] = ("visit", self.exposure)
        coords = {
            "term": list(self.terms),
            "effect": list(self.effects),
            "patient": np.arange(self.n_patients),
        }
        return xr.Dataset(data, coords=coords)
