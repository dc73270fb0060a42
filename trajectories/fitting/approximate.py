"""The posterior by importance resampling around its mode, the patient effects integrated out: a first look in place of NUTS."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from trajectories.cohort import Cohort
from trajectories.fitting.diagnostics import ConvergenceError
from trajectories.fitting.fit import Fit
from trajectories.fitting.integrated_effects import few_accepted
from trajectories.fitting.integrated_nuts import (
    integrated_likelihood,
    jax_doubles,
    population_model,
    with_patient_effects,
)
from trajectories.fitting.marginal import Integrated
from trajectories.fitting.marginal_rows import in_batches
from trajectories.fitting.nuts import groups, in_parts, versions
from trajectories.fitting.peak import ascend, curvature
from trajectories.models.base import MixedModel
from trajectories.models.blocks.group_effects import signed_together
from trajectories.models.design import Design, Floats, Ints

__all__ = ["approximate"]

# Above this the weights have no usable variance (Vehtari et al. 2024).
LARGEST_K = 0.7

# Proposals for each draw that is kept, their degrees of freedom, and how many densities are computed at a time.
PROPOSALS, DF, AT_A_TIME = 5, 7, 200

# Rounds in which the proposal is adapted, each of so many proposals; it is good enough below this k and above this effective share, and
# its covariance is taken from at least so many effective proposals for each parameter.
ROUNDS, AT_A_ROUND = 15, 8000
GOOD_K, GOOD_SHARE, ENOUGH = 0.5, 0.1, 12

# A standard deviation that may have either sign, of a single patient effect.
SIGNED = "patient_sd_signed"


def approximate(
    model: MixedModel,
    cohort: Cohort,
    *,
    draws: int = 4000,
    seed: int | None = None,
    quadrature: int | None = None,
) -> Fit:
    """Draw from a posterior without a chain: a t distribution that begins at its mode, corrected by importance resampling.

    The population parameters θ, in the sampler's unconstrained coordinates, are proposed from a multivariate t distribution with the mode
    and curvature of p(θ | y) ∝ p(θ) ∏_i ∫ p(y_i | θ, u) p(u | θ) du; where that is too far from the posterior, a few rounds move it to the
    weighted mean and covariance of what was proposed. Their Pareto-smoothed weights p(θ | y) / t(θ) say with which
    probability each is kept, and the Pareto k of the weights whether that can be trusted. Patient effects are drawn given θ.

    Parameters
    ----------
    model
        `OrdinalMixed` without visit effects, `BinaryMixed`, or counts with patient effects.
    cohort
        The patients.
    draws
        How many draws to return; five times as many are proposed.
    seed
        The same seed gives the same draws; None takes a random one, kept in `fit.settings`.
    quadrature
        Nodes a dimension of the integrals over patients; None is 5, of `BinaryMixed` 21 with an intercept by patient, 15 with a slope too.

    Returns
    -------
    A `Fit` of one chain, whose description says how it was made, with `pareto_k`, `effective` (proposals' effective number) and
    `rounds` of adaptation among its settings; all estimands work on it.

    Raises
    ------
    ConvergenceError
        If no mode is found, or the Pareto k is above 0.7: use `tj.sample`.
    NotImplementedError, ValueError
        If the patients of this model cannot be integrated out.

    Source: Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, Journal of Machine Learning Research
    25(72); adapting the proposal as in Cappé, Guillin, Marin and Robert (2004), Journal of Computational and Graphical Statistics 13:907.

    Examples
    --------
    >>> import trajectories as tj
    >>> from trajectories import models
    >>> model = models.OrdinalMixed("edss ~ years + (1 | patient)")
    >>> fit = tj.approximate(model, tj.simulated_alemtuzumab_35(), seed=1)  # doctest: +SKIP
    """
    if draws < 100:
        raise ValueError(f"draws must be at least 100, as the weights of so few say nothing; not {draws}.")
    design = model.design(cohort)
    seed = secrets.randbelow(2**31) if seed is None else int(seed)
    begin = time.perf_counter()
    likelihood = integrated_likelihood(model, design, quadrature)
    with jax_doubles():
        density = _density(model, design, likelihood)
        rng = np.random.default_rng(seed)
        mode, root = _peak(density)
        chosen, logs, said = _resampled(density, mode, root, draws, rng)
        raw = xr.Dataset(
            {
                name: (
                    ("chain", "draw", *(f"{name}_{axis}" for axis in range(values.ndim - 1))),
                    values[None],
                )
                for name, values in density.variables(chosen).items()
            }
        )
        accepted: list[Floats] = []
        parameters = in_parts(raw, with_patient_effects(model, design, likelihood, seed, accepted))
    share = float(np.mean(accepted, axis=0).min())
    return _fit(
        model,
        design,
        parameters,
        logs,
        {
            "draws": draws,
            "seed": seed,
            "seconds": time.perf_counter() - begin,
            "quadrature": likelihood.quadrature,
            **said,
            "patient_effects_accepted": share,
        },
    )


def _fit(
    model: MixedModel, design: Design, parameters: xr.Dataset, logs: Floats, settings: dict[str, float]
) -> Fit:
    stats = xr.Dataset({"lp": (("chain", "draw"), logs[None])})
    return Fit(
        model=model,
        design=design,
        data=groups(model, design, parameters, stats),
        found=few_accepted(settings["patient_effects_accepted"]),
        settings=settings,
        versions=versions(),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Density:
    """The log-density of the population parameters as a function of one unconstrained vector, in JAX.

    `many` and `gradients` take vectors (n × size); `variables` turns them into the model's variables; `signed` are sets of places that may
    change sign together without changing the density: a standard deviation, the first, and the effects that are products with it.
    """

    start: Floats
    value: Callable[[Floats], tuple[float, Floats]]
    many: Callable[[Floats], Floats] = field(repr=False)
    variables: Callable[[Floats], dict[str, Floats]] = field(repr=False)
    signed: list[Ints]


def _density(model: MixedModel, design: Design, likelihood: Integrated) -> _Density:
    """Turn the PyMC model into functions of JAX's; call within `jax_doubles`."""
    import jax
    import jax.numpy as jnp
    from pymc.sampling.jax import get_jaxified_graph

    graph = population_model(model, design, likelihood)
    point = graph.initial_point(random_seed=0)
    inputs = [graph.rvs_to_values[variable] for variable in graph.free_RVs]
    shapes = [np.shape(point[value.name]) for value in inputs]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    names = [variable.name for variable in graph.free_RVs]

    def split(x: Any) -> list[Any]:
        return [part.reshape(shape) for part, shape in zip(jnp.split(x, ends[:-1]), shapes, strict=True)]

    log_density = get_jaxified_graph(inputs=inputs, outputs=[graph.logp()])
    there = graph.replace_rvs_by_values(graph.free_RVs)
    constrained = get_jaxified_graph(inputs=inputs, outputs=there)

    def value(x: Any) -> Any:
        return log_density(*split(x))[0]

    gradient = jax.jit(jax.value_and_grad(value))
    # One after the other: side by side the loops that find the modes would all take as many steps as the longest.
    values = jax.jit(lambda xs: jax.lax.map(value, xs))
    variables = jax.jit(jax.vmap(lambda x: constrained(*split(x))))

    def at(x: Floats) -> tuple[float, Floats]:
        found, slope = gradient(x)
        return float(found), np.asarray(slope)

    def many(xs: Floats) -> Floats:
        parts = [np.asarray(values(part)) for _, part in in_batches(xs, AT_A_TIME)]
        return np.concatenate(parts)[: len(xs)]

    places = dict(zip(names, np.split(np.arange(ends[-1]), ends[:-1]), strict=True))
    return _Density(
        start=np.concatenate([np.ravel(point[value.name]) for value in inputs]),
        value=at,
        many=many,
        variables=lambda xs: dict(zip(names, map(np.asarray, variables(xs)), strict=True)),
        signed=[*([places[SIGNED]] if SIGNED in places else []), *signed_together(places)],
    )


def _peak(density: _Density) -> tuple[Floats, Floats]:
    """The mode, and a root R of the inverse curvature there, RR' = H⁻¹."""
    start, every = density.start.copy(), np.arange(len(density.start))
    for places in density.signed:
        start[places[0]] = 0.5  # 0 is a saddle between the two signs
    x = ascend(density.value, start, every, slope=1e-4, most=1000)

    def information_at(x: Floats) -> Floats:
        return curvature(lambda at: density.value(at)[1], x, every)

    information = information_at(x)
    for _ in range(20):
        slope = density.value(x)[1]
        sizes, directions = np.linalg.eigh(information)
        if sizes.min() <= 1e-8 * sizes.max():
            raise ConvergenceError(
                "the posterior has no mode with a curvature in every direction, around which it could be approximated: use tj.sample."
            )
        step = directions @ ((directions.T @ slope) / sizes)
        if slope @ step < 1e-8:
            return x, directions / np.sqrt(sizes)
        x = x + step * min(1.0, 2.0 / float(np.linalg.norm(step)))
        information = information_at(x)
    raise ConvergenceError("no mode of the posterior was found: use tj.sample.")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sample:
    """Proposals (n × size), their log-densities, and the logarithms of density over proposal's density; `k` of the weights."""

    proposed: Floats
    logs: Floats
    ratios: Floats
    smoothed: Floats
    k: float

    @property
    def effective(self) -> float:
        """Effective number of proposals."""
        return _effective(self.smoothed)


def _effective(log_weights: Floats) -> float:
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (weights**2).sum())


