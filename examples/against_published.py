"""One cohort beside published ones: an alemtuzumab cohort against CARE-MS, OPERA and Muraro 2025, and what that cannot show.

The 35 patients are SIMULATED. Run: `python examples/against_published.py`. Figures go to examples/output/.
"""

from __future__ import annotations

from pathlib import Path

import trajectories as tj
from trajectories import plots
from trajectories.comparison import published

OUTPUT = Path(__file__).parent / "output"
WINDOW = (
    0.0,
    2.0,
)  # the own relapses of two years, whatever window a paper has: the print says where the two differ


def matched_weights(cohort: tj.Cohort) -> tj.MaicWeights:
    """Weights to the population of CARE-MS II; CARE-MS I is out of reach of these patients, and the error says why."""
    first, second = (study["alemtuzumab"] for study in (published.CARE_MS_1, published.CARE_MS_2))
    everything = ("age", "sex", "edss_baseline", "duration_years")
    try:
        tj.maic(cohort, {name: first[name] for name in everything})
    except tj.MaicError as refused:
        print(f"Weights to CARE-MS I are refused: {refused}\n")
    return tj.maic(cohort, {name: second[name] for name in ("age", "sex", "edss_baseline")})


def main() -> None:
    OUTPUT.mkdir(exist_ok=True)
    cohort = tj.simulated_alemtuzumab_35()
    first, second = (study["alemtuzumab"] for study in (published.CARE_MS_1, published.CARE_MS_2))
    london = published.MURARO_2025

    # The trial's own counts give its ratio back: two arms that were randomised, which nothing below has.
    print(tj.rate_ratio_from_summary(first.relapses, published.CARE_MS_1["interferon"].relapses), "\n")

    weights = matched_weights(cohort)
    print(weights, "\n")
    weighted = tj.against_published(cohort, second.arr, weights=weights, window=WINDOW)
    plain = [tj.against_published(cohort, arm.arr, window=WINDOW) for arm in (first, second)]
    # OPERA and Muraro 2025 printed rates without interval: taken for exactly known, and marked so.
    bare = [
        tj.against_published(cohort, arm.arr, window=WINDOW, accept_no_interval=True)
        for arm in (published.OPERA["ocrelizumab"], london["alemtuzumab"], london["ocrelizumab"])
    ]
    changes = [tj.against_published(cohort, arm.edss_change, window=WINDOW) for arm in (first, second)]
    changed = tj.against_published(cohort, second.edss_change, weights=weights, window=WINDOW)
    print(weighted, "\n")
    print(changed, "\n")

    rows = {"own cohort": [*plain, *bare, *changes], "own, weighted to CARE-MS II": [weighted, changed]}
    plots.beside_published(rows).savefig(OUTPUT / "against_published.png", dpi=200)

    ratio = plain[1].ratio
    assert ratio is not None  # of rates there is one
    print("How strong must hidden bias be to explain the ratio as observed, CARE-MS II the reference?")
    print(tj.e_value(ratio, measure="rate ratio"), "\n")
    tipping = tj.tipping_point(ratio, measure="rate ratio")
    plots.tipping_point(tipping).savefig(OUTPUT / "against_published_tipping.png", dpi=200)
    answer(plain[1], weighted, changed)


def answer(plain: tj.AgainstPublished, weighted: tj.AgainstPublished, changed: tj.AgainstPublished) -> None:
    """The comparison in words, and what it cannot show."""
    before, after, change = (
        one.summary().loc[row]
        for one, row in ((plain, "ratio"), (weighted, "ratio"), (changed, "difference"))
    )
    print("In words (SIMULATED patients):")
    print(
        f"- Relapse rate over that of CARE-MS II: {before['median']:.2f} ({before['lower']:.2f} to {before['upper']:.2f}) as observed, "
        f"{after['median']:.2f} ({after['lower']:.2f} to {after['upper']:.2f}) once age, sex and baseline EDSS have its means."
    )
    print(
        f"- Change in EDSS in two years, weighted, less that of CARE-MS II: {change['median']:+.2f} ({change['lower']:+.2f} to "
        f"{change['upper']:+.2f}) points. Weights that ask for a lower baseline EDSS pick those who were low on that day, and some of "
        "them rise again: regression to the mean, which no weight repairs."
    )
    print("What this cannot show:")
    for said in (
        "whether the drug makes the difference: no comparator links the cohorts, and only what both report could be matched;",
        "what was not matched: earlier drugs, duration (out of reach for CARE-MS I), relapses before, centre, calendar time;",
        "whether a relapse or an EDSS step is the same thing in a trial and in a clinic;",
        "how uncertain OPERA and Muraro 2025 are: their rates were taken without interval, so those comparisons are too sure;",
        f"much at all: {weighted.effective:.0f} effective patients.",
    ):
        print(f"- {said}")


if __name__ == "__main__":
    main()
