"""The plots of a collection in report.html, and a description of each in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rerank_search.evaluation.report import plots
from rerank_search.evaluation.report.movers import deepest, deltas
from rerank_search.evaluation.report.plots import Line
from rerank_search.evaluation.report.schema import PairReport, SystemReport
from rerank_search.evaluation.results import Cell, FinishedRun, Protocol

# A first stage is muted, a reranker has its colour.
_OF_STAGE: Mapping[Protocol, str] = {"first_stage": ":", "oracle": "-."}
_OF_RERANKER: Mapping[Protocol, str] = {"retrieved": "-", "all_positives": "--"}
_MARKERS = ("o", "s", "^", "D", "v")


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot, its caption, and a description for people who cannot see it.

    A ``wide`` plot has a row of its own.
    """

    svg: str
    caption: str
    words: str
    wide: bool = False


def collection_pictures(
    run: FinishedRun, cells: Sequence[Cell], systems: Sequence[SystemReport], identity: str
) -> list[Picture]:
    """Quality against latency and against depth, and what reranking changed query by query.

    The ids inside the plots begin with ``identity``.
    """
    return [
        *_against_latency(systems, run.primary, f"{identity}-latency"),
        *_against_depth(systems, run.primary, f"{identity}-depth"),
        *_query_by_query(run, cells, f"{identity}-delta"),
    ]


def pair_pictures(pairs: Sequence[PairReport]) -> list[Picture]:
    """The precision-recall curves, one plot for each collection of pairs."""
    curves: dict[str, dict[str, plots.Points]] = {}
    for cell in pairs:
        curves.setdefault(f"{cell.collection}/{cell.split}", {})[cell.reranker] = cell.curve
    return [
        Picture(
            plots.precision_recall_plot(of_collection, f"pairs{number}"),
            f"Precision against recall on {key}",
            f"Curves of {', '.join(of_collection)}.",
        )
        for number, (key, of_collection) in enumerate(curves.items(), start=1)
    ]


def _against_depth(
    systems: Sequence[SystemReport], measure: str, identity: str
) -> Iterator[Picture]:
    for number, stage in enumerate(dict.fromkeys(system.first_stage for system in systems)):
        of_stage = sorted(
            (system for system in systems if system.first_stage == stage),
            key=lambda system: system.candidates,
        )
        if len({system.candidates for system in of_stage}) < 2:
            continue
        lines = list(_depth_lines(of_stage, measure))
        yield Picture(
            plots.depth_plot(lines, measure, f"{identity}{number}"),
            f"{measure} against the number of {stage} candidates",
            "; ".join(
                f"{line.label}: "
                + ", ".join(f"{value:.3f} at {depth:g}" for depth, value in line.points)
                for line in lines
            ),
        )


def _depth_lines(systems: Sequence[SystemReport], measure: str) -> Iterator[Line]:
    """``systems`` have one first stage and are sorted by depth."""
    for protocol, style in _OF_STAGE.items():
        values = {s.candidates: s.protocols[protocol][measure] for s in systems}
        yield Line(protocol.replace("_", " "), list(values.items()), None, style)
    rerankers = dict.fromkeys(s.reranker for s in systems if s.reranker is not None)
    for colour, reranker in enumerate(rerankers):
        having = [system for system in systems if system.reranker == reranker]
        for protocol, style in _OF_RERANKER.items():
            points = [(s.candidates, s.protocols[protocol][measure]) for s in having]
            yield Line(f"{reranker}, {protocol.replace('_', ' ')}", points, colour, style)


def _against_latency(
    systems: Sequence[SystemReport], measure: str, identity: str
) -> Iterator[Picture]:
    series: dict[tuple[str, str | None], dict[int, tuple[float, float]]] = {}
    for system in sorted(systems, key=lambda system: system.candidates):
        if system.cost is not None:
            of_system = series.setdefault((system.first_stage, system.reranker), {})
            of_system[system.candidates] = (
                system.cost.latency_ms["total"]["p50"],
                system.protocols[system.shown][measure],
            )
    if not series:
        return
    yield Picture(
        plots.latency_plot(list(_latency_lines(series)), measure, identity),
        f"{measure} against the time of a search; beside the points: candidates",
        "; ".join(
            f"{_system_name(*of)}: "
            + ", ".join(
                f"{value:.3f} in {time:.0f} ms with {depth}"
                for depth, (time, value) in points.items()
            )
            for of, points in series.items()
        ),
        wide=True,
    )


def _system_name(stage: str, reranker: str | None) -> str:
    return stage if reranker is None else f"{stage} + {reranker}"


def _latency_lines(
    series: Mapping[tuple[str, str | None], Mapping[int, tuple[float, float]]],
) -> Iterator[Line]:
    """A colour for each reranker, a marker for each first stage.

    Only reranked points show their depth: a first stage alone takes as long at any depth.
    """
    rerankers = list(dict.fromkeys(name for _, name in series if name is not None))
    stages = list(dict.fromkeys(stage for stage, _ in series))
    for (stage, reranker), points in series.items():
        yield Line(
            label=_system_name(stage, reranker),
            points=list(points.values()),
            colour=None if reranker is None else rerankers.index(reranker),
            style=":" if reranker is None else "-",
            marker=_MARKERS[stages.index(stage) % len(_MARKERS)],
            names=[] if reranker is None else [f"{depth}" for depth in points],
        )


def _query_by_query(run: FinishedRun, cells: Sequence[Cell], identity: str) -> Iterator[Picture]:
    for number, cell in enumerate(deepest(cells)):
        changes = deltas(run, cell)
        up, down = sum(change > 0 for change in changes), sum(change < 0 for change in changes)
        yield Picture(
            plots.delta_plot(changes, run.primary, f"{identity}{number}"),
            f"{cell.system.name} minus its first stage, query by query",
            f"{up:,} queries gained, {down:,} lost, {len(changes) - up - down:,} stayed as they "
            "were.",
        )
