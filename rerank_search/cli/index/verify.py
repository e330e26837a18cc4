"""``rerank-search index verify``."""

from __future__ import annotations

import typer

from rerank_search.cli.location import IndexArgument, existing_index
from rerank_search.cli.output import Json, print_json, waiting


def verify(index: IndexArgument, as_json: Json = False) -> None:
    """Check every file of an index against its documents; exit code 1 if anything is wrong."""
    from rerank_search.index import Index

    path = existing_index(index)
    with Index.open(path, read_only=True, for_repair=True) as opened, waiting("verifying"):
        problems = opened.verify()
    if as_json:
        print_json({"problems": problems})
    else:
        for problem in problems or ["no problems"]:
            typer.echo(problem)
    if problems:
        raise typer.Exit(1)
