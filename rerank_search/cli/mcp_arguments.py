"""What the commands ``mcp`` and ``serve`` can be told about the documents that agents find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rerank_search.plugins.mcp.links import Links

About = Annotated[
    str, typer.Option(help="What the documents are about, in a sentence that models read.")
]
Instruction = Annotated[
    str | None,
    typer.Option(
        help="What makes a text relevant to an agent's question, in words; for a reranker that "
        "takes an instruction."
    ),
]
UrlTemplate = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where people find a document, such as https://docs.example/{id}; also {index}.",
    ),
]
UrlKeys = Annotated[
    list[str] | None,
    typer.Option(
        "--url-key",
        metavar="KEY",
        help="A metadata key with a document's URL, which comes before the template; "
        "repeatable.  [default: url, source]",
    ),
]


def links(template: str | None, keys: list[str] | None) -> Links:
    """How documents get their URLs. Raises InvalidInputError."""
    from rerank_search.plugins.mcp.links import KEYS, Links

    return Links(tuple(keys or KEYS), template)
