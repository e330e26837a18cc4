from __future__ import annotations

import base64
import os
import re
import socket
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from rerank_search.errors import (
    InvalidDocumentError,
    InvalidInputError,
    StoreAccessError,
    StoreError,
    StoreFullError,
    StoreMismatchError,
    StoreNotFoundError,
    StoreTimeoutError,
    StoreUnreachableError,
)
from rerank_search.stores import NewStore, open_store
from rerank_search.stores.registry import backend_class
from rerank_search.stores.url import store_url
from rerank_search.testing import check_store
from rerank_search.types import Document
from rerank_search.vectors import EncodedQuery, encoded
from tests.served import served
from tests.stores.elastic_server import ElasticServer

ENGINES = ["elasticsearch", "opensearch"]


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[ElasticServer, str]]:
    server = ElasticServer()
    with served(server.app) as running:
        yield server, running.url.removeprefix("http://")


@pytest.fixture
def server(running: tuple[ElasticServer, str]) -> ElasticServer:
    running[0].clear()
    return running[0]


@pytest.fixture
def host(running: tuple[ElasticServer, str]) -> str:
    return running[1]


def ids(store: Any, query: str = "path", **options: Any) -> list[str]:
    [hits] = store.retriever("bm25").retrieve([query], 10, **options)
    return [hit.id for hit in hits]


@pytest.mark.slow
def test_an_index_conforms_to_the_published_api(server: ElasticServer, host: str) -> None:
    """A server of our own answers: this proves the calls, not the engine."""
    with open_store(f"elasticsearch+http://{host}/docs", create=True, dimension=4) as store:
        assert store.first_stages == ("bm25", "dense", "hybrid")
        check_store(store)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("exact", ["true", "false"])
def test_vectors_are_searched_in_the_words_of_each_engine(
    engine: str, exact: str, server: ElasticServer, host: str
) -> None:
    url = f"{engine}+http://{host}/docs?exact={exact}"
    with open_store(url, create=True, dimension=2) as store:
        made = {"a": [3.0, 4.0], "b": [1.0, 0.0], "c": [-1.0, 0.0]}
        store.add([encoded(Document(id, "x", metadata={"n": id}), made[id]) for id in made])
        query = EncodedQuery("q", [2.0, 0.0])
        [hits] = store.retriever("dense").retrieve([query], 3)
        expected = [("b", 1.0), ("a", 0.6), ("c", -1.0)]
        assert [(hit.id, round(hit.score, 5)) for hit in hits] == expected
        [hits] = store.retriever("dense").retrieve([query], 3, filter={"n": {"$ne": "b"}})
        assert [hit.id for hit in hits] == ["a", "c"]
    [asked, _] = [body["query"] for _, path, _, body in server.requests if "_search" in path]
    assert list(asked) == ["script_score" if exact == "true" else "knn"]
    if exact == "false":  # more than 3, so that equal scores at the cut-off are among them
        wanted = asked["knn"]
        count = wanted["vector"]["k"] if engine == "opensearch" else wanted["num_candidates"]
        assert count == 100


@pytest.mark.slow
def test_a_server_conforms() -> None:
    url = os.environ.get("RERANK_SEARCH_TEST_ELASTICSEARCH")
    if not url:
        pytest.skip(
            "needs a server: RERANK_SEARCH_TEST_ELASTICSEARCH=elasticsearch+http://HOST:9200, or "
            "opensearch+http://..."
        )
    with open_store(
        f"{url}/rerank-search-test-{uuid4().hex}?exact=true", create=True, dimension=4
    ) as store:
        check_store(store)  # which leaves the index empty


