"""The log-rank test of equal hazards in the arms."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from trajectories.endpoints.survival_curves import arms_of
from trajectories.endpoints.survival_design import column_of
from trajectories.endpoints.survival_setting import Setting, count_text
from trajectories.endpoints.survival_steps import log_rank_sums
from trajectories.printing import aligned, number, p_value

__all__ = ["LogRank", "log_rank"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LogRank:
    """Test whether the arms have the same hazard; print it to read it.

    Parameters
    ----------
    arms
        One row an arm: `arm`, `patients`, `events` (observed), `expected` (were the hazards equal).
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
        below = self.setting.suppress_below
        lines = self.setting.head("Log-rank test of the time to")
        rows = [
            [
                str(row["arm"]),
                count_text(row["patients"], below),
                count_text(row["events"], below),
                number(row["expected"], 1),
            ]
            for _, row in self.arms.iterrows()
        ]
        lines += ["", *aligned([["", "n", "events", "expected"], *rows])]
        lines.append(f"chi-square {number(self.chi2)}, df {self.df}, p {p_value(self.p_value)}")
        return "\n".join(lines + self.setting.foot(self.notes))

    def __repr__(self) -> str:
        return str(self)


def log_rank(table: pd.DataFrame, setting: Setting, *, strata: str | None) -> LogRank:
    """Compare the arms; `TimeTo.log_rank` says how."""
    from scipy.special import chdtrc

    arms = [arm for arm, _ in arms_of(table)]
    group = table["arm"].astype(str).map({arm: k for k, arm in enumerate(arms)}).to_numpy(dtype=np.int64)
    blocks = np.zeros(len(table), dtype=np.int64)
    if strata is not None:
        column = column_of(table, strata, "strata")
        if column.isna().any():
            raise ValueError(f"strata {strata!r} is missing in {int(column.isna().sum())} patients.")
        blocks = pd.factorize(column)[0]
    time, event = table["time"].to_numpy(dtype=np.float64), table["event"].to_numpy(dtype=np.int64)
    surplus, covariance = np.zeros(len(arms)), np.zeros((len(arms), len(arms)))
    for block in np.unique(blocks):
        mine = blocks == block
        more, spread = log_rank_sums(time[mine], event[mine], group[mine], len(arms))
        surplus, covariance = surplus + more, covariance + spread
    known = np.diag(covariance) > 1e-12  # an arm that was never at risk at an event says nothing
    df = max(int(known.sum()) - 1, 0)
    chi2 = p = float("nan")
    if df:
        part = np.flatnonzero(known)[1:]
        chi2 = float(surplus[part] @ np.linalg.solve(covariance[np.ix_(part, part)], surplus[part]))
        p = float(chdtrc(df, chi2))
    observed = np.bincount(group, weights=event, minlength=len(arms))
    frame = pd.DataFrame(
        {
            "arm": arms,
            "patients": np.bincount(group, minlength=len(arms)),
            "events": observed.astype(np.int64),
            "expected": observed - surplus,
        }
    )
    within = f", within the groups of {strata}" if strata else ""
    notes = [f"Log-rank test of equal hazards{within}, hypergeometric variance, no continuity correction."]
    if not df:
        notes.insert(
            0, "Not tested: there is one arm only, or no event while patients of several were at risk."
        )
    return LogRank(
        arms=frame, chi2=chi2, df=df, p_value=p, strata=strata, setting=setting, notes=tuple(notes)
    )
