"""``rerank-search index build``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rerank_search.cli.index.add import report_skipped, shown_replaced
from rerank_search.cli.index.lock_timeout import LockTimeout
from rerank_search.cli.output import Json, print_json, progress
from rerank_search.cli.ray_options import Ray, RayFolder, RayWorkers, computing
from rerank_search.shown import counted


def build(
    definition: Annotated[
        Path, typer.Argument(metavar="DEFINITION", help="A definition, such as indexes/NAME.toml.")
    ],
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Skip malformed lines, and count them.")
    ] = False,
    lock_timeout: LockTimeout = None,
    ray: Ray = None,
    ray_workers: RayWorkers = None,
    ray_folder: RayFolder = None,
    as_json: Json = False,
) -> None:
    """Build the index that a definition describes, or bring it up to date.

    indexes/NAME.toml becomes indexes/NAME, or indexes/NAME.index if indexes/NAME holds the
    documents. In an existing index only new and changed documents are written, and those that
    the source no longer has are deleted.
    """
    from rerank_search.corpora.definition import build_index, load_definition
    from rerank_search.corpora.readers import SkippedLines
    from rerank_search.index_names import index_of

    if definition.suffix != ".toml":
        raise typer.BadParameter(
            f"{definition} is not a definition: give a file whose name ends in .toml"
        )
    skipped = SkippedLines() if skip_invalid else None
    loaded = load_definition(definition)
    with computing(ray, ray_workers, ray_folder) as compute:
        built = build_index(
            loaded,
            index_of(definition),
            skipped=skipped,
            progress=progress,
            lock_timeout=lock_timeout,
            compute=compute,
        )
    report_skipped(skipped)
    if as_json:
        print_json(built)
    else:
        typer.echo(
            f"{built.index}: {counted(built.documents, 'document')} "
            f"({built.written:,} written, {built.deleted:,} deleted)"
            f"{shown_replaced(built.replaced)}"
        )
