"""A BERT with pooling: token ids in, vectors of length 1 out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, functional

from rerank_search.models.bert import Bert, Logits


class BertVectors(Module):
    """The network of a bi-encoder. ``pooling`` is "mean" or "cls".

    Vectors are normalised ``times`` times, since another time changes their last digits.
    """

    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, bert: Bert, pooling: str, times: int) -> None:
        super().__init__()
        self.config = bert.config
        self.bert = bert
        self._pooling, self._times = pooling, times
        self.eval()

    @property
    def base_model(self) -> Any:
        """The BERT below the pooling."""
        return self.bert

    def forward(self, **inputs: Tensor) -> Logits:
        """Vectors of shape (n, width), from the inputs of ``Bert``, in the place of logits."""
        outputs = self.bert(**inputs)
        return Logits(self.normalised(self.pooled(outputs, inputs["attention_mask"])))

    def pooled(self, outputs: Tensor, attention_mask: Tensor) -> Tensor:
        """One row for each text, from the outputs of its tokens."""
        if self._pooling == "cls":
            return outputs[:, 0]
        read = attention_mask.unsqueeze(-1).to(outputs.dtype)
        return (outputs * read).sum(dim=1) / torch.clamp(read.sum(dim=1), min=1e-9)

    def normalised(self, rows: Tensor) -> Tensor:
        """The rows with length 1."""
        for _ in range(self._times):
            rows = functional.normalize(rows, p=2, dim=-1)
        return rows
