"""The indexes that a command serves: the ones that it names, or all in the folder."""

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
        help="A path, or a name below ./indexes or $RERANK_SEARCH_HOME.  [default: all there]",
    ),
]


def served_indexes(given: Sequence[str] | None) -> Indexes:
    """The indexes of the argument. Raises IndexNotFoundError, InvalidInputError."""
    from rerank_search.index_names import index_name
    from rerank_search.serving.indexes import Indexes

    paths = {existing_index(each).resolve() for each in given or []}
    named = {index_name(path): path for path in paths}
    if len(named) < len(paths):
        there = ", ".join(sorted(map(str, paths)))
        raise InvalidInputError(f"two indexes have the same name ({there}): rename a folder")
    return Indexes(home_folder(), named, all_of_home=not given)
