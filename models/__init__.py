"""The model specifications: what is estimated, from which formula, with which priors."""

if __name__ != "trajectories.models":
    raise ImportError(
        "the folder models/ is installed as trajectories.models: write 'from trajectories import models' "
        f"(it was imported here as {__name__!r})"
    )

from trajectories.models.ordinal import OrdinalMixed, OrdinalPriors

__all__ = ["OrdinalMixed", "OrdinalPriors"]
