from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from rerank_search import Searcher
from rerank_search.errors import (
    InvalidDocumentError,
    InvalidInputError,
    StoreAccessError,
    StoreError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreTimeoutError,
    StoreUnreachableError,
)
from rerank_search.evaluation.evaluate import evaluate
from rerank_search.evaluation.experiment import experiment_of
from rerank_search.stores import NewStore, open_store
from rerank_search.stores.registry import backend_class
from rerank_search.stores.url import store_url
from rerank_search.testing import check_store
from rerank_search.types import Document
from rerank_search.vectors import EncodedQuery, encoded
from tests.evaluation.conftest import DOCUMENTS, write_beir
from tests.served import served

if TYPE_CHECKING:
    from tests.stores.qdrant_server import QdrantServer

qdrant_client = pytest.importorskip("qdrant_client", reason="needs the extra qdrant")
pytest.importorskip("qdrant_edge", reason="needs the extra qdrant")

models = qdrant_client.models

TEXTS = [
    Document("join", "Join two paths with the separator.", metadata={"folder": "os", "year": 2019}),
    Document("copy", "Copy a tree of files.", "shutil", {"folder": "shutil", "year": 2024}),
    Document("päth/1", "A path is joined.", metadata={"folder": ["os", "new"], "year": 2025}),
]


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[QdrantServer, str]]:
    from tests.stores.qdrant_server import QdrantServer

    server = QdrantServer()
    with served(server.app) as running:
        yield server, running.url.removeprefix("http://")


@pytest.fixture
def address(running: tuple[QdrantServer, str]) -> str:
    """The address of a new collection on a server, which has no requests yet."""
    server, host = running
    for kept in (server.requests, server.keys, server.refusals, server.indexes):
        kept.clear()
    return f"qdrant+http://{host}/{uuid4().hex}"


def ids(store: Any, query: str = "path", **options: Any) -> list[str]:
    [hits] = store.retriever("bm25").retrieve([query], 10, **options)
    return [hit.id for hit in hits]


@pytest.mark.slow
def test_the_core_of_qdrant_conforms(tmp_path: Path) -> None:
    with open_store(f"qdrant+edge://{tmp_path}/docs?exact=true", create=True, dimension=4) as store:
        assert store.first_stages == ("bm25", "dense", "hybrid")
        check_store(store)


@pytest.mark.slow
def test_a_server_conforms() -> None:
    url = os.environ.get("RERANK_SEARCH_TEST_QDRANT")
    if not url:
        pytest.skip("needs a server: RERANK_SEARCH_TEST_QDRANT=qdrant+http://HOST:6333")
    name = f"rerank-search-test-{uuid4().hex}"
    with open_store(f"{url}/{name}?exact=true", create=True, dimension=4) as store:
        try:
            check_store(store)
        finally:
            address = url.removeprefix("qdrant+")
            qdrant_client.QdrantClient(url=address, check_compatibility=False).delete_collection(
                name
            )


@pytest.mark.parametrize("kind", ["edge", "server"])
def test_documents_stay_and_are_found_when_a_store_is_opened_again(
    kind: str, tmp_path: Path, address: str
) -> None:
    """This server is the client's imitation in Python; edge is Qdrant's core."""
    url = {
        "edge": f"qdrant+edge://{tmp_path}/docs",
        "server": address,
    }[kind]
    with open_store(url, create=True, dimension=0) as store:
        assert store.first_stages == ("bm25",)
        assert store.add(TEXTS) == 3
    with open_store(url) as store:
        assert len(store) == 3
        assert store.documents(["päth/1", "nope", "join"]) == [TEXTS[2], None, TEXTS[0]]
        assert ids(store, "tree") == ["copy"]
        assert ids(store, "shutil") == ["copy"]
        assert set(ids(store, "a path", filter={"year": {"$gte": 2020}})) == {"copy", "päth/1"}
        assert ids(store, "a path", filter={"folder": {"$contains": "new"}}) == ["päth/1"]
        assert store.delete(["join", "nope"]) == 1
        assert store.add([Document("copy", "Replaced.")]) == 1
        assert len(store) == 2
        assert ids(store, "tree") == []


