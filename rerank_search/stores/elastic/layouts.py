"""Documents as JSON of Elasticsearch and OpenSearch, in an index of ours and in one of others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rerank_search.errors import InvalidDocumentError, StoreMismatchError
from rerank_search.shown import shown
from rerank_search.storage.records import Record
from rerank_search.stores.attribute_keys import attribute_keys
from rerank_search.stores.elastic.filters import FieldFilters, Filters, KeyFilters, inside
from rerank_search.types import Document

ID, TITLE, TEXT, SEARCHED, METADATA, ATTRIBUTES, VECTOR = (
    "id", "title", "text", "searched", "metadata", "attributes", "vector"
)  # fmt: skip
"""The fields of an index of ours: the metadata as they are and as attribute keys, and the title and
the text together as BM25 reads them."""

LONGEST_KEYWORD = 32_766
"""Most bytes of a keyword."""

LONGEST_ID = 512
"""Most bytes of an id of a document of the engine."""

ALL_OTHERS = "*"
"""The name of the metadata field where all other fields are the metadata."""


class Layout(Protocol):
    """Where an index has the parts of a document."""

    @property
    def searched(self) -> str:
        """The field that BM25 ranks by."""
        ...

    @property
    def id_field(self) -> str | None:
        """The field of the ids that results can be sorted by, if there is one."""
        ...

    @property
    def filters(self) -> Filters:
        """How filters are translated."""
        ...

    def key(self, id: str) -> str:
        """The engine's own id of a document."""
        ...

    def having(self, ids: Sequence[str]) -> dict[str, Any]:
        """A query for the documents with these ids."""
        ...

    def document(self, found: Mapping[str, Any]) -> Document:
        """The document of a result with its source."""
        ...

    def source(self, record: Record) -> dict[str, Any]:
        """What is written for a document. Raises InvalidDocumentError."""
        ...


class OwnLayout:
    """The layout of an index that this library made: any string is an id."""

    searched = SEARCHED
    id_field = ID
    filters: Filters = KeyFilters(ATTRIBUTES)

    def key(self, id: str) -> str:
        """A digest, since the engine's own ids are short."""
        return hashlib.sha256(id.encode()).hexdigest()

    def having(self, ids: Sequence[str]) -> dict[str, Any]:
        """A query for the documents with these ids."""
        return {"terms": {ID: list(ids)}}

    def document(self, found: Mapping[str, Any]) -> Document:
        """The document of a result."""
        source = found["_source"]
        return Document(source[ID], source[TEXT], source[TITLE], source[METADATA])

    def source(self, record: Record) -> dict[str, Any]:
        """What is written for a document."""
        metadata = json.loads(record.metadata)
        keys = attribute_keys(metadata)
        for keyword in (record.id, *keys):
            if len(keyword.encode()) > LONGEST_KEYWORD:
                raise InvalidDocumentError(
                    f"the document {shown(record.id)} has an id or a metadata value of more than "
                    f"{LONGEST_KEYWORD:,} bytes, which filters cannot have: shorten it"
                )
        return {
            ID: record.id,
            TITLE: record.title,
            TEXT: record.text,
            METADATA: metadata,
            ATTRIBUTES: keys,
            **_vector(record, VECTOR),
        }


@dataclass(frozen=True, slots=True)
class FoundLayout:
    """The layout of any other index, whose own ids are those of the documents."""

    text: str
    title: str
    metadata: str
    searched: str
    vector: str | None
    fields: Mapping[str, Any]

    @property
    def id_field(self) -> str | None:
        """None, since results cannot be sorted by the engine's own ids."""
        return None

    @property
    def filters(self) -> Filters:
        """Filters over the mapped fields of the metadata."""
        if self.metadata == ALL_OTHERS:
            others = (self.text, self.title, self.vector)
            fields = {name: each for name, each in self.fields.items() if name not in others}
            return FieldFilters(fields, ())
        return FieldFilters(inside(self.fields.get(self.metadata) or {}), (self.metadata,))

    def key(self, id: str) -> str:
        """The id itself."""
        return id

    def having(self, ids: Sequence[str]) -> dict[str, Any]:
        """A query for the documents with these ids."""
        return {"ids": {"values": list(ids)}}

    def document(self, found: Mapping[str, Any]) -> Document:
        """The document of a result."""
        source, id = found["_source"], found["_id"]
        text, title = source.get(self.text), source.get(self.title) or ""
        if not isinstance(text, str) or not isinstance(title, str):
            wrong = self.text if not isinstance(text, str) else self.title
            raise StoreMismatchError(
                f"the document {shown(id)} has {shown(source.get(wrong))} in the field "
                f"{shown(wrong)}, and should have a string: name the fields in the URL, as in "
                "?text=body&title=heading"
            )
        if self.metadata == ALL_OTHERS:
            others = {self.text, self.title, self.vector}
            metadata = {name: value for name, value in source.items() if name not in others}
        else:
            metadata = source.get(self.metadata)
        return Document(id, text, title, metadata if isinstance(metadata, dict) else {})

    def source(self, record: Record) -> dict[str, Any]:
        """What is written for a document."""
        if len(record.id.encode()) > LONGEST_ID:
            raise InvalidDocumentError(
                f"the document {shown(record.id)} has an id of more than {LONGEST_ID} bytes: "
                "shorten it, or have this library make the index"
            )
        metadata = json.loads(record.metadata)
        parts = {self.text: record.text, self.title: record.title}
        vector = {} if self.vector is None else _vector(record, self.vector)
        if self.metadata != ALL_OTHERS:
            return {**parts, self.metadata: metadata, **vector}
        if taken := metadata.keys() & {*parts, *vector}:
            raise InvalidDocumentError(
                f"the document {shown(record.id)} has the metadata key {shown(min(taken))}, which "
                "is another field of this index: rename the key"
            )
        return {**metadata, **parts, **vector}


def _vector(record: Record, field: str) -> dict[str, list[float]]:
    if record.vector is None:
        return {}
    return {field: np.frombuffer(record.vector, "<f4").tolist()}
