"""Tier 0: what the installed package consists of."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

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


def test_package_is_marked_as_typed():
    assert (Path(trajectories.__file__).parent / "py.typed").is_file()
