"""Run a recovery or calibration study from the command line: `python tests/recovery/run_study.py NAME --replications 200`."""

from __future__ import annotations

import argparse
from pathlib import Path

import calibration_study
import comparisons
import recovery_study
from comparisons import COMPARISONS
from scenarios import SCENARIOS
from set_ups import SET_UPS


def main() -> None:
    """Run one study, or go on with it, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*SCENARIOS, *SET_UPS, *COMPARISONS])
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--folder", type=Path, default=Path(), help="where the CSV file of the study is kept")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.name in SCENARIOS:
        scenario = SCENARIOS[arguments.name]
        rows = recovery_study.run(scenario, arguments.replications, arguments.folder)
        print(f"{scenario.name}: {scenario.description}")
        table = recovery_study.summarise(rows, scenario.nulls)
    elif arguments.name in COMPARISONS:
        study = COMPARISONS[arguments.name]
        rows = comparisons.run(study, arguments.replications, arguments.folder)
        print(f"{study.name}: {study.description}")
        nulls = dict.fromkeys(study.estimators, 0.0)
        table = recovery_study.summarise(rows, nulls).drop(columns="worst R-hat")
    else:
        set_up = SET_UPS[arguments.name]
        rows = calibration_study.run(set_up, arguments.replications, arguments.folder)
        print(f"{set_up.name}: {set_up.description}")
        table = calibration_study.summarise(rows)
    print(table.round(3).to_string())
    fits = rows.drop_duplicates("replication")
    print(f"a replication: {fits['seconds'].median():.1f} s (median)")
    if "diverging" in fits:
        print(
            f"draws that diverged: {fits['diverging'].mean():.2%}, most in one fit {fits['diverging'].max():.1%}"
        )


if __name__ == "__main__":
    main()
