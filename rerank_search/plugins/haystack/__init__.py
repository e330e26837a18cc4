"""Haystack's retrievers in rerank_search, and what the classes for Haystack share.

The components and the document store live in ``haystack_integrations``, beside this package:
Haystack loads pipelines only with classes of its own packages and of that one.
"""

from rerank_search.errors import MissingDependencyError

try:
    import haystack  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(
        'this needs the package haystack-ai: pip install "rerank-search[haystack]"'
    ) from error

from rerank_search.plugins.haystack.stage import HaystackStage

__all__ = ["HaystackStage"]
