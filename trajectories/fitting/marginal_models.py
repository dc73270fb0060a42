"""From a model and its design to the rows of the integrated likelihood, and from its parameters back to the user's units."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from trajectories import edss
from trajectories.fitting.counts import CountData, check_maximum_exists
from trajectories.fitting.events import check_events
from trajectories.fitting.marginal import Integrated, cutpoints_of
from trajectories.fitting.marginal_rows import Rows, Shape
from trajectories.models.base import MixedModel
from trajectories.models.binary import BinaryMixed
from trajectories.models.blocks import averaging, patient_effects
from trajectories.models.counts import CountModel, dispersion_group, exposure_of
from trajectories.models.design import Design, Floats, Ints, Scaling
from trajectories.models.ordinal import CUTPOINTS, OrdinalMixed

__all__ = ["Adaptor", "adaptor_of"]

# log α below this is α = 0: counts no more variable than Poisson counts.
LOG_POISSON = -11.0

# Nodes a dimension for binary outcomes, by the number of patient effects. With 400 patients, 9 visits each and a standard deviation of 4 the
# log-likelihood is off by 6.4 with 5 nodes, 1.8 with 7, 0.08 with 15, 0.03 with 21; with a slope too by 2.7 with 7 nodes, 0.18 with 15.
BINARY_NODES = {1: 21, 2: 15, 3: 11}


@dataclass(frozen=True, kw_only=True, eq=False)
class Adaptor(ABC):
    """What one kind of model needs besides the integrated likelihood.

    Columns are centred and scaled for the optimiser, as for the sampler: a coefficient is per standard deviation of its column, the
    intercept effect of a patient is at the mean time.
    """

    model: MixedModel
    design: Design
    x: Scaling = field(init=False)
    z: Scaling = field(init=False)

    def __post_init__(self) -> None:
        matrices = self.design.formula.matrices
        object.__setattr__(self, "x", self.design.scaling)
        object.__setattr__(self, "z", patient_effects.patient_scaling(matrices.Z))

    @property
    @abstractmethod
    def shape(self) -> Shape:
        """Sizes and density."""

    @abstractmethod
    def rows(self) -> Rows:
        """The rows."""

    def nodes(self, usual: int) -> int:
        """How many quadrature nodes a dimension to use where the user named no number and `usual` is enough for smooth integrands."""
        return usual

    def likelihood(self, quadrature: int) -> Integrated:
        """The integrated likelihood of the rows."""
        return Integrated(shape=self.shape, rows=self.rows(), quadrature=quadrature)

    def check_maximum_exists(self) -> None:
        """Raise a ValueError that names the terms if the likelihood is known to have no maximum, before it is searched for."""
        return

    @property
    @abstractmethod
    def own_names(self) -> tuple[str, ...]:
        """Names of the parameters of the density, for messages."""

    @abstractmethod
    def own_parameters(self, own: Floats, moved: Floats) -> dict[str, Any]:
        """Parameters of the density by name, as `patient_effects.labelled` takes them.

        `own` is samples × parameters; `moved` (samples) is what centring the fixed terms added to the linear predictor.
        """

    @abstractmethod
    def own_of(self, parameters: xr.Dataset, moved: Floats) -> Floats:
        """Parameters of the density, samples × parameters, from those in the user's units: the inverse of `own_parameters`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a summary must say of how the density was fitted."""
        return ()

    @property
    def floors(self) -> dict[int, float]:
        """Parameters by position that are at minus infinity, near enough, below a value; see `maximum`."""
        return {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters, for messages."""
        effects = self.design.effects
        factor = [f"patient effects ({effects[i]})" for i in range(len(effects)) for _ in range(i + 1)]
        return (*self.own_names, *self.design.terms, *factor)

    def _rows(self, outcome: Ints, offset: Floats, group: Ints) -> Rows:
        matrices = self.design.formula.matrices
        return Rows(
            outcome=outcome, X=self.x.apply(matrices.X), Z=self.z.apply(matrices.Z), patient=self.design.patient,
            offset=offset, group=group, weights=self.design.weight_values,
        )  # fmt: skip

    def factor(self, theta: Floats) -> Floats:
        """Λ, samples × effect × effect, on the optimiser's scale."""
        return patient_effects.lower_triangle(self.shape.split(theta.T)[2].T, len(self.design.effects))

    def dataset(self, theta: Floats) -> xr.Dataset:
        """Parameters θ (samples × …) in the user's units: chain (1) × draw (samples) × …, as `model.parameters` names them."""
        own, beta, _ = (part.T for part in self.shape.split(theta.T))
        beta = beta / self.x.sd
        covariance = patient_effects.user_covariance(self.factor(theta), self.z)
        own_parameters = self.own_parameters(own, beta @ self.x.mean)
        return patient_effects.labelled(self.design, beta[None], None, covariance[None], **own_parameters)

    def theta_of(self, parameters: xr.Dataset) -> Floats:
        """Parameters θ (samples × …) from those in the user's units (chain × draw × …): the inverse of `dataset`.

        Λ is the lower triangular factor with a diagonal that is not negative; of an ordinal posterior the adaptor must have every level.
        """
        beta = averaging.flat(parameters["coefficients"])
        to_internal = patient_effects.from_user(self.z)
        covariance = to_internal @ averaging.flat(parameters["patient_covariance"]) @ to_internal.T
        return np.concatenate(
            [
                self.own_of(parameters, beta @ self.x.mean),
                beta * self.x.sd,
                patient_effects.lower_entries(covariance),
            ],
            axis=1,
        )

    def effects(self, theta: Floats, modes: Floats, covariance: Floats) -> tuple[Floats, Floats]:
        """Patient effects u = Λv (patient × effect) and their covariance matrices (… × effect) in the user's units, from those of v."""
        A = patient_effects.to_user(self.z) @ self.factor(theta[None])[0]
        return modes @ A.T, A @ covariance @ A.T


@dataclass(frozen=True, kw_only=True, eq=False)
class OrdinalAdaptor(Adaptor):
    """The ordinal model on the levels that somebody has; between two of them the cutpoints of empty levels coincide.

    With `every_level` it is on all 20, as in a posterior, where the prior gives the empty ones a probability.
    """

    model: OrdinalMixed
    every_level: bool = False

    @cached_property
    def occupied(self) -> Ints:
        """Codes of the levels that somebody has, or of all."""
        if self.every_level:
            return np.arange(len(edss.LEVELS))
        return np.unique(edss.code(self.design.outcome))

    @property
    def shape(self) -> Shape:
        return Shape(
            family="ordinal",
            link=self.model.link,
            levels=len(self.occupied),
            terms=len(self.design.terms),
            effects=len(self.design.effects),
        )

    def rows(self) -> Rows:
        codes = np.searchsorted(self.occupied, edss.code(self.design.outcome))
        zeros = np.zeros(len(codes))
        return self._rows(codes, zeros, zeros.astype(np.int64))

    @property
    def own_names(self) -> tuple[str, ...]:
        return tuple(f"cutpoint {CUTPOINTS[code - 1]}" for code in self.occupied[1:])

    def own_parameters(self, own: Floats, moved: Floats) -> dict[str, Any]:
        ends = np.full((len(own), 1), np.inf)
        cut = np.concatenate([-ends, cutpoints_of(own, np) + moved[:, None], ends], axis=1)
        below = np.searchsorted(self.occupied, np.arange(len(CUTPOINTS)), side="right")
        return {"cutpoints": (("cutpoint", list(CUTPOINTS)), cut[None][..., below])}

    def own_of(self, parameters: xr.Dataset, moved: Floats) -> Floats:
        """First cutpoint and logarithms of the gaps between levels that somebody has; −∞ where two coincide in double precision."""
        cut = averaging.flat(parameters["cutpoints"])[:, self.occupied[1:] - 1] - moved[:, None]
        with np.errstate(divide="ignore"):
            return np.concatenate([cut[:, :1], np.log(np.diff(cut, axis=1))], axis=1)

    @property
    def notes(self) -> tuple[str, ...]:
        empty = np.setdiff1d(np.arange(len(edss.LEVELS)), self.occupied)
        if not len(empty):
            return ()
        levels = ", ".join(f"{edss.LEVELS[code]:g}" for code in empty)
        return (
            f"nobody has EDSS {levels}: probability 0 by maximum likelihood; {len(self.occupied) - 1} cutpoints were estimated",
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class CountAdaptor(Adaptor):
    """Counts with a log exposure."""

    model: CountModel

    @property
    def _arms(self) -> tuple[str, ...]:
        return self.design.arms if self.model.dispersion_by == "arm" else ("",)

    @property
    def shape(self) -> Shape:
        return Shape(
            family=self.model.family,
            groups=0 if self.model.family == "poisson" else len(self._arms),
            terms=len(self.design.terms),
            effects=len(self.design.effects),
        )

    def rows(self) -> Rows:
        offset, group = np.log(exposure_of(self.design)), dispersion_group(self.model, self.design)
        return self._rows(self.design.outcome.astype(np.int64), offset, group)

    def check_maximum_exists(self) -> None:
        check_maximum_exists(CountData.of(self.design))

    @property
    def own_names(self) -> tuple[str, ...]:
        names = [f"log dispersion{f'({arm})' if arm else ''}" for arm in self._arms]
        return ("intercept", *names[: self.shape.groups])

    @property
    def floors(self) -> dict[int, float]:
        return {1 + group: LOG_POISSON for group in range(self.shape.groups)}

    def own_parameters(self, own: Floats, moved: Floats) -> dict[str, Any]:
        made: dict[str, Any] = {"intercept": (None, (own[:, 0] - moved)[None])}
        if self.model.family == "negative binomial":
            made |= self.model.labelled_dispersion(np.exp(own[None, :, 1:]), self.design)
        return made

    def own_of(self, parameters: xr.Dataset, moved: Floats) -> Floats:
        """Intercept at the means of the columns, and log dispersions; −∞ for a dispersion of 0."""
        own = (averaging.flat(parameters["intercept"]) + moved)[:, None]
        if self.model.family == "poisson":
            return own
        dispersion = averaging.flat(parameters["dispersion"]).reshape(len(own), -1)
        with np.errstate(divide="ignore"):
            return np.concatenate([own, np.log(dispersion)], axis=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class BinaryAdaptor(Adaptor):
    """A binary outcome: two levels, whose cutpoint is minus the intercept."""

    model: BinaryMixed

    @property
    def shape(self) -> Shape:
        return Shape(
            family="ordinal",
            link=self.model.link,
            levels=2,
            terms=len(self.design.terms),
            effects=len(self.design.effects),
        )

    def rows(self) -> Rows:
        zeros = np.zeros(len(self.design.frame))
        return self._rows(self.design.outcome.astype(np.int64), zeros, zeros.astype(np.int64))

    def nodes(self, usual: int) -> int:
        """More than usual: of a patient with the same outcome at all visits the integrand is half flat, and far from a normal one."""
        return max(usual, BINARY_NODES[len(self.design.effects)])

    def check_maximum_exists(self) -> None:
        check_events(self.design, self.model.event)

    @property
    def own_names(self) -> tuple[str, ...]:
        return ("intercept",)

    def own_parameters(self, own: Floats, moved: Floats) -> dict[str, Any]:
        return {"intercept": (None, (-own[:, 0] - moved)[None])}

    def own_of(self, parameters: xr.Dataset, moved: Floats) -> Floats:
        """The cutpoint at the means of the columns."""
        return -(averaging.flat(parameters["intercept"]) + moved)[:, None]


def adaptor_of(model: MixedModel, design: Design, *, every_level: bool = False) -> Adaptor:
    """Return the adaptor of a model with patient effects; with `every_level` an ordinal one is on all levels, as in a posterior."""
    if isinstance(model, OrdinalMixed):
        if model.visit_effects != "none":
            raise NotImplementedError(
                "the integrated likelihood has effects by patient, not by visit: use visit_effects='none', or sample without integrate_patients."
            )
        return OrdinalAdaptor(model=model, design=design, every_level=every_level)
    if isinstance(model, BinaryMixed):
        return BinaryAdaptor(model=model, design=design)
    if isinstance(model, CountModel):
        return CountAdaptor(model=model, design=design)
    raise NotImplementedError(f"there is no integrated likelihood of {type(model).__name__}.")
