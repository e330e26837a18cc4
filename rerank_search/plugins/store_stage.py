"""A store of another framework as a first stage: what it finds becomes hits in the total order."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from rerank_search.arguments import one_of, real_number, string, truth_value
from rerank_search.errors import (
    InvalidFilterError,
    InvalidInputError,
    PluginError,
    RerankSearchError,
)
from rerank_search.queries import checked_k, query_list
from rerank_search.ranking import ranked
from rerank_search.shown import described, shown
from rerank_search.types import Document, Filter, Hit

logger = logging.getLogger(__name__)

_MORE = 4
"""Factor by which more results are asked for, while equal scores or chunks leave a cut-off open."""


Scores: TypeAlias = Literal["similarity", "distance"]
"""The kind of a store's own scores: the highest similarity or the lowest distance is the best."""


@dataclass(frozen=True, slots=True)
class Found:
    """One result as a store returns it; ``id`` and ``score`` are None if it has none."""

    id: object
    text: str
    metadata: Mapping[str, Any]
    score: object = None


@dataclass(frozen=True, slots=True)
class Result:
    """One result with the score that it is ranked by; a higher one is better."""

    found: Found
    score: float


Ask: TypeAlias = Callable[[str, int], Iterable[Found]]
"""Function from a query and a number of results to the results, the best first."""


