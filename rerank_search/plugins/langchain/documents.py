"""Hits as LangChain's documents."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from langchain_core.documents import Document

from rerank_search.errors import FilterWarning
from rerank_search.types import Document as IndexedDocument
from rerank_search.types import Hit, ReturnedText, SearchResponse

logger = logging.getLogger(__name__)


def scored_documents(response: SearchResponse, text: ReturnedText) -> list[Document]:
    """The documents of the hits, with what the search found out about them in their metadata."""
    tell(response)
    documents = []
    for hit in response.hits:
        found = document(found_document(hit, text))
        found.metadata = {"document_id": hit.id, **found.metadata, **_found_out(hit)}
        documents.append(found)
    return documents


def _found_out(hit: Hit) -> dict[str, Any]:
    """The score, and the passages and duplicates if the search asked for them."""
    more: dict[str, Any] = {
        "relevance_score": hit.score if hit.relevance is None else hit.relevance
    }
    if hit.passages:
        more["passages"] = [
            {
                "text": each.text,
                "span": None if each.span is None else list(each.span),
                "relevance_score": each.score if each.relevance is None else each.relevance,
            }
            for each in hit.passages
        ]
    if hit.duplicates:
        more["duplicates"] = list(hit.duplicates)
    return more


def document(found: IndexedDocument) -> Document:
    """A document with its id, its metadata, and its title as ``title`` if that is not there yet."""
    title = {"title": found.title} if found.title else {}
    return Document(found.text, id=found.id, metadata={**title, **found.metadata})


def found_document(hit: Hit, text: ReturnedText = "full") -> IndexedDocument:
    """The document of a hit, with the text that is asked for."""
    return hit.with_text(text).document or IndexedDocument(hit.id, "")


def tell(response: SearchResponse) -> None:
    """Issue the response's warnings about the filter, and log why it was not reranked."""
    for message in response.warnings:
        warnings.warn(message, FilterWarning, stacklevel=2)
    if response.degraded is not None:
        logger.warning("the first stage's ranking is returned: %s", response.degraded)
