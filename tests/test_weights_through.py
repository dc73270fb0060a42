"""Standard errors of weighted observed outcomes: what patients add through the weights, and the bootstrap that makes everything anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories.endpoints.patient_weights import WeightedPatients
from trajectories.endpoints.survival import TimeTo
from trajectories.endpoints.survival_setting import Setting

SETTING = Setting(
    event="made up", rule="none", cohort_name="made up", simulated=True, counts=pd.DataFrame(), warnings=(), notes=()
)  # fmt: skip

type Asked = tuple[np.ndarray, np.ndarray]
type Ask = Callable[[SimpleNamespace], Asked]


def of_wald(estimate, upper) -> np.ndarray:
    """The standard error behind an upper limit."""
    return np.asarray((upper - estimate) / 1.959963984540054)


def known(values: pd.Series) -> SimpleNamespace:
    return SimpleNamespace(values=values, description="by hand.", caveats=(), estimation=None)


def check_through_estimation(ask: Ask, patients: pd.Index, seed: int) -> None:
    """Give weights an estimation that was made up, and compare with what follows from estimates of other weights alone.

    With one parameter, Σ (wᵢgᵢ + aᵢB)² = Σ (wᵢgᵢ)² + 2B Σ aᵢwᵢgᵢ + B² Σ a²: B is how an estimate moves with the parameter, Σ aᵢwᵢgᵢ how it
    moves when each weight is changed by the share aᵢ, and the first term the variance of known weights.
    """
    rng = np.random.default_rng(seed)
    outside = pd.Index([f"outside {k}" for k in range(7)])
    values = pd.Series(rng.uniform(0.3, 2.0, len(patients)), index=patients)
    slopes = pd.Series(rng.normal(0.5, 1.0, len(patients)), index=patients)
    influence = pd.Series(rng.normal(0, 0.15, len(patients) + 7), index=patients.append(outside))

    def moved(direction: pd.Series) -> np.ndarray:
        step = 1e-4
        up, down = (ask(known(values + side * direction))[0] for side in (step, -step))
        return (up - down) / (2 * step)

    through, along = moved(slopes), moved(values * influence.loc[patients])
    expected = ask(known(values))[1] ** 2 + 2 * through * along + through**2 * (influence**2).sum()
    shuffled = influence.sample(frac=1.0, random_state=seed)  # patients are found by name
    estimation = SimpleNamespace(influence=shuffled.to_frame(), values=slopes.iloc[::-1].to_frame())
    found = ask(SimpleNamespace(values=values, description="made up.", caveats=(), estimation=estimation))[1]
    np.testing.assert_allclose(found, np.sqrt(expected), rtol=1e-5)
    assert np.abs(found / ask(known(values))[1] - 1).max() > 0.05  # it made a difference


def times_at(times: TimeTo, at: float) -> Ask:
    """Everything that times of weighted patients answer, with standard errors."""

    def ask(weights: SimpleNamespace) -> Asked:
        weighted = times.weighted(weights)
        curves, incidence = weighted.kaplan_meier(), weighted.cumulative_incidence()
        means, weibull = curves.restricted_mean(at), weighted.weibull()
        cox = weighted.cox(["arm"]).coefficients
        parts = [
            (curves.at([at])["survival"], curves.at([at])["std_error"]),
            (curves.difference([at])["difference"], curves.difference([at])["std_error"]),
            (means["restricted_mean"], means["std_error"]),
            (means["difference"][1:], of_wald(means["difference"], means["difference_upper"])[1:]),
            (incidence.at([at])["incidence"], incidence.at([at])["std_error"]),
            *(
                (one["difference"], one["std_error"])
                for cause in weighted.causes
                if (one := incidence.difference([at], cause=cause)) is not None
            ),
            (cox["log_hazard_ratio"], cox["std_error"]),
            (weibull.parameters["estimate"], weibull.parameters["std_error"]),
            (
                np.log(weibull.ratios["hazard_ratio"]),
                of_wald(np.log(weibull.ratios["hazard_ratio"]), np.log(weibull.ratios["upper"])),
            ),
        ]
        estimate, error = (np.concatenate([np.asarray(p[k], dtype=float) for p in parts]) for k in (0, 1))
        return estimate, error

    return ask


def made_up_times(patients: pd.Series, arm: pd.Series, score: np.ndarray, seed: int) -> TimeTo:
    """Times that depend on a score and hardly on anything else, seen every three months."""
    rng = np.random.default_rng(seed)
    onset = np.exp(0.8 - score + 0.35 * np.log(rng.exponential(size=len(patients))))
    other, end = rng.exponential(12.0, len(patients)), rng.uniform(2.0, 5.0, len(patients))
    time = np.ceil(np.minimum(np.minimum(onset, other), end) * 4) / 4
    cause = np.where(onset <= np.minimum(other, end), 1, np.where(other <= end, 2, 0))
    table = pd.DataFrame(
        {
            "patient": patients.to_numpy(), "arm": arm.to_numpy(), "time": time, "event": (cause == 1).astype(int),
            "cause": pd.Categorical.from_codes(cause, categories=["censored", "event", "rival"]),
            "onset_after": np.where(cause == 1, time - 0.25, time), "onset_by": np.where(cause == 1, time, np.inf),
        }
    )  # fmt: skip
    return TimeTo(table=table, causes=("event", "rival"), setting=SETTING)


def test_times_through_an_estimation_that_was_made_up():
    n = 90
    patients = pd.Series([f"p{k}" for k in range(n)])
    arm = pd.Series(pd.Categorical(np.array(["a", "b", "c"])[np.arange(n) % 3]))
    times = made_up_times(patients, arm, np.random.default_rng(4).normal(0, 0.5, n), seed=5)
    check_through_estimation(times_at(times, 1.5), pd.Index(patients), seed=6)


def test_the_log_rank_test_through_an_estimation_that_was_made_up():
    """Two arms: chi-square is (O − E)² over the variance, so the variance is known from both."""
    n = 80
    patients = pd.Series([f"p{k}" for k in range(n)])
    arm = pd.Series(pd.Categorical(np.array(["a", "b"])[np.arange(n) % 2]))
    times = made_up_times(patients, arm, np.random.default_rng(7).normal(0, 0.5, n), seed=8)

    def ask(weights) -> Asked:
        found = times.weighted(weights).log_rank()
        surplus = (found.arms["weighted_events"] - found.arms["expected"]).to_numpy()[1:]
        return surplus, np.abs(surplus) / np.sqrt(found.chi2)

    check_through_estimation(ask, pd.Index(patients), seed=9)


def test_clusters_sum_influences_and_others_are_clusters_of_their_own():
    """In clusters of two patients that are alike, the variance is twice that of patients; those outside stay as they are."""
    n = 60
    patients = pd.Series([f"p{k}" for k in range(n)])
    arm = pd.Series(pd.Categorical(np.array(["a", "b"])[np.arange(n) % 2]))
    once = made_up_times(patients, arm, np.zeros(n), seed=10)
    table = pd.concat([once.table, once.table.assign(patient=once.table["patient"] + "'")], ignore_index=True)
    twins = replace(once, table=table.assign(pair=table["patient"].str.removesuffix("'")))
    names = pd.Index(table["patient"])
    influence = pd.Series(0.0, index=[*names, "outside"])
    influence["outside"] = 0.3
    slopes = pd.Series(np.r_[np.arange(n), np.arange(n)] / n, index=names)

    def squared(cluster: str, *, estimated: bool) -> float:
        estimation = SimpleNamespace(influence=influence.to_frame(), values=slopes.to_frame())
        weights = known(pd.Series(1.0, index=names))
        weights.estimation = estimation if estimated else None
        return float(twins.weighted(weights).cox(cluster=cluster).coefficients["std_error"].item() ** 2)

    own = squared("patient", estimated=False)
    outside = squared("patient", estimated=True) - own
    assert outside > 0
    assert squared("pair", estimated=False) == pytest.approx(2 * own)
    assert squared("pair", estimated=True) == pytest.approx(2 * own + outside)


@pytest.fixture(scope="module")
def cohort() -> tj.Cohort:
    return tj.simulated_three_dmts_400()


def test_estimated_weights_are_as_sure_as_their_bootstrap(cohort):
    """Outcomes that the covariates of the propensities decide: known weights seem to leave far more error."""
    patients = cohort.patients
    score = (patients["edss_baseline"] / 2 + (patients["age"] - 40) / 20).to_numpy(dtype=float)
    times = made_up_times(patients["patient"], patients["arm"], score - score.mean(), seed=11)
    made = tj.weights(tj.propensity(cohort, "arm ~ age + edss_baseline"), "ATO")
    ask = times_at(times, 1.0)
    errors, taken_as_known = ask(made)[1], ask(replace(made, estimation=None))[1]
    rng, again = np.random.default_rng(12), []
    for _ in range(200):
        counts = pd.Series(rng.exponential(size=len(patients)), index=patients["patient"])
        values = made.remade(cohort, counts).values
        again.append(ask(known(values * counts.loc[values.index]))[0])
    bootstrap = np.std(again, axis=0, ddof=1)
    # an SD of 200 has an error of 5 %
    assert np.median(errors / bootstrap) == pytest.approx(1.0, abs=0.08)
    np.testing.assert_allclose(errors, bootstrap, rtol=0.2)
    assert np.median(taken_as_known / bootstrap) > 1.25


def test_weights_taken_as_known_have_their_own_part_only():
    patients = WeightedPatients(values=np.array([1.0, 3.0]))
    assert patients.size == 2
    assert patients.errors(np.array([[2.0], [1.0]])).tolist() == [np.sqrt(13.0)]
    one = patients.influences(np.array([[1.0]]), np.array([False, True]))
    assert one.tolist() == [[0.0], [3.0]]
