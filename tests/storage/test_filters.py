"""Filters against a simple matcher that follows the documentation."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rerank_search.errors import InvalidFilterError
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.filters import compile_filter
from rerank_search.storage.globs import fixed_beginning, globbed
from rerank_search.storage.passages import whole
from rerank_search.storage.records import checked
from rerank_search.types import Document
from tests.any_filters import FILTERS, METADATA, globs, matches


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
        assert [int(each.id) for each in store.find(filter, "", 10)] == expected, filter


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    text=st.text("ab-]!^\n\0é\U0001f600", max_size=6),
    pattern=st.text("ab*?[]!-^\\\n\0é&~|", max_size=8),
)
def test_a_glob_matches_what_the_plain_matcher_matches(text: str, pattern: str) -> None:
    assert globbed(text, pattern) is globs(text, pattern)
    assert not globbed(text, pattern) or text.startswith(fixed_beginning(pattern))


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*", ["", "a", "a\nb", "\0"], []),
        ("*.md", ["a.md", "x/a.md", ".md"], ["a.MD", "a.md5"]),
        ("a?", ["ab", "a\n", "a\U0001f600", "aé"], ["a", "abc", "ae\u0301"]),
        ("[a-c]x", ["ax", "cx"], ["dx", "Ax", "-x"]),
        ("[!a-c]", ["d", "\n"], ["a", ""]),
        ("[]]", ["]"], ["["]),
        ("[*]", ["*"], ["a"]),
        ("a[", ["a["], ["a"]),
        ("[z-a]", [], ["z", "a", ""]),
        ("\\*", ["\\", "\\x"], ["*"]),
    ],
)
def test_what_a_pattern_means(
    store: DocumentStore, pattern: str, matching: list[str], other: list[str]
) -> None:
    fill(store, *({"of": {"file": text}} for text in [*matching, *other]))
    assert found(store, {"$.of.file": {"$glob": pattern}}) == [*range(len(matching))]


def test_many_stars_take_no_long_time(store: DocumentStore) -> None:
    fill(store, {"a": "a" * 3000})
    assert found(store, {"a": {"$glob": "*a" * 499 + "*b"}}) == []


@pytest.mark.parametrize("end", ["", "a", "\ud7ff", "\U0010ffff", "a\U0010ffff", "\0"])
def test_a_prefix_may_end_in_any_character(store: DocumentStore, end: str) -> None:
    rest = ["", "\0", "a", "\ue000", "\U0010ffff"]
    others = [f"{end[:-1]}\x01", "\ue000", "b", "é"]
    fill(store, *({"a": end + each} for each in rest), *({"a": each} for each in others))
    expected = [
        i for i, each in enumerate([end + r for r in rest] + others) if each.startswith(end)
    ]
    assert found(store, {"a": {"$prefix": end}}) == expected


def test_an_empty_filter_allows_every_document(store: DocumentStore) -> None:
    fill(store, {}, {"a": 1})
    assert found(store, {}) == [0, 1]


def test_a_list_of_a_hundred_thousand_values_is_no_problem(store: DocumentStore) -> None:
    fill(store, {"n": 5}, {"n": 5.5}, {"n": "5"}, {"n": -1})
    assert found(store, {"n": {"$in": [*range(100_000), 5.5]}}) == [0, 1]
    assert found(store, {"n": {"$in": [str(i) for i in range(100_000)]}}) == [2]


@pytest.mark.parametrize("operands", [[1, 2], [1, 2.5], ["a", "b"], ["a", "b\0"]])
def test_a_list_of_values_is_looked_up_in_the_table_of_values(
    store: DocumentStore, tmp_path: Path, operands: list[Any]
) -> None:
    condition = compile_filter({"n": {"$in": operands}})
    query = f"EXPLAIN QUERY PLAN SELECT id FROM passages WHERE {condition.sql}"
    with closing(sqlite3.connect(tmp_path / "documents.sqlite")) as connection:
        plan = " ".join(row[3] for row in connection.execute(query, condition.parameters))
    assert "key=? AND kind=? AND value=?" in plan


def test_more_than_a_thousand_conditions_are_no_problem(store: DocumentStore) -> None:
    fill(store, {"n": 5}, {"n": 5000}, {"m": 1})
    assert found(store, {"$or": [{"n": i} for i in range(1200)]}) == [0]
    assert found(store, {"$and": [{"n": {"$ne": i}} for i in range(1200)]}) == [1, 2]


def test_more_conditions_than_sqlite_takes_are_refused(store: DocumentStore) -> None:
    fill(store, {"n": 0.5})
    with pytest.raises(InvalidFilterError, match="too many conditions"):
        found(store, {"n": {"$in": [i + 0.5 for i in range(300_000)]}})


NESTED_FILTER = {"$.of.by": {"$in": ["Ann", 7]}}
NESTED_METADATA = ({"of": {"by": "Ann"}}, {"of": {"by": 8}}, {"of": [{"by": 7}]}, {"of": "Ann"}, {})


def earlier(path: Path) -> None:
    """Make the store one of an earlier version, which had no values of nested keys."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("DROP TABLE path_values; DROP TABLE path_state")


