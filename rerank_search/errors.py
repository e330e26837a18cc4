"""The errors of this package, in one small hierarchy. Every message says what to do next."""

from __future__ import annotations


class RerankSearchError(Exception):
    """Base of all errors that this package raises on purpose."""


class InvalidInputError(RerankSearchError, ValueError):
    """An argument, a query or a setting has an invalid value."""


class InvalidDocumentError(InvalidInputError):
    """A document, or a line of a file of documents, cannot be stored."""


class InvalidFilterError(InvalidInputError):
    """A metadata filter has an unknown operator or an impossible operand."""


class FilterWarning(UserWarning):
    """A filter names a metadata key, or a kind of value, that no document has."""


class UnsupportedError(InvalidInputError, AttributeError):
    """A method or attribute of a replaced library's class is not supported, on purpose."""


class MissingDependencyError(RerankSearchError, ImportError):
    """An optional library is not installed; the message has the pip command."""


class PluginError(RerankSearchError):
    """A first stage or a reranker of an installed package cannot be imported or used."""


class ModelNotFoundError(RerankSearchError):
    """A model is neither a path nor bundled nor installed nor reachable on a hub."""


class PushError(RerankSearchError):
    """A hub cannot be reached, or does not accept a model."""


class RerankError(RerankSearchError):
    """The reranker failed, or returned scores that cannot be ranked."""


class RunLockedError(RerankSearchError):
    """Another process is training into the same output."""


class SearchIndexError(RerankSearchError):
    """Base of the errors about an index on disk."""


class IndexNotFoundError(SearchIndexError):
    """There is no index at the path."""


class IndexExistsError(SearchIndexError):
    """The path of a new index already exists."""


class IndexLockedError(SearchIndexError):
    """Another process is writing to the index."""


class IndexReadOnlyError(SearchIndexError):
    """The index was opened for reading, or its directory cannot be written."""


class IndexCorruptedError(SearchIndexError):
    """A file of the index is damaged or missing; ``index rebuild`` repairs it."""


class IndexFormatError(SearchIndexError):
    """The index was written by a newer version of this package."""


class IndexMismatchError(SearchIndexError):
    """The index was built with another encoder or analyzer than the one asked for."""


class StorageFullError(SearchIndexError):
    """No space is left on the disk; what was acknowledged before is safe."""


class StoreError(RerankSearchError):
    """Base of the errors about a store, such as a table of PostgreSQL, and any other failure there.

    No message has a password or a key.
    """


class StoreUnreachableError(StoreError):
    """The store's server cannot be reached, the connection was lost, or the call gave way there."""


class StoreTimeoutError(StoreError):
    """The store did not answer in time, or the call was cancelled there."""


class StoreAccessError(StoreError):
    """The store refuses the user, the password or the key, or what this user wants to do."""


class StoreNotFoundError(StoreError):
    """The database, table or collection does not exist."""


class StoreMismatchError(StoreError):
    """The store has other columns, dimensions, distances or another encoder than asked for."""


class StoreFullError(StoreError):
    """No space is left in the store; what was acknowledged before is safe."""


class ClusterError(RerankSearchError):
    """A cluster cannot be reached, has no room for the work, or a worker there failed."""


class ServerError(RerankSearchError):
    """A server cannot be reached, or its answer is not a result and not an error of the library.

    ``type`` is the type that the API gives (``unauthorized``, ``rate_limited``, ``overloaded``,
    ``internal`` ...), ``connection`` or ``timeout`` if there was no answer, ``closed`` for a client
    that was closed before, ``refused`` for the error of a model's server, or ``unexpected`` for an
    answer that cannot be read. ``status`` and ``request_id`` are None if there are none.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        type: str = "unexpected",
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.request_id = request_id
