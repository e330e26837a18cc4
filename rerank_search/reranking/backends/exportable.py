"""A model in the form that other runtimes take: one graph for all shapes of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from rerank_search.models.fused_bert import CLASSIFIERS, attend_first, is_plain, projections

MASKED = -10_000.0
"""Added to the scores of padding: beyond that, the softmax of any real score is 0."""


def exportable(network: Any, names: Sequence[str]) -> Exportable:
    """A module whose ``forward`` takes the inputs ``names`` in order."""
    known = type(network).__name__ in CLASSIFIERS and is_plain(network)
    decodes = getattr(network.config, "is_decoder", False)  # where tokens see those before only
    return (_Bert if known and not decodes else Exportable)(network, names)


class Exportable(torch.nn.Module):
    """Inputs to features of shape (pairs, width), of which ``logits`` are made in torch.

    So logits are computed in float32, whatever a runtime computes in: in half precision near ones
    would come out equal. Of a model that is not known the features are its logits.
    """

    def __init__(self, network: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.names = list(names)
        self.eval()  # exporting leaves a module, and with it the network, in the mode it was in

    def forward(self, *inputs: Tensor) -> Tensor:
        """The features, for inputs in the order of ``names``."""
        found: Tensor = self.network(**dict(zip(self.names, inputs, strict=True))).logits
        return found

    def logits(self, features: Tensor) -> Tensor:
        """Of shape (pairs, labels)."""
        return features

    def drop(self) -> None:
        """Free the weights that ``logits`` does not need."""
        for weights in self.network.parameters():
            weights.data = torch.empty(0)


class _Bert(Exportable):
    """The sums of BertForSequenceClassification, in a plain graph that runtimes fuse well.

    In the last layer only the first token's output is computed, as the head reads no other.
    """

    def forward(self, *inputs: Tensor) -> Tensor:
        given = dict(zip(self.names, inputs, strict=True))
        mask = given.pop("attention_mask")
        model = self.network.base_model
        hidden: Tensor = model.embeddings(**given)
        added = ((1 - mask) * MASKED).to(hidden.dtype)[:, None, None, :]
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


def _attend(layer: Any, hidden: Tensor, added: Tensor) -> Tensor:
    """What all tokens attend to: (n, tokens, width), as ``hidden``."""
    count, tokens, _ = hidden.shape
    size = layer.attention.self.attention_head_size
    query, key, value = (
        functional.linear(hidden, *each).view(count, tokens, -1, size).transpose(1, 2)
        for each in projections(layer)
    )
    scores = query @ key.transpose(2, 3) + added
    return (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)


def _attend_first(layer: Any, hidden: Tensor, added: Tensor) -> Tensor:
    """What the first tokens attend to, (n, width)."""
    query, (key, _), (value, bias) = projections(layer)
    size, width = layer.attention.self.attention_head_size, hidden.shape[-1]
    key, value = (weight.view(-1, size, width) for weight in (key, value))
    asking = functional.linear(hidden[:, 0], *query)
    return attend_first(asking, key, value, hidden, added) + bias


def _through(layer: Any, hidden: Tensor, context: Tensor) -> Tensor:
    """The rest of the layer, for the tokens that attended to ``context``."""
    attended = layer.attention.output(context, hidden)
    output: Tensor = layer.output(layer.intermediate(attended), attended)
    return output
