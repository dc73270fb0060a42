"""Each kind of bad input and the whole message it gets: table, column, rows, remedy."""

import numpy as np
import pandas as pd
import pytest

from trajectories.reading import read_cohort
from trajectories.tables import CohortError

SCALE = (
    "EDSS is 0, 1.0, 1.5, … 10.0 (there is no 0.5), written with a decimal point: correct the "
    "value, or leave it "
    "empty if missing."
)
ISO = "write dates as YYYY-MM-DD"


def visits_of(**columns):
    return pd.DataFrame({"patient": ["a", "a", "b"], "day": [0, 90, 0], "edss": [2.0, 3.0, 4.0]}).assign(
        **columns
    )


def dated(dates, **columns):
    n = len(dates)
    return pd.DataFrame({"patient": [f"p{i}" for i in range(n)], "date": dates, "edss": [2.0] * n}).assign(
        **columns
    )


def message(*args, **options):
    with pytest.raises(CohortError) as caught:
        read_cohort(*args, **options)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


class TestColumns:
    def test_a_missing_column_names_the_nearest(self):
        said = message(visits_of().rename(columns={"edss": "EDSS_total"}))
        assert said == (
            "visits (DataFrame, rows by index label), column 'edss': there is no such column; the nearest is "
            "'EDSS_total'. The columns are 'patient', 'day', 'EDSS_total'.\n"
            "  What to do: say what it is called: columns={'edss': 'EDSS_total'}."
        )

    def test_a_missing_column_like_no_other_lists_what_there_is(self):
        said = message(visits_of().rename(columns={"patient": "ID", "edss": "EDSS"}))
        assert said.startswith("2 problems with the tables.\n")
        assert "column 'patient': there is no such column. The columns are 'ID', 'day', 'EDSS'." in said
        assert "column 'edss': there is no such column; the nearest is 'EDSS'" in said

    @pytest.mark.parametrize("table", ["relapses", "patients"])
    def test_a_missing_patient_in_other_tables(self, table):
        said = message(visits_of(), **{table: pd.DataFrame({"Patients": ["a"], "day": [0]})})
        assert f"{table} (DataFrame, rows by index label), column 'patient': there is no such column" in said
        assert "columns={'patient': 'Patients'}" in said

    def test_no_time_column(self):
        said = message(visits_of().rename(columns={"day": "visit_day"}))
        assert "visits (DataFrame, rows by index label): there is no column 'date', 'day' or 'years'" in said
        assert "the nearest is 'visit_day'" in said
        assert "columns={'visits.date': 'visit_day'}, or `.day` or `.years`" in said

    def test_a_patient_in_the_index_is_found(self):
        said = message(visits_of().set_index("patient"))
        assert "the index holds patient: reset_index() makes columns of it" in said

    def test_a_map_to_a_column_that_no_table_has(self):
        said = message(visits_of(), columns={"edss": "Edss"})
        assert said.startswith("columns: 'edss' is said to be called 'Edss', but no table has such a column.")
        assert (
            "visits (DataFrame, rows by index label) has 'patient', 'day', 'edss' (nearest: 'edss')" in said
        )
        assert "What to do: write the name as it is in the file, capitals included." in said

    @pytest.mark.parametrize("key", ["edsss", "visits.edsss", "relapses.edss", "visit.edss", "sex"])
    def test_a_map_from_an_unknown_standard_name(self, key):
        said = message(visits_of(), columns={key: "edss"})
        assert said.startswith(f"columns: '{key}' is not a standard name")
        assert "What to do: use one of age, arm, birth, date, day, drug, edss, followup_end" in said

    def test_a_map_from_a_misspelt_name_has_a_suggestion(self):
        assert "'edsss' is not a standard name; the nearest is 'edss'." in message(
            visits_of(), columns={"edsss": "x"}
        )

    def test_a_map_onto_a_column_that_exists_already(self):
        said = message(visits_of(EDSS=[1.0, 2.0, 3.0]), columns={"edss": "EDSS"})
        assert "it has both 'EDSS', which `columns` calls 'edss', and a column that is called 'edss'" in said
        assert "What to do: rename or drop one of them." in said

    def test_a_column_twice(self):
        twice = pd.concat([visits_of(), visits_of()[["edss"]]], axis="columns")
        assert "more than one column is called 'edss'.\n  What to do: rename or remove" in message(twice)

    def test_columns_in_levels(self):
        levels = visits_of()
        levels.columns = pd.MultiIndex.from_product([["x"], levels.columns])
        assert "the columns have several levels.\n  What to do: give them one name each." in message(levels)

    def test_a_column_that_the_package_computes(self):
        patients = pd.DataFrame({"patient": ["a", "b"], "edss_baseline": [1.0, 2.0]})
        said = message(visits_of(), patients=patients)
        assert (
            "patients (DataFrame, rows by index label), column 'edss_baseline': the package computes a"
            in said
        )
        assert "What to do: rename the column, or drop it." in said

    def test_an_arm_beside_the_visits(self):
        said = message(visits_of(arm="x"))
        assert "column 'arm': the arm belongs to a patient, not to a row of this table." in said
        assert "patients=visits[['patient', 'arm']].drop_duplicates()" in said

    def test_date_and_day(self):
        said = message(visits_of(date="2020-01-01"))
        assert (
            "visits (DataFrame, rows by index label): it has 'date' and 'day': the time is given more than"
            in said
        )
        assert (
            "What to do: keep the dates (with `start` in patients), or the time since the index date" in said
        )

    def test_day_and_years_that_differ(self):
        said = message(visits_of(years=[0.0, 0.5, 0.0]))
        assert "column 'day': 1 row has a 'day' that differs from 365.25 × 'years'.\n  index 1\n" in said
        assert "What to do: keep one of the two columns." in said

    def test_two_kinds_of_time(self):
        said = message(visits_of(), relapses=pd.DataFrame({"patient": ["a"], "date": ["2020-01-01"]}))
        assert said.startswith(
            "visits has 'day' and relapses has 'date': two kinds of time.\n  What to do: give dates"
        )

    def test_neither_path_nor_frame(self):
        with pytest.raises(TypeError, match="visits must be a path or a pandas DataFrame, not list"):
            read_cohort([1, 2])


