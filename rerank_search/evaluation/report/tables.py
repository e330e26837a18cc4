"""The tables of a report, as text in cells, for Markdown and HTML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rerank_search.evaluation.report.schema import (
    PairReport,
    Report,
    SystemReport,
    significant,
)
from rerank_search.evaluation.results import HONEST, Protocol

Mark: TypeAlias = Literal["", "▲", "▼"]

NONE = "–"


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell: a figure, its confidence interval, and whether it is a significant change."""

    text: str
    detail: str = ""
    mark: Mark = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.text, self.detail, self.mark) if part)


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, the names of the columns, and rows with one cell for each column.

    The first ``names`` columns say what a row is about; the others hold figures.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    names: int = 1


def stages_table(report: Report, systems: Sequence[SystemReport]) -> Table:
    """What each stage is worth, in the primary measure: the table to look at first."""
    rows = [
        [
            Entry(system.name),
            *(_stage(report, system, protocol) for protocol in HONEST),
            Entry(f"{system.n_queries:,}"),
        ]
        for system in systems
    ]
    header = ["system", *(protocol.replace("_", " ") for protocol in HONEST), "queries"]
    return Table(f"What each stage is worth: {report.primary}", header, rows)


def measures_table(report: Report, systems: Sequence[SystemReport]) -> Table:
    """Every measure by every protocol."""
    rows = [
        [
            Entry(system.name),
            Entry(protocol.replace("_", " ")),
            *(Entry(_number(system.protocols[protocol].get(name))) for name in report.measures),
        ]
        for system in systems
        for protocol in HONEST
        if protocol in system.protocols
    ]
    return Table("All measures", ["system", "protocol", *report.measures], rows, names=2)


def comparisons_table(report: Report, systems: Sequence[SystemReport]) -> Table | None:
    """Every pair of rankings at one depth, in the primary measure; None if there is no pair."""
    rows = [
        [
            Entry(row.ours),
            Entry(row.theirs),
            Entry(f"{row.difference:+.3f}", interval(row.interval, signed=True), mark),
            Entry(p_value(row.p)),
            Entry(p_value(row.p_holm)),
            Entry(f"{row.wins:,} / {row.ties:,} / {row.losses:,}"),
        ]
        for row in report.comparisons
        if f"{row.collection}/{row.split}" == systems[0].key and row.measure == report.primary
        for mark in [_mark(report, row.difference, row.p_holm)]
    ]
    header = ["ranking", "against", "difference", "p", "p (Holm)", "wins / ties / losses"]
    caption = f"Differences in {report.primary}, query by query"
    return Table(caption, header, rows, names=2) if rows else None


def sbert_table(systems: Sequence[SystemReport]) -> Table | None:
    """The figures of sentence-transformers' evaluator; None if no system has them."""
    having = [system for system in systems if "sbert" in system.protocols]
    names = list(dict.fromkeys(name for system in having for name in system.protocols["sbert"]))
    rows = [
        [
            Entry(system.name),
            *(Entry(_number(system.protocols["sbert"].get(name), digits=4)) for name in names),
        ]
        for system in having
    ]
    caption = "The figures of sentence-transformers' CrossEncoderRerankingEvaluator"
    return Table(caption, ["system", *names], rows) if rows else None


def cost_table(systems: Sequence[SystemReport]) -> Table | None:
    """The cost of searching; None if nothing was measured."""
    measured = [(system.name, system.cost) for system in systems if system.cost is not None]
    found = dict.fromkeys(stage for _, cost in measured for stage in cost.latency_ms)
    stages = sorted(found, key=lambda stage: stage == "total")  # the sum comes last
    rows = [
        [
            Entry(name),
            *(Entry(_percentiles(cost.latency_ms.get(stage))) for stage in stages),
            Entry(NONE if cost.pairs_per_second is None else f"{cost.pairs_per_second:,.0f}"),
            Entry(NONE if cost.truncated_share is None else f"{cost.truncated_share:.1%}"),
            Entry(_megabytes(cost.index_bytes)),
            Entry(_megabytes(cost.peak_memory_bytes)),
            Entry(f"{cost.queries:,}"),
        ]
        for name, cost in measured
    ]
    header = [
        "system",
        *(f"{stage.replace('_', ' ')} ms" for stage in stages),
        "pairs/s",
        "truncated",
        "index",
        "peak memory",
        "searches",
    ]
    caption = "Cost of a search: p50 / p95 / p99 of its stages, one search after another"
    return Table(caption, header, rows) if rows else None


