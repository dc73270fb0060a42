"""NUTS over the population parameters alone, the patient effects integrated out, and drawn afterwards given each draw of them.

The PyMC model has the population variables of the full model, hence its priors; the integrated log-likelihood, a program of JAX's, stands
where the patients' coordinates and the likelihood of their visits were. The whole log-density then runs in JAX.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import xarray as xr

from trajectories.fitting.integrated_effects import conditional_effects
from trajectories.fitting.marginal import Integrated
from trajectories.fitting.marginal_models import adaptor_of
from trajectories.models.base import MixedModel, Population
from trajectories.models.design import Design, Floats

__all__ = [
    "compile_integrated",
    "integrated_likelihood",
    "jax_doubles",
    "population_model",
    "with_patient_effects",
]

_LOCK = threading.Lock()

# Nodes a dimension where the user names no number.
USUAL_NODES = 5


def integrated_likelihood(model: MixedModel, design: Design, quadrature: int | None) -> Integrated:
    """Make the integrated likelihood of a design as a posterior needs it: on all levels.

    Raises
    ------
    NotImplementedError
        If the model has effects by visit, or is none whose effects can be integrated out.
    ValueError
        If the formula has no patient effects, or more than three, or `quadrature` is below 1.
    """
    if not design.effects:
        raise ValueError(
            f"there are no patient effects in {model.formula!r} to integrate out: leave out integrate_patients, or add '(1 | patient)'."
        )
    adaptor = adaptor_of(model, design, every_level=True)
    return adaptor.likelihood(adaptor.nodes(USUAL_NODES) if quadrature is None else quadrature)


def population_model(model: MixedModel, design: Design, likelihood: Integrated) -> Any:
    """Make the PyMC model of the population parameters."""
    from pytensor import wrap_jax

    def integral(at: Population) -> Any:
        return wrap_jax(likelihood.traced)(at)

    return model.build_population(design, integral)


@contextmanager
def jax_doubles() -> Iterator[None]:
    """Let all threads compute with 64 bits in JAX here, as PyTensor's programs do, which set it for ever; leave the setting as it was."""
    import jax

    before = jax.config.jax_enable_x64
    with _LOCK:
        jax.config.update("jax_enable_x64", True)
        try:
            yield
        finally:
            jax.config.update("jax_enable_x64", before)


def compile_integrated(model: MixedModel, design: Design, likelihood: Integrated) -> Any:
    """Compile the population model for nutpie, in JAX; call within `jax_doubles`."""
    import nutpie

    graph = population_model(model, design, likelihood)
    names = [variable.name for variable in graph.free_RVs]
    return nutpie.compile_pymc_model(graph, backend="jax", gradient_backend="jax", var_names=names)


def with_patient_effects(
    model: MixedModel, design: Design, likelihood: Integrated, seed: int, accepted: list[Floats]
) -> Callable[[dict[str, Floats]], xr.Dataset]:
    """Return the function that turns variables of the population (chain × draw × …) into parameters, with a draw of the patient effects.

    The shares of accepted proposals by patient are added to `accepted`.
    """
    import jax

    rng = np.random.default_rng(seed)

    def made(draws: dict[str, Floats]) -> xr.Dataset:
        population = model.population(draws, design)
        lead = population.factor.shape[:2]
        flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[len(lead) :]), population)
        standard, share = conditional_effects(likelihood, flat, rng)
        accepted.append(share)
        return model.with_effects(population, standard.reshape(*lead, *standard.shape[1:]), design)

    return made
