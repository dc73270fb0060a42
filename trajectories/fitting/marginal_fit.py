"""Maximum likelihood with the patient effects integrated out: the estimates, their errors, and what can be asked of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.fitting.delta import slopes_of, variance_of
from trajectories.fitting.groups import refuse_groups
from trajectories.fitting.marginal import Integrated
from trajectories.fitting.marginal_models import Adaptor, adaptor_of
from trajectories.fitting.marginal_peak import Attempt, maximum
from trajectories.fitting.robust import robust_covariance
from trajectories.fitting.status import Report, silent
from trajectories.formulas import FormulaError
from trajectories.models.base import MixedModel
from trajectories.models.blocks import patient_effects
from trajectories.models.design import Design, Floats

__all__ = ["MarginalFit", "fit_marginal"]

# A direction of the patient effects with a standard deviation below this has none, on the scale of the linear predictor.
NO_VARIANCE = 1e-3
# Log-likelihoods by some and by twice as many nodes may differ by this; a likelihood-ratio statistic by twice as much.
COARSE = 0.2
# Among more patients than this, those with less than one part in so many of the weighted rows are taken to hold none of the information.
FEW = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class MarginalFit:
    """A maximum of the integrated likelihood.

    Parameters
    ----------
    likelihood, adaptor
        What was maximised, and how its parameters are read.
    theta
        The estimates on the optimiser's scale.
    loglik
        The log-likelihood there.
    covariance
        The inverse of the observed information there, of weighted patients where they have weights; NaN for a dispersion of 0.
    attempts
        From where it was found.
    notes
        What the reader must know.
    """

    likelihood: Integrated = field(repr=False)
    adaptor: Adaptor = field(repr=False)
    theta: Floats = field(repr=False)
    loglik: float
    covariance: Floats = field(repr=False)
    attempts: tuple[Attempt, ...]
    notes: tuple[str, ...]

    @property
    def n_parameters(self) -> int:
        """How many parameters were estimated: of an ordinal model the cutpoints between levels that somebody has."""
        return len(self.theta)

    @property
    def quadrature(self) -> int:
        """Nodes a dimension."""
        return self.likelihood.quadrature

    @cached_property
    def robust_covariance(self) -> Floats:
        """The covariance from the patients' scores, which holds if patients differ otherwise than modelled (`without_each`)."""
        bread = np.where(
            np.isnan(self.covariance), 0.0, self.covariance
        )  # what is held on a boundary stays there
        likelihood, rows = self.likelihood, self.likelihood.rows
        whose = np.arange(rows.n_patients)
        if len(whose) > FEW:
            share = rows.importance * np.bincount(rows.patient)
            whose = np.flatnonzero(share > share.sum() / FEW)
        covariance = robust_covariance(
            bread,
            likelihood.scores(self.theta),
            likelihood.informations(self.theta, whose),
            self.adaptor.design.weights,
            whose,
        )
        return np.where(np.isnan(self.covariance), np.nan, covariance)

    @property
    def weighted(self) -> bool:
        """Whether patients have weights: then only the sandwich says how sure the estimates are."""
        return self.adaptor.design.weights is not None

    def draws(self, n: int = 4000, seed: int = 0) -> xr.Dataset:
        """Draw parameters from the normal approximation on the optimiser's scale, where cutpoints stay in order: one chain."""
        covariance = self.robust_covariance if self.weighted else self.covariance
        known = ~np.isnan(np.diag(covariance))
        theta = np.repeat(self.theta[None], n, axis=0)
        root = np.linalg.cholesky(covariance[np.ix_(known, known)])
        theta[:, known] += np.random.default_rng(seed).normal(size=(n, int(known.sum()))) @ root.T
        return self.adaptor.dataset(theta)

    def estimates(self) -> xr.Dataset:
        """The estimates in the user's units."""
        return self.adaptor.dataset(self.theta[None]).isel(chain=0, draw=0, drop=True)

    def slopes(self) -> xr.Dataset:
        """Derivatives of the parameters in the user's units by those of the optimiser: parameter × …."""
        return slopes_of(self.adaptor.dataset, self.theta)

    def standard_errors(self, *, robust: bool = False) -> xr.Dataset:
        """Standard errors in the user's units, by the delta method; NaN for what is on a boundary."""
        covariance = self.robust_covariance if robust or self.weighted else self.covariance
        unknown = np.isnan(np.diag(covariance))
        inner = np.where(np.isnan(covariance), 0.0, covariance)
        se = {}
        for name, slope in self.slopes().data_vars.items():
            variance = variance_of(slope, inner)
            touched = np.abs(slope.to_numpy()[unknown]).sum(axis=0) > 0
            with np.errstate(invalid="ignore"):  # infinite cutpoints have no error
                root = np.where((variance > 0) & ~touched, np.sqrt(np.maximum(variance, 0.0)), np.nan)
            se[name] = slope.isel(parameter=0, drop=True).copy(data=root)
        # At a standard deviation of 0 and a correlation of ±1 slopes vanish, and would promise certainty.
        estimates = self.estimates()
        # On the linear predictor, whatever the unit of time.
        spread = estimates["patient_sd"] * self.adaptor.z.sd
        se["patient_sd"] = se["patient_sd"].where(spread > NO_VARIANCE)
        if "patient_correlation" in se:
            inside = np.abs(estimates["patient_correlation"]) < 1 - NO_VARIANCE**2
            se["patient_correlation"] = se["patient_correlation"].where(inside)
        return xr.Dataset(se)

    def patient_effects(self) -> pd.DataFrame:
        """Conditional modes of the patient effects and their standard errors given the population parameters.

        Returns
        -------
        A frame with a row a patient of the design, in its order and without identifiers, and columns effect and `se(effect)`.
        """
        modes, covariance = self.adaptor.effects(self.theta, *self.likelihood.modes(self.theta))
        names = self.adaptor.design.effects
        columns: dict[str, Any] = {}
        for k, name in enumerate(names):
            columns[name] = modes[:, k]
            columns[f"se({name})"] = np.sqrt(covariance[:, k, k])
        return pd.DataFrame(columns).rename_axis("patient")


