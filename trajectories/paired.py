"""The paired before/after tests of most single-cohort papers, with the numbers that belong beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pandas as pd

from trajectories.change_tests import ChangeTest, check_margin, equivalence, holm, paired_t, sign_test
from trajectories.cohort import Cohort
from trajectories.paired_text import paired_notes, paired_text
from trajectories.paired_values import Outcome, edss_outcome, relapse_outcome
from trajectories.rank_tests import friedman, signed_rank
from trajectories.shift import EXACT_UP_TO

__all__ = ["PairedTests", "paired_tests"]

EVERYBODY = "all arms together"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PairedTests:
    """Paired tests of EDSS and relapses against baseline, and who was in the pairs.

    Printing it gives the tests in words and numbers, with what they cannot show.

    Parameters
    ----------
    tests
        One row a test: `arm`, `outcome`, `comparison`, `later` (years from time 0; of relapses the end of the
        window; missing for Friedman), `test` ("signed rank", "sign", "paired t", "equivalence", "Friedman"),
        `n` (pairs; complete patients for Friedman), `estimand`, `estimate`, `lower`, `upper`, `confidence`
        (level the interval attains), `statistic`, `p_value`, `p_holm`, `family` (number of p-values adjusted
        together), `method`, and `reason` (why a number is missing).
    pairs
        One row a comparison: `arm`, `outcome`, `comparison`, `later`, `patients` (in the arm), `pairs`,
        `no_baseline`, `no_later`, `neither` (the patients left out), `higher`, `same`, `lower` (patients by
        direction of change; higher is worse), `baseline_median`, `later_median` (of the pairs, interpolated).
    cohort_name, index_date, simulated
        As in the cohort.
    margin
        The equivalence margin in EDSS points that the user stated, or None.
    notes
        Sentences on how time points, pairs, intervals and p-values were formed.
    """

    tests: pd.DataFrame = field(repr=False)
    pairs: pd.DataFrame = field(repr=False)
    cohort_name: str
    index_date: str
    simulated: bool
    margin: float | None
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the tests, one row each; a copy."""
        return self.tests.copy()

    def __str__(self) -> str:
        return paired_text(
            self.tests,
            self.pairs,
            title=f"Paired tests: each patient against their own baseline, cohort '{self.cohort_name}'",
            index_date=self.index_date,
            simulated=self.simulated,
            notes=self.notes,
        )

    def __repr__(self) -> str:
        return str(self)


def paired_tests(
    cohort: Cohort,
    *,
    at: Sequence[float] = (-1, 0, 1, 2),
    tolerance: float = 0.25,
    edges: Sequence[float | None] | None = None,
    margin: float | None = None,
    pooled: bool = False,
    exact_up_to: int = EXACT_UP_TO,
) -> PairedTests:
    """Test EDSS and relapses at each later time against baseline, within patients.

    For each arm, outcome and later time, on the differences d = later − baseline of the patients who have
    both: Wilcoxon's signed ranks with zeros by Pratt and the Hodges-Lehmann shift
    (`rank_tests.signed_rank`), the sign test, the paired t test, and for EDSS equivalence by two one-sided
    t tests with the 90 % interval of the mean change; over all times together Friedman's test on the
    patients who are complete. Each kind of test is a family of its own: its p-values over all arms, outcomes
    and times of the table are adjusted by Holm.

    A p-value above 0.05 is no evidence that disability was stable: state a `margin` and look at equivalence,
    or estimate the change with a model. Arms are tested one by one; that one arm changed significantly and
    another did not is no comparison of the two.

    Parameters
    ----------
    cohort
        The patients.
    at
        Time points of EDSS in years from the index date; 0, the baseline, must be among them.
    tolerance
        How far from a time point a visit may be, in years. At 0 only visits at or before 0 count.
    edges
        Edges of the relapse windows in years; None takes `at`. Patients count in a pair only if both windows
        were completely observed, and only windows as long as the one that ends at 0 are compared with it.
    margin
        The change in mean EDSS, in points, that you consider unimportant in either direction. There is no
        default: without it equivalence is not tested, and the table says so.
    pooled
        Whether to take all arms together instead of one by one.
    exact_up_to
        Number of patients up to which null distributions are exact.

    Returns
    -------
    `PairedTests`: `.to_frame()` one row a test, `.pairs` one row a comparison; print it to read it. Where a
    test has no answer (no pairs, no change, no relapse table) its numbers are missing and `reason` says why.

    Raises
    ------
    ValueError
        If 0 is not among `at`, the margin is not positive, or times or edges are not usable.

    References
    ----------
    Pratt 1959 (doi:10.1080/01621459.1959.10501526); Hodges and Lehmann 1963 (doi:10.1214/aoms/1177704172);
    Schuirmann 1987 (doi:10.1007/BF01068419); Friedman 1937 (doi:10.1080/01621459.1937.10503522); Holm 1979
    (Scand J Stat 6:65-70).

    Examples
    --------
    >>> import pandas as pd
    >>> from trajectories.reading import read_cohort
    >>> visits = pd.DataFrame({"patient": list("aabbcc"), "years": [0, 1] * 3, "edss": [2, 2.5, 3, 3, 4, 5]})
    >>> tests = paired_tests(read_cohort(visits), at=(0, 1), margin=0.5)
    >>> tests.pairs.loc[0, ["pairs", "higher", "same", "lower"]].tolist()
    [3, 2, 1, 0]
    """
    check_margin(margin)
    points = _time_points(at)
    outcomes = [
        edss_outcome(cohort, points, tolerance),
        relapse_outcome(cohort, points if edges is None else edges),
    ]
    tests: list[dict[str, object]] = []
    pairs: list[dict[str, object]] = []
    for arm, chosen in _groups(cohort, pooled):
        for outcome in outcomes:
            mine = outcome.of(chosen)
            pairs += [{"arm": arm, **_pair_counts(mine, point)} for point in mine.compared]
            for labels, test in _tests(mine, margin, exact_up_to):
                tests.append({"arm": arm, "outcome": mine.name, **labels, **asdict(test)})
    return PairedTests(
        tests=_adjusted(pd.DataFrame(tests)),
        pairs=pd.DataFrame(pairs, columns=_PAIRS),
        cohort_name=cohort.name,
        index_date=cohort.index_date,
        simulated=cohort.simulated,
        margin=margin,
        notes=paired_notes(
            tolerance=tolerance,
            margin=margin,
            exact_up_to=exact_up_to,
            several_arms=len(cohort.arms) > 1,
            pooled=pooled,
        ),
    )


