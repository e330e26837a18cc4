"""Runs an experiment cell by cell, each one once, and writes its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rerank_search.compute import HERE, Compute
from rerank_search.corpora.definition import IndexSettings
from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.cell import evaluate_cell
from rerank_search.evaluation.cell_keys import CellKeys, content_of, content_of_pairs
from rerank_search.evaluation.classification import pair_cell
from rerank_search.evaluation.cost import measure_cost
from rerank_search.evaluation.environment import environment
from rerank_search.evaluation.experiment import Experiment
from rerank_search.evaluation.loading import (
    check_names,
    check_rerankers,
    load_collections,
    qualified_name,
)
from rerank_search.evaluation.measures import Scorer, canonical, cut_too_deep
from rerank_search.evaluation.own_stages import own_stages
from rerank_search.evaluation.report.schema import Report
from rerank_search.evaluation.report.write import write_report
from rerank_search.evaluation.results import (
    Cell,
    FinishedRun,
    PairCell,
    RerankerDeclaration,
    System,
)
from rerank_search.evaluation.stored_cells import is_whole, prepare_output, stored
from rerank_search.judged.collection import JudgedCollection, LabelledPairs, Qrels
from rerank_search.judged.consistency import dangling, identical_ids, inexpressible
from rerank_search.judged.corpus_index import open_corpus_index, open_existing_index
from rerank_search.judged.loading import by_hash
from rerank_search.judged.second_stages import SecondStages, declared_fusion
from rerank_search.judged.settings import RerankerSettings
from rerank_search.progress import Progress, quiet
from rerank_search.retrieval.registry import BUILT_IN, encodes
from rerank_search.settings import Settings

if TYPE_CHECKING:
    from rerank_search.index import Index

PRIMARY = "nDCG@10"


def evaluate(
    experiment: Experiment,
    output: Path,
    *,
    progress: Progress = quiet,
    compute: Compute = HERE,
) -> Report:
    """Run the experiment and write its report into ``output``.

    Cells that an earlier run finished in ``output`` are used again, and so are scores of pairs that
    a model scored in any run. Indexes and scores are stored in ``Settings().cache``. ``compute``
    says where passages are encoded and pairs scored; costs are measured here. Raises
    InvalidInputError, before anything is computed, for an experiment that cannot be evaluated,
    StorageFullError and IndexReadOnlyError if ``output`` cannot be written, and what models and
    indexes raise.
    """
    with ExitStack() as stack:
        run = _Run(experiment, output, progress, compute, stack)
        loaded = load_collections(experiment)
        check_names(loaded)
        check_rerankers(loaded, experiment)
        prepare_output(output)
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
        self,
        experiment: Experiment,
        output: Path,
        progress: Progress,
        compute: Compute,
        stack: ExitStack,
    ) -> None:
        self._experiment = experiment
        self._output = output
        self._progress = progress
        self._stack = stack
        self._cache = Settings().cache
        self._measures = canonical(experiment.measures)
        self._primary = _primary(experiment, self._measures)
        self._keys = CellKeys(experiment, self._measures)
        self._own = {each.name: each for each in own_stages(experiment, stack)}
        self._compute = compute
        self._second = SecondStages(self._cache, compute)
        stack.callback(self._second.close)
        self._indexes: dict[str, Index] = {}
        self._queries: dict[str, dict[str, str]] = {}
        self._qrels: dict[str, Qrels] = {}

    def ranked(self, collection: JudgedCollection, existing: Path | None) -> Iterator[Cell]:
        """The cells of a searched collection, in an existing index or one built for it."""
        experiment = self._experiment
        settings = self._index_settings(collection)
        index, content = self._indexed(collection, existing, settings)
        name = qualified_name(collection)
        self._qrels[name] = collection.qrels
        self._queries[name] = {
            query: text for query, text in collection.queries.items() if query in collection.qrels
        }
        findings = [str(finding) for finding in collection.findings]
        warnings = [] if index is None else dangling(collection, index)
        warnings += identical_ids(collection, index)
        runs: Path | None = self._output / "runs" / collection.name / collection.split
        if problem := inexpressible(collection, index):
            warnings, runs = [*warnings, problem], None
        own = [] if index is None or collection.samples else self._stages(index)
        # An index that exists knows its encoder itself.
        encoder = None if existing is not None else settings.encoder or None
        rerankers = [None, *(experiment.rerankers if index is not None else ())]
        if index is None and experiment.rerankers:
            warnings.append("the collection has no documents, so nothing could be reranked")
        content += content_of(collection)
        without_cosine = experiment.index.encoder and not settings.encoder and existing is None
        for reranker in rerankers:
            fused = (
                [_fused_without(experiment.stage_names)]
                if without_cosine and _takes_cosine(reranker)
                else []
            )
            for stage in (*collection.runs, *own):
                for depth in experiment.candidates:
                    system = System(stage, depth, None if reranker is None else reranker.label)
                    compute = partial(
                        self._cell, collection, index, system, reranker, runs, encoder
                    )
                    if stage in self._own:
                        # Its store may have changed since, so no earlier cell is used again.
                        cell, about = compute(), []
                    else:
                        cell = stored(
                            self._output,
                            self._keys.ranked(content, collection, system, reranker),
                            Cell,
                            compute,
                            partial(is_whole, collection=collection, runs=runs),
                        )
                        about = fused
                    about = [*findings, *cell.warnings, *warnings, *about]
                    about += cut_too_deep(self._measures, depth)
                    yield replace(cell, warnings=about)

    def classified(self, pairs: LabelledPairs) -> Iterator[PairCell]:
        """The cells of labelled pairs."""
        findings = [str(finding) for finding in pairs.findings]
        content = content_of_pairs(pairs)
        for reranker in self._experiment.rerankers:
            key = self._keys.classified(content, reranker)
            cell = stored(self._output, key, PairCell, partial(self._pair_cell, pairs, reranker))
            yield replace(cell, warnings=findings)

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
            sbert_at_k=self._experiment.sbert_at_k,
            rerankers={
                reranker.label: _declaration(reranker) for reranker in self._experiment.rerankers
            },
            query_texts=self._queries,
            qrels=self._qrels,
            titles=self._titles,
        )

    def _index_settings(self, collection: JudgedCollection) -> IndexSettings:
        """The experiment's settings, without an encoder if nothing needs vectors."""
        experiment = self._experiment
        if collection.samples is None:
            encoded = not experiment.first_stages or any(map(encodes, experiment.of_index))
        else:
            encoded = any(map(_takes_cosine, experiment.rerankers))
        # Samples are reranked whole, as in sentence-transformers.
        whole = {} if collection.samples is None else {"passages": False}
        settings = experiment.index if encoded else experiment.index.without_encoder()
        return settings.model_copy(update=whole).with_first_stages(experiment.of_index)

    def _indexed(
        self, collection: JudgedCollection, existing: Path | None, settings: IndexSettings
    ) -> tuple[Index | None, str]:
        if existing is not None:
            index, key = open_existing_index(existing)
            self._indexes[qualified_name(collection)] = self._stack.enter_context(index)
            return index, key
        if collection.documents is None:
            return None, ""
        index, key = open_corpus_index(
            collection.name,
            collection.documents,
            settings,
            self._cache / "indexes",
            self._progress,
            self._compute,
        )
        self._indexes[qualified_name(collection)] = self._stack.enter_context(index)
        return index, key

    def _stages(self, index: Index) -> Sequence[str]:
        """The first stages of the experiment; if it names none, those of the index."""
        return self._experiment.stage_names or index.first_stages

    def _cell(
        self,
        collection: JudgedCollection,
        index: Index | None,
        system: System,
        reranker: RerankerSettings | None,
        runs: Path | None,
        encoder: str | None,
    ) -> Cell:
        second = None if reranker is None else self._second.get(reranker)
        own = self._own.get(system.first_stage)
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
                own=own,
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
                second is not None and second.fusion is not None,
                [collection.queries[query] for query in asked],
                encoder=encoder,
                own=own,
                instruction=None if second is None else second.instruction,
            )
        return replace(cell, cost=cost)

    def _pair_cell(self, pairs: LabelledPairs, settings: RerankerSettings) -> PairCell:
        second = self._second.get(settings)
        second.cache.foresee([pairs.pairs])
        with self._progress(f"{pairs.name} {settings.label}", len(pairs.pairs)) as tick:
            logits = second.cache.scored(pairs.pairs, tick).values
        scores = second.activation(logits).tolist()
        return pair_cell(pairs, settings.label, scores, self._experiment.statistics)

    def _titles(self, collection: str, ids: Sequence[str]) -> list[str]:
        """The title of each document, or the beginning of its text."""
        index = self._indexes.get(collection)
        documents = [None] * len(ids) if index is None else index.documents(ids)
        return [
            "" if document is None else " ".join((document.title or document.text).split())[:160]
            for document in documents
        ]


