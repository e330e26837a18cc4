"""``rerank-search index drop``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rerank_search.cli.index.lock_timeout import LockTimeout
from rerank_search.cli.location import IndexArgument, existing_index
from rerank_search.cli.output import Json, print_json
from rerank_search.shown import counted


def drop(
    index: IndexArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    lock_timeout: LockTimeout = None,
    as_json: Json = False,
) -> None:
    """Delete an index with all its documents. It asks first, if there is a terminal."""
    from rerank_search.index import Index

    path = existing_index(index)
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter(f"give --yes to delete {path} with all its documents")
        typer.confirm(f"Delete {path}{_contents(path)}?", abort=True, err=True)
    Index.drop(path, lock_timeout=lock_timeout)
    if as_json:
        print_json({"dropped": path})
    else:
        typer.echo(f"dropped {path}")


def _contents(path: Path) -> str:
    from rerank_search.errors import SearchIndexError
    from rerank_search.storage.manifest import Manifest

    try:
        documents = Manifest.read(path).published.documents
    except (SearchIndexError, OSError):
        return ""
    return f" with {counted(documents, 'document')}"
