"""Plots: functions of results. Each returns a matplotlib Figure, which `figure.savefig("name.pdf")` writes to a file."""

from trajectories.plots.balance import love, overlap
from trajectories.plots.benefit import benefit
from trajectories.plots.beside import beside_published
from trajectories.plots.calendar_time import calendar_years
from trajectories.plots.contrasts import forest
from trajectories.plots.influence import influence
from trajectories.plots.multiverses import multiverse
from trajectories.plots.observed import edss_by_window, relapses
from trajectories.plots.over_time import trajectories
from trajectories.plots.pages import page
from trajectories.plots.predictive import posterior_predictive, prior_predictive
from trajectories.plots.proportional import proportional_odds
from trajectories.plots.sampling import diagnostics, pairs
from trajectories.plots.shares import outcomes
from trajectories.plots.stability import change, margin_curve
from trajectories.plots.survival import cumulative_incidence, kaplan_meier
from trajectories.plots.tipping import tipping_point

__all__ = [
    "benefit",
    "beside_published",
    "calendar_years",
    "change",
    "cumulative_incidence",
    "diagnostics",
    "edss_by_window",
    "forest",
    "influence",
    "kaplan_meier",
    "love",
    "margin_curve",
    "multiverse",
    "outcomes",
    "overlap",
    "page",
    "pairs",
    "posterior_predictive",
    "prior_predictive",
    "proportional_odds",
    "relapses",
    "tipping_point",
    "trajectories",
]
