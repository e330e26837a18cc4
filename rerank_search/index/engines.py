"""What an index derives from its documents: BM25 postings and vectors, kept in step with them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import methodcaller
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from rerank_search.errors import IndexCorruptedError
from rerank_search.index.query_vectors import QueryVectors
from rerank_search.index.swap import SwappedFolder
from rerank_search.retrieval.analysis import ANALYSIS
from rerank_search.retrieval.base import Passage
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.files import storage_errors
from rerank_search.storage.manifest import Manifest
from rerank_search.types import Filter, Hit

if TYPE_CHECKING:
    from rerank_search.retrieval.bm25 import Bm25Index
    from rerank_search.retrieval.bm25_static import Bm25StaticIndex
    from rerank_search.retrieval.dense import VectorIndex

    Engine: TypeAlias = Bm25Index | Bm25StaticIndex | VectorIndex

STEP = 20_000
"""Passages applied between two publications: what a crash during a long build costs at most."""

IMMUTABLE = {".term", ".store", ".fast", ".fieldnorm", ".idx", ".pos", ".del", ".npy", ".faiss"}
"""Endings of the files that engines never change once they are published."""

Tick = Callable[[int], None]


class Engines:
    """The engines of one index. A damaged one is replaced by its error until it is rebuilt."""

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
    ) -> None:
        """Open the engines. Raises IndexCorruptedError for a damaged one, unless ``tolerant``."""
        self._directory = directory
        self._manifest = manifest
        self._store = store
        self._encoder = encoder
        self._read_only = read_only
        self.names = ("bm25",) if encoder is None else ("bm25", "dense")
        self.damage: dict[str, IndexCorruptedError] = {}
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

    def engine(self, name: str) -> Engine:
        """The engine with what was published last. Raises IndexCorruptedError if damaged."""
        if name in self.damage:
            raise self.damage[name]
        self._refresh(name)
        return self._engines[name]

    def check(self) -> None:
        """Raise the IndexCorruptedError of a damaged engine, if there is one."""
        for error in self.damage.values():
            raise error

    @property
    def dense(self) -> VectorIndex:
        """The vectors. Raises IndexCorruptedError where they are damaged."""
        return cast("VectorIndex", self.engine("dense"))

    def refresh(self) -> bool:
        """Load what another process has published; True where there was something."""
        changed = [self._refresh(name) for name in self.names if name not in self.damage]
        return any(changed)

    def recover(self) -> None:
        """Make ready for writing what another writer may have left, which is no more."""
        for name in self.names:
            self._folders[name].put_back()
        self.refresh()

    @property
    def behind(self) -> bool:
        """Whether there are changes that an engine has not applied."""
        seq = self._store.totals().seq
        return any(engine.seq < seq for engine in self._sound())

    def catch_up(self, tick: Tick | None = None) -> None:
        """Apply all changes. ``tick`` is called with 1 for each document that is through."""
        engines = self._sound()
        for engine in engines:
            self._apply(engine, tick if engine is engines[-1] else None)

    @property
    def incremental(self) -> bool:
        """Whether a few more documents cost less than all of them."""
        return self._manifest.bm25.engine == "tantivy"

    def rebuild(self, tick: Tick | None = None) -> None:
        """Derive the structures anew from the documents; readers see the old ones until then."""
        for name in self.names:
            self._renew(name, tick if name == self.names[-1] else None)

    def compact(self) -> None:
        """Drop what removed passages have left.

        tantivy cannot merge at will: its postings are made anew, which takes seconds for 100,000
        passages. bm25s has nothing to drop.
        """
        if self.incremental and self._store.has_removed:
            bm25 = cast("Bm25Index", self.engine("bm25"))
            self._renew("bm25", None, analysis=bm25.analysis)
        if "dense" in self.names:
            with storage_errors(self._directory / "dense"):
                self.dense.compact()

    def problems(self) -> list[str]:
        """What is wrong, each in a sentence; compares every passage with the documents."""
        found = [str(error) for error in self.damage.values()]
        expected, seq = self._store.passage_ids(), self._store.totals().seq
        for engine in self._sound():
            if engine.seq < seq:
                found.append(
                    f"{engine.name} is as of change {engine.seq} and the documents as of {seq}: "
                    "close the program that writes, and open the index again"
                )
            else:
                found.extend(engine.problems(expected))
        return found

    def immutable_files(self) -> Iterator[Path]:
        """The published files that will not change."""
        for name in self.names:
            for path in sorted((self._directory / name).rglob("*")):
                if path.suffix in IMMUTABLE:
                    yield path

    def close(self) -> None:
        """Release what the engines hold."""
        for engine in self._sound():
            engine.close()

    def _renew(self, name: str, tick: Tick | None, *, analysis: int = ANALYSIS) -> None:
        folder = self._folders[name]
        with storage_errors(folder.path):
            folder.clear()
            fresh = self._opened(name, folder.new, analysis)
            self._apply(fresh, tick)
            fresh.close()
            folder.swap()
            self._open(name)
            self.damage.pop(name, None)
            folder.drop_old()

    def _sound(self) -> list[Engine]:
        return [self._engines[name] for name in self.names if name not in self.damage]

    def _refresh(self, name: str) -> bool:
        folder = self._folders[name]
        while True:
            inode = folder.inode
            if inode is None and folder.between_renames:
                return False  # what is loaded is what the rebuild replaces
            try:
                if inode in (None, self._inodes[name]):
                    return self._engines[name].refresh()
                # A rebuild in another process has put a new folder in place of the old one.
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

    def _opened(self, name: str, path: Path, analysis: int = ANALYSIS) -> Engine:
        return self._open_dense(path) if name == "dense" else self._open_bm25(path, analysis)

    def _apply(self, engine: Engine, tick: Tick | None) -> None:
        step = STEP if engine.name == "dense" or self.incremental else None
        while engine.seq < self._store.totals().seq:
            with (
                self._store.changes(engine.seq, most=step) as changes,
                storage_errors(self._directory / engine.name),
            ):
                documents = _Documents(tick)
                engine.update(
                    changes.seq,
                    documents.passages(changes.added),
                    changes.removed,
                    progress=documents.through,
                )

    def _open_bm25(self, path: Path, analysis: int) -> Bm25Index | Bm25StaticIndex:
        manifest, settings = self._manifest, self._manifest.bm25
        if settings.engine == "tantivy":
            from rerank_search.retrieval.bm25 import Bm25Index

            return Bm25Index(
                path,
                analyzer=manifest.analyzer,
                analysis=analysis,
                read_only=self._read_only,
            )
        from rerank_search.retrieval.bm25_static import Bm25StaticIndex

        return Bm25StaticIndex(
            path,
            self._corpus,
            analyzer=manifest.analyzer,
            analysis=analysis,
            k1=settings.k1,
            b=settings.b,
            variant=settings.variant,
            read_only=self._read_only,
        )

    def _open_dense(self, path: Path) -> VectorIndex:
        from rerank_search.retrieval.dense import VectorIndex

        if self._encoder is None:
            raise IndexCorruptedError(f"{path} belongs to an index without an encoder")
        is_new = not self._read_only and not (path / "state.json").exists()
        return VectorIndex(
            path,
            self._encoder,
            dtype=self._manifest.vector_dtype,
            hnsw_above=self._manifest.hnsw_above,
            read_only=self._read_only,
            prompts=self._encoder.prompts if is_new else None,
        )

    def _corpus(self) -> Iterator[Passage]:
        return (Passage(id, text) for id, text in self._store.corpus())


class FirstStage:
    """One engine as a retriever: as it is at each search, with what others have published."""

    def __init__(self, name: str, engines: Engines, store: DocumentStore, index: object) -> None:
        """``index`` is the one whose ``retriever`` made it: pickled with it, and asked again."""
        self.name = name
        self._engines = engines
        self._store = store
        self._index = index

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its index, which the other side opens for reading."""
        return methodcaller("retriever", self.name), (self._index,)

    def retrieve(
        self, queries: Sequence[str], k: int, *, filter: Filter | None = None
    ) -> list[list[Hit]]:
        """The best k documents of each query that the filter allows, in the total order."""
        from rerank_search.retrieval.stage import Stage

        engine = self._engines.engine(self.name)
        return Stage(self.name, engine, self._store).retrieve(queries, k, filter=filter)


class _Documents:
    """Turns an engine's count of finished passages into a count of documents."""

    def __init__(self, tick: Tick | None) -> None:
        self._tick = tick
        self._firsts: deque[bool] = deque()

    def passages(self, added: Iterable[tuple[int, int, str]]) -> Iterator[Passage]:
        previous = None
        for id, document, text in added:
            self._firsts.append(document != previous)
            previous = document
            yield Passage(id, text)

    def through(self, passages: int) -> None:
        documents = sum(self._firsts.popleft() for _ in range(passages))
        if self._tick is not None and documents:
            self._tick(documents)
