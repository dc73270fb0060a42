"""Effective draws a second of the ordinal mixed model against brms and bambi: `python tests/benchmarks/bench_ordinal_nuts.py`.

One run on the same data: 200 patients × 8 visits on 20 levels, `level ~ t + t:trt + (1 + t | patient)`, cumulative logit, one program
after the other on two cores, each in a fresh process. What is compared is the smallest bulk effective sample size over all
population parameters, cutpoints included (ArviZ's, for every program), by the second of sampling (warm-up included, compiling not),
and by the second from data to draws (compiling included).

- `ours-first`: this package with the chains and draws of the peers and an empty compile cache: the first fit on a machine;
- `ours`: this package with the defaults of `tj.sample`, compiled parts of an earlier fit in the cache, as in daily use;
- `brms`, `bambi`: their sampler settings are their defaults, with 2 chains of 500 draws after 500 steps of warm-up. Sampling is
  counted as they count it chain by chain, without the start of processes, which is in their favour;
- `bambi-nutpie` (on request): bambi's model with the sampler that we use.

Every program has its own default priors, but for bambi's (see ordinal_bambi.py); posterior means stand side by side, to show
that the comparison is one of equals. Targets: 8 times brms, 3 times bambi, in effective draws a second of sampling.

It needs R with brms (Debian: r-cran-brms, r-cran-bh, libboost-dev) and for bambi, which pins an older formulae, an environment of its
own: made beside this file at the first run, or named by `--bambi-python`. A program that is missing is left out, and said so.
For work on the code: `--draws 50 --tune 50 --peer-draws 50 --programs ours brms`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from machine import describe_machine, one_minute_load, verdict
from simulated_visits import LEVELS, simulate_visits

from trajectories.models.ordinal import CUTPOINTS

HERE = Path(__file__).resolve().parent
PROGRAMS = ("ours-first", "ours", "brms", "bambi", "bambi-nutpie")
TARGETS = {"brms": 8.0, "bambi": 3.0}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one program took, and its draws summarised by parameter."""

    program: str
    sampling: float
    total: float
    diverging: int
    load: float
    rhat: float
    ess: pd.Series
    mean: pd.Series
    sd: pd.Series

    @property
    def by_sampling(self) -> float:
        """Effective draws a second of sampling, of the worst parameter."""
        return float(self.ess.min()) / self.sampling

    @property
    def by_total(self) -> float:
        """Effective draws a second from data to draws, of the worst parameter."""
        return float(self.ess.min()) / self.total


