"""Rerankers that installed packages add, by their names.

A package adds one with an entry point in the group ``rerank_search.rerankers``, which names a class
or a function that makes the reranker without arguments. See ``docs/extending.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rerank_search import entry_points
from rerank_search.errors import InvalidInputError, PluginError
from rerank_search.models.registry import BUNDLED_RERANKERS

if TYPE_CHECKING:
    from rerank_search.reranking.base import Reranker

GROUP = "rerank_search.rerankers"
"""The group of the entry points that name rerankers."""


def installed_packages() -> dict[str, str]:
    """The names of all rerankers that packages add, each with its package; nothing is imported."""
    found = entry_points.installed(GROUP)
    return {name: entry_points.package(found[name]) for name in found if is_installed(name)}


def is_installed(name: str) -> bool:
    """Whether a package adds this name, and neither a folder nor a bundled reranker has it."""
    taken = name in BUNDLED_RERANKERS or Path(name).expanduser().is_dir()
    return not taken and name in entry_points.installed(GROUP)


def installed_reranker(name: str) -> Reranker | None:
    """The reranker that a package adds by this name; None if none does. Raises PluginError."""
    if not is_installed(name):
        return None
    from rerank_search.reranking.base import check_reranker

    entry = entry_points.installed(GROUP)[name]
    make, who = entry_points.loaded(entry), entry_points.described(entry)
    try:
        if not callable(make):
            raise InvalidInputError("it must name a class, or a function without arguments")
        with entry_points.plugin_errors(who, "making the reranker"):
            made: Reranker = make()
        check_reranker(made)
    except InvalidInputError as error:
        raise PluginError(f"{who} does not give a reranker: {error}") from error
    return made


def exact_version(name: str) -> str:
    """A text that differs for another package, version or code of an installed reranker."""
    return entry_points.exact_version(entry_points.installed(GROUP)[name])
