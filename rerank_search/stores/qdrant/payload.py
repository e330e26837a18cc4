"""Documents as points of Qdrant: their ids, and the keys of their payload."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from rerank_search.errors import InvalidDocumentError, StoreMismatchError
from rerank_search.shown import shown
from rerank_search.storage.attributes import path_key
from rerank_search.storage.records import Record
from rerank_search.stores.qdrant.calls import NewPoint, Point, PointId
from rerank_search.types import Document, JsonValue

NAMESPACE = uuid.UUID("0d7c1f5e-7d0b-5d2e-9c2a-3c1b3f7f7a55")
"""The namespace of the UUIDs that are derived from the ids of documents."""

ID, EMPTY_LISTS, SEARCHED = "id", "empty_lists", "searched"
"""Payload keys of a collection of ours: the document's id, the names of metadata keys with empty
lists, and the title and the text as BM25 reads them."""

ALL_OTHERS = "*"
"""The name of the metadata key where all other keys of the payload are the metadata."""

LARGEST_ID, LARGEST_NUMBER, SMALLEST_NUMBER = 2**64 - 1, 2**64 - 1, -(2**63)


class Layout(Protocol):
    """Where a collection has the parts of a document."""

    def point_id(self, id: str) -> PointId | None:
        """The id of the document's point; None if no point can have this id."""
        ...

    def id_of(self, point: Point) -> str:
        """The id of the point's document."""
        ...

    @property
    def id_keys(self) -> Sequence[str]:
        """The payload keys that ``id_of`` reads."""
        ...

    def document(self, point: Point) -> Document:
        """The document of a point."""
        ...

    def point(self, record: Record) -> NewPoint:
        """The point of a document. Raises InvalidDocumentError for one that cannot be stored."""
        ...


@dataclass(frozen=True, slots=True)
class PayloadKeys:
    """The payload keys of a document's text, title and metadata."""

    text: str
    title: str
    metadata: str

    def document(self, id: str, payload: Mapping[str, Any]) -> Document:
        """The document with this payload."""
        text, title = payload.get(self.text), payload.get(self.title, "")
        if not isinstance(text, str) or not isinstance(title or "", str):
            key, value = (self.text, text) if not isinstance(text, str) else (self.title, title)
            raise StoreMismatchError(
                f"the point {shown(id)} has {shown(value)} under the payload key {shown(key)}, and "
                "should have a string: name the payload keys in the URL, as in "
                "?text=page_content&title=heading"
            )
        metadata: Any
        if self.metadata == ALL_OTHERS:
            metadata = {k: v for k, v in payload.items() if k not in (self.text, self.title)}
        else:
            metadata = payload.get(self.metadata)
        return Document(id, text, title or "", metadata if isinstance(metadata, dict) else {})

    def payload(self, record: Record) -> dict[str, Any]:
        """The payload of a document."""
        metadata = _metadata(record)
        if self.metadata != ALL_OTHERS:
            return {self.text: record.text, self.title: record.title, self.metadata: metadata}
        if taken := metadata.keys() & {self.text, self.title}:
            raise InvalidDocumentError(
                f"the document {shown(record.id)} has the metadata key {shown(min(taken))}, which "
                "is its text or title in this collection: rename the key"
            )
        return {**metadata, self.text: record.text, self.title: record.title}


@dataclass(frozen=True, slots=True)
class OwnLayout:
    """The layout of a collection that this library made: any string is an id."""

    keys: PayloadKeys

    id_keys = (ID,)

    def point_id(self, id: str) -> PointId | None:
        """A UUID that is derived from the id."""
        return str(uuid.uuid5(NAMESPACE, id))

    def id_of(self, point: Point) -> str:
        """The id in the payload."""
        return str(point.payload.get(ID, point.id))

    def document(self, point: Point) -> Document:
        """The document of a point."""
        return self.keys.document(self.id_of(point), point.payload)

    def point(self, record: Record) -> NewPoint:
        """The point of a document."""
        payload = self.keys.payload(record)
        searched = f"{record.title}\n{record.text}" if record.title else record.text
        payload |= {ID: record.id, SEARCHED: searched}
        if "[]" in record.metadata:
            payload[EMPTY_LISTS] = sorted(_empty_lists(payload[self.keys.metadata], ()))
        return NewPoint(str(uuid.uuid5(NAMESPACE, record.id)), payload, _vector(record))


@dataclass(frozen=True, slots=True)
class FoundLayout:
    """The layout of any other collection: the ids of its points are those of the documents."""

    keys: PayloadKeys

    id_keys = ()

    def point_id(self, id: str) -> PointId | None:
        """The id as Qdrant has it; None if it is neither an integer nor a UUID."""
        if id.isascii() and id.isdigit() and str(int(id[:21])) == id and int(id) <= LARGEST_ID:
            return int(id)
        try:
            return id if str(uuid.UUID(id)) == id else None
        except ValueError:
            return None

    def id_of(self, point: Point) -> str:
        """The id of the point, as text."""
        return str(point.id)

    def document(self, point: Point) -> Document:
        """The document of a point."""
        return self.keys.document(str(point.id), point.payload)

    def point(self, record: Record) -> NewPoint:
        """The point of a document."""
        if (id := self.point_id(record.id)) is None:
            raise InvalidDocumentError(
                f"the document {shown(record.id)} cannot be stored in this collection, whose ids "
                "are integers or UUIDs in lower case: give it such an id, or have this library "
                "create the collection"
            )
        return NewPoint(id, self.keys.payload(record), _vector(record))


def _vector(record: Record) -> list[float] | None:
    if record.vector is None:
        return None
    vector: list[float] = np.frombuffer(record.vector, "<f4").tolist()
    return vector


def _metadata(record: Record) -> dict[str, JsonValue]:
    """The metadata. Raises InvalidDocumentError for what Qdrant would change or not search."""

    def whole(digits: str) -> int:
        number = int(digits)
        if not SMALLEST_NUMBER <= number <= LARGEST_NUMBER:
            raise InvalidDocumentError(
                f"the document {shown(record.id)} has the integer {shown(number)} in its metadata, "
                "which Qdrant would round to a float: store it as a string"
            )
        return number

    metadata: dict[str, JsonValue] = json.loads(record.metadata, parse_int=whole)
    if "{" in record.metadata[1:] and any(map(_hidden, metadata.values())):
        raise InvalidDocumentError(
            f"the document {shown(record.id)} has a mapping in a list of lists in its metadata, "
            "where filters of Qdrant cannot find it: use a list of mappings"
        )
    return metadata


def _hidden(value: JsonValue, *, in_list: bool = False, in_lists: bool = False) -> bool:
    """Whether there is a mapping in a list that is a member of a list."""
    if isinstance(value, dict):
        return in_lists or any(map(_hidden, value.values()))
    if isinstance(value, list):
        return any(_hidden(member, in_list=True, in_lists=in_list) for member in value)
    return False


def _empty_lists(value: JsonValue, steps: tuple[str, ...]) -> Iterator[str]:
    """The names of the keys whose value is an empty list."""
    if isinstance(value, dict):
        for key, member in value.items():
            if member == []:
                yield path_key((*steps, key))
            yield from _empty_lists(member, (*steps, key))
    elif isinstance(value, list):
        for member in value:
            yield from _empty_lists(member, steps)
