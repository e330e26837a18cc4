from __future__ import annotations

import math
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rerank_search import Index, Searcher
from rerank_search.errors import (
    InvalidDocumentError,
    InvalidInputError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreUnreachableError,
)
from rerank_search.stores import NewStore, open_store
from rerank_search.stores.registry import backend_class
from rerank_search.stores.url import store_url
from rerank_search.testing import check_store
from rerank_search.types import Document
from rerank_search.vectors import EncodedQuery, encoded

lancedb = pytest.importorskip("lancedb", reason="needs the extra lancedb")
pa = pytest.importorskip("pyarrow", reason="needs the extra lancedb")
lance_index = pytest.importorskip("lancedb.index", reason="needs the extra lancedb")


def ids(store: Any, query: str = "path", **options: Any) -> list[str]:
    [hits] = store.retriever("bm25").retrieve([query], 10, **options)
    return [hit.id for hit in hits]


@pytest.mark.slow
def test_a_table_conforms(tmp_path: Path) -> None:
    with open_store(f"lancedb://{tmp_path}/docs?exact=true", create=True, dimension=4) as store:
        assert store.first_stages == ("bm25", "dense", "hybrid")
        check_store(store)


def test_documents_stay_and_are_found_when_a_table_is_opened_again(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    url = f"lancedb://{tmp_path}/docs"
    documents = [
        Document("join", "Joining two paths.", metadata={"n": 2**60, "of": {"x": [1, "y"]}}),
        Document("naïve 東京", "A path.", "title", {"n": 1}),
    ]
    with open_store(url, create=True, encoder=tiny_encoder) as store:
        store.add(documents)
    with open_store(url) as store:
        assert store.encoder is not None
        assert store.documents(["naïve 東京", "join", "x"]) == [documents[1], documents[0], None]
        assert set(ids(store, "paths")) == {"join", "naïve 東京"}
        assert ids(store, "title") == ["naïve 東京"]
        assert ids(store, filter={"n": {"$gt": 2**60 - 1}}) == ["join"]
        assert Searcher(store, reranker=None).search("path").first_stage == "hybrid"


def test_many_values_of_a_filter_do_not_fill_the_stack(tmp_path: Path) -> None:
    with open_store(f"lancedb://{tmp_path}/docs", create=True, dimension=0) as store:
        store.add([Document(str(n), "path", metadata={"n": n}) for n in range(3)])
        assert ids(store, filter={"n": {"$in": list(range(1, 1_000))}}) == ["1", "2"]


def test_many_new_rows_are_added_to_the_text_index(tmp_path: Path) -> None:
    with open_store(f"lancedb://{tmp_path}/docs", create=True, dimension=0) as store:
        table = lancedb.connect(tmp_path).open_table("docs")
        [name] = [each.name for each in table.list_indices()]
        store.add([Document(str(n), "path") for n in range(100)])
        store.add([Document("b", "path")])
        table.checkout_latest()
        assert table.index_stats(name).num_unindexed_rows == 0
        assert len(ids(store)) == 10


def test_patterns_match_as_they_do_in_an_index(tmp_path: Path) -> None:
    values = ["", "a", "ab", "A.b", "\x01", "\x03\x04", "\0x\x02", "a\nb", "é", "東京", "[", "🙂z"]
    patterns = [
        "", "*", "?", "??", "a*", "*b", "[a-z]*", "[!a]*", "[\0-\x05]*", "*[!\0-\x05]", "[z-a]",
        "[!z-a]", "A.b", "[[]", "a?b", "\x03*", "*\x04", "*\x02", "[é東]*", "*z", "[!🙂]*",
    ]  # fmt: skip
    documents = [Document(f"{n:02}", "path", metadata={"v": v}) for n, v in enumerate(values)]
    documents += [Document(f"l{n}", "path", metadata={"v": [v, 1]}) for n, v in enumerate(values)]
    with (
        open_store(f"lancedb://{tmp_path}/docs", create=True, dimension=0) as store,
        Index.create(tmp_path / "index", encoder=None) as index,
    ):
        store.add(documents)
        index.add(documents)
        for pattern in patterns:
            filter = {"v": {"$glob": pattern}}
            [hits] = store.retriever("bm25").retrieve(["path"], 30, filter=filter)
            expected = sorted(document.id for document in index.find(filter))
            assert (pattern, [hit.id for hit in hits]) == (pattern, expected)


@pytest.fixture
def theirs(tmp_path: Path) -> str:
    """A table of others, with columns of all types, and NULLs."""
    schema = pa.schema(
        [
            pa.field("key", pa.int64()),
            pa.field("body", pa.string()),
            pa.field("lang", pa.string()),
            pa.field("year", pa.int32()),
            pa.field("price", pa.float32()),
            pa.field("new", pa.bool_()),
            pa.field("tags", pa.list_(pa.string())),
            pa.field("by", pa.struct([pa.field("name", pa.string())])),
            pa.field("parts", pa.list_(pa.struct([("a", pa.int64()), ("b", pa.float64())]))),
            pa.field("big", pa.uint64()),
            pa.field("raw", pa.binary()),
            pa.field("embedding", pa.list_(pa.float32(), 2)),
        ]
    )
    rows = [
        {
            "key": 7, "body": "join paths", "lang": "en", "year": 2019, "price": 0.5, "new": True,
            "tags": ["a", "b"], "by": {"name": "Ann"}, "raw": b"x", "embedding": [1.0, 0.0],
        },
        {
            "key": 10, "body": "a path", "lang": "it's", "year": 2024, "price": math.nan,
            "embedding": [0.6, 0.8], "big": 2**63,
        },
        {"key": 9, "body": "no path", "tags": [], "by": {"name": None}, "embedding": [0.0, 2.0]},
    ]  # fmt: skip
    table = lancedb.connect(tmp_path).create_table("docs", pa.Table.from_pylist(rows, schema))
    table.create_index("body", config=lance_index.FTS())
    return f"lancedb://{tmp_path}/docs?id=key&text=body"


def test_a_table_of_others_has_its_columns_as_metadata(theirs: str, tmp_path: Path) -> None:
    with open_store(theirs) as store:
        assert store.first_stages == ("bm25", "dense", "hybrid")
        assert store.dimension == 2
        assert store.documents(["7", "9", "x", "07"]) == [
            Document(
                "7",
                "join paths",
                metadata={
                    "lang": "en", "year": 2019, "price": 0.5, "new": True, "tags": ["a", "b"],
                    "by": {"name": "Ann"},
                },
            ),
            Document("9", "no path", metadata={"tags": [], "by": {}}),
            None,
            None,
        ]  # fmt: skip
        [hits] = store.retriever("dense").retrieve([EncodedQuery("q", [1.0, 0.0])], 3)
        assert [(hit.id, round(hit.score, 6)) for hit in hits] == [("7", 1), ("10", 0.6), ("9", 0)]
        lancedb.connect(tmp_path).open_table("docs").add(
            [{"key": 0, "body": "zeros", "embedding": [0.0, 0.0]}]
        )
        [hits] = store.retriever("dense").retrieve([EncodedQuery("q", [1.0, 0.0])], 5)
        assert [hit.id for hit in hits] == ["7", "10", "9"]
        new = Document("11", "new path", metadata={"year": 2025, "parts": [{"a": 1}, {"b": 2.5}]})
        store.add([encoded(new, [1.0, 1.0])])
        assert store.documents(["11"]) == [new]
        assert store.delete(["7", "8"]) == 1


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"lang": "it's"}, ["10"]),
        ({"lang": {"$ne": "en"}}, ["10", "9"]),
        ({"lang": {"$in": ["en", 1]}}, ["7"]),
        ({"lang": {"$gt": "en"}}, ["10"]),
        ({"lang": {"$prefix": "e"}}, ["7"]),
        ({"lang": {"$contains": "t'"}}, ["10"]),
        ({"lang": {"$glob": "?[!a]"}}, ["7"]),
        ({"lang": {"$glob": "i*[']s"}}, ["10"]),
        ({"year": {"$glob": "*"}}, []),
        ({"lang": {"$exists": False}}, ["9"]),
        ({"lang": None}, []),
        ({"lang": 2019}, []),
        ({"year": 2019.0}, ["7"]),
        ({"year": 2019.5}, []),
        ({"year": "2019"}, []),
        ({"year": {"$gt": 2019.5}}, ["10"]),
        ({"year": {"$lte": 2019.5}}, ["7"]),
        ({"year": {"$lt": 2**63}}, ["10", "7"]),
        ({"year": {"$gt": float("inf")}}, []),
        ({"price": 0.5}, ["7"]),
        ({"price": {"$lt": 0.5000001}}, ["7"]),
        ({"price": {"$gt": 0.1}}, ["7"]),
        ({"price": {"$exists": True}}, ["7"]),
        ({"big": {"$gt": 5}}, ["10"]),
        ({"new": True}, ["7"]),
        ({"new": 1}, []),
        ({"tags": "b"}, ["7"]),
        ({"tags": {"$contains": "b"}}, ["7"]),
        ({"tags": {"$all": ["a", "c"]}}, []),
        ({"tags": {"$exists": True}}, ["7", "9"]),
        ({"tags": {"$gt": "a"}}, []),
        ({"$.by.name": "Ann"}, ["7"]),
        ({"$.by.name": {"$exists": True}}, ["7"]),
        ({"$.by.other": "Ann"}, []),
        ({"raw": "x"}, []),
        ({"none": {"$ne": 1}}, ["10", "7", "9"]),
        ({"$or": [{"year": 2024}, {"new": True}]}, ["10", "7"]),
    ],
)
def test_filters_of_a_table_of_others_are_over_its_columns(
    theirs: str, filter: dict[str, Any], found: list[str]
) -> None:
    with open_store(theirs) as store:
        assert sorted(ids(store, filter=filter)) == found


