"""The maximum of an integrated likelihood: a ladder of starts and steps, and what is recognised when there is none."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from trajectories.fitting.diagnostics import ConvergenceError, what_to_try
from trajectories.fitting.marginal import Integrated
from trajectories.fitting.marginal_rows import Rows, Shape
from trajectories.fitting.peak import ascend
from trajectories.fitting.status import Report, silent
from trajectories.models.design import Floats, Ints

__all__ = ["Attempt", "Top", "maximum"]

# Twice what the log-likelihood could still rise by a Newton step, at a maximum.
STILL = 1e-8
# Patient sds, on the scale of the linear predictor, at which the search starts.
STARTS = (1.0, 3.0, 0.3)
# Log-likelihoods this close are the same maximum.
SAME = 1e-3
# Cohorts larger than this are first fitted to a part of so many patients, by Laplace's approximation.
LARGE, SAMPLE = 4000, 2000
# So near, in standard errors, second derivatives are the same to three digits.
NEAR = 0.01
# Curvature below which a parameter counts as not determined: all are logarithms, log odds or per standard deviation of a column, and this is
# a standard error of 300. No parameter of a maximum is as far from 0 as FARTHEST.
FLAT, FARTHEST = 1e-5, 1e3

REMEDIES = (
    "simplify: fewer patient effects, such as (1 | patient) in place of (1 + years | patient), or a term less",
    "check the data: an arm without events or with one level only, a covariate that nearly follows from another",
    "estimate it with priors, which keep every parameter finite: tj.sample(model, cohort)",
)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One climb: the patient sd it started from, where it ended, and in words how."""

    start: float
    loglik: float
    said: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Top:
    """A maximum of the likelihood.

    Parameters
    ----------
    theta
        Where it is.
    loglik
        The log-likelihood there.
    information
        Minus its second derivatives there.
    attempts
        How it was found.
    held
        Parameters that stand at minus infinity, near enough.
    """

    theta: Floats
    loglik: float
    information: Floats
    attempts: tuple[Attempt, ...] = ()
    held: tuple[int, ...] = ()


def maximum(
    likelihood: Integrated,
    *,
    names: Sequence[str] = (),
    floors: Mapping[int, float] | None = None,
    held: Mapping[int, float] | None = None,
    start: Floats | None = None,
    information: Floats | None = None,
    errors: bool = True,
    report: Report = silent,
) -> Top:
    """Maximise an integrated likelihood from several starts; the best maximum is taken.

    Quasi-Newton steps (BFGS) lead near the maximum, Newton steps with exact first and differenced second derivatives to it, where the
    score must vanish and the log-likelihood curve downwards. In a large cohort the first steps are taken on a part of the patients. The
    second start is tried always in cohorts that are not large, the third where the first two disagree or fail.

    Parameters
    ----------
    likelihood
        What to maximise.
    names
        Of the parameters, for messages.
    floors
        Parameters by position that are held, as if at minus infinity, when the likelihood is highest below this value.
    held
        Parameters by position that keep a value, as in a profile.
    start
        Where to begin in place of the ladder.
    information
        Minus the second derivatives near the start, of a likelihood much like this one: Newton's steps begin at once.
    errors
        Whether the information must be that of the maximum, not only of its neighbourhood.
    report
        Is told in words how far the search is.

    Raises
    ------
    ConvergenceError
        If no start led to a maximum; the message says along which parameters the likelihood is flat or rises for ever.
    """
    shape = likelihood.shape
    large = likelihood.rows.n_patients > LARGE and start is None
    search = _Search(
        likelihood=likelihood,
        names=names,
        floors=dict(floors or {}),
        held=dict(held or {}),
        errors=errors,
        report=report,
    )
    starts = (
        [(sd, start_of(shape, likelihood.rows, sd)) for sd in STARTS] if start is None else [(np.nan, start)]
    )
    attempts: list[Attempt] = []
    tops: list[Top] = []
    for place, (sd, theta) in enumerate(starts):
        try:
            top = search.from_a_part(theta) if large else search.climb(theta, information)
        except ConvergenceError as error:
            attempts.append(Attempt(start=sd, loglik=np.nan, said=str(error)))
            continue
        attempts.append(Attempt(start=sd, loglik=top.loglik, said="converged"))
        tops.append(top)
        if large or (place == 1 and len(tops) == 2 and abs(tops[0].loglik - tops[1].loglik) < SAME):
            break
    if not tops:
        said = "\n".join(f"  - from a patient sd of {a.start:g}: {a.said}" for a in attempts)
        raise ConvergenceError(
            f"the likelihood has no maximum that can be found.\n{said}\n{what_to_try(REMEDIES)}"
        )
    return replace(max(tops, key=lambda top: top.loglik), attempts=tuple(attempts))


def start_of(shape: Shape, rows: Rows, sd: float) -> Floats:
    """Begin at the margins of the outcome, without effects of terms, and with patient effects of this sd."""
    own: Floats
    if shape.family == "ordinal":
        share = np.bincount(rows.outcome, minlength=shape.levels) / len(rows.outcome)
        below = np.clip(np.cumsum(share)[:-1], 1e-6, 1 - 1e-6)
        cut = np.sqrt(1 + sd**2 / 3) * (np.log(below) - np.log1p(-below))
        own = np.concatenate([cut[:1], np.log(np.maximum(np.diff(cut), 1e-3))])
    else:
        rate = np.log(rows.outcome.sum() / np.exp(rows.offset).sum()) - sd**2 / 4
        own = np.concatenate([[rate], np.full(shape.groups, np.log(0.5))])
        sd = sd / 2
    entries = [sd * (0.5 if i else 1.0) * (i == j) for i in range(shape.effects) for j in range(i + 1)]
    return np.concatenate([own, np.zeros(shape.terms), entries])


