"""``rerank-search index create``."""

from __future__ import annotations

from typing import Annotated

import typer

from rerank_search.built_in_stages import NEW_HYBRID
from rerank_search.cli.location import IndexArgument, new_index
from rerank_search.cli.output import Json, print_json
from rerank_search.types import HybridName, VectorDtype


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
    dimension: Annotated[
        int | None,
        typer.Option(help="Store vectors of your own with so many numbers, without an encoder."),
    ] = None,
    query_prompt: Annotated[
        str | None, typer.Option(help="Prompt before queries, in place of the encoder's own.")
    ] = None,
    document_prompt: Annotated[
        str | None, typer.Option(help="Prompt before documents, in place of the encoder's own.")
    ] = None,
    truncate_dim: Annotated[
        int | None, typer.Option(help="Numbers kept of each vector (Matryoshka models).")
    ] = None,
    sparse_encoder: Annotated[
        str | None,
        typer.Option(help="Learned sparse encoder, such as SPLADE: adds the first stage sparse."),
    ] = None,
    vector_dtype: Annotated[
        VectorDtype,
        typer.Option(help="Stored vectors: float16 takes half the memory, int8 a quarter."),
    ] = "float32",
    analyzer: Annotated[
        str,
        typer.Option(
            help="How BM25 finds words: english or another language, also by its code (de); "
            "multilingual, for any; auto, for several; code, for source code; or plain."
        ),
    ] = "english",
    stop_words: Annotated[
        str | None,
        typer.Option(
            help="Words that BM25 leaves out of queries, separated by commas; or language, for the "
            "analyzer's own list."
        ),
    ] = None,
    hybrid: Annotated[
        HybridName,
        typer.Option(help="How BM25 and vectors are combined: by their scores, or by ranks (rrf)."),
    ] = NEW_HYBRID,
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
    from rerank_search.declared import validated
    from rerank_search.retrieval.registry import known_name

    if encoder is not None and no_encoder:
        raise typer.BadParameter(
            "--encoder and --no-encoder exclude each other: leave one of them out"
        )
    chosen: dict[str, object] = {
        "analyzer": analyzer,
        "stop_words": _words(stop_words),
        "dimension": dimension,
        "query_prompt": query_prompt,
        "document_prompt": document_prompt,
        "truncate_dim": truncate_dim,
        "sparse_encoder": sparse_encoder,
        "vector_dtype": vector_dtype,
        "hybrid": hybrid,
    }
    if dimension is not None:
        if encoder is not None:
            raise typer.BadParameter(
                "--encoder and --dimension exclude each other: leave one of them out"
            )
        no_encoder = True
    if encoder is not None or no_encoder:
        chosen["encoder"] = False if no_encoder else encoder
    if first_stage:
        chosen["first_stages"] = [known_name(each) for each in first_stage]
    if no_passages:
        chosen["passages"] = False
    path = new_index(index)
    with validated(IndexSettings, chosen, path).create_index(path):
        pass
    if as_json:
        print_json({"index": path})
    else:
        typer.echo(f"created {path}")


def _words(given: str | None) -> str | list[str] | None:
    """The value of --stop-words in a definition."""
    return given if given in (None, "language") else [word.strip() for word in given.split(",")]
