"""BM25 on tantivy, for an index that changes (adds, deletes, filters)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rerank_search.built_in_stages import BM25
from rerank_search.errors import IndexReadOnlyError
from rerank_search.files import disk_errors
from rerank_search.queries import checked_k
from rerank_search.retrieval.analysis import (
    StopWords,
    Words,
    check_known,
    known,
    recorded_analysis,
)
from rerank_search.retrieval.base import Engine, EngineSource, Passage, PassageScores, in_batches
from rerank_search.retrieval.bm25_search import Bm25Search, fetched
from rerank_search.retrieval.postings import Postings, tantivy_errors
from rerank_search.retrieval.state import StateFile, differences
from rerank_search.retrieval.ties import EMPTY
from rerank_search.types import Span

if TYPE_CHECKING:
    import tantivy


class Bm25Index(Engine):
    """Postings of all passages, with k1 = 1.2 and b = 0.75 (fixed by tantivy).

    Scores are BM25 with Lucene's IDF, which is never negative; lengths are stored in one byte, as
    in Lucene. The statistics count removed passages until tantivy merges their segment, or the
    index is compacted. ``analysis`` is the version for new postings, by default the newest of the
    analyzer; existing postings keep theirs.

    Raises IndexCorruptedError for damaged files, IndexReadOnlyError for an update of an index
    that was opened for reading.
    """

    name: str = BM25

    def __init__(
        self,
        directory: Path,
        *,
        analyzer: str = "english",
        analysis: int | None = None,
        stop_words: StopWords | None = None,
        read_only: bool = False,
    ) -> None:
        self._directory = directory
        self._read_only = read_only
        self._lock = RLock()
        self._state = StateFile(directory)
        if not read_only and not self._state.exists():
            with disk_errors(directory):
                directory.mkdir(parents=True, exist_ok=True)
            Postings.create(directory, analyzer)
            self._state.publish({"seq": 0, "analysis": analysis or known(analyzer).version})
        self._seq = int(self._state.read()["seq"])
        self.analysis = recorded_analysis(directory)
        self._words = Words(analyzer, self.analysis, stop_words=stop_words)
        self._postings = Postings(directory, analyzer, self.analysis)

    @property
    def seq(self) -> int:
        """The number of the last change that is applied and published."""
        return self._seq

    @property
    def count(self) -> int:
        """The number of passages that can be found."""
        return self._postings.searcher().num_docs

    def update(
        self,
        seq: int,
        added: Iterable[Passage],
        removed: Iterable[int],
        *,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Apply all changes up to ``seq`` and publish them durably.

        ``progress`` is called with numbers of added passages.
        Raises IndexLockedError while another process writes, StorageFullError.
        """
        self._check_writable()
        with self._lock:
            highest = self._highest_id()
            with self._postings.writer() as writer:
                highest = self._add(writer, added, highest, progress)
                with tantivy_errors(self._directory):
                    for passage in removed:
                        writer.delete_documents_by_term("id", passage)
                    writer.commit()
            self._postings.reload()
            self._state.publish(
                {
                    "seq": seq,
                    "analysis": self.analysis,
                    "highest_id": highest,
                    "commit": self._postings.commit(),
                }
            )
            self._seq = seq

    def search(
        self, queries: Sequence[str], k: int, *, allowed: NDArray[np.int64] | None = None
    ) -> list[PassageScores]:
        """The best k passages of each query among ``allowed``, with all ties of the last.

        Every word is a plain word: there is no query syntax. A repeated word counts as often as it
        appears. A query without words finds nothing.
        """
        k = checked_k(k)
        searcher = self._postings.searcher()
        total = searcher.num_docs if allowed is None else min(len(allowed), searcher.num_docs)
        if not total:
            return [EMPTY for _ in queries]
        search = Bm25Search(searcher, self._postings.schema, min(k, total), allowed)
        with tantivy_errors(self._directory):
            return [search.best(self._words.of_query(query, search.frequency)) for query in queries]

    def matches(self, query: str, texts: Sequence[str]) -> list[list[Span]]:
        """Where in each text the words of the query stand."""
        searcher = self._postings.searcher()
        if not searcher.num_docs:
            return [[] for _ in texts]
        search = Bm25Search(searcher, self._postings.schema, 1, None)
        with tantivy_errors(self._directory):
            asked = self._words.of_query(query, search.frequency)
        return self._words.matches(asked, texts)

    def refresh(self) -> bool:
        """Load what another process has published since; return whether there was anything."""
        if not self._state.changed():
            return False
        with self._lock:
            self._seq = int(self._state.read()["seq"])
            self._postings.reload()
        return True

    def problems(self, expected: NDArray[np.int64]) -> list[str]:
        """Problems of the engine, given the sorted ids of the passages that it should have."""
        import tantivy

        searcher = self._postings.searcher()
        with tantivy_errors(self._directory):
            ids, _ = fetched(searcher, tantivy.Query.all_query(), max(1, searcher.num_docs))
        return differences(self.name, ids, expected) + self._words.outdated()

    def close(self) -> None:
        """Release the opened files."""
        self._postings.close()

    def _add(
        self,
        writer: tantivy.IndexWriter,
        added: Iterable[Passage],
        known: int,
        progress: Callable[[int], None],
    ) -> int:
        """The highest id that was ever added, given the previous highest."""
        import tantivy

        highest = known
        for some in in_batches(added, 1000):
            with tantivy_errors(self._directory):
                for passage in some:
                    if passage.id <= known:  # perhaps added before a crash: do not add it twice
                        writer.delete_documents_by_term("id", passage.id)
                    document = tantivy.Document()
                    document.add_integer("id", passage.id)
                    document.add_text("text", self._words.prepared(passage.text))
                    writer.add_document(document)
                    highest = max(highest, passage.id)
            progress(len(some))
        return highest

    def _highest_id(self) -> int:
        """The highest id that was ever added, or -1."""
        import tantivy

        state = self._state.read()
        highest, commit = state.get("highest_id"), state.get("commit")
        if isinstance(highest, int) and commit == self._postings.commit():
            return highest
        # The state is from an earlier version, or something came between commit and state (a crash,
        # Ctrl-C, a full disk), perhaps in this process, which has not loaded that commit: look at
        # every passage.
        self._postings.reload()
        best = self._postings.searcher().search(
            tantivy.Query.all_query(), 1, count=False, order_by_field="id"
        )
        return int(best.hits[0][0]) if best.hits else -1

    def _check_writable(self) -> None:
        if self._read_only:
            raise IndexReadOnlyError(
                f"{self._directory} was opened for reading: open the index without read_only"
            )


def opened(source: EngineSource) -> Engine:
    """The BM25 engine that the settings of an index name. Raises IndexFormatError."""
    from rerank_search.retrieval.bm25_static import Bm25StaticIndex

    settings = source.manifest.bm25
    check_known(source.manifest.analyzer, source.folder)
    if settings.engine == "bm25s":
        return Bm25StaticIndex(
            source.folder,
            source.passages,
            analyzer=source.manifest.analyzer,
            stop_words=source.manifest.stop_words,
            k1=settings.k1,
            b=settings.b,
            variant=settings.variant,
            read_only=source.read_only,
        )
    kept = source.replaces
    return Bm25Index(
        source.folder,
        analyzer=source.manifest.analyzer,
        stop_words=source.manifest.stop_words,
        analysis=kept.analysis if isinstance(kept, Bm25Index) else None,
        read_only=source.read_only,
    )
