"""The likelihood of a mixed model with the patient effects integrated out, patient by patient.

Given the population parameters patients are independent:
L = ∏_i ∫ ∏_j p(y_ij | x_ij'β + z_ij'Λv) N(v; 0, I) dv, Σ = ΛΛ'. The integral is taken by adaptive Gauss–Hermite quadrature: nodes around
the mode v̂_i of the integrand, spread by its curvature there, both of which move with the parameters; one node is Laplace's
approximation. Effects are taken as Λv, so that a Λ without full rank, the boundary of the variances, is an ordinary point.

Modes are found by damped Newton steps outside the derivatives. Inside, one Newton step from the found mode carries its dependence on the
parameters, which makes first derivatives exact. Second derivatives are differences of these: as exact as the standard errors need, no
slower than derivatives of derivatives, and without a second program to compile.

Source: Pinheiro and Bates (1995), Journal of Computational and Graphical Statistics 4:12, doi:10.1080/10618600.1995.10474663.

The programs are JAX's, in double precision, compiled once for a `Shape` and sizes of blocks; they run on whatever device JAX has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trajectories.fitting.diagnostics import ConvergenceError
from trajectories.fitting.marginal_rows import Block, Rows, Shape, blocks, in_batches
from trajectories.fitting.peak import by_differences, curvature
from trajectories.models.base import Population
from trajectories.models.blocks.densities import (
    FAR,
    negative_binomial_logpmf,
    ordinal_logpmf,
    poisson_logpmf,
)
from trajectories.models.blocks.small_matrices import cholesky, from_left, from_right
from trajectories.models.design import Floats, Ints

__all__ = [
    "Integrated",
    "cutpoints_of",
    "double_precision",
    "integrand_at",
    "modes_from",
]

# Newton's steps towards a mode, in standard deviations of the patient effects: none longer than LONGEST, at most MOST of them, until
# they are shorter than SHORT.
LONGEST, MOST, SHORT = 2.0, 100, 1e-9

# In a trace that starts at 0 every time, steps end here: the one more step that `_log_integrals` takes leaves an error of about its square.
NEAR_ENOUGH = 1e-4

# Nodes times rows up to which a trace takes all nodes at once, in half the time of one after the other.
TOGETHER = 500_000

# Parameters evaluated by one call of a program, which is compiled for this many.
AT_ONCE = 50


@contextmanager
def double_precision() -> Iterator[None]:
    """Let JAX compute with 64 bits here, and leave its setting elsewhere alone."""
    import jax

    with jax.enable_x64(True):
        yield


def cutpoints_of(own: Any, xp: Any) -> Any:
    """Ascending cutpoints from the first one and the logarithms of the gaps, along the last axis."""
    first = own[..., :1]
    return xp.concatenate([first, first + xp.cumsum(xp.exp(own[..., 1:]), axis=-1)], axis=-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Integrated:
    """The integrated log-likelihood of rows, as functions of the parameters θ of `Shape.split`.

    The parameters of the density are: ordinal: the first cutpoint and the logarithms of the gaps; counts: the intercept and log α of each
    group.

    Parameters
    ----------
    shape, rows
        What is fitted.
    quadrature
        Nodes a dimension; 1 is Laplace's approximation.
    blocks
        Blocks of patients, with their arrays on the device.
    """

    shape: Shape
    rows: Rows
    quadrature: int
    blocks: list[tuple[Block, dict[str, Any]]] = field(init=False, repr=False)
    _modes: list[Any] = field(init=False, repr=False)

    @double_precision()
    def __post_init__(self) -> None:
        import jax

        if not 1 <= self.shape.effects <= 3:
            raise ValueError(
                f"the patient effects of 1 to 3 terms can be integrated out, not of {self.shape.effects}."
            )
        if self.quadrature < 1:
            raise ValueError(f"quadrature must be at least 1 node a dimension, not {self.quadrature}.")
        made = [(block, jax.device_put(block.arrays)) for block in blocks(self.rows)]
        object.__setattr__(self, "blocks", made)
        starts = [np.zeros((self.shape.effects, block.arrays["weight"].shape[1])) for block, _ in self.blocks]
        object.__setattr__(self, "_modes", starts)

    def value(self, theta: Floats) -> float:
        """The log-likelihood: each patient's times the patient's weight, summed."""
        return float(self.rows.importance @ self.by_patient(theta))

    @double_precision()
    def by_patient(self, theta: Floats) -> Floats:
        """The log-likelihood of each patient, without the weight."""
        program = _programs(self.shape, self.quadrature).terms
        return self._gathered(theta, program)

    @double_precision()
    def by_patient_at(self, thetas: Floats) -> Floats:
        """The log-likelihood of each patient at many parameters (samples × …): samples × patients.

        The modes at one sample are the start at the next, from 0 at the first, in one compiled loop.
        """
        program = _programs(self.shape, self.quadrature).many
        out = np.empty((len(thetas), self.rows.n_patients))
        starts = [np.zeros_like(modes) for modes in self._modes]
        for here, padded in in_batches(thetas, AT_ONCE):
            for place, (block, arrays) in enumerate(self.blocks):
                starts[place], (values, found) = program(padded, arrays, starts[place])
                kept = np.s_[: here.stop - here.start, : len(block.patients)]
                there = np.asarray(found)[kept]
                if not there.all():
                    worst = int(there.sum(axis=1).argmin())
                    raise _without_mode(there[worst], self.shape, padded[worst], arrays)
                out[here, block.patients] = np.asarray(values)[kept]
        return out

    def traced(self, at: Population) -> Any:
        """The log-likelihood for a program of JAX's to differentiate, modes found from 0; −∞ where a patient's is not found."""
        import jax
        import jax.numpy as jnp

        total, fixed = 0.0, jax.lax.stop_gradient(at)
        for block, arrays in self.blocks:
            visits, patients = arrays["weight"].shape
            start = jnp.zeros((self.shape.effects, patients))
            modes, found = modes_from(self.shape, fixed, arrays, start, NEAR_ENOUGH)
            together = visits * patients * self.quadrature**self.shape.effects <= TOGETHER
            terms = _log_integrals(self.shape, self.quadrature, at, arrays, modes, together)
            weighted = (arrays["importance"] * terms)[: len(block.patients)]
            total = total + jnp.where(found.all(), weighted.sum(), -jnp.inf)
        return total

    @double_precision()
    def gradient(self, theta: Floats) -> tuple[float, Floats]:
        """The log-likelihood and its gradient."""
        program = _programs(self.shape, self.quadrature).gradient
        found = [program(theta, arrays, modes) for _, arrays, modes in self._at(theta)]
        return float(sum(value for value, _ in found)), np.sum([np.asarray(g) for _, g in found], axis=0)

    def information(self, theta: Floats, free: Ints) -> Floats:
        """Minus the second derivatives in the free parameters."""
        return curvature(lambda at: self.gradient(at)[1], theta, free)

    @double_precision()
    def scores(self, theta: Floats) -> Floats:
        """Gradient of each patient's term of the log-likelihood, with the weight: patients × parameters."""
        program = _programs(self.shape, self.quadrature).scores
        return self._gathered(theta, program) * self.rows.importance[:, None]

    def informations(self, theta: Floats, patients: Ints) -> Floats:
        """Minus the second derivatives of patients' terms, with the weights: patients × parameters × parameters."""
        if len(patients) == self.rows.n_patients:
            return by_differences(self.scores, theta)
        if len(patients) == 0:
            return np.zeros((0, len(theta), len(theta)))
        some = Integrated(shape=self.shape, rows=self.rows.part(patients), quadrature=self.quadrature)
        return by_differences(some.scores, theta)

    @double_precision()
    def modes(self, theta: Floats) -> tuple[Floats, Floats]:
        """Conditional modes v̂ (patient × effect) and their covariance, minus the inverse of the curvature there (… × effect)."""
        program = _programs(self.shape, self.quadrature).curvature
        q, n = self.shape.effects, self.rows.n_patients
        modes, covariances = np.zeros((n, q)), np.zeros((n, q, q))
        for block, arrays, found in self._at(theta):
            kept = len(block.patients)
            M = np.asarray(program(theta, arrays, found))[..., :kept]
            modes[block.patients] = np.asarray(found)[:, :kept].T
            covariances[block.patients] = np.linalg.inv(np.moveaxis(M, -1, 0))
        return modes, covariances

    def _gathered(self, theta: Floats, program: Callable[..., Any]) -> Floats:
        """Put results by column (… × patient) in the order of the patients: patient × …."""
        out: Floats | None = None
        for block, arrays, modes in self._at(theta):
            values = np.moveaxis(np.asarray(program(theta, arrays, modes)), -1, 0)[: len(block.patients)]
            if out is None:
                out = np.zeros((self.rows.n_patients, *values.shape[1:]))
            out[block.patients] = values
        assert out is not None
        return out

    def _at(self, theta: Floats) -> Iterator[tuple[Block, dict[str, Any], Any]]:
        """Blocks and their arrays with their modes at θ, found from the last ones; a patient without a mode is an error."""
        program = _programs(self.shape, self.quadrature).modes
        for place, (block, arrays) in enumerate(self.blocks):
            modes, converged = program(theta, arrays, self._modes[place])
            there = np.asarray(converged)[: len(block.patients)]
            if not there.all():
                raise _without_mode(there, self.shape, theta, arrays)
            self._modes[place] = modes
            yield block, arrays, modes