def _takes_cosine(reranker: RerankerSettings | None) -> bool:
    fusion = None if reranker is None else declared_fusion(reranker)
    return fusion is not None and any(
        stage.encodes and stage.name in fusion.signals for stage in BUILT_IN
    )


def _fused_without(first_stages: Sequence[str]) -> str:
    """The warning that a fusion ignores the cosine."""
    stages = f"first stage{'' if len(first_stages) == 1 else 's'} {', '.join(first_stages)}"
    encoding = " or ".join(stage.name for stage in BUILT_IN if stage.encodes)
    return (
        f"the fusion ignores the cosine, because no vectors are made for the {stages}: add "
        f"{encoding} to first_stages to fuse as an index with vectors does"
    )


def _declaration(reranker: RerankerSettings) -> RerankerDeclaration:
    return RerankerDeclaration(
        Path(reranker.model).name,
        reranker.dtype,
        reranker.max_length,
        reranker.fusion,
        reranker.instruction,
    )


def _primary(experiment: Experiment, measures: Sequence[str]) -> str:
    if not experiment.primary:
        return PRIMARY if PRIMARY in measures else measures[0]
    [primary] = canonical([experiment.primary])
    if primary not in measures:
        raise InvalidInputError(
            f"the primary measure {primary} is not one of the measures {', '.join(measures)}: add "
            "it"
        )
    return primary
