"""``rerank-search backends``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from rerank_search.cli.output import Json, console, print_json, waiting


def backends(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="A reranker: name, folder or hub id."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what can compute a reranker on this machine's CPU, how fast, and what is used.

    Searches take the fastest. What was measured is kept; a new version, other units of the
    processor or another number of threads is measured anew.
    """
    from rerank_search.models.registry import DEFAULT_RERANKER, resolve_reranker
    from rerank_search.reranking.backends.choice import ASKED_FOR
    from rerank_search.reranking.torch_model import backends as compared

    name = model or DEFAULT_RERANKER
    with waiting("exporting and measuring what is new"):
        found = compared(name, resolve_reranker(name))
    if as_json:
        print_json([asdict(option) for option in found])
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("backend", "precision", box=SIMPLE_HEAD)
    table.add_column("pairs/s of 128 tokens", justify="right")
    table.add_column()
    taken = next(option for option in found if option.dtype not in ASKED_FOR)
    for option in found:
        speed, note = option.pairs_per_second, option.missing
        if speed == 0:
            note = "failed"
        elif option is taken:
            note = "searches take it unless told otherwise"
        elif not note and option.dtype in ASKED_FOR:
            note = "only where it is asked for: it moves rankings a little"
        table.add_row(option.backend, option.dtype, "" if speed is None else f"{speed:.0f}", note)
    console().print(table)
