"""Arguments that had other names in earlier versions of sentence-transformers."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from rerank_search.errors import InvalidInputError

Method = TypeVar("Method", bound=Callable[..., Any])


def renamed_arguments(
    names: Mapping[str, str], *, positional: Sequence[str] = (), without_effect: Sequence[str] = ()
) -> Callable[[Method], Method]:
    """A decorator for methods that also accept arguments by their earlier names.

    ``names`` maps earlier names to today's. ``positional`` are arguments that used to follow the
    first one and are keywords today. ``without_effect`` are accepted and ignored, as in
    sentence-transformers. Raises InvalidInputError for an argument that is given twice, and
    TypeError, as Python does, for one that is missing or unknown.
    """

    def decorate(method: Method) -> Method:
        signature = inspect.signature(method)

        @functools.wraps(method)
        def call(self: Any, *args: Any, **given: Any) -> Any:
            if positional:
                args, following = args[:1], args[1:]
                if len(following) > len(positional):
                    raise InvalidInputError(
                        f"{len(following) + 1} positional arguments are too many: give those "
                        f"after {', '.join(positional)} by name"
                    )
                # Only positional arguments can be repeated: Python refuses a keyword twice.
                for name, value in zip(positional, following, strict=False):
                    _give(given, name, value, f"argument {positional.index(name) + 2}")
            for name in without_effect:
                given.pop(name, None)
            for earlier in names.keys() & given.keys():
                _give(given, names[earlier], given.pop(earlier), earlier)
            try:
                signature.bind(self, *args, **given)
            except TypeError as error:  # Python's message would name the base class
                name = f"{type(self).__name__}.{method.__name__}()"
                raise TypeError(f"{name}: {error}") from None
            return method(self, *args, **given)

        return call  # type: ignore[return-value]

    return decorate


def _give(given: dict[str, Any], name: str, value: Any, called: str) -> None:
    if name in given:
        raise InvalidInputError(f"{called} and {name} are the same argument: give one of them")
    given[name] = value
