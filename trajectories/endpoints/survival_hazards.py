"""Cox's proportional hazards with robust standard errors, and the test of proportionality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.endpoints.patient_weights import Estimated, WeightedPatients
from trajectories.endpoints.persons import episode_notes
from trajectories.endpoints.survival_design import Design, build_design, column_of, wald
from trajectories.endpoints.survival_partial import (
    PartialFit,
    Ties,
    event_sums,
    fit_partial,
    monotone,
    score_residuals,
)
from trajectories.endpoints.survival_setting import Setting
from trajectories.endpoints.survival_steps import Floats, Ints, count_steps, survival_of
from trajectories.printing import aligned, interval, number, p_value, sentence

__all__ = ["Cox", "cox"]

_FEW_CLUSTERS = 20
_CAUSE_SPECIFIC = "Competing events end the time at risk: the ratios are of cause-specific hazards."
_FAR = (
    8.0  # a coefficient this many standard deviations of its covariate from 0 may be on its way to infinity
)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Cox:
    """Hazard ratios; print it to read it.

    Parameters
    ----------
    coefficients
        One row a term: `term`, `hazard_ratio`, `lower`, `upper`, `log_hazard_ratio`, `std_error` (robust if there are clusters),
        `model_std_error` (from the information), `z`, `p_value`, `reason` (why a number is missing).
    proportionality
        Test of proportional hazards, one row a covariate and `GLOBAL`: `covariate`, `chi2`, `df`, `p_value`.
    covariance
        Covariance of the log hazard ratios that were estimated, terms × terms.
    n, events, clusters
        Patients and events in the likelihood, and clusters (0: standard errors from the information).
    log_likelihood, log_likelihood_null
        Partial log-likelihoods at the estimate and at hazard ratios of 1.
    ties, ci
        As asked for.
    setting, notes
        The patients behind it; how it was computed.
    """

    coefficients: pd.DataFrame = field(repr=False)
    proportionality: pd.DataFrame = field(repr=False)
    covariance: pd.DataFrame = field(repr=False)
    n: int
    events: int
    clusters: int
    log_likelihood: float
    log_likelihood_null: float
    ties: Ties
    ci: float
    setting: Setting
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return the coefficients, one row a term; a copy."""
        return self.coefficients.copy()

    def __str__(self) -> str:
        lines = self.setting.head("Cox's proportional hazards for the time to")
        lines += [self.setting.size_text(self.n, self.events), "", *self.setting.count_lines()]
        head = ["", "hazard ratio", f"{self.ci:.0%} interval", "p"]
        rows = [
            [
                str(row["term"]),
                number(row["hazard_ratio"]),
                _limits(row["lower"], row["upper"]),
                p_value(row["p_value"]),
            ]
            for _, row in self.coefficients.iterrows()
        ]
        lines += ["", *aligned([head, *rows])]
        for reason, terms in self.coefficients.groupby("reason", sort=False)["term"]:
            if reason:
                lines += sentence(f"{', '.join(terms)}: {reason!s}", bullet="  ")
        if len(self.proportionality):
            lines += ["", "Test of proportional hazards (p below 0.05: the ratio changes with time)"]
            tests = [
                [str(row["covariate"]), number(row["chi2"]), str(row["df"]), p_value(row["p_value"])]
                for _, row in self.proportionality.iterrows()
            ]
            lines += aligned([["", "chi-square", "df", "p"], *tests])
        return "\n".join(lines + self.setting.foot(self.notes))

    def __repr__(self) -> str:
        return str(self)


def _limits(lower: float, upper: float) -> str:
    return interval(lower, upper) if np.isfinite(upper) or np.isnan(upper) else f"{number(lower)} upwards"


