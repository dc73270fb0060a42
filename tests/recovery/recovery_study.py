"""Parameter recovery: simulate cohorts from a known truth, fit each, compare estimates and intervals with the truth.

A study is resumable: every replication is one block of rows in a CSV file, and replications that are there are not run again.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from trajectories.fitting.fit import Fit
from trajectories.fitting.refit import Compiled, compile_once, refit
from trajectories.models.base import MixedModel
from trajectories.models.design import Design

__all__ = ["Scenario", "Simulated", "draw_settings", "replicate", "run", "summarise", "with_outcome"]

draw_settings = {"draws": 500, "tune": 400, "chains": 2}


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A simulated data set: its design, and the true values of the quantities."""

    design: Design
    truth: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is simulated and what is estimated from it.

    Parameters
    ----------
    name, description
        For files and tables.
    model
        The specification, with the priors that ship unless the description says otherwise.
    simulate
        Data by seed.
    estimate
        Draws (chain × draw) of the quantities by name, from a fit.
    nulls
        Quantities with a true effect, and the value that stands for none.
    seeds_from
        Replication r uses seed `seeds_from` + r.
    skewed
        Quantities whose posterior is skewed, so that its mean is too high on average even without a prior; their logarithms are among
        the quantities too. No unbiasedness is asked of them.
    """

    name: str
    description: str
    model: MixedModel
    simulate: Callable[[int], Simulated]
    estimate: Callable[[Fit], Mapping[str, xr.DataArray]]
    nulls: Mapping[str, float]
    seeds_from: int = 0
    skewed: tuple[str, ...] = ()


def with_outcome(design: Design, outcome: NDArray[np.float64]) -> Design:
    """Return the design with other outcomes, one a row."""
    return dataclasses.replace(design, frame=design.frame.assign(**{design.formula.response: outcome}))


def run(scenario: Scenario, replications: int, folder: Path) -> pd.DataFrame:
    """Run the replications that the folder does not have yet, and return the rows of all of them."""
    path = folder / f"{scenario.name}.csv"
    done = set(pd.read_csv(path)["replication"]) if path.exists() else set()
    left = [number for number in range(1, replications + 1) if number not in done]
    if left:
        compiled = compile_once(scenario.model, scenario.simulate(scenario.seeds_from + left[0]).design)
        for number in left:
            rows = replicate(scenario, compiled, number)
            rows.to_csv(path, mode="a", header=not path.exists(), index=False, float_format="%.6g")
    rows = pd.read_csv(path)
    return rows[rows["replication"] <= replications]


def replicate(scenario: Scenario, compiled: Compiled, number: int) -> pd.DataFrame:
    """Simulate and fit once: one row a quantity."""
    import arviz as az

    begin, seed = time.perf_counter(), scenario.seeds_from + number
    simulated = scenario.simulate(seed)
    fit = refit(compiled, simulated.design, seed=seed, **draw_settings)
    draws = scenario.estimate(fit)
    if set(draws) != set(simulated.truth):
        raise ValueError(f"estimated {sorted(draws)}, but there is a truth of {sorted(simulated.truth)}")
    diverging = float(fit.data["sample_stats"]["diverging"].mean())
    rows = []
    for name, values in draws.items():
        lower, upper = np.quantile(values, [0.025, 0.975])
        row = {
            "replication": number,
            "quantity": name,
            "truth": simulated.truth[name],
            "mean": float(values.mean()),
        }
        row |= {"sd": float(values.std(ddof=1)), "lower": lower, "upper": upper, "diverging": diverging}
        row |= {"r_hat": float(az.rhat(values).item()), "ess": float(az.ess(values).item())}
        rows.append(row)
    return pd.DataFrame(rows).assign(seconds=round(time.perf_counter() - begin, 2))


def summarise(rows: pd.DataFrame, nulls: Mapping[str, float]) -> pd.DataFrame:
    """Bias with its Monte Carlo standard error, coverage and power, one row a quantity.

    Returns
    -------
    A frame with columns `n`, `truth`, `bias`, `mcse` (SD of the estimates / √n), `z` = bias / mcse, `sd` (of the estimates), `mean sd`
    (of the posteriors), `covered`, `excluded` (share of intervals without the null; missing where there is no effect), `power` (the share
    to be expected of estimates with this SD, Φ(|truth − null| / sd − 1.96)), `worst R-hat`.
    """
    from scipy.special import ndtr

    tables = {}
    for name, part in rows.groupby("quantity", sort=False):
        error = part["mean"] - part["truth"]
        covered = (part["lower"] <= part["truth"]) & (part["truth"] <= part["upper"])
        null = nulls.get(str(name), np.nan)
        mcse = error.std(ddof=1) / np.sqrt(len(part))
        tables[name] = {
            "n": len(part),
            "truth": part["truth"].mean(),
            "bias": error.mean(),
            "mcse": mcse,
            "z": error.mean() / mcse,
            "sd": error.std(ddof=1),
            "mean sd": np.sqrt((part["sd"] ** 2).mean()),
            "covered": int(covered.sum()),
            "excluded": float(((part["lower"] > null) | (part["upper"] < null)).mean())
            if name in nulls
            else np.nan,
            "power": float(ndtr(abs(part["truth"].mean() - null) / error.std(ddof=1) - 1.96)),
            "worst R-hat": part["r_hat"].max(),
        }
    return pd.DataFrame.from_dict(tables, orient="index")
