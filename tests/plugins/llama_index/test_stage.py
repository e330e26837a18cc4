"""LlamaIndex's indexes and retrievers as first stages."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.schema import NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode

from rerank_search import (
    CrossEncoderReranker,
    InvalidFilterError,
    InvalidInputError,
    PluginError,
    Searcher,
)
from rerank_search.plugins.llama_index import LlamaIndexStage
from rerank_search.searchable import searchable
from rerank_search.testing import check_searchable
from tests.plugins.conftest import DOCUMENTS, QUERIES, QUERY


class Letters(BaseEmbedding):
    """Embeds a text by counts of a few letters."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [1.0 + text.count(letter) for letter in "aeijorst"]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def node(id: str, text: str, source: str | None = None, **metadata: Any) -> TextNode:
    made = TextNode(id_=id, text=text, metadata=metadata)
    if source is not None:
        made.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=source)
    return made


def index_of(nodes: list[TextNode]) -> VectorStoreIndex:
    return VectorStoreIndex(nodes, embed_model=Letters())


@pytest.fixture(scope="module")
def index() -> VectorStoreIndex:
    return index_of(
        [
            node(
                each.id,
                each.text,
                word=each.metadata["word"],
                number=each.metadata["number"],
            )
            for each in DOCUMENTS
        ]
    )


class Listed(BaseRetriever):
    """A retriever with a limit of its own."""

    def __init__(self, *found: TextNode, similarity_top_k: int | None = None) -> None:
        super().__init__()
        self.found = [NodeWithScore(node=each) for each in found]
        self.similarity_top_k = similarity_top_k

    def _retrieve(self, query_bundle: Any) -> list[NodeWithScore]:
        return self.found


class OnlyAsync(Listed):
    def _retrieve(self, query_bundle: Any) -> list[NodeWithScore]:
        raise NotImplementedError("use aretrieve")

    async def _aretrieve(self, query_bundle: Any) -> list[NodeWithScore]:
        await asyncio.sleep(0)
        return self.found


def allows(id: str) -> bool:
    return id.startswith(("boat-", "join-"))


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_index_conforms(index: VectorStoreIndex, asynchronous: bool) -> None:
    stage = LlamaIndexStage(index, scores="similarity", asynchronous=asynchronous)
    check_searchable(
        searchable(stage),
        QUERIES[:3],
        documents=len(DOCUMENTS),
        filter={"word": {"$in": ["boat", "join"]}},
        allows=allows,
    )


def test_an_index_is_searched_in_two_stages(
    index: VectorStoreIndex, reranker: CrossEncoderReranker
) -> None:
    response = Searcher(LlamaIndexStage(index), reranker).search(QUERY, top_k=3, candidates=20)
    assert (response.first_stage, response.candidates) == ("llama_index", 20)
    assert response.reranked
    originals = {each.id: each for each in DOCUMENTS}
    for hit in response.hits:
        assert hit.document is not None
        assert hit.document.text == originals[hit.id].text
        assert hit.document.metadata.items() <= originals[hit.id].metadata.items()
        assert set(hit.stage_scores) == {"llama_index", "rerank"}


FILTERS: list[tuple[Any, Any]] = [
    ({"word": "boat", "number": {"$gt": 1}}, lambda word, number: word == "boat" and number > 1),
    ({"word": {"$ne": "boat"}}, lambda word, number: word != "boat"),
    ({"word": {"$nin": ["boat", "join"]}}, lambda word, number: word not in ("boat", "join")),
    (
        {"$or": [{"word": "boat"}, {"number": 3}]},
        lambda word, number: word == "boat" or number == 3,
    ),
    ({"$not": {"word": "boat"}}, lambda word, number: word != "boat"),
    (
        {"$not": {"$or": [{"word": "boat"}, {"number": {"$lte": 1}}]}},
        lambda word, number: word != "boat" and number > 1,
    ),
    ({"missing": {"$ne": 1}}, lambda word, number: True),
    ({"missing": 1}, lambda word, number: False),
]


