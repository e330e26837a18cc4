"""A cross-encoder as sentence-transformers loads it, and the options that its logits depend on."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rerank_search.errors import InvalidInputError, ModelNotFoundError
from rerank_search.models.loading import quietly, require_tokenizer

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
"""Inputs that a model may take; its tokenizer may not make all of them."""


_COMPUTING_OPTIONS = ("config_kwargs", "model_kwargs", "processor_kwargs")
"""Loading options that logits depend on."""


def options_key(loading: Mapping[str, Any]) -> str:
    """A text that differs if the options that logits depend on differ; empty without options."""
    parts = {name: loading[name] for name in _COMPUTING_OPTIONS if loading.get(name)}
    return " " + json.dumps(parts, sort_keys=True, default=repr) if parts else ""


def input_names(network: Any, tokenizer: Any) -> list[str]:
    """The inputs that the tokenizer makes and the network takes."""
    taken = inspect.signature(network.forward).parameters
    anything = any(each.kind is each.VAR_KEYWORD for each in taken.values())
    made = [name for name in INPUTS if name in tokenizer.model_input_names]
    return [name for name in made if anything or name in taken]


def load_original(
    name: str, directory: str, device: str | None, loading: Mapping[str, Any]
) -> CrossEncoder:
    """The model as sentence-transformers loads it, with further arguments of its class.

    Raises ModelNotFoundError for a directory that cannot be read, InvalidInputError for arguments
    that cannot be used.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from sentence_transformers import CrossEncoder

    # sentence-transformers changes the dictionaries that it is given.
    own = {key: dict(value) if isinstance(value, dict) else value for key, value in loading.items()}
    try:
        with quietly():
            model: CrossEncoder = CrossEncoder(
                directory, device=device, local_files_only=True, **own
            )
    except (OSError, ValueError, TypeError, SafetensorError, StrictDataclassError) as error:
        if loading:
            raise InvalidInputError(
                f"the model {name!r} cannot be loaded with {', '.join(sorted(loading))}: {error}"
            ) from error
        raise ModelNotFoundError(
            f"the model {name!r} in {directory} cannot be read ({error}): download it again"
        ) from error
    for option in loading.get("config_kwargs", {}):
        if not hasattr(model.config, option):
            kind = type(model.config).__name__
            raise InvalidInputError(f"config_kwargs: a {kind} has no {option!r}: leave it out")
    require_tokenizer(model.tokenizer, name, directory)
    return model


def load_classifier(
    name: str, directory: str, device: str | None, loading: Mapping[str, Any] | None = None
) -> CrossEncoder:
    """Load a model to compute, in float32; also InvalidInputError for any other kind of model."""
    model = load_original(name, directory, device, loading or {})
    # transformers also turns a bi-encoder into a classifier, with a random last layer.
    stored = getattr(model.config, "architectures", None) or ()
    for architecture in (*stored, type(model.transformers_model).__name__):
        if not architecture.endswith("ForSequenceClassification"):
            raise InvalidInputError(
                f"the model {name!r} is a {architecture}: give a cross-encoder for sequence "
                "classification"
            )
    # Weights may be stored in half precision, which is slow or inexact on most CPUs.
    model.float()
    model.eval()
    return model
