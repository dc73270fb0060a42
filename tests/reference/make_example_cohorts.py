"""Make the two simulated cohorts that ship in trajectories/example_data.

    python tests/reference/make_example_cohorts.py                  writes the files
    python tests/reference/make_example_cohorts.py --search 90000   looks for seeds for the 35
    python tests/reference/make_example_cohorts.py --tune 66623     looks for cutpoints at a seed

The seed and the numbers of the 35 come from searches of this kind, the slopes and the top of the scale
adjusted by hand in between; to run them again gives similar ones, not necessarily these.

No patient is in them. The 35 are one draw of a model whose seed and cutpoints were chosen so that medians
and quartiles by window come close to those published by Zmira et al. 2020 (doi 10.1007/s13760-020-01375-6),
the only thing taken from there, with the counts and means of sex, age, duration and earlier DMTs. The 400
are one draw with a treatment that depends on the history before it; the seed was not chosen. numpy does not
promise the same random numbers in every version, so the files are what counts: a run with another numpy may
give another cohort of the same kind.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd

from trajectories.simulate import (
    DropOut,
    OrdinalTruth,
    RelapseTruth,
    SimulatedTables,
    VisitSchedule,
    simulate_tables,
)
from trajectories.simulation.averaging import cutpoints_from_probabilities

FOLDER = Path(__file__).parents[2] / "trajectories" / "example_data"

# Zmira 2020: quartile, median, quartile, at years −1, 0, 1, 2 and in the year before, year 1, year 2.
EDSS = {-1: (1.5, 4.0, 5.1), 0: (2.5, 4.0, 6.0), 1: (2.9, 4.8, 6.0), 2: (2.5, 3.0, 6.5)}
RELAPSES = {-1: (1.0, 2.0, 3.0), 0: (0.0, 0.0, 1.0), 1: (0.0, 0.0, 0.0)}
SEED_35 = 66623
SEED_400 = 2020

PATIENT_SD_35 = 5.0
# To search from. Two humps with few patients at 3.5 to 4.5: the published medians jump from 4.8 to 3.0 in a
# year in which the quartiles stay. At the top few patients, since few so disabled start a DMT.
LEVELS_35 = np.array([2, 6, 11, 10, 13, 13, 3, 2, 1.5, 5, 7, 9, 13, 3, 1, 0.5, 0.2, 0.03, 0.02, 0.01])
FIRST_CUTPOINTS = cutpoints_from_probabilities(LEVELS_35 / LEVELS_35.sum(), sd=PATIENT_SD_35).round(1)
CUTPOINTS_35 = np.array(
    [-11.1, -7.0, -4.7, -4.3, -2.0, 0.6, 0.8, 1.2, 1.3, 2.2, 3.3, 7.1, 9.3, 11, 15, 19, 24, 28, 32]
)


def alemtuzumab_35(
    seed: int, *, cutpoints: np.ndarray = CUTPOINTS_35, relapses: bool = True
) -> SimulatedTables:
    """Thirty-five patients, in days since treatment start, without covariates."""
    return simulate_tables(
        patients={"alemtuzumab": 35},
        seed=seed,
        disability=OrdinalTruth(
            cutpoints=tuple(cutpoints.tolist()),
            before=0.9,
            slope=0.0,
            patient_sd=PATIENT_SD_35,
            slope_sd=1.0,
            correlation=0.1,
        ),
        relapses=RelapseTruth(before=2.1, after=0.32, frailty=0.35) if relapses else None,
        visits=VisitSchedule(years=(-1, 0, 0.5, 1, 1.5, 2), jitter_days=20, missed=0.08),
        dropout=DropOut(rate=0.06),
    )


def edss_distance(tables: SimulatedTables) -> float:
    """Summed distance of the quartiles and medians of EDSS from the published ones, EDSS points."""
    day, edss = tables.visits["day"].to_numpy(), tables.visits["edss"].to_numpy()
    total = 0.0
    for year, published in EDSS.items():
        near = np.abs(day - round(year * 365.25)) <= 91  # at most one visit each, with this jitter
        total += np.abs(np.quantile(edss[near], [0.25, 0.5, 0.75]) - published).sum()
    return total


def relapse_distance(tables: SimulatedTables) -> float:
    """Summed distance of the quartiles and medians of relapses from the published ones, complete windows."""
    total, last = 0.0, tables.patients["followup_end"].to_numpy()
    for year, published in RELAPSES.items():
        start, end = round(year * 365.25), round((year + 1) * 365.25)
        inside = tables.relapses[tables.relapses["day"].between(start, end - 1)]
        counts = tables.patients["patient"].map(inside["patient"].value_counts()).fillna(0).to_numpy()
        total += np.abs(np.quantile(counts[last >= end - 1], [0.25, 0.5, 0.75]) - published).sum()
    return total


def search(seeds: int) -> None:
    """Print the seeds with the smallest summed distance, at the first cutpoints."""

    def draw(seed: int, relapses: bool) -> SimulatedTables:
        return alemtuzumab_35(seed, cutpoints=FIRST_CUTPOINTS, relapses=relapses)

    by_edss = sorted((edss_distance(draw(seed, False)), seed) for seed in range(seeds))
    best = [(edss + relapse_distance(draw(seed, True)), edss, seed) for edss, seed in by_edss[: seeds // 200]]
    for total, edss, seed in sorted(best)[:15]:
        print(f"seed {seed}: distance {total:.3f}, of which EDSS {edss:.3f}")


def tune(seed: int, steps: int = 10_000) -> None:
    """Print cutpoints that bring the EDSS at this seed closer: random steps, drawn back to the first ones."""
    rng, cutpoints, best = np.random.default_rng(0), FIRST_CUTPOINTS, np.inf
    for _ in range(steps):
        step = np.where(rng.random(19) < 0.3, rng.normal(0, 0.4, 19), 0.0)
        towards = (FIRST_CUTPOINTS - cutpoints) * (rng.random(19) < 0.1)
        proposed = np.sort(cutpoints + step + towards).round(1)
        if (np.diff(proposed) < 0.1).any():
            continue
        distance = edss_distance(alemtuzumab_35(seed, cutpoints=proposed, relapses=False))
        distance += 0.02 * np.abs(proposed - FIRST_CUTPOINTS).sum()
        if distance < best:
            cutpoints, best = proposed, distance
    left = edss_distance(alemtuzumab_35(seed, cutpoints=cutpoints, relapses=False))
    print(f"EDSS distance {left:.3f} at cutpoints {cutpoints.tolist()}")


def people_35(patients: pd.Series, rng: np.random.Generator) -> pd.DataFrame:
    """Sex, age, duration and earlier DMTs with the published counts and means, unrelated to the outcomes."""
    n = len(patients)
    age = with_moments(rng.normal(size=n), 37.3, 10.5).clip(19, 62).round(1)
    duration = np.minimum(rng.lognormal(2.2, 0.5, n), age - 16)
    return pd.DataFrame(
        {
            "patient": patients,
            "sex": rng.permutation(["F"] * 19 + ["M"] * 16),
            "age": age,
            "duration_years": (duration * 10.4 / duration.mean()).round(1),
            "prior_dmts": rng.permutation([1] * 4 + [2] * 8 + [3] * 12 + [4] * 7 + [5] * 4),
            "start": pd.Timestamp("2014-03-01") + pd.to_timedelta(rng.integers(0, 1200, n), unit="D"),
        }
    )


def with_moments(values: np.ndarray, mean: float, sd: float) -> np.ndarray:
    return mean + sd * (values - values.mean()) / values.std(ddof=1)


def with_dates(tables: SimulatedTables, people: pd.DataFrame) -> SimulatedTables:
    """Days since treatment start turned into calendar dates, as a clinic would have them."""
    start = people.set_index("patient")["start"]

    def dated(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
        dates = {
            date: table["patient"].map(start) + pd.to_timedelta(table[day], unit="D")
            for day, date in names.items()
        }
        return table.drop(columns=list(names)).assign(**dates)

    patients = dated(tables.patients, {day: day for day in ("followup_start", "followup_end")})
    return dataclasses.replace(
        tables,
        visits=dated(tables.visits, {"day": "date"})[["patient", "date", "edss"]],
        relapses=dated(tables.relapses, {"day": "date"}),
        patients=patients.merge(people, on="patient"),
    )


ARMS_400 = ("fingolimod", "ocrelizumab", "alemtuzumab")
# The usual cutpoints, wider apart at the top, so that nobody with EDSS 9 starts a DMT.
CUTPOINTS_400 = (*OrdinalTruth().cutpoints[:14], 12.5, 15.0, 18.0, 22.0, 26.0)
DISABILITY_400 = OrdinalTruth(
    cutpoints=CUTPOINTS_400,
    before=0.5,
    slope=0.5,
    arm_slope={"ocrelizumab": -0.35, "alemtuzumab": -0.7},
    slope_effects={"age_from_40": 0.02},
    effects={"age_from_40": 0.06},
)
RELAPSES_400 = RelapseTruth(
    before=1.0,
    after={"fingolimod": 0.35, "ocrelizumab": 0.18, "alemtuzumab": 0.14},
    frailty=0.8,
    effects={"age_from_40": -0.025},
)


def three_dmts_400(seed: int) -> SimulatedTables:
    """Four hundred patients who get their DMT by age and by EDSS and relapses before treatment start.

    The history before the start does not depend on the arm, so it is simulated once to choose the arm by it,
    and the same seed with the chosen arms gives that history again and what follows.
    """
    rng = np.random.default_rng(seed)
    people = people_400(rng)
    history = simulate_400(people.assign(arm=ARMS_400[0]), seed)
    people["arm"] = chosen_arm(people, history, rng)
    # The order of appearance of the arms is their order in the cohort: the reference first.
    order = people["arm"].map(ARMS_400.index).to_numpy().argsort(kind="stable")
    names = dict(zip(people["patient"].iloc[order], people["patient"], strict=True))
    tables = simulate_400(people, seed)
    before = [made.visits.query("day <= 0").reset_index(drop=True) for made in (history, tables)]
    assert before[0].equals(before[1])
    return renamed(tables, names)


def people_400(rng: np.random.Generator) -> pd.DataFrame:
    n = 400
    age = rng.normal(40, 9.5, 3 * n).round(1)
    age = age[(age >= 18) & (age <= 65)][:n]
    return pd.DataFrame(
        {
            "patient": [f"sim{i:04d}" for i in range(1, n + 1)],
            "sex": np.where(rng.random(n) < 0.68, "F", "M"),
            "age": age,
            "duration_years": np.minimum(rng.gamma(2.0, 4.5, n), age - 15).round(1),
            "prior_dmts": rng.choice(4, n, p=[0.2, 0.4, 0.3, 0.1]),
            "age_from_40": (age - 40).round(1),
        }
    )


def simulate_400(people: pd.DataFrame, seed: int) -> SimulatedTables:
    arm = pd.Categorical(people["arm"], categories=ARMS_400, ordered=True)
    return simulate_tables(
        patients=people.assign(arm=arm),
        seed=seed,
        disability=DISABILITY_400,
        relapses=RELAPSES_400,
        visits=VisitSchedule(
            years=(-1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4),
            jitter_days=25,
            missed=0.07,
            missing_edss=0.02,
        ),
        dropout=DropOut(rate=0.07, edss_effect=0.1, reference=3.0),
    )


def chosen_arm(people: pd.DataFrame, history: SimulatedTables, rng: np.random.Generator) -> np.ndarray:
    """Multinomial logit on age, last EDSS and relapses in the year before."""
    visits = history.visits[history.visits["day"] <= 0].dropna()
    edss = people["patient"].map(visits.groupby("patient")["edss"].last()).to_numpy() - 3
    year = history.relapses[history.relapses["day"].between(-365, -1)]
    relapses = people["patient"].map(year["patient"].value_counts()).fillna(0).to_numpy() - 1
    age = people["age_from_40"].to_numpy()
    logits = np.column_stack(
        [
            np.zeros(len(people)),
            0.1 + 0.03 * age + 0.20 * edss + 0.20 * relapses,
            -0.2 - 0.05 * age + 0.35 * edss + 0.60 * relapses,
        ]
    )
    gumbel = rng.gumbel(size=logits.shape)
    return np.array(ARMS_400)[(logits + gumbel).argmax(axis=1)]


def renamed(tables: SimulatedTables, names: dict[str, str]) -> SimulatedTables:
    """New names for the patients, and the rows of every table in the order of these names."""

    def rename(table: pd.DataFrame) -> pd.DataFrame:
        table = table.assign(patient=table["patient"].map(names))
        return table.sort_values("patient", kind="stable", ignore_index=True)

    truth = dataclasses.replace(tables.truth, table=rename(tables.truth.table))
    visits, relapses, patients = (rename(t) for t in (tables.visits, tables.relapses, tables.patients))
    return SimulatedTables(visits=visits, relapses=relapses, patients=patients, truth=truth)


def write(name: str, tables: SimulatedTables, covariates: list[str]) -> None:
    """Three tables for `read_cohort`, and the truth: parameters as JSON, patient effects as CSV."""
    FOLDER.mkdir(exist_ok=True)
    patients = tables.patients.drop(columns="age_from_40", errors="ignore")
    for kind, table in (("visits", tables.visits), ("relapses", tables.relapses), ("patients", patients)):
        table.to_csv(FOLDER / f"{name}_{kind}.csv", index=False)
    effects = ["patient", "arm", "intercept", "slope", "log_rate", "frailty", *covariates]
    tables.truth.patients[effects].to_csv(FOLDER / f"{name}_effects.csv", index=False, float_format="%.6g")
    parameters = {
        "seed": tables.truth.seed,
        "arms": tables.truth.arms,
        "disability": dataclasses.asdict(tables.truth.disability),
        "relapses": dataclasses.asdict(tables.truth.relapses),
        "made with numpy": np.__version__,
    }
    (FOLDER / f"{name}_truth.json").write_text(json.dumps(parameters, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--search", type=int, metavar="SEEDS")
    parser.add_argument("--tune", type=int, metavar="SEED")
    arguments = parser.parse_args()
    if arguments.search:
        search(arguments.search)
        return
    if arguments.tune:
        tune(arguments.tune)
        return
    tables = alemtuzumab_35(SEED_35)
    people = people_35(tables.patients["patient"], np.random.default_rng(SEED_35))
    write("simulated_alemtuzumab_35", with_dates(tables, people), [])
    write("simulated_three_dmts_400", three_dmts_400(SEED_400), ["age_from_40"])


if __name__ == "__main__":
    main()
