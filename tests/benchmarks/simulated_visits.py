"""The data of the benchmarks: visits of patients with their own level and slope, two groups, 20 ordered levels."""

from __future__ import annotations

import numpy as np
import pandas as pd

import trajectories as tj

FORMULA = "edss ~ years + years:trt + (1 + years | patient)"
LEVELS = 20


def simulate_visits(patients: int, visits: int = 8, seed: int = 1) -> pd.DataFrame:
    """Draw visits from a cumulative logit model with a patient intercept and slope.

    P(y ≤ k) = logit⁻¹(c_k − η), η = u_0 + (0.2 + u_1) t − 0.4 trt t, u_0 ~ N(0, 3²), u_1 ~ N(0, 0.5²) independent, t evenly in 0 to
    3 years, every second patient treated, c_1 … c_19 evenly in −6 to 6.

    Returns
    -------
    One row a visit: `pid`, `t` (years), `trt` (0 or 1), `y` (level, 0 to 19).

    Raises
    ------
    ValueError
        If some level is empty: R and bambi would then fit fewer cutpoints than we do.
    """
    rng = np.random.default_rng(seed)
    pid = np.repeat(np.arange(patients), visits)
    t = np.tile(np.linspace(0.0, 3.0, visits), patients)
    level = rng.normal(0.0, 3.0, patients)
    slope = rng.normal(0.0, 0.5, patients)
    trt = pid % 2
    eta = level[pid] + (0.2 + slope[pid]) * t - 0.4 * trt * t
    y = np.searchsorted(np.linspace(-6.0, 6.0, LEVELS - 1), eta + rng.logistic(size=len(eta)))
    if len(np.unique(y)) < LEVELS:
        raise ValueError(
            f"only {len(np.unique(y))} of {LEVELS} levels occur: take more patients or another seed."
        )
    return pd.DataFrame({"pid": pid, "t": t, "trt": trt, "y": y})


def as_cohort(visits: pd.DataFrame) -> tj.Cohort:
    """Turn the visits into a cohort, the levels into EDSS."""
    edss = pd.DataFrame({"patient": visits["pid"], "years": visits["t"], "edss": tj.edss.level(visits["y"])})
    patients = visits.groupby("pid", as_index=False)["trt"].first().rename(columns={"pid": "patient"})
    return tj.read_cohort(edss, patients=patients, name="simulated benchmark")
