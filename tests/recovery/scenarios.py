"""The simulated situations of the recovery studies, one a model and cohort size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr
from recovery_study import Scenario, Simulated, with_outcome

import trajectories as tj
from trajectories import models
from trajectories.estimands.rates import relapse_rate
from trajectories.fitting.fit import Fit
from trajectories.simulate import (
    DropOut,
    GaussianTruth,
    OrdinalTruth,
    RelapseTruth,
    VisitSchedule,
    simulate_cohort,
    simulate_scores,
)
from trajectories.simulation.truth import TYPICAL_CUTPOINTS

# A patient SD of 3 and a starting EDSS of 3.29, far from the 5.24 in the middle of the scale: where a prior on cutpoints pulls.
SMALL = OrdinalTruth(
    cutpoints=tuple(np.asarray(TYPICAL_CUTPOINTS) - 0.84),
    slope=0.6,
    patient_sd=3.0,
    slope_sd=0.5,
    correlation=0.2,
)
FIVE_VISITS = VisitSchedule(years=(0.0, 0.5, 1.0, 1.5, 2.0))
# The same patients, mild: the starting EDSS is 1.5.
MILD = OrdinalTruth(
    cutpoints=tuple(np.asarray(TYPICAL_CUTPOINTS) + 4.2),
    slope=0.6,
    patient_sd=3.0,
    slope_sd=0.5,
    correlation=0.2,
)
ARMS = ("interferon", "ocrelizumab")
TWO_ARMS = OrdinalTruth(slope=0.5, arm_slope={"ocrelizumab": -0.5})
CLINIC_VISITS = VisitSchedule(years=(-1.0, 0.0, 0.5, 1.0, 1.5, 2.0), missed=0.1)
ONE_ARM_EFFECTS = {"change at 2, all": 0.0, "slope, all": 0.0}
TWO_ARM_EFFECTS = {"change at 2, interferon": 0.0, "slope, interferon": 0.0, "difference in change": 0.0}
# The cohorts with seeds 1 to 200 were used to choose the concentration of the cutpoints' prior, so they cannot test it.
FRESH = 1000
# Little enough that nobody has 13 relapses in a year: onsets less than 30 days apart are one relapse, which the truth does not know.
VARIATION = {"frailty": 0.0, "patient_sd": 0.5, "dispersion": 0.2}
# Whoever is worse leaves earlier: missing at random.
LEAVING = DropOut(rate=0.1, edss_effect=0.2)


def edss_quantities(fit: Fit) -> Mapping[str, xr.DataArray]:
    """Draws of expected EDSS, change and slope by arm, and of the difference in change between two arms."""
    level = tj.expected_edss(fit, [0.0, 2.0]).draws
    change, slope = tj.change(fit, 2.0).draws, tj.slope(fit, (0.5, 1.5)).draws
    found: dict[str, xr.DataArray] = {}
    for arm in (str(name) for name in level["arm"].to_numpy()):
        for years in (0.0, 2.0):
            found[f"EDSS at {years:g}, {arm}"] = level.sel(arm=arm, years=years)
        found[f"change at 2, {arm}"] = change.sel(arm=arm, years=2.0)
        found[f"slope, {arm}"] = slope.sel(arm=arm)
    if level.sizes["arm"] == 2:
        first, second = (change.isel(arm=k, years=0, drop=True) for k in (0, 1))
        found["difference in change"] = second - first
    return {name: draws.drop_vars(["arm", "years"], errors="ignore") for name, draws in found.items()}


def edss_truth(arms: tuple[str, ...], expected: Callable[[str, float], float]) -> dict[str, float]:
    """True values of `edss_quantities`, from the population's mean EDSS by arm and time."""
    true = {}
    for arm in arms:
        for years in (0.0, 2.0):
            true[f"EDSS at {years:g}, {arm}"] = expected(arm, years)
        true[f"change at 2, {arm}"] = expected(arm, 2.0) - expected(arm, 0.0)
        true[f"slope, {arm}"] = expected(arm, 1.5) - expected(arm, 0.5)
    if len(arms) == 2:
        first, second = (true[f"change at 2, {arm}"] for arm in arms)
        true["difference in change"] = second - first
    return true


def ordinal_small(
    name: str, disability: OrdinalTruth, description: str, model: models.OrdinalMixed
) -> Scenario:
    """Make a study of 35 patients in one arm, 5 visits each."""

    def simulate(seed: int) -> Simulated:
        cohort = simulate_cohort(
            patients=35, seed=seed, disability=disability, relapses=None, visits=FIVE_VISITS
        )
        truth = edss_truth(cohort.arms, lambda arm, t: float(cohort.truth.expected_edss(arm, t)))
        return Simulated(design=model.design(cohort), truth=truth)

    return Scenario(
        name=name, description=description, model=model, simulate=simulate, estimate=edss_quantities, nulls=ONE_ARM_EFFECTS,
        seeds_from=FRESH,
    )  # fmt: skip


def ordinal_large() -> Scenario:
    """Make a study of 2 × 100 patients with missed visits and drop-out."""
    model = models.OrdinalMixed("edss ~ arm * years + (1 + years | patient)")

    def simulate(seed: int) -> Simulated:
        cohort = simulate_cohort(
            patients=dict.fromkeys(ARMS, 100), seed=seed, disability=TWO_ARMS, relapses=None, visits=CLINIC_VISITS,
            dropout=LEAVING,
        )  # fmt: skip
        truth = edss_truth(cohort.arms, lambda arm, t: float(cohort.truth.expected_edss(arm, t)))
        return Simulated(design=model.design(cohort), truth=truth)

    return Scenario(
        name="ordinal-200",
        description="2 × 100 patients, up to 6 visits from −1 to 2 years, 10 % missed, drop-out rising with EDSS",
        model=model, simulate=simulate, estimate=edss_quantities, nulls=TWO_ARM_EFFECTS, seeds_from=FRESH,
    )  # fmt: skip


