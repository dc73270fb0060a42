"""Weights that make arms comparable: propensity scores, entropy balancing, matching, and how balanced they leave the arms."""

from trajectories.weighting.balancing import Balance, balance
from trajectories.weighting.by_hand import weights_of
from trajectories.weighting.donors import SparseDonorsWarning
from trajectories.weighting.entropy import entropy_balance
from trajectories.weighting.errors import InfeasibleError, PositivityError, SeparationError, WeightingError
from trajectories.weighting.pairs import Matches, match
from trajectories.weighting.scores import Propensity, propensity
from trajectories.weighting.targets import Trim, weights
from trajectories.weighting.values import Weights

__all__ = [
    "Balance",
    "InfeasibleError",
    "Matches",
    "PositivityError",
    "Propensity",
    "SeparationError",
    "SparseDonorsWarning",
    "Trim",
    "WeightingError",
    "Weights",
    "balance",
    "entropy_balance",
    "match",
    "propensity",
    "weights",
    "weights_of",
]
