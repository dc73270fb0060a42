"""Adverse events: on the time axis, serious or not, and the message for each thing wrong."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajectories.reading import read_cohort
from trajectories.tables import CohortError

VISITS = pd.DataFrame({"patient": ["a", "a", "b"], "day": [0, 400, 0], "edss": [2.0, 3.0, 4.0]})
WHERE = "adverse_events (DataFrame, rows by index label)"
EVENTS = pd.DataFrame(
    {
        "patient": ["b", "a", "a"],
        "day": [0, 365, 30],
        "term": ["rash", " Graves' disease ", "herpes zoster"],
        "serious": ["no", "Yes", 0],
        "grade": [1, 3, 2],
    }
)


def read(events, **options):
    return read_cohort(VISITS, adverse_events=events, **options)


def message(events, **options):
    with pytest.raises(CohortError) as caught:
        read(events, **options)
    return str(caught.value)


class TestTable:
    def test_events_on_the_time_axis(self):
        table = read(EVENTS).adverse_events
        assert table.columns.tolist() == ["patient", "day", "years", "term", "serious", "grade"]
        assert table["patient"].tolist() == ["a", "a", "b"]
        assert table["day"].tolist() == [30, 365, 0]
        assert table["years"].tolist() == [30 / 365.25, 365 / 365.25, 0]
        assert table["term"].tolist() == ["herpes zoster", "Graves' disease", "rash"]
        assert table["serious"].dtype == bool
        assert table["serious"].tolist() == [False, True, False]
        assert table["grade"].tolist() == [2, 3, 1]

    @pytest.mark.parametrize(
        "serious",
        [
            [True, False, True],
            [1, 0, 1],
            ["yes", "NO", "Yes"],
            ["TRUE", "false", "1"],
            [1.0, 0.0, 1.0],
            pd.array([True, False, True], dtype="boolean"),
            pd.Categorical(["yes", "no", "yes"]),
        ],
    )
    def test_every_way_to_say_serious(self, serious):
        table = read(EVENTS.assign(serious=serious)).adverse_events
        assert table["serious"].dtype == bool
        assert table["serious"].tolist() == [True, False, True]

    def test_without_serious_there_is_no_such_column(self):
        cohort = read(EVENTS.drop(columns="serious"))
        assert "serious" not in cohort.adverse_events
        assert (
            "There is no column 'serious' in adverse_events: serious ones cannot be told from others."
            in cohort.notes
        )
        assert "\n  Adverse events: 3 events in 2 patients\n" in str(cohort)

    def test_none_if_not_given_a_copy_otherwise(self):
        assert read_cohort(VISITS).adverse_events is None
        cohort = read(EVENTS)
        changed = cohort.adverse_events
        changed["term"] = "other"
        assert cohort.adverse_events["term"].tolist()[2] == "rash"

    def test_nobody_having_one_is_not_the_same_as_no_table(self):
        cohort = read(EVENTS.iloc[:0])
        assert len(cohort.adverse_events) == 0
        assert "\n  Adverse events: none\n" in str(cohort)
        assert "Adverse" not in str(read_cohort(VISITS))

    def test_the_print_counts_events_patients_and_serious_ones(self):
        assert "\n  Adverse events: 3 events in 2 patients; serious: 1\n" in str(read(EVENTS))

    def test_terms_are_text(self):
        assert read(EVENTS.assign(term=[10.0, "7", 3])).adverse_events["term"].tolist() == ["3", "7", "10"]

    @pytest.mark.parametrize("theirs", [7, 7.0, "7", " 7 ", "7.0"])
    def test_numbers_and_text_match(self, theirs):
        events = pd.DataFrame({"patient": [theirs], "day": [0], "term": ["rash"]})
        visits = pd.DataFrame({"patient": [7], "day": 0, "edss": 2.0})
        assert read_cohort(visits, adverse_events=events).adverse_events["patient"].tolist() == ["7"]

    @pytest.mark.parametrize("ending", ["csv", "parquet", "xlsx"])
    def test_every_format_gives_the_table_of_the_frame(self, tmp_path, ending):
        events = EVENTS.assign(serious=["no", "yes", "0"])
        path = tmp_path / f"events.{ending}"
        {"csv": events.to_csv, "xlsx": events.to_excel}.get(ending, events.to_parquet)(path, index=False)
        one, other = read(path), read(events)
        pd.testing.assert_frame_equal(one.adverse_events, other.adverse_events)
        assert one.notes == other.notes

    @pytest.mark.parametrize("title", ["adverse_events", "Adverse events", " ADVERSE_EVENTS "])
    def test_a_sheet_of_a_workbook(self, tmp_path, title):
        path = tmp_path / "cohort.xlsx"
        with pd.ExcelWriter(path) as book:
            VISITS.to_excel(book, sheet_name="visits", index=False)
            EVENTS.to_excel(book, sheet_name=title, index=False)
        cohort = read_cohort(path, adverse_events=path)
        assert cohort.adverse_events["day"].tolist() == [30, 365, 0]

    def test_dates_and_names_of_columns(self):
        visits = pd.DataFrame({"id": ["a"], "date": ["2020-01-01"], "edss": [2.0]})
        events = pd.DataFrame({"id": ["a"], "onset": ["2020-02-01"], "event": ["rash"], "SAE": [1]})
        names = {"patient": "id", "adverse_events.date": "onset", "term": "event", "serious": "SAE"}
        table = read_cohort(visits, adverse_events=events, columns=names).adverse_events
        assert table.columns.tolist() == ["patient", "day", "years", "term", "serious", "date"]
        assert table["day"].tolist() == [31]


class TestNotes:
    def test_events_outside_follow_up_are_kept_and_counted(self):
        cohort = read(EVENTS.assign(day=[1, 365, -30]))  # b was seen on day 0 only
        assert any(
            note.startswith("2 of 3 adverse events are outside follow-up: kept, but no person-time was")
            for note in cohort.notes
        )
        assert len(cohort.adverse_events) == 3

    def test_events_before_a_given_start_of_follow_up(self):
        patients = pd.DataFrame({"patient": ["a", "b"], "followup_start": [0, 0], "followup_end": 400})
        notes = read(EVENTS.assign(day=[1, 365, -30]), patients=patients).notes
        assert any(note.startswith("1 of 3 adverse events is outside follow-up") for note in notes)

    def test_repeated_events_are_kept_and_counted(self):
        cohort = read(EVENTS.assign(day=5, patient="a", term=["rash", "zoster", "rash "]))
        assert "1 of 3 adverse events has the patient, day and term of another; all are kept." in cohort.notes
        assert len(cohort.adverse_events) == 3

    def test_nothing_is_said_of_tidy_events(self):
        assert not [note for note in read(EVENTS).notes if "adverse" in note]


class TestErrors:
    @pytest.mark.parametrize("missing", [None, "", "  ", "NA"])
    def test_no_term(self, missing):
        assert message(EVENTS.assign(term=["rash", missing, "rash"])) == (
            f"{WHERE}, column 'term': 1 row has no term.\n  index 1\n"
            "  What to do: say what happened, or remove the row. (NA and None count as missing; who had no "
            "adverse event needs no row.)"
        )

    @pytest.mark.parametrize(
        ("value", "shown"), [("perhaps", "'perhaps'"), (None, "None"), (2, "2"), ("", "''")]
    )
    def test_neither_serious_nor_not(self, value, shown):
        said = message(EVENTS.assign(serious=pd.Series(["no", value, "yes"], dtype=object)))
        assert said == (
            f"{WHERE}, column 'serious': 1 value is neither true nor false.\n  index 1: {shown}\n"
            "  What to do: write true or false (or 1 or 0, yes or no) for every event, or leave the column out. "
            "If empty cells mean 'not serious', write no in them; nothing was guessed."
        )

    def test_a_missing_column_names_the_nearest(self):
        said = message(EVENTS.rename(columns={"term": "preferred_term"}))
        assert f"{WHERE}, column 'term': there is no such column; the nearest is 'preferred_term'." in said
        assert "What to do: say what it is called: columns={'term': 'preferred_term'}." in said

    def test_many_rows_are_counted(self):
        events = pd.DataFrame({"patient": "a", "day": range(23), "term": None})
        said = message(events).splitlines()
        assert said[0].endswith("23 rows have no term.")
        assert said[11] == "  … and 13 more"

    def test_an_unknown_patient(self):
        said = message(EVENTS.assign(patient=["b", "A", "a"]))
        assert f"{WHERE}, column 'patient': 1 row is of a patient who is not in the patients table.\n" in said
        assert "\n  index 1: 'A'\n" in said

    def test_no_patient_and_no_time(self):
        said = message(EVENTS.assign(patient=["b", None, "a"], day=pd.Series([0, 1, None], dtype=object)))
        assert f"{WHERE}, column 'patient': 1 row has no patient.\n  index 1\n" in said
        assert f"{WHERE}, column 'day': 1 row has no time.\n  index 2\n" in said

    def test_after_the_end_of_follow_up(self):
        patients = pd.DataFrame({"patient": ["a", "b"], "followup_end": [400, 9]})
        said = message(EVENTS.assign(day=[10, 400, 0]), patients=patients)
        assert (
            f"{WHERE}, column 'day': 1 adverse event is after the end of the patient's follow-up.\n" in said
        )
        assert "\n  index 0: day 10, follow-up ends on day 9\n" in said
        assert "correct followup_end in patients or the time of the adverse event, or remove the row." in said

    def test_before_birth_and_far_away(self):
        patients = pd.DataFrame({"patient": ["a", "b"], "age": 30})
        said = message(EVENTS.assign(day=[-12_000, 1, 2]), patients=patients)
        assert (
            f"{WHERE}, column 'day': 1 adverse event is before the birth of the patient.\n  index 0" in said
        )
        said = message(EVENTS.assign(day=[50_000, 1, 2]))
        assert f"{WHERE}, column 'day': 1 row is more than 120 years from the index date." in said

    def test_no_time_column_and_two_kinds_of_time(self):
        said = message(EVENTS.rename(columns={"day": "onset_date"}))
        assert f"{WHERE}: there is no column 'date', 'day' or 'years'; the nearest is 'onset_date'" in said
        assert "columns={'adverse_events.date': 'onset_date'}" in said
        said = message(EVENTS.drop(columns="day").assign(date="2020-01-01"))
        assert said.startswith("visits has 'day' and adverse_events has 'date': two kinds of time.\n")

    @pytest.mark.parametrize("day", ["soon", 0.5, float("inf")])
    def test_times_that_are_none(self, day):
        said = message(EVENTS.assign(day=pd.Series([0, day, 1], dtype=object)))
        assert said.startswith(f"{WHERE}, column 'day': 1 value is ")

    def test_a_wrong_file(self, tmp_path):
        said = message(tmp_path / "none.csv")
        assert said.startswith("adverse_events: the file '")
        assert "does not exist." in said
        with pytest.raises(TypeError, match="adverse_events must be a path or a pandas DataFrame, not list"):
            read([1])

    def test_infinite_other_columns(self):
        said = message(EVENTS.assign(grade=[1.0, float("inf"), 2.0]))
        assert f"{WHERE}, column 'grade': 1 value is infinite.\n  index 1\n" in said

    def test_identifiers_appear_only_where_they_are_needed(self):
        visits = pd.DataFrame({"patient": ["secret"], "day": [0], "edss": [2.0]})
        events = pd.DataFrame({"patient": ["secret"], "day": [9], "term": [None]})
        with pytest.raises(CohortError) as caught:
            read_cohort(visits, adverse_events=events)
        assert "secret" not in str(caught.value)
        assert "secret" not in repr(read_cohort(visits, adverse_events=events.assign(term="rash")))


@st.composite
def tables(draw):
    n = draw(st.integers(1, 4))
    row = st.tuples(
        st.integers(0, n - 1), st.integers(-800, 800), st.sampled_from(["rash", "zoster"]), st.booleans()
    )
    events = pd.DataFrame(
        draw(st.lists(row, max_size=12)), columns=["patient", "day", "term", "serious"]
    ).astype({"patient": "int64", "day": "int64"})
    visits = pd.DataFrame({"patient": [*range(n), 0], "day": [0] * n + [500], "edss": 2.0})
    return visits, events


class TestInvariance:
    @settings(max_examples=40, deadline=None)
    @given(tables(), st.randoms(use_true_random=False))
    def test_the_order_of_rows_does_not_matter(self, both, random):
        visits, events = both
        one = read_cohort(visits, adverse_events=events)
        shuffled = events.sample(frac=1, random_state=random.randrange(2**32))
        other = read_cohort(visits, adverse_events=shuffled)
        pd.testing.assert_frame_equal(one.adverse_events, other.adverse_events)
        assert one.notes == other.notes
        assert len(one.adverse_events) == len(events)

    @settings(max_examples=25, deadline=None)
    @given(tables(), st.integers(-20000, 20000))
    def test_dates_and_days_agree(self, both, offset):
        zero = pd.Timestamp("2000-01-01") + pd.Timedelta(days=offset)
        dated = [
            table.assign(date=(zero + pd.to_timedelta(table["day"], unit="D")).dt.strftime("%Y-%m-%d")).drop(
                columns="day"
            )
            for table in both
        ]
        people = pd.DataFrame({"patient": sorted(set(both[0]["patient"])), "start": zero})
        one = read_cohort(both[0], adverse_events=both[1])
        other = read_cohort(dated[0], adverse_events=dated[1], patients=people)
        pd.testing.assert_frame_equal(other.adverse_events.drop(columns="date"), one.adverse_events)
