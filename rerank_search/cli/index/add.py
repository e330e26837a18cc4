"""``rerank-search index add``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rerank_search.cli.index.lock_timeout import LockTimeout
from rerank_search.cli.location import IndexArgument, existing_index
from rerank_search.cli.output import Json, note, print_json, progress
from rerank_search.corpora.file_formats import NAMES, Format
from rerank_search.shown import counted

if TYPE_CHECKING:
    from rerank_search.corpora.readers import SkippedLines


def add(
    index: IndexArgument,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help=f"{', '.join(NAMES).upper()}, gzipped or not; - reads stdin.",
        ),
    ],
    format: Annotated[
        Format | None,
        typer.Option(help="Format of the files, if their names do not show it."),
    ] = None,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Skip malformed lines, and count them.")
    ] = False,
    vectors: Annotated[
        str,
        typer.Option(
            help="Key or column with each document's vector, in an index of your own vectors."
        ),
    ] = "vector",
    lock_timeout: LockTimeout = None,
    as_json: Json = False,
) -> None:
    """Add documents from files; a document replaces an earlier one with the same id."""
    from rerank_search.corpora.lines import VectorColumn
    from rerank_search.corpora.readers import SkippedLines, count_documents, read_documents
    from rerank_search.corpora.repeated import RepeatedIds
    from rerank_search.corpora.streams import STDIN
    from rerank_search.index import Index

    repeated = RepeatedIds()
    skipped = SkippedLines() if skip_invalid else None
    path = existing_index(index)
    sizes = [] if STDIN in files else [count_documents(file, format=format) for file in files]
    with (
        Index.open(path, lock_timeout=lock_timeout) as opened,
        progress(f"adding to {path.name}", sum(sizes)) as count,
    ):
        column = None if opened.dimension is None else VectorColumn(opened.dimension, vectors)
        documents = (
            document
            for file in files
            for document in read_documents(file, format=format, skipped=skipped, vectors=column)
        )
        written = opened.add(repeated.watched(documents), progress=count)
        total = len(opened)
    report_skipped(skipped)
    if as_json:
        print_json(
            {
                "written": written,
                "skipped": skipped.count if skipped else 0,
                "replaced": repeated.count,
                "documents": total,
            }
        )
    else:
        typer.echo(
            f"wrote {written:,} new or changed documents; the index has {total:,}"
            f"{shown_replaced(repeated.count)}"
        )


def shown_replaced(count: int) -> str:
    """The end of a line about documents, if some were replaced by later ones of the same files."""
    if not count:
        return ""
    return f"; {counted(count, 'document')} replaced by a later one with the same id"


def report_skipped(skipped: SkippedLines | None) -> None:
    """Report skipped lines on the standard error: the first ones with reasons, and how many."""
    if skipped is None or not skipped.count:
        return
    for reason in skipped.reasons:
        note(f"skipped: {reason}")
    note(f"{skipped.count:,} malformed lines skipped")
