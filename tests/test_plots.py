from __future__ import annotations

import itertools
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import trajectories as tj
from trajectories import edss, models, plots
from trajectories.caveats import Caveat, Doubt, Mark
from trajectories.estimands.rates import relapse_rate
from trajectories.fitting.diagnostics import Problem
from trajectories.fitting.fit import Fit
from trajectories.models.base import MixedModel
from trajectories.plots.predictive import codes_of
from trajectories.plots.style import DOUBLE, OUTCOME_COLOURS, PALETTE, SINGLE, arm_colours, probability
from trajectories.windows import edss_at, relapse_windows

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

ARMS = ("fingolimod", "alemtuzumab")
N_CUTPOINTS = len(edss.LEVELS) - 1


def make_cohort(*, simulated: bool = True) -> tj.Cohort:
    """12 patients on two arms; the second arm is followed for two years, the first for three."""
    rng = np.random.default_rng(3)
    visits, relapses, patients = [], [], []
    for k in range(12):
        arm = ARMS[k % 2]
        for day in range(-366, 1106 if k % 2 == 0 else 740, 183):
            visits.append({"patient": f"p{k}", "day": day, "edss": rng.choice([1.0, 2.0, 2.5, 4.0, 6.0])})
        relapses += [
            {"patient": f"p{k}", "day": day} for day in rng.choice(np.arange(-300, 600, 40), 2, replace=False)
        ]
        patients.append(
            {
                "patient": f"p{k}",
                "arm": arm,
                "followup_start": -366,
                "followup_end": 1106 if k % 2 == 0 else 740,
            }
        )
    people = pd.DataFrame(patients)
    people["arm"] = pd.Categorical(people["arm"], categories=ARMS, ordered=True)
    for column in ("followup_start", "followup_end"):
        people[column] = people[column].astype(int)
    cohort = tj.read_cohort(
        pd.DataFrame(visits), relapses=pd.DataFrame(relapses), patients=people, name="twelve"
    )
    return replace(cohort, simulated=simulated)


def make_fit(
    model: MixedModel,
    cohort: tj.Cohort,
    *,
    source: Literal["posterior", "prior"] = "posterior",
    found: tuple[Problem, ...] = (),
) -> Fit:
    """A fit of made-up draws, with the shapes of real ones: no sampling."""
    design = model.design(cohort)
    rng = np.random.default_rng(1)
    chains, draws, q, terms, people = 2, 40, len(design.effects), len(design.terms), design.n_patients
    lead, dims = (chains, draws), ("chain", "draw")
    sd = np.abs(rng.normal(0.6, 0.1, (*lead, q)))
    covariance = sd[..., None] * np.eye(q) * sd[..., None, :]
    data = {
        "coefficients": ((*dims, "term"), rng.normal(0.2, 0.2, (*lead, terms))),
        "patient_sd": ((*dims, "effect"), sd),
        "patient_covariance": ((*dims, "effect", "other_effect"), covariance),
        "patient_effects": ((*dims, "patient", "effect"), rng.normal(0, 0.5, (*lead, people, q))),
    }
    coords = {
        "chain": np.arange(chains),
        "draw": np.arange(draws),
        "term": list(design.terms),
        "effect": list(design.effects),
        "other_effect": list(design.effects),
        "patient": np.arange(people),
    }
    if isinstance(model, models.RelapseCounts):
        data["intercept"] = (dims, rng.normal(-0.5, 0.1, lead))
        data["dispersion"] = (dims, rng.uniform(0.1, 0.3, lead))
    else:
        cutpoints = np.linspace(-3, 6, N_CUTPOINTS) + rng.normal(0, 0.1, (*lead, 1))
        data["cutpoints"] = ((*dims, "level"), cutpoints)
        coords["level"] = [f"{a:g}|{b:g}" for a, b in itertools.pairwise(edss.LEVELS)]
    tree = {source: xr.Dataset(data, coords=coords)}
    if source == "posterior":
        tree["sample_stats"] = xr.Dataset({"diverging": (dims, rng.random(lead) < 0.05)})
    return Fit(model=model, design=design, data=xr.DataTree.from_dict(tree), found=found, source=source)


