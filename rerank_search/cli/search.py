"""``rerank-search search``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rerank_search.cli.filter_argument import FilterOption, parsed_filter
from rerank_search.cli.first_stage_argument import SearchedStageOption
from rerank_search.cli.output import Json, note, print_json, print_table, waiting
from rerank_search.cli.searched import SearchedArgument, searched
from rerank_search.cli.vector_argument import vector_in
from rerank_search.options import OPTIONS, SearchOptions

if TYPE_CHECKING:
    from rerank_search.types import ReturnedText, SearchResponse


def search(
    index: SearchedArgument,
    query: Annotated[str, typer.Argument(help="What to look for, in plain words.")],
    first_stage: SearchedStageOption = None,
    candidates: Annotated[
        int | None,
        typer.Option(
            min=OPTIONS["candidates"].ge,
            help=f"{OPTIONS['candidates'].help}  [default: {SearchOptions.candidates}]",
        ),
    ] = None,
    top_k: Annotated[
        int, typer.Option(min=OPTIONS["top_k"].ge, help=OPTIONS["top_k"].help)
    ] = SearchOptions.top_k,
    filter: FilterOption = [],  # noqa: B006 (typer copies it)
    query_vector: Annotated[
        Path | None,
        typer.Option(help=f"{OPTIONS['query_vector'].help} A file with a list of JSON."),
    ] = None,
    reranker: Annotated[
        str | None,
        typer.Option(
            help="A reranker: name, folder, hub id or URL.  "
            "[default: RERANK_SEARCH_RERANKER, or rerank-search-base]"
        ),
    ] = None,
    no_rerank: Annotated[
        bool, typer.Option("--no-rerank", help="Rank by the first stage alone.")
    ] = False,
    no_fusion: Annotated[
        bool, typer.Option("--no-fusion", help="Rank by the cross-encoder alone, without fusion.")
    ] = False,
    budget_ms: Annotated[int | None, typer.Option(min=1, help=OPTIONS["budget_ms"].help)] = None,
    min_relevance: Annotated[
        float | None,
        typer.Option(
            min=OPTIONS["min_relevance"].ge,
            max=OPTIONS["min_relevance"].le,
            help=OPTIONS["min_relevance"].help,
        ),
    ] = None,
    passages_per_document: Annotated[
        int,
        typer.Option(
            min=OPTIONS["passages_per_document"].ge,
            max=OPTIONS["passages_per_document"].le,
            help=OPTIONS["passages_per_document"].help,
        ),
    ] = SearchOptions.passages_per_document,
    collapse_duplicates: Annotated[
        bool,
        typer.Option("--collapse-duplicates", help=OPTIONS["collapse_duplicates"].help),
    ] = SearchOptions.collapse_duplicates,
    instruction: Annotated[str | None, typer.Option(help=OPTIONS["instruction"].help)] = None,
    as_json: Json = False,
    passages: Annotated[
        bool,
        typer.Option("--passages", help="With --json, print the best passage instead of the text."),
    ] = False,
    no_text: Annotated[bool, typer.Option("--no-text", help="With --json, print no text.")] = False,
) -> None:
    """Search an index or a store in two stages."""
    from rerank_search.models.registry import AUTO, reranker_name
    from rerank_search.reranking.elsewhere import reranker_elsewhere
    from rerank_search.reranking.loaded_later import LoadedLater
    from rerank_search.searchable import matches
    from rerank_search.searcher import Searcher

    if passages and no_text:
        raise typer.BadParameter(
            "--passages and --no-text exclude each other: leave one of them out"
        )
    if (passages or no_text) and not as_json:
        raise typer.BadParameter("--passages and --no-text need --json: add it")
    if no_rerank:
        _check_first_stage_alone(
            {
                "--candidates": candidates is not None,
                "--reranker": reranker is not None,
                "--no-fusion": no_fusion,
                "--budget-ms": budget_ms is not None,
                "--min-relevance": min_relevance is not None,
                "--instruction": instruction is not None,
            }
        )
    options = SearchOptions(
        top_k=top_k,
        candidates=SearchOptions.candidates if candidates is None else candidates,
        first_stage=first_stage,
        filter=parsed_filter(filter),
        query_vector=None if query_vector is None else vector_in(query_vector),
        rerank=not no_rerank,
        budget_ms=budget_ms,
        min_relevance=min_relevance,
        passages_per_document=passages_per_document,
        collapse_duplicates=collapse_duplicates,
        instruction=instruction,
    )
    model = reranker_name(reranker or AUTO)
    with searched(index) as opened:
        searcher = Searcher(
            opened,
            reranker=None if no_rerank else reranker_elsewhere(model) or LoadedLater(model),
            fusion=None if no_fusion else "auto",
        )
        # On first use on a machine, a reranker's backends are exported and measured.
        with waiting("loading the models and searching"):
            [explained] = searcher.explain_batch([query], options)
        response = explained.response
        for warning in response.warnings:
            note(f"warning: {warning}")
        if as_json:
            print_json(_json(response, passages=passages, no_text=no_text))
        else:
            from rerank_search.cli.results import results_table, summary

            if response.hits:
                print_table(results_table(explained, partial(matches, opened)))
            typer.echo(summary(response))


def _check_first_stage_alone(given: Mapping[str, bool]) -> None:
    for option, is_given in given.items():
        if is_given:
            raise typer.BadParameter(
                f"--no-rerank and {option} exclude each other: leave one of them out"
            )


def _json(response: SearchResponse, *, passages: bool, no_text: bool) -> dict[str, Any]:
    """The fields of the response, with the wanted part of each text."""
    which: ReturnedText = "none" if no_text else "passage" if passages else "full"
    hits = [hit.with_text(which) for hit in response.hits]
    answer = dataclasses.asdict(dataclasses.replace(response, hits=hits))
    if no_text:
        for hit in answer["hits"]:
            del hit["document"]["text"]
    return answer
