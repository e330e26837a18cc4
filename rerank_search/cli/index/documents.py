"""``rerank-search index documents``."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from rerank_search.cli.filter_argument import FilterOption, parsed_filter
from rerank_search.cli.location import IndexArgument, existing_index
from rerank_search.cli.output import Json, note, print_json
from rerank_search.shown import on_one_line

_TEXT = 100
"""Characters of a document's text on its line."""


def documents(
    index: IndexArgument,
    filter: FilterOption = [],  # noqa: B006 (typer copies it)
    after: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Show only documents with ids above this one."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Number of documents to show.")] = 100,
    as_json: Json = False,
) -> None:
    """Show documents, ascending by id: a line for each, or all of them with --json."""
    from rerank_search.index import Index

    wanted = parsed_filter(filter) or {}
    with Index.open(existing_index(index), read_only=True) as opened:
        for warning in opened.filter_warnings(wanted):
            note(f"warning: {warning}")
        found = opened.find(wanted, after=after, limit=limit, warn=False)
        more = bool(found) and bool(opened.find(wanted, after=found[-1].id, limit=1, warn=False))
    if as_json:
        print_json({"documents": found, "next": found[-1].id if more else None})
        return
    for each in found:
        parts = (each.id, each.title, each.text[:_TEXT])
        typer.echo("  ".join(on_one_line(part) for part in parts if part))
    if more:
        note(f"there are more: --after {shlex.quote(found[-1].id)}")
