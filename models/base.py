"""What every model shares: the shape of a specification, of EDSS and of other outcomes."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import xarray as xr

from trajectories.cohort import Cohort
from trajectories.formulas import Matrices
from trajectories.models.design import Design, Floats

__all__ = ["EdssModel", "MixedModel", "Population"]


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
