"""The protocol ``sbert``: which texts and scores go into sentence-transformers' figures.

They are the reranker's own scores, with activation and without fusion, as in model cards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from rerank_search.evaluation.sbert import sbert_negative_values, sbert_values
from rerank_search.judged.candidates import QUERIES_AT_ONCE, Candidates
from rerank_search.judged.collection import JudgedCollection, Sample
from rerank_search.judged.second_stages import Activation, SecondStage
from rerank_search.reranking.hit_text import passage

Values = dict[str, dict[str, float]]
"""Query id to measure to value."""


def of_candidates(
    collection: JudgedCollection,
    chunk: Sequence[Candidates],
    logits: Sequence[Mapping[str, float]],
    activation: Activation,
    *,
    at_k: int,
) -> Values:
    """The figures of retrieved candidates: each query with its positives is a sample.

    ``logits`` has one mapping by document id for each query. Positives that are not in the corpus
    have no text and are left out.
    """
    values: Values = {}
    for candidates, of_query in zip(chunk, logits, strict=True):
        grades = collection.qrels[candidates.query]
        hits = [*candidates.retrieved, *candidates.missed]
        texts = {hit.id: passage(hit) for hit in hits}
        raw = np.array([of_query[hit.id] for hit in hits], dtype=np.float32)
        values[candidates.query] = sbert_values(
            [
                texts[id]
                for id, grade in grades.items()
                if grade >= collection.relevant_from and id in texts
            ],
            [texts[hit.id] for hit in candidates.retrieved],
            dict(zip(texts.values(), activation(raw).tolist(), strict=True)),
            at_k=at_k,
        )
    return values


def of_samples(collection: JudgedCollection, second: SecondStage, *, at_k: int) -> Iterator[Values]:
    """The figures of samples as in their file, with repeated texts; in chunks.

    If any sample has negatives instead of ranked documents, none has a base.
    """
    if collection.samples is None:
        return
    ranked = all(sample.kind == "documents" for sample in collection.samples())
    for chunk in _judged(collection):
        scores = iter(second.activation(second.cache.scored(_pairs(chunk)).values).tolist())
        yield {
            str(sample.line): _of_sample(
                sample,
                {text: next(scores) for text in _texts(sample)},
                ranked=ranked,
                at_k=at_k,
            )
            for sample in chunk
        }


def sample_pairs(collection: JudgedCollection) -> Iterator[list[tuple[str, str]]]:
    """The pairs that ``of_samples`` has scored, in its order."""
    return map(_pairs, _judged(collection))


def _judged(collection: JudgedCollection) -> Iterator[list[Sample]]:
    """The judged samples, in chunks."""
    if collection.samples is None:
        return
    wanted = (sample for sample in collection.samples() if str(sample.line) in collection.qrels)
    while chunk := list(islice(wanted, QUERIES_AT_ONCE)):
        yield chunk


def _pairs(chunk: Sequence[Sample]) -> list[tuple[str, str]]:
    return [(sample.query, text) for sample in chunk for text in _texts(sample)]


def _texts(sample: Sample) -> list[str]:
    """The texts of a sample, each once."""
    return list(dict.fromkeys((*sample.positive, *sample.given)))


def _of_sample(
    sample: Sample, scores: Mapping[str, float], *, ranked: bool, at_k: int
) -> dict[str, float]:
    if ranked:
        return sbert_values(sample.positive, sample.given, scores, at_k=at_k)
    given = sample.given
    if sample.kind == "documents":
        given = [text for text in given if text not in sample.positive]
    return sbert_negative_values(sample.positive, given, scores, at_k=at_k)
