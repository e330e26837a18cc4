"""A cross-encoder whose weights are read when there is something to score."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rerank_search.models.registry import reranker_name, resolve_reranker
from rerank_search.reranking.base import LongDocuments, Reranker, Scores
from rerank_search.reranking.calibration import Calibrations
from rerank_search.reranking.cross_encoder import CrossEncoderReranker
from rerank_search.reranking.fusion import Fusion


class LoadedLater:
    """A ``CrossEncoderReranker`` by name, for a search that may find nothing to rerank.

    ``fusion`` and ``calibration`` are read at once, and ModelNotFoundError is raised at once for a
    missing model. ``load`` raises all other errors of the model.
    """

    def __init__(self, model: str) -> None:
        self.name = reranker_name(model)
        folder = Path(resolve_reranker(self.name))
        self.fusion = Fusion.beside(folder)
        self.calibration = Calibrations.beside(folder)
        self._loading = threading.Lock()
        self._loaded: CrossEncoderReranker | None = None

    def load(self) -> CrossEncoderReranker:
        """The model, read at the first call."""
        with self._loading:
            if self._loaded is None:
                self._loaded = CrossEncoderReranker(self.name)
            return self._loaded

    def __reduce__(self) -> tuple[type[LoadedLater], tuple[str]]:
        return LoadedLater, (self.name,)

    @property
    def takes_instructions(self) -> bool:
        """As ``CrossEncoderReranker.takes_instructions``; loads the model."""
        return self.load().takes_instructions

    def score(
        self, pairs: Sequence[tuple[str, str]], *, instruction: str | None = None
    ) -> NDArray[np.float32]:
        """As ``CrossEncoderReranker.score``."""
        return self.load().score(pairs, instruction=instruction)

    def score_with_report(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        long_documents: LongDocuments = "truncate",
        instruction: str | None = None,
    ) -> Scores:
        """As ``CrossEncoderReranker.score_with_report``."""
        return self.load().score_with_report(
            pairs, long_documents=long_documents, instruction=instruction
        )


def load(reranker: Reranker) -> None:
    """Read the weights of a reranker that has not read them yet.

    Call it before scoring: an invalid model must not count as a failure of scoring.
    """
    if isinstance(reranker, LoadedLater):
        reranker.load()