def main() -> int:
    """Run the programs and print the comparison; the exit status says whether the targets were met."""
    given = arguments()
    print(describe_machine())
    print(f"{given.patients} patients × 8 visits, {LEVELS} levels; seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate_visits(given.patients).to_csv(folder / "visits.csv", index=False)
        results = {}
        for program in given.programs:
            command = command_of(program, given.bambi_python)
            if command is None:
                print(f"{program}: not installed here, left out")
                continue
            load = one_minute_load()
            run(program, command, folder, given)
            results[program] = gather(program, folder, load)
            print(f"{program}: {results[program].total:.0f} s", flush=True)
    print("\n" + speeds(results))
    met = [judge(results, program) for program in results if not program.startswith("ours")]
    print("\n" + agreement(results))
    return 0 if all(met) else 1


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--programs", nargs="+", choices=PROGRAMS, default=list(PROGRAMS[:4]))
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--draws", type=int, default=1000, help="of ours, by chain")
    parser.add_argument("--tune", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument(
        "--peer-draws", type=int, default=500, help="of the others, by chain, after as many of warm-up"
    )
    parser.add_argument("--peer-chains", type=int, default=2)
    parser.add_argument(
        "--bambi-python", type=Path, help="the Python of an environment that has bambi and nutpie"
    )
    return parser.parse_args()


def command_of(program: str, bambi_python: Path | None) -> list[str] | None:
    """Return how to start a program, or None where it is missing."""
    if program.startswith("ours"):
        return [sys.executable, str(HERE / "ordinal_ours.py")]
    if program == "brms":
        rscript = shutil.which("Rscript")
        return (
            [rscript, str(HERE / "ordinal_brms.R")] if rscript and works(rscript, "library(brms)") else None
        )
    python = bambi_python or bambi_environment()
    return None if python is None else [str(python), str(HERE / "ordinal_bambi.py")]


def works(interpreter: str, code: str) -> bool:
    """Say whether an interpreter can run some code."""
    flag = "-e" if Path(interpreter).name == "Rscript" else "-c"
    return subprocess.run([interpreter, flag, code], capture_output=True, check=False).returncode == 0


def bambi_environment() -> Path | None:
    """Make the environment of bambi at the first run, and return its Python; None if it cannot be made."""
    python = HERE / ".venv" / "bin" / "python"
    if not python.exists():
        print("making an environment for bambi (once)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(HERE / ".venv")], check=True)
    if not works(str(python), "import importlib.metadata as m; m.version('bambi')"):
        install = [str(python), "-m", "pip", "install", "--quiet", "bambi>=0.21", "nutpie>=0.16.11"]
        if subprocess.run(install, check=False).returncode:
            return None
    return python


def run(program: str, command: list[str], folder: Path, given: argparse.Namespace) -> None:
    """Run one program with a compile cache of this run alone: ours has one, which `ours-first` fills and `ours` finds."""
    plan = (given.draws, given.tune, given.chains)
    if program != "ours":
        plan = (given.peer_draws, given.peer_draws, given.peer_chains)
    cache = folder / f"cache-{program.removesuffix('-first')}"
    done = subprocess.run(
        [*command, str(folder), program, *(str(number) for number in (*plan, given.seed))],
        env=os.environ | {"PYTENSOR_FLAGS": f"base_compiledir={cache}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{program} failed:\n{done.stdout}\n{done.stderr}")


def gather(program: str, folder: Path, load: float) -> Result:
    """Read what a program wrote, and compute the effective sample sizes of all its parameters."""
    import arviz as az
    import xarray as xr

    labels = {f"c{number}": label for number, label in enumerate(CUTPOINTS, start=1)}
    frame = pd.read_csv(folder / f"{program}.csv").rename(columns=labels)
    chains = frame.pop("chain").nunique()
    data = xr.Dataset(
        {name: (("chain", "draw"), frame[name].to_numpy().reshape(chains, -1)) for name in frame.columns}
    )
    ess, rhat = az.ess(data, method="bulk"), az.rhat(data)
    found = json.loads((folder / f"{program}.json").read_text())
    return Result(
        program=found["program"],
        sampling=found["sampling"],
        total=found["total"],
        diverging=found["diverging"],
        load=load,
        rhat=max(float(value) for value in rhat.data_vars.values()),
        ess=pd.Series({name: float(ess[name]) for name in frame.columns}),
        mean=frame.mean(),
        sd=frame.std(),
    )


def speeds(results: dict[str, Result]) -> str:
    """Return a table of times and effective draws."""
    rows = {
        name: {
            "program": found.program,
            "sampling s": f"{found.sampling:.1f}",
            "data to draws s": f"{found.total:.1f}",
            "smallest bulk ESS": f"{found.ess.min():.0f}",
            "of": found.ess.idxmin(),
            "R-hat": f"{found.rhat:.3f}",
            "diverging": found.diverging,
            "ESS/s": f"{found.by_sampling:.1f}",
            "with compiling": f"{found.by_total:.2f}",
            "load before": f"{found.load:.1f}",
        }
        for name, found in results.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").to_string()


def judge(results: dict[str, Result], peer: str) -> bool:
    """Print ours against one peer, and return whether the target is met."""
    ratios = {
        name: found.by_sampling / results[peer].by_sampling
        for name, found in results.items()
        if name.startswith("ours")
    }
    for name, ratio in ratios.items():
        total = results[name].by_total / results[peer].by_total
        print(
            f"{name} against {peer}: {ratio:.1f} times the effective draws a second of sampling, {total:.2f} times with compiling"
        )
    if "ours" not in ratios or peer not in TARGETS:
        return True
    met = ratios["ours"] >= TARGETS[peer]
    print(verdict(met, f"at least {TARGETS[peer]:g} times {peer}"))
    return met


def agreement(results: dict[str, Result]) -> str:
    """Return posterior means side by side, with our standard deviation, and the largest difference from ours in its units."""
    ours = next((results[name] for name in ("ours", "ours-first") if name in results), None)
    frame = pd.DataFrame({name: found.mean for name, found in results.items()})
    if ours is None:
        return frame.to_string(float_format="{:.3f}".format, na_rep="")
    frame = frame.reindex(ours.mean.index)
    lines = [
        "posterior means, and our posterior sd",
        frame.assign(sd=ours.sd).to_string(float_format="{:.3f}".format, na_rep=""),
    ]
    for name in frame.columns:
        apart = ((frame[name] - ours.mean).abs() / ours.sd).dropna()
        if results[name] is not ours:
            lines.append(
                f"{name}: means differ from ours by {apart.max():.2f} posterior sd at most ({apart.idxmax()})"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
