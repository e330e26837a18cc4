"""The gain of each stage: the table that ``evaluate`` prints, for 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer

from rerank_search.cli.output import print_table
from rerank_search.shown import counted

if TYPE_CHECKING:
    from rich.table import Table

    from rerank_search.evaluation.report.schema import Report, SystemReport
    from rerank_search.evaluation.results import Protocol

MEASURES = ("MAP", "MRR@10", "nDCG@10")
"""Measures shown beside the primary one; the report has all of them."""


_SHORTEST_NAME = 12
"""Fewest columns for names, in a narrow terminal."""


def print_worth(report: Report) -> None:
    """Print a table for each collection: every first stage, alone and with each reranker."""
    measures = [name for name in MEASURES if name in report.measures]
    if report.primary not in measures:
        measures.append(report.primary)
    for key, systems in report.collections().items():
        typer.echo(f"\n{key}, {counted(systems[0].n_queries, 'query', 'queries')}")
        print_table(_table(systems, measures))
    if any(system.reranker for system in report.systems):
        typer.echo("all positives: relevant documents that the first stage missed are added")


def _table(systems: Sequence[SystemReport], measures: Sequence[str]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    reranked = any(system.reranker for system in systems)
    groups = ("retrieved", "all positives") if reranked else ("retrieved",)
    names = "  ".join(f"{name:>6}" for name in measures)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column(overflow="fold", min_width=_SHORTEST_NAME)
    for group in groups:
        table.add_column(f"{group:^{len(names)}}\n{names}", no_wrap=True)
    for system in _by_first_stage(systems):
        protocols: tuple[Protocol, ...] = (system.shown, "all_positives")
        cells = [_figures(system, protocol, measures) for protocol in protocols[: len(groups)]]
        added = system.reranker is not None
        name = Text(f"+{system.reranker}" if added else system.first_stage_name)
        table.add_row(Padding(name, (0, 0, 0, 2 if added else 0)), *cells)
    return table


def _by_first_stage(systems: Sequence[SystemReport]) -> Iterator[SystemReport]:
    """Each first stage at each depth, followed by its rerankers."""
    for name in dict.fromkeys(system.first_stage_name for system in systems):
        yield from (system for system in systems if system.first_stage_name == name)


def _figures(system: SystemReport, protocol: Protocol, measures: Sequence[str]) -> str:
    means = system.protocols.get(protocol)
    if means is None:
        return ""
    return "  ".join(f"{means[name]:>{max(6, len(name))}.4f}" for name in measures)
