"""Predictive checks: what the model says would be seen, beside what was seen, by arm and window of time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories import edss
from trajectories.estimate import check_ci
from trajectories.fitting.fit import Fit
from trajectories.models.binary import BinaryMixed
from trajectories.plots.predictive_events import event_shares
from trajectories.plots.style import (
    BLACK,
    DOUBLE,
    arm_colours,
    percent,
    sheet,
    style,
    warnings_of,
    window_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["codes_of", "posterior_predictive", "prior_predictive", "replicates"]

type Floats = NDArray[np.float64]
type Ints = NDArray[np.int64]

_MOST = 8  # counts above this share the last bar
# What is counted and what of, by outcome.
_OUTCOMES = {
    "edss": ("EDSS", "visits (%)"),
    "relapses": ("relapses", "windows of patients"),
    "gd_count": ("enhancing lesions", "scans"),
    "new_t2": ("new T2 lesions", "scans"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Group:
    """What one panel shows: shares (or numbers) of rows at each value, observed and replicated (sample × value)."""

    rows: int
    observed: Floats
    replicated: Floats


def posterior_predictive(
    fit: Fit, *, splits: Sequence[float] = (0, 1, 2), draws: int = 100, ci: float = 0.95, seed: int = 0
) -> Figure:
    """Draw what was observed beside what the fitted model predicts for the same visits, by arm and window.

    EDSS: the share of visits at each level. `BinaryMixed`: the share of visits with the event, a panel an arm. Relapses: a rootogram, the
    number of patients' windows with 0, 1, 2, … relapses on a square-root axis. Patient effects are kept, so a check that looks good says
    little about new patients.

    Parameters
    ----------
    fit
        A `Fit` by NUTS.
    splits
        Times in years at which windows of EDSS visits end, the last window being open; counts have windows of their own.
    draws
        How many draws a chain are replicated.
    ci
        Probability of the equal-tailed interval.
    seed
        Seed of the replicated outcomes.

    Returns
    -------
    A matplotlib Figure, 7.2 inches wide: a row an arm, a column a window.

    Raises
    ------
    ValueError
        If the fit holds draws from the prior, or splits do not ascend.

    Source: rootograms, Kleiber and Zeileis (2016), doi:10.1080/00031305.2016.1173590.
    """
    if fit.source != "posterior":
        raise ValueError("these are draws from the prior: use plots.prior_predictive.")
    return _check(fit, "Posterior predictive check", splits, draws, ci, seed, observed=True)


def prior_predictive(
    fit: Fit,
    *,
    splits: Sequence[float] = (0, 1, 2),
    draws: int = 400,
    ci: float = 0.95,
    seed: int = 0,
    observed: bool = False,
) -> Figure:
    """Draw what the priors alone say would be seen, by arm and window.

    Parameters
    ----------
    fit
        From `tj.sample_prior`.
    splits, draws, ci, seed
        As in `posterior_predictive`.
    observed
        Whether to draw the observed beside it. A prior should allow for the data, not be chosen by them.

    Returns
    -------
    A matplotlib Figure, 7.2 inches wide: a row an arm, a column a window.

    Raises
    ------
    ValueError
        If the fit holds posterior draws, or splits do not ascend.
    """
    if fit.source != "prior":
        raise ValueError(
            "these are posterior draws: use plots.posterior_predictive, or draw from tj.sample_prior."
        )
    return _check(fit, "Prior predictive check", splits, draws, ci, seed, observed=observed)


def _check(
    fit: Fit, title: str, splits: Sequence[float], draws: int, ci: float, seed: int, *, observed: bool
) -> Figure:
    check_ci(ci)
    design, counts = fit.design, fit.design.exposure is not None
    windows = design.frame["window"].astype(str) if counts else _windows(design.frame["years"], splits)
    columns = list(dict.fromkeys(design.frame["window"].cat.categories if counts else _labels(splits)))
    columns = [str(window) for window in columns if (windows == window).any()]
    new = replicates(fit, draws, seed)
    caption = _caption(fit, new, ci, observed=observed)
    if isinstance(fit.model, BinaryMixed):
        said = f"{title}, {fit.model.event}: {fit.model.formula}"
        return event_shares(fit, new, windows, columns, title=said, caption=caption, ci=ci, observed=observed)
    groups = {
        (arm, window): _group(
            fit, new, ((design.frame["arm"].astype(str) == arm) & (windows == window)).to_numpy()
        )
        for arm in design.arms
        for window in columns
    }
    with style():
        figure, axes = sheet(
            title=f"{title}, {fit.model.formula}",
            warnings=warnings_of(caveats=fit.caveats),
            caption=caption,
            width=DOUBLE,
            height=0.35 + 1.35 * len(design.arms),
            rows=len(design.arms),
            columns=len(columns),
            sharex=True,
            sharey=True,
        )  # fmt: skip
        colours = arm_colours(design.arms)
        for row, arm in zip(axes, design.arms, strict=True):
            for ax, window in zip(row, columns, strict=True):
                _panel(ax, groups[arm, window], colours[arm], ci, counts=counts, observed=observed)
                ax.set_title(
                    _panel_title(window, groups[arm, window].rows, counts=counts, first=arm == design.arms[0])
                )
            row[0].set_ylabel(f"{arm}\n{_OUTCOMES[design.formula.response][1]}")
        _scale(axes, groups.values(), ci, counts=counts)
        for ax in axes[-1]:
            ax.set_xlabel(_OUTCOMES[design.formula.response][0])
    return figure


def replicates(fit: Fit, draws: int, seed: int) -> Floats:
    """New outcomes of the same rows: sample × row."""
    new = fit.posterior_predictive(draws=draws, seed=seed)
    return np.asarray(new.to_numpy().reshape(-1, new.sizes["visit"]))


def codes_of(values: Floats) -> Ints:
    """Give EDSS its place among the 20 levels; values between levels, which a Gaussian model predicts, go to the nearest."""
    middles = (edss.LEVELS[:-1] + edss.LEVELS[1:]) / 2
    return np.asarray(np.searchsorted(middles, values, side="right"), dtype=np.int64)


def _group(fit: Fit, new: Floats, rows: NDArray[np.bool_]) -> _Group:
    if fit.design.exposure is not None:
        most = _MOST + 1
        place: Callable[[Floats], Ints] = _capped
        scale = 1.0
    else:
        most, place, scale = len(edss.LEVELS), codes_of, 100 / max(int(rows.sum()), 1)
    seen = np.bincount(place(fit.design.outcome[rows]), minlength=most) * scale
    drawn = place(new[:, rows])
    counts = np.stack([(drawn == value).sum(axis=1) for value in range(most)], axis=-1)
    return _Group(rows=int(rows.sum()), observed=seen.astype(float), replicated=counts * scale)


def _capped(values: Floats) -> Ints:
    return np.minimum(values, _MOST).astype(np.int64)


def _panel(ax: Axes, group: _Group, colour: str, ci: float, *, counts: bool, observed: bool) -> None:
    x = np.arange(_MOST + 1, dtype=float) if counts else edss.LEVELS
    width = 0.8 if counts else 0.42
    lower, upper = np.quantile(group.replicated, [(1 - ci) / 2, (1 + ci) / 2], axis=0)
    if group.rows:
        if observed:
            ax.bar(x, group.observed, width=width, color="#C8C8C8", linewidth=0, zorder=1)
        ax.vlines(x, lower, upper, color=colour, linewidth=1.3, zorder=2)
        ax.plot(
            x,
            group.replicated.mean(axis=0),
            linestyle="none",
            marker="o",
            markersize=2.2,
            color=BLACK,
            zorder=3,
        )
    if counts:
        ax.set_xticks(x, [*(f"{value:g}" for value in x[:-1]), f"{_MOST}+"])
    else:
        ax.set_xticks(range(0, 11, 2))


def _scale(axes: NDArray[np.object_], groups: Iterable[_Group], ci: float, *, counts: bool) -> None:
    """Give all panels one axis that holds every bar and interval: from 0, square-root for counts."""
    tops = [
        max(np.quantile(g.replicated, (1 + ci) / 2, axis=0).max(), g.observed.max()) for g in groups if g.rows
    ]
    top = max(tops) * 1.05
    ax = axes[0, 0]  # the panels share their axes
    if counts:
        for panel in axes.flat:
            panel.set_yscale("function", functions=(_root, np.square))
        ax.set_yticks(
            [tick for tick in (0, 1, 5, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000) if tick <= top]
        )
    ax.set_ylim(0, top)


def _root(values: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(values, 0.0)))


def _labels(splits: Sequence[float]) -> list[str]:
    times = [float(time) for time in splits]
    if not times or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise ValueError(f"splits must be ascending times in years, such as (0, 1, 2), not {splits!r}.")
    said = [f"{time:g}".replace("-", "−") for time in times]
    between = [f"{start} to {end}" for start, end in itertools.pairwise(said)]
    return [f"up to {said[0]}", *between, f"after {said[-1]}"]


def _windows(years: pd.Series, splits: Sequence[float]) -> pd.Series:
    """Name the window of each visit; one exactly at a split belongs to what ends there, as a baseline does."""
    labels = np.array(_labels(splits), dtype=object)
    return pd.Series(labels[np.searchsorted(np.asarray(splits, dtype=float), years.to_numpy(), side="left")])


def _panel_title(window: str, rows: int, *, counts: bool, first: bool) -> str:
    n = f"n = {rows}{'' if counts else ' visits'}"
    named = f"{window_label(window) if counts else window} years" if first else ""
    return f"{named}\n{n}" if named else n


def _caption(fit: Fit, new: Floats, ci: float, *, observed: bool) -> str:
    counts = fit.design.exposure is not None
    kind = "posterior" if fit.source == "posterior" else "prior"
    parts = [
        "Bars: observed." if observed else "",
        f"Points and lines: mean and {percent(ci)} equal-tailed interval of {len(new)} {kind} predictive data sets of the same "
        f"{fit.design.n_patients} patients.",
        "n: windows of patients; square-root axis." if counts else "Years from the index date.",
    ]
    if not counts and not isinstance(fit.model, BinaryMixed):
        off = float(((new < -0.25) | (new > 10.25)).mean())
        parts += (
            [f"{percent(round(off, 3))} of the predictions lie off the scale and stand at its ends."]
            if off
            else []
        )
    return " ".join(part for part in parts if part)
