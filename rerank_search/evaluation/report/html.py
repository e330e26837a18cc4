"""report.html: one page that needs nothing else, with plots and the queries that moved most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rerank_search.errors import MissingDependencyError
from rerank_search.evaluation.report import notes
from rerank_search.evaluation.report.movers import Mover, deepest, movers
from rerank_search.evaluation.report.pictures import Picture, collection_pictures, pair_pictures
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
from rerank_search.evaluation.results import FinishedRun


@dataclass(frozen=True, slots=True)
class Moved:
    """The queries that one system changed most."""

    system: str
    gains: Sequence[Mover]
    losses: Sequence[Mover]


@dataclass(frozen=True, slots=True)
class Section:
    """What the page shows about one collection; ``tables``, with notes, are folded away."""

    key: str
    stages: Table
    pictures: Sequence[Picture]
    moved: Sequence[Moved]
    tables: Sequence[tuple[Table, str]]


def html(report: Report, run: FinishedRun) -> str:
    """The page, with texts of the collections: titles, and the queries that moved most.

    Raises MissingDependencyError without matplotlib or jinja2.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError(
            "report.html needs jinja2: run `pip install 'rerank-search[eval]'`"
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rerank_search.evaluation.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html.j2").render(
        report=report,
        protocols=notes.PROTOCOLS,
        statistics=notes.statistics_note(report.statistics),
        sections=list(_sections(report, run)),
        pairs=pairs_table(report),
        pair_pictures=pair_pictures(report.pairs),
        warnings=list(warnings(report)),
    )


def _sections(report: Report, run: FinishedRun) -> Iterator[Section]:
    for number, (key, systems) in enumerate(report.collections().items(), start=1):
        cells = [cell for cell in run.cells if f"{cell.collection}/{cell.split}" == key]
        yield Section(
            key=key,
            stages=stages_table(report, systems),
            pictures=collection_pictures(run, cells, systems, f"c{number}"),
            moved=[Moved(cell.system.name, *movers(run, cell)) for cell in deepest(cells)],
            tables=list(_folded(report, systems)),
        )


def _folded(report: Report, systems: Sequence[SystemReport]) -> Iterator[tuple[Table, str]]:
    for table, note in (
        (measures_table(report, systems), ""),
        (comparisons_table(report, systems), notes.HOLM),
        (sbert_table(systems), notes.SBERT),
        (worth_table(report, systems), ""),
        (cost_table(systems), ""),
    ):
        if table is not None:
            yield table, note
