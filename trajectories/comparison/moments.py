"""What of a covariate is set equal to a published figure: mean, second moment, share, half at or below the median."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from trajectories.comparison.figures import (
    Figure,
    Mean,
    MeanInterval,
    MeanSD,
    PublishedFigureError,
    Quartiles,
    Share,
)
from trajectories.comparison.quartiles import ConvertedMean
from trajectories.comparison.sources import Published

__all__ = ["Moments", "Targets", "moments_of"]

type Targets = Mapping[str, Published | Figure]


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """Values of each patient and what their weighted mean shall be.

    Fields: `values` (patients × moments, columns (covariate, moment), NaN where missing), `targets` (same columns), `notes`.
    """

    values: pd.DataFrame
    targets: pd.Series
    notes: tuple[str, ...]

    def table(self, x: pd.DataFrame, weights: pd.Series, sd: pd.Series) -> pd.DataFrame:
        """Means before and after weighting; one row a moment."""
        after = np.average(x.to_numpy(), axis=0, weights=weights.to_numpy())
        names = self.values.columns
        return pd.DataFrame(
            {
                "covariate": names.get_level_values(0),
                "moment": names.get_level_values(1),
                "before": x.mean().to_numpy(),
                "target": self.targets.to_numpy(),
                "after": after,
                "sd": sd.to_numpy(),
            }
        )


def moments_of(patients: pd.DataFrame, figures: Mapping[str, Figure], error: type[ValueError]) -> Moments:
    """Turn figures into moments of the patients' columns."""
    columns: dict[tuple[str, str], pd.Series] = {}
    targets: list[float] = []
    notes: list[str] = []
    for name, figure in figures.items():
        if name not in patients.columns:
            known = ", ".join(str(column) for column in patients.columns)
            raise error(f"the cohort has no covariate {name!r}; it has: {known}.")
        for moment, values, target in _moments(name, patients[name], figure, notes, error):
            columns[name, moment] = values
            targets.append(target)
    frame = pd.DataFrame(columns, index=patients.index)
    frame.columns = pd.MultiIndex.from_tuples(list(columns), names=["covariate", "moment"])
    return Moments(values=frame, targets=pd.Series(targets, index=frame.columns), notes=tuple(notes))


def _moments(
    name: str, column: pd.Series, figure: Figure, notes: list[str], error: type[ValueError]
) -> list[tuple[str, pd.Series, float]]:
    if isinstance(figure, Share):
        return [_share(name, column, figure, error)]
    if not pd.api.types.is_numeric_dtype(column):
        raise error(
            f"{name!r} holds no numbers, so {figure.kind} cannot be matched: give a Share with its level."
        )
    x = column.astype("float64")
    if isinstance(figure, Quartiles):
        return [_median(name, x, figure.median, notes)]
    if isinstance(figure, Mean | MeanInterval):
        return [("mean", x, figure.mean)]
    if isinstance(figure, MeanSD | ConvertedMean):
        # centred on the target: the same equations, better conditioned
        return [("mean", x, figure.mean), ("variance about it", (x - figure.mean) ** 2, figure.sd**2)]
    raise PublishedFigureError(f"{name}: {figure.kind} cannot be matched; give a mean, a share or a median.")


def _share(
    name: str, column: pd.Series, figure: Share, error: type[ValueError]
) -> tuple[str, pd.Series, float]:
    if figure.level is None:
        raise PublishedFigureError(
            f"{name}: say whom the share counts, such as Share(share=0.65, level='F')."
        )
    text = column.map(str, na_action="ignore").astype(object)
    if figure.level not in set(text.dropna()):
        raise error(
            f"no patient has {name} {figure.level!r}; there are: {', '.join(sorted(set(text.dropna())))}."
        )
    values = (text == figure.level).astype("float64").where(column.notna())
    return f"share {figure.level}", values, figure.share


def _median(name: str, x: pd.Series, median: float, notes: list[str]) -> tuple[str, pd.Series, float]:
    ties = int((x == median).sum())
    notes.append(
        f"The median of {name} is matched as half of the patients at or below {median:g}"
        + (
            f"; {ties} patients are exactly there, so this is only near the published median."
            if ties
            else "."
        )
    )
    return f"share ≤ {median:g}", (x <= median).astype("float64").where(x.notna()), 0.5
