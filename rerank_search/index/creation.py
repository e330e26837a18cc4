"""Creating an empty index: a new directory with its manifest, its documents and its engines."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rerank_search.arguments import several
from rerank_search.built_in_stages import SPARSE
from rerank_search.errors import IndexExistsError, InvalidInputError
from rerank_search.files import make_folder
from rerank_search.index.dropping import clear_dropped
from rerank_search.index.engines import Engines
from rerank_search.index.query_vectors import QueryVectors
from rerank_search.index.write_lock import LOCK
from rerank_search.index_names import DOCUMENTS
from rerank_search.queries import check_excluded
from rerank_search.retrieval.base import SparseTextVectors, TextEncoder
from rerank_search.retrieval.encoders import encoder_of
from rerank_search.retrieval.registry import StageKind, kinds
from rerank_search.retrieval.sparse_encoder import SparseEncoder
from rerank_search.shown import reason, shown
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.files import storage_errors
from rerank_search.storage.manifest import Manifest


def chosen_encoder(
    given: TextEncoder | str | PathLike[str] | None,
    *,
    dimension: int | None,
    query_prompt: str | None,
    document_prompt: str | None,
    truncate_dim: int | None,
) -> TextEncoder | None:
    """The encoder of a new index; None if it takes vectors of your own, or has none.

    Raises InvalidInputError for options of an encoder without one, and for an encoder with the
    ``dimension`` of your own vectors.
    """
    if given is None:
        check_excluded(
            "encoder=None",
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            truncate_dim=truncate_dim,
        )
        return None
    if dimension is not None:
        raise InvalidInputError(
            f"dimension={dimension} is for vectors of your own, without an encoder: give "
            "encoder=None too. truncate_dim shortens the vectors of an encoder"
        )
    return encoder_of(
        given,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        truncate_dim=truncate_dim,
    )


def further_stages(names: Sequence[str], encoder: SparseEncoder | None) -> dict[str, StageKind]:
    """The first stages of a new index besides those of every index.

    Raises InvalidInputError for the sparse one without a sparse encoder.
    """
    further = list(several("first_stages", names, one="names"))
    if encoder is None and SPARSE in further:
        raise InvalidInputError(
            f"first_stages has {SPARSE!r}, which needs a sparse encoder: give sparse_encoder too"
        )
    return kinds(further if encoder is None or SPARSE in further else [*further, SPARSE])


def check_free(directory: Path) -> None:
    """Raise IndexExistsError unless the directory is missing or empty.

    The remains of a dropped index are no hindrance: a process that waited to write to it may have
    made the file of its lock again.
    """
    with storage_errors(directory):
        clear_dropped(directory)
        if directory.exists() and (
            not directory.is_dir()
            or any(not entry.name.startswith(LOCK) for entry in directory.iterdir())
        ):
            raise _exists(directory)


def new_manifest(**settings: Any) -> Manifest:
    """The manifest of an index made now. Raises InvalidInputError for an invalid setting."""
    try:
        return Manifest(created=datetime.now(UTC), **settings)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise InvalidInputError(
            f"{problem['loc'][0]} is {shown(problem['input'])}: {reason(problem)}"
        ) from error


def write_empty(
    directory: Path,
    manifest: Manifest,
    encoder: QueryVectors | None,
    sparse_encoder: SparseTextVectors | None,
) -> DocumentStore:
    """Write an empty index, or nothing at all if that fails. Raises IndexExistsError."""
    with storage_errors(directory), _claimed(directory):
        store = DocumentStore.create(directory / DOCUMENTS, dimension=manifest.dimension)
        Engines(
            directory,
            manifest,
            store,
            encoder,
            read_only=False,
            create=True,
            sparse_encoder=sparse_encoder,
        ).close()
        manifest.write(directory)
    return store


@contextmanager
def _claimed(directory: Path) -> Iterator[None]:
    """Claim the directory for one process; delete its content if an error occurs."""
    existed = directory.exists()
    make_folder(directory)
    try:
        # Loading the model took seconds: another process may have filled it meanwhile.
        (directory / DOCUMENTS).touch(exist_ok=False)
    except FileExistsError as error:
        raise _exists(directory) from error
    try:
        yield
    except BaseException:
        _clear(directory, keep=existed)
        raise


def _exists(directory: Path) -> IndexExistsError:
    return IndexExistsError(
        f"{directory} exists and is not an empty directory: if it is the index that you want, use "
        "it as it is. Otherwise choose another path, or delete it"
    )


def _clear(directory: Path, *, keep: bool) -> None:
    for entry in directory.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if not keep:
        directory.rmdir()
