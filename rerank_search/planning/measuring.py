"""Measures the costs of this machine, with real models and indexes of made-up texts."""

from __future__ import annotations

import datetime
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

import numpy as np

from rerank_search.built_in_stages import BM25
from rerank_search.errors import InvalidInputError
from rerank_search.evaluation.cost import peak_memory
from rerank_search.evaluation.environment import environment
from rerank_search.index import Index
from rerank_search.index.passage_length import TOKENS_WITHOUT_WINDOW, passages_window
from rerank_search.models.registry import AUTO
from rerank_search.models.threads import available_cores
from rerank_search.planning.made_texts import MadeTexts
from rerank_search.planning.profile import (
    EncoderCosts,
    Machine,
    Profile,
    RerankerCosts,
    TextCosts,
    Timed,
    VectorCosts,
)
from rerank_search.retrieval.base import Passage
from rerank_search.retrieval.dense import VectorIndex
from rerank_search.retrieval.given_vectors import GivenVectors
from rerank_search.types import Document, VectorDtype

if TYPE_CHECKING:
    from rerank_search.models.backends.kinds import Dtype
    from rerank_search.reranking.cross_encoder import CrossEncoderReranker
    from rerank_search.retrieval.encoder import Encoder

RERANKERS = ("rerank-search-base", "rerank-search-tiny")
"""Rerankers that are measured if none is named."""

DEPTH = 100
"""Number of candidates that the measured searches fetch."""

UNKNOWN_MEMORY = 10**9
"""Bytes of memory taken for a process where the system does not tell its own."""

SPECIAL_TOKENS = 2
"""Tokens that an encoder adds to a text."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is measured; the defaults take about a minute on two cores."""

    documents: tuple[int, int] = (5_000, 40_000)
    """Documents of the two indexes that BM25 searches."""
    words: int = 60
    """Words of one of their documents, in the mean."""
    exact: tuple[int, int] = (16_000, 64_000)
    """Vectors of the two indexes whose searches read all of them."""
    graph: tuple[int, int] = (4_000, 16_000)
    """Vectors of the two indexes with a graph."""
    searches: int = 100
    texts: tuple[int, int] = (8, 32)
    """Texts of two calls of the encoder."""
    pairs: tuple[int, int] = (8, 32)
    """Pairs of two calls of a reranker."""
    text_words: tuple[int, int] = (10, 50)
    """Words of these texts and pairs, in the mean: each is measured with each number of them."""
    calls: int = 6


Progress = Callable[[str], AbstractContextManager[None]]


def measure_profile(
    *,
    rerankers: Sequence[str] = RERANKERS,
    dtypes: Sequence[Dtype | None] = (None,),
    encoder: str = AUTO,
    device: str | None = None,
    amounts: Amounts = Amounts(),
    telling: Progress,
) -> Profile:
    """Measure the costs of this machine.

    ``dtypes`` are the precisions in which each reranker is measured; None is the one that searches
    use. ``device`` is that of the models. ``telling`` is entered with what is being measured.
    Raises ModelNotFoundError and InvalidInputError for models that are missing or cannot be used
    so.
    """
    from rerank_search.reranking.cross_encoder import CrossEncoderReranker
    from rerank_search.retrieval.encoder import Encoder

    for what, given in (("rerankers", rerankers), ("dtypes", dtypes)):
        if not given:
            raise InvalidInputError(f"{what} is empty: name at least one")
    made = MadeTexts()
    found = []
    for name in rerankers:
        for dtype in dtypes:
            with telling(f"measuring {name}"):
                reranker = CrossEncoderReranker(name, device=device, dtype=dtype)
                found.append(_reranker(reranker, made, amounts))
    with telling("measuring the encoder"):
        encoding = Encoder(encoder, device=device)
        of_encoder = _encoder(encoding, made, amounts)
    process_bytes = peak_memory() or UNKNOWN_MEMORY
    with tempfile.TemporaryDirectory() as folder:
        with telling("measuring BM25"):
            text = _text(Path(folder), made, amounts)
        vectors = []
        for each in get_args(VectorDtype):
            with telling(f"measuring vectors in {each}"):
                path = Path(folder) / each
                vectors.append(_vectors(path, made, each, of_encoder.dimension, amounts))
    return Profile(
        measured=datetime.date.today().isoformat(),
        machine=_machine(device or str(reranker.device)),
        text=text,
        vectors=vectors,
        encoder=of_encoder,
        rerankers=list({each.label: each for each in found}.values()),
        process_bytes=process_bytes,
    )


def _machine(device: str) -> Machine:
    versions = dict(environment([]))
    versions.pop("rerankers")
    processor = versions.pop("processor")
    if not device.startswith("cpu"):
        import torch

        name = torch.cuda.get_device_name(device) if device.startswith("cuda") else ""
        device = f"{device} {name}".strip()
    return Machine(
        processor=processor.rpartition(", ")[0],
        cores=available_cores(),
        memory_bytes=_memory(),
        device=device,
        versions=versions,
    )


