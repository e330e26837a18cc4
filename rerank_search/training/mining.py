"""Candidates for training: relevant documents, hard negatives, and a teacher's opinion of each."""

from __future__ import annotations

import functools
import hashlib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import MissingDependencyError
from rerank_search.training.collection import Collection, load_collection
from rerank_search.training.recipe import Negatives, SoftLabels, Source

_SENTENCE = re.compile(r"(?<=[.!?])\s+")


class Lists(TypedDict):
    """Columns of equal length: a query, its documents, and a label for each of these."""

    query: list[str]
    documents: list[list[str]]
    labels: list[list[float]]


@dataclass(frozen=True, slots=True)
class Question:
    """A query text and the positions of its relevant documents in the collection.

    A made-up query was cut out of its one relevant document, which reads ``remainder`` without it.
    """

    text: str
    relevant: frozenset[int]
    remainder: str | None = None


def mine(
    source: Source, negatives: Negatives, soft_labels: SoftLabels | None, *, seed: int, cache: Path
) -> Lists:
    """One list for each query of the source: a relevant document first, then the negatives.

    Negatives are drawn at random, by seed, from the union of the two first stages' best, never
    from documents judged relevant. Labels are 1 and 0, or the teacher's logits.
    """
    collection = load_collection(source.collection, source.split)
    texts = list(collection.documents.values())
    rng = random.Random(f"{seed}:{collection.name}")
    questions = _judged(collection, source.queries, rng) + _made_up(texts, source.made_up, rng)
    features = Features(texts, negatives.encoder, cache)
    lists: Lists = {"query": [], "documents": [], "labels": []}
    for start in range(0, len(questions), 256):
        chunk = questions[start : start + 256]
        bm25, cosine = features.scores([question.text for question in chunk])
        for question, lexical, dense in zip(chunk, bm25, cosine, strict=True):
            chosen = _draw(question, lexical, dense, negatives, rng)
            lists["query"].append(question.text)
            lists["documents"].append(
                [
                    question.remainder
                    if i in question.relevant and question.remainder
                    else texts[i]
                    for i in chosen
                ]
            )
            gold = [float(i in question.relevant) for i in chosen]
            if soft_labels is not None:
                gold = [
                    soft_labels.cosine * float(dense[i])
                    + soft_labels.bm25 * float(lexical[i])
                    + soft_labels.gold * label
                    for i, label in zip(chosen, gold, strict=True)
                ]
            lists["labels"].append(gold)
    return lists


def _judged(collection: Collection, count: int | None, rng: random.Random) -> list[Question]:
    position = {document: i for i, document in enumerate(collection.documents)}
    questions = [
        Question(
            collection.queries[query],
            frozenset(position[d] for d, grade in judged.items() if grade > 0),
        )
        for query, judged in collection.qrels.items()
        if any(grade > 0 for grade in judged.values())
    ]
    return questions if count is None or count >= len(questions) else rng.sample(questions, count)


def _made_up(texts: Sequence[str], count: int, rng: random.Random) -> list[Question]:
    questions: list[Question] = []
    for i in rng.sample(range(len(texts)), len(texts)):
        if len(questions) == count:
            break
        sentences = _SENTENCE.split(texts[i])
        usable = [s for s in sentences if 5 <= len(s.split()) <= 30]
        if len(sentences) < 3 or not usable:
            continue
        query = rng.choice(usable)
        remainder = texts[i].replace(query, " ", 1)
        questions.append(Question(query.rstrip(".!"), frozenset([i]), remainder))
    return questions


def _draw(
    question: Question,
    bm25: NDArray[np.float32],
    cosine: NDArray[np.float32],
    negatives: Negatives,
    rng: random.Random,
) -> list[int]:
    pool: set[int] = set()
    for scores in (bm25, cosine):
        depth = min(negatives.depth + len(question.relevant), len(scores))
        pool.update(np.argpartition(-scores, depth - 1)[:depth].tolist())
    hard = sorted(pool - question.relevant)
    chosen = rng.sample(hard, min(negatives.per_query - negatives.random, len(hard)))
    everything = len(cosine)
    for _ in range(negatives.random):
        i = rng.randrange(everything)
        if i not in question.relevant and i not in chosen:
            chosen.append(i)
    return [rng.choice(sorted(question.relevant)), *chosen]


class Features:
    """BM25 and cosine of queries against all documents of one collection."""

    def __init__(self, texts: Sequence[str], encoder: str, cache: Path) -> None:
        try:
            import bm25s
        except ImportError:
            raise MissingDependencyError(
                "mining needs bm25s: pip install 'rerank-search[bm25s,train]'"
            ) from None
        self._tokenize: Callable[..., Any] = functools.partial(
            bm25s.tokenize, stopwords="en", return_ids=False, show_progress=False
        )
        self._bm25 = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
        self._bm25.index(self._tokenize(list(texts)), show_progress=False)
        self._encoder, self._cache = encoder, cache
        self._vectors = encode(texts, encoder, cache)

    def scores(
        self, queries: Sequence[str]
    ) -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
        """BM25 and cosine, each of shape (queries, documents), float32."""
        bm25 = [
            np.asarray(self._bm25.get_scores(terms), dtype=np.float32)
            if terms
            else np.zeros(len(self._vectors), dtype=np.float32)
            for terms in self._tokenize(list(queries))
        ]
        return bm25, encode(queries, self._encoder, None) @ self._vectors.T


def encode(texts: Sequence[str], encoder: str, cache: Path | None) -> NDArray[np.float32]:
    """Normalised vectors, shape (n, dimension), float32; kept in ``cache`` by content."""
    digest = hashlib.sha256("\0".join([encoder, *texts]).encode("utf-8", "surrogatepass"))
    path = cache / f"vectors-{digest.hexdigest()[:32]}.npy" if cache else None
    if path is not None and path.exists():
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
    import torch
    from sentence_transformers import SentenceTransformer

    from rerank_search.models.registry import resolve_encoder

    model = SentenceTransformer(str(resolve_encoder(encoder)))
    with torch.autocast(model.device.type, dtype=torch.bfloat16):
        vectors = model.encode(
            list(texts),
            batch_size=32,
            normalize_embeddings=True,
            show_progress_bar=False,
        ).astype(np.float32)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp.npy")
        np.save(temporary, vectors)
        temporary.replace(path)
    return np.asarray(vectors)
