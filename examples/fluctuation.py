"""How many confirmed events do patients have whose disability does not change? Readers of any endpoint must know.

Patients with a constant true EDSS are SIMULATED: what a visit shows fluctuates about it, correlated over weeks and months, as disability
does. Nobody gets worse or better, and yet the rules find 24-week confirmed worsening and improvement.
Run: `python examples/fluctuation.py`. The figure goes to examples/output/.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import trajectories as tj
from trajectories import edss, endpoints, plots

OUTPUT = Path(__file__).parent / "output"
PATIENTS = 4000
QUARTER = 91.3125  # days


def constant_patients(
    fluctuation: float,
    correlation: float,
    *,
    rater_error: float = 0.0,
    patients: int = PATIENTS,
    seed: int = 1,
) -> tj.Cohort:
    """Simulate two years of quarterly visits of patients whose true EDSS stays what it is.

    What a visit shows is the level nearest to true EDSS + fluctuation + rater error; the fluctuation has this SD (EDSS points) and this
    correlation from one quarter to the next, the rater's error is independent.
    """
    rng = np.random.default_rng(seed)
    visits = 9
    shown = np.empty((patients, visits))
    shown[:, 0] = rng.normal(size=patients)
    for j in range(1, visits):
        shown[:, j] = correlation * shown[:, j - 1] + np.sqrt(1 - correlation**2) * rng.normal(size=patients)
    true = np.clip(rng.normal(3.5, 1.8, size=patients), 0.0, 8.0)
    latent = true[:, None] + fluctuation * shown + rater_error * rng.normal(size=shown.shape)
    levels = edss.LEVELS[np.searchsorted((edss.LEVELS[:-1] + edss.LEVELS[1:]) / 2, latent)]
    days = np.rint(QUARTER * np.arange(visits)).astype(int)
    table = pd.DataFrame(
        {
            "patient": np.repeat(np.arange(patients), visits),
            "day": np.tile(days, patients),
            "edss": levels.ravel(),
        }
    )
    nobody = pd.DataFrame({"patient": [], "day": []})
    return replace(tj.read_cohort(table, relapses=nobody, name="constant EDSS"), simulated=True)


def shares(cohort: tj.Cohort, rule: endpoints.DisabilityRule) -> dict[str, float]:
    """Share of the patients with a confirmed event in two years, by kind."""
    events = tj.disability_events(cohort, rule).events
    return {
        kind: events.loc[events["kind"] == kind, "patient"].nunique() / cohort.n_patients
        for kind in ("worsening", "improvement")
    }


def main() -> None:
    OUTPUT.mkdir(exist_ok=True)
    rows = []
    for fluctuation, correlation in ((0.4, 0.5), (0.4, 0.8), (0.5, 0.65), (0.6, 0.5), (0.6, 0.8)):
        cohort = constant_patients(fluctuation, correlation)
        for rule in (endpoints.TRIAL, endpoints.MSBASE, endpoints.CARE_MS):
            rows.append(
                {"fluctuation SD": fluctuation, "correlation": correlation, "rule": rule.worsening.name}
                | shares(cohort, rule)
            )
    rated = constant_patients(0.0, 0.0, rater_error=0.15)
    rows += [
        {"fluctuation SD": 0.0, "correlation": 0.0, "rule": f"{rule.worsening.name}, rater error only"}
        | shares(rated, rule)
        for rule in (endpoints.TRIAL, endpoints.MSBASE, endpoints.CARE_MS)
    ]
    table = pd.DataFrame(rows)
    print(
        f"SIMULATED: {PATIENTS} patients a row whose true EDSS is constant, visits every quarter for two years."
    )
    print("Share with a 24-week confirmed event, fixed baseline:\n")
    print(
        table.to_string(index=False, formatters=dict.fromkeys(("worsening", "improvement"), "{:.1%}".format))
    )
    found = tj.multiverse(constant_patients(0.5, 0.65), endpoints.PRESETS)
    plots.multiverse(found).savefig(OUTPUT / "fluctuation_multiverse.png", dpi=200)
    moving = table[table["fluctuation SD"] > 0]
    print(
        f"\nIn words: with nobody changing, {moving['worsening'].min():.0%} to {moving['worsening'].max():.0%} have confirmed worsening and "
        f"{moving['improvement'].min():.0%} to {moving['improvement'].max():.0%} confirmed improvement in two years, from\n"
        "fluctuation that lasts months. Errors of raters that are forgotten by the next visit hardly survive confirmation. So report\n"
        "improvement beside worsening: their difference, not worsening alone, says where a group is going."
    )


if __name__ == "__main__":
    main()
