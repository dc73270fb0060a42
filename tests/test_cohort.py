import copy
import dataclasses
import pickle

import numpy as np
import pandas as pd
import pytest

from trajectories.cohort import Cohort
from trajectories.reading import read_cohort
from trajectories.simulate import simulate_cohort


@pytest.fixture
def cohort():
    visits = pd.DataFrame(
        {
            "patient": ["secret-1", "secret-1", "secret-2"],
            "day": [0, 730, 10],
            "edss": [2.0, 3.5, None],
        }
    )
    patients = pd.DataFrame({"patient": ["secret-1", "secret-2"], "arm": ["b", "a"], "sex": ["F", "M"]})
    relapses = pd.DataFrame({"patient": ["secret-1"], "day": [100]})
    return read_cohort(visits, relapses=relapses, patients=patients, name="clinic")


@pytest.fixture
def full_cohort(cohort):
    one = ["secret-1"]
    return read_cohort(
        cohort.visits,
        relapses=cohort.relapses,
        patients=cohort.patients[["patient", "arm"]],
        treatments=pd.DataFrame({"patient": one, "drug": "x", "start": 0, "stop": 5}),
        mri=pd.DataFrame({"patient": one, "day": 1, "gd_count": 0}),
        adverse_events=pd.DataFrame({"patient": one, "day": 2, "term": "rash", "serious": True}),
    )


TABLES = ("visits", "relapses", "patients", "treatments", "mri", "adverse_events")


@pytest.mark.parametrize("table", TABLES)
def test_changing_a_table_does_not_change_the_cohort(full_cohort, table):
    before = getattr(full_cohort, table)
    changed = getattr(full_cohort, table)
    changed.loc[0, "patient"] = "other"
    changed["new"] = 1
    changed.index = changed.index + 5
    pd.testing.assert_frame_equal(getattr(full_cohort, table), before)


def test_changing_the_input_does_not_change_the_cohort():
    visits = pd.DataFrame({"patient": ["a"], "day": [0], "edss": [2.0]})
    cohort = read_cohort(visits)
    visits.loc[0, "edss"] = 9.0
    assert cohort.visits["edss"].tolist() == [2.0]


def test_a_cohort_is_frozen(cohort):
    with pytest.raises(dataclasses.FrozenInstanceError):
        cohort.name = "other"
    with pytest.raises(AttributeError):
        cohort.visits = None


def test_arms_and_patients(cohort):
    assert cohort.arms == ("b", "a")
    assert cohort.n_patients == 2


def test_print_summarises_without_identifiers(cohort):
    assert str(cohort) == repr(cohort)
    assert str(cohort).splitlines() == [
        "Cohort 'clinic': 2 patients, 3 visits, 1 relapse",
        "  Arms: b (1), a (1)",
        "  Time 0 is the zero of 'day': times were taken as counted from the index date already.",
        "  Follow-up: median 1.0 years (range 0.0 to 2.0)",  # 731 days and 1 day
        "  EDSS: median 2.75 (range 2 to 3.5), all visits",
        "  Notes:",
        "  - 1 of 3 visits has no EDSS.",
        "  - 1 of 2 patients has no EDSS at or before time 0 within 1 year: no baseline.",
        "  - 2 of 2 patients have no dates of follow-up: it was taken from the first to the last visit.",
        "  - 2 of 2 patients were not followed for the whole year before time 0: no relapses_year_before.",
    ]
    assert "secret" not in f"{cohort!r} {cohort.notes}"


def test_a_simulated_cohort_says_so(cohort):
    truth = {"slope": 0.1}
    simulated = dataclasses.replace(cohort, simulated=True, truth=truth)
    assert str(simulated).startswith("SIMULATED cohort 'clinic'")
    assert "These patients are simulated" in str(simulated)
    assert simulated.truth is truth
    assert "SIMULATED" not in str(cohort)


def test_no_relapse_table_is_said(cohort):
    without = dataclasses.replace(cohort, relapses_table=None)
    assert without.relapses is None
    assert "no relapse table" in str(without)


def test_it_can_be_copied_and_pickled(full_cohort):
    for twin in (copy.deepcopy(full_cohort), pickle.loads(pickle.dumps(full_cohort))):
        for table in TABLES:
            pd.testing.assert_frame_equal(getattr(twin, table), getattr(full_cohort, table))
        assert str(twin) == str(full_cohort)


def test_tables_that_were_not_given_are_none_and_not_printed(cohort, full_cohort):
    for table in ("treatments", "mri", "adverse_events"):
        assert getattr(cohort, table) is None
        without = dataclasses.replace(full_cohort, **{f"{table}_table": None})
        assert getattr(without, table) is None
    lines = str(full_cohort).splitlines()
    assert lines[5:8] == [
        "  Treatments: 1 course of 1 drug in 1 patient",
        "  MRI: 1 scan in 1 patient; gd_count in 1",
        "  Adverse events: 1 event in 1 patient; serious: 1",
    ]
    assert not any(word in str(cohort) for word in ("Treatments", "MRI", "Adverse"))


def test_a_simulated_cohort_has_none_of_the_further_tables():
    cohort = simulate_cohort(patients=3, seed=1)
    assert (cohort.treatments, cohort.mri, cohort.adverse_events) == (None, None, None)


def test_tables_that_were_not_read_are_refused():
    bare = pd.DataFrame({"patient": ["a"], "edss": [2.0]})
    with pytest.raises(ValueError, match="visits_table lacks day, years: make cohorts by read_cohort"):
        Cohort(visits_table=bare, relapses_table=None, patients_table=bare, name="x", index_date="")


@pytest.mark.parametrize(
    ("table", "lacking"),
    [
        ("treatments", "drug, start_day, stop_day, start_years, stop_years"),
        ("mri", "day, years"),
        ("adverse_events", "day, years, term"),
    ],
)
def test_further_tables_that_were_not_read_are_refused(cohort, table, lacking):
    with pytest.raises(ValueError, match=f"{table}_table lacks {lacking}: make cohorts by read_cohort"):
        dataclasses.replace(cohort, **{f"{table}_table": pd.DataFrame({"patient": ["secret-1"]})})


def test_a_cohort_without_any_edss_can_be_printed():
    cohort = read_cohort(pd.DataFrame({"patient": [1], "day": [0], "edss": [np.nan]}))
    assert "EDSS: " not in str(cohort)
    assert "1 of 1 visit has no EDSS." in cohort.notes