class TestEdss:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (0.5, "0.5"),
            (10.5, "10.5"),
            (-1, "-1"),
            (2.25, "2.25"),
            ("4,5", "'4,5'"),
            ("walks", "'walks'"),
            (np.inf, "inf"),
            ("inf", "'inf'"),
            ("1_0", "'1_0'"),
            (True, "True"),
            (pd.Timestamp("2020-01-01"), "2020-01-01 00:00:00"),
            (99, "99"),
        ],
    )
    def test_off_the_scale(self, value, shown):
        said = message(visits_of(edss=pd.Series([2.0, value, None], dtype=object)))
        assert said == (
            "visits (DataFrame, rows by index label), column 'edss': 1 value is not on the EDSS scale.\n"
            f"  index 1: {shown}\n"
            f"  What to do: {SCALE}"
        )

    def test_ten_rows_are_shown_and_the_rest_counted(self):
        n = 25
        visits = pd.DataFrame({"patient": range(n), "day": 0, "edss": [0.5] * 23 + [2.0, 3.0]})
        said = message(visits).splitlines()
        assert said[0].endswith("column 'edss': 23 values are not on the EDSS scale.")
        assert said[1:11] == [f"  index {i}: 0.5" for i in range(10)]
        assert said[11] == "  … and 13 more"
        assert said[12].endswith("correct the values, or leave them empty if missing.")
        assert len(said) == 13

    def test_ten_bad_rows_are_all_shown(self):
        visits = pd.DataFrame({"patient": range(10), "day": 0, "edss": 0.5})
        assert "more" not in message(visits)

    def test_rows_are_index_labels(self):
        visits = visits_of(edss=[2.0, 0.5, 3.0])
        visits.index = ["x", "y", "z"]
        assert "\n  index y: 0.5\n" in message(visits)

    def test_truth_values_are_no_scores(self):
        assert "3 values are not on the EDSS scale" in message(visits_of(edss=[True, False, True]))

    def test_long_text_is_cut(self):
        said = message(visits_of(edss=["x" * 500, 2.0, 2.0]))
        assert "…\n" in said
        assert max(map(len, said.splitlines())) < 200