@pytest.mark.parametrize("engine", ENGINES)
def test_a_new_index_has_a_mapping_with_a_note(
    engine: str, server: ElasticServer, host: str
) -> None:
    with open_store(f"{engine}+http://{host}/docs", create=True, dimension=3):
        pass
    index = server.indices["docs"]
    vector = index["mappings"]["properties"]["vector"]
    if engine == "opensearch":
        assert index["settings"]["index.knn"] is True
        assert (vector["type"], vector["dimension"]) == ("knn_vector", 3)
    else:
        assert (vector["type"], vector["dims"]) == ("dense_vector", 3)
        assert vector["index_options"] == {"type": "hnsw"}
    assert index["mappings"]["_meta"]["rerank_search"] == {"own": True, "encoder": None}
    assert index["settings"]["analysis"]["filter"]["rerank_search_stemmer"]["language"] == "english"
    with open_store(f"{engine}+http://{host}/docs") as store:
        assert store.dimension == 3


def test_an_encoder_is_recorded(server: ElasticServer, host: str, tiny_encoder: Any) -> None:
    url = f"elasticsearch+http://{host}/docs"
    with open_store(url, create=True, encoder=tiny_encoder) as store:
        store.add([Document("a", "join paths")])
    with open_store(url) as store:
        assert store.encoder is not None
        [hits] = store.retriever("dense").retrieve(["paths"], 5)
        assert [hit.id for hit in hits] == ["a"]


def test_more_than_a_page_is_fetched_page_by_page(server: ElasticServer, host: str) -> None:
    with open_store(f"elasticsearch+http://{host}/docs", create=True, dimension=0) as store:
        server.indices["docs"]["documents"] = {
            f"key {n}": {"id": f"{n:05}", "text": "path", "title": ""} for n in range(12_000)
        }
        [hits] = store.retriever("bm25").retrieve(["path"], 12_500)
        assert [hit.id for hit in hits] == [f"{n:05}" for n in range(12_000)]
    searches = [body for _, path, _, body in server.requests if path == "docs/_search"]
    assert [body["size"] for body in searches] == [10_000, 2_500]
    assert searches[1]["search_after"][1] == "09999"


def test_shards_weigh_words_alike_and_none_may_fail(server: ElasticServer, host: str) -> None:
    with open_store(f"elasticsearch+http://{host}/docs", create=True, dimension=2) as store:
        ids(store)
        store.retriever("dense").retrieve([EncodedQuery("q", [1.0, 0.0])], 3)
    words, vectors = [parameters for _, path, parameters, _ in server.requests if "_search" in path]
    assert words == {
        "allow_partial_search_results": "false", "search_type": "dfs_query_then_fetch"
    }  # fmt: skip
    assert vectors == {"allow_partial_search_results": "false"}


@pytest.fixture
def theirs(server: ElasticServer, host: str) -> str:
    """An index of others, with mapped fields."""
    server.indices["docs"] = {
        "settings": {},
        "mappings": {
            "properties": {
                "body": {"type": "text"},
                "lang": {"type": "keyword"},
                "short": {"type": "keyword", "ignore_above": 256},
                "year": {"type": "integer"},
                "new": {"type": "boolean"},
                "by": {"properties": {"name": {"type": "keyword"}}},
                "parts": {"type": "nested", "properties": {"name": {"type": "keyword"}}},
                "filled": {"type": "keyword", "null_value": "none"},
                "embedding": {
                    "type": "dense_vector", "dims": 2, "index": True, "similarity": "cosine"
                },
            }
        },
        "documents": {
            "a/b": {"body": "join paths", "lang": ["en", "de"], "year": 2019, "embedding": [1, 0]},
            "b": {"body": "a path", "new": True, "by": [{"name": "Ann"}], "embedding": [0.6, 0.8]},
        },
    }  # fmt: skip
    return f"elasticsearch+http://{host}/docs?text=body&metadata=*"


