from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.schema import (
    ImageNode,
    MetadataMode,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    RelatedNodeInfo,
    TextNode,
)
from pydantic import Field, ValidationError

from rerank_search import CrossEncoderReranker, InvalidInputError, ModelNotFoundError, RerankError
from rerank_search.plugins.llama_index import RerankSearchPostprocessor
from tests.plugins.conftest import QUERIES, QUERY

TEXTS = ["bread in the oven", "join the paths", "", "join the paths", "a boat on the river"]


@pytest.fixture
def nodes() -> list[NodeWithScore]:
    source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="file")}
    metadata = {"tags": ["ü", None]}
    return [
        NodeWithScore(
            node=TextNode(id_=str(i), text=text, metadata=metadata, relationships=source),
            score=0.5,
        )
        for i, text in enumerate(TEXTS)
    ]


class Lengths:
    """A reranker that prefers long texts, with scores as NumPy has them."""

    name = "lengths"

    def score(self, pairs):
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


class Kept(BaseEventHandler):
    """Keeps the events of rerankings."""

    events: list[Any] = Field(default_factory=list)

    def handle(self, event: BaseEvent, **arguments: Any) -> None:
        if isinstance(event, (ReRankStartEvent, ReRankEndEvent)):
            self.events.append(event)


@pytest.fixture
def events():
    root = get_dispatcher("root")
    before = list(root.event_handlers)
    kept = Kept()
    root.add_event_handler(kept)
    yield kept.events
    root.event_handlers = before


def both(
    postprocessor: RerankSearchPostprocessor, nodes: list[NodeWithScore], query: str = QUERY
) -> list[NodeWithScore]:
    """The same nodes from both methods."""
    found = postprocessor.postprocess_nodes(nodes, query_str=query)
    assert asyncio.run(postprocessor.apostprocess_nodes(nodes, QueryBundle(query))) == found
    return found


def test_the_best_nodes_come_first_with_their_fields_and_scores(
    nodes: list[NodeWithScore], reranker: CrossEncoderReranker
):
    texts = [each.node.get_content(MetadataMode.EMBED) for each in nodes]
    logits = reranker.score([(QUERY, text) for text in texts]).tolist()
    order = sorted(range(len(TEXTS)), key=lambda place: (-logits[place], place))
    found = both(RerankSearchPostprocessor(reranker=reranker, top_n=None), nodes)
    assert [each.node for each in found] == [nodes[place].node for place in order]
    assert all(type(each.score) is float and 0 <= each.score <= 1 for each in found)
    assert json.dumps([each.to_dict() for each in found])
    assert len(both(RerankSearchPostprocessor(reranker=reranker), nodes)) == 2
    assert len(both(RerankSearchPostprocessor(model=reranker, top_k=1), nodes)) == 1


def test_the_input_is_not_changed(nodes: list[NodeWithScore], reranker: CrossEncoderReranker):
    before = copy.deepcopy(nodes)
    postprocessor = RerankSearchPostprocessor(reranker=reranker, keep_retrieval_score=True)
    for _ in range(2):
        for found in both(postprocessor, nodes):
            assert not any(found is each or found.node is each.node for each in nodes)
            assert found.metadata == {"tags": ["ü", None], "retrieval_score": 0.5}
    assert nodes == before


def test_it_reads_what_llamaindex_embeds():
    long, hidden = (
        TextNode(id_=id, text="x", metadata={"k": "y" * 50}, excluded_embed_metadata_keys=keys)
        for id, keys in (("long", []), ("hidden", ["k"]))
    )
    image = ImageNode(id_="image", text="", image_path="a.png")
    given = [NodeWithScore(node=node) for node in (image, hidden, long)]
    found = both(RerankSearchPostprocessor(reranker=Lengths(), top_n=None), given)
    assert [each.node_id for each in found] == ["long", "hidden", "image"]


def test_no_nodes_give_none_and_load_nothing(nodes: list[NodeWithScore], events: list[Any]):
    postprocessor = RerankSearchPostprocessor(reranker="no/model")
    assert postprocessor.postprocess_nodes([]) == []
    assert both(postprocessor, []) == []
    assert events == []
    assert both(postprocessor, nodes, "  ") == []
    with pytest.raises(ModelNotFoundError, match="no/model"):
        postprocessor.postprocess_nodes(nodes, query_str=QUERY)
    with pytest.raises(InvalidInputError, match="give query_str or query_bundle"):
        postprocessor.postprocess_nodes(nodes)
    with pytest.raises(InvalidInputError, match="give query_str or query_bundle"):
        asyncio.run(postprocessor.apostprocess_nodes(nodes))


@pytest.mark.parametrize("top_n", [2, None])
def test_llamaindex_is_told_of_a_reranking(
    nodes: list[NodeWithScore], events: list[Any], top_n: int | None
):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    postprocessor = RerankSearchPostprocessor(
        reranker=Lengths(), top_n=top_n, callback_manager=CallbackManager([debug])
    )
    found = both(postprocessor, nodes)
    assert [type(event) for event in events] == [ReRankStartEvent, ReRankEndEvent] * 2
    for start, end in zip(events[::2], events[1::2], strict=True):
        assert start.query == QueryBundle(QUERY)
        assert start.nodes == nodes
        assert (start.top_n, start.model_name) == (top_n or len(nodes), "lengths")
        assert end.nodes == found
    assert len(debug.get_event_pairs(CBEventType.RERANKING)) == 2