def test_words_are_stemmed_in_the_language_of_the_collection(tmp_path: Path) -> None:
    with open_store(f"qdrant+edge://{tmp_path}/en", create=True, dimension=0) as store:
        store.add(TEXTS)
        assert set(ids(store, "joining paths")) == {"join", "päth/1"}
    url = f"qdrant+edge://{tmp_path}/none?language=none"
    with open_store(url, create=True, dimension=0) as store:
        store.add(TEXTS)
        assert ids(store, "paths") == ["join"]


def test_an_encoder_makes_the_vectors_and_is_recorded(tmp_path: Path, tiny_encoder: Any) -> None:
    url = f"qdrant+edge://{tmp_path}/docs"
    with open_store(url, create=True, encoder=tiny_encoder) as store:
        store.add(TEXTS)
    with open_store(url) as store:
        assert store.encoder is not None
        response = Searcher(store, reranker=None).search("join paths", top_k=3)
        assert response.first_stage == "hybrid"
        assert {hit.id for hit in response.hits} == {"join", "copy", "päth/1"}


@pytest.fixture
def theirs(address: str, running: tuple[QdrantServer, str]) -> str:
    """A collection as LangChain makes it."""
    server, _ = running
    name = address.rpartition("/")[2]
    client = server.client
    client.create_collection(name, models.VectorParams(size=2, distance=models.Distance.COSINE))
    client.create_payload_index(
        name, "page_content", models.TextIndexParams(type="text", scoring=True)
    )
    server.indexes["page_content"] = {
        "data_type": "text", "params": {"type": "text", "scoring": True}, "points": 0
    }  # fmt: skip
    uuid = "5f1d2b0a-0000-4000-8000-000000000001"
    client.upsert(
        name,
        [
            models.PointStruct(
                id=id, vector=vector, payload={"page_content": text, "metadata": metadata}
            )
            for id, vector, text, metadata in (
                (7, [1.0, 0.0], "join paths", {"lang": "en", "by": {"name": "Ann"}}),
                (uuid, [0.6, 0.8], "copy a tree", {"lang": "de", "by": [{"name": "Bob"}]}),
                (10, [0.0, 1.0], "join trees", None),
            )
        ],
    )
    return address


def test_a_collection_of_others_is_searched_by_the_ids_of_its_points(theirs: str) -> None:
    with open_store(f"{theirs}?text=page_content") as store:
        assert store.first_stages == ("bm25", "dense", "hybrid")
        assert store.dimension == 2
        assert ids(store, "join") == ["10", "7"]  # the same score, then by id
        [hits] = store.retriever("dense").retrieve([EncodedQuery("q", [1.0, 0.0])], 3)
        uuid = "5f1d2b0a-0000-4000-8000-000000000001"
        assert [(hit.id, round(hit.score, 5)) for hit in hits] == [("7", 1), (uuid, 0.6), ("10", 0)]
        assert store.documents(["7", "07", "x", "10"]) == [
            Document("7", "join paths", metadata={"lang": "en", "by": {"name": "Ann"}}),
            None,
            None,
            Document("10", "join trees"),
        ]
        assert ids(store, "join tree copy", filter={"$.by.name": "Bob"}) == [uuid]
        assert ids(store, "join", filter={"lang": {"$ne": "en"}}) == ["10"]
        store.add([encoded(Document("11", "join all", metadata={"lang": "fr"}), [0.0, 2.0])])
        assert ids(store, "join", filter={"lang": "fr"}) == ["11"]
        with pytest.raises(InvalidDocumentError, match="'eleven' cannot be stored"):
            store.add([encoded(Document("eleven", "x"), [1.0, 0.0])])
        with pytest.raises(InvalidInputError, match=r"'lang' has \$exists"):
            ids(store, "join", filter={"lang": {"$exists": True}})


