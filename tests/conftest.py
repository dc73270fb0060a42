"""Fixtures shared by the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trajectories.cohort import Cohort
from trajectories.fitting.fit import Fit


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets beside the repository, which is not part of it."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not here ({folder.name} beside the repository is absent)")
    return folder


@pytest.fixture(scope="session")
def sampled_cohort() -> Cohort:
    """Forty simulated patients in two arms, five visits each, with a known truth."""
    import trajectories as tj

    truth = tj.OrdinalTruth(slope=0.8, arm_slope={"new": -0.8}, slope_sd=1.5, patient_sd=4.0)
    visits = tj.VisitSchedule(years=(0, 0.5, 1, 1.5, 2))
    return tj.simulate_cohort(
        patients={"old": 20, "new": 20}, seed=1, relapses=None, disability=truth, visits=visits
    )


@pytest.fixture(scope="session")
def resample(sampled_cohort: Cohort) -> Callable[..., Fit]:
    """`tj.sample` of one model and cohort as often as wanted: it is compiled once, which takes longer than sampling."""
    import trajectories as tj
    from trajectories import models
    from trajectories.fitting import nuts

    model = models.OrdinalMixed("edss ~ arm * years + (1 + years | patient)")
    compiled = nuts.compile_model(model, model.design(sampled_cohort))

    def sample(**options: Any) -> Fit:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(nuts, "compile_model", lambda model, design: compiled)
            return tj.sample(model, sampled_cohort, **{"progress": False, **options})

    return sample


@pytest.fixture(scope="session")
def sampled(resample: Callable[..., Fit]) -> Fit:
    """A real fit by NUTS, shared by all tests that need one."""
    return resample(draws=500, tune=600, chains=4, seed=1)
