"""``rerank-search backends``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from rerank_search.cli.output import Json, console, print_json


def backends(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="A reranker: name, folder or hub id."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what can compute a reranker on this machine's CPU, how fast, and what is used.

    Searches take the fastest. What was measured is kept; a new version, another processor or
    another number of threads is measured anew.
    """
    from rerank_search.models.registry import DEFAULT_RERANKER, resolve_reranker
    from rerank_search.reranking.torch_model import backends as compared

    name = model or DEFAULT_RERANKER
    found = compared(name, resolve_reranker(name))
    if as_json:
        print_json([asdict(option) for option in found])
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("backend", "precision", box=SIMPLE_HEAD)
    table.add_column("pairs/s of 128 tokens", justify="right")
    table.add_column()
    for place, option in enumerate(found):
        speed, note = option.pairs_per_second, option.missing
        if speed == 0:
            note = "failed"
        elif place == 0:
            note = "fastest: searches take it unless told otherwise"
        table.add_row(option.backend, option.dtype, "" if speed is None else f"{speed:.0f}", note)
    console().print(table)
