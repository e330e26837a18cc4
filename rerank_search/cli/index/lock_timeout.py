"""The option shared by all commands that write to an index."""

from __future__ import annotations

from typing import Annotated

import typer

LockTimeout = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="SECONDS",
        help="Time to wait while another process writes to the index.  [default: 10, or "
        "RERANK_SEARCH_LOCK_TIMEOUT]",
    ),
]
