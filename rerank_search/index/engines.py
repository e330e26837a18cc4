"""The engines of an index, such as BM25 postings and vectors, kept in step with its documents."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rerank_search.built_in_stages import BM25, DENSE, EVERY_INDEX
from rerank_search.errors import (
    IndexCorruptedError,
    IndexMismatchError,
    PluginError,
    ServerError,
)
from rerank_search.index.applying import Tick, apply_changes, passage_of
from rerank_search.index.query_vectors import QueryVectors
from rerank_search.index.swap import SwappedFolder
from rerank_search.models.prompts import Prompts
from rerank_search.retrieval.base import Engine, EngineSource, Passage, SparseTextVectors
from rerank_search.retrieval.registry import engines_of, opened_engine
from rerank_search.storage.changes import BLOCK
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.files import storage_errors
from rerank_search.storage.manifest import Manifest

if TYPE_CHECKING:
    from rerank_search.retrieval.dense import VectorIndex

IMMUTABLE = {".term", ".store", ".fast", ".fieldnorm", ".idx", ".pos", ".del", ".npy", ".faiss"}
"""Suffixes of files that engines never change after publishing them."""

FAILURES = (PluginError, ServerError)
"""Errors of what is not ours: the code of a package, the server of an encoder."""

NOT_APPLIED = (*FAILURES, IndexMismatchError)
"""Errors with which one engine does not apply changes, while the others do."""


class Engines:
    """The engines of one index, by the names of their first stages.

    An engine that cannot be opened is replaced by its error until it is rebuilt: it is damaged, or
    belongs to a package that is not installed. An engine whose package fails to apply changes is
    not searched until it has applied them: each later write, and each opening, tries again.
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        store: DocumentStore,
        encoder: QueryVectors | None,
        *,
        read_only: bool,
        create: bool = False,
        tolerant: bool = False,
        sparse_encoder: SparseTextVectors | None = None,
    ) -> None:
        """Open the engines. Raises IndexCorruptedError for a damaged one, unless ``tolerant``."""
        self._directory = directory
        self._manifest = manifest
        self._store = store
        self._encoder = encoder
        self._sparse_encoder = sparse_encoder
        self._read_only = read_only
        self.names = engines_of(manifest.first_stages, vectors=manifest.has_vectors)
        self.damage: dict[str, IndexCorruptedError | PluginError] = {}
        self._failed: dict[str, PluginError | ServerError | IndexMismatchError] = {}
        self._engines: dict[str, Engine] = {}
        self._folders = {name: SwappedFolder(directory / name) for name in self.names}
        self._inodes: dict[str, int | None] = {}
        self._reopening = threading.Lock()
        for name in self.names:
            try:
                if not create:
                    self._find(name)
                self._open(name)
            except IndexCorruptedError as error:
                if not tolerant:
                    raise
                self.damage[name] = error
            except PluginError as error:
                if create:
                    raise
                self.damage[name] = error

    def engine(self, name: str) -> Engine:
        """The engine in its last published state.

        Raises IndexNotFoundError for a dropped index, IndexCorruptedError, PluginError.
        """
        if name in self.damage:
            raise self.damage[name]
        self._store.check_in_place()
        least = self._least_change(name)
        self._refresh(name)
        engine = self._engines[name]
        if engine.seq < least:
            raise self._failed.get(name) or PluginError(
                f"the first stage {name} is at change {engine.seq}, but bm25 is at {least}: its "
                "package failed in update. Open the index without read_only=True, which calls "
                "update again, and search this first stage to see the error"
            )
        return engine

    def check(self) -> None:
        """Raise the error of the first engine that could not be opened, if there is one."""
        for error in self.damage.values():
            raise error

    def check_applied(self) -> None:
        """Raise the error of the first engine that failed in the last write, if there is one."""
        for error in self._failed.values():
            raise error

    @property
    def prompts(self) -> Prompts | None:
        """The prompts that the vectors were made with; see ``VectorIndex.prompts``."""
        return cast("VectorIndex", self.engine(DENSE)).prompts

    def refresh(self) -> bool:
        """Load what other processes have published; return whether there was anything."""
        changed = []
        for name in self._sound():
            with suppress(PluginError):  # searching this engine raises it
                changed.append(self._refresh(name))
        return any(changed)

    def recover(self) -> None:
        """Finish what a crashed writer left half done, before this process writes."""
        for name in self.names:
            self._folders[name].put_back()
        self.refresh()

    @property
    def behind(self) -> bool:
        """Whether there are changes that an engine has not applied."""
        seq = self._store.totals().seq
        return any(self._engines[name].seq < seq for name in self._sound())

    def catch_up(self, tick: Tick | None = None, *, whole_blocks: bool = False) -> None:
        """Apply all changes, or those of ``whole_blocks``: more will follow.

        ``tick`` is called with numbers of finished documents.

        A package or an encoder that fails does not keep the other engines from applying them;
        ``check_applied`` raises its error.
        """
        self._check_encoder_again()
        sound = self._sound()
        until = self._store.totals().seq
        if whole_blocks:
            until -= until % BLOCK
        for name in sound:
            with self._others_go_on(name):
                own = tick if name == sound[-1] else None
                self._apply(name, self._engines[name], until, own)

    @property
    def incremental(self) -> bool:
        """Whether a long ``add`` costs no more if documents become searchable as it goes on."""
        engines = [self._engines[name] for name in self._sound()]
        return all(engine.incremental and not engine.foresees for engine in engines)

    def rebuild(self, tick: Tick | None = None) -> None:
        """Build all engines again from the documents; until then readers see the old ones.

        A package or an encoder that fails does not keep the other engines from being built;
        ``check_applied`` raises its error.
        """
        self._check_encoder_again()
        for name in self.names:
            with self._others_go_on(name):
                self._renew(name, tick if name == self.names[-1] else None)

    def compact(self) -> None:
        """Drop the remains of removed passages. Every engine must have applied all changes.

        An engine that cannot do this is built again from the documents. Tantivy's is one: it does
        not merge on request, and building takes seconds for 100,000 passages. A package that fails
        does not keep the other engines from being compacted; ``check_applied`` raises its error.
        """
        for name in self.names:
            with self._others_go_on(name):
                engine = self.engine(name)
                with storage_errors(self._folders[name].path):
                    compacted = engine.compact()
                if not compacted and self._store.has_removed:
                    self._renew(name, None, replaces=engine)

    def problems(self) -> list[str]:
        """The problems, each as a sentence; compares every passage with the documents."""
        found = [str(error) for error in self.damage.values()]
        expected, seq = self._store.passage_ids(), self._store.totals().seq
        for name in self._sound():
            try:
                engine = self.engine(name)
                if engine.seq < seq:
                    found.append(
                        f"{name} is at change {engine.seq}, but the documents are at {seq}: close "
                        "the program that writes, and open the index again. If that does not "
                        "help, run `rerank-search index rebuild`"
                    )
                else:
                    found.extend(engine.problems(expected))
            except PluginError as error:
                found.append(str(error))
        return found

    def immutable_files(self) -> Iterator[Path]:
        """The published files that never change."""
        for name in self.names:
            for path in sorted((self._directory / name).rglob("*")):
                if path.suffix in IMMUTABLE:
                    yield path

    def close(self) -> None:
        """Release the engines' resources."""
        for name in self._sound():
            self._engines[name].close()

    def _renew(self, name: str, tick: Tick | None, *, replaces: Engine | None = None) -> None:
        folder = self._folders[name]
        with storage_errors(folder.path):
            folder.clear()
            try:
                with closing(self._opened(name, folder.new, replaces)) as fresh:
                    self._apply(name, fresh, self._store.totals().seq, tick)
            except NOT_APPLIED:
                folder.clear()  # what is left there would look like a rebuild that goes on
                raise
            folder.swap()
            self._open(name)
            self.damage.pop(name, None)
            folder.drop_old()

    def _check_encoder_again(self) -> None:
        # While an index is open, another model may have come to answer by its encoder's name.
        if self._encoder is not None:
            self._encoder.check_again()

    @contextmanager
    def _others_go_on(self, name: str) -> Iterator[None]:
        """Keep the error of an engine for ``check_applied``, so that the next engine is done."""
        try:
            yield
            self._failed.pop(name, None)
        except NOT_APPLIED as error:
            self._failed[name] = error
            if name not in self.damage:
                failed = self._engines[name]
                try:
                    self._open(name)  # what it holds in memory may be half of an update
                except (PluginError, IndexCorruptedError) as damage:
                    self.damage[name] = damage
                failed.close()

    def _sound(self) -> list[str]:
        """The names of the engines that are not damaged."""
        return [name for name in self.names if name not in self.damage]

    def _least_change(self, name: str) -> int:
        """The last change that an engine must have applied to be searched.

        An engine of a package comes before bm25 in ``names``, so it applies a change before bm25
        does, in whatever process that is. If it lacks a change that bm25 has, its package failed.
        """
        if name in EVERY_INDEX or BM25 in self.damage:
            return 0
        self._refresh(BM25)
        return self._engines[BM25].seq

    def _refresh(self, name: str) -> bool:
        folder = self._folders[name]
        while True:
            inode = folder.inode
            if inode is None and folder.between_renames:
                return False  # the rebuild replaces the loaded engine
            try:
                if inode in (None, self._inodes[name]):
                    return self._engines[name].refresh()
                # A rebuild in another process has replaced the folder.
                with self._reopening:
                    self._open(name)
                return True
            except IndexCorruptedError:
                if folder.inode == inode:
                    raise

    def _open(self, name: str) -> None:
        folder = self._folders[name]
        inode = folder.inode
        engine = self._opened(name, folder.path)
        if engine.seq > self._store.totals().seq:
            engine.close()
            raise IndexCorruptedError(
                f"{folder.path} has change {engine.seq}, which documents.sqlite lacks: that is an "
                "older copy. Restore the newest one, or keep it and run `rerank-search index "
                "rebuild`"
            )
        self._engines[name] = engine
        self._inodes[name] = inode if inode is not None else folder.inode

    def _find(self, name: str) -> None:
        """Raise IndexCorruptedError for a missing engine, instead of making an empty one."""
        folder = self._folders[name]
        folder.settle()
        if folder.inode is None and not self._read_only:
            folder.put_back()
        if not (folder.path / "state.json").exists():
            raise IndexCorruptedError(
                f"{folder.path} has no state.json: run `rerank-search index rebuild`, or "
                "Index.open(..., for_repair=True).rebuild(), to make it from the documents"
            )

    def _opened(self, name: str, path: Path, replaces: Engine | None = None) -> Engine:
        source = EngineSource(
            path,
            self._manifest,
            self._corpus,
            self._encoder,
            self._read_only,
            replaces,
            self._sparse_encoder,
        )
        return opened_engine(name, source)

    def _apply(self, name: str, engine: Engine, until: int, tick: Tick | None) -> None:
        apply_changes(engine, self._store, self._folders[name].path, until, tick)

    def _corpus(self) -> Iterator[Passage]:
        return map(passage_of, self._store.corpus())