class TestPatients:
    @pytest.mark.parametrize("missing", [None, np.nan, pd.NA, "", "  ", "NA", "nan", np.inf])
    @pytest.mark.parametrize("table", ["visits", "relapses", "patients"])
    def test_missing_or_empty(self, missing, table):
        tables = {
            "visits": visits_of(),
            "relapses": pd.DataFrame({"patient": ["a", "b", "b"], "day": [0, 0, 90]}),
            "patients": pd.DataFrame({"patient": ["a", "b", "c"]}),
        }
        tables[table]["patient"] = tables[table]["patient"].astype(object)
        tables[table].loc[2, "patient"] = missing
        said = message(tables["visits"], relapses=tables["relapses"], patients=tables["patients"])
        assert said.startswith(
            f"{table} (DataFrame, rows by index label), column 'patient': 1 row has no patient.\n  index 2\n"
        )
        assert "What to do: fill in the identifier, or remove the row." in said

    @pytest.mark.parametrize("table", ["visits", "relapses"])
    def test_unknown(self, table):
        tables = {"visits": visits_of(), "relapses": pd.DataFrame({"patient": ["a"] * 3, "day": 0})}
        tables[table].loc[2, "patient"] = "A"
        said = message(
            tables["visits"], relapses=tables["relapses"], patients=pd.DataFrame({"patient": ["a", "b"]})
        )
        assert said == (
            f"{table} (DataFrame, rows by index label), column 'patient': 1 row is of a "
            f"patient who is not in the "
            "patients table.\n  index 2: 'A'\n"
            "  What to do: add the patient to patients, or correct the identifier (capitals "
            "and leading zeros "
            "count). If there is no patients table, every patient needs a visit."
        )

    def test_a_relapse_of_a_patient_without_visits_or_a_patients_table(self):
        said = message(visits_of(), relapses=pd.DataFrame({"patient": ["c"], "day": [0]}))
        assert "relapses (DataFrame, rows by index label), column 'patient': 1 row is of a patient" in said

    def test_listed_twice(self):
        patients = pd.DataFrame({"patient": ["a", "b", 7, "7", 7.0]})
        visits = visits_of(patient=["a", "b", "7"])
        said = message(visits, patients=patients)
        assert (
            "column 'patient': 2 rows are for a patient who is already in the table.\n  index "
            "3: '7'\n  index 4: 7.0" in said
        )
        assert "keep one row a patient; what changes over time belongs to visits" in said

    def test_no_visit_at_all(self):
        said = message(visits_of().iloc[:0])
        assert said.startswith(
            "visits (DataFrame, rows by index label): there is no visit at all.\n  What to do: check that"
        )
        assert "columns" not in said

    def test_no_patient_at_all(self):
        said = message(visits_of(), patients=pd.DataFrame({"patient": []}))
        assert "patients (DataFrame, rows by index label): there is no patient at all." in said

    def test_an_empty_frame(self):
        assert "column 'patient': there is no such column. The columns are none." in message(pd.DataFrame())

    @pytest.mark.parametrize("age", [-1, 121, "old", np.inf])
    def test_impossible_age(self, age):
        patients = pd.DataFrame({"patient": ["a", "b"], "age": pd.Series([30, age], dtype=object)})
        said = message(visits_of(), patients=patients)
        assert (
            "patients (DataFrame, rows by index label), column 'age': 1 value is no age in "
            "years.\n  index 1: " in said
        )
        assert (
            "What to do: give the age at the index date in years, from 0 to 120, or leave it empty." in said
        )