ORDINAL = models.OrdinalMixed("edss ~ arm * years + (1 + years | patient)")
COUNTS = models.RelapseCounts("relapses ~ arm * period + (1 | patient)")


@pytest.fixture(scope="module")
def cohort() -> tj.Cohort:
    return make_cohort()


@pytest.fixture(scope="module")
def fit(cohort: tj.Cohort) -> Fit:
    return make_fit(ORDINAL, cohort)


@pytest.fixture(scope="module")
def counts(cohort: tj.Cohort) -> Fit:
    return make_fit(COUNTS, cohort)


@pytest.fixture(scope="module")
def prior(cohort: tj.Cohort) -> Fit:
    return make_fit(ORDINAL, cohort, source="prior")


@pytest.fixture(scope="module")
def stable(fit: Fit) -> tj.Stabilisation:
    return tj.stabilisation(fit, at=2.0, margin=0.5, untreated_drift=0.3)


@pytest.fixture(scope="module")
def figures(
    cohort: tj.Cohort, fit: Fit, counts: Fit, prior: Fit, stable: tj.Stabilisation
) -> dict[str, Figure]:
    """Every kind of figure once."""
    compared = tj.contrast(stable, "alemtuzumab", "fingolimod")
    rates = relapse_rate(counts)
    return {
        "edss_by_window": plots.edss_by_window(cohort),
        "relapses": plots.relapses(cohort),
        "trajectories": plots.trajectories(fit, points=5),
        "one arm": plots.trajectories(fit, ["alemtuzumab"], points=5),
        "change": plots.change(stable),
        "margin_curve": plots.margin_curve(stable),
        "outcomes": plots.outcomes(stable),
        "forest": plots.forest(compared),
        "rates": plots.forest(rates),
        "rate ratios": plots.forest(tj.contrast(rates, "after", "before", over="period", scale="ratio")),
        "posterior": plots.posterior_predictive(fit, draws=20),
        "rootogram": plots.posterior_predictive(counts, draws=20),
        "prior": plots.prior_predictive(prior, draws=20),
        "proportional": plots.proportional_odds(fit, draws=20),
        "diagnostics": plots.diagnostics(fit),
        "pairs": plots.pairs(fit),
    }


KINDS = (
    "edss_by_window", "relapses", "trajectories", "one arm", "change", "margin_curve", "outcomes", "forest", "rates", "rate ratios",
    "posterior", "rootogram", "prior", "proportional", "diagnostics", "pairs",
)  # fmt: skip


