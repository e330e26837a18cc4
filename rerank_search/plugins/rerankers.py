"""The reranker of a plugin that orders texts which its framework has found."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from rerank_search.arguments import model_name, real_number, several, whole_number
from rerank_search.errors import InvalidInputError
from rerank_search.models.registry import AUTO
from rerank_search.plugins.once import Once
from rerank_search.queries import check_instruction, check_text, text_list
from rerank_search.ranking import ranked
from rerank_search.reranking.base import Reranker, check_reranker
from rerank_search.reranking.calls import scored
from rerank_search.reranking.given import reranker_of
from rerank_search.reranking.relevance import logit_calibration, relevance_scores
from rerank_search.reranking.unread import warn_if_unread
from rerank_search.shown import shown
from rerank_search.worker_threads import WorkerThreads

RerankerGiven: TypeAlias = Reranker | str | PathLike[str]
"""A reranker as plugins take it: an object, or the name or the folder of a model."""


@dataclass(frozen=True, slots=True)
class RankedText:
    """A text of a list by its position, with the logit it was sorted by and its score in [0, 1].

    ``relevance_score`` is the calibrated probability, or the model's activation without one.
    """

    position: int
    score: float
    relevance_score: float


class TextRanker:
    """Orders texts by a reranker, which is loaded at the first use, once. Threads may share one.

    ``reranker`` is a Reranker, or the name or the folder of a model. Raises InvalidInputError for
    anything else.
    """

    def __init__(self, reranker: RerankerGiven = AUTO) -> None:
        check_reranker_given(reranker)
        self._given = reranker
        self._once = Once(partial(reranker_of, reranker))
        self._threads = WorkerThreads()

    @property
    def reranker(self) -> Reranker:
        """The reranker. The first use loads it, and raises what loading raises."""
        return self._once.get()

    @property
    def name(self) -> str:
        """The reranker's name, without loading it."""
        given = self._given
        return os.fspath(given) if isinstance(given, (str, PathLike)) else given.name

    def scores(
        self, pairs: Sequence[tuple[str, str]], *, instruction: str | None = None
    ) -> list[float]:
        """The logits of (query, text) pairs; nothing is loaded for no pairs.

        Raises InvalidInputError for anything but a list of pairs, and for an ``instruction`` to
        a reranker that takes none, RerankError, and what loading the reranker raises.
        """
        given = list(several("pairs", pairs, one="pairs"))
        if not given:
            return []
        scores = scored(self.reranker, given, instruction=instruction)
        warn_if_unread(self.reranker, [text for _, text in given])
        logits: list[float] = scores.values.tolist()
        return logits

    def ranked(
        self,
        query: str,
        texts: Sequence[str],
        *,
        top_k: int | None = None,
        min_relevance: float | None = None,
        instruction: str | None = None,
    ) -> list[RankedText]:
        """The best ``top_k`` of the texts, or all, best first; equal ones keep their order.

        ``min_relevance`` leaves out texts whose calibrated probability is lower. ``instruction``
        says what makes a text relevant. No texts and a blank query give an empty list, and nothing
        is loaded for them. Raises InvalidInputError, also for an instruction to a reranker that
        takes none, RerankError, and what loading the reranker raises.
        """
        if top_k is not None:
            top_k = whole_number("top_k", top_k)
        if min_relevance is not None:
            min_relevance = real_number("min_relevance", min_relevance, least=0, most=1)
        if instruction is not None:
            check_instruction(instruction)
        check_text(query, "the query")
        texts = text_list(texts)
        if not query.strip() or not texts:
            return []
        reranker = self.reranker
        if min_relevance is not None and logit_calibration(reranker) is None:
            raise InvalidInputError(
                f"min_relevance={min_relevance} needs a reranker whose logit is calibrated, and "
                f"{shown(self.name)} is not: run `rerank-search calibrate`, or leave it out"
            )
        pairs = [(query, text) for text in texts]
        warn_if_unread(reranker, texts)
        logits = scored(reranker, pairs, instruction=instruction).values
        chances = relevance_scores(reranker, logits).tolist()
        ordered = ranked(zip(range(len(texts)), logits.tolist(), chances, strict=True))
        return [
            RankedText(position, score, chance)
            for position, score, chance in ordered
            if min_relevance is None or chance >= min_relevance
        ][:top_k]

    async def aranked(
        self,
        query: str,
        texts: Sequence[str],
        *,
        top_k: int | None = None,
        min_relevance: float | None = None,
        instruction: str | None = None,
    ) -> list[RankedText]:
        """``ranked`` for asyncio: in a thread, while the event loop goes on."""
        return await self._threads.run(
            partial(
                self.ranked,
                query,
                texts,
                top_k=top_k,
                min_relevance=min_relevance,
                instruction=instruction,
            )
        )

    @property
    def settings(self) -> dict[str, str]:
        """``reranker`` as a string, for the file format of a framework.

        Raises InvalidInputError for an object, which such a file cannot hold.
        """
        return {"reranker": written_reranker(self._given)}

    def __repr__(self) -> str:
        return f"TextRanker({shown(self.name)})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its argument; a folder by its absolute path."""
        given = self._given
        return TextRanker, (Path(given).absolute() if isinstance(given, PathLike) else given,)


def check_reranker_given(reranker: object) -> None:
    """Raise InvalidInputError unless this is a Reranker, or the name or the folder of a model."""
    if isinstance(reranker, (str, bytes, PathLike)):
        model_name("reranker", reranker)
    else:
        check_reranker(reranker)


def written_reranker(reranker: RerankerGiven) -> str:
    """The reranker as a string. Raises InvalidInputError for an object."""
    if isinstance(reranker, (str, PathLike)):
        return os.fspath(reranker)
    raise InvalidInputError(
        f"reranker={shown(reranker)} is an object, which cannot be written to a file: give the "
        "name or the folder of a model instead"
    )
