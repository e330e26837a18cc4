"""What the classes for Haystack share; they live in ``haystack_integrations``, beside this package.

Haystack loads pipelines only with classes of its own packages and of ``haystack_integrations``.
"""

from rerank_search.errors import MissingDependencyError

try:
    import haystack  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(
        'this needs the package haystack-ai: pip install "rerank-search[haystack]"'
    ) from error
