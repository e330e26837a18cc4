"""An open index and its maintenance: find problems, build again, give space back, close."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from rerank_search.arguments import check_function
from rerank_search.built_in_stages import DENSE
from rerank_search.errors import InvalidInputError
from rerank_search.index.best_stages import BestStages
from rerank_search.index.encoder_record import (
    check_same,
    encoder_problems,
    prompt_problems,
    renewed,
)
from rerank_search.index.engines import Engines
from rerank_search.index.info import IndexInfo, index_info
from rerank_search.index.passage_length import splitting
from rerank_search.index.query_vectors import QueryVectors
from rerank_search.index.sparse_encoder_record import sparse_encoder_problems
from rerank_search.index.stored_documents import StoredDocuments
from rerank_search.index.writer import Progress, Writer
from rerank_search.retrieval.base import TextEncoder
from rerank_search.retrieval.hybrid_fusion import hybrid_name
from rerank_search.retrieval.sparse_encoder import SparseEncoder
from rerank_search.shown import shown
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.manifest import Manifest, checksum_problems
from rerank_search.types import HybridName


class MaintainedIndex(StoredDocuments):
    """The parts of an open index, and what keeps them sound."""

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        store: DocumentStore,
        encoder: TextEncoder | None,
        *,
        sparse_encoder: SparseEncoder | None,
        hybrid: HybridName | None = None,
        read_only: bool,
        tolerant: bool = False,
        lock_timeout: float,
    ) -> None:
        """Put the parts together; use ``create`` or ``open``."""
        super().__init__(store)
        self.path = path
        self._manifest = manifest
        self._encoder = encoder
        self._sparse_encoder = sparse_encoder
        queries = None
        if encoder is not None and manifest.encoder is not None:
            same = partial(check_same, path, encoder, manifest.encoder)
            queries = QueryVectors(encoder, same, dimension=manifest.encoder.dimension)
        self._engines = Engines(
            path,
            manifest,
            store,
            queries,
            read_only=read_only,
            tolerant=tolerant,
            sparse_encoder=sparse_encoder,
        )
        self._writer = Writer(
            path, manifest, store, self._engines, read_only=read_only, lock_timeout=lock_timeout
        )
        self._split = splitting(manifest, encoder or sparse_encoder)
        self._best = BestStages(path, manifest)
        self._hybrid = hybrid or manifest.hybrid

    def info(self) -> IndexInfo:
        """The contents of the index and how it was made."""
        return index_info(self.path, self._manifest, self._store.totals(), self._best)

    def verify(self) -> list[str]:
        """The problems of the index, each as a sentence; an empty list if there are none.

        Reads every file, loads the encoder, and compares each stage with the documents. While
        another process writes, its changes that are not published yet are reported as problems.
        """
        self.refresh()
        manifest = Manifest.read(self.path)
        problems = self._store.problems()
        problems += checksum_problems(self.path, manifest.published.checksums)
        problems += self._engines.problems()
        if self._encoder is not None and manifest.encoder is not None:
            problems += encoder_problems(self._encoder, manifest.encoder)
            if DENSE not in self._engines.damage:
                problems += prompt_problems(self._encoder, self._engines.prompts)
        if self._sparse_encoder is not None and manifest.sparse_encoder is not None:
            problems += sparse_encoder_problems(self._sparse_encoder, manifest.sparse_encoder)
        return problems

    def rebuild(self, *, progress: Progress | None = None) -> None:
        """Build all engines again from the documents; also repairs damaged ones.

        Vectors are made with the prompts that the encoder has now. Searches use the old engines
        until the new ones are done. ``progress`` is called with numbers of finished documents.
        """
        if progress is not None:
            check_function("progress", progress)
        with self._writer.session(repairing=True):
            self._writer.forget()
            self._engines.rebuild(progress)
            if self._encoder is not None:
                self._manifest = renewed(Manifest.read(self.path), self._encoder)
                self._split = splitting(self._manifest, self._encoder)
                self._writer.describe(self._manifest)
            self._writer.record()
            self._engines.check_applied()

    def set_hybrid(self, name: HybridName) -> None:
        """Make ``name`` the way in which "hybrid" combines BM25 and the vectors, from now on.

        Nothing is built again. Index objects that are open elsewhere keep theirs. Raises
        InvalidInputError for an unknown name and for an index without vectors, IndexLockedError,
        IndexReadOnlyError, PluginError.
        """
        name = hybrid_name(name)
        if not self._manifest.has_vectors:
            raise InvalidInputError(
                f"hybrid={name!r} cannot be set: {self.path} has no vectors to combine with BM25. "
                "Create an index with an encoder, or with vectors of your own"
            )
        with self._writer.session():
            self._writer.publish()
            self._manifest = Manifest.read(self.path).model_copy(update={"hybrid": name})
            self._writer.describe(self._manifest)
            self._writer.record()
        self._hybrid = name

    def compact(self) -> None:
        """Return the space of deleted documents to the disk.

        Raises PluginError, with nothing compacted, while the package of a first stage fails to
        apply changes. If it only fails to compact, the rest is compacted before that error.
        """
        with self._writer.session():
            self._writer.publish()
            self._engines.compact()
            self._store.vacuum()
            self._writer.record()
            self._engines.check_applied()

    def refresh(self) -> bool:
        """Load what other processes have published; return whether there was anything. Cheap."""
        return self._engines.refresh()

    def close(self) -> None:
        """Release open files and connections; harmless to repeat."""
        self._engines.close()
        self._store.close()
        self._writer.close()

    def __repr__(self) -> str:
        """The path and how the index was made; reads nothing, so it works after ``close``."""
        encoder = None if self._encoder is None else self._encoder.name
        return f"Index({shown(str(self.path))}, encoder={shown(encoder)})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
