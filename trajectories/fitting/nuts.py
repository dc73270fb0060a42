"""Sampling by NUTS through nutpie, with convergence checks, and draws from the prior."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
import xarray as xr

from trajectories.cohort import Cohort
from trajectories.fitting.diagnostics import find_problems, refuse
from trajectories.fitting.fit import Fit
from trajectories.fitting.integrated_effects import few_accepted
from trajectories.fitting.integrated_nuts import (
    compile_integrated,
    integrated_likelihood,
    jax_doubles,
    with_patient_effects,
)
from trajectories.models.base import MixedModel
from trajectories.models.design import Design, Floats

__all__ = ["compile_model", "groups", "in_parts", "run", "sample", "sample_prior", "versions"]

type Made = Callable[[dict[str, Floats]], xr.Dataset]

MAX_TREE_DEPTH = 10
DRAWS_AT_A_TIME = 100
LIBRARIES = (
    "trajectories",
    "pymc",
    "pytensor",
    "nutpie",
    "numba",
    "jax",
    "arviz",
    "xarray",
    "numpy",
    "pandas",
    "formulae",
)


def sample(
    model: MixedModel,
    cohort: Cohort,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    target_accept: float = 0.9,
    seed: int | None = None,
    progress: bool = True,
    accept_problems: bool = False,
    integrate_patients: bool = False,
    quadrature: int | None = None,
) -> Fit:
    """Sample a model's posterior by NUTS and refuse the result if it did not converge.

    Parameters
    ----------
    model
        The specification, such as `models.OrdinalMixed(...)`.
    cohort
        The patients.
    draws, tune, chains
        Kept draws and warm-up steps a chain, and how many chains.
    target_accept
        Acceptance that the step size aims at; nearer 1 means smaller steps.
    seed
        The same seed gives the same draws within a process, and to about 1e-11 at first in another; None takes a random seed, kept
        in `fit.settings`.
    progress
        Whether to show a progress bar.
    accept_problems
        Return the fit even if it did not converge; every later summary then says so.
    integrate_patients
        Sample the population parameters alone, the patient effects integrated out, and then draw the patient effects given each draw of
        them: the same posterior by another way, for `OrdinalMixed` without visit effects, `BinaryMixed` and counts with patient effects.
        Not the default, as it is slower: minimum bulk ESS per second of sampling 40 against 140 to 290 (35 patients with intercept and
        slope, two cores) and 3 against 80 (200 patients with 8 visits); only its program compiles sooner.
    quadrature
        Nodes a dimension of the integrals; 1 is Laplace's approximation, None is 5 (of `BinaryMixed` 21 with an intercept by patient, 15
        with a slope too). Used with `integrate_patients`. With 5 the log-likelihood is
        off by the same amount everywhere but for 0.01 (standard deviation over posterior draws, 35 patients with 5 visits; 40 with counts
        of relapses), which moves means by less than a hundredth of a posterior standard deviation.

    Returns
    -------
    A `Fit`.

    Raises
    ------
    ConvergenceError
        If R-hat > 1.01, bulk or tail ESS < 400 for a population parameter, or more than 1 % of the draws diverge or reach the
        tree-depth limit; the message lists what to try.
    FormulaError
        If the formula does not fit the cohort.
    NotImplementedError, ValueError
        If the patients of this model cannot be integrated out.

    Source: Hoffman and Gelman (2014), Journal of Machine Learning Research 15:1593; the convergence limits are those of Vehtari et al.
    (2021), doi:10.1214/20-BA1221.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> cohort = tj.simulated_alemtuzumab_35()
    >>> fit = tj.sample(models.OrdinalMixed("edss ~ years + (1 + years | patient)"), cohort, seed=1)  # doctest: +SKIP
    >>> tj.sample(models.OrdinalMixed("edss ~ weight + (1 | patient)"), cohort)
    Traceback (most recent call last):
    trajectories.formulas.syntax.FormulaError: the formula names 'weight', which the cohort does not have. ...
    """
    for name, count, least in (("draws", draws, 4), ("tune", tune, 1), ("chains", chains, 1)):
        if count < least:
            raise ValueError(f"{name} must be at least {least}, not {count}.")
    design = model.design(cohort)
    seed = secrets.randbelow(2**31) if seed is None else int(seed)
    how: dict[str, Any] = {
        "draws": draws, "tune": tune, "chains": chains, "target_accept": target_accept, "seed": seed, "progress": progress,
    }  # fmt: skip
    if integrate_patients:
        fit = _run_integrated(model, design, quadrature, **how)
    else:
        compiled = compile_model(model, design)
        fit = run(model, design, compiled, **how)
    if not accept_problems:
        refuse(fit.found)
    return fit


def compile_model(model: MixedModel, design: Design, *, open_rows: bool = False) -> Any:
    """Compile a model for nutpie; with `open_rows` it can be refitted by `with_data` on designs of the same number of patients."""
    import nutpie

    graph = model.build(design, open_rows=open_rows)
    with _quickly():
        return nutpie.compile_pymc_model(graph, var_names=[variable.name for variable in graph.free_RVs])


def _run_integrated(
    model: MixedModel, design: Design, quadrature: int | None, *, seed: int, **how: Any
) -> Fit:
    """Sample the population parameters, and draw the patient effects given them."""
    likelihood = integrated_likelihood(model, design, quadrature)
    accepted: list[Floats] = []
    with jax_doubles():
        compiled = compile_integrated(model, design, likelihood)
        made = with_patient_effects(model, design, likelihood, seed, accepted)
        fit = run(model, design, compiled, seed=seed, made=made, **how)
    share = float(np.mean(accepted, axis=0).min())
    settings = {**fit.settings, "quadrature": likelihood.quadrature, "patient_effects_accepted": share}
    return replace(fit, settings=settings, found=(*fit.found, *few_accepted(share)))


@contextmanager
def _quickly() -> Iterator[None]:
    """Compile at LLVM's level 1: a fifth less time, for a program that is as fast, as most of its time goes into exp and log."""
    from numba.core import config

    level = config.OPT
    config.OPT = type(level)(min(level, 1))
    try:
        yield
    finally:
        config.OPT = level


