"""What a cohort holds after reading: hand-computed days, follow-up, baselines, merged relapses."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajectories.edss import LEVELS
from trajectories.reading import read_cohort

DATED_VISITS = pd.DataFrame(
    {
        "patient": ["p1", "p1", "p1", "p2", "p2"],
        "date": ["2019-07-02", "2020-01-01", "2021-03-01", "2020-02-28", "2020-03-01"],
        "edss": [2.0, 3.5, None, 4.0, 6.0],
    }
)
DATED_RELAPSES = pd.DataFrame({"patient": ["p1", "p1"], "date": ["2019-12-31", "2018-12-01"]})
DATED_PATIENTS = pd.DataFrame(
    {
        "patient": ["p2", "p1"],
        "arm": ["b", "a"],
        "start": ["2020-02-29", "2020-01-01"],
        "followup_start": ["2020-02-01", "2018-06-01"],
        "followup_end": ["2020-12-31", "2021-12-31"],
        "birth": ["1980-05-05", "1990-01-31"],
        "sex": ["F", "M"],
    }
)


def visits_of(days, patient=1, edss=2.0):
    return pd.DataFrame({"patient": patient, "day": days, "edss": edss})


class TestDates:
    def test_days_are_counted_from_treatment_start(self):
        cohort = read_cohort(DATED_VISITS, relapses=DATED_RELAPSES, patients=DATED_PATIENTS)
        # 2020 is a leap year: 28 February to 1 March are two days.
        assert cohort.visits["patient"].tolist() == ["p2", "p2", "p1", "p1", "p1"]
        assert cohort.visits["day"].tolist() == [-1, 1, -183, 0, 425]
        np.testing.assert_allclose(cohort.visits["years"], np.array([-1, 1, -183, 0, 425]) / 365.25)
        assert cohort.relapses["day"].tolist() == [-396, -1]
        assert cohort.index_date == "Time 0 is treatment start (column 'start' of patients)."
        assert cohort.visits["date"].tolist()[0] == pd.Timestamp("2020-02-28")

    def test_patients_get_follow_up_baseline_and_earlier_relapses(self):
        patients = read_cohort(DATED_VISITS, relapses=DATED_RELAPSES, patients=DATED_PATIENTS).patients
        assert patients.columns.tolist() == [
            "patient",
            "arm",
            "followup_start_day",
            "followup_end_day",
            "start",
            "birth",
            "sex",
            "edss_baseline",
            "relapses_year_before",
        ]
        assert patients["followup_start_day"].tolist() == [-28, -579]
        assert patients["followup_end_day"].tolist() == [306, 730]
        assert patients["edss_baseline"].tolist() == [4.0, 3.5]
        np.testing.assert_array_equal(patients["relapses_year_before"], [np.nan, 1.0])
        assert patients["sex"].tolist() == ["F", "M"]

    def test_without_start_time_zero_is_the_first_visit(self):
        cohort = read_cohort(DATED_VISITS, relapses=DATED_RELAPSES)
        assert cohort.visits["day"].tolist() == [0, 183, 608, 0, 2]
        assert cohort.relapses["day"].tolist() == [-213, 182]
        assert "first visit, as no treatment start was given" in cohort.index_date

    def test_an_empty_start_column_is_not_used_and_noted(self):
        cohort = read_cohort(
            DATED_VISITS, patients=pd.DataFrame({"patient": ["p1", "p2"], "start": [None, None]})
        )
        assert cohort.visits["day"].tolist() == [0, 183, 608, 0, 2]
        assert cohort.notes[0] == "The column 'start' of patients is empty and was not used."

    @pytest.mark.parametrize(
        "dates",
        [
            pd.Series(["2020-03-01", "2020-12-24"]),
            pd.Series(["2020-03-01", "2020-12-24"], dtype="string"),
            pd.Series(["2020-03-01", "2020-12-24"], dtype=object),
            pd.Series(["2020-03-01", "2020-12-24"], dtype="category"),
            pd.Series(["2020/3/1", " 2020-12-24 "]),
            pd.Series(["20200301", "20201224"]),
            pd.Series(["2020-03-01 23:59", "2020-12-24T00:00:01.5+02:00"]),
            pd.Series(["01/03/2020", "24/12/2020"]),
            pd.Series(["1.3.2020", "24.12.2020"]),
            pd.Series(["03-01-2020 08:30", "12-24-2020"]),
            pd.Series(pd.to_datetime(["2020-03-01 23:59", "2020-12-24 00:01"])),
            pd.Series(pd.to_datetime(["2020-03-01", "2020-12-24"]), dtype="category"),
            pd.Series(pd.to_datetime(["2020-03-01 23:59", "2020-12-24 00:01"]).tz_localize("Asia/Tokyo")),
            pd.Series(
                pd.to_datetime(["2020-03-01 00:30", "2020-12-24 00:01"]).tz_localize("America/New_York"),
                dtype=object,
            ),
            pd.Series([datetime.date(2020, 3, 1), datetime.date(2020, 12, 24)], dtype=object),
            pd.Series([np.datetime64("2020-03-01"), np.datetime64("2020-12-24T10:00")], dtype=object),
            pd.Series(["2020-03-01", "2020-12-24"], dtype="date32[pyarrow]"),
            pd.Series(
                pd.to_datetime(["2020-03-01 23:00", "2020-12-24 00:01"]),
                dtype="timestamp[us, Asia/Tokyo][pyarrow]",
            ),
            pd.Series(["2020-03-01", "2020-12-24"], dtype="string[pyarrow]"),
        ],
        ids=lambda s: f"{s.dtype} {s.iloc[0]}",
    )
    def test_every_way_to_hold_a_date(self, dates):
        visits = pd.DataFrame({"patient": 1, "date": dates, "edss": 2.0})
        expected = ["2020-03-01", "2020-12-24"]
        if str(dates.dtype).startswith("timestamp"):
            expected = ["2020-03-02", "2020-12-24"]  # 23:00 UTC is the next day in Tokyo
        cohort = read_cohort(visits)
        assert cohort.visits["date"].dt.strftime("%Y-%m-%d").tolist() == expected
        assert cohort.visits["day"].iloc[1] == (pd.Timestamp(expected[1]) - pd.Timestamp(expected[0])).days

    def test_one_instant_in_two_time_zones_is_two_calendar_dates(self):
        utc = datetime.datetime(2020, 3, 1, 23, tzinfo=datetime.UTC)
        tokyo = utc.astimezone(datetime.timezone(datetime.timedelta(hours=9)))
        visits = pd.DataFrame({"patient": [1, 2], "date": pd.Series([utc, tokyo], dtype=object), "edss": 2.0})
        assert read_cohort(visits).visits["date"].dt.day.tolist() == [1, 2]

    def test_the_order_of_day_and_month_is_decided_by_the_column_and_noted(self):
        visits = pd.DataFrame({"patient": 1, "date": ["03/01/2020", "12/24/2020"], "edss": 2.0})
        cohort = read_cohort(visits)
        assert cohort.visits["date"].dt.month.tolist() == [3, 12]
        assert "Dates in 'date' of visits were read as month/day/year." in cohort.notes

    def test_equal_day_and_month_are_not_ambiguous(self):
        visits = pd.DataFrame({"patient": 1, "date": ["05/05/2020", "06/06/2020"], "edss": 2.0})
        assert read_cohort(visits).visits["day"].tolist() == [0, 32]


class TestCounts:
    def test_days_as_they_are(self):
        cohort = read_cohort(visits_of([-10, 0, 400]))
        assert cohort.visits["day"].tolist() == [-10, 0, 400]
        assert "already" in cohort.index_date

    def test_years_are_kept_and_days_rounded(self):
        visits = pd.DataFrame({"patient": 1, "years": [-0.5, 1.0, 2.004], "edss": 2.0})
        cohort = read_cohort(visits)
        assert cohort.visits["day"].tolist() == [-183, 365, 732]  # −182.625, 365.25, 731.961
        assert cohort.visits["years"].tolist() == [-0.5, 1.0, 2.004]

    def test_a_start_in_the_same_unit_is_subtracted_everywhere(self):
        patients = pd.DataFrame(
            {"patient": [1], "start": [100], "followup_start": [50], "followup_end": [600]}
        )
        relapses = pd.DataFrame({"patient": [1], "day": [90]})
        cohort = read_cohort(visits_of([100, 465]), relapses=relapses, patients=patients)
        assert cohort.visits["day"].tolist() == [0, 365]
        assert cohort.relapses["day"].tolist() == [-10]
        assert cohort.patients[["followup_start_day", "followup_end_day"]].to_numpy().tolist() == [[-50, 500]]
        in_years = read_cohort(
            pd.DataFrame({"patient": 1, "years": [2015.5, 2017.0], "edss": 2.0}),
            patients=pd.DataFrame({"patient": [1], "start": [2015.0]}),
        )
        assert in_years.visits["years"].tolist() == [0.5, 2.0]
        assert in_years.visits["day"].tolist() == [183, 730]

    def test_the_tables_of_a_cohort_can_be_read_again(self):
        first = read_cohort(DATED_VISITS, relapses=DATED_RELAPSES, patients=DATED_PATIENTS)
        again = read_cohort(
            first.visits.drop(columns="date"),
            relapses=first.relapses.drop(columns="date"),
            patients=first.patients.rename(
                columns={"followup_start_day": "followup_start", "followup_end_day": "followup_end"}
            ).drop(columns=["edss_baseline", "relapses_year_before", "start", "birth"]),
        )
        pd.testing.assert_frame_equal(again.visits, first.visits.drop(columns="date"))
        pd.testing.assert_frame_equal(again.relapses, first.relapses.drop(columns="date"))
        pd.testing.assert_frame_equal(again.patients, first.patients.drop(columns=["start", "birth"]))

    @pytest.mark.parametrize(
        "dtype", ["int8", "Int64", "float32", "Float64", "str", "category", "int64[pyarrow]", object]
    )
    def test_every_numeric_dtype(self, dtype):
        visits = pd.DataFrame(
            {
                "patient": pd.Series([1, 1], dtype=dtype),
                "day": pd.Series([0, 90], dtype=dtype),
                "edss": pd.Series([2, 3], dtype=dtype),
            }
        )
        cohort = read_cohort(visits)
        assert cohort.visits[["patient", "day", "edss"]].to_numpy().tolist() == [
            ["1", 0, 2.0],
            ["1", 90, 3.0],
        ]
        assert cohort.visits.dtypes[["day", "years", "edss"]].astype(str).tolist() == [
            "int64",
            "float64",
            "float64",
        ]

    def test_missing_edss_in_every_form_is_counted(self):
        scores = pd.Series([2.0, None, np.nan, pd.NA, "", "NA", "3.0"], dtype=object)
        cohort = read_cohort(visits_of(range(0, 70, 10), edss=scores))
        np.testing.assert_array_equal(cohort.visits["edss"], [2.0] + [np.nan] * 5 + [3.0])
        assert cohort.notes[0] == "5 of 7 visits have no EDSS."


class TestIdentifiers:
    @pytest.mark.parametrize("mine", [7, 7.0, "7", " 7 ", "7.0", np.int8(7), np.float32(7)])
    @pytest.mark.parametrize("theirs", [7, 7.0, "7"])
    def test_numbers_and_text_match(self, mine, theirs):
        visits = pd.DataFrame({"patient": pd.Series([mine], dtype=object), "day": 0, "edss": 2.0})
        cohort = read_cohort(visits, patients=pd.DataFrame({"patient": [theirs], "sex": ["F"]}))
        assert cohort.patients["patient"].tolist() == ["7"]
        assert cohort.visits["patient"].tolist() == ["7"]

    def test_leading_zeros_capitals_and_long_numbers_are_kept(self):
        names = ["007", "7", "P1", "p1", 2**60, 2**60 + 1, "7.5", "1e3", True]
        visits = pd.DataFrame({"patient": pd.Series(names, dtype=object), "day": 0, "edss": 2.0})
        assert set(read_cohort(visits).patients["patient"]) == {str(name) for name in names}

    def test_one_name_in_two_encodings_is_one_patient(self):
        composed, decomposed = "M\u00fcller", "Mu\u0308ller"
        visits = pd.DataFrame({"patient": [composed, decomposed], "day": [0, 9], "edss": 2.0})
        assert read_cohort(visits).n_patients == 1

    def test_without_a_patients_table_order_is_natural(self):
        visits = pd.DataFrame({"patient": ["10", "b", "9", "a"], "day": 0, "edss": 2.0})
        cohort = read_cohort(visits)
        assert cohort.patients["patient"].tolist() == ["9", "10", "a", "b"]
        assert cohort.arms == ("all",)


class TestArms:
    def arms(self, arm):
        n = len(arm)
        patients = pd.DataFrame({"patient": range(n), "arm": arm})
        return read_cohort(visits_of([0] * n, patient=range(n)), patients=patients)

    def test_in_order_of_appearance(self):
        cohort = self.arms(["z", "a", "z"])
        assert cohort.arms == ("z", "a")
        assert cohort.patients["arm"].cat.ordered
        assert cohort.patients["arm"].tolist() == ["z", "a", "z"]

    def test_an_ordered_categorical_keeps_its_order_an_unordered_one_has_none(self):
        ordered = pd.Categorical(["z", "a"], categories=["a", "z"], ordered=True)
        assert self.arms(ordered).arms == ("a", "z")
        assert self.arms(ordered.as_unordered()).arms == ("z", "a")

    def test_numbers_and_truth_values_become_names(self):
        assert self.arms([1, 0]).arms == ("1", "0")
        assert self.arms([1.0, 0.0]).arms == ("1", "0")
        assert self.arms([True, False]).arms == ("True", "False")
        assert self.arms(pd.Categorical([1, 0], ordered=True)).arms == ("0", "1")


class TestRelapses:
    def kept(self, days):
        relapses = pd.DataFrame({"patient": 1, "day": days})
        return read_cohort(visits_of([-400, 900]), relapses=relapses)

    @pytest.mark.parametrize(
        ("days", "kept"),
        [
            ([0, 29], [0]),
            ([0, 30], [0, 30]),
            ([5, 5], [5]),
            ([0, 20, 40], [0, 40]),  # 20 is no relapse of its own, so 40 is compared with 0
            ([0, 20, 40, 65], [0, 40]),
            ([0, 20, 29, 30, 59, 60], [0, 30, 60]),
            ([40, 0, 20], [0, 40]),
            ([0, 100, 120, 131], [0, 100, 131]),
        ],
    )
    def test_onsets_under_thirty_days_after_the_last_one_kept_are_merged(self, days, kept):
        cohort = self.kept(days)
        assert cohort.relapses["day"].tolist() == kept
        note = [n for n in cohort.notes if "merged" in n]
        merged = len(days) - len(kept)
        assert len(note) == (merged > 0)
        if merged:
            verb = "was" if merged == 1 else "were"
            assert note[0].startswith(
                f"{merged} of {len(days)} relapse onsets {verb} less than 30 days after"
            )

    def test_patients_are_merged_apart(self):
        relapses = pd.DataFrame({"patient": [1, 2, 1, 2], "day": [0, 10, 20, 25]})
        cohort = read_cohort(visits_of([-100, 100] * 2, patient=[1, 1, 2, 2]), relapses=relapses)
        assert cohort.relapses[["patient", "day"]].to_numpy().tolist() == [["1", 0], ["2", 10]]

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(1, 3), st.integers(-300, 300)), max_size=25))
    def test_merging_agrees_with_the_rule_word_by_word(self, onsets):
        relapses = pd.DataFrame(onsets, columns=["patient", "day"], dtype="int64")
        cohort = read_cohort(visits_of([0, 0, 0], patient=[1, 2, 3]), relapses=relapses)
        expected = []
        for patient in (1, 2, 3):
            kept = []
            for day in sorted(d for p, d in onsets if p == patient):
                if not kept or day - kept[-1] >= 30:
                    kept.append(day)
            expected += [[str(patient), day] for day in kept]
        assert cohort.relapses[["patient", "day"]].to_numpy().tolist() == expected

    def test_nobody_relapsing_is_not_the_same_as_no_table(self):
        empty = read_cohort(visits_of([-400, 400]), relapses=pd.DataFrame({"patient": [], "day": []}))
        assert len(empty.relapses) == 0
        assert empty.patients["relapses_year_before"].tolist() == [0]
        none = read_cohort(visits_of([-400, 400]))
        assert none.relapses is None
        assert none.patients["relapses_year_before"].isna().all()
        assert "There is no relapse table: relapses and their rates cannot be computed." in none.notes

    def test_the_year_before_counts_only_if_it_was_watched(self):
        relapses = pd.DataFrame({"patient": 1, "day": [-366, -330, -200, -1, 40]})
        for first, expected in ((-365, 3.0), (-364, np.nan)):
            cohort = read_cohort(visits_of([first, 900]), relapses=relapses)
            np.testing.assert_array_equal(cohort.patients["relapses_year_before"], [expected])

    def test_the_year_before_ends_the_day_before_time_zero(self):
        relapses = pd.DataFrame({"patient": 1, "day": [-200, 0]})
        cohort = read_cohort(visits_of([-400, 900]), relapses=relapses)
        assert cohort.patients["relapses_year_before"].tolist() == [1.0]
        for last, expected in ((-1, 1.0), (-2, np.nan)):
            cohort = read_cohort(visits_of([-400, last]), relapses=relapses)
            np.testing.assert_array_equal(cohort.patients["relapses_year_before"], [expected])

    def test_relapses_outside_follow_up_are_kept_and_counted(self):
        relapses = pd.DataFrame({"patient": 1, "day": [-500, 0, 950]})
        cohort = read_cohort(visits_of([-400, 900]), relapses=relapses)
        assert len(cohort.relapses) == 3
        assert any(n.startswith("2 of 3 relapses are outside follow-up: kept, but not") for n in cohort.notes)


class TestFollowUp:
    def test_derived_from_first_to_last_visit_with_a_note(self):
        cohort = read_cohort(visits_of([30, -5, 200], edss=[None, 2.0, None]))
        assert cohort.patients[["followup_start_day", "followup_end_day"]].to_numpy().tolist() == [[-5, 200]]
        assert (
            "1 of 1 patient has no dates of follow-up: it was taken from the first to the last visit."
            in cohort.notes
        )

    def test_missing_ends_are_derived_one_by_one(self):
        patients = pd.DataFrame(
            {
                "patient": [1, 2, 3],
                "followup_start": [-50, None, -50],
                "followup_end": [None, 80, 90],
            }
        )
        cohort = read_cohort(visits_of([0, 10, 0, 10, 0, 10], patient=[1, 1, 2, 2, 3, 3]), patients=patients)
        assert cohort.patients["followup_start_day"].tolist() == [-50, 0, -50]
        assert cohort.patients["followup_end_day"].tolist() == [10, 80, 90]
        assert "1 of 3 patients has no start of follow-up: the first visit was used." in cohort.notes
        assert "1 of 3 patients has no end of follow-up: the last visit was used." in cohort.notes

    def test_patients_without_visits_stay_with_their_relapses(self):
        patients = pd.DataFrame(
            {
                "patient": [1, 2, 3, 4, 5],
                "followup_start": [None, None, 10, None, -10],
                "followup_end": [None, None, None, 50, 60],
            }
        )
        relapses = pd.DataFrame({"patient": [2, 5], "day": [5, 6]})
        cohort = read_cohort(visits_of([0, 90]), relapses=relapses, patients=patients)
        spans = cohort.patients[["followup_start_day", "followup_end_day"]].to_numpy().tolist()
        assert spans == [[0, 90], [0, -1], [10, 9], [51, 50], [-10, 60]]
        assert cohort.relapses["patient"].tolist() == ["2", "5"]
        assert "4 of 5 patients have no visit; they stay in the cohort." in cohort.notes
        assert any(n.startswith("1 of 2 relapses is outside follow-up") for n in cohort.notes)

    def test_visits_before_follow_up_are_kept_and_counted(self):
        patients = pd.DataFrame({"patient": [1], "followup_start": [0], "followup_end": [90]})
        cohort = read_cohort(visits_of([-30, 0, 90]), patients=patients)
        assert len(cohort.visits) == 3
        assert "1 of 3 visits is before the start of follow-up; they are kept." in cohort.notes


class TestBaseline:
    @pytest.mark.parametrize(
        ("days", "edss", "window", "expected"),
        [
            ([-200, -10, 5], [2.0, 3.0, 6.0], 1, 3.0),
            ([-200, -10, 5], [2.0, None, 6.0], 1, 2.0),
            ([-200, 0], [2.0, 4.0], 1, 4.0),
            ([-365, 5], [2.0, 6.0], 1, 2.0),
            ([-366, 5], [2.0, 6.0], 1, np.nan),
            ([-366, 5], [2.0, 6.0], 2, 2.0),
            ([5], [6.0], 1, np.nan),
            ([-1, 5], [2.0, 6.0], 0, np.nan),
        ],
    )
    def test_last_edss_at_or_before_time_zero(self, days, edss, window, expected):
        cohort = read_cohort(visits_of(days, edss=edss), baseline_window=window)
        np.testing.assert_array_equal(cohort.patients["edss_baseline"], [expected])

    @pytest.mark.parametrize("window", [-1, np.nan, np.inf])
    def test_an_impossible_window_is_refused(self, window):
        with pytest.raises(ValueError, match="baseline_window must be a number of years"):
            read_cohort(visits_of([0]), baseline_window=window)


class TestColumns:
    def test_standard_names_by_map_for_all_tables_or_one(self):
        cohort = read_cohort(
            pd.DataFrame({"ID": [1], "visit_date": ["2020-01-05"], "EDSS": [2.0], "Rater": ["x"]}),
            relapses=pd.DataFrame({"ID": [1], "onset": ["2020-01-02"]}),
            patients=pd.DataFrame({"ID": [1], "dmt": ["natalizumab"], "first_dose": ["2020-01-01"]}),
            columns={
                "patient": "ID",
                "visits.date": "visit_date",
                "relapses.date": "onset",
                "edss": "EDSS",
                "rater": "Rater",
                "arm": "dmt",
                "start": "first_dose",
            },
        )
        assert cohort.visits.columns.tolist() == ["patient", "day", "years", "edss", "date", "rater"]
        assert cohort.visits["day"].tolist() == [4]
        assert cohort.relapses["day"].tolist() == [1]
        assert cohort.arms == ("natalizumab",)

    def test_scheduled_is_read_as_truth(self):
        for values in ([True, False], [1, 0], ["yes", "No"], ["TRUE", "false"], [1.0, 0.0]):
            visits = visits_of([0, 90]).assign(scheduled=values)
            scheduled = read_cohort(visits).visits["scheduled"]
            assert scheduled.dtype == bool
            assert scheduled.tolist() == [True, False]

    def test_other_columns_are_kept_and_the_input_is_not_changed(self):
        visits = visits_of([90, 0]).assign(site=["x", "y"], t25fw=[5.5, None])
        before = visits.copy()
        cohort = read_cohort(visits)
        assert cohort.visits["site"].tolist() == ["y", "x"]
        np.testing.assert_array_equal(cohort.visits["t25fw"], [np.nan, 5.5])
        pd.testing.assert_frame_equal(visits, before)

    def test_covariates_keep_their_dtype(self):
        patients = pd.DataFrame(
            {
                "patient": [1],
                "age": [30],
                "severity": pd.Categorical(["low"], categories=["low", "high"], ordered=True),
                "mri": pd.array([None], dtype="Int64"),
            }
        )
        read = read_cohort(visits_of([0]), patients=patients).patients
        assert read[["age", "severity", "mri"]].dtypes.tolist() == patients.dtypes.tolist()[1:]


levels = st.sampled_from([*LEVELS.tolist(), None])


@st.composite
def tables(draw):
    n = draw(st.integers(1, 4))
    keys = st.tuples(st.integers(0, n - 1), st.integers(-800, 800))
    visits = draw(st.lists(keys, min_size=1, max_size=15, unique=True))
    visits += [(k, 801) for k in range(n)]  # everyone has a visit
    relapses = draw(st.lists(keys, max_size=15))
    visits = pd.DataFrame(visits, columns=["patient", "day"]).assign(
        edss=draw(st.lists(levels, min_size=len(visits), max_size=len(visits)))
    )
    relapses = pd.DataFrame(relapses, columns=["patient", "day"], dtype="int64")
    relapses["severity"] = draw(
        st.lists(st.sampled_from(["mild", "severe"]), min_size=len(relapses), max_size=len(relapses))
    )
    patients = pd.DataFrame(
        {"patient": range(n), "arm": draw(st.lists(st.sampled_from("ab"), min_size=n, max_size=n))}
    )
    return visits, relapses, patients


def assert_same(one, other):
    pd.testing.assert_frame_equal(one.visits, other.visits)
    pd.testing.assert_frame_equal(one.relapses, other.relapses)
    pd.testing.assert_frame_equal(one.patients, other.patients)
    assert one.notes == other.notes


class TestInvariance:
    @settings(max_examples=50, deadline=None)
    @given(tables(), st.randoms(use_true_random=False))
    def test_the_order_of_rows_does_not_matter(self, cohort_tables, random):
        visits, relapses, patients = cohort_tables
        shuffled = [t.sample(frac=1, random_state=random.randrange(2**32)) for t in (visits, relapses)]
        for known in (patients, None):
            assert_same(
                read_cohort(visits, relapses=relapses, patients=known),
                read_cohort(shuffled[0], relapses=shuffled[1], patients=known),
            )

    @settings(max_examples=50, deadline=None)
    @given(tables(), st.lists(st.text("abcXYZ089_-é", min_size=1), min_size=4, max_size=4, unique=True))
    def test_the_names_of_patients_do_not_matter(self, cohort_tables, names):
        renamed = [
            table.assign(patient=[f"x{names[p]}" for p in table["patient"]]) for table in cohort_tables
        ]
        one = read_cohort(cohort_tables[0], relapses=cohort_tables[1], patients=cohort_tables[2])
        other = read_cohort(renamed[0], relapses=renamed[1], patients=renamed[2])
        for table in ("visits", "relapses", "patients"):
            pd.testing.assert_frame_equal(
                getattr(one, table).drop(columns="patient"), getattr(other, table).drop(columns="patient")
            )
            assert getattr(other, table)["patient"].tolist() == [
                f"x{names[int(p)]}" for p in getattr(one, table)["patient"]
            ]
        assert one.notes == other.notes

    @settings(max_examples=25, deadline=None)
    @given(tables(), st.integers(-20000, 20000))
    def test_dates_and_days_agree(self, cohort_tables, offset):
        visits, relapses, patients = cohort_tables
        start = pd.Timestamp("2000-01-01") + pd.Timedelta(days=offset)
        dated = [
            table.assign(date=(start + pd.to_timedelta(table["day"], unit="D")).dt.strftime("%Y-%m-%d")).drop(
                columns="day"
            )
            for table in (visits, relapses)
        ]
        by_date = read_cohort(dated[0], relapses=dated[1], patients=patients.assign(start=start))
        by_day = read_cohort(visits, relapses=relapses, patients=patients)
        pd.testing.assert_frame_equal(by_date.visits.drop(columns="date"), by_day.visits)
        pd.testing.assert_frame_equal(by_date.patients.drop(columns="start"), by_day.patients)


def test_a_hundred_thousand_visits_take_seconds_at_most():
    import time

    n = 12_500
    visits = pd.DataFrame(
        {
            "patient": np.repeat(np.arange(n), 8),
            "date": (
                pd.Timestamp("2015-01-01") + pd.to_timedelta(np.tile(np.arange(8) * 91, n), unit="D")
            ).strftime("%d/%m/%Y"),
            "edss": np.tile(LEVELS, 5_000),
        }
    )
    began = time.perf_counter()
    cohort = read_cohort(visits)
    assert len(cohort.visits) == 100_000
    assert time.perf_counter() - began < 10  # about half a second; a loop over rows takes minutes