def _without_mode(there: NDArray[np.bool_], shape: Shape, theta: Floats, arrays: Any) -> ConvergenceError:
    """Say why some patients of a block have no mode: what they had has probability 0, or none was found."""
    h = integrand_at(shape, theta, arrays)
    never = np.isneginf(np.asarray(h.density(h.fixed))) & (np.asarray(arrays["weight"]) > 0)
    impossible = int((never.any(axis=0)[: len(there)] & ~there).sum())
    if impossible:
        return ConvergenceError(
            f"a level that {impossible} of {len(there)} patients had has probability 0 at these parameters, as two cutpoints are equal: "
            "the log-likelihood is minus infinity. Merge levels that hardly anybody has, or take priors that keep them apart."
        )
    return ConvergenceError(
        f"the effects of {int((~there).sum())} of {len(there)} patients have no mode at these parameters: the log-likelihood "
        "cannot be computed. Centre and scale the covariates, or leave out a patient effect."
    )


@dataclass(frozen=True, kw_only=True)
class _Programs:
    modes: Callable[..., Any]
    terms: Callable[..., Any]
    many: Callable[..., Any]
    gradient: Callable[..., Any]
    scores: Callable[..., Any]
    curvature: Callable[..., Any]


@cache
def _programs(shape: Shape, quadrature: int) -> _Programs:
    """Make the compiled functions of (θ, arrays of a block, modes)."""
    import jax
    import jax.numpy as jnp

    def terms(theta: Any, arrays: Any, modes: Any) -> Any:
        return _log_integrals(shape, quadrature, theta, arrays, modes)

    def total(theta: Any, arrays: Any, modes: Any) -> Any:
        return arrays["importance"] @ terms(theta, arrays, modes)

    def scores(theta: Any, arrays: Any, modes: Any) -> Any:
        def of(at: Any) -> Any:
            return terms(at, arrays, modes)

        # Parameter by parameter: all at once would need the memory of as many likelihoods.
        return jax.lax.map(lambda e: jax.jvp(of, (theta,), (e,))[1], jnp.eye(shape.size))

    def many(thetas: Any, arrays: Any, start: Any) -> Any:
        def at(modes: Any, theta: Any) -> Any:
            modes, found = modes_from(shape, theta, arrays, modes)
            return modes, (terms(theta, arrays, modes), found)

        return jax.lax.scan(at, start, thetas)

    def curvature(theta: Any, arrays: Any, modes: Any) -> Any:
        M = integrand_at(shape, theta, arrays).parts(list(modes))[2]
        q = shape.effects
        return jnp.stack([jnp.stack([M[max(j, k)][min(j, k)] for k in range(q)]) for j in range(q)])

    return _Programs(
        modes=jax.jit(lambda theta, arrays, start: modes_from(shape, theta, arrays, start)),
        terms=jax.jit(terms),
        many=jax.jit(many),
        gradient=jax.jit(jax.value_and_grad(total)),
        scores=jax.jit(scores),
        curvature=jax.jit(curvature),
    )


