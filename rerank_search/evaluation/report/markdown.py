"""report.md: the tables, to be read in a terminal or beside the code."""

from __future__ import annotations

from collections.abc import Iterator

from rerank_search.evaluation.report import notes
from rerank_search.evaluation.report.markdown_table import markdown_table
from rerank_search.evaluation.report.schema import Report, SystemReport
from rerank_search.evaluation.report.tables import (
    Table,
    comparisons_table,
    cost_table,
    measures_table,
    pairs_table,
    sbert_table,
    stages_table,
    warnings,
    worth_table,
)


def markdown(report: Report) -> str:
    """The report as Markdown, the most wanted figures first; with ids, without texts."""
    return "\n".join(_lines(report)).rstrip() + "\n"


def _lines(report: Report) -> Iterator[str]:
    collections = report.collections()
    yield f"# {_escaped(report.name)}"
    yield ""
    yield f"Written by `rerank-search evaluate`, {report.created:%Y-%m-%d %H:%M} UTC."
    yield ""
    for key, systems in collections.items():
        yield f"## {_escaped(key)}"
        yield ""
        yield from _table(stages_table(report, systems))
    if collections:
        yield from (
            f"- **{name.replace('_', ' ')}**: {text}" for name, text in notes.PROTOCOLS.items()
        )
        yield ""
        yield notes.statistics_note(report.statistics)
        yield ""
    if pairs := pairs_table(report):
        yield "## Pair classification"
        yield ""
        yield from _table(pairs)
    for key, systems in collections.items():
        yield from _details(report, key, systems)
    yield from _warnings(report)
    yield "## Environment"
    yield ""
    yield from (f"- {_escaped(name)}: {_escaped(of)}" for name, of in report.environment.items())


def _details(report: Report, key: str, systems: list[SystemReport]) -> Iterator[str]:
    for title, table, note in (
        ("all measures", measures_table(report, systems), ""),
        ("comparisons", comparisons_table(report, systems), notes.HOLM),
        ("sentence-transformers' numbers", sbert_table(systems), notes.SBERT),
        ("quality against cost", worth_table(report, systems), ""),
        ("cost", cost_table(systems), ""),
    ):
        if table is None:
            continue
        yield f"## {_escaped(key)}: {title}"
        yield ""
        if note:
            yield note
            yield ""
        yield from _table(table)


def _warnings(report: Report) -> Iterator[str]:
    found = list(warnings(report))
    if not found:
        return
    yield "## Warnings"
    yield ""
    yield from (f"- {_escaped(about)}: {_escaped(text)}" for about, text in found)
    yield ""


def _table(table: Table) -> Iterator[str]:
    yield f"{table.caption}:"
    yield ""
    rows = [
        [*(_escaped(str(entry)) for entry in row[: table.names]), *map(str, row[table.names :])]
        for row in table.rows
    ]
    yield markdown_table([_escaped(name) for name in table.header], rows, words=table.names)
    yield ""


def _escaped(text: str) -> str:
    """``text`` on one line, escaped for Markdown and HTML."""
    for character in "\\`*|<[":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())
