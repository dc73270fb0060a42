"""Sample the ordinal model with this package, in a process of its own; started by `bench_ordinal_nuts.py`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pandas as pd
from simulated_visits import FORMULA, as_cohort

import trajectories as tj
from trajectories import models
from trajectories.fitting.diagnostics import population
from trajectories.fitting.fit import row_name

# The names that all programs report under, from those of our summary.
NAMES = {
    "years": "t",
    "years:trt": "t:trt",
    "sd(intercept)": "sd(intercept)",
    "sd(years)": "sd(t)",
    "cor(intercept, years)": "cor(intercept, t)",
}


def main(folder: Path, name: str, draws: int, tune: int, chains: int, seed: int) -> None:
    """Write `<name>.csv` (draws) and `<name>.json` (seconds) to the folder that holds `visits.csv`."""
    cohort = as_cohort(pd.read_csv(folder / "visits.csv"))
    begin = time.perf_counter()
    fit = tj.sample(
        models.OrdinalMixed(FORMULA), cohort, draws=draws, tune=tune, chains=chains, seed=seed, progress=False, accept_problems=True
    )  # fmt: skip
    total = time.perf_counter() - begin
    columns = {}
    for variable, array in population(fit.parameters).data_vars.items():
        labels = array[array.dims[2]].to_numpy()
        for label, values in zip(
            labels, array.transpose(array.dims[2], "chain", "draw").to_numpy(), strict=True
        ):
            term = row_name(str(variable), str(label))
            columns[NAMES.get(term, term)] = values.ravel()
    frame = pd.DataFrame(columns)
    frame.insert(0, "chain", [chain for chain in range(chains) for _ in range(draws)])
    frame.to_csv(folder / f"{name}.csv", index=False)
    found = {
        "program": f"trajectories {fit.versions['trajectories']} (nutpie {fit.versions['nutpie']})",
        "sampling": fit.settings["seconds"],
    }
    found |= {"total": total, "diverging": int(fit.data["sample_stats"]["diverging"].sum())}
    (folder / f"{name}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *(int(value) for value in sys.argv[3:7]))