@dataclass(frozen=True, kw_only=True)
class _Integrand:
    """h(v) = Σ_j log p(y_j | η_j(v)) − v'v / 2 of every patient, at some parameters; v is a list of vectors by patient."""

    density: Callable[[Any], Any]
    fixed: Any
    columns: list[Any]
    weight: Any

    def value(self, v: Sequence[Any]) -> Any:
        """h(v)."""
        return (self.weight * self.density(self._eta(v))).sum(axis=0) - 0.5 * sum(part**2 for part in v)

    def parts(self, v: Sequence[Any]) -> tuple[Any, list[Any], list[list[Any]]]:
        """h(v), its gradient, and minus its second derivatives (lower triangle)."""
        import jax
        import jax.numpy as jnp

        def slope(eta: Any) -> tuple[Any, Any]:
            value, first = jax.jvp(self.density, (eta,), (jnp.ones_like(eta),))
            return value, first

        eta = self._eta(v)
        (value, first), (_, second) = jax.jvp(slope, (eta,), (jnp.ones_like(eta),))
        first, second = self.weight * first, self.weight * second
        q = len(v)
        gradient = [(first * self.columns[k]).sum(axis=0) - v[k] for k in range(q)]
        M = [
            [
                (j == k) - (second * self.columns[j] * self.columns[k]).sum(axis=0) for k in range(j + 1)
            ]
            for j in range(q)
        ]  # fmt: skip
        integrand = (self.weight * value).sum(axis=0) - 0.5 * sum(part**2 for part in v)
        return integrand, gradient, M

    def _eta(self, v: Sequence[Any]) -> Any:
        return self.fixed + sum(column * part for column, part in zip(self.columns, v, strict=True))


