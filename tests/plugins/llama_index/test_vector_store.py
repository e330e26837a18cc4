from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Document as SourceDocument
from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import (
    BaseNode,
    ImageNode,
    IndexNode,
    MediaResource,
    MetadataMode,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores import FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.types import (
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from pydantic import ValidationError

from rerank_search import (
    Document,
    FilterWarning,
    Index,
    IndexLockedError,
    IndexNotFoundError,
    InvalidDocumentError,
    InvalidInputError,
    Searcher,
)
from rerank_search.plugins.llama_index import RerankSearchRetriever, RerankSearchVectorStore
from tests.plugins.conftest import QUERIES, QUERY

FILE = {
    NodeRelationship.SOURCE: RelatedNodeInfo(node_id="file", metadata={"path": "a.txt"}),
    NodeRelationship.NEXT: RelatedNodeInfo(node_id="lines"),
}
NODES: list[BaseNode] = [
    TextNode(
        id_="join",
        text="join the paths",
        metadata={"kind": "path", "of": {"tags": ["ü", None]}, "doc_id": 7},
        relationships=FILE,
        excluded_llm_metadata_keys=["of"],
        start_char_idx=3,
        end_char_idx=17,
    ),
    TextNode(
        id_="lines",
        text="join the lines",
        metadata={"kind": "text", "year": 2024, "title": "Bread"},
        excluded_embed_metadata_keys=["year"],
    ),
    TextNode(id_="none", text="", metadata={"doc_id": "own"}),
    ImageNode(id_="image", text="a boat", image_path="boat.png", relationships=FILE),
    IndexNode(id_="linked", text="the harbour", index_id="other"),
    Node(id_="node", text_resource=MediaResource(text="red and green")),
]


def query(text: str | None = "join", mode: str = "default", **more: Any) -> VectorStoreQuery:
    given = {"similarity_top_k": 10, **more}
    return VectorStoreQuery(query_str=text, mode=VectorStoreQueryMode(mode), **given)


def only(key: str, value: Any, operator: str = "==") -> MetadataFilters:
    given = MetadataFilter(key=key, value=value, operator=FilterOperator(operator))
    return MetadataFilters(filters=[given])


def both(
    store: RerankSearchVectorStore, asked: VectorStoreQuery, **arguments: Any
) -> VectorStoreQueryResult:
    """The same result from both methods."""
    found = store.query(asked, **arguments)
    assert asyncio.run(store.aquery(asked, **arguments)) == found
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RerankSearchVectorStore]:
    Index.create(tmp_path / "index", encoder=None).close()
    store = RerankSearchVectorStore(index=tmp_path / "index", reranker=None)
    yield store
    store.close()


@pytest.fixture
def filled(store: RerankSearchVectorStore) -> RerankSearchVectorStore:
    assert store.add(NODES) == [node.node_id for node in NODES]
    return store


def test_nodes_come_back_as_they_were_added(store: RerankSearchVectorStore):
    before = copy.deepcopy(NODES)
    asyncio.run(store.async_add(NODES, batch_size=2))
    assert before == NODES
    ids = ["node", "no", "join"]
    assert store.get_nodes(ids) == [NODES[5], NODES[0]]
    assert asyncio.run(store.aget_nodes(ids)) == [NODES[5], NODES[0]]
    assert {node.node_id: node for node in store.get_nodes()} == {n.node_id: n for n in NODES}
    found = both(store, query())
    assert sorted(found.ids or ()) == ["join", "lines"]
    assert [node.node_id for node in found.nodes or ()] == found.ids
    assert all(node in NODES for node in found.nodes or ())
    assert all(type(score) is float for score in found.similarities or ())
    assert json.dumps(found.similarities)


def test_a_retriever_over_the_same_index_finds_the_same_nodes(filled: RerankSearchVectorStore):
    retriever = RerankSearchRetriever(Searcher(filled.client, None))
    assert [each.node for each in retriever.retrieve("join")] == filled.query(query()).nodes


def test_metadata_that_llamaindex_embeds_is_searched(filled: RerankSearchVectorStore):
    assert filled.query(query("bread")).ids == ["lines"]
    assert filled.query(query("2024")).ids == []
    assert filled.query(query("tags")).ids == ["join"]


def test_documents_that_were_not_added_as_nodes_are_found_too(filled: RerankSearchVectorStore):
    filled.client.add([Document("plain", "a violin", "The title", {"n": 1})])
    [node] = filled.query(query("violin")).nodes or ()
    assert node == TextNode(id_="plain", text="a violin", metadata={"title": "The title", "n": 1})
    assert filled.get_nodes(["plain"]) == [node]
    filled.client.add([Document("title", "", "A trumpet")])
    [node] = filled.query(query("trumpet")).nodes or ()
    assert node == TextNode(id_="title", text="A trumpet", metadata={"title": "A trumpet"})
    with pytest.raises(InvalidInputError, match="'plain' was not added as a node"):
        filled.query(query("violin", node_ids=["join", "plain"]))


def test_a_document_with_metadata_like_that_of_a_node_is_found(filled: RerankSearchVectorStore):
    metadata = {"_node_content": "my own", "_node_type": "TextNode"}
    filled.client.add([Document("own", "a violin", metadata=metadata)])
    [node] = filled.query(query("violin")).nodes or ()
    assert node == TextNode(id_="own", text="a violin", metadata=metadata)


def test_nodes_are_replaced_and_an_empty_list_opens_nothing(
    store: RerankSearchVectorStore, tmp_path: Path
):
    store.add([TextNode(id_="a", text="old"), TextNode(id_="a", text="new")])
    assert [node.get_content() for node in store.get_nodes()] == ["new"]
    # The same text under two ids is two nodes.
    store.add([TextNode(id_="b", text="new"), TextNode(id_="c", text="new", embedding=[0.5])])
    assert store.query(query("new")).ids == ["a", "b", "c"]
    assert [node.embedding for node in store.get_nodes(["c"])] == [None]
    nowhere = RerankSearchVectorStore(index=tmp_path / "nowhere")
    assert nowhere.add([]) == asyncio.run(nowhere.async_add([])) == []
    with pytest.raises(IndexNotFoundError):
        nowhere.add(NODES)


def test_metadata_that_is_not_json_is_written_as_llamaindex_does_or_refused(
    store: RerankSearchVectorStore,
):
    store.add([TextNode(id_="a", text="join", metadata={"day": date(2026, 1, 2)})])
    assert store.query(query(filters=only("day", "2026-01-02"))).ids == ["a"]
    for wrong in (float("nan"), [{"of": float("inf")}]):
        with pytest.raises(InvalidDocumentError, match="is not finite"):
            store.add([TextNode(text="join", metadata={"n": wrong})])
    with pytest.raises(InvalidInputError, match="is not a node"):
        store.add(["join"])
    with pytest.raises(TypeError, match="bulk"):
        store.add(NODES, bulk=True)
    assert len(store.client) == 1


def test_parts_of_a_document_are_deleted_with_it(filled: RerankSearchVectorStore):
    filled.delete("no such file")
    filled.delete("None")
    filled.delete("own")
    assert len(filled.client) == len(NODES)
    filled.delete("file")
    assert sorted(filled.client.ids()) == ["lines", "linked", "node", "none"]
    filled.add(NODES)
    asyncio.run(filled.adelete("file"))
    assert len(filled.client) == 4
    with pytest.raises(TypeError, match="delete_from_docstore"):
        filled.delete("file", delete_from_docstore=True)
    with pytest.raises(InvalidInputError, match="ref_doc_id"):
        filled.delete(None)


def test_nodes_are_deleted_by_id_by_filter_or_by_both(filled: RerankSearchVectorStore):
    for nothing in ({}, {"node_ids": None, "filters": None}):
        with pytest.raises(InvalidInputError, match=r"call clear\(\)"):
            filled.delete_nodes(**nothing)
    with pytest.raises(InvalidInputError, match="allows every document"):
        filled.delete_nodes(filters=MetadataFilters(filters=[]))
    filled.delete_nodes([])
    filled.delete_nodes(["lines"], only("kind", "path"))
    assert len(filled.client) == 6
    filled.delete_nodes(["join", "lines"], only("kind", "path"))
    assert filled.get_nodes(["join"]) == []
    asyncio.run(filled.adelete_nodes(["node", "unknown"]))
    asyncio.run(filled.adelete_nodes(filters=only("year", 2000, ">")))
    assert sorted(filled.client.ids()) == ["image", "linked", "none"]
    with pytest.warns(FilterWarning, match="'knid'"):
        filled.delete_nodes(filters=only("knid", "x"))
    filled.clear()
    assert len(filled.client) == 0
    filled.add(NODES)
    asyncio.run(filled.aclear())
    assert filled.get_nodes() == []


def test_nodes_are_got_by_filter_and_by_both(filled: RerankSearchVectorStore):
    kinds = only("kind", ["path", "text"], "in")
    assert filled.get_nodes(filters=kinds) == NODES[:2]
    assert filled.get_nodes(["lines", "image"], kinds) == [NODES[1]]
    assert asyncio.run(filled.aget_nodes(filters=kinds)) == NODES[:2]
    with pytest.raises(InvalidInputError, match="'is_empty'"):
        filled.get_nodes(filters=only("kind", None, "is_empty"))


def test_a_query_is_limited_by_filters_documents_and_ids(filled: RerankSearchVectorStore):
    path = only("kind", "path")
    for limits, expected in (
        ({}, ["join", "lines"]),
        ({"filters": path}, ["join"]),
        ({"filters": MetadataFilters(filters=[])}, ["join", "lines"]),
        ({"doc_ids": ["file"]}, ["join"]),
        ({"doc_ids": []}, []),
        ({"node_ids": ["lines", "image", "unknown"]}, ["lines"]),
        ({"node_ids": []}, ["join", "lines"]),  # as VectorStoreIndex gives for no limit
        ({"node_ids": ["lines"], "filters": path}, []),
        ({"node_ids": ["join"], "filters": path, "doc_ids": ["file"]}, ["join"]),
    ):
        assert sorted(both(filled, query(**limits)).ids or ()) == expected
    assert both(filled, query(filters=path), filter={"of": {"$exists": True}}).ids == ["join"]
    assert both(filled, query(filters=path), filter={"kind": "text"}).ids == []


def test_a_mode_is_a_first_stage(notes: Path, tmp_path: Path, tiny_encoder: Path):
    with Index.create(tmp_path / "vectors", encoder=tiny_encoder) as index:
        store = RerankSearchVectorStore(index=index, reranker=None)
        store.add(NODES)
        searcher = Searcher(index, None)
        for mode, stage in (
            ("default", "hybrid"),
            ("hybrid", "hybrid"),
            ("text_search", "bm25"),
            ("sparse", "bm25"),
        ):
            hits = searcher.search("the paths", first_stage=stage).hits
            assert store.query(query("the paths", mode)).ids == [hit.id for hit in hits]
        dense = searcher.search("the paths", first_stage="dense").hits
        found = store.query(query("the paths"), first_stage="dense")
        assert found.ids == [hit.id for hit in dense]
    without = RerankSearchVectorStore(index=notes, reranker=None)
    with pytest.raises(InvalidInputError, match="no first stage 'hybrid'"):
        without.query(query("the paths", "hybrid"))
    without.close()


@pytest.mark.parametrize(
    ("asked", "arguments", "error", "reason"),
    [
        (query(None), {}, InvalidInputError, "no query_str"),
        (query(None, query_embedding=[0.1]), {}, InvalidInputError, "no query_str"),
        (query(similarity_top_k=0), {}, InvalidInputError, "top_k=0"),
        (query(alpha=0.5), {}, InvalidInputError, "alpha=0.5 is not supported"),
        (query(mmr_threshold=0.5), {}, InvalidInputError, "mmr_threshold"),
        (query(sparse_top_k=3), {}, InvalidInputError, "sparse_top_k"),
        (query(hybrid_top_k=3), {}, InvalidInputError, "hybrid_top_k"),
        (query(output_fields=["a"]), {}, InvalidInputError, "output_fields"),
        (query(embedding_field="a"), {}, InvalidInputError, "embedding_field"),
        (query(mode="mmr"), {}, InvalidInputError, "mode 'mmr' is not supported: use one of"),
        (query(mode="svm"), {}, InvalidInputError, "'svm'"),
        (query(mode="semantic_hybrid"), {}, InvalidInputError, "'semantic_hybrid'"),
        (query(), {"top_k": 3}, InvalidInputError, "similarity_top_k=10 and top_k=3"),
        (query(), {"candidate": 3}, TypeError, "did you mean"),
        (query(mode="sparse"), {"first_stage": "bm25"}, InvalidInputError, "mode='bm25' and"),
        (query(), {"first_stage": "dense"}, InvalidInputError, "'dense'"),
        (query(), {"min_relevance": 0.5}, InvalidInputError, "min_relevance"),
        (query(filters=only("a", None)), {}, InvalidInputError, "'==' of 'a'"),
        (query(doc_ids="file"), {}, InvalidInputError, "ids"),
        (query(), {"filter": []}, InvalidInputError, r"filter is \[\]"),
        (query(), {"filter": ""}, InvalidInputError, "filter is ''"),
        (
            VectorStoreQuery(query_str="a", mode="other"),
            {},
            InvalidInputError,
            "mode 'other' is not supported",
        ),
        (query(filters={"a": 1}), {}, InvalidInputError, "are not MetadataFilters"),
        (None, {}, InvalidInputError, "query=None is not a VectorStoreQuery"),
        ("paths", {}, InvalidInputError, "query='paths' is not a VectorStoreQuery"),
    ],
)
def test_what_an_index_cannot_do_is_refused(
    filled: RerankSearchVectorStore, asked, arguments, error, reason: str
):
    with pytest.raises(error, match=reason):
        filled.query(asked, **arguments)
    with pytest.raises(error, match=reason):
        asyncio.run(filled.aquery(asked, **arguments))


def test_both_stages_rank_and_probabilities_are_the_scores(notes: Path, calibrated: Path):
    store = RerankSearchVectorStore(index=notes, reranker=str(calibrated))
    with Index.open(notes, read_only=True) as index:
        hits = Searcher(index, calibrated).search(QUERY).hits
    found = both(store, query(QUERY))
    assert found.ids == [hit.id for hit in hits]
    assert found.similarities == pytest.approx([hit.relevance for hit in hits])
    assert store.query(query(QUERY), min_relevance=1.0).ids == []
    store.close()


def test_every_argument_survives_a_file(store: RerankSearchVectorStore, calibrated: Path):
    made = RerankSearchVectorStore(index=store.index, reranker=calibrated)
    written = made.to_dict()
    assert written == {
        "class_name": "RerankSearchVectorStore",
        "stores_text": True,
        "is_embedding_query": False,
        "index": str(store.index),
        "reranker": str(calibrated),
    }
    assert RerankSearchVectorStore.from_dict(written).to_dict() == written
    assert RerankSearchVectorStore.from_json(made.to_json()).to_dict() == written
    assert RerankSearchVectorStore.from_dict(store.to_dict()).reranker is None
    with pytest.raises(InvalidInputError, match="cannot be written to a file"):
        RerankSearchVectorStore(index=store.client).to_dict()


def test_invalid_arguments_are_refused(tmp_path: Path):
    for wrong in (
        {},
        {"index": 5},
        {"index": tmp_path, "reranker": 5},
        {"index": tmp_path, "encoder": "x"},
        {"index": tmp_path, "stores_text": False},
    ):
        with pytest.raises(ValueError, match=r"index|reranker|encoder|stores_text"):
            RerankSearchVectorStore(**wrong)
    store = RerankSearchVectorStore(index=tmp_path)
    for name in ("index", "reranker"):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(store, name, "other")


@pytest.mark.parametrize("wrong", [None, 5, "text", [None], ["text"]])
def test_what_are_no_nodes_is_refused(store: RerankSearchVectorStore, wrong):
    with pytest.raises(InvalidInputError, match="node"):
        store.add(wrong)
    if wrong is not None:
        for call in (store.get_nodes, store.delete_nodes):
            with pytest.raises(InvalidInputError, match="are not MetadataFilters"):
                call(filters=wrong)


def test_an_index_that_another_writes_to_is_searched_but_not_written(
    filled: RerankSearchVectorStore,
):
    def documents() -> Iterator[Document]:
        with Index.open(filled.index, lock_timeout=0.01) as other:
            store = RerankSearchVectorStore(index=other, reranker=None)
            with pytest.raises(IndexLockedError):
                store.add(NODES)
            with pytest.raises(IndexLockedError):
                store.delete("file")
            assert sorted(store.query(query()).ids or ()) == ["join", "lines"]
        yield Document("late", "join")

    filled.client.add(documents())
    assert len(filled.client) == len(NODES) + 1


def test_searches_at_the_same_time_find_the_same_while_the_loop_goes_on(
    notes: Path, tiny_reranker: Path, counted
):
    store = RerankSearchVectorStore(index=notes, reranker=tiny_reranker)
    found, ticks = counted([store.aquery(query(each)) for each in QUERIES])
    assert found == [store.query(query(each)) for each in QUERIES]
    assert ticks > 10 * len(QUERIES)
    store.close()


def test_it_is_the_store_of_a_vector_store_index(store: RerankSearchVectorStore):
    context = StorageContext.from_defaults(vector_store=store)
    embedding = MockEmbedding(embed_dim=1)
    sources = [
        SourceDocument(id_=id, text=text, metadata={"lang": "en"})
        for id, text in (("paths", "join the paths"), ("lines", "read the lines"))
    ]
    made = VectorStoreIndex.from_documents(
        sources, storage_context=context, embed_model=embedding, transformations=[]
    )
    assert len(store.client) == 2
    opened = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    retriever = opened.as_retriever(
        similarity_top_k=1, filters=only("lang", "en"), vector_store_kwargs={"candidates": 5}
    )
    [found] = retriever.retrieve("paths")
    assert (found.text, found.node.ref_doc_id) == ("join the paths", "paths")
    assert asyncio.run(retriever.aretrieve("paths")) == [found]
    answer = RetrieverQueryEngine.from_args(retriever, llm=MockLLM()).query("paths")
    assert found.get_content(MetadataMode.LLM) in str(answer)
    with pytest.raises(TypeError, match="candidate"):
        opened.as_retriever(vector_store_kwargs={"candidate": 5}).retrieve("paths")
    made.update_ref_doc(SourceDocument(id_="paths", text="split the paths"))
    assert store.query(query("join")).ids == []
    assert len(store.query(query("split")).ids or ()) == 1
    made.delete_ref_doc("paths")
    asyncio.run(made.adelete_ref_doc("lines"))
    assert len(store.client) == 0
    made.insert_nodes(NODES[:2])
    made.delete_nodes(["join"])
    assert [*store.client.ids()] == ["lines"]


def test_an_ingestion_pipeline_writes_to_it(store: RerankSearchVectorStore):
    pipeline = IngestionPipeline(
        transformations=[
            SentenceSplitter(chunk_size=20, chunk_overlap=0),
            MockEmbedding(embed_dim=1),
        ],
        vector_store=store,
    )
    text = "Join the paths. " * 5 + "Read all of the lines. " * 5
    nodes = pipeline.run(documents=[SourceDocument(id_="file", text=text)])
    assert len(store.client) == len(nodes) > 1
    found = store.query(query("lines")).nodes or ()
    for node in found:
        assert node.ref_doc_id == "file"
        assert node.get_content() == text[node.start_char_idx : node.end_char_idx]
