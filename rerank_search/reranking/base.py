"""The contract of the second stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError
from rerank_search.shown import shown
from rerank_search.types import Span

LongDocuments: TypeAlias = Literal["truncate", "max_passage"]
"""Treatment of a text above the window: cut it, or take the best of its overlapping windows."""


class Reranker(Protocol):
    """Anything that scores (query, text) pairs.

    If the score of a pair depends on the other pairs of the call, set an attribute ``listwise`` to
    True: a list is then never scored in parts. If the methods take a keyword ``instruction``, which
    says what makes a text relevant (a string, or None for the model's own), set an attribute
    ``takes_instructions`` to True: any other reranker is never given one.
    """

    name: str

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Raw logits of the pairs, shape (n,), float32; higher is better."""
        ...


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of n pairs, and how much of each pair the reranker read.

    ``values`` are raw logits, float32 of shape (n,). ``truncated``, bool of shape (n,), says which
    pairs were cut to fit the window. ``spans`` are the best windows, in characters of each pair's
    text, and None where the text was not split. ``tokens``, int64 of shape (n,), counts the tokens
    that the model read for each pair; None if the reranker does not report them.
    """

    values: NDArray[np.float32]
    truncated: NDArray[np.bool_]
    spans: Sequence[Span | None]
    tokens: NDArray[np.int64] | None = None

    def __repr__(self) -> str:
        """The number of pairs, and the first few scores."""
        values = ", ".join(f"{value:.3f}" for value in self.values[:5].tolist())
        dots = ", ..." if len(self.values) > 5 else ""
        cut = int(self.truncated.sum())
        return f"Scores({len(self.values):,} pairs, {cut:,} cut, values=[{values}{dots}])"

    def part(self, start: int, end: int) -> Scores:
        """The scores of the pairs from ``start`` to ``end``, without ``end``."""
        return Scores(
            self.values[start:end],
            self.truncated[start:end],
            self.spans[start:end],
            None if self.tokens is None else self.tokens[start:end],
        )


def joined(parts: Sequence[Scores]) -> Scores:
    """Join the scores of a list's parts into the scores of the list."""
    tokens = [part.tokens for part in parts if part.tokens is not None]
    return Scores(
        np.concatenate([np.zeros(0, np.float32), *(part.values for part in parts)]),
        np.concatenate([np.zeros(0, np.bool_), *(part.truncated for part in parts)]),
        [span for part in parts for span in part.spans],
        np.concatenate([np.zeros(0, np.int64), *tokens]) if len(tokens) == len(parts) else None,
    )


@runtime_checkable
class ReportingReranker(Protocol):
    """A reranker that also reports which pairs it cut, and can read long texts in windows."""

    name: str

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Raw logits of the pairs, shape (n,), float32; higher is better."""
        ...

    def score_with_report(
        self, pairs: Sequence[tuple[str, str]], *, long_documents: LongDocuments = "truncate"
    ) -> Scores:
        """Raw logits, which pairs were cut, and the best windows for ``max_passage``."""
        ...


@runtime_checkable
class TimedReranker(Protocol):
    """A reranker that can stop waiting, such as one behind a URL."""

    name: str

    def score_within(
        self, pairs: Sequence[tuple[str, str]], seconds: float
    ) -> NDArray[np.float32] | None:
        """As ``score``; None if the scores are not there in time."""
        ...


def check_reranker(given: object) -> None:
    """Raise InvalidInputError for an object without a ``name`` or a method ``score``."""
    if isinstance(given, type):
        raise InvalidInputError(
            f"reranker={given.__name__} is a class: give an object of it, {given.__name__}(...)"
        )
    if not callable(getattr(given, "score", None)):
        wrapped = (
            " (for a sentence-transformers CrossEncoder, give the name or the folder)"
            if callable(getattr(given, "predict", None))
            else ""
        )
        raise InvalidInputError(
            f"reranker={shown(given)} has no method score(pairs): give the name or the folder of "
            f"a cross-encoder, or an object with name and score{wrapped}"
        )
    if not isinstance(getattr(given, "name", None), str):
        raise InvalidInputError(
            f"reranker={shown(given)} has no name: give it an attribute name that is a string"
        )
