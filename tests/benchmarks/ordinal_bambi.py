"""Sample the ordinal model with bambi, in its own environment; started by `bench_ordinal_nuts.py`.

bambi's patient effects are uncorrelated, a parameter less than ours. Its default thresholds are Normal(−2 … 2, sd 1), which would
pull the cutpoints of these data far in; thresholds and standard deviations get brms's defaults here, Student t with 3 degrees of
freedom and scale 2.5, so that the posteriors are the same.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import bambi as bmb
import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

LEVELS = 20
CORES = 2


def make_model(visits: pd.DataFrame) -> bmb.Model:
    """Make the model on the ordered levels."""
    visits = visits.assign(
        yo=pd.Categorical(visits["y"], categories=range(LEVELS), ordered=True), pid=visits["pid"].astype(str)
    )
    centres = np.linspace(
        -2.0, 2.0, LEVELS - 1
    )  # only the ordered start: the prior is wider than that by far
    threshold = bmb.Prior(
        "StudentT", nu=3, mu=centres, sigma=2.5, transform=pm.distributions.transforms.ordered
    )
    effect = bmb.Prior("Normal", mu=0, sigma=bmb.Prior("HalfStudentT", nu=3, sigma=2.5))
    priors = {"threshold": threshold, "1|pid": effect, "t|pid": effect}
    return bmb.Model("yo ~ t + t:trt + (1 + t|pid)", visits, family="cumulative", priors=priors)


def seconds_of_sampling(tree: xr.DataTree, sampler: str) -> float:
    """Return the seconds of all steps, the chains put on the cores in turn: no start of processes and no compiling, in bambi's favour."""
    if sampler != "pymc":
        return float(tree["posterior"].attrs["sampling_time"])
    busy = [0.0] * CORES
    steps = [
        tree[group]["perf_counter_diff"].sum("draw").to_numpy()
        for group in ("warmup_sample_stats", "sample_stats")
    ]
    for took in sum(steps):
        busy[busy.index(min(busy))] += float(took)
    return max(busy)


def main(folder: Path, name: str, draws: int, tune: int, chains: int, seed: int) -> None:
    """Write `<name>.csv` (draws) and `<name>.json` (seconds) to the folder that holds `visits.csv`."""
    sampler = "nutpie" if name == "bambi-nutpie" else "pymc"
    visits = pd.read_csv(folder / "visits.csv")
    begin = time.perf_counter()
    settings = {
        "draws": draws,
        "tune": tune,
        "chains": chains,
        "cores": 2,
        "random_seed": seed,
        "progressbar": False,
    }
    model = make_model(visits)
    tree = model.fit(inference_method=sampler, **settings)
    total = time.perf_counter() - begin
    posterior = tree["posterior"].to_dataset()
    columns = {
        "t": posterior["t"],
        "t:trt": posterior["t:trt"],
        "sd(intercept)": posterior["1|pid_sigma"],
        "sd(t)": posterior["t|pid_sigma"],
    }
    columns |= {f"c{k + 1}": posterior["threshold"][..., k] for k in range(LEVELS - 1)}
    frame = pd.DataFrame({name: array.to_numpy().ravel() for name, array in columns.items()})
    frame.insert(0, "chain", np.repeat(np.arange(chains), draws))
    frame.to_csv(folder / f"{name}.csv", index=False)
    found = {
        "program": f"bambi {version('bambi')} ({sampler})",
        "sampling": float(posterior.attrs["sampling_time"]),
        "total": total,
    }
    found["diverging"] = int(tree["sample_stats"]["diverging"].sum())
    (folder / f"{name}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *(int(value) for value in sys.argv[3:7]))
