"""MRI: scans on the time axis, and the message for each thing wrong."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajectories.reading import read_cohort
from trajectories.tables import CohortError

VISITS = pd.DataFrame({"patient": ["a", "a", "b"], "day": [0, 400, 0], "edss": [2.0, 3.0, 4.0]})
WHERE = "mri (DataFrame, rows by index label)"


def scans(**columns):
    return pd.DataFrame({"patient": ["b", "a", "a"], "day": [0, 365, -30]} | columns)


def read(mri, **options):
    return read_cohort(VISITS, mri=mri, **options)


def message(mri, **options):
    with pytest.raises(CohortError) as caught:
        read(mri, **options)
    return str(caught.value)


class TestTable:
    def test_scans_on_the_time_axis(self):
        mri = scans(gd_count=[0, 2, None], gd_volume=[None, 0.31, 120], new_t2=[1, 0, 0], field=[3, 1.5, 1.5])
        table = read(mri).mri
        assert table.columns.tolist() == [
            "patient", "day", "years", "gd_count", "gd_volume", "new_t2", "field",
        ]  # fmt: skip
        assert table["patient"].tolist() == ["a", "a", "b"]
        assert table["day"].tolist() == [-30, 365, 0]
        np.testing.assert_allclose(table["years"], np.array([-30, 365, 0]) / 365.25)
        np.testing.assert_array_equal(table["gd_count"], [np.nan, 2, 0])
        np.testing.assert_array_equal(table["gd_volume"], [120, 0.31, np.nan])
        assert set(table.dtypes[["gd_count", "gd_volume", "new_t2"]].astype(str)) == {"float64"}

    @pytest.mark.parametrize("column", ["gd_count", "gd_volume", "new_t2"])
    def test_one_value_is_enough(self, column):
        table = read(scans(**{column: [1, 2, 3]})).mri
        assert table.columns.tolist() == ["patient", "day", "years", column]
        assert table[column].tolist() == [3.0, 2.0, 1.0]

    def test_none_if_not_given_a_copy_otherwise(self):
        assert read_cohort(VISITS).mri is None
        cohort = read(scans(gd_count=0))
        changed = cohort.mri
        changed["gd_count"] = 9
        assert cohort.mri["gd_count"].tolist() == [0, 0, 0]
        assert len(read(scans(gd_count=0).iloc[:0]).mri) == 0

    def test_the_print_counts_scans_patients_and_what_was_read(self):
        cohort = read(scans(gd_count=[0, 2, None], new_t2=[None, None, 0]))
        assert "\n  MRI: 3 scans in 2 patients; gd_count in 2; new_t2 in 1\n" in str(cohort)
        assert "\n  MRI: none\n" in str(read(scans(gd_count=0).iloc[:0]))
        assert "MRI" not in str(read_cohort(VISITS))

    def test_dates_and_years(self):
        visits = pd.DataFrame({"patient": ["a"], "date": ["2020-01-01"], "edss": [2.0]})
        patients = pd.DataFrame({"patient": ["a"], "start": ["2020-01-11"]})
        mri = pd.DataFrame({"patient": ["a", "a"], "date": ["31.12.2020", "21.01.2020"], "gd_count": [0, 1]})
        cohort = read_cohort(visits, patients=patients, mri=mri)
        assert cohort.mri["day"].tolist() == [10, 355]
        assert cohort.mri["date"].tolist()[0] == pd.Timestamp("2020-01-21")
        assert "Dates in 'date' of mri were read as day/month/year." in cohort.notes
        years = pd.DataFrame({"patient": ["a"], "years": [0.5], "new_t2": [3]})
        table = read_cohort(visits.assign(years=0.0).drop(columns="date"), mri=years).mri
        assert table[["day", "years"]].to_numpy().tolist() == [[183, 0.5]]

    @pytest.mark.parametrize("theirs", [7, 7.0, "7", " 7 ", "7.0"])
    def test_numbers_and_text_match(self, theirs):
        mri = pd.DataFrame({"patient": [theirs], "day": [0], "gd_count": ["2.0"]})
        table = read_cohort(pd.DataFrame({"patient": [7], "day": 0, "edss": 2.0}), mri=mri).mri
        assert table[["patient", "gd_count"]].to_numpy().tolist() == [["7", 2.0]]

    @pytest.mark.parametrize("ending", ["csv", "parquet", "xlsx"])
    def test_every_format_gives_the_table_of_the_frame(self, tmp_path, ending):
        mri = scans(gd_count=[0, 2, None], gd_volume=[None, 0.31, 120], site=["x", "y", "y"])
        path = tmp_path / f"scans.{ending}"
        {"csv": mri.to_csv, "xlsx": mri.to_excel}.get(ending, mri.to_parquet)(path, index=False)
        one, other = read(path), read(mri)
        pd.testing.assert_frame_equal(one.mri, other.mri)
        assert one.notes == other.notes

    def test_names_are_mapped(self):
        mri = scans(gd=[1, 2, 3]).rename(columns={"patient": "ID", "day": "scan_day"})
        names = {"patient": "ID", "mri.day": "scan_day", "gd_count": "gd"}
        assert read(mri, columns=names).mri["gd_count"].tolist() == [3, 2, 1]


class TestNotes:
    def test_what_was_not_read_is_counted(self):
        notes = read(scans(gd_count=[0, None, None], new_t2=[None, None, 0])).notes
        assert "There is no column 'gd_volume' in mri." in notes
        assert "2 of 3 scans have no gd_count." in notes
        assert "2 of 3 scans have no new_t2." in notes
        assert "1 of 3 scans has no value at all." in notes

    def test_nothing_is_said_of_complete_scans(self):
        notes = read(scans(gd_count=[0, 1, 2], gd_volume=[0, 0.5, 1], new_t2=0)).notes
        assert [n for n in notes if "scan" in n or "mri" in n] == [
            "1 of 3 scans is outside follow-up; they are kept."
        ]

    def test_lesions_of_volume_zero_are_kept_and_counted(self):
        cohort = read(scans(gd_count=[0, 2, 1], gd_volume=[0, 0, 3.5]))
        assert "1 of 3 scans has enhancing lesions of volume 0; they are kept as they are." in cohort.notes
        assert cohort.mri["gd_volume"].tolist() == [3.5, 0, 0]

    def test_scans_outside_follow_up_are_kept_and_counted(self):
        patients = pd.DataFrame({"patient": ["a", "b"], "followup_start": [-30, 1], "followup_end": [400, 9]})
        visits = VISITS.assign(day=[0, 400, 9])
        cohort = read_cohort(visits, patients=patients, mri=scans(gd_count=0))
        assert "1 of 3 scans is outside follow-up; they are kept." in cohort.notes
        assert len(cohort.mri) == 3


class TestErrors:
    def test_no_value_at_all(self):
        assert message(scans(Gd_Count_T1=0)) == (
            f"{WHERE}: there is no column 'gd_count', 'gd_volume' or 'new_t2'; the nearest is 'Gd_Count_T1'. The "
            "columns are 'patient', 'day', 'Gd_Count_T1'.\n"
            "  What to do: say which column holds what was read from the scans: columns={'gd_count': "
            "'Gd_Count_T1'}."
        )
        assert "columns={'new_t2': 'newT2'}" in message(scans(newT2=0))

    @pytest.mark.parametrize("column", ["gd_count", "new_t2"])
    @pytest.mark.parametrize(
        ("value", "shown"),
        [(1.5, "1.5"), (-1, "-1"), (np.inf, "inf"), ("some", "'some'"), ("1,0", "'1,0'"), (True, "True")],
    )
    def test_counts(self, column, value, shown):
        said = message(scans(**{column: pd.Series([0, value, None], dtype=object)}))
        assert said == (
            f"{WHERE}, column '{column}': 1 value is no count of lesions.\n  index 1: {shown}\n"
            "  What to do: give whole numbers, 0 or more, or leave it empty if the lesions were not counted."
        )

    @pytest.mark.parametrize(
        ("value", "shown"), [(-0.1, "-0.1"), (np.inf, "inf"), (-np.inf, "-inf"), ("2 mL", "'2 mL'")]
    )
    def test_volumes(self, value, shown):
        said = message(scans(gd_volume=pd.Series([0, value, None], dtype=object)))
        assert said == (
            f"{WHERE}, column 'gd_volume': 1 value is no volume of lesions.\n  index 1: {shown}\n"
            "  What to do: give numbers, 0 or more, with a decimal point and all in one unit, or leave it empty "
            "if the volume was not measured."
        )

    def test_a_volume_without_a_lesion(self):
        said = message(scans(gd_count=[0, 1, None], gd_volume=[0.25, 2, 3]))
        assert said == (
            f"{WHERE}, column 'gd_volume': 1 scan has a volume of lesions, but no lesion.\n"
            "  index 0: gd_count 0, gd_volume 0.25\n"
            "  What to do: correct one of the two, or leave empty what was not read."
        )

    def test_an_unreadable_volume_is_reported_once(self):
        said = message(scans(gd_count=0, gd_volume=[np.inf, 0, 0]))
        assert "problems" not in said

    def test_many_rows_are_counted(self):
        mri = pd.DataFrame({"patient": "a", "day": range(23), "gd_count": -1})
        said = message(mri).splitlines()
        assert said[0].endswith("23 values are no count of lesions.")
        assert said[11] == "  … and 13 more"

    def test_two_scans_on_one_day(self):
        mri = scans(gd_count=0).assign(day=[5, 5, 5])
        assert message(mri) == (
            f"{WHERE}, column 'day': 1 scan is there twice.\n  index 2: same patient and day as index 1\n"
            "  What to do: keep one scan a day for each patient; nothing was averaged or chosen for you."
        )

    def test_an_unknown_patient(self):
        mri = scans(gd_count=0).assign(patient=["b", "A", "a"])
        said = message(mri)
        assert f"{WHERE}, column 'patient': 1 row is of a patient who is not in the patients table.\n" in said
        assert "\n  index 1: 'A'\n" in said

    def test_no_patient_and_no_time(self):
        mri = scans(gd_count=0).astype({"day": object}).assign(patient=["b", None, "a"])
        mri.loc[2, "day"] = None
        said = message(mri)
        assert f"{WHERE}, column 'patient': 1 row has no patient.\n  index 1\n" in said
        assert f"{WHERE}, column 'day': 1 row has no time.\n  index 2\n" in said

    def test_after_the_end_of_follow_up(self):
        patients = pd.DataFrame({"patient": ["a", "b"], "followup_end": [400, 0]})
        said = message(scans(gd_count=0).assign(day=[1, 400, 0]), patients=patients)
        assert f"{WHERE}, column 'day': 1 scan is after the end of the patient's follow-up.\n" in said
        assert "\n  index 0: day 1, follow-up ends on day 0\n" in said
        assert (
            "What to do: correct followup_end in patients or the time of the scan, or remove the row." in said
        )

    def test_before_birth_and_far_away(self):
        patients = pd.DataFrame({"patient": ["a", "b"], "age": 30})
        said = message(scans(gd_count=0).assign(day=[-12_000, 1, 2]), patients=patients)
        assert f"{WHERE}, column 'day': 1 scan is before the birth of the patient.\n  index 0" in said
        said = message(scans(gd_count=0).assign(day=[-50_000, 1, 2]))
        assert f"{WHERE}, column 'day': 1 row is more than 120 years from the index date." in said

    def test_no_time_column(self):
        said = message(scans(gd_count=0).rename(columns={"day": "scan_day"}))
        assert f"{WHERE}: there is no column 'date', 'day' or 'years'; the nearest is 'scan_day'" in said
        assert "columns={'mri.date': 'scan_day'}, or `.day` or `.years`" in said

    def test_two_kinds_of_time(self):
        relapses = pd.DataFrame({"patient": ["a"], "day": [0]})
        said = message(scans(gd_count=0, date="2020-01-01").drop(columns="day"), relapses=relapses)
        assert said.startswith(
            "visits has 'day', relapses has 'day' and mri has 'date': two kinds of time.\n  What to do: give dates"
        )

    def test_ambiguous_dates(self):
        visits = pd.DataFrame({"patient": ["a"], "date": ["2020-01-01"], "edss": [2.0]})
        mri = pd.DataFrame({"patient": ["a"], "date": ["01/02/2020"], "gd_count": [0]})
        with pytest.raises(CohortError, match="1 date could be day/month/year as well as month/day/year"):
            read_cohort(visits, mri=mri)

    def test_a_scan_of_a_patient_without_a_time_zero(self):
        visits = pd.DataFrame({"patient": ["a"], "date": ["2020-01-01"], "edss": [2.0]})
        mri = pd.DataFrame({"patient": ["b"], "date": ["2020-02-01"], "gd_count": [0]})
        with pytest.raises(CohortError, match="1 patient has neither a start nor a visit"):
            read_cohort(visits, patients=pd.DataFrame({"patient": ["a", "b"]}), mri=mri)


@st.composite
def tables(draw):
    n = draw(st.integers(1, 4))
    keys = st.tuples(st.integers(0, n - 1), st.integers(-800, 800))
    rows = draw(st.lists(keys, max_size=12, unique=True))
    count = st.one_of(st.none(), st.integers(1, 9))
    mri = pd.DataFrame(rows, columns=["patient", "day"], dtype="int64")
    for column in ("gd_count", "gd_volume", "new_t2"):
        mri[column] = np.array(draw(st.lists(count, min_size=len(rows), max_size=len(rows))), dtype=float)
    visits = pd.DataFrame({"patient": [*range(n), 0], "day": [0] * n + [500], "edss": 2.0})
    return visits, mri


class TestInvariance:
    @settings(max_examples=40, deadline=None)
    @given(tables(), st.randoms(use_true_random=False))
    def test_the_order_of_rows_does_not_matter(self, both, random):
        visits, mri = both
        one = read_cohort(visits, mri=mri)
        other = read_cohort(visits, mri=mri.sample(frac=1, random_state=random.randrange(2**32)))
        pd.testing.assert_frame_equal(one.mri, other.mri)
        assert one.notes == other.notes
        assert len(one.mri) == len(mri)

    @settings(max_examples=25, deadline=None)
    @given(tables(), st.integers(-20000, 20000), st.permutations(["q", "é", "Z9", "007"]))
    def test_dates_and_days_and_names_agree(self, both, offset, names):
        zero = pd.Timestamp("2000-01-01") + pd.Timedelta(days=offset)
        patients = pd.DataFrame({"patient": sorted(set(both[0]["patient"]))})
        dated = [
            table.assign(
                date=(zero + pd.to_timedelta(table["day"], unit="D")).dt.strftime("%Y-%m-%d"),
                patient=[names[p] for p in table["patient"]],
            ).drop(columns="day")
            for table in both
        ]
        people = pd.DataFrame({"patient": [names[p] for p in patients["patient"]], "start": zero})
        one = read_cohort(both[0], mri=both[1], patients=patients)
        other = read_cohort(dated[0], mri=dated[1], patients=people)
        pd.testing.assert_frame_equal(
            other.mri.drop(columns=["date", "patient"]), one.mri.drop(columns="patient")
        )
        assert other.mri["patient"].tolist() == [names[int(p)] for p in one.mri["patient"]]
        assert one.notes == other.notes
