"""Refusing models that are of another kind than the one that is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rerank_search.errors import InvalidInputError
from rerank_search.models.saved import Kind, kind_of

_USES: Mapping[Kind, str] = {
    "encoder": "an encoder of dense vectors: give it as encoder",
    "sparse": "an encoder of sparse vectors: give it as sparse_encoder",
    "multi-vector": "a model with a vector for each token: give it as reranker",
    "reranker": "a model that scores pairs: give it as reranker",
}
"""What each kind of model is, and how to use it."""


def check_not(what: str, name: str, folder: Path, others: tuple[Kind, ...]) -> None:
    """Raise InvalidInputError for a model of one of these kinds, or with code of its own.

    ``what`` is the word for the model in the error. sentence-transformers itself would turn such a
    model into the one that is asked for, with random weights where some are missing.
    """
    for module in _modules(folder):
        kind = str(module.get("type"))
        if not kind.startswith(("sentence_transformers.", "pylate.")):
            raise InvalidInputError(
                f"the {what} {name!r} needs code of its own ({kind}), and code that comes with a "
                "model is never run: use another model"
            )
    found = kind_of(folder)
    if found in others:
        raise InvalidInputError(f"the {what} {name!r} is {_USES[found]}")


def is_masked_language_model(folder: Path) -> bool:
    """Whether a network without modules predicts masked tokens, as SPLADE does."""
    named = _content(folder / "config.json", dict).get("architectures")
    return isinstance(named, list) and any(str(each).endswith("ForMaskedLM") for each in named)


def _modules(folder: Path) -> list[Any]:
    return [each for each in _content(folder / "modules.json", list) if isinstance(each, dict)]


def _content(path: Path, kind: type) -> Any:
    """What a JSON file has; empty if it is missing, damaged or of another kind."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return kind()
    return found if isinstance(found, kind) else kind()
