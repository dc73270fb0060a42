"""Inverse-intensity weights: visits that were likely, given what was known, count less than those that were not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.caveats import SIMULATED, Mark
from trajectories.cohort import Cohort
from trajectories.comparison.censoring import check_truncate
from trajectories.estimate import check_ci, normal_limit
from trajectories.formulas import FormulaError, parse, variables
from trajectories.formulas.syntax import response_of
from trajectories.printing import sentence, years
from trajectories.weighting.tilting import kish

__all__ = ["VisitWeights", "visit_weights"]

type Floats = NDArray[np.float64]

# Ends of the rows at risk: no name that a formula, or a column of the patients that one needs, can have.
START, STOP = "start of the row", "end of the row"
# Days for which a relapse is recent.
RECENT = 90

KNOWN = "inverse-intensity weights are right only if visits depend on what is in the formula, and on nothing else that goes with the EDSS"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class VisitWeights:
    """One over the relative intensity of each visit after time 0; made by `visit_weights`.

    Parameters
    ----------
    visits
        A row a visit after time 0: `patient`, `arm`, `day`, `years`, `edss`, `weight` (averages 1 within each arm).
    coefficients
        Index `arm`, `term`; column `log_ratio`, of the intensity of visits.
    formula
        Of the intensity.
    notes
        Who was left out, what was cut.
    simulated
        Whether the cohort is simulated.
    """

    visits: pd.DataFrame = field(repr=False)
    coefficients: pd.DataFrame = field(repr=False)
    formula: str
    notes: tuple[str, ...]
    simulated: bool

    @property
    def values(self) -> pd.Series:
        """Weights, index `patient`, `day`, for a weighted estimating equation of your own."""
        return self.visits.set_index(["patient", "day"])["weight"]

    def mean_edss(
        self, at: Sequence[float] = (1.0, 2.0), *, window: float = 0.25, ci: float = 0.95
    ) -> pd.DataFrame:
        """Estimate the mean EDSS of each arm around times, weighted and not, with intervals robust by patient.

        Σ w_ij Y_ij / Σ w_ij over the visits within the window; SE² = n/(n − 1) Σ_i (Σ_j w_ij (Y_ij − mean))² / (Σ w)², the weights taken as
        known. Descriptive: arms differ in their patients.

        Parameters
        ----------
        at
            Years since time 0.
        window
            How far a visit may be from the time, in years.
        ci
            Level of the intervals.

        Returns
        -------
        A row an arm and time: `patients`, `visits`, `effective` ((Σw)²/Σw² visits), `unweighted`, `weighted`, `lower`, `upper`.

        Raises
        ------
        ValueError
            If an arm has no visit near a time.
        """
        check_ci(ci)
        rows = []
        for t in at:
            near = self.visits[(self.visits["years"] - t).abs() <= window].dropna(subset="edss")
            for arm in dict.fromkeys(self.visits["arm"]):
                mine = near[near["arm"] == arm]
                if mine.empty:
                    raise ValueError(
                        f"{arm} has no visit with EDSS within {years(window)} of {t:g}: widen window=, or choose another time."
                    )
                w, y = mine["weight"].to_numpy(), mine["edss"].to_numpy()
                mean = float(w @ y / w.sum())
                own = pd.Series(w * (y - mean)).groupby(mine["patient"].to_numpy()).sum()
                n = len(own)
                se = float(np.sqrt(n / (n - 1) * (own**2).sum()) / w.sum()) if n > 1 else np.nan
                half = normal_limit(ci) * se
                rows.append(
                    {
                        "arm": arm, "years": float(t), "patients": n, "visits": len(mine), "effective": kish(w),
                        "unweighted": float(y.mean()), "weighted": mean, "lower": mean - half, "upper": mean + half,
                    }
                )  # fmt: skip
        made = pd.DataFrame(rows).set_index(["arm", "years"])
        made.attrs.update(notes=list(self.notes), formula=self.formula, window=window, ci=ci)
        return made

    def summary(self) -> pd.DataFrame:
        """Return a row an arm: `patients`, `visits`, `effective` visits, `smallest` and `largest` weight."""
        groups = self.visits.groupby("arm", sort=False)
        w = groups["weight"]
        made = pd.DataFrame({"patients": groups["patient"].nunique(), "visits": groups.size()})
        made["effective"] = w.sum() ** 2 / w.agg(lambda x: (x**2).sum())
        made["smallest"], made["largest"] = w.min(), w.max()
        made.attrs.update(notes=list(self.notes), formula=self.formula)
        return made

    def __str__(self) -> str:
        lines = [Mark.SIMULATED.value] if self.simulated else []
        lines += [
            f"Inverse-intensity weights of visits: {self.formula!r}, by arm",
            self.summary().round(2).to_string(),
        ]
        ratios = np.exp(self.coefficients["log_ratio"]).rename("intensity ratio")
        lines += [ratios.round(3).to_frame().to_string()]
        for note in self.notes:
            lines += sentence(note, bullet="  - ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def visit_weights(cohort: Cohort, formula: str, *, truncate: float | None = None) -> VisitWeights:
    """Model the intensity of visits after time 0 arm by arm, and weigh each visit by one over it.

    Andersen–Gill: λ_i(t) = λ_0a(t) exp(x_i(t)′γ_a), all visits of a patient, Breslow's ties; weight exp(−x_ij′γ_a), scaled to average 1 within
    the arm.

    Parameters
    ----------
    cohort
        The patients and their visits.
    formula
        `visit ~ …` of columns of the patients and of what was known just before a visit: `edss_now` (the last recorded EDSS),
        `relapses_recent` (onsets in the last 90 days; those since the last visit would stand for how long ago that
        was). Not `arm`: each arm has its own model.
    truncate
        A quantile, such as 0.99, above which weights are cut to it, within arms.

    Returns
    -------
    `VisitWeights` with `mean_edss(at)` and `values` for a weighted estimating equation. They are no weights of rows of a mixed model.

    Raises
    ------
    FormulaError
        If the formula does not begin with `visit ~`, has the arm, or names an unknown column.
    ValueError
        If nobody of an arm was seen after time 0.

    Source: Lin, Scharfstein and Rosenheck (2004), Journal of the Royal Statistical Society B 66:791,
    doi:10.1111/j.1467-9868.2004.b5543.x; Bůžková and Lumley (2007), Canadian Journal of Statistics 35:485, doi:10.1002/cjs.5550350402.

    Examples
    --------
    >>> import trajectories as tj
    >>> made = tj.visit_weights(tj.simulated_three_dmts_400(), "visit ~ edss_now + relapses_recent")
    >>> made.mean_edss(at=[2.0])["visits"].tolist()
    [117, 95, 101]
    """
    if response_of(formula) != "visit":
        raise FormulaError(
            f"{formula!r} must begin with 'visit ~', as in 'visit ~ edss_now + relapses_recent'."
        )
    needed = variables(formula)
    if "arm" in needed:
        raise FormulaError(f"leave 'arm' out of {formula!r}: each arm has its own model of visits.")
    check_truncate(truncate)
    rows = _at_risk(cohort)
    missing = rows[[name for name in needed if name in rows]].isna().any(axis=1)
    notes = [
        KNOWN,
        "not truncated" if truncate is None else f"truncated at the {truncate:g} quantile of each arm",
    ]
    if missing.any():
        gone = rows[missing & rows["visit"]]
        notes.append(
            f"{len(gone)} visits in {gone['patient'].nunique()} patients have no weight, as {', '.join(needed)} were not all known"
        )
    rows = rows[~missing].reset_index(drop=True)
    parts, tables = [], []
    for arm in cohort.arms:
        mine = rows[rows["arm"] == arm].reset_index(drop=True)
        if not mine["visit"].any():
            raise ValueError(f"nobody of {arm} was seen after time 0: there is nothing to weigh.")
        weight, table = _intensity(mine, formula)
        seen = mine[mine["visit"]][["patient", "arm", STOP]].assign(weight=weight[mine["visit"].to_numpy()])
        if truncate is not None:
            seen["weight"] = seen["weight"].clip(upper=float(seen["weight"].quantile(truncate)))
        parts.append(seen.assign(weight=seen["weight"] / seen["weight"].mean()))
        tables.append(table.assign(arm=arm))
    made = pd.concat(parts).rename(columns={STOP: "day"}).astype({"day": "int64"})
    made = made.merge(cohort.visits[["patient", "day", "years", "edss"]], on=["patient", "day"], how="left")
    return VisitWeights(
        visits=made[["patient", "arm", "day", "years", "edss", "weight"]],
        coefficients=pd.concat(tables).set_index(["arm", "term"]), formula=formula,
        notes=(*notes, *((SIMULATED,) if cohort.simulated else ())), simulated=cohort.simulated,
    )  # fmt: skip


def _intensity(rows: pd.DataFrame, formula: str) -> tuple[Floats, pd.DataFrame]:
    """One over the relative intensity at the end of each row, and the coefficients."""
    from statsmodels.duration.hazard_regression import PHReg

    parsed = parse(formula, rows)
    if parsed.effects:
        raise FormulaError(f"{formula!r} has patient effects: leave '(… | patient)' out.")
    X = parsed.matrices.X
    # PHReg counts rows that begin on the day of an event as at risk on it; days and their halves are the only times
    entry = rows[START].to_numpy(float) + 0.1
    model = PHReg(
        rows[STOP].to_numpy(float), X, status=rows["visit"].to_numpy(int), entry=entry, ties="breslow"
    )
    fitted = model.fit(disp=0)
    table = pd.DataFrame({"term": parsed.terms, "log_ratio": fitted.params})
    return np.exp(-(X - X.mean(axis=0)) @ fitted.params), table


def _at_risk(cohort: Cohort) -> pd.DataFrame:
    """Lay out the time after 0 from visit to visit, split where a relapse begins or is recent no more: days, `visit`, what was known."""
    people = cohort.patients
    visits = dict(iter(cohort.visits.groupby("patient", sort=False)[["day", "edss"]]))
    relapses: dict[str, Floats] = {}
    if cohort.relapses_table is not None:
        relapses = {
            str(p): own.to_numpy(dtype=float) for p, own in cohort.relapses_table.groupby("patient")["day"]
        }
    keys, made = ["patient", "followup_start_day", "followup_end_day"], []
    for patient, first, last in people[keys].itertuples(index=False):
        own = visits.get(patient)
        days, edss = (np.zeros(0), np.zeros(0)) if own is None else own.to_numpy(dtype=float).T
        made += [
            (patient, *row)
            for row in _spans(days, edss, relapses.get(patient, np.zeros(0)), max(first, 0), last)
        ]
    rows = pd.DataFrame(made, columns=["patient", START, STOP, "visit", "edss_now", "relapses_recent"])
    if cohort.relapses_table is None:
        rows = rows.drop(columns="relapses_recent")
    # what is known just before a visit has the name, if the patients have a column of it too
    people = people.drop(columns=[name for name in rows if name != "patient" and name in people])
    return rows.merge(people.assign(arm=people["arm"].astype(str)), on="patient", how="left")


def _spans(
    days: Floats, edss: Floats, onsets: Floats, first: int, last: int
) -> list[tuple[float, float, bool, float, int]]:
    """(start, stop, whether it ends with a visit, last EDSS, recent relapses), from `first` to the end of follow-up."""
    if last <= first:
        return []
    after = days[(days > first) & (days <= last)]
    # a relapse counts from its day, so that a visit on that day is one after it
    turns = np.concatenate([onsets - 0.5, onsets + RECENT + 0.5])
    cuts = np.unique(np.concatenate([after, turns[(turns > first) & (turns < last)], [last]]))
    made, start = [], float(first)
    for stop in cuts.tolist():
        known = edss[days <= start]
        known = known[~np.isnan(known)]
        count = int(((onsets <= start + 0.5) & (onsets >= start - RECENT - 0.25)).sum())
        made.append((start, stop, bool((after == stop).any()), known[-1] if len(known) else np.nan, count))
        start = stop
    return made
