"""MRI activity: by hand, by brute force, and against the tests and rates it is made of."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from trajectories.change_tests import holm
from trajectories.endpoints.group_rates import group_rates
from trajectories.endpoints.mri import mri_activity
from trajectories.endpoints.mri_tables import scan_intervals
from trajectories.endpoints.shares import wilson_limits
from trajectories.rank_tests import signed_rank
from trajectories.reading import read_cohort


def cohort_of(mri, arms=None, **options):
    patients = pd.DataFrame({"patient": sorted(set(mri["patient"]) | set(arms or {}))})
    if arms:
        patients["arm"] = patients["patient"].map(arms)
    visits = pd.DataFrame({"patient": patients["patient"], "day": 0, "edss": 2.0})
    return read_cohort(visits, patients=patients, mri=mri, **options)


@pytest.fixture(scope="module")
def made_up():
    """Forty simulated patients in two arms, scans about a year apart and one at half a year, some missed."""
    rng = np.random.default_rng(4)
    rows = []
    for patient in range(1, 41):
        effect, last = rng.gamma(0.8, 1.2), None
        for planned in (-360, -15, 180, 365, 730):
            day = planned + int(rng.integers(-14, 15))
            if rng.random() < 0.15:
                continue
            count = rng.poisson(effect * (2 if planned < 0 else 0.3))
            volume = float(np.round(count * rng.gamma(2, 40), 1))
            new = np.nan if last is None else rng.poisson(effect * (day - last) / 365)
            rows.append((patient, min(day, -1) if planned < 0 else day, count, volume, new))
            last = day
    mri = pd.DataFrame(rows, columns=["patient", "day", "gd_count", "gd_volume", "new_t2"])
    return cohort_of(mri, {p: "old" if p % 2 else "new" for p in range(1, 41)}, name="made up")


def nearest(cohort, patient, column, point, tolerance=91):
    """The scan that stands for a time point, in plain Python."""
    points = [-365, 0, 365, 730]
    scans = []
    for row in cohort.mri.itertuples():
        value = getattr(row, column)
        if row.patient != patient or np.isnan(value):
            continue
        allowed = [p for p in points if (p <= 0) == (row.day <= 0)]
        if min(allowed, key=lambda p: (abs(row.day - p), p)) == point and abs(row.day - point) <= tolerance:
            scans.append((abs(row.day - point), row.day, value))
    return min(scans)[2] if scans else None


class TestScans:
    def test_brute_force(self, made_up):
        frame = mri_activity(made_up).to_frame().set_index(["measure", "group", "at"])
        patients = made_up.patients
        for arm in ("old", "new"):
            members = patients.loc[patients["arm"] == arm, "patient"]
            for at, point in ((-1, -365), (0, 0), (1, 365), (2, 730)):
                found = [nearest(made_up, patient, "gd_count", point) for patient in members]
                values = [value for value in found if value is not None]
                row = frame.loc[("gd_count", arm, at)]
                assert row["patients"] == len(members) == 20
                assert (row["scanned"], row["not_scanned"]) == (len(values), 20 - len(values))
                assert row["free"] == sum(value == 0 for value in values)
                assert row["share"] == pytest.approx(row["free"] / len(values))
                assert row["mean"] == pytest.approx(np.mean(values))
                assert row["median"] == np.median(values)
                limits = proportion_confint(int(row["free"]), len(values), method="wilson")
                assert (row["lower"], row["upper"]) == pytest.approx(limits)

    def test_a_scan_after_the_start_is_no_baseline(self):
        mri = pd.DataFrame({"patient": [1, 1], "day": [5, 300], "gd_count": [4, 0]})
        frame = mri_activity(cohort_of(mri), at=(0, 1)).to_frame()
        assert frame["scanned"].tolist() == [0, 1]
        assert np.isnan(frame["share"].iloc[0])

    def test_nobody_scanned_and_values_not_read(self):
        mri = pd.DataFrame(
            {"patient": [1, 1], "day": [0, 365], "gd_count": [None, 0], "gd_volume": [2.5, None]}
        )
        frame = mri_activity(cohort_of(mri), at=(0, 1)).to_frame()
        assert frame[["measure", "scanned"]].to_numpy().tolist() == [
            ["gd_count", 0], ["gd_count", 1], ["gd_volume", 1], ["gd_volume", 0],
        ]  # fmt: skip


class TestAgainstBaseline:
    def test_each_test_is_the_signed_rank_test_of_its_pairs(self, made_up):
        tests = mri_activity(made_up).tests
        assert tests[["measure", "group", "later"]].drop_duplicates().shape[0] == 8
        patients = made_up.patients
        for row in tests.itertuples():
            members = patients.loc[patients["arm"] == row.group, "patient"]
            pairs = [
                (nearest(made_up, p, row.measure, 0), nearest(made_up, p, row.measure, 365 * int(row.later)))
                for p in members
            ]
            both = [(a, b) for a, b in pairs if a is not None and b is not None]
            change = np.array([b - a for a, b in both])
            expected = signed_rank(change)
            assert (row.estimate, row.interval_lower, row.interval_upper, row.p_value) == (
                expected.estimate, expected.lower, expected.upper, expected.p_value,
            )  # fmt: skip
            assert (row.pairs, row.neither) == (len(both), sum(a is None and b is None for a, b in pairs))
            assert row.no_baseline == sum(a is None and b is not None for a, b in pairs)
            assert (row.higher, row.same, row.lower) == (
                (change > 0).sum(), (change == 0).sum(), (change < 0).sum(),
            )  # fmt: skip
            assert row.baseline_mean == pytest.approx(np.mean([a for a, _ in both]))
        np.testing.assert_array_equal(tests["p_holm"], holm(tests["p_value"].to_numpy()))
        assert (tests["family"] == 8).all()

    def test_untied_changes_agree_with_scipy(self):
        rng = np.random.default_rng(1)
        before, after = rng.gamma(2, 100, 15), rng.gamma(2, 60, 15)
        mri = pd.DataFrame(
            {
                "patient": np.tile(np.arange(15), 2),
                "day": np.repeat([0, 365], 15),
                "gd_volume": np.append(before, after),
            }
        )
        tests = mri_activity(cohort_of(mri), at=(0, 1)).tests
        assert tests["p_value"].iloc[0] == pytest.approx(
            stats.wilcoxon(after - before, method="exact").pvalue
        )

    def test_without_a_baseline_nothing_is_tested(self, made_up):
        result = mri_activity(made_up, at=(1, 2))
        assert result.tests.empty
        assert "Hodges-Lehmann" not in str(result)

    def test_says_why_there_is_no_test(self):
        mri = pd.DataFrame({"patient": [1, 1, 2], "day": [0, 365, 0], "gd_count": [0, 0, 1]})
        result = mri_activity(cohort_of(mri), at=(0, 1, 2))
        assert result.tests["reason"].tolist() == [
            "all 1 differences are 0, so no rank has a sign", "there are no pairs",
        ]  # fmt: skip
        assert "there are no pairs" in str(result)


class TestNewLesions:
    def test_by_hand(self):
        mri = pd.DataFrame(
            {
                "patient": [1, 1, 1, 1, 2, 2, 3],
                "day": [-365, 0, 100, 500, 0, 365, 10],
                "new_t2": [None, 3, None, 2, 1, 4, 2],
            }
        )
        result = mri_activity(cohort_of(mri), windows=(-1, 0, 1), at=(0, 1))
        new = result.new_t2
        # patient 1: 365 days to day 0 (middle −182); day 500 is compared with day 100 (middle 300). Patient 2: 365 (183).
        assert new["lesions"].tolist() == [3, 6]
        np.testing.assert_allclose(new["years"] * 365.25, [365, 400 + 365])
        assert new["scans"].tolist() == [1, 2]
        assert new["observed"].tolist() == [1, 2]
        assert "2 of 5 scans with new T2 lesions have no scan before" in str(result)

    def test_rates_are_those_of_patients_sums(self, made_up):
        new = mri_activity(made_up, windows=(0, None)).new_t2
        paired = scan_intervals(made_up.mri).query("exposure > 0 and middle >= 0")
        sums = paired.groupby("patient")[["new_t2", "exposure"]].sum()
        arm = made_up.patients.set_index("patient")["arm"].cat.codes[sums.index]
        expected = group_rates(sums["new_t2"], sums["exposure"], arm, groups=2)
        np.testing.assert_allclose(new["rate"], expected.rate)
        np.testing.assert_allclose(new[["lower", "upper"]], np.column_stack([expected.lower, expected.upper]))
        assert new["end"].tolist() == [np.inf, np.inf]

    def test_scans_outside_the_windows_and_compared_across_time_0_are_counted(self):
        mri = pd.DataFrame({"patient": [1, 1, 1], "day": [-30, 200, 2000], "new_t2": [None, 2, 1]})
        text = str(mri_activity(cohort_of(mri), at=(0, 1)))
        assert "1 of 2 scans with new T2 lesions lie outside the windows" in text
        assert "1 of 2 are compared with a scan before time 0" in text

    @pytest.mark.parametrize("windows", [(1, 0), (0,), (None, 1), (0, None, 2), (0, 0)])
    def test_windows_must_ascend(self, made_up, windows):
        with pytest.raises(ValueError, match="windows must be at least two ascending times"):
            mri_activity(made_up, windows=windows)


class TestResult:
    def test_prints_no_identifier_and_fits_the_page(self, made_up):
        text = str(mri_activity(made_up))
        assert "MRI activity by arm, cohort 'made up'" in text
        assert "not the effect of the drug" in text
        assert max(map(len, text.splitlines())) <= 112

    def test_row_order_does_not_matter(self, made_up):
        shuffled = made_up.mri.drop(columns="years").sample(frac=1, random_state=1)
        arms = made_up.patients.set_index("patient")["arm"].astype(str).to_dict()
        again = mri_activity(cohort_of(shuffled, arms))
        one = mri_activity(made_up).to_frame().sort_values(["measure", "group", "at"], ignore_index=True)
        two = again.to_frame().sort_values(["measure", "group", "at"], ignore_index=True)
        pd.testing.assert_frame_equal(one, two)

    def test_small_cells_are_hidden(self, made_up):
        result = mri_activity(made_up, suppress_below=5)
        frame, whole = result.to_frame(), mri_activity(made_up).to_frame()
        for column in ("not_scanned", "free"):
            small = whole[column].between(1, 4)
            assert small.any()
            assert frame.loc[small, column].isna().all()
        left = whole["not_scanned"].between(1, 4)
        assert frame.loc[left, "scanned"].isna().all()  # the arm's size minus one is the other
        having = whole["scanned"] - whole["free"]
        assert frame.loc[having.between(1, 4), "free"].isna().all()
        tests = result.tests
        counts = ["pairs", "no_baseline", "no_later", "neither", "higher", "same", "lower"]
        assert not tests[counts].isin([1, 2, 3, 4]).any(axis=None)

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"tolerance": 0}, "positive number of years"), ({"at": (0, 0)}, "one day twice"), ({"ci": 2}, "ci must be"),
         ({"interval": "x"}, "interval must be"), ({"by": "x"}, "by must be a column")],
    )  # fmt: skip
    def test_bad_options_are_named(self, made_up, options, message):
        with pytest.raises(ValueError, match=message):
            mri_activity(made_up, **options)

    def test_needs_an_mri_table(self):
        cohort = read_cohort(pd.DataFrame({"patient": [1], "day": [0], "edss": [2.0]}))
        with pytest.raises(ValueError, match="no MRI table"):
            mri_activity(cohort)


@pytest.mark.parametrize(("count", "n"), [(0, 5), (5, 5), (12, 35), (1, 400)])
def test_wilson_equals_statsmodels(count, n):
    for ci in (0.9, 0.95):
        expected = proportion_confint(count, n, alpha=1 - ci, method="wilson")
        assert [float(limit) for limit in wilson_limits(count, n, ci)] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(wilson_limits(0, 0)).all()
