"""A student: a smaller model made from the first layers of its base, narrowed.

Random layers would need far more data. So a student begins as the closest model of its size: the
state of each token is projected onto its principal axes, and each matrix between two states onto
the axes of both; heads and feed-forward units with little effect are left out, and the products
of the remaining heads are cut to their largest singular values; scales and offsets of norms are
fitted. States on the training data decide what has an effect. The classifier is new.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from rerank_search.errors import InvalidInputError
from rerank_search.models.loading import quietly
from rerank_search.training.data.groups import Group
from rerank_search.training.recipe.recipe import Student

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

States: TypeAlias = dict[str, Tensor]
"""States of each token by name: ``NAME`` is the output of a layer, ``NAME.in`` its input."""

_KEYS = {
    "layers": "num_hidden_layers",
    "width": "hidden_size",
    "heads": "num_attention_heads",
    "feed_forward": "intermediate_size",
}
_TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")
_LINEAR = 0.5
"""Factor of the pooler, with which its tanh is nearly linear."""
_HEAD = 0.3
"""Standard deviation of the classifier's weights.

Fitted ones would be huge: in the first layers almost nothing has reached the token that is read,
and amplifying that would make each training step too large.
"""
_STATE_GROUPS = 40
_TOKENS, _PAIRS_AT_ONCE = 128, 32
_LEAST = 1e-6


def make_student(base: str, student: Student, seed: int, folder: Path) -> str:
    """Write a student's shape, with random weights, and the base's tokenizer; return ``folder``.

    Raises InvalidInputError for an impossible shape, or a base that is not a BERT.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification
    from transformers import AutoTokenizer as Tokenizers

    config = AutoConfig.from_pretrained(base)
    if config.model_type != "bert":
        raise InvalidInputError(
            f"{base} is not a BERT, the only model that students can be made from: choose another "
            "base"
        )
    wide = config.to_dict()
    for name, key in _KEYS.items():
        asked = getattr(student, name)
        if asked is not None and asked > wide[key]:
            raise InvalidInputError(
                f"student.{name}={asked} is too large: the base has {wide[key]}"
            )
    width = student.width or config.hidden_size
    heads = student.heads or config.num_attention_heads
    if width % heads:
        raise InvalidInputError(
            f"student.width={width} is not a multiple of its {heads} heads: change one of the two"
        )
    if width == config.hidden_size and heads != config.num_attention_heads:
        raise InvalidInputError(
            f"student.heads={heads} needs a smaller student.width: at the base's width of {width} "
            f"there must be {config.num_attention_heads} heads"
        )
    config.update(
        {
            "num_hidden_layers": student.layers or config.num_hidden_layers,
            "hidden_size": width,
            "num_attention_heads": heads,
            "intermediate_size": student.feed_forward or min(4 * width, config.intermediate_size),
            "num_labels": 1,
        }
    )
    torch.manual_seed(seed)
    untrained: Any = AutoModelForSequenceClassification
    untrained.from_config(config).save_pretrained(folder)
    Tokenizers.from_pretrained(base).save_pretrained(folder)
    return str(folder)


@torch.no_grad()
def narrow(model: CrossEncoder, base: str, groups: Sequence[Group], seed: int) -> None:
    """Give a student the weights closest to its base's, and a small random head.

    If the width is the base's, the weights are the base's too, the head's included, without the
    feed-forward units that are left out.
    """
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(seed)  # for an encoder's head
    with quietly():
        theirs: Any = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    theirs, whole = theirs.float().eval(), theirs.bert
    network: Any = model.model
    small, layers = network.bert, network.config.num_hidden_layers
    drawn = random.Random(seed).sample(list(groups), min(len(groups), _STATE_GROUPS))
    states = _states(whole, layers, _encoded(model, drawn))
    if network.config.hidden_size == whole.config.hidden_size:
        _prune(network, theirs, states)
        return
    axes = _axes(states, network.config.hidden_size)
    for name in _TABLES:
        table = getattr(whole.embeddings, name).weight
        getattr(small.embeddings, name).weight.copy_(table @ axes.T)
    _fit_norm(small.embeddings.LayerNorm, states, "embedded", axes)
    before = "embedded"
    for place in range(layers):
        theirs, own = whole.encoder.layer[place], small.encoder.layer[place]
        read = states[f"heads {place}"]
        _narrow_attention(own.attention, theirs.attention, states[before] @ axes.T, read, axes)
        _fit_norm(own.attention.output.LayerNorm, states, f"attended {place}", axes)
        _narrow_feed_forward(own, theirs, states[f"widened {place}"], axes)
        before = f"layer {place}"
        _fit_norm(own.output.LayerNorm, states, before, axes)
    small.pooler.dense.weight.copy_(_LINEAR * torch.eye(len(axes)))
    small.pooler.dense.bias.zero_()
    drawn_by = torch.Generator().manual_seed(seed)
    network.classifier.weight.copy_(_HEAD * torch.randn(1, len(axes), generator=drawn_by))
    network.classifier.bias.zero_()


