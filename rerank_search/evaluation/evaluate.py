"""Runs an experiment cell by cell, each of them once, and writes its report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from pydantic import TypeAdapter, ValidationError

from rerank_search import __version__
from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.cell import evaluate_cell
from rerank_search.evaluation.classification import classification_values, precision_recall_curve
from rerank_search.evaluation.collection import Collection, LabelledPairs
from rerank_search.evaluation.consistency import dangling, inexpressible
from rerank_search.evaluation.corpus_index import open_corpus_index, open_existing_index
from rerank_search.evaluation.cost import measure_cost
from rerank_search.evaluation.environment import environment
from rerank_search.evaluation.experiment import Experiment, RerankerSettings
from rerank_search.evaluation.loading import by_hash, load_collection
from rerank_search.evaluation.measures import Scorer, canonical
from rerank_search.evaluation.report.schema import Report
from rerank_search.evaluation.report.write import write_report
from rerank_search.evaluation.results import Cell, FinishedRun, PairCell, System
from rerank_search.evaluation.second_stages import SecondStages, identity
from rerank_search.files import atomic_write_bytes
from rerank_search.settings import Settings

if TYPE_CHECKING:
    from rerank_search.index import Index

Progress: TypeAlias = Callable[[str, float], AbstractContextManager[Callable[[float], None]]]
"""Opens a bar for something of so many steps (0: unknown), and gives what counts them."""

Result = TypeVar("Result", Cell, PairCell)

PRIMARY = "nDCG@10"


@contextmanager
def quiet(_description: str, _total: float) -> Iterator[Callable[[float], None]]:
    """No progress is shown."""
    yield lambda _: None


def evaluate(experiment: Experiment, output: Path, *, progress: Progress = quiet) -> Report:
    """Run the experiment and write its report into ``output``.

    Cells that a run before this one has finished in ``output`` are taken from there; pairs that
    a model has scored before, in whatever run, are not scored again. Indexes and scores are kept
    in ``Settings().cache``. Raises InvalidInputError for what cannot be evaluated, before
    anything is computed of it, and what models and indexes raise.
    """
    with ExitStack() as stack:
        run = _Run(experiment, output, progress, stack)
        loaded = [load_collection(settings) for settings in experiment.collections]
        _check_names(loaded)
        cells: list[Cell] = []
        pair_cells: list[PairCell] = []
        for collection, settings in zip(loaded, experiment.collections, strict=True):
            if isinstance(collection, LabelledPairs):
                pair_cells += run.classified(collection)
            else:
                cells += run.ranked(collection, settings.index)
        return write_report(output, run.finished(cells, pair_cells))


class _Run:
    """An experiment while it runs."""

    def __init__(
        self, experiment: Experiment, output: Path, progress: Progress, stack: ExitStack
    ) -> None:
        self._experiment = experiment
        self._output = output
        self._progress = progress
        self._stack = stack
        self._cache = Settings().cache
        self._measures = canonical(experiment.measures)
        self._primary = _primary(experiment, self._measures)
        for reranker in experiment.rerankers:
            identity(reranker)  # a model that is missing is missed now, not after hours
        self._second = SecondStages(self._cache)
        stack.callback(self._second.close)
        self._indexes: dict[str, Index] = {}
        self._queries: dict[str, dict[str, str]] = {}

    def ranked(self, collection: Collection, existing: Path | None) -> Iterator[Cell]:
        """The cells of a collection to be searched, in an index that exists or in its own."""
        experiment = self._experiment
        index, content = self._indexed(collection, existing)
        name = _name(collection)
        self._queries[name] = {
            query: text for query, text in collection.queries.items() if query in collection.qrels
        }
        warnings = [] if index is None else dangling(collection, index)
        runs: Path | None = self._output / "runs" / f"{collection.name}-{collection.split}"
        if problem := inexpressible(collection, index):
            warnings, runs = [*warnings, problem], None
        own = [] if index is None or collection.samples else self._stages(index)
        rerankers = [None, *(experiment.rerankers if index is not None else ())]
        if index is None and experiment.rerankers:
            warnings.append("there are no documents, so that nothing could be reranked")
        content += _digest(
            name,
            [str(finding) for finding in collection.findings],
            [astuple(sample) for sample in collection.samples()] if collection.samples else None,
            collection.queries,
            collection.qrels,
            collection.relevant_from,
            _sorted(collection),
        )
        for reranker in rerankers:
            for stage in (*collection.runs, *own):
                for depth in experiment.candidates:
                    system = System(stage, depth, None if reranker is None else reranker.label)
                    cell = self._stored(
                        self._key(content, collection, system, reranker),
                        Cell,
                        partial(self._cell, collection, index, system, reranker, runs),
                    )
                    yield replace(cell, warnings=[*cell.warnings, *warnings])

    def classified(self, pairs: LabelledPairs) -> Iterator[PairCell]:
        """The cells of labelled pairs."""
        if not self._experiment.rerankers:
            raise InvalidInputError(
                f"{pairs.name} has labelled pairs, which only a reranker can classify: name one"
            )
        content = _digest(_name(pairs), pairs.pairs, pairs.labels)
        for reranker in self._experiment.rerankers:
            key = _digest(__version__, content, reranker.label, identity(reranker))
            yield self._stored(key, PairCell, partial(self._pair_cell, pairs, reranker))

    def finished(self, cells: Sequence[Cell], pair_cells: Sequence[PairCell]) -> FinishedRun:
        """Everything for the report."""
        return FinishedRun(
            name=self._experiment.name,
            cells=cells,
            pair_cells=pair_cells,
            measures=self._measures,
            primary=self._primary,
            statistics=self._experiment.statistics,
            environment=environment(
                f"{reranker.label} ({reranker.model}, {reranker.dtype})"
                for reranker in self._experiment.rerankers
            ),
            query_texts=self._queries,
            titles=self._titles,
        )

    def _indexed(self, collection: Collection, existing: Path | None) -> tuple[Index | None, str]:
        if existing is not None:
            index, key = open_existing_index(existing)
            self._indexes[_name(collection)] = self._stack.enter_context(index)
            return index, key
        if collection.documents is None:
            return None, ""
        settings = self._experiment.index
        if collection.samples is not None:
            # What was given is what is reranked: whole, as sentence-transformers does.
            settings = settings.model_copy(update={"passages": False})
        with self._progress(f"indexing {collection.name}", 0) as tick:
            index, key = open_corpus_index(
                collection.name,
                collection.documents,
                settings,
                self._cache / "indexes",
                tick,
            )
        self._indexes[_name(collection)] = self._stack.enter_context(index)
        return index, key

    def _stages(self, index: Index) -> Sequence[str]:
        """Those of the experiment; where it names none, those of the index."""
        return self._experiment.first_stages or index.first_stages

    def _key(
        self,
        content: str,
        collection: Collection,
        system: System,
        reranker: RerankerSettings | None,
    ) -> str:
        experiment = self._experiment
        return _digest(
            __version__,
            content,
            collection.runs.get(system.first_stage),
            system.name,
            None if reranker is None else identity(reranker),
            self._measures,
            experiment.sbert_at_k,
            experiment.cost_queries,
        )

    def _stored(self, key: str, kind: type[Result], compute: Callable[[], Result]) -> Result:
        """The result in the file of that key, or computed now and kept there."""
        adapter = TypeAdapter(kind)
        path = self._output / "cells" / f"{key}.json"
        if path.exists():
            try:
                return adapter.validate_json(path.read_bytes())
            except ValidationError:
                path.unlink()  # written by another version, or damaged: computed again
        result = compute()
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(path, adapter.dump_json(result))
        return result

    def _cell(
        self,
        collection: Collection,
        index: Index | None,
        system: System,
        reranker: RerankerSettings | None,
        runs: Path | None,
    ) -> Cell:
        second = None if reranker is None else self._second.get(reranker)
        with self._progress(f"{collection.name} {system.name}", len(collection.qrels)) as tick:
            cell = evaluate_cell(
                collection,
                index,
                system,
                second,
                scorer=Scorer(
                    collection.qrels, self._measures, relevant_from=collection.relevant_from
                ),
                sbert_at_k=self._experiment.sbert_at_k,
                runs=runs,
                progress=tick,
            )
        asked = by_hash(collection.qrels.keys() & collection.queries.keys())
        asked = asked[: self._experiment.cost_queries]
        if not asked or index is None or system.first_stage in collection.runs:
            return cell
        with self._progress(f"{collection.name} {system.name}: cost", 0):
            cost = measure_cost(
                index,
                system,
                None if second is None else second.reranker,
                None if second is None else second.fusion,
                [collection.queries[query] for query in asked],
            )
        return replace(cell, cost=cost)

    def _pair_cell(self, pairs: LabelledPairs, settings: RerankerSettings) -> PairCell:
        second = self._second.get(settings)
        with self._progress(f"{pairs.name} {settings.label}", len(pairs.pairs)) as tick:
            logits = second.cache.scored(pairs.pairs, tick).values
        scores = second.activation(logits).tolist()
        return PairCell(
            collection=pairs.name,
            split=pairs.split,
            reranker=settings.label,
            n_pairs=len(pairs.labels),
            n_positive=sum(pairs.labels),
            values=classification_values(pairs.labels, scores),
            curve=precision_recall_curve(pairs.labels, scores),
            warnings=[str(finding) for finding in pairs.findings],
        )

    def _titles(self, collection: str, ids: Sequence[str]) -> list[str]:
        """The title of each document, or the beginning of its text."""
        index = self._indexes.get(collection)
        documents = [None] * len(ids) if index is None else index.documents(ids)
        return [
            "" if document is None else " ".join((document.title or document.text).split())[:160]
            for document in documents
        ]


def _name(collection: Collection | LabelledPairs) -> str:
    return f"{collection.name}/{collection.split}"


def _check_names(collections: Sequence[Collection | LabelledPairs]) -> None:
    names = [_name(collection) for collection in collections]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInputError(
                f"two collections are called {name}: give one of them another name"
            )


def _primary(experiment: Experiment, measures: Sequence[str]) -> str:
    if not experiment.primary:
        return PRIMARY if PRIMARY in measures else measures[0]
    [primary] = canonical([experiment.primary])
    if primary not in measures:
        raise InvalidInputError(
            f"the primary measure {primary} is none of the measures {', '.join(measures)}: add it"
        )
    return primary


def _sorted(collection: Collection) -> dict[str, list[str]]:
    return {query: sorted(documents) for query, documents in collection.excluded.items()}


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
