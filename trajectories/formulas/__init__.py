"""Formulas in the notation of lme4 and brms: `edss ~ arm * years + (1 + years | patient)`.

The `formulae` library parses and evaluates them. This wrapper adds what a mixed model of patients needs: the patients' part as
a dense matrix of rows × effects (formulae alone would build rows × patients), a stable reference arm, our own transforms, and
errors that say what to write instead; groups of patients, `(1 | centre)`, as indicators in X. The reference of a text column is the first
in the alphabet, of a categorical column its first category, of the arm the first in the patients table.
"""

from trajectories.formulas.groups import Group, groups_of, level_order
from trajectories.formulas.parsing import Matrices, ParsedFormula, parse, variables
from trajectories.formulas.syntax import PATIENT, FormulaError, response_of
from trajectories.formulas.transforms import TRANSFORMS, on_treatment

__all__ = [
    "PATIENT",
    "TRANSFORMS",
    "FormulaError",
    "Group",
    "Matrices",
    "ParsedFormula",
    "groups_of",
    "level_order",
    "on_treatment",
    "parse",
    "response_of",
    "variables",
]
