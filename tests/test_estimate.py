"""Estimates: summaries and probabilities of draws, with nothing missing counted as an answer."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from trajectories.estimate import Estimate, EstimateSet, check_ci


def estimate(values, *dims, null=None, **coords):
    draws = xr.DataArray(np.asarray(values, dtype=float), dims=("chain", "draw", *dims), coords=coords)
    return Estimate(
        name="change in EDSS", draws=draws, unit="EDSS points", definition="Made up.", source="made-up draws",
        caveats=("simulated",), null=null,
    )  # fmt: skip


HUNDRED = np.arange(1.0, 101.0).reshape(4, 25)


def test_summary_by_hand():
    row = estimate(HUNDRED, null=90.0).summary().iloc[0]
    assert row["mean"] == row["median"] == 50.5
    assert row["sd"] == pytest.approx(np.std(np.arange(1, 101), ddof=1))
    assert (row["lower"], row["upper"]) == pytest.approx((1 + 0.025 * 99, 1 + 0.975 * 99))
    assert row["Pr(> 90)"] == 0.1
    narrower = estimate(HUNDRED).summary(ci=0.5).iloc[0]
    assert (narrower["lower"], narrower["upper"]) == pytest.approx((25.75, 75.25))


def test_summary_says_what_it_is():
    attrs = estimate(HUNDRED).summary(ci=0.9).attrs
    assert attrs["interval"] == "90% equal-tailed interval of made-up draws"
    assert (attrs["unit"], attrs["estimate"]) == ("EDSS points", "change in EDSS")
    assert (attrs["definition"], attrs["caveats"]) == ("Made up.", ["simulated"])


def test_cells_keep_the_order_of_arms_and_times():
    values = np.broadcast_to(np.arange(6.0).reshape(3, 2), (2, 5, 3, 2))
    found = estimate(values, "arm", "years", arm=["zeta", "alpha", "mid"], years=[2.0, 0.5])
    frame = found.summary()
    assert frame.index.names == ["arm", "years"]
    assert frame.index.tolist() == [(a, y) for a in ("zeta", "alpha", "mid") for y in (2.0, 0.5)]
    assert frame["mean"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert found.probability(above=2.5).tolist() == [0, 0, 0, 1, 1, 1]


def test_probabilities_by_hand():
    found = estimate(HUNDRED - 50)  # −49 … 50
    assert found.probability(below=0).item() == 0.49
    assert found.probability(above=0).item() == 0.5
    assert found.probability(within=10).item() == 0.19
    assert found.probability(within=(-10, 0)).item() == 0.09
    assert found.probability(below=0).name == "Pr(< 0)"
    assert found.probability(within=(-10, 5)).name == "Pr(-10 < · < 5)"


@given(st.floats(-60, 60))
def test_below_above_and_equal_add_up(bound):
    found = estimate(HUNDRED - 50)
    equal = float((found.draws == bound).mean())
    assert found.probability(below=bound).item() + found.probability(
        above=bound
    ).item() + equal == pytest.approx(1)


def test_missing_draws_are_never_counted_as_no():
    values = np.stack([HUNDRED, HUNDRED], axis=-1)
    values[0, 0, 1] = np.nan
    found = estimate(values, "arm", arm=["whole", "gap"], null=0.0)
    frame = found.summary()
    assert frame.loc["whole"].notna().all()
    assert frame.loc["gap"].isna().all()
    assert found.probability(below=1000).tolist()[0] == 1.0
    assert np.isnan(found.probability(below=1000)["gap"])


@pytest.mark.parametrize(
    "bounds",
    [{}, {"below": 1, "above": 2}, {"below": 1, "within": 2}],
    ids=["none", "two", "below and within"],
)
def test_exactly_one_bound(bounds):
    with pytest.raises(ValueError, match="give one of below=, above=, within="):
        estimate(HUNDRED).probability(**bounds)


@pytest.mark.parametrize("within", [0, -1.0, float("nan"), (2, 1), (1, 1), (float("nan"), 1)])
def test_impossible_ranges(within):
    with pytest.raises(ValueError, match="within must be a positive number or"):
        estimate(HUNDRED).probability(within=within)


@pytest.mark.parametrize("ci", [0, 1, 95, -0.5, float("nan")])
def test_impossible_intervals(ci):
    with pytest.raises(ValueError, match=r"ci must be between 0 and 1, such as 0\.95"):
        check_ci(ci)
    with pytest.raises(ValueError, match="ci must be between 0 and 1"):
        estimate(HUNDRED).summary(ci=ci)


def test_draws_must_be_labelled():
    with pytest.raises(ValueError, match="draws must have dims chain, draw"):
        Estimate(
            name="x",
            draws=xr.DataArray(np.zeros((2, 2)), dims=("draw", "chain")),
            unit="",
            definition="",
            source="",
        )


def test_long_frame_has_every_draw():
    values = np.arange(12.0).reshape(2, 3, 2)
    frame = estimate(values, "arm", arm=["a", "b"]).to_frame()
    assert list(frame.columns) == ["chain", "draw", "arm", "value"]
    assert len(frame) == 12
    assert frame.query("chain == 1 and draw == 2 and arm == 'b'")["value"].item() == 11.0


def test_print_carries_unit_definition_interval_and_caveats():
    text = str(estimate(HUNDRED))
    for part in (
        "change in EDSS (EDSS points): Made up.",
        "50.5",
        "95% equal-tailed interval of made-up draws",
        "- simulated",
    ):
        assert part in text
    assert repr(estimate(HUNDRED)) == text


def test_estimates_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        estimate(HUNDRED).unit = "km"


def test_sets_summarise_all_with_their_units():
    values = np.broadcast_to([1.0, 2.0], (2, 5, 2))
    change = estimate(values, "arm", arm=["a", "b"], null=0.0)
    chance = dataclasses.replace(
        change, name="chance", unit="probability", draws=change.draws / 10, null=None
    )
    together = EstimateSet(
        title="both", estimates={"change": change, "chance": chance, "single": estimate(HUNDRED)}
    )
    frame = together.summary()
    assert frame.index.tolist() == ["change: a", "change: b", "chance: a", "chance: b", "single"]
    assert frame["unit"].tolist() == ["EDSS points"] * 2 + ["probability"] * 2 + ["EDSS points"]
    assert frame["mean"].tolist() == pytest.approx([1, 2, 0.1, 0.2, 50.5])
    assert frame["Pr(> 0)"].isna().tolist() == [False, False, True, True, True]
    assert frame.attrs["caveats"] == ["simulated"]
    assert together["chance"] is chance
    for part in ("both", "change: Made up.", "chance: a", "95% equal-tailed interval", "- simulated"):
        assert part in str(together)
    assert isinstance(frame, pd.DataFrame)