def _proposed(density: _Density, centre: Floats, root: Floats, n: int, rng: np.random.Generator) -> _Sample:
    """Propose and weigh."""
    from arviz_stats.base.array import array_stats

    t = rng.normal(size=(n, len(centre))) * np.sqrt(DF / rng.chisquare(DF, size=(n, 1)))
    proposed = centre + t @ root.T
    log_t = _log_t(t)
    if density.signed:  # what is proposed for any sign, of which the posterior knows nothing
        signs = _signs(density.signed, len(centre))
        log_ts = [_log_t(np.linalg.solve(root, (proposed * s - centre).T).T) for s in signs[1:]]
        log_t = np.logaddexp.reduce([log_t, *log_ts])
        for places in density.signed:
            proposed[:, places] *= np.where(proposed[:, places[:1]] < 0, -1.0, 1.0)
    logs = density.many(proposed)
    possible = np.isfinite(logs)
    if possible.sum() < n / 2:
        raise ConvergenceError("the posterior has no density at most places around its mode: use tj.sample.")
    ratios, smoothed = logs - log_t, np.full(n, -np.inf)
    psis: Any = array_stats.psislw
    smoothed[possible], k = psis(-ratios[possible])  # it takes the negative, as of a log-likelihood
    return _Sample(
        proposed=proposed,
        logs=logs,
        ratios=np.where(possible, ratios, -np.inf),
        smoothed=smoothed,
        k=float(k),
    )


