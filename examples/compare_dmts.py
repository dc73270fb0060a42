"""Three disease-modifying therapies compared, from balance to hidden bias: the whole path, on one page of figures at the end.

The 400 patients are SIMULATED, with invented effects that are known, so the last lines compare every answer with the truth.
Run: `python examples/compare_dmts.py`. Figures go to examples/output/.
"""

from __future__ import annotations

from pathlib import Path

import trajectories as tj
from trajectories import models, plots

OUTPUT = Path(__file__).parent / "output"
ARM, REFERENCE = "alemtuzumab", "fingolimod"
AT = 2.0


def chance(probability: float) -> str:
    """A probability that is never printed as certain."""
    return "> 0.999" if probability > 0.999 else "< 0.001" if probability < 0.001 else f"{probability:.3f}"


def trial(cohort: tj.Cohort) -> tj.TargetTrial:
    """The trial that this comparison emulates, and what it lacks."""
    made = tj.target_trial(
        cohort,
        outcome=f"EDSS at {AT:g} years; relapse rate from the start",
        estimand=f"difference of means and ratio of rates, {ARM} against {REFERENCE}, in the overlap population",
        eligibility=[tj.Eligible(name="aged 18 to 60", column="age", at_least=18, at_most=60)],
        covariates=["age", "edss_baseline", "relapses_year_before"],
    )
    print(made)
    print(tj.visit_density(made.cohort))
    return made


def balanced(cohort: tj.Cohort) -> tuple[tj.Propensity, tj.Weights, tj.Balance]:
    """Who was given what, and weights that make the arms alike where they overlap."""
    scores = tj.propensity(cohort, "arm ~ age + edss_baseline + relapses_year_before")
    print(scores)
    # Overlap weights: the answer is about patients who could have been given any of the three. The average over everybody (ATE)
    # leans on few patients with large weights here, as its effective sample size shows.
    everybody, overlap = tj.weights(scores, "ATE"), tj.weights(scores, "ATO")
    print(f"Effective sample size, ATE: {everybody.effective_sample_size.round(0).to_dict()}")
    print(overlap)
    made = tj.balance(overlap)
    print(made)
    return scores, overlap, made


def edss_contrasts(cohort: tj.Cohort, overlap: tj.Weights) -> dict[str, tj.Estimate]:
    """The difference in EDSS at two years, by methods that assume less and less of each other."""
    # edss_baseline in the formula fixes where patients start: visits up to time 0 leave the outcome.
    naive = tj.maximise(models.OrdinalMixed("edss ~ arm * years + (1 + years | patient)"), cohort)
    adjusted = tj.maximise(
        models.OrdinalMixed(
            "edss ~ age + edss_baseline + relapses_year_before + arm * years + (1 + years | patient)"
        ),
        cohort,
    )
    weighted = tj.maximise(
        models.OrdinalMixed("edss ~ edss_baseline + arm * years + (1 + years | patient)"),
        cohort,
        weights=overlap,
    )

    unadjusted, standardised, reweighted = (tj.expected_edss(fit, AT) for fit in (naive, adjusted, weighted))
    bootstrap = tj.Bootstrap(n=200, seed=1)
    return {
        "as observed, unadjusted": tj.contrast(unadjusted, ARM, REFERENCE),
        "standardised": tj.contrast(standardised, ARM, REFERENCE, weights=overlap),
        "weighted": tj.contrast(reweighted, ARM, REFERENCE, weights=overlap),
        "doubly robust": tj.contrast(
            standardised, ARM, REFERENCE, weights=overlap, augmented=True, bootstrap=bootstrap
        ),
    }


def events(cohort: tj.Cohort, overlap: tj.Weights) -> tj.TimeTo:
    """Confirmed worsening, and no evidence of relapse or worsening (there is no MRI here), of the same weighted patients."""
    times = tj.time_to(tj.disability_events(cohort)).weighted(overlap)
    curves = times.kaplan_meier()
    print(curves)
    print(curves.difference([AT], reference=REFERENCE).round(3).to_string())
    print(tj.neda3(cohort, at=AT, components=("relapse", "worsening"), weights=overlap))
    return times


def main() -> None:
    OUTPUT.mkdir(exist_ok=True)
    cohort = trial(tj.simulated_three_dmts_400()).cohort
    print(tj.describe(cohort))
    scores, overlap, balance = balanced(cohort)

    effects = edss_contrasts(cohort, overlap)
    robust = effects["doubly robust"]
    print(robust)

    # All relapses after the start over the person-years observed; alemtuzumab may have another dispersion.
    formula = "relapses ~ arm + age + edss_baseline + relapses_year_before"
    counts = tj.maximise(
        models.RelapseCounts(formula, windows=(0.0, None), dispersion_by="arm"),
        cohort,
    )
    ratio = tj.contrast(
        tj.relapse_rate(counts), ARM, REFERENCE, scale="ratio", weights=overlap, augmented=True,
        bootstrap=tj.Bootstrap(n=500, seed=2),
    )  # fmt: skip
    print(ratio)

    # The same by a posterior, standardised over the overlap (Bayesian bootstrap of its patients): it gives probabilities.
    posterior = tj.sample(models.RelapseCounts(formula, windows=(0.0, None)), cohort, seed=3)
    bayes = tj.contrast(tj.relapse_rate(posterior), ARM, REFERENCE, scale="ratio", weights=overlap)
    print(f"Pr(rate ratio < 1), by the posterior: {chance(bayes.probability(below=1.0).item())}")

    times = events(cohort, overlap)

    # Who benefits: the formula must let the effect depend on the covariate.
    product = tj.maximise(
        models.OrdinalMixed("edss ~ age + edss_baseline * arm * years + (1 | patient)"), cohort
    )
    levels = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    gains = tj.benefit(tj.change(product, AT, by={"edss_baseline": levels}), ARM, REFERENCE)
    print(gains)

    hidden = tj.tipping_point(ratio, measure="rate ratio")
    print(tj.e_value(ratio, measure="rate ratio"))
    print(hidden)

    figures = [
        plots.overlap(scores),
        plots.love(balance),
        plots.forest(effects),
        plots.forest({"doubly robust, bootstrap": ratio, "posterior, standardised": bayes}),
        plots.kaplan_meier(times.kaplan_meier()),
        plots.benefit(gains),
        plots.tipping_point(hidden),
    ]
    plots.page(figures).savefig(OUTPUT / "dmts_page.png", dpi=200)

    truth = cohort.truth
    difference = truth.expected_edss(ARM, at=AT) - truth.expected_edss(REFERENCE, at=AT)  # type: ignore[attr-defined]
    print(f"\nSIMULATED patients, invented effects. {ARM} against {REFERENCE}, EDSS at {AT:g} years:")
    for name, effect in effects.items():
        row = effect.summary().iloc[0]
        print(f"- {name}: {row['mean']:+.2f} ({row['lower']:+.2f} to {row['upper']:+.2f})")
    print(f"- the truth of the simulation, over its whole population: {difference:+.2f}")
    print(
        "An effect of the drug only if every reason for choosing it that also affects disability was recorded, as in this simulation."
    )


if __name__ == "__main__":
    main()
