"""The forest beside published cohorts, the tipping-point curve, and the example that draws them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import matplotlib.figure
import numpy as np
import pytest

import trajectories as tj
from trajectories import plots
from trajectories.comparison import published
from trajectories.comparison.e_values import e_value
from trajectories.comparison.figures import Mean
from trajectories.comparison.matching_adjusted import MaicError, MaicWeights, maic
from trajectories.comparison.summary_rates import rate_ratio_from_summary
from trajectories.comparison.tipping_points import tipping_point
from trajectories.comparison.unanchored import AgainstPublished, against_published
from trajectories.plots.beside import beside_published
from trajectories.plots.tipping import tipping_point as tipping_figure

TRIAL = published.CARE_MS_2["alemtuzumab"]


@pytest.fixture(scope="module")
def results() -> dict[str, AgainstPublished | list[AgainstPublished]]:
    cohort = tj.simulated_alemtuzumab_35()
    weights = maic(
        cohort,
        {name: Mean(mean=TRIAL[name].figure.value) for name in ("age", "edss_baseline")},
        target="CARE-MS II",
    )
    bare = against_published(
        cohort, published.MURARO_2025["alemtuzumab"].arr, window=(0, 2), accept_no_interval=True
    )
    return {
        "own cohort": [
            against_published(cohort, TRIAL.arr),
            bare,
            against_published(cohort, TRIAL.edss_change),
        ],
        "own, weighted": against_published(cohort, TRIAL.arr, weights=weights),
    }


def marks(figure: matplotlib.figure.Figure, panel: int, sort: str) -> list[tuple[float, float]]:
    lines = [line for line in figure.axes[2 * panel].lines if line.get_gid() == sort]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in lines]


class TestBesidePublished:
    def test_every_row_stands_once_and_where_its_number_is(self, results):
        figure = beside_published(results)
        rates = results["own cohort"][0].summary()
        assert len(figure.axes) == 4
        assert marks(figure, 0, "own") == [(pytest.approx(rates.loc["own", "median"]), 3.0)]
        assert marks(figure, 0, "weighted")[0][1] == 2.0
        drawn = marks(figure, 0, "published")
        assert np.allclose([x for x, _ in drawn], [0.26, 0.087], atol=0.005)
        assert marks(figure, 1, "published")[0][0] == pytest.approx(-0.17, abs=0.01)

    def test_the_labels_say_n_and_kind(self, results):
        texts = [text.get_text() for ax in beside_published(results).axes for text in ax.texts]
        for said in (
            "35",
            "426",
            "observed",
            "observed, weighted",
            "rate with interval",
            "rate without interval",
            "0.09",
        ):
            assert said in texts, said
        assert any("eff." in text for text in texts)

    def test_a_figure_without_interval_is_an_open_square_without_a_line(self, results):
        ax = beside_published(results).axes[0]
        last = [line for line in ax.lines if line.get_gid() == "published"][-1]
        assert last.get_markerfacecolor() == "white"
        assert len([line for line in ax.lines if len(line.get_xdata()) == 2]) == 3

    def test_what_it_assumes_and_that_it_is_simulated_stand_on_it(self, results):
        lines = sorted(beside_published(results).texts, key=lambda text: -text.get_position()[1])
        texts = " ".join(line.get_text() for line in lines)
        assert "SIMULATED" in texts
        assert "Unanchored" in texts
        assert "ACCEPTED without published uncertainty" in texts

    def test_nothing_to_draw(self):
        with pytest.raises(ValueError, match="no comparison"):
            beside_published({})


class TestTippingFigure:
    def test_holds_the_curves_of_the_result(self):
        made = tipping_point(0.45, 0.32, 0.63, measure="rate ratio", benchmarks={"sex": (0.5, 1.3)})
        ax = tipping_figure(made).axes[0]
        drawn = {line.get_gid(): line for line in ax.lines}
        assert np.allclose(drawn["interval"].get_ydata(), made.curve["interval"], equal_nan=True)
        assert np.allclose(drawn["estimate"].get_ydata(), made.curve["estimate"], equal_nan=True)
        assert (drawn["benchmark"].get_xdata()[0], drawn["benchmark"].get_ydata()[0]) == (2.0, 1.3)

    def test_covariates_that_go_the_other_way_are_hollow(self):
        given = {"a": (0.5, -0.5), "b": (0.5, 0.5)}
        made = tipping_point(
            -0.4, -0.6, -0.2, measure="mean difference", confounder="continuous", benchmarks=given
        )
        points = [line for line in tipping_figure(made).axes[0].lines if line.get_gid() == "benchmark"]
        assert [point.get_markerfacecolor() == "white" for point in points] == [False, True]

    def test_an_interval_over_no_effect_has_no_curve_and_says_so(self):
        made = tipping_point(-0.1, -0.4, 0.2, measure="mean difference")
        figure = tipping_figure(made)
        assert [line.get_gid() for line in figure.axes[0].lines] == ["estimate"]
        assert "covers no effect already" in " ".join(text.get_text() for text in figure.texts)


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public names of this part, wherever they are registered."""
    names = {
        "AgainstPublished": AgainstPublished, "MaicError": MaicError, "MaicWeights": MaicWeights, "maic": maic, "e_value": e_value,
        "against_published": against_published, "rate_ratio_from_summary": rate_ratio_from_summary, "tipping_point": tipping_point,
    }  # fmt: skip
    for name, value in names.items():
        monkeypatch.setattr(tj, name, value, raising=False)
    monkeypatch.setattr(plots, "beside_published", beside_published, raising=False)
    monkeypatch.setattr(plots, "tipping_point", tipping_figure, raising=False)


@pytest.mark.usefixtures("public")
def test_the_example_runs_and_says_what_it_cannot_show(monkeypatch, capsys, tmp_path):
    path = Path(__file__).resolve().parents[1] / "examples" / "against_published.py"
    if not path.is_file():
        pytest.skip("installed from a wheel: no examples here")
    spec = importlib.util.spec_from_file_location("against_published_example", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setattr(example, "OUTPUT", tmp_path)
    example.main()
    said = capsys.readouterr().out
    for text in (
        "0.46 (95% interval 0.34 to 0.64)",
        "Weights to CARE-MS I are refused",
        "What this cannot show",
        "SIMULATED",
    ):
        assert text in said
    assert {file.name for file in tmp_path.iterdir()} == {
        "against_published.png",
        "against_published_tipping.png",
    }
