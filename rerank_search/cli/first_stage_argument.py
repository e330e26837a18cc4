"""``--first-stage``: the name of an installed first stage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from rerank_search.built_in_stages import TEXT
from rerank_search.errors import InvalidInputError
from rerank_search.options import OPTIONS
from rerank_search.retrieval.registry import BUILT_IN_NAMES, known_name, searched_name


def _option(metavar: str, check: Callable[[str], str]) -> Any:
    def checked(name: str | None) -> str | None:
        try:
            return None if name is None else check(name)
        except InvalidInputError as error:
            raise typer.BadParameter(f"{error}.") from None

    return typer.Option(metavar=metavar, callback=checked, help=OPTIONS["first_stage"].help)


FirstStageOption = Annotated[str | None, _option("|".join(BUILT_IN_NAMES), known_name)]
"""A first stage of an index."""

SearchedStageOption = Annotated[
    str | None, _option("|".join([*BUILT_IN_NAMES, TEXT]), searched_name)
]
"""A first stage of an index or a store."""
