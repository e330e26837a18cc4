"""The note of this library in a table, which the column of texts keeps in its metadata."""

from __future__ import annotations

import json

import pyarrow as pa

from rerank_search.errors import StoreMismatchError
from rerank_search.stores.lancedb.columns import TEXT
from rerank_search.stores.note import NOTE, StoreNote, read_note
from rerank_search.stores.url import StoreUrl


def note_in(schema: pa.Schema, text: str, url: StoreUrl) -> StoreNote:
    """What this library noted in the table."""
    for name in (text, TEXT):
        metadata = (schema.field(name).metadata or {}) if name in schema.names else {}
        if (noted := metadata.get(NOTE.encode())) is not None:
            try:
                return read_note(json.loads(noted), url)
            except ValueError as error:
                raise StoreMismatchError(
                    f"the note of this library in {url} is not JSON ({error}): restore it"
                ) from error
    return StoreNote()


def written(note: StoreNote) -> dict[str, str]:
    """The note as the metadata of a column."""
    return {NOTE: json.dumps(note.written())}