def test_an_index_of_others_is_searched_by_its_fields(theirs: str, server: ElasticServer) -> None:
    with open_store(theirs) as store:
        assert store.first_stages == ("bm25", "dense", "hybrid")
        [hits] = store.retriever("dense").retrieve([EncodedQuery("q", [1.0, 0.0])], 3)
        assert [(hit.id, round(hit.score, 6)) for hit in hits] == [("a/b", 1), ("b", 0.6)]
        assert store.documents(["b", "c"]) == [
            Document("b", "a path", metadata={"new": True, "by": [{"name": "Ann"}]}),
            None,
        ]
        store.add([encoded(Document("c", "new path", metadata={"year": 2025}), [0, 1])])
        assert server.indices["docs"]["documents"]["c"] == {
            "year": 2025, "body": "new path", "title": "", "embedding": [0.0, 1.0]
        }  # fmt: skip
        assert store.delete(["a/b", "x"]) == 1


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"lang": "de"}, ["a/b"]),
        ({"lang": {"$ne": "de"}}, ["b"]),
        ({"lang": {"$prefix": "e"}}, ["a/b"]),
        ({"year": {"$in": [2019, 2020]}}, ["a/b"]),
        ({"new": True}, ["b"]),
        ({"$.by.name": "Ann"}, ["b"]),
        ({"$or": [{"year": 1}, {"$not": {"new": True}}]}, ["a/b"]),
        ({"year": {"$in": []}}, []),
        ({"year": {"$in": [2**40, 2019]}}, ["a/b"]),
        ({"year": -(2**40)}, []),
    ],
)
def test_filters_of_an_index_of_others(
    theirs: str, filter: dict[str, Any], found: list[str]
) -> None:
    with open_store(theirs) as store:
        assert ids(store, filter=filter) == found


@pytest.mark.parametrize(
    ("filter", "said"),
    [
        ({"year": {"$gt": 2000}}, "an order in an index that this library did not make"),
        ({"lang": {"$exists": True}}, r"\$exists"),
        ({"lang": {"$contains": "e"}}, r"\$contains"),
        ({"lang": {"$glob": "e*"}}, r"\$glob"),
        ({"lang": None}, "None"),
        ({"year": 2019.5}, "a fraction"),
        ({"year": "2019"}, "a string"),
        ({"short": "x"}, "ignore_above"),
        ({"filled": "none"}, "null_value"),
        ({"$.parts.name": "x"}, "no such field"),
        ({"body": "x"}, "a string"),
        ({"other": "x"}, "no such field"),
    ],
)
def test_what_mapped_fields_cannot_express_is_refused(
    theirs: str, filter: dict[str, Any], said: str
) -> None:
    with open_store(theirs) as store, pytest.raises(InvalidInputError, match=said):
        ids(store, filter=filter)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("&vector=other", "no vector 'other'"),
        ("&searched=lang", "does not rank by BM25 by the field 'lang'"),
    ],
)
def test_a_field_that_is_missing_is_named(theirs: str, options: str, said: str) -> None:
    with pytest.raises(StoreMismatchError, match=said):
        open_store(theirs + options)


def test_metadata_that_are_nested_cannot_be_filtered_and_others_are_none(theirs: str) -> None:
    with (
        open_store(theirs.replace("metadata=*", "metadata=parts")) as store,
        pytest.raises(InvalidInputError, match="no such field"),
    ):
        ids(store, filter={"name": "x"})
    with open_store(theirs.replace("metadata=*", "metadata=lang")) as store:
        assert store.documents(["a/b"]) == [Document("a/b", "join paths")]


def test_a_field_without_text_is_named(theirs: str) -> None:
    with (
        open_store(theirs.replace("text=body", "text=lang&searched=body")) as store,
        pytest.raises(StoreMismatchError, match=r"\['en', 'de'\] in the field 'lang'"),
    ):
        store.documents(["a/b"])


def test_another_distance_is_refused_unless_all_vectors_are_compared(
    theirs: str, server: ElasticServer
) -> None:
    fields = server.indices["docs"]["mappings"]["properties"]
    fields["embedding"]["similarity"] = "l2_norm"
    with pytest.raises(StoreMismatchError, match="l2_norm"):
        open_store(theirs)
    with open_store(theirs + "&exact=true") as store:
        assert store.dimension == 2


