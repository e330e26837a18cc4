"""The index: documents, and the first-stage structures that are kept in step with them.

    index = Index.create("indexes/docs")
    index.add([Document("a", "the quick brown fox"), Document("b", "a lazy dog")])
    index.retriever("hybrid").retrieve(["quick fox"], k=10)

A directory holds ``documents.sqlite`` (the source of truth), ``bm25/`` and ``dense/`` (derived
from it) and ``manifest.json`` (what the index is). One process at a time may write, any number
may read.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from rerank_search import arguments
from rerank_search.arguments import check_function, id_list, whole_number
from rerank_search.built_in_stages import BM25, HYBRID, NEW_HYBRID
from rerank_search.errors import InvalidInputError
from rerank_search.index.creation import (
    check_free,
    chosen_encoder,
    further_stages,
    new_manifest,
    write_empty,
)
from rerank_search.index.dropping import drop
from rerank_search.index.encoder_record import opened_encoder, recorded
from rerank_search.index.engines import NOT_APPLIED
from rerank_search.index.hit_passages import hit_passages
from rerank_search.index.info import IndexInfo
from rerank_search.index.maintenance import MaintainedIndex
from rerank_search.index.passage_length import check_without_passages, fitted
from rerank_search.index.query_vectors import QueryVectors
from rerank_search.index.sparse_encoder_record import (
    opened_sparse_encoder,
    recorded_sparse,
    sparse_encoder_of,
)
from rerank_search.index.stage_scores import completed
from rerank_search.index.write_lock import seconds_to_wait
from rerank_search.index.writer import Progress
from rerank_search.index_names import DOCUMENTS
from rerank_search.models.registry import AUTO
from rerank_search.queries import query_list, text_list
from rerank_search.retrieval.analysis import analyzer_name, checked_stop_words
from rerank_search.retrieval.base import Retriever, TextEncoder
from rerank_search.retrieval.hybrid_fusion import hybrid_name
from rerank_search.retrieval.registry import combined_stage, is_installed_combination
from rerank_search.retrieval.sparse_encoder import SparseEncoder
from rerank_search.retrieval.stage import Stage
from rerank_search.shown import shown
from rerank_search.storage.documents import DocumentStore
from rerank_search.storage.files import storage_errors
from rerank_search.storage.manifest import Bm25Settings, Manifest
from rerank_search.storage.passages import Passages
from rerank_search.storage.records import batches
from rerank_search.types import Document, Filter, Hit, HybridName, Span, VectorDtype
from rerank_search.vectors import with_vectors

if TYPE_CHECKING:
    from rerank_search.retrieval.hybrid_fusion import HybridFusion

__all__ = ["Bm25Settings", "Index", "IndexInfo", "Passages"]

logger = logging.getLogger(__name__)

SPLIT, TANTIVY = Passages(), Bm25Settings()

MOST_NUMBERS = 16_384
"""Most numbers that a vector of your own can have, more than models give."""

PUBLISH_EVERY = 4_000
"""Number of documents after which a long ``add`` makes them searchable: seconds of CPU encoding."""


class Index(MaintainedIndex):
    """Documents on disk, found by BM25 and (given an encoder) by their vectors.

    Use ``Index.create`` or ``Index.open``. Threads may share one. Every call that writes returns
    when its changes are durable. There is one writer at a time: a call waits until no other process
    writes, for ``lock_timeout`` seconds at most, and frees the index when it returns.
    """

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: TextEncoder | str | os.PathLike[str] | None = AUTO,
        dimension: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        truncate_dim: int | None = None,
        sparse_encoder: SparseEncoder | str | os.PathLike[str] | None = None,
        analyzer: str = "english",
        stop_words: Literal["language"] | Iterable[str] | None = None,
        passages: Passages | None = SPLIT,
        bm25: Bm25Settings = TANTIVY,
        vector_dtype: VectorDtype = "float32",
        hnsw_above: int = 200_000,
        hybrid: HybridName = NEW_HYBRID,
        first_stages: Sequence[str] = (),
        lock_timeout: float | None = None,
    ) -> Index:
        """Make an empty index in a new or empty directory.

        ``encoder`` is a name, or an encoder itself; None leaves the vectors out, unless
        ``dimension`` says how many numbers your own vectors have: then ``add`` and searches take
        them, one for each document, which is a passage as a whole. "auto" is
        RERANK_SEARCH_ENCODER, or else all-MiniLM-L6-v2. ``query_prompt``, ``document_prompt`` and
        ``truncate_dim`` are for the encoder of that name (see ``Encoder``).
        ``sparse_encoder`` is a name, or a SparseEncoder itself: the index then has the first stage
        "sparse" too. Passages are of a length that ``encoder`` reads, or without one of a length
        that ``sparse_encoder`` reads.
        ``vector_dtype`` "float16" halves the memory and disk of vectors, and "int8" quarters them.
        ``passages=None`` indexes every document whole.
        ``analyzer`` says how BM25 finds words: "english" or another language (also by its code,
        such as "de"), "multilingual" for any, "auto" for several,
        "code" for source code and product numbers, or "plain".
        ``stop_words`` are words that BM25 leaves out of a query, unless it has no others: a list,
        or "language" for the list that the analyzer has.
        Above ``hnsw_above`` vectors the dense stage searches an HNSW graph instead of all vectors.
        ``hybrid`` says how the first stage of that name combines BM25 and the vectors: by their
        "scores", or by reciprocal ranks ("rrf").
        ``first_stages`` names further first stages besides bm25, dense and hybrid.
        ``lock_timeout`` as in ``open``.

        Raises IndexExistsError, ModelNotFoundError, InvalidInputError, IndexReadOnlyError,
        PluginError.
        """
        directory = arguments.path("path", path)
        lock_timeout = seconds_to_wait(lock_timeout)
        if dimension is not None:
            dimension = whole_number("dimension", dimension, most=MOST_NUMBERS)
            check_without_passages(passages)
            passages = None
        model = chosen_encoder(
            encoder,
            dimension=dimension,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            truncate_dim=truncate_dim,
        )
        hnsw_above = whole_number("hnsw_above", hnsw_above, least=0)
        sparse = None if sparse_encoder is None else sparse_encoder_of(sparse_encoder)
        further = further_stages(first_stages, sparse)
        check_free(directory)
        fitting = fitted(passages, model or sparse)
        manifest = new_manifest(
            encoder=None if model is None else recorded(model),
            dimension=dimension,
            analyzer=analyzer_name(analyzer),
            stop_words=checked_stop_words(analyzer, stop_words),
            bm25=bm25,
            passages=fitting,
            vector_dtype=vector_dtype,
            hnsw_above=hnsw_above,
            hybrid=hybrid,
            first_stages=further,
            sparse_encoder=None if sparse is None else recorded_sparse(sparse, fitting),
        )
        vectors = None if model is None else QueryVectors(model)
        store = write_empty(directory, manifest, vectors, sparse)
        return cls(
            directory,
            manifest,
            store,
            model,
            sparse_encoder=sparse,
            read_only=False,
            lock_timeout=lock_timeout,
        )

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        encoder: TextEncoder | str | os.PathLike[str] | None = None,
        sparse_encoder: SparseEncoder | str | os.PathLike[str] | None = None,
        hybrid: HybridName | None = None,
        read_only: bool = False,
        for_repair: bool = False,
        lock_timeout: float | None = None,
    ) -> Index:
        """Open an index, and finish what a crash has left undone, unless another process writes.

        ``encoder`` names the same model in another place, such as a moved folder, or is the loaded
        model, which several indexes may share; None takes the name in the manifest.
        ``sparse_encoder`` is the same for the sparse encoder. ``hybrid`` combines BM25 and the
        vectors in this way, whatever the manifest says (see ``set_hybrid``). A directory
        that cannot be written is opened as with ``read_only``. ``for_repair`` opens an index with
        damaged structures, for ``verify`` and ``rebuild``; only undamaged ones can be searched.
        ``lock_timeout`` is how many seconds a write waits for another writer before it raises
        IndexLockedError; None takes RERANK_SEARCH_LOCK_TIMEOUT (10).

        Raises IndexNotFoundError, IndexFormatError (written by a newer version),
        IndexMismatchError (another encoder), IndexCorruptedError (naming the damaged file and the
        command that repairs it).
        """
        directory = arguments.path("path", path)
        lock_timeout = seconds_to_wait(lock_timeout)
        fused_by = None if hybrid is None else hybrid_name(hybrid)
        with storage_errors(directory):
            manifest = Manifest.read(directory)
            model = opened_encoder(directory, manifest, encoder)
            sparse = opened_sparse_encoder(manifest, sparse_encoder)
            read_only = read_only or not os.access(directory, os.W_OK)
            store = DocumentStore(
                directory / DOCUMENTS, read_only=read_only, dimension=manifest.dimension
            )
            try:
                index = cls(
                    directory,
                    manifest,
                    store,
                    model,
                    sparse_encoder=sparse,
                    hybrid=fused_by,
                    read_only=read_only,
                    tolerant=for_repair,
                    lock_timeout=lock_timeout,
                )
            except BaseException:
                store.close()
                raise
        if not read_only and not for_repair:
            try:
                index._writer.recover()
            except BaseException:
                index.close()
                raise
        return index

    @classmethod
    def drop(cls, path: str | os.PathLike[str], *, lock_timeout: float | None = None) -> None:
        """Delete an index with all its documents.

        If the process is killed meanwhile, the index is either whole or gone. ``lock_timeout`` as
        in ``open``. Every Index that is open there raises IndexNotFoundError from then on.

        Raises IndexNotFoundError, IndexLockedError, IndexReadOnlyError, InvalidInputError for a
        link and for a folder that holds other files too.
        """
        drop(arguments.path("path", path), seconds_to_wait(lock_timeout))

    def add(
        self,
        documents: Iterable[Document],
        *,
        vectors: Iterable[Sequence[float]] | None = None,
        batch_size: int = 1000,
        progress: Progress | None = None,
    ) -> int:
        """Insert documents, or replace those with the same id; return how many were written.

        ``documents`` may be a generator of more documents than fit in memory. Each batch is checked
        as a whole, then committed, and is durable whatever happens next. The last of equal ids
        wins; an unchanged document is not written again. Afterwards all documents can be found.
        If the code of a package that adds a first stage fails, all other first stages still find
        what was written until then, and PluginError is raised.
        ``vectors`` are those of the documents, one each, in an index of your own vectors: an array
        of shape (documents, dimension), or lists. A document may bring its vector itself
        (EncodedDocument). ``progress`` is called with numbers of finished documents, which add up
        to all.

        Raises InvalidDocumentError (nothing of that batch is written, earlier batches are),
        IndexLockedError, IndexReadOnlyError, StorageFullError, PluginError.
        """
        batch_size = whole_number("batch_size", batch_size)
        if progress is not None:
            check_function("progress", progress)
        if vectors is not None:
            documents = with_vectors(documents, vectors)
        written = waiting = 0
        with self._writer.session():
            try:
                for batch in batches(documents, batch_size, dimension=self.dimension):
                    written += self._store.put(batch, self._split)
                    waiting += len(batch)
                    if waiting >= PUBLISH_EVERY and self._engines.incremental:
                        full, waiting = waiting, 0
                        self._writer.publish(full, progress, whole_blocks=True)
            except BaseException:
                try:
                    self._writer.publish(waiting, progress)
                except NOT_APPLIED as failed:  # must not replace Ctrl-C or the caller's own error
                    logger.warning("%s", failed)
                raise
            self._writer.publish(waiting, progress)
        return written

    def delete(self, ids: Iterable[str]) -> int:
        """Delete documents, skip unknown ids, and return how many were deleted.

        Raises InvalidInputError for anything but a list of ids, IndexLockedError,
        IndexReadOnlyError, StorageFullError, PluginError (as ``add``).
        """
        named = id_list(ids)
        with self._writer.session():
            deleted = self._store.delete(named)
            self._writer.publish()
        return deleted

    def delete_matching(self, filter: Filter, *, warn: bool = True) -> int:
        """Delete every document that the filter allows, and return how many were deleted.

        Issues a FilterWarning for each of ``filter_warnings``, unless ``warn`` is False.
        Raises InvalidFilterError, InvalidInputError for ``{}``, which allows all documents, and
        what ``delete`` raises.
        """
        if isinstance(filter, Mapping) and not filter:
            raise InvalidInputError(
                "an empty filter allows every document: to delete all of them, give ids()"
            )
        if warn:
            self._warn_of(filter)
        with self._writer.session():
            return self.delete(self._store.matching(filter))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer for a block, so that what it has read still holds when it writes.

            >>> with index.writing():
            ...     if index.get("a") is None:
            ...         index.add([Document("a", "new")])

        Other processes and threads wait. Raises IndexLockedError, IndexReadOnlyError.
        """
        with self._writer.session():
            yield

    @property
    def encoder(self) -> TextEncoder | None:
        """The encoder that makes the vectors; None if there are none."""
        return self._encoder

    @property
    def sparse_encoder(self) -> SparseEncoder | None:
        """The encoder that makes the sparse vectors; None if there are none."""
        return self._sparse_encoder

    @property
    def first_stages(self) -> tuple[str, ...]:
        """The names that ``retriever`` accepts, the best last.

        That is bm25 instead of hybrid if the documents are mostly not English, and the encoder is
        known to be made for English alone, such as the default one.
        """
        return self._best.first_stages()

    @property
    def fused_stages(self) -> tuple[str, ...]:
        """The first stages whose scores a fusion weighs if it has weights for them.

        All of them, but not those with vectors of an encoder that cannot read the documents.
        """
        return self._best.fused_stages()

    @property
    def dimension(self) -> int | None:
        """The length of your own vectors; None for an index that makes vectors, or has none."""
        return self._manifest.dimension

    @property
    def takes_query_vectors(self) -> bool:
        """Whether queries bring their vectors with them (``EncodedQuery``)."""
        return self.dimension is not None

    def retriever(
        self, name: str = HYBRID, *, fusion: HybridFusion | HybridName | None = None
    ) -> Retriever:
        """The first stage of that name, which also sees what other processes publish.

        ``name`` may also be a first stage of an installed package that combines others, even if the
        index was created without it. ``fusion`` says how "hybrid" combines the other two: a name or
        a HybridFusion, by default that of the index. Raises InvalidInputError for a name that the
        index does not have, and for a ``fusion`` with another name; PluginError.
        """
        if fusion is not None and name != HYBRID:
            raise InvalidInputError(
                f"fusion cannot be given for the first stage {shown(name)}, only for {HYBRID!r}: "
                "leave it out"
            )
        if name in self._engines.names:
            return Stage(name, partial(self._engines.engine, name), self._store, index=self)
        if name in self.first_stages or is_installed_combination(name):
            if name == HYBRID and fusion is None:
                fusion = self._hybrid
            return combined_stage(name, self, fusion=fusion)
        raise InvalidInputError(
            f"the index {self.path} has no first stage {shown(name)}: use one of "
            f"{', '.join(self.first_stages)}"
        )

    def stage_scores(
        self, queries: Sequence[str], rankings: Sequence[Sequence[Hit]]
    ) -> list[list[Hit]]:
        """The rankings, each hit completed with the document's score in every first stage.

        ``stage_scores`` then has "bm25" (0.0 if no word matches) and, with an encoder, "dense"
        (cosine). Existing scores are kept. A hit of a split document without a span gets the span
        of its best passage. A first stage whose package fails adds no score, and the log says why.
        """
        return completed(queries, rankings, self._store, self._engines)

    def passages(
        self, queries: Sequence[str], rankings: Sequence[Sequence[Hit]]
    ) -> list[list[list[Hit]]]:
        """For each hit the passages of its document, each as a Hit with its span.

        ``stage_scores`` of a passage are its own in every first stage but combined ones, 0.0 where
        it is not found. A first stage whose package fails adds no score, and the log says why.
        """
        return hit_passages(queries, rankings, self._store, self._engines)

    def matches(self, query: str, texts: Sequence[str]) -> list[list[Span]]:
        """Where in each text the words stand by which BM25 finds it, as spans in order.

        Words are whole, in any form that the index's analyzer makes one term; in Chinese, Thai and
        other scripts without spaces they are the characters that match. Raises InvalidInputError
        for an unusable query or text.
        """
        [asked] = query_list([query])
        return self._engines.engine(BM25).matches(asked, text_list(texts))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path: an unpickled or copied index is opened again, for reading only."""
        opened = partial(
            Index.open,
            encoder=self._encoder,
            sparse_encoder=self._sparse_encoder,
            hybrid=self._hybrid,
            read_only=True,
        )
        return opened, (self.path.absolute(),)
