"""What a negative control refuses: another scale, and other arms than those of the main contrast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import trajectories as tj
from trajectories.comparison.negative_controls import negative_control


def contrast(name, mean, *, null=0.0, unit="EDSS points"):
    values = np.random.default_rng(1).normal(mean, 0.1, (1, 400))
    draws = xr.DataArray(values, dims=("chain", "draw"))
    return tj.Estimate(name=name, draws=draws, unit=unit, definition="Made up.", source="made up", null=null)


MAIN = contrast("EDSS, alemtuzumab minus placebo", -0.5)
CONTROL = contrast("EDSS at time 0, alemtuzumab minus placebo", 0.3)


def test_a_ratio_is_no_control_of_a_difference_even_where_nothing_is_calibrated():
    ratio = contrast("relapses before, alemtuzumab over placebo", 1.2, null=1.0, unit="ratio")
    with pytest.raises(ValueError, match="not on one scale"):
        negative_control(ratio, MAIN)
    with pytest.raises(ValueError, match="not on one scale"):
        negative_control(replace(CONTROL, unit="relapses per person-year"), MAIN)
    assert negative_control(ratio).main is None


@pytest.mark.parametrize("other", ["ocrelizumab minus placebo", "placebo minus alemtuzumab"])
@pytest.mark.parametrize("equal_bias", [True, False])
def test_both_are_of_the_same_arms(other, equal_bias):
    control = replace(CONTROL, name=f"EDSS at time 0, {other}")
    with pytest.raises(
        ValueError, match="main contrast is of alemtuzumab against placebo and the control of"
    ):
        negative_control(control, MAIN, equal_bias=equal_bias)


def test_the_print_names_both_and_says_where_names_hold_no_arms():
    said = " ".join(str(negative_control(CONTROL, MAIN)).split())
    assert "Negative control: EDSS at time 0, alemtuzumab minus placebo (EDSS points)" in said
    assert "Main contrast: EDSS, alemtuzumab minus placebo (EDSS points)" in said
    assert "yours to check" not in said
    unnamed = replace(CONTROL, name="EDSS at time 0")
    assert "yours to check" in " ".join(str(negative_control(unnamed, MAIN)).split())
