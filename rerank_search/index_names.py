"""Folders of indexes, and the names that people know them by."""

from __future__ import annotations

from pathlib import Path

DOCUMENTS, MANIFEST = "documents.sqlite", "manifest.json"
"""The files that make a folder an index."""

SUFFIX = ".index"
"""Ending of the folder of an index whose name is taken by a folder of documents."""

_OWN = (DOCUMENTS, MANIFEST, "bm25", "dense", "write.lock")


def is_index(folder: Path) -> bool:
    """Whether the folder holds an index, or what a crash or damage has left of one."""
    return any((folder / file).is_file() for file in (MANIFEST, DOCUMENTS))


def index_name(folder: Path) -> str:
    """What the index in ``folder`` is called: the folder's name, without ``.index``.

    Where an index without that ending lies beside it, the ending is part of the name.
    """
    plain = folder.with_name(folder.name.removesuffix(SUFFIX) or folder.name)
    return folder.name if plain != folder and is_index(plain) else plain.name


def named_index(home: Path, name: str) -> Path:
    """The folder in ``home`` of the index called ``name``, or where that would be."""
    marked = home / f"{name}{SUFFIX}"
    return marked if is_index(marked) and not is_index(home / name) else home / name


def index_of(definition: Path) -> Path:
    """The folder of a definition's index: for NAME.toml the folder NAME beside it.

    Where that is a folder of something else, such as the documents, it is NAME.index.
    """
    folder = definition.with_suffix("")
    free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    return folder if free or is_index(folder) else folder.with_name(f"{folder.name}{SUFFIX}")


def is_file_of_index(path: Path) -> bool:
    """Whether a file is part of an index, rather than of its documents."""
    return any(
        is_index(folder) and _is_own(folder, path.relative_to(folder).parts[0])
        for folder in path.parents
    )


def _is_own(folder: Path, name: str) -> bool:
    """Whether a name in the folder of an index is the index's, such as the folder of an engine."""
    return name.startswith(_OWN) or (folder / name / "state.json").is_file()
