from __future__ import annotations

import pytest

from rerank_search import InvalidInputError
from rerank_search.plugins.haystack.metadata_fields import (
    field_types,
    numbers_of_values,
    smallest_and_largest,
    unique_values,
)


def test_lists_and_mappings_are_values_too():
    metadata = [{"a": ["x"]}, {"a": ["x"]}, {"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}]
    assert numbers_of_values(metadata, ["meta.a", "b"]) == {"a": 2, "b": 0}
    with pytest.raises(InvalidInputError, match="give a list of names"):
        numbers_of_values(metadata, "a")
    assert unique_values(metadata, "a", None, 0, 10) == ([["x"], {"c": 2, "b": 1}], 2)


def test_a_field_with_numbers_and_texts_has_no_smallest():
    assert smallest_and_largest([{"a": 1}, {"a": "x"}], "a") == {"min": None, "max": None}
    assert smallest_and_largest([{"a": "y"}, {"a": "x"}], "a") == {"min": "x", "max": "y"}


def test_a_field_without_values_has_no_type():
    assert field_types([{"a": None, "b": []}]) == {"b": {"type": "keyword"}}


def test_case_does_not_matter_in_a_search_term():
    metadata = [{"a": "STRASSE"}, {"a": "weg"}, {"a": 12}]
    assert unique_values(metadata, "meta.a", "straße", 0, 10) == (["STRASSE"], 1)
    assert unique_values(metadata, "a", "1", 0, 10) == ([12], 1)


@pytest.mark.parametrize("page", [(-1, 10), (0, -1), (0.5, 10), (0, True)])
def test_an_invalid_page_is_refused(page):
    with pytest.raises(InvalidInputError):
        unique_values([], "a", None, *page)