@pytest.mark.parametrize(
    ("filter", "said"),
    [
        ({"tags": {"$glob": "a*"}}, r"\$glob on a list"),
        ({"tags": None}, "None in a list"),
        ({"tags": {"$prefix": "a"}}, r"\$prefix or \$glob on a list"),
        ({"price": 2**60}, "the number 1152921504606846976"),
        ({"big": 2**63}, "the number 9.22"),
        ({"big": {"$lt": 2**63}}, "the number 9.22"),
    ],
)
def test_what_the_columns_cannot_express_is_refused(
    theirs: str, filter: dict[str, Any], said: str
) -> None:
    with open_store(theirs) as store, pytest.raises(InvalidInputError, match=said):
        ids(store, filter=filter)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (Document("eleven", "x"), "not an integer of the column"),
        (Document("11", "x", metadata={"other": 1}), "no such column"),
        (Document("11", "x", metadata={"by": {"age": 5}}), r"'\$.by.age', and the table has no"),
        (Document("11", "x", metadata={"parts": [{"a": 1}, {"c": 5}]}), r"'\$.parts.c'"),
        (Document("11", "x", metadata={"year": "soon"}), "do not fit the columns"),
        (Document("11", "x", "title"), "no column for it"),
    ],
)
def test_a_document_that_the_columns_cannot_hold_is_refused(
    theirs: str, document: Document, said: str
) -> None:
    with open_store(theirs) as store:
        with pytest.raises(InvalidDocumentError, match=said):
            store.add([encoded(Document("12", "x"), [1, 0]), encoded(document, [1, 0])])
        assert len(store) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("&id=other", "no column 'other'"),
        ("&title=heading", "no column 'heading'"),
        ("&title=year", "the type int32, and should have strings: name"),
        ("&id=price", "the type float, and should have strings or integers"),
        ("&vector=other", "no vector 'other'"),
        ("&searched=lang", "no full-text index on the column 'lang'"),
    ],
)
def test_a_column_that_is_missing_is_named(theirs: str, options: str, said: str) -> None:
    url = theirs.replace("?id=key", "?") if "&id" in options else theirs
    with pytest.raises(StoreMismatchError, match=said):
        open_store(url.replace("?&", "?") + options)