class TestVisits:
    def test_twice_on_one_day(self):
        visits = pd.DataFrame({"patient": ["a", "b", "a", "a"], "day": [5, 5, 5, 5], "edss": 2.0})
        assert message(visits) == (
            "visits (DataFrame, rows by index label), column 'day': 2 visits are there twice.\n"
            "  index 2: same patient and day as index 0\n"
            "  index 3: same patient and day as index 0\n"
            "  What to do: keep one visit a day for each patient; nothing was averaged or chosen for you."
        )

    def test_twice_on_one_date_at_different_times_or_in_different_spelling(self):
        visits = pd.DataFrame(
            {"patient": [7, "7.0"], "date": ["2020-01-01 08:00", "2020-01-01 17:00"], "edss": 2.0}
        )
        assert (
            "column 'date': 1 visit is there twice.\n  index 1: same patient and day as index 0"
            in message(visits)
        )

    @pytest.mark.parametrize("scheduled", [[True, None, False], [1, 2, 0], ["yes", "perhaps", "no"]])
    def test_scheduled_that_is_neither_true_nor_false(self, scheduled):
        said = message(visits_of(scheduled=pd.Series(scheduled, dtype=object)))
        assert "column 'scheduled': 1 value is neither true nor false.\n  index 1: " in said
        assert "write true or false (or 1 or 0, yes or no) for every visit" in said

    @pytest.mark.parametrize("column", ["day", "years"])
    @pytest.mark.parametrize(
        ("value", "what"),
        [
            (None, "1 row has no time.\n  index 1\n"),
            ("soon", "1 value is not readable as a number of {unit}.\n  index 1: 'soon'\n"),
            ("0,5", "1 value is not readable as a number of {unit}.\n  index 1: '0,5'\n"),
            (pd.Timestamp("2020-01-01"), "1 value is not readable as a number of {unit}."),
            (np.inf, "1 value is infinite.\n  index 1: inf\n"),
            (-np.inf, "1 value is infinite.\n  index 1: -inf\n"),
        ],
    )
    def test_counted_times(self, column, value, what):
        visits = visits_of().rename(columns={"day": column})
        visits[column] = pd.Series([0, value, 0], dtype=object)
        unit = "days" if column == "day" else "years"
        assert (
            f"visits (DataFrame, rows by index label), column '{column}': {what.format(unit=unit)}"
            in message(visits)
        )

    def test_fractions_of_days(self):
        said = message(visits_of(day=[0, 90.5, 0]))
        assert "column 'day': 1 value is not a whole number of days.\n  index 1: 90.5\n" in said
        assert "What to do: round to whole days, or give the time as 'years' if it is in years." in said

    def test_days_called_years(self):
        said = message(visits_of().rename(columns={"day": "years"}).assign(years=[0, 365, 0]))
        assert (
            "column 'years': 1 row is more than 120 years from the index date.\n  index 1: 365 years\n"
            in said
        )
        assert "a column 'years' that counts days should be called 'day'" in said

    @pytest.mark.parametrize("column", ["day", "years"])
    @pytest.mark.parametrize("time", [1e14, 1e300, 1e308, -44000])
    def test_absurd_times(self, time, column):
        visits = visits_of(day=[0, time, 0]).rename(columns={"day": column})
        assert "1 row is more than 120 years from the index date.\n  index 1: " in message(visits)