def _prune(network: Any, theirs: Any, states: States) -> None:
    """Copy the base's weights, without the feed-forward units with little effect."""
    of_base = theirs.state_dict()
    for name, weights in network.state_dict().items():
        if weights.shape == of_base[name].shape:
            weights.copy_(of_base[name])
    axes = torch.eye(network.config.hidden_size)
    for place, layer in enumerate(network.bert.encoder.layer):
        _narrow_feed_forward(
            layer, theirs.bert.encoder.layer[place], states[f"widened {place}"], axes
        )


def _encoded(model: CrossEncoder, groups: Sequence[Group]) -> Iterator[Any]:
    """Pairs of the groups as inputs of a network on the CPU, in batches."""
    pairs = [(group.query, document) for group in groups for document in group.documents]
    longest = min(_TOKENS, model.max_seq_length or _TOKENS)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        columns = map(list, zip(*pairs[start : start + _PAIRS_AT_ONCE], strict=True))
        yield model.tokenizer(
            *columns, truncation=True, max_length=longest, padding=True, return_tensors="pt"
        )


def _states(whole: Any, layers: int, batches: Iterator[Any]) -> States:
    """The states of the tokens in the first layers of the base, without padding."""
    places = {"embedded": whole.embeddings.LayerNorm}
    for place, layer in enumerate(whole.encoder.layer[:layers]):
        places[f"heads {place}"] = layer.attention.output.dense
        places[f"attended {place}"] = layer.attention.output.LayerNorm
        places[f"widened {place}"] = layer.intermediate
        places[f"layer {place}"] = layer.output.LayerNorm
    found: dict[str, list[Tensor]] = {}

    def keep(name: str, given: Tensor, made: Tensor) -> None:
        if name.startswith("heads"):
            found.setdefault(name, []).append(given[there])
            return
        found.setdefault(name, []).append(made[there])
        if not name.startswith("widened"):  # its input is the output of "attended"
            found.setdefault(f"{name}.in", []).append(given[there])

    hooks = [
        part.register_forward_hook(lambda _, given, made, name=name: keep(name, given[0], made))
        for name, part in places.items()
    ]
    for batch in batches:
        there = batch["attention_mask"].bool()
        whole(**batch)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts) for name, parts in found.items()}


def _axes(states: States, width: int) -> Tensor:
    """Rows of length 1 onto which states are projected, shape (width, the base's width).

    A norm subtracts the mean of its numbers. So one dimension of the width is left empty, and the
    others are rotated such that the empty one is their mean.
    """
    moments: Tensor = torch.zeros(())
    for name, state in states.items():
        if name.startswith(("heads", "widened")):
            continue
        seen = state - state.mean(-1, keepdim=True) if name.endswith(".in") else state
        seen = seen / seen.pow(2).mean().sqrt().clamp_min(_LEAST)
        moments = moments + seen.T @ seen / len(seen)
    _, vectors = torch.linalg.eigh(moments.double())  # in ascending order
    principal = vectors[:, 1 - width :].T.float()
    turn, _ = torch.linalg.qr(torch.cat([torch.ones(width, 1), torch.eye(width)[:, 1:]], dim=1))
    axes: Tensor = turn[:, 1:] @ principal
    return axes


