"""The lesion model: its rows, its likelihood against R, a fit against glmmTMB and the truth, estimands, storage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp

import trajectories as tj
from trajectories import models
from trajectories.estimands.lesions import lesion_count, lesion_free
from trajectories.fitting.counts import CountData, count_likelihood
from trajectories.formulas import FormulaError
from trajectories.models.blocks import patient_effects
from trajectories.models.lesions import LesionCounts, LesionPriors
from trajectories.models.relapses import RelapsePriors

REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(scope="module")
def scans():
    return pd.read_csv(REFERENCE / "rates_lesions_scans.csv")


@pytest.fixture(scope="module")
def cohort(scans):
    ends = scans.groupby("patient")["day"].agg(["min", "max"]).reset_index()
    visits = ends.melt(id_vars="patient", value_name="day").drop(columns="variable").drop_duplicates()
    patients = scans.drop_duplicates("patient")[["patient", "arm"]]
    return tj.read_cohort(
        visits.assign(edss=2.0),
        patients=patients.assign(
            arm=pd.Categorical(patients["arm"], categories=["old", "new"], ordered=True)
        ),
        mri=scans.drop(columns="arm"),
        name="simulated scans",
    )


def reference(outcome):
    table = pd.read_csv(REFERENCE / "rates_lesions.csv").query("outcome == @outcome")
    return table.set_index("quantity")["value"]


GD, T2 = (
    LesionCounts("gd_count ~ arm + years + (1 | patient)"),
    LesionCounts("new_t2 ~ arm + years + (1 | patient)"),
)


# Rows


def by_hand(**columns):
    visits = pd.DataFrame({"patient": [1, 1, 2, 2, 3], "day": [-400, 800, -10, 400, 0], "edss": 2.0})
    mri = pd.DataFrame(
        {
            "patient": [1, 1, 1, 1, 2, 2],
            "day": [-365, 0, 200, 600, 5, 370],
            "gd_count": [3, 1, None, 0, 2, 0],
            "new_t2": [None, 4, 2, 0, 1, 3],
        }
    )
    patients = pd.DataFrame({"patient": [1, 2, 3], "arm": ["a", "b", "b"], **columns})
    return tj.read_cohort(visits, patients=patients, mri=mri)


def test_enhancing_lesions_have_one_row_a_scan_and_no_exposure():
    design = LesionCounts("gd_count ~ years + arm").design(by_hand())
    assert design.outcome.tolist() == [3, 1, 0, 2, 0]
    assert (design.exposure == 1).all()
    np.testing.assert_allclose(design.frame["years"] * 365.25, [-365, 0, 600, 5, 370])
    assert design.frame["period"].astype(str).tolist() == ["before", "before", "after", "after", "after"]
    assert design.frame["window"].astype(str).tolist() == ["[-1, 0)", "[0, 1)", "[1, 2)", "[0, 1)", "[1, 2)"]
    said = " | ".join(design.excluded)
    assert "1 of 6 scans have no gd_count" in said
    assert "1 of 3 patients have no row left" in said


def test_new_lesions_count_over_the_time_since_the_scan_before():
    design = LesionCounts("new_t2 ~ years + arm").design(by_hand())
    # an unread scan still is the one that the next is compared with
    assert design.outcome.tolist() == [4, 2, 0, 3]
    np.testing.assert_allclose(design.exposure * 365.25, [365, 200, 400, 365])
    np.testing.assert_allclose(design.frame["years"] * 365.25, [-182.5, 100, 400, 187.5])
    said = " | ".join(design.excluded)
    assert "1 scans with new_t2 have no scan before" in said


def test_scans_compared_with_one_before_the_start_are_counted():
    visits = pd.DataFrame({"patient": [1, 1], "day": [-50, 400], "edss": 2.0})
    mri = pd.DataFrame({"patient": [1, 1, 1], "day": [-40, 100, 365], "new_t2": [None, 3, 1]})
    design = LesionCounts("new_t2 ~ years").design(tj.read_cohort(visits, mri=mri))
    assert any("1 scans are compared with one before time 0" in sentence for sentence in design.excluded)


@pytest.mark.parametrize(
    ("formula", "error", "message"),
    [
        ("edss ~ years", FormulaError, "must be 'gd_count' or 'new_t2', not 'edss'"),
        ("gd_count ~ gd_count", FormulaError, "needs another name|is also on the right"),
        ("gd_count ~ window2", FormulaError, "window2"),
        ("gd_count ~ years + (1 + years + arm | patient)", FormulaError, "no patient has more rows|arm"),
    ],
)
def test_a_formula_that_cannot_be_used_is_refused(formula, error, message):
    with pytest.raises(error, match=message):
        LesionCounts(formula).design(by_hand())


def test_a_column_of_the_patients_must_not_be_one_of_the_scans():
    with pytest.raises(FormulaError, match=r"'window' in .* needs another name"):
        LesionCounts("gd_count ~ window").design(by_hand(window=["x", "y", "z"]))


def test_needs_an_mri_table_with_the_outcome():
    visits = pd.DataFrame({"patient": [1], "day": [0], "edss": [2.0]})
    with pytest.raises(ValueError, match="no MRI table"):
        LesionCounts("gd_count ~ years").design(tj.read_cohort(visits))
    mri = pd.DataFrame({"patient": [1], "day": [0], "gd_count": [2]})
    with pytest.raises(ValueError, match="an MRI table without 'new_t2'"):
        LesionCounts("new_t2 ~ years").design(tj.read_cohort(visits, mri=mri))


def test_options_and_priors():
    with pytest.raises(ValueError, match="family must be"):
        LesionCounts("gd_count ~ years", family="gamma")  # type: ignore[arg-type]
    assert LesionPriors().intercept_sd.sd > RelapsePriors().intercept_sd.sd
    assert GD.with_priors(dispersion=tj.priors.HalfNormal(1.0)).priors.dispersion == tj.priors.HalfNormal(1.0)


# Likelihood


@pytest.mark.parametrize("model", [GD, T2], ids=["gd_count", "new_t2"])
def test_the_likelihood_integrated_over_patients_equals_r(cohort, model):
    design = model.design(cohort)
    r = reference(design.formula.response)
    assert design.terms == ("arm[new]", "years")
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    n = len(nodes)
    parameters = patient_effects.labelled(
        design,
        np.tile([r["arm[new]"], r["years"]], (1, n, 1)),
        np.broadcast_to((r["patient_sd"] * nodes)[None, :, None, None], (1, n, design.n_patients, 1)),
        np.full((1, n, 1, 1), r["patient_sd"] ** 2),
        intercept=(None, np.full((1, n), r["intercept"])),
        dispersion=(None, np.full((1, n), r["dispersion"])),
    )
    rows = model.log_likelihood(parameters, design).to_numpy()[0]
    patients = np.stack([np.bincount(design.patient, weights=row) for row in rows])
    integrated = logsumexp(patients, b=(weights / weights.sum())[:, None], axis=0).sum()
    assert integrated == pytest.approx(
        r["loglik"], abs=1e-5
    )  # R's integrate() against 80 Gauss-Hermite nodes
    assert integrated == pytest.approx(r["laplace loglik"], abs=1.0)  # glmmTMB has Laplace's approximation


def test_maximum_likelihood_without_patient_effects(cohort):
    model = LesionCounts("new_t2 ~ arm + years")
    fit, design = tj.maximise(model, cohort), model.design(cohort)
    direct = count_likelihood(CountData.of(design))
    assert fit.loglik == pytest.approx(direct.loglik)
    count = lesion_count(fit, at=1.0)
    assert count.draws.dims == ("chain", "draw", "arm", "years")
    draws = fit.draws(seed=0)
    expected = np.exp(draws["intercept"] + draws["coefficients"].sel(term="years"))
    np.testing.assert_allclose(count.draws.sel(arm="old", years=1.0), expected)
    assert count.unit == "lesions per year"
    assert "sd(intercept)" in tj.maximise(T2, cohort).summary().index
    gee = tj.maximise(LesionCounts("gd_count ~ arm + years"), cohort, method="gee")
    assert gee.method == "gee"


def test_free_of_lesions_is_the_chance_of_a_zero(cohort):
    fit = tj.maximise(LesionCounts("new_t2 ~ arm"), cohort)
    draws = fit.draws(seed=0)
    alpha = draws["dispersion"]
    half = 0.5 * np.exp(draws["intercept"])
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(alpha > 1e-9, (1 + alpha * half) ** (-1 / alpha), np.exp(-half))
    np.testing.assert_allclose(lesion_free(fit, years=0.5).draws.sel(arm="old"), expected, rtol=1e-8)
    gd = tj.maximise(LesionCounts("gd_count ~ arm"), cohort)
    assert lesion_free(gd).name == "free of gadolinium-enhancing lesions"
    with pytest.raises(ValueError, match="only for new T2"):
        lesion_free(gd, years=2.0)


def test_estimands_refuse_other_models(cohort):
    relapses = tj.maximise(
        models.RelapseCounts("relapses ~ 1", windows=(0.0, None)), tj.simulated_alemtuzumab_35()
    )
    with pytest.raises(TypeError, match=r"models\.LesionCounts"):
        lesion_count(relapses)
    lesions = tj.maximise(LesionCounts("gd_count ~ arm"), cohort)
    with pytest.raises(TypeError, match=r"models\.RelapseCounts"):
        tj.relapse_rate(lesions)
    with pytest.warns(tj.ExtrapolationWarning):
        lesion_count(tj.maximise(LesionCounts("gd_count ~ arm + years"), cohort), at=9.0)


# A fit by NUTS


@pytest.fixture(scope="module")
def fit(cohort):
    return tj.sample(GD, cohort, draws=400, tune=500, chains=4, seed=1, progress=False)


def test_the_posterior_agrees_with_glmmtmb_and_holds_the_truth(fit):
    r = reference("gd_count")
    posterior = fit.draws()
    truth = {"intercept": 0.3, "arm[new]": -0.8, "years": -0.5}
    for name, true in truth.items():
        draws = posterior["intercept"] if name == "intercept" else posterior["coefficients"].sel(term=name)
        # the priors are wide against 120 patients; Monte Carlo error is below 0.1 SE
        assert float(draws.mean()) == pytest.approx(r[name], abs=0.3 * r[f"se {name}"])
        assert float(draws.std()) == pytest.approx(r[f"se {name}"], rel=0.2)
        assert abs(float(draws.mean()) - true) < 3 * float(draws.std())
    assert float(posterior["patient_sd"].median()) == pytest.approx(r["patient_sd"], rel=0.15)
    assert float(posterior["dispersion"].median()) == pytest.approx(r["dispersion"], rel=0.2)
    assert abs(float(posterior["patient_sd"].mean()) - 0.9) < 3 * float(posterior["patient_sd"].std())


def test_the_expected_count_averages_over_patients(fit):
    count = lesion_count(fit, at=[0.0, 1.0])
    draws = fit.draws()
    at_zero = np.exp(draws["intercept"] + draws["patient_sd"].isel(effect=0) ** 2 / 2)
    np.testing.assert_allclose(count.draws.sel(arm="old", years=0.0), at_zero, rtol=1e-8)
    ratio = count.draws.sel(arm="new") / count.draws.sel(arm="old")
    np.testing.assert_allclose(
        ratio.sel(years=1.0), np.exp(draws["coefficients"].sel(term="arm[new]")), rtol=1e-8
    )
    assert "lesions a scan" in str(count.unit)
    contrast = tj.contrast(count, "new", "old")
    assert float(contrast.draws.sel(years=0.0).mean()) < 0


def test_a_saved_fit_is_the_same(fit, tmp_path):
    loaded = tj.load_fit(fit.save(tmp_path / "lesions.nc"))
    assert loaded.model == fit.model
    np.testing.assert_array_equal(lesion_count(loaded, at=1.0).draws, lesion_count(fit, at=1.0).draws)
    np.testing.assert_array_equal(loaded.design.exposure, fit.design.exposure)


def test_the_predictive_figure_is_of_lesions(fit):
    import matplotlib.pyplot as plt

    from trajectories.plots import posterior_predictive

    figure = posterior_predictive(fit, draws=40)
    labels = {ax.get_xlabel() for ax in figure.axes}
    assert "enhancing lesions" in labels
    plt.close(figure)
