"""Patient effects drawn from their conditional distribution, given population parameters: what integrating them out left open.

Given the population parameters a patient's v has a density proportional to exp h(v), h(v) = Σ_j log p(y_j | x_j'β + z_j'Λv) − v'v / 2. A
chain of independence Metropolis steps leads there from a multivariate t distribution around the mode, with the curvature there and heavier
tails than exp h, so that the ratio of the two densities has a maximum w. After k steps the total variation distance from the conditional
is at most (1 − 1/w)^k: w is 1.2 where exp h is normal, and 1.5 would leave 2e-5 after 10 steps.

Source: Mengersen and Tweedie (1996), Annals of Statistics 24:101, theorem 2.1, doi:10.1214/aos/1033066201.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from trajectories.fitting.diagnostics import ConvergenceError, Problem
from trajectories.fitting.marginal import (
    Integrated,
    double_precision,
    integrand_at,
    modes_from,
)
from trajectories.fitting.marginal_rows import Shape
from trajectories.models.base import Population
from trajectories.models.blocks.small_matrices import cholesky, from_right
from trajectories.models.design import Floats

__all__ = ["conditional_effects", "few_accepted"]

# Steps of a chain; the degrees of freedom of its proposals are 2 · HALF_DF.
STEPS, HALF_DF = 10, 3

# Chains that accept fewer of their proposals may not have come to the conditional distribution.
FEWEST_ACCEPTED = 0.5

# Rows times draws that a program works on at a time: vectors of this many numbers stay in the processor's cache.
AT_ONCE = 50_000


@double_precision()
def conditional_effects(
    likelihood: Integrated, population: Population, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draw v of every patient once for each draw of the population parameters.

    Parameters
    ----------
    likelihood
        The rows, by patient.
    population
        Arrays samples × ….
    rng
        Gives the random numbers.

    Returns
    -------
    v, samples × patient × effect, and the share of proposals that were accepted, by patient.

    Raises
    ------
    ConvergenceError
        If a patient's mode is not found.
    """
    import jax

    samples, q = len(population.factor), likelihood.shape.effects
    standard = np.zeros((samples, likelihood.rows.n_patients, q))
    shares = np.zeros((samples, likelihood.rows.n_patients))
    for block, arrays in likelihood.blocks:
        program, n = _program(likelihood.shape), arrays["weight"].shape[1]
        at_once, kept = min(max(1, AT_ONCE // arrays["weight"].size), samples), len(block.patients)
        for begin in range(0, samples, at_once):
            # The last part takes some of the draws before it again, so that all parts run the same program.
            here = slice(min(begin, samples - at_once), min(begin, samples - at_once) + at_once)
            t = rng.normal(size=(at_once, STEPS + 1, q, n))
            t *= np.sqrt(HALF_DF / rng.gamma(HALF_DF, size=(at_once, STEPS + 1, 1, n)))
            odds = -rng.exponential(size=(at_once, STEPS, n))
            part = jax.tree.map(operator.itemgetter(here), population)
            v, moved, found = (np.asarray(made)[..., :kept] for made in program(part, t, odds, arrays))
            if not found.all():
                raise ConvergenceError(
                    f"the effects of {int((~found).any(axis=0).sum())} of {kept} patients have no mode at some draws of the population "
                    "parameters, so they cannot be drawn. Centre and scale the covariates, or leave out a patient effect."
                )
            standard[here, block.patients] = np.moveaxis(v, 1, 2)
            shares[here, block.patients] = moved
    return standard, shares.mean(axis=0)


def few_accepted(share: float) -> tuple[Problem, ...]:
    """Say that the draws of a patient's effects may not be from their conditional, from the smallest share of accepted proposals."""
    if share >= FEWEST_ACCEPTED:
        return ()
    what = f"only {share:.0%} of the proposed effects of a patient were accepted, below {FEWEST_ACCEPTED:.0%}: their draws may be wrong"
    return (Problem(what=what, serious=True),)


@cache
def _program(shape: Shape) -> Callable[..., Any]:
    """Make the compiled function of (population parameters, t, log odds, arrays of a block): v, share of steps taken, and found modes.

    t are draws from the t distribution (samples × steps + 1 × effect × patient), log odds the logarithms of uniform draws.
    """
    import jax
    import jax.numpy as jnp

    def chain(at: Population, t: Any, odds: Any, arrays: Any) -> Any:
        modes, found = modes_from(shape, at, arrays, jnp.zeros(t.shape[1:]))
        h = integrand_at(shape, at, arrays)
        C = cholesky(h.parts(list(modes))[2], jnp)

        def step(state: Any, drawn: Any) -> tuple[Any, Any]:
            v, weight = state
            t, odds = drawn
            there = modes + jnp.stack(from_right(C, list(t)))
            # The target's density over the proposal's.
            power = HALF_DF + shape.effects / 2
            proposed = h.value(list(there)) + power * jnp.log1p((t**2).sum(axis=0) / (2 * HALF_DF))
            take = odds < proposed - weight
            return (jnp.where(take, there, v), jnp.where(take, proposed, weight)), take

        # The first proposal is taken.
        state = (modes, jnp.full(modes.shape[1], -jnp.inf))
        certain = jnp.concatenate([jnp.full((1, odds.shape[1]), -jnp.inf), odds])
        (v, _), taken = jax.lax.scan(step, state, (t, certain))
        return v, taken[1:].mean(axis=0), found

    program: Callable[..., Any] = jax.jit(jax.vmap(chain, in_axes=(0, 0, 0, None)))
    return program
