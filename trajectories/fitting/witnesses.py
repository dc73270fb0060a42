"""Statsmodels' own fits of what `maximise` fits, as independent witnesses: MixedLM, and GEE by the averages of populations.

The coefficients of a GEE are of another meaning than those of a mixed model with a logit or probit link: log odds ratios of populations are
nearer to 0 than those of one patient. What both say something of is a population average: the mean EDSS, or the probability of the event, of
the patients in the model at a time. These are compared.

Source: Zeger, Liang and Albert (1988), Biometrics 44:1049, doi:10.2307/2531734; for ordered levels Heagerty and Zeger (1996), Journal of the
American Statistical Association 91:1024, doi:10.2307/2291722.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from trajectories.fitting.counts import FEW_PATIENTS
from trajectories.fitting.marginal_fit import MarginalFit
from trajectories.fitting.point import PointFit
from trajectories.models.binary import BinaryMixed
from trajectories.models.design import VISIT_TIME, Design, Floats
from trajectories.models.ordinal import OrdinalMixed

__all__ = ["by_mixedlm", "population_averages"]

# Rows times levels above which OrdinalGEE, which takes each level of each row for an outcome, is left out: 400 patients with 9 visits and 17
# levels (57,000) take 5 seconds.
MOST_ROWS = 300_000
# Population averages by GEE this many of its standard errors away from the mixed model's disagree.
FAR_APART = 2.0


def by_mixedlm(design: Design) -> tuple[pd.DataFrame | None, str]:
    """Fit a Gaussian mixed model by statsmodels' MixedLM: `estimate` and `se` by term, or None; and what to say of it."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    if design.groups:
        return None, "MixedLM (statsmodels) is left out: it has no groups that cross patients' effects"
    matrices = design.formula.matrices
    X = np.column_stack([np.ones(len(matrices.X)), matrices.X])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is checked below
        found = MixedLM(design.outcome, X, groups=design.patient, exog_re=matrices.Z).fit(reml=False)
    if not (found.converged and np.isfinite(found.bse_fe).all()):
        return None, "MixedLM (statsmodels) did not converge, and is not shown"
    rows = dict(
        zip(("intercept", *design.terms), zip(found.fe_params, found.bse_fe, strict=True), strict=True)
    )
    sd = np.sqrt(np.diag(np.asarray(found.cov_re)))
    rows |= {f"sd({name})": (value, np.nan) for name, value in zip(design.effects, sd, strict=True)}
    rows["residual_sd"] = (np.sqrt(found.scale), np.nan)
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "se"]).rename_axis("term")
    return frame, f"MixedLM (statsmodels): log-likelihood {found.llf:.3f}"


def population_averages(fit: PointFit) -> tuple[pd.DataFrame | None, tuple[str, ...]]:
    """Compare a maximum-likelihood fit with a GEE by what both say of populations.

    Parameters
    ----------
    fit
        Of `OrdinalMixed` or `BinaryMixed`, by maximum likelihood.

    Returns
    -------
    A frame with a row an arm and time (the 10th and 90th percentile of those of the visits) and columns `estimate` of the mixed model, `gee`,
    `se` (robust, of the GEE), `apart` (their difference in these) and `disagrees`, or None; and sentences on what was compared, or why not.
    """
    design = fit.design
    missing = [name for name in design.formula.columns if name not in (*design.target.columns, *VISIT_TIME)]
    if missing:
        return None, (
            f"GEE is left out: {', '.join(missing)} belongs to single visits, and a population average would need its value",
        )
    found = _binary(fit) if isinstance(fit.model, BinaryMixed) else _ordinal(fit)
    if isinstance(found, str):
        return None, (found,)
    params, covariance, average, said = found
    rows = {}
    assert isinstance(fit.solution, MarginalFit)
    parameters = fit.solution.estimates().expand_dims(("chain", "draw"))
    model = fit.model
    for arm in design.arms if design.compares_arms else (None,):
        for years in np.round(np.quantile(design.frame["years"], [0.1, 0.9]), 2):
            placed = design.placed(design.target, arm or "all", float(years))
            matrices, weights = design.at(placed), np.ones(design.n_patients)
            own = (
                model.averaged_probability(parameters, matrices, weights)
                if isinstance(model, BinaryMixed)
                else model.averaged_edss(parameters, matrices, weights)  # type: ignore[attr-defined]
            )
            value, se = _with_error(partial(average, matrices.X), params, covariance)
            rows["all" if arm is None else arm, float(years)] = {
                "estimate": float(own[0]), "gee": value, "se": se, "apart": (value - float(own[0])) / se,
            }  # fmt: skip
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis(["arm", "years"])
    frame["disagrees"] = frame["apart"].abs() > FAR_APART
    few = (
        (
            f"{design.n_patients} patients: robust standard errors of a GEE are too small with fewer than about {FEW_PATIENTS}",
        )
        if design.n_patients < FEW_PATIENTS
        else ()
    )
    return frame, (said, *few)


