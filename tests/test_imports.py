"""Importing: fast, lazy, complete, and only under its own name. Every case in a new Python."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import trajectories as tj

HEAVY = (
    "arviz", "formulae", "jax", "matplotlib", "nutpie", "pandera", "pymc", "pytensor", "scipy.stats", "sklearn", "statsmodels",
)  # fmt: skip


def in_new_python(code: str, *options: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
    )


def test_import_is_light():
    code = f"import sys, trajectories; print([name for name in {HEAVY} if name in sys.modules])"
    done = in_new_python(code, "-W", "error")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_names_and_dir_do_not_import_anything_heavy():
    code = (
        "import sys, trajectories as tj; dir(tj); tj.describe, tj.Cohort, tj.read_cohort, tj.edss;"
        f"print([name for name in {HEAVY} if name in sys.modules and name != 'pandera'])"
    )
    done = in_new_python(code, "-W", "error")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize("name", tj.__all__)
def test_every_public_name_resolves_and_is_documented(name):
    value = getattr(tj, name)
    assert inspect.getdoc(value)
    if inspect.isclass(value) or inspect.isfunction(value):
        assert value.__doc__
        assert value.__module__.startswith("trajectories.")


def test_public_names_are_listed_once_and_shown():
    assert len(set(tj.__all__)) == len(tj.__all__)
    assert set(dir(tj)) == set(tj.__all__)


def test_unknown_names_say_so():
    with pytest.raises(AttributeError, match="module 'trajectories' has no attribute 'sampel'"):
        tj.sampel  # noqa: B018


def test_no_module_has_the_name_of_a_public_function():
    # With lazy names the second `tj.describe` would be the module.
    folder = Path(tj.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} | {p.name for p in folder.iterdir() if p.is_dir()}
    functions = {name for name in tj.__all__ if inspect.isfunction(getattr(tj, name))}
    assert not modules & functions


def test_models_cannot_be_imported_under_another_name():
    folder = Path(tj.__file__).resolve().parent.parent
    if not (folder / "models" / "__init__.py").is_file():
        pytest.skip("installed from a wheel: there is no folder models/ beside the package")
    done = in_new_python("import models", cwd=folder)
    assert done.returncode == 1
    assert "ImportError: the folder models/ is installed as trajectories.models" in done.stderr
    assert "(it was imported here as 'models')" in done.stderr


def test_models_are_one_module():
    code = "import trajectories as tj; from trajectories import models; assert tj.models is models; print(models.__name__)"
    assert in_new_python(code).stdout.strip() == "trajectories.models"