def shown_texts(figure: Figure) -> Iterator[Text]:
    """All texts that are seen: those of visible axes, ticks inside the limits."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    hidden = {
        text
        for ax in figure.axes
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim()))
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for text in (tick.label1, tick.label2)
        if not (ax.axison and axis.get_visible() and min(limits) <= tick.get_loc() <= max(limits))
    }
    for ax in figure.axes:
        if not ax.axison:
            hidden |= {ax.xaxis.label, ax.yaxis.label}
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and text not in hidden:
            yield text


def all_text(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in shown_texts(figure))


def heading(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts if text.get_gid() == "heading")


def caption(figure: Figure) -> str:
    lines = [text for text in figure.texts if text.get_gid() == "caption"]
    said = " ".join(text.get_text() for text in sorted(lines, key=lambda text: -text.get_position()[1]))
    return said.replace("\N{NO-BREAK SPACE}", " ")


def with_gid(figure: Figure, gid: str) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in ax.texts if text.get_gid() == gid]


# What holds for every figure


def test_every_public_plot_is_drawn_and_documented() -> None:
    drawn = {
        "edss_by_window", "relapses", "trajectories", "change", "margin_curve", "outcomes", "forest", "posterior_predictive",
        "prior_predictive", "proportional_odds", "diagnostics", "pairs",
    }  # fmt: skip
    elsewhere = {
        "kaplan_meier", "cumulative_incidence", "influence", "multiverse", "love", "overlap", "beside_published", "tipping_point",
        "benefit", "page", "calendar_years",
    }  # fmt: skip  # drawn in the tests of their results
    assert set(plots.__all__) == drawn | elsewhere
    assert all("Returns" in (getattr(plots, name).__doc__ or "") for name in plots.__all__)


def test_importing_the_plots_loads_no_plotting_library() -> None:
    code = (
        "import sys, trajectories.plots; "
        "print([m for m in ('matplotlib', 'arviz', 'scipy.stats', 'pymc') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", KINDS)
def test_simulated_data_are_said_to_be_simulated_on_the_figure(figures: dict[str, Figure], kind: str) -> None:
    assert "SIMULATED data" in heading(figures[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_is_one_or_two_columns_wide(figures: dict[str, Figure], kind: str) -> None:
    assert figures[kind].get_size_inches()[0] in (SINGLE, DOUBLE)


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_is_smaller_than_seven_points_or_leaves_the_figure(
    figures: dict[str, Figure], kind: str
) -> None:
    figure = figures[kind]
    box = figure.bbox
    for text in shown_texts(figure):
        assert text.get_fontsize() >= 7, text
        extent = text.get_window_extent()
        inside = (
            extent.x0 >= -1 and extent.y0 >= -1 and extent.x1 <= box.width + 1 and extent.y1 <= box.height + 1
        )
        assert inside, (text, extent)


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_covers_another(figures: dict[str, Figure], kind: str) -> None:
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown_texts(figures[kind])]
    for (a, first), (b, second) in itertools.combinations(boxes, 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        up = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert across <= 1 or up <= 1.5, (a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_patients_is_on_the_figure(figures: dict[str, Figure], kind: str) -> None:
    text = " ".join(all_text(figures[kind]).split())
    assert "12 patients" in caption(figures[kind]) + heading(figures[kind]) or "n = 6" in text, text


@pytest.mark.parametrize(
    "kind",
    ["trajectories", "change", "outcomes", "forest", "rates", "posterior", "rootogram", "proportional"],
)
def test_the_kind_of_interval_is_in_the_caption(figures: dict[str, Figure], kind: str) -> None:
    assert "95 % equal-tailed interval" in caption(figures[kind])


def test_no_figure_is_left_open_in_pyplot(figures: dict[str, Figure]) -> None:
    import matplotlib.pyplot as plt

    assert figures
    assert plt.get_fignums() == []


def test_figures_show_themselves_in_a_notebook(figures: dict[str, Figure]) -> None:
    image = figures["change"]._repr_png_()  # type: ignore[attr-defined]
    assert image.startswith(b"\x89PNG")


def test_figures_do_not_take_over_the_users_settings(stable: tj.Stabilisation) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.change(stable)
    assert dict(matplotlib.rcParams) == before


def test_colours_are_those_of_okabe_and_ito_and_belong_to_the_arm() -> None:
    okabe_ito = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
    assert set(PALETTE) <= okabe_ito
    assert arm_colours(ARMS) == {"fingolimod": PALETTE[0], "alemtuzumab": PALETTE[1]}


def test_draws_from_the_prior_and_fits_that_did_not_converge_say_so(cohort: tj.Cohort, prior: Fit) -> None:
    bad = make_fit(ORDINAL, cohort, found=(Problem(what="R-hat above 1.01", serious=True),))
    assert "draws from the PRIOR" in heading(plots.trajectories(prior, points=3))
    assert "draws from the PRIOR" in heading(plots.forest(tj.change(prior, 1.0)))
    assert "NOT CONVERGED" in heading(plots.trajectories(bad, points=3))
    assert "NOT CONVERGED" in heading(plots.change(tj.change(bad, 1.0)))
    assert "NOT CONVERGED" in heading(plots.diagnostics(bad, ["years"]))


def test_outcomes_say_that_a_formula_has_no_patient_slope(
    cohort: tj.Cohort, stable: tj.Stabilisation
) -> None:
    flat = make_fit(models.OrdinalMixed("edss ~ arm * years + (1 | patient)"), cohort)
    said = "No patient effect of the formula changes with time"
    assert said in caption(plots.outcomes(tj.stabilisation(flat, at=2.0, margin=0.5)))
    assert said not in caption(plots.outcomes(stable))


@pytest.mark.parametrize("mark", list(Mark), ids=lambda mark: mark.name)
def test_marks_do_not_hang_on_the_wording_of_a_caveat(stable: tj.Stabilisation, mark: Mark) -> None:
    caveat = Caveat("said in quite other words", mark)
    change, patients = (
        replace(estimate, caveats=(caveat,), source="made up", definition="An example.")
        for estimate in (stable.change, stable.patients)
    )
    reworded = replace(stable, change=change, patients=patients)
    for figure in (
        plots.change(reworded), plots.margin_curve(reworded), plots.outcomes(reworded), plots.forest(change),
    ):  # fmt: skip
        assert heading(figure).count(mark.value) == 1
        assert not any(other.value in heading(figure) for other in Mark if other is not mark)
    assert "right: worse" in plots.change(change).axes[0].get_xlabel()
    plain = replace(change, caveats=("simulated data: nobody was treated", "NOT CONVERGED"))
    assert not any(each.value in heading(plots.change(plain)) for each in Mark)


def test_the_reason_to_doubt_a_contrast_is_in_the_caption_whatever_its_words(
    stable: tj.Stabilisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trajectories.comparison import contrasts

    monkeypatch.setattr(contrasts, "DESCRIPTIVE", Doubt("said in quite other words"))
    assert "Said in quite other words." in caption(plots.forest(tj.contrast(stable, *ARMS)))


def test_real_data_are_not_called_simulated() -> None:
    real = make_cohort(simulated=False)
    fitted = make_fit(ORDINAL, real)
    for figure in (plots.edss_by_window(real), plots.trajectories(fitted, points=3)):
        assert "SIMULATED" not in all_text(figure)


# The data


def test_edss_by_window_shows_every_patient_and_n(cohort: tj.Cohort) -> None:
    figure = plots.edss_by_window(cohort)
    ax = figure.axes[0]
    found = edss_at(cohort).merge(cohort.patients[["patient", "arm"]], on="patient")
    seen = found.dropna(subset="edss").groupby(["arm", "at"], observed=False).size()
    drawn = [len(points.get_offsets()) for points in ax.collections]
    assert sorted(drawn) == sorted(int(n) for n in seen if n)
    assert sorted(with_gid(figure, "count")) == sorted(str(n) for n in seen)
    assert ax.get_ylabel() == "EDSS (points)"
    assert ax.get_xlabel() == "years from the index date"
    heights = np.concatenate([np.asarray(points.get_offsets())[:, 1] for points in ax.collections])
    assert sorted(heights) == sorted(found["edss"].dropna())


def test_edss_by_window_draws_the_median_of_describe(cohort: tj.Cohort) -> None:
    ax = plots.edss_by_window(cohort, at=(0, 1)).axes[0]
    medians = {
        round(float(np.ravel(line.get_ydata())[0]), 6) for line in ax.lines if line.get_linewidth() == 2.2
    }
    table = tj.describe(cohort, at=(0, 1)).edss
    assert medians == set(table.loc[table["arm"].isin(ARMS), "median"])


def test_a_window_that_nobody_was_seen_in_is_empty_with_n_0(cohort: tj.Cohort) -> None:
    figure = plots.edss_by_window(cohort, at=(0, 9))
    assert with_gid(figure, "count").count("0") == 2
    assert len(figure.axes[0].collections) == 2


def test_relapses_shows_complete_windows_and_the_rates_of_describe(cohort: tj.Cohort) -> None:
    figure = plots.relapses(cohort)
    left, right = figure.axes
    windows = relapse_windows(cohort)
    points = sum(len(collection.get_offsets()) for collection in left.collections)
    assert points == int(windows["complete"].sum())
    table = tj.describe(cohort).relapses
    rates = [container[0].get_ydata() for container in right.containers]
    for arm, drawn in zip(ARMS, rates, strict=True):
        expected = table.loc[table["arm"] == arm, "rate"].to_numpy(dtype=float)
        np.testing.assert_allclose(np.asarray(drawn, dtype=float), expected)
    assert right.get_ylabel() == "relapses per person-year"
    assert right.get_ylim()[0] == 0
    assert "regression to the mean" in caption(figure)


def test_relapses_without_a_relapse_table_is_an_error(cohort: tj.Cohort) -> None:
    visits = cohort.visits[["patient", "day", "edss"]]
    with pytest.raises(ValueError, match="no relapse table"):
        plots.relapses(tj.read_cohort(visits))


def test_a_cohort_of_one_arm_takes_one_column() -> None:
    figure = plots.edss_by_window(tj.simulated_alemtuzumab_35())
    assert figure.get_size_inches()[0] == SINGLE
    assert with_gid(figure, "count") == ["28", "35", "33", "29"]


# The fit over time


def test_trajectories_draws_all_patients_and_the_expected_edss(fit: Fit) -> None:
    figure = plots.trajectories(fit, points=5)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["fingolimod (n = 6)", "alemtuzumab (n = 6)"]
    for ax, arm in zip(figure.axes, ARMS, strict=True):
        thin = [line for line in ax.lines if line.get_linewidth() < 0.5]
        assert len(thin) == 6
        curve = next(line for line in ax.lines if line.get_linewidth() == 2)
        assert curve.get_color() == arm_colours(ARMS)[arm]
        times = np.asarray(curve.get_xdata(), dtype=float)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", tj.ExtrapolationWarning)  # of the other arm
            table = tj.expected_edss(fit, times.tolist()).summary()
        expected = table["mean"].xs(arm, level="arm")
        np.testing.assert_allclose(np.asarray(curve.get_ydata(), dtype=float), expected)


def test_trajectories_ends_with_the_follow_up_of_each_arm(fit: Fit) -> None:
    figure = plots.trajectories(fit, points=5)
    for ax, arm in zip(figure.axes, ARMS, strict=True):
        curve = next(line for line in ax.lines if line.get_linewidth() == 2)
        times = np.asarray(curve.get_xdata(), dtype=float)
        assert (times.min(), times.max()) == fit.design.followup(arm)


def test_trajectories_says_how_many_patients_are_drawn(fit: Fit) -> None:
    figure = plots.trajectories(fit, ["fingolimod"], points=3, lines=4)
    assert len([line for line in figure.axes[0].lines if line.get_linewidth() < 0.5]) == 4
    assert "4 of 6 patients" in caption(figure)
    assert figure.axes[0].lines[0].get_color() != PALETTE[1]


def test_an_arm_keeps_its_colour_when_drawn_alone(fit: Fit) -> None:
    ax = plots.trajectories(fit, ["alemtuzumab"], points=3).axes[0]
    assert next(line for line in ax.lines if line.get_linewidth() == 2).get_color() == PALETTE[1]


def test_trajectories_names_unknown_arms_and_refuses_counts(fit: Fit, counts: Fit) -> None:
    with pytest.raises(ValueError, match="fingolimod, alemtuzumab, not placebo"):
        plots.trajectories(fit, ["placebo"])
    with pytest.raises(ValueError, match="at least 2"):
        plots.trajectories(fit, points=1)
    with pytest.raises(TypeError, match="EDSS model"):
        plots.trajectories(counts)


def test_a_model_without_arms_has_one_panel(cohort: tj.Cohort) -> None:
    figure = plots.trajectories(
        make_fit(models.OrdinalMixed("edss ~ years + (1 | patient)"), cohort), points=3
    )
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["all patients (n = 12)"]


# Stability


def test_change_writes_the_probability_of_the_estimate(stable: tj.Stabilisation) -> None:
    expected = [probability(p) for p in stable.change.probability(within=0.5)]
    assert with_gid(plots.change(stable), "probability") == expected
    other = [probability(p) for p in stable.change.probability(within=0.1)]
    assert with_gid(plots.change(stable, margin=0.1), "probability") == other
    assert expected != other


def test_change_without_a_margin_writes_the_probability_of_improvement(stable: tj.Stabilisation) -> None:
    figure = plots.change(stable.change)
    assert with_gid(figure, "probability") == [probability(p) for p in stable.change.probability(below=0)]
    assert "Pr(change < 0)" in all_text(figure)
    assert not figure.axes[0].patches


def test_change_shades_the_margin_and_marks_the_drift(stable: tj.Stabilisation) -> None:
    figure = plots.change(stable)
    ax = figure.axes[0]
    box = ax.patches[0].get_extents().transformed(ax.transData.inverted())
    assert (round(box.x0, 6), round(box.x1, 6)) == (-0.5, 0.5)
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert [float(np.ravel(line.get_xdata())[0]) for line in dashed] == [0.3]
    assert "EDSS points; right: worse" in ax.get_xlabel()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["alemtuzumab", "fingolimod"]


def test_change_draws_several_times_and_contrasts(fit: Fit, stable: tj.Stabilisation) -> None:
    rows = plots.change(tj.change(fit, [1.0, 2.0]), margin=0.5).axes[0].get_yticklabels()
    assert rows[-1].get_text() == "fingolimod, 1 year"
    assert rows[0].get_text() == "alemtuzumab, 2 years"
    difference = tj.contrast(stable.change, "alemtuzumab", "fingolimod")
    figure = plots.change(difference, margin=0.2)
    assert with_gid(figure, "probability") == [probability(float(difference.probability(within=0.2).iloc[0]))]


def test_margin_must_be_positive(stable: tj.Stabilisation) -> None:
    with pytest.raises(ValueError, match="positive"):
        plots.change(stable, margin=-0.5)


def test_a_density_that_cannot_be_drawn_leaves_the_interval(stable: tj.Stabilisation) -> None:
    constant = replace(stable.change, draws=xr.zeros_like(stable.change.draws))
    assert with_gid(plots.change(constant, margin=0.5), "probability") == ["> 0.999", "> 0.999"]


def test_margin_curve_is_the_curve_of_the_result(stable: tj.Stabilisation) -> None:
    ax = plots.margin_curve(stable).axes[0]
    curve = stable.curve()
    for arm, solid in zip(ARMS, [line for line in ax.lines if line.get_linestyle() == "-"], strict=True):
        np.testing.assert_allclose(solid.get_ydata(), curve.loc[curve["arm"] == arm, "within"])
    dotted = next(line for line in ax.lines if line.get_linestyle() == ":")
    assert float(np.ravel(dotted.get_xdata())[0]) == 0.5
    legend = ax.get_legend()
    assert legend is not None
    said = [text.get_text() for text in legend.get_texts()]
    assert said == [f"{arm}: {probability(p)}" for arm, p in stable.change.probability(within=0.5).items()]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("margin (EDSS points)", "probability")


def test_outcomes_stacks_to_100_percent_by_both_bases(stable: tj.Stabilisation) -> None:
    figure = plots.outcomes(stable)
    ax = figure.axes[0]
    bars = [patch for container in ax.containers for patch in container]
    assert len(bars) == 2 * 2 * 3
    widths = np.array([bar.get_width() for bar in bars]).reshape(4, 3)
    np.testing.assert_allclose(widths.sum(axis=1), 100)
    means = stable.patients.summary()["mean"].to_numpy().reshape(2, 2, 3)
    np.testing.assert_allclose(widths, 100 * means.transpose(1, 0, 2).reshape(4, 3))
    from matplotlib.colors import to_hex

    assert [to_hex(bar.get_facecolor()).upper() for bar in bars[:3]] == list(OUTCOME_COLOURS.values())
    assert len(with_gid(figure, "share")) == 12
    assert "judged by two visits" in all_text(figure)


# Contrasts


def test_forest_writes_the_numbers_of_the_summary(stable: tj.Stabilisation) -> None:
    difference = tj.contrast(stable.change, "alemtuzumab", "fingolimod")
    figure = plots.forest({"alemtuzumab against fingolimod": difference})
    row = difference.summary().iloc[0]
    expected = f"{row['mean']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})".replace("-", "−")
    assert with_gid(figure, "numbers") == [expected]
    assert with_gid(figure, "probability") == [probability(row["Pr(> 0)"])]
    assert figure.axes[0].get_xlabel() == "EDSS points"
    null = figure.axes[0].lines[0]
    assert [float(x) for x in np.ravel(null.get_xdata())] == [0.0, 0.0]
    assert "not assigned to arms" in caption(figure)


def test_forest_gives_each_unit_its_own_panel(stable: tj.Stabilisation) -> None:
    figure = plots.forest(tj.contrast(stable, "alemtuzumab", "fingolimod"))
    assert [ax.get_xlabel() for ax in figure.axes if ax.axison] == [
        "EDSS points",
        "difference in probability",
    ]
    assert len(with_gid(figure, "numbers")) == 7


def test_forest_of_one_estimate_has_a_row_a_cell_and_no_null_line_without_a_null(counts: Fit) -> None:
    figure = plots.forest(relapse_rate(counts))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["fingolimod, before", "fingolimod, after", "alemtuzumab, before", "alemtuzumab, after"]
    assert with_gid(figure, "probability") == []
    assert len(figure.axes[0].lines) == 2 * 4


def test_ratios_have_a_logarithmic_axis_with_readable_ticks(counts: Fit) -> None:
    ratio = tj.contrast(relapse_rate(counts), "after", "before", over="period", scale="ratio")
    ax = plots.forest(ratio).axes[0]
    assert ax.get_xscale() == "log"
    assert "1" in [label.get_text() for label in ax.get_xticklabels()]
    with pytest.raises(ValueError, match="at or below 0"):
        plots.forest(replace(ratio, draws=-ratio.draws))


def test_forest_is_named_after_what_all_estimates_share(stable: tj.Stabilisation) -> None:
    one = tj.contrast(stable.change, "alemtuzumab", "fingolimod")
    other = tj.contrast(stable.change, "fingolimod", "alemtuzumab")
    assert heading(plots.forest({"a": one, "b": other})).startswith("Change in EDSS ")
    assert heading(plots.forest({"a": one, "b": stable.estimates["worse (two visits)"]})).startswith(
        "Estimates "
    )
    assert heading(plots.forest({"a": one}, title="Mine")).startswith("Mine ")


def test_long_names_are_broken_and_an_empty_forest_is_an_error(stable: tj.Stabilisation) -> None:
    name = "a rather long name of a comparison that goes on and on"
    other = tj.contrast(stable.change, "alemtuzumab", "fingolimod")
    figure = plots.forest({name: other, "short": other})
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "a rather long name of a comparison\nthat goes on and on",
        "short",
    ]
    with pytest.raises(ValueError, match="at least one"):
        plots.forest({})


def test_maximum_likelihood_fits_are_drawn_with_their_source() -> None:
    cohort = tj.simulated_alemtuzumab_35()
    fitted = tj.maximise(models.GaussianMixed("edss ~ years + (1 | patient)"), cohort)
    for figure in (
        plots.trajectories(fitted, points=3),
        plots.change(tj.change(fitted, 2.0)),
        plots.forest(tj.slope(fitted)),
    ):
        assert "maximum-likelihood" in caption(figure)
        assert "35 patients" in caption(figure) or "(n = 35)" in figure.axes[0].get_title(loc="left")


# Checks


def test_posterior_predictive_bars_are_the_observed_shares(fit: Fit) -> None:
    figure = plots.posterior_predictive(fit, splits=(0, 1), draws=10)
    assert len(figure.axes) == 2 * 3
    frame = fit.design.frame
    rows = frame[(frame["arm"] == "fingolimod") & (frame["years"] <= 0)]
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    expected = [100 * (rows["edss"] == level).mean() for level in edss.LEVELS]
    np.testing.assert_allclose(heights, expected)
    assert figure.axes[0].get_title(loc="left") == f"up to 0 years\nn = {len(rows)} visits"
    assert figure.axes[0].get_ylabel() == "fingolimod\nvisits (%)"


def test_no_interval_of_a_check_is_cut_off(fit: Fit, counts: Fit) -> None:
    for one in (fit, counts):
        figure = plots.posterior_predictive(one, draws=10)
        for ax in figure.axes:
            for lines in ax.collections:
                tops = [segment[:, 1].max() for segment in lines.get_segments()]  # type: ignore[attr-defined]
                assert max(tops) <= ax.get_ylim()[1]
            assert ax.get_ylim()[0] == 0


def test_rootogram_counts_windows_of_patients_on_a_square_root_axis(counts: Fit) -> None:
    figure = plots.posterior_predictive(counts, draws=10)
    assert len(figure.axes) == 2 * 2
    ax = figure.axes[0]
    frame = counts.design.frame
    rows = frame[(frame["arm"] == "fingolimod") & (frame["period"] == "before")]
    heights = [bar.get_height() for bar in ax.patches]
    assert heights[:3] == [float((rows["relapses"] == value).sum()) for value in range(3)]
    assert sum(heights) == len(rows)
    assert ax.get_yscale() == "function"
    assert "square-root axis" in caption(figure)
    assert ax.get_title(loc="left") == f"−1 to 0 years\nn = {len(rows)}"


def test_prior_predictive_hides_the_data_unless_asked(prior: Fit, fit: Fit) -> None:
    assert not plots.prior_predictive(prior, draws=10).axes[0].patches
    assert plots.prior_predictive(prior, draws=10, observed=True).axes[0].patches
    assert "draws from the PRIOR" in heading(plots.prior_predictive(prior, draws=10))
    with pytest.raises(ValueError, match=r"tj\.sample_prior"):
        plots.prior_predictive(fit)
    with pytest.raises(ValueError, match=r"plots\.prior_predictive"):
        plots.posterior_predictive(prior)


def test_values_between_levels_go_to_the_nearest_and_off_the_scale_to_its_ends() -> None:
    assert codes_of(np.array([-3.0, 0.0, 0.4, 1.2, 2.5, 12.0])).tolist() == [0, 0, 0, 1, 4, 19]


@pytest.mark.parametrize("splits", [(), (1, 0), (0, float("nan"))])
def test_splits_must_ascend(fit: Fit, splits: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="ascending times"):
        plots.posterior_predictive(fit, splits=splits)


def test_proportional_odds_shows_observed_cumulative_shares_by_arm(fit: Fit, counts: Fit) -> None:
    figure = plots.proportional_odds(fit, draws=10)
    assert len(figure.axes) == 4
    frame = fit.design.frame
    rows = frame[(frame["arm"] == "alemtuzumab") & (frame["years"] > 0)]
    upper = figure.axes[1]
    points = next(line for line in upper.lines if line.get_marker() == "o")
    expected = [100 * (rows["edss"] <= level).mean() for level in edss.LEVELS[:-1]]
    np.testing.assert_allclose(np.asarray(points.get_ydata(), dtype=float), expected)
    assert upper.get_title(loc="left") == f"alemtuzumab\nn = {len(rows)} visits"
    with pytest.raises(TypeError, match="no cutpoints"):
        plots.proportional_odds(counts)
    with pytest.raises(ValueError, match="no visit is after 50 years"):
        plots.proportional_odds(fit, after=50)


def test_diagnostics_shows_the_worst_six_or_those_named(fit: Fit, counts: Fit) -> None:
    figure = plots.diagnostics(fit)
    assert len(figure.axes) == 12
    worst = fit.summary()["ess_bulk"].nsmallest(6).index
    titles = [ax.get_title(loc="left").split("   ")[0] for ax in figure.axes[::2]]
    assert titles == list(worst)
    named = plots.diagnostics(counts, ["dispersion", "sd(intercept)"])
    assert [ax.get_title(loc="left").split("   ")[0] for ax in named.axes[::2]] == [
        "dispersion",
        "sd(intercept)",
    ]
    assert "2 of" in caption(named)


def test_diagnostics_and_pairs_name_unknown_terms_and_refuse_the_prior(fit: Fit, prior: Fit) -> None:
    with pytest.raises(ValueError, match="no term dose; there are: arm"):
        plots.diagnostics(fit, ["dose"])
    with pytest.raises(ValueError, match="two to eight terms, not 1"):
        plots.pairs(fit, ["years"])
    for draw in (plots.diagnostics, plots.pairs):
        with pytest.raises(ValueError, match="no convergence to look at"):
            draw(prior)


def test_pairs_marks_divergent_draws(fit: Fit) -> None:
    figure = plots.pairs(fit, ["years", "sd(years)"])
    from matplotlib.colors import to_hex

    divergent = int(fit.data["sample_stats"]["diverging"].sum())
    assert divergent > 0
    assert f"the {divergent} draws that diverged" in caption(figure)
    drawn = [
        (points.get_facecolor()[0], len(points.get_offsets()))
        for ax in figure.axes
        for points in ax.collections
    ]
    marked = sum(n for colour, n in drawn if to_hex(colour).upper() == PALETTE[1])
    assert marked == divergent
    assert sum(n for _, n in drawn) == divergent + 80