def test_vectors_have_length_1_where_the_index_takes_no_others(
    theirs: str, server: ElasticServer
) -> None:
    fields = server.indices["docs"]["mappings"]["properties"]
    fields["embedding"]["similarity"] = "dot_product"
    for exact in ("true", "false"):
        with open_store(f"{theirs}&exact={exact}") as store:
            store.add([encoded(Document("c", "x"), [3.0, 4.0])])
        written = server.indices["docs"]["documents"]["c"]["embedding"]
        assert written == pytest.approx([0.6, 0.8])


def test_a_field_with_a_quotation_mark_stays_a_name_in_a_script(
    theirs: str, server: ElasticServer
) -> None:
    fields = server.indices["docs"]["mappings"]["properties"]
    fields["it's"] = fields.pop("embedding")
    for document in server.indices["docs"]["documents"].values():
        document["it's"] = document.pop("embedding")
    with open_store(f"{theirs}&exact=true") as store:
        [hits] = store.retriever("dense").retrieve([EncodedQuery("q", [1.0, 0.0])], 3)
    assert [hit.id for hit in hits] == ["a/b", "b"]


def test_more_equal_scores_than_an_index_of_others_can_list_are_an_error(
    theirs: str, server: ElasticServer
) -> None:
    documents = {f"{n:05}": {"body": "path"} for n in range(9_998)}
    server.indices["docs"]["documents"] = documents
    with open_store(theirs) as store:
        assert ids(store)[-1] == "00009"
        assert len(store.retriever("bm25").retrieve(["path"], 9_999)[0]) == 9_998
        documents |= {f"x{n}": {"body": "path"} for n in range(3)}
        with pytest.raises(InvalidInputError, match="more than 10,000 documents"):
            ids(store)


def test_an_index_that_another_process_makes_first_is_used(
    server: ElasticServer, host: str
) -> None:
    url = f"elasticsearch+http://{host}/docs"
    with open_store(url, create=True, dimension=0):
        pass
    missing = {"error": {"type": "index_not_found_exception"}}
    exists = {"error": {"root_cause": [{"type": "resource_already_exists_exception"}]}}
    server.refusals = [(404, missing), (404, missing), (400, exists)]
    with open_store(url, create=True, dimension=0) as store:
        assert store.first_stages == ("bm25",)


def test_a_note_that_cannot_be_read_is_named(theirs: str, server: ElasticServer) -> None:
    mapping = server.indices["docs"]["mappings"]
    for note, said in (("x", "'x': restore it"), ({"encoder": {"name": 3}}, "cannot be read")):
        mapping["_meta"] = {"rerank_search": note}
        with pytest.raises(StoreMismatchError, match=said):
            open_store(theirs)


def test_an_index_of_ours_has_its_own_fields(server: ElasticServer, host: str) -> None:
    url = f"elasticsearch+http://{host}/docs"
    with pytest.raises(InvalidInputError, match="leave out text"):
        open_store(f"{url}?text=body", create=True, dimension=0)
    with open_store(url, create=True, dimension=0):
        pass
    with pytest.raises(InvalidInputError, match="leave out metadata"):
        open_store(f"{url}?metadata=*")


def test_an_alias_of_several_indices_is_refused(theirs: str, server: ElasticServer) -> None:
    both = {name: {"mappings": {}} for name in ("docs-1", "docs-2")}
    server.refusals = [(200, both)]
    with pytest.raises(StoreMismatchError, match="2 indices"):
        open_store(theirs)


