"""Stores by the schemes of their URLs: those of this package, and those that packages add.

A new store of this package needs a module and a line in ``BUILT_IN``. A package adds one with an
entry point in the group ``rerank_search.stores``, which has the scheme as its name and names a
class derived from ``StoreBackend``. See ``docs/extending.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from rerank_search import entry_points
from rerank_search.errors import InvalidInputError, MissingDependencyError, PluginError
from rerank_search.shown import on_one_line, shown

if TYPE_CHECKING:
    from rerank_search.stores.base import StoreBackend

GROUP = "rerank_search.stores"
"""The group of the entry points that name stores."""


@dataclass(frozen=True, slots=True)
class StoreKind:
    """A kind of store: the schemes of its URLs, and the class of its engine, "module:class".

    ``extra`` is the name of the optional dependencies that it needs, "" for none. ``login``
    says whether its URLs may have a user and a password.
    """

    schemes: tuple[str, ...]
    made_by: str
    extra: str
    login: bool = False


BUILT_IN: tuple[StoreKind, ...] = (
    StoreKind(
        ("postgresql", "postgres"),
        "rerank_search.stores.postgres:PostgresBackend",
        "postgres",
        login=True,
    ),
    StoreKind(
        ("qdrant+https", "qdrant+http", "qdrant+edge", "qdrant"),
        "rerank_search.stores.qdrant.backend:QdrantBackend",
        "qdrant",
    ),
    StoreKind(
        ("lancedb", "lancedb+s3", "lancedb+gs", "lancedb+az"),
        "rerank_search.stores.lancedb.backend:LanceBackend",
        "lancedb",
    ),
    StoreKind(
        ("milvus", "milvus+https"),
        "rerank_search.stores.milvus.backend:MilvusBackend",
        "milvus",
    ),
    StoreKind(
        ("elasticsearch+https", "elasticsearch+http", "opensearch+https", "opensearch+http"),
        "rerank_search.stores.elastic.backend:ElasticBackend",
        "",
    ),
)
"""The stores of this package."""

_BY_SCHEME = {scheme: kind for kind in BUILT_IN for scheme in kind.schemes}


def schemes() -> tuple[str, ...]:
    """The schemes of all stores: those of this package, then those of installed packages."""
    return (*_BY_SCHEME, *sorted(entry_points.installed(GROUP).keys() - _BY_SCHEME.keys()))


def allows_login(scheme: str) -> bool:
    """Whether URLs of that scheme may have a user and a password."""
    return scheme not in _BY_SCHEME or _BY_SCHEME[scheme].login


def backend_class(scheme: str) -> type[StoreBackend]:
    """The class of the engine for URLs of that scheme.

    Raises InvalidInputError for an unknown scheme, MissingDependencyError, PluginError.
    """
    if (kind := _BY_SCHEME.get(scheme)) is not None:
        return _built_in(scheme, kind)
    if (entry := entry_points.installed(GROUP).get(scheme)) is None:
        raise InvalidInputError(
            f"there is no store for URLs with {shown(scheme)}: use one of {', '.join(schemes())}, "
            "or install the package that adds it"
        )
    found = entry_points.loaded(entry)
    from rerank_search.stores.base import StoreBackend

    if not isinstance(found, type) or StoreBackend not in found.__mro__:
        raise PluginError(
            f"{entry_points.described(entry)} is not a store: it must name a class derived from "
            "StoreBackend"
        )
    return cast("type[StoreBackend]", found)


def _built_in(scheme: str, kind: StoreKind) -> type[StoreBackend]:
    module, _, name = kind.made_by.partition(":")
    try:
        found = getattr(import_module(module), name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "rerank_search":
            raise
        raise MissingDependencyError(
            f"{scheme}:// cannot import the packages that it needs ({on_one_line(str(error))}): "
            f'run pip install "rerank-search[{kind.extra}]"'
        ) from error
    return cast("type[StoreBackend]", found)
