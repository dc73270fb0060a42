"""Rows of a table of event rates, with small cells hidden, and the sentences that belong under it."""

from __future__ import annotations

from math import nan

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trajectories.endpoints.group_rates import GroupRates, rate_ratio
from trajectories.endpoints.groups import PatientGroups
from trajectories.printing import interval, number
from trajectories.suppression import HIDDEN, hidden_cells, hidden_note

__all__ = [
    "RATE_TYPES",
    "cell",
    "few_events",
    "hidden_notes",
    "interval_notes",
    "rate_rows",
    "ratio_rows",
    "shown_interval",
]

COUNTS = ("patients", "observed", "unobserved", "events")
RATE_TYPES = {
    **dict.fromkeys(COUNTS, "Int64"),
    **dict.fromkeys(("person_years", "pooled", "rate", "lower", "upper", "dispersion"), "float64"),
    "suppressed": "bool",
}


type Marks = NDArray[np.bool_]


def few_events(rates: GroupRates, below: int | None) -> Marks:
    """Mark the groups of which too few patients were seen, or had too few events, to be shown."""
    return np.asarray(hidden_cells([rates.patients], below)[0] | hidden_cells([rates.events], below)[0])


def rate_rows(
    rates: GroupRates, groups: PatientGroups, below: int | None, also_hidden: Marks | None = None
) -> list[dict[str, object]]:
    """Make one row a group: patients seen and not seen, person-years, events, pooled rate, rate with its interval.

    `also_hidden` marks further groups whose events must not be shown, as they would follow from other tables.
    """
    sizes = groups.sizes
    states = np.array([rates.patients, sizes - rates.patients])
    hidden_size, hidden_state = hidden_cells([sizes], below)[0], hidden_cells(states, below)
    few_patients, few = hidden_cells([rates.patients], below)[0], few_events(rates, below)
    few = few if also_hidden is None else few | also_hidden
    rows: list[dict[str, object]] = []
    for k, name in enumerate(groups.names):
        row: dict[str, object] = {
            "group": name,
            "patients": pd.NA if hidden_size[k] else int(sizes[k]),
            "observed": pd.NA if hidden_state[0, k] else int(states[0, k]),
            "unobserved": pd.NA if hidden_state[1, k] else int(states[1, k]),
            "person_years": nan if few_patients[k] else float(rates.person_years[k]),
            "events": pd.NA if few[k] else int(rates.events[k]),
        }
        for column in ("pooled", "rate", "lower", "upper"):
            row[column] = nan if few[k] else float(getattr(rates, column)[k])
        rows.append(
            {
                **row,
                "interval": rates.interval,
                "dispersion": nan if rates.asked == "exact Poisson" else rates.dispersion,
                "suppressed": any(row[column] is pd.NA for column in COUNTS),
            }
        )
    return rows


def ratio_rows(
    rates: GroupRates, groups: PatientGroups, reference: int, below: int | None
) -> list[dict[str, object]]:
    """Make one row a group other than the reference: the ratio of the two rates with its interval."""
    few = few_events(rates, below)
    rows: list[dict[str, object]] = []
    for k, name in enumerate(groups.names):
        if k == reference:
            continue
        hidden = bool(few[k] or few[reference])
        values = (nan, nan, nan, "") if hidden else rate_ratio(rates, k, reference)
        rows.append(
            {
                "group": name,
                "reference": groups.names[reference],
                **dict(zip(("ratio", "lower", "upper", "reason"), values, strict=True)),
                "interval": rates.interval,
                "suppressed": hidden,
            }
        )
    return rows


def interval_notes(
    asked: str, ci: float, *, what: str, where: list[str], ratios: bool = False
) -> tuple[str, ...]:
    """Say how rates and intervals were made; `where` names the tables in which Poisson's had to be used."""
    level = f"{100 * ci:g} %"
    if asked == "exact Poisson":
        ratio = "; ratio: exact, from the binomial distribution of one group's events given the sum of both"
        return (
            f"Rate: all {what} over all person-years, with Garwood's exact Poisson interval ({level})"
            f"{ratio if ratios else ''}.",
            "Exact Poisson intervals take every patient to have the same rate. Where rates vary between patients, as "
            "they do, they are too narrow (95 % intervals covered 81 to 91 % in simulations): "
            "interval='negative binomial' allows for it.",
        )
    if asked == "robust":
        return (
            f"Rate: weighted {what} over weighted person-years, Σ w y / Σ w t; Wald interval ({level}) of the log rate"
            f"{' and of the log rate ratio' if ratios else ''}, from standard errors robust by patient, which allow for rates that vary "
            f"between patients. Pooled: all {what} over all person-years, without weights, as the counts beside it.",
            "A group without events has no robust interval.",
        )
    said = (
        f"Rate: of a negative binomial model with one rate a group and one dispersion α, Var = μ + αμ², maximum "
        f"likelihood, patients' {what} with log person-years as offset; Wald interval ({level}) of the log rate"
        f"{' and of the log rate ratio' if ratios else ''}, as R's glm.nb. Pooled: all {what} over all person-years. The "
        "two rates differ when patients with many events were followed for longer or shorter than others.",
        "A group without events has no log rate: its upper limit is the rate at which no event at all would have "
        f"probability {(1 - ci) / 2:.3g}.",
    )
    if not where:
        return said
    return (
        *said,
        f"In {', '.join(where)} the counts vary no more than Poisson counts (α is estimated as 0): the exact Poisson "
        "interval is given instead.",
    )


def hidden_notes(below: int, what: str) -> tuple[str, str]:
    """End the notes of a result in which small cells are hidden."""
    return (
        hidden_note(below, what),
        "Counts of what was left out, and the notes of the cohort, are not shown.",
    )


def cell(row: pd.Series, column: str, digits: int | None = None) -> str:
    """Write a count (no `digits`) or a number, or the mark of a hidden cell."""
    value = row[column]
    if pd.isna(value):
        return HIDDEN if row["suppressed"] else number(nan)
    return f"{int(value):,}" if digits is None else number(float(value), digits)


def shown_interval(row: pd.Series, digits: int = 2) -> str:
    """Write an interval, or the mark of a hidden one."""
    if row["suppressed"] and pd.isna(row["lower"]):
        return HIDDEN
    return interval(row["lower"], row["upper"], digits)