def test_metadata_that_are_not_a_mapping_are_none(theirs: str) -> None:
    with open_store(f"{theirs}?text=page_content&metadata=page_content") as store:
        assert store.documents(["10"]) == [Document("10", "join trees")]


def test_all_other_keys_of_a_payload_may_be_the_metadata(theirs: str) -> None:
    with open_store(f"{theirs}?text=page_content&metadata=*") as store:
        assert store.documents(["10"]) == [
            Document("10", "join trees", metadata={"metadata": None})
        ]
        assert ids(store, "join", filter={"$.metadata.lang": "en"}) == ["7"]
        assert ids(store, "join", filter={"page_content": {"$prefix": "join"}}) == []
        with pytest.raises(InvalidDocumentError, match="the metadata key 'page_content'"):
            store.add([encoded(Document("1", "x", metadata={"page_content": 1}), [1.0, 0.0])])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("?text=page_content&vector=other", "no vector 'other'"),
        ("?text=page_content&searched=other", "no text index with scoring"),
        ("?text=page_content&encoder=MODEL", "dimension|numbers"),
    ],
)
def test_what_a_collection_of_others_lacks_is_named(
    theirs: str, options: str, said: str, tiny_encoder: str
) -> None:
    with pytest.raises(StoreMismatchError, match=said):
        open_store(theirs + options.replace("MODEL", str(tiny_encoder)))


def test_a_payload_key_without_text_is_named(theirs: str) -> None:
    with (
        open_store(f"{theirs}?text=content") as store,
        pytest.raises(StoreMismatchError, match="None under the payload key 'content'"),
    ):
        store.documents(["7"])


def test_another_distance_is_refused(address: str, running: tuple[QdrantServer, str]) -> None:
    running[0].client.create_collection(
        address.rpartition("/")[2], models.VectorParams(size=2, distance=models.Distance.EUCLID)
    )
    with pytest.raises(StoreMismatchError, match="Euclid"):
        open_store(address)


