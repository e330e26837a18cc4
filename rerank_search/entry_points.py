"""Objects that installed packages add by their entry points."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_search.errors import PluginError, RerankSearchError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def installed(group: str) -> Mapping[str, EntryPoint]:
    """The entry points of a group by their names; nothing is imported."""
    return _read(group, tuple(sys.path))


def loaded(entry: EntryPoint) -> object:
    """The object that an entry point names. Raises PluginError if it cannot be imported."""
    try:
        found: object = entry.load()
    except Exception as error:  # imported code may raise anything
        raise PluginError(
            f"{described(entry)} cannot be imported ({type(error).__name__}: {error}). Fix or "
            "upgrade that package, or uninstall it"
        ) from error
    return found


def exact_version(entry: EntryPoint) -> str:
    """A text that differs for another package, version or code; nothing is imported.

    The code counts because a package that is installed as editable changes without a new version.
    """
    package = "" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    return f"{package} {entry.value} {_code_hash(entry.module)}"


@contextmanager
def plugin_errors(
    who: str,
    doing: str,
    *,
    advice: str = "",
    kept: tuple[type[RerankSearchError], ...] = (RerankSearchError,),
) -> Iterator[None]:
    """Turn any error of a package's code into a PluginError that names the package.

    ``who`` is what ``described`` gives. Errors of the classes ``kept`` stay as they are; those of
    rerank_search already say what to do.
    """
    try:
        yield
    except kept:
        raise
    except Exception as error:  # imported code may raise anything
        raise PluginError(
            f"{who} failed in {doing} ({type(error).__name__}: {error}). {advice}Fix or upgrade "
            "that package, or uninstall it"
        ) from error


def described(entry: EntryPoint) -> str:
    """The entry point and its package, as the beginning of an error message."""
    return f"{entry.name!r} of {package(entry)} ({entry.group}: {entry.value})"


def package(entry: EntryPoint) -> str:
    """The package that adds an entry point: ``the package NAME``."""
    return "an unknown package" if entry.dist is None else f"the package {entry.dist.name}"


@lru_cache
def _read(group: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """The entry points of the packages in ``path``, which are read once for each path."""
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=group)}


def _code_hash(module: str) -> str:
    """A hash of the source files and extensions of the package that a module is in."""
    digest = hashlib.sha256()
    for file, name in _code_files(module):
        digest.update(f"{name}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:32]


def _code_files(module: str) -> list[tuple[Path, str]]:
    """The files of the module's outermost package that has code of its own, with their names."""
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        try:
            spec = find_spec(".".join(parts[:depth]))
        except (ImportError, ValueError):
            return []
        if spec is None:
            return []
        if spec.origin is None:
            continue  # a namespace package, which several distributions may share
        file = Path(spec.origin)
        if spec.submodule_search_locations is None:
            return [(file, file.name)] if file.is_file() else []
        suffixes = (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES)
        files = sorted(each for each in file.parent.rglob("*") if each.name.endswith(suffixes))
        return [(each, each.relative_to(file.parent).as_posix()) for each in files]
    return []
