"""Priors of the fixed terms: one rule for all, single terms by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from trajectories.formulas import FormulaError
from trajectories.models.base import Scaling
from trajectories.priors import Prior, check_location

__all__ = ["CoefficientPriors", "coefficient_priors"]


@dataclass(frozen=True, kw_only=True)
class CoefficientPriors:
    """Priors of the coefficients: `coefficients` per standard deviation of a column, `terms` by name in the user's units."""

    coefficients: Prior
    terms: Mapping[str, Prior]


def coefficient_priors(priors: CoefficientPriors, terms: tuple[str, ...], scaling: Scaling) -> list[Prior]:
    """Return the prior of each coefficient per standard deviation of its column, in the order of `terms`.

    Raises
    ------
    FormulaError
        If `priors.terms` names a term that the formula does not have.
    """
    check_location("coefficients", priors.coefficients)
    for name, prior in priors.terms.items():
        check_location(f"terms[{name!r}]", prior)
        if name not in terms:
            raise FormulaError(
                f"there is a prior for {name!r}, but the formula's terms are: {', '.join(terms) or 'none'}."
            )
    return [
        priors.terms[name].rescaled(float(sd)) if name in priors.terms else priors.coefficients
        for name, sd in zip(terms, scaling.sd, strict=True)
    ]
