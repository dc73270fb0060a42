"""Profile-likelihood intervals of everything that the summary of a maximum-likelihood fit names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from trajectories.estimate import check_ci, normal_limit
from trajectories.fitting.diagnostics import ConvergenceError
from trajectories.fitting.peak import ascend, curvature
from trajectories.fitting.profile_surfaces import Coordinate, coordinate_of
from trajectories.models.design import Floats

if TYPE_CHECKING:
    from trajectories.fitting.point import PointFit

__all__ = ["ProfileInterval", "profile_interval"]

# A profile that is higher than the maximum by more than this shows that the fit is none.
HIGHER = 1e-3
# Steps away from the estimate, each half as long again as the one before, in which a limit must be found; and how well, in standard errors.
MOST_STEPS, PRECISE = 10, 1e-3
# The slope of the log-likelihood at the top, in directions in which it falls by a half over a unit; FEW times as much is still no error.
SLOPE, FEW = 1e-4, 20
# Curvature below which a direction is flat: no search begins with a longer step than its root says.
FLATTEST = 1e-2
# Where entries of Λ, and log α, have no slope: searches begin this far away from there.
AWAY, LOG_AWAY = 0.05, -5.0


@dataclass(frozen=True, kw_only=True)
class ProfileInterval:
    """A profile-likelihood interval; made by `PointFit.profile`.

    Parameters
    ----------
    term
        As the summary of the fit names it.
    estimate, lower, upper
        In the user's units.
    ci
        Probability of the interval.
    patients, rows
        How many.
    notes
        What the reader must know, and the caveats of the fit.
    """

    term: str
    estimate: float
    lower: float
    upper: float
    ci: float
    patients: int
    rows: int
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return one row, as `PointFit.summary` has them: `estimate`, `lower`, `upper`; `attrs` say the kind of interval and the notes."""
        frame = pd.DataFrame(
            {"estimate": [self.estimate], "lower": [self.lower], "upper": [self.upper]},
            index=pd.Index([self.term], name="term"),
        )
        frame.attrs.update(
            interval=f"{self.ci:.0%} profile-likelihood interval",
            patients=self.patients,
            rows=self.rows,
            notes=list(self.notes),
        )
        return frame

    def __str__(self) -> str:
        notes = "".join(f"\n  - {note}" for note in self.notes)
        return (
            f"{self.term}: {self.estimate:.4f}, {self.ci:.0%} profile-likelihood interval {self.lower:.4f} to {self.upper:.4f}\n"
            f"{self.patients} patients, {self.rows} rows{notes}"
        )