def test_several_vectors_need_a_name(address: str, running: tuple[QdrantServer, str]) -> None:
    size, cosine = 2, models.Distance.COSINE
    running[0].client.create_collection(
        address.rpartition("/")[2],
        {name: models.VectorParams(size=size, distance=cosine) for name in ("a", "b")},
    )
    with pytest.raises(StoreMismatchError, match="several vectors: name one"):
        open_store(address)
    with open_store(f"{address}?vector=b") as store:
        store.add([encoded(Document("1", "x"), [1.0, 1.0])])
        [hits] = store.retriever("dense").retrieve([EncodedQuery("q", [1.0, 0.0])], 3)
        assert round(hits[0].score, 5) == 0.70711


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"n": 2**64}, "would round to a float"),
        ({"a": [1, [{"b": 1}]]}, "a mapping in a list of lists"),
    ],
)
def test_metadata_that_qdrant_would_change_are_refused(
    metadata: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with open_store(f"qdrant+edge://{tmp_path}/docs", create=True, dimension=0) as store:
        with pytest.raises(InvalidDocumentError, match=said):
            store.add([Document("good", "x"), Document("bad", "x", metadata=metadata)])
        assert len(store) == 0


@pytest.mark.parametrize(
    ("filter", "said"),
    [
        ({"n": 2**53}, "the number 9007199254740992"),
        ({"n": {"$lt": float("inf")}}, "the number inf"),
        ({"s": {"$gt": "a"}}, "an order of strings"),
        ({"s": {"$glob": "a*"}}, r"\$glob"),
        ({'a"b': 1}, "a key with a quotation mark"),
        ({"$.a.b.c.d.e.f.g": 1}, "a path of more than 6 keys"),
    ],
)
def test_what_filters_of_qdrant_cannot_express_is_refused_by_name(
    filter: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with (
        open_store(f"qdrant+edge://{tmp_path}/docs", create=True, dimension=0) as store,
        pytest.raises(InvalidInputError, match=said),
    ):
        ids(store, filter=filter)


def test_an_empty_list_exists_in_a_collection_of_ours(tmp_path: Path) -> None:
    with open_store(f"qdrant+edge://{tmp_path}/docs", create=True, dimension=0) as store:
        store.add(
            [
                Document("a", "path", metadata={"tags": [], "by": [{"names": []}]}),
                Document("b", "path", metadata={"tags": None, "by": {"names": [[]]}}),
                Document("c", "path", metadata={"by": {}}),
            ]
        )
        assert ids(store, filter={"tags": {"$exists": True}}) == ["a", "b"]
        assert ids(store, filter={"$.by.names": {"$exists": True}}) == ["a", "b"]
        assert ids(store, filter={"by": {"$exists": False}}) == []


def test_opening_makes_no_folder(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for folder in ("typo", "there"):
        with pytest.raises(StoreNotFoundError):
            open_store(f"qdrant+edge://{tmp_path}/{folder}/docs")
    assert [each.name for each in tmp_path.rglob("*")] == ["there"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in ("file/docs", "file/inside/docs"):
        with pytest.raises((StoreError, InvalidInputError), match="file"):
            open_store(f"qdrant+edge://{tmp_path}/{path}", create=True, dimension=0)


def test_the_cost_of_a_store_that_is_opened_only_once_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_CACHE", str(tmp_path / "cache"))
    url = f"qdrant+edge://{tmp_path}/docs"
    with open_store(url, create=True, dimension=0) as store:
        store.add([Document(id, text, title) for id, (title, text) in DOCUMENTS.items()])
    collections = [str(write_beir(tmp_path / "small"))]
    asked = {"collections": collections, "first_stages": [url], "cost_queries": 1}
    report = evaluate(experiment_of(asked), tmp_path / "out")
    [cost] = [system.cost for system in report.systems]
    assert cost is not None
    assert cost.queries == 1


def test_a_store_that_is_open_elsewhere_is_named(tmp_path: Path) -> None:
    url = f"qdrant+edge://{tmp_path}/docs"
    with (
        open_store(url, create=True, dimension=0),
        pytest.raises(StoreUnreachableError, match="in use by another process"),
    ):
        open_store(url, retries=0)


def test_the_key_is_sent_and_never_shown(
    address: str, running: tuple[QdrantServer, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_KEY_127_0_0_1", "very-secret")
    server, _ = running
    server.refusals = [(403, {}, {"status": {"error": "no: very-secret"}})]
    with pytest.raises(StoreAccessError, match="refuses the key") as raised:
        open_store(address)
    assert "RERANK_SEARCH_KEY_127_0_0_1" in str(raised.value)
    assert "very-secret" not in str(raised.value)
    assert server.keys == ["very-secret"]
    monkeypatch.setenv("RERANK_SEARCH_KEY_127_0_0_1", "very\nsecret")
    with pytest.raises(InvalidInputError, match="RERANK_SEARCH_KEY_127_0_0_1 is not valid"):
        open_store(address)


def test_an_invalid_proxy_is_refused_by_its_variable(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://proxy")
    with pytest.raises(InvalidInputError, match="HTTPS_PROXY is not the URL of a proxy"):
        open_store(address)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"status": {"error": "key"}}, StoreAccessError),
        (404, {"status": {"error": "gone"}}, StoreNotFoundError),
        (400, {"status": {"error": "Vector dimension error"}}, StoreMismatchError),
        (413, {}, StoreError),
        (500, {"status": {"error": "panic"}}, StoreError),
        (500, {"status": {"error": "No space left on device"}}, StoreError),
        (200, {"result": {"points": 3}}, StoreError),
    ],
)
def test_errors_of_a_server_are_errors_of_stores(
    address: str, running: tuple[QdrantServer, str], status: int, body: Any, kind: type[Exception]
) -> None:
    with open_store(address, create=True, dimension=0) as store:
        running[0].refusals = [(status, {}, body)]
        with pytest.raises(kind):
            ids(store)


def test_a_server_that_takes_no_more_requests_is_asked_again(
    address: str, running: tuple[QdrantServer, str]
) -> None:
    with open_store(address, create=True, dimension=0) as store:
        running[0].refusals = [
            (429, {"Retry-After": "1"}, {"status": {"error": "later"}}),
            (503, {}, {}),
        ]
        store.add(TEXTS)
        assert len(store) == 3


def test_a_collection_that_is_gone_is_not_found(
    address: str, running: tuple[QdrantServer, str]
) -> None:
    with pytest.raises(StoreNotFoundError):
        open_store(address)
    with open_store(address, create=True, dimension=0) as store:
        running[0].client.delete_collection(address.rpartition("/")[2])
        with pytest.raises(StoreNotFoundError, match="does not exist"):
            store.add(TEXTS)


def test_a_collection_that_was_left_without_its_text_index_gets_it(
    address: str, running: tuple[QdrantServer, str]
) -> None:
    with open_store(address, create=True, dimension=0) as store:
        store.add(TEXTS)
    running[0].indexes.clear()
    with open_store(address) as store:
        assert ids(store, "tree") == ["copy"]


def test_a_server_that_cannot_be_reached_or_does_not_answer_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(StoreTimeoutError, match="did not answer in time"):
            open_store(f"qdrant+http://{host}/docs?timeout=1")
    with pytest.raises(StoreUnreachableError, match="cannot be reached"):
        open_store(f"qdrant+http://{host}/docs?retries=0")


@pytest.mark.parametrize(
    "url",
    [
        "qdrant+http://localhost:6333",
        "qdrant+http://localhost:6333/a/b",
        "qdrant+http:///docs",
        "qdrant+http://[::1/docs",
        "qdrant:///docs",
        "qdrant:///folder/docs",
        "qdrant://localhost:6333/docs",
        "qdrant+edge://",
        "qdrant+edge://host/docs",
        "qdrant+http://user:very-secret@localhost/docs",
        "qdrant+http://localhost/docs?nonsense=1",
    ],
)
def test_an_address_that_is_not_valid_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        open_store(url)
    assert "very-secret" not in str(raised.value)


def test_a_collection_of_ours_has_its_own_payload_keys(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="leave out text, title and metadata"):
        open_store(f"qdrant+edge://{tmp_path}/docs?text=body", create=True, dimension=0)
    assert not (tmp_path / "docs" / "edge_config.json").exists()


@pytest.mark.parametrize("kind", ["qdrant+edge", "server"])
def test_a_language_without_a_stemmer_is_refused(kind: str, tmp_path: Path, address: str) -> None:
    url = address if kind == "server" else f"{kind}://{tmp_path}/docs"
    with pytest.raises(InvalidInputError, match="language='klingon'"):
        open_store(f"{url}?language=klingon", create=True, dimension=0)
    with pytest.raises(StoreNotFoundError):
        open_store(url)


def test_a_collection_that_another_process_makes_first_keeps_its_encoder(
    address: str, running: tuple[QdrantServer, str], tiny_encoder: Path
) -> None:
    with open_store(address, create=True, encoder=tiny_encoder):
        pass
    missing = {"result": {"exists": False}, "status": "ok", "time": 0.0}
    running[0].refusals = [(200, {}, missing)] * 3
    with pytest.raises(StoreMismatchError, match="made with the encoder"):
        open_store(address, create=True, dimension=2)
    running[0].refusals = [(200, {}, missing)] * 3
    with open_store(address, create=True, encoder=tiny_encoder) as store:
        assert store.first_stages == ("bm25", "dense", "hybrid")


def test_the_encoder_that_another_process_has_recorded_stays(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    url = f"qdrant+edge://{tmp_path}/docs"
    with open_store(url, create=True, encoder=tiny_encoder):
        pass
    address = store_url(url)
    make = backend_class(address.scheme)
    late = make(address, make.Options())
    late.create(NewStore(2, None))  # it saw no collection
    late.close()
    with open_store(url) as store:
        assert store.encoder is not None