def written_by_an_earlier_version(path: Path) -> None:
    """Change a document as a version does that knows nothing of nested keys."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """UPDATE documents SET metadata = '{"of": {"by": "Ann"}}' WHERE id = '1';
            UPDATE state SET seq = seq + 1"""
        )


@pytest.mark.parametrize("read_only", [True, False])
def test_nested_keys_are_found_in_a_store_of_an_earlier_version(
    store: DocumentStore, read_only: bool
) -> None:
    fill(store, *NESTED_METADATA)
    store.close()
    earlier(store.path)
    old = DocumentStore(store.path, read_only=read_only)
    assert found(old, NESTED_FILTER) == [0, 2]
    assert found(old, {"$.of.by": {"$ne": "Ann"}}) == [1, 2, 3, 4]
    assert old.filter_warnings(NESTED_FILTER) == []
    assert old.filter_warnings({"$.of.yb": 1}) != []
    if not read_only:
        fill(old, *NESTED_METADATA[:3], {"of": {"by": 7}})
        assert found(old, NESTED_FILTER) == [0, 2, 3]
        assert old.delete(["0"]) == 1
        assert found(old, NESTED_FILTER) == [2, 3]
    old.close()


def test_nested_keys_are_those_that_an_earlier_version_wrote_last(store: DocumentStore) -> None:
    fill(store, *NESTED_METADATA)
    assert found(store, NESTED_FILTER) == [0, 2]
    written_by_an_earlier_version(store.path)
    assert found(store, NESTED_FILTER) == [0, 1, 2]
    store.delete(["0"])
    assert found(store, NESTED_FILTER) == [1, 2]


def test_a_very_long_path_is_found_too(store: DocumentStore) -> None:
    long = "k" * 1000
    fill(store, {"of": {long: 1, "by": 1}}, {"of": {long: 2}})
    assert found(store, {f"$.of.{long}": 1}) == [0]
    assert found(store, {f"$.of.{long}": {"$exists": True}, "$.of.by": {"$exists": False}}) == [1]


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
        ({"$.": 1}, "'$.'"),
        ({"$..a": 1}, "'$..a'"),
        ({"$.a.": 1}, "'$.a.'"),
        ({'$.a"b"': 1}, "path"),
        ({'$."a': 1}, "path"),
        ({'$."a"b': 1}, "path"),
        ({"$.a[0].b": 1}, "need no index"),
        ({'$."\\ud800".b': 1}, "surrogate"),
        ({"$a": 1}, '$."$key"'),
        ({"a": {"$contains": ["x"]}}, "'a'"),
        ({"a": {"$all": "x"}}, "$all"),
        ({"a": {"$all": []}}, "not empty"),
        ({"a": {"$all": [{"b": 1}]}}, "'a'"),
        ({"a": {"$prefix": 1}}, "$prefix"),
        ({"a": {"$glob": None}}, "$glob"),
        ({"a": {"$glob": "*" * 1001}}, "1,000"),
        ({"$.a.b": {"$regex": "x"}}, "$glob"),
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
