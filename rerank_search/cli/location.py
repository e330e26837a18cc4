"""The folder of an INDEX argument: a path, or a name below ./indexes or $RERANK_SEARCH_HOME."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rerank_search.errors import IndexExistsError, IndexNotFoundError, InvalidInputError
from rerank_search.index_names import index_name, is_index, named_index

FOLDER = Path("indexes")

IndexArgument = Annotated[
    str,
    typer.Argument(
        metavar="INDEX", help="A path, or a name below ./indexes or $RERANK_SEARCH_HOME."
    ),
]


def existing_index(name: str) -> Path:
    """The folder of an index. Raises IndexNotFoundError, which names the searched folders."""
    _check(name)
    candidates = [named_index(folder, Path(name).name) for folder in _searched(name)]
    for candidate in candidates:
        if is_index(candidate):
            return candidate
    looked = ", ".join(str(candidate) for candidate in candidates)
    there = sorted({index_name(folder) for folder in known_indexes()})
    known = f"Existing indexes: {', '.join(there)}." if there else "There are no indexes yet."
    raise IndexNotFoundError(
        f"there is no index at {looked}. {known} Make one with `rerank-search index create` or "
        "`rerank-search index build`"
    )


def new_index(name: str) -> Path:
    """The folder for a new index: a path is used unchanged, a name goes below ``home_folder``.

    Raises IndexExistsError if ``existing_index`` would find another index by this name.
    """
    _check(name)
    if _is_path(name):
        return Path(name)
    new = home_folder() / name
    here = named_index(Path(), name)
    if is_index(here):
        raise IndexExistsError(
            f"the name {name} already stands for the index ./{here}: choose another name, or give "
            f"the path {new}"
        )
    return new


def home_folder() -> Path:
    """The folder where a plain name is looked up first, and created."""
    return _folders()[0]


def known_indexes() -> list[Path]:
    """The folders of all indexes that plain names stand for; the first of equal names wins."""
    return [
        entry
        for folder in dict.fromkeys(_folders())
        if folder.is_dir()
        for entry in sorted(folder.iterdir())
        if is_index(entry)
    ]


def _searched(name: str) -> list[Path]:
    """The folders in which an index of that name is looked for, in this order."""
    return [Path(name).parent, *([] if _is_path(name) else _folders())]


def _check(name: str) -> None:
    if not name.strip():
        raise InvalidInputError(
            f"INDEX={name!r} is not a name: give a path, or a name such as notes"
        )
    if "://" in name:
        from rerank_search.stores.named import is_named_store

        if is_named_store(name):  # not shown, since it may have a password
            raise InvalidInputError(
                "INDEX is the URL of a store, and this needs an index in a folder: stores are for "
                "`rerank-search search`, `serve`, `mcp` and `evaluate --first-stage`"
            )


def _is_path(name: str) -> bool:
    return Path(name).is_absolute() or os.sep in name or "/" in name or name in (".", "..")


def _folders() -> list[Path]:
    from rerank_search.settings import Settings

    home = Settings().home
    if home is None:
        return [FOLDER]
    return [FOLDER, home] if FOLDER.is_dir() else [home, FOLDER]
