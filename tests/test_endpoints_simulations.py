"""What rules find where the truth is known: patients who do not change, and what a reference that moves adds."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories import edss, endpoints

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

pytestmark = pytest.mark.filterwarnings("ignore::trajectories.endpoints.EndpointWarning")


@pytest.mark.parametrize(("fluctuation", "correlation"), [(0.4, 0.5), (0.5, 0.65), (0.6, 0.8)])
def test_patients_who_do_not_change_have_confirmed_events(fluctuation, correlation):
    from fluctuation import constant_patients, shares

    cohort = constant_patients(fluctuation, correlation, patients=3000)
    found = shares(cohort, endpoints.MSBASE)
    # Published for an SD of 0.4 to 0.6 and a correlation of 0.5 to 0.8: 8–15 % and 10–18 %; how many exactly depends on where patients are
    # on the scale, here by up to two points.
    assert 0.06 < found["worsening"] < 0.17
    assert 0.07 < found["improvement"] < 0.20
    more = shares(constant_patients(fluctuation + 0.2, correlation, patients=3000), endpoints.MSBASE)
    assert more["worsening"] > found["worsening"] + 0.03


def test_rater_error_alone_hardly_survives_confirmation():
    from fluctuation import constant_patients, shares

    found = shares(constant_patients(0.0, 0.0, rater_error=0.15, patients=3000), endpoints.CARE_MS)
    assert found["worsening"] < 0.005
    assert found["improvement"] < 0.005


def patients_who_start_on_a_bad_day(n: int, seed: int = 1) -> tj.Cohort:
    """Five years of half-yearly visits after a start at which patients are half a point above what they come down to.

    A slope of 0.04 (SD 0.08) points a year, fluctuation of SD 0.5, correlated by 0.65 over a quarter, and 0.25 relapses a year that
    add 1.2 points on average and recover with a time constant of a quarter, one in four not wholly; 10 % a year drop out.
    """
    rng = np.random.default_rng(seed)
    years = np.arange(11) * 0.5
    w = rng.normal(size=(n, 11))
    for j in range(1, 11):
        w[:, j] = 0.65**2 * w[:, j - 1] + np.sqrt(1 - 0.65**4) * w[:, j]
    latent = np.clip(rng.gamma(4.5, 3.5 / 4.5, n), 0, 8)[:, None] + rng.normal(0.04, 0.08, n)[:, None] * years
    latent += -0.5 * (1 - np.exp(-years / 0.7)) + 0.5 * w
    patient = np.repeat(np.arange(n), rng.poisson(0.25 * rng.gamma(1, 1, n) * 5))
    onset = rng.uniform(0, 5, len(patient))
    lasting = (rng.uniform(size=len(patient)) < 0.25) * rng.choice([0.5, 1.0], len(patient))
    since = years - onset[:, None]
    step = lasting[:, None] + rng.gamma(2, 0.6, len(patient))[:, None] * np.exp(-np.maximum(since, 0) / 0.24)
    np.add.at(latent, patient, np.where(since >= 0, step, 0.0))
    levels = edss.LEVELS[np.searchsorted((edss.LEVELS[:-1] + edss.LEVELS[1:]) / 2, latent)]
    seen = years <= np.maximum(rng.exponential(10, n), 0.5)[:, None]
    day = np.broadcast_to(np.rint(years * 365.25).astype(int), seen.shape)
    visits = pd.DataFrame(
        {"patient": np.repeat(np.arange(n), seen.sum(axis=1)), "day": day[seen], "edss": levels[seen]}
    )
    relapses = pd.DataFrame({"patient": patient, "day": np.rint(onset * 365.25).astype(int)})
    relapses = relapses[relapses["day"] <= relapses["patient"].map(visits.groupby("patient")["day"].max())]
    return tj.read_cohort(visits, relapses=relapses)


def test_a_roving_reference_finds_half_as_much_again():
    # In the Tysabri Observational Program 29.7 against 20.3 % worsening, 17.6 against 10.1 % without relapse (Kappos 2018): 1.46 and 1.74.
    cohort = patients_who_start_on_a_bad_day(4000)
    found = {}
    for name, baseline in {"fixed": endpoints.Fixed(), "roving": endpoints.Roving()}.items():
        rule = endpoints.DisabilityRule(worsening=edss.MSBASE, baseline=baseline)
        events = tj.disability_events(cohort, rule).events
        worse = events[events["kind"] == "worsening"]
        found[name] = np.array(
            [worse["patient"].nunique(), worse.loc[worse["label"] == "PIRA", "patient"].nunique()]
        )
    worsening, pira = found["roving"] / found["fixed"]
    assert worsening == pytest.approx(1.5, abs=0.15)
    assert pira == pytest.approx(1.7, abs=0.15)
    assert 0.15 < found["fixed"][0] / 4000 < 0.25
