"""The arguments of ``CrossEncoder``: their other names, their types, and their forms."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args

from rerank_search.errors import InvalidInputError, UnsupportedError
from rerank_search.models.backends.kinds import Dtype
from rerank_search.models.registry import BUNDLED_RERANKERS
from rerank_search.shown import shown

RENAMED = {
    "model": "model_name_or_path",
    "model_name": "model_name_or_path",
    "automodel_args": "model_kwargs",
    "tokenizer_args": "processor_kwargs",
    "tokenizer_kwargs": "processor_kwargs",
    "config_args": "config_kwargs",
    "cache_dir": "cache_folder",
    "default_activation_function": "activation_fn",
}
"""Other names of the constructor's arguments: of earlier versions, and of CrossEncoderReranker."""

POSITIONAL = ("num_labels", "max_length", "activation_fn", "device")
"""Arguments that earlier versions accepted by position, after the model's name."""

NOT_FOR_PARTS = frozenset(
    {"device_map", "export", "file_name", "provider", "quantization_config", "subfolder"}
)
"""Keys of ``model_kwargs`` that this class sets itself."""

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "token": ((bool, str), "a string, or True for the stored token"),
    "revision": ((str,), "a string"),
    "cache_folder": ((str, os.PathLike), "a path"),
    "local_files_only": ((bool,), "True or False"),
    "trust_remote_code": ((bool,), "True or False"),
    "default_prompt_name": ((str,), "a string"),
    "prompts": ((Mapping,), "a mapping of names to prompts"),
}


def check_types(arguments: Mapping[str, Any]) -> None:
    """Raise InvalidInputError for the first argument of an invalid type.

    A bundled model or a folder ignores token and revision, so a wrong one would go unnoticed.
    """
    for name, given in arguments.items():
        kinds, wanted = _KINDS[name]
        if given is not None and not isinstance(given, kinds):
            raise InvalidInputError(f"{name}={shown(given)} cannot be used: give {wanted}")
    for key, prompt in (arguments.get("prompts") or {}).items():
        if not isinstance(key, str) or not isinstance(prompt, str):
            raise InvalidInputError(
                f"prompts has {shown(key)}: {shown(prompt)}: give strings for both"
            )


def only_value(first: tuple[str, Any], second: tuple[str, Any]) -> Any:
    """The value of one argument that has two names; None if neither is given.

    Raises InvalidInputError if both are given and differ.
    """
    (name, value), (other, again) = first, second
    if value is not None and again is not None and value != again:
        raise InvalidInputError(
            f"{name}={shown(value)} and {other}={shown(again)} differ: give one of them"
        )
    return again if value is None else value


def split_off(
    given: Mapping[str, Any] | None, name: str, fetching: dict[str, Any]
) -> dict[str, Any]:
    """A copy without the arguments for downloading a model, which move to ``fetching``."""
    if not isinstance(given, Mapping | None):
        raise InvalidInputError(
            f"{name}={given!r} is not a mapping: give argument names and their values"
        )
    own = dict(given or {})
    for each in fetching.keys() & own.keys():
        fetching[each] = own.pop(each) or fetching[each]
    if own.pop("use_safetensors", True) is False:
        raise UnsupportedError(
            f"{name}: use_safetensors=False is not supported, because pickles are never read: "
            "leave it out"
        )
    if unusable := sorted(own.keys() & NOT_FOR_PARTS):
        raise UnsupportedError(
            f"{name}: {unusable[0]}={own[unusable[0]]!r} is not supported: use device=, backend= "
            "and dtype= of CrossEncoder, or sentence_transformers.CrossEncoder"
        )
    return own


def with_organisation(name: str) -> str:
    """The name of a model on the hub, under "cross-encoder" if it has no organisation."""
    if "/" in name or name in BUNDLED_RERANKERS or Path(name).expanduser().is_dir():
        return name
    return f"cross-encoder/{name}" if name else name


def named_dtype(stored: Any) -> Dtype | Literal["auto"] | None:
    """This package's name of a torch dtype; None for no dtype, or for that of the file."""
    name = str(stored).removeprefix("torch.")
    if stored is None or name == "auto":
        return None
    for known in get_args(Dtype):
        if name == known:
            return cast(Dtype, known)
    raise InvalidInputError(f"dtype={name} is unknown: use one of {', '.join(get_args(Dtype))}")
