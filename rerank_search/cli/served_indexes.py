"""What a command serves: the indexes and stores that it names, or all indexes in the folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rerank_search.cli.location import existing_index, home_folder
from rerank_search.errors import InvalidInputError

if TYPE_CHECKING:
    from rerank_search.serving.indexes import Indexes

IndexesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[INDEX]...",
        help="A path, a name below ./indexes or $RERANK_SEARCH_HOME, or the URL of a store, also "
        "as NAME=URL.  [default: all indexes there]",
    ),
]


def served_indexes(given: Sequence[str] | None) -> Indexes:
    """The indexes and stores of the argument. No store is connected to.

    Raises IndexNotFoundError, InvalidInputError, and what ``check_store_url`` raises.
    """
    from rerank_search.index_names import index_name
    from rerank_search.serving.indexes import Indexes
    from rerank_search.stores.named import is_named_store

    stores = _stores([each for each in given or [] if is_named_store(each)])
    paths = {existing_index(each).resolve() for each in given or [] if not is_named_store(each)}
    named = {index_name(path): path for path in paths}
    if len(named) < len(paths):
        there = ", ".join(sorted(map(str, paths)))
        raise InvalidInputError(f"two indexes have the same name ({there}): rename a folder")
    if both := sorted(named.keys() & stores.keys()):
        raise InvalidInputError(
            f"an index and a store have the same name {both[0]!r}: give the store another one, "
            "NAME=URL"
        )
    return Indexes(home_folder(), named, all_of_home=not given, stores=stores)


def _stores(given: Sequence[str]) -> dict[str, str]:
    """The URLs of stores by their names."""
    from rerank_search.stores.named import named_store
    from rerank_search.stores.opening import check_store_url

    stores: dict[str, str] = {}
    for each in given:
        store = named_store(each)
        if store.stage is not None:
            raise InvalidInputError(
                f"#{store.stage} chooses a first stage, and a store is served with all of them: "
                "leave it out"
            )
        check_store_url(store.url)
        if stores.setdefault(store.name, store.url) != store.url:
            raise InvalidInputError(
                f"two stores have the same name {store.name!r}: give one of them another name, "
                "NAME=URL"
            )
    return stores
