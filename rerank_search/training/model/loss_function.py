"""The loss of a recipe, as an instance of the class that computes it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING

import torch

from rerank_search.declared import did_you_mean
from rerank_search.errors import InvalidInputError
from rerank_search.training.recipe.losses import Loss

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder
    from torch import nn


def build_loss(settings: Loss, model: CrossEncoder, labels: Sequence[float]) -> nn.Module:
    """The loss over ``model``; "balanced" counts the ``labels`` of all pairs.

    Listwise losses get all pairs of a batch in one call, which the model computes in parts of
    similar length. Raises InvalidInputError for an option that the class does not have.
    """
    options = dict(settings.options)
    kind = resolve_name(settings.traits.made_by)
    name = kind.__name__
    known = [key for key in inspect.signature(kind).parameters if key not in ("model", "kwargs")]
    for key in options:
        if key not in known:
            raise InvalidInputError(
                f"loss.options: {name} has no option {key!r}: use one of "
                f"{', '.join(known)}{did_you_mean(key, known)}"
            )
    if settings.traits.is_listwise:
        options.setdefault("mini_batch_size", -1)
    if settings.pos_weight is not None:
        weight = balance(labels) if settings.pos_weight == "balanced" else settings.pos_weight
        options["pos_weight"] = torch.tensor(weight, device=model.device)
    try:
        loss: nn.Module = kind(model, **options)
    except (TypeError, ValueError, AttributeError) as error:
        raise InvalidInputError(
            f"loss.options cannot be used: {name} with {options}: {error}"
        ) from None
    return loss


def balance(labels: Sequence[float]) -> float:
    """Number of negatives for each positive; a label between 0 and 1 counts as a part of both."""
    positive = sum(labels)
    return (len(labels) - positive) / positive if positive else 1.0
