"""Convergence checks of our own after every fit: nutpie runs none and says nothing about divergences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

__all__ = ["ConvergenceError", "Problem", "convergence_table", "find_problems", "population", "what_to_try"]

R_HAT_LIMIT = 1.01
ESS_LIMIT = 400
SHARE_LIMIT = 0.01
BFMI_LIMIT = 0.3

REMEDIES = (
    "sample longer: tj.sample(..., draws=2000, tune=2000)",
    "take smaller steps where draws diverge: target_accept=0.95 or 0.99",
    "look at where it fails: plots.diagnostics(fit) after accept_problems=True",
    "simplify: fewer patient effects, or a term less; with few visits a patient a slope may not be estimable",
    "tighten the priors of what is hardly determined: model.with_priors(slope_sd=..., coefficients=...)",
    "check the data: a term that separates the levels, an arm with very few visits",
)


class ConvergenceError(RuntimeError):
    """A fit that must not be used as it is; the message lists what was found and what to try."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One finding about a fit: what, how much, and whether it is serious enough to refuse the fit."""

    what: str
    serious: bool

    def __str__(self) -> str:
        return self.what


def population(parameters: xr.Dataset) -> xr.Dataset:
    """Return the population parameters: no effects of patients or visits, and no covariance beside sd and correlation."""
    dropped = [
        name
        for name in parameters
        if name == "patient_covariance" or {"patient", "visit"} & set(parameters[name].dims)
    ]
    return parameters.drop_vars(dropped)


def convergence_table(parameters: xr.Dataset) -> pd.DataFrame:
    """R-hat and effective sample sizes (bulk and tail) of every population parameter, a row each.

    Source: Vehtari et al. (2021), Bayesian Analysis 16:667, doi:10.1214/20-BA1221.
    """
    import arviz as az

    kept = population(parameters)
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # a parameter that never moved: found and named by _constant
        columns = {
            "r_hat": az.rhat(kept),
            "ess_bulk": az.ess(kept, method="bulk"),
            "ess_tail": az.ess(kept, method="tail"),
        }
    return pd.DataFrame({name: dict(_named(values)) for name, values in columns.items()})


def _named(values: xr.Dataset) -> Iterable[tuple[tuple[str, str], float]]:
    for name, array in values.data_vars.items():
        if array.ndim == 0:
            yield (str(name), ""), float(array)
        else:
            for label, value in zip(array[array.dims[0]].to_numpy(), array.to_numpy(), strict=True):
                yield (str(name), str(label)), float(value)


def find_problems(parameters: xr.Dataset, stats: xr.Dataset) -> tuple[Problem, ...]:
    """List what is wrong with a run of NUTS; `serious` problems make `sample` raise a ConvergenceError."""
    table = convergence_table(parameters)
    found = [
        _worst(table["r_hat"], table["r_hat"] > R_HAT_LIMIT, "R-hat", f"above {R_HAT_LIMIT}", largest=True),
        _worst(table["ess_bulk"], table["ess_bulk"] < ESS_LIMIT, "bulk ESS", f"below {ESS_LIMIT}"),
        _worst(table["ess_tail"], table["ess_tail"] < ESS_LIMIT, "tail ESS", f"below {ESS_LIMIT}"),
        _unjudged(parameters) if parameters.sizes["chain"] < 2 else _constant(table),
        _share(stats["diverging"], "divergent transitions"),
        _share(stats["reached_max_treedepth"], "transitions stopped at the tree-depth limit"),
        _energy(stats["energy"]),
    ]
    return tuple(problem for problem in found if problem is not None)


def _worst(values: pd.Series, bad: pd.Series, name: str, limit: str, largest: bool = False) -> Problem | None:
    if not bad.any():
        return None
    values = values.dropna()
    place = int(values.to_numpy().argsort()[-1 if largest else 0])
    worst = float(values.iloc[place])
    shown, label = f"{worst:.3f}" if largest else f"{worst:.0f}", _label(values, place)
    return Problem(
        what=f"{name} {limit} for {int(bad.sum())} of {len(bad)} parameters, worst {shown} ({label})",
        serious=True,
    )


def _label(values: pd.Series, place: int) -> str:
    return " ".join(str(part) for part in values.index[place] if part)


def _unjudged(parameters: xr.Dataset) -> Problem:
    return Problem(
        what=f"R-hat compares chains, and there is {parameters.sizes['chain']}: take chains=4", serious=True
    )


def _constant(table: pd.DataFrame) -> Problem | None:
    stuck = table.isna().any(axis=1)
    if not stuck.any():
        return None
    label = _label(table["r_hat"], int(stuck.to_numpy().argmax()))
    return Problem(
        what=f"{int(stuck.sum())} parameters did not move or are not finite, such as {label}", serious=True
    )


def _share(flags: xr.DataArray, name: str) -> Problem | None:
    count, total = int(flags.sum()), int(flags.size)
    if not count:
        return None
    return Problem(
        what=f"{count} of {total} {name} ({count / total:.1%})", serious=count / total > SHARE_LIMIT
    )


def _energy(energy: xr.DataArray) -> Problem | None:
    """Estimated Bayesian fraction of missing information by chain (Betancourt 2016, arXiv:1604.00695)."""
    values = energy.transpose("chain", "draw").to_numpy()
    bfmi = np.square(np.diff(values, axis=1)).mean(axis=1) / values.var(axis=1)
    if bfmi.min() >= BFMI_LIMIT:
        return None
    return Problem(
        what=f"the energy mixes slowly: BFMI {bfmi.min():.2f}, below {BFMI_LIMIT}, in the worst chain",
        serious=False,
    )


def refuse(problems: tuple[Problem, ...]) -> None:
    """Raise a ConvergenceError if a problem is serious."""
    if not any(problem.serious for problem in problems):
        return
    found = "\n".join(f"  - {problem}" for problem in problems)
    raise ConvergenceError(
        f"the sampler did not converge:\n{found}\n{what_to_try(REMEDIES)}\n"
        "To look at the draws all the same: tj.sample(..., accept_problems=True); every summary will then say so."
    )


def what_to_try(remedies: Sequence[str]) -> str:
    """Number remedies for an error.

    >>> print(what_to_try(["take more draws"]))
    What to try, in this order:
      1. take more draws
    """
    return "\n".join(
        ["What to try, in this order:", *(f"  {k}. {remedy}" for k, remedy in enumerate(remedies, start=1))]
    )
