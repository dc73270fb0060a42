"""Hidden cells: none small is shown, and none can be had by subtraction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trajectories.suppression import check_limit, hidden_cells


def table_with_sums(cells: list[list[int]]) -> np.ndarray:
    counts = np.array(cells)
    return np.column_stack([counts, counts.sum(axis=1)])


tables = st.integers(1, 4).flatmap(
    lambda columns: st.lists(
        st.lists(st.integers(0, 30), min_size=columns, max_size=columns), min_size=1, max_size=5
    )
)


@given(tables, st.integers(2, 10))
def test_no_small_count_is_shown_and_no_cell_is_hidden_alone(cells: list[list[int]], below: int) -> None:
    counts = table_with_sums(cells)
    hidden = hidden_cells(counts, below)
    shown = counts[~hidden]
    assert not ((shown > 0) & (shown < below)).any()
    assert not (hidden.sum(axis=1) == 1).any()
    if len(counts) > 1:
        assert not (hidden.sum(axis=0) == 1).any()
    assert hidden.any() == ((counts > 0) & (counts < below)).any()


def test_without_a_limit_nothing_is_hidden() -> None:
    assert not hidden_cells([[1, 2, 3]], None).any()


def test_the_smallest_other_cell_goes_along() -> None:
    assert hidden_cells([[3, 40, 12, 55]], 5).tolist() == [[True, False, True, False]]
    assert hidden_cells([[3], [40], [12], [0]], 5).ravel().tolist() == [True, False, True, False]
    assert hidden_cells([[3], [0]], 5).ravel().tolist() == [True, True]


def test_a_single_cell_is_hidden_without_a_partner() -> None:
    assert hidden_cells([[3]], 5).tolist() == [[True]]


@pytest.mark.parametrize("limit", [1, 0, -5, 2.5, True])
def test_limits_that_mean_nothing_are_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="suppress_below must be a whole number from 2 up"):
        check_limit(limit)  # type: ignore[arg-type]
