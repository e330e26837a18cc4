"""Calls of the server's rerankers: rank texts, list the rerankers."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from rerank_search.arguments import whole_number
from rerank_search.client.call import Call, post
from rerank_search.queries import check_instruction, check_text, text_list
from rerank_search.types import Document, Hit

if TYPE_CHECKING:
    from rerank_search.reranking.base import LongDocuments


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A reranker of a server. Fields that the server does not report are None."""

    name: str
    max_length: int | None
    backend: str | None
    dtype: str | None


def ranking(
    query: str,
    texts: Iterable[str],
    *,
    top_k: int,
    long_documents: LongDocuments,
    model: str | None,
    instruction: str | None = None,
) -> Call[list[Hit]] | None:
    """Rank the texts, or None if there is nothing to rank. Raises InvalidInputError."""
    top_k = whole_number("top_k", top_k)  # the API would take 0 for all
    check_text(query, "the query")
    if instruction is not None:
        check_instruction(instruction)
    given = text_list(texts)
    if not query.strip() or not given:
        return None

    def hits(answer: Any) -> list[Hit]:
        for warning in answer.get("meta", {}).get("warnings") or ():
            _log(warning)
        return [
            Hit(
                id=str(each["index"]),
                score=each["relevance_score"],
                rank=rank,
                document=Document(str(each["index"]), given[each["index"]]),
            )
            for rank, each in enumerate(answer["results"], start=1)
        ]

    body = {
        "model": model,
        "query": query,
        "documents": given,
        "top_n": top_k,
        "long_documents": long_documents,
    }
    if instruction is not None:  # which servers of version 0.1 may not know
        body["instruction"] = instruction
    return post("/v2/rerank", body, hits)


@cache
def _log(warning: str) -> None:
    """Log a warning of the server, once."""
    logger.warning("the server says: %s", warning)


def models() -> Call[list[ServedModel]]:
    """List the rerankers."""
    return Call("GET", "/v1/models", _models)


def _models(answer: Any) -> list[ServedModel]:
    return [
        ServedModel(each["id"], each.get("max_length"), each.get("backend"), each.get("dtype"))
        for each in answer["data"]
    ]