type _Found = tuple[Floats, Floats, Callable[[Floats, Floats], float], str]


def _ordinal(fit: PointFit) -> _Found | str:
    from statsmodels.genmod.cov_struct import Independence
    from statsmodels.genmod.generalized_estimating_equations import OrdinalGEE

    design, model = fit.design, fit.model
    assert isinstance(model, OrdinalMixed)
    if model.link != "logit":
        return "GEE is left out: statsmodels' OrdinalGEE is of the logit link"
    levels = np.unique(design.outcome)
    cuts = len(levels) - 1
    if len(design.frame) * cuts > MOST_ROWS:
        return f"GEE is left out: OrdinalGEE would take {len(design.frame):,} rows × {cuts} levels for outcomes, which is slow"
    gee = OrdinalGEE(
        design.outcome, design.formula.matrices.X, groups=design.patient, cov_struct=Independence()
    )
    solved = _solved(gee)
    if isinstance(solved, str):
        return f"OrdinalGEE {solved}"

    def average(X: Floats, params: Floats) -> float:
        # P(EDSS > level k) = F(α_k + x'β)
        above = 1 / (1 + np.exp(-(params[:cuts] + (X @ params[cuts:])[:, None])))
        return float((levels[0] + above @ np.diff(levels)).mean())

    return (
        *solved,
        average,
        "GEE (statsmodels' OrdinalGEE, independence within patients, robust standard errors): mean EDSS of populations",
    )


def _binary(fit: PointFit) -> _Found | str:
    from scipy.special import expit, ndtr
    from statsmodels.genmod import families
    from statsmodels.genmod.cov_struct import Exchangeable
    from statsmodels.genmod.generalized_estimating_equations import GEE

    design, model = fit.design, fit.model
    assert isinstance(model, BinaryMixed)
    link = families.links.Logit() if model.link == "logit" else families.links.Probit()
    inverse = expit if model.link == "logit" else ndtr
    X = np.column_stack([np.ones(len(design.frame)), design.formula.matrices.X])
    gee = GEE(
        design.outcome, X, groups=design.patient, family=families.Binomial(link), cov_struct=Exchangeable()
    )
    solved = _solved(gee)
    if isinstance(solved, str):
        return f"GEE {solved}"

    def average(X: Floats, params: Floats) -> float:
        return float(inverse(params[0] + X @ params[1:]).mean())

    return (
        *solved,
        average,
        f"GEE (statsmodels, exchangeable within patients, robust standard errors): probability of {model.event} of populations",
    )


def _solved(gee: Any) -> tuple[Floats, Floats] | str:
    """Estimates and their robust covariance, or why there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is checked below
        result = gee.fit(maxiter=100)
    covariance = np.asarray(result.cov_params(), dtype=float)
    if not result.converged or not np.isfinite(covariance).all():
        return "(statsmodels) found no solution of its estimating equations, and is not shown"
    return np.asarray(result.params, dtype=float), covariance


def _with_error(
    function: Callable[[Floats], float], params: Floats, covariance: Floats
) -> tuple[float, float]:
    """A function of the estimates and its standard error by the delta method, slopes by central differences."""
    steps = 1e-5 * np.eye(len(params))
    slope = np.array([(function(params + h) - function(params - h)) / 2e-5 for h in steps])
    return function(params), float(np.sqrt(slope @ covariance @ slope))