def gaussian(
    name: str,
    description: str,
    formula: str,
    patients: Mapping[str, int],
    truth: GaussianTruth,
    nulls: Mapping[str, float],
) -> Scenario:
    """Make a study of scores that are not rounded to the levels of the EDSS, 10 % of the visits missed."""
    model = models.GaussianMixed(formula)

    def simulate(seed: int) -> Simulated:
        cohort = simulate_cohort(patients=patients, seed=seed, relapses=None, visits=CLINIC_VISITS)
        scores = simulate_scores(cohort, truth=truth, seed=seed + 1_000_000)
        expected = edss_truth(cohort.arms, lambda arm, t: float(truth.expected(arm, np.array([t]))[0]))
        return Simulated(design=with_outcome(model.design(cohort), scores), truth=expected)

    return Scenario(
        name=name,
        description=description,
        model=model,
        simulate=simulate,
        estimate=edss_quantities,
        nulls=nulls,
    )


def rate_quantities(fit: Fit) -> Mapping[str, xr.DataArray]:
    """Draws of the rates by arm and period, their logarithms, and log ratios: after to before, second arm to first after."""
    rate = relapse_rate(fit).draws
    found: dict[str, xr.DataArray] = {}
    for arm in (str(name) for name in rate["arm"].to_numpy()):
        by_period = {period: rate.sel(arm=arm, period=period, drop=True) for period in ("before", "after")}
        for period, draws in by_period.items():
            found[f"rate {period}, {arm}"] = draws
            found[f"log rate {period}, {arm}"] = np.log(draws)
        found[f"log ratio after/before, {arm}"] = np.log(by_period["after"] / by_period["before"])
    if rate.sizes["arm"] == 2:
        first, second = (rate.sel(period="after", drop=True).isel(arm=k, drop=True) for k in (0, 1))
        found["log ratio of arms after"] = np.log(second / first)
    return found


def rate_truth(arms: tuple[str, ...], rate: Callable[[str, tuple[float, float]], float]) -> dict[str, float]:
    """True values of `rate_quantities`."""
    true = {}
    for arm in arms:
        by_period = {"before": rate(arm, (-1.0, 0.0)), "after": rate(arm, (0.0, 2.0))}
        for period, value in by_period.items():
            true[f"rate {period}, {arm}"] = value
            true[f"log rate {period}, {arm}"] = float(np.log(value))
        true[f"log ratio after/before, {arm}"] = float(np.log(by_period["after"] / by_period["before"]))
    if len(arms) == 2:
        first, second = (true[f"log rate after, {arm}"] for arm in arms)
        true["log ratio of arms after"] = second - first
    return true


def relapses(
    name: str,
    description: str,
    formula: str,
    patients: Mapping[str, int],
    truth: RelapseTruth,
    nulls: Mapping[str, float],
) -> Scenario:
    """Make a study of relapses in the year before and the two years after the start, with drop-out."""
    model = models.RelapseCounts(formula)

    def simulate(seed: int) -> Simulated:
        cohort = simulate_cohort(
            patients=patients, seed=seed, relapses=truth, visits=CLINIC_VISITS, dropout=DropOut(rate=0.1)
        )
        return Simulated(
            design=model.design(cohort), truth=rate_truth(cohort.arms, cohort.truth.relapse_rate)
        )

    return Scenario(
        name=name,
        description=description,
        model=model,
        simulate=simulate,
        estimate=rate_quantities,
        nulls=nulls,
        skewed=tuple(f"rate {period}, {arm}" for arm in patients for period in ("before", "after")),
    )


ORDINAL_ONE_ARM = models.OrdinalMixed("edss ~ years + (1 + years | patient)")

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        ordinal_small("ordinal-35", SMALL, "35 patients, 5 visits, patient SD 3, EDSS 3.29 at start", ORDINAL_ONE_ARM),
        ordinal_small("ordinal-35-mild", MILD, "35 patients, 5 visits, patient SD 3, EDSS 1.5 at start", ORDINAL_ONE_ARM),
        ordinal_large(),
        gaussian(
            "gaussian-35", "35 patients, up to 6 visits from −1 to 2 years, 10 % missed",
            "edss ~ years + (1 + years | patient)", {"all": 35}, GaussianTruth(slope=0.3), ONE_ARM_EFFECTS,
        ),
        gaussian(
            "gaussian-200", "2 × 100 patients, up to 6 visits from −1 to 2 years, 10 % missed",
            "edss ~ arm * years + (1 + years | patient)", dict.fromkeys(ARMS, 100),
            GaussianTruth(slope=0.25, arm_slope={ARMS[1]: -0.25}), TWO_ARM_EFFECTS,
        ),
        relapses(
            "relapses-35", "35 patients, the year before and two years after, drop-out 10 % a year",
            "relapses ~ period + (1 | patient)", {"all": 35},
            RelapseTruth(before=1.2, after=0.4, **VARIATION),
            {"log ratio after/before, all": 0.0},
        ),
        relapses(
            "relapses-200", "2 × 100 patients, the year before and two years after, drop-out 10 % a year",
            "relapses ~ arm * period + (1 | patient)", dict.fromkeys(ARMS, 100),
            RelapseTruth(before=1.2, after=dict(zip(ARMS, (0.6, 0.3), strict=True)), **VARIATION),
            {"log ratio after/before, interferon": 0.0, "log ratio of arms after": 0.0},
        ),
    )
}  # fmt: skip
