"""Checks of the library's arguments, of their types and values, in one place."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence, Set
from numbers import Integral, Real
from pathlib import Path
from typing import TypeVar

from rerank_search.errors import InvalidInputError
from rerank_search.shown import shown

Item = TypeVar("Item")


def whole_number(
    name: str, value: object, *, least: int | None = 1, most: int | None = None
) -> int:
    """``value`` as an int: any integer, NumPy's included, but not a bool or a float.

    Raises InvalidInputError for anything else, for less than ``least`` and for more than ``most``.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        bound = "" if least is None else f", at least {least}"
        raise InvalidInputError(
            f"{name}={shown(value)} is not a whole number{_kind(value)}: give one{bound}"
        )
    number = int(value)
    if least is not None and number < least:
        raise InvalidInputError(f"{name}={shown(number)} must be at least {least}")
    if most is not None and number > most:
        raise InvalidInputError(f"{name}={shown(number)} must be at most {most}")
    return number


def real_number(
    name: str,
    value: object,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
) -> float:
    """``value`` as a float: any finite number, NumPy's included, but not a bool.

    Raises InvalidInputError for anything else, and for a number outside the bounds.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise InvalidInputError(f"{name}={shown(value)} is not a number{_kind(value)}: give one")
    try:
        number = float(value)
    except OverflowError:  # an int or a fraction that is too large for a float
        number = math.inf
    if not math.isfinite(number):
        raise InvalidInputError(f"{name}={shown(value)} is not finite: give a finite number")
    if above is not None and not number > above:
        raise InvalidInputError(f"{name}={number:g} must be above {above:g}")
    if least is not None and number < least:
        raise InvalidInputError(f"{name}={number:g} must be at least {least:g}")
    if most is not None and number > most:
        raise InvalidInputError(f"{name}={number:g} must be at most {most:g}")
    return number


def truth_value(name: str, value: object) -> bool:
    """``value`` as a bool; NumPy's are allowed. Raises InvalidInputError."""
    if type(value).__name__ in ("bool", "bool_"):  # NumPy's has these names
        return bool(value)
    raise InvalidInputError(f"{name}={shown(value)} is not True or False")


def one_of(name: str, value: object, choices: Sequence[object]) -> object:
    """``value`` if it is one of the choices. Raises InvalidInputError."""
    if value not in choices:
        raise InvalidInputError(
            f"{name}={shown(value)} is unknown: use one of {', '.join(map(repr, choices))}"
        )
    return value


def string(name: str, value: object) -> str:
    """``value`` if it is a string. Raises InvalidInputError."""
    if not isinstance(value, str):
        raise InvalidInputError(f"{name}={shown(value)} is not a string{_kind(value)}: give one")
    return value


def document_id(value: object, what: str = "a document id") -> str:
    """``value`` as an id: a string, or an integer, NumPy's included, as its digits.

    The same rule holds for files, requests and objects. A float is refused: 5 and 5.0 would be two
    ids, and a table may give either for one column. Raises InvalidInputError.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise InvalidInputError(
            f"{what} is {shown(value)}{_kind(value)}: give a string or an integer"
        )
    try:
        return str(int(value))
    except ValueError:  # Python refuses to write integers of more than some thousand digits
        raise InvalidInputError(
            f"{what} is an integer with too many digits: give a string"
        ) from None


def id_list(ids: Iterable[object]) -> list[str]:
    """The ids of documents as strings, in their order. Raises InvalidInputError."""
    given = list(ids) if isinstance(ids, Set) else ids  # the order of ids does not matter
    return [document_id(id) for id in several("ids", given, one="ids")]


def several(name: str, value: Iterable[Item], *, one: str) -> Iterable[Item]:
    """``value`` if it can be iterated as several items; ``one`` is the name of an item.

    Lists, tuples, generators, arrays and columns of tables are accepted. Raises InvalidInputError
    for a single string, for mappings and tables (iterating gives their keys), for sets (they have
    no order) and for objects that only ``async for`` can read.
    """
    if isinstance(value, AsyncIterable):
        raise InvalidInputError(
            f"{name} is asynchronous ({type(value).__name__}), and this call is not: give a list, "
            "or use AsyncClient"
        )
    if isinstance(value, (str, bytes, bytearray)):
        raise InvalidInputError(f"{name}={shown(value)} is one string: give a list of {one}")
    if isinstance(value, (Mapping, Set)) or hasattr(value, "columns"):
        raise InvalidInputError(
            f"{name} is a {type(value).__name__}: give a list of {one}, for example the values or "
            "one column"
        )
    if not isinstance(value, Iterable):
        raise InvalidInputError(f"{name}={shown(value)} is not a list: give a list of {one}")
    return value


def objects(name: str, value: Iterable[object], kind: type[Item], *, of: str = "") -> list[Item]:
    """``value`` as a list of objects of this class; ``of`` names the library that has it.

    Raises InvalidInputError for anything else.
    """
    checked = []
    for position, each in enumerate(several(name, value, one=f"{kind.__name__} objects{of}")):
        if not isinstance(each, kind):
            raise InvalidInputError(
                f"{name}[{position}]={shown(each)} is not {_named(kind)}{of}: give a list of these"
            )
        checked.append(each)
    return checked


def path(name: str, value: object) -> Path:
    """``value`` as a path: a string, or any os.PathLike of strings.

    Raises InvalidInputError, also for a URL, which it does not show: that may have a password.
    """
    given = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(given, bytes):
        raise InvalidInputError(
            f"{name}={shown(value)} is bytes: give a string, such as os.fsdecode({name})"
        )
    if not isinstance(given, str):
        raise InvalidInputError(f"{name}={shown(value)} is not a path: give a string or a Path")
    if "\0" in given:
        raise InvalidInputError(
            f"{name}={shown(value)} contains a NUL character, which a path cannot have: remove it"
        )
    if "://" in given:
        raise InvalidInputError(
            f"{name} is a URL, where the folder of an index is needed: open a store with "
            "rerank_search.stores.open_store, and search an index of a server by RemoteSearcher"
        )
    return Path(given)


def check_function(name: str, value: object) -> None:
    """Raise InvalidInputError for a value that cannot be called."""
    if not callable(value):
        raise InvalidInputError(f"{name}={shown(value)} cannot be called: give a function")


def model_name(name: str, value: object) -> str:
    """``value`` as the name or the path of a model. Raises InvalidInputError."""
    if isinstance(value, (bytes, os.PathLike)):
        return str(path(name, value))
    if not isinstance(value, str):
        raise InvalidInputError(
            f"{name}={shown(value)} is not a name: give the name or the folder of a model"
        )
    return value


def _kind(value: object) -> str:
    """The kind of a value, for messages in which its repr does not show it."""
    return "" if value is None or isinstance(value, (bool, str)) else f" but {_named(type(value))}"


def _named(kind: type) -> str:
    name = kind.__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
