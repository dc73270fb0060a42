"""Fifty simulated patients in two arms, for fits that are refitted without single ones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pandas as pd

import trajectories as tj
from trajectories.cohort import Cohort


@cache
def fifty_patients() -> Cohort:
    """Four visits each; four EDSS levels, so that no level is one patient's alone."""
    truth = tj.OrdinalTruth(slope=0.5, arm_slope={"new": -0.5}, patient_sd=1.5)
    relapses = tj.RelapseTruth(before=1.2, after={"old": 0.8, "new": 0.4}, frailty=0.0, patient_sd=0.7)
    made = tj.simulate_cohort(
        patients={"old": 25, "new": 25}, seed=2, relapses=relapses, disability=truth,
        visits=tj.VisitSchedule(years=(0, 1, 2, 3)),
    )  # fmt: skip
    edss = pd.cut(made.visits["edss"], [-1, 1.5, 2.5, 4, 11], labels=False)
    return replace(made, visits_table=made.visits.assign(edss=edss.astype(float) + 1))
