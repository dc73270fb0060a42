"""The estimates of a maximum-likelihood fit alone, and as they would be with other weights of the patients."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import xarray as xr

from trajectories.fitting.counts import CountMethod, fit_counts
from trajectories.fitting.groups import refuse_groups
from trajectories.fitting.marginal_fit import MarginalFit
from trajectories.fitting.marginal_models import adaptor_of
from trajectories.fitting.marginal_peak import maximum
from trajectories.fitting.mixedlm import MixedLMFit, refit_mixedlm
from trajectories.fitting.point import Method, PointFit
from trajectories.models.base import MixedModel
from trajectories.models.counts import CountModel
from trajectories.models.design import Design, Floats, PatientWeights

__all__ = ["Point", "Refitter"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Point:
    """Estimates without their uncertainty, of which estimands can be asked as of a fit: one chain of one draw.

    Parameters
    ----------
    model, design
        What was fitted to what.
    parameters
        The estimates, chain (1) × draw (1) × ….
    """

    model: MixedModel
    design: Design
    parameters: xr.Dataset = field(repr=False)

    @property
    def description(self) -> str:
        """What its only draw is."""
        return "the estimate"

    @property
    def caveats(self) -> tuple[str, ...]:
        """None: those of the fit are said where its uncertainty is."""
        return ()

    def draws(self, n: int | None = None, seed: int | None = None) -> xr.Dataset:
        """The estimates, whatever n and seed."""
        return self.parameters

    @classmethod
    def of(cls, fit: PointFit) -> Point:
        """Take the estimates of a fit."""
        solution = fit.solution
        if isinstance(solution, MarginalFit):
            parameters = solution.adaptor.dataset(solution.theta[None])
        elif isinstance(solution, MixedLMFit):
            parameters = solution.estimates.expand_dims(chain=[0], draw=[0])
        else:
            parameters = solution.point()
        return cls(model=fit.model, design=fit.design, parameters=parameters)


@dataclass(frozen=True, kw_only=True, eq=False)
class Refitter:
    """A fit without its result, ready to be repeated with other weights of the patients; it can be sent to another process.

    Parameters
    ----------
    model, design, method
        Of the fit.
    kind
        Which likelihood: "integral", "gaussian" or "counts".
    theta
        Where its maximum is, on the optimiser's scale; None for counts without patient effects.
    information
        Minus the second derivatives there; NaN where held.
    quadrature
        Nodes a dimension, of an integrated likelihood.
    held
        Parameters that were held on a boundary.
    """

    model: MixedModel
    design: Design
    method: Method
    kind: Literal["integral", "gaussian", "counts"]
    theta: Floats | None = field(default=None, repr=False)
    information: Floats | None = field(default=None, repr=False)
    quadrature: int = 1
    held: tuple[int, ...] = ()

    @classmethod
    def of(cls, fit: PointFit) -> Refitter:
        """Take what is needed from a fit."""
        solution = fit.solution
        if isinstance(solution, MarginalFit):
            known = ~np.isnan(np.diag(solution.covariance))
            information = np.full(solution.covariance.shape, np.nan)
            information[np.ix_(known, known)] = np.linalg.inv(solution.covariance[np.ix_(known, known)])
            return cls(
                model=fit.model, design=fit.design, method=fit.method, kind="integral", theta=solution.theta,
                information=information, quadrature=solution.quadrature,
                held=tuple(int(k) for k in np.flatnonzero(~known)),
            )  # fmt: skip
        if isinstance(solution, MixedLMFit):
            theta = solution.variance_parameters.to_numpy()
            return cls(model=fit.model, design=fit.design, method=fit.method, kind="gaussian", theta=theta)
        return cls(model=fit.model, design=fit.design, method=fit.method, kind="counts")

    def with_weights(self, weights: Floats) -> Point:
        """Fit again, with these weights of the patients of the design, from the estimates there were.

        Raises
        ------
        NotImplementedError
            If the formula has groups beside the patient.
        ConvergenceError, ValueError
            If there is no maximum with these weights.
        """
        refuse_groups(self.design, "a bootstrap", "take augmented=True without a bootstrap")
        design = replace(self.design, weights=PatientWeights(values=weights / weights.mean()))
        if self.kind == "counts":
            assert isinstance(self.model, CountModel)
            method: CountMethod = "gee" if self.method == "gee" else "maximum likelihood"
            parameters = fit_counts(self.model, design, method, profiles=False).point()
        elif self.kind == "gaussian":
            assert self.theta is not None
            parameters = refit_mixedlm(design, self.theta)
        else:
            parameters = self._integral(design)
        return Point(model=self.model, design=design, parameters=parameters)

    def _integral(self, design: Design) -> xr.Dataset:
        assert self.theta is not None
        adaptor = adaptor_of(self.model, design)
        top = maximum(
            adaptor.likelihood(self.quadrature),
            floors=adaptor.floors,
            held={k: float(self.theta[k]) for k in self.held},
            names=adaptor.names,
            start=self.theta,
            information=self.information,
            errors=False,
        )
        return adaptor.dataset(top.theta[None])
