"""Logits in float32 from a network computed in half precision."""

from __future__ import annotations

from typing import Any

from rerank_search.errors import InvalidInputError


def keep_last_layer_exact(name: str, network: Any, labels: int) -> None:
    """Compute the logits in float32: in half precision, similar logits would become equal."""
    import torch

    linear = [layer for layer in network.modules() if isinstance(layer, torch.nn.Linear)]
    ending = [layer for layer in linear if layer.out_features == labels]
    if not ending:
        raise InvalidInputError(
            f"half precision needs a model that ends in a linear layer, which {name!r} does not: "
            "use dtype='float32'"
        )
    last = ending[-1]
    forward = last.forward

    def exact(features: torch.Tensor) -> torch.Tensor:
        with torch.autocast(features.device.type, enabled=False):
            return forward(features.float())

    last.forward = exact  # type: ignore[assignment,method-assign]
