"""Scripts of users under a strict type checker: the installed package says what its names are."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import trajectories as tj
from trajectories import models, plots

SCRIPT = """
import trajectories as tj
from trajectories import edss, models, plots, priors

cohort = tj.simulated_alemtuzumab_35()
model = models.OrdinalMixed("edss ~ years + (1 + years | patient)", prior=None)
fit = tj.sample(model.with_priors(coefficients=priors.Normal(0.0, 2.0)), cohort, seed=1)
stable = tj.stabilisation(fit, at=2.0, margin=0.5, rule=edss.TRIAL)
reveal_type(tj.change(fit, at=2.0))
reveal_type(stable)
reveal_type(model)
plots.trajectories(fit).savefig("trajectories.png")
"""


def errors_of(folder: Path, code: str) -> str:
    """What mypy --strict prints about a script that lies outside the repository."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed: `make check` installs it")
    (folder / "script.py").write_text(code, encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), "script.py"],
        capture_output=True,
        text=True,
        cwd=folder,
        env=clean,
        timeout=300,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def test_a_users_script_passes_mypy_strict(tmp_path):
    printed = errors_of(tmp_path, SCRIPT)
    assert "error" not in printed
    for name in ("trajectories.estimate.Estimate", "outcomes.Stabilisation", "ordinal.OrdinalMixed"):
        assert f'{name}"' in printed


def test_misspelt_names_are_found_by_mypy(tmp_path):
    printed = errors_of(tmp_path, "import trajectories as tj\n\ntj.sampel\n")
    assert 'has no attribute "sampel"' in printed


def listed(module: object) -> list[str]:
    """`__all__` as it is written in the file: a type checker does not run it."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    (names,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    return names


@pytest.mark.parametrize("module", [tj, models, plots], ids=lambda module: module.__name__)
def test_public_names_are_written_out(module):
    assert listed(module) == module.__all__


def test_the_lists_of_public_names_agree():
    tree = ast.parse(Path(tj.__file__).read_text(encoding="utf-8"))
    (block,) = [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    typed = {alias.asname or alias.name: node.module for node in block.body for alias in node.names}
    lazy = {name: f"trajectories.{module}" for name, module in tj._PUBLIC.items()}
    assert typed == {**lazy, **dict.fromkeys(tj._MODULES, "trajectories")}
    assert set(listed(tj)) == set(typed)
