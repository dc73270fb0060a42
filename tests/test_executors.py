"""The bootstrap on executors of other libraries: the same replicates, where they are installed."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories import models


@pytest.fixture(scope="module")
def made():
    """A rate ratio by the executor of a bootstrap, of 80 patients whose severity goes with arm and relapses."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=80)
    new = rng.random(80) < 1 / (1 + np.exp(-x))
    ids = [f"p{i:02d}" for i in range(80)]
    who = np.repeat(ids, rng.poisson(np.exp(0.5 + 0.3 * x - 0.5 * new)))
    relapses = pd.DataFrame({"patient": who, "day": 40 * pd.Series(who).groupby(who).cumcount() + 20})
    people = pd.DataFrame({"patient": ids, "arm": np.where(new, "new", "old"), "x": x, "followup_start": 0, "followup_end": 730})  # fmt: skip
    visits = pd.DataFrame({"patient": ids, "day": 0, "edss": 2.0})
    cohort = tj.read_cohort(visits, patients=people, relapses=relapses, name="made up")
    rate = tj.relapse_rate(tj.maximise(models.RelapseCounts("relapses ~ arm + x", family="poisson"), cohort))
    weights = tj.weights(tj.propensity(cohort, "arm ~ x"), "ATE")

    def ratio(executor=None):
        bootstrap = tj.Bootstrap(n=50, seed=3, executor=executor)
        options = {"scale": "ratio", "weights": weights, "augmented": True, "bootstrap": bootstrap}
        return tj.contrast(rate, "new", "old", **options).draws.to_numpy()

    return ratio


@contextmanager
def loky():
    found = pytest.importorskip("joblib.externals.loky", reason="joblib is not installed")
    executor = found.get_reusable_executor(max_workers=1)
    yield executor
    executor.shutdown(wait=True)


@contextmanager
def dask(processes):
    found = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with found.Client(
        n_workers=1, threads_per_worker=1, processes=processes, dashboard_address=None
    ) as client:
        yield client.get_executor()


@contextmanager
def ray():
    found = pytest.importorskip("ray", reason="Ray is not installed")
    from ray.util.multiprocessing import Pool

    found.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield Pool(1)
    found.shutdown()


@pytest.mark.parametrize(
    "where",
    [loky, lambda: dask(True), lambda: dask(False), ray],
    ids=["joblib's loky", "Dask processes", "Dask threads", "Ray"],
)
def test_the_same_replicates_elsewhere(made, where):
    with where() as executor:
        there = made(executor)
    np.testing.assert_allclose(there, made(), rtol=1e-9)


def test_what_is_sent_shows_no_patients(made):
    """Dask and its dashboard show the names of tasks."""
    shown = []

    class Here:
        def map(self, function, values, /):
            shown.append(f"{function!r} {function.__dask_tokenize__()}")
            return [function(value) for value in values]

    made(Here())
    assert shown
    assert not any("p0" in text or "patient" in text for text in shown)
