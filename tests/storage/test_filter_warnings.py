from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rerank_search.errors import InvalidFilterError
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.passages import whole
from rerank_search.storage.records import checked
from rerank_search.types import Document


def put(store: DocumentStore, *metadata: dict[str, Any]) -> None:
    documents = [Document(str(i), "text", metadata=each) for i, each in enumerate(metadata)]
    store.put([checked(document, i) for i, document in enumerate(documents)], whole)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DocumentStore]:
    store = DocumentStore.create(tmp_path / "documents.sqlite")
    put(
        store,
        {"folder": "man", "lang": "en", "year": 2020, "tags": ["a"], "of": {"by": "x"}},
        {"folder": "doc", "lang": "de", "year": None, "draft": True, "zip": "007"},
    )
    yield store
    store.close()


@pytest.mark.parametrize(
    "filter",
    [
        {},
        {"folder": "man"},
        {"folder": {"$nin": ["man", "other"]}, "year": {"$gte": 3000}},
        {"$or": [{"lang": "en"}, {"$not": {"draft": True}}]},
        {"tags": "a"},
        {"year": None},
        {"year": {"$in": [2020, "2020"]}},
        {"of": {"$exists": True}},
    ],
)
def test_a_filter_over_what_there_is_has_no_warning(store: DocumentStore, filter: Any) -> None:
    assert store.filter_warnings(filter) == []


@pytest.mark.parametrize(
    "filter",
    [
        {"fodler": "man"},
        {"lang": "en", "fodler": {"$gt": "a"}},
        {"fodler": {"$exists": True}},
        {"fodler": {"$not": {"$in": ["man"]}}},
        {"$and": [{"$or": [{"lang": "en"}, {"$not": {"fodler": {"$ne": "man"}}}]}]},
    ],
)
def test_an_unknown_key_is_named_with_those_there_are_the_nearest_first(
    store: DocumentStore, filter: Any
) -> None:
    [warning] = store.filter_warnings(filter)
    assert warning.startswith(
        "no document has the metadata key 'fodler', which the filter names: there are 'folder', "
    )
    assert warning.endswith(" and 2 others")


def test_a_key_with_a_dot_is_told_the_path(store: DocumentStore) -> None:
    [warning] = store.filter_warnings({"of.by": "x"})
    assert "a key inside 'of' is written '$.of.by'" in warning


def test_an_unknown_path_is_named_with_those_there_are(store: DocumentStore) -> None:
    put(store, {"by": [{"nme": "Ann", "a.b": {"é": 1}}], "lang": "en"})
    [warning] = store.filter_warnings({"$.by.name": "Ann"})
    assert warning == (
        "no document has the metadata path '$.by.name', which the filter names: there are "
        "'$.by.nme', '$.by.\"a.b\"', '$.by.\"a.b\".é'"
    )
    [top] = store.filter_warnings({"$.yb.name": "Ann"})
    assert "the metadata key '$.yb.name'" in top
    [flat] = store.filter_warnings({"$.lang.name": "Ann"})
    assert flat.endswith("'lang' has no keys inside it")
    [kind] = store.filter_warnings({"$.by.nme": 5})
    assert "'$.by.nme' with a number" in kind
    assert store.filter_warnings({"$.by.nme": {"$glob": "A*"}}) == []


@pytest.mark.parametrize(
    ("filter", "asked"),
    [
        ({"year": {"$contains": "20"}}, "'year' with a string"),
        ({"year": {"$prefix": "20"}}, "'year' with a string"),
        ({"year": {"$glob": "20*"}}, "'year' with a string"),
        ({"zip": {"$all": ["1", 1]}}, "'zip' with a number"),
    ],
)
def test_operators_of_text_name_the_kind_that_they_compare_with(
    store: DocumentStore, filter: Any, asked: str
) -> None:
    [warning] = store.filter_warnings(filter)
    assert asked in warning


@pytest.mark.parametrize("key", ["id", "title"])
def test_ids_and_titles_are_told_to_be_no_metadata(store: DocumentStore, key: str) -> None:
    [warning] = store.filter_warnings({key: "x"})
    assert "ids, titles and texts are not metadata" in warning


@pytest.mark.parametrize(
    ("filter", "asked", "there"),
    [
        ({"zip": 7}, "'zip' with a number", "its values are strings"),
        ({"year": {"$gte": "2020"}}, "'year' with a string", "its values are null or numbers"),
        ({"draft": "true"}, "'draft' with a string", "its values are true or false"),
        ({"folder": {"$in": [1, 2]}}, "'folder' with a number", "its values are strings"),
        ({"lang": None}, "'lang' with null", "its values are strings"),
        ({"of": "x"}, "'of' with a string", "its values are lists or mappings"),
    ],
)
def test_a_kind_of_value_that_no_document_has_is_named(
    store: DocumentStore, filter: Any, asked: str, there: str
) -> None:
    [warning] = store.filter_warnings(filter)
    assert asked in warning
    assert there in warning


def test_what_an_index_without_documents_has_is_not_asked(tmp_path: Path) -> None:
    store = DocumentStore.create(tmp_path / "empty.sqlite")
    assert store.filter_warnings({"folder": "man"}) == []
    put(store, {})
    [warning] = store.filter_warnings({"folder": "man"})
    assert warning.endswith("no document has any metadata")
    store.close()


def test_a_key_of_a_deleted_document_is_unknown_again(store: DocumentStore) -> None:
    store.delete(["1"])
    [warning] = store.filter_warnings({"draft": True})
    assert "'draft'" in warning


def test_warnings_are_bounded_however_many_and_long_the_keys(tmp_path: Path) -> None:
    store = DocumentStore.create(tmp_path / "many.sqlite")
    put(store, {f"key{i}" + "x" * 500: i for i in range(3_000)})
    found = store.filter_warnings({f"{i}" + "y" * 100_000: 1 for i in range(1_000)})
    store.close()
    assert len(found) == 5
    assert all(len(warning) < 1_000 for warning in found)
    assert all("more than 1,000 others" in warning for warning in found)


def test_an_invalid_filter_is_refused(store: DocumentStore) -> None:
    with pytest.raises(InvalidFilterError):
        store.filter_warnings({"year": {"$over": 2000}})
