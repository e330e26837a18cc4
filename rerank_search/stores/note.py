"""What this library notes in a collection, table or index of an engine that can keep a note."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from rerank_search.errors import StoreMismatchError
from rerank_search.shown import shown
from rerank_search.storage.manifest import EncoderRecord
from rerank_search.stores.url import StoreUrl

NOTE = "rerank_search"
"""The name of the note, among those that others may keep there."""


@dataclass(frozen=True, slots=True)
class StoreNote:
    """Whether this library made the store, with a layout of its own, and what made the vectors."""

    own: bool = False
    encoder: EncoderRecord | None = None

    def written(self) -> dict[str, Any]:
        """The note as JSON."""
        encoder = None if self.encoder is None else self.encoder.model_dump(mode="json")
        return {"own": self.own, "encoder": encoder}


def read_note_text(written: str | bytes, url: StoreUrl) -> StoreNote:
    """A note that is JSON text. Raises StoreMismatchError."""
    try:
        return read_note(json.loads(written), url)
    except ValueError as error:
        raise StoreMismatchError(
            f"the note of this library in {url} is not JSON ({error}): restore it"
        ) from error


def read_note(written: Any, url: StoreUrl) -> StoreNote:
    """A note as it was written; None is none. Raises StoreMismatchError."""
    if written is None:
        return StoreNote()
    if not isinstance(written, dict):
        raise StoreMismatchError(
            f"the note of this library in {url} is {shown(written)}: restore it"
        )
    try:
        encoder = written.get("encoder")
        return StoreNote(
            own=written.get("own") is True,
            encoder=None if encoder is None else EncoderRecord.model_validate(encoder),
        )
    except ValidationError as error:
        raise StoreMismatchError(
            f"the record of the encoder in {url} cannot be read ({error}): use the version of this "
            "package that wrote it, or make the store again"
        ) from error
