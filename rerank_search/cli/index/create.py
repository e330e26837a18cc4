"""``rerank-search index create``."""

from __future__ import annotations

from typing import Annotated

import typer

from rerank_search.cli.location import IndexArgument, new_index
from rerank_search.cli.output import Json, print_json


def create(
    index: IndexArgument,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Bi-encoder of the dense stage.  "
            "[default: RERANK_SEARCH_ENCODER, or all-MiniLM-L6-v2]"
        ),
    ] = None,
    no_encoder: Annotated[
        bool, typer.Option("--no-encoder", help="Create no vectors: search by BM25 alone.")
    ] = False,
    analyzer: Annotated[
        str, typer.Option(help="Text analysis of BM25: english (with stemming) or plain.")
    ] = "english",
    no_passages: Annotated[
        bool, typer.Option("--no-passages", help="Do not split long documents.")
    ] = False,
    first_stage: Annotated[
        list[str],
        typer.Option(help="An additional first stage from an installed package; repeatable."),
    ] = [],  # noqa: B006 (typer copies it)
    as_json: Json = False,
) -> None:
    """Create an empty index.

    For all other settings, write a definition and use `index build`.
    """
    from rerank_search.corpora.definition import IndexSettings
    from rerank_search.retrieval.registry import known_name

    if encoder is not None and no_encoder:
        raise typer.BadParameter(
            "--encoder and --no-encoder exclude each other: leave one of them out"
        )
    chosen: dict[str, object] = {"analyzer": analyzer}
    if encoder is not None or no_encoder:
        chosen["encoder"] = False if no_encoder else encoder
    if first_stage:
        chosen["first_stages"] = [known_name(each) for each in first_stage]
    if no_passages:
        chosen["passages"] = False
    path = new_index(index)
    with IndexSettings.model_validate(chosen).create_index(path):
        pass
    if as_json:
        print_json({"index": path})
    else:
        typer.echo(f"created {path}")
