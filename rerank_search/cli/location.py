"""Where an INDEX argument leads: a path, or a name below ./indexes or $RERANK_SEARCH_HOME."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from rerank_search.errors import IndexNotFoundError

FOLDER = Path("indexes")

IndexArgument = Annotated[
    str,
    typer.Argument(
        metavar="INDEX", help="A path, or a name below ./indexes or $RERANK_SEARCH_HOME."
    ),
]


def existing_index(name: str) -> Path:
    """The folder of an index. Raises IndexNotFoundError, which names the folders looked at."""
    candidates = [Path(name), *(folder / name for folder in _folders() if not _is_path(name))]
    for candidate in candidates:
        if any((candidate / file).is_file() for file in ("manifest.json", "documents.sqlite")):
            return candidate
    looked = ", ".join(str(candidate) for candidate in candidates)
    there = sorted({manifest.parent.name for manifest in _manifests()})
    known = f"Indexes there are: {', '.join(there)}." if there else "There is none yet."
    raise IndexNotFoundError(
        f"There is no index at {looked}. {known} `rerank-search index create` or "
        "`rerank-search index build` makes one."
    )


def new_index(name: str) -> Path:
    """Where an index of that name is created: a path as it is, a name below the first folder."""
    return Path(name) if _is_path(name) else _folders()[0] / name


def _is_path(name: str) -> bool:
    return Path(name).is_absolute() or os.sep in name or "/" in name or name in (".", "..")


def _folders() -> list[Path]:
    from rerank_search.settings import Settings

    home = Settings().home
    if home is None:
        return [FOLDER]
    return [FOLDER, home] if FOLDER.is_dir() else [home, FOLDER]


def _manifests() -> list[Path]:
    return [manifest for folder in _folders() for manifest in folder.glob("*/manifest.json")]
