"""Formulas in the notation of lme4 and brms: `edss ~ arm * years + (1 + years | patient)`.

The `formulae` library parses and evaluates them. This wrapper adds what a mixed model of patients needs: the patients' part as
a dense matrix of rows × effects (formulae alone would build rows × patients), a stable reference arm, our own transforms, and
errors that say what to write instead.
"""

from trajectories.formulas.parsing import Matrices, ParsedFormula, parse, variables
from trajectories.formulas.syntax import PATIENT, FormulaError
from trajectories.formulas.transforms import TRANSFORMS, on_treatment

__all__ = [
    "PATIENT",
    "TRANSFORMS",
    "FormulaError",
    "Matrices",
    "ParsedFormula",
    "on_treatment",
    "parse",
    "variables",
]
