"""Documents as rows of LanceDB: their columns, in a table of ours and in one of others."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from rerank_search.errors import InvalidDocumentError, StoreMismatchError
from rerank_search.shown import shown
from rerank_search.storage.filter_tree import FilterTree
from rerank_search.storage.paths import written
from rerank_search.storage.records import Record
from rerank_search.stores.attribute_keys import attribute_keys
from rerank_search.stores.ids import is_whole_id
from rerank_search.stores.lancedb.column_filters import ColumnFilters, is_list, is_string
from rerank_search.stores.lancedb.filters import KeyFilters, attribute_column, quoted
from rerank_search.types import Document

ID, TITLE, TEXT, SEARCHED, METADATA, ATTRIBUTES, VECTOR = (
    "id", "title", "text", "searched", "metadata", "attributes", "vector"
)  # fmt: skip
"""The columns of a table of ours: the metadata as JSON and as attribute keys, and the title and the
text as BM25 reads them."""


KEY = "lance-schema:unenforced-primary-key"
"""What marks the column of the ids, so that two writers do not both insert a new one."""


class Layout(Protocol):
    """Where a table has the parts of a document."""

    @property
    def id(self) -> str:
        """The column of the ids."""
        ...

    @property
    def searched(self) -> str:
        """The column that BM25 ranks by."""
        ...

    @property
    def columns(self) -> Sequence[str]:
        """The columns of a document."""
        ...

    def id_of(self, row: Mapping[str, Any]) -> str:
        """The id of a row's document."""
        ...

    def having(self, ids: Sequence[str]) -> str:
        """SQL for the rows of documents with these ids."""
        ...

    def allowed(self, filter: FilterTree) -> str:
        """SQL for the rows that a filter allows. Raises InvalidFilterError."""
        ...

    def document(self, row: Mapping[str, Any]) -> Document:
        """The document of a row with ``columns``."""
        ...

    def rows(self, records: Sequence[Record], schema: pa.Schema) -> pa.Table:
        """The rows of documents. Raises InvalidDocumentError for one that does not fit."""
        ...


def own_schema(dimension: int | None, note: Mapping[str, str] | None = None) -> pa.Schema:
    """The columns of a new table, the one of texts with a note."""
    texts = [
        pa.field(ID, pa.string(), nullable=False, metadata={KEY: "true"}),
        pa.field(TITLE, pa.string()),
        pa.field(TEXT, pa.string(), metadata=note),
        *(pa.field(name, pa.string()) for name in (SEARCHED, METADATA)),
    ]
    vectors = [] if dimension is None else [pa.field(VECTOR, pa.list_(pa.float32(), dimension))]
    return pa.schema([*texts, pa.field(ATTRIBUTES, pa.string()), *vectors])


class OwnLayout:
    """The layout of a table that this library made."""

    id = ID
    searched = SEARCHED
    columns = (ID, TITLE, TEXT, METADATA)

    def id_of(self, row: Mapping[str, Any]) -> str:
        """The id of a row's document."""
        return str(row[ID])

    def having(self, ids: Sequence[str]) -> str:
        """SQL for the rows of documents with these ids."""
        return f"{ID} IN ({', '.join(map(quoted, ids))})" if ids else "FALSE"

    def allowed(self, filter: FilterTree) -> str:
        """SQL for the rows that a filter allows."""
        return KeyFilters(ATTRIBUTES).sql(filter)

    def document(self, row: Mapping[str, Any]) -> Document:
        """The document of a row."""
        return Document(row[ID], row[TEXT], row[TITLE], json.loads(row[METADATA]))

    def rows(self, records: Sequence[Record], schema: pa.Schema) -> pa.Table:
        """The rows of documents."""
        made = [
            {
                ID: each.id,
                TITLE: each.title,
                TEXT: each.text,
                SEARCHED: f"{each.title}\n{each.text}" if each.title else each.text,
                METADATA: each.metadata,
                ATTRIBUTES: attribute_column(attribute_keys(json.loads(each.metadata))),
                **_vector(each, VECTOR),
            }
            for each in records
        ]
        return pa.Table.from_pylist(made, own_schema(_dimension(schema, VECTOR)))


