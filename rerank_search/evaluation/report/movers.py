"""The queries that reranking helped and hurt most, with their first results before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rerank_search.evaluation.results import Cell, FinishedRun

SHOWN = 5
RESULTS = 3


@dataclass(frozen=True, slots=True)
class Result:
    """A document of a ranking, and one line that describes it.

    ``grade`` is None if it was not judged.
    """

    id: str
    title: str
    grade: int | None
    relevant: bool


@dataclass(frozen=True, slots=True)
class Mover:
    """One query: its value before and after, and the first results of both rankings."""

    query: str
    text: str
    before: float
    after: float
    results_before: Sequence[Result]
    results_after: Sequence[Result]

    @property
    def change(self) -> float:
        """After - before."""
        return self.after - self.before


def movers(run: FinishedRun, cell: Cell) -> tuple[list[Mover], list[Mover]]:
    """The queries of a reranked cell that gained most, and those that lost most, worst first.

    The primary measure of ``retrieved`` is compared with that of ``first_stage``; a query without a
    change is in neither list.
    """
    changes = deltas(run, cell)
    order = sorted(range(len(changes)), key=lambda number: (changes[number], cell.queries[number]))
    losses = [number for number in order[:SHOWN] if changes[number] < 0]
    gains = [number for number in reversed(order[-SHOWN:]) if changes[number] > 0]
    return [_mover(run, cell, n) for n in gains], [_mover(run, cell, n) for n in losses]


def deepest(cells: Sequence[Cell]) -> list[Cell]:
    """The cell with the most candidates of each first stage and reranker."""
    found: dict[tuple[str, str], Cell] = {}
    for cell in sorted(cells, key=lambda cell: cell.system.candidates):
        if cell.system.reranker is not None:
            found[cell.system.first_stage, cell.system.reranker] = cell
    return list(found.values())


def deltas(run: FinishedRun, cell: Cell) -> list[float]:
    """What reranking changed in the primary measure, for each query of a reranked cell."""
    before, after = cell.values["first_stage"][run.primary], cell.values["retrieved"][run.primary]
    return [ours - theirs for ours, theirs in zip(after, before, strict=True)]


def _mover(run: FinishedRun, cell: Cell, number: int) -> Mover:
    key = f"{cell.collection}/{cell.split}"
    query = cell.queries[number]
    return Mover(
        query=query,
        text=run.query_texts.get(key, {}).get(query, ""),
        before=cell.values["first_stage"][run.primary][number],
        after=cell.values["retrieved"][run.primary][number],
        results_before=_results(run, cell, query, cell.top["first_stage"][number]),
        results_after=_results(run, cell, query, cell.top["retrieved"][number]),
    )


def _results(run: FinishedRun, cell: Cell, query: str, ids: Sequence[str]) -> list[Result]:
    key = f"{cell.collection}/{cell.split}"
    grades = run.qrels.get(key, {}).get(query, {})
    shown = ids[:RESULTS]
    return [
        Result(id, title, grades.get(id), grades.get(id, 0) >= cell.relevant_from)
        for id, title in zip(shown, run.titles(key, shown), strict=True)
    ]
