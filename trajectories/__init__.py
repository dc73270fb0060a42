"""Disability trajectories in multiple sclerosis: longitudinal models of EDSS and relapses, with treatment as a covariate."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Public names and the modules they live in; a module is imported when one of its names is first used, so that
# `import trajectories` stays fast.
_PUBLIC = {
    "AdverseEventRates": "endpoints.safety",
    "AgainstPublished": "comparison.unanchored",
    "Balance": "weighting.balancing",
    "Benefit": "comparison.benefit",
    "Bootstrap": "comparison.bootstrap",
    "CalendarOverlap": "comparison.calendar_time",
    "CensoringWeights": "comparison.censoring",
    "Cohort": "cohort",
    "CohortError": "tables",
    "ConvergenceError": "fitting.diagnostics",
    "ConvertedMean": "comparison.quartiles",
    "CrossCheck": "fitting.cross_check",
    "Description": "description",
    "DisabilityEvents": "endpoints.events",
    "DisabilityMilestone": "endpoints.milestones",
    "DropOut": "simulate",
    "Duration": "comparison.strategies",
    "EValue": "comparison.e_values",
    "Eligible": "comparison.eligibility",
    "Estimate": "estimate",
    "EstimateSet": "estimate",
    "ExtrapolationWarning": "estimands",
    "Fit": "fitting.fit",
    "FormulaError": "formulas",
    "Imputed": "weighting.imputation",
    "InfeasibleError": "weighting.errors",
    "Influence": "fitting.influence",
    "IntentionToTreat": "comparison.strategies",
    "LeaveOneOut": "fitting.leave_one_out",
    "LikelihoodRatio": "fitting.likelihood_tests",
    "MaicError": "comparison.matching_adjusted",
    "MaicWeights": "comparison.matching_adjusted",
    "Matches": "weighting.pairs",
    "MriActivity": "endpoints.mri",
    "Multiverse": "endpoints.multiverses",
    "Neda3": "endpoints.neda",
    "NegativeControl": "comparison.negative_controls",
    "OnTreatment": "comparison.strategies",
    "OrdinalTruth": "simulate",
    "PairedTests": "paired",
    "PointFit": "fitting.point",
    "PositivityError": "weighting.errors",
    "ProfileInterval": "fitting.profiles",
    "Propensity": "weighting.scores",
    "Published": "comparison.sources",
    "PublishedArm": "comparison.sources",
    "PublishedFigureError": "comparison.figures",
    "PublishedStudy": "comparison.sources",
    "RelapseRates": "endpoints.relapse_rates",
    "RelapseTruth": "simulate",
    "Rubin": "comparison.pooling",
    "SeparationError": "weighting.errors",
    "Shrunken": "comparison.shrinkage",
    "Source": "comparison.sources",
    "Stabilisation": "estimands",
    "SummaryRateRatio": "comparison.summary_rates",
    "TargetTrial": "comparison.target_trials",
    "TimeTo": "endpoints.survival",
    "TippingPoint": "comparison.tipping_points",
    "Trim": "weighting.targets",
    "VisitDensity": "comparison.visiting",
    "VisitSchedule": "simulate",
    "VisitWeights": "comparison.visit_intensity",
    "WeightingError": "weighting.errors",
    "Weights": "weighting.values",
    "adverse_event_rates": "endpoints.safety",
    "against_published": "comparison.unanchored",
    "anchored": "comparison.anchored",
    "annualised_relapse_rate": "endpoints.relapse_rates",
    "approximate": "fitting.approximate",
    "armss": "endpoints.severity",
    "balance": "weighting.balancing",
    "benefit": "comparison.benefit",
    "calendar_overlap": "comparison.calendar_time",
    "censoring_weights": "comparison.censoring",
    "change": "estimands",
    "compare": "fitting.leave_one_out",
    "contrast": "comparison.contrasts",
    "cross_check": "fitting.cross_check",
    "describe": "description",
    "disability_events": "endpoints.events",
    "e_value": "comparison.e_values",
    "edss_at": "windows",
    "entropy_balance": "weighting.entropy",
    "event_probability": "estimands",
    "expected_edss": "estimands",
    "follow": "comparison.following",
    "impute": "weighting.imputation",
    "influence": "fitting.influence",
    "leave_one_out": "fitting.leave_one_out",
    "lesion_count": "estimands",
    "lesion_free": "estimands",
    "likelihood_ratio": "fitting.likelihood_tests",
    "load_fit": "fitting.storage",
    "maic": "comparison.matching_adjusted",
    "match": "weighting.pairs",
    "maximise": "fitting.point",
    "mean_from_quartiles": "comparison.quartiles",
    "measured_confounders": "comparison.tipping_points",
    "milestone": "endpoints.milestones",
    "mri_activity": "endpoints.mri",
    "msss": "endpoints.severity",
    "multiverse": "endpoints.multiverses",
    "neda3": "endpoints.neda",
    "negative_control": "comparison.negative_controls",
    "paired_tests": "paired",
    "pairwise_censored": "comparison.following",
    "pooled": "comparison.pooling",
    "predict": "estimands.predictions",
    "propensity": "weighting.scores",
    "rate_ratio_from_summary": "comparison.summary_rates",
    "read_cohort": "reading",
    "relapse_free": "estimands",
    "relapse_rate": "estimands",
    "relapse_windows": "windows",
    "rubin": "comparison.pooling",
    "sample": "fitting.nuts",
    "sample_prior": "fitting.nuts",
    "scheduled_only": "comparison.visiting",
    "severity_probability": "estimands",
    "shrunken": "comparison.shrinkage",
    "simulate_cohort": "simulate",
    "simulated_alemtuzumab_35": "example_cohorts",
    "simulated_three_dmts_400": "example_cohorts",
    "slope": "estimands",
    "stabilisation": "estimands",
    "target_trial": "comparison.target_trials",
    "time_to": "endpoints.survival",
    "tipping_point": "comparison.tipping_points",
    "visit_density": "comparison.visiting",
    "visit_weights": "comparison.visit_intensity",
    "weights": "weighting.targets",
    "weights_of": "weighting.by_hand",
    "with_history": "comparison.histories",
}
_MODULES = ("edss", "endpoints", "models", "plots", "priors")

# Written out, as type checkers read it without running it; tests/test_imports.py holds the lists together.
__all__ = [
    "AdverseEventRates",
    "AgainstPublished",
    "Balance",
    "Benefit",
    "Bootstrap",
    "CalendarOverlap",
    "CensoringWeights",
    "Cohort",
    "CohortError",
    "ConvergenceError",
    "ConvertedMean",
    "CrossCheck",
    "Description",
    "DisabilityEvents",
    "DisabilityMilestone",
    "DropOut",
    "Duration",
    "EValue",
    "Eligible",
    "Estimate",
    "EstimateSet",
    "ExtrapolationWarning",
    "Fit",
    "FormulaError",
    "Imputed",
    "InfeasibleError",
    "Influence",
    "IntentionToTreat",
    "LeaveOneOut",
    "LikelihoodRatio",
    "MaicError",
    "MaicWeights",
    "Matches",
    "MriActivity",
    "Multiverse",
    "Neda3",
    "NegativeControl",
    "OnTreatment",
    "OrdinalTruth",
    "PairedTests",
    "PointFit",
    "PositivityError",
    "ProfileInterval",
    "Propensity",
    "Published",
    "PublishedArm",
    "PublishedFigureError",
    "PublishedStudy",
    "RelapseRates",
    "RelapseTruth",
    "Rubin",
    "SeparationError",
    "Shrunken",
    "Source",
    "Stabilisation",
    "SummaryRateRatio",
    "TargetTrial",
    "TimeTo",
    "TippingPoint",
    "Trim",
    "VisitDensity",
    "VisitSchedule",
    "VisitWeights",
    "WeightingError",
    "Weights",
    "adverse_event_rates",
    "against_published",
    "anchored",
    "annualised_relapse_rate",
    "approximate",
    "armss",
    "balance",
    "benefit",
    "calendar_overlap",
    "censoring_weights",
    "change",
    "compare",
    "contrast",
    "cross_check",
    "describe",
    "disability_events",
    "e_value",
    "edss",
    "edss_at",
    "endpoints",
    "entropy_balance",
    "event_probability",
    "expected_edss",
    "follow",
    "impute",
    "influence",
    "leave_one_out",
    "lesion_count",
    "lesion_free",
    "likelihood_ratio",
    "load_fit",
    "maic",
    "match",
    "maximise",
    "mean_from_quartiles",
    "measured_confounders",
    "milestone",
    "models",
    "mri_activity",
    "msss",
    "multiverse",
    "neda3",
    "negative_control",
    "paired_tests",
    "pairwise_censored",
    "plots",
    "pooled",
    "predict",
    "priors",
    "propensity",
    "rate_ratio_from_summary",
    "read_cohort",
    "relapse_free",
    "relapse_rate",
    "relapse_windows",
    "rubin",
    "sample",
    "sample_prior",
    "scheduled_only",
    "severity_probability",
    "shrunken",
    "simulate_cohort",
    "simulated_alemtuzumab_35",
    "simulated_three_dmts_400",
    "slope",
    "stabilisation",
    "target_trial",
    "time_to",
    "tipping_point",
    "visit_density",
    "visit_weights",
    "weights",
    "weights_of",
    "with_history",
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
    from trajectories.comparison.anchored import anchored
    from trajectories.comparison.benefit import Benefit, benefit
    from trajectories.comparison.bootstrap import Bootstrap
    from trajectories.comparison.calendar_time import CalendarOverlap, calendar_overlap
    from trajectories.comparison.censoring import CensoringWeights, censoring_weights
    from trajectories.comparison.contrasts import contrast
    from trajectories.comparison.e_values import EValue, e_value
    from trajectories.comparison.eligibility import Eligible
    from trajectories.comparison.figures import PublishedFigureError
    from trajectories.comparison.following import follow, pairwise_censored
    from trajectories.comparison.histories import with_history
    from trajectories.comparison.matching_adjusted import MaicError, MaicWeights, maic
    from trajectories.comparison.negative_controls import NegativeControl, negative_control
    from trajectories.comparison.pooling import Rubin, pooled, rubin
    from trajectories.comparison.quartiles import ConvertedMean, mean_from_quartiles
    from trajectories.comparison.shrinkage import Shrunken, shrunken
    from trajectories.comparison.sources import Published, PublishedArm, PublishedStudy, Source
    from trajectories.comparison.strategies import Duration, IntentionToTreat, OnTreatment
    from trajectories.comparison.summary_rates import SummaryRateRatio, rate_ratio_from_summary
    from trajectories.comparison.target_trials import TargetTrial, target_trial
    from trajectories.comparison.tipping_points import TippingPoint, measured_confounders, tipping_point
    from trajectories.comparison.unanchored import AgainstPublished, against_published
    from trajectories.comparison.visit_intensity import VisitWeights, visit_weights
    from trajectories.comparison.visiting import VisitDensity, scheduled_only, visit_density
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
        event_probability,
        expected_edss,
        lesion_count,
        lesion_free,
        relapse_free,
        relapse_rate,
        severity_probability,
        slope,
        stabilisation,
    )
    from trajectories.estimands.predictions import predict
    from trajectories.estimate import Estimate, EstimateSet
    from trajectories.example_cohorts import simulated_alemtuzumab_35, simulated_three_dmts_400
    from trajectories.fitting.approximate import approximate
    from trajectories.fitting.cross_check import CrossCheck, cross_check
    from trajectories.fitting.diagnostics import ConvergenceError
    from trajectories.fitting.fit import Fit
    from trajectories.fitting.influence import Influence, influence
    from trajectories.fitting.leave_one_out import LeaveOneOut, compare, leave_one_out
    from trajectories.fitting.likelihood_tests import LikelihoodRatio, likelihood_ratio
    from trajectories.fitting.nuts import sample, sample_prior
    from trajectories.fitting.point import PointFit, maximise
    from trajectories.fitting.profiles import ProfileInterval
    from trajectories.fitting.storage import load_fit
    from trajectories.formulas import FormulaError
    from trajectories.paired import PairedTests, paired_tests
    from trajectories.reading import read_cohort
    from trajectories.simulate import DropOut, OrdinalTruth, RelapseTruth, VisitSchedule, simulate_cohort
    from trajectories.tables import CohortError
    from trajectories.weighting.balancing import Balance, balance
    from trajectories.weighting.by_hand import weights_of
    from trajectories.weighting.entropy import entropy_balance
    from trajectories.weighting.errors import (
        InfeasibleError,
        PositivityError,
        SeparationError,
        WeightingError,
    )
    from trajectories.weighting.imputation import Imputed, impute
    from trajectories.weighting.pairs import Matches, match
    from trajectories.weighting.scores import Propensity, propensity
    from trajectories.weighting.targets import Trim, weights
    from trajectories.weighting.values import Weights
    from trajectories.windows import edss_at, relapse_windows