def cox(
    table: pd.DataFrame,
    setting: Setting,
    *,
    covariates: Sequence[str],
    ties: Ties,
    cluster: str | None,
    strata: str | None,
    ci: float,
    estimation: Estimated | None = None,
) -> Cox:
    """Fit the model to one row a patient, with weights if there is a column `weight`; `TimeTo.cox` says how."""
    weighted = "weight" in table
    if ties not in ("efron", "breslow"):
        raise ValueError(f"ties must be 'efron' or 'breslow', not {ties!r}.")
    if strata is not None and strata in covariates:
        raise ValueError(f"{strata!r} cannot be both a covariate and the strata.")
    if weighted and cluster is None:
        raise ValueError(
            "with weights the information says nothing of the error: keep cluster='patient', or name another column."
        )
    design = build_design(table, covariates)
    rows = table[design.complete]
    time, event = rows["time"].to_numpy(dtype=np.float64), rows["event"].to_numpy(dtype=np.int64)
    w = rows["weight"].to_numpy(dtype=np.float64) if weighted else np.ones(len(rows))
    data = _Data(time=time, event=event, strata=_codes(rows, strata, "strata"), ties=ties, weights=w)
    groups = _codes(rows, cluster, "cluster")
    used = data.of(design.fitted)
    X = design.matrix()
    _check_rank(X, [design.terms[k] for k in design.entering])
    fit = used.fit(X)
    endless = _endless(X, used, fit, design)
    kept = [] if endless else design.reported()
    model, robust, clusters = np.zeros((0, 0)), np.zeros((0, 0)), 0
    if X.shape[1] and not endless:
        model = np.linalg.inv(fit.information)
        hazard = _hazard(X, fit)
        residuals = score_residuals(X, used.time, used.event, hazard, used.strata, ties, used.weights)
        influence, clustered = residuals @ model, groups[design.fitted]
        clusters = len(np.unique(clustered))
        patients = WeightedPatients.of(rows[design.fitted], estimation)
        if patients is not None:
            influence = patients.influences(influence / patients.values[:, None])
            # others who took part in the estimation of the weights: each a cluster of its own
            others = np.arange(len(influence) - len(clustered)) + clustered.max() + 1
            clustered = np.concatenate([clustered, others])
        robust = _sandwich(influence, clustered)
    covariance = (model if cluster is None else robust)[np.ix_(kept, kept)]
    names = [design.terms[design.entering[k]] for k in kept]
    estimates = _estimates(fit.coefficients[kept], covariance, np.diag(model)[kept] if kept else [], ci)
    coefficients = pd.DataFrame(estimates, index=names).reindex(design.terms)
    coefficients["reason"] = pd.Series(design.reasons | endless).reindex(design.terms, fill_value="")
    # without events and with weights there is no likelihood to profile: 0, without a limit
    for term in () if endless or weighted else design.empty:
        limit, p = _upper_limit(design, data, term, ci)
        coefficients.loc[term, ["hazard_ratio", "lower", "upper", "p_value"]] = [0.0, 0.0, limit, p]
    return Cox(
        coefficients=coefficients.rename_axis("term").reset_index(),
        proportionality=_proportionality(X, used, fit, design, [] if weighted else kept),
        covariance=pd.DataFrame(covariance, index=names, columns=names),
        n=len(rows),
        events=int(event.sum()),
        clusters=clusters if cluster is not None else 0,
        log_likelihood=fit.log_likelihood,
        log_likelihood_null=data.fit(np.zeros((len(rows), 0))).log_likelihood,
        ties=ties,
        ci=ci,
        setting=setting.without(table[~design.complete], "a covariate is missing"),
        notes=(
            *_notes(ties, cluster, clusters, strata, ci, bool(design.empty), weighted=weighted),
            *design.notes,
            *episode_notes(rows, setting.suppress_below, cluster=cluster),
            *([_CAUSE_SPECIFIC] if setting.competing else []),
        ),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Data:
    """Times, events and strata of patients, and how ties count."""

    time: Floats
    event: Ints
    strata: Ints
    ties: Ties
    weights: Floats

    def of(self, chosen: NDArray[np.bool_]) -> _Data:
        return _Data(
            time=self.time[chosen], event=self.event[chosen], strata=self.strata[chosen], ties=self.ties,
            weights=self.weights[chosen],
        )  # fmt: skip

    def fit(self, X: Floats, offset: Floats | None = None) -> PartialFit:
        return fit_partial(X, self.time, self.event, self.strata, self.ties, offset, self.weights)


def _codes(rows: pd.DataFrame, name: str | None, use: str) -> Ints:
    """Number the groups of a column; without one everybody is in group 0, by patient everybody in their own."""
    if name is None:
        return np.zeros(len(rows), dtype=np.int64)
    column = column_of(rows, name, use)
    if column.isna().any():
        raise ValueError(f"{use} {name!r} is missing in {int(column.isna().sum())} patients.")
    return np.asarray(pd.factorize(column)[0], dtype=np.int64)


def _hazard(X: Floats, fit: PartialFit) -> Floats:
    return np.asarray(np.exp(X @ fit.coefficients), dtype=np.float64)


def _check_rank(X: Floats, terms: list[str]) -> None:
    if not X.shape[1]:
        return
    spread = X - X.mean(axis=0)
    spread = spread / spread.std(axis=0)
    if np.linalg.matrix_rank(spread, tol=1e-8 * np.sqrt(len(X))) < X.shape[1]:
        raise ValueError(
            f"the terms {', '.join(terms)} say the same in part (one is a sum of others), or are more than "
            "the patients with events can bear: leave some out."
        )


def _endless(X: Floats, data: _Data, fit: PartialFit, design: Design) -> dict[str, str]:
    """Say which terms the likelihood drives to infinity, as where a covariate separates those with events from all others."""
    if not data.event.any():
        return dict.fromkeys(design.terms, "there is no event: nothing to estimate a ratio from")
    far = X.shape[1] > 0 and np.any(np.abs(fit.coefficients) * X.std(axis=0) > _FAR)
    if not far and fit.converged:
        return {}
    if not monotone(X, data.time, data.event, data.strata, fit.drift):
        if not fit.converged:
            raise ValueError(
                "the partial likelihood did not reach its maximum: are covariates nearly collinear?"
            )
        return {}
    drift = np.abs(fit.drift) * X.std(axis=0)
    guilty = [design.terms[design.entering[k]] for k in np.flatnonzero(drift > 0.05 * drift.max())]
    why = (
        f"no finite estimate: the likelihood rises without end in {', '.join(guilty)}, because at each event "
        "nobody at risk had a higher linear predictor than the patient with the event"
    )
    return dict.fromkeys(design.terms, why)


def _sandwich(influence: Floats, groups: Ints) -> Floats:
    """Sum each cluster's influence on the estimate, and the squares of these sums."""
    labels, place = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(labels), influence.shape[1]))
    np.add.at(sums, place, influence)
    return np.asarray(sums.T @ sums)


