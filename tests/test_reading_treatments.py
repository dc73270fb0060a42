"""Treatments: courses on the time axis, time 0 and arms from them, and the message for each thing wrong."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajectories.reading import read_cohort
from trajectories.tables import CohortError

VISITS = pd.DataFrame(
    {
        "patient": ["a", "a", "b", "c"],
        "date": ["2020-01-01", "2021-01-01", "2020-02-01", "2020-03-01"],
        "edss": [2.0, 3.0, 4.0, 5.0],
    }
)
WHERE = "treatments (DataFrame, rows by index label)"


def courses(*rows, columns=("patient", "drug", "start", "stop")):
    return pd.DataFrame(list(rows), columns=list(columns))


DATED = courses(
    ("b", "ocrelizumab", "2020-02-11", None),
    ("a", "alemtuzumab", "2021-01-10", "2021-01-12"),
    ("a", "alemtuzumab", "2020-01-11", "2020-01-15"),
    ("c", "alemtuzumab", "2020-03-01", "2020-03-05"),
)


def counted_visits(*patients):
    return pd.DataFrame({"patient": patients, "day": 0, "edss": 2.0})


def by_day(treatments, patients=None, who="abc", **options):
    """Read treatments whose times are counted in days."""
    return read_cohort(counted_visits(*who), treatments=treatments, patients=patients, **options)


def message(visits, **options):
    with pytest.raises(CohortError) as caught:
        read_cohort(visits, **options)
    return str(caught.value)


def said_of(*rows, who="abc"):
    return message(counted_visits(*who), treatments=courses(*rows))


class TestTable:
    def test_courses_on_the_time_axis(self):
        table = read_cohort(VISITS, treatments=DATED).treatments
        assert table.columns.tolist() == [
            "patient", "drug", "start_day", "stop_day", "start_years", "stop_years", "start", "stop",
        ]  # fmt: skip
        assert table["patient"].tolist() == ["a", "a", "b", "c"]
        assert table["start_day"].tolist() == [0, 365, 0, 0]  # 2020 is a leap year, from 11 to 10 January
        np.testing.assert_array_equal(table["stop_day"], [4, 367, np.nan, 4])
        np.testing.assert_allclose(table["stop_years"], np.array([4, 367, np.nan, 4]) / 365.25)
        assert table["start"].tolist()[0] == pd.Timestamp("2020-01-11")
        assert table[["start_day", "stop_day"]].dtypes.astype(str).tolist() == ["int64", "float64"]

    def test_courses_are_sorted_by_patient_start_and_drug(self):
        rows = [("b", "x", 0, 1), ("a", "x", 10, 11), ("a", "w", 10, 11), ("a", "z", 0, 9), ("a", "x", 5, 6)]
        table = by_day(courses(*rows)).treatments
        assert table["drug"].tolist() == ["z", "x", "w", "x", "x"]
        assert table["start_day"].tolist() == [0, 5, 10, 10, 0]

    def test_none_if_not_given_a_copy_otherwise(self):
        assert read_cohort(VISITS).treatments is None
        cohort = read_cohort(VISITS, treatments=DATED)
        changed = cohort.treatments
        changed.loc[0, "drug"] = "other"
        assert cohort.treatments["drug"].tolist()[0] == "alemtuzumab"

    def test_the_print_counts_courses_drugs_and_patients(self):
        assert "\n  Treatments: 4 courses of 2 drugs in 3 patients\n" in str(
            read_cohort(VISITS, treatments=DATED)
        )
        empty = by_day(DATED.iloc[:0])
        assert "\n  Treatments: none\n" in str(empty)
        assert "Treatments" not in str(read_cohort(VISITS))

    def test_days_and_years_replace_start_and_stop(self):
        table = by_day(courses(("a", "x", 0, 30), ("b", "x", -10, None), ("c", "x", 5, None))).treatments
        assert "start" not in table
        assert table[["start_day", "stop_day"]].to_numpy(na_value=-1).tolist() == [
            [0, 30],
            [-10, -1],
            [5, -1],
        ]
        visits = pd.DataFrame({"patient": ["a"], "years": [0.0], "edss": [2.0]})
        table = read_cohort(visits, treatments=courses(("a", "x", 0.25, 1.004))).treatments
        assert table[["start_day", "stop_day"]].to_numpy().tolist() == [[91, 367]]  # 91.3, 366.7
        assert table[["start_years", "stop_years"]].to_numpy().tolist() == [[0.25, 1.004]]

    def test_the_start_of_patients_is_subtracted(self):
        visits = pd.DataFrame({"patient": ["a"], "years": [2015.5], "edss": [2.0]})
        patients = pd.DataFrame({"patient": ["a"], "start": [2015.0], "arm": ["x"]})
        table = read_cohort(
            visits, patients=patients, treatments=courses(("a", "x", 2015.0, 2016.0))
        ).treatments
        assert table[["start_day", "stop_day", "stop_years"]].to_numpy().tolist() == [[0, 365, 1.0]]

    @pytest.mark.parametrize("theirs", [7, 7.0, "7", " 7 ", "7.0"])
    def test_numbers_and_text_match(self, theirs):
        treatments = courses((theirs, "x", 0, None))
        assert by_day(treatments, who=[7]).treatments["patient"].tolist() == ["7"]

    def test_other_columns_are_kept_and_names_are_mapped(self):
        treatments = DATED.assign(dose=[600, 12, 12, 12]).rename(
            columns={"patient": "id", "drug": "DMT", "start": "from", "stop": "to"}
        )
        names = {"treatments.patient": "id", "drug": "DMT", "treatments.start": "from", "stop": "to"}
        cohort = read_cohort(VISITS, treatments=treatments, columns=names)
        assert cohort.treatments["dose"].tolist() == [12, 12, 600, 12]

    def test_the_tables_of_a_cohort_can_be_read_again(self):
        first = read_cohort(VISITS, treatments=DATED)
        again = read_cohort(
            first.visits.drop(columns="date"),
            patients=first.patients[["patient", "arm"]],
            treatments=first.treatments.drop(columns=["start", "stop", "start_years", "stop_years"]),
            columns={"treatments.start": "start_day", "stop": "stop_day"},
        )
        pd.testing.assert_frame_equal(again.treatments, first.treatments.drop(columns=["start", "stop"]))

    @pytest.mark.parametrize("ending", ["csv", "parquet", "xlsx"])
    def test_every_format_gives_the_table_of_the_frame(self, tmp_path, ending):
        path = tmp_path / f"drugs.{ending}"
        if ending == "csv":
            DATED.to_csv(path, index=False)
        elif ending == "xlsx":
            DATED.to_excel(path, index=False)
        else:
            DATED.to_parquet(path)
        read, expected = read_cohort(VISITS, treatments=path), read_cohort(VISITS, treatments=DATED)
        pd.testing.assert_frame_equal(read.treatments, expected.treatments)
        assert read.notes == expected.notes

    def test_the_order_of_day_and_month_is_noted(self):
        treatments = courses(*((p, "x", "13/01/2020", None) for p in "abc"))
        notes = read_cohort(VISITS, treatments=treatments).notes
        assert "Dates in 'start' of treatments were read as day/month/year." in notes


class TestNotes:
    def test_missing_stops_are_counted(self):
        assert (
            "1 of 4 courses of a drug has no stop: taken as going on."
            in read_cohort(VISITS, treatments=DATED).notes
        )
        without = read_cohort(VISITS, treatments=DATED.drop(columns="stop"))
        assert "There is no column 'stop' in treatments: all courses are taken as going on." in without.notes
        assert without.treatments["stop_day"].isna().all()

    def test_courses_after_follow_up_are_kept_and_counted(self):
        patients = pd.DataFrame({"patient": list("abc"), "followup_end": 10})
        cohort = by_day(courses(("a", "x", 0, 3), ("a", "x", 11, 400), ("b", "y", 10, 11)), patients)
        assert (
            "1 of 3 courses of a drug is started after the end of follow-up; they are kept." in cohort.notes
        )
        assert len(cohort.treatments) == 3

    @pytest.mark.parametrize(
        ("rows", "note"),
        [
            ([("x", 0, 10), ("y", 10, 20)], None),  # the next starts on the last day
            ([("x", 0, 11), ("y", 10, 20)], "1 of 3 patients has different drugs at the same time."),
            ([("x", 0, 9), ("x", 5, 20)], None),  # one drug, two courses
            ([("x", 0, 100), ("x", 5, 6), ("y", 50, 60)], "1 of 3 patients has different drugs"),
            ([("x", 0, 10), ("y", 5, 5)], "1 of 3 patients has different drugs at the same time."),
            ([("x", 0, 5), ("y", 5, 5), ("z", 6, None)], None),
            ([("x", 0, None), ("y", 5, 6)], "(1 of them only because a course without a stop is taken as"),
            ([("x", 0, 9), ("y", 5, None)], "1 of 3 patients has different drugs at the same time."),
        ],
    )
    def test_different_drugs_at_the_same_time(self, rows, note):
        patients = pd.DataFrame({"patient": list("abc"), "arm": "all"})
        notes = by_day(courses(*(("b", *row) for row in rows)), patients).notes
        found = [n for n in notes if "at the same time" in n]
        assert len(found) == (note is not None)
        if note:
            assert note in found[0]

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from("ab"),
                st.sampled_from("xyz"),
                st.integers(0, 12),
                st.one_of(st.none(), st.integers(0, 6)),
            ),
            max_size=8,
            unique_by=lambda row: row[:3],
        )
    )
    def test_overlaps_agree_with_every_pair_compared(self, rows):
        treatments = courses(*((p, d, a, None if n is None else a + n) for p, d, a, n in rows))
        treatments["stop"] = treatments["stop"].astype(float)
        patients = pd.DataFrame({"patient": list("abc"), "arm": "all"})
        notes = by_day(treatments, patients).notes
        spans = [
            (p, d, a, np.inf if n is None else max(a + n, a + 0.5)) for p, d, a, n in rows
        ]  # a course of one day lasts half a day here
        both = {
            one[0]
            for one in spans
            for two in spans
            if one[0] == two[0] and one[1] != two[1] and max(one[2], two[2]) < min(one[3], two[3])
        }
        expected = f"{len(both)} of 3 patients ha{'s' if len(both) == 1 else 've'} different drugs at the"
        assert sum(note.startswith(expected) for note in notes) == (len(both) > 0)

    def test_drugs_spelt_alike(self):
        treatments = courses(("a", "Drug X", 0, 1), ("b", "drug x", 0, 1), ("c", "y", 0, 1))
        note = "Drugs that differ only in capitals or spaces are taken as different: 'Drug X', 'drug x'."
        assert note in by_day(treatments).notes
        assert by_day(treatments).arms == ("Drug X", "drug x", "y")

    def test_no_identifier_in_notes(self):
        visits = counted_visits("secret-1", "secret-2")
        cohort = read_cohort(
            visits, treatments=courses(("secret-1", "x", -5, None), ("secret-1", "x", 7, None))
        )
        assert "secret" not in f"{cohort!r}"


class TestTimeZero:
    def test_dates_count_from_the_first_treatment(self):
        cohort = read_cohort(VISITS, treatments=DATED)
        assert cohort.index_date == (
            "Time 0 is the start of each patient's first treatment (column 'start' of treatments)."
        )
        assert cohort.visits["day"].tolist() == [-10, 356, -10, 0]

    def test_the_start_of_patients_wins(self):
        patients = pd.DataFrame({"patient": list("abc"), "start": ["2021-01-10", "2020-02-11", "2020-03-02"]})
        cohort = read_cohort(VISITS, patients=patients.assign(arm="all"), treatments=DATED)
        assert cohort.index_date == "Time 0 is treatment start (column 'start' of patients)."
        assert cohort.treatments["start_day"].tolist() == [-365, 0, 0, -1]
        assert (
            "1 of 3 patients has treatments, but none that was started on the day of time 0." in cohort.notes
        )

    def test_an_empty_start_does_not_count(self):
        patients = pd.DataFrame({"patient": list("abc"), "start": [None] * 3})
        cohort = read_cohort(VISITS, patients=patients, treatments=DATED)
        assert cohort.index_date.startswith("Time 0 is the start of each patient's first treatment")
        assert "The column 'start' of patients is empty and was not used." in cohort.notes

    def test_an_empty_table_leaves_the_first_visit(self):
        cohort = read_cohort(VISITS, treatments=DATED.iloc[:0])
        assert "first visit, as no treatment start was given" in cohort.index_date
        assert len(cohort.treatments) == 0

    def test_counted_times_keep_their_zero(self):
        cohort = by_day(courses(("a", "x", 100, None), ("b", "x", 0, None)))
        assert cohort.index_date.startswith("Time 0 is the zero of 'day'")
        assert cohort.visits["day"].tolist() == [0, 0, 0]

    def test_several_drugs_are_said_to_count_from_the_first(self):
        treatments = pd.concat([DATED, courses(("b", "cladribine", "2022-01-01", None))])
        notes = read_cohort(VISITS, treatments=treatments.reset_index(drop=True)).notes
        assert any(
            n.startswith("1 of 3 patients has several drugs: time 0 is the start of the") for n in notes
        )

    def test_a_patient_without_a_treatment(self):
        expected = (
            "column 'start': 1 patient has no treatment, though others have one, so there is no time 0.\n"
            "  {row}\n"
            "  What to do: give time 0 of every patient in the column 'start' of patients (for the untreated a "
            "date of your choice, such as the first visit), or leave the patient out of all tables."
        )
        said = message(VISITS, treatments=DATED.iloc[1:])
        assert said == f"patients (made from the patients of visits), {expected.format(row='patient b')}"
        said = message(
            VISITS, treatments=DATED.iloc[1:], patients=pd.DataFrame({"patient": list("abc"), "arm": "x"})
        )
        assert said == f"patients (DataFrame, rows by index label), {expected.format(row='index 1')}"

    def test_a_start_for_some_only(self):
        patients = pd.DataFrame({"patient": list("abc"), "start": ["2020-01-01", None, "2020-01-01"]})
        said = message(VISITS, treatments=DATED, patients=patients)
        assert "1 patient has no start, though others have one.\n  index 1\n" in said
        assert "leave the patient out of all tables. Without the column, time 0 is the first start in" in said


class TestArms:
    def test_the_first_drug_in_the_order_of_patients(self):
        patients = pd.DataFrame({"patient": list("cba")})
        cohort = read_cohort(VISITS, patients=patients, treatments=DATED)
        assert cohort.arms == ("alemtuzumab", "ocrelizumab")
        assert cohort.patients["arm"].tolist() == ["alemtuzumab", "ocrelizumab", "alemtuzumab"]
        assert cohort.patients["arm"].cat.ordered
        assert (
            "There is no column 'arm' in patients: the arm is the drug that was started first, at time 0."
            in cohort.notes
        )

    def test_an_arm_in_patients_wins(self):
        patients = pd.DataFrame({"patient": list("abc"), "arm": ["early", "late", "late"]})
        cohort = by_day(courses(("a", "x", 0, None)), patients)
        assert cohort.arms == ("early", "late")
        assert "2 of 3 patients have no treatment." in cohort.notes
        assert not any("'arm'" in note for note in cohort.notes)

    def test_who_has_no_treatment_is_untreated(self):
        cohort = by_day(courses(("b", "x", 0, None)))
        assert cohort.arms == ("untreated", "x")
        assert cohort.patients["arm"].tolist() == ["untreated", "x", "untreated"]
        assert "2 of 3 patients have no treatment: arm 'untreated'." in cohort.notes

    def test_an_empty_table_leaves_everybody_untreated(self):
        cohort = by_day(DATED.iloc[:0])
        assert cohort.arms == ("untreated",)
        assert (
            "There is no column 'arm' in patients and nobody has a treatment: arm 'untreated'."
            in cohort.notes
        )

    @pytest.mark.parametrize(
        ("rows", "arm", "note"),
        [
            ([("x", 0, None)], "x", None),
            ([("y", -900, -10), ("x", 0, None)], "x", "has treatments before time 0, which do not count."),
            (
                [("y", -900, None), ("z", -50, 3), ("x", 0, None), ("y", 40, None)],
                "x",
                "has treatments before",
            ),
            ([("x", 30, None), ("y", 90, None)], "x", "started the first drug after time 0: time until then"),
            ([("x", -1, None)], "x", "started the only drug before time 0, and none on its day."),
            ([("x", -400, -300), ("x", 20, 30)], "x", "started the only drug before time 0"),
        ],
    )
    def test_which_drug_decides(self, rows, arm, note):
        cohort = by_day(courses(*(("b", *row) for row in rows)))
        assert cohort.patients["arm"].tolist() == ["untreated", arm, "untreated"]
        about = [
            n for n in cohort.notes if "treatments before" in n or " time 0: time" in n or "only drug" in n
        ]
        assert len(about) == (note is not None)
        if note:
            assert about[0].startswith(f"1 of 3 patients {note}")

    @pytest.mark.parametrize(
        "rows",
        [
            [("y", -900, -10), ("x", 1, None)],
            [("y", -900, -10), ("x", -1, None)],
            [("x", -1, 0), ("y", 50, None)],
        ],
    )
    def test_a_choice_of_drugs_around_time_zero_is_refused(self, rows):
        assert said_of(("a", "x", 0, None), *(("b", *row) for row in rows)) == (
            "patients (made from the patients of visits): 1 patient has different drugs, one of them started "
            "before time 0, and none that was started on the day of time 0: the arm cannot be told from "
            "treatments.\n  patient b\n  What to do: give the arm of every patient in the column 'arm' of "
            "patients, or make time 0 the day on which a drug was started."
        )

    @pytest.mark.parametrize("day", [0, 5])
    def test_several_drugs_on_one_day_are_refused(self, day):
        said = said_of(("c", "x", day, None), ("c", "y", day, None), ("c", "z", day + 1, None))
        assert said == (
            "patients (made from the patients of visits): 1 patient has several drugs started on one day: the "
            "arm cannot be told from treatments.\n  patient c\n  What to do: give the arm of every patient in "
            "the column 'arm' of patients."
        )

    def test_an_ordered_categorical_of_drugs_orders_the_arms(self):
        treatments = courses(("a", "x", 0, None), ("b", "y", 0, None))
        treatments["drug"] = pd.Categorical(treatments["drug"], categories=["z", "y", "x"], ordered=True)
        assert by_day(treatments).arms == ("y", "x", "untreated")
        treatments["drug"] = treatments["drug"].cat.as_unordered()
        assert by_day(treatments).arms == ("x", "y", "untreated")

    def test_an_arm_without_a_visit(self):
        patients = pd.DataFrame({"patient": list("abcd")})
        treatments = courses(
            ("a", "x", 0, None), ("b", "x", 0, None), ("c", "x", 0, None), ("d", "y", 0, None)
        )
        said = message(counted_visits(*"abc"), patients=patients, treatments=treatments)
        assert "no patient of arm 'y' has a visit (1 without).\n  What to do: add their visits, or" in said


class TestErrors:
    @pytest.mark.parametrize(
        ("column", "other", "nearest"),
        [
            ("drug", "drug_name", "drug_name"),
            ("start", "StartDate", "StartDate"),
            ("patient", "Patient", "Patient"),
        ],
    )
    def test_a_missing_column_names_the_nearest(self, column, other, nearest):
        said = message(VISITS, treatments=DATED.rename(columns={column: other}))
        assert f"{WHERE}, column '{column}': there is no such column; the nearest is '{nearest}'." in said
        assert f"columns={{'{column}': '{nearest}'}}" in said

    def test_a_stop_before_the_start(self):
        treatments = DATED.assign(stop=[None, "2021-01-09", "2020-01-11", "2020-03-05"])
        assert message(VISITS, treatments=treatments) == (
            f"{WHERE}, column 'stop': 1 course is stopped before the start.\n"
            "  index 1: from 2021-01-10 to 2021-01-09\n"
            "  What to do: correct start or stop (the last day of the course), or leave stop empty if it goes on."
        )
        assert "\n  index 0: from 5 to 4\n" in said_of(("a", "x", 5, 4))

    def test_many_rows_are_counted(self):
        rows = [("a", f"drug {k}", 5, 4) for k in range(23)]
        said = said_of(*rows).splitlines()
        assert said[0].endswith("23 courses are stopped before the start.")
        assert said[11] == "  … and 13 more"

    @pytest.mark.parametrize("missing", [None, "", "NA"])
    def test_no_drug(self, missing):
        assert said_of(("a", "x", 0, None), ("a", missing, 0, None)) == (
            f"{WHERE}, column 'drug': 1 row has no drug.\n  index 1\n"
            "  What to do: fill in the drug, or remove the row. (NA and None count as missing; who was never "
            "treated needs no row.)"
        )

    def test_no_start(self):
        assert said_of(("a", "x", 0, None), ("a", "x", None, 5)) == (
            f"{WHERE}, column 'start': 1 row has no start.\n  index 1\n"
            "  What to do: fill in when the drug or the course was started, or remove the row: without it the "
            "row has no place on the time axis."
        )
        treatments = DATED.assign(start=["2020-02-11", None, "2020-01-11", "2020-03-01"])
        assert "column 'start': 1 row has no start.\n  index 1\n" in message(VISITS, treatments=treatments)

    def test_an_unknown_patient(self):
        said = said_of(("A", "x", 0, None))
        assert f"{WHERE}, column 'patient': 1 row is of a patient who is not in the patients table.\n" in said
        assert "\n  index 0: 'A'\n  What to do: add the patient to patients, or correct" in said

    def test_no_patient(self):
        assert "column 'patient': 1 row has no patient.\n  index 0\n" in said_of((None, "x", 0, None))

    @pytest.mark.parametrize("stop", [None, 5, 9])
    def test_one_course_twice(self, stop):
        assert said_of(("a", "x", 5, 9), ("b", "x", 5, 9), ("a", "x", 5, stop)) == (
            f"{WHERE}: 1 course is there twice.\n  index 2: same patient, drug and start as index 0\n"
            "  What to do: keep one row for each course; nothing was merged or chosen for you."
        )

    @pytest.mark.parametrize("start", [-50_000, 1e14])
    def test_a_start_at_no_plausible_time(self, start):
        said = said_of(("a", "x", start, None))
        assert (
            f"{WHERE}, column 'start': 1 row is more than 120 years from the index date.\n  index 0:" in said
        )

    def test_a_placeholder_for_the_stop(self):
        said = message(VISITS, treatments=DATED.assign(stop="9999-12-31"))
        assert f"{WHERE}, column 'stop': 4 values are more than 120 years from the index date.\n" in said
        assert "  index 0: '9999-12-31'\n" in said
        assert said.endswith("correct the values, or leave them empty if the drug goes on.")

    def test_an_absurd_first_start_is_looked_for_in_treatments(self):
        treatments = DATED.assign(start=["2020-02-11", "2021-01-10", "1820-01-11", "2020-03-01"])
        said = message(VISITS, treatments=treatments)
        assert (
            "visits (DataFrame, rows by index label), column 'date': 2 rows are more than 120 years" in said
        )
        assert "What to do: correct the date, or the start in treatments;" in said

    def test_before_birth(self):
        patients = pd.DataFrame({"patient": list("abc"), "age": 30})
        said = message(
            counted_visits(*"abc"), patients=patients, treatments=courses(("b", "x", -12_000, None))
        )
        assert f"{WHERE}, column 'start': 1 treatment is before the birth of the patient.\n  index 0" in said

    @pytest.mark.parametrize("column", ["start", "stop"])
    @pytest.mark.parametrize(
        ("value", "what"),
        [
            ("soon", "1 value is not readable as a date.\n  index 0: 'soon'"),
            (43831, "1 value is written as a number, not as a date.\n  index 0: 43831"),
            ("31/01/2022", "1 date is written in another form than the rest of the column.\n  index 0"),
        ],
    )
    def test_dates(self, column, value, what):
        treatments = DATED.assign(stop="2023-01-01").astype({column: object})
        treatments.loc[0, column] = value
        assert f"{WHERE}, column '{column}': {what}" in message(VISITS, treatments=treatments)

    def test_ambiguous_dates(self):
        said = message(VISITS, treatments=DATED.assign(start="01/02/2020", stop=None))
        assert "column 'start': 4 dates could be day/month/year as well as month/day/year" in said

    @pytest.mark.parametrize("column", ["start", "stop"])
    def test_another_kind_of_time_than_visits(self, column):
        said = message(
            counted_visits(*"abc"), treatments=DATED.assign(start=0).assign(**{column: "2020-01-01"})
        )
        assert f"{WHERE}, column '{column}': 4 values are not readable as a number of days." in said
        assert "As visits counts time in 'day', this column must do so, too" in said

    def test_fractions_of_days_and_infinities(self):
        assert "column 'start': 1 value is not a whole number of days." in said_of(("a", "x", 0.5, None))
        assert "column 'stop': 1 value is infinite." in said_of(("a", "x", 0, np.inf))

    @pytest.mark.parametrize("column", ["start_day", "stop_day", "start_years", "stop_years"])
    def test_a_column_that_the_package_computes(self, column):
        said = message(VISITS, treatments=DATED.assign(**{column: 1}))
        assert f"{WHERE}, column '{column}': the package computes a column of this name." in said

    def test_an_arm_beside_the_drug(self):
        said = message(VISITS, treatments=DATED.assign(arm="x"))
        assert "patients=treatments[['patient', 'arm']].drop_duplicates()" in said

    def test_all_tables_are_reported_at_once(self):
        said = message(
            VISITS.assign(edss=0.5), treatments=DATED.assign(drug=None, stop="2019-01-01").drop(index=0)
        )
        assert said.startswith("3 problems with the tables.\n")

    def test_a_map_from_a_misspelt_name_has_a_suggestion(self):
        said = message(VISITS, treatments=DATED, columns={"drugs": "drug"})
        assert "'drugs' is not a standard name; the nearest is 'drug'." in said


@st.composite
def tables(draw):
    n = draw(st.integers(1, 4))
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, n - 1), st.sampled_from("xyz"), st.integers(0, 500)),
            max_size=10,
            unique=True,
        )
    )
    # Everybody starts one drug at time 0, and other drugs later.
    rows = [(k, "w", 0) for k in range(n)] + [(k, drug, day + 1) for k, drug, day in rows]
    length = st.one_of(st.none(), st.integers(0, 300))
    treatments = pd.DataFrame(rows, columns=["patient", "drug", "start"])
    lengths = pd.Series(draw(st.lists(length, min_size=len(rows), max_size=len(rows))), dtype="Int64")
    treatments["stop"] = treatments["start"] + lengths
    visits = pd.DataFrame({"patient": range(n), "day": 10, "edss": 2.0})
    return visits, treatments


class TestInvariance:
    @settings(max_examples=40, deadline=None)
    @given(tables(), st.randoms(use_true_random=False))
    def test_the_order_of_rows_does_not_matter(self, both, random):
        visits, treatments = both
        shuffled = treatments.sample(frac=1, random_state=random.randrange(2**32))
        one = read_cohort(visits, treatments=treatments)
        other = read_cohort(visits, treatments=shuffled)
        pd.testing.assert_frame_equal(one.treatments, other.treatments)
        pd.testing.assert_frame_equal(one.patients, other.patients)
        assert one.notes == other.notes

    @settings(max_examples=40, deadline=None)
    @given(tables(), st.permutations(["q", "é", "Z9", "007"]))
    def test_the_names_of_patients_do_not_matter(self, both, names):
        patients = pd.DataFrame({"patient": both[0]["patient"]})
        renamed = [t.assign(patient=[names[p] for p in t["patient"]]) for t in (*both, patients)]
        one = read_cohort(both[0], treatments=both[1], patients=patients)
        other = read_cohort(renamed[0], treatments=renamed[1], patients=renamed[2])
        pd.testing.assert_frame_equal(
            one.treatments.drop(columns="patient"), other.treatments.drop(columns="patient")
        )
        assert other.treatments["patient"].tolist() == [names[int(p)] for p in one.treatments["patient"]]
        assert one.notes == other.notes

    @settings(max_examples=25, deadline=None)
    @given(tables(), st.integers(-20000, 20000))
    def test_dates_and_days_agree(self, both, offset):
        zero = pd.Timestamp("2000-01-01") + pd.Timedelta(days=offset)

        def dates(days):
            return (zero + pd.to_timedelta(days.astype("Int64"), unit="D")).dt.strftime("%Y-%m-%d")

        visits, treatments = both
        dated = read_cohort(
            visits.assign(date=dates(visits["day"])).drop(columns="day"),
            treatments=treatments.assign(start=dates(treatments["start"]), stop=dates(treatments["stop"])),
        )
        by_day = read_cohort(visits, treatments=treatments)
        pd.testing.assert_frame_equal(dated.treatments.drop(columns=["start", "stop"]), by_day.treatments)
        pd.testing.assert_frame_equal(dated.patients, by_day.patients)


def test_a_hundred_thousand_courses_take_seconds_at_most():
    import time

    n = 5_000
    treatments = pd.DataFrame(
        {
            "patient": np.repeat(np.arange(n), 20),
            "drug": np.tile(["x"] * 10 + ["y"] * 10, n),
            "start": np.tile(np.arange(20) * 28, n),
            "stop": np.tile(np.arange(20) * 28, n),
        }
    )
    visits = pd.DataFrame({"patient": range(n), "day": 0, "edss": 2.0})
    began = time.perf_counter()
    cohort = read_cohort(visits, treatments=treatments)
    assert len(cohort.treatments) == 100_000
    assert time.perf_counter() - began < 10  # about half a second; a loop over rows takes minutes