def _memory() -> int:
    """The memory of the machine."""
    if sys.platform == "win32":
        return UNKNOWN_MEMORY
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _reranker(reranker: CrossEncoderReranker, made: MadeTexts, amounts: Amounts) -> RerankerCosts:
    calls = []
    for words in amounts.text_words:
        for count in amounts.pairs:
            texts = [made.texts(count, words) for _ in range(amounts.calls + 1)]
            calls.append(_scored(reranker, made, texts))
    return RerankerCosts(
        name=reranker.name,
        backend=reranker.backend,
        dtype=reranker.dtype,
        window=reranker.max_length,
        calls=calls,
    )


def _scored(reranker: CrossEncoderReranker, made: MadeTexts, texts: Sequence[list[str]]) -> Timed:
    tokens, seconds = [], []
    for own in texts:
        pairs = [(query, text) for query in made.queries(own, 1) for text in own]
        started = time.perf_counter()
        scores = reranker.score_with_report(pairs)
        seconds.append(time.perf_counter() - started)
        tokens.append(0 if scores.tokens is None else int(scores.tokens.sum()))
    # The first call does the late loading.
    return Timed(size=round(float(np.mean(tokens[1:]))), seconds=seconds[1:])


def _encoder(encoder: Encoder, made: MadeTexts, amounts: Amounts) -> EncoderCosts:
    encoder.encode(["warm up"], task="query")
    window = passages_window(encoder) or TOKENS_WITHOUT_WINDOW
    queries = made.queries(made.texts(amounts.searches, amounts.words), amounts.searches)
    return EncoderCosts(
        name=encoder.name,
        dimension=encoder.dimension,
        passage_tokens=window,
        queries=_times(queries, lambda query: encoder.encode([query], task="query")),
        texts=[
            _encoded(encoder, [made.texts(count, words) for _ in range(amounts.calls)], window)
            for words in amounts.text_words
            for count in amounts.texts
        ],
    )


def _encoded(encoder: Encoder, calls: Sequence[list[str]], window: int) -> Timed:
    tokens = [
        min(len(encoder.token_offsets(text)) + SPECIAL_TOKENS, window)
        for texts in calls
        for text in texts
    ]
    return Timed(
        size=round(sum(tokens) / len(calls)),
        seconds=_times(calls, lambda texts: encoder.encode(texts, task="document")),
    )


def _text(folder: Path, made: MadeTexts, amounts: Amounts) -> TextCosts:
    searches = []
    for count in amounts.documents:
        texts = made.texts(count, amounts.words)
        words = sum(text.count(" ") + 1 for text in texts)
        documents = [Document(f"d{place}", text) for place, text in enumerate(texts)]
        with Index.create(folder / f"bm25-{count}", encoder=None, passages=None) as index:
            [built] = _times([documents], index.add)
            info, stage = index.info(), index.retriever(BM25)
            queries = made.queries(texts, amounts.searches)
            seconds = _at_once(queries, lambda query: stage.retrieve([query], DEPTH))  # noqa: B023
            searches.append(Timed(size=words, seconds=seconds))
    return TextCosts(
        document_bytes_per_word=info.bytes_documents / words,
        bm25_bytes_per_word=info.bytes_bm25 / words,
        build_seconds_per_word=built / words,
        searches=searches,
    )


def _vectors(
    folder: Path, made: MadeTexts, dtype: VectorDtype, dimension: int, amounts: Amounts
) -> VectorCosts:
    queries = made.vectors(amounts.searches, dimension)

    def searched(count: int, hnsw_above: int) -> tuple[Timed, float, float]:
        """Searches in so many vectors, the seconds to add them, and the bytes of the graph."""
        path = folder / f"{count}-{hnsw_above}"
        index = VectorIndex(path, GivenVectors(dimension), dtype=dtype, hnsw_above=hnsw_above)
        passages = [
            Passage(place, "", vector=vector)
            for place, vector in enumerate(made.vectors(count, dimension))
        ]
        [added] = _times([passages], lambda each: index.update(1, each, ()))
        seconds = _at_once(list(queries), lambda query: index.search_vectors(query[None], DEPTH))
        graph = sum(file.stat().st_size for file in path.glob("graph-*"))
        return Timed(size=count, seconds=seconds), added, graph

    exact = [searched(count, hnsw_above=count)[0] for count in amounts.exact]
    graphs = [searched(count, hnsw_above=0) for count in amounts.graph]
    _, added, graph_bytes = graphs[-1]
    return VectorCosts(
        dtype=dtype,
        dimension=dimension,
        exact=exact,
        graph=[timed for timed, _, _ in graphs],
        graph_bytes_per_vector=graph_bytes / amounts.graph[-1],
        graph_build_seconds_per_vector=added / amounts.graph[-1],
    )


def _times(items: Iterable[Item], call: Callable[[Item], object]) -> list[float]:
    """Seconds of a call for each item, one after another."""
    seconds = []
    for item in items:
        started = time.perf_counter()
        call(item)
        seconds.append(time.perf_counter() - started)
    return seconds


def _at_once(items: Sequence[Item], call: Callable[[Item], object]) -> list[float]:
    """Seconds of a call for each item, while as many others run as there are cores."""
    cores = available_cores()
    for item in items[:cores]:
        call(item)  # does the late loading
    with ThreadPoolExecutor(cores) as pool:
        parts = pool.map(lambda item: _times([item], call), items)
        return [seconds for [seconds] in parts]
