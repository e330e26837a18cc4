"""Milvus Lite, an imitation of the server in Python, and a server where one is named."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rerank_search import Searcher
from rerank_search.errors import (
    InvalidDocumentError,
    InvalidFilterError,
    InvalidInputError,
    StoreAccessError,
    StoreError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreTimeoutError,
    StoreUnreachableError,
)
from rerank_search.stores import NewStore, Store, open_store
from rerank_search.stores.url import store_url
from rerank_search.testing import check_store
from rerank_search.types import Document
from rerank_search.vectors import EncodedQuery, encoded
from tests.any_filters import FILTERS, METADATA, matches

pymilvus = pytest.importorskip("pymilvus", reason="needs the extra milvus")
pytest.importorskip("milvus_lite", reason="needs the extra milvus")
grpc = pytest.importorskip("grpc", reason="needs the extra milvus")

TYPES = pymilvus.DataType


def ids(store: Any, query: str = "path", **options: Any) -> list[str]:
    [hits] = store.retriever("bm25").retrieve([query], 20, **options)
    return [hit.id for hit in hits]


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [0, 4])
def test_milvus_lite_conforms(dimension: int, tmp_path: Path) -> None:
    url = f"milvus://{tmp_path}/x.db/docs"
    with open_store(url, create=True, dimension=dimension) as store:
        assert store.first_stages == (("bm25", "dense", "hybrid") if dimension else ("bm25",))
        check_store(store)


@pytest.mark.slow
def test_a_server_conforms() -> None:
    url = os.environ.get("RERANK_SEARCH_TEST_MILVUS")
    if not url:
        pytest.skip("needs a server: RERANK_SEARCH_TEST_MILVUS=milvus://HOST:19530")
    name = f"rerank_search_test_{uuid4().hex}"
    with open_store(f"{url}/{name}", create=True, dimension=4) as store:
        try:
            check_store(store)
        finally:
            client = pymilvus.MilvusClient(url.replace("milvus", "http", 1).replace("http+", ""))
            client.drop_collection(name)


@pytest.mark.parametrize("index", ["flat", "auto"])
def test_documents_stay_and_are_found_when_a_collection_is_opened_again(
    index: str, tmp_path: Path, tiny_encoder: Path
) -> None:
    url = f"milvus://{tmp_path}/new/x.db/docs"
    documents = [
        Document("join", "Joining two paths.", metadata={"n": 2**60, "of": {"x": [1, "y"]}}),
        Document("naïve 東京", "A path.", "title", {"n": 1}),
    ]
    with open_store(url, create=True, encoder=tiny_encoder, index=index) as store:
        assert store.add(documents) == 2
    with open_store(url) as store:
        assert store.encoder is not None
        assert store.documents(["naïve 東京", "join", "x"]) == [documents[1], documents[0], None]
        assert ids(store, "title") == ["naïve 東京"]
        assert ids(store, "paths", filter={"n": {"$gt": 2**60 - 1}}) == ["join"]
        assert Searcher(store, reranker=None).search("path").first_stage == "hybrid"


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("milvus")
    with open_store(f"milvus://{folder}/x.db/docs", create=True, dimension=0) as store:
        yield store


def filled(store: Store, metadata: Sequence[Mapping[str, Any]]) -> None:
    store.delete(map(str, range(20)))
    store.add(Document(f"{i}", "path", metadata=each) for i, each in enumerate(metadata))


def meant(metadata: Sequence[Mapping[str, Any]], filter: Mapping[str, Any]) -> set[str]:
    return {str(i) for i, each in enumerate(metadata) if matches(each, filter)}


@settings(max_examples=40)
@given(st.lists(METADATA, min_size=1, max_size=6), st.lists(FILTERS, min_size=1, max_size=4))
@example([{"a": ""}, {"a": "1"}], [{"a": ""}, {"a": {"$prefix": ""}}])
def test_any_filter_allows_what_it_means_or_is_refused(filtered: Store, metadata, filters) -> None:
    filled(filtered, metadata)
    for filter in filters:
        try:
            found = set(ids(filtered, filter=filter))
        except InvalidFilterError:
            assert "$g" in str(filter) or "$l" in str(filter)  # a pattern, or an order of strings
        else:
            assert found == meant(metadata, filter), filter


def test_signs_of_patterns_and_of_expressions_have_no_meaning(filtered: Store) -> None:
    texts = [
        "%",
        "_",
        "\\",
        '"',
        "'",
        "\n",
        "\r",
        "\t",
        "a_b",
        "axb",
        "a%b",
        "\\_",
        "x",
        "\x01\x04",
    ]
    metadata: list[dict[str, Any]] = [{"t": text} for text in texts]
    metadata.append({"t": ["a_b", "x"]})
    filled(filtered, metadata)
    for text in [*texts, "a_", "_b", "\x04", ""]:
        for operator in ("$eq", "$ne", "$contains", "$prefix"):
            for filter in ({"t": {operator: text}}, {"$not": {"t": {operator: text}}}):
                assert set(ids(filtered, filter=filter)) == meant(metadata, filter), filter


def test_all_numbers_have_one_order(filtered: Store) -> None:
    numbers = [2**53, 2**53 + 1, 2**63 - 1, 1e300, -1e300, 5e-324, 0, -0.0, 0.5, -7, 10**400]
    metadata = [{"n": number} for number in numbers]
    filled(filtered, metadata)
    for bound in numbers[:-1]:
        for sign in ("$lt", "$lte", "$gt", "$gte", "$eq"):
            filter = {"n": {sign: bound}}
            assert set(ids(filtered, filter=filter)) == meant(metadata, filter), filter


def test_many_values_are_possible(filtered: Store) -> None:
    filled(filtered, [{"n": n} for n in range(3)])
    assert ids(filtered, filter={"n": {"$in": list(range(1, 3_000))}}) == ["1", "2"]
    either = {"$or": [{"n": n} for n in range(2, 1_500)]}
    assert ids(filtered, filter=either) == ["2"]


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (Document("x" * 70_000, "a"), "bytes of id"),
        (Document("b", "é" * 40_000), "bytes of text"),
        (Document("b", "a", metadata={"n": "x" * 50_000}), None),
        (Document("b", "a", metadata={"n": [str(n) for n in range(5_000)]}), "more metadata"),
    ],
)
def test_what_milvus_cannot_hold_is_refused(
    filtered: Store, document: Document, said: str | None
) -> None:
    before = len(filtered)
    if said is None:
        assert filtered.add([document]) == 1
        assert filtered.delete(["b"]) == 1
    else:
        with pytest.raises(InvalidDocumentError, match=said):
            filtered.add([Document("with it", "a"), document])
    assert len(filtered) == before


def test_more_ties_than_a_search_returns_are_refused(filtered: Store) -> None:
    filled(filtered, [{}] * 16_385)
    with pytest.raises(InvalidInputError, match="finds 16,384 documents at most"):
        ids(filtered)


class Theirs:
    """A collection as another program makes it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "x.db"
        self.client = pymilvus.MilvusClient(str(self.file))

    def url(self, options: str = "") -> str:
        return f"milvus://{self.file}/docs?text=body{options}"

    def made(
        self, *, metric: str | None = "COSINE", vectors: Sequence[str] = ("embedding",)
    ) -> Any:
        schema = self.client.create_schema(enable_dynamic_field=False)
        schema.add_field("key", TYPES.INT64, is_primary=True)
        schema.add_field("body", TYPES.VARCHAR, max_length=100, enable_analyzer=True)
        schema.add_field("lang", TYPES.VARCHAR, max_length=10, nullable=True)
        schema.add_field("year", TYPES.INT32, nullable=True)
        schema.add_field("price", TYPES.DOUBLE, nullable=True)
        schema.add_field("new", TYPES.BOOL)
        schema.add_field("by", TYPES.JSON, nullable=True)
        strings = {"element_type": TYPES.VARCHAR, "max_length": 9, "max_capacity": 9}
        schema.add_field("tags", TYPES.ARRAY, nullable=True, **strings)
        for name in vectors:
            schema.add_field(name, TYPES.FLOAT_VECTOR, dim=2)
        schema.add_field("words", TYPES.SPARSE_FLOAT_VECTOR)
        kind = pymilvus.FunctionType.BM25
        schema.add_function(pymilvus.Function("bm25", kind, ["body"], ["words"]))
        self.client.create_collection("docs", schema=schema)
        index = self.client.prepare_index_params()
        index.add_index("words", "SPARSE_INVERTED_INDEX", metric_type="BM25")
        for name in vectors if metric else ():
            index.add_index(name, "FLAT", metric_type=metric)
        self.client.create_index("docs", index, sync=False)
        rows: list[dict[str, Any]] = [
            {"key": 7, "body": "join paths", "lang": "en", "year": 2019, "price": 0.5, "new": True},
            {"key": 10, "body": "a path", "lang": "it's", "year": 2024, "new": False},
            {"key": 9, "body": "no path", "new": False, "by": {"name": "Ann"}},
        ]
        rows[2]["tags"] = ["a", "b"]
        for row, vector in zip(rows, ([1.0, 0.0], [0.6, 0.8], [0.0, 2.0]), strict=True):
            row.update(dict.fromkeys(vectors, vector))
        self.client.insert("docs", rows)


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[Theirs]:
    made = Theirs(tmp_path)
    yield made
    made.client.close()


