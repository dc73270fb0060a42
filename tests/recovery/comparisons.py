"""Comparisons of arms with a known truth: patients choose by age, EDSS and relapses before the start, and what they would have had is known.

Fingolimod, ocrelizumab and alemtuzumab; the arm is drawn from a multinomial logit of age and of the observed EDSS and relapses before
treatment start, so that these three are all there is to adjust for. The outcomes are alemtuzumab minus fingolimod in EDSS at two years, and
the logarithm of their ratio of relapse rates.

The truth is that of the population the cohorts are drawn from. For everybody (ATE) it is exact: the patient effects integrated out, averaged
over 200,000 ages. For the overlap (ATO) patients count by (Σ 1/e)⁻¹ of their true probabilities, which depend on the history, so what
200,000 simulated patients would have had with each arm is averaged. Ratios of relapse rates do not differ between patients, so their truth
is the same in every population.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import xarray as xr

import trajectories as tj
from trajectories import edss, models
from trajectories.cohort import Cohort
from trajectories.estimate import Estimate
from trajectories.fitting.point import PointFit
from trajectories.fitting.reweighted import Point
from trajectories.models.base import MixedModel
from trajectories.models.design import Design
from trajectories.simulate import (
    DropOut,
    OrdinalTruth,
    RelapseTruth,
    SimulatedTables,
    VisitSchedule,
    simulate_tables,
)
from trajectories.simulation.truth import covariate_part
from trajectories.weighting.values import Target, Weights

__all__ = ["COMPARISONS", "Comparison", "confounded", "probabilities", "run", "truths"]

ARMS = ("fingolimod", "ocrelizumab", "alemtuzumab")
PAIR = ("alemtuzumab", "fingolimod")
AT = 2.0
POPULATION = 200_000

# Cutpoints wider apart at the top, so that nobody starts with EDSS 9.
DISABILITY = OrdinalTruth(
    cutpoints=(*OrdinalTruth().cutpoints[:14], 12.5, 15.0, 18.0, 22.0, 26.0),
    slope=0.5,
    arm_slope={"ocrelizumab": -0.6, "alemtuzumab": -1.2},
    effects={"age_from_40": 0.06},
)
RELAPSES = RelapseTruth(
    before=1.0,
    after={"fingolimod": 0.4, "ocrelizumab": 0.25, "alemtuzumab": 0.2},
    frailty=0.8,
    effects={"age_from_40": -0.02},
)
VISITS = VisitSchedule(years=(0, 0.5, 1, 1.5, 2), jitter_days=25, missed=0.07)
DROPOUT = DropOut(rate=0.07)

HISTORY = "edss_baseline + age + attacks"
RIGHT, WRONG = f"arm ~ {HISTORY}", "arm ~ age"
NODES = 1  # of an ordinal likelihood: Laplace
DRAWS = 1000  # of the normal approximation
REPLICATES = 60


def confounded(n: int, seed: int) -> Cohort:
    """Simulate a cohort whose patients chose by their history."""
    tables = _tables(n, seed)
    people = tables.patients.assign(attacks=attacks(tables.patients, tables))
    cohort = tj.read_cohort(tables.visits, relapses=tables.relapses, patients=people, name="simulated choice")
    return replace(cohort, simulated=True, truth=tables.truth)


def _tables(n: int, seed: int) -> SimulatedTables:
    """The history, simulated once to choose the arm by it, and again with what follows: the same seed gives the same history."""
    rng = np.random.default_rng([seed, 5])
    age = rng.normal(40, 9.5, 2 * n).round(1)
    age = age[(age >= 18) & (age <= 65)][:n]
    people = pd.DataFrame({"patient": np.arange(n), "age": age, "age_from_40": (age - 40).round(1)})
    e = probabilities(people, _simulated(people, np.zeros(n, dtype=int), seed))
    arm = (rng.random(n)[:, None] > e.cumsum(axis=1)[:, :-1]).sum(axis=1)
    return _simulated(people, arm, seed)


def _simulated(people: pd.DataFrame, arm: np.ndarray, seed: int) -> SimulatedTables:
    """Simulate everybody in their arm; three patients are in each arm at least, as an arm must have some."""
    arm = np.where(np.arange(len(arm)) < 3, np.arange(len(arm)), arm)
    named = pd.Categorical.from_codes(arm, categories=list(ARMS), ordered=True)
    return simulate_tables(
        patients=people.assign(arm=named), seed=seed, disability=DISABILITY, relapses=RELAPSES, visits=VISITS, dropout=DROPOUT
    )  # fmt: skip


def probabilities(people: pd.DataFrame, tables: SimulatedTables) -> np.ndarray:
    """The true probability of each arm: patient × arm."""
    visits = tables.visits[tables.visits["day"] <= 0]
    score = people["patient"].map(visits.groupby("patient")["edss"].last()).to_numpy() - 3
    relapses = attacks(people, tables) - 1
    age = people["age_from_40"].to_numpy()
    logits = np.column_stack(
        [
            np.zeros(len(people)),
            0.1 + 0.03 * age + 0.20 * score + 0.20 * relapses,
            -0.2 - 0.04 * age + 0.30 * score + 0.70 * relapses,
        ]
    )
    odds = np.exp(logits)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def attacks(people: pd.DataFrame, tables: SimulatedTables) -> np.ndarray:
    """Relapses in the year before the start, three and more as three: so that hardly anybody is sure of an arm."""
    year = tables.relapses[tables.relapses["day"].between(-365, -1)]
    return np.asarray(people["patient"].map(year["patient"].value_counts()).fillna(0).clip(upper=3))


@cache
def truths() -> Mapping[tuple[str, str], float]:
    """The truth by outcome and target."""
    tables = _tables(POPULATION, 0)
    people, truth = tables.patients, tables.truth
    h = 1 / (1 / probabilities(people, tables)).sum(axis=1)
    table = truth.patients
    own = covariate_part(DISABILITY.effects, table) + (table["intercept"] + table["slope"] * AT).to_numpy()

    def given(arm: str) -> np.ndarray:
        latent = DISABILITY.fixed(arm, np.array([AT])) + own
        below = DISABILITY.distribution(np.asarray(DISABILITY.cutpoints) - latent[:, None])
        return np.asarray(edss.LEVELS[-1] - below @ np.diff(edss.LEVELS))

    difference = given(PAIR[0]) - given(PAIR[1])
    exact = [float(truth.expected_edss(arm, AT)) for arm in PAIR]
    ratio = float(np.log(truth.relapse_rate(PAIR[0]) / truth.relapse_rate(PAIR[1])))
    return {
        ("EDSS", "ATE"): exact[0] - exact[1],
        ("EDSS", "ATO"): float((h * difference).sum() / h.sum()),
        ("relapses", "ATE"): ratio,
        ("relapses", "ATO"): ratio,
    }


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """One way to compare.

    Parameters
    ----------
    model
        Of the outcome, of EDSS or of relapses.
    propensity, target
        Formula and target of the weights; None for no weights.
    weighted, augmented
        Whether the weights are in the fit, and whether they augment.
    replicates
        Of the bootstrap; None for the normal approximation.
    """

    model: MixedModel
    propensity: str | None = None
    target: Target = "ATE"
    weighted: bool = False
    augmented: bool = False
    replicates: int | None = None

    @property
    def outcome(self) -> str:
        """Which of the truths is estimated."""
        return "relapses" if isinstance(self.model, models.RelapseCounts) else "EDSS"


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """A fit with fewer draws than usual, for estimands that take long."""

    fit: PointFit
    n: int

    @property
    def model(self) -> MixedModel:
        return self.fit.model

    @property
    def design(self) -> Design:
        return self.fit.design

    @property
    def description(self) -> str:
        return self.fit.description

    @property
    def caveats(self) -> tuple[str, ...]:
        return self.fit.caveats

    def draws(self, n: int | None = None, seed: int | None = None) -> xr.Dataset:
        return self.fit.draws(self.n, seed)


@dataclass(frozen=True, kw_only=True)
class Analyst:
    """Estimates from one cohort; weights and fits that several estimators share are made once."""

    cohort: Cohort
    number: int
    made: dict[tuple[object, ...], object] = field(default_factory=dict)

    def weights(self, how: Estimator) -> Weights | None:
        """The weights of an estimator; positivity is accepted, as a study may not choose its cohorts."""
        if how.propensity is None:
            return None
        key = (how.propensity, how.target)
        if key not in self.made:
            scores = tj.propensity(self.cohort, how.propensity)
            self.made[key] = tj.weights(scores, how.target, accept_positivity=True)
        return cast(Weights, self.made[key])

    def fit(self, how: Estimator) -> PointFit:
        """The fit of an estimator."""
        weights = self.weights(how) if how.weighted else None
        key = (type(how.model), how.model.formula, how.weighted and (how.propensity, how.target))
        if key not in self.made:
            integral = isinstance(how.model, models.OrdinalMixed)
            self.made[key] = tj.maximise(
                how.model, self.cohort, weights=weights, quadrature=NODES if integral else 7, progress=False
            )
        return cast(PointFit, self.made[key])

    def contrast(self, how: Estimator) -> Estimate:
        """Compare the two arms. Augmented and bootstrapped contrasts use the estimates alone, so no draws are made for them."""
        fit, alone = self.fit(how), how.augmented or how.replicates is not None
        source = Point.of(fit) if alone else _Drawn(fit=fit, n=DRAWS)
        asked = tj.relapse_rate(source) if how.outcome == "relapses" else tj.expected_edss(source, AT)
        assert asked.asked is not None
        made = tj.contrast(
            replace(asked, asked=replace(asked.asked, fit=fit if alone else source)),
            *PAIR,
            scale="ratio" if how.outcome == "relapses" else "difference",
            weights=self.weights(how),
            augmented=how.augmented,
            bootstrap=None if how.replicates is None else tj.Bootstrap(n=how.replicates, seed=self.number),
        )
        assert isinstance(made, Estimate)
        return made


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A study: estimators by name, from cohorts of n patients."""

    name: str
    description: str
    n: int
    estimators: Mapping[str, Estimator]


