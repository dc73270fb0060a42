"""NUTS with the patients integrated out against plain NUTS: `python tests/benchmarks/bench_integrated_nuts.py`.

The ordinal model, 20 levels, intercept and slope by patient, 8 visits each, both ways in one run on the same data: smallest bulk ESS of the
population parameters per second of sampling (tuning included, compiling left out, as `fit.settings["seconds"]`). Where integrated sampling
would take longer than `--longest` seconds, it is not run: its time is taken from that of one gradient, measured on this cohort, times the
leapfrog steps that it needed with the fewest patients, and its ESS a draw is taken from there too. No target: the default follows the
measurement.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import xarray as xr
from machine import describe_machine
from simulated_visits import FORMULA, as_cohort, simulate_visits

import trajectories as tj
from trajectories import models
from trajectories.fitting.integrated_nuts import integrated_likelihood
from trajectories.fitting.marginal_models import adaptor_of
from trajectories.models.design import Design

MODEL = models.OrdinalMixed(FORMULA)


def main() -> None:
    """Sample cohorts of all sizes both ways."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="*", type=int, default=[200, 2000])
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--tune", type=int, default=150)
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--longest", type=float, default=120.0)
    given = parser.parse_args()
    print(describe_machine(), flush=True)
    known: tuple[float, float] | None = None  # leapfrog steps in all, ESS
    for patients in given.sizes:
        cohort = as_cohort(simulate_visits(patients))
        how = {
            "draws": given.draws, "tune": given.tune, "chains": given.chains, "seed": 1, "progress": False,
            "accept_problems": True,
        }  # fmt: skip
        one = gradient_seconds(cohort)
        plain = said(patients, "plain", tj.sample(MODEL, cohort, **how))
        if known is None or known[0] * one < given.longest:
            fit = tj.sample(MODEL, cohort, integrate_patients=True, **how)
            integrated = said(patients, f"integrated ({one * 1e3:.0f} ms a gradient alone)", fit)
            known = known or (steps_of(fit), smallest_ess(fit))
        else:
            integrated = known[1] / (known[0] * one)
            print(
                f"{patients:,} patients, integrated: not run; {known[0]:,.0f} gradients of {one * 1e3:.0f} ms are {known[0] * one:.0f} s or "
                f"more, ESS {known[1]:.0f} as with {given.sizes[0]:,}: at most {integrated:.3g} a second on one core a chain",
                flush=True,
            )
        print(f"{patients:,} patients: plain over integrated {plain / integrated:.0f} times", flush=True)


def said(patients: int, what: str, fit: tj.Fit) -> float:
    """Print and return the smallest ESS per second."""
    ess, seconds = smallest_ess(fit), fit.settings["seconds"]
    print(
        f"{patients:,} patients, {what}: smallest bulk ESS {ess:.0f} in {seconds:.1f} s, {ess / seconds:.3g} a second; "
        f"{steps_of(fit):,.0f} leapfrog steps",
        flush=True,
    )
    return ess / seconds


def smallest_ess(fit: tj.Fit) -> float:
    """Of the population parameters."""
    return float(fit.summary()["ess_bulk"].min())


def steps_of(fit: tj.Fit) -> float:
    """Leapfrog steps of the longest chain, tuning taken to need as many a draw as sampling."""
    steps = fit.data["sample_stats"]["n_steps"].mean("draw").max()
    return float(steps) * (fit.settings["draws"] + fit.settings["tune"])


def gradient_seconds(cohort: tj.Cohort) -> float:
    """Time of one value and gradient of the integrated log-likelihood, compiled, modes from the last ones (a lower bound in a chain)."""
    design = MODEL.design(cohort)
    likelihood = integrated_likelihood(MODEL, design, None)
    theta = np.asarray(adaptor_of(MODEL, design, every_level=True).theta_of(_near(design)))[0]
    likelihood.gradient(theta)
    begin = time.perf_counter()
    for _ in range(5):
        likelihood.gradient(theta)
    return (time.perf_counter() - begin) / 5


def _near(design: Design) -> xr.Dataset:
    """Parameters near the truth of `simulated_visits`."""
    from trajectories.models.blocks.patient_effects import labelled
    from trajectories.models.ordinal import CUTPOINTS

    covariance = np.diag([9.0, 0.25])[None, None]
    cut = np.linspace(-6, 6, len(CUTPOINTS))[None, None]
    return labelled(
        design, np.array([[[0.2, -0.4]]]), None, covariance, cutpoints=(("cutpoint", list(CUTPOINTS)), cut)
    )


if __name__ == "__main__":
    main()
