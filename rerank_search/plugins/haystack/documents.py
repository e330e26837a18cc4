"""Documents of Haystack in an index, and hits as documents of Haystack.

Content is the text, and ``meta`` the metadata. What an index has no place for (blob, embeddings,
score, and that there is no content) is kept as one string under the key KEPT of the metadata, so
that a document comes back as it was written.
"""

from __future__ import annotations

import json
import logging
import math
import struct
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

from haystack.dataclasses import ByteStream, Document, SparseEmbedding

from rerank_search.errors import InvalidDocumentError
from rerank_search.plugins.found import found_document, further, in_context, readable, scores
from rerank_search.shown import shown
from rerank_search.types import Document as IndexedDocument
from rerank_search.types import ReturnedText, SearchResponse

logger = logging.getLogger(__name__)

KEPT = "_haystack"
"""The metadata key for what only Haystack's documents have."""


def to_index(document: Document) -> IndexedDocument:
    """The document as an index stores it. Raises InvalidDocumentError."""
    check_meta(document.meta)
    kept = _kept(document)
    metadata = {**document.meta, KEPT: kept} if kept else document.meta
    return IndexedDocument(document.id, document.content or "", metadata=metadata)


def check_meta(meta: Mapping[str, Any]) -> None:
    """Raise InvalidDocumentError for what is no mapping, and for one with the key KEPT."""
    if not isinstance(meta, Mapping):
        raise InvalidDocumentError(f"meta={shown(meta)} is not a mapping: give a dict")
    if KEPT in meta:
        raise InvalidDocumentError(
            f"the metadata key {KEPT!r} is used for blobs and embeddings: rename the key"
        )


def from_index(
    found: IndexedDocument, text: ReturnedText = "full", **found_by_search: Any
) -> Document:
    """The document as it was written; a title of the index is the ``title`` of its metadata.

    A document without text that has a title has it as its content. ``text`` is the part of the text
    that ``found`` has. Further arguments are fields of the document, which win.
    """
    meta = {"title": found.title, **found.metadata} if found.title else dict(found.metadata)
    fields: dict[str, Any] = {"content": readable(found, text).text}
    kept = meta.pop(KEPT, None)
    if isinstance(kept, str):
        fields |= _fields(json.loads(kept))
        fields["content"] = found.text or fields["content"]
    return Document(**{"id": found.id, "meta": meta, **fields, **found_by_search})


def found_documents(
    response: SearchResponse,
    *,
    text: ReturnedText,
    scale_score: bool,
    context_tokens: int | None = None,
) -> list[Document]:
    """The documents of the hits, with their scores. The log has the response's warnings.

    ``context_tokens`` gives those of a packed context of that size, with their parts of it.
    """
    for message in response.warnings:
        logger.warning("%s", message)
    if response.degraded is not None:
        logger.warning("the first stage's ranking is returned: %s", response.degraded)
    if context_tokens is not None:
        response = in_context(response, context_tokens)
    documents = []
    given = _scaled(response) if scale_score else [hit.score for hit in response.hits]
    for hit, score in zip(response.hits, given, strict=True):
        document = from_index(found_document(hit, text), text, score=score)
        document.meta.update(further(hit))
        documents.append(document)
    return documents


def _scaled(response: SearchResponse) -> list[float]:
    """Probabilities, or the sigmoids of reranked scores; a first stage's scores stay."""
    given = scores(response)
    if response.reranked and any(hit.relevance is None for hit in response.hits):
        return [_sigmoid(score) for score in given]
    return given


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else 1 - _sigmoid(-logit)


def _kept(document: Document) -> str | None:
    kept: dict[str, Any] = {}
    if document.content is None:
        kept["content"] = None
    if document.score is not None:
        kept["score"] = float(document.score)
    try:
        if (blob := document.blob) is not None:
            data = b64encode(blob.data).decode()
            kept["blob"] = {"data": data, "meta": blob.meta, "mime_type": blob.mime_type}
        if document.embedding is not None:
            kept["embedding"] = _packed(document.embedding)
        if (sparse := document.sparse_embedding) is not None:
            kept["sparse_embedding"] = {
                "indices": list(sparse.indices),
                "values": _packed(sparse.values),
            }
        return json.dumps(kept, ensure_ascii=False) if kept else None
    except (TypeError, ValueError, struct.error) as error:
        raise InvalidDocumentError(
            f"the blob or an embedding of the document {shown(document.id)} cannot be stored "
            f"({error}): give bytes with metadata of JSON types, and lists of numbers"
        ) from error


def _fields(kept: dict[str, Any]) -> dict[str, Any]:
    if (blob := kept.get("blob")) is not None:
        kept["blob"] = ByteStream(**{**blob, "data": b64decode(blob["data"])})
    if (packed := kept.get("embedding")) is not None:
        kept["embedding"] = _unpacked(packed)
    if (sparse := kept.get("sparse_embedding")) is not None:
        kept["sparse_embedding"] = SparseEmbedding(sparse["indices"], _unpacked(sparse["values"]))
    return kept


def _packed(values: list[float]) -> str:
    """All bits of the floats as text: a list would make an entry for filters of every number."""
    return b64encode(struct.pack(f"<{len(values)}d", *values)).decode()


def _unpacked(packed: str) -> list[float]:
    data = b64decode(packed)
    return list(struct.unpack(f"<{len(data) // 8}d", data))
