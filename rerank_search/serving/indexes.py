"""The indexes that are served: opened once, and again where another process has rebuilt them."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from rerank_search.errors import (
    IndexExistsError,
    IndexNotFoundError,
    InvalidInputError,
    MissingDependencyError,
    ModelNotFoundError,
    RerankSearchError,
)
from rerank_search.index import Index
from rerank_search.index_names import DOCUMENTS, index_name, is_index, named_index
from rerank_search.models.registry import DEFAULT_ENCODER
from rerank_search.retrieval.encoder import Encoder
from rerank_search.searcher import Searcher
from rerank_search.serving.errors import ApiError, api_error
from rerank_search.shown import shown
from rerank_search.storage.files import storage_errors
from rerank_search.storage.manifest import Manifest

logger = logging.getLogger(__name__)

NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_NAME = re.compile(NAME)


@dataclass(slots=True)
class _Open:
    """An open index, the file it was opened from, and who uses it."""

    index: Index
    inode: int
    users: int = 0
    replaced: bool = False


class Indexes:
    """Indexes by name. Threads may share one.

    ``named`` are those that are served; new ones are made in ``home``, whose other folders are
    served too where ``all_of_home`` says so. Indexes with the same encoder share its model. What
    goes wrong is told without the paths of this machine.
    """

    def __init__(self, home: Path, named: Mapping[str, Path], *, all_of_home: bool) -> None:
        self.home = home
        self._named = dict(named)
        self._all_of_home = all_of_home
        self._open: dict[str, _Open] = {}
        self._encoders: WeakValueDictionary[str, Encoder] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._opening: dict[str, threading.Lock] = {}

    def names(self) -> list[str]:
        """The names of all that are there, ascending; what was opened of others is closed."""
        with self._lock:
            named, opened = list(self._named.items()), set(self._open)
        found = {name for name, path in named if _is_index(path)}
        if self._all_of_home and self.home.is_dir():
            found |= {index_name(each) for each in self.home.iterdir() if self._is_served(each)}
        for name in opened - found:
            self._forget(name)
        return sorted(found)

    def warm(self) -> None:
        """Open all of them, and load their encoders; one that cannot be is logged."""
        for name in self.names():
            try:
                with self.use(name) as index:
                    Searcher(index, reranker=None).search("warm up", top_k=1)
            except RerankSearchError as error:
                said = error.__cause__ or error
                logger.warning("the index %r cannot be searched: %s", name, said)

    @contextmanager
    def use(self, name: str | None) -> Iterator[Index]:
        """The index of that name, which stays open while it is used.

        None is the only one that there is. Raises IndexNotFoundError, and what Index.open raises.
        """
        name = self._only() if name is None else name
        path = self._path(name)
        with _told_without(path, name):
            entry = self._entered(name, path)
            try:
                yield entry.index
            finally:
                self._left(entry)

    def create(self, name: str, *, encoder: str | None, analyzer: str) -> None:
        """Make an empty index in the home. Raises what Index.create raises, and ApiError."""
        if not _NAME.fullmatch(name):
            raise InvalidInputError(
                f"{shown(name)} is no name for an index: use up to 64 letters, digits, '.', '_' "
                "and '-', the first of them a letter or a digit"
            )
        path = self.home / name
        if name in self.names() or path.exists():
            raise IndexExistsError(f"there is an index {shown(name)} already: choose another name")
        if encoder is not None:
            known = self._known_encoders()
            if encoder not in known:
                raise InvalidInputError(
                    f"{encoder!r:.200} is no encoder that indexes here have: use one of "
                    f"{', '.join(sorted({public_name(each) for each in known}))}, or null for no "
                    "vectors"
                )
            encoder = known[encoder]
        with _told_without(path, name):
            Index.create(path, encoder=encoder, analyzer=analyzer).close()
        with self._lock:
            self._named[name] = path

    def close(self) -> None:
        """Close all of them; one in use at its end."""
        with self._lock:
            entries = list(self._open.values())
            self._open.clear()
        for entry in entries:
            self._retire(entry)

    def check(self, name: str) -> None:
        """Raise IndexNotFoundError unless there is an index of that name."""
        self._path(name)

    def _known_encoders(self) -> dict[str, str]:
        """Those that a new index may have: the library's own, and those of indexes there are."""
        found = {DEFAULT_ENCODER: DEFAULT_ENCODER}
        for name in self.names():
            try:
                made = _manifest(self._path(name)).encoder
            except RerankSearchError:
                continue
            if made is not None:
                found |= {made.name: made.name, public_name(made.name): made.name}
        return found

    def _only(self) -> str:
        names = self.names()
        if len(names) != 1:
            there = ", ".join(names) or "none"
            raise InvalidInputError(f"name the index: {len(names)} are served ({there})")
        return names[0]

    def _path(self, name: str) -> Path:
        """Where the index lies: never a path of the caller's making."""
        path = self._named.get(name)
        if path is not None and not _is_index(path):
            path = None
        if path is None and self._all_of_home and _NAME.fullmatch(name):
            inside = named_index(self.home, name)
            path = inside if self._is_served(inside) else None
        if path is None:
            self._forget(name)
            there = ", ".join(self.names()) or "none"
            raise IndexNotFoundError(f"there is no index {shown(name)}; there are: {there}")
        return path

    def _is_served(self, path: Path) -> bool:
        return bool(_NAME.fullmatch(index_name(path))) and _is_index(path)

    def _forget(self, name: str) -> None:
        """Close what was opened of an index that was removed since."""
        with self._lock:
            entry = self._open.pop(name, None)
        if entry is not None:
            self._retire(entry)

    def _retire(self, entry: _Open) -> None:
        """Close it now, or where it is used at the end of that."""
        with self._lock:
            entry.replaced = True
            unused = entry.users == 0
        if unused:
            entry.index.close()

    def _opened(self, path: Path) -> Index:
        built = _manifest(path).encoder
        if built is None:
            return Index.open(path)
        known = built.model_dump_json()  # with the vector of a sentence: another model is another
        own = Encoder(built.name, revision=built.revision)
        with self._lock:
            encoder = self._encoders.setdefault(known, own)
        return Index.open(path, encoder=encoder)

    def _entered(self, name: str, path: Path) -> _Open:
        with self._lock:
            opening = self._opening.setdefault(name, threading.Lock())
        with opening:
            inode = _inode(path)
            with self._lock:
                known = self._open.get(name)
                if known is not None and known.inode == inode:
                    known.users += 1
                    return known
            entry = _Open(self._opened(path), inode, users=1)
            with self._lock:
                old = self._open.get(name)
                self._open[name] = entry
            if old is not None:
                self._retire(old)
            return entry

    def _left(self, entry: _Open) -> None:
        with self._lock:
            entry.users -= 1
            last = entry.replaced and entry.users == 0
        if last:
            entry.index.close()


