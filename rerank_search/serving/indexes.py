"""The indexes that are served: where each is, how a new one is made, and errors without paths."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rerank_search.built_in_stages import DENSE, HYBRID
from rerank_search.errors import (
    IndexExistsError,
    IndexNotFoundError,
    InvalidInputError,
    MissingDependencyError,
    ModelNotFoundError,
    RerankSearchError,
)
from rerank_search.index import Index
from rerank_search.index_names import index_name, is_index, is_servable, named_index
from rerank_search.models.registry import AUTO, encoder_name
from rerank_search.searcher import Searcher
from rerank_search.serving.errors import ApiError, api_error, told
from rerank_search.serving.names import public_name
from rerank_search.serving.open_indexes import OpenIndexes, manifest
from rerank_search.serving.open_stores import OpenStores
from rerank_search.serving.served import Served
from rerank_search.serving.visible import visible
from rerank_search.settings import Settings
from rerank_search.shown import shown
from rerank_search.storage.manifest import EncoderRecord, Manifest, SparseEncoderRecord

logger = logging.getLogger(__name__)


class Indexes:
    """Indexes by name, and stores, which are served as indexes are. Threads may share one.

    ``named`` are the indexes that are served; new ones are made in ``home``. If ``all_of_home``,
    the other indexes in ``home`` are served too. ``stores`` has URLs of stores by their names.
    Errors show neither the paths of this machine nor the addresses of stores.
    A request sees only the indexes that its key opens (``visible``); others seem not to exist.
    """

    def __init__(
        self,
        home: Path,
        named: Mapping[str, Path],
        *,
        all_of_home: bool,
        stores: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self._named = dict(named)
        self._all_of_home = all_of_home
        self._hidden: frozenset[str] | None = None
        self._open = OpenIndexes()
        self._stores = OpenStores(stores or {})
        self._lock = threading.Lock()

    def hide(self) -> None:
        """Show no index from now on to code that does not belong to a request.

        Which indexes it may see could not be told. So nothing is shown if a route has work done
        elsewhere, in a thread of its own.
        """
        self._hidden = frozenset()

    def names(self) -> list[str]:
        """The names of the indexes that exist, ascending; closes indexes that were removed."""
        opened = self._open.names()
        with self._lock:
            named = list(self._named.items())
        found = {name for name, path in named if _is_index(path)}
        if self._all_of_home and self.home.is_dir():
            found |= {index_name(each) for each in self.home.iterdir() if _is_served(each)}
        for name in opened - found:
            self._open.forget(name)
        found |= self._stores.names()
        return sorted(name for name in found if self._shows(name))

    def warm(self) -> None:
        """Open all indexes and load their encoders; logs the ones that cannot be opened."""
        for name in self.names():
            try:
                with self.use(name) as served:
                    _warm(served)
            except RerankSearchError as error:
                logger.warning("the index %r cannot be searched: %s", name, told(error))

    def chosen(self, name: str | None) -> str:
        """The name, or for None that of the only index.

        Raises InvalidInputError if there are several.
        """
        if name is not None:
            return name
        names = self.names()
        if len(names) != 1:
            there = ", ".join(names) or "none"
            raise InvalidInputError(f"name the index: {len(names)} are served ({there})")
        return names[0]

    @contextmanager
    def use(self, name: str | None) -> Iterator[Served]:
        """What is served by that name, which stays open while it is used; None is the only one.

        Raises InvalidInputError if there are several, IndexNotFoundError, OverloadedError for a
        store that too many requests wait for, and what opening an index or a store raises.
        """
        name = self.chosen(name)
        if self._is_store(name):
            with _errors_without(self._stores.address(name), name), self._stores.use(name) as store:
                yield store
        else:
            with self.use_index(name) as index:
                yield index

    @contextmanager
    def use_index(self, name: str) -> Iterator[Index]:
        """``use`` for what only an Index can do. Raises ApiError 400 for a store."""
        path = self._path(name)
        with _errors_without(str(path), name), self._open.use(name, path) as index:
            yield index

    def create(
        self,
        name: str,
        *,
        encoder: str | None,
        sparse_encoder: str | None = None,
        **settings: Any,
    ) -> None:
        """Make an empty index in the home; ``settings`` are further arguments of Index.create.

        Raises what Index.create raises, and ApiError.
        """
        if not is_servable(name):
            raise InvalidInputError(
                f"{shown(name)} is not a name for an index: use up to 64 letters, digits, '.', '_' "
                "and '-', and begin with a letter or a digit"
            )
        if not self._shows(name):
            raise ApiError(
                403, "forbidden", f"the key does not open an index {shown(name)}: use another key"
            )
        path = self.home / name
        if name in self.names() or path.exists():
            raise IndexExistsError(f"the index {shown(name)} exists already: choose another name")
        if encoder is not None:
            encoder = self._known_encoder(encoder)
        if sparse_encoder is not None:
            sparse_encoder = self._known_sparse_encoder(sparse_encoder)
        # Requests that come meanwhile wait, since half an index would look damaged to them.
        with _errors_without(str(path), name), self._open.closed(name, Settings().lock_timeout):
            Index.create(path, encoder=encoder, sparse_encoder=sparse_encoder, **settings).close()
        with self._lock:
            self._named[name] = path

    def drop(self, name: str) -> None:
        """Delete an index, after the requests that use it. Raises what Index.drop raises."""
        path = self._path(name)
        with _errors_without(str(path), name), self._open.closed(name, Settings().lock_timeout):
            Index.drop(path)

    def encoder_of(self, name: str) -> str | None:
        """The name of an index's encoder, read without opening it. Raises SearchIndexError."""
        made = manifest(self._path(name)).encoder
        return None if made is None else made.name

    def kind_of_store(self, name: str) -> str | None:
        """The kind of a store, such as "postgresql"; None for an index."""
        if not self._is_store(name):
            return None
        return self._stores.address(name).partition("://")[0]

    def check(self, name: str) -> None:
        """Raise IndexNotFoundError unless something is served by that name."""
        if not self._is_store(name):
            self._path(name)

    def close(self) -> None:
        """Close all indexes and stores; an index that is in use is closed after that."""
        self._open.close()
        self._stores.close()

    def _known_encoder(self, asked: str) -> str:
        """The encoder, if it is the library's own or that of an index. Raises InvalidInputError."""
        usual = encoder_name(AUTO)
        known = [usual, *self._models(lambda made: made.encoder)]
        asked = usual if asked == AUTO else asked
        return _known("encoder", asked, known, "or null for no vectors")

    def _known_sparse_encoder(self, asked: str) -> str:
        """The sparse encoder, if it is that of an index. Raises InvalidInputError."""
        known = self._models(lambda made: made.sparse_encoder)
        return _known("sparse encoder", asked, known, "or leave it out")

    def _models(
        self, recorded: Callable[[Manifest], EncoderRecord | SparseEncoderRecord | None]
    ) -> list[str]:
        """The names of the models that the indexes were made with, those of one kind."""
        found = []
        for name in self.names():
            with suppress(RerankSearchError):
                if (made := recorded(manifest(self._path(name)))) is not None:
                    found.append(made.name)
        return found

    def _shows(self, name: str) -> bool:
        names = visible(outside=self._hidden)
        return names is None or name in names

    def _is_store(self, name: str) -> bool:
        return name in self._stores.names() and self._shows(name)

    def _path(self, name: str) -> Path:
        """The path of an index; a caller's name never leads out of the home."""
        if not self._shows(name):
            raise self._unknown(name)
        if self._is_store(name):
            raise ApiError(
                400,
                "invalid_request",
                f"{name!r} is a store of another service, which is searched here, and takes and "
                "deletes documents by their ids: do anything else at that service itself",
            )
        path = self._named.get(name)
        if path is not None and not _is_index(path):
            path = None
        if path is None and self._all_of_home and is_servable(name):
            inside = named_index(self.home, name)
            path = inside if _is_served(inside) else None
        if path is None:
            self._open.forget(name)
            raise self._unknown(name)
        return path

    def _unknown(self, name: str) -> IndexNotFoundError:
        there = ", ".join(self.names()) or "none"
        return IndexNotFoundError(f"there is no index {shown(name)}; there are: {there}")


