"""Filters against a simple matcher that follows the documentation."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rerank_search.errors import InvalidFilterError
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.passages import whole
from rerank_search.storage.records import checked
from rerank_search.types import Document


def kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return type(value).__name__
    return "number" if isinstance(value, int | float) else type(value).__name__


def equals(value: Any, operand: Any) -> bool:
    members = value if isinstance(value, list) else [value]
    return any(kind(member) == kind(operand) and member == operand for member in members)


def holds(metadata: Mapping[str, Any], key: str, operator: str, operand: Any) -> bool:
    present = key in metadata
    value = metadata.get(key)
    if operator == "$exists":
        return present is operand
    if operator == "$not":
        return not all(holds(metadata, key, name, other) for name, other in operand.items())
    if operator in ("$eq", "$ne"):
        return (present and equals(value, operand)) is (operator == "$eq")
    if operator in ("$in", "$nin"):
        return (present and any(equals(value, one) for one in operand)) is (operator == "$in")
    if not present or kind(value) != kind(operand) or kind(value) not in ("number", "str"):
        return False
    return {
        "$gt": value > operand,
        "$gte": value >= operand,
        "$lt": value < operand,
        "$lte": value <= operand,
    }[operator]


def matches(metadata: Mapping[str, Any], filter: Mapping[str, Any]) -> bool:
    for key, value in filter.items():
        if key == "$and":
            result = all(matches(metadata, part) for part in value)
        elif key == "$or":
            result = any(matches(metadata, part) for part in value)
        elif key == "$not":
            result = not matches(metadata, value)
        elif isinstance(value, Mapping):
            result = all(holds(metadata, key, name, operand) for name, operand in value.items())
        else:
            result = holds(metadata, key, "$eq", value)
        if not result:
            return False
    return True


KEYS = st.sampled_from(["a", "b", "a.b", "$c"])
QUERIED = st.sampled_from(["a", "b", "a.b", "missing"])
TEXTS = st.sampled_from(["", "1", "en", "En", "é", "e\u0301", "true", "a\0b", "a", "\U0001f600"])
NUMBERS = st.sampled_from([0, -0.0, 1, 1.0, 0.1, 0.30000000000000004, -5, 2**53, 2**53 + 1, 1e300])
SCALARS = st.one_of(st.none(), st.booleans(), TEXTS, NUMBERS)
METADATA = st.dictionaries(
    KEYS, st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.just({"nested": 1})), max_size=3
)
OPERATORS = st.one_of(
    st.fixed_dictionaries({}, optional={"$eq": SCALARS, "$ne": SCALARS, "$exists": st.booleans()}),
    st.dictionaries(
        st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), st.one_of(TEXTS, NUMBERS), min_size=1
    ),
    st.dictionaries(st.sampled_from(["$in", "$nin"]), st.lists(SCALARS, max_size=4), min_size=1),
).filter(bool)
FIELDS = st.dictionaries(
    QUERIED,
    st.one_of(SCALARS, OPERATORS, st.fixed_dictionaries({"$not": OPERATORS})),
    max_size=2,
)
FILTERS = st.recursive(
    FIELDS,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"$and": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$or": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"$not": inner}),
    ),
    max_leaves=6,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DocumentStore]:
    store = DocumentStore.create(tmp_path / "documents.sqlite")
    yield store
    store.close()


def fill(store: DocumentStore, *metadata: Mapping[str, Any]) -> None:
    store.put(
        [checked(Document(str(i), "text", metadata=m), i) for i, m in enumerate(metadata)], whole
    )


def found(store: DocumentStore, filter: Mapping[str, Any]) -> list[int]:
    located = store.locate(store.allowed(filter))
    return sorted(int(entry[0]) for entry in located if entry is not None)


@pytest.mark.slow
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(corpus=st.lists(METADATA, max_size=6), filters=st.lists(FILTERS, min_size=1, max_size=8))
def test_a_filter_allows_what_the_plain_matcher_allows(
    store: DocumentStore, corpus: list[dict[str, Any]], filters: list[dict[str, Any]]
) -> None:
    store.delete(list(store.ids()))
    fill(store, *corpus)
    for filter in filters:
        expected = [i for i, metadata in enumerate(corpus) if matches(metadata, filter)]
        assert found(store, filter) == expected, filter


def test_an_empty_filter_allows_every_document(store: DocumentStore) -> None:
    fill(store, {}, {"a": 1})
    assert found(store, {}) == [0, 1]


def test_a_list_of_a_hundred_thousand_values_is_no_problem(store: DocumentStore) -> None:
    fill(store, {"n": 5}, {"n": 5.5}, {"n": "5"}, {"n": -1})
    assert found(store, {"n": {"$in": [*range(100_000), 5.5]}}) == [0, 1]
    assert found(store, {"n": {"$in": [str(i) for i in range(100_000)]}}) == [2]


def test_more_than_a_thousand_conditions_are_no_problem(store: DocumentStore) -> None:
    fill(store, {"n": 5}, {"n": 5000}, {"m": 1})
    assert found(store, {"$or": [{"n": i} for i in range(1200)]}) == [0]
    assert found(store, {"$and": [{"n": {"$ne": i}} for i in range(1200)]}) == [1, 2]


def test_more_conditions_than_sqlite_takes_are_refused(store: DocumentStore) -> None:
    fill(store, {"n": 0.5})
    with pytest.raises(InvalidFilterError, match="too many conditions"):
        found(store, {"n": {"$in": [i + 0.5 for i in range(300_000)]}})


def test_integers_beyond_64_bits_compare_as_floats(store: DocumentStore) -> None:
    fill(store, {"n": 2**70}, {"n": 10**400}, {"n": 1})
    assert found(store, {"n": 2**70}) == [0]
    assert found(store, {"n": {"$gt": 2**69}}) == [0, 1]


def test_the_filter_follows_new_metadata_of_the_same_text(store: DocumentStore) -> None:
    fill(store, {"lang": "en"})
    fill(store, {"lang": "fr"})
    assert found(store, {"lang": "en"}) == []
    assert found(store, {"lang": "fr"}) == [0]


@pytest.mark.parametrize(
    ("filter", "named"),
    [
        ({"$nor": [{"a": 1}]}, "$nor"),
        ({"a": {"$regex": "x"}}, "$regex"),
        ({"a": {}}, "'a'"),
        ({"a": {"b": 1}}, "'b'"),
        ({"$or": []}, "$or"),
        ({"$and": {"a": 1}}, "$and"),
        ({"a": {"$in": "en"}}, "$in"),
        ({"a": {"$gt": None}}, "$gt"),
        ({"a": {"$gt": True}}, "$gt"),
        ({"a": float("nan")}, "nan"),
        ({"a": [1, 2]}, "$in"),
        ({"a": {"$exists": 1}}, "$exists"),
        ({"a": {"$not": 1}}, "$not"),
        ({1: 1}, "1"),
        ({"a": "\ud800"}, "surrogate"),
        ({"\ud800": 1}, "surrogate"),
        ("a", "mapping"),
        ({"$not": "a"}, "mapping"),
    ],
)
def test_what_is_no_filter_is_refused_by_name(
    store: DocumentStore, filter: Any, named: str
) -> None:
    with pytest.raises(InvalidFilterError) as refused:
        store.allowed(filter)
    assert named in str(refused.value)


def test_a_filter_nested_without_end_is_refused(store: DocumentStore) -> None:
    deep: dict[str, Any] = {"a": 1}
    for _ in range(5000):
        deep = {"$not": deep}
    with pytest.raises(InvalidFilterError, match="nested"):
        store.allowed(deep)
