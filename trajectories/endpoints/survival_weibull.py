"""Weibull regression of interval-censored onsets: hazard ratios, time ratios, medians."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from trajectories.endpoints.interval_censored import fit_weibull
from trajectories.endpoints.patient_weights import Estimated, WeightedPatients
from trajectories.endpoints.persons import episode_notes
from trajectories.endpoints.survival_design import build_design, wald
from trajectories.endpoints.survival_setting import Setting
from trajectories.endpoints.survival_steps import Floats
from trajectories.printing import aligned, interval, number, p_value, sentence

__all__ = ["Weibull", "weibull"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Weibull:
    """An interval-censored Weibull model, log T = β₀ + xβ + σ W; print it to read it.

    Parameters
    ----------
    parameters
        One row a parameter on the scale of its estimate: `parameter` (`intercept`, terms, `log(scale)`), `estimate`, `std_error`,
        `lower`, `upper`, `z`, `p_value`, `reason` (why a number is missing). The signs are those of log time: above 0 is later.
    ratios
        One row a term: `term`, `hazard_ratio` = exp(−β/σ) with `lower`, `upper`, `p_value`, `time_ratio` = exp(β) with
        `time_lower`, `time_upper`, `reason`.
    covariance
        Covariance of the parameters that were estimated.
    shape
        1/σ with its interval: above 1 the hazard rises with time. (estimate, lower, upper)
    n, events, log_likelihood, ci
        Patients and events in the likelihood, its logarithm at the maximum, probability of the intervals.
    setting, notes
        The patients behind it; how it was computed.
    """

    parameters: pd.DataFrame = field(repr=False)
    ratios: pd.DataFrame = field(repr=False)
    covariance: pd.DataFrame = field(repr=False)
    shape: tuple[float, float, float]
    n: int
    events: int
    log_likelihood: float
    ci: float
    setting: Setting
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the parameters, one row each; a copy."""
        return self.parameters.copy()

    def __str__(self) -> str:
        lines = self.setting.head("Interval-censored Weibull model of the time to")
        lines.append(
            f"{self.setting.size_text(self.n, self.events)}; shape {number(self.shape[0])} "
            f"({self.ci:.0%} interval {interval(*self.shape[1:])})"
        )
        lines += ["", *self.setting.count_lines()]
        head = ["", "hazard ratio", f"{self.ci:.0%} interval", "time ratio", f"{self.ci:.0%} interval", "p"]
        rows = [
            [
                str(row["term"]),
                number(row["hazard_ratio"]),
                interval(row["lower"], row["upper"]),
                number(row["time_ratio"]),
                interval(row["time_lower"], row["time_upper"]),
                p_value(row["p_value"]),
            ]
            for _, row in self.ratios.iterrows()
        ]
        lines += ["", *aligned([head, *rows])] if rows else []
        for reason, terms in self.ratios.groupby("reason", sort=False)["term"]:
            if reason:
                lines += sentence(f"{', '.join(terms)}: {reason!s}", bullet="  ")
        return "\n".join(lines + self.setting.foot(self.notes))

    def __repr__(self) -> str:
        return str(self)


def weibull(
    table: pd.DataFrame,
    setting: Setting,
    *,
    covariates: Sequence[str],
    ci: float,
    estimation: Estimated | None = None,
) -> Weibull:
    """Fit the model to one row a patient, with weights if there is a column `weight`; `TimeTo.weibull` says how."""
    design = build_design(table, covariates)
    rows = table[design.complete]
    if not rows["event"].any():
        raise ValueError("there is no event: the likelihood of a Weibull model has no maximum.")
    used = rows[design.fitted]
    lower, upper = (used[column].to_numpy(dtype=np.float64) for column in ("onset_after", "onset_by"))
    X = np.column_stack([np.ones(len(used)), design.matrix()])
    patients = WeightedPatients.of(used, estimation)
    fit = fit_weibull(X, lower, upper, None if patients is None else patients.values)
    if not fit.converged:
        raise ValueError(
            "the likelihood of the Weibull model has no maximum: too few events for the covariates, a covariate "
            "that separates those with events from all others, or covariates of which one is a sum of others."
        )
    spread, errors = fit.covariance, "from the observed information"
    if patients is not None:
        influence = patients.influences(fit.slopes)
        spread, errors = influence.T @ influence, "from robust standard errors (sandwich)"
    kept = [0, *(k + 1 for k in design.reported()), X.shape[1]]
    names = ["intercept", *(design.terms[design.entering[k]] for k in design.reported()), "log(scale)"]
    estimate, covariance = fit.parameters[kept], spread[np.ix_(kept, kept)]
    parameters = pd.DataFrame(wald(estimate, np.sqrt(np.diag(covariance)), ci), index=names)
    ratios = (
        _ratios(fit.parameters, spread, design.reported(), ci)
        .set_axis(names[1:-1], axis=0)
        .reindex(design.terms)
    )
    reasons = pd.Series(design.reasons, dtype=object)
    ratios["reason"] = reasons.reindex(design.terms, fill_value="")
    for term in design.empty:
        ratios.loc[term, "reason"] = str(ratios.loc[term, "reason"]).removesuffix(
            ", with an upper limit only"
        )
    order = ["intercept", *design.terms, "log(scale)"]
    parameters = parameters.reindex(order).assign(reason=reasons.reindex(order, fill_value=""))
    shape = np.exp(-parameters.loc["log(scale)", ["estimate", "upper", "lower"]].to_numpy(dtype=np.float64))
    return Weibull(
        parameters=parameters.rename_axis("parameter").reset_index(),
        ratios=ratios.rename_axis("term").reset_index(),
        covariance=pd.DataFrame(covariance, index=names, columns=names),
        shape=(float(shape[0]), float(shape[1]), float(shape[2])),
        n=len(rows),
        events=int(rows["event"].sum()),
        log_likelihood=fit.log_likelihood,
        ci=ci,
        setting=setting.without(table[~design.complete], "a covariate is missing"),
        notes=(
            "Maximum likelihood: an event adds the probability of an onset between the visit before and the "
            f"visit of the event, a censored patient that of none by then. {ci:.0%} Wald intervals on the log "
            f"scale, {errors}.",
            "Hazard ratio below 1, time ratio above 1: later. One shape for all: hazards are proportional.",
            *design.notes,
            *episode_notes(rows, setting.suppress_below),
        ),
    )


def _ratios(parameters: Floats, V: Floats, places: list[int], ci: float) -> pd.DataFrame:
    """Hazard ratios exp(−β/σ), their standard errors by the delta method, and time ratios exp(β)."""
    slopes = np.array([k + 1 for k in places], dtype=np.int64)
    beta, rate = parameters[slopes], float(np.exp(-parameters[-1]))
    var_beta, var_scale, both = np.diag(V)[slopes], V[-1, -1], V[slopes, -1]
    log_ratio = -beta * rate
    error = rate * np.sqrt(np.maximum(var_beta + beta**2 * var_scale - 2 * beta * both, 0.0))
    hazard, time = wald(log_ratio, error, ci), wald(beta, np.sqrt(var_beta), ci)
    return pd.DataFrame(
        {
            "hazard_ratio": np.exp(log_ratio),
            "lower": np.exp(hazard["lower"]),
            "upper": np.exp(hazard["upper"]),
            "p_value": hazard["p_value"],
            "time_ratio": np.exp(beta),
            "time_lower": np.exp(time["lower"]),
            "time_upper": np.exp(time["upper"]),
        }
    )
