"""Configuration declared once as a pydantic model, and read from a TOML file."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from rerank_search.errors import InvalidInputError
from rerank_search.shown import reason, shown

Model = TypeVar("Model", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises InvalidInputError if it is missing or invalid."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be read ({error.strerror}): check the path"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # 0.5 without quotes means the key 5 in the table 0, which may be a number already.
        twice = any(word in str(error) for word in ("Cannot overwrite", "Cannot mutate"))
        hint = '; a key is repeated, or contains a point and has no quotes ("0.5")' if twice else ""
        raise InvalidInputError(f"{path} is not valid TOML: {error}{hint}") from None


def toml_value(text: str) -> Any:
    """``text`` as a TOML value (``3e-5``, ``true``, ``[1, 2]``), or as text if it is not one."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """The end of an error message: a suggestion, or nothing if no known name is similar."""
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""


def validated(model: type[Model], data: Mapping[str, Any], path: Path) -> Model:
    """The tables as a ``model``.

    Raises InvalidInputError about the first error: its dotted key, its value, and for an unknown
    key the most similar one that exists.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InvalidInputError(f"{path}: {_first_problem(model, error)}") from None


def _first_problem(model: type[BaseModel], error: ValidationError) -> str:
    # An unknown key explains the other errors, especially those of a union's other members.
    problems = error.errors(include_url=False)
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    key = ".".join(str(part) for part in problem["loc"] if str(part) not in _members(model))
    if problem["type"] != "extra_forbidden":
        # The message of a check of a whole table is enough: its input would be all of that table.
        whole = isinstance(problem["input"], (Mapping, BaseModel))
        given = "" if whole else f" (it is {shown(problem['input'])})"
        return f"{key or 'the file'}: {reason(problem)}{given}"
    return f"unknown key {shown(key)}{did_you_mean(str(problem['loc'][-1]), sorted(_keys(model)))}"


def _members(model: type[BaseModel]) -> set[str]:
    """The names of nested models, which pydantic adds to the location of an error in a union."""
    return {nested.__name__ for nested in _nested(model)}


def _keys(model: type[BaseModel]) -> set[str]:
    return {key for table in (model, *_nested(model)) for key in table.model_fields}


def _nested(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for field in model.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield kind
                yield from _nested(kind)
