import pandas as pd
import pytest

from trajectories.reading.schemas import schema_problems
from trajectories.tables import STANDARD_COLUMNS, CohortError, Table, nearest, raise_problems

TABLE = Table(
    name="visits",
    source="v.csv; the header is line 1",
    row_word="line",
    rows=[2, 3, 7],
    frame=pd.DataFrame({"patient": ["a", None, "b"], "score": [1, 2, "x"]}),
)


def test_a_problem_names_table_column_rows_values_and_remedy():
    said = TABLE.problem(
        "score",
        "value{s} {is} odd.",
        "mend {it}.",
        pd.Series([False, True, True]).to_numpy(),
        TABLE.frame["score"],
        ["", "see line 2", "see line 3"],
    )
    assert said == (
        "visits (v.csv; the header is line 1), column 'score': 2 values are odd.\n"
        "  line 3: 2: see line 2\n"
        "  line 7: 'x': see line 3\n"
        "  What to do: mend them."
    )


def test_a_problem_of_the_whole_table():
    assert TABLE.problem(None, "it is odd.", "mend it.") == (
        "visits (v.csv; the header is line 1): it is odd.\n  What to do: mend it."
    )


def test_problems_are_raised_together_or_not_at_all():
    raise_problems([])
    with pytest.raises(CohortError, match=r"^one$"):
        raise_problems(["one"])
    with pytest.raises(CohortError, match=r"^2 problems with the tables\.\none\ntwo$"):
        raise_problems(["one", "two"])


@pytest.mark.parametrize(
    ("name", "existing", "expected"),
    [
        ("edss", ["EDSS", "id"], "EDSS"),
        ("patient", ["Patient_ID", "day"], "Patient_ID"),
        ("date", ["VisitDate", "x"], "VisitDate"),
        ("edss", ["edss_total_score_at_visit"], "edss_total_score_at_visit"),
        ("patient", ["subject"], None),
        ("patient", [], None),
    ],
)
def test_nearest(name, existing, expected):
    assert nearest(name, existing) == expected


def test_the_schema_checks_what_was_parsed():
    parsed = pd.DataFrame({"patient": ["a", None, "b"], "edss": [2.0, 0.5, None]})
    table = Table(name="visits", source="s", row_word="line", rows=[2, 3, 4], frame=parsed)
    first, second = sorted(schema_problems(table, parsed))
    assert first.startswith("visits (s), column 'edss': 1 value is not on the EDSS scale.\n  line 3: 0.5\n")
    assert second.startswith("visits (s), column 'patient': 1 row has no patient.\n  line 3\n")
    assert schema_problems(table, parsed.iloc[[0, 2]].reset_index(drop=True)) == []


def test_every_table_has_a_patient():
    assert all("patient" in columns for columns in STANDARD_COLUMNS.values())
