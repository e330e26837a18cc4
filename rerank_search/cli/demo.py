"""``rerank-search demo``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from rerank_search.cli.location import FOLDER, new_index
from rerank_search.cli.output import print_table, progress, waiting
from rerank_search.shown import counted

if TYPE_CHECKING:
    from rich.table import Table

    from rerank_search.corpora.definition import Built
    from rerank_search.types import Document, ExplainedResponse, SearchResponse

NAME = "python-docs"
DEFINITION = FOLDER / f"{NAME}.toml"
KINDS = ("class", "function")
"""Kinds of docstrings in the demo's index; all kinds would take more than twice as long."""
QUERIES = (
    "how do I join two paths",
    "run a shell command and capture its output",
    "wait for several coroutines at the same time",
    "make a temporary folder that is removed afterwards",
    "count how often each word occurs in a list",
    "stop a program from the keyboard without a traceback",
)
SHOWN = 5


def demo() -> None:
    """Search the docstrings of Python's classes and functions, and show what reranking changes."""
    from rerank_search.index import Index
    from rerank_search.models.registry import DEFAULT_RERANKER
    from rerank_search.searcher import Searcher

    started = time.perf_counter()
    typer.echo("Reading the docstrings of the standard library's classes and functions ...")
    built = _built()
    typer.echo(
        f"{built.index}: {counted(built.documents, 'document')}, {built.written:,} written now, "
        f"in {time.perf_counter() - started:.1f} s"
    )
    with Index.open(built.index) as index:
        loading = time.perf_counter()
        with waiting("loading the models"):
            searcher = Searcher(index, reranker=DEFAULT_RERANKER)
            searcher.search("a first query loads both models", candidates=1)
        typer.echo(f"Models loaded in {time.perf_counter() - loading:.1f} s")
        for query in QUERIES:
            [explained] = searcher.explain_batch([query], top_k=SHOWN)
            print_table(_side_by_side(explained))
            typer.echo(_times(explained.response))
    typer.echo(
        f"\n{time.perf_counter() - started:.1f} s in all. Your own question: "
        f'rerank-search search {NAME} "..."'
    )
    if DEFINITION.is_file():
        typer.echo(
            f"Methods, modules and help topics as well: rerank-search index build {DEFINITION}"
        )


def _built() -> Built:
    from rerank_search.corpora.definition import Definition, build_index, load_definition
    from rerank_search.index_names import index_of

    definition = (
        load_definition(DEFINITION) if DEFINITION.is_file() else Definition(source="python-docs")
    )
    folder = index_of(new_index(DEFINITION.name))
    return build_index(definition, folder, only=_is_shown, progress=progress)


def _is_shown(document: Document) -> bool:
    return document.metadata.get("kind") in KINDS


def _side_by_side(explained: ExplainedResponse) -> Table:
    """The first stage's ranking on the left, the reranked one with its moves on the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from rerank_search.cli.results import movement

    response, before = explained.response, explained.first_stage_ranks
    table = Table(
        box=SIMPLE_HEAD, title=Text(response.query, style="bold"), title_justify="left", expand=True
    )
    table.add_column(justify="right", style="dim")
    table.add_column(f"first stage ({response.first_stage})", ratio=1, no_wrap=True)
    table.add_column("reranked", ratio=1, no_wrap=True)
    table.add_column("moved", justify="right")
    first = explained.first_stage_hits[:SHOWN]
    for rank, (left, right) in enumerate(zip(first, response.hits, strict=True), start=1):
        table.add_row(str(rank), left.id, right.id, movement(right, before))
    return table


def _times(response: SearchResponse) -> str:
    stages = "   ".join(f"{stage} {ms:.0f} ms" for stage, ms in response.timings.items())
    return f"  {stages}"
