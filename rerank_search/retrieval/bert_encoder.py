"""A bi-encoder of a plain BERT, which computes without sentence-transformers what that would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from rerank_search.models.bert_folder import EncoderFolder
from rerank_search.models.fused_bert import fuse


class BertEncoder:
    """Called as a SentenceTransformer without prompts, as far as this package does."""

    prompts: ClassVar[dict[str, str | None]] = {}
    default_prompt_name = None

    def __init__(self, folder: EncoderFolder) -> None:
        fuse(folder.network, "float32")
        self._folder = folder
        self.tokenizer = folder.tokenizer
        self.device = torch.device("cpu")
        self.max_seq_length = folder.tokenizer.model_max_length

    def get_embedding_dimension(self) -> int:
        """Length of a vector."""
        return self._folder.network.config.hidden_size

    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int,
        normalize_embeddings: bool,
        show_progress_bar: bool,
        prompt: str | None = None,
        task: str | None = None,
    ) -> NDArray[np.float32]:
        """Vectors of the texts, shape (n, dimension), float32, of length 1 if normalised.

        ``prompt`` is put before each text. ``show_progress_bar`` is not read, since no bar is ever
        shown, nor ``task``, since all texts go through the same network.
        """
        texts = [f"{prompt or ''}{text}" for text in texts]
        # Sorted by the same call as in sentence-transformers: the last digits may depend on where
        # in a batch a text is.
        order = np.argsort([-len(text) for text in texts])
        found = np.empty((len(texts), self.get_embedding_dimension()), dtype=np.float32)
        for start in range(0, len(texts), batch_size):
            batch = order[start : start + batch_size]
            vectors = self._vectors([texts[i] for i in batch])
            if normalize_embeddings:
                vectors = functional.normalize(vectors, p=2, dim=1)
            found[batch] = vectors.numpy()
        return found

    @torch.inference_mode()
    def _vectors(self, texts: Sequence[str]) -> torch.Tensor:
        encoded = self.tokenizer(texts, truncation=True, padding=True)
        inputs = {name: torch.tensor(values) for name, values in encoded.items()}
        outputs: torch.Tensor = self._folder.network(**inputs)
        if self._folder.pooling == "cls":
            vectors = outputs[:, 0]
        else:
            read = inputs["attention_mask"].unsqueeze(-1).to(outputs.dtype)
            vectors = (outputs * read).sum(dim=1) / torch.clamp(read.sum(dim=1), min=1e-9)
        for _ in range(self._folder.normalised):
            vectors = functional.normalize(vectors, p=2, dim=-1)
        return vectors
