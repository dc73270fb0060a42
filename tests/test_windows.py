import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trajectories.reading import read_cohort
from trajectories.windows import edss_at, relapse_windows


def one_patient(days, scores=None, relapses=None, **patient):
    visits = pd.DataFrame({"patient": "a", "day": days, "edss": scores or [2.0] * len(days)})
    onsets = None if relapses is None else pd.DataFrame({"patient": ["a"] * len(relapses), "day": relapses})
    return read_cohort(visits, relapses=onsets, patients=pd.DataFrame({"patient": ["a"], **patient}))


class TestEdssAt:
    def found(self, cohort, **options):
        return edss_at(cohort, **options)["day"].astype(object).where(lambda d: d.notna(), None).tolist()

    def test_nearest_visit_within_the_tolerance(self):
        # Targets −365, 0, 365, 730; 0.25 years are 91 whole days.
        cohort = one_patient([-365 - 91, -10, 365 + 50, 365 - 49, 730 + 92])
        assert self.found(cohort) == [-456, -10, 316, None]

    def test_of_two_equally_near_the_earlier(self):
        assert self.found(one_patient([355, 375]), at=(1,)) == [355]

    def test_baseline_is_never_after_time_zero(self):
        assert self.found(one_patient([-60, 1]), at=(0,)) == [-60]
        assert self.found(one_patient([1]), at=(0,)) == [None]
        assert self.found(one_patient([0]), at=(0,)) == [0]

    def test_later_time_points_take_only_visits_after_time_zero(self):
        assert self.found(one_patient([-1, 0]), at=(0.25,), tolerance=0.5) == [None]
        assert self.found(one_patient([5]), at=(-0.25,), tolerance=0.5) == [None]

    def test_no_visit_is_used_twice(self):
        # Day 548 is 183 days from year 1 and 182 from year 2.
        assert self.found(one_patient([548]), at=(1, 2), tolerance=0.75) == [None, 548]
        # Day 274 is 91 from both 183 (half a year) and 365: the earlier point.
        assert self.found(one_patient([274]), at=(0.5, 1), tolerance=0.5) == [274, None]
        assert self.found(one_patient([274]), at=(1, 0.5), tolerance=0.5) == [None, 274]

    def test_missing_edss_is_passed_over(self):
        cohort = one_patient([360, 365], [2.5, None])
        assert edss_at(cohort, at=(1,))["edss"].tolist() == [2.5]

    def test_one_row_a_patient_and_time_point_in_order(self):
        visits = pd.DataFrame({"patient": [2, 1], "day": [0, 0], "edss": [3.0, 4.0]})
        cohort = read_cohort(visits, patients=pd.DataFrame({"patient": [2, 1, 9]}))
        table = edss_at(cohort, at=(1, 0))
        assert table["patient"].tolist() == ["2", "2", "1", "1", "9", "9"]
        assert table["at"].tolist() == [1, 0] * 3
        np.testing.assert_array_equal(table["edss"], [np.nan, 3, np.nan, 4, np.nan, np.nan])
        assert str(table["day"].dtype) == "Int64"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"at": ()}, "list of time points"),
            ({"at": (0, np.nan)}, "list of time points"),
            ({"at": (1, 1)}, "one day twice"),
            ({"tolerance": 0}, "positive number of years"),
            ({"tolerance": np.inf}, "positive number of years"),
        ],
    )
    def test_bad_arguments(self, options, message):
        with pytest.raises(ValueError, match=message):
            edss_at(one_patient([0]), **options)


