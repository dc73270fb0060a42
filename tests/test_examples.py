"""The examples and the README: what they call exists, and the margin can be changed to any number."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import trajectories as tj
from trajectories import models, plots

ROOT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(
    not (ROOT / "examples").is_dir(), reason="installed from a wheel: no examples here"
)


def test_the_readme_names_what_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"\btj\.(\w+)", text):
        assert name in tj.__all__, name
    for name in re.findall(r"\bmodels\.(\w+)", text):
        assert name in models.__all__, name
    for name in re.findall(r"\bplots\.(\w+)", text):
        assert name in plots.__all__, name


def test_formulas_of_the_readme_and_the_examples_can_be_used():
    cohort = tj.simulated_three_dmts_400()
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")]
    found = re.findall(
        r"[`\"](edss ~ [^`\"]+)[`\"]", "\n".join([*texts, (ROOT / "README.md").read_text(encoding="utf-8")])
    )
    assert len(set(found)) >= 4
    for formula in set(found):
        assert models.OrdinalMixed(formula).design(cohort).terms


@pytest.mark.parametrize("margin", [0.5, 1.0])
def test_the_answer_of_the_demo_can_be_had_for_another_margin(margin, monkeypatch, capsys):
    path = ROOT / "examples" / "alemtuzumab_cohort.py"
    spec = importlib.util.spec_from_file_location("alemtuzumab_cohort", path)
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    monkeypatch.setattr(demo, "MARGIN", margin)
    cohort = tj.simulated_alemtuzumab_35()
    fit = tj.maximise(models.GaussianMixed("edss ~ years + (1 + years | patient)"), cohort)
    stable = tj.stabilisation(fit, at=2.0, margin=margin)
    counts = tj.maximise(models.RelapseCounts("relapses ~ period"), cohort, method="gee")
    ratio = tj.contrast(tj.relapse_rate(counts), "after", "before", over="period", scale="ratio")
    demo.answer(cohort, stable, ratio)
    assert f"stayed within ±{margin:g} points is" in capsys.readouterr().out