def worth_table(report: Report, systems: Sequence[SystemReport]) -> Table | None:
    """Quality against the time of a search, fastest first; None if nothing was measured."""
    measured = [
        (system.cost.latency_ms["total"], system.protocols[system.shown][report.primary], system)
        for system in systems
        if system.cost is not None
    ]
    rows: list[list[Entry]] = []
    best = -1.0
    for total, quality, system in sorted(measured, key=lambda row: (row[0]["p50"], -row[1])):
        rows.append(
            [
                Entry(system.name),
                Entry(_number(quality)),
                *(Entry(f"{total[name]:,.1f}") for name in ("p50", "p95")),
                Entry("yes" if quality > best else ""),
            ]
        )
        best = max(best, quality)
    header = ["system", report.primary, "p50 ms", "p95 ms", "better than all faster ones"]
    caption = f"{report.primary} against the time of a search, fastest first"
    return Table(caption, header, rows) if rows else None


def pairs_table(report: Report) -> Table | None:
    """The rerankers as classifiers of pairs; None if there are no pairs."""
    names = list(dict.fromkeys(name for cell in report.pairs for name in cell.values))
    rows = [
        [
            Entry(f"{cell.collection}/{cell.split}"),
            Entry(cell.reranker),
            Entry(f"{cell.n_pairs:,}", f"({cell.n_positive:,} positive)"),
            *(_pairs_entry(cell, name) for name in names),
        ]
        for cell in report.pairs
    ]
    header = ["collection", "reranker", "pairs", *(name.replace("_", " ") for name in names)]
    return Table("Pair classification", header, rows, names=2) if rows else None


def _pairs_entry(cell: PairReport, name: str) -> Entry:
    bounds = cell.intervals.get(name)
    return Entry(_number(cell.values.get(name), digits=4), interval(bounds) if bounds else "")


def warnings(report: Report) -> Iterator[tuple[str, str]]:
    """Each warning once, as (subject, text)."""
    about: dict[tuple[str, str], list[str]] = {}
    for system in report.systems:
        for text in system.warnings:
            about.setdefault((system.key, text), []).append(system.name)
    collections = report.collections()
    for (key, text), names in about.items():
        everywhere = len(names) == len(collections[key])
        yield (key if everywhere else f"{key}, {', '.join(names)}"), text
    for cell in report.pairs:
        for text in cell.warnings:
            yield f"{cell.collection}/{cell.split}, {cell.reranker}", text


def interval(bounds: tuple[float, float], *, signed: bool = False) -> str:
    """``[0.123, 0.456]``."""
    low, high = (f"{bound:+.3f}" if signed else f"{bound:.3f}" for bound in bounds)
    return f"[{low}, {high}]"


def p_value(p: float) -> str:
    """Three digits; a p-value is never 0."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _stage(report: Report, system: SystemReport, protocol: Protocol) -> Entry:
    if protocol not in system.protocols:
        return Entry(NONE)
    change = report.comparison(system, report.primary) if protocol == "retrieved" else None
    return Entry(
        _number(system.protocols[protocol][report.primary]),
        interval(system.intervals[protocol][report.primary]),
        "" if change is None else _mark(report, change.difference, change.p_holm),
    )


def _mark(report: Report, difference: float, p_holm: float) -> Mark:
    if not significant(p_holm, report.statistics):
        return ""
    return "▲" if difference > 0 else "▼"


def _number(value: float | None, digits: int = 3) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _percentiles(latency: Mapping[str, float] | None) -> str:
    if latency is None:
        return NONE
    return " / ".join(f"{latency[name]:,.1f}" for name in ("p50", "p95", "p99"))


def _megabytes(size: int | None) -> str:
    return NONE if size is None else f"{size / 1e6:,.1f} MB"
