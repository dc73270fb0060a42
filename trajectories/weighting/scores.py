"""Propensity scores: the probability of each arm given the covariates at time 0."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.caveats import SIMULATED
from trajectories.cohort import Cohort
from trajectories.weighting.cases import Cases, complete_cases, refuse_columns
from trajectories.weighting.multinomial import maximum_likelihood, probabilities_of

__all__ = ["Propensity", "fitted", "kept", "overlap_share", "propensity"]

type Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Propensity:
    """Probabilities of the arms given covariates, by maximum likelihood; made by `propensity`.

    log(e_a / e_1) = b_a0 + x'b_a for every arm a but the first, the reference: logistic with two arms, multinomial with more.

    Parameters
    ----------
    cases
        The patients with complete covariates, their arms and design matrix.
    coefficients
        (1 + terms) × (arms − 1), log odds ratios against the reference arm; the intercept first.
    covariance
        Of the coefficients, in the order arm, then term.
    loglik
        Maximal log-likelihood.
    probabilities
        Patients × arms, index `patient`; rows sum to 1.

    Examples
    --------
    >>> from trajectories.example_cohorts import simulated_three_dmts_400
    >>> scores = propensity(simulated_three_dmts_400(), "arm ~ age + edss_baseline")
    >>> scores.probabilities.sum(axis="columns").round(12).unique().tolist()
    [1.0]
    """

    cases: Cases = field(repr=False)
    coefficients: Floats = field(repr=False)
    covariance: Floats = field(repr=False)
    loglik: float
    probabilities: pd.DataFrame = field(repr=False)

    @property
    def formula(self) -> str:
        """The formula as it was written."""
        return self.cases.formula

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms in the cohort's order, the reference first."""
        return self.cases.arms

    @property
    def arm(self) -> pd.Series:
        """The arm each patient was given, index `patient`."""
        return self.cases.named()

    @property
    def covariates(self) -> pd.DataFrame:
        """The columns of the formula, index `patient`."""
        return self.cases.covariates.copy()

    @property
    def notes(self) -> tuple[str, ...]:
        """Who was left out, and why."""
        return self.cases.notes

    @property
    def simulated(self) -> bool:
        """Whether the cohort is simulated."""
        return self.cases.simulated

    @property
    def overlap(self) -> float:
        """Share of patients whose every probability lies in the range that occurs in all arms."""
        return overlap_share(self.probabilities.to_numpy(), self.cases.code)

    def summary(self) -> pd.DataFrame:
        """Return a row an arm (against the reference) and term: log odds ratio, standard error, odds ratio with Wald 95 % interval."""
        terms = ("intercept", *self.cases.terms)
        index = pd.MultiIndex.from_product([self.arms[1:], terms], names=["arm", "term"])
        b, se = self.coefficients.T.ravel(), np.sqrt(np.diag(self.covariance))
        half = 1.959963984540054 * se
        made = pd.DataFrame(
            {
                "log_odds_ratio": b,
                "se": se,
                "odds_ratio": np.exp(b),
                "lower": np.exp(b - half),
                "upper": np.exp(b + half),
            },
            index=index,
        )
        made.attrs.update(reference=self.arms[0], patients=self.cases.sizes, notes=list(self.notes))
        return made

    def __str__(self) -> str:
        kind = "logistic" if len(self.arms) == 2 else "multinomial logistic"
        sizes = ", ".join(
            f"{arm} {n} of {self.cases.cohort_sizes[arm]}" for arm, n in self.cases.sizes.items()
        )
        lines = [
            f"Propensity of each arm, {kind}: {self.formula}",
            f"  patients: {sizes}",
            *(f"  {note}" for note in self.notes),
            f"  {100 * self.overlap:.0f} % of the patients have probabilities that occur in all arms",
            *([f"  {SIMULATED}"] if self.simulated else []),
            self.summary().round(3).to_string(),
            f"  log odds ratios against {self.arms[0]}; maximum likelihood, Wald 95 % intervals",
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def propensity(cohort: Cohort, formula: str) -> Propensity:
    """Estimate the probability of each arm from covariates at time 0, by maximum likelihood.

    log(e_a(x) / e_1(x)) = b_a0 + x'b_a: logistic regression with two arms, multinomial with three and more.

    Parameters
    ----------
    cohort
        Its patients table holds the arm and the covariates, one row a patient; patients with a missing covariate are left out and
        counted by arm and covariate.
    formula
        `arm ~ covariates`, as for models: products, `bs(age, df=4)`, `I(age**2)`.

    Returns
    -------
    Propensity
        Its `probabilities`, patients × arms, and `summary()` of the coefficients.

    Raises
    ------
    WeightingError
        For one arm only, an arm with fewer than 10 patients, a constant or redundant term.
    SeparationError
        If covariates tell arms apart without error.
    FormulaError
        For a formula that cannot be used.

    Source: Rosenbaum, Rubin (1983), Biometrika 70:41, doi:10.1093/biomet/70.1.41; Imbens (2000), The role of the propensity score in
    estimating dose-response functions, Biometrika 87:706, doi:10.1093/biomet/87.3.706.

    Examples
    --------
    >>> from trajectories.example_cohorts import simulated_three_dmts_400
    >>> scores = propensity(simulated_three_dmts_400(), "arm ~ age + sex + edss_baseline + relapses_year_before")
    >>> scores.probabilities.mean().round(4).to_dict()  # the shares of the arms, exactly
    {'fingolimod': 0.37, 'ocrelizumab': 0.2975, 'alemtuzumab': 0.3325}
    """
    return fitted(complete_cases(cohort, formula))


def fitted(cases: Cases) -> Propensity:
    """Estimate the propensities of given cases."""
    b, covariance, loglik = maximum_likelihood(cases.X, cases.code, cases.terms, cases.arms, cases.counts)
    e = pd.DataFrame(probabilities_of(cases.X, b), index=cases.patients, columns=list(cases.arms))
    return Propensity(cases=cases, coefficients=b, covariance=covariance, loglik=loglik, probabilities=e)


def kept(scores: Propensity, who: NDArray[np.bool_], *, refit: bool) -> Propensity:
    """Keep some patients, with their probabilities or with new ones estimated among them."""
    cases = scores.cases
    some = replace(
        cases, code=cases.code[who], table=cases.table[who], covariates=cases.covariates[who], X=cases.X[who],
        counts=None if cases.counts is None else cases.counts[who],
    )  # fmt: skip
    if refit:
        refuse_columns(some.X, some.terms, f"{some.formula} among the {len(some.X)} patients that remain")
        return fitted(some)
    return replace(scores, cases=some, probabilities=scores.probabilities[who])


def overlap_share(e: Floats, code: NDArray[np.int64]) -> float:
    """Share of patients whose every probability lies between the largest minimum and the smallest maximum of the arms.

    >>> overlap_share(np.array([[0.9, 0.1], [0.5, 0.5], [0.6, 0.4], [0.2, 0.8]]), np.array([0, 0, 1, 1]))
    0.5
    """
    groups = [e[code == k] for k in range(e.shape[1])]
    low = np.max([group.min(axis=0) for group in groups], axis=0)
    high = np.min([group.max(axis=0) for group in groups], axis=0)
    return float(((e >= low) & (e <= high)).all(axis=1).mean())