def test_a_collection_of_others_has_its_fields_as_metadata(
    theirs: Theirs, tiny_encoder: Path
) -> None:
    theirs.made()
    with open_store(theirs.url()) as store:
        assert store.first_stages == ("bm25", "dense", "hybrid")
        assert store.dimension == 2
        assert store.documents(["7", "9", "x", "07"]) == [
            Document(
                "7",
                "join paths",
                metadata={"lang": "en", "year": 2019, "price": 0.5, "new": True},
            ),
            Document(
                "9", "no path", metadata={"new": False, "by": {"name": "Ann"}, "tags": ["a", "b"]}
            ),
            None,
            None,
        ]
        assert ids(store, "path") == ["10", "9"]  # the same score, then by id
        [hits] = store.retriever("dense").retrieve([EncodedQuery("q", [1.0, 0.0])], 3)
        assert [(hit.id, round(hit.score, 6)) for hit in hits] == [("7", 1), ("10", 0.6), ("9", 0)]
        new = Document("11", "new path", metadata={"year": 2025, "new": True})
        store.add([encoded(new, [1.0, 1.0])])
        assert store.documents(["11"]) == [new]
        assert store.delete(["7", "8", "x"]) == 1
        for document, said in (
            (Document("eleven", "x", metadata={"new": True}), "not an integer"),
            (Document("11", "x", metadata={"other": 1}), "no such field"),
            (Document("11", "x", metadata={"body": "y"}), "no such field"),
            (Document("11", "x", "title"), "no field for it"),
            (Document("11", "x", metadata={"lang": "en"}), "`new`"),
            (Document("11", "x", metadata={"new": True, "year": "soon"}), "year"),
        ):
            with pytest.raises(InvalidDocumentError, match=said):
                store.add([encoded(document, [1.0, 0.0])])
    with pytest.raises(StoreMismatchError, match="vectors of"):
        open_store(theirs.url(), encoder=tiny_encoder)


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"lang": "it's"}, ["10"]),
        ({"lang": {"$ne": "en"}}, ["10", "9"]),
        ({"lang": {"$in": ["en", 1]}}, ["7"]),
        ({"lang": None}, []),
        ({"lang": 2019}, []),
        ({"year": 2019.0}, ["7"]),
        ({"year": 2019.5}, []),
        ({"year": {"$nin": [2019.5, 2019]}}, ["10", "9"]),
        ({"year": {"$gt": 2018.5}}, ["10", "7"]),
        ({"year": {"$lte": 2023.5}}, ["7"]),
        ({"year": {"$lt": 2024, "$gte": 2018.2}}, ["7"]),
        ({"year": {"$not": {"$lt": 2024}}}, ["10", "9"]),
        ({"price": 0.5}, ["7"]),
        ({"price": {"$ne": 0.5}}, ["10", "9"]),
        ({"price": {"$lt": 0.6}}, ["7"]),
        ({"new": True}, ["7"]),
        ({"new": {"$ne": True}}, ["10", "9"]),
        ({"new": 1}, []),
        ({"year": {"$lt": 2**60}}, ["10", "7"]),
        ({"year": {"$gt": -(2**60) - 1, "$lt": 2023.5}}, ["7"]),
        ({"year": {"$in": []}}, []),
        ({"year": {"$nin": []}}, ["10", "7", "9"]),
        ({"$or": [{"year": 2024}, {"new": True}]}, ["10", "7"]),
    ],
)
def test_filters_of_a_collection_of_others_are_over_its_fields(
    others: Store, filter: dict[str, Any], found: list[str]
) -> None:
    assert sorted(ids(others, "path paths", filter=filter)) == found


