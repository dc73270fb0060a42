"""The result of a classical fit of counts: estimates, covariance, and draws from their approximate distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.estimate import check_ci, normal_limit
from trajectories.fitting.count_likelihood import Profile
from trajectories.models.design import Floats

__all__ = ["CountFit", "CountMethod"]

type CountMethod = Literal["maximum likelihood", "gee"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CountFit:
    """Estimates of a count model with their covariance.

    Parameters
    ----------
    method
        "maximum likelihood" or "gee".
    terms
        Names of the fixed terms.
    coefficients
        The intercept (log rate per person-year), then the log rate ratios.
    dispersion
        α, one number or one an arm; 0 where the likelihood is highest at 0; empty for Poisson counts and for GEE.
    dispersion_arms
        The arms of `dispersion`; empty for one α.
    covariance
        Of the coefficients and of log α; NaN for an α of 0.
    profiles
        The profile likelihood of each α.
    loglik
        None for GEE, which has no likelihood.
    notes
        What the reader must know.
    effects
        Names of the patient effects of the formula: a GEE averages over them, so their covariance in its draws is 0.
    """

    method: CountMethod
    terms: tuple[str, ...]
    coefficients: Floats
    dispersion: Floats
    dispersion_arms: tuple[str, ...] = ()
    covariance: Floats
    profiles: tuple[Profile, ...] = ()
    loglik: float | None
    notes: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()

    @property
    def n_parameters(self) -> int:
        """How many parameters were estimated."""
        return len(self.coefficients) + len(self.dispersion)

    def to_frame(self, ci: float = 0.95) -> pd.DataFrame:
        """Return a row a parameter: `estimate`, `se`, `lower`, `upper`.

        The interval of a coefficient is estimate ± z·se; a dispersion's is where the profile of its likelihood has fallen by z²/2,
        which holds near 0 too, where its se (NaN at 0) says little.

        Parameters
        ----------
        ci
            Probability of the interval, in (0, 1).
        """
        check_ci(ci)
        z, se, k = normal_limit(ci), np.sqrt(np.diag(self.covariance)), len(self.coefficients)
        names = [f"dispersion({arm})" for arm in self.dispersion_arms] or ["dispersion"]
        half = z * se[:k]
        bounds = np.array([profile.at(np.array([-z, z])) for profile in self.profiles]).reshape(-1, 2)
        return pd.DataFrame(
            {
                "estimate": [*self.coefficients, *self.dispersion],
                "se": [*se[:k], *(self.dispersion * se[k:])],
                "lower": [*(self.coefficients - half), *bounds[:, 0]],
                "upper": [*(self.coefficients + half), *bounds[:, 1]],
            },
            index=pd.Index(["intercept", *self.terms, *names[: len(self.dispersion)]], name="term"),
        )

    def draws(self, n: int = 4000, seed: int = 0) -> xr.Dataset:
        """Draw parameters from the estimates' approximate distribution: one chain of n draws.

        The coefficients are normal with the estimated covariance. A dispersion's signed root of the deviance is normal
        (`Profile`), correlated with the coefficients as log α is; so part of the draws is 0 where the data do not exclude it.

        Parameters
        ----------
        n
            How many draws.
        seed
            The same seed gives the same draws.

        Returns
        -------
        The variables of `RelapseCounts.parameters` without those of single patients.
        """
        k = len(self.coefficients)
        scale = np.append(np.ones(k), np.sqrt(np.diag(self.covariance))[k:])
        joint = self.covariance / np.outer(scale, scale)
        unknown = np.flatnonzero(np.isnan(scale))  # an α of 0: independent of the rest
        joint[unknown, :] = joint[:, unknown] = 0.0
        joint[unknown, unknown] = 1.0
        rng = np.random.default_rng(seed)
        drawn = rng.multivariate_normal(np.zeros(len(joint)), joint, size=n, method="cholesky")
        dispersion = [profile.at(drawn[:, k + g]) for g, profile in enumerate(self.profiles)]
        stacked = np.stack(dispersion, axis=-1) if dispersion else np.zeros((n, 0))
        return self._labelled((self.coefficients + drawn[:, :k])[None], stacked[None])

    def point(self) -> xr.Dataset:
        """The estimates alone, one chain of one draw."""
        return self._labelled(self.coefficients[None, None], self.dispersion[None, None])

    def _labelled(self, coefficients: Floats, dispersion: Floats) -> xr.Dataset:
        lead, q = ("chain", "draw"), len(self.effects)
        data: dict[str, Any] = {
            "coefficients": ((*lead, "term"), coefficients[..., 1:]),
            "patient_covariance": (
                (*lead, "effect", "other_effect"),
                np.zeros((*coefficients.shape[:2], q, q)),
            ),
            "intercept": (lead, coefficients[..., 0]),
        }
        coords: dict[str, Any] = {
            "chain": np.arange(1),
            "draw": np.arange(coefficients.shape[1]),
            "term": list(self.terms),
            "effect": list(self.effects),
            "other_effect": list(self.effects),
        }
        if self.dispersion_arms:
            data["dispersion"] = ((*lead, "arm"), dispersion)
            coords["arm"] = list(self.dispersion_arms)
        elif len(self.dispersion):
            data["dispersion"] = (lead, dispersion[..., 0])
        return xr.Dataset(data, coords=coords)

    def __str__(self) -> str:
        head = "log-likelihood: none (GEE)" if self.loglik is None else f"log-likelihood {self.loglik:.3f}"
        notes = "".join(f"\n  - {note}" for note in self.notes)
        return f"counts by {self.method}, {head}{notes}\n{self.to_frame().round(4).to_string()}"

    def __repr__(self) -> str:
        return str(self)
