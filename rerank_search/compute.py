"""Where long offline work computes its models: in this process, or on other machines."""

from __future__ import annotations

from typing import Protocol

from rerank_search.reranking.base import Reranker
from rerank_search.retrieval.base import TextEncoder


class Compute(Protocol):
    """Gives models that are computed somewhere, with the same vectors and scores as here.

    Such a model has a method ``foresee``, which is told the calls that will follow.
    """

    def encoder(self, encoder: TextEncoder) -> TextEncoder:
        """The encoder, whose vectors of documents are computed there."""
        ...

    def reranker(self, reranker: Reranker) -> Reranker:
        """The reranker, whose scores are computed there."""
        ...


class Here:
    """Computes models in this process."""

    def encoder(self, encoder: TextEncoder) -> TextEncoder:
        """The encoder itself."""
        return encoder

    def reranker(self, reranker: Reranker) -> Reranker:
        """The reranker itself."""
        return reranker


HERE = Here()