def public_name(model: str) -> str:
    """What a model is called by strangers: of a folder its last part."""
    path = Path(model)
    return path.resolve().name if path.is_absolute() or path.is_dir() else model


def _is_index(path: Path) -> bool:
    try:
        return is_index(path)
    except OSError:  # a folder that may not be looked into
        return False


def _manifest(path: Path) -> Manifest:
    with storage_errors(path):
        return Manifest.read(path)


@contextmanager
def _told_without(path: Path, name: str) -> Iterator[None]:
    """Errors about an index say its name instead of where it lies; the log has the whole."""
    try:
        yield
    except (ModelNotFoundError, MissingDependencyError) as error:
        raise ApiError(
            500, "index_unavailable", f"what the index {name!r} needs is not there: see the log"
        ) from error
    except RerankSearchError as error:
        if str(path) not in str(error):
            raise
        known = api_error(error)
        told = str(known).replace(str(path), name)
        raise ApiError(known.status, known.type, told, known.headers) from error


def _inode(path: Path) -> int:
    """Of the documents, which another index at this path has not; 0 where they are missing."""
    try:
        return (path / DOCUMENTS).stat().st_ino
    except FileNotFoundError:  # opening the index says what is wrong
        return 0
    except OSError as error:
        raise ApiError(
            503, "index_unavailable", f"the index {path.name!r} is not there now ({error.strerror})"
        ) from error
