from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank_search import Document, InvalidFilterError
from rerank_search.storage.attributes import typed
from rerank_search.storage.globs import globbed
from rerank_search.stores import Store, open_store
from rerank_search.stores.postgres.exact_json import exact_json, has_nul
from tests.any_filters import FILTERS, METADATA, matches
from tests.postgres import Postgres

NUMBERS = [
    *(2**53 - 1, 2**53, float(2**53), 2**53 + 1, 2**53 + 2, -(2**53) - 1, -float(2**53) - 2),
    *(2**60, 2.0**60, 1152921504606847000, 10**23, 1e23, 99999999999999991611392),
    *(2**63 - 1, 2**63, 2.0**63, 2**63 + 1, -(2**63), -(2**63) - 1, -(2.0**63), 2**64 + 1),
    *(10**308, 1e308, 10**400, -(10**400), 1.7976931348623157e308, 5e-324, 1e-300, 0.1, 1e16),
    *(1, 1.0, True, -0.0, 0),
]


@pytest.fixture(scope="module")
def store(postgres: Postgres) -> Iterator[Store]:
    with open_store(postgres.url(table="filtered"), dimension=0, create=True) as store:
        yield store


def filled(store: Store, metadata: Sequence[Mapping[str, Any]]) -> None:
    store.delete(map(str, range(100)))
    store.add(Document(f"{i}", "a boat", metadata=each) for i, each in enumerate(metadata))


def allowed(store: Store, filter: Mapping[str, Any]) -> set[str]:
    [hits] = store.retriever("text").retrieve(["boat"], 100, filter=filter)
    return {hit.id for hit in hits}


def meant(metadata: Sequence[Mapping[str, Any]], filter: Mapping[str, Any]) -> set[str]:
    return {str(i) for i, each in enumerate(metadata) if matches(each, filter)}


def without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, Mapping):
        return {without_nul(key): without_nul(member) for key, member in value.items()}
    return [without_nul(member) for member in value] if isinstance(value, list) else value


@given(st.lists(METADATA.map(without_nul), min_size=1, max_size=6), st.lists(FILTERS, max_size=4))
def test_any_filter_allows_what_it_means(store: Store, metadata, filters):
    filled(store, metadata)
    for filter in filters:
        assert allowed(store, filter) == meant(metadata, filter), filter


def test_numbers_beyond_64_bits_and_floats_compare_as_in_an_index(store: Store):
    filled(store, [{"n": number} for number in NUMBERS])
    # Integers beyond 64 bits count as floats.
    compared = [{"n": value if kind == "number" else True} for kind, value in map(typed, NUMBERS)]
    for number in [*NUMBERS, float("inf"), -float("inf")]:
        counts_as = number if number is True else typed(number)[1]
        for sign in ["$eq", *(["$lt", "$lte", "$gt", "$gte"] if number is not True else [])]:
            expected = meant(compared, {"n": {sign: counts_as}})
            assert allowed(store, {"n": {sign: number}}) == expected, (sign, number)
        several = {"n": {"$in": [number] * 9}}  # which no index is asked for
        assert allowed(store, several) == meant(compared, {"n": counts_as}), number


def test_metadata_comes_back_as_it_was(store: Store):
    filled(store, [{"n": number} for number in NUMBERS])
    found = store.documents([str(place) for place in range(len(NUMBERS))])
    for number, document in zip(NUMBERS, found, strict=True):
        assert document is not None
        assert document.metadata == {"n": number}
        assert type(document.metadata["n"]) is type(number)


def test_texts_compare_with_a_text_that_cannot_be_stored(store: Store):
    metadata = [{"t": text} for text in ("", "a", "a\x01", "b", "\U0001f600")]
    filled(store, metadata)
    for bound in ("a\0", "a\0b", "\0", "a"):
        for sign in ("$lt", "$lte", "$gt", "$gte", "$eq", "$prefix", "$contains", "$glob"):
            filter = {"t": {sign: bound}}
            assert allowed(store, filter) == meant(metadata, filter), filter


def test_nothing_but_globs_is_special_in_a_pattern(store: Store):
    patterns = [
        "***:a",
        "(?i)A",
        "a{2}",
        "^a$",
        "[^a]",
        "[]a]",
        "[!]a]",
        "[a-]",
        "[\\d]",
        "\\",
        "a|b",
    ]
    texts = ["a", "A", "aa", "]", "-", "^", "\\", "5", "d", "a|b", "b", "\n", "", *patterns]
    filled(store, [{"t": text} for text in texts])
    for pattern in patterns:
        found = allowed(store, {"t": {"$glob": pattern}})
        assert found == {str(i) for i, text in enumerate(texts) if globbed(text, pattern)}, pattern


def test_many_conditions_are_possible_and_too_many_are_refused(store: Store):
    filled(store, [{"n": 1}, {"n": 2}])
    for count in (100, 6_000):
        filter = {"$or": [{"n": number} for number in range(2, count)]}
        if count == 100:
            assert allowed(store, filter) == {"1"}
        else:
            with pytest.raises(InvalidFilterError, match="use \\$in for values of one key"):
                allowed(store, filter)
    assert allowed(store, {"n": {"$in": list(range(2, 70_000))}}) == {"1"}
    deep: dict[str, Any] = {"n": 1}
    for _ in range(20):
        deep = {"$not": {"$and": [deep, {"n": {"$exists": True}}]}}
    assert allowed(store, deep) == meant([{"n": 1}, {"n": 2}], deep)


def test_metadata_that_others_wrote_is_filtered_too(postgres: Postgres):
    written = [
        '{"n": 1e2}',
        '{"n": 2.50}',
        "[1]",
        '"n"',
        "5",
        "null",
        '["n"]',
        None,
        '{"n": [1e0]}',
    ]
    postgres.run("CREATE TABLE others (id int PRIMARY KEY, text text, metadata jsonb)")
    postgres.run(f"GRANT ALL ON others TO {postgres.owner}")
    for number, metadata in enumerate(written):
        postgres.run("INSERT INTO others VALUES (%s, 'a boat', %s)", [number, metadata])
    with open_store(postgres.url(table="others")) as store:
        read = store.documents([str(number) for number in range(len(written))])
        metadata = [document.metadata for document in read if document is not None]
        for filter in (
            {"n": 100}, {"n": 2.5}, {"n": 1}, {"n": {"$exists": True}}, {"n": {"$exists": False}},
            {"n": {"$ne": 1}}, {"$not": {"n": {"$lt": 50}}}, {"$.n.a": {"$exists": False}},
        ):  # fmt: skip
            assert allowed(store, filter) == meant(metadata, filter), filter


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ('{"a": 1e+23}', '{"a": 99999999999999991611392.0}'),
        ('{"a": [1e+16, -1.5e+300, 1e-05]}', None),
        (r'{"1e+23": "1e+23 \" 1e+23"}', r'{"1e+23": "1e+23 \" 1e+23"}'),
        ("{}", "{}"),
    ],
)
def test_large_floats_are_written_with_all_digits(written: str, stored: str | None):
    exact = exact_json(written)
    assert json.loads(exact) == json.loads(written)
    assert "e+" not in exact or stored == written
    assert stored is None or exact == stored


def test_only_real_nul_characters_are_found():
    assert has_nul(json.dumps({"a": "b\0"}))
    assert has_nul(json.dumps({"a\0": 1}))
    assert has_nul(json.dumps("\\\0"))
    assert not has_nul(json.dumps({"a": "\\u0000"}))
    assert not has_nul(json.dumps("\\\\u0000"))
