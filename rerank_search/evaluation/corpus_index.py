"""The index of a collection's documents: built once, and found again by what it holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from rerank_search import __version__
from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import InvalidInputError
from rerank_search.index import Index
from rerank_search.models.registry import fingerprint, resolve_encoder
from rerank_search.storage.manifest import Manifest
from rerank_search.types import Document, JsonValue


def content_key(documents: Iterator[Document], settings: IndexSettings) -> str:
    """32 hex digits of everything that the rankings of an index follow from."""
    encoder = settings.encoder
    weights = None if encoder is False else fingerprint(Path(resolve_encoder(encoder)))
    return _digest(documents, [settings.model_dump(mode="json", exclude={"encoder"}), weights])


def open_existing_index(path: Path) -> tuple[Index, str]:
    """An index as it is, to be read, and its content key. Raises what Index.open raises."""
    index = Index.open(path, read_only=True)
    try:
        made_with = Manifest.read(path).model_dump(mode="json", exclude={"created", "published"})
        return index, _digest(_documents(index), [made_with])
    except BaseException:
        index.close()
        raise


def _documents(index: Index) -> Iterator[Document]:
    ids = index.ids()
    while chunk := list(islice(ids, 500)):
        yield from (document for document in index.documents(chunk) if document is not None)


def _digest(documents: Iterator[Document], made_with: Sequence[JsonValue]) -> str:
    digest = hashlib.sha256(json.dumps([__version__, *made_with]).encode())
    for document in documents:
        fields = [document.id, document.title, document.text]
        digest.update(json.dumps(fields).encode() + b"\n")
    return digest.hexdigest()[:32]


def open_corpus_index(
    name: str,
    documents: Callable[[], Iterator[Document]],
    settings: IndexSettings,
    folder: Path,
    progress: Callable[[int], None] | None = None,
) -> tuple[Index, str]:
    """The index of the documents, to be read, and its content key.

    Built below ``folder`` unless it is there; a build that was interrupted goes on. Raises
    InvalidInputError for a corpus without documents, IndexLockedError where another process is
    building the same one, and what reading the documents raises.
    """
    key = content_key(documents(), settings)
    path = folder / f"{name}-{key}"
    if not path.exists():
        _build(path, documents(), settings, progress)
    return Index.open(path, encoder=settings.encoder or None, read_only=True), key


def _build(
    path: Path,
    documents: Iterator[Document],
    settings: IndexSettings,
    progress: Callable[[int], None] | None,
) -> None:
    unfinished = path.with_name(f"{path.name}.building")
    with (
        Index.open(unfinished)
        if unfinished.exists()
        else settings.create_index(unfinished) as index
    ):
        index.add(documents, progress=progress)
        if len(index) == 0:
            raise InvalidInputError(f"the corpus of {path.name.rpartition('-')[0]} is empty")
    unfinished.rename(path)
