"""``--first-stage``: the name of an installed first stage."""

from __future__ import annotations

from typing import Annotated

import typer

from rerank_search.errors import InvalidInputError
from rerank_search.options import OPTIONS
from rerank_search.retrieval.registry import BUILT_IN_NAMES, known_name


def _known(name: str | None) -> str | None:
    try:
        return None if name is None else known_name(name)
    except InvalidInputError as error:
        raise typer.BadParameter(f"{error}.") from None


FirstStageOption = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(BUILT_IN_NAMES), callback=_known, help=OPTIONS["first_stage"].help
    ),
]
