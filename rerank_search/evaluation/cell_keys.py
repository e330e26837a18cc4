"""What the result of a cell depends on, as a key: a cell with a known key is not computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from rerank_search import __version__
from rerank_search.evaluation.experiment import Experiment
from rerank_search.evaluation.loading import qualified_name
from rerank_search.evaluation.results import System
from rerank_search.evaluation.stored_cells import digest
from rerank_search.judged.collection import JudgedCollection, LabelledPairs
from rerank_search.judged.second_stages import device, identity
from rerank_search.judged.settings import RerankerSettings
from rerank_search.retrieval.registry import exact_versions
from rerank_search.vectors import EncodedQuery


class CellKeys:
    """The keys of an experiment's cells. Raises what a missing reranker raises."""

    def __init__(self, experiment: Experiment, measures: Sequence[str]) -> None:
        self._experiment = experiment
        self._measures = measures
        # Computed once, because it reads all weights. A missing model is reported now, not after
        # hours.
        self._identities: dict[RerankerSettings, list[str | None]] = {
            reranker: identity(reranker) for reranker in experiment.rerankers
        }

    def ranked(
        self,
        content: str,
        collection: JudgedCollection,
        system: System,
        reranker: RerankerSettings | None,
    ) -> str:
        """The key of a ranking; ``content`` tells the documents and the judgements apart."""
        experiment = self._experiment
        return digest(
            __version__,
            content,
            collection.runs.get(system.first_stage),
            system.name,
            None if reranker is None else self._identities[reranker],
            self._measures,
            experiment.sbert_at_k,
            experiment.cost_queries,
            device(reranker) if reranker is not None and experiment.cost_queries else None,
            *exact_versions([system.first_stage]).values(),
        )

    def classified(self, content: str, reranker: RerankerSettings) -> str:
        """The key of a classification of labelled pairs with this content."""
        return digest(
            __version__,
            content,
            reranker.label,
            self._identities[reranker],
            self._experiment.statistics.model_dump(mode="json"),
        )


def content_of_pairs(pairs: LabelledPairs) -> str:
    """A digest of labelled pairs."""
    return digest(qualified_name(pairs), pairs.pairs, pairs.labels)


def content_of(collection: JudgedCollection) -> str:
    """A digest of the queries and judgements, without the documents."""
    samples = collection.samples
    return digest(
        qualified_name(collection),
        None if samples is None else [astuple(sample) for sample in samples()],
        collection.queries,
        *_vectors_of(collection),
        collection.qrels,
        collection.relevant_from,
        {query: sorted(documents) for query, documents in collection.excluded.items()},
        *(["ignore_identical_ids"] if collection.ignore_identical_ids else []),
    )


def _vectors_of(collection: JudgedCollection) -> list[dict[str, tuple[float, ...]]]:
    """The vectors of queries that bring their own, if any do."""
    found = {
        query: text.vector
        for query, text in collection.queries.items()
        if isinstance(text, EncodedQuery)
    }
    return [found] if found else []
