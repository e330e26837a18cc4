"""A BERT built from its weights without transformers, whose import takes seconds.

Modules are named as their weights in files, and have the attributes that ``fused_bert`` and the
exports read from a BERT of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Embedding, LayerNorm, Linear, Module, ModuleList, Parameter, functional


class Logits(NamedTuple):
    """The output of a classifier."""

    logits: Tensor


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The sizes of a BERT, and the other settings that are read from a model's configuration."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    vocab_size: int
    layer_norm_eps: float
    num_labels: int
    hidden_act: str = "gelu"
    is_decoder: bool = False
    output_hidden_states: bool = False
    output_attentions: bool = False


def shapes(config: BertConfig, prefix: str) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the weights of a BERT, without those of its pooler."""
    width, wide = config.hidden_size, config.intermediate_size
    found: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config.vocab_size, width),
        "embeddings.position_embeddings.weight": (config.max_position_embeddings, width),
        "embeddings.token_type_embeddings.weight": (config.type_vocab_size, width),
        **_norm_shapes("embeddings.LayerNorm", width),
    }
    for number in range(config.num_hidden_layers):
        layer = f"encoder.layer.{number}"
        for name in ("self.query", "self.key", "self.value", "output.dense"):
            found |= linear_shapes(f"{layer}.attention.{name}", width, width)
        found |= linear_shapes(f"{layer}.intermediate.dense", width, wide)
        found |= linear_shapes(f"{layer}.output.dense", wide, width)
        for name in ("attention.output", "output"):
            found |= _norm_shapes(f"{layer}.{name}.LayerNorm", width)
    return {f"{prefix}{name}": shape for name, shape in found.items()}


def linear_shapes(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a linear layer's weights."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


class _Network(Module):
    """The attributes that encoders and classifiers share."""

    config: BertConfig
    device = torch.device("cpu")
    dtype = torch.float32

    @property
    def base_model(self) -> Any:
        """The BERT below the head."""
        return self


class Bert(_Network):
    """Turns token ids into outputs of shape (n, tokens, width). A pooler in its file is ignored."""

    def __init__(self, config: BertConfig, weights: Mapping[str, Tensor], prefix: str = "") -> None:
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config, weights, f"{prefix}embeddings")
        self.encoder = Module()
        layers = range(config.num_hidden_layers)
        self.encoder.layer = ModuleList(
            _Layer(config, weights, f"{prefix}encoder.layer.{number}") for number in layers
        )
        self.eval()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor | None = None,
    ) -> Tensor:
        """Outputs of shape (n, tokens, width); ``attention_mask`` is 0 for padding."""
        hidden: Tensor = self.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
        mask = (attention_mask != 0)[:, None, None, :]
        layers: Any = self.encoder.layer
        for layer in layers:
            hidden = layer(hidden, mask)
        return hidden


class BertClassifier(_Network):
    """Turns token ids into logits of shape (n, labels)."""

    def __init__(self, config: BertConfig, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.config = config
        self.bert = Bert(config, weights, "bert.")
        self.bert.pooler = _Pooler(weights, "bert.pooler")
        self.classifier = _linear(weights, "classifier")
        self.eval()

    @property
    def base_model(self) -> Bert:
        """The BERT below the head."""
        return self.bert

    def forward(self, **inputs: Tensor) -> Logits:
        """Logits of shape (n, labels), from the inputs of ``Bert``."""
        pooler: Any = self.bert.pooler
        return Logits(self.classifier(pooler(self.bert(**inputs))))


class _Embeddings(Module):
    def __init__(self, config: BertConfig, weights: Mapping[str, Tensor], name: str) -> None:
        super().__init__()
        self.word_embeddings, self.position_embeddings, self.token_type_embeddings = (
            _embedding(weights[f"{name}.{part}_embeddings.weight"])
            for part in ("word", "position", "token_type")
        )
        self.LayerNorm = _norm(config, weights, f"{name}.LayerNorm")

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        places = torch.arange(input_ids.shape[1])[None]
        # Added in the same order as in transformers, because the last digits depend on it.
        embedded = self.word_embeddings(input_ids) + self.token_type_embeddings(token_type_ids)
        normed: Tensor = self.LayerNorm(embedded + self.position_embeddings(places))
        return normed


class _Layer(Module):
    def __init__(self, config: BertConfig, weights: Mapping[str, Tensor], name: str) -> None:
        super().__init__()
        self.attention = _Attention(config, weights, f"{name}.attention")
        self.intermediate = _Intermediate(weights, f"{name}.intermediate")
        self.output = _Output(config, weights, f"{name}.output")

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        attended = self.attention.output(self.attention(hidden, mask), hidden)
        found: Tensor = self.output(self.intermediate(attended), attended)
        return found


class _Attention(Module):
    def __init__(self, config: BertConfig, weights: Mapping[str, Tensor], name: str) -> None:
        super().__init__()
        own: Any = Module()
        own.query, own.key, own.value = (
            _linear(weights, f"{name}.self.{part}") for part in ("query", "key", "value")
        )
        own.num_attention_heads = config.num_attention_heads
        own.attention_head_size = config.hidden_size // config.num_attention_heads
        self.self = own
        self.output = _Output(config, weights, f"{name}.output")

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        own: Any = self.self
        query, key, value = (
            part(hidden).unflatten(-1, (own.num_attention_heads, -1)).transpose(1, 2)
            for part in (own.query, own.key, own.value)
        )
        context = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return context.transpose(1, 2).flatten(2)


class _Intermediate(Module):
    def __init__(self, weights: Mapping[str, Tensor], name: str) -> None:
        super().__init__()
        self.dense = _linear(weights, f"{name}.dense")

    def forward(self, hidden: Tensor) -> Tensor:
        return functional.gelu(self.dense(hidden))


class _Output(Module):
    def __init__(self, config: BertConfig, weights: Mapping[str, Tensor], name: str) -> None:
        super().__init__()
        self.dense = _linear(weights, f"{name}.dense")
        self.LayerNorm = _norm(config, weights, f"{name}.LayerNorm")

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        normed: Tensor = self.LayerNorm(self.dense(hidden) + residual)
        return normed


class _Pooler(Module):
    def __init__(self, weights: Mapping[str, Tensor], name: str) -> None:
        super().__init__()
        self.dense = _linear(weights, f"{name}.dense")

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.tanh(self.dense(hidden[:, 0]))


def _embedding(weight: Tensor) -> Embedding:
    found: Embedding = Embedding.from_pretrained(weight)  # type: ignore[no-untyped-call]
    return found


def _linear(weights: Mapping[str, Tensor], name: str) -> Linear:
    # Created small: filling a layer with random numbers takes longer than reading its weights, and
    # torch's "meta" device, which fills nothing, imports hundreds of modules.
    layer = Linear(1, 1)
    layer.weight = _fixed(weights[f"{name}.weight"])
    layer.bias = _fixed(weights[f"{name}.bias"])
    layer.out_features, layer.in_features = layer.weight.shape
    return layer


def _norm(config: BertConfig, weights: Mapping[str, Tensor], name: str) -> LayerNorm:
    layer = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
    layer.weight = _fixed(weights[f"{name}.weight"])
    layer.bias = _fixed(weights[f"{name}.bias"])
    return layer


def _fixed(weight: Tensor) -> Parameter:
    return Parameter(weight, requires_grad=False)