@dataclass(frozen=True, kw_only=True, eq=False)
class _Search:
    """How one likelihood is climbed; see `maximum`."""

    likelihood: Integrated
    names: Sequence[str]
    floors: dict[int, float]
    held: dict[int, float]
    errors: bool
    report: Report

    @property
    def free(self) -> Ints:
        """Parameters that move."""
        return np.array([k for k in range(self.likelihood.shape.size) if k not in self.held])

    def climb(self, theta: Floats, information: Floats | None = None) -> Top:
        """Climb from a start."""
        if information is not None:
            return self.newton(theta, information[np.ix_(self.free, self.free)], moved=np.inf)
        theta = self._near(theta)
        return self.newton(theta, self.likelihood.information(theta, self.free))

    def from_a_part(self, theta: Floats) -> Top:
        """Climb with a random part of the patients by Laplace's approximation, which leads near, and from there with all of them.

        All from the start if the part does not determine every parameter, as without a rare level.
        """
        rows = self.likelihood.rows
        chosen = np.sort(np.random.default_rng(0).choice(rows.n_patients, SAMPLE, replace=False))
        part, levels = rows.part(chosen), self.likelihood.shape.levels
        if levels and len(np.unique(part.outcome)) < levels:
            return self.climb(theta)
        few = Integrated(shape=self.likelihood.shape, rows=part, quadrature=1)
        try:
            near = replace(self, likelihood=few).climb(theta)
        except ConvergenceError:
            return self.climb(theta)
        if near.held != tuple(self.held):
            return self.climb(theta)
        information = near.information[np.ix_(self.free, self.free)] * rows.n_patients / SAMPLE
        return self.newton(near.theta, information, moved=np.inf)

    def _near(self, theta: Floats) -> Floats:
        """Take quasi-Newton steps until the score is small."""
        likelihood, free = self.likelihood, self.free
        scale, steps = float(likelihood.rows.n_patients), itertools.count(1)

        def rise(at: Floats) -> tuple[float, Floats]:
            value, slope = likelihood.gradient(at)
            self.report(f"{scale:,.0f} patients, evaluation {next(steps)}, log-likelihood {value:,.3f}")
            return value / scale, slope / scale

        at = theta.copy()
        at[list(self.held)] = list(self.held.values())
        return ascend(rise, at, free, slope=1e-4, most=300)

    def newton(self, theta: Floats, information: Floats, moved: float = 0.0) -> Top:
        """Finish by Newton steps; the information is renewed where it misleads, and at the end where it is not of that point.

        `moved` is how far away from here, in standard errors, the information was computed.
        """
        likelihood, free = self.likelihood, self.free
        value, slope = likelihood.gradient(theta)
        step = np.zeros(len(free))
        for _ in range(60):
            if not np.isfinite(information).all():
                raise ConvergenceError(
                    "the second derivatives of the log-likelihood are no numbers where the search ended."
                )
            sizes, directions = np.linalg.eigh(information)
            step = directions @ ((directions.T @ slope[free]) / np.maximum(np.abs(sizes), 1e-6))
            gain = float(slope[free] @ step)
            self.report(
                f"{likelihood.rows.n_patients:,} patients, log-likelihood {value:,.3f}, still to gain about {gain / 2:.1e}"
            )
            low = {k: theta[k] for k, floor in self.floors.items() if k not in self.held and theta[k] < floor}
            if low:
                return replace(self, held=self.held | low).climb(theta)
            if gain < STILL:
                if moved > NEAR and self.errors:
                    information, moved = likelihood.information(theta, free), 0.0
                    continue
                flat = sizes < FLAT
                if flat.any():
                    raise ConvergenceError(_flat(directions[:, flat][:, 0], free, self.names))
                full = np.zeros((len(theta), len(theta)))
                full[np.ix_(free, free)] = information
                return Top(theta=theta, loglik=value, information=full, held=tuple(self.held))
            step *= min(1.0, 3.0 / float(np.linalg.norm(step)))
            there, new, new_slope = self._along(theta, step, value)
            if np.abs(there).max() > FARTHEST:
                break
            moved += float(np.sqrt(gain))
            theta, value, before, slope = there, new, slope, new_slope
            if np.linalg.norm(slope[free]) > 0.5 * np.linalg.norm(before[free]):
                information, moved = likelihood.information(theta, free), 0.0
        raise ConvergenceError(_flat(step, free, self.names))

    def _along(self, theta: Floats, step: Floats, value: float) -> tuple[Floats, float, Floats]:
        """Go as far along a step as the log-likelihood does not fall."""
        for share in 0.5 ** np.arange(15):
            there = theta.copy()
            there[self.free] += share * step
            new, slope = self.likelihood.gradient(there)
            if new > value - 1e-10 * abs(value):
                break
        return there, new, slope


def _flat(direction: Floats, free: Ints, names: Sequence[str]) -> str:
    """Say along which parameters the likelihood has no maximum."""
    weight = np.abs(direction) / max(float(np.abs(direction).max()), 1e-300)
    along = [
        names[free[k]] if names else f"parameter {free[k]}" for k in np.argsort(-weight) if weight[k] > 0.1
    ]
    return (
        f"the log-likelihood is flat, or rises for ever, along {', '.join(along[:5])}: the data do not determine "
        f"{'it' if len(along) == 1 else 'them'} (separation, or terms that cannot be told apart)."
    )
