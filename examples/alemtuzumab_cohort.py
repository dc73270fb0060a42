"""What can 35 people on alemtuzumab tell about stabilisation? The paper's tests, then what models say.

The patients are SIMULATED, in the shape of the medians and quartiles that Zmira et al. (2020, doi:10.1007/s13760-020-01375-6)
published for theirs. Run: `make demo`, or `python examples/alemtuzumab_cohort.py`. Figures go to examples/output/.
"""

from __future__ import annotations

import time
from pathlib import Path

import trajectories as tj
from trajectories import models, plots

OUTPUT = Path(__file__).parent / "output"

# Half a step of a trial's worsening rule; the margin is a clinical statement, so state yours.
MARGIN = 0.5


def headline(text: str) -> None:
    print(f"\n{'=' * 100}\n{text}\n{'=' * 100}")


def main() -> None:
    begin = time.perf_counter()
    OUTPUT.mkdir(exist_ok=True)
    cohort = tj.simulated_alemtuzumab_35()

    headline("1. The cohort, and the paper's tests")
    print(cohort)
    print(tj.describe(cohort))
    print(tj.paired_tests(cohort, margin=MARGIN))
    plots.edss_by_window(cohort).savefig(OUTPUT / "edss_by_window.png", dpi=200)
    plots.relapses(cohort).savefig(OUTPUT / "relapses.png", dpi=200)

    headline("2. EDSS by the ordinal mixed model, with a bend at treatment start")
    # Visits before the start have a slope of their own: one line over both periods would carry the worsening before
    # treatment into the years after it.
    edss_model = models.OrdinalMixed("edss ~ years + on_treatment(years) + (1 + years | patient)")
    fit = tj.sample(edss_model, cohort, seed=1)
    print(fit)
    stable = tj.stabilisation(fit, at=2.0, margin=MARGIN)
    print(stable)
    plots.trajectories(fit).savefig(OUTPUT / "trajectories.png", dpi=200)
    plots.change(stable).savefig(OUTPUT / "change.png", dpi=200)
    plots.margin_curve(stable).savefig(OUTPUT / "margin_curve.png", dpi=200)
    plots.outcomes(stable).savefig(OUTPUT / "outcomes.png", dpi=200)

    headline("3. Relapses by the negative binomial model")
    counts = tj.sample(models.RelapseCounts("relapses ~ period + (1 | patient)"), cohort, seed=2)
    rates = tj.relapse_rate(counts)
    ratio = tj.contrast(rates, "after", "before", over="period", scale="ratio")
    print(rates)
    print(ratio)
    print(tj.relapse_free(counts))

    headline("In words")
    answer(cohort, stable, ratio)
    print(f"\nfigures: {OUTPUT.relative_to(OUTPUT.parents[1])}/   ({time.perf_counter() - begin:.0f} s)")


def answer(cohort: tj.Cohort, stable: tj.Stabilisation, ratio: tj.Estimate) -> None:
    row = stable.summary().iloc[0]
    fall = ratio.summary().iloc[0]
    print(
        f"SIMULATED patients (n = {cohort.n_patients}), alemtuzumab, two years.\n"
        f"- Mean EDSS changed by {row['change']:+.2f} points (95 % interval {row['lower']:+.2f} to {row['upper']:+.2f}; above 0 is worse).\n"
        f"- The probability that the mean change stayed within ±{MARGIN:g} points is {row[f'Pr(|change| < {MARGIN:g})']:.2f}; that it is an\n"
        f"  improvement, {row['Pr(change < 0)']:.2f}. A p-value above 0.05 says neither.\n"
        f"- Of new patients like these, two visits would show {row['patients worse']:.0%} worse, {row['patients stable']:.0%} stable and "
        f"{row['patients improved']:.0%} improved ({stable.rule.name} rule,\n  not confirmed by a later visit); EDSS fluctuates, so this is "
        "no measure of the drug.\n"
        f"- The relapse rate after the start was {fall['mean']:.2f} times that before ({fall['lower']:.2f} to {fall['upper']:.2f}).\n"
        "What this design cannot show: how much would have happened without the drug. Treatment starts after bad years, so part of the\n"
        "fall in relapses is regression to the mean, and there is no control arm to say what EDSS would have done."
    )


if __name__ == "__main__":
    main()
