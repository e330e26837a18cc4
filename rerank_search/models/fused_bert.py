"""A BERT's forward pass on a CPU, in fewer and faster steps than its own.

It works for a BERT of transformers and for ours (``models/bert.py``), and computes the same as
transformers' BertModel and BertForSequenceClassification, to the last digits of float32:

- Linear layers run in oneDNN, with weights that are laid out once for its kernels, and with bias
  and GELU in the same call. With AVX2 alone they run in MKL, which is faster there, and GELU in
  torch. Query, key and value are one product of three times the width, with the attention's scale
  in the query's weights.
- In MKL the widest outputs of all layers share one buffer, because new memory costs time: the
  system gives it page by page, filled with zeros.
- The last layer of a classifier computes only the first token's output, because its head reads no
  other, and needs no keys and values of the other tokens (``attend_first``).
- The attention is torch's fused kernel. Batched products are no slower in bfloat16, but oneDNN
  makes and keeps a kernel of them for every shape, and hardly any other batch has that shape.
- Batches are padded with rows of zeros, so that sizes recur: buffers of ever new sizes left gaps
  that no other buffer fitted, and a process grew by hundreds of MiB.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from rerank_search.models.bert import Bert, BertClassifier, Logits

if TYPE_CHECKING:
    from torch.nn import LayerNorm, Linear

CLASSIFIERS = frozenset(
    {
        "BertClassifier",
        "BertForSequenceClassification",
        "RobertaForSequenceClassification",
        "XLMRobertaForSequenceClassification",
    }
)
"""Supported classes of cross-encoders: their layers have the same names and compute the same."""

ENCODERS = frozenset({"Bert", "BertVectors", "BertModel", "RobertaModel", "XLMRobertaModel"})
"""Supported classes of bi-encoders, and of the models below the cross-encoders' heads."""

DTYPES = frozenset({"float32", "bfloat16"})


