"""The marginal posterior of the patients' SD in the Betaseron trial, by brute force and without this package.

The cumulative logit model edss ~ arm * years + (1 | patient) with 12 cutpoints: patient effects are integrated on a grid of 111 points,
the likelihood is maximised, and for each SD the other 17 parameters are integrated by Laplace's approximation, once with flat priors
and once with those of this package. It shows how far the posterior mean of the SD lies above the maximum of the likelihood
(ordinal::clmm: 4.297^0.5 = 2.073) because the posterior is skewed, and what the priors add.

Run: `python tests/reference/betaseron_patient_sd.py betaseron_visits.csv`; it writes betaseron_patient_sd.csv beside itself (20 minutes).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special

type Floats = NDArray[np.float64]

GRID = np.linspace(-5.5, 5.5, 111)
WEIGHTS = np.exp(-(GRID**2) / 2) / np.exp(-(GRID**2) / 2).sum()
FAR = 1e3


def log_likelihood(visits: pd.DataFrame) -> tuple[Callable[[Floats], float], Callable[[Floats], float]]:
    """Make the integrated log-likelihood of (first cutpoint, log increments, five coefficients, log SD), and the log-prior.

    The prior of the cutpoints is Dirichlet(0.5 / 20) on the probabilities of the occupied levels, averaged over patients, at the mean
    of the covariates; that of a coefficient is Normal(0, 2.5) per SD of its column, that of the SD half-normal(5).
    """
    seen = visits.dropna(subset=["edss"])
    levels = np.unique(seen["edss"])
    code, patient = np.searchsorted(levels, seen["edss"]), pd.factorize(seen["id"])[0]
    years = seen["time"].to_numpy() / 52.18
    low, high = ((seen["treatment"] == k).to_numpy(dtype=float) for k in (1, 2))
    X = np.column_stack([low, high, years, low * years, high * years])
    inner = len(levels) - 1

    def value(theta: Floats) -> float:
        cutpoints = np.cumsum(np.r_[theta[0], np.exp(theta[1:inner])])
        ends = np.r_[-FAR, cutpoints, FAR]
        eta = (X @ theta[inner : inner + 5])[:, None] + np.exp(theta[inner + 5]) * GRID
        p = special.expit(ends[code + 1][:, None] - eta) - special.expit(ends[code][:, None] - eta)
        by_patient = np.zeros((patient.max() + 1, len(GRID)))
        np.add.at(by_patient, patient, np.log(np.maximum(p, 1e-300)))
        return float(special.logsumexp(by_patient + np.log(WEIGHTS), axis=1).sum())

    def log_prior(theta: Floats) -> float:
        sd, beta = np.exp(theta[inner + 5]), theta[inner : inner + 5]
        scale = np.sqrt(1 + (16 * np.sqrt(3) / (15 * np.pi)) ** 2 * sd**2)
        cutpoints = (np.cumsum(np.r_[theta[0], np.exp(theta[1:inner])]) - X.mean(axis=0) @ beta) / scale
        p = np.diff(special.expit(np.r_[-FAR, cutpoints, FAR]))
        density = np.log(special.expit(cutpoints) * special.expit(-cutpoints) / scale).sum()
        rest = -((beta * X.std(axis=0) / 2.5) ** 2).sum() / 2 - (sd / 5) ** 2 / 2
        return float((0.5 / 20 - 1) * np.log(p).sum() + density + rest)

    return value, log_prior


def gradient(function: Callable[[Floats], float], at: Floats, step: float) -> Floats:
    """Central differences."""
    moves = step * np.eye(len(at))
    return np.array([(function(at + move) - function(at - move)) / (2 * step) for move in moves])


def maximise(function: Callable[[Floats], float], start: Floats, tolerance: float) -> Floats:
    found = optimize.minimize(
        lambda at: -function(at),
        start,
        jac=lambda at: -gradient(function, at, 1e-5),
        method="BFGS",
        options={"gtol": tolerance},
    )
    return np.asarray(found.x)


def marginal(value: Callable[[Floats], float], start: Floats, sds: Floats) -> list[float]:
    """Log marginal density at each SD, the other parameters integrated by Laplace's approximation."""
    others, found = start, []
    for sd in sds:

        def given(rest: Floats, sd: float = sd) -> float:
            # A density of the cutpoints themselves: the logarithms of their increments bring a Jacobian.
            return value(np.r_[rest, np.log(sd)]) + float(rest[1:12].sum())

        others = maximise(given, others, 1e-2)
        moves = 1e-4 * np.eye(len(others))
        slopes = [[gradient(given, others + sign * move, 1e-4) for sign in (1, -1)] for move in moves]
        information = -np.array([(up - down) / 2e-4 for up, down in slopes])
        found.append(given(others) - np.linalg.slogdet((information + information.T) / 2)[1] / 2)
    return found


def main(path: Path) -> None:
    likelihood, log_prior = log_likelihood(pd.read_csv(path))
    start = np.r_[-3.0, np.full(11, -0.7), -0.15, 0.76, 0.6, 0.72, 0.16, np.log(2.07)]
    best = maximise(likelihood, start, 1e-3)
    print(
        f"log-likelihood {likelihood(best):.4f}, variance {np.exp(2 * best[-1]):.4f}, {best[-6:-1].round(4)}"
    )
    sds = np.arange(1.3, 3.75, 0.1)
    frame = pd.DataFrame({"sd": sds.round(1), "flat": marginal(likelihood, best[:-1], sds)})
    frame["priors"] = marginal(lambda theta: likelihood(theta) + log_prior(theta), best[:-1], sds)
    frame.round(5).to_csv(Path(__file__).with_suffix(".csv"), index=False)
    for name in ("flat", "priors"):
        weight = np.exp(frame[name] - frame[name].max())
        print(f"posterior mean of the SD, {name}: {(weight * frame['sd']).sum() / weight.sum():.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
