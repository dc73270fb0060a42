"""Rule-based endpoints: what is counted before anything is modelled."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Public names and the modules they live in; a module is imported when one of its names is first used.
_PUBLIC = {
    "AfterRelapse": "baselines",
    "CAGOL_2022": "relapse_labels",
    "CARE_MS": "rules",
    "COMPLEMENTARY": "relapse_labels",
    "CompositeEvents": "composite",
    "Confirmed": "confirmation",
    "DisabilityEvents": "events",
    "DisabilityMilestone": "milestones",
    "DisabilityRule": "rules",
    "EndpointWarning": "event_notes",
    "Fixed": "baselines",
    "KAPPOS_2020": "relapse_labels",
    "MSBASE": "rules",
    "MULLER_2023": "relapse_labels",
    "MULLER_2023_SPECIFIC": "relapse_labels",
    "MULLER_2025": "relapse_labels",
    "Multiverse": "multiverses",
    "NHPT": "scales",
    "PIRA_PRESETS": "relapse_labels",
    "PRESETS": "multiverses",
    "PORTACCIO_2025": "relapse_labels",
    "PiraDefinition": "relapse_labels",
    "PresetWarning": "event_notes",
    "RelapseAssociated": "relapse_labels",
    "RelapseFree": "relapse_labels",
    "Roving": "baselines",
    "RovingWarning": "event_notes",
    "SDMT": "scales",
    "ScaleChange": "scales",
    "SparseVisitsWarning": "event_notes",
    "T25FW": "scales",
    "TRIAL": "rules",
    "disability_events": "events",
    "first_of": "composite",
    "milestone": "milestones",
    "multiverse": "multiverses",
    "pira_rule": "rules",
}

# Written out, as type checkers read it without running it.
__all__ = [
    "CAGOL_2022",
    "CARE_MS",
    "COMPLEMENTARY",
    "KAPPOS_2020",
    "MSBASE",
    "MULLER_2023",
    "MULLER_2023_SPECIFIC",
    "MULLER_2025",
    "NHPT",
    "PIRA_PRESETS",
    "PORTACCIO_2025",
    "PRESETS",
    "SDMT",
    "T25FW",
    "TRIAL",
    "AfterRelapse",
    "CompositeEvents",
    "Confirmed",
    "DisabilityEvents",
    "DisabilityMilestone",
    "DisabilityRule",
    "EndpointWarning",
    "Fixed",
    "Multiverse",
    "PiraDefinition",
    "PresetWarning",
    "RelapseAssociated",
    "RelapseFree",
    "Roving",
    "RovingWarning",
    "ScaleChange",
    "SparseVisitsWarning",
    "disability_events",
    "first_of",
    "milestone",
    "multiverse",
    "pira_rule",
]

if not TYPE_CHECKING:  # a type checker that saw it would let every misspelt name pass

    def __getattr__(name: str) -> Any:
        if name in _PUBLIC:
            return getattr(importlib.import_module(f"trajectories.endpoints.{_PUBLIC[name]}"), name)
        raise AttributeError(f"module 'trajectories.endpoints' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from trajectories.endpoints.baselines import AfterRelapse, Fixed, Roving
    from trajectories.endpoints.composite import CompositeEvents, first_of
    from trajectories.endpoints.confirmation import Confirmed
    from trajectories.endpoints.event_notes import (
        EndpointWarning,
        PresetWarning,
        RovingWarning,
        SparseVisitsWarning,
    )
    from trajectories.endpoints.events import DisabilityEvents, disability_events
    from trajectories.endpoints.milestones import DisabilityMilestone, milestone
    from trajectories.endpoints.multiverses import PRESETS, Multiverse, multiverse
    from trajectories.endpoints.relapse_labels import (
        CAGOL_2022,
        COMPLEMENTARY,
        KAPPOS_2020,
        MULLER_2023,
        MULLER_2023_SPECIFIC,
        MULLER_2025,
        PIRA_PRESETS,
        PORTACCIO_2025,
        PiraDefinition,
        RelapseAssociated,
        RelapseFree,
    )
    from trajectories.endpoints.rules import CARE_MS, MSBASE, TRIAL, DisabilityRule, pira_rule
    from trajectories.endpoints.scales import NHPT, SDMT, T25FW, ScaleChange