def replicate(study: Comparison, truth: Mapping[tuple[str, str], float], number: int) -> pd.DataFrame:
    """Simulate one cohort and compare its arms in every way: one row an estimator."""
    begin = time.perf_counter()
    analyst = Analyst(cohort=confounded(study.n, number), number=number)
    rows = []
    for name, how in study.estimators.items():
        begun = time.perf_counter()
        draws = analyst.contrast(how).draws.to_numpy().ravel()
        draws = np.log(draws) if how.outcome == "relapses" else draws
        lower, upper = np.quantile(draws, [0.025, 0.975])
        if how.replicates is not None:  # too few for quantiles in their tails
            lower, upper = draws.mean() + 1.96 * draws.std(ddof=1) * np.array([-1, 1])
        row = {"replication": number, "quantity": name, "truth": truth[how.outcome, how.target]}
        row |= {"mean": draws.mean(), "sd": draws.std(ddof=1), "lower": lower, "upper": upper}
        rows.append(row | {"own seconds": time.perf_counter() - begun})
    return pd.DataFrame(rows).assign(seconds=round(time.perf_counter() - begin, 2), r_hat=np.nan)


def run(study: Comparison, replications: int, folder: Path, workers: int = 2) -> pd.DataFrame:
    """Run the replications that the folder does not have yet, and return the rows of all of them."""
    path = folder / f"{study.name}.csv"
    done = set(pd.read_csv(path)["replication"]) if path.exists() else set()
    left = [number for number in range(1, replications + 1) if number not in done]
    if left:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
            for rows in executor.map(partial(replicate, study, truths()), left):
                rows.to_csv(path, mode="a", header=not path.exists(), index=False, float_format="%.6g")
    rows = pd.read_csv(path)
    return rows[rows["replication"] <= replications]