@pytest.mark.parametrize(
    ("kind", "id", "unknown"),
    [(pa.uint64(), 2**64 - 1, "-1"), (pa.int8(), 127, "128"), (pa.int32(), -5, str(2**31))],
)
def test_ids_may_be_integers_of_any_size(tmp_path: Path, kind: Any, id: int, unknown: str) -> None:
    schema = pa.schema([("id", kind), ("text", pa.string())])
    rows = pa.Table.from_pylist([{"id": id, "text": "a path"}], schema)
    lancedb.connect(tmp_path).create_table("docs", rows)
    with open_store(f"lancedb://{tmp_path}/docs") as store:
        assert store.documents([str(id), unknown]) == [Document(str(id), "a path"), None]
        with pytest.raises(InvalidDocumentError, match="not an integer of the column"):
            store.add([Document(unknown, "x")])
        assert store.delete([unknown, str(id)]) == 1


def test_an_index_of_another_distance_is_refused_unless_all_vectors_are_compared(
    tmp_path: Path,
) -> None:
    rows = [{"id": str(n), "text": "path", "vector": [1.0, n / 300]} for n in range(300)]
    schema = pa.schema(
        [
            pa.field("id", pa.string()),
            pa.field("text", pa.string()),
            pa.field("vector", pa.list_(pa.float32(), 2)),
        ]
    )
    table = lancedb.connect(tmp_path).create_table("docs", rows, schema=schema)
    table.create_index("vector", config=lance_index.IvfFlat(distance_type="dot", num_partitions=1))
    with pytest.raises(StoreMismatchError, match="dot in its index"):
        open_store(f"lancedb://{tmp_path}/docs")
    with open_store(f"lancedb://{tmp_path}/docs?exact=true") as store:
        [hits] = store.retriever("dense").retrieve([EncodedQuery("q", [1.0, 0.0])], 2)
        assert [(hit.id, round(hit.score, 4)) for hit in hits] == [("0", 1.0), ("1", 1.0)]


