"""Influence of single patients against refitting without them."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import trajectories as tj
from trajectories import models, plots
from trajectories.caveats import Mark, marks_of
from trajectories.cohort import Cohort
from trajectories.fitting import influence as influence_module
from trajectories.fitting.influence import influence
from trajectories.fitting.marginal import Integrated
from trajectories.fitting.marginal_fit import MarginalFit
from trajectories.fitting.marginal_peak import maximum
from trajectories.fitting.marginal_rows import Rows
from trajectories.fitting.point import PointFit

sys.path.insert(0, str(Path(__file__).parent))
import gaussian_cases
from fifty_patients import fifty_patients

ORDINAL = models.OrdinalMixed("edss ~ arm * years + (1 | patient)")
COUNTS = models.RelapseCounts("relapses ~ arm * period + (1 | patient)", family="poisson")


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return fifty_patients()


@pytest.fixture(scope="module")
def fits(cohort: Cohort) -> dict[str, PointFit]:
    return {"ordinal": tj.maximise(ORDINAL, cohort), "counts": tj.maximise(COUNTS, cohort)}


def without(fit: PointFit, patient: int) -> np.ndarray:
    """Estimates in the user's units, refitted without a patient."""
    assert isinstance(fit.solution, MarginalFit)
    rows = fit.solution.likelihood.rows
    kept = rows.patient != patient
    left = Rows(
        outcome=rows.outcome[kept], X=rows.X[kept], Z=rows.Z[kept], patient=rows.patient[kept] - (rows.patient[kept] > patient),
        offset=rows.offset[kept], group=rows.group[kept],
    )  # fmt: skip
    likelihood = Integrated(shape=fit.solution.likelihood.shape, rows=left, quadrature=7)
    theta = maximum(likelihood, start=fit.solution.theta, errors=False).theta
    return fit.solution.adaptor.dataset(theta[None])["coefficients"].to_numpy()[0, 0]


def left_out(cohort: Cohort, name: str) -> Cohort:
    def others(table: pd.DataFrame) -> pd.DataFrame:
        return table[table["patient"] != name]

    relapses = None if cohort.relapses_table is None else others(cohort.relapses_table)
    return replace(
        cohort,
        visits_table=others(cohort.visits),
        patients_table=others(cohort.patients),
        relapses_table=relapses,
    )


def even(cohort: Cohort) -> Cohort:
    """Everybody has two relapses before and one after: no variance between patients."""
    days = np.tile([-200, -100, 100], cohort.n_patients)
    names = np.repeat(cohort.patients["patient"].to_numpy(), 3)
    return replace(
        cohort, relapses_table=pd.DataFrame({"patient": names, "day": days, "years": days / 365.25})
    )


@pytest.mark.parametrize("kind", ["ordinal", "counts"])
def test_one_step_is_near_refitting_without_the_patient(fits: dict[str, PointFit], kind: str) -> None:
    # Stated error of a first-order step: short by a few per cent of the change, as the information keeps the patient (measured among these
    # 50: 4 to 6 %), and for no patient off by more than 0.05 standard errors (measured: 0.02).
    fit = fits[kind]
    result = influence(fit)
    assert result.terms == fit.design.terms if kind == "counts" else ("arm[new]", "arm[new]:years")
    places = [fit.design.terms.index(term) for term in result.terms]
    exact = np.array([result.estimates - without(fit, patient)[places] for patient in range(0, 50, 3)])
    near = result.changes[::3]
    error = (exact - near) / result.standard_errors
    assert np.abs(error).max() < 0.05
    for k in range(len(places)):
        assert np.corrcoef(exact[:, k], near[:, k])[0, 1] > 0.999
        assert 1.0 < np.polyfit(near[:, k], exact[:, k], 1)[0] < 1.1


def test_leaving_a_patient_out_of_the_cohort_gives_that_change(
    cohort: Cohort, fits: dict[str, PointFit]
) -> None:
    result = influence(fits["counts"], "arm[new]:period[after]")
    patient = int(result.summary(1).index[0])
    again = tj.maximise(COUNTS, left_out(cohort, cohort.patients["patient"].iloc[patient]))
    exact = result.estimates[0] - again.summary().loc["arm[new]:period[after]", "estimate"]
    assert exact == pytest.approx(result.changes[patient, 0], rel=0.15)


def test_changes_sum_to_nothing(fits: dict[str, PointFit]) -> None:
    # Scores sum to 0 at a maximum.
    for fit, term in itertools.product(fits.values(), ("sd(intercept)", "arm[new]")):
        result = influence(fit, term)
        assert abs(result.changes.sum()) < 1e-3 * result.standard_errors[0]
        assert np.abs(result.in_standard_errors).max() > 0.02
        summary = fit.summary()
        assert result.estimates[0] == pytest.approx(summary.loc[term, "estimate"])
        assert result.standard_errors[0] == pytest.approx(summary.loc[term, "se"])


