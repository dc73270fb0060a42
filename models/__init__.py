"""The model specifications: what is estimated, from which formula, with which priors."""

if __name__ != "trajectories.models":
    raise ImportError(
        "the folder models/ is installed as trajectories.models: write 'from trajectories import models' "
        f"(it was imported here as {__name__!r})"
    )

from trajectories.models.binary import BinaryMixed, BinaryPriors
from trajectories.models.gaussian import GaussianMixed, GaussianPriors
from trajectories.models.lesions import LesionCounts, LesionPriors
from trajectories.models.ordinal import OrdinalMixed, OrdinalPriors
from trajectories.models.relapses import RelapseCounts, RelapsePriors

__all__ = [
    "BinaryMixed",
    "BinaryPriors",
    "GaussianMixed",
    "GaussianPriors",
    "LesionCounts",
    "LesionPriors",
    "OrdinalMixed",
    "OrdinalPriors",
    "RelapseCounts",
    "RelapsePriors",
]
