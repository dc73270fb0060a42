"""What is not offered for effects of groups of patients, `(1 | centre)`, refused by name."""

from __future__ import annotations

from trajectories.models.design import Design

__all__ = ["refuse_groups"]


def refuse_groups(design: Design, what: str, remedy: str = "use tj.sample for this model") -> None:
    """Raise a NotImplementedError if the formula has groups beside the patient; `what` is not offered with them, and what is instead."""
    if not design.groups:
        return
    name = design.groups[0].name
    raise NotImplementedError(
        f"{what} is not offered with '(1 | {name})', as in {design.formula.text!r}: {remedy}, or write {name} as a "
        f"covariate, '… + {name}', in place of '(1 | {name})'."
    )
