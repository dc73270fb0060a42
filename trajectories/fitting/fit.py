"""The result of sampling: draws on the user's scale, the specification, the design, and what was wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.caveats import PRIOR, SIMULATED, converged, not_converged, warning_lines
from trajectories.fitting.diagnostics import Problem, convergence_table, population
from trajectories.models.base import MixedModel
from trajectories.models.blocks.group_effects import group_notes
from trajectories.models.design import Design

__all__ = ["Fit", "row_name"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Fit:
    """Draws of a model's parameters, from the posterior by NUTS or by `approximate`, or from the prior.

    Parameters
    ----------
    model
        The specification that was fitted.
    design
        The data as the model saw them.
    data
        The DataTree for ArviZ: `posterior` (parameters in the user's units: chain × draw × term, …), `sample_stats`,
        `log_likelihood` (chain × draw × visit), `observed_data`, `constant_data`; `prior` alone for draws from the prior.
    found
        Problems with convergence.
    settings
        How it was sampled: draws, tune, chains, target_accept, seed, seconds.
    versions
        Versions of the libraries.
    source
        "posterior" or "prior".
    """

    model: MixedModel
    design: Design
    data: xr.DataTree
    found: tuple[Problem, ...] = ()
    settings: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    source: Literal["posterior", "prior"] = "posterior"

    @property
    def parameters(self) -> xr.Dataset:
        """The draws of all parameters, in the user's units: chain × draw × …."""
        return self.data[self.source].to_dataset()

    @property
    def from_chains(self) -> bool:
        """Whether the draws are those of Markov chains, which convergence checks compare."""
        return self.source == "posterior" and "pareto_k" not in self.settings

    @property
    def description(self) -> str:
        """What the draws are, in words."""
        if self.source == "posterior" and not self.from_chains:
            return (
                "posterior draws (importance resampling of an approximation, patients integrated out; Pareto k "
                f"{self.settings['pareto_k']:.2f})"
            )
        return (
            "posterior draws (NUTS)" if self.source == "posterior" else "draws from the PRIOR, no data used"
        )

    def draws(self, n: int | None = None, seed: int | None = None) -> xr.Dataset:
        """Return the draws of all parameters; `n` and `seed` are for estimators that must generate them."""
        return self.parameters

    def problems(self) -> tuple[Problem, ...]:
        """What the convergence checks found; empty if nothing."""
        return self.found

    @property
    def caveats(self) -> tuple[str, ...]:
        """Sentences that every output of this fit must carry."""
        bad = [problem for problem in self.found if problem.serious]
        notes = [not_converged(bad)] if bad else []
        notes += [SIMULATED] if self.design.simulated else []
        notes += [PRIOR] if self.source == "prior" else []
        return (
            *notes,
            *self.design.excluded,
            *self.model.limitations(self.design),
            *group_notes(self.design),
        )

    def summary(self, ci: float = 0.95) -> pd.DataFrame:
        """Summarise the population parameters: one row a term.

        Parameters
        ----------
        ci
            Probability of the equal-tailed interval.

        Returns
        -------
        A frame with columns `mean`, `sd`, `lower`, `upper`, and for NUTS `r_hat`, `ess_bulk`, `ess_tail`. Rows are the fixed terms and the
        effects of groups, `centre[A]`, then cutpoints or intercept, `sd(…)` and `cor(…, …)` of the patient effects and `sd(centre)`, on the
        scale of the linear predictor. Its `attrs` say
        what the interval is, how many patients and rows, and what was left out. If problems were accepted, a column `converged` is False.
        """
        from trajectories.estimate import check_ci

        check_ci(ci)
        table = convergence_table(self.parameters) if self.from_chains else None
        rows = {}
        for name, array in population(self.parameters).data_vars.items():
            labels = [""] if array.ndim == 2 else [str(v) for v in array[array.dims[2]].to_numpy()]
            samples = array.to_numpy().reshape(array.sizes["chain"] * array.sizes["draw"], len(labels))
            for label, values in zip(labels, samples.T, strict=True):
                lower, upper = np.quantile(values, [(1 - ci) / 2, (1 + ci) / 2])
                row = {"mean": values.mean(), "sd": values.std(ddof=1), "lower": lower, "upper": upper}
                extra = (
                    {} if table is None else {c: float(table[c][(str(name), label)]) for c in table.columns}
                )
                rows[row_name(str(name), label)] = {**row, **extra}
        frame = pd.DataFrame.from_dict(rows, orient="index")
        frame.index.name = "term"
        if not converged(self.caveats):
            frame["converged"] = False
        frame.attrs.update(self._attributes(ci))
        return frame

    def _attributes(self, ci: float) -> dict[str, object]:
        return {
            "interval": f"{ci:.0%} equal-tailed interval of {self.description}",
            "patients": self.design.n_patients,
            "rows": len(self.design.frame),
            "caveats": list(self.caveats),
        }

    def posterior_predictive(self, *, draws: int | None = None, seed: int = 0) -> xr.DataArray:
        """Draw new outcomes for the same visits of the same patients from (some of) the draws: chain × draw × visit.

        Parameters
        ----------
        draws
            How many draws a chain to use, spread evenly; None for all.
        seed
            Seed of the new outcomes.

        Examples
        --------
        >>> import trajectories as tj
        >>> from trajectories import models
        >>> model = models.OrdinalMixed("edss ~ years + (1 | patient)")
        >>> prior = tj.sample_prior(model, tj.simulated_alemtuzumab_35(), draws=50, seed=1)
        >>> prior.posterior_predictive(draws=20).sizes["draw"]
        20
        """
        parameters = self.parameters
        if draws is not None:
            chosen = np.linspace(
                0, parameters.sizes["draw"] - 1, min(draws, parameters.sizes["draw"])
            ).astype(int)
            parameters = parameters.isel(draw=chosen)
        return self.model.replicate(parameters, self.design, np.random.default_rng(seed))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the fit to one netCDF file, whole or not at all; `tj.load_fit` reads it.

        The file holds no patient identifiers: patients are numbered.

        Parameters
        ----------
        path
            Where to; an older file there is replaced.

        Returns
        -------
        The path.
        """
        from trajectories.fitting.storage import save

        return save(self, Path(path))

    def __str__(self) -> str:
        what = f"{type(self.model).__name__}({self.model.formula!r}), {self.description}"
        head = f"{what}\n{self.design.n_patients} patients, {len(self.design.frame)} rows of '{self.design.cohort_name}'"
        notes = "".join(
            f"\n  - {note}" for note in (*self.caveats, *(str(p) for p in self.found if not p.serious))
        )
        table = self.summary().drop(columns="converged", errors="ignore")
        return f"{warning_lines(self.caveats)}{head}{notes}\n{table.round(3).to_string()}"

    def __repr__(self) -> str:
        return str(self)


def row_name(variable: str, label: str) -> str:
    """Name a parameter as lme4 and brms users know it: the term, `sd(years)`, `sd(centre)`, `cor(intercept, years)`."""
    if variable in ("coefficients", "cutpoints"):
        return label
    short = {"patient_sd": "sd", "group_sd": "sd", "patient_correlation": "cor"}.get(variable, variable)
    return f"{short}({label})" if label else short