def _warm(served: Served) -> None:
    """Search once. If queries bring their vectors, search by words, unless that is impossible."""
    stages: list[str] = [*served.first_stages[-1:]]
    if served.dimension is not None:
        stages = [stage for stage in served.first_stages if stage not in (DENSE, HYBRID)]
    for stage in stages[-1:]:
        Searcher(served, reranker=None).search("warm up", top_k=1, first_stage=stage)


def _is_served(path: Path) -> bool:
    return is_servable(index_name(path)) and _is_index(path)


def _is_index(path: Path) -> bool:
    try:
        return is_index(path)
    except OSError:  # the folder may not be read
        return False


def _known(kind: str, asked: str, known: Iterable[str], instead: str) -> str:
    """The model that is asked for by its name or its public name. Raises InvalidInputError."""
    models = {name: model for model in known for name in (model, public_name(model))}
    if asked not in models:
        names = ", ".join(sorted({public_name(each) for each in models.values()}))
        use = f"use one of {names}" if names else "create a first such index on the server"
        raise InvalidInputError(
            f"the {kind} {asked!r:.200} is not one that the indexes here have: {use}, {instead}"
        )
    return models[asked]


@contextmanager
def _errors_without(place: str, name: str) -> Iterator[None]:
    """Have errors show a name instead of a path or an address; the log has the original."""
    try:
        yield
    except (ModelNotFoundError, MissingDependencyError) as error:
        raise ApiError(
            500,
            "index_unavailable",
            f"a model or a library that the index {name!r} needs is missing: see the server's log",
        ) from error
    except RerankSearchError as error:
        if place not in str(error):
            raise
        known = api_error(error)
        raise known.saying(str(known).replace(place, name)) from error
