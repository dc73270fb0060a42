"""Saved fits: nothing lost, nothing half written, nobody's identifier, and answers in a new Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import trajectories as tj
from trajectories import models, priors
from trajectories.fitting import storage
from trajectories.fitting.diagnostics import Problem

sys.path.insert(0, str(Path(__file__).parent))
from hand_made import cohort, fit_of, tables

FORMULA = "edss ~ arm * years + sex + smoker + age + (1 + years | patient)"


@pytest.fixture
def fit():
    model = models.OrdinalMixed(FORMULA, link="probit").with_priors(
        terms={"age": priors.StudentT(4.0, 0.0, 0.1), "years": priors.Normal(0.2, 0.5)},
        slope_sd=priors.Exponential(0.7),
        cutpoints=priors.InducedDirichlet(3.0),
    )
    rng = np.random.default_rng(1)
    root = rng.normal(size=(12, 2, 2))
    design = model.design(cohort())
    return fit_of(
        model, design, coefficients=rng.normal(0, 0.3, (12, 6)), covariance=root @ root.transpose(0, 2, 1), chains=2,
        found=(Problem(what="R-hat above 1.01 …", serious=True), Problem(what="1 divergence", serious=False)),
        settings={"draws": 6, "seed": 3, "seconds": 1.5}, versions={"pymc": "6.4.0"},
    )  # fmt: skip


def test_everything_comes_back(fit, tmp_path):
    path = fit.save(tmp_path / "fit.nc")
    assert path == tmp_path / "fit.nc"
    loaded = tj.load_fit(path)
    assert loaded.model == fit.model
    assert loaded.model.priors.terms["age"] == priors.StudentT(4.0, 0.0, 0.1)
    assert loaded.model.priors.slope_sd == priors.Exponential(0.7)
    assert loaded.model.link == "probit"
    assert loaded.found == fit.found
    assert dict(loaded.settings) == dict(fit.settings)
    assert dict(loaded.versions) == dict(fit.versions)
    assert (loaded.source, loaded.caveats) == (fit.source, fit.caveats)
    xr.testing.assert_identical(loaded.parameters, fit.parameters)
    for name in (
        "excluded",
        "arms",
        "cohort_name",
        "simulated",
        "index_date",
        "terms",
        "effects",
        "n_patients",
    ):
        assert getattr(loaded.design, name) == getattr(fit.design, name)
    np.testing.assert_array_equal(loaded.design.formula.matrices.X, fit.design.formula.matrices.X)
    np.testing.assert_array_equal(loaded.design.patient, fit.design.patient)
    np.testing.assert_array_equal(loaded.design.outcome, fit.design.outcome)


def test_estimands_are_the_same_after_loading(fit, tmp_path):
    loaded = tj.load_fit(fit.save(tmp_path / "fit.nc"))
    for target in ("everyone", "new"):
        for estimand in (tj.change, tj.expected_edss):
            before, after = (estimand(f, 1.0, target=target) for f in (fit, loaded))
            xr.testing.assert_allclose(before.draws, after.draws, rtol=1e-12)
            assert (before.definition, before.caveats) == (after.definition, after.caveats)
    before, after = (tj.stabilisation(f, at=1.0, margin=0.5) for f in (fit, loaded))
    xr.testing.assert_allclose(before.patients.draws, after.patients.draws, rtol=1e-9)
    assert str(before) == str(after)


@pytest.mark.parametrize("first", [True, False])
def test_reference_of_a_yes_no_covariate_survives(tmp_path, first):
    seen, people = tables({"old": 6, "new": 5})
    people["smoker"] = [first, not first] + [True] * 9
    model = models.OrdinalMixed("edss ~ smoker + (1 | patient)")
    design = model.design(tj.read_cohort(seen, patients=people))
    fit = fit_of(model, design, coefficients=[[1.0], [2.0]], covariance=[[1.0]])
    loaded = tj.load_fit(fit.save(tmp_path / "fit.nc"))
    assert loaded.design.terms == design.terms == ("smoker[True]",)
    xr.testing.assert_allclose(
        tj.expected_edss(loaded, 0.5).draws, tj.expected_edss(fit, 0.5).draws, rtol=1e-12
    )


def test_real_fit_comes_back_whole(sampled, tmp_path):
    loaded = tj.load_fit(sampled.save(tmp_path / "fit.nc"))
    assert set(loaded.data.children) == set(sampled.data.children)
    for name in sampled.data.children:
        xr.testing.assert_identical(loaded.data[name].to_dataset(), sampled.data[name].to_dataset())
    assert loaded.summary().equals(sampled.summary())
    assert str(loaded) == str(sampled)
    again = loaded.save(tmp_path / "again.nc")
    xr.testing.assert_identical(tj.load_fit(again).parameters, sampled.parameters)
    np.testing.assert_array_equal(loaded.posterior_predictive(draws=3), sampled.posterior_predictive(draws=3))


def test_a_saved_fit_answers_in_a_new_python(sampled, tmp_path):
    path = sampled.save(tmp_path / "fit.nc")
    code = (
        "import sys, trajectories as tj\n"
        f"fit = tj.load_fit({str(path)!r})\n"
        "stable = tj.stabilisation(fit, at=2.0, margin=0.5)\n"
        "print(stable.summary().to_json())\n"
        "assert not {'pymc', 'pytensor', 'nutpie'} & set(sys.modules), 'refitting tools were imported'\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    here = json.loads(tj.stabilisation(sampled, at=2.0, margin=0.5).summary().to_json())
    there = json.loads(done.stdout)
    assert here.keys() == there.keys()
    for column, values in here.items():
        assert there[column] == pytest.approx(values, rel=1e-9)


def test_prior_draws_can_be_saved(tmp_path):
    model = models.OrdinalMixed("edss ~ years + (1 | patient)")
    prior = tj.sample_prior(model, cohort(), draws=20, seed=1)
    loaded = tj.load_fit(prior.save(tmp_path / "prior.nc"))
    assert loaded.source == "prior"
    xr.testing.assert_identical(loaded.parameters, prior.parameters)


# --- privacy --------------------------------------------------------------------------------------------------------


def test_no_identifier_is_in_the_file(tmp_path):
    seen, people = tables({"old": 6, "new": 5})
    names = {old: f"Hospital-Number-{i:05d}" for i, old in enumerate(people["patient"])}
    people["patient"], seen["patient"] = people["patient"].map(names), seen["patient"].map(names)
    people["email"] = [f"{i}@example.org" for i in range(11)]
    people["postcode"] = "ZZ-99-YY"
    model = models.OrdinalMixed("edss ~ arm * years + (1 | patient)")
    design = model.design(tj.read_cohort(seen, patients=people))
    content = (
        fit_of(model, design, coefficients=[[0.1, 0.2, 0.3]] * 4, covariance=[[1.0]])
        .save(tmp_path / "f.nc")
        .read_bytes()
    )
    for secret in (b"Hospital", b"example.org", b"ZZ-99-YY"):
        assert secret not in content
    assert b"arm" in content


# --- files ----------------------------------------------------------------------------------------------------------


def test_an_interrupted_write_leaves_the_older_file(fit, tmp_path, monkeypatch):
    path = fit.save(tmp_path / "fit.nc")
    before = path.read_bytes()

    def half_written(tree, name, **options):
        Path(name).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(xr.DataTree, "to_netcdf", half_written)
    with pytest.raises(OSError, match="no space left"):
        fit.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]


def test_saving_replaces_an_older_file(fit, tmp_path):
    path = tmp_path / "fit.nc"
    path.write_text("an older file")
    fit.save(str(path))
    assert tj.load_fit(str(path)).model == fit.model
    assert [p.name for p in tmp_path.iterdir()] == ["fit.nc"]


@pytest.mark.skipif(os.name != "posix", reason="only POSIX files have such a mode")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077], ids=oct)
def test_the_file_is_as_readable_as_others(fit, tmp_path, umask):
    before = os.umask(umask)
    try:
        (tmp_path / "other.txt").write_text("written by open()", encoding="utf-8")
        path = fit.save(tmp_path / "fit.nc")
    finally:
        os.umask(before)
    assert path.stat().st_mode == (tmp_path / "other.txt").stat().st_mode
    path.chmod(0o640)  # open() would leave it so
    fit.save(path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_saving_does_not_change_the_fit(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    assert set(fit.data.children) == {"posterior"}
    assert fit.data.attrs == {}


def test_foreign_files_are_named(tmp_path):
    text = tmp_path / "notes.nc"
    text.write_text("this is no netCDF file")
    with pytest.raises(ValueError, match=r"notes\.nc is not a fit saved by trajectories"):
        tj.load_fit(text)
    empty = tmp_path / "empty.nc"
    empty.write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.nc is not a fit saved by trajectories"):
        tj.load_fit(empty)
    other = tmp_path / "other.nc"
    xr.DataTree.from_dict({"posterior": xr.Dataset({"a": ("x", [1.0])})}).to_netcdf(other, engine="h5netcdf")
    with pytest.raises(
        ValueError, match=r"other\.nc is not a fit saved by trajectories: it has no specification"
    ):
        tj.load_fit(other)
    with pytest.raises(FileNotFoundError):
        tj.load_fit(tmp_path / "missing.nc")


def test_newer_files_are_named(fit, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "FORMAT", storage.FORMAT + 1)
    path = fit.save(tmp_path / "fit.nc")
    monkeypatch.undo()
    with pytest.raises(
        ValueError, match="was saved by a newer version of trajectories: install that version"
    ):
        tj.load_fit(path)


def test_specifications_of_another_version_are_named():
    with pytest.raises(ValueError, match="this version of trajectories does not know 'OrdinalMixture'"):
        storage.value_from_json({"value": "OrdinalMixture", "formula": "edss ~ 1"})


@pytest.mark.parametrize(
    "value",
    [
        models.OrdinalMixed("edss ~ (1 | patient)"),
        models.OrdinalMixed("edss ~ years + (1 | patient)", link="probit").with_priors(
            terms={"years": priors.Normal(0, 1)}
        ),
        models.GaussianMixed("edss ~ years + (1 | patient)"),
        models.RelapseCounts("relapses ~ arm"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_specifications_survive_json(value):
    assert storage.value_from_json(json.loads(json.dumps(storage.value_to_json(value)))) == value
