"""The tantivy index on disk: opening it, writing to it, and translating its errors."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import finalize

from rerank_search.errors import (
    IndexCorruptedError,
    IndexLockedError,
    IndexReadOnlyError,
    InvalidInputError,
    RerankSearchError,
    SearchIndexError,
    StorageFullError,
)
from rerank_search.processes import forks
from rerank_search.retrieval.analysis import analyzer
from rerank_search.retrieval.state import damaged

if TYPE_CHECKING:
    import tantivy

WRITER_HEAP = 128_000_000
"""Memory of the writer in bytes: one thread makes few segments, and the same in every run."""

OPENING_ATTEMPTS = 5
"""Attempts to make a directory of links, since a writer may replace the linked files meanwhile."""


class Postings:
    """A tantivy index with two fields: ``id`` (of the passage) and ``text`` (its terms)."""

    def __init__(self, directory: Path, analyzer_name: str, analysis: int) -> None:
        self._directory = directory
        self._analyzer = analyzer_name
        self._analysis = analysis
        self._mirror: finalize[..., Postings] | None = None
        self._index = self._open()
        self.schema = self._index.schema

    @staticmethod
    def create(directory: Path, analyzer_name: str) -> None:
        """Make an empty index in ``directory``, or keep the one that exists."""
        import tantivy

        analyzer(analyzer_name)  # reject an unknown name before anything is written
        builder = tantivy.SchemaBuilder()
        builder.add_text_field(
            "text", stored=False, tokenizer_name=analyzer_name, index_option="freq"
        )
        # Signed: tantivy-py 0.27 makes a signed term of the int in a delete, whatever the field.
        builder.add_integer_field("id", stored=False, indexed=True, fast=True)
        with tantivy_errors(directory):
            tantivy.Index(builder.build(), path=str(directory))
        _share(directory)

    def searcher(self) -> tantivy.Searcher:
        """A searcher over the last commit that was loaded."""
        return self._index.searcher()

    def commit(self) -> int:
        """The number of the last commit on disk; each commit has a higher one."""
        path = self._directory / "meta.json"
        try:
            return int(json.loads(path.read_bytes())["opstamp"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(path, error) from error

    def reload(self) -> None:
        """Load the last commit."""
        if self._mirror is not None:
            self._index = self._open()
            return
        with tantivy_errors(self._directory):
            self._index.reload()

    @contextmanager
    def writer(self) -> Iterator[tantivy.IndexWriter]:
        """A writer; changes that are not committed at the end are lost.

        Raises IndexLockedError while another process has a writer.
        """
        with tantivy_errors(self._directory):
            writer = self._index.writer(WRITER_HEAP, 1)
            # A writer killed before its commit leaves files with names that the next one reuses.
            writer.garbage_collect_files()
        try:
            yield writer
        finally:
            with tantivy_errors(self._directory):
                writer.wait_merging_threads()
            _share(self._directory)

    def close(self) -> None:
        """Remove the directory of links, if there is one."""
        if self._mirror is not None:
            self._mirror()

    def _open(self) -> tantivy.Index:
        try:
            return self._opened_at(str(self._directory))
        except IndexReadOnlyError:
            return self._opened_by_links()

    def _opened_by_links(self) -> tantivy.Index:
        for _ in range(OPENING_ATTEMPTS - 1):
            try:
                return self._opened_at(self._mirrored())
            except IndexCorruptedError:
                continue
        return self._opened_at(self._mirrored())

    def _opened_at(self, path: str) -> tantivy.Index:
        import tantivy

        with tantivy_errors(self._directory):
            index = tantivy.Index.open(path)
            index.register_tokenizer(self._analyzer, analyzer(self._analyzer, self._analysis))
            index.config_reader("manual")
            index.reload()
        return index

    def _mirrored(self) -> str:
        """A temporary directory of links: tantivy wants a lock file beside what it reads."""
        self.close()
        mirror = Path(tempfile.mkdtemp(prefix="rerank-search-"))
        self._mirror = finalize(self, _remove, mirror, forks())
        for file in self._directory.iterdir():
            if not file.name.endswith(".lock"):
                (mirror / file.name).symlink_to(file.resolve())
        return str(mirror)


def _remove(folder: Path, made_by: int) -> None:
    if made_by == forks():  # the parent removes its own directory
        shutil.rmtree(folder, ignore_errors=True)


def _share(directory: Path) -> None:
    """Make tantivy's private lists of files readable for everyone who may read the directory."""
    for name in ("meta.json", ".managed.json"):
        with suppress(FileNotFoundError, PermissionError):
            (directory / name).chmod(directory.stat().st_mode & 0o666)


@contextmanager
def tantivy_errors(directory: Path) -> Iterator[None]:
    """Turn tantivy's errors about the index in ``directory`` into those of this package."""
    try:
        yield
    except RerankSearchError:
        raise
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"the path {str(directory)!r} is not UTF-8, as tantivy needs: rename the folder"
        ) from error
    except (OSError, ValueError) as error:
        raise _explained(directory, str(error)) from error
    except BaseException as error:
        # tantivy panics on some damaged bytes; pyo3 doesn't export the class of a panic.
        if type(error).__name__ != "PanicException":
            raise
        raise damaged(directory, error) from error


def _explained(directory: Path, reason: str) -> SearchIndexError:
    if "LockBusy" in reason:
        return IndexLockedError(
            f"another process is writing to {directory}: wait until it has closed the index"
        )
    if "PermissionDenied" in reason or "ReadOnlyFilesystem" in reason:
        return IndexReadOnlyError(
            f"{directory} cannot be written ({reason}): change its permissions, or open the index "
            "with read_only=True"
        )
    # A full disk may kill tantivy's writing thread, and then the error does not say why.
    killed = "was killed" in reason and shutil.disk_usage(directory).free < WRITER_HEAP
    if "os error 28" in reason or "StorageFull" in reason or killed:
        return StorageFullError(
            f"no space is left on the disk for {directory}: free some and repeat the call. What "
            "was acknowledged before is safe"
        )
    return damaged(directory, reason)