def run(
    model: MixedModel,
    design: Design,
    compiled: Any,
    *,
    draws: int,
    tune: int,
    chains: int,
    target_accept: float,
    seed: int,
    progress: bool,
    made: Made | None = None,
) -> Fit:
    """Run a compiled model and gather the result, whatever its convergence; `made` replaces the model's way from draws to parameters."""
    import nutpie

    begin = time.perf_counter()
    trace = nutpie.sample(
        compiled, draws=draws, tune=tune, chains=chains, cores=min(chains, os.cpu_count() or 1), seed=seed,
        target_accept=target_accept, maxdepth=MAX_TREE_DEPTH, save_warmup=False, progress_bar=progress,
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    raw, stats = trace["posterior"].to_dataset(), trace["sample_stats"].to_dataset()
    _refuse_partial(raw, stats, draws, chains)
    settings = {
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "target_accept": target_accept,
        "seed": seed,
        "seconds": seconds,
    }
    parameters = in_parts(raw, made or (lambda draws: model.parameters(draws, design)))
    return _gather(model, design, parameters, stats, settings)


def _refuse_partial(raw: xr.Dataset, stats: xr.Dataset, draws: int, chains: int) -> None:
    """Pass an interruption on: nutpie answers Ctrl-C with the draws so far, chains of unequal length filled up with NaN."""
    complete = stats["energy"].notnull().sum("draw") if raw.sizes["draw"] else xr.DataArray([0])
    if raw.sizes.get("chain", 0) < chains or int(complete.min()) < draws:
        done = ", ".join(str(int(count)) for count in complete.to_numpy().ravel())
        raise KeyboardInterrupt(
            f"sampling was stopped; draws by chain: {done} of {draws}, {chains} chains wanted"
        )


def _gather(
    model: MixedModel, design: Design, parameters: xr.Dataset, stats: xr.Dataset, settings: dict[str, float]
) -> Fit:
    """Gather the groups of a fit, and what the convergence checks find."""
    kept = [
        name
        for name in ("diverging", "energy", "n_steps", "depth", "maxdepth_reached", "step_size", "logp")
        if name in stats
    ]
    stats = stats[kept].rename(
        {"depth": "tree_depth", "logp": "lp", "maxdepth_reached": "reached_max_treedepth"}
    )
    return Fit(
        model=model,
        design=design,
        data=groups(model, design, parameters, stats),
        found=find_problems(parameters, stats),
        settings=settings,
        versions=versions(),
    )


def groups(model: MixedModel, design: Design, parameters: xr.Dataset, stats: xr.Dataset) -> xr.DataTree:
    """Put posterior draws, what is known of each draw, and the data together, as ArviZ names them."""
    arrays = design.to_xarray()
    outcome = design.formula.response
    return xr.DataTree.from_dict(
        {
            "posterior": parameters,
            "sample_stats": stats,
            "log_likelihood": model.log_likelihood(parameters, design).to_dataset(name=outcome),
            "observed_data": arrays[[outcome]],
            "constant_data": arrays.drop_vars(outcome),
        }
    )


def in_parts(raw: xr.Dataset, made: Made) -> xr.Dataset:
    """Turn the sampler's variables into parameters, some draws at a time: the way there takes several times their room."""
    parts = []
    for start in range(0, raw.sizes["draw"], DRAWS_AT_A_TIME):
        part = raw.isel(draw=slice(start, start + DRAWS_AT_A_TIME))
        parameters = made({str(name): part[name].to_numpy() for name in part.data_vars})
        parts.append(parameters.assign_coords(draw=start + np.arange(parameters.sizes["draw"])))
    return xr.concat(
        parts, dim="draw", data_vars="minimal", coords="minimal", compat="override", join="override"
    )


def sample_prior(model: MixedModel, cohort: Cohort, *, draws: int = 1000, seed: int | None = None) -> Fit:
    """Draw parameters from the prior: the same estimands and checks then show what the priors imply.

    Parameters
    ----------
    model, cohort
        As in `sample`; of the cohort only the visits' times and covariates are used, its outcome for nothing but the choice of units.
    draws
        How many draws.
    seed
        The same seed gives the same draws.

    Returns
    -------
    A `Fit` whose `source` is "prior" and whose `data` has the group `prior`.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> model = models.OrdinalMixed("edss ~ years + (1 | patient)")
    >>> prior = tj.sample_prior(model, tj.simulated_alemtuzumab_35(), draws=50, seed=1)
    >>> prior.summary().loc["years", ["mean", "sd"]].round(0).tolist()
    [0.0, 2.0]
    """
    import pymc as pm

    design = model.design(cohort)
    seed = secrets.randbelow(2**31) if seed is None else int(seed)
    graph = model.build(design)
    names = [variable.name for variable in graph.free_RVs]
    drawn = pm.draw(
        [graph[name] for name in names],
        draws=draws,
        random_seed=np.random.default_rng(seed),
        mode="FAST_COMPILE",
    )
    raw = {name: np.asarray(values)[None] for name, values in zip(names, drawn, strict=True)}
    parameters = model.parameters(raw, design)
    return Fit(
        model=model,
        design=design,
        data=xr.DataTree.from_dict({"prior": parameters}),
        settings={"draws": draws, "seed": seed},
        versions=versions(),
        source="prior",
    )


def versions() -> dict[str, str]:
    """Return the versions of the libraries that a fit depends on."""
    return {library: version(library) for library in LIBRARIES}
