"""``rerank-search index delete``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rerank_search.cli.index.lock_timeout import LockTimeout
from rerank_search.cli.location import IndexArgument, existing_index
from rerank_search.cli.output import Json, print_json
from rerank_search.shown import counted


def delete(
    index: IndexArgument,
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="Document ids; - reads them from stdin.")
    ],
    lock_timeout: LockTimeout = None,
    as_json: Json = False,
) -> None:
    """Delete documents by id; unknown ids are skipped."""
    from rerank_search.index import Index

    named = [line.rstrip("\r\n") for line in sys.stdin] if ids == ["-"] else ids
    with Index.open(existing_index(index), lock_timeout=lock_timeout) as opened:
        deleted = opened.delete(named)
        total = len(opened)
    if as_json:
        print_json({"deleted": deleted, "documents": total})
    else:
        typer.echo(
            f"deleted {deleted:,} of {len(named):,}; the index has {counted(total, 'document')}"
        )
