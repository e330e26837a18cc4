"""A recipe read from its TOML file, with overrides from the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from rerank_search.declared import did_you_mean, read_toml, toml_value, validated
from rerank_search.errors import InvalidInputError
from rerank_search.models.registry import BUNDLED_RERANKERS
from rerank_search.training.recipe.arguments import (
    SHORT,
    check_arguments,
    is_argument,
    known_arguments,
)
from rerank_search.training.recipe.measuring import EvaluationSet
from rerank_search.training.recipe.recipe import Recipe
from rerank_search.training.recipe.sources import Source


def load_recipe(path: Path, overrides: dict[str, str] | None = None) -> Recipe:
    """Read a recipe; paths in it, and models that are folders, are relative to its folder.

    ``overrides`` replace values by dotted key, such as ``{"arguments.learning_rate": "3e-5"}``, and
    are read as TOML values. ``lr`` and the names of arguments need no table, and a part that
    contains a point needs quotes. Raises InvalidInputError with the wrong key and the most similar
    valid one.
    """
    data = read_toml(path)
    for key, value in (overrides or {}).items():
        _override(data, _full(key), value)
    recipe = validated(Recipe, data, path)
    check_arguments(path, recipe.arguments)
    located = _located(recipe, path.parent.resolve())
    given: list[Source | EvaluationSet] = [*located.sources]
    given += [] if located.evaluation is None else located.evaluation.sets
    for each in given:
        file = each.pairs or each.samples
        if file is not None and "split" in each.model_fields_set and file.is_file():
            raise InvalidInputError(
                f"{path}: {file} is a file, which is one split: leave split out"
            )
    return located


def _full(key: str) -> str:
    """The dotted key; a trainer's argument may be given without its table."""
    key = SHORT.get(key, key)
    if "." in key or key in Recipe.model_fields:
        return key
    if is_argument(key):
        return f"arguments.{key}"
    known = [*Recipe.model_fields, *SHORT, *known_arguments()]
    raise InvalidInputError(f"unknown key {key!r}{did_you_mean(key, known)}")


_PART = re.compile(r'"[^"]+"|[^."]+')

_DOTTED = re.compile(rf"({_PART.pattern})(\.({_PART.pattern}))*")


def _override(data: Any, key: str, value: str) -> None:
    if not _DOTTED.fullmatch(key):
        raise InvalidInputError(f"{key!r} is not a key: write one such as 'sources.0.queries'")
    *tables, last = (part.strip('"') for part in _PART.findall(key))
    if tables and isinstance(data.get("loss"), str):
        data["loss"] = {"name": data["loss"]}
    for table in tables:
        data = _entry(data, table, key)
    if not isinstance(data, dict):
        raise InvalidInputError(
            f"{key!r} cannot be set, because {tables[-1]!r} is a list: set a key of one of its "
            f"entries, which are numbered from 0, as in '{'.'.join(tables)}.0.{last}'"
        )
    data[last] = toml_value(value)


def _entry(data: Any, table: str, key: str) -> Any:
    """The table of that name, made if there is none; or the entry with that number in a list."""
    if isinstance(data, dict):
        data = data.setdefault(table, {})
    elif table.isdecimal() and int(table) < len(data):
        data = data[int(table)]
    else:
        raise InvalidInputError(
            f"{key!r} cannot be set, because a list of tables has no entry {table!r}: number "
            "entries from 0, as in 'sources.0.queries'"
        )
    if not isinstance(data, (dict, list)):
        raise InvalidInputError(
            f"{key!r} cannot be set, because {table!r} is not a table of the recipe"
        )
    return data


def _located(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with its paths, and the models that are folders, below ``folder``."""

    def located(value: Any, key: str = "") -> Any:
        if isinstance(value, Path):
            return folder / value.expanduser()
        if key in _MODELS and value not in BUNDLED_RERANKERS:
            model = folder / Path(value).expanduser()
            return str(model) if model.is_dir() else value
        if isinstance(value, list):
            return [located(each) for each in value]
        if isinstance(value, BaseModel):
            found = {name: located(each, name) for name, each in value}
            # Set only what has changed: a default must not look as if the recipe set it.
            changed = {name: each for name, each in found.items() if each != getattr(value, name)}
            return value.model_copy(update=changed)
        return value

    found: Recipe = located(recipe)
    # Keep a link: the finished model goes to its target.
    return found.model_copy(update={"output": found.output.resolve()})


_MODELS = {"base", "encoder", "reranker"}
"""Keys whose value is the name of a model or its folder."""
