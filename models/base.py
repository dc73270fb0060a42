"""What every model shares: the design made from a cohort, and the shape of a model."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from trajectories.cohort import Cohort
from trajectories.formulas import (
    FormulaError,
    Group,
    Matrices,
    ParsedFormula,
    groups_of,
    parse,
    response_of,
    variables,
)
from trajectories.tables import nearest

__all__ = ["Design", "EdssModel", "Floats", "Ints", "MixedModel", "Population", "Scaling", "edss_design"]

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


class Population(NamedTuple):
    """What the likelihood of rows needs beside the patients' own v ~ N(0, I), in the sampler's units and any array namespace.

    Parameters
    ----------
    own
        Of the density. Ordinal: the cutpoints (… × 19), and log(1 − exp(c_{k−1} − c_k)) of every level (… × 20) or None. Counts: the
        intercept (…), and the dispersions (… × group) or None.
    beta
        Coefficients of the columns as `Design.scaling` scales them: … × term.
    factor
        Λ of the patient effects u = Λv: … × effect × effect, lower triangular.
    group_sd
        Standard deviations of the groups' effects, … × group: of no use to the likelihood, whose effects are among the coefficients.
    """

    own: tuple[Any, Any]
    beta: Any
    factor: Any
    group_sd: Any = None


@dataclass(frozen=True)
class MixedModel(ABC):
    """A specification: formula, options, priors. It holds no data and no results."""

    formula: str

    outcome: ClassVar[str]

    @property
    @abstractmethod
    def priors(self) -> Any:
        """The priors, a frozen value whose print shows every one."""

    def with_priors(
        self, **changes: Any
    ) -> Self:  # documented exception: names are those of the priors value
        """Return the same model with some priors replaced, by the names that `model.priors` shows."""
        return dataclasses.replace(self, prior=dataclasses.replace(self.priors, **changes))  # type: ignore[call-arg]

    def limitations(self, design: Design) -> tuple[str, ...]:
        """Say what this model assumes of this design that the reader should know."""
        return ()

    @abstractmethod
    def design(self, cohort: Cohort) -> Design:
        """Turn a cohort into the labelled arrays of this model."""

    @abstractmethod
    def build(self, design: Design, *, open_rows: bool = False) -> Any:
        """Make the PyMC model of a design; `open_rows` leaves the number of rows open, for other designs of the same patients."""

    @abstractmethod
    def parameters(self, draws: Mapping[str, Any], design: Design) -> xr.Dataset:
        """Turn the sampler's variables (chain × draw × …) into parameters on the user's scale."""

    def build_population(self, design: Design, integral: Callable[[Population], Any]) -> Any:
        """Make the PyMC model of the population parameters alone; `integral` is the log-likelihood without patient effects."""
        raise self._not_integrated()

    def population(self, draws: Mapping[str, Any], design: Design) -> Population:
        """Turn variables of `build_population` (chain × draw × …) into what the likelihood needs."""
        raise self._not_integrated()

    def with_effects(self, population: Population, standard: Floats, design: Design) -> xr.Dataset:
        """Turn population parameters and the patients' v (chain × draw × patient × effect) into parameters on the user's scale."""
        raise self._not_integrated()

    def _not_integrated(self) -> NotImplementedError:
        return NotImplementedError(f"the patient effects of {type(self).__name__} cannot be integrated out.")

    @abstractmethod
    def log_likelihood(self, parameters: xr.Dataset, design: Design) -> xr.DataArray:
        """Log-probability of every observation given parameters and patient effects: chain × draw × visit."""

    @abstractmethod
    def replicate(self, parameters: xr.Dataset, design: Design, rng: np.random.Generator) -> xr.DataArray:
        """Draw new outcomes for the same visits of the same patients: chain × draw × visit."""

    @abstractmethod
    def expectation(self, parameters: xr.Dataset, matrices: Matrices) -> xr.DataArray:
        """Expected outcome of new patients, one a row, patient effects integrated out: chain × draw × row."""


class EdssModel(MixedModel):
    """A model of EDSS: besides the expectation it gives probabilities of the 20 levels."""

    outcome = "edss"

    @abstractmethod
    def averaged_edss(self, parameters: xr.Dataset, matrices: Matrices, weights: Floats) -> Floats:
        """Mean EDSS over weighted rows and new patients: chain·draw samples."""

    @abstractmethod
    def averaged_levels(self, parameters: xr.Dataset, matrices: Matrices, weights: Floats) -> Floats:
        """Level probabilities averaged over weighted rows and new patients: samples × 20."""

    @abstractmethod
    def levels_by_row(self, parameters: xr.Dataset, matrices: Matrices) -> Floats:
        """Level probabilities of new patients, one a row, patient effects averaged over: samples × rows × 20."""

    @abstractmethod
    def conditional_levels(self, parameters: xr.Dataset, matrices: Matrices, effects: Floats) -> Floats:
        """Level probabilities of a visit given patient effects (samples × rows × effect): samples × rows × 20."""

    def levels_at_two_visits(
        self,
        parameters: xr.Dataset,
        visits: tuple[Matrices, Matrices],
        effects: Floats,
        shared: Floats,
        years: float,
    ) -> tuple[Floats, Floats]:
        """Level probabilities of two visits of a patient that are independent given the effects and a shared normal score.

        `shared` (rows) are standard normal; models whose visits are independent given the patient effects do not use them.
        """
        first, second = (self.conditional_levels(parameters, matrices, effects) for matrices in visits)
        return first, second

    @abstractmethod
    def conditional_edss(self, parameters: xr.Dataset, matrices: Matrices, effects: Floats) -> Floats:
        """Expected EDSS given patient effects (samples × rows × effect): samples × rows."""


def edss_design(formula: str, cohort: Cohort) -> Design:
    """Make the design of an EDSS model: one row a visit with an EDSS."""
    variables(formula)  # a formula that cannot be read is refused first
    response = response_of(formula)
    if response != "edss":
        raise FormulaError(
            f"this model is for EDSS: the outcome of {formula!r} must be 'edss', not {response!r}."
        )
    rows, named, excluded = visit_rows(formula, cohort, "edss")
    return assemble(formula, rows, named, excluded, cohort)


def assemble(
    formula: str,
    rows: pd.DataFrame,
    named: tuple[str, ...],
    excluded: list[str],
    cohort: Cohort,
    exposure: str | None = None,
) -> Design:
    """Leave out rows with a missing covariate (counted), evaluate the formula, and set the target population."""
    rows, more = _complete(rows, named)
    if rows.empty:
        raise FormulaError(f"no row is left for {formula!r}: {'; '.join([*excluded, *more])}")
    codes, patients = pd.factorize(rows["patient"])
    kept = [name for name in named if name not in ("arm", *VISIT_TIME)]
    wanted = [response_of(formula), "years", "arm", *named, *([exposure] if exposure else [])]
    columns = [
        name for name in dict.fromkeys(wanted) if name in rows.columns
    ]  # parse names a column that is not there
    frame = rows[columns].assign(patient=codes).reset_index(drop=True)
    frame["arm"] = frame["arm"].cat.remove_unused_categories()
    _check_patient_level(formula, cohort)
    parsed = parse(formula, frame, groups=True)
    _check_effects(parsed, formula)
    _check_columns(parsed)
    _check_groups(parsed, len(patients))
    first = rows.drop_duplicates("patient").reset_index(drop=True)
    patient_level = [name for name in kept if name in cohort.patients.columns]
    lost = cohort.n_patients - len(patients)
    if lost:
        more.append(f"{lost} of {cohort.n_patients} patients have no row left and are not in the model")
    arms = tuple(str(arm) for arm in frame["arm"].cat.categories)
    gone = [arm for arm in cohort.arms if arm not in arms]
    if gone:
        more.append(f"no patient of {', '.join(gone)} has a row left: these arms are not in the model")
    target = first[["arm", *patient_level]].assign(arm=first["arm"].cat.remove_unused_categories())
    return Design(
        formula=parsed,
        frame=frame,
        target=target,
        exposure=None if exposure is None else frame[exposure].to_numpy(dtype=float),
        excluded=(*excluded, *more),
        arms=arms,
        cohort_name=cohort.name,
        simulated=cohort.simulated,
        index_date=cohort.index_date,
        patient_ids=tuple(patients),
        unseen=_without_row(cohort, patients, target, groups_of(formula)),
    )


def _without_row(cohort: Cohort, seen: Any, target: pd.DataFrame, groups: tuple[str, ...]) -> pd.DataFrame:
    """Patients of a cohort who are not among those seen, with the columns of a target, all known and of the same levels."""
    table = cohort.patients.set_index("patient")
    away = table.loc[~table.index.isin(seen), list(target.columns)]
    known = away.notna().all(axis=1)
    for name, column in target.items():
        if name in groups or not pd.api.types.is_numeric_dtype(column):
            known &= away[str(name)].isin(column.unique())
    return away[known].astype(target.dtypes.to_dict())


def visit_rows(formula: str, cohort: Cohort, outcome: str) -> tuple[pd.DataFrame, tuple[str, ...], list[str]]:
    """Take the visits that have the outcome, with the patients' covariates; the columns that the formula names; what was left out."""
    visits, patients, named = cohort.visits, cohort.patients, variables(formula)
    twice = [name for name in named if name in visits.columns and name in patients.columns]
    if twice:
        raise FormulaError(
            f"{twice[0]!r} is a column of the visits and of the patients: give one of them another name, so that the formula says "
            "which is meant."
        )
    excluded = []
    missing = int(visits[outcome].isna().sum())
    if missing:
        excluded.append(
            f"{missing} of {len(visits)} visits have no {'EDSS' if outcome == 'edss' else outcome} and were left out (valid if missing at "
            "random)"
        )
    visits = visits[visits[outcome].notna()]
    if "edss_baseline" in named:
        before = int((visits["day"] <= 0).sum())
        excluded.append(
            f"{before} visits at or before time 0 were left out of the outcome, as edss_baseline is a covariate"
        )
        visits = visits[visits["day"] > 0]
    covariates = [c for c in patients.columns if c not in visits.columns or c == "patient"]
    return visits.merge(patients[covariates], on="patient", how="left"), named, excluded


