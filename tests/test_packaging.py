"""Tier 0: what the installed package consists of."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import trajectories
from trajectories import models


def installed_files() -> list[str]:
    files = importlib.metadata.files("trajectories") or []
    return [str(file) for file in files]


def is_editable() -> bool:
    return not any(file.startswith("trajectories/models/") for file in installed_files())


def test_models_are_part_of_the_package():
    assert models.__name__ == "trajectories.models"
    assert Path(models.__file__).is_file()


def test_wheel_claims_no_other_top_level_name():
    if is_editable():
        pytest.skip("installed from the source tree: the built wheel is checked in .ci/run")
    top = {Path(file).parts[0] for file in installed_files()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"trajectories"}
    assert "trajectories/models/ordinal.py" in installed_files()
    assert any(
        file.startswith("trajectories/example_data/") and file.endswith(".csv") for file in installed_files()
    )


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def reached(requirements: list[str]) -> set[str]:
    """Names of the packages that requirements bring with them in this environment, their own included."""
    found, open_ones = set(), [Requirement(text) for text in requirements]
    while open_ones:
        wanted = open_ones.pop()
        if (key := (plain(wanted.name), frozenset(wanted.extras))) in found:
            continue
        found.add(key)
        for more in map(Requirement, importlib.metadata.requires(wanted.name) or []):
            if more.marker is None or any(
                more.marker.evaluate({"extra": extra}) for extra in wanted.extras or {""}
            ):
                open_ones.append(more)
    return {name for name, _ in found}


def test_exact_versions_are_kept_of_nothing_that_is_not_asked_for():
    root = Path(__file__).resolve().parents[1]
    if not (root / "requirements.lock").is_file():
        pytest.skip("installed from a wheel: there is no requirements.lock")
    pins = dict(
        line.split("==") for line in (root / "requirements.lock").read_text().splitlines() if "==" in line
    )
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    asked = [*project["dependencies"], *(text for extra in extras for text in extra)]
    try:
        other = [name for name, version in pins.items() if importlib.metadata.version(name) != version]
        names = reached(asked)
    except importlib.metadata.PackageNotFoundError as error:
        pytest.skip(f"not all extras are installed: {error}")
    if other:
        pytest.skip(f"the environment has other versions, of {other[0]} for one")
    assert {plain(name) for name in pins} <= names


def test_package_is_marked_as_typed():
    assert (Path(trajectories.__file__).parent / "py.typed").is_file()
