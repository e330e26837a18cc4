"""``rerank-search index set``."""

from __future__ import annotations

from typing import Annotated

import typer

from rerank_search.cli.index.lock_timeout import LockTimeout
from rerank_search.cli.location import IndexArgument, existing_index
from rerank_search.cli.output import Json, print_json
from rerank_search.types import HybridName


def set_option(
    index: IndexArgument,
    hybrid: Annotated[
        HybridName,
        typer.Option(help="How BM25 and vectors are combined: by their scores, or by ranks (rrf)."),
    ],
    lock_timeout: LockTimeout = None,
    as_json: Json = False,
) -> None:
    """Change a setting of an index that needs no rebuild."""
    from rerank_search.index import Index

    path = existing_index(index)
    with Index.open(path, lock_timeout=lock_timeout) as opened:
        opened.set_hybrid(hybrid)
    if as_json:
        print_json({"index": path, "hybrid": hybrid})
    else:
        typer.echo(f"{path}: hybrid = {hybrid}")
