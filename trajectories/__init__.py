"""Disability trajectories in multiple sclerosis: longitudinal models of EDSS and relapses, with treatment as a covariate."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Public names and the modules they live in; a module is imported when one of its names is first used, so that
# `import trajectories` stays fast.
_PUBLIC = {
    "Cohort": "cohort",
    "CohortError": "tables",
    "ConvergenceError": "fitting.diagnostics",
    "Description": "description",
    "Estimate": "estimate",
    "EstimateSet": "estimate",
    "ExtrapolationWarning": "estimands",
    "Fit": "fitting.fit",
    "FormulaError": "formulas",
    "PairedTests": "paired",
    "Stabilisation": "estimands",
    "PointFit": "fitting.point",
    "DropOut": "simulate",
    "OrdinalTruth": "simulate",
    "RelapseTruth": "simulate",
    "VisitSchedule": "simulate",
    "change": "estimands",
    "contrast": "estimands",
    "describe": "description",
    "expected_edss": "estimands",
    "edss_at": "windows",
    "load_fit": "fitting.storage",
    "maximise": "fitting.point",
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
}
_MODULES = ("edss", "models", "plots", "priors")

# Written out, as type checkers read it without running it; tests/test_imports.py holds the lists together.
__all__ = [
    "Cohort",
    "CohortError",
    "ConvergenceError",
    "Description",
    "DropOut",
    "Estimate",
    "EstimateSet",
    "ExtrapolationWarning",
    "Fit",
    "FormulaError",
    "OrdinalTruth",
    "PairedTests",
    "PointFit",
    "RelapseTruth",
    "Stabilisation",
    "VisitSchedule",
    "change",
    "contrast",
    "describe",
    "edss",
    "edss_at",
    "expected_edss",
    "load_fit",
    "maximise",
    "models",
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
    from trajectories import edss, models, plots, priors
    from trajectories.cohort import Cohort
    from trajectories.description import Description, describe
    from trajectories.estimands import (
        ExtrapolationWarning,
        Stabilisation,
        change,
        contrast,
        expected_edss,
        relapse_free,
        relapse_rate,
        severity_probability,
        slope,
        stabilisation,
    )
    from trajectories.estimate import Estimate, EstimateSet
    from trajectories.example_cohorts import simulated_alemtuzumab_35, simulated_three_dmts_400
    from trajectories.fitting.diagnostics import ConvergenceError
    from trajectories.fitting.fit import Fit
    from trajectories.fitting.nuts import sample, sample_prior
    from trajectories.fitting.point import PointFit, maximise
    from trajectories.fitting.storage import load_fit
    from trajectories.formulas import FormulaError
    from trajectories.paired import PairedTests, paired_tests
    from trajectories.reading import read_cohort
    from trajectories.simulate import DropOut, OrdinalTruth, RelapseTruth, VisitSchedule, simulate_cohort
    from trajectories.tables import CohortError
    from trajectories.windows import edss_at, relapse_windows
