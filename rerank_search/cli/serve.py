"""``rerank-search serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rerank_search.cli.mcp_arguments import About, Instruction, UrlKeys, UrlTemplate, links
from rerank_search.cli.output import waiting
from rerank_search.cli.served_indexes import IndexesArgument, served_indexes
from rerank_search.errors import InvalidInputError


def serve(
    indexes: IndexesArgument = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any free one.")
    ] = 8000,
    reranker: Annotated[
        list[str] | None,
        typer.Option(
            help="A reranker: name, folder, hub id or URL; repeatable, and the first is the "
            "default.  [default: RERANK_SEARCH_RERANKER, or rerank-search-base]"
        ),
    ] = None,
    encoder: Annotated[
        list[str],
        typer.Option(
            help="An encoder for /v1/embeddings, beside those of the indexes: name, folder, hub id "
            "or URL; repeatable."
        ),
    ] = [],  # noqa: B006 (typer copies it)
    keys: Annotated[
        Path | None,
        typer.Option(help="A file of API keys, made by `rerank-search key add`."),
    ] = None,
    without_keys: Annotated[
        bool,
        typer.Option(
            "--without-keys",
            help="Serve without keys, even if other machines can reach the address.",
        ),
    ] = False,
    rate: Annotated[
        int | None,
        typer.Option(
            min=1, help="Requests a minute for each key, or for each address without keys."
        ),
    ] = None,
    mcp: Annotated[
        bool, typer.Option("--mcp", help="Offer the indexes to agents too, by MCP at /mcp.")
    ] = False,
    mcp_write: Annotated[
        bool,
        typer.Option(
            "--mcp-write", help="Let models add and delete documents, with a key for writing."
        ),
    ] = False,
    about: About = "",
    instruction: Instruction = None,
    url_template: UrlTemplate = None,
    url_key: UrlKeys = None,
    lenient: Annotated[
        bool,
        typer.Option(
            "--lenient",
            help="Ignore fields of other services' rerank requests that are not supported; the "
            "answer names them in X-Ignored-Fields. Otherwise they are errors.",
        ),
    ] = False,
    cors_origin: Annotated[
        list[str],
        typer.Option(
            metavar="ORIGIN",
            help="A web application whose pages may call the server from a browser, such as "
            "https://app.example; repeatable.",
        ),
    ] = [],  # noqa: B006 (typer copies it)
) -> None:
    """Serve indexes and rerankers over HTTP, with a page at / to search them."""
    from rerank_search.serving.server import Server, is_loopback

    if keys is None and not without_keys and not is_loopback(host):
        raise InvalidInputError(
            f"--host {host} can be reached from other machines, and there are no keys: make one "
            "with `rerank-search key add NAME --file keys.json` and give --keys keys.json, or "
            "allow everyone with --without-keys"
        )
    from rerank_search.models.registry import AUTO
    from rerank_search.serving.cors import checked_origins
    from rerank_search.serving.keys import KeyFile
    from rerank_search.serving.limits import Limits
    from rerank_search.serving.traces import Traces, from_environment

    further = []
    if mcp or mcp_write:
        from rerank_search.plugins.mcp.mounted import mcp_routes

        found = links(url_template, url_key)
        further.append(
            mcp_routes(write=mcp_write, links=found, about=about, instruction=instruction)
        )
    elif about or instruction is not None or url_template or url_key:
        raise InvalidInputError(
            "--about, --instruction, --url-template and --url-key need --mcp: add it"
        )
    origins = checked_origins(cors_origin)
    known = None if keys is None else KeyFile(keys)
    traces = Traces(from_environment())
    served = served_indexes(indexes)
    with Server(host, port) as server:
        with waiting("loading the models"):
            from rerank_search.reranking.given import reranker_of
            from rerank_search.retrieval.encoders import encoder_of

            rerankers = [reranker_of(each) for each in reranker or [AUTO]]
            encoders = [encoder_of(each) for each in encoder]
            for each in encoders:
                each.encode(["warm up"])
            served.warm()
        names = ", ".join(served.names()) or "no index yet"
        typer.echo(f"Serving {names} at {server.url} (stop with Ctrl-C)", err=True)
        limits = Limits(requests_per_minute=rate)
        server.run(
            served,
            rerankers,
            limits,
            encoders=encoders,
            keys=known,
            traces=traces,
            further=further,
            cors_origins=origins,
            lenient=lenient,
        )
