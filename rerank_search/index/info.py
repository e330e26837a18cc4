"""A summary of the contents of an index and how it was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from rerank_search.built_in_stages import BM25, DENSE
from rerank_search.index.best_stages import BestStages
from rerank_search.index_names import DOCUMENTS
from rerank_search.retrieval.analysis import StopWords
from rerank_search.retrieval.registry import engines_of
from rerank_search.storage.documents import Totals
from rerank_search.storage.manifest import Manifest


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """The contents of an index and how it was made; sizes are in bytes on disk.

    ``bytes_engines`` has the size of each engine; ``bytes_bm25`` and ``bytes_dense`` are two of
    them. ``languages`` counts documents by the ISO 639-1 code of their language, in a sample that
    is spread over the index and renewed as it grows; those whose language is not known, such as
    code, are left out.
    ``hybrid`` is the fusion of BM25 and the vectors; None without vectors. ``stop_words`` are
    those that BM25 leaves out of queries; "language" is the analyzer's own list.
    """

    path: Path
    documents: int
    passages: int
    seq: int
    format_version: int
    created: datetime
    encoder: str | None
    dimension: int | None
    analyzer: str
    bm25: str
    passage_tokens: int | None
    first_stages: tuple[str, ...]
    bytes_documents: int
    bytes_bm25: int
    bytes_dense: int
    bytes_engines: Mapping[str, int]
    sparse_encoder: str | None = None
    languages: Mapping[str, int] = field(default_factory=dict)
    hybrid: str | None = None
    stop_words: StopWords | None = None


def index_info(path: Path, manifest: Manifest, totals: Totals, best: BestStages) -> IndexInfo:
    """The facts about the index at ``path``."""
    built, passages = manifest.encoder, manifest.passages
    sample = best.languages()
    further, vectors = manifest.first_stages, manifest.has_vectors
    sizes = {name: _size((path / name).rglob("*")) for name in engines_of(further, vectors=vectors)}
    return IndexInfo(
        path=path,
        documents=totals.documents,
        passages=totals.passages,
        seq=totals.seq,
        format_version=manifest.format_version,
        created=manifest.created,
        encoder=None if built is None else built.name,
        dimension=manifest.dimension if built is None else built.dimension,
        analyzer=manifest.analyzer,
        bm25=manifest.bm25.engine,
        passage_tokens=None if passages is None else passages.tokens,
        first_stages=best.first_stages(),
        bytes_documents=_size(path.glob(f"{DOCUMENTS}*")),
        bytes_bm25=sizes.get(BM25, 0),
        bytes_dense=sizes.get(DENSE, 0),
        bytes_engines=sizes,
        sparse_encoder=None if manifest.sparse_encoder is None else manifest.sparse_encoder.name,
        languages={} if sample is None else sample.found,
        hybrid=manifest.hybrid if vectors else None,
        stop_words=manifest.stop_words,
    )


def _size(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files if file.is_file())
