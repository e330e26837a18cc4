"""Which first stages of an index are good for its documents: the best last, and those to fuse."""

from __future__ import annotations

from pathlib import Path

from rerank_search.built_in_stages import BM25, DENSE, HYBRID
from rerank_search.index.language_sample import mostly_not_english
from rerank_search.index_names import MANIFEST
from rerank_search.models.known import only_english
from rerank_search.retrieval.registry import stages_of
from rerank_search.storage.manifest import LanguageSample, Manifest


class BestStages:
    """The first stages of the index at ``path``.

    Its vectors count for little if an encoder for English has made them of documents that are
    mostly not English: then BM25 is its best first stage, and no fusion weighs the cosine.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._file = path / MANIFEST
        self._names = stages_of(manifest.first_stages, vectors=manifest.has_vectors)
        encoder = manifest.encoder
        self._english = encoder is not None and only_english(encoder.name)
        self._read: tuple[object, LanguageSample | None] = (None, manifest.published.languages)

    def languages(self) -> LanguageSample | None:
        """The languages of the documents, also of those that other processes have added."""
        try:
            found = self._file.stat()
        except OSError:  # dropped, or moved away
            return self._read[1]
        version = found.st_ino, found.st_mtime_ns
        if version != self._read[0]:
            self._read = version, Manifest.read(self._file.parent).published.languages
        return self._read[1]

    def first_stages(self) -> tuple[str, ...]:
        """The names of all first stages, the best last."""
        if self._names[-1] != HYBRID or self._vectors_count():
            return self._names
        return (*(name for name in self._names if name != BM25), BM25)

    def fused_stages(self) -> tuple[str, ...]:
        """The names of the first stages whose scores a fusion may weigh."""
        if self._vectors_count():
            return self._names
        return tuple(name for name in self._names if name not in (DENSE, HYBRID))

    def _vectors_count(self) -> bool:
        return not self._english or not mostly_not_english(self.languages())
