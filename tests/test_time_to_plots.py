"""Figures of times to an event show what the results hold."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pytest

import trajectories as tj
from trajectories import endpoints
from trajectories.endpoints.survival import TimeTo, time_to
from trajectories.plots.style import DOUBLE, SINGLE
from trajectories.plots.survival import cumulative_incidence, kaplan_meier


@cache
def study(suppress_below: int | None = None, *, one_arm: bool = False) -> TimeTo:
    cohort = tj.simulated_alemtuzumab_35() if one_arm else tj.simulated_three_dmts_400()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", endpoints.EndpointWarning)
        events = endpoints.disability_events(cohort)
    return time_to(events, competing="improvement", suppress_below=suppress_below)


def texts(figure) -> str:
    return " ".join(t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text")))


def curves(ax) -> list[np.ndarray]:
    return [np.asarray(line.get_xydata()) for line in ax.lines if line.get_gid() == "curve"]


def counts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_gid() == "count"]


def test_kaplan_meier_draws_each_curve_and_the_numbers_at_risk():
    result = study().kaplan_meier()
    figure = kaplan_meier(result)
    (ax,) = figure.axes
    frame = result.to_frame()
    for drawn, (_, curve) in zip(curves(ax), frame.groupby("arm", sort=False), strict=True):
        assert drawn == pytest.approx(curve[["time", "survival"]].to_numpy())
    times = [tick for tick in ax.get_xticks() if tick <= frame["time"].max()]
    at_risk = result.at(times)["at_risk"].astype(str).tolist()
    assert counts(ax) == at_risk
    styles = {line.get_linestyle() for line in ax.lines if line.get_gid() == "curve"}
    assert len(styles) >= 2  # colour never carries a meaning alone
    assert len({line.get_marker() for line in ax.lines if line.get_gid() == "marker"}) == 3
    assert ax.get_xlabel() == "years from the baseline visit"
    assert figure.get_size_inches()[0] == DOUBLE
    said = texts(figure)
    assert "SIMULATED data" in said
    assert f"n = {result.medians['patients'].sum()}, {result.medians['events'].sum()} events" in said
    assert "log-log intervals" in said


def test_one_arm_is_a_column_wide_and_has_no_markers():
    figure = kaplan_meier(study(one_arm=True).kaplan_meier(), interval=False)
    (ax,) = figure.axes
    assert figure.get_size_inches()[0] == SINGLE
    assert not [line for line in ax.lines if line.get_gid() == "marker"]
    assert not ax.collections
    assert "(shaded" not in texts(figure)
    assert "drawn); ticks: censored" in texts(figure)


def test_cumulative_incidence_has_a_panel_an_event():
    result = study().cumulative_incidence()
    figure = cumulative_incidence(result)
    frame = result.to_frame()
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["worsening", "improvement"]
    for ax, cause in zip(figure.axes, result.causes, strict=True):
        mine = frame[frame["cause"] == cause]
        for drawn, (_, curve) in zip(curves(ax), mine.groupby("arm", sort=False), strict=True):
            assert drawn == pytest.approx(curve[["time", "incidence"]].to_numpy())
    assert len(cumulative_incidence(result, causes=["improvement"]).axes) == 1
    with pytest.raises(ValueError, match="causes must be of worsening, improvement"):
        cumulative_incidence(result, causes=["death"])


def test_small_numbers_at_risk_are_hidden():
    (ax,) = kaplan_meier(study(suppress_below=10).kaplan_meier()).axes
    assert "*" in counts(ax)
    assert not any(number.isdigit() and 0 < int(number) < 10 for number in counts(ax))
    assert "*: fewer than 10" in texts(ax.figure).replace("\n", " ")
