"""A bi-encoder of a plain BERT: the vectors of sentence-transformers without importing it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from rerank_search.models.backends.kinds import Backend
from rerank_search.models.batches import cpu_batch_tokens, each, even_budget, token_batches
from rerank_search.models.bert_folder import EncoderFolder
from rerank_search.models.bert_vectors import BertVectors
from rerank_search.retrieval.vector_backend import VectorDtype, installed

TOKENIZED_AT_ONCE = 512
"""Texts whose tokens are made together. The first batch waits for so many, later ones do not."""


class _Batch(NamedTuple):
    places: NDArray[np.int64]
    tokens: list[list[int]]


class BertEncoder:
    """Tokenises and encodes texts on the CPU; each thread computes a batch of its own.

    ``prompts`` and ``default_prompt_name`` have the values of a SentenceTransformer without
    prompts.
    """

    prompts: ClassVar[dict[str, str | None]] = {}
    default_prompt_name = None

    def __init__(
        self, folder: EncoderFolder, name: str, directory: str, backend: Backend, dtype: VectorDtype
    ) -> None:
        network = BertVectors(folder.network, folder.pooling, folder.normalised + 1)
        self.tokenizer = folder.tokenizer
        self.max_seq_length = folder.tokenizer.model_max_length
        self.pooling_mode = folder.pooling
        self._width = folder.network.config.hidden_size
        self._installed = installed(name, network, self.tokenizer, directory, backend, dtype)
        self._batch_tokens = cpu_batch_tokens(network, self._installed.at_once)

    def get_embedding_dimension(self) -> int:
        """The length of a vector."""
        return self._width

    def tokenized(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, cut to the window. Threads must take turns."""
        ids: list[list[int]] = self.tokenizer(texts, truncation=True)["input_ids"]
        return ids

    def vectors(
        self, texts: Sequence[str], tokenized: Callable[[Sequence[str]], list[list[int]]]
    ) -> NDArray[np.float32]:
        """Vectors of the texts, shape (n, dimension), float32, length 1.

        ``tokenized`` gives the tokens of some of the texts, in this thread, while others compute
        the texts before them. Several threads may call this at a time.
        """
        found = np.empty((len(texts), self.get_embedding_dimension()), dtype=np.float32)

        def compute(batch: _Batch) -> None:
            found[batch.places] = self._vectors(batch.tokens)

        batches: Iterable[_Batch] = self._batches(texts, tokenized)
        if len(texts) <= TOKENIZED_AT_ONCE:
            batches = list(batches)
        # No batch starts after an interrupt: otherwise closing the pool would compute all of them.
        with closing(each(compute, batches, self._installed.at_once)) as computed:
            for _ in computed:
                pass
        return found

    def _batches(
        self, texts: Sequence[str], tokenized: Callable[[Sequence[str]], list[list[int]]]
    ) -> Iterator[_Batch]:
        """Batches of all texts, longest texts first, so that the threads end at about one time."""
        order = np.argsort([-len(text) for text in texts], kind="stable")
        for start in range(0, len(order), TOKENIZED_AT_ONCE):
            places = order[start : start + TOKENIZED_AT_ONCE]
            tokens = tokenized([texts[i] for i in places])
            lengths = np.array([len(ids) for ids in tokens], dtype=np.int64)
            budget = self._batch_tokens
            if self._installed.at_once > 1:
                budget = even_budget(lengths, budget, self._installed.at_once)
            for batch in token_batches(lengths, budget):
                yield _Batch(places[batch], [tokens[i] for i in batch])

    @torch.inference_mode()
    def _vectors(self, batch: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        ids = np.full((len(batch), max(map(len, batch))), self.tokenizer.pad_token_id)
        mask = np.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        arrays = {"input_ids": ids, "token_type_ids": np.zeros_like(ids), "attention_mask": mask}
        names = self.tokenizer.model_input_names
        with self._installed.context():
            inputs = {name: torch.from_numpy(arrays[name]) for name in names}
            vectors = self._installed.logits(self._installed.features(inputs))
        found: NDArray[np.float32] = vectors.numpy()
        return found
