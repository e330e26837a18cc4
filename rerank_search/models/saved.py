"""What a saved model is and how much it reads, told from its files without loading it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["reranker", "encoder", "multi-vector", "sparse", "other"]

_BY_TYPE: Mapping[str, Kind] = {
    "CrossEncoder": "reranker",
    "SentenceTransformer": "encoder",
    "SparseEncoder": "sparse",
    "MultiVectorEncoder": "multi-vector",
    "ColBERT": "multi-vector",  # as PyLate writes it
}
"""Kinds by the model_type of config_sentence_transformers.json."""

_BY_MODULE: Mapping[str, Kind] = {
    "LogitScore": "reranker",
    "MultiVectorMask": "multi-vector",
    "MLMTransformer": "sparse",
    "SpladePooling": "sparse",
    "SparseAutoEncoder": "sparse",
    "SparseStaticEmbedding": "sparse",
}
"""Kinds by a class in modules.json, for models that were saved before there was a model_type."""

_NO_LIMIT = 1_000_000
"""Tokenizers without a limit have a huge number as their model_max_length."""

_OFFSET_POSITIONS = {"camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl"}
"""Architectures whose positions begin after that of the padding."""


@dataclass(frozen=True, slots=True)
class SavedModel:
    """A model on this machine. ``size`` is in bytes; ``problem`` says why it cannot be loaded.

    ``window`` is the number of tokens that it reads of a text, or of a pair; None if its files do
    not say, or if there is no limit.
    """

    name: str
    kind: Kind
    size: int | None
    window: int | None
    problem: str | None = None


def saved_model(name: str, folder: Path, size: int | None = None) -> SavedModel:
    """The model in a folder; without ``size`` its files are counted."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    if size is None:
        size = sum(path.stat().st_size for path in files)
    has_weights = any(path.suffix == ".safetensors" for path in files)
    problem = None if has_weights else "no .safetensors weights"
    return SavedModel(name, kind_of(folder), size, window_of(folder), problem)


def kind_of(folder: Path) -> Kind:
    """What a folder's model is used for; "other" also for a classifier, or for damaged files."""
    config = _object(folder / "config.json")
    architectures = [str(each) for each in _items(config.get("architectures"))]
    if any(each.endswith("ForSequenceClassification") for each in architectures):
        return "reranker" if _labels(config) == 1 else "other"
    if "HF_ColBERT" in architectures:
        return "multi-vector"
    declared = _object(folder / "config_sentence_transformers.json").get("model_type")
    modules = _modules(folder)
    if isinstance(declared, str) and declared in _BY_TYPE:
        return _BY_TYPE[declared]
    classes = [_class_name(module) for module in modules]
    special = next((_BY_MODULE[each] for each in classes if each in _BY_MODULE), None)
    return special or ("encoder" if modules else "other")


def window_of(folder: Path) -> int | None:
    """The number of tokens that a folder's model reads at once; None if there is no limit."""
    modules = _modules(folder)
    first = modules[0] if modules else {}
    if _class_name(first) in ("StaticEmbedding", "SparseStaticEmbedding"):
        return None
    transformer = folder / str(first.get("path") or "")
    for path in sorted(transformer.glob("sentence_*_config.json")):
        if (window := _limit(_object(path).get("max_seq_length"))) is not None:
            return window
    config = _object(transformer / "config.json")
    positions = _limit(config.get("max_position_embeddings"))
    if positions is not None and config.get("model_type") in _OFFSET_POSITIONS:
        padding = config.get("pad_token_id")
        positions -= (padding if type(padding) is int else 1) + 1
    tokenizer = _object(transformer / "tokenizer_config.json")
    limits = [_limit(tokenizer.get("model_max_length")), positions]
    return min((limit for limit in limits if limit is not None), default=None)


def _labels(config: Mapping[str, Any]) -> int:
    named = config.get("id2label")
    if isinstance(named, dict):
        return len(named)
    labels = config.get("num_labels", 2)
    return labels if type(labels) is int else 2


def _modules(folder: Path) -> list[Mapping[str, Any]]:
    return [each for each in _items(_read(folder / "modules.json")) if isinstance(each, dict)]


def _class_name(module: Mapping[str, Any]) -> str:
    return str(module.get("type", "")).rpartition(".")[2]


def _limit(value: object) -> int | None:
    return value if type(value) is int and 0 < value < _NO_LIMIT else None


def _object(path: Path) -> Mapping[str, Any]:
    content = _read(path)
    return content if isinstance(content, dict) else {}


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _read(path: Path) -> object:
    """The content of a model's JSON file; None if it is missing or damaged."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
