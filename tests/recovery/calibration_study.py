"""Simulation-based calibration: parameters from the prior, data from the parameters, ranks of the parameters in the posterior.

If prior, data and posterior belong to one model, the rank of a true value among L independent posterior draws is uniform on 0 … L
(Talts et al. 2018, arXiv:1804.06788); with the log-likelihood among the quantities also those mistakes show that leave every
marginal right (Modrák et al. 2023, doi:10.1214/23-BA1404). Uniformity is judged by the simultaneous envelope of the ranks' ECDF
(Säilynoja et al. 2022, doi:10.1007/s11222-022-10090-6) and by a chi-square test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from recovery_study import with_outcome

import trajectories as tj
from trajectories.cohort import Cohort
from trajectories.fitting.refit import Compiled, compile_once, refit
from trajectories.models.base import MixedModel
from trajectories.models.design import Design

__all__ = ["Calibration", "rank", "run", "summarise", "uniformity"]

CHAINS = 2
DRAWS = 1000
TUNE = 500
LEVELS = 100  # posterior draws kept of 2 × 1000: nearly independent
# Data drawn from a wide prior are hard now and then (nearly everybody at one level): such a fit is done again with more draws, whatever
# the truth was, which leaves the ranks uniform.
R_HAT_LIMIT = 1.03
LONGER = 4


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """One set-up: a model with its priors, a cohort that gives the visits, the quantities that are ranked.

    Parameters
    ----------
    name, description
        For files and tables.
    model
        The specification with its priors.
    cohort
        Gives patients and visits; its outcome is replaced.
    quantities
        Values (chain × draw) by name, from parameters and design.
    """

    name: str
    description: str
    model: MixedModel
    cohort: Callable[[], Cohort]
    quantities: Callable[[xr.Dataset, Design], Mapping[str, xr.DataArray]]


def run(calibration: Calibration, replications: int, folder: Path) -> pd.DataFrame:
    """Run the replications that the folder does not have yet, and return the ranks of all of them."""
    path = folder / f"{calibration.name}.csv"
    done = set(pd.read_csv(path)["replication"]) if path.exists() else set()
    left = [number for number in range(replications) if number not in done]
    if left:
        prior = tj.sample_prior(calibration.model, calibration.cohort(), draws=replications, seed=1)
        compiled = compile_once(calibration.model, prior.design)
        for number in left:
            rows = rank(calibration, compiled, prior.parameters.isel(draw=[number]), number)
            rows.to_csv(path, mode="a", header=not path.exists(), index=False, float_format="%.6g")
    rows = pd.read_csv(path)
    return rows[rows["replication"] < replications]


def rank(calibration: Calibration, compiled: Compiled, true: xr.Dataset, number: int) -> pd.DataFrame:
    """Draw data from true parameters, fit them, and rank the truth: one row a quantity."""
    import arviz as az

    begin = time.perf_counter()
    model, pattern = calibration.model, compiled.design
    outcome = model.replicate(true, pattern, np.random.default_rng([number, 7])).to_numpy()[0, 0]
    design = with_outcome(pattern, outcome)
    of_truth = _quantities(calibration, true, design)
    for longer in (1, LONGER):
        fit = refit(
            compiled, design, draws=longer * DRAWS, tune=longer * TUNE, chains=CHAINS, seed=number + 1
        )
        of_draws = _quantities(calibration, fit.parameters, design)
        if max(float(az.rhat(values).item()) for values in of_draws.values()) < R_HAT_LIMIT:
            break
    diverging = float(fit.data["sample_stats"]["diverging"].mean())
    rows = []
    for name, values in of_draws.items():
        kept = values.transpose("chain", "draw").to_numpy().ravel()
        kept = kept[:: len(kept) // LEVELS]
        row = {"replication": number, "quantity": name, "rank": int((kept < of_truth[name].item()).sum())}
        row |= {
            "r_hat": float(az.rhat(values).item()),
            "ess": float(az.ess(values).item()),
            "diverging": diverging,
            "longer": longer,
        }
        rows.append(row)
    return pd.DataFrame(rows).assign(seconds=round(time.perf_counter() - begin, 2))


def _quantities(
    calibration: Calibration, parameters: xr.Dataset, design: Design
) -> Mapping[str, xr.DataArray]:
    likelihood = calibration.model.log_likelihood(parameters, design).sum("visit")
    return {**calibration.quantities(parameters, design), "log-likelihood": likelihood}


def uniformity(ranks: NDArray[np.int64], simulations: int = 4000, seed: int = 0) -> tuple[float, float]:
    """P-values of uniform ranks 0 … LEVELS: by the ECDF's simultaneous envelope, and by chi-square in ten bins.

    The first takes the smallest pointwise two-sided binomial probability along the ECDF, and simulates its distribution.
    """
    from scipy.stats import chisquare

    rng = np.random.default_rng(seed)
    null = rng.integers(0, LEVELS + 1, size=(simulations, len(ranks)))
    least = _least_probability(np.vstack([ranks[None], null]))
    envelope = float((1 + (least[1:] <= least[0]).sum()) / (1 + simulations))
    edges = np.linspace(0, LEVELS + 1, 11).round()
    expected = np.diff(edges) / (LEVELS + 1) * len(ranks)
    return envelope, float(chisquare(np.histogram(ranks, edges)[0], expected).pvalue)


def _least_probability(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    from scipy.stats import binom

    n = ranks.shape[1]
    counts = np.stack([np.bincount(row, minlength=LEVELS + 1) for row in ranks])
    below = counts.cumsum(axis=1)[:, :-1]
    p = np.arange(1, LEVELS + 1) / (LEVELS + 1)
    table = np.array([binom.cdf(np.arange(-1, n + 1), n, q) for q in p])  # cumulative probabilities of −1 … n
    column = np.arange(LEVELS)
    lower, upper = table[column, below + 1], 1 - table[column, below]
    return np.asarray((2 * np.minimum(lower, upper)).min(axis=1))


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean and SD of the ranks (as shares; 0.5 and 0.289 if uniform) and p-values of uniformity, one row a quantity."""
    tables = {}
    for name, part in rows.groupby("quantity", sort=False):
        envelope, bins = uniformity(part["rank"].to_numpy(dtype=np.int64))
        share = (part["rank"] + 0.5) / (LEVELS + 1)
        tables[name] = {
            "n": len(part), "mean": share.mean(), "sd": share.std(ddof=0), "p envelope": envelope, "p chi-square": bins,
            "worst R-hat": part["r_hat"].max(), "median ESS": part["ess"].median(), "least ESS": part["ess"].min(),
        }  # fmt: skip
    return pd.DataFrame.from_dict(tables, orient="index")
