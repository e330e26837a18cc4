"""Folders of indexes, and the names that people use for them."""

from __future__ import annotations

import re
from pathlib import Path

from rerank_search.built_in_stages import EVERY_INDEX

DOCUMENTS, MANIFEST = "documents.sqlite", "manifest.json"
"""The files that make a folder an index."""

NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""The pattern of the names by which a server serves an index or a store."""

_NAME = re.compile(NAME)

SUFFIX = ".index"
"""Suffix of an index folder if a folder of documents already has the index's name."""

_OWN = (DOCUMENTS, MANIFEST, *EVERY_INDEX, "write.lock")


def is_index(folder: Path) -> bool:
    """Whether the folder holds an index, or the remains of one after a crash or damage."""
    return any((folder / file).is_file() for file in (MANIFEST, DOCUMENTS))


def is_servable(name: str) -> bool:
    """Whether a server can serve something by this name."""
    return _NAME.fullmatch(name) is not None


def index_name(folder: Path) -> str:
    """The name of the index in ``folder``: the folder's name without ``.index``.

    If there is also an index without that suffix beside it, the suffix is part of the name.
    """
    plain = folder.with_name(folder.name.removesuffix(SUFFIX) or folder.name)
    return folder.name if plain != folder and is_index(plain) else plain.name


def named_index(home: Path, name: str) -> Path:
    """The folder in ``home`` of the index called ``name``, which need not exist."""
    marked = home / f"{name}{SUFFIX}"
    return marked if is_index(marked) and not is_index(home / name) else home / name


def index_of(definition: Path) -> Path:
    """The folder of a definition's index: for NAME.toml the folder NAME beside it.

    If that folder holds something else, such as the documents, it is NAME.index.
    """
    folder = definition.with_suffix("")
    free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    return folder if free or is_index(folder) else folder.with_name(f"{folder.name}{SUFFIX}")


def is_file_of_index(path: Path) -> bool:
    """Whether a file is part of an index, and not one of its sources."""
    return any(
        is_index(folder) and _is_own(folder, path.relative_to(folder).parts[0])
        for folder in path.parents
    )


def names_of_others(folder: Path) -> list[str]:
    """Names in an index folder that do not belong to the index, ascending."""
    return sorted(entry.name for entry in folder.iterdir() if not _is_own(folder, entry.name))


def _is_own(folder: Path, name: str) -> bool:
    """Whether a name in an index folder belongs to the index, such as the folder of an engine."""
    engine = name.removesuffix(".new").removesuffix(".old")  # while it is being replaced
    return name.removeprefix(".").startswith(_OWN) or (folder / engine / "state.json").is_file()
