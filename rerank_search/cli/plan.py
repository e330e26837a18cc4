"""``rerank-search plan``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rerank_search.cli.exit_codes import FAILED
from rerank_search.cli.output import Json, note, print_json, print_table, waiting
from rerank_search.errors import InvalidInputError

if TYPE_CHECKING:
    from rich.table import Table

    from rerank_search.planning.figures import Figure
    from rerank_search.planning.plan import Plan
    from rerank_search.planning.profile import Profile


KINDS = ("derived", "measured", "assumed")
"""The kinds of figures, in the order of the tables."""


def _count(given: str | int) -> int:
    """A whole number, which may be written as 1e9."""
    try:
        number = float(given)
        if number == int(number):
            return int(given) if str(given).isdecimal() else int(number)
    except (ValueError, OverflowError):
        pass
    raise typer.BadParameter(f"{given!r} is not a whole number.")


def plan(
    documents: Annotated[
        int | None,
        typer.Option(parser=_count, metavar="N", help="Number of documents, such as 1e9."),
    ] = None,
    qps: Annotated[float | None, typer.Option(help="Searches a second.")] = None,
    p99_ms: Annotated[
        float | None,
        typer.Option(help="Milliseconds that 99 of 100 searches may take at most."),
    ] = None,
    candidates: Annotated[
        int, typer.Option(help="Documents that are reranked for each search.")
    ] = 100,
    words: Annotated[int, typer.Option(help="Words of a document.")] = 200,
    first_stage: Annotated[
        str, typer.Option(metavar="bm25|dense|hybrid", help="First stage.")
    ] = "hybrid",
    vector_dtype: Annotated[
        str, typer.Option(metavar="float32|float16|int8", help="How vectors are stored.")
    ] = "float32",
    vector_search: Annotated[
        str,
        typer.Option(metavar="graph|exact", help="Search vectors by a graph (HNSW), or read all."),
    ] = "graph",
    dimension: Annotated[
        int | None, typer.Option(help="Numbers of a vector.  [default: the encoder's]")
    ] = None,
    reranker: Annotated[
        str | None,
        typer.Option(help="Reranker of the profile to use.  [default: the first]"),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(help="Cores of a machine.  [default: as measured]")
    ] = None,
    memory_gb: Annotated[
        float | None,
        typer.Option(help="Memory of a machine that searches, in GB.  [default: as measured]"),
    ] = None,
    utilisation: Annotated[
        float, typer.Option(help="Largest share of the time for which a server may be busy.")
    ] = 0.7,
    assume: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=VALUE", help="Replace an assumption of the last table; repeatable."
        ),
    ] = [],  # noqa: B006 (typer copies it)
    profile: Annotated[
        Path | None,
        typer.Option(help="File of measured costs.  [default: that of this machine, in the cache]"),
    ] = None,
    rerank_profile: Annotated[
        Path | None,
        typer.Option(
            help="File of the costs of other machines that rerank and encode, such as some with a "
            "GPU."
        ),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Measure the costs of this machine, which takes a minute, and write them to the "
            "file of --profile.",
        ),
    ] = False,
    measure_reranker: Annotated[
        list[str] | None,
        typer.Option(
            help="Reranker to measure: name, folder or hub id; repeatable.  [default: the bundled "
            "ones]"
        ),
    ] = None,
    measure_dtype: Annotated[
        list[str] | None,
        typer.Option(
            help="Precision to measure the rerankers in, such as int8; repeatable.  [default: the "
            "one that searches use]"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a number of documents and searches takes: memory, disk, shards, replicas, GPUs.

    The costs are those measured on this machine, or in a profile that another one has written.
    Every figure says whether it is measured, derived or assumed. The exit code is 1 if no number of
    machines meets the goal.
    """
    missing = [
        name
        for name, value in (("--documents", documents), ("--qps", qps), ("--p99-ms", p99_ms))
        if value is None
    ]
    if missing and not (measure and len(missing) == 3):
        raise InvalidInputError(f"{', '.join(missing)} missing: a plan needs all three")
    if not measure and (measure_reranker or measure_dtype):
        raise InvalidInputError("--measure-reranker and --measure-dtype need --measure: add it")

    from rerank_search.planning.goal import Goal, assumed
    from rerank_search.planning.plan import make_plan
    from rerank_search.planning.profile import read_profile

    assumptions = assumed(assume)
    goal = None
    if documents is not None and qps is not None and p99_ms is not None:
        goal = Goal(
            documents=documents,
            qps=qps,
            p99_ms=p99_ms,
            candidates=candidates,
            words=words,
            first_stage=first_stage,
            vector_dtype=vector_dtype,  # type: ignore[arg-type]  # checked there
            vector_search=vector_search,  # type: ignore[arg-type]
            dimension=dimension,
            reranker=reranker,
            cores=cores,
            memory_gb=memory_gb,
            utilisation=utilisation,
        )
    reranking = None if rerank_profile is None else read_profile(rerank_profile)
    costs = _costs(profile, measure, measure_reranker, measure_dtype)
    if goal is None:
        return
    found = make_plan(goal, costs, rerank_profile=reranking, assumptions=assumptions)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if not found.possible:
        raise typer.Exit(FAILED)


def _costs(
    path: Path | None, measure: bool, rerankers: list[str] | None, dtypes: list[str] | None
) -> Profile:
    """The costs in the file, which are measured first if asked, or if this machine has none."""
    from rerank_search.files import check_writable
    from rerank_search.planning.profile import read_profile, write_profile
    from rerank_search.settings import Settings

    file = path or Settings().cache / "planning" / "profile.json"
    if not measure and (path is not None or file.exists()):
        return read_profile(file)
    check_writable(file.parent)

    from rerank_search.planning.measuring import RERANKERS, measure_profile

    found = measure_profile(
        rerankers=rerankers or RERANKERS,
        dtypes=dtypes or [None],  # type: ignore[arg-type]  # checked there
        telling=waiting,
    )
    write_profile(found, file)
    note(f"{file} has the costs of this machine")
    return found


def _print(found: Plan) -> None:
    if found.problem is not None:
        typer.echo(f"Impossible: {found.problem}.")
    figures = {kind: [each for each in found.figures if each.kind == kind] for kind in KINDS}
    if found.possible:
        print_table(_table("what it takes", "how", figures["derived"]))
    print_table(_changes(found))
    for where in dict.fromkeys(each.where for each in figures["measured"]):
        own = [each for each in figures["measured"] if each.where == where]
        print_table(_table("measured", f"on {where}", own))
    print_table(_table("assumed", "why", figures["assumed"]))
    for each in found.notes:
        typer.echo(f"assumed: {each}")


def _table(title: str, source: str, figures: Sequence[Figure]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title, box=SIMPLE_HEAD)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column(source)
    for figure in figures:
        table.add_row(figure.name, shown_value(figure.value, figure.unit), figure.source)
    return table


def _changes(found: Plan) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("with this change", box=SIMPLE_HEAD)
    table.add_column("machines", justify="right")
    for each in found.alternatives:
        machines = "impossible" if each.machines is None else f"{each.machines:,}"
        table.add_row(each.change, machines)
    return table


def shown_value(value: float, unit: str) -> str:
    """A figure for people, such as ``12.5 GB``."""
    for name, size in _UNITS.get(unit, ()):
        if value >= size:
            return f"{value / size:,.3g} {name}"
    said = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
    return f"{said} {unit}".strip()


_UNITS = {
    "bytes": (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)),
    "hours": (("years", 24 * 365.0), ("days", 24.0)),
}
"""Larger units, the largest first."""