@pytest.mark.parametrize(("filter", "expected"), FILTERS)
def test_a_filter_allows_the_same_as_in_an_index(index, filter, expected) -> None:
    [hits] = LlamaIndexStage(index).retrieve([QUERY], 100, filter=filter)
    assert {hit.id for hit in hits} == {
        each.id for each in DOCUMENTS if expected(each.metadata["word"], each.metadata["number"])
    }


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        ({"word": {"$glob": "b*"}}, r"\$glob of 'word' has no counterpart.*LlamaIndex"),
        ({"word": None}, "has None"),
        ({"word": True}, "filters by strings and numbers"),
        ({"word": {"$in": ["a", 1]}}, "filters by strings and numbers"),
        ({"$.of.by": "Ann"}, "is a nested key"),
        ({"word": {"$near": 1}}, "is not a filter operator"),
    ],
)
def test_a_filter_without_a_translation_is_refused(index, filter, message: str) -> None:
    with pytest.raises(InvalidFilterError, match=message):
        LlamaIndexStage(index).retrieve([QUERY], 3, filter=filter)


def test_a_retriever_takes_no_filter_and_must_return_enough(index: VectorStoreIndex) -> None:
    stage = LlamaIndexStage(index.as_retriever(similarity_top_k=5), scores="similarity")
    found = [hit.id for hit in stage.retrieve([QUERY], 5)[0]]
    whole = LlamaIndexStage(index, scores="similarity")
    scores = [hit.score for hit in whole.retrieve([QUERY], 5)[0]]
    assert [hit.score for hit in stage.retrieve([QUERY], 5)[0]] == scores
    assert len(found) == 5
    with pytest.raises(InvalidInputError, match="set its similarity_top_k=6"):
        stage.retrieve([QUERY], 6)
    with pytest.raises(InvalidFilterError, match="a retriever takes no filters"):
        stage.retrieve([QUERY], 5, filter={"word": "boat"})


def test_a_limit_that_cannot_be_read_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    stage = LlamaIndexStage(Listed(node("a", "x"), node("b", "y")))
    with caplog.at_level(logging.WARNING):
        assert [len(stage.retrieve([QUERY], k)[0]) for k in (2, 3, 4)] == [2, 2, 2]
    [record] = caplog.records
    assert "found 2 documents where 3 were asked for" in record.getMessage()


def test_a_retriever_that_only_awaits_is_asked_asynchronously() -> None:
    nodes = node("a", "x"), node("b", "y")
    with pytest.raises(PluginError, match="set asynchronous=True"):
        LlamaIndexStage(OnlyAsync(*nodes)).retrieve([QUERY], 2)
    [hits] = LlamaIndexStage(OnlyAsync(*nodes), asynchronous=True).retrieve([QUERY], 2)
    assert [hit.id for hit in hits] == ["a", "b"]


def test_nodes_of_one_source_are_folded_only_if_asked() -> None:
    nodes = [
        node(f"{word}{number}", f"{word} the path {number}", source=word, file=f"{word}.md")
        for number in range(6)
        for word in ("join", "boat", "bread")
    ]
    index = index_of([*nodes, node("alone", "a file", file="alone.md")])
    assert len(LlamaIndexStage(index).retrieve([QUERY], 9)[0]) == 9
    with pytest.raises(InvalidInputError, match="set fold_chunks=True"):
        LlamaIndexStage(index, id_key="file").retrieve([QUERY], 9)
    for arguments, ends in (({}, ""), ({"id_key": "file"}, ".md")):
        stage = LlamaIndexStage(index, scores="similarity", fold_chunks=True, **arguments)
        [hits] = stage.retrieve([QUERY], 4)
        assert sorted(hit.id for hit in hits) == [
            f"{id}{ends}" for id in ("alone", "boat", "bread", "join")
        ]
        check_searchable(searchable(stage), QUERIES[:2], documents=4)


def test_an_empty_index_finds_nothing() -> None:
    assert LlamaIndexStage(index_of([])).retrieve([QUERY], 3) == [[]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"store": Letters()}, "neither a VectorStoreIndex nor a retriever"),
        ({"scores": "cosine"}, "scores='cosine' is unknown"),
        ({"asynchronous": 1}, "is not True or False"),
        ({"name": ""}, "is empty"),
    ],
)
def test_an_invalid_argument_is_an_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        LlamaIndexStage(**{"store": Listed(), **arguments})