def integrand_at(shape: Shape, theta: Any, arrays: Any) -> _Integrand:
    """h of the patients of a block at parameters θ, or at a `Population`."""
    import jax.numpy as jnp

    at, q = theta if isinstance(theta, Population) else _population(shape, theta), shape.effects
    fixed, factor = arrays["offset"], at.factor
    if shape.terms:
        fixed = fixed + jnp.tensordot(at.beta, arrays["X"], axes=1)
    return _Integrand(
        density=_density(shape, at.own, arrays),
        fixed=fixed,
        columns=[sum(factor[i][k] * arrays["Z"][i] for i in range(k, q)) for k in range(q)],
        weight=arrays["weight"],
    )


def _population(shape: Shape, theta: Any) -> Population:
    """What the density needs, from θ."""
    import jax.numpy as jnp

    own, beta, entries = shape.split(theta)
    factor = [[entries[i * (i + 1) // 2 + j] for j in range(i + 1)] for i in range(shape.effects)]
    if shape.family == "ordinal":
        return Population((cutpoints_of(own, jnp), None), beta, factor)
    return Population((own[0], None if shape.family == "poisson" else jnp.exp(own[1:])), beta, factor)


def _density(shape: Shape, own: tuple[Any, Any], arrays: Any) -> Callable[[Any], Any]:
    """Log-probability of the outcomes as a function of the linear predictor, visit × patient."""
    import jax.numpy as jnp

    y = arrays["outcome"]
    if shape.family == "ordinal":
        far, (cutpoints, shares) = jnp.full(1, FAR), own
        ends = jnp.concatenate([-far, cutpoints, far])
        upper, lower = ends[y + 1], ends[y]
        within = None if shares is None else shares[y]
        return lambda eta: ordinal_logpmf(upper - eta, lower - eta, shape.link, jnp, within)
    counts, (intercept, dispersions) = y.astype(float), own
    if dispersions is None:
        return lambda eta: poisson_logpmf(counts, intercept + eta, jnp)
    dispersion = dispersions[arrays["group"]]
    return lambda eta: negative_binomial_logpmf(counts, intercept + eta, dispersion, jnp)


def modes_from(shape: Shape, theta: Any, arrays: Any, start: Any, short: float = SHORT) -> tuple[Any, Any]:
    """Modes of the integrands (effect × patient) by Newton steps that are cut where they are long or lead down, and which were found."""
    import jax
    import jax.numpy as jnp

    h = integrand_at(shape, theta, arrays)
    n = arrays["weight"].shape[1]

    def going(state: Any) -> Any:
        count, _, _, _, _, _, found = state
        return (count < MOST) & ~found.all()

    def move(state: Any) -> Any:
        count, best, best_value, step, share, tried, found = state
        value, gradient, M = h.parts(list(tried))
        better = value >= best_value - 1e-11 * (1 + jnp.abs(best_value))
        new = jnp.stack(from_right(C := cholesky(M, jnp), from_left(C, gradient)))
        length = jnp.sqrt((new**2).sum(axis=0))
        new = new * jnp.minimum(1.0, LONGEST / jnp.maximum(length, 1e-300))
        best, step = jnp.where(better, tried, best), jnp.where(better, new, step)
        best_value = jnp.where(better, value, best_value)
        share = jnp.where(better, 1.0, share / 2)
        found = found | (better & (length < short))
        return count + 1, best, best_value, step, share, jnp.where(found, best, best + share * step), found

    # From a mode of other parameters, or from 0 where that is no number.
    begin = jnp.where(jnp.isfinite(start), start, 0.0)
    zeros = jnp.zeros(n)
    state = (0, begin, zeros - jnp.inf, jnp.zeros_like(begin), zeros + 1, begin, zeros > 0)
    _, best, _, _, _, _, found = jax.lax.while_loop(going, move, state)
    return best, found


def _log_integrals(
    shape: Shape, quadrature: int, theta: Any, arrays: Any, modes: Any, together: bool = False
) -> Any:
    """The logarithm of each patient's integral, by patient, with exact first derivatives."""
    import jax
    import jax.numpy as jnp

    h = integrand_at(shape, theta, arrays)
    v = list(jax.lax.stop_gradient(modes))
    _, gradient, M = h.parts(v)
    step = from_right(C := cholesky(M, jnp), from_left(C, gradient))
    v = [
        part + moved for part, moved in zip(v, step, strict=True)
    ]  # the mode as a function of the parameters
    value, _, M = h.parts(v)
    C = cholesky(M, jnp)
    log_spread = -sum(jnp.log(C[k][k]) for k in range(len(C)))
    if quadrature == 1:
        return value + log_spread
    points, log_weights = _grid(quadrature, shape.effects)

    def at(point: Any, log_weight: Any) -> Any:
        shift = from_right(C, list(point))
        there = h.value([part + np.sqrt(2.0) * moved for part, moved in zip(v, shift, strict=True)])
        return jnp.exp(there - value + log_weight)

    if together:
        return value + log_spread + jnp.log(jax.vmap(at)(points, log_weights).sum(axis=0))

    def add(total: Any, node: Any) -> tuple[Any, None]:
        return total + at(*node), None

    total, _ = jax.lax.scan(jax.checkpoint(add), jnp.zeros_like(value), (points, log_weights))
    return value + log_spread + jnp.log(total)


def _grid(quadrature: int, effects: int) -> tuple[Floats, Floats]:
    """Gauss–Hermite nodes (node × effect), and the logarithms of their weights times exp(x'x) π^(−effects/2)."""
    x, w = np.polynomial.hermite.hermgauss(quadrature)
    points = np.stack(np.meshgrid(*[x] * effects, indexing="ij"), axis=-1).reshape(-1, effects)
    logs = np.stack(np.meshgrid(*[np.log(w)] * effects, indexing="ij"), axis=-1).reshape(-1, effects)
    return points, logs.sum(axis=1) + (points**2).sum(axis=1) - effects / 2 * np.log(np.pi)