@pytest.mark.parametrize(
    "filter",
    [
        {"lang": {"$prefix": "e"}}, {"lang": {"$glob": "e*"}}, {"lang": {"$contains": "e"}},
        {"lang": {"$gt": "a"}}, {"lang": {"$exists": True}}, {"by": {"$exists": True}},
        {"tags": "a"}, {"year": float("inf")}, {"year": {"$lt": 2**63}},
        {"$.by.name": "Ann"}, {"missing": 1}, {"price": {"$lt": 2**53}},
    ],
)  # fmt: skip
def test_what_is_not_certain_to_be_exact_there_is_refused(
    others: Store, filter: dict[str, Any]
) -> None:
    with pytest.raises(InvalidFilterError, match="cannot apply exactly"):
        ids(others, filter=filter)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    theirs = Theirs(tmp_path_factory.mktemp("theirs"))
    theirs.made()
    with open_store(theirs.url()) as store:
        yield store
    theirs.client.close()


@pytest.mark.parametrize(
    ("made", "options", "said"),
    [
        ({}, "&title=heading", "no field 'heading'"),
        ({}, "&title=year", "no field 'year'"),
        ({}, "&vector=other", "no vector 'other'"),
        ({"metric": "L2"}, "", "compares vectors by L2"),
        ({"metric": None}, "", "no index on the field of vectors 'embedding'"),
        ({"vectors": ("a", "b")}, "", "several vectors: name one"),
    ],
)
def test_what_a_collection_of_others_lacks_is_named(
    made: dict[str, Any], options: str, said: str, theirs: Theirs
) -> None:
    theirs.made(**made)
    with pytest.raises(StoreMismatchError, match=said):
        open_store(theirs.url(options))