_PAIRS = ["arm", "outcome", "comparison", "later", "patients", "pairs", "no_baseline", "no_later", "neither"]
_PAIRS += ["higher", "same", "lower", "baseline_median", "later_median"]
_TESTS = ["arm", "outcome", "comparison", "later", "test", "n", "estimand", "estimate", "lower", "upper"]
_TESTS += ["confidence", "statistic", "p_value", "p_holm", "family", "method", "reason"]


def _time_points(at: Sequence[float]) -> list[float]:
    points = sorted(float(point) for point in at)
    if 0.0 not in points:
        raise ValueError(f"at must contain 0, the baseline of every pair; it is {tuple(at)!r}.")
    return points


def _groups(cohort: Cohort, pooled: bool) -> Iterator[tuple[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]]:
    arm = cohort.patients["arm"]
    if pooled and len(cohort.arms) > 1:
        yield EVERYBODY, np.ones(cohort.n_patients, dtype=np.bool_)
        return
    for name in cohort.arms:
        yield name, (arm == name).to_numpy(dtype=np.bool_)


def _pair_counts(outcome: Outcome, point: int) -> dict[str, object]:
    before, after, _ = outcome.pair(point)
    has_before, has_after = ~np.isnan(before), ~np.isnan(after)
    both = has_before & has_after
    change = after[both] - before[both]
    return {
        "outcome": outcome.name,
        "comparison": _comparison(outcome, point),
        "later": outcome.later[point],
        "patients": before.size,
        "pairs": int(both.sum()),
        "no_baseline": int((~has_before & has_after).sum()),
        "no_later": int((has_before & ~has_after).sum()),
        "neither": int((~has_before & ~has_after).sum()),
        "higher": int((change > 0).sum()),
        "same": int((change == 0).sum()),
        "lower": int((change < 0).sum()),
        "baseline_median": float(np.median(before[both])) if both.any() else np.nan,
        "later_median": float(np.median(after[both])) if both.any() else np.nan,
    }


def _comparison(outcome: Outcome, point: int) -> str:
    if outcome.name == "EDSS":
        return f"{outcome.labels[point]} against baseline"
    before = "the time before" if outcome.baseline is None else outcome.labels[outcome.baseline]
    return f"{outcome.labels[point]} against {before}"


def _tests(
    outcome: Outcome, margin: float | None, exact_up_to: int
) -> Iterator[tuple[dict[str, object], ChangeTest]]:
    for point in outcome.compared:
        before, after, reason = outcome.pair(point)
        change = after - before
        change = change[~np.isnan(change)]
        results = [signed_rank(change, exact_up_to=exact_up_to), sign_test(change), paired_t(change)]
        if outcome.name == "EDSS":
            results.append(equivalence(change, margin=margin))
        labels: dict[str, object] = {
            "comparison": _comparison(outcome, point),
            "later": outcome.later[point],
        }
        yield from ((labels, replace(result, reason=reason or result.reason)) for result in results)
    complete = outcome.table[~np.isnan(outcome.table).any(axis=1)]
    overall, reason = friedman(complete), outcome.why_not_all()
    if reason:
        overall = ChangeTest(test=overall.test, n=overall.n, estimand=overall.estimand, reason=reason)
    yield {"comparison": "over " + ", ".join(outcome.labels), "later": np.nan}, overall


def _adjusted(tests: pd.DataFrame) -> pd.DataFrame:
    """Add Holm's adjustment within each kind of test."""
    families = tests.groupby("test", sort=False)["p_value"]
    adjusted = families.transform(lambda p: holm(p.to_numpy()))
    return tests.assign(p_holm=adjusted, family=families.transform("count").astype("int64"))[_TESTS]
