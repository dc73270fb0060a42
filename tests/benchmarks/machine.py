"""The machine that a benchmark ran on, for its report."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path


def describe_machine() -> str:
    """Return date, processor, cores, memory and load in one line: times compare only where these are alike."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d %H:%M} UTC; {_processor()}, {os.cpu_count()} cores, {_memory():.0f} GB; "
        f"Python {platform.python_version()}; load average {load} (1, 5, 15 min)"
    )


def one_minute_load() -> float:
    """Return the average number of running processes in the last minute: above the number of cores, times are too long."""
    return os.getloadavg()[0]


def verdict(met: bool, target: str) -> str:
    """Say whether a target was met."""
    return f"{'met' if met else 'NOT MET'}: {target}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
