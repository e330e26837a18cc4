"""Whether the arguments of ``CrossEncoder`` that others read have a usable type."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from rerank_search.errors import InvalidInputError
from rerank_search.shown import shown

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
    """Raise InvalidInputError for the first argument of a type that cannot be used.

    A bundled model or a folder needs no token and no revision, and would hide a wrong one.
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

    Raises InvalidInputError where both are given and differ.
    """
    (name, value), (other, again) = first, second
    if value is not None and again is not None and value != again:
        raise InvalidInputError(
            f"{name}={shown(value)} and {other}={shown(again)} differ: give one of them"
        )
    return again if value is None else value
