"""Standard errors of weighted observed outcomes: what patients add through the weights, and the bootstrap that makes everything anew."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import trajectories as tj
from trajectories.endpoints.group_rates import change_in_rate, rate_ratio
from trajectories.endpoints.groups import PatientGroups
from trajectories.endpoints.neda_weighted import weighted_shares
from trajectories.endpoints.patient_weights import WeightedPatients
from trajectories.endpoints.survival import TimeTo
from trajectories.endpoints.survival_setting import Setting
from trajectories.endpoints.weighted_rates import weighted_rates
from trajectories.windows import relapse_windows

SETTING = Setting(
    event="made up", rule="none", cohort_name="made up", simulated=True, counts=pd.DataFrame(), warnings=(), notes=()
)  # fmt: skip

NOBODY = pd.Series(dtype=object)  # arms that contradict nobody's

type Asked = tuple[np.ndarray, np.ndarray]
type Ask = Callable[[SimpleNamespace], Asked]


def of_wald(estimate, upper) -> np.ndarray:
    """The standard error behind an upper limit."""
    return np.asarray((upper - estimate) / 1.959963984540054)


def known(values: pd.Series) -> SimpleNamespace:
    return SimpleNamespace(values=values, arm=NOBODY, description="by hand.", caveats=(), estimation=None)


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
    made = SimpleNamespace(
        values=values, arm=NOBODY, description="made up.", caveats=(), estimation=estimation
    )
    found = ask(made)[1]
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


def test_shares_and_rates_through_an_estimation_that_was_made_up():
    n, rng = 90, np.random.default_rng(13)
    code, frailty = np.arange(n) % 3, rng.gamma(2.0, 0.5, n)
    groups = PatientGroups(by="arm", names=("a", "b", "c"), code=code)
    years, before = rng.uniform(0.5, 2.0, n), rng.poisson(2 * frailty)
    events = rng.poisson(frailty * years)
    frame = pd.DataFrame(
        {
            "patient": [f"p{k}" for k in range(n)],
            "answer": rng.choice(["NEDA", "activity", "not evaluable"], n, p=[0.4, 0.4, 0.2]),
            "years_observed": np.ceil(rng.exponential(1.5, n).clip(0.1, 2.0) * 10) / 10,
            "ended_by_activity": rng.random(n) < 0.6,
        }
    )
    z = NormalDist().inv_cdf(0.975)

    def ask(weights) -> Asked:
        table = frame[["patient"]].assign(weight=frame["patient"].map(weights.values))
        weighted = WeightedPatients.of(table, weights.estimation)
        shares, influences = weighted_shares(frame, groups, weighted, ci=0.95)
        apart = influences["b"] - influences["a"]
        rates = weighted_rates(events, years, code, weighted, groups=3)
        ratio, _, upper, _ = rate_ratio(rates, 2, 0)
        change, _, highest, _ = change_in_rate(
            before[code == 1], np.ones(30), events[code == 1], years[code == 1], weighted=weighted, rows=code == 1
        )  # fmt: skip
        p = shares["proportion"].to_numpy()
        logits = np.log(p / (1 - p))
        above = shares["upper"].to_numpy()
        small = np.sqrt(30 / 29) * stats.t.ppf(0.975, 29)
        return np.concatenate(
            [logits, [p[1] - p[0], shares["km"][1] - shares["km"][0]], np.log(rates.rate), [np.log(ratio), np.log(change)]]
        ), np.concatenate(
            [
                (np.log(above / (1 - above)) - logits) / z, np.sqrt((apart**2).sum(axis=0)), rates.log_se,
                [np.log(upper / ratio) / z, np.log(highest / change) / small],
            ]
        )  # fmt: skip

    check_through_estimation(ask, pd.Index(frame["patient"]), seed=14)


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

    def ask(weights) -> Asked:
        weighted = times.weighted(weights)
        curves, cox = weighted.kaplan_meier(), weighted.cox().coefficients
        at, apart, means = curves.at([1.0]), curves.difference([1.0]), curves.restricted_mean(1.0)
        return np.concatenate(
            [at["survival"], apart["difference"], means["restricted_mean"], cox["log_hazard_ratio"]]
        ), np.concatenate([at["std_error"], apart["std_error"], means["std_error"], cox["std_error"]])

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


def test_rates_of_estimated_weights_are_as_sure_as_their_bootstrap(cohort):
    """Relapses before the start are what the weights balance; those after go with them."""
    made = tj.weights(tj.propensity(cohort, "arm ~ age + edss_baseline + relapses_year_before"), "ATO")
    counted = relapse_windows(cohort, edges=(-1, 0, 2))
    code = cohort.patients["arm"].cat.codes.to_numpy()
    by_window = [counted[counted["start"] == start] for start in (-1, 0)]
    patients = cohort.patients["patient"]

    def ask(weighted: WeightedPatients) -> Asked:
        rates = [
            weighted_rates(one["relapses"], one["exposure"], code, weighted, groups=3) for one in by_window
        ]
        ratios = [rate_ratio(one, k, 0) for one in rates for k in (1, 2)]
        logs = np.log([ratio for ratio, *_ in ratios])
        return logs, of_wald(logs, np.log([upper for _, _, upper, _ in ratios]))

    table = pd.DataFrame({"patient": patients, "weight": made.values.loc[patients].to_numpy()})
    errors, known_errors = (ask(WeightedPatients.of(table, e))[1] for e in (made.estimation, None))
    rng, again = np.random.default_rng(15), []
    for _ in range(300):
        counts = pd.Series(rng.exponential(size=len(patients)), index=patients)
        again.append(
            ask(
                WeightedPatients(
                    values=(made.remade(cohort, counts).values * counts).loc[patients].to_numpy()
                )
            )[0]
        )
    bootstrap = np.std(again, axis=0, ddof=1)
    np.testing.assert_allclose(errors, bootstrap, rtol=0.15)  # an SD of 300 has an error of 4 %
    assert (known_errors[:2] > 1.5 * bootstrap[:2]).all()


def test_weights_taken_as_known_have_their_own_part_only():
    patients = WeightedPatients(values=np.array([1.0, 3.0]))
    assert patients.size == 2
    assert patients.errors(np.array([[2.0], [1.0]])).tolist() == [np.sqrt(13.0)]
    one = patients.influences(np.array([[1.0]]), np.array([False, True]))
    assert one.tolist() == [[0.0], [3.0]]


def test_errors_are_those_of_the_influences():
    rng = np.random.default_rng(17)
    weighted = WeightedPatients(
        values=rng.uniform(size=8), influence=rng.normal(size=(11, 3)), slopes=rng.normal(size=(8, 3))
    )
    some = np.arange(8) % 2 == 0
    for rows, slopes in ((None, rng.normal(size=(8, 5))), (some, rng.normal(size=(4, 5)))):
        squares = (weighted.influences(slopes, rows) ** 2).sum(axis=0)
        np.testing.assert_allclose(weighted.errors(slopes, rows), np.sqrt(squares), rtol=1e-12)


@pytest.mark.slow
def test_weighted_outcomes_of_confounded_patients_cover_the_truth():
    """200 cohorts in which who relapses more, and worsens sooner, is given b rather than a: 95 % intervals of weighted outcomes."""
    n, effect, steep = 300, np.log(0.6), 0.7
    rng = np.random.default_rng(16)
    x, grid = rng.normal(size=(200, n)), np.linspace(-8, 8, 4001)
    density = np.exp(-(grid**2) / 2) / np.exp(-(grid**2) / 2).sum()
    survival = [float(density @ np.exp(-0.5 * np.exp(steep * grid + effect * arm))) for arm in (0, 1)]
    truth = np.array([effect, survival[1] - survival[0]])
    covered, naive_covered, null_excluded = np.zeros(2), np.zeros(2), np.zeros(2)
    for mine in x:
        given_b = rng.random(n) < 1 / (1 + np.exp(-0.9 * mine))
        hazard = np.exp(steep * mine + effect * given_b)
        patients = pd.DataFrame(
            {"patient": np.arange(n).astype(str), "arm": np.where(given_b, "b", "a"), "x": mine}
        )
        cohort = tj.read_cohort(
            pd.DataFrame({"patient": patients["patient"], "day": 0, "edss": 2.0}), patients=patients
        )
        made = tj.weights(tj.propensity(cohort, "arm ~ x"), "ATE", accept_positivity=True)
        relapses, years = rng.poisson(0.8 * hazard), np.ones(n)
        time, end = rng.exponential(1 / (0.5 * hazard)), rng.uniform(0.8, 3.0, n)
        table = patients.assign(time=np.minimum(time, end), event=(time <= end).astype(int))
        times = TimeTo(table=table, causes=("event",), setting=SETTING)
        for weights, into in (
            (made, covered),
            (known(pd.Series(1.0, index=patients["patient"])), naive_covered),
        ):
            counted = table[["patient"]].assign(weight=table["patient"].map(weights.values))
            rates = weighted_rates(
                relapses,
                years,
                given_b.astype(int),
                WeightedPatients.of(counted, weights.estimation),
                groups=2,
            )
            apart = times.weighted(weights).kaplan_meier().difference([1.0], reference="a").iloc[0]
            limits = np.array(
                [np.log(rate_ratio(rates, 1, 0)[1:3]), apart[["lower", "upper"]].to_numpy(dtype=float)]
            )
            into += (limits[:, 0] <= truth) & (truth <= limits[:, 1])
            if weights is made:
                null_excluded += (limits > 0).all(axis=1) | (limits < 0).all(axis=1)
    assert ((covered >= 184) & (covered <= 197)).all(), covered
    assert (naive_covered < 100).all(), naive_covered
    assert null_excluded[0] >= 160, null_excluded
