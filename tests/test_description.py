"""describe on cohorts made by hand: the counts, both kinds of quartiles, rates, suppression and the print."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from trajectories.cohort import Cohort
from trajectories.description import Description, describe
from trajectories.reading import read_cohort
from trajectories.summaries import pooled_rate, summary


def cohort(*, relapses: bool = True) -> Cohort:
    """Twelve patients on a, eight on b: EDSS, relapses and covariates by formula."""
    visits, onsets, patients = [], [], []
    for k in range(20):
        patient = f"p{k:02d}"
        patients.append(
            {
                "patient": patient,
                "arm": "a" if k < 12 else "b",
                "age": 30.0 + k if k else np.nan,
                "sex": "female" if k % 3 else "male",
                "smoker": bool(k % 2),
                "gadolinium": k % 2,
                "site": f"town {k}",
                "birth": "1980-01-01",
                "start": "2020-01-01",
                "followup_start": "2018-12-01",
                "followup_end": "2022-06-01" if k != 3 else "2020-07-01",
            }
        )
        visits.append({"patient": patient, "date": "2019-12-20", "edss": 2.0 + (k % 5) / 2})
        if k % 4:
            visits.append({"patient": patient, "date": "2020-06-20" if k == 3 else "2021-01-05", "edss": 3.0})
        onsets += [{"patient": patient, "date": f"2019-0{m}-01"} for m in range(2, 2 + 2 * (k % 3), 2)]
        if k == 1:
            onsets.append({"patient": patient, "date": "2020-03-01"})
    return read_cohort(
        pd.DataFrame(visits),
        relapses=pd.DataFrame(onsets) if relapses else None,
        patients=pd.DataFrame(patients),
        name="by hand",
    )


def one(table: pd.DataFrame, **where: object) -> pd.Series:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_numbers_and_categories_at_baseline() -> None:
    table = describe(cohort()).baseline
    age = one(table, variable="age", arm="a")
    assert age[["patients", "n", "missing"]].tolist() == [12, 11, 1]
    assert age["mean"] == pytest.approx(np.mean(np.arange(31, 42)))
    assert age["sd"] == pytest.approx(np.std(np.arange(31, 42), ddof=1))
    sex = one(table, variable="sex", level="male", arm="overall")
    assert sex[["n", "missing", "count"]].tolist() == [20, 0, 7]
    assert sex["percent"] == pytest.approx(35)
    assert one(table, variable="smoker", level="yes", arm="b")["count"] == 4
    assert one(table, variable="gadolinium", level="1", arm="b")["count"] == 4
    assert one(table, variable="edss_baseline", arm="overall")["n"] == 20
    assert one(table, variable="relapses_year_before", arm="overall")["mean"] == pytest.approx(19 / 20)
    assert set(table["arm"]) == {"a", "b", "overall"}
    nobody = cohort().patients.assign(relapses_year_before=0.0)  # still a number, not a category 0/1
    table = describe(replace(cohort(), patients_table=nobody)).baseline
    assert one(table, variable="relapses_year_before", arm="a")["level"] == ""
    followed = one(table, variable="years followed after time 0", arm="b")["mean"]
    assert followed == pytest.approx(883 / 365.25)


def test_what_is_not_summarised_is_named_and_not_shown() -> None:
    description = describe(cohort())
    note = next(note for note in description.notes if note.startswith("Columns not summarised"))
    assert "'site' (text with 20 different values)" in note
    assert "'birth' (a date)" in note
    assert "town" not in str(description)
    assert "p01" not in str(description)


def test_edss_by_time_point_counts_the_missing() -> None:
    table = describe(cohort(), at=(1, 0)).edss
    assert table["at"].tolist() == [0, 1] * 3
    later = one(table, arm="a", at=1.0)
    assert later[["patients", "n", "missing"]].tolist() == [12, 8, 4]
    before = one(table, arm="overall", at=0.0)
    scores = [2.0 + (k % 5) / 2 for k in range(20)]
    assert before["median"] == np.median(scores)
    assert before["q3"] == np.quantile(scores, 0.75)


def test_the_published_median_between_two_levels_is_interpolated() -> None:
    # Zmira 2020 prints 4.8 at one year; no patient has EDSS 4.75.
    of = summary([4.0, 4.5, 5.0, 6.0])
    assert (of["median"], of["q1"], of["q3"]) == (4.75, 4.375, 5.25)
    assert (of["median_observed"], of["q1_observed"], of["q3_observed"]) == (4.5, 4.0, 5.0)
    assert np.isnan(list(summary([np.nan]).values())).all()
    assert np.isnan(summary([3.0])["sd"])


def test_relapses_are_pooled_over_person_years_and_counted_in_complete_windows() -> None:
    table = describe(cohort()).relapses
    before = one(table, arm="overall", start=-1.0)
    assert before[["patients", "observed", "relapses", "complete"]].tolist() == [20, 20, 19, 20]
    assert before["rate"] == pytest.approx(19 / before["person_years"])
    assert before["person_years"] == pytest.approx(20, abs=0.02)
    year_1 = one(table, arm="a", start=0.0)
    assert year_1[["complete", "incomplete", "unobserved", "relapses", "relapse_free"]].tolist() == [
        11,
        1,
        0,
        1,
        10,
    ]
    assert year_1["person_years"] == pytest.approx(11 + 183 / 365.25, abs=0.02)
    year_2 = one(table, arm="a", start=1.0)
    assert year_2[["observed", "unobserved"]].tolist() == [11, 1]
    assert year_2["rate"] == 0
    assert np.isnan(year_2["rate_lower"])
    free = table["relapse_free"] + 0
    assert (free <= table["complete"]).all()


def test_pooled_rate_by_hand() -> None:
    relapses, years = np.array([0, 1, 3, 0]), np.array([1, 1, 0.5, 2])
    rate, lower, upper = pooled_rate(relapses, years)
    assert rate == pytest.approx(4 / 4.5)
    error = np.sqrt(4 / 3 * np.sum((relapses - rate * years) ** 2)) / 4
    from scipy import stats

    assert np.log(upper / rate) == pytest.approx(stats.t.ppf(0.975, 3) * error)
    assert lower * upper == pytest.approx(rate**2)
    assert np.isnan(pooled_rate([0], [0.0])).all()
    assert pooled_rate([0, 0], [1.0, 1.0])[0] == 0


def test_pooled_rate_agrees_with_a_robust_poisson_regression() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(3)
    years = rng.uniform(0.3, 1, 40)
    relapses = rng.poisson(years * rng.gamma(1, 0.8, 40))
    fit = sm.GLM(relapses, np.ones(40), family=sm.families.Poisson(), offset=np.log(years)).fit(
        cov_type="HC0"
    )
    rate, _, upper = pooled_rate(relapses, years)
    assert np.log(rate) == pytest.approx(fit.params[0], rel=1e-8)
    from scipy import stats

    error = np.log(upper / rate) / stats.t.ppf(0.975, 39)
    assert error == pytest.approx(fit.bse[0] * np.sqrt(40 / 39), rel=1e-6)


def test_without_a_relapse_table_rates_are_impossible_and_it_says_so() -> None:
    description = describe(cohort(relapses=False))
    assert description.relapses.empty
    assert "Relapses are not described: the cohort has no relapse table." in description.notes
    assert "not described" in str(description)
    assert describe(cohort(), at=(0,)).relapses.empty
    assert "a window needs two edges" in str(describe(cohort(), at=(0,)))


def small_counts(description: Description, below: int) -> list[int]:
    found: list[int] = []
    for table in (description.baseline, description.edss, description.relapses):
        for column in table.columns[table.dtypes == "Int64"]:
            counts = table[column].dropna()
            found += counts[(counts > 0) & (counts < below)].tolist()
    return found


def test_small_cells_are_hidden_in_frames_and_print() -> None:
    assert small_counts(describe(cohort()), 5)
    hidden = describe(cohort(), suppress_below=5)
    assert small_counts(hidden, 5) == []
    events = one(hidden.relapses, arm="a", start=0.0)
    assert events["relapses"] is pd.NA
    assert np.isnan(events[["rate", "rate_lower", "mean"]].astype(float)).all()
    assert "*: hidden, because fewer than 5" in str(hidden)
    assert hidden.baseline["suppressed"].any()
    assert not any(note in hidden.notes for note in cohort().notes)
    assert not describe(cohort()).baseline["suppressed"].any()


def test_a_small_arm_cannot_be_had_by_subtraction() -> None:
    small = describe(cohort(), suppress_below=9)  # b has 8 patients
    assert small.baseline.loc[small.baseline["arm"] != "overall", "patients"].isna().all()
    age = small.baseline[small.baseline["variable"] == "age"].set_index("arm")
    assert age.loc[["a", "b"], "mean"].isna().all()
    assert np.isfinite(age.loc["overall", "mean"])


@pytest.mark.parametrize("limit", [0, 1, 2.5])
def test_a_limit_that_means_nothing_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="suppress_below"):
        describe(cohort(), suppress_below=limit)  # type: ignore[arg-type]


def test_the_print_fits_and_says_what_a_stranger_needs() -> None:
    text = str(describe(cohort()))
    flat = " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100
    assert repr(describe(cohort())) == text
    assert "within 0.25 years" in flat
    assert "interpolated between neighbouring values" in flat
    assert "person-years" in flat
    for note in cohort().notes:
        assert " ".join(note.split()) in flat
    assert "SIMULATED" not in text
    assert "SIMULATED" in str(describe(replace(cohort(), simulated=True)))


def test_many_long_arms_still_fit() -> None:
    patients = cohort().patients
    arms = [f"peginterferon beta-1a every {k} weeks" for k in range(7)]
    patients["arm"] = pd.Categorical([arms[k % 7] for k in range(20)], categories=arms, ordered=True)
    text = str(describe(replace(cohort(), patients_table=patients)))
    assert max(map(len, text.splitlines())) <= 100
    assert all(arm in text for arm in arms)


def test_an_arm_called_overall_keeps_its_numbers() -> None:
    patients = cohort().patients
    patients["arm"] = patients["arm"].cat.rename_categories({"b": "overall"})
    table = describe(replace(cohort(), patients_table=patients)).edss
    assert table["arm"].unique().tolist() == ["a", "overall", "overall (all arms)"]
    assert one(table, arm="overall", at=0.0)["patients"] == 8


def test_one_patient_without_anything_is_described() -> None:
    lone = read_cohort(pd.DataFrame({"patient": ["x"], "day": [-10], "edss": [np.nan]}))
    description = describe(lone)
    assert description.edss["n"].tolist() == [0, 0, 0, 0]
    assert "nan" not in str(description).replace("finance", "")


def test_row_order_of_the_files_does_not_matter() -> None:
    def shuffled(table: pd.DataFrame) -> pd.DataFrame:
        return table.sample(frac=1, random_state=1)

    visits = pd.DataFrame(
        {"patient": list("aabbcc"), "day": [0, 360] * 3, "edss": [2, 2.5, 3, 3.5, 6, np.nan]}
    )
    pd.testing.assert_frame_equal(
        describe(read_cohort(visits)).edss, describe(read_cohort(shuffled(visits))).edss
    )
