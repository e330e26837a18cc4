"""Whether a model's files are those of a reranker, told before anything of it is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rerank_search.errors import InvalidInputError

HEADS = ("ForSequenceClassification", "ForCausalLM")
"""Endings of the architectures that score a pair without further modules."""

_GIVE_ONE = "give a cross-encoder"


def check_files(name: str, folder: Path, *, own_activation: bool) -> None:
    """Raise InvalidInputError for a model that cannot be used, or would be used wrongly.

    sentence-transformers replaces parts that it does not trust by others, with no more than a
    warning. ``own_activation`` is True if the activation of logits is given by hand. A missing or
    damaged file is left for the loader to report.
    """
    config, settings = _object(folder / "config.json"), _settings(folder)
    modules = list(_modules(folder))
    for module in modules:
        _check_own_code(name, module)
    if modules:
        kind = settings.get("model_type", "SentenceTransformer")
        if kind != "CrossEncoder":
            raise InvalidInputError(
                f"the model {name!r} is a {kind} of a {_architecture(config)}, which does not "
                f"score pairs: {_GIVE_ONE}"
            )
    elif config and not _architecture(config).endswith(HEADS):
        raise InvalidInputError(
            f"the model {name!r} is a {_architecture(config)}, which does not score pairs: "
            f"{_GIVE_ONE}"
        )
    for module in modules:
        _check_module(name, folder, module)
    older = config.get("sentence_transformers")
    activation = (
        settings.get("activation_fn")
        or (older.get("activation_fn") if isinstance(older, Mapping) else None)
        or config.get("sbert_ce_default_activation_function")
    )
    if not own_activation and not _is_torchs(activation):
        raise InvalidInputError(
            f"the model {name!r} names {activation!r} as its activation_fn, which is not one of "
            "torch: load it with loading={'activation_fn': torch.nn.Sigmoid()}, or with the one "
            "that its makers used"
        )


def scores_pairs(folder: Path) -> bool:
    """Whether a model scores pairs as it is; a classifier that is made of another is random."""
    if not without_modules(folder):
        return bool(_settings(folder).get("model_type") == "CrossEncoder")
    return _architecture(_object(folder / "config.json")).endswith("ForSequenceClassification")


def without_modules(folder: Path) -> bool:
    """Whether a folder has no list of modules, so that its modules follow from its architecture."""
    return not (folder / "modules.json").exists()


def _check_own_code(name: str, module: Mapping[str, Any]) -> None:
    kind = str(module.get("type"))
    if not kind.startswith("sentence_transformers."):
        raise InvalidInputError(
            f"the model {name!r} needs code of its own ({kind}), and code that comes with a model "
            "is never run: use sentence_transformers.CrossEncoder for it"
        )


def _check_module(name: str, folder: Path, module: Mapping[str, Any]) -> None:
    path = str(module.get("path", ""))
    config = _object(folder / path / "config.json") if path else {}
    activation = config.get("activation_function")
    if not _is_torchs(activation):
        raise InvalidInputError(
            f"the model {name!r} names {activation!r} as the activation_function of {path}, which "
            "is not one of torch: use sentence_transformers.CrossEncoder for it"
        )
    if config.get("include_prompt") is False:
        raise InvalidInputError(
            f"the model {name!r} leaves prompts out of its pooling (include_prompt in {path}), "
            "which is not supported: use sentence_transformers.CrossEncoder for it"
        )


def _is_torchs(activation: object) -> bool:
    return activation is None or str(activation).startswith("torch.")


def _architecture(config: Mapping[str, Any]) -> str:
    """The first architecture of a configuration, or its model type if it names none."""
    named = config.get("architectures")
    if isinstance(named, list) and named:
        return str(named[0])
    return str(config.get("model_type", "model without an architecture"))


def _settings(folder: Path) -> dict[str, Any]:
    return _object(folder / "config_sentence_transformers.json")


def _modules(folder: Path) -> Iterator[dict[str, Any]]:
    for each in _content(folder / "modules.json", list):
        if isinstance(each, dict):
            yield each


def _object(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = _content(path, dict)
    return found


def _content(path: Path, kind: type) -> Any:
    """What a JSON file has; empty if it is missing, damaged or of another kind."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return kind()
    return found if isinstance(found, kind) else kind()
