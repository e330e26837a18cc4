"""A cross-encoder of several modules, called as one network of transformers is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rerank_search.errors import InvalidInputError
from rerank_search.models.bert import Logits
from rerank_search.reranking.loading import INPUTS, RAGGED

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


def last_width(whole: CrossEncoder) -> int:
    """The width of the linear layer that the scores are read from."""
    from sentence_transformers.cross_encoder.modules import LogitScore

    modules: Any = whole
    if not any(isinstance(module, LogitScore) for module in modules):
        return whole.num_labels
    network: Any = whole.transformers_model
    width: int = network.get_output_embeddings().out_features
    return width


def network_of(name: str, whole: CrossEncoder) -> Any:
    """The network that gives the logits: that of transformers, if there are no further modules.

    Raises InvalidInputError for modules that do not give scores.
    """
    modules: Any = whole
    if len(modules) == 1 and modules[0].transformer_task == "sequence-classification":
        return whole.transformers_model
    return ModularNetwork(name, whole)


class ModularNetwork(torch.nn.Module):
    """All modules of a cross-encoder, with the attributes of a network of transformers.

    ``reads_end`` is True if the score is read at the last position: rows are then padded at their
    beginning. ``last_width`` is the width of the linear layer that the score is read from.
    """

    def __init__(self, name: str, whole: CrossEncoder) -> None:
        super().__init__()
        from sentence_transformers.cross_encoder.modules import LogitScore

        self.whole = whole
        self.config: Any = self._network.config
        modules: Any = whole
        self.reads_end = any(isinstance(module, LogitScore) for module in modules)
        self.last_width = last_width(whole)
        first = modules[0].preprocess([("a", "a")], processing_kwargs=RAGGED)
        tokens = {key: torch.tensor(first.pop(key)) for key in INPUTS if key in first}
        # What sentence-transformers tells the modules beside the tokens.
        self._beside: dict[str, Any] = dict(first)
        self._check(name, {key: ids.to(self.device) for key, ids in tokens.items()})

    def _check(self, name: str, tokens: dict[str, Tensor]) -> None:
        """Raise InvalidInputError if the modules give no scores of one pair."""
        last = type(self.whole[-1]).__name__
        try:
            with torch.inference_mode():
                shape = tuple(self(**tokens).logits.shape)
        except (KeyError, IndexError) as error:
            raise InvalidInputError(
                f"the modules of the model {name!r}, the last of them a {last}, give no scores "
                f"({type(error).__name__}: {error}): give a cross-encoder"
            ) from error
        if shape != (1, self.whole.num_labels):
            raise InvalidInputError(
                f"the modules of the model {name!r}, the last of them a {last}, give scores of "
                f"shape {shape} for one pair: give a cross-encoder"
            )

    def forward(self, **inputs: Tensor) -> Logits:
        """Logits of shape (n, labels), from tokens and their masks."""
        return Logits(self.whole({**inputs, **self._beside})["scores"])

    @property
    def _network(self) -> Any:
        return self.whole.transformers_model

    @property
    def device(self) -> torch.device:
        """The device that the modules are on."""
        device: torch.device = self._network.device
        return device

    @property
    def base_model(self) -> Any:
        """The model of transformers below its head."""
        return self._network.base_model

    def get_input_embeddings(self) -> Any:
        """The table of the tokens' embeddings."""
        return self._network.get_input_embeddings()