class TestOtherNumbers:
    @pytest.mark.parametrize("table", ["visits", "relapses", "patients"])
    @pytest.mark.parametrize("dtype", ["float64", "Float64", "float32"])
    def test_infinite_covariates(self, table, dtype):
        tables = {
            "visits": visits_of(),
            "relapses": pd.DataFrame({"patient": ["a", "b", "b"], "day": [0, 0, 90]}),
            "patients": pd.DataFrame({"patient": ["a", "b"]}),
        }
        values = pd.Series([1.0, np.inf, -np.inf][: len(tables[table])], dtype=dtype)
        tables[table]["lesions"] = values
        said = message(tables["visits"], relapses=tables["relapses"], patients=tables["patients"])
        n = len(values) - 1
        assert f"{table} (DataFrame, rows by index label), column 'lesions': {n} value" in said
        assert "infinite.\n  index 1\n" in said
        assert "empty." in said


class TestDates:
    @pytest.mark.parametrize(
        "date", ["soon", "2020-13-01", "2021-02-29", "31/31/2020", "01/02/20", "2020-03", "3 March 2020"]
    )
    def test_unparseable(self, date):
        said = message(dated(["2020-01-01", date]))
        assert said == (
            "visits (DataFrame, rows by index label), column 'date': 1 value is not readable as a date.\n"
            f"  index 1: '{date}'\n"
            "  What to do: write dates as YYYY-MM-DD, complete and with four digits for the "
            "year; nothing was guessed."
        )

    def test_ambiguous(self):
        said = message(dated(["01/02/2020", "03/04/2020", "05/05/2020"]))
        assert (
            "column 'date': 3 dates could be day/month/year as well as month/day/year, and nothing in the"
            in said
        )
        assert "  index 0: '01/02/2020'\n" in said
        assert "What to do: write dates as YYYY-MM-DD, or read them yourself by pd.to_datetime" in said

    def test_contradicting_orders(self):
        said = message(dated(["13/01/2020", "01/13/2020", "14/01/2020"]))
        assert (
            "1 date is written in another form than the rest of the column.\n  index 1: '01/13/2020'" in said
        )

    def test_mixed_forms_as_spreadsheets_leave_them(self):
        dates = pd.Series(
            [pd.Timestamp("2020-02-01"), "25/01/2020", pd.Timestamp("2020-04-03")], dtype=object
        )
        said = message(dated(dates))
        assert (
            "1 date is written in another form than the rest of the column.\n  index 1: '25/01/2020'" in said
        )
        assert "Spreadsheets turn some dates of a column into others" in said

    @pytest.mark.parametrize("dates", [[43831, 43832], [43831.0, 43832.5], ["43831", "43832"]])
    def test_numbers(self, dates):
        said = message(dated(dates))
        assert "column 'date': 2 values are written as a number, not as a date.\n  index 0: " in said
        assert "In Excel, format the cells as dates; if the numbers count days" in said

    def test_missing(self):
        assert "column 'date': 1 row has no time.\n  index 1\n" in message(dated(["2020-01-01", None]))
        relapses = pd.DataFrame({"patient": ["p0"], "date": [pd.NaT]})
        assert "relapses (DataFrame, rows by index label), column 'date': 1 row has no time." in message(
            dated(["2020-01-01"]), relapses=relapses
        )

    def test_far_away(self):
        patients = pd.DataFrame({"patient": ["p0"], "start": ["1820-01-01"]})
        said = message(dated(["2020-01-01"]), patients=patients)
        assert "1 row is more than 120 years from the index date.\n  index 0: 200 years" in said

    @pytest.mark.parametrize("column", ["start", "birth", "followup_start", "followup_end"])
    def test_dates_of_patients(self, column):
        patients = pd.DataFrame({"patient": ["p0"], column: ["yesterday"]})
        said = message(dated(["2020-01-01"]), patients=patients)
        assert (
            f"patients (DataFrame, rows by index label), column '{column}': 1 value is not readable as a"
            in said
        )

    @pytest.mark.parametrize("column", ["start", "birth", "followup_start", "followup_end"])
    def test_kinds_that_differ_between_visits_and_patients(self, column):
        patients = pd.DataFrame({"patient": ["a", "b"], column: ["2020-01-01", "2020-01-01"]})
        said = message(visits_of(), patients=patients)
        assert f"column '{column}': 2 values are not readable as a number of days." in said
        assert (
            "As visits counts time in 'day', this column must do so, too; or give dates in every table"
            in said
        )
        patients = pd.DataFrame({"patient": ["p0"], column: [12]})
        said = message(dated(["2020-01-01"]), patients=patients)
        assert f"column '{column}': 1 value is written as a number, not as a date.\n  index 0: 12" in said


