"""``rerank-search backends``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rerank_search.cli.output import Json, note, print_json, print_table, waiting

if TYPE_CHECKING:
    from rerank_search.settings import Settings


def backends(
    model: Annotated[
        str | None,
        typer.Argument(metavar="[MODEL]", help="A reranker: name, folder or hub id."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which backends can run a reranker on this CPU, how fast, and which one is used.

    Searches use the fastest one that RERANK_SEARCH_BACKEND and RERANK_SEARCH_DTYPE allow. A first
    search measures them for at most half a minute, this command for as long as it takes. Results
    are kept, and measured again after a change of versions, CPU features or number of threads.
    """
    from rerank_search.models.backends.choice import ASKED_FOR, is_asked_for
    from rerank_search.models.loading import best_device
    from rerank_search.models.registry import AUTO, reranker_name, resolve_reranker
    from rerank_search.reranking.compared_backends import compared_backends
    from rerank_search.settings import Settings

    name = reranker_name(model or AUTO)
    with waiting("exporting and measuring the backends"):
        found = compared_backends(name, resolve_reranker(name))
    if as_json:
        print_json([asdict(option) for option in found])
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("backend", "precision", box=SIMPLE_HEAD)
    table.add_column("pairs/s of 128 tokens", justify="right")
    table.add_column()
    settings = Settings()
    device = settings.device or best_device()
    usable = [option for option in found if not option.missing and device.startswith("cpu")]
    taken = next(
        (each for each in usable if is_asked_for(each, settings.backend, settings.dtype)), None
    )
    for option in found:
        speed, remark = option.pairs_per_second, option.missing
        if speed == 0:
            remark = "failed"
        elif option is taken:
            remark = "used by searches unless you choose another"
        elif not remark and option.dtype in ASKED_FOR:
            remark = "used only if you ask for it: it changes rankings slightly"
        table.add_row(option.backend, option.dtype, "" if speed is None else f"{speed:.0f}", remark)
    print_table(table)
    if taken is None:
        note(f"searches use none of these: {_elsewhere(settings, device)}")


def _elsewhere(settings: Settings, device: str) -> str:
    if not device.startswith("cpu"):
        return f"they run on the device {device}, with torch"
    return f"RERANK_SEARCH_BACKEND={settings.backend}, RERANK_SEARCH_DTYPE={settings.dtype}"
