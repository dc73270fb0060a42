"""Estimands: what a reader asks about, averaged over patients and standardised over a stated population."""

from trajectories.estimands.lesions import lesion_count, lesion_free
from trajectories.estimands.outcomes import Stabilisation, stabilisation
from trajectories.estimands.over_time import (
    change,
    event_probability,
    expected_edss,
    severity_probability,
    slope,
)
from trajectories.estimands.population import ExtrapolationWarning
from trajectories.estimands.rates import relapse_free, relapse_rate

__all__ = [
    "ExtrapolationWarning",
    "Stabilisation",
    "change",
    "event_probability",
    "expected_edss",
    "lesion_count",
    "lesion_free",
    "relapse_free",
    "relapse_rate",
    "severity_probability",
    "slope",
    "stabilisation",
]