def test_gaussian_influence_is_near_refitting() -> None:
    cohort = gaussian_cases.cohort("slopes")
    model = models.GaussianMixed("edss ~ arm * years + (1 + years | patient)")
    fit = tj.maximise(model, cohort)
    result = influence(fit)
    assert result.unit == "EDSS points"
    assert abs(result.changes.sum()) < 1e-4
    patient = int(result.summary(1).index[0])
    name = pd.unique(cohort.visits["patient"])[patient]
    again = tj.maximise(model, left_out(cohort, name)).summary()["estimate"]
    exact = result.estimates - again.loc[list(result.terms)].to_numpy()
    np.testing.assert_allclose(exact, result.changes[patient], atol=0.1 * result.standard_errors.max())
    with pytest.raises(TypeError, match="maximum-likelihood fit"):
        influence(tj.maximise(model, cohort, method="reml"))


def test_patients_who_move_much_are_left_out_and_the_model_fitted_again(
    cohort: Cohort, fits: dict[str, PointFit], monkeypatch: pytest.MonkeyPatch
) -> None:
    slopes = gaussian_cases.cohort("slopes")
    gaussian = tj.maximise(models.GaussianMixed("edss ~ arm * years + (1 + years | patient)"), slopes)
    for fit, of, term in (
        (fits["counts"], cohort, "arm[new]:period[after]"),
        (gaussian, slopes, "arm[b]:years"),
    ):
        first = influence(fit, term)
        largest = np.sort(np.abs(first.in_standard_errors[:, 0]))[-2]
        monkeypatch.setattr(influence_module, "FAR", float(largest) - 1e-9)
        result = influence(fit, term, refit=True)
        assert len(result.refitted) == 2
        assert "2 patients, who by the first-order step moved" in str(result)
        assert "refit=True" not in str(result)
        assert "refit=True" in str(first)
        ids = pd.unique(of.visits["patient"])
        for patient in result.refitted:
            again = tj.maximise(fit.model, left_out(of, ids[patient])).summary()["estimate"]
            assert result.changes[patient, 0] == pytest.approx(result.estimates[0] - again[term], abs=1e-5)
            assert result.changes[patient, 0] != pytest.approx(first.changes[patient, 0], abs=1e-4)
        others = np.setdiff1d(np.arange(len(ids)), result.refitted)
        np.testing.assert_array_equal(result.changes[others], first.changes[others])


def test_the_result_names_no_patient_and_states_its_limits(fits: dict[str, PointFit], cohort: Cohort) -> None:
    result = influence(fits["ordinal"])
    frame = result.to_frame()
    assert list(frame.columns) == ["term", "arm", "rows", "change", "change_in_se"]
    assert len(frame) == 100
    text = str(result)
    assert "50 patients" in text
    assert "first order" in text
    assert "log odds" in text
    assert not any(str(name) in text + frame.to_string() for name in cohort.patients["patient"])
    largest = result.summary(2)
    assert len(largest) == 4
    assert largest["change_in_se"].abs().max() == pytest.approx(np.abs(result.in_standard_errors).max())
    assert Mark.SIMULATED in marks_of(result.caveats)


def test_what_has_no_influence_is_refused(fits: dict[str, PointFit], cohort: Cohort) -> None:
    with pytest.raises(ValueError, match=r"no term 'weight'; there are: .*arm\[new\]"):
        influence(fits["ordinal"], "weight")
    with pytest.raises(TypeError, match="with patient effects"):
        influence(tj.maximise(models.RelapseCounts("relapses ~ arm", windows=(0, None)), cohort))
    bare = tj.maximise(models.OrdinalMixed("edss ~ 1 + (1 | patient)"), cohort)
    with pytest.raises(ValueError, match="no fixed term"):
        influence(bare)
    flat = tj.maximise(models.RelapseCounts("relapses ~ arm + (1 | patient)", family="poisson"), even(cohort))
    with pytest.raises(ValueError, match="boundary"):
        influence(flat, "sd(intercept)")


def test_the_figure_has_units_counts_and_the_mark_of_simulated_data(fits: dict[str, PointFit]) -> None:
    result = influence(fits["ordinal"])
    figure = plots.influence(result, label=2)
    figure.draw_without_rendering()
    heading = " ".join(text.get_text() for text in figure.texts if text.get_gid() == "heading")
    caption = " ".join(text.get_text() for text in figure.texts if text.get_gid() == "caption")
    assert "SIMULATED data" in heading
    assert "50 patients" in caption.replace("\N{NO-BREAK SPACE}", " ")
    assert [ax.get_ylabel() for ax in figure.axes] == ["change (SE)"] * 2
    labelled = [text.get_text() for text in figure.axes[0].texts if text.get_gid() == "patient"]
    order = np.argsort(-np.abs(result.changes[:, 0]))
    assert labelled == [str(place) for place in order[:2]]
    drawn = np.concatenate([line.get_ydata() for line in figure.axes[0].lines if line.get_marker() != "None"])
    np.testing.assert_allclose(np.sort(drawn), np.sort(result.in_standard_errors[:, 0]))
    with pytest.raises(ValueError, match="more than one figure holds"):
        plots.influence(replace(result, terms=result.terms * 4))