def test_a_part_of_a_bulk_request_that_fails_is_an_error(server: ElasticServer, host: str) -> None:
    key = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"  # SHA-256 of "a"
    reason = {"type": "document_parsing_exception", "reason": "failed to parse"}
    with open_store(f"elasticsearch+http://{host}/docs", create=True, dimension=0) as store:
        server.refused_items = {key: {"status": 400, "error": reason}}
        with pytest.raises(InvalidDocumentError, match=r"'a' is refused.*failed to parse"):
            store.add([Document("b", "x"), Document("a", "x")])
        server.refused_items = {key: {"status": 429, "error": reason}}
        with pytest.raises(StoreUnreachableError, match="send less at a time"):
            store.add([Document("a", "x")])
        bulks = [path for _, path, _, _ in server.requests if path == "docs/_bulk"]
        assert len(bulks) == 1 + 3  # the first attempt and two more, which do no harm
        server.refused_items = {}
        assert store.add([Document("a", "x")]) == 1
        assert len(store) == 2


def test_an_index_that_is_gone_is_not_made_by_a_write(server: ElasticServer, host: str) -> None:
    gone = {"error": {"type": "index_not_found_exception"}}
    with open_store(f"elasticsearch+http://{host}/docs", create=True, dimension=0) as store:
        del server.indices["docs"]
        with pytest.raises(StoreNotFoundError):
            store.add([Document("a", "x")])
        assert server.indices == {}
        server.refusals = [(200, {"items": [{"delete": {"status": 404, **gone}}]})]
        with pytest.raises(StoreNotFoundError):
            store.delete(["a"])


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        ({"error": {"type": "index_not_found_exception", "reason": "x"}}, StoreNotFoundError),
        ({"error": {"type": "no_shard_available_action_exception"}}, StoreUnreachableError),
        ({"error": {"type": "routing_missing_exception"}}, StoreError),
        ({"found": True}, StoreMismatchError),
    ],
)
def test_a_document_that_cannot_be_read_is_not_missing(
    server: ElasticServer, host: str, part: dict[str, Any], kind: type[Exception]
) -> None:
    url = f"elasticsearch+http://{host}/docs?retries=0"
    with open_store(url, create=True, dimension=0) as store:
        server.refusals = [(200, {"docs": [{"_index": "docs", "_id": "a", **part}]})]
        with pytest.raises(kind):
            store.documents(["a"])
        server.refusals = [(200, {"count": 3, "_shards": {"total": 2, "failed": 1}})]
        with pytest.raises(StoreUnreachableError, match="some shards"):
            len(store)


@pytest.mark.parametrize(
    "query",
    [
        " ".join(map(str, range(3_000))),
        "".join(map(chr, range(0x4E00, 0x4E00 + 3_000))),
        "-".join(map(str, range(3_000))),
    ],
)
def test_a_query_has_no_more_words_than_the_engines_take(
    server: ElasticServer, host: str, query: str
) -> None:
    with open_store(f"elasticsearch+http://{host}/docs", create=True, dimension=0) as store:
        ids(store, query)
    [words] = [
        body["query"]["bool"]["must"] for _, path, _, body in server.requests if "_se" in path
    ]
    sent = words[0]["match"]["searched"]["query"]
    tokens = re.findall(r"[0-9]+|[^0-9\s-]", sent)
    assert 400 < len(tokens) <= 1_000


def test_a_busy_server_is_asked_again(server: ElasticServer, host: str) -> None:
    with open_store(f"elasticsearch+http://{host}/docs", create=True, dimension=0) as store:
        server.refusals = [(429, {"error": {"type": "busy", "reason": "queue"}}), (503, "later")]
        assert store.add([Document("a", "path")]) == 1
        assert ids(store) == ["a"]


