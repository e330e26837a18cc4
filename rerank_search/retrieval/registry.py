"""First stages by name: the built-in ones, and those that installed packages add.

A new built-in first stage is a module and a line in ``BUILT_IN``. A package adds one by an entry
point in the group ``rerank_search.retrievers``; see ``docs/extending.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from rerank_search.errors import InvalidInputError
from rerank_search.shown import shown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "rerank_search.retrievers"
"""The group of the entry points that name first stages."""


@dataclass(frozen=True, slots=True)
class FirstStage:
    """A first stage that an index can have.

    ``made_of`` names the first stages whose rankings it combines; without any it is an engine,
    which the index keeps in step with its documents. ``encodes`` says whether it needs the
    vectors of the index's encoder.
    """

    name: str
    made_of: tuple[str, ...] = ()
    encodes: bool = False


BUILT_IN = (
    FirstStage("bm25"),
    FirstStage("dense", encodes=True),
    FirstStage("hybrid", made_of=("bm25", "dense"), encodes=True),
)
"""The first stages of this package, the best last."""

BUILT_IN_NAMES = tuple(stage.name for stage in BUILT_IN)


def names() -> tuple[str, ...]:
    """The names of all first stages: the built-in ones, then those of installed packages."""
    return (*BUILT_IN_NAMES, *(name for name in sorted(_installed()) if name not in BUILT_IN_NAMES))


def known_name(name: str) -> str:
    """``name``, if there is a first stage of that name. Raises InvalidInputError."""
    if not isinstance(name, str) or (name not in BUILT_IN_NAMES and name not in _installed()):
        raise InvalidInputError(
            f"there is no first stage {shown(name)}: use one of {', '.join(names())}"
        )
    return name


def encodes(name: str) -> bool:
    """Whether a first stage needs the vectors of the index's encoder."""
    return any(stage.encodes for stage in BUILT_IN if stage.name == name)


def _installed() -> Mapping[str, EntryPoint]:
    return _entry_points(tuple(sys.path))


@lru_cache(maxsize=1)
def _entry_points(path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """The entry points of the packages in ``path``, which are read once."""
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP)}
