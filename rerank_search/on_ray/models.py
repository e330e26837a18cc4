"""Models whose calls workers answer: one side of them runs here, the other in a worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rerank_search.models.prompts import Task
from rerank_search.on_ray.calls import Answer, Call, CallFolder
from rerank_search.reranking.base import LongDocuments, Reranker, Scores
from rerank_search.reranking.calls import scored
from rerank_search.retrieval.base import TextEncoder


class WorkersModel(Protocol):
    """A model as a worker gets it: pickled by its name and settings, and loaded there."""

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    def identity(self) -> list[str]:
        """All that decides the answers."""
        ...

    def answer(self, call: Call) -> Answer:
        """The answer to a call."""
        ...


Run = Callable[[WorkersModel, Iterable[Call]], CallFolder]
"""Has workers answer the calls, and returns the folder with the answers."""


@dataclass(frozen=True)
class EncoderInWorker:
    """An encoder; a call has one column of texts."""

    encoder: TextEncoder

    @property
    def name(self) -> str:
        """The encoder's name."""
        return self.encoder.name

    def identity(self) -> list[str]:
        """That of the encoder."""
        return self.encoder.identity()

    def answer(self, call: Call) -> Answer:
        """The vectors of the texts."""
        [texts] = call.columns
        task = cast("Task | None", call.settings["task"])
        vectors = self.encoder.encode(texts, task=task, prompt=call.settings["prompt"])
        return {"vectors": vectors}


@dataclass(frozen=True)
class RerankerInWorker:
    """A reranker with a fingerprint; a call has a column of queries and one of texts."""

    reranker: Reranker

    @property
    def name(self) -> str:
        """The reranker's name."""
        return self.reranker.name

    def identity(self) -> list[str]:
        """The fingerprint of what decides the logits."""
        return [cast("Any", self.reranker).fingerprint]

    def answer(self, call: Call) -> Answer:
        """The raw logits, and which pairs were cut."""
        queries, texts = call.columns
        pairs = list(zip(queries, texts, strict=True))
        scores = scored(self.reranker, pairs, instruction=call.settings["instruction"])
        return {"values": scores.values, "truncated": scores.truncated}


class ForeseeingEncoder:
    """An encoder whose foreseen calls are answered by workers; it computes all other calls here."""

    def __init__(self, encoder: TextEncoder, run: Run) -> None:
        self._encoder = encoder
        self._run = run
        self._answers: CallFolder | None = None

    def __getattr__(self, name: str) -> Any:
        """What else the encoder has."""
        if name == "_encoder":  # while it is unpickled
            raise AttributeError(name)
        return getattr(self._encoder, name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the encoder alone."""
        return self._encoder.__reduce_ex__(4)  # type: ignore[return-value]

    def foresee(
        self, texts: Iterable[Sequence[str]], *, task: Task | None, prompt: str | None
    ) -> None:
        """Have these lists of texts encoded. Raises ClusterError."""
        calls = (_encoded(some, task, prompt) for some in texts)
        self._answers = self._run(EncoderInWorker(self._encoder), calls)

    def encode(
        self, texts: Sequence[str], *, task: Task | None = None, prompt: str | None = None
    ) -> NDArray[np.float32]:
        """Vectors of the texts, as the encoder gives them."""
        if self._answers is not None and task != "query":
            answer = self._answers.answer(_encoded(texts, task, prompt))
            if answer is not None:
                return answer["vectors"]
        return self._encoder.encode(texts, task=task, prompt=prompt)


class ForeseeingReranker:
    """A reranker whose foreseen calls are answered by workers; other calls are computed here."""

    def __init__(self, reranker: Reranker, run: Run) -> None:
        self._reranker = reranker
        self._run = run
        self._answers: CallFolder | None = None
        self.name = reranker.name

    def __getattr__(self, name: str) -> Any:
        """What else the reranker has."""
        if name == "_reranker":  # while it is unpickled
            raise AttributeError(name)
        return getattr(self._reranker, name)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the reranker alone."""
        return self._reranker.__reduce_ex__(4)  # type: ignore[return-value]

    def foresee(
        self, calls: Iterable[Sequence[tuple[str, str]]], *, instruction: str | None
    ) -> None:
        """Have these lists of pairs scored. Raises ClusterError."""
        noted = (_scored(pairs, instruction) for pairs in calls)
        self._answers = self._run(RerankerInWorker(self._reranker), noted)

    def score(
        self, pairs: Sequence[tuple[str, str]], *, instruction: str | None = None
    ) -> NDArray[np.float32]:
        """Raw logits of the pairs, shape (n,), float32."""
        return self.score_with_report(pairs, instruction=instruction).values

    def score_with_report(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        long_documents: LongDocuments = "truncate",
        instruction: str | None = None,
    ) -> Scores:
        """Raw logits, and which pairs were cut."""
        if self._answers is not None and long_documents == "truncate":
            answer = self._answers.answer(_scored(pairs, instruction))
            if answer is not None:
                return Scores(answer["values"], answer["truncated"], [None] * len(pairs))
        return scored(self._reranker, pairs, long_documents=long_documents, instruction=instruction)


def _encoded(texts: Sequence[str], task: Task | None, prompt: str | None) -> Call:
    return Call((texts,), {"task": task, "prompt": prompt})


def _scored(pairs: Sequence[tuple[str, str]], instruction: str | None) -> Call:
    queries, texts = [query for query, _ in pairs], [text for _, text in pairs]
    return Call((queries, texts), {"instruction": instruction})