def fit_marginal(
    model: MixedModel, design: Design, *, quadrature: int = 7, report: Report = silent
) -> MarginalFit:
    """Fit a model with patient effects by maximum likelihood, the effects integrated out.

    Raises
    ------
    FormulaError
        If there are more patient effects than any patient has rows.
    ValueError
        If the outcome is constant, or nobody in an arm had an event.
    ConvergenceError
        If the likelihood has no maximum.
    """
    refuse_groups(design, f"maximum likelihood of {type(model).__name__}")
    _check(design)
    adaptor = adaptor_of(model, design)
    likelihood = adaptor.likelihood(quadrature)
    adaptor.check_maximum_exists()
    top = maximum(likelihood, floors=adaptor.floors, names=adaptor.names, report=report)
    covariance = np.full((len(top.theta), len(top.theta)), np.nan)
    free = np.array([k for k in range(len(top.theta)) if k not in top.held])
    covariance[np.ix_(free, free)] = np.linalg.inv(top.information[np.ix_(free, free)])
    notes = [*adaptor.notes, *_boundary(adaptor, top.theta)]
    notes += [
        f"the {adaptor.names[k]} went to 0: the counts vary no more than Poisson counts" for k in top.held
    ]
    notes += _too_few_nodes(likelihood, top.theta, top.loglik)
    if quadrature == 1 and np.median(np.bincount(design.patient)) < 10:
        notes.append("Laplace's approximation is biased with few rows a patient: quadrature=7 is the default")
    return MarginalFit(
        likelihood=likelihood,
        adaptor=adaptor,
        theta=top.theta,
        loglik=top.loglik,
        covariance=covariance,
        attempts=top.attempts,
        notes=tuple(notes),
    )


def _too_few_nodes(likelihood: Integrated, theta: Floats, loglik: float) -> list[str]:
    """Say by how much the quadrature of a binary outcome is off, where it matters; 1 node is Laplace's approximation by choice."""
    nodes = likelihood.quadrature
    if likelihood.shape.levels != 2 or nodes == 1:
        return []
    more = 2 * nodes + 1
    off = loglik - Integrated(shape=likelihood.shape, rows=likelihood.rows, quadrature=more).value(theta)
    if abs(off) < COARSE:
        return []
    return [
        f"{nodes} quadrature nodes a dimension are few for these patients, many of whom have the same outcome at all visits: with {more} the "
        f"log-likelihood at these estimates differs by {-off:+.2f}; take quadrature={more}"
    ]


def _check(design: Design) -> None:
    if np.ptp(design.outcome) == 0:
        raise ValueError(
            f"every {design.formula.response} is {design.outcome[0]:g}: there is nothing to explain."
        )
    most = int(np.bincount(design.patient).max())
    if most < len(design.effects):
        raise FormulaError(
            f"no patient has more than {most} rows, which cannot tell {len(design.effects)} patient effects "
            f"({', '.join(design.effects)}) apart: use fewer."
        )


def _boundary(adaptor: Adaptor, theta: Floats) -> list[str]:
    """Say that the covariance of the patient effects is on the boundary of what is possible."""
    factor = adaptor.factor(theta[None])[0]
    rank = int((np.linalg.svd(factor, compute_uv=False) > NO_VARIANCE).sum())
    if rank == len(factor):
        return []
    return [
        patient_effects.singular(adaptor.design.effects, rank, "their standard errors and draws are rough")
    ]
