"""``rerank-search index rebuild``."""

from __future__ import annotations

import typer

from rerank_search.cli.index.lock_timeout import LockTimeout
from rerank_search.cli.location import IndexArgument, existing_index
from rerank_search.cli.output import Json, print_json, progress
from rerank_search.shown import counted


def rebuild(index: IndexArgument, lock_timeout: LockTimeout = None, as_json: Json = False) -> None:
    """Rebuild the engines (BM25, vectors) from the stored documents."""
    from rerank_search.index import Index

    path = existing_index(index)
    with Index.open(path, for_repair=True, lock_timeout=lock_timeout) as opened:
        total = len(opened)
        with progress(f"rebuilding {path.name}", total) as count:
            opened.rebuild(progress=count)
    if as_json:
        print_json({"documents": total})
    else:
        typer.echo(f"rebuilt from {counted(total, 'document')}")
