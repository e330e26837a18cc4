"""The index of a collection's documents: built once, and found again by its content."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from rerank_search import __version__
from rerank_search.built_in_stages import BM25, NEW_HYBRID
from rerank_search.compute import HERE, Compute
from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import (
    IndexCorruptedError,
    IndexFormatError,
    IndexNotFoundError,
    InvalidInputError,
)
from rerank_search.files import disk_errors, make_folder
from rerank_search.index import Index
from rerank_search.lock import ProcessLock
from rerank_search.progress import Progress, quiet
from rerank_search.retrieval.analysis import known, recorded_analysis
from rerank_search.retrieval.encoders import encoder_of
from rerank_search.retrieval.registry import exact_versions
from rerank_search.retrieval.sparse_encoder import SparseEncoder
from rerank_search.storage.manifest import Manifest
from rerank_search.types import Document, JsonValue

logger = logging.getLogger(__name__)


def content_key(documents: Iterator[Document], settings: IndexSettings) -> str:
    """A hash of everything that decides the rankings of an index, as 32 hex digits.

    First stages of other packages count by their version and code.
    """
    return _ranked_by(_engines_key(documents, settings), settings)


def _engines_key(documents: Iterator[Document], settings: IndexSettings) -> str:
    """A hash of everything that decides the engines: all but the fusion of ``hybrid``."""
    made_with: list[JsonValue] = [
        settings.model_dump(mode="json", exclude={"encoder", "sparse_encoder", "hybrid"})
    ]
    if settings.encoder is False:
        made_with.append(None)
    else:
        made_with += encoder_of(settings.encoder).identity()
    if settings.sparse_encoder is not None:
        made_with += ["sparse", *SparseEncoder(settings.sparse_encoder).identity()]
    made_with += [{"analysis": known(settings.analyzer).version}, *_added(settings.first_stages)]
    return _digest(documents, made_with)


def _ranked_by(engines: str, settings: IndexSettings) -> str:
    """The key of an index with these engines and the settings' fusion."""
    hybrid = settings.hybrid or NEW_HYBRID
    if hybrid == "rrf" or (settings.encoder is False and settings.dimension is None):
        return engines
    return _digest(iter(()), [engines, hybrid])


def _added(first_stages: Iterable[str]) -> list[JsonValue]:
    versions = exact_versions(first_stages)
    return [{"first_stages": versions}] if versions else []


def open_existing_index(path: Path) -> tuple[Index, str]:
    """An existing index, opened for reading, and its content key. Raises what Index.open raises."""
    index = Index.open(path, read_only=True)
    try:
        made_with = Manifest.read(path).model_dump(mode="json", exclude={"created", "published"})
        analysis = {"analysis": recorded_analysis(path / BM25)}
        added = _added(made_with.get("first_stages", ()))
        return index, _digest(_documents(index), [made_with, analysis, *added])
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
    progress: Progress = quiet,
    compute: Compute = HERE,
) -> tuple[Index, str]:
    """The index of the collection ``name``, opened for reading, and its content key.

    It is built below ``folder`` if it is not there. An interrupted build continues, a build by
    another process is waited for, and a damaged index is built again. ``compute`` says where
    passages are encoded. Raises InvalidInputError for
    a corpus without documents, and what reading the documents raises.
    """
    count = 0
    with progress(f"reading {name}", 0) as tick:

        def counted() -> Iterator[Document]:
            nonlocal count
            for document in documents():
                yield document
                count += 1
                tick(1)

        key = _engines_key(counted(), settings)
    path = folder / key
    index = _usable(path, settings, read_only=True)
    if index is None:
        with _only_builder(path):
            index = _usable(path, settings, read_only=True)  # built while this one waited
            if index is None:
                with progress(f"indexing {name}", count) as tick:
                    _build(name, path, documents(), settings, tick, compute)
                index = _opened(path, settings, read_only=True)
    return index, _ranked_by(key, settings)


@contextmanager
def _only_builder(path: Path) -> Iterator[None]:
    """Let one process build at a time; the system frees the lock of a process that was killed."""
    lock = ProcessLock(path.with_name(f"{path.name}.lock"))
    make_folder(path.parent)
    with disk_errors(path):
        if not lock.acquire(0.0):
            holder = lock.holder() or "another process"
            logger.warning("%s is building %s: waiting for it", holder, path)
            lock.acquire(math.inf)
    try:
        yield
    finally:
        lock.release()


def _build(
    name: str,
    path: Path,
    documents: Iterator[Document],
    settings: IndexSettings,
    tick: Callable[[float], None],
    compute: Compute,
) -> None:
    _remove_damaged(path)
    unfinished = path.with_name(f"{path.name}.building")
    index = _usable(unfinished, settings, read_only=False, compute=compute)
    if index is None:
        _remove_damaged(unfinished)
        index = settings.create_index(unfinished, compute=compute)
    with index:
        index.add(documents, progress=tick)
        if len(index) == 0:
            raise InvalidInputError(
                f"the corpus of {name} has no documents: give the complete collection"
            )
    with disk_errors(path):
        unfinished.rename(path)


def _usable(
    path: Path, settings: IndexSettings, *, read_only: bool, compute: Compute = HERE
) -> Index | None:
    """The index; None if it is missing or damaged."""
    try:
        return _opened(path, settings, read_only=read_only, compute=compute)
    except (IndexNotFoundError, IndexCorruptedError, IndexFormatError):
        return None


def _opened(
    path: Path, settings: IndexSettings, *, read_only: bool, compute: Compute = HERE
) -> Index:
    """The index, with the models that the settings name, which may have been moved."""
    return Index.open(
        path,
        encoder=settings.encoder_on(compute),
        sparse_encoder=settings.sparse_encoder,
        hybrid=settings.hybrid or NEW_HYBRID,
        read_only=read_only,
    )


def _remove_damaged(path: Path) -> None:
    if path.exists():
        logger.warning("the index %s is damaged, so it is built again", path)
        with disk_errors(path):
            shutil.rmtree(path)
