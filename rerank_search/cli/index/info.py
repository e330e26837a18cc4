"""``rerank-search index info``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import typer

from rerank_search.cli.location import IndexArgument, existing_index
from rerank_search.cli.output import Json, print_json


def info(index: IndexArgument, as_json: Json = False) -> None:
    """Show what an index holds and how it was made."""
    from rerank_search.index import Index

    with Index.open(existing_index(index), read_only=True) as opened:
        found = opened.info()
    if as_json:
        print_json(found)
        return
    for field in dataclasses.fields(found):
        typer.echo(f"{field.name:<16} {_shown(getattr(found, field.name))}")


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number}" for name, number in value.items())
    return ", ".join(value) if isinstance(value, tuple) else str(value)
