"""Disability trajectories in multiple sclerosis: longitudinal models of EDSS and relapses, with treatment as a covariate."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Public names and the modules they live in; a module is imported when one of its names is first used, so that
# `import trajectories` stays fast.
_PUBLIC = {
    "AdverseEventRates": "endpoints.safety",
    "Cohort": "cohort",
    "CohortError": "tables",
    "ConvergenceError": "fitting.diagnostics",
    "CrossCheck": "fitting.cross_check",
    "Description": "description",
    "DisabilityEvents": "endpoints.events",
    "DisabilityMilestone": "endpoints.milestones",
    "DropOut": "simulate",
    "Estimate": "estimate",
    "EstimateSet": "estimate",
    "ExtrapolationWarning": "estimands",
    "Fit": "fitting.fit",
    "FormulaError": "formulas",
    "Influence": "fitting.influence",
    "LeaveOneOut": "fitting.leave_one_out",
    "LikelihoodRatio": "fitting.likelihood_tests",
    "MriActivity": "endpoints.mri",
    "Multiverse": "endpoints.multiverses",
    "Neda3": "endpoints.neda",
    "OrdinalTruth": "simulate",
    "PairedTests": "paired",
    "PointFit": "fitting.point",
    "ProfileInterval": "fitting.likelihood_tests",
    "RelapseRates": "endpoints.relapse_rates",
    "RelapseTruth": "simulate",
    "Stabilisation": "estimands",
    "TimeTo": "endpoints.survival",
    "VisitSchedule": "simulate",
    "adverse_event_rates": "endpoints.safety",
    "annualised_relapse_rate": "endpoints.relapse_rates",
    "approximate": "fitting.approximate",
    "armss": "endpoints.severity",
    "change": "estimands",
    "compare": "fitting.leave_one_out",
    "contrast": "estimands",
    "cross_check": "fitting.cross_check",
    "describe": "description",
    "disability_events": "endpoints.events",
    "edss_at": "windows",
    "expected_edss": "estimands",
    "influence": "fitting.influence",
    "leave_one_out": "fitting.leave_one_out",
    "lesion_count": "estimands",
    "lesion_free": "estimands",
    "likelihood_ratio": "fitting.likelihood_tests",
    "load_fit": "fitting.storage",
    "maximise": "fitting.point",
    "milestone": "endpoints.milestones",
    "mri_activity": "endpoints.mri",
    "msss": "endpoints.severity",
    "multiverse": "endpoints.multiverses",
    "neda3": "endpoints.neda",
    "paired_tests": "paired",
    "read_cohort": "reading",
    "relapse_free": "estimands",
    "relapse_rate": "estimands",
    "relapse_windows": "windows",
    "sample": "fitting.nuts",
    "sample_prior": "fitting.nuts",
    "severity_probability": "estimands",
    "simulate_cohort": "simulate",
    "simulated_alemtuzumab_35": "example_cohorts",
    "simulated_three_dmts_400": "example_cohorts",
    "slope": "estimands",
    "stabilisation": "estimands",
    "time_to": "endpoints.survival",
}
_MODULES = ("edss", "endpoints", "models", "plots", "priors")

# Written out, as type checkers read it without running it; tests/test_imports.py holds the lists together.
__all__ = [
    "AdverseEventRates",
    "Cohort",
    "CohortError",
    "ConvergenceError",
    "CrossCheck",
    "Description",
    "DisabilityEvents",
    "DisabilityMilestone",
    "DropOut",
    "Estimate",
    "EstimateSet",
    "ExtrapolationWarning",
    "Fit",
    "FormulaError",
    "Influence",
    "LeaveOneOut",
    "LikelihoodRatio",
    "MriActivity",
    "Multiverse",
    "Neda3",
    "OrdinalTruth",
    "PairedTests",
    "PointFit",
    "ProfileInterval",
    "RelapseRates",
    "RelapseTruth",
    "Stabilisation",
    "TimeTo",
    "VisitSchedule",
    "adverse_event_rates",
    "annualised_relapse_rate",
    "approximate",
    "armss",
    "change",
    "compare",
    "contrast",
    "cross_check",
    "describe",
    "disability_events",
    "edss",
    "edss_at",
    "endpoints",
    "expected_edss",
    "influence",
    "leave_one_out",
    "lesion_count",
    "lesion_free",
    "likelihood_ratio",
    "load_fit",
    "maximise",
    "milestone",
    "models",
    "mri_activity",
    "msss",
    "multiverse",
    "neda3",
    "paired_tests",
    "plots",
    "priors",
    "read_cohort",
    "relapse_free",
    "relapse_rate",
    "relapse_windows",
    "sample",
    "sample_prior",
    "severity_probability",
    "simulate_cohort",
    "simulated_alemtuzumab_35",
    "simulated_three_dmts_400",
    "slope",
    "stabilisation",
    "time_to",
]


if not TYPE_CHECKING:  # a type checker that saw it would let every misspelt name pass

    def __getattr__(name: str) -> Any:
        if name in _PUBLIC:
            return getattr(importlib.import_module(f"trajectories.{_PUBLIC[name]}"), name)
        if name in _MODULES:
            return importlib.import_module(f"trajectories.{name}")
        raise AttributeError(f"module 'trajectories' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from trajectories import edss, endpoints, models, plots, priors
    from trajectories.cohort import Cohort
    from trajectories.description import Description, describe
    from trajectories.endpoints.events import DisabilityEvents, disability_events
    from trajectories.endpoints.milestones import DisabilityMilestone, milestone
    from trajectories.endpoints.mri import MriActivity, mri_activity
    from trajectories.endpoints.multiverses import Multiverse, multiverse
    from trajectories.endpoints.neda import Neda3, neda3
    from trajectories.endpoints.relapse_rates import RelapseRates, annualised_relapse_rate
    from trajectories.endpoints.safety import AdverseEventRates, adverse_event_rates
    from trajectories.endpoints.severity import armss, msss
    from trajectories.endpoints.survival import TimeTo, time_to
    from trajectories.estimands import (
        ExtrapolationWarning,
        Stabilisation,
        change,
        contrast,
        expected_edss,
        lesion_count,
        lesion_free,
        relapse_free,
        relapse_rate,
        severity_probability,
        slope,
        stabilisation,
    )
    from trajectories.estimate import Estimate, EstimateSet
    from trajectories.example_cohorts import simulated_alemtuzumab_35, simulated_three_dmts_400
    from trajectories.fitting.approximate import approximate
    from trajectories.fitting.cross_check import CrossCheck, cross_check
    from trajectories.fitting.diagnostics import ConvergenceError
    from trajectories.fitting.fit import Fit
    from trajectories.fitting.influence import Influence, influence
    from trajectories.fitting.leave_one_out import LeaveOneOut, compare, leave_one_out
    from trajectories.fitting.likelihood_tests import LikelihoodRatio, ProfileInterval, likelihood_ratio
    from trajectories.fitting.nuts import sample, sample_prior
    from trajectories.fitting.point import PointFit, maximise
    from trajectories.fitting.storage import load_fit
    from trajectories.formulas import FormulaError
    from trajectories.paired import PairedTests, paired_tests
    from trajectories.reading import read_cohort
    from trajectories.simulate import DropOut, OrdinalTruth, RelapseTruth, VisitSchedule, simulate_cohort
    from trajectories.tables import CohortError
    from trajectories.windows import edss_at, relapse_windows