def _complete(rows: pd.DataFrame, named: tuple[str, ...]) -> tuple[pd.DataFrame, list[str]]:
    said = []
    for name in named:
        if name not in rows.columns:
            continue  # the formula wrapper names it, with the nearest column
        bad = rows[name].isna()
        if bad.any():
            who = rows.loc[bad, "patient"].nunique()
            said.append(f"{int(bad.sum())} rows of {who} patients have no {name} and were left out")
            rows = rows[~bad]
    return rows, said


def _check_effects(parsed: ParsedFormula, formula: str) -> None:
    if parsed.effects and parsed.effects[0] != INTERCEPT:
        raise FormulaError(f"patient effects need an intercept: write '(1 + … | patient)' in {formula!r}.")
    if len(set(parsed.effects)) < len(parsed.effects):
        raise FormulaError(f"a patient effect is named twice in {formula!r}: write one '(1 + … | patient)'.")


def _check_patient_level(formula: str, cohort: Cohort) -> None:
    for name in groups_of(formula):
        if name in cohort.patients.columns:
            continue
        near = nearest(name, [str(column) for column in cohort.patients.columns])
        raise FormulaError(
            f"'(1 | {name})' in {formula!r} needs a column of the patients, and they have no {name!r}."
            + (
                f" Did you mean {near!r}?"
                if near
                else " Its effects are those of groups of patients, not of visits."
            )
        )


