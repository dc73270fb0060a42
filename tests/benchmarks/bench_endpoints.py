"""Time and memory of `disability_events` and `neda3`, ours alone and, on request, beside pymsprog in the same run.

    python tests/benchmarks/bench_endpoints.py
    python tests/benchmarks/bench_endpoints.py --pymsprog path/to/environment/bin/python

pymsprog needs NumPy < 2 and so an environment of its own; its cost per patient is measured on fewer patients and
scaled, as its loops are over patients.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

VISITS = 20


def tables(patients: int, visits: int = VISITS, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Quarterly visits with an EDSS that drifts and fluctuates, and half a relapse a year."""
    rng = np.random.default_rng(seed)
    gaps = np.maximum(np.rint(rng.normal(91, 15, size=(patients, visits))), 20).astype(int)
    gaps[:, 0] = 0
    day = np.cumsum(gaps, axis=1)
    level = rng.uniform(1, 6, size=(patients, 1)) + rng.normal(0.2, 0.3, size=(patients, 1)) * day / 365.25
    noise = rng.normal(0, 0.5, size=(patients, visits))
    for visit in range(1, visits):
        noise[:, visit] += 0.7 * noise[:, visit - 1]
    edss = np.clip(np.rint(2 * (level + noise)) / 2, 0, 10)
    edss[edss == 0.5] = 1.0
    who = np.repeat(np.arange(patients), visits)
    n = rng.poisson(0.5 * day[:, -1] / 365.25)
    onset = pd.DataFrame({"patient": np.repeat(np.arange(patients), n)})
    onset["day"] = (rng.random(len(onset)) * day[onset["patient"], -1]).astype(int)
    return pd.DataFrame({"patient": who, "day": day.ravel(), "edss": edss.ravel()}), onset


def seconds(call: object) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()  # type: ignore[operator]
    return time.perf_counter() - wall, time.process_time() - cpu


def ours(sizes: list[int], long: bool) -> dict[str, float]:
    """Print our times; return CPU seconds a patient by reference, at the first size."""
    cost: dict[str, float] = {}
    import trajectories as tj
    from trajectories import endpoints as e

    warnings.simplefilter("ignore", e.EndpointWarning)
    rules = {
        "fixed": e.DisabilityRule(confirmation=e.Confirmed(weeks=24, tolerance=(0, float("inf")))),
        "roving": e.DisabilityRule(
            confirmation=e.Confirmed(weeks=24, tolerance=(0, float("inf"))), baseline=e.Roving()
        ),
    }
    small = tj.read_cohort(*_as_arguments(tables(10)))
    first, _ = seconds(lambda: e.disability_events(small, rules["fixed"]))
    print(f"first call in this process, compiled before or not: {first:.1f} s")
    for patients, visits in [(n, VISITS) for n in sizes] + ([(sizes[0], 10 * VISITS)] if long else []):
        cohort = _cohort(*tables(patients, visits))
        for name, rule in rules.items():
            wall, cpu = seconds(lambda rule=rule, cohort=cohort: e.disability_events(cohort, rule))  # type: ignore[misc]
            cost.setdefault(name, cpu / patients)
            n = len(e.disability_events(cohort, rule).events_table)
            print(
                f"trajectories {name:7s} {patients:7,} patients x {visits:3d} visits: {wall:6.2f} s wall, "
                f"{cpu:6.2f} s CPU, {n:,} events, {1e6 * cpu / patients / visits:.2f} us CPU a visit"
            )
    scanned = replace(_cohort(*tables(sizes[0])), mri_table=scans(sizes[0]))
    wall, cpu = seconds(lambda: tj.neda3(scanned, rules["fixed"], at=2.0))
    print(
        f"trajectories neda3   {sizes[0]:7,} patients x {VISITS:3d} visits: {wall:6.2f} s wall, {cpu:6.2f} s CPU"
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    print(f"peak memory of this process, reading the cohort included: {peak:.2f} GB")
    return cost


def scans(patients: int, seed: int = 2) -> pd.DataFrame:
    """A scan a year for five years."""
    rng = np.random.default_rng(seed)
    day = np.tile(np.rint(365.25 * np.arange(6)).astype(int), patients)
    who = np.repeat(np.arange(patients), 6).astype(str)
    counts = {"gd_count": rng.poisson(0.2, len(day)) * 1.0, "new_t2": rng.poisson(0.5, len(day)) * 1.0}
    return pd.DataFrame({"patient": who, "day": day, "years": day / 365.25} | counts)


def _as_arguments(pair: tuple[pd.DataFrame, pd.DataFrame]) -> tuple[pd.DataFrame]:
    return (pair[0],)


def _cohort(visits: pd.DataFrame, relapses: pd.DataFrame) -> object:
    """A cohort without the checks of reading, whose cost is not in question here."""
    from trajectories.cohort import DAYS_PER_YEAR, Cohort

    who = [str(p) for p in range(visits["patient"].max() + 1)]
    names = pd.Series(who)
    visits = visits.assign(
        patient=names.take(visits["patient"]).to_numpy(), years=visits["day"] / DAYS_PER_YEAR
    )
    relapses = relapses.assign(
        patient=names.take(relapses["patient"]).to_numpy(), years=relapses["day"] / DAYS_PER_YEAR
    )
    span = visits.groupby("patient", sort=False)["day"]
    patients = pd.DataFrame(
        {
            "patient": who,
            "arm": pd.Categorical(["all"] * len(who), ordered=True),
            "followup_start_day": span.min().to_numpy(),
            "followup_end_day": span.max().to_numpy(),
            "edss_baseline": span.min().to_numpy() * 0.0,
            "relapses_year_before": np.nan,
        }
    )
    return Cohort(
        visits_table=visits,
        relapses_table=relapses,
        patients_table=patients,
        name="benchmark",
        index_date="Day 0.",
    )


PEER = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import pandas as pd
from pymsprog import MSprog
visits, relapses = pd.read_csv(sys.argv[1]), pd.read_csv(sys.argv[2])
for baseline in ("fixed", "roving"):
    start = time.process_time()
    _, found = MSprog(visits, "patient", "edss", "day", "edss", relapse=relapses, date_format="day", event="multiple",
                      baseline=baseline, RAW_PIRA=True, conf_days=[168], conf_tol_days=[0, float("inf")], verbose=0)
    print(json.dumps([baseline, time.process_time() - start, len(found)]))
"""


def pymsprog(python: str, patients: int, cost: dict[str, float]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "visits.csv", Path(folder) / "relapses.csv"]
        for table, path in zip(tables(patients), paths, strict=True):
            table.to_csv(path, index=False)
        run = subprocess.run(
            [python, "-c", PEER, *map(str, paths)], capture_output=True, text=True, check=True, cwd=folder
        )
    for line in run.stdout.splitlines():
        baseline, cpu, events = json.loads(line)
        print(
            f"pymsprog     {baseline:7s} {patients:7,} patients x {VISITS:3d} visits: {cpu:6.2f} s CPU, "
            f"{events:,} events, {1e6 * cpu / patients / VISITS:.0f} us CPU a visit, "
            f"{cpu / patients / cost[baseline]:.0f} times ours a patient"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--long", action="store_true", help="also ten times the visits")
    parser.add_argument("--pymsprog", help="the python of an environment with pymsprog")
    parser.add_argument("--peer-patients", type=int, default=1000)
    given = parser.parse_args()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    cost = ours(given.patients, given.long)
    if given.pymsprog:
        pymsprog(given.pymsprog, given.peer_patients, cost)


if __name__ == "__main__":
    main()
