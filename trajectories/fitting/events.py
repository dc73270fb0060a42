"""Whether a binary outcome determines the parameters of a mixed model: separation, by a linear programme."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trajectories.fitting.count_likelihood import rising_terms
from trajectories.models.design import Design, Floats, Ints, Scaling

__all__ = ["check_events", "separating_terms"]


def check_events(design: Design, event: str) -> None:
    """Raise a ValueError if the likelihood of a binary outcome with patient effects rises for ever.

    Under separation along some terms, as with an arm without an event; and in the patients' standard deviation if nobody has an event at
    one visit and none at another. `event` says in words what the event is.
    """
    events = design.outcome.astype(np.int64)
    remedy = "Leave {} out, or use tj.sample, whose priors keep the estimates finite."
    without = separating_terms(events, design.formula.matrices.X, design.terms)
    if without:
        arms = _arms_without_change(design, events, event)
        raise ValueError(
            f"no estimate exists: {arms}along {', '.join(without)} the rows with {event} and those without are separated, and a log odds "
            f"ratio would be infinite. {remedy.format('it' if len(without) == 1 else 'one of them')}"
        )
    share = np.bincount(design.patient, weights=events) / np.bincount(design.patient)
    if not ((share > 0) & (share < 1)).any():
        raise ValueError(
            f"no patient has {event} at one visit and not at another, so the patients' standard deviation would be infinite. For a state that "
            "nobody leaves take the time to it (tj.time_to); or use tj.sample, whose priors keep the estimates finite."
        )


def _arms_without_change(design: Design, events: Ints, event: str) -> str:
    said = []
    for arm in design.arms if design.compares_arms else ():
        inside = events[(design.frame["arm"].astype(str) == arm).to_numpy()]
        if not inside.any():
            said.append(f"no visit of arm {arm} has {event}; ")
        elif inside.all():
            said.append(f"every visit of arm {arm} has {event}; ")
    return "".join(said)


def separating_terms(events: Ints, X: Floats, terms: Sequence[str]) -> tuple[str, ...]:
    """Name the terms along which 0 and 1 are separated, so that the likelihood of a binary regression rises for ever.

    A maximum exists unless some direction d, the intercept's among them, has Xd ≥ 0 in every row with an event and Xd ≤ 0 in every row
    without, not all 0; a linear programme finds such a direction. Patient effects do not change this.

    Returns
    -------
    The terms in the direction found, or "intercept"; empty if there is a maximum.

    Source: Albert and Anderson (1984), Biometrika 71:1, doi:10.1093/biomet/71.1.1; the linear programme is that of Konis (2007), DPhil
    thesis, University of Oxford.

    >>> separating_terms(np.array([0, 1, 0, 0]), np.array([[0.0], [0.0], [1.0], [1.0]]), ("arm[b]",))
    ('arm[b]',)
    """
    columns = (
        np.column_stack([np.ones(len(X)), Scaling.of(X).apply(X)]) if X.shape[1] else np.ones((len(X), 1))
    )
    lowered = np.unique(np.where(events[:, None] > 0, -columns, columns), axis=0)
    return rising_terms(lowered, columns[:0], terms)
