"""The cross-encoder in training, which computes batches in parts of similar length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from sentence_transformers import CrossEncoder
from torch import Tensor

TOKENS_ON_CPU = 2048
"""Tokens of one part on a CPU; activations of more do not fit the caches."""

TOKENS_ON_GPU = 65_536


class LengthSortedCrossEncoder(CrossEncoder):
    """A CrossEncoder that trains on a batch in parts of similar length.

    The pairs of a call are sorted by length and go through the model in parts of at most
    ``tokens_at_once`` tokens, padding included, so short pairs are not padded to the longest of
    the batch. The scores are those of the whole batch, in its order.
    """

    tokens_at_once = 0
    """Tokens of one part; 0 chooses a number for the device."""

    def save_pretrained(self, path: str, *arguments: Any, **options: Any) -> None:
        """Save it without sentence-transformers' card, which took half of each checkpoint's time.

        Nobody reads the card of a checkpoint, and ours has its own.
        """
        super().save_pretrained(path, *arguments, **{**options, "create_model_card": False})

    def forward(self, input: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """``input`` with the tensor "scores" of shape (pairs, labels), as in CrossEncoder."""
        mask = input.get("attention_mask")
        if (
            not self.training
            or mask is None
            or getattr(self.tokenizer, "padding_side", "") != "right"
        ):
            return super().forward(input, **kwargs)
        on_cpu = self.device.type == "cpu"
        tokens = self.tokens_at_once or (TOKENS_ON_CPU if on_cpu else TOKENS_ON_GPU)
        lengths = mask.sum(dim=1)
        order = lengths.argsort(descending=True, stable=True)
        scores = [
            super(LengthSortedCrossEncoder, self).forward(_rows(input, rows, longest), **kwargs)[
                "scores"
            ]
            for rows, longest in _parts(order, lengths[order].tolist(), tokens)
        ]
        return input | {"scores": torch.cat(scores)[order.argsort()]}


def _parts(order: Tensor, lengths: list[int], tokens: int) -> Iterator[tuple[Tensor, int]]:
    """Positions in the batch, longest pair first, with the padded length of each part."""
    start = 0
    while start < len(lengths):
        count = max(1, tokens // lengths[start])
        yield order[start : start + count], lengths[start]
        start += count


def _rows(input: dict[str, Any], rows: Tensor, longest: int) -> dict[str, Any]:
    shape = input["attention_mask"].shape
    return {
        key: value[rows, :longest] if isinstance(value, Tensor) and value.shape == shape else value
        for key, value in input.items()
    }
