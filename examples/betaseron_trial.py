"""A real trial of interferon beta-1b: EDSS and exacerbations by dose, 45 patients × 17 six-weekly visits.

Run: `python examples/betaseron_trial.py PATH/betaseron_visits.csv`. The data are those of the R package qif (GPL) and are not part of
this package: columns id, time (weeks), edss, exacerbation (began since the previous visit, 0/1), treatment (0 placebo, 1 low, 2 high
dose), age, duration. Exacerbations are dated at the visit that reports them. Figures go to examples/output/.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

import trajectories as tj
from trajectories import models, plots

OUTPUT = Path(__file__).parent / "output"
DOSES = {0: "placebo", 1: "low dose", 2: "high dose"}
WEEKS_PER_YEAR = 52.18
FIRST_VISIT = 0.13  # years; the data have no visit at randomisation, the first is seven weeks after it


def read(path: Path) -> tj.Cohort:
    table = pd.read_csv(path)
    table["years"] = table["time"] / WEEKS_PER_YEAR
    first = table.drop_duplicates("id").sort_values("treatment", kind="stable")
    patients = pd.DataFrame(
        {
            "patient": first["id"],
            "arm": pd.Categorical(
                first["treatment"].map(DOSES), categories=list(DOSES.values()), ordered=True
            ),
            "age": first["age"],
            "duration": first["duration"],
            # The trial watched everybody for exacerbations from randomisation to the last visit.
            "followup_start": 0.0,
            "followup_end": first["id"].map(table.groupby("id")["years"].max()),
        }
    )
    visits = table[["id", "years", "edss"]].rename(columns={"id": "patient"})
    began = table.loc[table["exacerbation"] == 1, ["id", "years"]].rename(columns={"id": "patient"})
    return tj.read_cohort(visits, relapses=began, patients=patients, name="betaseron")


def main(path: Path) -> None:
    OUTPUT.mkdir(exist_ok=True)
    cohort = read(path)
    print(cohort)
    print(tj.describe(cohort, at=(FIRST_VISIT, 1, 2), edges=(0, 1, 2)))

    # Every patient has a slope: without it, 17 visits of a patient would count as 17 independent looks at the slope of the dose.
    fit = tj.sample(models.OrdinalMixed("edss ~ arm * years + (1 + years | patient)"), cohort, seed=1)
    print(fit)
    change = tj.change(fit, at=2.0, since=FIRST_VISIT)
    print(change)

    counts = tj.sample(models.RelapseCounts("relapses ~ arm", windows=(0.0, None)), cohort, seed=2)
    rates = tj.relapse_rate(counts)
    print(rates)

    doses = list(DOSES.values())[1:]
    changes = {f"{dose} − placebo": tj.contrast(change, dose, "placebo") for dose in doses}
    ratios = {f"{dose} / placebo": tj.contrast(rates, dose, "placebo", scale="ratio") for dose in doses}
    plots.trajectories(fit).savefig(OUTPUT / "betaseron_trajectories.png", dpi=200)
    plots.posterior_predictive(fit).savefig(OUTPUT / "betaseron_check.png", dpi=200)
    plots.forest(changes).savefig(OUTPUT / "betaseron_change.png", dpi=200)
    plots.forest(ratios).savefig(OUTPUT / "betaseron_relapse_ratios.png", dpi=200)

    print("\nIn words:")
    for dose, change_by, ratio in zip(doses, changes.values(), ratios.values(), strict=True):
        c, r = change_by.summary().iloc[0], ratio.summary().iloc[0]
        print(
            f"- {dose} against placebo, first visit to two years: EDSS change differs by {c['mean']:+.2f} points "
            f"({c['lower']:+.2f} to {c['upper']:+.2f}); exacerbation rate {r['mean']:.2f} times ({r['lower']:.2f} to {r['upper']:.2f})."
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