def _check_groups(parsed: ParsedFormula, patients: int) -> None:
    """Refuse groups whose effects cannot be told apart from those of patients or of fixed terms."""
    fixed = np.column_stack([np.ones(len(parsed.frame)), parsed.matrices.X[:, : len(parsed.fixed_terms)]])
    for group in parsed.groups:
        if len(group.levels) >= patients:
            raise FormulaError(
                f"every patient has another {group.name}: effects of '(1 | {group.name})' cannot be told apart from those of patients. Leave it "
                "out."
            )
        places = [parsed.terms.index(term) for term in group.terms]
        indicators = parsed.matrices.X[:, places]
        rest = indicators - fixed @ np.linalg.lstsq(fixed, indicators, rcond=None)[0]
        if np.abs(rest).max() < 1e-8:
            raise FormulaError(
                f"{group.name} is a covariate of {parsed.text!r} already, each level with an effect of its own, so nothing is left for "
                f"'(1 | {group.name})': leave one of the two out."
            )
    codes = [group.codes(parsed.frame[group.name]) for group in parsed.groups]
    if len(codes) == 2 and {len(set(zip(*codes, strict=True)))} == {
        len(group.levels) for group in parsed.groups
    }:
        raise FormulaError(
            f"{' and '.join(group.name for group in parsed.groups)} divide the patients alike, so their effects cannot be told apart: leave one "
            f"of them out of {parsed.text!r}."
        )


def _check_columns(parsed: ParsedFormula) -> None:
    for name in parsed.columns:  # formulae leaves a category with one level out without a word
        column = parsed.frame[name]
        if isinstance(column.dtype, pd.CategoricalDtype) and column.nunique() < 2:
            raise FormulaError(
                f"{name!r} is the same ({column.iloc[0]}) in every row: leave it out of the formula."
            )
    X = parsed.matrices.X[:, : len(parsed.fixed_terms)]
    for name, column in zip(parsed.fixed_terms, X.T, strict=True):
        if np.ptp(column) == 0:
            raise FormulaError(
                f"the term {name!r} is the same ({column[0]:g}) in every row: leave it out of the formula."
            )
    for name, column in zip(parsed.effects[1:], parsed.matrices.Z.T[1:], strict=True):
        if np.ptp(column) == 0:
            raise FormulaError(
                f"the patient effect {name!r} is the same ({column[0]:g}) in every row: leave it out."
            )
    known = np.ones((len(X), 1))
    for name, column in zip(parsed.fixed_terms, Scaling.of(X).apply(X).T, strict=True):
        remainder = column - known @ np.linalg.lstsq(known, column, rcond=None)[0]
        if np.linalg.norm(remainder) < 1e-8 * np.linalg.norm(column):
            raise FormulaError(
                f"the term {name!r} follows exactly from the terms before it: leave one of them out."
            )
        known = np.column_stack([known, column])
