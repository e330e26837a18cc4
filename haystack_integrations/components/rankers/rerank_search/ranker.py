"""The reranker as a Haystack ranker."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.core.errors import SerializationError

from rerank_search.arguments import objects, real_number, several, string, truth_value, whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.models.registry import AUTO
from rerank_search.plugins.rerankers import RankedText, RerankerGiven, TextRanker
from rerank_search.queries import check_instruction


@component
class RerankSearchRanker:
    """Reranks the documents that a retriever has found. Threads and event loops may share one.

        >>> ranker = RerankSearchRanker(top_k=1)
        >>> documents = [Document(content="bread and cheese"), Document(content="join paths by /")]
        >>> [best] = ranker.run("how to join paths", documents)["documents"]
        >>> best.content
        'join paths by /'

    ``reranker`` is the name or the folder of a model, loaded at the first use, or a Reranker.
    ``min_relevance`` leaves out documents whose probability of being relevant is lower; it needs a
    calibrated reranker. ``instruction`` says what makes a document relevant, to a reranker that
    takes one. ``meta_fields_to_embed`` are metadata keys whose values the model reads
    before the content, each followed by ``embedding_separator``.

    ``score`` is the probability that the document is relevant, or the score in [0, 1] of a reranker
    that is not calibrated; ``scale_score=False`` gives the logit. Documents are copies, with equal
    ones in the order in which they came. Of documents with the same id the one with the highest
    score is ranked, as in Haystack's own rankers. No documents give no documents, and nothing is
    loaded for them.

    Raises InvalidInputError for invalid arguments, RerankError and ModelNotFoundError.
    """

    def __init__(
        self,
        reranker: RerankerGiven = AUTO,
        *,
        top_k: int = 10,
        min_relevance: float | None = None,
        scale_score: bool = True,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        instruction: str | None = None,
    ) -> None:
        self.reranker = reranker
        self.top_k = whole_number("top_k", top_k)
        self.min_relevance = min_relevance
        if min_relevance is not None:
            self.min_relevance = real_number("min_relevance", min_relevance, least=0, most=1)
        self.scale_score = truth_value("scale_score", scale_score)
        fields = several("meta_fields_to_embed", meta_fields_to_embed or [], one="names")
        self.meta_fields_to_embed = [string("meta_fields_to_embed", each) for each in fields]
        self.embedding_separator = string("embedding_separator", embedding_separator)
        if instruction is not None:
            check_instruction(instruction)
        self.instruction = instruction
        self._ranker = TextRanker(reranker)

    def warm_up(self) -> None:
        """Load the model, unless that is done already."""
        _ = self._ranker.reranker

    async def warm_up_async(self) -> None:
        """``warm_up`` in a thread, while the event loop goes on."""
        await asyncio.to_thread(self.warm_up)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        min_relevance: float | None = None,
        scale_score: bool | None = None,
        instruction: str | None = None,
    ) -> dict[str, list[Document]]:
        """The best documents for the query, best first, as ``documents``.

        Arguments other than None win over those of the constructor.
        """
        given, texts = self._read(documents)
        options = self._options(top_k, min_relevance, instruction)
        best = self._ranker.ranked(query, texts, **options)
        return {"documents": self._scored(given, best, scale_score)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        min_relevance: float | None = None,
        scale_score: bool | None = None,
        instruction: str | None = None,
    ) -> dict[str, list[Document]]:
        """``run`` for asyncio: in a thread, while the event loop goes on."""
        given, texts = self._read(documents)
        options = self._options(top_k, min_relevance, instruction)
        best = await self._ranker.aranked(query, texts, **options)
        return {"documents": self._scored(given, best, scale_score)}

    def to_dict(self) -> dict[str, Any]:
        """All arguments, for Haystack's files. Raises SerializationError for a Reranker."""
        try:
            return default_to_dict(self, **{**self._arguments(), **self._ranker.settings})
        except InvalidInputError as error:
            raise SerializationError(str(error)) from error

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RerankSearchRanker:
        """The ranker that ``to_dict`` has written."""
        return default_from_dict(cls, data)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its arguments. Raises what pickling a Reranker raises."""
        return partial(RerankSearchRanker, **self._arguments()), ()

    def _arguments(self) -> dict[str, Any]:
        return {
            "reranker": self.reranker,
            "top_k": self.top_k,
            "min_relevance": self.min_relevance,
            "scale_score": self.scale_score,
            "meta_fields_to_embed": self.meta_fields_to_embed,
            "embedding_separator": self.embedding_separator,
            "instruction": self.instruction,
        }

    def _options(
        self, top_k: int | None, min_relevance: float | None, instruction: str | None
    ) -> dict[str, Any]:
        return {
            "top_k": self.top_k if top_k is None else top_k,
            "min_relevance": self.min_relevance if min_relevance is None else min_relevance,
            "instruction": self.instruction if instruction is None else instruction,
        }

    def _read(self, documents: Sequence[Document]) -> tuple[list[Document], list[str]]:
        """The documents, each id once, and what the model reads of each."""
        best: dict[str, Document] = {}
        for document in objects("documents", documents, Document, of=" of Haystack"):
            other = best.get(document.id)
            if other is None or _score(document) > _score(other):
                best[document.id] = document
        return [*best.values()], [self._text(document) for document in best.values()]

    def _text(self, document: Document) -> str:
        values = (document.meta.get(field) for field in self.meta_fields_to_embed)
        parts = [str(value) for value in values if value not in (None, "")]
        return self.embedding_separator.join([*parts, document.content or ""])

    def _scored(
        self, documents: Sequence[Document], best: Sequence[RankedText], scale_score: bool | None
    ) -> list[Document]:
        """Copies of the ranked documents, with their scores."""
        scaled = (
            self.scale_score if scale_score is None else truth_value("scale_score", scale_score)
        )
        return [
            replace(documents[each.position], score=each.relevance_score if scaled else each.score)
            for each in best
        ]


def _score(document: Document) -> float:
    return -math.inf if document.score is None else document.score
