"""The encoders that are served: those given to the server, and those of its indexes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rerank_search.errors import InvalidInputError, RerankSearchError
from rerank_search.retrieval.base import TextEncoder
from rerank_search.serving.errors import ApiError
from rerank_search.serving.indexes import Indexes
from rerank_search.serving.names import public_name
from rerank_search.shown import shown


class Encoders:
    """Encoders by name. A request sees those of the indexes that its key opens. Threads may share
    one.

    Raises InvalidInputError if two of the given ones have the same name.
    """

    def __init__(self, given: Sequence[TextEncoder], indexes: Indexes) -> None:
        self._given = {public_name(each.name): each for each in given}
        if len(self._given) < len(given):
            names = ", ".join(public_name(each.name) for each in given)
            raise InvalidInputError(f"two encoders have the same name ({names}): rename a folder")
        self._indexes = indexes

    @contextmanager
    def use(self, asked: str | None) -> Iterator[tuple[str, TextEncoder]]:
        """The encoder with its name; the first given one, or the only one, if none is asked for.

        Raises ApiError 404 for an unknown one.
        """
        name = next(iter(self._given), None) if asked is None else asked
        if name in self._given:
            yield name, self._given[name]
            return
        of_indexes = self._of_indexes()
        if asked is None and len(of_indexes) == 1:
            [name] = of_indexes
        if name not in of_indexes:
            known = ", ".join({**self._given, **of_indexes}) or "none"
            what = "name the encoder" if asked is None else f"no encoder {shown(asked)} is served"
            raise ApiError(404, "model_not_found", f"{what}; there are: {known}")
        with self._indexes.use_index(of_indexes[name]) as index:
            if index.encoder is None:  # it was made again meanwhile
                raise ApiError(404, "model_not_found", f"no encoder {shown(name)} is served")
            yield name, index.encoder

    def _of_indexes(self) -> dict[str, str]:
        """An index for each encoder, by the name that the API shows for it."""
        found: dict[str, str] = {}
        indexes: dict[str, str] = {}
        for index in self._indexes.names():
            try:
                name = self._indexes.encoder_of(index)
            except RerankSearchError:  # a damaged index hides no other one's encoder
                continue
            # Of folders with the same last part only the first is served.
            if name is not None and found.setdefault(public_name(name), name) == name:
                indexes.setdefault(public_name(name), index)
        return indexes
