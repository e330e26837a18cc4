"""One cell of an experiment: one system on all queries of one collection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rerank_search.evaluation.measures import Scorer
from rerank_search.evaluation.protocols import Ranking, first_stage_rankings, reranked_rankings
from rerank_search.evaluation.results import Cell, Protocol, System
from rerank_search.evaluation.sbert_protocol import of_candidates, of_samples, sample_pairs
from rerank_search.files import atomic_file, make_folder, sha256
from rerank_search.index import Index
from rerank_search.judged.candidates import QUERIES_AT_ONCE, Candidates, CandidateSource
from rerank_search.judged.collection import JudgedCollection
from rerank_search.judged.findings import Finding
from rerank_search.judged.formats.runs import run_lines
from rerank_search.judged.own_stage import OwnStage
from rerank_search.judged.second_stages import SecondStage
from rerank_search.progress import fractions
from rerank_search.reranking.final_score import FinalScore
from rerank_search.reranking.hit_text import passage
from rerank_search.searchable import fused_stages

TOP = 10
"""Number of ids of each ranking kept for the lists of queries."""

RUN_PROTOCOLS: tuple[Protocol, ...] = ("first_stage", "retrieved", "all_positives")


def evaluate_cell(
    collection: JudgedCollection,
    index: Index | None,
    system: System,
    second: SecondStage | None,
    *,
    scorer: Scorer,
    sbert_at_k: int,
    runs: Path | None,
    own: OwnStage | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> Cell:
    """The system's figures for every judged query; its rankings are written into ``runs``.

    ``own`` is the system's first stage if it is neither one of the index nor a run.

    ``progress`` is called with numbers of finished queries, also fractions, which add up to all of
    them. Queries are streamed: only their figures and first results are kept. Raises RerankError
    and what the index raises.
    """
    source = CandidateSource(
        collection,
        index,
        system.first_stage,
        system.candidates,
        reranked=second is not None,
        with_scores=second is not None and second.fusion is not None,
        own=own,
    )
    final_score = None
    if second is not None:
        # Without an index nothing is retrieved, so nothing is fused.
        searched = index if own is None else own.searched
        fusion, stages = (None, ()) if searched is None else (second.fusion, fused_stages(searched))
        final_score = FinalScore(fusion, stages)
    queries = list(collection.qrels)
    figures = _Figures()
    if second is not None:
        second.cache.foresee(_pairs(collection, chunk) for chunk in _chunks(source, queries))
        if collection.samples is not None:
            second.cache.foresee(sample_pairs(collection))
    with _run_files(runs, system) as write:
        for chunk in _chunks(source, queries):
            logits = _logits(second, collection, chunk, progress)
            rankings = _rankings(collection, chunk, final_score, logits)
            for protocol, of_query in rankings.items():
                figures.add(protocol, scorer.score(_ids(of_query)))
                write(protocol, of_query)
            figures.keep_top(rankings)
            figures.unknown += [(one.query, id) for one in chunk for id in one.unknown]
            if second is not None and logits is not None and collection.samples is None:
                activated = second.activation
                figures.add(
                    "sbert", of_candidates(collection, chunk, logits, activated, at_k=sbert_at_k)
                )
    if second is not None and collection.samples is not None:
        for values in of_samples(collection, second, at_k=sbert_at_k):
            figures.add("sbert", values)
    return Cell(
        collection=collection.name,
        split=collection.split,
        system=system,
        queries=list(collection.qrels),
        values=figures.values,
        top=figures.top,
        warnings=_unknown(figures.unknown, collection, system.first_stage, own=own is not None),
        cost=None,
        relevant_from=collection.relevant_from,
        run_files={} if runs is None else run_files(runs, system),
        ignore_identical_ids=collection.ignore_identical_ids,
    )


def run_files(folder: Path, system: System) -> dict[Protocol, str]:
    """The sha256 of each run file of the system that is in ``folder``, by protocol."""
    return {
        protocol: sha256(path)
        for protocol, path in _paths(folder, system).items()
        if path.is_file()
    }


def _paths(folder: Path, system: System) -> dict[Protocol, Path]:
    wanted = RUN_PROTOCOLS[:1] if system.reranker is None else RUN_PROTOCOLS[1:]
    name = system.name.replace(":", ".")  # of an import path; not all file names can have a colon
    return {protocol: folder / f"{name}.{protocol}.trec" for protocol in wanted}


def _chunks(source: CandidateSource, queries: Sequence[str]) -> Iterator[list[Candidates]]:
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        yield list(source.candidates(queries[start : start + QUERIES_AT_ONCE]))


class _Figures:
    """Figures of the queries so far, in the order of the queries."""

    def __init__(self) -> None:
        self.values: dict[Protocol, dict[str, list[float]]] = {}
        self.top: dict[Protocol, list[list[str]]] = {}
        self.unknown: list[tuple[str, str]] = []

    def add(self, protocol: Protocol, found: Mapping[str, Mapping[str, float]]) -> None:
        for of_query in found.values():
            for measure, value in of_query.items():
                self.values.setdefault(protocol, {}).setdefault(measure, []).append(value)

    def keep_top(self, rankings: Mapping[Protocol, Mapping[str, Ranking]]) -> None:
        for protocol in ("first_stage", "retrieved"):
            for ranking in rankings.get(protocol, {}).values():
                self.top.setdefault(protocol, []).append([id for id, _ in ranking[:TOP]])


def _unknown(
    results: Sequence[tuple[str, str]],
    collection: JudgedCollection,
    first_stage: str,
    *,
    own: bool,
) -> list[str]:
    """The results of a first stage that are not in the corpus, as at most one warning."""
    if not results:
        return []
    query, id = results[0]
    place = f"query {query!r}" if own else collection.located_in_run(first_stage, query, id)
    first = f"{place}: document {id!r}"
    whose = first_stage if own else "the run"
    what = f"results of {whose} are not in the corpus, and were left out"
    return [str(Finding(what, len(results), first))]


def _rankings(
    collection: JudgedCollection,
    chunk: Sequence[Candidates],
    final_score: FinalScore | None,
    logits: Sequence[Mapping[str, float]] | None,
) -> dict[Protocol, dict[str, Ranking]]:
    """Protocol to query to ranking."""
    rankings: dict[Protocol, dict[str, Ranking]] = {}
    for place, candidates in enumerate(chunk):
        grades = collection.qrels[candidates.query]
        found = first_stage_rankings(candidates, grades)
        if final_score is not None and logits is not None:
            found |= reranked_rankings(candidates, logits[place], final_score)
        for protocol, ranking in found.items():
            rankings.setdefault(protocol, {})[candidates.query] = ranking
    return rankings


def _ids(rankings: Mapping[str, Ranking]) -> dict[str, list[str]]:
    return {query: [id for id, _ in ranking] for query, ranking in rankings.items()}


def _logits(
    second: SecondStage | None,
    collection: JudgedCollection,
    chunk: Sequence[Candidates],
    progress: Callable[[float], None],
) -> list[dict[str, float]] | None:
    """The logits of each query's candidates by document id; None without a reranker."""
    if second is None:
        progress(len(chunk))
        return None
    hits = [[*candidates.retrieved, *candidates.missed] for candidates in chunk]
    pairs = _pairs(collection, chunk)
    tick = fractions(progress, len(chunk), len(pairs))
    values = iter(second.cache.scored(pairs, tick).values.tolist())
    return [{hit.id: next(values) for hit in of_query} for of_query in hits]


def _pairs(collection: JudgedCollection, chunk: Sequence[Candidates]) -> list[tuple[str, str]]:
    """The pairs that a reranker scores: each query's candidates, then its missed documents."""
    return [
        (collection.queries[candidates.query], passage(hit))
        for candidates in chunk
        for hit in (*candidates.retrieved, *candidates.missed)
    ]


@contextmanager
def _run_files(
    folder: Path | None, system: System
) -> Iterator[Callable[[Protocol, Mapping[str, Ranking]], None]]:
    """Write rankings as they come; the files appear when all of them are complete."""
    if folder is None:
        yield lambda _protocol, _rankings: None
        return
    make_folder(folder)
    with ExitStack() as stack:
        files = {}
        for protocol, path in _paths(folder, system).items():
            temporary = stack.enter_context(atomic_file(path))
            files[protocol] = stack.enter_context(temporary.open("w", encoding="utf-8"))

        def write(protocol: Protocol, rankings: Mapping[str, Ranking]) -> None:
            if protocol in files:
                for query, ranking in rankings.items():
                    files[protocol].writelines(run_lines(query, ranking, system.name))

        yield write