def _fit_norm(norm: Any, states: States, name: str, axes: Tensor) -> None:
    """Scale and offset of each number, by least squares over the tokens."""
    given, wanted = states[f"{name}.in"] @ axes.T, states[name] @ axes.T
    given = given - given.mean(-1, keepdim=True)
    given = given / given.std(-1, unbiased=False, keepdim=True).clamp_min(_LEAST)
    middle, target = given.mean(0), wanted.mean(0)
    scale = ((given - middle) * (wanted - target)).mean(0)
    scale = scale / given.var(0, unbiased=False).clamp_min(_LEAST)
    norm.weight.copy_(scale)
    norm.bias.copy_(target - scale * middle)


def _narrow_attention(own: Any, theirs: Any, states: Tensor, read: Tensor, axes: Tensor) -> None:
    """Keep the heads with the most effect, each at a lower rank, and the others' mean.

    Of a head's two products, of query and key and of value and output, the largest singular values
    for these ``states`` (tokens, width) are kept. ``read`` is the output of all heads of the base
    for them (tokens, the base's width).
    """
    query, key, value = own.self.query, own.self.key, own.self.value
    size = own.self.attention_head_size
    wide = theirs.self.attention_head_size
    root, inverse = _roots(torch.cat([states, torch.ones(len(states), 1)], dim=1))
    plain_root, plain_inverse = _roots(states)
    output = theirs.output.dense
    parts = [slice(head, head + wide) for head in range(0, read.shape[1], wide)]
    moved = [(read[:, rows] @ output.weight[:, rows].T).var(0).sum() for rows in parts]
    order = torch.stack(moved).argsort(descending=True).tolist()
    constant = read.mean(0)
    for place, head in enumerate(order[: own.self.num_attention_heads]):
        rows, places = parts[head], slice(place * size, (place + 1) * size)
        # The attention weights of a head add up to 1, so the bias passes unchanged.
        constant[rows] = theirs.self.value.bias[rows]
        asks, answers = (
            torch.cat([each.weight[rows] @ axes.T, each.bias[rows, None]], dim=1).double()
            for each in (theirs.self.query, theirs.self.key)
        )
        # Scores are divided by the root of a head's size, which has changed.
        scores = root @ asks.T @ answers @ root * (size / wide) ** 0.5
        left, right = _halves(scores, size)
        for layer, part in ((query, left.T @ inverse), (key, right @ inverse)):
            layer.weight[places] = part[:, :-1].float()
            layer.bias[places] = part[:, -1].float()
        through = axes @ output.weight[:, rows] @ theirs.self.value.weight[rows] @ axes.T
        left, right = _halves(through.double() @ plain_root, size)
        value.weight[places] = (right @ plain_inverse).float()
        own.output.dense.weight[:, places] = left.float()
    value.bias.zero_()
    own.output.dense.bias.copy_(axes @ (output.bias + output.weight @ constant))


def _halves(product: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Two matrices (n, rank) and (rank, m) whose product is closest to ``product``."""
    left, values, right = torch.linalg.svd(product, full_matrices=False)
    roots = values[:rank].sqrt()
    return left[:, :rank] * roots, right[:rank] * roots[:, None]


def _roots(states: Tensor) -> tuple[Tensor, Tensor]:
    """The square root of the states' second moments, and its inverse."""
    values, vectors = torch.linalg.eigh((states.T @ states / len(states)).double())
    roots = values.clamp_min(_LEAST).sqrt()
    return (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T


def _narrow_feed_forward(own: Any, theirs: Any, widened: Tensor, axes: Tensor) -> None:
    """Keep the units with the most effect on the output, and the mean of the others."""
    into, out = theirs.intermediate.dense, theirs.output.dense
    moved = widened.var(0) * out.weight.pow(2).sum(0)
    order = moved.argsort(descending=True)
    count = len(own.intermediate.dense.weight)
    kept, left = order[:count], order[count:]
    own.intermediate.dense.weight.copy_(into.weight[kept] @ axes.T)
    own.intermediate.dense.bias.copy_(into.bias[kept])
    own.output.dense.weight.copy_(axes @ out.weight[:, kept])
    own.output.dense.bias.copy_(axes @ (out.bias + out.weight[:, left] @ widened.mean(0)[left]))
