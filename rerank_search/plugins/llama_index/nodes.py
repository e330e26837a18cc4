"""LlamaIndex's nodes as documents of an index, and hits as nodes."""

from __future__ import annotations

import json
from contextlib import suppress

from llama_index.core.schema import BaseNode, MetadataMode, NodeWithScore, TextNode
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from rerank_search.errors import InvalidDocumentError, InvalidInputError
from rerank_search.plugins.found import (
    found_document,
    further,
    in_context,
    readable,
    scores,
    tell,
)
from rerank_search.shown import shown
from rerank_search.types import Document, Hit, ReturnedText, SearchResponse

CONTENT, KIND = "_node_content", "_node_type"
"""The metadata keys in which LlamaIndex's vector stores keep the rest of a node."""

NODE_ID = "_node_id"
"""The metadata key of a node's own id, for filters."""

SOURCE_ID = "ref_doc_id"
"""The metadata key of the id of the document that a node is a part of."""

_SOURCE_KEYS = (SOURCE_ID, "doc_id", "document_id")


def document_of(node: BaseNode) -> Document:
    """The document that holds a node, with the metadata that LlamaIndex writes for every store.

    The title is the metadata that LlamaIndex would embed with the text, so that it is searched.
    """
    if not isinstance(node, BaseNode):
        raise InvalidInputError(f"{shown(node)} is not a node: give nodes, such as TextNode")
    metadata = node_to_metadata_dict(node, remove_text=True)
    try:
        json.dumps(node.metadata, allow_nan=False, default=str)
    except ValueError as error:  # LlamaIndex writes null
        raise InvalidDocumentError(
            f"the node {shown(node.node_id)} has a number in its metadata that is not finite, "
            "which JSON cannot hold: remove it"
        ) from error
    if node.ref_doc_id is None:  # LlamaIndex writes "None", also over the node's own values
        own = node.metadata
        metadata = {k: v for k, v in metadata.items() if k not in _SOURCE_KEYS or k in own}
        metadata |= {k: own[k] for k in _SOURCE_KEYS if k in own}
    return Document(
        node.node_id,
        node.get_content(MetadataMode.NONE),
        node.get_metadata_str(MetadataMode.EMBED),
        {**metadata, NODE_ID: node.node_id},
    )


def node_of(document: Document, text: ReturnedText = "full") -> BaseNode:
    """The node that was added, or a TextNode for a document that another way has added.

    The latter has the document's title as ``title`` in its metadata if that is not there yet, and
    as its text if it has none. ``text`` is the part of the text that the document has.
    """
    metadata = dict(document.metadata)
    if isinstance(metadata.get(CONTENT), str) and KIND in metadata:
        with suppress(ValueError):  # the key of somebody else
            return metadata_dict_to_node(metadata, document.text)
    title = {"title": document.title} if document.title else {}
    content = readable(document, text).text
    return TextNode(id_=document.id, text=content, metadata={**title, **metadata})


def scored_nodes(response: SearchResponse, text: ReturnedText = "full") -> list[NodeWithScore]:
    """The nodes of the hits, with their scores."""
    tell(response)
    return [
        NodeWithScore(node=_node(hit, text), score=score)
        for hit, score in zip(response.hits, scores(response), strict=True)
    ]


def packed_nodes(response: SearchResponse, tokens: int) -> list[NodeWithScore]:
    """A node for each document of the packed context, which a prompt has as it is."""
    nodes = scored_nodes(in_context(response, tokens))
    for each in nodes:
        each.node.excluded_llm_metadata_keys = [*each.node.metadata]
    return nodes


def _node(hit: Hit, text: ReturnedText) -> BaseNode:
    node = node_of(found_document(hit, text), text)
    if text == "passage" and hit.span is not None and isinstance(node, TextNode):
        start = node.start_char_idx or 0
        node.start_char_idx, node.end_char_idx = start + hit.span[0], start + hit.span[1]
    if more := further(hit):
        node.metadata = {**node.metadata, **more}
        # They are for the program, and no part of what a model reads.
        node.excluded_llm_metadata_keys = [*node.excluded_llm_metadata_keys, *more]
        node.excluded_embed_metadata_keys = [*node.excluded_embed_metadata_keys, *more]
    return node
