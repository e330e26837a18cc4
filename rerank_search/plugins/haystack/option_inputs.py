"""The search options as inputs of a component, so that a pipeline sees and connects each."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rerank_search.options import OPTIONS, TYPES, SearchOptions, merged

Method = TypeVar("Method", bound=Callable[..., Any])

OWN = ("top_k", "filter")
"""Options that components have as arguments of their own; Haystack calls the filter ``filters``."""


def shows_inputs(method: Method) -> Method:
    """Show the options in the signature of a method that takes them as ``**options``.

    Haystack makes an input of every argument. None is the value that the component was made with.
    """
    return _shown(method, {name: None for name in OPTIONS if name not in OWN}, optional=True)


def shows_parameters(method: Method) -> Method:
    """Show the options, with their defaults, in the signature of a constructor."""
    defaults = SearchOptions()
    return _shown(method, {name: getattr(defaults, name) for name in OPTIONS if name != "filter"})


def chosen(options: SearchOptions, given: Mapping[str, Any]) -> SearchOptions:
    """The options, changed by those that are given and not None.

    Raises InvalidInputError for an invalid value, TypeError for an unknown name.
    """
    if "filter" in given:
        raise TypeError("'filter' is called 'filters' in Haystack: give it in Haystack's language")
    return merged(
        options,
        {name: each for name, each in given.items() if each is not None or name not in OPTIONS},
    )


def _shown(method: Method, defaults: Mapping[str, Any], *, optional: bool = False) -> Method:
    signature = inspect.signature(method)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=TYPES[name] | None if optional else TYPES[name],
        )
        for name, default in defaults.items()
    ]
    method.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    return method
