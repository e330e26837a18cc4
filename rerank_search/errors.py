"""Everything that can go wrong, as one small hierarchy. Every message says what to do next."""

from __future__ import annotations


class RerankSearchError(Exception):
    """Base of all errors that this package raises on purpose."""


class InvalidInputError(RerankSearchError, ValueError):
    """An argument, a query or a setting has a value that cannot be used."""


class InvalidDocumentError(InvalidInputError):
    """A document, or a line of a file of documents, cannot be stored."""


class InvalidFilterError(InvalidInputError):
    """A metadata filter has an unknown operator or an impossible operand."""


class FilterWarning(UserWarning):
    """A filter names a metadata key, or a kind of value, that no document has."""


class UnsupportedError(InvalidInputError, AttributeError):
    """Left out on purpose, though the library whose class this one replaces has it."""


class MissingDependencyError(RerankSearchError, ImportError):
    """An optional library is not installed; the message has the pip command."""


class PluginError(RerankSearchError):
    """A first stage or a reranker of an installed package cannot be imported or used."""


class ModelNotFoundError(RerankSearchError):
    """A model name is neither a path nor bundled nor installed nor reachable on a hub."""


class PushError(RerankSearchError):
    """A hub cannot be reached, or does not take a model."""


class RerankError(RerankSearchError):
    """The reranker failed, or returned scores that cannot be ranked."""


class RunLockedError(RerankSearchError):
    """Another process is training into the same output."""


class SearchIndexError(RerankSearchError):
    """Base of the errors about an index on disk."""


class IndexNotFoundError(SearchIndexError):
    """There is no index at the path."""


class IndexExistsError(SearchIndexError):
    """There is something at the path already."""


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
