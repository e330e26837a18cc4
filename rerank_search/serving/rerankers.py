"""The rerankers that are served, by name; requests share each of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

from rerank_search.errors import InvalidInputError
from rerank_search.reranking.base import LongDocuments, Reranker, Scores
from rerank_search.reranking.loaded_later import LoadedLater
from rerank_search.reranking.relevance import relevance_scores
from rerank_search.reranking.traits import traits
from rerank_search.reranking.unread import looked_at, unread
from rerank_search.serving.errors import ApiError
from rerank_search.serving.limits import Limits
from rerank_search.serving.metrics import Metrics
from rerank_search.serving.names import public_name
from rerank_search.serving.schemas.rerank import ModelAnswer
from rerank_search.serving.shared_reranker import SharedReranker
from rerank_search.shown import shown


class Rerankers:
    """Loaded rerankers by name; requests that name none get the first. Threads may share one.

    Raises InvalidInputError if two have the same name.
    """

    def __init__(
        self, rerankers: Sequence[Reranker], limits: Limits, metrics: Metrics, *, share: bool
    ) -> None:
        self._metrics = metrics
        self._models = {public_name(each.name): each for each in rerankers}
        if len(self._models) < len(rerankers):
            names = ", ".join(public_name(each.name) for each in rerankers)
            raise InvalidInputError(f"two rerankers have the same name ({names}): rename a folder")
        self._shared = {
            name: SharedReranker(
                each,
                name=name,
                max_waiting=limits.waiting_pairs,
                shared=share,
                on_round=metrics.round,
            )
            for name, each in self._models.items()
        }
        for name, each in self._shared.items():
            metrics.watch(name, lambda each=each: each.waiting)  # type: ignore[misc]

    def __len__(self) -> int:
        return len(self._models)

    def name(self, asked: str | None) -> str:
        """The name of the requested reranker. Raises ApiError 404 for an unknown one."""
        if asked is None and self._models:
            return next(iter(self._models))
        if asked is None or asked not in self._models:
            known = ", ".join(self._models) or "none"
            what = "no reranker" if asked is None else f"no reranker {shown(asked)}"
            raise ApiError(404, "model_not_found", f"{what} is served; there are: {known}")
        return asked

    def shared(self, name: str) -> SharedReranker:
        """The reranker of that name."""
        return self._shared[name]

    def listed(self) -> list[ModelAnswer]:
        """The rerankers, as ``GET /v1/models`` lists them."""
        return [
            ModelAnswer(
                id=name,
                max_length=self.window(name),
                backend=getattr(each, "backend", None),
                dtype=getattr(each, "dtype", None),
            )
            for name, each in self._models.items()
        ]

    def window(self, name: str) -> int | None:
        """Number of tokens of a pair that the reranker reads; None if it does not say."""
        return traits(self._models[name]).window

    def unread(self, name: str, texts: Sequence[str]) -> str | None:
        """Why the reranker cannot order these texts well; None if it can, as far as is known."""
        return unread(self._models[name], looked_at(texts))

    def submit(
        self,
        name: str,
        pairs: Sequence[tuple[str, str]],
        long_documents: LongDocuments = "truncate",
        instruction: str | None = None,
    ) -> Future[Scores]:
        """Have pairs scored together with those of other requests."""
        return self._shared[name].submit(
            pairs, long_documents=long_documents, instruction=instruction
        )

    def shortened(
        self,
        name: str,
        pairs: list[tuple[str, str]],
        *,
        text_tokens: int | None,
        pair_tokens: int | None,
        instruction: str | None,
        whole: bool,
    ) -> tuple[list[tuple[str, str]], NDArray[np.bool_]]:
        """The pairs with shorter texts, and which were cut; see ``CrossEncoderReranker.shortened``.

        ``whole`` says whether texts above the window are read too. Raises ApiError 400 for a
        reranker that cannot do it, and what the reranker raises.
        """
        window = self.window(name)
        least = min(each for each in (text_tokens, pair_tokens) if each is not None)
        if window is not None and least >= window and not whole:  # texts are cut there anyway
            return pairs, np.zeros(len(pairs), dtype=np.bool_)
        reranker = self._models[name]
        if isinstance(reranker, LoadedLater):
            reranker = reranker.load()
        shorten = getattr(reranker, "shortened", None)
        if shorten is None:
            raise ApiError(
                400,
                "invalid_request",
                f"the reranker {name!r} cannot cut texts at a number of tokens: leave "
                "max_tokens_per_doc and truncate_prompt_tokens out",
            )
        found: tuple[list[tuple[str, str]], NDArray[np.bool_]] = shorten(
            pairs, text_tokens=text_tokens, pair_tokens=pair_tokens, instruction=instruction
        )
        return found

    def probabilities(self, name: str, scores: Scores) -> NDArray[np.float32]:
        """Scores in [0, 1] for the logits: calibrated if the model has a calibration of them."""
        self._metrics.truncated(int(scores.truncated.sum()))
        reranker = self._models[name]
        if isinstance(reranker, LoadedLater):
            reranker = reranker.load()
        return relevance_scores(reranker, scores.values)

    def close(self) -> None:
        """Score the pairs that wait, then end the threads."""
        for each in self._shared.values():
            each.close()
