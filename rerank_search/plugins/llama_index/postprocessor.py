"""The reranker as a LlamaIndex node postprocessor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from pydantic import ConfigDict, Field, PrivateAttr, SkipValidation, model_validator

from rerank_search.arguments import objects, real_number, truth_value, whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.models.registry import AUTO
from rerank_search.plugins.option_names import renamed
from rerank_search.plugins.rerankers import RankedText, RerankerGiven, TextRanker
from rerank_search.queries import check_instruction, check_text
from rerank_search.shown import shown

dispatcher = get_dispatcher(__name__)


class RerankSearchPostprocessor(BaseNodePostprocessor):
    """Reranks the nodes that a retriever has found. Threads and event loops may share one.

        >>> from llama_index.core.schema import NodeWithScore, TextNode
        >>> reranker = RerankSearchPostprocessor(top_n=1)
        >>> nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("bread", "join paths")]
        >>> [best] = reranker.postprocess_nodes(nodes, query_str="how to join paths")
        >>> best.text
        'join paths'

    ``reranker`` (also ``model``) is the name or the folder of a model, loaded at the first use, or
    a Reranker. ``top_n`` (also ``top_k``) is the number of nodes to return, None for all.
    ``min_relevance`` leaves out nodes whose probability of being relevant is lower; it needs a
    calibrated reranker. ``instruction`` says what makes a node relevant, to a reranker that takes
    one. ``keep_retrieval_score`` adds the score that a node came with to its metadata, as
    ``retrieval_score``.

    It reads what LlamaIndex embeds of a node, the text with its metadata. The nodes that are given
    stay as they are; the score of those that are returned is the probability, or the score in
    [0, 1] of a reranker that is not calibrated. Nodes with equal logits keep their order. No nodes
    and a blank query give no nodes, and nothing is loaded for them.

    Raises pydantic's ValidationError for invalid arguments of the constructor, InvalidInputError
    for those of a call, RerankError and ModelNotFoundError.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    reranker: SkipValidation[RerankerGiven] = Field(AUTO, frozen=True)
    top_n: int | None = 2
    min_relevance: float | None = None
    instruction: str | None = None
    keep_retrieval_score: bool = False

    _ranker: TextRanker = PrivateAttr()

    @model_validator(mode="before")
    @classmethod
    def _checked(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        arguments = renamed(given, model="reranker", top_k="top_n")
        if (top_n := arguments.get("top_n")) is not None:
            arguments["top_n"] = whole_number("top_n", top_n)
        if (least := arguments.get("min_relevance")) is not None:
            arguments["min_relevance"] = real_number("min_relevance", least, least=0, most=1)
        if (instruction := arguments.get("instruction")) is not None:
            check_instruction(instruction)
        if (keep := arguments.get("keep_retrieval_score")) is not None:
            arguments["keep_retrieval_score"] = truth_value("keep_retrieval_score", keep)
        return arguments

    @model_validator(mode="after")
    def _with_ranker(self) -> RerankSearchPostprocessor:
        self._ranker = TextRanker(self.reranker)
        return self

    @classmethod
    def class_name(cls) -> str:
        """The name of the class in LlamaIndex's files."""
        return "RerankSearchPostprocessor"

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """The arguments, as ``from_dict`` takes them.

        Raises InvalidInputError for a reranker that is an object: give its name or its folder.
        """
        return {**super().to_dict(**kwargs), **self._ranker.settings}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its arguments; the folder of a model by its absolute path."""
        _, (reranker,) = self._ranker.__reduce__()
        arguments = {name: getattr(self, name) for name in type(self).model_fields}
        del arguments["callback_manager"]  # whose handlers belong to this process
        return partial(type(self), **{**arguments, "reranker": reranker}), ()

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if not (nodes := objects("nodes", nodes, NodeWithScore)):
            return []
        query = _checked_query(query_bundle)
        with self._told(nodes, query) as best:
            ranked = self._ranker.ranked(query.query_str, _texts(nodes), **self._options)
            best += self._chosen(nodes, ranked)
        return best

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if not (nodes := objects("nodes", nodes, NodeWithScore)):
            return []
        query = _checked_query(query_bundle)
        with self._told(nodes, query) as best:
            ranked = await self._ranker.aranked(query.query_str, _texts(nodes), **self._options)
            best += self._chosen(nodes, ranked)
        return best

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "top_k": self.top_n,
            "min_relevance": self.min_relevance,
            "instruction": self.instruction,
        }

    @contextmanager
    def _told(
        self, nodes: list[NodeWithScore], query: QueryBundle
    ) -> Iterator[list[NodeWithScore]]:
        """Tell LlamaIndex's handlers when reranking starts, and when the list has been filled."""
        best: list[NodeWithScore] = []
        top_n = len(nodes) if self.top_n is None else self.top_n
        name = self._ranker.name
        dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=name))
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query.query_str,
            EventPayload.TOP_K: top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield best
            event.on_end(payload={EventPayload.NODES: best})
        dispatcher.event(ReRankEndEvent(nodes=best))

    def _chosen(
        self, nodes: Sequence[NodeWithScore], ranked: Sequence[RankedText]
    ) -> list[NodeWithScore]:
        """Copies of the ranked nodes, with their scores."""
        chosen = []
        for each in ranked:
            given = nodes[each.position]
            changed: dict[str, Any] = {"score": each.relevance_score}
            if self.keep_retrieval_score:
                metadata = {**given.node.metadata, "retrieval_score": given.score}
                changed["node"] = given.node.model_copy(update={"metadata": metadata})
            chosen.append(given.model_copy(update=changed))
        return chosen


def _texts(nodes: Sequence[NodeWithScore]) -> list[str]:
    return [each.node.get_content(MetadataMode.EMBED) for each in nodes]


def _checked_query(bundle: QueryBundle | None) -> QueryBundle:
    if bundle is None:
        raise InvalidInputError("reranking needs a query: give query_str or query_bundle")
    if not isinstance(bundle, QueryBundle):
        raise InvalidInputError(
            f"query_bundle={shown(bundle)} is not a QueryBundle: give one, or query_str"
        )
    check_text(bundle.query_str, "query_str")
    return bundle