FLOOD = {
    "error": {
        "type": "cluster_block_exception",
        "reason": "index [docs] blocked by: [disk usage exceeded flood-stage watermark]",
    }
}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"error": {"type": "security_exception", "reason": "no"}}, StoreAccessError),
        (404, {"error": {"type": "index_not_found_exception"}}, StoreNotFoundError),
        (400, {"error": {"root_cause": [{"type": "parsing", "reason": "x"}]}}, StoreMismatchError),
        (400, {"error": {"type": "too_many_nested_clauses", "reason": "x"}}, InvalidInputError),
        (400, {"error": {"type": "task_cancelled_exception"}}, StoreTimeoutError),
        (408, {}, StoreTimeoutError),
        (413, "", StoreError),
        (429, FLOOD, StoreFullError),
        (500, "<html>", StoreError),
        (200, {"timed_out": True, "hits": {"hits": []}}, StoreTimeoutError),
        (200, {"hits": {}}, StoreError),
        (200, {"hits": {"hits": [{"_id": "a"}]}}, StoreError),
        (200, [], StoreError),
    ],
)
def test_errors_of_a_server_are_errors_of_stores(
    server: ElasticServer, host: str, status: int, body: Any, kind: type[Exception]
) -> None:
    with open_store(f"elasticsearch+http://{host}/docs", create=True, dimension=0) as store:
        server.refusals = [(status, body)]
        with pytest.raises(kind):
            ids(store)


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("abc==", "ApiKey abc=="),
        ("me:word", f"Basic {base64.b64encode(b'me:word').decode()}"),
    ],
)
def test_the_key_is_sent_and_never_shown(
    server: ElasticServer, host: str, key: str, sent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_SEARCH_KEY_127_0_0_1", key)
    server.refusals = [(403, {"error": {"type": "security_exception", "reason": f"not {key}"}})]
    with pytest.raises(StoreAccessError, match="refuses the key") as raised:
        open_store(f"elasticsearch+http://{host}/docs")
    assert key not in str(raised.value)
    assert server.keys == [sent]
    said = "-" * 270 + key * 20  # of which an error shows the beginning
    server.refusals = [(403, {"error": {"type": "security_exception", "reason": said}})]
    with pytest.raises(StoreAccessError) as raised:
        open_store(f"elasticsearch+http://{host}/docs")
    assert key[:3] not in str(raised.value)
    monkeypatch.setenv("RERANK_SEARCH_KEY_127_0_0_1", "a\nb")
    with pytest.raises(InvalidInputError, match="RERANK_SEARCH_KEY_127_0_0_1 is not valid"):
        open_store(f"elasticsearch+http://{host}/docs")


def test_a_server_that_cannot_be_reached_or_does_not_answer_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(StoreTimeoutError, match="did not answer in time"):
            open_store(f"elasticsearch+http://{host}/docs?timeout=0.2")
    with pytest.raises(StoreUnreachableError, match="cannot be reached"):
        open_store(f"elasticsearch+http://{host}/docs?retries=0")


def test_an_id_or_a_value_beyond_the_length_of_a_keyword_is_refused(
    server: ElasticServer, host: str
) -> None:
    with open_store(f"elasticsearch+http://{host}/docs", create=True, dimension=0) as store:
        for wrong in (
            Document("é" * 20_000, "x"),
            Document("a", "x", metadata={"k": "v" * 40_000}),
        ):
            with pytest.raises(InvalidDocumentError, match="more than 32,766 bytes"):
                store.add([Document("good", "x"), wrong])
        assert len(store) == 0


@pytest.mark.parametrize(
    "url",
    [
        "elasticsearch+http://localhost:9200",
        "elasticsearch+http://localhost:9200/a/b",
        "opensearch+https:///docs",
        "opensearch+https://user:very-secret@localhost/docs",
        "elasticsearch://localhost/docs",
    ],
)
def test_an_address_that_is_not_valid_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        open_store(url)
    assert "very-secret" not in str(raised.value)


def test_the_encoder_that_another_process_has_recorded_stays(
    server: ElasticServer, host: str, tiny_encoder: Any
) -> None:
    url = f"elasticsearch+http://{host}/docs"
    with open_store(url, create=True, encoder=tiny_encoder):
        pass
    address = store_url(url)
    make = backend_class(address.scheme)
    late = make(address, make.Options())
    late.create(NewStore(2, None))  # it saw no index
    late.close()
    with open_store(url) as store:
        assert store.encoder is not None