class TestRelapseWindows:
    def test_hand_computed_counts_exposure_and_completeness(self):
        # Windows in days: [−365, 0), [0, 365), [365, 730). Followed from −400 to 500, both days observed.
        cohort = one_patient(
            [0],
            relapses=[-401, -400, -365, -1, 0, 364, 365, 500],
            followup_start=[-400],
            followup_end=[500],
        )
        # Merging first: −400 belongs to −401, 0 to −1, 365 to 364; kept −401, −365, −1, 364, 500.
        table = relapse_windows(cohort)
        assert table["window"].tolist() == ["[-1, 0)", "[0, 1)", "[1, 2)"]
        assert table["relapses"].tolist() == [2, 1, 1]
        np.testing.assert_allclose(table["exposure"], np.array([365, 365, 136]) / 365.25)
        assert table["complete"].tolist() == [True, True, False]

    def test_edges_belong_to_the_later_window(self):
        cohort = one_patient([-500, 900], relapses=[-366, -330, 0, 365, 729, 800])
        assert relapse_windows(cohort)["relapses"].tolist() == [1, 1, 2]

    def test_a_window_is_complete_on_its_last_day(self):
        assert relapse_windows(one_patient([-365, -1], relapses=[]), (-1, 0))["complete"].tolist() == [True]
        assert relapse_windows(one_patient([-364, -1], relapses=[]), (-1, 0))["complete"].tolist() == [False]
        assert relapse_windows(one_patient([-365, -2], relapses=[]), (-1, 0))["complete"].tolist() == [False]

    def test_relapses_outside_follow_up_are_not_counted(self):
        cohort = one_patient([-100, 200], relapses=[-200, 100, 300])
        table = relapse_windows(cohort, (-1, 0, 1))
        assert table["relapses"].tolist() == [0, 1]
        np.testing.assert_allclose(table["exposure"], np.array([100, 201]) / 365.25)

    def test_an_open_end_reaches_to_the_end_of_follow_up(self):
        cohort = one_patient([0, 1000], relapses=[10, 900])
        table = relapse_windows(cohort, (0, 1, None))
        assert table["relapses"].tolist() == [1, 1]
        np.testing.assert_allclose(table["exposure"], np.array([365, 1001 - 365]) / 365.25)
        assert table["end"].tolist() == [1, np.inf]
        assert table["complete"].tolist() == [True, True]
        assert relapse_windows(cohort, (3, None))["complete"].tolist() == [False]

    def test_a_patient_never_observed_has_no_exposure(self):
        visits = pd.DataFrame({"patient": [1, 1], "day": [-500, 900], "edss": [3.0, 4.0]})
        relapses = pd.DataFrame({"patient": [2, 1], "day": [50, 50]})
        cohort = read_cohort(visits, relapses=relapses, patients=pd.DataFrame({"patient": [1, 2]}))
        table = relapse_windows(cohort, (-1, 0, 1, None))
        assert table["relapses"].tolist() == [0, 1, 0, 0, 0, 0]
        assert table["exposure"].tolist()[3:] == [0, 0, 0]
        assert not table["complete"][3:].any()

    def test_without_a_relapse_table_it_says_so(self):
        with pytest.raises(
            ValueError, match="no relapse table, so relapses cannot be counted: give `relapses="
        ):
            relapse_windows(one_patient([0]))

    @pytest.mark.parametrize(
        "edges",
        [(), (0,), (None,), (1, 0), (0, 0), (0, None, 1), (None, 1), (0, np.nan), (0, np.inf)],
    )
    def test_bad_edges(self, edges):
        with pytest.raises(ValueError, match="at least two ascending times"):
            relapse_windows(one_patient([0], relapses=[]), edges)

    @settings(deadline=None)
    @given(
        first=st.integers(-900, 0),
        length=st.integers(0, 1500),
        onsets=st.lists(st.integers(-30, 40), unique=True, max_size=12),
    )
    def test_adjacent_windows_add_up_to_the_whole(self, first, length, onsets):
        cohort = one_patient(
            [first, first + length] if length else [first], relapses=[31 * k for k in onsets]
        )
        parts, whole = relapse_windows(cohort, (-2, -0.5, 0, 0.7, 3)), relapse_windows(cohort, (-2, 3))
        assert parts["relapses"].sum() == whole["relapses"].sum()
        assert parts["exposure"].sum() == pytest.approx(whole["exposure"].sum())
        expected = sum(-730 <= 31 * k < 1096 and first <= 31 * k <= first + length for k in onsets)
        assert whole["relapses"].item() == expected