class StoreStage(ABC):
    """A first stage over a store that stays where it is; a ``Retriever`` for a ``Searcher``.

    ``name`` is the name of the first stage. A document's id is the store's own, or with ``id_key``
    the value of that metadata key. Two results with one id are an error, unless ``fold_chunks``
    says that results with one id are chunks of one document: the best chunk stands for it.
    ``title_key`` is the metadata key of the title, which is reranked with the text. ``scores`` says
    what the store's own scores are; without it only the order of the results counts.
    """

    returns_what_is_asked: bool = True
    """Whether the store returns as many results as a call asks for, as far as it has them."""

    def __init__(
        self,
        name: str,
        *,
        scores: Scores | None = None,
        id_key: str | None = None,
        fold_chunks: bool = False,
        title_key: str | None = None,
    ) -> None:
        self.name = string("name", name)
        if not name:
            raise InvalidInputError("name='' is empty: give the first stage a name")
        self._scores = one_of("scores", scores, (None, "similarity", "distance"))
        self._id_key = None if id_key is None else string("id_key", id_key)
        self._title_key = None if title_key is None else string("title_key", title_key)
        self._fold = truth_value("fold_chunks", fold_chunks)
        self._told = False

    def __repr__(self) -> str:
        return described(type(self).__name__, name=self.name)

    def retrieve(
        self, queries: Sequence[str], k: int, *, filter: Filter | None = None
    ) -> list[list[Hit]]:
        """The best k documents of each query that the filter allows, in the total order.

        A blank query finds nothing. Raises InvalidInputError for k < 1, for an unusable query, for
        results without an id and for a store that never returns k results, InvalidFilterError for a
        filter that the store cannot apply, and PluginError if the store fails.
        """
        queries, k = query_list(queries), checked_k(k)
        ask = self._ask(k, filter or None)
        return [self._ranking(query, k, ask) if query.strip() else [] for query in queries]

    @abstractmethod
    def _ask(self, k: int, filter: Filter | None) -> Ask:
        """The search for k documents of a query. Raises before anything is searched."""

    def _ranking(self, query: str, k: int, ask: Ask) -> list[Hit]:
        limit = k + 1
        while True:
            with self._errors():
                results = self._scored(list(ask(query, limit)))
            best = self._documents(results)
            if not self.returns_what_is_asked:
                self._tell_few(len(best), k)
                break
            # Documents beyond the cut-off may have the score of the last one, and a lower id.
            if len(results) < limit or (len(best) > k and best[k - 1][1] > _lowest(results)):
                break
            limit *= _MORE
        return [
            Hit(id, score, rank, document, {self.name: score})
            for rank, (id, score, document) in enumerate(best[:k], start=1)
        ]

    def _documents(self, results: Sequence[Result]) -> list[tuple[str, float, Document]]:
        """Each document with its score, in the total order."""
        best: dict[str, Result] = {}
        for result in results:
            id = self._id(result.found)
            if id in best and not self._fold:
                raise self._repeated(id)
            if id not in best or result.score > best[id].score:
                best[id] = result
        return ranked((id, each.score, self._document(id, each.found)) for id, each in best.items())

    def _document(self, id: str, found: Found) -> Document:
        title = found.metadata.get(self._title_key) if self._title_key is not None else None
        return Document(
            id, found.text, title if isinstance(title, str) else "", dict(found.metadata)
        )

    def _scored(self, found: Sequence[Found]) -> list[Result]:
        """The results with their scores. Raises InvalidInputError for the wrong direction."""
        if self._scores is None:
            return [Result(each, 1 / place) for place, each in enumerate(found, start=1)]
        sign = -1 if self._scores == "distance" else 1
        results = [Result(each, sign * self._score(each)) for each in found]
        if results and results[0].score < results[-1].score:
            other = "similarity" if self._scores == "distance" else "distance"
            raise InvalidInputError(
                f"scores={self._scores!r}, but the store of the first stage {self.name!r} gives "
                f"its first result the score {found[0].score} and its last one {found[-1].score}: "
                f"set scores={other!r}"
            )
        return results

    def _score(self, found: Found) -> float:
        try:
            return real_number("score", found.score)
        except InvalidInputError as error:
            raise PluginError(
                f"the store of the first stage {self.name!r} gave an unusable score: {error}. "
                "Leave scores out to rank by the order of the results"
            ) from None

    def _id(self, found: Found) -> str:
        id = found.id if self._id_key is None else found.metadata.get(self._id_key)
        if isinstance(id, int) and not isinstance(id, bool):
            return str(id)
        if isinstance(id, str) and id:
            return id
        if self._id_key is None:
            raise InvalidInputError(
                f"the first stage {self.name!r} found a document without an id: "
                f"{shown(found.text, 50)}. Add documents with ids to the store, or name the "
                "metadata key that has the id: id_key='source'"
            )
        raise InvalidInputError(
            f"the first stage {self.name!r} found a document whose id, the metadata key "
            f"{self._id_key!r}, is {shown(id, 50)}: {shown(found.text, 50)}. Give id_key a key "
            f"that has a string in every document; this one has "
            f"{', '.join(map(repr, list(found.metadata)[:10])) or 'no metadata'}"
        )

    def _repeated(self, id: str) -> InvalidInputError:
        return InvalidInputError(
            f"the first stage {self.name!r} found the id {shown(id)} twice for one query: set "
            "fold_chunks=True if these are chunks of one document, otherwise give id_key a "
            "metadata key that tells them apart"
        )

    def _tell_few(self, found: int, k: int) -> None:
        if found < k and not self._told:
            self._told = True
            logger.warning(
                "the first stage %r found %d documents where %d were asked for, and a limit of its "
                "own may be the reason: set its limit to at least %d",
                self.name,
                found,
                k,
                k,
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except RerankSearchError:
            raise
        except Exception as error:  # a store of somebody else may raise anything
            raise PluginError(
                f"the store of the first stage {self.name!r} failed ({type(error).__name__}: "
                f"{error}): check that it answers without rerank_search"
            ) from error

    @contextmanager
    def _synchronous(self, retriever: object) -> Iterator[None]:
        """Raise PluginError if the retriever can only be asked asynchronously."""
        try:
            yield
        except NotImplementedError as error:
            raise PluginError(
                f"the retriever of the first stage {self.name!r} cannot be asked synchronously "
                f"({type(retriever).__name__}: {error}): set asynchronous=True"
            ) from error

    def _too_few(self, setting: str, own: int, k: int) -> InvalidInputError:
        """The error about a store that never returns as many results as asked for."""
        return InvalidInputError(
            f"the first stage {self.name!r} never finds more than {own} results, and {k} are asked "
            f"for: set {setting}={k}, or search with candidates={own} and top_k of at most {own}"
        )

    def _unsupported(self, filter: Filter, advice: str) -> InvalidFilterError:
        """The error about a filter that the store cannot apply."""
        return InvalidFilterError(
            f"the filter {shown(filter)} cannot be applied by the first stage {self.name!r}: "
            f"{advice}"
        )


def _lowest(results: Sequence[Result]) -> float:
    return min(result.score for result in results)
