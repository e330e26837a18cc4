from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search.corpora.lines import typed_value


@pytest.mark.parametrize(
    ("text", "value"),
    [("2020", 2020), ("-3", -3), ("0.5", 0.5), ("true", True), ("false", False), ("os", "os")],
)
def test_numbers_and_truth_values_are_typed(text: str, value: object) -> None:
    assert typed_value(text) == value
    assert type(typed_value(text)) is type(value)


@pytest.mark.parametrize("text", ["007", "3.10", "1e3", "+1", "-0", "", "nan", "1_000", "9" * 5000])
def test_what_a_number_would_lose_stays_text(text: str) -> None:
    assert typed_value(text) == text


@given(st.text(alphabet="0123456789.-+e", max_size=25))
def test_typing_never_loses_a_character(text: str) -> None:
    assert str(typed_value(text)) == text
