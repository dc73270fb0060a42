"""The same cohort under many rules: how much an answer owes to the definition."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from trajectories.caveats import SIMULATED
from trajectories.cohort import Cohort
from trajectories.endpoints.event_notes import EndpointWarning
from trajectories.endpoints.events import disability_events
from trajectories.endpoints.relapse_labels import PIRA_PRESETS
from trajectories.endpoints.rules import CARE_MS, MSBASE, TRIAL, DisabilityRule, pira_rule
from trajectories.endpoints.shares import wilson_limits
from trajectories.printing import aligned, sentence
from trajectories.suppression import check_limit

__all__ = ["PRESETS", "Multiverse", "multiverse"]


PRESETS: tuple[DisabilityRule, ...] = (
    TRIAL,
    MSBASE,
    CARE_MS,
    *(pira_rule(preset) for preset in PIRA_PRESETS),
)
"""The ready rules, and each definition of PIRA with the reference and confirmation it was published with."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Multiverse:
    """What many rules find in one cohort; made by `multiverse`.

    Parameters
    ----------
    table
        One row a rule, arm and outcome ("worsening", "RAW", "PIRA", "improvement"): `rule`, `arm`, `outcome`,
        `patients`, `eligible`, `with_event` (patients), `share` (of the eligible), `lower`, `upper` (95 % Wilson
        interval), `events`.
    rules
        The rules, in order.
    cohort_name, simulated
        Of the cohort.
    notes
        Sentences with counts.
    suppress_below
        Counts below this are not printed or drawn.
    """

    table: pd.DataFrame = field(repr=False)
    rules: tuple[DisabilityRule, ...]
    cohort_name: str
    simulated: bool = False
    notes: tuple[str, ...] = ()
    suppress_below: int | None = None

    def to_frame(self) -> pd.DataFrame:
        """One row a rule, arm and outcome; a copy."""
        return self.table.copy()

    def __str__(self) -> str:
        lines = [
            f"{len(self.rules)} rules on '{self.cohort_name}': patients with the event / eligible (share)",
            "",
        ]
        outcomes = list(dict.fromkeys(self.table["outcome"]))
        rows = [["rule", "arm", *outcomes]]
        for (rule, arm), group in self.table.groupby(["rule", "arm"], sort=False, observed=True):
            by = group.set_index("outcome")
            rows.append(
                [
                    str(rule),
                    str(arm),
                    *(self.cell(by.loc[outcome]) if outcome in by.index else "-" for outcome in outcomes),
                ]
            )
        lines += [*aligned(rows, left=2), ""]
        for note in [*([str(SIMULATED)] if self.simulated else []), *self.notes]:
            lines += sentence(note, bullet="  - ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def cell(self, row: pd.Series) -> str:
        """Write one count of patients with its denominator and share, or that it is too small to show."""
        if pd.isna(row["with_event"]):
            return "-"
        n, of = int(row["with_event"]), int(row["eligible"])
        if self.suppress_below is not None and 0 < n < self.suppress_below:
            return f"<{self.suppress_below}/{of}"
        return f"{n}/{of} ({100 * row['share']:.0f} %)" if of else f"{n}/{of}"


def multiverse(
    cohort: Cohort,
    rules: Sequence[DisabilityRule] | None = None,
    *,
    randomised: bool | None = None,
    suppress_below: int | None = None,
) -> Multiverse:
    """Find the events of a cohort under many rules side by side: how much the answer depends on the definition.

    share = patients with at least one event / eligible patients, with the 95 % Wilson interval. Shares are crude:
    where follow-up differs between arms, compare them by `time_to`.

    Parameters
    ----------
    cohort
        The patients.
    rules
        Rules with different names; None: `PRESETS`, the ready rules and every definition of PIRA as published.
    randomised
        Whether the arms were randomised: then rules with a reference that moves are named in the notes.
    suppress_below
        Counts of patients below this are not printed or drawn; None shows all.

    Returns
    -------
    A `Multiverse`: `.to_frame()`, a print, and `plots.multiverse`.

    Raises
    ------
    ValueError
        If names repeat or there are no rules.

    References
    ----------
    Kalincik et al. 2015: 48 criteria of worsening agree in 17 % of events. Montobbio et al. 2025.

    Examples
    --------
    >>> from trajectories import simulated_alemtuzumab_35
    >>> found = multiverse(simulated_alemtuzumab_35(), [TRIAL, CARE_MS])
    >>> found.to_frame()["rule"].unique().tolist()
    ['TRIAL', 'CARE_MS']
    """
    check_limit(suppress_below)
    chosen = PRESETS if rules is None else tuple(rules)
    names = [rule.name for rule in chosen]
    if not chosen or len(set(names)) < len(names):
        raise ValueError(f"rules: give rules with different names, not {', '.join(names) or 'none'}.")
    rows: list[dict[str, object]] = []
    notes: dict[str, list[str]] = {}
    for rule in chosen:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EndpointWarning)  # their sentences are among the notes
            found = disability_events(cohort, rule, randomised=randomised)
        for note in found.notes:
            notes.setdefault(note, []).append(rule.name)
        for arm in cohort.arms:
            rows += _rows(rule, arm, found.events_table, found.patients_table)
    frame = pd.DataFrame(rows)
    frame["arm"] = pd.Categorical(frame["arm"], categories=list(cohort.arms), ordered=True)
    frame["with_event"], frame["events"] = (
        frame["with_event"].astype("Int64"),
        frame["events"].astype("Int64"),
    )
    return Multiverse(
        table=frame,
        rules=chosen,
        cohort_name=cohort.name,
        simulated=cohort.simulated,
        notes=_notes(notes, len(chosen)),
        suppress_below=suppress_below,
    )


def _rows(
    rule: DisabilityRule, arm: str, events: pd.DataFrame, patients: pd.DataFrame
) -> list[dict[str, object]]:
    here = patients["arm"] == arm
    mine = events[events["arm"] == arm]
    rows: list[dict[str, object]] = []
    for outcome in ("worsening", "RAW", "PIRA", "improvement"):
        kind = "improvement" if outcome == "improvement" else "worsening"
        if kind not in rule.kinds:
            continue
        who = patients.loc[here & patients[f"eligible_{kind}"], "patient"]
        eligible = len(who)
        found = mine[(mine["kind" if outcome == kind else "label"] == outcome) & mine["patient"].isin(who)]
        unlabelled = outcome != kind and bool(mine.loc[mine["kind"] == kind, "label"].isna().any())
        n = found["patient"].nunique()
        lower, upper = (float(limit) for limit in wilson_limits(n, eligible))
        missing = math.nan
        rows.append(
            {
                "rule": rule.name, "arm": arm, "outcome": outcome, "patients": int(here.sum()), "eligible": eligible,
                "with_event": None if unlabelled else n,
                "share": missing if unlabelled or not eligible else n / eligible,
                "lower": missing if unlabelled else lower, "upper": missing if unlabelled else upper,
                "events": None if unlabelled else len(found),
            }
        )  # fmt: skip
    return rows


def _notes(notes: dict[str, list[str]], n_rules: int) -> tuple[str, ...]:
    every = (
        "Shares are of eligible patients, whatever their follow-up, with 95 % Wilson intervals in the frame."
    )
    said = [note if len(by) == n_rules else f"{', '.join(by)}: {note}" for note, by in notes.items()]
    return (every, *said)