_ADJUSTED = models.GaussianMixed(f"edss ~ {HISTORY} + arm * years + (1 | patient)")
_CRUDE = models.GaussianMixed("edss ~ arm * years + (1 | patient)")
_RATES = models.RelapseCounts("relapses ~ arm + age + log(relapses_year_before + 1.25)")
_CRUDE_RATES = models.RelapseCounts("relapses ~ arm + age", windows=(0.0, None))
_ORDINAL = models.OrdinalMixed(f"edss ~ {HISTORY} + arm * years + (1 | patient)")
_CRUDE_ORDINAL = models.OrdinalMixed("edss ~ arm * years + (1 | patient)")


def _ways(adjusted: MixedModel, crude: MixedModel, outcome: str) -> dict[str, Estimator]:
    return {
        f"{outcome}: naive": Estimator(model=crude),
        f"{outcome}: standardised": Estimator(model=adjusted),
        f"{outcome}: weighted": Estimator(model=crude, propensity=RIGHT, weighted=True),
        f"{outcome}: weighted, propensity wrong": Estimator(model=crude, propensity=WRONG, weighted=True),
        f"{outcome}: augmented": Estimator(model=adjusted, propensity=RIGHT, augmented=True),
        f"{outcome}: augmented, outcome wrong": Estimator(model=crude, propensity=RIGHT, augmented=True),
        f"{outcome}: augmented, propensity wrong": Estimator(
            model=adjusted, propensity=WRONG, augmented=True
        ),
        f"{outcome}: weighted, overlap": Estimator(
            model=crude, propensity=RIGHT, target="ATO", weighted=True
        ),
        f"{outcome}: augmented, overlap": Estimator(
            model=adjusted, propensity=RIGHT, target="ATO", augmented=True
        ),
    }


COMPARISONS = {
    study.name: study
    for study in (
        Comparison(
            name="comparisons",
            description="three arms chosen by history, Gaussian and negative binomial models, normal approximations",
            n=400,
            estimators=_ways(_ADJUSTED, _CRUDE, "EDSS") | _ways(_RATES, _CRUDE_RATES, "relapses"),
        ),
        Comparison(
            name="comparisons-800",
            description="twice the patients, in whom the bias of naive contrasts is beyond their intervals",
            n=800,
            estimators={
                name: how
                for name, how in (
                    _ways(_ADJUSTED, _CRUDE, "EDSS") | _ways(_RATES, _CRUDE_RATES, "relapses")
                ).items()
                if name.split(": ")[1] in ("naive", "weighted", "augmented", "augmented, overlap")
            },
        ),
        Comparison(
            name="comparisons-bootstrap",
            description="the same cohorts, fractional bootstrap of weights, fit and standardisation",
            n=400,
            estimators={
                "EDSS: weighted": replace(
                    _ways(_ADJUSTED, _CRUDE, "EDSS")["EDSS: weighted"], replicates=REPLICATES
                )
            },
        ),
        Comparison(
            name="comparisons-ordinal",
            description="the same cohorts, ordinal models (Laplace)",
            n=400,
            estimators={
                name: how for name, how in _ways(_ORDINAL, _CRUDE_ORDINAL, "EDSS").items() if how.augmented
            },
        ),
    )
}
