"""Objects of the user's own code by their import path, ``module:object``."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable
from types import ModuleType

from rerank_search.errors import InvalidInputError, PluginError, RerankSearchError
from rerank_search.searchable import Searchable, searchable
from rerank_search.shown import shown

_STAGES = {
    "haystack": "rerank_search.plugins.haystack.HaystackStage",
    "langchain_core": "rerank_search.plugins.langchain.LangChainStage",
    "llama_index": "rerank_search.plugins.llama_index.LlamaIndexStage",
}
"""The class that makes a first stage of a framework's stores, by the framework's module."""


def is_import_path(name: str) -> bool:
    """Whether a name is an import path and not the name of a first stage, which has no colon."""
    return ":" in name


def checked_import_path(name: str) -> str:
    """``name`` if it is written as an import path. Raises InvalidInputError."""
    module, _, attribute = name.partition(":")
    if attribute.isidentifier() and all(part.isidentifier() for part in module.split(".")):
        return name
    raise InvalidInputError(
        f"{shown(name)} is not an import path: write module:object, such as my_search:retriever"
    )


def searchable_at(path: str) -> Searchable:
    """The Searchable or Retriever at an import path, or the one that the function there returns.

    Raises InvalidInputError if there is nothing there that can be searched, and PluginError if the
    code there fails.
    """
    module_name, _, attribute = checked_import_path(path).partition(":")
    module = _imported(module_name, path)
    if not hasattr(module, attribute):
        near = difflib.get_close_matches(attribute, list(vars(module)), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InvalidInputError(
            f"{shown(path)}: the module {module_name!r} ({getattr(module, '__file__', None)}) has "
            f"no {attribute!r}.{hint}"
        )
    found = getattr(module, attribute)
    if inspect.isroutine(found) or isinstance(found, type):
        found = _returned(found, path)
    try:
        return searchable(found)
    except InvalidInputError:
        raise InvalidInputError(
            f"{shown(path)} is {shown(found)}, which cannot be searched: {_advice(found)}"
        ) from None


def _imported(name: str, path: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise InvalidInputError(
                f"{shown(path)}: there is no module {error.name!r}. Run the command in the folder "
                "that has it, or install it"
            ) from None
        raise _failed(path, "importing it", error) from error
    except (Exception, SystemExit) as error:  # imported code may raise anything, or be a script
        raise _failed(path, "importing it", error) from error


def _returned(function: Callable[..., object], path: str) -> object:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        raise InvalidInputError(
            f"{shown(path)} cannot be called without arguments: give a retriever, or a function "
            "without arguments that returns one"
        ) from None
    try:
        returned = function()
    except RerankSearchError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise _failed(path, "calling it", error) from error
    return returned


def _failed(path: str, doing: str, error: BaseException) -> PluginError:
    return PluginError(f"{shown(path)}: {doing} failed ({type(error).__name__}: {error}). Fix it")


def _advice(found: object) -> str:
    for of_class in type(found).__mro__:
        stage = _STAGES.get(of_class.__module__.partition(".")[0])
        if stage is not None:
            return f"wrap it in {stage}"
    return (
        "give a Retriever (name, and retrieve(queries, k, filter=...) that returns hits with "
        "documents), another Searchable, or a function without arguments that returns one"
    )
