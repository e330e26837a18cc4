from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from rerank_search import Document, Index, InvalidFilterError
from rerank_search.plugins.llama_index.filters import index_filter

SCALARS = [None, 0, 1, 2, 1.5, -3.0, "", "a", "ab", "Ab", "ü", "1", "a.b"]
LISTS = [[], ["a"], ["a", "b"], ["ab"], [1, 2], [1.5], "ab", None]
METADATA: dict[str, dict[str, Any]] = {
    "nothing": {},
    **{f"value {i}": {"value": value} for i, value in enumerate(SCALARS)},
    **{f"tags {i}": {"tags": value, "value": 1} for i, value in enumerate(LISTS)},
    "odd keys": {"a.b": 1, "$x": "a", "$.y": "b"},
}
OF_A_VALUE = ["==", "!=", ">", ">=", "<", "<=", "contains"]
VALUES = st.sampled_from([value for value in SCALARS if value is not None])
LISTED = st.lists(st.sampled_from(["", "a", "ab", "b", "x"])) | st.lists(st.sampled_from([0, 1, 2]))


def one(key: str, value: Any, operator: str = "==") -> MetadataFilter:
    return MetadataFilter(key=key, value=value, operator=FilterOperator(operator))


LEAVES = st.one_of(
    st.builds(one, st.just("value"), VALUES, st.sampled_from(OF_A_VALUE)),
    st.builds(one, st.just("value"), LISTED, st.sampled_from(["in", "nin"])),
    st.builds(one, st.just("tags"), VALUES, st.just("contains")),
    st.builds(one, st.just("tags"), LISTED.filter(bool), st.sampled_from(["any", "all"])),
    st.builds(one, st.just("value"), st.sampled_from(["a", "b", "A", ""]), st.just("text_match")),
)
FILTERS = st.recursive(
    LEAVES,
    lambda parts: st.builds(
        MetadataFilters,
        filters=st.lists(parts, min_size=1, max_size=3),
        condition=st.sampled_from([None, *FilterCondition]),
    ),
    max_leaves=5,
)


def allows(given: MetadataFilter | MetadataFilters, metadata: dict[str, Any]) -> bool:
    """Whether LlamaIndex's own filters allow it; those take no nested ones."""
    if isinstance(given, MetadataFilter):
        alone = MetadataFilters(filters=[given])
        try:
            return build_metadata_filter_fn(lambda _: metadata, alone)("")
        except TypeError:  # the kinds of the values differ
            return False
    found = [allows(each, metadata) for each in given.filters]
    if given.condition is FilterCondition.NOT:
        return not any(found)
    return any(found) if given.condition is FilterCondition.OR else all(found)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with Index.create(tmp_path_factory.mktemp("filters") / "index", encoder=None) as index:
        index.add(Document(id, "text", metadata=metadata) for id, metadata in METADATA.items())
        yield index


def found(index: Index, *filters: MetadataFilter | MetadataFilters, **condition: Any) -> list[str]:
    filter = index_filter(MetadataFilters(filters=[*filters], **condition))
    return [each.id for each in index.find(filter, warn=False)]


@given(filters=FILTERS)
def test_it_allows_what_llamaindex_allows(index: Index, filters: MetadataFilter | MetadataFilters):
    expected = [id for id, metadata in sorted(METADATA.items()) if allows(filters, metadata)]
    assert found(index, filters) == expected


def test_a_list_matches_if_one_of_its_members_does(index: Index):
    assert found(index, one("tags", "b")) == ["tags 2"]
    assert found(index, one("tags", ["ab", "x"], "in")) == ["tags 3", "tags 6"]
    assert "tags 2" not in found(index, one("tags", "b", "!="))


def test_a_key_is_taken_literally(index: Index):
    assert found(index, one("a.b", 1), one("$x", "a"), one("$.y", "b")) == ["odd keys"]


@pytest.mark.parametrize("condition", [None, *FilterCondition])
def test_no_conditions_allow_all(index: Index, condition: FilterCondition | None):
    assert found(index, condition=condition) == sorted(METADATA)


@pytest.mark.parametrize(
    ("key", "value", "operator", "reason"),
    [
        ("tags", None, "is_empty", "'is_empty' of 'tags' is not supported, because"),
        ("a", "x", "text_match_insensitive", "store the text in lower case"),
        ("a", None, "==", "'==' of 'a' has None: give one string or number"),
        ("a", ["x"], "==", "one string or number"),
        ("a", ["x"], ">", "one string or number"),
        ("a", ["x"], "contains", "one string or number"),
        ("a", 1, "text_match", "give a string"),
        ("a", "x", "in", "give a list"),
        ("a", None, "nin", "give a list"),
        ("a", "x", "any", "give a list"),
        ("a", [], "all", "a list that is not empty"),
        ("a", float("nan"), "==", "nan"),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(
    index: Index, key: str, value: Any, operator: str, reason: str
):
    with pytest.raises(InvalidFilterError, match=reason):
        found(index, one(key, value, operator))


REFUSED = {FilterOperator.IS_EMPTY, FilterOperator.TEXT_MATCH_INSENSITIVE}
TAKEN = [each for each in FilterOperator if each not in REFUSED]


@pytest.mark.parametrize(
    "operator",
    [each for each in FilterOperator if each not in REFUSED],
    ids=lambda each: each.value,
)
def test_every_other_operator_has_a_counterpart(index: Index, operator: FilterOperator):
    taken = []
    for value in ("a", ["a"]):
        try:
            taken.append(found(index, one("value", value, operator.value)))
        except InvalidFilterError:
            continue
    assert len(taken) == 1
