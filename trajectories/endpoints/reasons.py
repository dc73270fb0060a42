"""Why a candidate did not become an event, in words."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trajectories.endpoints.confirmation import days_text
from trajectories.endpoints.rules import DisabilityRule

__all__ = ["reasons"]


def reasons(rule: DisabilityRule) -> NDArray[np.object_]:
    """Write the reasons by the numbers that the scan gives them.

    Examples
    --------
    >>> reasons(DisabilityRule())[1]
    'at the last visit: no later visit to confirm it'
    """
    confirmed = rule.confirmation
    before, after = confirmed.tolerance
    windows = " or ".join(
        f"{days - before:g} days or more"
        if math.isinf(after)
        else f"{days - before:g} to {days + after:g} days"
        for days in confirmed.days
    )
    near = days_text(confirmed.clear_of_relapse)
    unfit = [f"{near} a relapse onset"] if near else []
    unfit += ["not scheduled"] if confirmed.scheduled_only else []
    lasting = (
        "to the end of follow-up"
        if math.isinf(confirmed.sustained_days)
        else f"{confirmed.sustained_days:g} days"
    )
    return np.array(
        [
            "",
            "at the last visit: no later visit to confirm it",
            f"follow-up ended too early to confirm it ({windows} later)",
            f"no visit {windows} later",
            f"no visit {windows} later could confirm it: {' or '.join(unfit)}",
            "not confirmed: did not hold at every visit up to confirmation",
            f"confirmed, but not sustained ({lasting} asked for)",
            f"{days_text(rule.event_clear_of_relapse)} a relapse onset",
            "not confirmed: did not hold at the confirming visit",
        ],
        dtype=object,
    )
