"""Estimates: draws with their unit and their definition in one sentence, and what to say of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from trajectories.caveats import converged, warning_lines
from trajectories.printing import chance

__all__ = ["Estimate", "EstimateSet", "Question", "check_ci", "normal_limit", "rounded"]

SAMPLE = ("chain", "draw")


def check_ci(ci: float) -> None:
    """Raise a ValueError unless ci is a probability between 0 and 1."""
    if not 0 < ci < 1:
        raise ValueError(f"ci must be between 0 and 1, such as 0.95, not {ci}.")


def normal_limit(ci: float) -> float:
    """How many standard errors a two-sided normal interval of this probability reaches to either side.

    >>> round(normal_limit(0.95), 2)
    1.96
    """
    from scipy.special import ndtri

    return float(ndtri((1 + ci) / 2))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Question:
    """What an estimate answers, so that it can be asked of another fit or target population.

    Parameters
    ----------
    verb
        The function that made it, such as `change`.
    fit
        Of what it was asked.
    options
        The other arguments, by name.
    """

    verb: Callable[..., Any]
    fit: Any
    options: Mapping[str, Any]

    def again(self) -> Estimate:
        """Ask it; of another fit, or with other options, after `dataclasses.replace`."""
        made: Estimate = self.verb(self.fit, **self.options)
        return made


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Estimate:
    """A quantity with its uncertainty: draws, unit and definition.

    Parameters
    ----------
    name
        What it is, short: "change in EDSS".
    draws
        Draws: chain × draw × named dims such as `arm`, `years`.
    unit
        "EDSS points", "relapses per person-year", "probability", ….
    definition
        One sentence: what is estimated, in whom.
    source
        What the draws are: posterior draws, normal approximation to the maximum-likelihood estimate, ….
    caveats
        Sentences that belong to every report of it.
    null
        The value that stands for no effect, where there is one: 0 for differences, 1 for ratios.
    higher_is_worse
        Whether a higher value is worse for patients, as figures say beside the axis.
    asked
        The question it answers, where it is an estimand of a fit.

    Examples
    --------
    >>> draws = xr.DataArray(np.arange(100.0).reshape(1, 100, 1), dims=("chain", "draw", "arm"), coords={"arm": ["a"]})
    >>> change = Estimate(name="change", draws=draws, unit="points", definition="An example.", source="made up")
    >>> change.probability(below=50)
    arm
    a    0.5
    Name: Pr(< 50), dtype: float64
    """

    name: str
    draws: xr.DataArray = field(repr=False)
    unit: str
    definition: str
    source: str
    caveats: tuple[str, ...] = ()
    null: float | None = None
    higher_is_worse: bool = False
    asked: Question | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.draws.dims[:2] != SAMPLE:
            raise ValueError(f"draws must have dims chain, draw, … in this order, not {self.draws.dims}.")

    def summary(self, ci: float = 0.95) -> pd.DataFrame:
        """Summarise the draws: one row a cell of the named dims.

        Parameters
        ----------
        ci
            Probability of the equal-tailed interval.

        Returns
        -------
        A frame with columns `mean`, `sd`, `median`, `lower`, `upper`, and `Pr(> null)` where there is a null; `attrs` hold unit,
        definition, kind of interval and caveats. Where the sampler did not converge a column `converged` is False.

        Raises
        ------
        ValueError
            If `ci` is no probability.

        Examples
        --------
        >>> draws = xr.DataArray(np.arange(101.0).reshape(1, 101), dims=("chain", "draw"))
        >>> made_up = Estimate(name="x", draws=draws, unit="points", definition="An example.", source="made up")
        >>> made_up.summary(ci=0.9)[["mean", "lower", "upper"]]
          mean  lower  upper
          50.0    5.0   95.0
        """
        check_ci(ci)
        lower, upper = (
            self.draws.quantile(q, dim=SAMPLE, skipna=False).drop_vars("quantile")
            for q in ((1 - ci) / 2, (1 + ci) / 2)
        )
        columns = {
            "mean": self.draws.mean(SAMPLE, skipna=False),
            "sd": self.draws.std(SAMPLE, ddof=1, skipna=False),
            "median": self.draws.median(SAMPLE, skipna=False),
            "lower": lower,
            "upper": upper,
        }
        if self.null is not None:
            columns[f"Pr(> {self.null:g})"] = _share(self.draws > self.null, self.draws)
        frame = _marked(_frame(columns), self.caveats)
        frame.attrs.update(
            estimate=self.name,
            unit=self.unit,
            definition=self.definition,
            interval=f"{ci:.0%} equal-tailed interval of {self.source}",
            caveats=list(self.caveats),
        )
        return frame

    def probability(
        self,
        *,
        below: float | None = None,
        above: float | None = None,
        within: float | tuple[float, float] | None = None,
    ) -> pd.Series:
        """Probability that the quantity lies below, above or within bounds (one of the three).

        Parameters
        ----------
        below, above
            Pr(quantity < below), Pr(quantity > above).
        within
            A number m for Pr(|quantity| < m), or (low, high) for Pr(low < quantity < high).

        Returns
        -------
        A series, one value a cell of the named dims (a single one has an empty index name); missing where a draw is missing.

        Raises
        ------
        ValueError
            If not exactly one of the three is given, or the range is empty.

        Examples
        --------
        >>> draws = xr.DataArray(np.arange(-50.0, 50.0).reshape(1, 100), dims=("chain", "draw"))
        >>> made_up = Estimate(name="x", draws=draws, unit="points", definition="An example.", source="made up")
        >>> made_up.probability(within=10).item()
        0.19
        """
        given = [value for value in (below, above, within) if value is not None]
        if len(given) != 1:
            raise ValueError("give one of below=, above=, within=.")
        if below is not None:
            event, name = self.draws < below, f"Pr(< {below:g})"
        elif above is not None:
            event, name = self.draws > above, f"Pr(> {above:g})"
        else:
            low, high = within if isinstance(within, tuple) else (-_positive(within), _positive(within))
            if not low < high:
                raise ValueError(
                    f"within must be a positive number or (low, high) with low < high, not {within}."
                )
            event, name = (self.draws > low) & (self.draws < high), f"Pr({low:g} < · < {high:g})"
        return _frame({name: _share(event, self.draws)})[name]

    def to_frame(self) -> pd.DataFrame:
        """Return the draws as a long frame: one row a draw and cell, column `value`; `converged` is False if the sampler did not.

        Examples
        --------
        >>> draws = xr.DataArray([[1.0, 2.0]], dims=("chain", "draw"))
        >>> made_up = Estimate(name="x", draws=draws, unit="points", definition="An example.", source="made up")
        >>> made_up.to_frame()
           chain  draw  value
        0      0     0    1.0
        1      0     1    2.0
        """
        return _marked(self.draws.rename("value").to_dataframe().reset_index(), self.caveats)

    def __str__(self) -> str:
        summary = self.summary()
        notes = "".join(f"\n  - {note}" for note in self.caveats)
        return (
            f"{warning_lines(self.caveats)}{self.name} ({self.unit}): {self.definition}\n{_printed(summary)}\n"
            f"  lower, upper: {summary.attrs['interval']}{notes}"
        )

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class EstimateSet:
    """Several estimates that belong together; `set["change"]` is one of them.

    Parameters
    ----------
    title
        What they answer together.
    estimates
        By name.

    Examples
    --------
    >>> draws = xr.DataArray([[1.0, 2.0]], dims=("chain", "draw"))
    >>> made_up = Estimate(name="x", draws=draws, unit="points", definition="An example.", source="made up")
    >>> EstimateSet(title="One alone", estimates={"x": made_up}).summary()["mean"].item()
    1.5
    """

    title: str
    estimates: Mapping[str, Estimate]

    def __getitem__(self, name: str) -> Estimate:
        return self.estimates[name]

    def summary(self, ci: float = 0.95) -> pd.DataFrame:
        """Summarise all: one row an estimate and cell, with its unit; `converged` says which did not, if any did not.

        Parameters
        ----------
        ci
            Probability of the equal-tailed intervals.
        """
        parts = []
        for name, estimate in self.estimates.items():
            part = estimate.summary(ci)
            labels = [
                " ".join(str(p) for p in np.atleast_1d(np.asarray(i, dtype=object)) if str(p))
                for i in part.index
            ]
            part.insert(0, "unit", estimate.unit)
            part.index = pd.Index(
                [f"{name}: {label}" if label else name for label in labels], name="quantity"
            )
            parts.append(part)
        frame = pd.concat(parts)
        if "converged" in frame:
            frame["converged"] = frame.pop("converged").isna()  # those that converged had no such column
        frame.attrs.update(
            title=self.title,
            definitions={name: estimate.definition for name, estimate in self.estimates.items()},
            interval=parts[0].attrs["interval"],
            caveats=list(dict.fromkeys(c for e in self.estimates.values() for c in e.caveats)),
        )
        return frame

    def __str__(self) -> str:
        summary = self.summary()
        definitions = "".join(f"\n  {name}: {text}" for name, text in summary.attrs["definitions"].items())
        notes = "".join(f"\n  - {note}" for note in summary.attrs["caveats"])
        return (
            f"{warning_lines(c for e in self.estimates.values() for c in e.caveats)}"
            f"{self.title}{definitions}\n{_printed(summary, missing='')}\n"
            f"  lower, upper: {summary.attrs['interval']}{notes}"
        )

    def __repr__(self) -> str:
        return str(self)


def _marked(frame: pd.DataFrame, caveats: tuple[str, ...]) -> pd.DataFrame:
    """Add a column that survives a written file and a selection of rows, which `attrs` do not."""
    return frame if converged(caveats) else frame.assign(converged=False)


def _printed(summary: pd.DataFrame, missing: str = "NaN") -> str:
    """Write a summary; whether the sampler converged is said in words above it."""
    return rounded(summary.drop(columns="converged", errors="ignore")).to_string(na_rep=missing)


def rounded(frame: pd.DataFrame) -> pd.DataFrame:
    """Round for a print: numbers to three decimals, and probabilities of events, whose columns are called `Pr(…)`, never to 0 or 1."""
    made = frame.round(3)
    for name in made.columns:
        if str(name).startswith("Pr("):
            made[name] = [chance(float(value)) for value in frame[name]]
    return made


def _positive(within: float | None) -> float:
    if within is None or not within > 0:
        raise ValueError(f"within must be a positive number or (low, high), not {within}.")
    return within


def _share(event: xr.DataArray, draws: xr.DataArray) -> xr.DataArray:
    """Share of draws with the event; missing where a draw is missing, never counted as no."""
    return event.where(draws.notnull()).mean(SAMPLE, skipna=False)


def _frame(columns: Mapping[str, xr.DataArray]) -> pd.DataFrame:
    dims = next(iter(columns.values())).dims
    if not dims:
        return pd.DataFrame(
            {name: [float(array)] for name, array in columns.items()}, index=pd.Index([""], name="")
        )
    series = {name: array.to_series() for name, array in columns.items()}
    return pd.DataFrame(series)
