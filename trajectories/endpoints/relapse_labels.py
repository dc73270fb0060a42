"""Which worsening counts as relapse-associated (RAW) and which as independent of relapses (PIRA)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from trajectories.endpoints.baselines import AfterRelapse, Baseline, Fixed, Roving

__all__ = [
    "CAGOL_2022",
    "COMPLEMENTARY",
    "KAPPOS_2020",
    "MULLER_2023",
    "MULLER_2023_SPECIFIC",
    "MULLER_2025",
    "PIRA_PRESETS",
    "PORTACCIO_2025",
    "PiraDefinition",
    "RelapseAssociated",
    "RelapseFree",
]

type Anchor = Literal["reference", "previous visit", "last lower visit", "event", "confirmation"]
ANCHORS: tuple[str, ...] = get_args(Anchor.__value__)


@dataclass(frozen=True, kw_only=True)
class RelapseAssociated:
    """When a confirmed worsening is relapse-associated (RAW): it was seen within days after a relapse onset.

    RAW when 0 ≤ day of the event − onset ≤ days_after, or 0 ≤ onset − day of the event ≤ days_before, for some
    relapse, also one before the first visit.

    Parameters
    ----------
    days_after
        Days after an onset, inclusive: 90 as a rule, 30 is used, too.
    days_before
        Days before an onset, inclusive: 0 as a rule.
    from_first_worse_visit
        Whether worsening that was there within the window stays RAW when the event is dated later, because no
        visit could confirm the earlier one. Without it a permanent step of a relapse becomes "PIRA" as soon as
        the window is over.

    Examples
    --------
    >>> RelapseAssociated(days_after=30).describe()
    'relapse-associated (RAW) if first seen within 30 days after a relapse onset'
    """

    days_after: float = 90
    days_before: float = 0
    from_first_worse_visit: bool = True

    def __post_init__(self) -> None:
        for field in ("days_after", "days_before"):
            if not getattr(self, field) >= 0:
                raise ValueError(f"{field}: a number of days from 0 up, not {getattr(self, field)!r}.")

    def describe(self) -> str:
        """Say it in the words of a Methods section."""
        seen = "first seen" if self.from_first_worse_visit else "its event was"
        before = f" or {self.days_before:g} days before" if self.days_before else ""
        return f"relapse-associated (RAW) if {seen} within {self.days_after:g} days after{before} a relapse onset"


@dataclass(frozen=True, kw_only=True)
class RelapseFree:
    """An interval that must hold no relapse onset: from `days_before` the visit `start` to `days_after` the visit `end`.

    Both ends count. An interval of no length asks for nothing.

    Parameters
    ----------
    start, end
        "reference" (the visit compared with), "previous visit" (the last before the event), "last lower visit"
        (the last before the event from which event and confirmation differ by the threshold), "event" or
        "confirmation"; the end not before the start.
    days_before, days_after
        Days, 0 or more.

    Examples
    --------
    >>> RelapseFree(start="event", days_before=90, end="confirmation").describe()
    'from 90 days before the event to the confirmation'
    """

    start: Anchor = "event"
    days_before: float = 0
    end: Anchor = "event"
    days_after: float = 0

    def __post_init__(self) -> None:
        for field in ("start", "end"):
            if getattr(self, field) not in ANCHORS:
                allowed = ", ".join(repr(anchor) for anchor in ANCHORS)
                raise ValueError(f"{field}: one of {allowed}, not {getattr(self, field)!r}.")
        for field in ("days_before", "days_after"):
            if not getattr(self, field) >= 0:
                raise ValueError(f"{field}: a number of days from 0 up, not {getattr(self, field)!r}.")
        if _rank(self.end) < _rank(self.start):
            raise ValueError(f"end: the {self.end} comes before the {self.start}, where the interval starts.")

    def describe(self) -> str:
        """Say it in words."""
        before = (
            f"{self.days_before:g} days before the {self.start}" if self.days_before else f"the {self.start}"
        )
        after = f"{self.days_after:g} days after the {self.end}" if self.days_after else f"the {self.end}"
        return f"from {before} to {after}"


def _rank(anchor: str) -> int:
    return 1 if anchor in ("previous visit", "last lower visit") else 3 * ANCHORS.index(anchor)


@dataclass(frozen=True, kw_only=True)
class PiraDefinition:
    """When a confirmed worsening that is not RAW is independent of relapses (PIRA); otherwise it is undefined.

    PIRA if some visit within the tolerance that confirms the worsening, which must still hold there, leaves all
    intervals of `relapse_free` without a relapse onset.

    Parameters
    ----------
    name
        Short name for tables and plots.
    citation
        Author and year, and the DOI.
    relapse_free
        The intervals; empty: every confirmed worsening that is not RAW.
    baseline
        The reference that the definition was published with; None if it leaves that open.
    weeks
        The confirmation that it was published with; None if it leaves that open.

    Notes
    -----
    Definitions that ask for relapse-free intervals bias the effect of a drug on PIRA towards none when the drug
    also prevents relapses, as patients with relapses cannot have PIRA; the complementary definition does less
    (Montobbio et al. 2025: hazard ratios from 0.83 to 0.73 by definition).

    Examples
    --------
    >>> print(CAGOL_2022.describe())
    independent of relapses (PIRA, CAGOL_2022) if not RAW and without relapse onset from 90 days before the event to the confirmation
    """

    name: str
    citation: str
    relapse_free: tuple[RelapseFree, ...]
    baseline: Baseline | None = None
    weeks: float | None = None

    def describe(self) -> str:
        """Say it in the words of a Methods section."""
        label = f"independent of relapses (PIRA, {self.name})"
        if not self.relapse_free:
            return f"{label} if not RAW"
        intervals = " and ".join(interval.describe() for interval in self.relapse_free)
        return f"{label} if not RAW and without relapse onset {intervals}"


def _around(anchor: Anchor, before: float, after: float) -> RelapseFree:
    return RelapseFree(start=anchor, days_before=before, end=anchor, days_after=after)


_MULLER = "Müller et al. 2023, doi 10.1001/jamaneurol.2023.3331"

KAPPOS_2020 = PiraDefinition(
    name="KAPPOS_2020",
    citation="Kappos et al. 2020, doi 10.1001/jamaneurol.2020.1568",
    relapse_free=(
        RelapseFree(start="reference", end="event", days_after=30),
        _around("confirmation", 30, 30),
    ),
    baseline=AfterRelapse(otherwise=Fixed()),
)
"""No relapse from the reference to 30 days after the event, nor within 30 days of confirmation; new reference after each relapse."""

CAGOL_2022 = PiraDefinition(
    name="CAGOL_2022",
    citation="Cagol et al. 2022, doi 10.1001/jamaneurol.2022.1025",
    relapse_free=(RelapseFree(start="event", days_before=90, end="confirmation"),),
)
"""No relapse from 90 days before the event to confirmation."""

MULLER_2023 = PiraDefinition(
    name="MULLER_2023",
    citation=_MULLER,
    relapse_free=(_around("event", 90, 30), _around("confirmation", 90, 30)),
    baseline=Roving(),
)
"""No relapse from 90 days before to 30 days after the event, nor around confirmation; roving reference."""

MULLER_2023_SPECIFIC = PiraDefinition(
    name="MULLER_2023_SPECIFIC",
    citation=f"{_MULLER}, where high specificity is wanted",
    relapse_free=(RelapseFree(start="reference", end="confirmation"),),
    baseline=Roving(),
)
"""No relapse from the reference to confirmation; roving reference."""

MULLER_2025 = PiraDefinition(
    name="MULLER_2025",
    citation="Müller et al. 2025, doi 10.1001/jamaneurol.2025.0495",
    relapse_free=(RelapseFree(start="previous visit", end="event"), _around("confirmation", 30, 0)),
    baseline=AfterRelapse(otherwise=Roving()),
    weeks=52,
)
"""No relapse since the visit before the event, nor in the 30 days before confirmation (12 months); roving, new after each relapse."""

PORTACCIO_2025 = PiraDefinition(
    name="PORTACCIO_2025",
    citation="Portaccio et al. 2025, Neurology 105",
    relapse_free=(_around("event", 90, 30),),
    baseline=Roving(),
    weeks=24,
)
"""No relapse from 90 days before to 30 days after the event, confirmed after 24 weeks; roving reference."""

COMPLEMENTARY = PiraDefinition(
    name="COMPLEMENTARY",
    citation="Montobbio et al. 2025, Uncovering a bias in estimated treatment effects on PIRA in multiple sclerosis clinical trials",
    relapse_free=(),
)
"""Every confirmed worsening that is not RAW."""

PIRA_PRESETS = (
    KAPPOS_2020, CAGOL_2022, MULLER_2023, MULLER_2023_SPECIFIC, MULLER_2025, PORTACCIO_2025, COMPLEMENTARY,
)  # fmt: skip
"""All definitions of PIRA by name."""