def test_a_collection_with_dynamic_fields_is_searched_and_its_encoder_recorded(
    theirs: Theirs, tiny_encoder: Path
) -> None:
    client = theirs.client
    schema = client.create_schema(enable_dynamic_field=True)
    schema.add_field("pk", TYPES.VARCHAR, is_primary=True, max_length=9)
    schema.add_field("body", TYPES.VARCHAR, max_length=100)
    schema.add_field("vector", TYPES.FLOAT_VECTOR, dim=32)
    index = client.prepare_index_params("vector", index_type="AUTOINDEX", metric_type="IP")
    client.create_collection("docs", schema=schema, index_params=index)
    old, new = Document("a'b", "old", metadata={"n": 1}), Document("b", "new", metadata={"n": "x"})
    client.insert("docs", {"pk": old.id, "body": old.text, "vector": [0.1] * 32, "n": 1})
    with open_store(theirs.url(), encoder=tiny_encoder, create=True) as store:
        assert store.first_stages == ("dense",)
        store.add([new])
    with open_store(theirs.url()) as store:
        assert store.encoder is not None
        assert store.documents([old.id, new.id]) == [old, new]
        [hits] = store.retriever("dense").retrieve(["new"], 1)
        assert [(hit.id, round(hit.score, 5)) for hit in hits] == [("b", 1.0)]
        with pytest.raises(InvalidFilterError, match="not a field of single values"):
            store.retriever("dense").retrieve(["new"], 1, filter={"n": 1})


def test_the_encoder_that_was_recorded_first_stays(tmp_path: Path, tiny_encoder: Path) -> None:
    from rerank_search.stores.milvus.backend import MilvusBackend, MilvusOptions

    url = f"milvus://{tmp_path}/x.db/docs"
    with open_store(url, create=True, encoder=tiny_encoder):
        backend = MilvusBackend(store_url(url), MilvusOptions())
        found = backend.describe()
        assert found is not None
        assert found.encoder is not None
        other = found.encoder.model_copy(update={"name": "other"})
        backend.create(NewStore(found.dimension, other))  # by one that has found nothing before
        assert backend.describe() == found
        backend.close()


def test_a_collection_that_makes_its_ids_is_not_written_to(theirs: Theirs) -> None:
    schema = theirs.client.create_schema(auto_id=True)
    schema.add_field("id", TYPES.INT64, is_primary=True)
    schema.add_field("body", TYPES.VARCHAR, max_length=9)
    schema.add_field("vector", TYPES.FLOAT_VECTOR, dim=2)
    index = theirs.client.prepare_index_params("vector", index_type="FLAT", metric_type="COSINE")
    theirs.client.create_collection("docs", schema=schema, index_params=index)
    theirs.client.insert("docs", [{"body": "x", "vector": [1.0, 0.0]}])
    with open_store(theirs.url()) as store:
        [[hit]] = store.retriever("dense").retrieve([EncodedQuery("q", [1.0, 0.0])], 3)
        assert store.documents([hit.id]) == [Document(hit.id, "x")]
        with pytest.raises(InvalidDocumentError, match="makes all ids itself"):
            store.add([encoded(Document(hit.id, "y"), [1.0, 0.0])])


def test_a_collection_that_is_gone_is_not_found(tmp_path: Path) -> None:
    url = f"milvus://{tmp_path}/x.db/docs"
    with pytest.raises(StoreNotFoundError):
        open_store(url)
    assert list(tmp_path.iterdir()) == []
    with open_store(url, create=True, dimension=0) as store:
        with pytest.raises(StoreNotFoundError):
            open_store(url.replace("docs", "others"))
        client = pymilvus.MilvusClient(str(tmp_path / "x.db"))
        client.drop_collection("docs")
        client.close()
        with pytest.raises(StoreNotFoundError, match="does not exist there"):
            store.documents(["7"])


