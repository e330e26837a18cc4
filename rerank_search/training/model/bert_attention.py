"""The attention of a BERT in training on a CPU, in fewer steps than its own.

The sums and gradients are the same. There is one product for query, key and value; inputs are
cast to half precision once, not three times; scores and softmax stay in the precision of the
products; and in the last layer only the first token has a query, since the head reads no other.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rerank_search.models.fused_bert import CLASSIFIERS


def can_simplify(network: Any) -> bool:
    """Whether the model is a BERT with the usual layers, on a CPU."""
    return (
        type(network).__name__ in CLASSIFIERS
        and network.device.type == "cpu"
        and network.config._attn_implementation in ("sdpa", "eager")  # with masks that are known
        and not getattr(network.config, "is_decoder", False)
        and not network.config.output_hidden_states
    )


def simplify_attention(network: Any) -> None:
    """Replace the forward pass of the model's attention; its weights stay in place."""
    *layers, last = network.base_model.encoder.layer
    for layer in (*layers, last):
        attention = layer.attention
        attention.self.forward = functools.partial(_attend, attention.self, layer is last)
        attention.forward = functools.partial(_attention, attention)


def _attention(
    attention: Any, hidden: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any
) -> tuple[Tensor, None]:
    """Replaces BertAttention.forward, also for contexts of only the first tokens."""
    context, _weights = attention.self(hidden, attention_mask)
    return attention.output(context, hidden[:, : context.shape[1]]), None


def _attend(
    attention: Any, first_only: bool, hidden: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, None]:
    """Replaces BertSelfAttention.forward."""
    count, _, width = hidden.shape
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        hidden = hidden.to(torch.get_autocast_dtype(device))
    query = (attention.query.weight * attention.scaling, attention.query.bias * attention.scaling)
    key, value = ((each.weight, each.bias) for each in (attention.key, attention.value))
    shape = (count, -1, attention.num_attention_heads, attention.attention_head_size)
    if first_only:
        q = functional.linear(hidden[:, :1], *query).view(shape)
        k, v = _together(hidden, key, value)
    else:
        q, k, v = _together(hidden, query, key, value)
    q, k, v = (each.reshape(shape).transpose(1, 2) for each in (q, k, v))
    with torch.autocast(device, enabled=False):
        scores = q @ k.transpose(-1, -2)
        if mask is not None:
            scores += _added(mask, scores.dtype)
        weights = scores.softmax(dim=-1)
        weights = attention.dropout(weights)
        context = (weights @ v).transpose(1, 2).reshape(count, -1, width)
    return context, None


def _together(hidden: Tensor, *layers: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """The outputs of linear layers over the same input."""
    weight = torch.cat([weight for weight, _ in layers])
    bias = torch.cat([bias for _, bias in layers])
    return functional.linear(hidden, weight, bias).chunk(len(layers), dim=-1)


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """The mask that is added to scores: its first row, since every token sees the same ones."""
    row = mask[:, :, :1]
    if row.dtype != torch.bool:
        return row.to(dtype)
    return torch.zeros(row.shape, dtype=dtype).masked_fill_(~row, -math.inf)
