"""Three disease-modifying therapies side by side: stabilisation and relapse rates, and their contrasts.

The 400 patients are SIMULATED, with invented effects. Run: `python examples/compare_dmts.py`. Figures go to examples/output/.
"""

from __future__ import annotations

from pathlib import Path

import trajectories as tj
from trajectories import models, plots

OUTPUT = Path(__file__).parent / "output"
PAIRS = (("alemtuzumab", "fingolimod"), ("ocrelizumab", "fingolimod"), ("alemtuzumab", "ocrelizumab"))
MARGIN = 0.5


def chance(probability: float) -> str:
    """A probability that is never printed as certain."""
    return "> 0.99" if probability > 0.99 else "< 0.01" if probability < 0.01 else f"{probability:.2f}"


def main() -> None:
    OUTPUT.mkdir(exist_ok=True)
    cohort = tj.simulated_three_dmts_400()
    print(cohort)
    print(tj.describe(cohort))

    # edss_baseline in the formula adjusts for where patients started; visits up to time 0 then leave the outcome, and changes
    # since 0 are from the observed baseline.
    model = models.OrdinalMixed("edss ~ edss_baseline + age + arm * years + (1 + years | patient)")
    fit = tj.sample(model, cohort, seed=1)
    print(fit)
    stable = tj.stabilisation(fit, at=2.0, margin=MARGIN)
    print(stable)

    # All relapses after the start, over the person-years observed; adjusted for those of the year before.
    counts = tj.sample(
        models.RelapseCounts("relapses ~ arm + relapses_year_before", windows=(0.0, None)), cohort, seed=2
    )
    rates = tj.relapse_rate(counts)
    print(rates)

    changes = {f"{a} − {b}": tj.contrast(stable.change, a, b) for a, b in PAIRS}
    ratios = {f"{a} / {b}": tj.contrast(rates, a, b, scale="ratio") for a, b in PAIRS}
    plots.trajectories(fit).savefig(OUTPUT / "dmts_trajectories.png", dpi=200)
    plots.outcomes(stable).savefig(OUTPUT / "dmts_outcomes.png", dpi=200)
    plots.forest(changes).savefig(OUTPUT / "dmts_change.png", dpi=200)
    plots.forest(ratios).savefig(OUTPUT / "dmts_relapse_ratios.png", dpi=200)

    print("\nIn words (SIMULATED patients, invented effects):")
    for (a, b), change, ratio in zip(PAIRS, changes.values(), ratios.values(), strict=True):
        c, r = change.summary().iloc[0], ratio.summary().iloc[0]
        print(
            f"- {a} against {b}: EDSS change differs by {c['mean']:+.2f} points ({c['lower']:+.2f} to {c['upper']:+.2f}; below 0 favours "
            f"{a}, probability {chance(1 - c['Pr(> 0)'])}); relapse rate {r['mean']:.2f} times ({r['lower']:.2f} to {r['upper']:.2f})."
        )
    print(
        "These are descriptive contrasts: an effect of the drug only if all reasons for choosing it are in the formula."
    )


if __name__ == "__main__":
    main()
