"""Fitting one compiled model to many cohorts: compiling takes longer than sampling a small cohort."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from trajectories.fitting.fit import Fit
from trajectories.fitting.nuts import compile_model, run
from trajectories.models.base import MixedModel
from trajectories.models.design import Design

__all__ = ["Compiled", "compile_once", "refit"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Compiled:
    """A model compiled for a number of patients, from `compile_once`; `refit` fits it to designs.

    Parameters
    ----------
    model
        The specification.
    design
        The design it was compiled with, the pattern for the others.
    program
        What nutpie compiled.
    graph
        The PyMC model of `design`, to compare others with.
    """

    model: MixedModel
    design: Design
    program: Any = field(repr=False)
    graph: Any = field(repr=False)


def compile_once(model: MixedModel, design: Design) -> Compiled:
    """Compile a model, to be fitted to many designs with the same number of patients.

    Parameters
    ----------
    model
        The specification.
    design
        From `model.design(cohort)`.
    """
    return Compiled(
        model=model,
        design=design,
        program=compile_model(model, design, open_rows=True),
        graph=model.build(design, open_rows=True),
    )


def refit(
    compiled: Compiled,
    design: Design,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    target_accept: float = 0.9,
    seed: int,
) -> Fit:
    """Sample the posterior of a compiled model on another design, as `sample` would after compiling anew.

    Whatever the model takes from a design (outcomes, covariates and their scaling, who was seen when, …) is replaced; what
    cannot be replaced must be equal. Convergence is checked and found problems are in the fit, none is refused.

    Parameters
    ----------
    compiled
        From `compile_once`.
    design
        Of the same model, with the same number of patients; the number of rows may differ, unless the model has visit effects.
    draws, tune, chains, target_accept, seed
        As in `sample`.

    Raises
    ------
    ValueError
        If the design has another number of patients, other terms, patient effects or arms, or changes something that was compiled
        in (such as the scale of a prior that is given per unit of a term).
    """
    graph = compiled.model.build(design, open_rows=True)
    _check_same_shape(compiled.design, design)
    _check_same_visits(compiled, design)
    _check_same_graph(compiled.graph, graph)
    known = {variable.name for variable in compiled.program.shared_var_keys}
    new = {data.name: data.get_value() for data in graph.data_vars if data.name in known}
    return run(
        compiled.model, design, compiled.program.with_data(**new), draws=draws, tune=tune, chains=chains,
        target_accept=target_accept, seed=seed, progress=False,
    )  # fmt: skip


def _check_same_shape(before: Design, after: Design) -> None:
    # Sizes of the sampler's variables are part of the compiled program: reading past their end would crash Python.
    if before.n_patients != after.n_patients:
        raise ValueError(
            f"the model was compiled for {before.n_patients} patients and the design has {after.n_patients}: compile it again."
        )
    for name in ("terms", "effects", "arms"):
        if getattr(before, name) != getattr(after, name):
            raise ValueError(
                f"the model was compiled with the {name} {', '.join(getattr(before, name)) or 'none'} and the design has "
                f"{', '.join(getattr(after, name)) or 'none'}: compile it again."
            )
    if (before.patient_level() != after.patient_level()).any():
        raise ValueError(
            "a term that is constant within every patient of one design is not so in the other: compile it again."
        )


def _check_same_visits(compiled: Compiled, design: Design) -> None:
    """Raise a ValueError if a variable of the sampler has a value a visit and the number of visits differs."""
    free = {variable.name for variable in compiled.graph.free_RVs}
    by_visit = any(
        "visit" in dims for name, dims in compiled.graph.named_vars_to_dims.items() if name in free
    )
    if by_visit and len(compiled.design.frame) != len(design.frame):
        raise ValueError(
            f"the model was compiled for {len(compiled.design.frame)} visits, each with an effect, and the design has "
            f"{len(design.frame)}: compile it again."
        )


def _check_same_graph(before: Any, after: Any) -> None:
    """Raise a ValueError if the log-densities differ in more than the data that `with_data` replaces."""
    from pytensor.graph.basic import equal_computations

    if not equal_computations([before.logp()], [after.logp()], in_xs=_inputs(before), in_ys=_inputs(after)):
        raise ValueError(
            "the design changes something that was compiled into the model, such as the scale of a prior that is given per unit "
            "of a term: compile it again."
        )


def _inputs(graph: Any) -> list[Any]:
    return [*graph.value_vars, *graph.data_vars, *graph.dim_lengths.values()]