def test_a_limit_acts_on_probabilities_and_may_leave_none(
    nodes: list[NodeWithScore], calibrated: Path
):
    found = both(RerankSearchPostprocessor(reranker=calibrated, top_n=None), nodes)
    scores = [each.get_score() for each in found]
    assert scores == sorted(scores, reverse=True)
    kept = both(
        RerankSearchPostprocessor(reranker=calibrated, min_relevance=scores[1], top_n=None), nodes
    )
    assert [each.score for each in kept] == [score for score in scores if score >= scores[1]]
    limited = RerankSearchPostprocessor(reranker=calibrated, min_relevance=1.0)
    assert both(limited, [nodes[int(found[-1].node_id)]]) == []
    with pytest.raises(InvalidInputError, match="calibrate"):
        both(RerankSearchPostprocessor(reranker=Lengths(), min_relevance=0.5), nodes)


def test_invalid_arguments_are_refused(nodes: list[NodeWithScore], two_labels: Path):
    for wrong in (
        {"top_n": 0},
        {"top_n": True},
        {"top_n": 2, "top_k": 2},
        {"model": "a", "reranker": "b"},
        {"min_relevance": 2},
        {"keep_retrieval_score": 1},
        {"topn": 2},
        {"reranker": 5},
    ):
        with pytest.raises(ValidationError):
            RerankSearchPostprocessor(**wrong)
    postprocessor = RerankSearchPostprocessor(reranker=Lengths())
    with pytest.raises(ValidationError, match="frozen"):
        postprocessor.reranker = "other"
    postprocessor.top_n = 1
    assert len(both(postprocessor, nodes)) == 1
    postprocessor.top_n = 0
    with pytest.raises(InvalidInputError, match="top_k=0"):
        both(postprocessor, nodes)
    with pytest.raises(RerankError, match="has 2"):
        RerankSearchPostprocessor(reranker=two_labels).postprocess_nodes(nodes, query_str=QUERY)


@pytest.mark.parametrize("wrong", [None, 5, "text", [None], ["text"], [TextNode(text="a")]])
def test_what_are_no_nodes_is_refused(wrong):
    postprocessor = RerankSearchPostprocessor(reranker=Lengths())
    with pytest.raises(InvalidInputError, match=r"nodes.*NodeWithScore"):
        postprocessor.postprocess_nodes(wrong, query_str=QUERY)
    with pytest.raises(InvalidInputError, match=r"nodes.*NodeWithScore"):
        asyncio.run(postprocessor.apostprocess_nodes(wrong, query_str=QUERY))


@pytest.mark.parametrize("wrong", [5, ["a"], QueryBundle(None), QueryBundle(5)])
def test_what_is_no_query_is_refused(nodes: list[NodeWithScore], wrong):
    with pytest.raises(InvalidInputError, match="query"):
        RerankSearchPostprocessor(reranker=Lengths()).postprocess_nodes(nodes, query_bundle=wrong)


ARGUMENTS = {"top_n": 3, "min_relevance": 0.1, "keep_retrieval_score": True}


def test_every_argument_survives_a_file(nodes: list[NodeWithScore], calibrated: Path):
    postprocessor = RerankSearchPostprocessor(reranker=calibrated, **ARGUMENTS)
    found = both(postprocessor, nodes)
    written = postprocessor.to_dict()
    named = {"reranker": str(calibrated), "class_name": "RerankSearchPostprocessor"}
    assert written == {**named, "instruction": None, **ARGUMENTS}
    read = RerankSearchPostprocessor.from_dict(written)
    assert read.to_dict() == written
    assert both(read, nodes) == found
    read = RerankSearchPostprocessor.from_json(postprocessor.to_json())
    assert read.to_dict() == written
    with pytest.raises(InvalidInputError, match="cannot be written to a file"):
        RerankSearchPostprocessor(reranker=Lengths()).to_json()


def test_threads_that_ask_first_together_load_once(
    nodes: list[NodeWithScore], tiny_reranker: Path, in_threads
):
    postprocessor = RerankSearchPostprocessor(reranker=str(tiny_reranker))
    results, loaded = in_threads(lambda: postprocessor.postprocess_nodes(nodes, query_str=QUERY))
    assert results == [postprocessor.postprocess_nodes(nodes, query_str=QUERY)] * 32
    assert loaded == 1


def test_calls_at_the_same_time_find_the_same_while_the_loop_goes_on(
    nodes: list[NodeWithScore], reranker: CrossEncoderReranker, counted
):
    postprocessor = RerankSearchPostprocessor(reranker=reranker)
    calls = [postprocessor.apostprocess_nodes(nodes, query_str=query) for query in QUERIES]
    found, ticks = counted(calls)
    assert found == [postprocessor.postprocess_nodes(nodes, query_str=query) for query in QUERIES]
    assert ticks > 10 * len(QUERIES)
