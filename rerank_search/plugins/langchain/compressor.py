"""The reranker as a LangChain document compressor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, PrivateAttr, SkipValidation, model_validator

from rerank_search.arguments import objects, real_number, whole_number
from rerank_search.models.registry import AUTO
from rerank_search.plugins.option_names import renamed
from rerank_search.plugins.rerankers import RankedText, RerankerGiven, TextRanker
from rerank_search.queries import check_instruction


class RerankSearchCompressor(BaseDocumentCompressor):
    """Reranks the documents that a retriever has found. Threads and event loops may share one.

        >>> from langchain_core.documents import Document
        >>> compressor = RerankSearchCompressor(top_n=1)
        >>> documents = [Document("bread and cheese"), Document("join paths with a slash")]
        >>> [best] = compressor.compress_documents(documents, "how to join paths")
        >>> best.page_content
        'join paths with a slash'

    ``reranker`` is the name or the folder of a model, loaded at the first use, or a Reranker.
    ``top_n`` (also ``top_k``) is the number of documents to return, None for all.
    ``min_relevance`` leaves out documents whose probability of being relevant is lower; it needs a
    calibrated reranker. ``instruction`` says what makes a document relevant, to a reranker that
    takes one.

    Documents are copies with their ids and all of their metadata, and as ``relevance_score`` the
    probability, or the score in [0, 1] of a reranker that is not calibrated. Documents with equal
    logits keep their order. No documents give no documents, and nothing is loaded for them.

    Raises pydantic's ValidationError for invalid arguments of the constructor, InvalidInputError
    for those of a call, RerankError and ModelNotFoundError.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    reranker: SkipValidation[RerankerGiven] = AUTO
    top_n: int | None = 3
    min_relevance: float | None = None
    instruction: str | None = None

    _ranker: TextRanker = PrivateAttr()

    if TYPE_CHECKING:  # pydantic's own signature has no top_k

        def __init__(
            self,
            *,
            reranker: RerankerGiven = AUTO,
            top_n: int | None = 3,
            top_k: int | None = 3,
            min_relevance: float | None = None,
            instruction: str | None = None,
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _checked_numbers(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        arguments = renamed(given, top_k="top_n")
        if (top_n := arguments.get("top_n")) is not None:
            arguments["top_n"] = whole_number("top_n", top_n)
        if (least := arguments.get("min_relevance")) is not None:
            arguments["min_relevance"] = real_number("min_relevance", least, least=0, most=1)
        if (instruction := arguments.get("instruction")) is not None:
            check_instruction(instruction)
        return arguments

    @model_validator(mode="after")
    def _with_ranker(self) -> RerankSearchCompressor:
        self._ranker = TextRanker(self.reranker)
        return self

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """The best documents for the query, best first."""
        given = _checked(documents)
        return _chosen(given, self._ranker.ranked(query, _texts(given), **self._options))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """``compress_documents`` for asyncio: in a thread, while the event loop goes on."""
        given = _checked(documents)
        return _chosen(given, await self._ranker.aranked(query, _texts(given), **self._options))

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "top_k": self.top_n,
            "min_relevance": self.min_relevance,
            "instruction": self.instruction,
        }


def _checked(documents: Sequence[Document]) -> list[Document]:
    return objects("documents", documents, Document, of=" of LangChain")


def _texts(documents: Sequence[Document]) -> list[str]:
    return [document.page_content for document in documents]


def _chosen(documents: Sequence[Document], best: Sequence[RankedText]) -> list[Document]:
    """Copies of the ranked documents, with their scores."""
    return [
        found.model_copy(
            update={"metadata": {**found.metadata, "relevance_score": each.relevance_score}}
        )
        for each in best
        for found in [documents[each.position]]
    ]