class TestTimeZero:
    @pytest.mark.parametrize("kind", ["date", "day"])
    def test_a_start_for_some_only(self, kind):
        visits = (
            dated(["2020-01-01", "2020-01-01"])
            if kind == "date"
            else visits_of(patient=["p0", "p1", "p1"], day=[0, 0, 9])
        )
        start = ["2020-01-01", None] if kind == "date" else [0, None]
        said = message(visits, patients=pd.DataFrame({"patient": ["p0", "p1"], "start": start}))
        assert (
            "patients (DataFrame, rows by index label), column 'start': 1 patient has no start, though"
            in said
        )
        assert (
            "index 1\n  What to do: fill in the start of treatment, or leave the patient out of all tables."
            in said
        )

    def test_a_relapse_of_a_patient_without_start_and_visit(self):
        patients = pd.DataFrame({"patient": ["p0", "p1", "p2"]})
        relapses = pd.DataFrame({"patient": ["p1"], "date": ["2020-01-01"]})
        said = message(dated(["2020-01-01"]), relapses=relapses, patients=patients)
        assert "column 'start': 1 patient has neither a start nor a visit, so there is no time 0" in said
        assert "\n  index 1\n  What to do: give the start of treatment of every patient" in said


class TestFollowUp:
    def test_ends_before_it_starts(self):
        patients = pd.DataFrame({"patient": ["a", "b"], "followup_start": [0, 10], "followup_end": [90, 5]})
        said = message(visits_of(), patients=patients)
        assert (
            "column 'followup_end': 1 patient has a follow-up that ends before it starts.\n  "
            "index 1: from day 10 to day 5" in said
        )
        assert "What to do: correct followup_start and followup_end in patients" in said

    def test_starts_after_the_last_visit_without_an_end(self):
        patients = pd.DataFrame({"patient": ["a", "b"], "followup_start": [0, 1]})
        said = message(visits_of(), patients=patients)
        assert "1 patient has a follow-up that ends before it starts.\n  index 1: from day 1 to day 0" in said

    @pytest.mark.parametrize("table", ["visits", "relapses"])
    def test_events_after_its_end(self, table):
        relapses = pd.DataFrame({"patient": ["a", "b", "b"], "day": [0, 40, 80]})
        patients = pd.DataFrame({"patient": ["a", "b"], "followup_end": [90, 60]})
        visits = visits_of(day=[0, 90, 70 if table == "visits" else 0])
        said = message(visits, relapses=relapses if table == "relapses" else None, patients=patients)
        noun, day = ("visit", 70) if table == "visits" else ("relapse", 80)
        assert said == (
            f"{table} (DataFrame, rows by index label), column 'day': 1 {noun} is after the "
            f"end of the patient's "
            f"follow-up.\n  index 2: day {day}, follow-up ends on day 60\n  What to do: "
            f"correct followup_end in "
            f"patients or the time of the {noun}, or remove the row."
        )

    def test_a_placeholder_date_for_the_end(self):
        patients = pd.DataFrame({"patient": ["p0"], "followup_end": ["9999-12-31"]})
        said = message(dated(["2020-01-01"]), patients=patients)
        assert "column 'followup_end': 1 value is more than 120 years from the index date.\n  index 0" in said


