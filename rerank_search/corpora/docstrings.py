"""The docstrings of the running interpreter's standard library, as JSON lines on stdout.

Run as a script in an interpreter of its own (see python_docs.py), so that importing hundreds of
modules cannot change the process that wants the documents. It imports nothing but the standard
library.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import Any

# These are tests, or importing them opens a browser or a window, prints, writes escape sequences to
# the terminal, or loads bundled packages of other projects.
_LEFT_OUT = {
    "antigravity",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "readline",
    "rlcompleter",
    "test",
    "this",
    "tkinter",
    "turtle",
    "turtledemo",
}
# Known by another name: os.path is one of the first two, and is built on the third.
_ALIASES = {"ntpath", "posixpath", "genericpath"}
_PLAIN = (type(None), bool, int, float, str, bytes, tuple)


def records() -> Iterator[dict[str, Any]]:
    """One record per documented public object, in a fixed order; each docstring once."""
    ids: set[str] = set()
    texts: set[str] = set()
    for name in _module_names():
        try:
            module = importlib.import_module(name)
        except (ImportError, AttributeError, OSError):
            continue  # It needs another platform, or a library that is not installed.
        for record in _documented(name, module):
            if record["id"] not in ids and record["text"] not in texts:
                ids.add(record["id"])
                texts.add(record["text"])
                yield record
    yield from _topics()


def _module_names() -> list[str]:
    names = {"os.path"}
    for name in sys.stdlib_module_names - _LEFT_OUT - _ALIASES:
        if not name.startswith("_"):
            names.add(name)
            names.update(_submodules(name))
    return sorted(names)


def _submodules(package: str) -> Iterator[str]:
    try:
        path = getattr(importlib.import_module(package), "__path__", None)
    except (ImportError, AttributeError, OSError):
        return
    for found in pkgutil.iter_modules(path) if path is not None else ():
        if not found.name.startswith("_") and found.name not in ("test", "tests"):
            yield f"{package}.{found.name}"
            if found.ispkg:
                yield from _submodules(f"{package}.{found.name}")


def _documented(name: str, module: ModuleType) -> Iterator[dict[str, Any]]:
    yield from _record(name, name, "module", module)
    for attribute, value in _public(vars(module), getattr(module, "__all__", None)):
        if not _belongs(name, attribute, value, module):
            continue
        prefix = "" if name == "builtins" else f"{name}."
        if inspect.isclass(value):
            yield from _class(name, f"{prefix}{attribute}", value)
        elif inspect.isroutine(value):
            yield from _record(name, f"{prefix}{attribute}", "function", value)


def _class(module: str, name: str, cls: type) -> Iterator[dict[str, Any]]:
    yield from _record(module, name, "class", cls)
    for attribute, value in _public(vars(cls), None):
        if inspect.isclass(value):
            if value.__qualname__ == f"{cls.__qualname__}.{attribute}":
                yield from _class(module, f"{name}.{attribute}", value)
        elif isinstance(value, (property, staticmethod, classmethod)) or callable(value):
            kind = "property" if isinstance(value, property) else "method"
            plain = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
            if inspect.isroutine(plain) or kind == "property":
                yield from _record(module, f"{name}.{attribute}", kind, plain)


def _public(members: Any, exported: Iterable[str] | None) -> list[tuple[str, Any]]:
    names = members if exported is None else [name for name in exported if name in members]
    return [(name, members[name]) for name in sorted(names) if not name.startswith("_")]


def _belongs(name: str, attribute: str, value: Any, module: ModuleType) -> bool:
    """Whether users know the object from this module, and it is not just imported there."""
    if name == "builtins" or attribute in getattr(module, "__all__", ()):
        return True
    home = getattr(value, "__module__", None) or name
    return home == name or home.startswith((f"{name}.", "_"))


def _record(module: str, name: str, kind: str, value: Any) -> Iterator[dict[str, Any]]:
    text = value.__doc__
    if not isinstance(text, str) or not (text := inspect.cleandoc(text)).strip():
        return
    title = _signature(name, value) if callable(value) else None
    first_line = text.partition("\n")[0]
    yield {
        "id": name,
        "title": title or f"{name}: {first_line}",
        "text": text,
        "metadata": {"module": module, "kind": kind},
    }


def _signature(name: str, value: Any) -> str | None:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError, AttributeError):
        return (
            None  # Written in C, without a text signature, or with one that names a missing object.
        )
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty, default=_default(parameter.default))
        for parameter in signature.parameters.values()
    ]
    return f"{name}{inspect.Signature(parameters)}"


class _Elided:
    def __repr__(self) -> str:
        return "..."


def _default(value: Any) -> Any:
    """The default value, or an ellipsis: os.environ, paths and addresses differ between runs."""
    if value is inspect.Parameter.empty or (isinstance(value, _PLAIN) and value != sys.executable):
        return value
    return _Elided()


def _topics() -> Iterator[dict[str, Any]]:
    from pydoc_data.topics import topics

    for topic, text in sorted(topics.items()):
        cleaned = inspect.cleandoc(text)
        yield {
            "id": f"pydoc_data.topics.{topic}",
            "title": cleaned.partition("\n")[0],
            "text": cleaned,
            "metadata": {"module": "pydoc_data.topics", "kind": "topic"},
        }


def _main() -> None:
    # Output of an imported module on descriptor 1 must not end up between the records.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as output:
        os.dup2(2, 1)
        for record in records():
            output.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    _main()
