"""The log-rank test of equal hazards in the arms."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from trajectories.endpoints.patient_weights import Estimated, WeightedPatients
from trajectories.endpoints.persons import episode_notes
from trajectories.endpoints.survival_curves import arms_of
from trajectories.endpoints.survival_design import column_of
from trajectories.endpoints.survival_partial import score_residuals
from trajectories.endpoints.survival_setting import Setting
from trajectories.endpoints.survival_steps import Floats, Ints, log_rank_sums
from trajectories.printing import aligned, number, p_value

__all__ = ["LogRank", "log_rank"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LogRank:
    """Test whether the arms have the same hazard; print it to read it.

    Parameters
    ----------
    arms
        One row an arm: `arm`, `patients`, `events` (observed), `expected` (were the hazards equal); with weights the expected events are
        weighted, and beside them are the observed `weighted_events`.
    chi2, df, p_value
        The test; missing if there is one arm, or no event.
    strata
        Column within whose groups the arms were compared, or None.
    setting, notes
        The patients behind it; how it was computed.
    """

    arms: pd.DataFrame = field(repr=False)
    chi2: float
    df: int
    p_value: float
    strata: str | None
    setting: Setting
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """Return observed and expected events, one row an arm; a copy."""
        return self.arms.copy()

    def __str__(self) -> str:
        lines = [*self.setting.head("Log-rank test of the time to"), "", *self.setting.count_lines()]
        weighed = [column for column in ("weighted_events", "expected") if column in self.arms]
        rows = [
            [
                str(row["arm"]),
                self.setting.shown(str(row["arm"]), row["patients"]),
                self.setting.shown(str(row["arm"]), row["events"], 0),
                *(number(row[column], 1) for column in weighed),
            ]
            for _, row in self.arms.iterrows()
        ]
        head = ["", "n", "events", *(column.replace("_", " ") for column in weighed)]
        lines += ["", *aligned([head, *rows])]
        lines.append(f"chi-square {number(self.chi2)}, df {self.df}, p {p_value(self.p_value)}")
        return "\n".join(lines + self.setting.foot(self.notes))

    def __repr__(self) -> str:
        return str(self)


def log_rank(
    table: pd.DataFrame, setting: Setting, *, strata: str | None, estimation: Estimated | None = None
) -> LogRank:
    """Compare the arms, with weights if the table has a column `weight`; `TimeTo.log_rank` says how."""
    from scipy.special import chdtrc

    arms = [arm for arm, _ in arms_of(table)]
    place = {arm: k for k, arm in enumerate(arms)}
    group = np.asarray(table["arm"].astype(str).map(place), dtype=np.int64)
    blocks = np.zeros(len(table), dtype=np.int64)
    if strata is not None:
        column = column_of(table, strata, "strata")
        if column.isna().any():
            raise ValueError(f"strata {strata!r} is missing in {int(column.isna().sum())} patients.")
        blocks = np.asarray(pd.factorize(column)[0], dtype=np.int64)
    time, event = table["time"].to_numpy(dtype=np.float64), table["event"].to_numpy(dtype=np.int64)
    patients = WeightedPatients.of(table, estimation)
    if patients is None:
        surplus, covariance = _unweighted(time, event, group, blocks, len(arms))
        weight = np.ones(len(table))
    else:
        surplus, covariance = _weighted(time, event, group, blocks, len(arms), patients)
        weight = patients.values
    known = np.diag(covariance) > 1e-12  # an arm that was never at risk at an event says nothing
    df = max(int(known.sum()) - 1, 0)
    chi2 = p = float("nan")
    if df:
        part = np.flatnonzero(known)[1:]
        chi2 = float(surplus[part] @ np.linalg.solve(covariance[np.ix_(part, part)], surplus[part]))
        p = float(chdtrc(df, chi2))
    observed = np.bincount(group, weights=event * weight, minlength=len(arms))
    frame = pd.DataFrame(
        {
            "arm": arms,
            "patients": np.bincount(group, minlength=len(arms)),
            "events": np.bincount(group, weights=event, minlength=len(arms)).astype(np.int64),
            **({} if patients is None else {"weighted_events": observed}),
            "expected": observed - surplus,
        }
    )
    within = f", within the groups of {strata}" if strata else ""
    variance = "hypergeometric variance" if patients is None else "robust variance by patient"
    notes = [f"Log-rank test of equal hazards{within}, {variance}, no continuity correction."]
    notes += episode_notes(table, setting.suppress_below)
    if not df:
        notes.insert(
            0, "Not tested: there is one arm only, or no event while patients of several were at risk."
        )
    return LogRank(
        arms=frame, chi2=chi2, df=df, p_value=p, strata=strata, setting=setting, notes=tuple(notes)
    )


def _unweighted(time: Floats, event: Ints, group: Ints, blocks: Ints, groups: int) -> tuple[Floats, Floats]:
    surplus, covariance = np.zeros(groups), np.zeros((groups, groups))
    for block in np.unique(blocks):
        mine = blocks == block
        more, spread = log_rank_sums(time[mine], event[mine], group[mine], groups)
        surplus, covariance = surplus + more, covariance + spread
    return surplus, covariance


def _weighted(
    time: Floats, event: Ints, group: Ints, blocks: Ints, groups: int, patients: WeightedPatients
) -> tuple[Floats, Floats]:
    """O − E of weighted patients is the score of Cox's model at hazard ratios of 1; its variance is that of the patients' parts."""
    if not event.any():
        return np.zeros(groups), np.zeros((groups, groups))
    inside = (group[:, None] == np.arange(groups)).astype(np.float64)
    parts = score_residuals(inside, time, event, np.ones(len(time)), blocks, "breslow", patients.values)
    influence = patients.influences(parts / patients.values[:, None])
    return np.asarray(parts.sum(axis=0)), np.asarray(influence.T @ influence)