def profile_interval(fit: PointFit, term: str, ci: float = 0.95) -> ProfileInterval:
    """Find where twice the drop of the profile log-likelihood is the quantile of χ²₁; see `PointFit.profile`."""
    check_ci(ci)
    if fit.method == "gee":
        raise ValueError(
            "GEE has no likelihood, and so no profile: its intervals are those of fit.summary()."
        )
    if fit.method == "reml":
        raise ValueError(
            "a restricted likelihood has no fixed terms in it to profile: fit by method='maximum likelihood', as R's confint does too."
        )
    summary = fit.summary()
    if term not in summary.index:
        raise ValueError(f"there is no {term!r} to profile, but: {', '.join(map(str, summary.index))}.")
    se = float(summary["se"][term])
    profile = _Profile(name=term, coordinate=coordinate_of(fit, term), loglik=fit.loglik, se=se)
    z = normal_limit(ci)
    (lower, below), (upper, above) = profile.limit(z, -1.0), profile.limit(z, 1.0)
    return ProfileInterval(
        term=term, estimate=profile.estimate, lower=lower, upper=upper, ci=ci, patients=fit.design.n_patients,
        rows=len(fit.design.frame), notes=(*below, *above, *fit.caveats),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class _Profile:
    """The profile of one parameter.

    Parameters
    ----------
    name
        For messages.
    coordinate
        The log-likelihood, in coordinates of which the parameter is one.
    loglik
        Its maximum.
    se
        Standard error of the parameter; NaN where it has none.
    """

    name: str
    coordinate: Coordinate
    loglik: float
    se: float
    _round: Floats = field(init=False, repr=False)
    _found: list[Floats] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        surface, phi = self.coordinate.surface, self.coordinate.phi
        every = np.arange(len(phi))
        information = curvature(lambda at: surface.rise(at)[1], surface.theta, every)
        slopes = self._slopes(phi)
        sizes, directions = np.linalg.eigh(slopes.T @ information @ slopes)
        object.__setattr__(self, "_round", directions / np.sqrt(np.maximum(np.abs(sizes), FLATTEST)))
        self._found.append(phi)

    @property
    def estimate(self) -> float:
        """In the user's units."""
        return float(self.coordinate.phi[self.coordinate.position])

    @property
    def _free(self) -> Floats:
        return np.delete(np.arange(len(self.coordinate.phi)), self.coordinate.position)

    def _slopes(self, phi: Floats) -> Floats:
        """Derivatives of θ by the other coordinates."""
        shifts = 1e-5 * np.eye(len(phi))[self._free]
        ends = self.coordinate.fill(np.concatenate([phi + shifts, phi - shifts]))
        return np.asarray((ends[: len(shifts)] - ends[len(shifts) :]).T / 2e-5)

    def root(self, value: float, zeros: tuple[int, ...] = ()) -> float:
        """Signed root of twice the drop of the log-likelihood at a value, where some further coordinates may be held at 0."""
        loglik, phi = self._top(value, zeros)
        negative = tuple(k for k in self.coordinate.positive if phi[k] < 0)
        if len(negative) == 1:  # beyond the end of what is possible, at which that standard deviation is 0
            loglik, phi = self._top(value, negative)
        elif not zeros:
            self._found.append(phi)
        drop = self.loglik - loglik
        if drop < -HIGHER:
            raise ConvergenceError(
                f"the profile of {self.name} is higher at {value:.4g} than at the estimate {self.estimate:.4g}, by {-drop:.4f}: the fit is not "
                "at the maximum of the likelihood. Fit again with more nodes (quadrature=11), or a simpler model."
            )
        return float(np.sign(value - self.estimate) * np.sqrt(2 * max(drop, 0.0)))

    def _top(self, value: float, zeros: tuple[int, ...]) -> tuple[float, Floats]:
        """The highest log-likelihood at a value, and where, from the nearest value before."""
        surface, place, free = self.coordinate.surface, self.coordinate.position, self._free
        begin = min(self._found, key=lambda phi: abs(phi[place] - value)).copy()
        for k in surface.diagonal:
            if abs(begin[k]) < AWAY:
                begin[k] = AWAY
        for k in surface.dispersions:
            begin[k] = max(begin[k], LOG_AWAY)
        begin[place] = value
        begin[list(zeros)] = 0.0
        kept = ~np.isin(free, zeros)
        moving, turn = free[kept], self._round[kept]

        def at(u: Floats) -> Floats:
            phi = begin.copy()
            phi[moving] += turn @ u
            return phi

        def rise(u: Floats) -> tuple[float, Floats]:
            phi = at(u)
            loglik, slope = surface.rise(self.coordinate.fill(phi[None])[0])
            return loglik, turn.T @ (self._slopes(phi).T @ slope)[kept]

        u = np.zeros(turn.shape[1])
        if len(u):
            u = ascend(rise, u, np.arange(len(u)), slope=SLOPE, most=500)
        loglik, slope = rise(u)
        if not np.abs(slope).max(initial=0.0) < FEW * SLOPE:
            raise ConvergenceError(
                f"the profile of {self.name} has no maximum that was found at {value:.4g}. Simplify the model, or estimate it with priors: "
                "tj.sample(model, cohort)."
            )
        return loglik, at(u)

    def limit(self, z: float, side: float) -> tuple[float, tuple[str, ...]]:
        """Where the signed root is z times side, and what must be said of it."""
        from scipy.optimize import brentq

        end = self.coordinate.upper if side > 0 else self.coordinate.lower
        which, far = "upper" if side > 0 else "lower", end
        said = (
            f"{self.name} = {end:g}, the end of what is possible, is compatible with the data: the {which} limit is {end:g}",
        )
        near = self.estimate
        if np.isfinite(end):
            if abs(end - near) < PRECISE * self._step():
                return end, said
            if abs(self.root(end, self.coordinate.alone if side < 0 else ())) <= z:
                return end, said
        else:
            near, far = self._bracket(z, side)

        def excess(value: float) -> float:
            return -z if value == self.estimate else abs(self.root(value)) - z

        if end == far:  # known to be above, and no place to search from
            inside = far
            excess_there = lambda value: 1.0 if value == inside else excess(value)  # noqa: E731
            return float(brentq(excess_there, near, far, xtol=PRECISE * self._step(), rtol=1e-10)), ()
        return float(brentq(excess, near, far, xtol=PRECISE * self._step(), rtol=1e-10)), ()

    def _bracket(self, z: float, side: float) -> tuple[float, float]:
        """Step away from the estimate until the limit is passed."""
        near, step, above = self.estimate, z * self._step(), self.coordinate.above
        for _ in range(MOST_STEPS):
            far = near + side * step
            if side < 0 and np.isfinite(above):
                far = above + (near - above) / (1 + step / (near - above))
            if abs(self.root(far)) >= z:
                return near, far
            near, step = far, 1.5 * step
        raise ConvergenceError(
            f"the profile of {self.name} does not fall far enough up to {far:.4g}: the data set no limit on this side. Estimate it with "
            "priors: tj.sample(model, cohort)."
        )

    def _step(self) -> float:
        """The standard error; without one, as on a boundary, a quarter of the quantity or of a unit."""
        if np.isfinite(self.se) and self.se > 0:
            return self.se
        return 0.25 * max(abs(self.estimate), 1.0) if np.isfinite(self.coordinate.upper) else 0.25