def _estimates(
    estimate: Floats, covariance: Floats, model_variance: Sequence[float] | Floats, ci: float
) -> dict[str, Floats]:
    table = wald(estimate, np.sqrt(np.diag(covariance)), ci)
    return {
        "hazard_ratio": np.exp(estimate),
        "lower": np.exp(table["lower"]),
        "upper": np.exp(table["upper"]),
        "log_hazard_ratio": estimate,
        "std_error": table["std_error"],
        "model_std_error": np.sqrt(np.asarray(model_variance, dtype=np.float64)),
        "z": table["z"],
        "p_value": table["p_value"],
    }


def _upper_limit(design: Design, data: _Data, term: str, ci: float) -> tuple[float, float]:
    """Find the hazard ratio of a level without events up to which the profile likelihood stays near its limit at 0; and p."""
    from scipy.optimize import brentq
    from scipy.special import chdtrc, chdtri

    own = design.X[:, design.terms.index(term)] == 1
    chosen = data.of(design.fitted | own)
    X, mine = design.X[design.fitted | own][:, design.entering], own[design.fitted | own]
    best = data.of(design.fitted).fit(design.matrix()).log_likelihood

    def drop(log_ratio: float) -> float:
        return 2 * (best - chosen.fit(X, mine * log_ratio).log_likelihood)

    cut = float(chdtri(1, 1 - ci))
    high = 1.0
    while drop(high) < cut and high < 50:
        high += 2.0
    return float(np.exp(brentq(lambda b: drop(b) - cut, -50.0, high))), float(chdtrc(1, max(drop(0.0), 0.0)))


def _proportionality(
    X: Floats, data: _Data, fit: PartialFit, design: Design, kept: list[int]
) -> pd.DataFrame:
    """Test by the score of each coefficient's interaction with g(t) = 1 − Kaplan-Meier just before t."""
    from scipy.special import chdtrc

    columns = {"covariate": [], "chi2": [], "df": [], "p_value": []}  # type: dict[str, list[object]]
    if not kept or X.shape[1] != len(kept):
        return pd.DataFrame(columns)
    sums = event_sums(X, data.time, data.event, _hazard(X, fit), data.strata, data.ties)
    steps = count_steps(data.time, data.event)
    before = np.concatenate([[1.0], survival_of(steps)[:-1]])
    g = 1 - before[np.searchsorted(steps.time, data.time[sums.row])]
    g = g - g.mean()
    score = g @ (X[sums.row] - sums.mean)
    inner, cross, outer = (np.einsum("e,ejk->jk", g**power, sums.spread) for power in (0, 1, 2))
    left = outer - cross @ np.linalg.solve(inner, cross)
    owners = np.array([design.covariates[k] for k in design.entering])
    for name in [*dict.fromkeys(owners), "GLOBAL"]:
        mine = np.flatnonzero((owners == name) | (name == "GLOBAL"))
        part = left[np.ix_(mine, mine)]
        if np.linalg.matrix_rank(part) < len(mine):
            continue
        chi2 = float(score[mine] @ np.linalg.solve(part, score[mine]))
        for key, value in zip(columns, (name, chi2, len(mine), float(chdtrc(len(mine), chi2))), strict=True):
            columns[key].append(value)
    return pd.DataFrame(columns)


def _notes(
    ties: Ties,
    cluster: str | None,
    clusters: int,
    strata: str | None,
    ci: float,
    empty: bool,
    *,
    weighted: bool,
) -> tuple[str, ...]:
    names = {"efron": "Efron", "breslow": "Breslow"}
    errors = (
        "Standard errors from the information."
        if cluster is None
        else f"Standard errors robust by {cluster} ({clusters} clusters; Lin and Wei 1989)."
    )
    notes = [
        f"Ties by {names[ties]}; {ci:.0%} Wald intervals of the log hazard ratio. {errors}"
        + (f" Baseline hazards apart in each {strata}." if strata else ""),
        "With weights proportional hazards are not tested; without covariates the ratio is that of the weighted populations."
        if weighted
        else "Proportional hazards: score test of a change of each log ratio with 1 − Kaplan-Meier (Grambsch and "
        "Therneau 1994), as cox.zph in R.",
    ]
    if cluster is not None and clusters < _FEW_CLUSTERS:
        notes.insert(
            1,
            f"With fewer than {_FEW_CLUSTERS} clusters robust standard errors are too small: read them as rough.",
        )
    if empty and not weighted:
        notes.insert(1, "Without an event: upper limit by profile likelihood, p by likelihood ratio.")
    return tuple(notes)
