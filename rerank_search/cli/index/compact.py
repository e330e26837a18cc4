"""``rerank-search index compact``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from rerank_search.cli.index.lock_timeout import LockTimeout
from rerank_search.cli.location import IndexArgument, existing_index
from rerank_search.cli.output import Json, print_json, waiting

if TYPE_CHECKING:
    from rerank_search.index import IndexInfo


def compact(index: IndexArgument, lock_timeout: LockTimeout = None, as_json: Json = False) -> None:
    """Free the disk space of deleted and replaced documents."""
    from rerank_search.index import Index

    with Index.open(existing_index(index), lock_timeout=lock_timeout) as opened:
        before = _size(opened.info())
        with waiting("compacting"):
            opened.compact()
        after = _size(opened.info())
    if as_json:
        print_json({"bytes_before": before, "bytes_after": after})
    else:
        typer.echo(f"{before:,} bytes before, {after:,} after")


def _size(info: IndexInfo) -> int:
    return info.bytes_documents + sum(info.bytes_engines.values())
