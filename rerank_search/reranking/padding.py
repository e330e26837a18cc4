"""Whether pairs of different lengths can share a batch, and the token that pads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SHORT, LONG = 5, 12
"""Lengths of the two pairs that are tried, in tokens."""

_ROUNDING = 1e-3
"""Largest accepted difference of logits, relative to the largest logit or absolute."""


def padding_of(network: Any, tokenizer: Any) -> int:
    """The token that pads rows.

    The configuration's padding token comes before the tokenizer's, because a decoder reads its
    score at the last token that differs from it.
    """
    config = network.config.get_text_config()
    known = (getattr(config, "pad_token_id", None), tokenizer.pad_token_id)
    size = network.get_input_embeddings().num_embeddings if _has_table(network) else None
    usable = (each for each in known if each is not None and 0 <= each < (size or each + 1))
    return next(usable, 0)


def pads_without_effect(
    network: Any, names: Sequence[str], pad_token: int, *, left: bool = False
) -> bool:
    """Try whether a pair has the same logits alone and in a batch with a longer pair.

    ``left`` tells whether the padding stands before the pair.

    Decoders without a padding token refuse such batches. Other models read their score at the last
    position (XLNet), take no mask (FNet), or mix neighbouring tokens despite the mask (CANINE).
    """
    import torch

    from rerank_search.models.fused_bert import CLASSIFIERS

    known = type(network).__name__ in CLASSIFIERS
    # Block-sparse attention switches to full attention on short texts, and never switches back.
    if known or getattr(network.config, "attention_type", None) == "block_sparse":
        return True
    ids = torch.arange(LONG).remainder(7) + 1
    ids = torch.where(ids == pad_token, 8, ids).repeat(2, 1)
    mask = torch.ones_like(ids)
    both = {"input_ids": ids.clone(), "attention_mask": mask.clone()}
    padded = slice(LONG - SHORT) if left else slice(SHORT, None)
    own = slice(LONG - SHORT, None) if left else slice(SHORT)
    both["input_ids"][0, padded] = pad_token
    both["attention_mask"][0, padded] = 0
    both["token_type_ids"] = torch.zeros_like(ids)

    def logits(rows: slice, columns: slice) -> torch.Tensor:
        inputs = {name: both[name][rows, columns].to(network.device) for name in names}
        found: torch.Tensor = network(**inputs).logits.float()
        return found

    with torch.inference_mode():
        try:
            together = logits(slice(None), slice(None))
            alone = torch.cat([logits(slice(1), own), logits(slice(1, 2), slice(None))])
        # Each architecture raises another class of error for a batch that it refuses.
        except (ValueError, RuntimeError, IndexError, AssertionError):
            return False
    scale = max(1.0, float(alone.abs().max()))
    return bool((together - alone).abs().max() <= _ROUNDING * scale)


def _has_table(network: Any) -> bool:
    """Whether tokens are rows of a table; CANINE's are hashed."""
    import torch

    try:
        return isinstance(network.get_input_embeddings(), torch.nn.Embedding)
    except (NotImplementedError, AttributeError):
        return False
