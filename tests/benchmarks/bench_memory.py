"""Peak memory of `tj.sample` on 2,000 patients × 8 visits: `python tests/benchmarks/bench_memory.py`.

The whole call with its defaults (4 chains of 1,000 draws after 1,000 steps of warm-up) in a fresh process: reading the cohort, compiling,
sampling, 4,000 draws of 4,000 patient effects, and the log-likelihood of every visit in every draw (512 MB of the total). The target
is a peak resident set of the process below 2 GB. Smaller runs, for work on the code: `--patients 300 --draws 50 --tune 50`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

from machine import describe_machine, one_minute_load, verdict

LIMIT = 2e9


def peak() -> int:
    """Return the largest resident set of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def sample_once(patients: int, draws: int, tune: int, chains: int) -> dict[str, object]:
    """Sample in this process, and return what it took."""
    from simulated_visits import FORMULA, as_cohort, simulate_visits

    import trajectories as tj
    from trajectories import models

    cohort = as_cohort(simulate_visits(patients))
    read = peak()
    begin = time.perf_counter()
    fit = tj.sample(
        models.OrdinalMixed(FORMULA), cohort, draws=draws, tune=tune, chains=chains, seed=1, progress=False, accept_problems=True
    )  # fmt: skip
    seconds, after = time.perf_counter() - begin, peak()
    return {
        "read": read,
        "peak": after,
        "result": sum(group.to_dataset().nbytes for group in fit.data.children.values()),
        "seconds": seconds,
        "sampling": fit.settings["seconds"],
        "ess": float(fit.summary()["ess_bulk"].min()),
        "problems": [str(problem) for problem in fit.problems()],
    }


def main() -> int:
    """Print the peak; the exit status says whether the target was met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--tune", type=int, default=1000)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_this_process:
        print(json.dumps(sample_once(given.patients, given.draws, given.tune, given.chains)))
        return 0
    print(describe_machine())
    ran = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--in-this-process"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found = json.loads(ran.stdout.splitlines()[-1])
    print(
        f"{given.patients} patients × 8 visits, {given.chains} chains × ({given.tune} + {given.draws}) draws\n"
        f"  peak resident set {found['peak'] / 1e9:.2f} GB; after reading the cohort {found['read'] / 1e9:.2f} GB; "
        f"the result itself {found['result'] / 1e9:.2f} GB\n"
        f"  {found['seconds']:.0f} s in all, of which sampling {found['sampling']:.0f} s; smallest bulk ESS {found['ess']:.0f}; "
        f"load at the end {one_minute_load():.1f}\n"
        f"  problems: {'; '.join(found['problems']) or 'none'}"
    )
    met = found["peak"] < LIMIT
    print(verdict(met, f"peak resident set below {LIMIT / 1e9:g} GB"))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
