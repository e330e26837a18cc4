"""The learned sparse encoder, which weighs the tokens of a vocabulary for a text."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rerank_search.arguments import model_name
from rerank_search.errors import InvalidInputError
from rerank_search.models.kinds import check_not, is_masked_language_model
from rerank_search.models.length_batches import batches_by_length
from rerank_search.models.prompts import Task
from rerank_search.models.saved import kind_of
from rerank_search.models.sentence_model import SentenceModel
from rerank_search.queries import text_list
from rerank_search.retrieval.sparse_vectors import SparseVector, SparseVectors, joined

if TYPE_CHECKING:
    from sentence_transformers import SparseEncoder as SavedModel

CPU_BATCH_TOKENS, BATCH_TOKENS = 1_024, 8_192
"""Tokens of a batch, padding included, on a CPU and elsewhere.

The network gives each token a number for every token of the vocabulary: 125 MB for 1,024."""


class SparseEncoder(SentenceModel["SavedModel"]):
    """A sentence-transformers ``SparseEncoder``, such as SPLADE, loaded on first use.

    Arguments as for ``Encoder``. Inference-free models weigh the tokens of a query by a table, and
    only documents by a network. Threads may share one; they take turns.

    On first use, raises ModelNotFoundError for a missing model, and InvalidInputError for an
    invalid device, a model of another kind, and one that needs code of its own.
    """

    _kind = "sparse encoder"

    def __init__(
        self,
        name: str | PathLike[str],
        *,
        revision: str | None = None,
        device: str | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
    ) -> None:
        super().__init__(
            model_name("sparse_encoder", name),
            revision=revision,
            device=device,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
        )
        self._dimension: int | None = None

    @property
    def dimension(self) -> int:
        """The length of a vector: the size of the vocabulary."""
        # SPLADE's pooling knows it only after the first text; until then the model gives another.
        if self._dimension is None:
            with self._lock:
                [vector] = self._model.encode(
                    ["a"], convert_to_sparse_tensor=False, show_progress_bar=False, task="document"
                )
            self._dimension = len(vector)
        return self._dimension

    def encode(
        self, texts: Sequence[str], *, task: Task | None = None, prompt: str | None = None
    ) -> SparseVectors:
        """The vectors of the texts; their dot products are the scores.

        ``task`` and ``prompt`` as for ``Encoder.encode``. Vectors of a model that its makers
        compare by cosine have length 1. Raises InvalidInputError for anything but a list of texts,
        and if the model returns numbers that are not finite.
        """
        texts = text_list(texts)
        model = self._model
        empty = np.empty(0, np.int32), np.empty(0, np.float32)
        found: list[SparseVector] = [empty for _ in texts]
        budget = CPU_BATCH_TOKENS if model.device.type == "cpu" else BATCH_TOKENS
        lengths = [len(text) + len(prompt or "") for text in texts]
        for batch in batches_by_length(lengths, budget, window=self.window):
            with self._lock:  # for one batch, so that a query does not wait for a whole corpus
                vectors = model.encode(
                    [texts[place] for place in batch],
                    prompt=prompt,
                    batch_size=len(batch),
                    convert_to_sparse_tensor=False,
                    save_to_cpu=True,
                    show_progress_bar=False,
                    task=task,
                )
            for place, vector in zip(batch, vectors.float().numpy(), strict=True):
                found[place] = self._entries(vector, texts[place])
        return joined(found)

    def _entries(self, vector: NDArray[np.float32], text: str) -> SparseVector:
        tokens = np.flatnonzero(vector)
        weights = vector[tokens]
        if not np.isfinite(weights).all():
            raise InvalidInputError(
                f"the sparse encoder {self.name!r} returned NaN or infinity for the text "
                f"{text[:80]!r}: choose another one"
            )
        if self._model.similarity_fn_name == "cosine" and len(weights):
            weights = weights / np.linalg.norm(weights)
        return tokens.astype(np.int32), weights

    def _directory(self) -> str:
        from rerank_search.models.registry import resolve_sparse_encoder

        return resolve_sparse_encoder(self.name, revision=self.revision)

    def _load(self, where: str, device: str | None) -> SavedModel:
        from sentence_transformers import SparseEncoder as SavedModel

        from rerank_search.models.loading import load_saved

        folder = Path(where)
        check_not("sparse encoder", self.name, folder, ("encoder", "multi-vector", "reranker"))
        if kind_of(folder) != "sparse" and not is_masked_language_model(folder):
            raise InvalidInputError(
                f"the sparse encoder {self.name!r} is no SparseEncoder of sentence-transformers "
                "and no masked language model, from which one could be made: choose another one"
            )
        model: SavedModel = load_saved(
            SavedModel, f"the sparse encoder {self.name!r}", where, device
        )
        if model.similarity_fn_name not in ("dot", "cosine"):
            raise InvalidInputError(
                f"the sparse encoder {self.name!r} compares vectors by "
                f"{model.similarity_fn_name}, and an index by dot product or cosine: choose "
                "another one"
            )
        return model
