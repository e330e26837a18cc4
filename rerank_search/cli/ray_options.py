"""The options for work on a Ray cluster, which several commands have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from rerank_search.cli.output import progress

if TYPE_CHECKING:
    from rerank_search.compute import Compute

Ray: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Compute models on a Ray cluster: HOST:PORT, auto, or local to start one here.",
    ),
]
RayWorkers: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", help="Workers on the cluster; as many as fit by default."),
]
RayFolder: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder that all machines of the cluster see, for texts and results meanwhile.",
    ),
]


@contextmanager
def computing(address: str | None, workers: int | None, folder: Path | None) -> Iterator[Compute]:
    """Where models are computed: on that cluster, or in this process without an address."""
    if address is None:
        for option, value in (("--ray-workers", workers), ("--ray-folder", folder)):
            if value is not None:
                raise typer.BadParameter(f"{option} is for a Ray cluster: add --ray ADDRESS")
        from rerank_search.compute import HERE

        yield HERE
        return
    from rerank_search.on_ray import RayCluster

    with RayCluster(address, workers=workers, folder=folder, progress=progress) as cluster:
        yield cluster
