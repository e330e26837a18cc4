"""What a command searches: an index in a folder, or a store by its URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from rerank_search.cli.location import existing_index
from rerank_search.errors import InvalidInputError

if TYPE_CHECKING:
    from rerank_search.index import Index
    from rerank_search.stores import Store

SearchedArgument = Annotated[
    str,
    typer.Argument(
        metavar="INDEX",
        help="A path, a name below ./indexes or $RERANK_SEARCH_HOME, or the URL of a store, such "
        "as postgresql://HOST/DATABASE?table=NAME.",
    ),
]


@contextmanager
def searched(given: str) -> Iterator[Index | Store]:
    """The index or the store of the argument, open. Raises what opening it raises."""
    from rerank_search.index import Index
    from rerank_search.stores import is_store_url, open_store
    from rerank_search.stores.named import is_named_store

    if is_named_store(given) and not is_store_url(given):
        raise InvalidInputError(
            "INDEX has a name before the URL of the store, and a search needs none: leave it out"
        )
    if is_store_url(given):
        with open_store(given) as store:
            yield store
    else:
        with Index.open(existing_index(given)) as index:
            yield index