def test_an_index_of_vectors_finds_as_many_as_are_asked_for_with_their_cosines(
    tmp_path: Path,
) -> None:
    vectors = np.random.default_rng(3).normal(size=(400, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [{"id": str(n), "text": "path", "n": n, "vector": vectors[n]} for n in range(400)]
    vector = pa.field("vector", pa.list_(pa.float32(), 4))
    schema = pa.schema([("id", pa.string()), ("text", pa.string()), ("n", pa.int64()), vector])
    table = lancedb.connect(tmp_path).create_table("docs", rows, schema=schema)
    table.create_index("text", config=lance_index.FTS())
    index = lance_index.IvfPq(distance_type="cosine", num_partitions=50, num_sub_vectors=2)
    table.create_index("vector", config=index)
    with open_store(f"lancedb://{tmp_path}/docs") as store:
        dense, query = store.retriever("dense"), EncodedQuery("path", vectors[0])
        for k, filter, count in ((400, None, 400), (30, {"n": {"$gt": 380}}, 19)):
            [hits] = dense.retrieve([query], k, filter=filter)
            assert len(hits) == count
            for hit in hits:
                assert hit.score == pytest.approx(
                    float(vectors[int(hit.id)] @ vectors[0]), abs=1e-5
                )
        [hits] = store.stage_scores([query], store.retriever("bm25").retrieve(["path"], 50))
        for hit in hits:
            cosine = float(vectors[int(hit.id)] @ vectors[0])
            assert hit.stage_scores["dense"] == pytest.approx(cosine, abs=1e-5)


def test_a_schema_that_changes_is_an_error(theirs: str, tmp_path: Path) -> None:
    with open_store(theirs) as store:
        lancedb.connect(tmp_path).open_table("docs").drop_columns(["body"])
        with pytest.raises(StoreMismatchError):
            store.documents(["7"])


def test_an_id_that_is_missing_or_that_two_rows_have_is_told(theirs: str, tmp_path: Path) -> None:
    table = lancedb.connect(tmp_path).open_table("docs")
    with open_store(theirs) as store:
        table.add([{"key": 7, "body": "twice"}])
        with pytest.raises(StoreMismatchError, match="several documents with the id '7'"):
            ids(store, "join twice")
        table.add([{"key": None, "body": "missing"}])
        with pytest.raises(StoreMismatchError, match="a row whose column 'key' is NULL"):
            ids(store, "missing")


def test_a_table_that_is_gone_is_not_found(tmp_path: Path) -> None:
    url = f"lancedb://{tmp_path}/new/docs"
    with pytest.raises(StoreNotFoundError):
        open_store(url)
    assert list(tmp_path.iterdir()) == []
    with open_store(url, create=True, dimension=0) as store:
        lancedb.connect(tmp_path / "new").drop_table("docs")
        with pytest.raises(StoreNotFoundError):
            store.documents(["7"])


@pytest.mark.slow
def test_object_storage_that_cannot_be_reached_is_named_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for name, value in {
        "ENDPOINT": address, "ALLOW_HTTP": "true", "REGION": "here",
        "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "very-secret",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)
    with pytest.raises(StoreUnreachableError, match="check the address") as raised:
        open_store("lancedb+s3://bucket/docs?timeout=5&retries=0")
    assert "very-secret" not in str(raised.value)


def test_writes_of_another_process_are_seen(tmp_path: Path) -> None:
    url = f"lancedb://{tmp_path}/docs"
    with open_store(url, create=True, dimension=0) as one, open_store(url) as other:
        one.add([Document("a", "path")])
        assert ids(other) == ["a"]
        other.add([Document("a", "road")])
        assert ids(one) == []


def test_writers_at_the_same_time_write_each_document_once(tmp_path: Path) -> None:
    url = f"lancedb://{tmp_path}/docs"

    def write(number: int) -> None:
        with open_store(url, create=True, dimension=0) as store:
            for batch in range(3):
                store.add([Document("same", f"path {number}"), Document(f"{number} {batch}", "x")])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, range(3)))
    with open_store(url) as store:
        assert len(store) == 10
        assert ids(store) == ["same"]


def test_a_table_that_was_left_without_its_text_index_gets_it(tmp_path: Path) -> None:
    url = f"lancedb://{tmp_path}/docs"
    with open_store(url, create=True, dimension=0) as store:
        store.add([Document("a", "path")])
    table = lancedb.connect(tmp_path).open_table("docs")
    [name] = [each.name for each in table.list_indices()]
    table.drop_index(name)
    with open_store(url) as store:
        assert ids(store) == ["a"]


@pytest.mark.parametrize(
    "url", ["lancedb://", "lancedb:///docs", "lancedb://host/f/docs", "lancedb+s3:///f/docs"]
)
def test_an_address_that_is_not_valid_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="names no table"):
        open_store(url)


def test_a_table_of_ours_has_its_own_columns(tmp_path: Path) -> None:
    url = f"lancedb://{tmp_path}/docs"
    with pytest.raises(InvalidInputError, match="leave out text"):
        open_store(f"{url}?text=body", create=True, dimension=0)
    with pytest.raises(StoreNotFoundError):
        open_store(url)
    with open_store(url, create=True, dimension=0):
        pass
    with pytest.raises(InvalidInputError, match="leave out id"):
        open_store(f"{url}?id=key")


def test_an_unknown_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="language='klingon'"):
        open_store(f"lancedb://{tmp_path}/docs?language=klingon", create=True, dimension=0)


def test_the_encoder_that_another_process_has_recorded_stays(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    url = f"lancedb://{tmp_path}/docs"
    with open_store(url, create=True, encoder=tiny_encoder):
        pass
    address = store_url(url)
    make = backend_class(address.scheme)
    late = make(address, make.Options())
    late.create(NewStore(2, None))  # it saw no table
    late.close()
    with open_store(url) as store:
        assert store.encoder is not None