@dataclass(frozen=True, slots=True)
class FoundLayout:
    """The layout of any other table. ``metadata`` are the columns of the metadata.

    ``integers`` are those that an id can be, None if it is a string. NULL, and a float that is not
    a number, stands for a missing key, and NULL for an empty title.
    """

    id: str
    text: str
    title: str | None
    searched: str
    vector: str | None
    metadata: tuple[pa.Field, ...]
    integers: range | None

    @property
    def columns(self) -> Sequence[str]:
        """The columns of a document."""
        title = () if self.title is None else (self.title,)
        return (self.id, self.text, *title, *(field.name for field in self.metadata))

    def id_of(self, row: Mapping[str, Any]) -> str:
        """The id of a row's document. Raises StoreMismatchError for a NULL."""
        if (id := row[self.id]) is None:
            raise StoreMismatchError(
                f"the table has a row whose column {shown(self.id)} is NULL: give every row an id"
            )
        return str(id)

    def having(self, ids: Sequence[str]) -> str:
        """SQL for the rows of documents with these ids."""
        if self.integers is None:
            values = [quoted(id) for id in ids]
        else:
            values = [id for id in ids if is_whole_id(id, self.integers)]
        return f"`{self.id}` IN ({', '.join(values)})" if values else "FALSE"

    def allowed(self, filter: FilterTree) -> str:
        """SQL for the rows that a filter allows."""
        return ColumnFilters(self.metadata).sql(filter)

    def document(self, row: Mapping[str, Any]) -> Document:
        """The document of a row."""
        title = None if self.title is None else row[self.title]
        metadata = _present({field.name: row[field.name] for field in self.metadata})
        return Document(str(row[self.id]), row[self.text] or "", title or "", metadata)

    def rows(self, records: Sequence[Record], schema: pa.Schema) -> pa.Table:
        """The rows of documents; columns that they do not have are NULL."""
        made = [self._row(record) for record in records]
        try:
            return pa.Table.from_pylist(made, schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise InvalidDocumentError(
                f"the metadata of documents do not fit the columns of the table ({error}): "
                "convert them"
            ) from error

    def _row(self, record: Record) -> dict[str, Any]:
        metadata = json.loads(record.metadata)
        if unknown := next(_unknown(metadata, pa.struct(self.metadata), ()), None):
            key = unknown[0] if len(unknown) == 1 else written(unknown)
            raise InvalidDocumentError(
                f"the document {shown(record.id)} has the metadata key {shown(key)}, and "
                "the table has no such column: leave the key out, or add the column"
            )
        if record.title and self.title is None:
            raise InvalidDocumentError(
                f"the document {shown(record.id)} has a title, and the table has no column for "
                "it: leave the title out, or name its column as ?title=NAME"
            )
        if self.integers is not None and not is_whole_id(record.id, self.integers):
            raise InvalidDocumentError(
                f"the document {shown(record.id)} has an id that is not an integer of the column "
                f"{shown(self.id)}, or not as it is written: give it another one"
            )
        title = {} if self.title is None else {self.title: record.title}
        id = record.id if self.integers is None else int(record.id)
        vector = {} if self.vector is None else _vector(record, self.vector)
        return {**metadata, self.id: id, self.text: record.text, **title, **vector}


def found_layout(
    schema: pa.Schema, *, id: str, text: str, title: str | None, searched: str, vector: str | None
) -> FoundLayout:
    """The layout of a table by its columns.

    Raises StoreMismatchError for one that is missing, or has another type.
    """
    for name in (id, text, *([] if title is None else [title])):
        if name not in schema.names:
            raise StoreMismatchError(
                f"the table has no column {shown(name)}: name the columns in the URL, as in "
                f"?id=key&text=body; there are {', '.join(map(repr, schema.names))}"
            )
        kind = schema.field(name).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if not (is_string(kind) or (name == id and pa.types.is_integer(kind))):
            raise StoreMismatchError(
                f"the column {shown(name)} of the table has the type {kind}, and should have "
                f"{'strings or integers' if name == id else 'strings'}: name another one in the "
                "URL, as in ?id=key&text=body"
            )
    taken = {id, text, title, vector}
    metadata = tuple(field for field in schema if field.name not in taken and _is_value(field.type))
    integers = _integers(schema.field(id).type)
    return FoundLayout(id, text, title, searched, vector, metadata, integers)


def vector_columns(schema: pa.Schema) -> list[str]:
    """The columns of vectors."""
    return [
        field.name
        for field in schema
        if pa.types.is_fixed_size_list(field.type) and pa.types.is_floating(field.type.value_type)
    ]


def _is_value(kind: pa.DataType) -> bool:
    """Whether values of that type are JSON; vectors and bytes are no metadata."""
    if pa.types.is_struct(kind):
        return all(_is_value(field.type) for field in kind)
    if is_list(kind):
        return _is_value(kind.value_type)
    return bool(
        is_string(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
    )


def _integers(kind: pa.DataType) -> range | None:
    """The integers that are values of that type; None if it is not one of integers."""
    if not pa.types.is_integer(kind):
        return None
    if pa.types.is_unsigned_integer(kind):
        return range(2**kind.bit_width)
    return range(-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1))


def _present(value: Any) -> Any:
    """A value without the keys that are missing, also in the members of lists."""
    if isinstance(value, dict):
        members = {name: _present(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member is not None}
    if isinstance(value, list):
        return [_present(member) for member in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _unknown(value: Any, kind: pa.DataType, steps: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The paths to keys of metadata for which a type has no field; PyArrow would drop them."""
    if isinstance(value, dict) and pa.types.is_struct(kind):
        for name, member in value.items():
            if (place := kind.get_field_index(name)) < 0:
                yield (*steps, name)
            else:
                yield from _unknown(member, kind.field(place).type, (*steps, name))
    elif isinstance(value, list) and is_list(kind):
        for member in value:
            yield from _unknown(member, kind.value_type, steps)


def _dimension(schema: pa.Schema, name: str) -> int | None:
    return schema.field(name).type.list_size if name in schema.names else None


def _vector(record: Record, name: str) -> dict[str, Any]:
    return {} if record.vector is None else {name: np.frombuffer(record.vector, "<f4")}
