"""Effects of subgroups, drawn towards their mean as far as they vary less than chance would have it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.caveats import warning_lines
from trajectories.estimate import Estimate, check_ci
from trajectories.models.design import Floats
from trajectories.printing import aligned, interval, number, sentence
from trajectories.priors import HalfNormal

__all__ = ["Shrunken", "shrunken"]

DRAWS, GRID = 8000, 2000
WIDE = 5.0  # how many times the prior's sd the grid of τ reaches
FEW = 5


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Shrunken:
    """Effects of subgroups before and after partial pooling; made by `shrunken`.

    Parameters
    ----------
    effects
        Shrunken: chain × draw × subgroup.
    unshrunken
        As they were given.
    mean
        μ, what the subgroups' effects scatter around.
    spread
        τ, their standard deviation around it; of ratios that of the logs.
    shrinkage
        By subgroup 1 − W_kk, with W = τ² (τ² I + S)⁻¹ averaged over τ: 0 leaves an effect as it is, 1 makes it the mean.
    prior
        Of τ.
    """

    effects: Estimate
    unshrunken: Estimate
    mean: Estimate
    spread: Estimate
    shrinkage: pd.Series = field(repr=False)
    prior: HalfNormal

    @property
    def caveats(self) -> tuple[str, ...]:
        """What belongs to every report of it."""
        return self.effects.caveats

    def summary(self, ci: float = 0.95) -> pd.DataFrame:
        """Return a row a subgroup: `median`, `lower`, `upper`, the same `unshrunken`, and `shrinkage`.

        Parameters
        ----------
        ci
            Probability of the equal-tailed intervals.
        """
        check_ci(ci)
        columns = ["median", "lower", "upper"]
        made, before = self.effects.summary(ci), self.unshrunken.summary(ci)
        frame = made[columns].join(before[columns].add_prefix("unshrunken ")).join(self.shrinkage)
        frame.attrs.update(made.attrs)
        return frame

    def __str__(self) -> str:
        frame = self.summary()
        rows = [
            [str(frame.index.name), "median", "95 % interval", "unshrunken", "95 % interval", "shrinkage"]
        ]
        for name, row in frame.iterrows():
            rows.append([
                f"{name:g}" if isinstance(name, float) else str(name), number(row["median"]), interval(row["lower"], row["upper"]),
                number(row["unshrunken median"]), interval(row["unshrunken lower"], row["unshrunken upper"]), number(row["shrinkage"]),
            ])  # fmt: skip
        mean, spread = self.mean.summary().iloc[0], self.spread.summary().iloc[0]
        lines = [
            f"Effects of subgroups, partially pooled: {self.unshrunken.name} ({self.effects.unit})",
            *aligned(rows, indent=2),
            f"  mean of the effects {number(mean['median'])} ({interval(mean['lower'], mean['upper'])}); their sd around it, τ"
            f"{' of the logs' if self.effects.null == 1 else ''}: {number(spread['median'])} "
            f"({interval(spread['lower'], spread['upper'])}), prior HalfNormal({self.prior.sd:g})",
        ]
        for caveat in self.caveats:
            lines += sentence(str(caveat), bullet="  - ")
        return warning_lines(self.caveats) + "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def shrunken(effects: Estimate, *, prior: HalfNormal, over: str | None = None, seed: int = 0) -> Shrunken:
    """Partially pool the effects of subgroups: each is drawn towards their mean, the less certain ones more.

    θ̂ ~ N(θ, S), θ_k ~ N(μ, τ²), μ flat, τ half-normal. θ̂ and S are mean and covariance of the draws (of ratios of the logs), so subgroups of one
    model keep their correlation. p(τ | θ̂) ∝ p(τ) |V|^(−1/2) (1'V⁻¹1)^(−1/2) exp(−½ (θ̂ − μ̂1)'V⁻¹(θ̂ − μ̂1)) with V = S + τ²I and
    μ̂ = 1'V⁻¹θ̂ / 1'V⁻¹1, on a grid; given τ, μ and θ are normal.

    The other way is a prior on the products in the model, before it is sampled:

        terms = {t: priors.Normal(0, 0.2) for t in model.design(cohort).terms if t.startswith("arm[new]:centre")}
        fit = tj.sample(model.with_priors(terms=terms), cohort)

    There the spread is stated, not estimated, and with `arm * centre` each effect is drawn towards that of the reference centre, so that
    which centre this is matters; here τ is estimated under its prior, and effects are drawn towards their mean, whichever comes first. The
    prior variance of a difference of two subgroups is 0.2² there (2 · 0.2² where neither is the reference) and 2τ² here. Give `shrunken`
    effects under a wide prior, or they are shrunk twice. On a cohort of six centres that do not differ, effects whose standard deviation
    between centres was 0.29 had 0.10 with Normal(0, 0.2) and 0.04 with `HalfNormal(0.2 / √2)`; with Normal(0, 10) they were those of maximum
    likelihood, and effects far apart stayed under `HalfNormal(100)`.

    Parameters
    ----------
    effects
        A contrast by subgroups that stand beside each other, such as `tj.contrast(tj.change(fit, 2.0, by={"centre": […]}), a, b)`, of a model
        with an effect for each (`arm * centre`). Not points of one line: effects at several ages by a linear product follow from each other.
    prior
        Of τ, in the unit of the effects (of ratios of their logs); yours to state. `priors.HalfNormal(0.25)` holds it likely that effects lie
        within half a point of their mean.
    over
        The dim of the subgroups, where there are several; the others must have one value.
    seed
        Of the draws.

    Returns
    -------
    `Shrunken`: `.effects`, `.unshrunken`, `.mean` and `.spread` (`Estimate`s), `.shrinkage`.

    Raises
    ------
    ValueError
        If there is one subgroup only, no dim to choose, draws without variation, or effects that follow from each other.

    Source: Jones et al. (2011), Bayesian models for subgroup analysis in clinical trials, Clinical Trials 8:129,
    doi:10.1177/1740774510396933; the prior of τ, Gelman (2006), Bayesian Analysis 1:515, doi:10.1214/06-BA117A.

    Examples
    --------
    >>> from trajectories.priors import HalfNormal
    >>> values = np.random.default_rng(1).normal([-0.8, -0.2, -0.5], 0.3, (1, 4000, 3))
    >>> draws = xr.DataArray(values, dims=("chain", "draw", "centre"), coords={"centre": ["a", "b", "c"]})
    >>> made = Estimate(name="effect", draws=draws, unit="points", definition="Made up.", source="made up", null=0.0)
    >>> shrunken(made, prior=HalfNormal(0.25)).effects.summary()["mean"].round(1).tolist()
    [-0.6, -0.4, -0.5]
    """
    over = _subgroups(effects, over)
    flat = effects.draws.transpose("chain", "draw", over, ...).to_numpy()
    flat = flat.reshape(flat.shape[0] * flat.shape[1], -1)
    ratio = effects.null == 1
    if not np.isfinite(flat).all() or (ratio and not (flat > 0).all()):
        raise ValueError(f"{effects.name} has draws that are missing{' or not above 0' if ratio else ''}.")
    if ratio:
        flat = np.log(flat)
    S = np.cov(flat.T)
    values, Q = np.linalg.eigh(S)
    if values[0] <= 1e-8 * values[-1]:
        raise ValueError(
            f"the {len(values)} effects of {effects.name} follow from each other, as points of one line do, so there are no subgroups to pool: "
            f"make {over} a category with an effect of its own each (arm * {over}), or shrink the interaction by a prior of its term, "
            "model.with_priors(terms={…}), and tj.sample."
        )
    tau, mu, theta, factor = _posterior(flat.mean(axis=0), values, Q, prior, np.random.default_rng(seed))
    return _labelled(effects, over, tau, mu, theta, factor, prior, ratio)


def _subgroups(effects: Estimate, over: str | None) -> str:
    sizes = {str(dim): effects.draws.sizes[dim] for dim in effects.draws.dims[2:]}
    several = [dim for dim, n in sizes.items() if n > 1]
    chosen = several[0] if over is None and len(several) == 1 else over
    if chosen is None or chosen not in sizes:
        raise ValueError(
            f"{effects.name} has {', '.join(f'{dim} ({n})' for dim, n in sizes.items()) or 'one number only'}: choose the subgroups by over=…"
        )
    if sizes[chosen] < 2:
        raise ValueError(f"{effects.name} has one {chosen} only: nothing to pool it with.")
    if others := [dim for dim in several if dim != chosen]:
        raise ValueError(
            f"{effects.name} has several of {', '.join(others)}: pool subgroups at one at a time."
        )
    return chosen


def _posterior(
    y: Floats, values: Floats, Q: Floats, prior: HalfNormal, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats, Floats]:
    """Draws of τ, μ and θ (draw × subgroup), and 1 − W_kk: in the axes of S, where V is diagonal."""
    tau = WIDE * prior.sd * (np.arange(GRID) + 0.5) / GRID
    rotated, ones = Q.T @ y, Q.T @ np.ones(len(y))
    V = values + tau[:, None] ** 2
    precision = (ones**2 / V).sum(axis=1)
    centre = (ones * rotated / V).sum(axis=1) / precision
    residual = rotated - centre[:, None] * ones
    log_p = -0.5 * (
        (tau / prior.sd) ** 2 + np.log(V).sum(axis=1) + np.log(precision) + (residual**2 / V).sum(axis=1)
    )
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    own = np.einsum("kj,gj,kj->gk", Q, tau[:, None] ** 2 / V, Q)
    shares = (np.arange(DRAWS) + rng.random(DRAWS)) / DRAWS  # stratified
    at = np.minimum(np.searchsorted(np.cumsum(p), rng.permutation(shares)), GRID - 1)
    mu = centre[at] + rng.standard_normal(DRAWS) / np.sqrt(precision[at])
    square = tau[at, None] ** 2
    mean = mu[:, None] * ones + square / V[at] * (rotated - mu[:, None] * ones)
    sd = np.sqrt(square * values / V[at])
    theta = (mean + sd * rng.standard_normal(mean.shape)) @ Q.T
    return tau[at], mu, theta, np.asarray(1 - p @ own)


def _labelled(
    effects: Estimate, over: str, tau: Floats, mu: Floats, theta: Floats, factor: Floats, prior: HalfNormal, ratio: bool
) -> Shrunken:  # fmt: skip
    labels = effects.draws[over].to_numpy()
    single = {dim: 0 for dim in effects.draws.dims[2:] if dim != over}
    said = "; partially pooled, the subgroups' effects taken for draws from one normal distribution"
    few = f"{len(labels)} subgroups say little of how much effects vary: τ rests largely on its prior, HalfNormal({prior.sd:g})"
    before = replace(effects, draws=effects.draws.isel(single, drop=True))
    whole = replace(
        before,
        name=f"{effects.name}, partially pooled",
        source=f"the normal hierarchical model of {effects.source}",
        definition=effects.definition.rstrip(".") + said + ".",
        caveats=(*effects.caveats, *([few] if len(labels) < FEW else [])),
        asked=None,
    )

    def of(values: Floats, **changes: object) -> Estimate:
        dims = ("chain", "draw", *([over] if values.ndim == 2 else []))
        array = xr.DataArray(values[None], dims=dims, coords={over: labels} if values.ndim == 2 else None)
        return replace(whole, draws=array, **changes)  # type: ignore[arg-type]

    back = np.exp if ratio else np.asarray
    return Shrunken(
        effects=of(back(theta)),
        unshrunken=before,
        mean=of(back(mu), name=f"mean over {over} of {effects.name}"),
        spread=of(
            tau,
            name=f"sd over {over} of {effects.name}",
            unit="log ratio" if ratio else effects.unit,
            null=None,
        ),
        shrinkage=pd.Series(factor, index=pd.Index(labels, name=over), name="shrinkage"),
        prior=prior,
    )
