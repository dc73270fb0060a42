"""How long `import trajectories` takes in a fresh process: `python tests/benchmarks/bench_import.py`.

The target is a median below one second, with none of the heavy libraries loaded.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

from machine import describe_machine, verdict

HEAVY = (
    "arviz", "formulae", "jax", "matplotlib", "numba", "nutpie", "pandera", "pymc", "pytensor", "scipy.stats", "statsmodels",
)  # fmt: skip

# The statement that users write first, and then what the first use of the data layer and of the models adds.
STATEMENTS = {
    "import trajectories": "import trajectories",
    "… and tj.read_cohort": "import trajectories as tj; tj.read_cohort",
    "… and trajectories.models": "import trajectories as tj; from trajectories import models; models.OrdinalMixed",
}
LIMIT = 1.0

MEASURE = """
import json, sys, time
begin = time.perf_counter()
{statement}
seconds = time.perf_counter() - begin
print(json.dumps([seconds, [name for name in {heavy!r} if name in sys.modules]]))
"""


def measure(statement: str, repeats: int) -> tuple[list[float], set[str]]:
    """Time a statement in fresh processes; the first, which may have to write byte code, does not count."""
    code = MEASURE.format(statement=statement, heavy=HEAVY)
    seconds, loaded = [], set()
    for _ in range(repeats + 1):
        ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        took, names = json.loads(ran.stdout)
        seconds.append(took)
        loaded |= set(names)
    return seconds[1:], loaded


def main() -> int:
    """Print the times; the exit status says whether the target was met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=11)
    repeats = parser.parse_args().repeats
    print(describe_machine())
    met = True
    for name, statement in STATEMENTS.items():
        seconds, loaded = measure(statement, repeats)
        median = statistics.median(seconds)
        print(
            f"{name:28s} median {median:.3f} s, range {min(seconds):.3f} to {max(seconds):.3f} s in {repeats} fresh processes; "
            f"heavy libraries loaded: {', '.join(sorted(loaded)) or 'none'}"
        )
        if statement == "import trajectories":
            met = median < LIMIT and not loaded
    print(verdict(met, f"import trajectories in less than {LIMIT:g} s with no heavy library"))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
