"""Averages of a trained model's weights and another's.

A model that is fine-tuned on a narrow domain gets worse on others. The average with the model that
it came from is good on both (WiSE-FT: Wortsman et al., CVPR 2022).
"""

from __future__ import annotations

from pathlib import Path

import torch
from sentence_transformers import CrossEncoder
from torch import Tensor

from rerank_search.errors import InvalidInputError
from rerank_search.models.loading import quietly
from rerank_search.reranking.model_files import scores_pairs
from rerank_search.training.model.base import base_directory
from rerank_search.training.recipe.recipe import Blend


def weights_for(model: CrossEncoder, blend: Blend) -> dict[str, Tensor]:
    """The other model's weights by name, float32.

    Raises ModelNotFoundError, and InvalidInputError for a model that has another shape than
    ``model`` or is not a reranker.
    """
    directory = base_directory(blend.reranker)
    if not scores_pairs(Path(directory)):
        raise InvalidInputError(
            f"blend.reranker {blend.reranker!r} is not a cross-encoder, so its last layer would "
            "be random: give a reranker"
        )
    with quietly():
        other = CrossEncoder(directory, device="cpu", local_files_only=True)
    theirs: dict[str, Tensor] = {
        name: weights.float() for name, weights in other.state_dict().items()
    }
    shapes = {name: weights.shape for name, weights in theirs.items()}
    if shapes != {name: weights.shape for name, weights in model.state_dict().items()}:
        raise InvalidInputError(
            f"blend.reranker {blend.reranker!r} has weights with other names or shapes than the "
            "model that is trained: give the reranker that the base came from, or remove [blend]"
        )
    return theirs


@torch.no_grad()
def blend_weights(model: CrossEncoder, blend: Blend) -> None:
    """Replace the weights by the average, with ``blend.share`` of the other model's."""
    theirs = weights_for(model, blend)
    for name, weights in model.state_dict().items():
        if weights.is_floating_point():
            weights.lerp_(theirs[name].to(weights), blend.share)
