"""The fractional bootstrap: patients count by random weights, and everything that was estimated is estimated again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.cohort import Cohort
from trajectories.fitting.diagnostics import ConvergenceError
from trajectories.models.design import Floats
from trajectories.weighting.errors import WeightingError

__all__ = ["FEWEST", "Bootstrap", "Maps", "clusters_of", "replicates"]

# Replicates sent to an executor at a time: each start of a process compiles once.
AT_ONCE = 25
# Share of replicates that may have no estimate; they are counted.
FAILED = 0.05
# Clusters below which the spread between them says hardly anything of the error, and intervals are far too narrow.
FEWEST = 10


class Maps(Protocol):
    """What computes replicates elsewhere: a `concurrent.futures.Executor`, or another pool with its `map`."""

    def map(self, function: Callable[[Any], Any], values: Iterable[Any], /) -> Iterable[Any]:
        """Apply a function to values, in their order."""


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """How uncertainty that includes the estimation of weights is found: a fractional bootstrap of patients.

    In each replicate every patient (or cluster) counts by a draw from the exponential distribution, scaled to mean 1, in every step:
    propensities, weights, outcome model, standardisation. Unlike resampling no patient, arm or level of EDSS ever vanishes.

    Parameters
    ----------
    n
        Replicates.
    seed
        The same seed gives the same replicates, on any executor.
    cluster
        A column of the patients table whose patients are drawn together, such as a person with two index episodes, or a centre; None for
        patients one by one. Fewer than 10 clusters are refused, and intervals of fewer than about 40 are still rather narrow.
    executor
        Where to compute: any `concurrent.futures.Executor`, or another pool that has its `map`; None for this process, one after the other.
        Tried, with the same replicates: `ThreadPoolExecutor`, `ProcessPoolExecutor` (spawned), joblib's `loky.get_reusable_executor()`
        (joblib 1.6), `Client.get_executor()` of dask.distributed 2026.8, in processes and in threads, and `ray.util.multiprocessing.Pool` of
        Ray 2.60, which has no executor.

    Raises
    ------
    ValueError
        If there are fewer than 50 replicates; and when it is used, if the column is not there, is the arm, has no value for somebody or fewer
        than 10 different ones.
    TypeError
        If the executor has no `map`.

    Source: Rubin (1981), Annals of Statistics 9:130, doi:10.1214/aos/1176345338; Xu et al. (2020), American Statistician 74:345,
    doi:10.1080/00031305.2020.1731599.

    Examples
    --------
    >>> Bootstrap(n=200, seed=1)
    Bootstrap(n=200, seed=1, cluster=None)
    """

    n: int = 500
    seed: int = 0
    cluster: str | None = None
    executor: Maps | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.n < 50:
            raise ValueError(
                f"a bootstrap needs at least 50 replicates to say anything of an interval, not n={self.n}."
            )
        if self.executor is not None and not callable(getattr(self.executor, "map", None)):
            raise TypeError(
                f"executor is what computes, with a map(function, values), not {self.executor!r}: give "
                "concurrent.futures.ProcessPoolExecutor(4), say, or leave it out."
            )

    def clusters(self, cohort: Cohort) -> pd.Series:
        """The cluster of each patient, 0, 1, …, index `patient`."""
        patients = cohort.patients
        if self.cluster is None:
            return pd.Series(np.arange(len(patients)), index=patients["patient"])
        return pd.Series(clusters_of(cohort, self.cluster), index=patients["patient"])

    def drawn(self, cohort: Cohort) -> str:
        """What is drawn from a cohort, in words: "patient", or "centre (12 clusters)"."""
        if self.cluster is None:
            return "patient"
        return f"{self.cluster} ({self.clusters(cohort).nunique()} clusters)"


def clusters_of(cohort: Cohort, cluster: str) -> NDArray[np.int64]:
    """The cluster of each patient, 0, 1, …, by a column of the patients; refuses too few of them."""
    patients = cohort.patients
    if cluster not in patients:
        raise ValueError(f"cluster={cluster!r} is no column of the patients table.")
    if cluster == "arm":
        raise ValueError(
            "cluster='arm' would draw each arm as one, and the arms are what is compared: leave cluster= out, or name a person or centre."
        )
    if patients[cluster].isna().any():
        raise ValueError(f"{int(patients[cluster].isna().sum())} patients have no {cluster}: fill it in.")
    codes = np.asarray(pd.factorize(patients[cluster])[0], dtype=np.int64)
    n = len(np.unique(codes))
    if n < FEWEST:
        raise ValueError(
            f"{cluster!r} makes {n} cluster{'' if n == 1 else 's'}, and the spread between fewer than {FEWEST} says hardly anything of the "
            f"error: leave cluster= out (patients one by one), and adjust for {cluster} as a covariate of the formulas."
        )
    return codes


def counts_of(clusters: pd.Series, seed: int, replicate: int) -> pd.Series:
    """What each patient counts in a replicate: exponential draws by cluster, of mean 1 over patients.

    >>> counts_of(pd.Series([0, 0, 1], index=["a", "b", "c"]), 1, 0).round(3).tolist()
    [1.311, 1.311, 0.377]
    """
    drawn = np.random.default_rng([seed, replicate]).standard_exponential(int(clusters.max()) + 1)
    counts = drawn[clusters.to_numpy()]
    return pd.Series(counts / counts.mean(), index=clusters.index)


def replicates(
    estimate: Callable[[pd.Series], Floats], cohort: Cohort, bootstrap: Bootstrap
) -> tuple[Floats, int]:
    """Compute a quantity (an array) in every replicate: replicates × …, and how many had no estimate.

    Parameters
    ----------
    estimate
        From what each patient counts (index `patient`) to the quantity; it must be picklable for an executor of processes.
    cohort
        Whose patients are drawn.

    Raises
    ------
    ConvergenceError
        If more than 5 % of the replicates have no estimate.
    """
    clusters = bootstrap.clusters(cohort)
    work = _Several(estimate=estimate, clusters=clusters, seed=bootstrap.seed)
    parts = [range(i, min(i + AT_ONCE, bootstrap.n)) for i in range(0, bootstrap.n, AT_ONCE)]
    found = map(work, parts) if bootstrap.executor is None else bootstrap.executor.map(work, parts)
    results = [result for part in found for result in part]
    failed = [result for result in results if isinstance(result, str)]
    if len(failed) > FAILED * bootstrap.n:
        raise ConvergenceError(
            f"{len(failed)} of {bootstrap.n} replicates of the bootstrap have no estimate, so it would understate the uncertainty. The first: "
            f"{failed[0]} Simplify the model or the propensity, or compare the overlap (target='ATO')."
        )
    return np.stack([result for result in results if not isinstance(result, str)]), len(failed)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class _Several:
    """Computes some replicates; sent to other processes."""

    estimate: Callable[[pd.Series], Floats]
    clusters: pd.Series
    seed: int

    def __call__(self, numbers: range) -> list[Floats | str]:
        """Quantities of some replicates, or why one has none."""
        made: list[Floats | str] = []
        for number in numbers:
            try:
                made.append(self.estimate(counts_of(self.clusters, self.seed, number)))
            except (ConvergenceError, WeightingError, np.linalg.LinAlgError) as error:
                made.append(str(error))
        return made

    def __dask_tokenize__(self) -> str:
        """A name for Dask, which otherwise asks of a fit that it can be hashed, and refuses it."""
        return uuid4().hex
