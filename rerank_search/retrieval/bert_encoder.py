"""A bi-encoder of a plain BERT: the vectors of sentence-transformers without importing it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from rerank_search.models.batches import cpu_batch_tokens, each, even_budget, token_batches
from rerank_search.models.bert_folder import EncoderFolder
from rerank_search.models.fused_bert import fuse
from rerank_search.models.threads import one_thread

TOKENIZED_AT_ONCE = 512
"""Texts whose tokens are made together. The first batch waits for so many, later ones do not."""


class _Batch(NamedTuple):
    places: NDArray[np.int64]
    tokens: list[list[int]]


class BertEncoder:
    """Tokenises and encodes texts on the CPU in float32; each thread computes a batch of its own.

    ``prompts`` and ``default_prompt_name`` have the values of a SentenceTransformer without
    prompts.
    """

    prompts: ClassVar[dict[str, str | None]] = {}
    default_prompt_name = None

    def __init__(self, folder: EncoderFolder) -> None:
        fuse(folder.network, "float32")
        self._folder = folder
        self.tokenizer = folder.tokenizer
        self.max_seq_length = folder.tokenizer.model_max_length
        self.pooling_mode = folder.pooling
        alone = one_thread()
        self._context = alone or nullcontext
        self._at_once = torch.get_num_threads() if alone else 1
        self._batch_tokens = cpu_batch_tokens(folder.network, self._at_once)

    def get_embedding_dimension(self) -> int:
        """The length of a vector."""
        return self._folder.network.config.hidden_size

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
        with closing(each(compute, batches, self._at_once)) as computed:
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
            if self._at_once > 1:
                budget = even_budget(lengths, budget, self._at_once)
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
        with self._context():
            inputs = {name: torch.from_numpy(arrays[name]) for name in names}
            outputs: torch.Tensor = self._folder.network(**inputs)
            if self._folder.pooling == "cls":
                vectors = outputs[:, 0]
            else:
                read = torch.from_numpy(mask).unsqueeze(-1).to(outputs.dtype)
                vectors = (outputs * read).sum(dim=1) / torch.clamp(read.sum(dim=1), min=1e-9)
            for _ in range(self._folder.normalised + 1):
                vectors = functional.normalize(vectors, p=2, dim=-1)
        found: NDArray[np.float32] = vectors.numpy()
        return found
