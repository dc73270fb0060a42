"""Comparisons of arms that patients chose by their history: one large cohort, and the study of two hundred behind the `slow` marker."""

from __future__ import annotations

import os
from pathlib import Path

import comparisons
import numpy as np
import pandas as pd
import pytest
import recovery_study
from comparisons import COMPARISONS, Analyst, confounded

RIGHT = ("weighted, overlap", "augmented", "augmented, outcome wrong", "augmented, propensity wrong")
WRONG = ("naive", "weighted, propensity wrong")


@pytest.fixture(scope="module")
def truth() -> dict[tuple[str, str], float]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparisons, "POPULATION", 30_000)
        return dict(comparisons.truths.__wrapped__())


@pytest.mark.parametrize("outcome", ["EDSS", "relapses"])
def test_adjusted_contrasts_find_the_truth_in_a_large_cohort(
    outcome: str, truth: dict[tuple[str, str], float]
) -> None:
    analyst = Analyst(cohort=confounded(3000, 1), number=1)
    ways = {
        name.split(": ")[1]: how
        for name, how in COMPARISONS["comparisons"].estimators.items()
        if how.outcome == outcome
    }
    for name in (*RIGHT, *WRONG):
        how = ways[name]
        draws = analyst.contrast(how).draws.to_numpy().ravel()
        draws = np.log(draws) if outcome == "relapses" else draws
        away = (draws.mean() - truth[outcome, how.target]) / draws.std()
        assert abs(away) < 3 if name in RIGHT else away > 4, name


def test_the_truth_of_the_overlap_is_near_that_of_everybody(truth: dict[tuple[str, str], float]) -> None:
    """Simulated outcomes of given arms: the means of two large cohorts in which everybody has the same arm."""
    assert truth["relapses", "ATE"] == pytest.approx(np.log(0.2 / 0.4))
    assert truth["EDSS", "ATO"] == pytest.approx(truth["EDSS", "ATE"], abs=0.03)
    people = pd.DataFrame({"patient": np.arange(30_000), "age": 40.0, "age_from_40": 0.0})
    rng = np.random.default_rng(1)
    people["age_from_40"] = rng.normal(0, 9.5, 30_000).clip(-22, 25)
    means = []
    for arm in (2, 0):
        visits = comparisons._simulated(people, np.full(30_000, arm), 5).visits
        means.append(visits.loc[(visits["day"] - 730.5).abs() <= 40, "edss"].mean())
    assert means[0] - means[1] == pytest.approx(truth["EDSS", "ATE"], abs=0.05)


@pytest.mark.slow
def test_two_hundred_cohorts(tmp_path: Path) -> None:
    folder = Path(os.environ.get("RECOVERY_FOLDER", tmp_path))
    study = COMPARISONS["comparisons"]
    rows = comparisons.run(study, 200, folder)
    table = recovery_study.summarise(rows, dict.fromkeys(study.estimators, 0.0))
    for name, found in table.iterrows():
        if str(name).split(": ")[1] in WRONG:
            assert found["z"] > 10
            assert found["covered"] < 110
        else:
            assert abs(found["z"]) < 3
            assert 184 <= found["covered"] <= 197  # 95 % of right intervals do
            assert found["excluded"] > 0.79  # two standard errors of a share are 0.06