def test_a_collection_that_was_left_without_its_indexes_gets_them(tmp_path: Path) -> None:
    url = f"milvus://{tmp_path}/x.db/docs"
    with open_store(url, create=True, dimension=0) as store:
        store.add([Document("a", "path")])
        client = pymilvus.MilvusClient(str(tmp_path / "x.db"))
        client.release_collection("docs")
        client.drop_index("docs", "words")
        client.close()
    with open_store(url) as store:
        assert ids(store) == ["a"]


def test_writers_at_the_same_time_write_each_document_once(tmp_path: Path) -> None:
    url = f"milvus://{tmp_path}/x.db/docs"

    def write(number: int) -> None:
        with open_store(url, create=True, dimension=0) as store:
            for batch in range(3):
                store.add([Document("same", f"path {number}"), Document(f"{number} {batch}", "x")])

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, range(3)))
    with open_store(url) as store:
        assert len(store) == 10
        assert ids(store) == ["same"]


HOLDER = """
import sys
from rerank_search.stores import open_store

with open_store(sys.argv[1], create=True, dimension=0):
    print(flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.process
def test_a_file_that_another_process_has_open_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"milvus://{tmp_path}/x.db/docs"
    command = [sys.executable, "-c", HOLDER, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StoreUnreachableError, match="no other process has it open"):
            open_store(url, retries=0)
        holder.communicate()
    assert "Traceback" not in capfd.readouterr().err


def test_a_server_that_cannot_be_reached_or_does_not_answer_is_named(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(StoreTimeoutError, match="did not answer in time"):
            open_store(f"milvus://{host}/docs?timeout=0.2")
    with pytest.raises(StoreUnreachableError, match="cannot be reached"):
        open_store(f"milvus://{host}/docs?retries=0")
    with pytest.raises(StoreUnreachableError, match="cannot be reached"):
        open_store(f"milvus+https://{host}/docs?retries=0")
    assert capfd.readouterr().err == ""


class Refusing:
    """A server that ends every call with one status, and keeps the keys that it is sent."""

    def __init__(self, status: Any) -> None:
        self.status = status
        self.keys: list[str] = []
        self._server = grpc.server(ThreadPoolExecutor(1))
        self._server.add_generic_rpc_handlers([self])
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    def service(self, call: Any) -> Any:
        self.keys += [base64.b64decode(v).decode() for k, v in call.invocation_metadata
                      if k == "authorization"]  # fmt: skip

        def refuse(request: bytes, context: Any) -> None:
            context.abort(self.status, "no: root:very-secret")

        return grpc.unary_unary_rpc_method_handler(refuse)

    def __enter__(self) -> Refusing:
        self._server.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.stop(None)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("UNAUTHENTICATED", StoreAccessError),
        ("PERMISSION_DENIED", StoreAccessError),
        ("RESOURCE_EXHAUSTED", StoreError),
        ("UNAVAILABLE", StoreUnreachableError),
    ],
)
def test_the_key_is_sent_and_never_shown(
    status: str, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_KEY_127_0_0_1", "root:very-secret")
    with Refusing(getattr(grpc.StatusCode, status)) as server:
        with pytest.raises(kind) as raised:
            open_store(f"milvus://127.0.0.1:{server.port}/docs?timeout=0.5&retries=0")
        assert set(server.keys) == {"root:very-secret"}
    assert type(raised.value) is kind
    assert "very-secret" not in str(raised.value)
    if kind is StoreAccessError:
        assert "RERANK_SEARCH_KEY_127_0_0_1" in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "milvus://localhost:19530",
        "milvus://localhost:19530/a/b",
        "milvus:///docs",
        "milvus:///folder/docs",
        "milvus://[::1/docs",
        "milvus://user:very-secret@localhost/docs",
        "milvus://localhost/docs?nonsense=1",
        "milvus://localhost/docs?index=hnsw",
    ],
)
def test_an_address_that_is_not_valid_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        open_store(url)
    assert "very-secret" not in str(raised.value)


def test_a_collection_of_ours_has_its_own_fields(filtered: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="leave out text"):
        open_store(f"milvus://{tmp_path}/x.db/docs?text=body", create=True, dimension=0)
    with pytest.raises(StoreNotFoundError):
        open_store(f"milvus://{tmp_path}/x.db/docs")
    with pytest.raises(InvalidInputError, match="leave out title"):
        open_store(f"{filtered.name}?title=heading")