def can_fuse(network: Any, dtype: str) -> bool:
    """Whether ``fuse`` supports the model, and this machine's torch has what it needs."""
    config = network.config
    return (
        type(network).__name__ in CLASSIFIERS | ENCODERS
        and dtype in DTYPES
        and network.device.type == "cpu"
        and network.dtype == torch.float32
        and config.hidden_act == "gelu"
        and not getattr(config, "is_decoder", False)
        # Only the model itself can return hidden states, attentions or the pooled output.
        and not config.output_hidden_states
        and not config.output_attentions
        and getattr(config, "position_embedding_type", "absolute") in (None, "absolute")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and is_plain(network)
        and (dtype == "float32" or torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def is_plain(network: Any) -> bool:
    """Whether a BERT's layers compute only what their weights say; an adapter adds to that."""
    layers = network.base_model.encoder.layer.modules()
    return all(type(each) is torch.nn.Linear for each in layers if hasattr(each, "in_features"))


def fuse(network: Any, dtype: str) -> None:
    """Replace the forward pass of ``network``, and drop its layers to free their weights.

    Sums of the residual stream, norms, the head and the attention of the first tokens in a
    classifier's last layer stay in float32. All other products and the attention are computed in
    bfloat16 if ``dtype`` is "bfloat16".
    """
    model = network.base_model
    classifies = type(network).__name__ in CLASSIFIERS
    fused = _Fused(model, getattr(torch, dtype), first_only=classifies)
    model.encoder.layer = torch.nn.ModuleList()
    if not classifies and isinstance(model, Bert):
        model.forward = fused  # type: ignore[method-assign]
        return
    pooler = getattr(model, "pooler", None)
    if isinstance(network, BertClassifier):
        result: Any = Logits
    else:
        from transformers import modeling_outputs

        result = modeling_outputs.SequenceClassifierOutput

    def classify(**inputs: Any) -> Any:
        first = fused(**inputs)
        features = first if pooler is None else pooler(first)
        return result(logits=network.classifier(features))

    def encode(**inputs: Any) -> Any:
        outputs = fused(**inputs)
        pooled = None if pooler is None else pooler(outputs)
        return modeling_outputs.BaseModelOutputWithPooling(
            last_hidden_state=outputs, pooler_output=pooled
        )

    network.forward = classify if classifies else encode


class _Fused:
    """Embeddings and layers, with outputs of shape (n, tokens, width) in float32.

    ``first_only`` gives only the outputs of the first tokens, shape (n, 1, width).
    """

    def __init__(self, model: Any, dtype: torch.dtype, *, first_only: bool) -> None:
        self._embeddings = model.embeddings
        *layers, last = model.encoder.layer
        self._layers = [
            *(_Layer(layer, dtype) for layer in layers),
            _LastLayer(last, dtype) if first_only else _Layer(last, dtype),
        ]
        self._widest = max(layer.widest for layer in self._layers)
        self._dtype = dtype

    def __call__(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        **others: Any,
    ) -> Tensor:
        """The outputs; ``attention_mask`` is 0 for padding. TypeError for a BERT's other inputs."""
        for name in ("position_ids", "inputs_embeds"):
            if others.get(name) is not None:
                raise TypeError(f"{name} cannot be given to a model with fused layers")
        embedded: Tensor = self._embeddings(input_ids=input_ids, token_type_ids=token_type_ids)
        count, tokens, width = embedded.shape
        hidden = _filled_up(embedded.flatten(0, 1))
        mask = self._added(attention_mask)
        wide = hidden.new_empty(len(hidden) * self._widest, dtype=self._dtype)
        for layer in self._layers:
            hidden = layer(hidden, (count, tokens), mask, wide)
        return hidden[: count * tokens].view(count, -1, width)

    def _added(self, attention_mask: Tensor | None) -> Tensor | None:
        """Numbers to add to scores, shape (n, 1, 1, tokens); None if there is no padding."""
        if attention_mask is None:
            return None
        padding = attention_mask == 0
        if not padding.any():
            return None
        added = torch.zeros(padding.shape, dtype=self._dtype)
        # Not infinity: the softmax of a row of nothing but padding would be NaN.
        return added.masked_fill_(padding, torch.finfo(self._dtype).min)[:, None, None, :]


class _Block:
    """The part that both kinds of layers share: all but the projections of the attention."""

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        self._heads = layer.attention.self.num_attention_heads
        self._output = JoinedLinear([_weights(layer.attention.output.dense)], dtype)
        self._output_norm: LayerNorm = layer.attention.output.LayerNorm
        self._up = JoinedLinear([_weights(layer.intermediate.dense)], dtype)
        self.widest = self._up.width
        self._down = JoinedLinear([_weights(layer.output.dense)], dtype)
        self._norm: LayerNorm = layer.output.LayerNorm
        self._dtype = dtype

    def _rest(self, hidden: Tensor, context: Tensor, wide: Tensor) -> Tensor:
        hidden = self._output_norm(hidden + self._output(context))
        widened = self._up(hidden.to(self._dtype), wide, gelu=True)
        normed: Tensor = self._norm(hidden + self._down(widened))
        return normed


class _Layer(_Block):
    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        super().__init__(layer, dtype)
        self._projection = JoinedLinear(projections(layer), dtype)
        self.widest = max(self.widest, self._projection.width)

    def __call__(
        self, hidden: Tensor, shape: tuple[int, int], mask: Tensor | None, wide: Tensor
    ) -> Tensor:
        """The layer's output; ``hidden`` is (rows, width), and ``shape`` (sequences, tokens).

        ``wide`` is a buffer of ``widest`` numbers for each row.
        """
        projected = self._projection(hidden.to(self._dtype), wide)[: math.prod(shape)]
        parts = projected.view(*shape, 3, self._heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        return self._rest(hidden, _attend(query, key, value, mask, len(hidden)), wide)


class _LastLayer(_Block):
    """A last layer with outputs of first tokens only, whose attention is computed in float32."""

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        super().__init__(layer, dtype)
        query, (key, _), (value, self._bias) = projections(layer)
        self._query = JoinedLinear([query], torch.float32)
        self._key, self._value = (
            weight.view(self._heads, -1, weight.shape[1]) for weight in (key, value)
        )

    def __call__(
        self, hidden: Tensor, shape: tuple[int, int], mask: Tensor | None, wide: Tensor
    ) -> Tensor:
        count, tokens = shape
        hidden = hidden[: count * tokens].view(count, tokens, -1)
        first = hidden[:, 0]
        context = attend_first(self._query(first), self._key, self._value, hidden, mask)
        return self._rest(first, (context + self._bias).to(self._dtype), wide)


def attend_first(
    query: Tensor, key: Tensor, value: Tensor, hidden: Tensor, mask: Tensor | None
) -> Tensor:
    """The attention output of one token of each sequence, without keys and values of all tokens.

    The score q . (K h) is (K'q) . h, and the sum of p (V h) is V times the sum of p h: heads *
    width products for a token instead of width * width, twice. A bias of keys would add the same to
    all scores, and softmax takes it out; that of values is left to add, since the p sum to 1.

    ``query`` is (n, width), scaled already; ``key`` and ``value`` are weights, as (heads, size,
    width); ``hidden`` (n, tokens, width); ``mask`` is added to scores, (n, 1, 1, tokens). Returns
    (n, width).
    """
    heads, size, _ = key.shape
    asking = (query.view(-1, heads, size).transpose(0, 1) @ key).transpose(0, 1)
    scores = asking @ hidden.transpose(1, 2)
    if mask is not None:
        scores = scores + mask[:, 0]
    attended = (scores.softmax(dim=-1) @ hidden).transpose(0, 1)
    return (attended @ value.transpose(1, 2)).transpose(0, 1).flatten(1)


def projections(layer: Any) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of query, key and value; the query's with the attention's scale."""
    attention = layer.attention.self
    weight, bias = _weights(attention.query)
    scale = 1 / math.sqrt(attention.attention_head_size)
    return [(weight * scale, bias * scale), _weights(attention.key), _weights(attention.value)]


def _weights(layer: Linear) -> tuple[Tensor, Tensor]:
    return layer.weight.detach(), layer.bias.detach()


class JoinedLinear:
    """Linear layers over the same input, joined into one in the layout of the kernels."""

    def __init__(self, layers: list[tuple[Tensor, Tensor]], dtype: torch.dtype) -> None:
        weight = torch.cat([weight for weight, _ in layers]).to(dtype)
        self.width = len(weight)
        self._in_mkl = dtype == torch.float32 and _mkl_is_faster()
        if self._in_mkl:
            self._weight = weight.t().contiguous()
        else:
            self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        self._bias = torch.cat([bias for _, bias in layers]).to(dtype)

    def __call__(
        self, inputs: Tensor, buffer: Tensor | None = None, *, gelu: bool = False
    ) -> Tensor:
        """The outputs of all layers side by side, shape (tokens, width).

        They may be in ``buffer``, which has at least as many numbers.
        """
        outputs: Tensor
        if self._in_mkl:
            size = len(inputs) * self.width
            out = None if buffer is None else buffer[:size].view(-1, self.width)
            outputs = torch.addmm(self._bias, inputs, self._weight, out=out)
            return torch.ops.aten.gelu_(outputs) if gelu else outputs
        # The last argument, "none", makes oneDNN compute GELU exactly.
        outputs = torch.ops.mkldnn._linear_pointwise(
            inputs, self._weight, self._bias, "gelu" if gelu else "none", [], "none"
        )
        return outputs


def _mkl_is_faster() -> bool:
    """Whether MKL is here, and the CPU has AVX2 alone."""
    available: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    return available and torch.backends.cpu.get_cpu_capability() == "AVX2"


def _filled_up(tokens: Tensor) -> Tensor:
    """The rows, with zeros added up to a multiple of a power of two, usually 2% more."""
    size = 1 << max((len(tokens) // 16).bit_length() - 1, 0)
    return functional.pad(tokens, (0, 0, 0, -len(tokens) % size))


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, rows: int) -> Tensor:
    """The attention output, shape (rows, width), with rows of zeros at the end.

    The inputs are (n, heads, tokens, size), and the query is scaled already.
    """
    context = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)
    count, heads, tokens, size = context.shape
    result = context.new_empty((rows, heads * size))
    result[: count * tokens].view(count, tokens, heads, size).copy_(context.transpose(1, 2))
    result[count * tokens :] = 0
    return result
