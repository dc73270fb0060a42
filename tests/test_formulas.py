"""Formulas: terms and matrices, and a refusal, with what to write instead, for whatever would be read as something else."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trajectories as tj
from trajectories import models
from trajectories.formulas import FormulaError, on_treatment, parse, variables

sys.path.insert(0, str(Path(__file__).parent))
from hand_made import tables


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "patient": list("ABCDEF") * 2,
            "edss": np.arange(12) / 2 + 1,
            "years": np.linspace(-1, 4, 12),
            "arm": pd.Categorical(["b", "a", "c"] * 4, categories=["c", "b", "unused", "a"], ordered=True),
            "sex": ["M", "F"] * 6,
            "treated": [True, False, False] * 4,
            "course": np.arange(12),
            "age": rng.normal(40, 10, 12),
        }
    )


# --- what is read ---------------------------------------------------------------------------------------------------


def test_terms_effects_and_columns_are_named(table):
    parsed = parse("edss ~ arm * years + age + (1 + years | patient)", table)
    assert parsed.response == "edss"
    assert parsed.terms == ("arm[b]", "arm[a]", "years", "arm[b]:years", "arm[a]:years", "age")
    assert parsed.effects == ("intercept", "years")
    assert parsed.columns == ("arm", "years", "age")


def test_matrices_hold_what_the_terms_say(table):
    parsed = parse("edss ~ arm * years + (1 + years | patient)", table)
    years, b, a = table["years"], table["arm"] == "b", table["arm"] == "a"
    np.testing.assert_allclose(parsed.matrices.X, np.column_stack([b, a, years, b * years, a * years]))
    np.testing.assert_allclose(parsed.matrices.Z, np.column_stack([np.ones(12), years]))


def test_patient_effects_are_dense_whoever_the_patients_are(table):
    renamed = table.assign(patient=[f"patient {i}" for i in range(12)])
    Z = parse("edss ~ years + (1 + years | patient)", renamed).matrices.Z
    np.testing.assert_array_equal(Z, parse("edss ~ years + (1 + years | patient)", table).matrices.Z)
    assert parse("edss ~ years + (1 | patient)", table.drop(columns="patient")).effects == ("intercept",)


def test_arms_keep_their_order_and_the_first_is_the_reference(table):
    assert parse("edss ~ arm", table).terms == ("arm[b]", "arm[a]")
    turned = table.assign(arm=table["arm"].cat.reorder_categories(["a", "unused", "b", "c"], ordered=True))
    assert parse("edss ~ arm", turned).terms == ("arm[b]", "arm[c]")
    unordered = table.assign(arm=table["arm"].cat.as_unordered())
    assert parse("edss ~ arm", unordered).terms == ("arm[b]", "arm[a]")


def test_the_reference_is_the_first_in_the_alphabet_and_of_yes_no_it_is_no(table):
    for rows in (table, table.iloc[::-1]):
        assert parse("edss ~ sex", rows).terms == ("sex[M]",)
        given = rows.assign(sex=pd.Categorical(rows["sex"], categories=["M", "F"]))
        assert parse("edss ~ sex", given).terms == ("sex[F]",)
        parsed = parse("edss ~ treated", rows)
        assert parsed.terms == ("treated[True]",)
        np.testing.assert_array_equal(parsed.matrices.X[:, 0], rows["treated"])


@given(order=st.permutations(range(11)), by_visit=st.booleans())
@settings(max_examples=25, deadline=None)
def test_the_order_of_the_rows_changes_no_term(order, by_visit):
    seen, people = tables({"old": 6, "new": 5})
    people["course"] = ["SP", "RR", "PP"] * 3 + ["CIS", "RR"]
    seen["mode"] = (["phone", "clinic", "home"] * len(seen))[: len(seen)]
    model = models.GaussianMixed("edss ~ arm + course * years + sex + mode + (1 + sex | patient)")
    plain = model.design(tj.read_cohort(seen, patients=people))
    turned = seen.iloc[::-1] if by_visit else seen
    shuffled = model.design(tj.read_cohort(turned, patients=people.iloc[list(order)]))
    assert shuffled.terms == plain.terms
    assert shuffled.effects == plain.effects
    assert plain.terms[:4] == ("arm[new]", "course[PP]", "course[RR]", "course[SP]")
    rows = [
        sorted(np.column_stack([d.outcome, d.formula.matrices.X, d.formula.matrices.Z]).round(9).tolist())
        for d in (plain, shuffled)
    ]
    assert rows[0] == rows[1]


def test_estimates_do_not_depend_on_the_order_of_the_rows():
    seen, people = tables({"all": 30}, visits=5)
    model = models.GaussianMixed("edss ~ sex * years + (1 | patient)")
    plain, turned = (
        tj.maximise(model, tj.read_cohort(seen, patients=rows)).summary()["estimate"]
        for rows in (people.sort_values("sex"), people.sort_values("sex", ascending=False))
    )
    pd.testing.assert_series_equal(plain, turned, rtol=1e-4)


@pytest.mark.parametrize("kind", ["int64", "int8", "float32", "Int64", "Float64"])
def test_whole_numbers_stay_numbers(table, kind):
    parsed = parse("edss ~ course", table.assign(course=table["course"].astype(kind)))
    assert parsed.terms == ("course",)
    np.testing.assert_array_equal(parsed.matrices.X[:, 0], np.arange(12))


def test_numbers_become_categories_on_request(table):
    parsed = parse("edss ~ C(course)", table.assign(course=[0, 1, 2] * 4))
    assert parsed.terms == ("C(course)[1.0]", "C(course)[2.0]")


def test_arithmetic_stands_inside_i(table):
    parsed = parse("edss ~ I(years - 1) + I(age > 40) + {age / 10} + I((years + 2) * age)", table)
    years, age = table["years"], table["age"]
    np.testing.assert_allclose(
        parsed.matrices.X, np.column_stack([years - 1, age > 40, age / 10, (years + 2) * age])
    )


def test_functions_on_columns(table):
    parsed = parse("edss ~ log(age) + sqrt(age) + exp(years) + log1p(course)", table)
    np.testing.assert_allclose(
        parsed.matrices.X,
        np.column_stack(
            [np.log(table["age"]), np.sqrt(table["age"]), np.exp(table["years"]), np.log1p(table["course"])]
        ),
    )


def test_no_fixed_term_and_no_patient_effect(table):
    nothing = parse("edss ~ (1 | patient)", table)
    assert (nothing.terms, nothing.columns, nothing.matrices.X.shape) == ((), (), (12, 0))
    assert parse("edss ~ 1 + (1 | patient)", table).terms == ()
    fixed = parse("edss ~ years", table)
    assert (fixed.effects, fixed.matrices.Z.shape) == ((), (12, 0))


def test_names_beyond_ascii_and_with_dots(table):
    renamed = table.rename(columns={"age": "âge.initial"})
    assert parse("edss ~ âge.initial + years", renamed).terms == ("âge.initial", "years")


def test_variables_leave_functions_and_the_patient_out():
    text = "edss ~ arm * on_treatment(years, lag=0.5) + bs(age, df=4) + (1 + years | patient)"
    assert variables(text) == ("arm", "years", "age")


# --- time on treatment, splines -------------------------------------------------------------------------------------


def test_on_treatment_is_zero_until_the_lag_is_over():
    np.testing.assert_array_equal(on_treatment([-2.0, 0.0, 0.5, 0.75, 3.0], lag=0.5), [0, 0, 0, 0.25, 2.5])
    np.testing.assert_array_equal(on_treatment([-1.0, 1.0]), [0, 1])


def test_a_knot_at_treatment_start_in_fixed_and_patient_terms(table):
    text = "edss ~ years + on_treatment(years, lag=0.5) + (1 + on_treatment(years, lag=0.5) | patient)"
    parsed = parse(text, table)
    assert parsed.terms == ("years", "on_treatment(years, lag=0.5)")
    assert parsed.effects == ("intercept", "on_treatment(years, lag=0.5)")
    np.testing.assert_allclose(parsed.matrices.Z[:, 1], np.maximum(table["years"] - 0.5, 0))


def test_splines_keep_their_knots_on_new_rows(table):
    parsed = parse("edss ~ bs(years, df=4) + (1 | patient)", table)
    assert len(parsed.terms) == 4
    for rows in (table.iloc[[7]], table.iloc[[3, 1, 5]]):
        np.testing.assert_allclose(parsed.at(rows).X, parsed.matrices.X[rows.index], atol=1e-12)


# --- evaluation on new rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "edss ~ arm * years + (1 + years | patient)",
        "edss ~ arm:years + sex + (1 | patient)",
        "edss ~ arm * sex + treated:years + (1 + treated | patient)",
        "edss ~ scale(age) + center(years) + poly(years, 2) + (1 + bs(years, df=3) | patient)",
        "edss ~ years * arm - arm + on_treatment(years) + (1 | patient)",
    ],
)
def test_new_rows_get_the_same_columns(table, text):
    parsed = parse(text, table)
    for rows in (table.iloc[[4]], table.iloc[[2, 5, 8]], table.iloc[::-1]):
        again = parsed.at(rows)
        np.testing.assert_allclose(again.X, parsed.matrices.X[rows.index], atol=1e-12)
        np.testing.assert_allclose(again.Z, parsed.matrices.Z[rows.index], atol=1e-12)


def test_new_rows_may_be_text_where_the_table_had_categories(table):
    parsed = parse("edss ~ arm * years", table)
    X = parsed.at(pd.DataFrame({"arm": ["a", "c"], "years": [2.0, 2.0], "other": [None, None]})).X
    np.testing.assert_array_equal(X, [[0, 1, 2, 0, 2], [0, 0, 2, 0, 0]])


def test_new_rows_with_an_unknown_category(table):
    parsed = parse("edss ~ arm * years", table)
    with pytest.raises(
        FormulaError, match="'arm' has d, z, which the fitted cohort did not have: it had c, b, a"
    ):
        parsed.at(pd.DataFrame({"arm": ["a", "z", "d"], "years": 1.0}))


def test_new_rows_without_a_column_or_with_a_gap(table):
    parsed = parse("edss ~ arm * years", table)
    with pytest.raises(FormulaError, match="needs the column 'years', which these rows do not have"):
        parsed.at(pd.DataFrame({"arm": ["a"]}))
    with pytest.raises(FormulaError, match="column 'years' has 1 missing values"):
        parsed.at(pd.DataFrame({"arm": ["a", "b"], "years": [1.0, np.nan]}))


def test_new_rows_where_a_term_is_not_defined(table):
    parsed = parse("edss ~ log(age)", table)
    with pytest.raises(FormulaError, match=r"'log\(age\)' of .* is not a number in 2 of 3 rows"):
        parsed.at(pd.DataFrame({"age": [-1.0, 0.0, 30.0]}))


# --- refusals -------------------------------------------------------------------------------------------------------


REFUSED = {
    # outcome
    "years + arm": "needs one outcome on its left",
    "~ years": "needs one outcome on its left",
    "edss ~ years ~ age": "needs one outcome on its left",
    "log(edss) ~ years": "needs one outcome on its left",
    "edss ~ edss + years": "the outcome 'edss' is also on the right",
    "edss ~ log(edss)": "the outcome 'edss' is also on the right",
    # intercepts
    "edss ~ 0 + years": "an intercept cannot be removed",
    "edss ~ years + 0": "an intercept cannot be removed",
    "edss ~ years - 1": "an intercept cannot be removed",
    "edss ~ -1 + years": "an intercept cannot be removed",
    "edss ~ years + (0 + years | patient)": "an intercept cannot be removed",
    "edss ~ years + (years - 1 | patient)": "an intercept cannot be removed",
    # patient effects
    "edss ~ years + (years || patient)": "'||' (uncorrelated patient effects) is not offered",
    "edss ~ years + 1 | patient": "patient effects stand in brackets of their own",
    "edss ~ years + ((1 + years) | patient)": "patient effects stand in brackets of their own",
    "edss ~ years + (1 | sex)": "write '(… | patient)', not '(… | sex)'",
    "edss ~ years + (1 | patient:arm)": "write '(… | patient)', not '(… | patient:arm)'",
    "edss ~ years + patient": "'patient' cannot be a term",
    # operators that formulae drops, with all that follows, or reads as something else
    "edss ~ years + age > 40": "'>' cannot be used between the terms",
    "edss ~ age % 10": "'%' cannot be used between the terms",
    "edss ~ years == 1": "'=' cannot be used between the terms",
    "edss ~ arm[b]": "'[' cannot be used between the terms",
    "edss ~ `years`": "'`' cannot be used between the terms",
    "edss ~ years ^ 2": "'^' cannot be used between the terms",
    "edss ~ years**2": "'**' is not offered",
    "edss ~ arm / years": "write 'arm + arm:years' for 'arm/years'",
    "edss ~ years * 2": "'2' is not a term",
    "edss ~ years + 0.5": "'0.5' is not a term",
    "edss ~ offset(years) + arm": "offset(…) is not offered",
    # names
    "edss ~ yeers": "names 'yeers', which the cohort does not have. Did you mean 'years'? It has: edss, years, arm",
    "edss ~ qqq": "names 'qqq', which the cohort does not have. It has: edss, years",
    "edss ~ fn(years)": "uses 'fn', which is neither a column nor one of on_treatment, log",
    "edss ~ spline(years)": "uses 'spline', which is neither a column nor one of on_treatment",
    # what cannot be read or evaluated
    "edss ~": "cannot be read",
    "edss ~ years +": "cannot be read",
    "edss ~ (years": "cannot be read",
    "edss ~ years)": "closes a bracket that it never opened",
    "edss ~ arm * bs(years, df=4)": "Interaction with 'bs' is not supported",
    "edss ~ bs(years, df=1)": "cannot be evaluated",
    "edss ~ log(years)": "the term 'log(years)' of 'edss ~ log(years)' is not a number in 3 of 12 rows",
    "edss ~ years + (1 + sqrt(years) | patient)": "the term 'sqrt(years)' of",
}


@pytest.mark.parametrize("text", REFUSED)
def test_refusal_says_what_and_where(table, text):
    with pytest.raises(FormulaError, match=re.escape(REFUSED[text])):
        parse(text, table)


def test_missing_values_and_dates_are_refused(table):
    with pytest.raises(FormulaError, match="column 'age' has 2 missing values: leave those rows out first"):
        parse("edss ~ age", table.assign(age=table["age"].where(table["course"] > 1)))
    dated = table.assign(start=pd.Timestamp("2020-01-01"))
    with pytest.raises(FormulaError, match="column 'start' holds dates: turn them into a number"):
        parse("edss ~ start", dated)


def test_a_category_that_does_not_vary_is_refused(table):
    for text in ("edss ~ arm", "edss ~ arm * years", "edss ~ years + (1 + arm | patient)"):
        with pytest.raises(FormulaError, match=re.escape("'arm' is the same (x) in every row: leave it out")):
            parse(text, table.assign(arm="x"))


def test_a_column_cannot_be_called_intercept(table):
    with pytest.raises(FormulaError, match="a column cannot be called 'Intercept'"):
        parse("edss ~ Intercept", table.rename(columns={"age": "Intercept"}))