def _signs(sets: Sequence[Ints], size: int) -> list[Floats]:
    """Every way to change the signs of sets of places, the first to change none."""
    signs = [np.ones(size)]
    for places in sets:
        other = np.ones(size)
        other[places] = -1.0
        signs += [sign * other for sign in signs]
    return signs


def _adapted(
    density: _Density, mode: Floats, root: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats, int]:
    """Centre and root of the proposal, moved to the weighted mean and covariance of the draws until the weights are even enough.

    Weights are taken to the power below 1 that leaves as many effective proposals as a covariance needs.
    """
    centre, few = mode, ENOUGH * len(mode)
    for done in range(ROUNDS):
        sample = _proposed(density, centre, root, AT_A_ROUND, rng)
        if sample.k < GOOD_K and sample.effective > GOOD_SHARE * AT_A_ROUND:
            return centre, root, done
        logs, power = sample.ratios - sample.ratios.max(), 1.0
        while _effective(power * logs) < few and power > 1e-3:
            power *= 0.9
        weights = np.exp(power * logs)
        weights /= weights.sum()
        centre = weights @ sample.proposed
        apart = sample.proposed - centre
        # Of the t distribution's scale the covariance is DF / (DF − 2) times the square; a power below 1 has widened it as it is.
        scale = (apart * weights[:, None]).T @ apart * ((DF - 2) / DF if power == 1.0 else 1.0)
        root = np.linalg.cholesky(scale)
    return centre, root, ROUNDS


def _resampled(
    density: _Density, mode: Floats, root: Floats, draws: int, rng: np.random.Generator
) -> tuple[Floats, Floats, dict[str, float]]:
    """Parameters (draws × size), their log-densities, and Pareto k, the effective number of proposals and rounds of adaptation."""
    centre, root, rounds = _adapted(density, mode, root, rng)
    sample = _proposed(density, centre, root, PROPOSALS * draws, rng)
    if not sample.k <= LARGEST_K:
        raise ConvergenceError(
            f"the posterior is too far from its approximation: Pareto k {sample.k:.2f}, above {LARGEST_K}. Use tj.sample."
        )
    weights = np.exp(sample.smoothed - sample.smoothed.max())
    # Systematic resampling: each proposal is taken as often as its weight says, give or take one; then in random order.
    places = (np.arange(draws) + rng.uniform()) / draws
    within = np.searchsorted(np.cumsum(weights) / weights.sum(), places).clip(max=len(weights) - 1)
    chosen = rng.permutation(within)
    said = {"pareto_k": sample.k, "effective": sample.effective, "rounds": rounds}
    return sample.proposed[chosen], sample.logs[chosen], said


def _log_t(t: Floats) -> Floats:
    return np.asarray(-(DF + t.shape[1]) / 2 * np.log1p((t**2).sum(axis=1) / DF))
