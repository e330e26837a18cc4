"""Objects that installed packages add by their entry points."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from rerank_search.errors import PluginError

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


def described(entry: EntryPoint) -> str:
    """The entry point and its package, as the beginning of an error message."""
    package = "an unknown package" if entry.dist is None else f"the package {entry.dist.name}"
    return f"{entry.name!r} of {package} ({entry.group}: {entry.value})"


@lru_cache
def _read(group: str, path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """The entry points of the packages in ``path``, which are read once for each path."""
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=group)}
