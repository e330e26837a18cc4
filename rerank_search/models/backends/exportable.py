"""A model in the form that other runtimes read: one graph for all shapes of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rerank_search.models.bert_vectors import BertVectors
from rerank_search.models.fused_bert import CLASSIFIERS, attend_first, is_plain, projections

MASKED = -10_000.0
"""Number added to the attention scores of padding, low enough that their softmax is 0."""


def exportable(network: Any, names: Sequence[str]) -> Exportable:
    """A module whose ``forward`` takes the inputs ``names`` in order."""
    if isinstance(network, BertVectors):
        return _BertVectors(network, names)
    known = type(network).__name__ in CLASSIFIERS and is_plain(network)
    decodes = getattr(network.config, "is_decoder", False)  # tokens see only earlier ones
    return (_Bert if known and not decodes else Exportable)(network, names)


class Exportable(torch.nn.Module):
    """Turns inputs into features of shape (pairs, width), and features into logits in torch.

    So logits are computed in float32, whatever the precision of the runtime: in half precision
    similar logits would become equal. For an unknown kind of model the features are its logits.
    """

    def __init__(self, network: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.names = list(names)
        self.eval()  # an export keeps the mode that the module and its network are in

    def forward(self, *inputs: Tensor) -> Tensor:
        """The features, for inputs in the order of ``names``."""
        found: Tensor = self.network(**dict(zip(self.names, inputs, strict=True))).logits
        return found

    def logits(self, features: Tensor) -> Tensor:
        """The logits of features, shape (pairs, labels)."""
        return features

    def drop(self) -> None:
        """Free the weights that ``logits`` does not need."""
        for weights in self.network.parameters():
            weights.data = torch.empty(0)


class _Bert(Exportable):
    """BertForSequenceClassification as a plain graph that runtimes fuse well.

    The last layer computes only the first token's output, because the head reads no other.
    """

    def forward(self, *inputs: Tensor) -> Tensor:
        model = self.network.base_model
        hidden, _, added = _embedded(model, dict(zip(self.names, inputs, strict=True)))
        *layers, last = model.encoder.layer
        for layer in layers:
            hidden = _through(layer, hidden, _attend(layer, hidden, added))
        return _through(last, hidden[:, 0], _attend_first(last, hidden, added))

    def logits(self, features: Tensor) -> Tensor:
        pooler = getattr(self.network.base_model, "pooler", None)
        first = features[:, None]
        found: Tensor = self.network.classifier(first if pooler is None else pooler(first))
        return found

    def drop(self) -> None:
        model = self.network.base_model
        for weights in (*model.embeddings.parameters(), *model.encoder.parameters()):
            weights.data = torch.empty(0)


class _BertVectors(Exportable):
    """BertVectors as such a graph; features are pooled outputs, and their vectors are "logits"."""

    def forward(self, *inputs: Tensor) -> Tensor:
        model = self.network.base_model
        hidden, mask, added = _embedded(model, dict(zip(self.names, inputs, strict=True)))
        for layer in model.encoder.layer:
            hidden = _through(layer, hidden, _attend(layer, hidden, added))
        found: Tensor = self.network.pooled(hidden, mask)
        return found

    def logits(self, features: Tensor) -> Tensor:
        found: Tensor = self.network.normalised(features)
        return found


def _embedded(model: Any, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The embeddings of the tokens, their mask, and numbers to add to scores."""
    mask = inputs.pop("attention_mask")
    hidden: Tensor = model.embeddings(**inputs)
    return hidden, mask, ((1 - mask) * MASKED).to(hidden.dtype)[:, None, None, :]


def _attend(layer: Any, hidden: Tensor, added: Tensor) -> Tensor:
    """The attention output of all tokens, shape (n, tokens, width), as ``hidden``."""
    count, tokens, _ = hidden.shape
    size = layer.attention.self.attention_head_size
    query, key, value = (
        functional.linear(hidden, *each).view(count, tokens, -1, size).transpose(1, 2)
        for each in projections(layer)
    )
    scores = query @ key.transpose(2, 3) + added
    return (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)


def _attend_first(layer: Any, hidden: Tensor, added: Tensor) -> Tensor:
    """The attention output of the first tokens, shape (n, width)."""
    query, (key, _), (value, bias) = projections(layer)
    size, width = layer.attention.self.attention_head_size, hidden.shape[-1]
    key, value = (weight.view(-1, size, width) for weight in (key, value))
    asking = functional.linear(hidden[:, 0], *query)
    return attend_first(asking, key, value, hidden, added) + bias


def _through(layer: Any, hidden: Tensor, context: Tensor) -> Tensor:
    """The rest of the layer, for tokens with the attention output ``context``."""
    attended = layer.attention.output(context, hidden)
    output: Tensor = layer.output(layer.intermediate(attended), attended)
    return output