class TestBirth:
    def test_events_before_birth(self):
        relapses = pd.DataFrame({"patient": ["p0"], "date": ["1975-01-01"]})
        patients = pd.DataFrame({"patient": ["p0"], "birth": ["1975-01-02"]})
        said = message(dated(["2020-01-01"]), relapses=relapses, patients=patients)
        assert said == (
            "relapses (DataFrame, rows by index label), column 'date': 1 relapse is before the "
            "birth of the patient.\n"
            "  index 0\n"
            "  What to do: correct the date, or birth (or age at the index date) in patients."
        )
        early = pd.DataFrame({"patient": ["p0"] * 2, "date": ["1970-01-01", "2020-01-01"], "edss": 2.0})
        start = patients.assign(start="2020-01-01")
        assert "column 'date': 1 visit is before the birth of the patient." in message(early, patients=start)

    def test_age_gives_the_earliest_birth_it_allows(self):
        patients = pd.DataFrame({"patient": ["a", "b"], "age": [30, 40]})
        # Completed years: someone of 30 was born at most 31 years ago, 11,322.75 days.
        read_cohort(
            visits_of(), relapses=pd.DataFrame({"patient": ["a"], "day": [-11322]}), patients=patients
        )
        said = message(
            visits_of(), relapses=pd.DataFrame({"patient": ["a"], "day": [-11323]}), patients=patients
        )
        assert "1 relapse is before the birth of the patient." in said

    @pytest.mark.parametrize("dtype", ["float64", "Int64", object])
    def test_unknown_age_or_birth_is_no_error(self, dtype):
        patients = pd.DataFrame({"patient": ["a", "b"], "age": pd.Series([30, None], dtype=dtype)})
        assert read_cohort(visits_of(), patients=patients).n_patients == 2

    def test_start_before_birth(self):
        patients = pd.DataFrame({"patient": ["p0"], "start": ["2020-01-01"], "birth": ["2021-01-01"]})
        said = message(dated(["2022-01-01"]), patients=patients)
        assert "column 'birth': 1 patient is born after the index date.\n  index 0\n" in said


class TestArms:
    def test_missing(self):
        said = message(visits_of(), patients=pd.DataFrame({"patient": ["a", "b"], "arm": ["x", None]}))
        assert (
            "patients (DataFrame, rows by index label), column 'arm': 1 patient has no arm.\n  index 1\n"
            in said
        )
        assert "What to do: fill in the arm, or leave the patient out." in said

    @pytest.mark.parametrize("ordered", [True, False])
    def test_without_a_patient(self, ordered):
        arm = pd.Categorical(["x", "x"], categories=["x", "y"], ordered=ordered)
        said = message(visits_of(), patients=pd.DataFrame({"patient": ["a", "b"], "arm": arm}))
        assert said == (
            "patients (DataFrame, rows by index label), column 'arm': no patient is in arm 'y'.\n"
            "  What to do: drop the empty category by .cat.remove_unused_categories(), or add its patients."
        )

    def test_without_a_visit(self):
        patients = pd.DataFrame({"patient": ["a", "b", "c", "d"], "arm": ["x", "x", "y", "y"]})
        said = message(visits_of(), patients=patients)
        assert (
            "column 'arm': no patient of arm 'y' has a visit (2 without).\n  What to do: add their visits"
            in said
        )


class TestManyProblems:
    def test_all_tables_are_reported_at_once(self):
        said = message(
            visits_of(edss=[0.5, 2.0, 2.0], day=[0, np.inf, 0]),
            relapses=pd.DataFrame({"patient": ["a", None], "day": [1, 2]}),
            patients=pd.DataFrame({"patient": ["a", "a", "b"]}),
        )
        assert said.startswith("4 problems with the tables.\n")
        for part in ("not on the EDSS scale", "infinite", "1 row has no patient", "already in the table"):
            assert part in said

    def test_identifiers_appear_only_where_they_are_needed(self):
        visits = pd.DataFrame({"patient": ["secret"] * 2, "day": [0, 0], "edss": [0.5, 2.0]})
        assert "secret" not in message(visits)
        assert "secret" not in message(visits.assign(edss=2.0))
        assert "secret" not in message(visits.assign(edss=2.0, day=[0, np.nan]))
