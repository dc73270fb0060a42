"""Plots: functions of results. Each returns a matplotlib Figure, which `figure.savefig("name.pdf")` writes to a file."""

from trajectories.plots.contrasts import forest
from trajectories.plots.observed import edss_by_window, relapses
from trajectories.plots.over_time import trajectories
from trajectories.plots.stability import change, margin_curve, outcomes

__all__ = [
    "change",
    "edss_by_window",
    "forest",
    "margin_curve",
    "outcomes",
    "relapses",
    "trajectories",
]
